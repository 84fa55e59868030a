//! The residual block of UNet and VAE: norm, activation, convolution, twice, with the time step mixed in between.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::config::Activation;
use crate::ops::conv::Conv2d;
use crate::ops::linear::Linear;
use crate::ops::norm::GroupNorm;
use crate::ops::resample::{pad_right_bottom, upsample_nearest};
use crate::ops::sum::add;

/// What all residual blocks of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResnetStyle {
    pub(super) groups: usize,
    pub(super) eps: f64,
    pub(super) activation: Activation,
    /// Width of the time embedding; the VAE has none.
    pub(super) time_width: Option<usize>,
    /// The time step scales and shifts after the second norm, instead of being added before it.
    pub(super) scale_shift: bool,
}

/// diffusers' `ResnetBlock2D`.
#[derive(Debug)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    style: ResnetStyle,
}

impl Resnet {
    pub(super) fn load(vb: &VarBuilder, inputs: usize, outputs: usize, style: ResnetStyle) -> Result<Self> {
        let time_outputs = if style.scale_shift { 2 * outputs } else { outputs };
        Ok(Self {
            norm1: GroupNorm::load(vb.pp("norm1"), style.groups, inputs, style.eps)?,
            conv1: Conv2d::load(vb.pp("conv1"), inputs, outputs, 3, 1, 1)?,
            time: match style.time_width {
                Some(width) => Some(Linear::load(vb.pp("time_emb_proj"), width, time_outputs, true)?),
                None => None,
            },
            norm2: GroupNorm::load(vb.pp("norm2"), style.groups, outputs, style.eps)?,
            conv2: Conv2d::load(vb.pp("conv2"), outputs, outputs, 3, 1, 1)?,
            shortcut: if inputs == outputs {
                None
            } else {
                Some(Conv2d::load(vb.pp("conv_shortcut"), inputs, outputs, 1, 1, 0)?)
            },
            style,
        })
    }

    /// `x` `[batch, inputs, h, w]`; `time` is the *activated* time embedding, `[1 or batch, time width]`.
    pub(super) fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        // Every name is rebound, not shadowed, so that each plane is freed as soon as the next exists.
        let mut h = self.normed(&self.norm1, x)?;
        let time = match (&self.time, time) {
            (Some(project), Some(time)) => Some(project.forward(time)?),
            (None, _) => None,
            (Some(_), None) => {
                candle_core::bail!("a residual block with a time projection was called without a time step")
            }
        };
        h = match time {
            Some(time) if self.style.scale_shift => {
                h = self.conv1.forward(&h)?;
                let time = time.unsqueeze(2)?.unsqueeze(3)?;
                let outputs = h.dim(1)?;
                let scale = (time.narrow(1, 0, outputs)? + 1.0)?;
                let shift = time.narrow(1, outputs, outputs)?;
                h = self.norm2.forward(&h)?.broadcast_mul(&scale)?.broadcast_add(&shift)?;
                self.style.activation.apply(&h)?
            }
            Some(time) => {
                h = self.conv1.forward_shifted(&h, &time)?;
                self.normed(&self.norm2, &h)?
            }
            None => {
                h = self.conv1.forward(&h)?;
                self.normed(&self.norm2, &h)?
            }
        };
        h = self.conv2.forward(&h)?;
        match &self.shortcut {
            Some(shortcut) => add(&shortcut.forward(x)?, &h),
            None => add(x, &h),
        }
    }

    fn normed(&self, norm: &GroupNorm, x: &Tensor) -> Result<Tensor> {
        norm_activated(norm, self.style.activation, x)
    }
}

/// A norm and the activation after it, fused where that is possible.
pub(super) fn norm_activated(norm: &GroupNorm, activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => norm.forward_silu(x),
        other => other.apply(&norm.forward(x)?),
    }
}

/// Halves a plane with a stride-2 convolution, padded on all sides or (padding 0) on the right and below only.
#[derive(Debug)]
pub(super) struct Downsample {
    conv: Conv2d,
    one_sided: bool,
}

impl Downsample {
    pub(super) fn load(vb: &VarBuilder, channels: usize, padding: usize) -> Result<Self> {
        Ok(Self { conv: Conv2d::load(vb.pp("conv"), channels, channels, 3, 2, padding)?, one_sided: padding == 0 })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.one_sided { self.conv.forward(&pad_right_bottom(x)?) } else { self.conv.forward(x) }
    }
}

/// Enlarges a plane by nearest neighbour, then a convolution.
#[derive(Debug)]
pub(super) struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    pub(super) fn load(vb: &VarBuilder, channels: usize) -> Result<Self> {
        Ok(Self { conv: Conv2d::load(vb.pp("conv"), channels, channels, 3, 1, 1)? })
    }

    /// To `height` × `width`: twice the size, or that of the skip connection it is to be joined with.
    pub(super) fn forward(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        self.conv.forward(&upsample_nearest(x, height, width)?)
    }
}
