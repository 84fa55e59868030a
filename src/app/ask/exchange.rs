//! A question with its answer, as far as it has come.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::app::document::{Asked, AskedAbout, Version};
use crate::ask::conversation::Turn;
use crate::ask::dual_resolution::PictureView;
use crate::ask::record::{Answer, TokenRecord};
use crate::engine::jobs::ask::{AskEvent, AskResult, StopSwitch};
use crate::engine::{Engine, JobError, Snapshot, Ticket};

/// An answer on its way.
pub(super) struct Coming {
    ticket: Ticket<AskResult>,
    stop: StopSwitch,
    events: Receiver<AskEvent>,
    pub(super) view: Option<PictureView>,
    pub(super) tokens: Vec<Arc<TokenRecord>>,
}

/// How far it is.
pub(super) enum State {
    Coming(Box<Coming>),
    Here(Arc<Answer>),
    /// One sentence.
    Failed(String),
}

/// Which part of the picture a question is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    #[default]
    Whole,
    /// What was read before is filled with grey.
    Without,
    /// What was read before is cut out and enlarged.
    Only,
}

impl Part {
    /// Behind the question.
    pub(super) fn words(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Without => Some("without the region"),
            Self::Only => Some("only the region"),
        }
    }
}

/// A question with its answer.
pub(super) struct Exchange {
    pub(super) about: AskedAbout,
    /// What its version is called.
    pub(super) title: String,
    pub(super) rgb: Arc<RgbImage>,
    pub(super) state: State,
}

impl Coming {
    pub(super) fn new(ticket: Ticket<AskResult>, stop: StopSwitch, events: Receiver<AskEvent>) -> Self {
        Self { ticket, stop, events, view: None, tokens: Vec::new() }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.ticket.monitor.snapshot()
    }

    /// The answer so far.
    pub(super) fn text(&self) -> String {
        self.tokens.iter().map(|token| token.text.as_str()).collect()
    }

    /// Ends it: what has come is kept, or all of it given up where nothing has.
    pub(super) fn end(&self, engine: &Engine) {
        self.stop.stop();
        if self.tokens.is_empty() {
            engine.cancel(self.ticket.id);
        }
    }

    /// Gives it up.
    pub(super) fn cancel(&self, engine: &Engine) {
        engine.cancel(self.ticket.id);
    }
}

impl Exchange {
    /// One of a document that was opened again.
    pub(super) fn of(asked: &Asked, version: &Version) -> Self {
        Self {
            about: asked.about.clone(),
            title: version.title.clone(),
            rgb: Arc::clone(&version.picture.rgb),
            state: State::Here(Arc::clone(&asked.answer)),
        }
    }

    /// As it is kept with the document, if it was answered.
    pub(super) fn asked(&self) -> Option<Asked> {
        Some(Asked { about: self.about.clone(), answer: Arc::clone(self.answer()?) })
    }

    pub(super) fn answer(&self) -> Option<&Arc<Answer>> {
        if let State::Here(answer) = &self.state { Some(answer) } else { None }
    }

    /// As an earlier turn of a conversation.
    pub(super) fn turn(&self) -> Option<Turn> {
        let answer = self.answer()?;
        Some(Turn { question: self.about.question.clone(), answer: answer.text.trim().to_owned() })
    }

    /// Takes what has come; whether the answer became complete just now.
    pub(super) fn poll(&mut self) -> bool {
        let State::Coming(coming) = &mut self.state else { return false };
        while let Ok(event) = coming.events.try_recv() {
            match event {
                AskEvent::Seen(view) => coming.view = Some(view),
                AskEvent::Token(token) => coming.tokens.push(token),
            }
        }
        let state = match coming.ticket.promise.ready() {
            None => return false,
            Some(Ok(result)) => State::Here(Arc::clone(&result.answer)),
            Some(Err(JobError::Cancelled)) => State::Failed("Stopped before anything was answered.".to_owned()),
            Some(Err(error)) => State::Failed(crate::app::notices::as_sentence(&error.to_string())),
        };
        self.state = state;
        true
    }
}
