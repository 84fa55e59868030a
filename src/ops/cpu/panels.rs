//! Matrices laid out once for many products: the right side in panels of columns, the left side in bands of rows.

use pulp::Arch;
use rayon::prelude::*;

use super::buffer::Buffer;
use super::tile::{self, ROWS};

/// A right matrix `[depth, columns]` in panels as [`tile`] reads them.
#[derive(Clone, Debug)]
pub struct Panels {
    numbers: Buffer,
    /// Rows.
    pub depth: usize,
    /// Columns.
    pub columns: usize,
    /// Columns of a full panel.
    pub width: usize,
    lanes: usize,
}

impl Panels {
    /// Packs the matrix whose element (p, j) is `at(p, j)`.
    #[must_use]
    pub fn pack(arch: Arch, depth: usize, columns: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let (width, lanes) = (tile::panel_width(arch), tile::lanes(arch));
        let full = columns / width;
        let last = (columns % width).next_multiple_of(lanes);
        let mut numbers = Buffer::zeros(depth * (full * width + last));
        numbers.par_chunks_mut((depth * width).max(1)).enumerate().for_each(|(panel, chunk)| {
            let first = panel * width;
            let there = (columns - first).min(width);
            let wide = there.next_multiple_of(lanes);
            for (p, row) in chunk.chunks_mut(wide).enumerate() {
                for (j, value) in row[..there].iter_mut().enumerate() {
                    *value = at(p, first + j);
                }
            }
        });
        Self { numbers, depth, columns, width, lanes }
    }

    /// How many panels there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// The columns of a panel.
    #[must_use]
    pub fn columns_of(&self, panel: usize) -> usize {
        (self.columns - panel * self.width).min(self.width)
    }

    /// A panel from its row `p` on.
    #[must_use]
    pub fn from_row(&self, panel: usize, p: usize) -> &[f32] {
        let wide = self.columns_of(panel).next_multiple_of(self.lanes);
        let first = panel * self.width * self.depth;
        &self.numbers[first + p * wide..first + self.depth * wide]
    }
}

/// A left matrix `[rows, depth]` in bands of [`ROWS`] rows, column by column within a band; missing rows are 0.
#[derive(Clone, Debug)]
pub struct Bands {
    numbers: Buffer,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub depth: usize,
}

impl Bands {
    /// Packs the matrix whose element (i, p) is `at(i, p)`.
    #[must_use]
    pub fn pack(rows: usize, depth: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut numbers = Buffer::zeros(rows.div_ceil(ROWS) * ROWS * depth);
        numbers.par_chunks_mut((ROWS * depth).max(1)).enumerate().for_each(|(band, chunk)| {
            for (p, column) in chunk.chunks_mut(ROWS).enumerate() {
                for (i, value) in column.iter_mut().enumerate().take(rows - band * ROWS) {
                    *value = at(band * ROWS + i, p);
                }
            }
        });
        Self { numbers, rows, depth }
    }

    /// How many bands there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// A band from its column `p` on.
    #[must_use]
    pub fn from_column(&self, band: usize, p: usize) -> &[f32] {
        &self.numbers[(band * self.depth + p) * ROWS..(band + 1) * self.depth * ROWS]
    }
}
