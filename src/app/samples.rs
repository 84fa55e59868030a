//! The sample pictures that come with the program, as small cards on the empty window.

use std::path::{Path, PathBuf};

use egui::{
    Color32, ColorImage, Context, CornerRadius, CursorIcon, Rect, Role, Sense, Stroke, StrokeKind, TextureHandle,
    TextureOptions, Ui, WidgetInfo, pos2, vec2,
};

use super::background::Background;
use super::theme::{palette, radius, space};
use crate::packs::store::Places;
use crate::picture::decode;
use crate::picture::limits::DecodeLimits;

/// Longer side of a card's picture in pixels.
const SIDE: u32 = 320;
/// Size of a card in points.
const CARD: egui::Vec2 = vec2(148.0, 104.0);

/// The samples beside the program or in its repository.
pub(super) fn of_this_machine() -> Vec<PathBuf> {
    let folders = Places::of_this_machine().assets.into_iter().map(|assets| assets.join("samples"));
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else { return Vec::new() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "png")).collect();
    // The one that the first steps of the README take comes first.
    found.sort_by_key(|path| (!path.ends_with("lake-village.png"), path.clone()));
    found
}

/// The sample scene beside them, if there is one.
pub(super) fn scene_of_this_machine() -> Option<PathBuf> {
    let folders = Places::of_this_machine().assets.into_iter().map(|assets| assets.join("samples"));
    let folder = folders.into_iter().find(|folder| folder.is_dir())?;
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    entries.filter(|path| super::splats::is_scene(path)).min()
}

struct Card {
    path: PathBuf,
    loading: Option<Background<ColorImage>>,
    texture: Option<TextureHandle>,
}

/// The cards; their pictures come in the background.
pub(super) struct Samples {
    cards: Vec<Card>,
}

impl Samples {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let card = |path| Card { path, loading: None, texture: None };
        Self { cards: paths.into_iter().take(8).map(card).collect() }
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.cards.iter().any(|card| card.path == path)
    }

    /// Draws the cards in the middle, and says which was chosen.
    pub(super) fn show(&mut self, ui: &mut Ui) -> Option<PathBuf> {
        if self.cards.is_empty() {
            return None;
        }
        let fitting = ((ui.available_width() - space::L) / (CARD.x + space::M)).floor().clamp(1.0, 4.0) as usize;
        let mut chosen = None;
        for row in self.cards.chunks_mut(fitting) {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = space::M;
                let width = row.len() as f32 * (CARD.x + space::M) - space::M;
                ui.add_space((ui.available_width() - width).max(0.0) / 2.0);
                for card in row {
                    if card.show(ui) {
                        chosen = Some(card.path.clone());
                    }
                }
            });
            ui.add_space(space::XS);
        }
        chosen
    }
}

impl Card {
    fn show(&mut self, ui: &mut Ui) -> bool {
        self.load(ui.ctx());
        let p = palette(ui.ctx());
        let name = title(&self.path);
        let (rect, response) = ui.allocate_exact_size(CARD, Sense::click());
        let seen = if self.texture.is_some() { "" } else { ", loading" };
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Sample: {name}{seen}")));
        let round = CornerRadius::same(radius::CARD);
        let painter = ui.painter_at(rect.expand(2.0));
        painter.rect_filled(rect, round, p.raised);
        if let Some(texture) = &self.texture {
            // Filled: the middle of the picture.
            let size = texture.size_vec2();
            let scale = (rect.width() / size.x).max(rect.height() / size.y);
            let seen = rect.size() / (size * scale);
            let uv = Rect::from_center_size(pos2(0.5, 0.5), seen);
            egui::Image::from_texture((texture.id(), rect.size())).uv(uv).corner_radius(round).paint_at(ui, rect);
        }
        let words = painter.layout_no_wrap(name, super::theme::small(), Color32::WHITE);
        let strip = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 24.0), rect.max);
        let bottom = CornerRadius { nw: 0, ne: 0, sw: radius::CARD, se: radius::CARD };
        painter.rect_filled(strip, bottom, Color32::from_black_alpha(150));
        painter.galley(pos2(strip.left() + 8.0, strip.center().y - words.size().y / 2.0), words, Color32::WHITE);
        let ring = if response.hovered() || response.has_focus() { p.focus_ring() } else { Stroke::NONE };
        painter.rect_stroke(rect, round, ring, StrokeKind::Outside);
        response.on_hover_cursor(CursorIcon::PointingHand).clicked()
    }

    fn load(&mut self, ctx: &Context) {
        if self.texture.is_some() {
            return;
        }
        let Some(loading) = &mut self.loading else {
            let (path, ctx) = (self.path.clone(), ctx.clone());
            self.loading = Some(Background::start("a sample picture", move || {
                let picture = decode::open(&path, &DecodeLimits::default()).map_err(|error| error.to_string())?;
                let (w, h) = picture.size();
                let scale = f64::from(SIDE) / f64::from(w.max(h).max(1));
                let side = |v: u32| ((f64::from(v) * scale).round() as u32).clamp(1, SIDE);
                let small = image::imageops::thumbnail(&*picture.rgb, side(w), side(h));
                ctx.request_repaint();
                Ok(ColorImage::from_rgb([small.width() as usize, small.height() as usize], small.as_raw()))
            }));
            return;
        };
        // A sample that cannot be read is an empty card; opening it says why.
        if let Some(Ok(image)) = loading.take() {
            self.texture = Some(ctx.load_texture("sample", image, TextureOptions::LINEAR));
        }
    }
}

/// "lake-village.png" → "lake village".
fn title(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().replace(['-', '_'], " ")).unwrap_or_default()
}
