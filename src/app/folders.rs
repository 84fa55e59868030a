//! Where Glassbox keeps settings and work on this machine.

use std::path::PathBuf;

/// The two folders; both are made when something is first written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Settings.
    pub config: PathBuf,
    /// Autosaved work, crash notes.
    pub data: PathBuf,
}

impl Folders {
    /// The user's own; below the system's temporary folder if the system names none.
    #[must_use]
    pub fn of_the_user() -> Self {
        match directories::ProjectDirs::from("", "", "glassbox") {
            Some(dirs) => Self { config: dirs.config_dir().to_owned(), data: dirs.data_dir().to_owned() },
            None => Self::below(std::env::temp_dir().join("glassbox")),
        }
    }

    /// Notes on crashes.
    pub(super) fn crash_notes(&self) -> PathBuf {
        self.data.join("crashes")
    }

    /// Both below `root`: for tests and portable use.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { config: root.join("config"), data: root.join("data") }
    }
}
