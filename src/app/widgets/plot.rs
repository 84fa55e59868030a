//! A small line plot: each instruction's share of the selection over the steps of a run.

use egui::{Align2, Color32, CornerRadius, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::app::theme::{self, palette, radius};

/// One line.
pub(crate) struct Series<'a> {
    /// Shown at the line's end: the instruction's number.
    pub(crate) label: String,
    pub(crate) colour: Color32,
    /// One value a step, 0..=1.
    pub(crate) values: &'a [f32],
    /// Drawn thick; the others fade.
    pub(crate) highlighted: bool,
}

/// Draws the lines over the available width, `height` points high; the pointer reads the values of one step.
pub(crate) fn shares(ui: &mut Ui, name: &str, series: &[Series<'_>], height: f32) {
    let p = palette(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let painter = ui.painter_at(rect);
    painter.rect(rect, CornerRadius::same(radius::CARD), p.field, p.outline(), StrokeKind::Inside);
    let area = Rect::from_min_max(rect.min + vec2(38.0, 10.0), rect.max - vec2(26.0, 22.0));
    let steps = series.iter().map(|s| s.values.len()).max().unwrap_or(0);
    let top = series.iter().flat_map(|s| s.values.iter().copied()).fold(0.0_f32, f32::max);
    let top = ((top * 5.0).ceil() / 5.0).clamp(0.2, 1.0);
    for fraction in [0.0, 0.5, 1.0] {
        let y = egui::lerp(area.bottom()..=area.top(), fraction);
        painter.hline(area.x_range(), y, Stroke::new(1.0, p.line.gamma_multiply(0.6)));
        let text = format!("{:.0} %", fraction * top * 100.0);
        painter.text(pos2(area.left() - 6.0, y), Align2::RIGHT_CENTER, text, theme::small(), p.muted);
    }
    if steps == 0 {
        return;
    }
    let at = |step: usize, value: f32| {
        let t = if steps > 1 { step as f32 / (steps - 1) as f32 } else { 0.5 };
        pos2(
            egui::lerp(area.left()..=area.right(), t),
            egui::lerp(area.bottom()..=area.top(), (value / top).clamp(0.0, 1.0)),
        )
    };
    let any = series.iter().any(|s| s.highlighted);
    for s in series {
        let colour = if any && !s.highlighted { s.colour.gamma_multiply(0.35) } else { s.colour };
        let points: Vec<_> = s.values.iter().enumerate().map(|(i, v)| at(i, *v)).collect();
        let width = if s.highlighted { 2.5 } else { 1.6 };
        if let [only] = points.as_slice() {
            painter.circle_filled(*only, 3.0, colour);
        }
        painter.line(points, Stroke::new(width, colour));
    }
    labels_at_the_end(&painter, series, area, &at, any);
    painter.text(pos2(area.left(), area.bottom() + 6.0), Align2::LEFT_TOP, "step 1", theme::small(), p.muted);
    painter.text(
        pos2(area.right(), area.bottom() + 6.0),
        Align2::RIGHT_TOP,
        steps.to_string(),
        theme::small(),
        p.muted,
    );
    if let Some(pointer) = response.hover_pos()
        && area.expand(6.0).contains(pointer)
    {
        let t = ((pointer.x - area.left()) / area.width()).clamp(0.0, 1.0);
        let step = (t * (steps - 1) as f32).round() as usize;
        painter.vline(at(step, 0.0).x, area.y_range(), Stroke::new(1.0, p.muted));
        let lines = series
            .iter()
            .map(|s| format!("{}  {:.0} %", s.label, s.values.get(step).copied().unwrap_or(0.0) * 100.0))
            .collect::<Vec<_>>()
            .join("\n");
        response.on_hover_text_at_pointer(format!("Step {}\n{lines}", step + 1));
    }
}

/// Numbers at the right end of the lines, moved apart where they would overlap.
fn labels_at_the_end(
    painter: &egui::Painter,
    series: &[Series<'_>],
    area: Rect,
    at: &impl Fn(usize, f32) -> egui::Pos2,
    any: bool,
) {
    let mut ends: Vec<(f32, &Series<'_>)> =
        series.iter().filter_map(|s| s.values.last().map(|last| (at(s.values.len() - 1, *last).y, s))).collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f32::NEG_INFINITY;
    for (y, s) in ends {
        let y = y.max(lowest + 12.0);
        lowest = y;
        let colour = if any && !s.highlighted { s.colour.gamma_multiply(0.5) } else { s.colour };
        painter.text(pos2(area.right() + 8.0, y), Align2::LEFT_CENTER, &s.label, theme::small(), colour);
    }
}
