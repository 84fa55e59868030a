//! The bar above the panes, and each pane's own: how many there are, what the left button does, what each shows.

use egui::{Align, Button, CornerRadius, Frame, Layout, Margin, Popup, Rect, RichText, Ui, UiBuilder};

use super::Tool;
use super::panes::{MOST, MapKind, Pane, Slot, Which, arrange};
use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::document::Document;
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, TextButton, fitting, hint};

impl Glassbox {
    /// The bar above all panes.
    pub(super) fn pane_bar(&mut self, ui: &mut Ui, document: &Document) {
        let p = palette(ui.ctx());
        let count = self.features.panes.len();
        let mut wanted = None;
        Frame::new().fill(p.panel).inner_margin(Margin::symmetric(10, 4)).show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                let all =
                    [(1, Icon::Single, "One pane"), (2, Icon::SideBySide, "Two panes"), (4, Icon::Grid, "Four panes")];
                for (panes, icon, name) in all {
                    let button = IconButton::new(icon, name).shortcut(Command::Panes(panes).keys(ui.ctx()));
                    if button.selected(count == panes).show(ui).clicked() {
                        wanted = Some(panes);
                    }
                }
                let more = IconButton::new(Icon::Plus, "Another pane").enabled(count < MOST).show(ui);
                if more.clicked() {
                    wanted = Some(count + 1);
                }
                ui.add_space(space::M);
                let tools = [
                    (
                        Tool::Point,
                        Icon::Pointer,
                        "Move over a patch to see what the model says of it; drag to move the picture",
                    ),
                    (Tool::Box, Icon::Rectangle, "What looks like what is in it; also a region for the Edit lens"),
                    (Tool::Lasso, Icon::Lasso, "What looks like what it goes around; also a region for the Edit lens"),
                ];
                for (tool, icon, help) in tools {
                    let selected = self.features.tool == tool;
                    let button = IconButton::new(icon, tool.command()).help(help);
                    let button = button.shortcut(Command::Pane(tool).keys(ui.ctx()));
                    if button.selected(selected).show(ui).clicked() {
                        self.features.tool = tool;
                    }
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if count == 1
                        && let Some(now) = self.features.nows.first()
                    {
                        let words = format!("{} of {}", now.pane.map.title(), now.title);
                        hint(ui, words);
                    }
                });
            });
        });
        if let Some(count) = wanted {
            self.arrange(document, count);
        }
    }

    /// Shows so many panes.
    pub(in crate::app) fn arrange_panes(&mut self, count: usize) {
        if let Some(document) = self.document.take() {
            self.arrange(&document, count);
            self.document = Some(document);
        }
    }

    fn arrange(&mut self, document: &Document, count: usize) {
        let two_models = self.features.names_of_models(&self.settings.now.features).1.is_some();
        let two_versions = document.standing.shown != document.standing.compared;
        arrange(&mut self.features.panes, count, two_models, two_versions);
        let last = self.features.panes.len().saturating_sub(1);
        if self.features.active > last {
            self.activate_pane(last);
        }
    }

    /// A pane's own bar, where there are several.
    pub(super) fn pane_header(&mut self, ui: &mut Ui, document: &Document, index: usize, rect: Rect) {
        let p = palette(ui.ctx());
        let active = index == self.features.active;
        ui.painter().rect_filled(
            rect,
            CornerRadius { nw: 4, ne: 4, sw: 0, se: 0 },
            if active { p.raised } else { p.panel },
        );
        let mut closed = false;
        ui.scope_builder(UiBuilder::new().max_rect(rect.shrink2(egui::vec2(6.0, 2.0))), |ui| {
            ui.horizontal_centered(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                self.pane_menu(ui, document, index, rect.width() - 44.0);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let close = IconButton::new(Icon::Close, &format!("Close pane {}", index + 1)).small().show(ui);
                    closed = close.clicked();
                });
            });
        });
        if closed {
            self.features.panes.remove(index);
            if index < self.features.paints.len() {
                self.features.paints.remove(index);
            }
            if index < self.features.views.len() {
                self.features.views.remove(index);
            }
            let active = self.features.active;
            let now = if active > index { active - 1 } else { active.min(self.features.panes.len() - 1) };
            self.features.active = now;
            ui.ctx().request_discard("a pane was closed");
            self.features.nows.remove(index);
            while self.features.nows.len() < self.features.panes.len() {
                self.features.panes.pop();
            }
        }
    }

    /// Model, version and map of a pane, as a menu.
    fn pane_menu(&mut self, ui: &mut Ui, document: &Document, index: usize, room: f32) {
        let Some(pane) = self.features.panes.get(index).copied() else { return };
        let title = document.version(pane.which.of(document)).title.clone();
        let words = format!("{} · {} · {}", pane.slot.letter(), title, pane.map.title());
        let shown = fitting(ui, &words, room - 24.0);
        let button =
            TextButton::new(&shown).quiet().show(ui).accessible_name(format!("Pane {} shows {words}", index + 1));
        let has_b = self.features.names_of_models(&self.settings.now.features).1.is_some();
        let mut chosen: Option<Pane> = None;
        Popup::menu(&button).show(|ui| {
            ui.set_min_width(200.0);
            let p = palette(ui.ctx());
            let head = |ui: &mut Ui, text: &str| {
                ui.label(RichText::new(text).small().color(p.muted));
            };
            head(ui, "Map");
            for (map, name) in MapKind::ALL {
                if ui.add(Button::selectable(pane.map == map, name)).clicked() {
                    chosen = Some(Pane { map, ..pane });
                }
            }
            ui.separator();
            head(ui, "Model");
            for (slot, name) in [(Slot::A, "A"), (Slot::B, "B"), (Slot::Both, "A and B side by side, as in the paper")]
            {
                let item = Button::selectable(pane.slot == slot, name);
                let item = ui
                    .add_enabled(has_b || slot == Slot::A, item)
                    .on_disabled_hover_text("Choose a model B in the panel");
                if item.clicked() {
                    chosen = Some(Pane { slot, ..pane });
                }
            }
            ui.separator();
            head(ui, "Version");
            let mut all = vec![
                (Which::Shown, "The shown one".to_owned()),
                (Which::Compared, "What it is compared with".to_owned()),
            ];
            all.extend(
                document
                    .versions()
                    .iter()
                    .map(|version| (Which::One(version.id), format!("Always: {}", version.title))),
            );
            for (which, name) in all {
                if ui.add(Button::selectable(pane.which == which, name)).clicked() {
                    chosen = Some(Pane { which, ..pane });
                }
            }
            if chosen.is_some() {
                ui.close();
            }
        });
        if let Some(chosen) = chosen {
            if let Some(pane) = self.features.panes.get_mut(index) {
                *pane = chosen;
            }
            self.activate_pane(index);
        } else if button.clicked() {
            self.activate_pane(index);
        }
    }
}
