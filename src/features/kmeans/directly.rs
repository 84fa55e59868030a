//! K-means on the features themselves, for more patches than all their products have room for.

use candle_core::{Device, Tensor};

use super::{Outcome, Patches, Starts, first_best};
use crate::features::grid::dot;
use crate::features::{FeatureError, FeatureObserver};

pub(super) fn run(
    patches: &Patches<'_>,
    restarts: usize,
    rounds: usize,
    starts: Starts<'_>,
    observer: &dyn FeatureObserver,
) -> Result<Vec<Outcome>, FeatureError> {
    let dim = patches.dim;
    let flat = patches.flat();
    let token = |at: usize| &flat[at * dim..][..dim];
    let lengths: Vec<f32> = flat.chunks_exact(dim).map(|token| dot(token, token).sqrt()).collect();
    let likeness = |at: usize| -> Vec<f32> {
        let cosine = |(other, length): (&[f32], &f32)| {
            let lengths = length * lengths[at];
            if lengths > 0.0 { dot(token(at), other) / lengths } else { 0.0 }
        };
        flat.chunks_exact(dim).zip(&lengths).map(cosine).collect()
    };
    let tokens = Tensor::from_slice(&flat, (patches.count, dim), &Device::Cpu)?;
    let mut outcomes = Vec::with_capacity(restarts);
    for restart in 0..restarts {
        let start = starts(restart, &likeness);
        let mut centres: Vec<f32> = start.iter().flat_map(|at| token(*at)).copied().collect();
        let mut labels: Vec<u16> = Vec::new();
        let mut done = 0;
        while done < rounds.max(1) {
            observer.checkpoint()?;
            let next = nearest(&tokens, &centres, dim)?;
            done += 1;
            if next == labels {
                break;
            }
            labels = next;
            centres = means(&flat, &labels, start.len(), dim);
        }
        let spread = flat.chunks_exact(dim).zip(&labels).map(|(token, label)| {
            let centre = &centres[usize::from(*label) * dim..][..dim];
            token.iter().zip(centre).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
        });
        outcomes.push(Outcome { spread: spread.sum(), labels, rounds: done });
        observer.step(restart + 1);
    }
    Ok(outcomes)
}

/// The centre of the greatest cosine for every patch.
fn nearest(tokens: &Tensor, centres: &[f32], dim: usize) -> Result<Vec<u16>, FeatureError> {
    let unit = |centre: &[f32]| -> Vec<f32> {
        let length = dot(centre, centre).sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        centre.iter().map(|value| value * scale).collect()
    };
    let units: Vec<f32> = centres.chunks_exact(dim).flat_map(unit).collect();
    let count = units.len() / dim;
    let units = Tensor::from_vec(units, (count, dim), &Device::Cpu)?;
    let likeness = tokens.matmul(&units.t()?)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(likeness.chunks_exact(count).map(|row| first_best(row.iter().copied())).collect())
}

/// The mean of every cluster's patches; zero for an empty one.
fn means(flat: &[f32], labels: &[u16], clusters: usize, dim: usize) -> Vec<f32> {
    let mut sums = vec![0f64; clusters * dim];
    let mut sizes = vec![0usize; clusters];
    for (token, label) in flat.chunks_exact(dim).zip(labels) {
        let cluster = usize::from(*label);
        sizes[cluster] += 1;
        let sum = &mut sums[cluster * dim..][..dim];
        sum.iter_mut().zip(token).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let mean = |(sum, size): (&[f64], &usize)| {
        let size = (*size).max(1) as f64;
        sum.iter().map(move |sum| (sum / size) as f32).collect::<Vec<f32>>()
    };
    sums.chunks_exact(dim).zip(&sizes).flat_map(mean).collect()
}
