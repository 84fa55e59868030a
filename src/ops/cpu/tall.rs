//! Tall matrices, `[rows, columns]` with many more rows than columns: what statistics of features are made of.
//!
//! Every function reads the matrix once, in bands that several threads share out; sums over bands are added in the order
//! of the bands, so that the same numbers give the same answer however many threads there are.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::panels::Panels;
use super::share::Parts;
use super::tile::{self, Left, Start};

/// Rows of one piece of work.
const BAND: usize = 96;
/// Rows that are added up in f32 before the sum goes on in f64.
const SHORT: usize = 16;

/// The sum of every column, `[columns]`, for whole rows of `x`.
#[must_use]
pub fn column_sums(arch: Arch, x: &[f32], columns: usize) -> Vec<f64> {
    struct Band<'a>(&'a [f32], usize);
    impl WithSimd for Band<'_> {
        type Output = Vec<f64>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
            let mut sums = vec![0f64; self.1];
            let mut short = vec![0f32; self.1];
            for rows in self.0.chunks(SHORT * self.1) {
                short.fill(0.0);
                for row in rows.chunks_exact(self.1) {
                    for (sum, value) in short.iter_mut().zip(row) {
                        *sum += value;
                    }
                }
                for (sum, value) in sums.iter_mut().zip(&short) {
                    *sum += f64::from(*value);
                }
            }
            sums
        }
    }
    if columns == 0 {
        return Vec::new();
    }
    let bands: Vec<_> = x.par_chunks(BAND * columns).map(|band| arch.dispatch(Band(band, columns))).collect();
    added(&bands, columns)
}

/// `out` = `x` less `mean` `[columns]` in every row. Returns Σ x² and Σ out² over everything.
///
/// # Panics
/// If `out` is not as large as `x`.
pub fn centre(arch: Arch, x: &[f32], mean: &[f32], out: &mut [f32]) -> [f64; 2] {
    struct Band<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl WithSimd for Band<'_> {
        type Output = [f64; 2];
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
            let Self(x, mean, out) = self;
            let mut squares = [0f64; 2];
            let (means, last_mean) = S::as_simd_f32s(mean);
            for (x, out) in x.chunks_exact(mean.len()).zip(out.chunks_exact_mut(mean.len())) {
                let (xs, last_x) = S::as_simd_f32s(x);
                let (outs, last_out) = S::as_mut_simd_f32s(out);
                let (mut before, mut after) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
                for ((x, mean), out) in xs.iter().zip(means).zip(outs) {
                    *out = simd.sub_f32s(*x, *mean);
                    before = simd.mul_add_f32s(*x, *x, before);
                    after = simd.mul_add_f32s(*out, *out, after);
                }
                if !last_x.is_empty() {
                    let x = simd.partial_load_f32s(last_x);
                    let left = simd.sub_f32s(x, simd.partial_load_f32s(last_mean));
                    simd.partial_store_f32s(last_out, left);
                    before = simd.mul_add_f32s(x, x, before);
                    after = simd.mul_add_f32s(left, left, after);
                }
                squares[0] += f64::from(simd.reduce_sum_f32s(before));
                squares[1] += f64::from(simd.reduce_sum_f32s(after));
            }
            squares
        }
    }
    assert_eq!(x.len(), out.len(), "the output is as large as the matrix");
    if mean.is_empty() {
        return [0.0; 2];
    }
    let size = BAND * mean.len();
    let bands: Vec<[f64; 2]> =
        x.par_chunks(size).zip(out.par_chunks_mut(size)).map(|(x, out)| arch.dispatch(Band(x, mean, out))).collect();
    bands.iter().fold([0.0; 2], |sums, band| [sums[0] + band[0], sums[1] + band[1]])
}

/// XᵀX · `vector` `[columns]` without XᵀX: the sum of the rows, each times its product with the vector.
#[must_use]
pub fn scatter_times(arch: Arch, x: &[f32], vector: &[f32]) -> Vec<f64> {
    struct Band<'a>(&'a [f32], &'a [f32]);
    impl WithSimd for Band<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let Self(x, vector) = self;
            let mut sums = vec![0f32; vector.len()];
            // Four rows at a time: the vector and the sums are read a quarter as often.
            let mut fours = x.chunks_exact(4 * vector.len());
            for rows in &mut fours {
                add_shares::<S, 4>(simd, rows, vector, &mut sums);
            }
            for row in fours.remainder().chunks_exact(vector.len()) {
                add_shares::<S, 1>(simd, row, vector, &mut sums);
            }
            sums
        }
    }
    let columns = vector.len();
    if columns == 0 {
        return Vec::new();
    }
    let bands: Vec<_> = x.par_chunks(BAND * columns).map(|band| arch.dispatch(Band(band, vector))).collect();
    added(&bands, columns)
}

/// `sums` += each of `N` rows times its product with `vector`.
#[inline(always)]
fn add_shares<S: Simd, const N: usize>(simd: S, rows: &[f32], vector: &[f32], sums: &mut [f32]) {
    let columns = vector.len();
    let row: [&[f32]; N] = std::array::from_fn(|i| &rows[i * columns..][..columns]);
    let split = row.map(S::as_simd_f32s);
    let (vectors, last_vector) = S::as_simd_f32s(vector);
    let mut shares = [simd.splat_f32s(0.0); N];
    for (at, vector) in vectors.iter().enumerate() {
        for i in 0..N {
            shares[i] = simd.mul_add_f32s(split[i].0[at], *vector, shares[i]);
        }
    }
    if !last_vector.is_empty() {
        let vector = simd.partial_load_f32s(last_vector);
        for i in 0..N {
            shares[i] = simd.mul_add_f32s(simd.partial_load_f32s(split[i].1), vector, shares[i]);
        }
    }
    for share in &mut shares {
        *share = simd.splat_f32s(simd.reduce_sum_f32s(*share));
    }
    let (totals, last_total) = S::as_mut_simd_f32s(sums);
    for (at, total) in totals.iter_mut().enumerate() {
        for i in 0..N {
            *total = simd.mul_add_f32s(shares[i], split[i].0[at], *total);
        }
    }
    if !last_total.is_empty() {
        let mut total = simd.partial_load_f32s(last_total);
        for i in 0..N {
            total = simd.mul_add_f32s(shares[i], simd.partial_load_f32s(split[i].1), total);
        }
        simd.partial_store_f32s(last_total, total);
    }
}

/// The coordinates of every row less `mean` along `directions` `[count, columns]`: `[rows, count]`.
#[must_use]
pub fn coordinates(arch: Arch, x: &[f32], mean: &[f32], directions: &[f32]) -> Vec<f32> {
    struct Band<'a>(&'a [f32], &'a [f32], &'a [f32], &'a mut [f32]);
    impl WithSimd for Band<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(x, mean, directions, out) = self;
            let columns = mean.len();
            let mut centred = vec![0f32; columns];
            for (row, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(directions.len() / columns)) {
                for ((centred, value), mean) in centred.iter_mut().zip(row).zip(mean) {
                    *centred = value - mean;
                }
                for (out, direction) in out.iter_mut().zip(directions.chunks_exact(columns)) {
                    *out = inner(simd, &centred, direction);
                }
            }
        }
    }
    let columns = mean.len().max(1);
    let count = directions.len() / columns;
    let mut out = vec![0f32; x.len() / columns * count];
    if count > 0 {
        x.par_chunks(BAND * columns)
            .zip(out.par_chunks_mut(BAND * count))
            .for_each(|(x, out)| arch.dispatch(Band(x, mean, &directions[..count * columns], out)));
    }
    out
}

/// The products of all rows with each other, X·Xᵀ `[rows, rows]`. Each pair is computed once.
#[must_use]
pub fn row_products(arch: Arch, x: &[f32], columns: usize) -> Vec<f32> {
    let rows = x.len().checked_div(columns).unwrap_or(0);
    let mut out = vec![0f32; rows * rows];
    if rows == 0 {
        return out;
    }
    let right = Panels::pack(arch, columns, rows, |p, j| x[j * columns + p]);
    // A square of pairs: as many rows as make up whole panels.
    let side = BAND.next_multiple_of(right.width);
    let blocks = rows.div_ceil(side);
    // The later blocks have fewer pairs left: the large ones first.
    let parts = Parts::new(&mut out);
    (0..blocks).into_par_iter().with_max_len(1).for_each(|block| {
        let first = block * side;
        let piece = Products { x, columns, right: &right, first, rows: (rows - first).min(side), parts, stride: rows };
        arch.dispatch(piece);
    });
    mirror(&mut out, rows);
    out
}

struct Products<'a> {
    x: &'a [f32],
    columns: usize,
    right: &'a Panels,
    first: usize,
    rows: usize,
    parts: Parts<'a>,
    stride: usize,
}

impl WithSimd for Products<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, columns, right, first, rows, parts, stride } = self;
        for panel in first / right.width..right.count() {
            let (at, wide) = (panel * right.width, right.columns_of(panel));
            let c = parts.at(first * stride + at, (rows - 1) * stride + wide);
            let a = Left { at: x[first * columns..][..rows * columns].as_ptr(), row: columns, column: 1 };
            // SAFETY: the rows first .. first + rows of the matrix are there, the panel has `columns` rows, and C's rows and
            // columns were just checked; blocks differ in their rows, so none writes where another does.
            unsafe {
                let b = right.from_row(panel, 0).as_ptr();
                tile::band(simd, columns, a, rows, b, wide, c, stride, Start::Zero);
            }
        }
    }
}

/// Copies what is above the diagonal of a square matrix to below it, square by square.
fn mirror(matrix: &mut [f32], side: usize) {
    const SQUARE: usize = 32;
    let squares = side.div_ceil(SQUARE);
    let parts = Parts::new(matrix);
    (1..squares).into_par_iter().for_each(|below| {
        let lines = below * SQUARE..((below + 1) * SQUARE).min(side);
        for beside in 0..below {
            for i in lines.clone() {
                let line = parts.at(i * side + beside * SQUARE, SQUARE);
                for j in 0..SQUARE {
                    // SAFETY: both lie inside the matrix; this line below the diagonal belongs to this row of squares
                    // alone, and nobody writes above the diagonal.
                    unsafe { *line.add(j) = *parts.at((beside * SQUARE + j) * side + i, 1) };
                }
            }
        }
    });
    // What is left is inside the squares on the diagonal.
    for square in 0..squares {
        let lines = square * SQUARE..((square + 1) * SQUARE).min(side);
        for i in lines.clone() {
            for j in lines.start..i {
                matrix[i * side + j] = matrix[j * side + i];
            }
        }
    }
}

/// `sums` += `times` · `row`, in f64. Stops at the shorter of the two.
pub fn add_scaled(arch: Arch, sums: &mut [f64], row: &[f32], times: f64) {
    struct Adding<'a>(&'a mut [f64], &'a [f32], f64);
    impl WithSimd for Adding<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for (sum, value) in self.0.iter_mut().zip(self.1) {
                *sum += self.2 * f64::from(*value);
            }
        }
    }
    arch.dispatch(Adding(sums, row, times));
}

/// The product of two vectors of equal length.
#[inline(always)]
fn inner<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, last_a) = S::as_simd_f32s(a);
    let (b, last_b) = S::as_simd_f32s(b);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (fours_a, ones_a) = a.as_chunks::<4>();
    let (fours_b, ones_b) = b.as_chunks::<4>();
    for (a, b) in fours_a.iter().zip(fours_b) {
        for i in 0..4 {
            sums[i] = simd.mul_add_f32s(a[i], b[i], sums[i]);
        }
    }
    for (a, b) in ones_a.iter().zip(ones_b) {
        sums[0] = simd.mul_add_f32s(*a, *b, sums[0]);
    }
    if !last_a.is_empty() {
        sums[1] = simd.mul_add_f32s(simd.partial_load_f32s(last_a), simd.partial_load_f32s(last_b), sums[1]);
    }
    let (low, high) = (simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(simd.add_f32s(low, high))
}

fn added<T: Copy + Into<f64>>(bands: &[Vec<T>], columns: usize) -> Vec<f64> {
    let mut sums = vec![0f64; columns];
    for band in bands {
        for (sum, value) in sums.iter_mut().zip(band) {
            *sum += (*value).into();
        }
    }
    sums
}
