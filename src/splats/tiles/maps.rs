//! Maps of a view: colour, depth, normals and any numbers, summed with the weights of one blend.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::bins::{Bins, Tiles, batches};
use super::blend::{LANES, Lanes, Light, RUNS, SIDE, Sink, blend};
use super::frame::{Drawn, Frame};
use crate::ops::cpu::arch;
use crate::splats::gaussians::Gaussians;
use crate::splats::projection::rotation_matrix;
use crate::splats::raster::{Raster, RasterRequest};
use crate::splats::{SplatError, SplatObserver};

/// The most channels that are summed in one pass over the sorted Gaussians: 128 kB of sums a tile.
const MOST_CHANNELS: usize = 32;

/// Runs from one channel's sums to the next's: one more than a tile has, or all channels of a pixel would lie 4096 bytes
/// apart and drive each other out of the cache.
const PLANE: usize = SIDE * RUNS + 1;

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
struct Own {
    colour: bool,
    depth: bool,
    normals: bool,
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
struct ChannelsOfPass {
    own: Own,
    values: std::ops::Range<usize>,
}

impl ChannelsOfPass {
    fn dim(&self) -> usize {
        self.own.dim() + self.values.len()
    }

    /// The channels of all that is seen, `[drawn, dim]`.
    fn of_frame(&self, scene: &Gaussians, request: &RasterRequest<'_>, frame: &Frame) -> Vec<f32> {
        let dim = self.dim();
        if dim == 0 {
            return Vec::new();
        }
        // In the scene's order first: its arrays are long, and read from front to back they come fastest.
        let mut all = vec![0.0; frame.seen.len() * dim];
        all.par_chunks_mut(dim * 1024).zip(frame.seen.par_chunks(1024)).for_each(|(all, drawn)| {
            for (channels, drawn) in all.chunks_exact_mut(dim).zip(drawn) {
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
                if let Some(values) = &request.channels.values {
                    put(&values.values[index * values.dim..][self.values.clone()]);
                }
            }
        });
        let mut sorted = vec![0.0; all.len()];
        sorted.par_chunks_mut(dim * 1024).zip(frame.order.par_chunks(1024)).for_each(|(sorted, order)| {
            for (sorted, at) in sorted.chunks_exact_mut(dim).zip(order) {
                sorted.copy_from_slice(&all[dim * *at as usize..][..dim]);
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
struct Tile {
    light: Light,
    /// `[channel, row, run]` of eight pixels.
    sums: Vec<Lanes>,
    median: Vec<Lanes>,
    count: Vec<[u32; LANES]>,
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
    let dim = channels.dim();
    let of_frame = channels.of_frame(scene, request, frame);
    let tiles = Tiles::of(frame);
    let wanted = &request.channels;
    let extra = |wanted: bool| if wanted && is_first { SIDE * RUNS } else { 0 };
    let mut all: Vec<Tile> = (0..tiles.count())
        .into_par_iter()
        .map(|tile| {
            let (column, row) = (tile % tiles.columns * SIDE, tile / tiles.columns * SIDE);
            Tile {
                light: Light::new(frame.width - column, frame.height - row),
                sums: vec![[0.0; LANES]; PLANE * dim],
                median: vec![[0.0; LANES]; extra(wanted.median_depth)],
                count: vec![[0; LANES]; extra(wanted.count)],
            }
        })
        .collect();
    for batch in batches(frame, tiles) {
        observer.checkpoint()?;
        let bins = Bins::new(frame, tiles, batch, &|tile| all[tile].light.finished);
        let drawn = &frame.drawn;
        all.par_iter_mut().enumerate().try_for_each(|(index, tile)| {
            observer.checkpoint()?;
            let corner = (index % tiles.columns * SIDE, index / tiles.columns * SIDE);
            arch().dispatch(Blending { drawn, bins: &bins, index, corner, dim, channels: &of_frame, tile });
            Ok::<(), SplatError>(())
        })?;
        if all.iter().all(|tile| tile.light.finished) {
            break;
        }
    }
    gather(channels, tiles, &all, is_first, raster);
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
        // Colour alone is the common case and has its sums in registers.
        if dim == 3 && median.is_empty() && count.is_empty() {
            let (red, rest) = sums.split_at_mut(PLANE);
            let (green, blue) = rest.split_at_mut(PLANE);
            blend(drawn, slots, corner, light, &mut ThreeSums { channels, now: [0.0; 3], sums: [red, green, blue] });
        } else {
            let mut sink = Sums { drawn, channels, dim, now: &[], depth: 0.0, sums, median, count };
            blend(drawn, slots, corner, light, &mut sink);
        }
    }
}

struct ThreeSums<'a> {
    channels: &'a [f32],
    now: [f32; 3],
    sums: [&'a mut [Lanes]; 3],
}

impl Sink for ThreeSums<'_> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.now.copy_from_slice(&self.channels[3 * slot as usize..][..3]);
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, _: &Lanes, _: &Lanes) {
        for (sums, value) in self.sums.iter_mut().zip(self.now) {
            add(&mut sums[run], weights, value);
        }
    }
}

/// Adds eight weighted values. Through a copy, which the compiler turns into one vector.
#[inline(always)]
fn add(sums: &mut Lanes, weights: &Lanes, value: f32) {
    let (mut now, weights) = (*sums, *weights);
    for lane in 0..LANES {
        now[lane] += weights[lane] * value;
    }
    *sums = now;
}

struct Sums<'a> {
    drawn: &'a [Drawn],
    channels: &'a [f32],
    dim: usize,
    now: &'a [f32],
    depth: f32,
    sums: &'a mut [Lanes],
    median: &'a mut [Lanes],
    count: &'a mut [[u32; LANES]],
}

impl Sink for Sums<'_> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.now = &self.channels[self.dim * slot as usize..][..self.dim];
        self.depth = self.drawn[slot as usize].depth;
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, before: &Lanes, after: &Lanes) {
        for (sums, value) in self.sums.iter_mut().skip(run).step_by(PLANE).zip(self.now) {
            add(sums, weights, *value);
        }
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

/// Brings the tiles' sums to the maps.
fn gather(channels: &ChannelsOfPass, tiles: Tiles, all: &[Tile], is_first: bool, raster: &mut Raster) {
    let (width, own) = (raster.width, channels.own);
    let at = |x: usize, y: usize| {
        let tile = &all[y / SIDE * tiles.columns + x / SIDE];
        (tile, y % SIDE * RUNS + x % SIDE / LANES, x % LANES)
    };
    let sum = |x: usize, y: usize, channel: usize| {
        let (tile, run, lane) = at(x, y);
        tile.sums[channel * PLANE + run][lane]
    };
    let through = |x: usize, y: usize| {
        let (tile, ..) = at(x, y);
        tile.light.through(y % SIDE, x % SIDE)
    };
    let rows = |map: &mut [f32], width_of_map: usize, skip: usize, first: usize, taken: usize| {
        map.par_chunks_mut((width * width_of_map).max(1)).enumerate().for_each(|(y, row)| {
            for (x, pixel) in row.chunks_exact_mut(width_of_map).enumerate() {
                for (channel, value) in pixel[skip..skip + taken].iter_mut().enumerate() {
                    *value = sum(x, y, first + channel);
                }
            }
        });
    };
    let mut first = 0;
    if own.colour {
        rows(&mut raster.colour, 3, 0, first, 3);
        first += 3;
    }
    if own.depth {
        rows(&mut raster.depth, 1, 0, first, 1);
        first += 1;
    }
    if own.normals {
        rows(&mut raster.normals, 3, 0, first, 3);
        first += 3;
    }
    if !channels.values.is_empty() {
        let dim_of_map = raster.values.len() / (raster.alpha.len()).max(1);
        rows(&mut raster.values, dim_of_map, channels.values.start, first, channels.values.len());
    }
    if !is_first {
        return;
    }
    raster.alpha.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        row.iter_mut().enumerate().for_each(|(x, value)| *value = 1.0 - through(x, y));
    });
    if own.depth {
        // Σ w z becomes the expected depth.
        raster.depth.par_iter_mut().zip(&raster.alpha).for_each(|(depth, alpha)| {
            *depth = if *alpha > 0.0 { *depth / alpha } else { 0.0 };
        });
    }
    raster.median_depth.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, value) in row.iter_mut().enumerate() {
            let (tile, run, lane) = at(x, y);
            *value = tile.median[run][lane];
        }
    });
    raster.count.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, value) in row.iter_mut().enumerate() {
            let (tile, run, lane) = at(x, y);
            *value = tile.count[run][lane];
        }
    });
}
