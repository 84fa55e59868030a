//! The Llama decoder: the language half of LLaVA, of the starter specifier and of plain Llama chat models.
//!
//! Built from the fields of a published `config.json`, with the published defaults for those that are absent.
//! Grouped-query attention, rotary positions (plain, linear and Llama 3 scaling), a key/value cache that can be
//! rewound, tied or separate output embeddings. The Ask lens will look at [`Llama::decode`]'s attention through a
//! [`Watcher`].

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde_json::Value;

use super::watcher::Watcher;
use crate::ops::activation::silu;
use crate::ops::attention::attention;
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::ops::norm::RmsNorm;
use crate::ops::rotary::rotate;
use crate::ops::softmax::softmax_last;

/// The fields of a Llama `config.json` that decide its shape; absent ones take the published defaults (Llama 7B).
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct LlamaConfig {
    /// Rows of the token table and of the output layer.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the gated feed-forward layers.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; absent: as many as query heads.
    pub num_key_value_heads: Option<usize>,
    /// Width of one head; absent: `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Epsilon of the root-mean-square norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies; newer files keep it in `rope_parameters`.
    pub rope_theta: Option<f64>,
    /// How the rotary frequencies are stretched, under the older name.
    pub rope_scaling: Option<RopeParameters>,
    /// The same under the newer name, with the base inside.
    pub rope_parameters: Option<RopeParameters>,
    /// The longest sequence the model was trained for, in tokens.
    pub max_position_embeddings: usize,
    /// Whether the output layer is the token table.
    pub tie_word_embeddings: bool,
    /// Whether the attention's projections have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward's projections have biases.
    pub mlp_bias: bool,
    /// Activation of the gate; only `silu` exists in this family.
    pub hidden_act: String,
    /// Biases on the projections of queries, keys and values alone (Qwen 2).
    #[serde(skip)]
    pub query_key_value_bias: bool,
    /// Norms over each head of queries and keys (Qwen 3).
    #[serde(skip)]
    pub query_key_norm: bool,
    /// How far back attention reaches, in tokens; absent: to the beginning. Longer sequences than that are refused.
    #[serde(skip)]
    pub window: Option<usize>,
}

impl Default for LlamaConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            rms_norm_eps: 1e-6,
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
            max_position_embeddings: 2048,
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            hidden_act: "silu".to_owned(),
            query_key_value_bias: false,
            query_key_norm: false,
            window: None,
        }
    }
}

/// Rotary settings as `config.json` has them, old and new style.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RopeParameters {
    /// `default`, `linear` or `llama3`.
    pub rope_type: Option<String>,
    /// The same under its older name; some files carry both.
    #[serde(rename = "type")]
    pub older_type: Option<String>,
    /// Base of the frequencies.
    pub rope_theta: Option<f64>,
    /// How much longer the stretched context is.
    pub factor: Option<f64>,
    /// Llama 3: wavelengths above `original / low_freq_factor` are stretched fully.
    pub low_freq_factor: Option<f64>,
    /// Llama 3: wavelengths below `original / high_freq_factor` are left alone.
    pub high_freq_factor: Option<f64>,
    /// Llama 3: the context length before stretching.
    pub original_max_position_embeddings: Option<f64>,
}

impl LlamaConfig {
    /// The config of a chat model of this family, by the `model_type` of its `config.json`: `llama`, `mistral`, `qwen2`
    /// or `qwen3`.
    ///
    /// # Errors
    /// When it is of another family, or no such config.
    pub fn of_chat_model(config: &Value) -> Result<Self> {
        let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("unknown");
        if !["llama", "mistral", "qwen2", "qwen3"].contains(&kind) {
            candle_core::bail!(
                "chat models of the type {kind} are not read here (only llama, mistral, qwen2, qwen3); run it in a \
                 server such as Ollama or llama.cpp and give its address"
            );
        }
        let mut read: Self = serde_json::from_value(config.clone()).map_err(|error| {
            candle_core::Error::msg(format!("it is no config of a chat model of the type {kind} ({error})"))
        })?;
        read.query_key_value_bias = kind == "qwen2";
        read.query_key_norm = kind == "qwen3";
        // Mistral slides wherever it names a window; Qwen only if it says so.
        let slides = kind == "mistral" || config.get("use_sliding_window").and_then(Value::as_bool) == Some(true);
        let window = config.get("sliding_window").and_then(Value::as_u64).filter(|_| slides);
        read.window = window.and_then(|window| usize::try_from(window).ok());
        Ok(read)
    }

    /// How many tokens a sequence may have: within a sliding window, attention is the same as without one.
    #[must_use]
    pub fn context(&self) -> usize {
        self.window.map_or(self.max_position_embeddings, |window| window.min(self.max_position_embeddings))
    }

    /// Key and value heads.
    #[must_use]
    pub fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Refuses values with which no network can be built.
    fn check(&self) -> Result<()> {
        // Far beyond any published model, and small enough that no product of three of them overflows.
        let sizes = [self.vocab_size, self.hidden_size, self.intermediate_size, self.num_attention_heads];
        let sizes = sizes.into_iter().chain(self.num_key_value_heads).chain(self.head_dim);
        if let Some(size) = sizes.into_iter().find(|size| *size > 1 << 20) {
            candle_core::bail!("a Llama with a size of {size} cannot be built");
        }
        let (heads, shared, dim) = (self.num_attention_heads, self.key_value_heads(), self.head_dim());
        if heads == 0 || shared == 0 || !heads.is_multiple_of(shared) || dim == 0 || !dim.is_multiple_of(2) {
            candle_core::bail!("a Llama of {heads} heads, {shared} of them for keys, {dim} wide each, cannot be built");
        }
        if self.hidden_act != "silu" {
            candle_core::bail!("a Llama with the activation `{}` is not known", self.hidden_act);
        }
        Ok(())
    }

    /// The angle per position of each channel pair, `[head_dim / 2]`.
    ///
    /// # Errors
    /// When the config asks for a scaling that is not known, or leaves out what its scaling needs.
    pub fn inverse_frequencies(&self) -> Result<Vec<f32>> {
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = rope.and_then(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(10_000.0);
        let dim = self.head_dim();
        // As the reference does it: exponents and powers in f32.
        let plain = (0..dim).step_by(2).map(|i| 1.0 / (theta as f32).powf(i as f32 / dim as f32));
        let Some(rope) = rope else { return Ok(plain.collect()) };
        let need = |value: Option<f64>, name: &str| match value {
            Some(value) if value > 0.0 => Ok(value as f32),
            _ => candle_core::bail!("the config's rotary scaling lacks a positive `{name}`"),
        };
        match rope.rope_type.as_deref().or(rope.older_type.as_deref()).unwrap_or("default") {
            "default" => Ok(plain.collect()),
            "linear" => {
                let factor = need(rope.factor, "factor")?;
                Ok(plain.map(|frequency| frequency / factor).collect())
            }
            "llama3" => {
                let factor = need(rope.factor, "factor")?;
                let low = need(rope.low_freq_factor, "low_freq_factor")?;
                let high = need(rope.high_freq_factor, "high_freq_factor")?;
                let original = need(rope.original_max_position_embeddings, "original_max_position_embeddings")?;
                Ok(plain
                    .map(|frequency| {
                        let wavelength = std::f32::consts::TAU / frequency;
                        if wavelength > original / low {
                            frequency / factor
                        } else if wavelength < original / high {
                            frequency
                        } else {
                            let smooth = (original / wavelength - low) / (high - low);
                            (1.0 - smooth) * frequency / factor + smooth * frequency
                        }
                    })
                    .collect())
            }
            other => candle_core::bail!("the rotary scaling `{other}` is not known"),
        }
    }
}

/// The rotary tables, made for the positions a pass needs.
#[derive(Clone, Debug)]
struct Rotary {
    inverse_frequencies: Vec<f32>,
}

impl Rotary {
    /// Cosines and sines `[n, head_dim / 2]` of the positions `from..from + n`.
    fn tables(&self, from: usize, n: usize, dtype: DType, device: &Device) -> Result<(Tensor, Tensor)> {
        let half = self.inverse_frequencies.len();
        let mut cos = Vec::with_capacity(n * half);
        let mut sin = Vec::with_capacity(n * half);
        for position in from..from + n {
            for frequency in &self.inverse_frequencies {
                let angle = position as f32 * frequency;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        let table = |values: Vec<f32>| Tensor::from_vec(values, (n, half), device)?.to_dtype(dtype);
        Ok((table(cos)?, table(sin)?))
    }
}

/// Keys and values of what a sequence holds so far, one pair a layer; grows in place and can be rewound.
///
/// Not `Clone`: copies would share their buffers.
#[derive(Debug, Default)]
pub struct KeyValueCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    length: usize,
}

impl KeyValueCache {
    /// An empty cache; it adapts to the model that uses it first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tokens the cache holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets everything after the first `length` tokens; does nothing when it holds no more than that.
    pub fn truncate(&mut self, length: usize) {
        if length == 0 {
            self.layers.clear();
        }
        self.length = self.length.min(length);
    }

    /// Puts `k` and `v` `[batch, heads, n, d]` behind what layer `layer` holds and returns all of both.
    ///
    /// Nothing counts as held before [`KeyValueCache::advance`], so a pass that stops half-way leaves no trace.
    fn extend(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, None);
        }
        let n = k.dim(2)?;
        let needed = self.length + n;
        let slot = &mut self.layers[layer];
        let buffers = match slot.take() {
            Some((keys, values)) if keys.dim(2)? >= needed => (keys, values),
            older => {
                let capacity = needed.next_multiple_of(256);
                let grown = |new: &Tensor, old: Option<&Tensor>| -> Result<Tensor> {
                    let (batch, heads, _, d) = new.dims4()?;
                    let buffer = Tensor::zeros((batch, heads, capacity, d), new.dtype(), new.device())?;
                    if let Some(old) = old
                        && self.length > 0
                    {
                        buffer.slice_set(&old.narrow(2, 0, self.length)?.contiguous()?, 2, 0)?;
                    }
                    Ok(buffer)
                };
                match &older {
                    Some((keys, values)) => (grown(k, Some(keys))?, grown(v, Some(values))?),
                    None => (grown(k, None)?, grown(v, None)?),
                }
            }
        };
        buffers.0.slice_set(&k.contiguous()?, 2, self.length)?;
        buffers.1.slice_set(&v.contiguous()?, 2, self.length)?;
        let all = (buffers.0.narrow(2, 0, needed)?, buffers.1.narrow(2, 0, needed)?);
        *slot = Some(buffers);
        Ok(all)
    }

    /// Counts the last `n` tokens as held.
    fn advance(&mut self, n: usize) {
        self.length += n;
    }
}

#[derive(Clone, Debug)]
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    norms: Option<(RmsNorm, RmsNorm)>,
    heads: usize,
    key_value_heads: usize,
    head_dim: usize,
}

impl Attention {
    fn load(config: &LlamaConfig, vb: &VarBuilder) -> Result<Self> {
        let (heads, key_value_heads, head_dim) =
            (config.num_attention_heads, config.key_value_heads(), config.head_dim());
        let (hidden, bias) = (config.hidden_size, config.attention_bias);
        let inner_bias = bias || config.query_key_value_bias;
        let norm = |name: &str| RmsNorm::load(vb.pp(name), head_dim, config.rms_norm_eps);
        Ok(Self {
            q: Linear::load(vb.pp("q_proj"), hidden, heads * head_dim, inner_bias)?,
            k: Linear::load(vb.pp("k_proj"), hidden, key_value_heads * head_dim, inner_bias)?,
            v: Linear::load(vb.pp("v_proj"), hidden, key_value_heads * head_dim, inner_bias)?,
            o: Linear::load(vb.pp("o_proj"), heads * head_dim, hidden, bias)?,
            norms: if config.query_key_norm { Some((norm("q_norm")?, norm("k_norm")?)) } else { None },
            heads,
            key_value_heads,
            head_dim,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (batch, n, _) = x.dims3()?;
        let split = |x: Tensor, heads: usize| x.reshape((batch, n, heads, self.head_dim))?.transpose(1, 2);
        let mut q = split(self.q.forward(x)?, self.heads)?;
        let mut k = split(self.k.forward(x)?, self.key_value_heads)?;
        if let Some((q_norm, k_norm)) = &self.norms {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        let q = rotate(&q, &pass.cos, &pass.sin)?;
        let k = rotate(&k, &pass.cos, &pass.sin)?;
        let v = split(self.v.forward(x)?, self.key_value_heads)?;
        let (k, v) = pass.cache.extend(layer, &k, &v)?;
        let scale = 1.0 / (self.head_dim as f64).sqrt();

        // Query heads that share a key head become further queries of that head, so that nothing is copied.
        let groups = self.heads / self.key_value_heads;
        let grouped = q.reshape((batch, self.key_value_heads, groups * n, self.head_dim))?;
        let name = format!("layers.{layer}.attention");
        if pass.watcher.wants(&name) {
            // The last query's attention row: [batch, heads, keys].
            let row = q.narrow(2, n - 1, 1)?.reshape((batch, self.key_value_heads, groups, self.head_dim))?;
            let scores = (row.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? * scale)?;
            let row = softmax_last(&scores.to_dtype(DType::F32)?)?.reshape((batch, self.heads, ()))?;
            pass.watcher.tensor(&name, &row);
        }
        let mask = match &pass.mask {
            Some(mask) if groups > 1 => Some(mask.repeat((groups, 1))?),
            mask => mask.clone(),
        };
        let y = attention(&grouped, &k, &v, scale, mask.as_ref())?;
        let y = y.reshape((batch, self.heads, n, self.head_dim))?.transpose(1, 2)?;
        self.o.forward(&y.reshape((batch, n, self.heads * self.head_dim))?)
    }
}

#[derive(Clone, Debug)]
struct Layer {
    input_norm: RmsNorm,
    attention: Attention,
    post_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn load(config: &LlamaConfig, vb: &VarBuilder) -> Result<Self> {
        let (hidden, inner, bias) = (config.hidden_size, config.intermediate_size, config.mlp_bias);
        let mlp = vb.pp("mlp");
        Ok(Self {
            input_norm: RmsNorm::load(vb.pp("input_layernorm"), hidden, config.rms_norm_eps)?,
            attention: Attention::load(config, &vb.pp("self_attn"))?,
            post_norm: RmsNorm::load(vb.pp("post_attention_layernorm"), hidden, config.rms_norm_eps)?,
            gate: Linear::load(mlp.pp("gate_proj"), hidden, inner, bias)?,
            up: Linear::load(mlp.pp("up_proj"), hidden, inner, bias)?,
            down: Linear::load(mlp.pp("down_proj"), inner, hidden, bias)?,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &mut Pass<'_>) -> Result<Tensor> {
        let x = (x + self.attention.forward(&self.input_norm.forward(x)?, layer, pass)?)?;
        let inner = self.post_norm.forward(&x)?;
        let gated = (silu(&self.gate.forward(&inner)?)? * self.up.forward(&inner)?)?;
        x + self.down.forward(&gated)?
    }
}

/// What all layers of one pass share.
struct Pass<'a> {
    cos: Tensor,
    sin: Tensor,
    /// Added to the scores, `[n, cache + n]`; absent for a single query, which may see everything.
    mask: Option<Tensor>,
    cache: &'a mut KeyValueCache,
    watcher: &'a dyn Watcher,
}

/// The decoder with its output layer.
#[derive(Clone, Debug)]
pub struct Llama {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    rotary: Rotary,
    config: LlamaConfig,
}

impl Llama {
    /// Builds the decoder of a plain Llama folder: `model.embed_tokens`, `model.layers.N`, `model.norm`, `lm_head`.
    ///
    /// # Errors
    /// When the config makes no network, or a tensor is missing or has another shape.
    pub fn load(config: &LlamaConfig, vb: &VarBuilder) -> Result<Self> {
        Self::load_parts(config, &vb.pp("model"), &vb.pp("lm_head"))
    }

    /// Builds the decoder from where a larger model keeps its two parts: `model` holds `embed_tokens`, `layers.N` and
    /// `norm`; `head` the output layer's `weight` `[vocab, hidden]`, not looked at when the config ties it to the
    /// token table.
    ///
    /// # Errors
    /// When the config makes no network, or a tensor is missing or has another shape.
    pub fn load_parts(config: &LlamaConfig, model: &VarBuilder, head: &VarBuilder) -> Result<Self> {
        config.check()?;
        let embedding = Embedding::load(model.pp("embed_tokens"), config.vocab_size, config.hidden_size)?;
        let layers = model.pp("layers");
        let head = if config.tie_word_embeddings {
            Linear::new(embedding.table().clone(), None)?
        } else {
            Linear::load(head.clone(), config.hidden_size, config.vocab_size, false)?
        };
        Ok(Self {
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(config, &layers.pp(index)))
                .collect::<Result<_>>()?,
            norm: RmsNorm::load(model.pp("norm"), config.hidden_size, config.rms_norm_eps)?,
            rotary: Rotary { inverse_frequencies: config.inverse_frequencies()? },
            embedding,
            head,
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
        self.embedding.table().device().clone()
    }

    /// The token table's rows: ids `[batch, n]` (u32) to `[batch, n, hidden]`.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embedding.forward(ids)
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
        let (_, n, _) = embeddings.dims3()?;
        if n == 0 {
            candle_core::bail!("a decoder pass needs at least one token");
        }
        let (dtype, device) = (embeddings.dtype(), embeddings.device());
        let held = cache.len();
        let (cos, sin) = self.rotary.tables(held, n, dtype, device)?;
        let mask = if n == 1 { None } else { Some(causal_mask(n, held, device)?) };
        let mut pass = Pass { cos, sin, mask, cache, watcher };
        let mut x = embeddings.clone();
        for (index, layer) in self.layers.iter().enumerate() {
            watcher.checkpoint()?;
            let name = format!("layers.{index}.input");
            if watcher.wants(&name) {
                watcher.tensor(&name, &x);
            }
            x = layer.forward(&x, index, &mut pass)?;
        }
        pass.cache.advance(n);
        self.norm.forward(&x)
    }

    /// Scores of the next token: states `[batch, n, hidden]` to `[batch, n, vocab]`.
    ///
    /// # Errors
    /// When the states' width is not the model's.
    pub fn logits(&self, states: &Tensor) -> Result<Tensor> {
        self.head.forward(states)
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

/// `[n, held + n]`, 0 where query `i` may see key `j ≤ held + i`, −∞ elsewhere.
fn causal_mask(n: usize, held: usize, device: &Device) -> Result<Tensor> {
    let width = held + n;
    let mut mask = vec![0f32; n * width];
    for (row, values) in mask.chunks_exact_mut(width).enumerate() {
        values[held + row + 1..].fill(f32::NEG_INFINITY);
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

    const CASES: [&str; 7] = ["llama", "llama-grouped", "llama-scaled", "llama-linear", "mistral", "qwen2", "qwen3"];

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

    #[test]
    fn other_families_are_refused_and_windows_bound_the_context() {
        let config = |json: &str| LlamaConfig::of_chat_model(&serde_json::from_str(json).unwrap());
        for kind in ["gemma3_text", "phi3", "mixtral"] {
            let fault = config(&format!(r#"{{"model_type": "{kind}"}}"#)).unwrap_err().to_string();
            assert!(fault.contains(kind) && fault.contains("server"), "{fault}");
        }
        assert!(config("{}").is_err() && config(r#"{"model_type": "llama", "hidden_size": -1}"#).is_err());
        let context = |json: &str| config(json).unwrap().context();
        assert_eq!(context(r#"{"model_type": "mistral", "sliding_window": 100}"#), 100);
        assert_eq!(context(r#"{"model_type": "mistral", "sliding_window": null}"#), 2048);
        assert_eq!(context(r#"{"model_type": "qwen2", "sliding_window": 100, "use_sliding_window": false}"#), 2048);
    }

    #[test]
    fn refuses_configs_that_make_no_network() {
        let good = LlamaConfig { num_attention_heads: 4, hidden_size: 32, ..LlamaConfig::default() };
        good.check().unwrap();
        assert!(LlamaConfig { num_attention_heads: 0, ..good.clone() }.check().is_err());
        assert!(LlamaConfig { num_key_value_heads: Some(3), ..good.clone() }.check().is_err());
        assert!(LlamaConfig { head_dim: Some(7), ..good.clone() }.check().is_err());
        assert!(LlamaConfig { hidden_act: "relu".to_owned(), ..good }.check().is_err());
    }
}
