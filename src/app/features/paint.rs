//! A pane's map on the screen: a texture of a pixel a patch that the graphics card enlarges, or one at picture size that
//! is made in the background.

use std::sync::Arc;

use egui::{Color32, ColorImage, Context, Mesh, Painter, Rect, Shape, Stroke, TextureHandle, TextureOptions, pos2};
use image::RgbImage;

use super::kept::Kept;
use super::maps::{Content, Maker};
use super::panes::MapKind;
use crate::features::Placement;
use crate::features::similarity::{Match, largest};
use crate::features::upsample::Upsampling;

/// Longer side of a map that is enlarged in the background.
const LONGEST: u32 = 1600;
/// Patches that are most alike, themselves among them.
const STRONGEST: usize = 6;

type FineKey = (u64, Upsampling);

/// The map that a pane draws.
#[derive(Default)]
pub(super) struct Paint {
    mark: Option<u64>,
    /// What the map is of: its kind and the features' number.
    about: Option<(MapKind, u64)>,
    map: Option<(Content, Placement)>,
    /// The patches with the largest values.
    strongest: Vec<Match>,
    /// A map that takes too long for one frame.
    making: Kept<u64, Content>,
    patches: Option<(TextureOptions, TextureHandle)>,
    fine: Kept<FineKey, ColorImage>,
    fine_texture: Option<(FineKey, TextureHandle)>,
    /// What was drawn last stands in for a map that is on its way.
    pub(super) provisional: bool,
}

impl Paint {
    /// Whether it holds that map already.
    pub(super) fn has(&self, mark: u64) -> bool {
        self.mark == Some(mark)
    }

    /// Makes the map, at once or in the background if it takes long, and says whether there is something to draw: the
    /// map, or the one before it of the same features.
    pub(super) fn make(
        &mut self,
        ctx: &Context,
        mark: u64,
        about: (MapKind, u64),
        maker: Maker,
        place: &Placement,
    ) -> bool {
        if self.about != Some(about) {
            // What was there is of something else.
            self.mark = None;
            self.map = None;
            self.strongest.clear();
        }
        self.about = Some(about);
        let content = if maker.is_quick() {
            maker.make()
        } else {
            let fault = "There is no such map.";
            self.making.want(ctx, "make a map", mark, move || maker.make().ok_or_else(|| fault.to_owned()));
            self.making.exactly(&mark).cloned()
        };
        if let Some(content) = content {
            self.take(mark, content, place);
            // The panel, which is drawn before the panes, tells of it.
            ctx.request_repaint();
        }
        self.map.is_some()
    }

    /// Whether a map is made in the background.
    pub(super) fn is_making(&self) -> bool {
        self.making.is_making()
    }

    /// The patches that are most alike, best first.
    pub(super) fn strongest(&self) -> &[Match] {
        &self.strongest
    }

    fn take(&mut self, mark: u64, content: Content, place: &Placement) {
        self.mark = Some(mark);
        self.strongest = match (&content, self.about) {
            (Content::Values { values, .. }, Some((MapKind::Similarity, _))) => {
                largest(values, place.columns, STRONGEST)
            }
            _ => Vec::new(),
        };
        self.map = Some((content, place.clone()));
        self.patches = match self.patches.take() {
            Some((options, mut texture)) => {
                if let Some((content, place)) = &self.map {
                    texture.set(content.patches(place), options);
                }
                Some((options, texture))
            }
            None => None,
        };
    }

    /// Forgets the map.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn map(&self) -> Option<(&Content, &Placement)> {
        self.map.as_ref().map(|(content, place)| (content, place))
    }

    /// Draws the map over `picture` (the whole picture on the screen), whose pixels are `rgb`.
    pub(super) fn paint(
        &mut self,
        ctx: &Context,
        painter: &Painter,
        picture: Rect,
        rgb: &Arc<RgbImage>,
        how: Upsampling,
        opacity: f32,
    ) {
        let (Some(mark), Some((content, place))) = (self.mark, &self.map) else { return };
        let tint = Color32::WHITE.gamma_multiply(opacity);
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        self.provisional = false;
        let fine = how == Upsampling::Edges || (how == Upsampling::Bilinear && !content.blends());
        if fine {
            let key = (mark, how);
            let (content, place, rgb) = (content.clone(), place.clone(), Arc::clone(rgb));
            self.fine.want(ctx, "enlarge a map", key, move || {
                let size = limited(rgb.dimensions());
                Ok(content.enlarged(&place, size, how, &rgb))
            });
            if let Some(image) = self.fine.exactly(&key)
                && self.fine_texture.as_ref().is_none_or(|(of, _)| *of != key)
            {
                let texture = ctx.load_texture("feature map", image.clone(), TextureOptions::LINEAR);
                self.fine_texture = Some((key, texture));
            }
            if let Some((of, texture)) = &self.fine_texture
                && *of == key
            {
                painter.image(texture.id(), picture, whole, tint);
                return;
            }
        }
        self.provisional = fine;
        // While that is made, and for what the graphics card does as well: a pixel a patch.
        let smooth = content.blends() && how != Upsampling::Nearest;
        let options = if smooth { TextureOptions::LINEAR } else { TextureOptions::NEAREST };
        if self.patches.as_ref().is_none_or(|(of, _)| *of != options) {
            let texture = ctx.load_texture("patches", content.patches(place), options);
            self.patches = Some((options, texture));
        }
        let Some((_, texture)) = &self.patches else { return };
        let (cover, uv) = lies(place);
        let at = |x: f32, y: f32| pos2(picture.left() + x * picture.width(), picture.top() + y * picture.height());
        let rect = Rect::from_min_max(at(cover.left(), cover.top()), at(cover.right(), cover.bottom()));
        let mut mesh = Mesh::with_texture(texture.id());
        mesh.add_rect_with_uv(rect, uv, tint);
        painter.add(Shape::mesh(mesh));
    }
}

/// The part of the picture that a grid covers, and the part of the grid that lies on the picture; 0..=1 both ways.
fn lies(place: &Placement) -> (Rect, Rect) {
    let plan = &place.plan;
    let part = |x: u32, y: u32, w: u32, h: u32, of: (u32, u32)| {
        let (fw, fh) = (of.0 as f32, of.1 as f32);
        Rect::from_min_max(pos2(x as f32 / fw, y as f32 / fh), pos2((x + w) as f32 / fw, (y + h) as f32 / fh))
    };
    let (used, content) = (plan.used, plan.content);
    (
        part(used.x, used.y, used.width, used.height, plan.source),
        part(content.x, content.y, content.width, content.height, plan.working),
    )
}

/// The size that a map is made at: the picture's, but no longer than it can be told apart on a screen.
fn limited(size: (u32, u32)) -> (u32, u32) {
    let longer = size.0.max(size.1).max(1);
    if longer <= LONGEST {
        return size;
    }
    let side = |v: u32| ((u64::from(v) * u64::from(LONGEST) / u64::from(longer)) as u32).max(1);
    (side(size.0), side(size.1))
}

/// Lines between the patches, where they are far enough apart to be seen.
pub(super) fn grid_lines(painter: &Painter, picture: Rect, place: &Placement) {
    let (width, height) = (place.plan.source.0 as f32, place.plan.source.1 as f32);
    let at = |column: usize, row: usize| {
        let (x, y) = place.to_picture(column as f64, row as f64);
        pos2(
            picture.left() + (x as f32 / width).clamp(0.0, 1.0) * picture.width(),
            picture.top() + (y as f32 / height).clamp(0.0, 1.0) * picture.height(),
        )
    };
    let step = at(1, 1) - at(0, 0);
    if step.x < 5.0 || step.y < 5.0 {
        return;
    }
    let stroke = Stroke::new(1.0, Color32::from_black_alpha(90));
    for column in 1..place.columns {
        painter.vline(at(column, 0).x, picture.y_range(), stroke);
    }
    for row in 1..place.rows {
        painter.hline(picture.x_range(), at(0, row).y, stroke);
    }
}

/// The box of a patch on the screen.
pub(super) fn patch_rect(picture: Rect, place: &Placement, row: usize, column: usize) -> Rect {
    let [left, top, right, bottom] = place.patch_box(row, column);
    let (width, height) = (f64::from(place.plan.source.0), f64::from(place.plan.source.1));
    let at = |x: f64, y: f64| {
        pos2(
            picture.left() + (x / width) as f32 * picture.width(),
            picture.top() + (y / height) as f32 * picture.height(),
        )
    };
    Rect::from_min_max(at(left, top), at(right, bottom))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    #[test]
    fn a_padded_grid_covers_the_picture_with_its_middle() {
        let plan = plan((100, 50), SizeRequest::Exact(80, 80), Fit::Pad, 8).unwrap();
        let place = Placement::new(&plan, 8);
        let (cover, uv) = lies(&place);
        assert_eq!(cover, Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0)));
        assert!(uv.top() > 0.2 && uv.bottom() < 0.8 && uv.left() == 0.0 && uv.right() == 1.0, "{uv:?}");
        let screen = Rect::from_min_max(pos2(0.0, 0.0), pos2(200.0, 100.0));
        let first = patch_rect(screen, &place, 5, 0);
        assert!((first.width() - 20.0).abs() < 1e-3 && (first.height() - 20.0).abs() < 1e-3, "{first:?}");
        assert_eq!((limited((4000, 1000)), limited((10, 20))), ((1600, 400), (10, 20)));
    }
}
