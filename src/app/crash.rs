//! What is left for the person when the program panics: a note in the data folder, told of at the next start.

use std::fs;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The note's text. Paths below the home folder are shortened, so that the note can be shown to others.
fn note(version: &str, thread: &str, message: &str, place: &str, trace: &str, home: Option<&str>) -> String {
    let text = format!("Glassbox {version} stopped in thread {thread}: {message}\nat {place}\n\n{trace}\n");
    match home.filter(|home| home.len() > 1) {
        Some(home) => text.replace(home, "~"),
        None => text,
    }
}

/// Has panics outside of jobs written to `folder`. Panics inside of jobs are caught and told in the window; they leave a
/// note as well, for whoever looks into the fault.
pub(super) fn leave_notes(folder: PathBuf) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        write(&folder, panic);
        before(panic);
    }));
}

fn write(folder: &Path, panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map_or_else(String::new, ToString::to_string);
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    let thread = std::thread::current();
    let home = std::env::var("HOME").ok();
    let name = thread.name().unwrap_or("without a name");
    let text = note(env!("CARGO_PKG_VERSION"), name, message, &place, &trace, home.as_deref());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    // Nothing can be done about a note that cannot be written.
    let _ = fs::create_dir_all(folder);
    if let Ok(mut file) = fs::File::create(folder.join(format!("crash-{since}.txt"))) {
        let _ = file.write_all(text.as_bytes());
    }
}

/// The newest note of the folder.
pub(super) fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("crash-"))).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_happened_and_not_whose_machine_it_was() {
        let text =
            note("1.2", "main", "index out of bounds", "/home/ann/glassbox/src/a.rs:3:4", "0: f", Some("/home/ann"));
        assert!(text.starts_with("Glassbox 1.2 stopped in thread main: index out of bounds\nat ~/glassbox/src/a.rs"));
        assert!(!text.contains("ann"));
    }

    #[test]
    fn the_newest_note_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path()), None);
        for name in ["crash-100.txt", "crash-300.txt", "other.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest(folder.path()), Some(folder.path().join("crash-300.txt")));
    }
}
