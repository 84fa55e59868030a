//! Between planes of channels and sequences of positions: the last two dimensions change places, in memory.

use candle_core::{Result, Tensor};

use super::cpu::planes;
use super::kernel::{over1, takes};

/// `[batch, n, m]` to `[batch, m, n]`, contiguous.
///
/// # Errors
/// When the tensor is not of rank 3.
pub fn transposed(x: &Tensor) -> Result<Tensor> {
    let (batch, n, m) = x.dims3()?;
    if !takes(x) {
        return x.transpose(1, 2)?.contiguous();
    }
    over1("transpose", &x.contiguous()?, |x| {
        let mut out = vec![0.0; batch * n * m];
        planes::transpose(x.contiguous()?, (n, m), &mut out);
        Ok((out, (batch, m, n).into()))
    })
}
