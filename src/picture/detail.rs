//! Puts a low-resolution edit onto the full-resolution source, so that the source's texture and outlines stay.
//!
//! The model works small and its autoencoder blurs. What it *changed* is the difference between what it drew and its
//! own reconstruction of the source. Around every small pixel that change is fitted as `slope · colour + rest`: the slope (a gain,
//! as a guided filter has it) varies slowly and carries the source's texture; the rest is smoothed and enlarged among
//! pixels of like colour only (joint bilateral upsampling, Kopf et al. 2007), so that it ends where the source's things end.

use image::RgbImage;
use rayon::prelude::*;

use super::resize::{WorkingPlan, cut, paste, to_working};

/// Half width of the window a gain is fitted in, in working pixels.
const RADIUS: usize = 4;
/// Variance (of colours in 0…1) below which a window counts as flat and its change as a shift.
const FLAT: f32 = 0.0012;
/// Half width of the window in which the rest is smoothed, in working pixels.
const SMOOTH: usize = 2;
/// Distance of two colours (each channel 0…1) that counts as different.
const UNLIKE: f32 = 0.07;
/// What the most unlike neighbour still weighs.
const FLOOR: f32 = 1e-3;

/// The edit at the source's size. `reconstructed` and `edited` are at the working size.
///
/// Where both are equal in a window, the source's pixels come back bit for bit.
#[must_use]
pub fn transfer(source: &RgbImage, reconstructed: &RgbImage, edited: &RgbImage, plan: &WorkingPlan) -> RgbImage {
    let (before, after) = (cut(reconstructed, plan.content), cut(edited, plan.content));
    let guide = cut(&to_working(source, plan), plan.content);
    let (width, height) = (before.width() as usize, before.height() as usize);
    let colours: Vec<[f32; 3]> = guide.pixels().map(|pixel| pixel.0.map(|value| f32::from(value) / 255.0)).collect();
    let models = [0, 1, 2].map(|channel| Model::fit(&before, &after, channel));
    let rest = along_outlines(&colours, &models, width, height);
    let mut part = cut(source, plan.used);
    let (full_width, full_height) = (part.width() as usize, part.height() as usize);
    let columns: Vec<Tap> = (0..full_width).map(|x| Tap::new(x, full_width, width)).collect();
    part.par_chunks_mut(3 * full_width).enumerate().for_each(|(y, row)| {
        let line = Tap::new(y, full_height, height);
        for (pixel, column) in row.chunks_mut(3).zip(&columns) {
            let colour = [pixel[0], pixel[1], pixel[2]].map(|value| f32::from(value) / 255.0);
            let places = [
                (line.low * width + column.low, (1.0 - line.share) * (1.0 - column.share)),
                (line.low * width + column.high, (1.0 - line.share) * column.share),
                (line.high * width + column.low, line.share * (1.0 - column.share)),
                (line.high * width + column.high, line.share * column.share),
            ];
            let mut total = 0.0;
            let mut shift = [0.0; 3];
            let mut slope = [0.0; 3];
            for (place, share) in places {
                let weight = share * likeness(colour, colours[place]);
                total += weight;
                for channel in 0..3 {
                    shift[channel] += weight * rest[place][channel];
                    slope[channel] += share * models[channel].slope[place];
                }
            }
            for (channel, value) in pixel.iter_mut().enumerate() {
                let change = slope[channel] * colour[channel] + shift[channel] / total;
                *value = ((colour[channel] + change) * 255.0).round().clamp(0.0, 255.0) as u8;
            }
        }
    });
    paste(part, plan, source)
}

/// How alike two colours are, [`FLOOR`]…1.
fn likeness(a: [f32; 3], b: [f32; 3]) -> f32 {
    let distance: f32 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    (-distance / (2.0 * UNLIKE * UNLIKE)).exp().max(FLOOR)
}

/// The rests of the three channels, each pixel's the mean of its neighbours weighed by how alike they are in the source.
fn along_outlines(colours: &[[f32; 3]], models: &[Model; 3], width: usize, height: usize) -> Vec<[f32; 3]> {
    let mut out = vec![[0.0; 3]; colours.len()];
    out.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
        for (x, value) in row.iter_mut().enumerate() {
            let here = colours[y * width + x];
            let mut total = 0.0;
            let mut sum = [0.0; 3];
            for v in y.saturating_sub(SMOOTH)..(y + SMOOTH + 1).min(height) {
                for u in x.saturating_sub(SMOOTH)..(x + SMOOTH + 1).min(width) {
                    let place = v * width + u;
                    let weight = likeness(here, colours[place]);
                    total += weight;
                    for channel in 0..3 {
                        sum[channel] += weight * models[channel].rest[place];
                    }
                }
            }
            *value = sum.map(|sum| sum / total);
        }
    });
    out
}

/// The change of one channel: `slope · colour + rest`.
struct Model {
    slope: Vec<f32>,
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
        let slope = mean(&slopes);
        let rest = (0..x.len()).map(|i| change[i] - slope[i] * x[i]).collect();
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
    fn a_repainted_thing_ends_at_its_outline() {
        // A red square on grey, its outline between two working pixels; the model's repainting bleeds over it.
        let is_inside = |x: u32, y: u32| (98..161).contains(&x) && (66..131).contains(&y);
        let source =
            RgbImage::from_fn(256, 192, |x, y| if is_inside(x, y) { Rgb([200, 40, 40]) } else { Rgb([120; 3]) });
        let plan = plan(source.dimensions(), SizeRequest::LongerSide(64), Fit::Pad, 8).expect("a plan");
        let small = to_working(&source, &plan);
        let blue = RgbImage::from_fn(64, 48, |x, y| {
            let covered = (0..16).filter(|at| is_inside(4 * x + at % 4, 4 * y + at / 4)).count() as i32;
            let Rgb([r, g, b]) = *small.get_pixel(x, y);
            Rgb([(i32::from(r) - 10 * covered).max(0) as u8, g, (i32::from(b) + 10 * covered) as u8])
        });
        let result = transfer(&source, &small, &blue, &plan);
        let (mut inside, mut outside) = (0, 0);
        for (x, y, pixel) in result.enumerate_pixels() {
            let there = source.get_pixel(x, y).0;
            let moved = i32::from(pixel.0[2]) - i32::from(there[2]);
            if is_inside(x, y) {
                inside += i32::from(moved > 110);
            } else {
                outside += i32::from(moved > 30);
            }
        }
        assert!(inside > 63 * 65 * 95 / 100, "blue up to the outline: {inside} of {}", 63 * 65);
        assert!(outside < 40, "and not beyond: {outside}");
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
