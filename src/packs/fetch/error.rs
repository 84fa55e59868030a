//! Why a model could not be fetched, each as one sentence that says what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::packs::sniff::Content;

/// Why a fetch did not end with the model in place. What had come until then is kept and used by the next fetch, unless
/// it was wrong.
///
/// The variants are what a caller may act on; the text is what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The person asked to stop.
    #[error("stopped; what has come so far is kept, and the next fetch goes on from there")]
    Cancelled,
    /// The environment forbids to go to the hub.
    #[error(
        "{what} is not on this machine and HF_HUB_OFFLINE forbids to fetch it; take that variable away, or import a folder"
    )]
    Offline {
        /// The model.
        what: String,
    },
    /// The list names no repository: the model comes with the program or lies in a folder that the person named.
    #[error("{id} is not published anywhere that this program knows, so there is nothing to fetch")]
    NotPublished {
        /// The model.
        id: String,
    },
    /// No folder for models is known on this system.
    #[error("the system names no folder for models; set GLASSBOX_MODELS to one")]
    NoFolder,
    /// The terms have to be accepted first.
    #[error("{id} is licensed {licence}, which forbids commercial use{}; accept that with --accept-licence, or with the button in the window", link_words(.link))]
    Licence {
        /// The model.
        id: String,
        /// The licence's name.
        licence: String,
        /// Where it stands.
        link: Option<String>,
    },
    /// The hub does not let this person in.
    #[error("{repository} is open only to those who accepted its terms: accept them on {page} while signed in, {}", token_advice(*.token))]
    Gated {
        /// The repository.
        repository: String,
        /// The page where its terms are accepted.
        page: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The hub does not have it.
    #[error("{host} has no {what}; it may have been moved or withdrawn")]
    NotFound {
        /// The hub.
        host: String,
        /// A file, revision or repository.
        what: String,
    },
    /// The repository does not hold a model in the layout that the list says.
    #[error("the repository {repository} holds no {what}, which the model needs")]
    Incomplete {
        /// The repository.
        repository: String,
        /// What is missing.
        what: String,
    },
    /// The hub cannot be reached.
    #[error(
        "{host} cannot be reached ({reason}); is this machine connected, and does a proxy have to be set (HTTPS_PROXY)?"
    )]
    Unreachable {
        /// The host.
        host: String,
        /// The system's reason.
        reason: String,
    },
    /// The connection broke again and again.
    #[error(
        "the connection to {host} broke while {what} was fetched, {tries} times in a row; fetch again to go on from there"
    )]
    Dropped {
        /// The host.
        host: String,
        /// What was fetched.
        what: String,
        /// How often.
        tries: u32,
    },
    /// Nothing, or next to nothing, came for too long.
    #[error("{host} sent next to nothing for {} s while {what} was fetched, {tries} times in a row; fetch again to go on from there", .patience.as_secs_f64())]
    Stalled {
        /// The host.
        host: String,
        /// What was fetched.
        what: String,
        /// How long was waited each time.
        patience: Duration,
        /// How often.
        tries: u32,
    },
    /// The hub wants less traffic.
    #[error(
        "{host} wants to be left alone for a while (status 429); fetch again later, or set HF_TOKEN, with which more is allowed"
    )]
    TooMany {
        /// The host.
        host: String,
    },
    /// The hub has a fault of its own.
    #[error("{host} answers {what} with status {status}; fetch again later")]
    Server {
        /// The host.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what the hub's protocol says.
    #[error(
        "{host} does not answer as a hub of models does ({reason}); is HF_ENDPOINT right, or does a sign-in page stand between?"
    )]
    NoHub {
        /// The host.
        host: String,
        /// What was wrong.
        reason: String,
    },
    /// Redirects led nowhere.
    #[error("{host} redirects {what} {reason}, so it is not fetched")]
    Redirect {
        /// The host that sent the redirect.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else came than a file of a model.
    #[error("what {host} sent for {what} is not the file: it is {found}")]
    NotTheFile {
        /// The host.
        host: String,
        /// The file asked for.
        what: String,
        /// What came.
        found: Content,
    },
    /// The length is not that of the published file.
    #[error("what {host} sent for {what} has {have} bytes where the published file has {want}; it was thrown away")]
    WrongLength {
        /// The host.
        host: String,
        /// The file.
        what: String,
        /// Bytes that were announced or came.
        have: u64,
        /// Bytes of the published file.
        want: u64,
    },
    /// The content is not that of the published file.
    #[error(
        "what {host} sent for {what} is not what was published: its hash is {have}, not {want}; it was thrown away"
    )]
    WrongHash {
        /// The host.
        host: String,
        /// The file.
        what: String,
        /// Of what came.
        have: String,
        /// Of the published file.
        want: String,
    },
    /// The file was replaced on the hub while it was fetched.
    #[error("{what} was changed on {host} while it was fetched; fetch again to get the new one")]
    Changed {
        /// The host.
        host: String,
        /// The file.
        what: String,
    },
    /// The hub has another file than the one that the list of models was made for.
    #[error(
        "{host} has another {what} now than the one this program knows by its hash; it is not fetched (import it from a folder if you trust it)"
    )]
    NotPinned {
        /// The host.
        host: String,
        /// The file.
        what: String,
    },
    /// There is less room than the model needs.
    #[error("{} has {} of free space, and {} are needed; make room, or set GLASSBOX_MODELS to a folder on another disk", .folder.display(), megabytes(*.free), megabytes(*.needed))]
    NoRoom {
        /// The folder of models.
        folder: PathBuf,
        /// Bytes that are needed, some to spare among them.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk ran full on the way.
    #[error("the disk ran full while {} was written; make room and fetch again to go on from there", .path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A file is in the way that this program did not put there.
    #[error("{} is another file than the published one, and was not put there by a fetch; move it away, or use the folder as it is", .path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The model is not in the folder of models, so it is not removed.
    #[error("{} was not put there by this program; remove it by hand if you do not want it", .path.display())]
    NotOurs {
        /// Where it is.
        path: PathBuf,
    },
    /// There is nothing of the model.
    #[error("nothing of {id} is on this machine")]
    NothingToRemove {
        /// The model.
        id: String,
    },
    /// The model is being fetched.
    #[error("{id} is being fetched; stop that first")]
    Busy {
        /// The model.
        id: String,
    },
    /// The hub's listing names something that is not written to this disk.
    #[error("the listing of {repository} is refused: {detail}")]
    Refused {
        /// The repository.
        repository: String,
        /// What it names.
        detail: String,
    },
    /// The operating system failed to do something.
    #[error("{} could not be {doing}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// A participle ("opened", "read").
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl FetchError {
    /// A [`FetchError::Io`] for `path` ([`FetchError::DiskFull`] where that is the reason), to be used with `map_err`.
    pub(crate) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Io { path, doing, source },
        }
    }
}

fn link_words(link: &Option<String>) -> String {
    link.as_ref().map_or_else(String::new, |link| format!(" ({link})"))
}

fn token_advice(sent: bool) -> &'static str {
    if sent {
        "then fetch again: the token that was sent belongs to somebody who has not, or may not read this repository"
    } else {
        "then set HF_TOKEN to a token of yours (or sign in with Hugging Face's own program) and fetch again"
    }
}

fn megabytes(bytes: u64) -> String {
    if bytes < 10_000_000 { format!("{} kB", bytes / 1000) } else { format!("{} MB", bytes / 1_000_000) }
}
