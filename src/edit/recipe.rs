//! What a result was made with: everything needed to make it again, as JSON and as the one-paragraph text that other
//! programs show. It travels inside the saved picture (picture/metadata.rs) and in the window's autosave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageReader, Limits};
use serde::{Deserialize, Serialize};

use super::pipeline::EditOutcome;
use super::request::{EditRequest, EditSettings, Specific};
use crate::picture::Picture;
use crate::picture::metadata::RecipeText;
use crate::picture::region::Region;

/// The form of the JSON; raised when an older program could misread it.
const FORM: u32 = 1;

/// Most instructions a recipe may hold; more is a damaged or hostile file.
const MOST_SPECIFICS: usize = 64;

/// Why a text is not a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not JSON, or not of this form.
    #[error("this is not a recipe of Glassbox: {0}")]
    Foreign(String),
    /// Written by a newer program.
    #[error("this recipe has form {0}, newer than this program knows ({FORM}); update Glassbox")]
    Newer(u32),
    /// A region that cannot be read.
    #[error("the region of instruction {0} in this recipe is damaged: {1}")]
    Region(usize, String),
}

/// One instruction of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeSpecific {
    /// Its words.
    pub text: String,
    /// w_k.
    pub weight: f32,
    /// Whether it took part.
    pub enabled: bool,
    /// Its region: an 8-bit grey PNG of the source's size, in base64; everywhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The model a result was made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipeModel {
    /// The pack's or model's name, or the folder's.
    pub name: String,
    /// The first digits of a hash over its weight files.
    pub fingerprint: String,
    /// "CPU, f32".
    pub compute: String,
}

/// Everything a result was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The JSON's form.
    pub form: u32,
    /// The program's version.
    pub app: String,
    /// The wish.
    pub instruction: String,
    /// The caption the proposals were made from.
    #[serde(default)]
    pub caption: String,
    /// The instructions, also those that were off.
    pub specifics: Vec<RecipeSpecific>,
    /// Every setting, the seed among them.
    pub settings: EditSettings,
    /// The model.
    #[serde(default)]
    pub model: RecipeModel,
    /// The source picture's name.
    #[serde(default)]
    pub source: String,
    /// The source picture's width and height.
    #[serde(default)]
    pub source_size: (u32, u32),
    /// The size the model worked at, and how it came about.
    #[serde(default)]
    pub working: String,
    /// Seconds it took.
    #[serde(default)]
    pub seconds: f64,
}

impl Recipe {
    /// The recipe of a request that has been run.
    #[must_use]
    pub fn of(request: &EditRequest, outcome: &EditOutcome, model: RecipeModel) -> Self {
        let specifics = request.specifics.iter().map(|specific| RecipeSpecific {
            text: specific.text.clone(),
            weight: specific.weight,
            enabled: specific.enabled,
            region: specific.region.as_ref().and_then(region_text),
        });
        Self {
            form: FORM,
            app: env!("CARGO_PKG_VERSION").to_owned(),
            instruction: request.instruction.clone(),
            caption: request.caption.clone(),
            specifics: specifics.collect(),
            settings: request.settings.clone(),
            model,
            source: request.picture.name.clone(),
            source_size: request.picture.size(),
            working: outcome.plan.describe(),
            seconds: (outcome.seconds * 100.0).round() / 100.0,
        }
    }

    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The paragraph that other programs show under a picture: the texts, then `key: value` pairs.
    #[must_use]
    pub fn to_parameters(&self) -> String {
        let mut lines = vec![self.instruction.clone()];
        for specific in &self.specifics {
            let mut line = format!("+ {}", specific.text);
            if specific.weight != 1.0 {
                line.push_str(&format!(" (weight {})", specific.weight));
            }
            if specific.region.is_some() {
                line.push_str(" (within a region)");
            }
            if !specific.enabled {
                line.push_str(" (off)");
            }
            lines.push(line);
        }
        let s = &self.settings;
        let mut facts = vec![
            format!("Steps: {}", s.steps),
            format!("Sampler: {}", s.scheduler.title()),
            format!("CFG scale: {}", s.guidance),
            format!("Specific CFG scale: {}", s.specific_guidance),
            format!("Image CFG scale: {}", s.image_guidance),
            format!("Seed: {}", s.seed),
        ];
        if let Some((_, size)) = self.working.split_once('→').filter(|_| !self.working.is_empty()) {
            facts.push(format!("Size: {}", size.split(',').next().unwrap_or(size).trim().replace(" × ", "x")));
        }
        for (on, name) in [(s.plain, "Plain"), (s.keep_strength, "Keep strength"), (s.keep_detail, "Keep detail")] {
            if on {
                facts.push(format!("{name}: yes"));
            }
        }
        facts.push(format!("Model: {}", self.model.name));
        facts.push(format!("Model hash: {}", self.model.fingerprint));
        facts.push(format!("Version: Glassbox {}", self.app));
        lines.push(facts.join(", "));
        lines.join("\n")
    }

    /// Both forms, for a picture's metadata.
    #[must_use]
    pub fn to_text(&self) -> RecipeText {
        RecipeText { parameters: self.to_parameters(), json: self.to_json() }
    }

    /// Reads what [`Recipe::to_json`] wrote.
    ///
    /// # Errors
    /// [`RecipeError`] in one sentence.
    pub fn from_json(text: &str) -> Result<Self, RecipeError> {
        let foreign = |error: serde_json::Error| RecipeError::Foreign(error.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(foreign)?;
        match value.get("form").and_then(serde_json::Value::as_u64) {
            Some(form) if form > u64::from(FORM) => {
                return Err(RecipeError::Newer(u32::try_from(form).unwrap_or(u32::MAX)));
            }
            Some(_) => {}
            None => return Err(RecipeError::Foreign("it has no form".to_owned())),
        }
        let recipe: Self = serde_json::from_value(value).map_err(foreign)?;
        if recipe.specifics.len() > MOST_SPECIFICS {
            return Err(RecipeError::Foreign(format!("it has {} instructions", recipe.specifics.len())));
        }
        Ok(recipe)
    }

    /// The request that makes the result again, on `picture`. Regions of another size are brought to the picture's.
    ///
    /// # Errors
    /// If a region is damaged.
    pub fn request(&self, picture: Picture) -> Result<EditRequest, RecipeError> {
        let size = picture.size();
        let specifics = self.specifics.iter().enumerate().map(|(index, specific)| {
            let region = specific.region.as_ref().map(|text| region_from(text, size)).transpose();
            Ok(Specific {
                text: specific.text.clone(),
                weight: specific.weight,
                enabled: specific.enabled,
                region: region.map_err(|reason| RecipeError::Region(index + 1, reason))?,
            })
        });
        Ok(EditRequest {
            specifics: specifics.collect::<Result<_, _>>()?,
            picture,
            instruction: self.instruction.clone(),
            caption: self.caption.clone(),
            settings: self.settings.clone(),
        })
    }
}

/// A region as text: PNG keeps masks, which are mostly flat, to a few hundred bytes.
fn region_text(region: &Region) -> Option<String> {
    let (width, height) = region.size();
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(region.mask().as_raw(), width, height, ExtendedColorType::L8).ok()?;
    Some(BASE64.encode(png))
}

fn region_from(text: &str, size: (u32, u32)) -> Result<Region, String> {
    let png = BASE64.decode(text).map_err(|error| error.to_string())?;
    let mut reader = ImageReader::with_format(std::io::Cursor::new(png), image::ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_alloc = Some(1 << 30);
    reader.limits(limits);
    let mask = reader.decode().map_err(|error| error.to_string())?.to_luma8();
    if mask.width() == 0 || mask.height() == 0 {
        return Err("it has no pixels".to_owned());
    }
    Ok(Region::from_mask(mask, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::contributions::Contributions;
    use crate::picture::resize::{Fit, SizeRequest, plan};
    use image::RgbImage;
    use std::sync::Arc;

    fn example() -> (EditRequest, Recipe) {
        let picture = Picture::from_rgb("Été 日本.jpg", RgbImage::new(40, 30));
        let request = EditRequest {
            instruction: "make it feel like winter".into(),
            caption: "a village by a lake".into(),
            specifics: vec![
                Specific::new("put snow on the roofs"),
                Specific {
                    weight: -0.5,
                    region: Some(Region::from_fn((40, 30), |x, _| x < 10)),
                    ..Specific::new("turn the lake to ice")
                },
                Specific { enabled: false, ..Specific::new("make the sky overcast") },
            ],
            settings: EditSettings { seed: 12, size: Some(SizeRequest::LongerSide(16)), ..EditSettings::default() },
            picture,
        };
        let outcome = EditOutcome {
            picture: Arc::new(RgbImage::new(40, 30)),
            working: Arc::new(RgbImage::new(16, 16)),
            reconstructed: None,
            plan: plan((40, 30), SizeRequest::LongerSide(16), Fit::Pad, 8).unwrap(),
            contributions: Contributions::default(),
            seconds: 1.234_5,
            seconds_per_step: 0.1,
        };
        let model = RecipeModel { name: "starter".into(), fingerprint: "abc".into(), compute: "CPU, f32".into() };
        let recipe = Recipe::of(&request, &outcome, model);
        (request, recipe)
    }

    #[test]
    fn there_and_back() {
        let (request, recipe) = example();
        let read = Recipe::from_json(&recipe.to_json()).unwrap();
        assert_eq!(read, recipe);
        let again = read.request(request.picture.clone()).unwrap();
        assert_eq!(again.settings, request.settings);
        assert_eq!(again.instruction, request.instruction);
        for (ours, theirs) in again.specifics.iter().zip(&request.specifics) {
            assert_eq!((&ours.text, ours.weight, ours.enabled), (&theirs.text, theirs.weight, theirs.enabled));
            assert_eq!(ours.region, theirs.region);
        }
    }

    #[test]
    fn the_paragraph_says_what_matters() {
        let text = example().1.to_parameters();
        assert!(text.starts_with("make it feel like winter\n+ put snow on the roofs\n"), "{text}");
        assert!(text.contains("+ turn the lake to ice (weight -0.5) (within a region)"), "{text}");
        assert!(text.contains("+ make the sky overcast (off)"), "{text}");
        assert!(text.contains("Seed: 12") && text.contains("Size: 16x12") && text.contains("Model: starter"), "{text}");
    }

    #[test]
    fn other_texts_are_refused_in_words() {
        let refused = |text: &str| Recipe::from_json(text).unwrap_err().to_string();
        assert!(refused("Steps: 20").contains("not a recipe"));
        assert!(refused("{}").contains("no form"));
        assert!(refused(r#"{"form": 99}"#).contains("update"));
        let (request, mut recipe) = example();
        recipe.specifics[1].region = Some("AAAA".into());
        let damaged = recipe.request(request.picture).unwrap_err().to_string();
        assert!(damaged.contains("instruction 2"), "{damaged}");
    }
}
