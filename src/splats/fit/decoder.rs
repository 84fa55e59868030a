//! FiT3D's decoder: one convolution of 3 × 3 without bias, which brings the few channels of blended Gaussians to the width
//! of a backbone (spec/fit3d.md section 1.1), forwards and backwards.
//!
//! As matrices: the neighbourhoods of all pixels `[pixels, 9 · inner]` times the weights `[9 · inner, width]`. Beyond the
//! picture's border everything is 0.

use rayon::prelude::*;

use crate::ops::cpu::arch;
use crate::ops::cpu::linear::{Rows, product};
use crate::ops::cpu::panels::Panels;
use crate::splats::SplatError;

/// Taps of the kernel.
const TAPS: usize = 9;

/// A convolution of 3 × 3 without bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Channels of the Gaussians.
    pub inner: usize,
    /// Channels of the backbone.
    pub width: usize,
    /// `[width, inner, 3, 3]`, as PyTorch stores it.
    pub weights: Vec<f32>,
}

impl Decoder {
    /// A decoder with these weights, `[width, inner, 3, 3]`.
    ///
    /// # Errors
    /// [`SplatError::Request`] if they are not so many, or no numbers.
    pub fn new(inner: usize, width: usize, weights: Vec<f32>) -> Result<Self, SplatError> {
        if inner == 0 || width == 0 || weights.len() != inner * width * TAPS {
            let text = format!("{} weights are no 3 × 3 decoder from {inner} to {width} channels", weights.len());
            return Err(SplatError::Request(text));
        }
        if weights.iter().any(|weight| !weight.is_finite()) {
            return Err(SplatError::Request("the decoder has weights that are no numbers".to_owned()));
        }
        Ok(Self { inner, width, weights })
    }

    /// The weight of a tap of an inner channel for an output channel.
    fn at(&self, out: usize, inner: usize, tap: usize) -> f32 {
        self.weights[(out * self.inner + inner) * TAPS + tap]
    }

    /// `[height, width of the picture, inner]` to `[height, width of the picture, width]`.
    #[must_use]
    pub fn decode(&self, map: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
        self.forward(&neighbourhoods(map, (rows, columns), self.inner))
    }

    /// The outputs of pixels with these [`neighbourhoods`].
    pub(super) fn forward(&self, around: &[f32]) -> Vec<f32> {
        let depth = TAPS * self.inner;
        let right = Panels::pack(arch(), depth, self.width, |p, j| self.at(j, p % self.inner, p / self.inner));
        multiply(around, [depth, 1], around.len() / depth, &right)
    }

    /// The gradient of the weights, laid out as they are, from that of the outputs `[pixels, width]`.
    pub(super) fn weight_gradient(&self, around: &[f32], outputs: &[f32]) -> Vec<f32> {
        let (depth, pixels) = (TAPS * self.inner, outputs.len() / self.width);
        let right = Panels::pack(arch(), pixels, self.width, |p, j| outputs[p * self.width + j]);
        let found = multiply(around, [1, depth], depth, &right);
        let mut gradient = vec![0.0; self.weights.len()];
        gradient.par_chunks_mut(self.inner * TAPS).enumerate().for_each(|(out, gradient)| {
            for (at, value) in gradient.iter_mut().enumerate() {
                let (inner, tap) = (at / TAPS, at % TAPS);
                *value = found[(tap * self.inner + inner) * self.width + out];
            }
        });
        gradient
    }

    /// The gradient of the map `[pixels, inner]` from that of the outputs.
    pub(super) fn map_gradient(&self, outputs: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
        // The same convolution with the kernel turned around.
        let around = neighbourhoods(outputs, (rows, columns), self.width);
        let depth = TAPS * self.width;
        let right =
            Panels::pack(arch(), depth, self.inner, |p, j| self.at(p % self.width, j, TAPS - 1 - p / self.width));
        multiply(&around, [depth, 1], rows * columns, &right)
    }
}

fn multiply(left: &[f32], [row, column]: [usize; 2], rows: usize, right: &Panels) -> Vec<f32> {
    let mut out = vec![0.0; rows * right.columns];
    product(arch(), Rows { numbers: left, batch: 1, rows, strides: [0, row, column] }, right, None, &mut out);
    out
}

/// The 3 × 3 pixels around each pixel, `[pixels, tap, channels]`, of a map `[rows, columns, channels]`.
pub(super) fn neighbourhoods(map: &[f32], (rows, columns): (usize, usize), channels: usize) -> Vec<f32> {
    let mut all = vec![0.0; rows * columns * TAPS * channels];
    all.par_chunks_mut((columns * TAPS * channels).max(1)).enumerate().for_each(|(row, all)| {
        for (column, around) in all.chunks_exact_mut(TAPS * channels).enumerate() {
            for (tap, out) in around.chunks_exact_mut(channels).enumerate() {
                let (y, x) = ((row + tap / 3).wrapping_sub(1), (column + tap % 3).wrapping_sub(1));
                if y < rows && x < columns {
                    out.copy_from_slice(&map[(y * columns + x) * channels..][..channels]);
                }
            }
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * step) % 23) as f32 * 0.1 - 1.0).collect()
    }

    /// Written out as the definition says.
    fn plain(decoder: &Decoder, map: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * columns * decoder.width];
        for y in 0..rows {
            for x in 0..columns {
                for to in 0..decoder.width {
                    for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
                        if (1..=rows).contains(&(y + ky)) && (1..=columns).contains(&(x + kx)) {
                            let from = &map[((y + ky - 1) * columns + x + kx - 1) * decoder.inner..][..decoder.inner];
                            for (channel, value) in from.iter().enumerate() {
                                let weight = decoder.weights[((to * decoder.inner + channel) * 3 + ky) * 3 + kx];
                                out[(y * columns + x) * decoder.width + to] += weight * value;
                            }
                        }
                    }
                }
            }
        }
        out
    }

    #[test]
    fn it_is_pytorchs_convolution_and_its_gradients_are_those_of_the_outputs() {
        let (rows, columns) = (5, 7);
        let decoder = Decoder::new(3, 4, numbers(108, 7)).unwrap();
        let map = numbers(rows * columns * 3, 5);
        let found = decoder.decode(&map, (rows, columns));
        let wanted = plain(&decoder, &map, rows, columns);
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5));
        // Σ g · out is linear in the weights and in the map: its gradients are its values on unit vectors.
        let g = numbers(rows * columns * 4, 11);
        let sum = |outputs: &[f32]| outputs.iter().zip(&g).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let of_map = decoder.map_gradient(&g, (rows, columns));
        let of_weights = decoder.weight_gradient(&neighbourhoods(&map, (rows, columns), 3), &g);
        for at in [0, 17, 50, 104] {
            let mut unit = vec![0.0; map.len()];
            unit[at] = 1.0;
            let wanted = sum(&plain(&decoder, &unit, rows, columns));
            assert!((f64::from(of_map[at]) - wanted).abs() < 1e-4, "{at}");
        }
        for at in [0, 13, 60, 107] {
            let mut unit = vec![0.0; decoder.weights.len()];
            unit[at] = 1.0;
            let wanted = sum(&plain(&Decoder { weights: unit, ..decoder.clone() }, &map, rows, columns));
            assert!((f64::from(of_weights[at]) - wanted).abs() < 1e-4, "{at}");
        }
        assert!(Decoder::new(3, 4, vec![0.0; 107]).is_err());
        assert!(Decoder::new(1, 1, vec![f32::NAN; 9]).is_err());
    }
}
