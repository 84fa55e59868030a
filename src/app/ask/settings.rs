//! What the person chose in the Ask lens, kept between runs of the program.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ask::model::WeightBits;
use crate::ask::settings::{AskSettings, AttentionMode, DEFAULT_MAX_TOKENS, RegionUse};
use crate::text::sampling::Sampling;

/// What lies over the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Look {
    /// The cells that were read at high resolution.
    #[default]
    Read,
    /// The cells that were chosen for the next layer.
    Selected,
    /// The attention on the low-resolution patches.
    Attention,
}

/// Folders that are remembered.
const FOLDERS: usize = 6;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AskChoices {
    /// A model's or pack's name, or a folder; the first there is if `None`.
    pub(crate) model: Option<String>,
    /// Folders that were chosen, newest first.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) attention: AttentionMode,
    pub(crate) weights: WeightBits,
    /// 0 always takes the likeliest word.
    pub(crate) temperature: f64,
    pub(crate) top_p: f64,
    pub(crate) max_tokens: usize,
    pub(crate) look: Look,
    /// Without the patches that draw attention whatever is asked.
    pub(crate) without_sinks: bool,
    /// Colours run to the largest value of the map, not to the largest of the whole answer.
    pub(crate) normalised: bool,
    pub(crate) boxes: bool,
    /// Of the map over the picture, 0..=1.
    pub(crate) opacity: f64,
}

impl Default for AskChoices {
    fn default() -> Self {
        Self {
            model: None,
            folders: Vec::new(),
            attention: AttentionMode::default(),
            weights: WeightBits::default(),
            temperature: 0.0,
            top_p: 1.0,
            max_tokens: 128.min(DEFAULT_MAX_TOKENS),
            look: Look::default(),
            without_sinks: false,
            normalised: true,
            boxes: true,
            opacity: 0.7,
        }
    }
}

impl AskChoices {
    /// As the method wants them. `attention` and `region` belong to one question, not to the settings.
    pub(super) fn of(&self, attention: AttentionMode, region: RegionUse) -> AskSettings {
        let sampling = if self.temperature > 0.0 {
            Sampling { temperature: self.temperature, top_p: self.top_p.clamp(0.01, 1.0), seed: 0 }
        } else {
            Sampling::greedy()
        };
        AskSettings { attention, sampling, max_tokens: self.max_tokens.max(1), region, ..AskSettings::default() }
    }

    /// Keeps a folder in the list of models.
    pub(super) fn remember(&mut self, path: &Path) {
        self.folders.retain(|known| known != path);
        self.folders.insert(0, path.to_owned());
        self.folders.truncate(FOLDERS);
    }
}
