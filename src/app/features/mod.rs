//! The Features lens: what a vision transformer sees in the picture, in one to four panes.
//!
//! `settings` is what is kept between runs, `panes` what each pane shows, `backbones` which models there are; `looking`
//! gets features from the inference thread, `analysis` components and clusters of them, `maps` and `paint` make pictures
//! of these; `canvas` draws the panes, `panel` and its sections the controls, `region` and `export` bring results out.

mod analysis;
mod backbones;
mod canvas;
mod choosing;
mod cluster_panel;
mod display_panel;
mod export;
mod kept;
mod looking;
mod maps;
mod paint;
mod pane_header;
mod panel;
mod panes;
mod pca_panel;
mod query;
mod readout;
mod region;
pub(super) mod settings;
mod similarity_panel;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use egui::{Context, Pos2};
use image::RgbImage;

use analysis::{Analysis, FileBasis, OfPane};
use backbones::Backbones;
pub(super) use export::What as ExportWhat;
use looking::{How, Looking, Seen, Sight};
use maps::{Asked, Ingredients};
use paint::Paint;
pub(super) use panes::MapKind;
use panes::{Pane, Slot};
use query::{Query, Subject};
use settings::FeatureSettings;

use super::background::Background;
use super::document::{Document, Version, VersionId};
use super::edit::work::Workshop;
use super::mask::Mask;
use super::widgets::compare::View;
use crate::engine::Engine;
use crate::features::pca::{Basis, Colouring, Scores};
use crate::features::similarity::Match;
use crate::ops::device::{DeviceChoice, Precision};

/// What the left button does on a pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    /// Looks at patches and moves the picture.
    #[default]
    Point,
    Box,
    Lasso,
}

impl Tool {
    /// On its button, and in the list of commands.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Point => "Look at patches",
            Self::Box => "Draw a box",
            Self::Lasso => "Draw a lasso",
        }
    }

    /// With Alt.
    pub(crate) fn key(self) -> egui::Key {
        match self {
            Self::Point => egui::Key::V,
            Self::Box => egui::Key::B,
            Self::Lasso => egui::Key::L,
        }
    }
}

/// What a difference is between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Between {
    /// The pane's version and the one it is compared with, by one model.
    #[default]
    Versions,
    /// The two models, on the pane's version.
    Models,
}

/// A pane as it stands in this frame.
struct PaneNow {
    pane: Pane,
    version: VersionId,
    title: String,
    rgb: Arc<RgbImage>,
    sight: Sight,
    /// What a difference is held against.
    other: Option<Sight>,
}

impl PaneNow {
    fn seen(&self) -> Option<&Arc<Seen>> {
        self.sight.seen()
    }

    fn other(&self) -> Option<&Arc<Seen>> {
        self.other.as_ref().and_then(Sight::seen)
    }
}

/// The state of the Features lens that is not part of the document.
pub(crate) struct FeaturesLens {
    backbones: Backbones,
    looking: Looking,
    analysis: Analysis,
    panes: Vec<Pane>,
    /// The pane whose controls are in the panel.
    active: usize,
    /// What each pane sees, where panes are not linked.
    views: Vec<View>,
    /// The panes of the last frame, for what is drawn before them.
    nows: Vec<PaneNow>,
    paints: Vec<Paint>,
    between: Between,
    /// A basis from a file, used instead of fitting one.
    basis: Option<FileBasis>,
    reading_basis: Option<(String, Background<Basis>)>,
    bases_read: u64,
    /// Names of clusters, by their place in the palette; so too what is hidden and chosen.
    names: BTreeMap<usize, String>,
    hidden: BTreeSet<usize>,
    chosen: BTreeSet<usize>,
    pub(super) tool: Tool,
    /// What similarity is asked about until something else is.
    held: Option<Query>,
    /// What is under the pointer.
    hovered: Option<Query>,
    /// A shape that is being drawn: its pane and its way so far (0..=1 on the picture).
    drawing: Option<(usize, Vec<Pos2>)>,
    /// The pane and place that the pointer, or the keyboard, is at.
    cursor: Option<(usize, Pos2)>,
    /// Similarity maps show only what is above the threshold.
    cut: bool,
    threshold: f64,
    making_region: Option<Background<(String, Mask)>>,
    /// What each pane compared with last: the features' number, the subject, and the features of it.
    asked: RefCell<HashMap<usize, (u64, Subject, Asked)>>,
    /// Which backbone a folder is asked for.
    folder_for: Slot,
}

impl FeaturesLens {
    /// Models came or went.
    pub(super) fn models_changed(&mut self) {
        self.backbones.read_again();
    }

    pub(super) fn new(workshop: Arc<dyn Workshop>) -> Self {
        Self {
            backbones: Backbones::new(workshop),
            looking: Looking::new(),
            analysis: Analysis::default(),
            panes: vec![Pane::default()],
            active: 0,
            views: Vec::new(),
            nows: Vec::new(),
            paints: Vec::new(),
            between: Between::default(),
            basis: None,
            reading_basis: None,
            bases_read: 0,
            names: BTreeMap::new(),
            hidden: BTreeSet::new(),
            chosen: BTreeSet::new(),
            tool: Tool::default(),
            held: None,
            hovered: None,
            drawing: None,
            cursor: None,
            cut: false,
            threshold: 0.6,
            making_region: None,
            asked: RefCell::default(),
            folder_for: Slot::A,
        }
    }

    /// Forgets what was about the document before.
    pub(super) fn show_new_document(&mut self, engine: &Engine) {
        self.looking.forget_versions(engine);
        self.nows.clear();
        self.paints.clear();
        for pane in &mut self.panes {
            if let panes::Which::One(_) = pane.which {
                pane.which = panes::Which::Shown;
            }
        }
        self.names.clear();
        self.hidden.clear();
        self.chosen.clear();
        self.held = None;
        self.hovered = None;
        self.drawing = None;
        self.cursor = None;
        self.making_region = None;
        self.asked.borrow_mut().clear();
    }

    /// Whether there is any backbone to look with.
    pub(super) fn has_backbones(&self, settings: &FeatureSettings) -> bool {
        !self.backbones.list(&settings.folders).is_empty()
    }

    /// The names of the chosen models.
    fn names_of_models(&self, settings: &FeatureSettings) -> (Option<String>, Option<String>) {
        let list = self.backbones.list(&settings.folders);
        let here = |name: &String| list.iter().any(|offer| offer.name == *name);
        let a = settings.a.clone().filter(here).or_else(|| list.first().map(|offer| offer.name.clone()));
        (a, settings.b.clone().filter(here))
    }

    fn active_pane(&self) -> Pane {
        self.panes.get(self.active).copied().unwrap_or_default()
    }

    fn active_pane_mut(&mut self) -> Option<&mut Pane> {
        self.panes.get_mut(self.active)
    }

    fn active_now(&self) -> Option<&PaneNow> {
        self.nows.get(self.active)
    }

    /// The features of a version by the model of `slot`.
    fn see(&mut self, how: How<'_>, slot: Slot, version: &Version) -> Sight {
        let (a, b) = self.names_of_models(how.settings);
        let name = match slot {
            Slot::A => a,
            Slot::B => match b {
                Some(name) => Some(name),
                None => return Sight::Fault("Choose a model B in the panel to see this pane.".to_owned(), false),
            },
            Slot::Both => {
                let (first, second) = (self.see(how, Slot::A, version), self.see(how, Slot::B, version));
                return match (first, second) {
                    (Sight::Here(a), Sight::Here(b)) => self.looking.both(how.ctx, &a, &b),
                    (Sight::Here(_), other) | (other, _) => other,
                };
            }
        };
        let Some(name) = name else { return Sight::NoModel };
        match self.backbones.know(how.ctx, &name) {
            None => Sight::OnItsWay,
            Some(Err(fault)) => Sight::Fault(looking::sentence(&fault), true),
            Some(Ok(known)) => self.looking.see(how, &name, &known, version),
        }
    }

    /// Works out what every pane stands on in this frame, and asks for what is missing.
    fn look(&mut self, how: How<'_>, document: &Document) {
        self.looking.begin();
        let panes = self.panes.clone();
        let mut nows = Vec::with_capacity(panes.len());
        for pane in panes {
            let version = document.version(pane.which.of(document));
            let difference = pane.map == MapKind::Difference;
            let slot = if difference && self.between == Between::Models { Slot::A } else { pane.slot };
            let sight = self.see(how, slot, version);
            let other = difference.then(|| match self.between {
                Between::Models => self.see(how, Slot::B, version),
                Between::Versions => {
                    let against = document.version(document.standing.compared);
                    if against.id == version.id {
                        let words = "This is the version that others are compared with. Choose a result at the left, or compare two models.";
                        Sight::Fault(words.to_owned(), false)
                    } else {
                        self.see(how, pane.slot, against)
                    }
                }
            });
            nows.push(PaneNow {
                pane,
                version: version.id,
                title: version.title.clone(),
                rgb: Arc::clone(&version.picture.rgb),
                sight,
                other,
            });
        }
        self.looking.end();
        let settings = how.settings;
        let of = |kind: MapKind| -> Vec<OfPane> {
            let panes = nows.iter().filter(|now| now.pane.map == kind);
            panes.filter_map(|now| Some((now.pane.slot, Arc::clone(now.seen()?)))).collect()
        };
        self.analysis.want_pca(how.ctx, of(MapKind::Pca), settings.shared, self.basis.as_ref(), &settings.pca);
        self.analysis.want_clusters(how.ctx, of(MapKind::Clusters), settings.shared, &settings.clusters);
        self.nows = nows;
        self.active = self.active.min(self.panes.len().saturating_sub(1));
    }

    /// Makes the active pane show that map.
    pub(super) fn show_map(&mut self, map: MapKind) {
        if let Some(pane) = self.active_pane_mut() {
            pane.map = map;
        }
    }

    /// What similarity is asked about now.
    fn query(&self) -> Option<&Query> {
        self.hovered.as_ref().filter(|_| self.held.is_none()).or(self.held.as_ref())
    }

    /// The features that pane `index` compares with: of the same model, from the version that was asked about.
    fn query_of(&self, index: usize) -> Option<Asked> {
        let (query, now) = (self.query()?, self.nows.get(index)?);
        let own = self.nows.iter().find(|other| other.version == query.version && other.pane.slot == now.pane.slot);
        let width = now.seen().map(|seen| seen.tokens.patches.dim());
        let any = || {
            self.nows.iter().find(|other| {
                other.version == query.version && other.seen().map(|seen| seen.tokens.patches.dim()) == width
            })
        };
        let Some(seen) = own.and_then(PaneNow::seen).or_else(|| any().and_then(PaneNow::seen)) else {
            return Some(Err("No pane shows what this is compared with, as this model sees it.".to_owned()));
        };
        // A lasso over many patches is not for every frame.
        let mut known = self.asked.borrow_mut();
        if let Some((of, subject, asked)) = known.get(&index)
            && *of == seen.id
            && *subject == query.subject
        {
            return Some(asked.clone());
        }
        let asked = query.subject.vector(seen).map(|vector| {
            let mut hash = std::hash::DefaultHasher::new();
            for value in &vector {
                std::hash::Hash::hash(&value.to_bits(), &mut hash);
            }
            (std::hash::Hasher::finish(&hash), Arc::new(vector))
        });
        known.insert(index, (seen.id, query.subject.clone(), asked.clone()));
        Some(asked)
    }

    /// Channels of the features that the active pane sees.
    pub(super) fn width(&self) -> Option<usize> {
        Some(self.active_now()?.seen()?.tokens.patches.dim())
    }

    /// Holds features that come from elsewhere.
    pub(super) fn hold_given(&mut self, version: VersionId, features: Arc<[f32]>) {
        self.held = Some(Query { version, subject: Subject::Given(features) });
    }

    /// A number that changes with what is held; `None` while nothing is.
    pub(super) fn held_mark(&self) -> Option<u64> {
        let held = self.held.as_ref()?;
        let mut hash = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&(held.version, held.subject.mark()), &mut hash);
        Some(std::hash::Hasher::finish(&hash))
    }

    /// The features of what is held, as the active pane's model sees it.
    pub(super) fn held_features(&self) -> Option<Arc<Vec<f32>>> {
        self.held.as_ref()?;
        Some(self.query_of(self.active)?.ok()?.1)
    }

    /// A number that changes with the basis of a pane's components and how they are coloured.
    pub(super) fn basis_mark(&self, settings: &FeatureSettings) -> Option<u64> {
        let (serial, _) = self.of_components()?;
        let mut hash = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&(serial, format!("{:?}", settings.pca)), &mut hash);
        Some(std::hash::Hasher::finish(&hash))
    }

    /// That basis, and the colouring of all that share it.
    pub(super) fn basis_now(&self, settings: &FeatureSettings) -> Option<(Arc<Basis>, Colouring)> {
        let (_, of) = self.of_components()?;
        let group: Vec<_> = of.group.iter().filter_map(|id| Some(self.analysis.pca(*id)?.1)).collect();
        let maps: Vec<(&Scores, Option<&[bool]>)> =
            group.iter().map(|one| (one.scores.as_ref(), one.only.as_deref().map(Vec::as_slice))).collect();
        let colouring = Colouring::fit(&maps, settings.pca.components, settings.pca.range_rule());
        Some((Arc::clone(&of.basis), colouring))
    }

    /// The components of the active pane, or else of the first that has any.
    fn of_components(&self) -> Option<(u64, &analysis::PcaOfGrid)> {
        let first = self.active_now().into_iter().chain(&self.nows);
        first.filter_map(PaneNow::seen).find_map(|seen| self.analysis.pca(seen.id))
    }

    /// The patches of pane `index` that look most like what is asked about, without that patch itself.
    fn nearest_patches(&self, index: usize) -> &[Match] {
        let (Some(query), Some(now), Some(paint)) = (self.query(), self.nows.get(index), self.paints.get(index)) else {
            return &[];
        };
        let found = paint.strongest();
        let own = match (&query.subject, paint.map()) {
            (Subject::Point(at), Some((_, place))) if query.version == now.version => query::patch_under(place, *at),
            _ => None,
        };
        // Of equal ones the first is in front; itself is among the first as a rule.
        let itself = found.first().is_some_and(|first| own == Some((first.row, first.column)));
        let from = usize::from(itself).min(found.len());
        &found[from..(from + NEAREST).min(found.len())]
    }

    /// What pane `index` is made of.
    fn ingredients<'a>(&'a self, settings: &'a FeatureSettings, index: usize) -> Ingredients<'a> {
        let similar = self.nows.get(index).is_some_and(|now| now.pane.map == MapKind::Similarity);
        Ingredients {
            analysis: &self.analysis,
            settings,
            hidden: &self.hidden,
            query: if similar { self.query_of(index) } else { None },
            cut: self.cut.then_some(self.threshold as f32),
            other: self.nows.get(index).and_then(PaneNow::other),
        }
    }

    /// What the lens is at, for the status line.
    pub(super) fn now_running(&self) -> Option<(String, crate::engine::Snapshot)> {
        self.looking.now_running()
    }

    pub(super) fn is_working(&self) -> bool {
        self.looking.is_working()
    }

    /// Whether Escape has something to leave: a shape, a held patch, a tool, chosen clusters.
    pub(super) fn can_step_out(&self) -> bool {
        self.drawing.is_some() || self.held.is_some() || self.tool != Tool::Point || !self.chosen.is_empty()
    }

    /// Leaves the innermost of these.
    pub(super) fn step_out(&mut self) {
        if self.drawing.take().is_some() {
        } else if self.held.take().is_some() {
            self.hovered = None;
        } else if self.tool != Tool::Point {
            self.tool = Tool::Point;
        } else {
            self.chosen.clear();
        }
    }

    /// What the cluster at a place of the palette is called; `rank` counts clusters by size.
    fn cluster_name(&self, place: usize, rank: usize) -> String {
        match self.names.get(&place).map(|name| name.trim()) {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => format!("cluster {}", rank + 1),
        }
    }
}

/// How many of the patches that are most alike are told.
const NEAREST: usize = 5;

/// The engine and the choices.
fn how<'a>(
    ctx: &'a Context,
    engine: &'a Engine,
    settings: &'a FeatureSettings,
    (device, precision): (DeviceChoice, Precision),
) -> How<'a> {
    How { ctx, engine, settings, device, precision }
}

/// A point in the middle of a patch, so that moving within it changes nothing.
fn in_the_middle(place: &crate::features::Placement, at: Pos2) -> Subject {
    let Some((row, column)) = query::patch_under(place, at) else { return Subject::Point(at) };
    middle_of(place, row, column)
}

/// The point in the middle of a patch.
fn middle_of(place: &crate::features::Placement, row: usize, column: usize) -> Subject {
    let (x, y) = place.to_picture(column as f64 + 0.5, row as f64 + 0.5);
    let (width, height) = place.plan.source;
    Subject::Point(egui::pos2(x as f32 / width as f32, y as f32 / height as f32))
}
