//! Holds an editor of full size against diffusers: `tests/reference/full_size.py FOLDER` makes the folder, this reads it.
//!
//!     cargo run --example full_size -- FOLDER
//!
//! Says for every component how many tensors were taken and left, how far each network is from the reference
//! (relative L2 in f32), the seconds a UNet pass takes and the peak memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use glassbox::nets::clip_text::{ClipText, ClipTextConfig};
use glassbox::nets::unet::{Unet2dCondition, UnetConfig};
use glassbox::nets::vae::{AutoencoderKl, VaeConfig};
use glassbox::nets::watcher::Unwatched;
use glassbox::packs::clip_tokenizer::ClipTokenizer;
use glassbox::packs::weights::{WeightOptions, Weights};

/// What full_size.py asks for, in the order of its specific instructions.
const INSTRUCTION: &str = "Make it feel like winter";
const SPECIFICS: [&str; 5] = [
    "put snow on the roofs",
    "turn the lake to ice",
    "make the sky overcast",
    "add a boat to the water",
    "paint the car red",
];

fn main() -> Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).context("usage: full_size FOLDER")?);
    let editor = root.join("editor");
    let trace = candle_core::safetensors::load(root.join("trace.safetensors"), &Device::Cpu)?;
    text_encoder(&editor, &trace)?;
    let picture = picture(&root.join("source.png"))?;
    autoencoder(&editor, &picture, &trace)?;
    let noise = candle_core::safetensors::load(root.join("noise.safetensors"), &Device::Cpu)?;
    noise_predictor(&editor, &noise, &trace)?;
    eprintln!("peak memory {}", peak_memory().unwrap_or_else(|| "unknown on this system".to_owned()));
    Ok(())
}

fn text_encoder(editor: &Path, trace: &HashMap<String, Tensor>) -> Result<()> {
    let (config, weights) = open(editor, "text_encoder")?;
    let network = ClipText::load(&ClipTextConfig::from_json(&config)?, builder(&weights))?;
    report_tensors("text_encoder", &weights);
    let wanted = wanted(trace, "text_embeddings")?;
    let tokenizer = ClipTokenizer::open(&editor.join("tokenizer"), None)?;
    let rows = wanted.dim(0)?;
    let mut ids = Vec::new();
    for text in [INSTRUCTION, "", ""].into_iter().chain(SPECIFICS).take(rows) {
        ids.extend(tokenizer.encode(text)?);
    }
    let ids = Tensor::from_vec(ids, (rows, tokenizer.length()), &Device::Cpu)?;
    distance("text_embeddings", &network.forward(&ids, &Unwatched)?, wanted)
}

fn autoencoder(editor: &Path, picture: &Tensor, trace: &HashMap<String, Tensor>) -> Result<()> {
    let (config, weights) = open(editor, "vae")?;
    let config = VaeConfig::from_json(&config)?;
    let network = AutoencoderKl::load(&config, builder(&weights))?;
    report_tensors("vae", &weights);
    let start = Instant::now();
    let latents = network.encode_mode(picture, &Unwatched)?;
    eprintln!("encode: {:.2} s", start.elapsed().as_secs_f64());
    distance("image_latents", &latents, wanted(trace, "image_latents")?)?;
    let last = wanted(trace, &format!("latents.{}", steps(trace)? - 1))?;
    let start = Instant::now();
    let decoded = network.decode(&(last / config.scaling_factor)?, &Unwatched)?;
    eprintln!("decode: {:.2} s", start.elapsed().as_secs_f64());
    distance("decoded", &decoded.squeeze(0)?, wanted(trace, "decoded")?)
}

/// Every step starts from the reference's latents, so that each prediction is judged by itself.
fn noise_predictor(editor: &Path, noise: &HashMap<String, Tensor>, trace: &HashMap<String, Tensor>) -> Result<()> {
    let (config, weights) = open(editor, "unet")?;
    let network = Unet2dCondition::load(&UnetConfig::from_json(&config)?, builder(&weights))?;
    report_tensors("unet", &weights);
    let text = wanted(trace, "text_embeddings")?;
    let rows = text.dim(0)?;
    let image = wanted(trace, "image_latents")?;
    let blank = image.zeros_like()?;
    let conditions: Vec<&Tensor> = (0..rows).map(|row| if row == 2 { &blank } else { image }).collect();
    let conditions = Tensor::cat(&conditions, 0)?;
    let sigmas: Vec<f32> = wanted(trace, "sigmas")?.to_vec1()?;
    let timesteps: Vec<f32> = wanted(trace, "timesteps")?.to_vec1()?;
    for (step, timestep) in timesteps.iter().enumerate() {
        let sigma = f64::from(sigmas[step]);
        let latents = match step {
            0 => (wanted(noise, "init")? * sigma)?,
            _ => wanted(trace, &format!("latents.{}", step - 1))?.clone(),
        };
        let scaled = (latents / (sigma * sigma + 1.0).sqrt())?;
        let sample = Tensor::cat(&[&scaled.repeat((rows, 1, 1, 1))?, &conditions], 1)?;
        let start = Instant::now();
        let found = network.forward(&sample, f64::from(*timestep), text, &Unwatched)?;
        eprintln!("step {step}, {rows} rows: {:.2} s", start.elapsed().as_secs_f64());
        distance(&format!("eps.{step}"), &found, wanted(trace, &format!("eps.{step}"))?)?;
    }
    Ok(())
}

fn open(editor: &Path, component: &str) -> Result<(serde_json::Value, Weights)> {
    let folder = editor.join(component);
    let config = serde_json::from_slice(&std::fs::read(folder.join("config.json"))?)?;
    Ok((config, Weights::open(&folder, &WeightOptions::default())?))
}

fn builder(weights: &Weights) -> candle_nn::VarBuilder<'static> {
    weights.var_builder(&Device::Cpu, DType::F32)
}

fn report_tensors(component: &str, weights: &Weights) {
    // The position ids that old text encoders carry are no weights.
    let all = weights.names().filter(|name| !name.ends_with("position_ids")).count();
    let left = weights.unused();
    eprintln!("{component}: {} of {all} tensors taken, none missing, left over: {left:?}", all - left.len());
}

fn picture(path: &Path) -> Result<Tensor> {
    let picture = image::open(path)?.to_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels = Tensor::from_vec(picture.into_raw(), (height, width, 3), &Device::Cpu)?;
    Ok(pixels.permute((2, 0, 1))?.to_dtype(DType::F32)?.affine(2.0 / 255.0, -1.0)?.unsqueeze(0)?.contiguous()?)
}

fn wanted<'a>(tensors: &'a HashMap<String, Tensor>, name: &str) -> Result<&'a Tensor> {
    tensors.get(name).with_context(|| format!("the reference has no tensor {name}"))
}

fn steps(trace: &HashMap<String, Tensor>) -> Result<usize> {
    Ok(wanted(trace, "timesteps")?.dim(0)?)
}

fn distance(name: &str, found: &Tensor, wanted: &Tensor) -> Result<()> {
    let norm = |x: &Tensor| -> Result<f64> { Ok(x.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt()) };
    let relative = norm(&(found - wanted)?)? / norm(wanted)?;
    eprintln!("{name}: relative L2 {relative:.1e}");
    anyhow::ensure!(relative <= 1e-4, "{name} strays by {relative:.1e}");
    Ok(())
}

/// The most memory this process has held, where the system says.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(format!("{:.2} GiB", kib / 1024.0 / 1024.0))
}
