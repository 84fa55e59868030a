//! Builds a tokenizer from a description that comes from outside.
//!
//! The library that reads descriptions takes some that contradict themselves and panics over them, when it builds or only
//! when the first text comes. What is known to do so is looked for and named; for the rest, a text with something of every
//! kind is tried before anybody's words are.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use super::PackError;

/// Words, a number, signs, blanks, letters beyond ASCII.
const TRIED: &str = "put snow on the roofs, 12 of them…  ❄\ndon't";

/// The tokenizer that `description`, in the form of `tokenizer.json`, describes; `path` names it in errors.
pub(super) fn build(path: &Path, description: &Value) -> Result<Tokenizer, PackError> {
    let fault = |detail: String| PackError::config(path, detail);
    if let Some(merge) = description.get("model").and_then(impossible_merge) {
        return Err(fault(format!("its merge of {merge:?} makes a piece that is not in its vocabulary")));
    }
    if let Some(token) = description.get("post_processor").and_then(unknown_token) {
        return Err(fault(format!("its post-processor puts in the token {token:?} and does not say what that is")));
    }
    let bytes = serde_json::to_vec(description).map_err(|error| fault(error.to_string()))?;
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let tokenizer = Tokenizer::from_bytes(bytes)?;
        // A text that cannot be encoded is an error where it is used, which is soon enough.
        if let Ok(encoding) = tokenizer.encode(TRIED, true) {
            drop(tokenizer.decode(encoding.get_ids(), false));
        }
        Ok::<_, tokenizers::Error>(tokenizer)
    }));
    match tried {
        Ok(built) => built.map_err(|error| fault(format!("it does not describe a tokenizer ({error})"))),
        Err(_) => Err(fault("the tokenizer that it describes breaks down over a plain text".to_owned())),
    }
}

/// A merge that makes a piece longer than any in the vocabulary: the tokenizer's builder would panic over it. Other
/// merges of unknown pieces it refuses itself.
fn impossible_merge(model: &Value) -> Option<String> {
    let longest = model.get("vocab")?.as_object()?.keys().map(String::len).max().unwrap_or(0);
    let text = |merge: &Value| match merge {
        Value::String(pair) => pair.split_once(' ').map(|(left, right)| format!("{left}{right}")),
        pair => Some(format!("{}{}", pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)),
    };
    model.get("merges")?.as_array()?.iter().filter_map(text).find(|text| text.len() > longest)
}

/// A token that a template puts in although its list of special tokens lacks it: the first text would panic over it.
fn unknown_token(processor: &Value) -> Option<String> {
    if let Some(several) = processor.get("processors").and_then(Value::as_array) {
        return several.iter().find_map(unknown_token);
    }
    let known = |name: &str| processor.get("special_tokens").and_then(|tokens| tokens.get(name)).is_some();
    let pieces = ["single", "pair"].into_iter().filter_map(|key| processor.get(key)?.as_array()).flatten();
    let named = pieces.filter_map(|piece| piece.get("SpecialToken")?.get("id")?.as_str());
    named.filter(|name| !known(name)).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described() -> Value {
        let template = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
        json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null, "decoder": null,
            "added_tokens": [{"id": 2, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "post_processor": {"type": "TemplateProcessing", "single": template, "pair": template,
                "special_tokens": {"<s>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}}},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
        })
    }

    fn fault(description: &Value) -> String {
        build(Path::new("tokenizer.json"), description).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_description_is_built() {
        let tokenizer = build(Path::new("tokenizer.json"), &described()).unwrap();
        assert_eq!(tokenizer.encode("ab", true).unwrap().get_ids(), [2, 0, 1]);
    }

    /// Found by examples/fuzz_packs.rs: the library panics when the first text is encoded.
    #[test]
    fn a_template_whose_token_is_not_described_is_refused() {
        let mut other = described();
        other["post_processor"]["special_tokens"] = json!({"Ys>": {"id": "<s>", "ids": [2], "tokens": ["<s>"]}});
        assert!(fault(&other).contains("puts in the token \"<s>\""), "{}", fault(&other));
        let mut within = described();
        within["post_processor"] = json!({"type": "Sequence", "processors": [other["post_processor"]]});
        assert!(fault(&within).contains("puts in the token"), "{}", fault(&within));
        assert_eq!(unknown_token(&described()["post_processor"]), None);
    }

    #[test]
    fn merges_of_unknown_pieces_and_what_is_no_tokenizer_are_refused() {
        for merge in [json!("a b"), json!(["a", "b"])] {
            let mut other = described();
            other["model"]["merges"] = json!([merge]);
            assert!(fault(&other).contains("merge of \"ab\""), "{}", fault(&other));
        }
        assert!(fault(&json!({"model": {}})).contains("does not describe a tokenizer"));
    }
}
