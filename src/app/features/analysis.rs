//! Components and clusters of what the panes show, worked out in the background and kept.

use std::collections::HashMap;
use std::sync::Arc;

use egui::Context;

use super::kept::Kept;
use super::looking::{Seen, sentence};
use super::panes::Slot;
use super::settings::{ClusterChoice, PcaChoice, Sharing};
use crate::features::FeatureGrid;
use crate::features::foreground::{Foreground, Histogram};
use crate::features::kmeans::{Clustering, KmeansSettings};
use crate::features::pca::{Basis, Sample, Scores, USUAL_COMPONENTS};
use crate::nets::watcher::Unwatched;

/// A basis from a file.
#[derive(Clone, Debug)]
pub(super) struct FileBasis {
    pub(super) name: String,
    pub(super) basis: Arc<Basis>,
    /// Tells it from others of the same name.
    pub(super) id: u64,
}

/// What components are asked of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PcaKey {
    grids: Vec<u64>,
    shared: Sharing,
    file: Option<u64>,
    foreground: Option<(Option<f32>, bool)>,
}

/// The components of one grid.
#[derive(Clone, Debug)]
pub(super) struct PcaOfGrid {
    pub(super) scores: Arc<Scores>,
    /// The patches that take part, where the background is left out.
    pub(super) only: Option<Arc<Vec<bool>>>,
    pub(super) basis: Arc<Basis>,
    /// Of the first component before anything was left out, over the grids that share the basis.
    pub(super) histogram: Arc<Histogram>,
    pub(super) threshold: f32,
    /// The grids that share the basis: their colours are comparable.
    pub(super) group: Arc<Vec<u64>>,
}

struct Group {
    ids: Arc<Vec<u64>>,
    grids: Vec<FeatureGrid>,
    basis: Arc<Basis>,
    scores: Vec<Arc<Scores>>,
    histogram: Arc<Histogram>,
}

type FirstKey = (Vec<u64>, Sharing, Option<u64>);

/// What a pane shows, by which model.
pub(super) type OfPane = (Slot, Arc<Seen>);

pub(super) struct PcaFound {
    serial: u64,
    first: (FirstKey, Arc<Vec<Group>>),
    by_grid: HashMap<u64, PcaOfGrid>,
}

/// What clusters are asked of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClusterKey {
    grids: Vec<u64>,
    shared: Sharing,
    settings: KmeansSettings,
}

/// The clusters of one grid.
#[derive(Clone, Debug)]
pub(super) struct ClustersOfGrid {
    pub(super) clustering: Arc<Clustering>,
    /// Which of the clustering's grids it is.
    pub(super) place: usize,
    /// Patches of this grid in every cluster.
    pub(super) sizes: Arc<Vec<usize>>,
    /// All grids that were clustered together.
    pub(super) group: Arc<Vec<u64>>,
}

pub(super) struct ClustersFound {
    serial: u64,
    by_grid: HashMap<u64, ClustersOfGrid>,
    /// For the colours of the next: by width and place among the groups.
    groups: HashMap<(usize, usize), Arc<Clustering>>,
}

/// Both.
#[derive(Default)]
pub(super) struct Analysis {
    pca: Kept<PcaKey, PcaFound>,
    clusters: Kept<ClusterKey, ClustersFound>,
    serial: u64,
    /// What was asked for last.
    asked: (Option<PcaKey>, Option<ClusterKey>),
}

/// The ids of grids in the order of panes, each once.
fn ids(seen: &[OfPane]) -> Vec<u64> {
    let mut ids = Vec::new();
    for (_, one) in seen {
        if !ids.contains(&one.id) {
            ids.push(one.id);
        }
    }
    ids
}

/// The grids that share a basis: only those of one width can.
fn groups(seen: &[OfPane], shared: Sharing) -> Vec<Vec<Arc<Seen>>> {
    let mut groups: Vec<(Slot, Vec<Arc<Seen>>)> = Vec::new();
    for (slot, one) in seen {
        if groups.iter().flat_map(|(_, group)| group).any(|known| known.id == one.id) {
            continue;
        }
        let width = one.tokens.patches.dim();
        let home = groups.iter_mut().find(|(of, group)| {
            let may = match shared {
                Sharing::Pane => false,
                Sharing::Versions => of == slot,
                Sharing::Models => true,
            };
            may && group.iter().all(|known| known.tokens.patches.dim() == width)
        });
        match home {
            Some((_, group)) => group.push(Arc::clone(one)),
            None => groups.push((*slot, vec![Arc::clone(one)])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

impl Analysis {
    /// Asks for the components of what PCA panes show.
    pub(super) fn want_pca(
        &mut self,
        ctx: &Context,
        seen: Vec<OfPane>,
        shared: Sharing,
        file: Option<&FileBasis>,
        choice: &PcaChoice,
    ) {
        if seen.is_empty() {
            self.asked.0 = None;
            return;
        }
        let foreground = choice.foreground.then_some((choice.threshold, choice.inverted));
        let key = PcaKey { grids: ids(&seen), shared, file: file.map(|file| file.id), foreground };
        self.asked.0 = Some(key.clone());
        let first_key: FirstKey = (key.grids.clone(), shared, key.file);
        let known = self.pca.now().filter(|(_, found)| found.first.0 == first_key);
        let known = known.map(|(_, found)| Arc::clone(&found.first.1));
        let (basis, serial) = (file.map(|file| Arc::clone(&file.basis)), self.serial + 1);
        self.serial = serial;
        self.pca.want(ctx, "principal components", key, move || {
            let first = match known {
                Some(first) => first,
                None => Arc::new(first_components(&seen, shared, basis.as_ref())?),
            };
            let by_grid = with_foreground(&first, foreground, basis.is_some())?;
            Ok(PcaFound { serial, first: (first_key, first), by_grid })
        });
    }

    /// Asks for the clusters of what K-means panes show.
    pub(super) fn want_clusters(&mut self, ctx: &Context, seen: Vec<OfPane>, shared: Sharing, choice: &ClusterChoice) {
        if seen.is_empty() {
            self.asked.1 = None;
            return;
        }
        let settings = choice.settings();
        let key = ClusterKey { grids: ids(&seen), shared, settings };
        self.asked.1 = Some(key.clone());
        let before = self.clusters.now().map(|(_, found)| found.groups.clone()).unwrap_or_default();
        let serial = self.serial + 1;
        self.serial = serial;
        self.clusters.want(ctx, "clusters", key, move || {
            let mut found = ClustersFound { serial, by_grid: HashMap::new(), groups: HashMap::new() };
            for (place, group) in groups(&seen, shared).into_iter().enumerate() {
                let grids: Vec<&FeatureGrid> = group.iter().map(|seen| &seen.tokens.patches).collect();
                let mut clustering =
                    Clustering::fit(&grids, &settings, &Unwatched).map_err(|e| sentence(&e.to_string()))?;
                let width = grids.first().map_or(0, |grid| grid.dim());
                // Of another group rather than of none: colours should not jump when panes come and go.
                if let Some(before) = before.get(&(width, place)).or_else(|| before.get(&(width, 0))) {
                    clustering = clustering.coloured_like(before);
                }
                let clustering = Arc::new(clustering);
                let ids = Arc::new(group.iter().map(|seen| seen.id).collect::<Vec<_>>());
                for (at, seen) in group.iter().enumerate() {
                    let mut sizes = vec![0; clustering.clusters()];
                    for label in clustering.labels(at) {
                        if let Some(size) = sizes.get_mut(usize::from(*label)) {
                            *size += 1;
                        }
                    }
                    let of = ClustersOfGrid {
                        clustering: Arc::clone(&clustering),
                        place: at,
                        sizes: Arc::new(sizes),
                        group: Arc::clone(&ids),
                    };
                    found.by_grid.insert(seen.id, of);
                }
                found.groups.insert((width, place), clustering);
            }
            Ok(found)
        });
    }

    /// The components of a grid, those for the last question but one while the last is worked on, with their number.
    pub(super) fn pca(&self, id: u64) -> Option<(u64, &PcaOfGrid)> {
        let (_, found) = self.pca.now()?;
        Some((found.serial, found.by_grid.get(&id)?))
    }

    /// As [`Self::pca`].
    pub(super) fn clusters(&self, id: u64) -> Option<(u64, &ClustersOfGrid)> {
        let (_, found) = self.clusters.now()?;
        Some((found.serial, found.by_grid.get(&id)?))
    }

    /// Why there are no components.
    pub(super) fn pca_fault(&self) -> Option<&str> {
        self.pca.fault(self.asked.0.as_ref()?)
    }

    /// Why there are no clusters.
    pub(super) fn clusters_fault(&self) -> Option<&str> {
        self.clusters.fault(self.asked.1.as_ref()?)
    }

    pub(super) fn is_working(&self) -> bool {
        self.pca.is_making() || self.clusters.is_making()
    }
}

fn first_components(seen: &[OfPane], shared: Sharing, file: Option<&Arc<Basis>>) -> Result<Vec<Group>, String> {
    let words = |error: crate::features::FeatureError| sentence(&error.to_string());
    let mut found = Vec::new();
    for group in groups(seen, shared) {
        let grids: Vec<FeatureGrid> = group.iter().map(|seen| seen.tokens.patches.clone()).collect();
        let basis = match file {
            Some(basis) => Arc::clone(basis),
            None => {
                let samples: Vec<Sample<'_>> = grids.iter().map(Sample::all).collect();
                Arc::new(Basis::fit(&samples, USUAL_COMPONENTS, &Unwatched).map_err(words)?)
            }
        };
        let scores: Vec<Arc<Scores>> =
            grids.iter().map(|grid| Ok(Arc::new(basis.project(grid)?))).collect::<Result<_, _>>().map_err(words)?;
        let firsts: Vec<f32> = scores.iter().flat_map(|scores| scores.component(0)).collect();
        let histogram = Arc::new(Histogram::of(&firsts, Foreground::BINS));
        let ids = Arc::new(group.iter().map(|seen| seen.id).collect());
        found.push(Group { ids, grids, basis, scores, histogram });
    }
    Ok(found)
}

/// Leaves the background out where that is wanted: a second fit to the foreground, unless the basis is from a file.
fn with_foreground(
    first: &[Group],
    foreground: Option<(Option<f32>, bool)>,
    fixed: bool,
) -> Result<HashMap<u64, PcaOfGrid>, String> {
    let words = |error: crate::features::FeatureError| sentence(&error.to_string());
    let mut by_grid = HashMap::new();
    for group in first {
        let maps: Vec<&Scores> = group.scores.iter().map(AsRef::as_ref).collect();
        let mut thing = Foreground::automatic(&maps);
        let (mut basis, mut scores, mut masks) = (Arc::clone(&group.basis), group.scores.clone(), None);
        if let Some((threshold, inverted)) = foreground {
            let (low, high) = (group.histogram.low, group.histogram.high);
            if let Some(share) = threshold {
                thing.threshold = low + share * (high - low);
            }
            thing.inverted ^= inverted;
            let found = thing.of_all(&maps, 2).map_err(words)?;
            if !fixed {
                let samples = group.grids.iter().zip(&found);
                let samples: Vec<Sample<'_>> =
                    samples.map(|(grid, mask)| Sample { grid, only: Some(mask.as_slice()) }).collect();
                basis = Arc::new(Basis::fit(&samples, USUAL_COMPONENTS, &Unwatched).map_err(words)?);
                scores = group
                    .grids
                    .iter()
                    .map(|grid| Ok(Arc::new(basis.project(grid)?)))
                    .collect::<Result<_, _>>()
                    .map_err(words)?;
            }
            masks = Some(found);
        }
        for (at, id) in group.ids.iter().enumerate() {
            by_grid.insert(
                *id,
                PcaOfGrid {
                    scores: Arc::clone(&scores[at]),
                    only: masks.as_ref().map(|masks| Arc::new(masks[at].clone())),
                    basis: Arc::clone(&basis),
                    histogram: Arc::clone(&group.histogram),
                    threshold: thing.threshold,
                    group: Arc::clone(&group.ids),
                },
            );
        }
    }
    Ok(by_grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Placement;
    use crate::features::extract::LayerTokens;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    /// A grid of 4 × 8 patches: the left half is one thing, the right half another.
    fn seen(id: u64, dim: usize, turn: f32) -> OfPane {
        let place = Placement::new(&plan((80, 40), SizeRequest::Source, Fit::Squash, 10).unwrap(), 10);
        let tokens: Vec<f32> = (0..32 * dim)
            .map(|at| {
                let (patch, channel) = (at / dim, at % dim);
                let side = if patch % 8 < 4 { 2.0 } else { -1.0 };
                let bump = if patch == 9 { 3.0 } else { 0.0 };
                side * (channel as f32 + turn).cos() + bump * (channel as f32).sin() + (at as f32 * 0.37).sin() * 0.05
            })
            .collect();
        let patches = FeatureGrid::new(place, dim, tokens).unwrap();
        let tokens = LayerTokens { layer: 1, patches, class: None, registers: Vec::new() };
        (Slot::A, Arc::new(Seen { id, tokens, one_colour: false }))
    }

    fn settle(analysis: &mut Analysis, ask: impl Fn(&mut Analysis)) {
        loop {
            ask(analysis);
            if !analysis.is_working() {
                return;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn grids_of_one_width_share_a_basis_and_others_have_their_own() {
        let ctx = Context::default();
        let mut analysis = Analysis::default();
        let all = vec![seen(1, 6, 0.0), seen(2, 6, 0.3), seen(3, 5, 0.0), seen(1, 6, 0.0)];
        let usual = PcaChoice::default();
        settle(&mut analysis, |a| a.want_pca(&ctx, all.clone(), Sharing::Versions, None, &usual));
        let basis = |a: &Analysis, id| Arc::clone(&a.pca(id).unwrap().1.basis);
        assert!(Arc::ptr_eq(&basis(&analysis, 1), &basis(&analysis, 2)));
        assert_eq!((basis(&analysis, 3).dim(), analysis.pca(1).unwrap().1.group.as_slice()), (5, &[1, 2][..]));
        settle(&mut analysis, |a| a.want_pca(&ctx, all.clone(), Sharing::Pane, None, &usual));
        assert!(!Arc::ptr_eq(&basis(&analysis, 1), &basis(&analysis, 2)));
        // Another model shares where that is wanted.
        let two = vec![seen(1, 6, 0.0), (Slot::B, seen(2, 6, 0.3).1)];
        for (sharing, same) in [(Sharing::Versions, false), (Sharing::Models, true)] {
            settle(&mut analysis, |a| a.want_pca(&ctx, two.clone(), sharing, None, &usual));
            assert_eq!(Arc::ptr_eq(&basis(&analysis, 1), &basis(&analysis, 2)), same);
        }
    }

    #[test]
    fn the_foreground_leaves_patches_out_and_a_threshold_moves_it() {
        let ctx = Context::default();
        let mut analysis = Analysis::default();
        let one = vec![seen(1, 6, 0.0)];
        let inside = |analysis: &mut Analysis, choice: PcaChoice| {
            settle(analysis, |a| a.want_pca(&ctx, one.clone(), Sharing::Versions, None, &choice));
            let only = analysis.pca(1).unwrap().1.only.clone();
            only.map(|only| only.iter().filter(|inside| **inside).count())
        };
        let choice = PcaChoice { foreground: true, ..PcaChoice::default() };
        let found = inside(&mut analysis, choice.clone()).unwrap();
        let other = inside(&mut analysis, PcaChoice { inverted: true, ..choice.clone() }).unwrap();
        assert_eq!(found + other, 32);
        let all = inside(&mut analysis, PcaChoice { threshold: Some(-0.1), ..choice.clone() });
        let none = analysis.pca_fault().map(str::to_owned);
        assert!(all == Some(32) || none.is_some(), "all of it, or a sentence where all of it is background");
        assert_eq!(inside(&mut analysis, PcaChoice::default()), None);
    }

    #[test]
    fn clusters_keep_their_colours_when_k_changes_and_too_many_are_told() {
        let ctx = Context::default();
        let mut analysis = Analysis::default();
        let one = vec![seen(1, 6, 0.0)];
        let colour = |analysis: &Analysis, patch: usize| {
            let of = analysis.clusters(1).unwrap().1;
            of.clustering.colours()[usize::from(of.clustering.labels(of.place)[patch])]
        };
        let ask = |count| {
            let (ctx, one) = (ctx.clone(), one.clone());
            move |a: &mut Analysis| {
                let choice = ClusterChoice { count, ..ClusterChoice::default() };
                a.want_clusters(&ctx, one.clone(), Sharing::Versions, &choice);
            }
        };
        settle(&mut analysis, ask(2));
        let (left, right) = (colour(&analysis, 0), colour(&analysis, 7));
        assert_ne!(left, right);
        settle(&mut analysis, ask(3));
        assert_eq!((colour(&analysis, 0), colour(&analysis, 7)), (left, right));
        settle(&mut analysis, ask(40));
        assert!(analysis.clusters_fault().unwrap().contains("40 clusters"));
        settle(&mut analysis, ask(2));
        assert_eq!((colour(&analysis, 0), analysis.clusters_fault()), (left, None));
    }
}
