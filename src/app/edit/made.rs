//! How a version came about: the draft that ran, its recipe, and what each instruction did.

use std::sync::Arc;

use egui::{Rect, pos2};
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use crate::app::widgets::heatmap::Map;
use crate::edit::pipeline::EditOutcome;
use crate::edit::recipe::Recipe;
use crate::picture::resize::WorkingPlan;

/// Why a run was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// By the panel's Run.
    Run,
    /// Only one instruction, at the same seed.
    Solo(String),
    /// All but one instruction, at the same seed.
    Without(String),
    /// The same at another seed.
    Seed,
}

impl How {
    /// What the version is called.
    pub(crate) fn title(&self, draft: &Draft) -> String {
        let first = draft.rows.iter().find(|row| row.is_active()).map_or("", |row| row.text.trim());
        let wish = if draft.wish.trim().is_empty() { first } else { draft.wish.trim() };
        match self {
            Self::Run => wish.to_owned(),
            Self::Solo(text) => format!("Only: {text}"),
            Self::Without(text) => format!("Without: {text}"),
            Self::Seed => format!("{wish}, seed {}", draft.settings.seed),
        }
    }
}

/// Which of the three maps is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// Where it won, and by how much it pushed there.
    #[default]
    Effect,
    /// How often it won.
    Won,
    /// How far it pushed, whether or not it won.
    Push,
}

impl MapKind {
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Effect, "Effect"), (Self::Won, "Won"), (Self::Push, "Push")];

    /// In a file's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Effect => "effect",
            Self::Won => "won",
            Self::Push => "push",
        }
    }

    /// Above the colour bar.
    fn title(self) -> &'static str {
        match self {
            Self::Effect => "Effect",
            Self::Won => "Share won",
            Self::Push => "Push",
        }
    }

    pub(crate) fn explanation(self) -> &'static str {
        match self {
            Self::Effect => "How much of this instruction entered the result: its push, counted only where it won.",
            Self::Won => "How often this instruction won against the others, 0 to 1, over steps and channels.",
            Self::Push => "How far this instruction wanted to move the picture, whether or not it won.",
        }
    }
}

/// What one instruction did.
#[derive(Clone, Debug)]
pub(crate) struct Contribution {
    /// Its place in the draft's rows.
    pub(crate) row: usize,
    pub(crate) text: String,
    /// Row-major over the working picture, as in [`crate::edit::contributions`].
    pub(crate) effect: Arc<Vec<f32>>,
    pub(crate) won: Arc<Vec<f32>>,
    pub(crate) push: Arc<Vec<f32>>,
    /// Share of the selection, one number a step.
    pub(crate) share: Vec<f32>,
}

impl Contribution {
    pub(crate) fn map(&self, kind: MapKind) -> &Arc<Vec<f32>> {
        match kind {
            MapKind::Effect => &self.effect,
            MapKind::Won => &self.won,
            MapKind::Push => &self.push,
        }
    }

    pub(crate) fn mean_share(&self) -> f32 {
        self.share.iter().sum::<f32>() / self.share.len().max(1) as f32
    }
}

/// The part of `outer` (width, height) that `inner` covers, 0..=1 both ways.
fn part(inner: crate::picture::resize::Rect, outer: (u32, u32)) -> Rect {
    let (w, h) = (outer.0.max(1) as f32, outer.1.max(1) as f32);
    let (right, bottom) = ((inner.x + inner.width) as f32, (inner.y + inner.height) as f32);
    Rect::from_min_max(pos2(inner.x as f32 / w, inner.y as f32 / h), pos2(right / w, bottom / h))
}

/// How a version came about.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) how: How,
    /// Exactly what ran.
    pub(crate) draft: Draft,
    /// The editor, as it was chosen.
    pub(crate) editor: String,
    pub(crate) recipe: Recipe,
    /// How the picture came to the model's size: where the maps lie.
    pub(crate) plan: WorkingPlan,
    /// Width and height of the maps.
    pub(crate) grid: (usize, usize),
    pub(crate) contributions: Vec<Contribution>,
}

impl Made {
    pub(crate) fn new(how: How, draft: Draft, editor: String, recipe: Recipe, outcome: &EditOutcome) -> Self {
        let all = &outcome.contributions;
        let contributions = all
            .instructions
            .iter()
            .map(|one| Contribution {
                row: one.specific,
                text: one.text.clone(),
                effect: Arc::new(one.product.clone()),
                won: Arc::new(one.win.clone()),
                push: Arc::new(one.push.clone()),
                share: one.share.clone(),
            })
            .collect();
        Self { how, draft, editor, recipe, plan: outcome.plan.clone(), grid: all.grid, contributions }
    }

    /// The size the model worked at and how it came about, in letters that every font has.
    pub(crate) fn working_in_words(&self) -> String {
        self.recipe.working.replace(" → ", " to ")
    }

    /// A map ready to lie on the picture.
    pub(crate) fn map(&self, index: usize, kind: MapKind) -> Option<Map> {
        let one = self.contributions.get(index)?;
        Some(Map {
            values: Arc::clone(one.map(kind)),
            grid: self.grid,
            uv: part(self.plan.content, self.plan.working),
            cover: part(self.plan.used, self.plan.source),
            title: format!("{} of instruction {}", kind.title(), one.row + 1),
        })
    }

    /// The share of the row of that id, if it took part.
    pub(crate) fn share_of(&self, row: u64) -> Option<f32> {
        let place = self.draft.rows.iter().position(|known| known.id == row)?;
        self.contributions.iter().find(|one| one.row == place).map(Contribution::mean_share)
    }
}
