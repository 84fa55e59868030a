//! Scenes in, on threads of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use egui::Context;

use super::cameras::beside;
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::lens::LensKind;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::engine::memory;
use crate::nets::watcher::Cancelled;
use crate::splats::SplatObserver;
use crate::splats::camera::Camera;
use crate::splats::gaussians::{Bounds, Gaussians};
use crate::splats::io::cameras::NamedCamera;
use crate::splats::io::{self, OpenOptions};

/// An open scene.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) name: String,
    /// Its file; of a lifted picture there is none yet.
    pub(super) path: Option<PathBuf>,
    pub(super) gaussians: Arc<Gaussians>,
    pub(super) format: &'static str,
    /// Where the first of the cameras beside the file stands, and how far what it looks at is.
    pub(super) first: Option<(Camera, f64)>,
    /// The box that is framed: from the first to the ninety-ninth percent of the centres.
    pub(super) robust: Bounds,
    /// The cameras beside the file, and where their photographs are looked for.
    pub(super) cameras: Vec<NamedCamera>,
    pub(super) photographs: Option<PathBuf>,
}

/// The first of the cameras beside a scene, and how far the Gaussians in the middle of its picture are.
pub(super) fn first_camera(cameras: &[NamedCamera], scene: &Gaussians) -> Option<(Camera, f64)> {
    let camera = cameras.first()?.camera;
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
            let (cameras, photographs) = beside(&path);
            let first = first_camera(&cameras, &opened.scene);
            let robust = opened.scene.robust_bounds();
            let scene = Scene {
                name: of_scene,
                path: Some(path),
                gaussians: Arc::new(opened.scene),
                format: opened.format.name(),
                first,
                robust,
                cameras,
                photographs,
            };
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
            && !self.splats.lifter.is_working()
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
                if let Some(path) = &scene.path {
                    self.settings.now.splats.remember(path);
                }
                self.splats.show_scene(scene);
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
}
