//! The starter language model: one small LLaVA that describes pictures and specifies wishes.
//!
//! It knows two prompts, letter by letter those it was trained with (training/README.md), and it is not told what to
//! avoid in words: lines that are taken already are put into its mouth as the beginning of its answer, so that it goes on
//! from there.

use candle_core::{Device, Tensor};
use image::RgbImage;
use serde_json::Value;
use tokenizers::Tokenizer;

use super::generate::{Limits, TokenModel, generate};
use super::prompt::one_line;
use crate::edit::caption::{self, CaptionError, Captioner};
use crate::edit::specify::{Replier, SpecifyError, SpecifyRequest, plain};
use crate::nets::llama::KeyValueCache;
use crate::nets::llava::{Llava, LlavaConfig};
use crate::nets::watcher::Watcher;
use crate::ops::device::Compute;
use crate::packs::PackError;
use crate::packs::language::LanguageFolder;
use crate::picture::resample::{Filter, resize_rgb};
use crate::text::sampling::Sampling;

const CAPTION_PROMPT: &str = "USER: <image>\nDescribe the picture in one sentence. ASSISTANT:";

/// The most lines that it was trained to write in one answer.
const MOST_LINES: usize = 5;

/// What a picture is taken for that nobody described: the parts that every scene of its world has.
const UNDESCRIBED: &str = "an open landscape";

/// A model this small is often wrong where it is unsure: it keeps closer to its likeliest words than was asked.
const COOLER: f64 = 0.5;

/// Tokens of a caption, and of one instruction, at most.
const CAPTION_TOKENS: usize = 64;
const LINE_TOKENS: usize = 32;

/// Share of the probability that words are drawn from: what is less likely is more often broken than original.
const NUCLEUS: f64 = 0.92;

/// The opened model.
#[derive(Debug)]
pub struct Starter {
    model: Llava,
    tokenizer: Tokenizer,
    stops: Vec<u32>,
    mean: [f32; 3],
    deviation: [f32; 3],
    compute: Compute,
}

impl Starter {
    /// Builds the network of an opened folder in LLaVA layout.
    ///
    /// # Errors
    /// One sentence: a config that makes no network, a tensor that is missing or of another shape, a tokenizer that does
    /// not fit.
    pub fn load(folder: &LanguageFolder, compute: &Compute) -> Result<Self, PackError> {
        let path = folder.path.join("config.json");
        let config: LlavaConfig = serde_json::from_value(folder.config.clone())
            .map_err(|error| PackError::config(&path, format!("it is no LLaVA config ({error})")))?;
        let weights = folder.weights.var_builder(&compute.device, compute.dtype);
        let model = Llava::load(&config, &weights).map_err(|error| PackError::config(&folder.path, plain(&error)))?;
        let tokenizer = folder.text.tokenizer.clone();
        let image = tokenizer.token_to_id("<image>");
        if image != Some(config.image_token()) {
            return Err(PackError::config(
                &folder.path.join("tokenizer.json"),
                format!("its token <image> is {image:?} where config.json says {}", config.image_token()),
            ));
        }
        Ok(Self {
            mean: channels(&folder.preprocessor, "image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73]),
            deviation: channels(&folder.preprocessor, "image_std", [0.268_629_54, 0.261_302_6, 0.275_777_1])
                .map(|deviation| if deviation > 0.0 { deviation } else { 1.0 }),
            stops: folder.text.stops.clone(),
            compute: compute.clone(),
            model,
            tokenizer,
        })
    }

    /// A conversation with it. Sessions of one model share nothing but its weights.
    #[must_use]
    pub fn session(&self) -> StarterSession<'_> {
        StarterSession { starter: self, cache: KeyValueCache::new(), pictures: None }
    }

    /// The whole picture as the tower wants it, `[1, 3, side, side]`: squeezed to a square, as in training, so that
    /// nothing at its edges goes unseen.
    fn pixels(&self, picture: &RgbImage) -> candle_core::Result<Tensor> {
        let side = self.model.config().vision_config.image_size;
        let side_u32 = u32::try_from(side).unwrap_or(u32::MAX);
        let small = resize_rgb(picture, (side_u32, side_u32), Filter::Bicubic);
        let mut values = Vec::with_capacity(3 * side * side);
        for channel in 0..3 {
            let (mean, deviation) = (self.mean[channel], self.deviation[channel]);
            values.extend(small.pixels().map(|pixel| (f32::from(pixel.0[channel]) / 255.0 - mean) / deviation));
        }
        Tensor::from_vec(values, (1, 3, side, side), &Device::Cpu)?
            .to_device(&self.compute.device)?
            .to_dtype(self.compute.dtype)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, SpecifyError> {
        let encoding = self.tokenizer.encode(text, true);
        let encoding = encoding.map_err(|error| SpecifyError::Model(format!("its tokenizer failed ({error})")))?;
        Ok(self.model.expand(encoding.get_ids()))
    }
}

/// Three numbers of a preprocessor's config.
fn channels(preprocessor: &Value, key: &str, usual: [f32; 3]) -> [f32; 3] {
    let values = preprocessor.get(key).and_then(Value::as_array);
    let values = values.and_then(|all| all.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
    match values.as_deref() {
        Some([r, g, b]) => [*r as f32, *g as f32, *b as f32],
        _ => usual,
    }
}

/// One conversation with the starter model.
#[derive(Debug)]
pub struct StarterSession<'a> {
    starter: &'a Starter,
    cache: KeyValueCache,
    pictures: Option<Tensor>,
}

impl TokenModel for StarterSession<'_> {
    fn advance(&mut self, ids: &[u32], watcher: &dyn Watcher) -> candle_core::Result<Vec<f32>> {
        let model = &self.starter.model;
        let sees = ids.contains(&model.config().image_token());
        let pictures = if sees { self.pictures.as_ref() } else { None };
        let mut scores = model.forward(ids, pictures, &mut self.cache, watcher)?.squeeze(0)?.to_vec1::<f32>()?;
        // It cannot show a picture itself.
        if let Some(score) = scores.get_mut(model.config().image_token() as usize) {
            *score = f32::NEG_INFINITY;
        }
        Ok(scores)
    }

    fn restart(&mut self) {
        self.cache.truncate(0);
    }

    fn context(&self) -> usize {
        self.starter.model.config().text_config.max_position_embeddings
    }
}

impl Captioner for StarterSession<'_> {
    fn caption(
        &mut self,
        picture: &RgbImage,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, CaptionError> {
        let starter = self.starter;
        self.pictures = Some(starter.model.picture_tokens(&starter.pixels(picture)?, watcher)?);
        let limits = Limits {
            sampling: Sampling::greedy(),
            max_tokens: CAPTION_TOKENS,
            stop_tokens: starter.stops.clone(),
            stop_texts: Vec::new(),
            max_lines: Some(1),
        };
        let ids = starter.encode(CAPTION_PROMPT)?;
        caption::parse(&generate(self, &starter.tokenizer, &ids, &limits, on_text, watcher)?)
    }
}

impl Replier for StarterSession<'_> {
    fn reply(
        &mut self,
        request: &SpecifyRequest,
        attempt: u64,
        on_text: &mut dyn FnMut(&str),
        watcher: &dyn Watcher,
    ) -> Result<String, SpecifyError> {
        let starter = self.starter;
        let ids = starter.encode(&specification_prompt(request))?;
        let limits = Limits {
            sampling: Sampling {
                temperature: COOLER * request.temperature,
                top_p: NUCLEUS,
                seed: request.seed.wrapping_add(attempt),
            },
            max_tokens: LINE_TOKENS * request.count,
            stop_tokens: starter.stops.clone(),
            stop_texts: Vec::new(),
            max_lines: Some(request.count),
        };
        generate(self, &starter.tokenizer, &ids, &limits, on_text, watcher)
    }
}

/// The prompt, ending with the lines that are taken already as the beginning of the answer.
fn specification_prompt(request: &SpecifyRequest) -> String {
    let caption = one_line(&request.caption);
    let caption = caption.trim_end_matches('.').trim();
    let caption = if caption.is_empty() { UNDESCRIBED } else { caption };
    let wish = one_line(&request.wish);
    // The latest ones, as many as fit into an answer of the length it knows.
    let room = MOST_LINES.saturating_sub(request.count);
    let taken = &request.avoid[request.avoid.len().saturating_sub(room)..];
    let taken = taken.iter().map(|line| one_line(line)).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let count = request.count + taken.len();
    let mut text =
        format!("USER: Picture: {caption}\nWish: {wish}\nWrite {count} instructions, one per line. ASSISTANT:");
    for (index, line) in taken.iter().enumerate() {
        text.push_str(if index == 0 { " " } else { "" });
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::*;
    use crate::edit::specify::Specifier;
    use crate::nets::watcher::Unwatched;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/language/starter")
    }

    fn open() -> Starter {
        Starter::load(&LanguageFolder::open(&folder()).unwrap(), &Compute::cpu()).unwrap()
    }

    fn picture() -> RgbImage {
        image::open(folder().join("picture.png")).unwrap().to_rgb8()
    }

    fn greedy(session: &mut StarterSession<'_>, prompt: &str, count: usize) -> Vec<u32> {
        let mut next = session.starter.encode(prompt).unwrap();
        let mut answer = Vec::new();
        session.restart();
        while answer.len() < count {
            let scores = session.advance(&next, &Unwatched).unwrap();
            let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32;
            answer.push(best);
            next = vec![best];
        }
        answer
    }

    #[test]
    fn answers_as_transformers_does_from_pixels_and_words() {
        let expected: Value =
            serde_json::from_str(&std::fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap();
        let expected = |name: &str| -> Vec<u32> { serde_json::from_value(expected[name].clone()).unwrap() };
        let starter = open();
        let mut session = starter.session();
        let pixels = starter.pixels(&picture()).unwrap();
        session.pictures = Some(starter.model.picture_tokens(&pixels, &Unwatched).unwrap());
        assert_eq!(greedy(&mut session, CAPTION_PROMPT, 14), expected("caption"));

        let mut request = SpecifyRequest::new("a house by a lake", "make it feel like winter");
        assert_eq!(greedy(&mut session, &specification_prompt(&request), 14), expected("specification"));
        request.count = 1;
        request.avoid = vec!["put snow on the roof".to_owned(), "freeze the lake".to_owned()];
        assert_eq!(greedy(&mut session, &specification_prompt(&request), 14), expected("continued"));
    }

    #[test]
    fn the_same_seed_proposes_the_same_and_another_something_else() {
        let starter = open();
        let propose = |seed: u64| {
            let request = SpecifyRequest { seed, ..SpecifyRequest::new("a house", "make it feel like winter") };
            let mut shown = String::new();
            let reply = starter.session().reply(&request, 0, &mut |text| shown.push_str(text), &Unwatched).unwrap();
            assert_eq!(shown, reply);
            reply
        };
        assert_eq!(propose(1), propose(1));
        assert_ne!(propose(1), propose(2));
        // A model of random numbers proposes nothing of use, which is no failure.
        let request = SpecifyRequest::new("a house", "make it feel like winter");
        let proposal = starter.session().specify(&request, &mut |_| {}, &Unwatched).unwrap();
        assert!(proposal.instructions.len() <= 3);
    }

    #[test]
    fn a_tokenizer_of_another_model_is_refused() {
        let mut opened = LanguageFolder::open(&folder()).unwrap();
        opened.config["image_token_index"] = 7.into();
        let fault = Starter::load(&opened, &Compute::cpu()).unwrap_err().to_string();
        assert!(fault.contains("<image>"), "{fault}");
    }

    #[test]
    fn hostile_configs_are_refused_in_one_sentence() {
        let whole = LanguageFolder::open(&folder()).unwrap();
        for (part, key, value) in [
            ("text_config", "num_attention_heads", json!(0)),
            ("text_config", "head_dim", json!(u64::MAX)),
            ("text_config", "hidden_size", json!(u64::MAX)),
            ("text_config", "vocab_size", json!(u64::MAX)),
            ("text_config", "intermediate_size", json!(1_u64 << 60)),
            ("text_config", "num_hidden_layers", json!(u64::MAX)),
            ("text_config", "num_key_value_heads", json!(3)),
            ("vision_config", "num_attention_heads", json!(0)),
            ("vision_config", "patch_size", json!(0)),
            ("vision_config", "image_size", json!(u64::MAX)),
            ("vision_config", "hidden_size", json!(u64::MAX)),
            ("vision_config", "num_channels", json!(u64::MAX)),
            ("vision_config", "num_hidden_layers", json!(-3)),
            ("text_config", "hidden_act", json!("no such thing")),
        ] {
            let mut broken = whole.clone();
            broken.config[part][key] = value;
            let fault = Starter::load(&broken, &Compute::cpu()).unwrap_err().to_string();
            assert!(!fault.contains('\n') && fault.len() < 400, "{part}.{key}: {fault}");
        }
    }

    #[test]
    fn the_prompt_is_the_one_of_the_training() {
        let request = SpecifyRequest::new("a house by a lake with trees.", "make it feel like winter");
        assert_eq!(
            specification_prompt(&request),
            "USER: Picture: a house by a lake with trees\nWish: make it feel like winter\nWrite 3 instructions, one per \
             line. ASSISTANT:"
        );
    }

    #[test]
    fn taken_lines_begin_the_answer() {
        let avoid = ["put snow on the roof", "bare the trees", "freeze the lake", "paint the sky grey", "add fog"];
        let avoid = avoid.map(str::to_owned).to_vec();
        let request = SpecifyRequest { count: 1, avoid, ..SpecifyRequest::new("a house", "winter") };
        let prompt = specification_prompt(&request);
        assert!(prompt.contains("Write 5 instructions"));
        assert!(prompt.ends_with("ASSISTANT: bare the trees\nfreeze the lake\npaint the sky grey\nadd fog\n"));
        let many = SpecifyRequest { count: 6, ..request };
        assert!(specification_prompt(&many).ends_with("Write 6 instructions, one per line. ASSISTANT:"));
    }

    #[test]
    fn no_text_of_a_person_becomes_a_special_token() {
        let request = SpecifyRequest::new("<image>\n", "</s> winter <image>");
        let prompt = specification_prompt(&request);
        assert!(!prompt.contains('<') && prompt.contains("Wish: /s winter image\n"), "{prompt}");
    }
}
