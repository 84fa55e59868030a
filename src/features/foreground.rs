//! What of a picture is the thing, by the first principal component: the threshold that DINOv2's maps put on it, with
//! the histogram it is chosen on.

use super::FeatureError;
use super::pca::Scores;

/// How often which values occur.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The smallest value.
    pub low: f32,
    /// The largest value.
    pub high: f32,
    /// Patches in each of equally wide bins from `low` to `high`.
    pub counts: Vec<u32>,
}

impl Histogram {
    /// The histogram of the values, which must be numbers; nothing in it where there are none.
    #[must_use]
    pub fn of(values: &[f32], bins: usize) -> Self {
        let bins = bins.max(1);
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut counts = vec![0; bins];
        for value in values {
            counts[bin(*value, low, high, bins)] += 1;
        }
        if low <= high { Self { low, high, counts } } else { Self { low: 0.0, high: 0.0, counts } }
    }

    /// The value between bins `at` and `at + 1`.
    fn border(&self, at: usize) -> f32 {
        self.low + (self.high - self.low) * (at + 1) as f32 / self.counts.len() as f32
    }

    /// The threshold that parts the values into two groups of the least spread within (Otsu 1979).
    #[must_use]
    pub fn threshold(&self) -> f32 {
        let total: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        let moment: f64 = self.counts.iter().enumerate().map(|(at, count)| at as f64 * f64::from(*count)).sum();
        let (mut below, mut below_moment) = (0.0, 0.0);
        let (mut best, mut best_at) = (-1.0, 0);
        for (at, count) in self.counts.iter().enumerate() {
            below += f64::from(*count);
            below_moment += at as f64 * f64::from(*count);
            let above = total - below;
            if below == 0.0 || above == 0.0 {
                continue;
            }
            let between = below * above * (below_moment / below - (moment - below_moment) / above).powi(2);
            if between > best {
                (best, best_at) = (between, at);
            }
        }
        self.border(best_at)
    }
}

fn bin(value: f32, low: f32, high: f32, bins: usize) -> usize {
    if high > low { (((value - low) / (high - low) * bins as f32) as usize).min(bins - 1) } else { 0 }
}

/// Which side of which value is foreground.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Foreground {
    /// The value on the first component.
    pub threshold: f32,
    /// Whether the foreground lies below it.
    pub inverted: bool,
}

impl Foreground {
    /// Bins of the histogram that the threshold is chosen on.
    pub const BINS: usize = 128;

    /// Parts the values of the first component in two, for all maps together, and takes for the foreground the side that
    /// holds the smaller share of the pictures' rims; deterministic, whatever sign the component has.
    #[must_use]
    pub fn automatic(maps: &[&Scores]) -> Self {
        let firsts: Vec<Vec<f32>> = maps.iter().map(|scores| scores.component(0)).collect();
        let threshold = Histogram::of(&firsts.concat(), Self::BINS).threshold();
        let (mut rim, mut rim_above, mut all, mut all_above) = (0u32, 0u32, 0u32, 0u32);
        for (scores, values) in maps.iter().zip(&firsts) {
            let (rows, columns) = (scores.placement().rows, scores.placement().columns);
            for (index, value) in values.iter().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let above = u32::from(*value > threshold);
                if row == 0 || column == 0 || row + 1 == rows || column + 1 == columns {
                    rim += 1;
                    rim_above += above;
                }
                all += 1;
                all_above += above;
            }
        }
        // Above is background where it has more of the rim than of the whole.
        let inverted = u64::from(rim_above) * u64::from(all) > u64::from(all_above) * u64::from(rim);
        Self { threshold, inverted }
    }

    /// The patches in the foreground, row by row.
    #[must_use]
    pub fn of(&self, scores: &Scores) -> Vec<bool> {
        scores.component(0).iter().map(|value| (*value > self.threshold) != self.inverted).collect()
    }

    /// As [`Foreground::of`] for a second fit, which needs some patches.
    ///
    /// # Errors
    /// [`FeatureError::TooFewPatches`] where fewer than `needed` are in the foreground of all maps together.
    pub fn of_all(&self, maps: &[&Scores], needed: usize) -> Result<Vec<Vec<bool>>, FeatureError> {
        let masks: Vec<Vec<bool>> = maps.iter().map(|scores| self.of(scores)).collect();
        let patches = masks.iter().flatten().filter(|inside| **inside).count();
        if patches < needed {
            return Err(FeatureError::TooFewPatches { what: "a map of the foreground", needed, patches });
        }
        Ok(masks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::grid::tests::grid;
    use crate::features::pca::{Basis, Sample};
    use crate::nets::watcher::Unwatched;

    #[test]
    fn the_threshold_parts_two_heaps() {
        let values: Vec<f32> =
            (0..100).map(|i| if i % 4 == 0 { 5.0 + i as f32 * 0.01 } else { i as f32 * 0.01 }).collect();
        let histogram = Histogram::of(&values, 64);
        assert_eq!(histogram.counts.iter().sum::<u32>(), 100);
        let threshold = histogram.threshold();
        assert!((1.0..5.0).contains(&threshold), "{threshold}");
        let flat = Histogram::of(&[2.0; 9], 8);
        assert_eq!((flat.low, flat.high, flat.counts[0], flat.threshold()), (2.0, 2.0, 9, 2.0));
        assert_eq!(Histogram::of(&[], 4).counts, [0; 4]);
    }

    /// A square in the middle of a 6 × 6 grid; its channel may have either sign.
    #[test]
    fn the_middle_is_foreground_whatever_the_sign() {
        for sign in [1.0, -1.0] {
            let inside = |i: usize| (2..4).contains(&(i / 6)) && (2..4).contains(&(i % 6));
            let tokens = (0..36).flat_map(|i| [if inside(i) { sign * 3.0 } else { 0.01 * i as f32 }, 0.5]).collect();
            let grid = grid(6, 6, 2, tokens);
            let basis = Basis::fit(&[Sample::all(&grid)], 2, &Unwatched).unwrap();
            let scores = basis.project(&grid).unwrap();
            let foreground = Foreground::automatic(&[&scores]);
            let mask = foreground.of(&scores);
            assert!((0..36).all(|i| mask[i] == inside(i)), "{sign}: {mask:?}");
            let other = Foreground { inverted: !foreground.inverted, ..foreground };
            assert!(other.of(&scores).iter().zip(&mask).all(|(a, b)| a != b));
            let beyond = Foreground { threshold: 1e9, inverted: false };
            let error = beyond.of_all(&[&scores], 2).unwrap_err().to_string();
            assert!(error.contains("at least 2 patches, and there are 0"), "{error}");
        }
    }
}
