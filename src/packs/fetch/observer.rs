//! What a fetch shows to whoever waits for it, and how it is paused and stopped.

/// What the person wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Go,
    /// Let go of the connections and wait.
    Pause,
    /// Stop; what has come is kept.
    Stop,
}

/// What the fetch does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Another instance of the program fetches the same model; this one waits for it.
    Waiting,
    /// The hub is asked which files there are.
    Listing,
    /// Files that are on this machine already are read again and compared with the published hashes.
    Checking,
    /// Files are fetched.
    Fetching,
    /// The model is put in its place.
    Placing,
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Something that is worth a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A file begins, at this byte (0, or where an earlier fetch ended).
    Begun {
        /// The file, by its path in the repository.
        file: String,
        /// The first byte that is asked for.
        at: u64,
    },
    /// A file was taken from the cache of other programs.
    FromCache {
        /// The file.
        file: String,
    },
    /// A file did not come on the first try; another follows.
    Again {
        /// The file, or what else was asked for.
        what: String,
        /// Why.
        reason: String,
        /// How long is waited, in milliseconds.
        pause: u64,
    },
    /// A file is here, whole and right.
    Done {
        /// The file.
        file: String,
    },
}

/// Whoever waits for a fetch. Called from several threads.
pub trait FetchObserver: Sync {
    /// What the person wants now. Asked every few milliseconds.
    fn wish(&self) -> Wish {
        Wish::Go
    }

    /// A stage begins.
    fn stage(&self, _stage: &Stage) {}

    /// More bytes are here.
    fn progress(&self, _progress: Progress) {}

    /// Something happened.
    fn event(&self, _event: &Event) {}
}

/// Nobody waits.
impl FetchObserver for () {}
