//! The parts of the maps that belong to one tile each, so that tiles are written as they are done.

use super::bins::Tiles;
use super::blend::{LANES, RUNS, SIDE};
use super::maps::{ChannelsOfPass, Tile};
use crate::splats::raster::Raster;

/// A tile's part of one map: the pixels of each of its rows.
type Window<'a, T> = Vec<&'a mut [T]>;

/// A tile's part of all maps. Maps that are not wanted have no rows.
#[derive(Default)]
pub(super) struct Place<'a> {
    colour: Window<'a, f32>,
    alpha: Window<'a, f32>,
    depth: Window<'a, f32>,
    median_depth: Window<'a, f32>,
    normals: Window<'a, f32>,
    count: Window<'a, u32>,
    values: Window<'a, f32>,
    dim: usize,
}

/// Cuts the maps of a pass into the tiles' parts.
pub(super) fn places<'a>(raster: &'a mut Raster, tiles: Tiles, is_first: bool) -> Vec<Place<'a>> {
    let width = raster.width;
    let dim = raster.values.len() / raster.alpha.len().max(1);
    let mut places: Vec<Place<'a>> = (0..tiles.count()).map(|_| Place { dim, ..Place::default() }).collect();
    cut(&mut raster.values, width, dim, tiles, &mut places, |place| &mut place.values);
    if is_first {
        cut(&mut raster.colour, width, 3, tiles, &mut places, |place| &mut place.colour);
        cut(&mut raster.alpha, width, 1, tiles, &mut places, |place| &mut place.alpha);
        cut(&mut raster.depth, width, 1, tiles, &mut places, |place| &mut place.depth);
        cut(&mut raster.median_depth, width, 1, tiles, &mut places, |place| &mut place.median_depth);
        cut(&mut raster.normals, width, 3, tiles, &mut places, |place| &mut place.normals);
        cut(&mut raster.count, width, 1, tiles, &mut places, |place| &mut place.count);
    }
    places
}

fn cut<'a, T>(
    map: &'a mut [T],
    width: usize,
    dim: usize,
    tiles: Tiles,
    places: &mut [Place<'a>],
    window: impl for<'p> Fn(&'p mut Place<'a>) -> &'p mut Window<'a, T>,
) {
    for (y, row) in map.chunks_exact_mut((width * dim).max(1)).enumerate() {
        let places = &mut places[y / SIDE * tiles.columns..][..tiles.columns];
        for (pixels, place) in row.chunks_mut(SIDE * dim).zip(places) {
            window(place).push(pixels);
        }
    }
}

impl Place<'_> {
    /// Takes what a tile has summed.
    pub(super) fn take(&mut self, channels: &ChannelsOfPass, tile: &Tile) {
        let (own, dim) = (channels.own, channels.dim());
        let mut first = 0;
        let mut sums = |window: &mut Window<'_, f32>, dim_of_map: usize, skip: usize, taken: usize| {
            each_run(window, dim_of_map, |run, pixels| {
                let sums = &tile.sums[run * dim + first..][..taken];
                for (lane, pixel) in pixels.chunks_exact_mut(dim_of_map).enumerate() {
                    for (value, sum) in pixel[skip..skip + taken].iter_mut().zip(sums) {
                        *value = sum[lane];
                    }
                }
            });
            first += taken;
        };
        if own.colour {
            sums(&mut self.colour, 3, 0, 3);
        }
        if own.depth {
            sums(&mut self.depth, 1, 0, 1);
        }
        if own.normals {
            sums(&mut self.normals, 3, 0, 3);
        }
        if !channels.values.is_empty() {
            sums(&mut self.values, self.dim, channels.values.start, channels.values.len());
        }
        let alpha = |run: usize| tile.light.through(run).map(|through| 1.0 - through);
        each_run(&mut self.alpha, 1, |run, pixels| {
            pixels.iter_mut().zip(alpha(run)).for_each(|(pixel, alpha)| *pixel = alpha);
        });
        // Σ w z becomes the expected depth.
        each_run(&mut self.depth, 1, |run, pixels| {
            for (depth, alpha) in pixels.iter_mut().zip(alpha(run)) {
                *depth = if alpha > 0.0 { *depth / alpha } else { 0.0 };
            }
        });
        each_run(&mut self.median_depth, 1, |run, pixels| {
            pixels.copy_from_slice(&tile.median[run][..pixels.len()]);
        });
        each_run(&mut self.count, 1, |run, pixels| pixels.copy_from_slice(&tile.count[run][..pixels.len()]));
    }
}

/// Calls `fill` with the pixels of each run: eight, or fewer at the picture's border.
fn each_run<T>(window: &mut Window<'_, T>, dim: usize, mut fill: impl FnMut(usize, &mut [T])) {
    for (row, pixels) in window.iter_mut().enumerate() {
        for (place, pixels) in pixels.chunks_mut(LANES * dim).enumerate() {
            fill(row * RUNS + place, pixels);
        }
    }
}
