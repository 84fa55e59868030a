//! Lifting: features of photographs put onto the Gaussians that the photographs show.
//!
//! In closed form (spec/splats.md section 4.4): a Gaussian's feature is the mean of what all views have where it is seen,
//! weighted with how much it adds to each pixel, f_i = Σ w_ip F_p / Σ w_ip. The maps are coarse grids, between whose cells
//! F_p is interpolated, so the weights of a Gaussian are first summed for each cell and only these sums meet the features:
//! exactly the same mean at the cost of a few cells instead of all pixels. The numbers are the same whatever the number
//! of threads.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::camera::Camera;
use super::gaussians::{Features, Gaussians};
use super::projection::Filter;
use super::raster::{Channels, RasterRequest};
use super::tiles::bins::{Bins, Tiles, batches};
use super::tiles::blend::{LANES, Lanes, Light, RUNS, SIDE, Sink, blend};
use super::tiles::frame::{Drawn, Frame};
use super::{SplatError, SplatObserver};
use crate::ops::cpu::arch;

/// Pixels that a cell of the map has across where a view is drawn for lifting; fewer if its camera has fewer.
const PIXELS_A_CELL: f64 = 8.0;

/// A map of features over a picture: cell (row, column) has its middle at grid position (column + ½, row + ½), and
/// between the middles the features change evenly.
#[derive(Clone, Copy, Debug)]
pub struct FeatureMap<'a> {
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// Channels.
    pub dim: usize,
    /// `[rows, columns, dim]`.
    pub values: &'a [f32],
    /// Grid position of a picture's x: `x · across.0 + across.1`, in pixels of the camera that belongs to it.
    pub across: (f64, f64),
    /// Grid position of a picture's y.
    pub down: (f64, f64),
}

/// Sums of features on their way to a scene.
#[derive(Debug)]
pub struct Lift<'a> {
    scene: &'a Gaussians,
    dim: usize,
    /// Σ w F, `[n, dim]`.
    sums: Vec<f32>,
    /// Σ w, `[n]`, in pixels of the pictures.
    weights: Vec<f32>,
}

/// A cell of the map that a Gaussian is seen in.
#[derive(Clone, Copy, Debug)]
struct Seen {
    gaussian: u32,
    cell: u32,
    weight: f32,
}

impl<'a> Lift<'a> {
    /// Nothing lifted yet, for features of `dim` channels.
    #[must_use]
    pub fn new(scene: &'a Gaussians, dim: usize) -> Self {
        Self { scene, dim, sums: vec![0.0; scene.len() * dim], weights: vec![0.0; scene.len()] }
    }

    /// Bytes that lifting `dim` channels onto `count` Gaussians takes.
    #[must_use]
    pub fn bytes(count: usize, dim: usize) -> u64 {
        (count as u64).saturating_mul(4 * (2 * dim as u64 + 1))
    }

    /// Adds what one photograph shows.
    ///
    /// # Errors
    /// [`SplatError::Request`] if the map is no map of the right width, [`SplatError::Camera`], or the observer's wish to
    /// stop; nothing is added then.
    pub fn add(
        &mut self,
        camera: &Camera,
        filter: Filter,
        map: &FeatureMap<'_>,
        observer: &dyn SplatObserver,
    ) -> Result<(), SplatError> {
        let cells = map.rows * map.columns;
        if map.dim != self.dim || cells == 0 || cells * map.dim != map.values.len() || cells > u32::MAX as usize {
            return Err(SplatError::Request(format!(
                "a map of {} × {} cells with {} values cannot be lifted to {} channels",
                map.columns,
                map.rows,
                map.values.len(),
                self.dim
            )));
        }
        let (small, map) = working(camera, map, PIXELS_A_CELL)?;
        let seen = cells_seen(self.scene, &small, filter, &map, observer)?;
        // Weights count pixels of the photograph.
        let pixels =
            f64::from(camera.width) * f64::from(camera.height) / (f64::from(small.width) * f64::from(small.height));
        self.sum(&seen, &map, pixels as f32);
        Ok(())
    }

    /// Adds the cells' features, Gaussian by Gaussian.
    fn sum(&mut self, seen: &[Seen], map: &FeatureMap<'_>, pixels: f32) {
        // Sorted by Gaussian by counting, those of one Gaussian in the order in which they were found.
        let mut starts = vec![0u32; self.scene.len() + 1];
        for one in seen {
            starts[one.gaussian as usize + 1] += 1;
        }
        for index in 0..self.scene.len() {
            starts[index + 1] += starts[index];
        }
        let mut places = starts.clone();
        let mut sorted = vec![(0u32, 0f32); seen.len()];
        for one in seen {
            let place = &mut places[one.gaussian as usize];
            sorted[*place as usize] = (one.cell, one.weight);
            *place += 1;
        }
        let dim = self.dim;
        self.sums.par_chunks_mut(dim).zip(&mut self.weights).enumerate().for_each(|(index, (sums, total))| {
            for (cell, weight) in &sorted[starts[index] as usize..starts[index + 1] as usize] {
                let weight = weight * pixels;
                let values = &map.values[*cell as usize * dim..][..dim];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
                *total += weight;
            }
        });
    }

    /// Σ w of every Gaussian so far, `[n]`, in pixels of the photographs.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The means; zero for Gaussians that no photograph shows. Their confidence is Σ w.
    #[must_use]
    pub fn finish(mut self) -> Features {
        self.sums.par_chunks_mut(self.dim).zip(&self.weights).for_each(|(sums, weight)| {
            if *weight > 0.0 {
                sums.iter_mut().for_each(|sum| *sum /= weight);
            }
        });
        Features { confidence: self.weights, ..Features::named("feature", self.dim, self.sums) }
    }
}

/// The camera in a size that has so many pixels for each of the map's cells, and the map over that size.
pub(super) fn working<'m>(
    camera: &Camera,
    map: &FeatureMap<'m>,
    pixels_a_cell: f64,
) -> Result<(Camera, FeatureMap<'m>), SplatError> {
    let across = pixels_a_cell * map.across.0.abs();
    let down = pixels_a_cell * map.down.0.abs();
    let scale = across.max(down).clamp(0.0, 1.0);
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    let small = camera.resized((side(camera.width), side(camera.height)))?;
    // Where a pixel of the small picture lies in the large one.
    let back = |axis: usize| {
        let zoom = camera.focal[axis] / small.focal[axis];
        (zoom, camera.principal[axis] - small.principal[axis] * zoom)
    };
    let over = |(scale, shift): (f64, f64), (zoom, moved): (f64, f64)| (scale * zoom, scale * moved + shift);
    Ok((small, FeatureMap { across: over(map.across, back(0)), down: over(map.down, back(1)), ..*map }))
}

/// What a map shows at a pixel, `[dim]`.
pub(super) fn sample(map: &FeatureMap<'_>, (x, y): (usize, usize), out: &mut [f32]) {
    let along = |pixel: usize, (scale, shift): (f64, f64), cells: usize| {
        let place = (pixel as f64 + 0.5).mul_add(scale, shift - 0.5).clamp(0.0, cells as f64 - 1.0);
        (place.floor() as usize, place.ceil() as usize, place.fract() as f32)
    };
    let (left, right, u) = along(x, map.across, map.columns);
    let (above, below, v) = along(y, map.down, map.rows);
    let cell = |row: usize, column: usize| &map.values[(row * map.columns + column) * map.dim..][..map.dim];
    let corners = [
        (cell(above, left), (1.0 - u) * (1.0 - v)),
        (cell(above, right), u * (1.0 - v)),
        (cell(below, left), (1.0 - u) * v),
        (cell(below, right), u * v),
    ];
    out.fill(0.0);
    for (cell, share) in corners {
        out.iter_mut().zip(cell).for_each(|(out, value)| *out += share * value);
    }
}

/// The weights of all Gaussians, summed for each cell, tile after tile.
fn cells_seen(
    scene: &Gaussians,
    camera: &Camera,
    filter: Filter,
    map: &FeatureMap<'_>,
    observer: &dyn SplatObserver,
) -> Result<Vec<Seen>, SplatError> {
    let channels = Channels::default();
    let request = RasterRequest { camera, filter, sh_degree: 0, channels, visible: None };
    request.check(scene)?;
    let frame = Frame::new(scene, &request);
    let tiles = Tiles::of(&frame);
    let mut lights: Vec<Light> = (0..tiles.count())
        .map(|tile| {
            let (column, row) = (tile % tiles.columns * SIDE, tile / tiles.columns * SIDE);
            Light::new(frame.width - column, frame.height - row)
        })
        .collect();
    let mut all = Vec::new();
    for batch in batches(&frame, tiles) {
        let bins = Bins::new(&frame, tiles, batch, &|tile| lights[tile].finished);
        let found = lights.par_iter_mut().enumerate().map(|(tile, light)| {
            observer.checkpoint()?;
            let corner = (tile % tiles.columns * SIDE, tile / tiles.columns * SIDE);
            let mut sink = Cells::new(map, corner, &frame);
            arch().dispatch(Finding { drawn: &frame.drawn, bins: &bins, tile, corner, light, sink: &mut sink });
            Ok(sink.found)
        });
        let found: Result<Vec<Vec<Seen>>, SplatError> = found.collect();
        all.extend(found?.into_iter().flatten());
    }
    Ok(all)
}

/// One tile of one batch, for the processor's vectors.
struct Finding<'a, 'b> {
    drawn: &'a [Drawn],
    bins: &'a Bins,
    tile: usize,
    corner: (usize, usize),
    light: &'a mut Light,
    sink: &'a mut Cells<'b>,
}

impl WithSimd for Finding<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { drawn, bins, tile, corner, light, sink } = self;
        blend(drawn, bins.of(tile), corner, light, sink);
    }
}

/// The two cells whose middles a pixel lies between along one side, from the tile's first cell, and the share of the
/// second.
#[derive(Clone, Copy, Debug, Default)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// Where the pixels of a tile lie between cells along one side; the cell that they are counted from, and how many there
/// are. Beyond the outermost middles the outermost cells go on.
fn between(corner: usize, (scale, shift): (f64, f64), cells: usize) -> ([Between; SIDE], usize, usize) {
    let last = cells as f64 - 1.0;
    let places: [f64; SIDE] =
        std::array::from_fn(|pixel| ((corner + pixel) as f64 + 0.5).mul_add(scale, shift - 0.5).clamp(0.0, last));
    let least = places.iter().fold(last, |least, place| least.min(*place)).floor() as usize;
    let most = places.iter().fold(0.0f64, |most, place| most.max(*place)).ceil() as usize;
    let of = |place: f64| {
        let first = place.floor();
        Between {
            first: first as usize - least,
            second: (place.ceil() as usize) - least,
            share: (place - first) as f32,
        }
    };
    (places.map(of), least, most - least + 1)
}

/// Sums weights for each cell.
struct Cells<'a> {
    frame: &'a Frame,
    columns_of_map: usize,
    across: [Between; SIDE],
    down: [Between; SIDE],
    /// The tile's first cell, column and row, and its cells in a row.
    first: (usize, usize),
    columns: usize,
    sums: Vec<f32>,
    gaussian: u32,
    found: Vec<Seen>,
}

impl<'a> Cells<'a> {
    fn new(map: &FeatureMap<'_>, corner: (usize, usize), frame: &'a Frame) -> Self {
        let (across, first_column, columns) = between(corner.0, map.across, map.columns);
        let (down, first_row, rows) = between(corner.1, map.down, map.rows);
        Self {
            frame,
            columns_of_map: map.columns,
            across,
            down,
            first: (first_column, first_row),
            columns,
            sums: vec![0.0; columns * rows],
            gaussian: 0,
            found: Vec::new(),
        }
    }
}

impl Sink for Cells<'_> {
    #[inline(always)]
    fn begin(&mut self, slot: u32) {
        self.gaussian = self.frame.drawn[slot as usize].index;
        self.sums.fill(0.0);
    }

    #[inline(always)]
    fn take(&mut self, run: usize, weights: &Lanes, _: &Lanes, _: &Lanes) {
        let down = self.down[run / RUNS];
        let across = &self.across[run % RUNS * LANES..][..LANES];
        for (weight, across) in weights.iter().zip(across) {
            if *weight > 0.0 {
                let (above, below) = (weight * (1.0 - down.share), weight * down.share);
                for (row, weight) in [(down.first, above), (down.second, below)] {
                    self.sums[row * self.columns + across.first] += weight * (1.0 - across.share);
                    self.sums[row * self.columns + across.second] += weight * across.share;
                }
            }
        }
    }

    #[inline(always)]
    fn end(&mut self) {
        for (at, weight) in self.sums.iter().enumerate() {
            if *weight > 0.0 {
                let (column, row) = (self.first.0 + at % self.columns, self.first.1 + at / self.columns);
                let cell = (row * self.columns_of_map + column) as u32;
                self.found.push(Seen { gaussian: self.gaussian, cell, weight: *weight });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;
    use crate::splats::Unobserved;
    use crate::splats::raster::Values;
    use crate::splats::tiles::{render, tests::cloud};

    fn camera(eye: DVec3) -> Camera {
        Camera::look_at(eye, DVec3::ZERO, DVec3::NEG_Y, 0.9, (80, 56)).unwrap()
    }

    /// A map of 10 × 7 cells of 8 pixels.
    fn map(values: &[f32], dim: usize) -> FeatureMap<'_> {
        FeatureMap { rows: 7, columns: 10, dim, values, across: (0.125, 0.0), down: (0.125, 0.0) }
    }

    /// Between the middles of cells, as a picture would be enlarged.
    fn sample(map: &FeatureMap<'_>, x: f64, y: f64, channel: usize) -> f64 {
        let along = |at: f64, cells: usize| {
            let place = (at * 0.125 - 0.5).clamp(0.0, cells as f64 - 1.0);
            (place.floor() as usize, place.ceil() as usize, place.fract())
        };
        let (x0, x1, u) = along(x, map.columns);
        let (y0, y1, v) = along(y, map.rows);
        let at = |row: usize, column: usize| f64::from(map.values[(row * map.columns + column) * map.dim + channel]);
        (1.0 - v) * ((1.0 - u) * at(y0, x0) + u * at(y0, x1)) + v * ((1.0 - u) * at(y1, x0) + u * at(y1, x1))
    }

    #[test]
    fn it_is_the_mean_weighted_by_what_each_gaussian_adds_to_each_pixel() {
        let scene = cloud(40, 0, 21);
        let dim = 3;
        let values: Vec<f32> = (0..70 * dim).map(|index| ((index * 37 % 101) as f32) * 0.1 - 3.0).collect();
        let map = map(&values, dim);
        let mut lift = Lift::new(&scene, dim);
        let (mut sums, mut weights) = (vec![0f64; 40 * dim], vec![0f64; 40]);
        for eye in [DVec3::new(1.0, -2.0, -4.0), DVec3::new(-3.0, 0.5, 2.0)] {
            let camera = camera(eye);
            lift.add(&camera, Filter::Classic, &map, &Unobserved).unwrap();
            // One channel a Gaussian: the blended values are the weights themselves.
            let identity: Vec<f32> = (0..1600).map(|at| if at % 41 == 0 { 1.0 } else { 0.0 }).collect();
            let channels = Channels { values: Some(Values { dim: 40, values: &identity }), ..Channels::default() };
            let request = RasterRequest { channels, ..RasterRequest::colour(&scene, &camera) };
            let found = render(&scene, &request, &Unobserved).unwrap();
            for (pixel, shares) in found.values.chunks_exact(40).enumerate() {
                let (x, y) = ((pixel % 80) as f64 + 0.5, (pixel / 80) as f64 + 0.5);
                for (gaussian, share) in shares.iter().enumerate() {
                    weights[gaussian] += f64::from(*share);
                    for channel in 0..dim {
                        sums[gaussian * dim + channel] += f64::from(*share) * sample(&map, x, y, channel);
                    }
                }
            }
        }
        let found = lift.finish();
        for gaussian in 0..40 {
            assert!(
                (f64::from(found.confidence[gaussian]) - weights[gaussian]).abs() < 1e-4 * (1.0 + weights[gaussian])
            );
            for channel in 0..dim {
                let wanted =
                    if weights[gaussian] > 0.0 { sums[gaussian * dim + channel] / weights[gaussian] } else { 0.0 };
                let found = f64::from(found.of(gaussian)[channel]);
                assert!((found - wanted).abs() < 1e-4, "{gaussian}: {found} {wanted}");
            }
        }
        assert!(weights.iter().filter(|weight| **weight > 1.0).count() > 10);
    }

    #[test]
    fn threads_change_nothing() {
        let scene = cloud(300, 0, 22);
        let values: Vec<f32> = (0..700).map(|index| index as f32).collect();
        let lifted = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut lift = Lift::new(&scene, 10);
                let camera = camera(DVec3::new(0.0, -1.0, -4.0));
                lift.add(&camera, Filter::Classic, &map(&values, 10), &Unobserved).unwrap();
                lift.finish()
            })
        };
        assert_eq!(lifted(1), lifted(3));
    }

    #[test]
    fn large_photographs_are_drawn_as_small_as_their_maps_allow() {
        let scene = cloud(30, 0, 23);
        let values = vec![2.0; 70];
        let camera = camera(DVec3::new(0.0, -1.0, -4.0));
        let large = camera.resized((1600, 1120)).unwrap();
        let map = map(&values, 1);
        let over = FeatureMap { across: (0.125 / 20.0, 0.0), down: (0.125 / 20.0, 0.0), ..map };
        let (small, moved) = working(&large, &over, PIXELS_A_CELL).unwrap();
        assert_eq!((small.width, small.height), (80, 56));
        assert!((moved.across.0 - 0.125).abs() < 1e-12 && moved.down.1.abs() < 1e-9);
        let mut lift = Lift::new(&scene, 1);
        lift.add(&large, Filter::Classic, &over, &Unobserved).unwrap();
        let found = lift.finish();
        assert!(
            found
                .values
                .iter()
                .zip(&found.confidence)
                .all(|(value, weight)| *weight == 0.0 || (value - 2.0).abs() < 1e-5)
        );
        assert!(Lift::new(&scene, 2).add(&large, Filter::Classic, &over, &Unobserved).is_err());
    }
}
