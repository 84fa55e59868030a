//! Why a scene cannot be had, seen or written, in types for the engine and sentences for the person.

use std::io;

use crate::nets::watcher::Cancelled;

/// Why there is no scene, no camera or no picture of it.
#[derive(Debug, thiserror::Error)]
pub enum SplatError {
    /// A file that cannot be used.
    #[error("{path} {fault}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it, as the rest of a sentence: "ends in the middle of its Gaussians".
        fault: String,
    },
    /// The file system's own fault.
    #[error("{path} cannot be {doing}: {source}")]
    Io {
        /// The file.
        path: String,
        /// "read" or "written".
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Parts of a scene that do not belong together.
    #[error("the scene does not fit together: {0}")]
    Parts(String),
    /// A camera that cannot see.
    #[error("the camera cannot be used: {0}")]
    Camera(String),
    /// A request that cannot be met.
    #[error("{0}")]
    Request(String),
    /// It needs more memory than there is.
    #[error("{what} needs about {needed} bytes, {available} are free")]
    OutOfMemory {
        /// What was to be done: "opening garden.ply".
        what: String,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A device failed; the scene and the camera are untouched.
    #[error("the renderer failed: {0}")]
    Device(String),
    /// The work was stopped on purpose.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}
