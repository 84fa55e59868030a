//! Which hub is asked and how patiently: the environment variables of Hugging Face's own programs, and waiting times.

use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::BaseDirs;
use ureq::http::Uri;

/// The public hub.
const PUBLIC: &str = "https://huggingface.co";

/// A person's key to gated models. It is sent to the hub alone and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the first line of `text`; `None` if there is nothing in it, or something no header may hold.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        fit.then(|| Self(text.to_owned()))
    }

    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// Waiting times and limits; tests make them short.
#[derive(Clone, Debug, PartialEq)]
pub struct Patience {
    /// A connection that brings fewer than [`Patience::crawl`] bytes in this time is given up.
    pub stall: Duration,
    /// See [`Patience::stall`].
    pub crawl: u64,
    /// How often one file may fail in a row, without progress in between, before the fetch ends.
    pub tries: u32,
    /// The pause after the first failure; each further one doubles it.
    pub back_off: Duration,
    /// No pause is longer, whatever the hub asks for in `Retry-After`; it is then told as an error.
    pub longest: Duration,
    /// How often the person's wish to stop is looked for.
    pub glance: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            crawl: 30 << 10,
            tries: 5,
            back_off: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            glance: Duration::from_millis(30),
        }
    }
}

/// Which hub is asked, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct HubSettings {
    /// The hub's address without a slash at its end; a mirror's where HF_ENDPOINT names one.
    pub endpoint: String,
    /// The person's token, if there is one.
    pub token: Option<Token>,
    /// Whether nothing may be asked at all.
    pub offline: bool,
    /// Files that are fetched at the same time.
    pub parallel: usize,
    /// Waiting times.
    pub patience: Patience,
}

impl HubSettings {
    /// The hub at `endpoint`, without a token.
    #[must_use]
    pub fn at(endpoint: impl Into<String>) -> Self {
        let endpoint = endpoint.into().trim().trim_end_matches('/').to_owned();
        Self { endpoint, token: None, offline: false, parallel: 4, patience: Patience::default() }
    }

    /// As the environment says: HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_OFFLINE. Proxies
    /// (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) are read when a connection is made.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// As [`Self::from_environment`], with `variable` in place of the environment.
    #[must_use]
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let on = |name: &str| set(name).is_some_and(|value| is_true(&value));
        let home = set("HF_HOME").map(PathBuf::from);
        let home = home.or_else(|| BaseDirs::new().map(|dirs| dirs.home_dir().join(".cache").join("huggingface")));
        let file = set("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| home.map(|home| home.join("token")));
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            let implicit = !on("HF_HUB_DISABLE_IMPLICIT_TOKEN");
            file.filter(|_| implicit).and_then(|file| first_line(&file))
        });
        Self {
            token: token.as_deref().and_then(Token::new),
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            ..Self::at(set("HF_ENDPOINT").unwrap_or_else(|| PUBLIC.to_owned()))
        }
    }

    /// The page of a repository, where its terms are accepted.
    #[must_use]
    pub fn page(&self, repository: &str) -> String {
        format!("{}/{repository}", self.endpoint)
    }

    /// The token, if it may be sent to `address`: only to the hub itself (scheme, host and port), and only over TLS or
    /// within this machine.
    pub(super) fn token_for(&self, address: &Uri) -> Option<&Token> {
        let token = self.token.as_ref()?;
        let hub: Uri = self.endpoint.parse().ok()?;
        let private = address.scheme_str() == Some("https") || is_local(address);
        (private && origin(&hub)? == origin(address)?).then_some(token)
    }
}

/// Words that stand for yes in the environment variables of Hugging Face's programs.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

fn first_line(path: &Path) -> Option<String> {
    let facts = std::fs::metadata(path).ok()?;
    let text = (facts.len() < 4096).then(|| std::fs::read_to_string(path).ok())??;
    text.lines().next().map(str::to_owned)
}

/// Scheme, host and port.
pub(super) fn origin(address: &Uri) -> Option<(String, String, u16)> {
    let scheme = address.scheme_str()?.to_ascii_lowercase();
    let port = address.port_u16().or(match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some((scheme, address.host()?.to_ascii_lowercase(), port))
}

/// Whether the address is of this machine.
pub(super) fn is_local(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_other_programs_is_respected() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_of_the_file\nrest\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let found = move |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            HubSettings::from_variables(&found)
        };
        let usual = of(&[("HF_HOME", home)]);
        assert_eq!((usual.endpoint.as_str(), usual.offline), (PUBLIC, false));
        assert_eq!(usual.token, Token::new("hf_of_the_file"));
        assert_eq!(of(&[("HF_HOME", home), ("HF_TOKEN", " hf_x ")]).token, Token::new("hf_x"));
        assert_eq!(of(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
        assert!(of(&[("HF_HUB_OFFLINE", "true")]).offline && !of(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert_eq!(of(&[("HF_ENDPOINT", "https://mirror.example/hub/")]).endpoint, "https://mirror.example/hub");
        assert!(!format!("{usual:?}").contains("hf_of"));
        assert_eq!(Token::new("a\r\nX: y"), None);
    }

    #[test]
    fn the_token_goes_to_the_hub_alone() {
        let token = Token::new("hf_x");
        let sent = |hub: &str, to: &str| {
            let settings = HubSettings { token: token.clone(), ..HubSettings::at(hub) };
            settings.token_for(&to.parse().unwrap()).is_some()
        };
        assert!(sent("https://huggingface.co", "https://HuggingFace.co:443/a"));
        assert!(!sent("https://huggingface.co", "https://cdn.huggingface.co/a"));
        assert!(!sent("https://huggingface.co", "http://huggingface.co/a"));
        assert!(!sent("http://mirror.example", "http://mirror.example/a"));
        assert!(sent("http://127.0.0.1:80", "http://127.0.0.1/a"));
        assert!(!sent("http://127.0.0.1:8000", "http://127.0.0.1:8001/a"));
    }
}
