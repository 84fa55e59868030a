//! Where the words come from: a model on this machine, or a server that the person named, for instructions and for
//! captions each.

use std::path::{Path, PathBuf};

use super::chat::Chat;
use super::endpoint::EndpointSettings;
use super::gguf;
use super::starter::Starter;
use crate::edit::caption::Captioner;
use crate::edit::specify::Specifier;
use crate::ops::device::Compute;
use crate::packs::PackError;
use crate::packs::gguf::{is_named_so, only_file_in};
use crate::packs::language::LanguageFolder;
use crate::packs::sniff::{self, Content};

/// Who writes the instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecifierSource {
    /// The model in this folder, or this GGUF file.
    Files(PathBuf),
    /// A server.
    Endpoint(EndpointSettings),
}

/// Who describes the picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CaptionerSource {
    /// Nobody: the person does, or the wish goes without a description.
    #[default]
    Nobody,
    /// The model in this folder, which must be one that sees.
    Files(PathBuf),
    /// A server whose model sees. The picture, made small, is sent to it.
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
    /// Opens the model in the folder or file `path`, whatever it is: a GGUF file, a folder with a config, or a folder
    /// with one GGUF file and no config.
    ///
    /// # Errors
    /// One sentence that names the file at fault.
    pub fn open(path: &Path, compute: &Compute) -> Result<Self, PackError> {
        if let Some(file) = gguf_file(path)? {
            return Ok(Self::Chat(Box::new(gguf::open(&file, compute)?)));
        }
        let folder = LanguageFolder::open(path)?;
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
        if let Some(file) = gguf_file(path)? {
            return gguf::bytes_needed(&file, compute);
        }
        let folder = LanguageFolder::open(path)?;
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

/// The GGUF file that `path` means, if it means one.
fn gguf_file(path: &Path) -> Result<Option<PathBuf>, PackError> {
    if path.is_file() {
        let is_one = is_named_so(path) || sniff::of_file(path)? == Content::Gguf;
        return Ok(is_one.then(|| path.to_path_buf()));
    }
    if path.is_dir() && !path.join("config.json").is_file() { only_file_in(path) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::super::gguf::tests::write_file;
    use super::*;

    #[test]
    fn a_gguf_file_is_found_by_name_by_content_and_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.GGUF");
        write_file("llama", "llama", &path);
        let is_chat = |path: &Path| {
            assert!(LanguageModel::bytes_needed(path, &Compute::cpu()).unwrap() > 0);
            let model = LanguageModel::open(path, &Compute::cpu()).unwrap();
            matches!(model, LanguageModel::Chat(_)) && model.captioner().is_none()
        };
        assert!(is_chat(&path) && is_chat(folder.path()));
        let nameless = folder.path().join("blob");
        std::fs::rename(&path, &nameless).unwrap();
        assert!(is_chat(&nameless));
        let fault = |path: &Path| LanguageModel::open(path, &Compute::cpu()).unwrap_err().to_string();
        assert!(fault(folder.path()).contains("config.json is missing"), "{}", fault(folder.path()));
        std::fs::write(&path, b"no model").unwrap();
        assert!(fault(&path).contains("is not a weight file"), "{}", fault(&path));
    }
}
