//! `glassbox features`: maps of what a vision transformer sees, one file a picture; several pictures share one basis.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use image::RgbImage;
use serde_json::json;

use super::progress::Foreground;
use super::word;
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob, FeaturesResult};
use crate::features::colour::{ColourScale, palette, percentiles};
use crate::features::extract::ExtractSettings;
use crate::features::foreground::Foreground as Thing;
use crate::features::kmeans::{Clustering, KmeansSettings};
use crate::features::pca::{Basis, Colouring, RangeRule, Sample, Scores, USUAL_COMPONENTS};
use crate::features::upsample::{self, Upsampling};
use crate::features::{FeatureGrid, similarity};
use crate::nets::watcher::Unwatched;
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::backbone::Normalisation;
use crate::packs::store::Store;
use crate::picture::Picture;
use crate::picture::decode::{DecodeLimits, open};
use crate::picture::encode::{Format, SaveOptions, save};
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

/// Show what a vision transformer sees in pictures, as maps of its features.
#[derive(Debug, Args)]
pub(super) struct FeaturesArgs {
    /// The pictures. Several share one basis, and one set of clusters; each then gets a file of its own, with the
    /// picture's name behind the one you give.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The backbone: a pack, a model, a timm folder, or a FiT3D checkpoint.
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
    /// How many clusters, 2 to 64.
    #[arg(long, value_name = "K", default_value_t = KmeansSettings::paper().clusters)]
    clusters: usize,
    /// The same seed gives the same clusters.
    #[arg(long, value_name = "N", default_value_t = KmeansSettings::paper().seed)]
    seed: u64,
    /// Writes how similar every patch is to the one at a point of the first picture, in its pixels.
    #[arg(long, num_args = 2, value_names = ["X,Y", "OUT.png"])]
    similar_to: Option<Vec<String>>,
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
    /// Normalises pictures with ImageNet's values whatever the model's config says, as FiT3D does.
    #[arg(long)]
    imagenet: bool,
    /// Writes the tensors `input`, `tokens` and `grid` to this file.
    #[arg(long, value_name = "FILE.safetensors")]
    trace: Option<PathBuf>,
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

/// A picture with its features.
struct Seen {
    path: PathBuf,
    picture: Picture,
    grid: FeatureGrid,
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
    let backbone = BackboneChoice::find(&store, &args.model, args.device, args.precision)?;
    let beside = args.beside.as_ref();
    let beside = beside.map(|name| BackboneChoice::find(&store, name, args.device, args.precision)).transpose()?;
    let basis = args.basis.as_deref().map(Basis::load).transpose()?;
    let foreground = Foreground::start(args.json)?;
    let mut seen = Vec::with_capacity(args.images.len());
    for (index, path) in args.images.iter().enumerate() {
        let picture = open(path, &DecodeLimits::default())?;
        seen.push(look(args, &outputs, path, index, picture, &backbone, beside.as_ref(), &foreground)?);
    }
    let mut report = json!({});
    if let Some(path) = &args.pca {
        report["explained"] = pca(args, &outputs, path, &seen, basis)?;
    }
    if let Some(path) = &args.kmeans {
        report["clusters"] = kmeans(args, &outputs, path, &seen)?;
    }
    if let Some([point, path]) = args.similar_to.as_deref() {
        similar(&outputs, point, Path::new(path), &seen)?;
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
        size: args.size,
        fit: args.fit,
        layers: vec![args.layer],
        normed: !args.no_norm,
        normalisation: args.imagenet.then_some(Normalisation::IMAGENET),
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
    if let Some(beside) = beside {
        // The second model looks at the same patches, if its patches have the same size.
        let mut second = foreground.run(job(beside, false))?;
        seconds += second.seconds;
        let Some(second) = second.layers.pop() else { bail!("the second model gave no layer") };
        grid = grid.beside(&second.patches)?;
    }
    let mut notes = picture.facts.notes.clone();
    if one_colour {
        notes.push("the picture is one colour everywhere: its patches differ by their positions alone".to_owned());
    }
    Ok(Seen { path: path.to_owned(), picture, grid, layer: first.layer, seconds, notes })
}

/// The PCA maps; gives the share of variance each component explains.
fn pca(
    args: &FeaturesArgs,
    outputs: &Outputs<'_>,
    path: &Path,
    seen: &[Seen],
    given: Option<Basis>,
) -> Result<serde_json::Value> {
    let count = args.components.iter().map(|component| component + 1).max().unwrap_or(0).max(USUAL_COMPONENTS);
    let samples: Vec<Sample<'_>> = seen.iter().map(|seen| Sample::all(&seen.grid)).collect();
    let mut basis = match given {
        Some(basis) => basis,
        None => Basis::fit(&samples, count, &Unwatched)?,
    };
    let project =
        |basis: &Basis| -> Result<Vec<Scores>> { seen.iter().map(|seen| Ok(basis.project(&seen.grid)?)).collect() };
    let mut scores = project(&basis)?;
    let mut masks: Vec<Option<Vec<bool>>> = vec![None; seen.len()];
    if args.foreground {
        let maps: Vec<&Scores> = scores.iter().collect();
        let thing = Thing::automatic(&maps);
        masks = thing.of_all(&maps, 2)?.into_iter().map(Some).collect();
        let samples: Vec<Sample<'_>> =
            seen.iter().zip(&masks).map(|(seen, mask)| Sample { grid: &seen.grid, only: mask.as_deref() }).collect();
        basis = Basis::fit(&samples, count, &Unwatched)?;
        scores = project(&basis)?;
    }
    let most = basis.count();
    if let Some(component) = args.components.iter().find(|component| **component >= most.max(3)) {
        bail!("there is no component {}: this basis has {most}", component + 1);
    }
    let maps: Vec<(&Scores, Option<&[bool]>)> =
        scores.iter().zip(&masks).map(|(scores, mask)| (scores, mask.as_deref())).collect();
    let rule = match args.range {
        Range::Paper => RangeRule::Joint,
        Range::Percentiles => RangeRule::default(),
    };
    let colouring = Colouring::fit(&maps, args.components, rule);
    for (index, (seen, (scores, mask))) in seen.iter().zip(&maps).enumerate() {
        let map = colouring.paint(scores, *mask);
        outputs.save(&outputs.named(path, index), &outputs.enlarged(&map, seen))?;
    }
    if let Some(file) = &args.save_basis {
        basis.save(file, &args.model).with_context(|| format!("writing the basis to {}", file.display()))?;
    }
    Ok(json!(basis.explained()))
}

/// The cluster maps; gives size and colour of each.
fn kmeans(args: &FeaturesArgs, outputs: &Outputs<'_>, path: &Path, seen: &[Seen]) -> Result<serde_json::Value> {
    let grids: Vec<&FeatureGrid> = seen.iter().map(|seen| &seen.grid).collect();
    let settings = KmeansSettings { clusters: args.clusters, seed: args.seed, ..KmeansSettings::default() };
    let clustering = Clustering::fit(&grids, &settings, &Unwatched)?;
    let colour = |label: u16| palette(clustering.colours()[usize::from(label)]);
    for (index, seen) in seen.iter().enumerate() {
        let labels = clustering.labels(index);
        let (size, labels) = match outputs.upsampling() {
            None => ((seen.grid.width() as u32, seen.grid.height() as u32), labels.to_vec()),
            Some(how) => {
                let size = seen.picture.size();
                (size, upsample::labels(labels, seen.grid.placement(), size, how, Some(&seen.picture.rgb)))
            }
        };
        let map = RgbImage::from_fn(size.0, size.1, |x, y| colour(labels[(y * size.0 + x) as usize]));
        outputs.save(&outputs.named(path, index), &map)?;
    }
    let clusters = clustering.sizes().iter().enumerate().map(|(at, size)| {
        let [r, g, b] = colour(at as u16).0;
        json!({ "size": size, "colour": format!("#{r:02x}{g:02x}{b:02x}") })
    });
    Ok(clusters.collect())
}

/// The maps of likeness to a patch of the first picture.
fn similar(outputs: &Outputs<'_>, point: &str, path: &Path, seen: &[Seen]) -> Result<()> {
    let numbers: Option<(f64, f64)> =
        point.split_once(',').and_then(|(x, y)| Some((x.trim().parse().ok()?, y.trim().parse().ok()?)));
    let Some((x, y)) = numbers else { bail!("--similar-to {point}: write the point as X,Y, such as 120,45") };
    let Some(first) = seen.first() else { return Ok(()) };
    let (width, height) = first.picture.size();
    // The number of a pixel names its middle.
    let Some((row, column)) = first.grid.placement().patch_at(x + 0.5, y + 0.5) else {
        bail!("--similar-to {point}: there is no patch; the picture has {width} × {height} pixels");
    };
    let query = first.grid.token(row * first.grid.width() + column).to_vec();
    let maps: Vec<Vec<f32>> =
        seen.iter().map(|seen| similarity::to_vector(&seen.grid, &query)).collect::<Result<_, _>>()?;
    let range = percentiles(maps.concat(), 0.0, 100.0);
    for (index, (seen, map)) in seen.iter().zip(&maps).enumerate() {
        let (size, map) = match outputs.upsampling() {
            None => ((seen.grid.width() as u32, seen.grid.height() as u32), map.clone()),
            Some(how) => {
                let size = seen.picture.size();
                (size, upsample::values(map, seen.grid.placement(), size, how, Some(&seen.picture.rgb)))
            }
        };
        let map = ColourScale::Depths.paint(&map, size.0, size.1, range);
        outputs.save(&outputs.named(path, index), &map)?;
    }
    Ok(())
}

/// Where maps go and in which size.
struct Outputs<'a> {
    args: &'a FeaturesArgs,
    /// For every picture what is put behind a file's name; nothing where there is one picture.
    suffixes: Vec<String>,
}

impl<'a> Outputs<'a> {
    /// Checks what can be checked before anything runs.
    fn new(args: &'a FeaturesArgs) -> Result<Self> {
        let similar = args.similar_to.as_deref().and_then(|values| values.get(1)).map(PathBuf::from);
        for path in args.pca.iter().chain(&args.kmeans).chain(&similar) {
            Format::from_path(path)?;
        }
        let mut suffixes: Vec<String> = Vec::new();
        for path in &args.images {
            let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            let mut suffix = format!("-{stem}");
            let mut count = 1;
            while suffixes.contains(&suffix) {
                count += 1;
                suffix = format!("-{stem}-{count}");
            }
            suffixes.push(suffix);
        }
        if suffixes.len() == 1 {
            suffixes[0].clear();
        }
        Ok(Self { args, suffixes })
    }

    /// The file for picture `index`: "maps.png" becomes "maps-library.png" where there are several.
    fn named(&self, path: &Path, index: usize) -> PathBuf {
        let suffix = self.suffixes.get(index).map_or("", String::as_str);
        if suffix.is_empty() {
            return path.to_owned();
        }
        let mut name = path.file_stem().map(std::ffi::OsStr::to_owned).unwrap_or_default();
        name.push(suffix);
        if let Some(ending) = path.extension() {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    }

    fn upsampling(&self) -> Option<Upsampling> {
        match self.args.pixels {
            Pixels::Patches => None,
            Pixels::Nearest => Some(Upsampling::Nearest),
            Pixels::Bilinear => Some(Upsampling::Bilinear),
            Pixels::Edges => Some(Upsampling::Edges),
        }
    }

    /// A map of a pixel a patch in the size that was asked for.
    fn enlarged(&self, map: &RgbImage, seen: &Seen) -> RgbImage {
        match self.upsampling() {
            None => map.clone(),
            Some(how) => {
                upsample::colours(map, seen.grid.placement(), seen.picture.size(), how, Some(&seen.picture.rgb))
            }
        }
    }

    fn save(&self, path: &Path, map: &RgbImage) -> Result<()> {
        let options = SaveOptions { protected: self.args.images.clone(), ..SaveOptions::default() };
        save(path, map, None, &options)?;
        Ok(())
    }
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
