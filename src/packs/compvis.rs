//! An editor published as one file in the layout of the original CompVis code (`instruct-pix2pix-00-22000.safetensors`
//! or `.ckpt`): UNet, its running average (EMA), autoencoder and text encoder under one roof, with other tensor names.
//!
//! The names are turned into diffusers' by rules over the module structure (spec/sane.md section 8.2), and the
//! configurations are read off the tensors' shapes. What no shape tells (8 heads in the UNet, 64 numbers a head in the text encoder,
//! groups of 32, the scheduler) is that of Stable Diffusion 1, the only family published so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::PackError;
use super::clip_tokenizer::ClipTokenizer;
use super::diffusers::{Component, EditorFolder, USUAL_SCALING_FACTOR};
use super::weights::Weights;

const UNET: &str = "model.diffusion_model.";
const AVERAGE: &str = "model_ema.";
const VAE: &str = "first_stage_model.";
const TEXT: &str = "cond_stage_model.transformer.";

/// Where each block of the UNet stands in diffusers' counting.
struct Blocks {
    /// By number of the input block after the first: level, place in the level; `None` is the level's downsampler.
    inputs: Vec<(usize, Option<usize>)>,
    /// Blocks in each level.
    layers: usize,
    levels: usize,
}

/// Whether these are the tensors of a CompVis single file.
#[must_use]
pub fn is_compvis(weights: &Weights) -> bool {
    let starts = |prefix: &str| weights.names().any(|name| name.starts_with(prefix));
    (starts(UNET) || starts(AVERAGE)) && starts(VAE)
}

/// The editor in the single file `path`, whose tensors are `weights`. With `average` the UNet's running average is
/// taken; the original program and diffusers take the plain weights, and the average only if there are no others.
///
/// # Errors
/// If tensors are missing, shapes tell no configuration, or there is no tokenizer beside the file.
pub fn open(path: &Path, weights: &Weights, average: bool) -> Result<EditorFolder, PackError> {
    let (unet_weights, stored_as) = unet_tensors(weights, average)?;
    let blocks = Blocks::of(&unet_weights, path)?;
    let unet_config = unet_config(&unet_weights, &blocks, path)?;
    let unet = unet_weights.renamed(|name| blocks.unet_name(name))?;
    if unet.names().count() != stored_as {
        return Err(PackError::damaged(path, "its UNet has tensors that belong to no known block"));
    }
    let first_stage = part(weights, VAE)?;
    let levels = count(&first_stage, |i| format!("decoder.up.{i}.block.0.conv1.weight"));
    let vae_config = vae_config(&first_stage, levels, path)?;
    let vae = first_stage.renamed(|name| vae_name(name, levels))?;
    let text = part(weights, TEXT)?;
    let text_config = text_config(&text, path)?;
    let positions = text_config["max_position_embeddings"].as_u64().and_then(|n| usize::try_from(n).ok());
    let tokenizer = ClipTokenizer::open(&tokenizer_beside(path)?, positions)?;
    Ok(EditorFolder {
        path: path.to_path_buf(),
        unet: Component { config: unet_config, weights: unet },
        vae: Component { config: vae_config, weights: vae },
        text_encoder: Component { config: text_config, weights: text },
        tokenizer,
        scheduler: json!({
            "_class_name": "EulerAncestralDiscreteScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085,
            "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon", "steps_offset": 1
        }),
    })
}

/// The folder with the tokenizer: `tokenizer/` beside the file, or the file's own folder. A single file carries none.
fn tokenizer_beside(path: &Path) -> Result<PathBuf, PackError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let found = [folder.join("tokenizer"), folder.to_path_buf()]
        .into_iter()
        .find(|folder| folder.join("vocab.json").is_file() || folder.join("tokenizer.json").is_file());
    found.ok_or_else(|| {
        PackError::missing(
            &folder.join("tokenizer"),
            "a single file carries no tokenizer; put CLIP's vocab.json and merges.txt into that folder",
        )
    })
}

/// The tensors below `prefix`, without it.
fn part(weights: &Weights, prefix: &str) -> Result<Weights, PackError> {
    weights.renamed(|name| name.strip_prefix(prefix).map(str::to_string))
}

/// The UNet's tensors (CompVis names, no prefix) and their number. In the running average's names the dots are left
/// out, so those are found through the plain names, or, where the file has no plain weights, cannot be told apart.
fn unet_tensors(weights: &Weights, average: bool) -> Result<(Weights, usize), PackError> {
    let plain: Vec<&str> = weights.names().filter_map(|name| name.strip_prefix(UNET)).collect();
    if plain.is_empty() {
        let path = weights.files().next().unwrap_or(Path::new(""));
        return Err(PackError::missing(path, "it holds only the running average of a UNet, whose names are ambiguous"));
    }
    let averages: BTreeMap<String, &str> =
        plain.iter().map(|name| (format!("{AVERAGE}diffusion_model{}", name.replace('.', "")), *name)).collect();
    let complete = averages.len() == plain.len() && averages.keys().all(|name| weights.names().any(|n| n == name));
    let chosen = if average && complete {
        weights.renamed(|name| averages.get(name).map(|name| (*name).to_string()))?
    } else {
        part(weights, UNET)?
    };
    Ok((chosen, plain.len()))
}

/// How many numbers from 0 on give the name of a stored tensor.
fn count(weights: &Weights, name: impl Fn(usize) -> String) -> usize {
    (0..64).take_while(|&i| weights.facts(&name(i)).is_some()).count()
}

/// The side `axis` of the tensor `name`.
fn side(weights: &Weights, name: &str, axis: usize, path: &Path) -> Result<usize, PackError> {
    let facts = weights.facts(name).and_then(|facts| facts.shape.get(axis).copied());
    facts.ok_or_else(|| PackError::TensorMissing { path: path.to_path_buf(), tensor: name.into(), expected: None })
}

impl Blocks {
    fn of(weights: &Weights, path: &Path) -> Result<Self, PackError> {
        let mut inputs = Vec::new();
        let (mut level, mut place, mut layers) = (0, 0, 0);
        for i in 1..64 {
            if weights.facts(&format!("input_blocks.{i}.0.in_layers.2.weight")).is_some() {
                inputs.push((level, Some(place)));
                place += 1;
                layers = layers.max(place);
            } else if weights.facts(&format!("input_blocks.{i}.0.op.weight")).is_some() {
                inputs.push((level, None));
                (level, place) = (level + 1, 0);
            } else {
                break;
            }
        }
        if layers == 0 {
            return Err(PackError::damaged(path, "its UNet has no blocks"));
        }
        Ok(Self { inputs, layers, levels: level + 1 })
    }

    /// The number of the first input block of `level`.
    fn first(&self, level: usize) -> usize {
        1 + level * (self.layers + 1)
    }

    /// Diffusers' name of a tensor of the UNet.
    fn unet_name(&self, name: &str) -> Option<String> {
        let pieces: Vec<&str> = name.split('.').collect();
        let (head, rest) = pieces.split_first()?;
        let number = |at: usize| rest.get(at)?.parse::<usize>().ok();
        match *head {
            "time_embed" => {
                let which = if number(0)? == 0 { 1 } else { 2 };
                Some(format!("time_embedding.linear_{which}.{}", rest.get(1..)?.join(".")))
            }
            "out" => {
                let which = if number(0)? == 0 { "conv_norm_out" } else { "conv_out" };
                Some(format!("{which}.{}", rest.get(1..)?.join(".")))
            }
            "middle_block" => {
                let inner = rest.get(1..)?;
                Some(match number(0)? {
                    1 => format!("mid_block.attentions.0.{}", inner.join(".")),
                    at => format!("mid_block.resnets.{}.{}", at / 2, resnet_name(inner)?),
                })
            }
            "input_blocks" => {
                let (block, inner) = (number(0)?, rest.get(2..)?);
                if block == 0 {
                    return Some(format!("conv_in.{}", inner.join(".")));
                }
                let (level, place) = *self.inputs.get(block - 1)?;
                Some(match (place, number(1)?) {
                    (None, _) => format!("down_blocks.{level}.downsamplers.0.conv.{}", inner.get(1..)?.join(".")),
                    (Some(place), 0) => format!("down_blocks.{level}.resnets.{place}.{}", resnet_name(inner)?),
                    (Some(place), _) => format!("down_blocks.{level}.attentions.{place}.{}", inner.join(".")),
                })
            }
            "output_blocks" => {
                let (block, inner) = (number(0)?, rest.get(2..)?);
                let (level, place) = (block / (self.layers + 1), block % (self.layers + 1));
                Some(match (number(1)?, *inner.first()?) {
                    (0, _) => format!("up_blocks.{level}.resnets.{place}.{}", resnet_name(inner)?),
                    (_, "conv") => format!("up_blocks.{level}.upsamplers.0.{}", inner.join(".")),
                    _ => format!("up_blocks.{level}.attentions.{place}.{}", inner.join(".")),
                })
            }
            _ => None,
        }
    }
}

/// Diffusers' name of a tensor inside a residual block of the UNet.
fn resnet_name(pieces: &[&str]) -> Option<String> {
    Some(match pieces {
        ["in_layers", "0", last] => format!("norm1.{last}"),
        ["in_layers", "2", last] => format!("conv1.{last}"),
        ["emb_layers", "1", last] => format!("time_emb_proj.{last}"),
        ["out_layers", "0", last] => format!("norm2.{last}"),
        ["out_layers", "3", last] => format!("conv2.{last}"),
        ["skip_connection", last] => format!("conv_shortcut.{last}"),
        _ => return None,
    })
}

/// Diffusers' name of a tensor of the autoencoder with `levels` levels; its training loss is left out.
fn vae_name(name: &str, levels: usize) -> Option<String> {
    let pieces: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    Some(match pieces.as_slice() {
        ["quant_conv" | "post_quant_conv", _] | ["encoder" | "decoder", "conv_in" | "conv_out", _] => name.to_string(),
        [half @ ("encoder" | "decoder"), "norm_out", last] => format!("{half}.conv_norm_out.{last}"),
        [half, "mid", "attn_1", part, last] => {
            let part = match *part {
                "norm" => "group_norm",
                "q" => "to_q",
                "k" => "to_k",
                "v" => "to_v",
                "proj_out" => "to_out.0",
                _ => return None,
            };
            format!("{half}.mid_block.attentions.0.{part}.{last}")
        }
        [half, "mid", "block_1", rest @ ..] => format!("{half}.mid_block.resnets.0.{}", shortcut(rest)),
        [half, "mid", "block_2", rest @ ..] => format!("{half}.mid_block.resnets.1.{}", shortcut(rest)),
        ["encoder", "down", level, "block", place, rest @ ..] => {
            format!("encoder.down_blocks.{level}.resnets.{place}.{}", shortcut(rest))
        }
        ["encoder", "down", level, "downsample", rest @ ..] => {
            format!("encoder.down_blocks.{level}.downsamplers.0.{}", rest.join("."))
        }
        ["decoder", "up", level, "block", place, rest @ ..] => {
            let level = levels.checked_sub(1 + number(level)?)?;
            format!("decoder.up_blocks.{level}.resnets.{place}.{}", shortcut(rest))
        }
        ["decoder", "up", level, "upsample", rest @ ..] => {
            let level = levels.checked_sub(1 + number(level)?)?;
            format!("decoder.up_blocks.{level}.upsamplers.0.{}", rest.join("."))
        }
        _ => return None,
    })
}

fn shortcut(pieces: &[&str]) -> String {
    pieces.join(".").replace("nin_shortcut", "conv_shortcut")
}

/// The UNet's configuration, read off its tensors (CompVis names).
fn unet_config(weights: &Weights, blocks: &Blocks, path: &Path) -> Result<Value, PackError> {
    let levels = 0..blocks.levels;
    let width = |level| side(weights, &format!("input_blocks.{}.0.in_layers.2.weight", blocks.first(level)), 0, path);
    let widths = levels.clone().map(width).collect::<Result<Vec<_>, _>>()?;
    let attends =
        |level: usize| weights.facts(&format!("input_blocks.{}.1.norm.weight", blocks.first(level))).is_some();
    let down: Vec<_> =
        levels.clone().map(|l| if attends(l) { "CrossAttnDownBlock2D" } else { "DownBlock2D" }).collect();
    let up: Vec<_> = levels.rev().map(|l| if attends(l) { "CrossAttnUpBlock2D" } else { "UpBlock2D" }).collect();
    let channels = side(weights, "input_blocks.0.0.weight", 1, path)?;
    if channels != 8 {
        return Err(PackError::OtherModel {
            path: path.to_path_buf(),
            detail: format!("its UNet takes {channels} channels, but an instruction editor's takes 8"),
        });
    }
    Ok(json!({
        "_class_name": "UNet2DConditionModel", "in_channels": channels,
        "out_channels": side(weights, "out.2.weight", 0, path)?, "block_out_channels": widths,
        "layers_per_block": blocks.layers, "down_block_types": down, "up_block_types": up,
        "mid_block_type": "UNetMidBlock2DCrossAttn", "attention_head_dim": 8,
        "cross_attention_dim": side(weights, "middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1, path)?,
        "norm_num_groups": 32, "norm_eps": 1e-5, "act_fn": "silu", "flip_sin_to_cos": true, "freq_shift": 0,
        "downsample_padding": 1, "center_input_sample": false, "use_linear_projection": false,
        "sample_size": 64, "mid_block_scale_factor": 1
    }))
}

/// The autoencoder's configuration, read off its tensors (CompVis names).
fn vae_config(weights: &Weights, levels: usize, path: &Path) -> Result<Value, PackError> {
    let width = |level| side(weights, &format!("encoder.down.{level}.block.0.conv1.weight"), 0, path);
    let widths = (0..levels).map(width).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({
        "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": widths,
        "down_block_types": vec!["DownEncoderBlock2D"; levels], "up_block_types": vec!["UpDecoderBlock2D"; levels],
        "in_channels": side(weights, "encoder.conv_in.weight", 1, path)?,
        "out_channels": side(weights, "decoder.conv_out.weight", 0, path)?,
        "latent_channels": side(weights, "decoder.conv_in.weight", 1, path)?,
        "layers_per_block": count(weights, |i| format!("encoder.down.0.block.{i}.conv1.weight")),
        "norm_num_groups": 32, "sample_size": 512, "scaling_factor": USUAL_SCALING_FACTOR
    }))
}

/// The text encoder's configuration, read off its tensors.
fn text_config(weights: &Weights, path: &Path) -> Result<Value, PackError> {
    let embedding = "text_model.embeddings.token_embedding.weight";
    let hidden = side(weights, embedding, 1, path)?;
    let layers = count(weights, |i| format!("text_model.encoder.layers.{i}.mlp.fc1.weight"));
    Ok(json!({
        "architectures": ["CLIPTextModel"], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": (hidden / 64).max(1),
        "intermediate_size": side(weights, "text_model.encoder.layers.0.mlp.fc1.weight", 0, path)?,
        "max_position_embeddings": side(weights, "text_model.embeddings.position_embedding.weight", 0, path)?,
        "vocab_size": side(weights, embedding, 0, path)?, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5
    }))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::test_files::{Stored, safetensors};
    use super::super::weights::WeightOptions;
    use super::*;

    /// CompVis name, diffusers' name, shape; made by tests/reference/compvis_names.py with diffusers' own converter.
    fn names() -> Vec<(String, String, Vec<usize>)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures");
        super::super::read_json_as(&root.join("compvis_names.json")).unwrap()
    }

    /// A single file in which every number of the tensor in row `i` is `i mod 251`, and 255 in the running average.
    fn single_file(folder: &Path) -> PathBuf {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/clip_tokenizer/bytes");
        for file in ["vocab.json", "merges.txt"] {
            std::fs::copy(fixtures.join(file), folder.join(file)).unwrap();
        }
        let mut tensors = Vec::new();
        for (i, (name, _, shape)) in names().iter().enumerate() {
            let size = shape.iter().product();
            tensors.push(Stored::new(name, "U8", shape, vec![(i % 251) as u8; size]));
            if let Some(plain) = name.strip_prefix("model.") {
                let average = format!("model_ema.{}", plain.replace('.', ""));
                tensors.push(Stored::new(&average, "U8", shape, vec![255; size]));
            }
        }
        tensors.push(Stored::new("first_stage_model.loss.logvar", "U8", &[], vec![0]));
        tensors.push(Stored::new("model_ema.decay", "U8", &[], vec![0]));
        let path = folder.join("model.safetensors");
        std::fs::write(&path, safetensors(&tensors)).unwrap();
        path
    }

    #[test]
    fn every_tensor_gets_the_name_that_diffusers_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = single_file(folder.path());
        let weights = Weights::open_file(&path, &WeightOptions::default()).unwrap();
        assert!(is_compvis(&weights));
        for average in [false, true] {
            let editor = open(&path, &weights, average).unwrap();
            let mut seen = 0;
            for (i, (old, new, shape)) in names().iter().enumerate() {
                let (part, marked) = match old.split('.').next().unwrap() {
                    "model" => (&editor.unet.weights, if average { 255 } else { i % 251 }),
                    "first_stage_model" => (&editor.vae.weights, i % 251),
                    _ => (&editor.text_encoder.weights, i % 251),
                };
                let tensor = part.tensor(new, None, DType::U8, &Device::Cpu).unwrap();
                assert_eq!(tensor.dims(), shape, "{new}");
                let first = tensor.flatten_all().unwrap().get(0).unwrap().to_scalar::<u8>().unwrap();
                assert_eq!(usize::from(first), marked, "{new}");
                seen += 1;
            }
            for part in [&editor.unet, &editor.vae, &editor.text_encoder] {
                assert!(part.weights.unused().is_empty(), "{:?}", part.weights.unused());
            }
            assert!(seen > 900, "{seen}");
        }
    }

    #[test]
    fn the_configurations_are_read_off_the_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let editor = EditorFolder::open(&single_file(folder.path())).unwrap();
        assert_eq!(editor.unet.config["block_out_channels"], json!([32, 64, 64, 64]));
        assert_eq!(editor.unet.config["layers_per_block"], 2);
        assert_eq!(editor.unet.config["cross_attention_dim"], 64);
        assert_eq!(editor.unet.config["down_block_types"][3], "DownBlock2D");
        assert_eq!(editor.unet.config["up_block_types"][0], "UpBlock2D");
        assert_eq!(editor.unet.config["up_block_types"][1], "CrossAttnUpBlock2D");
        assert_eq!(editor.vae.config["block_out_channels"], json!([32, 32, 64, 64]));
        assert_eq!(editor.vae.config["latent_channels"], 4);
        assert_eq!(editor.text_encoder.config["num_hidden_layers"], 2);
        assert_eq!(editor.text_encoder.config["max_position_embeddings"], 77);
        std::fs::remove_file(folder.path().join("vocab.json")).unwrap();
        let error = EditorFolder::open(&folder.path().join("model.safetensors")).unwrap_err().to_string();
        assert!(error.contains("carries no tokenizer"), "{error}");
    }
}
