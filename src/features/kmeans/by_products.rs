//! K-means on the products of patches with each other instead of on their features.
//!
//! Cosines with a cluster's mean, and the mean's length, need nothing but the sums Sₖᵢ = Σ_{j in k} xᵢ·xⱼ; when a patch
//! moves from one cluster to another, two rows of sums change by one row of products. After the first rounds few patches
//! move, so that a round costs a fraction of comparing all patches with all centres.

use rayon::prelude::*;

use super::{Outcome, Patches, Starts};
use crate::features::{FeatureError, FeatureObserver};
use crate::ops::cpu::{self, tall};

/// Sums of products are kept in f64, so that thousands of moves leave no trace of rounding.
struct State<'a> {
    /// `[count, count]`.
    products: &'a [f32],
    count: usize,
    /// `[clusters, count]`.
    sums: Vec<f64>,
    labels: Vec<u16>,
    sizes: Vec<usize>,
}

pub(super) fn run(
    patches: &Patches<'_>,
    restarts: usize,
    rounds: usize,
    starts: Starts<'_>,
    observer: &dyn FeatureObserver,
) -> Result<Vec<Outcome>, FeatureError> {
    observer.checkpoint()?;
    let count = patches.count;
    let products = tall::row_products(cpu::arch(), &patches.flat(), patches.dim);
    let lengths: Vec<f32> = (0..count).map(|at| products[at * count + at].max(0.0).sqrt()).collect();
    let likeness = |at: usize| -> Vec<f32> {
        let row = &products[at * count..][..count];
        let cosine = |(product, length): (&f32, &f32)| {
            let lengths = length * lengths[at];
            if lengths > 0.0 { product / lengths } else { 0.0 }
        };
        row.iter().zip(&lengths).map(cosine).collect()
    };
    let mut outcomes = Vec::with_capacity(restarts);
    // As many at once as there are processors; between these, whoever watches may stop.
    let wave = rayon::current_num_threads().max(1);
    for first in (0..restarts).step_by(wave) {
        observer.checkpoint()?;
        let one = |restart: usize| State::new(&products, count, &starts(restart, &likeness)).settle(rounds);
        let last = (first + wave).min(restarts);
        outcomes.extend((first..last).into_par_iter().map(one).collect::<Vec<_>>());
        observer.step(last);
    }
    Ok(outcomes)
}

impl<'a> State<'a> {
    /// Every patch in the cluster of the start it is most alike.
    fn new(products: &'a [f32], count: usize, start: &[usize]) -> Self {
        let row = |at: usize| &products[at * count..][..count];
        // A token's length divides its own row; the patch's length is the same for all centres.
        let scale = |at: &usize| {
            let square = row(*at)[*at];
            if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
        };
        let scales: Vec<f32> = start.iter().map(scale).collect();
        let mut best = vec![f32::NEG_INFINITY; count];
        let mut labels = vec![0u16; count];
        for (cluster, (at, scale)) in start.iter().zip(&scales).enumerate() {
            for ((best, label), product) in best.iter_mut().zip(&mut labels).zip(row(*at)) {
                let value = product * scale;
                if value > *best {
                    (*best, *label) = (value, cluster as u16);
                }
            }
        }
        let mut state =
            Self { products, count, sums: vec![0.0; start.len() * count], sizes: vec![0; start.len()], labels };
        for at in 0..count {
            state.add(usize::from(state.labels[at]), at);
        }
        state
    }

    fn add(&mut self, cluster: usize, patch: usize) {
        self.sizes[cluster] += 1;
        let row = &self.products[patch * self.count..][..self.count];
        let sums = &mut self.sums[cluster * self.count..][..self.count];
        tall::add_scaled(cpu::arch(), sums, row, 1.0);
    }

    fn remove(&mut self, cluster: usize, patch: usize) {
        self.sizes[cluster] -= 1;
        let row = &self.products[patch * self.count..][..self.count];
        let sums = &mut self.sums[cluster * self.count..][..self.count];
        tall::add_scaled(cpu::arch(), sums, row, -1.0);
    }

    /// The squared length of every cluster's sum of patches.
    fn squares(&self) -> Vec<f64> {
        let mut squares = vec![0.0; self.sizes.len()];
        for (patch, label) in self.labels.iter().enumerate() {
            let cluster = usize::from(*label);
            squares[cluster] += self.sums[cluster * self.count + patch];
        }
        squares
    }

    /// The cluster that every patch belongs to by the centres as they are. The number of patches divides out of a
    /// cosine with their mean.
    fn nearest(&self) -> Vec<u16> {
        let mut best = vec![f64::NEG_INFINITY; self.count];
        let mut labels = vec![0u16; self.count];
        for (cluster, square) in self.squares().into_iter().enumerate() {
            let scale = if self.sizes[cluster] > 0 && square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
            let sums = &self.sums[cluster * self.count..][..self.count];
            for ((best, label), sum) in best.iter_mut().zip(&mut labels).zip(sums) {
                let value = sum * scale;
                if value > *best {
                    (*best, *label) = (value, cluster as u16);
                }
            }
        }
        labels
    }

    /// Rounds until no patch moves.
    fn settle(mut self, rounds: usize) -> Outcome {
        let mut done = 1;
        while done < rounds.max(1) {
            let labels = self.nearest();
            done += 1;
            if labels == self.labels {
                break;
            }
            for (patch, label) in labels.into_iter().enumerate() {
                let (from, to) = (usize::from(self.labels[patch]), usize::from(label));
                if from != to {
                    self.remove(from, patch);
                    self.add(to, patch);
                    self.labels[patch] = label;
                }
            }
        }
        // Σ ‖x − c‖² = Σ ‖x‖² − Σ ‖sum of a cluster‖² / its size.
        let squares: f64 = (0..self.count).map(|at| f64::from(self.products[at * self.count + at])).sum();
        let within = self.squares().into_iter().zip(&self.sizes);
        let explained: f64 = within.filter(|(_, size)| **size > 0).map(|(square, size)| square / *size as f64).sum();
        Outcome { labels: self.labels, spread: squares - explained, rounds: done }
    }
}
