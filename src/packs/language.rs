//! A language model on disk: a folder with `config.json`, safetensors and `tokenizer.json`, as chat models and LLaVA
//! are published.
//!
//! Gathers what the several small files beside the weights say: the chat template (in one of four places), the texts of
//! the first and last token, and the tokens that end an answer.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::weights::{WeightOptions, Weights};
use super::{PackError, read_json_as, read_text, sentencepiece, tokenizer_checks};

/// What a model's files say about texts.
#[derive(Debug, Clone)]
pub struct TextFacts {
    /// Turns text into tokens and back. Neither pads nor cuts.
    pub tokenizer: Tokenizer,
    /// The chat template, in Jinja; `None` for a model that was not made for chats.
    pub template: Option<String>,
    /// The text of the token a sequence begins with; empty where there is none.
    pub bos: String,
    /// The text of the token a sequence ends with; empty where there is none.
    pub eos: String,
    /// The tokens that end an answer, each once.
    pub stops: Vec<u32>,
}

/// An opened folder. Of the weights only headers have been read.
#[derive(Debug, Clone)]
pub struct LanguageFolder {
    /// The folder.
    pub path: PathBuf,
    /// `config.json`.
    pub config: Value,
    /// `preprocessor_config.json`; null where there is none.
    pub preprocessor: Value,
    /// The tensors.
    pub weights: Weights,
    /// Tokenizer and chat template.
    pub text: TextFacts,
}

/// Tokens that end a turn in one family of chat models or another, whatever their configs say.
const TURN_ENDS: [&str; 8] =
    ["<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>", "</s>"];

impl LanguageFolder {
    /// Opens the folder `path`.
    ///
    /// # Errors
    /// One sentence naming the file that is missing, cut short, mislabelled or of another kind.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        if !path.is_dir() {
            return Err(PackError::missing(path, "a folder with config.json, weights and tokenizer.json was expected"));
        }
        let config: Value = read_json_as(&path.join("config.json"))?;
        if !config.is_object() {
            return Err(PackError::config(&path.join("config.json"), "it is not a JSON object"));
        }
        let weights = Weights::open(path, &WeightOptions::default())?;
        let text = TextFacts::of_folder(path, &config)?;
        Ok(Self {
            path: path.to_path_buf(),
            preprocessor: optional(path, "preprocessor_config.json")?,
            config,
            weights,
            text,
        })
    }
}

impl TextFacts {
    /// What the files beside the weights in the folder `path` say, whose `config.json` is `config`.
    ///
    /// # Errors
    /// One sentence naming the file that is missing, damaged, or describes no tokenizer that can be used.
    pub fn of_folder(path: &Path, config: &Value) -> Result<Self, PackError> {
        let generation = optional(path, "generation_config.json")?;
        let settings = optional(path, "tokenizer_config.json")?;
        let tokenizer = tokenizer(path)?;
        let bos = token_text(&settings, "bos_token");
        let eos = token_text(&settings, "eos_token");
        let mut stops = Vec::new();
        let inner = config.get("text_config").unwrap_or(&Value::Null);
        for source in [&generation, config, inner] {
            add_ids(source.get("eos_token_id"), &mut stops);
        }
        stops.extend(tokenizer.token_to_id(&eos));
        let template = template(path, &settings)?;
        Ok(Self { tokenizer, template, bos, eos, stops }.complete())
    }

    /// Adds the ends of turns that the vocabulary has as special tokens, and drops repetitions.
    pub(super) fn complete(mut self) -> Self {
        let special = self.tokenizer.get_added_tokens_decoder();
        let known = TURN_ENDS.iter().filter_map(|text| self.tokenizer.token_to_id(text));
        self.stops.extend(known.filter(|id| special.get(id).is_some_and(|token| token.special)));
        self.stops.sort_unstable();
        self.stops.dedup();
        self
    }
}

/// The tokenizer in `folder`.
pub(super) fn tokenizer(folder: &Path) -> Result<Tokenizer, PackError> {
    let path = folder.join("tokenizer.json");
    let older = folder.join("tokenizer.model");
    if !path.is_file() && older.is_file() {
        return sentencepiece::tokenizer(&older);
    }
    let description: Value = read_json_as(&path)?;
    tokenizer_of(&path, description)
}

/// A tokenizer from its description in the form of `tokenizer.json`; `path` names it in errors.
pub(super) fn tokenizer_of(path: &Path, mut description: Value) -> Result<Tokenizer, PackError> {
    let fault = |detail: String| PackError::config(path, detail);
    let root = description.as_object_mut().ok_or_else(|| fault("it is not a JSON object".into()))?;
    root.insert("truncation".into(), Value::Null);
    root.insert("padding".into(), Value::Null);
    let prefix = root.get("model").and_then(|model| model.get("continuing_subword_prefix")).and_then(Value::as_str);
    if prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return Err(fault("its pieces have a prefix, which no chat model's tokenizer has".into()));
    }
    tokenizer_checks::build(path, &description)
}

/// A JSON file that need not be there.
pub(super) fn optional(folder: &Path, name: &str) -> Result<Value, PackError> {
    let path = folder.join(name);
    if path.is_file() { read_json_as(&path) } else { Ok(Value::Null) }
}

/// A token's text in `tokenizer_config.json`: a string, or an object with `content`.
fn token_text(settings: &Value, key: &str) -> String {
    let value = settings.get(key).unwrap_or(&Value::Null);
    value.as_str().or_else(|| value.get("content")?.as_str()).unwrap_or_default().to_owned()
}

/// One id or a list of ids.
fn add_ids(value: Option<&Value>, ids: &mut Vec<u32>) {
    match value {
        Some(Value::Array(several)) => several.iter().for_each(|one| add_ids(Some(one), ids)),
        Some(one) => ids.extend(one.as_u64().and_then(|id| u32::try_from(id).ok())),
        None => {}
    }
}

/// The chat template: its own file, or in `tokenizer_config.json` alone or as the one named `default`.
fn template(folder: &Path, settings: &Value) -> Result<Option<String>, PackError> {
    let own = folder.join("chat_template.jinja");
    if own.is_file() {
        return read_text(&own).map(Some);
    }
    let older = optional(folder, "chat_template.json")?;
    let value = older.get("chat_template").or_else(|| settings.get("chat_template"));
    Ok(match value {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(named)) => {
            let of = |name: &str| named.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name));
            let chosen = of("default").or_else(|| named.first());
            chosen.and_then(|one| one.get("template")).and_then(Value::as_str).map(str::to_owned)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings_of(value: &Value) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        template(folder.path(), &json!({ "chat_template": value })).unwrap()
    }

    #[test]
    fn the_template_is_found_in_each_of_its_places() {
        assert_eq!(settings_of(&json!("a")).as_deref(), Some("a"));
        let several = json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]);
        assert_eq!(settings_of(&several).as_deref(), Some("d"));
        assert_eq!(settings_of(&json!([])), None);
        assert_eq!(settings_of(&json!(7)), None);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("chat_template.json"), r#"{"chat_template": "j"}"#).unwrap();
        assert_eq!(template(folder.path(), &Value::Null).unwrap().as_deref(), Some("j"));
        std::fs::write(folder.path().join("chat_template.jinja"), "own").unwrap();
        assert_eq!(template(folder.path(), &Value::Null).unwrap().as_deref(), Some("own"));
    }

    #[test]
    fn ids_and_token_texts_come_in_two_forms() {
        let mut ids = Vec::new();
        add_ids(Some(&json!([7, [8], -1, "x", 1e12])), &mut ids);
        add_ids(Some(&json!(9)), &mut ids);
        assert_eq!(ids, [7, 8, 9]);
        assert_eq!(token_text(&json!({"eos_token": {"content": "</s>"}}), "eos_token"), "</s>");
        assert_eq!(token_text(&json!({"eos_token": "<e>"}), "eos_token"), "<e>");
        assert_eq!(token_text(&json!({"eos_token": null}), "eos_token"), "");
    }

    #[test]
    fn broken_folders_are_named_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let fault = || LanguageFolder::open(folder.path()).unwrap_err().to_string();
        assert!(fault().contains("config.json"));
        std::fs::write(folder.path().join("config.json"), "[]").unwrap();
        assert!(fault().contains("not a JSON object"));
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert!(fault().contains("no weight file"));
        let absent = LanguageFolder::open(&folder.path().join("absent")).unwrap_err().to_string();
        assert!(absent.contains("was expected"));
        std::fs::write(folder.path().join("tokenizer.model"), "x").unwrap();
        assert!(tokenizer(folder.path()).unwrap_err().to_string().contains("no SentencePiece model"));
        std::fs::write(folder.path().join("tokenizer.json"), r#"{"model": {"continuing_subword_prefix": "@@"}}"#)
            .unwrap();
        assert!(tokenizer(folder.path()).unwrap_err().to_string().contains("prefix"));
        for merge in [r#""a a""#, r#"["a", "a"]"#] {
            let text = format!(r#"{{"model": {{"type": "BPE", "vocab": {{"a": 0}}, "merges": [{merge}]}}}}"#);
            std::fs::write(folder.path().join("tokenizer.json"), text).unwrap();
            assert!(tokenizer(folder.path()).unwrap_err().to_string().contains(r#"merge of "aa""#));
        }
        std::fs::write(folder.path().join("tokenizer.json"), r#"{"model": {}}"#).unwrap();
        assert!(tokenizer(folder.path()).unwrap_err().to_string().contains("does not describe"));
    }
}
