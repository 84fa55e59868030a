//! Features on the inference thread: the backbone opened through the cache, memory asked for before it is taken, what
//! was computed before not computed again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;

use crate::engine::{Job, JobContext, JobError, Monitor, memory};
use crate::features::cache::{CachedLayer, FeatureCache, FeatureKey, PictureKey};
use crate::features::extract::{self, Backbone, ExtractSettings, LayerTokens, describe, estimate};
use crate::features::{FeatureError, FeatureObserver, Placement};
use crate::nets::vit::{Cost, VitConfig};
use crate::ops::device::{Compute, DeviceChoice, Precision};
use crate::packs::PackError;
use crate::packs::backbone::BackboneFolder;
use crate::packs::manifest::Role;
use crate::packs::store::Store;
use crate::trace::Trace;

/// Which backbone looks, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackboneChoice {
    /// What the person calls it: a pack's or model's name, or a folder.
    pub name: String,
    /// Its folder or file.
    pub path: PathBuf,
    /// Where it runs.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
}

impl BackboneChoice {
    /// The backbone that `name` (a pack, a model, a folder or a file) means on this machine.
    ///
    /// # Errors
    /// If there is no such backbone here, in one sentence.
    pub fn find(store: &Store, name: &str, device: DeviceChoice, precision: Precision) -> Result<Self, PackError> {
        let found = store.find(name, Role::Backbone)?;
        Ok(Self { name: name.to_owned(), path: found.path, device, precision })
    }

    /// What it is, from its files' headers: for the choice of layers and the cost shown before running. Reads a few
    /// kilobytes; a pickle is converted the first time, so not for the UI thread.
    ///
    /// # Errors
    /// One sentence: what is missing or of another kind.
    pub fn describe(&self) -> Result<BackboneFacts, FeatureError> {
        let folder = BackboneFolder::open(&self.path)?;
        Ok(BackboneFacts { config: describe(&folder)?, input_size: folder.input_size, bytes: 4 * folder.parameters() })
    }

    fn key(&self) -> String {
        format!("backbone {} {:?} {:?}", self.path.display(), self.device, self.precision)
    }
}

/// What a backbone is, known without loading it.
#[derive(Clone, Debug, PartialEq)]
pub struct BackboneFacts {
    /// Depth, width, tokens.
    pub config: VitConfig,
    /// Height and width in pixels it was trained at, where its config says so.
    pub input_size: Option<(u32, u32)>,
    /// Bytes of its weights in f32.
    pub bytes: u64,
}

impl BackboneFacts {
    /// How a picture of `source` pixels (width, height) would be looked at, and what that takes.
    ///
    /// # Errors
    /// Sizes that cannot be.
    pub fn estimate(&self, source: (u32, u32), settings: &ExtractSettings) -> Result<(Placement, Cost), FeatureError> {
        estimate(&self.config, self.input_size, source, settings)
    }
}

/// A picture to look at.
#[derive(Clone, Debug)]
pub struct FeaturesJob {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// By which backbone.
    pub backbone: BackboneChoice,
    /// How, and which layers are wanted.
    pub settings: ExtractSettings,
    /// Where features are kept; nothing is kept if `None`.
    pub cache: Option<FeatureCache>,
    /// Keeps `input`, `tokens` and `grid`. The network then runs even where the cache has its features.
    pub trace: bool,
}

/// What looking at a picture brings.
#[derive(Debug)]
pub struct FeaturesResult {
    /// The layers in the order they were asked for.
    pub layers: Vec<LayerTokens>,
    /// What the model is.
    pub config: VitConfig,
    /// Whether the picture is one colour everywhere, so that patches differ by their positions alone.
    pub one_colour: bool,
    /// Whether all of it was there already.
    pub cached: bool,
    /// Seconds the network took; 0 where it did not run.
    pub seconds: f64,
    /// The intermediate tensors, if they were asked for.
    pub trace: Trace,
}

impl FeatureObserver for Monitor {
    fn stage(&self, name: &str, steps: usize) {
        Self::stage(self, name, steps);
    }

    fn step(&self, done: usize) {
        Self::step(self, done);
    }
}

impl Job for FeaturesJob {
    type Output = FeaturesResult;

    fn title(&self) -> String {
        format!("Features: {}", self.backbone.name)
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<FeaturesResult> {
        let folder = BackboneFolder::open(&self.backbone.path)?;
        let config = describe(&folder).map_err(in_job_terms)?;
        let compute = Compute::open(self.backbone.device, self.backbone.precision)?;
        let layers = self.settings.layers.iter().map(|asked| extract::layer(*asked, config.depth));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<FeatureKey> = match &self.cache {
            Some(_) => {
                let picture = PictureKey::of(&self.picture);
                let key = |layer: &usize| {
                    FeatureKey::new(picture, self.backbone.path.clone(), compute.describe(), *layer, &self.settings)
                };
                layers.iter().map(key).collect()
            }
            None => Vec::new(),
        };
        if let Some(cache) = self.cache.as_ref().filter(|_| !self.trace) {
            let kept: Option<Vec<CachedLayer>> = keys.iter().map(|key| cache.get(key)).collect();
            if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
                return Ok(FeaturesResult {
                    one_colour: kept.iter().any(|layer| layer.one_colour),
                    layers: kept.into_iter().map(|layer| layer.tokens).collect(),
                    config,
                    cached: true,
                    seconds: 0.0,
                    trace: Trace::default(),
                });
            }
        }
        let backbone = load(&self.backbone, &folder, &compute, context)?;
        let mut trace = if self.trace { Trace::collecting() } else { Trace::default() };
        // A fifth is left to the rest of the machine.
        let room = memory::available().map(|bytes| bytes / 5 * 4);
        let began = Instant::now();
        let found =
            backbone.extract(&self.picture, &self.settings, room, &mut trace, context.monitor).map_err(in_job_terms)?;
        let seconds = began.elapsed().as_secs_f64();
        if let Some(cache) = &self.cache {
            for (key, tokens) in keys.into_iter().zip(&found.layers) {
                cache.insert(key, CachedLayer { tokens: tokens.clone(), one_colour: found.one_colour });
            }
        }
        Ok(FeaturesResult { layers: found.layers, config, one_colour: found.one_colour, cached: false, seconds, trace })
    }
}

/// Opens the backbone unless it is open already.
fn load(
    choice: &BackboneChoice,
    folder: &BackboneFolder,
    compute: &Compute,
    context: &mut JobContext<'_>,
) -> anyhow::Result<Arc<Backbone>> {
    let key = choice.key();
    let bytes = folder.parameters() * compute.dtype.size_in_bytes() as u64;
    if !context.models.holds(&key) {
        context.monitor.stage("Opening the backbone", 0);
        let available = memory::available().map(|free| free + context.models.bytes());
        if let Some(available) = available.filter(|available| compute.device.is_cpu() && bytes > *available) {
            let what = format!("the backbone {}", choice.name);
            let advice = "Close other programs, or choose a smaller model.".to_owned();
            return Err(JobError::OutOfMemory { what, needed: bytes, available, advice }.into());
        }
    }
    context.models.get_or_load(&key, bytes, || Backbone::load(folder, compute)).map_err(in_job_terms)
}

/// The lens's errors as the engine's, where it has a kind for them.
fn in_job_terms(error: FeatureError) -> anyhow::Error {
    match error {
        FeatureError::OutOfMemory { width, height, needed, available } => JobError::OutOfMemory {
            what: format!("looking at {width} × {height} pixels"),
            needed,
            available,
            advice: "Choose a smaller size.".to_owned(),
        }
        .into(),
        FeatureError::Tensor(error) => error.into(),
        FeatureError::Cancelled(cancelled) => cancelled.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::{Engine, JobState};

    fn job(name: &str) -> FeaturesJob {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit").join(name);
        FeaturesJob {
            picture: Arc::new(RgbImage::from_fn(70, 42, |x, y| image::Rgb([(x * 3) as u8, (y * 5) as u8, 90]))),
            backbone: BackboneChoice { name: name.into(), path, device: DeviceChoice::Cpu, precision: Precision::Auto },
            settings: ExtractSettings::default(),
            cache: None,
            trace: false,
        }
    }

    fn engine() -> Engine {
        Engine::start(1 << 30, Arc::new(|| {})).unwrap()
    }

    #[test]
    fn features_come_with_their_grid_and_a_second_time_from_the_cache() {
        let engine = engine();
        let cache = FeatureCache::new(1 << 20);
        let with_cache = |layers: &[i64]| {
            let settings = ExtractSettings { layers: layers.to_vec(), ..ExtractSettings::default() };
            FeaturesJob { cache: Some(cache.clone()), settings, ..job("dinov2-reg") }
        };
        let ticket = engine.submit(with_cache(&[-1, 1]));
        let monitor = Arc::clone(&ticket.monitor);
        let first = ticket.wait().unwrap();
        assert!(!first.cached && first.config.registers == 4);
        // 56 pixels is what the model was trained at: the longer side, floored to patches of 14.
        assert_eq!(first.layers[0].patches.shape(), (2, 4));
        assert_eq!((first.layers[0].layer, first.layers[1].layer), (2, 1));
        assert_eq!(first.layers[0].registers.len(), 4);
        let second = engine.submit(with_cache(&[1])).wait().unwrap();
        assert!(second.cached);
        assert_eq!(second.layers[0].patches.tokens(), first.layers[1].patches.tokens());
        // The state follows the result; once the next job has run it is there for certain.
        let shown = monitor.snapshot();
        assert_eq!((shown.state, shown.step, shown.steps), (JobState::Done, 2, 2));
        // A trace wants the network to run.
        let traced = engine.submit(FeaturesJob { trace: true, ..with_cache(&[1]) }).wait().unwrap();
        assert!(!traced.cached && traced.trace.tensors().unwrap().contains_key("tokens"));
        assert!(!engine.submit(with_cache(&[0])).wait().unwrap().cached);
    }

    #[test]
    fn faults_are_sentences_and_the_next_job_runs() {
        let engine = engine();
        let fault = |job: FeaturesJob| engine.submit(job).wait().unwrap_err();
        let layers = |layers: Vec<i64>| ExtractSettings { layers, ..ExtractSettings::default() };
        let beyond = fault(FeaturesJob { settings: layers(vec![9]), ..job("mae") });
        assert_eq!(
            beyond.to_string(),
            "there is no layer 9: this model has the layers 1 to 3 (0 is what enters the first, −1 the last)"
        );
        assert!(fault(FeaturesJob { settings: layers(vec![-4]), ..job("mae") }).to_string().contains("no layer -4"));
        let mut small = job("mae");
        small.picture = Arc::new(RgbImage::new(1, 1));
        assert!(fault(small).to_string().contains("1 × 1 pixels, less than one patch of 16 × 16"));
        assert!(fault(job("nowhere")).to_string().contains("nowhere"));
        let stopped = engine.submit(job("mae"));
        stopped.monitor.cancel();
        assert!(matches!(stopped.wait(), Ok(_) | Err(JobError::Cancelled)));
        assert!(engine.submit(job("mae")).wait().is_ok());
    }
}
