//! Attention that never holds a whole score matrix: queries in blocks, keys in runs, the softmax carried along.
//!
//! For every block of queries the running maximum and sum of each row are kept; when a later run of keys raises the maximum, what
//! was summed so far is scaled down (Milakov and Gimelshein 2018; Dao et al. 2022).

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::panels::Panels;
use super::share::Parts;
use super::tile::{self, Left, Start};
use super::vector;

/// Queries of one block: eight bands of a tile.
const QUERIES: usize = 8 * tile::ROWS;
/// Keys of one run; with [`QUERIES`] rows their scores stay in the second cache.
const KEYS: usize = 512;

/// A stack `[batch, heads, n, width]` read by strides.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// The memory they lie in.
    pub numbers: &'a [f32],
    /// Positions.
    pub n: usize,
    /// Numbers of a position in one head.
    pub width: usize,
    /// From one batch, head, position and number to the next, in elements.
    pub strides: [usize; 4],
}

impl<'a> Heads<'a> {
    fn head(&self, batch: usize, head: usize) -> &'a [f32] {
        &self.numbers[batch * self.strides[0] + head * self.strides[1]..]
    }

    fn reach(&self, batch: usize, heads: usize) -> usize {
        let [b, h, n, w] = self.strides;
        (batch - 1) * b + (heads - 1) * h + (self.n - 1) * n + (self.width - 1) * w + 1
    }
}

/// What is added to the scores: `[batch, heads, queries, keys]` read by strides, 0 where it is broadcast.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// The memory it lies in.
    pub numbers: &'a [f32],
    /// From one batch, head, query and key to the next, in elements.
    pub strides: [usize; 4],
}

/// `out` `[batch, queries, heads, width of v]` = softmax(scale · q kᵀ + mask) v.
///
/// A query whose keys are all hidden (mask −∞) gives NaN.
///
/// # Panics
/// If the sizes do not fit each other.
#[allow(clippy::too_many_arguments, reason = "attention has that many parts")]
pub fn attend(
    arch: Arch,
    (batch, heads): (usize, usize),
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    scale: f32,
    mask: Option<Mask<'_>>,
    out: &mut [f32],
) {
    assert_eq!((q.width, k.n), (k.width, v.n), "queries, keys and values fit each other");
    assert_eq!(out.len(), batch * q.n * heads * v.width, "the output fits");
    if out.is_empty() {
        return;
    }
    if k.n == 0 {
        return out.fill(f32::NAN);
    }
    if q.width == 0 {
        // Every score is 0 then; candle refuses such tensors before they come here.
        return out.fill(f32::NAN);
    }
    for stack in [&q, &k, &v] {
        assert!(stack.reach(batch, heads) <= stack.numbers.len(), "the stacks are all there");
    }
    let parts = Parts::new(out);
    let blocks = q.n.div_ceil(QUERIES);
    // Keys and values of as many heads as there are threads are laid out at a time.
    let at_once = rayon::current_num_threads().max(1);
    let all: Vec<usize> = (0..batch * heads).collect();
    for group in all.chunks(at_once) {
        let packed: Vec<(Panels, Panels)> = group
            .iter()
            .map(|index| {
                let (keys, values) = (k.head(index / heads, index % heads), v.head(index / heads, index % heads));
                let [_, _, key, key_width] = k.strides;
                let [_, _, value, value_width] = v.strides;
                (
                    Panels::pack(arch, k.width, k.n, |p, j| keys[j * key + p * key_width]),
                    Panels::pack(arch, v.n, v.width, |p, j| values[p * value + j * value_width]),
                )
            })
            .collect();
        (0..group.len() * blocks).into_par_iter().for_each(|unit| {
            let (place, block) = (unit / blocks, unit % blocks);
            let (batch, head) = (group[place] / heads, group[place] % heads);
            let first = block * QUERIES;
            let block = Block {
                q,
                queries: q.head(batch, head),
                keys: &packed[place].0,
                values: &packed[place].1,
                scale,
                mask: mask.map(|mask| Mask {
                    numbers: &mask.numbers[batch * mask.strides[0] + head * mask.strides[1]..],
                    ..mask
                }),
                first,
                count: (q.n - first).min(QUERIES),
                parts,
                corner: (batch * q.n * heads + head) * v.width,
                row: heads * v.width,
            };
            SCRATCH.with_borrow_mut(|scratch| arch.dispatch(Attending { block: &block, scratch }));
        });
    }
}

#[derive(Default)]
struct Scratch {
    queries: Buffer,
    scores: Buffer,
    sums: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

struct Block<'a> {
    q: Heads<'a>,
    queries: &'a [f32],
    keys: &'a Panels,
    values: &'a Panels,
    scale: f32,
    mask: Option<Mask<'a>>,
    first: usize,
    count: usize,
    parts: Parts<'a>,
    /// Where the output's row 0 of this head begins, and how far it is to the next.
    corner: usize,
    row: usize,
}

/// A block and the memory for its scores.
struct Attending<'a> {
    block: &'a Block<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Attending<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.block.run(simd, self.scratch);
    }
}

impl Block<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, scratch: &mut Scratch) {
        let (keys, width, depth) = (self.values.depth, self.values.columns, self.q.width);
        let Scratch { queries, scores, sums } = scratch;
        self.take_queries(queries);
        scores.set_len(QUERIES * KEYS);
        sums.set_len(QUERIES * width);
        let mut top = [f32::NEG_INFINITY; QUERIES];
        let mut total = [0.0_f32; QUERIES];
        let a = Left { at: queries.as_ptr(), row: depth, column: 1 };
        for first in (0..keys).step_by(KEYS) {
            let run = (keys - first).min(KEYS);
            for panel in first / self.keys.width..(first + run).div_ceil(self.keys.width) {
                let columns = self.keys.columns_of(panel);
                let at = panel * self.keys.width - first;
                let b = self.keys.from_row(panel, 0).as_ptr();
                // SAFETY: `count` queries of `depth` numbers were taken; panels lie inside the run, because its first key is a
                // multiple of a panel's width, and the scores have KEYS columns.
                unsafe {
                    let c = scores.as_mut_ptr().add(at);
                    tile::band(simd, depth, a, self.count, b, columns, c, KEYS, Start::Zero);
                }
            }
            for i in 0..self.count {
                let row = &mut scores[i * KEYS..i * KEYS + run];
                if let Some(mask) = self.mask {
                    let from = (self.first + i) * mask.strides[2] + first * mask.strides[3];
                    for (j, score) in row.iter_mut().enumerate() {
                        *score += mask.numbers[from + j * mask.strides[3]];
                    }
                }
                let before = top[i];
                let now = maximum(simd, row).max(before);
                top[i] = now;
                if now == f32::NEG_INFINITY {
                    row.fill(0.0);
                    continue;
                }
                let shrink = (before - now).exp();
                total[i] = total[i] * shrink + exponentials(simd, row, now);
                if first > 0 && shrink != 1.0 {
                    sums[i * width..(i + 1) * width].iter_mut().for_each(|sum| *sum *= shrink);
                }
            }
            let start = if first == 0 { Start::Zero } else { Start::Sum };
            let a = Left { at: scores.as_ptr(), row: KEYS, column: 1 };
            for panel in 0..self.values.count() {
                let (at, columns) = (panel * self.values.width, self.values.columns_of(panel));
                let b = self.values.from_row(panel, first).as_ptr();
                // SAFETY: the scores of `count` rows and `run` keys were computed; the panel has `run` more rows from `first`
                // on; the sums have `width` columns.
                unsafe {
                    let c = sums.as_mut_ptr().add(at);
                    tile::band(simd, run, a, self.count, b, columns, c, width, start);
                }
            }
        }
        for i in 0..self.count {
            let out = self.parts.at(self.corner + (self.first + i) * self.row, width);
            let share = 1.0 / total[i];
            for (j, sum) in sums[i * width..(i + 1) * width].iter().enumerate() {
                // SAFETY: inside the part; blocks differ in batch, head or queries.
                unsafe { out.add(j).write(sum * share) };
            }
        }
    }

    /// The block's queries times the scale, row after row.
    fn take_queries(&self, queries: &mut Buffer) {
        let [_, _, row, column] = self.q.strides;
        queries.set_len(self.count * self.q.width);
        for (i, line) in queries.chunks_mut(self.q.width).enumerate() {
            let from = (self.first + i) * row;
            for (p, value) in line.iter_mut().enumerate() {
                *value = self.queries[from + p * column] * self.scale;
            }
        }
    }
}

/// The largest number of a row; NaN if there is one.
#[inline(always)]
fn maximum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(row);
    let mut top = simd.splat_f32s(f32::NEG_INFINITY);
    for vector in vectors {
        // The second operand is kept where the first is NaN, so a NaN in the row stays in it.
        top = simd.max_f32s(top, *vector);
    }
    rest.iter().fold(simd.reduce_max_f32s(top), |a, b| a.max(*b))
}

/// Replaces every x by exp(x − top) and returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, row: &mut [f32], top: f32) -> f32 {
    let (vectors, rest) = S::as_mut_simd_f32s(row);
    let shift = simd.splat_f32s(top);
    let mut sum = simd.splat_f32s(0.0);
    for vector in vectors {
        *vector = vector::exp(simd, simd.sub_f32s(*vector, shift));
        sum = simd.add_f32s(sum, *vector);
    }
    let mut total = simd.reduce_sum_f32s(sum);
    if !rest.is_empty() {
        let last = vector::exp(simd, simd.sub_f32s(simd.partial_load_f32s(rest), shift));
        simd.partial_store_f32s(rest, last);
        total += rest.iter().sum::<f32>();
    }
    total
}
