//! Why an edit cannot run, in types for the engine and sentences for the person.

use super::scheduler::SchedulerError;
use crate::picture::resize::PlanError;

/// Why an edit did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Neither a wish nor an instruction.
    #[error("there is nothing to do: write what to change")]
    Empty,
    /// The folder's scheduler config.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The working size.
    #[error(transparent)]
    Size(#[from] PlanError),
    /// A config that the networks cannot follow, or of a model that is no editor.
    #[error("{0}")]
    Model(String),
    /// Injected noise that does not fit.
    #[error("{0}")]
    Noise(String),
    /// It needs more memory than there is.
    #[error("an edit at {width} × {height} needs about {needed} bytes, {available} are free")]
    OutOfMemory {
        /// Working width in pixels.
        width: u32,
        /// Working height in pixels.
        height: u32,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A network failed, or the run was cancelled inside one.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The run was cancelled between two steps.
    #[error(transparent)]
    Cancelled(#[from] crate::nets::watcher::Cancelled),
}
