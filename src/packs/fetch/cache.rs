//! The hub cache that Hugging Face's own programs keep (`models--OWNER--NAME` with `blobs`, `refs` and `snapshots`):
//! read, never written.

use std::path::{Path, PathBuf};

use super::digest::Fingerprint;
use super::listing::RemoteFile;
use super::record::local;

/// The folder of `repository` in the cache `cache`.
fn folder(cache: &Path, repository: &str) -> PathBuf {
    cache.join(format!("models--{}", repository.replace('/', "--")))
}

/// The file's content in one of `caches`, by its length; that it has the right hash is for the reader to find out.
pub(super) fn find(caches: &[PathBuf], repository: &str, commit: &str, file: &RemoteFile) -> Option<PathBuf> {
    caches.iter().find_map(|cache| {
        let folder = folder(cache, repository);
        let blob = file.hash.as_ref().map(Fingerprint::digits).map(|digits| folder.join("blobs").join(digits));
        let linked = local(&folder.join("snapshots").join(commit), &file.path);
        let fits =
            |path: &PathBuf| std::fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == file.bytes);
        blob.into_iter().chain([linked]).find(fits)
    })
}

/// The snapshot of `commit` in one of `caches`, if all of `files` are in it with their lengths.
pub(super) fn whole_snapshot(
    caches: &[PathBuf],
    repository: &str,
    commit: &str,
    files: &[RemoteFile],
) -> Option<PathBuf> {
    let snapshots = caches.iter().map(|cache| folder(cache, repository).join("snapshots").join(commit));
    snapshots.into_iter().find(|snapshot| {
        files.iter().all(|file| {
            let path = local(snapshot, &file.path);
            std::fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == file.bytes)
        })
    })
}
