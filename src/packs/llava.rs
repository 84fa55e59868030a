//! A visual question model on disk, in any of the layouts it is published in: `liuhaotian/llava-v1.5-*` and
//! `senfu/llava-v1.5-7b-flexattn` (LLaVA's own names and a flat config), `llava-hf/*` under its older and newer names.
//!
//! Whatever the layout, what comes out has the names and the config of the older `llava-hf` files. Which layout it is, its
//! tensors and config say, never its name. Pickled shards go through the converter once.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::convert::{cache_folder, converted};
use super::language::{TextFacts, optional};
use super::weights::{ComponentFiles, WeightOptions, Weights, find_files};
use super::{PackError, read_json_as};

/// An opened folder. Of the weights only headers have been read.
#[derive(Debug, Clone)]
pub struct LlavaFolder {
    /// The folder.
    pub path: PathBuf,
    /// The config in the form of `llava-hf`: `text_config`, `vision_config`, `vision_feature_layer` …
    pub config: Value,
    /// The second resolution, in a model that was trained for one.
    pub high_resolution: Option<HighResolutionFacts>,
    /// Whether pictures are padded to a square; else their middle is cut out.
    pub pads: bool,
    /// Mean and standard deviation of each channel that pictures are normalised by.
    pub channels: ([f32; 3], [f32; 3]),
    /// The conversation template that the config names.
    pub conversation: Option<String>,
    /// The longest prompt that the config allows, in tokens.
    pub longest_prompt: Option<usize>,
    /// The tensors under the older names of `llava-hf`.
    pub weights: Weights,
    /// The tokenizer and the tokens that end an answer.
    pub text: TextFacts,
}

/// What FlexAttention adds to a config (`extra`); absent keys have the values that stand in the reference's code.
#[derive(Debug, Clone, PartialEq)]
pub struct HighResolutionFacts {
    /// Tiles along one side.
    pub tiles: usize,
    /// Side of the low-resolution picture in pixels.
    pub low_size: usize,
    /// Side of the high-resolution picture in pixels.
    pub high_size: usize,
    /// A patch is selected when 255 times its stretched attention is above this.
    pub threshold: f32,
    /// The first layer that selects; those above it read.
    pub selection_layer: usize,
    /// Selection cells along one side.
    pub cells: usize,
}

/// CLIP's own mean and standard deviation.
const CLIP_CHANNELS: ([f32; 3], [f32; 3]) =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]);

/// The known towers whose config need not be beside the model: name, side in pixels, patch.
const TOWERS: [(&str, usize, usize); 2] =
    [("clip-vit-large-patch14-336", 336, 14), ("clip-vit-large-patch14", 224, 14)];

impl LlavaFolder {
    /// Opens the folder `path`.
    ///
    /// # Errors
    /// One sentence naming the file that is missing, cut short, mislabelled or of another kind.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        if !path.is_dir() {
            return Err(PackError::missing(path, "a folder with config.json, weights and a tokenizer was expected"));
        }
        let config_path = path.join("config.json");
        let config: Value = read_json_as(&config_path)?;
        if !config.is_object() {
            return Err(PackError::config(&config_path, "it is not a JSON object"));
        }
        let stored = tensors(path)?;
        let own_names = stored.names().any(|name| name.starts_with("model.mm_projector."))
            || (config.get("mm_projector_type").is_some() && config.get("mm_hidden_size").is_some());
        let hf_names = stored.names().any(|name| name.contains("multi_modal_projector."));
        let (weights, normalised) = if hf_names {
            (stored.renamed(from_newer_names)?, config.clone())
        } else if own_names {
            let weights = with_projector_and_tower(path, &config, &stored)?;
            (weights, of_flat_config(path, &config)?)
        } else {
            return Err(PackError::OtherModel {
                path: path.to_path_buf(),
                detail: "it has no projector from a vision tower to a language model".to_owned(),
            });
        };
        let mut normalised = normalised;
        settle(&config_path, &mut normalised, &weights)?;
        let preprocessor = optional(path, "preprocessor_config.json")?;
        let high_resolution = high_resolution(&config_path, &config, &normalised)?;
        let pads = match config.get("image_aspect_ratio").and_then(Value::as_str) {
            Some(how) => how == "pad",
            // The method needs the whole picture.
            None => {
                high_resolution.is_some() || preprocessor.get("do_pad").and_then(Value::as_bool).unwrap_or(own_names)
            }
        };
        let extra = config.get("extra");
        Ok(Self {
            path: path.to_path_buf(),
            high_resolution,
            pads,
            channels: channels(&preprocessor),
            conversation: extra.and_then(|extra| extra.get("conv_template")?.as_str().map(str::to_owned)),
            longest_prompt: whole(&config, "tokenizer_model_max_length"),
            text: TextFacts::of_folder(path, &config)?,
            config: normalised,
            weights,
        })
    }

    /// How many numbers all tensors hold together.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.weights.parameters()
    }

    /// How many of them the decoder's matrices hold, the token table not counted.
    #[must_use]
    pub fn decoder_parameters(&self) -> u64 {
        let names = self.weights.names().filter(|name| {
            name.starts_with("language_model.") && name.contains("proj") || name.ends_with("lm_head.weight")
        });
        let facts = names.filter_map(|name| self.weights.facts(name));
        facts.map(|facts| facts.shape.iter().map(|side| *side as u64).product::<u64>()).sum()
    }
}

/// The tensors in a folder: safetensors, whole or in shards, or pickles through the converter.
fn tensors(path: &Path) -> Result<Weights, PackError> {
    let options = WeightOptions::default();
    let index = path.join("pytorch_model.bin.index.json");
    let pickle = |file: &Path| -> Result<Weights, PackError> {
        let made = converted(file, &cache_folder()?, &|_, _| std::ops::ControlFlow::Continue(()))?;
        Weights::open_file(&made, &options)
    };
    match find_files(path) {
        Ok(ComponentFiles::Pickle(file)) => pickle(&file),
        Ok(_) => Weights::open(path, &options),
        Err(_) if index.is_file() => {
            let index_value: Value = read_json_as(&index)?;
            let map = index_value.get("weight_map").and_then(Value::as_object);
            let map = map.ok_or_else(|| PackError::config(&index, "it names no weight files"))?;
            let mut names = map.values().filter_map(Value::as_str).collect::<Vec<_>>();
            names.sort_unstable();
            names.dedup();
            let mut all: Option<Weights> = None;
            for name in names {
                if Path::new(name).components().count() != 1 || name.contains(['/', '\\', ':']) || name == ".." {
                    return Err(PackError::Refused {
                        path: index,
                        detail: format!("it names a weight file outside its own folder ({name:?})"),
                    });
                }
                let file = path.join(name);
                if !file.is_file() {
                    return Err(PackError::missing(&file, "a weight file that the model needs"));
                }
                let part = pickle(&file)?;
                all = Some(match all {
                    Some(all) => all.joined(&part)?,
                    None => part,
                });
            }
            all.ok_or_else(|| PackError::config(&index, "it names no weight files"))
        }
        Err(error) => Err(error),
    }
}

/// The newer names of `llava-hf` as the older ones; what no network takes is left out.
fn from_newer_names(name: &str) -> Option<String> {
    if leftover(name) {
        return None;
    }
    let moved = [
        ("model.language_model.", "language_model.model."),
        ("model.vision_tower.", "vision_tower."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
        ("lm_head.", "language_model.lm_head."),
    ];
    let found = moved.iter().find_map(|(from, to)| name.strip_prefix(from).map(|rest| format!("{to}{rest}")));
    Some(found.unwrap_or_else(|| name.to_owned()))
}

/// LLaVA's own names as the older ones of `llava-hf`.
fn from_own_names(name: &str) -> Option<String> {
    if leftover(name) {
        return None;
    }
    let moved = [
        ("model.vision_tower.vision_tower.", "vision_tower."),
        ("model.mm_projector.0.", "multi_modal_projector.linear_1."),
        ("model.mm_projector.2.", "multi_modal_projector.linear_2."),
        ("lm_head.", "language_model.lm_head."),
        ("model.", "language_model.model."),
    ];
    let found = moved.iter().find_map(|(from, to)| name.strip_prefix(from).map(|rest| format!("{to}{rest}")));
    Some(found.unwrap_or_else(|| name.to_owned()))
}

/// Tables that older libraries stored beside the weights.
fn leftover(name: &str) -> bool {
    name.ends_with(".inv_freq") || name.ends_with(".position_ids")
}

/// The decoder's tensors with the projector and the tower, from beside them where the checkpoint has none.
fn with_projector_and_tower(path: &Path, config: &Value, stored: &Weights) -> Result<Weights, PackError> {
    let mut stored = stored.clone();
    if stored.facts("model.mm_projector.0.weight").is_none() {
        let beside = path.join("mm_projector.bin");
        if !beside.is_file() {
            return Err(PackError::TensorMissing {
                path: path.to_path_buf(),
                tensor: "model.mm_projector.0.weight".to_owned(),
                expected: None,
            });
        }
        let made = converted(&beside, &cache_folder()?, &|_, _| std::ops::ControlFlow::Continue(()))?;
        let projector = Weights::open_file(&made, &WeightOptions::default())?;
        stored = stored.joined(&projector)?;
    }
    let has_tower = stored.names().any(|name| name.starts_with("model.vision_tower."));
    let stored = stored.renamed(from_own_names)?;
    if has_tower {
        return Ok(stored);
    }
    let Some(folder) = tower_folder(path, config) else {
        let name = config.get("mm_vision_tower").and_then(Value::as_str).unwrap_or("its vision tower");
        return Err(PackError::missing(
            &path.join(Path::new(name).file_name().unwrap_or_default()),
            format!(
                "the checkpoint does not hold its vision tower ({name}); put the tower's folder, with config.json and \
                 safetensors, there"
            ),
        ));
    };
    let tower = Weights::open(&folder, &WeightOptions::default())?;
    let tower = tower.renamed(|name| {
        (name.starts_with("vision_model.") && !leftover(name)).then(|| format!("vision_tower.{name}"))
    })?;
    stored.joined(&tower)
}

/// The folder of the tower, as the config names it relative to the checkpoint, or by the last part of its name.
fn tower_folder(path: &Path, config: &Value) -> Option<PathBuf> {
    let name = config.get("mm_vision_tower").and_then(Value::as_str)?;
    let last = Path::new(name).file_name()?;
    let beside = path.parent().map(|parent| parent.join(last));
    [Some(path.join(name)), Some(path.join(last)), beside].into_iter().flatten().find(|folder| folder.is_dir())
}

/// A flat config in the form of `llava-hf`.
fn of_flat_config(path: &Path, config: &Value) -> Result<Value, PackError> {
    let config_path = path.join("config.json");
    let fault = |detail: String| PackError::config(&config_path, detail);
    let text = |key: &str, usual: &str| config.get(key).and_then(Value::as_str).unwrap_or(usual).to_owned();
    let kind = text("mm_projector_type", "linear");
    if kind != "mlp2x_gelu" {
        return Err(fault(format!("its projector is of the kind {kind:?}; only mlp2x_gelu is read here")));
    }
    let strategy = match text("mm_vision_select_feature", "patch").as_str() {
        "patch" => "default",
        other => return Err(fault(format!("it takes {other:?} from its vision tower; only \"patch\" is read here"))),
    };
    if text("mm_patch_merge_type", "flat") != "flat" || config.get("mm_use_im_start_end") == Some(&Value::Bool(true)) {
        return Err(fault("it puts pictures into the prompt in another way than LLaVA-1.5 does".to_owned()));
    }
    let tower = match config.get("vision_config").filter(|tower| tower.get("hidden_size").is_some()) {
        Some(tower) => tower.clone(),
        None => tower_config(path, config)?,
    };
    let mut decoder = config.clone();
    if let Some(decoder) = decoder.as_object_mut() {
        // Left over from another config class in published files.
        decoder.remove("text_config");
        decoder.remove("vision_config");
    }
    Ok(json!({
        "text_config": decoder,
        "vision_config": tower,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": config.get("mm_vision_select_layer").cloned().unwrap_or(json!(-2)),
        "vision_feature_select_strategy": strategy,
        "tie_word_embeddings": config.get("tie_word_embeddings").cloned().unwrap_or(Value::Null),
    }))
}

/// The tower's config from its folder, or from the table of known ones.
fn tower_config(path: &Path, config: &Value) -> Result<Value, PackError> {
    if let Some(folder) = tower_folder(path, config) {
        let found: Value = read_json_as(&folder.join("config.json"))?;
        return Ok(found.get("vision_config").cloned().unwrap_or(found));
    }
    let name = config.get("mm_vision_tower").and_then(Value::as_str).unwrap_or_default();
    let known = TOWERS.iter().find(|(known, ..)| Path::new(name).file_name().is_some_and(|last| last == *known));
    let Some((_, side, patch)) = known else {
        return Err(PackError::config(
            &path.join("config.json"),
            format!("it has no vision_config, and its vision tower {name:?} is not known here"),
        ));
    };
    Ok(json!({
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "image_size": side, "patch_size": patch, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5
    }))
}

/// Brings the config in line with the tensors: rows of the token table, layers of the tower that are never run.
fn settle(path: &Path, config: &mut Value, weights: &Weights) -> Result<(), PackError> {
    let fault = |detail: &str| PackError::config(path, detail);
    let table = weights.facts("language_model.model.embed_tokens.weight");
    let root = config.as_object_mut().ok_or_else(|| fault("it is not a JSON object"))?;
    // Null counts as absent, in every part.
    root.retain(|_, value| !value.is_null());
    for part in ["text_config", "vision_config"] {
        let part = root.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let part = part.as_object_mut().ok_or_else(|| fault("its text_config or vision_config is no JSON object"))?;
        part.retain(|_, value| !value.is_null());
    }
    if let (Some(rows), Some(text)) =
        (table.and_then(|facts| facts.shape.first().copied()), root["text_config"].as_object_mut())
    {
        text.insert("vocab_size".to_owned(), json!(rows));
    }
    let tower = &root["vision_config"];
    // `llava-hf` configs name the tower's layers only where they are not the published 24.
    let layers = whole(tower, "num_hidden_layers").unwrap_or(24);
    let read = root.get("vision_feature_layer").cloned().unwrap_or(json!(-2));
    if let Some(layer) = read.as_i64() {
        let states = i64::try_from(layers).unwrap_or(i64::MAX).saturating_add(1);
        let state = if layer < 0 { layer + states } else { layer };
        if !(0..states).contains(&state) {
            return Err(fault(&format!("it reads layer {layer} of a vision tower of {layers}")));
        }
        root.insert("vision_feature_layer".to_owned(), json!(state));
        if let Some(tower) = root["vision_config"].as_object_mut() {
            tower.insert("num_hidden_layers".to_owned(), json!(state));
        }
    }
    Ok(())
}

/// What `extra` says, with the reference's literals for what it leaves out.
fn high_resolution(path: &Path, config: &Value, normalised: &Value) -> Result<Option<HighResolutionFacts>, PackError> {
    let Some(extra) = config.get("extra").filter(|extra| extra.get("zoom_ratio").is_some()) else { return Ok(None) };
    let fault = |detail: String| PackError::config(path, detail);
    let number = |key: &str, usual: usize| -> Result<usize, PackError> {
        let Some(value) = extra.get(key).filter(|value| !value.is_null()) else { return Ok(usual) };
        // Published as texts.
        let found = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        found
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| *value < 1 << 16)
            .ok_or_else(|| fault(format!("its extra.{key} is {value}, not a whole number")))
    };
    let tower = &normalised["vision_config"];
    let (side, patch) = (whole(tower, "image_size").unwrap_or(336), whole(tower, "patch_size").unwrap_or(14).max(1));
    let tiles = number("zoom_ratio", 1)?;
    let low_size = number("lowres_size", side)?;
    let high_size = number("highres_size", low_size.saturating_mul(tiles))?;
    let facts = HighResolutionFacts {
        tiles,
        low_size,
        high_size,
        threshold: number("threshold", 64)? as f32,
        selection_layer: number("selection_layer", 8)?,
        cells: number("pool_size", 9)?,
    };
    // No published model looks at more than 1344 pixels; what claims far more is not worth the memory.
    if low_size != side || high_size != low_size * tiles || !(1..=16).contains(&tiles) || high_size > 1 << 13 {
        return Err(fault(format!(
            "its sizes do not fit: {tiles} × {tiles} tiles of {low_size} pixels make no picture of {high_size}, or the tower \
             takes {side}"
        )));
    }
    let layers = whole(&normalised["text_config"], "num_hidden_layers").unwrap_or(32);
    if facts.selection_layer >= layers || facts.cells == 0 || facts.cells > tiles * (side / patch) {
        return Err(fault(format!(
            "its selection (first in layer {} of {layers}, {} cells a side) cannot be",
            facts.selection_layer, facts.cells
        )));
    }
    Ok(Some(facts))
}

/// Mean and standard deviation of a preprocessor's config; CLIP's where it has none.
fn channels(preprocessor: &Value) -> ([f32; 3], [f32; 3]) {
    let read = |key: &str, usual: [f32; 3]| {
        let values = preprocessor.get(key).and_then(Value::as_array);
        let values = values.and_then(|all| all.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
        match values.as_deref() {
            Some([r, g, b]) if [r, g, b].iter().all(|value| value.is_finite()) => [*r as f32, *g as f32, *b as f32],
            _ => usual,
        }
    };
    let deviation = read("image_std", CLIP_CHANNELS.1);
    let deviation = if deviation.iter().all(|value| *value > 0.0) { deviation } else { CLIP_CHANNELS.1 };
    (read("image_mean", CLIP_CHANNELS.0), deviation)
}

/// A whole number of a config.
fn whole(config: &Value, key: &str) -> Option<usize> {
    config.get(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_layouts_become_one() {
        let own = |name: &str| from_own_names(name).unwrap();
        assert_eq!(
            own("model.layers.3.self_attn.k_proj_hd.weight"),
            "language_model.model.layers.3.self_attn.k_proj_hd.weight"
        );
        assert_eq!(own("model.mm_projector.2.bias"), "multi_modal_projector.linear_2.bias");
        assert_eq!(
            own("model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias"),
            "vision_tower.vision_model.pre_layrnorm.bias"
        );
        assert_eq!(own("lm_head.weight"), "language_model.lm_head.weight");
        assert_eq!(from_own_names("model.layers.0.self_attn.rotary_emb.inv_freq"), None);
        let newer = |name: &str| from_newer_names(name).unwrap();
        assert_eq!(newer("model.language_model.norm.weight"), "language_model.model.norm.weight");
        assert_eq!(newer("language_model.lm_head.weight"), "language_model.lm_head.weight");
        assert_eq!(newer("model.multi_modal_projector.linear_1.weight"), "multi_modal_projector.linear_1.weight");
    }

    fn extra(extra: &Value) -> Result<Option<HighResolutionFacts>, PackError> {
        let config = json!({ "extra": extra });
        let normalised = json!({
            "vision_config": {"image_size": 336, "patch_size": 14}, "text_config": {"num_hidden_layers": 32}
        });
        high_resolution(Path::new("config.json"), &config, &normalised)
    }

    #[test]
    fn the_published_extra_is_read_with_the_codes_literals() {
        let published = json!({
            "highres_size": "1008", "lowres_size": "336", "threshold": "48", "warmup": "10", "zoom_ratio": "3"
        });
        let facts = extra(&published).unwrap().unwrap();
        assert_eq!(
            facts,
            HighResolutionFacts {
                tiles: 3,
                low_size: 336,
                high_size: 1008,
                threshold: 48.0,
                selection_layer: 8,
                cells: 9
            }
        );
        let short = extra(&json!({"zoom_ratio": 2})).unwrap().unwrap();
        assert_eq!((short.high_size, short.threshold), (672, 64.0));
        assert_eq!(extra(&json!({"threshold": "48"})).unwrap(), None);
        let fault = |value: Value| extra(&value).unwrap_err().to_string();
        assert!(fault(json!({"zoom_ratio": "three"})).contains("zoom_ratio"));
        assert!(fault(json!({"zoom_ratio": 0})).contains("do not fit"));
        assert!(fault(json!({"zoom_ratio": 3, "highres_size": "1000"})).contains("do not fit"));
        assert!(fault(json!({"zoom_ratio": 3, "selection_layer": 32})).contains("cannot be"));
        assert!(fault(json!({"zoom_ratio": 3, "pool_size": 0})).contains("cannot be"));
    }

    #[test]
    fn folders_of_other_kinds_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let fault = || LlavaFolder::open(folder.path()).unwrap_err().to_string();
        assert!(fault().contains("config.json"));
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert!(fault().contains("no weight file"));
        std::fs::write(folder.path().join("pytorch_model.bin.index.json"), r#"{"weight_map": {"a": "../b.bin"}}"#)
            .unwrap();
        assert!(fault().contains("outside its own folder"));
        std::fs::write(folder.path().join("pytorch_model.bin.index.json"), r#"{"weight_map": {"a": "b.bin"}}"#)
            .unwrap();
        assert!(fault().contains("b.bin is missing"));
    }
}
