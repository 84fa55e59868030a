//! A conversation as Markdown, with the map of every answer as a picture beside it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::Context;
use image::RgbImage;

use super::answer_panel::cost_in_words;
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::opening::Purpose;
use crate::ask::heatmap::{AnswerMap, MapKind, MapRange};
use crate::ask::record::Answer;
use crate::picture::atomic;

/// What is written of one answer.
struct Part {
    question: String,
    about: String,
    answer: Arc<Answer>,
    rgb: Arc<RgbImage>,
}

/// The Markdown text and the pictures it names, each with its map.
fn written(title: &str, parts: &[Part], stem: &str) -> (String, Vec<(String, AnswerMap, usize)>) {
    let mut text = format!("# Questions about {title}\n");
    let mut pictures = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let answer = &part.answer;
        text.push_str(&format!("\n**{}** ({})\n\n{}\n", part.question.trim(), part.about, answer.text.trim()));
        let all = MapRange::default();
        let attention = MapKind::Attention { head: None, without_sinks: false };
        let read = AnswerMap::of(answer, MapKind::Read, &all).map(|map| (map, "Regions read at high resolution"));
        let map = read.or_else(|| AnswerMap::of(answer, attention, &all).map(|map| (map, "Attention on the picture")));
        if let Some((map, caption)) = map {
            let name = format!("{stem} {}.png", index + 1);
            text.push_str(&format!("\n![{caption}](<{name}>)\n"));
            pictures.push((name, map, index));
        }
        for line in cost_in_words(&answer.cost) {
            text.push_str(&format!("- {line}\n"));
        }
    }
    (text, pictures)
}

impl Glassbox {
    /// The name of the Markdown file.
    pub(in crate::app) fn suggested_conversation(&self) -> Option<String> {
        let name = self.document.as_ref()?.name();
        let stem = Path::new(name).file_stem()?.to_string_lossy().into_owned();
        Some(format!("{stem} - questions.md"))
    }

    pub(in crate::app) fn ask_where_to_export_the_conversation(&mut self, ctx: &Context) {
        let Some(suggested) = self.suggested_conversation() else { return };
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Conversation, move || {
            let choice = dialogs.save(folder.as_deref(), &suggested, &[("Markdown", &["md"])]);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// Whether there is an answer to write down.
    pub(in crate::app) fn can_export_the_conversation(&self) -> bool {
        self.ask_is_open() && self.ask.exchanges.iter().any(|exchange| exchange.answer().is_some())
    }

    pub(in crate::app) fn export_conversation_to(&mut self, ctx: &Context, path: PathBuf) {
        let Some(title) = self.document.as_ref().map(|document| document.name().to_owned()) else { return };
        let parts: Vec<Part> = self
            .ask
            .exchanges
            .iter()
            .filter_map(|exchange| {
                let about =
                    [Some(exchange.about.attention.name()), exchange.about.part.words(), Some(exchange.title.as_str())];
                Some(Part {
                    question: exchange.about.question.clone(),
                    about: about.into_iter().flatten().collect::<Vec<_>>().join(", "),
                    answer: Arc::clone(exchange.answer()?),
                    rgb: Arc::clone(&exchange.rgb),
                })
            })
            .collect();
        let ctx = ctx.clone();
        self.set_exporting(Background::start("export a conversation", move || {
            let done = write(&title, &parts, &path);
            ctx.request_repaint();
            done.map(|pictures| vec![format!("Exported {} and {pictures} pictures", path.display())])
        }));
    }
}

/// Writes pictures and text; how many pictures.
fn write(title: &str, parts: &[Part], path: &Path) -> Result<usize, String> {
    let stem = path.file_stem().map_or_else(|| "questions".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    let (text, pictures) = written(title, parts, &stem);
    for (name, map, index) in &pictures {
        let part = &parts[*index];
        map.save_png(&folder.join(name), &part.answer.view, &part.rgb).map_err(|error| error.to_string())?;
    }
    let filled = atomic::write(path, |file| file.write_all(text.as_bytes()));
    filled.map_err(|error| format!("{} could not be written: {error}", path.display()))?;
    Ok(pictures.len())
}
