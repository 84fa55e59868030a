//! Another answer to the same question, about this version or another, in another mode or about another part: both pictures
//! with their maps side by side.

use std::sync::Arc;

use egui::{Popup, Ui};

use super::exchange::Exchange;
use super::{AskLens, Part};
use crate::app::Glassbox;
use crate::app::document::{Version, VersionId};
use crate::app::icons::Icon;
use crate::app::widgets::buttons::TextButton;
use crate::app::widgets::picture_view::PictureTexture;

/// Which answer is held beside the chosen one.
#[derive(Default)]
pub(super) struct Beside {
    id: Option<u64>,
    /// Its picture on the canvas where both are about one version.
    twin: Option<(VersionId, PictureTexture)>,
}

impl Beside {
    pub(super) fn leave(&mut self) {
        *self = Self::default();
    }
}

/// What is drawn at the left of the canvas, and what both sides are called.
pub(in crate::app) struct SideBySide {
    pub(in crate::app) left: Version,
    pub(in crate::app) left_name: String,
    pub(in crate::app) right_name: String,
}

impl AskLens {
    /// The answer beside the chosen one, if both are there.
    pub(super) fn beside(&self) -> Option<u64> {
        self.chosen()?.answer()?;
        let id = self.beside.id?;
        self.get(id)?.answer().map(|_| id)
    }

    /// Other answers to the question of the chosen one.
    fn like_the_chosen(&self) -> Vec<u64> {
        let Some(chosen) = self.chosen().map(|exchange| &exchange.about) else { return Vec::new() };
        let same = |exchange: &&Exchange| {
            let about = &exchange.about;
            about.id != chosen.id && about.question == chosen.question && exchange.answer().is_some()
        };
        self.exchanges.iter().filter(same).map(|exchange| exchange.about.id).collect()
    }
}

/// What tells an answer from others to its question: "Flex · Original".
fn differs(exchange: &Exchange) -> String {
    let about = &exchange.about;
    let mut words = vec![super::panel::title(about.attention).to_owned()];
    words.extend(about.part.words().map(str::to_owned));
    words.push(exchange.title.clone());
    words.join(" · ")
}

impl Glassbox {
    /// What the canvas shows in two halves, if an answer is held beside the chosen one, which is about the shown version.
    pub(in crate::app) fn answers_side_by_side(&self) -> Option<SideBySide> {
        let document = self.document.as_ref().filter(|_| self.ask_is_open())?;
        let (chosen, other) = (self.ask.chosen()?, self.ask.get(self.ask.beside()?)?);
        if chosen.about.version != document.standing.shown {
            return None;
        }
        let name = |exchange: &Exchange| {
            let answer = exchange.answer().map_or("", |answer| answer.text.trim());
            format!("{}: {answer}", differs(exchange))
        };
        let left = document.version(other.about.version).clone();
        Some(SideBySide { left, left_name: name(other), right_name: name(chosen) })
    }

    /// The picture of the left half, where the right one shows the same version.
    pub(in crate::app) fn take_twin(&mut self, ui: &Ui, version: &Version) -> PictureTexture {
        let kept = self.ask.beside.twin.take().filter(|(of, _)| *of == version.id);
        let new = || PictureTexture::new(ui.ctx(), Arc::clone(&version.picture.rgb));
        kept.map_or_else(new, |(_, texture)| texture)
    }

    /// Gives it back after it was drawn.
    pub(in crate::app) fn give_twin(&mut self, version: VersionId, texture: PictureTexture) {
        self.ask.beside.twin = Some((version, texture));
    }

    /// The way to hold another answer beside the chosen one.
    pub(super) fn beside_menu(&mut self, ui: &mut Ui) {
        let others = self.ask.like_the_chosen();
        let now = self.ask.beside();
        let Some(document) = &self.document else { return };
        // The same question about the version that the canvas compares with.
        let standing = document.standing;
        let elsewhere = self.ask.chosen().and_then(|exchange| {
            let about = &exchange.about;
            let id = if about.version == standing.shown { standing.compared } else { standing.shown };
            let asked = others.iter().filter_map(|id| self.ask.get(*id)).any(|other| other.about.version == id);
            (id != about.version && about.part == Part::Whole && about.checks.is_none() && !asked)
                .then(|| document.version(id).clone())
        });
        if others.is_empty() && elsewhere.is_none() {
            return;
        }
        let title = match now.and_then(|id| self.ask.get(id)) {
            Some(other) => format!("Beside {}", differs(other)),
            None => "Side by side".to_owned(),
        };
        let width = ui.available_width() - 60.0;
        let title = crate::app::widgets::buttons::fitting(ui, &title, width);
        let button = TextButton::new(&title).icon(Icon::SideBySide).quiet().show(ui);
        let button = button.accessible_name("Side by side with another answer");
        let button = button.on_hover_text("Both pictures with their maps: other modes, other versions");
        let (mut wish, mut ask) = (None, false);
        let idle = !self.ask.is_working();
        Popup::menu(&button).show(|ui| {
            ui.set_min_width(240.0);
            for id in &others {
                let Some(other) = self.ask.get(*id) else { continue };
                if ui.selectable_label(now == Some(*id), differs(other)).clicked() {
                    wish = Some(Some(*id));
                }
            }
            if let Some(version) = &elsewhere {
                let words = format!("Ask it of {} too", version.title);
                ask = ui.add_enabled(idle, egui::Button::new(words)).clicked();
            }
            if now.is_some() {
                ui.separator();
                if ui.button("This answer alone").clicked() {
                    wish = Some(None);
                }
            }
            if wish.is_some() || ask {
                ui.close();
            }
        });
        if let Some(id) = wish {
            self.ask.beside.id = id;
        }
        if ask && let Some(version) = elsewhere {
            self.ask_of_another(ui.ctx(), &version);
        }
    }

    /// Asks the chosen question about another version; the answer comes to stand beside the chosen one.
    fn ask_of_another(&mut self, ctx: &egui::Context, version: &Version) {
        let Some(about) = self.ask.chosen().map(|exchange| exchange.about.clone()) else { return };
        let how = super::asking::How {
            attention: about.attention,
            part: Part::Whole,
            region: None,
            turns: Vec::new(),
            checks: None,
        };
        self.ask.beside.id = self.put_question(ctx, version, about.question, how);
    }
}
