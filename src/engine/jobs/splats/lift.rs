//! Features of photographs put onto a scene: a backbone looks at each photograph, and what it sees goes to the Gaussians
//! that the photograph shows, in closed form or fitted as FiT3D does. Photographs that are held out tell how well.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{SceneChoice, ask_for_memory, in_job_terms, modes, photograph};
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob};
use crate::engine::{Job, JobContext};
use crate::features::extract::ExtractSettings;
use crate::features::pca::{Basis, Sample};
use crate::features::{FeatureGrid, FeatureObserver};
use crate::picture::decode::{DecodeLimits, open};
use crate::splats::Gaussians;
use crate::splats::camera::Camera;
use crate::splats::fit::{Agreement, Decoder, Fit, FitSettings};
use crate::splats::gaussians::Features;
use crate::splats::io::cameras::NamedCamera;
use crate::splats::lift::{FeatureMap, Lift};
use crate::splats::projection::Filter;

/// By how much the proportions of a photograph and of its camera may differ.
const PROPORTIONS: f64 = 0.02;

/// How features come onto the Gaussians.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum LiftMethod {
    /// The mean of what the photographs show, weighted by how much a Gaussian adds to each pixel.
    #[default]
    Mean,
    /// FiT3D's objective: a few channels and a decoder, fitted with L1. The mean is computed beside it.
    Fit(FitSettings),
}

/// Photographs to lift onto a scene.
#[derive(Clone, Debug)]
pub struct LiftJob {
    /// The scene. Features that it has are replaced.
    pub scene: SceneChoice,
    /// The cameras.
    pub cameras: Vec<NamedCamera>,
    /// The folder with their photographs.
    pub images: PathBuf,
    /// The backbone that looks at them.
    pub backbone: BackboneChoice,
    /// How it looks; its first layer is taken.
    pub settings: ExtractSettings,
    /// Keeps so many principal components of the lifted features; all channels if `None`. Not for [`LiftMethod::Fit`].
    pub channels: Option<usize>,
    /// How.
    pub method: LiftMethod,
    /// Every so-many-th photograph is held out: not lifted, but compared with what the scene then shows. 0 holds none out.
    pub held: usize,
}

/// A scene with features.
#[derive(Debug)]
pub struct Lifted {
    /// The scene.
    pub scene: Gaussians,
    /// Photographs that were lifted.
    pub views: usize,
    /// Cameras whose photograph is not there.
    pub missing: usize,
    /// Gaussians that at least one photograph shows.
    pub seen: usize,
    /// Photographs that were held out, and how near the mean's features come to them.
    pub held: usize,
    /// See [`Lifted::held`]; `None` if none was held out.
    pub mean_agreement: Option<Agreement>,
    /// What fitting brought, if it was asked for.
    pub fitted: Option<FittedReport>,
    /// What a person should know, in sentences.
    pub notes: Vec<String>,
}

/// What fitting brought beside the channels.
#[derive(Debug)]
pub struct FittedReport {
    /// Brings the channels to the backbone's width.
    pub decoder: Decoder,
    /// The loss of every step.
    pub curve: Vec<f32>,
    /// How near the fitted features come to the photographs that were held out.
    pub agreement: Option<Agreement>,
}

/// A photograph as the backbone sees it.
struct Looked<'a> {
    camera: &'a Camera,
    grid: FeatureGrid,
    path: PathBuf,
    held: bool,
}

impl Looked<'_> {
    fn map(&self) -> anyhow::Result<FeatureMap<'_>> {
        map(self.camera, &self.grid).with_context(|| format!("{} does not fit its camera", self.path.display()))
    }
}

impl Job for LiftJob {
    type Output = Lifted;

    fn title(&self) -> String {
        format!("Lift {} onto {}", self.backbone.name, self.scene.name())
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<Lifted> {
        let opened = self.scene.open(context.monitor)?;
        let scene = opened.scene;
        let mut notes = opened.notes;
        let found = self.cameras.iter().map(|named| (named, photograph(&self.images, &named.picture)));
        let (views, missing): (Vec<_>, Vec<_>) = found.partition(|(_, path)| path.is_some());
        if views.is_empty() {
            let name = self.cameras.first().map_or("", |named| named.picture.as_str());
            bail!("none of the {} photographs is in {}, such as {name:?}", self.cameras.len(), self.images.display());
        }
        if let Some((first, _)) = missing.first() {
            let (count, all) = (missing.len(), self.cameras.len());
            notes.push(format!("{count} of {all} photographs are not there, such as {:?}", first.picture));
        }
        let filter = if scene.antialiased() { Filter::Antialiased } else { Filter::Classic };
        let all = views.len();
        let compares = self.held > 0 || self.method != LiftMethod::Mean;
        let mut lift: Option<Lift<'_>> = None;
        let mut kept: Vec<Looked<'_>> = Vec::new();
        for (at, (named, path)) in views.iter().filter_map(|(named, path)| Some((named, path.as_ref()?))).enumerate() {
            let picture = open(path, &DecodeLimits::default())?;
            let looking = FeaturesJob {
                picture: picture.rgb,
                backbone: self.backbone.clone(),
                settings: self.settings.clone(),
                cache: None,
                trace: false,
            };
            let seen = looking.run(context)?;
            let grid = seen.layers.into_iter().next().context("the backbone gave no layer")?.patches;
            if lift.is_none() {
                ask_for_memory("lifting", Lift::bytes(scene.len(), grid.dim()))?;
            }
            let held = self.held > 0 && at % self.held == self.held / 2 && all > 1;
            let looked = Looked { camera: &named.camera, grid, path: path.clone(), held };
            let lift = lift.get_or_insert_with(|| Lift::new(&scene, looked.grid.dim()));
            if !held {
                context.monitor.stage(format!("Lifting photograph {} of {all}", at + 1), 0);
                lift.add(&named.camera, filter, &looked.map()?, context.monitor).map_err(in_job_terms)?;
            }
            if compares {
                kept.push(looked);
            }
        }
        let Some(lift) = lift else { bail!("no photograph could be looked at") };
        let mut features = lift.finish();
        features.model = Some(self.backbone.name.clone());
        let seen = features.confidence.iter().filter(|weight| **weight > 0.0).count();
        if seen == 0 {
            bail!("no photograph shows anything of the scene; do the cameras belong to it?");
        }
        let held = kept.iter().filter(|looked| looked.held).count();
        let (mut mean_agreement, mut fitted) = (None, None);
        if compares {
            let mut fit = Fit::new(&scene, features.dim);
            for (at, looked) in kept.iter().enumerate() {
                context.monitor.stage(format!("Weighing photograph {} of {all}", at + 1), 0);
                if looked.held || self.method != LiftMethod::Mean {
                    fit.add(looked.camera, filter, &looked.map()?, looked.held, context.monitor)
                        .map_err(in_job_terms)?;
                    // One more view takes as much as the largest so far.
                    ask_for_memory("the weights of all photographs", fit.bytes() / (at as u64 + 1))?;
                }
            }
            mean_agreement = fit.agreement(&features, None);
            if let LiftMethod::Fit(settings) = &self.method {
                let inner = settings.channels as u64;
                ask_for_memory("fitting", 4 * 4 * inner * scene.len() as u64)?;
                let found = fit.run(settings, context.monitor, |_, _| {}).map_err(in_job_terms)?;
                let agreement = fit.agreement(&found.features, Some(&found.decoder));
                features = Features { model: Some(format!("{}, fitted", self.backbone.name)), ..found.features };
                fitted = Some(FittedReport { decoder: found.decoder, curve: found.curve, agreement });
            }
        }
        if let (Some(count), LiftMethod::Mean) = (self.channels, self.method) {
            features = reduced(&features, count, context.monitor)?;
        }
        drop(kept);
        let (views, missing) = (all - held, missing.len());
        let scene = scene.with_features(Some(features)).map_err(in_job_terms)?;
        Ok(Lifted { scene, views, missing, seen, held, mean_agreement, fitted, notes })
    }
}

/// A picture's features over the camera that took it.
fn map<'a>(camera: &Camera, grid: &'a FeatureGrid) -> anyhow::Result<FeatureMap<'a>> {
    let (width, height) = grid.placement().plan.source;
    let zoom = (f64::from(width) / f64::from(camera.width), f64::from(height) / f64::from(camera.height));
    if (zoom.0 / zoom.1 - 1.0).abs() > PROPORTIONS {
        bail!("the photograph has {width} × {height} pixels, the camera {} × {}", camera.width, camera.height);
    }
    // The grid lies evenly on the picture: two points say how.
    let (first, second) = (grid.placement().to_grid(0.0, 0.0), grid.placement().to_grid(1.0, 1.0));
    let (rows, columns) = grid.shape();
    Ok(FeatureMap {
        rows,
        columns,
        dim: grid.dim(),
        values: grid.tokens(),
        across: ((second.0 - first.0) * zoom.0, first.0),
        down: ((second.1 - first.1) * zoom.1, first.1),
    })
}

/// The first principal components of features, for scenes that should stay small.
fn reduced(features: &Features, count: usize, observer: &dyn FeatureObserver) -> anyhow::Result<Features> {
    let sample = modes::sample(features)?;
    let basis = Basis::fit(&[Sample::all(&sample)], count, observer)?;
    if basis.count() < count {
        bail!("{count} channels were asked for, and the lifted features have {}", basis.count());
    }
    let mut values = Vec::with_capacity(count * features.confidence.len());
    for index in 0..features.confidence.len() {
        let has = modes::has_features(features, index);
        values.extend((0..count).map(|component| {
            let along = basis.component(component).iter().zip(basis.mean()).zip(features.of(index));
            if has { along.map(|((along, mean), value)| along * (value - mean)).sum() } else { 0.0f32 }
        }));
    }
    let model = features.model.as_ref().map(|model| format!("{model}, {count} principal components"));
    let confidence = features.confidence.clone();
    Ok(Features { confidence, model, ..Features::named("feature", count, values) })
}
