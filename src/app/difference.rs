//! How far each pixel of one version is from another's, as a picture made in the background.

use std::sync::Arc;

use egui::Context;
use image::{Rgb, RgbImage};

use super::background::Background;
use super::document::VersionId;
use super::widgets::picture_view::PictureTexture;
use crate::picture::heatmap;

/// The difference that was asked for last.
#[derive(Default)]
pub(super) struct Difference {
    of: Option<(VersionId, VersionId)>,
    making: Option<Background<RgbImage>>,
    pub(super) texture: Option<PictureTexture>,
}

impl Difference {
    /// Makes sure that the difference of these two is there or on its way.
    pub(super) fn want(&mut self, ctx: &Context, a: (VersionId, &Arc<RgbImage>), b: (VersionId, &Arc<RgbImage>)) {
        if self.of != Some((a.0, b.0)) {
            self.of = Some((a.0, b.0));
            self.texture = None;
            let (ctx, first, second) = (ctx.clone(), Arc::clone(a.1), Arc::clone(b.1));
            self.making = Some(Background::start("a difference", move || {
                let made = difference(&first, &second);
                ctx.request_repaint();
                Ok(made)
            }));
        }
        if let Some(Ok(made)) = self.making.as_mut().and_then(Background::take) {
            self.texture = Some(PictureTexture::new(ctx, Arc::new(made)));
        }
    }

    /// Forgets it (another document).
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The largest of the three channels' distances in the colours of maps, the brightest where all but one in a hundred
/// pixels changed less.
fn difference(a: &RgbImage, b: &RgbImage) -> RgbImage {
    let (w, h) = (a.width().min(b.width()), a.height().min(b.height()));
    let distance = |x: u32, y: u32| {
        let (p, q) = (a.get_pixel(x, y).0, b.get_pixel(x, y).0);
        p.iter().zip(q).map(|(p, q)| p.abs_diff(q)).max().unwrap_or(0)
    };
    let mut counts = [0_u64; 256];
    for y in 0..h {
        for x in 0..w {
            counts[usize::from(distance(x, y))] += 1;
        }
    }
    let most = u64::from(w) * u64::from(h) * 99 / 100;
    let mut sum = 0;
    let top = counts.iter().position(|count| {
        sum += count;
        sum >= most
    });
    // Rounding alone shall not look like a change.
    let top = top.unwrap_or(255).max(16) as f32;
    let table: Vec<Rgb<u8>> = (0..=255).map(|d: u16| heatmap::colour(f32::from(d) / top)).collect();
    RgbImage::from_fn(w, h, |x, y| table[usize::from(distance(x, y))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_dark_and_what_moved_is_bright() {
        let a = RgbImage::from_pixel(2, 1, Rgb([100, 100, 100]));
        let mut b = a.clone();
        b.put_pixel(1, 0, Rgb([100, 255, 100]));
        let d = difference(&a, &b);
        assert_eq!(d.get_pixel(0, 0), &heatmap::colour(0.0));
        assert_eq!(d.get_pixel(1, 0), &heatmap::colour(1.0));
    }
}
