//! The bytes that all files of a fetch have brought together, and one failure that ends them all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::observer::{Event, FetchObserver, Progress, Stage, Wish};

/// Counts bytes and passes them on.
pub(super) struct Counter<'a> {
    observer: &'a dyn FetchObserver,
    total: u64,
    done: AtomicU64,
}

impl<'a> Counter<'a> {
    pub(super) fn new(observer: &'a dyn FetchObserver, done: u64, total: u64) -> Self {
        observer.progress(Progress { done, total });
        Self { observer, total, done: AtomicU64::new(done) }
    }

    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.observer.progress(Progress { done, total: self.total });
    }

    /// What came was wrong.
    pub(super) fn take_back(&self, bytes: u64) {
        if bytes > 0 {
            let done = self.done.fetch_sub(bytes, Ordering::AcqRel).saturating_sub(bytes);
            self.observer.progress(Progress { done, total: self.total });
        }
    }
}

/// The observer, for several files at a time: where one has failed, the others are to stop.
pub(super) struct Together<'a> {
    pub(super) observer: &'a dyn FetchObserver,
    pub(super) failed: AtomicBool,
}

impl FetchObserver for Together<'_> {
    fn wish(&self) -> Wish {
        if self.failed.load(Ordering::Acquire) { Wish::Stop } else { self.observer.wish() }
    }

    fn stage(&self, stage: &Stage) {
        self.observer.stage(stage);
    }

    fn progress(&self, progress: Progress) {
        self.observer.progress(progress);
    }

    fn event(&self, event: &Event) {
        self.observer.event(event);
    }
}
