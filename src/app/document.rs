//! The open picture and everything made from it: a tree of versions in which nothing is ever overwritten.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::edit::draft::Draft;
use super::edit::made::Made;
use crate::picture::Picture;

/// Names a version within its document.
pub(crate) type VersionId = u64;

/// One picture in the tree.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: VersionId,
    pub(crate) parent: Option<VersionId>,
    pub(crate) title: String,
    pub(crate) picture: Picture,
    /// How it came about; `None` for the opened picture.
    pub(crate) made: Option<Arc<Made>>,
}

/// Which of the versions are where: small, and what undo goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// On the canvas.
    pub(crate) shown: VersionId,
    /// What the canvas compares with; the original if the person chose nothing.
    pub(crate) compared: VersionId,
    /// What the next edit starts from.
    pub(crate) base: VersionId,
}

impl Standing {
    const FIRST: Self = Self { shown: 0, compared: 0, base: 0 };
}

/// What undo goes back to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) standing: Standing,
    pub(crate) draft: Draft,
}

/// The open picture with its versions and what is set up for the next run.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Where it is kept between runs of the program; also what running jobs know it by.
    pub(crate) folder: PathBuf,
    versions: Vec<Version>,
    pub(crate) standing: Standing,
    pub(crate) draft: Draft,
}

impl Document {
    /// A document whose only version is the opened picture.
    pub(crate) fn new(original: Picture, draft: Draft, folder: PathBuf) -> Self {
        let first = Version { id: 0, parent: None, title: "Original".to_owned(), picture: original, made: None };
        Self { folder, versions: vec![first], standing: Standing::FIRST, draft }
    }

    /// A document as it was kept; `None` if there is no version at all. What points nowhere points at the original.
    pub(crate) fn restored(versions: Vec<Version>, standing: Standing, draft: Draft, folder: PathBuf) -> Option<Self> {
        let first = versions.first()?.id;
        let known = |id: VersionId| if versions.iter().any(|v| v.id == id) { id } else { first };
        let standing =
            Standing { shown: known(standing.shown), compared: known(standing.compared), base: known(standing.base) };
        Some(Self { folder, versions, standing, draft })
    }

    pub(crate) fn state(&self) -> State {
        State { standing: self.standing, draft: self.draft.clone() }
    }

    /// Adds a version made from `parent` and shows it.
    pub(crate) fn add(&mut self, parent: VersionId, title: String, picture: Picture, made: Made) -> VersionId {
        let id = self.versions.iter().map(|v| v.id).max().unwrap_or(0) + 1;
        self.versions.push(Version { id, parent: Some(parent), title, picture, made: Some(Arc::new(made)) });
        self.standing.shown = id;
        id
    }

    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// What the picture is called.
    pub(crate) fn name(&self) -> &str {
        &self.versions[0].picture.name
    }

    pub(crate) fn original(&self) -> &Version {
        &self.versions[0]
    }

    /// The version of that name; the original for names that are not in the tree.
    pub(crate) fn version(&self, id: VersionId) -> &Version {
        self.versions.iter().find(|v| v.id == id).unwrap_or(&self.versions[0])
    }

    pub(crate) fn shown(&self) -> &Version {
        self.version(self.standing.shown)
    }

    /// The versions as the strip shows them: children below their parent, with their depth.
    pub(crate) fn tree(&self) -> Vec<(usize, &Version)> {
        let mut rows = Vec::with_capacity(self.versions.len());
        self.descend(None, 0, &mut rows);
        rows
    }

    fn descend<'a>(&'a self, parent: Option<VersionId>, depth: usize, rows: &mut Vec<(usize, &'a Version)>) {
        for version in self.versions.iter().filter(|v| v.parent == parent) {
            rows.push((depth, version));
            self.descend(Some(version.id), depth + 1, rows);
        }
    }

    /// Moves `steps` down the strip (negative: up), staying within it.
    pub(crate) fn walk(&mut self, steps: isize) {
        let order: Vec<VersionId> = self.tree().iter().map(|(_, v)| v.id).collect();
        let at = order.iter().position(|id| *id == self.standing.shown).unwrap_or(0);
        self.standing.shown = order[at.saturating_add_signed(steps).min(order.len() - 1)];
    }
}
