//! The Edit lens: a wish becomes concrete instructions, these become a run, the run a version that can be inspected.
//!
//! `draft` is what is set up, `asking` the language model's part, `runs` what was submitted, `made` what came of it;
//! `actions` joins them to the engine; `panel`, `rows`, `controls`, `result`, `queue`, `painting`, `region_tools` and
//! `seeds` draw.

mod actions;
mod asking;
mod controls;
pub(super) mod draft;
pub(super) mod language;
mod language_dialog;
pub(super) mod made;
pub(super) mod painting;
mod panel;
mod preview;
mod queue;
mod recipe_panel;
pub(super) mod region_tools;
mod result;
mod rows;
pub(super) mod runs;
mod seeds;
pub(super) mod work;

use std::sync::Arc;

use asking::Asking;
use egui::TextureHandle;
use language_dialog::Look;
use made::MapKind;
use painting::{Painting, Tool};
use runs::Runs;
use seeds::Seeds;
use work::{Offer, Workshop};

use super::background::Background;
use super::mask::Mask;
use super::widgets::heatmap::Overlay;
use crate::edit::request::EditSettings;
use crate::engine::{JobId, JobState, Snapshot};

/// What the panel at the right shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tab {
    /// What is set up for the next run.
    #[default]
    Edit,
    /// What the shown version is made of.
    Result,
}

/// Which map lies over the picture, and how.
pub(crate) struct Inspection {
    pub(crate) kind: MapKind,
    /// The instruction (its place among the contributions) whose map stays on.
    pub(crate) pinned: Option<usize>,
    /// The instruction whose row the pointer is over, in this frame and the one before.
    pub(crate) hovered: Option<usize>,
    pub(crate) hovered_before: Option<usize>,
    pub(crate) opacity: f64,
    /// The map that was uploaded last, by version, instruction and kind.
    pub(crate) overlay: Option<((u64, usize, MapKind), Overlay)>,
}

/// The state of the Edit lens that is not part of the document.
pub(crate) struct EditLens {
    pub(super) workshop: Arc<dyn Workshop>,
    pub(super) tab: Tab,
    pub(super) asking: Option<Asking>,
    pub(super) runs: Runs,
    pub(super) painting: Option<Painting>,
    /// Tool and brush radius that the next region begins with.
    pub(super) brush: (Tool, f64),
    /// A region that is read from a file: its row, the file's name, the work.
    pub(super) region_file: Option<(u64, String, Background<Mask>)>,
    pub(super) inspection: Inspection,
    pub(super) seeds: Option<Seeds>,
    /// What is known of the language model that was chosen.
    pub(super) look: Look,
    /// What the chosen editor usually runs with; why it cannot run.
    pub(super) usual: Result<Option<EditSettings>, String>,
    pub(super) editors: Vec<Offer>,
    /// The running job's preview: which job and step it is of, and its texture.
    pub(super) preview: Option<(JobId, usize, TextureHandle)>,
    /// The row whose text field gets the keyboard next.
    pub(super) focus_row: Option<u64>,
    pub(super) focus_wish: bool,
}

impl EditLens {
    /// Models came or went: what is offered, and whether the chosen one can run.
    pub(super) fn models_changed(&mut self, editor: &str) {
        self.editors = self.workshop.editors();
        self.usual = self.workshop.look_up(editor);
    }

    pub(super) fn new(workshop: Arc<dyn Workshop>, editor: &str) -> Self {
        let usual = workshop.look_up(editor);
        let editors = workshop.editors();
        Self {
            workshop,
            tab: Tab::Edit,
            asking: None,
            runs: Runs::default(),
            painting: None,
            brush: (Tool::Brush, 0.04),
            region_file: None,
            inspection: Inspection {
                kind: MapKind::Effect,
                pinned: None,
                hovered: None,
                hovered_before: None,
                opacity: 0.65,
                overlay: None,
            },
            seeds: None,
            look: Look::default(),
            usual,
            editors,
            preview: None,
            focus_row: None,
            focus_wish: false,
        }
    }

    pub(super) fn is_painting(&self) -> bool {
        self.painting.is_some()
    }

    /// Forgets what was about the document before.
    pub(super) fn show_new_document(&mut self) {
        self.tab = Tab::Edit;
        self.inspection.pinned = None;
        self.inspection.hovered = None;
        self.inspection.overlay = None;
        self.preview = None;
        self.region_file = None;
        self.focus_wish = true;
    }

    /// What is on the inference thread now, in words, and how far it is.
    pub(super) fn now_running(&self) -> Option<(String, Snapshot)> {
        let monitors = self.asking.iter().map(|asking| &asking.monitor).chain(self.runs.open().map(|run| &run.monitor));
        let snapshot = monitors.map(|monitor| monitor.snapshot()).find(|shown| shown.state == JobState::Running)?;
        let words = if snapshot.steps > 0 {
            format!("{}, step {} of {}", snapshot.stage, snapshot.step, snapshot.steps)
        } else {
            snapshot.stage.clone()
        };
        Some((words, snapshot))
    }
}
