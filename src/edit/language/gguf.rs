//! A chat model in a GGUF file: what its settings say about the network, and its tensors by the names that the network
//! asks for.
//!
//! The decoder is the one that safetensors feed; only where layers come from differs. Matrices stay quantised and are
//! multiplied as they are stored. Names of settings and tensors are those of llama.cpp.

use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result, Tensor};

use super::chat::{Chat, precise};
use crate::edit::specify::plain;
use crate::nets::llama::config::{Family, Local, RopeParameters};
use crate::nets::llama::weights::DecoderWeights;
use crate::nets::llama::{Llama, LlamaConfig};
use crate::ops::device::Compute;
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::packs::PackError;
use crate::packs::gguf::{GgufFile, GgufTensor, Setting};
use crate::packs::gguf_tokenizer;

/// The architectures that are read, by their name in `general.architecture`. Mistral's files say `llama`.
const ARCHITECTURES: [&str; 7] = ["llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3"];

/// Opens the chat model in the file `path`.
///
/// # Errors
/// One sentence naming the file: what is wrong with it, or why its model cannot be used.
pub fn open(path: &Path, compute: &Compute) -> std::result::Result<Chat, PackError> {
    let file = GgufFile::open(path)?;
    let config = Facts::of(&file)?.config()?;
    let compute = precise(compute, &config);
    let text = gguf_tokenizer::text_facts(&file)?;
    let tokens = text.tokenizer.get_vocab_size(true);
    if tokens > config.vocab_size {
        return Err(PackError::config(
            path,
            format!("its tokenizer knows {tokens} tokens and its table has {}", config.vocab_size),
        ));
    }
    let layers = Layers { file: &file, compute: &compute, outer_norms: config.family.outer_norms };
    let model = Llama::load_parts(&config, &layers, &layers);
    let model = model.map_err(|error| PackError::config(path, plain(&error)))?;
    Chat::new(model, &text, path, compute)
}

/// About how many bytes its weights take on `compute`. Reads the header only.
///
/// # Errors
/// As [`open`] for what the header tells.
pub fn bytes_needed(path: &Path, compute: &Compute) -> std::result::Result<u64, PackError> {
    let file = GgufFile::open(path)?;
    let config = Facts::of(&file)?.config()?;
    let width = precise(compute, &config).dtype.size_in_bytes() as u64;
    Ok(file.tensors().map(|(name, tensor)| held(name, tensor, config.tie_word_embeddings, compute, width)).sum())
}

/// How many bytes a tensor takes once it is loaded; `width` is that of a number that is not quantised.
fn held(name: &str, tensor: &GgufTensor, tied: bool, compute: &Compute, width: u64) -> u64 {
    let numbers = tensor.shape.iter().map(|side| *side as u64).product::<u64>();
    let stored = tensor.bytes.end - tensor.bytes.start;
    let table = name == "token_embd.weight";
    if is_plain(tensor.dtype) || tensor.shape.len() < 2 || (table && !compute.device.is_cpu()) {
        // A plain table that is the output layer too is kept twice on the CPU, which packs what it multiplies with.
        let copies = if table && tied && compute.device.is_cpu() { 2 } else { 1 };
        return numbers * width * copies;
    }
    // candle's kernels for the CPU keep a second copy of some types, unpacked into tiles.
    let tiles = match tensor.dtype {
        _ if !compute.device.is_cpu() || (table && !tied) => 0,
        GgmlDType::Q4K => numbers * 3 / 4,
        GgmlDType::Q6K => numbers * 5 / 4,
        GgmlDType::Q8_0 => numbers * 17 / 16,
        _ => 0,
    };
    stored + tiles
}

fn is_plain(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
}

/// The settings of one architecture.
struct Facts<'a> {
    file: &'a GgufFile,
    architecture: &'a str,
}

impl<'a> Facts<'a> {
    fn of(file: &'a GgufFile) -> std::result::Result<Self, PackError> {
        let architecture = file.text("general.architecture").unwrap_or("unknown");
        let other = |detail: String| PackError::OtherModel { path: file.path().to_path_buf(), detail };
        if !ARCHITECTURES.contains(&architecture) {
            return Err(other(format!(
                "GGUF files of the architecture {architecture} are not read here (only {}); run it in a server such \
                 as Ollama or llama.cpp and give its address",
                ARCHITECTURES.join(", ")
            )));
        }
        let facts = Self { file, architecture };
        if let Some(parts) = file.whole("split.count").filter(|parts| *parts > 1) {
            return Err(other(format!("it is one of {parts} parts; join them with llama.cpp's gguf-split first")));
        }
        if facts.whole("expert_count").is_some_and(|experts| experts > 0) {
            return Err(other("it is a mixture of experts, which is not read here; run it in a server".to_owned()));
        }
        Ok(facts)
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// A whole number; a list counts if all of it is the same number.
    fn whole(&self, name: &str) -> Option<usize> {
        let key = self.key(name);
        match self.file.setting(&key)? {
            Setting::Wholes(each) => match each.split_first()? {
                (first, rest) if rest.iter().all(|one| one == first) => usize::try_from(*first).ok(),
                _ => None,
            },
            _ => self.file.whole(&key),
        }
    }

    fn need(&self, name: &str) -> std::result::Result<usize, PackError> {
        self.whole(name).filter(|value| *value > 0).ok_or_else(|| {
            PackError::config(self.file.path(), format!("its setting {} is missing or of no use", self.key(name)))
        })
    }

    fn real(&self, name: &str) -> Option<f64> {
        self.file.real(&self.key(name))
    }

    fn has(&self, tensor: &str) -> bool {
        self.file.tensor(tensor).is_some()
    }

    /// A tensor of one side as numbers.
    fn numbers(&self, tensor: &str) -> std::result::Result<Option<Vec<f64>>, PackError> {
        let Some(found) = self.file.tensor(tensor) else { return Ok(None) };
        // One factor for each channel pair: a longer list is refused before it is read.
        if found.shape.len() != 1 || found.shape[0] > 1 << 16 {
            return Err(PackError::config(self.file.path(), format!("its tensor {tensor} is no short list")));
        }
        let read = || -> Result<Vec<f32>> {
            self.file.read(tensor, &found.shape, &Device::Cpu)?.dequantize(&Device::Cpu)?.to_vec1()
        };
        let numbers = read().map_err(|error| PackError::config(self.file.path(), plain(&error)))?;
        Ok(Some(numbers.into_iter().map(f64::from).collect()))
    }

    /// What the decoder is built from.
    fn config(&self) -> std::result::Result<LlamaConfig, PackError> {
        let fault = |detail: String| PackError::config(self.file.path(), detail);
        let Some(table) = self.file.tensor("token_embd.weight") else {
            return Err(fault("it has no token table (token_embd.weight)".to_owned()));
        };
        let (hidden, layers, heads) =
            (self.need("embedding_length")?, self.need("block_count")?, self.need("attention.head_count")?);
        let head_dim = self.whole("attention.key_length").unwrap_or(hidden / heads);
        if self.whole("attention.value_length").is_some_and(|width| width != head_dim) {
            return Err(fault("its values are not as wide as its keys, which no model here has".to_owned()));
        }
        if head_dim == 0 {
            return Err(fault(format!("{heads} heads do not fit into a width of {hidden}")));
        }
        let gemma = self.architecture.starts_with("gemma");
        let theta = if self.architecture == "gemma3" { 1_000_000.0 } else { 10_000.0 };
        let turned = self.whole("rope.dimension_count").unwrap_or(head_dim).min(head_dim);
        if turned < head_dim && self.architecture == "llama" {
            return Err(fault("it turns only a part of each head, which no Llama does".to_owned()));
        }
        let context = self.need("context_length")?;
        let bias = |part: &str| self.has(&format!("blk.0.{part}.bias"));
        Ok(LlamaConfig {
            vocab_size: table.shape.first().copied().unwrap_or(0),
            hidden_size: hidden,
            intermediate_size: self.need("feed_forward_length")?,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: Some(match self.file.setting(&self.key("attention.head_count_kv")) {
                Some(_) => self.need("attention.head_count_kv")?,
                None => heads,
            }),
            head_dim: Some(head_dim),
            rms_norm_eps: self.real("attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: Some(self.rope(self.real("rope.freq_base").unwrap_or(theta), context)?),
            partial_rotary_factor: Some(turned as f64 / head_dim as f64),
            max_position_embeddings: context,
            original_max_position_embeddings: None,
            tie_word_embeddings: !self.has("output.weight"),
            attention_bias: bias("attn_output"),
            mlp_bias: bias("ffn_down"),
            hidden_act: if gemma { "gelu_pytorch_tanh" } else { "silu" }.to_owned(),
            reads_high_resolution_from: None,
            family: self.family(hidden, layers, heads, head_dim),
        })
    }

    fn family(&self, hidden: usize, layers: usize, heads: usize, head_dim: usize) -> Family {
        let (architecture, gemma) = (self.architecture, self.architecture.starts_with("gemma"));
        // The settings do not say it: the largest Gemma 2 and 3 divide by another width than their heads have.
        let largest = matches!((architecture, layers), ("gemma2", 46) | ("gemma3", 62));
        let window = self.whole("attention.sliding_window").filter(|window| *window > 0);
        let every = match architecture {
            "gemma2" => Some(2),
            "gemma3" => Some(self.whole("attention.sliding_window_pattern").unwrap_or(6).max(1)),
            "phi3" | "llama" => Some(usize::MAX),
            _ => None,
        };
        let local = every.zip(window).map(|(every, window)| Local {
            window,
            layers: (1..=layers.min(1 << 16)).map(|layer| !layer.is_multiple_of(every)).collect(),
            rope_theta: (architecture == "gemma3").then(|| self.real("rope.freq_base_swa").unwrap_or(10_000.0)),
        });
        let width = if largest { hidden as f64 / heads as f64 } else { head_dim as f64 };
        let width = self.real("attention.scale").filter(|scale| *scale > 0.0).map_or(width, |scale| scale.powi(-2));
        let capped = |name: &str, usual: f64| (architecture == "gemma2").then(|| self.real(name).unwrap_or(usual));
        Family {
            query_key_value_bias: self.has("blk.0.attn_q.bias"),
            query_key_norm: self.has("blk.0.attn_q_norm.weight"),
            fused: architecture == "phi3",
            outer_norms: matches!(architecture, "gemma2" | "gemma3"),
            // The converter has added the one.
            norms_from_zero: false,
            scaled_embeddings: gemma,
            wide_range: gemma,
            query_scale: Some(width),
            attention_cap: capped("attn_logit_softcapping", 50.0),
            final_cap: capped("final_logit_softcapping", 30.0),
            neighbour_pairs: architecture == "llama",
            local,
        }
    }

    /// How positions turn queries and keys.
    fn rope(&self, theta: f64, context: usize) -> std::result::Result<RopeParameters, PackError> {
        let base = RopeParameters { rope_theta: Some(theta), ..RopeParameters::default() };
        // Llama 3 lists by how much each pair is slower; Phi 3 has such a list for its original context.
        if let Some(factors) = self.numbers("rope_freqs.weight")? {
            return Ok(RopeParameters {
                rope_type: Some("longrope".to_owned()),
                short_factor: Some(factors),
                attention_factor: Some(1.0),
                original_max_position_embeddings: Some(context as f64),
                ..base
            });
        }
        if let Some(factors) = self.numbers("rope_factors_short.weight")? {
            let original = self.whole("rope.scaling.original_context_length").unwrap_or(context);
            return Ok(RopeParameters {
                rope_type: Some("longrope".to_owned()),
                short_factor: Some(factors),
                attention_factor: self.real("rope.scaling.attn_factor"),
                original_max_position_embeddings: Some(original as f64),
                ..base
            });
        }
        let kind = self.file.text(&self.key("rope.scaling.type")).unwrap_or("none");
        let factor = self.real("rope.scaling.factor").or_else(|| self.real("rope.scale_linear"));
        match (kind, factor) {
            ("linear", Some(factor)) => {
                Ok(RopeParameters { rope_type: Some("linear".to_owned()), factor: Some(factor), ..base })
            }
            ("none" | "linear" | "longrope", _) => Ok(base),
            (other, _) => Err(PackError::config(
                self.file.path(),
                format!("the rotary scaling {other:?} is not known here; run it in a server such as llama.cpp"),
            )),
        }
    }
}

/// The layers of a file, under the names that published checkpoints have.
struct Layers<'a> {
    file: &'a GgufFile,
    compute: &'a Compute,
    outer_norms: bool,
}

impl Layers<'_> {
    /// The name in the file of a layer called `name` in checkpoints.
    fn stored(&self, name: &str) -> String {
        let Some((number, part)) = name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) else {
            return match name {
                "embed_tokens" => "token_embd",
                "norm" => "output_norm",
                "lm_head" => "output",
                other => other,
            }
            .to_owned();
        };
        let part = match part {
            "input_layernorm" => "attn_norm",
            "post_attention_layernorm" if self.outer_norms => "post_attention_norm",
            "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
            "post_feedforward_layernorm" => "post_ffw_norm",
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.qkv_proj" => "attn_qkv",
            "self_attn.o_proj" => "attn_output",
            "self_attn.q_norm" => "attn_q_norm",
            "self_attn.k_norm" => "attn_k_norm",
            "mlp.gate_proj" => "ffn_gate",
            // Gate and up in one, the gate first, go by the name of the second.
            "mlp.up_proj" | "mlp.gate_up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            other => other,
        };
        format!("blk.{number}.{part}")
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<QTensor> {
        self.file.read(name, shape, &self.compute.device)
    }

    fn vector(&self, name: &str, width: usize) -> Result<Tensor> {
        self.read(name, &[width])?.dequantize(&self.compute.device)?.to_dtype(self.compute.dtype)
    }
}

impl DecoderWeights for Layers<'_> {
    fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let name = self.stored(name);
        let weight = self.read(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = if bias { Some(self.vector(&format!("{name}.bias"), outputs)?) } else { None };
        if is_plain(weight.dtype()) {
            return Linear::new(weight.dequantize(&self.compute.device)?.to_dtype(self.compute.dtype)?, bias);
        }
        Linear::quantised(Arc::new(weight), bias)
    }

    fn norm(&self, name: &str, width: usize) -> Result<Tensor> {
        self.vector(&format!("{}.weight", self.stored(name)), width)
    }

    fn embedding(&self, name: &str, count: usize, width: usize) -> Result<Embedding> {
        let table = self.read(&format!("{}.weight", self.stored(name)), &[count, width])?;
        // GPUs look rows up in plain tables only.
        if is_plain(table.dtype()) || !self.compute.device.is_cpu() {
            return Embedding::new(table.dequantize(&self.compute.device)?.to_dtype(self.compute.dtype)?);
        }
        Embedding::quantised(Arc::new(table), self.compute.dtype)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use candle_core::DType;
    use candle_core::quantized::gguf_file::{Value, write};
    use serde_json::Value as Json;

    use super::*;
    use crate::edit::language::generate::TokenModel;
    use crate::edit::specify::{Replier, SpecifyRequest};
    use crate::nets::watcher::Unwatched;

    /// The fixtures, and the architecture under which llama.cpp files such a model.
    const CASES: [(&str, &str); 14] = [
        ("llama", "llama"),
        ("llama-grouped", "llama"),
        ("llama-scaled", "llama"),
        ("llama-linear", "llama"),
        ("mistral", "llama"),
        ("mistral-window", "llama"),
        ("qwen2", "qwen2"),
        ("qwen3", "qwen3"),
        ("gemma", "gemma"),
        ("gemma2", "gemma2"),
        ("gemma3", "gemma3"),
        ("gemma3-linear", "gemma3"),
        ("phi3", "phi3"),
        ("phi3-long", "phi3"),
    ];

    /// A fixture as a GGUF file: settings and tensors under llama.cpp's names, in its order of rows.
    struct Made {
        settings: BTreeMap<String, Value>,
        tensors: BTreeMap<String, Tensor>,
        ids: Vec<u32>,
        logits: Tensor,
        greedy: Vec<u32>,
    }

    impl Made {
        fn of(case: &str, architecture: &str) -> Self {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/language");
            let bytes = std::fs::read(path.join(format!("{case}.safetensors"))).unwrap();
            let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
            let config: Json = serde_json::from_str(&header.metadata().as_ref().unwrap()["config"]).unwrap();
            let all = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
            let mut made = Self {
                settings: settings(architecture, &config),
                tensors: BTreeMap::new(),
                ids: all["in/ids"].flatten_all().unwrap().to_vec1().unwrap(),
                logits: all["out/logits"].clone(),
                greedy: all["out/greedy"].to_vec1().unwrap(),
            };
            let heads = |key: &str| config[key].as_u64().unwrap() as usize;
            for (name, tensor) in all {
                let Some(name) = name.strip_prefix("weights/") else { continue };
                let (name, ending) = name.rsplit_once('.').unwrap();
                let name = name.strip_prefix("model.").unwrap_or(name);
                let tensor = match name.rsplit('.').next().unwrap() {
                    "q_proj" if architecture == "llama" => neighbours(&tensor, heads("num_attention_heads")),
                    "k_proj" if architecture == "llama" => neighbours(&tensor, heads("num_key_value_heads")),
                    last if architecture.starts_with("gemma") && last.contains("norm") => (tensor + 1.0).unwrap(),
                    _ => tensor,
                };
                made.tensors.insert(format!("{}.{ending}", stored(name, architecture)), tensor);
            }
            made.factors(architecture, &config);
            made
        }

        /// The lists of rotary factors that the converter makes of scalings which settings cannot hold.
        fn factors(&mut self, architecture: &str, config: &Json) {
            let rope = &config["rope_parameters"];
            let list = |values: Vec<f32>| Tensor::new(values, &Device::Cpu).unwrap();
            match rope["rope_type"].as_str() {
                Some("llama3") => {
                    let number = |key: &str| rope[key].as_f64().unwrap() as f32;
                    let (low, high) = (number("low_freq_factor"), number("high_freq_factor"));
                    let original = number("original_max_position_embeddings");
                    let dim = config["head_dim"].as_u64().unwrap_or(8) as usize;
                    let factors = (0..dim).step_by(2).map(|i| {
                        let length = std::f32::consts::TAU * number("rope_theta").powf(i as f32 / dim as f32);
                        if length < original / high {
                            1.0
                        } else if length > original / low {
                            number("factor")
                        } else {
                            let smooth = (original / length - low) / (high - low);
                            1.0 / ((1.0 - smooth) / number("factor") + smooth)
                        }
                    });
                    self.tensors.insert("rope_freqs.weight".to_owned(), list(factors.collect()));
                }
                Some("longrope") => {
                    let short: Vec<f32> = serde_json::from_value(rope["short_factor"].clone()).unwrap();
                    self.tensors.insert("rope_factors_short.weight".to_owned(), list(short));
                    let original = config["original_max_position_embeddings"].as_u64().unwrap();
                    let longer = config["max_position_embeddings"].as_f64().unwrap() / original as f64;
                    let by = (1.0 + longer.ln() / (original as f64).ln()).sqrt();
                    let mut set = |key: &str, value: Value| {
                        self.settings.insert(format!("{architecture}.rope.scaling.{key}"), value);
                    };
                    set("original_context_length", Value::U32(original as u32));
                    set("attn_factor", Value::F32(by as f32));
                }
                _ => {}
            }
        }

        /// The file; matrices whose rows are whole blocks of `dtype` are stored so, all else as f32.
        fn bytes(&self, dtype: GgmlDType) -> Vec<u8> {
            let tensors = self.tensors.iter().map(|(name, tensor)| {
                let fits = tensor.rank() == 2 && tensor.dims()[1].is_multiple_of(dtype.block_size());
                (name.as_str(), QTensor::quantize(tensor, if fits { dtype } else { GgmlDType::F32 }).unwrap())
            });
            let tensors = tensors.collect::<Vec<_>>();
            let tensors = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect::<Vec<_>>();
            let settings = self.settings.iter().map(|(key, value)| (key.as_str(), value)).collect::<Vec<_>>();
            let mut bytes = std::io::Cursor::new(Vec::new());
            write(&mut bytes, &settings, &tensors).unwrap();
            bytes.into_inner()
        }
    }

    /// A file as it would be published, for the tests of other modules.
    pub(in crate::edit) fn write_file(case: &str, architecture: &str, path: &Path) {
        std::fs::write(path, Made::of(case, architecture).bytes(GgmlDType::F32)).unwrap();
    }

    fn stored(name: &str, architecture: &str) -> String {
        let outer_norms = matches!(architecture, "gemma2" | "gemma3");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b"GGUF".as_slice(), &[3, 0, 0, 0], &[0; 40]].concat()).unwrap();
        let file = GgufFile::open(file.path()).unwrap();
        Layers { file: &file, compute: &Compute::cpu(), outer_norms }.stored(name)
    }

    /// The rows of each head, first half and second half, put in turns.
    fn neighbours(tensor: &Tensor, heads: usize) -> Tensor {
        let shape = tensor.dims().to_vec();
        let (rows, rest) = (shape[0] / heads / 2, shape[1..].iter().product::<usize>());
        let turned = tensor.reshape((heads, 2, rows, rest)).unwrap().transpose(1, 2).unwrap();
        turned.contiguous().unwrap().reshape(shape).unwrap()
    }

    fn settings(architecture: &str, config: &Json) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let mut set = |key: &str, value: Value| all.insert(key.replace('*', architecture), value);
        let whole = |key: &str| Value::U32(config[key].as_u64().unwrap() as u32);
        set("general.architecture", Value::String(architecture.to_owned()));
        set("*.vocab_size", whole("vocab_size"));
        set("*.embedding_length", whole("hidden_size"));
        set("*.block_count", whole("num_hidden_layers"));
        set("*.feed_forward_length", whole("intermediate_size"));
        set("*.attention.head_count", whole("num_attention_heads"));
        set("*.attention.head_count_kv", whole("num_key_value_heads"));
        set("*.attention.layer_norm_rms_epsilon", Value::F32(config["rms_norm_eps"].as_f64().unwrap() as f32));
        // Room for our own prompt, which is longer than the fixtures' few tokens.
        set("*.context_length", Value::U32(8192));
        if config["head_dim"].is_u64() {
            set("*.attention.key_length", whole("head_dim"));
            set("*.attention.value_length", whole("head_dim"));
        }
        if config["sliding_window"].is_u64() {
            set("*.attention.sliding_window", whole("sliding_window"));
        }
        if let Some(kinds) = config["layer_types"].as_array().filter(|_| architecture == "gemma3") {
            let every = 1 + kinds.iter().position(|kind| kind == "full_attention").unwrap();
            set("*.attention.sliding_window_pattern", Value::U32(every as u32));
        }
        if let Some(scale) = config["query_pre_attn_scalar"].as_f64() {
            set("*.attention.scale", Value::F32(scale.powf(-0.5) as f32));
        }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if let Some(cap) = config[key].as_f64() {
                set(&format!("*.{key}"), Value::F32(cap as f32));
            }
        }
        let rope = &config["rope_parameters"];
        let (rope, near) = (rope.get("full_attention").unwrap_or(rope), &rope["sliding_attention"]);
        set("*.rope.freq_base", Value::F32(rope["rope_theta"].as_f64().unwrap() as f32));
        if let Some(theta) = near["rope_theta"].as_f64() {
            set("*.rope.freq_base_swa", Value::F32(theta as f32));
        }
        if rope["rope_type"] == "linear" {
            set("*.rope.scaling.type", Value::String("linear".to_owned()));
            set("*.rope.scaling.factor", Value::F32(rope["factor"].as_f64().unwrap() as f32));
        }
        if let Some(share) = rope["partial_rotary_factor"].as_f64() {
            let dim = config["hidden_size"].as_u64().unwrap() / config["num_attention_heads"].as_u64().unwrap();
            set("*.rope.dimension_count", Value::U32((dim as f64 * share) as u32));
        }
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTU.,Ġ\u{10a}";
        let letters = letters.chars().take(61).map(|letter| Value::String(letter.to_string()));
        set("tokenizer.ggml.model", Value::String("gpt2".to_owned()));
        set("tokenizer.ggml.tokens", Value::Array(letters.collect()));
        set("tokenizer.ggml.merges", Value::Array(vec![]));
        let template = "{% for m in messages %}U {{ m.content }} {% endfor %}A";
        set("tokenizer.chat_template", Value::String(template.to_owned()));
        all
    }

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn open_bytes(bytes: &[u8]) -> std::result::Result<Chat, PackError> {
        let (_folder, path) = file(bytes);
        open(&path, &Compute::cpu())
    }

    fn apart(found: &[f32], expected: &Tensor) -> f64 {
        let expected = expected.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
        let difference = square(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
        (difference / square(&mut expected.iter().copied())).sqrt()
    }

    #[test]
    fn every_architecture_gives_the_reference_logits_and_tokens() {
        for (case, architecture) in CASES {
            let made = Made::of(case, architecture);
            let chat = open_bytes(&made.bytes(GgmlDType::F32)).unwrap_or_else(|error| panic!("{case}: {error}"));
            let mut session = chat.session();
            let mut scores = session.advance(&made.ids, &Unwatched).unwrap();
            let distance = apart(&scores, &made.logits.get(made.ids.len() - 1).unwrap());
            assert!(distance <= 1e-5, "{case}: relative L2 {distance:.1e}");
            for expected in &made.greedy {
                let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32;
                assert_eq!(best, *expected, "{case}");
                scores = session.advance(&[best], &Unwatched).unwrap();
            }
        }
    }

    #[test]
    fn quantised_weights_stay_near_and_sixteen_bits_nearer() {
        for (case, architecture) in [("llama-grouped", "llama"), ("gemma2", "gemma2"), ("phi3", "phi3")] {
            let made = Made::of(case, architecture);
            for (dtype, limit) in [(GgmlDType::F16, 3e-3), (GgmlDType::BF16, 3e-2), (GgmlDType::Q8_0, 6e-2)] {
                let chat = open_bytes(&made.bytes(dtype)).unwrap();
                let scores = chat.session().advance(&made.ids, &Unwatched).unwrap();
                let distance = apart(&scores, &made.logits.get(made.ids.len() - 1).unwrap());
                assert!(distance > 0.0 && distance <= limit, "{case} {dtype:?}: relative L2 {distance:.1e}");
            }
        }
    }

    #[test]
    fn it_answers_and_conversations_share_nothing() {
        let chat = open_bytes(&Made::of("gemma3", "gemma3").bytes(GgmlDType::F32)).unwrap();
        let request = SpecifyRequest { temperature: 0.0, ..SpecifyRequest::new("a house", "make it winter") };
        let mut session = chat.session();
        let first = session.reply(&request, 0, &mut |_| {}, &Unwatched).unwrap();
        assert!(!first.is_empty());
        let other = SpecifyRequest { temperature: 0.0, ..SpecifyRequest::new("a boat", "make it summer") };
        session.reply(&other, 0, &mut |_| {}, &Unwatched).unwrap();
        assert_eq!(session.reply(&request, 0, &mut |_| {}, &Unwatched).unwrap(), first);
        assert_eq!(chat.session().reply(&request, 0, &mut |_| {}, &Unwatched).unwrap(), first);
    }

    #[test]
    fn the_memory_it_takes_is_told_from_the_header() {
        let made = Made::of("llama", "llama");
        let needed = |dtype: GgmlDType| {
            let (_folder, path) = file(&made.bytes(dtype));
            bytes_needed(&path, &Compute::cpu()).unwrap()
        };
        let numbers = made.tensors.values().map(|tensor| tensor.elem_count() as u64).sum::<u64>();
        assert_eq!(needed(GgmlDType::F32), 4 * numbers);
        assert_eq!(needed(GgmlDType::F16), 4 * numbers);
        assert!(needed(GgmlDType::Q8_0) < 3 * numbers && needed(GgmlDType::Q4_0) < 2 * numbers);
    }

    #[test]
    fn a_model_cut_short_anywhere_is_an_error_and_never_a_panic() {
        let whole = Made::of("qwen2", "qwen2").bytes(GgmlDType::Q8_0);
        for length in (0..whole.len() - 31).step_by(64) {
            let fault = open_bytes(&whole[..length]).unwrap_err().to_string();
            assert!(!fault.contains('\n') && fault.len() < 500, "{length}: {fault}");
        }
    }

    #[test]
    fn a_header_with_any_byte_changed_is_taken_or_refused_but_never_a_panic() {
        let whole = Made::of("gemma3", "gemma3").bytes(GgmlDType::F32);
        let data =
            whole.len() - Made::of("gemma3", "gemma3").tensors.values().map(|t| 4 * t.elem_count()).sum::<usize>();
        for place in (0..data).step_by(5) {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            if let Err(error) = open_bytes(&bytes) {
                let fault = error.to_string();
                assert!(!fault.contains('\n'), "{place}: {fault}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_sentence() {
        let made = |key: &str, value: Option<Value>| {
            let mut made = Made::of("llama", "llama");
            match value {
                Some(value) => made.settings.insert(key.to_owned(), value),
                None => made.settings.remove(key),
            };
            let fault = open_bytes(&made.bytes(GgmlDType::F32)).unwrap_err().to_string();
            assert!(!fault.contains('\n') && fault.len() < 500, "{fault}");
            fault
        };
        let text = |text: &str| Some(Value::String(text.to_owned()));
        assert!(made("general.architecture", text("mamba")).contains("mamba"));
        assert!(made("general.architecture", None).contains("unknown"));
        assert!(made("llama.expert_count", Some(Value::U32(8))).contains("mixture of experts"));
        assert!(made("split.count", Some(Value::U16(3))).contains("one of 3 parts"));
        assert!(made("llama.block_count", None).contains("llama.block_count"));
        assert!(made("llama.block_count", Some(Value::U32(u32::MAX))).contains("lacks the tensor blk.3"));
        assert!(made("llama.attention.head_count", Some(Value::U32(0))).contains("head_count"));
        assert!(made("llama.attention.head_count", Some(Value::U32(64))).contains("attn_q.weight has the shape"));
        assert!(made("llama.attention.head_count_kv", Some(Value::U32(3))).contains("3 of them for keys"));
        assert!(made("llama.embedding_length", Some(Value::U32(1 << 31))).contains("size of 2147483648"));
        assert!(made("llama.embedding_length", Some(Value::U32(64))).contains("token_embd.weight has the shape"));
        assert!(made("llama.rope.scaling.type", text("yarn")).contains("yarn"));
        assert!(made("llama.rope.dimension_count", Some(Value::U32(4))).contains("part of each head"));
        assert!(made("tokenizer.chat_template", None).contains("no chat template"));
        let tokens = Value::Array((0..99).map(|id| Value::String(format!("t{id}"))).collect());
        assert!(made("tokenizer.ggml.tokens", Some(tokens)).contains("99 tokens"));
    }
}
