//! How the blended maps of a view become a picture: colours of the mode, its share over the scene's own colours, what is
//! selected, and the background.
//!
//! Here on the processor; shaders/splat_fold.wgsl and splat_shade.wgsl do the same on the device, and a test holds both
//! together. Colours are sRGB-encoded numbers 0..=1, as the scene's are, and premultiplied until the end.

use super::SplatError;
use super::SplatObserver;
use super::camera::Camera;
use super::gaussians::{Gaussians, MAX_SH_DEGREE};
use super::projection::Filter;
use super::raster::{Channels, Raster, RasterRequest, Rasteriser, Values};
use super::selection::Marks;

/// Colours of a scale.
pub const SCALE: usize = 256;
/// The most clusters that have colours.
pub const MOST_CLUSTERS: usize = 64;
/// How much of a selected Gaussian is the colour of selection.
pub const TINT: f32 = 0.6;
/// Blended numbers that are held at a time, over all pixels.
const MOST_BLENDED: usize = 1 << 26;
/// Pixels with less in them say nothing about how far the scene reaches.
pub const SEEN: f32 = 0.5;

/// Numbers of each Gaussian that a mode blends.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// `[n, dim]`.
    pub values: Values<'a>,
    /// The same number, the same values: a device that has them need not get them again.
    pub id: u64,
}

/// Which map is shown.
#[derive(Clone, Copy, Debug, Default)]
pub enum Shown<'a> {
    /// The scene's colours alone.
    #[default]
    Colour,
    /// The expected depth, near is light.
    Depth,
    /// Normals: x to the right red, y up green, towards the camera blue.
    Normals,
    /// How much of the light is taken.
    Opacity,
    /// How many Gaussians each pixel blends.
    Count,
    /// Three components and whether there are any, `[n, 4]`, each shown from its low to its high end.
    Components(Numbers<'a>, [(f32, f32); 3]),
    /// The cluster whose number is greatest, in its colour; at most [`MOST_CLUSTERS`].
    Clusters(Numbers<'a>, &'a [[f32; 3]]),
    /// One cosine a Gaussian, `[n, 1]`, blended: the cosine of what is blended wherever one surface is seen.
    Cosine(Numbers<'a>),
    /// The cosine of the blended features, `[n, dim]`, with a query `[dim]`: exact.
    Similarity(Numbers<'a>, &'a [f32]),
}

/// How a view is coloured.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Which map.
    pub shown: Shown<'a>,
    /// Its share over the scene's colours, 0..=1.
    pub share: f32,
    /// Behind the scene; nothing if `None`, and the picture is premultiplied.
    pub background: Option<[f32; 3]>,
    /// Colours from 0 to 1 for maps of one number.
    pub scale: &'a [[f32; 3]; SCALE],
    /// The Gaussians that are selected.
    pub selected: Option<&'a Marks>,
    /// The colour they are tinted with.
    pub tint: [f32; 3],
}

/// What is drawn from where.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The eye.
    pub camera: &'a Camera,
    /// What happens to Gaussians smaller than pixels.
    pub filter: Filter,
    /// The Gaussians that are drawn; all of them if `None`.
    pub visible: Option<&'a Marks>,
}

/// A coloured view.
#[derive(Clone, Debug, PartialEq)]
pub struct Shaded {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green, blue, alpha, `[height, width]`; premultiplied.
    pub pixels: Vec<[u8; 4]>,
    /// The expected depth, `[height, width]`, 0 where nothing is seen.
    pub depth: Vec<f32>,
}

impl<'a> Shown<'a> {
    /// The numbers it blends.
    #[must_use]
    pub fn numbers(&self) -> Option<Numbers<'a>> {
        match self {
            Self::Components(numbers, _)
            | Self::Clusters(numbers, _)
            | Self::Cosine(numbers)
            | Self::Similarity(numbers, _) => Some(*numbers),
            _ => None,
        }
    }

    /// Whether the scene's own colours are what is shown.
    #[must_use]
    pub fn is_colour(&self) -> bool {
        matches!(self, Self::Colour)
    }

    /// Whether the numbers have the channels that it needs.
    ///
    /// # Errors
    /// [`SplatError::Request`], in a sentence.
    pub fn check(&self) -> Result<(), SplatError> {
        let fits = match self {
            Self::Components(numbers, _) => numbers.values.dim == 4,
            Self::Clusters(numbers, colours) => {
                numbers.values.dim == colours.len() && (1..=MOST_CLUSTERS).contains(&colours.len())
            }
            Self::Cosine(numbers) => numbers.values.dim == 1,
            Self::Similarity(numbers, query) => numbers.values.dim == query.len(),
            _ => true,
        };
        let dim = self.numbers().map_or(0, |numbers| numbers.values.dim);
        if fits { Ok(()) } else { Err(SplatError::Request(format!("{dim} channels do not fit what is to be shown"))) }
    }
}

/// Draws a view with any rasteriser and colours it.
///
/// # Errors
/// As [`Rasteriser::render`].
pub fn draw(
    rasteriser: &mut dyn Rasteriser,
    scene: &Gaussians,
    sight: &Sight<'_>,
    look: &Look<'_>,
    observer: &dyn SplatObserver,
) -> Result<Shaded, SplatError> {
    look.shown.check()?;
    let selected = look.selected.filter(|marks| !marks.is_empty());
    let visible = sight.visible.map(Marks::to_bools);
    let request = RasterRequest {
        camera: sight.camera,
        filter: sight.filter,
        sh_degree: MAX_SH_DEGREE,
        channels: Channels::default(),
        visible: visible.as_deref(),
    };
    let own = Channels {
        colour: look.shown.is_colour() || look.share < 1.0,
        depth: true,
        normals: matches!(look.shown, Shown::Normals),
        count: matches!(look.shown, Shown::Count),
        ..Channels::default()
    };
    let Shown::Similarity(numbers, query) = look.shown else {
        let numbers = look.shown.numbers().map(|numbers| numbers.values);
        let dim = numbers.map_or(0, |values| values.dim);
        let joined = selected.map(|selected| joined(scene, numbers, 0..dim, Some(selected)));
        let values = match &joined {
            Some(joined) => Some(Values { dim: dim + 1, values: joined }),
            None => numbers,
        };
        let raster = rasteriser.render(&RasterRequest { channels: Channels { values, ..own }, ..request }, observer)?;
        let pixels = colours(&raster, look, dim, selected.is_some(), &[]);
        return Ok(Shaded { width: raster.width, height: raster.height, pixels, depth: raster.depth });
    };
    // As many channels as the features have would be more than memory holds: a few at a time, of which products and
    // squares are kept. What is selected comes with the first.
    let pixels = sight.camera.width as usize * sight.camera.height as usize;
    let each = (MOST_BLENDED / pixels.max(1)).clamp(1, 32);
    let mut sums = vec![[0f32; 2]; pixels];
    let mut first: Option<Raster> = None;
    for from in (0..numbers.values.dim).step_by(each) {
        let range = from..numbers.values.dim.min(from + each);
        let marked = selected.filter(|_| first.is_none());
        let some = joined(scene, Some(numbers.values), range.clone(), marked);
        let width = range.len() + usize::from(marked.is_some());
        let values = Some(Values { dim: width, values: &some });
        let channels =
            if first.is_none() { Channels { values, ..own } } else { Channels { values, ..Channels::default() } };
        let mut raster = rasteriser.render(&RasterRequest { channels, ..request }, observer)?;
        for (sums, blended) in sums.iter_mut().zip(raster.values.chunks_exact(width)) {
            for (value, query) in blended.iter().zip(&query[range.clone()]) {
                sums[0] += value * query;
                sums[1] += value * value;
            }
        }
        if first.is_none() {
            // Of the blended numbers only what is selected is needed again.
            raster.values = match marked {
                Some(_) => raster.values.chunks_exact(width).map(|blended| blended[width - 1]).collect(),
                None => Vec::new(),
            };
            first = Some(raster);
        }
    }
    let Some(raster) = first else { return Err(SplatError::Request("features without channels".to_owned())) };
    let pixels = colours(&raster, look, 0, selected.is_some(), &sums);
    Ok(Shaded { width: raster.width, height: raster.height, pixels, depth: raster.depth })
}

/// Channels `range` of each Gaussian's numbers, then 1 or 0 where it is selected.
fn joined(
    scene: &Gaussians,
    numbers: Option<Values<'_>>,
    range: std::ops::Range<usize>,
    selected: Option<&Marks>,
) -> Vec<f32> {
    let mut all = Vec::with_capacity(scene.len() * (range.len() + usize::from(selected.is_some())));
    for index in 0..scene.len() {
        if let Some(numbers) = numbers {
            let own = index * numbers.dim;
            all.extend_from_slice(numbers.values.get(own + range.start..own + range.end).unwrap_or_default());
        }
        if let Some(selected) = selected {
            all.push(f32::from(u8::from(selected.has(index))));
        }
    }
    all
}

/// The smallest and largest of what is seen.
fn ends(values: &[f32], counts: impl Fn(usize) -> bool) -> (f32, f32) {
    let seen = values.iter().enumerate().filter(|(at, _)| counts(*at));
    seen.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), (_, value)| (low.min(*value), high.max(*value)))
}

/// How far a number lies between the ends of what is seen.
fn from_low(value: f32, (low, high): (f32, f32)) -> f32 {
    match () {
        () if low > high => 0.0,
        () if high > low => (value - low) / (high - low),
        () => value - low,
    }
}

/// The colour of a number on the scale, 0..=1.
fn on_scale(scale: &[[f32; 3]; SCALE], value: f32) -> [f32; 3] {
    let place = if value > 0.0 { value.min(1.0) * (SCALE - 1) as f32 + 0.5 } else { 0.0 };
    scale[(place as usize).min(SCALE - 1)]
}

fn greatest(values: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

/// The colours of all pixels. `dim` of the blended numbers are the mode's, the next is what is selected, if anything is;
/// `sums` are the products with a query and the squares of the lengths.
fn colours(raster: &Raster, look: &Look<'_>, dim: usize, marked: bool, sums: &[[f32; 2]]) -> Vec<[u8; 4]> {
    let alpha = &raster.alpha;
    let range = match look.shown {
        Shown::Depth => ends(&raster.depth, |at| alpha[at] > SEEN),
        Shown::Count => {
            let counts: Vec<f32> = raster.count.iter().map(|count| *count as f32).collect();
            ends(&counts, |_| true)
        }
        _ => (0.0, 1.0),
    };
    let own_length = match look.shown {
        Shown::Similarity(_, query) => query.iter().map(|value| value * value).sum::<f32>().sqrt(),
        _ => 0.0,
    };
    let width = dim + usize::from(marked);
    let one = |pixel: usize| {
        let alpha = alpha[pixel];
        let values = raster.values.get(pixel * width..(pixel + 1) * width).unwrap_or_default();
        let numbers = &values[..dim.min(values.len())];
        let times = |colour: [f32; 3], share: f32| colour.map(|value| value * share);
        // The mode's colour, premultiplied, and how much of the pixel it covers.
        let (mode, covered) = match look.shown {
            Shown::Colour => ([0.0; 3], alpha),
            Shown::Depth => (times(on_scale(look.scale, 1.0 - from_low(raster.depth[pixel], range)), alpha), alpha),
            Shown::Normals => {
                let [x, y, z] = std::array::from_fn(|axis| raster.normals[3 * pixel + axis]);
                ([x, -y, -z].map(|value| 0.5 * (alpha + value)), alpha)
            }
            Shown::Opacity => ([alpha; 3], 1.0),
            Shown::Count => (on_scale(look.scale, from_low(raster.count[pixel] as f32, range)), 1.0),
            Shown::Components(_, ranges) => {
                let share = numbers[3];
                let colour = std::array::from_fn(|channel| {
                    let (low, high) = ranges[channel];
                    let value = if share > 0.0 { numbers[channel] / share } else { low };
                    if high == low { 0.0 } else { ((value - low) / (high - low)).clamp(0.0, 1.0) }
                });
                (times(colour, share), alpha)
            }
            Shown::Clusters(_, palette) => (times(palette[greatest(numbers)], alpha), alpha),
            Shown::Cosine(_) => {
                let cosine = if alpha > 0.0 { numbers[0] / alpha } else { 0.0 };
                (times(on_scale(look.scale, cosine), alpha), alpha)
            }
            Shown::Similarity(..) => {
                let [product, square] = sums[pixel];
                let lengths = square.sqrt() * own_length;
                let cosine = if lengths > 0.0 { product / lengths } else { 0.0 };
                (times(on_scale(look.scale, cosine), alpha), alpha)
            }
        };
        let share = if look.shown.is_colour() { 0.0 } else { look.share };
        let own: [f32; 3] = match raster.colour.get(3 * pixel..3 * pixel + 3) {
            Some(&[r, g, b]) => [r, g, b],
            _ => [0.0; 3],
        };
        let mut seen: [f32; 3] = std::array::from_fn(|at| share * mode[at] + (1.0 - share) * own[at]);
        let covers = share * covered + (1.0 - share) * alpha;
        if marked && alpha > 0.0 {
            let tinted = TINT * values[dim] / alpha;
            seen = std::array::from_fn(|at| seen[at] * (1.0 - tinted) + look.tint[at] * tinted * covers);
        }
        over(seen, covers, look.background)
    };
    (0..raster.width * raster.height).map(one).collect()
}

fn over(seen: [f32; 3], covers: f32, background: Option<[f32; 3]>) -> [u8; 4] {
    let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
    match background {
        Some(behind) => {
            let [r, g, b] = std::array::from_fn(|at| byte(seen[at] + (1.0 - covers) * behind[at]));
            [r, g, b, 255]
        }
        None => {
            let [r, g, b] = seen.map(|value| byte(value.min(covers)));
            [r, g, b, byte(covers)]
        }
    }
}
