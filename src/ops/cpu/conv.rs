//! Convolutions as matrix products whose right side, the picture's patches, is laid out a cache-sized piece at a time.
//!
//! Weights `[outputs, inputs · kernel²]` are the left matrix, packed once. Columns are output pixels. A piece of work takes a
//! few panels of pixels of one picture, gathers their patches for some hundred inputs, and runs all outputs over them.

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::panels::Bands;
use super::share::Parts;
use super::tile::{self, Left, Start};

/// Rows of the patch matrix gathered at once.
const DEPTH: usize = 256;
/// Panels of pixels that share one gathering and one pass over the weights.
const PANELS: usize = 4;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Input pixels from one output pixel to the next.
    pub stride: usize,
    /// Zeros around the picture on every side.
    pub padding: usize,
}

impl Shape {
    /// The output's height or width for an input's.
    #[must_use]
    pub fn output_side(&self, side: usize) -> usize {
        (side + 2 * self.padding).checked_sub(self.kernel).map_or(0, |room| room / self.stride + 1)
    }
}

/// Pictures `[batch, inputs, height, width]`, contiguous.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// All of them, `[batch, inputs, height, width]`.
    pub numbers: &'a [f32],
    /// How many.
    pub batch: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

/// Packs `weights` `[outputs, inputs, kernel, kernel]`.
///
/// # Panics
/// If their number is another.
#[must_use]
pub fn pack(shape: Shape, weights: &[f32]) -> Bands {
    let depth = shape.inputs * shape.kernel * shape.kernel;
    assert_eq!(weights.len(), shape.outputs * depth, "the weights fit");
    Bands::pack(shape.outputs, depth, |i, p| weights[i * depth + p])
}

/// `out` `[batch, outputs, h', w']`; `bias` `[outputs]`, or `[batch, outputs]` for one of its own per picture.
///
/// # Panics
/// If the sizes do not fit each other.
pub fn convolve(
    arch: Arch,
    shape: Shape,
    weights: &Bands,
    bias: Option<&[f32]>,
    pictures: Pictures<'_>,
    out: &mut [f32],
) {
    let Pictures { numbers, batch, height, width } = pictures;
    let (out_height, out_width) = (shape.output_side(height), shape.output_side(width));
    let pixels = out_height * out_width;
    assert_eq!(numbers.len(), batch * shape.inputs * height * width, "the pictures fit");
    assert_eq!(out.len(), batch * shape.outputs * pixels, "the output fits");
    let depth = shape.inputs * shape.kernel * shape.kernel;
    assert_eq!((weights.rows, weights.depth), (shape.outputs, depth), "the weights fit");
    let own = bias.is_some_and(|bias| bias.len() != shape.outputs);
    assert!(bias.is_none_or(|bias| !own || bias.len() == batch * shape.outputs), "the bias fits");
    if out.is_empty() {
        return;
    }
    let panel = tile::panel_width(arch);
    let per_piece = panel * PANELS;
    let pieces = pixels.div_ceil(per_piece);
    let units = batch * pieces;
    // Few pixels: the outputs are shared out as well, each group gathering for itself.
    let wanted = 2 * rayon::current_num_threads();
    let groups = if units >= wanted { 1 } else { wanted.div_ceil(units).min(weights.count()) };
    let group = weights.count().div_ceil(groups);
    let parts = Parts::new(out);
    (0..units * groups).into_par_iter().for_each(|unit| {
        let (first_band, unit) = ((unit % groups) * group, unit / groups);
        let (picture, piece) = (unit / pieces, unit % pieces);
        let first = piece * per_piece;
        let count = (pixels - first).min(per_piece);
        let plane = shape.inputs * height * width;
        let bias = bias.map(|bias| if own { &bias[picture * shape.outputs..] } else { bias });
        let piece = Piece {
            shape,
            weights,
            bands: first_band..(first_band + group).min(weights.count()),
            bias,
            picture: &numbers[picture * plane..(picture + 1) * plane],
            size: (height, width),
            out_width,
            pixels,
            first,
            count,
            parts,
            corner: picture * shape.outputs * pixels,
        };
        GATHERED.with_borrow_mut(|gathered| arch.dispatch(Gathering { piece: &piece, gathered }));
    });
}

thread_local! {
    static GATHERED: RefCell<Buffer> = RefCell::default();
}

struct Piece<'a> {
    shape: Shape,
    weights: &'a Bands,
    bands: std::ops::Range<usize>,
    bias: Option<&'a [f32]>,
    /// `[inputs, height, width]`
    picture: &'a [f32],
    size: (usize, usize),
    out_width: usize,
    /// Of one output plane.
    pixels: usize,
    /// The output pixels of this piece.
    first: usize,
    count: usize,
    parts: Parts<'a>,
    /// Where the picture's output begins.
    corner: usize,
}

/// A piece and the memory for its patches.
struct Gathering<'a> {
    piece: &'a Piece<'a>,
    gathered: &'a mut Buffer,
}

impl WithSimd for Gathering<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.piece.run(simd, self.gathered);
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, gathered: &mut Buffer) {
        let lanes = S::F32_LANES;
        let panel = tile::width::<S>();
        let total = self.weights.depth;
        for k in (0..total).step_by(DEPTH) {
            let depth = (total - k).min(DEPTH);
            let panels = self.count.div_ceil(panel);
            gathered.set_len(panels * depth * panel);
            for (index, chunk) in gathered.chunks_mut(depth * panel).enumerate() {
                let first = self.first + index * panel;
                let columns = (self.first + self.count - first).min(panel);
                let wide = columns.next_multiple_of(lanes);
                self.gather(k, depth, first, columns, wide, &mut chunk[..depth * wide]);
            }
            for band in self.bands.clone() {
                let row = band * tile::ROWS;
                let rows = (self.shape.outputs - row).min(tile::ROWS);
                let start = match self.bias {
                    _ if k > 0 => Start::Sum,
                    Some(bias) => Start::Rows(bias[row..row + rows].as_ptr()),
                    None => Start::Zero,
                };
                let a = Left { at: self.weights.from_column(band, k).as_ptr(), row: 1, column: tile::ROWS };
                for (index, chunk) in gathered.chunks(depth * panel).enumerate() {
                    let first = self.first + index * panel;
                    let columns = (self.first + self.count - first).min(panel);
                    let corner = self.corner + row * self.pixels + first;
                    let c = self.parts.at(corner, (rows - 1) * self.pixels + columns);
                    // SAFETY: a band holds `depth` more columns from k on; the panel was gathered just now; the output was
                    // checked to be `[batch, outputs, pixels]`; pieces differ in picture, pixels or bands.
                    unsafe { tile::band(simd, depth, a, rows, chunk.as_ptr(), columns, c, self.pixels, start) };
                }
            }
        }
    }

    /// Rows `k .. k + depth` of the patch matrix for `columns` output pixels from `first` on, each row `wide` numbers.
    #[inline(always)]
    fn gather(&self, k: usize, depth: usize, first: usize, columns: usize, wide: usize, out: &mut [f32]) {
        let Shape { kernel, stride, padding, .. } = self.shape;
        let (height, width) = self.size;
        let area = kernel * kernel;
        for (row, line) in out.chunks_mut(wide).enumerate().take(depth) {
            let (channel, place) = ((k + row) / area, (k + row) % area);
            let (ky, kx) = (place / kernel, place % kernel);
            let plane = &self.picture[channel * height * width..(channel + 1) * height * width];
            if kernel == 1 && stride == 1 && padding == 0 {
                line[..columns].copy_from_slice(&plane[first..first + columns]);
                line[columns..].fill(0.0);
                continue;
            }
            let mut done = 0;
            while done < columns {
                let (y, x) = ((first + done) / self.out_width, (first + done) % self.out_width);
                let count = (self.out_width - x).min(columns - done);
                let segment = &mut line[done..done + count];
                done += count;
                match (y * stride + ky).checked_sub(padding).filter(|y| *y < height) {
                    Some(y) => fill(segment, &plane[y * width..(y + 1) * width], x * stride + kx, stride, padding),
                    None => segment.fill(0.0),
                }
            }
            line[columns..].fill(0.0);
        }
    }
}

/// `segment[i] = line[from + i · stride − padding]`, 0 outside the line.
#[inline(always)]
fn fill(segment: &mut [f32], line: &[f32], from: usize, stride: usize, padding: usize) {
    if stride == 1 {
        let before = padding.saturating_sub(from).min(segment.len());
        let at = (from + before).saturating_sub(padding);
        let there = line.len().saturating_sub(at).min(segment.len() - before);
        segment[..before].fill(0.0);
        if there > 0 {
            segment[before..before + there].copy_from_slice(&line[at..at + there]);
        }
        segment[before + there..].fill(0.0);
    } else {
        for (i, value) in segment.iter_mut().enumerate() {
            let at = (from + i * stride).checked_sub(padding);
            *value = at.and_then(|at| line.get(at)).copied().unwrap_or(0.0);
        }
    }
}
