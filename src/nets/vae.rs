//! The autoencoder between pictures and latents: diffusers' `AutoencoderKL`.
//!
//! The editor conditions on the *mode* of the encoder's distribution, unscaled; only what is decoded is divided by the
//! scaling factor, which is the caller's part.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{Activation, ConfigError, Scrutiny};
use super::resnet::{Downsample, Resnet, ResnetStyle, Upsample, norm_activated};
use super::watcher::Watcher;
use crate::ops::attention::attention;
use crate::ops::conv::Conv2d;
use crate::ops::linear::Linear;
use crate::ops::norm::GroupNorm;
use crate::ops::sum::add;
use crate::ops::transpose::transposed;

/// Epsilon of every norm of the autoencoder; no config changes it.
const EPS: f64 = 1e-6;

/// An autoencoder's `config.json`, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct VaeConfig {
    /// Colour channels of the picture that goes in.
    pub in_channels: usize,
    /// Colour channels of the picture that comes out.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// What latents are multiplied by for diffusion, and divided by before they are decoded; 0.18215 where the
    /// config says nothing.
    pub scaling_factor: f64,
    widths: Vec<usize>,
    layers_per_block: usize,
    norm_num_groups: usize,
    activation: Activation,
    use_quant_conv: bool,
    use_post_quant_conv: bool,
    mid_block_add_attention: bool,
}

/// The keys as they are written, with diffusers' defaults.
#[derive(Deserialize)]
#[serde(default)]
struct Written {
    in_channels: usize,
    out_channels: usize,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    block_out_channels: Vec<usize>,
    layers_per_block: usize,
    latent_channels: usize,
    norm_num_groups: usize,
    scaling_factor: f64,
    use_quant_conv: bool,
    use_post_quant_conv: bool,
    mid_block_add_attention: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec!["DownEncoderBlock2D".to_owned()],
            up_block_types: vec!["UpDecoderBlock2D".to_owned()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            latent_channels: 4,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
        }
    }
}

impl TryFrom<Value> for VaeConfig {
    type Error = ConfigError;

    fn try_from(json: Value) -> std::result::Result<Self, ConfigError> {
        Self::from_json(&json)
    }
}

impl VaeConfig {
    /// Reads and checks the contents of `vae/config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and its value when the network cannot be built as the config says.
    pub fn from_json(json: &Value) -> std::result::Result<Self, ConfigError> {
        let scrutiny = Scrutiny { network: "VAE", json };
        for key in ["shift_factor", "latents_mean", "latents_std"] {
            scrutiny.only(key, &[Value::Null])?;
        }
        scrutiny.only("down_block_types", &[json!("DownEncoderBlock2D")])?;
        scrutiny.only("up_block_types", &[json!("UpDecoderBlock2D")])?;
        let written: Written = scrutiny.read()?;
        let activation = scrutiny.activation("act_fn", Activation::Silu)?;
        let count = written.block_out_channels.len();
        // More levels than this would shrink any picture to nothing.
        scrutiny.require((1..=16).contains(&count), "block_out_channels", || "it needs 1 to 16 entries".to_owned())?;
        let as_many = || "it needs as many entries as block_out_channels".to_owned();
        scrutiny.require(written.down_block_types.len() == count, "down_block_types", as_many)?;
        scrutiny.require(written.up_block_types.len() == count, "up_block_types", as_many)?;
        let groups = written.norm_num_groups;
        let fits = |width: &usize| groups > 0 && *width > 0 && width.is_multiple_of(groups);
        scrutiny.require(written.block_out_channels.iter().all(fits), "norm_num_groups", || {
            "it must divide every entry of block_out_channels".to_owned()
        })?;
        let scale = written.scaling_factor;
        scrutiny.require(scale.is_finite() && scale != 0.0, "scaling_factor", || "it must not be 0".to_owned())?;
        Ok(Self {
            in_channels: written.in_channels,
            out_channels: written.out_channels,
            latent_channels: written.latent_channels,
            scaling_factor: scale,
            widths: written.block_out_channels,
            layers_per_block: written.layers_per_block,
            norm_num_groups: groups,
            activation,
            use_quant_conv: written.use_quant_conv,
            use_post_quant_conv: written.use_post_quant_conv,
            mid_block_add_attention: written.mid_block_add_attention,
        })
    }

    /// Pixels along one side of a latent position: 8 for the published editors.
    #[must_use]
    pub fn factor(&self) -> usize {
        1 << (self.widths.len() - 1)
    }

    fn resnet(&self) -> ResnetStyle {
        ResnetStyle {
            groups: self.norm_num_groups,
            eps: EPS,
            activation: self.activation,
            time_width: None,
            scale_shift: false,
        }
    }

    fn bottom(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }
}

/// The autoencoder.
#[derive(Debug)]
pub struct AutoencoderKl {
    config: VaeConfig,
    encoder: Encoder,
    quant: Option<Conv2d>,
    post_quant: Option<Conv2d>,
    decoder: Decoder,
}

impl AutoencoderKl {
    /// Builds the network from its tensors under the names that diffusers publishes, with the old or the new names
    /// of the middle attention.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the config asks for.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(config: &VaeConfig, vb: VarBuilder) -> Result<Self> {
        let latent = config.latent_channels;
        let pointwise = |name: &str, channels: usize, present: bool| -> Result<Option<Conv2d>> {
            if present { Ok(Some(Conv2d::load(vb.pp(name), channels, channels, 1, 1, 0)?)) } else { Ok(None) }
        };
        Ok(Self {
            encoder: Encoder::load(config, &vb.pp("encoder"))?,
            quant: pointwise("quant_conv", 2 * latent, config.use_quant_conv)?,
            post_quant: pointwise("post_quant_conv", latent, config.use_post_quant_conv)?,
            decoder: Decoder::load(config, &vb.pp("decoder"))?,
            config: config.clone(),
        })
    }

    /// The config that the network was built from.
    #[must_use]
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// A picture `[batch, 3, H, W]` in −1…1 to the mode (the mean) of its latents' distribution,
    /// `[batch, latent_channels, H / factor, W / factor]`, *not* multiplied by the scaling factor.
    ///
    /// # Errors
    /// When the channels do not fit, or the watcher stops the pass.
    pub fn encode_mode(&self, picture: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let mut x = self.encoder.forward(picture, watcher)?;
        if let Some(quant) = &self.quant {
            x = quant.forward(&x)?;
        }
        x.narrow(1, 0, self.config.latent_channels)?.contiguous()
    }

    /// Latents `[batch, latent_channels, h, w]`, already divided by the scaling factor, to a picture
    /// `[batch, 3, factor · h, factor · w]` around −1…1, not clamped.
    ///
    /// # Errors
    /// When the channels do not fit, or the watcher stops the pass.
    pub fn decode(&self, latents: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        match &self.post_quant {
            Some(post_quant) => self.decoder.forward(post_quant.forward(latents)?, watcher),
            None => self.decoder.forward(latents.clone(), watcher),
        }
    }
}

#[derive(Debug)]
struct Encoder {
    conv_in: Conv2d,
    levels: Vec<(Vec<Resnet>, Option<Downsample>)>,
    middle: Middle,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    fn load(config: &VaeConfig, vb: &VarBuilder) -> Result<Self> {
        let widths = &config.widths;
        let level = |(i, width): (usize, &usize)| -> Result<_> {
            let vb = vb.pp(format!("down_blocks.{i}"));
            let before = widths[i.saturating_sub(1)];
            let resnets = resnets(&vb, config, config.layers_per_block, before, *width)?;
            let last = i + 1 == widths.len();
            let down = if last { None } else { Some(Downsample::load(&vb.pp("downsamplers.0"), *width, 0)?) };
            Ok((resnets, down))
        };
        let bottom = config.bottom();
        Ok(Self {
            conv_in: Conv2d::load(vb.pp("conv_in"), config.in_channels, widths[0], 3, 1, 1)?,
            levels: widths.iter().enumerate().map(level).collect::<Result<_>>()?,
            middle: Middle::load(config, &vb.pp("mid_block"))?,
            norm_out: GroupNorm::load(vb.pp("conv_norm_out"), config.norm_num_groups, bottom, EPS)?,
            conv_out: Conv2d::load(vb.pp("conv_out"), bottom, 2 * config.latent_channels, 3, 1, 1)?,
        })
    }

    fn forward(&self, picture: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let mut x = self.conv_in.forward(picture)?;
        for (resnets, down) in &self.levels {
            for resnet in resnets {
                watcher.checkpoint()?;
                x = resnet.forward(&x, None)?;
            }
            if let Some(down) = down {
                x = down.forward(&x)?;
            }
        }
        x = self.middle.forward(x, watcher)?;
        x = norm_activated(&self.norm_out, Activation::Silu, &x)?;
        self.conv_out.forward(&x)
    }
}

#[derive(Debug)]
struct Decoder {
    conv_in: Conv2d,
    middle: Middle,
    levels: Vec<(Vec<Resnet>, Option<Upsample>)>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Decoder {
    fn load(config: &VaeConfig, vb: &VarBuilder) -> Result<Self> {
        let (widths, bottom) = (&config.widths, config.bottom());
        let level = |i: usize| -> Result<_> {
            let vb = vb.pp(format!("up_blocks.{i}"));
            let index = widths.len() - 1 - i;
            let (before, width) = (widths[(index + 1).min(widths.len() - 1)], widths[index]);
            let resnets = resnets(&vb, config, config.layers_per_block + 1, before, width)?;
            let up = if index == 0 { None } else { Some(Upsample::load(&vb.pp("upsamplers.0"), width)?) };
            Ok((resnets, up))
        };
        Ok(Self {
            conv_in: Conv2d::load(vb.pp("conv_in"), config.latent_channels, bottom, 3, 1, 1)?,
            middle: Middle::load(config, &vb.pp("mid_block"))?,
            levels: (0..widths.len()).map(level).collect::<Result<_>>()?,
            norm_out: GroupNorm::load(vb.pp("conv_norm_out"), config.norm_num_groups, widths[0], EPS)?,
            conv_out: Conv2d::load(vb.pp("conv_out"), widths[0], config.out_channels, 3, 1, 1)?,
        })
    }

    fn forward(&self, latents: Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let mut x = self.conv_in.forward(&latents)?;
        drop(latents);
        x = self.middle.forward(x, watcher)?;
        for (resnets, up) in &self.levels {
            for resnet in resnets {
                watcher.checkpoint()?;
                x = resnet.forward(&x, None)?;
            }
            if let Some(up) = up {
                watcher.checkpoint()?;
                let (_, _, height, width) = x.dims4()?;
                x = up.forward(&x, 2 * height, 2 * width)?;
            }
        }
        watcher.checkpoint()?;
        x = norm_activated(&self.norm_out, Activation::Silu, &x)?;
        self.conv_out.forward(&x)
    }
}

fn resnets(vb: &VarBuilder, config: &VaeConfig, count: usize, before: usize, width: usize) -> Result<Vec<Resnet>> {
    let one = |i: usize| {
        let inputs = if i == 0 { before } else { width };
        Resnet::load(&vb.pp(format!("resnets.{i}")), inputs, width, config.resnet())
    };
    (0..count).map(one).collect()
}

/// The middle of encoder and decoder: a residual block, attention over all positions, a residual block.
#[derive(Debug)]
struct Middle {
    first: Resnet,
    attention: Option<MiddleAttention>,
    second: Resnet,
}

impl Middle {
    fn load(config: &VaeConfig, vb: &VarBuilder) -> Result<Self> {
        let width = config.bottom();
        Ok(Self {
            first: Resnet::load(&vb.pp("resnets.0"), width, width, config.resnet())?,
            attention: if config.mid_block_add_attention {
                Some(MiddleAttention::load(&vb.pp("attentions.0"), config.norm_num_groups, width)?)
            } else {
                None
            },
            second: Resnet::load(&vb.pp("resnets.1"), width, width, config.resnet())?,
        })
    }

    fn forward(&self, mut x: Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        watcher.checkpoint()?;
        x = self.first.forward(&x, None)?;
        if let Some(attention) = &self.attention {
            watcher.checkpoint()?;
            x = attention.forward(&x)?;
        }
        self.second.forward(&x, None)
    }
}

/// Self-attention with one head over the positions of the plane.
#[derive(Debug)]
struct MiddleAttention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

impl MiddleAttention {
    fn load(vb: &VarBuilder, groups: usize, width: usize) -> Result<Self> {
        // The editors were published before diffusers renamed these layers.
        let old = vb.contains_tensor("query.weight");
        let layer = |new: &str, before: &str| either(&vb.pp(if old { before } else { new }), width);
        Ok(Self {
            norm: GroupNorm::load(vb.pp("group_norm"), groups, width, EPS)?,
            query: layer("to_q", "query")?,
            key: layer("to_k", "key")?,
            value: layer("to_v", "value")?,
            output: layer("to_out.0", "proj_attn")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, width, height, columns) = x.dims4()?;
        let mut h = self.norm.forward(x)?;
        h = h.reshape((batch, width, height * columns))?.transpose(1, 2)?;
        let one_head = |layer: &Linear| layer.forward(&h)?.unsqueeze(1);
        let (q, k, v) = (one_head(&self.query)?, one_head(&self.key)?, one_head(&self.value)?);
        h = attention(&q, &k, &v, 1.0 / (width as f64).sqrt(), None)?.squeeze(1)?;
        h = transposed(&self.output.forward(&h)?)?.reshape((batch, width, height, columns))?;
        add(x, &h)
    }
}

/// A layer stored as `[width, width]` or, in the oldest files, as a 1×1 convolution.
fn either(vb: &VarBuilder, width: usize) -> Result<Linear> {
    let weight = match vb.get((width, width), "weight") {
        Ok(weight) => weight,
        Err(error) => match vb.get((width, width, 1, 1), "weight") {
            Ok(weight) => weight.reshape((width, width))?,
            Err(_) => return Err(error),
        },
    };
    Linear::new(weight, Some(vb.get(width, "bias")?))
}
