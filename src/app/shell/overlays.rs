//! Dialogs above the window: all commands, shortcuts, settings, and the path field where there is no file dialog.

use egui::{Frame, Grid, Id, Key, Margin, Modal, RichText, ScrollArea, TextEdit, Ui};

use crate::app::Glassbox;
use crate::app::commands::{self, Command, GROUPS};
use crate::app::icons::Icon;
use crate::app::opening::Purpose;
use crate::app::settings::{Settings, ThemeChoice};
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{TextButton, hint, segmented, toggle};
use crate::ops::device::{DeviceChoice, Precision};

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
    Earlier,
    EditorFolder,
    Language,
    Models,
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

    pub(crate) fn open_editor_folder(&mut self) {
        *self = Self { kind: Kind::EditorFolder, ..Self::default() };
    }

    pub(crate) fn open_language(&mut self) {
        self.kind = Kind::Language;
    }

    pub(crate) fn open_models(&mut self) {
        self.kind = Kind::Models;
    }

    pub(crate) fn shows_models(&self) -> bool {
        self.kind == Kind::Models
    }

    pub(crate) fn open_earlier(&mut self) {
        self.kind = Kind::Earlier;
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
            Kind::Earlier => self.earlier_dialog(ui),
            Kind::EditorFolder => self.editor_folder_dialog(ui),
            Kind::Language => self.language_dialog(ui),
            Kind::Models => self.models_dialog(ui),
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
        let modal = dialog(ui, "palette").show(ui.ctx(), |ui| {
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
        let modal = dialog(ui, "help").show(ui.ctx(), |ui| {
            ui.set_width(620.0);
            ui.heading("Shortcuts");
            scrolled(ui, |ui| {
                ui.columns(2, |columns| {
                    for (index, group) in GROUPS.iter().enumerate() {
                        help_group(&mut columns[index % 2], group);
                    }
                });
                hint(ui, "Hold \\ to see the original. Scroll to zoom, drag to move, double-click for actual size.");
                hint(ui, "In the Splats lens: drag to turn, with Shift to shift, scroll to come nearer, double-click to look at a point, click to ask what is like it; W A S D Q E fly. With the brush Shift adds and Alt takes away; [ and ] make it narrower and wider.");
                hint(ui, "On a pane of the Features lens: point at a patch, click to hold it or to choose its cluster; Tab to a pane and go from patch to patch with the arrow keys; hold \\ to see the picture without its map.");
            });
        });
        if modal.should_close() {
            self.overlay.kind = Kind::None;
        }
    }

    fn editor_folder_dialog(&mut self, ui: &Ui) {
        let mut go = false;
        let modal = dialog(ui, "editor folder").show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            ui.heading("Editor from a folder");
            hint(ui, "Any InstructPix2Pix-style editor: a folder with model_index.json, unet, vae, text_encoder, tokenizer and scheduler, or one safetensors file.");
            let field = ui.add(TextEdit::singleline(&mut self.overlay.query).desired_width(f32::INFINITY));
            let field = field.accessible_name("Folder of the editor");
            go = field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
            field.request_focus();
            ui.add_space(space::S);
            let ready = !self.overlay.query.trim().is_empty();
            go |= TextButton::new("Use this editor").primary().enabled(ready).show(ui).clicked();
        });
        if go && !self.overlay.query.trim().is_empty() {
            let path = crate::picture::paths::clean(&self.overlay.query);
            self.overlay.kind = Kind::None;
            self.choose_editor(path.display().to_string());
        } else if modal.should_close() {
            self.overlay.kind = Kind::None;
        }
    }

    fn language_dialog(&mut self, ui: &Ui) {
        let modal = dialog(ui, "language").show(ui.ctx(), |ui| scrolled(ui, |ui| self.language_choice(ui)));
        if modal.inner || modal.should_close() {
            self.overlay.kind = Kind::None;
        }
    }

    fn models_dialog(&mut self, ui: &Ui) {
        let modal = dialog(ui, "models").show(ui.ctx(), |ui| scrolled(ui, |ui| self.models_page(ui)));
        if (modal.inner || modal.should_close()) && self.overlay.kind == Kind::Models {
            self.overlay.kind = Kind::None;
            self.models.leave();
        }
    }

    fn earlier_dialog(&mut self, ui: &Ui) {
        let mut chosen = None;
        let open = self.document.as_ref().map(|document| document.folder.clone());
        let earlier: Vec<_> =
            self.earlier_work().iter().filter(|kept| Some(&kept.folder) != open.as_ref()).cloned().collect();
        let modal = dialog(ui, "earlier").show(ui.ctx(), |ui| {
            ui.set_width(420.0);
            ui.heading("Earlier work");
            hint(ui, "Every picture you edited is kept with its versions and recipes; the oldest go after two dozen.");
            ui.add_space(space::S);
            if earlier.is_empty() {
                ui.weak("There is none besides what is open.");
            }
            ScrollArea::vertical().max_height(340.0).show(ui, |ui| {
                for kept in &earlier {
                    let note = if kept.interrupted { ", interrupted" } else { "" };
                    let words = format!("{}  ({} versions{note})", kept.name, kept.versions);
                    if TextButton::new(&words).quiet().show(ui).clicked() {
                        chosen = Some(kept.folder.clone());
                    }
                }
            });
        });
        if modal.should_close() || chosen.is_some() {
            self.overlay.kind = Kind::None;
        }
        if let Some(folder) = chosen {
            self.continue_work(ui.ctx(), folder);
        }
    }

    fn settings_dialog(&mut self, ui: &Ui) {
        let modal = dialog(ui, "settings").show(ui.ctx(), |ui| {
            ui.set_width(400.0);
            ui.heading("Settings");
            ui.add_space(space::S);
            scrolled(ui, |ui| self.all_settings(ui));
        });
        if modal.should_close() && self.overlay.kind == Kind::Settings {
            self.overlay.kind = Kind::None;
        }
    }

    fn all_settings(&mut self, ui: &mut Ui) {
        ui.label("Appearance");
        let all = [(ThemeChoice::System, "As the system"), (ThemeChoice::Dark, "Dark"), (ThemeChoice::Light, "Light")];
        segmented(ui, "Appearance", &mut self.settings.now.theme, &all);
        ui.add_space(space::S);
        ui.label("Size of the interface");
        let sizes = [(0.85, "Small"), (1.0, "Normal"), (1.25, "Large"), (1.5, "Larger")];
        segmented(ui, "Size of the interface", &mut self.settings.now.zoom, &sizes);
        ui.add_space(space::S);
        toggle(ui, &mut self.settings.now.preview, "Live preview", "Shows the picture while it forms");
        let help = "An exported picture carries its wish, instructions and settings, so that dropping it here offers them again. Turn off to keep them to yourself.";
        toggle(ui, &mut self.settings.now.recipe_in_files, "Put the recipe into exported pictures", help);
        ui.add_space(space::S);
        ui.label("Instructions are proposed by");
        let words = self.settings.now.language_model.title();
        let name = self.settings.now.language_model.button();
        if TextButton::new(&words).icon(Icon::Model).show(ui).accessible_name(name).clicked() {
            self.overlay.kind = Kind::Language;
        }
        ui.add_space(space::S);
        device(ui, &mut self.settings.now);
        ui.add_space(space::M);
        hint(ui, format!("Glassbox {}", env!("CARGO_PKG_VERSION")));
    }

    fn path_field(&mut self, ui: &Ui) {
        let Some((purpose, mut text)) = self.files.typed.take() else { return };
        let mut go = false;
        let mut keep = true;
        let modal = dialog(ui, "path").show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            ui.heading(match purpose {
                Purpose::Open => "Open a picture",
                Purpose::Export => "Export",
                Purpose::Map => "Export the map",
                Purpose::Region => "Region from a file",
                Purpose::Backbone => "Folder of a feature backbone",
                Purpose::Basis => "Load a basis",
                Purpose::Scene => "Open a splat scene",
                Purpose::View => "Export the view",
                Purpose::Vlm => "Folder of a model that answers questions",
                Purpose::Conversation => "Export the conversation",
                Purpose::Frames(_) => "Export pictures of a flight",
                Purpose::SaveScene => "Save the scene",
                Purpose::Cameras => "Open cameras",
                Purpose::Features(_) => "Export from the Features lens",
            });
            hint(ui, "This system offers no file dialog, so the path is typed or pasted here.");
            let field = ui.add(TextEdit::singleline(&mut text).desired_width(f32::INFINITY)).accessible_name("Path");
            if field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter)) {
                go = true;
            }
            field.request_focus();
            ui.add_space(space::S);
            ui.horizontal(|ui| {
                let opens = matches!(
                    purpose,
                    Purpose::Open
                        | Purpose::Region
                        | Purpose::Backbone
                        | Purpose::Basis
                        | Purpose::Scene
                        | Purpose::Vlm
                        | Purpose::Cameras
                );
                let words = if opens { "Open file" } else { "Save file" };
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

/// Where models run, in which precision: only what this build can do is offered.
fn device(ui: &mut Ui, settings: &mut Settings) {
    ui.label("Models run on");
    let mut devices = vec![(DeviceChoice::Auto, "Automatic"), (DeviceChoice::Cpu, "CPU")];
    if cfg!(feature = "cuda") {
        devices.push((DeviceChoice::Cuda, "CUDA"));
    }
    if cfg!(feature = "metal") {
        devices.push((DeviceChoice::Metal, "Metal"));
    }
    segmented(ui, "Models run on", &mut settings.device, &devices);
    if devices.len() > 2 && settings.device != DeviceChoice::Cpu {
        ui.label("Precision");
        let all = [
            (Precision::Auto, "Automatic"),
            (Precision::F32, "f32"),
            (Precision::F16, "f16"),
            (Precision::Bf16, "bf16"),
        ];
        segmented(ui, "Precision", &mut settings.precision, &all);
    } else {
        settings.precision = Precision::Auto;
        hint(ui, "32-bit numbers on the CPU; builds with GPU support offer more.");
    }
}

/// What is higher than the window scrolls in it.
fn scrolled<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    let most = (ui.ctx().content_rect().height() - 110.0).max(160.0);
    // A dialog's content may grow while it is open: the room it took before is not the most it may take.
    ScrollArea::vertical().max_height(most).min_scrolled_height(most).show(ui, content).inner
}

/// A dialog in the middle of the window, the rest dimmed.
fn dialog(ui: &Ui, name: &'static str) -> Modal {
    let margin = if name == "palette" { 10 } else { 20 };
    // As high as the window lets it be: the default is lower than what some dialogs hold.
    let area = Modal::default_area(Id::unique(name)).default_height(ui.ctx().content_rect().height());
    Modal::new(Id::unique(name)).area(area).frame(Frame::popup(ui.style()).inner_margin(Margin::same(margin)))
}

fn help_group(ui: &mut Ui, group: &str) {
    let p = palette(ui.ctx());
    ui.label(RichText::new(group).color(p.accent));
    Grid::new(group).num_columns(2).min_row_height(18.0).min_col_width(92.0).spacing([space::L, space::XS]).show(
        ui,
        |ui| {
            for command in Command::ALL.into_iter().filter(|c| c.group() == group) {
                if let Some(keys) = command.keys(ui.ctx()) {
                    ui.label(RichText::new(keys).small());
                    ui.label(RichText::new(command.title()).small().color(p.muted));
                    ui.end_row();
                }
            }
        },
    );
    ui.add_space(space::M);
}
