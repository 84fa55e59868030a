//! Features of the versions that panes show: taken from the cache, or computed on the inference thread.
//!
//! A model that is cheap for the picture looks at once; a costly one waits for the person's word, with its cost in view.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use egui::Context;

use super::backbones::Known;
use super::settings::FeatureSettings;
use crate::app::background::Background;
use crate::app::document::{Version, VersionId};
use crate::engine::jobs::features::{BackboneChoice, FeaturesJob, FeaturesResult};
use crate::engine::{Engine, JobError, JobState, Snapshot, Ticket, bytes_in_words, memory};
use crate::features::cache::{FeatureCache, FeatureKey, PictureKey};
use crate::features::extract::{ExtractSettings, LayerTokens};
use crate::features::{FeatureGrid, Placement};
use crate::nets::vit::Cost;
use crate::ops::device::{DeviceChoice, Precision, describe};

/// Multiply-adds that are spent without asking: a few seconds of two cores.
const CHEAP: u64 = 150_000_000_000;

/// Memory for features that are kept: an eighth of the machine's.
fn budget() -> usize {
    memory::total().map_or(1 << 30, |bytes| usize::try_from(bytes / 8).unwrap_or(1 << 30))
}

/// The features of one layer, with a number of their own: the same number, the same features.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: u64,
    pub(super) tokens: LayerTokens,
    pub(super) one_colour: bool,
}

/// What is known of a pane's features now.
#[derive(Clone)]
pub(super) enum Sight {
    Here(Arc<Seen>),
    /// Something is read or computed.
    OnItsWay,
    /// It is costly: the person has to say so.
    Asks,
    /// One sentence, and whether trying again may help.
    Fault(String, bool),
    /// No model is chosen.
    NoModel,
}

impl Sight {
    pub(super) fn seen(&self) -> Option<&Arc<Seen>> {
        if let Self::Here(seen) = self { Some(seen) } else { None }
    }
}

/// What looking takes.
#[derive(Clone, Debug)]
pub(super) struct Estimate {
    pub(super) placement: Placement,
    pub(super) cost: Cost,
}

/// Which features, all layers of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LookKey {
    version: VersionId,
    path: PathBuf,
    device: DeviceChoice,
    precision: Precision,
    size: super::settings::Size,
    padded: bool,
    normed: bool,
    imagenet: bool,
}

struct Look {
    key: LookKey,
    /// The layer that was wanted when it began.
    layer: usize,
    feature_key: FeatureKey,
    multiply_adds: u64,
    ticket: Ticket<FeaturesResult>,
}

enum Picture {
    Reading(Background<PictureKey>),
    Known(PictureKey),
}

enum Joined {
    Making(Background<FeatureGrid>),
    Done(Result<Arc<Seen>, String>),
}

/// The features that are there, and those on their way.
pub(super) struct Looking {
    cache: FeatureCache,
    pictures: HashMap<VersionId, Picture>,
    held: HashMap<FeatureKey, Arc<Seen>>,
    /// Which of them were asked for in this frame.
    used: HashSet<FeatureKey>,
    joined: HashMap<(u64, u64), Joined>,
    used_joined: HashSet<(u64, u64)>,
    looks: Vec<Look>,
    faults: HashMap<LookKey, String>,
    /// What the person said yes to.
    wanted: HashSet<LookKey>,
    /// What would run if the person said so, in this frame.
    asking: Vec<LookKey>,
    /// Multiply-adds a second, as measured last.
    speed: Option<f64>,
    next: u64,
}

/// The engine and the choices, for one question.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) ctx: &'a Context,
    pub(super) engine: &'a Engine,
    pub(super) settings: &'a FeatureSettings,
    pub(super) device: DeviceChoice,
    pub(super) precision: Precision,
}

impl Looking {
    pub(super) fn new() -> Self {
        Self {
            cache: FeatureCache::new(budget()),
            pictures: HashMap::new(),
            held: HashMap::new(),
            used: HashSet::new(),
            joined: HashMap::new(),
            used_joined: HashSet::new(),
            looks: Vec::new(),
            faults: HashMap::new(),
            wanted: HashSet::new(),
            asking: Vec::new(),
            speed: None,
            next: 0,
        }
    }

    /// Another document is open: its versions have the same numbers and other pixels. What runs for the one before stops.
    pub(super) fn forget_versions(&mut self, engine: &Engine) {
        self.stop(engine);
        self.pictures.clear();
        self.held.clear();
        self.joined.clear();
        self.faults.clear();
        self.wanted.clear();
    }

    /// Stops everything that runs or waits.
    pub(super) fn stop(&mut self, engine: &Engine) {
        for look in &self.looks {
            engine.cancel(look.ticket.id);
        }
    }

    pub(super) fn is_working(&self) -> bool {
        !self.looks.is_empty()
    }

    /// What is on the inference thread now, in words, and how far it is.
    pub(super) fn now_running(&self) -> Option<(String, Snapshot)> {
        let snapshots = self.looks.iter().map(|look| look.ticket.monitor.snapshot());
        let snapshot = snapshots.into_iter().find(|snapshot| snapshot.state == JobState::Running)?;
        let words = if snapshot.steps > 0 {
            format!("{}, layer {} of {}", snapshot.stage, snapshot.step, snapshot.steps)
        } else {
            snapshot.stage.clone()
        };
        Some((words, snapshot))
    }

    /// How far the looks that are open have come: running ones first.
    pub(super) fn progress(&self) -> Option<Snapshot> {
        let mut snapshots: Vec<Snapshot> = self.looks.iter().map(|look| look.ticket.monitor.snapshot()).collect();
        snapshots.sort_by_key(|snapshot| snapshot.state != JobState::Running);
        snapshots.into_iter().next()
    }

    /// A frame begins: nothing was asked for yet.
    pub(super) fn begin(&mut self) {
        self.used.clear();
        self.used_joined.clear();
        self.asking.clear();
    }

    /// A frame ends: what no pane shows is left to the cache.
    pub(super) fn end(&mut self) {
        let (used, used_joined) = (&self.used, &self.used_joined);
        self.held.retain(|key, _| used.contains(key));
        self.joined.retain(|key, _| used_joined.contains(key));
    }

    /// Whether anything waits for the person's word.
    pub(super) fn asks(&self) -> bool {
        !self.asking.is_empty()
    }

    /// The person said so.
    pub(super) fn agree(&mut self) {
        self.wanted.extend(self.asking.drain(..));
    }

    /// Tries again what failed or was stopped.
    pub(super) fn try_again(&mut self) {
        self.wanted.extend(self.faults.drain().map(|(key, _)| key));
    }

    /// How long that would take, if something ran before.
    pub(super) fn seconds(&self, cost: &Cost) -> Option<f64> {
        self.speed.map(|speed| cost.multiply_adds as f64 / speed)
    }

    /// Takes what the inference thread has brought.
    pub(super) fn poll(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut open = Vec::with_capacity(self.looks.len());
        for look in std::mem::take(&mut self.looks) {
            let Look { key, layer, feature_key, multiply_adds, ticket } = look;
            let crate::engine::Ticket { id, monitor, promise } = ticket;
            match promise.try_take() {
                Err(promise) => {
                    let ticket = Ticket { id, monitor, promise };
                    open.push(Look { key, layer, feature_key, multiply_adds, ticket });
                }
                Ok(Ok(result)) => {
                    if result.seconds > 0.05 {
                        self.speed = Some(multiply_adds as f64 / result.seconds);
                    }
                    let found = result.layers.into_iter().find(|tokens| tokens.layer == layer);
                    if let Some(tokens) = found {
                        let seen = Seen { id: self.number(), tokens, one_colour: result.one_colour };
                        self.held.insert(feature_key, Arc::new(seen));
                    }
                }
                Ok(Err(error @ (JobError::Cancelled | JobError::Closing))) => {
                    let words = if error == JobError::Closing { error.to_string() } else { "Stopped.".to_owned() };
                    self.faults.insert(key, words);
                }
                Ok(Err(error)) => {
                    complaints.push(error.to_string());
                    self.faults.insert(key, error.to_string());
                }
            }
        }
        self.looks = open;
        complaints
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// What a version's picture is known by; `None` while its pixels are read.
    fn picture(&mut self, ctx: &Context, version: &Version) -> Option<PictureKey> {
        let entry = self.pictures.entry(version.id).or_insert_with(|| {
            let (picture, ctx) = (Arc::clone(&version.picture.rgb), ctx.clone());
            Picture::Reading(Background::start("read a picture's pixels", move || {
                let key = PictureKey::of(&picture);
                ctx.request_repaint();
                Ok(key)
            }))
        });
        if let Picture::Reading(task) = entry
            && let Some(Ok(key)) = task.take()
        {
            *entry = Picture::Known(key);
        }
        match entry {
            Picture::Reading(_) => None,
            Picture::Known(key) => Some(*key),
        }
    }

    /// The features of a version by a model, or what is the matter with them.
    pub(super) fn see(&mut self, how: How<'_>, name: &str, known: &Known, version: &Version) -> Sight {
        let settings = how.settings;
        let depth = known.facts.config.depth;
        let layer = depth.saturating_sub(settings.before_last);
        let wanted = i64::try_from(layer).unwrap_or(i64::MAX);
        let one = settings.extraction(vec![wanted]);
        let estimate = match known.facts.estimate(version.picture.size(), &one) {
            Ok((placement, cost)) => Estimate { placement, cost },
            Err(error) => return Sight::Fault(sentence(&error.to_string()), false),
        };
        let Some(picture) = self.picture(how.ctx, version) else { return Sight::OnItsWay };
        let compute = describe(how.device, how.precision);
        let feature_key = FeatureKey::new(picture, known.path.clone(), compute, layer, &one);
        self.used.insert(feature_key.clone());
        if let Some(seen) = self.held.get(&feature_key) {
            return Sight::Here(Arc::clone(seen));
        }
        if let Some(cached) = self.cache.get(&feature_key) {
            let seen = Seen { id: self.number(), tokens: cached.tokens, one_colour: cached.one_colour };
            let seen = Arc::new(seen);
            self.held.insert(feature_key, Arc::clone(&seen));
            return Sight::Here(seen);
        }
        let key = LookKey {
            version: version.id,
            path: known.path.clone(),
            device: how.device,
            precision: how.precision,
            size: settings.size,
            padded: settings.padded,
            normed: settings.normed,
            imagenet: settings.imagenet,
        };
        if self.looks.iter().any(|look| look.key == key) {
            return Sight::OnItsWay;
        }
        if let Some(fault) = self.faults.get(&key)
            && !self.wanted.contains(&key)
        {
            return Sight::Fault(sentence(fault), true);
        }
        if estimate.cost.multiply_adds > CHEAP && !self.wanted.contains(&key) {
            self.asking.push(key);
            return Sight::Asks;
        }
        self.wanted.remove(&key);
        self.begin_look(how, name, known, version, key, feature_key, &estimate, layer);
        Sight::OnItsWay
    }

    #[expect(clippy::too_many_arguments, reason = "all of it was just worked out by the one caller")]
    fn begin_look(
        &mut self,
        how: How<'_>,
        name: &str,
        known: &Known,
        version: &Version,
        key: LookKey,
        feature_key: FeatureKey,
        estimate: &Estimate,
        layer: usize,
    ) {
        let config = &known.facts.config;
        let each = estimate.placement.patches().saturating_mul(config.width).saturating_mul(size_of::<f32>());
        // One pass gives every layer; they are kept where there is room, so that the slider of layers runs no network.
        let layers = if each.saturating_mul(config.depth + 1) <= budget() / 4 {
            (0..=config.depth).map(|layer| i64::try_from(layer).unwrap_or(i64::MAX)).collect()
        } else {
            vec![i64::try_from(layer).unwrap_or(i64::MAX)]
        };
        let settings: ExtractSettings = how.settings.extraction(layers);
        let backbone = BackboneChoice {
            name: name.to_owned(),
            path: known.path.clone(),
            device: how.device,
            precision: how.precision,
        };
        let job = FeaturesJob {
            picture: Arc::clone(&version.picture.rgb),
            backbone,
            settings,
            cache: Some(self.cache.clone()),
            trace: false,
        };
        let ticket = how.engine.submit(job);
        self.looks.push(Look { key, layer, feature_key, multiply_adds: estimate.cost.multiply_adds, ticket });
    }

    /// Two models' features of one picture side by side.
    pub(super) fn both(&mut self, ctx: &Context, a: &Arc<Seen>, b: &Arc<Seen>) -> Sight {
        let key = (a.id, b.id);
        self.used_joined.insert(key);
        let next = self.next + 1;
        let entry = self.joined.entry(key).or_insert_with(|| {
            let (a, b, ctx) = (a.tokens.patches.clone(), b.tokens.patches.clone(), ctx.clone());
            Joined::Making(Background::start("put features side by side", move || {
                let joined = a.beside(&b).map_err(|error| sentence(&error.to_string()));
                ctx.request_repaint();
                joined
            }))
        });
        if let Joined::Making(task) = entry
            && let Some(made) = task.take()
        {
            self.next = next;
            let tokens = |patches| LayerTokens {
                layer: a.tokens.layer,
                patches,
                class: join(&a.tokens.class, &b.tokens.class),
                registers: Vec::new(),
            };
            let seen = |patches| Arc::new(Seen { id: next, tokens: tokens(patches), one_colour: a.one_colour });
            *entry = Joined::Done(made.map(seen));
        }
        match entry {
            Joined::Making(_) => Sight::OnItsWay,
            Joined::Done(Ok(seen)) => Sight::Here(Arc::clone(seen)),
            Joined::Done(Err(sentence)) => Sight::Fault(sentence.clone(), false),
        }
    }
}

fn join(a: &Option<Arc<[f32]>>, b: &Option<Arc<[f32]>>) -> Option<Arc<[f32]>> {
    Some(a.as_ref()?.iter().chain(b.as_ref()?.iter()).copied().collect())
}

/// With a capital at its beginning and a full stop at its end.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with(['.', '?', '!']) {
        text.push('.');
    }
    text
}

/// "47 billion multiply-adds", "310 MB", "about 1.2 s".
pub(super) fn cost_in_words(cost: &Cost, seconds: Option<f64>) -> String {
    let adds = cost.multiply_adds as f64;
    let count = if adds >= 1e9 {
        format!("{:.0} billion multiply-adds", (adds / 1e9).max(1.0))
    } else {
        format!("{:.0} million multiply-adds", (adds / 1e6).max(1.0))
    };
    let memory = bytes_in_words(cost.bytes);
    match seconds {
        Some(seconds) if seconds < 0.1 => format!("{count}, {memory}, under 0.1 s"),
        Some(seconds) if seconds < 10.0 => format!("{count}, {memory}, about {seconds:.1} s"),
        Some(seconds) => format!("{count}, {memory}, about {seconds:.0} s"),
        None => format!("{count}, {memory}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_sentences_read_well() {
        let cost = |multiply_adds, bytes| Cost { patches: 4, multiply_adds, bytes };
        assert_eq!(cost_in_words(&cost(47_200_000_000, 310_000_000), None), "47 billion multiply-adds, 310 MB");
        assert_eq!(cost_in_words(&cost(3_400_000, 2_000), Some(1.23)), "3 million multiply-adds, 2 kB, about 1.2 s");
        assert_eq!(sentence("no"), "No.");
        assert_eq!(sentence("is it?"), "Is it?");
        assert_eq!(sentence(""), ".");
    }
}
