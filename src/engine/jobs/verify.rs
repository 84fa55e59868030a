//! Checking a model's files as a job: files that were fetched are read as a whole, which takes a while.

use std::path::PathBuf;

use crate::engine::{Job, JobContext, Monitor};
use crate::nets::watcher::Cancelled;
use crate::packs::PackError;
use crate::packs::fetch::{FetchObserver, Progress, Wish};
use crate::packs::verify::{Checked, verify_watched};

/// A model to be checked.
#[derive(Clone, Debug)]
pub struct VerifyJob {
    /// What it is called.
    pub name: String,
    /// Its folder or file.
    pub path: PathBuf,
}

struct Shown<'a>(&'a Monitor);

impl FetchObserver for Shown<'_> {
    fn wish(&self) -> Wish {
        if self.0.is_cancelled() { Wish::Stop } else { Wish::Go }
    }

    fn progress(&self, progress: Progress) {
        self.0.bytes(progress.done, progress.total);
    }
}

impl Job for VerifyJob {
    type Output = Vec<Checked>;

    fn title(&self) -> String {
        format!("Check: {}", self.name)
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<Vec<Checked>> {
        context.monitor.stage("Checking", 0);
        verify_watched(&self.path, &Shown(context.monitor)).map_err(|error| match error {
            PackError::Cancelled => Cancelled.into(),
            other => other.into(),
        })
    }
}
