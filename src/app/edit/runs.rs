//! Runs that were submitted: what they were asked, how far they are, what came of them.

use std::path::PathBuf;
use std::sync::Arc;

use poll_promise::Promise;

use super::draft::Draft;
use super::made::How;
use crate::app::document::VersionId;
use crate::edit::pipeline::EditOutcome;
use crate::edit::recipe::Recipe;
use crate::engine::{JobError, JobId, Monitor, Ticket};

/// What a finished run becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// A version of the picture.
    Version(How),
    /// A cell of the grid of seeds.
    Cell(usize),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Done(Option<VersionId>),
    Cancelled,
    Failed(String),
}

type Brought = Result<(EditOutcome, Recipe), JobError>;

/// One edit that was submitted.
pub(crate) struct Run {
    pub(crate) id: JobId,
    /// The document it belongs to, by its folder.
    pub(crate) document: PathBuf,
    pub(crate) base: VersionId,
    /// What was on the canvas when it was submitted.
    pub(crate) shown: VersionId,
    pub(crate) title: String,
    pub(crate) draft: Draft,
    pub(crate) editor: String,
    pub(crate) aim: Aim,
    pub(crate) monitor: Arc<Monitor>,
    promise: Option<Promise<Brought>>,
    pub(crate) ended: Option<Ended>,
}

/// What is needed to submit a run besides the engine.
pub(crate) struct Order {
    pub(crate) document: PathBuf,
    pub(crate) base: VersionId,
    pub(crate) shown: VersionId,
    pub(crate) title: String,
    pub(crate) draft: Draft,
    pub(crate) editor: String,
    pub(crate) aim: Aim,
}

/// All runs, oldest first; ended ones stay in sight for a while.
#[derive(Default)]
pub(crate) struct Runs {
    list: Vec<Run>,
}

/// Ended runs that stay in the list.
const KEPT: usize = 8;

impl Runs {
    pub(crate) fn add(&mut self, order: Order, ticket: Ticket<(EditOutcome, Recipe)>) {
        let Order { document, base, shown, title, draft, editor, aim } = order;
        let Ticket { id, monitor, promise } = ticket;
        self.list.push(Run {
            id,
            document,
            base,
            shown,
            title,
            draft,
            editor,
            aim,
            monitor,
            promise: Some(promise),
            ended: None,
        });
    }

    pub(crate) fn all(&self) -> &[Run] {
        &self.list
    }

    /// Runs that have not ended.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Run> {
        self.list.iter().filter(|run| run.ended.is_none())
    }

    /// Takes what has come: places in the list with what the jobs brought. The caller sets how they ended.
    pub(crate) fn take(&mut self) -> Vec<(JobId, Brought)> {
        let mut come = Vec::new();
        for run in &mut self.list {
            if let Some(promise) = run.promise.take() {
                match promise.try_take() {
                    Ok(result) => come.push((run.id, result)),
                    Err(promise) => run.promise = Some(promise),
                }
            }
        }
        come
    }

    pub(crate) fn get(&self, id: JobId) -> Option<&Run> {
        self.list.iter().find(|run| run.id == id)
    }

    pub(crate) fn end(&mut self, id: JobId, ended: Ended) {
        if let Some(run) = self.list.iter_mut().find(|run| run.id == id) {
            run.ended = Some(ended);
        }
        let ended = self.list.iter().filter(|run| run.ended.is_some()).count();
        for _ in KEPT..ended {
            if let Some(oldest) = self.list.iter().position(|run| run.ended.is_some()) {
                self.list.remove(oldest);
            }
        }
    }

    /// Takes an ended run out of the list.
    pub(crate) fn dismiss(&mut self, id: JobId) {
        self.list.retain(|run| run.id != id || run.ended.is_none());
    }

    /// Takes all ended runs out of the list.
    pub(crate) fn dismiss_ended(&mut self) {
        self.list.retain(|run| run.ended.is_none());
    }
}
