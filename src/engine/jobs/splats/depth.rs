//! What a depth model says of a picture: by a head on a backbone of the Features lens, or by a Depth-Anything-V2.

use std::sync::Arc;

use anyhow::{Context, bail};
use candle_core::{DType, Tensor};
use image::RgbImage;

use super::ask_for_memory;
use super::picture::DepthChoice;
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob};
use crate::engine::{Job, JobContext};
use crate::features::extract::{ExtractSettings, input};
use crate::features::{FeatureGrid, Placement};
use crate::nets::depth_anything::{DepthAnything, DepthAnythingConfig, Reading};
use crate::nets::depth_head::DepthHead;
use crate::nets::vit::Resampling;
use crate::ops::device::Compute;
use crate::packs::depth::{DepthAnythingFolder, HeadFolder};
use crate::picture::resize::{Fit, SizeRequest, plan};
use crate::splats::disparity;

/// A depth model's maps of a picture, `[rows, columns]` of points.
pub(super) struct Maps {
    values: Values,
    rows: usize,
    columns: usize,
    /// Points along a patch's side.
    points: f64,
    placement: Placement,
    /// The features that the model read on the way, where they are those of the Features lens.
    pub(super) grid: Option<FeatureGrid>,
}

enum Values {
    /// Log distance × tangent of half the field of view, and the surface's logit.
    LogDistance { log_distance: Vec<f32>, surface: Vec<f32> },
    /// Relative inverse distance and its largest value.
    Disparity { disparity: Vec<f32>, most: f32 },
    /// Distance in metres.
    Metric(Vec<f32>),
}

impl Maps {
    /// By a head that reads `backbone`.
    pub(super) fn by_head(
        folder: &HeadFolder,
        backbone: &BackboneChoice,
        picture: &Arc<RgbImage>,
        context: &mut JobContext<'_>,
    ) -> anyhow::Result<Self> {
        let looking = FeaturesJob {
            picture: Arc::clone(picture),
            backbone: backbone.clone(),
            settings: ExtractSettings::default(),
            cache: None,
            trace: true,
        };
        let seen = looking.run(context).context("the depth model's backbone")?;
        let grid = seen.layers.into_iter().next().context("the backbone gave no layer")?.patches;
        let (patch, width) = (grid.placement().patch as usize, grid.dim());
        if folder.config.width != width || folder.config.patch != patch {
            let (wanted, other) = (folder.config.width, folder.config.patch);
            bail!(
                "the depth head reads {wanted} channels of patches of {other} pixels, and its backbone has {width} of {patch}"
            );
        }
        let pixels =
            seen.trace.tensors().and_then(|tensors| tensors.get("input")).context("the backbone kept no input")?;
        context.monitor.stage("Estimating depth", 0);
        // The head is small; it runs where its tokens arrive.
        let compute = Compute::cpu();
        let vb = folder.weights.var_builder(&compute.device, compute.dtype);
        let head = DepthHead::load(&folder.config, &vb).context("the depth head")?;
        let tokens = Tensor::from_slice(grid.tokens(), (grid.patches(), width), &compute.device)?;
        let pixels = pixels.to_device(&compute.device)?.to_dtype(DType::F32)?;
        let maps = head.forward(&tokens, &pixels)?;
        let (rows, columns) = maps.log_distance.dims2()?;
        Ok(Self {
            values: Values::LogDistance {
                log_distance: numbers(&maps.log_distance)?,
                surface: numbers(&maps.surface)?,
            },
            rows,
            columns,
            points: folder.config.points as f64,
            placement: grid.placement().clone(),
            grid: Some(grid),
        })
    }

    /// By a Depth-Anything-V2.
    pub(super) fn by_depth_anything(
        folder: &DepthAnythingFolder,
        choice: &DepthChoice,
        picture: &RgbImage,
        context: &mut JobContext<'_>,
    ) -> anyhow::Result<Self> {
        let config = describe(folder)?;
        let patch = u32::try_from(config.vit.patch).unwrap_or(u32::MAX);
        let (width, height) = folder.size(picture.dimensions(), patch);
        let plan = plan(picture.dimensions(), SizeRequest::Exact(width, height), Fit::Squash, patch)?;
        let placement = Placement::new(&plan, patch);
        let compute = Compute::open(choice.device, choice.precision)?;
        let weights = folder.weights.parameters() * compute.dtype.size_in_bytes() as u64;
        let key = format!("depth {} {:?} {:?}", choice.path.display(), choice.device, choice.precision);
        let held = context.models.holds(&key);
        let activations = config.bytes(placement.rows, placement.columns);
        let what = format!("estimating depth at {width} × {height} pixels");
        ask_for_memory(&what, activations.saturating_add(if held { 0 } else { weights }))?;
        if !held {
            context.monitor.stage("Opening the depth model", 0);
        }
        let network = context.models.get_or_load(&key, weights, || -> anyhow::Result<DepthAnything> {
            let vb = folder.weights.var_builder(&compute.device, compute.dtype);
            let network = DepthAnything::load(&config, &vb).with_context(|| folder.path.display().to_string())?;
            match folder.stranger() {
                Some(name) => bail!("{} holds the tensor {name}, for which it has no place", folder.path.display()),
                None => Ok(network),
            }
        })?;
        context.monitor.stage("Estimating depth", 0);
        let pixels = input(picture, &plan, false, &folder.normalisation)?;
        let pixels = pixels.to_device(&compute.device)?.to_dtype(compute.dtype)?;
        let map = network.forward(&pixels, context.monitor)?;
        let (_, rows, columns) = map.dims3()?;
        let values = numbers(&map)?;
        if let Some(strange) = values.iter().find(|value| !value.is_finite()) {
            bail!("the depth model gave {strange}; with 32-bit numbers it may not");
        }
        let values = match config.reading {
            Reading::Metric(_) => Values::Metric(values),
            Reading::Disparity => {
                let most = values.iter().copied().fold(0.0, f32::max);
                Values::Disparity { disparity: values, most }
            }
        };
        Ok(Self { values, rows, columns, points: f64::from(patch), placement, grid: None })
    }

    /// Whether distances are relative, the nearest surface being at 1, rather than in the model's units.
    pub(super) fn relative(&self) -> bool {
        matches!(self.values, Values::Disparity { .. })
    }

    /// Distances at places of the picture, and where there is sky or no telling from it.
    pub(super) fn depths(&self, places: &[(f64, f64)], tangent: f64) -> (Vec<f32>, Vec<bool>) {
        let each = places.iter().map(|(x, y)| {
            let (column, row) = self.placement.to_grid(*x, *y);
            let at = corners((column * self.points, row * self.points), (self.rows, self.columns));
            let mean = |map: &[f32]| at.iter().map(|(cell, share)| share * map[*cell]).sum::<f32>();
            match &self.values {
                Values::LogDistance { log_distance, surface } => {
                    let log = f64::from(mean(log_distance)).clamp(-20.0, 20.0);
                    ((log.exp() / tangent) as f32, mean(surface) < 0.0)
                }
                Values::Disparity { disparity, most } => match disparity::distance(mean(disparity), *most) {
                    Some(distance) => (distance, false),
                    None => (disparity::FARTHEST, true),
                },
                Values::Metric(distance) => (mean(distance).max(1e-3), false),
            }
        });
        each.unzip()
    }
}

/// What a Depth-Anything-V2 is made of, from its files' headers.
pub(super) fn describe(folder: &DepthAnythingFolder) -> anyhow::Result<DepthAnythingConfig> {
    let resampling = if folder.authors { Resampling::CubicOffset } else { Resampling::Cubic };
    DepthAnythingConfig::of(&folder.config, &folder.backbone, &folder.shapes(), resampling)
        .with_context(|| format!("{} is no depth model that can be built", folder.path.display()))
}

fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// The four cells around a position (column, row) of a grid, counted from its corner, and their shares.
pub(super) fn corners((column, row): (f64, f64), (rows, columns): (usize, usize)) -> [(usize, f32); 4] {
    let along = |at: f64, cells: usize| {
        let place = (at - 0.5).clamp(0.0, cells.max(1) as f64 - 1.0);
        (place.floor() as usize, place.ceil() as usize, place.fract() as f32)
    };
    let (left, right, u) = along(column, columns);
    let (above, below, v) = along(row, rows);
    [
        (above * columns + left, (1.0 - u) * (1.0 - v)),
        (above * columns + right, u * (1.0 - v)),
        (below * columns + left, (1.0 - u) * v),
        (below * columns + right, u * v),
    ]
}
