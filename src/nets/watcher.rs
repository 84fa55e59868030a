//! What a forward pass shows while it runs: named tensors, progress, and a place to stop.
//!
//! Every network takes a [`Watcher`], so that inspection and cancellation never fork a network.

use candle_core::Tensor;

/// Sees into a forward pass and can stop it between blocks.
///
/// Methods take `&self`: one watcher is shared by all networks of a run and keeps its state in cells.
pub trait Watcher {
    /// Called between blocks; an error stops the pass and is handed to its caller.
    ///
    /// # Errors
    /// [`Cancelled`] (wrapped by candle) when the person wants the run stopped.
    fn checkpoint(&self) -> candle_core::Result<()> {
        Ok(())
    }

    /// Whether [`Watcher::tensor`] wants the tensor of that name; lets a network skip the work of making it.
    fn wants(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Shows a named intermediate tensor.
    fn tensor(&self, name: &str, tensor: &Tensor) {
        let _ = (name, tensor);
    }
}

/// Watches nothing and never stops a pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {}

/// The run was stopped on purpose; not a failure.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Cancelled {
    /// This as candle's error type, which forward passes return.
    #[must_use]
    pub fn into_candle(self) -> candle_core::Error {
        candle_core::Error::wrap(self)
    }
}
