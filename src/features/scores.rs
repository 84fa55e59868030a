//! Scores of what was read from features against the truth.

/// Counts of (truth, guess) over `classes` classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts two labellings of the same patches. Pairs with a label outside of `0..classes` are left out.
    #[must_use]
    pub fn of(truth: &[u8], guess: &[u8], classes: usize) -> Self {
        let mut counts = vec![0; classes * classes];
        for (truth, guess) in truth.iter().zip(guess) {
            let (truth, guess) = (usize::from(*truth), usize::from(*guess));
            if truth < classes && guess < classes {
                counts[truth * classes + guess] += 1;
            }
        }
        Self { classes, counts }
    }

    /// Intersection over union of each class; `None` where the truth has none of it.
    #[must_use]
    pub fn ious(&self) -> Vec<Option<f64>> {
        let n = self.classes;
        let iou = |class: usize| {
            let truth: u64 = self.counts[class * n..(class + 1) * n].iter().sum();
            let guess: u64 = (0..n).map(|other| self.counts[other * n + class]).sum();
            let both = self.counts[class * n + class];
            (truth > 0).then(|| both as f64 / (truth + guess - both) as f64)
        };
        (0..n).map(iou).collect()
    }

    /// Mean intersection over union of the classes that the truth has; 0 of nothing.
    #[must_use]
    pub fn mean_iou(&self) -> f64 {
        let ious: Vec<f64> = self.ious().into_iter().flatten().collect();
        ious.iter().sum::<f64>() / ious.len().max(1) as f64
    }

    /// The share of right guesses; 0 of nothing.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.counts[class * self.classes + class]).sum();
        right as f64 / self.counts.iter().sum::<u64>().max(1) as f64
    }
}

/// Root of the mean square difference; 0 of nothing.
#[must_use]
pub fn rmse(truth: &[f32], guess: &[f32]) -> f64 {
    let sum: f64 = truth.iter().zip(guess).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (sum / truth.len().max(1) as f64).sqrt()
}

/// The adjusted Rand index of two labellings of the same patches (Hubert and Arabie 1985): 1 where they part the patches
/// alike, about 0 where they have nothing to do with each other. 1 where both leave all patches together.
#[must_use]
pub fn adjusted_rand(a: &[u16], b: &[u16]) -> f64 {
    use std::collections::HashMap;

    let n = a.len().min(b.len());
    let pairs = |count: u64| (count * count.saturating_sub(1)) as f64 / 2.0;
    let mut together: HashMap<(u16, u16), u64> = HashMap::new();
    let (mut of_a, mut of_b): (HashMap<u16, u64>, HashMap<u16, u64>) = (HashMap::new(), HashMap::new());
    for (a, b) in a.iter().zip(b) {
        *together.entry((*a, *b)).or_default() += 1;
        *of_a.entry(*a).or_default() += 1;
        *of_b.entry(*b).or_default() += 1;
    }
    // Sums of whole numbers below 2⁵³: their order does not matter.
    let index: f64 = together.values().map(|count| pairs(*count)).sum();
    let (in_a, in_b): (f64, f64) = (of_a.values().map(|c| pairs(*c)).sum(), of_b.values().map(|c| pairs(*c)).sum());
    let expected = in_a * in_b / pairs(n as u64).max(1.0);
    let most = f64::midpoint(in_a, in_b);
    if most == expected { 1.0 } else { (index - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_are_counted_by_hand() {
        // class 0: two right, one taken for 1; class 1: one right; class 2: seen by the guess alone; 3: by nobody.
        let confusion = Confusion::of(&[0, 0, 0, 1, 1], &[0, 0, 1, 1, 2], 4);
        assert_eq!(confusion.ious(), [Some(2.0 / 3.0), Some(1.0 / 3.0), None, None]);
        assert!((confusion.mean_iou() - 0.5).abs() < 1e-12);
        assert!((confusion.accuracy() - 0.6).abs() < 1e-12);
        let nothing = Confusion::of(&[9], &[0], 4);
        assert_eq!((nothing.mean_iou(), nothing.accuracy()), (0.0, 0.0));
    }

    #[test]
    fn distances_are_squared_before_they_are_averaged() {
        assert_eq!(rmse(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert!((rmse(&[0.0, 0.0], &[3.0, 4.0]) - 12.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(rmse(&[], &[]), 0.0);
    }

    #[test]
    fn the_rand_index_takes_no_notice_of_names_and_expects_chance() {
        assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[7, 7, 3, 3]), 1.0);
        // scikit-learn's documentation gives 0.57 for this pair: 4/7.
        assert!((adjusted_rand(&[0, 0, 1, 2], &[0, 0, 1, 1]) - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!(adjusted_rand(&[0, 0, 0, 0], &[0, 1, 2, 3]), 0.0);
        // Worse than chance: no pair agrees.
        assert!((adjusted_rand(&[0, 0, 1, 1], &[0, 1, 0, 1]) + 0.5).abs() < 1e-12);
        assert_eq!(adjusted_rand(&[0, 0], &[0, 0]), 1.0);
    }
}
