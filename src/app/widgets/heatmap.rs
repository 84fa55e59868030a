//! A heat map over the picture: its texture, the way it lies on the picture, and its colour bar.

use std::sync::Arc;

use egui::{
    Color32, ColorImage, Context, CornerRadius, Mesh, Painter, Rect, Shape, StrokeKind, TextureHandle, TextureOptions,
    pos2, vec2,
};

use crate::app::theme::{self, Palette};
use crate::picture::heatmap;

/// A map over the model's working picture, ready to draw.
pub(crate) struct Overlay {
    texture: TextureHandle,
    /// The part of the map that lies on the picture, 0..=1 both ways.
    uv: Rect,
    /// The part of the picture the map covers, 0..=1 both ways.
    cover: Rect,
    /// What the brightest colour stands for.
    pub(crate) top: f32,
    /// What the map shows, in words.
    pub(crate) title: String,
    values: Arc<Vec<f32>>,
    grid: (usize, usize),
}

/// A map of values over the working picture.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    /// Row-major, `grid.0 * grid.1` values.
    pub(crate) values: Arc<Vec<f32>>,
    /// Width and height.
    pub(crate) grid: (usize, usize),
    pub(crate) uv: Rect,
    pub(crate) cover: Rect,
    pub(crate) title: String,
}

impl Map {
    /// The largest value, at least a hair above 0.
    pub(crate) fn top(&self) -> f32 {
        self.values.iter().copied().filter(|v| v.is_finite()).fold(1e-6, f32::max)
    }
}

impl Overlay {
    /// Uploads `map`. `smooth` interpolates between cells; otherwise each cell shows as it is.
    pub(crate) fn new(ctx: &Context, map: &Map, smooth: bool) -> Self {
        let top = map.top();
        let pixels = map.values.iter().map(|v| sequential(v / top)).collect();
        let image = ColorImage::new([map.grid.0, map.grid.1], pixels);
        let options = if smooth { TextureOptions::LINEAR } else { TextureOptions::NEAREST };
        let texture = ctx.load_texture("heat map", image, options);
        Self {
            texture,
            uv: map.uv,
            cover: map.cover,
            top,
            title: map.title.clone(),
            values: Arc::clone(&map.values),
            grid: map.grid,
        }
    }

    /// Draws the map over `picture` (the whole picture on the screen, in points).
    pub(crate) fn paint(&self, painter: &Painter, picture: Rect, opacity: f32) {
        let place = |x: f32, y: f32| pos2(picture.left() + x * picture.width(), picture.top() + y * picture.height());
        let rect = Rect::from_min_max(
            place(self.cover.left(), self.cover.top()),
            place(self.cover.right(), self.cover.bottom()),
        );
        let mut mesh = Mesh::with_texture(self.texture.id());
        mesh.add_rect_with_uv(rect, self.uv, Color32::WHITE.gamma_multiply(opacity));
        painter.add(Shape::mesh(mesh));
    }

    /// The value under a place on the picture (0..=1 both ways), if the map covers it.
    pub(crate) fn value_at(&self, at: egui::Pos2) -> Option<f32> {
        if !self.cover.contains(at) {
            return None;
        }
        let unit = |v: f32, low: f32, high: f32| (v - low) / (high - low).max(1e-6);
        let u = egui::lerp(self.uv.left()..=self.uv.right(), unit(at.x, self.cover.left(), self.cover.right()));
        let v = egui::lerp(self.uv.top()..=self.uv.bottom(), unit(at.y, self.cover.top(), self.cover.bottom()));
        let x = ((u * self.grid.0 as f32) as usize).min(self.grid.0.saturating_sub(1));
        let y = ((v * self.grid.1 as f32) as usize).min(self.grid.1.saturating_sub(1));
        self.values.get(y * self.grid.0 + x).copied()
    }
}

/// A bar from 0 to `top` with a marker at `marked`, in the corner `left_bottom`.
pub(crate) fn colour_bar(
    painter: &Painter,
    p: &Palette,
    left_bottom: egui::Pos2,
    overlay: &Overlay,
    marked: Option<f32>,
) {
    let title = painter.layout_no_wrap(overlay.title.clone(), theme::small(), p.text);
    let width = 168.0_f32.max(title.size().x + 24.0);
    let card = Rect::from_min_size(left_bottom - vec2(0.0, 62.0), vec2(width, 62.0));
    painter.rect(
        card,
        CornerRadius::same(theme::radius::CARD),
        p.panel.gamma_multiply(0.94),
        p.outline(),
        StrokeKind::Inside,
    );
    painter.galley(card.min + vec2(12.0, 8.0), title, p.text);
    let bar = Rect::from_min_max(card.min + vec2(12.0, 28.0), pos2(card.right() - 12.0, card.top() + 36.0));
    let mut mesh = Mesh::default();
    let parts = 24_u32;
    for i in 0..=parts {
        let t = i as f32 / parts as f32;
        let x = egui::lerp(bar.left()..=bar.right(), t);
        let colour = sequential(t);
        mesh.colored_vertex(pos2(x, bar.top()), colour);
        mesh.colored_vertex(pos2(x, bar.bottom()), colour);
        if i > 0 {
            let n = 2 * i;
            mesh.add_triangle(n - 2, n - 1, n);
            mesh.add_triangle(n - 1, n, n + 1);
        }
    }
    painter.add(Shape::mesh(mesh));
    let ends = [(bar.left(), egui::Align2::LEFT_TOP, 0.0), (bar.right(), egui::Align2::RIGHT_TOP, overlay.top)];
    for (x, align, value) in ends {
        painter.text(pos2(x, bar.bottom() + 4.0), align, number(value), theme::small(), p.muted);
    }
    if let Some(value) = marked {
        let x = egui::lerp(bar.left()..=bar.right(), (value / overlay.top).clamp(0.0, 1.0));
        painter.vline(x, bar.top() - 3.0..=bar.bottom() + 3.0, egui::Stroke::new(2.0, p.text));
        let middle = x.clamp(bar.left() + 44.0, (bar.right() - 44.0).max(bar.left() + 44.0));
        painter.text(pos2(middle, bar.bottom() + 4.0), egui::Align2::CENTER_TOP, number(value), theme::small(), p.text);
    }
}

/// The colour of `value` in 0..=1.
fn sequential(value: f32) -> Color32 {
    let [r, g, b] = heatmap::colour(value).0;
    Color32::from_rgb(r, g, b)
}

/// Three digits that count.
pub(crate) fn number(value: f32) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.01 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}
