//! Where the words come from: a model on this machine, or a server that the person named.

use std::path::{Path, PathBuf};

use super::chat::Chat;
use super::endpoint::EndpointSettings;
use super::starter::Starter;
use crate::edit::caption::Captioner;
use crate::edit::specify::Specifier;
use crate::ops::device::Compute;
use crate::packs::PackError;
use crate::packs::language::LanguageFolder;

/// Who writes the instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecifierSource {
    /// The model in this folder.
    Files(PathBuf),
    /// A server.
    Endpoint(EndpointSettings),
}

/// A language model that is loaded.
#[derive(Debug)]
pub enum LanguageModel {
    /// LLaVA layout, as the starter model has it: sees pictures and writes.
    Starter(Box<Starter>),
    /// A chat model: writes only.
    Chat(Box<Chat>),
}

impl LanguageModel {
    /// Opens the model in the folder `path`, whatever it is, by its config.
    ///
    /// # Errors
    /// One sentence that names the file at fault.
    pub fn open(path: &Path, compute: &Compute) -> Result<Self, PackError> {
        let folder = open(path)?;
        match folder.config.get("model_type").and_then(serde_json::Value::as_str) {
            Some("llava") => Ok(Self::Starter(Box::new(Starter::load(&folder, compute)?))),
            _ => Ok(Self::Chat(Box::new(Chat::load(&folder, compute)?))),
        }
    }

    /// About how many bytes its weights take on `compute`. Reads headers only.
    ///
    /// # Errors
    /// As [`LanguageModel::open`].
    pub fn bytes_needed(path: &Path, compute: &Compute) -> Result<u64, PackError> {
        let folder = open(path)?;
        Ok(folder.weights.parameters() * compute.dtype.size_in_bytes() as u64)
    }

    /// A conversation in which it proposes instructions.
    #[must_use]
    pub fn specifier(&self) -> Box<dyn Specifier + '_> {
        match self {
            Self::Starter(model) => Box::new(model.session()),
            Self::Chat(model) => Box::new(model.session()),
        }
    }

    /// A conversation in which it describes pictures; `None` for a model that cannot see.
    #[must_use]
    pub fn captioner(&self) -> Option<Box<dyn Captioner + '_>> {
        match self {
            Self::Starter(model) => Some(Box::new(model.session())),
            Self::Chat(_) => None,
        }
    }
}

/// Opens the folder `path`; a GGUF file is told apart.
fn open(path: &Path) -> Result<LanguageFolder, PackError> {
    if path.is_file() && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf")) {
        return Err(PackError::OtherModel {
            path: path.to_path_buf(),
            detail:
                "GGUF files are not read here yet; run it in a server such as Ollama or llama.cpp and give its address"
                    .to_owned(),
        });
    }
    LanguageFolder::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gguf_file_is_told_apart_from_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.GGUF");
        std::fs::write(&path, b"GGUF").unwrap();
        let fault = LanguageModel::open(&path, &Compute::cpu()).unwrap_err().to_string();
        assert!(fault.contains("Ollama"), "{fault}");
    }
}
