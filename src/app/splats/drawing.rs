//! Pictures of the scene, drawn on a thread of their own: the newest request wins, older ones are given up.
//!
//! On a graphics card the picture stays on the device and the window shows it from there; on the processor it comes as
//! pixels. Whoever draws, [`crate::splats::shading`] says how maps are coloured.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use egui::{Color32, ColorImage, Context};
use serde::{Deserialize, Serialize};

use super::analysis::{Found, next_id};
use super::picking::Depths;
use crate::engine::jobs::splats::modes;
use crate::nets::watcher::Cancelled;
use crate::splats::camera::Camera;
use crate::splats::gaussians::Gaussians;
use crate::splats::gpu::device::Gpu;
use crate::splats::gpu::{GpuRasteriser, OnScreen, Shape, Sums};
use crate::splats::projection::Filter;
use crate::splats::raster::{Rasteriser, Values};
use crate::splats::selection::Marks;
use crate::splats::shading::{self, Look, Numbers, Shown, Sight};
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

    fn shape(self) -> Shape {
        match self {
            Self::Ellipsoids => Shape::Ellipsoids,
            Self::Centres => Shape::Centres,
            _ => Shape::Splats,
        }
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
    /// Components or clusters, as the mode needs them.
    pub(super) found: Option<Arc<Found>>,
    pub(crate) query: Option<Arc<[f32]>>,
    /// Similarity of what is blended, not the blended similarity: as many channels as the features have.
    pub(crate) exact: bool,
    pub(crate) antialiased: bool,
    pub(crate) renderer: Renderer,
    pub(crate) visible: Option<Marks>,
    pub(crate) selected: Option<Marks>,
    pub(crate) tint: [f32; 3],
    /// Behind the scene; nothing if `None`.
    pub(crate) background: Option<[f32; 3]>,
}

/// A picture, wherever it lies.
pub(crate) enum Pictured {
    Here(ColorImage),
    OnDevice(Box<OnScreen>),
}

/// A picture that was drawn.
pub(crate) struct Drawn {
    pub(crate) picture: Pictured,
    /// Where it was drawn from.
    pub(crate) camera: Camera,
    pub(super) depths: Depths,
    pub(crate) seconds: f64,
    pub(crate) by: String,
}

/// The newest request, and whether there will be more.
#[derive(Default)]
struct Desk {
    /// With its number: the first is 1.
    wanted: Option<(u64, Wanted)>,
    closed: bool,
}

type Shared = Arc<(Mutex<Desk>, Condvar)>;

/// The answer to a request, with the request's number.
type Answer = (u64, Result<Drawn, String>);

/// The thread that draws.
pub(crate) struct Drawing {
    desk: Shared,
    results: Receiver<Answer>,
    /// Numbers of the newest request and of the newest that was answered: an older picture may come while a newer one
    /// is drawn already.
    asked: u64,
    answered: u64,
}

fn with_desk<T>(desk: &Shared, with: impl FnOnce(&mut Desk) -> T) -> T {
    with(&mut desk.0.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Drawing {
    /// `shown`: the window draws with this device, so that pictures may stay on it.
    pub(crate) fn start(ctx: &Context, gpu: Option<Gpu>, shown: bool) -> std::io::Result<Self> {
        let (desk, (sender, results)) = (Shared::default(), channel());
        let (of_thread, ctx) = (Arc::clone(&desk), ctx.clone());
        std::thread::Builder::new()
            .name("splats".to_owned())
            .spawn(move || work(&of_thread, &sender, &ctx, Painter::new(gpu, shown)))?;
        Ok(Self { desk, results, asked: 0, answered: 0 })
    }

    /// Asks for a picture; one that is being drawn is given up.
    pub(crate) fn want(&mut self, wanted: Wanted) {
        self.asked += 1;
        with_desk(&self.desk, |desk| desk.wanted = Some((self.asked, wanted)));
        self.desk.1.notify_one();
    }

    pub(crate) fn is_drawing(&self) -> bool {
        self.answered < self.asked
    }

    /// What has come since.
    pub(crate) fn take(&mut self) -> Option<Result<Drawn, String>> {
        let (number, drawn) = self.results.try_iter().last()?;
        self.answered = number;
        Some(drawn)
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

fn work(desk: &Shared, results: &Sender<Answer>, ctx: &Context, mut painter: Painter) {
    loop {
        let mut now = desk.0.lock().unwrap_or_else(PoisonError::into_inner);
        while now.wanted.is_none() && !now.closed {
            now = desk.1.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        let Some((number, wanted)) = now.wanted.take().filter(|_| !now.closed) else { return };
        drop(now);
        let painted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| painter.paint(&wanted, &Newest(desk))));
        let result = match painted {
            // Given up for a newer one, which will be answered.
            Ok(Err(SplatError::Cancelled(_))) => continue,
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("A fault in Glassbox stopped the drawing. Nothing else is affected.".to_owned()),
        };
        if results.send((number, result)).is_err() {
            return;
        }
        ctx.request_repaint();
    }
}

/// The cosine of each Gaussian with a query.
struct Cosines {
    scene: u64,
    query: Arc<[f32]>,
    id: u64,
    values: Vec<f32>,
}

/// What draws, and what it keeps between pictures.
pub(crate) struct Painter {
    gpu: Option<Gpu>,
    /// One of its own, where the window has none and the person asks for one.
    headless: Option<Gpu>,
    shown: bool,
    on_gpu: Option<GpuRasteriser>,
    tiles: TileRasteriser,
    cosines: Option<Cosines>,
    /// A scene whose Gaussians are drawn as something else, for the processor.
    other: Option<(u64, Shape, Arc<Gaussians>)>,
}

impl Painter {
    pub(crate) fn new(gpu: Option<Gpu>, shown: bool) -> Self {
        Self { gpu, headless: None, shown, on_gpu: None, tiles: TileRasteriser::default(), cosines: None, other: None }
    }

    /// The device to draw with; the processor if there is none.
    fn device(&mut self, renderer: Renderer) -> Result<Option<Gpu>, SplatError> {
        match renderer {
            Renderer::Automatic => Ok(self.gpu.clone().filter(|gpu| !gpu.is_cpu())),
            Renderer::Cpu => Ok(None),
            Renderer::Gpu => match self.gpu.clone() {
                Some(gpu) => Ok(Some(gpu)),
                None => {
                    let gpu = self.headless.take().map_or_else(Gpu::headless, Ok)?;
                    Ok(Some(self.headless.insert(gpu).clone()))
                }
            },
        }
    }

    /// Draws a picture.
    pub(crate) fn paint(&mut self, wanted: &Wanted, observer: &dyn SplatObserver) -> Result<Drawn, SplatError> {
        let began = Instant::now();
        let cosines = self.cosines_for(wanted);
        let shown = shown(wanted, cosines.as_ref());
        let look = Look {
            shown,
            share: wanted.share,
            background: wanted.background,
            scale: modes::scale(),
            selected: wanted.selected.as_ref(),
            tint: wanted.tint,
        };
        let filter = if wanted.antialiased { Filter::Antialiased } else { Filter::Classic };
        let sight = Sight { camera: &wanted.camera, filter, visible: wanted.visible.as_ref() };
        let drawn = match self.device(wanted.renderer)? {
            Some(gpu) => self.on_device(&gpu, wanted, &sight, &look, observer),
            None => self.on_processor(wanted, &sight, &look, observer),
        };
        self.cosines = cosines;
        let (picture, depths, by) = drawn?;
        Ok(Drawn { picture, camera: wanted.camera, depths, seconds: began.elapsed().as_secs_f64(), by })
    }

    /// The cosines that a similarity blends, those of the last picture if they are the same.
    fn cosines_for(&mut self, wanted: &Wanted) -> Option<Cosines> {
        let (scene, kept) = (wanted.scene.revision(), self.cosines.take());
        let (Mode::Similarity, Some(features), Some(query)) = (wanted.mode, wanted.scene.features(), &wanted.query)
        else {
            return kept;
        };
        if query.len() != features.dim {
            return None;
        }
        let kept = kept.filter(|kept| kept.scene == scene && kept.query == *query);
        kept.or_else(|| {
            let values = modes::cosines(&features.values, features.dim, query);
            Some(Cosines { scene, query: Arc::clone(query), id: next_id(), values })
        })
    }

    fn on_device(
        &mut self,
        gpu: &Gpu,
        wanted: &Wanted,
        sight: &Sight<'_>,
        look: &Look<'_>,
        observer: &dyn SplatObserver,
    ) -> Result<(Pictured, Depths, String), SplatError> {
        let mut rasteriser = match self.on_gpu.take() {
            Some(rasteriser) => rasteriser,
            None => GpuRasteriser::new(gpu, Sums::Half)?,
        };
        let drawn = rasteriser
            .set_scene(&wanted.scene)
            .and_then(|()| rasteriser.show(sight, look, wanted.mode.shape(), observer));
        let by = rasteriser.describe();
        // After a fault of the device the next picture begins afresh on it.
        if !matches!(drawn, Err(SplatError::Device(_))) {
            self.on_gpu = Some(rasteriser);
        }
        let view = drawn?;
        let picture =
            if self.shown { Pictured::OnDevice(Box::new(view.clone())) } else { here(view.size(), &view.pixels()?) };
        Ok((picture, Depths::OnDevice(Box::new(view)), by))
    }

    fn on_processor(
        &mut self,
        wanted: &Wanted,
        sight: &Sight<'_>,
        look: &Look<'_>,
        observer: &dyn SplatObserver,
    ) -> Result<(Pictured, Depths, String), SplatError> {
        let scene = self.shaped(wanted)?;
        self.tiles.set_scene(&scene)?;
        let drawn = shading::draw(&mut self.tiles, &scene, sight, look, observer)?;
        let picture = here((drawn.width as u32, drawn.height as u32), &drawn.pixels);
        Ok((picture, Depths::Here(Arc::new(drawn.depth)), self.tiles.describe()))
    }

    /// The scene as the mode draws it.
    fn shaped(&mut self, wanted: &Wanted) -> Result<Arc<Gaussians>, SplatError> {
        let (shape, revision) = (wanted.mode.shape(), wanted.scene.revision());
        if shape == Shape::Splats {
            self.other = None;
            return Ok(Arc::clone(&wanted.scene));
        }
        if let Some((of, as_, scene)) = &self.other
            && (*of, *as_) == (revision, shape)
        {
            return Ok(Arc::clone(scene));
        }
        let mut parts = wanted.scene.parts().clone();
        parts.opacity_logits.fill(6.0);
        for scales in &mut parts.log_scales {
            *scales = scales.map(|scale| if shape == Shape::Centres { f32::NEG_INFINITY } else { scale - 1.0 });
        }
        let made = Arc::new(Gaussians::new(parts)?);
        self.other = Some((revision, shape, Arc::clone(&made)));
        Ok(made)
    }
}

/// What a mode shows; the colours where it has no answer yet.
fn shown<'a>(wanted: &'a Wanted, cosines: Option<&'a Cosines>) -> Shown<'a> {
    let of_found = wanted.found.as_deref().map(|found| {
        let values = Values { dim: found.dim, values: &found.values };
        (Numbers { values, id: found.id }, found)
    });
    match (wanted.mode, of_found, wanted.scene.features()) {
        (Mode::Depth, ..) => Shown::Depth,
        (Mode::Normals, ..) => Shown::Normals,
        (Mode::Opacity, ..) => Shown::Opacity,
        (Mode::Count, ..) => Shown::Count,
        (Mode::Pca, Some((numbers, found)), _) if found.palette.is_empty() => Shown::Components(numbers, found.ranges),
        (Mode::Clusters, Some((numbers, found)), _) if !found.palette.is_empty() => {
            Shown::Clusters(numbers, &found.palette)
        }
        (Mode::Similarity, _, Some(features)) => match (&wanted.query, cosines) {
            (Some(query), Some(_)) if wanted.exact => {
                let values = Values { dim: features.dim, values: &features.values };
                // Of all numbers for values these are counted from the other end.
                Shown::Similarity(Numbers { values, id: u64::MAX - wanted.scene.revision() }, query)
            }
            (Some(_), Some(cosines)) => {
                Shown::Cosine(Numbers { values: Values { dim: 1, values: &cosines.values }, id: cosines.id })
            }
            _ => Shown::Colour,
        },
        _ => Shown::Colour,
    }
}

fn here((width, height): (u32, u32), pixels: &[[u8; 4]]) -> Pictured {
    let pixels = pixels.iter().map(|[r, g, b, a]| Color32::from_rgba_premultiplied(*r, *g, *b, *a));
    Pictured::Here(ColorImage::new([width as usize, height as usize], pixels.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_picture_does_not_end_the_wait_for_a_newer_one() {
        let (sender, results) = channel();
        let mut drawing = Drawing { desk: Shared::default(), results, asked: 2, answered: 0 };
        let answer = |number, sentence: &str| sender.send((number, Err(sentence.to_owned()))).unwrap();
        assert!(drawing.take().is_none() && drawing.is_drawing());
        // The thread took the second request off the desk just after it had finished the first.
        answer(1, "first");
        assert_eq!(drawing.take().and_then(Result::err).as_deref(), Some("first"));
        assert!(drawing.is_drawing(), "the second is on its way");
        answer(2, "second");
        assert_eq!(drawing.take().and_then(Result::err).as_deref(), Some("second"));
        assert!(!drawing.is_drawing());
    }
}
