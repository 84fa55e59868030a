//! Pictures in and out: dialogs, dropped and pasted pictures, a typed path, export. All of it on threads of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Context, Event};

use super::Glassbox;
use super::background::Background;
use super::crash;
use super::dialogs::{Choice, FileDialogs};
use super::document::Document;
use super::edit::draft::Draft;
use super::notices::Level;
use super::session::{self, Kept};
use super::theme::palette;
use super::widgets::buttons::{TextButton, hint};
use crate::edit::recipe::Recipe;
use crate::picture::encode::{self, SaveOptions};
use crate::picture::limits::DecodeLimits;
use crate::picture::{Picture, decode, heatmap, metadata, paths};

/// What is under way between the window and the disk.
pub(super) struct Files {
    dialogs: Arc<dyn FileDialogs>,
    asking: Option<(Purpose, Background<Choice>)>,
    opening: Option<(String, Background<Opened>)>,
    restoring: Option<Background<(Document, Vec<String>)>>,
    /// The recipe that the opened picture carries, offered for use.
    pub(super) offer: Option<Recipe>,
    using: Option<Background<(Draft, String)>>,
    earlier: Option<Vec<Kept>>,
    exporting: Option<Background<Vec<String>>>,
    /// Where there is no dialog: the path is typed.
    pub(super) typed: Option<(Purpose, String)>,
}

/// What a path is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Open,
    Export,
    Map,
    Region,
    /// A folder, or file, of a feature backbone.
    Backbone,
    /// A PCA basis.
    Basis,
    /// A splat scene.
    Scene,
    /// A picture of a splat scene.
    View,
    /// Pictures of a flight through it.
    Frames(super::splats::Frames),
    /// What is left of it.
    SaveScene,
    /// The cameras of its photographs.
    Cameras,
    /// A folder of a model that answers questions.
    Vlm,
    /// Questions and answers, written.
    Conversation,
    /// Something of the Features lens, written.
    Features(super::features::ExportWhat),
}

/// A picture with the recipe its file carries.
struct Opened {
    picture: Picture,
    recipe: Option<Result<Recipe, String>>,
}

impl Files {
    pub(super) fn new(dialogs: Arc<dyn FileDialogs>) -> Self {
        Self {
            dialogs,
            asking: None,
            opening: None,
            restoring: None,
            offer: None,
            using: None,
            earlier: None,
            exporting: None,
            typed: None,
        }
    }

    /// Another picture is shown: the offer was about the one before, and the list of earlier work may have changed.
    pub(super) fn forget_offer(&mut self) {
        self.offer = None;
        self.using = None;
        self.earlier = None;
    }

    pub(super) fn asks_for_a_path(&self) -> bool {
        self.typed.is_some()
    }

    /// What is going on, for the status line.
    pub(super) fn busy(&self) -> Option<String> {
        if self.restoring.is_some() {
            return Some("Bringing back earlier work".to_owned());
        }
        match (&self.opening, &self.exporting) {
            (Some((name, _)), _) => Some(format!("Opening {name}")),
            (None, Some(_)) => Some("Exporting".to_owned()),
            (None, None) => None,
        }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

impl Glassbox {
    /// Opens a picture file in the background.
    pub(super) fn open_path(&mut self, ctx: &Context, path: PathBuf) {
        if super::splats::is_scene(&path) {
            self.open_scene(ctx, path);
            return;
        }
        let ctx = ctx.clone();
        let name = file_name(&path);
        let task = Background::start("open a picture", move || {
            let opened = decode::open(&path, &DecodeLimits::default()).map_err(|error| error.to_string());
            // A recipe that cannot be read is no reason not to open the picture.
            let carried = metadata::read_recipe(&path).ok().flatten().filter(|text| !text.json.is_empty());
            let recipe = carried.map(|text| Recipe::from_json(&text.json).map_err(|error| error.to_string()));
            ctx.request_repaint();
            opened.map(|picture| Opened { picture, recipe })
        });
        self.files.opening = Some((name, task));
    }

    pub(super) fn ask_what_to_open(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(&self.files.dialogs), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Open, move || {
            let choice = dialogs.open_picture(folder.as_deref());
            ctx.request_repaint();
            Ok(choice)
        });
    }

    pub(super) fn ask_where_to_export(&mut self, ctx: &Context) {
        let Some(suggested) = self.suggested_name() else { return };
        let (dialogs, ctx) = (Arc::clone(&self.files.dialogs), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Export, move || {
            let kinds: [(&str, &[&str]); 3] = [("PNG", &["png"]), ("JPEG", &["jpg", "jpeg"]), ("WebP", &["webp"])];
            let choice = dialogs.save(folder.as_deref(), &suggested, &kinds);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    pub(super) fn dialogs(&self) -> &Arc<dyn FileDialogs> {
        &self.files.dialogs
    }

    pub(super) fn ask_for_file(
        &mut self,
        purpose: Purpose,
        show: impl FnOnce() -> Result<Choice, String> + Send + 'static,
    ) {
        // One dialog at a time; the one that is open has the person's attention.
        if self.files.asking.is_none() {
            self.files.asking = Some((purpose, Background::start("a file dialog", show)));
        }
    }

    fn suggested_name(&self) -> Option<String> {
        let document = self.document.as_ref()?;
        let stem = Path::new(document.name()).file_stem().map(|s| s.to_string_lossy().into_owned())?;
        Some(format!("{stem} - {}.png", document.shown().title.to_lowercase()))
    }

    /// Takes the answer to "which file?", from a dialog or typed.
    pub(super) fn answer(&mut self, ctx: &Context, purpose: Purpose, choice: Choice) {
        match (choice, purpose) {
            (Choice::Path(path), Purpose::Open) => self.open_path(ctx, path),
            (Choice::Path(path), Purpose::Export) => self.export_to(ctx, path),
            (Choice::Path(path), Purpose::Map) => self.export_map_to(ctx, &path),
            (Choice::Path(path), Purpose::Region) => self.region_from_file(ctx, path),
            (Choice::Path(path), Purpose::Backbone) => self.backbone_from(&path),
            (Choice::Path(path), Purpose::Basis) => self.basis_from(ctx, path),
            (Choice::Path(path), Purpose::Scene) => self.open_scene(ctx, path),
            (Choice::Path(path), Purpose::View) => self.export_view_to(ctx, path),
            (Choice::Path(path), Purpose::Vlm) => self.vlm_from(&path),
            (Choice::Path(path), Purpose::Conversation) => self.export_conversation_to(ctx, path),
            (Choice::Path(path), Purpose::Frames(frames)) => self.export_frames_to(ctx, frames, &path),
            (Choice::Path(path), Purpose::SaveScene) => self.save_scene_to(ctx, path),
            (Choice::Path(path), Purpose::Cameras) => self.cameras_from(ctx, path),
            (Choice::Path(path), Purpose::Features(what)) => self.export_features_to(ctx, what, &path),
            (Choice::Nothing, _) => {}
            (Choice::Unavailable, _) => {
                let begin = match purpose {
                    Purpose::Open
                    | Purpose::Region
                    | Purpose::Backbone
                    | Purpose::Basis
                    | Purpose::Scene
                    | Purpose::Vlm
                    | Purpose::Cameras => String::new(),
                    Purpose::Export
                    | Purpose::Map
                    | Purpose::View
                    | Purpose::Conversation
                    | Purpose::Frames(_)
                    | Purpose::SaveScene
                    | Purpose::Features(_) => {
                        let folder = self.settings.now.folder.clone().unwrap_or_default();
                        let name = match purpose {
                            Purpose::Map => self.suggested_map(),
                            Purpose::View => self.suggested_view(),
                            Purpose::Conversation => self.suggested_conversation(),
                            Purpose::Frames(frames) => self.suggested_frames(frames),
                            Purpose::SaveScene => self.suggested_scene(),
                            Purpose::Features(what) => self.suggested_features_name(what),
                            _ => self.suggested_name(),
                        };
                        folder.join(name.unwrap_or_default()).display().to_string()
                    }
                };
                self.files.typed = Some((purpose, begin));
            }
        }
    }

    /// Takes a typed path (quotes around it are forgiven).
    pub(super) fn answer_typed(&mut self, ctx: &Context, purpose: Purpose, text: &str) {
        self.answer(ctx, purpose, Choice::Path(paths::clean(text)));
    }

    fn export_to(&mut self, ctx: &Context, path: PathBuf) {
        let Some(document) = &self.document else { return };
        let picture = document.shown().picture.clone();
        let made = document.shown().made.as_ref().filter(|_| self.settings.now.recipe_in_files);
        let recipe = made.map(|made| made.recipe.to_text());
        let source = document.original().picture.path.clone();
        let ctx = ctx.clone();
        self.settings.now.folder = path.parent().map(Path::to_owned);
        self.files.exporting = Some(Background::start("export", move || {
            let options = SaveOptions { recipe, protected: source.into_iter().collect(), ..SaveOptions::default() };
            let saved = encode::save(&path, &picture.rgb, picture.alpha.as_deref(), &options);
            ctx.request_repaint();
            let saved = saved.map_err(|error| error.to_string())?;
            let first = format!("Exported {}", path.display());
            Ok(std::iter::once(first).chain(saved.notes).collect())
        }));
    }

    /// Something is written in the background; its sentences are told when it is done.
    pub(super) fn set_exporting(&mut self, task: Background<Vec<String>>) {
        self.files.exporting = Some(task);
    }

    fn suggested_map(&self) -> Option<String> {
        let (made, index) = (self.document_made()?, self.edit.inspection.pinned?);
        let one = made.contributions.get(index)?;
        let stem = Path::new(self.document.as_ref()?.name()).file_stem()?.to_string_lossy().into_owned();
        Some(format!("{stem} - instruction {} - {}.png", one.row + 1, self.edit.inspection.kind.name()))
    }

    pub(super) fn ask_where_to_export_the_map(&mut self, ctx: &Context) {
        let Some(suggested) = self.suggested_map() else { return };
        let (dialogs, ctx) = (Arc::clone(&self.files.dialogs), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Map, move || {
            let choice = dialogs.save(folder.as_deref(), &suggested, &[("PNG, with NPY beside it", &["png"])]);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    fn export_map_to(&mut self, ctx: &Context, path: &Path) {
        let Some((made, index)) = self.document_made().zip(self.edit.inspection.pinned) else { return };
        let Some(one) = made.contributions.get(index) else { return };
        let Some(document) = &self.document else { return };
        let values = Arc::clone(one.map(self.edit.inspection.kind));
        let source = Arc::clone(&document.shown().picture.rgb);
        let (plan, (width, height)) = (made.plan.clone(), made.grid);
        let (ctx, path) = (ctx.clone(), path.with_extension("png"));
        self.files.exporting = Some(Background::start("export a map", move || {
            let map = heatmap::Map { values: &values, width, height };
            let numbers = path.with_extension("npy");
            let saved = map.save_png(&path, &plan, &source).map_err(|error| error.to_string());
            let saved = saved.and_then(|()| {
                map.save_npy(&numbers).map_err(|error| format!("{} could not be written: {error}", numbers.display()))
            });
            ctx.request_repaint();
            saved?;
            Ok(vec![format!("Exported {}", path.display()), format!("The numbers are in {}.", numbers.display())])
        }));
    }

    pub(super) fn copy_picture(&mut self, ctx: &Context) {
        if let Some(document) = &self.document {
            let rgb = &document.shown().picture.rgb;
            let size = [rgb.width() as usize, rgb.height() as usize];
            ctx.copy_image(egui::ColorImage::from_rgb(size, rgb.as_raw()));
            self.notices.say(Level::Success, "Copied the picture");
        }
    }

    /// Looks what has come: dialogs' answers, opened and exported pictures, drops, pastes.
    pub(super) fn poll_files(&mut self, ctx: &Context) {
        if let Some((purpose, mut task)) = self.files.asking.take() {
            match task.take() {
                Some(Ok(choice)) => self.answer(ctx, purpose, choice),
                Some(Err(sentence)) => {
                    self.notices.explain(Level::Warning, "The file dialog failed", sentence);
                    self.answer(ctx, purpose, Choice::Unavailable);
                }
                None => self.files.asking = Some((purpose, task)),
            }
        }
        if let Some((name, mut task)) = self.files.opening.take() {
            match task.take() {
                Some(Ok(opened)) => self.opened(opened.picture, opened.recipe),
                Some(Err(sentence)) => {
                    self.notices.explain(Level::Error, format!("{name} could not be opened"), sentence);
                }
                None => self.files.opening = Some((name, task)),
            }
        }
        if let Some(done) = self.files.exporting.as_mut().and_then(Background::take) {
            self.files.exporting = None;
            match done {
                Ok(sentences) => {
                    let mut sentences = sentences.into_iter();
                    let headline = sentences.next().unwrap_or_default();
                    match sentences.collect::<Vec<_>>().join(" ") {
                        notes if notes.is_empty() => self.notices.say(Level::Success, headline),
                        notes => self.notices.explain(Level::Success, headline, notes),
                    }
                }
                Err(sentence) => self.notices.explain(Level::Error, "Nothing was exported", sentence),
            }
        }
        self.poll_earlier();
        self.dropped_and_pasted(ctx);
    }

    fn dropped_and_pasted(&mut self, ctx: &Context) {
        let dropped: Vec<PathBuf> =
            ctx.input(|i| i.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if let Some(path) = dropped.into_iter().next() {
            self.open_path(ctx, path);
        }
        let typing = ctx.text_edit_focused();
        for event in ctx.input(|i| i.events.clone()) {
            match event {
                Event::PasteImage(image) => {
                    let (w, h) = (image.size[0] as u32, image.size[1] as u32);
                    let raw: Vec<u8> =
                        image.pixels.iter().flat_map(|c| c.to_srgba_unmultiplied()[..3].to_vec()).collect();
                    if let Some(rgb) = image::RgbImage::from_raw(w, h, raw) {
                        self.opened(Picture::from_rgb("Pasted picture", rgb), None);
                    }
                }
                Event::Paste(text) if !typing => {
                    let path = paths::clean(&text);
                    if path.is_file() {
                        self.open_path(ctx, path);
                    }
                }
                _ => {}
            }
        }
    }

    fn opened(&mut self, picture: Picture, recipe: Option<Result<Recipe, String>>) {
        if let Some(path) = &picture.path {
            self.settings.now.remember(path);
        }
        if !picture.facts.notes.is_empty() {
            self.notices.explain(Level::Info, format!("Opened {}", picture.name), picture.facts.notes.join(". "));
        }
        let (draft, folder) = (self.fresh_draft(), self.keeper.new_folder(&picture.name));
        self.show_document(Document::new(picture, draft, folder));
        match recipe {
            Some(Ok(recipe)) => self.files.offer = Some(recipe),
            Some(Err(sentence)) => {
                self.notices.explain(Level::Info, "The recipe in this picture cannot be used", sentence);
            }
            None => {}
        }
    }

    /// The first picture: what was asked for, else work that a crash interrupted.
    pub(super) fn begin(&mut self, ctx: &Context, picture: Option<PathBuf>) {
        let note = crash::newest(&self.crash_notes)
            .map_or_else(String::new, |note| format!(" What happened is noted in {}.", note.display()));
        let interrupted = self.earlier_work().iter().find(|kept| kept.interrupted).cloned();
        match (picture, interrupted) {
            (Some(picture), kept) => {
                self.open_path(ctx, picture);
                if let Some(kept) = kept {
                    let words = format!("“Continue earlier work” brings back {} with its versions.{note}", kept.name);
                    self.notices.explain(Level::Info, "Glassbox ended unexpectedly the last time", words);
                }
            }
            (None, Some(kept)) => {
                self.notices.explain(
                    Level::Info,
                    format!("{} is back as it was", kept.name),
                    format!("Glassbox ended unexpectedly the last time. Every finished version was kept.{note}"),
                );
                self.continue_work(ctx, kept.folder);
            }
            (None, None) => {}
        }
    }

    /// Documents that can be continued.
    pub(super) fn earlier_work(&mut self) -> &[Kept] {
        let keeper = &self.keeper;
        self.files.earlier.get_or_insert_with(|| keeper.list())
    }

    /// Opens a kept document again.
    pub(super) fn continue_work(&mut self, ctx: &Context, folder: PathBuf) {
        self.files.earlier = None;
        let ctx = ctx.clone();
        self.files.restoring = Some(Background::start("bring back work", move || {
            let restored = session::restore(&folder);
            ctx.request_repaint();
            restored
        }));
    }

    fn poll_earlier(&mut self) {
        if let Some(restored) = self.files.restoring.as_mut().and_then(Background::take) {
            self.files.restoring = None;
            match restored {
                Ok((document, notes)) => {
                    if !notes.is_empty() {
                        self.notices.explain(Level::Warning, "Not everything could be brought back", notes.join(" "));
                    }
                    self.keeper.keep(&document);
                    self.show_document(document);
                }
                Err(sentence) => self.notices.explain(Level::Error, "This work could not be brought back", sentence),
            }
        }
        if let Some(used) = self.files.using.as_mut().and_then(Background::take) {
            self.files.using = None;
            match used {
                Ok((draft, editor)) => {
                    if let Some(document) = &mut self.document {
                        document.draft = draft;
                    }
                    let here = self.edit.workshop.look_up(&editor).is_ok();
                    let words = if here || editor.is_empty() {
                        "The panel is set up as the recipe says".to_owned()
                    } else {
                        format!("The panel is set up as the recipe says; its editor, {editor}, is not here")
                    };
                    self.notices.say(Level::Success, words);
                }
                Err(sentence) => self.notices.explain(Level::Error, "The recipe could not be used", sentence),
            }
        }
    }

    /// Sets the panel up as the offered recipe says.
    pub(super) fn use_offered_recipe(&mut self, ctx: &Context) {
        let (Some(recipe), Some(document)) = (self.files.offer.take(), &self.document) else { return };
        let (picture, ctx) = (document.original().picture.clone(), ctx.clone());
        self.files.using = Some(Background::start("use a recipe", move || {
            let request = recipe.request(picture).map_err(|error| error.to_string());
            ctx.request_repaint();
            Ok((Draft::from_request(&request?), recipe.model.name))
        }));
    }

    /// Asks whether to use the recipe that the picture carries.
    pub(super) fn recipe_offer(&mut self, ui: &egui::Ui, canvas: egui::Rect) {
        let Some(recipe) = &self.files.offer else { return };
        let p = palette(ui.ctx());
        let (mut wanted, mut declined) = (false, false);
        let wish = recipe.instruction.clone();
        egui::Area::new(egui::Id::unique("recipe offer"))
            .order(egui::Order::Middle)
            .fixed_pos(egui::pos2(canvas.center().x, canvas.top() + 12.0))
            .pivot(egui::Align2::CENTER_TOP)
            .show(ui.ctx(), |ui| {
                egui::Frame::new()
                    .fill(p.raised)
                    .stroke(p.outline())
                    .corner_radius(egui::CornerRadius::same(8))
                    .inner_margin(egui::Margin::symmetric(14, 10))
                    .show(ui, |ui| {
                        ui.set_max_width(380.0);
                        ui.label("This picture carries the recipe it was made with.");
                        hint(ui, format!("“{wish}”"));
                        ui.horizontal(|ui| {
                            wanted = TextButton::new("Use the recipe").primary().show(ui).clicked();
                            declined = TextButton::new("Only the picture").quiet().show(ui).clicked();
                        });
                    });
            });
        if wanted {
            self.use_offered_recipe(ui.ctx());
        } else if declined {
            self.files.offer = None;
        }
    }
}
