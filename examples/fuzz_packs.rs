//! Feeds broken files to every reader of models: each must come back with a model's facts or with a sentence, never panic,
//! never take much more memory than the file has, never take long.
//!
//!     cargo run --release --example fuzz_packs -- READER|all SECONDS [SEED]
//!
//! READER is manifest, safetensors, index, gguf, pickle, tokenizer-json, sentencepiece or clip-tokenizer. Sound files come
//! from the tests or are made here and are then changed: bits, bytes, numbers and values in text and in binary, pieces cut
//! out, doubled, moved and put in from other files. What is opened is also used: tensors are read, texts tokenised. The
//! same seed gives the same files. An input that is not survived is kept, and its path is the last line.

mod mutation;

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use glassbox::edit::language::gguf::bytes_needed;
use glassbox::engine::memory;
use glassbox::ops::device::Compute;
use glassbox::packs::clip_tokenizer::ClipTokenizer;
use glassbox::packs::gguf::GgufFile;
use glassbox::packs::language::TextFacts;
use glassbox::packs::manifest::Manifest;
use glassbox::packs::weights::{WeightOptions, Weights};
use glassbox::packs::{convert, gguf_tokenizer};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// Longer than this no input of a few kilobytes may take.
const MOST: Duration = Duration::from_secs(20);
/// More memory than this the process may never have held.
const MOST_MEMORY: u64 = 1 << 30;

const READERS: [&str; 8] =
    ["manifest", "safetensors", "index", "gguf", "pickle", "tokenizer-json", "sentencepiece", "clip-tokenizer"];

/// What stands in these files, and values that break them.
const WORDS: [&str; 24] = [
    "4294967296",
    "18446744073709551615",
    "-1",
    "0",
    "1e999",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"a\"",
    "[0,8]",
    "[18446744073709551615]",
    "[[[[[[[[",
    "\"F32\"",
    "\"BPE\"",
    "\"Unigram\"",
    "\"ByteLevel\"",
    "{\"Regex\":\"(a*)*$\"}",
    "\\ud800",
    "\n",
    " ",
    "]",
    "}",
];

fn main() -> Result<()> {
    let (chosen, seconds, seed) = mutation::arguments("fuzz_packs", &READERS)?;
    std::panic::set_hook(Box::new(|_| {}));
    for reader in chosen {
        fuzz(reader, seconds, seed)?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it is what the example is for")]
fn fuzz(reader: &str, seconds: Duration, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let target = Target::new(reader, folder.path())?;
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let (began, mut count, mut opened) = (Instant::now(), 0u64, 0u64);
    let mut messages = std::collections::BTreeSet::new();
    while began.elapsed() < seconds {
        let at = draw.random_range(0..target.files.len());
        let (path, sound) = &target.files[at];
        let broken = mutation::mutated(sound, &target.files, &WORDS, &mut draw);
        fs::write(path, &broken)?;
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target.read(path)));
        let long = start.elapsed() > MOST;
        let large = memory::peak().is_some_and(|peak| peak > MOST_MEMORY);
        if outcome.is_err() || long || large {
            let kept = std::env::temp_dir().join(format!("glassbox-fuzz-{reader}-{seed}-{count}"));
            fs::write(&kept, &broken)?;
            let why = match (long, large) {
                (true, _) => "took too long",
                (_, true) => "took too much memory",
                _ => "panicked",
            };
            bail!("{reader} {why} on input {count} for {}:\n{}", path.display(), kept.display());
        }
        match outcome.unwrap_or(Ok(())) {
            Ok(()) => opened += 1,
            Err(message) => {
                let plain: String = message.chars().filter(|c| !c.is_ascii_digit()).collect();
                let name = path.display().to_string();
                let name: String = name.chars().filter(|c| !c.is_ascii_digit()).collect();
                messages.insert(plain.replace(&name, "").chars().take(60).collect::<String>());
            }
        }
        fs::write(path, sound)?;
        count += 1;
    }
    println!("{reader}: {count} inputs, {opened} opened, {} kinds of sentences, no panic", messages.len());
    Ok(())
}

/// A reader with sound files for it.
struct Target {
    reader: String,
    folder: PathBuf,
    /// What is changed, one file at a time.
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Target {
    fn new(reader: &str, folder: &Path) -> Result<Self> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures");
        let made: Vec<(&str, Vec<u8>)> = match reader {
            "manifest" => {
                vec![("models.toml", MANIFEST.into()), ("whole.toml", include_bytes!("../models.toml").into())]
            }
            "safetensors" => vec![("a.safetensors", fs::read(fixtures.join("pickles/expected.safetensors"))?)],
            "index" => vec![
                ("model.safetensors.index.json", INDEX.into()),
                ("one.safetensors", weights("one.weight")?),
                ("two.safetensors", weights("two.weight")?),
            ],
            "gguf" => vec![("words.gguf", gguf("llama")?), ("bytes.gguf", gguf("gpt2")?)],
            "pickle" => {
                let file = |name: &str| fs::read(fixtures.join("pickles").join(name));
                vec![("good.bin", file("good.bin")?), ("lightning.ckpt", file("lightning.ckpt")?)]
            }
            "tokenizer-json" => {
                let file = |name: &str| fs::read(fixtures.join("language/starter").join(name));
                vec![
                    ("tokenizer.json", tokenizer().into_bytes()),
                    ("tokenizer_config.json", file("tokenizer_config.json")?),
                    ("generation_config.json", br#"{"eos_token_id": [3, 4]}"#.to_vec()),
                ]
            }
            "sentencepiece" => vec![("tokenizer.model", sentencepiece())],
            _ => {
                let file = |name: &str| fs::read(fixtures.join("clip_tokenizer/sparse").join(name));
                let names = ["merges.txt", "vocab.json", "tokenizer_config.json"];
                names.into_iter().map(|name| Ok((name, file(name)?))).collect::<Result<_>>()?
            }
        };
        let files: Vec<(PathBuf, Vec<u8>)> = made.into_iter().map(|(name, bytes)| (folder.join(name), bytes)).collect();
        for (path, bytes) in &files {
            fs::write(path, bytes)?;
        }
        let target = Self { reader: reader.to_owned(), folder: folder.to_owned(), files };
        for (path, _) in &target.files {
            target.read(path).map_err(|fault| anyhow!("the sound file for {reader} cannot be read: {fault}"))?;
        }
        Ok(target)
    }

    /// Reads the files, of which `path` was changed, and uses what is in them.
    fn read(&self, path: &Path) -> std::result::Result<(), String> {
        let in_words = |error: &dyn std::fmt::Display| error.to_string();
        match self.reader.as_str() {
            "manifest" => {
                let text = String::from_utf8_lossy(&fs::read(path).map_err(|error| in_words(&error))?).into_owned();
                Manifest::parse(&text, path).map(|_| ()).map_err(|error| in_words(&error))
            }
            "safetensors" => {
                for read_instead_of_map in [false, true] {
                    let options = WeightOptions { read_instead_of_map };
                    use_all(&Weights::open_file(path, &options).map_err(|error| in_words(&error))?)?;
                }
                Ok(())
            }
            "index" => {
                let opened =
                    Weights::open(&self.folder, &WeightOptions::default()).map_err(|error| in_words(&error))?;
                use_all(&opened)
            }
            "gguf" => {
                let file = GgufFile::open(path).map_err(|error| in_words(&error))?;
                let tensors: Vec<(String, Vec<usize>)> =
                    file.tensors().map(|(name, tensor)| (name.to_owned(), tensor.shape.clone())).collect();
                for (name, shape) in tensors {
                    let read = file.read(&name, &shape, &Device::Cpu).map_err(|error| in_words(&error))?;
                    read.dequantize(&Device::Cpu).map_err(|error| in_words(&error))?;
                }
                let facts = gguf_tokenizer::text_facts(&file).map_err(|error| in_words(&error))?;
                tokenise(&facts)?;
                bytes_needed(path, &Compute::cpu()).map(|_| ()).map_err(|error| in_words(&error))
            }
            "pickle" => {
                convert::inspect(path).map_err(|error| in_words(&error))?;
                let cache = self.folder.join("converted");
                let goes_on = |_, _| std::ops::ControlFlow::Continue(());
                let made = convert::converted(path, &cache, &goes_on).map_err(|error| in_words(&error))?;
                let used = Weights::open_file(&made, &WeightOptions::default())
                    .map_err(|error| in_words(&error))
                    .and_then(|opened| use_all(&opened));
                fs::remove_file(&made).map_err(|error| in_words(&error))?;
                used
            }
            "tokenizer-json" | "sentencepiece" => {
                let facts = TextFacts::of_folder(&self.folder, &json!({})).map_err(|error| in_words(&error))?;
                tokenise(&facts)
            }
            _ => {
                let tokenizer = ClipTokenizer::open(&self.folder, Some(77)).map_err(|error| in_words(&error))?;
                tokenizer.encode(TEXT).map(|_| ()).map_err(|error| in_words(&error))
            }
        }
    }
}

/// Something of every kind: words, a number, signs, blanks, letters beyond ASCII.
const TEXT: &str = "put snow on the roofs, 12 of them…  ❄\n<s>don't";

fn tokenise(facts: &TextFacts) -> std::result::Result<(), String> {
    let encoded = facts.tokenizer.encode(TEXT, true).map_err(|error| error.to_string())?;
    facts.tokenizer.decode(encoded.get_ids(), true).map(|_| ()).map_err(|error| error.to_string())
}

fn use_all(weights: &Weights) -> std::result::Result<(), String> {
    for name in weights.names() {
        weights.tensor(name, None, DType::F32, &Device::Cpu).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A safetensors file with one tensor.
fn weights(name: &str) -> Result<Vec<u8>> {
    let tensor = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((2, 3))?;
    Ok(safetensors::serialize([(name, &tensor)], None)?)
}

/// A GGUF file with a small vocabulary of one kind or the other, and quantised tensors.
fn gguf(kind: &str) -> Result<Vec<u8>> {
    let text = |text: &str| Value::String(text.to_owned());
    let words = kind == "llama";
    let mut pieces: Vec<(String, i32)> =
        ["<unk>", "<s>", "</s>"].into_iter().zip([2, 3, 3]).map(|(text, kind)| (text.to_owned(), kind)).collect();
    if words {
        pieces.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 6)));
        pieces.extend(["▁", "s", "n", "o", "w", "ow", "no", "now", "snow", "▁snow"].map(|text| (text.to_owned(), 1)));
    } else {
        pieces.extend(('!'..='~').chain(['Ġ', 'Ċ']).map(|letter| (letter.to_string(), 1)));
        pieces.extend(["sn", "ow", "snow", "Ġsnow"].map(|text| (text.to_owned(), 1)));
    }
    let architecture = if words { "llama" } else { "qwen2" };
    let mut settings = vec![
        ("general.architecture".to_owned(), text(architecture)),
        ("tokenizer.ggml.model".to_owned(), text(kind)),
        ("tokenizer.ggml.pre".to_owned(), text("qwen2")),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(pieces.iter().map(|piece| text(&piece.0)).collect())),
        (
            "tokenizer.ggml.token_type".to_owned(),
            Value::Array(pieces.iter().map(|piece| Value::I32(piece.1)).collect()),
        ),
        ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(1)),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(2)),
    ];
    if words {
        let scores = (0..pieces.len()).map(|at| Value::F32(-(at as f32)));
        settings.push(("tokenizer.ggml.scores".to_owned(), Value::Array(scores.collect())));
    } else {
        let merges = ["s n", "o w", "sn ow", "Ġ snow"].map(text);
        settings.push(("tokenizer.ggml.merges".to_owned(), Value::Array(merges.into())));
    }
    let sizes = [
        ("embedding_length", 32),
        ("block_count", 1),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("context_length", 64),
    ];
    settings.extend(sizes.map(|(name, size)| (format!("{architecture}.{name}"), Value::U32(size))));
    settings.push((format!("{architecture}.attention.layer_norm_rms_epsilon"), Value::F32(1e-6)));
    let settings: Vec<(&str, &Value)> = settings.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let table = Tensor::zeros((pieces.len(), 32), DType::F32, &Device::Cpu)?;
    let matrix = Tensor::zeros((4, 256), DType::F32, &Device::Cpu)?;
    let table = QTensor::quantize(&table, GgmlDType::Q8_0)?;
    let matrix = QTensor::quantize(&matrix, GgmlDType::Q4K)?;
    let mut bytes = Cursor::new(Vec::new());
    gguf_file::write(&mut bytes, &settings, &[("token_embd.weight", &table), ("blk.0.attn_q.weight", &matrix)])?;
    Ok(bytes.into_inner())
}

/// A small `tokenizer.json` with most of the parts that published ones have.
fn tokenizer() -> String {
    let mut vocabulary = serde_json::Map::new();
    let letters = ('!'..='~').chain(['Ġ', 'Ċ', 'â', '¿', '¦', 'Ŀ', 'Ħ', 'ħ']).map(String::from);
    for piece in letters.chain(["sn", "ow", "snow", "Ġsnow"].map(str::to_owned)) {
        let id = vocabulary.len();
        vocabulary.insert(piece, id.into());
    }
    let first = vocabulary.len();
    let added = ["<s>", "</s>", "<|im_end|>"].iter().enumerate().map(|(at, content)| {
        json!({"id": first + at, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    let template =
        [json!({"SpecialToken": {"id": "<s>", "type_id": 0}}), json!({"Sequence": {"id": "A", "type_id": 0}})];
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}|[^\\s\\p{L}\\p{N}]+| ?\\p{L}+|\\s+"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
        ]},
        "post_processor": {"type": "TemplateProcessing", "single": template, "pair": template,
            "special_tokens": {"<s>": {"id": "<s>", "ids": [first], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary,
            "merges": [["s", "n"], ["o", "w"], ["sn", "ow"], ["Ġ", "snow"]]}
    })
    .to_string()
}

/// A small SentencePiece model of the byte-pair kind.
fn sentencepiece() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = |text: &str, score: f32, kind: u8| {
        let mut inner = vec![0x0a, text.len() as u8];
        inner.extend(text.as_bytes());
        inner.push(0x15);
        inner.extend(score.to_le_bytes());
        inner.extend([0x18, kind]);
        bytes.extend([0x0a, inner.len() as u8]);
        bytes.extend(inner);
    };
    for (text, kind) in [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<0x0A>", 6)] {
        piece(text, 0.0, kind);
    }
    for (at, text) in ["ow", "no", "now", "snow", "▁snow", "▁", "s", "n", "o", "w"].iter().enumerate() {
        piece(text, -(at as f32), 1);
    }
    bytes.extend([0x12, 2, 0x18, 2]);
    bytes
}

const INDEX: &str = r#"{"metadata": {"total_size": 48},
 "weight_map": {"one.weight": "one.safetensors", "two.weight": "two.safetensors"}}"#;

const MANIFEST: &str = r#"[[model]]
id = "a"
name = "A"
about = "x"
roles = ["editor"]
layout = "diffusers"
repository = "o/n"
revision = "31519b5"
dtype = "f32"
megabytes = 4267
licence = { name = "MIT", link = "https://example.org", confirmed = true }
defaults = { scheduler = "euler-ancestral", steps = 30, guidance = 7.5, specific_guidance = 7.5, image_guidance = 1.5, size = 512, multiple = 64 }

[[model]]
id = "b"
name = "B"
roles = ["backbone"]
layout = "timm"
repository = "o/n"
file = "b.pth"
sha256 = "4200dd523f9af5bee0cf1997ca4f485706bdfcf6b08894f28b7a8529d858658f"
original = "b"
licence = { name = "MIT" }

[[pack]]
id = "p"
name = "P"
models = { editor = "a", backbone = "b" }
"#;
