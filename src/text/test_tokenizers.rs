//! Two small tokenizers for the tests: bytes one by one, and pieces that carry their leading space.

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

/// The 256 bytes as tokens 1 to 256; token 0 is special.
pub(crate) fn byte_level() -> Tokenizer {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut vocabulary = Map::from_iter([("<|end|>".to_owned(), json!(0))]);
    let mut moved = 256;
    for byte in 0..256 {
        let code = if printable(byte) {
            byte
        } else {
            moved += 1;
            moved - 1
        };
        vocabulary.insert(char::from_u32(code).unwrap().to_string(), json!(byte + 1));
    }
    build(&json!({
        "version": "1.0",
        "added_tokens": [special(0, "<|end|>")],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}
    }))
}

/// A few pieces with `▁` for a space, bytes for everything else, as Llama 2 has them.
pub(crate) fn sentence_pieces() -> Tokenizer {
    let mut vocabulary = Map::from_iter([("<unk>".to_owned(), json!(0))]);
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = ["▁", "o", "n", "i", "t", "s", "w", "p", "u", "on", "it", "▁on", "▁it"];
    for piece in bytes.chain(pieces.map(str::to_owned)) {
        let id = vocabulary.len();
        vocabulary.insert(piece, json!(id));
    }
    build(&json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        ]},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        ]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary,
            "merges": [["o", "n"], ["i", "t"], ["▁", "on"], ["▁", "it"]]
        }
    }))
}

fn special(id: u32, content: &str) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true
    })
}

fn build(json: &Value) -> Tokenizer {
    Tokenizer::from_bytes(json.to_string()).unwrap()
}
