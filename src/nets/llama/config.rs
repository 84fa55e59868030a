//! From a published `config.json` to what the decoder is: the Llama family itself, and the families that differ from it
//! in a few places (Mistral, Qwen 2 and 3, Gemma 1 to 3, Phi 3).
//!
//! Defaults for absent keys are those of transformers; what cannot be honoured is refused in words.

use candle_core::Result;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::nets::config::Activation;

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
    /// Share of each head's channels that is turned; absent: all.
    pub partial_rotary_factor: Option<f64>,
    /// The longest sequence the model was trained for, in tokens.
    pub max_position_embeddings: usize,
    /// The longest sequence before its context was stretched, in tokens (Phi 3).
    pub original_max_position_embeddings: Option<usize>,
    /// Whether the output layer is the token table.
    pub tie_word_embeddings: bool,
    /// Whether the attention's projections have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward's projections have biases.
    pub mlp_bias: bool,
    /// Activation of the gate, by its published name.
    pub hidden_act: String,
    /// The first layer whose last row may read high-resolution tokens (FlexAttention); absent: none.
    #[serde(skip)]
    pub reads_high_resolution_from: Option<usize>,
    /// Where the family differs from Llama.
    #[serde(skip)]
    pub family: Family,
}

/// Where a family of decoders differs from Llama; the default is Llama itself.
#[derive(Clone, Debug, Default)]
pub struct Family {
    /// Biases on the projections of queries, keys and values alone (Qwen 2).
    pub query_key_value_bias: bool,
    /// Norms over each head of queries and keys (Qwen 3, Gemma 3).
    pub query_key_norm: bool,
    /// One matrix for queries, keys and values, one for gate and up (Phi 3).
    pub fused: bool,
    /// Norms after attention and feed-forward as well as before (Gemma 2 and 3).
    pub outer_norms: bool,
    /// Norm weights are stored less one (Gemma, in safetensors).
    pub norms_from_zero: bool,
    /// Token vectors are multiplied by √width (Gemma).
    pub scaled_embeddings: bool,
    /// Scores are divided by the root of this instead of the root of the head's width (Gemma).
    pub query_scale: Option<f64>,
    /// Attention scores are bent to ± this (Gemma 2).
    pub attention_cap: Option<f64>,
    /// Scores of tokens are bent to ± this (Gemma 2).
    pub final_cap: Option<f64>,
    /// Rotary pairs are neighbours, as GGUF files of the Llama family store them.
    pub neighbour_pairs: bool,
    /// Layers that see only what is near.
    pub local: Option<Local>,
    /// Activations outgrow 16-bit floats with five bits of exponent (Gemma).
    pub wide_range: bool,
}

/// The layers that see only the last tokens.
#[derive(Clone, Debug)]
pub struct Local {
    /// How many tokens they see, the current one included.
    pub window: usize,
    /// Whether layer N is one of them.
    pub layers: Vec<bool>,
    /// The base of their own rotary frequencies, which are not stretched; absent: as in the other layers.
    pub rope_theta: Option<f64>,
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
            partial_rotary_factor: None,
            max_position_embeddings: 2048,
            original_max_position_embeddings: None,
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            hidden_act: "silu".to_owned(),
            reads_high_resolution_from: None,
            family: Family::default(),
        }
    }
}

/// Rotary settings as `config.json` has them, old and new style.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RopeParameters {
    /// `default`, `linear`, `llama3` or `longrope`.
    pub rope_type: Option<String>,
    /// The same under its older name; some files carry both.
    #[serde(rename = "type")]
    pub older_type: Option<String>,
    /// Base of the frequencies.
    pub rope_theta: Option<f64>,
    /// Share of each head's channels that is turned.
    pub partial_rotary_factor: Option<f64>,
    /// How much longer the stretched context is.
    pub factor: Option<f64>,
    /// Llama 3: wavelengths above `original / low_freq_factor` are stretched fully.
    pub low_freq_factor: Option<f64>,
    /// Llama 3: wavelengths below `original / high_freq_factor` are left alone.
    pub high_freq_factor: Option<f64>,
    /// The context length before stretching.
    pub original_max_position_embeddings: Option<f64>,
    /// LongRoPE: how much slower each channel pair turns within the original context.
    pub short_factor: Option<Vec<f64>>,
    /// LongRoPE: what cosines and sines are multiplied by; absent: from how much longer the context became.
    pub attention_factor: Option<f64>,
}

/// The rotary embedding of some layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    /// The angle per position of each channel pair that is turned.
    pub inverse: Vec<f32>,
    /// What cosines and sines are multiplied by.
    pub magnitude: f32,
}

/// The families of chat models that are read, by the `model_type` of their `config.json`.
const KINDS: [&str; 9] = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gemma3", "phi3"];

impl LlamaConfig {
    /// The config of a chat model, by the `model_type` of its `config.json`: `llama`, `mistral`, `qwen2`, `qwen3`,
    /// `gemma`, `gemma2`, `gemma3_text`, `gemma3` (its text part) or `phi3`.
    ///
    /// # Errors
    /// When it is of another family, or no such config.
    pub fn of_chat_model(config: &Value) -> Result<Self> {
        let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("unknown");
        match kind {
            "llama" | "mistral" | "qwen2" | "qwen3" => Self::llama_like(kind, config),
            "gemma3" => Self::gemma("gemma3_text", config.get("text_config").unwrap_or(&Value::Null)),
            "gemma" | "gemma2" | "gemma3_text" => Self::gemma(kind, config),
            "phi3" => Self::phi3(config),
            _ => candle_core::bail!(
                "chat models of the type {kind} are not read here (only {}); run it in a server such as Ollama or \
                 llama.cpp and give its address",
                KINDS.join(", ")
            ),
        }
    }

    fn llama_like(kind: &str, config: &Value) -> Result<Self> {
        let mut read = read(kind, &json!({}), config)?;
        read.family.query_key_value_bias = kind == "qwen2";
        read.family.query_key_norm = kind == "qwen3";
        // Mistral slides wherever it names a window; Qwen only if it says so, and not in its first layers.
        let slides = kind == "mistral" || config.get("use_sliding_window").and_then(Value::as_bool) == Some(true);
        if let Some(window) = whole(config, "sliding_window").filter(|_| slides) {
            let first = if kind == "mistral" { 0 } else { whole(config, "max_window_layers").unwrap_or(28) };
            let layers = layer_types(config)
                .unwrap_or_else(|| (0..bounded(read.num_hidden_layers)).map(|layer| layer >= first).collect());
            read.family.local = Some(Local { window, layers, rope_theta: None });
        }
        Ok(read)
    }

    fn gemma(kind: &str, config: &Value) -> Result<Self> {
        let mut usual = json!({
            "vocab_size": 256_000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
            "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192,
            "rope_theta": 10_000.0, "tie_word_embeddings": true
        });
        let changes = match kind {
            "gemma" => json!({
                "hidden_size": 3072, "intermediate_size": 24_576, "num_hidden_layers": 28,
                "num_attention_heads": 16, "num_key_value_heads": 16
            }),
            "gemma3_text" => {
                json!({"vocab_size": 262_208, "max_position_embeddings": 131_072, "rope_theta": 1_000_000.0})
            }
            _ => json!({}),
        };
        merge(&mut usual, &changes);
        let mut read = read(kind, &usual, config)?;
        // The oldest configs name the exact gelu in `hidden_act`; the models were trained with the other form.
        let activation = config.get("hidden_activation").and_then(Value::as_str).unwrap_or("gelu_pytorch_tanh");
        activation.clone_into(&mut read.hidden_act);
        let number = |key: &str, usual: Option<f64>| match config.get(key) {
            Some(value) => value.as_f64(),
            None => usual,
        };
        let layers = bounded(read.num_hidden_layers);
        let newer = kind != "gemma";
        read.family = Family {
            query_key_norm: kind == "gemma3_text",
            outer_norms: newer,
            norms_from_zero: true,
            scaled_embeddings: true,
            wide_range: true,
            query_scale: if newer { number("query_pre_attn_scalar", Some(256.0)) } else { None },
            // Gemma 3 normalises queries and keys instead, whatever its config says.
            attention_cap: number("attn_logit_softcapping", Some(50.0)).filter(|_| kind == "gemma2"),
            final_cap: number("final_logit_softcapping", (kind == "gemma2").then_some(30.0)).filter(|_| newer),
            ..Family::default()
        };
        let window = match config.get("sliding_window") {
            None => Some(4096),
            Some(_) => whole(config, "sliding_window"),
        };
        if let Some(window) = window.filter(|_| newer) {
            let every = whole(config, "sliding_window_pattern").unwrap_or(6).max(1);
            let every = if kind == "gemma2" { 2 } else { every };
            let pattern = (1..=layers).map(|layer| !layer.is_multiple_of(every)).collect();
            read.family.local =
                Some(Local { window, layers: layer_types(config).unwrap_or(pattern), rope_theta: None });
        }
        if kind == "gemma3_text" {
            // Newer configs have one set of rotary parameters for each kind of layer.
            let each = |name: &str| {
                let of_kind = config.get("rope_parameters").and_then(|all| all.get(name)).cloned();
                of_kind.and_then(|one| serde_json::from_value::<RopeParameters>(one).ok())
            };
            if let Some(global) = each("full_attention") {
                read.rope_parameters = Some(global);
            }
            if let Some(local) = &mut read.family.local {
                let theta = each("sliding_attention").and_then(|rope| rope.rope_theta);
                let theta = theta.or_else(|| config.get("rope_local_base_freq").and_then(Value::as_f64));
                local.rope_theta = Some(theta.unwrap_or(10_000.0));
            }
        }
        Ok(read)
    }

    fn phi3(config: &Value) -> Result<Self> {
        let usual = json!({
            "vocab_size": 32_064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
            "num_attention_heads": 32, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5
        });
        let mut read = read("phi3", &usual, config)?;
        read.family.fused = true;
        if let Some(window) = whole(config, "sliding_window") {
            let layers = vec![true; bounded(read.num_hidden_layers)];
            read.family.local = Some(Local { window, layers, rope_theta: None });
        }
        // Two older names of the same scaling.
        for rope in [&mut read.rope_scaling, &mut read.rope_parameters].into_iter().flatten() {
            for kind in [&mut rope.rope_type, &mut rope.older_type] {
                if kind.as_deref().is_some_and(|kind| ["su", "yarn"].contains(&kind)) {
                    *kind = Some("longrope".to_owned());
                }
            }
        }
        Ok(read)
    }

    /// How many tokens a sequence may have. A stretched context of the LongRoPE kind is used up to its original length
    /// only: beyond it, other frequencies would hold from the first token on.
    #[must_use]
    pub fn context(&self) -> usize {
        match self.rope() {
            Some(rope) if rope.kind() == "longrope" => {
                self.original_context(rope).map_or(self.max_position_embeddings, |original| {
                    self.max_position_embeddings.min(original.max(1.0) as usize)
                })
            }
            _ => self.max_position_embeddings,
        }
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

    /// The window of layer `layer`, in tokens; `None`: it sees everything.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        let local = self.family.local.as_ref()?;
        local.layers.get(layer).copied().unwrap_or(false).then_some(local.window)
    }

    /// What attention scores are multiplied by.
    #[must_use]
    pub fn score_scale(&self) -> f64 {
        1.0 / self.family.query_scale.unwrap_or(self.head_dim() as f64).sqrt()
    }

    /// Refuses values with which no network can be built.
    pub(super) fn check(&self) -> Result<()> {
        // Far beyond any published model, and small enough that no product of three of them overflows.
        let sizes = [self.vocab_size, self.hidden_size, self.intermediate_size, self.num_attention_heads];
        let sizes = sizes.into_iter().chain(self.num_key_value_heads).chain(self.head_dim);
        if let Some(size) = sizes.into_iter().find(|size| *size > 1 << 20) {
            candle_core::bail!("a decoder with a size of {size} cannot be built");
        }
        let (heads, shared, dim) = (self.num_attention_heads, self.key_value_heads(), self.head_dim());
        if heads == 0 || shared == 0 || !heads.is_multiple_of(shared) || dim == 0 || !dim.is_multiple_of(2) {
            candle_core::bail!(
                "a decoder of {heads} heads, {shared} of them for keys, {dim} wide each, cannot be built"
            );
        }
        self.activation()?;
        let positive = [self.family.query_scale, self.family.attention_cap, self.family.final_cap];
        if let Some(value) = positive.into_iter().flatten().find(|value| !(value.is_finite() && *value > 0.0)) {
            candle_core::bail!("a decoder cannot divide its scores by {value}");
        }
        if let Some(local) = &self.family.local
            && (local.window == 0 || local.layers.len() != self.num_hidden_layers)
        {
            candle_core::bail!(
                "a decoder of {} layers cannot have a window of {} tokens in a list of {}",
                self.num_hidden_layers,
                local.window,
                local.layers.len()
            );
        }
        Ok(())
    }

    /// The activation of the gate.
    pub(super) fn activation(&self) -> Result<Activation> {
        match Activation::named(&self.hidden_act) {
            Some(known @ (Activation::Silu | Activation::GeluTanh | Activation::GeluErf)) => Ok(known),
            _ => candle_core::bail!("a decoder with the activation `{}` is not known", self.hidden_act),
        }
    }

    fn rope(&self) -> Option<&RopeParameters> {
        self.rope_parameters.as_ref().or(self.rope_scaling.as_ref())
    }

    fn original_context(&self, rope: &RopeParameters) -> Option<f64> {
        let outer = self.original_max_position_embeddings.map(|length| length as f64);
        rope.original_max_position_embeddings.or(outer)
    }

    /// How many channels of a head are turned.
    fn rotary_dim(&self) -> Result<usize> {
        let share = self.rope().and_then(|rope| rope.partial_rotary_factor).or(self.partial_rotary_factor);
        let dim = (self.head_dim() as f64 * share.unwrap_or(1.0)) as usize;
        if dim == 0 || dim > self.head_dim() || !dim.is_multiple_of(2) {
            candle_core::bail!("{dim} of {} channels of a head cannot be turned", self.head_dim());
        }
        Ok(dim)
    }

    /// The rotary frequencies of the layers that see everything.
    ///
    /// # Errors
    /// When the config asks for a scaling that is not known, or leaves out what its scaling needs.
    pub fn frequencies(&self) -> Result<Frequencies> {
        let dim = self.rotary_dim()?;
        let rope = self.rope();
        let theta = rope.and_then(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(10_000.0);
        let plain = plain(theta, dim);
        let Some(rope) = rope else { return Ok(plain) };
        let need = |value: Option<f64>, name: &str| match value {
            Some(value) if value > 0.0 => Ok(value as f32),
            _ => candle_core::bail!("the config's rotary scaling lacks a positive `{name}`"),
        };
        let scaled = |by: &dyn Fn(f32) -> f32| Frequencies {
            inverse: plain.inverse.iter().copied().map(by).collect(),
            magnitude: 1.0,
        };
        match rope.kind() {
            "default" => Ok(plain),
            "linear" => {
                let factor = need(rope.factor, "factor")?;
                Ok(scaled(&|frequency| frequency / factor))
            }
            "llama3" => {
                let factor = need(rope.factor, "factor")?;
                let low = need(rope.low_freq_factor, "low_freq_factor")?;
                let high = need(rope.high_freq_factor, "high_freq_factor")?;
                let original = need(rope.original_max_position_embeddings, "original_max_position_embeddings")?;
                Ok(scaled(&|frequency| {
                    let wavelength = std::f32::consts::TAU / frequency;
                    if wavelength > original / low {
                        frequency / factor
                    } else if wavelength < original / high {
                        frequency
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        (1.0 - smooth) * frequency / factor + smooth * frequency
                    }
                }))
            }
            "longrope" => self.long(rope, &plain),
            other => candle_core::bail!("the rotary scaling `{other}` is not known"),
        }
    }

    /// LongRoPE within the original context.
    fn long(&self, rope: &RopeParameters, plain: &Frequencies) -> Result<Frequencies> {
        let factors = rope.short_factor.as_deref().unwrap_or_default();
        if factors.len() != plain.inverse.len() || !factors.iter().all(|factor| *factor > 0.0) {
            candle_core::bail!(
                "the config's rotary scaling has {} factors for {} channel pairs",
                factors.len(),
                plain.inverse.len()
            );
        }
        let Some(original) = self.original_context(rope).filter(|original| *original > 1.0) else {
            candle_core::bail!("the config's rotary scaling lacks `original_max_position_embeddings`");
        };
        let longer = rope.factor.unwrap_or(self.max_position_embeddings as f64 / original);
        let usual = if longer <= 1.0 { 1.0 } else { (1.0 + longer.ln() / original.ln()).sqrt() };
        let inverse = plain.inverse.iter().zip(factors).map(|(frequency, factor)| frequency / *factor as f32);
        Ok(Frequencies { inverse: inverse.collect(), magnitude: rope.attention_factor.unwrap_or(usual) as f32 })
    }

    /// The rotary frequencies of the layers with a window, where they are others.
    ///
    /// # Errors
    /// When no part of a head can be turned.
    pub fn local_frequencies(&self) -> Result<Option<Frequencies>> {
        let theta = self.family.local.as_ref().and_then(|local| local.rope_theta);
        theta.map(|theta| Ok(plain(theta, self.rotary_dim()?))).transpose()
    }
}

impl RopeParameters {
    fn kind(&self) -> &str {
        self.rope_type.as_deref().or(self.older_type.as_deref()).unwrap_or("default")
    }
}

/// θ^(−i/d) for the even channels i; as the reference does it: exponents and powers in f32.
fn plain(theta: f64, dim: usize) -> Frequencies {
    let inverse = (0..dim).step_by(2).map(|i| 1.0 / (theta as f32).powf(i as f32 / dim as f32));
    Frequencies { inverse: inverse.collect(), magnitude: 1.0 }
}

/// A config whose absent keys take the values of `usual`.
fn read(kind: &str, usual: &Value, config: &Value) -> Result<LlamaConfig> {
    let mut all = usual.clone();
    merge(&mut all, config);
    serde_json::from_value(all).map_err(|error| {
        candle_core::Error::msg(format!("it is no config of a chat model of the type {kind} ({error})"))
    })
}

/// Puts the keys of `from` into `into`; null counts as absent.
fn merge(into: &mut Value, from: &Value) {
    let empty = Map::new();
    if let Some(into) = into.as_object_mut() {
        let given = from.as_object().unwrap_or(&empty).iter().filter(|(_, value)| !value.is_null());
        into.extend(given.map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// A whole number of the config.
fn whole(config: &Value, key: &str) -> Option<usize> {
    config.get(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok())
}

/// Which layers slide, where the config lists it.
fn layer_types(config: &Value) -> Option<Vec<bool>> {
    let list = config.get("layer_types")?.as_array()?;
    Some(list.iter().map(|kind| kind.as_str() == Some("sliding_attention")).collect())
}

/// A number of layers for which a list may be made; no model has more, and one that claims more is refused later.
fn bounded(layers: usize) -> usize {
    layers.min(1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<LlamaConfig> {
        LlamaConfig::of_chat_model(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn other_families_are_refused() {
        for kind in ["phi", "mixtral", "gemma4"] {
            let fault = config(&format!(r#"{{"model_type": "{kind}"}}"#)).unwrap_err().to_string();
            assert!(fault.contains(kind) && fault.contains("server"), "{fault}");
        }
        assert!(config("{}").is_err() && config(r#"{"model_type": "llama", "hidden_size": -1}"#).is_err());
    }

    #[test]
    fn windows_concern_the_layers_that_have_one() {
        let windows = |json: &str| {
            let config = config(json).unwrap();
            config.check().unwrap();
            (0..3).map(|layer| config.window(layer)).collect::<Vec<_>>()
        };
        assert_eq!(windows(r#"{"model_type": "mistral", "sliding_window": 100}"#), [Some(100); 3]);
        assert_eq!(windows(r#"{"model_type": "mistral", "sliding_window": null}"#), [None; 3]);
        assert_eq!(
            windows(r#"{"model_type": "qwen2", "sliding_window": 100, "use_sliding_window": false}"#),
            [None; 3]
        );
        let late =
            r#"{"model_type": "qwen2", "sliding_window": 9, "use_sliding_window": true, "max_window_layers": 2}"#;
        assert_eq!(windows(late), [None, None, Some(9)]);
        assert_eq!(windows(r#"{"model_type": "gemma2"}"#), [Some(4096), None, Some(4096)]);
        let gemma3 = config(r#"{"model_type": "gemma3", "text_config": {"sliding_window": 512}}"#).unwrap();
        let seen = (0..7).map(|layer| gemma3.window(layer).is_none()).collect::<Vec<_>>();
        assert_eq!(seen, [false, false, false, false, false, true, false]);
        assert_eq!(windows(r#"{"model_type": "phi3", "sliding_window": 2047}"#), [Some(2047); 3]);
    }

    #[test]
    fn gemma_3_turns_its_near_layers_by_a_base_of_their_own() {
        let older = config(
            r#"{"model_type": "gemma3", "text_config": {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}}"#,
        )
        .unwrap();
        let newer = config(
            r#"{"model_type": "gemma3_text", "rope_parameters": {"full_attention": {"rope_type": "linear",
            "factor": 8.0, "rope_theta": 1000000.0}, "sliding_attention": {"rope_theta": 10000.0}}}"#,
        )
        .unwrap();
        for config in [older, newer] {
            assert_eq!(config.frequencies().unwrap().inverse[0], 0.125);
            let local = config.local_frequencies().unwrap().unwrap();
            assert_eq!(local.inverse[0], 1.0);
            assert!((local.inverse[64] - 0.01).abs() < 1e-6);
            assert!((config.frequencies().unwrap().inverse[64] - 0.001 / 8.0).abs() < 1e-8);
        }
    }

    #[test]
    fn a_long_context_of_phi_is_used_up_to_its_original_length() {
        let factors = vec![2.0; 12];
        let long = json!({
            "model_type": "phi3", "hidden_size": 64, "num_attention_heads": 2, "partial_rotary_factor": 0.75,
            "max_position_embeddings": 131_072, "original_max_position_embeddings": 4096,
            "rope_scaling": {"type": "su", "short_factor": factors, "long_factor": factors}
        });
        let config = LlamaConfig::of_chat_model(&long).unwrap();
        assert_eq!(config.context(), 4096);
        let frequencies = config.frequencies().unwrap();
        assert_eq!((frequencies.inverse.len(), frequencies.inverse[0]), (12, 0.5));
        // √(1 + ln 32 / ln 4096)
        assert!((frequencies.magnitude - 1.190_238).abs() < 1e-5);
    }

    #[test]
    fn refuses_configs_that_make_no_network() {
        let good = LlamaConfig { num_attention_heads: 4, hidden_size: 32, ..LlamaConfig::default() };
        good.check().unwrap();
        let broken = |change: fn(&mut LlamaConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().and_then(|()| config.frequencies().map(|_| ())).is_err()
        };
        assert!(broken(|config| config.num_attention_heads = 0));
        assert!(broken(|config| config.num_key_value_heads = Some(3)));
        assert!(broken(|config| config.head_dim = Some(7)));
        assert!(broken(|config| config.hidden_act = "relu".to_owned()));
        assert!(broken(|config| config.family.attention_cap = Some(0.0)));
        assert!(broken(|config| config.family.query_scale = Some(f64::NAN)));
        assert!(broken(|config| config.partial_rotary_factor = Some(1e9)));
        assert!(broken(|config| config.partial_rotary_factor = Some(-1.0)));
        assert!(broken(|config| {
            config.family.local = Some(Local { window: 8, layers: vec![true; 3], rope_theta: None });
        }));
    }
}
