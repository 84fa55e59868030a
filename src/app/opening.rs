//! Pictures in and out: dialogs, dropped and pasted pictures, a typed path, export. All of it on threads of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Context, Event};

use super::Glassbox;
use super::background::Background;
use super::dialogs::{Choice, FileDialogs};
use super::document::Document;
use super::notices::Level;
use crate::picture::encode::{self, SaveOptions};
use crate::picture::limits::DecodeLimits;
use crate::picture::{Picture, decode, paths};

/// What is under way between the window and the disk.
pub(super) struct Files {
    dialogs: Arc<dyn FileDialogs>,
    asking: Option<(Purpose, Background<Choice>)>,
    opening: Option<(String, Background<Picture>)>,
    exporting: Option<Background<Vec<String>>>,
    /// Where there is no dialog: the path is typed.
    pub(super) typed: Option<(Purpose, String)>,
}

/// What a path is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Open,
    Export,
}

impl Files {
    pub(super) fn new(dialogs: Arc<dyn FileDialogs>) -> Self {
        Self { dialogs, asking: None, opening: None, exporting: None, typed: None }
    }

    pub(super) fn asks_for_a_path(&self) -> bool {
        self.typed.is_some()
    }

    /// What is going on, for the status line.
    pub(super) fn busy(&self) -> Option<String> {
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
        let ctx = ctx.clone();
        let name = file_name(&path);
        let task = Background::start("open a picture", move || {
            let opened = decode::open(&path, &DecodeLimits::default()).map_err(|error| error.to_string());
            ctx.request_repaint();
            opened
        });
        self.files.opening = Some((name, task));
    }

    pub(super) fn ask_what_to_open(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(&self.files.dialogs), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask(Purpose::Open, move || {
            let choice = dialogs.open_picture(folder.as_deref());
            ctx.request_repaint();
            Ok(choice)
        });
    }

    pub(super) fn ask_where_to_export(&mut self, ctx: &Context) {
        let Some(suggested) = self.suggested_name() else { return };
        let (dialogs, ctx) = (Arc::clone(&self.files.dialogs), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask(Purpose::Export, move || {
            let kinds: [(&str, &[&str]); 3] = [("PNG", &["png"]), ("JPEG", &["jpg", "jpeg"]), ("WebP", &["webp"])];
            let choice = dialogs.save(folder.as_deref(), &suggested, &kinds);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    fn ask(&mut self, purpose: Purpose, show: impl FnOnce() -> Result<Choice, String> + Send + 'static) {
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
            (Choice::Nothing, _) => {}
            (Choice::Unavailable, _) => {
                let begin = match purpose {
                    Purpose::Open => String::new(),
                    Purpose::Export => {
                        let folder = self.settings.now.folder.clone().unwrap_or_default();
                        folder.join(self.suggested_name().unwrap_or_default()).display().to_string()
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
        let source = document.original().picture.path.clone();
        let ctx = ctx.clone();
        self.settings.now.folder = path.parent().map(Path::to_owned);
        self.files.exporting = Some(Background::start("export", move || {
            let options = SaveOptions { protected: source.into_iter().collect(), ..SaveOptions::default() };
            let saved = encode::save(&path, &picture.rgb, picture.alpha.as_deref(), &options);
            ctx.request_repaint();
            let saved = saved.map_err(|error| error.to_string())?;
            let first = format!("Exported {}", path.display());
            Ok(std::iter::once(first).chain(saved.notes).collect())
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
                Some(Ok(picture)) => self.opened(picture),
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
                        self.opened(Picture::from_rgb("Pasted picture", rgb));
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

    fn opened(&mut self, picture: Picture) {
        if let Some(path) = &picture.path {
            self.settings.now.remember(path);
        }
        if !picture.facts.notes.is_empty() {
            self.notices.explain(Level::Info, format!("Opened {}", picture.name), picture.facts.notes.join(". "));
        }
        self.show_document(Document::new(picture));
    }
}
