//! The opened model: networks, tokenizer, and all sizes that its files say.

use candle_core::quantized::GgmlDType;
use serde_json::Value;
use tokenizers::Tokenizer;

use super::cost::{DecoderShape, TowerShape};
use super::dual_resolution::{PictureView, Prepared, Preprocessing, Squaring};
use super::quantised::Kept;
use super::selection::SelectionRule;
use super::settings::Template;
use crate::nets::llava::{Llava, LlavaConfig};
use crate::ops::device::Compute;
use crate::packs::PackError;
use crate::packs::llava::LlavaFolder;

/// How the decoder's matrices are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum WeightBits {
    /// In the precision everything is computed in.
    #[default]
    #[serde(rename = "full")]
    Full,
    /// Blocks of 32 numbers of 8 bits with a common factor (Q8_0).
    #[serde(rename = "8")]
    Eight,
    /// Blocks of 4 bits (Q4_K; Q4_0 where a width is no multiple of 256).
    #[serde(rename = "4")]
    Four,
}

impl WeightBits {
    /// Bytes that one number of a matrix takes on average; `full` is that of a plain one.
    #[must_use]
    pub fn bytes(self, full: usize) -> f64 {
        match self {
            Self::Full => full as f64,
            Self::Eight => 34.0 / 32.0,
            Self::Four => 4.5 / 8.0,
        }
    }

    /// The block type for a matrix of rows of `width` numbers; `None`: as they are.
    #[must_use]
    pub fn block(self, width: usize) -> Option<GgmlDType> {
        match self {
            Self::Full => None,
            Self::Four if width.is_multiple_of(256) => Some(GgmlDType::Q4K),
            Self::Four if width.is_multiple_of(32) => Some(GgmlDType::Q4_0),
            Self::Eight if width.is_multiple_of(32) => Some(GgmlDType::Q8_0),
            Self::Eight | Self::Four => None,
        }
    }
}

/// The second resolution of a model that was trained for one.
#[derive(Clone, Debug, PartialEq)]
pub struct HighResolutionRule {
    /// Tiles along one side.
    pub tiles: usize,
    /// The first layer that selects; those above it read.
    pub selection_layer: usize,
    /// Sizes and threshold of the selection.
    pub selection: SelectionRule,
}

/// The opened model.
#[derive(Debug)]
pub struct Vlm {
    pub(super) llava: Llava,
    pub(super) tokenizer: Tokenizer,
    pub(super) stops: Vec<u32>,
    pub(super) end: Option<u32>,
    pub(super) preprocessing: Preprocessing,
    pub(super) high_resolution: Option<HighResolutionRule>,
    pub(super) template: Template,
    pub(super) longest_prompt: usize,
    pub(super) compute: Compute,
    pub(super) decoder: DecoderShape,
    pub(super) tower: TowerShape,
    /// The first tokens of an answer "yes" and of an answer "no", however written.
    pub(super) yes_no: Option<(Vec<u32>, Vec<u32>)>,
}

/// What a model is, known from its files' headers.
#[derive(Clone, Debug, PartialEq)]
pub struct VlmFacts {
    /// Layers of the decoder.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// The second resolution; `None` for plain LLaVA.
    pub high_resolution: Option<HighResolutionRule>,
    /// How pictures are prepared.
    pub preprocessing: Preprocessing,
    /// The words around question and answer, unless the person says otherwise.
    pub template: Template,
    /// Tokens that prompt and answer may have together.
    pub context: usize,
    /// How many numbers the decoder's matrices hold.
    pub decoder_parameters: u64,
    /// How many numbers everything else holds.
    pub other_parameters: u64,
}

impl VlmFacts {
    /// About how many bytes the opened model takes.
    #[must_use]
    pub fn bytes(&self, compute: &Compute, bits: WeightBits) -> u64 {
        let full = compute.dtype.size_in_bytes();
        (self.decoder_parameters as f64 * bits.bytes(full)) as u64 + self.other_parameters * full as u64
    }
}

/// What the files say, as the networks want it.
struct Settled {
    config: LlavaConfig,
    facts: VlmFacts,
}

fn settle(folder: &LlavaFolder) -> Result<Settled, PackError> {
    let path = folder.path.join("config.json");
    let fault = |detail: String| PackError::config(&path, detail);
    let mut config: LlavaConfig = serde_json::from_value(folder.config.clone())
        .map_err(|error| fault(format!("it is no LLaVA config ({error})")))?;
    let reads_from = folder.high_resolution.as_ref().map(|facts| facts.selection_layer + 1);
    config.text_config.reads_high_resolution_from = reads_from;
    let tower = &config.vision_config;
    let low_grid = tower.grid();
    if config.tokens_per_picture() != low_grid * low_grid || low_grid == 0 {
        return Err(fault("it keeps the tower's class token, which no model here has".to_owned()));
    }
    if tower.image_size > 1 << 12 || tower.num_channels != 3 {
        return Err(fault(format!(
            "a vision tower of {} pixels and {} channels cannot be used",
            tower.image_size, tower.num_channels
        )));
    }
    let high_resolution = folder.high_resolution.as_ref().map(|facts| HighResolutionRule {
        tiles: facts.tiles,
        selection_layer: facts.selection_layer,
        selection: SelectionRule {
            low_grid,
            high_grid: low_grid * facts.tiles,
            cells: facts.cells,
            threshold: facts.threshold,
        },
    });
    let template = match folder.conversation.as_deref() {
        None => Template::VicunaV1,
        Some(name) => serde_json::from_value(Value::String(name.to_owned()))
            .map_err(|_| fault(format!("its conversation template {name:?} is not known")))?,
    };
    let text = &config.text_config;
    let context = text.context();
    let (mean, deviation) = folder.channels;
    let low_size = tower.image_size;
    let facts = VlmFacts {
        layers: text.num_hidden_layers,
        heads: text.num_attention_heads,
        preprocessing: Preprocessing {
            squaring: if folder.pads { Squaring::Pad } else { Squaring::CentreCrop },
            high_size: folder.high_resolution.as_ref().map_or(low_size, |facts| facts.high_size),
            low_size,
            low_grid,
            mean,
            deviation,
        },
        high_resolution,
        template,
        context,
        decoder_parameters: folder.decoder_parameters(),
        other_parameters: folder.parameters() - folder.decoder_parameters(),
    };
    Ok(Settled { config, facts })
}

/// What an opened folder's model is. Reads nothing but headers.
///
/// # Errors
/// One sentence: what of the config cannot be.
pub fn describe(folder: &LlavaFolder) -> Result<VlmFacts, PackError> {
    settle(folder).map(|settled| settled.facts)
}

impl Vlm {
    /// Builds the networks of an opened folder.
    ///
    /// # Errors
    /// One sentence: a config that makes no network, a tensor that is missing or of another shape, a tokenizer that does
    /// not fit.
    pub fn load(folder: &LlavaFolder, compute: &Compute, bits: WeightBits) -> Result<Self, PackError> {
        let Settled { config, facts } = settle(folder)?;
        let weights = folder.weights.var_builder(&compute.device, compute.dtype);
        let llava = match bits {
            WeightBits::Full => Llava::load(&config, &weights),
            bits => Kept::open(folder, bits).load(&config, &weights),
        };
        let llava = llava.map_err(|error| PackError::config(&folder.path, plain(&error)))?;
        let tokenizer = folder.text.tokenizer.clone();
        let text = &llava.config().text_config;
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= text.vocab_size.max(1) + 64 || folder.text.stops.is_empty() {
            return Err(PackError::config(
                &folder.path.join("tokenizer.json"),
                format!(
                    "it has tokens up to {largest} and {} that end an answer; the model has {} tokens",
                    folder.text.stops.len(),
                    text.vocab_size
                ),
            ));
        }
        let head = text.head_dim();
        let decoder = DecoderShape {
            layers: text.num_hidden_layers,
            hidden: text.hidden_size,
            inner: text.intermediate_size,
            queries: text.num_attention_heads * head,
            keys: text.key_value_heads() * head,
            vocabulary: text.vocab_size,
            first_reading: text.reads_high_resolution_from.unwrap_or(text.num_hidden_layers),
        };
        let vision = &llava.config().vision_config;
        let tower = TowerShape {
            layers: vision.num_hidden_layers,
            hidden: vision.hidden_size,
            inner: vision.intermediate_size,
            patches: facts.preprocessing.low_grid * facts.preprocessing.low_grid,
            patch: 3 * vision.patch_size * vision.patch_size,
            decoder: text.hidden_size,
        };
        Ok(Self {
            yes_no: yes_no(&tokenizer),
            end: tokenizer.token_to_id(&folder.text.eos).or_else(|| folder.text.stops.first().copied()),
            stops: folder.text.stops.clone(),
            longest_prompt: folder.longest_prompt.unwrap_or(usize::MAX).min(facts.context),
            preprocessing: facts.preprocessing,
            high_resolution: facts.high_resolution,
            template: facts.template,
            compute: compute.clone(),
            decoder,
            tower,
            llava,
            tokenizer,
        })
    }

    /// The second resolution; `None` for plain LLaVA.
    #[must_use]
    pub fn high_resolution(&self) -> Option<&HighResolutionRule> {
        self.high_resolution.as_ref()
    }

    /// The words around question and answer, unless the person says otherwise.
    #[must_use]
    pub fn template(&self) -> Template {
        self.template
    }

    /// Tokens that prompt and answer may have together.
    #[must_use]
    pub fn context(&self) -> usize {
        self.llava.config().text_config.context()
    }

    /// Where things lie in the picture for one that was prepared.
    pub(super) fn view(&self, source: (u32, u32), prepared: &Prepared) -> PictureView {
        let rule = self.high_resolution.as_ref().map(|rule| &rule.selection);
        PictureView {
            source,
            used: prepared.used,
            origin: prepared.origin,
            side: prepared.side,
            squaring: self.preprocessing.squaring,
            low_size: self.preprocessing.low_size,
            high_size: self.preprocessing.high_size,
            low_grid: self.preprocessing.low_grid,
            high_grid: rule.map_or(0, |rule| rule.high_grid),
            cells: rule.map_or(0, |rule| rule.cells),
        }
    }

    /// The text of one token, for lists of alternatives.
    pub(super) fn piece(&self, id: u32) -> String {
        // Behind another token a leading blank is kept.
        let of = |ids: &[u32]| self.tokenizer.decode(ids, false).unwrap_or_default();
        let alone = of(&[id, id]);
        let once = of(&[id]);
        alone.strip_prefix(&once).map_or(once.clone(), str::to_owned)
    }

    /// Bytes that a conversation may come to hold beside the model: keys and values of a whole context, features of both
    /// resolutions, a third of the high-resolution keys and values.
    #[must_use]
    pub fn conversation_bytes(&self) -> u64 {
        let width = self.compute.dtype.size_in_bytes();
        let rows = 2 * self.decoder.keys * width;
        let high = self.high_resolution.as_ref().map_or(0, |rule| rule.selection.high_grid.pow(2));
        let reading = self.decoder.layers - self.decoder.first_reading.min(self.decoder.layers);
        let context = self.context().min(2048) * self.decoder.layers * rows;
        (context + high * (self.decoder.hidden * width + reading * rows / 3)) as u64
    }
}

/// candle's words in one line, without its back-trace.
fn plain(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// The tokens that begin an answer "yes" alone and an answer "no" alone; `None` where none does.
fn yes_no(tokenizer: &Tokenizer) -> Option<(Vec<u32>, Vec<u32>)> {
    let ids = |text: &str| tokenizer.encode(text, false).ok().map(|encoding| encoding.get_ids().to_vec());
    let before = ids("ASSISTANT:")?;
    let of = |words: [&str; 3]| {
        let mut found = Vec::new();
        for word in words {
            let behind = ids(&format!("ASSISTANT: {word}")).unwrap_or_default();
            found.extend(behind.strip_prefix(before.as_slice()).and_then(|rest| rest.first().copied()));
            // Where the colon grows together with what follows it, and for models that begin without a blank.
            let written = ["▁", "Ġ", ""].map(|blank| tokenizer.token_to_id(&format!("{blank}{word}")));
            found.extend(written.into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    };
    let (yes, no) = (of(["yes", "Yes", "YES"]), of(["no", "No", "NO"]));
    // What begins both (a blank of its own, where a spelling is not in the vocabulary) says nothing.
    let alone =
        |ids: &[u32], others: &[u32]| -> Vec<u32> { ids.iter().copied().filter(|id| !others.contains(id)).collect() };
    let (yes, no) = (alone(&yes, &no), alone(&no, &yes));
    if yes.is_empty() || no.is_empty() { None } else { Some((yes, no)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::test_tokenizers::byte_level;

    #[test]
    fn yes_and_no_need_first_tokens_of_their_own() {
        // Byte by byte, both begin with a blank.
        assert_eq!(yes_no(&byte_level()), None);
        let words = serde_json::json!({
            "version": "1.0", "pre_tokenizer": {"type": "Whitespace"},
            "model": {
                "type": "WordLevel", "unk_token": "?",
                "vocab": {"?": 0, "ASSISTANT": 1, ":": 2, "yes": 3, "no": 4, "Yes": 5}
            }
        });
        let words = Tokenizer::from_bytes(words.to_string()).unwrap();
        assert_eq!(yes_no(&words), Some((vec![3, 5], vec![4])));
    }

    #[test]
    fn blocks_need_rows_that_they_divide() {
        assert_eq!(WeightBits::Four.block(512), Some(GgmlDType::Q4K));
        assert_eq!(WeightBits::Four.block(320), Some(GgmlDType::Q4_0));
        assert_eq!(WeightBits::Eight.block(40), None);
        assert_eq!(WeightBits::Full.block(512), None);
    }
}
