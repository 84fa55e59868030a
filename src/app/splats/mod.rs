//! The Splats lens: a scene of 3D Gaussians to move around in, in colours, features, depth and what else it has.
//!
//! `settings` is what is kept between runs, `opening` brings scenes in, `lifting` makes one of the open picture and `export` scenes and pictures out, `eye` is where
//! one looks from, `drawing` the thread that draws and `picking` the one that finds what is pointed at; `analysis` works
//! out components and clusters, `edits` is what is selected, hidden and deleted, by `brush` or by a range of `shape`;
//! `cameras` are those of the photographs, `path` a flight. `view` shows the scene and moves the eye, `panel` and its
//! sections have the controls, `acts` is all of it as commands.

mod acts;
mod analysis;
mod brush;
mod cameras;
mod drawing;
mod edits;
mod export;
mod eye;
mod lifting;
mod opening;
mod panel;
mod path;
mod picking;
mod selection_panel;
pub(super) mod settings;
mod shape;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use eframe::egui_wgpu::RenderState;
use egui::{Context, Pos2, TextureHandle, TextureId, TextureOptions};

use acts::Tool;
pub(crate) use acts::{SplatAct, Tool as SplatTool};
pub(super) use analysis::SharedBasis;
use analysis::{Analysis, Found, next_id};
use drawing::{Drawing, Drawn, Mode, Pictured, Wanted};
use edits::Edits;
pub(super) use export::Frames;
use eye::Eye;
use lifting::Lifter;
pub(super) use opening::is_scene;
use opening::{Opening, Scene};
use picking::{For, Hit, Pick, Picking};

use super::Glassbox;
use super::edit::work::Workshop;
use super::history::History;
use super::notices::Level;
use super::theme::palette;
use crate::engine::Snapshot;
use crate::splats::gaussians::Bounds;
use crate::splats::gpu::device::Gpu;
use crate::splats::selection::Combine;

/// A picture while the eye moves should not take longer, seconds.
const SMOOTH: f64 = 0.05;
/// The eye is at rest when it has not moved for so long, seconds.
const REST: f64 = 0.15;

/// Where what similarity is asked about came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// A Gaussian that was clicked.
    Gaussian,
    /// A patch of the open picture.
    Picture,
}

/// What similarity is asked about.
#[derive(Clone, Debug)]
struct Query {
    of: Asker,
    /// Changes with the features.
    id: u64,
    /// Whether the other lens knows of it.
    told: bool,
    features: Arc<[f32]>,
}

/// How good a picture is: the part of the full resolution, and whether similarity is exact.
type Quality = (f32, bool);

/// The state of the Splats lens.
pub(crate) struct SplatsLens {
    gpu: Option<Gpu>,
    /// The window's own device, whose pictures need not come back.
    screen: Option<RenderState>,
    /// The scene that comes with the program.
    sample: Option<PathBuf>,
    opening: Option<Opening>,
    scene: Option<Scene>,
    fault: Option<String>,
    drawing: Option<Drawing>,
    picking: Option<Picking>,
    analysis: Analysis,
    /// A basis of the Features lens to colour the scene by, where there is one as wide as its features.
    shared: Option<SharedBasis>,
    eye: Eye,
    edits: History<Edits>,
    now: Edits,
    texture: Option<TextureHandle>,
    /// The texture of pictures that lie on the device.
    native: Option<TextureId>,
    last: Option<Drawn>,
    /// What was asked for last, to see what has changed.
    asked: Option<(Asked, Quality)>,
    /// When the eye last moved (the window's clock).
    moved: f64,
    /// Part of the full resolution that is drawn while the eye moves.
    coarse: f32,
    query: Option<Query>,
    hit: Option<Hit>,
    /// Where a pick was last asked for.
    picked: Option<Pos2>,
    help: bool,
    keys: std::collections::HashSet<egui::Key>,
    export: export::Choice,
    exporting: Option<export::Exporting>,
    shape: shape::ShapeOf,
    /// The channel of the features whose histogram is shown.
    channel: usize,
    tool: Tool,
    /// How new marks meet those that are there.
    combine: Combine,
    /// The radius of the brush, points.
    brush: f32,
    /// The brush reaches through the scene.
    through: bool,
    stroke: Option<brush::Stroked>,
    /// The box that crops.
    crop: Option<Bounds>,
    cameras: cameras::Cameras,
    path: path::Path,
    lifter: Lifter,
}

/// All that a picture depends on.
#[derive(Clone, PartialEq)]
struct Asked {
    scene: u64,
    camera: crate::splats::camera::Camera,
    choice: settings::SplatSettings,
    query: Option<u64>,
    found: Option<u64>,
    edits: Edits,
    colours: [[u8; 3]; 2],
}

/// What a new window takes over when the graphics device was lost.
pub(super) struct Remains {
    scene: Scene,
    eye: Eye,
    edits: History<Edits>,
    now: Edits,
    query: Option<Query>,
}

impl SplatsLens {
    pub(super) fn new(screen: Option<RenderState>, sample: Option<PathBuf>, workshop: Arc<dyn Workshop>) -> Self {
        let gpu = screen.as_ref().map(|state| Gpu::of(&state.adapter, &state.device, &state.queue));
        Self {
            gpu,
            screen,
            sample,
            opening: None,
            scene: None,
            fault: None,
            drawing: None,
            picking: None,
            analysis: Analysis::default(),
            shared: None,
            eye: Eye::default(),
            edits: History::new(Edits::default()),
            now: Edits::default(),
            texture: None,
            native: None,
            last: None,
            asked: None,
            moved: 0.0,
            coarse: 0.5,
            query: None,
            hit: None,
            picked: None,
            help: false,
            keys: std::collections::HashSet::new(),
            export: export::Choice::default(),
            exporting: None,
            shape: shape::ShapeOf::default(),
            channel: 0,
            tool: Tool::default(),
            combine: Combine::default(),
            brush: 28.0,
            through: false,
            stroke: None,
            crop: None,
            cameras: cameras::Cameras::default(),
            path: path::Path::default(),
            lifter: Lifter::new(workshop),
        }
    }

    /// Models came or went.
    pub(super) fn models_changed(&mut self) {
        self.lifter.read_again();
    }

    /// Whether there is anything to show.
    pub(super) fn has_scenes(&self) -> bool {
        self.scene.is_some() || self.opening.is_some() || self.sample.is_some()
    }

    /// The name of the open scene.
    pub(super) fn scene_name(&self) -> Option<&str> {
        self.scene.as_ref().map(|scene| scene.name.as_str())
    }

    /// Shows another scene: what was about the one before is forgotten.
    fn show_scene(&mut self, scene: Scene) {
        self.shape.forget();
        (self.query, self.hit, self.asked, self.last, self.fault) = (None, None, None, None, None);
        self.texture = None;
        self.release();
        self.now = Edits::default();
        self.edits = History::new(Edits::default());
        (self.stroke, self.crop, self.channel, self.picked) = (None, None, 0, None);
        self.path.clear();
        self.cameras = cameras::Cameras::of(scene.cameras.clone(), scene.photographs.clone());
        self.scene = Some(scene);
    }

    /// Lets go of the texture on the device.
    fn release(&mut self) {
        if let (Some(id), Some(screen)) = (self.native.take(), &self.screen) {
            screen.renderer.write().free_texture(&id);
        }
    }

    /// How far the eye is from what it looks at.
    #[cfg(test)]
    pub(in crate::app) fn distance(&self) -> f64 {
        self.eye.distance()
    }

    /// What outlives the window.
    pub(super) fn leave(&mut self) -> Option<Remains> {
        let scene = self.scene.take()?;
        let edits = std::mem::replace(&mut self.edits, History::new(Edits::default()));
        Some(Remains { scene, eye: self.eye.clone(), edits, now: self.now.clone(), query: self.query.take() })
    }

    /// Goes on with what another window left.
    pub(super) fn take_over(&mut self, remains: Remains) {
        let Remains { scene, eye, edits, now, query } = remains;
        self.show_scene(scene);
        (self.eye, self.edits, self.now, self.query) = (eye, edits, now, query);
    }

    /// What is shown: the mode, or the colours where the scene has no features.
    fn mode(&self, settings: &settings::SplatSettings) -> Mode {
        let features = self.scene.as_ref().is_some_and(|scene| scene.gaussians.features().is_some());
        if settings.mode.needs_features() && !features { Mode::Colour } else { settings.mode }
    }

    /// The components or clusters that the mode shows, asked for if they are not there.
    fn found(&mut self, ctx: &Context, settings: &settings::SplatSettings) -> Option<Arc<Found>> {
        let scene = Arc::clone(&self.scene.as_ref()?.gaussians);
        match self.mode(settings) {
            Mode::Pca => {
                let shared = self.shared.clone().filter(|_| settings.shared_basis);
                self.analysis.want_components(ctx, &scene, shared);
                self.analysis.components(scene.revision())
            }
            Mode::Clusters => {
                self.analysis.want_clusters(ctx, &scene, settings);
                self.analysis.clusters(scene.revision())
            }
            _ => None,
        }
    }

    fn wanted(
        &self,
        settings: &settings::SplatSettings,
        found: Option<Arc<Found>>,
        camera: crate::splats::camera::Camera,
    ) -> Option<Wanted> {
        let scene = self.scene.as_ref()?;
        Some(Wanted {
            scene: Arc::clone(&scene.gaussians),
            camera,
            mode: self.mode(settings),
            share: settings.share as f32,
            found,
            query: self.query.as_ref().map(|query| Arc::clone(&query.features)),
            exact: true,
            antialiased: settings.antialiased.unwrap_or(scene.gaussians.antialiased()),
            renderer: settings.renderer,
            visible: self.now.visible(),
            selected: self.now.selected.clone(),
            tint: [0.0; 3],
            background: None,
        })
    }

    /// Looks what is at a place of the picture (0..=1 both ways).
    fn pick(&mut self, ctx: &Context, purpose: For, at: Pos2) {
        let (Some(scene), Some(drawn)) = (&self.scene, &self.last) else { return };
        let pick = Pick {
            purpose,
            at,
            scene: Arc::clone(&scene.gaussians),
            visible: self.now.visible(),
            camera: drawn.camera,
            depths: drawn.depths.clone(),
        };
        if self.picking.is_none() {
            match Picking::start(ctx) {
                Ok(picking) => self.picking = Some(picking),
                Err(error) => self.fault = Some(format!("The system gives no thread to look with: {error}")),
            }
        }
        if let Some(picking) = &self.picking {
            picking.want(pick);
        }
    }

    /// Takes the features of a Gaussian as what similarity is asked about.
    fn ask_about(&mut self, index: usize) {
        let features = self.scene.as_ref().and_then(|scene| scene.gaussians.features());
        if let Some(features) = features {
            self.query =
                Some(Query { of: Asker::Gaussian, id: next_id(), told: false, features: features.of(index).into() });
        }
    }

    /// Channels of the scene's features.
    pub(super) fn feature_width(&self) -> Option<usize> {
        Some(self.scene.as_ref()?.gaussians.features()?.dim)
    }

    /// The features of a Gaussian that was asked about since this was last looked for.
    pub(super) fn asked_of_a_gaussian(&mut self) -> Option<Arc<[f32]>> {
        let query = self.query.as_mut().filter(|query| query.of == Asker::Gaussian && !query.told)?;
        query.told = true;
        Some(Arc::clone(&query.features))
    }

    /// Asks about features of the open picture.
    pub(super) fn ask_like_the_picture(&mut self, features: &[f32]) {
        let same = self.query.as_ref().is_some_and(|query| *query.features == *features);
        if self.feature_width() == Some(features.len()) && !same {
            self.query = Some(Query { of: Asker::Picture, id: next_id(), told: true, features: features.into() });
        }
    }

    /// A basis of the Features lens came, or went.
    pub(super) fn share_basis(&mut self, shared: Option<SharedBasis>) {
        let width = self.feature_width();
        self.shared = shared.filter(|shared| Some(shared.basis.dim()) == width);
    }

    /// What is worked out or written now, in words, and how far it is.
    pub(super) fn now_running(&self) -> Option<(String, Snapshot)> {
        let exporting = || self.exporting.as_ref().map(export::Exporting::now);
        self.analysis.now_running().or_else(|| self.lifter.now_running()).or_else(exporting)
    }

    pub(super) fn is_working(&self) -> bool {
        self.analysis.is_working() || self.lifter.is_working() || self.exporting.is_some()
    }

    pub(super) fn stop(&mut self) {
        self.analysis.stop();
        self.lifter.stop();
        if let Some(exporting) = &self.exporting {
            exporting.stop();
        }
    }
}

impl Glassbox {
    pub(super) fn splats_are_open(&self) -> bool {
        self.settings.now.lens == super::lens::LensKind::Splats
    }

    /// Asks for the picture that is due: coarse while the eye moves, whole at rest, and exact after that.
    fn ask_for_picture(&mut self, ctx: &Context, size: (u32, u32)) {
        let lens = &mut self.splats;
        let Some(scene) = &lens.scene else { return };
        let Ok(camera) = lens.eye.camera(size) else { return };
        let scene = scene.gaussians.revision();
        let choice = self.settings.now.splats.clone();
        let colours = [palette(ctx).canvas, palette(ctx).accent].map(|colour| {
            let [r, g, b, _] = colour.to_array();
            [r, g, b]
        });
        let found = lens.found(ctx, &choice);
        let asked = Asked {
            scene,
            camera,
            choice: choice.clone(),
            query: lens.query.as_ref().map(|query| query.id),
            found: found.as_ref().map(|found| found.id),
            edits: lens.now.clone(),
            colours,
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
        let drawing = lens.drawing.as_ref().is_some_and(Drawing::is_drawing);
        let had = before.filter(|(before, _)| *before == asked).map(|(_, quality)| *quality);
        let similar = lens.mode(&choice) == Mode::Similarity;
        // What is exact takes as many channels as the features have: not before the whole picture is there.
        let exact = similar && at_rest && !drawing && had.is_some_and(|(part, _)| part >= 1.0);
        let same = had.is_some_and(|(had_part, had_exact)| had_part >= part && (had_exact || !exact));
        // While a coarse one is on its way nothing newer gives it up: every picture is seen.
        if same || (drawing && !at_rest) {
            return;
        }
        let side = |side: u32| ((side as f32 * part) as u32).max(16);
        let Ok(camera) = camera.resized((side(size.0), side(size.1))) else { return };
        let Some(mut wanted) = lens.wanted(&choice, found, camera) else { return };
        let [behind, tint] = colours.map(|colour| colour.map(|value| f32::from(value) / 255.0));
        (wanted.background, wanted.tint, wanted.exact) = (Some(behind), tint, exact);
        if lens.drawing.is_none() {
            match Drawing::start(ctx, lens.gpu.clone(), lens.screen.is_some()) {
                Ok(drawing) => lens.drawing = Some(drawing),
                Err(error) => lens.fault = Some(format!("The system gives no thread to draw with: {error}")),
            }
        }
        if let Some(drawing) = &mut lens.drawing {
            drawing.want(wanted);
            lens.asked = Some((asked, (part, exact)));
        }
    }

    /// Takes what has come: scenes, pictures, what is pointed at.
    pub(super) fn poll_splats(&mut self, ctx: &Context) {
        self.poll_opening(ctx);
        self.poll_lifting(ctx);
        self.poll_cameras(ctx);
        self.poll_frames();
        self.splats.analysis.poll();
        if let Some((of, how, marks)) = self.splats.shape.take()
            && self.splats.scene.as_ref().is_some_and(|scene| scene.gaussians.revision() == of)
        {
            self.splats.change_selection(&marks, how);
        }
        match self.splats.drawing.as_mut().and_then(Drawing::take) {
            Some(Ok(drawn)) => self.show_drawn(ctx, drawn),
            Some(Err(sentence)) => {
                if self.splats.fault.as_ref() != Some(&sentence) {
                    self.notices.explain(Level::Error, "The scene could not be drawn", sentence.clone());
                }
                self.splats.fault = Some(sentence);
            }
            None => {}
        }
        self.poll_picks();
    }

    fn show_drawn(&mut self, ctx: &Context, mut drawn: Drawn) {
        let lens = &mut self.splats;
        match (&mut drawn.picture, &lens.screen) {
            (Pictured::Here(image), _) => {
                let image = std::mem::take(image);
                match &mut lens.texture {
                    Some(texture) => texture.set(image, TextureOptions::LINEAR),
                    None => lens.texture = Some(ctx.load_texture("splats", image, TextureOptions::LINEAR)),
                }
                lens.release();
            }
            (Pictured::OnDevice(view), Some(screen)) => {
                let (mut renderer, linear) = (screen.renderer.write(), wgpu::FilterMode::Linear);
                match lens.native {
                    Some(id) => {
                        renderer.update_egui_texture_from_wgpu_texture(&screen.device, view.view(), linear, id);
                    }
                    None => {
                        let id = renderer.register_native_texture(&screen.device, view.view(), linear);
                        lens.native = Some(id);
                    }
                }
                lens.texture = None;
            }
            // Pictures stay on a device only where the window shows them from.
            (Pictured::OnDevice(_), None) => {}
        }
        // The governor: pixels that the next moving picture may have. Exact ones are drawn at rest only.
        if let Some((_, (part, false))) = lens.asked {
            let wish = part * (SMOOTH / drawn.seconds.max(1e-4)).sqrt() as f32;
            lens.coarse = (0.5 * lens.coarse + 0.5 * wish).clamp(0.15, 1.0);
        }
        lens.fault = None;
        lens.last = Some(drawn);
        // The scene moved below a pointer that stands still.
        lens.picked = None;
    }

    fn poll_picks(&mut self) {
        let lens = &mut self.splats;
        let Some(scene) = lens.scene.as_ref().map(|scene| scene.gaussians.revision()) else { return };
        let found = lens.picking.as_ref().map(Picking::take).unwrap_or_default();
        for picked in found.into_iter().filter(|picked| picked.scene == scene) {
            match picked.purpose {
                For::Hover => lens.hit = picked.hit,
                For::Ask => {
                    if let Some(hit) = picked.hit {
                        lens.ask_about(hit.nearest);
                        lens.hit = Some(hit);
                    }
                }
                For::Focus => {
                    if let Some(hit) = picked.hit {
                        lens.eye.focus(hit.point);
                    }
                }
                For::Brush { how, .. } => lens.dabbed(picked.marks, how),
            }
        }
    }

    /// Facts at the right of the status line.
    pub(super) fn splats_status(&self, ui: &mut egui::Ui) {
        let lens = &self.splats;
        let (Some(scene), Some(drawn)) = (&lens.scene, &lens.last) else { return };
        if lens.drawing.as_ref().is_some_and(Drawing::is_drawing) {
            // A dot, so that what stands beside it does not jump.
            let (_, dot) = ui.allocate_exact_size(egui::vec2(6.0, 20.0), egui::Sense::hover());
            dot.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, "Drawing the scene"));
            ui.painter().circle_filled(dot.rect.center(), 2.5, palette(ui.ctx()).accent);
        } else {
            ui.add_space(6.0 + ui.spacing().item_spacing.x);
        }
        let words = format!("{} Gaussians   {:.0} ms   {}", scene.gaussians.len(), 1000.0 * drawn.seconds, drawn.by);
        super::widgets::buttons::hint(ui, words).on_hover_text("Time of the last picture, and what drew it");
        let (width, height) = (drawn.camera.width, drawn.camera.height);
        let size = super::widgets::buttons::hint(ui, format!("{width} × {height}"));
        size.on_hover_text("Pixels of the last picture");
    }
}
