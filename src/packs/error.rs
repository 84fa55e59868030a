//! What can be wrong with a model on disk, each as one sentence that names the file.

use std::path::{Path, PathBuf};

use super::sniff::Content;

/// Why a model, or one file of it, could not be opened.
///
/// The variants are what a caller may act on; the text is what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file or folder that the layout needs is not there.
    #[error("{} is missing: {needed}", .path.display())]
    Missing {
        /// The file or folder that was looked for.
        path: PathBuf,
        /// What it would have held, as a clause ("the weights of the UNet").
        needed: String,
    },
    /// The file is something else than its name says.
    #[error("{} is not a weight file: it is {found}", .path.display())]
    NotWeights {
        /// The file.
        path: PathBuf,
        /// What its first bytes say it is.
        found: Content,
    },
    /// The file ends before the data it announces.
    #[error("{} is cut short: it has {have} bytes and its header needs {need}", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes on disk.
        have: u64,
        /// Bytes that the header announces.
        need: u64,
    },
    /// The file contradicts itself.
    #[error("{} is damaged: {detail}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What contradicts what.
        detail: String,
    },
    /// The file is refused although it could be read, because nothing good would name what it names.
    #[error("{} is refused: {detail}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        detail: String,
    },
    /// A tensor that the network needs is not in the files of its component.
    #[error("{} lacks the tensor {tensor}{}", .path.display(), expectation(.expected))]
    TensorMissing {
        /// The file, or the first of several.
        path: PathBuf,
        /// Its name as the network asks for it.
        tensor: String,
        /// The shape that the network needs, if it said so.
        expected: Option<Vec<usize>>,
    },
    /// A tensor has another shape than the config leads the network to expect.
    #[error("in {} the tensor {tensor} has the shape {found:?} where {expected:?} is expected", .path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// Its name as stored.
        tensor: String,
        /// The shape that the network needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A configuration file cannot be used.
    #[error("{} cannot be used: {detail}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The folder holds a model, but of another kind.
    #[error("{} is not a model this lens can use: {detail}", .path.display())]
    OtherModel {
        /// The folder or file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// A name that is neither a pack or model in the list nor a folder.
    #[error("{name:?} is neither a pack or model in the list nor a folder; known are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The model is in the list but its files are not on this machine.
    #[error("the model {id} is not on this machine: {advice}")]
    NotHere {
        /// Its id.
        id: String,
        /// What to do about it.
        advice: String,
    },
    /// The operating system failed to do something.
    #[error("{} could not be {doing}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// A participle ("opened", "read").
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The person asked to stop.
    #[error("stopped")]
    Cancelled,
}

/// The half-sentence about the expected shape in [`PackError::TensorMissing`].
fn expectation(shape: &Option<Vec<usize>>) -> String {
    shape.as_ref().map_or_else(String::new, |shape| format!(" (expected shape {shape:?})"))
}

impl PackError {
    /// An [`PackError::Io`] for `path`, to be used with `map_err`.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, doing, source }
    }

    /// A [`PackError::Damaged`].
    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), detail: detail.into() }
    }

    /// A [`PackError::Config`].
    pub(crate) fn config(path: &Path, detail: impl Into<String>) -> Self {
        Self::Config { path: path.to_path_buf(), detail: detail.into() }
    }

    /// A [`PackError::Missing`].
    pub(crate) fn missing(path: &Path, needed: impl Into<String>) -> Self {
        Self::Missing { path: path.to_path_buf(), needed: needed.into() }
    }
}
