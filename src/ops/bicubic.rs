//! Bringing a grid of vectors to another size by cubic convolution: how a table of position embeddings is fitted to a
//! picture's patch grid.
//!
//! [`resize_antialiased`] (timm's way) has the weights of PyTorch's `interpolate(mode="bicubic", antialias=True)`: Keys'
//! kernel with a = −0.5, widened when shrinking, normalised at the borders. [`resize_cubic`] (transformers' and DINOv2's
//! own) has those of the plain bicubic mode: a = −0.75, four samples always, the border samples repeated.

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

/// Resamples `[h, w, d]` to `[rows.0, columns.0, d]` without antialiasing, where `rows.1` and `columns.1` tell how far one
/// output sample lies from the next, in input samples: h / height, unless the reference has its own rule.
///
/// # Errors
/// When the input is not of rank 3, or a side is 0.
pub fn resize_cubic(x: &Tensor, rows: (usize, f64), columns: (usize, f64)) -> Result<Tensor> {
    let (h, w, d) = x.dims3()?;
    let (height, width) = (rows.0, columns.0);
    if h * w * d * height * width == 0 {
        candle_core::bail!("a grid {:?} cannot become {height} × {width}", x.shape());
    }
    if (h, w) == (height, width) {
        return Ok(x.clone());
    }
    let down = plain_matrix(h, rows, x.device())?;
    let across = plain_matrix(w, columns, x.device())?;
    let grid = x.to_dtype(DType::F32)?.contiguous()?;
    let wide = across.broadcast_matmul(&grid)?.contiguous()?;
    down.matmul(&wide.reshape((h, width * d))?)?.reshape((height, width, d))?.to_dtype(x.dtype())
}

/// The weights of [`resize_cubic`] along one side, `[outputs, inputs]`.
fn plain_matrix(inputs: usize, (outputs, step): (usize, f64), device: &Device) -> Result<Tensor> {
    let mut weights = vec![0f32; outputs * inputs];
    for (output, row) in weights.chunks_exact_mut(inputs).enumerate() {
        let at = step * (output as f64 + 0.5) - 0.5;
        let first = at.floor();
        for tap in -1..=2 {
            let place = first + f64::from(tap);
            let input = place.clamp(0.0, inputs as f64 - 1.0) as usize;
            row[input] += cubic(at - place, -0.75) as f32;
        }
    }
    Tensor::from_vec(weights, (outputs, inputs), device)
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
    let weight = |at: usize| cubic((at as f64 - centre + 0.5) / widened, -0.5);
    let sum: f64 = (first..last).map(weight).sum();
    for (at, value) in row.iter_mut().enumerate().take(last).skip(first) {
        *value = (weight(at) / sum) as f32;
    }
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
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
        let out = resize_cubic(&flat, (9, 5.0 / 9.1), (2, 1.5)).unwrap();
        assert_eq!(out.dims(), [9, 2, 2]);
        assert!(out.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|value| (value - 0.75).abs() < 1e-6));
        assert!(resize_cubic(&flat, (0, 1.0), (2, 1.5)).is_err());
    }

    #[test]
    fn the_plain_kind_repeats_the_border() {
        // Doubling [0, 1]: output 0 lies at −0.25: of its four samples only the last, 1.25 away, is the second input's.
        let x = Tensor::new(&[[[0f32], [1f32]]], &Device::Cpu).unwrap();
        let out = resize_cubic(&x, (1, 1.0), (4, 0.5)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let wanted = [-0.105_468_75, 0.226_562_5, 1.0 - 0.226_562_5, 1.0 + 0.105_468_75];
        assert!(out.iter().zip(wanted).all(|(out, wanted)| (out - wanted).abs() < 1e-6), "{out:?}");
    }
}
