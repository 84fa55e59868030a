//! Functions of whole vectors: exp, sigmoid, erf, tanh, accurate to a few units in the last place of an f32.

use pulp::Simd;

/// eˣ; 0 below −87.3 (where f32 would lose its leading bit), ∞ above 88.7, NaN of NaN.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first short enough that its multiples are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2²³ leaves the nearest whole number, plus the exponent's bias of 127, in the low bits.
    const MAGIC: f32 = 12_582_912.0 + 127.0;
    let s = |v| simd.splat_f32s(v);
    let held = simd.max_f32s(simd.min_f32s(x, s(88.7)), s(-87.3));
    let shifted = simd.mul_add_f32s(held, s(LOG2_E), s(MAGIC));
    let n = simd.sub_f32s(shifted, s(MAGIC));
    let r = simd.mul_add_f32s(n, s(-LN2_HIGH), held);
    let r = simd.mul_add_f32s(n, s(-LN2_LOW), r);
    // (eʳ − 1 − r) / r² on |r| ≤ ln 2 / 2; the coefficients of Cephes' expf.
    let mut p = s(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_1e-1] {
        p = simd.mul_add_f32s(p, r, s(c));
    }
    let p = simd.add_f32s(simd.mul_add_f32s(p, simd.mul_f32s(r, r), r), s(1.0));
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let y = simd.mul_f32s(p, simd.transmute_f32s_u32s(bits));
    let y = simd.select_f32s(simd.less_than_f32s(x, s(-87.3)), s(0.0), y);
    let y = simd.select_f32s(simd.less_than_f32s(s(88.7), x), s(f32::INFINITY), y);
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// tanh x = 1 − 2 / (e²ˣ + 1), to about 1e-7 absolutely.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let two = simd.splat_f32s(2.0);
    let e = exp(simd, simd.mul_f32s(x, two));
    simd.sub_f32s(one, simd.div_f32s(two, simd.add_f32s(e, one)))
}

/// The error function, to about 1e-7 absolutely: x · P(x²) / Q(x²) on |x| ≤ 4, ±1 beyond (the rational approximation
/// that XLA and Eigen use for f32).
#[inline(always)]
pub fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let s = |v| simd.splat_f32s(v);
    let held = simd.max_f32s(simd.min_f32s(x, s(4.0)), s(-4.0));
    let square = simd.mul_f32s(held, held);
    let mut p = s(-2.726_142_2e-10);
    for c in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_4e-2] {
        p = simd.mul_add_f32s(p, square, s(c));
    }
    let mut q = s(-1.456_607_2e-5);
    for c in [-2.133_740_5e-4, -1.682_827e-3, -7.373_329_3e-3, -1.426_473_9e-2] {
        q = simd.mul_add_f32s(q, square, s(c));
    }
    let y = simd.div_f32s(simd.mul_f32s(held, p), q);
    let y = simd.select_f32s(simd.less_than_f32s(s(3.99), x), s(1.0), y);
    let y = simd.select_f32s(simd.less_than_f32s(x, s(-3.99)), s(-1.0), y);
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
}

/// A function of one number, computed a vector at a time.
///
/// A trait and not a closure, because closures are not compiled for the instruction set of the function they are in.
pub trait Function: Copy {
    /// The function of every number of `x`.
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s;
}

/// `out[i] = f(x[i])`. Stops at the shorter of the two.
#[inline(always)]
pub fn map<S: Simd>(simd: S, x: &[f32], out: &mut [f32], f: impl Function) {
    let count = x.len().min(out.len());
    let (vectors, rest) = S::as_simd_f32s(&x[..count]);
    let (outs, out_rest) = S::as_mut_simd_f32s(&mut out[..count]);
    for (out, x) in outs.iter_mut().zip(vectors) {
        *out = f.of(simd, *x);
    }
    if !rest.is_empty() {
        let last = f.of(simd, simd.partial_load_f32s(rest));
        simd.partial_store_f32s(out_rest, last);
    }
}

/// x · sigmoid(x).
#[derive(Clone, Copy, Debug)]
pub struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(x, sigmoid(simd, x))
    }
}

/// x · Φ(x), with Φ the normal distribution function.
#[derive(Clone, Copy, Debug)]
pub struct GeluErf;

impl Function for GeluErf {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let erf = erf(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)));
        let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
        simd.mul_add_f32s(half, erf, half)
    }
}

/// The tanh approximation of x · Φ(x).
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        // √(2 / π) · (x + 0.044715 x³)
        let root = simd.splat_f32s(0.797_884_6);
        let cube = simd.mul_f32s(simd.mul_f32s(x, x), x);
        let inner = simd.mul_f32s(root, simd.mul_add_f32s(simd.splat_f32s(0.044_715), cube, x));
        let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
        simd.mul_add_f32s(half, tanh(simd, inner), half)
    }
}

/// x · sigmoid(1.702 x).
#[derive(Clone, Copy, Debug)]
pub struct QuickGelu;

impl Function for QuickGelu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(x, sigmoid(simd, simd.mul_f32s(x, simd.splat_f32s(1.702))))
    }
}
