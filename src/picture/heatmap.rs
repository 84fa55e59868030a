//! Maps of numbers as pictures: the colours, a PNG with a colour bar, and NPY for those who compute on.

use std::io;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage, imageops};

use super::encode::{SaveError, SaveOptions, save};
use super::resample::{Filter, resize_rgb};
use super::{npy, resize};

/// (lightness, chroma, hue in degrees) in Oklch at 0, 1/3, 2/3 and 1: from deep blue over green to pale yellow, even in
/// lightness, so that equal steps look equal and colour-blind eyes follow the lightness.
const ANCHORS: [(f32, f32, f32); 4] =
    [(0.24, 0.10, 285.0), (0.47, 0.11, 235.0), (0.70, 0.13, 165.0), (0.93, 0.14, 105.0)];

/// The colour of `value` in 0..=1; outside values are clamped, NaN counts as 0.
#[must_use]
pub fn colour(value: f32) -> Rgb<u8> {
    let value = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) } * (ANCHORS.len() - 1) as f32;
    let at = (value as usize).min(ANCHORS.len() - 2);
    let t = value - at as f32;
    let (a, b) = (ANCHORS[at], ANCHORS[at + 1]);
    let between = |a: f32, b: f32| a + (b - a) * t;
    oklch(between(a.0, b.0), between(a.1, b.1), between(a.2, b.2))
}

/// Oklch (lightness 0..=1, chroma, hue in degrees) as sRGB, clipped to the gamut (Ottosson's matrices).
#[must_use]
pub fn oklch(lightness: f32, chroma: f32, hue: f32) -> Rgb<u8> {
    let (sin, cos) = hue.to_radians().sin_cos();
    let (a, b) = (chroma * cos, chroma * sin);
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    Rgb(linear.map(|v| {
        let v = v.clamp(0.0, 1.0);
        let encoded = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (encoded * 255.0).round() as u8
    }))
}

/// A map over the working picture: row-major `[height * width]`.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Map<'_> {
    /// The largest finite value; 0 if there is none above it. Colours run from 0 to it.
    #[must_use]
    pub fn largest(&self) -> f32 {
        self.values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max)
    }

    /// The map over the whole source picture, smoothly enlarged, coloured from 0 to `top`.
    #[must_use]
    pub fn over(&self, plan: &resize::WorkingPlan, source: &RgbImage, top: f32) -> RgbImage {
        let top = if top > 0.0 { top } else { 1.0 };
        // Sixteen bits would not survive the 8-bit resizer; steps of 1/255 of the range are finer than the eye.
        let grey = GrayImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let value = self.values.get(y as usize * self.width + x as usize).copied().unwrap_or_default();
            Luma([((value / top).clamp(0.0, 1.0) * 255.0).round() as u8])
        });
        let grey = imageops::resize(&grey, plan.working.0, plan.working.1, imageops::FilterType::Triangle);
        let spread = RgbImage::from_fn(grey.width(), grey.height(), |x, y| Rgb([grey.get_pixel(x, y).0[0]; 3]));
        let black = RgbImage::new(source.width(), source.height());
        let mut map = resize::from_working(&spread, plan, &black);
        for pixel in map.pixels_mut() {
            *pixel = colour(f32::from(pixel.0[0]) / 255.0);
        }
        map
    }

    /// Writes the map over a dimmed `source`, with a colour bar that names 0 and the largest value, as PNG.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save_png(&self, path: &Path, plan: &resize::WorkingPlan, source: &RgbImage) -> Result<(), SaveError> {
        let top = self.largest();
        let map = self.over(plan, source, top);
        let size = limited(source.dimensions(), 1600);
        let (map, source) = (resize_rgb(&map, size, Filter::Bilinear), resize_rgb(source, size, Filter::Bilinear));
        let blended = RgbImage::from_fn(size.0, size.1, |x, y| {
            let (m, s) = (map.get_pixel(x, y).0, source.get_pixel(x, y).0);
            let grey = (u32::from(s[0]) * 2 + u32::from(s[1]) * 5 + u32::from(s[2])) / 8;
            Rgb(m.map(|v| ((u32::from(v) * 7 + grey * 3) / 10) as u8))
        });
        save(path, &with_bar(&blended, top), None, &SaveOptions::default()).map(drop)
    }

    /// Writes the numbers as NPY (version 1.0, little-endian f32, `[height, width]`).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_npy(&self, path: &Path) -> io::Result<()> {
        npy::write(path, &[self.height, self.width], self.values)
    }
}

/// `size` scaled down so that its longer side is at most `side`.
pub(crate) fn limited((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = width.max(height).max(1);
    if longer <= side {
        return (width, height);
    }
    let scale = |v: u32| ((u64::from(v) * u64::from(side)).div_ceil(u64::from(longer)) as u32).max(1);
    (scale(width), scale(height))
}

/// The picture with a colour bar below it, from 0 to `top`.
pub(crate) fn with_bar(picture: &RgbImage, top: f32) -> RgbImage {
    let (width, height) = picture.dimensions();
    // Letters are 5 × 7 dots; a dot is at least 2 pixels.
    let dot = (width / 400).clamp(2, 5);
    let (bar, gap) = (6 * dot, 3 * dot);
    let mut out = RgbImage::from_pixel(width, height + 3 * gap + bar + 7 * dot, Rgb([18, 20, 24]));
    imageops::replace(&mut out, picture, 0, 0);
    let (left, right) = (gap.min(width / 4), width - gap.min(width / 4));
    for x in left..right {
        let pixel = colour((x - left) as f32 / (right - left - 1).max(1) as f32);
        for y in 0..bar {
            out.put_pixel(x, height + gap + y, pixel);
        }
    }
    let baseline = height + 2 * gap + bar;
    write_number(&mut out, "0", left, baseline, dot);
    let text = number(top);
    let length = text.len() as u32 * 6 * dot;
    write_number(&mut out, &text, right.saturating_sub(length), baseline, dot);
    out
}

/// Three significant digits, plain or with an exponent.
#[must_use]
pub fn number(value: f32) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if !(0.001..10_000.0).contains(&v) => format!("{value:.2e}"),
        v => format!("{value:.*}", (2 - v.log10().floor() as i32).clamp(0, 5) as usize),
    }
}

fn write_number(out: &mut RgbImage, text: &str, left: u32, top: u32, dot: u32) {
    for (place, letter) in text.chars().enumerate() {
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                let (x, y) = (left + (place as u32 * 6 + column) * dot, top + row as u32 * dot);
                for (dx, dy) in (0..dot).flat_map(|dx| (0..dot).map(move |dy| (dx, dy))) {
                    if x + dx < out.width() && y + dy < out.height() {
                        out.put_pixel(x + dx, y + dy, Rgb([220, 224, 230]));
                    }
                }
            }
        }
    }
}

/// Rows from the top, five bits each, the leftmost dot in the highest bit.
fn glyph(letter: char) -> [u8; 7] {
    match letter {
        '0' => [14, 17, 19, 21, 25, 17, 14],
        '1' => [4, 12, 4, 4, 4, 4, 14],
        '2' => [14, 17, 1, 6, 8, 16, 31],
        '3' => [30, 1, 1, 14, 1, 1, 30],
        '4' => [2, 6, 10, 18, 31, 2, 2],
        '5' => [31, 16, 30, 1, 1, 17, 14],
        '6' => [6, 8, 16, 30, 17, 17, 14],
        '7' => [31, 1, 2, 4, 8, 8, 8],
        '8' => [14, 17, 17, 14, 17, 17, 14],
        '9' => [14, 17, 17, 15, 1, 2, 12],
        '.' => [0, 0, 0, 0, 0, 12, 12],
        '-' => [0, 0, 0, 31, 0, 0, 0],
        'e' => [0, 0, 14, 17, 31, 16, 14],
        _ => [0; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    #[test]
    fn brightness_rises_all_the_way() {
        let brightness = |c: Rgb<u8>| 2 * u32::from(c.0[0]) + 7 * u32::from(c.0[1]) + u32::from(c.0[2]);
        let steps: Vec<u32> = (0..=40).map(|i| brightness(colour(i as f32 / 40.0))).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
        assert_eq!(colour(f32::NAN), colour(0.0));
        assert_eq!(colour(7.0), colour(1.0));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.5, 1.25, 12.5, 123.0].map(number), ["0", "0.500", "1.25", "12.5", "123"]);
        assert_eq!(number(0.000_012), "1.20e-5");
    }

    #[test]
    fn maps_are_written_over_the_source_and_as_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let source = RgbImage::from_pixel(90, 60, Rgb([100, 150, 200]));
        let plan = plan((90, 60), SizeRequest::LongerSide(32), Fit::Pad, 8).unwrap();
        let values: Vec<f32> = (0..12).map(|v| v as f32 * 0.25).collect();
        let map = Map { values: &values, width: 4, height: 3 };
        let over = map.over(&plan, &source, map.largest());
        assert_eq!(over.dimensions(), (90, 60));
        assert_eq!(over.get_pixel(0, 0), &colour(0.0));
        map.save_png(&folder.path().join("map.png"), &plan, &source).unwrap();
        let saved = image::open(folder.path().join("map.png")).unwrap().to_rgb8();
        assert_eq!(saved.width(), 90);
        assert!(saved.height() > 60, "the colour bar");
        map.save_npy(&folder.path().join("map.npy")).unwrap();
        let bytes = std::fs::read(folder.path().join("map.npy")).unwrap();
        let start = bytes.len() - 48;
        assert_eq!(start % 64, 0);
        assert_eq!(bytes[start - 1], b'\n');
        assert!(String::from_utf8_lossy(&bytes[..start]).contains("'shape': (3, 4)"));
        assert_eq!(f32::from_le_bytes(bytes[start + 44..].try_into().unwrap()), 2.75);
    }
}
