//! Features of photographs put onto a scene: a backbone looks at each photograph, and what it sees goes to the Gaussians
//! that the photograph shows.

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
use crate::splats::gaussians::Features;
use crate::splats::io::cameras::NamedCamera;
use crate::splats::lift::{FeatureMap, Lift};
use crate::splats::projection::Filter;

/// By how much the proportions of a photograph and of its camera may differ.
const PROPORTIONS: f64 = 0.02;

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
    /// Keeps so many principal components of the lifted features; all channels if `None`.
    pub channels: Option<usize>,
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
    /// What a person should know, in sentences.
    pub notes: Vec<String>,
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
        let mut lift: Option<Lift<'_>> = None;
        let all = views.len();
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
            let grid = &seen.layers.first().context("the backbone gave no layer")?.patches;
            if lift.is_none() {
                ask_for_memory("lifting", Lift::bytes(scene.len(), grid.dim()))?;
            }
            let lift = lift.get_or_insert_with(|| Lift::new(&scene, grid.dim()));
            let map =
                map(&named.camera, grid).with_context(|| format!("{} does not fit its camera", path.display()))?;
            context.monitor.stage(format!("Lifting photograph {} of {all}", at + 1), 0);
            lift.add(&named.camera, filter, &map, context.monitor).map_err(in_job_terms)?;
        }
        let Some(lift) = lift else { bail!("no photograph could be looked at") };
        let mut features = lift.finish();
        features.model = Some(self.backbone.name.clone());
        let seen = features.confidence.iter().filter(|weight| **weight > 0.0).count();
        if seen == 0 {
            bail!("no photograph shows anything of the scene; do the cameras belong to it?");
        }
        if let Some(count) = self.channels {
            features = reduced(&features, count, context.monitor)?;
        }
        let (views, missing) = (views.len(), missing.len());
        let scene = scene.with_features(Some(features)).map_err(in_job_terms)?;
        Ok(Lifted { scene, views, missing, seen, notes })
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
