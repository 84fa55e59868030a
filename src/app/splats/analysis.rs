//! Components and clusters of the open scene, worked out in the background with progress, stopped when nobody asks any
//! more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use egui::Context;

use super::settings::SplatSettings;
use crate::app::background::Background;
use crate::engine::jobs::splats::modes;
use crate::engine::{JobState, Monitor, Snapshot};
use crate::features::FeatureError;
use crate::features::pca::{Basis, Colouring};
use crate::splats::gaussians::Gaussians;

/// A number that no other values of this run have.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A basis of pictures and how they are coloured by it, to colour the scene by too.
#[derive(Clone, Debug)]
pub(crate) struct SharedBasis {
    pub(crate) basis: Arc<Basis>,
    pub(crate) colouring: Colouring,
    /// Changes with both.
    pub(crate) id: u64,
}

impl PartialEq for SharedBasis {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// What a scene's features are shown by.
#[derive(Clone, Debug, PartialEq)]
enum Question {
    Components { scene: u64, shared: Option<SharedBasis> },
    Clusters { scene: u64, count: usize },
}

/// Numbers of each Gaussian.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    /// `[n, dim]`.
    pub(super) values: Vec<f32>,
    pub(super) dim: usize,
    /// Ends of the three components.
    pub(super) ranges: [(f32, f32); 3],
    /// Colours of the clusters.
    pub(super) palette: Vec<[f32; 3]>,
}

impl Found {
    /// The cluster of one Gaussian.
    pub(super) fn label(&self, index: usize) -> Option<usize> {
        let scores = self.values.get(index * self.dim..(index + 1) * self.dim)?;
        (!self.palette.is_empty()).then(|| modes::greatest(scores))
    }
}

/// One answer and the one that is on its way.
#[derive(Default)]
struct Slot {
    now: Option<(Question, Arc<Found>)>,
    fault: Option<(Question, String)>,
    making: Option<(Question, Arc<Monitor>, Background<Found>)>,
}

/// Both, and what was asked for last.
#[derive(Default)]
pub(super) struct Analysis {
    components: Slot,
    clusters: Slot,
}

impl Slot {
    fn want(&mut self, ctx: &Context, scene: &Arc<Gaussians>, question: Question) {
        self.poll();
        let known = self.now.as_ref().is_some_and(|(of, _)| *of == question)
            || self.fault.as_ref().is_some_and(|(of, _)| *of == question);
        match &self.making {
            Some((of, ..)) if *of == question => {}
            // Nobody waits for the other any more; the next frame begins with this.
            Some((_, monitor, _)) => monitor.cancel(),
            None if known => {}
            None => {
                let (waker, scene, asked) = (ctx.clone(), Arc::clone(scene), question.clone());
                let monitor = Arc::new(Monitor::new(Arc::new(move || waker.request_repaint())));
                let watched = Arc::clone(&monitor);
                let ctx = ctx.clone();
                let task = Background::start("features of a scene", move || {
                    let found = answer(&scene, &asked, &watched);
                    ctx.request_repaint();
                    found.map_err(|error| error.to_string())
                });
                self.making = Some((question, monitor, task));
            }
        }
    }

    fn poll(&mut self) {
        let Some((question, monitor, mut task)) = self.making.take() else { return };
        match task.take() {
            None => self.making = Some((question, monitor, task)),
            Some(Ok(found)) => {
                self.now = Some((question, Arc::new(found)));
                self.fault = None;
            }
            // Stopped for another question, which is no fault, or by the person, which is told already.
            Some(Err(_)) if monitor.is_cancelled() => {}
            Some(Err(sentence)) => self.fault = Some((question, sentence)),
        }
    }

    fn stop(&mut self) {
        if let Some((question, monitor, _)) = &self.making {
            monitor.cancel();
            self.fault = Some((question.clone(), "Stopped.".to_owned()));
        }
    }

    /// The answer that is there for this scene, even if another is on its way.
    fn found(&self, scene: u64) -> Option<Arc<Found>> {
        let (question, found) = self.now.as_ref()?;
        let of = match question {
            Question::Components { scene, .. } | Question::Clusters { scene, .. } => *scene,
        };
        (of == scene).then(|| Arc::clone(found))
    }
}

fn answer(scene: &Gaussians, question: &Question, monitor: &Monitor) -> Result<Found, FeatureError> {
    let Some(features) = scene.features() else {
        return Err(FeatureError::TooFewPatches { what: "a map of features", needed: 2, patches: 0 });
    };
    let id = next_id();
    match question {
        Question::Components { shared: Some(shared), .. } => {
            let colouring = &shared.colouring;
            let values = modes::components_by(features, &shared.basis, colouring.components, monitor)?;
            Ok(Found { id, values, dim: 4, ranges: colouring.ranges, palette: Vec::new() })
        }
        Question::Components { shared: None, .. } => {
            monitor.stage("Components of the scene", 0);
            let (values, colouring) = modes::components(features, monitor)?;
            Ok(Found { id, values, dim: 4, ranges: colouring.ranges, palette: Vec::new() })
        }
        Question::Clusters { count, .. } => {
            monitor.stage("Clusters of the scene", 0);
            let (values, palette) = modes::clusters(features, *count, 0, monitor)?;
            Ok(Found { id, values, dim: palette.len(), ranges: [(0.0, 1.0); 3], palette })
        }
    }
}

impl Analysis {
    /// Asks for components.
    pub(super) fn want_components(&mut self, ctx: &Context, scene: &Arc<Gaussians>, shared: Option<SharedBasis>) {
        self.components.want(ctx, scene, Question::Components { scene: scene.revision(), shared });
    }

    /// Asks for clusters.
    pub(super) fn want_clusters(&mut self, ctx: &Context, scene: &Arc<Gaussians>, settings: &SplatSettings) {
        self.clusters.want(ctx, scene, Question::Clusters { scene: scene.revision(), count: settings.clusters });
    }

    /// Takes what has come.
    pub(super) fn poll(&mut self) {
        self.components.poll();
        self.clusters.poll();
    }

    pub(super) fn components(&self, scene: u64) -> Option<Arc<Found>> {
        self.components.found(scene)
    }

    pub(super) fn clusters(&self, scene: u64) -> Option<Arc<Found>> {
        self.clusters.found(scene)
    }

    /// Why there are no components, or no clusters.
    pub(super) fn faults(&self) -> [Option<&str>; 2] {
        [&self.components, &self.clusters].map(|slot| slot.fault.as_ref().map(|(_, sentence)| sentence.as_str()))
    }

    /// Tries again what failed or was stopped.
    pub(super) fn try_again(&mut self) {
        (self.components.fault, self.clusters.fault) = (None, None);
    }

    pub(super) fn is_working(&self) -> bool {
        self.components.making.is_some() || self.clusters.making.is_some()
    }

    /// Stops what is on its way.
    pub(super) fn stop(&mut self) {
        self.components.stop();
        self.clusters.stop();
    }

    /// What is worked out now, in words, and how far it is.
    pub(super) fn now_running(&self) -> Option<(String, Snapshot)> {
        let making = self.components.making.as_ref().or(self.clusters.making.as_ref());
        let (_, monitor, _) = making?;
        let snapshot = Snapshot { state: JobState::Running, ..monitor.snapshot() };
        Some((snapshot.stage.clone(), snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splats::gaussians::{Features, Parts};

    fn scene() -> Arc<Gaussians> {
        let count = 600;
        let parts = Parts {
            positions: (0..count).map(|at| [at as f32, 0.0, 0.0]).collect(),
            log_scales: vec![[-3.0; 3]; count],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; count],
            opacity_logits: vec![1.0; count],
            sh: vec![0.0; 3 * count],
            features: Some(Features::named("f", 3, (0..3 * count).map(|at| ((at * at) as f32 * 0.1).sin()).collect())),
            ..Parts::default()
        };
        Arc::new(Gaussians::new(parts).unwrap())
    }

    #[test]
    fn the_newest_question_is_answered_and_what_is_stopped_is_told() {
        let (ctx, scene) = (Context::default(), scene());
        let mut analysis = Analysis::default();
        let settle = |analysis: &mut Analysis, count: usize| {
            let settings = SplatSettings { clusters: count, ..SplatSettings::default() };
            loop {
                analysis.want_clusters(&ctx, &scene, &settings);
                analysis.want_components(&ctx, &scene, None);
                if !analysis.is_working() {
                    return;
                }
                std::thread::yield_now();
            }
        };
        settle(&mut analysis, 3);
        let three = analysis.clusters(scene.revision()).unwrap();
        assert_eq!((three.palette.len(), three.dim, three.values.len()), (3, 3, 1800));
        assert!(three.label(7).unwrap() < 3 && three.label(600).is_none());
        // Another count in the middle of one: the last one counts.
        let four = SplatSettings { clusters: 4, ..SplatSettings::default() };
        analysis.want_clusters(&ctx, &scene, &four);
        settle(&mut analysis, 5);
        assert_eq!(analysis.clusters(scene.revision()).unwrap().palette.len(), 5);
        assert_eq!(analysis.components(scene.revision()).unwrap().dim, 4);
        assert!(analysis.clusters(scene.revision() + 1).is_none(), "another scene");
        // Stopped before it is there: told, and begun again when asked to.
        analysis.want_clusters(&ctx, &scene, &four);
        analysis.stop();
        while analysis.is_working() {
            analysis.poll();
            std::thread::yield_now();
        }
        let stopped = analysis.faults()[1] == Some("Stopped.");
        assert!(stopped || analysis.clusters(scene.revision()).unwrap().palette.len() == 4);
        analysis.try_again();
        settle(&mut analysis, 4);
        assert_eq!(analysis.clusters(scene.revision()).unwrap().palette.len(), 4);
    }
}
