use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor};
use serde_json::json;

use super::*;
use crate::nets::parity::relative_l2;
use crate::nets::vit::{Resampling, VitError};
use crate::nets::watcher::{Cancelled, Unwatched};
use crate::packs::depth::{DepthAnythingFolder, DepthFolder};

/// The most that a network in f32 may stray from the reference.
const TOLERANCE: f64 = 1e-4;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/depth_anything")
}

fn load(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture().join(file), &Device::Cpu).unwrap()
}

fn open(path: &Path) -> DepthAnythingFolder {
    match DepthFolder::open(path).unwrap() {
        DepthFolder::DepthAnything(folder) => folder,
        DepthFolder::Head(_) => panic!("{} is no head", path.display()),
    }
}

fn network(folder: &DepthAnythingFolder, config: &DepthAnythingConfig) -> DepthAnything {
    DepthAnything::load(config, &folder.weights.var_builder(&Device::Cpu, DType::F32)).unwrap()
}

fn config(folder: &DepthAnythingFolder, resampling: Resampling) -> std::result::Result<DepthAnythingConfig, VitError> {
    DepthAnythingConfig::of(&folder.config, &folder.backbone, &folder.shapes(), resampling)
}

fn pixels(picture: &Tensor) -> Tensor {
    let row = |numbers: [f32; 3]| Tensor::new(&numbers, &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap();
    let picture = picture.to_dtype(DType::F32).unwrap().permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap();
    let (mean, std) = (row([0.485, 0.456, 0.406]), row([0.229, 0.224, 0.225]));
    (picture / 255.0).unwrap().broadcast_sub(&mean).unwrap().broadcast_div(&std).unwrap()
}

/// How far the maps of both pictures are from the reference's of that name, at the worst.
fn worst(network: &DepthAnything, name: &str) -> f64 {
    let io = load("io.safetensors");
    let away = |index: usize| {
        let found = network.forward(&pixels(&io[&format!("picture.{index}")]), &Unwatched).unwrap();
        relative_l2(&found.i(0).unwrap(), &io[&format!("{name}.{index}")])
    };
    away(0).max(away(1))
}

#[test]
fn transformers_maps_come_out_relative_and_metric() {
    let folder = open(&fixture());
    let relative = config(&folder, Resampling::Cubic).unwrap();
    assert_eq!((relative.layers, relative.neck), ([1, 2, 3, 4], [6, 8, 10, 12]));
    let network_of = |config: &DepthAnythingConfig| network(&folder, config);
    let found = worst(&network_of(&relative), "depth");
    assert!(found < TOLERANCE, "{found}");
    assert!(folder.stranger().is_none(), "{:?}", folder.stranger());
    let metric = DepthAnythingConfig { reading: Reading::Metric(20.0), ..relative.clone() };
    let found = worst(&network_of(&metric), "metric");
    assert!(found < TOLERANCE, "{found}");
    // The rule for positions tells: with the authors' it is another map.
    let other = config(&folder, Resampling::CubicOffset).unwrap();
    assert!(worst(&network_of(&other), "depth") > 1e-2);
}

#[test]
fn the_authors_file_gives_the_authors_maps() {
    let stored = load("model.safetensors");
    let names = std::fs::read(fixture().join("names.json")).unwrap();
    let names: BTreeMap<String, Vec<String>> = serde_json::from_slice(&names).unwrap();
    let one = |parts: &Vec<String>| {
        let parts: Vec<&Tensor> = parts.iter().map(|name| &stored[name]).collect();
        Tensor::cat(&parts, 0).unwrap()
    };
    let theirs: HashMap<String, Tensor> = names.iter().map(|(name, parts)| (name.clone(), one(parts))).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("depth_anything_v2_tiny.safetensors");
    candle_core::safetensors::save(&theirs, &file).unwrap();
    // Published widths are multiples of 64, which tells the heads; this one's has to be said.
    let unsaid = open(&file);
    assert!(unsaid.authors && unsaid.side == 518 && unsaid.config.is_null());
    assert!(config(&unsaid, Resampling::CubicOffset).unwrap_err().to_string().contains("num_heads"));
    let said = json!({"architecture": "vit_small_patch14_dinov2", "model_args": {"depth": 4, "num_heads": 2}});
    std::fs::write(folder.path().join("config.json"), said.to_string()).unwrap();
    let folder = open(&file);
    let described = config(&folder, Resampling::CubicOffset).unwrap();
    assert_eq!(described.reading, Reading::Disparity);
    let found = worst(&network(&folder, &described), "meta");
    assert!(found < TOLERANCE, "{found}");
    assert!(folder.stranger().is_none(), "{:?}", folder.stranger());
}

/// Shapes of the published sizes, with `depth` blocks of `width`.
fn published(width: usize, depth: usize, neck: [usize; 4], fusion: usize) -> BTreeMap<String, Vec<usize>> {
    let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        shapes.insert(name, shape.to_vec());
    };
    add("backbone.patch_embed.proj.weight".into(), &[width, 3, 14, 14]);
    add("backbone.cls_token".into(), &[1, 1, width]);
    add("backbone.pos_embed".into(), &[1, 1 + 37 * 37, width]);
    add("backbone.norm.weight".into(), &[width]);
    for block in 0..depth {
        let name = |end: &str| format!("backbone.blocks.{block}.{end}");
        add(name("norm1.weight"), &[width]);
        add(name("attn.qkv.weight"), &[3 * width, width]);
        add(name("ls1.gamma"), &[width]);
        add(name("mlp.fc1.weight"), &[4 * width, width]);
        add(name("mlp.fc2.weight"), &[width, 4 * width]);
    }
    for (index, channels) in neck.into_iter().enumerate() {
        add(format!("depth_head.projects.{index}.weight"), &[channels, width, 1, 1]);
    }
    add("depth_head.scratch.layer1_rn.weight".into(), &[fusion, neck[0], 3, 3]);
    add("depth_head.scratch.output_conv2.0.weight".into(), &[32, fusion / 2, 3, 3]);
    shapes
}

#[test]
fn the_published_sizes_are_known_without_a_config() {
    let nothing = serde_json::Value::Null;
    for (width, depth, neck, fusion, heads, layers) in [
        (384, 12, [48, 96, 192, 384], 64, 6, [3, 6, 9, 12]),
        (768, 12, [96, 192, 384, 768], 128, 12, [3, 6, 9, 12]),
        (1024, 24, [256, 512, 1024, 1024], 256, 16, [5, 12, 18, 24]),
    ] {
        let shapes = published(width, depth, neck, fusion);
        let config = DepthAnythingConfig::of(&nothing, &nothing, &shapes, Resampling::CubicOffset).unwrap();
        assert_eq!((config.vit.heads, config.layers, config.neck), (heads, layers, neck));
        assert_eq!((config.fusion, config.hidden, config.reading), (fusion, 32, Reading::Disparity));
        // Half a gigabyte is more than the small one takes at its usual size, and far less than a wall of pictures.
        assert!(config.bytes(37, 37) < 2 << 30 && config.bytes(3700, 3700) > 100 << 30);
    }
}

#[test]
fn what_cannot_be_is_said() {
    let nothing = serde_json::Value::Null;
    let shapes = published(384, 12, [48, 96, 192, 384], 64);
    let fault = |json: serde_json::Value, shapes: &BTreeMap<String, Vec<usize>>| {
        DepthAnythingConfig::of(&json, &nothing, shapes, Resampling::Cubic).unwrap_err().to_string()
    };
    let layers = |layers: serde_json::Value| json!({"backbone_config": {"out_indices": layers}});
    assert!(fault(layers(json!([1, 2, 3])), &shapes).contains("four blocks"));
    assert!(fault(layers(json!([1, 2, 3, 13])), &shapes).contains("block 13"));
    assert!(fault(layers(json!([0, 2, 3, 12])), &shapes).contains("block 0"));
    assert!(fault(json!({"depth_estimation_type": "other"}), &shapes).contains("other"));
    assert!(fault(json!({"depth_estimation_type": "metric", "max_depth": 0}), &shapes).contains("max_depth"));
    let stages = json!({"backbone_config": {"out_features": ["stage1", "stage2", "stage3", "stage5"]}});
    let config = DepthAnythingConfig::of(&stages, &nothing, &shapes, Resampling::Cubic).unwrap();
    assert_eq!(config.layers, [1, 2, 3, 5]);
    for (name, shape, words) in [
        ("depth_head.scratch.layer1_rn.weight", Some(vec![63, 48, 3, 3]), "halve 63"),
        ("depth_head.scratch.layer1_rn.weight", Some(vec![1 << 20, 48, 3, 3]), "1048576 channels"),
        ("depth_head.projects.2.weight", Some(vec![9]), "has the shape [9]"),
        ("depth_head.projects.2.weight", None, "lacks the tensor depth_head.projects.2.weight"),
    ] {
        let mut other = shapes.clone();
        match shape {
            Some(shape) => other.insert(name.to_owned(), shape),
            None => other.remove(name),
        };
        let said = fault(json!({}), &other);
        assert!(said.contains(words), "{said}");
    }
}

/// Stops at a given checkpoint.
struct Stops(std::cell::Cell<usize>);

impl Watcher for Stops {
    fn checkpoint(&self) -> candle_core::Result<()> {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        if left == 0 { Err(Cancelled.into_candle()) } else { Ok(()) }
    }
}

#[test]
fn a_run_stops_between_blocks_and_between_the_heads_steps() {
    let folder = open(&fixture());
    let network = network(&folder, &config(&folder, Resampling::Cubic).unwrap());
    let pixels = Tensor::zeros((1, 3, 28, 42), DType::F32, &Device::Cpu).unwrap();
    let run = |checkpoints: usize| network.forward(&pixels, &Stops(std::cell::Cell::new(checkpoints))).is_ok();
    // Four blocks, four layers, four steps, the end.
    assert_eq!([0, 3, 5, 11, 12, 13].map(run), [false, false, false, false, false, true]);
    let odd = Tensor::zeros((1, 3, 28, 41), DType::F32, &Device::Cpu).unwrap();
    assert!(network.forward(&odd, &Unwatched).unwrap_err().to_string().contains("whole patches"));
}

/// A random model of full size in the folder that `GLASSBOX_DEPTH` names (tests/reference/depth_anything.py --full-size).
#[test]
#[ignore = "needs a folder"]
#[allow(clippy::print_stdout, reason = "for a person who runs it")]
fn full_size() {
    let path = PathBuf::from(std::env::var_os("GLASSBOX_DEPTH").expect("a folder"));
    let folder = open(&path);
    let network = network(&folder, &config(&folder, Resampling::Cubic).unwrap());
    let io = candle_core::safetensors::load(path.join("io.safetensors"), &Device::Cpu).unwrap();
    let pixels = pixels(&io["picture.0"]);
    let began = std::time::Instant::now();
    let found = network.forward(&pixels, &Unwatched).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let away = relative_l2(&found.i(0).unwrap(), &io["depth.0"]);
    println!("relative L2 {away:.1e}, {seconds:.2} s");
    assert!(away < TOLERANCE && folder.stranger().is_none(), "{away}");
}
