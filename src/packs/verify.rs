//! Checks a model's folder file by file, without loading it: descriptions parse, weight files are what they say and as
//! long as they say, and what was fetched still has the hash that was published.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fetch::record::{self, Record};
use super::fetch::{FetchObserver, Progress};
use super::gguf::GgufFile;
use super::{PackError, convert, header, read_json_as};

/// How deep below the model's folder files are looked for.
const DEPTH: usize = 3;

/// What was found out about one file.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// What is wrong with it, if anything.
    pub fault: Option<PackError>,
}

/// Checks every weight and description file in `folder` (or the one file it is), in the order of their names.
///
/// # Errors
/// If the folder cannot be listed or holds no weight file. Faults of single files are in the answer.
pub fn verify(folder: &Path) -> Result<Vec<Checked>, PackError> {
    verify_watched(folder, &())
}

/// As [`verify`], for somebody who waits: files that were fetched are read as a whole.
///
/// # Errors
/// As [`verify`], and [`PackError::Cancelled`].
pub fn verify_watched(folder: &Path, observer: &dyn FetchObserver) -> Result<Vec<Checked>, PackError> {
    let mut files = Vec::new();
    if folder.is_file() {
        files.push(folder.to_path_buf());
    } else {
        list(folder, DEPTH, &mut files)?;
    }
    files.sort();
    let mut checked: Vec<Checked> = files.into_iter().filter_map(check).collect();
    compare(folder, &mut checked, observer)?;
    if checked.iter().all(|file| extension(&file.path) == "json") {
        return Err(PackError::missing(folder, "no weight file was found there"));
    }
    Ok(checked)
}

/// Compares what was fetched with the record of it.
fn compare(folder: &Path, checked: &mut Vec<Checked>, observer: &dyn FetchObserver) -> Result<(), PackError> {
    // A model that is one file has its record beside it, and others may lie there too.
    let (root, only) =
        if folder.is_file() { (folder.parent().unwrap_or(Path::new(".")), Some(folder)) } else { (folder, None) };
    let Some(record) = Record::read(root) else { return Ok(()) };
    let files = record.files.iter().map(|(name, file)| (record::local(root, name), file));
    let files: Vec<_> = files.filter(|(path, _)| only.is_none_or(|only| only == path)).collect();
    let total = files.iter().map(|(_, file)| file.bytes).sum();
    let mut done = 0;
    for (path, recorded) in files {
        let found = recorded.hash.compare(&path, observer, &mut |bytes| {
            done += bytes;
            observer.progress(Progress { done, total });
        })?;
        if found {
            continue;
        }
        let fault = if path.is_file() {
            PackError::damaged(
                &path,
                "its content is not the published one any more; fetch the model again to repair it",
            )
        } else {
            PackError::missing(&path, "it was fetched and is gone; fetch the model again to repair it")
        };
        match checked.iter_mut().find(|file| file.path == path) {
            Some(known) => known.fault = known.fault.take().or(Some(fault)),
            None => checked.push(Checked {
                bytes: std::fs::metadata(&path).map_or(0, |facts| facts.len()),
                path,
                fault: Some(fault),
            }),
        }
    }
    Ok(())
}

/// Adds the files in `folder` and below to `files`.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), PackError> {
    for item in std::fs::read_dir(folder).map_err(PackError::io(folder, "listed"))? {
        let path = item.map_err(PackError::io(folder, "listed"))?.path();
        if path.is_dir() {
            if depth > 0 {
                list(&path, depth - 1, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn extension(path: &Path) -> String {
    path.extension().map_or_else(String::new, |extension| extension.to_string_lossy().to_ascii_lowercase())
}

/// Checks one file; `None` for kinds that no lens reads.
fn check(path: PathBuf) -> Option<Checked> {
    let outcome = match extension(&path).as_str() {
        "safetensors" => File::open(&path)
            .map_err(PackError::io(&path, "opened"))
            .and_then(|mut file| header::read(&path, &mut file))
            .map(|_| ()),
        "bin" | "pth" | "ckpt" => convert::inspect(&path).map(|_| ()),
        "gguf" => GgufFile::open(&path).map(|_| ()),
        "json" => read_json_as::<Value>(&path).map(|_| ()),
        _ => return None,
    };
    let bytes = std::fs::metadata(&path).map_or(0, |facts| facts.len());
    Some(Checked { path, bytes, fault: outcome.err() })
}

#[cfg(test)]
mod tests {
    use super::super::test_files::{Stored, safetensors};
    use super::*;

    #[test]
    fn good_files_pass_and_bad_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let unet = folder.path().join("unet");
        std::fs::create_dir(&unet).unwrap();
        assert!(verify(folder.path()).is_err());
        let whole = safetensors(&[Stored::f32("a", &[2], &[1.0, 2.0])]);
        std::fs::write(unet.join("model.safetensors"), &whole).unwrap();
        std::fs::write(unet.join("config.json"), "{}").unwrap();
        std::fs::write(folder.path().join("README.md"), "x").unwrap();
        std::fs::write(folder.path().join("chat.gguf"), "GGUF").unwrap();
        let checked = verify(folder.path()).unwrap();
        assert!(checked[0].path.ends_with("chat.gguf") && checked[0].fault.is_some());
        std::fs::remove_file(folder.path().join("chat.gguf")).unwrap();
        let checked = verify(folder.path()).unwrap();
        assert_eq!(checked.len(), 2);
        assert!(checked.iter().all(|file| file.fault.is_none()));
        assert_eq!(checked[1].bytes, whole.len() as u64);
        std::fs::write(unet.join("model.safetensors"), &whole[..whole.len() - 1]).unwrap();
        std::fs::write(unet.join("config.json"), "{").unwrap();
        assert!(verify(folder.path()).unwrap().iter().all(|file| file.fault.is_some()));
    }
}
