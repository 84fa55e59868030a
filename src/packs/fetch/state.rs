//! What is on this machine of a model in the list, by presence and lengths alone: quick enough for a list of all.

use std::path::PathBuf;

use super::record::{self, Record};
use super::{folder_of, staging_of};
use crate::packs::manifest::Model;
use crate::packs::store::Store;

/// Whether a model can be used, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It comes with the program.
    Bundled(PathBuf),
    /// It lies where the person said.
    Own(PathBuf),
    /// It lies in the folder of models.
    Installed(PathBuf),
    /// Another program keeps it in the hub's cache.
    Cached(PathBuf),
    /// A file that was fetched is gone or has another length.
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// What is wrong, as a sentence that names the file.
        fault: String,
    },
    /// A fetch was begun.
    Partial {
        /// Bytes that are here.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It can be fetched.
    Available,
    /// Its folder is gone and nothing says where it could be had.
    Lost,
}

impl ModelState {
    /// Its place, if it can be used.
    #[must_use]
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Bundled(path) | Self::Own(path) | Self::Installed(path) | Self::Cached(path) => Some(path),
            _ => None,
        }
    }

    /// One word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Bundled(_) => "bundled",
            Self::Own(_) => "own",
            Self::Installed(_) => "installed",
            Self::Cached(_) => "cached",
            Self::Damaged { .. } => "damaged",
            Self::Partial { .. } => "partial",
            Self::Available => "available",
            Self::Lost => "lost",
        }
    }
}

/// The state of `model`.
#[must_use]
pub fn state(store: &Store, model: &Model) -> ModelState {
    let folder = folder_of(store, model);
    if let Some(folder) = folder.as_ref().filter(|folder| folder.is_dir())
        && let Some((file, fault)) = Record::read(folder).and_then(|record| record.fault(folder))
    {
        return ModelState::Damaged { path: folder.clone(), fault: format!("{}: {fault}", file.display()) };
    }
    if let Some(path) = store.locate(model) {
        return match model {
            Model { path: Some(own), .. } if *own == path => ModelState::Own(path),
            _ if folder.as_ref().is_some_and(|folder| path.starts_with(folder)) => ModelState::Installed(path),
            Model { folder: Some(_), .. } if !store.places().hub_caches.iter().any(|cache| path.starts_with(cache)) => {
                ModelState::Bundled(path)
            }
            _ => ModelState::Cached(path),
        };
    }
    let staging = staging_of(store, model).filter(|staging| staging.is_dir());
    if let Some((staging, record)) = staging.and_then(|staging| Record::read(&staging).map(|record| (staging, record)))
    {
        return ModelState::Partial { done: bytes_in(&staging), total: record.total };
    }
    if model.repository.is_some() { ModelState::Available } else { ModelState::Lost }
}

/// Bytes of all files below `folder` but the records.
pub(super) fn bytes_in(folder: &std::path::Path) -> u64 {
    let Ok(items) = std::fs::read_dir(folder) else { return 0 };
    let sizes = items.flatten().map(|item| match item.file_type() {
        Ok(kind) if kind.is_dir() => bytes_in(&item.path()),
        Ok(kind) if kind.is_file() => {
            let name = item.file_name();
            let counts = name != record::NAME && !name.to_string_lossy().ends_with(".part.json");
            item.metadata().map_or(0, |facts| if counts { facts.len() } else { 0 })
        }
        _ => 0,
    });
    sizes.sum()
}
