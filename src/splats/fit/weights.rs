//! The blending weights of one view as a sparse matrix: what every Gaussian adds to every pixel. Geometry does not change
//! while features are fitted, so a view's features are this matrix times those of the Gaussians, and their gradient is its
//! transpose times that of the pixels.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::ops::cpu::arch;
use crate::splats::camera::Camera;
use crate::splats::gaussians::Gaussians;
use crate::splats::projection::Filter;
use crate::splats::raster::{Channels, RasterRequest};
use crate::splats::tiles::bins::{Bins, Tiles, batches};
use crate::splats::tiles::blend::{LANES, Lanes, Light, RUNS, SIDE, Sink, blend};
use crate::splats::tiles::frame::{Drawn, Frame};
use crate::splats::{SplatError, SplatObserver};

/// Weights by pixel, and the same by Gaussian.
#[derive(Debug, Default)]
pub(super) struct ViewWeights {
    /// Width and height in pixels.
    pub(super) size: (usize, usize),
    by_pixel: Sparse,
    by_gaussian: Sparse,
    /// The Gaussians that are seen; row i of `by_gaussian` is that of `seen[i]`.
    seen: Vec<u32>,
    /// Σ w of each pixel.
    pub(super) alpha: Vec<f32>,
}

/// Rows of (place, weight).
#[derive(Debug, Default)]
struct Sparse {
    starts: Vec<u32>,
    entries: Vec<(u32, f32)>,
}

impl Sparse {
    /// Sorts (row, place, weight) by row; those of one row keep their order.
    fn new(rows: usize, all: &[(u32, u32, f32)]) -> Self {
        let mut starts = vec![0u32; rows + 1];
        for (row, ..) in all {
            starts[*row as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut places = starts.clone();
        let mut entries = vec![(0, 0.0); all.len()];
        for (row, place, weight) in all {
            let at = &mut places[*row as usize];
            entries[*at as usize] = (*place, *weight);
            *at += 1;
        }
        Self { starts, entries }
    }

    fn row(&self, row: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

impl ViewWeights {
    /// The weights of a view.
    ///
    /// # Errors
    /// [`SplatError::Camera`], or the observer's wish to stop.
    pub(super) fn new(
        scene: &Gaussians,
        camera: &Camera,
        filter: Filter,
        observer: &dyn SplatObserver,
    ) -> Result<Self, SplatError> {
        let request = RasterRequest { camera, filter, sh_degree: 0, channels: Channels::default(), visible: None };
        request.check(scene)?;
        let frame = Frame::new(scene, &request);
        let tiles = Tiles::of(&frame);
        let corner = |tile: usize| (tile % tiles.columns * SIDE, tile / tiles.columns * SIDE);
        let light = |tile: usize| {
            let (column, row) = corner(tile);
            Light::new(frame.width - column, frame.height - row)
        };
        let mut lights: Vec<Light> = (0..tiles.count()).map(light).collect();
        let mut all: Vec<(u32, u32, f32)> = Vec::new();
        for batch in batches(&frame, tiles) {
            let bins = Bins::new(&frame, tiles, batch, &|tile| lights[tile].finished);
            let found = lights.par_iter_mut().enumerate().map(|(tile, light)| {
                observer.checkpoint()?;
                let sink = Weights { frame: &frame, corner: corner(tile), gaussian: 0, found: Vec::new() };
                let slots = Finding { drawn: &frame.drawn, bins: &bins, tile, light, sink };
                Ok(arch().dispatch(slots))
            });
            let found: Result<Vec<_>, SplatError> = found.collect();
            all.extend(found?.into_iter().flatten());
        }
        let by_pixel = Sparse::new(frame.width * frame.height, &all);
        // By Gaussian: those that are seen get rows of their own.
        let mut rows = vec![u32::MAX; scene.len()];
        let mut seen = Vec::new();
        for (pixel, gaussian, _) in &mut all {
            let row = &mut rows[*gaussian as usize];
            if *row == u32::MAX {
                *row = seen.len() as u32;
                seen.push(*gaussian);
            }
            (*pixel, *gaussian) = (*row, *pixel);
        }
        let by_gaussian = Sparse::new(seen.len(), &all);
        let alpha = (0..frame.width * frame.height)
            .map(|pixel| by_pixel.row(pixel).iter().map(|(_, weight)| weight).sum())
            .collect();
        Ok(Self { size: (frame.width, frame.height), by_pixel, by_gaussian, seen, alpha })
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        8 * (self.by_pixel.entries.len() + self.by_gaussian.entries.len() + self.alpha.len()) as u64
    }

    /// Σ w f of every pixel, `[pixels, dim]`, of the Gaussians' features `[n, dim]`.
    pub(super) fn blend(&self, features: &[f32], dim: usize) -> Vec<f32> {
        let mut map = vec![0.0; self.alpha.len() * dim];
        map.par_chunks_mut(dim).enumerate().for_each(|(pixel, sums)| {
            for (gaussian, weight) in self.by_pixel.row(pixel) {
                let values = &features[*gaussian as usize * dim..][..dim];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            }
        });
        map
    }

    /// The Gaussians that are seen and the gradients of their features, `[seen, dim]`, from that of the map
    /// `[pixels, dim]`.
    pub(super) fn gradient(&self, map: &[f32], dim: usize) -> (&[u32], Vec<f32>) {
        let mut gradient = vec![0.0; self.seen.len() * dim];
        gradient.par_chunks_mut(dim).enumerate().for_each(|(row, sums)| {
            for (pixel, weight) in self.by_gaussian.row(row) {
                let values = &map[*pixel as usize * dim..][..dim];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            }
        });
        (&self.seen, gradient)
    }
}

/// Takes the weights of a tile as they are: pixel, Gaussian, weight.
struct Weights<'a> {
    frame: &'a Frame,
    corner: (usize, usize),
    gaussian: u32,
    found: Vec<(u32, u32, f32)>,
}

impl Sink for Weights<'_> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.gaussian = self.frame.drawn[slot as usize].index;
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, _: &Lanes, _: &Lanes) {
        let first = (self.corner.1 + run / RUNS) * self.frame.width + self.corner.0 + run % RUNS * LANES;
        for (lane, weight) in weights.iter().enumerate() {
            if *weight > 0.0 {
                self.found.push(((first + lane) as u32, self.gaussian, *weight));
            }
        }
    }
}

/// One tile of one batch, for the processor's vectors.
struct Finding<'a> {
    drawn: &'a [Drawn],
    bins: &'a Bins,
    tile: usize,
    light: &'a mut Light,
    sink: Weights<'a>,
}

impl WithSimd for Finding<'_> {
    type Output = Vec<(u32, u32, f32)>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Self { drawn, bins, tile, light, mut sink } = self;
        blend(drawn, bins.of(tile), sink.corner, light, &mut sink);
        sink.found
    }
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;
    use crate::splats::Unobserved;
    use crate::splats::raster::Values;
    use crate::splats::tiles::{render, tests::cloud};

    #[test]
    fn blending_by_them_is_drawing_and_the_gradient_is_the_transpose() {
        let scene = cloud(300, 0, 5);
        let camera = Camera::look_at(DVec3::new(1.0, -2.0, -4.0), DVec3::ZERO, DVec3::NEG_Y, 0.9, (75, 50)).unwrap();
        let weights = ViewWeights::new(&scene, &camera, Filter::Classic, &Unobserved).unwrap();
        let features = scene.features().unwrap();
        let map = weights.blend(&features.values, features.dim);
        let values = Values { dim: features.dim, values: &features.values };
        let channels = Channels { values: Some(values), ..Channels::default() };
        let request = RasterRequest { channels, ..RasterRequest::colour(&scene, &camera) };
        let drawn = render(&scene, &request, &Unobserved).unwrap();
        assert!(map.iter().zip(&drawn.values).all(|(a, b)| (a - b).abs() < 1e-4));
        assert!(weights.alpha.iter().zip(&drawn.alpha).all(|(a, b)| (a - b).abs() < 1e-4));
        // ⟨W f, g⟩ = ⟨f, Wᵀ g⟩.
        let g: Vec<f32> = (0..map.len()).map(|at| ((at * 31) % 17) as f32 - 8.0).collect();
        let (seen, gradient) = weights.gradient(&g, features.dim);
        let one: f64 = map.iter().zip(&g).map(|(a, b)| f64::from(a * b)).sum();
        let rows = seen.iter().zip(gradient.chunks_exact(features.dim));
        let other: f64 = rows
            .flat_map(|(gaussian, row)| features.of(*gaussian as usize).iter().zip(row))
            .map(|(a, b)| f64::from(a * b))
            .sum();
        assert!((one - other).abs() < 1e-3 * one.abs().max(1.0), "{one} {other}");
        assert!(seen.len() > 100);
    }
}
