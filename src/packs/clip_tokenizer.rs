//! The tokenizer of CLIP text encoders: byte pairs on lower-case text, from `vocab.json` and `merges.txt` as older
//! models publish it, or from `tokenizer.json`; the special tokens from `tokenizer_config.json` and
//! `special_tokens_map.json`.
//!
//! The rules are those of transformers' `CLIPTokenizer`: canonical composition (NFC), runs of white space to one space,
//! lower case; words by CLIP's pattern, bytes to printable characters, `</w>` at a word's end; start and end token
//! around, cut so that the end token stays, filled up with the pad token. The work is done by the `tokenizers` crate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokenizers::{AddedToken, Tokenizer};

use super::{PackError, read_json_as, read_text, tokenizer_checks};

/// The number of positions of every published CLIP text encoder.
const USUAL_LENGTH: usize = 77;

/// Where CLIP's tokenizer cuts text into words (before bytes are paired).
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns a sentence into the fixed-length row of token ids that a CLIP text encoder reads.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    path: PathBuf,
    tokenizer: Tokenizer,
    length: usize,
    pad: u32,
    end: u32,
}

/// The special tokens by role, with the defaults of CLIP.
struct Special {
    start: String,
    end: String,
    pad: String,
    unknown: String,
}

impl ClipTokenizer {
    /// Opens the tokenizer in `folder`. `positions` is the number of positions of the text encoder it feeds, if known:
    /// no row gets longer than that.
    ///
    /// # Errors
    /// If files are missing or contradict each other.
    pub fn open(folder: &Path, positions: Option<usize>) -> Result<Self, PackError> {
        let optional = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { read_json_as::<Value>(&path) } else { Ok(Value::Null) }
        };
        let config = optional("tokenizer_config.json")?;
        let special = Special::from(&config, &optional("special_tokens_map.json")?);
        let whole = folder.join("tokenizer.json");
        let (path, mut description) = if whole.is_file() {
            let description = read_json_as(&whole)?;
            (whole, description)
        } else {
            let vocabulary = folder.join("vocab.json");
            let description = describe(&vocabulary, &folder.join("merges.txt"), &special)?;
            (vocabulary, description)
        };
        check_model(&path, &mut description)?;
        let mut tokenizer = tokenizer_checks::build(&path, &description)?;
        // A token that is special by configuration is cut out of the text whole, as in transformers.
        let tokens = [&special.start, &special.end, &special.unknown, &special.pad]
            .map(|token| AddedToken::from(token.clone(), true));
        tokenizer.add_special_tokens(tokens).map_err(|error| PackError::config(&path, error.to_string()))?;

        let id = |token: &str| {
            tokenizer
                .token_to_id(token)
                .ok_or_else(|| PackError::config(&path, format!("its vocabulary lacks the special token {token}")))
        };
        let (pad, end) = (id(&special.pad)?, id(&special.end)?);
        id(&special.start)?;
        let length = row_length(&config, positions);
        if length < 3 {
            return Err(PackError::config(&path, format!("rows of {length} tokens leave no room for words")));
        }
        Ok(Self { path, tokenizer, length, pad, end })
    }

    /// The token ids of `text`: `[length]`, start token first, end token kept even if the text is cut, padded.
    ///
    /// # Errors
    /// If the tokenizer's description makes the text impossible to encode.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PackError> {
        let mut ids = self.all_ids(text)?;
        if ids.len() > self.length {
            ids.truncate(self.length - 1);
            ids.push(self.end);
        }
        ids.resize(self.length, self.pad);
        Ok(ids)
    }

    /// How many tokens `text` has, start and end token included; the encoder sees at most [`Self::length`] of them.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn count(&self, text: &str) -> Result<usize, PackError> {
        Ok(self.all_ids(text)?.len())
    }

    /// The ids of `text` with start and end token, neither cut nor padded.
    fn all_ids(&self, text: &str) -> Result<Vec<u32>, PackError> {
        let encoding = self
            .tokenizer
            .encode(text, true)
            .map_err(|error| PackError::config(&self.path, format!("it cannot encode {text:?} ({error})")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The length of every row.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The id that fills a row up.
    #[must_use]
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// The id that ends a sentence.
    #[must_use]
    pub fn end_id(&self) -> u32 {
        self.end
    }
}

impl Special {
    /// Reads the special tokens. The map wins over the configuration unless that one lists its added tokens (a newer
    /// file, which then is complete): so transformers decides, and Stable Diffusion 2 files depend on it.
    fn from(config: &Value, map: &Value) -> Self {
        let complete = config.get("added_tokens_decoder").is_some();
        let read = |key: &str, default: &str| {
            let (first, second) = if complete { (config, map) } else { (map, config) };
            let text = |source: &Value| {
                let token = source.get(key)?;
                token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_string)
            };
            text(first).or_else(|| text(second)).unwrap_or_else(|| default.to_string())
        };
        Self {
            start: read("bos_token", "<|startoftext|>"),
            end: read("eos_token", "<|endoftext|>"),
            pad: read("pad_token", "<|endoftext|>"),
            unknown: read("unk_token", "<|endoftext|>"),
        }
    }
}

/// The row length: what the configuration says, at most the encoder's positions. Configurations that know no limit
/// write a number beyond all bounds.
fn row_length(config: &Value, positions: Option<usize>) -> usize {
    let configured = config
        .get("model_max_length")
        .and_then(Value::as_f64)
        .filter(|&length| (1.0..1e5).contains(&length))
        .map(|length| length as usize);
    match (configured, positions) {
        (Some(length), Some(positions)) => length.min(positions),
        (Some(length), None) => length,
        (None, Some(positions)) => positions,
        (None, None) => USUAL_LENGTH,
    }
}

/// The description (in the form of `tokenizer.json`) of the tokenizer that `vocab.json` and `merges.txt` stand for.
fn describe(vocabulary: &Path, merges: &Path, special: &Special) -> Result<Value, PackError> {
    let vocab: HashMap<String, u32> = read_json_as(vocabulary)?;
    let mut pairs = Vec::new();
    for line in read_text(merges)?.lines() {
        if line.trim().is_empty() || (pairs.is_empty() && line.starts_with("#version")) {
            continue;
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            [first, second] => pairs.push(json!([first, second])),
            _ => {
                return Err(PackError::config(merges, format!("the line {line:?} is not a pair of pieces")));
            }
        }
    }
    let id = |token: &str| {
        vocab
            .get(token)
            .copied()
            .ok_or_else(|| PackError::config(vocabulary, format!("it lacks the special token {token}")))
    };
    let (start, end) = (id(&special.start)?, id(&special.end)?);
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
            { "type": "Lowercase" },
        ]},
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": WORDS }, "behavior": "Removed", "invert": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        ]},
        "post_processor": { "type": "RobertaProcessing",
            "sep": [special.end, end], "cls": [special.start, start],
            "trim_offsets": false, "add_prefix_space": false },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": special.unknown,
            "continuing_subword_prefix": "", "end_of_word_suffix": "</w>", "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": pairs },
    }))
}

/// Checks that the merges of a described model stay within its vocabulary (the `tokenizers` crate takes that for
/// granted), and drops the truncation and padding it was saved with.
fn check_model(path: &Path, description: &mut Value) -> Result<(), PackError> {
    let fault = |detail: &str| PackError::config(path, detail);
    let root = description.as_object_mut().ok_or_else(|| fault("it is not a JSON object"))?;
    root.insert("truncation".into(), Value::Null);
    root.insert("padding".into(), Value::Null);
    let model = root.get("model").and_then(Value::as_object).ok_or_else(|| fault("it describes no model"))?;
    let kind = model.get("type").and_then(Value::as_str).unwrap_or("BPE");
    if kind != "BPE" {
        return Err(fault(&format!("its model is {kind}, but a CLIP tokenizer is BPE")));
    }
    if model.get("continuing_subword_prefix").and_then(Value::as_str).is_some_and(|prefix| !prefix.is_empty()) {
        return Err(fault("its model puts a prefix before continuing pieces, which CLIP tokenizers do not"));
    }
    let vocab = model.get("vocab").and_then(Value::as_object).ok_or_else(|| fault("it has no vocabulary"))?;
    if vocab.values().any(|id| id.as_u64().is_none_or(|id| id > u64::from(u32::MAX >> 1))) {
        return Err(fault("its vocabulary holds something that is not an id"));
    }
    for merge in model.get("merges").and_then(Value::as_array).into_iter().flatten() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(first), Value::String(second)] => Some((first.as_str(), second.as_str())),
                _ => None,
            },
            _ => None,
        };
        let known = pair.is_some_and(|(first, second)| {
            vocab.contains_key(first) && vocab.contains_key(second) && vocab.contains_key(&format!("{first}{second}"))
        });
        if !known {
            return Err(fault(&format!("its merge {merge} is not made of pieces of the vocabulary")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/clip_tokenizer").join(name)
    }

    /// Made by tests/reference/clip_tokenizer.py.
    #[test]
    fn gives_the_ids_of_transformers() {
        for name in ["bytes", "sparse", "whole"] {
            let folder = fixture(name);
            let tokenizer = ClipTokenizer::open(&folder, Some(77)).unwrap();
            let expected: Value = read_json_as(&folder.join("expected.json")).unwrap();
            let rows = expected["rows"].as_array().unwrap();
            assert!(rows.len() > 25);
            for row in rows {
                let text = row["text"].as_str().unwrap();
                let ids: Vec<u32> =
                    row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
                assert_eq!(tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
            }
        }
    }

    #[test]
    fn long_texts_keep_their_end_token_and_say_that_they_were_cut() {
        let tokenizer = ClipTokenizer::open(&fixture("bytes"), Some(10)).unwrap();
        let ids = tokenizer.encode(&"snow ".repeat(30)).unwrap();
        assert_eq!(ids.len(), 10);
        assert_eq!(ids[9], tokenizer.end_id());
        let one = tokenizer.count("snow").unwrap() - 2;
        assert_eq!(tokenizer.count(&"snow ".repeat(30)).unwrap(), 30 * one + 2);
    }

    #[test]
    fn files_that_contradict_each_other_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let error = || ClipTokenizer::open(folder.path(), None).unwrap_err().to_string();
        assert!(error().contains("vocab.json is missing"));
        write("vocab.json", r#"{"a":0,"b</w>":1,"<|startoftext|>":2,"<|endoftext|>":3}"#);
        assert!(error().contains("merges.txt is missing"));
        write("merges.txt", "#version: 0.2\na b</w>\n");
        assert!(error().contains("not made of pieces of the vocabulary"));
        write("merges.txt", "#version: 0.2\na b c\n");
        assert!(error().contains("is not a pair"));
        write("merges.txt", "#version: 0.2\n");
        ClipTokenizer::open(folder.path(), None).unwrap();
        write("vocab.json", r#"{"a":0,"<|startoftext|>":2}"#);
        assert!(error().contains("lacks the special token <|endoftext|>"));
        write("tokenizer.json", r#"{"model":{"type":"Unigram"}}"#);
        assert!(error().contains("Unigram"));
        write("tokenizer.json", "version https://git-lfs.github.com/spec/v1\n");
        assert!(error().contains("Git LFS pointer"));
    }
}
