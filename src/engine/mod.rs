//! One inference thread, a queue before it, and the models that are loaded now.
//!
//! The window and the command line build a [`Job`], submit it and hold a [`Ticket`]: the job's
//! [`Monitor`] (progress, preview, cancellation) and the promise of its result. A job that panics or
//! runs out of memory fails alone; the thread, the queue and the other jobs live on.

mod error;
pub mod jobs;
pub mod memory;
mod models;
mod monitor;
mod queue;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use poll_promise::Promise;

pub use error::{JobError, bytes_in_words, in_words};
pub use models::ModelCache;
pub use monitor::{Bytes, JobState, Monitor, Snapshot, Waker};
pub use queue::{JobId, JobView};
use queue::{Queue, Waiting};

/// Work for the inference thread.
pub trait Job: Send + 'static {
    /// What it brings.
    type Output: Send + 'static;

    /// What the queue calls it: "Edit: make it feel like winter".
    fn title(&self) -> String;

    /// Does the work, reporting to `context.monitor` and stopping when that is cancelled.
    ///
    /// # Errors
    /// Anything; [`JobError`]s and [`crate::nets::watcher::Cancelled`] in the chain keep their kind.
    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<Self::Output>;
}

/// What a job may use while it runs.
#[derive(Debug)]
pub struct JobContext<'a> {
    /// The models that are loaded now.
    pub models: &'a mut ModelCache,
    /// Where it reports and learns of cancellation.
    pub monitor: &'a Monitor,
}

/// What the submitter holds of a job.
pub struct Ticket<T: Send + 'static> {
    /// Its name in the queue.
    pub id: JobId,
    /// Its progress, and the way to cancel it.
    pub monitor: Arc<Monitor>,
    /// Its result, when it is there.
    pub promise: Promise<Result<T, JobError>>,
}

impl<T: Send + 'static> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Ticket<T> {
    /// Waits for the result. For the command line and tests; never on the UI thread.
    ///
    /// # Errors
    /// The job's [`JobError`].
    pub fn wait(self) -> Result<T, JobError> {
        self.promise.block_and_take()
    }
}

/// The inference thread and its queue. Dropping it cancels what runs and waits for the thread.
#[derive(Debug)]
pub struct Engine {
    queue: Arc<Queue>,
    budget: u64,
    model_bytes: Arc<AtomicU64>,
    waker: WakerSlot,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct WakerSlot(Waker);

impl std::fmt::Debug for WakerSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WakerSlot")
    }
}

/// Memory for loaded models when the person has not chosen: half of the machine's, 2 GB if unknown.
#[must_use]
pub fn default_budget() -> u64 {
    memory::total().map_or(2_000_000_000, |total| total / 2)
}

impl Engine {
    /// Starts the thread. `budget`: bytes that loaded models may take together; `waker` is called after every change.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(budget: u64, waker: Waker) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let served = Arc::clone(&queue);
        let mut models = ModelCache::new(budget);
        let model_bytes = models.held();
        let thread = std::thread::Builder::new().name("inference".to_owned()).spawn(move || {
            while let Some(next) = served.next() {
                (next.work)(&mut models);
                served.finished(next.id);
            }
        })?;
        Ok(Self { queue, budget, model_bytes, waker: WakerSlot(waker), thread: Some(thread) })
    }

    /// Puts a job at the end of the queue.
    pub fn submit<J: Job>(&self, job: J) -> Ticket<J::Output> {
        let monitor = Arc::new(Monitor::new(Arc::clone(&self.waker.0)));
        let (sender, promise) = Promise::new();
        let title = job.title();
        let watched = Arc::clone(&monitor);
        let work = Box::new(move |models: &mut ModelCache| {
            let outcome = run_contained(job, models, &watched);
            let state = match &outcome {
                Ok(_) => JobState::Done,
                Err(JobError::Cancelled | JobError::Closing) => JobState::Cancelled,
                Err(_) => JobState::Failed,
            };
            // The result first: who sees `Done` finds it there.
            sender.send(outcome);
            watched.set_state(state);
        });
        let id = self.queue.add(|id| Waiting { id, title, monitor: Arc::clone(&monitor), work });
        (self.waker.0)();
        Ticket { id, monitor, promise }
    }

    /// The running job, then the waiting ones in order.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        self.queue.jobs()
    }

    /// Bytes of the models that are loaded now.
    #[must_use]
    pub fn model_bytes(&self) -> u64 {
        self.model_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that loaded models may take together.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Moves a waiting job to `place` among the waiting (0: next). Does nothing to a job that runs or has ended.
    pub fn reorder(&self, id: JobId, place: usize) {
        self.queue.reorder(id, place);
        (self.waker.0)();
    }

    /// Cancels one job, waiting or running; the others are untouched.
    pub fn cancel(&self, id: JobId) {
        self.queue.cancel(|job| job == id);
        (self.waker.0)();
    }

    /// Cancels the running job and every waiting one.
    pub fn cancel_all(&self) {
        self.queue.cancel(|_| true);
        (self.waker.0)();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the inference thread ended with a panic outside any job");
        }
    }
}

/// Runs one job so that neither a panic nor an error of it reaches the thread.
fn run_contained<J: Job>(job: J, models: &mut ModelCache, monitor: &Monitor) -> Result<J::Output, JobError> {
    if monitor.is_cancelled() {
        return Err(JobError::Cancelled);
    }
    monitor.set_state(JobState::Running);
    let ran = catch_unwind(AssertUnwindSafe(|| job.run(&mut JobContext { models, monitor })));
    let outcome = match ran {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(JobError::from_anyhow(&error)),
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Err(JobError::Panicked { message })
        }
    };
    if matches!(outcome, Err(JobError::OutOfMemory { .. } | JobError::Panicked { .. })) {
        models.clear();
    }
    outcome
}

#[cfg(test)]
mod tests;
