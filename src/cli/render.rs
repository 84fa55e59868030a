//! `glassbox render`: one view of a splat scene, headless.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::progress::Foreground;
use super::word;
use crate::engine::jobs::splats::SceneChoice;
use crate::engine::jobs::splats::render::{Background, Mode, RenderJob, Rendered};
use crate::features::kmeans::KmeansSettings;
use crate::picture::encode::{Format, SaveOptions, save};
use crate::picture::npy;
use crate::splats::io::cameras::{self, Cameras};
use crate::splats::projection::Filter;

/// Draw one view of a scene of 3D Gaussians.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// The scene: .ply (3DGS, FiT3D, compressed), .splat or .spz.
    #[arg(value_name = "SCENE")]
    scene: PathBuf,
    /// The cameras: 3DGS's cameras.json, nerfstudio's transforms.json, or a COLMAP model; one that frames the scene if
    /// absent.
    #[arg(long, value_name = "FILE.json")]
    camera: Option<PathBuf>,
    /// Which of the cameras: its number from 0, or its picture's name.
    #[arg(long, value_name = "N|NAME", default_value = "0", requires = "camera")]
    view: String,
    /// Size in pixels; the camera's own if absent.
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
    /// rgb, depth, normals, opacity, count, pca, clusters, similarity or features.
    #[arg(long, value_name = "MODE", default_value = "rgb", value_parser = word::<Mode>)]
    mode: Mode,
    /// The picture, or with the ending .npy the numbers behind it (features are always numbers).
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// A file of features for the scene, instead of those in or beside it.
    #[arg(long, value_name = "FILE.safetensors")]
    features: Option<PathBuf>,
    /// classic or antialiased; what the scene was made for if absent.
    #[arg(long, value_name = "NAME", value_parser = word::<Filter>)]
    filter: Option<Filter>,
    /// Clusters of the mode clusters, 2 to 64.
    #[arg(long, value_name = "K", default_value_t = KmeansSettings::default().clusters)]
    clusters: usize,
    /// The same seed gives the same clusters.
    #[arg(long, value_name = "N", default_value_t = KmeansSettings::default().seed)]
    seed: u64,
    /// The pixel that the mode similarity compares with; the middle if absent.
    #[arg(long, value_name = "X,Y", value_parser = point)]
    similar_to: Option<(u32, u32)>,
    /// The colour behind the scene, 0 to 255 each, or "transparent".
    #[arg(long, value_name = "R,G,B", default_value = "0,0,0", value_parser = background)]
    background: Background,
    /// Writes the tensors `colour`, `alpha` and `depth` to this file.
    #[arg(long, value_name = "FILE.safetensors")]
    trace: Option<PathBuf>,
    /// Brings --mode features to the width of the backbone: the decoder that `lift --method fit` wrote beside the scene, or
    /// FiT3D's own .pth.
    #[arg(long, value_name = "FILE")]
    decoder: Option<PathBuf>,
    /// Prints one JSON object, and no progress.
    #[arg(long)]
    json: bool,
}

/// Runs `glassbox render …`.
///
/// # Errors
/// One sentence: what could not be read, drawn or written.
pub(super) fn run(args: &RenderArgs) -> Result<()> {
    let numbers = args.output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy"));
    if args.mode == Mode::Features && !numbers {
        bail!("features are no picture; give -o a name that ends in .npy");
    }
    if args.decoder.is_some() && args.mode != Mode::Features {
        bail!("--decoder goes with --mode features");
    }
    if !numbers {
        Format::from_path(&args.output)?;
    }
    let (camera, mut notes) = match &args.camera {
        Some(path) => {
            let found = cameras::open(path, args.size)?;
            let named = choose(&found, &args.view)
                .with_context(|| format!("{} has {} cameras", path.display(), found.cameras.len()))?;
            (Some(found.cameras[named].camera), found.notes)
        }
        None => (None, Vec::new()),
    };
    let foreground = Foreground::start(args.json)?;
    let job = RenderJob {
        scene: SceneChoice { path: args.scene.clone(), features: args.features.clone() },
        camera,
        size: args.size,
        filter: args.filter,
        mode: args.mode,
        clusters: args.clusters,
        seed: args.seed,
        point: args.similar_to,
        decoder: args.decoder.clone(),
        background: args.background,
        trace: args.trace.is_some(),
    };
    let rendered = foreground.run(job)?;
    match &rendered.picture {
        Some(picture) if !numbers => {
            let saved = save(&args.output, picture, rendered.opacity.as_ref(), &SaveOptions::default())?;
            notes.extend(saved.notes);
        }
        _ => npy::write(&args.output, &rendered.shape, &rendered.values)
            .with_context(|| format!("writing {}", args.output.display()))?,
    }
    if let Some(path) = &args.trace {
        rendered.trace.save(path)?;
    }
    notes.extend(rendered.notes.iter().cloned());
    tell(args, &rendered, &notes)
}

/// The camera of that number or name.
fn choose(found: &Cameras, view: &str) -> Result<usize> {
    let named = found.cameras.iter().position(|named| named.name == view || named.picture == view);
    let number = || view.parse().ok().filter(|number: &usize| *number < found.cameras.len());
    named.or_else(number).with_context(|| format!("there is no camera {view:?}"))
}

fn tell(args: &RenderArgs, rendered: &Rendered, notes: &[String]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let camera = &rendered.camera;
    if args.json {
        let report = json!({
            "scene": args.scene, "gaussians": rendered.gaussians, "mode": args.mode, "output": args.output,
            "size": [camera.width, camera.height], "shape": rendered.shape, "eye": camera.eye().to_array(),
            "focal": camera.focal.to_array(), "seconds": rendered.seconds, "notes": notes,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{}: {} Gaussians, {} × {} pixels, {:.2} s",
        args.output.display(),
        rendered.gaussians,
        camera.width,
        camera.height,
        rendered.seconds
    )?;
    for note in notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

/// "1280x720".
pub(super) fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides
        .filter(|(width, height)| *width > 0 && *height > 0)
        .ok_or_else(|| "write it as WxH, such as 1280x720".to_owned())
}

fn point(text: &str) -> Result<(u32, u32), String> {
    let point = text.split_once(',').and_then(|(x, y)| Some((x.trim().parse().ok()?, y.trim().parse().ok()?)));
    point.ok_or_else(|| "write the pixel as X,Y, such as 120,45".to_owned())
}

fn background(text: &str) -> Result<Background, String> {
    if text == "transparent" {
        return Ok(Background::Transparent);
    }
    let parts: Option<Vec<u8>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match parts.as_deref() {
        Some(&[r, g, b]) => Ok(Background::Colour([r, g, b].map(|value| f32::from(value) / 255.0))),
        _ => Err("write three numbers from 0 to 255, such as 255,255,255, or transparent".to_owned()),
    }
}
