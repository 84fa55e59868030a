//! A picture becomes patch features: brought to the model's size and values, then through the vision transformer.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use image::RgbImage;

use super::{FeatureError, FeatureGrid, FeatureObserver, Placement};
use crate::nets::vit::{Cost, Vit, VitConfig};
use crate::nets::watcher::Watcher;
use crate::ops::device::Compute;
use crate::packs::backbone::{BackboneFolder, Normalisation};
use crate::picture::resize::{Fit, SizeRequest, WorkingPlan, plan, to_working};
use crate::trace::Trace;

/// The longer side a picture is looked at with where neither the person nor the model's config says.
const USUAL_SIDE: u32 = 518;

/// A backbone that is loaded.
#[derive(Debug)]
pub struct Backbone {
    vit: Vit,
    normalisation: Normalisation,
    input_size: Option<(u32, u32)>,
    compute: Compute,
}

/// How a picture is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractSettings {
    /// The working size; the size the model was trained at (longer side) if `None`.
    pub size: Option<SizeRequest>,
    /// How a picture of another shape comes to that size. [`Fit::Squash`] with [`SizeRequest::Source`] is FiT3D's way:
    /// sides floored to whole patches, bilinear.
    pub fit: Fit,
    /// The layers wanted: 1 is the first block, −1 the last, 0 what enters the first.
    pub layers: Vec<i64>,
    /// Whether the model's last norm is applied to them.
    pub normed: bool,
    /// How values are normalised; as the model's config says if `None`.
    pub normalisation: Option<Normalisation>,
}

impl Default for ExtractSettings {
    fn default() -> Self {
        Self { size: None, fit: Fit::Squash, layers: vec![-1], normed: true, normalisation: None }
    }
}

impl ExtractSettings {
    /// FiT3D's recipe (spec/fit3d.md section 4.1): the picture's own size floored to whole patches, ImageNet's
    /// normalisation whatever the model, the last layer after the norm.
    #[must_use]
    pub fn paper() -> Self {
        Self { size: Some(SizeRequest::Source), normalisation: Some(Normalisation::IMAGENET), ..Self::default() }
    }
}

/// The tokens of one layer.
#[derive(Clone, Debug)]
pub struct LayerTokens {
    /// Its number, 0 to the model's depth.
    pub layer: usize,
    /// The patches.
    pub patches: FeatureGrid,
    /// The class token, `[dim]`, where the model has one.
    pub class: Option<Arc<[f32]>>,
    /// The registers, `[dim]` each.
    pub registers: Vec<Arc<[f32]>>,
}

/// What one pass over a picture brings.
#[derive(Clone, Debug)]
pub struct Extraction {
    /// How the patches lie on the picture.
    pub placement: Placement,
    /// The layers in the order they were asked for.
    pub layers: Vec<LayerTokens>,
    /// Whether the picture is one colour everywhere, so that patches differ by their positions alone.
    pub one_colour: bool,
}

/// What a backbone is, read from its files' headers without loading it.
///
/// # Errors
/// [`FeatureError::Model`] for what is no vision transformer.
pub fn describe(folder: &BackboneFolder) -> Result<VitConfig, FeatureError> {
    let shapes: BTreeMap<String, Vec<usize>> = folder.shapes();
    VitConfig::of(&folder.config, &shapes).map_err(|error| model_error(folder, error.to_string()))
}

fn model_error(folder: &BackboneFolder, detail: String) -> FeatureError {
    FeatureError::Model { path: folder.path.display().to_string(), detail }
}

/// The layer that a number means in a model of `depth` blocks: 1 is the first block, −1 the last, 0 what enters the
/// first.
///
/// # Errors
/// [`FeatureError::Layer`].
pub fn layer(asked: i64, depth: usize) -> Result<usize, FeatureError> {
    let from_start = if asked < 0 { asked.saturating_add(1 + depth as i64) } else { asked };
    // Counted from the end there is no embedding; it has its own number.
    let found = usize::try_from(from_start).ok().filter(|layer| *layer <= depth && (asked >= 0 || *layer > 0));
    found.ok_or(FeatureError::Layer { asked, depth })
}

/// How a picture of `source` pixels (width, height) would be looked at, and what that takes.
///
/// # Errors
/// [`FeatureError::TooSmall`] and [`FeatureError::Size`].
pub fn estimate(
    config: &VitConfig,
    input_size: Option<(u32, u32)>,
    source: (u32, u32),
    settings: &ExtractSettings,
) -> Result<(Placement, Cost), FeatureError> {
    let patch = u32::try_from(config.patch).unwrap_or(u32::MAX);
    if source.0 < patch && source.1 < patch {
        return Err(FeatureError::TooSmall { width: source.0, height: source.1, patch });
    }
    let native = input_size.map_or(USUAL_SIDE, |(height, width)| height.max(width));
    let request = settings.size.unwrap_or(SizeRequest::LongerSide(native));
    let placement = Placement::new(&plan(source, request, settings.fit, patch)?, patch);
    let cost = config.cost(placement.rows, placement.columns);
    Ok((placement, cost))
}

/// The model's input for a picture: `[1, 3, h, w]`, normalised, in f32 on the CPU.
///
/// # Errors
/// Only what candle reports.
pub fn input(
    picture: &RgbImage,
    plan: &WorkingPlan,
    as_reference: bool,
    normalisation: &Normalisation,
) -> candle_core::Result<Tensor> {
    let (width, height) = (plan.working.0 as usize, plan.working.1 as usize);
    let value =
        |byte: u8, channel: usize| (f32::from(byte) / 255.0 - normalisation.mean[channel]) / normalisation.std[channel];
    if as_reference && !plan.is_identity() && picture.dimensions() == plan.source {
        return bilinear(picture, (width, height), &value);
    }
    let working = to_working(picture, plan);
    let mut planes = vec![0f32; 3 * width * height];
    for (channel, plane) in planes.chunks_exact_mut(width * height).enumerate() {
        for (out, pixel) in plane.iter_mut().zip(working.pixels()) {
            *out = value(pixel.0[channel], channel);
        }
    }
    Tensor::from_vec(planes, (1, 3, height, width), &Device::Cpu)
}

/// Bilinear without antialiasing, as the reference brings a picture to whole patches (spec/fit3d.md section 4.1): a
/// change of less than a patch a side, so that nothing is skipped.
fn bilinear(
    picture: &RgbImage,
    (width, height): (usize, usize),
    value: &impl Fn(u8, usize) -> f32,
) -> candle_core::Result<Tensor> {
    let taps = |inputs: u32, outputs: usize| -> Vec<(u32, u32, f32)> {
        // In f32, as torch computes them.
        let scale = inputs as f32 / outputs as f32;
        let tap = |at: usize| {
            let source = ((at as f32 + 0.5) * scale - 0.5).max(0.0);
            let first = (source as u32).min(inputs - 1);
            (first, (first + 1).min(inputs - 1), source - first as f32)
        };
        (0..outputs).map(tap).collect()
    };
    let (columns, rows) = (taps(picture.width(), width), taps(picture.height(), height));
    let mut planes = Vec::with_capacity(3 * width * height);
    for channel in 0..3 {
        let at = |x: u32, y: u32| value(picture.get_pixel(x, y).0[channel], channel);
        for &(top, bottom, down) in &rows {
            for &(left, right, along) in &columns {
                let across = |y: u32| at(left, y) * (1.0 - along) + at(right, y) * along;
                planes.push(across(top) * (1.0 - down) + across(bottom) * down);
            }
        }
    }
    Tensor::from_vec(planes, (1, 3, height, width), &Device::Cpu)
}

/// Counts the network's blocks for whoever watches.
struct Counting<'a> {
    observer: &'a dyn FeatureObserver,
    done: std::cell::Cell<usize>,
}

impl Watcher for Counting<'_> {
    fn checkpoint(&self) -> candle_core::Result<()> {
        self.observer.checkpoint()?;
        self.observer.step(self.done.get());
        self.done.set(self.done.get() + 1);
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.observer.wants(name)
    }

    fn tensor(&self, name: &str, tensor: &Tensor) {
        self.observer.tensor(name, tensor);
    }
}

impl Backbone {
    /// Loads an opened backbone.
    ///
    /// # Errors
    /// [`FeatureError::Model`] in one sentence where it is no vision transformer, lacks a tensor, or has tensors that
    /// such a network has no place for.
    pub fn load(folder: &BackboneFolder, compute: &Compute) -> Result<Self, FeatureError> {
        let config = describe(folder)?;
        let vit = Vit::load(&config, folder.weights.var_builder(&compute.device, compute.dtype))?;
        if let Some(stranger) = folder.strangers().first() {
            let detail = format!(
                "it holds the tensor {stranger}, for which none of the vision transformers that are read here has a place"
            );
            return Err(model_error(folder, detail));
        }
        Ok(Self { vit, normalisation: folder.normalisation, input_size: folder.input_size, compute: compute.clone() })
    }

    /// What it is made of.
    #[must_use]
    pub fn config(&self) -> &VitConfig {
        self.vit.config()
    }

    /// Where it runs: "CPU, f32".
    #[must_use]
    pub fn compute(&self) -> String {
        self.compute.describe()
    }

    /// The layer that a number means.
    ///
    /// # Errors
    /// As [`layer`].
    pub fn layer(&self, asked: i64) -> Result<usize, FeatureError> {
        layer(asked, self.config().depth)
    }

    /// How a picture of that size would be looked at, and what that takes.
    ///
    /// # Errors
    /// As [`estimate`].
    pub fn estimate(&self, source: (u32, u32), settings: &ExtractSettings) -> Result<(Placement, Cost), FeatureError> {
        estimate(self.config(), self.input_size, source, settings)
    }

    /// The features of a picture. `memory` is what the pass may take in bytes; unlimited if `None`.
    ///
    /// The trace gets `input` `[1, 3, h, w]`, `tokens` `[patches, dim]` of the first layer asked for, and `grid` `[2]`
    /// (rows, columns).
    ///
    /// # Errors
    /// [`FeatureError`] before anything runs for sizes and layers that cannot be; the network's and the watcher's.
    pub fn extract(
        &self,
        picture: &RgbImage,
        settings: &ExtractSettings,
        memory: Option<u64>,
        trace: &mut Trace,
        observer: &dyn FeatureObserver,
    ) -> Result<Extraction, FeatureError> {
        let layers = settings.layers.iter().map(|layer| self.layer(*layer)).collect::<Result<Vec<_>, _>>()?;
        let (placement, cost) = self.estimate(picture.dimensions(), settings)?;
        if let Some(available) = memory.filter(|available| cost.bytes > *available) {
            let (width, height) = placement.plan.working;
            return Err(FeatureError::OutOfMemory { width, height, needed: cost.bytes, available });
        }
        observer.stage("Looking at the picture", layers.iter().copied().max().unwrap_or(0));
        let normalisation = settings.normalisation.unwrap_or(self.normalisation);
        let as_reference = settings.size == Some(SizeRequest::Source) && settings.fit == Fit::Squash;
        let pixels = input(picture, &placement.plan, as_reference, &normalisation)?;
        trace.tensor("input", &pixels)?;
        let pixels = pixels.to_device(&self.compute.device)?.to_dtype(self.compute.dtype)?;
        let watcher = Counting { observer, done: std::cell::Cell::new(0) };
        let states = self.vit.states(&pixels, &layers, &watcher)?;
        observer.step(watcher.done.get());
        let mut found = Vec::with_capacity(layers.len());
        for (layer, state) in layers.into_iter().zip(states) {
            let state = if settings.normed { self.vit.normed(&state)? } else { state };
            found.push(self.tokens(layer, &state, &placement)?);
        }
        if let Some(first) = found.first() {
            let grid = &first.patches;
            trace.numbers("tokens", grid.tokens().to_vec(), &[grid.patches(), grid.dim()])?;
            trace.numbers("grid", vec![placement.rows as f32, placement.columns as f32], &[2])?;
        }
        let one_colour = picture.pixels().all(|pixel| Some(pixel) == picture.get_pixel_checked(0, 0));
        Ok(Extraction { placement, layers: found, one_colour })
    }

    /// Sorts a state `[1, prefix + patches, dim]` into its kinds of tokens.
    fn tokens(&self, layer: usize, state: &Tensor, placement: &Placement) -> Result<LayerTokens, FeatureError> {
        let (_, count, dim) = state.dims3()?;
        let values = state.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let config = self.config();
        let (prefix, patches) = values.split_at(config.prefix().min(count) * dim);
        let mut prefix = prefix.chunks_exact(dim).map(Arc::<[f32]>::from);
        let class = if config.class_token { prefix.next() } else { None };
        let registers = prefix.collect();
        Ok(LayerTokens { layer, patches: FeatureGrid::new(placement.clone(), dim, patches)?, class, registers })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;
    use crate::nets::watcher::{Cancelled, Unwatched};

    fn folder(name: &str) -> BackboneFolder {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit").join(name);
        BackboneFolder::open(&path).unwrap()
    }

    fn backbone(name: &str) -> Backbone {
        Backbone::load(&folder(name), &Compute::cpu()).unwrap()
    }

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 11) as u8, (x + y) as u8]))
    }

    fn extract(
        backbone: &Backbone,
        picture: &RgbImage,
        settings: &ExtractSettings,
    ) -> Result<Extraction, FeatureError> {
        backbone.extract(picture, settings, None, &mut Trace::default(), &Unwatched)
    }

    #[test]
    fn the_models_own_size_is_the_longer_side_and_any_other_can_be_asked_for() {
        let backbone = backbone("deit3");
        let shape = |size: Option<SizeRequest>, fit: Fit| {
            let settings = ExtractSettings { size, fit, ..ExtractSettings::default() };
            extract(&backbone, &picture(100, 70), &settings).unwrap().layers[0].patches.shape()
        };
        assert_eq!(shape(None, Fit::Squash), (2, 3));
        assert_eq!(shape(None, Fit::Pad), (3, 3));
        assert_eq!(shape(Some(SizeRequest::Source), Fit::Squash), (4, 6));
        assert_eq!(shape(Some(SizeRequest::Exact(33, 65)), Fit::Crop), (4, 2));
        assert_eq!(shape(Some(SizeRequest::LongerSide(5)), Fit::Squash), (1, 1));
    }

    #[test]
    fn a_one_coloured_picture_is_told_and_one_without_a_patch_refused() {
        let backbone = backbone("mae");
        let settings = ExtractSettings::default();
        assert!(extract(&backbone, &RgbImage::new(40, 40), &settings).unwrap().one_colour);
        assert!(!extract(&backbone, &picture(40, 40), &settings).unwrap().one_colour);
        assert!(!extract(&backbone, &picture(8, 40), &settings).unwrap().one_colour);
        let error = extract(&backbone, &picture(15, 15), &settings).unwrap_err().to_string();
        assert!(error.contains("15 × 15 pixels, less than one patch of 16 × 16"), "{error}");
    }

    #[test]
    fn layers_are_counted_from_both_ends() {
        assert_eq!(layer(-1, 12).unwrap(), 12);
        assert_eq!(layer(12, 12).unwrap(), 12);
        assert_eq!(layer(-12, 12).unwrap(), 1);
        assert_eq!(layer(0, 12).unwrap(), 0);
        for wrong in [13, -13, i64::MAX, i64::MIN] {
            assert!(layer(wrong, 12).unwrap_err().to_string().contains("layers 1 to 12"), "{wrong}");
        }
    }

    #[test]
    fn memory_is_asked_for_before_anything_runs() {
        let backbone = backbone("dinov2");
        let settings = ExtractSettings { size: Some(SizeRequest::LongerSide(16_000)), ..ExtractSettings::default() };
        let cost = backbone.estimate((70, 70), &settings).unwrap().1;
        assert!(cost.bytes > 1 << 30 && cost.patches == 1142 * 1142, "{cost:?}");
        let error = backbone.extract(&picture(70, 70), &settings, Some(1 << 30), &mut Trace::default(), &Unwatched);
        assert!(matches!(error, Err(FeatureError::OutOfMemory { width: 15_988, .. })), "{error:?}");
    }

    #[test]
    fn the_papers_normalisation_is_imagenets_whatever_the_model() {
        let backbone = backbone("clip");
        let traced = |settings: &ExtractSettings| {
            let mut trace = Trace::collecting();
            backbone.extract(&picture(32, 32), settings, None, &mut trace, &Unwatched).unwrap();
            trace.tensors().unwrap()["input"].flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]
        };
        let own = ExtractSettings { size: Some(SizeRequest::Source), ..ExtractSettings::default() };
        assert!((traced(&own) - (0.0 - 0.481_454_66) / 0.268_629_54).abs() < 1e-5);
        assert!((traced(&ExtractSettings::paper()) - (0.0 - 0.485) / 0.229).abs() < 1e-5);
    }

    /// Counts steps; stops at a given one.
    struct Steps {
        stop_at: usize,
        seen: RefCell<Vec<usize>>,
    }

    impl Watcher for Steps {
        fn checkpoint(&self) -> candle_core::Result<()> {
            if self.seen.borrow().len() == self.stop_at { Err(Cancelled.into_candle()) } else { Ok(()) }
        }
    }

    impl FeatureObserver for Steps {
        fn stage(&self, _: &str, steps: usize) {
            assert_eq!(steps, 3);
        }

        fn step(&self, done: usize) {
            self.seen.borrow_mut().push(done);
        }
    }

    #[test]
    fn blocks_are_counted_and_between_them_a_run_stops() {
        let backbone = backbone("dinov2");
        let run = |stop_at: usize| {
            let steps = Steps { stop_at, seen: RefCell::default() };
            let settings = ExtractSettings::default();
            let found = backbone.extract(&picture(50, 50), &settings, None, &mut Trace::default(), &steps);
            (found.is_ok(), steps.seen.into_inner())
        };
        assert_eq!(run(99), (true, vec![0, 1, 2, 3]));
        assert_eq!(run(2), (false, vec![0, 1]));
        assert_eq!(run(0), (false, vec![]));
    }

    #[test]
    fn tensors_without_a_place_are_a_sign_of_another_architecture() {
        let opened = folder("mae");
        let rename = |name: &str| Some(name.replace("blocks.1.norm2.bias", "blocks.1.attn.relative_position.bias"));
        let missing = BackboneFolder { weights: opened.weights.renamed(rename).unwrap(), ..opened.clone() };
        let error = Backbone::load(&missing, &Compute::cpu()).unwrap_err().to_string();
        assert!(error.contains("lacks the tensor blocks.1.norm2.bias"), "{error}");
        // One too many is not overlooked.
        let both = folder("pooled");
        let rename = |name: &str| Some(name.replace("head.weight", "qkv_extra.weight"));
        let stranger = BackboneFolder { weights: both.weights.renamed(rename).unwrap(), ..both };
        let error = Backbone::load(&stranger, &Compute::cpu()).unwrap_err().to_string();
        assert!(error.contains("holds the tensor qkv_extra.weight"), "{error}");
    }
}
