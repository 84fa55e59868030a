//! `glassbox lift`: features of photographs put onto the Gaussians of a scene, or one picture made a scene.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use image::{Rgb, RgbImage};
use serde_json::json;

use super::device::DeviceArgs;
use super::progress::Foreground;
use crate::engine::jobs::features::BackboneChoice;
use crate::engine::jobs::splats::SceneChoice;
use crate::engine::jobs::splats::lift::{LiftJob, LiftMethod, Lifted};
use crate::engine::jobs::splats::picture::{DepthChoice, LiftPictureJob, USUAL_COUNT};
use crate::features::extract::ExtractSettings;
use crate::packs::store::Store;
use crate::picture::decode::{DecodeLimits, open};
use crate::picture::encode::{SaveOptions, save};
use crate::picture::resize::SizeRequest;
use crate::splats::fit::{Agreement, FitSettings};
use crate::splats::{Unobserved, io};

/// How features come onto Gaussians.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Method {
    /// The mean of what the photographs show, weighted by what each Gaussian adds to each pixel.
    Mean,
    /// FiT3D's: a few channels a Gaussian and a 3 × 3 decoder, fitted with L1; the decoder is written beside the scene.
    Fit,
}

/// Put the features of photographs onto the Gaussians of a scene.
#[derive(Debug, Args)]
pub(super) struct LiftArgs {
    /// The scene: .ply, .splat or .spz. Features that it has are replaced.
    #[arg(value_name = "SCENE", required_unless_present = "picture")]
    scene: Option<PathBuf>,
    /// The cameras of its photographs: a COLMAP model, transforms.json or cameras.json, or the folder of one.
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "picture")]
    cameras: Option<PathBuf>,
    /// The folder of the photographs.
    #[arg(long, value_name = "DIR", required_unless_present = "picture")]
    images: Option<PathBuf>,
    /// One picture instead of a scene and its photographs: it becomes a scene, by a depth model.
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["scene", "cameras", "images", "held_out", "curve"])]
    picture: Option<PathBuf>,
    /// The depth model of --picture: a pack, a model, a folder or a weight file (Depth-Anything-V2 in either
    /// published layout). Its distances may be relative: then the nearest surface is at 1.
    #[arg(long = "depth", alias = "depth-model", value_name = "NAME|DIR", default_value = "starter")]
    depth_model: String,
    /// The field of view of --picture along its longer side, in degrees.
    #[arg(long, value_name = "DEGREES", default_value_t = 60.0)]
    fov: f64,
    /// The most Gaussians of --picture.
    #[arg(long, value_name = "N", default_value_t = USUAL_COUNT)]
    gaussians: usize,
    /// The backbone that looks at them: a pack, a model, a timm folder, or a FiT3D checkpoint. --picture takes the
    /// starter's if absent.
    #[arg(long, value_name = "NAME|DIR", required_unless_present = "picture")]
    model: Option<String>,
    /// The scene with its features: .ply, or .spz with the features in a file beside it.
    #[arg(short, long, value_name = "OUT.ply")]
    output: PathBuf,
    /// The layer: 1 is the first block, -1 the last.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    layer: i64,
    /// Size the model looks at: the longer side, WxH, or "source"; its own if absent.
    #[arg(long, value_name = "SIZE")]
    size: Option<SizeRequest>,
    /// How the features come onto the Gaussians.
    #[arg(long, value_enum, default_value_t = Method::Mean)]
    method: Method,
    /// Keeps so many principal components of the features instead of all channels; with --method fit the channels of each
    /// Gaussian, 64 if absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    channels: Option<u16>,
    /// Steps of --method fit, one photograph each.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Learning rate of --method fit. FiT3D's is 0.0000625 over 30000 steps; with fewer it is as much larger if absent.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    learning_rate: Option<f64>,
    /// Orders the photographs and draws the decoder's first weights for --method fit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Holds out every so-many-th photograph, and tells how near the scene's features come to what the backbone sees in it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    held_out: usize,
    /// The loss of --method fit over its steps, as a picture.
    #[arg(long, value_name = "OUT.png")]
    curve: Option<PathBuf>,
    #[command(flatten)]
    on: DeviceArgs,
    /// Prints one JSON object, and no progress.
    #[arg(long)]
    json: bool,
}

/// Runs `glassbox lift …`.
///
/// # Errors
/// One sentence: what could not be read, lifted or written.
pub(super) fn run(args: &LiftArgs) -> Result<()> {
    let ending = args.output.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    if !matches!(ending.as_deref(), Some("ply" | "spz")) {
        bail!("{} must end in .ply or .spz to say how to write it", args.output.display());
    }
    let store = Store::open()?;
    let model = args.model.as_deref().unwrap_or("starter");
    let backbone = BackboneChoice::find(&store, model, args.on.device, args.on.precision)?;
    if let Some(picture) = &args.picture {
        return lift_picture(args, picture, &store, backbone);
    }
    let (Some(scene), Some(cameras), Some(images)) = (&args.scene, &args.cameras, &args.images) else {
        bail!("a scene, --cameras and --images are needed, or --picture");
    };
    if !images.is_dir() {
        bail!("there is no folder {}", images.display());
    }
    let found = io::cameras::open(cameras, None)?;
    let mut notes = found.notes;
    let foreground = Foreground::start(args.json)?;
    let lifted = foreground.run(LiftJob {
        scene: SceneChoice { path: scene.clone(), features: None },
        cameras: found.cameras,
        images: images.clone(),
        backbone,
        settings: ExtractSettings { size: args.size, layers: vec![args.layer], ..ExtractSettings::default() },
        channels: args.channels.map(usize::from),
        method: args.method(),
        held: args.held_out,
    })?;
    io::save(&args.output, &lifted.scene, &Unobserved)?;
    let decoder = io::decoder_file(&args.output);
    if let Some(fitted) = &lifted.fitted {
        io::save_decoder(&decoder, &fitted.decoder)?;
        if let Some(path) = &args.curve {
            save(path, &Arc::new(curve_picture(&fitted.curve)), None, &SaveOptions::default())?;
        }
    }
    notes.extend(lifted.notes.iter().cloned());
    let features = lifted.scene.features().context("the scene has no features")?;
    let (all, seen) = (lifted.scene.len(), lifted.seen);
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = json!({
            "output": args.output, "gaussians": all, "seen": seen, "views": lifted.views, "missing": lifted.missing,
            "dim": features.dim, "model": features.model, "held_out": lifted.held,
            "mean_agreement": lifted.mean_agreement, "notes": notes,
            "fit": lifted.fitted.as_ref().map(|fitted| json!({
                "decoder": decoder, "width": fitted.decoder.width, "agreement": fitted.agreement, "loss": fitted.curve,
            })),
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{}: {} features for {seen} of {all} Gaussians, from {} photographs",
        args.output.display(),
        features.dim,
        lifted.views
    )?;
    if let Some(fitted) = &lifted.fitted {
        writeln!(out, "{}: the decoder to {} channels", decoder.display(), fitted.decoder.width)?;
        writeln!(out, "loss: {}", in_tenths(&fitted.curve))?;
    }
    agreements(&mut out, &lifted)?;
    for note in &notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

/// `glassbox lift --picture …`.
fn lift_picture(args: &LiftArgs, path: &Path, store: &Store, backbone: BackboneChoice) -> Result<()> {
    let depth = DepthChoice::find(store, &args.depth_model, args.on.device, args.on.precision)?;
    let picture = open(path, &DecodeLimits::default())?;
    let foreground = Foreground::start(args.json)?;
    let lifted = foreground.run(LiftPictureJob {
        picture: picture.rgb,
        depth,
        backbone: Some(backbone),
        field_of_view: args.fov.to_radians(),
        most: args.gaussians,
    })?;
    io::save(&args.output, &lifted.scene, &Unobserved)?;
    let (count, (near, far)) = (lifted.scene.len(), lifted.range);
    let dim = lifted.scene.features().map_or(0, |features| features.dim);
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = json!({
            "output": args.output, "gaussians": count, "dim": dim, "nearest": near, "farthest": far, "relative": lifted.relative,
            "sky": lifted.sky, "seconds": lifted.seconds,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    let (output, sky, seconds) = (args.output.display(), 100.0 * lifted.sky, lifted.seconds);
    let distances = lifted.distances();
    writeln!(out, "{output}: {count} Gaussians with {dim} features, {distances}, {sky:.0} % sky, {seconds:.1} s")?;
    Ok(())
}

impl LiftArgs {
    fn method(&self) -> LiftMethod {
        match self.method {
            Method::Mean => LiftMethod::Mean,
            Method::Fit => {
                let usual = FitSettings::of_steps(self.steps as usize);
                LiftMethod::Fit(FitSettings {
                    channels: self.channels.map_or(usual.channels, usize::from),
                    rate: self.learning_rate.unwrap_or(usual.rate),
                    seed: self.seed,
                    ..usual
                })
            }
        }
    }
}

/// How near both methods come to the photographs that were held out.
fn agreements(out: &mut impl Write, lifted: &Lifted) -> std::io::Result<()> {
    let fitted = lifted.fitted.as_ref().and_then(|fitted| fitted.agreement);
    for (what, found) in [("mean", lifted.mean_agreement), ("fitted", fitted)] {
        if let Some(Agreement { cosine, l1, pixels }) = found {
            let held = lifted.held;
            writeln!(out, "{held} held out, {what}: cosine {cosine:.4}, L1 {l1:.4} over {pixels} pixels")?;
        }
    }
    Ok(())
}

/// The mean loss of each tenth of the steps.
fn in_tenths(curve: &[f32]) -> String {
    let mean = |part: &[f32]| format!("{:.4}", part.iter().sum::<f32>() / part.len() as f32);
    let tenths: Vec<String> = curve.chunks(curve.len().div_ceil(10).max(1)).map(mean).collect();
    tenths.join(" ")
}

/// The loss over the steps: from zero at the lower edge to the largest at the upper.
fn curve_picture(curve: &[f32]) -> RgbImage {
    let (width, height, edge) = (640u32, 360u32, 20u32);
    let most = curve.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut picture = RgbImage::from_pixel(width, height, Rgb([250; 3]));
    let (across, up) = ((width - 2 * edge) as usize, height - 2 * edge);
    for x in 0..=across as u32 {
        picture.put_pixel(edge + x, height - edge, Rgb([120; 3]));
    }
    for y in 0..=up {
        picture.put_pixel(edge, edge + y, Rgb([120; 3]));
    }
    let mut last: Option<u32> = None;
    for x in 0..across {
        // Several steps of one column are their mean.
        let (from, to) = (x * curve.len() / across, ((x + 1) * curve.len()).div_ceil(across));
        let part = &curve[from..to.min(curve.len()).max(from)];
        if part.is_empty() {
            continue;
        }
        let loss = part.iter().sum::<f32>() / part.len() as f32;
        let y = height - edge - (loss / most * up as f32) as u32;
        let (low, high) = (last.unwrap_or(y).min(y), last.unwrap_or(y).max(y));
        for y in low..=high {
            picture.put_pixel(edge + x as u32, y, Rgb([40, 90, 200]));
        }
        last = Some(y);
    }
    picture
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0 && *rate < 1.0);
    rate.ok_or_else(|| "write a number between 0 and 1, such as 0.0000625".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_falls_to_the_right_and_stays_in_the_picture() {
        let curve: Vec<f32> = (0..2000).map(|step| 1.0 / (1.0 + step as f32 * 0.01)).collect();
        let picture = curve_picture(&curve);
        let height = |x: u32| (0..360).find(|y| picture.get_pixel(x, *y).0 == [40, 90, 200]).unwrap();
        assert!(height(30) < height(200) && height(200) < height(600));
        assert_eq!(in_tenths(&[1.0; 20]).split(' ').count(), 10);
        assert!(curve_picture(&[0.5, 0.25]).pixels().any(|pixel| pixel.0 == [40, 90, 200]));
        assert!(rate("0.001").is_ok() && rate("-1").is_err() && rate("nan").is_err());
    }
}
