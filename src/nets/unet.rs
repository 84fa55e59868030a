//! The noise predictor: diffusers' `UNet2DConditionModel`, of any width and depth that its `config.json` asks for.
//!
//! An InstructPix2Pix editor is one with eight input channels: the noisy latents and, after them, the picture's.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{Activation, ConfigError, OneOrEach, Scrutiny};
use super::resnet::{ResnetStyle, norm_activated};
use super::transformer2d::TransformerStyle;
use super::unet_blocks::{DownLevel, LevelPlan, MiddleLevel, UpLevel};
use super::watcher::Watcher;
use crate::ops::conv::Conv2d;
use crate::ops::linear::Linear;
use crate::ops::norm::GroupNorm;

/// A UNet's `config.json`, checked: every value can be honoured and the levels fit each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct UnetConfig {
    /// Channels of the input; 8 for an InstructPix2Pix editor.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Height and width of the latents that it was trained on, where the config says so.
    pub sample_size: Option<(usize, usize)>,
    /// Width of the text embeddings.
    pub cross_attention_dim: usize,
    levels: Vec<Level>,
    middle_depth: Option<usize>,
    center_input_sample: bool,
    cosines_first: bool,
    freq_shift: f64,
    time_width: usize,
    activation: Activation,
    norm_num_groups: usize,
    norm_eps: f64,
    scale_shift: bool,
    downsample_padding: usize,
    linear_projection: bool,
    upcast_attention: bool,
    conv_in_kernel: usize,
    conv_out_kernel: usize,
}

/// One resolution, on the way down and on the way up.
#[derive(Clone, Debug)]
struct Level {
    width: usize,
    layers: usize,
    heads: usize,
    /// Depths of the transformers on the way down and up; empty where that way has none.
    down: Vec<usize>,
    up: Vec<usize>,
}

/// The keys as they are written, with diffusers' defaults.
#[derive(Deserialize)]
#[serde(default)]
struct Written {
    in_channels: usize,
    out_channels: usize,
    sample_size: Option<OneOrEach<usize>>,
    center_input_sample: bool,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    down_block_types: Vec<String>,
    mid_block_type: Option<String>,
    up_block_types: Vec<String>,
    block_out_channels: Vec<usize>,
    layers_per_block: OneOrEach<usize>,
    downsample_padding: usize,
    norm_num_groups: usize,
    norm_eps: f64,
    cross_attention_dim: OneOrEach<usize>,
    transformer_layers_per_block: OneOrEach<OneOrEach<usize>>,
    reverse_transformer_layers_per_block: Option<OneOrEach<OneOrEach<usize>>>,
    attention_head_dim: OneOrEach<usize>,
    use_linear_projection: bool,
    upcast_attention: bool,
    resnet_time_scale_shift: String,
    time_embedding_dim: Option<usize>,
    conv_in_kernel: usize,
    conv_out_kernel: usize,
}

impl Default for Written {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        let (plain_down, down) = ("DownBlock2D", "CrossAttnDownBlock2D");
        let (plain_up, up) = ("UpBlock2D", "CrossAttnUpBlock2D");
        Self {
            in_channels: 4,
            out_channels: 4,
            sample_size: None,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types: names([down, down, down, plain_down]),
            mid_block_type: Some("UNetMidBlock2DCrossAttn".to_owned()),
            up_block_types: names([plain_up, up, up, up]),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: OneOrEach::One(2),
            downsample_padding: 1,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            cross_attention_dim: OneOrEach::One(1280),
            transformer_layers_per_block: OneOrEach::One(OneOrEach::One(1)),
            reverse_transformer_layers_per_block: None,
            attention_head_dim: OneOrEach::One(8),
            use_linear_projection: false,
            upcast_attention: false,
            resnet_time_scale_shift: "default".to_owned(),
            time_embedding_dim: None,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
        }
    }
}

impl TryFrom<Value> for UnetConfig {
    type Error = ConfigError;

    fn try_from(json: Value) -> std::result::Result<Self, ConfigError> {
        Self::from_json(&json)
    }
}

impl UnetConfig {
    /// Reads and checks the contents of `unet/config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and its value when the network cannot be built as the config says.
    pub fn from_json(json: &Value) -> std::result::Result<Self, ConfigError> {
        let scrutiny = Scrutiny { network: "UNet", json };
        refuse_other_kinds(&scrutiny)?;
        let written: Written = scrutiny.read()?;
        let activation = scrutiny.activation("act_fn", Activation::Silu)?;
        let levels = levels(&scrutiny, &written)?;
        let text_widths = written
            .cross_attention_dim
            .spread(levels.len())
            .ok_or_else(|| scrutiny.refuse("cross_attention_dim", "it needs one entry a level"))?;
        scrutiny.require(text_widths.iter().all(|w| *w == text_widths[0]), "cross_attention_dim", || {
            "all levels read the same text, so all entries must be equal".to_owned()
        })?;
        let groups = written.norm_num_groups;
        let fits = |width: usize| groups > 0 && width > 0 && width.is_multiple_of(groups);
        scrutiny.require(levels.iter().all(|level| fits(level.width)), "norm_num_groups", || {
            "it must divide every entry of block_out_channels".to_owned()
        })?;
        scrutiny.only("resnet_time_scale_shift", &[json!("default"), json!("scale_shift")])?;
        scrutiny.only("mid_block_type", &[json!("UNetMidBlock2DCrossAttn"), Value::Null])?;
        for (key, kernel) in [("conv_in_kernel", written.conv_in_kernel), ("conv_out_kernel", written.conv_out_kernel)]
        {
            scrutiny.require(kernel % 2 == 1, key, || "it must be odd".to_owned())?;
        }
        scrutiny.require(written.downsample_padding <= 1, "downsample_padding", || "it must be 0 or 1".to_owned())?;
        let sample_size = match &written.sample_size {
            None => None,
            Some(size) => match size.spread(2).as_deref() {
                Some([height, width]) => Some((*height, *width)),
                _ => return Err(scrutiny.refuse("sample_size", "it is one number or two")),
            },
        };
        let middle_depth = match (&written.mid_block_type, &written.transformer_layers_per_block) {
            (None, _) => None,
            (Some(_), OneOrEach::One(depth)) => Some(first(depth)),
            (Some(_), OneOrEach::Each(depths)) => depths.last().map(first),
        };
        Ok(Self {
            in_channels: written.in_channels,
            out_channels: written.out_channels,
            sample_size,
            cross_attention_dim: text_widths[0],
            middle_depth,
            center_input_sample: written.center_input_sample,
            cosines_first: written.flip_sin_to_cos,
            freq_shift: written.freq_shift,
            time_width: written.time_embedding_dim.unwrap_or(4 * levels[0].width),
            activation,
            norm_num_groups: groups,
            norm_eps: written.norm_eps,
            scale_shift: written.resnet_time_scale_shift == "scale_shift",
            downsample_padding: written.downsample_padding,
            linear_projection: written.use_linear_projection,
            upcast_attention: written.upcast_attention,
            conv_in_kernel: written.conv_in_kernel,
            conv_out_kernel: written.conv_out_kernel,
            levels,
        })
    }

    fn resnet(&self) -> ResnetStyle {
        ResnetStyle {
            groups: self.norm_num_groups,
            eps: self.norm_eps,
            activation: self.activation,
            time_width: Some(self.time_width),
            scale_shift: self.scale_shift,
        }
    }

    fn transformer(&self, level: &Level, depth: usize) -> TransformerStyle {
        TransformerStyle {
            channels: level.width,
            heads: level.heads,
            depth,
            text_width: self.cross_attention_dim,
            groups: self.norm_num_groups,
            linear_projection: self.linear_projection,
            upcast: self.upcast_attention,
        }
    }

    fn plan(&self, level: &Level, layers: usize, attention: &[usize]) -> LevelPlan {
        LevelPlan {
            outputs: level.width,
            layers,
            attention: attention.to_vec(),
            transformer: self.transformer(level, 1),
            resnet: self.resnet(),
        }
    }
}

/// Refuses the options of diffusers' class that lead to another network than the one written here.
fn refuse_other_kinds(scrutiny: &Scrutiny) -> std::result::Result<(), ConfigError> {
    let absent = [Value::Null];
    for key in [
        "num_attention_heads",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "class_embed_type",
        "num_class_embeds",
        "addition_embed_type",
        "time_embedding_act_fn",
        "timestep_post_act",
        "time_cond_proj_dim",
        "cross_attention_norm",
    ] {
        scrutiny.only(key, &absent)?;
    }
    let off = [json!(false), Value::Null];
    for key in [
        "dual_cross_attention",
        "only_cross_attention",
        "mid_block_only_cross_attention",
        "class_embeddings_concat",
        "resnet_skip_time_act",
    ] {
        scrutiny.only(key, &off)?;
    }
    scrutiny.only("mid_block_scale_factor", &[json!(1)])?;
    scrutiny.only("resnet_out_scale_factor", &[json!(1)])?;
    scrutiny.only("time_embedding_type", &[json!("positional")])?;
    scrutiny.only("attention_type", &[json!("default")])
}

/// The levels of a UNet from the lists and single values of its config.
fn levels(scrutiny: &Scrutiny, written: &Written) -> std::result::Result<Vec<Level>, ConfigError> {
    let widths = &written.block_out_channels;
    let count = widths.len();
    scrutiny.require(count > 0, "block_out_channels", || "it must not be empty".to_owned())?;
    let as_many = || "it needs as many entries as block_out_channels".to_owned();
    scrutiny.require(written.down_block_types.len() == count, "down_block_types", as_many)?;
    scrutiny.require(written.up_block_types.len() == count, "up_block_types", as_many)?;
    scrutiny.only("down_block_types", &[json!("CrossAttnDownBlock2D"), json!("DownBlock2D")])?;
    scrutiny.only("up_block_types", &[json!("CrossAttnUpBlock2D"), json!("UpBlock2D")])?;
    let layers =
        written.layers_per_block.spread(count).ok_or_else(|| scrutiny.refuse("layers_per_block", as_many()))?;
    scrutiny.require(layers.iter().all(|n| *n > 0), "layers_per_block", || "it must be at least 1".to_owned())?;
    let heads =
        written.attention_head_dim.spread(count).ok_or_else(|| scrutiny.refuse("attention_head_dim", as_many()))?;
    let divides = widths.iter().zip(&heads).all(|(width, heads)| *heads > 0 && width.is_multiple_of(*heads));
    scrutiny.require(divides, "attention_head_dim", || {
        "for this kind of network it is the number of heads, which must divide the level's channels".to_owned()
    })?;
    let key = "transformer_layers_per_block";
    let down_depths =
        written.transformer_layers_per_block.spread(count).ok_or_else(|| scrutiny.refuse(key, as_many()))?;
    let up_depths = match &written.reverse_transformer_layers_per_block {
        Some(depths) => {
            depths.spread(count).ok_or_else(|| scrutiny.refuse("reverse_transformer_layers_per_block", as_many()))?
        }
        None => down_depths.iter().rev().cloned().collect(),
    };
    let spread = |depths: &OneOrEach<usize>, layers: usize| {
        depths.spread(layers).ok_or_else(|| scrutiny.refuse(key, "an inner list needs one entry a transformer"))
    };
    (0..count)
        .map(|i| {
            // The way up meets the levels in the opposite order.
            let above = count - 1 - i;
            let attends_down = written.down_block_types[i] == "CrossAttnDownBlock2D";
            let attends_up = written.up_block_types[above] == "CrossAttnUpBlock2D";
            Ok(Level {
                width: widths[i],
                layers: layers[i],
                heads: heads[i],
                down: if attends_down { spread(&down_depths[i], layers[i])? } else { Vec::new() },
                up: if attends_up { spread(&up_depths[above], layers[i] + 1)? } else { Vec::new() },
            })
        })
        .collect()
}

fn first(depths: &OneOrEach<usize>) -> usize {
    match depths {
        OneOrEach::One(depth) => *depth,
        OneOrEach::Each(depths) => depths.first().copied().unwrap_or(1),
    }
}

/// The noise predictor.
#[derive(Debug)]
pub struct Unet2dCondition {
    config: UnetConfig,
    time1: Linear,
    time2: Linear,
    conv_in: Conv2d,
    down: Vec<DownLevel>,
    middle: Option<MiddleLevel>,
    up: Vec<UpLevel>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    dtype: DType,
    device: Device,
}

impl Unet2dCondition {
    /// Builds the network from its tensors under the names that diffusers publishes.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the config asks for.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(config: &UnetConfig, vb: VarBuilder) -> Result<Self> {
        let levels = &config.levels;
        let (top, bottom) = (&levels[0], &levels[levels.len() - 1]);
        // The time embedding is computed in f32 whatever the dtype.
        let time = vb.pp("time_embedding").to_dtype(DType::F32);
        let same = |kernel: usize| (kernel - 1) / 2;
        let down = levels.iter().enumerate().map(|(i, level)| {
            let inputs = levels[i.saturating_sub(1)].width;
            let downsample = (i + 1 < levels.len()).then_some(config.downsample_padding);
            let plan = config.plan(level, level.layers, &level.down);
            DownLevel::load(&vb.pp(format!("down_blocks.{i}")), &plan, inputs, downsample)
        });
        let up = (0..levels.len()).map(|i| {
            let index = levels.len() - 1 - i;
            let level = &levels[index];
            let before = levels[(index + 1).min(levels.len() - 1)].width;
            let skip = levels[index.saturating_sub(1)].width;
            let plan = config.plan(level, level.layers + 1, &level.up);
            UpLevel::load(&vb.pp(format!("up_blocks.{i}")), &plan, before, skip, index > 0)
        });
        Ok(Self {
            time1: Linear::load(time.pp("linear_1"), top.width, config.time_width, true)?,
            time2: Linear::load(time.pp("linear_2"), config.time_width, config.time_width, true)?,
            conv_in: {
                let kernel = config.conv_in_kernel;
                Conv2d::load(vb.pp("conv_in"), config.in_channels, top.width, kernel, 1, same(kernel))?
            },
            down: down.collect::<Result<_>>()?,
            middle: match config.middle_depth {
                Some(depth) => {
                    let style = config.transformer(bottom, depth);
                    Some(MiddleLevel::load(&vb.pp("mid_block"), config.resnet(), style)?)
                }
                None => None,
            },
            up: up.collect::<Result<_>>()?,
            norm_out: GroupNorm::load(vb.pp("conv_norm_out"), config.norm_num_groups, top.width, config.norm_eps)?,
            conv_out: {
                let kernel = config.conv_out_kernel;
                Conv2d::load(vb.pp("conv_out"), top.width, config.out_channels, kernel, 1, same(kernel))?
            },
            dtype: vb.dtype(),
            device: vb.device().clone(),
            config: config.clone(),
        })
    }

    /// The config that the network was built from.
    #[must_use]
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// Predicts the noise (or velocity): `sample` `[batch, in_channels, h, w]`, one `timestep` for all rows (fractions
    /// are kept), `text` `[batch, n, cross_attention_dim]`; the result is `[batch, out_channels, h, w]`. Height and
    /// width are free, odd ones too.
    ///
    /// A watcher is shown `down_blocks.I`, `mid_block` and `up_blocks.I` (planes), and every attention that it asks
    /// for by the path of its weights (such as `down_blocks.0.attentions.0.transformer_blocks.0.attn2`): the map
    /// `[batch, positions, n]`, averaged over the heads.
    ///
    /// # Errors
    /// When the shapes do not fit the config, or the watcher stops the pass.
    pub fn forward(&self, sample: &Tensor, timestep: f64, text: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let (batch, channels, ..) = sample.dims4()?;
        let (texts, _, width) = text.dims3()?;
        if channels != self.config.in_channels || width != self.config.cross_attention_dim || texts != batch {
            candle_core::bail!(
                "the UNet takes {} channels and text of width {}, not {:?} with {:?}",
                self.config.in_channels,
                self.config.cross_attention_dim,
                sample.shape(),
                text.shape()
            );
        }
        let text = text.to_dtype(self.dtype)?;
        let time = self.time_embedding(timestep)?;
        let show = |name: &dyn Fn() -> String, x: &Tensor| {
            let name = name();
            if watcher.wants(&name) {
                watcher.tensor(&name, x);
            }
        };
        let mut x = sample.to_dtype(self.dtype)?;
        if self.config.center_input_sample {
            x = x.affine(2.0, -1.0)?;
        }
        x = self.conv_in.forward(&x)?;
        let mut skips = vec![x.clone()];
        for (i, level) in self.down.iter().enumerate() {
            x = level.forward(x, &time, &text, &mut skips, watcher)?;
            show(&|| format!("down_blocks.{i}"), &x);
        }
        if let Some(middle) = &self.middle {
            x = middle.forward(x, &time, &text, watcher)?;
            show(&|| "mid_block".to_owned(), &x);
        }
        for (i, level) in self.up.iter().enumerate() {
            x = level.forward(x, &time, &text, &mut skips, watcher)?;
            show(&|| format!("up_blocks.{i}"), &x);
        }
        watcher.checkpoint()?;
        x = norm_activated(&self.norm_out, self.config.activation, &x)?;
        self.conv_out.forward(&x)
    }

    /// The activated time embedding, `[1, time width]`, which is what every residual block wants.
    fn time_embedding(&self, timestep: f64) -> Result<Tensor> {
        let waves = sinusoids(timestep, self.config.levels[0].width, self.config.cosines_first, self.config.freq_shift);
        let waves = Tensor::from_vec(waves, (1, self.config.levels[0].width), &self.device)?;
        let hidden = self.config.activation.apply(&self.time1.forward(&waves)?)?;
        self.config.activation.apply(&self.time2.forward(&hidden)?)?.to_dtype(self.dtype)
    }
}

/// The time step as `width` sines and cosines of falling frequency, in single precision as the reference computes them.
fn sinusoids(timestep: f64, width: usize, cosines_first: bool, freq_shift: f64) -> Vec<f32> {
    let half = width / 2;
    let phases: Vec<f32> = (0..half)
        .map(|i| {
            let exponent = -(10_000f64.ln() as f32) * i as f32 / (half as f64 - freq_shift) as f32;
            timestep as f32 * exponent.exp()
        })
        .collect();
    let sines = phases.iter().map(|phase| phase.sin());
    let cosines = phases.iter().map(|phase| phase.cos());
    let mut waves: Vec<f32> =
        if cosines_first { cosines.chain(sines).collect() } else { sines.chain(cosines).collect() };
    waves.resize(width, 0.0);
    waves
}
