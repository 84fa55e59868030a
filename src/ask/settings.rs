//! What a person may choose about a question: how much of the picture is read, how words are chosen, which part counts.

use serde::{Deserialize, Serialize};

use super::error::AskError;
use crate::picture::region::Region;
use crate::text::sampling::Sampling;

/// How much of the picture an answer reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttentionMode {
    /// The low-resolution tokens alone: plain LLaVA.
    Low,
    /// Those, and in the upper layers the high-resolution tokens that the layer before selected: FlexAttention.
    #[default]
    Flex,
    /// Those, and in the upper layers every high-resolution token.
    Full,
}

impl AttentionMode {
    /// All three, cheapest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Flex, Self::Full];

    /// "low", "flex", "full": as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Flex => "flex",
            Self::Full => "full",
        }
    }
}

/// The words around question and answer (spec 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// A chat between a curious *user* and an assistant: what LLaVA-1.5 and FlexAttention were trained with.
    VicunaV1,
    /// The same with *human*: what FlexAttention's evaluation scripts say.
    LlavaV1,
    /// `USER: … ASSISTANT:` and nothing before it: small models of this project.
    Plain,
}

/// Which part of the picture counts.
#[derive(Clone, Debug, Default)]
pub enum RegionUse {
    /// All of it.
    #[default]
    Everything,
    /// All but the region, which is filled with the model's mean colour before anything is looked at.
    Without(Region),
    /// All at low resolution, but no high-resolution cell that the region touches is read.
    Unread(Region),
    /// The region's bounding box alone, cut out and enlarged.
    Only(Region),
}

/// What a person may choose about a question.
#[derive(Clone, Debug)]
pub struct AskSettings {
    /// How much of the picture is read.
    pub attention: AttentionMode,
    /// How words are chosen; greedy by default.
    pub sampling: Sampling,
    /// The most tokens of an answer, at least 1.
    pub max_tokens: usize,
    /// The words around question and answer; `None`: the model's own.
    pub template: Option<Template>,
    /// Which part of the picture counts.
    pub region: RegionUse,
    /// Low-resolution patches above this share of the strongest, 0…255, are read at high resolution; `None`: the model's own.
    pub threshold: Option<f32>,
    /// Reads as many cells as were selected, but random ones, drawn from this seed: what a selection is measured against.
    pub scattered: Option<u64>,
}

/// Tokens of an answer at most, unless the person says otherwise: what the reference's evaluation allows.
pub const DEFAULT_MAX_TOKENS: usize = 512;

impl Default for AskSettings {
    fn default() -> Self {
        Self {
            attention: AttentionMode::default(),
            sampling: Sampling::greedy(),
            max_tokens: DEFAULT_MAX_TOKENS,
            template: None,
            region: RegionUse::default(),
            threshold: None,
            scattered: None,
        }
    }
}

impl AskSettings {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// One sentence: which setting, and what it may be.
    pub fn check(&self) -> Result<(), AskError> {
        let Sampling { temperature, top_p, .. } = self.sampling;
        if !(temperature.is_finite() && (0.0..=10.0).contains(&temperature)) {
            return Err(AskError::Setting(format!("a temperature of {temperature} is not between 0 and 10")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(AskError::Setting(format!("a top-p of {top_p} is not above 0 and at most 1")));
        }
        if self.max_tokens == 0 {
            return Err(AskError::Setting("an answer of 0 tokens says nothing; allow at least 1".to_owned()));
        }
        if let Some(threshold) = self.threshold.filter(|threshold| !(0.0..=255.0).contains(threshold)) {
            return Err(AskError::Setting(format!("a threshold of {threshold} is not between 0 and 255")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_settings_are_named() {
        AskSettings::default().check().unwrap();
        let fault = |change: fn(&mut AskSettings)| {
            let mut settings = AskSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(fault(|s| s.max_tokens = 0).contains("at least 1"));
        assert!(fault(|s| s.sampling.temperature = f64::NAN).contains("temperature"));
        assert!(fault(|s| s.sampling.top_p = 0.0).contains("top-p"));
        assert!(fault(|s| s.threshold = Some(300.0)).contains("threshold"));
    }
}
