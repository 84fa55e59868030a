//! The Llama decoder: the language half of LLaVA, of the starter specifier and of chat models of the Llama, Mistral,
//! Qwen, Gemma and Phi families.
//!
//! Built from the fields of a published `config.json` ([`config`]) and from layers of safetensors or GGUF files
//! ([`weights`]). Grouped-query attention, rotary positions of all the families, layers with and without a window, a
//! key/value [`cache`] that can be rewound, tied or separate output embeddings. In a model with FlexAttention's two further
//! projections, the last row of a pass may read tokens beside the sequence ([`high_resolution`]).

pub mod cache;
pub mod config;
pub mod high_resolution;
pub mod weights;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

pub use self::cache::KeyValueCache;
use self::config::Frequencies;
pub use self::config::LlamaConfig;
use self::high_resolution::{HighResolution, LastRow, Reading};
use self::weights::DecoderWeights;
use super::config::Activation;
use super::watcher::Watcher;
use crate::ops::attention::{attention, attention_capped};
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::ops::norm::RmsNorm;
use crate::ops::rotary::{rotate_first, rotate_neighbours};
use crate::ops::row_attention::{Beside, row_attention};
use crate::ops::softmax::softmax_last;

/// Cosines and sines `[n, pairs]` of the positions `from..from + n`.
fn rotary_tables(of: &Frequencies, from: usize, n: usize, like: &Tensor) -> Result<(Tensor, Tensor)> {
    let pairs = of.inverse.len();
    let mut cos = Vec::with_capacity(n * pairs);
    let mut sin = Vec::with_capacity(n * pairs);
    for position in from..from + n {
        for frequency in &of.inverse {
            let angle = position as f32 * frequency;
            cos.push(angle.cos() * of.magnitude);
            sin.push(angle.sin() * of.magnitude);
        }
    }
    let table = |values: Vec<f32>| Tensor::from_vec(values, (n, pairs), like.device())?.to_dtype(like.dtype());
    Ok((table(cos)?, table(sin)?))
}

/// The parts of a config and its weights that every layer is built from.
struct Parts<'a> {
    config: &'a LlamaConfig,
    weights: &'a dyn DecoderWeights,
}

impl Parts<'_> {
    fn norm(&self, name: &str, width: usize) -> Result<RmsNorm> {
        let weight = self.weights.norm(name, width)?;
        let weight = if self.config.family.norms_from_zero { (weight.to_dtype(DType::F32)? + 1.0)? } else { weight };
        RmsNorm::new(weight, self.config.rms_norm_eps)
    }
}

/// Several layers over the same input, as one matrix or as one each.
#[derive(Clone, Debug)]
enum Projections<const N: usize> {
    Each(Box<[Linear; N]>),
    Fused(Linear, [usize; N]),
}

impl<const N: usize> Projections<N> {
    /// What the last row alone needs of the first projection, and all rows of the others.
    fn forward_first_of_last(&self, x: &Tensor) -> Result<[Tensor; N]> {
        let last = |x: &Tensor| x.narrow(1, x.dim(1)? - 1, 1)?.contiguous();
        match self {
            Self::Each(layers) => {
                let mut parts = Vec::with_capacity(N);
                for (index, layer) in layers.iter().enumerate() {
                    parts.push(if index == 0 { layer.forward(&last(x)?)? } else { layer.forward(x)? });
                }
                parts.try_into().map_err(|_| candle_core::Error::msg("a projection has another number of parts"))
            }
            Self::Fused(..) => {
                let mut parts = self.forward(x)?;
                if let Some(first) = parts.first_mut() {
                    *first = last(first)?;
                }
                Ok(parts)
            }
        }
    }

    fn forward(&self, x: &Tensor) -> Result<[Tensor; N]> {
        let mut parts = Vec::with_capacity(N);
        match self {
            Self::Each(layers) => {
                for layer in layers.iter() {
                    parts.push(layer.forward(x)?);
                }
            }
            Self::Fused(layer, widths) => {
                let all = layer.forward(x)?;
                let mut start = 0;
                for width in widths {
                    parts.push(all.narrow(D::Minus1, start, *width)?.contiguous()?);
                    start += width;
                }
            }
        }
        parts.try_into().map_err(|_| candle_core::Error::msg("a projection has another number of parts"))
    }
}

#[derive(Clone, Debug)]
struct Attention {
    inputs: Projections<3>,
    output: Linear,
    norms: Option<(RmsNorm, RmsNorm)>,
    /// To keys and values of the high-resolution tokens, in layers that read them.
    high_resolution: Option<Box<(Linear, Linear)>>,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
    scale: f64,
    cap: Option<f64>,
    neighbour_pairs: bool,
    local: bool,
}

impl Attention {
    fn load(parts: &Parts<'_>, name: &str, index: usize) -> Result<Self> {
        let local = parts.config.window(index).is_some();
        let (config, weights) = (parts.config, parts.weights);
        let (heads, key_value_heads, head_dim) =
            (config.num_attention_heads, config.key_value_heads(), config.head_dim());
        let (hidden, bias) = (config.hidden_size, config.attention_bias);
        let inner_bias = bias || config.family.query_key_value_bias;
        let widths = [heads * head_dim, key_value_heads * head_dim, key_value_heads * head_dim];
        let linear = |part: &str, width: usize| weights.linear(&format!("{name}.{part}"), hidden, width, inner_bias);
        let inputs = if config.family.fused {
            Projections::Fused(linear("qkv_proj", widths.iter().sum())?, widths)
        } else {
            let [q, k, v] = widths;
            Projections::Each(Box::new([linear("q_proj", q)?, linear("k_proj", k)?, linear("v_proj", v)?]))
        };
        let norm = |part: &str| parts.norm(&format!("{name}.{part}"), head_dim);
        let reads = config.reads_high_resolution_from.is_some_and(|first| index >= first);
        let high_resolution = if reads {
            let [_, k, v] = widths;
            Some(Box::new((linear("k_proj_hd", k)?, linear("v_proj_hd", v)?)))
        } else {
            None
        };
        Ok(Self {
            inputs,
            output: weights.linear(&format!("{name}.o_proj"), heads * head_dim, hidden, bias)?,
            norms: if config.family.query_key_norm { Some((norm("q_norm")?, norm("k_norm")?)) } else { None },
            high_resolution,
            heads,
            key_value_heads,
            head_dim,
            scale: config.score_scale(),
            cap: config.family.attention_cap,
            neighbour_pairs: config.family.neighbour_pairs,
            local,
        })
    }

    /// `only_last`: what the last row becomes is all that is wanted, `[batch, 1, hidden]`.
    fn forward(&self, x: &Tensor, layer: usize, only_last: bool, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (batch, n, _) = x.dims3()?;
        let split = |x: Tensor, heads: usize| x.reshape((batch, (), heads, self.head_dim))?.transpose(1, 2);
        let [q, k, v] = if only_last { self.inputs.forward_first_of_last(x)? } else { self.inputs.forward(x)? };
        let (mut q, mut k) = (split(q, self.heads)?, split(k, self.key_value_heads)?);
        if let Some((q_norm, k_norm)) = &self.norms {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        let reach = if self.local { &pass.near } else { &pass.far };
        let rotate = if self.neighbour_pairs { rotate_neighbours } else { rotate_first };
        let queries = q.dim(2)?;
        let rows = |table: &Tensor| table.narrow(0, n - queries, queries);
        let q = rotate(&q, &rows(&reach.cos)?, &rows(&reach.sin)?)?;
        let k = rotate(&k, &reach.cos, &reach.sin)?;
        let v = split(v, self.key_value_heads)?;
        let (k, v) = pass.cache.extend(layer, &k, &v)?;
        let name = format!("layers.{layer}.attention");
        if pass.watcher.wants(&name) {
            pass.watcher.tensor(&name, &self.last_row(&q, &k, reach)?);
        }
        let mask = match &reach.mask {
            Some(mask) => Some(mask.narrow(0, n - queries, queries)?),
            None => None,
        };
        let y = match &mut pass.reading {
            None => self.attend(&q, &k, &v, mask.as_ref())?,
            Some(reading) => {
                let last = self.read_last(&q.narrow(2, queries - 1, 1)?, &k, &v, layer, reading)?;
                if queries == 1 {
                    last
                } else {
                    let mask = mask.as_ref().map(|mask| mask.narrow(0, 0, queries - 1)).transpose()?;
                    let others = self.attend(&q.narrow(2, 0, queries - 1)?, &k, &v, mask.as_ref())?;
                    Tensor::cat(&[others, last], 2)?
                }
            }
        };
        let y = y.transpose(1, 2)?.reshape((batch, queries, self.heads * self.head_dim))?;
        self.output.forward(&y)
    }

    /// Queries `[batch, heads, queries, d]` over all keys.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, _, queries, _) = q.dims4()?;
        // Query heads that share a key head become further queries of that head, so that nothing is copied.
        let groups = self.heads / self.key_value_heads;
        let grouped = if groups > 1 {
            q.reshape((batch, self.key_value_heads, groups * queries, self.head_dim))?
        } else {
            q.clone()
        };
        let mask = match mask {
            Some(mask) if groups > 1 => Some(mask.repeat((groups, 1))?),
            mask => mask.cloned(),
        };
        let y = match self.cap {
            Some(cap) => attention_capped(&grouped, k, v, self.scale, cap, mask.as_ref())?,
            None => attention(&grouped, k, v, self.scale, mask.as_ref())?,
        };
        if groups > 1 { y.reshape((batch, self.heads, queries, self.head_dim)) } else { Ok(y) }
    }

    /// The last query `[1, heads, 1, d]` over all keys and what it reads beside them.
    fn read_last(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        layer: usize,
        reading: &mut PassReading<'_>,
    ) -> Result<Tensor> {
        let gathered = match (reading.selector.cells(layer), &mut reading.beside, &self.high_resolution) {
            (Some(cells), Some(beside), Some(to)) => {
                beside.gather(layer, &cells, (&to.0, &to.1), (self.key_value_heads, self.head_dim))?
            }
            (Some(_), Some(_), None) => {
                candle_core::bail!("layer {layer} has no projections of high-resolution tokens")
            }
            _ => None,
        };
        let beside = gathered.as_ref().map(|all| Beside { keys: &all.keys, values: &all.values, runs: &all.runs });
        let found = row_attention(q, k, v, self.scale, beside.as_ref())?;
        let row = LastRow {
            heads: self.heads,
            plain: found.plain,
            beside: found.beside,
            tokens: found.rows,
            projected: gathered.map_or(0, |all| all.projected),
        };
        reading.selector.looked(layer, row)?;
        Ok(found.output)
    }

    /// The last query's softmax row, `[batch, heads, keys]`.
    fn last_row(&self, q: &Tensor, k: &Tensor, reach: &Reach) -> Result<Tensor> {
        let (batch, _, n, _) = q.dims4()?;
        let groups = self.heads / self.key_value_heads;
        let row = q.narrow(2, n - 1, 1)?.reshape((batch, self.key_value_heads, groups, self.head_dim))?;
        let scores = (row.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? * self.scale)?;
        let scores = scores.to_dtype(DType::F32)?;
        let scores = match self.cap {
            Some(cap) => ((scores / cap)?.tanh()? * cap)?,
            None => scores,
        };
        let scores = match &reach.mask {
            Some(mask) => scores.broadcast_add(&mask.narrow(0, mask.dim(0)? - 1, 1)?)?,
            None => scores,
        };
        softmax_last(&scores)?.reshape((batch, self.heads, ()))
    }
}

/// The gated layers between two attentions.
#[derive(Clone, Debug)]
struct FeedForward {
    inputs: Projections<2>,
    down: Linear,
    activation: Activation,
}

impl FeedForward {
    fn load(parts: &Parts<'_>, name: &str) -> Result<Self> {
        let config = parts.config;
        let (hidden, inner, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        let linear =
            |part: &str, from: usize, to: usize| parts.weights.linear(&format!("{name}.{part}"), from, to, bias);
        let inputs = if config.family.fused {
            Projections::Fused(linear("gate_up_proj", hidden, 2 * inner)?, [inner; 2])
        } else {
            Projections::Each(Box::new([linear("gate_proj", hidden, inner)?, linear("up_proj", hidden, inner)?]))
        };
        Ok(Self { inputs, down: linear("down_proj", inner, hidden)?, activation: config.activation()? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = self.inputs.forward(x)?;
        self.down.forward(&(self.activation.apply(&gate)? * up)?)
    }
}

#[derive(Clone, Debug)]
struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    feed_forward_norm: RmsNorm,
    feed_forward: FeedForward,
    /// Norms behind attention and feed-forward.
    outer_norms: Option<(RmsNorm, RmsNorm)>,
}

impl Layer {
    fn load(parts: &Parts<'_>, index: usize) -> Result<Self> {
        let name = format!("layers.{index}");
        let norm = |part: &str| parts.norm(&format!("{name}.{part}"), parts.config.hidden_size);
        let outer = parts.config.family.outer_norms;
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: Attention::load(parts, &format!("{name}.self_attn"), index)?,
            feed_forward_norm: norm(if outer { "pre_feedforward_layernorm" } else { "post_attention_layernorm" })?,
            feed_forward: FeedForward::load(parts, &format!("{name}.mlp"))?,
            outer_norms: if outer {
                Some((norm("post_attention_layernorm")?, norm("post_feedforward_layernorm")?))
            } else {
                None
            },
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, only_last: bool, pass: &mut Pass<'_>) -> Result<Tensor> {
        let attended = self.attention.forward(&self.attention_norm.forward(x)?, layer, only_last, pass)?;
        let x = &if only_last { x.narrow(1, x.dim(1)? - 1, 1)? } else { x.clone() };
        let Some((after_attention, after_feed_forward)) = &self.outer_norms else {
            let x = (x + attended)?;
            return &x + self.feed_forward.forward(&self.feed_forward_norm.forward(&x)?)?;
        };
        let x = (x + after_attention.forward(&attended)?)?;
        let y = self.feed_forward.forward(&self.feed_forward_norm.forward(&x)?)?;
        &x + after_feed_forward.forward(&y)?
    }
}

/// How far the queries of a pass see, and by how much their positions turn them.
struct Reach {
    cos: Tensor,
    sin: Tensor,
    /// Added to the scores, `[n, cache + n]`; absent where every query may see everything.
    mask: Option<Tensor>,
}

/// What all layers of one pass share.
struct Pass<'a> {
    /// Of the layers that see everything.
    far: Reach,
    /// Of the layers with a window.
    near: Reach,
    cache: &'a mut KeyValueCache,
    watcher: &'a dyn Watcher,
    reading: Option<PassReading<'a>>,
}

/// What the last row of a pass reads beside the sequence.
struct PassReading<'a> {
    selector: &'a mut dyn Reading,
    beside: Option<&'a mut HighResolution>,
}

/// The decoder with its output layer.
#[derive(Clone, Debug)]
pub struct Llama {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    far: Frequencies,
    near: Frequencies,
    config: LlamaConfig,
}

impl Llama {
    /// Builds the decoder of a plain folder: `model.embed_tokens`, `model.layers.N`, `model.norm`, `lm_head`.
    ///
    /// # Errors
    /// When the config makes no network, or a tensor is missing or has another shape.
    pub fn load(config: &LlamaConfig, vb: &VarBuilder) -> Result<Self> {
        Self::load_parts(config, &vb.pp("model"), vb)
    }

    /// Builds the decoder from where a larger model or another kind of file keeps its two parts: `model` has
    /// `embed_tokens`, `layers.N` and `norm`; `outer` has `lm_head`, not looked at when the config ties it to the token
    /// table.
    ///
    /// # Errors
    /// When the config makes no network, or a tensor is missing or has another shape.
    pub fn load_parts(config: &LlamaConfig, model: &dyn DecoderWeights, outer: &dyn DecoderWeights) -> Result<Self> {
        config.check()?;
        let far = config.frequencies()?;
        let near = config.local_frequencies()?.unwrap_or_else(|| far.clone());
        let embedding = model.embedding("embed_tokens", config.vocab_size, config.hidden_size)?;
        let parts = Parts { config, weights: model };
        let head = if config.tie_word_embeddings {
            embedding.output_layer()?
        } else {
            outer.linear("lm_head", config.hidden_size, config.vocab_size, false)?
        };
        Ok(Self {
            layers: (0..config.num_hidden_layers).map(|index| Layer::load(&parts, index)).collect::<Result<_>>()?,
            norm: parts.norm("norm", config.hidden_size)?,
            embedding,
            head,
            far,
            near,
            config: config.clone(),
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Where its weights lie.
    #[must_use]
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// The token table's rows, scaled where the family scales them: ids `[batch, n]` (u32) to `[batch, n, hidden]`.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let rows = self.embedding.forward(ids)?;
        if self.config.family.scaled_embeddings { rows * (self.config.hidden_size as f64).sqrt() } else { Ok(rows) }
    }

    /// Runs the decoder over embeddings `[batch, n, hidden]` that follow what `cache` holds; returns the states after
    /// the final norm, `[batch, n, hidden]`, and leaves the new keys and values in the cache.
    ///
    /// The watcher is asked between layers whether to stop, and offered `layers.L.input` `[batch, n, hidden]` and
    /// `layers.L.attention` `[batch, heads, cache + n]`, the last query's softmax row.
    ///
    /// # Errors
    /// When shapes do not fit, or the watcher stops the pass (the cache is then as before).
    pub fn decode(&self, embeddings: &Tensor, cache: &mut KeyValueCache, watcher: &dyn Watcher) -> Result<Tensor> {
        self.pass(embeddings, cache, watcher, None)
    }

    /// The state after the final norm `[1, 1, hidden]` of the last of the embeddings `[1, n, hidden]`, whose row reads, in the
    /// layers where `selector` says so, tokens of `beside` with one softmax over both.
    ///
    /// The last layer computes that row alone. The watcher as in [`Llama::decode`].
    ///
    /// # Errors
    /// As [`Llama::decode`], and when the model has windows or capped scores, or no projections where tokens are to be read.
    pub fn decode_reading(
        &self,
        embeddings: &Tensor,
        cache: &mut KeyValueCache,
        selector: &mut dyn Reading,
        beside: Option<&mut HighResolution>,
        watcher: &dyn Watcher,
    ) -> Result<Tensor> {
        if self.config.family.local.is_some() || self.config.family.attention_cap.is_some() || embeddings.dim(0)? != 1 {
            candle_core::bail!("this decoder cannot read beside the sequence");
        }
        self.pass(embeddings, cache, watcher, Some(PassReading { selector, beside }))
    }

    fn pass<'a>(
        &self,
        embeddings: &Tensor,
        cache: &'a mut KeyValueCache,
        watcher: &'a dyn Watcher,
        reading: Option<PassReading<'a>>,
    ) -> Result<Tensor> {
        let (_, n, _) = embeddings.dims3()?;
        if n == 0 {
            candle_core::bail!("a decoder pass needs at least one token");
        }
        let held = cache.len();
        let reach = |frequencies: &Frequencies, window: Option<usize>| -> Result<Reach> {
            let (cos, sin) = rotary_tables(frequencies, held, n, embeddings)?;
            let hides = n > 1 || window.is_some_and(|window| held + n > window);
            let mask = if hides { Some(causal_mask(n, held, window, embeddings.device())?) } else { None };
            Ok(Reach { cos, sin, mask })
        };
        let window = self.config.family.local.as_ref().map(|local| local.window);
        let (far, near) = (reach(&self.far, None)?, reach(&self.near, window)?);
        let ends_in_one = reading.is_some();
        let mut pass = Pass { far, near, cache, watcher, reading };
        let mut x = embeddings.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            watcher.checkpoint()?;
            let name = format!("layers.{index}.input");
            if watcher.wants(&name) {
                watcher.tensor(&name, &x);
            }
            let only_last = ends_in_one && index + 1 == self.layers.len();
            x = layer.forward(&x, index, only_last, &mut pass)?;
        }
        pass.cache.advance(n);
        self.norm.forward(&x)
    }

    /// Scores of the next token: states `[batch, n, hidden]` to `[batch, n, vocab]`.
    ///
    /// # Errors
    /// When the states' width is not the model's.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor> {
        let scores = self.head.forward(states)?;
        match self.config.family.final_cap {
            Some(cap) => (scores.to_dtype(DType::F32)? / cap)?.tanh()? * cap,
            None => Ok(scores),
        }
    }

    /// Scores `[batch, vocab]` (f32) of the token that follows ids `[batch, n]`, which follow what `cache` holds.
    ///
    /// # Errors
    /// As [`Llama::embed`] and [`Llama::decode`].
    pub fn forward(&self, ids: &Tensor, cache: &mut KeyValueCache, watcher: &dyn Watcher) -> Result<Tensor> {
        let states = self.decode(&self.embed(ids)?, cache, watcher)?;
        self.last_logits(&states)
    }

    /// Scores `[batch, vocab]` (f32) after the last of the states `[batch, n, hidden]`.
    ///
    /// # Errors
    /// When the states' width is not the model's.
    pub fn last_logits(&self, states: &Tensor) -> Result<Tensor> {
        let last = states.narrow(1, states.dim(1)? - 1, 1)?;
        self.logits(&last)?.squeeze(1)?.to_dtype(DType::F32)?.contiguous()
    }
}

/// `[n, held + n]`, 0 where query `i` may see key `j ≤ held + i` (and, with a window `w`, `j > held + i − w`), −∞
/// elsewhere.
fn causal_mask(n: usize, held: usize, window: Option<usize>, device: &Device) -> Result<Tensor> {
    let width = held + n;
    let mut mask = vec![0f32; n * width];
    for (row, values) in mask.chunks_exact_mut(width).enumerate() {
        let end = held + row + 1;
        values[end..].fill(f32::NEG_INFINITY);
        if let Some(window) = window {
            values[..end.saturating_sub(window)].fill(f32::NEG_INFINITY);
        }
    }
    Tensor::from_vec(mask, (n, width), device)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use candle_core::{Device, Tensor};

    use super::{KeyValueCache, Llama, LlamaConfig};
    use crate::nets::parity::{Fixture, relative_l2};
    use crate::nets::watcher::{Cancelled, Unwatched, Watcher};

    const CASES: [&str; 14] = [
        "llama",
        "llama-grouped",
        "llama-scaled",
        "llama-linear",
        "mistral",
        "mistral-window",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3-linear",
        "phi3",
        "phi3-long",
    ];

    fn open(case: &str) -> (Fixture, Llama) {
        let fixture = Fixture::open(&format!("language/{case}"));
        let config = LlamaConfig::of_chat_model(&fixture.config()).unwrap();
        let model = Llama::load(&config, &fixture.weights()).unwrap();
        (fixture, model)
    }

    fn tensor(ids: &[u32]) -> Tensor {
        Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap()
    }

    /// The `count` best tokens after a prompt that is fed `chunk` tokens at a time.
    fn greedy(model: &Llama, prompt: &[u32], chunk: usize, count: usize) -> Vec<u32> {
        let mut cache = KeyValueCache::new();
        let mut next = 0;
        let feed = |ids: &[u32], cache: &mut KeyValueCache| {
            model.forward(&tensor(ids), cache, &Unwatched).unwrap().argmax(1).unwrap().to_vec1::<u32>().unwrap()[0]
        };
        for part in prompt.chunks(chunk) {
            next = feed(part, &mut cache);
        }
        let mut tokens = vec![next];
        while tokens.len() < count {
            next = feed(&[next], &mut cache);
            tokens.push(next);
        }
        tokens
    }

    #[test]
    fn gives_the_reference_logits_and_greedy_tokens() {
        for case in CASES {
            let (fixture, model) = open(case);
            let states = model
                .decode(&model.embed(&fixture.input("ids")).unwrap(), &mut KeyValueCache::new(), &Unwatched)
                .unwrap();
            let distance =
                relative_l2(&model.logits(&states).unwrap(), &fixture.output("logits").unsqueeze(0).unwrap());
            assert!(distance <= 1e-5, "{case}: relative L2 {distance:.1e}");

            let prompt = fixture.input("ids").flatten_all().unwrap().to_vec1::<u32>().unwrap();
            let expected = fixture.output("greedy").to_vec1::<u32>().unwrap();
            for chunk in [prompt.len(), 1, 4] {
                assert_eq!(greedy(&model, &prompt, chunk, expected.len()), expected, "{case}, {chunk} at a time");
            }
        }
    }

    #[test]
    fn windows_hold_however_long_the_sequence_and_however_it_is_fed() {
        for case in ["gemma3", "gemma2", "mistral-window"] {
            let (_, model) = open(case);
            let prompt = (0..1100u32).map(|i| i * i % 61).collect::<Vec<_>>();
            let fed = |chunk: usize| {
                let mut cache = KeyValueCache::new();
                let feed = |part: &[u32]| model.forward(&tensor(part), &mut cache, &Unwatched).unwrap();
                prompt.chunks(chunk).map(feed).last().unwrap()
            };
            let whole = fed(prompt.len());
            assert!(relative_l2(&fed(777), &whole) <= 1e-5, "{case}");
            assert!(relative_l2(&fed(1099), &whole) <= 1e-5, "{case}");
        }
    }

    #[test]
    fn a_rewound_cache_goes_on_as_if_nothing_had_followed() {
        let (fixture, model) = open("llama-grouped");
        let prompt = fixture.input("ids").flatten_all().unwrap().to_vec1::<u32>().unwrap();
        let mut cache = KeyValueCache::new();
        model.forward(&tensor(&prompt[..6]), &mut cache, &Unwatched).unwrap();
        model.forward(&tensor(&[9; 300]), &mut cache, &Unwatched).unwrap();
        assert_eq!(cache.len(), 306);
        cache.truncate(6);
        let after = model.forward(&tensor(&prompt[6..]), &mut cache, &Unwatched).unwrap();
        let straight = model.forward(&tensor(&prompt), &mut KeyValueCache::new(), &Unwatched).unwrap();
        assert!(relative_l2(&after, &straight) <= 1e-5);
    }

    /// Stops before a given layer, or collects what it is shown.
    #[derive(Default)]
    struct Look {
        stop_before: Option<usize>,
        layers: Cell<usize>,
        seen: RefCell<Vec<(String, Tensor)>>,
    }

    impl Watcher for Look {
        fn checkpoint(&self) -> candle_core::Result<()> {
            self.layers.set(self.layers.get() + 1);
            if self.stop_before == Some(self.layers.get() - 1) { Err(Cancelled.into_candle()) } else { Ok(()) }
        }

        fn wants(&self, name: &str) -> bool {
            name.ends_with("attention")
        }

        fn tensor(&self, name: &str, tensor: &Tensor) {
            self.seen.borrow_mut().push((name.to_owned(), tensor.clone()));
        }
    }

    #[test]
    fn a_pass_that_was_stopped_leaves_the_cache_as_it_was() {
        let (_, model) = open("llama");
        let mut cache = KeyValueCache::new();
        model.forward(&tensor(&[5, 6, 7]), &mut cache, &Unwatched).unwrap();
        let stopping = Look { stop_before: Some(2), ..Look::default() };
        assert!(model.forward(&tensor(&[8, 9]), &mut cache, &stopping).is_err());
        assert_eq!(cache.len(), 3);
        let after = model.forward(&tensor(&[10]), &mut cache, &Unwatched).unwrap();
        let straight = model.forward(&tensor(&[5, 6, 7, 10]), &mut KeyValueCache::new(), &Unwatched).unwrap();
        assert!(relative_l2(&after, &straight) <= 1e-5);
    }

    #[test]
    fn shows_the_last_attention_row_of_every_head() {
        let (_, model) = open("llama-grouped");
        let look = Look::default();
        model.forward(&tensor(&[5, 6, 7, 8, 9]), &mut KeyValueCache::new(), &look).unwrap();
        let seen = look.seen.into_inner();
        assert_eq!(seen.len(), model.config().num_hidden_layers);
        for (name, row) in seen {
            assert_eq!(row.dims(), [1, 4, 5], "{name}");
            let sums = row.sum(2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{name}: {sums:?}");
        }
    }
}
