//! A region as it is painted: a hard mask of moderate size, and how soft its edge will be.
//!
//! Painting stays quick on pictures of any size; the full-size [`Region`] is made when a run needs it.

use std::sync::Arc;

use egui::{Pos2, Rect};
use image::{GrayImage, Luma};
use serde::{Deserialize, Serialize};

use crate::picture::region::Region;

/// Longer side of the mask in pixels.
const SIDE: u32 = 768;

/// A painted region of a picture. Cheap to clone: pixels are shared until they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(crate) struct Mask {
    pixels: Arc<GrayImage>,
    /// Width and height of the picture, in pixels.
    source: (u32, u32),
    /// Width of the soft edge, in picture pixels.
    pub(crate) feather: f32,
}

impl Mask {
    /// Nothing painted yet, over a picture of `source` pixels (width, height).
    pub(crate) fn new(source: (u32, u32)) -> Self {
        let longer = source.0.max(source.1).max(1);
        let scale = f64::from(SIDE.min(longer)) / f64::from(longer);
        let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
        let pixels = GrayImage::new(side(source.0), side(source.1));
        Self { pixels: Arc::new(pixels), source, feather: (longer as f32 * 0.012).round() }
    }

    /// A region that came with a recipe.
    pub(crate) fn from_region(region: &Region) -> Self {
        let mut mask = Self::new(region.size());
        let small = image::imageops::thumbnail(region.mask(), mask.pixels.width(), mask.pixels.height());
        let hard = small.pixels().map(|p| if p.0[0] >= 128 { 255 } else { 0 }).collect();
        if let Some(pixels) = GrayImage::from_raw(small.width(), small.height(), hard) {
            mask.pixels = Arc::new(pixels);
        }
        mask
    }

    /// 255 inside, 0 outside.
    pub(crate) fn pixels(&self) -> &Arc<GrayImage> {
        &self.pixels
    }

    /// Width and height of the picture it was painted on.
    pub(crate) fn source(&self) -> (u32, u32) {
        self.source
    }

    /// Whether nothing is painted; such a region bounds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.pixels.iter().all(|value| *value == 0)
    }

    /// Share of the picture that is inside, 0..=1.
    pub(crate) fn share(&self) -> f32 {
        let inside = self.pixels.iter().filter(|value| **value > 0).count();
        inside as f32 / self.pixels.len().max(1) as f32
    }

    /// Paints (or erases) a round stroke between two places (0..=1 both ways), `radius` as a share of the longer side.
    pub(crate) fn stroke(&mut self, from: Pos2, to: Pos2, radius: f32, paint: bool) {
        let (w, h) = (self.pixels.width() as f32, self.pixels.height() as f32);
        let (from, to) = (egui::pos2(from.x * w, from.y * h), egui::pos2(to.x * w, to.y * h));
        let radius = (radius * w.max(h)).max(0.75);
        let along = to - from;
        let length = along.length_sq().max(1e-6);
        self.fill(Rect::from_two_pos(from, to).expand(radius), paint, |at| {
            let t = ((at - from).dot(along) / length).clamp(0.0, 1.0);
            (from + along * t).distance_sq(at) <= radius * radius
        });
    }

    /// Paints (or erases) a rectangle given by two corners (0..=1 both ways).
    pub(crate) fn rectangle(&mut self, from: Pos2, to: Pos2, paint: bool) {
        let (w, h) = (self.pixels.width() as f32, self.pixels.height() as f32);
        let rect = Rect::from_two_pos(egui::pos2(from.x * w, from.y * h), egui::pos2(to.x * w, to.y * h));
        self.fill(rect, paint, |at| rect.contains(at));
    }

    fn fill(&mut self, bounds: Rect, paint: bool, inside: impl Fn(Pos2) -> bool) {
        let (w, h) = self.pixels.dimensions();
        let pixels = Arc::make_mut(&mut self.pixels);
        let low = |v: f32| v.floor().max(0.0) as u32;
        let (right, bottom) =
            ((bounds.right().ceil().max(0.0) as u32).min(w), (bounds.bottom().ceil().max(0.0) as u32).min(h));
        for y in low(bounds.top())..bottom {
            for x in low(bounds.left())..right {
                if inside(egui::pos2(x as f32 + 0.5, y as f32 + 0.5)) {
                    pixels.put_pixel(x, y, Luma([if paint { 255 } else { 0 }]));
                }
            }
        }
    }

    /// Inside and outside exchanged.
    pub(crate) fn invert(&mut self) {
        for value in Arc::make_mut(&mut self.pixels).iter_mut() {
            *value = 255 - *value;
        }
    }

    /// The region with its soft edge, in picture pixels.
    pub(crate) fn to_region(&self) -> Region {
        let scale = self.pixels.width() as f32 / self.source.0.max(1) as f32;
        let small = Region::from_mask((*self.pixels).clone(), self.pixels.dimensions()).feathered(self.feather * scale);
        Region::from_mask(small.mask().clone(), self.source)
    }
}

/// The mask in a file: lengths of runs, row by row, beginning outside.
#[derive(Serialize, Deserialize)]
struct Stored {
    source: (u32, u32),
    size: (u32, u32),
    feather: f32,
    runs: Vec<u32>,
}

impl From<Mask> for Stored {
    fn from(mask: Mask) -> Self {
        let mut runs = vec![0];
        let mut inside = false;
        for value in mask.pixels.iter() {
            if (*value >= 128) != inside {
                inside = !inside;
                runs.push(0);
            }
            if let Some(last) = runs.last_mut() {
                *last += 1;
            }
        }
        Self { source: mask.source, size: mask.pixels.dimensions(), feather: mask.feather, runs }
    }
}

impl TryFrom<Stored> for Mask {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let (w, h) = stored.size;
        if w == 0 || h == 0 || w > SIDE || h > SIDE {
            return Err(format!("a region of {w} × {h} cells"));
        }
        let count = w as usize * h as usize;
        if stored.runs.iter().map(|run| u64::from(*run)).sum::<u64>() != count as u64 {
            return Err("a region whose runs do not fill it".to_owned());
        }
        let mut values = Vec::with_capacity(count);
        for (index, run) in stored.runs.iter().enumerate() {
            values.resize(values.len() + *run as usize, if index % 2 == 1 { 255 } else { 0 });
        }
        let pixels = GrayImage::from_raw(w, h, values).ok_or("a region of another size")?;
        let feather = if stored.feather.is_finite() { stored.feather.clamp(0.0, 4096.0) } else { 0.0 };
        Ok(Self { pixels: Arc::new(pixels), source: stored.source, feather })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    #[test]
    fn strokes_and_rectangles_paint_and_erase() {
        let mut mask = Mask::new((1600, 1200));
        assert!(mask.is_empty());
        mask.rectangle(pos2(0.0, 0.0), pos2(0.5, 1.0), true);
        assert!((mask.share() - 0.5).abs() < 0.01);
        mask.stroke(pos2(0.25, 0.5), pos2(0.25, 0.5), 0.05, false);
        let hole = std::f32::consts::PI * 0.05 * 0.05 * 4.0 / 3.0;
        assert!((mask.share() - (0.5 - hole)).abs() < 0.01);
        mask.invert();
        assert!((mask.share() - (0.5 + hole)).abs() < 0.01);
    }

    #[test]
    fn the_full_size_region_lies_where_it_was_painted() {
        let mut mask = Mask::new((2000, 1000));
        mask.rectangle(pos2(0.5, 0.0), pos2(1.0, 1.0), true);
        mask.feather = 0.0;
        let region = mask.to_region();
        assert_eq!(region.size(), (2000, 1000));
        assert_eq!((region.mask().get_pixel(400, 500).0, region.mask().get_pixel(1600, 500).0), ([0], [255]));
        mask.feather = 200.0;
        let soft = mask.to_region().mask().get_pixel(1000, 500).0[0];
        assert!((100..156).contains(&soft), "{soft}");
    }

    #[test]
    fn masks_survive_a_file_and_lies_are_refused() {
        let mut mask = Mask::new((900, 300));
        mask.stroke(pos2(0.1, 0.2), pos2(0.9, 0.7), 0.03, true);
        let text = serde_json::to_string(&mask).unwrap();
        assert_eq!(serde_json::from_str::<Mask>(&text).unwrap(), mask);
        for lie in [
            r#"{"source":[9,9],"size":[4000000000,4000000000],"feather":0,"runs":[16]}"#,
            r#"{"source":[9,9],"size":[3,3],"feather":0,"runs":[4,4000000000]}"#,
            r#"{"source":[9,9],"size":[0,3],"feather":0,"runs":[]}"#,
        ] {
            assert!(serde_json::from_str::<Mask>(lie).is_err(), "{lie}");
        }
    }
}
