//! Pictures of the scene, drawn on a thread of their own: the newest request wins, older ones are given up.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use egui::{ColorImage, Context};
use serde::{Deserialize, Serialize};

use crate::engine::jobs::splats::modes;
use crate::features::pca::Colouring;
use crate::nets::watcher::{Cancelled, Unwatched};
use crate::splats::camera::Camera;
use crate::splats::gaussians::Gaussians;
use crate::splats::gpu::device::Gpu;
use crate::splats::gpu::{GpuRasteriser, Sums};
use crate::splats::projection::Filter;
use crate::splats::raster::{Channels, Raster, RasterRequest, Rasteriser, Values};
use crate::splats::tiles::TileRasteriser;
use crate::splats::{SplatError, SplatObserver};

/// What the picture shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    #[default]
    Colour,
    Pca,
    Clusters,
    Similarity,
    Depth,
    Normals,
    Opacity,
    Count,
    Ellipsoids,
    Centres,
}

impl Mode {
    /// With their names, those that need features last.
    pub(crate) const ALL: [(Self, &'static str); 10] = [
        (Self::Colour, "Colour"),
        (Self::Depth, "Depth"),
        (Self::Normals, "Normals"),
        (Self::Opacity, "Opacity"),
        (Self::Count, "Count"),
        (Self::Ellipsoids, "Ellipsoids"),
        (Self::Centres, "Centres"),
        (Self::Pca, "PCA"),
        (Self::Clusters, "Clusters"),
        (Self::Similarity, "Similarity"),
    ];

    pub(crate) fn needs_features(self) -> bool {
        matches!(self, Self::Pca | Self::Clusters | Self::Similarity)
    }
}

/// Who draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Renderer {
    /// The graphics card, if it is one; else the processor.
    #[default]
    Automatic,
    Gpu,
    Cpu,
}

/// A picture that is wanted.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) scene: Arc<Gaussians>,
    pub(crate) camera: Camera,
    pub(crate) mode: Mode,
    /// Of the mode over the colours, 0..=1.
    pub(crate) share: f32,
    pub(crate) clusters: usize,
    pub(crate) query: Option<Arc<[f32]>>,
    pub(crate) antialiased: bool,
    pub(crate) renderer: Renderer,
    /// Behind the scene; nothing (straight colours and opacity) if `None`.
    pub(crate) background: Option<[f32; 3]>,
}

/// A picture that was drawn.
pub(crate) struct Drawn {
    pub(crate) image: ColorImage,
    /// Where it was drawn from.
    pub(crate) camera: Camera,
    /// The expected depth, row by row, 0 where nothing is seen.
    pub(crate) depth: Vec<f32>,
    pub(crate) seconds: f64,
    pub(crate) by: String,
}

/// The newest request, and whether there will be more.
#[derive(Default)]
struct Desk {
    wanted: Option<Wanted>,
    closed: bool,
}

type Shared = Arc<(Mutex<Desk>, Condvar)>;

/// The thread that draws.
pub(crate) struct Drawing {
    desk: Shared,
    results: Receiver<Result<Drawn, String>>,
    /// Pictures that are on their way.
    open: bool,
}

fn with_desk<T>(desk: &Shared, with: impl FnOnce(&mut Desk) -> T) -> T {
    with(&mut desk.0.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Drawing {
    pub(crate) fn start(ctx: &Context, gpu: Option<Gpu>) -> std::io::Result<Self> {
        let (desk, (sender, results)) = (Shared::default(), channel());
        let (of_thread, ctx) = (Arc::clone(&desk), ctx.clone());
        std::thread::Builder::new().name("splats".to_owned()).spawn(move || work(&of_thread, &sender, &ctx, gpu))?;
        Ok(Self { desk, results, open: false })
    }

    /// Asks for a picture; one that is being drawn is given up.
    pub(crate) fn want(&mut self, wanted: Wanted) {
        with_desk(&self.desk, |desk| desk.wanted = Some(wanted));
        self.desk.1.notify_one();
        self.open = true;
    }

    pub(crate) fn is_drawing(&self) -> bool {
        self.open
    }

    /// What has come since.
    pub(crate) fn take(&mut self) -> Option<Result<Drawn, String>> {
        let newest = self.results.try_iter().last();
        if newest.is_some() {
            self.open = with_desk(&self.desk, |desk| desk.wanted.is_some());
        }
        newest
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        with_desk(&self.desk, |desk| desk.closed = true);
        self.desk.1.notify_one();
    }
}

/// Gives up as soon as something newer is wanted.
struct Newest<'a>(&'a Shared);

impl SplatObserver for Newest<'_> {
    fn stage(&self, _: &str, _: usize) {}
    fn step(&self, _: usize) {}
    fn checkpoint(&self) -> Result<(), Cancelled> {
        let newer = with_desk(self.0, |desk| desk.wanted.is_some() || desk.closed);
        if newer { Err(Cancelled) } else { Ok(()) }
    }
}

fn work(desk: &Shared, results: &Sender<Result<Drawn, String>>, ctx: &Context, gpu: Option<Gpu>) {
    let mut painter = Painter::new(gpu);
    loop {
        let mut now = desk.0.lock().unwrap_or_else(PoisonError::into_inner);
        while now.wanted.is_none() && !now.closed {
            now = desk.1.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(wanted) = now.wanted.take().filter(|_| !now.closed) else { return };
        drop(now);
        let painted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| painter.paint(&wanted, &Newest(desk))));
        let result = match painted {
            Ok(Err(SplatError::Cancelled(_))) => continue,
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("A fault in Glassbox stopped the drawing. Nothing else is affected.".to_owned()),
        };
        if results.send(result).is_err() {
            return;
        }
        ctx.request_repaint();
    }
}

/// Numbers of each Gaussian that a mode blends, and how they become colours.
struct Prepared {
    of: (u64, Mode, usize, Option<Arc<[f32]>>),
    dim: usize,
    values: Vec<f32>,
    colouring: Option<Colouring>,
    palette: Vec<[f32; 3]>,
    /// Another scene that is drawn in the place of this one.
    other: Option<Arc<Gaussians>>,
}

/// What draws, and what it keeps between pictures.
pub(crate) struct Painter {
    gpu: Option<Gpu>,
    on_gpu: Option<GpuRasteriser>,
    tiles: TileRasteriser,
    prepared: Option<Prepared>,
}

impl Painter {
    pub(crate) fn new(gpu: Option<Gpu>) -> Self {
        Self { gpu, on_gpu: None, tiles: TileRasteriser::default(), prepared: None }
    }

    fn rasteriser(&mut self, renderer: Renderer) -> Result<&mut dyn Rasteriser, SplatError> {
        let wanted = match renderer {
            Renderer::Automatic => self.gpu.clone().filter(|gpu| !gpu.is_cpu()),
            Renderer::Cpu => None,
            Renderer::Gpu => match self.gpu.clone() {
                Some(gpu) => Some(gpu),
                None => Some(Gpu::headless()?),
            },
        };
        let Some(gpu) = wanted else { return Ok(&mut self.tiles) };
        if self.on_gpu.is_none() {
            self.on_gpu = Some(GpuRasteriser::new(&gpu, Sums::Half)?);
        }
        match &mut self.on_gpu {
            Some(rasteriser) => Ok(rasteriser),
            None => Ok(&mut self.tiles),
        }
    }

    fn prepare(&mut self, wanted: &Wanted) -> Result<Prepared, SplatError> {
        let of = (wanted.scene.revision(), wanted.mode, wanted.clusters, wanted.query.clone());
        if let Some(prepared) = self.prepared.take().filter(|prepared| prepared.of == of) {
            return Ok(prepared);
        }
        let mut made = Prepared { of, dim: 0, values: Vec::new(), colouring: None, palette: Vec::new(), other: None };
        let failed = |error: crate::features::FeatureError| SplatError::Request(error.to_string());
        match (wanted.mode, wanted.scene.features()) {
            (Mode::Pca, Some(features)) => {
                let (values, colouring) = modes::components(features, &Unwatched).map_err(failed)?;
                (made.dim, made.values, made.colouring) = (4, values, Some(colouring));
            }
            (Mode::Clusters, Some(features)) => {
                let (values, palette) = modes::clusters(features, wanted.clusters, 0, &Unwatched).map_err(failed)?;
                (made.dim, made.values, made.palette) = (palette.len(), values, palette);
            }
            (Mode::Similarity, Some(features)) => {
                if let Some(query) = &wanted.query {
                    // One cosine a Gaussian, blended: quick, and the same as the cosine of what is blended wherever one
                    // surface is seen.
                    (made.dim, made.values) = (1, modes::cosines(&features.values, features.dim, query));
                }
            }
            (Mode::Ellipsoids | Mode::Centres, _) => {
                let mut parts = wanted.scene.parts().clone();
                parts.opacity_logits.fill(6.0);
                let dots = wanted.mode == Mode::Centres;
                for scales in &mut parts.log_scales {
                    *scales = scales.map(|scale| if dots { f32::NEG_INFINITY } else { scale - 1.0 });
                }
                made.other = Some(Arc::new(Gaussians::new(parts)?));
            }
            _ => {}
        }
        Ok(made)
    }

    /// Draws a picture.
    pub(crate) fn paint(&mut self, wanted: &Wanted, observer: &dyn SplatObserver) -> Result<Drawn, SplatError> {
        let began = Instant::now();
        let prepared = self.prepare(wanted)?;
        let drawn = self.paint_prepared(wanted, &prepared, observer, began);
        self.prepared = Some(prepared);
        if matches!(drawn, Err(SplatError::Device(_))) {
            // The next picture begins afresh on the device.
            self.on_gpu = None;
        }
        drawn
    }

    fn paint_prepared(
        &mut self,
        wanted: &Wanted,
        prepared: &Prepared,
        observer: &dyn SplatObserver,
        began: Instant,
    ) -> Result<Drawn, SplatError> {
        let rasteriser = self.rasteriser(wanted.renderer)?;
        rasteriser.set_scene(prepared.other.as_ref().unwrap_or(&wanted.scene))?;
        let own = matches!(wanted.mode, Mode::Colour | Mode::Ellipsoids | Mode::Centres);
        let channels = Channels {
            colour: own || wanted.share < 1.0,
            depth: true,
            normals: wanted.mode == Mode::Normals,
            count: wanted.mode == Mode::Count,
            values: (prepared.dim > 0).then_some(Values { dim: prepared.dim, values: &prepared.values }),
            ..Channels::default()
        };
        let filter = if wanted.antialiased { Filter::Antialiased } else { Filter::Classic };
        let request = RasterRequest { camera: &wanted.camera, filter, sh_degree: 3, channels, visible: None };
        let raster = rasteriser.render(&request, observer)?;
        let by = rasteriser.describe();
        let image = coloured(wanted, prepared, &raster);
        Ok(Drawn { image, camera: wanted.camera, depth: raster.depth, seconds: began.elapsed().as_secs_f64(), by })
    }
}

/// The colours of a mode, premultiplied, with how much of each pixel they cover.
fn of_mode(wanted: &Wanted, prepared: &Prepared, raster: &Raster) -> Option<(Vec<[f32; 3]>, Vec<f32>)> {
    let alpha = &raster.alpha;
    let times_alpha = |colours: Vec<[f32; 3]>| -> Vec<[f32; 3]> {
        colours.into_iter().zip(alpha).map(|(colour, alpha)| colour.map(|value| value * alpha)).collect()
    };
    let opaque = || vec![1.0; alpha.len()];
    Some(match wanted.mode {
        Mode::Colour | Mode::Ellipsoids | Mode::Centres => return None,
        Mode::Depth => {
            let near: Vec<f32> = raster.depth.iter().map(|depth| -depth).collect();
            (times_alpha(modes::scaled(&near, alpha)), alpha.clone())
        }
        Mode::Normals => {
            let normals = raster.normals.as_chunks::<3>().0.iter().zip(alpha);
            let colours = normals.map(|([x, y, z], alpha)| [x, &-y, &-z].map(|value| 0.5 * (alpha + value)));
            (colours.collect(), alpha.clone())
        }
        Mode::Opacity => (alpha.iter().map(|alpha| [*alpha; 3]).collect(), opaque()),
        Mode::Count => {
            let counts: Vec<f32> = raster.count.iter().map(|count| *count as f32).collect();
            (modes::scaled(&counts, &opaque()), opaque())
        }
        Mode::Pca => {
            let colouring = prepared.colouring.as_ref()?;
            let blended = raster.values.as_chunks::<4>().0.iter();
            let colours = blended.map(|blended| {
                let (colour, share) = modes::component_colour(blended, colouring);
                colour.map(|value| value * share)
            });
            (colours.collect(), alpha.clone())
        }
        Mode::Clusters => {
            let scores = raster.values.chunks_exact(prepared.dim.max(1));
            let colours =
                scores.map(|scores| prepared.palette.get(modes::greatest(scores)).copied().unwrap_or_default());
            (times_alpha(colours.collect()), alpha.clone())
        }
        Mode::Similarity => {
            if prepared.dim == 0 {
                return None;
            }
            let cosines = raster.values.iter().zip(alpha);
            let colours = cosines.map(|(cosine, alpha)| {
                let cosine = if *alpha > 0.0 { cosine / alpha } else { 0.0 };
                crate::features::colour::ColourScale::Depths.colour(cosine).0.map(|value| f32::from(value) / 255.0)
            });
            (times_alpha(colours.collect()), alpha.clone())
        }
    })
}

fn coloured(wanted: &Wanted, prepared: &Prepared, raster: &Raster) -> ColorImage {
    let of_mode = of_mode(wanted, prepared, raster);
    // A mode without an answer yet (similarity to nothing) shows the colours, or nothing.
    let colour = |pixel: usize| raster.colour.as_chunks::<3>().0.get(pixel).copied().unwrap_or_default();
    let share = if of_mode.is_some() { wanted.share } else { 0.0 };
    let pixels = (0..raster.width * raster.height).map(|pixel| {
        let (mut premultiplied, mut alpha) = (colour(pixel), raster.alpha[pixel]);
        if let Some((colours, covered)) = &of_mode {
            premultiplied = std::array::from_fn(|at| share * colours[pixel][at] + (1.0 - share) * premultiplied[at]);
            alpha = share * covered[pixel] + (1.0 - share) * alpha;
        }
        let byte = |value: f32| (value * 255.0).round().clamp(0.0, 255.0) as u8;
        match wanted.background {
            Some(behind) => {
                let [r, g, b] = std::array::from_fn(|at| byte(premultiplied[at] + (1.0 - alpha) * behind[at]));
                egui::Color32::from_rgb(r, g, b)
            }
            None => {
                let [r, g, b] = premultiplied.map(|value| byte(value.min(alpha)));
                egui::Color32::from_rgba_premultiplied(r, g, b, byte(alpha))
            }
        }
    });
    ColorImage::new([raster.width, raster.height], pixels.collect())
}
