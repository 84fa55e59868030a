//! Activations and sums, element by element, on all threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::vector::{Function, GeluErf, map};

/// Elements of one piece of work.
const PIECE: usize = 1 << 15;

/// `out[i] = function(x[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn activate(arch: Arch, function: impl Function + Send + Sync, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "the sizes fit");
    out.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(out, x)| arch.dispatch(Apply { function, x, out }));
}

/// Rows `[value, gate]` of twice `width` numbers to `width` numbers value · gelu(gate).
///
/// # Panics
/// If the lengths do not fit.
pub fn geglu(arch: Arch, x: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(x.len(), 2 * out.len(), "the sizes fit");
    if width == 0 {
        return;
    }
    let rows = (PIECE / width).max(1);
    out.par_chunks_mut(rows * width).zip(x.par_chunks(2 * rows * width)).for_each(|(out, x)| {
        for (out, x) in out.chunks_mut(width).zip(x.chunks(2 * width)) {
            arch.dispatch(Gate { value: &x[..width], gate: &x[width..], out });
        }
    });
}

/// `out[i] = a[i] + b[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn add(a: &[f32], b: &[f32], out: &mut [f32]) {
    assert_eq!((a.len(), b.len()), (out.len(), out.len()), "the sizes fit");
    out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(out, (a, b))| {
        for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
            *out = a + b;
        }
    });
}

/// One piece of an elementwise function.
pub(super) struct Apply<'a, F> {
    pub(super) function: F,
    pub(super) x: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl<F: Function> WithSimd for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        map(simd, self.x, self.out, self.function);
    }
}

struct Gate<'a> {
    value: &'a [f32],
    gate: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { value, gate, out } = self;
        map(simd, gate, out, GeluErf);
        for (out, value) in out.iter_mut().zip(value) {
            *out *= value;
        }
    }
}
