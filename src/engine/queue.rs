//! The queue before the inference thread: jobs in order, waiting ones movable, each one cancellable alone.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{ModelCache, Monitor};

/// A job's name, unique within one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(u64);

/// One job as the queue panel shows it.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its name.
    pub id: JobId,
    /// What it calls itself.
    pub title: String,
    /// Its progress.
    pub monitor: Arc<Monitor>,
}

pub(super) struct Waiting {
    pub(super) id: JobId,
    pub(super) title: String,
    pub(super) monitor: Arc<Monitor>,
    /// Runs the job and delivers its result; a cancelled job only delivers.
    pub(super) work: Box<dyn FnOnce(&mut ModelCache) + Send>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    waiting: VecDeque<Waiting>,
    running: Option<JobView>,
    closed: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("jobs", &self.jobs().len()).finish_non_exhaustive()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, make: impl FnOnce(JobId) -> Waiting) -> JobId {
        let mut state = self.state();
        state.last_id += 1;
        let id = JobId(state.last_id);
        state.waiting.push_back(make(id));
        self.changed.notify_one();
        id
    }

    /// Waits for the next job; `None` once the queue is closed and empty.
    pub(super) fn next(&self) -> Option<Waiting> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                state.running =
                    Some(JobView { id: job.id, title: job.title.clone(), monitor: Arc::clone(&job.monitor) });
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn finished(&self, id: JobId) {
        let mut state = self.state();
        if state.running.as_ref().is_some_and(|job| job.id == id) {
            state.running = None;
        }
    }

    pub(super) fn jobs(&self) -> Vec<JobView> {
        let state = self.state();
        let waiting = state.waiting.iter().filter(|job| !job.monitor.is_cancelled());
        let views = waiting.map(|w| JobView { id: w.id, title: w.title.clone(), monitor: Arc::clone(&w.monitor) });
        state.running.iter().cloned().chain(views).collect()
    }

    pub(super) fn reorder(&self, id: JobId, place: usize) {
        let mut state = self.state();
        if let Some(at) = state.waiting.iter().position(|job| job.id == id)
            && let Some(job) = state.waiting.remove(at)
        {
            let place = place.min(state.waiting.len());
            state.waiting.insert(place, job);
        }
    }

    /// Marks jobs cancelled. A waiting one delivers "cancelled" ahead of everything that still waits.
    pub(super) fn cancel(&self, which: impl Fn(JobId) -> bool) {
        let mut state = self.state();
        let jobs = std::mem::take(&mut state.waiting);
        let (cancelled, kept): (VecDeque<_>, VecDeque<_>) = jobs.into_iter().partition(|job| which(job.id));
        let monitors: Vec<_> = state
            .running
            .iter()
            .filter(|job| which(job.id))
            .map(|job| Arc::clone(&job.monitor))
            .chain(cancelled.iter().map(|job| Arc::clone(&job.monitor)))
            .collect();
        state.waiting = cancelled;
        state.waiting.extend(kept);
        drop(state);
        for monitor in monitors {
            monitor.cancel();
        }
    }

    pub(super) fn close(&self) {
        self.cancel(|_| true);
        self.state().closed = true;
        self.changed.notify_all();
    }
}
