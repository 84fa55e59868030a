//! A feature backbone on disk: a folder as timm exports it (`config.json` with `architecture`, `model_args` and
//! `pretrained_cfg`; weights beside it), one of the transformers library (DINOv2, DINOv3, ViT), or a single weight file
//! such as FiT3D's and Meta's, which have no config.
//!
//! What the network is gets decided elsewhere, by these tensors and this config; here they are found, opened and given
//! the names that timm uses (`layouts`).

pub(super) mod layouts;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::layouts::Layout;
use super::weights::{ComponentFiles, WeightOptions, Weights, find_files};
use super::{PackError, convert, read_json_as, sniff};

/// How a picture's values are brought to what the network was trained on: (value / 255 − mean) / std per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Of red, green and blue in 0..=1.
    pub mean: [f32; 3],
    /// Of red, green and blue in 0..=1.
    pub std: [f32; 3],
}

impl Normalisation {
    /// ImageNet's, which FiT3D uses for every backbone (spec/fit3d.md section 1.3).
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

/// An opened backbone. Of the weights only headers have been read.
#[derive(Debug, Clone)]
pub struct BackboneFolder {
    /// The folder or file.
    pub path: PathBuf,
    /// `config.json` in timm's terms; null where there is none.
    pub config: Value,
    /// The tensors, under timm's names.
    pub weights: Weights,
    /// What the config says of the input's values; ImageNet's where it says nothing.
    pub normalisation: Normalisation,
    /// Height and width in pixels that the network was trained at, where the config says so.
    pub input_size: Option<(u32, u32)>,
}

/// How a backbone is opened.
#[derive(Debug, Clone, Default)]
pub struct BackboneOptions {
    /// How weight files are opened.
    pub weights: WeightOptions,
    /// Where pickled weights are kept after their conversion; the user's cache folder if `None`.
    pub cache: Option<PathBuf>,
}

/// Tensors that belong to a classifier or to training, by the beginnings of their names.
const NOT_FEATURES: [&str; 11] = [
    "head.",
    "head_dist.",
    "head_drop.",
    "fc_norm.",
    "attn_pool.",
    "pre_logits.",
    "rope.",
    "rope_embed.",
    "classifier.",
    "pooler.",
    "projectors.",
];

/// Endings of weight files that have no usual name.
const WEIGHT_ENDINGS: [&str; 4] = ["pth", "pt", "bin", "ckpt"];

impl BackboneFolder {
    /// Opens the folder or file `path`.
    ///
    /// # Errors
    /// One sentence naming the file that is missing, cut short, mislabelled or of another kind.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        Self::open_with(path, &BackboneOptions::default())
    }

    /// As [`Self::open`], with a say in how.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, options: &BackboneOptions) -> Result<Self, PackError> {
        let (folder, weights) = if path.is_file() {
            (path.parent().unwrap_or(Path::new(".")), open_file(path, options)?)
        } else if path.is_dir() {
            check_kind(path)?;
            (path, open_weights(path, options)?)
        } else {
            return Err(PackError::missing(path, "a backbone's folder or weight file was expected there"));
        };
        let described = folder.join("config.json");
        let config = if described.is_file() { read_json_as(&described)? } else { Value::Null };
        // A single file may lie beside another model's description; a backbone's is known by one of these.
        let known = config.get("architecture").is_some() || config.get("model_type").is_some();
        let config = if path.is_file() && !known { Value::Null } else { config };
        if !(config.is_null() || config.is_object()) {
            return Err(PackError::config(&described, "it is not a JSON object"));
        }
        let layout = Layout::of(&weights.names().collect::<Vec<_>>());
        let mut config = config;
        if matches!(layout, Layout::Transformers { .. }) {
            config = layouts::timm_config(config);
            let beside = folder.join("preprocessor_config.json");
            if config.is_object() && beside.is_file() {
                config["pretrained_cfg"] = layouts::preprocessing(&read_json_as(&beside)?);
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            normalisation: normalisation(&config, &described)?,
            input_size: input_size(&config),
            weights: weights.renamed(|name| layout.timm_name(name))?,
            config,
        })
    }

    /// The shape of every tensor.
    #[must_use]
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let shape = |name: &str| Some((name.to_owned(), self.weights.facts(name)?.shape));
        self.weights.names().filter_map(shape).collect()
    }

    /// Tensors that a network took no notice of although they are no classifier's: signs of another architecture.
    #[must_use]
    pub fn strangers(&self) -> Vec<String> {
        let strange = |name: &String| !NOT_FEATURES.iter().any(|start| name.starts_with(start));
        self.weights.unused().into_iter().filter(strange).collect()
    }

    /// How many numbers the weights hold.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.weights.parameters()
    }
}

/// Refuses, by name, folders that hold another kind of model.
fn check_kind(path: &Path) -> Result<(), PackError> {
    let kind = if path.join("model_index.json").is_file() || path.join("unet").is_dir() {
        "an editor or another model of several networks in diffusers layout"
    } else if path.join("tokenizer.json").is_file() || path.join("tokenizer.model").is_file() {
        "a language model"
    } else {
        return Ok(());
    };
    Err(PackError::OtherModel { path: path.to_path_buf(), detail: format!("it is {kind}, not a feature backbone") })
}

/// The weights in a folder: under a usual name, or the only weight file there is.
pub(super) fn open_weights(folder: &Path, options: &BackboneOptions) -> Result<Weights, PackError> {
    match find_files(folder) {
        Ok(ComponentFiles::Single(path)) => Weights::open_file(&path, &options.weights),
        Ok(ComponentFiles::Index(path)) => Weights::open_index(&path, &options.weights),
        Ok(ComponentFiles::Pickle(path)) => open_file(&path, options),
        Err(fault @ PackError::Missing { .. }) => match only_pickle(folder)? {
            Some(path) => open_file(&path, options),
            None => Err(fault),
        },
        Err(fault) => Err(fault),
    }
}

/// The only file in `folder` that ends as PyTorch's weights do.
fn only_pickle(folder: &Path) -> Result<Option<PathBuf>, PackError> {
    let mut found = None;
    for item in std::fs::read_dir(folder).map_err(PackError::io(folder, "listed"))? {
        let path = item.map_err(PackError::io(folder, "listed"))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|ending| WEIGHT_ENDINGS.contains(&ending.as_str())) && path.is_file() {
            if found.is_some() {
                return Err(PackError::config(folder, "it holds several weight files; name the one that is meant"));
            }
            found = Some(path);
        }
    }
    Ok(found)
}

/// One weight file, safetensors or pickle, by its content.
pub(super) fn open_file(path: &Path, options: &BackboneOptions) -> Result<Weights, PackError> {
    match sniff::of_file(path)? {
        sniff::Content::Zip | sniff::Content::Pickle | sniff::Content::Tar => {
            let cache = match &options.cache {
                Some(cache) => cache.clone(),
                None => convert::cache_folder()?,
            };
            let converted = convert::converted(path, &cache, &|_, _| ControlFlow::Continue(()))?;
            Weights::open_file(&converted, &options.weights)
        }
        _ => Weights::open_file(path, &options.weights),
    }
}

/// Mean and standard deviation that timm's `pretrained_cfg` in `config`, the file `path`, gives.
pub(super) fn normalisation(config: &Value, path: &Path) -> Result<Normalisation, PackError> {
    let three = |key: &str| -> Result<Option<[f32; 3]>, PackError> {
        let Some(value) = config.get("pretrained_cfg").and_then(|facts| facts.get(key)) else { return Ok(None) };
        let numbers: Option<Vec<f32>> = value
            .as_array()
            .map(|numbers| numbers.iter().filter_map(|number| number.as_f64().map(|number| number as f32)).collect());
        match numbers.as_deref() {
            Some(&[r, g, b]) if [r, g, b].iter().all(|v| v.is_finite()) => Ok(Some([r, g, b])),
            _ => Err(PackError::config(path, format!("its {key} is {value}, where three numbers are expected"))),
        }
    };
    let usual = Normalisation::IMAGENET;
    let found = Normalisation { mean: three("mean")?.unwrap_or(usual.mean), std: three("std")?.unwrap_or(usual.std) };
    if found.std.iter().any(|v| *v <= 0.0) {
        return Err(PackError::config(path, "its std is not above 0 for every channel"));
    }
    Ok(found)
}

fn input_size(config: &Value) -> Option<(u32, u32)> {
    let side = |value: &Value| value.as_u64().and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
    match config.get("model_args").and_then(|args| args.get("img_size")) {
        Some(Value::Array(sides)) => match sides.as_slice() {
            [height, width] => Some((side(height)?, side(width)?)),
            _ => None,
        },
        Some(value) => Some((side(value)?, side(value)?)),
        None => match config.get("pretrained_cfg")?.get("input_size")?.as_array()?.as_slice() {
            [_, height, width] => Some((side(height)?, side(width)?)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::test_files::{Stored, safetensors};
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit").join(name)
    }

    fn fault(path: &Path) -> String {
        BackboneFolder::open(path).unwrap_err().to_string()
    }

    #[test]
    fn a_timm_folder_says_what_the_network_takes() {
        let folder = BackboneFolder::open(&fixture("clip")).unwrap();
        assert_eq!(folder.input_size, Some((64, 64)));
        assert_eq!(folder.normalisation.mean, [0.481_454_66, 0.457_827_5, 0.408_210_73]);
        assert_eq!(folder.shapes()["pos_embed"], [1, 17, 32]);
        let oblong = BackboneFolder::open(&fixture("oblong")).unwrap();
        assert_eq!((oblong.input_size, oblong.normalisation.std), (Some((48, 96)), [0.5; 3]));
        // A file of the folder is the folder.
        let file = BackboneFolder::open(&fixture("clip/model.safetensors")).unwrap();
        assert_eq!(file.config, folder.config);
        // Nothing was taken yet: all but the classifier is strange.
        assert_eq!(folder.strangers().len() + 2, folder.weights.names().count());
    }

    #[test]
    fn a_flat_pickle_is_converted_and_has_imagenets_values() {
        let cache = tempfile::tempdir().unwrap();
        let options = BackboneOptions { cache: Some(cache.path().to_path_buf()), ..BackboneOptions::default() };
        let file = BackboneFolder::open_with(&fixture("fit3d.pth"), &options).unwrap();
        assert!(file.config.is_null());
        assert_eq!((file.normalisation, file.input_size), (Normalisation::IMAGENET, None));
        assert_eq!(file.shapes()["blocks.0.attn.qkv.weight"], [192, 64]);
        // The same file alone in a folder.
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(fixture("fit3d.pth"), folder.path().join("tuned.pth")).unwrap();
        let alone = BackboneFolder::open_with(folder.path(), &options).unwrap();
        assert_eq!(alone.shapes(), file.shapes());
        std::fs::copy(fixture("fit3d.pth"), folder.path().join("other.pth")).unwrap();
        let several = BackboneFolder::open_with(folder.path(), &options).unwrap_err().to_string();
        assert!(several.contains("several weight files"), "{several}");
    }

    #[test]
    fn dinov2s_own_names_become_timms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.safetensors");
        let tensors = ["mask_token", "register_tokens", "blocks.0.mlp.w12.weight", "blocks.0.mlp.w3.bias", "norm.bias"];
        let stored: Vec<Stored> = tensors.iter().map(|name| Stored::f32(name, &[1], &[1.0])).collect();
        std::fs::write(&path, safetensors(&stored)).unwrap();
        let opened = BackboneFolder::open(&path).unwrap();
        let names: Vec<&str> = opened.weights.names().collect();
        assert_eq!(names, ["blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.bias", "norm.bias", "reg_token"]);
    }

    #[test]
    fn what_is_no_backbone_is_told_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(fault(&folder.path().join("nowhere")).contains("missing"));
        assert!(fault(folder.path()).contains("no weight file"));
        let weights = folder.path().join("model.safetensors");
        std::fs::write(&weights, b"<!DOCTYPE html>").unwrap();
        assert!(fault(folder.path()).contains("web page"));
        std::fs::write(&weights, safetensors(&[Stored::f32("norm.bias", &[1], &[1.0])])).unwrap();
        let config = folder.path().join("config.json");
        for (mean, std, words) in [
            (json!([0.5, 0.5]), json!([1, 1, 1]), "its mean is [0.5,0.5]"),
            (json!([0, 0, 0]), json!([1, 0, 1]), "std is not above 0"),
            (json!("grey"), json!([1, 1, 1]), "three numbers"),
        ] {
            let text = json!({"architecture": "x", "pretrained_cfg": {"mean": mean, "std": std}}).to_string();
            std::fs::write(&config, text).unwrap();
            assert!(fault(folder.path()).contains(words), "{}", fault(folder.path()));
        }
        std::fs::write(&config, "[]").unwrap();
        assert!(fault(folder.path()).contains("not a JSON object"));
        std::fs::write(&config, "{}").unwrap();
        assert!(BackboneFolder::open(folder.path()).is_ok());
        std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        assert!(fault(folder.path()).contains("a language model"));
        std::fs::create_dir(folder.path().join("unet")).unwrap();
        assert!(fault(folder.path()).contains("diffusers layout"));
    }
}
