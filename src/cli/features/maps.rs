//! The maps of `glassbox features`: components, clusters, similarity, norms, differences.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::{GrayImage, RgbImage};
use serde_json::json;

use super::outputs::Outputs;
use super::{FeaturesArgs, Range, Seen};
use crate::features::colour::{palette, percentiles, tab20};
use crate::features::foreground::Foreground as Thing;
use crate::features::kmeans::{Clustering, KmeansSettings, Start};
use crate::features::legend::{Entry, Key};
use crate::features::pca::{Basis, Colouring, RangeRule, Sample, Scores, USUAL_COMPONENTS};
use crate::features::{FeatureGrid, Placement, similarity};
use crate::nets::watcher::Unwatched;
use crate::picture::atomic;
use crate::picture::encode::{SaveOptions, save};

/// The PCA maps; gives the share of variance each component explains.
pub(super) fn pca(
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
    let explained = basis.explained();
    let part = |at: usize| format!("{} ({:.0} %)", at + 1, 100.0 * explained.get(at).copied().unwrap_or_default());
    let [red, green, blue] = args.components.map(part);
    let what = format!("PCA: components {red}, {green}, {blue} as red, green, blue");
    let colouring = Colouring::fit(&maps, args.components, rule);
    for (index, (seen, (scores, mask))) in seen.iter().zip(&maps).enumerate() {
        let map = colouring.paint(scores, *mask);
        outputs.save(&outputs.named(path, index), &outputs.colours(&map, seen), &what, seen, Key::None)?;
    }
    if let Some(file) = &args.save_basis {
        basis.save(file, &args.model).with_context(|| format!("writing the basis to {}", file.display()))?;
    }
    Ok(json!(explained))
}

/// The cluster maps, the table of clusters, and the picture of their numbers; gives size and colour of each.
pub(super) fn kmeans(args: &FeaturesArgs, outputs: &Outputs<'_>, seen: &[Seen]) -> Result<serde_json::Value> {
    let grids: Vec<&FeatureGrid> = seen.iter().map(|seen| &seen.grid).collect();
    let start = if args.paper { Start::Random } else { Start::PlusPlus };
    let settings = KmeansSettings { clusters: args.clusters, seed: args.seed, start, ..KmeansSettings::default() };
    let clustering = Clustering::fit(&grids, &settings, &Unwatched)?;
    let colour = |label: u16| {
        let label = usize::from(label);
        if args.paper { tab20(label, clustering.clusters()) } else { palette(clustering.colours()[label]) }
    };
    let entries = |index: usize| -> Vec<Entry> {
        let labels = clustering.labels(index);
        let size = |label: u16| labels.iter().filter(|at| **at == label).count() as f32;
        (0u16..)
            .take(clustering.clusters())
            .map(|label| Entry {
                colour: colour(label),
                name: format!("cluster {}", label + 1),
                share: size(label) / labels.len().max(1) as f32,
            })
            .collect()
    };
    for (index, seen) in seen.iter().enumerate() {
        let ((width, height), labels) = outputs.labels(clustering.labels(index), seen);
        if let Some(path) = &args.kmeans {
            let map = RgbImage::from_fn(width, height, |x, y| colour(labels[(y * width + x) as usize]));
            let here = entries(index).into_iter().filter(|entry| entry.share > 0.0).collect();
            let what = format!("K-means of {} clusters", clustering.clusters());
            outputs.save(&outputs.named(path, index), &map, &what, seen, Key::Clusters(here))?;
        }
        if let Some(path) = &args.clusters_png {
            // Counted from 1, as in the table.
            let numbers = GrayImage::from_fn(width, height, |x, y| {
                image::Luma([u8::try_from(labels[(y * width + x) as usize] + 1).unwrap_or(u8::MAX)])
            });
            let path = outputs.named(path, index);
            let options = SaveOptions { protected: args.images.clone(), ..SaveOptions::default() };
            save(&path, &image::DynamicImage::ImageLuma8(numbers).to_rgb8(), None, &options)?;
        }
        if let Some(path) = &args.clusters_csv {
            let mut table = String::from("cluster,colour,patches,share\n");
            let patches = clustering.labels(index).len();
            for (at, entry) in entries(index).iter().enumerate() {
                let [r, g, b] = entry.colour.0;
                let size = (entry.share * patches as f32).round();
                table.push_str(&format!("{},#{r:02x}{g:02x}{b:02x},{size},{:.4}\n", at + 1, entry.share));
            }
            let path = outputs.named(path, index);
            atomic::write(&path, |out| out.write_all(table.as_bytes()))
                .with_context(|| format!("writing {}", path.display()))?;
        }
    }
    let clusters = clustering.sizes().iter().enumerate().map(|(at, size)| {
        let [r, g, b] = colour(at as u16).0;
        json!({ "size": size, "colour": format!("#{r:02x}{g:02x}{b:02x}") })
    });
    Ok(clusters.collect())
}

/// What similarity is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subject {
    /// The patch under a pixel.
    Point(f64, f64),
    /// The mean of the patches whose middle lies in a box: left, top, right, bottom.
    Box([f64; 4]),
    /// The class token.
    Class,
    /// A register, from 0.
    Register(usize),
}

impl Subject {
    /// "X,Y", "X0,Y0,X1,Y1", "class" or "register:N".
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.trim() == "class" {
            return Some(Self::Class);
        }
        if let Some(number) = text.trim().strip_prefix("register:") {
            return Some(Self::Register(number.trim().parse::<usize>().ok()?.checked_sub(1)?));
        }
        let numbers: Vec<f64> = text.split(',').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
        match *numbers.as_slice() {
            [x, y] => Some(Self::Point(x, y)),
            [x0, y0, x1, y1] => Some(Self::Box([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)])),
            _ => None,
        }
    }
}

/// How far each patch lies in a box of the picture: 1 or 0 by its middle.
fn within(place: &Placement, [left, top, right, bottom]: [f64; 4]) -> Vec<f32> {
    let inside = |at: usize| {
        let (x, y) = place.to_picture((at % place.columns) as f64 + 0.5, (at / place.columns) as f64 + 0.5);
        x >= left && x <= right && y >= top && y <= bottom
    };
    (0..place.patches()).map(|at| f32::from(u8::from(inside(at)))).collect()
}

/// The maps of likeness to something of the first picture.
pub(super) fn similar(
    args: &FeaturesArgs,
    outputs: &Outputs<'_>,
    text: &str,
    path: &Path,
    seen: &[Seen],
) -> Result<()> {
    let Some(subject) = Subject::parse(text) else {
        bail!("--similar-to {text}: write a pixel as X,Y (such as 120,45), a box as X0,Y0,X1,Y1, class, or register:1");
    };
    let Some(first) = seen.first() else { return Ok(()) };
    let (width, height) = first.picture.size();
    let place = first.grid.placement();
    let (query, words) = match subject {
        Subject::Point(x, y) => {
            // The number of a pixel names its middle.
            let Some((row, column)) = place.patch_at(x + 0.5, y + 0.5) else {
                bail!("--similar-to {text}: there is no patch; the picture has {width} × {height} pixels");
            };
            let words = format!("the patch in row {}, column {}", row + 1, column + 1);
            (first.grid.token(row * first.grid.width() + column).to_vec(), words)
        }
        Subject::Box(corners) => {
            let weights = within(place, corners);
            if weights.iter().all(|weight| *weight == 0.0) {
                bail!(
                    "--similar-to {text}: no patch has its middle in that box; the picture has {width} × {height} pixels"
                );
            }
            (similarity::mean_of(&first.grid, &weights)?, "a box".to_owned())
        }
        Subject::Class => match &first.class {
            Some(class) => (class.clone(), "the class token".to_owned()),
            None => bail!("--similar-to class: this model has no class token"),
        },
        Subject::Register(at) => match first.registers.get(at) {
            Some(register) => (register.clone(), format!("register {}", at + 1)),
            None => bail!("--similar-to {text}: this model has {} registers", first.registers.len()),
        },
    };
    let maps: Vec<Vec<f32>> =
        seen.iter().map(|seen| similarity::to_vector(&seen.grid, &query)).collect::<Result<_, _>>()?;
    numbers(args, outputs, path, seen, &maps, &format!("similarity to {words}"), "Cosine")
}

/// The maps of the length of each patch's features.
pub(super) fn norms(args: &FeaturesArgs, outputs: &Outputs<'_>, path: &Path, seen: &[Seen]) -> Result<()> {
    let maps: Vec<Vec<f32>> = seen.iter().map(|seen| seen.grid.norms().to_vec()).collect();
    numbers(args, outputs, path, seen, &maps, "norm", "Length of the features")
}

/// The maps of what two models, or the same model on two pictures, see differently.
pub(super) fn differences(args: &FeaturesArgs, outputs: &Outputs<'_>, path: &Path, seen: &[Seen]) -> Result<()> {
    const UNIT: &str = "1 − cosine";
    if args.beside.is_some() {
        let pairs = seen.iter().filter_map(|seen| seen.pair.as_ref());
        let maps: Vec<Vec<f32>> = pairs.map(|(a, b)| similarity::difference(a, b)).collect::<Result<_, _>>()?;
        return numbers(args, outputs, path, seen, &maps, "difference of the models", UNIT);
    }
    let [first, second] = seen else {
        bail!("--difference is between two pictures, or between two models with --beside; {} given", seen.len());
    };
    let map = similarity::difference(&first.grid, &second.grid)?;
    // One map, over the second picture: what became of the first.
    let (size, range) = (seen.len(), range_of(args, std::slice::from_ref(&map)));
    paint(args, outputs, path, (second, size - 1), (&map, range), "difference", UNIT)
}

/// Numbers of all pictures on one scale.
fn numbers(
    args: &FeaturesArgs,
    outputs: &Outputs<'_>,
    path: &Path,
    seen: &[Seen],
    maps: &[Vec<f32>],
    what: &str,
    unit: &str,
) -> Result<()> {
    let range = range_of(args, maps);
    for (index, (seen, map)) in seen.iter().zip(maps).enumerate() {
        paint(args, outputs, path, (seen, index), (map, range), what, unit)?;
    }
    Ok(())
}

/// What is at the beginning and end of the colours: as it was asked for, else the smallest and largest number.
fn range_of(args: &FeaturesArgs, maps: &[Vec<f32>]) -> (f32, f32) {
    args.value_range.unwrap_or_else(|| percentiles(maps.concat(), 0.0, 100.0))
}

fn paint(
    args: &FeaturesArgs,
    outputs: &Outputs<'_>,
    path: &Path,
    (seen, index): (&Seen, usize),
    (map, range): (&[f32], (f32, f32)),
    what: &str,
    unit: &str,
) -> Result<()> {
    let ((width, height), values) = outputs.values(map, seen);
    let scale = args.colours.scale();
    let picture = scale.paint(&values, width, height, range);
    let key = Key::Bar { scale, range, unit: unit.to_owned() };
    outputs.save(&outputs.named(path, index), &picture, what, seen, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_from_words() {
        assert_eq!(Subject::parse("12, 4.5"), Some(Subject::Point(12.0, 4.5)));
        assert_eq!(Subject::parse("9,8,1,2"), Some(Subject::Box([1.0, 2.0, 9.0, 8.0])));
        assert_eq!(Subject::parse("class"), Some(Subject::Class));
        assert_eq!(Subject::parse("register:4"), Some(Subject::Register(3)));
        for wrong in ["", "1", "1,2,3", "register:0", "register", "a,b"] {
            assert_eq!(Subject::parse(wrong), None, "{wrong}");
        }
    }
}
