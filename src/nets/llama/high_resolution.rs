//! High-resolution tokens that the last row of a pass reads beside the sequence: FlexAttention's half of the decoder
//! (spec/flexattention.md sections 2.2 and 2.3).
//!
//! Keys and values depend on the layer and the token alone, not on the pass: each cell of tokens is projected once a layer
//! and kept, so that a further token of an answer costs only what it reads for the first time.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::config::Frequencies;
use crate::ops::linear::Linear;
use crate::ops::rotary::rotate;

/// What decides which cells the last row of a pass reads, and sees how it looked.
pub trait Reading {
    /// The cells whose tokens layer `layer` reads beside the sequence, ascending; `None`: it reads none.
    fn cells(&mut self, layer: usize) -> Option<Vec<usize>>;

    /// How the last row of `layer` looked.
    ///
    /// # Errors
    /// Ends the pass.
    fn looked(&mut self, layer: usize, row: LastRow) -> Result<()>;
}

/// How the last row of a layer looked.
#[derive(Clone, Debug)]
pub struct LastRow {
    /// Query heads.
    pub heads: usize,
    /// The softmax over the sequence alone, `[heads, tokens so far]`.
    pub plain: Vec<f32>,
    /// Each head's share of the joint softmax on the high-resolution tokens, 0…1.
    pub beside: Vec<f32>,
    /// The joint softmax on each high-resolution token that was read, summed over heads, cell after cell.
    pub tokens: Vec<f32>,
    /// How many high-resolution tokens had to be projected for this layer in this pass.
    pub projected: usize,
}

/// The high-resolution tokens of one picture, with the keys and values made of them so far.
#[derive(Debug)]
pub struct HighResolution {
    /// `[tokens, hidden]`, cell after cell.
    features: Tensor,
    /// `[tokens, d/2]`, cell after cell.
    cos: Tensor,
    sin: Tensor,
    /// Where each cell's tokens lie in these.
    cells: Vec<Range<usize>>,
    layers: Vec<Option<Projected>>,
}

/// What was projected for a layer.
#[derive(Debug)]
struct Projected {
    /// `[1, key heads, capacity, d]`.
    keys: Tensor,
    values: Tensor,
    /// Rows in use.
    length: usize,
    /// Where each cell lies in them.
    cells: Vec<Option<Range<usize>>>,
}

/// Keys and values for one layer, and which of their rows are meant.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
    pub(super) runs: Vec<Range<usize>>,
    pub(super) projected: usize,
}

impl HighResolution {
    /// From features `[G², hidden]` in raster order, the tokens of each cell (raster indices, every token in one cell), and
    /// the rotary tables `[G², d/2]` of [`interpolated_tables`].
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn new(features: &Tensor, tables: (&Tensor, &Tensor), tokens_by_cell: &[Vec<u32>]) -> Result<Self> {
        let order = tokens_by_cell.concat();
        let count = order.len();
        if features.dim(0)? != count || tables.0.dim(0)? != count || tables.1.dim(0)? != count {
            candle_core::bail!("{count} tokens in cells do not fit features {:?}", features.shape());
        }
        let order = Tensor::from_vec(order, count, features.device())?;
        let mut cells = Vec::with_capacity(tokens_by_cell.len());
        let mut start = 0;
        for cell in tokens_by_cell {
            cells.push(start..start + cell.len());
            start += cell.len();
        }
        Ok(Self {
            features: features.index_select(&order, 0)?,
            cos: tables.0.index_select(&order, 0)?,
            sin: tables.1.index_select(&order, 0)?,
            cells,
            layers: Vec::new(),
        })
    }

    /// Bytes of what was projected so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let of = |x: &Tensor| (x.elem_count() * x.dtype().size_in_bytes()) as u64;
        self.layers.iter().flatten().map(|layer| of(&layer.keys) + of(&layer.values)).sum()
    }

    /// Keys and values of `cells` for `layer`; what is not there yet is projected.
    pub(super) fn gather(
        &mut self,
        layer: usize,
        cells: &[usize],
        (to_keys, to_values): (&Linear, &Linear),
        (heads, width): (usize, usize),
    ) -> Result<Option<Gathered>> {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, || None);
        }
        if let Some(cell) = cells.iter().find(|cell| **cell >= self.cells.len()) {
            candle_core::bail!("there is no cell {cell} of high-resolution tokens");
        }
        let slot = &mut self.layers[layer];
        let known = |cell: usize| slot.as_ref().is_some_and(|layer| layer.cells[cell].is_some());
        let missing = cells.iter().copied().filter(|cell| !known(*cell) && !self.cells[*cell].is_empty());
        let missing = missing.collect::<Vec<_>>();
        let projected = missing.iter().map(|cell| self.cells[*cell].len()).sum::<usize>();
        if projected > 0 {
            let pick = |x: &Tensor| -> Result<Tensor> {
                let parts = missing.iter().map(|cell| x.narrow(0, self.cells[*cell].start, self.cells[*cell].len()));
                Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
            };
            // Raw: neither normalised nor changed by the layers below.
            let features = pick(&self.features)?;
            let split = |x: Tensor| x.reshape((1, projected, heads, width))?.transpose(1, 2)?.contiguous();
            let keys = rotate(&split(to_keys.forward(&features)?)?, &pick(&self.cos)?, &pick(&self.sin)?)?;
            let values = split(to_values.forward(&features)?)?;
            let held = slot.get_or_insert(Projected {
                keys: keys.zeros_like()?.narrow(2, 0, 0)?,
                values: values.zeros_like()?.narrow(2, 0, 0)?,
                length: 0,
                cells: vec![None; self.cells.len()],
            });
            held.append(&keys, &values, self.features.dim(0)?)?;
            let mut start = held.length - projected;
            for cell in missing {
                let end = start + self.cells[cell].len();
                held.cells[cell] = Some(start..end);
                start = end;
            }
        }
        let Some(held) = slot else { return Ok(None) };
        let runs = cells.iter().filter_map(|cell| held.cells[*cell].clone()).collect::<Vec<_>>();
        if runs.is_empty() {
            return Ok(None);
        }
        Ok(Some(Gathered { keys: held.keys.clone(), values: held.values.clone(), runs, projected }))
    }
}

impl Projected {
    /// Puts new rows behind those in use; buffers grow by half, up to `most` rows.
    fn append(&mut self, keys: &Tensor, values: &Tensor, most: usize) -> Result<()> {
        let needed = self.length + keys.dim(2)?;
        if self.keys.dim(2)? < needed {
            let capacity = needed.max(self.length * 3 / 2).min(most).max(needed);
            for (buffer, new) in [(&mut self.keys, keys), (&mut self.values, values)] {
                let (_, heads, _, width) = new.dims4()?;
                let grown = Tensor::zeros((1, heads, capacity, width), new.dtype(), new.device())?;
                if self.length > 0 {
                    grown.slice_set(&buffer.narrow(2, 0, self.length)?.contiguous()?, 2, 0)?;
                }
                *buffer = grown;
            }
        }
        self.keys.slice_set(keys, 2, self.length)?;
        self.values.slice_set(values, 2, self.length)?;
        self.length = needed;
        Ok(())
    }
}

/// The rotary tables of high-resolution tokens, `[to², pairs]` in f32: the cosines and sines of the `from²` positions that
/// begin at `first`, taken as pictures of `from` × `from` and enlarged to `to` × `to`.
///
/// The values themselves are interpolated, so the tables turn and shrink; the published weights were trained with that
/// (spec 2.2). Cubic convolution with a = −0.75, borders repeated, no antialiasing: PyTorch's `mode="bicubic"`.
///
/// # Errors
/// When a side is 0.
pub fn interpolated_tables(
    frequencies: &Frequencies,
    first: usize,
    from: usize,
    to: usize,
) -> Result<(Vec<f32>, Vec<f32>)> {
    if from == 0 || to == 0 {
        candle_core::bail!("rotary tables of {from} × {from} positions cannot become {to} × {to}");
    }
    let taps = (0..to).map(|index| cubic_taps(index, from, to)).collect::<Vec<_>>();
    let pairs = frequencies.inverse.len();
    let table = |of: fn(f32) -> f32| {
        let mut wide = vec![0f32; from * to * pairs];
        for row in 0..from {
            for (column, (places, weights)) in taps.iter().enumerate() {
                let out = &mut wide[(row * to + column) * pairs..][..pairs];
                for (place, weight) in places.iter().zip(weights) {
                    let position = (first + row * from + place) as f32;
                    for (out, frequency) in out.iter_mut().zip(&frequencies.inverse) {
                        *out += weight * of(position * frequency) * frequencies.magnitude;
                    }
                }
            }
        }
        let mut all = vec![0f32; to * to * pairs];
        for (row, (places, weights)) in taps.iter().enumerate() {
            let out = &mut all[row * to * pairs..][..to * pairs];
            for (place, weight) in places.iter().zip(weights) {
                let from_row = &wide[place * to * pairs..][..to * pairs];
                out.iter_mut().zip(from_row).for_each(|(out, value)| *out += weight * value);
            }
        }
        all
    };
    Ok((table(f32::cos), table(f32::sin)))
}

/// Where output sample `index` looks, and by how much.
fn cubic_taps(index: usize, from: usize, to: usize) -> ([usize; 4], [f32; 4]) {
    const A: f32 = -0.75;
    let at = from as f32 / to as f32 * (index as f32 + 0.5) - 0.5;
    let t = at - at.floor();
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let start = at.floor() as isize - 1;
    let place = |offset: isize| (start + offset).clamp(0, from as isize - 1) as usize;
    ([place(0), place(1), place(2), place(3)], [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)])
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::nets::llama::LlamaConfig;

    #[test]
    fn the_tables_have_the_specs_golden_values() {
        let frequencies = LlamaConfig::default().frequencies().unwrap();
        let (cos, sin) = interpolated_tables(&frequencies, 35, 24, 72).unwrap();
        /// Row, column, cosines, sines.
        type Golden = (usize, usize, [f32; 5], [f32; 5]);
        let golden: [Golden; 3] = [
            (
                0,
                0,
                [-1.016_434, 0.347_062, -1.148_058, 0.951_781, 0.999_994],
                [-0.488_551, -1.153_303, -0.335_726, 0.318_124, 0.003_721],
            ),
            (
                36,
                36,
                [-0.465_349, 0.895_136, 0.063_055, -0.996_047, 0.999_293],
                [0.934_637, 0.165_577, 0.708_285, -0.116_102, 0.037_607],
            ),
            (
                71,
                71,
                [0.975_612, 0.978_838, -0.222_548, 0.991_391, 0.997_498],
                [0.565_688, 0.701_737, -1.175_254, -0.155_673, 0.070_703],
            ),
        ];
        for (row, column, cosines, sines) in golden {
            let start = (row * 72 + column) * 64;
            for (place, pair) in [0, 1, 16, 32, 63].into_iter().enumerate() {
                // The golden values are of f64 tables, these of f32 angles up to 610.
                assert!((cos[start + pair] - cosines[place]).abs() < 1e-4, "{row} {pair}: {}", cos[start + pair]);
                assert!((sin[start + pair] - sines[place]).abs() < 1e-4, "{row} {pair}: {}", sin[start + pair]);
            }
        }
        // On phase 0 a token has the row of its low-resolution patch.
        let patch = (35 + 5 * 24 + 7) as f32;
        let start = ((5 * 3 + 1) * 72 + 7 * 3 + 1) * 64;
        assert!((cos[start + 3] - (patch * frequencies.inverse[3]).cos()).abs() < 1e-5);
    }

    #[test]
    fn cells_are_projected_once_and_in_any_order_the_same() {
        let (hidden, heads, width) = (12, 2, 6);
        let waves = |count: usize, step: f32| (0..count).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        let tensor = |values: Vec<f32>, shape: (usize, usize)| Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        let linear = |step| Linear::new(tensor(waves(144, step), (12, hidden)), None).unwrap();
        let (k, v) = (linear(0.3), linear(0.7));
        let features = tensor(waves(16 * hidden, 0.17), (16, hidden));
        let tables = (tensor(waves(48, 0.21), (16, 3)), tensor(waves(48, 0.4), (16, 3)));
        let cells = [vec![0, 1, 4, 5], vec![2, 3, 6, 7], vec![8, 9, 12, 13], vec![10, 11, 14, 15]];
        let fresh = || HighResolution::new(&features, (&tables.0, &tables.1), &cells).unwrap();
        let rows = |gathered: &Gathered| {
            let parts = gathered.runs.iter().map(|run| gathered.keys.narrow(2, run.start, run.len()).unwrap());
            let all = Tensor::cat(&parts.collect::<Vec<_>>(), 2).unwrap();
            all.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let mut grown = fresh();
        let gather =
            |high: &mut HighResolution, cells: &[usize]| high.gather(3, cells, (&k, &v), (heads, width)).unwrap();
        assert_eq!(gather(&mut grown, &[2]).unwrap().projected, 4);
        assert_eq!(gather(&mut grown, &[0, 2, 3]).unwrap().projected, 8);
        let again = gather(&mut grown, &[0, 2]).unwrap();
        assert_eq!(again.projected, 0);
        let at_once = gather(&mut fresh(), &[0, 2]).unwrap();
        let apart = rows(&again).iter().zip(rows(&at_once)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-6, "{apart}");
        assert!(gather(&mut grown, &[]).is_none());
        assert!(grown.gather(3, &[4], (&k, &v), (heads, width)).is_err());
        assert_eq!(grown.bytes(), 2 * 12 * 12 * DType::F32.size_in_bytes() as u64);
    }
}
