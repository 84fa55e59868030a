//! Which high-resolution cells the next layer reads, from the last row's attention over the low-resolution tokens
//! (spec 2.4): sum over heads, blank the padding, stretch to 0…1, threshold, max-pool to cells.
//!
//! There is no fixed number: as many cells as lie over a patch above the threshold, at least one unless all patches are
//! equal.

use super::record::Cells;

/// The sizes and the threshold of a model's selection.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectionRule {
    /// Low-resolution tokens along one side (24 in the published model).
    pub low_grid: usize,
    /// High-resolution tokens along one side (72).
    pub high_grid: usize,
    /// Cells along one side (9).
    pub cells: usize,
    /// A patch counts when 255 times its stretched attention is above this (48).
    pub threshold: f32,
}

/// Rows or columns of low-resolution patches that hold nothing but padding, at both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaddingStrips {
    /// Rows at the top and as many at the bottom.
    pub rows: usize,
    /// Columns at the left and as many at the right.
    pub columns: usize,
}

impl PaddingStrips {
    /// Of a picture of `size` (width, height) padded to a square and cut into `grid` patches a side. Only whole patches
    /// count: a strip that is partly padding stays.
    #[must_use]
    pub fn of((width, height): (u32, u32), grid: usize) -> Self {
        let margin = width.abs_diff(height) / 2;
        let count = (f64::from(margin) / f64::from(width.max(height).max(1)) * grid as f64) as usize;
        if width > height { Self { rows: count, columns: 0 } } else { Self { rows: 0, columns: count } }
    }

    fn hides(self, row: usize, column: usize, grid: usize) -> bool {
        let outside = |at: usize, strip: usize| at < strip || at + strip >= grid;
        outside(row, self.rows) || outside(column, self.columns)
    }
}

impl SelectionRule {
    /// The cells that attention `[g²]` (summed over heads) selects.
    #[must_use]
    pub fn select(&self, attention: &[f32], padding: PaddingStrips) -> Cells {
        let hot = self.hot(attention, padding);
        let mut cells = Cells::filled(self.cells, false);
        for row in 0..self.cells {
            for column in 0..self.cells {
                cells.on[row * self.cells + column] =
                    self.bin(row).any(|y| self.bin(column).any(|x| hot[y * self.low_grid + x]));
            }
        }
        cells
    }

    /// The patches above the threshold, `[g²]`.
    #[must_use]
    pub fn hot(&self, attention: &[f32], padding: PaddingStrips) -> Vec<bool> {
        let g = self.low_grid;
        let blanked = |index: usize| {
            let value = attention.get(index).copied().unwrap_or(0.0);
            if padding.hides(index / g, index % g, g) { 0.0 } else { value }
        };
        let values = (0..g * g).map(blanked).collect::<Vec<_>>();
        let smallest = values.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Where all are equal this is 0/0: nothing is above the threshold then, as in the reference.
        values.iter().map(|value| (value - smallest) / (largest - smallest) * 255.0 > self.threshold).collect()
    }

    /// The rows (or columns) of patches that cell row `index` covers; neighbours overlap where the sizes do not divide.
    #[must_use]
    pub fn bin(&self, index: usize) -> std::ops::Range<usize> {
        index * self.low_grid / self.cells..((index + 1) * self.low_grid).div_ceil(self.cells)
    }

    /// The cell row that high-resolution row `index` belongs to. In f32, as the reference's nearest upsampling computes.
    #[must_use]
    pub fn cell_of(&self, index: usize) -> usize {
        ((index as f32 * (self.cells as f32 / self.high_grid as f32)) as usize).min(self.cells - 1)
    }

    /// The high-resolution tokens of every cell, each as an index into the row-major `[G²]`; a cell's in raster order.
    #[must_use]
    pub fn tokens_by_cell(&self) -> Vec<Vec<u32>> {
        let mut found = vec![Vec::new(); self.cells * self.cells];
        for row in 0..self.high_grid {
            for column in 0..self.high_grid {
                found[self.cell_of(row) * self.cells + self.cell_of(column)]
                    .push((row * self.high_grid + column) as u32);
            }
        }
        found
    }

    /// How many high-resolution tokens `cells` hold.
    #[must_use]
    pub fn count(&self, cells: &Cells) -> usize {
        let mut sides = vec![0; self.cells];
        (0..self.high_grid).for_each(|index| sides[self.cell_of(index)] += 1);
        let on = cells.on.iter().enumerate().filter(|(_, on)| **on);
        on.map(|(index, _)| sides[index / self.cells] * sides[index % self.cells]).sum()
    }

    /// `cells` on the high-resolution grid, `[G²]` of 0 and 1.
    #[must_use]
    pub fn mask(&self, cells: &Cells) -> Vec<f32> {
        let on = |index: usize| {
            let (row, column) = (self.cell_of(index / self.high_grid), self.cell_of(index % self.high_grid));
            f32::from(u8::from(cells.on[row * self.cells + column]))
        };
        (0..self.high_grid * self.high_grid).map(on).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> SelectionRule {
        SelectionRule { low_grid: 24, high_grid: 72, cells: 9, threshold: 48.0 }
    }

    #[test]
    fn the_specs_golden_vector() {
        let attention = (0..576).map(|index| {
            let (r, c) = ((index / 24) as f32 - 10.0, (index % 24) as f32 - 17.0);
            1.0 / (1.0 + r * r + c * c)
        });
        let attention = attention.collect::<Vec<_>>();
        let (rule, padding) = (published(), PaddingStrips::of((1920, 1080), 24));
        assert_eq!(padding, PaddingStrips { rows: 5, columns: 0 });
        assert_eq!(rule.hot(&attention, padding).iter().filter(|hot| **hot).count(), 13);
        let cells = rule.select(&attention, padding);
        let on = (0..81).filter(|index| cells.on[*index]).collect::<Vec<_>>();
        assert_eq!(on, [32, 33, 34, 41, 42, 43]);
        assert_eq!(rule.count(&cells), 384);
        assert_eq!(rule.mask(&cells).iter().sum::<f32>(), 384.0);
    }

    #[test]
    fn bins_overlap_and_cells_are_blocks_of_eight() {
        let rule = published();
        let bins = (0..9).map(|index| rule.bin(index)).collect::<Vec<_>>();
        assert_eq!(bins, [0..3, 2..6, 5..8, 8..11, 10..14, 13..16, 16..19, 18..22, 21..24]);
        assert!((0..72).all(|row| rule.cell_of(row) == row / 8));
        let tokens = rule.tokens_by_cell();
        assert!(tokens.iter().all(|cell| cell.len() == 64));
        assert_eq!(tokens[10][..2], [8 * 72 + 8, 8 * 72 + 9]);
        // A grid that cells do not divide: every token is in one cell all the same.
        let small = SelectionRule { low_grid: 8, high_grid: 24, cells: 9, threshold: 48.0 };
        assert_eq!(small.tokens_by_cell().iter().map(Vec::len).sum::<usize>(), 576);
        assert_eq!(small.count(&Cells::filled(9, true)), 576);
    }

    #[test]
    fn padding_is_counted_in_whole_patches() {
        let strips = |size| PaddingStrips::of(size, 24);
        assert_eq!(strips((640, 480)), PaddingStrips { rows: 3, columns: 0 });
        assert_eq!(strips((768, 1024)), PaddingStrips { rows: 0, columns: 3 });
        assert_eq!(strips((500, 480)), PaddingStrips::default());
        assert_eq!(strips((64, 64)), PaddingStrips::default());
        assert_eq!(strips((20_000, 200)), PaddingStrips { rows: 11, columns: 0 });
    }

    #[test]
    fn equal_patches_select_nothing_and_the_largest_is_always_in() {
        let rule = published();
        assert_eq!(rule.select(&[0.25; 576], PaddingStrips::default()).count(), 0);
        let mut attention = [0.25; 576];
        attention[0] = 0.250_01;
        assert_eq!(rule.select(&attention, PaddingStrips::default()).count(), 1);
        // Padding counts as no attention at all.
        assert_eq!(rule.select(&attention, PaddingStrips { rows: 1, columns: 0 }).count(), 81);
    }
}
