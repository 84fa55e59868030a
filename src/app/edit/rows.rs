//! One instruction as a card: on or off, its words, its signed weight, its region, and what else can be done to it.

use egui::{Button, CornerRadius, Frame, Margin, RichText, TextEdit, Ui};

use super::draft::Row;
use crate::app::document::NamedRegion;
use crate::app::icons::Icon;
use crate::app::theme::{self, palette, radius, space};
use crate::app::widgets::buttons::{IconButton, hint};
use crate::app::widgets::sliders::{Scale, check, entry, track};

/// What was asked of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowAsk {
    Up,
    Down,
    Remove,
    /// Other words from the language model.
    Again,
    /// The wording as proposed.
    Reword,
    Paint,
    ClearRegion,
    /// The document's region of that place.
    UseRegion(usize),
}

/// What a row needs to know of its surroundings.
pub(super) struct View<'a> {
    /// Its place in the list, from 1.
    pub(super) number: usize,
    pub(super) first: bool,
    pub(super) last: bool,
    /// The language model is free.
    pub(super) idle: bool,
    /// Its region is being painted.
    pub(super) painted: bool,
    /// Its share of the selection in the shown version.
    pub(super) share: Option<f32>,
    /// What the language model has written in its place so far.
    pub(super) rewriting: Option<&'a str>,
    pub(super) focus: bool,
    /// What the document keeps for all instructions.
    pub(super) regions: &'a [NamedRegion],
}

/// Draws one row.
pub(super) fn row(ui: &mut Ui, row: &mut Row, view: &View<'_>) -> Option<RowAsk> {
    let p = palette(ui.ctx());
    let n = view.number;
    let colour = p.series(n - 1);
    let ink = if ui.visuals().dark_mode { p.on_accent } else { egui::Color32::WHITE };
    let mut ask = None;
    let stroke = if view.painted { egui::Stroke::new(1.5, colour) } else { p.outline() };
    Frame::new()
        .fill(p.raised)
        .stroke(stroke)
        .corner_radius(CornerRadius::same(radius::CARD))
        .inner_margin(Margin { left: 8, right: 6, top: 6, bottom: 6 })
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing = egui::vec2(6.0, 4.0);
            ui.horizontal(|ui| {
                check(ui, &format!("Use instruction {n}"), &mut row.enabled, colour, ink);
                ui.label(RichText::new(n.to_string()).color(colour).strong());
                let width = ui.available_width() - 30.0;
                if let Some(text) = view.rewriting {
                    let text = if text.is_empty() { "Thinking of another…" } else { text };
                    ui.add_sized([width, 28.0], egui::Label::new(RichText::new(text).color(p.muted)).truncate());
                } else {
                    words(ui, row, view, width);
                }
                if IconButton::new(Icon::Close, &format!("Remove instruction {n}")).small().show(ui).clicked() {
                    ask = Some(RowAsk::Remove);
                }
            });
            ui.horizontal(|ui| {
                ask = weight(ui, row, n, colour).or(ask);
                ask = tools(ui, row, view).or(ask);
            });
            if let Some(mask) = row.mask.as_ref().filter(|mask| !mask.is_empty()) {
                ui.horizontal(|ui| {
                    ui.add_space(28.0);
                    let share = (mask.share() * 100.0).round();
                    // A region as the document keeps it is called by its name.
                    let kept = view.regions.iter().find(|kept| kept.mask == *mask).map(|kept| kept.name.as_str());
                    let of = kept.filter(|name| *name != row.text.trim()).map(|name| format!("{name}: "));
                    let of = of.unwrap_or_default();
                    hint(ui, format!("{of}acts on {share:.0} % of the picture, edge {:.0} px", mask.feather));
                    if IconButton::new(Icon::Close, &format!("Clear the region of instruction {n}"))
                        .small()
                        .show(ui)
                        .clicked()
                    {
                        ask = Some(RowAsk::ClearRegion);
                    }
                });
            }
        });
    ask
}

fn words(ui: &mut Ui, row: &mut Row, view: &View<'_>, width: f32) {
    let p = palette(ui.ctx());
    let colour = if row.enabled { p.text } else { p.muted };
    let field = TextEdit::multiline(&mut row.text)
        .hint_text("put snow on the roofs")
        .desired_rows(1)
        .desired_width(width)
        .text_color(colour)
        .margin(Margin::symmetric(6, 4))
        .return_key(None);
    let field = ui.add(field).accessible_name(format!("Instruction {}", view.number));
    if view.focus {
        field.request_focus();
        field.scroll_to_me(None);
    }
}

fn weight(ui: &mut Ui, row: &mut Row, n: usize, colour: egui::Color32) -> Option<RowAsk> {
    let scale = Scale::weight();
    ui.add_space(28.0);
    let help = "How strongly it pulls against the others. 0 is as if it were not there; below 0 does the opposite. Double-click for 1.";
    let name = format!("Weight of instruction {n}");
    ui.add_enabled_ui(row.enabled, |ui| {
        let width = (ui.available_width() - 56.0 - 3.0 * 30.0).clamp(60.0, 160.0);
        let moved = track(ui, &name, &mut row.weight, &scale, width, colour).on_hover_text(help);
        let typed = entry(ui, &name, &mut row.weight, &scale).on_hover_text(help);
        let _ = moved.union(typed);
    });
    None
}

fn tools(ui: &mut Ui, row: &mut Row, view: &View<'_>) -> Option<RowAsk> {
    let p = palette(ui.ctx());
    let n = view.number;
    let mut ask = None;
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if let Some(chosen) = more(ui, row, view) {
            ask = Some(chosen);
        }
        let has_region = row.mask.as_ref().is_some_and(|mask| !mask.is_empty());
        let region = IconButton::new(Icon::Region, &format!("Region of instruction {n}"))
            .help("Paint on the picture where it may act")
            .small()
            .selected(view.painted || has_region)
            .show(ui);
        if region.clicked() {
            ask = Some(RowAsk::Paint);
        }
        let again = IconButton::new(Icon::Regenerate, &format!("Propose another instruction {n}"))
            .small()
            .enabled(view.idle)
            .show(ui);
        if again.clicked() {
            ask = Some(RowAsk::Again);
        }
        if let Some(share) = view.share {
            let text = RichText::new(format!("{:.0} %", share * 100.0)).font(theme::small()).color(p.muted);
            ui.label(text).on_hover_text("Its share of the shown version: how often it won");
        }
    });
    ask
}

fn more(ui: &mut Ui, row: &mut Row, view: &View<'_>) -> Option<RowAsk> {
    let mut ask = None;
    let button = IconButton::new(Icon::More, &format!("More for instruction {}", view.number)).small().show(ui);
    egui::Popup::menu(&button).show(|ui| {
        ui.set_min_width(190.0);
        let item = |ui: &mut Ui, words: &str, enabled: bool| ui.add_enabled(enabled, Button::new(words)).clicked();
        if item(ui, "Move up", !view.first) {
            ask = Some(RowAsk::Up);
        }
        if item(ui, "Move down", !view.last) {
            ask = Some(RowAsk::Down);
        }
        ui.separator();
        if item(ui, "Reset the weight to 1", row.weight != 1.0) {
            row.weight = 1.0;
        }
        if item(ui, "Do the opposite", row.weight != 0.0) {
            row.weight = -row.weight;
        }
        if item(ui, "Back to the proposed words", row.is_reworded()) {
            ask = Some(RowAsk::Reword);
        }
        ui.separator();
        if item(ui, "Paint a region…", true) {
            ask = Some(RowAsk::Paint);
        }
        for (index, kept) in view.regions.iter().enumerate() {
            if item(ui, &format!("Use region: {}", kept.name), row.mask.as_ref() != Some(&kept.mask)) {
                ask = Some(RowAsk::UseRegion(index));
            }
        }
        if item(ui, "Invert the region", row.mask.is_some())
            && let Some(mask) = &mut row.mask
        {
            mask.invert();
        }
        if item(ui, "Clear the region", row.mask.is_some()) {
            ask = Some(RowAsk::ClearRegion);
        }
        ui.separator();
        if item(ui, "Remove", true) {
            ask = Some(RowAsk::Remove);
        }
        // A click by keyboard or screen reader closes it too.
        if ask.is_some() {
            ui.close();
        }
    });
    ask
}

/// The proposal while it is being written.
pub(super) fn streaming(ui: &mut Ui, stage: &str, lines: &[String]) {
    let p = palette(ui.ctx());
    Frame::new()
        .fill(p.field)
        .stroke(p.outline())
        .corner_radius(CornerRadius::same(radius::CARD))
        .inner_margin(Margin::same(10))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                let width = 90.0;
                hint(ui, stage);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    crate::app::widgets::progress::bar(ui, "Proposing", None, width, p.accent);
                });
            });
            for (index, line) in lines.iter().enumerate() {
                ui.horizontal_wrapped(|ui| {
                    ui.label(RichText::new((index + 1).to_string()).color(p.series(index)).strong());
                    ui.label(RichText::new(line).color(p.muted));
                });
            }
            ui.add_space(space::XS);
        });
}
