//! 3×3 convolutions of stride 1 by Winograd's F(2×2, 3×3): 16 products where the plain way has 36 (Lavin and Gray 2015).
//!
//! ```text
//! Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A        d: 4×4 pixels, g: 3×3 weights, Y: 2×2 pixels
//! ```
//!
//! For each of the 16 places of a transformed tile the sum over channels is one matrix product: transformed weights, packed once,
//! times transformed pixels. A piece of work is a panel of tiles: transform all channels, then multiply and transform back a
//! block of outputs at a time. Differs from the plain sum by a few units in the last place.

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::conv::{Pictures, Shape};
use super::panels::Bands;
use super::share::Parts;
use super::tile::{self, Left, Start};

/// Places of a transformed tile.
const PLACES: usize = 16;
/// Outputs whose products are kept before they are transformed back.
const OUTPUTS: usize = 8 * tile::ROWS;

/// Transformed weights: a left matrix `[outputs, inputs]` for each place.
#[derive(Clone, Debug)]
pub struct Transformed {
    places: Vec<Bands>,
}

/// Whether this way pays: channels enough that the transforms weigh little (measured: 1.2 to 1.6 times as fast from here on, slower
/// below), and not so many that weights 16/9 as large, which is what the transform makes of them, would fill the memory.
#[must_use]
pub fn pays(shape: Shape) -> bool {
    shape.kernel == 3
        && shape.stride == 1
        && shape.padding <= 1
        && shape.inputs >= 160
        && (96..=640).contains(&shape.outputs)
}

/// Transforms and packs `weights` `[outputs, inputs, 3, 3]`.
///
/// # Panics
/// If their number is another.
#[must_use]
pub fn pack(shape: Shape, weights: &[f32]) -> Transformed {
    assert_eq!(weights.len(), shape.outputs * shape.inputs * 9, "the weights fit");
    // G g Gᵀ, row by row.
    let line = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let mut all = vec![0.0; weights.len() / 9 * PLACES];
    all.par_chunks_mut(PLACES).zip(weights.par_chunks(9)).for_each(|(out, g)| {
        let columns = [0, 1, 2].map(|x| line(g[x], g[3 + x], g[6 + x]));
        for y in 0..4 {
            out[4 * y..4 * y + 4].copy_from_slice(&line(columns[0][y], columns[1][y], columns[2][y]));
        }
    });
    let (outputs, inputs) = (shape.outputs, shape.inputs);
    let places = (0..PLACES).map(|place| Bands::pack(outputs, inputs, |o, i| all[(o * inputs + i) * PLACES + place]));
    Transformed { places: places.collect() }
}

/// `out` `[batch, outputs, h', w']`; `bias` `[outputs]`, or `[batch, outputs]` for one of its own per picture.
///
/// # Panics
/// If the sizes do not fit each other.
pub fn convolve(
    arch: Arch,
    shape: Shape,
    weights: &Transformed,
    bias: Option<&[f32]>,
    pictures: Pictures<'_>,
    out: &mut [f32],
) {
    let Pictures { numbers, batch, height, width } = pictures;
    let size = (shape.output_side(height), shape.output_side(width));
    assert_eq!(numbers.len(), batch * shape.inputs * height * width, "the pictures fit");
    assert_eq!(out.len(), batch * shape.outputs * size.0 * size.1, "the output fits");
    assert!(weights.places.len() == PLACES && weights.places[0].rows == shape.outputs, "the weights fit");
    let own = bias.is_some_and(|bias| bias.len() != shape.outputs);
    assert!(bias.is_none_or(|bias| !own || bias.len() == batch * shape.outputs), "the bias fits");
    if out.is_empty() {
        return;
    }
    // A panel holds whole rows of tiles, or a part of one row.
    let across = size.1.div_ceil(2);
    let down = size.0.div_ceil(2);
    let panel = tile::panel_width(arch);
    let (rows, columns) = if across >= panel { (1, panel) } else { ((panel / across).min(down), across) };
    let per_picture = down.div_ceil(rows) * across.div_ceil(columns);
    let units = batch * per_picture;
    // Few tiles: the outputs are shared out as well, each group transforming for itself.
    let wanted = 2 * rayon::current_num_threads();
    let blocks = shape.outputs.div_ceil(OUTPUTS);
    let groups = if units >= wanted { 1 } else { wanted.div_ceil(units).min(blocks) };
    let group = blocks.div_ceil(groups);
    let parts = Parts::new(out);
    (0..units * groups).into_par_iter().for_each(|unit| {
        let (first_block, unit) = ((unit % groups) * group, unit / groups);
        let (picture, place) = (unit / per_picture, unit % per_picture);
        let (y, x) = (place / across.div_ceil(columns) * rows, place % across.div_ceil(columns) * columns);
        let plane = shape.inputs * height * width;
        let piece = Piece {
            shape,
            weights,
            bias: bias.map(|bias| if own { &bias[picture * shape.outputs..] } else { bias }),
            picture: &numbers[picture * plane..(picture + 1) * plane],
            input: (height, width),
            output: size,
            tiles: (y, x),
            count: (rows.min(down - y), columns.min(across - x)),
            outputs: first_block * OUTPUTS..((first_block + group) * OUTPUTS).min(shape.outputs),
            parts,
            corner: picture * shape.outputs * size.0 * size.1,
        };
        SCRATCH.with_borrow_mut(|scratch| arch.dispatch(Convolving { piece: &piece, scratch }));
    });
}

#[derive(Default)]
struct Scratch {
    /// Transformed pixels, `[places, inputs, tiles]`.
    pixels: Buffer,
    /// Products, `[places, outputs, tiles]`.
    products: Buffer,
    /// Four rows of pixels with zeros where the picture ends, and what the first half of the transform makes of them.
    rows: Buffer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

struct Piece<'a> {
    shape: Shape,
    weights: &'a Transformed,
    bias: Option<&'a [f32]>,
    /// `[inputs, height, width]`
    picture: &'a [f32],
    input: (usize, usize),
    output: (usize, usize),
    /// The first tile, and how many of them (down, across).
    tiles: (usize, usize),
    count: (usize, usize),
    outputs: std::ops::Range<usize>,
    parts: Parts<'a>,
    /// Where the picture's output begins.
    corner: usize,
}

/// A piece and its memory.
struct Convolving<'a> {
    piece: &'a Piece<'a>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Convolving<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.piece.run(simd, self.scratch);
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, scratch: &mut Scratch) {
        let inputs = self.shape.inputs;
        let tiles = self.count.0 * self.count.1;
        let wide = tiles.next_multiple_of(S::F32_LANES);
        let Scratch { pixels, products, rows } = scratch;
        pixels.set_len(PLACES * inputs * wide);
        products.set_len(PLACES * OUTPUTS * wide);
        self.transform(pixels, wide, rows);
        for first in self.outputs.clone().step_by(OUTPUTS) {
            let outputs = (self.outputs.end - first).min(OUTPUTS);
            for place in 0..PLACES {
                let b = pixels[place * inputs * wide..].as_ptr();
                for row in (0..outputs).step_by(tile::ROWS) {
                    let band = self.weights.places[place].from_column((first + row) / tile::ROWS, 0);
                    let a = Left { at: band.as_ptr(), row: 1, column: tile::ROWS };
                    let count = (outputs - row).min(tile::ROWS);
                    // SAFETY: a band holds `inputs` columns; the place's pixels are `inputs` rows of `wide` numbers, of which the first
                    // `tiles` count; the products have room for OUTPUTS rows a place.
                    unsafe {
                        let c = products.as_mut_ptr().add((place * OUTPUTS + row) * wide);
                        tile::band(simd, inputs, a, count, b, tiles, c, wide, Start::Zero);
                    }
                }
            }
            for output in 0..outputs {
                self.transform_back(products, wide, output, first + output, rows);
            }
        }
    }

    /// Bᵀ d B of every channel and tile.
    #[inline(always)]
    fn transform(&self, pixels: &mut Buffer, wide: usize, rows: &mut Buffer) {
        let (height, width) = self.input;
        let (down, across) = self.count;
        let (inputs, padding) = (self.shape.inputs, self.shape.padding);
        // Even and odd columns apart, so that both halves of the transform run over neighbours.
        let half = across + 1;
        rows.set_len(8 * half);
        let tiles = down * across;
        for channel in 0..inputs {
            let plane = &self.picture[channel * height * width..(channel + 1) * height * width];
            for tile_row in 0..down {
                for (r, line) in rows.chunks_mut(2 * half).enumerate() {
                    let y = (2 * (self.tiles.0 + tile_row) + r).checked_sub(padding).filter(|y| *y < height);
                    let Some(y) = y else {
                        line.fill(0.0);
                        continue;
                    };
                    let source = &plane[y * width..(y + 1) * width];
                    let (even, odd) = line.split_at_mut(half);
                    let first = 2 * self.tiles.1;
                    let at = |x: usize| (first + x).checked_sub(padding).and_then(|x| source.get(x)).copied();
                    // All of it inside the picture: no checks.
                    if first >= padding && first - padding + 2 * half <= width {
                        let inner = &source[first - padding..first - padding + 2 * half];
                        for ((even, odd), pair) in even.iter_mut().zip(odd.iter_mut()).zip(inner.chunks_exact(2)) {
                            (*even, *odd) = (pair[0], pair[1]);
                        }
                    } else {
                        for (j, (even, odd)) in even.iter_mut().zip(odd.iter_mut()).enumerate() {
                            *even = at(2 * j).unwrap_or(0.0);
                            *odd = at(2 * j + 1).unwrap_or(0.0);
                        }
                    }
                }
                let (top, bottom) = rows.split_at_mut(4 * half);
                let (row0, row1) = top.split_at_mut(2 * half);
                let (row2, row3) = bottom.split_at_mut(2 * half);
                for ((a, b), (c, d)) in row0.iter_mut().zip(row1).zip(row2.iter_mut().zip(row3)) {
                    (*a, *b, *c, *d) = (*a - *c, *b + *c, *c - *b, *b - *d);
                }
                for (r, line) in rows.chunks(2 * half).enumerate() {
                    let (even, odd) = line.split_at(half);
                    let at = |column: usize| ((4 * r + column) * inputs + channel) * wide + tile_row * across;
                    let columns = [at(0), at(1), at(2), at(3)];
                    for j in 0..across {
                        let (a, b, c, d) = (even[j], odd[j], even[j + 1], odd[j + 1]);
                        pixels[columns[0] + j] = a - c;
                        pixels[columns[1] + j] = b + c;
                        pixels[columns[2] + j] = c - b;
                        pixels[columns[3] + j] = b - d;
                    }
                }
            }
            for place in 0..PLACES {
                let row = (place * inputs + channel) * wide;
                pixels[row + tiles..row + wide].fill(0.0);
            }
        }
    }

    /// Aᵀ m A of every tile of one output, its bias added, into the picture.
    #[inline(always)]
    fn transform_back(&self, products: &Buffer, wide: usize, row: usize, output: usize, scratch: &mut Buffer) {
        let (height, width) = self.output;
        let (down, across) = self.count;
        let bias = self.bias.map_or(0.0, |bias| bias[output]);
        let place = |place: usize| &products[(place * OUTPUTS + row) * wide..][..wide];
        // Two rows of pixels a row of tiles, even and odd columns apart.
        scratch.set_len(4 * across);
        for tile_row in 0..down {
            let from = tile_row * across;
            for (half, sums) in scratch.chunks_mut(2 * across).enumerate() {
                let (even, odd) = sums.split_at_mut(across);
                for j in 0..across {
                    let column = |x: usize| {
                        let m = |y: usize| place(4 * y + x)[from + j];
                        if half == 0 { m(0) + m(1) + m(2) } else { m(1) - m(2) - m(3) }
                    };
                    let (a, b, c, d) = (column(0), column(1), column(2), column(3));
                    even[j] = a + b + c + bias;
                    odd[j] = b - c - d + bias;
                }
            }
            for (half, sums) in scratch.chunks(2 * across).enumerate() {
                let y = 2 * (self.tiles.0 + tile_row) + half;
                let x = 2 * self.tiles.1;
                if y >= height {
                    continue;
                }
                let count = (width - x).min(2 * across);
                let out = self.parts.at(self.corner + (output * height + y) * width + x, count);
                let (even, odd) = sums.split_at(across);
                for at in 0..count {
                    let value = if at % 2 == 0 { even[at / 2] } else { odd[at / 2] };
                    // SAFETY: inside the part; pieces differ in picture, tiles or outputs.
                    unsafe { out.add(at).write(value) };
                }
            }
        }
    }
}
