//! An answer as a file, so that a conversation can be looked into after the program was closed: the numbers of every token
//! and layer as tensors, all else as JSON in the file's metadata.
//!
//! Tensors are called `TOKEN.LAYER.what`, both counted from 0: `attention` (F32 `[g²]`), `heads` (F16 `[heads, g²]`),
//! `read` and `selected` (U8 `[side²]`, 1 where a cell is on), `read_attention` (F32, one a token that was read).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::record::{Answer, Cells, LayerRecord, TokenRecord};
use super::selection::SelectionRule;
use crate::picture::atomic;

/// The form of the file.
const FORM: u32 = 1;
/// Larger files are not read.
const MOST_BYTES: u64 = 2 << 30;
/// Grids are not finer than this along a side: 1344 pixels in patches of 14 have 96.
const FINEST: usize = 512;

/// Why an answer could not be kept or brought back.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    /// It is not what this module writes.
    #[error("{0}")]
    Damaged(String),
    /// Written by a later version of the program.
    #[error("it was written by a newer Glassbox")]
    Newer,
}

/// The part that is no tensor.
#[derive(Serialize, Deserialize)]
struct Words {
    form: u32,
    answer: Answer,
    tokens: Vec<TokenRecord>,
}

/// Numbers on their way to the file.
struct Numbers<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn damaged(error: impl std::fmt::Display) -> StoredError {
    StoredError::Damaged(error.to_string())
}

impl Answer {
    /// Writes the answer, whole or not at all.
    ///
    /// # Errors
    /// [`StoredError::Disk`].
    pub fn save(&self, path: &Path) -> Result<(), StoredError> {
        let mut named = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            for (place, layer) in token.layers.iter().enumerate() {
                named.extend(numbers_of(layer).map(|(what, numbers)| (format!("{at}.{place}.{what}"), numbers)));
            }
        }
        let tokens = self.tokens.iter().map(|token| (**token).clone()).collect();
        let words = Words { form: FORM, answer: self.clone(), tokens };
        let words = serde_json::to_string(&words).map_err(damaged)?;
        let metadata = HashMap::from([("glassbox".to_owned(), words)]);
        let bytes = safetensors::serialize(named, Some(metadata)).map_err(damaged)?;
        Ok(atomic::write(path, |file| file.write_all(&bytes))?)
    }

    /// Reads an answer. Everything that is drawn from it has the sizes that its picture's view says.
    ///
    /// # Errors
    /// [`StoredError`], of a file that is not as [`Answer::save`] writes it too.
    pub fn load(path: &Path) -> Result<Self, StoredError> {
        if std::fs::metadata(path)?.len() > MOST_BYTES {
            return Err(StoredError::Damaged(format!("it has more than {MOST_BYTES} bytes")));
        }
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let words = header.metadata().as_ref().and_then(|metadata| metadata.get("glassbox"));
        let words = words.ok_or_else(|| damaged("it says nothing of an answer"))?;
        let form = serde_json::from_str::<serde_json::Value>(words).map_err(damaged)?;
        if form.get("form").and_then(serde_json::Value::as_u64).is_some_and(|form| form > u64::from(FORM)) {
            return Err(StoredError::Newer);
        }
        let Words { mut answer, tokens, .. } = serde_json::from_value(form).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let view = &answer.view;
        let sound = view.low_grid.max(view.high_grid).max(view.cells) <= FINEST
            && [view.source.0, view.source.1, view.used.width, view.used.height].iter().all(|side| *side > 0)
            && view.cells <= view.high_grid;
        if !sound {
            return Err(damaged("its grids cannot be"));
        }
        let (low_grid, high_grid, cells) = (view.low_grid, view.high_grid, view.cells);
        // Counts the tokens of cells, which need not be equally large; what it selects by is not asked.
        let sizes = Sizes(SelectionRule { low_grid, high_grid, cells, threshold: 0.0 });
        for (at, mut token) in tokens.into_iter().enumerate() {
            for (place, layer) in token.layers.iter_mut().enumerate() {
                let find = |what: &str| tensors.tensor(&format!("{at}.{place}.{what}")).ok();
                sizes.fill(layer, find).map_err(|what| damaged(format!("token {at}, layer {place}: {what}")))?;
            }
            answer.tokens.push(Arc::new(token));
        }
        Ok(answer)
    }
}

/// What a layer has in numbers.
fn numbers_of(layer: &LayerRecord) -> impl Iterator<Item = (&'static str, Numbers<'_>)> {
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let flat = |values: &[f32]| Numbers { dtype: Dtype::F32, shape: vec![values.len()], bytes: floats(values) };
    let cells = |cells: &Cells| {
        let bytes: Vec<u8> = cells.on.iter().map(|on| u8::from(*on)).collect();
        Numbers { dtype: Dtype::U8, shape: vec![bytes.len()], bytes: Cow::Owned(bytes) }
    };
    let heads = layer.by_head.as_ref().map(|values| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let shape = vec![layer.heads, values.len() / layer.heads.max(1)];
        Numbers { dtype: Dtype::F16, shape, bytes: Cow::Owned(bytes) }
    });
    [
        ("attention", Some(flat(&layer.attention))),
        ("heads", heads),
        ("read", layer.read.as_ref().map(cells)),
        ("selected", layer.selected.as_ref().map(cells)),
        ("read_attention", (!layer.read_attention.is_empty()).then(|| flat(&layer.read_attention))),
    ]
    .into_iter()
    .filter_map(|(what, numbers)| Some((what, numbers?)))
}

/// What the view says of the sizes of maps.
struct Sizes(SelectionRule);

impl Sizes {
    /// Gives a layer its numbers.
    fn fill<'a>(
        &self,
        layer: &mut LayerRecord,
        find: impl Fn(&str) -> Option<safetensors::tensor::TensorView<'a>>,
    ) -> Result<(), String> {
        let (patches, side) = (self.0.low_grid.pow(2), self.0.cells);
        let floats = |what: &str, count: usize| -> Result<Vec<f32>, String> {
            let tensor = find(what).ok_or_else(|| format!("{what} is missing"))?;
            if tensor.dtype() != Dtype::F32 || tensor.data().len() != 4 * count {
                return Err(format!("{what} is no row of {count} numbers"));
            }
            Ok(tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        };
        let cells = |what: &str| -> Result<Option<Cells>, String> {
            let Some(tensor) = find(what) else { return Ok(None) };
            if tensor.dtype() != Dtype::U8 || tensor.data().len() != side.pow(2) {
                return Err(format!("{what} has not the cells of the picture"));
            }
            Ok(Some(Cells { side, on: tensor.data().iter().map(|on| *on != 0).collect() }))
        };
        layer.attention = floats("attention", patches)?;
        if let Some(tensor) = find("heads") {
            let count = layer.heads.saturating_mul(patches);
            if tensor.dtype() != Dtype::F16 || tensor.data().len() != count.saturating_mul(2) {
                return Err(format!("heads are not {} rows", layer.heads));
            }
            let pairs = tensor.data().as_chunks::<2>().0.iter();
            layer.by_head = Some(pairs.map(|bytes| f16::from_le_bytes(*bytes)).collect());
        }
        (layer.read, layer.selected) = (cells("read")?, cells("selected")?);
        let count = layer.read.as_ref().filter(|_| side > 0).map_or(0, |cells| self.0.count(cells));
        layer.read_attention = match find("read_attention") {
            Some(_) => floats("read_attention", count)?,
            None if count == 0 => Vec::new(),
            None => return Err("read_attention is missing".to_owned()),
        };
        if layer.sinks.iter().any(|sink| *sink as usize >= patches) {
            return Err("a sink lies outside the picture".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::cost::{Cost, LayerCost};
    use crate::ask::dual_resolution::{PictureView, Squaring};
    use crate::ask::record::{Ending, Shares, YesNo};
    use crate::ask::settings::{AttentionMode, Template};
    use crate::picture::resize::Rect;

    fn answer() -> Answer {
        let cells = |on: usize| Cells { side: 2, on: (0..4).map(|at| at < on).collect() };
        let layer = |layer: usize| LayerRecord {
            layer,
            attention: (0..9).map(|at| at as f32 * 0.25).collect(),
            heads: 2,
            by_head: (layer == 1).then(|| (0..18).map(|at| f16::from_f32(at as f32)).collect()),
            read: (layer == 1).then(|| cells(1)),
            read_attention: if layer == 1 { vec![0.5, 0.25, 0.125, 0.0625] } else { Vec::new() },
            selected: Some(cells(3)),
            shares: Shares { first: 0.1, words: 0.2, low: 0.3, high: 0.4 },
            sinks: vec![8],
        };
        let token = |id: u32, text: &str| {
            Arc::new(TokenRecord {
                id,
                text: text.to_owned(),
                logprob: -0.5,
                likeliest: vec![(id, text.to_owned(), -0.5), (3, "„".to_owned(), -2.0)],
                layers: vec![layer(0), layer(1)],
                high_read: 4,
                seconds: 0.125,
            })
        };
        Answer {
            question: "what is it?".to_owned(),
            text: " a boat".to_owned(),
            tokens: vec![token(5, " a"), token(6, " boat"), token(2, "")],
            ending: Ending::Complete,
            attention: AttentionMode::Flex,
            template: Template::Plain,
            view: PictureView {
                source: (40, 30),
                used: Rect { x: 0, y: 0, width: 40, height: 30 },
                origin: (0.0, -5.0),
                side: 40.0,
                squaring: Squaring::Pad,
                low_size: 24,
                high_size: 48,
                low_grid: 3,
                high_grid: 4,
                cells: 2,
            },
            cost: Cost {
                layers: vec![LayerCost { operations: 1e9, projected: 4, read: 12 }; 2],
                passes: 3,
                ..Cost::default()
            },
            yes_no: Some(YesNo { yes: 0.25, no: 0.5 }),
            prompt_tokens: 20,
            reused_tokens: 0,
        }
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.safetensors");
        answer().save(&path).unwrap();
        assert_eq!(Answer::load(&path).unwrap(), answer());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.safetensors");
        let refused = |answer: &Answer| {
            answer.save(&path).unwrap();
            Answer::load(&path).unwrap_err().to_string()
        };
        let change = |change: &dyn Fn(&mut LayerRecord)| {
            let mut answer = answer();
            let mut token = (*answer.tokens[1]).clone();
            change(&mut token.layers[1]);
            answer.tokens[1] = Arc::new(token);
            answer
        };
        for (answer, why) in [
            (change(&|layer| layer.attention.truncate(8)), "attention is no row of 9 numbers"),
            (change(&|layer| layer.by_head = Some(Arc::from([f16::ONE; 2]))), "heads are not 2 rows"),
            (change(&|layer| layer.selected = Some(Cells::filled(3, true))), "selected has not the cells"),
            (change(&|layer| layer.read_attention.push(1.0)), "read_attention is no row of 4"),
            (change(&|layer| layer.read_attention.clear()), "read_attention is missing"),
            (change(&|layer| layer.sinks.push(9)), "a sink lies outside"),
        ] {
            let sentence = refused(&answer);
            assert!(sentence.starts_with("token 1, layer 1") && sentence.contains(why), "{sentence}");
        }
        for view in [
            PictureView { low_grid: 1 << 40, ..answer().view },
            PictureView { cells: 5, ..answer().view },
            PictureView { source: (0, 1), ..answer().view },
        ] {
            assert!(refused(&Answer { view, ..answer() }).contains("grids"));
        }
        answer().save(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, 8, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Answer::load(&path).is_err(), "{length} bytes");
        }
        let form = br#"\"form\":"#;
        let newer = whole.windows(form.len()).position(|part| part == form).unwrap() + form.len();
        let mut bytes = whole;
        bytes[newer] = b'7';
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Answer::load(&path), Err(StoredError::Newer)));
        assert!(matches!(Answer::load(&folder.path().join("none")), Err(StoredError::Disk(_))));
    }
}
