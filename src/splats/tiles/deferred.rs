//! Sums of many channels over a tile.
//!
//! Adding every Gaussian's channels at once would load and store all sums of a run each time. So the weights of a run are
//! kept until there are several Gaussians', and then each few channels are summed over all of them in registers: in the
//! same order, so to the same numbers.

use super::blend::{LANES, Lanes, RUNS, SIDE, Sink};
use super::maps::add;

/// Gaussians whose weights are kept for each run: 32 kB a tile.
const KEPT: usize = 8;

/// Sums weighted channels.
pub(super) struct Deferred<'a> {
    dim: usize,
    /// Of all that is drawn, `[drawn, dim]`.
    channels: &'a [f32],
    /// `[run, channel]`.
    sums: &'a mut [Lanes],
    slot: u32,
    kept: Box<[Kept; SIDE * RUNS]>,
}

/// The weights that a run has not added yet.
#[derive(Clone, Copy)]
struct Kept {
    weights: [Lanes; KEPT],
    slots: [u32; KEPT],
    count: usize,
}

impl<'a> Deferred<'a> {
    /// For a tile's `sums`, `[run, dim]`.
    pub(super) fn new(dim: usize, channels: &'a [f32], sums: &'a mut [Lanes]) -> Self {
        let kept = Box::new([Kept { weights: [[0.0; LANES]; KEPT], slots: [0; KEPT], count: 0 }; SIDE * RUNS]);
        Self { dim, channels, sums, slot: 0, kept }
    }

    /// Adds what is still kept.
    #[inline(always)]
    pub(super) fn finish(&mut self) {
        for (kept, sums) in self.kept.iter_mut().zip(self.sums.chunks_exact_mut(self.dim.max(1))) {
            kept.add_to(sums, self.channels);
        }
    }
}

impl Sink for Deferred<'_> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.slot = slot;
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, _: &Lanes, _: &Lanes) {
        let kept = &mut self.kept[run];
        let place = kept.count % KEPT;
        kept.weights[place] = *weights;
        kept.slots[place] = self.slot;
        kept.count = place + 1;
        if kept.count == KEPT {
            kept.add_to(&mut self.sums[run * self.dim..][..self.dim], self.channels);
        }
    }
}

impl Kept {
    #[inline(always)]
    fn add_to(&mut self, sums: &mut [Lanes], channels: &[f32]) {
        let dim = sums.len();
        let mut first = 0;
        // Twelve sums, a weight and a value just fit the registers of AVX2.
        while first < dim {
            let sums = &mut sums[first..];
            first += match dim - first {
                12.. => self.add_twelve(sums, channels, dim, first),
                4.. => self.add_four(sums, channels, dim, first),
                _ => self.add_one(sums, channels, dim, first),
            };
        }
        self.count = 0;
    }
}

/// A function that adds a few channels and tells how many. Each sum has a name of its own: over an array of them the
/// compiler would vectorise across channels instead of pixels, several times slower.
macro_rules! add_channels {
    ($name:ident, $count:literal, $($sum:ident $at:literal),+) => {
        impl Kept {
            #[inline(always)]
            fn $name(&self, sums: &mut [Lanes], channels: &[f32], dim: usize, first: usize) -> usize {
                let Some(sums) = sums.first_chunk_mut::<$count>() else { return $count };
                let [$(mut $sum),+] = *sums;
                for (weights, slot) in self.weights.iter().zip(self.slots).take(self.count) {
                    let place = slot as usize * dim + first;
                    let Some(values) = channels.get(place..place + $count) else { break };
                    $(add(&mut $sum, weights, values[$at]);)+
                }
                *sums = [$($sum),+];
                $count
            }
        }
    };
}

add_channels!(add_twelve, 12, a 0, b 1, c 2, d 3, e 4, f 5, g 6, h 7, i 8, j 9, k 10, l 11);
add_channels!(add_four, 4, a 0, b 1, c 2, d 3);
add_channels!(add_one, 1, a 0);
