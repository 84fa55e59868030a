//! The bytes of one open weight file: mapped into memory, or read piece by piece where that is impossible, unwanted, or
//! dangerous because the file lies on a network drive.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memmap2::Mmap;

use super::{PackError, network_drive};

/// One open weight file whose header has been checked.
#[derive(Debug)]
pub(super) struct FileBytes {
    path: PathBuf,
    access: Access,
}

/// The two ways to a file's bytes.
#[derive(Debug)]
enum Access {
    Mapped(Mmap),
    Read(Mutex<File>),
}

impl FileBytes {
    /// The bytes of `file`, which is `path`; call it only once the header was checked against the file's length.
    pub(super) fn new(path: &Path, file: File, read_instead_of_map: bool) -> Self {
        let access = if read_instead_of_map || network_drive::holds(path) {
            Access::Read(Mutex::new(file))
        } else {
            // SAFETY: the mapping is read-only and private to this struct, which hands out nothing but copies. The
            // header was checked against the file's length just now. What remains is another program cutting the file
            // short while it is mapped: that ends this program (SIGBUS) but cannot make it read foreign memory, and
            // weight files are only ever replaced by renaming, which leaves a mapping intact.
            match unsafe { Mmap::map(&file) } {
                Ok(map) => Access::Mapped(map),
                Err(_) => Access::Read(Mutex::new(file)),
            }
        };
        Self { path: path.to_path_buf(), access }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is mapped into memory.
    pub(super) fn mapped(&self) -> bool {
        matches!(self.access, Access::Mapped(_))
    }

    /// Hands the bytes of `range` to `use_bytes`.
    pub(super) fn with<T>(&self, range: &Range<u64>, use_bytes: impl FnOnce(&[u8]) -> T) -> Result<T, PackError> {
        let cut = |have: u64| PackError::Truncated { path: self.path.clone(), have, need: range.end };
        match &self.access {
            Access::Mapped(map) => {
                let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
                let bytes = bounds.and_then(|(start, end)| map.get(start..end)).ok_or_else(|| cut(map.len() as u64))?;
                Ok(use_bytes(bytes))
            }
            Access::Read(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let length = file.metadata().map_err(PackError::io(&self.path, "read"))?.len();
                if range.end > length {
                    return Err(cut(length));
                }
                let size = usize::try_from(range.end - range.start).map_err(|_| cut(length))?;
                let mut bytes = vec![0; size];
                file.seek(SeekFrom::Start(range.start))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(PackError::io(&self.path, "read"))?;
                Ok(use_bytes(&bytes))
            }
        }
    }
}
