//! What a fetch asks of the disk: free space, and that bytes are written. Tests put a full disk in its place.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The disk that models are written to.
pub trait Disk: Sync {
    /// Bytes that are free where `folder` is or will be; `None` where the system does not tell.
    fn free(&self, folder: &Path) -> Option<u64>;

    /// Writes all of `bytes` at the end of what was written of `file`.
    ///
    /// # Errors
    /// The system's.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
}

/// This machine's.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisDisk;

impl Disk for ThisDisk {
    fn free(&self, folder: &Path) -> Option<u64> {
        let existing = folder.ancestors().find(|folder| folder.exists())?;
        fs4::available_space(existing).ok()
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}
