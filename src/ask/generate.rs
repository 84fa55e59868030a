//! Answering: the prompt in one pass, then token after token, each pass leaving behind where its last row looked.
//!
//! A [`Conversation`] keeps what further questions share: the picture through the tower, the prompt's keys and values, and
//! the high-resolution keys and values made so far. Of the cache only the rows that saw nothing beside the sequence are
//! kept (all of the prompt but its last token), so that a later question gives the numbers that a fresh one would give, in
//! whatever mode.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Tensor};
use half::f16;
use image::RgbImage;
use sha2::{Digest, Sha256};

use super::conversation::{self, PICTURE, Turn};
use super::cost::{Cost, LayerCost};
use super::dual_resolution::{Encoded, PictureView, encode};
use super::error::AskError;
use super::model::Vlm;
use super::record::{Answer, Cells, Ending, LayerRecord, Shares, TokenRecord, YesNo};
use super::selection::{PaddingStrips, SelectionRule};
use super::settings::{AskSettings, AttentionMode, RegionUse};
use crate::nets::llama::KeyValueCache;
use crate::nets::llama::high_resolution::{HighResolution, LastRow, Reading, interpolated_tables};
use crate::nets::watcher::Watcher;
use crate::text::sampling::Sampler;
use crate::text::stream::Detokeniser;
use crate::trace::Trace;

/// Attention of single heads is kept up to so many bytes an answer.
const HEAD_BYTES: usize = 192 << 20;

/// A question with what came before it.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Earlier questions about the same picture with their answers.
    pub turns: Vec<Turn>,
    /// What is asked now.
    pub text: String,
    /// How it is answered.
    pub settings: AskSettings,
}

/// Sees an answer come about, and may end it.
pub trait AskObserver: Watcher {
    /// What begins now, in how many steps (0: unknown).
    fn stage(&self, name: &str, steps: usize) {
        let _ = (name, steps);
    }

    /// How many steps of it are done.
    fn step(&self, done: usize) {
        let _ = done;
    }

    /// What the model saw of the picture.
    fn seen(&self, view: &PictureView) {
        let _ = view;
    }

    /// A token that came.
    fn token(&self, token: &Arc<TokenRecord>) {
        let _ = token;
    }

    /// Whether the answer is to end here and be kept.
    fn stopped(&self) -> bool {
        false
    }
}

impl AskObserver for crate::nets::watcher::Unwatched {}

/// What questions about one picture share.
#[derive(Debug, Default)]
pub struct Conversation {
    picture: Option<Looked>,
    cache: KeyValueCache,
    /// The prompt's tokens whose rows the cache holds and may keep, the picture's as [`PICTURE`].
    held: Vec<i64>,
    high: Option<(usize, HighResolution)>,
    /// Per layer, the patches that draw attention whatever is asked.
    sinks: Vec<Vec<u32>>,
}

/// A picture after the tower.
#[derive(Debug)]
struct Looked {
    key: [u8; 32],
    encoded: Encoded,
    view: PictureView,
    /// Width and height that decide about the padding strips.
    size: (u32, u32),
    input: Tensor,
}

impl Conversation {
    /// A conversation that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a question about `picture`.
    ///
    /// # Errors
    /// What of the question, the picture or the settings cannot be; when the model fails, or the watcher stops it. The
    /// conversation can be used again in any case.
    pub fn ask(
        &mut self,
        vlm: &Vlm,
        picture: &RgbImage,
        question: &Question,
        trace: &mut Trace,
        observer: &dyn AskObserver,
    ) -> Result<Answer, AskError> {
        let settings = &question.settings;
        settings.check()?;
        let template = settings.template.unwrap_or(vlm.template);
        let prompt = conversation::encode(&vlm.tokenizer, template, &question.turns, &question.text, vlm.end)?;
        let patches = vlm.preprocessing.low_grid.pow(2);
        let start = prompt.iter().position(|id| *id == PICTURE).unwrap_or(0);
        let expanded = expand(&prompt, patches);
        if expanded.len() > vlm.longest_prompt || expanded.len() >= vlm.context() {
            let most = vlm.longest_prompt.min(vlm.context().saturating_sub(1));
            return Err(AskError::TooLong { tokens: expanded.len(), picture: patches, most });
        }

        let began = Instant::now();
        let encoding = self.look(vlm, picture, settings, observer)?;
        let encoding_seconds = began.elapsed().as_secs_f64();
        let Some(looked) = &self.picture else {
            return Err(AskError::Model("the picture was not encoded".to_owned()));
        };
        observer.seen(&looked.view);
        trace.tensor("input", &looked.input)?;
        trace.tensor("low_res", &looked.encoded.low.squeeze(0)?)?;
        if let Some(high) = &looked.encoded.high {
            trace.tensor("high_res", high)?;
        }
        trace.numbers("input_ids", prompt.iter().map(|id| *id as f32).collect(), &[prompt.len()])?;

        let run = Run {
            vlm,
            settings,
            image: start..start + patches,
            view: looked.view.clone(),
            padding: padding(vlm, looked.size),
            forbidden: forbidden(&settings.region, &looked.view),
        };
        if self.high.as_ref().is_none_or(|(first, _)| *first != start) {
            self.high = match (&looked.encoded.high, vlm.high_resolution()) {
                (Some(features), Some(rule)) => Some((start, high_resolution(vlm, features, start, &rule.selection)?)),
                _ => None,
            };
        }
        let low = looked.encoded.low.clone();
        let mut answer = self.answer(&run, question, &expanded, &low, trace, observer)?;
        answer.template = template;
        answer.cost.encoding = encoding;
        answer.cost.encoding_seconds = if encoding > 0.0 { encoding_seconds } else { 0.0 };
        Ok(answer)
    }

    /// Brings the picture through the tower unless it is there already; returns the operations that took.
    fn look(
        &mut self,
        vlm: &Vlm,
        picture: &RgbImage,
        settings: &AskSettings,
        observer: &dyn AskObserver,
    ) -> Result<f64, AskError> {
        let key = fingerprint(picture, &settings.region);
        let wants_high = settings.attention != AttentionMode::Low;
        let tiles = vlm.high_resolution().map(|rule| rule.tiles);
        if let Some(looked) = &self.picture
            && looked.key == key
            && (looked.encoded.high.is_some() || !wants_high || tiles.is_none())
        {
            return Ok(0.0);
        }
        *self = Self::default();
        let tiles = tiles.filter(|_| wants_high);
        observer.stage("Looking at the picture", 1 + tiles.unwrap_or(0));
        let prepared = vlm.preprocessing.prepare(picture, &settings.region)?;
        let encoded =
            encode(&vlm.llava, &vlm.preprocessing, &prepared.input, tiles, &vlm.compute, observer, &|done| {
                observer.step(done);
            })?;
        let view = vlm.view(picture.dimensions(), &prepared);
        self.picture = Some(Looked { key, encoded, view, size: prepared.size, input: prepared.input });
        Ok((1 + tiles.map_or(0, |tiles| tiles * tiles)) as f64 * vlm.tower.picture())
    }

    fn answer(
        &mut self,
        run: &Run<'_>,
        question: &Question,
        expanded: &[i64],
        low: &Tensor,
        trace: &mut Trace,
        observer: &dyn AskObserver,
    ) -> Result<Answer, AskError> {
        let (vlm, settings) = (run.vlm, run.settings);
        let began = Instant::now();
        observer.stage("Reading the question", vlm.decoder.layers);
        // The last token's row is never reused: it reads beside the sequence.
        let common = self.held.iter().zip(expanded).take_while(|(a, b)| a == b).count();
        let reused = common.min(expanded.len() - 1);
        self.held.truncate(reused);
        self.cache.truncate(reused);

        let mut cost = Cost {
            layers: vec![LayerCost::default(); vlm.decoder.layers],
            low_tokens: run.image.len(),
            high_tokens: vlm.high_resolution().map_or(0, |rule| rule.selection.high_grid.pow(2)),
            ..Cost::default()
        };
        let mut state = self.pass(run, Feed::Prompt(expanded, low), observer)?;
        self.held = expanded[..expanded.len() - 1].to_vec();
        cost.prompt_seconds = began.elapsed().as_secs_f64();
        let prompt_tokens = expanded.len();
        add_pass(&mut cost, run, &state, prompt_tokens - reused, reused);

        let mut sampler = Sampler::new(settings.sampling);
        let mut stream = Detokeniser::new(&vlm.tokenizer);
        let room = vlm.context() - prompt_tokens;
        let most = settings.max_tokens.min(room);
        observer.stage("Answering", settings.max_tokens);
        let mut tokens: Vec<Arc<TokenRecord>> = Vec::new();
        let mut logits = Vec::new();
        let mut yes_no = None;
        let decoding = Instant::now();
        let mut seconds = cost.prompt_seconds;
        let mut kept_bytes = 0;
        let ending = loop {
            observer.checkpoint()?;
            let scores = std::mem::take(&mut state.scores);
            if tokens.is_empty() {
                yes_no = run.yes_no(&scores);
            }
            let id = sampler.choose(&scores).map_err(|error| AskError::Model(error.to_string()))?;
            let ends = vlm.stops.contains(&id);
            for record in &state.layers {
                record_trace(trace, run, tokens.len(), record)?;
            }
            kept_bytes += state.head_bytes();
            if kept_bytes > HEAD_BYTES {
                state.layers.iter_mut().for_each(|layer| layer.by_head = None);
            }
            let logprobs = LogProbs::of(&scores);
            let record = Arc::new(TokenRecord {
                id,
                text: if ends { String::new() } else { stream.push(id) },
                logprob: logprobs.of_token(id),
                likeliest: logprobs.likeliest(5).map(|(id, logprob)| (id, vlm.piece(id), logprob)).collect(),
                high_read: state.read.iter().sum(),
                layers: std::mem::take(&mut state.layers),
                seconds,
            });
            if trace.is_collecting() {
                logits.extend_from_slice(&scores);
            }
            observer.token(&record);
            tokens.push(record);
            observer.step(tokens.len());
            if ends {
                break Ending::Complete;
            }
            if observer.stopped() {
                break Ending::Stopped;
            }
            if tokens.len() >= most {
                break if most == room { Ending::ContextFull } else { Ending::TokenLimit };
            }
            let pass = Instant::now();
            state = self.pass(run, Feed::Token(id), observer)?;
            seconds = pass.elapsed().as_secs_f64();
            add_pass(&mut cost, run, &state, 1, prompt_tokens + tokens.len() - 1);
        };
        cost.decoding_seconds = decoding.elapsed().as_secs_f64();
        cost.full = vlm.decoder.of_full(prompt_tokens, reused, cost.passes, cost.high_tokens);
        // What the answer's tokens left in the cache they read beside the sequence for.
        self.cache.truncate(self.held.len());
        let rest = stream.finish();
        if let Some(last) = tokens.last_mut().filter(|_| !rest.is_empty()) {
            Arc::make_mut(last).text.push_str(&rest);
        }
        let vocabulary = if tokens.is_empty() { 0 } else { logits.len() / tokens.len() };
        if trace.is_collecting() {
            let ids = tokens.iter().map(|token| token.id as f32).collect::<Vec<_>>();
            trace.numbers("tokens", ids, &[tokens.len()])?;
            trace.numbers("logits", logits, &[tokens.len(), vocabulary])?;
        }
        let text = tokens.iter().map(|token| token.text.as_str()).collect::<String>();
        Ok(Answer {
            question: question.text.trim().to_owned(),
            text: text.trim().to_owned(),
            tokens,
            ending,
            attention: settings.attention,
            template: vlm.template,
            view: run.view.clone(),
            cost,
            yes_no,
            prompt_tokens,
            reused_tokens: reused,
        })
    }

    /// One pass of the decoder.
    fn pass(&mut self, run: &Run<'_>, feed: Feed<'_>, observer: &dyn AskObserver) -> Result<PassState, AskError> {
        let vlm = run.vlm;
        let language = vlm.llava.language();
        let held = self.cache.len();
        let (embeddings, image) = match feed {
            Feed::Token(id) => {
                let id = Tensor::from_vec(vec![id], (1, 1), &vlm.compute.device)?;
                (language.embed(&id)?, None)
            }
            Feed::Prompt(ids, low) => {
                let (before, rest) = ids.split_at(run.image.start);
                let after = &rest[run.image.len()..];
                let words = |ids: &[i64]| -> candle_core::Result<Option<Tensor>> {
                    if ids.is_empty() {
                        return Ok(None);
                    }
                    let ids = ids.iter().map(|id| u32::try_from(*id).unwrap_or(0)).collect::<Vec<_>>();
                    let count = ids.len();
                    language.embed(&Tensor::from_vec(ids, (1, count), &vlm.compute.device)?).map(Some)
                };
                let parts = [words(before)?, Some(low.clone()), words(after)?];
                let all = Tensor::cat(&parts.into_iter().flatten().collect::<Vec<_>>(), 1)?;
                let new = all.narrow(1, held, ids.len() - held)?;
                // The picture's rows in this pass, if it is not in the cache already.
                let image = (held <= run.image.start).then(|| run.image.start - held..run.image.end - held);
                (new, image)
            }
        };
        let mut reader = Reader { run, sinks: &self.sinks, next: None, reading: None, state: PassState::default() };
        let watcher = SinkWatcher { observer, image, found: RefCell::new(Vec::new()) };
        let beside = self.high.as_mut().map(|(_, high)| high);
        let states = language.decode_reading(&embeddings, &mut self.cache, &mut reader, beside, &watcher)?;
        let mut state = reader.state;
        let found = watcher.found.into_inner();
        if !found.is_empty() {
            for (layer, sinks) in state.layers.iter_mut().zip(&found) {
                layer.sinks.clone_from(sinks);
            }
            self.sinks = found;
        }
        state.scores = language.last_logits(&states)?.squeeze(0)?.to_vec1::<f32>()?;
        Ok(state)
    }
}

/// What a pass is fed with.
#[derive(Clone, Copy)]
enum Feed<'a> {
    /// The prompt, the picture's places as [`PICTURE`], and the picture's low-resolution tokens.
    Prompt(&'a [i64], &'a Tensor),
    /// One more token.
    Token(u32),
}

/// What stays the same over an answer.
struct Run<'a> {
    vlm: &'a Vlm,
    settings: &'a AskSettings,
    /// The picture's places in the sequence.
    image: Range<usize>,
    view: PictureView,
    padding: PaddingStrips,
    /// Cells that must not be read.
    forbidden: Option<Cells>,
}

impl Run<'_> {
    /// The rule with the person's threshold.
    fn rule(&self) -> Option<SelectionRule> {
        let rule = &self.vlm.high_resolution()?.selection;
        Some(SelectionRule { threshold: self.settings.threshold.unwrap_or(rule.threshold), ..rule.clone() })
    }

    fn yes_no(&self, scores: &[f32]) -> Option<YesNo> {
        let (yes, no) = self.vlm.yes_no.as_ref()?;
        let logprobs = LogProbs::of(scores);
        let sum = |ids: &[u32]| ids.iter().map(|id| logprobs.of_token(*id).exp()).sum();
        Some(YesNo { yes: sum(yes), no: sum(no) })
    }
}

/// What a pass leaves behind.
#[derive(Default)]
struct PassState {
    scores: Vec<f32>,
    layers: Vec<LayerRecord>,
    /// High-resolution tokens read and projected, by layer.
    read: Vec<usize>,
    projected: Vec<usize>,
}

impl PassState {
    fn head_bytes(&self) -> usize {
        self.layers.iter().filter_map(|layer| layer.by_head.as_ref()).map(|heads| 2 * heads.len()).sum()
    }
}

/// Decides layer by layer what the last row reads.
struct Reader<'a> {
    run: &'a Run<'a>,
    sinks: &'a [Vec<u32>],
    /// What the layer below selected.
    next: Option<Cells>,
    /// What this layer reads.
    reading: Option<Cells>,
    state: PassState,
}

impl Reader<'_> {
    /// A seed of its own for a layer of this pass.
    fn drawn(&self, seed: u64, layer: usize) -> u64 {
        seed.wrapping_mul(1 << 10).wrapping_add(layer as u64)
    }
}

impl Reading for Reader<'_> {
    fn cells(&mut self, layer: usize) -> Option<Vec<usize>> {
        let rule = self.run.vlm.high_resolution()?;
        let reads = layer > rule.selection_layer;
        let selected = self.next.take();
        self.reading = match self.run.settings.attention {
            AttentionMode::Flex if reads => {
                let seed = self.run.settings.scattered;
                selected.map(|cells| seed.map_or(cells.clone(), |seed| cells.scattered(self.drawn(seed, layer))))
            }
            AttentionMode::Full if reads => Some(Cells::filled(rule.selection.cells, true)),
            _ => None,
        };
        let cells = self.reading.as_mut()?;
        if let Some(forbidden) = &self.run.forbidden {
            cells.on.iter_mut().zip(&forbidden.on).for_each(|(on, forbidden)| *on &= !forbidden);
        }
        Some(cells.on.iter().enumerate().filter(|(_, on)| **on).map(|(index, _)| index).collect())
    }

    fn looked(&mut self, layer: usize, row: LastRow) -> candle_core::Result<()> {
        let image = &self.run.image;
        let patches = image.len();
        let tokens = row.plain.len() / row.heads.max(1);
        if image.end > tokens {
            candle_core::bail!("the picture's places are not in the sequence");
        }
        let mut attention = vec![0.0; patches];
        let mut by_head = Vec::with_capacity(row.heads * patches);
        let mut shares = Shares::default();
        for (plain, beside) in row.plain.chunks_exact(tokens).zip(&row.beside) {
            let there = &plain[image.clone()];
            attention.iter_mut().zip(there).for_each(|(sum, value)| *sum += value);
            by_head.extend(there.iter().map(|value| f16::from_f32(*value)));
            let low = there.iter().sum::<f32>();
            let first = if image.start > 0 { plain[0] } else { 0.0 };
            shares.low += low * (1.0 - beside);
            shares.first += first * (1.0 - beside);
            shares.words += (1.0 - low - first).max(0.0) * (1.0 - beside);
            shares.high += beside;
        }
        let heads = row.heads.max(1) as f32;
        for share in [&mut shares.low, &mut shares.first, &mut shares.words, &mut shares.high] {
            *share /= heads;
        }
        let rule = self
            .run
            .vlm
            .high_resolution()
            .filter(|rule| layer >= rule.selection_layer && self.run.settings.attention != AttentionMode::Low);
        let selected = rule.and_then(|_| self.run.rule()).map(|rule| rule.select(&attention, self.run.padding));
        self.next.clone_from(&selected);
        self.state.read.push(row.tokens.len());
        self.state.projected.push(row.projected);
        self.state.layers.push(LayerRecord {
            layer,
            attention,
            heads: row.heads,
            by_head: Some(by_head.into()),
            read: self.reading.take(),
            read_attention: row.tokens,
            selected,
            shares,
            sinks: self.sinks.get(layer).cloned().unwrap_or_default(),
        });
        Ok(())
    }
}

/// Hands checkpoints on, counts layers, and finds patches whose states stand out (spec 6.1, VisAttnSink).
struct SinkWatcher<'a> {
    observer: &'a dyn AskObserver,
    image: Option<Range<usize>>,
    found: RefCell<Vec<Vec<u32>>>,
}

impl Watcher for SinkWatcher<'_> {
    fn checkpoint(&self) -> candle_core::Result<()> {
        self.observer.checkpoint()
    }

    fn wants(&self, name: &str) -> bool {
        self.image.is_some() && name.ends_with(".input")
    }

    fn tensor(&self, _name: &str, states: &Tensor) {
        let Some(image) = &self.image else { return };
        let mut found = self.found.borrow_mut();
        found.push(sinks(states, image).unwrap_or_default());
        self.observer.step(found.len());
    }
}

/// The rows of `image` in states `[1, n, hidden]` that one channel dominates.
///
/// In LLaMA-2 sinks are known by two channels, where the normalised state exceeds 20 (7B: 1415 and 2533, 13B: 2100 and
/// 4743). Other models have other channels: there a row counts when one channel holds a quarter of its energy and it stands
/// out threefold among the picture's rows.
fn sinks(states: &Tensor, image: &Range<usize>) -> candle_core::Result<Vec<u32>> {
    let rows = states.narrow(1, image.start, image.len())?.squeeze(0)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let width = rows.first().map_or(0, Vec::len);
    let known: Option<[usize; 2]> = match width {
        4096 => Some([1415, 2533]),
        5120 => Some([2100, 4743]),
        _ => None,
    };
    let peak = |row: &Vec<f32>| {
        let rms = (row.iter().map(|x| x * x).sum::<f32>() / width.max(1) as f32).sqrt().max(1e-6);
        let largest = match known {
            Some(channels) => channels.iter().map(|channel| row[*channel].abs()).fold(0.0, f32::max),
            None => row.iter().map(|x| x.abs()).fold(0.0, f32::max),
        };
        largest / rms
    };
    let peaks = rows.iter().map(peak).collect::<Vec<_>>();
    let mut sorted = peaks.clone();
    sorted.sort_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let least = if known.is_some() { 20.0 } else { (0.5 * (width as f32).sqrt()).max(3.0 * median) };
    Ok((0..peaks.len()).filter(|index| peaks[*index] > least).map(|index| index as u32).collect())
}

/// A prompt with the picture's place repeated once for each of its tokens.
fn expand(prompt: &[i64], patches: usize) -> Vec<i64> {
    prompt.iter().flat_map(|id| std::iter::repeat_n(*id, if *id == PICTURE { patches } else { 1 })).collect()
}

/// The padding strips of a picture of that size; none where nothing is padded.
fn padding(vlm: &Vlm, size: (u32, u32)) -> PaddingStrips {
    match vlm.preprocessing.squaring {
        super::dual_resolution::Squaring::Pad => PaddingStrips::of(size, vlm.preprocessing.low_grid),
        super::dual_resolution::Squaring::CentreCrop => PaddingStrips::default(),
    }
}

/// The cells that a region touches, where it is not to be read at high resolution.
fn forbidden(region: &RegionUse, view: &PictureView) -> Option<Cells> {
    let RegionUse::Unread(region) = region else { return None };
    let mut cells = Cells::filled(view.cells, false);
    for (x, y, pixel) in region.mask().enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 127) {
        let _ = pixel;
        let Some(token) = view.grid_index(view.high_grid.max(1), x as f32 + 0.5, y as f32 + 0.5) else { continue };
        let cell = |at: usize| (at * view.cells / view.high_grid.max(1)).min(view.cells.saturating_sub(1));
        let index = cell(token / view.high_grid.max(1)) * view.cells + cell(token % view.high_grid.max(1));
        if let Some(on) = cells.on.get_mut(index) {
            *on = true;
        }
    }
    Some(cells)
}

/// The high-resolution tokens with their rotary tables, for a picture that begins at place `first` of the sequence.
fn high_resolution(
    vlm: &Vlm,
    features: &Tensor,
    first: usize,
    rule: &SelectionRule,
) -> Result<HighResolution, AskError> {
    let frequencies = vlm.llava.language().config().frequencies()?;
    let (cos, sin) = interpolated_tables(&frequencies, first, rule.low_grid, rule.high_grid)?;
    let shape = (rule.high_grid.pow(2), frequencies.inverse.len());
    let table = |values: Vec<f32>| Tensor::from_vec(values, shape, features.device())?.to_dtype(features.dtype());
    Ok(HighResolution::new(features, (&table(cos)?, &table(sin)?), &rule.tokens_by_cell())?)
}

/// What a picture and the region that counts are known by: equal where a conversation about one may go on with the other.
#[must_use]
pub fn fingerprint(picture: &RgbImage, region: &RegionUse) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(picture.width().to_le_bytes());
    hash.update(picture.height().to_le_bytes());
    hash.update(picture.as_raw());
    let (kind, region) = match region {
        // The pixels are the same; only what is read of them is not.
        RegionUse::Everything | RegionUse::Unread(_) => (0, None),
        RegionUse::Without(region) => (1, Some(region)),
        RegionUse::Only(region) => (2, Some(region)),
    };
    hash.update([kind]);
    if let Some(region) = region {
        hash.update(region.mask().as_raw());
    }
    hash.finalize().into()
}

/// Counts a pass of `n` tokens that follow `held` others.
fn add_pass(cost: &mut Cost, run: &Run<'_>, state: &PassState, n: usize, held: usize) {
    let shape = &run.vlm.decoder;
    for (index, layer) in cost.layers.iter_mut().enumerate() {
        let (read, projected) = (state.read.get(index).copied(), state.projected.get(index).copied());
        let (read, projected) = (read.unwrap_or(0), projected.unwrap_or(0));
        layer.operations += shape.layer(n, held) + shape.projection(projected) + shape.reading(read);
        layer.projected += projected;
        layer.read += read;
    }
    cost.output += shape.output();
    cost.passes += 1;
}

/// Writes down where a layer looked when token `index` was chosen.
fn record_trace(trace: &mut Trace, run: &Run<'_>, index: usize, record: &LayerRecord) -> Result<(), AskError> {
    if !trace.is_collecting() {
        return Ok(());
    }
    let grid = run.view.low_grid;
    let layer = record.layer;
    trace.numbers(format!("attention.{index}.{layer}"), record.attention.clone(), &[grid, grid])?;
    if let (Some(cells), Some(rule)) = (&record.selected, run.rule()) {
        let side = rule.high_grid;
        trace.numbers(format!("selection.{index}.{layer}"), rule.mask(cells), &[side, side])?;
    }
    Ok(())
}

/// Log-probabilities of next tokens at temperature 1.
struct LogProbs<'a> {
    scores: &'a [f32],
    /// Logarithm of the sum of all odds.
    total: f64,
}

impl<'a> LogProbs<'a> {
    fn of(scores: &'a [f32]) -> Self {
        let largest = scores.iter().copied().filter(|score| score.is_finite()).fold(f32::NEG_INFINITY, f32::max);
        let odds = scores.iter().filter(|score| score.is_finite()).map(|score| f64::from(score - largest).exp());
        Self { scores, total: f64::from(largest) + odds.sum::<f64>().ln() }
    }

    fn of_token(&self, id: u32) -> f32 {
        self.scores.get(id as usize).map_or(f32::NEG_INFINITY, |score| (f64::from(*score) - self.total) as f32)
    }

    /// The `count` likeliest, best first.
    fn likeliest(&self, count: usize) -> impl Iterator<Item = (u32, f32)> + use<'_, 'a> {
        let mut best: Vec<u32> = Vec::with_capacity(count + 1);
        for (id, score) in self.scores.iter().enumerate().filter(|(_, score)| score.is_finite()) {
            let place = best.iter().position(|other| *score > self.scores[*other as usize]).unwrap_or(best.len());
            if place < count {
                best.insert(place, id as u32);
                best.truncate(count);
            }
        }
        best.into_iter().map(|id| (id, self.of_token(id)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn log_probabilities_sum_to_one_and_the_likeliest_come_first() {
        let scores = [0.5, 3.0, f32::NAN, -1.0, 3.0];
        let logprobs = LogProbs::of(&scores);
        let sum = [0, 1, 3, 4].map(|id| logprobs.of_token(id).exp()).iter().sum::<f32>();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(logprobs.likeliest(3).map(|(id, _)| id).collect::<Vec<_>>(), [1, 4, 0]);
    }

    #[test]
    fn rows_that_one_channel_dominates_are_sinks() {
        let mut states = (0..8 * 64).map(|i| (i as f32 * 0.77).sin()).collect::<Vec<_>>();
        states[3 * 64 + 9] = 300.0;
        let states = Tensor::from_vec(states, (1, 8, 64), &Device::Cpu).unwrap();
        assert_eq!(sinks(&states, &(2..7)).unwrap(), [1]);
        assert!(sinks(&states, &(4..8)).unwrap().is_empty());
    }

    #[test]
    fn the_picture_takes_its_places() {
        assert_eq!(expand(&[1, 7, PICTURE, 9], 3), [1, 7, PICTURE, PICTURE, PICTURE, 9]);
    }
}
