//! How long the Features lens's own computations take: `cargo bench --bench features`.
//!
//! On a grid of 37 × 37 patches of width 384, what DINOv2-S gives for 518 × 518 pixels, and for a pass of the starter
//! backbone on a sample picture. `scripts/bench features --against torch` times the same beside PyTorch and scikit-learn.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops at the first surprise")]

use std::path::Path;

use divan::Bencher;
use glassbox::features::extract::{Backbone, ExtractSettings};
use glassbox::features::kmeans::{Clustering, KmeansSettings};
use glassbox::features::pca::{Basis, Colouring, RangeRule, Sample};
use glassbox::features::similarity::to_patch;
use glassbox::features::upsample::{Upsampling, values};
use glassbox::features::{FeatureGrid, Placement};
use glassbox::nets::watcher::Unwatched;
use glassbox::ops::device::Compute;
use glassbox::packs::backbone::BackboneFolder;
use glassbox::picture::resize::{Fit, SizeRequest, plan};
use glassbox::trace::Trace;
use image::RgbImage;

fn main() {
    divan::main();
}

/// Patches around a few dozen centres, as features of a picture lie.
fn grid() -> FeatureGrid {
    let plan = plan((518, 518), SizeRequest::Source, Fit::Squash, 14).unwrap();
    let place = Placement::new(&plan, 14);
    let (patches, dim) = (place.patches(), 384);
    let noise = |at: usize| {
        // An integer hash (Mueller's constants): the same numbers on every machine.
        let mut x = at as u32 ^ 0x9e37_79b9;
        x = (x ^ (x >> 16)).wrapping_mul(0x045d_9f3b);
        x = (x ^ (x >> 16)).wrapping_mul(0x045d_9f3b);
        (x ^ (x >> 16)) as f32 / u32::MAX as f32 - 0.5
    };
    let tokens: Vec<f32> = (0..patches * dim)
        .map(|at| {
            let (patch, channel) = (at / dim, at % dim);
            let centre = (patch / 37 / 6) * 7 + patch % 37 / 6;
            4.0 * noise(centre * dim + channel + 7_000_000) + noise(at)
        })
        .collect();
    FeatureGrid::new(place, dim, tokens).unwrap()
}

#[divan::bench]
fn pca_map_of_1369_patches(bencher: Bencher<'_, '_>) {
    let grid = grid();
    bencher.bench_local(|| {
        let basis = Basis::fit(&[Sample::all(&grid)], 3, &Unwatched).unwrap();
        let scores = basis.project(&grid).unwrap();
        Colouring::fit(&[(&scores, None)], [0, 1, 2], RangeRule::Joint).paint(&scores, None)
    });
}

#[divan::bench(sample_count = 20)]
fn kmeans_of_20_clusters_with_8_starts(bencher: Bencher<'_, '_>) {
    let grid = grid();
    bencher.bench_local(|| Clustering::fit(&[&grid], &KmeansSettings::paper(), &Unwatched).unwrap());
}

#[divan::bench]
fn similarity_under_the_pointer(bencher: Bencher<'_, '_>) {
    let grid = grid();
    bencher.bench_local(|| to_patch(&grid, 18, 20).unwrap());
}

#[divan::bench(sample_count = 10)]
fn upsampling_along_edges_to_1600_by_1200(bencher: Bencher<'_, '_>) {
    let grid = grid();
    let guide = RgbImage::from_fn(1600, 1200, |x, y| image::Rgb([(x / 7) as u8, (y / 5) as u8, ((x * y) >> 9) as u8]));
    bencher.bench_local(|| values(grid.norms(), grid.placement(), (1600, 1200), Upsampling::Edges, Some(&guide)));
}

#[divan::bench(sample_count = 10)]
fn starter_backbone_on_a_sample_picture(bencher: Bencher<'_, '_>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = BackboneFolder::open(&root.join("assets/starter/backbone")).unwrap();
    let backbone = Backbone::load(&folder, &Compute::cpu()).unwrap();
    let picture = image::open(root.join("assets/samples/lake-village.png")).unwrap().to_rgb8();
    let settings = ExtractSettings::default();
    bencher.bench_local(|| {
        backbone.extract(&picture, &settings, None, &mut Trace::default(), &Unwatched).unwrap().layers.len()
    });
}
