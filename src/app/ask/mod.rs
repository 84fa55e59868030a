//! The Ask lens: questions about the open picture, and for every word of an answer the regions that were read for it.
//!
//! `settings` is what is kept between runs, `models` which models there are, `exchange` a question with its answer as far
//! as it has come; `asking` sends questions to the inference thread and takes answers, `overlay` draws maps over the
//! picture, `beside` another answer to the same question, `crops` what was read at its own resolution, `panel` has the conversation and `answer_panel` what an answer
//! shows of itself; `check` asks about every instruction of an edit, `export` writes a conversation down.

mod answer_panel;
mod asking;
mod beside;
mod check;
mod crops;
mod exchange;
mod export;
mod models;
mod overlay;
mod panel;
pub(super) mod settings;

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use egui::TextureHandle;

pub(super) use exchange::Part;
use exchange::{Exchange, State};
use models::VlmList;

use super::Glassbox;
use super::document::Document;
use super::edit::work::Workshop;
use crate::ask::heatmap::{AnswerMap, MapKind, MapRange};
use crate::engine::{Engine, Snapshot};
use settings::{AskChoices, Look};

/// What a map depends on: the answer, what is shown, of which tokens and layer, and whose largest value counts.
type MapKey = (u64, MapKind, Option<Range<usize>>, Option<usize>, bool);

/// A map, and the value that its colours run to.
type Made = (Arc<AnswerMap>, f32);

/// The state of the Ask lens.
pub(crate) struct AskLens {
    models: VlmList,
    /// What is being written.
    question: String,
    focus: bool,
    exchanges: Vec<Exchange>,
    next: u64,
    /// The exchange whose answer is looked into.
    chosen: Option<u64>,
    /// The tokens of the word that is looked at; all of them if `None`.
    word: Option<Range<usize>>,
    /// One layer alone.
    layer: Option<usize>,
    /// One head alone.
    head: Option<usize>,
    /// Questions begin a conversation of their own from this exchange on.
    fresh: u64,
    /// The exchange that is held beside the chosen one.
    beside: beside::Beside,
    /// The maps that were made last: canvas and panel ask for them several times a frame.
    made: RefCell<Vec<(MapKey, Option<Made>)>>,
    /// Of the chosen answer, and of the one beside it.
    textures: [Option<(overlay::Key, TextureHandle)>; 2],
    crops: crops::Crops,
}

impl AskLens {
    /// Models came or went.
    pub(super) fn models_changed(&mut self) {
        self.models.read_again();
    }

    pub(super) fn new(workshop: Arc<dyn Workshop>) -> Self {
        Self {
            models: VlmList::new(workshop),
            question: String::new(),
            focus: true,
            exchanges: Vec::new(),
            next: 1,
            chosen: None,
            word: None,
            layer: None,
            head: None,
            fresh: 0,
            beside: beside::Beside::default(),
            made: RefCell::default(),
            textures: [None, None],
            crops: crops::Crops::default(),
        }
    }

    /// Forgets what was about the document before, and shows what was asked of this one.
    pub(super) fn show_new_document(&mut self, engine: &Engine, document: Option<&Document>) {
        for exchange in &self.exchanges {
            if let State::Coming(coming) = &exchange.state {
                coming.cancel(engine);
            }
        }
        // What was asked of it before is there again.
        let again = |document: &Document| -> Vec<Exchange> {
            document.asked.iter().map(|one| Exchange::of(one, document.version(one.about.version))).collect()
        };
        self.exchanges = document.map(again).unwrap_or_default();
        self.next = self.exchanges.iter().map(|exchange| exchange.about.id + 1).fold(self.next, u64::max);
        self.fresh = self.exchanges.iter().map(|exchange| exchange.about.conversation).max().unwrap_or(self.next);
        self.choose(None);
        self.crops.clear();
    }

    /// The field is to have the keyboard.
    pub(super) fn wait_for_a_question(&mut self) {
        self.focus = true;
    }

    /// Whether there is any model to ask.
    pub(super) fn has_models(&self, choices: &AskChoices) -> bool {
        !self.models.list(&choices.folders).is_empty()
    }

    fn get(&self, id: u64) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.about.id == id)
    }

    fn chosen(&self) -> Option<&Exchange> {
        self.get(self.chosen?)
    }

    fn choose(&mut self, id: Option<u64>) {
        if self.chosen != id {
            (self.chosen, self.word, self.layer, self.head) = (id, None, None, None);
            self.beside.leave();
        }
    }

    fn coming(&self) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| matches!(exchange.state, State::Coming(_)))
    }

    pub(super) fn is_working(&self) -> bool {
        self.coming().is_some()
    }

    /// What the lens is at, for the status line.
    pub(super) fn now_running(&self) -> Option<(String, Snapshot)> {
        let State::Coming(coming) = &self.coming()?.state else { return None };
        let snapshot = coming.snapshot();
        Some((snapshot.stage.clone(), snapshot))
    }

    /// What the map over the picture shows.
    fn kind(&self, choices: &AskChoices) -> MapKind {
        match choices.look {
            Look::Read => MapKind::Read,
            Look::Selected => MapKind::Selected,
            Look::Attention => MapKind::Attention { head: self.head, without_sinks: choices.without_sinks },
        }
    }

    fn range(&self) -> MapRange {
        MapRange { tokens: self.word.clone(), layers: self.layers() }
    }

    fn layers(&self) -> Option<Range<usize>> {
        self.layer.map(|layer| layer..layer + 1)
    }

    /// The map of the chosen answer, and the value that its colours run to.
    fn map(&self, choices: &AskChoices) -> Option<Made> {
        self.map_of(self.chosen?, self.word.clone(), choices)
    }

    /// The map of an answer's tokens, all of them if `None`.
    fn map_of(&self, id: u64, word: Option<Range<usize>>, choices: &AskChoices) -> Option<Made> {
        self.get(id)?.answer()?;
        let key = (id, self.kind(choices), word, self.layer, choices.normalised);
        let mut made = self.made.borrow_mut();
        if let Some((_, map)) = made.iter().find(|(known, _)| *known == key) {
            return map.clone();
        }
        let map = self.make_map(id, key.2.clone(), choices);
        // Two answers may be side by side.
        made.truncate(1);
        made.insert(0, (key, map.clone()));
        map
    }

    fn make_map(&self, id: u64, tokens: Option<Range<usize>>, choices: &AskChoices) -> Option<Made> {
        let answer = self.get(id)?.answer()?;
        let kind = self.kind(choices);
        let map = AnswerMap::of(answer, kind, &MapRange { tokens, layers: self.layers() })?;
        let top = if choices.normalised {
            map.largest()
        } else {
            // One scale for all words and layers.
            let layers = answer.tokens.first().map_or(0, |token| token.layers.len());
            let one = |token: usize, layer: usize| {
                let range = MapRange { tokens: Some(token..token + 1), layers: Some(layer..layer + 1) };
                AnswerMap::of(answer, kind, &range).map_or(0.0, |map| map.largest())
            };
            let all = (0..answer.tokens.len()).flat_map(|token| (0..layers).map(move |layer| (token, layer)));
            if map.cells { 1.0 } else { all.map(|(token, layer)| one(token, layer)).fold(0.0, f32::max) }
        };
        Some((Arc::new(map), top))
    }
}

impl Glassbox {
    pub(super) fn ask_is_open(&self) -> bool {
        self.settings.now.lens == super::lens::LensKind::Ask && self.document.is_some()
    }

    /// What the model saw of the picture, for the status line.
    pub(super) fn ask_status(&self, ui: &mut egui::Ui) {
        let view = self.ask.chosen().and_then(|exchange| match &exchange.state {
            State::Here(answer) => Some((answer.view.clone(), Some(answer))),
            State::Coming(coming) => coming.view.clone().map(|view| (view, None)),
            State::Failed(_) => None,
        });
        let Some((view, answer)) = view else { return };
        let mut words = view.resolution();
        if let Some(answer) = answer.filter(|answer| answer.cost.high_tokens > 0) {
            words.push_str(&format!(", {:.0} of {} tokens", answer.cost.mean_high_read(), answer.cost.high_tokens));
        }
        super::widgets::buttons::hint(ui, words).on_hover_text(
            "What the model saw of the picture, and how many of its high-resolution tokens a layer read",
        );
    }
}
