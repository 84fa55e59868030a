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

/// A histogram in which a range can be chosen (0..=1 of its width, both ends): drag across it, or move its ends. Says
/// whether the choice is made: when the button is up, or after a key. What is in the range is lit; all is while there is
/// none.
pub(crate) fn range(ui: &mut Ui, name: &str, counts: &[u32], chosen: &mut Option<(f32, f32)>) -> bool {
    let p = palette(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 52.0), Sense::click_and_drag());
    let area = rect.shrink2(vec2(8.0, 5.0));
    let place = |x: f32| ((x - area.left()) / area.width()).clamp(0.0, 1.0);
    let mut done = false;
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, name));
    if let Some(pointer) = response.interact_pointer_pos() {
        let at = place(pointer.x);
        if response.drag_started() {
            let from = ui.input(|i| i.pointer.press_origin()).map_or(at, |from| place(from.x));
            *chosen = Some((from, at));
        } else if response.dragged()
            && let Some((_, to)) = chosen
        {
            *to = at;
        }
    }
    if response.drag_stopped() {
        *chosen = chosen.map(|(a, b)| (a.min(b), a.max(b)));
        done = chosen.is_some();
    } else if response.clicked() {
        *chosen = None;
    }
    // Both ends by keyboard, and for who does not see them.
    for (end, words) in [(0, "from"), (1, "to")] {
        let id = response.id.with(words);
        let now = chosen.map_or(end as f32, |(a, b)| if end == 0 { a } else { b });
        let handle = Rect::from_center_size(
            pos2(egui::lerp(area.left()..=area.right(), now), rect.center().y),
            vec2(10.0, rect.height()),
        );
        let handle = ui.interact(handle, id, Sense::focusable_noninteractive());
        let mut wanted = now;
        if handle.has_focus() {
            let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
            ui.memory_mut(|m| m.set_focus_lock_filter(id, filter));
            let steps = ui.input(|i| i.num_presses(Key::ArrowRight) as f32 - i.num_presses(Key::ArrowLeft) as f32);
            wanted += 0.02 * steps;
        }
        ui.input(|i| {
            for request in i.accesskit_action_requests(id, Action::SetValue) {
                if let Some(ActionData::NumericValue(value)) = request.data {
                    wanted = value as f32;
                }
            }
        });
        if (wanted - now).abs() > f32::EPSILON {
            let (a, b) = chosen.unwrap_or((0.0, 1.0));
            let wanted = wanted.clamp(0.0, 1.0);
            *chosen = Some(if end == 0 { (wanted.min(b), b) } else { (a, wanted.max(a)) });
            done = true;
        }
        let (enabled, value) = (ui.is_enabled(), f64::from(now));
        handle.widget_info(|| WidgetInfo::slider(enabled, value, format!("{name}, {words}")));
        ui.ctx().accesskit_node_builder(id, |node| {
            node.set_min_numeric_value(0.0);
            node.set_max_numeric_value(1.0);
            node.add_action(Action::SetValue);
        });
        if handle.has_focus() {
            ui.painter().rect_stroke(
                handle.rect,
                CornerRadius::same(radius::SMALL),
                p.focus_ring(),
                StrokeKind::Inside,
            );
        }
    }
    let painter = ui.painter_at(rect);
    painter.rect(rect, CornerRadius::same(radius::CONTROL), p.field, p.outline(), StrokeKind::Inside);
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f32;
    let each = area.width() / counts.len().max(1) as f32;
    let (low, high) = chosen.map_or((0.0, 1.0), |(a, b)| (a.min(b), a.max(b)));
    for (index, count) in counts.iter().enumerate() {
        let share = (index as f32 + 0.5) / counts.len().max(1) as f32;
        let lit = share >= low && share <= high;
        // Square roots, so that rare values are seen.
        let height = (*count as f32 / most).sqrt() * area.height();
        let left = area.left() + index as f32 * each;
        let bar =
            Rect::from_min_max(pos2(left, area.bottom() - height), pos2(left + (each - 1.0).max(0.5), area.bottom()));
        painter.rect_filled(bar, 0, if lit { p.accent } else { p.pressed });
    }
    if chosen.is_some() {
        for at in [low, high] {
            let x = egui::lerp(area.left()..=area.right(), at);
            painter.vline(x, rect.y_range(), Stroke::new(1.5, p.text));
        }
    }
    response.on_hover_cursor(CursorIcon::Text).on_hover_text("Drag across to select what lies in the range");
    done
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
