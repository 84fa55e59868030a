//! Making feature planes larger: nearest-neighbour upsampling and one-sided padding, as diffusers' UNet and VAE do.

use candle_core::{Result, Tensor};

use super::cpu::planes;
use super::kernel::{over1, takes};

/// Doubles height and width, each value repeated: `[batch, channels, h, w]` to `[batch, channels, 2h, 2w]`.
///
/// # Errors
/// When the input is not of rank 4.
pub fn upsample_nearest2x(x: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    upsample_nearest(x, 2 * height, 2 * width)
}

/// Brings planes to `height` × `width` by nearest neighbour (source index ⌊i · old / new⌋), for skip connections
/// whose sizes are not multiples of two.
///
/// # Errors
/// When the input is not of rank 4.
pub fn upsample_nearest(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, channels, from_height, from_width) = x.dims4()?;
    if !takes(x) {
        return x.contiguous()?.upsample_nearest2d(height, width);
    }
    over1("upsample", &x.contiguous()?, |x| {
        let mut out = vec![0.0; batch * channels * height * width];
        planes::enlarge(x.contiguous()?, (from_height, from_width), (height, width), &mut out);
        Ok((out, (batch, channels, height, width).into()))
    })
}

/// Adds one column of zeros on the right and one row below, as the VAE encoder does before its stride-2
/// convolutions: `[batch, channels, h, w]` to `[batch, channels, h + 1, w + 1]`.
///
/// # Errors
/// When the input is not of rank 4.
pub fn pad_right_bottom(x: &Tensor) -> Result<Tensor> {
    x.dims4()?;
    x.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)
}
