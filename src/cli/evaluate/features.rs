//! `glassbox evaluate features`: what is in a backbone's patch tokens, on rendered scenes that no training has seen.
//!
//! A linear reading is fitted on half of the scenes and tested on the other half: the class that a patch mostly shows
//! (logistic regression; mean intersection over union over the classes the test scenes have) and its distance (ridge
//! regression on the natural logarithm of metres, patches that are mostly sky left out; RMSE). Beside it, how far
//! K-means clusters of each test scene agree with its parts (adjusted Rand index, as many clusters as parts, one start
//! of k-means++ with a fixed seed). The same for a network of the same shape with random weights, and for the pixels of
//! a patch themselves.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use clap::Args;
use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use serde_json::json;

use super::super::progress::Foreground;
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob};
use crate::features::extract::ExtractSettings;
use crate::features::kmeans::{Clustering, KmeansSettings, MIN_CLUSTERS};
use crate::features::probe::{ClassProbe, ValueProbe};
use crate::features::scores::{Confusion, adjusted_rand, rmse};
use crate::features::{FeatureGrid, Placement};
use crate::nets::watcher::Unwatched;
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::backbone::BackboneFolder;
use crate::packs::store::Store;
use crate::picture::resize::{Fit, SizeRequest};
use crate::world::evaluation::FIRST_SEED;
use crate::world::look::Part;
use crate::world::render::{Renderer, Truth};
use crate::world::scene::Scene;

/// A part that covers less than this share of a scene's patches is not counted among its clusters.
const LEAST_PART: f64 = 0.01;

/// The evaluation of a backbone.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvaluateFeatures {
    /// How many unseen scenes; one half is for fitting, the other for testing.
    #[arg(long, default_value_t = 100, value_name = "N")]
    scenes: u64,
    /// The backbone: a pack, a model, a timm folder, or a checkpoint.
    #[arg(long, default_value = "starter", value_name = "NAME|DIR")]
    model: String,
    /// The layer: 1 is the first block, -1 the last.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    layer: i64,
    /// Side of the square scenes, in pixels; also the size the model looks at, floored to whole patches.
    #[arg(long, default_value_t = 448, value_name = "PIXELS")]
    size: u32,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// A scene with its truth.
struct Case {
    picture: Arc<RgbImage>,
    truth: Truth,
}

/// What the patches of a scene show.
#[derive(Debug, PartialEq)]
struct Labels {
    /// The class that most of a patch shows.
    class: Vec<u8>,
    /// Mean natural logarithm of metres; `None` where most of a patch is sky.
    log_depth: Vec<Option<f32>>,
}

/// What is measured of one kind of features.
struct Measured {
    name: String,
    mean_iou: f64,
    accuracy: f64,
    depth: f64,
    rand: f64,
    ious: Vec<Option<f64>>,
}

/// Runs `glassbox evaluate features …`.
///
/// # Errors
/// If the backbone is missing or fails.
pub(super) fn run(args: &EvaluateFeatures) -> Result<()> {
    if args.scenes < 2 {
        bail!("at least two scenes are needed: one to fit on, one to test on");
    }
    if !(32..=2048).contains(&args.size) {
        bail!("the size must lie between 32 and 2048 pixels");
    }
    let store = Store::open()?;
    let model = BackboneChoice::find(&store, &args.model, DeviceChoice::Auto, Precision::Auto)?;
    let untrained = tempfile::tempdir().context("no folder for the untrained network can be made")?;
    randomised(&BackboneFolder::open(&model.path)?, untrained.path())?;
    let blank = BackboneChoice { name: "untrained".into(), path: untrained.path().to_path_buf(), ..model.clone() };
    let side = args.size as usize;
    let cases: Vec<Case> = (0..args.scenes).into_par_iter().filter_map(|at| case(FIRST_SEED + at, side)).collect();
    writeln!(std::io::stderr(), "{} scenes rendered", cases.len())?;
    let foreground = Foreground::start(true)?;
    let settings = ExtractSettings {
        size: Some(SizeRequest::LongerSide(args.size)),
        fit: Fit::Squash,
        layers: vec![args.layer],
        ..ExtractSettings::default()
    };
    let look = |backbone: &BackboneChoice| -> Result<Vec<FeatureGrid>> {
        let grid = |case: &Case| -> Result<FeatureGrid> {
            let (picture, backbone) = (Arc::clone(&case.picture), backbone.clone());
            let job = FeaturesJob { picture, backbone, settings: settings.clone(), cache: None, trace: false };
            Ok(foreground.run(job)?.layers.pop().context("the model gave no layer")?.patches)
        };
        cases.iter().map(grid).collect()
    };
    let mut all = Vec::new();
    let trained = look(&model)?;
    let labels: Vec<Labels> = trained.iter().zip(&cases).map(|(grid, case)| truth_of(grid.placement(), case)).collect();
    let pixels =
        trained.iter().zip(&cases).map(|(grid, case)| pixels(grid.placement(), case)).collect::<Result<_>>()?;
    for (name, grids) in [(args.model.clone(), trained), ("untrained".into(), look(&blank)?), ("pixels".into(), pixels)]
    {
        all.push(measure(name, &grids, &labels)?);
        writeln!(std::io::stderr(), "{} of 3 measured", all.len())?;
    }
    report(args, &all)
}

/// The scene of a seed from its own camera under its own look.
fn case(seed: u64, side: usize) -> Option<Case> {
    let scene = Scene::new(seed);
    let mut renderer = Renderer::new(&scene, &scene.camera, side, side);
    let picture = renderer.render(&scene.look);
    let picture = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb)?;
    Some(Case { picture: Arc::new(picture), truth: renderer.truth(&scene.look) })
}

/// The pixels (row-major indices) of every patch.
fn patches(placement: &Placement, width: usize, height: usize) -> Vec<Vec<usize>> {
    let span = |low: f64, high: f64, most: usize| {
        let first = (low.round() as usize).min(most.saturating_sub(1));
        first..(high.round() as usize).clamp(first + 1, most)
    };
    let pixels = |row: usize, column: usize| -> Vec<usize> {
        let [left, top, right, bottom] = placement.patch_box(row, column);
        let across = span(left, right, width);
        span(top, bottom, height).flat_map(|y| across.clone().map(move |x| y * width + x)).collect()
    };
    (0..placement.rows).flat_map(|row| (0..placement.columns).map(move |column| pixels(row, column))).collect()
}

fn truth_of(placement: &Placement, case: &Case) -> Labels {
    let truth = &case.truth;
    let (mut class, mut log_depth) = (Vec::new(), Vec::new());
    for pixels in patches(placement, truth.width, truth.height) {
        let mut counts = [0_usize; Part::COUNT];
        pixels.iter().filter_map(|pixel| truth.class.get(*pixel)).for_each(|class| counts[usize::from(*class)] += 1);
        let most = (0..Part::COUNT).rev().max_by_key(|class| counts[*class]).unwrap_or(0);
        class.push(most as u8);
        let logs: Vec<f32> = pixels.iter().map(|pixel| truth.depth[*pixel]).filter(|d| *d > 0.0).map(f32::ln).collect();
        log_depth.push((2 * logs.len() > pixels.len()).then(|| logs.iter().sum::<f32>() / logs.len() as f32));
    }
    Labels { class, log_depth }
}

/// The pixels of each patch as features.
fn pixels(placement: &Placement, case: &Case) -> Result<FeatureGrid> {
    let side = placement.patch;
    let (width, height) = placement.plan.working;
    let picture = image::imageops::resize(&*case.picture, width, height, image::imageops::FilterType::Triangle);
    let value = |row: usize, column: usize, at: u32| {
        let (x, y) = (column as u32 * side + at % side, row as u32 * side + at / side);
        picture.get_pixel(x.min(width - 1), y.min(height - 1)).0.map(|byte| f32::from(byte) / 255.0)
    };
    let tokens: Vec<f32> = (0..placement.rows)
        .flat_map(|row| (0..placement.columns).map(move |column| (row, column)))
        .flat_map(|(row, column)| (0..side * side).flat_map(move |at| value(row, column, at)).collect::<Vec<_>>())
        .collect();
    Ok(FeatureGrid::new(placement.clone(), (3 * side * side) as usize, tokens)?)
}

/// Writes a network of the same shape with random weights: matrices and tables with timm's deviation of 0.02, the patch
/// embedding as a convolution is usually begun, norms and scales one, biases zero.
fn randomised(like: &BackboneFolder, folder: &Path) -> Result<()> {
    let mut draw = ChaCha8Rng::seed_from_u64(1);
    // A sum of twelve uniform numbers has nearly a normal distribution of deviation 1.
    let mut normal = |deviation: f32| deviation * ((0..12).map(|_| draw.random::<f32>()).sum::<f32>() - 6.0);
    let mut tensors = std::collections::HashMap::new();
    for (name, shape) in like.shapes() {
        let count: usize = shape.iter().product();
        let inputs: usize = shape.iter().skip(1).product();
        let values: Vec<f32> = if name.starts_with("patch_embed") && shape.len() == 4 {
            (0..count).map(|_| normal((inputs.max(1) as f32).sqrt().recip())).collect()
        } else if shape.len() > 1 {
            (0..count).map(|_| normal(0.02)).collect()
        } else {
            vec![if name.ends_with("bias") { 0.0 } else { 1.0 }; count]
        };
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors"))?;
    if !like.config.is_null() {
        std::fs::write(folder.join("config.json"), like.config.to_string())?;
    }
    Ok(())
}

fn measure(name: String, grids: &[FeatureGrid], labels: &[Labels]) -> Result<Measured> {
    // Every other scene, so that both halves have scenes of every kind.
    let tokens = |half: usize, keep: &dyn Fn(&Labels, usize) -> bool| -> Vec<f32> {
        let of_half = grids.iter().zip(labels).skip(half).step_by(2);
        of_half
            .flat_map(|(grid, labels)| (0..grid.patches()).filter(|p| keep(labels, *p)).flat_map(|p| grid.token(p)))
            .copied()
            .collect()
    };
    let classes = |half: usize| -> Vec<u8> {
        labels.iter().skip(half).step_by(2).flat_map(|labels| labels.class.iter().copied()).collect()
    };
    let depths = |half: usize| -> Vec<f32> {
        labels.iter().skip(half).step_by(2).flat_map(|labels| labels.log_depth.iter().copied().flatten()).collect()
    };
    let dim = grids.first().map_or(1, FeatureGrid::dim);
    let every = |_: &Labels, _: usize| true;
    let probe = ClassProbe::fit(&tokens(0, &every), dim, &classes(0), Part::COUNT)?;
    let confusion = Confusion::of(&classes(1), &probe.classes(&tokens(1, &every), dim)?, Part::COUNT);
    let solid = |labels: &Labels, patch: usize| labels.log_depth[patch].is_some();
    let probe = ValueProbe::fit(&tokens(0, &solid), dim, &depths(0))?;
    let depth = rmse(&depths(1), &probe.values(&tokens(1, &solid), dim)?);
    let tested = grids.iter().zip(labels).skip(1).step_by(2);
    let rands = tested.map(|(grid, labels)| agreement(grid, labels)).collect::<Result<Vec<f64>>>()?;
    Ok(Measured {
        name,
        mean_iou: confusion.mean_iou(),
        accuracy: confusion.accuracy(),
        depth,
        rand: rands.iter().sum::<f64>() / rands.len().max(1) as f64,
        ious: confusion.ious(),
    })
}

/// How far clusters of one scene follow its parts.
fn agreement(grid: &FeatureGrid, labels: &Labels) -> Result<f64> {
    let least = (LEAST_PART * grid.patches() as f64) as usize;
    let parts = (0..Part::COUNT).filter(|part| count(&labels.class, *part) > least).count().max(MIN_CLUSTERS);
    let settings = KmeansSettings { clusters: parts, restarts: 1, ..KmeansSettings::default() };
    let clustering = Clustering::fit(&[grid], &settings, &Unwatched)?;
    let parts: Vec<u16> = labels.class.iter().map(|class| u16::from(*class)).collect();
    Ok(adjusted_rand(clustering.labels(0), &parts))
}

fn count(classes: &[u8], part: usize) -> usize {
    classes.iter().filter(|class| usize::from(**class) == part).count()
}

fn report(args: &EvaluateFeatures, all: &[Measured]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows = all.iter().map(|m| {
            let parts: serde_json::Map<String, serde_json::Value> =
                Part::ALL.iter().zip(&m.ious).map(|(part, iou)| (part.name().to_owned(), json!(iou))).collect();
            json!({
                "features": m.name, "mean_iou": m.mean_iou, "accuracy": m.accuracy, "log_depth_rmse": m.depth,
                "cluster_rand": m.rand, "iou": parts,
            })
        });
        let head = json!({ "scenes": args.scenes, "size": args.size, "layer": args.layer, "model": args.model });
        writeln!(out, "{}", json!({ "run": head, "features": rows.collect::<Vec<_>>() }))?;
        return Ok(());
    }
    writeln!(
        out,
        "{} scenes of {} pixels, half to fit and half to test\n\n{:<24} {:>9} {:>9} {:>20} {:>13}",
        args.scenes, args.size, "features", "mean IoU", "accuracy", "log-distance RMSE", "clusters, ARI"
    )?;
    for m in all {
        writeln!(out, "{:<24} {:>9.3} {:>9.3} {:>20.3} {:>13.3}", m.name, m.mean_iou, m.accuracy, m.depth, m.rand)?;
    }
    if let Some(first) = all.first() {
        let ious = Part::ALL.iter().zip(&first.ious).filter_map(|(part, iou)| Some((part.name(), (*iou)?)));
        let ious: Vec<String> = ious.map(|(name, iou)| format!("{name} {iou:.2}")).collect();
        writeln!(out, "\nIoU of {}: {}", first.name, ious.join(", "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::plan;

    fn placement(side: u32, patch: u32) -> Placement {
        Placement::new(&plan((side, side), SizeRequest::LongerSide(side), Fit::Squash, patch).unwrap(), patch)
    }

    /// Two by two patches of two pixels: sky; road at e metres; half sky, half a wall; a wall at one metre.
    fn made() -> Case {
        let (s, r, w) = (Part::Sky as u8, Part::Road as u8, Part::Wall as u8);
        let e = std::f32::consts::E;
        let class = vec![s, s, r, r, s, s, r, s, s, s, w, w, w, w, w, w];
        let depth = vec![0.0, 0.0, e, e, 0.0, 0.0, e, 0.0, 0.0, 0.0, 1.0, 1.0, 9.0, 9.0, 1.0, 1.0];
        let picture = RgbImage::from_fn(4, 4, |x, y| image::Rgb([(y * 4 + x) as u8 * 15, 0, 255]));
        let (normal, object) = (vec![0.0; 48], vec![0; 16]);
        Case { picture: Arc::new(picture), truth: Truth { width: 4, height: 4, depth, normal, object, class } }
    }

    #[test]
    fn patches_get_their_commonest_class_and_their_mean_distance() {
        let labels = truth_of(&placement(4, 2), &made());
        assert_eq!(labels.class, [Part::Sky as u8, Part::Road as u8, Part::Sky as u8, Part::Wall as u8]);
        let rounded: Vec<Option<i32>> = labels.log_depth.iter().map(|d| d.map(|d| (1e5 * d).round() as i32)).collect();
        assert_eq!(rounded, [None, Some(100_000), None, Some(0)]);
    }

    #[test]
    fn a_patchs_pixels_are_its_own() {
        let grid = pixels(&placement(4, 2), &made()).unwrap();
        let reds: Vec<u8> = grid.token(1).chunks_exact(3).map(|p| (p[0] * 17.0).round() as u8).collect();
        assert_eq!((grid.dim(), reds), (12, vec![2, 3, 6, 7]));
        assert!(grid.token(3).chunks_exact(3).all(|p| p[2] == 1.0 && p[1] == 0.0));
    }

    #[test]
    fn features_that_are_the_truth_score_fully_and_constant_ones_do_not() {
        let labels: Vec<Labels> = (0..4)
            .map(|scene| {
                let class: Vec<u8> = (0..64).map(|p| ((p / 8 + scene) % 4) as u8).collect();
                let log_depth = class.iter().map(|class| (*class > 0).then(|| f32::from(*class))).collect();
                Labels { class, log_depth }
            })
            .collect();
        let grid = |tokens: &dyn Fn(usize, u8) -> Vec<f32>| -> Vec<FeatureGrid> {
            let of =
                |l: &Labels| l.class.iter().enumerate().flat_map(|(p, class)| tokens(p, *class)).collect::<Vec<_>>();
            labels.iter().map(|l| FeatureGrid::new(placement(16, 2), 4, of(l)).unwrap()).collect()
        };
        let truth = grid(&|_, class| (0..4).map(|c| f32::from(u8::from(c == class))).collect());
        let best = measure("truth".into(), &truth, &labels).unwrap();
        assert!(
            best.mean_iou > 0.999 && best.accuracy > 0.999 && best.depth < 0.02,
            "{} {}",
            best.mean_iou,
            best.depth
        );
        assert!(best.rand > 0.6, "{}", best.rand);
        // Features that only tell where a patch lies across a row tell nothing about these classes.
        let place = grid(&|p, _| vec![(p % 8) as f32, ((p % 8) as f32).sin(), 1.0, 0.0]);
        let blind = measure("place".into(), &place, &labels).unwrap();
        assert!(blind.mean_iou < 0.2 && blind.depth > 0.7 && blind.rand < 0.1, "{} {}", blind.mean_iou, blind.depth);
    }

    #[test]
    fn a_random_network_has_the_shape_of_its_model() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit/dinov2");
        let like = BackboneFolder::open(&fixture).unwrap();
        let folder = tempfile::tempdir().unwrap();
        randomised(&like, folder.path()).unwrap();
        let made = BackboneFolder::open(folder.path()).unwrap();
        assert_eq!((made.shapes(), &made.config), (like.shapes(), &like.config));
    }
}
