//! The window: shows the open picture and its versions, builds requests for the engine, shows what comes back.
//!
//! [`Glassbox`] is the whole of it; `shell` draws the bars and panels around the picture, `opening` brings pictures in
//! and out, `document` holds the versions, `commands` is the one list of everything that can be done.

mod background;
mod commands;
mod dialogs;
mod document;
mod folders;
mod history;
mod icons;
mod launch;
mod notices;
mod opening;
mod settings;
mod shell;
mod theme;
mod widgets;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use egui::Context;

use commands::Command;
pub use dialogs::{Choice, FileDialogs, SystemDialogs};
use document::{Document, Standing, VersionId};
pub use folders::Folders;
use history::History;
use notices::{Level, Notices};
use opening::Files;
use settings::{SettingsStore, ThemeChoice};
use widgets::compare::{Mode, View};
use widgets::picture_view::PictureTexture;

/// Opens the window, on `picture` if one is given, and returns when it is closed.
///
/// # Errors
/// If there is no display, or no graphics adapter that can draw the window.
pub fn open_window(picture: Option<&Path>) -> anyhow::Result<()> {
    launch::run(picture.map(Path::to_owned))
}

/// What a window starts with.
pub struct Setup {
    /// A picture to open at once.
    pub picture: Option<PathBuf>,
    /// Where settings and work are kept.
    pub folders: Folders,
    /// Who answers "which file?".
    pub dialogs: Arc<dyn FileDialogs>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { picture: None, folders: Folders::of_the_user(), dialogs: Arc::new(SystemDialogs) }
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("picture", &self.picture).field("folders", &self.folders).finish_non_exhaustive()
    }
}

/// The window.
pub struct Glassbox {
    settings: SettingsStore,
    notices: Notices,
    graphics: Receiver<String>,
    files: Files,
    document: Option<Document>,
    history: History<Option<Standing>>,
    textures: HashMap<VersionId, PictureTexture>,
    view: View,
    mode: Mode,
    overlay: shell::overlays::Overlay,
    zoom: f32,
    pointer: Option<(u32, u32, [u8; 3])>,
}

impl std::fmt::Debug for Glassbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Glassbox")
            .field("document", &self.document.as_ref().map(Document::name))
            .finish_non_exhaustive()
    }
}

impl Glassbox {
    /// A window as eframe wants it.
    #[must_use]
    pub fn new(cc: &eframe::CreationContext<'_>, setup: Setup) -> Self {
        let ctx = &cc.egui_ctx;
        theme::install(ctx);
        let (settings, complaint) = SettingsStore::load(&setup.folders);
        let mut app = Self {
            settings,
            notices: Notices::default(),
            graphics: launch::listen_to_the_device(cc),
            files: Files::new(setup.dialogs),
            document: None,
            history: History::new(None),
            textures: HashMap::new(),
            view: View::default(),
            mode: Mode::Single,
            overlay: shell::overlays::Overlay::default(),
            zoom: 1.0,
            pointer: None,
        };
        app.apply_settings(ctx);
        if let Some(complaint) = complaint {
            app.notices.explain(Level::Warning, "The settings are back to their defaults", complaint);
        }
        if let Some(picture) = setup.picture {
            app.open_path(ctx, picture);
        }
        app
    }

    fn apply_settings(&self, ctx: &Context) {
        ctx.set_theme(match self.settings.now.theme {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
            ThemeChoice::Light => egui::ThemePreference::Light,
        });
        ctx.set_zoom_factor(self.settings.now.zoom.clamp(0.5, 3.0));
    }

    /// Shows `document` in place of what was open.
    fn show_document(&mut self, document: Document) {
        self.history = History::new(Some(document.standing.clone()));
        self.textures.clear();
        self.view = View::default();
        self.mode = Mode::Single;
        self.document = Some(document);
    }

    fn stand(&mut self, standing: Option<Option<Standing>>) {
        if let (Some(Some(standing)), Some(document)) = (standing, &mut self.document) {
            document.standing = standing;
        }
    }

    /// Whether a command can do anything now.
    fn can(&self, command: Command) -> bool {
        match command {
            Command::Undo => self.history.can_undo(),
            Command::Redo => self.history.can_redo(),
            Command::CompareDivider | Command::CompareSideBySide => {
                self.document.as_ref().is_some_and(|d| d.standing.shown != d.standing.compared)
            }
            Command::PreviousVersion | Command::NextVersion => {
                self.document.as_ref().is_some_and(|d| d.tree().len() > 1)
            }
            Command::Export
            | Command::CopyPicture
            | Command::ShowSingle
            | Command::Fit
            | Command::ActualSize
            | Command::ZoomIn
            | Command::ZoomOut => self.document.is_some(),
            _ => true,
        }
    }

    /// Does what was asked.
    fn act(&mut self, ctx: &Context, command: Command) {
        if !self.can(command) {
            return;
        }
        match command {
            Command::Open => self.ask_what_to_open(ctx),
            Command::Export => self.ask_where_to_export(ctx),
            Command::CopyPicture => self.copy_picture(ctx),
            Command::Undo => {
                let before = self.history.undo();
                self.stand(before);
            }
            Command::Redo => {
                let after = self.history.redo();
                self.stand(after);
            }
            Command::ShowSingle => self.mode = Mode::Single,
            Command::CompareDivider => self.mode = Mode::Divider,
            Command::CompareSideBySide => self.mode = Mode::SideBySide,
            Command::Fit => self.view.zoom = None,
            Command::ActualSize => self.view.zoom = Some(1.0),
            Command::ZoomIn => self.view.zoom = Some((self.zoom * 1.25).min(32.0)),
            Command::ZoomOut => self.view.zoom = Some((self.zoom / 1.25).max(0.02)),
            Command::PreviousVersion | Command::NextVersion => {
                if let Some(document) = &mut self.document {
                    document.walk(if command == Command::NextVersion { 1 } else { -1 });
                }
            }
            Command::ToggleFilmstrip => self.settings.now.filmstrip_open ^= true,
            Command::Palette => self.overlay.open_palette(),
            Command::Help => self.overlay.open_help(),
            Command::Settings => self.overlay.open_settings(),
            Command::Messages => self.notices.history_open = true,
            Command::SwitchTheme => {
                let dark = ctx.theme() == egui::Theme::Dark;
                self.settings.now.theme = if dark { ThemeChoice::Light } else { ThemeChoice::Dark };
            }
            Command::FullScreen => {
                let full = ctx.input(|i| i.viewport().fullscreen.unwrap_or(false));
                ctx.send_viewport_cmd(egui::ViewportCommand::Fullscreen(!full));
            }
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
        }
    }
}

impl eframe::App for Glassbox {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        while let Ok(complaint) = self.graphics.try_recv() {
            self.notices.explain(
                Level::Error,
                "The graphics driver reported a fault",
                format!("{complaint}. If the picture looks wrong, restart Glassbox; your files are untouched."),
            );
        }
        self.poll_files(ctx);
        let overlay_open = self.overlay.is_open() || self.notices.history_open || self.files.asks_for_a_path();
        for command in commands::pressed(ctx, overlay_open) {
            self.act(ctx, command);
        }
        self.apply_settings(ctx);
        if let Some(document) = &self.document {
            self.history.record(&Some(document.standing.clone()));
        }
        if let Err(sentence) = self.settings.save_if_changed() {
            self.notices.explain(Level::Warning, "The settings could not be kept", sentence);
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.shell(ui);
    }
}
