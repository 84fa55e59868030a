//! What each instruction did: where it won the per-element selection, how far it pushed, and its share of every step.
//!
//! The reference counts wins and throws the counts away (spec/sane.md section 2); here they are the point.

use super::guidance::{Guided, Predictions};

/// What the instructions of one run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contributions {
    /// Width and height of the maps: the latent grid.
    pub grid: (usize, usize),
    /// One entry an active instruction, in the order they were given.
    pub instructions: Vec<Contribution>,
}

/// What one instruction did.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// Its place in the request's list.
    pub specific: usize,
    /// Its words.
    pub text: String,
    /// How often it won, averaged over steps and channels; `[h * w]`, 0..=1.
    pub win: Vec<f32>,
    /// |ε_k − ε_I|, averaged over steps and channels; `[h * w]`, in units of noise.
    pub push: Vec<f32>,
    /// |d_k| where it won and 0 elsewhere, averaged over steps and channels: how much of it entered the result.
    pub product: Vec<f32>,
    /// Share of all elements it won, one number a step; the shares of a step add up to 1 unless nothing pushed.
    pub share: Vec<f32>,
}

impl Contribution {
    /// The mean of [`Contribution::share`]; 0 before the first step.
    #[must_use]
    pub fn mean_share(&self) -> f32 {
        self.share.iter().sum::<f32>() / self.share.len().max(1) as f32
    }
}

/// Adds up what the instructions do, step by step.
#[derive(Debug)]
pub struct Recorder {
    channels: usize,
    plane: usize,
    steps: usize,
    result: Contributions,
}

impl Recorder {
    /// A recorder of latents `[channels, h, w]` for the active instructions, given as (place, words).
    pub fn new<'a>(
        channels: usize,
        (width, height): (usize, usize),
        active: impl Iterator<Item = (usize, &'a str)>,
    ) -> Self {
        let plane = width * height;
        let instructions = active
            .map(|(specific, text)| Contribution {
                specific,
                text: text.to_owned(),
                win: vec![0.0; plane],
                push: vec![0.0; plane],
                product: vec![0.0; plane],
                share: Vec::new(),
            })
            .collect();
        let result = Contributions { grid: (width, height), instructions };
        Self { channels, plane, steps: 0, result }
    }

    /// Adds one step. `noise_per_output` turns differences of outputs into differences of noise predictions.
    pub fn add(&mut self, predictions: &Predictions<'_>, guided: &Guided, noise_per_output: f64) {
        self.steps += 1;
        let unit = noise_per_output as f32;
        for (k, (contribution, prediction)) in
            self.result.instructions.iter_mut().zip(predictions.specifics).enumerate()
        {
            let mut won = 0_usize;
            for (j, (e, e_image)) in prediction.iter().zip(predictions.image_only).enumerate() {
                let at = j % self.plane;
                contribution.push[at] += (e - e_image).abs() * unit;
                // Where nobody pushes (outside every region) nobody wins.
                if usize::from(guided.selection[j]) == k && guided.difference[j] != 0.0 {
                    won += 1;
                    contribution.win[at] += 1.0;
                    contribution.product[at] += guided.difference[j].abs() * unit;
                }
            }
            contribution.share.push(won as f32 / prediction.len() as f32);
        }
    }

    /// The maps, averaged over steps and channels.
    #[must_use]
    pub fn finish(mut self) -> Contributions {
        let count = (self.steps * self.channels).max(1) as f32;
        for contribution in &mut self.result.instructions {
            for map in [&mut contribution.win, &mut contribution.push, &mut contribution.product] {
                for value in map.iter_mut() {
                    *value /= count;
                }
            }
        }
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::guidance::{Modulation, Scales, guide};

    #[test]
    fn maps_tell_who_won_where_and_by_how_much() {
        // One channel, two positions; the first instruction wins left, the second right, at twice the strength.
        let (first, second, zero) = ([3.0_f32, 1.0], [1.0_f32, 6.0], [0.0_f32; 2]);
        let specifics = [&first[..], &second[..]];
        let predictions = Predictions { ambiguous: &zero, image_only: &zero, null: &zero, specifics: &specifics };
        let weights = vec![Modulation { weight: 1.0, region: None }; 2];
        let scales = Scales { text: 0.0, specific: 1.0, image: 0.0 };
        let guided = guide(predictions, &weights, scales, 2);
        let mut recorder = Recorder::new(1, (2, 1), [(0, "a"), (4, "b")].into_iter());
        recorder.add(&predictions, &guided, 1.0);
        recorder.add(&predictions, &guided, 0.5);
        let result = recorder.finish();
        assert_eq!(result.grid, (2, 1));
        let [a, b] = &result.instructions[..] else { panic!("two instructions") };
        assert_eq!((a.specific, b.specific), (0, 4));
        assert_eq!((&a.win[..], &b.win[..]), (&[1.0, 0.0][..], &[0.0, 1.0][..]));
        assert_eq!((&a.push[..], &b.push[..]), (&[2.25, 0.75][..], &[0.75, 4.5][..]));
        assert_eq!((&a.product[..], &b.product[..]), (&[2.25, 0.0][..], &[0.0, 4.5][..]));
        assert_eq!(a.share, [0.5, 0.5]);
        assert!((a.mean_share() + b.mean_share() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn nobody_wins_where_nobody_pushes() {
        let (row, zero) = ([1.0_f32, 1.0], [0.0_f32; 2]);
        let specifics = [&row[..]];
        let predictions = Predictions { ambiguous: &zero, image_only: &zero, null: &zero, specifics: &specifics };
        let bounded = [Modulation { weight: 1.0, region: Some(vec![0.0, 1.0]) }];
        let guided = guide(predictions, &bounded, Scales { text: 0.0, specific: 1.0, image: 0.0 }, 2);
        let mut recorder = Recorder::new(1, (2, 1), [(0, "a")].into_iter());
        recorder.add(&predictions, &guided, 1.0);
        let result = recorder.finish();
        assert_eq!(result.instructions[0].win, [0.0, 1.0]);
        assert_eq!(result.instructions[0].share, [0.5]);
    }
}
