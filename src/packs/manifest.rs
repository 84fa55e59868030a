//! The list of models and packs: `models.toml`, built into the program, and the user's own in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use super::{PackError, read_text};

/// The list that comes with the program.
const BUILT_IN: &str = include_str!("../../models.toml");

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Edits a picture by an instruction.
    Editor,
    /// Proposes concrete instructions for a vague one.
    Specifier,
    /// Says what is in a picture.
    Captioner,
    /// Turns a picture into patch features.
    Backbone,
    /// Answers questions about a picture.
    Vlm,
    /// Estimates depth.
    Depth,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Editor => "editor",
            Self::Specifier => "specifier",
            Self::Captioner => "captioner",
            Self::Backbone => "backbone",
            Self::Vlm => "vlm",
            Self::Depth => "depth",
        })
    }
}

/// How a model's folder is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One folder a component, as diffusers writes it.
    Diffusers,
    /// `config.json` and weights side by side, as LLaVA is published.
    Llava,
    /// `config.json`, weights and tokenizer side by side, as chat models are published, or one GGUF file.
    Chat,
    /// `config.json` and weights side by side as timm writes them, or a single file of weights under timm's names.
    Timm,
    /// This project's depth heads: `config.json` and weights side by side; the config names the backbone they read.
    #[serde(rename = "depth-head")]
    DepthHead,
    /// Depth-Anything-V2: `config.json` and weights side by side as transformers writes them, or the authors' one file.
    #[serde(rename = "depth-anything")]
    DepthAnything,
}

/// Under which terms a model may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// Its name, an SPDX expression where there is one.
    pub name: String,
    /// Where it says so.
    pub link: Option<String>,
    /// Whether the authors themselves say so.
    #[serde(default)]
    pub confirmed: bool,
}

impl Licence {
    /// Whether it forbids commercial use, by its name: the Creative Commons licences with NC, and those that say so.
    #[must_use]
    pub fn non_commercial(&self) -> bool {
        let name = self.name.to_ascii_uppercase();
        name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "NC")
            || name.contains("NON-COMMERCIAL")
            || name.contains("NONCOMMERCIAL")
            || name.contains("RESEARCH")
    }
}

/// What an editor runs with unless the person says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The scheduler's name.
    pub scheduler: String,
    /// Denoising steps.
    pub steps: usize,
    /// s_T: push of the wish itself.
    pub guidance: f64,
    /// s_S: push of the concrete instructions.
    pub specific_guidance: f64,
    /// s_I: pull towards the source picture.
    pub image_guidance: f64,
    /// The working picture's longer side, in pixels.
    pub size: u32,
    /// By what the working picture's sides are divisible.
    pub multiple: u32,
    /// Whether the autoencoder loses detail that can be seen, so that the source's is put back at every size.
    #[serde(default)]
    pub coarse: bool,
    /// Whether the wish and the instructions share the strength `guidance`, so that a wish alone has all of it.
    #[serde(default)]
    pub keep_strength: bool,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name on the command line; unique.
    pub id: String,
    /// The name in the window.
    pub name: String,
    /// What it is good at, in one or two sentences.
    #[serde(default)]
    pub about: String,
    /// What it is for.
    pub roles: Vec<Role>,
    /// How its folder is laid out.
    pub layout: Layout,
    /// Its folder among the program's assets, if it comes with the program.
    pub folder: Option<String>,
    /// Its folder on this machine, if the person named one.
    pub path: Option<PathBuf>,
    /// Where it is published ("owner/name").
    pub repository: Option<String>,
    /// The published revision that is meant.
    pub revision: Option<String>,
    /// The one file of the repository that is the model; the whole folder if absent.
    pub file: Option<String>,
    /// The SHA-256 of that file.
    pub sha256: Option<String>,
    /// The model it was fine-tuned from, by its id.
    pub original: Option<String>,
    /// How its numbers are published.
    #[serde(default)]
    pub dtype: String,
    /// The size of the files needed, in millions of bytes, rounded.
    pub megabytes: Option<u64>,
    /// What it is made of, for what it takes.
    pub architecture: Option<Architecture>,
    /// Its terms.
    pub licence: Licence,
    /// What of this entry nobody has checked against the published files.
    pub unconfirmed: Option<String>,
    /// What it runs with by default (editors).
    pub defaults: Option<Defaults>,
}

/// A model for each role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// The name on the command line; unique among models and packs.
    pub id: String,
    /// The name in the window.
    pub name: String,
    /// What it is good for.
    #[serde(default)]
    pub about: String,
    /// The id of the model for each role.
    pub models: BTreeMap<Role, String>,
}

/// All models and packs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models, in the order of the file.
    #[serde(default, rename = "model")]
    pub models: Vec<Model>,
    /// The packs, in the order of the file.
    #[serde(default, rename = "pack")]
    pub packs: Vec<Pack>,
}

impl Model {
    /// Bytes that its weights take in memory at so many bytes a number (4 for f32, 2 for bf16 and f16, 17/16 and 9/16 for
    /// weights of 8 and 4 bits), as far as the list says what it is made of.
    #[must_use]
    pub fn weight_bytes(&self, each: f64) -> Option<u64> {
        self.architecture.as_ref().map(|architecture| architecture.weight_bytes(each))
    }
}

impl Manifest {
    /// The list that comes with the program.
    ///
    /// # Errors
    /// Never for a released program: a test reads the list.
    pub fn built_in() -> Result<Self, PackError> {
        Self::parse(BUILT_IN, Path::new("models.toml"))
    }

    /// The built-in list with the user's own in the file `own` after it, if that file exists.
    ///
    /// # Errors
    /// If the file cannot be read, or an id stands twice.
    pub fn with_own(own: &Path) -> Result<Self, PackError> {
        let mut all = Self::built_in()?;
        if own.is_file() {
            let more: Self = read_toml(&read_text(own)?, own)?;
            all.models.extend(more.models);
            all.packs.extend(more.packs);
            all.check(own)?;
        }
        Ok(all)
    }

    /// Reads a list; `path` names it in errors.
    ///
    /// # Errors
    /// If the text is not such a list, an id stands twice, or a pack names a model that is not there or not for that role.
    pub fn parse(text: &str, path: &Path) -> Result<Self, PackError> {
        let manifest: Self = read_toml(text, path)?;
        manifest.check(path)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path) -> Result<(), PackError> {
        let mut ids = BTreeSet::new();
        let all = self.models.iter().map(|model| &model.id).chain(self.packs.iter().map(|pack| &pack.id));
        for id in all {
            if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                return Err(PackError::config(path, format!("the id {id:?} is not made of letters, digits, - _ .")));
            }
            if !ids.insert(id) {
                return Err(PackError::config(path, format!("the id {id} stands twice")));
            }
        }
        for model in &self.models {
            if model.roles.is_empty() || model.licence.name.is_empty() {
                return Err(PackError::config(path, format!("the model {} has no role or no licence", model.id)));
            }
            if let Some(original) = model.original.as_ref().filter(|original| self.model(original).is_none()) {
                return Err(PackError::config(
                    path,
                    format!("the model {} was fine-tuned from {original}, which is not in the list", model.id),
                ));
            }
            let plain = |name: &String| !name.is_empty() && !name.contains(['/', '\\', ':']) && name != "..";
            if model.file.as_ref().is_some_and(|name| !plain(name)) {
                return Err(PackError::config(path, format!("the file of the model {} is no plain name", model.id)));
            }
            if model.folder.is_none() && model.path.is_none() && model.repository.is_none() {
                return Err(PackError::config(path, format!("nothing says where the model {} is", model.id)));
            }
        }
        for pack in &self.packs {
            for (role, id) in &pack.models {
                if !self.model(id).is_some_and(|model| model.roles.contains(role)) {
                    return Err(PackError::config(
                        path,
                        format!("the pack {} has {id} as {role}, which it is not", pack.id),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The model `id`.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id == id)
    }

    /// The pack `id`.
    #[must_use]
    pub fn pack(&self, id: &str) -> Option<&Pack> {
        self.packs.iter().find(|pack| pack.id == id)
    }
}

/// Reads TOML without checking what it says.
fn read_toml(text: &str, path: &Path) -> Result<Manifest, PackError> {
    toml::from_str(text).map_err(|error| PackError::config(path, error.to_string().trim().to_string()))
}

#[cfg(test)]
mod list_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_comes_along_is_complete() {
        let manifest = Manifest::built_in().unwrap();
        assert!(manifest.pack("starter").is_some() && manifest.pack("paper").is_some());
        for pack in &manifest.packs {
            for role in [Role::Editor, Role::Specifier, Role::Captioner, Role::Backbone] {
                assert!(pack.models.contains_key(&role), "{} lacks a {role}", pack.id);
            }
        }
        for model in &manifest.models {
            assert!(!model.about.is_empty() && !model.licence.name.is_empty(), "{}", model.id);
            assert_eq!(model.roles.contains(&Role::Editor), model.defaults.is_some(), "{}", model.id);
            assert!(model.folder.is_some() || model.licence.link.is_some(), "{}", model.id);
        }
    }

    #[test]
    fn contradictions_are_named() {
        let model = |id: &str| {
            format!(
                "[[model]]\nid='{id}'\nname='x'\nroles=['editor']\nlayout='diffusers'\npath='/x'\nlicence={{name='MIT'}}\n"
            )
        };
        let fault = |text: &str| Manifest::parse(text, Path::new("own.toml")).unwrap_err().to_string();
        assert!(Manifest::parse(&model("a"), Path::new("own.toml")).is_ok());
        assert!(fault(&(model("a") + &model("a"))).contains("stands twice"));
        assert!(fault(&model("a/b")).contains("not made of letters"));
        assert!(fault(&model("a").replace("path='/x'\n", "")).contains("nothing says where"));
        assert!(fault("[[pack]]\nid='p'\nname='p'\nmodels={editor='b'}").contains("which it is not"));
        assert!(fault("[[pack]]\nid='p'\nname='p'\nmodels={juggler='b'}").contains("juggler"));
        assert!(fault("model = 3").contains("own.toml"));
        assert!(fault(&model("a").replace("path='/x'", "path='/x'\noriginal='b'")).contains("not in the list"));
        assert!(fault(&model("a").replace("path='/x'", "path='/x'\nfile='../b'")).contains("no plain name"));
    }
}
