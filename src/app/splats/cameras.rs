//! The cameras that the scene was photographed with: drawn as frustums, looked through beside their photographs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Context, Pos2, Rect, Shape, Stroke, TextureHandle, TextureOptions, Ui, pos2};
use glam::{DVec2, DVec3};
use image::RgbImage;

use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::app::theme::palette;
use crate::engine::jobs::splats::photograph;
use crate::picture::decode;
use crate::picture::limits::DecodeLimits;
use crate::splats::camera::Camera;
use crate::splats::io::cameras::{self, NamedCamera};

/// A photograph is shown with at most so many pixels a side.
const PHOTO_SIDE: u32 = 1600;
/// A frustum is drawn this much of the scene's size deep.
const DEPTH: f64 = 0.05;
/// Points around a frustum's tip that a click means it by.
const NEAR: f32 = 12.0;
/// No more frustums are drawn.
const MOST_DRAWN: usize = 2000;

enum Photo {
    Loading(Background<egui::ColorImage>),
    Here(TextureHandle),
    /// It is not there, or cannot be read.
    None(String),
}

/// All cameras of the scene, and the one that is looked through.
#[derive(Default)]
pub(super) struct Cameras {
    all: Vec<NamedCamera>,
    /// Where their photographs are looked for.
    folder: Option<PathBuf>,
    looking: Option<usize>,
    photo: Option<(usize, Photo)>,
    /// What the scene was made of, if it was one picture.
    picture: Option<Arc<RgbImage>>,
    opening: Option<Background<(cameras::Cameras, PathBuf)>>,
}

impl Cameras {
    pub(super) fn of(all: Vec<NamedCamera>, folder: Option<PathBuf>) -> Self {
        Self { all, folder, ..Self::default() }
    }

    /// The only camera took this picture, from which the scene was made.
    pub(super) fn are_of(&mut self, picture: Arc<RgbImage>) {
        self.picture = Some(picture);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether one of them is looked through.
    pub(super) fn is_looking(&self) -> bool {
        self.looking.is_some()
    }

    /// The one that is looked through, and its place.
    pub(super) fn looked_through(&self) -> Option<(usize, &NamedCamera)> {
        self.looking.and_then(|at| Some((at, self.all.get(at)?)))
    }

    pub(super) fn leave(&mut self) {
        self.looking = None;
    }

    /// The camera whose tip is drawn next to a place of the view.
    fn at(&self, view: &View<'_>, at: Pos2) -> Option<usize> {
        let far = |camera: &NamedCamera| Some(view.place(camera.camera.eye())?.distance(at));
        let all = self.all.iter().enumerate().filter_map(|(index, camera)| Some((far(camera)?, index)));
        all.filter(|(far, _)| *far < NEAR).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, index)| index)
    }

    /// Draws all frustums, the one that is pointed at lit.
    fn paint(&self, ui: &Ui, view: &View<'_>, size: f64, pointer: Option<Pos2>) {
        let p = palette(ui.ctx());
        let lit = pointer.and_then(|at| self.at(view, at));
        for (index, named) in self.all.iter().enumerate().take(MOST_DRAWN) {
            // One looks through it: its frustum lies around the view.
            if self.looking == Some(index) {
                continue;
            }
            let camera = &named.camera;
            let (width, height) = (f64::from(camera.width), f64::from(camera.height));
            let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
            let depth = DEPTH * size;
            let corners = corners.map(|(x, y)| view.place(camera.unproject(DVec2::new(x, y), depth)));
            let Some(tip) = view.place(camera.eye()) else { continue };
            let stroke = if lit == Some(index) { Stroke::new(2.0, p.accent) } else { Stroke::new(1.0, p.warning) };
            let painter = ui.painter_at(view.rect);
            for (a, b) in corners.iter().zip(corners.iter().cycle().skip(1)) {
                if let (Some(a), Some(b)) = (a, b) {
                    painter.line_segment([*a, *b], stroke);
                    painter.line_segment([tip, *a], stroke);
                }
            }
            // Which side is up.
            if let [Some(left), Some(right), ..] = corners {
                painter.add(Shape::convex_polygon(
                    vec![left.lerp(right, 0.4), left.lerp(right, 0.6), left.lerp(right, 0.5) + (left - tip) * 0.12],
                    stroke.color,
                    Stroke::NONE,
                ));
            }
            painter.circle_filled(tip, if lit == Some(index) { 4.0 } else { 2.5 }, stroke.color);
        }
    }
}

/// How points of the world lie on the view.
pub(super) struct View<'a> {
    pub(super) camera: &'a Camera,
    pub(super) rect: Rect,
}

impl View<'_> {
    /// Where a point of the world is seen, in points of the window.
    pub(super) fn place(&self, point: DVec3) -> Option<Pos2> {
        let at = self.camera.project(point)?;
        let x = self.rect.left() + (at.x / f64::from(self.camera.width)) as f32 * self.rect.width();
        let y = self.rect.top() + (at.y / f64::from(self.camera.height)) as f32 * self.rect.height();
        (x.abs() < 1e6 && y.abs() < 1e6).then(|| pos2(x, y))
    }
}

/// The cameras beside a scene: `NAME.cameras.json`, or those that 3DGS leaves in the folder of its output.
pub(super) fn beside(path: &Path) -> (Vec<NamedCamera>, Option<PathBuf>) {
    let own = path.with_extension("cameras.json");
    let around = path.ancestors().skip(1).take(3).map(|folder| folder.join("cameras.json"));
    let Some(file) = std::iter::once(own).chain(around).find(|file| file.is_file()) else { return (Vec::new(), None) };
    match cameras::open(&file, None) {
        Ok(found) => (found.cameras, file.parent().map(Path::to_owned)),
        Err(_) => (Vec::new(), None),
    }
}

impl Glassbox {
    pub(super) fn ask_for_cameras(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Cameras, move || {
            let kinds: [(&str, &[&str]); 1] = [("Cameras", &["json", "txt", "bin"])];
            let choice = dialogs.open_file(folder.as_deref(), "Open cameras", &kinds);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// Reads cameras from a file or a folder.
    pub(in crate::app) fn cameras_from(&mut self, ctx: &Context, path: PathBuf) {
        let ctx = ctx.clone();
        self.splats.cameras.opening = Some(Background::start("open cameras", move || {
            let found = cameras::open(&path, None).map_err(|error| error.to_string());
            let folder = if path.is_dir() { path } else { path.parent().map(Path::to_owned).unwrap_or_default() };
            ctx.request_repaint();
            Ok((found?, folder))
        }));
    }

    pub(super) fn poll_cameras(&mut self, ctx: &Context) {
        let cameras = &mut self.splats.cameras;
        match cameras.opening.as_mut().and_then(Background::take) {
            Some(Ok((found, folder))) => {
                let words = format!("Opened {} cameras", found.cameras.len());
                self.notices.explain(Level::Success, words, found.notes.join(" "));
                *cameras = Cameras::of(found.cameras, Some(folder));
                self.settings.now.splats.frustums = true;
            }
            Some(Err(sentence)) => {
                cameras.opening = None;
                self.notices.explain(Level::Error, "The cameras could not be opened", sentence);
            }
            None => {}
        }
        let cameras = &mut self.splats.cameras;
        if let Some((_, photo)) = &mut cameras.photo
            && let Photo::Loading(task) = photo
            && let Some(done) = task.take()
        {
            *photo = match done {
                Ok(image) => Photo::Here(ctx.load_texture("photograph", image, TextureOptions::LINEAR)),
                Err(sentence) => Photo::None(sentence),
            };
        }
    }

    /// Looks through the camera that many places on.
    pub(super) fn look_through_another(&mut self, ctx: &Context, by: isize) {
        let count = self.splats.cameras.count() as isize;
        if count == 0 {
            return;
        }
        let from = self.splats.cameras.looking.map_or(if by > 0 { -1 } else { 0 }, |at| at as isize);
        self.look_through(ctx, (from + by).rem_euclid(count) as usize);
    }

    /// Looks through a camera, beside its photograph if there is one.
    pub(super) fn look_through(&mut self, ctx: &Context, index: usize) {
        let lens = &mut self.splats;
        let Some(named) = lens.cameras.all.get(index).cloned() else { return };
        let distance = lens.eye.distance_ahead(&named.camera);
        lens.eye.stand_at(&named.camera, distance, self.settings.now.splats.up);
        self.settings.now.splats.fov = named.camera.fov_y().to_degrees().clamp(10.0, 110.0);
        let cameras = &mut lens.cameras;
        cameras.looking = Some(index);
        if cameras.photo.as_ref().is_some_and(|(of, _)| *of == index) {
            return;
        }
        let (folder, picture, ctx) = (cameras.folder.clone(), cameras.picture.clone(), ctx.clone());
        let photo = Background::start("a photograph", move || {
            let image = picture.map_or_else(|| photograph_of(folder.as_deref(), &named), |own| Ok(small(&own)));
            ctx.request_repaint();
            image
        });
        cameras.photo = Some((index, Photo::Loading(photo)));
    }

    /// The photograph of the camera that is looked through: `None` while it is on its way.
    pub(super) fn photo(&self) -> Option<Result<&TextureHandle, &str>> {
        let cameras = &self.splats.cameras;
        let at = cameras.looking?;
        match cameras.photo.as_ref().filter(|(of, _)| *of == at)? {
            (_, Photo::Here(texture)) => Some(Ok(texture)),
            (_, Photo::None(sentence)) => Some(Err(sentence)),
            (_, Photo::Loading(_)) => None,
        }
    }

    /// Draws the frustums; looks through the one that was clicked and says whether there was one.
    pub(super) fn frustums(&mut self, ui: &Ui, rect: Rect, clicked: Option<Pos2>) -> bool {
        if !self.settings.now.splats.frustums || self.splats.cameras.is_empty() {
            return false;
        }
        let lens = &self.splats;
        let Ok(camera) = lens.eye.camera((rect.width().max(1.0) as u32, rect.height().max(1.0) as u32)) else {
            return false;
        };
        let view = View { camera: &camera, rect };
        let pointer = ui.input(|i| i.pointer.hover_pos()).filter(|at| rect.contains(*at));
        lens.cameras.paint(ui, &view, lens.eye.size(), pointer);
        let meant = clicked.and_then(|at| lens.cameras.at(&view, at));
        if let Some(index) = meant {
            self.look_through(ui.ctx(), index);
        }
        meant.is_some()
    }
}

/// A camera's photograph, small enough to show.
fn photograph_of(folder: Option<&Path>, named: &NamedCamera) -> Result<egui::ColorImage, String> {
    let around: Vec<PathBuf> = folder
        .into_iter()
        .flat_map(Path::ancestors)
        .take(3)
        .flat_map(|folder| [folder.join("images"), folder.to_owned()])
        .collect();
    let missing = || format!("The photograph {} is not beside the cameras.", named.picture);
    let path = around.iter().find_map(|folder| photograph(folder, &named.picture)).ok_or_else(missing)?;
    let picture = decode::open(&path, &DecodeLimits::default()).map_err(|error| error.to_string())?;
    Ok(small(&picture.rgb))
}

/// A picture with at most so many pixels as are shown.
fn small(rgb: &Arc<RgbImage>) -> egui::ColorImage {
    let rgb = if rgb.width().max(rgb.height()) > PHOTO_SIDE {
        let scale = f64::from(PHOTO_SIDE) / f64::from(rgb.width().max(rgb.height()));
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        Arc::new(image::imageops::thumbnail(&**rgb, side(rgb.width()), side(rgb.height())))
    } else {
        Arc::clone(rgb)
    };
    egui::ColorImage::from_rgb([rgb.width() as usize, rgb.height() as usize], rgb.as_raw())
}
