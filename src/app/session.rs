//! Work that survives: every document with its versions, recipes, maps and what is set up, in a folder of its own.
//!
//! A thread of its own writes; pictures are written once, the small rest whenever it changes. While a document is open
//! its folder holds a locked file `open`; one that is there and not locked was left by a program that died.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::document::{Asked, AskedAbout, Document, Standing, Version, VersionId};
use super::edit::draft::Draft;
use super::edit::made::{Contribution, How, Made};
use super::settings::write_json;
use crate::ask::record::Answer;
use crate::edit::recipe::Recipe;
use crate::picture::encode::{self, SaveOptions};
use crate::picture::limits::DecodeLimits;
use crate::picture::resize::{self, Fit, WorkingPlan};
use crate::picture::{Picture, atomic, decode};

/// The form of `document.json`.
const FORM: u32 = 1;
/// Closed documents that are kept; the oldest go first.
const KEPT: usize = 24;
/// Files larger than this are not copied but written anew.
const MOST_TO_COPY: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct StoredDocument {
    form: u32,
    name: String,
    /// Where the original came from.
    path: Option<PathBuf>,
    versions: Vec<StoredVersion>,
    standing: Standing,
    #[serde(default)]
    draft: Value,
    #[serde(default)]
    regions: Vec<Value>,
    #[serde(default)]
    asked: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct StoredVersion {
    id: VersionId,
    parent: Option<VersionId>,
    title: String,
    file: String,
    made: Option<StoredMade>,
}

#[derive(Serialize, Deserialize)]
struct StoredMade {
    how: How,
    draft: Value,
    editor: String,
    recipe: Value,
    plan: StoredPlan,
    grid: (usize, usize),
    contributions: Vec<StoredContribution>,
}

#[derive(Serialize, Deserialize)]
struct StoredPlan {
    source: (u32, u32),
    working: (u32, u32),
    used: [u32; 4],
    content: [u32; 4],
    fit: Fit,
    multiple: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredContribution {
    row: usize,
    text: String,
    share: Vec<f32>,
}

/// A document that can be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    /// Versions beside the original.
    pub(crate) versions: usize,
    /// The program died while it was open.
    pub(crate) interrupted: bool,
}

enum Work {
    Keep(Box<Document>),
    Close(PathBuf),
}

/// The thread that writes.
pub(crate) struct Keeper {
    root: PathBuf,
    sender: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    complaints: Receiver<String>,
}

impl Keeper {
    /// Starts the thread. `root`: the folder of all documents.
    pub(crate) fn start(root: PathBuf) -> Self {
        let (sender, work) = channel();
        let (complain, complaints) = channel();
        let kept = root.clone();
        let thread =
            std::thread::Builder::new().name("keep work".to_owned()).spawn(move || write_all(&kept, &work, &complain));
        Self { root, sender: Some(sender), thread: thread.ok(), complaints }
    }

    /// A new document's folder; made when there is something to keep.
    pub(crate) fn new_folder(&self, name: &str) -> PathBuf {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect();
        let mut folder = self.root.join(format!("{since:015}-{plain}"));
        while folder.exists() {
            folder.as_mut_os_string().push("x");
        }
        folder
    }

    /// Keeps the document as it is now.
    pub(crate) fn keep(&self, document: &Document) {
        if let Some(sender) = &self.sender {
            // The thread only ends with the window.
            let _ = sender.send(Work::Keep(Box::new(document.clone())));
        }
    }

    /// The document is no longer open.
    pub(crate) fn close(&self, folder: &Path) {
        if let Some(sender) = &self.sender {
            let _ = sender.send(Work::Close(folder.to_owned()));
        }
    }

    /// Why something could not be kept.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.complaints.try_recv().ok()
    }

    /// Documents that can be continued, newest first; those that another window has open are not among them.
    pub(crate) fn list(&self) -> Vec<Kept> {
        list(&self.root)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps work ended with a panic");
        }
    }
}

fn list(root: &Path) -> Vec<Kept> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    folders.reverse();
    folders
        .into_iter()
        .filter_map(|folder| {
            let interrupted = match File::open(folder.join("open")) {
                Ok(file) => file.try_lock().is_ok().then_some(true)?,
                Err(_) => false,
            };
            let stored = read(&folder).ok()?;
            let versions = stored.versions.len().saturating_sub(1);
            Some(Kept { folder, name: stored.name, versions, interrupted })
        })
        .collect()
}

/// The thread's loop; ends when the window drops its sender. Files marked open are closed then.
fn write_all(root: &Path, work: &Receiver<Work>, complain: &Sender<String>) {
    prune(root);
    let mut open: HashMap<PathBuf, File> = HashMap::new();
    while let Ok(first) = work.recv() {
        let mut latest: HashMap<PathBuf, Box<Document>> = HashMap::new();
        let mut closed = Vec::new();
        for one in std::iter::once(first).chain(work.try_iter()) {
            match one {
                Work::Keep(document) => {
                    latest.insert(document.folder.clone(), document);
                }
                Work::Close(folder) => closed.push(folder),
            }
        }
        for (folder, document) in latest {
            if let Err(error) = write(&document, &mut open) {
                // Nobody listens once the window is gone.
                let _ =
                    complain.send(format!("{} could not be kept in {}: {error}", document.name(), folder.display()));
            }
        }
        for folder in closed {
            close(&folder, open.remove(&folder));
        }
    }
    for (folder, file) in open.drain() {
        close(&folder, Some(file));
    }
}

fn close(folder: &Path, file: Option<File>) {
    if let Some(file) = file {
        drop(file);
        let _ = fs::remove_file(folder.join("open"));
    }
}

fn prune(root: &Path) {
    for kept in list(root).into_iter().skip(KEPT).filter(|kept| !kept.interrupted) {
        if let Err(error) = fs::remove_dir_all(&kept.folder) {
            tracing::warn!("{} could not be removed: {error}", kept.folder.display());
        }
    }
}

fn write(document: &Document, open: &mut HashMap<PathBuf, File>) -> Result<(), String> {
    let folder = &document.folder;
    let failed = |error: std::io::Error| error.to_string();
    fs::create_dir_all(folder).map_err(failed)?;
    if !open.contains_key(folder) {
        let file = File::create(folder.join("open")).map_err(failed)?;
        // Where files cannot be locked, a crash is still told by the file's presence.
        let _ = file.try_lock();
        open.insert(folder.clone(), file);
    }
    let versions = document.versions().iter().map(|version| store(folder, version)).collect::<Result<_, _>>()?;
    let stored = StoredDocument {
        form: FORM,
        name: document.name().to_owned(),
        path: document.original().picture.path.clone(),
        versions,
        standing: document.standing,
        draft: serde_json::to_value(&document.draft).map_err(|error| error.to_string())?,
        regions: document.regions.iter().filter_map(|region| serde_json::to_value(region).ok()).collect(),
        asked: document.asked.iter().map(|one| store_answer(folder, one)).collect::<Result<_, _>>()?,
    };
    write_json(&folder.join("document.json"), &stored)?;
    forget_answers(folder, &document.asked);
    Ok(())
}

/// The file of an answer.
fn answer_file(id: u64) -> String {
    format!("answer-{id}.safetensors")
}

/// Writes an answer unless it is there already.
fn store_answer(folder: &Path, asked: &Asked) -> Result<Value, String> {
    let path = folder.join(answer_file(asked.about.id));
    if !path.exists() {
        asked.answer.save(&path).map_err(|error| error.to_string())?;
    }
    serde_json::to_value(&asked.about).map_err(|error| error.to_string())
}

/// Removes the files of answers that were removed from the conversation.
fn forget_answers(folder: &Path, asked: &[Asked]) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_answer = name.starts_with("answer-") && name.ends_with(".safetensors");
        if of_answer
            && !asked.iter().any(|one| name == answer_file(one.about.id))
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!("{name} could not be removed: {error}");
        }
    }
}

/// Answers as they were kept, with a sentence on those that are lost.
fn restore_answers(folder: &Path, stored: Vec<Value>, notes: &mut Vec<String>) -> Vec<Asked> {
    let mut asked = Vec::new();
    for value in stored {
        let Ok(about) = serde_json::from_value::<AskedAbout>(value) else {
            notes.push("A question that was asked cannot be understood.".to_owned());
            continue;
        };
        match Answer::load(&folder.join(answer_file(about.id))) {
            Ok(answer) => asked.push(Asked { about, answer: Arc::new(answer) }),
            Err(error) => notes.push(format!("The answer to “{}” is lost: {error}.", about.question)),
        }
    }
    asked
}

/// Writes a version's pixels and maps unless they are there already.
fn store(folder: &Path, version: &Version) -> Result<StoredVersion, String> {
    let file = match &version.made {
        None => original(folder, &version.picture)?,
        Some(made) => {
            let name = format!("version-{}.png", version.id);
            if !folder.join(&name).exists() {
                let recipe = Some(made.recipe.to_text());
                save(&folder.join(&name), &version.picture, recipe)?;
            }
            name
        }
    };
    let made = version.made.as_ref().map(|made| store_made(folder, version.id, made)).transpose()?;
    Ok(StoredVersion { id: version.id, parent: version.parent, title: version.title.clone(), file, made })
}

fn save(path: &Path, picture: &Picture, recipe: Option<encode::RecipeText>) -> Result<(), String> {
    let options = SaveOptions { recipe, ..SaveOptions::default() };
    encode::save(path, &picture.rgb, picture.alpha.as_deref(), &options).map(drop).map_err(|error| error.to_string())
}

/// The opened picture: its file as it is, or its pixels where it had none.
fn original(folder: &Path, picture: &Picture) -> Result<String, String> {
    let ending = picture.path.as_ref().and_then(|path| path.extension()).map(|e| e.to_string_lossy().to_lowercase());
    let copied = ending.filter(|e| e.chars().all(|c| c.is_ascii_alphanumeric())).map(|e| format!("original.{e}"));
    for name in copied.iter().map(String::as_str).chain(["original.png"]) {
        if folder.join(name).exists() {
            return Ok(name.to_owned());
        }
    }
    if let (Some(name), Some(path)) = (copied, &picture.path)
        && let Ok(mut source) = File::open(path)
        && source.metadata().is_ok_and(|meta| meta.len() <= MOST_TO_COPY)
        && atomic::write(&folder.join(&name), |out| std::io::copy(&mut source, out)).is_ok()
    {
        return Ok(name);
    }
    save(&folder.join("original.png"), picture, None)?;
    Ok("original.png".to_owned())
}

fn store_made(folder: &Path, id: VersionId, made: &Made) -> Result<StoredMade, String> {
    let words = |error: serde_json::Error| error.to_string();
    let maps = folder.join(format!("maps-{id}.f32"));
    if !maps.exists() && !made.contributions.is_empty() {
        let write = |out: &mut std::io::BufWriter<&File>| -> std::io::Result<()> {
            let all = made.contributions.iter().flat_map(|one| [&one.effect, &one.won, &one.push]);
            for value in all.flat_map(|map| map.iter()) {
                out.write_all(&value.to_le_bytes())?;
            }
            Ok(())
        };
        atomic::write(&maps, write).map_err(|error| error.to_string())?;
    }
    let plan = &made.plan;
    let sides = |r: resize::Rect| [r.x, r.y, r.width, r.height];
    Ok(StoredMade {
        how: made.how.clone(),
        draft: serde_json::to_value(&made.draft).map_err(words)?,
        editor: made.editor.clone(),
        recipe: serde_json::to_value(&made.recipe).map_err(words)?,
        plan: StoredPlan {
            source: plan.source,
            working: plan.working,
            used: sides(plan.used),
            content: sides(plan.content),
            fit: plan.fit,
            multiple: plan.multiple,
        },
        grid: made.grid,
        contributions: made
            .contributions
            .iter()
            .map(|one| StoredContribution { row: one.row, text: one.text.clone(), share: one.share.clone() })
            .collect(),
    })
}

fn read(folder: &Path) -> Result<StoredDocument, String> {
    let file = folder.join("document.json");
    let bytes = fs::read(&file).map_err(|error| format!("{} could not be read: {error}", file.display()))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("{} is damaged: {error}", file.display()))?;
    if value.get("form").and_then(Value::as_u64).is_some_and(|form| form > u64::from(FORM)) {
        return Err(format!("{} was written by a newer Glassbox", file.display()));
    }
    serde_json::from_value(value).map_err(|error| format!("{} is damaged: {error}", file.display()))
}

/// Opens a kept document again, with sentences on what could not be brought back.
///
/// # Errors
/// One sentence, if not even the original can be opened.
pub(crate) fn restore(folder: &Path) -> Result<(Document, Vec<String>), String> {
    let stored = read(folder)?;
    let mut notes = Vec::new();
    let mut versions: Vec<Version> = Vec::new();
    for one in stored.versions {
        let path = folder.join(Path::new(&one.file).file_name().unwrap_or_default());
        let mut picture = match decode::open(&path, &DecodeLimits::default()) {
            Ok(picture) => picture,
            Err(error) if versions.is_empty() => return Err(error.to_string()),
            Err(error) => {
                notes.push(format!("The version “{}” is lost: {error}.", one.title));
                continue;
            }
        };
        let first = versions.is_empty();
        picture.name = if first { stored.name.clone() } else { one.title.clone() };
        picture.path = stored.path.clone().filter(|_| first);
        let made = one.made.map(|made| restore_made(folder, one.id, made));
        let made = match made {
            Some(Ok(made)) => Some(Arc::new(made)),
            Some(Err(reason)) => {
                notes.push(format!("How “{}” was made is lost: {reason}.", one.title));
                None
            }
            None => None,
        };
        let known = |id: &VersionId| versions.iter().any(|v: &Version| v.id == *id);
        let parent = if first { None } else { one.parent.filter(known).or(versions.first().map(|v| v.id)) };
        versions.push(Version { id: one.id, parent, title: one.title, picture, made });
    }
    let draft: Draft = serde_json::from_value(stored.draft).unwrap_or_default();
    // A region that cannot be understood is left out: it can be made again, and what used it has its own copy.
    let regions = stored.regions.into_iter().filter_map(|region| serde_json::from_value(region).ok()).collect();
    let asked = restore_answers(folder, stored.asked, &mut notes);
    Document::restored(versions, stored.standing, draft, regions, asked, folder.to_owned())
        .map(|document| (document, notes))
        .ok_or_else(|| format!("{} holds no picture", folder.display()))
}

fn restore_made(folder: &Path, id: VersionId, stored: StoredMade) -> Result<Made, String> {
    let words = |error: serde_json::Error| error.to_string();
    let recipe: Recipe = serde_json::from_value(stored.recipe).map_err(words)?;
    let cells = stored.grid.0.checked_mul(stored.grid.1).filter(|cells| *cells <= 1 << 24).ok_or("absurd maps")?;
    let bytes = fs::read(folder.join(format!("maps-{id}.f32"))).unwrap_or_default();
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    // Maps that are not all there are none: the shares still are.
    let whole = values.len() == stored.contributions.len() * 3 * cells;
    let map =
        |at: usize| Arc::new(if whole { values[at * cells..(at + 1) * cells].to_vec() } else { vec![0.0; cells] });
    let contributions = stored
        .contributions
        .into_iter()
        .enumerate()
        .map(|(index, one)| Contribution {
            row: one.row,
            text: one.text,
            effect: map(index * 3),
            won: map(index * 3 + 1),
            push: map(index * 3 + 2),
            share: one.share,
        })
        .collect();
    let rect = |[x, y, width, height]: [u32; 4]| resize::Rect { x, y, width: width.max(1), height: height.max(1) };
    let plan = stored.plan;
    // The filter follows from the fit, as when the plan was made.
    let like = resize::plan((8, 8), resize::SizeRequest::Source, plan.fit, 8).map_err(|error| error.to_string())?;
    Ok(Made {
        how: stored.how,
        draft: serde_json::from_value(stored.draft).map_err(words)?,
        editor: stored.editor,
        recipe,
        plan: WorkingPlan {
            source: plan.source,
            working: plan.working,
            used: rect(plan.used),
            content: rect(plan.content),
            fit: plan.fit,
            multiple: plan.multiple,
            filter: like.filter,
        },
        grid: stored.grid,
        contributions,
    })
}
