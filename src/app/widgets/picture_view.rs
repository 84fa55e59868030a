//! A picture on the screen at any zoom: a pyramid of halved copies made in the background, cut into
//! tiles that fit every device, uploaded only where they are seen.

use std::collections::HashMap;
use std::sync::Arc;

use egui::{
    Color32, ColorImage, Context, Painter, Pos2, Rect, TextureFilter, TextureHandle, TextureOptions, pos2, vec2,
};
use image::RgbImage;

use crate::app::background::Background;

/// Side of a tile in pixels, without the rim of one pixel that keeps seams invisible.
const TILE: u32 = 1022;
/// Tiles that are kept for one picture (about 4 MB each).
const KEPT: usize = 64;
/// Tiles uploaded in one frame, so that no frame stalls.
const UPLOADS: usize = 2;

/// One picture ready to be drawn.
pub(crate) struct PictureTexture {
    levels: Vec<Arc<RgbImage>>,
    smaller: Option<Background<Vec<Arc<RgbImage>>>>,
    tiles: HashMap<(usize, u32, u32, bool), Tile>,
    clock: u64,
}

struct Tile {
    texture: TextureHandle,
    used: u64,
}

impl PictureTexture {
    /// Begins to halve `picture` in the background; until that is done nothing larger than a tile can be drawn smoothly.
    pub(crate) fn new(ctx: &Context, picture: Arc<RgbImage>) -> Self {
        let (w, h) = picture.dimensions();
        let source = Arc::clone(&picture);
        // Tiny pictures (previews, thumbnails) need no pyramid.
        let smaller = (w.max(h) > 320).then(|| {
            let ctx = ctx.clone();
            Background::start("halve a picture", move || {
                let mut levels: Vec<Arc<RgbImage>> = Vec::new();
                let mut last = source;
                while last.width().max(last.height()) > 320 {
                    last = Arc::new(halved(&last));
                    levels.push(Arc::clone(&last));
                }
                ctx.request_repaint();
                Ok(levels)
            })
        });
        Self { levels: vec![picture], smaller, tiles: HashMap::new(), clock: 0 }
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.levels[0].dimensions()
    }

    /// Draws the picture so that it fills `place` (points), as far as the painter's clip shows it.
    pub(crate) fn paint(&mut self, painter: &Painter, place: Rect, tint: Color32) {
        if let Some(levels) = self.smaller.as_mut().and_then(Background::take) {
            self.smaller = None;
            if let Ok(levels) = levels {
                self.levels.extend(levels);
            }
        }
        self.clock += 1;
        let seen = place.intersect(painter.clip_rect());
        if !seen.is_positive() {
            return;
        }
        let (w, h) = self.size();
        let pixels_per_point = painter.pixels_per_point();
        let magnification = place.width() * pixels_per_point / w as f32;
        let wanted = (1.0 / magnification.max(1e-4)).log2().floor().max(0.0) as usize;
        let level = wanted.min(self.levels.len() - 1);
        // While a big picture's pyramid is in the making, its full size would take many tiles: wait for it.
        if self.smaller.is_some() && level < wanted && w.max(h) > 4096 {
            painter.rect_filled(seen, 0, crate::app::theme::palette(painter.ctx()).raised);
            return;
        }
        let crisp = magnification >= 4.0;
        self.paint_level(painter, place, seen, level, crisp, tint);
        if self.tiles.len() > KEPT {
            let oldest_kept = self.clock.saturating_sub(2);
            self.tiles.retain(|_, tile| tile.used >= oldest_kept);
        }
    }

    fn paint_level(&mut self, painter: &Painter, place: Rect, seen: Rect, level: usize, crisp: bool, tint: Color32) {
        let image = Arc::clone(&self.levels[level]);
        let (w, h) = image.dimensions();
        let per_pixel = vec2(place.width() / w as f32, place.height() / h as f32);
        let range = |low: f32, high: f32, start: f32, each: f32, size: u32| {
            let first = (((low - start) / each).floor().max(0.0) as u32).min(size - 1) / TILE;
            let last = (((high - start) / each).ceil().max(0.0) as u32).min(size - 1) / TILE;
            first..=last
        };
        let mut uploads = 0;
        for ty in range(seen.top(), seen.bottom(), place.top(), per_pixel.y, h) {
            for tx in range(seen.left(), seen.right(), place.left(), per_pixel.x, w) {
                let key = (level, tx, ty, crisp);
                if !self.tiles.contains_key(&key) {
                    if uploads == UPLOADS {
                        painter.ctx().request_repaint();
                        continue;
                    }
                    uploads += 1;
                    let texture = upload(painter.ctx(), &image, tx, ty, crisp);
                    self.tiles.insert(key, Tile { texture, used: self.clock });
                }
                if let Some(tile) = self.tiles.get_mut(&key) {
                    tile.used = self.clock;
                    paint_tile(painter, tile, (w, h), (tx, ty), place.min, per_pixel, tint);
                }
            }
        }
    }
}

/// The pixels a tile covers with its rim: x, y, width, height.
fn tile_span(start: u32, size: u32) -> (u32, u32) {
    let from = (start * TILE).saturating_sub(1);
    let to = ((start + 1) * TILE + 1).min(size);
    (from, to - from)
}

fn upload(ctx: &Context, image: &RgbImage, tx: u32, ty: u32, crisp: bool) -> TextureHandle {
    let (x, w) = tile_span(tx, image.width());
    let (y, h) = tile_span(ty, image.height());
    let mut pixels = Vec::with_capacity(w as usize * h as usize);
    let stride = image.width() as usize * 3;
    let raw = image.as_raw();
    for row in y..y + h {
        let from = row as usize * stride + x as usize * 3;
        let line = &raw[from..from + w as usize * 3];
        pixels.extend(line.chunks_exact(3).map(|c| Color32::from_rgb(c[0], c[1], c[2])));
    }
    let magnification = if crisp { TextureFilter::Nearest } else { TextureFilter::Linear };
    let options = TextureOptions { magnification, minification: TextureFilter::Linear, ..TextureOptions::LINEAR };
    ctx.load_texture("picture tile", ColorImage::new([w as usize, h as usize], pixels), options)
}

fn paint_tile(
    painter: &Painter,
    tile: &Tile,
    size: (u32, u32),
    at: (u32, u32),
    origin: Pos2,
    per_pixel: egui::Vec2,
    tint: Color32,
) {
    let span = |t: u32, size: u32| ((t * TILE) as f32, ((t + 1) * TILE).min(size) as f32);
    let ((x0, x1), (y0, y1)) = (span(at.0, size.0), span(at.1, size.1));
    let rect = Rect::from_min_max(
        pos2(origin.x + x0 * per_pixel.x, origin.y + y0 * per_pixel.y),
        pos2(origin.x + x1 * per_pixel.x, origin.y + y1 * per_pixel.y),
    );
    let (sx, sw) = tile_span(at.0, size.0);
    let (sy, sh) = tile_span(at.1, size.1);
    let uv = Rect::from_min_max(
        pos2((x0 - sx as f32) / sw as f32, (y0 - sy as f32) / sh as f32),
        pos2((x1 - sx as f32) / sw as f32, (y1 - sy as f32) / sh as f32),
    );
    painter.image(tile.texture.id(), rect, uv, tint);
}

/// Half the size, each pixel the mean of four (three columns or rows at an odd rim lose their last).
pub(crate) fn halved(image: &RgbImage) -> RgbImage {
    let (w, h) = ((image.width() / 2).max(1), (image.height() / 2).max(1));
    let stride = image.width() as usize * 3;
    let raw = image.as_raw();
    let mut out = vec![0_u8; w as usize * h as usize * 3];
    let (step_x, step_y) = (usize::from(image.width() > 1) * 3, usize::from(image.height() > 1) * stride);
    for (y, line) in out.chunks_exact_mut(w as usize * 3).enumerate() {
        let top = y * 2 * stride;
        for x in 0..w as usize {
            for c in 0..3 {
                let at = top + x * 6 + c;
                let sum = u16::from(raw[at])
                    + u16::from(raw[at + step_x])
                    + u16::from(raw[at + step_y])
                    + u16::from(raw[at + step_x + step_y]);
                line[x * 3 + c] = ((sum + 2) / 4) as u8;
            }
        }
    }
    RgbImage::from_raw(w, h, out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_takes_means_and_survives_single_rows() {
        let image = RgbImage::from_fn(5, 1, |x, _| image::Rgb([x as u8 * 10, 0, 255]));
        let half = halved(&image);
        assert_eq!(half.dimensions(), (2, 1));
        assert_eq!(half.get_pixel(0, 0).0, [5, 0, 255]);
        assert_eq!(halved(&RgbImage::new(1, 1)).dimensions(), (1, 1));
    }

    #[test]
    fn tiles_cover_a_picture_with_a_rim() {
        assert_eq!(tile_span(0, 500), (0, 500));
        assert_eq!(tile_span(0, 3000), (0, TILE + 1));
        assert_eq!(tile_span(1, 3000), (TILE - 1, TILE + 2));
        assert_eq!(tile_span(2, 2045), (2 * TILE - 1, 2));
    }
}
