//! One request, carried out on a thread of its own, so that whoever waits for it can stop or give up at any moment,
//! however long the other side is silent.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Uri};

use super::observer::{FetchObserver, Wish};
use super::settings::{Patience, is_local};

/// How much is read at once.
const PIECE: usize = 1 << 16;

/// The beginning of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// A header as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// A header as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// Why a connection brings nothing more.
#[derive(Debug)]
pub(super) enum Broken {
    /// The person wants to stop.
    Stopped,
    /// The person wants to pause.
    Paused,
    /// Next to nothing came for too long.
    Stalled,
    /// It ended before the answer did.
    Dropped(String),
    /// There was never a connection.
    Unreachable(String),
    /// What came is no HTTP, or the other side is not who it says it is.
    Garbage(String),
}

enum Event {
    Head(Head),
    Piece(Vec<u8>),
    End,
    Failed(Broken),
}

/// The receiving end of one request.
pub(super) struct Connection<'a> {
    events: Receiver<Event>,
    observer: &'a dyn FetchObserver,
    patience: &'a Patience,
    /// When the time began in which [`Patience::crawl`] bytes must come, and how many have.
    window: (Instant, u64),
}

impl<'a> Connection<'a> {
    /// Sends a GET for `address` with `headers`.
    pub(super) fn open(
        address: &Uri,
        headers: Vec<(&'static str, String)>,
        patience: &'a Patience,
        observer: &'a dyn FetchObserver,
    ) -> Result<Self, Broken> {
        let (sender, events) = sync_channel(16);
        let (address, stall) = (address.clone(), patience.stall);
        std::thread::Builder::new()
            .name("fetch".to_owned())
            .spawn(move || carry_out(&address, headers, stall, &sender))
            .map_err(|error| Broken::Unreachable(format!("the system gave no thread: {error}")))?;
        Ok(Self { events, observer, patience, window: (Instant::now(), 0) })
    }

    /// Waits for the beginning of the answer.
    pub(super) fn head(&mut self) -> Result<Head, Broken> {
        match self.next()? {
            Event::Head(head) => Ok(head),
            Event::Failed(broken) => Err(broken),
            Event::Piece(_) | Event::End => Err(Broken::Garbage("the answer has no beginning".to_owned())),
        }
    }

    /// Waits for the next piece of the body; `None` at its end.
    pub(super) fn piece(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        match self.next()? {
            Event::Piece(piece) => {
                self.window.1 += piece.len() as u64;
                if self.window.0.elapsed() >= self.patience.stall {
                    if self.window.1 < self.patience.crawl {
                        return Err(Broken::Stalled);
                    }
                    self.window = (Instant::now(), 0);
                }
                Ok(Some(piece))
            }
            Event::End => Ok(None),
            Event::Failed(broken) => Err(broken),
            Event::Head(_) => Err(Broken::Garbage("the answer begins twice".to_owned())),
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    pub(super) fn body(&mut self, limit: usize) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece()? {
            if all.len() + piece.len() > limit {
                return Err(Broken::Garbage(format!("the answer is longer than {limit} bytes")));
            }
            all.extend(piece);
        }
        Ok(all)
    }

    fn next(&mut self) -> Result<Event, Broken> {
        let began = Instant::now();
        loop {
            match self.observer.wish() {
                Wish::Go => {}
                Wish::Pause => return Err(Broken::Paused),
                Wish::Stop => return Err(Broken::Stopped),
            }
            match self.events.recv_timeout(self.patience.glance) {
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) if began.elapsed() >= self.patience.stall => {
                    return Err(Broken::Stalled);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Broken::Dropped("the thread ended".to_owned())),
            }
        }
    }
}

/// The whole request, on its own thread. It touches nothing but the connection, and ends when nobody listens any more or
/// the other side is silent for `stall`.
fn carry_out(address: &Uri, headers: Vec<(&'static str, String)>, stall: Duration, events: &SyncSender<Event>) {
    let limit = Some(stall);
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("glassbox/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(limit)
        .timeout_connect(limit)
        .timeout_send_request(limit)
        .timeout_recv_response(limit)
        .timeout_per_read(limit);
    // A server on this machine is not behind any proxy.
    let config = if is_local(address) { config.proxy(None) } else { config };
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.get(address).header("Accept-Encoding", "identity");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    // Nobody listens any more to a request that was given up.
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => {
            let _ = events.send(Event::Failed(before(error)));
            return;
        }
    };
    let (parts, body) = response.into_parts();
    let head = Head { status: parts.status.as_u16(), headers: parts.headers };
    if events.send(Event::Head(head)).is_err() {
        return;
    }
    let mut reader = body.into_reader();
    loop {
        let mut piece = vec![0; PIECE];
        let event = match reader.read(&mut piece) {
            Ok(0) => Event::End,
            Ok(length) => {
                piece.truncate(length);
                Event::Piece(piece)
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => Event::Failed(during(&error)),
        };
        let last = !matches!(event, Event::Piece(_));
        if events.send(event).is_err() || last {
            return;
        }
    }
}

/// What an error before the answer means.
fn before(error: ureq::Error) -> Broken {
    match error {
        ureq::Error::Timeout(_) => Broken::Stalled,
        ureq::Error::HostNotFound => Broken::Unreachable("no such host".to_owned()),
        ureq::Error::ConnectionFailed => Broken::Unreachable("no connection".to_owned()),
        ureq::Error::Io(error) => during(&error),
        other => Broken::Garbage(other.to_string()),
    }
}

/// What an error of reading means.
fn during(error: &std::io::Error) -> Broken {
    use std::io::ErrorKind;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match (error.kind(), inner) {
        (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) | (_, Some(ureq::Error::Timeout(_))) => Broken::Stalled,
        (
            ErrorKind::ConnectionRefused
            | ErrorKind::AddrNotAvailable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable,
            _,
        ) => Broken::Unreachable(error.to_string()),
        _ => Broken::Dropped(error.to_string()),
    }
}
