//! What one edit is asked to do: the wish, its concrete instructions, and every setting.
//!
//! Plain data, so that window, command line, recipe and engine speak of the same thing.

use serde::{Deserialize, Serialize};

use super::EditError;
use super::scheduler::SchedulerKind;
use crate::packs::manifest::Defaults;
use crate::picture::Picture;
use crate::picture::region::Region;
use crate::picture::resize::{Fit, SizeRequest};

/// One concrete instruction S_k with the person's weight and bounds.
#[derive(Clone, Debug)]
pub struct Specific {
    /// What to do, in words: "put snow on the roofs".
    pub text: String,
    /// w_k: 1 is SANE's rule, 0 the same as absent, negative does the opposite.
    pub weight: f32,
    /// Off: kept in the list but absent from the run.
    pub enabled: bool,
    /// r_k: where it may act, in source-picture pixels; everywhere if `None`.
    pub region: Option<Region>,
}

impl Specific {
    /// An instruction at weight 1, on, everywhere.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), weight: 1.0, enabled: true, region: None }
    }

    /// Whether it takes part in a run: on, of non-zero weight, and with words in it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.enabled && self.weight != 0.0 && !self.text.trim().is_empty()
    }
}

/// How strongly and how finely an edit runs. Defaults are the paper's (spec/sane.md section 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EditSettings {
    /// Denoising steps.
    pub steps: usize,
    /// s_T: push of the wish itself.
    pub guidance: f64,
    /// s_S: push of the concrete instructions.
    pub specific_guidance: f64,
    /// s_I: pull towards the source picture.
    pub image_guidance: f64,
    /// How steps are taken; the reference always uses Euler-ancestral.
    pub scheduler: SchedulerKind,
    /// The random draws.
    pub seed: u64,
    /// Size the model works at; `None`: the model's own.
    pub size: Option<SizeRequest>,
    /// How a picture of another shape comes to that size.
    pub fit: Fit,
    /// InstructPix2Pix alone, without the concrete instructions.
    pub plain: bool,
    /// Shares one text budget, s_T, between the wish and the concrete instructions (spec/sane.md section 7).
    pub keep_strength: bool,
    /// Puts the change onto the full-size source picture, so that its fine detail stays.
    pub keep_detail: bool,
    /// Does so also where the model works at the picture's own size: for a model whose autoencoder is coarse.
    pub detail_at_any_size: bool,
    /// Keeps the source's pixels outside the union of all regions; the feather's width in source pixels.
    pub keep_outside: Option<f32>,
}

impl Default for EditSettings {
    fn default() -> Self {
        Self {
            steps: 30,
            guidance: 7.5,
            specific_guidance: 7.5,
            image_guidance: 1.5,
            scheduler: SchedulerKind::EulerAncestral,
            seed: 0,
            size: None,
            fit: Fit::Pad,
            plain: false,
            keep_strength: false,
            keep_detail: true,
            detail_at_any_size: false,
            keep_outside: None,
        }
    }
}

impl EditSettings {
    /// What a model runs with unless the person says otherwise.
    ///
    /// # Errors
    /// If its entry names a scheduler that is not there.
    pub fn of_model(defaults: &Defaults) -> Result<Self, EditError> {
        Ok(Self {
            steps: defaults.steps,
            guidance: defaults.guidance,
            specific_guidance: defaults.specific_guidance,
            image_guidance: defaults.image_guidance,
            scheduler: defaults.scheduler.parse().map_err(EditError::Model)?,
            size: Some(SizeRequest::LongerSide(defaults.size)),
            detail_at_any_size: defaults.coarse,
            keep_strength: defaults.keep_strength,
            ..Self::default()
        })
    }

    /// (s_T, s_S) as the run uses them: the two scales, or with [`EditSettings::keep_strength`] the same two
    /// scaled so that they add up to s_T. With nothing specific to do the wish has the whole budget.
    #[must_use]
    pub fn text_scales(&self, any_specific: bool) -> (f64, f64) {
        let sum = self.guidance + self.specific_guidance;
        if !any_specific {
            (self.guidance, 0.0)
        } else if self.keep_strength && sum > 0.0 {
            let share = self.guidance / sum;
            (self.guidance * share, self.specific_guidance * share)
        } else {
            (self.guidance, self.specific_guidance)
        }
    }
}

/// One edit, ready to run on an opened editor.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// What is edited.
    pub picture: Picture,
    /// What the person wished, perhaps vaguely (A).
    pub instruction: String,
    /// The caption the proposals were made from; kept for the recipe.
    pub caption: String,
    /// The concrete instructions, also those that are off.
    pub specifics: Vec<Specific>,
    /// Everything else.
    pub settings: EditSettings,
}

impl EditRequest {
    /// The instructions that take part, with their place in [`EditRequest::specifics`].
    pub fn active(&self) -> impl Iterator<Item = (usize, &Specific)> {
        let plain = self.settings.plain;
        self.specifics.iter().enumerate().filter(move |(_, specific)| !plain && specific.is_active())
    }

    /// The same edit with only instruction `k` on: "solo".
    #[must_use]
    pub fn solo(&self, k: usize) -> Self {
        let mut request = self.clone();
        for (index, specific) in request.specifics.iter_mut().enumerate() {
            specific.enabled &= index == k;
        }
        request
    }

    /// The same edit with instruction `k` off: "without".
    #[must_use]
    pub fn without(&self, k: usize) -> Self {
        let mut request = self.clone();
        if let Some(specific) = request.specifics.get_mut(k) {
            specific.enabled = false;
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_strength_is_all_the_wishs_when_nothing_is_specific() {
        let shared =
            EditSettings { guidance: 2.0, specific_guidance: 6.0, keep_strength: true, ..EditSettings::default() };
        assert_eq!(shared.text_scales(true), (0.5, 1.5));
        assert_eq!(shared.text_scales(false), (2.0, 0.0));
        let apart = EditSettings { keep_strength: false, ..shared };
        assert_eq!(apart.text_scales(true), (2.0, 6.0));
    }
}
