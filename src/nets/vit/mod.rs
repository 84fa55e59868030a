//! Vision transformers as timm publishes them: DINOv2 (with or without registers), CLIP, MAE, DeiT-III, DINOv3, and
//! their fine-tunes in the same layout, such as FiT3D's.
//!
//! One implementation for all: [`VitConfig`] reads from the tensors and the config which parts there are. The picture
//! may have any size: position tables are resampled to its grid (as timm does, unless
//! the config says otherwise), rotary angles are made for it. Gives the
//! tokens after any block, in the order class, registers, patches (row by row), before or after the last norm.

mod block;
mod config;
mod positions;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use self::block::Block;
use self::config::PERIODS;
pub use self::config::{Cost, Positions, Resampling, VitConfig, VitError};
use self::positions::{Angles, Table};
use super::watcher::Watcher;
use crate::ops::linear::Linear;
use crate::ops::norm::LayerNorm;

/// A vision transformer without its classifier.
#[derive(Clone, Debug)]
pub struct Vit {
    /// The patch embedding as a matrix over the pixels of a patch (channel, row, column).
    patches: Linear,
    /// Class token and registers, `[1, prefix, width]`.
    prefix: Option<Tensor>,
    table: Option<Table>,
    /// Of rotary angles, `[head / 4]`; empty where there are none.
    periods: Vec<f64>,
    norm_pre: Option<LayerNorm>,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
    config: VitConfig,
}

impl Vit {
    /// Reads `patch_embed.proj`, `cls_token`, `reg_token`, `pos_embed`, `norm_pre`, `blocks.N.*` and `norm`, as far as
    /// the config says they are there. A classifier's tensors are not touched.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(config: &VitConfig, vb: VarBuilder) -> Result<Self> {
        let VitConfig { width, patch, channels, .. } = *config;
        let proj = vb.pp("patch_embed.proj");
        let kernel = proj.get((width, channels, patch, patch), "weight")?;
        let bias = if config.patch_bias { Some(proj.get(width, "bias")?) } else { None };
        let patches = Linear::new(kernel.reshape((width, channels * patch * patch))?, bias)?;
        let mut prefix = Vec::new();
        if config.class_token {
            prefix.push(vb.get((1, 1, width), "cls_token")?);
        }
        if config.registers > 0 {
            prefix.push(vb.get((1, config.registers, width), "reg_token")?);
        }
        let table = match config.positions {
            Positions::Table { covered, grid } => {
                let table = vb.get((1, covered + grid.0 * grid.1, width), "pos_embed")?;
                Some(Table::new(&table, covered, grid)?)
            }
            Positions::Rotary { .. } | Positions::None => None,
        };
        let head = width / config.heads;
        let periods = match config.positions {
            Positions::Rotary { stored: true, .. } => {
                // In f32 whatever the network computes in.
                let stored =
                    vb.to_dtype(DType::F32).get(head / 4, PERIODS)?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
                stored.into_iter().map(f64::from).collect()
            }
            Positions::Rotary { temperature, stored: false } => Angles::periods(head, temperature),
            Positions::Table { .. } | Positions::None => Vec::new(),
        };
        let norm = |name: &str, there: bool| -> Result<Option<LayerNorm>> {
            if there { Ok(Some(LayerNorm::load(vb.pp(name), width, config.eps)?)) } else { Ok(None) }
        };
        let blocks = vb.pp("blocks");
        Ok(Self {
            patches,
            prefix: if prefix.is_empty() { None } else { Some(Tensor::cat(&prefix, 1)?) },
            table,
            periods,
            norm_pre: norm("norm_pre", config.norm_pre)?,
            norm: norm("norm", config.final_norm)?,
            blocks: (0..config.depth).map(|index| Block::load(config, blocks.pp(index))).collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// The tokens after each of `layers` (1 is the first block, 0 what enters it), each
    /// `[batch, prefix + rows · columns, width]`, without the last norm, for pictures `[batch, channels, h, w]`,
    /// normalised. Where a side is no multiple of the patch, zeros are added on the right and below, as timm does for
    /// `dynamic_img_pad`. Blocks above the highest layer asked for are not run.
    ///
    /// A watcher is asked before every block, and shown the output of block N (from 1) as `blocks.N`.
    ///
    /// # Errors
    /// When a number names no layer, the pictures have other channels or no pixels, or the watcher stops the pass.
    pub fn states(&self, pixels: &Tensor, layers: &[usize], watcher: &dyn Watcher) -> Result<Vec<Tensor>> {
        if let Some(layer) = layers.iter().find(|layer| **layer > self.blocks.len()) {
            candle_core::bail!("a vision transformer of {} blocks has no layer {layer}", self.blocks.len());
        }
        let (mut x, grid) = self.embed(pixels)?;
        let angles = match self.config.positions {
            Positions::Rotary { .. } => {
                Some(Angles::dinov3(grid, self.config.prefix(), &self.periods, x.dtype(), x.device())?)
            }
            Positions::Table { .. } | Positions::None => None,
        };
        let mut found: Vec<Option<Tensor>> = vec![None; layers.len()];
        let mut keep = |layer: usize, x: &Tensor| {
            for (slot, _) in found.iter_mut().zip(layers).filter(|(_, wanted)| **wanted == layer) {
                *slot = Some(x.clone());
            }
        };
        keep(0, &x);
        let highest = layers.iter().copied().max().unwrap_or(0);
        for (index, block) in self.blocks.iter().take(highest).enumerate() {
            watcher.checkpoint()?;
            x = block.forward(&x, angles.as_ref())?;
            let name = format!("blocks.{}", index + 1);
            if watcher.wants(&name) {
                watcher.tensor(&name, &x);
            }
            keep(index + 1, &x);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The last norm on tokens of any layer; what has none (timm moves it behind a pooling head) passes unchanged.
    ///
    /// # Errors
    /// When the width is another.
    pub fn normed(&self, tokens: &Tensor) -> Result<Tensor> {
        self.norm.as_ref().map_or_else(|| Ok(tokens.clone()), |norm| norm.forward(tokens))
    }

    /// What enters the first block, and the grid of patches.
    fn embed(&self, pixels: &Tensor) -> Result<(Tensor, (usize, usize))> {
        let (batch, channels, height, width) = pixels.dims4()?;
        let patch = self.config.patch;
        if channels != self.config.channels || height * width == 0 {
            candle_core::bail!(
                "this vision transformer takes pictures of {} channels, not {:?}",
                self.config.channels,
                pixels.shape()
            );
        }
        let (rows, columns) = (height.div_ceil(patch), width.div_ceil(patch));
        let pixels = pixels
            .pad_with_zeros(2, 0, rows * patch - height)?
            .pad_with_zeros(3, 0, columns * patch - width)?
            .contiguous()?
            .reshape(vec![batch, channels, rows, patch, columns, patch])?
            .permute(vec![0, 2, 4, 1, 3, 5])?
            .contiguous()?
            .reshape((batch, rows * columns, channels * patch * patch))?;
        let mut patches = self.patches.forward(&pixels)?;
        let mut prefix = self.prefix.clone();
        if let Some(table) = &self.table {
            patches = patches.broadcast_add(&table.patches((rows, columns), self.config.resampling)?)?;
            if let (Some(tokens), Some(positions)) = (&prefix, table.prefix()) {
                let (all, covered) = (tokens.dim(1)?, positions.dim(1)?);
                let placed = (tokens.narrow(1, 0, covered)? + positions)?;
                prefix = Some(if covered == all {
                    placed
                } else {
                    Tensor::cat(&[placed, tokens.narrow(1, covered, all - covered)?], 1)?
                });
            }
        }
        let x = match prefix {
            Some(prefix) => {
                let (_, count, width) = prefix.dims3()?;
                Tensor::cat(&[prefix.broadcast_as((batch, count, width))?.contiguous()?, patches], 1)?
            }
            None => patches,
        };
        let x = self.norm_pre.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(&x))?;
        Ok((x, (rows, columns)))
    }
}

#[cfg(test)]
mod tests;
