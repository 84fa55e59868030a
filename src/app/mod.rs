//! The window: shows the open picture and its versions, builds requests for the engine, shows what comes back.
//!
//! [`Glassbox`] is the whole of it; `shell` draws the bars and panels around the picture, `opening` brings pictures in
//! and out, `document` holds the versions, `commands` is the one list of everything that can be done, `lens` the place
//! where a lens is joined to all of them.

mod ask;
mod background;
mod commands;
mod crash;
mod dialogs;
mod difference;
mod document;
mod edit;
mod features;
mod folders;
mod history;
mod icons;
mod launch;
mod lens;
mod links;
mod mask;
mod models;
mod notices;
mod opening;
mod samples;
mod session;
mod settings;
mod shell;
mod splats;
mod theme;
mod widgets;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use egui::Context;

use ask::AskLens;
use commands::Command;
pub use dialogs::{Choice, FileDialogs, SystemDialogs};
use document::{Document, State, VersionId};
use edit::EditLens;
pub use edit::language::{Describer, Language};
pub use edit::work::{Editor, LanguageFound, Models, Offer, Question, Suggestion, Workshop, Writer};
use features::FeaturesLens;
pub use folders::Folders;
use history::History;
use launch::{Complaint, Left, Reopen};
use lens::LensKind;
pub use models::ModelsAt;
use models::ModelsPage;
use notices::{Level, Notices};
use opening::Files;
use session::Keeper;
use settings::{SettingsStore, ThemeChoice};
use splats::{SplatAct, SplatsLens};
use widgets::compare::{Mode, View};
use widgets::picture_view::PictureTexture;

use crate::engine::{Engine, default_budget, memory};

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
    /// Who proposes and edits.
    pub workshop: Arc<dyn Workshop>,
    /// Pictures to try it on.
    pub samples: Vec<PathBuf>,
    /// A splat scene to try the Splats lens on.
    pub scene: Option<PathBuf>,
    /// Where models are, and where they are fetched from.
    pub models: ModelsAt,
    /// How many bytes the program holds, for the status line; `None` where nobody can tell.
    pub memory: fn() -> Option<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            picture: None,
            folders: Folders::of_the_user(),
            dialogs: Arc::new(SystemDialogs),
            workshop: Arc::new(Models),
            samples: samples::of_this_machine(),
            scene: samples::scene_of_this_machine(),
            models: ModelsAt::default(),
            memory: memory::resident,
        }
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
    graphics: Receiver<Complaint>,
    reopen: Option<Reopen>,
    files: Files,
    document: Option<Document>,
    /// Documents with runs that have not ended.
    parked: Vec<Document>,
    history: History<Option<State>>,
    edit: EditLens,
    features: FeaturesLens,
    splats: SplatsLens,
    ask: AskLens,
    models: ModelsPage,
    links: links::Links,
    keeper: Keeper,
    crash_notes: PathBuf,
    /// What was kept last of the open document, and when (the window's clock).
    kept: (Option<State>, f64),
    samples: samples::Samples,
    /// Dropped last: it waits for the inference thread.
    engine: Engine,
    textures: HashMap<VersionId, PictureTexture>,
    view: View,
    mode: Mode,
    overlay: shell::overlays::Overlay,
    zoom: f32,
    pointer: Option<(u32, u32, [u8; 3])>,
    difference: difference::Difference,
    gauge: shell::status::MemoryGauge,
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
    ///
    /// # Errors
    /// If the system gives no thread for the models.
    pub fn new(cc: &eframe::CreationContext<'_>, setup: Setup) -> std::io::Result<Self> {
        let ctx = &cc.egui_ctx;
        theme::install(ctx);
        let (settings, complaint) = SettingsStore::load(&setup.folders);
        let repaint = ctx.clone();
        let engine = Engine::start(default_budget(), Arc::new(move || repaint.request_repaint()))?;
        let features = FeaturesLens::new(Arc::clone(&setup.workshop));
        let ask = AskLens::new(Arc::clone(&setup.workshop));
        let splats = SplatsLens::new(cc.wgpu_render_state.clone(), setup.scene, Arc::clone(&setup.workshop));
        let edit = EditLens::new(setup.workshop, &settings.now.editor);
        let mut app = Self {
            settings,
            notices: Notices::default(),
            graphics: launch::listen_to_the_device(cc),
            reopen: None,
            files: Files::new(setup.dialogs),
            document: None,
            parked: Vec::new(),
            history: History::new(None),
            edit,
            features,
            splats,
            ask,
            models: ModelsPage::new(setup.models),
            links: links::Links::default(),
            keeper: Keeper::start(setup.folders.data.join("sessions")),
            crash_notes: setup.folders.crash_notes(),
            kept: (None, 0.0),
            samples: samples::Samples::new(setup.samples),
            engine,
            textures: HashMap::new(),
            view: View::default(),
            mode: Mode::Single,
            overlay: shell::overlays::Overlay::default(),
            zoom: 1.0,
            pointer: None,
            difference: difference::Difference::default(),
            gauge: shell::status::MemoryGauge::new(setup.memory),
        };
        app.apply_settings(ctx);
        if let Some(complaint) = complaint {
            app.notices.explain(Level::Warning, "The settings are back to their defaults", complaint);
        }
        app.begin(ctx, setup.picture);
        Ok(app)
    }

    /// Says how a new window is opened if the graphics device is lost; `before`: why this one was.
    fn reopen(&mut self, ctx: &Context, again: Reopen, before: Option<Left>) {
        self.reopen = Some(again);
        if let Some(Left { folder, scene }) = before {
            let words =
                "The window was opened again, and your work is as it was. A running edit has to be started again.";
            self.notices.explain(Level::Warning, "The graphics device was lost", words);
            if let Some(folder) = folder {
                self.continue_work(ctx, folder);
            }
            if let Some(scene) = scene {
                self.splats.take_over(scene);
            }
        }
    }

    /// The graphics device is gone: keeps the work and closes, so that a new window can take over.
    fn leave_for_a_new_window(&mut self, ctx: &Context) {
        let folder = self.document.as_ref().map(|document| document.folder.clone());
        if let Some(document) = &self.document {
            self.keeper.keep(document);
        }
        if let Some(again) = &self.reopen {
            *launch::lock(again) = Some(Left { folder, scene: self.splats.leave() });
        }
        ctx.send_viewport_cmd(egui::ViewportCommand::Close);
    }

    fn apply_settings(&self, ctx: &Context) {
        ctx.set_theme(match self.settings.now.theme {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
            ThemeChoice::Light => egui::ThemePreference::Light,
        });
        ctx.set_zoom_factor(self.settings.now.zoom.clamp(0.5, 3.0));
    }

    /// Shows `document` in place of what was open; that is kept, and lives on while runs of it are open.
    fn show_document(&mut self, document: Document) {
        self.lenses_leave_document();
        if let Some(before) = self.document.take() {
            self.keeper.keep(&before);
            if self.edit.runs.open().any(|run| run.document == before.folder) {
                self.parked.push(before);
            } else {
                self.keeper.close(&before.folder);
            }
        }
        self.history = History::new(Some(document.state()));
        self.kept = (Some(document.state()), 0.0);
        self.textures.clear();
        self.difference.clear();
        self.files.forget_offer();
        self.view = View::default();
        self.mode = Mode::Single;
        self.document = Some(document);
        self.lenses_meet_document();
    }

    fn stand(&mut self, state: Option<Option<State>>) {
        if let (Some(Some(state)), Some(document)) = (state, &mut self.document) {
            document.standing = state.standing;
            document.draft = state.draft;
            document.regions = state.regions;
        }
    }

    /// Notes the state for undo.
    fn record(&mut self) {
        if let Some(document) = &self.document {
            self.history.record(&Some(document.state()));
        }
    }

    /// Keeps the document of that folder on the disk.
    fn keep(&mut self, folder: &Path) {
        if let Some(document) = self.document.iter().chain(&self.parked).find(|document| document.folder == folder) {
            self.keeper.keep(document);
        }
        let runs = &self.edit.runs;
        let keeper = &self.keeper;
        self.parked.retain(|document| {
            let open = runs.open().any(|run| run.document == document.folder);
            if !open {
                keeper.close(&document.folder);
            }
            open
        });
    }

    /// Keeps the open document on the disk as it is now.
    fn keep_now(&self) {
        if let Some(document) = &self.document {
            self.keeper.keep(document);
        }
    }

    /// Keeps what changed, a moment after it changed.
    fn autosave(&mut self, ctx: &Context) {
        const MOMENT: f64 = 1.5;
        while let Some(sentence) = self.keeper.complaint() {
            let advice = "Free some space, or export what matters.";
            self.notices.explain(Level::Error, "Your work could not be kept", format!("{sentence}. {advice}"));
        }
        let Some(document) = &self.document else { return };
        let state = document.state();
        if self.kept.0.as_ref() == Some(&state) {
            return;
        }
        let now = ctx.input(|i| i.time);
        if now - self.kept.1 >= MOMENT {
            self.keeper.keep(document);
            self.kept = (Some(state), now);
        } else {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(MOMENT));
        }
    }

    /// Whether a command can do anything now.
    fn can(&self, command: Command) -> bool {
        match command {
            Command::Undo if self.splats_are_open() => self.splats.can_undo(),
            Command::Redo if self.splats_are_open() => self.splats.can_redo(),
            Command::Undo => self.history.can_undo(),
            Command::Redo => self.history.can_redo(),
            Command::Splats(act) => self.splats_are_open() && self.splats.can(act),
            Command::CompareDivider | Command::CompareSideBySide | Command::CompareDifference => {
                // Other lenses have panes of their own.
                let one = matches!(self.settings.now.lens, LensKind::Edit | LensKind::Ask);
                one && self.document.as_ref().is_some_and(|d| d.standing.shown != d.standing.compared)
            }
            Command::PreviousVersion | Command::NextVersion => {
                self.document.as_ref().is_some_and(|d| d.tree().len() > 1)
            }
            Command::CompareWithShown => {
                self.document.as_ref().is_some_and(|d| d.standing.compared != d.standing.shown)
            }
            Command::StartFromShown => self.document.as_ref().is_some_and(|d| d.standing.base != d.standing.shown),
            Command::Propose => self.can_propose(),
            Command::Run if self.ask_is_open() => true,
            Command::Run => self.document.is_some() && self.lacks().is_none(),
            Command::Cancel => {
                (self.splats_are_open() && self.splats.can_step_out())
                    || self.features_can_step_out()
                    || self.lenses_work()
                    || self.is_painting()
                    || self.seeds_are_open()
            }
            Command::CancelAll => self.lenses_work(),
            Command::LiftPicture => self.can_lift_the_picture(),
            Command::AskQuestion => self.document.is_some(),
            Command::ExportConversation => self.can_export_the_conversation(),
            Command::Lens(kind) => self.lenses().len() > 1 && self.has_lens(kind),
            Command::UseAsRegion => self.features_are_open() && self.can_make_a_region_of_features(),
            Command::LinkPanes | Command::Map(_) | Command::Panes(_) | Command::Pane(_) => self.features_are_open(),
            Command::ExportFeatures(what) => self.features_are_open() && self.can_export_features(what),
            Command::Region(act) => self.can_do_to_region(act),
            Command::RestoreProposal => self.document.as_ref().is_some_and(|d| d.draft.differs_from_proposal()),
            Command::NextMap => self.document_made().is_some_and(|made| !made.contributions.is_empty()),
            Command::ExportMap => self.document_made().is_some() && self.edit.inspection.pinned.is_some(),
            Command::CopyRecipe | Command::VarySeed => self.document_made().is_some(),
            Command::Export if self.splats_are_open() => self.splats.can(SplatAct::ExportView),
            Command::Export
            | Command::Wish
            | Command::AddRow
            | Command::NewSeed
            | Command::ShowEdit
            | Command::ShowResult
            | Command::CopyPicture
            | Command::ShowSingle
            | Command::ActualSize => self.document.is_some(),
            Command::Fit | Command::ZoomIn | Command::ZoomOut => self.document.is_some() || self.splats_are_open(),
            _ => true,
        }
    }

    /// Does what was asked.
    fn act(&mut self, ctx: &Context, command: Command) {
        if !self.can(command) {
            return;
        }
        self.record();
        // Ctrl+Enter sends what is written in the lens that is open.
        let sends = command == Command::Run && self.ask_is_open();
        if command.is_of_the_edit_panel() && !sends {
            self.show_lens(LensKind::Edit);
        }
        match command {
            Command::Continue => self.overlay.open_earlier(),
            Command::Language => self.overlay.open_language(),
            Command::Models => self.overlay.open_models(),
            Command::Cancel if self.features_can_step_out() => self.features.step_out(),
            Command::Cancel if self.splats_are_open() && self.splats.can_step_out() => self.splats.step_out(),
            Command::Cancel if self.features_are_open() && self.features.is_working() => self.stop_looking(),
            Command::Cancel if self.ask_is_open() && self.ask.is_working() => self.stop_answering(),
            Command::AskQuestion => self.write_a_question(),
            Command::VlmOfFolder => self.ask_for_a_vlm(ctx),
            Command::ExportConversation => self.ask_where_to_export_the_conversation(ctx),
            Command::Run if self.ask_is_open() => self.ask_the_question(ctx),
            Command::Cancel if self.splats.is_working() && !self.is_working() => self.splats.stop(),
            Command::CancelAll if self.splats.is_working() => {
                self.splats.stop();
                self.act_on_edit(ctx, command);
            }
            Command::Wish
            | Command::Propose
            | Command::AddRow
            | Command::RestoreProposal
            | Command::NewSeed
            | Command::Run
            | Command::Cancel
            | Command::CancelAll
            | Command::ShowEdit
            | Command::ShowResult
            | Command::NextMap
            | Command::ExportMap
            | Command::CopyRecipe
            | Command::VarySeed => self.act_on_edit(ctx, command),
            Command::Lens(kind) => self.show_lens(kind),
            Command::OpenScene => self.ask_for_a_scene(ctx),
            Command::LiftPicture => self.lift_the_picture(ctx),
            Command::Fit if self.splats_are_open() => self.frame_scene(),
            Command::ZoomIn if self.splats_are_open() => self.approach_scene(0.8),
            Command::ZoomOut if self.splats_are_open() => self.approach_scene(1.25),
            Command::FeaturesOfFolder => self.open_with_a_folder(ctx),
            Command::UseAsRegion => self.make_region(ctx),
            Command::LinkPanes => self.link_panes(),
            Command::Map(map) => self.features.show_map(map),
            Command::Panes(count) => self.arrange_panes(count),
            Command::Pane(tool) => self.features.tool = tool,
            Command::ExportFeatures(what) => self.ask_where_to_export_features(ctx, what),
            Command::Region(act) => self.act_on_region(ctx, act),
            Command::LivePreview => self.settings.now.preview ^= true,
            Command::CompareDifference => self.mode = Mode::Difference,
            Command::Open => self.ask_what_to_open(ctx),
            Command::Export if self.splats_are_open() => self.act_on_scene(ctx, SplatAct::ExportView),
            Command::Export => self.ask_where_to_export(ctx),
            Command::CopyPicture => self.copy_picture(ctx),
            Command::Undo if self.splats_are_open() => self.splats.undo(),
            Command::Redo if self.splats_are_open() => self.splats.redo(),
            Command::Splats(act) => self.act_on_scene(ctx, act),
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
            Command::CompareWithShown | Command::StartFromShown => {
                if let Some(document) = &mut self.document {
                    let shown = document.standing.shown;
                    match command {
                        Command::CompareWithShown => document.standing.compared = shown,
                        _ => document.standing.base = shown,
                    }
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
            match complaint {
                Complaint::Refused(message) => self.notices.explain(
                    Level::Error,
                    "The graphics driver reported a fault",
                    format!("{message}. If the picture looks wrong, restart Glassbox; your work is kept."),
                ),
                Complaint::Lost => self.leave_for_a_new_window(ctx),
            }
        }
        self.poll_files(ctx);
        self.poll_lenses(ctx);
        self.poll_models(ctx);
        let overlay_open = self.overlay.is_open() || self.notices.history_open || self.files.asks_for_a_path();
        let pressed = commands::pressed(ctx, overlay_open, |command| self.can(command));
        for command in pressed {
            self.act(ctx, command);
        }
        self.apply_settings(ctx);
        // A drag or a word being typed is one step, not many.
        if !ctx.text_edit_focused() && !ctx.input(|i| i.pointer.any_down()) {
            self.record();
        }
        self.autosave(ctx);
        if let Err(sentence) = self.settings.save_if_changed() {
            self.notices.explain(Level::Warning, "The settings could not be kept", sentence);
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        self.shell(ui);
    }
}
