//! What tells a patch where it is: a learned table fitted to the picture's grid, or rotary angles.

use candle_core::{DType, Device, Result, Tensor};

use super::config::Resampling;
use crate::ops::bicubic::{resize_antialiased, resize_cubic};

/// A learned table of positions.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Rows for the first prefix tokens, `[1, covered, width]`; none where the table is for patches alone.
    prefix: Option<Tensor>,
    /// `[rows, columns, width]` at the grid the network was trained on.
    patches: Tensor,
}

impl Table {
    /// `table` `[1, covered + rows · columns, width]`.
    pub(super) fn new(table: &Tensor, covered: usize, (rows, columns): (usize, usize)) -> Result<Self> {
        let (_, tokens, width) = table.dims3()?;
        if tokens != covered + rows * columns {
            candle_core::bail!("a table of {tokens} positions does not cover {covered} tokens and {rows} × {columns}");
        }
        let prefix = if covered > 0 { Some(table.narrow(1, 0, covered)?.contiguous()?) } else { None };
        let patches = table.narrow(1, covered, rows * columns)?.contiguous()?.reshape((rows, columns, width))?;
        Ok(Self { prefix, patches })
    }

    /// The rows for the prefix tokens that have positions, `[1, covered, width]`.
    pub(super) fn prefix(&self) -> Option<&Tensor> {
        self.prefix.as_ref()
    }

    /// The positions of a grid's patches, `[1, rows · columns, width]`, resampled where the grid is not the native one.
    pub(super) fn patches(&self, (rows, columns): (usize, usize), how: Resampling) -> Result<Tensor> {
        let (height, width, dim) = self.patches.dims3()?;
        let resized = match how {
            Resampling::Antialiased => resize_antialiased(&self.patches, rows, columns)?,
            Resampling::Cubic | Resampling::CubicOffset => {
                let offset = if how == Resampling::CubicOffset { 0.1 } else { 0.0 };
                let step = |old: usize, new: usize| old as f64 / (new as f64 + offset);
                resize_cubic(&self.patches, (rows, step(height, rows)), (columns, step(width, columns)))?
            }
        };
        resized.reshape((1, rows * columns, dim))
    }
}

/// Cosines and sines for queries and keys, `[prefix + patches, head / 2]` each; prefix tokens are not turned.
#[derive(Clone, Debug)]
pub(super) struct Angles {
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
}

impl Angles {
    /// The periods of heads of width `head`: `head / 4` from 1 up to `temperature`, evenly in their logarithms.
    pub(super) fn periods(head: usize, temperature: f64) -> Vec<f64> {
        (0..head / 4).map(|i| temperature.powf(2.0 * i as f64 / (head / 2) as f64)).collect()
    }

    /// DINOv3's angles: patch centres in −1…1 on either axis, divided by the `head / 4` periods, rows first, then
    /// columns.
    pub(super) fn dinov3(
        grid: (usize, usize),
        prefix: usize,
        periods: &[f64],
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let (rows, columns) = grid;
        let quarter = periods.len();
        let count = (prefix + rows * columns) * 2 * quarter;
        let (mut cos, mut sin) = (Vec::with_capacity(count), Vec::with_capacity(count));
        cos.resize(prefix * 2 * quarter, 1f32);
        sin.resize(prefix * 2 * quarter, 0f32);
        let centre = |at: usize, length: usize| 2.0 * (at as f64 + 0.5) / length as f64 - 1.0;
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for coordinate in [centre(row, rows), centre(column, columns)] {
                for period in periods {
                    let angle = std::f64::consts::TAU * coordinate / period;
                    cos.push(angle.cos() as f32);
                    sin.push(angle.sin() as f32);
                }
            }
        }
        let shape = (prefix + rows * columns, 2 * quarter);
        let table = |values| Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
        Ok(Self { cos: table(cos)?, sin: table(sin)? })
    }
}
