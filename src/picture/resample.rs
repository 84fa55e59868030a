//! Antialiased separable resampling of 8-bit pictures, the same to the last bit as Pillow's `Image.resize`.
//!
//! The reference implementations of the models resize with Pillow (bicubic with a = −0.5, or Lanczos with three lobes,
//! widened by the scale when shrinking), so parity begins here: two passes, rows first, with weights in fixed point of
//! 22 bits and 8-bit intermediates.

use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// A resampling filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Area average.
    Box,
    /// Tent.
    Bilinear,
    /// Cubic convolution, a = −0.5: what the reference implementations of the models use.
    Bicubic,
    /// Windowed sinc of three lobes: the sharpest for shrinking photos.
    Lanczos3,
}

impl Filter {
    /// Half width in output pixels when shrinking, in input pixels when enlarging.
    fn support(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos3 => 3.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        match self {
            Self::Box => f64::from(x > -0.5 && x <= 0.5),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => {
                let x = x.abs();
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
            Self::Lanczos3 => {
                if (-3.0..3.0).contains(&x) {
                    sinc(x) * sinc(x / 3.0)
                } else {
                    0.0
                }
            }
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

const PRECISION: u32 = 32 - 8 - 2;

/// For each output sample: where its inputs begin, and their weights in fixed point.
struct Weights {
    /// Input samples an output sample may use.
    taps: usize,
    /// `(first input, number of inputs)`.
    spans: Vec<(usize, usize)>,
    /// `[outputs, taps]`.
    fixed: Vec<i32>,
}

impl Weights {
    fn new(input: u32, output: u32, filter: Filter) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let widened = scale.max(1.0);
        let support = filter.support() * widened;
        let taps = support.ceil() as usize * 2 + 1;
        let mut spans = Vec::with_capacity(output as usize);
        let mut fixed = vec![0; output as usize * taps];
        let mut weights = vec![0.0_f64; taps];
        for (x, fixed) in fixed.chunks_exact_mut(taps).enumerate() {
            let centre = (x as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input as usize);
            let count = last - first;
            let mut sum = 0.0;
            for (i, weight) in weights[..count].iter_mut().enumerate() {
                *weight = filter.at(((i + first) as f64 - centre + 0.5) * (1.0 / widened));
                sum += *weight;
            }
            for (fixed, weight) in fixed.iter_mut().zip(&weights[..count]) {
                let weight = if sum == 0.0 { *weight } else { *weight / sum };
                let scaled = weight * f64::from(1 << PRECISION);
                *fixed = (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32;
            }
            spans.push((first, count));
        }
        Self { taps, spans, fixed }
    }

    fn of(&self, x: usize) -> (usize, &[i32]) {
        let (first, count) = self.spans[x];
        (first, &self.fixed[x * self.taps..][..count])
    }
}

const HALF: i32 = 1 << (PRECISION - 1);

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resamples `[height, width, N]` bytes; both passes run over rows in parallel. A side that keeps its length is copied.
fn resize<const N: usize>(pixels: &[u8], from: (u32, u32), to: (u32, u32), filter: Filter) -> Vec<u8> {
    let (w, h) = (to.0 as usize, to.1 as usize);
    let (from_w, from_h) = (from.0 as usize, from.1 as usize);
    if w * h == 0 || from_w * from_h == 0 {
        return vec![0; w * h * N];
    }
    let rows;
    let horizontal: &[u8] = if from.0 == to.0 {
        pixels
    } else {
        let weights = Weights::new(from.0, to.0, filter);
        let mut out = vec![0_u8; w * from_h * N];
        out.par_chunks_exact_mut(w * N).zip(pixels.par_chunks_exact(from_w * N)).for_each(|(out, row)| {
            let (row, _) = row.as_chunks::<N>();
            let (out, _) = out.as_chunks_mut::<N>();
            for (x, out) in out.iter_mut().enumerate() {
                let (first, weights) = weights.of(x);
                let mut sums = [HALF; N];
                for (pixel, &weight) in row[first..].iter().zip(weights) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(value) * weight;
                    }
                }
                *out = sums.map(clip);
            }
        });
        rows = out;
        &rows
    };
    if from.1 == to.1 {
        return horizontal.to_vec();
    }
    let weights = Weights::new(from.1, to.1, filter);
    let mut out = vec![0_u8; w * h * N];
    out.par_chunks_exact_mut(w * N).enumerate().for_each_init(
        || vec![HALF; w * N],
        |sums, (y, out)| {
            let (first, weights) = weights.of(y);
            sums.fill(HALF);
            for (row, &weight) in horizontal[first * w * N..].chunks_exact(w * N).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += i32::from(value) * weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(sums.iter()) {
                *out = clip(sum);
            }
        },
    );
    out
}

/// A colour picture at another size (width, height); a copy where the size stays.
#[must_use]
pub fn resize_rgb(picture: &RgbImage, size: (u32, u32), filter: Filter) -> RgbImage {
    let pixels = resize::<3>(picture.as_raw(), picture.dimensions(), size, filter);
    RgbImage::from_raw(size.0, size.1, pixels).unwrap_or_else(|| RgbImage::new(size.0, size.1))
}

/// A grey picture or mask at another size (width, height); a copy where the size stays.
#[must_use]
pub fn resize_grey(picture: &GrayImage, size: (u32, u32), filter: Filter) -> GrayImage {
    let pixels = resize::<1>(picture.as_raw(), picture.dimensions(), size, filter);
    GrayImage::from_raw(size.0, size.1, pixels).unwrap_or_else(|| GrayImage::new(size.0, size.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture that `tests/reference/picture_resize.py` draws too: integer arithmetic only.
    fn sample(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let red = (x * 7 + y * 13 + (x * y) % 31 * 5) % 256;
            let green = ((x / 5 + y / 3) % 2) * 255;
            let blue = (x * x + y * y * 3) % 256;
            image::Rgb([red as u8, green as u8, blue as u8])
        })
    }

    #[test]
    fn equal_to_pillow_bit_for_bit() {
        let fixture = include_str!("../../tests/fixtures/picture_resize.txt");
        let mut compared = 0;
        for line in fixture.lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split_whitespace();
            let mut number = || fields.next().and_then(|field| field.parse::<u32>().ok()).unwrap();
            let (from, to) = ((number(), number()), (number(), number()));
            let filter = match fields.next().unwrap() {
                "box" => Filter::Box,
                "bilinear" => Filter::Bilinear,
                "bicubic" => Filter::Bicubic,
                "lanczos" => Filter::Lanczos3,
                other => panic!("{other}"),
            };
            let expected: Vec<u8> = fields
                .next()
                .unwrap()
                .as_bytes()
                .chunks(2)
                .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap())
                .collect();
            let found = resize_rgb(&sample(from.0, from.1), to, filter);
            assert_eq!(found.as_raw(), &expected, "{from:?} to {to:?} with {filter:?}");
            compared += 1;
        }
        assert!(compared >= 20, "{compared}");
    }

    #[test]
    fn flat_stays_flat_and_sizes_hold() {
        let flat = RgbImage::from_pixel(13, 7, image::Rgb([200, 3, 255]));
        for filter in [Filter::Box, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3] {
            for size in [(1, 1), (13, 7), (1, 40), (64, 3)] {
                let out = resize_rgb(&flat, size, filter);
                assert_eq!(out.dimensions(), size);
                assert!(out.pixels().all(|pixel| pixel.0 == [200, 3, 255]), "{filter:?} {size:?}");
            }
        }
    }
}
