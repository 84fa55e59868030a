//! What is known of a model's files on this disk: `glassbox.json` in the model's folder, with the commit and the length
//! and hash of every file that was fetched. While a fetch is under way the same file stands among what has come so far.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FetchError;
use super::digest::Fingerprint;
use crate::packs::read_json_as;
use crate::picture::atomic;

/// The record's name in a model's folder.
pub const NAME: &str = "glassbox.json";

/// One file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Its length.
    pub bytes: u64,
    /// The hash of its content, which was checked.
    pub hash: Fingerprint,
}

/// What was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The repository.
    pub repository: String,
    /// The commit it was at.
    pub commit: String,
    /// The terms that the person accepted, if they had to.
    #[serde(default)]
    pub accepted: Option<String>,
    /// Bytes of all files that the model needs.
    #[serde(default)]
    pub total: u64,
    /// The files, by their paths in the repository.
    pub files: BTreeMap<String, RecordedFile>,
}

impl Record {
    /// The record in `folder`; `None` if there is none that can be read.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        let path = folder.join(NAME);
        let record = path.is_file().then(|| read_json_as::<Self>(&path));
        match record? {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::warn!(%error, "a record of fetched files cannot be read");
                None
            }
        }
    }

    /// Writes the record into `folder`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), FetchError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| FetchError::io(&path, "written")(std::io::Error::other(error)))?;
        atomic::write(&path, |out| out.write_all(&text)).map_err(FetchError::io(&path, "written"))
    }

    /// The first of the recorded files whose presence or length is not as recorded, with what is wrong.
    #[must_use]
    pub fn fault(&self, folder: &Path) -> Option<(PathBuf, String)> {
        self.files.iter().find_map(|(name, file)| {
            let path = local(folder, name);
            let fault = match std::fs::metadata(&path) {
                Ok(facts) if facts.is_file() && facts.len() == file.bytes => return None,
                Ok(facts) => format!("it has {} bytes where {} were fetched", facts.len(), file.bytes),
                Err(_) => "it is gone".to_owned(),
            };
            Some((path, fault))
        })
    }
}

/// Where the file `path` of a repository lies below `folder`.
pub(crate) fn local(folder: &Path, path: &str) -> PathBuf {
    path.split('/').fold(folder.to_path_buf(), |folder, part| folder.join(part))
}
