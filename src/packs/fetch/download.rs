//! One file: from the cache of other programs or from the hub into a `.part` file, hashed as it comes, gone on with
//! after every interruption, and given its name only once it is whole and right.
//!
//! Beside `NAME.part` stands `NAME.part.json` with what the part is the beginning of. A part of another content (another
//! length or hash) is thrown away; of the right one nothing is ever fetched twice.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::address::{escaped, escaped_revision};
use super::digest::{self, Fingerprint, Hasher};
use super::disk::Disk;
use super::hub::{Answer, Failure, Hub, Tries};
use super::listing::RemoteFile;
use super::observer::Event;
use super::progress::Counter;
use super::{FetchError, cache};
use crate::packs::read_json_as;
use crate::packs::sniff::{self, Content};
use crate::picture::atomic;

/// How often the free space is looked at while a file comes, in bytes.
const SPACE_CHECK: u64 = 64 << 20;

/// Free space below which nothing more is written: other programs need some too.
const RESERVE: u64 = 16 << 20;

/// How often content that turned out wrong is fetched again from the beginning.
const WRONG_TRIES: u32 = 2;

/// Everything that is needed to fetch one file.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) hub: Hub<'a>,
    pub(super) disk: &'a dyn Disk,
    pub(super) caches: &'a [PathBuf],
    pub(super) commit: &'a str,
    pub(super) file: &'a RemoteFile,
    pub(super) counter: &'a Counter<'a>,
}

/// What a part is the beginning of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartState {
    bytes: u64,
    hash: Option<Fingerprint>,
    /// The ETag under which it was sent, for `If-Range`.
    tag: Option<String>,
}

/// A part that is open.
struct Part {
    path: PathBuf,
    file: File,
    state: PartState,
    /// Bytes that are in it, and their hash so far.
    length: u64,
    hasher: Hasher,
}

/// The part of the file that will be `target`, and the file that says what it is.
fn part_paths(target: &Path) -> (PathBuf, PathBuf) {
    (super::beside(target, ".part"), super::beside(target, ".part.json"))
}

/// Bytes of `file` that an earlier fetch left beside `target`.
pub(super) fn left_over(target: &Path, file: &RemoteFile) -> u64 {
    let (part, state) = part_paths(target);
    let state = state.is_file().then(|| read_json_as::<PartState>(&state).ok()).flatten();
    let fits = state.is_some_and(|state| state.bytes == file.bytes && state.hash == file.hash);
    std::fs::metadata(part).map_or(0, |facts| if fits && facts.len() <= file.bytes { facts.len() } else { 0 })
}

impl Errand<'_> {
    /// Brings the file to `target` and returns its hash.
    pub(super) fn run(&self, target: &Path) -> Result<Fingerprint, FetchError> {
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(FetchError::io(folder, "made"))?;
        }
        let mut part = self.open_part(target)?;
        if part.length == 0 && self.copy_from_cache(&mut part)? {
            self.hub.observer.event(&Event::FromCache { file: self.file.path.clone() });
            return self.finish(part, target);
        }
        let mut tries = Tries::new();
        let mut wrong = 0;
        loop {
            let before = part.length;
            let failure = match self.go_on(&mut part) {
                Ok(()) => {
                    let found = part.hasher.clone().finish();
                    match &self.file.hash {
                        Some(want) if *want != found => {
                            self.begin_anew(&mut part, None)?;
                            wrong += 1;
                            let error = FetchError::WrongHash {
                                host: super::hub::host(&self.hub.address("")?),
                                what: self.file.path.clone(),
                                have: found.digits().to_owned(),
                                want: want.digits().to_owned(),
                            };
                            if wrong >= WRONG_TRIES { error.into() } else { Failure::Passing(error, None) }
                        }
                        _ => return self.finish(part, target),
                    }
                }
                Err(failure) => failure,
            };
            // Progress worth the name: a server that sends a byte and hangs up must not keep us for ever.
            let progress = part.length.saturating_sub(before);
            if progress > 0 && progress >= (1 << 20).min(self.file.bytes / 20) {
                tries.forget();
            }
            tries.wait(&self.hub, &self.file.path, failure)?;
        }
    }

    /// Opens the part beside `target`, with what an earlier fetch left in it if that fits.
    fn open_part(&self, target: &Path) -> Result<Part, FetchError> {
        let (path, state_path) = part_paths(target);
        let old = state_path.is_file().then(|| read_json_as::<PartState>(&state_path).ok()).flatten();
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.map_err(FetchError::io(&path, "opened"))?;
        let length = file.metadata().map_err(FetchError::io(&path, "read"))?.len();
        let state = PartState { bytes: self.file.bytes, hash: self.file.hash.clone(), tag: None };
        let mut hasher = Hasher::new(self.file.hash.as_ref(), self.file.bytes);
        let fits = |old: &PartState| {
            old.bytes == state.bytes && old.hash == state.hash && (old.hash.is_some() || old.tag.is_some())
        };
        match old.filter(|old| fits(old) && length <= self.file.bytes) {
            Some(old) => {
                let mut count = |bytes| self.counter.add(bytes);
                hasher.update_from(&path, &mut file, self.hub.observer, &mut count)?;
                Ok(Part { path, file, state: old, length, hasher })
            }
            None => {
                let mut part = Part { path, file, state, length: 0, hasher };
                self.begin_anew(&mut part, None)?;
                Ok(part)
            }
        }
    }

    /// Empties the part; what comes next is sent under `tag`.
    fn begin_anew(&self, part: &mut Part, tag: Option<String>) -> Result<(), FetchError> {
        let failed = |doing| FetchError::io(&part.path, doing);
        part.file.set_len(0).map_err(failed("emptied"))?;
        part.file.seek(SeekFrom::Start(0)).map_err(failed("emptied"))?;
        self.counter.take_back(part.length);
        part.length = 0;
        part.hasher = Hasher::new(self.file.hash.as_ref(), self.file.bytes);
        part.state = PartState { bytes: self.file.bytes, hash: self.file.hash.clone(), tag };
        let path = super::beside(&part.path, ".json");
        let text = serde_json::to_vec(&part.state)
            .map_err(|error| FetchError::io(&path, "written")(std::io::Error::other(error)))?;
        atomic::write(&path, |out| out.write_all(&text)).map_err(FetchError::io(&path, "written"))
    }

    /// Writes `bytes` at the end of the part.
    fn add(&self, part: &mut Part, bytes: &[u8]) -> Result<(), FetchError> {
        let before = part.length / SPACE_CHECK;
        if let Err(error) = self.disk.write(&mut part.file, bytes) {
            // Part of it may have been written: the file must end where the hash does.
            let _ = part.file.set_len(part.length);
            let _ = part.file.seek(SeekFrom::Start(part.length));
            return Err(FetchError::io(&part.path, "written")(error));
        }
        part.hasher.update(bytes);
        part.length += bytes.len() as u64;
        self.counter.add(bytes.len() as u64);
        let full = || self.disk.free(&part.path).is_some_and(|free| free < RESERVE);
        if part.length / SPACE_CHECK != before && part.length < self.file.bytes && full() {
            return Err(FetchError::DiskFull { path: part.path.clone() });
        }
        Ok(())
    }

    /// Copies the file from the cache of other programs; false if it is not there, or not right.
    fn copy_from_cache(&self, part: &mut Part) -> Result<bool, FetchError> {
        let Some(path) = cache::find(self.caches, self.hub.repository, self.commit, self.file) else {
            return Ok(false);
        };
        // Without a published hash nothing tells whether it is right.
        let Some(want) = &self.file.hash else { return Ok(false) };
        // What cannot be read there is fetched instead.
        let found = match digest::of_file(&path, Some(want), self.hub.observer, &mut |_| ()) {
            Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
            found => found.ok(),
        };
        if found.as_ref() != Some(want) {
            return Ok(false);
        }
        let Ok(mut source) = File::open(&path) else { return Ok(false) };
        let mut piece = vec![0; 1 << 20];
        while let Ok(length @ 1..) = std::io::Read::read(&mut source, &mut piece) {
            if self.hub.observer.wish() == super::Wish::Stop {
                return Err(FetchError::Cancelled);
            }
            self.add(part, &piece[..length])?;
        }
        if part.hasher.clone().finish() == *want {
            return Ok(true);
        }
        self.begin_anew(part, None)?;
        Ok(false)
    }

    /// One try: asks for what is missing and takes in what comes.
    fn go_on(&self, part: &mut Part) -> Result<(), Failure> {
        if part.length == self.file.bytes {
            return Ok(());
        }
        let what = &self.file.path;
        let path = format!(
            "{}/resolve/{}/{}",
            escaped(self.hub.repository),
            escaped_revision(self.commit),
            escaped(&self.file.path)
        );
        let address = self.hub.address(&path)?;
        let mut headers = Vec::new();
        if part.length > 0 {
            headers.push(("Range", format!("bytes={}-", part.length)));
            // Only a strong tag may stand there.
            let tag = part.state.tag.iter().find(|tag| !tag.starts_with("W/"));
            headers.extend(tag.map(|tag| ("If-Range", tag.clone())));
        }
        let mut answer = match self.hub.get(&address, &headers, what) {
            Err(Failure::Final(FetchError::Server { status: 416, host, what })) if part.length > 0 => {
                // The file is shorter there than what is here.
                self.begin_anew(part, None)?;
                return Err(Failure::Passing(FetchError::Server { host, what, status: 416 }, None));
            }
            answer => answer?,
        };
        self.hub.observer.event(&Event::Begun { file: what.clone(), at: part.length });
        let host = answer.host.clone();
        self.check_published(&answer)?;
        let goes_on = answer.head().status == 206;
        if goes_on && !continues(&answer, part.length, self.file.bytes) {
            self.begin_anew(part, None)?;
            let reason = "it sent another part of the file than it was asked for".to_owned();
            return Err(Failure::Passing(FetchError::NoHub { host, reason }, None));
        }
        let mut start = Vec::new();
        if !goes_on {
            let tag = answer.head().text("etag").map(str::to_owned);
            self.begin_anew(part, tag)?;
            start = self.start(&mut answer, &host)?;
        }
        let announced = answer.head().number("content-length").map(|length| part.length + length);
        if let Some(have) = announced.filter(|have| *have != self.file.bytes) {
            let error = FetchError::WrongLength { host, what: what.clone(), have, want: self.file.bytes };
            return Err(Failure::Passing(error, None));
        }
        let mut next = Some(start);
        while let Some(piece) = next {
            let have = part.length + piece.len() as u64;
            if have > self.file.bytes {
                self.begin_anew(part, None)?;
                let error = FetchError::WrongLength { host, what: what.clone(), have, want: self.file.bytes };
                return Err(Failure::Passing(error, None));
            }
            self.add(part, &piece)?;
            if part.length == self.file.bytes {
                return Ok(());
            }
            next = answer.connection.piece().map_err(|broken| self.hub.failure(broken, &host, what))?;
        }
        let tries = self.hub.settings.patience.tries;
        Err(Failure::Passing(FetchError::Dropped { host, what: what.clone(), tries }, None))
    }

    /// The first bytes of the body, 512 at least if there are as many, if they are not those of an error page or of a
    /// pointer.
    fn start(&self, answer: &mut Answer<'_>, host: &str) -> Result<Vec<u8>, Failure> {
        let what = &self.file.path;
        let mut start = Vec::new();
        while start.len() < 512 {
            match answer.connection.piece().map_err(|broken| self.hub.failure(broken, host, what)) {
                Ok(Some(piece)) => start.extend(piece),
                Ok(None) => break,
                // What came before the connection broke may tell enough, and is used.
                Err(Failure::Passing(..)) if !start.is_empty() => break,
                Err(failure) => return Err(failure),
            }
        }
        match sniff::of_bytes(start.get(..512).unwrap_or(&start)) {
            found @ (Content::Html | Content::LfsPointer) => {
                Err(FetchError::NotTheFile { host: host.to_owned(), what: what.clone(), found }.into())
            }
            _ => Ok(start),
        }
    }

    /// Refuses an answer whose headers say that the file is another one than the listing told of.
    fn check_published(&self, answer: &Answer<'_>) -> Result<(), FetchError> {
        let linked = answer.first.text("x-linked-etag");
        let tag = linked.or_else(|| answer.first.text("etag")).and_then(Fingerprint::of_tag);
        if let (Some(want), Some(have)) = (&self.file.hash, tag)
            && std::mem::discriminant(want) == std::mem::discriminant(&have)
            && *want != have
        {
            let host = super::hub::host(&self.hub.address("")?);
            return Err(FetchError::Changed { host, what: self.file.path.clone() });
        }
        Ok(())
    }

    /// Makes the part the file.
    fn finish(&self, part: Part, target: &Path) -> Result<Fingerprint, FetchError> {
        let Part { path, file, hasher, .. } = part;
        file.sync_all().map_err(FetchError::io(&path, "written"))?;
        drop(file);
        std::fs::rename(&path, target).map_err(FetchError::io(target, "put in its place"))?;
        // A state without a part is of no meaning; it goes with the folder at the latest.
        let _ = std::fs::remove_file(super::beside(&path, ".json"));
        self.hub.observer.event(&Event::Done { file: self.file.path.clone() });
        Ok(hasher.finish())
    }
}

/// Whether a partial answer goes on where the part ends, in a file of the right length.
fn continues(answer: &Answer<'_>, from: u64, total: u64) -> bool {
    let range = answer.head().text("content-range").and_then(|range| range.strip_prefix("bytes "));
    let Some((range, whole)) = range.and_then(|range| range.split_once('/')) else { return false };
    let start = range.split_once('-').and_then(|(start, _)| start.parse::<u64>().ok());
    start == Some(from) && (whole == "*" || whole.parse() == Ok(total))
}
