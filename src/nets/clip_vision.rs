//! CLIP's vision transformer: the eye of LLaVA (captions now, questions later) and a feature backbone of its own.
//!
//! Gives any of its hidden states, counted as the reference counts them: 0 is the embedding output (after the first
//! norm), `i` the output of layer `i`, so −1 is the last layer and −2 the one before it, which LLaVA reads.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::watcher::Watcher;
use crate::ops::activation::{gelu_erf, gelu_tanh, quick_gelu, silu};
use crate::ops::attention::attention;
use crate::ops::conv::Conv2d;
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::ops::norm::LayerNorm;

/// The fields of a CLIP vision config that decide its shape; absent ones take the published defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colour channels of the input.
    pub num_channels: usize,
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// `quick_gelu` (OpenAI's), `gelu`, …
    pub hidden_act: String,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            layer_norm_eps: 1e-5,
            hidden_act: "quick_gelu".to_owned(),
        }
    }
}

impl ClipVisionConfig {
    /// Patches along one side of the input.
    #[must_use]
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    fn check(&self) -> Result<()> {
        // Far beyond any published tower, and small enough that no product of two of them overflows.
        let sizes = [self.hidden_size, self.intermediate_size, self.num_channels, self.image_size, self.patch_size];
        if let Some(size) = sizes.into_iter().find(|size| *size > 1 << 20) {
            candle_core::bail!("a vision tower with a size of {size} cannot be built");
        }
        if self.patch_size == 0 || self.grid() == 0 {
            candle_core::bail!(
                "a vision tower of {} pixels and patches of {} cannot be built",
                self.image_size,
                self.patch_size
            );
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            candle_core::bail!("{} heads do not share a width of {}", self.num_attention_heads, self.hidden_size);
        }
        Ok(())
    }
}

/// An activation that a config names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · Φ(x), exact.
    Gelu,
    /// The tanh approximation of gelu.
    GeluTanh,
    /// x · sigmoid(1.702 x).
    QuickGelu,
    /// x · sigmoid(x).
    Silu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The activation of that name, as configs of the transformers library spell it.
    ///
    /// # Errors
    /// When the name is not known.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "silu" | "swish" => Self::Silu,
            "relu" => Self::Relu,
            other => candle_core::bail!("the activation `{other}` is not known"),
        })
    }

    /// Applies it to every element.
    ///
    /// # Errors
    /// Only what the device reports.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => gelu_erf(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::QuickGelu => quick_gelu(x),
            Self::Silu => silu(x),
            Self::Relu => x.relu(),
        }
    }
}

#[derive(Clone, Debug)]
struct Layer {
    norm1: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    heads: usize,
}

impl Layer {
    fn load(config: &ClipVisionConfig, activation: Activation, vb: &VarBuilder) -> Result<Self> {
        let (width, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let attention = vb.pp("self_attn");
        let mlp = vb.pp("mlp");
        Ok(Self {
            norm1: LayerNorm::load(vb.pp("layer_norm1"), width, eps)?,
            q: Linear::load(attention.pp("q_proj"), width, width, true)?,
            k: Linear::load(attention.pp("k_proj"), width, width, true)?,
            v: Linear::load(attention.pp("v_proj"), width, width, true)?,
            out: Linear::load(attention.pp("out_proj"), width, width, true)?,
            norm2: LayerNorm::load(vb.pp("layer_norm2"), width, eps)?,
            fc1: Linear::load(mlp.pp("fc1"), width, inner, true)?,
            fc2: Linear::load(mlp.pp("fc2"), inner, width, true)?,
            activation,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, n, width) = x.dims3()?;
        let head = width / self.heads;
        let split = |x: Tensor| x.reshape((batch, n, self.heads, head))?.transpose(1, 2)?.contiguous();
        let inner = self.norm1.forward(x)?;
        let (q, k, v) = (self.q.forward(&inner)?, self.k.forward(&inner)?, self.v.forward(&inner)?);
        let y = attention(&split(q)?, &split(k)?, &split(v)?, 1.0 / (head as f64).sqrt(), None)?;
        let x = (x + self.out.forward(&y.transpose(1, 2)?.reshape((batch, n, width))?)?)?;
        let inner = self.activation.forward(&self.fc1.forward(&self.norm2.forward(&x)?)?)?;
        x + self.fc2.forward(&inner)?
    }
}

/// The vision transformer.
#[derive(Clone, Debug)]
pub struct ClipVision {
    class: Tensor,
    patches: Conv2d,
    positions: Embedding,
    pre_norm: LayerNorm,
    layers: Vec<Layer>,
    /// Absent from files of models that read an inner layer only.
    post_norm: Option<LayerNorm>,
    config: ClipVisionConfig,
}

impl ClipVision {
    /// Reads `embeddings.*`, `pre_layrnorm` (published spelling), `encoder.layers.N.*`, `post_layernorm`.
    ///
    /// `vb` may stand at these names or above a `vision_model` that holds them.
    ///
    /// # Errors
    /// When the config makes no network, or a tensor is missing or has another shape.
    pub fn load(config: &ClipVisionConfig, vb: &VarBuilder) -> Result<Self> {
        config.check()?;
        let vb = if vb.contains_tensor("vision_model.embeddings.class_embedding") {
            vb.pp("vision_model")
        } else {
            vb.clone()
        };
        let activation = Activation::named(&config.hidden_act)?;
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let embeddings = vb.pp("embeddings");
        let layers = vb.pp("encoder.layers");
        Ok(Self {
            class: embeddings.get(width, "class_embedding")?,
            patches: Conv2d::load_no_bias(
                embeddings.pp("patch_embedding"),
                config.num_channels,
                width,
                config.patch_size,
                config.patch_size,
                0,
            )?,
            positions: Embedding::load(embeddings.pp("position_embedding"), config.grid() * config.grid() + 1, width)?,
            pre_norm: LayerNorm::load(vb.pp("pre_layrnorm"), width, eps)?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(config, activation, &layers.pp(index)))
                .collect::<Result<_>>()?,
            post_norm: if vb.contains_tensor("post_layernorm.weight") {
                Some(LayerNorm::load(vb.pp("post_layernorm"), width, eps)?)
            } else {
                None
            },
            config: config.clone(),
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn config(&self) -> &ClipVisionConfig {
        &self.config
    }

    /// How many hidden states there are: the embedding output and one a layer.
    #[must_use]
    pub fn states(&self) -> usize {
        self.layers.len() + 1
    }

    /// The hidden states that `which` names, each `[batch, 1 + grid², hidden]` with the class token first, for pictures
    /// `[batch, channels, image_size, image_size]`, normalised. Negative numbers count from the end. Layers above the
    /// highest one asked for are not run.
    ///
    /// # Errors
    /// When a number names no state, the pictures have another size, or the watcher stops the pass.
    pub fn hidden_states(&self, pixels: &Tensor, which: &[i64], watcher: &dyn Watcher) -> Result<Vec<Tensor>> {
        let count = self.states() as i64;
        let wanted = which
            .iter()
            .map(|&index| {
                let from_start = if index < 0 { index + count } else { index };
                match usize::try_from(from_start) {
                    Ok(state) if from_start < count => Ok(state),
                    _ => candle_core::bail!("a vision tower of {} layers has no hidden state {index}", count - 1),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let highest = wanted.iter().copied().max().unwrap_or(0);
        let mut found: Vec<Option<Tensor>> = vec![None; wanted.len()];
        let mut keep = |state: usize, x: &Tensor| {
            for (slot, _) in found.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted == state) {
                *slot = Some(x.clone());
            }
        };
        let mut x = self.embed(pixels)?;
        keep(0, &x);
        for (index, layer) in self.layers.iter().take(highest).enumerate() {
            watcher.checkpoint()?;
            x = layer.forward(&x)?;
            keep(index + 1, &x);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The class token of the last layer after the last norm, `[batch, hidden]`.
    ///
    /// # Errors
    /// As [`ClipVision::hidden_states`].
    pub fn pooled(&self, pixels: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let mut states = self.hidden_states(pixels, &[-1], watcher)?;
        match (states.pop(), &self.post_norm) {
            (Some(last), Some(norm)) => norm.forward(&last.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?),
            (_, None) => candle_core::bail!("the vision tower has no last norm (post_layernorm)"),
            (None, _) => candle_core::bail!("the vision tower gave no state"),
        }
    }

    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = pixels.dims4()?;
        let side = self.config.image_size;
        if (channels, height, width) != (self.config.num_channels, side, side) {
            candle_core::bail!(
                "the vision tower takes {} × {side} × {side}, not {channels} × {height} × {width}",
                self.config.num_channels
            );
        }
        let patches = self.patches.forward(pixels)?.flatten_from(2)?.transpose(1, 2)?;
        let hidden = self.config.hidden_size;
        let class = self.class.reshape((1, 1, hidden))?.broadcast_as((batch, 1, hidden))?.contiguous()?;
        let x = Tensor::cat(&[&class, &patches.contiguous()?], 1)?;
        self.pre_norm.forward(&x.broadcast_add(&self.positions.table()?.unsqueeze(0)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{Activation, ClipVision, ClipVisionConfig};
    use crate::nets::parity::{Fixture, relative_l2};
    use crate::nets::watcher::Unwatched;

    #[test]
    fn gives_the_reference_hidden_states_counted_as_the_reference_counts_them() {
        for case in ["clip-vision", "clip-vision-gelu"] {
            let fixture = Fixture::open(&format!("language/{case}"));
            let tower = ClipVision::load(&fixture.config::<ClipVisionConfig>(), &fixture.weights()).unwrap();
            let pixels = fixture.input("pixels");
            let count = tower.states() as i64;
            let from_start = (0..count).collect::<Vec<_>>();
            let from_end = from_start.iter().map(|index| index - count).collect::<Vec<_>>();
            for which in [from_start, from_end] {
                let states = tower.hidden_states(&pixels, &which, &Unwatched).unwrap();
                assert_eq!(states.len(), which.len());
                for (index, state) in states.iter().enumerate() {
                    let distance = relative_l2(state, &fixture.output(&format!("hidden.{index}")));
                    assert!(distance <= 1e-5, "{case}, state {index}: relative L2 {distance:.1e}");
                }
            }
            let distance = relative_l2(&tower.pooled(&pixels, &Unwatched).unwrap(), &fixture.output("pooled"));
            assert!(distance <= 1e-5, "{case}, pooled: relative L2 {distance:.1e}");
            assert!(tower.hidden_states(&pixels, &[count], &Unwatched).is_err());
            assert!(tower.hidden_states(&pixels, &[-count - 1], &Unwatched).is_err());
        }
    }

    #[test]
    fn refuses_pictures_of_another_size_and_unknown_activations() {
        let fixture = Fixture::open("language/clip-vision");
        let tower = ClipVision::load(&fixture.config::<ClipVisionConfig>(), &fixture.weights()).unwrap();
        let smaller = fixture.input("pixels").narrow(3, 0, 21).unwrap();
        assert!(tower.hidden_states(&smaller, &[-2], &Unwatched).is_err());
        assert!(Activation::named("mish").is_err());
    }
}
