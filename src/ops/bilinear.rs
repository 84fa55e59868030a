//! Shrinking feature planes by antialiased linear interpolation: how FlexAttention makes its low-resolution picture from
//! the high-resolution one.
//!
//! The same weights as PyTorch's `interpolate(mode="bilinear", antialias=True)`: a tent as wide as the shrinking, normalised
//! at the borders. For a factor of 3 that is [1, 2, 3, 2, 1] / 9 (spec/flexattention.md section 1.3).

use candle_core::{DType, Device, Result, Tensor};

/// Resamples `[batch, channels, h, w]` to `[batch, channels, height, width]`; in f32 whatever the dtype.
///
/// # Errors
/// When the input is not of rank 4, or a side is 0.
pub fn shrink_antialiased(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    if h * w * height * width == 0 {
        candle_core::bail!("planes {:?} cannot become {height} × {width}", x.shape());
    }
    if (h, w) == (height, width) {
        return Ok(x.clone());
    }
    let planes = x.to_dtype(DType::F32)?.contiguous()?.reshape((batch * channels * h, w))?;
    // Along rows, then along columns: [b·c·h, w] → [b·c, h, width] → [b·c, height, width].
    let narrow = planes.matmul(&matrix(w, width, x.device())?.t()?)?.reshape((batch * channels, h, width))?;
    let low = matrix(h, height, x.device())?.broadcast_matmul(&narrow.contiguous()?)?;
    low.reshape((batch, channels, height, width))?.to_dtype(x.dtype())
}

/// The weights of every input sample in every output sample, `[outputs, inputs]`.
fn matrix(inputs: usize, outputs: usize, device: &Device) -> Result<Tensor> {
    let scale = inputs as f64 / outputs as f64;
    let widened = scale.max(1.0);
    let mut weights = vec![0f32; outputs * inputs];
    for (output, row) in weights.chunks_exact_mut(inputs).enumerate() {
        let centre = scale * (output as f64 + 0.5);
        let first = (centre - widened + 0.5).max(0.0) as usize;
        let last = ((centre + widened + 0.5) as usize).min(inputs);
        let weight = |at: usize| (1.0 - ((at as f64 - centre + 0.5) / widened).abs()).max(0.0);
        let sum: f64 = (first..last).map(weight).sum();
        for (at, value) in row.iter_mut().enumerate().take(last).skip(first) {
            *value = (weight(at) / sum) as f32;
        }
    }
    Tensor::from_vec(weights, (outputs, inputs), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_has_the_five_taps_of_the_spec() {
        let rows = matrix(12, 4, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let close = |row: &[f32], taps: &[f32], sum: f32| {
            row.iter().zip(taps).all(|(value, tap)| (value - tap / sum).abs() < 1e-6)
        };
        assert!(close(&rows[0], &[2., 3., 2., 1., 0., 0., 0., 0., 0., 0., 0., 0.], 8.0), "{rows:?}");
        assert!(close(&rows[1], &[0., 0., 1., 2., 3., 2., 1., 0., 0., 0., 0., 0.], 9.0), "{rows:?}");
        assert!(close(&rows[3], &[0., 0., 0., 0., 0., 0., 0., 0., 1., 2., 3., 2.], 8.0), "{rows:?}");
    }

    #[test]
    fn flat_planes_stay_flat_and_the_same_size_is_untouched() {
        let flat = Tensor::full(0.5f32, (2, 3, 9, 6), &Device::Cpu).unwrap();
        for (height, width) in [(3, 2), (4, 4), (9, 6)] {
            let out = shrink_antialiased(&flat, height, width).unwrap();
            assert_eq!(out.dims(), [2, 3, height, width]);
            let values = out.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| (value - 0.5).abs() < 1e-6));
        }
        assert!(shrink_antialiased(&flat, 0, 2).is_err());
    }
}
