//! A colour bar with its ends and a marker, on a card in the corner of a picture.

use egui::{Align2, Color32, CornerRadius, Mesh, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, pos2, vec2};

use super::heatmap::number;
use crate::app::theme::{self, Palette};

/// Draws the bar from `ends.0` to `ends.1` with its left bottom corner there, and a marker at `marked`. `colour` gives the
/// colours over 0..=1.
pub(crate) fn paint(
    painter: &Painter,
    p: &Palette,
    left_bottom: Pos2,
    title: &str,
    ends: (f32, f32),
    marked: Option<f32>,
    colour: &dyn Fn(f32) -> Color32,
) {
    let title = painter.layout_no_wrap(title.to_owned(), theme::small(), p.text);
    let width = 176.0_f32.max(title.size().x + 24.0);
    let card = Rect::from_min_size(left_bottom - vec2(0.0, 62.0), vec2(width, 62.0));
    let round = CornerRadius::same(theme::radius::CARD);
    painter.rect(card, round, p.panel.gamma_multiply(0.94), p.outline(), StrokeKind::Inside);
    painter.galley(card.min + vec2(12.0, 8.0), title, p.text);
    let bar = Rect::from_min_max(card.min + vec2(12.0, 28.0), pos2(card.right() - 12.0, card.top() + 36.0));
    let mut mesh = Mesh::default();
    let parts = 32_u32;
    for i in 0..=parts {
        let t = i as f32 / parts as f32;
        let x = egui::lerp(bar.left()..=bar.right(), t);
        mesh.colored_vertex(pos2(x, bar.top()), colour(t));
        mesh.colored_vertex(pos2(x, bar.bottom()), colour(t));
        if i > 0 {
            let n = 2 * i;
            mesh.add_triangle(n - 2, n - 1, n);
            mesh.add_triangle(n - 1, n, n + 1);
        }
    }
    painter.add(Shape::mesh(mesh));
    for (x, align, value) in [(bar.left(), Align2::LEFT_TOP, ends.0), (bar.right(), Align2::RIGHT_TOP, ends.1)] {
        painter.text(pos2(x, bar.bottom() + 4.0), align, number(value), theme::small(), p.muted);
    }
    if let Some(value) = marked {
        let share = if ends.1 > ends.0 { (value - ends.0) / (ends.1 - ends.0) } else { 0.0 };
        let x = egui::lerp(bar.left()..=bar.right(), share.clamp(0.0, 1.0));
        painter.vline(x, bar.top() - 3.0..=bar.bottom() + 3.0, Stroke::new(2.0, p.text));
        let middle = x.clamp(bar.left() + 48.0, (bar.right() - 48.0).max(bar.left() + 48.0));
        painter.text(pos2(middle, bar.bottom() + 4.0), Align2::CENTER_TOP, number(value), theme::small(), p.text);
    }
}
