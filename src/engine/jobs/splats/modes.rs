//! What a scene's features look like, by the maps of the Features lens brought down to the Gaussians.
//!
//! Linear maps are blended as they are (spec/splats.md section 4.2): principal components and the cosines to cluster
//! centres of what a pixel shows are the blended ones of its Gaussians, so three or K channels are enough, exactly.

use crate::features::colour::{ColourScale, palette};
use crate::features::kmeans::{Clustering, KmeansSettings};
use crate::features::pca::{Basis, Colouring, RangeRule, Sample};
use crate::features::{FeatureError, FeatureGrid, FeatureObserver, Placement};
use crate::picture::resize::{Fit, SizeRequest, plan};
use crate::splats::gaussians::Features;

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
    let count = features.values.len() / features.dim;
    let mut values = vec![0.0; 4 * count];
    for (index, out) in values.chunks_exact_mut(4).enumerate() {
        if has_features(features, index) {
            out[3] = 1.0;
            for (component, out) in out[..3].iter_mut().enumerate() {
                let direction = basis.component(component).iter().zip(basis.mean());
                *out = direction.zip(features.of(index)).map(|((along, mean), value)| along * (value - mean)).sum();
            }
        }
    }
    Ok((values, colouring))
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
    let mut values = Vec::with_capacity(features.values.len() / features.dim * directions.len());
    for feature in features.values.chunks_exact(features.dim) {
        values.extend(directions.iter().map(|along| along.iter().zip(feature).map(|(a, b)| a * b).sum::<f32>()));
    }
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
    blended.chunks_exact(dim).map(of).collect()
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
