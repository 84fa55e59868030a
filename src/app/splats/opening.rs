//! Scenes in and pictures out, on threads of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use egui::Context;
use image::{GrayImage, RgbImage};

use super::drawing::{Painter, Renderer};
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::lens::LensKind;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::engine::memory;
use crate::nets::watcher::Cancelled;
use crate::picture::encode::{SaveOptions, save};
use crate::splats::camera::Camera;
use crate::splats::gaussians::Gaussians;
use crate::splats::io::{self, OpenOptions, cameras};
use crate::splats::{SplatObserver, Unobserved};

/// An open scene.
pub(super) struct Scene {
    pub(super) name: String,
    pub(super) gaussians: Arc<Gaussians>,
    pub(super) format: &'static str,
    /// Where the first of the cameras beside the file stands, and how far what it looks at is.
    pub(super) first: Option<(Camera, f64)>,
}

/// The first camera of `NAME.cameras.json` beside a scene, and how far the Gaussians in the middle of its picture are.
fn first_camera(path: &Path, scene: &Gaussians) -> Option<(Camera, f64)> {
    let camera = cameras::open(&path.with_extension("cameras.json"), None).ok()?.cameras.first()?.camera;
    let middle = glam::DVec2::new(f64::from(camera.width), f64::from(camera.height)) / 2.0;
    let depths = scene.positions().iter().filter_map(|position| {
        let point = glam::DVec3::from(position.map(f64::from));
        let seen = camera.project(point)?;
        ((seen - middle).abs().cmplt(middle / 3.0).all()).then(|| camera.to_camera(point).z)
    });
    let mut depths: Vec<f64> = depths.collect();
    depths.sort_by(f64::total_cmp);
    // The nearer half is what is looked at; what lies behind it is the distance.
    let depth = *depths.get(depths.len() / 4)?;
    Some((camera, depth))
}

/// A scene that is being read.
pub(super) struct Opening {
    pub(super) name: String,
    progress: Arc<Progress>,
    task: Background<(Scene, Vec<String>)>,
}

/// How far the reading is, and whether to go on.
#[derive(Default)]
struct Progress {
    steps: AtomicUsize,
    done: AtomicUsize,
    stopped: AtomicBool,
}

impl SplatObserver for Progress {
    fn stage(&self, _: &str, steps: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.steps.store(steps, Ordering::Relaxed);
    }

    fn step(&self, done: usize) {
        self.done.store(done, Ordering::Relaxed);
    }

    fn checkpoint(&self) -> Result<(), Cancelled> {
        if self.stopped.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }
}

impl Opening {
    /// 0..=1, where it is known.
    pub(super) fn fraction(&self) -> Option<f32> {
        let steps = self.progress.steps.load(Ordering::Relaxed);
        (steps > 0).then(|| self.progress.done.load(Ordering::Relaxed) as f32 / steps as f32)
    }
}

/// Whether a file is for this lens, by its ending.
pub(in crate::app) fn is_scene(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| matches!(ending.as_str(), "ply" | "splat" | "spz"))
}

impl Glassbox {
    /// Opens a scene in the background and shows the lens.
    pub(in crate::app) fn open_scene(&mut self, ctx: &Context, path: PathBuf) {
        self.show_lens(LensKind::Splats);
        self.stop_opening();
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
        let progress = Arc::new(Progress::default());
        let (of_thread, of_scene, ctx) = (Arc::clone(&progress), name.clone(), ctx.clone());
        let task = Background::start("open a scene", move || {
            let options = OpenOptions { available: memory::available(), features: None };
            let opened = io::open(&path, &options, &*of_thread).map_err(|error| error.to_string());
            ctx.request_repaint();
            let opened = opened?;
            let first = first_camera(&path, &opened.scene);
            let scene =
                Scene { name: of_scene, gaussians: Arc::new(opened.scene), format: opened.format.name(), first };
            Ok((scene, opened.notes))
        });
        self.splats.opening = Some(Opening { name, progress, task });
    }

    pub(in crate::app) fn stop_opening(&mut self) {
        if let Some(opening) = self.splats.opening.take() {
            opening.progress.stopped.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn poll_opening(&mut self, ctx: &Context) {
        if self.splats_are_open()
            && self.splats.scene.is_none()
            && self.splats.opening.is_none()
            && self.splats.fault.is_none()
            && let Some(sample) = self.splats.sample.clone()
        {
            self.open_scene(ctx, sample);
        }
        let Some(opening) = &mut self.splats.opening else { return };
        let Some(done) = opening.task.take() else {
            ctx.request_repaint_after_secs(0.1);
            return;
        };
        let name = std::mem::take(&mut opening.name);
        self.splats.opening = None;
        match done {
            Ok((scene, notes)) => {
                if !notes.is_empty() {
                    self.notices.explain(Level::Info, format!("Opened {name}"), notes.join(" "));
                }
                let lens = &mut self.splats;
                lens.shape.forget();
                (lens.query, lens.hit, lens.asked, lens.last, lens.fault) = (None, None, None, None, None);
                lens.texture = None;
                lens.scene = Some(scene);
                self.see_as_opened();
            }
            Err(sentence) => {
                self.notices.explain(Level::Error, format!("{name} could not be opened"), sentence.clone());
                if self.splats.scene.is_none() {
                    self.splats.fault = Some(sentence);
                }
            }
        }
    }

    pub(in crate::app) fn ask_for_a_scene(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Scene, move || {
            let kinds: [(&str, &[&str]); 1] = [("Splat scenes", &["ply", "splat", "spz"])];
            let choice = dialogs.open_file(folder.as_deref(), "Open a splat scene", &kinds);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// The name of a picture of the scene.
    pub(in crate::app) fn suggested_view(&self) -> Option<String> {
        let scene = self.splats.scene.as_ref()?;
        let stem = Path::new(&scene.name).file_stem()?.to_string_lossy().into_owned();
        Some(format!("{stem} - view.png"))
    }

    pub(super) fn ask_where_to_export_the_view(&mut self, ctx: &Context) {
        let Some(suggested) = self.suggested_view() else { return };
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::View, move || {
            let choice = dialogs.save(folder.as_deref(), &suggested, &[("PNG", &["png"])]);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// Draws the view anew at the size that was chosen, on the processor, which is exact, and writes it.
    pub(in crate::app) fn export_view_to(&mut self, ctx: &Context, path: PathBuf) {
        let lens = &self.splats;
        let Some(drawn) = &lens.last else { return };
        let (width, height) = (f64::from(drawn.camera.width), f64::from(drawn.camera.height));
        let scale = lens.export_side / width.max(height);
        let side = |side: f64| ((side * scale).round() as u32).max(1);
        let Ok(camera) = lens.eye.camera((side(width), side(height))) else { return };
        let Some(mut wanted) = lens.wanted(&self.settings.now.splats, camera) else { return };
        wanted.renderer = Renderer::Cpu;
        let [r, g, b, _] = crate::app::theme::palette(ctx).canvas.to_array();
        wanted.background = (!lens.clear).then(|| [r, g, b].map(|value| f32::from(value) / 255.0));
        let ctx = ctx.clone();
        self.set_exporting(Background::start("export a view", move || {
            let drawn = Painter::new(None).paint(&wanted, &Unobserved).map_err(|error| error.to_string());
            let written = drawn.and_then(|drawn| {
                let [width, height] = drawn.image.size;
                let straight: Vec<[u8; 4]> =
                    drawn.image.pixels.iter().map(|pixel| pixel.to_srgba_unmultiplied()).collect();
                let size = (width as u32, height as u32);
                let at = |x: u32, y: u32| straight[y as usize * width + x as usize];
                let rgb = RgbImage::from_fn(size.0, size.1, |x, y| image::Rgb([at(x, y)[0], at(x, y)[1], at(x, y)[2]]));
                let alpha = wanted
                    .background
                    .is_none()
                    .then(|| GrayImage::from_fn(size.0, size.1, |x, y| image::Luma([at(x, y)[3]])));
                save(&path, &rgb, alpha.as_ref(), &SaveOptions::default()).map_err(|error| error.to_string())
            });
            ctx.request_repaint();
            let saved = written?;
            Ok(std::iter::once(format!("Exported {}", path.display())).chain(saved.notes).collect())
        }));
    }
}
