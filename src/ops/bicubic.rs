//! Bringing a grid of vectors to another size by antialiased cubic convolution: how timm fits a table of position
//! embeddings to a picture's patch grid.
//!
//! The same weights as PyTorch's `interpolate(mode="bicubic", antialias=True)`: Keys' kernel with a = −0.5 (not the
//! −0.75 of the plain bicubic mode), widened when shrinking, normalised at the borders instead of repeating them.

use candle_core::{DType, Device, Result, Tensor};

/// Resamples `[h, w, d]` to `[height, width, d]`; in f32 whatever the dtype.
///
/// # Errors
/// When the input is not of rank 3, or a side is 0.
pub fn resize_antialiased(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (h, w, d) = x.dims3()?;
    if h * w * d * height * width == 0 {
        candle_core::bail!("a grid {:?} cannot become {height} × {width}", x.shape());
    }
    if (h, w) == (height, width) {
        return Ok(x.clone());
    }
    let rows = matrix(h, height, x.device())?;
    let columns = matrix(w, width, x.device())?;
    let grid = x.to_dtype(DType::F32)?.contiguous()?;
    // Columns first, as the reference does: [h, w, d] → [h, width, d] → [height, width, d].
    let wide = columns.broadcast_matmul(&grid)?.contiguous()?;
    rows.matmul(&wide.reshape((h, width * d))?)?.reshape((height, width, d))?.to_dtype(x.dtype())
}

/// The weights of every input sample in every output sample, `[outputs, inputs]`.
fn matrix(inputs: usize, outputs: usize, device: &Device) -> Result<Tensor> {
    let mut weights = vec![0f32; outputs * inputs];
    for (output, row) in weights.chunks_exact_mut(inputs).enumerate() {
        fill(row, output, inputs as f64 / outputs as f64);
    }
    Tensor::from_vec(weights, (outputs, inputs), device)
}

fn fill(row: &mut [f32], output: usize, scale: f64) {
    let widened = scale.max(1.0);
    let support = 2.0 * widened;
    let centre = scale * (output as f64 + 0.5);
    let first = (centre - support + 0.5).max(0.0) as usize;
    let last = ((centre + support + 0.5) as usize).min(row.len());
    let weight = |at: usize| cubic((at as f64 - centre + 0.5) / widened);
    let sum: f64 = (first..last).map(weight).sum();
    for (at, value) in row.iter_mut().enumerate().take(last).skip(first) {
        *value = (weight(at) / sum) as f32;
    }
}

/// Keys' cubic convolution kernel with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32], outputs: usize) -> Vec<f32> {
        let x = Tensor::from_slice(values, (1, values.len(), 1), &Device::Cpu).unwrap();
        resize_antialiased(&x, 1, outputs).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_small_case_by_hand() {
        // Doubling [0, 1]: output 0 lies at 0.25, between −0.25 and 0.75 samples from the two inputs' centres:
        // k(0.25) = 0.8671875, k(0.75) = 0.2265625, normalised because nothing repeats beyond the border.
        let (near, far) = (0.867_187_5, 0.226_562_5);
        let share = far / (near + far);
        for (found, wanted) in row(&[0.0, 1.0], 4).iter().zip([
            // At −0.25 beyond the first centre the kernel still reaches the second input: k(0.25), k(1.25) < 0.
            -0.0703125 / (0.867_187_5 - 0.0703125),
            share,
            1.0 - share,
            1.0 + 0.0703125 / (0.867_187_5 - 0.0703125),
        ]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }

    #[test]
    fn flat_grids_stay_flat_and_the_same_size_is_untouched() {
        let flat = Tensor::full(0.75f32, (5, 3, 2), &Device::Cpu).unwrap();
        for (height, width) in [(1, 1), (9, 2), (2, 7), (5, 3)] {
            let out = resize_antialiased(&flat, height, width).unwrap();
            assert_eq!(out.dims(), [height, width, 2]);
            let values = out.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|value| (value - 0.75).abs() < 1e-6), "{values:?}");
        }
        assert!(resize_antialiased(&flat, 0, 3).is_err());
    }
}
