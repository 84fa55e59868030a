//! From a number or colour a patch to one a pixel: as blocks, smoothly, or along the picture's own edges.
//!
//! The last is a joint bilateral upsampling (after Kopf et al. 2007): a pixel takes from the patches around it, the more
//! the nearer they are and the more their mean colour is like the pixel's.

use image::{Rgb, RgbImage};
use rayon::prelude::*;

use super::Placement;
use crate::picture::resample::{Filter, resize_rgb};

/// How patches become pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// Every pixel is its patch: what the model gave, nothing else.
    Nearest,
    /// Between the middles of the four patches around.
    #[default]
    Bilinear,
    /// Along the picture's edges.
    Edges,
}

/// Patches on either side that a pixel takes from with [`Upsampling::Edges`].
const REACH: usize = 2;
/// In patches: the standard deviation of the weight over distance.
const NEARNESS: f32 = 0.8;
/// In the unit cube of colours: the standard deviation of the weight over difference.
const LIKENESS: f32 = 0.12;
/// What a patch of any colour weighs, so that a pixel unlike all around it still gets their mean.
const ANYWAY: f32 = 0.01;

/// A map of `values` (a number a patch, row by row) at `size` (width, height) over the whole picture, row by row. Pixels
/// outside of what the model saw take from the nearest patch. `guide` is the picture, at any size; without it
/// [`Upsampling::Edges`] is bilinear.
#[must_use]
pub fn values(
    values: &[f32],
    place: &Placement,
    size: (u32, u32),
    how: Upsampling,
    guide: Option<&RgbImage>,
) -> Vec<f32> {
    let mut out = vec![0f32; size.0 as usize * size.1 as usize];
    each_pixel(place, size, how, guide, &mut out, |taps, out| {
        *out = taps.iter().map(|&(at, weight)| weight * values.get(at).copied().unwrap_or_default()).sum();
    });
    out
}

/// A map of colours, a pixel a patch, at `size` over the whole picture; else as [`values`].
#[must_use]
pub fn colours(
    map: &RgbImage,
    place: &Placement,
    size: (u32, u32),
    how: Upsampling,
    guide: Option<&RgbImage>,
) -> RgbImage {
    let colours: Vec<[f32; 3]> = map.pixels().map(|pixel| pixel.0.map(f32::from)).collect();
    let mut out = vec![[0u8; 3]; size.0 as usize * size.1 as usize];
    each_pixel(place, size, how, guide, &mut out, |taps, out| {
        let mut sums = [0f32; 3];
        for &(at, weight) in taps {
            let colour = colours.get(at).copied().unwrap_or_default();
            sums.iter_mut().zip(colour).for_each(|(sum, value)| *sum += weight * value);
        }
        *out = sums.map(|sum| (sum + 0.5) as u8);
    });
    RgbImage::from_fn(size.0, size.1, |x, y| Rgb(out[y as usize * size.0 as usize + x as usize]))
}

/// A map of labels at `size` over the whole picture: each pixel takes the label with the most weight around it, of
/// equals the smallest; else as [`values`].
#[must_use]
pub fn labels(
    labels: &[u16],
    place: &Placement,
    size: (u32, u32),
    how: Upsampling,
    guide: Option<&RgbImage>,
) -> Vec<u16> {
    let mut out = vec![0u16; size.0 as usize * size.1 as usize];
    each_pixel(place, size, how, guide, &mut out, |taps, out| {
        let label = |at: usize| labels.get(at).copied().unwrap_or_default();
        let weight =
            |wanted: u16| -> f32 { taps.iter().filter(|(at, _)| label(*at) == wanted).map(|(_, weight)| weight).sum() };
        let mut best = (f32::NEG_INFINITY, 0);
        for &(at, _) in taps {
            let label = label(at);
            let weight = weight(label);
            if weight > best.0 || (weight == best.0 && label < best.1) {
                best = (weight, label);
            }
        }
        *out = best.1;
    });
    out
}

/// Along one side: for every pixel the first patch it takes from and the patches' weights by distance.
struct Side {
    pixels: Vec<(usize, Vec<f32>)>,
}

impl Side {
    /// `at(i)` is the place of pixel i on the grid, in patches from its edge.
    fn new(pixels: u32, patches: usize, how: Upsampling, at: impl Fn(f64) -> f64) -> Self {
        let last = patches.saturating_sub(1);
        let tap = |pixel: u32| {
            let place = at(f64::from(pixel) + 0.5) as f32;
            let here = (place.max(0.0) as usize).min(last);
            match how {
                Upsampling::Nearest => (here, vec![1.0]),
                Upsampling::Bilinear => {
                    let middle = (place - 0.5).clamp(0.0, last as f32);
                    let first = (middle as usize).min(last.saturating_sub(1));
                    let share = middle - first as f32;
                    (first, if last == 0 { vec![1.0] } else { vec![1.0 - share, share] })
                }
                Upsampling::Edges => {
                    let first = here.saturating_sub(REACH);
                    let weight = |patch: usize| {
                        let distance = (place.clamp(0.0, patches as f32) - (patch as f32 + 0.5)) / NEARNESS;
                        (-0.5 * distance * distance).exp()
                    };
                    (first, (first..=(here + REACH).min(last)).map(weight).collect())
                }
            }
        };
        Self { pixels: (0..pixels).map(tap).collect() }
    }
}

/// Calls `fill` for every pixel with the patches it takes from; their weights add up to 1.
fn each_pixel<T: Send>(
    place: &Placement,
    size: (u32, u32),
    how: Upsampling,
    guide: Option<&RgbImage>,
    out: &mut [T],
    fill: impl Fn(&[(usize, f32)], &mut T) + Sync,
) {
    if size.0 == 0 || size.1 == 0 || place.patches() == 0 {
        return;
    }
    let how = if how == Upsampling::Edges && guide.is_none() { Upsampling::Bilinear } else { how };
    let (source, width) = (place.plan.source, size.0 as usize);
    let scale = (f64::from(source.0) / f64::from(size.0), f64::from(source.1) / f64::from(size.1));
    let columns = Side::new(size.0, place.columns, how, |x| place.to_grid(x * scale.0, 0.0).0);
    let rows = Side::new(size.1, place.rows, how, |y| place.to_grid(0.0, y * scale.1).1);
    let guide = guide.filter(|_| how == Upsampling::Edges).map(|guide| Guide::new(guide, place, size));
    let table = Likeness::new();
    out.par_chunks_mut(width).zip(&rows.pixels).enumerate().for_each_init(
        || Vec::with_capacity(25),
        |taps: &mut Vec<(usize, f32)>, (y, (out, (first_row, row_weights)))| {
            for (x, (out, (first_column, column_weights))) in out.iter_mut().zip(&columns.pixels).enumerate() {
                taps.clear();
                let mut total = 0.0;
                for (row, row_weight) in row_weights.iter().enumerate() {
                    let start = (first_row + row) * place.columns + first_column;
                    for (column, column_weight) in column_weights.iter().enumerate() {
                        let patch = start + column;
                        let alike = guide.as_ref().map_or(1.0, |guide| table.of(guide, y * width + x, patch));
                        let weight = row_weight * column_weight * alike;
                        total += weight;
                        taps.push((patch, weight));
                    }
                }
                let share = 1.0 / total.max(f32::MIN_POSITIVE);
                taps.iter_mut().for_each(|(_, weight)| *weight *= share);
                fill(taps, out);
            }
        },
    );
}

/// The picture at the map's size, and the mean colour of every patch; colours in 0..=1.
struct Guide {
    pixels: Vec<[f32; 3]>,
    patches: Vec<[f32; 3]>,
}

impl Guide {
    fn new(guide: &RgbImage, place: &Placement, size: (u32, u32)) -> Self {
        let resized;
        let guide = if guide.dimensions() == size {
            guide
        } else {
            resized = resize_rgb(guide, size, Filter::Bilinear);
            &resized
        };
        let pixels: Vec<[f32; 3]> = guide.pixels().map(|pixel| pixel.0.map(|v| f32::from(v) / 255.0)).collect();
        // Every patch samples its box, so that it has a colour however small the map is.
        const SAMPLES: usize = 6;
        let width = size.0 as usize;
        let scale =
            (f64::from(size.0) / f64::from(place.plan.source.0), f64::from(size.1) / f64::from(place.plan.source.1));
        let colour = |patch: usize| {
            let (row, column) = (patch / place.columns, patch % place.columns);
            let mut sums = [0f32; 3];
            for (i, j) in (0..SAMPLES).flat_map(|i| (0..SAMPLES).map(move |j| (i, j))) {
                let inside = |at: usize| (at as f64 + 0.5) / SAMPLES as f64;
                let (x, y) = place.to_picture(column as f64 + inside(i), row as f64 + inside(j));
                let x = ((x * scale.0).max(0.0) as usize).min(width - 1);
                let y = ((y * scale.1).max(0.0) as usize).min(size.1 as usize - 1);
                sums.iter_mut().zip(pixels[y * width + x]).for_each(|(sum, value)| *sum += value);
            }
            sums.map(|sum| sum / (SAMPLES * SAMPLES) as f32)
        };
        let patches = (0..place.patches()).map(colour).collect();
        Self { pixels, patches }
    }
}

/// The weight over squared difference of colours, in steps.
struct Likeness {
    steps: Vec<f32>,
}

impl Likeness {
    const STEPS: usize = 1024;
    /// Squared differences above weigh as nothing.
    const MOST: f32 = 0.25;

    fn new() -> Self {
        let weight = |step: usize| {
            let square = step as f32 / Self::STEPS as f32 * Self::MOST;
            (-0.5 * square / (LIKENESS * LIKENESS)).exp() + ANYWAY
        };
        Self { steps: (0..Self::STEPS).map(weight).collect() }
    }

    fn of(&self, guide: &Guide, pixel: usize, patch: usize) -> f32 {
        let (a, b) = (guide.pixels[pixel], guide.patches[patch]);
        let square = (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2);
        let step = (square * (Self::STEPS as f32 / Self::MOST)) as usize;
        self.steps.get(step).copied().unwrap_or(ANYWAY)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    const ALL: [Upsampling; 3] = [Upsampling::Nearest, Upsampling::Bilinear, Upsampling::Edges];

    fn place(size: (u32, u32), longer: u32, fit: Fit) -> Placement {
        Placement::new(&plan(size, SizeRequest::LongerSide(longer), fit, 8).unwrap(), 8)
    }

    #[test]
    fn blocks_are_the_patches() {
        let place = place((40, 20), 16, Fit::Squash);
        let map = values(&[1.0, 2.0], &place, (40, 20), Upsampling::Nearest, None);
        assert!(map.iter().enumerate().all(|(at, value)| *value == if at % 40 < 20 { 1.0 } else { 2.0 }));
    }

    #[test]
    fn between_the_middles_it_is_linear() {
        let place = place((40, 20), 16, Fit::Squash);
        let map = values(&[0.0, 1.0], &place, (40, 20), Upsampling::Bilinear, None);
        assert_eq!((map[0], map[9], map[39]), (0.0, 0.0, 1.0));
        assert!((map[19] - 0.475).abs() < 1e-6, "{}", map[19]);
        // Without a guide the edge-aware one is the same.
        assert_eq!(map, values(&[0.0, 1.0], &place, (40, 20), Upsampling::Edges, None));
    }

    /// A picture of two colours whose edge lies inside of a patch: the map follows the edge, not the patch.
    #[test]
    fn edges_of_the_picture_are_followed() {
        let picture = RgbImage::from_fn(96, 48, |x, _| if x < 44 { Rgb([230, 40, 30]) } else { Rgb([20, 60, 220]) });
        let place = place((96, 48), 96, Fit::Squash);
        let ones: Vec<f32> = (0..place.patches()).map(|at| f32::from(u8::from(at % 12 >= 5))).collect();
        let map = values(&ones, &place, (96, 48), Upsampling::Edges, Some(&picture));
        let at = |x: usize| map[24 * 96 + x];
        // Patch 5 begins at pixel 40; the colour changes at 44.
        assert!(at(42) < 0.35 && at(43) < 0.4, "{} {}", at(42), at(43));
        assert!(at(45) > 0.65 && at(60) > 0.95, "{} {}", at(45), at(60));
        let blocks: Vec<u16> = ones.iter().map(|v| *v as u16).collect();
        let labels = labels(&blocks, &place, (96, 48), Upsampling::Edges, Some(&picture));
        assert_eq!((labels[24 * 96 + 42], labels[24 * 96 + 45]), (0, 1));
    }

    proptest! {
        #[test]
        fn flat_maps_stay_flat_at_any_size(w in 1_u32..90, h in 1_u32..90, longer in 8_u32..80, x in 1_u32..70, y in 1_u32..70,
                                           fit in prop_oneof![Just(Fit::Pad), Just(Fit::Crop), Just(Fit::Squash)]) {
            let place = place((w, h), longer, fit);
            let guide = RgbImage::from_fn(w, h, |x, y| Rgb([(x * 40) as u8, (y * 25) as u8, 7]));
            for how in ALL {
                let map = values(&vec![0.5; place.patches()], &place, (x, y), how, Some(&guide));
                prop_assert_eq!(map.len(), (x * y) as usize);
                prop_assert!(map.iter().all(|value| (value - 0.5).abs() < 1e-4));
                let same = labels(&vec![3; place.patches()], &place, (x, y), how, Some(&guide));
                prop_assert!(same.iter().all(|label| *label == 3));
                let flat = RgbImage::from_pixel(place.columns as u32, place.rows as u32, Rgb([9, 90, 250]));
                prop_assert!(colours(&flat, &place, (x, y), how, Some(&guide)).pixels().all(|p| p.0 == [9, 90, 250]));
            }
        }
    }
}
