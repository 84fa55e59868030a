//! Splat scenes on the inference thread: opened with memory asked for first, drawn in every mode, lifted onto, made of one picture.

mod depth;
pub mod lift;
pub(crate) mod modes;
mod pack;
pub mod picture;
pub mod render;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::engine::{JobError, Monitor, memory};
use crate::nets::watcher::{Cancelled, Watcher};
use crate::packs::weights::{WeightOptions, Weights};
use crate::packs::{convert, sniff};
use crate::splats::io::{OpenOptions, Opened};
use crate::splats::{SplatError, SplatObserver, io};

impl SplatObserver for Monitor {
    fn stage(&self, name: &str, steps: usize) {
        Self::stage(self, name, steps);
    }

    fn step(&self, done: usize) {
        Self::step(self, done);
    }

    fn checkpoint(&self) -> Result<(), Cancelled> {
        Watcher::checkpoint(self).map_err(|_| Cancelled)
    }
}

/// A scene on disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SceneChoice {
    /// Its file.
    pub path: PathBuf,
    /// A file of features to use instead of those in or beside it.
    pub features: Option<PathBuf>,
}

impl SceneChoice {
    /// Reads it.
    ///
    /// # Errors
    /// One sentence, or the engine's kinds for memory and cancellation.
    pub fn open(&self, monitor: &Monitor) -> anyhow::Result<Opened> {
        if let Some((weights, file, scene)) = pack_of(&self.path, monitor)? {
            let (scene, _) = pack::open(&file, &weights, scene.as_deref())?;
            let notes = vec!["its decoder is in the pack: --decoder with the same name uses it".to_owned()];
            let left_out = crate::splats::gaussians::LeftOut::default();
            return Ok(Opened { scene, format: io::Format::Fit3dPack, left_out, notes, features: None });
        }
        // A fifth is left to the rest of the machine.
        let available = memory::available().map(|bytes| bytes / 5 * 4);
        let options = OpenOptions { available, features: self.features.clone() };
        io::open(&self.path, &options, monitor).map_err(in_job_terms)
    }

    /// What the queue calls it.
    fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// The weights of FiT3D's scene pack, its file, and the scene in it that a path names, if it is one. Converts it the first
/// time.
fn pack_of(path: &Path, monitor: &Monitor) -> anyhow::Result<Option<(Weights, PathBuf, Option<String>)>> {
    let (file, scene) = match pack::parts_of(path) {
        Some((file, scene)) => (file, Some(scene)),
        None => (path.to_owned(), None),
    };
    if !file.is_file() || sniff::of_file(&file)? != sniff::Content::Zip {
        return Ok(None);
    }
    monitor.stage("Converting the pack", 0);
    let goes_on = |_, _| match Watcher::checkpoint(monitor) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let converted = convert::converted(&file, &convert::cache_folder()?, &goes_on)?;
    Ok(Some((Weights::open_file(&converted, &WeightOptions::default())?, file, scene)))
}

/// The lens's errors as the engine's, where it has a kind for them.
fn in_job_terms(error: SplatError) -> anyhow::Error {
    match error {
        SplatError::OutOfMemory { what, needed, available } => {
            let advice = "Close other programs, or choose a smaller scene.".to_owned();
            JobError::OutOfMemory { what, needed, available, advice }.into()
        }
        SplatError::Cancelled(cancelled) => cancelled.into(),
        other => other.into(),
    }
}

/// A fault if `needed` bytes for `what` are not there.
fn ask_for_memory(what: &str, needed: u64) -> Result<(), JobError> {
    let room = memory::available().map(|bytes| bytes / 5 * 4);
    match room.filter(|room| needed > *room) {
        Some(available) => {
            let advice = "Choose a smaller size, or fewer channels.".to_owned();
            Err(JobError::OutOfMemory { what: what.to_owned(), needed, available, advice })
        }
        None => Ok(()),
    }
}

/// The photograph of a camera in a folder: under its whole name, or the last parts of it, or with another ending.
pub(crate) fn photograph(folder: &Path, picture: &str) -> Option<PathBuf> {
    let parts: Vec<&str> =
        picture.split(['/', '\\']).filter(|part| !part.is_empty() && *part != "." && *part != "..").collect();
    for first in 0..parts.len() {
        let path = parts[first..].iter().fold(folder.to_owned(), |path, part| path.join(part));
        if path.is_file() {
            return Some(path);
        }
        let ending = ["png", "jpg", "jpeg", "webp", "JPG", "PNG", "JPEG"].into_iter().find_map(|ending| {
            let mut name = path.clone().into_os_string();
            name.push(".");
            name.push(ending);
            let (longer, other) = (PathBuf::from(name), path.with_extension(ending));
            [longer, other].into_iter().find(|path| path.is_file())
        });
        if ending.is_some() {
            return ending;
        }
    }
    None
}

#[cfg(test)]
mod tests;
