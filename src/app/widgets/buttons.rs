//! Buttons of every kind: icon, primary, quiet, chip, segmented choice; section headings beside them.

use egui::{
    Align, Color32, CornerRadius, CursorIcon, Layout, Response, RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo, vec2,
};

use crate::app::icons::{self, Icon};
use crate::app::theme::{self, palette, radius, size, space};

/// A square button with only an icon. `name` is what tests and screen readers call it; the tooltip
/// says the name, the shortcut and, if given, what it does.
pub(crate) struct IconButton<'a> {
    icon: Icon,
    name: &'a str,
    help: Option<&'a str>,
    shortcut: Option<String>,
    selected: bool,
    enabled: bool,
    side: f32,
    colour: Option<Color32>,
}

impl<'a> IconButton<'a> {
    pub(crate) fn new(icon: Icon, name: &'a str) -> Self {
        Self {
            icon,
            name,
            help: None,
            shortcut: None,
            selected: false,
            enabled: true,
            side: size::CONTROL,
            colour: None,
        }
    }

    pub(crate) fn help(mut self, help: &'a str) -> Self {
        self.help = Some(help);
        self
    }

    pub(crate) fn shortcut(mut self, shortcut: Option<String>) -> Self {
        self.shortcut = shortcut;
        self
    }

    pub(crate) fn selected(mut self, selected: bool) -> Self {
        self.selected = selected;
        self
    }

    pub(crate) fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// 22 points instead of 28, for rows.
    pub(crate) fn small(mut self) -> Self {
        self.side = 24.0;
        self
    }

    pub(crate) fn colour(mut self, colour: Color32) -> Self {
        self.colour = Some(colour);
        self
    }

    pub(crate) fn show(self, ui: &mut Ui) -> Response {
        let enabled = self.enabled && ui.is_enabled();
        let sense = if enabled { Sense::click() } else { Sense::hover() };
        let (rect, response) = ui.allocate_exact_size(Vec2::splat(self.side), sense);
        let name = self.name;
        let selected = self.selected;
        response.widget_info(|| {
            if selected {
                WidgetInfo::selected(Role::Button, enabled, true, name)
            } else {
                WidgetInfo::labeled(Role::Button, enabled, name)
            }
        });
        if ui.is_rect_visible(rect) {
            let p = palette(ui.ctx());
            let fill = if response.is_pointer_button_down_on() {
                p.pressed
            } else if enabled && response.hovered() {
                p.hover
            } else if self.selected {
                p.accent_soft
            } else {
                Color32::TRANSPARENT
            };
            let ring = if response.has_focus() { p.focus_ring() } else { Stroke::NONE };
            let colour = match (enabled, self.selected) {
                (false, _) => p.muted.gamma_multiply(0.45),
                (true, true) => p.accent,
                (true, false) if response.hovered() => p.text,
                (true, false) => self.colour.unwrap_or(p.muted),
            };
            ui.painter().rect(rect, CornerRadius::same(radius::CONTROL), fill, ring, StrokeKind::Inside);
            icons::paint(ui.painter(), rect, size::ICON, self.icon, colour);
        }
        let tooltip = |ui: &mut Ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.horizontal(|ui| {
                ui.label(self.name);
                if let Some(shortcut) = &self.shortcut {
                    ui.weak(shortcut);
                }
            });
            if let Some(help) = self.help {
                ui.label(RichText::new(help).small().color(palette(ui.ctx()).muted));
            }
        };
        let response = response.on_hover_cursor(if enabled { CursorIcon::PointingHand } else { CursorIcon::Default });
        response.on_hover_ui(tooltip)
    }
}

/// An icon and words in a button; `primary` for the one thing a panel is for.
pub(crate) struct TextButton<'a> {
    text: &'a str,
    icon: Option<Icon>,
    primary: bool,
    quiet: bool,
    enabled: bool,
    width: Option<f32>,
    height: f32,
    trailing: Option<String>,
}

impl<'a> TextButton<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            icon: None,
            primary: false,
            quiet: false,
            enabled: true,
            width: None,
            height: size::CONTROL,
            trailing: None,
        }
    }

    pub(crate) fn icon(mut self, icon: Icon) -> Self {
        self.icon = Some(icon);
        self
    }

    pub(crate) fn primary(mut self) -> Self {
        self.primary = true;
        self
    }

    /// No fill at rest.
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    pub(crate) fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    pub(crate) fn width(mut self, width: f32) -> Self {
        self.width = Some(width);
        self
    }

    pub(crate) fn tall(mut self) -> Self {
        self.height = 36.0;
        self
    }

    /// Words at the right end: a shortcut.
    pub(crate) fn trailing(mut self, text: Option<String>) -> Self {
        self.trailing = text;
        self
    }

    pub(crate) fn show(self, ui: &mut Ui) -> Response {
        let enabled = self.enabled && ui.is_enabled();
        let p = palette(ui.ctx());
        let ink = match (enabled, self.primary) {
            (false, _) => p.muted.gamma_multiply(0.6),
            (true, true) => p.on_accent,
            (true, false) => p.text,
        };
        let galley = ui.painter().layout_no_wrap(self.text.to_owned(), theme::body(), ink);
        let trailing =
            self.trailing.map(|text| ui.painter().layout_no_wrap(text, theme::small(), ink.gamma_multiply(0.75)));
        let icon_width = if self.icon.is_some() { size::ICON + 6.0 } else { 0.0 };
        // A button of fixed width drops its shortcut before its words.
        let room = self.width.map_or(f32::INFINITY, |width| width - galley.size().x - icon_width - 3.0 * space::M);
        let trailing = trailing.filter(|t| t.size().x <= room);
        let trailing_width = trailing.as_ref().map_or(0.0, |t| t.size().x + space::M);
        let needed = galley.size().x + icon_width + trailing_width + 2.0 * space::M;
        let width = self.width.unwrap_or(needed).max(if self.width.is_some() { 0.0 } else { needed });
        let sense = if enabled { Sense::click() } else { Sense::hover() };
        let (rect, response) = ui.allocate_exact_size(vec2(width, self.height), sense);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, self.text));
        if ui.is_rect_visible(rect) {
            let hovered = enabled && response.hovered();
            let down = response.is_pointer_button_down_on();
            let fill = match (self.primary, enabled) {
                (true, true) if hovered || down => p.accent_hover,
                (true, true) => p.accent,
                (_, false) if self.quiet => Color32::TRANSPARENT,
                (_, false) => p.control,
                (false, true) if down => p.pressed,
                (false, true) if hovered => p.hover,
                (false, true) if self.quiet => Color32::TRANSPARENT,
                (false, true) => p.control,
            };
            let ring = match (response.has_focus(), self.primary) {
                (true, true) => Stroke::new(2.0, p.text),
                (true, false) => p.focus_ring(),
                _ => Stroke::NONE,
            };
            let painter = ui.painter();
            painter.rect(rect, CornerRadius::same(radius::CONTROL), fill, ring, StrokeKind::Inside);
            let content = galley.size().x + icon_width;
            // The words in the middle, unless the shortcut at the end needs the room.
            let end = rect.right() - space::M - trailing_width - content;
            let mut x = (rect.center().x - content / 2.0).min(end);
            if let Some(icon) = self.icon {
                let place = egui::Rect::from_min_size(egui::pos2(x, rect.top()), vec2(size::ICON, rect.height()));
                icons::paint(painter, place, size::ICON, icon, ink);
                x += icon_width;
            }
            let y = rect.center().y - galley.size().y / 2.0;
            painter.galley(egui::pos2(x, y), galley, ink);
            if let Some(trailing) = trailing {
                let at =
                    egui::pos2(rect.right() - space::M - trailing.size().x, rect.center().y - trailing.size().y / 2.0);
                painter.galley(at, trailing, ink);
            }
        }
        if enabled { response.on_hover_cursor(CursorIcon::PointingHand) } else { response }
    }
}

/// `text` cut with an ellipsis so that it is at most `width` points wide.
pub(crate) fn fitting(ui: &Ui, text: &str, width: f32) -> String {
    let wide = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), theme::body(), Color32::WHITE).size().x;
    if wide(text) <= width {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let cut = |count: usize| letters.iter().take(count).chain(&['…']).collect::<String>();
    let count = (0..letters.len()).rev().find(|count| wide(&cut(*count)) <= width).unwrap_or(0);
    cut(count)
}

/// The tab of a lens: icon and words, a line below the open one.
pub(crate) fn lens_tab(ui: &mut Ui, icon: Icon, text: &str, selected: bool) -> Response {
    let p = palette(ui.ctx());
    let rest = if selected { p.text } else { p.muted };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::tab(), rest);
    let icon_width = size::ICON + 6.0;
    let (rect, response) =
        ui.allocate_exact_size(vec2(galley.size().x + icon_width + 2.0 * space::M, 32.0), Sense::click());
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::selected(Role::Tab, enabled, selected, text));
    let ink = if response.hovered() { p.text } else { rest };
    let fill = if response.hovered() && !selected { p.hover } else { Color32::TRANSPARENT };
    let ring = if response.has_focus() { p.focus_ring() } else { Stroke::NONE };
    let painter = ui.painter();
    painter.rect(rect, CornerRadius::same(radius::CONTROL), fill, ring, StrokeKind::Inside);
    let place = egui::Rect::from_min_size(rect.min + vec2(space::M, 0.0), vec2(size::ICON, rect.height()));
    icons::paint(painter, place, size::ICON, icon, if selected { p.accent } else { ink });
    let at = egui::pos2(rect.left() + space::M + icon_width, rect.center().y - galley.size().y / 2.0);
    painter.galley_with_override_text_color(at, galley, ink);
    if selected {
        let line = egui::Rect::from_x_y_ranges(
            rect.left() + space::M..=rect.right() - space::M,
            rect.bottom()..=rect.bottom() + 2.0,
        );
        painter.rect_filled(line, 1, p.accent);
    }
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// A small rounded suggestion that can be clicked.
pub(crate) fn chip(ui: &mut Ui, text: &str) -> Response {
    let p = palette(ui.ctx());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::small(), p.text);
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(20.0, 10.0), Sense::click());
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, text));
    let fill = if response.hovered() { p.hover } else { p.raised };
    let ring = if response.has_focus() { p.focus_ring() } else { p.outline() };
    let round = CornerRadius::same((rect.height() / 2.0) as u8);
    ui.painter().rect(rect, round, fill, ring, StrokeKind::Inside);
    ui.painter().galley(rect.min + vec2(10.0, 5.0), galley, p.text);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// One choice out of a few, side by side. `name` precedes each choice in the accessibility tree only
/// as the group's label.
pub(crate) fn segmented<T: Copy + PartialEq>(ui: &mut Ui, name: &str, choice: &mut T, all: &[(T, &str)]) -> bool {
    let p = palette(ui.ctx());
    let mut changed = false;
    let frame = egui::Frame::new().fill(p.field).corner_radius(CornerRadius::same(radius::CONTROL)).inner_margin(2);
    let width = ui.available_width();
    ui.scope_builder(egui::UiBuilder::new().accessibility_label(name).accessibility_role(Role::RadioGroup), |ui| {
        frame.show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                let room = width - 4.0 - 2.0 * (all.len() as f32 - 1.0);
                let natural =
                    |text: &str| ui.painter().layout_no_wrap(text.to_owned(), theme::body(), p.text).size().x + 12.0;
                let needed: Vec<f32> = all.iter().map(|(_, text)| natural(text)).collect();
                let each = room / all.len() as f32;
                // Equal widths, unless a long word needs more: then what is left over is shared.
                let equal = needed.iter().all(|needed| *needed <= each);
                let spare = ((room - needed.iter().sum::<f32>()) / all.len() as f32).max(0.0);
                for ((value, text), needed) in all.iter().zip(needed) {
                    let selected = *choice == *value;
                    let each = if equal { each } else { needed + spare };
                    if segment(ui, text, selected, each).clicked() && !selected {
                        *choice = *value;
                        changed = true;
                    }
                }
            });
        });
    });
    changed
}

fn segment(ui: &mut Ui, text: &str, selected: bool, width: f32) -> Response {
    let p = palette(ui.ctx());
    let ink = if selected { p.text } else { p.muted };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::body(), ink);
    let width = width.max(galley.size().x + 12.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 26.0), Sense::click());
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, enabled, selected, text));
    // The chosen one lies on the track: lighter than it in both themes.
    let lies = if ui.visuals().dark_mode { (p.control, Stroke::NONE) } else { (p.raised, p.outline()) };
    let (fill, edge) = match (selected, response.hovered()) {
        (true, _) => lies,
        (false, true) => (p.hover, Stroke::NONE),
        (false, false) => (Color32::TRANSPARENT, Stroke::NONE),
    };
    let ring = if response.has_focus() { p.focus_ring() } else { edge };
    ui.painter().rect(rect, CornerRadius::same(radius::SMALL), fill, ring, StrokeKind::Inside);
    ui.painter().galley(rect.center() - galley.size() / 2.0, galley, ink);
    response.on_hover_cursor(CursorIcon::PointingHand)
}

/// The heading of a group of controls, with room for its buttons at the right.
pub(crate) fn section(ui: &mut Ui, title: &str, right: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_min_height(size::CONTROL);
        ui.label(RichText::new(title).size(15.0));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            right(ui);
        });
    });
}

/// A sentence in small muted letters.
pub(crate) fn hint(ui: &mut Ui, text: impl Into<String>) -> Response {
    let colour = palette(ui.ctx()).muted;
    ui.label(RichText::new(text).small().color(colour))
}

/// A thin line between groups, with air on both sides.
pub(crate) fn rule(ui: &mut Ui) {
    ui.add_space(space::S);
    let p = palette(ui.ctx());
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
    ui.painter().rect_filled(rect, 0, p.line.gamma_multiply(0.7));
    ui.add_space(space::S);
}

/// A switch with words, and one sentence on what it does.
pub(crate) fn toggle(ui: &mut Ui, on: &mut bool, text: &str, help: &str) -> Response {
    let p = palette(ui.ctx());
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::body(), p.text);
    let width = ui.available_width().min(34.0 + space::S + galley.size().x);
    let enabled = ui.is_enabled();
    let (rect, mut response) = ui.allocate_exact_size(vec2(width, 24.0), Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    let state = *on;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, enabled, state, text));
    if ui.is_rect_visible(rect) {
        let t = ui.ctx().animate_bool_responsive(response.id, state);
        let track = egui::Rect::from_min_size(egui::pos2(rect.left(), rect.center().y - 9.0), vec2(32.0, 18.0));
        let fill = if state {
            p.accent
        } else if response.hovered() {
            p.pressed
        } else {
            p.hover
        };
        let ring = if response.has_focus() { Stroke::new(2.0, p.text) } else { Stroke::NONE };
        ui.painter().rect(track, CornerRadius::same(9), fill, ring, StrokeKind::Outside);
        let knob = egui::pos2(egui::lerp(track.left() + 9.0..=track.right() - 9.0, t), track.center().y);
        ui.painter().circle_filled(knob, 6.5, if state { p.on_accent } else { p.text });
        ui.painter().galley(
            egui::pos2(track.right() + space::S, rect.center().y - galley.size().y / 2.0),
            galley,
            p.text,
        );
    }
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_text(help)
}
