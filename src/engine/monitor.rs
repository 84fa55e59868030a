//! What a running job shows the outside, and how the outside stops it.
//!
//! A [`Monitor`] is shared between the inference thread, which writes, and the window or command line,
//! which read a [`Snapshot`] whenever they draw. It is also the [`Watcher`] that networks check between blocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use image::RgbImage;

use crate::nets::watcher::{Cancelled, Watcher};

/// Where a job is in its life. Only `Done` has a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// In the queue.
    Waiting,
    /// On the inference thread.
    Running,
    /// Stopped on purpose, before or while it ran.
    Cancelled,
    /// Ended with an error.
    Failed,
    /// Ended with a result.
    Done,
}

/// What a job shows at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where it is in its life.
    pub state: JobState,
    /// What it is doing: "Opening the editor", "Denoising".
    pub stage: String,
    /// Steps of this stage that are done.
    pub step: usize,
    /// Steps of this stage in all; 0 while unknown.
    pub steps: usize,
    /// Time since it started running.
    pub elapsed: Duration,
    /// Time a step takes, once one is done.
    pub per_step: Option<Duration>,
    /// Time this stage still needs, by the steps so far.
    pub remaining: Option<Duration>,
    /// The estimated result so far, small.
    pub preview: Option<Arc<RgbImage>>,
    /// Text that streams in (captions, proposals).
    pub text: String,
    /// Bytes instead of steps, in stages that move files.
    pub bytes: Option<Bytes>,
}

/// How far a stage that moves files is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes a second of late, once that can be told.
    pub rate: Option<f64>,
}

impl Bytes {
    /// Time until all are there, at the rate of late.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let rate = self.rate.filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(self.total.saturating_sub(self.done) as f64 / rate).ok()
    }
}

/// Over how long the rate of bytes is measured at least.
const RATE_SPAN: Duration = Duration::from_millis(500);

/// After so long without a byte (a pause), measuring begins anew.
const RATE_GAP: Duration = Duration::from_secs(5);

/// How often at most somebody is woken because bytes came.
const WAKE_SPAN: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Written {
    state: JobState,
    stage: String,
    step: usize,
    steps: usize,
    started: Option<Instant>,
    stage_started: Option<Instant>,
    /// When the last step was done.
    stepped: Option<Instant>,
    ended: Option<Instant>,
    preview: Option<Arc<RgbImage>>,
    text: String,
    bytes: Option<Bytes>,
    /// When the measuring of the rate began, and the bytes that were there then.
    rate_since: Option<(Instant, u64)>,
    bytes_woke: Option<Instant>,
}

/// Wakes whoever shows the job (a window's repaint request); called after every visible change.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The shared side of a job: progress out, cancellation in.
pub struct Monitor {
    cancelled: AtomicBool,
    written: Mutex<Written>,
    waker: Waker,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

impl Monitor {
    /// A monitor of a job that waits.
    #[must_use]
    pub fn new(waker: Waker) -> Self {
        let written = Written {
            state: JobState::Waiting,
            stage: "Waiting".to_owned(),
            step: 0,
            steps: 0,
            started: None,
            stage_started: None,
            stepped: None,
            ended: None,
            preview: None,
            text: String::new(),
            bytes: None,
            rate_since: None,
            bytes_woke: None,
        };
        Self { cancelled: AtomicBool::new(false), written: Mutex::new(written), waker }
    }

    /// A monitor nobody looks at, for direct calls and tests.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(Arc::new(|| {}))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.written());
        (self.waker)();
    }

    /// Asks the job to stop at its next checkpoint.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        (self.waker)();
    }

    /// Whether somebody asked the job to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// An error if somebody asked the job to stop.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// Begins a stage of `steps` steps (0: unknown).
    pub fn stage(&self, name: impl Into<String>, steps: usize) {
        let name = name.into();
        self.change(|w| {
            w.stage = name;
            w.step = 0;
            w.steps = steps;
            w.stage_started = Some(Instant::now());
            w.stepped = None;
            w.bytes = None;
            w.rate_since = None;
        });
    }

    /// `done` of `total` bytes of the stage are there.
    pub fn bytes(&self, done: u64, total: u64) {
        let now = Instant::now();
        let mut w = self.written();
        let mut rate = w.bytes.and_then(|bytes| bytes.rate);
        match w.rate_since {
            Some((since, before)) if done >= before && now.saturating_duration_since(since) < RATE_GAP => {
                let span = now.saturating_duration_since(since);
                if span >= RATE_SPAN {
                    let latest = (done - before) as f64 / span.as_secs_f64();
                    rate = Some(rate.map_or(latest, |rate| 0.7 * rate + 0.3 * latest));
                    w.rate_since = Some((now, done));
                }
            }
            _ => w.rate_since = Some((now, done)),
        }
        w.bytes = Some(Bytes { done, total, rate });
        let wakes = done == total || w.bytes_woke.is_none_or(|last| now.saturating_duration_since(last) >= WAKE_SPAN);
        if wakes {
            w.bytes_woke = Some(now);
        }
        drop(w);
        if wakes {
            (self.waker)();
        }
    }

    /// `done` steps of the stage are done.
    pub fn step(&self, done: usize) {
        self.change(|w| {
            w.step = done;
            w.stepped = Some(Instant::now());
        });
    }

    /// Shows the estimated result so far.
    pub fn preview(&self, picture: RgbImage) {
        self.change(|w| w.preview = Some(Arc::new(picture)));
    }

    /// Appends streamed text.
    pub fn text(&self, piece: &str) {
        self.change(|w| w.text.push_str(piece));
    }

    /// Moves the job to another state of its life; the engine alone does this.
    pub(super) fn set_state(&self, state: JobState) {
        self.change(|w| {
            w.state = state;
            match state {
                JobState::Running => w.started = Some(Instant::now()),
                JobState::Cancelled | JobState::Failed | JobState::Done => w.ended = Some(Instant::now()),
                JobState::Waiting => {}
            }
        });
    }

    /// What the job shows now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let w = self.written();
        let end = w.ended.unwrap_or_else(Instant::now);
        let since = |start: Option<Instant>| start.map_or(Duration::ZERO, |s| end.saturating_duration_since(s));
        // By the steps that are done: the rate stays still between them, and the time left runs down.
        let in_steps = w.stepped.zip(w.stage_started).map(|(last, began)| last.saturating_duration_since(began));
        let per_step = in_steps.filter(|_| w.step > 0).map(|time| time / u32::try_from(w.step).unwrap_or(u32::MAX));
        let remaining = per_step
            .filter(|_| w.steps > 0 && w.state == JobState::Running)
            .map(|each| each * u32::try_from(w.steps.saturating_sub(w.step)).unwrap_or(u32::MAX))
            .map(|all| all.saturating_sub(since(w.stepped)));
        Snapshot {
            state: w.state,
            stage: w.stage.clone(),
            step: w.step,
            steps: w.steps,
            elapsed: since(w.started),
            per_step,
            remaining,
            preview: w.preview.clone(),
            text: w.text.clone(),
            bytes: w.bytes,
        }
    }
}

impl Watcher for Monitor {
    fn checkpoint(&self) -> candle_core::Result<()> {
        self.check().map_err(Cancelled::into_candle)
    }
}
