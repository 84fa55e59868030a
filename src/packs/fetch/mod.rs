//! Fetching a published model: from the hub's list of files to a folder that can be used, or to the reason why not.
//!
//! In the order of the work: the listing of the repository at one commit (`listing`), the files that the model needs
//! (`select`), what of them is here already (in the model's folder, from an earlier fetch, or in the cache of Hugging
//! Face's own programs), free space, and each missing file (`download`) over the hub's protocol (`hub`, `connection`),
//! four at a time. All of it happens beside the models, in `.fetching/ID`; the folder `ID` appears in one rename when
//! everything is there, so that half a model is never taken for one. In a folder that is there already only files that
//! were fetched and are damaged or outdated are replaced, each in one rename.
//!
//! Nothing but the names of repository, commit and files is told to the hub, and the person's token to the hub alone.

mod address;
mod cache;
mod connection;
mod digest;
mod disk;
mod download;
mod error;
mod hub;
mod listing;
mod lock;
mod observer;
mod progress;
pub mod record;
mod select;
mod settings;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

pub use digest::Fingerprint;
pub use disk::{Disk, ThisDisk};
pub use error::FetchError;
pub use observer::{Event, FetchObserver, Progress, Stage, Wish};
pub use settings::{HubSettings, Patience, Token};
pub use state::{ModelState, state};

use download::Errand;
use hub::Hub;
use listing::RemoteFile;
use lock::Lock;
use progress::{Counter, Together};
use record::{Record, RecordedFile, local};

use crate::packs::manifest::Model;
use crate::packs::store::Store;
use crate::packs::{PackError, read_json_as};

/// The folder beside the models where fetches are under way.
const STAGING: &str = ".fetching";

/// How a model is fetched.
#[derive(Clone, Copy)]
pub struct FetchOptions<'a> {
    /// From where.
    pub hub: &'a HubSettings,
    /// The disk that is written to.
    pub disk: &'a dyn Disk,
    /// Whether the person accepts terms that forbid commercial use.
    pub accept_licence: bool,
}

/// Where a model was found in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// All of it was in its folder already.
    Here,
    /// All of it was in the cache of other programs, where it stays and is used.
    Cache,
    /// Some or all of it was fetched or copied.
    Fetched,
}

/// A model that is whole and right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its folder, or its file where the model is one file.
    pub path: PathBuf,
    /// The commit of the repository.
    pub commit: String,
    /// How many files it has.
    pub files: usize,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Where it was.
    pub source: Source,
}

/// The folder where `model` is put; `None` where the system names no folder for models.
fn folder_of(store: &Store, model: &Model) -> Option<PathBuf> {
    store.places().models.as_ref().map(|root| root.join(&model.id))
}

/// The folder where `model` is gathered.
fn staging_of(store: &Store, model: &Model) -> Option<PathBuf> {
    store.places().models.as_ref().map(|root| root.join(STAGING).join(&model.id))
}

/// The path with `ending` at its end; ids hold full stops, so this is not an extension.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// What the person has to accept before `model` is fetched: its licence, if that forbids commercial use and was not
/// accepted on this machine before.
#[must_use]
pub fn to_accept<'a>(store: &Store, model: &'a Model) -> Option<&'a crate::packs::manifest::Licence> {
    let folders = [folder_of(store, model), staging_of(store, model)];
    let accepted = folders.into_iter().flatten().filter_map(|folder| Record::read(&folder)?.accepted);
    let known = accepted.into_iter().any(|name| name == model.licence.name);
    Some(&model.licence).filter(|licence| licence.non_commercial() && !known)
}

/// Fetches `model`, or what is missing or damaged of it.
///
/// # Errors
/// A [`FetchError`], one sentence. What has come until then is kept for the next fetch.
pub fn fetch(
    store: &Store,
    model: &Model,
    options: &FetchOptions<'_>,
    observer: &dyn FetchObserver,
) -> Result<Fetched, FetchError> {
    let Some(repository) = &model.repository else {
        return Err(FetchError::NotPublished { id: model.id.clone() });
    };
    if let Some(licence) = to_accept(store, model).filter(|_| !options.accept_licence) {
        return Err(FetchError::Licence {
            id: model.id.clone(),
            licence: licence.name.clone(),
            link: licence.link.clone(),
        });
    }
    if options.hub.offline {
        return offline(store, model);
    }
    let (Some(folder), Some(staging)) = (folder_of(store, model), staging_of(store, model)) else {
        return Err(FetchError::NoFolder);
    };
    if let Some(parent) = staging.parent() {
        std::fs::create_dir_all(parent).map_err(FetchError::io(parent, "made"))?;
    }
    let _lock = Lock::take(&beside(&staging, ".lock"), &options.hub.patience, observer)?;
    observer.stage(&Stage::Listing);
    let hub = Hub { settings: options.hub, observer, repository };
    let listing = listing::list(&hub, model.revision.as_deref().unwrap_or("main"))?;
    let mut files = select::needed(model, &listing)?;
    pin(model, &mut files, &hub)?;
    let fetch = Fetch { store, model, options, observer, repository, folder, staging, commit: listing.commit, files };
    fetch.run()
}

/// What is here, if nothing may be asked.
fn offline(store: &Store, model: &Model) -> Result<Fetched, FetchError> {
    let state = state(store, model);
    let path = state.path().ok_or_else(|| FetchError::Offline { what: model.id.clone() })?;
    let record = Record::read(path).unwrap_or_default();
    let source = if matches!(state, ModelState::Cached(_)) { Source::Cache } else { Source::Here };
    Ok(Fetched { path: path.clone(), commit: record.commit, files: record.files.len(), bytes: record.total, source })
}

/// Holds the files against the hash that the list of models has of the one file of a model.
fn pin(model: &Model, files: &mut [RemoteFile], hub: &Hub<'_>) -> Result<(), FetchError> {
    let (Some(name), Some(hash)) = (&model.file, &model.sha256) else { return Ok(()) };
    for file in files.iter_mut().filter(|file| file.path == *name) {
        let pinned = Fingerprint::Sha256(hash.to_ascii_lowercase());
        if matches!(&file.hash, Some(Fingerprint::Sha256(_))) && file.hash.as_ref() != Some(&pinned) {
            return Err(FetchError::NotPinned { host: hub::host(&hub.address("")?), what: name.clone() });
        }
        file.hash = Some(pinned);
    }
    Ok(())
}

/// One fetch under way.
struct Fetch<'a> {
    store: &'a Store,
    model: &'a Model,
    options: &'a FetchOptions<'a>,
    observer: &'a dyn FetchObserver,
    repository: &'a str,
    /// Where the model will be.
    folder: PathBuf,
    /// Where it is gathered.
    staging: PathBuf,
    commit: String,
    files: Vec<RemoteFile>,
}

impl Fetch<'_> {
    fn run(self) -> Result<Fetched, FetchError> {
        let total = self.files.iter().map(|file| file.bytes).sum::<u64>();
        if !self.folder.is_dir()
            && let Some(snapshot) = self.snapshot(total)?
        {
            return Ok(self.found(&snapshot, total, Source::Cache));
        }
        let (mut record, mut missing) = self.already_placed(total)?;
        if missing.is_empty() {
            if Record::read(&self.folder).as_ref() != Some(&record) {
                record.write(&self.folder)?;
            }
            self.discard_staging();
            return Ok(self.found(&self.folder, total, Source::Here));
        }
        std::fs::create_dir_all(&self.staging).map_err(FetchError::io(&self.staging, "made"))?;
        let mut gathered = self.already_gathered(total);
        // Before anything comes: so that an interrupted fetch is known for what it is.
        gathered.write(&self.staging)?;
        missing.retain(|file| !gathered.files.contains_key(&file.path));
        self.check_space(&missing)?;
        self.observer.stage(&Stage::Fetching);
        let here = |files: &BTreeMap<String, RecordedFile>| files.values().map(|file| file.bytes).sum::<u64>();
        let done = here(&record.files) + here(&gathered.files);
        gathered = self.gather(missing, gathered, done, total)?;
        self.observer.stage(&Stage::Placing);
        record.files.append(&mut gathered.files);
        self.check_indices(&record)?;
        self.place(&record)?;
        Ok(self.found(&self.folder, total, Source::Fetched))
    }

    fn found(&self, folder: &Path, bytes: u64, source: Source) -> Fetched {
        let path = self.model.file.as_ref().map_or_else(|| folder.to_path_buf(), |file| folder.join(file));
        Fetched { path, commit: self.commit.clone(), files: self.files.len(), bytes, source }
    }

    /// A record of this fetch without files.
    fn record(&self, total: u64) -> Record {
        let licence = &self.model.licence;
        let accepted = licence.non_commercial().then(|| licence.name.clone());
        let files = BTreeMap::new();
        Record { repository: self.repository.to_owned(), commit: self.commit.clone(), accepted, total, files }
    }

    /// The snapshot of this commit in another program's cache, if the store finds it there and it is whole and right.
    fn snapshot(&self, total: u64) -> Result<Option<PathBuf>, FetchError> {
        let caches = &self.store.places().hub_caches;
        let snapshot = cache::whole_snapshot(caches, self.repository, &self.commit, &self.files);
        let located = self.store.locate(self.model);
        let Some(snapshot) = snapshot.filter(|snapshot| located.is_some_and(|path| path.starts_with(snapshot))) else {
            return Ok(None);
        };
        self.observer.stage(&Stage::Checking);
        let counter = Counter::new(self.observer, 0, total);
        for file in &self.files {
            if !self.is_right(&local(&snapshot, &file.path), file, &counter)? {
                return Ok(None);
            }
        }
        Ok(Some(snapshot))
    }

    /// Whether the file at `path` is `file`.
    fn is_right(&self, path: &Path, file: &RemoteFile, counter: &Counter<'_>) -> Result<bool, FetchError> {
        let Some(want) = &file.hash else { return Ok(true) };
        let found = digest::of_file(path, Some(want), self.observer, &mut |bytes| counter.add(bytes))?;
        Ok(found == *want)
    }

    /// What is whole and right in the model's folder, and what is missing there.
    fn already_placed(&self, total: u64) -> Result<(Record, Vec<&RemoteFile>), FetchError> {
        let mut record = self.record(total);
        if !self.folder.is_dir() {
            return Ok((record, self.files.iter().collect()));
        }
        self.observer.stage(&Stage::Checking);
        let old = Record::read(&self.folder).unwrap_or_default();
        let counter = Counter::new(self.observer, 0, total);
        let mut missing = Vec::new();
        for file in &self.files {
            let path = local(&self.folder, &file.path);
            let Ok(facts) = std::fs::metadata(&path) else {
                missing.push(file);
                continue;
            };
            let recorded = old.files.get(&file.path);
            let fits = facts.len() == file.bytes && self.is_right(&path, file, &counter)?;
            let hash = file.hash.clone().or_else(|| recorded.map(|recorded| recorded.hash.clone()));
            match hash.filter(|_| fits) {
                Some(hash) => {
                    record.files.insert(file.path.clone(), RecordedFile { bytes: file.bytes, hash });
                }
                // Only what a fetch has put there is replaced.
                None if recorded.is_some() => missing.push(file),
                None => return Err(FetchError::InTheWay { path }),
            }
        }
        Ok((record, missing))
    }

    /// What an earlier fetch has brought and still fits.
    fn already_gathered(&self, total: u64) -> Record {
        let old = Record::read(&self.staging).unwrap_or_default();
        let mut record = self.record(total);
        for file in &self.files {
            let fits = |recorded: &&RecordedFile| {
                let there = std::fs::metadata(local(&self.staging, &file.path));
                recorded.bytes == file.bytes
                    && file.hash.as_ref() == Some(&recorded.hash)
                    && there.is_ok_and(|facts| facts.len() == file.bytes)
            };
            if let Some(recorded) = old.files.get(&file.path).filter(fits) {
                record.files.insert(file.path.clone(), recorded.clone());
            }
        }
        record
    }

    /// Refuses to begin what would not fit, a tenth to spare.
    fn check_space(&self, missing: &[&RemoteFile]) -> Result<(), FetchError> {
        let left = |file: &&RemoteFile| {
            file.bytes.saturating_sub(download::left_over(&local(&self.staging, &file.path), file))
        };
        let bytes = missing.iter().map(left).fold(0, u64::saturating_add);
        let needed = bytes.saturating_add(bytes / 10);
        match self.options.disk.free(&self.staging) {
            Some(free) if free < needed => Err(FetchError::NoRoom { folder: self.folder.clone(), needed, free }),
            _ => Ok(()),
        }
    }

    /// Fetches `missing` into the staging folder, several at a time, and returns the record of all that is there.
    fn gather(
        &self,
        mut missing: Vec<&RemoteFile>,
        gathered: Record,
        done: u64,
        total: u64,
    ) -> Result<Record, FetchError> {
        let counter = Counter::new(self.observer, done, total);
        let together = Together { observer: self.observer, failed: AtomicBool::new(false) };
        let threads = self.options.hub.parallel.clamp(1, 16).min(missing.len());
        // The large ones first; taken from the end.
        missing.sort_by_key(|file| file.bytes);
        let queue = Mutex::new(missing);
        let outcome = Mutex::new((gathered, None::<FetchError>));
        let errand = |file| Errand {
            hub: Hub { settings: self.options.hub, observer: &together, repository: self.repository },
            disk: self.options.disk,
            caches: &self.store.places().hub_caches,
            commit: &self.commit,
            file,
            counter: &counter,
        };
        let work = || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(file) = next.filter(|_| !together.failed.load(Ordering::Acquire)) else { return };
                let brought = errand(file).run(&local(&self.staging, &file.path));
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                let kept = brought.and_then(|hash| {
                    let recorded = RecordedFile { bytes: file.bytes, hash };
                    outcome.0.files.insert(file.path.clone(), recorded);
                    outcome.0.write(&self.staging)
                });
                if let Err(error) = kept {
                    together.failed.store(true, Ordering::Release);
                    // The first failure is the reason; that the others stop follows from it.
                    outcome.1.get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        match outcome.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (_, Some(error)) => Err(error),
            (record, None) => Ok(record),
        }
    }

    /// Refuses a model whose index names weights that the repository does not hold.
    fn check_indices(&self, record: &Record) -> Result<(), FetchError> {
        for name in record.files.keys().filter(|name| name.ends_with(".json") && name.contains(".index")) {
            let staged = local(&self.staging, name);
            let path = if staged.is_file() { staged } else { local(&self.folder, name) };
            let index: Result<Value, PackError> = read_json_as(&path);
            let named: BTreeSet<String> = index
                .ok()
                .as_ref()
                .and_then(|index| index.get("weight_map")?.as_object())
                .map_or_else(BTreeSet::new, |map| {
                    map.values().filter_map(|name| name.as_str().map(str::to_owned)).collect()
                });
            let folder = name.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"));
            let absent =
                named.iter().map(|shard| format!("{folder}{shard}")).find(|shard| !record.files.contains_key(shard));
            if let Some(what) = absent {
                return Err(FetchError::Incomplete { repository: self.repository.to_owned(), what });
            }
        }
        Ok(())
    }

    /// Puts what was gathered in its place.
    fn place(&self, record: &Record) -> Result<(), FetchError> {
        if !self.folder.exists() {
            record.write(&self.staging)?;
            self.clear_strays(&self.staging, "", record);
            std::fs::rename(&self.staging, &self.folder).map_err(FetchError::io(&self.folder, "put in its place"))?;
            crate::picture::atomic::sync_folder(self.folder.parent().unwrap_or(&self.folder));
            return Ok(());
        }
        for name in record.files.keys() {
            let (from, to) = (local(&self.staging, name), local(&self.folder, name));
            if from.is_file() {
                if let Some(parent) = to.parent() {
                    std::fs::create_dir_all(parent).map_err(FetchError::io(parent, "made"))?;
                }
                std::fs::rename(&from, &to).map_err(FetchError::io(&to, "put in its place"))?;
            }
        }
        record.write(&self.folder)?;
        self.discard_staging();
        Ok(())
    }

    /// Removes what earlier fetches of other commits left among the gathered files.
    fn clear_strays(&self, folder: &Path, prefix: &str, record: &Record) {
        let Ok(items) = std::fs::read_dir(folder) else { return };
        for item in items.flatten() {
            let name = format!("{prefix}{}", item.file_name().to_string_lossy());
            if item.path().is_dir() {
                self.clear_strays(&item.path(), &format!("{name}/"), record);
                // Goes only if nothing is left in it.
                let _ = std::fs::remove_dir(item.path());
            } else if name != record::NAME && !record.files.contains_key(&name) {
                let _ = std::fs::remove_file(item.path());
            }
        }
    }

    /// What is left there is of no use any more; that it cannot be removed is no failure of the fetch.
    fn discard_staging(&self) {
        if self.staging.is_dir()
            && let Err(error) = std::fs::remove_dir_all(&self.staging)
        {
            tracing::warn!(folder = %self.staging.display(), %error, "left-over files could not be removed");
        }
    }
}

/// Removes the files of `model` that were fetched (or put into its folder), and what a fetch has begun. Returns the bytes
/// that became free.
///
/// # Errors
/// If the model comes with the program, lies elsewhere, or is being fetched.
pub fn remove(store: &Store, model: &Model) -> Result<u64, FetchError> {
    let (Some(folder), Some(staging)) = (folder_of(store, model), staging_of(store, model)) else {
        return Err(FetchError::NoFolder);
    };
    if !folder.is_dir() && !staging.is_dir() {
        return Err(match store.locate(model) {
            Some(path) => FetchError::NotOurs { path },
            None => FetchError::NothingToRemove { id: model.id.clone() },
        });
    }
    let parent = staging.parent().unwrap_or(&staging);
    std::fs::create_dir_all(parent).map_err(FetchError::io(parent, "made"))?;
    let lock_path = beside(&staging, ".lock");
    let Some(lock) = Lock::try_take(&lock_path) else {
        return Err(FetchError::Busy { id: model.id.clone() });
    };
    let mut freed = 0;
    // First out of sight in one step, so that half a model is never taken for one.
    let aside = beside(&staging, ".removed");
    for (from, gone) in [(&folder, &aside), (&staging, &staging)] {
        if !from.is_dir() {
            continue;
        }
        if from != gone {
            if gone.exists() {
                std::fs::remove_dir_all(gone).map_err(FetchError::io(gone, "removed"))?;
            }
            std::fs::rename(from, gone).map_err(FetchError::io(from, "removed"))?;
        }
        freed += state::bytes_in(gone);
        std::fs::remove_dir_all(gone).map_err(FetchError::io(gone, "removed"))?;
    }
    drop(lock);
    Ok(freed)
}
