//! An opened editor: text encoder, autoencoder and UNet of one folder, with what its configs say of sizes and scales.

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde_json::Value;

use super::EditError;
use crate::nets::clip_text::{ClipText, ClipTextConfig};
use crate::nets::unet::{Unet2dCondition, UnetConfig};
use crate::nets::vae::{AutoencoderKl, VaeConfig};
use crate::nets::watcher::Watcher;
use crate::ops::device::Compute;
use crate::packs::clip_tokenizer::ClipTokenizer;
use crate::packs::diffusers::{Component, EditorFolder};

/// An InstructPix2Pix-style editor on a device.
#[derive(Debug)]
pub struct Editor {
    pub(super) unet: Unet2dCondition,
    vae: AutoencoderKl,
    text: ClipText,
    tokenizer: ClipTokenizer,
    /// The folder's `scheduler_config.json`.
    pub scheduler: Value,
    /// Pixels a latent cell has on a side (8).
    pub cell: u32,
    /// What working sides are made multiples of by default: cells that every level of the UNet halves evenly.
    pub multiple: u32,
    /// Longer side the model was trained at, in pixels.
    pub default_side: u32,
    scaling_factor: f32,
    widest: usize,
    widest_vae: usize,
    compute: Compute,
}

impl Editor {
    /// Builds the three networks on `compute`.
    ///
    /// # Errors
    /// [`EditError::Model`] in one sentence: an unsupported config, or a tensor that is missing or of another shape.
    pub fn load(folder: &EditorFolder, compute: &Compute) -> Result<Self, EditError> {
        let broken = |error: candle_core::Error| EditError::Model(error.to_string());
        let unfollowed = |error: crate::nets::config::ConfigError| EditError::Model(error.to_string());
        let built = |component: &Component| component.weights.var_builder(&compute.device, compute.dtype);
        let unet_config = UnetConfig::from_json(&folder.unet.config).map_err(unfollowed)?;
        let vae_config = VaeConfig::from_json(&folder.vae.config).map_err(unfollowed)?;
        let text_config = ClipTextConfig::from_json(&folder.text_encoder.config).map_err(unfollowed)?;
        let unet = Unet2dCondition::load(&unet_config, built(&folder.unet)).map_err(broken)?;
        let vae = AutoencoderKl::load(&vae_config, built(&folder.vae)).map_err(broken)?;
        let text = ClipText::load(&text_config, built(&folder.text_encoder)).map_err(broken)?;
        let widths = |value: &Value| -> Vec<u64> {
            let widths = value.get("block_out_channels").and_then(Value::as_array);
            widths.map(|all| all.iter().filter_map(Value::as_u64).collect()).unwrap_or_default()
        };
        let (unet_widths, vae_widths) = (widths(&folder.unet.config), widths(&folder.vae.config));
        let power = |levels: usize| 1_u32 << levels.saturating_sub(1).min(8);
        let cell = folder.latent_factor();
        let sample = folder.unet.config.get("sample_size").and_then(Value::as_u64).unwrap_or(64);
        Ok(Self {
            unet,
            vae,
            text,
            tokenizer: folder.tokenizer.clone(),
            scheduler: folder.scheduler.clone(),
            cell,
            multiple: cell * power(unet_widths.len()),
            default_side: u32::try_from(sample).unwrap_or(64).clamp(1, 512) * cell,
            scaling_factor: folder.scaling_factor() as f32,
            widest: unet_widths.first().copied().unwrap_or(320) as usize,
            widest_vae: vae_widths.first().copied().unwrap_or(128) as usize,
            compute: compute.clone(),
        })
    }

    /// "CPU, f32".
    #[must_use]
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Text embeddings `[texts, positions, width]`: CLIP's last hidden state after the final norm, padded, unmasked.
    ///
    /// # Errors
    /// If the tokenizer or the network fails, or the run is cancelled.
    pub fn embed(&self, texts: &[&str], watcher: &dyn Watcher) -> Result<Tensor, EditError> {
        let mut ids = Vec::new();
        for text in texts {
            ids.extend(self.tokenizer.encode(text).map_err(|error| EditError::Model(error.to_string()))?);
        }
        let ids = Tensor::from_vec(ids, (texts.len(), self.tokenizer.length()), &self.compute.device)?;
        Ok(self.text.forward(&ids, watcher)?)
    }

    /// The working picture's latents `[1, channels, h, w]`: the distribution's mode, unscaled (spec/sane.md section 4).
    ///
    /// # Errors
    /// If the network fails or the run is cancelled.
    pub fn encode(&self, picture: &RgbImage, watcher: &dyn Watcher) -> Result<Tensor, EditError> {
        let (width, height) = picture.dimensions();
        let plane = width as usize * height as usize;
        let mut values = vec![0.0_f32; 3 * plane];
        for (at, pixel) in picture.pixels().enumerate() {
            for (channel, value) in pixel.0.into_iter().enumerate() {
                values[channel * plane + at] = f32::from(value) / 255.0 * 2.0 - 1.0;
            }
        }
        let shape = (1, 3, height as usize, width as usize);
        let pixels = Tensor::from_vec(values, shape, &Device::Cpu)?
            .to_device(&self.compute.device)?
            .to_dtype(self.compute.dtype)?;
        Ok(self.vae.encode_mode(&pixels, watcher)?)
    }

    /// The picture `[1, 3, H, W]` in −1…1 of unscaled latents `[1, channels, h, w]`.
    ///
    /// # Errors
    /// If the network fails or the run is cancelled.
    pub fn decode(&self, latents: &Tensor, watcher: &dyn Watcher) -> Result<Tensor, EditError> {
        let latents = latents.to_dtype(self.compute.dtype)?;
        Ok(self.vae.decode(&latents, watcher)?.to_dtype(DType::F32)?)
    }

    /// Denoised latents divided by the autoencoder's scaling factor.
    #[must_use]
    pub fn unscaled(&self, latents: &[f32]) -> Vec<f32> {
        latents.iter().map(|value| value / self.scaling_factor).collect()
    }

    /// How many of a step's `rows` go through the UNet at once within `memory` bytes.
    ///
    /// # Errors
    /// [`EditError::OutOfMemory`] if not even one row, or the decoding of the picture, fits.
    pub fn rows_that_fit(
        &self,
        (width, height): (u32, u32),
        rows: usize,
        memory: Option<u64>,
    ) -> Result<usize, EditError> {
        let Some(available) = memory else { return Ok(rows) };
        let pixels = u64::from(width) * u64::from(height);
        let cells = pixels / u64::from(self.cell * self.cell);
        let bytes = self.compute.dtype.size_in_bytes() as u64;
        // Skip connections and the activations of the widest level; the decoder's last level at full size.
        let row = cells * self.widest as u64 * bytes * 24;
        let decoding = pixels * self.widest_vae as u64 * bytes * 5;
        let needed = row.max(decoding);
        if needed > available {
            return Err(EditError::OutOfMemory { width, height, needed, available });
        }
        let fitting = (available / row.max(1)).clamp(1, rows as u64);
        Ok(usize::try_from(fitting).unwrap_or(rows))
    }
}
