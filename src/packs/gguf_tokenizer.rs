//! The tokenizer, chat template and stop tokens out of a GGUF file's settings, in the form that a folder's
//! `tokenizer.json` would have them.
//!
//! Two kinds are published for chat models. `gpt2`: byte-level pieces with the merges listed, the text first split by a
//! pattern that `tokenizer.ggml.pre` only names; the patterns are those of the named models' own `tokenizer.json`.
//! `llama`: SentencePiece pieces with scores and no merges; the merges follow from the scores, the best piece first, as
//! in transformers' conversion of SentencePiece models.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::PackError;
use super::gguf::{GgufFile, Setting};
use super::language::{TextFacts, tokenizer_of};

/// Types of pieces, as `tokenizer.ggml.token_type` has them.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const OF_THE_USER: i64 = 4;
const BYTE: i64 = 6;

/// The longest piece that merges are made for, in bytes; longer ones (runs of blanks) come as tokens of their own.
const LONGEST: usize = 128;

/// The end of most patterns: other signs with the line ends behind them, lines, blanks.
const SIGNS_AND_BLANKS: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// English contractions, then words with one sign or blank before them.
const CONTRACTIONS_AND_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+";

/// What the file says about texts.
///
/// # Errors
/// One sentence naming the file: no tokenizer, one of another kind, lists that do not fit each other.
pub fn text_facts(file: &GgufFile) -> Result<TextFacts, PackError> {
    let pieces = Pieces::read(file)?;
    let description = match file.text("tokenizer.ggml.model") {
        Some("gpt2") => byte_level(file, &pieces)?,
        Some("llama") => sentence_pieces(file, &pieces)?,
        other => {
            let kind = other.map_or("no tokenizer".to_owned(), |kind| format!("a tokenizer of the kind {kind:?}"));
            return Err(PackError::config(file.path(), format!("it has {kind}; only gpt2 and llama are read here")));
        }
    };
    let tokenizer = tokenizer_of(file.path(), description)?;
    let id = |name: &str| file.whole(&format!("tokenizer.ggml.{name}_token_id"));
    let text_of = |name: &str| id(name).and_then(|id| pieces.texts.get(id)).cloned().unwrap_or_default();
    let stops = ["eos", "eot", "eom"].iter().filter_map(|name| u32::try_from(id(name)?).ok());
    let facts = TextFacts {
        template: file.text("tokenizer.chat_template").map(str::to_owned),
        bos: text_of("bos"),
        eos: text_of("eos"),
        stops: stops.filter(|id| (*id as usize) < pieces.texts.len()).collect(),
        tokenizer,
    };
    Ok(facts.complete())
}

/// The vocabulary.
pub(super) struct Pieces<'a> {
    pub(super) texts: &'a [String],
    pub(super) types: &'a [i64],
    /// The special tokens that the settings name, whatever their type.
    pub(super) named: Vec<usize>,
}

impl<'a> Pieces<'a> {
    fn read(file: &'a GgufFile) -> Result<Self, PackError> {
        let Some(Setting::Texts(texts)) = file.setting("tokenizer.ggml.tokens") else {
            return Err(PackError::config(file.path(), "it has no vocabulary (tokenizer.ggml.tokens)"));
        };
        let types: &[i64] = match file.setting("tokenizer.ggml.token_type") {
            Some(Setting::Wholes(types)) => types,
            _ => &[],
        };
        if !types.is_empty() && types.len() != texts.len() {
            let lengths = format!("it has {} tokens and {} types of tokens", texts.len(), types.len());
            return Err(PackError::config(file.path(), lengths));
        }
        let named = ["bos", "eos", "eot", "eom", "unknown", "padding"];
        let named = named.iter().filter_map(|name| file.whole(&format!("tokenizer.ggml.{name}_token_id"))).collect();
        Ok(Self { texts, types, named })
    }

    fn kind(&self, id: usize) -> i64 {
        self.types.get(id).copied().unwrap_or(1)
    }

    /// Whether the piece never stands for text.
    fn is_special(&self, id: usize) -> bool {
        matches!(self.kind(id), CONTROL | UNKNOWN) || self.named.contains(&id)
    }

    /// Whether text is made into the piece by merging.
    fn is_plain(&self, id: usize) -> bool {
        !self.is_special(id) && !matches!(self.kind(id), BYTE | OF_THE_USER)
    }

    /// Text to id; where a text comes twice, the first counts.
    fn vocabulary(&self) -> BTreeMap<&str, usize> {
        let mut all = BTreeMap::new();
        for (id, text) in self.texts.iter().enumerate() {
            all.entry(text.as_str()).or_insert(id);
        }
        all
    }

    /// The pieces that are found in a text before anything else is done with it.
    fn added(&self, vocabulary: &BTreeMap<&str, usize>) -> Vec<Value> {
        let whole = (0..self.texts.len()).filter(|id| self.is_special(*id) || self.kind(*id) == OF_THE_USER);
        let whole = whole.filter(|id| !self.texts[*id].is_empty() && vocabulary[self.texts[*id].as_str()] == *id);
        whole
            .map(|id| {
                json!({
                    "id": id, "content": self.texts[id], "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": self.is_special(id)
                })
            })
            .collect()
    }
}

/// A byte-level tokenizer with its own list of merges.
fn byte_level(file: &GgufFile, pieces: &Pieces<'_>) -> Result<Value, PackError> {
    let merges = match file.setting("tokenizer.ggml.merges") {
        Some(Setting::Texts(merges)) => merges.as_slice(),
        // A list without entries may be of any type.
        Some(Setting::Wholes(none)) if none.is_empty() => &[],
        _ => return Err(PackError::config(file.path(), "its tokenizer has no merges (tokenizer.ggml.merges)")),
    };
    let merges = merges.iter().map(|merge| merge.split_once(' ')).collect::<Option<Vec<_>>>();
    let Some(merges) = merges else {
        return Err(PackError::config(file.path(), "one of its tokenizer's merges is no pair"));
    };
    let pre = file.text("tokenizer.ggml.pre").unwrap_or("default");
    let Some(splitting) = Splitting::of(pre) else {
        return Err(PackError::config(
            file.path(),
            format!("how its tokenizer splits text ({pre:?}) is not known here; run it in a server such as llama.cpp"),
        ));
    };
    let byte_level = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let before = match &splitting.pattern {
        Some(pattern) => json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
            byte_level(false)
        ]}),
        None if splitting.single_digits => json!({"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true}, byte_level(true)
        ]}),
        None => byte_level(true),
    };
    let vocabulary = pieces.vocabulary();
    Ok(json!({
        "version": "1.0",
        "added_tokens": pieces.added(&vocabulary),
        "normalizer": if splitting.composed { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": before,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": splitting.whole_words_first
        }
    }))
}

/// How a byte-level tokenizer splits text before it merges.
struct Splitting {
    /// The pattern whose matches are kept apart; absent: GPT-2's.
    pattern: Option<String>,
    /// Every digit is a piece.
    single_digits: bool,
    /// Letters and their accents are one character first (NFC).
    composed: bool,
    /// A word that is in the vocabulary is taken whole, whatever the merges say.
    whole_words_first: bool,
}

impl Splitting {
    /// By the name in `tokenizer.ggml.pre`.
    fn of(pre: &str) -> Option<Self> {
        let plain = Self { pattern: None, single_digits: false, composed: false, whole_words_first: false };
        let words = |digits: &str| Some(format!("{CONTRACTIONS_AND_WORDS}|{digits}|{SIGNS_AND_BLANKS}"));
        // Words as runs of capitals before small letters; paths keep their slashes.
        let cased = |digits: &str, after: &str| {
            let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
            let lead = r"[^\r\n\p{L}\p{N}]?";
            Some(format!(
                r"{lead}{upper}*{lower}+{after}|{lead}{upper}+{lower}*{after}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            ))
        };
        Some(match pre {
            "default" | "gpt-2" | "gpt2" | "phi-2" => plain,
            "smollm" => Self { single_digits: true, ..plain },
            "llama-bpe" | "llama3" | "llama-v3" => {
                Self { pattern: words(r"\p{N}{1,3}"), whole_words_first: true, ..plain }
            }
            "dbrx" | "smaug-bpe" => Self { pattern: words(r"\p{N}{1,3}"), ..plain },
            "qwen2" => Self { pattern: words(r"\p{N}"), composed: true, ..plain },
            "tekken" => Self { pattern: cased(r"\p{N}", ""), whole_words_first: true, ..plain },
            "gpt-4o" => Self { pattern: cased(r"\p{N}{1,3}", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"), ..plain },
            _ => return None,
        })
    }
}

/// A SentencePiece tokenizer; blanks are `▁`, and what no piece covers is spelt in bytes.
fn sentence_pieces(file: &GgufFile, pieces: &Pieces<'_>) -> Result<Value, PackError> {
    let scores = match file.setting("tokenizer.ggml.scores") {
        Some(Setting::Reals(scores)) if scores.len() == pieces.texts.len() => scores,
        _ => return Err(PackError::config(file.path(), "its tokenizer has not one score for each token")),
    };
    let prefix = file.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    let unknown = file.whole("tokenizer.ggml.unknown_token_id").and_then(|id| pieces.texts.get(id));
    Ok(pieces.sentence_pieces(scores, prefix, unknown))
}

impl Pieces<'_> {
    /// The description of a SentencePiece tokenizer of these pieces, with a score for each.
    pub(super) fn sentence_pieces(&self, scores: &[f64], prefix: bool, unknown: Option<&String>) -> Value {
        let vocabulary = self.vocabulary();
        let mut before = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})];
        let mut after = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            before.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
            after.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        json!({
            "version": "1.0",
            "added_tokens": self.added(&vocabulary),
            "normalizer": {"type": "Sequence", "normalizers": before},
            "decoder": {"type": "Sequence", "decoders": after},
            "model": {
                "type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary,
                "merges": merges(self, scores)
            }
        })
    }
}

/// Every way to put a piece together from two others, the piece with the best score first.
fn merges<'a>(pieces: &Pieces<'a>, scores: &[f64]) -> Vec<(&'a str, &'a str)> {
    let plain = (0..pieces.texts.len()).filter(|id| pieces.is_plain(*id));
    let ids = plain.map(|id| (pieces.texts[id].as_str(), id)).collect::<HashMap<_, _>>();
    let mut found = Vec::new();
    for (text, id) in &ids {
        if text.len() > LONGEST {
            continue;
        }
        for (place, (at, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(left_id), Some(right_id)) = (ids.get(left), ids.get(right)) {
                found.push((scores[*id], place, *left_id, *right_id, left, right));
            }
        }
    }
    // Of one score, the longer left half first, then the order of the vocabulary: so that it is the same every time.
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then((b.1, a.2, a.3).cmp(&(a.1, b.2, b.3))));
    found.into_iter().map(|(.., left, right)| (left, right)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use candle_core::quantized::gguf_file::{Value as Stored, write};

    use super::*;

    fn texts(all: &[&str]) -> Stored {
        Stored::Array(all.iter().map(|text| Stored::String((*text).to_owned())).collect())
    }

    fn facts(settings: &[(&str, Stored)]) -> Result<TextFacts, PackError> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let settings = settings.iter().map(|(key, value)| (*key, value)).collect::<Vec<_>>();
        write(&mut bytes, &settings, &[]).unwrap();
        let mut file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        file.write_all(bytes.get_ref()).unwrap();
        text_facts(&GgufFile::open(file.path())?)
    }

    fn fault(settings: &[(&str, Stored)]) -> String {
        let text = facts(settings).unwrap_err().to_string();
        assert!(!text.contains('\n') && text.len() < 500, "{text}");
        text
    }

    fn tokens(facts: &TextFacts, text: &str) -> Vec<String> {
        facts.tokenizer.encode(text, false).unwrap().get_tokens().to_vec()
    }

    /// Pieces with scores, one type for each.
    fn sentence(prefix: bool) -> Vec<(&'static str, Stored)> {
        let mut all = vec![("<unk>", 2, 0.0), ("<s>", 3, 0.0), ("</s>", 3, 0.0), ("<turn>", 3, 0.0)];
        all.extend([("<0x0A>", 6, 0.0), ("<0xE2>", 6, 0.0), ("<0x9D>", 6, 0.0), ("<0x84>", 6, 0.0)]);
        all.extend([("▁", 1, -20.0), ("s", 1, -21.0), ("n", 1, -22.0), ("o", 1, -23.0), ("w", 1, -24.0)]);
        all.extend([("ow", 1, -1.0), ("no", 1, -2.0), ("now", 1, -3.0), ("snow", 1, -4.0), ("▁snow", 1, -5.0)]);
        all.extend([("\n\n", 4, 0.0)]);
        vec![
            ("tokenizer.ggml.model", Stored::String("llama".to_owned())),
            ("tokenizer.ggml.tokens", texts(&all.iter().map(|piece| piece.0).collect::<Vec<_>>())),
            ("tokenizer.ggml.token_type", Stored::Array(all.iter().map(|piece| Stored::I32(piece.1)).collect())),
            ("tokenizer.ggml.scores", Stored::Array(all.iter().map(|piece| Stored::F32(piece.2)).collect())),
            ("tokenizer.ggml.bos_token_id", Stored::U32(1)),
            ("tokenizer.ggml.eos_token_id", Stored::U32(2)),
            ("tokenizer.ggml.eot_token_id", Stored::U32(3)),
            ("tokenizer.ggml.unknown_token_id", Stored::U32(0)),
            ("tokenizer.ggml.add_space_prefix", Stored::Bool(prefix)),
            ("tokenizer.chat_template", Stored::String("{{ messages }}".to_owned())),
        ]
    }

    #[test]
    fn pieces_merge_by_their_scores_and_the_rest_is_spelt_in_bytes() {
        let facts = facts(&sentence(false)).unwrap();
        // `ow` is better than `no`, so `now` comes out of n + ow.
        assert_eq!(tokens(&facts, "snow now"), ["snow", "▁", "now"]);
        assert_eq!(tokens(&facts, "<s> snow\n<turn>"), ["<s>", "▁snow", "<0x0A>", "<turn>"]);
        assert_eq!(tokens(&facts, "s\n\nn❄"), ["s", "\n\n", "n", "<0xE2>", "<0x9D>", "<0x84>"]);
        // A person's text cannot spell a special token or a byte.
        assert_ne!(tokens(&facts, "<0x0A>"), ["<0x0A>"]);
        let ids = facts.tokenizer.encode("<s>snow ❄\n\nnow<turn>", false).unwrap().get_ids().to_vec();
        assert_eq!(facts.tokenizer.decode(&ids, true).unwrap(), "snow ❄\n\nnow");
        assert_eq!((facts.bos.as_str(), facts.eos.as_str()), ("<s>", "</s>"));
        assert_eq!(facts.stops, [2, 3]);
        assert_eq!(facts.template.as_deref(), Some("{{ messages }}"));
    }

    #[test]
    fn a_blank_comes_in_front_where_the_file_says_so() {
        let facts = facts(&sentence(true)).unwrap();
        assert_eq!(tokens(&facts, "snow"), ["▁snow"]);
        let ids = facts.tokenizer.encode("snow now", false).unwrap().get_ids().to_vec();
        assert_eq!(facts.tokenizer.decode(&ids, true).unwrap(), "snow now");
    }

    fn bytes(pre: &str) -> Vec<(&'static str, Stored)> {
        let mut all = ["<|end|>", "<|im_end|>", "<mark>", "Ġ", "Ċ"].map(str::to_owned).to_vec();
        all.extend(('!'..='~').map(String::from));
        all.extend(["sn", "ow", "snow", "Ġsnow", "12", "Ġ1"].map(str::to_owned));
        let types = (0..all.len()).map(|id| Stored::I32([3, 3, 4].get(id).copied().unwrap_or(1)));
        vec![
            ("tokenizer.ggml.model", Stored::String("gpt2".to_owned())),
            ("tokenizer.ggml.pre", Stored::String(pre.to_owned())),
            ("tokenizer.ggml.token_type", Stored::Array(types.collect())),
            ("tokenizer.ggml.tokens", texts(&all.iter().map(String::as_str).collect::<Vec<_>>())),
            ("tokenizer.ggml.merges", texts(&["s n", "o w", "sn ow", "Ġ snow", "Ġ 1", "1 2"])),
            ("tokenizer.ggml.eos_token_id", Stored::U32(0)),
        ]
    }

    #[test]
    fn byte_level_pieces_are_split_as_their_model_splits_them() {
        let split = |pre: &str, text: &str| tokens(&facts(&bytes(pre)).unwrap(), text);
        assert_eq!(split("gpt-2", "snow snow<|im_end|>"), ["snow", "Ġsnow", "<|im_end|>"]);
        // The blank before a number belongs to it, or not; digits come one by one, or by threes.
        assert_eq!(split("gpt-2", "a 12"), ["a", "Ġ1", "2"]);
        assert_eq!(split("llama-bpe", "a 12"), ["a", "Ġ", "12"]);
        assert_eq!(split("qwen2", "a 12"), ["a", "Ġ", "1", "2"]);
        assert_eq!(split("smollm", "a 12"), ["a", "Ġ", "1", "2"]);
        assert_eq!(split("gpt-4o", "snowSnow 12"), ["snow", "S", "n", "ow", "Ġ", "12"]);
        assert_eq!(split("tekken", "snow 12"), ["snow", "Ġ", "1", "2"]);
        let facts = facts(&bytes("qwen2")).unwrap();
        assert_eq!(facts.stops, [0, 1]);
        let ids = facts.tokenizer.encode("snow<mark>\n snow<|end|>", false).unwrap().get_ids().to_vec();
        assert_eq!(facts.tokenizer.decode(&ids, true).unwrap(), "snow<mark>\n snow");
        assert_eq!((facts.template, facts.bos), (None, String::new()));
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_named() {
        let without = |all: &[(&'static str, Stored)], key: &str| {
            all.iter().filter(|(name, _)| !name.ends_with(key)).cloned().collect::<Vec<_>>()
        };
        let with = |all: &[(&'static str, Stored)], key: &'static str, value: Stored| {
            let mut all = without(all, key);
            all.push((key, value));
            all
        };
        let (words, letters) = (sentence(false), bytes("qwen2"));
        assert!(fault(&without(&words, ".tokens")).contains("no vocabulary"));
        assert!(fault(&without(&words, ".scores")).contains("score"));
        assert!(fault(&without(&words, ".model")).contains("no tokenizer"));
        assert!(fault(&without(&letters, ".merges")).contains("no merges"));
        assert!(fault(&bytes("klingon")).contains("klingon"));
        assert!(fault(&with(&words, "tokenizer.ggml.model", Stored::String("t5".into()))).contains("t5"));
        assert!(fault(&with(&letters, "tokenizer.ggml.merges", texts(&["ab"]))).contains("no pair"));
        assert!(fault(&with(&letters, "tokenizer.ggml.merges", texts(&["s absent"]))).contains("tokenizer"));
        assert!(
            fault(&with(&words, "tokenizer.ggml.token_type", Stored::Array(vec![Stored::I32(1)]))).contains("types")
        );
        // Ids beyond the vocabulary and texts that come twice do no harm.
        let beyond = facts(&with(&words, "tokenizer.ggml.eot_token_id", Stored::U32(u32::MAX))).unwrap();
        assert_eq!(beyond.stops, [2]);
        let twice = with(&letters, "tokenizer.ggml.tokens", texts(&["a", "a", "b", ""]));
        let twice = without(&with(&twice, "tokenizer.ggml.merges", texts(&["a b"])), "token_type");
        assert!(fault(&twice).contains("merge of"));
    }
}
