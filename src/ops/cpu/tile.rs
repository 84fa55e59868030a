//! The inner product of everything here: a small tile of C = A · B kept in registers.
//!
//! B lies in *panels*: as many columns as the tile is wide, one row after another, padded with zeros to whole vectors. A is read
//! by strides. How large a tile is follows from the instruction set: six rows, and four vectors where there are 32
//! registers (AVX-512, NEON), two where there are 16 (AVX2).

use pulp::{Arch, Simd, WithSimd};

/// Rows of a full tile.
pub const ROWS: usize = 6;

/// What a tile is added to.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// Nothing: C is overwritten.
    Zero,
    /// What C holds.
    Sum,
    /// One number a row of C, `ROWS` or as many as there are rows.
    Rows(*const f32),
    /// One number a column of C.
    Columns(*const f32),
}

/// A matrix read by strides: row i, column p at `at + i · row + p · column`.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// The first element.
    pub at: *const f32,
    /// From a row to the next, in elements.
    pub row: usize,
    /// From a column to the next, in elements.
    pub column: usize,
}

/// The vectors a panel is wide at most.
const fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// The columns of a full panel.
#[must_use]
pub const fn width<S: Simd>() -> usize {
    vectors::<S>() * S::F32_LANES
}

/// The columns of a full panel on this instruction set.
#[must_use]
pub fn panel_width(arch: Arch) -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            width::<S>()
        }
    }
    arch.dispatch(Width)
}

/// The numbers in one vector on this instruction set.
#[must_use]
pub fn lanes(arch: Arch) -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch.dispatch(Lanes)
}

/// C = start + A · B for a band of rows of one panel.
///
/// # Safety
/// `a` must be readable for `rows` × `depth`, `b` for `depth` rows of `columns` rounded up to whole vectors, `c` writable (with
/// [`Start::Sum`] also readable) for `rows` × `columns` with `c_row` elements from row to row; the pointers in `start` for
/// `rows` or `columns`. `columns` is at most [`panel_width`]. No other thread touches that part of C meanwhile.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a matrix product has that many sizes")]
pub unsafe fn band<S: Simd>(
    simd: S,
    depth: usize,
    a: Left,
    rows: usize,
    b: *const f32,
    columns: usize,
    c: *mut f32,
    c_row: usize,
    start: Start,
) {
    let mut row = 0;
    while row < rows {
        let count = (rows - row).min(ROWS);
        // SAFETY: the caller's promise, for the part of the band that begins at `row`.
        unsafe {
            let a = Left { at: a.at.add(row * a.row), ..a };
            let start = match start {
                Start::Rows(bias) => Start::Rows(bias.add(row)),
                other => other,
            };
            tile(simd, depth, a, count, b, columns, c.add(row * c_row), c_row, start);
        }
        row += count;
    }
}

/// Chooses the tile's shape.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as `band`")]
unsafe fn tile<S: Simd>(
    simd: S,
    depth: usize,
    a: Left,
    rows: usize,
    b: *const f32,
    columns: usize,
    c: *mut f32,
    c_row: usize,
    start: Start,
) {
    macro_rules! shape {
        ($rows:literal, $vectors:literal) => {
            // SAFETY: the caller's promise.
            unsafe { fixed::<S, $rows, $vectors>(simd, depth, a, rows, b, columns, c, c_row, start) }
        };
    }
    macro_rules! by_vectors {
        ($rows:literal) => {
            match columns.div_ceil(S::F32_LANES) {
                1 => shape!($rows, 1),
                2 => shape!($rows, 2),
                3 if vectors::<S>() > 2 => shape!($rows, 3),
                _ if vectors::<S>() > 2 => shape!($rows, 4),
                _ => {}
            }
        };
    }
    match rows {
        1 => by_vectors!(1),
        2 => by_vectors!(2),
        3 | 4 => by_vectors!(4),
        _ => by_vectors!(6),
    }
}

/// One tile of `MR` × `NV` vectors; only `rows` × `columns` of it are written.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as `band`")]
unsafe fn fixed<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    depth: usize,
    a: Left,
    rows: usize,
    b: *const f32,
    columns: usize,
    c: *mut f32,
    c_row: usize,
    start: Start,
) {
    let width = NV * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    // Rows past the end repeat the last one; their sums are not written.
    let mut row_at = [a.at; MR];
    for (i, at) in row_at.iter_mut().enumerate() {
        // SAFETY: row min(i, rows − 1) exists.
        *at = unsafe { a.at.add(i.min(rows - 1) * a.row) };
    }
    for p in 0..depth {
        // SAFETY: p < depth, so row p of the panel and column p of A exist.
        unsafe {
            let mut line = [simd.splat_f32s(0.0); NV];
            for (j, vector) in line.iter_mut().enumerate() {
                *vector = b.add(p * width + j * S::F32_LANES).cast::<S::f32s>().read_unaligned();
            }
            for i in 0..MR {
                let left = simd.splat_f32s(*row_at[i].add(p * a.column));
                for j in 0..NV {
                    sums[i][j] = simd.mul_add_e_f32s(left, line[j], sums[i][j]);
                }
            }
        }
    }
    for i in 0..MR {
        if i >= rows {
            break;
        }
        for j in 0..NV {
            let first = j * S::F32_LANES;
            let there = (columns - first).min(S::F32_LANES);
            // SAFETY: row i and columns first .. first + there of C exist, and so do the numbers in `start`.
            unsafe {
                let out = c.add(i * c_row + first);
                let mut sum = sums[i][j];
                match start {
                    Start::Zero => {}
                    Start::Rows(bias) => sum = simd.add_f32s(sum, simd.splat_f32s(*bias.add(i))),
                    Start::Columns(bias) => sum = simd.add_f32s(sum, load(simd, bias.add(first), there)),
                    Start::Sum => sum = simd.add_f32s(sum, load(simd, out, there)),
                }
                if there == S::F32_LANES {
                    out.cast::<S::f32s>().write_unaligned(sum);
                } else {
                    simd.partial_store_f32s(std::slice::from_raw_parts_mut(out, there), sum);
                }
            }
        }
    }
}

/// `count` numbers, the rest of the vector 0.
///
/// # Safety
/// `at` must be readable for `count` numbers, at most one vector.
#[inline(always)]
unsafe fn load<S: Simd>(simd: S, at: *const f32, count: usize) -> S::f32s {
    // SAFETY: the caller's promise.
    unsafe {
        if count == S::F32_LANES {
            at.cast::<S::f32s>().read_unaligned()
        } else {
            simd.partial_load_f32s(std::slice::from_raw_parts(at, count))
        }
    }
}
