//! Choosing the next token: greedy, or by chance with a temperature and a nucleus (top-p), from an own seeded
//! generator, so that the same seed gives the same text on every machine.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 (or less) always takes the best token; 1 follows the model's own probabilities.
    pub temperature: f64,
    /// Only the best tokens that together have this probability may be chosen, 0…1; 1 allows all.
    pub top_p: f64,
    /// Of the generator.
    pub seed: u64,
}

impl Sampling {
    /// Always the best token.
    #[must_use]
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// The scores of a model that is broken: none of them is a number.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the language model's scores are not numbers; its weights may be damaged")]
pub struct NoScores;

/// Chooses tokens one after another.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at its beginning.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        Self { sampling, random: ChaCha8Rng::seed_from_u64(sampling.seed) }
    }

    /// The next token, given the score of each.
    ///
    /// # Errors
    /// When not one score is a finite number.
    pub fn choose(&mut self, scores: &[f32]) -> Result<u32, NoScores> {
        let mut best: Option<(usize, f32)> = None;
        for (token, &score) in scores.iter().enumerate().filter(|(_, score)| score.is_finite()) {
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some((token, score));
            }
        }
        let (best, highest) = best.ok_or(NoScores)?;
        let temperature = self.sampling.temperature;
        if temperature.is_nan() || temperature <= 1e-4 {
            return Ok(best as u32);
        }
        let mut odds = scores
            .iter()
            .enumerate()
            .filter(|(_, score)| score.is_finite())
            .map(|(token, score)| (token as u32, (f64::from(score - highest) / temperature).exp()))
            .filter(|(_, odds)| *odds > 0.0)
            .collect::<Vec<_>>();
        // Best first; equal ones in the order of their numbers.
        odds.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let total = odds.iter().map(|(_, odds)| odds).sum::<f64>();
        let nucleus = total * self.sampling.top_p.clamp(0.0, 1.0);
        let mut sum = 0.0;
        let mut kept = 0;
        while kept < odds.len() && (kept == 0 || sum < nucleus) {
            sum += odds[kept].1;
            kept += 1;
        }
        let mut point = self.random.random::<f64>() * sum;
        for (token, odds) in &odds[..kept] {
            point -= odds;
            if point < 0.0 {
                return Ok(*token);
            }
        }
        Ok(odds[kept - 1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Sampler, Sampling};

    fn draws(sampling: Sampling, scores: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..count).map(|_| sampler.choose(scores).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_best() {
        assert_eq!(draws(Sampling::greedy(), &[0.5, 2.0, 2.0, f32::NAN], 2), [1, 1]);
    }

    #[test]
    fn the_same_seed_gives_the_same_draws_and_another_seed_others() {
        let scores = [0.0; 50];
        let sampling = Sampling { temperature: 1.0, top_p: 1.0, seed: 7 };
        let first = draws(sampling, &scores, 40);
        assert_eq!(first, draws(sampling, &scores, 40));
        assert_ne!(first, draws(Sampling { seed: 8, ..sampling }, &scores, 40));
    }

    #[test]
    fn frequencies_follow_the_temperature() {
        // Odds 1 : e at temperature 1, 1 : e² at temperature 0.5.
        for (temperature, expected) in [(1.0, 0.7311), (0.5, 0.8808)] {
            let found = draws(Sampling { temperature, top_p: 1.0, seed: 1 }, &[0.0, 1.0], 20_000);
            let share = found.iter().filter(|token| **token == 1).count() as f64 / 20_000.0;
            assert!((share - expected).abs() < 0.015, "{share} at {temperature}");
        }
    }

    #[test]
    fn the_nucleus_cuts_the_tail_and_keeps_at_least_one() {
        let scores = [3.0, 2.0, -1.0, -1.0];
        let nucleus = Sampling { temperature: 1.0, top_p: 0.9, seed: 3 };
        assert!(draws(nucleus, &scores, 500).iter().all(|token| *token < 2));
        assert!(draws(Sampling { top_p: 0.0, ..nucleus }, &scores, 50).iter().all(|token| *token == 0));
    }

    #[test]
    fn broken_scores_are_an_error() {
        assert!(Sampler::new(Sampling::greedy()).choose(&[f32::NAN, f32::NEG_INFINITY]).is_err());
        assert!(Sampler::new(Sampling::greedy()).choose(&[]).is_err());
    }
}
