//! One view of a scene, in any mode.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use image::{GrayImage, Rgb, RgbImage};

use super::modes;
use super::{SceneChoice, ask_for_memory, in_job_terms, pack, pack_of};
use crate::engine::{Job, JobContext, Monitor};
use crate::features::FeatureObserver;
use crate::packs::{convert, sniff};
use crate::splats::camera::{Camera, Orbit};
use crate::splats::fit::Decoder;
use crate::splats::gaussians::{Features, Gaussians, MAX_SH_DEGREE};
use crate::splats::projection::Filter;
use crate::splats::raster::{Channels, Raster, RasterRequest, Values};
use crate::splats::{io, tiles};
use crate::trace::Trace;

/// What a picture of a scene shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Its colours.
    #[default]
    Rgb,
    /// The expected depth, near is light.
    Depth,
    /// Normals: the shortest axes of the Gaussians, towards the camera.
    Normals,
    /// How much of the light is taken.
    Opacity,
    /// How many Gaussians every pixel blends.
    Count,
    /// The first three principal components of its features.
    Pca,
    /// Clusters of its features.
    Clusters,
    /// How like the features are to those at a point of the picture.
    Similarity,
    /// The features themselves.
    Features,
}

/// What lies behind a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Background {
    /// A colour, 0..=1.
    Colour([f32; 3]),
    /// Nothing: the picture gets an opacity.
    Transparent,
}

/// A view to draw.
#[derive(Clone, Debug)]
pub struct RenderJob {
    /// The scene.
    pub scene: SceneChoice,
    /// The camera; one that frames the scene if `None`.
    pub camera: Option<Camera>,
    /// Width and height in pixels; the camera's own if `None`.
    pub size: Option<(u32, u32)>,
    /// What happens to Gaussians smaller than pixels; what the scene was made for if `None`.
    pub filter: Option<Filter>,
    /// What is shown.
    pub mode: Mode,
    /// Clusters of [`Mode::Clusters`].
    pub clusters: usize,
    /// The same seed gives the same clusters.
    pub seed: u64,
    /// The pixel that [`Mode::Similarity`] compares with; the middle if `None`.
    pub point: Option<(u32, u32)>,
    /// Brings [`Mode::Features`] to the width of a backbone: FiT3D's decoder, safetensors or its own `.pth`.
    pub decoder: Option<PathBuf>,
    /// What lies behind the scene.
    pub background: Background,
    /// Keeps `colour`, `alpha` and `depth`.
    pub trace: bool,
}

/// A view of a scene.
#[derive(Debug)]
pub struct Rendered {
    /// What is seen; none for [`Mode::Features`], which are no picture.
    pub picture: Option<RgbImage>,
    /// The picture's opacity where the background is transparent; the colours are then straight.
    pub opacity: Option<GrayImage>,
    /// The numbers behind the picture, row by row.
    pub values: Vec<f32>,
    /// Their shape, `[height, width]` or `[height, width, channels]`.
    pub shape: Vec<usize>,
    /// The camera it was seen by.
    pub camera: Camera,
    /// Gaussians of the scene.
    pub gaussians: usize,
    /// What a person should know of the scene, in sentences.
    pub notes: Vec<String>,
    /// Seconds that drawing took.
    pub seconds: f64,
    /// The intermediate tensors, if they were asked for.
    pub trace: Trace,
}

impl Job for RenderJob {
    type Output = Rendered;

    fn title(&self) -> String {
        format!("View of {}", self.scene.name())
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<Rendered> {
        let opened = self.scene.open(context.monitor)?;
        let scene = &opened.scene;
        let camera = self.camera(scene).map_err(in_job_terms)?;
        let needs_features = matches!(self.mode, Mode::Pca | Mode::Clusters | Mode::Similarity | Mode::Features);
        let Some(features) = scene.features().map(Some).or((!needs_features).then_some(None)) else {
            bail!("{} has no features; `glassbox lift` puts some onto it", self.scene.path.display());
        };
        let drawing = Drawing { job: &self, scene, camera: &camera };
        let began = Instant::now();
        let shown = drawing.run(features, context)?;
        let seconds = began.elapsed().as_secs_f64();
        let mut trace = if self.trace { Trace::collecting() } else { Trace::default() };
        if self.trace {
            let channels = Channels { colour: true, depth: true, ..Channels::default() };
            let raster = drawing.draw(channels, context)?;
            let (height, width) = (raster.height, raster.width);
            trace.numbers("colour", raster.colour, &[height, width, 3])?;
            trace.numbers("alpha", raster.alpha, &[height, width])?;
            trace.numbers("depth", raster.depth, &[height, width])?;
        }
        let (picture, opacity) = match &shown.colours {
            Some(colours) => {
                let (picture, opacity) = over(colours, &shown.alpha, self.background, (camera.width, camera.height));
                (Some(picture), opacity)
            }
            None => (None, None),
        };
        Ok(Rendered {
            picture,
            opacity,
            values: shown.values,
            shape: shown.shape,
            camera,
            gaussians: scene.len(),
            notes: opened.notes,
            seconds,
            trace,
        })
    }
}

impl RenderJob {
    fn camera(&self, scene: &Gaussians) -> Result<Camera, crate::splats::SplatError> {
        match (&self.camera, self.size) {
            (Some(camera), Some(size)) => camera.resized(size),
            (Some(camera), None) => camera.checked(),
            (None, size) => {
                let fov = 45f64.to_radians();
                let orbit = Orbit::framing(&scene.robust_bounds(), glam::DVec3::NEG_Y, fov);
                Camera::orbit(&orbit, fov, size.unwrap_or((1280, 720)))
            }
        }
    }
}

/// A decoder from its file; PyTorch's pickles are converted once.
fn decoder(path: &Path, monitor: &Monitor) -> anyhow::Result<Decoder> {
    if let Some((weights, file, Some(scene))) = pack_of(path, monitor)? {
        return Ok(pack::open(&file, &weights, Some(&scene))?.1);
    }
    let pickled = !matches!(sniff::of_file(path)?, sniff::Content::Safetensors);
    let converted = if pickled {
        Some(convert::converted(path, &convert::cache_folder()?, &|_, _| ControlFlow::Continue(()))?)
    } else {
        None
    };
    io::open_decoder(converted.as_deref().unwrap_or(path)).map_err(in_job_terms)
}

struct Drawing<'a> {
    job: &'a RenderJob,
    scene: &'a Gaussians,
    camera: &'a Camera,
}

/// What a mode brings: colours, premultiplied or not yet with alpha, and the numbers behind them.
struct Shown {
    /// Premultiplied.
    colours: Option<Vec<[f32; 3]>>,
    alpha: Vec<f32>,
    values: Vec<f32>,
    shape: Vec<usize>,
}

impl Drawing<'_> {
    fn draw(&self, channels: Channels<'_>, context: &JobContext<'_>) -> anyhow::Result<Raster> {
        let own = if self.scene.antialiased() { Filter::Antialiased } else { Filter::Classic };
        let filter = self.job.filter.unwrap_or(own);
        let request = RasterRequest { camera: self.camera, filter, sh_degree: MAX_SH_DEGREE, channels, visible: None };
        let what = format!("a view of {} × {} pixels", self.camera.width, self.camera.height);
        // The maps, and the sums of the tiles they are gathered from.
        ask_for_memory(&what, Raster::bytes(&request).saturating_mul(2))?;
        tiles::render(self.scene, &request, context.monitor).map_err(in_job_terms)
    }

    fn run(&self, features: Option<&Features>, context: &JobContext<'_>) -> anyhow::Result<Shown> {
        let (height, width) = (self.camera.height as usize, self.camera.width as usize);
        let flat = vec![height, width];
        let own = Channels::default();
        let premultiplied = |colours: Vec<[f32; 3]>, alpha: &[f32]| -> Vec<[f32; 3]> {
            colours.into_iter().zip(alpha).map(|(colour, alpha)| colour.map(|value| value * alpha)).collect()
        };
        let observer: &dyn FeatureObserver = context.monitor;
        let shown = match (self.job.mode, features) {
            (Mode::Depth, _) => {
                let found = self.draw(Channels { depth: true, ..own }, context)?;
                let near: Vec<f32> = found.depth.iter().map(|depth| -depth).collect();
                let colours = premultiplied(modes::scaled(&near, &found.alpha), &found.alpha);
                Shown { colours: Some(colours), alpha: found.alpha, values: found.depth, shape: flat }
            }
            (Mode::Normals, _) => {
                let found = self.draw(Channels { normals: true, ..own }, context)?;
                let normals = found.normals.as_chunks::<3>().0.iter().zip(&found.alpha);
                // From −1..1 to colours, x to the right red, y up green, z towards the camera blue.
                let colours = normals.map(|([x, y, z], alpha)| [x, &-y, &-z].map(|value| 0.5 * (alpha + value)));
                let colours = Some(colours.collect());
                Shown { colours, alpha: found.alpha, values: found.normals, shape: vec![height, width, 3] }
            }
            (Mode::Opacity, _) => {
                let found = self.draw(own, context)?;
                let colours = found.alpha.iter().map(|alpha| [*alpha; 3]).collect();
                let opaque = vec![1.0; found.alpha.len()];
                Shown { colours: Some(colours), alpha: opaque, values: found.alpha, shape: flat }
            }
            (Mode::Count, _) => {
                let found = self.draw(Channels { count: true, ..own }, context)?;
                let values: Vec<f32> = found.count.iter().map(|count| *count as f32).collect();
                let opaque = vec![1.0; values.len()];
                Shown { colours: Some(modes::scaled(&values, &opaque)), alpha: opaque, values, shape: flat }
            }
            (Mode::Pca, Some(features)) => {
                let (values, colouring) = modes::components(features, observer)?;
                let found = self.draw(Channels { values: Some(Values { dim: 4, values: &values }), ..own }, context)?;
                let blended = found.values.as_chunks::<4>().0.iter();
                let colours = blended.map(|blended| {
                    let (colour, share) = modes::component_colour(blended, &colouring);
                    colour.map(|value| value * share)
                });
                let colours = Some(colours.collect());
                Shown { colours, alpha: found.alpha, values: found.values, shape: vec![height, width, 4] }
            }
            (Mode::Clusters, Some(features)) => {
                let (values, palette) = modes::clusters(features, self.job.clusters, self.job.seed, observer)?;
                let values = Values { dim: palette.len(), values: &values };
                let found = self.draw(Channels { values: Some(values), ..own }, context)?;
                let labels: Vec<usize> = found.values.chunks_exact(values.dim).map(modes::greatest).collect();
                let colours = premultiplied(labels.iter().map(|label| palette[*label]).collect(), &found.alpha);
                let values = labels.iter().map(|label| *label as f32).collect();
                Shown { colours: Some(colours), alpha: found.alpha, values, shape: flat }
            }
            (Mode::Similarity, Some(features)) => {
                let (x, y) = self.job.point.unwrap_or((self.camera.width / 2, self.camera.height / 2));
                if x >= self.camera.width || y >= self.camera.height {
                    bail!("there is no pixel {x},{y} in a picture of {width} × {height}");
                }
                let all = Values { dim: features.dim, values: &features.values };
                let found = self.draw(Channels { values: Some(all), ..own }, context)?;
                let query = &found.values[(y as usize * width + x as usize) * features.dim..][..features.dim];
                if query.iter().all(|value| *value == 0.0) {
                    bail!("there is nothing with features at pixel {x},{y} to compare with");
                }
                let values = modes::cosines(&found.values, features.dim, query);
                let colours = premultiplied(modes::scaled(&values, &found.alpha), &found.alpha);
                Shown { colours: Some(colours), alpha: found.alpha, values, shape: flat }
            }
            (Mode::Features, Some(features)) => {
                let all = Values { dim: features.dim, values: &features.values };
                let decoder = self.job.decoder.as_deref().map(|path| decoder(path, context.monitor)).transpose()?;
                if let Some(decoder) = &decoder {
                    let (inner, dim) = (decoder.inner, features.dim);
                    if inner != dim {
                        bail!("the decoder takes {inner} channels, and the scene's features have {dim}");
                    }
                    // The neighbourhoods of all pixels, and the result.
                    let channels = 9 * inner as u64 + decoder.width as u64;
                    ask_for_memory("decoding the features", 4 * channels * width as u64 * height as u64)?;
                }
                let found = self.draw(Channels { values: Some(all), ..own }, context)?;
                let (values, dim) = match &decoder {
                    Some(decoder) => (decoder.decode(&found.values, (height, width)), decoder.width),
                    None => (found.values, features.dim),
                };
                Shown { colours: None, alpha: found.alpha, values, shape: vec![height, width, dim] }
            }
            (Mode::Rgb | Mode::Pca | Mode::Clusters | Mode::Similarity | Mode::Features, _) => {
                let found = self.draw(Channels { colour: true, ..own }, context)?;
                let colours = found.colour.as_chunks::<3>().0.to_vec();
                Shown {
                    colours: Some(colours),
                    alpha: found.alpha,
                    values: found.colour,
                    shape: vec![height, width, 3],
                }
            }
        };
        Ok(shown)
    }
}

/// Premultiplied colours over a background, as a picture.
fn over(
    colours: &[[f32; 3]],
    alpha: &[f32],
    background: Background,
    (width, height): (u32, u32),
) -> (RgbImage, Option<GrayImage>) {
    let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
    let at = |x: u32, y: u32| y as usize * width as usize + x as usize;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        let (colour, alpha) = (colours[at(x, y)], alpha[at(x, y)]);
        Rgb(std::array::from_fn(|channel| match background {
            Background::Colour(behind) => byte(colour[channel] + (1.0 - alpha) * behind[channel]),
            Background::Transparent if alpha > 0.0 => byte(colour[channel] / alpha),
            Background::Transparent => 0,
        }))
    });
    let opacity = (background == Background::Transparent)
        .then(|| GrayImage::from_fn(width, height, |x, y| image::Luma([byte(alpha[at(x, y)])])));
    (picture, opacity)
}
