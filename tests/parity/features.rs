//! The Features lens: backbones through their own files against timm, maps against the paper's recipe.

use candle_core::Tensor;
use glassbox::features::extract::{Backbone, ExtractSettings, input};
use glassbox::features::kmeans::{Clustering, KmeansSettings};
use glassbox::features::pca::{Basis, Colouring, RangeRule, Sample};
use glassbox::features::{FeatureGrid, Placement};
use glassbox::nets::watcher::Unwatched;
use glassbox::ops::device::Compute;
use glassbox::packs::backbone::{BackboneFolder, BackboneOptions, Normalisation};
use glassbox::picture::resize::{Fit, SizeRequest, plan};
use glassbox::trace::Trace;
use image::RgbImage;

use crate::fixtures::{folders, path, relative_l2, tensors, values};

/// The most that tokens in f32 may stray from timm's.
const TOLERANCE: f64 = 1e-4;

fn picture(tensor: &Tensor) -> RgbImage {
    let (height, width, _) = tensor.dims3().expect("a picture");
    let bytes = tensor.flatten_all().expect("bytes").to_vec1::<u8>().expect("bytes");
    RgbImage::from_raw(width as u32, height as u32, bytes).expect("a picture")
}

/// Looks at every picture of a fixture at its own size; the worst distance of its patch tokens from timm's.
fn worst_distance(folder: &BackboneFolder, io: &str) -> f64 {
    let backbone = Backbone::load(folder, &Compute::cpu()).expect("a backbone");
    let io = tensors(io);
    let prefix = backbone.config().prefix();
    let settings = ExtractSettings { size: Some(SizeRequest::Source), ..ExtractSettings::default() };
    let mut worst = 0f64;
    for index in 0.. {
        let Some(bytes) = io.get(&format!("picture.{index}")) else {
            assert!(index > 0, "no pictures");
            break;
        };
        let mut trace = Trace::collecting();
        let found = backbone.extract(&picture(bytes), &settings, None, &mut trace, &Unwatched).expect("features");
        let wanted = &io[&format!("tokens.{index}")];
        let patches = wanted.narrow(0, prefix, wanted.dim(0).expect("rows") - prefix).expect("patches");
        let traced = trace.tensors().expect("a trace");
        assert_eq!(traced["tokens"].dims(), patches.dims());
        assert_eq!(values(&traced["grid"]), [found.placement.rows as f32, found.placement.columns as f32]);
        assert_eq!(traced["input"].dims()[2..], [bytes.dims()[0], bytes.dims()[1]]);
        let layer = &found.layers[0];
        worst = worst.max(relative_l2(layer.patches.tokens(), &values(&patches)));
        if let Some(class) = &layer.class {
            worst = worst.max(relative_l2(class, &values(&wanted.narrow(0, 0, 1).expect("the class token"))));
        }
        assert_eq!(layer.registers.len(), backbone.config().registers);
    }
    worst
}

#[test]
fn backbones_in_their_own_files_give_timms_tokens() {
    for name in folders("vit").iter().filter(|name| !name.contains('.')) {
        let folder = BackboneFolder::open(&path(&format!("vit/{name}"))).expect("a timm folder");
        let distance = worst_distance(&folder, &format!("vit/{name}/io.safetensors"));
        println!("{name}: relative L2 {distance:.1e}");
        assert!(distance <= TOLERANCE, "{name} strays by {distance:.1e}");
        let left = folder.strangers();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

/// DINOv2 and DINOv3 as the transformers library and Meta publish them, by the same loader.
#[test]
fn other_libraries_layouts_give_their_tokens() {
    let names = folders("vit_layouts");
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let folder = BackboneFolder::open(&path(&format!("vit_layouts/{name}"))).expect("a backbone");
        let distance = worst_distance(&folder, &format!("vit_layouts/{name}/io.safetensors"));
        println!("{name}: relative L2 {distance:.1e}");
        assert!(distance <= TOLERANCE, "{name} strays by {distance:.1e}");
        // Every tensor counts, the mask of biases and the periods too.
        assert!(folder.weights.unused().is_empty(), "{name}: {:?}", folder.weights.unused());
    }
}

#[test]
fn a_flat_fit3d_pickle_needs_no_config() {
    let cache = tempfile::tempdir().expect("a folder");
    let options = BackboneOptions { cache: Some(cache.path().to_path_buf()), ..BackboneOptions::default() };
    let folder = BackboneFolder::open_with(&path("vit/fit3d.pth"), &options).expect("a pickle");
    let distance = worst_distance(&folder, "vit/fit3d.io.safetensors");
    println!("fit3d.pth: relative L2 {distance:.1e}");
    assert!(distance <= TOLERANCE, "{distance:.1e}");
}

#[test]
fn a_picture_is_brought_to_whole_patches_as_torch_does() {
    let io = tensors("features.safetensors");
    let picture = picture(&io["resize.picture"]);
    let plan = plan(picture.dimensions(), SizeRequest::Source, Fit::Squash, 14).expect("a plan");
    let found = input(&picture, &plan, true, &Normalisation::IMAGENET).expect("an input");
    assert_eq!(found.dims(), io["resize.input"].dims());
    let distance = relative_l2(&values(&found), &values(&io["resize.input"]));
    println!("input: relative L2 {distance:.1e}");
    assert!(distance < 1e-6, "{distance:.1e}");
}

/// The fixture's grid, or its first rows.
fn grid(rows: Option<usize>) -> FeatureGrid {
    let io = tensors("features.safetensors");
    let shape = io["shape"].to_vec1::<i64>().expect("a shape");
    let (height, width) = (rows.unwrap_or(shape[0] as usize), shape[1] as usize);
    let plan = plan((width as u32, height as u32), SizeRequest::Source, Fit::Squash, 1).expect("a plan");
    let dim = io["tokens"].dim(1).expect("a width");
    let tokens = values(&io["tokens"]);
    FeatureGrid::new(Placement::new(&plan, 1), dim, &tokens[..height * width * dim]).expect("a grid")
}

#[test]
fn the_papers_pca_map_is_scikit_learns() {
    let io = tensors("features.safetensors");
    let grid = grid(None);
    let basis = Basis::fit(&[Sample::all(&grid)], 3, &Unwatched).expect("a basis");
    let found: Vec<f32> = (0..3).flat_map(|component| basis.component(component).to_vec()).collect();
    // Signs included: each component's largest loading is positive in both.
    let components = relative_l2(&found, &values(&io["pca.components"]));
    let explained = relative_l2(&basis.explained(), &values(&io["pca.explained"]));
    let scores = basis.project(&grid).expect("scores");
    let columns: Vec<Vec<f32>> = (0..3).map(|component| scores.component(component)).collect();
    let rows: Vec<f32> =
        (0..grid.patches()).flat_map(|patch| columns.iter().map(move |column| column[patch])).collect();
    let distance = relative_l2(&rows, &values(&io["pca.scores"]));
    println!("components {components:.1e}, explained {explained:.1e}, scores {distance:.1e}");
    assert!(components < 1e-4 && explained < 1e-5 && distance < 1e-4);
    let map = Colouring::fit(&[(&scores, None)], [0, 1, 2], RangeRule::Joint).paint(&scores, None);
    let wanted = picture(&io["pca.map"]);
    assert_eq!(map.dimensions(), wanted.dimensions());
    // Cutting off instead of rounding may fall either way at a whole number.
    let apart = map.iter().zip(wanted.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart <= Some(1), "{apart:?}");
}

#[test]
fn a_basis_of_several_grids_is_that_of_all_their_patches() {
    let io = tensors("features.safetensors");
    let (whole, half) = (grid(None), grid(Some(6)));
    let samples = [Sample::all(&whole), Sample::all(&half)];
    let basis = Basis::fit(&samples, 3, &Unwatched).expect("a basis");
    let scores = basis.project(&half).expect("scores");
    let columns: Vec<Vec<f32>> = (0..3).map(|component| scores.component(component)).collect();
    let rows: Vec<f32> =
        (0..half.patches()).flat_map(|patch| columns.iter().map(move |column| column[patch])).collect();
    let distance = relative_l2(&rows, &values(&io["shared.scores"]));
    assert!(distance < 1e-4, "{distance:.1e}");
}

#[test]
fn the_papers_clusters_from_the_same_starts_are_the_same() {
    let io = tensors("features.safetensors");
    let grid = grid(None);
    let starts: Vec<Vec<usize>> = io["kmeans.starts"]
        .to_vec2::<i64>()
        .expect("starts")
        .into_iter()
        .map(|start| start.into_iter().map(|at| at as usize).collect())
        .collect();
    let found = Clustering::from_starts(&[&grid], &starts, 100, &Unwatched).expect("clusters");
    let wanted = io["kmeans.labels"].to_vec1::<i64>().expect("labels");
    // The same parts; only their numbers differ (ours are ordered by size).
    let mut names = std::collections::HashMap::new();
    for (ours, theirs) in found.labels(0).iter().zip(&wanted) {
        assert_eq!(names.entry(*ours).or_insert(*theirs), theirs);
    }
    assert_eq!(names.len(), found.clusters());
    let spread = f64::from(values(&io["kmeans.spread"])[0]);
    assert!((found.spread() / spread - 1.0).abs() < 1e-4, "{} {spread}", found.spread());
    // Our own starts end as well, and near what scikit-learn's Euclidean k-means reaches.
    let euclidean = f64::from(values(&io["euclidean.spread"])[0]);
    for settings in [KmeansSettings::paper(), KmeansSettings::default()] {
        let own = KmeansSettings { clusters: found.clusters(), ..settings };
        let own = Clustering::fit(&[&grid], &own, &Unwatched).expect("clusters");
        println!("{:?}: spread {:.5e}, theirs {spread:.5e}, euclidean {euclidean:.5e}", settings.start, own.spread());
        assert!(own.spread() < 1.06 * euclidean);
    }
}
