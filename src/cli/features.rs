//! `glassbox features`: maps of what a vision transformer sees, one file a picture; several pictures share one basis.

mod maps;
mod outputs;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use self::outputs::Outputs;
use super::device::DeviceArgs;
use super::progress::Foreground;
use super::word;
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob, FeaturesResult};
use crate::features::FeatureGrid;
use crate::features::colour::ColourScale;
use crate::features::extract::ExtractSettings;
use crate::features::kmeans::KmeansSettings;
use crate::features::pca::Basis;
use crate::packs::backbone::Normalisation;
use crate::packs::store::Store;
use crate::picture::Picture;
use crate::picture::decode::{DecodeLimits, open};
use crate::picture::npy;
use crate::picture::resize::{Fit, SizeRequest};

/// How patches become the pixels of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pixels {
    /// One pixel a patch.
    Patches,
    /// The picture's size, in blocks.
    Nearest,
    /// The picture's size, smooth.
    Bilinear,
    /// The picture's size, along the picture's edges.
    Edges,
}

/// Which values become black and full colour in a PCA map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Range {
    /// The smallest and largest of all three components together, as in FiT3D.
    Paper,
    /// The first and last percent of each component.
    Percentiles,
}

/// Colours of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colours {
    /// Deep blue over green to pale yellow.
    Depths,
    /// Black over red and orange to pale yellow.
    Embers,
    /// Blue over light grey to red.
    TwoSided,
    /// Black to white.
    Grey,
}

impl Colours {
    fn scale(self) -> ColourScale {
        match self {
            Self::Depths => ColourScale::Depths,
            Self::Embers => ColourScale::Embers,
            Self::TwoSided => ColourScale::TwoSided,
            Self::Grey => ColourScale::Grey,
        }
    }
}

/// Show what a vision transformer sees in pictures, as maps of its features.
#[derive(Debug, Args)]
pub(super) struct FeaturesArgs {
    /// The pictures. Several share one basis, and one set of clusters; each then gets a file of its own, with the
    /// picture's name behind the one you give.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The backbone: a pack, a model, a folder of timm or of the transformers library, or a checkpoint such as FiT3D's.
    #[arg(long, value_name = "NAME|DIR")]
    model: String,
    /// A second backbone whose features are put beside the first's, as FiT3D uses the fine-tuned model's.
    #[arg(long, value_name = "NAME|DIR")]
    beside: Option<String>,
    /// The layer: 1 is the first block, -1 the last, 0 what enters the first.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    layer: i64,
    /// Leaves out the model's last norm.
    #[arg(long)]
    no_norm: bool,
    /// Writes the principal components as colours.
    #[arg(long, value_name = "OUT.png")]
    pca: Option<PathBuf>,
    /// The components shown as red, green and blue, counted from 1.
    #[arg(long, value_name = "R,G,B", default_value = "1,2,3", value_parser = components)]
    components: [usize; 3],
    /// Which values become black and full colour.
    #[arg(long, value_enum, default_value_t = Range::Paper)]
    range: Range,
    /// Parts foreground from background on the first component, and shows the components of the foreground alone.
    #[arg(long, conflicts_with = "basis")]
    foreground: bool,
    /// Takes the basis from a file instead of fitting it to these pictures.
    #[arg(long, value_name = "FILE.safetensors")]
    basis: Option<PathBuf>,
    /// Writes the basis, for other pictures in the same colours.
    #[arg(long, value_name = "FILE.safetensors", requires = "pca")]
    save_basis: Option<PathBuf>,
    /// Writes clusters of patches as colours.
    #[arg(long, value_name = "OUT.png")]
    kmeans: Option<PathBuf>,
    /// Writes a table of the clusters: number, colour, patches, share.
    #[arg(long, value_name = "OUT.csv")]
    clusters_csv: Option<PathBuf>,
    /// Writes the number of every pixel's cluster as its grey value, counted from 1 as in the table.
    #[arg(long, value_name = "OUT.png")]
    clusters_png: Option<PathBuf>,
    /// How many clusters, 2 to 64.
    #[arg(long, value_name = "K", default_value_t = KmeansSettings::paper().clusters)]
    clusters: usize,
    /// The same seed gives the same clusters.
    #[arg(long, value_name = "N", default_value_t = KmeansSettings::paper().seed)]
    seed: u64,
    /// Writes how similar every patch is to something of the first picture: a pixel X,Y, a box X0,Y0,X1,Y1, "class" or
    /// "register:N".
    #[arg(long, num_args = 2, value_names = ["X,Y", "OUT.png"])]
    similar_to: Option<Vec<String>>,
    /// Writes how long every patch's features are.
    #[arg(long, value_name = "OUT.png")]
    norm: Option<PathBuf>,
    /// Writes what differs, 1 − cosine: between two pictures, or between the two models with --beside.
    #[arg(long, value_name = "OUT.png")]
    difference: Option<PathBuf>,
    /// The numbers at the beginning and end of the colours of these maps; their smallest and largest if absent.
    #[arg(long, value_name = "FROM,TO", value_parser = value_range, allow_hyphen_values = true)]
    value_range: Option<(f32, f32)>,
    /// The colours of these maps.
    #[arg(long, value_enum, default_value_t = Colours::Depths)]
    colours: Colours,
    /// Writes below every map what it shows: a colour bar with numbers, or the clusters with their shares.
    #[arg(long)]
    legend: bool,
    /// Writes the features: [rows, columns, dim], f32.
    #[arg(long, value_name = "OUT.npy")]
    npy: Option<PathBuf>,
    /// How patches become pixels of a map.
    #[arg(long, value_enum, default_value_t = Pixels::Nearest)]
    pixels: Pixels,
    /// Size the model looks at: the longer side, WxH, or "source"; its own if absent.
    #[arg(long, value_name = "SIZE")]
    size: Option<SizeRequest>,
    /// How a picture of another shape comes to that size: pad, crop or squash.
    #[arg(long, value_name = "HOW", default_value = "squash", value_parser = word::<Fit>)]
    fit: Fit,
    /// Does all of it as FiT3D's figures do: the picture's own size floored to whole patches, ImageNet's normalisation, one
    /// range for all components, clusters from random starts in the paper's colours.
    #[arg(long, conflicts_with_all = ["size", "fit"])]
    paper: bool,
    /// Normalises pictures with ImageNet's values whatever the model's config says, as FiT3D does.
    #[arg(long)]
    imagenet: bool,
    /// Writes the tensors `input`, `tokens` and `grid` to this file.
    #[arg(long, value_name = "FILE.safetensors")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    on: DeviceArgs,
    /// Prints one JSON object, and no progress.
    #[arg(long)]
    json: bool,
}

/// A picture with its features.
struct Seen {
    path: PathBuf,
    picture: Picture,
    grid: FeatureGrid,
    class: Option<Vec<f32>>,
    registers: Vec<Vec<f32>>,
    /// What each of two models sees.
    pair: Option<(FeatureGrid, FeatureGrid)>,
    layer: usize,
    seconds: f64,
    notes: Vec<String>,
}

/// Runs `glassbox features …`.
///
/// # Errors
/// One sentence: what could not be read, looked at or written.
pub(super) fn run(args: &FeaturesArgs) -> Result<()> {
    let outputs = Outputs::new(args)?;
    let store = Store::open()?;
    let backbone = BackboneChoice::find(&store, &args.model, args.on.device, args.on.precision)?;
    let beside = args.beside.as_ref();
    let beside =
        beside.map(|name| BackboneChoice::find(&store, name, args.on.device, args.on.precision)).transpose()?;
    let basis = args.basis.as_deref().map(Basis::load).transpose()?;
    let foreground = Foreground::start(args.json)?;
    let mut seen = Vec::with_capacity(args.images.len());
    for (index, path) in args.images.iter().enumerate() {
        let picture = open(path, &DecodeLimits::default())?;
        seen.push(look(args, &outputs, path, index, picture, &backbone, beside.as_ref(), &foreground)?);
    }
    let mut report = json!({});
    if let Some(path) = &args.pca {
        report["explained"] = maps::pca(args, &outputs, path, &seen, basis)?;
    }
    if [&args.kmeans, &args.clusters_csv, &args.clusters_png].iter().any(|path| path.is_some()) {
        report["clusters"] = maps::kmeans(args, &outputs, &seen)?;
    }
    if let Some([subject, path]) = args.similar_to.as_deref() {
        maps::similar(args, &outputs, subject, Path::new(path), &seen)?;
    }
    if let Some(path) = &args.norm {
        maps::norms(args, &outputs, path, &seen)?;
    }
    if let Some(path) = &args.difference {
        maps::differences(args, &outputs, path, &seen)?;
    }
    if let Some(path) = &args.npy {
        for (index, seen) in seen.iter().enumerate() {
            let path = outputs.named(path, index);
            let shape = [seen.grid.height(), seen.grid.width(), seen.grid.dim()];
            npy::write(&path, &shape, seen.grid.tokens()).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    tell(args, &seen, report)
}

/// Extracts the features of one picture.
#[expect(clippy::too_many_arguments, reason = "all of them differ from call to call or are the command's own state")]
fn look(
    args: &FeaturesArgs,
    outputs: &Outputs<'_>,
    path: &Path,
    index: usize,
    picture: Picture,
    backbone: &BackboneChoice,
    beside: Option<&BackboneChoice>,
    foreground: &Foreground,
) -> Result<Seen> {
    let settings = ExtractSettings {
        size: if args.paper { Some(SizeRequest::Source) } else { args.size },
        fit: args.fit,
        layers: vec![args.layer],
        normed: !args.no_norm,
        normalisation: (args.imagenet || args.paper).then_some(Normalisation::IMAGENET),
    };
    let job = |backbone: &BackboneChoice, trace: bool| FeaturesJob {
        picture: Arc::clone(&picture.rgb),
        backbone: backbone.clone(),
        settings: settings.clone(),
        cache: None,
        trace,
    };
    let FeaturesResult { mut layers, one_colour, mut seconds, trace, .. } =
        foreground.run(job(backbone, args.trace.is_some()))?;
    if let Some(file) = &args.trace {
        trace.save(&outputs.named(file, index))?;
    }
    let Some(first) = layers.pop() else { bail!("the model gave no layer") };
    let mut grid = first.patches;
    let mut class = first.class.map(|token| token.to_vec());
    let mut registers: Vec<Vec<f32>> = first.registers.iter().map(|token| token.to_vec()).collect();
    let mut pair = None;
    if let Some(beside) = beside {
        // The second model looks at the same patches, if its patches have the same size.
        let mut second = foreground.run(job(beside, false))?;
        seconds += second.seconds;
        let Some(second) = second.layers.pop() else { bail!("the second model gave no layer") };
        let both = grid.beside(&second.patches)?;
        pair = Some((grid, second.patches));
        grid = both;
        class = class.zip(second.class).map(|(first, second)| [first, second.to_vec()].concat());
        registers.clear();
    }
    let mut notes = picture.facts.notes.clone();
    if one_colour {
        notes.push("the picture is one colour everywhere: its patches differ by their positions alone".to_owned());
    }
    let layer = first.layer;
    Ok(Seen { path: path.to_owned(), picture, grid, class, registers, pair, layer, seconds, notes })
}

/// "1,2,3" as places from 0.
fn components(text: &str) -> Result<[usize; 3], String> {
    let places: Vec<usize> = text
        .split(',')
        .filter_map(|part| part.trim().parse::<usize>().ok()?.checked_sub(1).filter(|place| *place < 64))
        .collect();
    match places.as_slice() {
        &[r, g, b] if text.split(',').count() == 3 => Ok([r, g, b]),
        _ => Err("write three components from 1 to 64, such as 1,2,3".to_owned()),
    }
}

/// "0.2,0.9" as two numbers, the first below the second.
fn value_range(text: &str) -> Result<(f32, f32), String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[from, to]) if from < to && from.is_finite() && to.is_finite() => Ok((from, to)),
        _ => Err("write two numbers, the smaller one first, such as 0,1".to_owned()),
    }
}

/// Says what was seen, to stdout.
fn tell(args: &FeaturesArgs, seen: &[Seen], mut report: serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let pictures = seen.iter().map(|seen| {
            let place = seen.grid.placement();
            json!({
                "image": seen.path, "input": [place.plan.working.0, place.plan.working.1],
                "grid": [place.rows, place.columns], "dim": seen.grid.dim(), "layer": seen.layer,
                "seconds": seen.seconds, "notes": seen.notes,
            })
        });
        report["model"] = json!(args.model);
        report["pictures"] = pictures.collect();
        writeln!(out, "{report}")?;
        return Ok(());
    }
    for seen in seen {
        writeln!(
            out,
            "{}: {} patches of {} features, layer {}, {:.2} s",
            seen.path.display(),
            seen.grid.placement().describe(),
            seen.grid.dim(),
            seen.layer,
            seen.seconds
        )?;
        for note in &seen.notes {
            writeln!(out, "note: {note}")?;
        }
    }
    if let Some(shares) = report["explained"].as_array() {
        let shares: Vec<String> =
            shares.iter().filter_map(serde_json::Value::as_f64).map(|share| format!("{:.1}", 100.0 * share)).collect();
        writeln!(out, "components explain {} %", shares.join(", "))?;
    }
    if let Some(clusters) = report["clusters"].as_array() {
        let sizes: Vec<String> = clusters.iter().map(|cluster| cluster["size"].to_string()).collect();
        writeln!(out, "clusters of {} patches", sizes.join(", "))?;
    }
    Ok(())
}
