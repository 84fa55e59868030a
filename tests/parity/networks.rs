//! The Edit lens's three networks against diffusers and transformers, on random small models of several configs.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use glassbox::nets::clip_text::{ClipText, ClipTextConfig};
use glassbox::nets::config::ConfigError;
use glassbox::nets::unet::{Unet2dCondition, UnetConfig};
use glassbox::nets::vae::{AutoencoderKl, VaeConfig};
use glassbox::nets::watcher::{Cancelled, Unwatched, Watcher};
use serde_json::json;

use crate::fixtures::{json, relative_l2, tensors, values};

/// The most that a network in f32 may stray from the reference.
const TOLERANCE: f64 = 1e-4;

const FOLDERS: [&str; 3] = ["classic", "odd", "blocks"];

fn weights(relative: &str) -> VarBuilder<'static> {
    VarBuilder::from_tensors(tensors(relative), DType::F32, &Device::Cpu)
}

fn unet(config: &str, file: &str) -> Unet2dCondition {
    let config = UnetConfig::from_json(&json(config)).expect("a supported config");
    Unet2dCondition::load(&config, weights(file)).expect("all tensors")
}

fn vae(config: &str, file: &str) -> AutoencoderKl {
    let config = VaeConfig::from_json(&json(config)).expect("a supported config");
    AutoencoderKl::load(&config, weights(file)).expect("all tensors")
}

fn folder_unet(name: &str) -> Unet2dCondition {
    let folder = format!("edit/folders/{name}/unet");
    unet(&format!("{folder}/config.json"), &format!("{folder}/diffusion_pytorch_model.safetensors"))
}

#[track_caller]
fn close(what: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let distance = relative_l2(&values(found), &values(wanted));
    println!("{what}: relative L2 {distance:.1e}");
    assert!(distance <= TOLERANCE, "{what} strays by {distance:.1e}");
}

/// The output for every entry of `timesteps` is kept as `{output}.I`.
fn compare_timesteps(what: &str, unet: &Unet2dCondition, io: &HashMap<String, Tensor>, prefix: &str) {
    for (i, timestep) in values(&io[&format!("{prefix}timesteps")]).into_iter().enumerate() {
        let (sample, text) = (&io[&format!("{prefix}sample")], &io[&format!("{prefix}text")]);
        let found = unet.forward(sample, f64::from(timestep), text, &Unwatched).expect("a prediction");
        close(&format!("{what} at time step {timestep}"), &found, &io[&format!("{prefix}output.{i}")]);
    }
}

#[test]
fn text_encoders_agree_with_transformers() {
    for name in FOLDERS {
        let folder = format!("edit/folders/{name}/text_encoder");
        let config = ClipTextConfig::from_json(&json(&format!("{folder}/config.json"))).expect("a supported config");
        let network = ClipText::load(&config, weights(&format!("{folder}/model.safetensors"))).expect("all tensors");
        let io = tensors(&format!("edit/networks/{name}.safetensors"));
        let ids = io["token_ids"].to_dtype(DType::U32).expect("ids");
        let found = network.forward(&ids, &Unwatched).expect("embeddings");
        close(&format!("{name} text embeddings"), &found, &io["text_embeddings"]);
    }
}

#[test]
fn autoencoders_agree_with_diffusers() {
    for name in FOLDERS {
        let folder = format!("edit/folders/{name}/vae");
        let network = vae(&format!("{folder}/config.json"), &format!("{folder}/diffusion_pytorch_model.safetensors"));
        let io = tensors(&format!("edit/networks/{name}.safetensors"));
        let latents = network.encode_mode(&io["picture"], &Unwatched).expect("latents");
        close(&format!("{name} image latents"), &latents, &io["image_latents"]);
        let decoded = network.decode(&io["latents"], &Unwatched).expect("a picture");
        close(&format!("{name} decoded"), &decoded, &io["decoded"]);
    }
}

#[test]
fn an_autoencoder_without_attention_agrees_with_diffusers() {
    let folder = "edit/vaes/no-attention";
    let network = vae(&format!("{folder}/config.json"), &format!("{folder}/weights.safetensors"));
    let io = tensors(&format!("{folder}/io.safetensors"));
    let latents = network.encode_mode(&io["picture"], &Unwatched).expect("latents");
    close("no-attention image latents", &latents, &io["image_latents"]);
    let decoded = network.decode(&io["image_latents"], &Unwatched).expect("a picture");
    close("no-attention decoded", &decoded, &io["decoded"]);
}

#[test]
fn noise_predictors_agree_with_diffusers() {
    for name in FOLDERS {
        let io = tensors(&format!("edit/networks/{name}.safetensors"));
        compare_timesteps(&format!("{name} UNet"), &folder_unet(name), &io, "unet.");
    }
}

#[test]
fn unusual_noise_predictors_agree_with_diffusers() {
    for name in ["shifted", "no-middle"] {
        let folder = format!("edit/unets/{name}");
        let network = unet(&format!("{folder}/config.json"), &format!("{folder}/weights.safetensors"));
        let io = tensors(&format!("{folder}/io.safetensors"));
        compare_timesteps(&format!("{name} UNet"), &network, &io, "");
    }
}

#[test]
fn rows_of_a_batch_do_not_touch_each_other() {
    let io = tensors("edit/networks/odd.safetensors");
    let network = folder_unet("odd");
    let (sample, text) = (&io["unet.sample"], &io["unet.text"]);
    let together = network.forward(sample, 361.7, text, &Unwatched).expect("a prediction");
    for row in 0..sample.dim(0).expect("rows") {
        let one = |x: &Tensor| x.narrow(0, row, 1).and_then(|x| x.contiguous()).expect("a row");
        let alone = network.forward(&one(sample), 361.7, &one(text), &Unwatched).expect("a prediction");
        assert!(relative_l2(&values(&alone), &values(&one(&together))) < 1e-6, "row {row}");
    }
}

/// Collects what it asked for and stops the pass at a given checkpoint.
struct Curious {
    wanted: &'static [&'static str],
    seen: RefCell<HashMap<String, Tensor>>,
    checkpoints_left: RefCell<usize>,
}

impl Curious {
    fn new(wanted: &'static [&'static str], checkpoints_left: usize) -> Self {
        Self { wanted, seen: RefCell::default(), checkpoints_left: RefCell::new(checkpoints_left) }
    }
}

impl Watcher for Curious {
    fn checkpoint(&self) -> candle_core::Result<()> {
        let mut left = self.checkpoints_left.borrow_mut();
        if *left == 0 {
            return Err(Cancelled.into_candle());
        }
        *left -= 1;
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.wanted.contains(&name)
    }

    fn tensor(&self, name: &str, tensor: &Tensor) {
        self.seen.borrow_mut().insert(name.to_owned(), tensor.clone());
    }
}

#[test]
fn a_watcher_sees_attention_maps_and_planes_without_changing_the_result() {
    const MAP: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn2";
    let io = tensors("edit/networks/classic.safetensors");
    let network = folder_unet("classic");
    let watcher = Curious::new(&[MAP, "mid_block"], usize::MAX);
    let watched = network.forward(&io["unet.sample"], 67.0, &io["unet.text"], &watcher).expect("a prediction");
    let unwatched = network.forward(&io["unet.sample"], 67.0, &io["unet.text"], &Unwatched).expect("a prediction");
    assert_eq!(values(&watched), values(&unwatched));
    let seen = watcher.seen.borrow();
    assert_eq!(seen[MAP].dims(), [4, 8 * 12, 77]);
    for row in values(&seen[MAP]).chunks(77) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "attention adds up to 1");
    }
    assert_eq!(seen["mid_block"].dims(), [4, 16, 1, 2]);
}

#[test]
fn a_watcher_stops_a_pass_between_blocks() {
    let io = tensors("edit/networks/classic.safetensors");
    let network = folder_unet("classic");
    for checkpoints in [0, 1, 7] {
        let watcher = Curious::new(&["up_blocks.3"], checkpoints);
        let error = network.forward(&io["unet.sample"], 67.0, &io["unet.text"], &watcher).expect_err("stopped");
        assert!(error.to_string().contains("cancelled"), "{error}");
        assert!(watcher.seen.borrow().is_empty());
    }
}

#[test]
fn unsupported_configs_name_key_and_value() {
    let refused = |key: &str, value: serde_json::Value| {
        let mut config = json("edit/folders/classic/unet/config.json");
        config[key] = value.clone();
        match UnetConfig::from_json(&config) {
            Err(ConfigError::Unsupported { key: named, value: written, .. }) => {
                assert_eq!((named, written), (key, value.to_string()));
            }
            other => panic!("{key}: {other:?}"),
        }
    };
    refused("addition_embed_type", json!("text_time"));
    refused("dual_cross_attention", json!(true));
    refused("down_block_types", json!(["AttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]));
    refused("attention_head_dim", json!(3));
    refused("norm_num_groups", json!(5));
    refused("act_fn", json!("mish"));
    let vae = VaeConfig::from_json(&json!({"shift_factor": 0.1}));
    assert!(matches!(vae, Err(ConfigError::Unsupported { key: "shift_factor", .. })));
    let text = ClipTextConfig::from_json(&json!({"hidden_act": "relu6"}));
    assert!(matches!(text, Err(ConfigError::Unsupported { key: "hidden_act", .. })));
    assert!(matches!(UnetConfig::from_json(&json!({"in_channels": "eight"})), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn absent_keys_take_the_reference_librarys_defaults_and_unknown_ones_are_ignored() {
    let unet = UnetConfig::from_json(&json!({"in_channels": 8, "written_by": "a later version"})).expect("defaults");
    assert_eq!((unet.in_channels, unet.out_channels, unet.cross_attention_dim), (8, 4, 1280));
    let vae = VaeConfig::from_json(&json!({})).expect("defaults");
    assert_eq!((vae.scaling_factor, vae.latent_channels, vae.factor()), (0.18215, 4, 1));
    let text = ClipTextConfig::from_json(&json!({})).expect("defaults");
    assert_eq!((text.vocab_size, text.hidden_size, text.max_position_embeddings), (49_408, 512, 77));
}
