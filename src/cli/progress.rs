//! Waiting for a job on the command line: a bar on a terminal, plain lines otherwise, always on stderr.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Bytes, Engine, Job, JobError, Monitor, Snapshot, bytes_in_words, default_budget};

/// An engine whose jobs are shown on stderr while they run.
pub(super) struct Foreground {
    engine: Engine,
    changes: Receiver<()>,
    quiet: bool,
}

impl Foreground {
    /// Starts the inference thread. `quiet`: nothing is shown.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(quiet: bool) -> anyhow::Result<Self> {
        let (sender, changes): (Sender<()>, _) = channel();
        let waker = Arc::new(move || {
            // Nobody waits any more once the command is done.
            let _ = sender.send(());
        });
        let engine = Engine::start(default_budget(), waker).context("starting the inference thread")?;
        Ok(Self { engine, changes, quiet })
    }

    /// Runs one job to its end.
    ///
    /// # Errors
    /// The job's [`JobError`].
    pub(super) fn run<J: Job>(&self, job: J) -> Result<J::Output, JobError> {
        let ticket = self.engine.submit(job);
        let mut shown = Shown::new(self.quiet);
        let monitor = Arc::clone(&ticket.monitor);
        while ticket.promise.ready().is_none() {
            // The time-out covers a change that came before this wait began.
            let _ = self.changes.recv_timeout(Duration::from_millis(200));
            while self.changes.try_recv().is_ok() {}
            shown.update(&monitor);
        }
        shown.finish();
        ticket.wait()
    }
}

/// What stands on stderr now.
enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines { stage: String, tenth: usize },
}

impl Shown {
    fn new(quiet: bool) -> Self {
        if quiet {
            Self::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(0);
            bar.set_style(style(STEPS));
            Self::Bar(bar)
        } else {
            Self::Lines { stage: String::new(), tenth: 0 }
        }
    }

    fn update(&mut self, monitor: &Monitor) {
        let now = monitor.snapshot();
        match self {
            Self::Nothing => {}
            Self::Bar(bar) => {
                bar.set_message(now.stage.clone());
                if let Some(bytes) = now.bytes {
                    bar.set_style(style("{msg} {wide_bar} {bytes} of {total_bytes} {prefix}"));
                    bar.set_length(bytes.total);
                    bar.set_prefix(pace_of_bytes(&bytes));
                    bar.set_position(bytes.done);
                    return;
                }
                bar.set_style(style(STEPS));
                bar.set_length(now.steps as u64);
                bar.set_prefix(pace(&now));
                bar.set_position(now.step as u64);
            }
            Self::Lines { stage, tenth } => {
                if *stage != now.stage {
                    stage.clone_from(&now.stage);
                    *tenth = 0;
                    line(&now.stage);
                }
                if let Some(bytes) = now.bytes {
                    let done = usize::try_from((bytes.done * 10).checked_div(bytes.total).unwrap_or(0)).unwrap_or(0);
                    if done > *tenth {
                        *tenth = done;
                        let (have, all) = (bytes_in_words(bytes.done), bytes_in_words(bytes.total));
                        line(&format!("{} {have} of {all} {}", now.stage, pace_of_bytes(&bytes)));
                    }
                    return;
                }
                let done = (now.step * 10).checked_div(now.steps).unwrap_or(0);
                if done > *tenth {
                    *tenth = done;
                    line(&format!("{} {}/{} {}", now.stage, now.step, now.steps, pace(&now)));
                }
            }
        }
    }

    fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

const STEPS: &str = "{msg} {wide_bar} {pos}/{len} {prefix}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// "3.1 MB/s, 40 s left".
fn pace_of_bytes(bytes: &Bytes) -> String {
    match (bytes.rate, bytes.remaining()) {
        (Some(rate), Some(left)) => {
            format!("{:.1} MB/s, {} s left", rate / 1e6, left.as_secs_f64().ceil() as u64)
        }
        _ => String::new(),
    }
}

/// Progress is a courtesy: a closed stderr must not end the run.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// "0.21 s a step, 3 s left".
fn pace(now: &Snapshot) -> String {
    match (now.per_step, now.remaining) {
        (Some(each), Some(left)) => {
            format!("{:.2} s a step, {} s left", each.as_secs_f64(), left.as_secs_f64().ceil() as u64)
        }
        _ => String::new(),
    }
}
