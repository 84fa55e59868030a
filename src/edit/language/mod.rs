//! Language models of the Edit lens: what they are asked and how their text is made.
//!
//! [`prompt`] holds the words for chat models; [`generate`] makes text token by token, for any model that scores the next
//! token; [`starter`] is the model that comes with the program.

pub mod chat;
pub mod endpoint;
pub mod generate;
pub mod gguf;
pub mod prompt;
pub mod sight;
pub mod source;
pub mod starter;
pub mod template;
