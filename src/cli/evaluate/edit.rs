//! `glassbox evaluate edit`: how close an editor comes to the truth on rendered scenes that no training has seen.
//!
//! **Gain** = 1 − MSE(result, truth) / MSE(input, truth): 1 is the truth, 0 no better than doing nothing. **Drift** = PSNR
//! between result and source over the pixels that should not change, beside the same for the autoencoder alone.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;
use image::RgbImage;
use serde_json::json;

use super::super::progress::Foreground;
use crate::edit::pipeline::EditOutcome;
use crate::edit::request::{EditRequest, EditSettings, Specific};
use crate::engine::jobs::edit::{EditJob, EditorChoice};
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::store::Store;
use crate::picture::Picture;
use crate::world::evaluation::{Case, FIRST_SEED, Request, evaluation_case};

/// The evaluation of an editor.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvaluateEdit {
    /// How many unseen scenes.
    #[arg(long, default_value_t = 200, value_name = "N")]
    scenes: u64,
    /// The first scene, counted from the first that is held out.
    #[arg(long, default_value_t = 0, value_name = "N")]
    from: u64,
    /// A pack, a model, or a folder in diffusers layout.
    #[arg(long, default_value = "starter", value_name = "NAME|DIR")]
    pack: String,
    /// Side of the square scenes, in pixels; also the size the model works at.
    #[arg(long, default_value_t = 256, value_name = "PIXELS")]
    size: u32,
    /// Denoising steps; the model's default if absent.
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// The measurements of one kind of edit.
#[derive(Debug, Default)]
struct Kind {
    gain: Vec<f64>,
    drift: Vec<f64>,
    /// The drift of encoding and decoding the source without any edit.
    autoencoder: Vec<f64>,
}

impl Kind {
    fn add(&mut self, case: &Case, request: &Request, outcome: &EditOutcome) {
        self.gain.extend(gain(&case.source.rgb, &outcome.picture, &request.truth.rgb));
        self.drift.extend(drift(&case.source.rgb, &outcome.picture, &request.changed));
        if let Some(reconstructed) =
            outcome.reconstructed.as_ref().filter(|_| outcome.plan.working == outcome.plan.source)
        {
            self.autoencoder.extend(drift(&case.source.rgb, reconstructed, &request.changed));
        }
    }
}

/// Runs `glassbox evaluate edit …`.
///
/// # Errors
/// If the editor is missing or fails.
pub(super) fn run(args: &EvaluateEdit) -> Result<()> {
    let store = Store::open()?;
    let (editor, defaults) = EditorChoice::find(&store, &args.pack, DeviceChoice::Auto, Precision::Auto)?;
    let mut settings = defaults.as_ref().map_or_else(|| Ok(EditSettings::default()), EditSettings::of_model)?;
    settings.steps = args.steps.unwrap_or(settings.steps);
    settings.size = Some(crate::picture::resize::SizeRequest::LongerSide(args.size));
    let foreground = Foreground::start(true)?;
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    for scene in args.from..args.from + args.scenes {
        let case = evaluation_case(FIRST_SEED + scene, args.size as usize, args.size as usize);
        let source = picture(&case.source).context("a rendered scene has pixels")?;
        for request in &case.requests {
            for (kind, specifics) in ways(request) {
                let job = EditJob::new(edit(&source, &case, request, specifics, &settings), editor.clone());
                let outcome = foreground.run(job)?.outcome;
                kinds.entry(kind).or_default().add(&case, request, &outcome);
            }
        }
        writeln!(std::io::stderr(), "{} of {} scenes", scene + 1 - args.from, args.scenes)?;
    }
    report(args, &settings, &kinds)
}

/// The ways a request is run: a wish plainly and with its specifics, any other edit plainly.
fn ways(request: &Request) -> Vec<(&'static str, &[String])> {
    if request.specifics.is_empty() {
        vec![(request.kind, &[])]
    } else {
        vec![("wish, plain", &[]), ("wish, SANE", &request.specifics)]
    }
}

fn edit(source: &RgbImage, case: &Case, request: &Request, specifics: &[String], like: &EditSettings) -> EditRequest {
    let mut settings = EditSettings { seed: case.seed, plain: specifics.is_empty(), ..like.clone() };
    if specifics.is_empty() {
        // The plain editor gets the whole text budget, so that both are pushed equally far.
        let (text, specific) = settings.text_scales(true);
        settings.guidance = text + specific;
    }
    EditRequest {
        picture: Picture::from_rgb("scene", source.clone()),
        instruction: request.text.clone(),
        caption: case.caption.clone(),
        specifics: specifics.iter().map(Specific::new).collect(),
        settings,
    }
}

fn picture(rendered: &crate::world::render::Picture) -> Option<RgbImage> {
    RgbImage::from_raw(rendered.width as u32, rendered.height as u32, rendered.rgb.clone())
}

fn mean_square(a: &[u8], b: &[u8]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    sum / a.len().max(1) as f64
}

/// `None` where the truth is the source itself.
fn gain(source: &[u8], result: &RgbImage, truth: &[u8]) -> Option<f64> {
    let distance = mean_square(source, truth);
    (distance > 0.0).then(|| 1.0 - mean_square(result.as_raw(), truth) / distance)
}

/// PSNR in dB over the pixels that should not change; `None` where all of them should.
fn drift(source: &[u8], result: &RgbImage, changed: &[bool]) -> Option<f64> {
    let kept = || changed.iter().enumerate().filter(|(_, changed)| !**changed).map(|(at, _)| at * 3..at * 3 + 3);
    let gather = |pixels: &[u8]| kept().flat_map(|range| pixels[range].to_vec()).collect::<Vec<u8>>();
    let (before, after) = (gather(source), gather(result.as_raw()));
    (!before.is_empty()).then(|| 20.0 * 255_f64.log10() - 10.0 * mean_square(&before, &after).max(1e-6).log10())
}

/// The value below which `share` of the values lie, between neighbours by their distance; `None` of nothing.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len().checked_sub(1)? as f64 * share;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

fn report(args: &EvaluateEdit, settings: &EditSettings, kinds: &BTreeMap<&'static str, Kind>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let rows = kinds.iter().map(|(kind, measured)| {
            json!({
                "kind": kind, "pairs": measured.gain.len(),
                "gain": ([0.25, 0.5, 0.75].map(|share| quantile(&measured.gain, share))),
                "drift": quantile(&measured.drift, 0.5),
                "autoencoder_drift": quantile(&measured.autoencoder, 0.5),
            })
        });
        let head = json!({ "scenes": args.scenes, "from": args.from, "size": args.size, "settings": settings });
        writeln!(out, "{}", json!({ "run": head, "kinds": rows.collect::<Vec<_>>() }))?;
        return Ok(());
    }
    writeln!(
        out,
        "{} scenes of {} pixels, {} steps\n\n{:<12} {:>5}  {:>11}  {:>14}  {:>9}  {:>11}",
        args.scenes, args.size, settings.steps, "kind", "pairs", "median gain", "quartiles", "drift, dB", "autoencoder"
    )?;
    let show = |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    for (kind, measured) in kinds {
        let at = |share| show(quantile(&measured.gain, share), 2);
        writeln!(
            out,
            "{kind:<12} {:>5}  {:>11}  {:>14}  {:>9}  {:>11}",
            measured.gain.len(),
            at(0.5),
            format!("{} … {}", at(0.25), at(0.75)),
            show(quantile(&measured.drift, 0.5), 1),
            show(quantile(&measured.autoencoder, 0.5), 1),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_gains_one_and_doing_nothing_gains_nothing() {
        let (source, truth) = (vec![10_u8; 12], vec![50_u8; 12]);
        let as_picture = |bytes: &[u8]| RgbImage::from_raw(2, 2, bytes.to_vec()).unwrap();
        assert_eq!(gain(&source, &as_picture(&truth), &truth), Some(1.0));
        assert_eq!(gain(&source, &as_picture(&source), &truth), Some(0.0));
        assert_eq!(gain(&source, &as_picture(&[30; 12]), &truth), Some(0.75));
        assert_eq!(gain(&source, &as_picture(&source), &source), None);
    }

    #[test]
    fn drift_looks_only_where_nothing_should_change() {
        let source = [100_u8; 12];
        let mut bytes = source;
        bytes[..3].fill(255);
        let result = RgbImage::from_raw(2, 2, bytes.to_vec()).unwrap();
        assert!(drift(&source, &result, &[true, false, false, false]).unwrap() > 90.0);
        assert!(drift(&source, &result, &[false; 4]).unwrap() < 12.0);
        assert_eq!(drift(&source, &result, &[true; 4]), None);
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[4.0, 1.0, 2.0, 3.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), Some(2.0));
        assert_eq!(quantile(&[7.0], 0.75), Some(7.0));
    }
}
