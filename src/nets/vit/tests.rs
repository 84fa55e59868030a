use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use serde_json::{Value, json};

use super::{Positions, Vit, VitConfig, VitError};
use crate::nets::parity::relative_l2;
use crate::nets::watcher::{Cancelled, Unwatched, Watcher};

/// The most that a network in f32 may stray from the reference.
const TOLERANCE: f64 = 1e-4;

const FAMILIES: [&str; 13] = [
    "dinov2",
    "dinov2-reg",
    "dinov2-swiglu",
    "clip",
    "clip-quickgelu",
    "mae",
    "pooled",
    "oblong",
    "deit3",
    "dinov3",
    "dinov3-bias",
    "dinov3-split",
    "dinov3-plus",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit")
}

struct Case {
    json: Value,
    weights: HashMap<String, Tensor>,
    io: HashMap<String, Tensor>,
}

impl Case {
    fn open(name: &str) -> Self {
        let folder = folder().join(name);
        let load = |file: &str| candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap();
        Self {
            json: serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap(),
            weights: load("model.safetensors"),
            io: load("io.safetensors"),
        }
    }

    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.weights.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect()
    }

    fn config(&self) -> Result<VitConfig, VitError> {
        VitConfig::of(&self.json, &self.shapes())
    }

    fn network(&self) -> Vit {
        let vb = VarBuilder::from_tensors(self.weights.clone(), DType::F32, &Device::Cpu);
        Vit::load(&self.config().unwrap(), vb).unwrap()
    }

    /// `[1, 3, h, w]`, normalised as the config says.
    fn pixels(&self, name: &str) -> Tensor {
        let numbers = |key: &str| {
            let of = |at: usize| self.json["pretrained_cfg"][key][at].as_f64().unwrap() as f32;
            Tensor::new(&[of(0), of(1), of(2)], &Device::Cpu).unwrap().reshape((1, 3, 1, 1)).unwrap()
        };
        let picture = self.io[name].to_dtype(DType::F32).unwrap().permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap();
        let scaled = (picture / 255.0).unwrap().broadcast_sub(&numbers("mean")).unwrap();
        scaled.broadcast_div(&numbers("std")).unwrap()
    }
}

/// How far `found` `[1, n, d]` is from `wanted` `[n, d]`.
fn distance(found: &Tensor, wanted: &Tensor) -> f64 {
    relative_l2(&found.i(0).unwrap(), wanted)
}

#[test]
fn every_family_gives_timms_tokens_at_every_size() {
    for name in FAMILIES {
        let case = Case::open(name);
        let network = case.network();
        let depth = network.config().depth;
        let (mut worst, mut pictures) = (0f64, 0);
        while case.io.contains_key(&format!("picture.{pictures}")) {
            let pixels = case.pixels(&format!("picture.{pictures}"));
            let states = network.states(&pixels, &[depth], &Unwatched).unwrap();
            let tokens = network.normed(&states[0]).unwrap();
            worst = worst.max(distance(&tokens, &case.io[&format!("tokens.{pictures}")]));
            pictures += 1;
        }
        assert!(pictures > 0 && worst <= TOLERANCE, "{name} strays by {worst:.1e}");
    }
}

#[test]
fn every_layer_with_and_without_the_last_norm() {
    for name in FAMILIES {
        let case = Case::open(name);
        let network = case.network();
        let layers: Vec<usize> = (0..=network.config().depth).collect();
        let states = network.states(&case.pixels("picture.0"), &layers, &Unwatched).unwrap();
        assert_eq!(states.len(), layers.len());
        for (layer, state) in layers.iter().zip(&states) {
            let plain = distance(state, &case.io[&format!("layer.{layer}")]);
            let normed = distance(&network.normed(state).unwrap(), &case.io[&format!("normed.{layer}")]);
            assert!(plain <= TOLERANCE && normed <= TOLERANCE, "{name}, layer {layer}: {plain:.1e}, {normed:.1e}");
        }
    }
}

#[test]
fn sides_that_are_no_multiple_of_the_patch_are_padded_as_timm_pads_them() {
    let case = Case::open("dinov2");
    let network = case.network();
    let states = network.states(&case.pixels("padded.picture"), &[3], &Unwatched).unwrap();
    let distance = distance(&network.normed(&states[0]).unwrap(), &case.io["padded.tokens"]);
    assert!(distance <= TOLERANCE, "{distance:.1e}");
}

#[test]
fn a_batch_is_its_pictures_and_layers_come_in_the_order_asked_for() {
    let case = Case::open("deit3");
    let network = case.network();
    let one = case.pixels("picture.1");
    let two = Tensor::cat(&[&one, &(&one * 0.5).unwrap()], 0).unwrap();
    let alone = network.states(&one, &[3, 1], &Unwatched).unwrap();
    let together = network.states(&two, &[1, 3, 3], &Unwatched).unwrap();
    assert_eq!(together[1].dims(), [2, 1 + 8, 32]);
    for (a, b) in [(0, 1), (0, 2), (1, 0)] {
        let first = together[b].narrow(0, 0, 1).unwrap();
        assert!(relative_l2(&first, &alone[a]) < 1e-6);
    }
    assert!(network.states(&one, &[4], &Unwatched).unwrap_err().to_string().contains("no layer 4"));
    assert!(network.states(&one.narrow(1, 0, 1).unwrap(), &[1], &Unwatched).is_err());
}

struct StopAt {
    left: Cell<usize>,
    seen: Cell<usize>,
}

impl Watcher for StopAt {
    fn checkpoint(&self) -> candle_core::Result<()> {
        match self.left.get() {
            0 => Err(Cancelled.into_candle()),
            left => {
                self.left.set(left - 1);
                Ok(())
            }
        }
    }

    fn wants(&self, name: &str) -> bool {
        name == "blocks.2"
    }

    fn tensor(&self, name: &str, tensor: &Tensor) {
        assert_eq!(name, "blocks.2");
        assert_eq!(tensor.dims(), [1, 17, 32]);
        self.seen.set(self.seen.get() + 1);
    }
}

#[test]
fn a_watcher_sees_blocks_and_stops_between_them() {
    let case = Case::open("dinov2");
    let network = case.network();
    let pixels = case.pixels("picture.0");
    for (left, seen) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        let watcher = StopAt { left: Cell::new(left), seen: Cell::new(0) };
        let outcome = network.states(&pixels, &[3], &watcher);
        assert_eq!(outcome.is_ok(), left == 3, "{left}");
        assert_eq!(watcher.seen.get(), seen, "{left}");
        if let Err(error) = outcome {
            assert!(error.to_string().contains("cancelled"));
        }
    }
}

#[test]
fn parts_are_read_from_tensors_and_configs() {
    let config = |name: &str| Case::open(name).config().unwrap();
    let dinov2 = config("dinov2");
    assert_eq!((dinov2.width, dinov2.depth, dinov2.heads, dinov2.patch), (32, 3, 2, 14));
    assert_eq!(dinov2.positions, Positions::Table { covered: 1, grid: (4, 4) });
    let registers = config("dinov2-reg");
    assert_eq!((registers.registers, registers.prefix()), (4, 5));
    assert_eq!(registers.positions, Positions::Table { covered: 0, grid: (4, 4) });
    assert_eq!(config("oblong").positions, Positions::Table { covered: 1, grid: (3, 6) });
    assert_eq!(config("dinov3").positions, Positions::Rotary { temperature: 100.0, stored: false });
    assert!(!config("pooled").final_norm && config("mae").final_norm);
    assert!(config("clip").norm_pre && !config("clip").patch_bias);
    let cost = dinov2.cost(37, 37);
    assert_eq!(cost.patches, 1369);
    assert!(dinov2.cost(74, 74).multiply_adds > 4 * cost.multiply_adds);
    assert!(dinov2.cost(usize::MAX, 7).bytes > 1 << 62);
}

/// Without a config, the published models' values are taken.
#[test]
fn a_bare_state_dict_of_published_shape_needs_no_config() {
    let mut shapes: BTreeMap<String, Vec<usize>> = Case::open("dinov2").shapes();
    for shape in shapes.values_mut() {
        for side in shape.iter_mut() {
            *side = match *side {
                32 => 384,
                96 => 1152,
                128 => 1536,
                17 => 1370,
                other => other,
            };
        }
    }
    let config = VitConfig::of(&Value::Null, &shapes).unwrap();
    assert_eq!((config.heads, config.eps), (6, 1e-6));
    assert_eq!(config.positions, Positions::Table { covered: 1, grid: (37, 37) });
    // Registers with a table for patches alone, as FiT3D's and timm's files have it, and for the class token too, as
    // DINOv2's own files have it.
    shapes.insert("reg_token".into(), vec![1, 4, 384]);
    for (tokens, covered) in [(1369, 0), (1370, 1), (1374, 5)] {
        shapes.insert("pos_embed".into(), vec![1, tokens, 384]);
        let config = VitConfig::of(&Value::Null, &shapes).unwrap();
        assert_eq!(config.positions, Positions::Table { covered, grid: (37, 37) });
    }
    shapes.insert("pos_embed".into(), vec![1, 1371, 384]);
    assert!(VitConfig::of(&Value::Null, &shapes).unwrap_err().to_string().contains("1371 positions fits no grid"));
}

#[test]
fn other_networks_and_missing_tensors_are_named() {
    let fault = |case: &Case| case.config().unwrap_err().to_string();
    let mut case = Case::open("mae");
    case.weights =
        HashMap::from([("conv1.weight".to_owned(), Tensor::zeros((4, 3, 7, 7), DType::F32, &Device::Cpu).unwrap())]);
    case.json["architecture"] = json!("resnet50");
    assert!(fault(&case).contains("resnet50") && fault(&case).contains("conv1.weight"), "{}", fault(&case));
    let renamed = "vision_model.embeddings.patch_embedding.weight".to_owned();
    case.weights = HashMap::from([(renamed, Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap())]);
    assert!(fault(&case).contains("transformers library"), "{}", fault(&case));

    // Every tensor but a classifier's is missed, be it while the parts are read or while they are loaded.
    for name in FAMILIES {
        let whole = Case::open(name);
        for tensor in whole.weights.keys() {
            if ["head.", "fc_norm.", "attn.q_bias", "attn.v_bias"].iter().any(|part| tensor.contains(part)) {
                continue;
            }
            // Which of the split biases there are is told by the tensors alone.
            if tensor.contains("_proj.bias") {
                continue;
            }
            let mut weights = whole.weights.clone();
            weights.remove(tensor);
            let case = Case { json: whole.json.clone(), weights, io: HashMap::new() };
            let error = match case.config() {
                Ok(config) => {
                    let vb = VarBuilder::from_tensors(case.weights.clone(), DType::F32, &Device::Cpu);
                    Vit::load(&config, vb).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
                }
                Err(error) => error.to_string(),
            };
            assert!(error.contains(tensor.as_str()), "{name} without {tensor}: {error:?}");
        }
    }
}

#[test]
fn contradictions_and_unknown_arithmetic_are_refused() {
    let fault = |name: &str, key: &str, value: Value| {
        let mut case = Case::open(name);
        if key == "architecture" {
            case.json[key] = value;
        } else {
            case.json["model_args"][key] = value;
        }
        case.config().unwrap_err().to_string()
    };
    assert!(fault("mae", "depth", json!(2)).contains("says 2 blocks, but its weights have 3"));
    assert!(fault("mae", "depth", json!(4)).contains("lacks the tensor blocks.3.norm1.weight"));
    assert!(fault("mae", "num_heads", json!(5)).contains("5 heads do not share a width of 32"));
    assert!(fault("mae", "act_layer", json!("mish")).contains("mish"));
    assert!(fault("dinov3", "rope_type", json!("mixed")).contains("rope_type = \"mixed\""));
    assert!(fault("dinov3", "rope_rotate_half", json!(false)).contains("rope_rotate_half"));
    assert!(fault("mae", "architecture", json!("vit_base_patch16_rope_224")).contains("rope"));
    assert!(fault("mae", "use_rot_pos_emb", json!(true)).contains("rope_type"));
    let mut case = Case::open("mae");
    case.json = Value::Null;
    assert!(case.config().unwrap_err().to_string().contains("num_heads"));
}
