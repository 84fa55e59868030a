//! The open picture and everything made from it: a tree of versions in which nothing is ever overwritten.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ask::Part;
use super::edit::draft::Draft;
use super::edit::made::Made;
use super::mask::Mask;
use crate::ask::record::Answer;
use crate::ask::settings::AttentionMode;
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

/// A region that some lens made and that any lens may use: a cluster, what a question was about, something painted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NamedRegion {
    /// Unique within the document: "cluster 4".
    pub(crate) name: String,
    pub(crate) mask: Mask,
}

/// What a question was, and who was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskedAbout {
    /// Its number in the document, never used twice.
    pub(crate) id: u64,
    pub(crate) question: String,
    /// The version it is about.
    pub(crate) version: VersionId,
    /// The model, as it was chosen.
    pub(crate) model: String,
    pub(crate) attention: AttentionMode,
    pub(crate) part: Part,
    /// The instruction of an edit that it checks, and whether this is the picture before.
    pub(crate) checks: Option<(usize, bool)>,
    /// The number from which on questions belong to its conversation.
    pub(crate) conversation: u64,
}

/// A question that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) about: AskedAbout,
    pub(crate) answer: Arc<Answer>,
}

/// What undo goes back to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) standing: Standing,
    pub(crate) draft: Draft,
    pub(crate) regions: Vec<NamedRegion>,
}

/// The open picture with its versions and what is set up for the next run.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Where it is kept between runs of the program; also what running jobs know it by.
    pub(crate) folder: PathBuf,
    versions: Vec<Version>,
    pub(crate) standing: Standing,
    pub(crate) draft: Draft,
    /// Kept for all lenses, oldest first.
    pub(crate) regions: Vec<NamedRegion>,
    /// The questions that were answered, oldest first.
    pub(crate) asked: Vec<Asked>,
}

impl Document {
    /// A document whose only version is the opened picture.
    pub(crate) fn new(original: Picture, draft: Draft, folder: PathBuf) -> Self {
        let first = Version { id: 0, parent: None, title: "Original".to_owned(), picture: original, made: None };
        Self { folder, versions: vec![first], standing: Standing::FIRST, draft, regions: Vec::new(), asked: Vec::new() }
    }

    /// A document as it was kept; `None` if there is no version at all. What points nowhere points at the original.
    pub(crate) fn restored(
        versions: Vec<Version>,
        standing: Standing,
        draft: Draft,
        regions: Vec<NamedRegion>,
        asked: Vec<Asked>,
        folder: PathBuf,
    ) -> Option<Self> {
        let first = versions.first()?.id;
        let known = |id: VersionId| if versions.iter().any(|v| v.id == id) { id } else { first };
        let standing =
            Standing { shown: known(standing.shown), compared: known(standing.compared), base: known(standing.base) };
        let asked = asked.into_iter().filter(|one| versions.iter().any(|v| v.id == one.about.version)).collect();
        Some(Self { folder, versions, standing, draft, regions, asked })
    }

    pub(crate) fn state(&self) -> State {
        State { standing: self.standing, draft: self.draft.clone(), regions: self.regions.clone() }
    }

    /// Keeps a region for all lenses and returns the name it got: `name`, with a number if that is taken.
    pub(crate) fn keep_region(&mut self, name: &str, mask: Mask) -> String {
        let name = if name.trim().is_empty() { "region" } else { name.trim() };
        if let Some(known) = self.regions.iter().find(|known| known.name == name && known.mask == mask) {
            return known.name.clone();
        }
        let taken = |name: &str| self.regions.iter().any(|known| known.name == name);
        let free = std::iter::once(name.to_owned()).chain((2_usize..).map(|n| format!("{name} ({n})")));
        let name = free.into_iter().find(|name| !taken(name)).unwrap_or_default();
        self.regions.push(NamedRegion { name: name.clone(), mask });
        name
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_get_names_of_their_own_and_undo_takes_them_back() {
        let picture = Picture::from_rgb("p", image::RgbImage::new(40, 30));
        let mut document = Document::new(picture, Draft::default(), PathBuf::new());
        let before = document.state();
        let mut mask = Mask::new((40, 30));
        mask.rectangle(egui::pos2(0.0, 0.0), egui::pos2(0.5, 1.0), true);
        assert_eq!(document.keep_region("cluster 4", mask.clone()), "cluster 4");
        assert_eq!(document.keep_region("cluster 4", mask.clone()), "cluster 4", "the same again is the same");
        mask.invert();
        assert_eq!(document.keep_region("cluster 4", mask.clone()), "cluster 4 (2)");
        assert_eq!(document.keep_region("  ", mask), "region");
        assert_eq!(document.regions.len(), 3);
        assert_ne!(document.state(), before);
    }
}
