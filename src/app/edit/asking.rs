//! What the language model is asked for now, and what it has written so far.

use std::path::PathBuf;
use std::sync::Arc;

use poll_promise::Promise;

use super::work::Suggestion;
use crate::engine::{JobError, JobId, Monitor, Ticket};

/// What is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Only the caption.
    Caption,
    /// A whole proposal.
    All,
    /// Other words for the row of that id.
    One(u64),
}

/// A question that has been put.
pub(crate) struct Asking {
    pub(crate) wanted: Wanted,
    pub(crate) document: PathBuf,
    pub(crate) id: JobId,
    pub(crate) monitor: Arc<Monitor>,
    promise: Option<Promise<Result<Suggestion, JobError>>>,
}

impl Asking {
    pub(crate) fn new(wanted: Wanted, document: PathBuf, ticket: Ticket<Suggestion>) -> Self {
        let Ticket { id, monitor, promise } = ticket;
        Self { wanted, document, id, monitor, promise: Some(promise) }
    }

    /// The answer, once, when it is there.
    pub(crate) fn take(&mut self) -> Option<Result<Suggestion, JobError>> {
        match self.promise.take()?.try_take() {
            Ok(answer) => Some(answer),
            Err(promise) => {
                self.promise = Some(promise);
                None
            }
        }
    }

    /// The lines written so far, without the marks of lists.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.monitor.snapshot().text;
        let bare = |line: &str| {
            let marks = |c: char| c.is_whitespace() || c.is_ascii_digit() || matches!(c, '.' | ')' | '-' | '*' | '•');
            line.trim_start_matches(marks).trim().to_owned()
        };
        text.lines().map(bare).filter(|line| !line.is_empty()).collect()
    }
}
