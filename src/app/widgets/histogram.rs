//! Bars: how often which values occur, with a threshold that can be dragged; and shares of a whole.

use egui::accesskit::{Action, ActionData};
use egui::{
    Align2, CornerRadius, CursorIcon, EventFilter, Key, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui,
    WidgetInfo, pos2, vec2,
};

use crate::app::theme::{self, palette, radius};

/// A histogram with a threshold at `at` (0..=1 of its width). What is beyond it, or before it where `below`, is lit.
pub(crate) fn threshold(ui: &mut Ui, name: &str, counts: &[u32], at: &mut f32, below: bool) -> Response {
    let p = palette(ui.ctx());
    let (rect, mut response) = ui.allocate_exact_size(vec2(ui.available_width(), 64.0), Sense::click_and_drag());
    let area = rect.shrink2(vec2(8.0, 6.0));
    let before = *at;
    if (response.dragged() || response.clicked())
        && let Some(pointer) = response.interact_pointer_pos()
    {
        *at = ((pointer.x - area.left()) / area.width()).clamp(0.0, 1.0);
    }
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
        let steps = ui.input(|i| i.num_presses(Key::ArrowRight) as f32 - i.num_presses(Key::ArrowLeft) as f32);
        *at = (*at + 0.01 * steps).clamp(0.0, 1.0);
    }
    ui.input(|i| {
        for request in i.accesskit_action_requests(response.id, Action::SetValue) {
            if let Some(ActionData::NumericValue(wanted)) = request.data {
                *at = (wanted as f32).clamp(0.0, 1.0);
            }
        }
    });
    if (*at - before).abs() > f32::EPSILON {
        response.mark_changed();
    }
    let (enabled, value) = (ui.is_enabled(), f64::from(*at));
    response.widget_info(|| WidgetInfo::slider(enabled, value, name));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(1.0);
        node.add_action(Action::SetValue);
    });
    let painter = ui.painter_at(rect);
    let edge = if response.has_focus() { p.focus_ring() } else { p.outline() };
    painter.rect(rect, CornerRadius::same(radius::CONTROL), p.field, edge, StrokeKind::Inside);
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f32;
    let each = area.width() / counts.len().max(1) as f32;
    for (index, count) in counts.iter().enumerate() {
        let share = (index as f32 + 0.5) / counts.len().max(1) as f32;
        let lit = (share > *at) != below;
        // Square roots, so that rare values are seen.
        let height = (*count as f32 / most).sqrt() * area.height();
        let left = area.left() + index as f32 * each;
        let bar =
            Rect::from_min_max(pos2(left, area.bottom() - height), pos2(left + (each - 0.5).max(0.5), area.bottom()));
        painter.rect_filled(bar, 0, if lit { p.accent } else { p.pressed });
    }
    let x = egui::lerp(area.left()..=area.right(), *at);
    painter.vline(x, rect.y_range(), Stroke::new(2.0, p.text));
    painter.circle_filled(pos2(x, rect.top() + 6.0), 4.0, p.text);
    response.on_hover_cursor(CursorIcon::ResizeHorizontal).on_hover_text("Drag the threshold; what is lit is kept")
}

/// How values are spread: shares (0..=1 each) as thin bars.
pub(crate) fn spread(ui: &mut Ui, name: &str, shares: &[f32]) {
    let p = palette(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 40.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let painter = ui.painter_at(rect);
    painter.rect(rect, CornerRadius::same(radius::CONTROL), p.field, p.outline(), StrokeKind::Inside);
    let area = rect.shrink2(vec2(6.0, 4.0));
    let most = shares.iter().copied().fold(1e-6_f32, f32::max);
    let each = area.width() / shares.len().max(1) as f32;
    for (index, share) in shares.iter().enumerate() {
        // Square roots, so that rare values are seen.
        let height = (share / most).sqrt() * area.height();
        let left = area.left() + index as f32 * each;
        let bar = Rect::from_min_max(pos2(left, area.bottom() - height), pos2(left + each - 1.0, area.bottom()));
        painter.rect_filled(bar, 0, p.accent);
    }
}

/// Shares of a whole (0..=1 each) as a row of bars, those of `chosen` lit.
pub(crate) fn bars(ui: &mut Ui, name: &str, shares: &[f32], chosen: &[usize]) {
    let p = palette(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 46.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    let painter = ui.painter_at(rect);
    let most = shares.iter().copied().fold(0.01_f32, f32::max);
    let each = rect.width() / shares.len().max(1) as f32;
    for (index, share) in shares.iter().enumerate() {
        let left = rect.left() + index as f32 * each;
        let height = (share / most).clamp(0.0, 1.0) * (rect.height() - 16.0);
        let bottom = rect.bottom() - 14.0;
        let bar = Rect::from_min_max(pos2(left + 3.0, bottom - height.max(1.0)), pos2(left + each - 3.0, bottom));
        let lit = chosen.contains(&index);
        painter.rect_filled(bar, 2, if lit { p.accent } else { p.pressed });
        let words = format!("{:.0} %", share * 100.0);
        let ink = if lit { p.text } else { p.muted };
        painter.text(pos2(left + each / 2.0, rect.bottom()), Align2::CENTER_BOTTOM, words, theme::small(), ink);
    }
    response.on_hover_text("How much of the patches' variance each component explains");
}
