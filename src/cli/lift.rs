//! `glassbox lift`: features of photographs put onto the Gaussians of a scene.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::progress::Foreground;
use super::word;
use crate::engine::jobs::features::BackboneChoice;
use crate::engine::jobs::splats::SceneChoice;
use crate::engine::jobs::splats::lift::LiftJob;
use crate::features::extract::ExtractSettings;
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::store::Store;
use crate::picture::resize::SizeRequest;
use crate::splats::io::cameras;
use crate::splats::{Unobserved, io};

/// Put the features of photographs onto the Gaussians of a scene.
#[derive(Debug, Args)]
pub(super) struct LiftArgs {
    /// The scene: .ply, .splat or .spz. Features that it has are replaced.
    #[arg(value_name = "SCENE")]
    scene: PathBuf,
    /// The cameras of its photographs: a COLMAP model, transforms.json or cameras.json, or the folder of one.
    #[arg(long, value_name = "FILE|DIR")]
    cameras: PathBuf,
    /// The folder of the photographs.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The backbone that looks at them: a pack, a model, a timm folder, or a FiT3D checkpoint.
    #[arg(long, value_name = "NAME|DIR")]
    model: String,
    /// The scene with its features: .ply, or .spz with the features in a file beside it.
    #[arg(short, long, value_name = "OUT.ply")]
    output: PathBuf,
    /// The layer: 1 is the first block, -1 the last.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    layer: i64,
    /// Size the model looks at: the longer side, WxH, or "source"; its own if absent.
    #[arg(long, value_name = "SIZE")]
    size: Option<SizeRequest>,
    /// Keeps so many principal components of the features instead of all channels.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    channels: Option<u16>,
    /// auto, cpu, cuda or metal.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = word::<DeviceChoice>)]
    device: DeviceChoice,
    /// auto, f32, f16 or bf16.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = word::<Precision>)]
    precision: Precision,
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
    if !args.images.is_dir() {
        bail!("there is no folder {}", args.images.display());
    }
    let store = Store::open()?;
    let backbone = BackboneChoice::find(&store, &args.model, args.device, args.precision)?;
    let found = cameras::open(&args.cameras, None)?;
    let mut notes = found.notes;
    let foreground = Foreground::start(args.json)?;
    let lifted = foreground.run(LiftJob {
        scene: SceneChoice { path: args.scene.clone(), features: None },
        cameras: found.cameras,
        images: args.images.clone(),
        backbone,
        settings: ExtractSettings { size: args.size, layers: vec![args.layer], ..ExtractSettings::default() },
        channels: args.channels.map(usize::from),
    })?;
    io::save(&args.output, &lifted.scene, &Unobserved)?;
    notes.extend(lifted.notes);
    let features = lifted.scene.features().context("the scene has no features")?;
    let (all, seen) = (lifted.scene.len(), lifted.seen);
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = json!({
            "output": args.output, "gaussians": all, "seen": seen, "views": lifted.views, "missing": lifted.missing,
            "dim": features.dim, "model": features.model, "notes": notes,
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
    for note in &notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}
