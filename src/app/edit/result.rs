//! What the shown version is made of: each instruction's map and share, the runs that isolate it, and the recipe.

use std::sync::Arc;

use egui::{CornerRadius, Frame, Margin, Painter, Pos2, RichText, ScrollArea, Ui, vec2};

use super::made::{How, Made, MapKind};
use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::document::VersionId;
use crate::app::icons::Icon;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton, hint, rule, section, segmented};
use crate::app::widgets::compare::Canvas;
use crate::app::widgets::heatmap::{self, Overlay};
use crate::app::widgets::plot::{self, Series};
use crate::app::widgets::sliders::{Scale, labelled};

/// What was asked of an instruction of a result.
enum Isolate {
    Solo(usize),
    Without(usize),
}

impl Glassbox {
    /// How the shown version came about.
    pub(in crate::app) fn document_made(&self) -> Option<Arc<Made>> {
        self.document.as_ref().and_then(|document| document.shown().made.clone())
    }

    pub(super) fn result_tab(&mut self, ui: &mut Ui) {
        let Some(made) = self.document_made() else {
            ui.add_space(space::L);
            hint(
                ui,
                "This is the picture as it was opened. Run an edit, or choose a result at the left, to see what each instruction did.",
            );
            return;
        };
        let Some(version) = self.document.as_ref().map(|document| document.standing.shown) else { return };
        ScrollArea::vertical().auto_shrink([false, false]).id_salt("result").show(ui, |ui| {
            ui.set_max_width(ui.available_width() - 6.0);
            self.contributions(ui, version, &made);
            rule(ui);
            self.recipe(ui, version, &made);
        });
    }

    fn contributions(&mut self, ui: &mut Ui, version: VersionId, made: &Made) {
        let p = palette(ui.ctx());
        if made.contributions.is_empty() {
            section(ui, "What did what", |_| {});
            hint(ui, "This version was made from the wish alone. With instructions, each one's part shows here.");
            return;
        }
        section(ui, "What did what", |ui| {
            let export = IconButton::new(Icon::Export, Command::ExportMap.title())
                .help("A PNG with the colour bar, and beside it the numbers as NPY")
                .enabled(self.edit.inspection.pinned.is_some());
            if export.show(ui).clicked() {
                self.act(ui.ctx(), Command::ExportMap);
            }
        });
        segmented(ui, "Map", &mut self.edit.inspection.kind, &MapKind::ALL);
        hint(ui, self.edit.inspection.kind.explanation());
        ui.add_space(space::XS);
        self.edit.inspection.hovered_before = self.edit.inspection.hovered.take();
        let mut isolate = None;
        for index in 0..made.contributions.len() {
            isolate = self.contribution(ui, made, index).or(isolate);
            ui.add_space(2.0);
        }
        if self.edit.inspection.pinned.is_some() {
            let help = "How much of the picture the map covers.";
            let scale = Scale::new(0.1..=1.0, 0.65, 0.05, 2);
            labelled(ui, "Opacity", help, &mut self.edit.inspection.opacity, &scale);
        }
        ui.add_space(space::S);
        hint(ui, "Share of the selection, step by step");
        let lit = self.edit.inspection.hovered.or(self.edit.inspection.pinned);
        let series: Vec<Series<'_>> = made
            .contributions
            .iter()
            .enumerate()
            .map(|(index, one)| Series {
                label: (one.row + 1).to_string(),
                colour: p.series(one.row),
                values: &one.share,
                highlighted: lit == Some(index),
            })
            .collect();
        plot::shares(ui, "Share of each instruction over the steps", &series, 118.0);
        match isolate {
            Some(Isolate::Solo(index)) => self.isolate(version, made, index, true),
            Some(Isolate::Without(index)) => self.isolate(version, made, index, false),
            None => {}
        }
    }

    fn isolate(&mut self, version: VersionId, made: &Made, index: usize, solo: bool) {
        let one = &made.contributions[index];
        let (how, draft) = if solo {
            (How::Solo(one.text.clone()), made.draft.solo(one.row))
        } else {
            (How::Without(one.text.clone()), made.draft.without(one.row))
        };
        self.run_again(version, how, draft);
    }

    fn contribution(&mut self, ui: &mut Ui, made: &Made, index: usize) -> Option<Isolate> {
        let p = palette(ui.ctx());
        let one = &made.contributions[index];
        let number = one.row + 1;
        let pinned = self.edit.inspection.pinned == Some(index);
        let lit = pinned || self.edit.inspection.hovered_before == Some(index);
        let colour = p.series(one.row);
        let mut ask = None;
        let stroke = if pinned { egui::Stroke::new(1.5, colour) } else { p.outline() };
        let card = Frame::new()
            .fill(if lit { p.hover } else { p.raised })
            .stroke(stroke)
            .corner_radius(CornerRadius::same(radius::CARD))
            .inner_margin(Margin::symmetric(8, 6))
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.spacing_mut().item_spacing.y = 3.0;
                ui.horizontal(|ui| {
                    ui.label(RichText::new(number.to_string()).color(colour).strong());
                    let room = ui.available_width() - 56.0;
                    ui.scope(|ui| {
                        ui.set_max_width(room);
                        ui.add(egui::Label::new(&one.text).wrap());
                    });
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        ui.label(format!("{:.0} %", one.mean_share() * 100.0));
                    });
                });
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = space::XS;
                    let name =
                        if pinned { format!("Hide the map of {number}") } else { format!("Show the map of {number}") };
                    if IconButton::new(Icon::Eye, &name).small().selected(pinned).show(ui).clicked() {
                        self.edit.inspection.pinned = (!pinned).then_some(index);
                    }
                    if made.contributions.len() > 1 {
                        let solo = format!("Only instruction {number}");
                        if small(
                            ui,
                            Icon::Solo,
                            "Only this",
                            &solo,
                            "Runs again with this instruction alone, at the same seed",
                        ) {
                            ask = Some(Isolate::Solo(index));
                        }
                    }
                    let without = format!("Without instruction {number}");
                    if small(
                        ui,
                        Icon::Without,
                        "Without",
                        &without,
                        "Runs again without this instruction, at the same seed",
                    ) {
                        ask = Some(Isolate::Without(index));
                    }
                });
            });
        if ui.rect_contains_pointer(card.response.rect) {
            self.edit.inspection.hovered = Some(index);
        }
        ask
    }

    /// Draws the map that is asked for over the shown version.
    pub(in crate::app) fn overlay(&mut self, ui: &Ui, canvas: &Canvas) {
        if self.is_painting() {
            return;
        }
        let inspection = &self.edit.inspection;
        let wanted = if self.edit.tab == super::Tab::Result { inspection.hovered.or(inspection.pinned) } else { None };
        let (Some(index), Some(made)) = (wanted, self.document_made()) else { return };
        let Some(version) = self.document.as_ref().map(|document| document.standing.shown) else { return };
        let key = (version, index, inspection.kind);
        let stale = !self.edit.inspection.overlay.as_ref().is_some_and(|(known, _)| *known == key);
        if stale {
            let Some(map) = made.map(index, key.2) else { return };
            self.edit.inspection.overlay = Some((key, Overlay::new(ui.ctx(), &map, true)));
        }
        let Some((_, overlay)) = &self.edit.inspection.overlay else { return };
        for pane in canvas.panes.iter().filter(|pane| pane.is_shown) {
            let painter: Painter = ui.painter_at(pane.clip);
            overlay.paint(&painter, pane.picture, self.edit.inspection.opacity as f32);
        }
        let at: Option<Pos2> = canvas.pointer().map(|(at, _)| at);
        let corner = canvas.response.rect.left_bottom() + vec2(space::M, -space::M);
        let marked = at.and_then(|at| overlay.value_at(at));
        let painter = ui.painter_at(canvas.response.rect);
        heatmap::colour_bar(&painter, palette(ui.ctx()), corner, overlay, marked);
    }
}

/// A small quiet button with an icon and words; `name` is what tests and screen readers call it.
fn small(ui: &mut Ui, icon: Icon, words: &str, name: &str, help: &str) -> bool {
    TextButton::new(words).icon(icon).quiet().show(ui).accessible_name(name).on_hover_text(help).clicked()
}
