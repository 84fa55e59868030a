//! Depth-Anything-V2: a DINOv2 and a DPT head tell of every pixel how near it is.
//!
//! Yang and others, *Depth Anything V2*. Tensors are asked for as `backbone.*` under timm's names and `depth_head.*` under the
//! authors' (`packs::depth` brings both published layouts to these); the head of the transformers library is the same.

mod config;
mod head;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

pub use self::config::{DepthAnythingConfig, Reading};
use self::head::Head;
use super::vit::Vit;
use super::watcher::Watcher;
use crate::ops::activation::{relu, sigmoid};

/// The network.
#[derive(Clone, Debug)]
pub struct DepthAnything {
    vit: Vit,
    head: Head,
    config: DepthAnythingConfig,
}

impl DepthAnything {
    /// Reads its weights.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(config: &DepthAnythingConfig, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            vit: Vit::load(&config.vit, vb.pp("backbone"))?,
            head: Head::load(config, &vb.pp("depth_head"))?,
            config: config.clone(),
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn config(&self) -> &DepthAnythingConfig {
        &self.config
    }

    /// What is seen in the pictures `[batch, 3, h, w]`, normalised, both sides multiples of the patch: `[batch, h, w]` in the
    /// terms of the config's [`Reading`]. The watcher is asked before every block and between the head's steps.
    ///
    /// # Errors
    /// When the sizes do not fit, or the watcher stops the pass.
    pub fn forward(&self, pixels: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let (_, _, height, width) = pixels.dims4()?;
        let patch = self.config.vit.patch;
        if height % patch != 0 || width % patch != 0 {
            candle_core::bail!("a picture of {width} × {height} is not made of whole patches of {patch} pixels");
        }
        let grid = (height / patch, width / patch);
        let prefix = self.config.vit.prefix();
        let states = self.vit.states(pixels, &self.config.layers, watcher)?;
        let tokens = states
            .iter()
            .map(|state| self.vit.normed(state)?.narrow(1, prefix, grid.0 * grid.1))
            .collect::<Result<Vec<_>>>()?;
        let x = self.head.forward(&tokens, grid, watcher)?.squeeze(1)?;
        match self.config.reading {
            Reading::Disparity => relu(&x),
            Reading::Metric(most) => sigmoid(&x)?.affine(most, 0.0),
        }
    }
}

#[cfg(test)]
mod tests;
