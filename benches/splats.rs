//! How long the Splats lens's own computations take on the processor: `cargo bench --bench splats`.
//!
//! On a cloud of 100 000 Gaussians around the origin seen in 1280 × 720 pixels, of which most are a few pixels large.
//! `scripts/bench splats` times scenes from files, and beside other programs.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops at the first surprise")]

use divan::Bencher;
use glam::DVec3;
use glassbox::splats::camera::Camera;
use glassbox::splats::gaussians::{Gaussians, Parts};
use glassbox::splats::io::{self, OpenOptions};
use glassbox::splats::lift::{FeatureMap, Lift};
use glassbox::splats::projection::Filter;
use glassbox::splats::raster::{Channels, RasterRequest, Values};
use glassbox::splats::{Unobserved, tiles};

fn main() {
    divan::main();
}

const COUNT: usize = 100_000;

/// A number from 0 to 1 for each place and purpose: an integer hash (Mueller's constants), the same on every machine.
fn draw(at: usize, purpose: usize) -> f32 {
    let mut x = (at as u32).wrapping_mul(31).wrapping_add(purpose as u32 * 7_919) ^ 0x9e37_79b9;
    x = (x ^ (x >> 16)).wrapping_mul(0x045d_9f3b);
    x = (x ^ (x >> 16)).wrapping_mul(0x045d_9f3b);
    (x ^ (x >> 16)) as f32 / u32::MAX as f32
}

fn scene() -> Gaussians {
    let wide = |at: usize, purpose: usize| 2.0 * draw(at, purpose) - 1.0;
    Gaussians::new(Parts {
        positions: (0..COUNT).map(|at| [2.0 * wide(at, 0), 1.2 * wide(at, 1), 2.0 * wide(at, 2)]).collect(),
        log_scales: (0..COUNT).map(|at| std::array::from_fn(|axis| -4.6 + wide(at, 3 + axis))).collect(),
        rotations: (0..COUNT).map(|at| [1.0, wide(at, 6), wide(at, 7), wide(at, 8)]).collect(),
        opacity_logits: (0..COUNT).map(|at| 3.0 * wide(at, 9)).collect(),
        sh_degree: 1,
        sh: (0..COUNT * 12).map(|at| wide(at, 10)).collect(),
        ..Parts::default()
    })
    .unwrap()
}

fn camera() -> Camera {
    Camera::look_at(DVec3::new(0.5, -1.0, -4.5), DVec3::ZERO, DVec3::NEG_Y, 0.8, (1280, 720)).unwrap()
}

/// A frame of so many channels of numbers, or of colours.
fn frame(bencher: Bencher<'_, '_>, dim: Option<usize>) {
    let (scene, camera) = (scene(), camera());
    let values: Vec<f32> = (0..COUNT * dim.unwrap_or(0)).map(|at| draw(at, 11)).collect();
    let values = dim.map(|dim| Values { dim, values: &values });
    let channels = Channels { colour: values.is_none(), values, ..Channels::default() };
    let request = RasterRequest { channels, ..RasterRequest::colour(&scene, &camera) };
    bencher.bench_local(|| tiles::render(&scene, &request, &Unobserved).unwrap());
}

#[divan::bench(sample_count = 20)]
fn colour_frame(bencher: Bencher<'_, '_>) {
    frame(bencher, None);
}

#[divan::bench(sample_count = 20)]
fn four_channels_as_for_pca(bencher: Bencher<'_, '_>) {
    frame(bencher, Some(4));
}

#[divan::bench(sample_count = 20)]
fn twelve_channels_as_for_clusters(bencher: Bencher<'_, '_>) {
    frame(bencher, Some(12));
}

#[divan::bench(sample_count = 10)]
fn lifting_384_channels_of_a_view(bencher: Bencher<'_, '_>) {
    let (scene, camera) = (scene(), camera());
    let (rows, columns, dim) = (36, 64, 384);
    let values: Vec<f32> = (0..rows * columns * dim).map(|at| draw(at, 12)).collect();
    let (across, down) = ((64.0 / 1280.0, 0.0), (36.0 / 720.0, 0.0));
    let map = FeatureMap { rows, columns, dim, values: &values, across, down };
    let mut lift = Lift::new(&scene, dim);
    bencher.bench_local(|| lift.add(&camera, Filter::Classic, &map, &Unobserved).unwrap());
}

#[divan::bench(sample_count = 10)]
fn opening_a_ply_file(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.ply");
    io::save(&path, &scene(), &Unobserved).unwrap();
    bencher.bench_local(|| io::open(&path, &OpenOptions::default(), &Unobserved).unwrap().scene.len());
}
