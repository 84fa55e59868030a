//! A hub of models on this machine, for tests: it lists and serves repositories as the public one does (large files from a
//! second port, which counts as another host), and a hook may spoil any answer.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Whether it came to the second port.
    pub(crate) at_storage: bool,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// Its number among those for this path, from 0.
    pub(crate) nth: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// How the body of an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Whole,
    /// The connection is closed after so many bytes of the body.
    CutAfter(usize),
    /// Nothing follows after so many bytes, and the connection stays open.
    SilentAfter(usize),
    /// A byte at a time, a millisecond apart.
    Dripping,
}

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) sending: Sending,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), sending: Sending::Whole }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn sent(mut self, sending: Sending) -> Self {
        self.sending = sending;
        self
    }
}

type Hook = Box<dyn FnMut(&Request, Reply) -> Reply + Send>;

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// Content by its SHA-256, as the storage behind the hub keeps it.
    stored: BTreeMap<String, Vec<u8>>,
    hook: Option<Hook>,
    seen: Vec<Request>,
    /// Bytes of bodies that were sent, by path.
    sent: BTreeMap<String, usize>,
}

#[derive(Clone, Default)]
struct Repository {
    files: BTreeMap<String, Vec<u8>>,
    /// Which token opens it, if not everybody may.
    token: Option<String>,
}

impl Repository {
    /// A name for this content, as a commit's.
    fn commit(&self) -> String {
        let mut hasher = Sha1::new();
        for (path, content) in &self.files {
            hasher.update(path);
            hasher.update(content);
        }
        hexadecimal(&hasher.finalize())
    }
}

/// The running hub. Its threads end with the test's process.
pub(crate) struct Hub {
    state: Arc<Mutex<State>>,
    address: String,
    storage: String,
}

impl Hub {
    pub(crate) fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let back = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let hub = Self { state, address: address(&front), storage: address(&back) };
        for (listener, at_storage) in [(front, false), (back, true)] {
            let (state, storage) = (Arc::clone(&hub.state), hub.storage.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (state, storage) = (Arc::clone(&state), storage.clone());
                    std::thread::spawn(move || answer(stream, &state, &storage, at_storage));
                }
            });
        }
        hub
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Publishes (or replaces) a file.
    pub(crate) fn put(&self, repository: &str, path: &str, content: impl Into<Vec<u8>>) {
        let content = content.into();
        let mut state = self.state();
        state.stored.insert(sha256(&content), content.clone());
        state.repositories.entry(repository.to_owned()).or_default().files.insert(path.to_owned(), content);
    }

    /// Publishes a folder.
    pub(crate) fn put_folder(&self, repository: &str, folder: &Path) {
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for item in std::fs::read_dir(next).unwrap() {
                let path = item.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().replace('\\', "/");
                    self.put(repository, &name, std::fs::read(&path).unwrap());
                }
            }
        }
    }

    /// Opens the repository only to who sends this token.
    pub(crate) fn gate(&self, repository: &str, token: &str) {
        self.state().repositories.get_mut(repository).unwrap().token = Some(token.to_owned());
    }

    /// Lets `hook` change every answer from now on.
    pub(crate) fn hook(&self, hook: impl FnMut(&Request, Reply) -> Reply + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    pub(crate) fn unhook(&self) {
        self.state().hook = None;
    }

    pub(crate) fn commit(&self, repository: &str) -> String {
        self.state().repositories[repository].commit()
    }

    pub(crate) fn content(&self, repository: &str, path: &str) -> Vec<u8> {
        self.state().repositories[repository].files[path].clone()
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.state().seen.clone()
    }

    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.seen.clear();
        state.sent.clear();
    }

    /// Bytes of bodies that were sent for a file of a repository, from either port.
    pub(crate) fn sent(&self, repository: &str, path: &str) -> usize {
        let state = self.state();
        let content = &state.repositories[repository].files[path];
        let ends = [format!("/resolve/{}/{path}", state.repositories[repository].commit()), sha256(content)];
        let of = |(asked, bytes): (&String, &usize)| ends.iter().any(|end| asked.ends_with(end)).then_some(*bytes);
        state.sent.iter().filter_map(of).sum()
    }
}

/// Files that git does not hold itself.
pub(crate) fn is_large(path: &str) -> bool {
    [".safetensors", ".bin", ".pth"].iter().any(|ending| path.ends_with(ending))
}

pub(crate) fn sha256(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

pub(crate) fn git_sha1(content: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    hexadecimal(&hasher.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads one request and answers it. A client that hangs up meanwhile is no fault.
fn answer(stream: TcpStream, state: &Mutex<State>, storage: &str, at_storage: bool) {
    let Some(mut request) = read(&stream) else { return };
    request.at_storage = at_storage;
    let reply = {
        let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        request.nth = state.seen.iter().filter(|seen| seen.path == request.path).count();
        state.seen.push(request.clone());
        let usual = usual(&state, storage, &request);
        match &mut state.hook {
            Some(hook) => hook(&request, usual),
            None => usual,
        }
    };
    let (mut stream, sent) = send(stream, &reply);
    if reply.status == 200 || reply.status == 206 {
        let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state.sent.entry(request.path.split('?').next().unwrap().to_owned()).or_default() += sent;
    }
    if let Sending::SilentAfter(_) = reply.sending {
        // Until the other side hangs up.
        let _ = stream.read(&mut [0]);
    }
    let _ = stream.shutdown(Shutdown::Write);
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        match line.split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    Some(Request { path, headers, ..Request::default() })
}

fn send(mut stream: TcpStream, reply: &Reply) -> (TcpStream, usize) {
    let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
    let mut headers = reply.headers.clone();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        headers.push(("content-length".to_owned(), reply.body.len().to_string()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return (stream, 0);
    }
    let length = match reply.sending {
        Sending::CutAfter(bytes) | Sending::SilentAfter(bytes) => bytes.min(reply.body.len()),
        Sending::Whole | Sending::Dripping => reply.body.len(),
    };
    match reply.sending {
        Sending::Dripping => {
            for (at, byte) in reply.body.iter().enumerate() {
                if stream.write_all(&[*byte]).is_err() {
                    return (stream, at);
                }
                // What this fault is: slowness.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        _ => {
            if stream.write_all(&reply.body[..length]).is_err() {
                return (stream, 0);
            }
        }
    }
    let _ = stream.flush();
    (stream, length)
}

/// What the public hub would answer.
fn usual(state: &State, storage: &str, request: &Request) -> Reply {
    let path = request.path.split('?').next().unwrap();
    if request.at_storage {
        let content = path.rsplit('/').next().and_then(|name| state.stored.get(name));
        return content.map_or_else(
            || Reply::new(404, "gone"),
            |content| part_of(content, &format!("\"{}\"", sha256(content)), request),
        );
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (api, parts) = match parts.as_slice() {
        ["api", "models", rest @ ..] => (true, rest),
        all => (false, all),
    };
    let [owner, name, verb, revision, rest @ ..] = parts else { return Reply::new(404, "no such page") };
    let Some(repository) = state.repositories.get(&format!("{owner}/{name}")) else {
        return Reply::new(401, "{}").with("x-error-code", "RepoNotFound");
    };
    let commit = repository.commit();
    if *revision != "main" && *revision != commit {
        return Reply::new(404, "{}").with("x-error-code", "RevisionNotFound");
    }
    if let Some(token) = repository.token.as_ref().filter(|_| !api) {
        match request.header("authorization") {
            Some(sent) if *sent == format!("Bearer {token}") => {}
            Some(_) => return Reply::new(403, "{}").with("x-error-code", "GatedRepo"),
            None => return Reply::new(401, "{}").with("x-error-code", "GatedRepo"),
        }
    }
    match (api, *verb) {
        (true, "revision") => Reply::new(200, json!({ "id": "x", "sha": commit }).to_string()),
        (true, "commits") => Reply::new(200, json!([{ "id": commit, "title": "x" }]).to_string()),
        (true, "tree") => page(repository, request),
        (false, "resolve") => {
            let path = rest.join("/");
            let Some(content) = repository.files.get(&path) else {
                return Reply::new(404, "{}").with("x-error-code", "EntryNotFound");
            };
            let reply = if is_large(&path) {
                let hash = sha256(content);
                let signed = format!("{storage}/blobs/{hash}?signature=1");
                let reply = Reply::new(302, "Found").with("location", signed);
                reply.with("x-linked-etag", format!("\"{hash}\"")).with("x-linked-size", content.len().to_string())
            } else {
                part_of(content, &format!("\"{}\"", git_sha1(content)), request)
            };
            reply.with("x-repo-commit", commit)
        }
        _ => Reply::new(404, "no such page"),
    }
}

/// A page of the listing: five files each, so that there are several.
fn page(repository: &Repository, request: &Request) -> Reply {
    let from = request.path.split_once("cursor=").and_then(|(_, at)| at.parse().ok()).unwrap_or(0);
    let all: Vec<_> = repository.files.iter().collect();
    let entries: Vec<_> = all
        .iter()
        .skip(from)
        .take(5)
        .map(|(path, content)| {
            let mut entry = json!({
                "type": "file", "path": path, "size": content.len(), "oid": git_sha1(content),
            });
            if is_large(path) {
                entry["oid"] = json!(git_sha1(b"pointer"));
                entry["lfs"] = json!({ "oid": sha256(content), "size": content.len(), "pointerSize": 134 });
            }
            entry
        })
        .collect();
    let reply = Reply::new(200, json!(entries).to_string());
    if from + 5 < all.len() {
        let path = request.path.split('?').next().unwrap();
        reply.with("link", format!("<{path}?recursive=true&cursor={}>; rel=\"next\"", from + 5))
    } else {
        reply
    }
}

/// The content, or the rest of it that is asked for, if the tag still fits.
fn part_of(content: &[u8], tag: &str, request: &Request) -> Reply {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let fits = request.header("if-range").is_none_or(|asked| asked == tag);
    let reply = match range.filter(|_| fits) {
        Some(from) if from >= content.len() => Reply::new(416, ""),
        Some(from) => Reply::new(206, &content[from..])
            .with("content-range", format!("bytes {from}-{}/{}", content.len() - 1, content.len())),
        None => Reply::new(200, content),
    };
    reply.with("etag", tag).with("accept-ranges", "bytes")
}
