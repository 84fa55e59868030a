//! Holds vision transformers of full size against timm, by hand:
//!
//!     python tests/reference/full_size_vit.py FOLDER
//!     cargo run --release --example full_size_vit -- FOLDER
//!
//! Tells for every model whether all tensors are taken and how far the tokens are from timm's (relative L2 in f32), and
//! prints the seconds of a pass, of a PCA and a K-means map of its features and of a similarity map, one a line: model,
//! what, seconds (the median of several runs after a first one). The starter backbone's pass comes last.
//! `scripts/bench features --against torch` runs this beside the reference.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use glassbox::features::extract::{Backbone, ExtractSettings};
use glassbox::features::kmeans::{Clustering, KmeansSettings};
use glassbox::features::pca::{Basis, Colouring, RangeRule, Sample};
use glassbox::features::similarity::to_patch;
use glassbox::nets::watcher::Unwatched;
use glassbox::ops::device::Compute;
use glassbox::packs::backbone::BackboneFolder;
use glassbox::picture::resize::SizeRequest;
use glassbox::trace::Trace;
use image::RgbImage;

fn main() -> Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).context("usage: full_size_vit FOLDER")?);
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&root)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
    folders.sort();
    folders
        .into_iter()
        .filter(|folder| folder.join("io.safetensors").is_file())
        .try_for_each(|folder| compare(&folder))?;
    starter()
}

/// A pass of the backbone that comes with the program, on a sample picture at the size it was trained at.
fn starter() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let backbone = Backbone::load(&BackboneFolder::open(&root.join("starter/backbone"))?, &Compute::cpu())?;
    let picture = image::open(root.join("samples/lake-village.png"))?.to_rgb8();
    let pass = seconds(3, || {
        backbone.extract(&picture, &ExtractSettings::default(), None, &mut Trace::default(), &Unwatched)?;
        Ok(())
    })?;
    tell("starter", "pass", pass);
    Ok(())
}

/// One figure, for a program to read.
#[allow(clippy::print_stdout, reason = "it is what the example is for")]
fn tell(model: &str, what: &str, seconds: f64) {
    println!("{model} {what} {seconds:.6}");
}

fn compare(path: &Path) -> Result<()> {
    let folder = BackboneFolder::open(&path.join("model.safetensors"))?;
    let start = Instant::now();
    let backbone = Backbone::load(&folder, &Compute::cpu())?;
    let opened = start.elapsed().as_secs_f64();
    let (all, left) = (folder.weights.names().count(), folder.weights.unused());
    eprintln!(
        "{}: {} of {all} tensors taken, left over: {left:?}, opened in {opened:.2} s",
        path.display(),
        all - left.len()
    );
    let io = candle_core::safetensors::load(path.join("io.safetensors"), &Device::Cpu)?;
    let picture = picture(&io["picture"])?;
    let settings = ExtractSettings { size: Some(SizeRequest::Source), ..ExtractSettings::default() };
    let mut found = None;
    let pass = seconds(3, || {
        found = Some(backbone.extract(&picture, &settings, None, &mut Trace::default(), &Unwatched)?);
        Ok(())
    })?;
    let grid = found.and_then(|mut found| found.layers.pop()).context("no layer")?.patches;
    let wanted = io["tokens"].to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
    let difference = square(&mut grid.tokens().iter().zip(&wanted).map(|(a, b)| a - b));
    let relative = (difference / square(&mut wanted.iter().copied())).sqrt();
    eprintln!("  {} patches of {}: relative L2 {relative:.1e}", grid.patches(), grid.dim());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    tell(&name, "pass", pass);
    let pca = seconds(5, || {
        let basis = Basis::fit(&[Sample::all(&grid)], 3, &Unwatched)?;
        let scores = basis.project(&grid)?;
        let map = Colouring::fit(&[(&scores, None)], [0, 1, 2], RangeRule::Joint).paint(&scores, None);
        anyhow::ensure!(map.width() > 0, "an empty map");
        Ok(())
    })?;
    let kmeans = seconds(3, || Ok(Clustering::fit(&[&grid], &KmeansSettings::paper(), &Unwatched).map(drop)?))?;
    let hover = seconds(20, || to_patch(&grid, 3, 3).map(drop).context("no patch"))?;
    for (what, seconds) in [("pca", pca), ("kmeans", kmeans), ("similarity", hover)] {
        tell(&name, what, seconds);
    }
    anyhow::ensure!(relative <= 1e-4, "{} strays by {relative:.1e}", path.display());
    Ok(())
}

/// The median of several runs, after one that warms up.
fn seconds(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut all = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().context("no run")
}

fn picture(bytes: &Tensor) -> Result<RgbImage> {
    let (height, width, _) = bytes.dims3()?;
    RgbImage::from_raw(u32::try_from(width)?, u32::try_from(height)?, bytes.flatten_all()?.to_vec1()?)
        .context("the picture has another size")
}
