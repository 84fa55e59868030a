//! Depth models on disk: this project's heads on a vision transformer of another folder, and Depth-Anything-V2 in both
//! layouts it is published in.
//!
//! Which one it is, its config and tensors say. Depth-Anything-V2 comes as the authors' single file
//! (`depth_anything_v2_vits.pth`: `pretrained.*`, `depth_head.*`) or as a folder of the transformers library (`backbone.*`,
//! `neck.*`, `head.*`); what comes out here has timm's names behind `backbone.` and the authors' behind `depth_head.`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::backbone::layouts::{Layout, preprocessing, timm_config};
use super::backbone::{BackboneOptions, Normalisation, normalisation, open_file, open_weights};
use super::weights::{WeightOptions, Weights};
use super::{PackError, read_json_as};
use crate::nets::depth_head::{DepthHeadConfig, LAYOUT};

/// The side that the shorter side of a picture has at least, in pixels, where nothing else is said.
const USUAL_SIDE: u32 = 518;

/// An opened depth model. Of the weights only headers have been read.
#[derive(Debug, Clone)]
pub enum DepthFolder {
    /// A head that reads another folder's backbone.
    Head(HeadFolder),
    /// A Depth-Anything-V2, which has its own.
    DepthAnything(DepthAnythingFolder),
}

/// A depth head's folder.
#[derive(Debug, Clone)]
pub struct HeadFolder {
    /// Its config.
    pub config: DepthHeadConfig,
    /// Its weights.
    pub weights: Weights,
    /// The folder of the backbone that it reads.
    pub backbone: PathBuf,
}

/// A Depth-Anything-V2.
#[derive(Debug, Clone)]
pub struct DepthAnythingFolder {
    /// The folder or file.
    pub path: PathBuf,
    /// `config.json` of the transformers library; null where there is none.
    pub config: Value,
    /// What it, or a config in timm's form, says of the vision transformer, in timm's terms; null where there is none.
    pub backbone: Value,
    /// The tensors: `backbone.*` and `depth_head.*`.
    pub weights: Weights,
    /// Whether the file has the authors' layout, and so their rule for the table of positions.
    pub authors: bool,
    /// How values are normalised.
    pub normalisation: Normalisation,
    /// What the shorter side of a picture is brought to, in pixels.
    pub side: u32,
}

impl DepthFolder {
    /// Opens the folder or file `path`.
    ///
    /// # Errors
    /// If it is no depth model, or its files are missing or damaged, in one sentence.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        Self::open_with(path, &BackboneOptions::default())
    }

    /// As [`Self::open`], with a say in how.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, options: &BackboneOptions) -> Result<Self, PackError> {
        let described = path.join("config.json");
        if described.is_file() {
            let config: Value = read_json_as(&described)?;
            if let Some(layout) = config.get("layout") {
                if layout != LAYOUT {
                    let detail = format!("its layout is {layout}, and {LAYOUT:?} is read here");
                    return Err(PackError::config(&described, detail));
                }
                let config: DepthHeadConfig = read_json_as(&described)?;
                let weights = Weights::open(path, &WeightOptions::default())?;
                let backbone = path.join(&config.backbone);
                return Ok(Self::Head(HeadFolder { config, weights, backbone }));
            }
        }
        DepthAnythingFolder::open(path, options).map(Self::DepthAnything)
    }
}

impl DepthAnythingFolder {
    fn open(path: &Path, options: &BackboneOptions) -> Result<Self, PackError> {
        let (folder, stored) = if path.is_file() {
            (path.parent().unwrap_or(Path::new(".")), open_file(path, options)?)
        } else if path.is_dir() {
            (path, open_weights(path, options)?)
        } else {
            return Err(PackError::missing(path, "a depth model's folder or weight file was expected there"));
        };
        let has = |name: &str| stored.facts(name).is_some();
        let authors = has("depth_head.scratch.output_conv1.weight");
        if !authors && !has("neck.reassemble_stage.layers.0.projection.weight") {
            return Err(PackError::OtherModel {
                path: path.to_path_buf(),
                detail: "its tensors are those of no depth model that is read here (Depth-Anything-V2, or this project's heads)"
                    .into(),
            });
        }
        let described = folder.join("config.json");
        let config = if described.is_file() { read_json_as(&described)? } else { Value::Null };
        let transformers = config.get("model_type").and_then(Value::as_str) == Some("depth_anything");
        let (config, backbone) = if transformers {
            let backbone = config.get("backbone_config").cloned().unwrap_or(Value::Null);
            (config, timm_config(backbone))
        } else if config.get("architecture").is_some() {
            // The authors' file has no config; one in timm's form beside it may tell what tensors do not.
            (Value::Null, config)
        } else {
            (Value::Null, Value::Null)
        };
        let beside = folder.join("preprocessor_config.json");
        let processor: Value = if transformers && beside.is_file() { read_json_as(&beside)? } else { Value::Null };
        let facts = serde_json::json!({ "pretrained_cfg": preprocessing(&processor) });
        let side = processor.get("size").and_then(|size| size.get("height").or(Some(size))).and_then(Value::as_u64);
        let side = side.and_then(|side| u32::try_from(side).ok()).filter(|side| (1..=4096).contains(side));
        Ok(Self {
            path: path.to_path_buf(),
            weights: stored.renamed(|name| if authors { of_authors(name) } else { of_transformers(name) })?,
            config,
            backbone,
            authors,
            normalisation: normalisation(&facts, &beside)?,
            side: side.unwrap_or(USUAL_SIDE),
        })
    }

    /// The shape of every tensor.
    #[must_use]
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let shape = |name: &str| Some((name.to_owned(), self.weights.facts(name)?.shape));
        self.weights.names().filter_map(shape).collect()
    }

    /// A tensor that the network took no notice of: a sign of another architecture. The coarsest step of the head is
    /// published with a part that it does not use.
    #[must_use]
    pub fn stranger(&self) -> Option<String> {
        let unused = |name: &String| !name.starts_with("depth_head.scratch.refinenet4.resConfUnit1.");
        self.weights.unused().into_iter().find(unused)
    }

    /// The size (width, height) at which a picture of `source` pixels is looked at: as small as may be with both sides at
    /// least [`side`](Self::side) and multiples of `patch`, the proportions kept but for that (the reference's
    /// `lower_bound`).
    #[must_use]
    pub fn size(&self, source: (u32, u32), patch: u32) -> (u32, u32) {
        let patch = f64::from(patch.max(1));
        let shorter = f64::from(source.0.min(source.1).max(1));
        let scale = f64::from(self.side) / shorter;
        let side = |side: u32| {
            // The nearest multiple, unless that is too small. `round_ties_even` is what the reference rounds by.
            let exact = scale * f64::from(side);
            let nearest = (exact / patch).round_ties_even() * patch;
            let length = if nearest < f64::from(self.side) { (exact / patch).ceil() * patch } else { nearest };
            length.clamp(patch, f64::from(u32::MAX)) as u32
        };
        (side(source.0), side(source.1))
    }
}

/// The authors' names: the backbone's become timm's, the head's stay.
fn of_authors(name: &str) -> Option<String> {
    match name.strip_prefix("pretrained.") {
        Some(rest) => Some(format!("backbone.{}", Layout::Timm.timm_name(rest)?)),
        None => Some(name.to_owned()),
    }
}

/// transformers' names: the backbone's become timm's, the head's the authors'.
fn of_transformers(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("backbone.") {
        let layout = Layout::Transformers { prefix: String::new(), gated: false };
        return Some(format!("backbone.{}", layout.timm_name(rest)?));
    }
    Some(in_head(name).map_or_else(|| name.to_owned(), |own| format!("depth_head.{own}")))
}

/// What the authors call a tensor of `neck.*` and `head.*`.
fn in_head(name: &str) -> Option<String> {
    for (theirs, own) in [("conv1", "output_conv1"), ("conv2", "output_conv2.0"), ("conv3", "output_conv2.2")] {
        if let Some(kind) = name.strip_prefix("head.").and_then(|rest| rest.strip_prefix(theirs)) {
            return Some(format!("scratch.{own}{kind}"));
        }
    }
    let rest = name.strip_prefix("neck.")?;
    let numbered = |start: &str| {
        let (index, rest) = rest.strip_prefix(start)?.split_once('.')?;
        Some((index.parse::<usize>().ok()?, rest))
    };
    if let Some((index, rest)) = numbered("reassemble_stage.layers.") {
        let part = rest.strip_prefix("projection.").map(|kind| format!("projects.{index}.{kind}"));
        return part.or_else(|| Some(format!("resize_layers.{index}.{}", rest.strip_prefix("resize.")?)));
    }
    if let Some((index, kind)) = numbered("convs.") {
        return Some(format!("scratch.layer{}_rn.{kind}", index.checked_add(1)?));
    }
    // The steps are counted from the coarsest there, from the finest here.
    let (index, rest) = numbered("fusion_stage.layers.")?;
    let step = 4usize.checked_sub(index)?;
    let rest = rest
        .replace("projection.", "out_conv.")
        .replace("residual_layer", "resConfUnit")
        .replace("convolution", "conv");
    Some(format!("scratch.refinenet{step}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/depth_anything")
    }

    #[test]
    fn the_starter_opens_and_others_are_refused() {
        let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter/depth");
        let DepthFolder::Head(opened) = DepthFolder::open(&starter).unwrap() else { panic!("it is a head") };
        assert_eq!((opened.config.width, opened.config.points), (192, 4));
        assert!(opened.backbone.join("config.json").is_file());
        let folder = tempfile::tempdir().unwrap();
        assert!(DepthFolder::open(folder.path()).unwrap_err().to_string().contains("no weight file"));
        let config = std::fs::read_to_string(starter.join("config.json")).unwrap().replace(LAYOUT, "other");
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        assert!(DepthFolder::open(folder.path()).unwrap_err().to_string().contains("\"other\""));
        let backbone = starter.join("../backbone");
        assert!(DepthFolder::open(&backbone).unwrap_err().to_string().contains("no depth model"));
        assert!(DepthFolder::open(&folder.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn a_folder_of_transformers_says_what_it_is() {
        let DepthFolder::DepthAnything(opened) = DepthFolder::open(&fixture()).unwrap() else { panic!("it is one") };
        assert!(!opened.authors && opened.side == 56);
        assert_eq!(opened.normalisation, Normalisation::IMAGENET);
        assert_eq!(opened.backbone["model_args"]["num_heads"], 2);
        let shapes = opened.shapes();
        assert_eq!(shapes["backbone.patch_embed.proj.weight"], [32, 3, 14, 14]);
        assert_eq!(shapes["depth_head.resize_layers.0.weight"], [6, 6, 4, 4]);
        assert_eq!(shapes["depth_head.scratch.refinenet4.resConfUnit2.conv1.bias"], [8]);
        assert!(!shapes.keys().any(|name| name.contains("mask_token")));
    }

    #[test]
    fn both_layouts_names_mean_the_same() {
        let names: BTreeMap<String, Vec<String>> = read_json_as(&fixture().join("names.json")).unwrap();
        for (theirs, parts) in &names {
            let own = of_authors(theirs);
            let [only] = parts.as_slice() else { continue };
            assert_eq!(own, of_transformers(only), "{theirs}");
        }
        assert_eq!(of_authors("strange").as_deref(), Some("strange"));
        for name in ["head.strange", "neck.convs.x.weight", "neck.fusion_stage.layers.9.projection.weight"] {
            assert_eq!(of_transformers(name).as_deref(), Some(name));
        }
    }

    #[test]
    fn pictures_come_to_sizes_as_the_reference_brings_them() {
        let DepthFolder::DepthAnything(opened) = DepthFolder::open(&fixture()).unwrap() else { panic!("it is one") };
        let of = |side: u32, source: (u32, u32)| DepthAnythingFolder { side, ..opened.clone() }.size(source, 14);
        assert_eq!(of(518, (640, 480)), (686, 518));
        assert_eq!(of(518, (480, 640)), (518, 686));
        assert_eq!(of(518, (1920, 1080)), (924, 518));
        assert_eq!(of(518, (300, 300)), (518, 518));
        // A side that is no multiple of the patch is exceeded, never missed.
        assert_eq!(of(520, (100, 100)), (532, 532));
        assert_eq!(of(518, (u32::MAX, 1)).1, 518);
    }
}
