//! Which Gaussians meet which tile of the picture, by the exact test of ellipse against tile.

use rayon::prelude::*;

use super::blend::SIDE;
use super::frame::{Drawn, Frame};

/// Gaussians that one thread sorts into tiles at a time.
const PIECE: usize = 1 << 14;
/// Pairs of Gaussian and tile that are held at a time; a scene of enormous Gaussians is drawn in several batches.
const MOST_PAIRS: usize = 1 << 24;
/// Pixels by which ellipses are taken larger, for rounding.
const SLACK: f32 = 0.02;

/// The tiles of a picture.
#[derive(Clone, Copy, Debug)]
pub(in crate::splats) struct Tiles {
    pub(in crate::splats) columns: usize,
    pub(in crate::splats) rows: usize,
}

impl Tiles {
    pub(in crate::splats) fn of(frame: &Frame) -> Self {
        Self { columns: frame.width.div_ceil(SIDE), rows: frame.height.div_ceil(SIDE) }
    }

    pub(in crate::splats) fn count(self) -> usize {
        self.columns * self.rows
    }
}

/// The Gaussians of a batch, tile by tile.
#[derive(Debug)]
pub(in crate::splats) struct Bins {
    pieces: Vec<Piece>,
}

/// A run of Gaussians, sorted into tiles: those of tile i are `slots[starts[i]..starts[i + 1]]`.
#[derive(Debug)]
struct Piece {
    starts: Vec<u32>,
    slots: Vec<u32>,
}

impl Bins {
    /// The Gaussians `batch` of a frame. Those of tiles that are `finished` are left out.
    pub(in crate::splats) fn new(
        frame: &Frame,
        tiles: Tiles,
        batch: std::ops::Range<usize>,
        finished: &(impl Fn(usize) -> bool + Sync),
    ) -> Self {
        let pieces = batch.len().div_ceil(PIECE);
        let pieces = (0..pieces).into_par_iter().map(|piece| {
            let first = batch.start + piece * PIECE;
            let last = batch.end.min(first + PIECE);
            let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(2 * (last - first));
            let mut starts = vec![0u32; tiles.count() + 1];
            for (slot, drawn) in frame.drawn.iter().enumerate().take(last).skip(first) {
                tiles_of(drawn, tiles, |tile| {
                    if !finished(tile) {
                        pairs.push((tile as u32, slot as u32));
                        starts[tile + 1] += 1;
                    }
                });
            }
            for tile in 0..tiles.count() {
                starts[tile + 1] += starts[tile];
            }
            let mut slots = vec![0; pairs.len()];
            let mut places = starts.clone();
            for (tile, slot) in pairs {
                let place = &mut places[tile as usize];
                slots[*place as usize] = slot;
                *place += 1;
            }
            Piece { starts, slots }
        });
        Self { pieces: pieces.collect() }
    }

    /// The places in the frame of the Gaussians of one tile, nearest first.
    pub(in crate::splats) fn of(&self, tile: usize) -> impl Iterator<Item = &[u32]> {
        self.pieces.iter().map(move |piece| {
            let (from, to) = (piece.starts[tile] as usize, piece.starts[tile + 1] as usize);
            &piece.slots[from..to]
        })
    }
}

/// Cuts a frame into batches of not too many pairs of Gaussian and tile.
pub(in crate::splats) fn batches(frame: &Frame, tiles: Tiles) -> Vec<std::ops::Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut pairs) = (0, 0);
    for (slot, drawn) in frame.drawn.iter().enumerate() {
        let side = |axis: usize, most: usize| ((2.0 * drawn.extent[axis] / SIDE as f32) as usize + 2).min(most);
        let more = side(0, tiles.columns) * side(1, tiles.rows);
        if pairs + more > MOST_PAIRS && slot > first {
            batches.push(first..slot);
            (first, pairs) = (slot, 0);
        }
        pairs += more;
    }
    batches.push(first..frame.drawn.len());
    batches
}

/// Calls `meets` with every tile that has a pixel centre within the ellipse.
fn tiles_of(drawn: &Drawn, tiles: Tiles, mut meets: impl FnMut(usize)) {
    let side = SIDE as f32;
    let [cx, cy] = drawn.centre;
    let [ex, ey] = drawn.extent;
    // The first and last tile whose pixel centres reach from `low` to `high`.
    let range = |low: f32, high: f32, most: usize| {
        let from = ((low - 0.5 - SLACK) / side).ceil().max(0.0);
        let to = ((high - 0.5 + SLACK) / side).floor();
        // A tile's last pixel centre lies SIDE − 1 beyond its first.
        let from = if from > 0.0 && low - SLACK <= from * side - 0.5 { from - 1.0 } else { from };
        (from as usize, if to < 0.0 { 0 } else { (to as usize + 1).min(most) })
    };
    let (top, bottom) = range(cy - ey, cy + ey, tiles.rows);
    for row in top..bottom {
        // The ellipse between the first and last pixel centres of this row of tiles.
        let first = row as f32 * side + 0.5 - cy;
        let (from, to) = (first.clamp(-ey, ey), (first + side - 1.0).clamp(-ey, ey));
        let (middle, half) = drawn.chord(drawn.lean.clamp(from, to));
        let right = middle + half;
        let (middle, half) = drawn.chord((-drawn.lean).clamp(from, to));
        let left = middle - half;
        // Rounding grows with the length of what was added up.
        let slack = 1e-5 * (ex + cx.abs());
        let (left, right) = range(cx + left - slack, cx + right + slack, tiles.columns);
        for column in left..right {
            meets(row * tiles.columns + column);
        }
    }
}
