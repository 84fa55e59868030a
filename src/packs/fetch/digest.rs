//! The two hashes by which the hub names content: SHA-256 for large files, git's SHA-1 of a blob for small ones.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::FetchError;
use super::observer::{FetchObserver, Wish};
use crate::packs::PackError;

/// What a file's content must hash to, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fingerprint {
    /// SHA-256 of the content.
    Sha256(String),
    /// SHA-1 of "blob", the length and the content, as git names small files.
    Git(String),
}

impl Fingerprint {
    /// The kind of hash that `text` can be by its length, quotes and weak marks of an ETag taken off.
    #[must_use]
    pub fn of_tag(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            64 if hexadecimal => Some(Self::Sha256(text)),
            40 if hexadecimal => Some(Self::Git(text)),
            _ => None,
        }
    }

    /// The digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }
}

impl Fingerprint {
    /// Whether the file at `path` has this hash; a file that is not there has not. `read` gets the length of each piece.
    ///
    /// # Errors
    /// If it is there and cannot be read, or the observer wants to stop.
    pub(crate) fn compare(
        &self,
        path: &Path,
        observer: &dyn FetchObserver,
        read: &mut dyn FnMut(u64),
    ) -> Result<bool, PackError> {
        if !path.is_file() {
            return Ok(false);
        }
        match of_file(path, Some(self), observer, read) {
            Ok(found) => Ok(found == *self),
            Err(FetchError::Cancelled) => Err(PackError::Cancelled),
            Err(FetchError::Io { path, doing, source }) => Err(PackError::Io { path, doing, source }),
            Err(other) => Err(PackError::damaged(path, other.to_string())),
        }
    }
}

/// A hash in the making.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    /// For a file of `length` bytes that must have the hash `wanted`; SHA-256 where that is not known.
    pub(super) fn new(wanted: Option<&Fingerprint>, length: u64) -> Self {
        match wanted {
            Some(Fingerprint::Git(_)) => {
                let mut hasher = Sha1::new();
                hasher.update(format!("blob {length}\0"));
                Self::Git(hasher)
            }
            _ => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Fingerprint {
        match self {
            Self::Sha256(hasher) => Fingerprint::Sha256(hexadecimal(&hasher.finalize())),
            Self::Git(hasher) => Fingerprint::Git(hexadecimal(&hasher.finalize())),
        }
    }

    /// Takes in what is in `file` from where it stands to its end, calling `read` with the length of each piece.
    pub(super) fn update_from(
        &mut self,
        path: &Path,
        file: &mut File,
        observer: &dyn FetchObserver,
        read: &mut dyn FnMut(u64),
    ) -> Result<(), FetchError> {
        let mut piece = vec![0; 1 << 20];
        loop {
            if observer.wish() == Wish::Stop {
                return Err(FetchError::Cancelled);
            }
            let length = file.read(&mut piece).map_err(FetchError::io(path, "read"))?;
            if length == 0 {
                return Ok(());
            }
            self.update(&piece[..length]);
            read(length as u64);
        }
    }
}

/// The hash of the file at `path`, of the same kind as `wanted`.
pub(super) fn of_file(
    path: &Path,
    wanted: Option<&Fingerprint>,
    observer: &dyn FetchObserver,
    read: &mut dyn FnMut(u64),
) -> Result<Fingerprint, FetchError> {
    let mut file = File::open(path).map_err(FetchError::io(path, "opened"))?;
    let length = file.metadata().map_err(FetchError::io(path, "read"))?.len();
    let mut hasher = Hasher::new(wanted, length);
    hasher.update_from(path, &mut file, observer, read)?;
    Ok(hasher.finish())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_sha256sum() {
        // `printf 'hello\n' | git hash-object --stdin` and `| sha256sum`.
        let git = Fingerprint::of_tag("W/\"ce013625030ba8dba906f756967f9e9ca394464a\"").unwrap();
        let sha = Fingerprint::of_tag("5891B5B522D5DF086D0FF0B110FBD9D21BB4FC7163AF34D08286A2E846F6BE03").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        for wanted in [git, sha] {
            let mut read = 0;
            assert_eq!(of_file(&path, Some(&wanted), &(), &mut |bytes| read += bytes).unwrap(), wanted);
            assert_eq!(read, 6);
        }
        assert_eq!(Fingerprint::of_tag("\"abc-12\""), None);
    }
}
