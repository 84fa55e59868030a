//! CLIP's text encoder, which turns each instruction into what the UNet's cross-attention reads.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde_json::Value;

use super::config::{Activation, ConfigError, Scrutiny};
use super::watcher::Watcher;
use crate::ops::attention::attention;
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::ops::norm::LayerNorm;

/// A text encoder's `config.json`, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct ClipTextConfig {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the embeddings.
    pub hidden_size: usize,
    /// The longest text, in tokens with the two marks.
    pub max_position_embeddings: usize,
    intermediate_size: usize,
    layers: usize,
    heads: usize,
    activation: Activation,
    eps: f64,
}

/// The keys as they are written, with transformers' defaults.
#[derive(Deserialize)]
#[serde(default)]
struct Written {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    layer_norm_eps: f64,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            layer_norm_eps: 1e-5,
        }
    }
}

impl TryFrom<Value> for ClipTextConfig {
    type Error = ConfigError;

    fn try_from(json: Value) -> std::result::Result<Self, ConfigError> {
        Self::from_json(&json)
    }
}

impl ClipTextConfig {
    /// Reads and checks the contents of `text_encoder/config.json`, or the text part of a whole CLIP's config.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key and its value when the network cannot be built as the config says.
    pub fn from_json(json: &Value) -> std::result::Result<Self, ConfigError> {
        let json = json.get("text_config").filter(|part| part.is_object()).unwrap_or(json);
        let scrutiny = Scrutiny { network: "text encoder", json };
        let written: Written = scrutiny.read()?;
        let activation = scrutiny.activation("hidden_act", Activation::QuickGelu)?;
        let heads = written.num_attention_heads;
        scrutiny.require(heads > 0 && written.hidden_size.is_multiple_of(heads), "num_attention_heads", || {
            "it must divide hidden_size".to_owned()
        })?;
        Ok(Self {
            vocab_size: written.vocab_size,
            hidden_size: written.hidden_size,
            max_position_embeddings: written.max_position_embeddings,
            intermediate_size: written.intermediate_size,
            layers: written.num_hidden_layers,
            heads,
            activation,
            eps: written.layer_norm_eps,
        })
    }
}

/// The text encoder.
#[derive(Debug)]
pub struct ClipText {
    config: ClipTextConfig,
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<Layer>,
    norm: LayerNorm,
    dtype: DType,
}

impl ClipText {
    /// Builds the network from its tensors, with or without `text_model.` before their names.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the config asks for.
    pub fn load(config: &ClipTextConfig, vb: VarBuilder) -> Result<Self> {
        let prefixed = vb.contains_tensor("text_model.embeddings.token_embedding.weight");
        let vb = if prefixed { vb.pp("text_model") } else { vb };
        let width = config.hidden_size;
        Ok(Self {
            tokens: Embedding::load(vb.pp("embeddings.token_embedding"), config.vocab_size, width)?,
            positions: Embedding::load(vb.pp("embeddings.position_embedding"), config.max_position_embeddings, width)?,
            layers: (0..config.layers)
                .map(|i| Layer::load(config, &vb.pp(format!("encoder.layers.{i}"))))
                .collect::<Result<_>>()?,
            norm: LayerNorm::load(vb.pp("final_layer_norm"), width, config.eps)?,
            dtype: vb.dtype(),
            config: config.clone(),
        })
    }

    /// The config that the network was built from.
    #[must_use]
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// Token ids `[batch, n]` (u32) to the last hidden state after the final norm, `[batch, n, hidden_size]`. Each
    /// position sees itself and those before it; padding is not masked, as in the published editors.
    ///
    /// # Errors
    /// When the text is longer than the encoder's positions, an id lies outside the vocabulary, or the watcher stops
    /// the pass.
    pub fn forward(&self, ids: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let (_, n) = ids.dims2()?;
        if n > self.config.max_position_embeddings {
            candle_core::bail!(
                "the text encoder takes at most {} tokens, not {n}",
                self.config.max_position_embeddings
            );
        }
        let places = Tensor::arange(0, n as u32, ids.device())?;
        let mut x = self.tokens.forward(ids)?.broadcast_add(&self.positions.forward(&places)?)?.to_dtype(self.dtype)?;
        let mask = causal_mask(n, &x)?;
        for layer in &self.layers {
            watcher.checkpoint()?;
            x = layer.forward(&x, &mask)?;
        }
        self.norm.forward(&x)
    }
}

/// `[n, n]` in f32: 0 where the key is not after the query, −∞ elsewhere.
fn causal_mask(n: usize, like: &Tensor) -> Result<Tensor> {
    let mask: Vec<f32> =
        (0..n).flat_map(|q| (0..n).map(move |k| if k <= q { 0.0 } else { f32::NEG_INFINITY })).collect();
    Tensor::from_vec(mask, (n, n), like.device())
}

/// One transformer layer, norms first.
#[derive(Debug)]
struct Layer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm2: LayerNorm,
    hidden: Linear,
    back: Linear,
    heads: usize,
    activation: Activation,
}

impl Layer {
    fn load(config: &ClipTextConfig, vb: &VarBuilder) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let attention = |name: &str| Linear::load(vb.pp("self_attn").pp(name), width, width, true);
        Ok(Self {
            norm1: LayerNorm::load(vb.pp("layer_norm1"), width, config.eps)?,
            query: attention("q_proj")?,
            key: attention("k_proj")?,
            value: attention("v_proj")?,
            output: attention("out_proj")?,
            norm2: LayerNorm::load(vb.pp("layer_norm2"), width, config.eps)?,
            hidden: Linear::load(vb.pp("mlp.fc1"), width, inner, true)?,
            back: Linear::load(vb.pp("mlp.fc2"), inner, width, true)?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    fn forward(&self, x: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (batch, n, width) = x.dims3()?;
        let head = width / self.heads;
        let normed = self.norm1.forward(x)?;
        let split = |layer: &Linear| {
            layer.forward(&normed)?.reshape((batch, n, self.heads, head))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let mixed = attention(&q, &k, &v, 1.0 / (head as f64).sqrt(), Some(mask))?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape((batch, n, width))?;
        let x = (x + self.output.forward(&mixed)?)?;
        let hidden = self.activation.apply(&self.hidden.forward(&self.norm2.forward(&x)?)?)?;
        x + self.back.forward(&hidden)?
    }
}
