//! Regions: soft masks in source-picture pixels, the one type through which lenses bound each other.
//!
//! 255 is inside, 0 outside, what lies between is the feather.

use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};
use rayon::prelude::*;

use super::resample::{Filter, resize_grey};
use super::resize::{WorkingPlan, mirrored};

/// A soft mask over a picture. Cheap to clone: pixels are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    mask: Arc<GrayImage>,
}

impl Region {
    /// A mask of any size, brought to the picture's (`size`: width, height).
    #[must_use]
    pub fn from_mask(mask: GrayImage, size: (u32, u32)) -> Self {
        let mask = if mask.dimensions() == size { mask } else { resize_grey(&mask, size, Filter::Bilinear) };
        Self { mask: Arc::new(mask) }
    }

    /// The region whose pixels `inside` says yes to; `size` is width, height.
    #[must_use]
    pub fn from_fn((width, height): (u32, u32), inside: impl Fn(u32, u32) -> bool) -> Self {
        let mask = GrayImage::from_fn(width, height, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        Self { mask: Arc::new(mask) }
    }

    /// The mask.
    #[must_use]
    pub fn mask(&self) -> &GrayImage {
        &self.mask
    }

    /// Width and height of the picture it bounds.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.mask.dimensions()
    }

    /// Inside and outside exchanged.
    #[must_use]
    pub fn inverted(&self) -> Self {
        let mut mask = (*self.mask).clone();
        for value in mask.iter_mut() {
            *value = 255 - *value;
        }
        Self { mask: Arc::new(mask) }
    }

    /// What lies in this or in `other`, which must be of the same picture.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut mask = (*self.mask).clone();
        for (value, more) in mask.iter_mut().zip(other.mask.iter()) {
            *value = (*value).max(*more);
        }
        Self { mask: Arc::new(mask) }
    }

    /// The region with a soft edge about `width` pixels wide (three box blurs, close to a Gaussian).
    #[must_use]
    pub fn feathered(&self, width: f32) -> Self {
        let radius = (width / 3.0).round().max(0.0) as usize;
        if radius == 0 {
            return self.clone();
        }
        let (w, h) = (self.mask.width() as usize, self.mask.height() as usize);
        let mut values: Vec<f32> = self.mask.iter().map(|v| f32::from(*v)).collect();
        for _ in 0..3 {
            values = box_blur_rows(&values, w, radius);
            values = transposed(&box_blur_rows(&transposed(&values, w, h), h, radius), h, w);
        }
        let bytes = values.into_iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect();
        GrayImage::from_raw(w as u32, h as u32, bytes)
            .map_or_else(|| self.clone(), |mask| Self { mask: Arc::new(mask) })
    }

    /// The region with its edge moved `by` pixels outwards (inwards if negative), round at corners. The result is hard:
    /// what was at least half inside is inside. The picture's rim is no edge: a region that touches it stays there.
    #[must_use]
    pub fn grown(&self, by: f32) -> Self {
        let outwards = by > 0.0;
        let (w, h) = (self.mask.width() as usize, self.mask.height() as usize);
        // Shrinking is the outside growing.
        let grows: Vec<bool> = self.mask.iter().map(|value| (*value >= 128) == outwards).collect();
        let reached = within(&grows, w, h, by.abs());
        let bytes = reached.into_iter().map(|reached| if reached == outwards { 255 } else { 0 }).collect();
        GrayImage::from_raw(w as u32, h as u32, bytes)
            .map_or_else(|| self.clone(), |mask| Self { mask: Arc::new(mask) })
    }

    /// The region on a grid over the working picture, `[height * width]` in 0..=1, each cell the mean of its pixels.
    #[must_use]
    pub fn to_grid(&self, plan: &WorkingPlan, height: u32, width: u32) -> Vec<f32> {
        let used = image::imageops::crop_imm(&*self.mask, plan.used.x, plan.used.y, plan.used.width, plan.used.height);
        let content = resize_grey(&used.to_image(), plan.content.size(), Filter::Box);
        let (cell_w, cell_h) = ((plan.working.0 / width.max(1)).max(1), (plan.working.1 / height.max(1)).max(1));
        let at = |x: u32, y: u32| {
            let x = mirrored(i64::from(x) - i64::from(plan.content.x), plan.content.width);
            let y = mirrored(i64::from(y) - i64::from(plan.content.y), plan.content.height);
            u32::from(content.get_pixel(x, y).0[0])
        };
        let mut grid = Vec::with_capacity((height * width) as usize);
        for row in 0..height {
            for column in 0..width {
                let sum: u32 = (0..cell_h)
                    .flat_map(|y| (0..cell_w).map(move |x| (x, y)))
                    .map(|(x, y)| at(column * cell_w + x, row * cell_h + y))
                    .sum();
                grid.push(sum as f32 / (255 * cell_w * cell_h) as f32);
            }
        }
        grid
    }
}

/// A running mean of `2·radius + 1` along every row; edges repeat.
fn box_blur_rows(values: &[f32], width: usize, radius: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(width).zip(values.par_chunks(width)).for_each(|(out, row)| {
        let at = |x: isize| f64::from(row[x.clamp(0, width as isize - 1) as usize]);
        let r = radius as isize;
        let mut sum: f64 = (-r..=r).map(at).sum();
        for (x, value) in out.iter_mut().enumerate() {
            *value = (sum / (2 * radius + 1) as f64) as f32;
            sum += at(x as isize + r + 1) - at(x as isize - r);
        }
    });
    out
}

/// Which cells lie at most `radius` from one that is set: a dilation by a disc, row by row with running counts.
fn within(set: &[bool], width: usize, height: usize, radius: f32) -> Vec<bool> {
    if width == 0 {
        return Vec::new();
    }
    let mut counts = vec![0_u32; (width + 1) * height];
    for (row, counts) in set.chunks(width).zip(counts.chunks_mut(width + 1)) {
        for (x, cell) in row.iter().enumerate() {
            counts[x + 1] = counts[x] + u32::from(*cell);
        }
    }
    let reach = radius.clamp(0.0, width.max(height) as f32);
    let mut out = vec![false; set.len()];
    out.par_chunks_mut(width).enumerate().for_each(|(y, out)| {
        let rows = y.saturating_sub(reach as usize)..(y + reach as usize + 1).min(height);
        for (from, counts) in rows.clone().zip(counts.chunks(width + 1).skip(rows.start)) {
            let dy = from.abs_diff(y) as f32;
            let half = (reach * reach - dy * dy).max(0.0).sqrt() as usize;
            for (x, cell) in out.iter_mut().enumerate() {
                *cell |= counts[(x + half + 1).min(width)] > counts[x.saturating_sub(half)];
            }
        }
    });
    out
}

fn transposed(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(height).enumerate().for_each(|(x, column)| {
        for (y, value) in column.iter_mut().enumerate() {
            *value = values[y * width + x];
        }
    });
    out
}

/// `edited` inside the union of `regions`, `source`'s own pixels outside, with a soft edge of `feather` pixels.
///
/// The edge lies inside the regions: no pixel outside of all of them changes, bit for bit.
#[must_use]
pub fn keep_outside(source: &RgbImage, edited: &RgbImage, regions: &[&Region], feather: f32) -> RgbImage {
    let Some((first, rest)) = regions.split_first() else { return edited.clone() };
    let union = rest.iter().fold((*first).clone(), |all, region| all.union(region));
    let soft = union.feathered(feather);
    RgbImage::from_fn(source.width(), source.height(), |x, y| {
        let (hard, soft) = (union.mask.get_pixel(x, y).0[0], soft.mask.get_pixel(x, y).0[0]);
        // The blur reaches outwards as far as inwards; only the inner half, stretched to 0…255, is used.
        let inner = if feather < 1.5 { hard } else { soft.saturating_sub(127).saturating_mul(2).min(hard) };
        let share = u32::from(inner);
        let mix = |a: u8, b: u8| ((u32::from(a) * (255 - share) + u32::from(b) * share + 127) / 255) as u8;
        let (a, b) = (source.get_pixel(x, y).0, edited.get_pixel(x, y).0);
        Rgb([mix(a[0], b[0]), mix(a[1], b[1]), mix(a[2], b[2])])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    fn left_half() -> Region {
        Region::from_fn((64, 32), |x, _| x < 32)
    }

    #[test]
    fn a_grid_cell_is_the_mean_of_its_pixels() {
        let plan = plan((64, 32), SizeRequest::LongerSide(64), Fit::Pad, 8).expect("a plan");
        let grid = Region::from_fn((64, 32), |x, _| x < 36).to_grid(&plan, 4, 8);
        assert_eq!(grid[..8], [1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn nothing_changes_outside_of_the_regions() {
        let source = RgbImage::from_fn(64, 32, |x, y| Rgb([x as u8, y as u8, 7]));
        let edited = RgbImage::from_pixel(64, 32, Rgb([200, 10, 90]));
        for feather in [0.0, 6.0, 12.0] {
            let kept = keep_outside(&source, &edited, &[&left_half()], feather);
            for (x, y, pixel) in kept.enumerate_pixels() {
                if x >= 32 {
                    assert_eq!(pixel, source.get_pixel(x, y), "{feather} {x} {y}");
                }
            }
            assert_eq!(kept.get_pixel(4, 16), edited.get_pixel(4, 16));
        }
    }

    #[test]
    fn inverting_twice_and_joining_with_the_inverse() {
        let region = left_half();
        assert_eq!(region.inverted().inverted(), region);
        assert!(region.union(&region.inverted()).mask().iter().all(|v| *v == 255));
    }

    #[test]
    fn growing_moves_the_edge_by_as_many_pixels_and_shrinking_moves_it_back() {
        let at = |region: &Region, x: u32, y: u32| region.mask().get_pixel(x, y).0[0];
        let grown = left_half().grown(5.0);
        assert_eq!((at(&grown, 36, 16), at(&grown, 37, 16)), (255, 0));
        assert_eq!(grown.grown(-5.0), left_half());
        let shrunk = left_half().grown(-5.0);
        assert_eq!((at(&shrunk, 26, 0), at(&shrunk, 27, 0), at(&shrunk, 0, 31)), (255, 0, 255), "the rim is no edge");
        // One pixel becomes a disc.
        let disc = Region::from_fn((64, 64), |x, y| (x, y) == (30, 30)).grown(10.0);
        let area = disc.mask().iter().filter(|v| **v == 255).count() as f32;
        assert!((area / (std::f32::consts::PI * 100.0) - 1.0).abs() < 0.05, "{area}");
        assert_eq!(left_half().grown(1e9), Region::from_fn((64, 32), |_, _| true));
        assert_eq!(left_half().grown(f32::NAN).size(), (64, 32));
    }

    #[test]
    fn a_feather_keeps_the_amount_and_softens_the_edge() {
        let soft = left_half().feathered(12.0);
        let sum = |r: &Region| r.mask().iter().map(|v| u64::from(*v)).sum::<u64>() as f64;
        assert!((sum(&soft) / sum(&left_half()) - 1.0).abs() < 0.02);
        let middle = soft.mask().get_pixel(32, 16).0[0];
        assert!((90..166).contains(&middle), "{middle}");
    }
}
