//! The Splats lens: a scene of 3D Gaussians to move around in, in colours, features, depth and what else it has.
//!
//! `settings` is what is kept between runs, `opening` brings scenes in and pictures out, `eye` is where one looks from,
//! `drawing` the thread that draws; `view` shows the scene and moves the eye, `panel` has the controls.

mod drawing;
mod eye;
mod opening;
mod panel;
pub(super) mod settings;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Context, Pos2, TextureHandle, TextureOptions};
use glam::DVec3;

use drawing::{Drawing, Drawn, Mode, Wanted};
use eye::Eye;
pub(super) use opening::is_scene;
use opening::{Opening, Scene};

use super::Glassbox;
use super::notices::Level;
use super::theme::palette;
use crate::splats::gpu::device::Gpu;

/// A picture while the eye moves should not take longer, seconds.
const SMOOTH: f64 = 0.05;
/// The eye is at rest when it has not moved for so long, seconds.
const REST: f64 = 0.15;

/// What is under the pointer.
#[derive(Clone, Debug)]
struct Hit {
    at: Pos2,
    point: DVec3,
    depth: f32,
    /// The Gaussian whose centre is next to it.
    nearest: usize,
}

/// The state of the Splats lens.
pub(crate) struct SplatsLens {
    gpu: Option<Gpu>,
    /// The scene that comes with the program.
    sample: Option<PathBuf>,
    opening: Option<Opening>,
    scene: Option<Scene>,
    fault: Option<String>,
    drawing: Option<Drawing>,
    eye: Eye,
    texture: Option<TextureHandle>,
    last: Option<Drawn>,
    /// What was asked for last, to see what has changed.
    asked: Option<(Asked, f32)>,
    /// When the eye last moved (the window's clock).
    moved: f64,
    /// Part of the full resolution that is drawn while the eye moves.
    coarse: f32,
    query: Option<(usize, Arc<[f32]>)>,
    hit: Option<Hit>,
    help: bool,
    keys: std::collections::HashSet<egui::Key>,
    /// The longer side of an exported picture, pixels.
    export_side: f64,
    clear: bool,
    shape: panel::ShapeOf,
}

/// All that a picture depends on.
#[derive(Clone, PartialEq)]
struct Asked {
    scene: u64,
    camera: crate::splats::camera::Camera,
    choice: settings::SplatSettings,
    query: Option<usize>,
    background: [u8; 3],
}

impl SplatsLens {
    pub(super) fn new(gpu: Option<Gpu>, sample: Option<PathBuf>) -> Self {
        Self {
            gpu,
            sample,
            opening: None,
            scene: None,
            fault: None,
            drawing: None,
            eye: Eye::default(),
            texture: None,
            last: None,
            asked: None,
            moved: 0.0,
            coarse: 0.5,
            query: None,
            hit: None,
            help: false,
            keys: std::collections::HashSet::new(),
            export_side: 1920.0,
            clear: true,
            shape: panel::ShapeOf::default(),
        }
    }

    /// Whether there is anything to show.
    pub(super) fn has_scenes(&self) -> bool {
        self.scene.is_some() || self.opening.is_some() || self.sample.is_some()
    }

    fn wanted(&self, settings: &settings::SplatSettings, camera: crate::splats::camera::Camera) -> Option<Wanted> {
        let scene = self.scene.as_ref()?;
        let mode = if settings.mode.needs_features() && scene.gaussians.features().is_none() {
            Mode::Colour
        } else {
            settings.mode
        };
        Some(Wanted {
            scene: Arc::clone(&scene.gaussians),
            camera,
            mode,
            share: settings.share as f32,
            clusters: settings.clusters,
            query: self.query.as_ref().map(|(_, query)| Arc::clone(query)),
            antialiased: settings.antialiased.unwrap_or(scene.gaussians.antialiased()),
            renderer: settings.renderer,
            background: None,
        })
    }

    /// The Gaussian whose centre is next to a point.
    fn nearest(&self, point: DVec3) -> Option<usize> {
        let scene = self.scene.as_ref()?;
        let far = |at: &[f32; 3]| (DVec3::from(at.map(f64::from)) - point).length_squared();
        let positions = scene.gaussians.positions().iter().enumerate();
        positions.min_by(|(_, a), (_, b)| far(a).total_cmp(&far(b))).map(|(index, _)| index)
    }

    /// What the picture shows at a place of it (0..=1 both ways).
    fn hit_at(&self, at: Pos2) -> Option<Hit> {
        let drawn = self.last.as_ref()?;
        let (width, height) = (drawn.camera.width, drawn.camera.height);
        let (x, y) = ((at.x * width as f32) as u32, (at.y * height as f32) as u32);
        let depth = *drawn.depth.get((y.min(height - 1) * width + x.min(width - 1)) as usize)?;
        if depth <= 0.0 {
            return None;
        }
        let pixel = glam::DVec2::new(f64::from(at.x) * f64::from(width), f64::from(at.y) * f64::from(height));
        let point = drawn.camera.unproject(pixel, f64::from(depth));
        Some(Hit { at, point, depth, nearest: self.nearest(point)? })
    }
}

impl Glassbox {
    pub(super) fn splats_are_open(&self) -> bool {
        self.settings.now.lens == super::lens::LensKind::Splats
    }

    /// Asks for the picture that is due: coarse while the eye moves, whole at rest.
    fn ask_for_picture(&mut self, ctx: &Context, size: (u32, u32)) {
        let lens = &mut self.splats;
        let Some(scene) = &lens.scene else { return };
        let Ok(camera) = lens.eye.camera(size) else { return };
        let choice = self.settings.now.splats.clone();
        let [r, g, b, _] = palette(ctx).canvas.to_array();
        let asked = Asked {
            scene: scene.gaussians.revision(),
            camera,
            choice: choice.clone(),
            query: lens.query.as_ref().map(|(index, _)| *index),
            background: [r, g, b],
        };
        let now = ctx.input(|i| i.time);
        let before = lens.asked.as_ref();
        let moving = before.is_some_and(|(before, _)| before.camera != asked.camera && before.scene == asked.scene);
        if moving {
            lens.moved = now;
        }
        let at_rest = now - lens.moved > REST;
        let part = if at_rest { 1.0 } else { lens.coarse };
        if !at_rest {
            ctx.request_repaint_after_secs(REST as f32);
        }
        let same = before.is_some_and(|(before, drawn)| *before == asked && *drawn >= part);
        // While a coarse one is on its way nothing newer gives it up: every picture is seen.
        let waits = lens.drawing.as_ref().is_some_and(Drawing::is_drawing) && !at_rest;
        if same || waits {
            return;
        }
        let side = |side: u32| ((side as f32 * part) as u32).max(16);
        let Ok(camera) = camera.resized((side(size.0), side(size.1))) else { return };
        let Some(mut wanted) = lens.wanted(&choice, camera) else { return };
        wanted.background = Some([r, g, b].map(|value| f32::from(value) / 255.0));
        if lens.drawing.is_none() {
            match Drawing::start(ctx, lens.gpu.clone()) {
                Ok(drawing) => lens.drawing = Some(drawing),
                Err(error) => lens.fault = Some(format!("The system gives no thread to draw with: {error}")),
            }
        }
        if let Some(drawing) = &mut lens.drawing {
            drawing.want(wanted);
            lens.asked = Some((asked, part));
        }
    }

    /// Takes what has come: scenes and pictures.
    pub(super) fn poll_splats(&mut self, ctx: &Context) {
        self.poll_opening(ctx);
        let lens = &mut self.splats;
        match lens.drawing.as_mut().and_then(Drawing::take) {
            Some(Ok(mut drawn)) => {
                let image = std::mem::take(&mut drawn.image);
                match &mut lens.texture {
                    Some(texture) => texture.set(image, TextureOptions::LINEAR),
                    None => lens.texture = Some(ctx.load_texture("splats", image, TextureOptions::LINEAR)),
                }
                // The governor: pixels that the next moving picture may have.
                let part = lens.asked.as_ref().map_or(1.0, |(_, part)| *part);
                let wish = part * (SMOOTH / drawn.seconds.max(1e-4)).sqrt() as f32;
                lens.coarse = (0.5 * lens.coarse + 0.5 * wish).clamp(0.15, 1.0);
                lens.fault = None;
                lens.last = Some(drawn);
                // The scene moved below a pointer that stands still.
                lens.hit = lens.hit.take().and_then(|hit| lens.hit_at(hit.at));
            }
            Some(Err(sentence)) => {
                if lens.fault.as_ref() != Some(&sentence) {
                    self.notices.explain(Level::Error, "The scene could not be drawn", sentence.clone());
                }
                self.splats.fault = Some(sentence);
            }
            None => {}
        }
    }

    /// Facts at the right of the status line.
    pub(super) fn splats_status(&self, ui: &mut egui::Ui) {
        let lens = &self.splats;
        let (Some(scene), Some(drawn)) = (&lens.scene, &lens.last) else { return };
        let words = format!("{} Gaussians   {:.0} ms   {}", scene.gaussians.len(), 1000.0 * drawn.seconds, drawn.by);
        super::widgets::buttons::hint(ui, words).on_hover_text("Time of the last picture, and what drew it");
        let (width, height) = (drawn.camera.width, drawn.camera.height);
        let size = super::widgets::buttons::hint(ui, format!("{width} × {height}"));
        size.on_hover_text("Pixels of the last picture");
    }
}
