//! LLaVA: a CLIP vision tower, a two-layer projector and a Llama decoder that reads pictures as tokens.
//!
//! Reads the layout of the `llava-hf` checkpoints under its older and its newer tensor names. The same network makes
//! the captions of the Edit lens and is what the Ask lens extends.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::clip_vision::{Activation, ClipVision, ClipVisionConfig};
use super::llama::weights::DecoderWeights;
use super::llama::{KeyValueCache, Llama, LlamaConfig};
use super::watcher::Watcher;
use crate::ops::linear::Linear;

/// The fields of a LLaVA `config.json` that decide its shape; absent ones take the published defaults (LLaVA 1.5).
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct LlavaConfig {
    /// The vision tower.
    pub vision_config: ClipVisionConfig,
    /// The decoder.
    pub text_config: LlamaConfig,
    /// The token that stands for one picture token in a prompt.
    pub image_token_index: Option<u32>,
    /// The same under its newer name.
    pub image_token_id: Option<u32>,
    /// Activation between the projector's layers.
    pub projector_hidden_act: String,
    /// Which hidden states of the tower are read; several are put side by side.
    pub vision_feature_layer: FeatureLayers,
    /// `default` drops the class token, `full` keeps it.
    pub vision_feature_select_strategy: SelectStrategy,
    /// Whether the projector's layers have biases.
    pub multimodal_projector_bias: bool,
    /// Whether the output layer is the token table; where the decoder's own config says nothing.
    pub tie_word_embeddings: Option<bool>,
}

impl Default for LlavaConfig {
    fn default() -> Self {
        Self {
            vision_config: ClipVisionConfig {
                hidden_size: 1024,
                intermediate_size: 4096,
                num_hidden_layers: 24,
                num_attention_heads: 16,
                image_size: 336,
                patch_size: 14,
                ..ClipVisionConfig::default()
            },
            text_config: LlamaConfig::default(),
            image_token_index: None,
            image_token_id: None,
            projector_hidden_act: "gelu".to_owned(),
            vision_feature_layer: FeatureLayers::One(-2),
            vision_feature_select_strategy: SelectStrategy::Default,
            multimodal_projector_bias: true,
            tie_word_embeddings: None,
        }
    }
}

/// One hidden state or several.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum FeatureLayers {
    /// One.
    One(i64),
    /// Several, put side by side in this order.
    Several(Vec<i64>),
}

impl FeatureLayers {
    fn as_slice(&self) -> &[i64] {
        match self {
            Self::One(layer) => std::slice::from_ref(layer),
            Self::Several(layers) => layers,
        }
    }
}

/// Which of the tower's tokens become picture tokens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SelectStrategy {
    /// The patches.
    Default,
    /// The class token and the patches.
    Full,
}

impl LlavaConfig {
    /// The token that stands for one picture token in a prompt.
    #[must_use]
    pub fn image_token(&self) -> u32 {
        self.image_token_index.or(self.image_token_id).unwrap_or(32_000)
    }

    /// How many tokens one picture takes in the decoder.
    #[must_use]
    pub fn tokens_per_picture(&self) -> usize {
        let grid = self.vision_config.grid();
        match self.vision_feature_select_strategy {
            SelectStrategy::Default => grid * grid,
            SelectStrategy::Full => grid * grid + 1,
        }
    }
}

/// From the tower's width to the decoder's.
#[derive(Clone, Debug)]
struct Projector {
    linear_1: Linear,
    linear_2: Linear,
    activation: Activation,
}

/// The whole model.
#[derive(Clone, Debug)]
pub struct Llava {
    vision: ClipVision,
    projector: Projector,
    language: Llama,
    config: LlavaConfig,
}

impl Llava {
    /// Builds the model from a folder's tensors, under either of the names that published files use:
    /// `language_model.model.…`, `language_model.lm_head`, `vision_tower.…`, `multi_modal_projector.…`, or
    /// `model.language_model.…`, `lm_head`, `model.vision_tower.…`, `model.multi_modal_projector.…`.
    ///
    /// # Errors
    /// When the config makes no network, or a tensor is missing or has another shape.
    pub fn load(config: &LlavaConfig, vb: &VarBuilder<'static>) -> Result<Self> {
        Self::load_with(config, vb, &|vb: VarBuilder<'static>| vb)
    }

    /// The same with the decoder's layers made by what `decoder` turns their weights into (quantised ones).
    ///
    /// # Errors
    /// As [`Llava::load`].
    pub fn load_with<W: DecoderWeights>(
        config: &LlavaConfig,
        vb: &VarBuilder<'static>,
        decoder: &dyn Fn(VarBuilder<'static>) -> W,
    ) -> Result<Self> {
        let mut config = config.clone();
        if let Some(tied) = config.tie_word_embeddings {
            config.text_config.tie_word_embeddings |= tied;
        }
        let newer = vb.contains_tensor("model.language_model.embed_tokens.weight");
        let (outer, model, around) = if newer {
            (vb.pp("model"), vb.pp("model.language_model"), vb.clone())
        } else {
            (vb.clone(), vb.pp("language_model.model"), vb.pp("language_model"))
        };
        // A tied head need not be stored; where it is stored although the config is silent, it is what counts.
        if config.tie_word_embeddings.is_none() && !around.contains_tensor("lm_head.weight") {
            config.text_config.tie_word_embeddings = true;
        }
        let vision = ClipVision::load(&config.vision_config, &outer.pp("vision_tower"))?;
        let projector = outer.pp("multi_modal_projector");
        let (from, to) = (
            config.vision_config.hidden_size * config.vision_feature_layer.as_slice().len(),
            config.text_config.hidden_size,
        );
        let bias = config.multimodal_projector_bias;
        Ok(Self {
            vision,
            projector: Projector {
                linear_1: Linear::load(projector.pp("linear_1"), from, to, bias)?,
                linear_2: Linear::load(projector.pp("linear_2"), to, to, bias)?,
                activation: Activation::named(&config.projector_hidden_act)?,
            },
            language: Llama::load_parts(&config.text_config, &decoder(model), &decoder(around))?,
            config,
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn config(&self) -> &LlavaConfig {
        &self.config
    }

    /// The decoder.
    #[must_use]
    pub fn language(&self) -> &Llama {
        &self.language
    }

    /// The vision tower.
    #[must_use]
    pub fn vision(&self) -> &ClipVision {
        &self.vision
    }

    /// Picture tokens `[batch, tokens_per_picture, hidden]` of normalised pictures `[batch, 3, side, side]`.
    ///
    /// # Errors
    /// When the pictures have another size, or the watcher stops the pass.
    pub fn picture_tokens(&self, pixels: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let states = self.vision.hidden_states(pixels, self.config.vision_feature_layer.as_slice(), watcher)?;
        let states = states
            .iter()
            .map(|state| match self.config.vision_feature_select_strategy {
                SelectStrategy::Default => state.narrow(1, 1, state.dim(1)? - 1),
                SelectStrategy::Full => Ok(state.clone()),
            })
            .collect::<Result<Vec<_>>>()?;
        let features = Tensor::cat(&states, 2)?;
        let inner = self.projector.activation.forward(&self.projector.linear_1.forward(&features)?)?;
        self.projector.linear_2.forward(&inner)
    }

    /// A prompt in which each picture stands as one image token, with that token repeated as often as a picture has
    /// tokens.
    #[must_use]
    pub fn expand(&self, ids: &[u32]) -> Vec<u32> {
        let image = self.config.image_token();
        let repeat = self.config.tokens_per_picture();
        ids.iter().flat_map(|&id| std::iter::repeat_n(id, if id == image { repeat } else { 1 })).collect()
    }

    /// Embeddings `[1, n, hidden]` of an expanded prompt: words from the token table, the image tokens replaced in
    /// order by the rows of `pictures` `[batch, tokens_per_picture, hidden]`.
    ///
    /// # Errors
    /// When the prompt has another number of image tokens than the pictures have rows.
    pub fn embed(&self, ids: &[u32], pictures: Option<&Tensor>) -> Result<Tensor> {
        let image = self.config.image_token();
        let rows = match pictures {
            Some(pictures) => pictures.dim(0)? * pictures.dim(1)?,
            None => 0,
        };
        let places = ids.iter().filter(|id| **id == image).count();
        if places != rows {
            candle_core::bail!("the prompt has {places} places for picture tokens, the pictures have {rows}");
        }
        let device = self.language.device();
        // The image token itself may lie outside the token table: any row serves, it is not used.
        let words = ids.iter().map(|&id| if id == image { 0 } else { id }).collect::<Vec<_>>();
        let words = self.language.embed(&Tensor::from_vec(words, (1, ids.len()), &device)?)?;
        let Some(pictures) = pictures else { return Ok(words) };
        let pictures = pictures.flatten(0, 1)?.unsqueeze(0)?;
        let mut parts = Vec::new();
        let (mut start, mut used) = (0, 0);
        for run in ids.chunk_by(|a, b| (*a == image) == (*b == image)) {
            if run.first() == Some(&image) {
                parts.push(pictures.narrow(1, used, run.len())?);
                used += run.len();
            } else {
                parts.push(words.narrow(1, start, run.len())?);
            }
            start += run.len();
        }
        Tensor::cat(&parts, 1)
    }

    /// Scores `[1, vocab]` (f32) of the token that follows an expanded prompt, which follows what `cache` holds.
    ///
    /// # Errors
    /// As [`Llava::embed`] and [`Llama::decode`].
    pub fn forward(
        &self,
        ids: &[u32],
        pictures: Option<&Tensor>,
        cache: &mut KeyValueCache,
        watcher: &dyn Watcher,
    ) -> Result<Tensor> {
        let states = self.language.decode(&self.embed(ids, pictures)?, cache, watcher)?;
        self.language.last_logits(&states)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{Llava, LlavaConfig};
    use crate::nets::llama::KeyValueCache;
    use crate::nets::parity::{Fixture, relative_l2};
    use crate::nets::watcher::Unwatched;

    fn ids(tensor: &Tensor) -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn gives_the_reference_pictures_logits_and_greedy_tokens_under_both_names() {
        for case in ["llava-older", "llava-newer"] {
            let fixture = Fixture::open(&format!("language/{case}"));
            let model = Llava::load(&fixture.config::<LlavaConfig>(), &fixture.weights()).unwrap();
            let pictures = model.picture_tokens(&fixture.input("pixels"), &Unwatched).unwrap();
            let distance = relative_l2(&pictures, &fixture.output("pictures"));
            assert!(distance <= 1e-5, "{case}: picture tokens, relative L2 {distance:.1e}");

            let prompt = model.expand(&ids(&fixture.input("short")));
            assert_eq!(prompt, ids(&fixture.input("ids")), "{case}");
            let mut cache = KeyValueCache::new();
            let states = model
                .language()
                .decode(&model.embed(&prompt, Some(&pictures)).unwrap(), &mut cache, &Unwatched)
                .unwrap();
            let logits = model.language().logits(&states).unwrap();
            let distance = relative_l2(&logits, &fixture.output("logits").unsqueeze(0).unwrap());
            assert!(distance <= 1e-5, "{case}: logits, relative L2 {distance:.1e}");

            let expected = fixture.output("greedy").to_vec1::<u32>().unwrap();
            cache.truncate(0);
            let mut found = Vec::new();
            let mut scores = model.forward(&prompt, Some(&pictures), &mut cache, &Unwatched).unwrap();
            while found.len() < expected.len() {
                let next = scores.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0];
                found.push(next);
                scores = model.forward(&[next], None, &mut cache, &Unwatched).unwrap();
            }
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn places_and_picture_tokens_must_agree() {
        let fixture = Fixture::open("language/llava-older");
        let model = Llava::load(&fixture.config::<LlavaConfig>(), &fixture.weights()).unwrap();
        let image = model.config().image_token();
        let pictures = Tensor::zeros((1, 16, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(model.embed(&[1, image, 4], Some(&pictures)).is_err());
        assert!(model.embed(&[1, image, 4], None).is_err());
        assert_eq!(model.embed(&model.expand(&[1, image, 4]), Some(&pictures)).unwrap().dims(), [1, 18, 32]);
    }

    #[test]
    fn an_empty_config_is_the_published_seven_billion_model() {
        let config: LlavaConfig = serde_json::from_str("{}").unwrap();
        assert_eq!((config.image_token(), config.tokens_per_picture()), (32_000, 576));
        assert_eq!((config.text_config.hidden_size, config.text_config.num_hidden_layers), (4096, 32));
    }
}
