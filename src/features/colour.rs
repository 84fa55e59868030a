//! Colours for maps: perceptual scales for numbers, a palette for clusters.

use std::sync::OnceLock;

use image::{Rgb, RgbImage};

use crate::picture::heatmap::{self, oklch};

/// Colours of the palette; no map has more clusters.
pub const PALETTE: usize = 64;

/// A scale of colours over 0..=1, even in lightness so that equal steps look equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColourScale {
    /// Deep blue over green to pale yellow, as contribution maps have it.
    #[default]
    Depths,
    /// Black over red and orange to pale yellow.
    Embers,
    /// Blue over light grey to red: for numbers around a middle.
    TwoSided,
    /// Black to white.
    Grey,
}

impl ColourScale {
    /// All scales, with the names a person reads.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Depths, "Depths"), (Self::Embers, "Embers"), (Self::TwoSided, "Two-sided"), (Self::Grey, "Grey")];

    /// The colour of `value` in 0..=1; outside values are clamped, what is no number counts as 0.
    #[must_use]
    pub fn colour(self, value: f32) -> Rgb<u8> {
        let value = clean(value);
        match self {
            Self::Depths => heatmap::colour(value),
            Self::Embers => {
                between(&[(0.12, 0.03, 300.0), (0.42, 0.16, 20.0), (0.70, 0.16, 55.0), (0.95, 0.10, 100.0)], value)
            }
            // The hue turns at the colourless middle, where it cannot be seen.
            Self::TwoSided if value < 0.5 => between(&[(0.45, 0.15, 255.0), (0.93, 0.0, 255.0)], 2.0 * value),
            Self::TwoSided => between(&[(0.93, 0.0, 25.0), (0.50, 0.18, 25.0)], 2.0 * value - 1.0),
            Self::Grey => Rgb([(value * 255.0).round() as u8; 3]),
        }
    }

    /// Numbers as a picture, `low` at the scale's beginning and `high` at its end.
    #[must_use]
    pub fn paint(self, values: &[f32], width: u32, height: u32, (low, high): (f32, f32)) -> RgbImage {
        let extent = if high > low { high - low } else { 1.0 };
        RgbImage::from_fn(width, height, |x, y| {
            let index = y as usize * width as usize + x as usize;
            self.colour((values.get(index).copied().unwrap_or(low) - low) / extent)
        })
    }
}

fn clean(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

/// Between anchors in Oklch (lightness, chroma, hue in degrees), evenly spaced over 0..=1.
fn between(anchors: &[(f32, f32, f32)], value: f32) -> Rgb<u8> {
    let place = clean(value) * (anchors.len() - 1) as f32;
    let at = (place as usize).min(anchors.len() - 2);
    let (a, b, t) = (anchors[at], anchors[at + 1], place - at as f32);
    let mix = |a: f32, b: f32| a + (b - a) * t;
    // The short way round the circle of hues.
    let turn = (b.2 - a.2 + 540.0).rem_euclid(360.0) - 180.0;
    oklch(mix(a.0, b.0), mix(a.1, b.1), a.2 + turn * t)
}

/// The values below which `low` and `high` percent of `values` lie (linear between neighbours); (0, 0) for none.
#[must_use]
pub fn percentiles(mut values: Vec<f32>, low: f32, high: f32) -> (f32, f32) {
    values.retain(|value| value.is_finite());
    if values.is_empty() {
        return (0.0, 0.0);
    }
    values.sort_unstable_by(f32::total_cmp);
    let at = |percent: f32| {
        let place = percent.clamp(0.0, 100.0) / 100.0 * (values.len() - 1) as f32;
        let below = place.floor() as usize;
        let above = (below + 1).min(values.len() - 1);
        values[below] + (values[above] - values[below]) * (place - below as f32)
    };
    (at(low), at(high))
}

/// The colour of a place in the palette (it repeats after [`PALETTE`]): each next colour is the one farthest, to the
/// eye, from all before it, so that the first few differ most.
#[must_use]
pub fn palette(place: usize) -> Rgb<u8> {
    static COLOURS: OnceLock<Vec<Rgb<u8>>> = OnceLock::new();
    COLOURS.get_or_init(make_palette)[place % PALETTE]
}

/// Picks colours one by one from a fine grid of Oklch, the farthest first, in distances of Oklab.
fn make_palette() -> Vec<Rgb<u8>> {
    let mut candidates = Vec::new();
    for lightness in [0.42f32, 0.50, 0.58, 0.66, 0.74, 0.82, 0.90] {
        for chroma in [0.05f32, 0.10, 0.15, 0.20] {
            for step in 0..36 {
                let hue = step as f32 * 10.0;
                let (sin, cos) = hue.to_radians().sin_cos();
                if fits_srgb(lightness, chroma * cos, chroma * sin) {
                    candidates.push((oklch(lightness, chroma, hue), [lightness, chroma * cos, chroma * sin]));
                }
            }
        }
    }
    let apart = |a: &[f32; 3], b: &[f32; 3]| -> f32 {
        // Differences of lightness count less: clusters lie on a picture that has its own.
        0.5 * (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
    };
    // The first is a blue that stands out on most pictures.
    let first = (0.58f32, 0.15f32, 250f32.to_radians());
    let mut lab = [first.0, first.1 * first.2.cos(), first.1 * first.2.sin()];
    let mut colours = vec![oklch(first.0, first.1, 250.0)];
    let mut nearest = vec![f32::INFINITY; candidates.len()];
    while colours.len() < PALETTE {
        for (nearest, (_, candidate)) in nearest.iter_mut().zip(&candidates) {
            *nearest = nearest.min(apart(&lab, candidate));
        }
        let Some(farthest) = (0..candidates.len()).max_by(|a, b| nearest[*a].total_cmp(&nearest[*b])) else { break };
        colours.push(candidates[farthest].0);
        lab = candidates[farthest].1;
    }
    colours
}

/// Whether a colour of Oklab lies within sRGB (Ottosson's matrices).
fn fits_srgb(lightness: f32, a: f32, b: f32) -> bool {
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ]
    .iter()
    .all(|value| (0.0..=1.0).contains(value))
}

/// matplotlib's `tab20`, in which the paper's maps show clusters (spec/fit3d.md section 4.3).
const TAB20: [[u8; 3]; 20] = [
    [0x1f, 0x77, 0xb4],
    [0xae, 0xc7, 0xe8],
    [0xff, 0x7f, 0x0e],
    [0xff, 0xbb, 0x78],
    [0x2c, 0xa0, 0x2c],
    [0x98, 0xdf, 0x8a],
    [0xd6, 0x27, 0x28],
    [0xff, 0x98, 0x96],
    [0x94, 0x67, 0xbd],
    [0xc5, 0xb0, 0xd5],
    [0x8c, 0x56, 0x4b],
    [0xc4, 0x9c, 0x94],
    [0xe3, 0x77, 0xc2],
    [0xf7, 0xb6, 0xd2],
    [0x7f, 0x7f, 0x7f],
    [0xc7, 0xc7, 0xc7],
    [0xbc, 0xbd, 0x22],
    [0xdb, 0xdb, 0x8d],
    [0x17, 0xbe, 0xcf],
    [0x9e, 0xda, 0xe5],
];

/// The paper's colour of cluster `label` of `clusters`: entry ⌊20 · label / clusters⌋ of `tab20`, so that more than
/// twenty clusters share colours.
#[must_use]
pub fn tab20(label: usize, clusters: usize) -> Rgb<u8> {
    Rgb(TAB20[(20 * label / clusters.max(1)).min(19)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brightness(colour: Rgb<u8>) -> f32 {
        let linear = colour.0.map(|v| (f32::from(v) / 255.0).powf(2.2));
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn one_sided_scales_grow_lighter_all_the_way() {
        for (scale, name) in ColourScale::ALL {
            let steps: Vec<f32> = (0..=40).map(|i| brightness(scale.colour(i as f32 / 40.0))).collect();
            if scale == ColourScale::TwoSided {
                assert!(steps[20] > 2.0 * steps[0] && steps[20] > 2.0 * steps[40], "{steps:?}");
            } else {
                assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{name}: {steps:?}");
            }
            assert_eq!(scale.colour(f32::NAN), scale.colour(0.0));
            assert_eq!(scale.colour(9.0), scale.colour(1.0));
        }
    }

    #[test]
    fn the_palettes_colours_all_differ() {
        for a in 0..PALETTE {
            for b in 0..a {
                let (x, y) = (palette(a).0, palette(b).0);
                let distance: i32 = x.iter().zip(&y).map(|(p, q)| (i32::from(*p) - i32::from(*q)).abs()).sum();
                assert!(distance >= 24, "{a} {x:?} and {b} {y:?}");
                assert!(a >= 8 || distance > 100, "{a} {x:?} and {b} {y:?}");
            }
        }
        assert_eq!(palette(PALETTE + 3), palette(3));
    }

    #[test]
    fn the_papers_colours() {
        assert_eq!(tab20(0, 20).0, [0x1f, 0x77, 0xb4]);
        assert_eq!(tab20(19, 20).0, [0x9e, 0xda, 0xe5]);
        assert_eq!(tab20(1, 10), tab20(2, 20));
        assert_eq!(tab20(1, 40), tab20(0, 40));
    }

    #[test]
    fn percentiles_lie_between_neighbours() {
        let values: Vec<f32> = (0..=10).rev().map(|v| v as f32).collect();
        assert_eq!(percentiles(values.clone(), 0.0, 100.0), (0.0, 10.0));
        assert_eq!(percentiles(values, 25.0, 95.0), (2.5, 9.5));
        assert_eq!(percentiles(vec![f32::NAN], 1.0, 99.0), (0.0, 0.0));
        assert_eq!(percentiles(vec![3.0], 1.0, 99.0), (3.0, 3.0));
    }

    #[test]
    fn numbers_become_pixels() {
        let picture = ColourScale::Grey.paint(&[1.0, 2.0, 3.0, 9.0], 2, 2, (1.0, 3.0));
        let greys: Vec<u8> = picture.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(greys, [0, 128, 255, 255]);
    }
}
