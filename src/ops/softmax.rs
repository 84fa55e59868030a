//! Softmax over the last dimension.

use candle_core::{Result, Tensor};

/// Softmax over the last dimension, any leading shape.
///
/// # Errors
/// Only what the device reports.
pub fn softmax_last(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax_last_dim(&x.contiguous()?)
}
