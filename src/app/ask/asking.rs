//! Questions to the inference thread, and answers from it.

use std::sync::{Arc, mpsc};

use egui::Context;

use super::exchange::{Coming, Exchange, Part, State};
use crate::app::Glassbox;
use crate::app::document::{AskedAbout, Version};
use crate::app::mask::Mask;
use crate::app::notices::Level;
use crate::ask::conversation::Turn;
use crate::ask::settings::{AttentionMode, RegionUse};
use crate::engine::jobs::ask::{AskChoice, AskJob, StopSwitch};
use crate::picture::region::Region;

/// What is asked beside the words.
pub(super) struct How {
    pub(super) attention: AttentionMode,
    pub(super) part: Part,
    /// What `part` is about.
    pub(super) region: Option<Region>,
    /// Earlier turns come with it.
    pub(super) turns: Vec<Turn>,
    pub(super) checks: Option<(usize, bool)>,
}

impl Glassbox {
    /// Earlier questions of the conversation about the shown version.
    pub(super) fn turns_so_far(&self) -> Vec<Turn> {
        let (Some(document), Some(model)) = (&self.document, self.vlm_name()) else { return Vec::new() };
        let shown = document.shown().id;
        let counts = |exchange: &&Exchange| {
            let whole = exchange.about.part == Part::Whole && exchange.about.checks.is_none();
            exchange.about.id >= self.ask.fresh
                && exchange.about.version == shown
                && exchange.about.model == model
                && whole
        };
        self.ask.exchanges.iter().filter(counts).filter_map(Exchange::turn).collect()
    }

    /// Why a question cannot be asked now, in one sentence.
    pub(super) fn cannot_ask(&mut self, ctx: &Context) -> Option<String> {
        let Some(name) = self.vlm_name() else {
            return Some("Choose a model that answers questions in the bar above.".to_owned());
        };
        match self.ask.models.know(ctx, &name) {
            None => Some("Looking at the model's files…".to_owned()),
            Some(Err(fault)) => Some(crate::app::notices::as_sentence(&fault)),
            Some(Ok(_)) => None,
        }
    }

    /// Asks what is written in the field.
    pub(in crate::app) fn ask_the_question(&mut self, ctx: &Context) {
        let question = self.ask.question.trim().to_owned();
        if question.is_empty() || self.ask.is_working() || self.cannot_ask(ctx).is_some() {
            return;
        }
        let Some(version) = self.document.as_ref().map(|document| document.shown().clone()) else { return };
        let how = How {
            attention: self.settings.now.ask.attention,
            part: Part::Whole,
            region: None,
            turns: self.turns_so_far(),
            checks: None,
        };
        self.ask.question.clear();
        let id = self.put_question(ctx, &version, question, how);
        self.ask.choose(id);
    }

    /// Sends a question about a version; its number.
    pub(super) fn put_question(&mut self, ctx: &Context, version: &Version, question: String, how: How) -> Option<u64> {
        let name = self.vlm_name()?;
        let Some(Ok(known)) = self.ask.models.know(ctx, &name) else { return None };
        let now = &self.settings.now;
        let model = AskChoice {
            name: name.clone(),
            path: known.path.clone(),
            device: now.device,
            precision: now.precision,
            weights: now.ask.weights,
        };
        let region = match (how.part, how.region) {
            (Part::Without, Some(region)) => RegionUse::Without(region),
            (Part::Only, Some(region)) => RegionUse::Only(region),
            _ => RegionUse::Everything,
        };
        let (send, events) = mpsc::channel();
        let stop = StopSwitch::default();
        let rgb = Arc::clone(&version.picture.rgb);
        let job = AskJob {
            turns: how.turns,
            settings: now.ask.of(how.attention, region),
            events: Some(send),
            stop: stop.clone(),
            ..AskJob::new(Arc::clone(&rgb), model, question.clone())
        };
        let ticket = self.engine.submit(job);
        let id = self.ask.next;
        self.ask.next += 1;
        self.ask.exchanges.push(Exchange {
            about: AskedAbout {
                id,
                question,
                version: version.id,
                model: name,
                attention: how.attention,
                part: how.part,
                checks: how.checks,
                conversation: self.ask.fresh,
            },
            title: version.title.clone(),
            rgb,
            state: State::Coming(Box::new(Coming::new(ticket, stop, events))),
        });
        Some(id)
    }

    /// Asks the chosen question once more: in another mode, or about a part of the picture.
    pub(super) fn ask_again(&mut self, ctx: &Context, attention: AttentionMode, part: Part) {
        let Some(before) = self.ask.chosen() else { return };
        let (question, version, id) = (before.about.question.clone(), before.about.version, before.about.id);
        let region = (part != Part::Whole).then(|| self.region_that_was_read().map(|mask| mask.to_region())).flatten();
        if part != Part::Whole && region.is_none() {
            return;
        }
        // The same conversation up to this question, so that answers can be compared.
        let counts = |exchange: &&Exchange| {
            exchange.about.id < id
                && exchange.about.id >= self.ask.fresh
                && exchange.about.version == version
                && exchange.about.part == Part::Whole
                && exchange.about.checks.is_none()
        };
        let turns = if part == Part::Whole {
            self.ask.exchanges.iter().filter(counts).filter_map(Exchange::turn).collect()
        } else {
            Vec::new()
        };
        let Some(version) = self.document.as_ref().map(|document| document.version(version).clone()) else { return };
        let id = self.put_question(ctx, &version, question, How { attention, part, region, turns, checks: None });
        self.ask.choose(id);
    }

    /// The cells that the map shows strongest, as a region of the picture.
    pub(super) fn region_that_was_read(&self) -> Option<Mask> {
        let answer = self.ask.chosen()?.answer()?;
        let (map, _) = self.ask.map(&self.settings.now.ask)?;
        let (width, height) = answer.view.source;
        let mut mask = Mask::new((width, height));
        let on = |x: f32, y: f32| egui::pos2((x / width as f32).clamp(0.0, 1.0), (y / height as f32).clamp(0.0, 1.0));
        for (index, value) in map.top(map.values.len()) {
            // What is at least half as strong as the strongest.
            if value < 0.5 * map.largest() {
                break;
            }
            let place = map.place(&answer.view, index);
            mask.rectangle(on(place.x, place.y), on(place.x + place.width, place.y + place.height), true);
        }
        (!mask.is_empty()).then_some(mask)
    }

    /// Keeps what was read as a named region of the picture, for the Edit lens.
    pub(super) fn keep_what_was_read(&mut self) {
        let Some(mask) = self.region_that_was_read() else { return };
        let answer = self.ask.chosen().and_then(Exchange::answer).map(|answer| answer.text.trim().to_owned());
        let words: String = answer.unwrap_or_default().chars().take(24).collect();
        let Some(document) = &mut self.document else { return };
        let name = document.keep_region(&format!("read for “{words}”"), mask);
        self.notices.explain(
            Level::Success,
            format!("Kept the region {name}"),
            "The Edit lens offers it for every instruction.",
        );
    }

    /// Shows the lens with the field ready.
    pub(in crate::app) fn write_a_question(&mut self) {
        self.show_lens(crate::app::lens::LensKind::Ask);
        self.ask.focus = true;
    }

    /// Ends the answer that is coming and keeps what there is.
    pub(in crate::app) fn stop_answering(&mut self) {
        for exchange in &self.ask.exchanges {
            if let State::Coming(coming) = &exchange.state {
                coming.end(&self.engine);
            }
        }
    }

    /// Takes what has come.
    pub(in crate::app) fn poll_ask(&mut self, ctx: &Context) {
        let mut ended = false;
        for exchange in &mut self.ask.exchanges {
            if exchange.poll() {
                ended = true;
                if let (Some(document), Some(asked)) = (&mut self.document, exchange.asked()) {
                    document.asked.push(asked);
                }
            }
        }
        if ended {
            self.keep_now();
            ctx.request_repaint();
        }
    }

    /// Removes an exchange from the conversation.
    pub(super) fn forget_exchange(&mut self, id: u64) {
        if let Some(State::Coming(coming)) = self.ask.get(id).map(|exchange| &exchange.state) {
            coming.cancel(&self.engine);
        }
        self.ask.exchanges.retain(|exchange| exchange.about.id != id);
        if self.ask.chosen == Some(id) {
            self.ask.choose(None);
        }
        if let Some(document) = &mut self.document {
            document.asked.retain(|asked| asked.about.id != id);
        }
        self.keep_now();
    }
}
