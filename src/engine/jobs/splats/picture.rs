//! *Lift this picture*: one picture becomes a scene, by a depth model, with the features of a backbone on its Gaussians.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use glam::{DMat3, DVec3};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::depth::{Maps, corners};
use super::{ask_for_memory, in_job_terms};
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob};
use crate::engine::{Job, JobContext};
use crate::features::FeatureGrid;
use crate::features::extract::ExtractSettings;
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::PackError;
use crate::packs::depth::DepthFolder;
use crate::packs::manifest::Role;
use crate::packs::store::Store;
use crate::splats::Gaussians;
use crate::splats::camera::Camera;
use crate::splats::gaussians::Features;
use crate::splats::picture::DepthPicture;

/// Gaussians of a picture unless more or fewer are asked for.
pub const USUAL_COUNT: usize = 100_000;
/// The sky hangs so many times as far away as the farthest surface.
const SKY: f32 = 1.5;
/// And so far where nothing but sky is seen, in the depth model's units.
const ONLY_SKY: f32 = 100.0;

/// A depth model and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthChoice {
    /// What the person calls it.
    pub name: String,
    /// Its folder or file.
    pub path: PathBuf,
    /// Where it runs.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
}

impl DepthChoice {
    /// The depth model that `name` (a pack, a model or a folder) means on this machine.
    ///
    /// # Errors
    /// If there is no such model here, in one sentence.
    pub fn find(store: &Store, name: &str, device: DeviceChoice, precision: Precision) -> Result<Self, PackError> {
        let found = store.find(name, Role::Depth)?;
        Ok(Self { name: name.to_owned(), path: found.path, device, precision })
    }
}

/// A picture to make a scene of.
#[derive(Clone, Debug)]
pub struct LiftPictureJob {
    /// The picture, upright.
    pub picture: Arc<RgbImage>,
    /// Tells how far away things are.
    pub depth: DepthChoice,
    /// Whose features the Gaussians get; none if `None`.
    pub backbone: Option<BackboneChoice>,
    /// The field of view along the picture's longer side, radians.
    pub field_of_view: f64,
    /// At most so many Gaussians.
    pub most: usize,
}

/// A picture as a scene.
#[derive(Debug)]
pub struct LiftedPicture {
    /// The scene, in the axes of its camera: x right, y down, z forward.
    pub scene: Gaussians,
    /// The camera from which it looks like the picture, in the picture's own size.
    pub camera: Camera,
    /// The nearest and the farthest surface, in the depth model's units.
    pub range: (f32, f32),
    /// Whether the depth model tells distances only in proportion to each other: the nearest surface is then at 1.
    pub relative: bool,
    /// The share of the picture that is sky, or too far away to be told from it.
    pub sky: f64,
    /// Seconds it took.
    pub seconds: f64,
}

impl LiftedPicture {
    /// How far away things are, for a person: "2.1 to 48.0 away", and what that counts.
    #[must_use]
    pub fn distances(&self) -> String {
        let (near, far) = self.range;
        match (far > 0.0, self.relative) {
            (false, _) => "nothing but sky".to_owned(),
            (true, false) => format!("{near:.1} to {far:.1} away"),
            (true, true) => format!(
                "{near:.1} to {far:.1} times the nearest distance away (this model tells distances only in proportion to each other)"
            ),
        }
    }
}

impl Job for LiftPictureJob {
    type Output = LiftedPicture;

    fn title(&self) -> String {
        "Lift this picture".to_owned()
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<LiftedPicture> {
        let began = Instant::now();
        if !(self.field_of_view > 0.01 && self.field_of_view < 3.0) {
            bail!("a field of view of {:.1} degrees cannot be", self.field_of_view.to_degrees());
        }
        let (maps, own) = match DepthFolder::open(&self.depth.path)? {
            DepthFolder::Head(folder) => {
                let own = BackboneChoice {
                    name: format!("{}'s backbone", self.depth.name),
                    path: folder.backbone.clone(),
                    device: self.depth.device,
                    precision: self.depth.precision,
                };
                (Maps::by_head(&folder, &own, &self.picture, context)?, Some(own.path))
            }
            DepthFolder::DepthAnything(folder) => {
                (Maps::by_depth_anything(&folder, &self.depth, &self.picture, context)?, None)
            }
        };
        let seen = |choice: &BackboneChoice| own.as_ref().is_some_and(|own| same_place(&choice.path, own));
        let grid = match &self.backbone {
            // The depth model's own backbone has looked already.
            Some(choice) if seen(choice) => maps.grid.clone(),
            Some(choice) => {
                let looking = FeaturesJob {
                    picture: Arc::clone(&self.picture),
                    backbone: choice.clone(),
                    settings: ExtractSettings::default(),
                    cache: None,
                    trace: false,
                };
                let seen = looking.run(context)?;
                Some(seen.layers.into_iter().next().context("the backbone gave no layer")?.patches)
            }
            None => None,
        };
        context.monitor.stage("Making Gaussians", 0);
        let (width, height) = self.picture.dimensions();
        let shrink = (self.most.max(1) as f64 / (f64::from(width) * f64::from(height))).sqrt().min(1.0);
        let side = |side: u32| ((f64::from(side) * shrink).floor() as u32).max(1);
        let size = (side(width), side(height));
        let count = u64::from(size.0) * u64::from(size.1);
        let dim = grid.as_ref().map_or(0, FeatureGrid::dim);
        ask_for_memory("lifting the picture", count * (4 * dim as u64 + 128))?;
        let longer = f64::from(width.max(height));
        let vertical = 2.0 * ((0.5 * self.field_of_view).tan() * f64::from(height) / longer).atan();
        let camera = Camera::from_fov(DMat3::IDENTITY, DVec3::ZERO, vertical, (width, height)).map_err(in_job_terms)?;
        let small = Camera {
            focal: camera.focal
                * glam::DVec2::new(f64::from(size.0) / f64::from(width), f64::from(size.1) / f64::from(height)),
            principal: 0.5 * glam::DVec2::new(f64::from(size.0), f64::from(size.1)),
            width: size.0,
            height: size.1,
            ..camera
        };
        // Where in the picture the Gaussians lie, row by row.
        let places: Vec<(f64, f64)> = (0..size.1)
            .flat_map(|y| (0..size.0).map(move |x| (x, y)))
            .map(|(x, y)| {
                let along = |at: u32, of: u32, whole: u32| (f64::from(at) + 0.5) * f64::from(whole) / f64::from(of);
                (along(x, size.0, width), along(y, size.1, height))
            })
            .collect();
        let (depths, sky) = maps.depths(&places, (0.5 * self.field_of_view).tan());
        let surfaces = || depths.iter().zip(&sky).filter(|(_, sky)| !**sky).map(|(depth, _)| *depth);
        let range = surfaces().fold((f32::INFINITY, 0.0f32), |(near, far), depth| (near.min(depth), far.max(depth)));
        let behind = if range.1 > 0.0 { SKY * range.1 } else { ONLY_SKY };
        let depths: Vec<f32> = depths.iter().zip(&sky).map(|(depth, sky)| if *sky { behind } else { *depth }).collect();
        let colours = resize(&*self.picture, size.0, size.1, FilterType::Triangle);
        let colours: Vec<[f32; 3]> =
            colours.pixels().map(|pixel| pixel.0.map(|value| f32::from(value) / 255.0)).collect();
        let picture = DepthPicture { camera: &small, colours: &colours, depths: &depths };
        let mut scene = picture.gaussians().map_err(in_job_terms)?;
        if let (Some(grid), Some(choice)) = (&grid, &self.backbone) {
            context.monitor.stage("Bringing features to the Gaussians", 0);
            let features = features(grid, &places, &choice.name);
            scene = scene.with_features(Some(features)).map_err(in_job_terms)?;
        }
        let sky = sky.iter().filter(|sky| **sky).count() as f64 / sky.len().max(1) as f64;
        let (relative, seconds) = (maps.relative(), began.elapsed().as_secs_f64());
        Ok(LiftedPicture { scene, camera, range, relative, sky, seconds })
    }
}

fn same_place(a: &std::path::Path, b: &std::path::Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The features at places of the picture, between the middles of patches.
fn features(grid: &FeatureGrid, places: &[(f64, f64)], model: &str) -> Features {
    let dim = grid.dim();
    let mut values = Vec::with_capacity(places.len() * dim);
    for (x, y) in places {
        let at = corners(grid.placement().to_grid(*x, *y), grid.shape());
        let first = values.len();
        values.resize(first + dim, 0.0);
        for (cell, share) in at {
            let token = &grid.tokens()[cell * dim..][..dim];
            values[first..].iter_mut().zip(token).for_each(|(value, token)| *value += share * token);
        }
    }
    let confidence = vec![1.0; places.len()];
    Features { confidence, model: Some(model.to_owned()), ..Features::named("feature", dim, values) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::Engine;
    use crate::splats::Unobserved;
    use crate::splats::raster::RasterRequest;
    use crate::splats::tiles::render;

    fn asset(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(path)
    }

    #[test]
    fn a_sample_picture_becomes_a_scene_that_looks_like_it_with_near_below_and_sky_above() {
        let picture = Arc::new(image::open(asset("samples/lake-village.png")).unwrap().to_rgb8());
        let on = |name: &str, folder: &str| BackboneChoice {
            name: name.into(),
            path: asset(folder),
            device: DeviceChoice::Cpu,
            precision: Precision::Auto,
        };
        let job = LiftPictureJob {
            picture: Arc::clone(&picture),
            depth: DepthChoice {
                name: "starter".into(),
                path: asset("starter/depth"),
                device: DeviceChoice::Cpu,
                precision: Precision::Auto,
            },
            backbone: Some(on("starter", "starter/backbone")),
            field_of_view: 1.0,
            most: 6000,
        };
        let engine = Engine::start(1 << 30, Arc::new(|| {})).unwrap();
        let lifted = engine.submit(job.clone()).wait().unwrap();
        let (scene, camera) = (&lifted.scene, lifted.camera);
        assert!(scene.len() > 5000 && scene.len() <= 6000);
        assert_eq!(scene.features().unwrap().dim, 192);
        assert!(lifted.range.0 > 0.0 && lifted.range.1 > 2.0 * lifted.range.0);
        assert!(lifted.sky > 0.05 && lifted.sky < 0.9, "{}", lifted.sky);
        // What is low in the picture is nearer than its middle.
        let (width, height) = {
            let across = (scene.len() as f64 * f64::from(picture.width()) / f64::from(picture.height())).sqrt().floor();
            (across as usize, scene.len() / across as usize)
        };
        assert_eq!(width * height, scene.len());
        let mean = |row: usize| {
            (0..width).map(|x| f64::from(scene.positions()[row * width + x][2])).sum::<f64>() / width as f64
        };
        assert!(mean(height - 2) < mean(height / 2));
        let small = camera.resized((64, 64 * picture.height() / picture.width())).unwrap();
        let seen = render(scene, &RasterRequest::colour(scene, &small), &Unobserved).unwrap();
        let wanted = resize(&*picture, small.width, small.height, FilterType::Triangle);
        let off: f32 = wanted
            .pixels()
            .flat_map(|pixel| pixel.0)
            .zip(&seen.colour)
            .map(|(wanted, found)| (f32::from(wanted) / 255.0 - found).abs())
            .sum();
        assert!(off / (seen.colour.len() as f32) < 0.05, "{}", off / seen.colour.len() as f32);
        assert!(!lifted.relative && lifted.distances().ends_with(" away"), "{}", lifted.distances());
        let wide = LiftPictureJob { field_of_view: 4.0, ..job.clone() };
        assert!(engine.submit(wide).wait().unwrap_err().to_string().contains("field of view"));
        let elsewhere = DepthChoice { path: asset("starter/backbone"), ..job.depth.clone() };
        assert!(engine.submit(LiftPictureJob { depth: elsewhere, ..job }).wait().is_err());
    }

    #[test]
    fn depth_anything_makes_a_scene_whose_nearest_surface_is_at_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/depth_anything");
        let picture = Arc::new(image::open(asset("samples/lake-village.png")).unwrap().to_rgb8());
        let (device, precision) = (DeviceChoice::Cpu, Precision::Auto);
        let job = LiftPictureJob {
            picture,
            depth: DepthChoice { name: "tiny".into(), path: path.clone(), device, precision },
            backbone: None,
            field_of_view: 1.0,
            most: 3000,
        };
        let engine = Engine::start(1 << 30, Arc::new(|| {})).unwrap();
        let lifted = engine.submit(job.clone()).wait().unwrap();
        assert!(lifted.relative && lifted.distances().contains("in proportion"));
        assert!(lifted.scene.len() > 2500 && lifted.scene.features().is_none());
        // Between points the nearest is not quite reached.
        assert!(lifted.range.0 >= 0.999 && lifted.range.0 < 1.2 && lifted.range.1 <= 30.01, "{:?}", lifted.range);
        // A second time the network is there already, and gives the same.
        let again = engine.submit(job.clone()).wait().unwrap();
        assert_eq!(again.scene.positions(), lifted.scene.positions());
        // A tensor too many is not overlooked.
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "preprocessor_config.json"] {
            std::fs::copy(path.join(name), folder.path().join(name)).unwrap();
        }
        let cpu = candle_core::Device::Cpu;
        let mut tensors = candle_core::safetensors::load(path.join("model.safetensors"), &cpu).unwrap();
        let one = tensors["head.conv3.bias"].clone();
        tensors.insert("head.conv4.bias".to_owned(), one);
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        let other = DepthChoice { path: folder.path().to_owned(), ..job.depth.clone() };
        let fault = engine.submit(LiftPictureJob { depth: other, ..job }).wait().unwrap_err().to_string();
        assert!(fault.contains("head.conv4.bias"), "{fault}");
    }
}
