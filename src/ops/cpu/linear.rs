//! Rows times a packed matrix: fully connected layers.

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::panels::Panels;
use super::share::Parts;
use super::tile::{self, Left, Start};

/// Columns of the left matrix that are taken at once: a band of them stays in the nearest cache.
const DEPTH: usize = 384;
/// Rows of one piece of work.
const BLOCK: usize = 96;

/// A stack of left matrices read by strides: `batch` times `rows` × depth.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The memory they lie in.
    pub numbers: &'a [f32],
    /// How many matrices.
    pub batch: usize,
    /// The rows of each.
    pub rows: usize,
    /// From one matrix, row and column to the next, in elements.
    pub strides: [usize; 3],
}

impl Rows<'_> {
    /// One past the last element that is read, for `depth` columns.
    fn reach(&self, depth: usize) -> usize {
        let last = |n: usize, stride: usize| n.saturating_sub(1) * stride;
        last(self.batch, self.strides[0]) + last(self.rows, self.strides[1]) + last(depth, self.strides[2]) + 1
    }
}

/// `out` `[batch, rows, columns]` = `left` · `right` + `bias` `[columns]`.
///
/// # Panics
/// If the sizes do not fit each other.
pub fn product(arch: Arch, left: Rows<'_>, right: &Panels, bias: Option<&[f32]>, out: &mut [f32]) {
    let (depth, columns) = (right.depth, right.columns);
    assert_eq!(out.len(), left.batch * left.rows * columns, "the output fits");
    assert!(bias.is_none_or(|bias| bias.len() == columns), "the bias fits");
    if out.is_empty() {
        return;
    }
    if depth == 0 {
        for row in out.chunks_mut(columns) {
            match bias {
                Some(bias) => row.copy_from_slice(bias),
                None => row.fill(0.0),
            }
        }
        return;
    }
    assert!(left.reach(depth) <= left.numbers.len(), "the left matrix is all there");
    let blocks = left.rows.div_ceil(BLOCK);
    // With few rows the columns are shared out as well.
    let panels = right.count();
    let units = left.batch * blocks;
    let wanted = 4 * rayon::current_num_threads();
    let groups = if units >= wanted { 1 } else { wanted.div_ceil(units).min(panels) };
    let group = panels.div_ceil(groups);
    let parts = Parts::new(out);
    (0..units * groups).into_par_iter().for_each(|unit| {
        let (first_panel, unit) = ((unit % groups) * group, unit / groups);
        let (matrix, block) = (unit / blocks, unit % blocks);
        let first_row = block * BLOCK;
        let piece = Piece {
            left,
            matrix,
            first_row,
            rows: (left.rows - first_row).min(BLOCK),
            right,
            panels: first_panel..(first_panel + group).min(panels),
            bias,
            parts,
        };
        TURNED.with_borrow_mut(|turned| arch.dispatch(Multiplying { piece: &piece, turned }));
    });
}

thread_local! {
    static TURNED: RefCell<Buffer> = RefCell::default();
}

struct Piece<'a> {
    left: Rows<'a>,
    matrix: usize,
    first_row: usize,
    rows: usize,
    right: &'a Panels,
    panels: std::ops::Range<usize>,
    bias: Option<&'a [f32]>,
    parts: Parts<'a>,
}

/// A piece and the memory for its rows, where they have to be turned.
struct Multiplying<'a> {
    piece: &'a Piece<'a>,
    turned: &'a mut Buffer,
}

impl WithSimd for Multiplying<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.piece.run(simd, self.turned);
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, turned: &mut Buffer) {
        let Self { left, right, rows, .. } = self;
        let columns = right.columns;
        let [per_matrix, per_row, per_column] = left.strides;
        for first in (0..right.depth).step_by(DEPTH) {
            let depth = (right.depth - first).min(DEPTH);
            let corner = self.matrix * per_matrix + self.first_row * per_row + first * per_column;
            let mut a = Left { at: left.numbers[corner..].as_ptr(), row: per_row, column: per_column };
            if per_column != 1 {
                // Columns far apart would push each other out of the cache: take the block row by row first.
                turn(&left.numbers[corner..], (*rows, depth), (per_row, per_column), turned);
                a = Left { at: turned.as_ptr(), row: depth, column: 1 };
            }
            for panel in self.panels.clone() {
                let (at, wide) = (panel * right.width, right.columns_of(panel));
                let start = match self.bias {
                    _ if first > 0 => Start::Sum,
                    Some(bias) => Start::Columns(bias[at..].as_ptr()),
                    None => Start::Zero,
                };
                let corner = (self.matrix * left.rows + self.first_row) * columns + at;
                let c = self.parts.at(corner, (rows - 1) * columns + wide);
                // SAFETY: `product` checked that the left matrix is all there and that the output has `batch` × `rows` ×
                // `columns` elements; `turned` holds the block; pieces differ in matrix, rows or panels, so none writes
                // where another does.
                unsafe {
                    let b = right.from_row(panel, first).as_ptr();
                    tile::band(simd, depth, a, *rows, b, wide, c, columns, start);
                }
            }
        }
    }
}

/// The block `[rows, depth]` of `x` read by strides, row after row, in squares that stay in the cache.
fn turn(x: &[f32], (rows, depth): (usize, usize), (row, column): (usize, usize), out: &mut Buffer) {
    const SQUARE: usize = 8;
    out.set_len(rows * depth);
    for first in (0..depth).step_by(SQUARE) {
        let last = (first + SQUARE).min(depth);
        for (i, line) in out.chunks_mut(depth).enumerate() {
            for (p, value) in line[first..last].iter_mut().enumerate() {
                *value = x[i * row + (first + p) * column];
            }
        }
    }
}
