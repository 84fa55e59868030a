//! `glassbox evaluate ask`: how often a model answers questions about rendered scenes that no training has seen, by how
//! much of the picture it reads.
//!
//! Four ways: the low-resolution tokens alone, with the selected high-resolution cells, with as many cells at random, with
//! all of them. An answer is right when it is the world's, whatever the case of its letters. **Small details** are
//! questions decided by something of less than a sixteenth of the picture's side; of a sign, that is the height of its
//! letters. Questions about one picture share its encoding and keys, so operations here (JSON only) leave those out;
//! `glassbox ask` counts a question alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use image::RgbImage;
use serde_json::json;

use super::super::progress::Foreground;
use super::super::word;
use crate::ask::model::WeightBits;
use crate::ask::record::Answer;
use crate::ask::settings::{AskSettings, AttentionMode};
use crate::engine::jobs::ask::{AskChoice, AskJob};
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::store::Store;
use crate::world::evaluation::FIRST_SEED;
use crate::world::questions::{Question, sheets};

/// A detail below this share of the picture's side is small.
const SMALL: f32 = 1.0 / 16.0;

/// The evaluation of a model that answers questions.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvaluateAsk {
    /// How many unseen scenes; each is shown twice, before and after some edits.
    #[arg(long, default_value_t = 50, value_name = "N")]
    scenes: u64,
    /// The first scene, counted from the first that is held out.
    #[arg(long, default_value_t = 0, value_name = "N")]
    from: u64,
    /// A pack, a model, or a folder in a LLaVA layout.
    #[arg(long, default_value = "starter", value_name = "NAME|DIR")]
    model: String,
    /// Side of the square scenes, in pixels.
    #[arg(long, default_value_t = 320, value_name = "PIXELS")]
    size: u32,
    /// How the decoder's weights are kept: full, 8 or 4 bits.
    #[arg(long, default_value = "full", value_name = "BITS", value_parser = word::<WeightBits>)]
    weights: WeightBits,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// The ways of reading, cheapest first.
const WAYS: [&str; 4] = ["low", "flex", "random", "full"];

fn settings(way: &str, seed: u64) -> AskSettings {
    let attention = match way {
        "low" => AttentionMode::Low,
        "full" => AttentionMode::Full,
        _ => AttentionMode::Flex,
    };
    let scattered = (way == "random").then_some(seed);
    AskSettings { attention, scattered, max_tokens: 8, ..AskSettings::default() }
}

/// What is measured of one way of reading.
#[derive(Clone, Debug, Default)]
struct Tally {
    right: usize,
    asked: usize,
    /// Sums over questions: the decoder's operations against reading everything, and the share of tokens read.
    operations: f64,
    read: f64,
}

impl Tally {
    fn add(&mut self, answer: &Answer, right: bool) {
        self.right += usize::from(right);
        self.asked += 1;
        self.operations += answer.cost.share_of_full();
        self.read += answer.cost.mean_high_read() / answer.cost.high_tokens.max(1) as f64;
    }

    fn accuracy(&self) -> f64 {
        100.0 * self.right as f64 / self.asked.max(1) as f64
    }
}

/// Whether the model said what is true.
fn is_right(said: &str, truth: &str) -> bool {
    said.trim().trim_end_matches('.').eq_ignore_ascii_case(truth)
}

/// The rows of the table that a question counts in.
fn rows(question: &Question, size: u32) -> Vec<&'static str> {
    let small = question.detail < SMALL * size as f32;
    let size_row = if small { "small details" } else { "large details" };
    vec!["all", size_row, question.kind.name()]
}

/// Runs `glassbox evaluate ask …`.
///
/// # Errors
/// If the model is missing or fails.
pub(super) fn run(args: &EvaluateAsk) -> Result<()> {
    let store = Store::open()?;
    let model = AskChoice::find(&store, &args.model, DeviceChoice::Auto, Precision::Auto, args.weights)?;
    let foreground = Foreground::start(true)?;
    let mut table: BTreeMap<&'static str, [Tally; WAYS.len()]> = BTreeMap::new();
    let mut seconds: Vec<f64> = Vec::new();
    for scene in args.from..args.from + args.scenes {
        for sheet in sheets(FIRST_SEED + scene, args.size as usize) {
            let (width, height) = (sheet.picture.width as u32, sheet.picture.height as u32);
            let picture =
                RgbImage::from_raw(width, height, sheet.picture.rgb).context("a rendered scene has pixels")?;
            let picture = Arc::new(picture);
            for question in &sheet.questions {
                let Some(text) = question.texts.first() else { continue };
                // The way that reads everything encodes the picture; the others share that.
                for (way, name) in WAYS.iter().enumerate().rev() {
                    let mut job = AskJob::new(Arc::clone(&picture), model.clone(), text.clone());
                    job.settings = settings(name, FIRST_SEED + scene);
                    let answer = foreground.run(job)?.answer;
                    let right = is_right(&answer.text, &question.answer);
                    if *name == "flex" {
                        seconds.push(answer.cost.prompt_seconds);
                    }
                    for row in rows(question, args.size) {
                        table.entry(row).or_default()[way].add(&answer, right);
                    }
                }
            }
        }
        writeln!(std::io::stderr(), "{} of {} scenes", scene + 1 - args.from, args.scenes)?;
    }
    seconds.sort_by(f64::total_cmp);
    report(args, &table, seconds.get(seconds.len() / 2).copied().unwrap_or(0.0))
}

fn report(args: &EvaluateAsk, table: &BTreeMap<&'static str, [Tally; WAYS.len()]>, seconds: f64) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows = table.iter().map(|(row, tallies)| {
            let ways = WAYS.iter().zip(tallies).map(|(way, tally)| {
                let n = tally.asked.max(1) as f64;
                let measured =
                    json!({"accuracy": tally.accuracy(), "operations_beyond_shared": tally.operations / n, "read": tally.read / n});
                ((*way).to_owned(), measured)
            });
            let ways: serde_json::Map<String, serde_json::Value> = ways.collect();
            json!({"row": row, "questions": tallies[0].asked, "ways": ways})
        });
        let run = json!({"scenes": args.scenes, "from": args.from, "size": args.size, "prompt_seconds": seconds});
        writeln!(out, "{}", json!({"run": run, "rows": rows.collect::<Vec<_>>()}))?;
        return Ok(());
    }
    writeln!(
        out,
        "{} scenes of {} pixels; right answers in per cent\n\n{:<14} {:>9} {:>7} {:>7} {:>7} {:>7}",
        args.scenes, args.size, "questions", "asked", WAYS[0], WAYS[1], WAYS[2], WAYS[3]
    )?;
    for (row, tallies) in table {
        let shown: Vec<String> = tallies.iter().map(|tally| format!("{:>7.1}", tally.accuracy())).collect();
        writeln!(out, "{row:<14} {:>9} {}", tallies[0].asked, shown.join(" "))?;
    }
    if let Some(all) = table.get("all") {
        let mean = |f: fn(&Tally) -> f64| {
            all.iter()
                .map(|tally| format!("{:>7.3}", f(tally) / tally.asked.max(1) as f64))
                .collect::<Vec<_>>()
                .join(" ")
        };
        writeln!(out, "{:<14} {:>9} {}", "tokens read", "", mean(|tally| tally.read))?;
        writeln!(out, "\nmedian {seconds:.3} s from question to first word, the picture being encoded")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::language::questions::Kind;

    #[test]
    fn case_and_a_full_stop_do_not_matter_but_words_do() {
        assert!(is_right(" Cafe.", "CAFE") && is_right("yes", "yes"));
        assert!(!is_right("CAFE BAR", "CAFE") && !is_right("", "no"));
    }

    #[test]
    fn a_question_counts_by_kind_and_by_the_size_of_its_detail() {
        let mut question =
            Question { kind: Kind::Word, texts: Vec::new(), answer: "INN".into(), boxes: Vec::new(), detail: 12.0 };
        assert_eq!(rows(&question, 320), ["all", "small details", "word"]);
        question.detail = 20.0;
        assert_eq!(rows(&question, 320), ["all", "large details", "word"]);
        assert_eq!(rows(&question, 640), ["all", "small details", "word"]);
    }

    #[test]
    fn only_the_random_way_scatters() {
        assert_eq!(settings("low", 3).attention, AttentionMode::Low);
        assert_eq!(settings("random", 3).scattered, Some(3));
        assert_eq!((settings("flex", 3).scattered, settings("full", 3).scattered), (None, None));
    }
}
