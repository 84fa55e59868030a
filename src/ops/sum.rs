//! The sum of two tensors of one shape: residual connections.

use candle_core::{Result, Tensor};

use super::cpu::elementwise;
use super::kernel::{over2, takes};

/// a + b, both of the same shape.
///
/// # Errors
/// When the shapes differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if !takes(a) || !takes(b) || a.dims() != b.dims() {
        return a + b;
    }
    over2("add", [&a.contiguous()?, &b.contiguous()?], |[a, b]| {
        let mut out = vec![0.0; a.layout.shape().elem_count()];
        elementwise::add(a.contiguous()?, b.contiguous()?, &mut out);
        Ok((out, a.layout.shape().clone()))
    })
}
