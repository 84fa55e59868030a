//! `glassbox ask`: a question about a picture, the regions its answer was read from, and what that cost.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use image::DynamicImage;
use serde_json::{Value, json};

use super::progress::Foreground;
use super::word;
use crate::ask::conversation::Turn;
use crate::ask::heatmap::{AnswerMap, MapKind, MapRange};
use crate::ask::model::WeightBits;
use crate::ask::record::{Answer, Cells, Ending};
use crate::ask::settings::{AskSettings, AttentionMode, DEFAULT_MAX_TOKENS, RegionUse, Template};
use crate::engine::jobs::ask::{AskChoice, AskJob, AskResult};
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::store::Store;
use crate::picture::Picture;
use crate::picture::decode::{DecodeLimits, open};
use crate::picture::encode::Format;
use crate::picture::region::Region;
use crate::text::sampling::Sampling;

/// Ask a question about a picture.
#[derive(Debug, Args)]
pub(super) struct AskArgs {
    /// The picture.
    image: PathBuf,
    /// What you want to know. Several questions make one conversation about the picture.
    #[arg(required = true, value_name = "QUESTION")]
    questions: Vec<String>,
    /// Writes the picture with the regions read at high resolution (of a model without a second resolution: the attention
    /// on its patches), for the last answer.
    #[arg(long, value_name = "OUT.png")]
    heatmap: Option<PathBuf>,
    /// How much is read: low (the small picture alone), flex (selected regions at high resolution too) or full (all).
    #[arg(long, default_value = "flex", value_name = "HOW", value_parser = word::<AttentionMode>)]
    attention: AttentionMode,
    /// The words around question and answer: vicuna_v1, llava_v1 or plain; else the model's own.
    #[arg(long, value_name = "NAME", value_parser = word::<Template>)]
    template: Option<Template>,
    /// The most tokens of an answer.
    #[arg(long, default_value_t = DEFAULT_MAX_TOKENS, value_name = "N")]
    max_tokens: usize,
    /// 0 always takes the likeliest word; 1 follows the model's own probabilities.
    #[arg(long, default_value_t = 0.0, value_name = "X")]
    temperature: f64,
    /// Only the likeliest words that together have this probability may be taken.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    top_p: f64,
    /// Of the random choice of words.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Low-resolution patches above this share of the strongest, 0 to 255, are read at high resolution; else the model's own.
    #[arg(long, value_name = "X")]
    threshold: Option<f32>,
    /// Hides the light parts of a mask picture before anything is looked at.
    #[arg(long, value_name = "MASK.png", conflicts_with_all = ["unread", "only"])]
    without: Option<PathBuf>,
    /// Reads nothing at high resolution where a mask picture is light.
    #[arg(long, value_name = "MASK.png", conflicts_with = "only")]
    unread: Option<PathBuf>,
    /// Cuts out and enlarges the box around the light parts of a mask picture, and looks at nothing else.
    #[arg(long, value_name = "MASK.png")]
    only: Option<PathBuf>,
    /// A pack, a model, or a folder in LLaVA layout, with or without FlexAttention's projections.
    #[arg(long, default_value = "starter", value_name = "NAME|DIR")]
    pack: String,
    /// How the decoder's weights are kept: full, 8 or 4 bits.
    #[arg(long, default_value = "full", value_name = "BITS", value_parser = word::<WeightBits>)]
    weights: WeightBits,
    /// auto, cpu, cuda or metal.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = word::<DeviceChoice>)]
    device: DeviceChoice,
    /// auto, f32, f16 or bf16.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = word::<Precision>)]
    precision: Precision,
    /// Writes the intermediate tensors of the last answer to this file.
    #[arg(long, value_name = "FILE.safetensors")]
    trace: Option<PathBuf>,
    /// Prints one JSON object an answer, and no progress.
    #[arg(long)]
    json: bool,
}

/// Runs `glassbox ask …`.
///
/// # Errors
/// One sentence: what could not be read, answered or written.
pub(super) fn run(args: &AskArgs) -> Result<()> {
    if let Some(path) = &args.heatmap
        && Format::from_path(path)? != Format::Png
    {
        bail!("a heatmap is written as PNG; give a file name that ends in .png");
    }
    if args.questions.iter().any(|question| question.trim().is_empty()) {
        return Err(crate::ask::AskError::NoQuestion.into());
    }
    let picture = open(&args.image, &DecodeLimits::default())?;
    let settings = AskSettings {
        attention: args.attention,
        sampling: Sampling { temperature: args.temperature, top_p: args.top_p, seed: args.seed },
        max_tokens: args.max_tokens,
        template: args.template,
        region: region(args, &picture)?,
        threshold: args.threshold,
        scattered: None,
    };
    settings.check()?;
    let store = Store::open()?;
    let model = AskChoice::find(&store, &args.pack, args.device, args.precision, args.weights)?;
    let foreground = Foreground::start(args.json)?;
    let mut turns: Vec<Turn> = Vec::new();
    for (index, question) in args.questions.iter().enumerate() {
        let last = index + 1 == args.questions.len();
        let job = AskJob {
            turns: turns.clone(),
            settings: settings.clone(),
            trace: last && args.trace.is_some(),
            ..AskJob::new(picture.rgb.clone(), model.clone(), question)
        };
        let AskResult { answer, trace } = foreground.run(job)?;
        if last {
            if let Some(path) = &args.heatmap {
                write_heatmap(path, &answer, &picture)?;
            }
            if let Some(path) = &args.trace {
                trace.save(path)?;
            }
        }
        let mut out = std::io::stdout().lock();
        if args.json {
            writeln!(out, "{}", in_json(&answer))?;
        } else {
            writeln!(out, "{}", answer.text)?;
            writeln!(std::io::stderr(), "{}", summary(&answer))?;
        }
        turns.push(Turn { question: answer.question.clone(), answer: answer.text.clone() });
    }
    Ok(())
}

/// Which part of the picture counts.
fn region(args: &AskArgs, picture: &Picture) -> Result<RegionUse> {
    let mask = |path: &Path| -> Result<Region> {
        let mask = open(path, &DecodeLimits::default())?;
        let grey = DynamicImage::ImageRgb8(image::RgbImage::clone(&mask.rgb)).to_luma8();
        Ok(Region::from_mask(grey, picture.size()))
    };
    Ok(match (&args.without, &args.unread, &args.only) {
        (Some(path), ..) => RegionUse::Without(mask(path)?),
        (_, Some(path), _) => RegionUse::Unread(mask(path)?),
        (.., Some(path)) => RegionUse::Only(mask(path)?),
        _ => RegionUse::Everything,
    })
}

/// What was read at high resolution; where nothing could be, the attention on the patches.
fn write_heatmap(path: &Path, answer: &Answer, picture: &Picture) -> Result<()> {
    let all = MapRange::default();
    let attention = MapKind::Attention { head: None, without_sinks: false };
    let map = AnswerMap::of(answer, MapKind::Read, &all).or_else(|| AnswerMap::of(answer, attention, &all));
    match map {
        Some(map) => Ok(map.save_png(path, &answer.view, &picture.rgb)?),
        None => bail!("nothing is known of where the answer was read from"),
    }
}

/// One line: what was seen, what was read, what it cost.
fn summary(answer: &Answer) -> String {
    let cost = &answer.cost;
    let mut text = answer.view.resolution();
    if answer.view.high_grid > 0 {
        text.push_str(&format!(", {:.0} of {} tokens read a layer", cost.mean_high_read(), cost.high_tokens));
        text.push_str(&format!(", {:.2} of the operations of reading all", cost.share_of_full()));
    }
    text.push_str(&format!(
        "; {:.2} s to look, {:.2} s to the first word, {:.1} tokens a second",
        cost.encoding_seconds,
        cost.prompt_seconds,
        cost.tokens_per_second()
    ));
    match answer.ending {
        Ending::Complete => {}
        Ending::TokenLimit => text.push_str("; the answer was cut at the limit of tokens"),
        Ending::ContextFull => text.push_str("; the answer was cut because the model takes no more tokens"),
        Ending::Stopped => text.push_str("; stopped"),
    }
    text
}

/// All of an answer but the attention maps.
fn in_json(answer: &Answer) -> Value {
    let cells = |cells: &Option<Cells>| {
        let list = cells.as_ref().map(|cells| cells.on.iter().enumerate().filter(|(_, on)| **on).map(|(i, _)| i));
        list.map(Iterator::collect::<Vec<_>>)
    };
    let tokens = answer.tokens.iter().map(|token| {
        let layers = token.layers.iter().map(|layer| {
            json!({
                "layer": layer.layer,
                "read": cells(&layer.read),
                "selected": cells(&layer.selected),
                "shares": {
                    "first": layer.shares.first, "words": layer.shares.words,
                    "low": layer.shares.low, "high": layer.shares.high
                },
                "sinks": layer.sinks,
            })
        });
        json!({
            "id": token.id, "text": token.text, "logprob": token.logprob, "seconds": token.seconds,
            "high_resolution_tokens_read": token.high_read, "layers": layers.collect::<Vec<_>>(),
        })
    });
    let words = answer.words().into_iter();
    let words = words.map(|word| json!({"text": word.text, "tokens": [word.tokens.start, word.tokens.end]}));
    let (view, cost) = (&answer.view, &answer.cost);
    json!({
        "question": answer.question,
        "answer": answer.text,
        "ending": match answer.ending {
            Ending::Complete => "complete",
            Ending::TokenLimit => "token limit",
            Ending::ContextFull => "context full",
            Ending::Stopped => "stopped",
        },
        "attention": answer.attention.name(),
        "template": answer.template.name(),
        "logprob": answer.logprob(),
        "yes": answer.yes_no.map(|odds| odds.yes),
        "no": answer.yes_no.map(|odds| odds.no),
        "words": words.collect::<Vec<_>>(),
        "tokens": tokens.collect::<Vec<_>>(),
        "view": {
            "source": [view.source.0, view.source.1], "origin": [view.origin.0, view.origin.1], "side": view.side,
            "low_size": view.low_size, "high_size": view.high_size, "low_grid": view.low_grid,
            "high_grid": view.high_grid, "cells": view.cells,
        },
        "cost": {
            "operations": cost.decoder(), "operations_of_full": cost.full, "share_of_full": cost.share_of_full(),
            "encoding_operations": cost.encoding, "mean_tokens_read": cost.mean_high_read(),
            "high_resolution_tokens": cost.high_tokens, "prompt_tokens": answer.prompt_tokens,
            "reused_tokens": answer.reused_tokens, "encoding_seconds": cost.encoding_seconds,
            "prompt_seconds": cost.prompt_seconds, "decoding_seconds": cost.decoding_seconds,
            "tokens_per_second": cost.tokens_per_second(),
        },
    })
}
