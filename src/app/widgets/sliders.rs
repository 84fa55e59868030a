//! A slider with name, unit, default tick, keyboard entry, and what moving it does, in one sentence.

use std::ops::RangeInclusive;

use egui::accesskit::{Action, ActionData};
use egui::{
    Color32, CornerRadius, CursorIcon, DragValue, EventFilter, Key, Rect, Response, Role, Sense, Stroke, StrokeKind,
    Ui, Vec2, WidgetInfo, pos2, vec2,
};

use crate::app::theme::{self, palette, size, space};

/// What a slider moves.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pub(crate) range: RangeInclusive<f64>,
    pub(crate) default: f64,
    /// The smallest move; also what an arrow key does.
    pub(crate) step: f64,
    pub(crate) decimals: usize,
    pub(crate) suffix: &'static str,
    /// Where the filled part begins: 0 for signed values, the range's start otherwise.
    pub(crate) origin: f64,
}

impl Scale {
    pub(crate) fn new(range: RangeInclusive<f64>, default: f64, step: f64, decimals: usize) -> Self {
        let origin = *range.start();
        Self { range, default, step, decimals, suffix: "", origin }
    }

    /// Weights of instructions: −2…2 around 0, 1 by default.
    pub(crate) fn weight() -> Self {
        Self { origin: 0.0, ..Self::new(-2.0..=2.0, 1.0, 0.05, 2) }
    }

    pub(crate) fn suffix(mut self, suffix: &'static str) -> Self {
        self.suffix = suffix;
        self
    }

    fn snap(&self, value: f64) -> f64 {
        let snapped = (value / self.step).round() * self.step;
        // Dragging near the default means the default.
        let width = self.range.end() - self.range.start();
        let value = if (snapped - self.default).abs() < width * 0.008 { self.default } else { snapped };
        value.clamp(*self.range.start(), *self.range.end())
    }

    fn to_unit(&self, value: f64) -> f32 {
        let (low, high) = (*self.range.start(), *self.range.end());
        (((value - low) / (high - low)).clamp(0.0, 1.0)) as f32
    }

    fn value_at(&self, unit: f32) -> f64 {
        let (low, high) = (*self.range.start(), *self.range.end());
        self.snap(low + f64::from(unit.clamp(0.0, 1.0)) * (high - low))
    }
}

/// The track and knob alone, `width` points wide. Drag, arrow keys, Home for the default; a double-click resets.
pub(crate) fn track(ui: &mut Ui, name: &str, value: &mut f64, scale: &Scale, width: f32, colour: Color32) -> Response {
    let (rect, mut response) = ui.allocate_exact_size(vec2(width, 22.0), Sense::click_and_drag());
    let rail = Rect::from_center_size(rect.center(), vec2(rect.width() - 14.0, 4.0));
    let before = *value;
    if response.double_clicked() {
        *value = scale.default;
    } else if (response.dragged() || response.is_pointer_button_down_on())
        && let Some(at) = response.interact_pointer_pos()
    {
        let moved = ui.input(|i| i.pointer.delta() != Vec2::ZERO || i.pointer.any_pressed());
        if moved {
            *value = scale.value_at((at.x - rail.left()) / rail.width());
        }
    }
    if response.has_focus() {
        keys(ui, &response, value, scale);
    }
    accessible_moves(ui, &response, value, scale);
    if (*value - before).abs() > f64::EPSILON {
        response.mark_changed();
    }
    let enabled = ui.is_enabled();
    let now = *value;
    response.widget_info(|| WidgetInfo::slider(enabled, now, name));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_min_numeric_value(*scale.range.start());
        node.set_max_numeric_value(*scale.range.end());
        node.set_numeric_value_step(scale.step);
        node.add_action(Action::SetValue);
        node.add_action(Action::Increment);
        node.add_action(Action::Decrement);
    });
    if ui.is_rect_visible(rect) {
        paint(ui, &response, rail, now, scale, colour);
    }
    response.on_hover_cursor(CursorIcon::ResizeHorizontal)
}

fn keys(ui: &Ui, response: &Response, value: &mut f64, scale: &Scale) {
    let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
    let (steps, home) = ui.input(|i| {
        let factor = if i.modifiers.shift { 10.0 } else { 1.0 };
        let pressed = |key| i.num_presses(key) as f64;
        ((pressed(Key::ArrowRight) - pressed(Key::ArrowLeft)) * factor, i.key_pressed(Key::Home))
    });
    if home {
        *value = scale.default;
    } else if steps != 0.0 {
        *value = (*value + steps * scale.step).clamp(*scale.range.start(), *scale.range.end());
    }
}

fn accessible_moves(ui: &Ui, response: &Response, value: &mut f64, scale: &Scale) {
    ui.input(|i| {
        for request in i.accesskit_action_requests(response.id, Action::SetValue) {
            if let Some(ActionData::NumericValue(wanted)) = request.data {
                *value = wanted.clamp(*scale.range.start(), *scale.range.end());
            }
        }
        let steps = i.num_accesskit_action_requests(response.id, Action::Increment) as f64
            - i.num_accesskit_action_requests(response.id, Action::Decrement) as f64;
        if steps != 0.0 {
            *value = (*value + steps * scale.step).clamp(*scale.range.start(), *scale.range.end());
        }
    });
}

fn paint(ui: &Ui, response: &Response, rail: Rect, value: f64, scale: &Scale, colour: Color32) {
    let p = palette(ui.ctx());
    let painter = ui.painter();
    let at = |v: f64| egui::lerp(rail.left()..=rail.right(), scale.to_unit(v));
    painter.rect_filled(rail, CornerRadius::same(2), p.pressed);
    let knob = pos2(at(value), rail.center().y);
    let origin = at(scale.origin);
    let fill = Rect::from_x_y_ranges(origin.min(knob.x)..=origin.max(knob.x), rail.y_range());
    let colour = if ui.is_enabled() { colour } else { p.muted };
    painter.rect_filled(fill, CornerRadius::same(2), colour);
    let tick = at(scale.default);
    painter.vline(tick, rail.top() - 4.0..=rail.bottom() + 4.0, Stroke::new(1.0, p.muted.gamma_multiply(0.7)));
    let grown = if response.hovered() || response.dragged() { 7.0 } else { 6.0 };
    if response.has_focus() {
        painter.circle_stroke(knob, grown + 2.5, Stroke::new(2.0, p.accent));
    }
    painter.circle(knob, grown, p.text, Stroke::new(2.0, p.panel));
}

/// The value as a field that can be typed into or dragged.
pub(crate) fn entry(ui: &mut Ui, name: &str, value: &mut f64, scale: &Scale) -> Response {
    let field = DragValue::new(value)
        .range(scale.range.clone())
        .speed(scale.step)
        .fixed_decimals(scale.decimals)
        .suffix(scale.suffix);
    let response = ui.add_sized([56.0, 24.0], field);
    response.accessible_name(format!("{name} value"))
}

/// Name, slider and value in one line; `help` is the tooltip of all three.
pub(crate) fn labelled(ui: &mut Ui, name: &str, help: &str, value: &mut f64, scale: &Scale) -> Response {
    let p = palette(ui.ctx());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        let label = fixed_label(ui, name, 116.0);
        let width = (ui.available_width() - 56.0 - space::S).max(60.0);
        let moved = track(ui, name, value, scale, width, p.accent);
        let typed = entry(ui, name, value, scale);
        let at_default =
            format!("{help}\n\nDefault {:.*}. Double-click the slider to reset.", scale.decimals, scale.default);
        label.union(moved).union(typed).on_hover_text(at_default)
    })
    .inner
}

/// A label in a column of `width` points, so that the controls beside it line up.
pub(crate) fn fixed_label(ui: &mut Ui, text: &str, width: f32) -> Response {
    let p = palette(ui.ctx());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::body(), p.muted);
    let (rect, response) = ui.allocate_exact_size(vec2(width, size::CONTROL), Sense::hover());
    ui.painter().galley(pos2(rect.left(), rect.center().y - galley.size().y / 2.0), galley, p.muted);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    response
}

/// Name and stepper in one line.
pub(crate) fn labelled_stepper(ui: &mut Ui, name: &str, value: &mut usize, range: RangeInclusive<usize>) -> bool {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = space::S;
        fixed_label(ui, name, 116.0);
        stepper(ui, name, value, range)
    })
    .inner
}

/// A whole number with − and + at its sides.
pub(crate) fn stepper(ui: &mut Ui, name: &str, value: &mut usize, range: RangeInclusive<usize>) -> bool {
    use crate::app::icons::Icon;
    use crate::app::widgets::buttons::IconButton;
    let before = *value;
    let p = palette(ui.ctx());
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if IconButton::new(Icon::Minus, &format!("Fewer: {name}"))
            .small()
            .enabled(*value > *range.start())
            .show(ui)
            .clicked()
        {
            *value -= 1;
        }
        let (rect, response) = ui.allocate_exact_size(vec2(20.0, 24.0), Sense::hover());
        let galley = ui.painter().layout_no_wrap(value.to_string(), theme::body(), p.text);
        ui.painter().galley(rect.center() - galley.size() / 2.0, galley, p.text);
        let shown = *value;
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name}: {shown}")));
        if IconButton::new(Icon::Plus, &format!("More: {name}"))
            .small()
            .enabled(*value < *range.end())
            .show(ui)
            .clicked()
        {
            *value += 1;
        }
    });
    *value != before
}

/// A check box without words (the row beside it says what it is).
pub(crate) fn check(ui: &mut Ui, name: &str, on: &mut bool, colour: Color32, mark: Color32) -> Response {
    let (rect, mut response) = ui.allocate_exact_size(Vec2::splat(22.0), Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    let enabled = ui.is_enabled();
    let state = *on;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, enabled, state, name));
    let p = palette(ui.ctx());
    let square = Rect::from_center_size(rect.center(), Vec2::splat(18.0));
    let outline = if state { Stroke::NONE } else { Stroke::new(1.5, p.muted) };
    let fill = if state { colour } else { Color32::TRANSPARENT };
    ui.painter().rect(square, CornerRadius::same(5), fill, outline, StrokeKind::Inside);
    if state {
        crate::app::icons::paint(ui.painter(), square, 13.0, crate::app::icons::Icon::Check, mark);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(square, CornerRadius::same(5), Stroke::new(2.0, p.accent), StrokeKind::Outside);
    }
    response.on_hover_cursor(CursorIcon::PointingHand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slider_snaps_to_its_steps_and_its_default() {
        let scale = Scale::weight();
        assert!((scale.value_at(0.75) - 1.0).abs() < 1e-9);
        assert!((scale.value_at(0.756) - 1.0).abs() < 1e-9, "near the default is the default");
        assert!((scale.value_at(0.0) + 2.0).abs() < 1e-9);
        assert!((scale.value_at(1.3) - 2.0).abs() < 1e-9);
        let steps = Scale::new(1.0..=100.0, 30.0, 1.0, 0);
        assert!((steps.value_at(0.5) - 51.0).abs() < 1e-9 || (steps.value_at(0.5) - 50.0).abs() < 1e-9);
    }
}
