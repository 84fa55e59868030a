//! Questions on the inference thread: the model and what a conversation shares opened through the cache, words and where
//! they were read from streamed to whoever listens.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use crate::ask::AskError;
use crate::ask::conversation::Turn;
use crate::ask::dual_resolution::PictureView;
use crate::ask::generate::{AskObserver, Conversation, Question, fingerprint};
use crate::ask::model::{Vlm, VlmFacts, WeightBits, describe};
use crate::ask::record::{Answer, TokenRecord};
use crate::ask::settings::AskSettings;
use crate::engine::{Job, JobContext, JobError, Monitor, memory};
use crate::nets::watcher::Watcher;
use crate::ops::device::{Compute, DeviceChoice, Precision};
use crate::packs::PackError;
use crate::packs::llava::LlavaFolder;
use crate::packs::manifest::Role;
use crate::packs::store::Store;
use crate::trace::Trace;

/// Which model answers, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AskChoice {
    /// What the person calls it: a pack's or model's name, or a folder.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Where it runs.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
    /// How the decoder's matrices are kept.
    pub weights: WeightBits,
}

impl AskChoice {
    /// The model that `name` (a pack, a model or a folder) means on this machine.
    ///
    /// # Errors
    /// If there is no such model here, in one sentence.
    pub fn find(
        store: &Store,
        name: &str,
        device: DeviceChoice,
        precision: Precision,
        weights: WeightBits,
    ) -> Result<Self, PackError> {
        let found = store.find(name, Role::Vlm)?;
        Ok(Self { name: name.to_owned(), path: found.path, device, precision, weights })
    }

    /// What it is, from its files' headers. Reads a few kilobytes; pickles are converted the first time, so not for the UI
    /// thread.
    ///
    /// # Errors
    /// One sentence: what is missing or of another kind.
    pub fn describe(&self) -> Result<VlmFacts, PackError> {
        describe(&LlavaFolder::open(&self.path)?)
    }

    fn key(&self) -> String {
        format!("vlm {} {:?} {:?} {:?}", self.path.display(), self.device, self.precision, self.weights)
    }
}

/// Ends an answer after the token that is being made, and keeps what came. Clones share one switch.
#[derive(Clone, Debug, Default)]
pub struct StopSwitch(Arc<AtomicBool>);

impl StopSwitch {
    /// Ends the answer.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody ended it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What comes while a question is answered.
#[derive(Clone, Debug)]
pub enum AskEvent {
    /// What the model saw of the picture.
    Seen(PictureView),
    /// A token of the answer.
    Token(Arc<TokenRecord>),
}

/// A question about a picture.
#[derive(Clone, Debug)]
pub struct AskJob {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// Who answers.
    pub model: AskChoice,
    /// Earlier questions about the same picture with their answers; what they share is kept between jobs.
    pub turns: Vec<Turn>,
    /// What is asked.
    pub question: String,
    /// How it is answered.
    pub settings: AskSettings,
    /// Where tokens are sent as they come.
    pub events: Option<Sender<AskEvent>>,
    /// Ends the answer and keeps it.
    pub stop: StopSwitch,
    /// Keeps the intermediate tensors.
    pub trace: bool,
}

impl AskJob {
    /// A first question with everything else as usual.
    #[must_use]
    pub fn new(picture: Arc<RgbImage>, model: AskChoice, question: impl Into<String>) -> Self {
        Self {
            picture,
            model,
            turns: Vec::new(),
            question: question.into(),
            settings: AskSettings::default(),
            events: None,
            stop: StopSwitch::default(),
            trace: false,
        }
    }
}

/// What a question brings.
#[derive(Debug)]
pub struct AskResult {
    /// The answer.
    pub answer: Arc<Answer>,
    /// The intermediate tensors, if they were asked for.
    pub trace: Trace,
}

/// The monitor with the stream of tokens.
struct Streaming<'a> {
    monitor: &'a Monitor,
    events: Option<&'a Sender<AskEvent>>,
    stop: &'a StopSwitch,
}

impl Streaming<'_> {
    fn send(&self, event: AskEvent) {
        if let Some(events) = self.events {
            // Whoever has stopped listening does not want it.
            let _ = events.send(event);
        }
    }
}

impl Watcher for Streaming<'_> {
    fn checkpoint(&self) -> candle_core::Result<()> {
        self.monitor.checkpoint()
    }
}

impl AskObserver for Streaming<'_> {
    fn stage(&self, name: &str, steps: usize) {
        self.monitor.stage(name, steps);
    }

    fn step(&self, done: usize) {
        self.monitor.step(done);
    }

    fn seen(&self, view: &PictureView) {
        self.send(AskEvent::Seen(view.clone()));
    }

    fn token(&self, token: &Arc<TokenRecord>) {
        self.send(AskEvent::Token(Arc::clone(token)));
        self.monitor.text(&token.text);
    }

    fn stopped(&self) -> bool {
        self.stop.is_stopped()
    }
}

impl Job for AskJob {
    type Output = AskResult;

    fn title(&self) -> String {
        format!("Ask: {}", self.question.trim())
    }

    /// The monitor's text is the answer so far.
    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<AskResult> {
        let compute = Compute::open(self.model.device, self.model.precision)?;
        let vlm = load(&self.model, &compute, context)?;
        let key = {
            let hash = fingerprint(&self.picture, &self.settings.region);
            let name = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>();
            format!("conversation {name} {}", self.model.key())
        };
        let shared = context
            .models
            .get_or_load(&key, vlm.conversation_bytes(), || Ok::<_, AskError>(Mutex::new(Conversation::new())));
        let shared = shared.map_err(in_job_terms)?;
        let mut conversation = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let observer = Streaming { monitor: context.monitor, events: self.events.as_ref(), stop: &self.stop };
        let mut trace = if self.trace { Trace::collecting() } else { Trace::default() };
        let question = Question { turns: self.turns, text: self.question, settings: self.settings };
        let answer = conversation.ask(&vlm, &self.picture, &question, &mut trace, &observer).map_err(in_job_terms)?;
        Ok(AskResult { answer: Arc::new(answer), trace })
    }
}

/// Opens the model unless it is open already.
fn load(choice: &AskChoice, compute: &Compute, context: &mut JobContext<'_>) -> anyhow::Result<Arc<Vlm>> {
    let key = choice.key();
    let mut folder = None;
    let mut bytes = 0;
    if !context.models.holds(&key) {
        context.monitor.stage("Opening the model", 0);
        let opened = LlavaFolder::open(&choice.path)?;
        bytes = describe(&opened)?.bytes(compute, choice.weights);
        let available = memory::available().map(|free| free + context.models.bytes());
        if let Some(available) = available.filter(|available| compute.device.is_cpu() && bytes > *available) {
            let what = format!("the model {}", choice.name);
            let advice = match choice.weights {
                WeightBits::Full => "Close other programs, or keep the weights in 8 or 4 bits.",
                WeightBits::Eight => "Close other programs, or keep the weights in 4 bits.",
                WeightBits::Four => "Close other programs, or choose a smaller model.",
            };
            let advice = advice.to_owned();
            return Err(JobError::OutOfMemory { what, needed: bytes, available, advice }.into());
        }
        folder = Some(opened);
    }
    let loaded = context.models.get_or_load(&key, bytes, || {
        let folder = match folder {
            Some(folder) => folder,
            None => LlavaFolder::open(&choice.path)?,
        };
        Vlm::load(&folder, compute, choice.weights)
    });
    Ok(loaded?)
}

/// The lens's errors as the engine's, where it has a kind for them.
fn in_job_terms(error: AskError) -> anyhow::Error {
    match error {
        AskError::Tensor(error) => error.into(),
        AskError::Cancelled(cancelled) => cancelled.into(),
        other => other.into(),
    }
}
