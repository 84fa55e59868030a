//! Models on disk: `models.toml`, where files are, opening, verifying and converting them. Knows nothing of networks.
//!
//! Every file here comes from outside and may be cut short, mislabelled or hostile. What is claimed (lengths, offsets,
//! shapes) is checked against the file before memory is taken or the file is mapped, what a file is gets decided by its
//! content, and every failure is a [`PackError`] of one sentence that names the file.

pub mod architecture;
pub mod backbone;
pub mod clip_tokenizer;
pub mod compvis;
pub mod convert;
pub mod depth;
pub mod diffusers;
mod error;
pub mod fetch;
mod file_bytes;
pub mod gguf;
pub mod gguf_tokenizer;
pub mod header;
pub mod import;
pub mod language;
pub mod llava;
pub mod manifest;
mod network_drive;
mod sentencepiece;
pub mod sniff;
pub mod store;
#[cfg(test)]
mod test_files;
mod tokenizer_checks;
pub mod verify;
pub mod weights;

pub use error::PackError;

use std::path::Path;

use serde::de::DeserializeOwned;

/// The largest configuration, vocabulary or index file that is read, in bytes.
const MAX_TEXT: u64 = 64 << 20;

/// Reads a text file of at most [`MAX_TEXT`] bytes.
///
/// # Errors
/// If it is missing, too large, unreadable or not UTF-8.
fn read_text(path: &Path) -> Result<String, PackError> {
    let length = match std::fs::metadata(path) {
        Ok(facts) => facts.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PackError::missing(path, "a file that describes the model"));
        }
        Err(error) => return Err(PackError::io(path, "read")(error)),
    };
    if length > MAX_TEXT {
        return Err(PackError::config(path, format!("it has {length} bytes, far more than such a file needs")));
    }
    let bytes = std::fs::read(path).map_err(PackError::io(path, "read"))?;
    match sniff::of_bytes(bytes.get(..512).unwrap_or(&bytes)) {
        found @ (sniff::Content::LfsPointer | sniff::Content::Html | sniff::Content::Empty) => {
            Err(PackError::config(path, format!("it is {found}")))
        }
        _ => String::from_utf8(bytes).map_err(|_| PackError::config(path, "it is not UTF-8 text")),
    }
}

/// Reads a JSON file of at most [`MAX_TEXT`] bytes as a `T`.
///
/// # Errors
/// As [`read_text`], and if it is not such JSON.
fn read_json_as<T: DeserializeOwned>(path: &Path) -> Result<T, PackError> {
    let text = read_text(path)?;
    serde_json::from_str(&text)
        .map_err(|error| PackError::config(path, format!("it is not the JSON expected ({error})")))
}
