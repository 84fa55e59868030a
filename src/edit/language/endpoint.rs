//! A chat server with OpenAI's interface that the person named: Ollama, llama.cpp, vLLM, LM Studio, or one far away.
//!
//! Off unless named. For instructions only the words of the prompt are sent; the picture goes to a server only where one
//! was named to describe it, made small and without the file's own data ([`super::sight`]). A thread of its own talks to the server
//! and hands on what streams in, so that a run stops at once when the person wants it, however long the server thinks.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use image::RgbImage;
use serde_json::{Value, json};
use ureq::http::Uri;

use super::{prompt, sight};
use crate::edit::caption::{self, CaptionError, Captioner};
use crate::edit::specify::{DEFAULT_SEED, Replier, SpecifyError, SpecifyRequest};
use crate::nets::watcher::Watcher;

/// The most bytes that are read of one answer of a server.
const MAX_BODY: u64 = 4 << 20;

/// The most bytes of text that an answer may have; what follows is not waited for.
const MAX_TEXT: usize = 64 << 10;

/// How often the person's wish to stop is looked for while the server is silent.
const GLANCE: Duration = Duration::from_millis(30);

/// Which server is asked, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Its address: `http://localhost:11434`, with or without `/v1` or `/v1/chat/completions`.
    pub url: String,
    /// The model's name there; `None`: the only one it offers.
    pub model: Option<String>,
    /// The key it wants, if any. Never written anywhere.
    pub key: Option<String>,
    /// How long it may be silent.
    pub patience: Duration,
}

impl EndpointSettings {
    /// A server that needs no key, whose only model is asked, and that may think for two minutes.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), model: None, key: None, patience: Duration::from_secs(120) }
    }
}

impl std::fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.key.as_ref().map(|_| "(secret)");
        f.debug_struct("EndpointSettings")
            .field("url", &self.url)
            .field("model", &self.model)
            .field("key", &key)
            .finish()
    }
}

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an address.
    #[error("{0:?} is not the address of a server; it looks like http://localhost:11434/v1")]
    Address(String),
    /// A key with characters that cannot be sent.
    #[error("the key holds characters that no key has; copy it again")]
    KeyCharacters,
    /// Nobody is there.
    #[error("nothing answers at {0}; is the server running?")]
    Unreachable(String),
    /// The name means no machine.
    #[error("no machine is called {0}; check the address")]
    NoSuchHost(String),
    /// The connection cannot be made secure.
    #[error("no secure connection to {host} ({reason})")]
    Insecure {
        /// Who.
        host: String,
        /// Why.
        reason: String,
    },
    /// Silent for too long.
    #[error("{host} did not answer within {seconds} seconds")]
    Silent {
        /// Who.
        host: String,
        /// The patience.
        seconds: u64,
    },
    /// The key is missing or wrong.
    #[error("{host} refused the key ({status}); check the key")]
    Key {
        /// Who.
        host: String,
        /// 401 or 403.
        status: u16,
    },
    /// Too many requests.
    #[error("{0} has more to do than it can (429); try again later")]
    Busy(String),
    /// Anything else that the server refused.
    #[error("{host} refused the request ({status}{})", colon(.reason))]
    Refused {
        /// Who.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words, shortened; may be empty.
        reason: String,
    },
    /// It points elsewhere.
    #[error("{0} sends requests on to another address; name that one instead")]
    Elsewhere(String),
    /// It failed while it answered.
    #[error("{host} failed while answering{}", colon(.reason))]
    Failed {
        /// Who.
        host: String,
        /// Its own words, shortened; may be empty.
        reason: String,
    },
    /// The connection ended too early.
    #[error("{0} ended the connection in the middle of its answer")]
    HungUp(String),
    /// Not the interface that was expected.
    #[error("{0} answered something that is no chat completion; is it an OpenAI-compatible server?")]
    Garbage(String),
    /// It offers no model, or several.
    #[error("{host} offers {}; name the model to use", offered(.models))]
    WhichModel {
        /// Who.
        host: String,
        /// The names it offers.
        models: Vec<String>,
    },
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn offered(models: &[String]) -> String {
    match models {
        [] => "no list of models".to_owned(),
        several => format!("several models ({})", several.iter().take(8).cloned().collect::<Vec<_>>().join(", ")),
    }
}

/// A server that can be asked.
#[derive(Clone, Debug)]
pub struct Endpoint {
    settings: EndpointSettings,
    host: String,
    /// Up to and including `/v1` or what stands for it.
    base: String,
    local: bool,
}

impl Endpoint {
    /// Checks the address; nothing is sent yet.
    ///
    /// # Errors
    /// [`EndpointError::Address`], [`EndpointError::KeyCharacters`].
    pub fn new(settings: EndpointSettings) -> Result<Self, EndpointError> {
        let fault = || EndpointError::Address(settings.url.chars().take(200).collect());
        let uri: Uri = settings.url.trim().parse().map_err(|_| fault())?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme)).ok_or_else(fault)?;
        let authority = uri.authority().ok_or_else(fault)?;
        let name = uri.host().filter(|name| !name.is_empty()).ok_or_else(fault)?;
        // A name and password in the address would end up in messages.
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(fault());
        }
        if settings.key.as_ref().is_some_and(|key| key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic())) {
            return Err(EndpointError::KeyCharacters);
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/chat/completions").unwrap_or(path);
        let path = if path.is_empty() { "/v1" } else { path };
        Ok(Self {
            base: format!("{scheme}://{authority}{path}"),
            host: authority.to_string(),
            local: matches!(name, "localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0"),
            settings,
        })
    }

    /// Scheme, name, port and path of the address, the same however it was spelt.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The server's name and port, for messages.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The names of the models that the server offers. Waits for it; not for the UI thread.
    ///
    /// # Errors
    /// [`EndpointError`], one sentence.
    pub fn models(&self) -> Result<Vec<String>, EndpointError> {
        self.offers(&self.agent())
    }

    /// Asks and hands on the answer as it streams in.
    fn ask(&self, body: &Value, on_text: &mut dyn FnMut(&str), watcher: &dyn Watcher) -> Result<String, SpecifyError> {
        let (sender, events) = sync_channel(64);
        let (server, body) = (self.clone(), body.clone());
        let talk = move || {
            let outcome = server.converse(body, &sender);
            // Nobody listens any more after a cancelled run.
            let _ = sender.send(outcome.map_or_else(Event::Failed, |()| Event::Done));
        };
        std::thread::Builder::new()
            .name("language server".to_owned())
            .spawn(talk)
            .map_err(|error| SpecifyError::Model(format!("the system gave no thread ({error})")))?;
        self.listen(&events, on_text, watcher)
    }

    fn listen(
        &self,
        events: &Receiver<Event>,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, SpecifyError> {
        let mut text = String::new();
        loop {
            watcher.checkpoint()?;
            match events.recv_timeout(GLANCE) {
                Ok(Event::Text(piece)) => {
                    on_text(&piece);
                    text.push_str(&piece);
                    if text.len() > MAX_TEXT {
                        return Ok(text);
                    }
                }
                Ok(Event::Done) => return Ok(text),
                Ok(Event::Failed(error)) => return Err(error.into()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(EndpointError::HungUp(self.host.clone()).into()),
            }
        }
    }

    /// The whole conversation with the server, on its own thread.
    fn converse(&self, mut body: Value, events: &SyncSender<Event>) -> Result<(), EndpointError> {
        let agent = self.agent();
        let model = match &self.settings.model {
            Some(name) => name.clone(),
            None => self.only_model(&agent)?,
        };
        body["model"] = model.into();
        let mut request = agent.post(format!("{}/chat/completions", self.base)).header("Accept", "text/event-stream");
        if let Some(key) = &self.settings.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let request = request.content_type("application/json");
        let response = request.send(body.to_string()).map_err(|error| self.sort(error))?;
        let response = self.accepted(response)?;
        let streams = kind(&response).is_some_and(|kind| kind.contains("event-stream"));
        let reader = response.into_body().into_reader().take(MAX_BODY);
        if streams { self.stream(reader, events) } else { self.whole(reader, events) }
    }

    fn agent(&self) -> ureq::Agent {
        let patience = Some(self.settings.patience);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("glassbox/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience);
        // A server on this machine is not behind any proxy.
        let config = if self.local { config.proxy(None) } else { config };
        config.build().into()
    }

    fn offers(&self, agent: &ureq::Agent) -> Result<Vec<String>, EndpointError> {
        let mut request = agent.get(format!("{}/models", self.base));
        if let Some(key) = &self.settings.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let response = self.accepted(request.call().map_err(|error| self.sort(error))?)?;
        let list = self.json(response.into_body().into_reader().take(MAX_BODY))?;
        Ok(list.get("data").and_then(Value::as_array).map_or_else(Vec::new, |all| {
            let names = all.iter().filter_map(|one| one.get("id")?.as_str());
            names.map(|name| name.chars().take(80).collect::<String>()).collect()
        }))
    }

    /// The name of the one model that the server offers.
    fn only_model(&self, agent: &ureq::Agent) -> Result<String, EndpointError> {
        match <[String; 1]>::try_from(self.offers(agent)?) {
            Ok([only]) => Ok(only),
            Err(models) => Err(EndpointError::WhichModel { host: self.host.clone(), models }),
        }
    }

    /// The response, if the server took the request.
    fn accepted(&self, response: Response) -> Result<Response, EndpointError> {
        let host = self.host.clone();
        match response.status().as_u16() {
            200..=299 => Ok(response),
            300..=399 => Err(EndpointError::Elsewhere(host)),
            status @ (401 | 403) => Err(EndpointError::Key { host, status }),
            429 => Err(EndpointError::Busy(host)),
            status => {
                let mut text = String::new();
                // What can be read of the reason is shown; a reason that cannot be read is no further failure.
                let _ = response.into_body().into_reader().take(16 << 10).read_to_string(&mut text);
                let value = serde_json::from_str::<Value>(&text).unwrap_or_default();
                Err(EndpointError::Refused { host, status, reason: words_of(&value) })
            }
        }
    }

    fn json(&self, mut reader: impl Read) -> Result<Value, EndpointError> {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map_err(|error| self.broken(&error))?;
        serde_json::from_slice(&text).map_err(|_| EndpointError::Garbage(self.host.clone()))
    }

    /// An answer in one piece, from servers that do not stream.
    fn whole(&self, reader: impl Read, events: &SyncSender<Event>) -> Result<(), EndpointError> {
        let answer = self.json(reader)?;
        let choice = answer.pointer("/choices/0");
        let text = choice.and_then(|choice| choice.pointer("/message/content")).and_then(Value::as_str);
        let text = text.ok_or_else(|| EndpointError::Garbage(self.host.clone()))?;
        let _ = events.send(Event::Text(text.to_owned()));
        Ok(())
    }

    /// Server-sent events: `data: {…}` lines, in the end `data: [DONE]`.
    fn stream(&self, reader: impl Read, events: &SyncSender<Event>) -> Result<(), EndpointError> {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        let (mut understood, mut finished) = (false, false);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| self.broken(&error))?;
            if read == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            let Some(data) = text.trim_end().strip_prefix("data:").map(str::trim) else { continue };
            if data == "[DONE]" {
                return if understood { Ok(()) } else { Err(EndpointError::Garbage(self.host.clone())) };
            }
            let Ok(event) = serde_json::from_str::<Value>(data) else {
                return Err(EndpointError::Garbage(self.host.clone()));
            };
            if event.get("error").is_some_and(|error| !error.is_null()) {
                return Err(EndpointError::Failed { host: self.host.clone(), reason: words_of(&event) });
            }
            let choices = event.get("choices").and_then(Value::as_array);
            understood |= choices.is_some();
            let Some(choice) = choices.and_then(|all| all.first()) else { continue };
            finished |= choice.get("finish_reason").is_some_and(|reason| !reason.is_null());
            let piece = choice.pointer("/delta/content").and_then(Value::as_str).unwrap_or_default();
            if !piece.is_empty() && events.send(Event::Text(piece.to_owned())).is_err() {
                return Ok(());
            }
        }
        match (understood, finished) {
            (true, true) => Ok(()),
            (true, false) => Err(EndpointError::HungUp(self.host.clone())),
            (false, _) => Err(EndpointError::Garbage(self.host.clone())),
        }
    }

    /// An error while the answer was read.
    fn broken(&self, error: &std::io::Error) -> EndpointError {
        use std::io::ErrorKind;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        match (error.kind(), inner) {
            (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) | (_, Some(ureq::Error::Timeout(_))) => self.silent(),
            _ => EndpointError::HungUp(self.host.clone()),
        }
    }

    fn silent(&self) -> EndpointError {
        EndpointError::Silent { host: self.host.clone(), seconds: self.settings.patience.as_secs() }
    }

    /// An error before there was an answer.
    fn sort(&self, error: ureq::Error) -> EndpointError {
        use std::io::ErrorKind;
        let host = self.host.clone();
        match error {
            ureq::Error::Timeout(_) => self.silent(),
            ureq::Error::HostNotFound => EndpointError::NoSuchHost(host),
            ureq::Error::ConnectionFailed => EndpointError::Unreachable(host),
            ureq::Error::RedirectFailed | ureq::Error::TooManyRedirects => EndpointError::Elsewhere(host),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => self.silent(),
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => EndpointError::HungUp(host),
                _ => EndpointError::Unreachable(host),
            },
            ureq::Error::Protocol(_) => EndpointError::Garbage(host),
            other => EndpointError::Insecure { host, reason: other.to_string() },
        }
    }
}

type Response = ureq::http::Response<ureq::Body>;

/// What comes from the thread that talks to the server.
enum Event {
    Text(String),
    Done,
    Failed(EndpointError),
}

/// The response's content type, lower case.
fn kind(response: &Response) -> Option<String> {
    Some(response.headers().get("content-type")?.to_str().ok()?.to_ascii_lowercase())
}

/// The server's own words in an error's JSON: `{"error": {"message": …}}`, `{"error": …}` or `{"message": …}`.
fn words_of(value: &Value) -> String {
    let places = ["/error/message", "/error", "/message", "/detail"];
    let text = places.iter().find_map(|place| value.pointer(place)?.as_str()).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

impl Replier for Endpoint {
    fn reply(
        &mut self,
        request: &SpecifyRequest,
        attempt: u64,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, SpecifyError> {
        let mut body = json!({
            "messages": [{"role": "user", "content": prompt::specification(request)}],
            "stream": true,
            // Some servers take only seeds of 31 bits.
            "seed": request.seed.wrapping_add(attempt) & 0x7fff_ffff,
        });
        // Some models of OpenAI's refuse any other temperature than the usual one, even when it is named.
        if (request.temperature - 1.0).abs() > 1e-6 {
            body["temperature"] = request.temperature.into();
        }
        self.ask(&body, on_text, watcher)
    }
}

impl Captioner for Endpoint {
    fn caption(
        &mut self,
        picture: &RgbImage,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, CaptionError> {
        let shown = sight::data_url(picture)
            .map_err(|error| CaptionError::Model(format!("the picture cannot be sent ({error})")))?;
        let body = json!({
            "messages": [{"role": "user", "content": [
                {"type": "text", "text": prompt::caption()},
                {"type": "image_url", "image_url": {"url": shown}},
            ]}],
            "stream": true,
            "seed": DEFAULT_SEED,
        });
        let reply = self.ask(&body, on_text, watcher).map_err(|error| match error {
            // What servers say whose model takes words only, or does not know this form of a message.
            SpecifyError::Endpoint(refused @ EndpointError::Refused { status: 400..=422 | 500 | 501, .. }) => {
                CaptionError::Blind(refused)
            }
            other => other.into(),
        })?;
        caption::parse(&reply)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::edit::specify::Specifier;
    use crate::nets::watcher::{Cancelled, Unwatched};

    /// A server that reads one request a connection and does with it what each of `acts` says, in turn. What it read
    /// comes through the channel.
    fn serve<const N: usize>(acts: [fn(&mut TcpStream); N]) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for act in acts {
                let (mut stream, _) = listener.accept().unwrap();
                sender.send(read_request(&mut stream)).unwrap();
                act(&mut stream);
            }
        });
        (url, requests)
    }

    /// Head and body of a request, by its content length.
    fn read_request(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            text.push(byte[0].into());
        }
        let length =
            text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        text + &String::from_utf8(body).unwrap()
    }

    fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &str) {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).unwrap();
    }

    fn events(stream: &mut TcpStream, body: &str) {
        answer(stream, "200 OK", "text/event-stream; charset=utf-8", body);
    }

    fn models(stream: &mut TcpStream) {
        answer(stream, "200 OK", "application/json", r#"{"data": [{"id": "tiny"}]}"#);
    }

    const STREAM: &str = ": hello\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"put snow on \"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"the roof\\nfreeze the lake\"},\"finish_reason\":null}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\ndata: [DONE]\n\n";

    fn settings(url: &str) -> EndpointSettings {
        EndpointSettings { model: Some("tiny".to_owned()), ..EndpointSettings::new(url) }
    }

    fn request() -> SpecifyRequest {
        SpecifyRequest { count: 2, ..SpecifyRequest::new("a house by a lake", "make it winter") }
    }

    fn reply_of(settings: EndpointSettings) -> Result<(String, Vec<String>), SpecifyError> {
        let mut pieces = Vec::new();
        let mut endpoint = Endpoint::new(settings).unwrap();
        let text = endpoint.reply(&request(), 0, &mut |text| pieces.push(text.to_owned()), &Unwatched)?;
        Ok((text, pieces))
    }

    fn fault(act: fn(&mut TcpStream)) -> EndpointError {
        let (url, _requests) = serve([act]);
        match reply_of(settings(&url)) {
            Err(SpecifyError::Endpoint(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_streamed_answer_comes_in_pieces() {
        let (url, requests) = serve([|stream| events(stream, STREAM)]);
        let key = Some("secret-key".to_owned());
        let (text, pieces) = reply_of(EndpointSettings { key, ..settings(&format!("{url}/v1/")) }).unwrap();
        assert_eq!(text, "put snow on the roof\nfreeze the lake");
        assert_eq!(pieces, ["put snow on ", "the roof\nfreeze the lake"]);
        let sent = requests.recv().unwrap();
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("authorization: bearer secret-key"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["model"], &body["stream"]), (&json!("tiny"), &json!(true)));
        assert!(body["messages"][0]["content"].as_str().unwrap().contains("Wish: make it winter"));
        assert!(
            !format!("{:?}", EndpointSettings { key: Some("secret-key".to_owned()), ..settings(&url) })
                .contains("secret-")
        );
    }

    #[test]
    fn an_answer_in_one_piece_becomes_a_proposal_of_the_only_model() {
        let (url, requests) = serve([models, |stream| {
            let body = r#"{"choices": [{"message": {"content": "1. put snow on the roof\n2. freeze the lake"}}]}"#;
            answer(stream, "200 OK", "application/json", body);
        }]);
        let mut endpoint = Endpoint::new(EndpointSettings::new(&url)).unwrap();
        let proposal = endpoint.specify(&request(), &mut |_| {}, &Unwatched).unwrap();
        assert_eq!(proposal.instructions, ["put snow on the roof", "freeze the lake"]);
        assert!(requests.recv().unwrap().starts_with("GET /v1/models "));
        assert!(requests.recv().unwrap().contains(r#""model":"tiny""#));
    }

    #[test]
    fn every_refusal_is_one_clear_sentence() {
        let refused = |error: &EndpointError| match error {
            EndpointError::Refused { status, reason, .. } => (*status, reason.clone()),
            other => panic!("{other:?}"),
        };
        let error = fault(|stream| answer(stream, "401 Unauthorized", "application/json", "{}"));
        assert!(matches!(error, EndpointError::Key { status: 401, .. }), "{error}");
        let error = fault(|stream| {
            answer(stream, "404 Not Found", "application/json", r#"{"error": {"message": "no model tiny"}}"#);
        });
        assert_eq!(refused(&error), (404, "no model tiny".to_owned()));
        assert!(error.to_string().ends_with("refused the request (404: no model tiny)"), "{error}");
        let error = fault(|stream| answer(stream, "500 Oops", "text/html", "<h1>Oops</h1>"));
        assert_eq!(refused(&error), (500, String::new()));
        assert!(matches!(fault(|stream| answer(stream, "429 Slow", "text/plain", "")), EndpointError::Busy(_)));
        let moved = fault(|stream| {
            stream
                .write_all(b"HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        });
        assert!(matches!(moved, EndpointError::Elsewhere(_)), "{moved}");
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let garbage = |error: &EndpointError| matches!(error, EndpointError::Garbage(_));
        for act in [
            (|stream: &mut TcpStream| answer(stream, "200 OK", "text/html", "<html></html>")) as fn(&mut TcpStream),
            |stream| answer(stream, "200 OK", "application/json", r#"{"choices": []}"#),
            |stream| events(stream, "data: {not json\n\n"),
            |stream| events(stream, "data: [DONE]\n\n"),
            |stream| events(stream, ""),
            |stream| stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").unwrap(),
        ] {
            let error = fault(act);
            assert!(garbage(&error), "{error:?}");
        }
        let error = fault(|stream| events(stream, "data: {\"error\":{\"message\":\"out of\\nmemory\"}}\n\n"));
        assert!(error.to_string().ends_with("failed while answering: out of memory"), "{error}");
    }

    fn caption_of(act: fn(&mut TcpStream)) -> (Result<String, CaptionError>, String) {
        let (url, requests) = serve([act]);
        let key = Some("secret-key".to_owned());
        let mut endpoint = Endpoint::new(EndpointSettings { key, ..settings(&url) }).unwrap();
        let picture = RgbImage::from_pixel(1000, 500, image::Rgb([10, 200, 30]));
        let mut streamed = String::new();
        let caption = endpoint.caption(&picture, &mut |text| streamed.push_str(text), &Unwatched);
        if caption.is_ok() {
            assert!(!streamed.is_empty());
        }
        (caption, requests.recv().unwrap())
    }

    #[test]
    fn a_picture_is_shown_small_and_its_caption_is_one_line() {
        use base64::Engine;
        let (caption, sent) = caption_of(|stream| {
            let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Caption: \\\"a green\"}}]}\n\n\
                data: {\"choices\":[{\"delta\":{\"content\":\" field\\\"\\n\\nShall I go on?\"}}]}\n\ndata: [DONE]\n\n";
            events(stream, body);
        });
        assert_eq!(caption.unwrap(), "a green field");
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("authorization: bearer secret-key"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["model"], &body["stream"]), (&json!("tiny"), &json!(true)));
        let content = &body["messages"][0]["content"];
        assert_eq!((&content[0]["type"], &content[0]["text"]), (&json!("text"), &json!(prompt::caption())));
        let url = content[1]["image_url"]["url"].as_str().unwrap();
        let jpeg = url.strip_prefix("data:image/jpeg;base64,").unwrap();
        let jpeg = base64::engine::general_purpose::STANDARD.decode(jpeg).unwrap();
        let shown = image::load_from_memory(&jpeg).unwrap().to_rgb8();
        assert_eq!(shown.dimensions(), (768, 384));
        assert!(shown.get_pixel(300, 200).0[1] > 180);
    }

    #[test]
    fn a_server_that_does_not_see_fails_or_says_nothing_in_words() {
        let refuse = |stream: &mut TcpStream| {
            answer(stream, "400 Bad Request", "application/json", r#"{"error": {"message": "text only"}}"#);
        };
        let fault = caption_of(refuse).0.unwrap_err().to_string();
        assert!(fault.contains("text only") && fault.ends_with("its model cannot see pictures"), "{fault}");
        let fault = caption_of(|stream| answer(stream, "401 No", "application/json", "{}")).0.unwrap_err().to_string();
        assert!(fault.contains("refused the key") && !fault.contains("secret"), "{fault}");
        let silent = caption_of(|stream| events(stream, "data: {\"choices\":[]}\n\ndata: [DONE]\n\n")).0;
        assert!(matches!(silent, Err(CaptionError::Empty)), "{silent:?}");
    }

    #[test]
    fn a_person_who_stops_does_not_wait_for_the_caption() {
        struct Stopped;
        impl Watcher for Stopped {
            fn checkpoint(&self) -> candle_core::Result<()> {
                Err(Cancelled.into_candle())
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let outcome = Endpoint::new(settings(&url)).unwrap().caption(&RgbImage::new(8, 8), &mut |_| {}, &Stopped);
        assert!(matches!(outcome, Err(CaptionError::Cancelled)));
    }

    #[test]
    fn a_connection_that_ends_too_early_is_noticed() {
        for act in [
            (|_: &mut TcpStream| ()) as fn(&mut TcpStream),
            |stream| events(stream, "data: {\"choices\":[{\"delta\":{\"content\":\"put snow\"}}]}\n\n"),
            |stream| {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n";
                let half = "data: {\"choices\":[{\"delta\":{\"content\":\"put snow\"}}]}\n\n";
                stream.write_all(format!("{head}{half}").as_bytes()).unwrap();
            },
        ] {
            let error = fault(act);
            assert!(matches!(error, EndpointError::HungUp(_)), "{error:?}");
        }
    }

    #[test]
    fn a_finish_without_the_last_mark_is_whole() {
        let (url, _requests) = serve([|stream| {
            let body = "data: {\"choices\":[{\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}]}\n\n";
            events(stream, body);
        }]);
        assert_eq!(reply_of(settings(&url)).unwrap().0, "ok");
    }

    #[test]
    fn nobody_there_and_silence_are_different_things() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // The listener's queue takes the connection, and nobody ever answers it.
        let patience = Duration::from_millis(80);
        let silent = reply_of(EndpointSettings { patience, ..settings(&url) });
        assert!(matches!(silent, Err(SpecifyError::Endpoint(EndpointError::Silent { .. }))), "{silent:?}");
        // A port that no program gets by chance.
        let nobody = reply_of(settings("http://127.0.0.1:1"));
        assert!(matches!(nobody, Err(SpecifyError::Endpoint(EndpointError::Unreachable(_)))), "{nobody:?}");
    }

    #[test]
    fn several_models_or_none_have_to_be_chosen_from() {
        let (url, _requests) =
            serve([|stream| answer(stream, "200 OK", "application/json", r#"{"data": [{"id": "a"}, {"id": "b"}]}"#)]);
        let error = reply_of(EndpointSettings::new(&url)).unwrap_err().to_string();
        assert!(error.contains("several models (a, b)"), "{error}");
    }

    #[test]
    fn a_person_who_stops_does_not_wait_for_the_server() {
        struct Stopped;
        impl Watcher for Stopped {
            fn checkpoint(&self) -> candle_core::Result<()> {
                Err(Cancelled.into_candle())
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut endpoint = Endpoint::new(settings(&url)).unwrap();
        let outcome = endpoint.reply(&request(), 0, &mut |_| {}, &Stopped);
        assert!(matches!(outcome, Err(SpecifyError::Cancelled)));
    }

    #[test]
    fn addresses_are_understood_or_refused() {
        let base = |url: &str| Endpoint::new(EndpointSettings::new(url)).map(|endpoint| endpoint.base);
        for (url, expected) in [
            ("http://localhost:11434", "http://localhost:11434/v1"),
            (" https://example.com/ ", "https://example.com/v1"),
            ("https://example.com/v1/chat/completions", "https://example.com/v1"),
            ("https://example.com/api/v3/", "https://example.com/api/v3"),
        ] {
            assert_eq!(base(url).as_deref(), Ok(expected));
        }
        for url in
            ["", "localhost:11434", "ftp://example.com", "http://", "http://me:pw@example.com", "http://a b", "/v1"]
        {
            assert!(matches!(base(url), Err(EndpointError::Address(_))), "{url}");
        }
        for key in ["", "a b", "a\nb", "ключ"] {
            let settings = EndpointSettings { key: Some(key.to_owned()), ..EndpointSettings::new("http://localhost") };
            assert_eq!(Endpoint::new(settings).unwrap_err(), EndpointError::KeyCharacters);
        }
    }
}
