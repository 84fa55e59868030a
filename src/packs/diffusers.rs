//! An InstructPix2Pix-style editor on disk: a folder in diffusers layout (`unet/`, `vae/`, `text_encoder/`,
//! `tokenizer/`, `scheduler/`).
//!
//! What makes a model such an editor is that its UNet takes 8 channels (4 of noisy latents, 4 of the picture's), not
//! the class name in `model_index.json`: published ports carry the wrong one (spec/sane.md section 8.3). Components may
//! differ in precision; configurations older than `scaling_factor` get the value that was fixed then.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::clip_tokenizer::ClipTokenizer;
use super::weights::{ComponentFiles, WeightOptions, Weights, find_files};
use super::{PackError, compvis, convert, read_json_as, sniff};

/// The factor between the VAE's latents and the UNet's, where the configuration predates the key.
pub const USUAL_SCALING_FACTOR: f64 = 0.18215;

/// The channels an editor's UNet takes: noisy latents and the picture's latents, 4 each.
pub const EDITOR_CHANNELS: u64 = 8;

/// One network of a model: its configuration and its tensors.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its `config.json`, with keys that older versions left out filled in.
    pub config: Value,
    /// Its tensors.
    pub weights: Weights,
}

/// An opened editor. Nothing but headers has been read yet; tensors are read when a network asks for them.
#[derive(Debug, Clone)]
pub struct EditorFolder {
    /// The folder, or the single file.
    pub path: PathBuf,
    /// The denoiser.
    pub unet: Component,
    /// The autoencoder; its configuration always holds `scaling_factor`.
    pub vae: Component,
    /// The CLIP text encoder.
    pub text_encoder: Component,
    /// The text encoder's tokenizer.
    pub tokenizer: ClipTokenizer,
    /// The scheduler's configuration. Unknown and missing keys are the reader's business.
    pub scheduler: Value,
}

/// How an editor is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// How weight files are opened.
    pub weights: WeightOptions,
    /// Where pickled weights are kept after their conversion; the user's cache folder if `None`.
    pub cache: Option<PathBuf>,
    /// Take the UNet's running average where a single file holds both.
    pub average: bool,
}

impl EditorFolder {
    /// Opens the editor in the folder `path`, or in the single file in CompVis layout that `path` is.
    ///
    /// # Errors
    /// One sentence naming the file that is missing, cut short, mislabelled or of another kind.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// As [`Self::open`], with a say in how.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, PackError> {
        if path.is_file() {
            return open_single(path, options);
        }
        if !path.is_dir() {
            return Err(PackError::missing(path, "a folder in diffusers layout was expected there"));
        }
        check_kind(path)?;
        let unet = open_component(path, "unet", "the UNet", options)?;
        let unet = check_editor(path, unet)?;
        let mut vae = open_component(path, "vae", "the autoencoder", options)?;
        let scaling = vae.config.get("scaling_factor").and_then(Value::as_f64);
        if let (None, Some(config)) = (scaling, vae.config.as_object_mut()) {
            config.insert("scaling_factor".into(), USUAL_SCALING_FACTOR.into());
        }
        let mut text_encoder = open_component(path, "text_encoder", "the text encoder", options)?;
        if let Some(inner) = text_encoder.config.get("text_config").filter(|inner| inner.is_object()) {
            text_encoder.config = inner.clone();
        }
        let positions = text_encoder.config.get("max_position_embeddings").and_then(Value::as_u64);
        let positions = positions.and_then(|positions| usize::try_from(positions).ok());
        let tokenizer = ClipTokenizer::open(&path.join("tokenizer"), positions)?;
        let scheduler = read_config(&path.join("scheduler").join("scheduler_config.json"), "the scheduler")?;
        Ok(Self { path: path.to_path_buf(), unet, vae, text_encoder, tokenizer, scheduler: Value::Object(scheduler) })
    }

    /// The factor between the VAE's latents and the UNet's.
    #[must_use]
    pub fn scaling_factor(&self) -> f64 {
        let configured = self.vae.config.get("scaling_factor").and_then(Value::as_f64);
        configured.unwrap_or(USUAL_SCALING_FACTOR)
    }

    /// By what the sides of a working picture must be divisible: the VAE halves once per level but the last.
    #[must_use]
    pub fn latent_factor(&self) -> u32 {
        let levels = self.vae.config.get("block_out_channels").and_then(Value::as_array).map_or(4, Vec::len);
        1 << levels.clamp(1, 8).saturating_sub(1)
    }

    /// How many numbers the three networks hold together.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.unet.weights.parameters() + self.vae.weights.parameters() + self.text_encoder.weights.parameters()
    }
}

/// Opens a single file in CompVis layout, safetensors or pickle.
fn open_single(path: &Path, options: &OpenOptions) -> Result<EditorFolder, PackError> {
    let weights = match sniff::of_file(path)? {
        sniff::Content::Zip | sniff::Content::Pickle | sniff::Content::Tar => open_pickle(path, options)?,
        _ => Weights::open_file(path, &options.weights)?,
    };
    if !compvis::is_compvis(&weights) {
        return Err(PackError::OtherModel {
            path: path.to_path_buf(),
            detail: "it is no editor in one file, which holds UNet, autoencoder and text encoder under CompVis names"
                .into(),
        });
    }
    compvis::open(path, &weights, options.average)
}

/// Opens pickled weights through the converter.
fn open_pickle(path: &Path, options: &OpenOptions) -> Result<Weights, PackError> {
    let cache = match &options.cache {
        Some(cache) => cache.clone(),
        None => convert::cache_folder()?,
    };
    let converted = convert::converted(path, &cache, &|_, _| ControlFlow::Continue(()))?;
    Weights::open_file(&converted, &options.weights)
}

/// Refuses, by name, folders that hold another kind of model.
fn check_kind(path: &Path) -> Result<(), PackError> {
    let other = |detail: &str| PackError::OtherModel { path: path.to_path_buf(), detail: detail.into() };
    if path.join("unet").is_dir() {
        if path.join("text_encoder_2").is_dir() {
            return Err(other(
                "it has two text encoders, as Stable Diffusion XL does; only models with one are supported",
            ));
        }
        return Ok(());
    }
    if path.join("transformer").is_dir() {
        return Err(other("its denoiser is a transformer; only UNet editors are supported"));
    }
    if path.join("config.json").is_file() {
        return Err(other("it holds a single network, but an editor has the folders unet, vae and text_encoder"));
    }
    Err(PackError::missing(
        &path.join("unet"),
        "an editor has the folders unet, vae, text_encoder, tokenizer and scheduler",
    ))
}

/// Refuses UNets that are not editors, going by the number of channels they take.
fn check_editor(path: &Path, mut unet: Component) -> Result<Component, PackError> {
    let configured = unet.config.get("in_channels").and_then(Value::as_u64);
    let stored = unet.weights.facts("conv_in.weight").and_then(|facts| facts.shape.get(1).map(|&side| side as u64));
    if let (Some(configured), Some(stored)) = (configured, stored)
        && configured != stored
    {
        return Err(PackError::config(
            &path.join("unet").join("config.json"),
            format!("it says in_channels {configured}, but the weights beside it take {stored}"),
        ));
    }
    match configured.or(stored) {
        Some(EDITOR_CHANNELS) => {}
        Some(4) => {
            return Err(PackError::OtherModel {
                path: path.to_path_buf(),
                detail: "its UNet takes 4 channels, so it makes pictures from text alone; an editor's takes 8".into(),
            });
        }
        Some(channels) => {
            return Err(PackError::OtherModel {
                path: path.to_path_buf(),
                detail: format!("its UNet takes {channels} channels, but an instruction editor's takes 8"),
            });
        }
        None => {
            return Err(PackError::config(
                &path.join("unet").join("config.json"),
                "neither it nor the weights say how many channels the UNet takes",
            ));
        }
    }
    if let (None, Some(config)) = (configured, unet.config.as_object_mut()) {
        config.insert("in_channels".into(), EDITOR_CHANNELS.into());
    }
    Ok(unet)
}

/// Opens the component `name` of the model in `path`; `what` names it in errors.
fn open_component(path: &Path, name: &str, what: &str, options: &OpenOptions) -> Result<Component, PackError> {
    let folder = path.join(name);
    if !folder.is_dir() {
        return Err(PackError::missing(&folder, format!("the folder of {what}")));
    }
    let config = Value::Object(read_config(&folder.join("config.json"), what)?);
    let weights = match find_files(&folder)? {
        ComponentFiles::Single(file) => Weights::open_file(&file, &options.weights)?,
        ComponentFiles::Index(index) => Weights::open_index(&index, &options.weights)?,
        ComponentFiles::Pickle(file) => open_pickle(&file, options)?,
    };
    Ok(Component { config, weights })
}

/// Reads a configuration file that must be a JSON object.
fn read_config(path: &Path, what: &str) -> Result<Map<String, Value>, PackError> {
    if !path.is_file() {
        return Err(PackError::missing(path, format!("the configuration of {what}")));
    }
    read_json_as(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit/folders").join(name)
    }

    /// A copy of a fixture folder that a test may damage.
    fn copy(name: &str) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for item in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
            std::fs::create_dir(copy.path().join(item)).unwrap();
            for file in std::fs::read_dir(fixture(name).join(item)).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), copy.path().join(item).join(file.file_name())).unwrap();
            }
        }
        copy
    }

    fn fault(folder: &Path) -> String {
        EditorFolder::open(folder).unwrap_err().to_string()
    }

    #[test]
    fn opens_folders_of_several_configurations() {
        for (name, scaling, factor) in [("classic", 0.18215, 8), ("blocks", 0.18215, 2), ("odd", 0.31, 4)] {
            let editor = EditorFolder::open(&fixture(name)).unwrap();
            assert_eq!(editor.scaling_factor(), scaling, "{name}");
            assert_eq!(editor.vae.config["scaling_factor"].as_f64(), Some(scaling), "{name}");
            assert_eq!(editor.latent_factor(), factor, "{name}");
            assert!(editor.parameters() > 1000);
            assert!(editor.scheduler.get("beta_start").is_some());
        }
    }

    #[test]
    fn the_tokenizers_of_the_folders_give_the_reference_ids() {
        let tokens: Value = read_json_as(&fixture("../tokens.json")).unwrap();
        for name in ["classic", "blocks", "odd"] {
            let editor = EditorFolder::open(&fixture(name)).unwrap();
            let texts = tokens["texts"].as_array().unwrap();
            let rows = tokens["folders"][name]["padded"].as_array().unwrap();
            assert_eq!(texts.len(), rows.len());
            for (text, row) in texts.iter().zip(rows) {
                let ids: Vec<u64> = row.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
                let ours = editor.tokenizer.encode(text.as_str().unwrap()).unwrap();
                assert_eq!(ours.iter().map(|&id| u64::from(id)).collect::<Vec<_>>(), ids, "{name}: {text}");
            }
        }
    }

    #[test]
    fn every_missing_or_damaged_file_is_named() {
        for file in [
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "scheduler/scheduler_config.json",
        ] {
            let copy = copy("classic");
            let path = copy.path().join(file);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, b"<!DOCTYPE html><html>Sign in</html>").unwrap();
            assert!(fault(copy.path()).contains("web page") && fault(copy.path()).contains(file), "{file}");
            std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n").unwrap();
            assert!(fault(copy.path()).contains("Git LFS pointer"), "{file}");
            std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            assert!(fault(copy.path()).contains(file.split('/').next().unwrap()), "{file}");
            std::fs::remove_file(&path).unwrap();
            assert!(fault(copy.path()).contains("missing"), "{file}: {}", fault(copy.path()));
        }
    }

    #[test]
    fn an_editor_is_known_by_its_channels_not_by_its_class() {
        let copy = copy("classic");
        std::fs::write(copy.path().join("model_index.json"), r#"{"_class_name":"StableDiffusionPipeline"}"#).unwrap();
        let config = copy.path().join("unet/config.json");
        let mut unet: Map<String, Value> = read_json_as(&config).unwrap();
        unet.remove("in_channels");
        std::fs::write(&config, serde_json::to_vec(&unet).unwrap()).unwrap();
        let editor = EditorFolder::open(copy.path()).unwrap();
        assert_eq!(editor.unet.config["in_channels"], 8);
        unet.insert("in_channels".into(), 4.into());
        std::fs::write(&config, serde_json::to_vec(&unet).unwrap()).unwrap();
        assert!(fault(copy.path()).contains("the weights beside it take 8"));
        std::fs::create_dir(copy.path().join("text_encoder_2")).unwrap();
        assert!(fault(copy.path()).contains("two text encoders"));
    }

    #[test]
    fn other_folders_are_told_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        assert!(fault(&folder.path().join("nowhere")).contains("missing"));
        assert!(fault(folder.path()).contains("unet"));
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert!(fault(folder.path()).contains("single network"));
    }

    /// The pickle was made by tests/reference/pickles.py from the folder's own safetensors file.
    #[test]
    fn pickled_components_are_converted_on_the_way() {
        let copy = copy("odd");
        let cache = tempfile::tempdir().unwrap();
        let weights = copy.path().join("vae/diffusion_pytorch_model.safetensors");
        let expected = std::fs::metadata(&weights).unwrap().len();
        std::fs::remove_file(&weights).unwrap();
        let pickle = fixture("../../pickles/odd_vae.bin");
        std::fs::copy(pickle, copy.path().join("vae/diffusion_pytorch_model.bin")).unwrap();
        let options = OpenOptions { cache: Some(cache.path().to_path_buf()), ..OpenOptions::default() };
        let ours = EditorFolder::open_with(copy.path(), &options).unwrap();
        let reference = EditorFolder::open(&fixture("odd")).unwrap();
        assert!(ours.vae.weights.names().eq(reference.vae.weights.names()));
        assert_eq!(ours.vae.weights.parameters(), reference.vae.weights.parameters());
        let converted = ours.vae.weights.files().next().unwrap();
        assert!(std::fs::metadata(converted).unwrap().len().abs_diff(expected) < 4096);
        std::fs::write(copy.path().join("vae/diffusion_pytorch_model.bin"), b"<html>").unwrap();
        assert!(EditorFolder::open_with(copy.path(), &options).unwrap_err().to_string().contains("web page"));
    }
}
