//! Requests to the hub: redirects followed by ourselves, so that the token goes to the hub alone, and failures that may
//! pass tried again after a pause.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::http::Uri;

use super::FetchError;
use super::address::joined;
use super::connection::{Broken, Connection, Head};
use super::observer::{Event, FetchObserver, Wish};
use super::settings::{HubSettings, origin};

/// More redirects than any hub needs.
const MAX_REDIRECTS: usize = 8;

/// The most bytes of one page of a listing.
const MAX_PAGE: usize = 32 << 20;

/// The hub as one fetch sees it.
#[derive(Clone, Copy)]
pub(super) struct Hub<'a> {
    pub(super) settings: &'a HubSettings,
    pub(super) observer: &'a dyn FetchObserver,
    /// The repository that is asked for, for errors.
    pub(super) repository: &'a str,
}

/// An answer with status 200 or 206 whose body is still to come.
pub(super) struct Answer<'a> {
    /// The hub's own answer, before any redirect: it carries the file's hash, length and commit.
    pub(super) first: Head,
    /// The last answer's beginning, where it is another one.
    pub(super) last: Option<Head>,
    /// Where it came from.
    pub(super) host: String,
    /// The last address.
    pub(super) address: Uri,
    /// The body.
    pub(super) connection: Connection<'a>,
}

impl Answer<'_> {
    /// The beginning of the answer that has the body.
    pub(super) fn head(&self) -> &Head {
        self.last.as_ref().unwrap_or(&self.first)
    }
}

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The person wants to pause: no failure of anybody.
    Paused,
    /// It may pass: try again, after the pause that the hub asks for, if it does.
    Passing(FetchError, Option<Duration>),
    /// It will not pass.
    Final(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

/// Counts failures in a row and says how long to wait.
pub(super) struct Tries {
    failed: u32,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { failed: 0 }
    }

    /// Something came: the count begins anew.
    pub(super) fn forget(&mut self) {
        self.failed = 0;
    }

    /// Waits for the next try after `failure`.
    ///
    /// # Errors
    /// The failure's, if there is no use in another try.
    pub(super) fn wait(&mut self, hub: &Hub<'_>, what: &str, failure: Failure) -> Result<(), FetchError> {
        let patience = &hub.settings.patience;
        match failure {
            Failure::Paused => hub.wait_while_paused(),
            Failure::Final(error) => Err(error),
            Failure::Passing(error, asked) => {
                self.failed += 1;
                if self.failed >= patience.tries || asked.is_some_and(|asked| asked > patience.longest) {
                    return Err(error);
                }
                let doubled = patience.back_off.saturating_mul(1 << (self.failed - 1).min(16));
                let pause = asked.unwrap_or(doubled).min(patience.longest);
                hub.observer.event(&Event::Again {
                    what: what.to_owned(),
                    reason: error.to_string(),
                    pause: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                });
                hub.sleep(pause)
            }
        }
    }
}

impl<'a> Hub<'a> {
    /// Waits `pause`, unless the person wants to stop.
    fn sleep(&self, pause: Duration) -> Result<(), FetchError> {
        let began = Instant::now();
        loop {
            if self.observer.wish() == Wish::Stop {
                return Err(FetchError::Cancelled);
            }
            let left = pause.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(self.settings.patience.glance));
        }
    }

    /// Waits until the person wants to go on.
    fn wait_while_paused(&self) -> Result<(), FetchError> {
        loop {
            match self.observer.wish() {
                Wish::Go => return Ok(()),
                Wish::Stop => return Err(FetchError::Cancelled),
                Wish::Pause => std::thread::sleep(self.settings.patience.glance),
            }
        }
    }

    /// Reads JSON from `path` on the hub, and the address of the next page, if the hub names one.
    pub(super) fn json<T: DeserializeOwned>(&self, address: &Uri, what: &str) -> Result<(T, Option<Uri>), FetchError> {
        let mut tries = Tries::new();
        loop {
            match self.json_once(address, what) {
                Ok(found) => return Ok(found),
                Err(failure) => tries.wait(self, what, failure)?,
            }
        }
    }

    fn json_once<T: DeserializeOwned>(&self, address: &Uri, what: &str) -> Result<(T, Option<Uri>), Failure> {
        let mut answer = self.get(address, &[], what)?;
        let body = answer.connection.body(MAX_PAGE);
        let host = answer.host.clone();
        let body = body.map_err(|broken| self.failure(broken, &host, what))?;
        let next = answer.head().text("link").and_then(next_page).and_then(|next| joined(&answer.address, next));
        let value = serde_json::from_slice(&body).map_err(|error| FetchError::NoHub {
            host,
            reason: match crate::packs::sniff::of_bytes(body.get(..512).unwrap_or(&body)) {
                crate::packs::sniff::Content::Html => "a web page came where a list was asked for".to_owned(),
                _ => format!("{what}: {error}"),
            },
        })?;
        Ok((value, next))
    }

    /// An address on the hub.
    pub(super) fn address(&self, path: &str) -> Result<Uri, FetchError> {
        let text = format!("{}/{path}", self.settings.endpoint);
        let address: Option<Uri> = text
            .parse()
            .ok()
            .filter(|address: &Uri| matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some());
        address.ok_or_else(|| FetchError::NoHub {
            host: self.settings.endpoint.clone(),
            reason: "this is no address of the form https://host".to_owned(),
        })
    }

    /// Sends a GET and follows redirects to an answer with a body.
    pub(super) fn get(
        &self,
        address: &Uri,
        headers: &[(&'static str, String)],
        what: &str,
    ) -> Result<Answer<'a>, Failure> {
        let mut address = address.clone();
        let mut first: Option<Head> = None;
        for _ in 0..=MAX_REDIRECTS {
            let host = host(&address);
            let token = self.settings.token_for(&address);
            let mut all = headers.to_vec();
            all.extend(token.map(|token| ("Authorization", token.header())));
            let opened = Connection::open(&address, all, &self.settings.patience, self.observer);
            let mut connection = opened.map_err(|broken| self.failure(broken, &host, what))?;
            let head = connection.head().map_err(|broken| self.failure(broken, &host, what))?;
            match head.status {
                200 | 206 => {
                    let (first, last) = match first {
                        Some(first) => (first, Some(head)),
                        None => (head, None),
                    };
                    return Ok(Answer { first, last, host, address, connection });
                }
                301 | 302 | 303 | 307 | 308 => {
                    let target = head.text("location").and_then(|location| joined(&address, location));
                    let Some(target) = target else {
                        return Err(redirect(&host, what, "to nowhere").into());
                    };
                    // From TLS to no TLS: whoever listens in could put anything in the file's place.
                    if address.scheme_str() == Some("https") && target.scheme_str() != Some("https") {
                        return Err(redirect(&host, what, "to an address without TLS").into());
                    }
                    first.get_or_insert(head);
                    address = target;
                }
                status => {
                    let away = origin(&address) != self.settings.endpoint.parse().ok().and_then(|hub| origin(&hub));
                    return Err(self.refusal(status, &head, &host, what, token.is_some(), away));
                }
            }
        }
        Err(redirect(&host(&address), what, "in a circle").into())
    }

    /// What an answer without the thing asked for means. `away`: another host than the hub gave it.
    fn refusal(&self, status: u16, head: &Head, host: &str, what: &str, token: bool, away: bool) -> Failure {
        let code = head.text("x-error-code").unwrap_or_default();
        let host = host.to_owned();
        let what = what.to_owned();
        match status {
            404 | 410 => Failure::Final(FetchError::NotFound { host, what }),
            401 if code == "RepoNotFound" && token => Failure::Final(FetchError::NotFound { host, what }),
            // A link of the storage behind the hub that has grown old: the hub gives a new one.
            401 | 403 if away => Failure::Passing(FetchError::Server { host, what, status }, None),
            401 | 403 => Failure::Final(FetchError::Gated {
                repository: self.repository.to_owned(),
                page: self.settings.page(self.repository),
                token,
            }),
            429 => Failure::Passing(FetchError::TooMany { host }, retry_after(head)),
            408 | 500..=599 => Failure::Passing(FetchError::Server { host, what, status }, retry_after(head)),
            _ => Failure::Final(FetchError::Server { host, what, status }),
        }
    }

    /// What a broken connection means.
    pub(super) fn failure(&self, broken: Broken, host: &str, what: &str) -> Failure {
        let patience = &self.settings.patience;
        let (host, what, tries) = (host.to_owned(), what.to_owned(), patience.tries);
        match broken {
            Broken::Stopped => Failure::Final(FetchError::Cancelled),
            Broken::Paused => Failure::Paused,
            Broken::Stalled => {
                Failure::Passing(FetchError::Stalled { host, what, patience: patience.stall, tries }, None)
            }
            Broken::Dropped(reason) => {
                tracing::debug!(%host, %what, %reason, "the connection broke");
                Failure::Passing(FetchError::Dropped { host, what, tries }, None)
            }
            Broken::Unreachable(reason) => Failure::Passing(FetchError::Unreachable { host, reason }, None),
            Broken::Garbage(reason) => Failure::Final(FetchError::NoHub { host, reason }),
        }
    }
}

fn redirect(host: &str, what: &str, reason: &str) -> FetchError {
    FetchError::Redirect { host: host.to_owned(), what: what.to_owned(), reason: reason.to_owned() }
}

/// Host and, where it is not the usual one, port.
pub(super) fn host(address: &Uri) -> String {
    address.authority().map_or_else(String::new, |authority| {
        let text = authority.as_str();
        text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
    })
}

/// The pause that an answer asks for, in seconds; the other form, a date, is not used by any hub.
fn retry_after(head: &Head) -> Option<Duration> {
    let seconds: f64 = head.text("retry-after")?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The target of `rel="next"` in a Link header.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|part| {
        let (target, rest) = part.trim().strip_prefix('<')?.split_once('>')?;
        rest.contains("rel=\"next\"").then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        assert_eq!(next_page("<https://h/a?cursor=x>; rel=\"next\""), Some("https://h/a?cursor=x"));
        assert_eq!(next_page("<https://h/a>; rel=\"prev\", </b?c>; rel=\"next\""), Some("/b?c"));
        assert_eq!(next_page("<https://h/a>; rel=\"prev\""), None);
    }

    #[test]
    fn a_user_in_an_address_is_not_shown() {
        assert_eq!(host(&"https://me:secret@hub.example:444/a".parse().unwrap()), "hub.example:444");
    }
}
