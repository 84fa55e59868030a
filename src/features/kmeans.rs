//! K-means of patch features: which patches the model takes for the same kind of thing.
//!
//! The paper's rule (spec/fit3d.md section 4.3): patches go to the centre of the greatest cosine (of equals the first), a
//! centre is the mean of its patches as they are, not normalised; an empty cluster's centre is zero. Several starts run
//! until no patch moves, and the one with the smallest Euclidean spread is kept. Beyond the paper: starts by k-means++,
//! clusters ordered by size, and colours that stay when k or the picture changes.

mod by_products;
mod directly;

use rand::Rng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::colour::PALETTE;
use super::grid::dot;
use super::matching::least_cost;
use super::{FeatureError, FeatureGrid, FeatureObserver};

/// Fewer clusters tell nothing apart.
pub const MIN_CLUSTERS: usize = 2;
/// More have no colours of their own.
pub const MAX_CLUSTERS: usize = PALETTE;

/// Up to this many patches all products of two patches are kept (64 MB), and a move costs one pass over a row of them.
const MOST_PRODUCTS: usize = 4096;

/// How the first centres are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Different patches at random, as the paper does.
    Random,
    /// One after the other, those far from the centres so far more likely (k-means++, Arthur and Vassilvitskii 2007).
    #[default]
    PlusPlus,
}

/// How clusters are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct KmeansSettings {
    /// How many, [`MIN_CLUSTERS`] to [`MAX_CLUSTERS`].
    pub clusters: usize,
    /// How many starts are tried.
    pub restarts: usize,
    /// The same seed gives the same clusters.
    pub seed: u64,
    /// How the first centres are chosen.
    pub start: Start,
    /// The most rounds a start may take.
    pub rounds: usize,
}

impl Default for KmeansSettings {
    fn default() -> Self {
        Self { start: Start::PlusPlus, ..Self::paper() }
    }
}

impl KmeansSettings {
    /// The paper's: twenty clusters, eight starts from random patches, a hundred rounds.
    #[must_use]
    pub fn paper() -> Self {
        Self { clusters: 20, restarts: 8, seed: 123, start: Start::Random, rounds: 100 }
    }
}

/// Clusters, the largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    dim: usize,
    /// `[clusters, dim]`.
    centres: Vec<f32>,
    /// Per grid the cluster of every patch.
    labels: Vec<Vec<u16>>,
    sizes: Vec<usize>,
    colours: Vec<usize>,
    /// Colours of clusters that were there before and are not now, with their centres.
    gone: Vec<(usize, Vec<f32>)>,
    spread: f64,
    rounds: usize,
}

/// All patches of all grids, one after the other.
struct Patches<'a> {
    grids: &'a [&'a FeatureGrid],
    dim: usize,
    count: usize,
}

impl<'a> Patches<'a> {
    fn of(grids: &'a [&'a FeatureGrid]) -> Result<Self, FeatureError> {
        let dim = grids.first().map_or(0, |grid| grid.dim());
        if let Some(other) = grids.iter().find(|grid| grid.dim() != dim) {
            return Err(FeatureError::Widths(dim, other.dim()));
        }
        Ok(Self { grids, dim, count: grids.iter().map(|grid| grid.patches()).sum() })
    }

    fn tokens(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (grids, dim) = (self.grids, self.dim);
        grids.iter().flat_map(move |grid| grid.tokens().chunks_exact(dim))
    }

    fn flat(&self) -> Vec<f32> {
        self.grids.iter().flat_map(|grid| grid.tokens()).copied().collect()
    }

    /// Whether every patch is the same.
    fn all_equal(&self) -> bool {
        let mut tokens = self.tokens();
        let first = tokens.next();
        tokens.all(|token| Some(token) == first)
    }
}

/// Where one start ended.
struct Outcome {
    labels: Vec<u16>,
    /// Σ ‖x − centre‖².
    spread: f64,
    rounds: usize,
}

impl Clustering {
    /// Clusters the patches of all `grids` together.
    ///
    /// # Errors
    /// [`FeatureError::ClusterCount`], [`FeatureError::MoreClustersThanPatches`], [`FeatureError::Constant`],
    /// [`FeatureError::Widths`], or the observer's wish to stop.
    pub fn fit(
        grids: &[&FeatureGrid],
        settings: &KmeansSettings,
        observer: &dyn FeatureObserver,
    ) -> Result<Self, FeatureError> {
        let patches = check(grids, settings.clusters)?;
        let starts = |restart: usize, likeness: &dyn Fn(usize) -> Vec<f32>| {
            let mut draw = ChaCha8Rng::seed_from_u64(settings.seed);
            draw.set_stream(restart as u64);
            match settings.start {
                Start::Random => sample(&mut draw, patches.count, settings.clusters).into_vec(),
                Start::PlusPlus => far_apart(patches.count, settings.clusters, likeness, &mut draw),
            }
        };
        let restarts = settings.restarts.max(1);
        observer.stage("Clustering", restarts);
        let outcome = run(&patches, restarts, settings.rounds, &starts, observer)?;
        Ok(Self::ordered(&patches, settings.clusters, &outcome))
    }

    /// As [`Clustering::fit`] with the paper's rule, from given starts: per start the patches that are the first centres
    /// (counted through all grids).
    ///
    /// # Errors
    /// As [`Clustering::fit`]; starts of different lengths or beyond the patches are refused too.
    pub fn from_starts(
        grids: &[&FeatureGrid],
        starts: &[Vec<usize>],
        rounds: usize,
        observer: &dyn FeatureObserver,
    ) -> Result<Self, FeatureError> {
        let clusters = starts.first().map_or(0, Vec::len);
        let patches = check(grids, clusters)?;
        if starts.iter().any(|start| start.len() != clusters || start.iter().any(|at| *at >= patches.count)) {
            return Err(FeatureError::ClusterCount(clusters));
        }
        observer.stage("Clustering", starts.len());
        let outcome = run(&patches, starts.len(), rounds, &|restart, _| starts[restart].clone(), observer)?;
        Ok(Self::ordered(&patches, clusters, &outcome))
    }

    /// Numbers the clusters by size, largest first, of equals the one whose first patch comes first.
    fn ordered(patches: &Patches<'_>, clusters: usize, outcome: &Outcome) -> Self {
        let mut sizes = vec![0usize; clusters];
        let mut firsts = vec![usize::MAX; clusters];
        let mut sums = vec![0f64; clusters * patches.dim];
        for (index, (token, label)) in patches.tokens().zip(&outcome.labels).enumerate() {
            let label = usize::from(*label);
            sizes[label] += 1;
            firsts[label] = firsts[label].min(index);
            let sum = &mut sums[label * patches.dim..][..patches.dim];
            sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let mut order: Vec<usize> = (0..clusters).collect();
        order.sort_by_key(|cluster| (std::cmp::Reverse(sizes[*cluster]), firsts[*cluster]));
        let mut place = vec![0u16; clusters];
        for (at, cluster) in order.iter().enumerate() {
            place[*cluster] = at as u16;
        }
        let centres = order.iter().flat_map(|&cluster| {
            let count = sizes[cluster].max(1) as f64;
            sums[cluster * patches.dim..][..patches.dim].iter().map(move |sum| (sum / count) as f32)
        });
        let mut rest = outcome.labels.iter().map(|label| place[usize::from(*label)]);
        let labels = patches.grids.iter().map(|grid| rest.by_ref().take(grid.patches()).collect()).collect();
        Self {
            dim: patches.dim,
            centres: centres.collect(),
            labels,
            sizes: order.iter().map(|cluster| sizes[*cluster]).collect(),
            colours: (0..clusters).collect(),
            gone: Vec::new(),
            spread: outcome.spread,
            rounds: outcome.rounds,
        }
    }

    /// How many clusters there are, empty ones among them.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.sizes.len()
    }

    /// The cluster of every patch of a grid that took part, row by row; nothing beyond the last grid.
    #[must_use]
    pub fn labels(&self, grid: usize) -> &[u16] {
        self.labels.get(grid).map_or(&[], Vec::as_slice)
    }

    /// Patches in every cluster, largest first.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The place in the palette ([`super::colour::palette`]) of every cluster.
    #[must_use]
    pub fn colours(&self) -> &[usize] {
        &self.colours
    }

    /// The mean features of a cluster, `[dim]`; empty beyond the last.
    #[must_use]
    pub fn centre(&self, cluster: usize) -> &[f32] {
        self.centres.chunks_exact(self.dim).nth(cluster).unwrap_or_default()
    }

    /// The sum of squared distances between patches and their centres.
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.spread
    }

    /// Rounds that the kept start took.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// The clusters of another grid's patches, by these centres.
    ///
    /// # Errors
    /// [`FeatureError::Widths`].
    pub fn assign(&self, grid: &FeatureGrid) -> Result<Vec<u16>, FeatureError> {
        if grid.dim() != self.dim {
            return Err(FeatureError::Widths(self.dim, grid.dim()));
        }
        let lengths: Vec<f32> = self.centres.chunks_exact(self.dim).map(|centre| dot(centre, centre).sqrt()).collect();
        let label = |token: &[f32]| {
            let centres = self.centres.chunks_exact(self.dim).zip(&lengths);
            first_best(centres.map(|(centre, length)| if *length > 0.0 { dot(centre, token) / length } else { 0.0 }))
        };
        Ok(grid.tokens().chunks_exact(self.dim).map(label).collect())
    }

    /// The same clusters in the colours of `earlier`, paired so that the distances of their centres add up to the least.
    /// Clusters without a partner take, in the same way, the colours of clusters that were there before and are gone, and
    /// only then colours that are free. Nothing changes where the features' widths differ.
    #[must_use]
    pub fn coloured_like(mut self, earlier: &Self) -> Self {
        if earlier.dim != self.dim {
            return self;
        }
        let there = |clustering: &Self| -> Vec<usize> {
            (0..clustering.clusters()).filter(|at| clustering.sizes[*at] > 0).collect()
        };
        let mut colours = vec![usize::MAX; self.clusters()];
        let live: Vec<(usize, &[f32])> =
            there(earlier).into_iter().map(|at| (earlier.colours[at], earlier.centre(at))).collect();
        let gone: Vec<(usize, &[f32])> = earlier.gone.iter().map(|(colour, centre)| (*colour, &centre[..])).collect();
        for known in [&live, &gone] {
            let mine: Vec<usize> = there(&self).into_iter().filter(|at| colours[*at] == usize::MAX).collect();
            let pairs = mine.iter().flat_map(|&at| known.iter().map(move |&(_, centre)| (at, centre)));
            let costs: Vec<f64> = pairs.map(|(at, centre)| distance(self.centre(at), centre)).collect();
            for (&cluster, partner) in mine.iter().zip(least_cost(&costs, mine.len(), known.len())) {
                if let Some(partner) = partner {
                    colours[cluster] = known[partner].0;
                }
            }
        }
        let mut left: Vec<(usize, &[f32])> =
            live.into_iter().chain(gone).filter(|(colour, _)| !colours.contains(colour)).collect();
        for at in 0..colours.len() {
            if colours[at] == usize::MAX {
                let kept = |colour: &usize| left.iter().any(|(known, _)| known == colour);
                let free = |colour: &usize| !colours.contains(colour);
                let found = (0..PALETTE).find(|colour| free(colour) && !kept(colour));
                // With no other colour left, what is gone is forgotten.
                colours[at] = found.or_else(|| (0..PALETTE).find(free)).unwrap_or(at);
                let taken = colours[at];
                left.retain(|(colour, _)| *colour != taken);
            }
        }
        self.gone = left.into_iter().map(|(colour, centre)| (colour, centre.to_vec())).collect();
        self.colours = colours;
        self
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

fn check<'a>(grids: &'a [&'a FeatureGrid], clusters: usize) -> Result<Patches<'a>, FeatureError> {
    if !(MIN_CLUSTERS..=MAX_CLUSTERS).contains(&clusters) {
        return Err(FeatureError::ClusterCount(clusters));
    }
    let patches = Patches::of(grids)?;
    if clusters > patches.count {
        return Err(FeatureError::MoreClustersThanPatches { clusters, patches: patches.count });
    }
    if patches.all_equal() {
        return Err(FeatureError::Constant);
    }
    Ok(patches)
}

/// Gives the first centres of a start; the second argument tells how alike a patch is to every other.
type Starts<'a> = &'a (dyn Fn(usize, &dyn Fn(usize) -> Vec<f32>) -> Vec<usize> + Sync);

/// Runs all starts and keeps the one of the smallest spread, of equals the first.
fn run(
    patches: &Patches<'_>,
    restarts: usize,
    rounds: usize,
    starts: Starts<'_>,
    observer: &dyn FeatureObserver,
) -> Result<Outcome, FeatureError> {
    let outcomes = if patches.count <= MOST_PRODUCTS {
        by_products::run(patches, restarts, rounds, starts, observer)?
    } else {
        directly::run(patches, restarts, rounds, starts, observer)?
    };
    let best = outcomes.into_iter().reduce(|best, other| if other.spread < best.spread { other } else { best });
    best.ok_or(FeatureError::Constant)
}

/// The place of the largest value, of equals the first.
fn first_best(values: impl Iterator<Item = f32>) -> u16 {
    let (mut best, mut place) = (f32::NEG_INFINITY, 0);
    for (at, value) in values.enumerate() {
        if value > best {
            (best, place) = (value, at as u16);
        }
    }
    place
}

/// k-means++ by cosines: the next centre is drawn with a probability that grows with the squared distance between unit
/// vectors, 2 − 2 cos, to the nearest centre so far. `likeness` gives one patch's cosines with all.
fn far_apart(count: usize, clusters: usize, likeness: &dyn Fn(usize) -> Vec<f32>, draw: &mut ChaCha8Rng) -> Vec<usize> {
    let mut chosen = vec![draw.random_range(0..count)];
    let mut distance = vec![f32::INFINITY; count];
    while chosen.len() < clusters {
        let last = chosen[chosen.len() - 1];
        for (distance, cosine) in distance.iter_mut().zip(likeness(last)) {
            *distance = distance.min((1.0 - cosine).max(0.0));
        }
        chosen.iter().for_each(|at| distance[*at] = 0.0);
        let total: f64 = distance.iter().map(|value| f64::from(*value)).sum();
        let mut left = draw.random_range(0.0..1.0) * total;
        let free = |at: &usize| !chosen.contains(at);
        let drawn = distance.iter().position(|value| {
            left -= f64::from(*value);
            left < 0.0 && *value > 0.0
        });
        // Where all that is left looks like a centre already, the first free patch will do.
        match drawn.or_else(|| (0..count).find(free)) {
            Some(at) => chosen.push(at),
            None => break,
        }
    }
    chosen
}

#[cfg(test)]
mod tests;
