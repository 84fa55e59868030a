//! Fetching a model as a job. It uses no loaded model and may take hours: the window gives it an engine of its own, so
//! that the lenses go on working.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::{Job, JobContext, Monitor};
use crate::nets::watcher::Cancelled;
use crate::packs::fetch::{
    Event, FetchError, FetchObserver, FetchOptions, Fetched, HubSettings, Progress, Stage, ThisDisk, Wish, fetch,
};
use crate::packs::manifest::Model;
use crate::packs::store::Store;

/// Lets a fetch wait, and go on. Clones share one switch.
#[derive(Clone, Debug, Default)]
pub struct PauseSwitch(Arc<AtomicBool>);

impl PauseSwitch {
    /// Pauses, or goes on.
    pub fn set(&self, paused: bool) {
        self.0.store(paused, Ordering::Release);
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A model to be fetched, or made whole again.
#[derive(Clone, Debug)]
pub struct FetchJob {
    /// Where models are kept.
    pub store: Store,
    /// Which one.
    pub model: Model,
    /// From which hub.
    pub hub: HubSettings,
    /// Whether the person accepted terms that forbid commercial use.
    pub accept_licence: bool,
    /// Pauses it.
    pub pause: PauseSwitch,
}

/// The monitor, as a fetch sees it.
struct Shown<'a> {
    monitor: &'a Monitor,
    pause: &'a PauseSwitch,
}

impl FetchObserver for Shown<'_> {
    fn wish(&self) -> Wish {
        match () {
            () if self.monitor.is_cancelled() => Wish::Stop,
            () if self.pause.is_paused() => Wish::Pause,
            () => Wish::Go,
        }
    }

    fn stage(&self, stage: &Stage) {
        let words = match stage {
            Stage::Waiting => "Waiting for another Glassbox that fetches the same model",
            Stage::Listing => "Asking which files there are",
            Stage::Checking => "Checking what is here",
            Stage::Fetching => "Fetching",
            Stage::Placing => "Putting it in its place",
        };
        self.monitor.stage(words, 0);
    }

    fn progress(&self, progress: Progress) {
        self.monitor.bytes(progress.done, progress.total);
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Again { what, reason, pause } => {
                tracing::info!(%what, %reason, pause, "fetching again");
                self.monitor.text(&format!("{reason}\n"));
            }
            other => tracing::debug!(?other, "fetching"),
        }
    }
}

impl Job for FetchJob {
    type Output = Fetched;

    fn title(&self) -> String {
        format!("Fetch: {}", self.model.name)
    }

    /// The monitor's text is what had to be tried again, a line each.
    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<Fetched> {
        let observer = Shown { monitor: context.monitor, pause: &self.pause };
        let options = FetchOptions { hub: &self.hub, disk: &ThisDisk, accept_licence: self.accept_licence };
        fetch(&self.store, &self.model, &options, &observer).map_err(|error| match error {
            FetchError::Cancelled => Cancelled.into(),
            other => other.into(),
        })
    }
}
