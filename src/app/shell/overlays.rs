//! Dialogs above the window: all commands, shortcuts, settings, and the path field where there is no file dialog.

use egui::{Grid, Id, Key, Modal, RichText, ScrollArea, TextEdit, Ui};

use crate::app::Glassbox;
use crate::app::commands::{self, Command, GROUPS};
use crate::app::opening::Purpose;
use crate::app::settings::ThemeChoice;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{TextButton, hint, segmented};

/// Which dialog is open.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    kind: Kind,
    query: String,
    chosen: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    None,
    Palette,
    Help,
    Settings,
}

impl Overlay {
    pub(crate) fn is_open(&self) -> bool {
        self.kind != Kind::None
    }

    pub(crate) fn open_palette(&mut self) {
        *self = Self { kind: Kind::Palette, ..Self::default() };
    }

    pub(crate) fn open_help(&mut self) {
        self.kind = Kind::Help;
    }

    pub(crate) fn open_settings(&mut self) {
        self.kind = Kind::Settings;
    }
}

impl Glassbox {
    pub(super) fn overlays(&mut self, ui: &Ui) {
        match self.overlay.kind {
            Kind::None => {}
            Kind::Palette => self.palette(ui),
            Kind::Help => self.help(ui),
            Kind::Settings => self.settings_dialog(ui),
        }
        self.path_field(ui);
    }

    fn palette(&mut self, ui: &Ui) {
        let mut found: Vec<(i32, Command)> = Command::ALL
            .into_iter()
            .filter(|c| *c != Command::Palette && self.can(*c))
            .filter_map(|c| commands::fuzzy(c.title(), &self.overlay.query).map(|score| (score, c)))
            .collect();
        found.sort_by_key(|(score, _)| -score);
        let mut run = None;
        let modal = Modal::new(Id::unique("palette")).show(ui.ctx(), |ui| {
            ui.set_width(440.0);
            let field =
                TextEdit::singleline(&mut self.overlay.query).hint_text("What to do?").desired_width(f32::INFINITY);
            let field = ui.add(field).accessible_name("Search commands");
            if field.changed() {
                self.overlay.chosen = 0;
            }
            field.request_focus();
            let (down, up, enter) = ui.input_mut(|i| {
                let none = egui::Modifiers::NONE;
                (i.consume_key(none, Key::ArrowDown), i.consume_key(none, Key::ArrowUp), i.key_pressed(Key::Enter))
            });
            let last = found.len().saturating_sub(1);
            let chosen = (self.overlay.chosen + usize::from(down)).saturating_sub(usize::from(up)).min(last);
            self.overlay.chosen = chosen;
            if found.is_empty() {
                ui.weak("No command has these letters.");
            }
            ScrollArea::vertical().max_height(320.0).auto_shrink([false, true]).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 2.0;
                for (index, (_, command)) in found.iter().enumerate() {
                    let keys = RichText::new(command.keys(ui.ctx()).unwrap_or_default()).small();
                    let button = egui::Button::selectable(index == chosen, command.title()).right_text(keys);
                    let button = ui.add_sized([ui.available_width(), 28.0], button);
                    if index == chosen && (down || up) {
                        button.scroll_to_me(None);
                    }
                    if button.clicked() || (enter && index == chosen) {
                        run = Some(*command);
                    }
                }
            });
        });
        if modal.should_close() || run.is_some() {
            self.overlay.kind = Kind::None;
        }
        if let Some(command) = run {
            self.act(ui.ctx(), command);
        }
    }

    fn help(&mut self, ui: &Ui) {
        let modal = Modal::new(Id::unique("help")).show(ui.ctx(), |ui| {
            ui.set_width(520.0);
            ui.heading("Shortcuts");
            ScrollArea::vertical().max_height(440.0).show(ui, |ui| {
                ui.columns(2, |columns| {
                    for (index, group) in GROUPS.iter().enumerate() {
                        help_group(&mut columns[index % 2], group);
                    }
                });
                hint(ui, "Hold \\ to see the original. Scroll to zoom, drag to move, double-click for actual size.");
            });
        });
        if modal.should_close() {
            self.overlay.kind = Kind::None;
        }
    }

    fn settings_dialog(&mut self, ui: &Ui) {
        let modal = Modal::new(Id::unique("settings")).show(ui.ctx(), |ui| {
            ui.set_width(400.0);
            ui.heading("Settings");
            ui.add_space(space::S);
            ui.label("Appearance");
            let all =
                [(ThemeChoice::System, "As the system"), (ThemeChoice::Dark, "Dark"), (ThemeChoice::Light, "Light")];
            segmented(ui, "Appearance", &mut self.settings.now.theme, &all);
            ui.add_space(space::S);
            ui.label("Size of the interface");
            let sizes = [(0.85, "Small"), (1.0, "Normal"), (1.25, "Large"), (1.5, "Larger")];
            segmented(ui, "Size of the interface", &mut self.settings.now.zoom, &sizes);
            ui.add_space(space::M);
            hint(ui, format!("Glassbox {}", env!("CARGO_PKG_VERSION")));
        });
        if modal.should_close() {
            self.overlay.kind = Kind::None;
        }
    }

    fn path_field(&mut self, ui: &Ui) {
        let Some((purpose, mut text)) = self.files.typed.take() else { return };
        let mut go = false;
        let mut keep = true;
        let modal = Modal::new(Id::unique("path")).show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            ui.heading(if purpose == Purpose::Open { "Open a picture" } else { "Export" });
            hint(ui, "This system offers no file dialog, so the path is typed or pasted here.");
            let field = ui.add(TextEdit::singleline(&mut text).desired_width(f32::INFINITY)).accessible_name("Path");
            if field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) {
                go = true;
            }
            field.request_focus();
            ui.add_space(space::S);
            ui.horizontal(|ui| {
                let words = if purpose == Purpose::Open { "Open file" } else { "Save file" };
                go |= TextButton::new(words).primary().enabled(!text.trim().is_empty()).show(ui).clicked();
                keep = !TextButton::new("Not now").quiet().show(ui).clicked();
            });
        });
        if go && !text.trim().is_empty() {
            self.answer_typed(ui.ctx(), purpose, &text);
        } else if keep && !modal.should_close() {
            self.files.typed = Some((purpose, text));
        }
    }
}

fn help_group(ui: &mut Ui, group: &str) {
    let p = palette(ui.ctx());
    ui.label(RichText::new(group).color(p.accent));
    Grid::new(group).num_columns(2).spacing([space::L, space::XS]).show(ui, |ui| {
        for command in Command::ALL.into_iter().filter(|c| c.group() == group) {
            if let Some(keys) = command.keys(ui.ctx()) {
                ui.label(keys);
                ui.label(RichText::new(command.title()).color(p.muted));
                ui.end_row();
            }
        }
    });
    ui.add_space(space::M);
}
