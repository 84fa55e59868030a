//! The bar at the top: what is open, undo and redo, how the picture is seen, export, and the way to everything else.

use egui::{Id, RichText, Sense, Ui, vec2};

use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::icons::{self, Icon};
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, TextButton};
use crate::app::widgets::compare::Mode;

impl Glassbox {
    pub(super) fn top_bar(&mut self, ui: &mut Ui) {
        let p = palette(ui.ctx());
        ui.horizontal_centered(|ui| {
            let (logo, _) = ui.allocate_exact_size(vec2(26.0, 26.0), Sense::hover());
            icons::paint(ui.painter(), logo, 24.0, Icon::Logo, p.accent);
            self.lens_tabs(ui);
            if let Some(name) = self.splats.scene_name().filter(|_| self.splats_are_open() || self.document.is_none()) {
                let name = RichText::new(name).size(15.0);
                let room = (ui.available_width() - 560.0).max(80.0);
                ui.scope(|ui| {
                    ui.set_max_width(room);
                    ui.add(egui::Label::new(name).truncate());
                });
            } else if let Some(document) = &self.document {
                let name = RichText::new(document.name()).size(15.0);
                let room = (ui.available_width() - 560.0).max(80.0);
                let words = document.original().picture.path.as_ref().map(|path| path.display().to_string());
                ui.scope(|ui| {
                    ui.set_max_width(room);
                    let label = ui.add(egui::Label::new(name).truncate());
                    if let Some(words) = words {
                        label.on_hover_text(words);
                    }
                });
            } else {
                ui.label(RichText::new("Glassbox").size(15.0));
            }
            at_the_right(ui, |ui| self.actions(ui));
        });
    }

    /// What can be done, from left to right: that is also the order in which Tab goes through them.
    fn actions(&mut self, ui: &mut Ui) {
        ui.spacing_mut().item_spacing.x = 2.0;
        if self.document.is_some() || (self.splats_are_open() && self.splats.scene_name().is_some()) {
            if self.document.is_some() {
                let open = self.settings.now.filmstrip_open;
                self.command_icon(ui, Icon::PanelLeft, Command::ToggleFilmstrip, open);
            }
            self.command_icon(ui, Icon::Undo, Command::Undo, false);
            self.command_icon(ui, Icon::Redo, Command::Redo, false);
            ui.add_space(space::S);
        }
        if self.can(Command::CompareDivider) {
            for (icon, command, mode) in [
                (Icon::Single, Command::ShowSingle, Mode::Single),
                (Icon::Divider, Command::CompareDivider, Mode::Divider),
                (Icon::SideBySide, Command::CompareSideBySide, Mode::SideBySide),
                (Icon::Difference, Command::CompareDifference, Mode::Difference),
            ] {
                let selected = self.mode == mode;
                self.command_icon(ui, icon, command, selected);
            }
            ui.add_space(space::S);
        }
        let open = TextButton::new("Open").icon(Icon::Open);
        let keys = Command::Open.keys(ui.ctx()).unwrap_or_default();
        if open.show(ui).on_hover_text(format!("Open a picture  {keys}")).clicked() {
            self.act(ui.ctx(), Command::Open);
        }
        ui.add_space(2.0);
        let export = TextButton::new("Export").icon(Icon::Export).enabled(self.can(Command::Export));
        let keys = Command::Export.keys(ui.ctx()).unwrap_or_default();
        if export
            .show(ui)
            .on_hover_text(format!(
                "{}  {keys}",
                if self.splats_are_open() { "Save a picture of the view" } else { "Save the shown version" }
            ))
            .clicked()
        {
            self.act(ui.ctx(), Command::Export);
        }
        ui.add_space(space::S);
        self.lens_model_menu(ui);
        ui.add_space(space::S);
        self.command_icon(ui, Icon::Search, Command::Palette, false);
        self.command_icon(ui, Icon::Settings, Command::Settings, false);
        self.command_icon(ui, Icon::Help, Command::Help, false);
    }

    /// Which editor the next run uses.
    pub(in crate::app) fn editor_menu(&mut self, ui: &mut Ui) {
        let now = self.settings.now.editor.clone();
        let offered = self
            .edit
            .editors
            .iter()
            .find(|offer| offer.name == now || (now == "starter" && offer.name == "starter-editor"));
        let title = offered.map_or_else(|| crate::app::edit::work::short_name(&now), |offer| offer.title.clone());
        let mut chosen = None;
        let button = TextButton::new(&title).icon(Icon::Model).show(ui);
        let button = button.accessible_name(format!("Editor: {title}")).on_hover_text("The model that edits");
        egui::Popup::menu(&button).show(|ui| {
            ui.set_min_width(260.0);
            for offer in &self.edit.editors {
                let words =
                    if offer.here { offer.title.clone() } else { format!("{}  (not on this machine)", offer.title) };
                let item = ui.add_enabled(offer.here, egui::Button::selectable(offer.name == now, words));
                if item.on_hover_text(&offer.about).on_disabled_hover_text(&offer.about).clicked() {
                    chosen = Some(offer.name.clone());
                }
            }
            ui.separator();
            if ui.button("Choose a folder…").clicked() {
                self.overlay.open_editor_folder();
            }
            if ui.button("All models…").clicked() {
                self.overlay.open_models();
            }
        });
        if let Some(name) = chosen {
            self.choose_editor(name);
        }
    }

    /// An icon that stands for a command: named, enabled and explained as the command is.
    pub(super) fn command_icon(&mut self, ui: &mut Ui, icon: Icon, command: Command, selected: bool) {
        let button = IconButton::new(icon, command.title())
            .shortcut(command.keys(ui.ctx()))
            .selected(selected)
            .enabled(self.can(command));
        if button.show(ui).clicked() {
            self.act(ui.ctx(), command);
        }
    }
}

/// Draws `content` from left to right so that it ends at the right. How wide it is shows when it is drawn: when that
/// changes, the frame is drawn once more.
fn at_the_right(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    let id = Id::unique("width of the actions in the top bar");
    let known: f32 = ui.data(|data| data.get_temp(id)).unwrap_or(0.0);
    ui.spacing_mut().item_spacing.x = 0.0;
    ui.add_space((ui.available_width() - known).max(0.0));
    let before = ui.cursor().left();
    content(ui);
    let width = ui.min_rect().right() - before;
    if (width - known).abs() > 0.5 {
        ui.data_mut(|data| data.insert_temp(id, width));
        ui.ctx().request_discard("the actions in the top bar changed");
    }
}
