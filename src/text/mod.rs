//! From a language model's scores to text: which token comes next ([`sampling`]), and what the tokens spell
//! ([`stream`]). Shared by the specifier and by the answers about pictures.

pub mod sampling;
pub mod stream;
#[cfg(test)]
pub(crate) mod test_tokenizers;
