//! What the person chose in the Features lens, kept between runs of the program.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::features::colour::{ColourScale, percentiles};
use crate::features::extract::ExtractSettings;
use crate::features::kmeans::{KmeansSettings, Start};
use crate::features::pca::RangeRule;
use crate::features::upsample::Upsampling;
use crate::packs::backbone::Normalisation;
use crate::picture::resize::{Fit, SizeRequest};

/// The size at which the model looks at the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Size {
    /// What the model was trained at.
    #[default]
    Own,
    /// The longer side in pixels.
    Longer(u32),
    /// The picture's own size, floored to whole patches, as in the paper.
    Source,
}

/// Which panes share a basis and clusters, so that the same colour means the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sharing {
    /// Each has its own.
    Pane,
    /// All versions that one model looks at.
    #[default]
    Versions,
    /// Models too, where their features are equally wide: a model and its fine-tuned twin.
    Models,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FeatureSettings {
    /// The backbone: a model's or pack's name, a folder or a file. `None`: the first that is here.
    pub(crate) a: Option<String>,
    /// A second one to hold against it.
    pub(crate) b: Option<String>,
    /// Folders and files that the person chose, newest first.
    pub(crate) folders: Vec<PathBuf>,
    /// How many layers before the last one is looked at.
    pub(crate) before_last: usize,
    /// Whether the model's last norm is applied.
    pub(crate) normed: bool,
    pub(crate) size: Size,
    /// Sides are filled up to whole patches, so that proportions stay, instead of being brought to the nearest.
    pub(crate) padded: bool,
    /// ImageNet's normalisation whatever the model says, as in the paper.
    pub(crate) imagenet: bool,
    /// Which panes have one basis, and one set of clusters.
    pub(crate) shared: Sharing,
    pub(crate) pca: PcaChoice,
    pub(crate) clusters: ClusterChoice,
    pub(crate) display: Display,
    /// Panes move together.
    pub(crate) linked: bool,
}

impl Default for FeatureSettings {
    fn default() -> Self {
        Self {
            a: None,
            b: None,
            folders: Vec::new(),
            before_last: 0,
            normed: true,
            size: Size::Own,
            padded: false,
            imagenet: false,
            shared: Sharing::default(),
            pca: PcaChoice::default(),
            clusters: ClusterChoice::default(),
            display: Display::default(),
            linked: true,
        }
    }
}

/// Folders that are remembered.
const FOLDERS: usize = 8;

impl FeatureSettings {
    /// Puts a folder in front of those that were chosen.
    pub(crate) fn remember(&mut self, path: &Path) {
        self.folders.retain(|known| known != path);
        self.folders.insert(0, path.to_owned());
        self.folders.truncate(FOLDERS);
    }

    /// How a picture is looked at, for these layers.
    pub(crate) fn extraction(&self, layers: Vec<i64>) -> ExtractSettings {
        ExtractSettings {
            size: match self.size {
                Size::Own => None,
                Size::Longer(side) => Some(SizeRequest::LongerSide(side)),
                Size::Source => Some(SizeRequest::Source),
            },
            fit: if self.padded { Fit::Pad } else { Fit::Squash },
            layers,
            normed: self.normed,
            normalisation: self.imagenet.then_some(Normalisation::IMAGENET),
        }
    }
}

/// How components become colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// Percentiles of each component.
    #[default]
    Percentiles,
    /// The paper's: one smallest and one largest value for all three.
    Joint,
    /// Around the median.
    Deviations,
}

/// The PCA map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PcaChoice {
    /// Shown as red, green and blue, from 0.
    pub(crate) components: [usize; 3],
    pub(crate) rule: Rule,
    /// Percentile that becomes black.
    pub(crate) low: f64,
    /// Percentile that becomes full colour.
    pub(crate) high: f64,
    /// Only the foreground, by a threshold on the first component.
    pub(crate) foreground: bool,
    /// Where the threshold lies between the smallest and the largest value, 0..=1; found by itself if `None`.
    pub(crate) threshold: Option<f32>,
    /// The other side of it.
    pub(crate) inverted: bool,
}

impl Default for PcaChoice {
    fn default() -> Self {
        Self {
            components: [0, 1, 2],
            rule: Rule::Percentiles,
            low: 1.0,
            high: 99.0,
            foreground: false,
            threshold: None,
            inverted: false,
        }
    }
}

impl PcaChoice {
    /// FiT3D's recipe.
    pub(crate) fn paper() -> Self {
        Self { rule: Rule::Joint, ..Self::default() }
    }

    pub(crate) fn range_rule(&self) -> RangeRule {
        match self.rule {
            Rule::Percentiles => RangeRule::Percentiles { low: self.low as f32, high: self.high as f32 },
            Rule::Joint => RangeRule::Joint,
            Rule::Deviations => RangeRule::MedianDeviations(3.0),
        }
    }
}

/// The map of clusters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterChoice {
    pub(crate) count: usize,
    pub(crate) seed: u64,
    /// Random starts and the colours of the paper.
    pub(crate) as_paper: bool,
}

impl Default for ClusterChoice {
    fn default() -> Self {
        Self { count: 8, seed: KmeansSettings::paper().seed, as_paper: false }
    }
}

impl ClusterChoice {
    pub(crate) fn settings(&self) -> KmeansSettings {
        let start = if self.as_paper { Start::Random } else { Start::PlusPlus };
        KmeansSettings { clusters: self.count, seed: self.seed, start, ..KmeansSettings::default() }
    }
}

/// Where a scale of numbers begins and ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ends {
    /// At values that the person set, else at percentiles of the map.
    pub(crate) fixed: bool,
    /// Percentile at the beginning.
    pub(crate) low: f64,
    /// Percentile at the end.
    pub(crate) high: f64,
    /// The value at the beginning.
    pub(crate) from: f64,
    /// The value at the end.
    pub(crate) to: f64,
}

impl Default for Ends {
    fn default() -> Self {
        Self { fixed: false, low: 1.0, high: 99.0, from: 0.0, to: 1.0 }
    }
}

impl Ends {
    /// What `values` have at the beginning and at the end of the scale.
    pub(crate) fn of(&self, values: &[f32]) -> (f32, f32) {
        if self.fixed {
            (self.from as f32, self.to as f32)
        } else {
            percentiles(values.to_vec(), self.low as f32, self.high as f32)
        }
    }

    /// All of it as numbers that can be compared and hashed.
    pub(crate) fn bits(&self) -> [u64; 3] {
        let (a, b) = if self.fixed { (self.from, self.to) } else { (self.low, self.high) };
        [u64::from(self.fixed), a.to_bits(), b.to_bits()]
    }
}

/// How maps lie on the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Display {
    pub(crate) upsampling: Upsampling,
    /// Lines between patches.
    pub(crate) grid: bool,
    /// Of the map over the picture.
    pub(crate) opacity: f64,
    pub(crate) scale: ColourScale,
    /// Of similarity maps: the same cosine has the same colour in all panes, unless percentiles are wanted.
    pub(crate) similarity: Ends,
    pub(crate) norm: Ends,
    pub(crate) difference: Ends,
    /// The patches that are most alike are marked.
    pub(crate) nearest: bool,
    /// Exported pictures have the colour bar, or the legend, below.
    pub(crate) bar_in_files: bool,
}

impl Default for Display {
    fn default() -> Self {
        Self {
            upsampling: Upsampling::Bilinear,
            grid: false,
            opacity: 0.85,
            scale: ColourScale::Depths,
            similarity: Ends { fixed: true, ..Ends::default() },
            norm: Ends { to: 50.0, ..Ends::default() },
            // Nothing changed is the beginning.
            difference: Ends { low: 0.0, ..Ends::default() },
            nearest: true,
            bar_in_files: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_percentiles_or_values() {
        let values: Vec<f32> = (0..=100).map(|v| v as f32).collect();
        let mut ends = Ends::default();
        assert_eq!(ends.of(&values), (1.0, 99.0));
        let before = ends.bits();
        ends.fixed = true;
        assert_eq!(ends.of(&values), (0.0, 1.0));
        assert_ne!(ends.bits(), before);
        // Settings of an earlier version still open.
        let old: Display = serde_json::from_str(r#"{"opacity": 0.5, "low": 3.0, "least": 0.2}"#).unwrap();
        assert_eq!((old.opacity, old.similarity.fixed), (0.5, true));
    }
}
