//! How long the Ask lens's own computations take: `cargo bench --bench ask`.
//!
//! At the shapes of the published 7B model: 32 heads of 128, a prompt of 640 tokens, 5184 high-resolution tokens.
//! `scripts/bench ask --against torch` times whole answers of a random model beside the published Python.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops at the first surprise")]

use candle_core::{Device, Tensor};
use divan::Bencher;
use glassbox::ask::dual_resolution::{Preprocessing, Squaring};
use glassbox::ask::selection::{PaddingStrips, SelectionRule};
use glassbox::ask::settings::RegionUse;
use glassbox::nets::llama::LlamaConfig;
use glassbox::nets::llama::high_resolution::interpolated_tables;
use glassbox::ops::bilinear::shrink_antialiased;
use glassbox::ops::row_attention::{Beside, row_attention};
use image::RgbImage;

fn main() {
    divan::main();
}

/// Numbers that repeat after a while and are the same on every machine.
fn waves(shape: (usize, usize, usize, usize)) -> Tensor {
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    let values = (0..count).map(|i| ((i % 9973) as f32 * 0.37).sin()).collect::<Vec<_>>();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The last row over a prompt of 640 tokens and so many high-resolution ones.
#[divan::bench(args = [0, 512, 5184])]
fn last_row_of_a_layer(bencher: Bencher<'_, '_>, high: usize) {
    let q = waves((1, 32, 1, 128));
    let (k, v) = (waves((1, 32, 768, 128)), waves((1, 32, 768, 128)));
    let (k, v) = (k.narrow(2, 0, 640).unwrap(), v.narrow(2, 0, 640).unwrap());
    let beside = waves((1, 32, 5184, 128));
    let runs = (0..high / 64).map(|cell| cell * 64..(cell + 1) * 64).collect::<Vec<_>>();
    bencher.bench_local(|| {
        let beside = Beside { keys: &beside, values: &beside, runs: &runs };
        row_attention(&q, &k, &v, 0.088, Some(&beside)).unwrap().beside.len()
    });
}

#[divan::bench]
fn selection_of_a_layer(bencher: Bencher<'_, '_>) {
    let rule = SelectionRule { low_grid: 24, high_grid: 72, cells: 9, threshold: 48.0 };
    let attention = (0..576).map(|i| 1.0 / (1.0 + (i as f32 - 300.0).abs())).collect::<Vec<_>>();
    bencher.bench_local(|| rule.select(&attention, PaddingStrips { rows: 5, columns: 0 }).count());
}

#[divan::bench(sample_count = 20)]
fn rotary_tables_of_5184_tokens(bencher: Bencher<'_, '_>) {
    let frequencies = LlamaConfig::default().frequencies().unwrap();
    bencher.bench_local(|| interpolated_tables(&frequencies, 35, 24, 72).unwrap().0.len());
}

#[divan::bench(sample_count = 10)]
fn a_photo_of_12_megapixels_to_both_sizes(bencher: Bencher<'_, '_>) {
    let photo =
        RgbImage::from_fn(4000, 3000, |x, y| image::Rgb([(x / 16) as u8, (y / 12) as u8, ((x * y) >> 16) as u8]));
    let preprocessing = Preprocessing {
        squaring: Squaring::Pad,
        high_size: 1008,
        low_size: 336,
        low_grid: 24,
        mean: [0.48, 0.46, 0.41],
        deviation: [0.27, 0.26, 0.28],
    };
    bencher.bench_local(|| {
        let prepared = preprocessing.prepare(&photo, &RegionUse::Everything).unwrap();
        shrink_antialiased(&prepared.input, 336, 336).unwrap().elem_count()
    });
}
