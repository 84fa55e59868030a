//! What a scene's features look like, by the maps of the Features lens brought down to the Gaussians.
//!
//! Linear maps are blended as they are (spec/splats.md section 4.2): principal components and the cosines to cluster
//! centres of what a pixel shows are the blended ones of its Gaussians, so three or K channels are enough, exactly.

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::features::colour::{ColourScale, palette};
use crate::features::kmeans::{Clustering, KmeansSettings};
use crate::features::pca::{Basis, Colouring, RangeRule, Sample};
use crate::features::{FeatureError, FeatureGrid, FeatureObserver, Placement};
use crate::nets::watcher::Cancelled;
use crate::picture::resize::{Fit, SizeRequest, plan};
use crate::splats::gaussians::Features;
use crate::splats::shading::SCALE;

/// A basis or clusters are fitted to at most so many Gaussians, evenly chosen.
const MOST_FITTED: usize = 1 << 15;

/// Whether a Gaussian has features: those that no photograph showed have none.
pub(crate) fn has_features(features: &Features, index: usize) -> bool {
    match features.confidence.get(index) {
        Some(confidence) => *confidence > 0.0,
        None => features.of(index).iter().any(|value| *value != 0.0),
    }
}

/// Every so-many-th Gaussian that has features, as a grid of one column.
pub(super) fn sample(features: &Features) -> Result<FeatureGrid, FeatureError> {
    let count = features.values.len() / features.dim;
    let with: Vec<usize> = (0..count).filter(|index| has_features(features, *index)).collect();
    let step = with.len().div_ceil(MOST_FITTED).max(1);
    let chosen: Vec<usize> = with.into_iter().step_by(step).collect();
    if chosen.len() < 2 {
        return Err(FeatureError::TooFewPatches { what: "a map of features", needed: 2, patches: chosen.len() });
    }
    let tokens: Vec<f32> = chosen.iter().flat_map(|index| features.of(*index)).copied().collect();
    grid(chosen.len(), features.dim, tokens)
}

/// A column of vectors as the Features lens takes them.
fn grid(rows: usize, dim: usize, tokens: Vec<f32>) -> Result<FeatureGrid, FeatureError> {
    let plan = plan((1, 1), SizeRequest::Source, Fit::Squash, 1)?;
    FeatureGrid::new(Placement { rows, columns: 1, patch: 1, plan }, dim, tokens)
}

/// Gaussians that are worked on between two looks at whether to go on.
const PIECE: usize = 1 << 16;

/// `width` numbers of each Gaussian, `[n, width]`, by many threads, piece by piece.
fn of_each(
    features: &Features,
    width: usize,
    observer: &dyn FeatureObserver,
    of: impl Fn(usize, &mut [f32]) + Sync,
) -> Result<Vec<f32>, FeatureError> {
    let count = features.values.len() / features.dim;
    let mut values = vec![0.0; width * count];
    observer.stage("Mapping features of the scene", count.div_ceil(PIECE));
    for (piece, part) in values.chunks_mut(width * PIECE).enumerate() {
        observer.checkpoint().map_err(|_| Cancelled)?;
        part.par_chunks_mut(width * 256).enumerate().for_each(|(run, part)| {
            for (at, out) in part.chunks_exact_mut(width).enumerate() {
                of(piece * PIECE + run * 256 + at, out);
            }
        });
        observer.step(piece + 1);
    }
    Ok(values)
}

/// Three principal components of each Gaussian and whether it has any: `[n, 4]`, and how they are coloured. The ranges
/// are the scene's, so that a thing has one colour from everywhere.
pub(crate) fn components(
    features: &Features,
    observer: &dyn FeatureObserver,
) -> Result<(Vec<f32>, Colouring), FeatureError> {
    let sample = sample(features)?;
    let basis = Basis::fit(&[Sample::all(&sample)], 3, observer)?;
    let scores = basis.project(&sample)?;
    let colouring = Colouring::fit(&[(&scores, None)], [0, 1, 2], RangeRule::default());
    Ok((components_by(features, &basis, [0, 1, 2], observer)?, colouring))
}

/// Three components of a basis of each Gaussian and whether it has any features: `[n, 4]`. The basis may be that of
/// pictures, if it is as wide: then a thing has one colour in both.
pub(crate) fn components_by(
    features: &Features,
    basis: &Basis,
    chosen: [usize; 3],
    observer: &dyn FeatureObserver,
) -> Result<Vec<f32>, FeatureError> {
    if basis.dim() != features.dim {
        return Err(FeatureError::Widths(basis.dim(), features.dim));
    }
    of_each(features, 4, observer, |index, out| {
        if has_features(features, index) {
            out[3] = 1.0;
            for (component, out) in chosen.into_iter().zip(&mut *out) {
                let direction = basis.component(component).iter().zip(basis.mean());
                *out = direction.zip(features.of(index)).map(|((along, mean), value)| along * (value - mean)).sum();
            }
        }
    })
}

/// The colour of blended components, 0..=1, and how much of a pixel has any.
pub(crate) fn component_colour(blended: &[f32], colouring: &Colouring) -> ([f32; 3], f32) {
    let share = blended[3];
    let colour = std::array::from_fn(|channel| {
        let (low, high) = colouring.ranges[channel];
        let value = if share > 0.0 { blended[channel] / share } else { low };
        if high == low { 0.0 } else { ((value - low) / (high - low)).clamp(0.0, 1.0) }
    });
    (colour, share)
}

/// For each Gaussian its products with the centres' directions, `[n, K]`, and the colours of the clusters. The cluster of
/// a pixel is the one whose blended product is greatest.
pub(crate) fn clusters(
    features: &Features,
    count: usize,
    seed: u64,
    observer: &dyn FeatureObserver,
) -> Result<(Vec<f32>, Vec<[f32; 3]>), FeatureError> {
    let sample = sample(features)?;
    let settings = KmeansSettings { clusters: count, seed, ..KmeansSettings::default() };
    let clustering = Clustering::fit(&[&sample], &settings, observer)?;
    let directions: Vec<Vec<f32>> = (0..clustering.clusters())
        .map(|cluster| {
            let centre = clustering.centre(cluster);
            let length = centre.iter().map(|value| value * value).sum::<f32>().sqrt();
            centre.iter().map(|value| if length > 0.0 { value / length } else { 0.0 }).collect()
        })
        .collect();
    let values = of_each(features, directions.len(), observer, |index, out| {
        let feature = features.of(index);
        for (along, out) in directions.iter().zip(out) {
            *out = along.iter().zip(feature).map(|(a, b)| a * b).sum();
        }
    })?;
    let colours = clustering.colours().iter().map(|place| palette(*place).0.map(|value| f32::from(value) / 255.0));
    Ok((values, colours.collect()))
}

/// The place of the greatest, of equals the first.
pub(crate) fn greatest(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

/// The cosine of each pixel's blended feature with that of `query`; 0 where nothing is seen.
pub(crate) fn cosines(blended: &[f32], dim: usize, query: &[f32]) -> Vec<f32> {
    let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let own = length(query);
    let of = |feature: &[f32]| {
        let product: f32 = feature.iter().zip(query).map(|(a, b)| a * b).sum();
        let lengths = length(feature) * own;
        if lengths > 0.0 { (product / lengths).clamp(-1.0, 1.0) } else { 0.0 }
    };
    blended.par_chunks_exact(dim).with_min_len(256).map(of).collect()
}

/// The usual scale of colours as a table, 0..=1.
pub(crate) fn scale() -> &'static [[f32; 3]; SCALE] {
    static TABLE: OnceLock<[[f32; 3]; SCALE]> = OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|at| {
            let colour = ColourScale::Depths.colour(at as f32 / (SCALE - 1) as f32);
            colour.0.map(|value| f32::from(value) / 255.0)
        })
    })
}

/// Numbers as colours of the usual scale between their smallest and largest where something is seen; 0..=1.
pub(crate) fn scaled(values: &[f32], alpha: &[f32]) -> Vec<[f32; 3]> {
    let seen = || values.iter().zip(alpha).filter(|(_, alpha)| **alpha > 0.5).map(|(value, _)| *value);
    let (low, high) =
        seen().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let extent = if high > low { high - low } else { 1.0 };
    let colour =
        |value: &f32| ColourScale::Depths.colour((value - low) / extent).0.map(|value| f32::from(value) / 255.0);
    values.iter().map(colour).collect()
}
