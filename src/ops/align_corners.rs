//! Bringing feature planes to another size by linear interpolation between samples whose outermost ones lie in the
//! corners: PyTorch's `interpolate(mode="bilinear", align_corners=True)`, which DPT's depth heads are made of.

use candle_core::{Device, Result, Tensor};

use super::cpu::planes;
use super::kernel::{over1, takes};

/// Resamples `[batch, channels, h, w]` to `[batch, channels, height, width]`.
///
/// # Errors
/// When the input is not of rank 4, or a side is 0.
pub fn resize_between_corners(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    if h * w * height * width == 0 {
        candle_core::bail!("planes {:?} cannot become {height} × {width}", x.shape());
    }
    if (h, w) == (height, width) {
        return Ok(x.clone());
    }
    if !takes(x) {
        return reference(x, height, width);
    }
    over1("interpolation", &x.contiguous()?, |x| {
        let mut out = vec![0.0; batch * channels * height * width];
        planes::between_corners(x.contiguous()?, (h, w), (height, width), &mut out);
        Ok((out, (batch, channels, height, width).into()))
    })
}

/// The same as two products of matrices, along rows and then along columns.
fn reference(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    let (down, across) = (matrix(h, height, x.device())?, matrix(w, width, x.device())?);
    let (down, across) = (down.to_dtype(x.dtype())?, across.to_dtype(x.dtype())?);
    let wide = x.contiguous()?.reshape((batch * channels * h, w))?.matmul(&across.t()?)?;
    let wide = wide.reshape((batch * channels, h, width))?;
    down.broadcast_matmul(&wide)?.reshape((batch, channels, height, width))
}

/// The weights of every input sample in every output sample, `[outputs, inputs]`.
fn matrix(inputs: usize, outputs: usize, device: &Device) -> Result<Tensor> {
    let mut weights = vec![0f32; outputs * inputs];
    for (row, (first, second, share)) in weights.chunks_exact_mut(inputs).zip(planes::corner_taps(inputs, outputs)) {
        row[first] += 1.0 - share;
        row[second] += share;
    }
    Tensor::from_vec(weights, (outputs, inputs), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn corners_stay_and_between_them_it_is_linear() {
        let x = Tensor::new(&[[[[0f32, 3.0], [6.0, 9.0]]]], &Device::Cpu).unwrap();
        let out = resize_between_corners(&x, 3, 4).unwrap();
        assert_eq!(numbers(&out), [0.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0, 7.0, 8.0, 9.0]);
        // A single sample is repeated, and a single output is the first.
        assert_eq!(numbers(&resize_between_corners(&x, 1, 1).unwrap()), [0.0]);
        let one = Tensor::new(&[[[[5f32]]]], &Device::Cpu).unwrap();
        assert_eq!(numbers(&resize_between_corners(&one, 2, 2).unwrap()), [5.0; 4]);
        assert!(resize_between_corners(&x, 0, 2).is_err());
    }

    #[test]
    fn the_kernel_computes_what_the_matrices_do() {
        for ((h, w), (height, width)) in [((5, 3), (9, 8)), ((7, 6), (3, 6)), ((1, 4), (4, 1))] {
            let values: Vec<f32> = (0..6 * h * w).map(|at| ((at * 37 % 101) as f32) / 50.0 - 1.0).collect();
            let x = Tensor::from_vec(values, (2, 3, h, w), &Device::Cpu).unwrap();
            let (found, wanted) =
                (resize_between_corners(&x, height, width).unwrap(), reference(&x, height, width).unwrap());
            assert_eq!(found.dims(), wanted.dims());
            assert!(numbers(&found).iter().zip(numbers(&wanted)).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
