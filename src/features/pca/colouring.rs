//! From coordinates along components to red, green and blue.

use image::{Rgb, RgbImage};

use super::Scores;
use crate::features::colour::percentiles;

/// Which coordinates become black and which full colour.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeRule {
    /// The smallest and largest of the three components together: the paper's.
    Joint,
    /// Percentiles in 0..=100 of each component by itself, so that a few outliers do not wash out the rest.
    Percentiles {
        /// What becomes black.
        low: f32,
        /// What becomes full colour.
        high: f32,
    },
    /// Each component by itself, within so many median absolute deviations of its median.
    MedianDeviations(f32),
}

impl Default for RangeRule {
    fn default() -> Self {
        Self::Percentiles { low: 1.0, high: 99.0 }
    }
}

/// Three components and their ranges: what makes colours comparable across the maps it paints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colouring {
    /// The components shown as red, green and blue.
    pub components: [usize; 3],
    /// For each of them what is black and what is full colour; the other way round shows it inverted.
    pub ranges: [(f32, f32); 3],
}

impl Colouring {
    /// The ranges that `rule` gives for all of `maps` together, each with the patches that count (all if `None`).
    #[must_use]
    pub fn fit(maps: &[(&Scores, Option<&[bool]>)], components: [usize; 3], rule: RangeRule) -> Self {
        let values = components.map(|component| {
            let mut values = Vec::new();
            for (scores, only) in maps {
                let counts = |index: &usize| only.is_none_or(|only| only.get(*index).copied().unwrap_or(false));
                values.extend(
                    scores
                        .component(component)
                        .into_iter()
                        .enumerate()
                        .filter_map(|(index, value)| counts(&index).then_some(value)),
                );
            }
            values
        });
        let ranges = match rule {
            RangeRule::Joint => {
                let all = || values.iter().flatten().copied();
                let range = (all().fold(f32::INFINITY, f32::min), all().fold(f32::NEG_INFINITY, f32::max));
                [if range.0 <= range.1 { range } else { (0.0, 0.0) }; 3]
            }
            RangeRule::Percentiles { low, high } => values.map(|values| percentiles(values, low, high)),
            RangeRule::MedianDeviations(times) => values.map(|values| {
                let (median, _) = percentiles(values.clone(), 50.0, 50.0);
                let deviations = values.iter().map(|value| (value - median).abs()).collect();
                let (deviation, _) = percentiles(deviations, 50.0, 50.0);
                (median - times * deviation, median + times * deviation)
            }),
        };
        Self { components, ranges }
    }

    /// The map, a pixel a patch. Patches outside of `only` are black. Values are cut off, not rounded, as in the
    /// reference.
    #[must_use]
    pub fn paint(&self, scores: &Scores, only: Option<&[bool]>) -> RgbImage {
        let channels = self.components.map(|component| scores.component(component));
        let level = |channel: usize, index: usize| {
            let (low, high) = self.ranges[channel];
            let value = channels[channel][index];
            // Without any extent, as a missing component has it, nothing is told apart: black.
            if low == high { 0 } else { ((value - low) / (high - low) * 255.0).clamp(0.0, 255.0) as u8 }
        };
        let (rows, columns) = (scores.placement().rows, scores.placement().columns);
        RgbImage::from_fn(columns as u32, rows as u32, |x, y| {
            let index = y as usize * columns + x as usize;
            if only.is_none_or(|only| only.get(index).copied().unwrap_or(false)) {
                Rgb([level(0, index), level(1, index), level(2, index)])
            } else {
                Rgb([0; 3])
            }
        })
    }
}
