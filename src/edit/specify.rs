//! Specification: from a vague wish to concrete instructions (spec/sane.md section 1.2).
//!
//! Whoever proposes (a language model, an endpoint) only writes text; [`Specifier::specify`] asks, reads the answer
//! by the reply policy, asks again when too few instructions came, and gives up without failing the edit:
//! the person can always write the instructions by hand.

use super::language::endpoint::EndpointError;
use super::reply::{self, Dropped, ReplyError, ReplyRules};
use crate::nets::watcher::{Cancelled, Watcher};

/// How many instructions the method works with by default.
pub const DEFAULT_COUNT: usize = 3;

/// The most instructions that may be asked for at once.
pub const MAX_COUNT: usize = 6;

/// The seed of a proposal unless another is chosen (spec/sane.md section 1.2).
pub const DEFAULT_SEED: u64 = 42;

/// How often a model is asked again when it gave fewer instructions than wanted.
const RETRIES: u64 = 2;

/// What is to be specified.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecifyRequest {
    /// What the picture shows; may be empty when nobody described it.
    pub caption: String,
    /// The vague wish.
    pub wish: String,
    /// How many instructions, 1 to [`MAX_COUNT`].
    pub count: usize,
    /// Instructions that must not be proposed (again): the other lines when one is regenerated.
    pub avoid: Vec<String>,
    /// The same seed gives the same proposal from the same local model.
    pub seed: u64,
    /// How freely the model chooses its words: 0 always takes the likeliest.
    pub temperature: f64,
}

impl SpecifyRequest {
    /// A request with the defaults of the method: [`DEFAULT_COUNT`] instructions, [`DEFAULT_SEED`], temperature 1.
    #[must_use]
    pub fn new(caption: impl Into<String>, wish: impl Into<String>) -> Self {
        Self {
            caption: caption.into(),
            wish: wish.into(),
            count: DEFAULT_COUNT,
            avoid: Vec::new(),
            seed: DEFAULT_SEED,
            temperature: 1.0,
        }
    }
}

/// A proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specification {
    /// The instructions, at most as many as asked for; empty means: edit with the wish alone.
    pub instructions: Vec<String>,
    /// Lines that were left out on the way, and why.
    pub dropped: Vec<Dropped>,
    /// A sentence for the person when there are fewer instructions than asked for.
    pub notice: Option<String>,
    /// How often the model was asked.
    pub attempts: usize,
}

/// Why there is no proposal.
#[derive(Debug, thiserror::Error)]
pub enum SpecifyError {
    /// The person stopped it.
    #[error("cancelled")]
    Cancelled,
    /// There is no wish to specify.
    #[error("there is no instruction to specify: say what you wish for the picture")]
    EmptyWish,
    /// More or fewer instructions than possible.
    #[error("between 1 and {MAX_COUNT} instructions can be asked for, not {0}")]
    Count(usize),
    /// The local model failed.
    #[error("the language model failed: {0}")]
    Model(String),
    /// The server that the person named failed.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl From<candle_core::Error> for SpecifyError {
    fn from(error: candle_core::Error) -> Self {
        if is_cancelled(&error) { Self::Cancelled } else { Self::Model(plain(&error)) }
    }
}

/// Whether a forward pass ended because the person stopped it.
#[must_use]
pub fn is_cancelled(error: &candle_core::Error) -> bool {
    match error {
        candle_core::Error::Wrapped(inner) => inner.to_string() == Cancelled.to_string(),
        candle_core::Error::WithBacktrace { inner, .. } | candle_core::Error::Context { inner, .. } => {
            is_cancelled(inner)
        }
        _ => false,
    }
}

/// A candle error without its backtrace, on one line.
#[must_use]
pub fn plain(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => plain(inner),
        other => other.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Something that can be asked for instructions and answers in text.
pub trait Replier: Send {
    /// Answers a request. `attempt` counts from 0; a repeated attempt should answer differently.
    ///
    /// `on_text` is shown the answer piece by piece as it comes.
    ///
    /// # Errors
    /// When it was stopped, or cannot answer.
    fn reply(
        &mut self,
        request: &SpecifyRequest,
        attempt: u64,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, SpecifyError>;
}

/// Something that proposes instructions for a wish.
pub trait Specifier: Send {
    /// Proposes instructions. `on_text` is shown what the model writes, piece by piece; between two attempts it gets a
    /// line break.
    ///
    /// # Errors
    /// When it was stopped, the request makes no sense, or the model cannot be asked. A model that was asked and
    /// answered nothing of use is no error: the proposal is then empty and says so.
    fn specify(
        &mut self,
        request: &SpecifyRequest,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<Specification, SpecifyError>;
}

impl<R: Replier> Specifier for R {
    fn specify(
        &mut self,
        request: &SpecifyRequest,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<Specification, SpecifyError> {
        if request.wish.trim().is_empty() {
            return Err(SpecifyError::EmptyWish);
        }
        if !(1..=MAX_COUNT).contains(&request.count) {
            return Err(SpecifyError::Count(request.count));
        }
        let mut proposal = Specification::default();
        let mut refused = None;
        for attempt in 0..=RETRIES {
            watcher.checkpoint()?;
            if attempt > 0 {
                on_text("\n");
            }
            let missing = request.count - proposal.instructions.len();
            let avoid = request.avoid.iter().chain(&proposal.instructions).cloned().collect::<Vec<_>>();
            let rest = SpecifyRequest { count: missing, avoid, ..request.clone() };
            let text = match self.reply(&rest, attempt, on_text, watcher) {
                Ok(text) => text,
                // What came before a failure is not thrown away.
                Err(error) if !proposal.instructions.is_empty() && !matches!(error, SpecifyError::Cancelled) => {
                    tracing::warn!("asking for more instructions failed: {error}");
                    break;
                }
                Err(error) => return Err(error),
            };
            proposal.attempts += 1;
            let rules =
                ReplyRules { count: missing, wish: &request.wish, caption: &request.caption, avoid: &rest.avoid };
            match reply::parse(&text, &rules) {
                Ok(reply) => {
                    proposal.instructions.extend(reply.instructions);
                    proposal.dropped.extend(reply.dropped);
                }
                Err(ReplyError::NothingUsable(dropped)) => {
                    refused = Some(ReplyError::NothingUsable(dropped.clone()));
                    proposal.dropped.extend(dropped);
                }
                Err(ReplyError::Empty) => refused = refused.or(Some(ReplyError::Empty)),
            }
            if proposal.instructions.len() == request.count {
                break;
            }
        }
        proposal.notice = notice(proposal.instructions.len(), request.count, refused.as_ref());
        Ok(proposal)
    }
}

/// What the person is told about a proposal that is too short.
fn notice(found: usize, wanted: usize, refused: Option<&ReplyError>) -> Option<String> {
    match (found, refused) {
        (found, _) if found == wanted => None,
        (0, Some(refused)) => Some(format!(
            "No instructions: {refused}. The edit will follow your wish alone; you can write instructions by hand."
        )),
        (0, None) => Some(
            "No instructions. The edit will follow your wish alone; you can write instructions by hand.".to_owned(),
        ),
        (found, _) => {
            Some(format!("The language model proposed {found} of {wanted} instructions; you can add more by hand."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Replier, Specifier, SpecifyError, SpecifyRequest, is_cancelled};
    use crate::nets::watcher::{Cancelled, Unwatched, Watcher};

    /// Answers from a list, then with nothing.
    struct Scripted(Vec<&'static str>);

    impl Replier for Scripted {
        fn reply(
            &mut self,
            _: &SpecifyRequest,
            _: u64,
            on_text: &mut dyn FnMut(&str),
            _: &dyn Watcher,
        ) -> Result<String, SpecifyError> {
            let text = if self.0.is_empty() { "" } else { self.0.remove(0) };
            on_text(text);
            Ok(text.to_owned())
        }
    }

    fn ask(answers: &[&'static str]) -> (super::Specification, String) {
        let mut shown = String::new();
        let request = SpecifyRequest::new("a dog on the grass", "make it look funny");
        let proposal =
            Scripted(answers.to_vec()).specify(&request, &mut |text| shown.push_str(text), &Unwatched).unwrap();
        (proposal, shown)
    }

    #[test]
    fn one_good_answer_is_enough() {
        let (proposal, shown) =
            ask(&["1. put a hat on the dog\n2. paint the grass pink\n3. give the dog glasses", "never"]);
        assert_eq!(proposal.instructions, ["put a hat on the dog", "paint the grass pink", "give the dog glasses"]);
        assert_eq!((proposal.attempts, proposal.notice), (1, None));
        assert!(shown.starts_with("1. put a hat"));
    }

    #[test]
    fn too_few_are_asked_for_again_and_completed() {
        let (proposal, _) =
            ask(&["put a hat on the dog", "PUT a hat on the dog\npaint the grass pink", "give the dog glasses"]);
        assert_eq!(proposal.instructions, ["put a hat on the dog", "paint the grass pink", "give the dog glasses"]);
        assert_eq!((proposal.attempts, proposal.notice), (3, None));
    }

    #[test]
    fn what_is_left_after_two_retries_is_used_with_a_notice() {
        let (proposal, _) = ask(&["put a hat on the dog"]);
        assert_eq!(proposal.instructions, ["put a hat on the dog"]);
        assert_eq!(proposal.attempts, 3);
        assert!(proposal.notice.unwrap().contains("1 of 3"));
    }

    #[test]
    fn nothing_at_all_means_plain_editing_with_a_notice() {
        let (proposal, _) = ask(&["remove the dog", "", "delete the grass"]);
        assert!(proposal.instructions.is_empty());
        assert_eq!(proposal.dropped.len(), 2);
        assert!(proposal.notice.unwrap().contains("your wish alone"));
    }

    #[test]
    fn requests_without_sense_are_refused_before_asking() {
        let mut model = Scripted(vec!["never"]);
        let mut ask = |request: SpecifyRequest| model.specify(&request, &mut |_| {}, &Unwatched);
        assert!(matches!(ask(SpecifyRequest::new("a dog", "  ")), Err(SpecifyError::EmptyWish)));
        for count in [0, 7] {
            let request = SpecifyRequest { count, ..SpecifyRequest::new("a dog", "funny") };
            assert!(matches!(ask(request), Err(SpecifyError::Count(refused)) if refused == count));
        }
    }

    #[test]
    fn a_stopped_run_is_told_from_a_failed_one() {
        let stopped = Cancelled.into_candle();
        assert!(is_cancelled(&stopped) && is_cancelled(&stopped.context("layer 3")));
        assert!(!is_cancelled(&candle_core::Error::msg("no such tensor")));

        struct Stopped;
        impl Watcher for Stopped {
            fn checkpoint(&self) -> candle_core::Result<()> {
                Err(Cancelled.into_candle())
            }
        }
        let request = SpecifyRequest::new("a dog", "funny");
        let outcome = Scripted(vec!["never"]).specify(&request, &mut |_| {}, &Stopped);
        assert!(matches!(outcome, Err(SpecifyError::Cancelled)));
    }
}
