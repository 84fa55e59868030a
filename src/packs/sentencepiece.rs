//! The tokenizer in a SentencePiece model (`tokenizer.model`), as LLaVA-1.5 and FlexAttention are published.
//!
//! The file is a protocol buffer: field 1, repeated, is a piece (1: its text, 2: its score, 3: its type); field 2 says how it
//! was trained (3: the kind of model, 2 is byte-pair encoding). The rest describes how text is normalised, which for these
//! models is a blank put in front.

use std::path::Path;

use serde_json::json;
use tokenizers::Tokenizer;

use super::PackError;
use super::gguf_tokenizer::Pieces;
use super::language::tokenizer_of;

/// The largest file that is read, in bytes; published ones have half a million.
const MOST_BYTES: u64 = 64 << 20;

/// The most pieces.
const MOST_PIECES: usize = 1 << 20;

/// Byte-pair encoding among SentencePiece's kinds of models.
const BPE: u64 = 2;

/// Reads the tokenizer.
///
/// # Errors
/// One sentence naming the file: no such model, one of another kind, or damaged.
pub(super) fn tokenizer(path: &Path) -> Result<Tokenizer, PackError> {
    let length = std::fs::metadata(path).map_err(PackError::io(path, "read"))?.len();
    let fault = |detail: &str| PackError::config(path, detail);
    if length > MOST_BYTES {
        return Err(fault("it is far larger than any SentencePiece model"));
    }
    let bytes = std::fs::read(path).map_err(PackError::io(path, "read"))?;
    let model = Model::read(&bytes).ok_or_else(|| fault("it is no SentencePiece model, or damaged"))?;
    if model.kind != BPE {
        return Err(fault("its SentencePiece model is not of the byte-pair kind, which is the only one read here"));
    }
    let control = |text: &str| model.texts.iter().position(|piece| piece == text).filter(|id| model.types[*id] == 3);
    let pieces = Pieces { texts: &model.texts, types: &model.types, named: Vec::new() };
    let unknown = model.types.iter().position(|kind| *kind == 2).map(|id| &model.texts[id]);
    let mut description = pieces.sentence_pieces(&model.scores, true, unknown);
    if let (Some(id), Some(root)) = (control("<s>"), description.as_object_mut()) {
        let first = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        root.insert(
            "post_processor".to_owned(),
            json!({
                "type": "TemplateProcessing", "single": [first, text], "pair": [first, text],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [id], "tokens": ["<s>"]}}
            }),
        );
    }
    tokenizer_of(path, description)
}

/// What is read of the file.
struct Model {
    texts: Vec<String>,
    scores: Vec<f64>,
    types: Vec<i64>,
    kind: u64,
}

impl Model {
    fn read(bytes: &[u8]) -> Option<Self> {
        // A model that says nothing about its kind is of the unigram kind.
        let mut found = Self { texts: Vec::new(), scores: Vec::new(), types: Vec::new(), kind: 1 };
        let mut fields = Fields { rest: bytes };
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(piece)) => {
                    if found.texts.len() >= MOST_PIECES {
                        return None;
                    }
                    let (text, score, kind) = piece_of(piece)?;
                    found.texts.push(text);
                    found.scores.push(score);
                    found.types.push(kind);
                }
                (2, Wire::Bytes(training)) => {
                    let mut inner = Fields { rest: training };
                    while let Some(field) = inner.next()? {
                        if let (3, Wire::Number(kind)) = (field.number, field.value) {
                            found.kind = kind;
                        }
                    }
                }
                _ => {}
            }
        }
        (!found.texts.is_empty()).then_some(found)
    }
}

/// Text, score and type of a piece; a type that is not stored is 1, a plain piece.
fn piece_of(bytes: &[u8]) -> Option<(String, f64, i64)> {
    let (mut text, mut score, mut kind) = (None, 0.0, 1);
    let mut fields = Fields { rest: bytes };
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => text = Some(String::from_utf8(bytes.to_vec()).ok()?),
            (2, Wire::Four(bytes)) => score = f64::from(f32::from_le_bytes(bytes)),
            (3, Wire::Number(number)) => kind = i64::try_from(number).ok()?,
            _ => {}
        }
    }
    Some((text?, score, kind))
}

/// The fields of a protocol buffer, one after another.
struct Fields<'a> {
    rest: &'a [u8],
}

struct Field<'a> {
    number: u64,
    value: Wire<'a>,
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

impl<'a> Fields<'a> {
    /// The next field; `Some(None)` at the end, `None` where the bytes are no field.
    #[expect(clippy::option_option, reason = "the end and a fault are two things")]
    fn next(&mut self) -> Option<Option<Field<'a>>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.number()?),
            1 => {
                self.take(8)?;
                Wire::Eight
            }
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Four(self.take(4)?.try_into().ok()?),
            _ => return None,
        };
        Some(Some(Field { number: tag >> 3, value }))
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let [byte] = self.take(1)? else { return None };
            value |= u64::from(byte & 127).checked_shl(7 * place)?;
            if byte & 128 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, value.len() as u8], value].concat()
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        field(1, &[field(1, text.as_bytes()), [&[21], &score.to_le_bytes()[..]].concat(), vec![24, kind]].concat())
    }

    fn model(kind: u8) -> Vec<u8> {
        let mut all = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)].concat();
        all.extend((0..=255_u32).flat_map(|byte| piece(&format!("<0x{byte:02X}>"), 0.0, 6)));
        for (rank, text) in ["▁a", "ab", "▁ab", "▁", "a", "b"].into_iter().enumerate() {
            all.extend(piece(text, -(rank as f32), 1));
        }
        all.extend(field(2, &[24, kind]));
        all
    }

    #[test]
    fn text_becomes_the_pieces_with_the_best_scores() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.model");
        std::fs::write(&path, model(2)).unwrap();
        let tokenizer = tokenizer(&path).unwrap();
        let tokens = |text: &str| tokenizer.encode(text, true).unwrap().get_tokens().to_vec();
        assert_eq!(tokens("ab"), ["<s>", "▁ab"]);
        assert_eq!(tokens("bab\n"), ["<s>", "▁", "b", "ab", "<0x0A>"]);
        assert_eq!(tokenizer.decode(&[1, 261, 2], true).unwrap(), "ab");
    }

    #[test]
    fn other_kinds_and_damage_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.model");
        let fault = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            tokenizer(&path).unwrap_err().to_string()
        };
        assert!(fault(&model(1)).contains("byte-pair kind"));
        let whole = model(2);
        assert!(fault(&whole[..whole.len() - 1]).contains("damaged"));
        assert!(fault(b"").contains("no SentencePiece model"));
        assert!(fault(&[255; 40]).contains("no SentencePiece model"));
    }
}
