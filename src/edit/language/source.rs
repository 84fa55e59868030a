//! Where the words come from: a model on this machine, or a server that the person named.

use std::path::{Path, PathBuf};

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
}

impl LanguageModel {
    /// Opens the model in the folder `path`, whatever it is, by its config.
    ///
    /// # Errors
    /// One sentence that names the file at fault.
    pub fn open(path: &Path, compute: &Compute) -> Result<Self, PackError> {
        let folder = LanguageFolder::open(path)?;
        match folder.config.get("model_type").and_then(serde_json::Value::as_str) {
            Some("llava") => Ok(Self::Starter(Box::new(Starter::load(&folder, compute)?))),
            other => Err(PackError::OtherModel {
                path: path.to_path_buf(),
                detail: format!("its config.json says {}", other.unwrap_or("nothing of its kind")),
            }),
        }
    }

    /// About how many bytes its weights take on `compute`. Reads headers only.
    ///
    /// # Errors
    /// As [`LanguageModel::open`].
    pub fn bytes_needed(path: &Path, compute: &Compute) -> Result<u64, PackError> {
        let folder = LanguageFolder::open(path)?;
        Ok(folder.weights.parameters() * compute.dtype.size_in_bytes() as u64)
    }

    /// A conversation in which it proposes instructions.
    #[must_use]
    pub fn specifier(&self) -> Box<dyn Specifier + '_> {
        match self {
            Self::Starter(model) => Box::new(model.session()),
        }
    }

    /// A conversation in which it describes pictures; `None` for a model that cannot see.
    #[must_use]
    pub fn captioner(&self) -> Option<Box<dyn Captioner + '_>> {
        match self {
            Self::Starter(model) => Some(Box::new(model.session())),
        }
    }
}
