//! Asking for a file: the system's dialog, behind a trait that tests answer themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What came of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This file.
    Path(PathBuf),
    /// The person closed it.
    Nothing,
    /// The system has no file dialog (no portal, no zenity): ask for the path as text.
    Unavailable,
}

/// Shows file dialogs. Methods block; the window calls them on threads of their own.
pub trait FileDialogs: Send + Sync {
    /// Asks for a picture to open, beginning in `folder`.
    fn open_picture(&self, folder: Option<&Path>) -> Choice;
    /// Asks where to save a file of the name `suggested`; `kinds` are (words, endings).
    fn save(&self, folder: Option<&Path>, suggested: &str, kinds: &[(&str, &[&str])]) -> Choice;
    /// Asks for a file of these kinds, (words, endings).
    fn open_file(&self, folder: Option<&Path>, title: &str, kinds: &[(&str, &[&str])]) -> Choice {
        let _ = (folder, title, kinds);
        Choice::Unavailable
    }
    /// Asks for a folder.
    fn choose_folder(&self, folder: Option<&Path>, title: &str) -> Choice {
        let _ = (folder, title);
        Choice::Unavailable
    }
}

/// The desktop's own dialogs.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialogs;

/// No person closes a dialog this fast; without a portal it "closes" at once.
const TOO_FAST: Duration = Duration::from_millis(150);

fn choose(dialog: rfd::FileDialog, show: impl FnOnce(rfd::FileDialog) -> Option<PathBuf>) -> Choice {
    let began = Instant::now();
    match show(dialog) {
        Some(path) => Choice::Path(path),
        None if cfg!(target_os = "linux") && began.elapsed() < TOO_FAST => Choice::Unavailable,
        None => Choice::Nothing,
    }
}

fn start(folder: Option<&Path>) -> rfd::FileDialog {
    match folder {
        Some(folder) => rfd::FileDialog::new().set_directory(folder),
        None => rfd::FileDialog::new(),
    }
}

impl FileDialogs for SystemDialogs {
    fn open_picture(&self, folder: Option<&Path>) -> Choice {
        let endings = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif"];
        let capitals: Vec<String> = endings.iter().map(|e| e.to_uppercase()).collect();
        let all: Vec<&str> = endings.iter().copied().chain(capitals.iter().map(String::as_str)).collect();
        let dialog =
            start(folder).set_title("Open a picture").add_filter("Pictures", &all).add_filter("All files", &["*"]);
        choose(dialog, rfd::FileDialog::pick_file)
    }

    fn save(&self, folder: Option<&Path>, suggested: &str, kinds: &[(&str, &[&str])]) -> Choice {
        let mut dialog = start(folder).set_title("Export").set_file_name(suggested);
        for (words, endings) in kinds {
            dialog = dialog.add_filter(*words, endings);
        }
        choose(dialog, rfd::FileDialog::save_file)
    }

    fn open_file(&self, folder: Option<&Path>, title: &str, kinds: &[(&str, &[&str])]) -> Choice {
        let mut dialog = start(folder).set_title(title);
        for (words, endings) in kinds {
            dialog = dialog.add_filter(*words, endings);
        }
        choose(dialog.add_filter("All files", &["*"]), rfd::FileDialog::pick_file)
    }

    fn choose_folder(&self, folder: Option<&Path>, title: &str) -> Choice {
        choose(start(folder).set_title(title), rfd::FileDialog::pick_folder)
    }
}
