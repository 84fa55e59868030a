//! Attention of a single query over keys that lie in memory as they are: a decoder's next token.
//!
//! The blocked kernel ([`super::attention`]) lays keys and values out anew, which pays for many queries; for one, reading
//! each once where it lies is all there is to do.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

/// Rows of keys and values of one head, each `width` numbers, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[n, width]`.
    pub keys: &'a [f32],
    /// `[n, width]`.
    pub values: &'a [f32],
}

/// What a query found in one stretch of keys.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The largest score; −∞ without keys.
    pub largest: f32,
    /// Sum of e^(score − largest).
    pub sum: f32,
}

/// Softmax of `scale · q kᵀ` over the rows in `runs`, in their order: `weights` receives e^(score − largest) for each, `out`
/// their weighted sum of values, neither divided by the sum.
///
/// # Panics
/// If a run lies outside the rows, or `weights` is not as long as the runs together.
pub fn attend(
    arch: Arch,
    q: &[f32],
    rows: Rows<'_>,
    runs: &[Range<usize>],
    scale: f32,
    weights: &mut [f32],
    out: &mut [f32],
) -> Found {
    assert_eq!(weights.len(), runs.iter().map(Range::len).sum::<usize>(), "a weight for each row");
    arch.dispatch(Row { q, rows, runs, scale, weights, out })
}

struct Row<'a> {
    q: &'a [f32],
    rows: Rows<'a>,
    runs: &'a [Range<usize>],
    scale: f32,
    weights: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = Found;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Found {
        let width = self.q.len();
        let mut largest = f32::NEG_INFINITY;
        let mut slots = self.weights.iter_mut();
        for run in self.runs {
            let keys = self.rows.keys[run.start * width..run.end * width].chunks_exact(width);
            for (key, slot) in keys.zip(slots.by_ref()) {
                let score = dot(simd, self.q, key) * self.scale;
                largest = largest.max(score);
                *slot = score;
            }
        }
        self.out.fill(0.0);
        let mut sum = 0.0;
        let mut slots = self.weights.iter_mut();
        for run in self.runs {
            let values = self.rows.values[run.start * width..run.end * width].chunks_exact(width);
            for (value, slot) in values.zip(slots.by_ref()) {
                *slot = (*slot - largest).exp();
                sum += *slot;
                add(simd, *slot, value, self.out);
            }
        }
        Found { largest, sum }
    }
}

/// Σ aᵢ bᵢ.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = S::as_simd_f32s(a);
    let (b, b_rest) = S::as_simd_f32s(b);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (mut a4, mut b4) = (a.chunks_exact(4), b.chunks_exact(4));
    for (a, b) in a4.by_ref().zip(b4.by_ref()) {
        for lane in 0..4 {
            sums[lane] = simd.mul_add_f32s(a[lane], b[lane], sums[lane]);
        }
    }
    for (a, b) in a4.remainder().iter().zip(b4.remainder()) {
        sums[0] = simd.mul_add_f32s(*a, *b, sums[0]);
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(sum) + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// outᵢ += w xᵢ.
#[inline(always)]
fn add<S: Simd>(simd: S, w: f32, x: &[f32], out: &mut [f32]) {
    let (x, x_rest) = S::as_simd_f32s(x);
    let (out, out_rest) = S::as_mut_simd_f32s(out);
    let weight = simd.splat_f32s(w);
    for (out, x) in out.iter_mut().zip(x) {
        *out = simd.mul_add_f32s(weight, *x, *out);
    }
    for (out, x) in out_rest.iter_mut().zip(x_rest) {
        *out += w * x;
    }
}
