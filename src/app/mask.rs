//! A region as lenses make, paint and keep it: a hard mask of moderate size, and how soft its edge will be.
//!
//! Painting stays quick on pictures of any size; the full-size [`Region`] is made when a run needs it.

use std::sync::Arc;

use egui::{Pos2, Rect};
use image::{GrayImage, Luma};
use serde::{Deserialize, Serialize};

use crate::picture::Picture;
use crate::picture::region::Region;

/// Longer side of the mask in pixels.
const SIDE: u32 = 768;

/// A painted region of a picture. Cheap to clone: pixels are shared until they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(crate) struct Mask {
    pixels: Arc<GrayImage>,
    /// How many pixels of the mask are inside.
    inside: usize,
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
        Self { pixels: Arc::new(pixels), inside: 0, source, feather: (longer as f32 * 0.012).round() }
    }

    /// A region that came with a recipe or from another lens: hard, with the usual soft edge.
    pub(crate) fn from_region(region: &Region) -> Self {
        let mut mask = Self::new(region.size());
        mask.take(region.mask());
        mask
    }

    /// A picture taken for a region of another one of `source` pixels: what is opaque, if some of it is not; else what
    /// is bright.
    ///
    /// # Errors
    /// One sentence, if the proportions differ or nothing is inside.
    pub(crate) fn from_picture(picture: &Picture, source: (u32, u32)) -> Result<Self, String> {
        let (w, h) = picture.size();
        let stretch = (f64::from(w) * f64::from(source.1)) / (f64::from(h) * f64::from(source.0)).max(1.0);
        if (stretch - 1.0).abs() > 0.02 {
            let (sw, sh) = source;
            return Err(format!(
                "it is {w} × {h}, the picture {sw} × {sh}: the proportions of a region must be its own"
            ));
        }
        let opacity = picture.alpha.as_deref().filter(|alpha| alpha.iter().any(|value| *value < 255));
        let grey = opacity.cloned().unwrap_or_else(|| image::imageops::grayscale(&*picture.rgb));
        let mut mask = Self::new(source);
        mask.take(&grey);
        if mask.is_empty() {
            return Err("nothing in it is bright or opaque: white is inside, black outside".to_owned());
        }
        Ok(mask)
    }

    /// Takes another mask's pixels, brought to this one's size and made hard.
    fn take(&mut self, other: &GrayImage) {
        let small = image::imageops::thumbnail(other, self.pixels.width(), self.pixels.height());
        let hard = small.pixels().map(|p| if p.0[0] >= 128 { 255 } else { 0 }).collect();
        if let Some(pixels) = GrayImage::from_raw(small.width(), small.height(), hard) {
            self.put(pixels);
        }
    }

    fn put(&mut self, pixels: GrayImage) {
        self.inside = pixels.iter().filter(|value| **value > 0).count();
        self.pixels = Arc::new(pixels);
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
        self.inside == 0
    }

    /// Share of the picture that is inside, 0..=1.
    pub(crate) fn share(&self) -> f32 {
        self.inside as f32 / self.pixels.len().max(1) as f32
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

    /// Paints (or erases) what a closed line through `points` (0..=1 both ways) goes around; where it crosses itself, what
    /// it goes around an odd number of times.
    pub(crate) fn polygon(&mut self, points: &[Pos2], paint: bool) {
        if points.len() < 3 {
            return;
        }
        let (w, h) = (self.pixels.width() as f32, self.pixels.height() as f32);
        let corners: Vec<Pos2> = points.iter().map(|p| egui::pos2(p.x * w, p.y * h)).collect();
        let rect = Rect::from_points(&corners);
        let sides: Vec<(Pos2, Pos2)> = corners.iter().copied().zip(corners.iter().copied().cycle().skip(1)).collect();
        // The crossings of one row, left to right; a pixel is inside after an odd number of them.
        let mut crossings: (f32, Vec<f32>) = (f32::NAN, Vec::new());
        self.fill(rect, paint, |at| {
            if crossings.0 != at.y {
                let crossed = |(a, b): &(Pos2, Pos2)| {
                    ((a.y > at.y) != (b.y > at.y)).then(|| a.x + (at.y - a.y) / (b.y - a.y) * (b.x - a.x))
                };
                crossings = (at.y, sides.iter().filter_map(crossed).collect());
            }
            crossings.1.iter().filter(|x| **x < at.x).count() % 2 == 1
        });
    }

    fn fill(&mut self, bounds: Rect, paint: bool, mut inside: impl FnMut(Pos2) -> bool) {
        let (w, h) = self.pixels.dimensions();
        let value = if paint { 255 } else { 0 };
        let mut changed = 0_isize;
        let pixels = Arc::make_mut(&mut self.pixels);
        let low = |v: f32| v.floor().max(0.0) as u32;
        let (right, bottom) =
            ((bounds.right().ceil().max(0.0) as u32).min(w), (bounds.bottom().ceil().max(0.0) as u32).min(h));
        for y in low(bounds.top())..bottom {
            for x in low(bounds.left())..right {
                if pixels.get_pixel(x, y).0[0] != value && inside(egui::pos2(x as f32 + 0.5, y as f32 + 0.5)) {
                    pixels.put_pixel(x, y, Luma([value]));
                    changed += 1;
                }
            }
        }
        self.inside = self.inside.saturating_add_signed(if paint { changed } else { -changed });
    }

    /// Inside and outside exchanged.
    pub(crate) fn invert(&mut self) {
        for value in Arc::make_mut(&mut self.pixels).iter_mut() {
            *value = 255 - *value;
        }
        self.inside = self.pixels.len() - self.inside;
    }

    /// Moves the edge outwards by `pixels` of the picture (inwards if negative).
    pub(crate) fn grow(&mut self, pixels: f32) {
        let by = pixels * self.scale();
        // A region so small that a step is less than a cell still moves by one.
        let by = by.signum() * by.abs().max(1.0);
        let grown = Region::from_mask((*self.pixels).clone(), self.pixels.dimensions()).grown(by);
        self.put(grown.mask().clone());
    }

    /// A step of [`Mask::grow`] that can be seen: a hundredth of the longer side, in picture pixels.
    pub(crate) fn step(&self) -> f32 {
        (self.source.0.max(self.source.1) as f32 * 0.01).round().max(1.0)
    }

    /// Cells of the mask a picture pixel.
    fn scale(&self) -> f32 {
        self.pixels.width() as f32 / self.source.0.max(1) as f32
    }

    /// The region with its soft edge, in picture pixels.
    pub(crate) fn to_region(&self) -> Region {
        let small =
            Region::from_mask((*self.pixels).clone(), self.pixels.dimensions()).feathered(self.feather * self.scale());
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
        let mut mask = Self { pixels: Arc::default(), inside: 0, source: stored.source, feather };
        mask.put(pixels);
        Ok(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;
    use image::{Rgb, RgbImage};

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
    fn closed_lines_fill_what_they_go_around_and_edges_move() {
        let mut mask = Mask::new((1000, 500));
        mask.polygon(&[pos2(0.1, 0.1), pos2(0.9, 0.1)], true);
        assert!(mask.is_empty(), "two points go around nothing");
        let corners = [pos2(0.25, 0.0), pos2(0.75, 0.0), pos2(0.75, 1.0), pos2(0.25, 1.0)];
        mask.polygon(&corners, true);
        assert!((mask.share() - 0.5).abs() < 0.005, "{}", mask.share());
        mask.polygon(&[pos2(0.25, 0.0), pos2(0.5, 0.0), pos2(0.25, 1.0)], false);
        assert!((mask.share() - 0.375).abs() < 0.005, "{}", mask.share());
        // Far outside of the picture, and crossing itself.
        mask.polygon(&[pos2(-9.0, -9.0), pos2(9.0, 9.0), pos2(9.0, -9.0), pos2(-9.0, 9.0)], false);
        mask.polygon(&corners, false);
        assert!(mask.is_empty());
        mask.rectangle(pos2(0.4, 0.0), pos2(0.6, 1.0), true);
        mask.grow(50.0);
        assert!((mask.share() - 0.3).abs() < 0.005, "{}", mask.share());
        mask.grow(-50.0);
        assert!((mask.share() - 0.2).abs() < 0.005, "{}", mask.share());
        let counted = mask.pixels().iter().filter(|value| **value > 0).count();
        assert_eq!(mask.inside, counted);
    }

    #[test]
    fn a_file_is_a_region_if_it_has_the_pictures_proportions() {
        let light = |w, h| RgbImage::from_fn(w, h, |x, _| Rgb(if x < w / 2 { [250; 3] } else { [5; 3] }));
        let mask = Mask::from_picture(&Picture::from_rgb("m", light(100, 50)), (2000, 1000)).unwrap();
        assert!((mask.share() - 0.5).abs() < 0.01);
        assert_eq!(mask.source(), (2000, 1000));
        let other = Mask::from_picture(&Picture::from_rgb("m", light(100, 90)), (2000, 1000)).unwrap_err();
        assert!(other.contains("100 × 90"), "{other}");
        let alpha = GrayImage::from_fn(100, 50, |_, y| Luma([if y < 10 { 255 } else { 0 }]));
        let cut = Picture { alpha: Some(Arc::new(alpha)), ..Picture::from_rgb("m", light(100, 50)) };
        assert!((Mask::from_picture(&cut, (200, 100)).unwrap().share() - 0.2).abs() < 0.02);
        assert!(Mask::from_picture(&Picture::from_rgb("m", RgbImage::new(100, 50)), (200, 100)).is_err());
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
