//! One fetch of a model at a time, also between several instances of the program.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::FetchError;
use super::observer::{FetchObserver, Stage, Wish};
use super::settings::Patience;

/// A model's lock, let go when dropped (or when the program ends, however it ends).
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "holds the lock while it is open")] File);

impl Lock {
    /// Takes the lock in the file `path`, waiting for whoever has it.
    pub(super) fn take(path: &Path, patience: &Patience, observer: &dyn FetchObserver) -> Result<Self, FetchError> {
        let open = || File::options().create(true).truncate(false).write(true).open(path);
        let file = open().map_err(FetchError::io(path, "opened"))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                // Some network drives have no locks at all: two instances there are the person's own affair.
                Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                    return Ok(Self(file));
                }
                Err(TryLockError::Error(error)) => return Err(FetchError::io(path, "locked")(error)),
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        observer.stage(&Stage::Waiting);
                        told = true;
                    }
                    if observer.wish() == Wish::Stop {
                        return Err(FetchError::Cancelled);
                    }
                    std::thread::sleep(patience.glance);
                }
            }
        }
    }

    /// Takes the lock if nobody has it.
    pub(super) fn try_take(path: &Path) -> Option<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(path).ok()?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            _ => Some(Self(file)),
        }
    }
}
