//! Normalisations in one reading for the moments and one for the result.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::elementwise::Apply;
use super::vector::{Function, Silu};

/// Numbers summed in f32 before the sum goes on in f64.
const RUN: usize = 4096;

/// Group norm of `x` `[batch, channels, plane]` into `out`, followed by SiLU if `silu`.
///
/// # Panics
/// If the sizes do not fit each other.
#[allow(clippy::too_many_arguments, reason = "a norm has that many parts")]
pub fn group_norm(
    arch: Arch,
    x: &[f32],
    (channels, plane): (usize, usize),
    groups: usize,
    weight: &[f32],
    bias: &[f32],
    eps: f64,
    silu: bool,
    out: &mut [f32],
) {
    assert_eq!((x.len(), weight.len(), bias.len()), (out.len(), channels, channels), "the sizes fit");
    let per_group = channels / groups;
    let size = per_group * plane;
    if size == 0 {
        return;
    }
    assert_eq!(x.len() % (channels * plane), 0, "whole pictures");
    out.par_chunks_mut(size).zip(x.par_chunks(size)).enumerate().for_each(|(index, (out, x))| {
        let first = index % groups * per_group;
        let (mean, deviation) = moments(arch, x, eps);
        for (c, (out, x)) in out.chunks_mut(plane).zip(x.chunks(plane)).enumerate() {
            let slope = weight[first + c] / deviation;
            let line = Line { mean, slope, shift: bias[first + c] };
            if silu {
                arch.dispatch(Apply { function: LineSilu(line), x, out });
            } else {
                arch.dispatch(Apply { function: line, x, out });
            }
        }
    });
}

/// Layer norm of rows of `weight.len()` numbers.
///
/// # Panics
/// If the sizes do not fit each other.
pub fn layer_norm(arch: Arch, x: &[f32], weight: &[f32], bias: &[f32], eps: f64, out: &mut [f32]) {
    let width = weight.len();
    assert_eq!((x.len(), bias.len()), (out.len(), width), "the sizes fit");
    if width == 0 {
        return;
    }
    let rows = rows_at_once(width);
    out.par_chunks_mut(width * rows).zip(x.par_chunks(width * rows)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
            let (mean, deviation) = moments(arch, x, eps);
            arch.dispatch(Scaled { x, out, mean, scale: 1.0 / deviation, weight, bias: Some(bias) });
        }
    });
}

/// Division of rows of `weight.len()` numbers by their root mean square, times `weight`.
///
/// # Panics
/// If the sizes do not fit each other.
pub fn rms_norm(arch: Arch, x: &[f32], weight: &[f32], eps: f64, out: &mut [f32]) {
    let width = weight.len();
    assert_eq!(x.len(), out.len(), "the sizes fit");
    if width == 0 {
        return;
    }
    let rows = rows_at_once(width);
    out.par_chunks_mut(width * rows).zip(x.par_chunks(width * rows)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(width).zip(x.chunks(width)) {
            let squares = sum(arch, x, 0.0, true) / width as f64;
            let scale = (1.0 / (squares + eps).sqrt()) as f32;
            arch.dispatch(Scaled { x, out, mean: 0.0, scale, weight, bias: None });
        }
    });
}

/// Rows that make a piece of work worth handing to a thread.
fn rows_at_once(width: usize) -> usize {
    (16_384 / width).max(1)
}

/// Mean and √(variance + eps).
fn moments(arch: Arch, x: &[f32], eps: f64) -> (f32, f32) {
    let count = x.len() as f64;
    let mean = (sum(arch, x, 0.0, false) / count) as f32;
    let variance = sum(arch, x, mean, true) / count;
    (mean, (variance + eps).sqrt() as f32)
}

/// Σ (x − shift), or Σ (x − shift)² if `squared`.
fn sum(arch: Arch, x: &[f32], shift: f32, squared: bool) -> f64 {
    x.chunks(RUN).map(|x| f64::from(arch.dispatch(Sum { x, shift, squared }))).sum()
}

struct Sum<'a> {
    x: &'a [f32],
    shift: f32,
    squared: bool,
}

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.x);
        let shift = simd.splat_f32s(self.shift);
        let mut sums = [simd.splat_f32s(0.0); 4];
        let mut take = |slot: usize, x: S::f32s| {
            let x = simd.sub_f32s(x, shift);
            sums[slot] = if self.squared { simd.mul_add_f32s(x, x, sums[slot]) } else { simd.add_f32s(sums[slot], x) };
        };
        let mut fours = vectors.chunks_exact(4);
        for four in &mut fours {
            for (slot, x) in four.iter().enumerate() {
                take(slot, *x);
            }
        }
        for x in fours.remainder() {
            take(0, *x);
        }
        let two = [simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3])];
        let rest = rest.iter().map(|x| x - self.shift).map(|x| if self.squared { x * x } else { x }).sum::<f32>();
        simd.reduce_sum_f32s(simd.add_f32s(two[0], two[1])) + rest
    }
}

/// (x − mean) · slope + shift.
#[derive(Clone, Copy)]
struct Line {
    mean: f32,
    slope: f32,
    shift: f32,
}

impl Function for Line {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let [mean, slope, shift] = [self.mean, self.slope, self.shift].map(|v| simd.splat_f32s(v));
        simd.mul_add_f32s(simd.sub_f32s(x, mean), slope, shift)
    }
}

/// A line and SiLU of it.
#[derive(Clone, Copy)]
struct LineSilu(Line);

impl Function for LineSilu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        Silu.of(simd, self.0.of(simd, x))
    }
}

/// (x − mean) · scale · weight + bias, element by element.
struct Scaled<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    mean: f32,
    scale: f32,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl WithSimd for Scaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.bias {
            Some(bias) => {
                for (((out, x), weight), bias) in self.out.iter_mut().zip(self.x).zip(self.weight).zip(bias) {
                    *out = (x - self.mean) * self.scale * weight + bias;
                }
            }
            None => {
                for ((out, x), weight) in self.out.iter_mut().zip(self.x).zip(self.weight) {
                    *out = x * self.scale * weight;
                }
            }
        }
    }
}
