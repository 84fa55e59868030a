//! Puts a low-resolution edit onto the full-resolution source, so that the source's texture stays.
//!
//! The model works small and its autoencoder blurs. What it *changed* is the difference between what it drew and its
//! own reconstruction of the source. Around every small pixel that change is fitted as `slope · colour + offset`
//! (a gain and a shift, as a guided filter does); gain and shift vary slowly, enlarge well, and are applied to the
//! source's own pixels. What the fit cannot explain (new shapes) is enlarged and added as it is.

use image::RgbImage;
use rayon::prelude::*;

use super::resize::{WorkingPlan, cut, paste};

/// Half width of the window a gain is fitted in, in working pixels.
const RADIUS: usize = 4;
/// Variance (of colours in 0…1) below which a window counts as flat and its change as a shift.
const FLAT: f32 = 0.0012;

/// The edit at the source's size. `reconstructed` and `edited` are at the working size.
///
/// Where both are equal in a window, the source's pixels come back bit for bit.
#[must_use]
pub fn transfer(source: &RgbImage, reconstructed: &RgbImage, edited: &RgbImage, plan: &WorkingPlan) -> RgbImage {
    let (before, after) = (cut(reconstructed, plan.content), cut(edited, plan.content));
    let (width, height) = (before.width() as usize, before.height() as usize);
    let models: Vec<Model> = (0..3).map(|channel| Model::fit(&before, &after, channel)).collect();
    let mut part = cut(source, plan.used);
    let (full_width, full_height) = (part.width() as usize, part.height() as usize);
    let columns: Vec<Tap> = (0..full_width).map(|x| Tap::new(x, full_width, width)).collect();
    part.par_chunks_mut(3 * full_width).enumerate().for_each(|(y, row)| {
        let line = Tap::new(y, full_height, height);
        for (pixel, column) in row.chunks_mut(3).zip(&columns) {
            for (value, model) in pixel.iter_mut().zip(&models) {
                let colour = f32::from(*value) / 255.0;
                let at = |map: &[f32]| {
                    line.mix(
                        column.mix(map[line.low * width + column.low], map[line.low * width + column.high]),
                        column.mix(map[line.high * width + column.low], map[line.high * width + column.high]),
                    )
                };
                let change = at(&model.slope) * colour + at(&model.rest);
                *value = ((colour + change) * 255.0).round().clamp(0.0, 255.0) as u8;
            }
        }
    });
    paste(part, plan, source)
}

/// The change of one channel: `slope · colour + rest`.
struct Model {
    slope: Vec<f32>,
    /// The offset and what the fit leaves over.
    rest: Vec<f32>,
}

impl Model {
    fn fit(before: &RgbImage, after: &RgbImage, channel: usize) -> Self {
        let (width, height) = (before.width() as usize, before.height() as usize);
        let take = |picture: &RgbImage| -> Vec<f32> {
            picture.pixels().map(|pixel| f32::from(pixel.0[channel]) / 255.0).collect()
        };
        let (x, target) = (take(before), take(after));
        let change: Vec<f32> = target.iter().zip(&x).map(|(a, b)| a - b).collect();
        let mean = |values: &[f32]| window_means(values, width, height);
        let products = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
        let (mean_x, mean_change) = (mean(&x), mean(&change));
        let (mean_xx, mean_x_change) = (mean(&products(&x, &x)), mean(&products(&x, &change)));
        let slopes: Vec<f32> = (0..x.len())
            .map(|i| {
                let variance = (mean_xx[i] - mean_x[i] * mean_x[i]).max(0.0);
                let together = mean_x_change[i] - mean_x[i] * mean_change[i];
                (together / (variance + FLAT)).clamp(-1.0, 1.0)
            })
            .collect();
        let offsets: Vec<f32> = (0..x.len()).map(|i| mean_change[i] - slopes[i] * mean_x[i]).collect();
        let (slope, offset) = (mean(&slopes), mean(&offsets));
        let rest = (0..x.len())
            .map(|i| {
                let left = change[i] - (slope[i] * x[i] + offset[i]);
                offset[i] + left
            })
            .collect();
        Self { slope, rest }
    }
}

/// The mean of the window around every pixel, smaller at the edges.
fn window_means(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    let pass = |values: &[f32], length: usize, stride: usize, lines: usize, step: usize| {
        let mut out = vec![0.0_f32; values.len()];
        for line in 0..lines {
            let at = |i: usize| line * step + i * stride;
            let mut sum = 0.0_f64;
            let mut count = 0_usize;
            for i in 0..length.min(RADIUS) {
                sum += f64::from(values[at(i)]);
                count += 1;
            }
            for i in 0..length {
                if i + RADIUS < length {
                    sum += f64::from(values[at(i + RADIUS)]);
                    count += 1;
                }
                if i > RADIUS {
                    sum -= f64::from(values[at(i - RADIUS - 1)]);
                    count -= 1;
                }
                out[at(i)] = (sum / count as f64) as f32;
            }
        }
        out
    };
    let rows = pass(values, width, 1, height, width);
    pass(&rows, height, width, width, 1)
}

/// Where one full-size position falls between two small ones.
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

impl Tap {
    fn new(at: usize, full: usize, small: usize) -> Self {
        let position = ((at as f32 + 0.5) * small as f32 / full as f32 - 0.5).clamp(0.0, (small - 1) as f32);
        let low = position as usize;
        Self { low, high: (low + 1).min(small - 1), share: position - low as f32 }
    }

    fn mix(&self, a: f32, b: f32) -> f32 {
        a + (b - a) * self.share
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan, to_working};

    /// A textured picture: a slow gradient under a fine checker.
    fn textured() -> RgbImage {
        RgbImage::from_fn(256, 192, |x, y| {
            let fine = if (x + y) % 2 == 0 { 14 } else { 0 };
            Rgb([(60 + x / 4 + fine) as u8, (80 + y / 3 + fine) as u8, (100 + (x + y) / 8 + fine) as u8])
        })
    }

    #[test]
    fn no_change_gives_the_source_back_bit_for_bit() {
        let source = textured();
        for fit in [Fit::Pad, Fit::Crop, Fit::Squash] {
            let plan = plan(source.dimensions(), SizeRequest::LongerSide(64), fit, 32).expect("a plan");
            let small = to_working(&source, &plan);
            assert_eq!(transfer(&source, &small, &small, &plan), source);
        }
    }

    #[test]
    fn darkening_keeps_the_texture_in_proportion() {
        let source = textured();
        let plan = plan(source.dimensions(), SizeRequest::LongerSide(64), Fit::Pad, 8).expect("a plan");
        let small = to_working(&source, &plan);
        let mut dark = small.clone();
        for value in dark.iter_mut() {
            *value /= 2;
        }
        let result = transfer(&source, &small, &dark, &plan);
        let (mut error, mut contrast) = (0.0, 0.0);
        for (a, b) in source.enumerate_pixels().zip(result.pixels()).map(|((_, _, a), b)| (a, b)) {
            error += (f64::from(a.0[0]) / 2.0 - f64::from(b.0[0])).abs();
        }
        for (x, y, pixel) in result.enumerate_pixels() {
            if x > 0 {
                contrast += (f64::from(pixel.0[0]) - f64::from(result.get_pixel(x - 1, y).0[0])).abs();
            }
        }
        let count = f64::from(256 * 192);
        assert!(error / count < 4.0, "half as bright on average: off by {}", error / count);
        assert!(contrast / count > 4.0, "the checker is still there: {}", contrast / count);
    }

    #[test]
    fn a_new_shape_arrives() {
        let source = textured();
        let plan = plan(source.dimensions(), SizeRequest::LongerSide(64), Fit::Pad, 8).expect("a plan");
        let small = to_working(&source, &plan);
        let mut edited = small.clone();
        for y in 16..32 {
            for x in 20..40 {
                edited.put_pixel(x, y, Rgb([250, 240, 30]));
            }
        }
        let result = transfer(&source, &small, &edited, &plan);
        let inside = result.get_pixel(120, 96).0;
        assert!(inside[0] > 215 && inside[2] < 75, "{inside:?}");
        assert_eq!(result.get_pixel(240, 180), source.get_pixel(240, 180));
    }
}
