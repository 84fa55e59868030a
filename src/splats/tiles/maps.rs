//! Maps of a view: colour, depth, normals and any numbers, summed with the weights of one blend.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::bins::{Bins, Tiles, batches};
use super::blend::{LANES, Lanes, Light, RUNS, SIDE, Sink, blend};
use super::deferred::Deferred;
use super::frame::{Drawn, Frame};
use super::windows;
use crate::ops::cpu::arch;
use crate::splats::gaussians::Gaussians;
use crate::splats::projection::rotation_matrix;
use crate::splats::raster::{Raster, RasterRequest};
use crate::splats::{SplatError, SplatObserver};

/// The most channels that are summed in one pass over the sorted Gaussians: 128 kB of sums a tile.
const MOST_CHANNELS: usize = 32;

/// Draws the maps of a request.
pub(super) fn render(
    scene: &Gaussians,
    request: &RasterRequest<'_>,
    frame: &Frame,
    observer: &dyn SplatObserver,
) -> Result<Raster, SplatError> {
    let mut raster = Raster::empty(request);
    let own = Own::of(request);
    let values = request.channels.values.map_or(0, |values| values.dim);
    // The first pass takes the maps of the scene's own and as many values as fit beside them.
    let first = values.min(MOST_CHANNELS.saturating_sub(own.dim()));
    let passes = 1 + (values - first).div_ceil(MOST_CHANNELS);
    observer.stage("Drawing", passes);
    let mut from = 0;
    for pass in 0..passes {
        let (own, to) = if pass == 0 { (own, first) } else { (Own::default(), values.min(from + MOST_CHANNELS)) };
        let channels = ChannelsOfPass { own, values: from..to };
        one_pass(scene, request, frame, &channels, pass == 0, &mut raster, observer)?;
        from = to;
        observer.step(pass + 1);
    }
    Ok(raster)
}

/// The maps that come from the scene itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    pub(super) colour: bool,
    pub(super) depth: bool,
    pub(super) normals: bool,
}

impl Own {
    fn of(request: &RasterRequest<'_>) -> Self {
        let wanted = &request.channels;
        Self { colour: wanted.colour, depth: wanted.depth, normals: wanted.normals }
    }

    fn dim(self) -> usize {
        3 * usize::from(self.colour) + usize::from(self.depth) + 3 * usize::from(self.normals)
    }
}

/// What one pass sums, in this order: colour, depth, normals, values.
pub(super) struct ChannelsOfPass {
    pub(super) own: Own,
    pub(super) values: std::ops::Range<usize>,
}

impl ChannelsOfPass {
    pub(super) fn dim(&self) -> usize {
        self.own.dim() + self.values.len()
    }

    /// The channels of all that is seen, `[drawn, dim]`.
    fn of_frame(&self, scene: &Gaussians, request: &RasterRequest<'_>, frame: &Frame) -> Vec<f32> {
        let (dim, own) = (self.dim(), self.own.dim());
        // What is computed comes in the scene's order first: its arrays are long, and read from front to back they come
        // fastest.
        let mut computed = vec![0.0; frame.seen.len() * own];
        computed.par_chunks_mut((own * 1024).max(1)).zip(frame.seen.par_chunks(1024)).for_each(|(all, drawn)| {
            for (channels, drawn) in all.chunks_exact_mut(own).zip(drawn) {
                let index = drawn.index as usize;
                let mut rest = channels;
                let mut put = |values: &[f32]| {
                    let (now, later) = std::mem::take(&mut rest).split_at_mut(values.len());
                    now.copy_from_slice(values);
                    rest = later;
                };
                if self.own.colour {
                    put(&frame.view.colour(scene, index, request.sh_degree));
                }
                if self.own.depth {
                    put(&[drawn.depth]);
                }
                if self.own.normals {
                    put(&normal(scene, frame, index));
                }
            }
        });
        let mut sorted = vec![0.0; frame.drawn.len() * dim];
        sorted.par_chunks_mut((dim * 1024).max(1)).enumerate().for_each(|(piece, sorted)| {
            let slots = piece * 1024..;
            for (slot, sorted) in slots.zip(sorted.chunks_exact_mut(dim)) {
                let (first, rest) = sorted.split_at_mut(own);
                first.copy_from_slice(&computed[own * frame.order[slot] as usize..][..own]);
                if let Some(values) = &request.channels.values {
                    let index = frame.drawn[slot].index as usize;
                    rest.copy_from_slice(&values.values[index * values.dim..][self.values.clone()]);
                }
            }
        });
        sorted
    }
}

/// The shortest axis of a Gaussian in camera axes, turned towards the camera.
fn normal(scene: &Gaussians, frame: &Frame, index: usize) -> [f32; 3] {
    let scales = scene.log_scales()[index];
    let mut shortest = 0;
    for axis in 1..3 {
        if scales[axis] < scales[shortest] {
            shortest = axis;
        }
    }
    let axis = rotation_matrix(scene.rotations()[index]).map(|row| row[shortest]);
    frame.view.towards(axis, scene.positions()[index])
}

/// One tile's share of a pass.
pub(super) struct Tile {
    pub(super) light: Light,
    /// `[row, run, channel]` of eight pixels.
    pub(super) sums: Vec<Lanes>,
    pub(super) median: Vec<Lanes>,
    pub(super) count: Vec<[u32; LANES]>,
}

impl Tile {
    fn new(wanted: &Wanted) -> Self {
        let runs = SIDE * RUNS;
        let extra = |wanted: bool| if wanted { runs } else { 0 };
        Self {
            light: Light::new(0, 0),
            sums: vec![[0.0; LANES]; runs * wanted.dim],
            median: vec![[0.0; LANES]; extra(wanted.median)],
            count: vec![[0; LANES]; extra(wanted.count)],
        }
    }

    /// Nothing seen yet, for a tile of which `width` × `height` pixels lie in the picture.
    fn clear(&mut self, (width, height): (usize, usize)) {
        self.light = Light::new(width, height);
        self.sums.fill([0.0; LANES]);
        self.median.fill([0.0; LANES]);
        self.count.fill([0; LANES]);
    }
}

/// What is wanted of each tile.
struct Wanted {
    dim: usize,
    median: bool,
    count: bool,
}

fn one_pass(
    scene: &Gaussians,
    request: &RasterRequest<'_>,
    frame: &Frame,
    channels: &ChannelsOfPass,
    is_first: bool,
    raster: &mut Raster,
    observer: &dyn SplatObserver,
) -> Result<(), SplatError> {
    let of_frame = channels.of_frame(scene, request, frame);
    let tiles = Tiles::of(frame);
    let wanted = Wanted {
        dim: channels.dim(),
        median: request.channels.median_depth && is_first,
        count: request.channels.count && is_first,
    };
    let corner = |index: usize| (index % tiles.columns * SIDE, index / tiles.columns * SIDE);
    let inside = |index: usize| {
        let (column, row) = corner(index);
        (frame.width - column, frame.height - row)
    };
    let drawn = &frame.drawn;
    let blending = |bins: &Bins, index: usize, tile: &mut Tile| {
        arch().dispatch(Blending {
            drawn,
            bins,
            index,
            corner: corner(index),
            dim: wanted.dim,
            channels: &of_frame,
            tile,
        });
    };
    let mut places = windows::places(raster, tiles, is_first);
    let batches = batches(frame, tiles);
    if let [batch] = batches.as_slice() {
        // The common case: a tile is done once it is blended, so each thread needs the sums of one tile only.
        observer.checkpoint()?;
        let bins = Bins::new(frame, tiles, batch.clone(), &|_| false);
        return places.par_iter_mut().enumerate().try_for_each_init(
            || Tile::new(&wanted),
            |tile, (index, place)| {
                observer.checkpoint()?;
                // The maps are zero where nothing is seen.
                if bins.of(index).any(|slots| !slots.is_empty()) {
                    tile.clear(inside(index));
                    blending(&bins, index, tile);
                    place.take(channels, tile);
                }
                Ok(())
            },
        );
    }
    let new = |index: usize| {
        let mut tile = Tile::new(&wanted);
        tile.clear(inside(index));
        tile
    };
    let mut all: Vec<Tile> = (0..tiles.count()).into_par_iter().map(new).collect();
    for batch in batches {
        observer.checkpoint()?;
        let bins = Bins::new(frame, tiles, batch, &|tile| all[tile].light.finished);
        all.par_iter_mut().enumerate().try_for_each(|(index, tile)| {
            observer.checkpoint()?;
            blending(&bins, index, tile);
            Ok::<(), SplatError>(())
        })?;
        if all.iter().all(|tile| tile.light.finished) {
            break;
        }
    }
    places.par_iter_mut().zip(&all).for_each(|(place, tile)| place.take(channels, tile));
    Ok(())
}

/// One tile of one batch, for the processor's vectors.
struct Blending<'a> {
    drawn: &'a [Drawn],
    bins: &'a Bins,
    index: usize,
    corner: (usize, usize),
    dim: usize,
    channels: &'a [f32],
    tile: &'a mut Tile,
}

impl WithSimd for Blending<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { drawn, bins, index, corner, dim, channels, tile } = self;
        let Tile { light, sums, median, count } = tile;
        let slots = bins.of(index);
        let extra = Extra { drawn, depth: 0.0, median, count };
        let has_extra = !extra.median.is_empty() || !extra.count.is_empty();
        match (dim, has_extra) {
            (0, false) => blend(drawn, slots, corner, light, &mut Nothing),
            (0, true) => blend(drawn, slots, corner, light, &mut (Nothing, extra)),
            (1, false) => blend(drawn, slots, corner, light, &mut Few::<1>::new(channels, sums)),
            (3, false) => blend(drawn, slots, corner, light, &mut Few::<3>::new(channels, sums)),
            (4, false) => blend(drawn, slots, corner, light, &mut Few::<4>::new(channels, sums)),
            (_, false) => {
                let mut sink = Deferred::new(dim, channels, sums);
                blend(drawn, slots, corner, light, &mut sink);
                sink.finish();
            }
            (_, true) => {
                let mut sink = (Deferred::new(dim, channels, sums), extra);
                blend(drawn, slots, corner, light, &mut sink);
                sink.0.finish();
            }
        }
    }
}

/// Only the light is wanted.
struct Nothing;

impl Sink for Nothing {
    #[inline(always)]
    fn begin(&mut self, _: u32) {}

    #[inline(always)]
    fn take(&mut self, _: usize, _: &Lanes, _: &Lanes, _: &Lanes) {}
}

/// Both take the same weights.
impl<A: Sink, B: Sink> Sink for (A, B) {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.0.begin(slot);
        self.1.begin(slot);
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, before: &Lanes, after: &Lanes) {
        self.0.take(run, weights, before, after);
        self.1.take(run, weights, before, after);
    }
}

/// A few channels, added at once: the loads and stores of their sums hide behind the weights' arithmetic.
struct Few<'a, const DIM: usize> {
    channels: &'a [[f32; DIM]],
    now: [f32; DIM],
    sums: &'a mut [[Lanes; DIM]],
}

impl<'a, const DIM: usize> Few<'a, DIM> {
    fn new(channels: &'a [f32], sums: &'a mut [Lanes]) -> Self {
        Self { channels: channels.as_chunks().0, now: [0.0; DIM], sums: sums.as_chunks_mut().0 }
    }
}

impl<const DIM: usize> Sink for Few<'_, DIM> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.now = self.channels[slot as usize];
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, _: &Lanes, _: &Lanes) {
        for (sums, value) in self.sums[run].iter_mut().zip(self.now) {
            add(sums, weights, value);
        }
    }
}

/// Adds eight weighted values. Through a copy, which the compiler turns into one vector.
#[inline(always)]
pub(super) fn add(sums: &mut Lanes, weights: &Lanes, value: f32) {
    let (mut now, weights) = (*sums, *weights);
    for lane in 0..LANES {
        now[lane] += weights[lane] * value;
    }
    *sums = now;
}

/// The maps that are no sums.
struct Extra<'a> {
    drawn: &'a [Drawn],
    depth: f32,
    median: &'a mut [Lanes],
    count: &'a mut [[u32; LANES]],
}

impl Sink for Extra<'_> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.depth = self.drawn[slot as usize].depth;
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, before: &Lanes, after: &Lanes) {
        if let Some(median) = self.median.get_mut(run) {
            for lane in 0..LANES {
                let here = (before[lane] >= 0.5) & (after[lane] < 0.5);
                median[lane] = if here { self.depth } else { median[lane] };
            }
        }
        if let Some(count) = self.count.get_mut(run) {
            for lane in 0..LANES {
                count[lane] += u32::from(weights[lane] > 0.0);
            }
        }
    }
}
