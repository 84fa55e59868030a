//! What a vision transformer is made of, read from its tensors' names and shapes and from timm's `config.json`.
//!
//! Most of it follows from the tensors alone; the config (its `model_args`, else what its `architecture` stands for)
//! tells the number of heads, the activation and the epsilon, which no tensor shows. Without a config, as for FiT3D's
//! files, the published models' values are taken (spec/fit3d.md section 5.2).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::nets::config::Activation;

/// Why a checkpoint is no vision transformer that can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VitError {
    /// Its tensors are those of another kind of network, or of a ViT in another library's layout.
    #[error("it is no vision transformer in timm's layout: {0}")]
    Other(String),
    /// A tensor that such a network has is not there.
    #[error("it lacks the tensor {0}")]
    Missing(String),
    /// The config asks for something that is not built here, or contradicts the tensors.
    #[error("{0}")]
    Unsupported(String),
}

/// Where patches get their positions from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// A learned table, added to what enters the first block.
    Table {
        /// How many of the prefix tokens have a row of their own, before the patches' rows.
        covered: usize,
        /// Rows and columns of the grid the table was trained for.
        grid: (usize, usize),
    },
    /// DINOv3's rotary angles in every block.
    Rotary {
        /// The longest period.
        temperature: f64,
        /// Whether the checkpoint has the periods themselves, `rope_embed.periods`, as Meta's files do.
        stored: bool,
    },
    /// None at all.
    None,
}

/// How a table of positions is brought to a grid that it was not trained for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resampling {
    /// timm's way: antialiased cubic interpolation between the two grids.
    #[default]
    Antialiased,
    /// The transformers library's: plain cubic interpolation, the borders repeated.
    Cubic,
    /// DINOv2's own code: the same, but stretched by (new side + 0.1) / old side, so that the last samples lie a little
    /// further in.
    CubicOffset,
}

/// How queries, keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projections {
    /// `qkv.weight`, perhaps `qkv.bias`, perhaps with `qkv.bias_mask` that blanks a part of it.
    Fused { bias: bool, masked: bool },
    /// `qkv.weight`, `q_bias` and `v_bias`.
    FusedNoKeyBias,
    /// `q_proj`, `k_proj`, `v_proj`, each with or without a bias.
    Split { q: bool, k: bool, v: bool },
}

/// How the branches of a block are scaled before they are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerScale {
    /// Not at all.
    None,
    /// `ls1.gamma`, `ls2.gamma`.
    Modules,
    /// `gamma_1`, `gamma_2`.
    Parameters,
}

/// The form of the feed-forward layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feedforward {
    /// `fc1`, activation, `fc2`.
    Plain,
    /// SwiGLU with gate and value in `fc1`.
    PackedGate,
    /// SwiGLU with `fc1_g` and `fc1_x`.
    SplitGate,
}

/// A vision transformer's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Width of the residual stream: the dimension of the features.
    pub width: usize,
    /// Transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward layers.
    pub inner: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Colour channels of the input.
    pub channels: usize,
    /// Whether the first token stands for the whole picture.
    pub class_token: bool,
    /// Register tokens after it.
    pub registers: usize,
    /// Where patches get their positions from.
    pub positions: Positions,
    /// How a table of positions comes to other grids; what reads a checkpoint of another library's may change it.
    pub resampling: Resampling,
    /// Whether there is a norm after the last block (timm moves it behind the pooling of some classifiers).
    pub final_norm: bool,
    pub(super) norm_pre: bool,
    pub(super) patch_bias: bool,
    pub(super) projections: Projections,
    pub(super) layer_scale: LayerScale,
    pub(super) feedforward: Feedforward,
    pub(super) activation: Activation,
    pub(super) eps: f64,
}

/// What a pass over a picture takes, by arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Patches of the grid.
    pub patches: usize,
    /// Multiplications with their additions.
    pub multiply_adds: u64,
    /// Bytes of activations at the peak, in f32.
    pub bytes: u64,
}

/// Meta's name for the periods of DINOv3's rotary angles, `[head / 4]`.
pub(super) const PERIODS: &str = "rope_embed.periods";

/// Names of networks that share tensors with these but compute otherwise.
const OTHER_ARITHMETIC: [&str; 5] = ["eva02", "rope", "_pe_", "rpn", "naflex"];

impl VitConfig {
    /// Reads a checkpoint: `json` is timm's `config.json` (null where there is none), `shapes` all its tensors.
    ///
    /// # Errors
    /// One clause: what it is instead, which tensor is missing, or what contradicts what.
    pub fn of(json: &Value, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Self, VitError> {
        let facts = Facts { json, shapes };
        let (width, channels, patch) = facts.patch_embedding()?;
        if let Some(word) = OTHER_ARITHMETIC.iter().find(|word| facts.architecture().contains(**word)) {
            return Err(VitError::Unsupported(format!(
                "its config says architecture {:?}, and networks with {word:?} in their name compute otherwise",
                facts.architecture()
            )));
        }
        let depth = facts.depth()?;
        let heads = facts.heads(width)?;
        let registers = match facts.shape("reg_token") {
            Some([1, count, _]) => *count,
            Some(shape) => return Err(VitError::Other(format!("its reg_token has the shape {shape:?}"))),
            None => facts.expected_registers(),
        };
        let class_token = facts.has("cls_token") || facts.expects_class_token();
        let rotary = facts.rotary(heads, width)?;
        let positions = match (facts.shape("pos_embed"), rotary) {
            (Some(_), Some(_)) => {
                return Err(VitError::Unsupported(
                    "it has both a table of positions and rotary angles, which is not built here".into(),
                ));
            }
            (Some([1, tokens, _]), None) => facts.table(*tokens, usize::from(class_token) + registers, patch)?,
            (Some(shape), None) => return Err(VitError::Other(format!("its pos_embed has the shape {shape:?}"))),
            (None, Some(temperature)) => Positions::Rotary { temperature, stored: facts.has(PERIODS) },
            (None, None) if facts.argument("pos_embed").and_then(Value::as_str).is_some_and(|word| word != "learn") => {
                Positions::None
            }
            (None, None) => return Err(VitError::Missing("pos_embed".into())),
        };
        let norm_pre = facts.has("norm_pre.weight")
            || facts.flag("pre_norm").or(facts.flag("use_pre_transformer_norm")).unwrap_or(false)
            || facts.architecture().contains("_clip_");
        let (feedforward, inner) = facts.feedforward()?;
        let projections = facts.projections()?;
        let config = Self {
            width,
            depth,
            heads,
            inner,
            patch,
            channels,
            class_token,
            registers,
            positions,
            resampling: Resampling::default(),
            norm_pre,
            patch_bias: facts.has("patch_embed.proj.bias") || !norm_pre,
            final_norm: facts.has("norm.weight") || facts.expects_final_norm(),
            projections,
            layer_scale: facts.layer_scale(),
            feedforward,
            activation: facts.activation()?,
            eps: facts.eps(norm_pre, rotary.is_some()),
        };
        config.check()?;
        Ok(config)
    }

    /// Tokens before the patches: the class token and the registers.
    #[must_use]
    pub fn prefix(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    /// What a pass over a grid of `rows` × `columns` patches takes.
    #[must_use]
    pub fn cost(&self, rows: usize, columns: usize) -> Cost {
        let patches = rows.saturating_mul(columns);
        let n = patches.saturating_add(self.prefix()) as u64;
        let (width, inner, depth) = (self.width as u64, self.inner as u64, self.depth as u64);
        let gates = if self.feedforward == Feedforward::Plain { 2 } else { 3 };
        let layers = 4 * width * width + gates * width * inner;
        let embedding = (patches as u64).saturating_mul(width * (self.channels * self.patch * self.patch) as u64);
        let block = n.saturating_mul(layers).saturating_add(n.saturating_mul(n).saturating_mul(2 * width));
        // The stream, its norm, queries, keys and values twice (before and after the split into heads), the two
        // widest planes of the feed-forward layers, and one block of attention scores.
        let planes = n.saturating_mul(4).saturating_mul(9 * width + 3 * inner);
        let pixels = (patches as u64).saturating_mul((8 * self.channels * self.patch * self.patch) as u64);
        Cost {
            patches,
            multiply_adds: embedding.saturating_add(block.saturating_mul(depth)),
            bytes: planes.saturating_add(pixels).saturating_add(128 << 20),
        }
    }

    fn check(&self) -> Result<(), VitError> {
        // Far beyond any published network, and small enough that no product of three of them overflows.
        let sizes = [self.width, self.inner, self.patch, self.registers];
        if let Some(size) = sizes.into_iter().find(|size| *size > 1 << 17) {
            return Err(VitError::Unsupported(format!("a vision transformer with a size of {size} cannot be built")));
        }
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(VitError::Unsupported(format!("{} heads do not share a width of {}", self.heads, self.width)));
        }
        if matches!(self.positions, Positions::Rotary { .. }) && !(self.width / self.heads).is_multiple_of(4) {
            return Err(VitError::Unsupported(format!(
                "rotary angles need heads whose width is a multiple of 4, not {}",
                self.width / self.heads
            )));
        }
        if self.channels != 3 {
            return Err(VitError::Unsupported(format!("it takes {} colour channels, not 3", self.channels)));
        }
        Ok(())
    }
}

/// A checkpoint's tensors and config under scrutiny.
struct Facts<'a> {
    json: &'a Value,
    shapes: &'a BTreeMap<String, Vec<usize>>,
}

impl Facts<'_> {
    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// The shape of `blocks.N.SUFFIX` in the first block that has it.
    fn in_blocks(&self, suffix: &str) -> Option<&[usize]> {
        self.shapes.iter().find_map(|(name, shape)| {
            let (_, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
            (rest == suffix).then_some(shape.as_slice())
        })
    }

    /// What the config calls the network; empty where there is none.
    fn architecture(&self) -> &str {
        self.json.get("architecture").and_then(Value::as_str).unwrap_or_default()
    }

    /// An argument of the network's constructor, where the config has it.
    fn argument(&self, key: &str) -> Option<&Value> {
        let argument = self.json.get("model_args").and_then(|args| args.get(key));
        argument.or_else(|| self.json.get(key)).filter(|value| !value.is_null())
    }

    fn number(&self, key: &str) -> Option<usize> {
        self.argument(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.argument(key).and_then(Value::as_bool)
    }

    /// Width, channels and side of a patch.
    fn patch_embedding(&self) -> Result<(usize, usize, usize), VitError> {
        match self.shape("patch_embed.proj.weight") {
            Some([width, channels, patch, other]) if patch == other && *patch > 0 && *width > 0 => {
                Ok((*width, *channels, *patch))
            }
            Some(shape) => Err(VitError::Unsupported(format!("its patch embedding has the shape {shape:?}"))),
            None if self.in_blocks("norm1.weight").is_some() => {
                Err(VitError::Missing("patch_embed.proj.weight".into()))
            }
            None => Err(VitError::Other(self.what_else())),
        }
    }

    /// What a checkpoint without patch embedding and blocks may be.
    fn what_else(&self) -> String {
        let ends = |suffix: &str| self.shapes.keys().any(|name| name.ends_with(suffix));
        let layout = if ends("patch_embedding.weight") {
            "its tensors have the transformers library's names of a CLIP or a like network; take the model's timm version"
                .to_owned()
        } else if ends("visual.conv1.weight") || ends("visual.class_embedding") {
            "its tensors have OpenAI's CLIP names; take the model's timm version".to_owned()
        } else {
            let names: Vec<&str> = self.shapes.keys().take(2).map(String::as_str).collect();
            format!("it has no patch_embed.proj.weight and begins with {}", names.join(", "))
        };
        match self.architecture() {
            "" => layout,
            architecture => format!("its config says architecture {architecture:?}, and {layout}"),
        }
    }

    /// Transformer blocks, by the tensors; a config that says otherwise is a contradiction.
    fn depth(&self) -> Result<usize, VitError> {
        let index = |name: &String| name.strip_prefix("blocks.")?.split_once('.')?.0.parse::<usize>().ok();
        let depth = self.shapes.keys().filter_map(index).max().map_or(0, |last| last.saturating_add(1));
        // A thousand blocks are far beyond any published network.
        if depth == 0 || depth > 1000 {
            return Err(VitError::Missing("blocks.0.norm1.weight".into()));
        }
        let said = self.number("depth");
        if let Some(said) = said.filter(|said| *said < depth) {
            return Err(VitError::Unsupported(format!("its config says {said} blocks, but its weights have {depth}")));
        }
        // Some named variants are deeper than their size's usual form, none is shallower.
        match said.or_else(|| Family::of(self.architecture()).map(|family| family.depth)) {
            Some(said) if said > depth => Err(VitError::Missing(format!("blocks.{depth}.norm1.weight"))),
            _ => Ok(depth),
        }
    }

    fn heads(&self, width: usize) -> Result<usize, VitError> {
        let known = self.number("num_heads").or_else(|| Family::of(self.architecture()).map(|family| family.heads));
        // Each head has four times as many channels as there are periods.
        let by_periods = || match self.shape(PERIODS) {
            Some([count]) if *count > 0 && width.is_multiple_of(4 * count) => Some(width / (4 * count)),
            _ => None,
        };
        // All other published models of the Features lens have 64 channels a head.
        known.or_else(by_periods).or_else(|| width.is_multiple_of(64).then_some(width / 64)).ok_or_else(|| {
            VitError::Unsupported(format!(
                "nothing says how many heads share its width of {width}; put num_heads into model_args in its config.json"
            ))
        })
    }

    /// Registers that the config promises.
    fn expected_registers(&self) -> usize {
        let said = self.number("reg_tokens").or_else(|| self.number("num_reg_tokens"));
        let named = self.architecture().contains("reg4") || self.architecture().contains("dinov3");
        said.unwrap_or(if named { 4 } else { 0 })
    }

    /// Whether there should be a class token although none was found.
    fn expects_class_token(&self) -> bool {
        let without = ["siglip", "gap"].iter().any(|word| self.architecture().contains(word));
        self.flag("class_token").unwrap_or(!without)
    }

    /// Whether there should be a last norm although none was found: not where a pooling head has taken it over.
    fn expects_final_norm(&self) -> bool {
        !self.has("fc_norm.weight") && self.flag("final_norm").unwrap_or(true)
    }

    /// The temperature of rotary angles, where there are any.
    fn rotary(&self, heads: usize, width: usize) -> Result<Option<f64>, VitError> {
        let named = self.architecture().contains("dinov3");
        // Without a config, a network with registers, or layer scale parameters, and no table can only be a DINOv3.
        let signs = self.has("reg_token") || self.in_blocks("gamma_1").is_some();
        let bare = self.architecture().is_empty() && !self.has("pos_embed") && (signs || self.has(PERIODS));
        if !self.flag("use_rot_pos_emb").unwrap_or(named || bare) {
            return Ok(None);
        }
        let refuse = |key: &str, value: &Value| {
            Err(VitError::Unsupported(format!(
                "its config says {key} = {value}, but only DINOv3's rotary angles are built here"
            )))
        };
        // What each argument must be, and whether it is that where the config is silent.
        let rules = [
            ("rope_type", Value::from("dinov3"), named || bare),
            ("rope_rotate_half", Value::from(true), named || bare),
            ("rope_grid_indexing", Value::from("ij"), true),
            ("rope_grid_offset", Value::from(0.0), true),
        ];
        for (key, only, usual) in rules {
            match self.argument(key) {
                Some(value) if *value != only && (value.as_f64().is_none() || value.as_f64() != only.as_f64()) => {
                    return refuse(key, value);
                }
                None if !usual => return refuse(key, &Value::Null),
                _ => {}
            }
        }
        if heads == 0 || width < heads {
            return Ok(None);
        }
        Ok(Some(self.argument("rope_temperature").and_then(Value::as_f64).unwrap_or(100.0)))
    }

    /// Which tokens and which grid a table of `tokens` positions is for.
    fn table(&self, tokens: usize, prefix: usize, patch: usize) -> Result<Positions, VitError> {
        let configured = self.input_size().map(|(height, width)| (height / patch, width / patch));
        let (architecture, none, all) = (self.architecture(), 0, prefix);
        let patches_alone = self.flag("no_embed_class").unwrap_or_else(|| {
            architecture.starts_with("deit3") || architecture.contains("reg4") || architecture.contains("siglip")
        });
        // DINOv2's own files with registers give the class token alone a position.
        let orders = if patches_alone { [none, all, 1] } else { [all, none, 1] };
        let fits = |grid: &dyn Fn(usize) -> Option<(usize, usize)>| {
            orders.into_iter().filter(|covered| *covered <= prefix).find_map(|covered| {
                let grid = grid(tokens.checked_sub(covered)?)?;
                Some(Positions::Table { covered, grid })
            })
        };
        let by_config =
            |patches: usize| configured.filter(|(rows, columns)| rows.checked_mul(*columns) == Some(patches));
        let square = |patches: usize| {
            let side = patches.isqrt();
            (side > 0 && side * side == patches).then_some((side, side))
        };
        fits(&by_config).or_else(|| fits(&square)).ok_or_else(|| {
            VitError::Unsupported(format!(
                "its table of {tokens} positions fits no grid of patches beside {prefix} prefix tokens"
            ))
        })
    }

    /// Height and width the network was trained at, by the config.
    fn input_size(&self) -> Option<(usize, usize)> {
        let side = |value: &Value| value.as_u64().and_then(|side| usize::try_from(side).ok());
        let pair = |height: &Value, width: &Value| Some((side(height)?, side(width)?));
        match self.argument("img_size") {
            Some(Value::Array(sides)) => match sides.as_slice() {
                [height, width] => pair(height, width),
                _ => None,
            },
            Some(value) => pair(value, value),
            None => match self.json.get("pretrained_cfg")?.get("input_size")?.as_array()?.as_slice() {
                [_, height, width] => pair(height, width),
                _ => None,
            },
        }
    }

    fn feedforward(&self) -> Result<(Feedforward, usize), VitError> {
        let inner = match self.in_blocks("mlp.fc2.weight") {
            Some([_, inner]) => *inner,
            _ => return Err(VitError::Missing("blocks.0.mlp.fc2.weight".into())),
        };
        if self.in_blocks("mlp.fc1_g.weight").is_some() {
            return Ok((Feedforward::SplitGate, inner));
        }
        match self.in_blocks("mlp.fc1.weight") {
            Some([outputs, _]) if *outputs == 2 * inner => Ok((Feedforward::PackedGate, inner)),
            Some(_) => Ok((Feedforward::Plain, inner)),
            None => Err(VitError::Missing("blocks.0.mlp.fc1.weight".into())),
        }
    }

    fn projections(&self) -> Result<Projections, VitError> {
        let there = |suffix: &str| self.in_blocks(suffix).is_some();
        if there("attn.qkv.weight") {
            if there("attn.q_bias") || there("attn.v_bias") {
                return Ok(Projections::FusedNoKeyBias);
            }
            // DINOv3 is published with and without biases; the others always have them.
            let dinov3 = self.in_blocks("gamma_1").is_some();
            let bias = there("attn.qkv.bias") || self.flag("qkv_bias").unwrap_or(!dinov3);
            return Ok(Projections::Fused { bias, masked: bias && there("attn.qkv.bias_mask") });
        }
        if there("attn.q_proj.weight") {
            let bias = |name: &str| there(&format!("attn.{name}.bias"));
            return Ok(Projections::Split { q: bias("q_proj"), k: bias("k_proj"), v: bias("v_proj") });
        }
        Err(VitError::Missing("blocks.0.attn.qkv.weight".into()))
    }

    fn layer_scale(&self) -> LayerScale {
        let there = |suffix: &str| self.in_blocks(suffix).is_some();
        if there("ls1.gamma") || there("ls2.gamma") {
            LayerScale::Modules
        } else if there("gamma_1") || there("gamma_2") || self.architecture().contains("dinov3") {
            LayerScale::Parameters
        } else if self.number_like("init_values") || ["dinov2", "deit3"].iter().any(|w| self.architecture().contains(w))
        {
            LayerScale::Modules
        } else {
            LayerScale::None
        }
    }

    fn number_like(&self, key: &str) -> bool {
        self.argument(key).and_then(Value::as_f64).is_some_and(|value| value != 0.0)
    }

    fn activation(&self) -> Result<Activation, VitError> {
        let Some(name) = self.argument("act_layer") else {
            let quick = self.architecture().contains("quickgelu");
            return Ok(if quick { Activation::QuickGelu } else { Activation::GeluErf });
        };
        let known = name.as_str().map(|name| if name == "gelu_tanh" { "gelu_new" } else { name });
        known.and_then(Activation::named).ok_or_else(|| {
            VitError::Unsupported(format!(
                "its config says act_layer = {name}, and known are gelu, quick_gelu, silu and the tanh gelu"
            ))
        })
    }

    /// timm's layer norms have 1e-6 unless the model says otherwise, as CLIP and DINOv3 do; transformers' configs tell.
    fn eps(&self, norm_pre: bool, rotary: bool) -> f64 {
        if let Some(eps) = self.argument("norm_eps").and_then(Value::as_f64).filter(|eps| *eps > 0.0) {
            return eps;
        }
        let architecture = self.architecture();
        let coarse = if architecture.is_empty() {
            norm_pre || rotary
        } else {
            architecture.contains("_clip_") || architecture.contains("dinov3")
        };
        if coarse { 1e-5 } else { 1e-6 }
    }
}

/// What the size in a timm architecture's name stands for, unless `model_args` says otherwise.
struct Family {
    depth: usize,
    heads: usize,
}

impl Family {
    fn of(architecture: &str) -> Option<Self> {
        let word = architecture
            .split('_')
            .find(|word| ["tiny", "small", "medium", "base", "large", "huge", "giant", "gigantic"].contains(word))?;
        let giant_heads = if architecture.contains("dinov2") { 24 } else { 16 };
        let (depth, heads) = match word {
            "tiny" => (12, 3),
            "small" => (12, 6),
            "medium" => (12, 8),
            "base" => (12, 12),
            "large" => (24, 16),
            "huge" if architecture.contains("dinov3") => (32, 20),
            "huge" => (32, 16),
            "giant" => (40, giant_heads),
            _ => (48, 16),
        };
        Some(Self { depth, heads })
    }
}
