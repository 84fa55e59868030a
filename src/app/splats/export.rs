//! Pictures of the scene and the scene itself, written on threads of their own: one view at any size, the pictures of a
//! flight, and what is left of the scene.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::Context;
use image::{GrayImage, RgbImage};

use super::SplatsLens;
use super::drawing::{Painter, Pictured, Renderer, Wanted};
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::engine::{JobState, Monitor, Snapshot};
use crate::nets::watcher::Cancelled;
use crate::picture::encode::{SaveOptions, save};
use crate::splats::selection::Marks;
use crate::splats::{SplatObserver, Unobserved, io};

/// Pictures of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Frames {
    /// Along the path.
    Path,
    /// Once around what is looked at.
    Turntable,
}

/// How pictures are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// The longer side, pixels.
    pub(super) side: f64,
    /// Width over height; as the view is if `None`.
    pub(super) shape: Option<(u32, u32)>,
    /// Pictures of a flight.
    pub(super) frames: f64,
    /// Nothing is behind the scene.
    pub(super) clear: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self { side: 1920.0, shape: None, frames: 60.0, clear: true }
    }
}

impl Choice {
    /// Width and height in pixels for a view that is shown so large.
    pub(super) fn size(&self, shown: (u32, u32)) -> (u32, u32) {
        let (width, height) = self.shape.unwrap_or(shown);
        let (width, height) = (f64::from(width), f64::from(height));
        let scale = self.side / width.max(height);
        let side = |side: f64| ((side * scale).round() as u32).max(1);
        (side(width), side(height))
    }
}

/// Pictures that are being written.
pub(super) struct Exporting {
    monitor: Arc<Monitor>,
    task: Background<Vec<String>>,
}

impl Exporting {
    /// In words, and how far it is.
    pub(super) fn now(&self) -> (String, Snapshot) {
        let snapshot = Snapshot { state: JobState::Running, ..self.monitor.snapshot() };
        (format!("{} {} of {}", snapshot.stage, snapshot.step, snapshot.steps), snapshot)
    }

    pub(super) fn stop(&self) {
        self.monitor.cancel();
    }
}

/// Stops a frame when the whole is stopped; its own steps are no steps of the whole.
struct OfFrame<'a>(&'a Monitor);

impl SplatObserver for OfFrame<'_> {
    fn stage(&self, _: &str, _: usize) {}
    fn step(&self, _: usize) {}
    fn checkpoint(&self) -> Result<(), Cancelled> {
        self.0.check()
    }
}

/// Draws one picture on the processor, which is exact, and writes it; what a person should know, in sentences.
pub(super) fn write(
    painter: &mut Painter,
    wanted: &Wanted,
    path: &Path,
    observer: &dyn SplatObserver,
) -> Result<Vec<String>, String> {
    let drawn = painter.paint(wanted, observer).map_err(|error| error.to_string())?;
    let Pictured::Here(image) = drawn.picture else { return Err("The picture stayed on the device.".to_owned()) };
    let [width, height] = image.size;
    let straight: Vec<[u8; 4]> = image.pixels.iter().map(|pixel| pixel.to_srgba_unmultiplied()).collect();
    let (columns, rows) = (width as u32, height as u32);
    let at = |x: u32, y: u32| straight[y as usize * width + x as usize];
    let rgb = RgbImage::from_fn(columns, rows, |x, y| image::Rgb([at(x, y)[0], at(x, y)[1], at(x, y)[2]]));
    let clear = wanted.background.is_none();
    let alpha = clear.then(|| GrayImage::from_fn(columns, rows, |x, y| image::Luma([at(x, y)[3]])));
    let saved = save(path, &rgb, alpha.as_ref(), &SaveOptions::default()).map_err(|error| error.to_string())?;
    Ok(saved.notes)
}

impl Glassbox {
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

    /// What an export draws: the view as it is shown, without what only the window shows.
    fn for_export(&mut self, ctx: &Context, camera: crate::splats::camera::Camera) -> Option<Wanted> {
        let choice = self.settings.now.splats.clone();
        let found = self.splats.found(ctx, &choice);
        let lens = &self.splats;
        let mut wanted = lens.wanted(&choice, found, camera)?;
        (wanted.renderer, wanted.selected) = (Renderer::Cpu, None);
        let [r, g, b, _] = crate::app::theme::palette(ctx).canvas.to_array();
        wanted.background = (!lens.export.clear).then(|| [r, g, b].map(|value| f32::from(value) / 255.0));
        Some(wanted)
    }

    /// Draws the view anew at the size that was chosen and writes it.
    pub(in crate::app) fn export_view_to(&mut self, ctx: &Context, path: PathBuf) {
        let lens = &self.splats;
        let Some(size) = lens.export_size() else { return };
        let Ok(camera) = lens.eye.camera(size) else { return };
        let Some(wanted) = self.for_export(ctx, camera) else { return };
        let ctx = ctx.clone();
        self.set_exporting(Background::start("export a view", move || {
            let written = write(&mut Painter::new(None, false), &wanted, &path, &Unobserved);
            ctx.request_repaint();
            Ok(std::iter::once(format!("Exported {}", path.display())).chain(written?).collect())
        }));
    }

    /// Asks where the pictures of a flight go: the name of the first of them.
    pub(super) fn ask_where_to_export_frames(&mut self, ctx: &Context, frames: Frames) {
        let Some(suggested) = self.suggested_frames(frames) else { return };
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Frames(frames), move || {
            let choice = dialogs.save(folder.as_deref(), &suggested, &[("PNG, numbered", &["png"])]);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// The name that the pictures of a flight have before their numbers.
    pub(in crate::app) fn suggested_frames(&self, frames: Frames) -> Option<String> {
        let scene = self.splats.scene.as_ref()?;
        let stem = Path::new(&scene.name).file_stem()?.to_string_lossy().into_owned();
        let what = if frames == Frames::Path { "path" } else { "turntable" };
        Some(format!("{stem} - {what}.png"))
    }

    /// Writes the pictures of a flight: NAME-0001.png and so on.
    pub(in crate::app) fn export_frames_to(&mut self, ctx: &Context, frames: Frames, path: &Path) {
        let lens = &self.splats;
        let Some(size) = lens.export_size() else { return };
        if lens.exporting.is_some() {
            self.notices.say(Level::Info, "Pictures are being written already");
            return;
        }
        let count = lens.export.frames.round().max(2.0) as usize;
        let poses = match frames {
            Frames::Path => lens.path.frames(count),
            Frames::Turntable => super::path::turntable(&lens.eye, count),
        };
        let cameras: Vec<_> = poses.iter().filter_map(|pose| pose.camera(size).ok()).collect();
        let Some(first) = cameras.first().copied() else { return };
        let Some(wanted) = self.for_export(ctx, first) else { return };
        let (waker, ctx) = (ctx.clone(), ctx.clone());
        let monitor = Arc::new(Monitor::new(Arc::new(move || waker.request_repaint())));
        let watched = Arc::clone(&monitor);
        let stem = path.with_extension("");
        let task = Background::start("export pictures", move || {
            let (mut painter, all) = (Painter::new(None, false), cameras.len());
            watched.stage("Picture", all);
            for (at, camera) in cameras.into_iter().enumerate() {
                let mut name = stem.clone().into_os_string();
                name.push(format!("-{:04}.png", at + 1));
                let wanted = Wanted { camera, ..wanted.clone() };
                let written = write(&mut painter, &wanted, &PathBuf::from(name), &OfFrame(&watched));
                if watched.is_cancelled() {
                    ctx.request_repaint();
                    return Ok(vec![format!("Stopped after {at} of {all} pictures")]);
                }
                written?;
                watched.step(at + 1);
            }
            ctx.request_repaint();
            Ok(vec![format!("Exported {all} pictures"), format!("They begin with {}-0001.png.", stem.display())])
        });
        self.splats.exporting = Some(Exporting { monitor, task });
    }

    pub(super) fn poll_frames(&mut self) {
        let Some(exporting) = &mut self.splats.exporting else { return };
        let Some(done) = exporting.task.take() else { return };
        self.splats.exporting = None;
        match done {
            Ok(mut sentences) => {
                let first = if sentences.is_empty() { String::new() } else { sentences.remove(0) };
                self.notices.explain(Level::Success, first, sentences.join(" "));
            }
            Err(sentence) => self.notices.explain(Level::Error, "The pictures could not be written", sentence),
        }
    }

    /// The name of what is left of the scene.
    pub(in crate::app) fn suggested_scene(&self) -> Option<String> {
        let scene = self.splats.scene.as_ref()?;
        let stem = Path::new(&scene.name).file_stem()?.to_string_lossy().into_owned();
        Some(format!("{stem} - edited.ply"))
    }

    pub(super) fn ask_where_to_save_the_scene(&mut self, ctx: &Context) {
        let Some(suggested) = self.suggested_scene() else { return };
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::SaveScene, move || {
            let kinds: [(&str, &[&str]); 2] = [("PLY, with features", &["ply"]), ("SPZ, packed", &["spz"])];
            let choice = dialogs.save(folder.as_deref(), &suggested, &kinds);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// Writes the scene without what was deleted.
    pub(in crate::app) fn save_scene_to(&mut self, ctx: &Context, path: PathBuf) {
        let lens = &self.splats;
        let Some(scene) = lens.scene.as_ref().map(|scene| Arc::clone(&scene.gaussians)) else { return };
        let (kept, ctx) = (lens.now.deleted.as_ref().map(Marks::inverted), ctx.clone());
        self.set_exporting(Background::start("save a scene", move || {
            let left = kept.map(|kept| scene.subset(&kept.to_bools())).transpose();
            let saved = left.and_then(|left| {
                let left = left.as_ref().unwrap_or(&scene);
                io::save(&path, left, &Unobserved).map(|()| left.len())
            });
            ctx.request_repaint();
            let count = saved.map_err(|error| error.to_string())?;
            Ok(vec![format!("Exported {}", path.display()), format!("It has {count} Gaussians.")])
        }));
    }
}

impl SplatsLens {
    /// The size that pictures are written at.
    pub(super) fn export_size(&self) -> Option<(u32, u32)> {
        let camera = &self.last.as_ref()?.camera;
        Some(self.export.size((camera.width, camera.height)))
    }
}
