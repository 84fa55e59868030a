//! Chat models on this machine (Llama, Mistral, Qwen, Gemma, Phi), from a folder of safetensors or from a GGUF file, with
//! their own tokenizer and chat template.

use std::path::Path;

use candle_core::{DType, Tensor};

use super::generate::{Limits, TokenModel, generate};
use super::prompt;
use super::template::ChatTemplate;
use crate::edit::specify::{Replier, SpecifyError, SpecifyRequest, plain};
use crate::nets::llama::{KeyValueCache, Llama, LlamaConfig};
use crate::nets::watcher::Watcher;
use crate::ops::device::Compute;
use crate::packs::PackError;
use crate::packs::language::{LanguageFolder, TextFacts};
use crate::text::sampling::Sampling;

/// Tokens of an answer at most: room for a model that says more than it was asked for.
const ANSWER_TOKENS: usize = 400;

/// Share of the probability that words are drawn from.
const NUCLEUS: f64 = 0.95;

/// The opened model.
#[derive(Debug)]
pub struct Chat {
    model: Llama,
    text: TextFacts,
    template: ChatTemplate,
    compute: Compute,
}

impl Chat {
    /// Builds the network of an opened folder.
    ///
    /// # Errors
    /// One sentence: a family that is not known, a config that makes no network, a tensor that is missing or of another
    /// shape, no chat template.
    pub fn load(folder: &LanguageFolder, compute: &Compute) -> Result<Self, PackError> {
        let path = folder.path.join("config.json");
        let fault = |error: candle_core::Error| PackError::config(&path, plain(&error));
        let config = LlamaConfig::of_chat_model(&folder.config).map_err(fault)?;
        let compute = precise(compute, &config);
        let weights = folder.weights.var_builder(&compute.device, compute.dtype);
        // Models that also see pictures keep their text part one level deeper, by one of two names.
        let deeper = [("language_model.model", "language_model"), ("model.language_model", "")];
        let deeper = deeper.iter().find(|(model, _)| weights.contains_tensor(&format!("{model}.embed_tokens.weight")));
        let model = match deeper {
            Some((model, "")) => Llama::load_parts(&config, &weights.pp(model), &weights),
            Some((model, outer)) => Llama::load_parts(&config, &weights.pp(model), &weights.pp(outer)),
            None => Llama::load(&config, &weights),
        };
        let model = model.map_err(|error| PackError::config(&folder.path, plain(&error)))?;
        Self::new(model, &folder.text, &folder.path, compute)
    }

    /// About how many bytes the weights of an opened folder take on `compute`.
    #[must_use]
    pub fn bytes_needed(folder: &LanguageFolder, compute: &Compute) -> u64 {
        let config = LlamaConfig::of_chat_model(&folder.config);
        // A token table that is the output layer too is kept twice on the CPU, which packs what it multiplies with.
        let twice = compute.device.is_cpu() && config.is_ok_and(|config| config.tie_word_embeddings);
        let table = folder.weights.names().find(|name| name.ends_with("embed_tokens.weight"));
        let table = table.filter(|_| twice).and_then(|name| folder.weights.facts(name));
        let again = table.map_or(0, |facts| facts.shape.iter().map(|side| *side as u64).product());
        (folder.weights.parameters() + again) * compute.dtype.size_in_bytes() as u64
    }

    /// A model with its texts; `path` names it in errors.
    pub(super) fn new(model: Llama, text: &TextFacts, path: &Path, compute: Compute) -> Result<Self, PackError> {
        let Some(template) = &text.template else {
            return Err(PackError::OtherModel {
                path: path.to_path_buf(),
                detail: "it has no chat template, so it was not made to follow instructions".to_owned(),
            });
        };
        let template = ChatTemplate::new(template, &text.bos, &text.eos)
            .map_err(|error| PackError::config(path, error.to_string()))?;
        Ok(Self { model, text: text.clone(), template, compute })
    }

    /// A conversation with it. Sessions of one model share nothing but its weights.
    #[must_use]
    pub fn session(&self) -> ChatSession<'_> {
        ChatSession { chat: self, cache: KeyValueCache::new() }
    }
}

/// One conversation with a chat model.
#[derive(Debug)]
pub struct ChatSession<'a> {
    chat: &'a Chat,
    cache: KeyValueCache,
}

impl TokenModel for ChatSession<'_> {
    fn advance(&mut self, ids: &[u32], watcher: &dyn Watcher) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::new(ids, &self.chat.compute.device)?.unsqueeze(0)?;
        self.chat.model.forward(&ids, &mut self.cache, watcher)?.squeeze(0)?.to_vec1()
    }

    fn restart(&mut self) {
        self.cache.truncate(0);
    }

    fn context(&self) -> usize {
        self.chat.model.config().context()
    }
}

impl Replier for ChatSession<'_> {
    fn reply(
        &mut self,
        request: &SpecifyRequest,
        attempt: u64,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, SpecifyError> {
        let chat = self.chat;
        let failed = |reason: String| SpecifyError::Model(reason);
        let text = chat.template.render(&prompt::specification(request)).map_err(|error| failed(error.to_string()))?;
        // The template writes every special token itself.
        let encoding = chat.text.tokenizer.encode(text, false);
        let encoding = encoding.map_err(|error| failed(format!("its tokenizer failed ({error})")))?;
        let limits = Limits {
            sampling: Sampling {
                temperature: request.temperature,
                top_p: NUCLEUS,
                seed: request.seed.wrapping_add(attempt),
            },
            max_tokens: ANSWER_TOKENS,
            stop_tokens: chat.text.stops.clone(),
            stop_texts: Vec::new(),
            max_lines: None,
        };
        generate(self, &chat.text.tokenizer, encoding.get_ids(), &limits, on_text, watcher)
    }
}

/// The precision for a network: one whose activations outgrow f16 takes bf16 instead.
pub(super) fn precise(compute: &Compute, config: &LlamaConfig) -> Compute {
    let narrow = config.family.wide_range && compute.dtype == DType::F16;
    Compute { dtype: if narrow { DType::BF16 } else { compute.dtype }, ..compute.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::edit::specify::Specifier;
    use crate::nets::watcher::Unwatched;

    /// A folder as chat models are published, with the random weights of a fixture and a tokenizer of single letters.
    fn folder(change: impl Fn(&mut Value)) -> tempfile::TempDir {
        folder_of("qwen2", "", change)
    }

    /// The same of a fixture of that name, its tensors with something in front of their names.
    fn folder_of(fixture: &str, prefix: &str, change: impl Fn(&mut Value)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/language");
        let fixture = fixtures.join(format!("{fixture}.safetensors"));
        let bytes = std::fs::read(&fixture).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let mut config: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["config"]).unwrap();
        config["max_position_embeddings"] = json!(8192);
        change(&mut config);
        let tensors = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu).unwrap();
        let weights: HashMap<_, _> = tensors
            .into_iter()
            .filter_map(|(name, tensor)| Some((format!("{prefix}{}", name.strip_prefix("weights/")?), tensor)))
            .collect();
        candle_core::safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTU.,Ġ\u{10a}";
        let vocabulary: serde_json::Map<_, _> =
            letters.chars().take(61).enumerate().map(|(id, letter)| (letter.to_string(), json!(id))).collect();
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []}
        });
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        write("config.json", config.to_string());
        write("tokenizer.json", tokenizer.to_string());
        write("chat_template.jinja", "{% for m in messages %}U {{ m.content }} {% endfor %}A".to_owned());
        folder
    }

    fn load(folder: &tempfile::TempDir) -> Result<Chat, PackError> {
        Chat::load(&LanguageFolder::open(folder.path()).unwrap(), &Compute::cpu())
    }

    #[test]
    fn a_published_folder_answers_and_the_same_seed_says_the_same() {
        let folder = folder(|_| {});
        let chat = load(&folder).unwrap();
        let answer = |seed: u64| {
            let request = SpecifyRequest { seed, ..SpecifyRequest::new("a house", "make it winter") };
            let mut shown = String::new();
            let reply = chat.session().reply(&request, 0, &mut |text| shown.push_str(text), &Unwatched).unwrap();
            assert_eq!(shown, reply);
            reply
        };
        let first = answer(1);
        assert!(!first.is_empty());
        assert_eq!(first, answer(1));
        assert_ne!(first, answer(2));
    }

    #[test]
    fn gemma_and_phi_answer_and_the_text_part_of_a_model_that_sees_is_found() {
        let wrap = |config: &mut Value| *config = json!({"model_type": "gemma3", "text_config": config.clone()});
        let answer = |folder: &tempfile::TempDir| {
            let request = SpecifyRequest { temperature: 0.0, ..SpecifyRequest::new("a house", "winter") };
            load(folder).unwrap().session().reply(&request, 0, &mut |_| {}, &Unwatched).unwrap()
        };
        let plain = answer(&folder_of("gemma3", "", |_| {}));
        assert!(!plain.is_empty());
        assert_eq!(plain, answer(&folder_of("gemma3", "language_model.", wrap)));
        assert!(!answer(&folder_of("phi3", "", |_| {})).is_empty());
    }

    #[test]
    fn a_table_that_is_used_twice_counts_twice() {
        let needed = |fixture: &str| {
            let folder = LanguageFolder::open(folder_of(fixture, "", |_| {}).path()).unwrap();
            (Chat::bytes_needed(&folder, &Compute::cpu()), 4 * folder.weights.parameters())
        };
        let (tied, all) = needed("qwen2");
        assert_eq!(tied, all + 4 * 61 * 32);
        let (untied, all) = needed("qwen3");
        assert_eq!(untied, all);
    }

    #[test]
    fn a_prompt_longer_than_the_model_takes_is_refused() {
        let folder = folder(|config| config["max_position_embeddings"] = json!(64));
        let chat = load(&folder).unwrap();
        let request = SpecifyRequest::new("a house", "make it winter");
        let fault = chat.session().specify(&request, &mut |_| {}, &Unwatched).unwrap_err().to_string();
        assert!(fault.contains("the model takes 64"), "{fault}");
    }

    #[test]
    fn folders_that_are_no_chat_models_are_refused_in_one_sentence() {
        let bare = folder(|_| {});
        std::fs::remove_file(bare.path().join("chat_template.jinja")).unwrap();
        assert!(load(&bare).unwrap_err().to_string().contains("no chat template"));
        for (key, value) in [
            ("model_type", json!("gemma4")),
            ("num_attention_heads", json!(0)),
            ("hidden_size", json!(u64::MAX)),
            ("num_hidden_layers", json!(u64::MAX)),
            ("vocab_size", json!(62)),
            ("rope_parameters", json!({"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0})),
            ("hidden_act", json!("relu")),
        ] {
            let broken = folder(|config| config[key] = value.clone());
            let fault = load(&broken).unwrap_err().to_string();
            assert!(!fault.contains('\n') && fault.len() < 500, "{key}: {fault}");
        }
    }
}
