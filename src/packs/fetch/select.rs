//! Which of a repository's files a model needs: repositories hold the same weights several times over, in several forms.
//!
//! Of each network one form of weights is taken, safetensors before pickles, and half precision only where the list of
//! models says that the model is used so (or there is nothing else). What is chosen is what
//! [`find_files`](crate::packs::weights::find_files) will find later.

use super::FetchError;
use super::listing::{Listing, RemoteFile};
use crate::packs::manifest::{Layout, Model};

/// Folders of an editor that hold a network.
const NETWORKS: [&str; 3] = ["unet", "vae", "text_encoder"];

/// Files of text that lie beside a language model's weights.
const TEXTS: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",
    "vocab.json",
];

/// The files of `listing` that `model` needs, in the order of their paths.
///
/// # Errors
/// [`FetchError::Incomplete`] if the repository lacks one.
pub(super) fn needed(model: &Model, listing: &Listing) -> Result<Vec<RemoteFile>, FetchError> {
    let repository = model.repository.clone().unwrap_or_default();
    let wanted = Wanted { files: &listing.files, half: model.dtype == "f16" || model.dtype == "bf16" };
    let missing = |what: String| FetchError::Incomplete { repository: repository.clone(), what };
    let mut chosen: Vec<&RemoteFile> = Vec::new();
    if let Some(name) = &model.file {
        chosen.push(wanted.named(name).ok_or_else(|| missing(name.clone()))?);
    } else if model.layout == Layout::Diffusers {
        chosen.extend(wanted.named("model_index.json"));
        for folder in NETWORKS {
            let config = format!("{folder}/config.json");
            chosen.push(wanted.named(&config).ok_or_else(|| missing(config))?);
            let weights = wanted.weights(folder);
            chosen.extend(weights.ok_or_else(|| missing(format!("file of weights in {folder}/")))?);
        }
        let scheduler = "scheduler/scheduler_config.json";
        chosen.push(wanted.named(scheduler).ok_or_else(|| missing(scheduler.to_owned()))?);
        let tokenizer: Vec<_> = wanted.in_folder("tokenizer").filter(|(name, _)| is_text(name)).collect();
        if tokenizer.is_empty() {
            return Err(missing("tokenizer/vocab.json".to_owned()));
        }
        chosen.extend(tokenizer.into_iter().map(|(_, file)| file));
    } else {
        let config = "config.json";
        chosen.push(wanted.named(config).ok_or_else(|| missing(config.to_owned()))?);
        chosen.extend(wanted.weights("").ok_or_else(|| missing("file of weights".to_owned()))?);
        chosen.extend(TEXTS.iter().filter_map(|name| wanted.named(name)));
        // LLaVA's own repositories keep the projector beside weights that lack it.
        chosen.extend(wanted.named("mm_projector.bin").filter(|_| model.layout == Layout::Llava));
    }
    // The terms go with the weights.
    let terms = wanted.in_folder("").filter(|(name, file)| is_terms(name) && file.bytes < 1 << 20);
    chosen.extend(terms.map(|(_, file)| file));
    let mut chosen: Vec<RemoteFile> = chosen.into_iter().cloned().collect();
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    chosen.dedup_by(|a, b| a.path == b.path);
    Ok(chosen)
}

struct Wanted<'a> {
    files: &'a [RemoteFile],
    half: bool,
}

impl<'a> Wanted<'a> {
    fn named(&self, path: &str) -> Option<&'a RemoteFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files directly in `folder` with their names.
    fn in_folder(&self, folder: &str) -> impl Iterator<Item = (&'a str, &'a RemoteFile)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inside = move |file: &'a RemoteFile| {
            let name = file.path.strip_prefix(&prefix)?;
            (!name.contains('/')).then_some((name, file))
        };
        self.files.iter().filter_map(inside)
    }

    /// One form of the weights in `folder`, whole or in shards.
    fn weights(&self, folder: &str) -> Option<Vec<&'a RemoteFile>> {
        let there: Vec<_> = self.in_folder(folder).collect();
        let precisions = if self.half { [".fp16", ""] } else { ["", ".fp16"] };
        for ending in ["safetensors", "bin"] {
            let stems: &[&str] = match ending {
                "bin" => &["diffusion_pytorch_model", "pytorch_model"],
                _ => &["diffusion_pytorch_model", "model"],
            };
            for precision in precisions {
                for stem in stems {
                    let single = format!("{stem}{precision}.{ending}");
                    if let Some((_, file)) = there.iter().find(|(name, _)| *name == single) {
                        return Some(vec![file]);
                    }
                    if let Some(shards) = shards(&there, stem, precision, ending) {
                        return Some(shards);
                    }
                }
            }
            // A single file under a name of its own.
            let others: Vec<_> = there.iter().filter(|(name, _)| name.ends_with(".safetensors")).collect();
            if let ([(_, only)], "safetensors") = (others.as_slice(), ending) {
                return Some(vec![only]);
            }
        }
        None
    }
}

/// An index with the shards that belong to it, by the way in which the libraries name them.
fn shards<'a>(
    there: &[(&str, &'a RemoteFile)],
    stem: &str,
    precision: &str,
    ending: &str,
) -> Option<Vec<&'a RemoteFile>> {
    // The libraries have put the precision in three places over the years.
    let indices = [
        format!("{stem}{precision}.{ending}.index.json"),
        format!("{stem}.{ending}.index{precision}.json"),
        format!("{stem}.{ending}{precision}.index.json"),
    ];
    let (_, index) = there.iter().find(|(name, _)| indices.iter().any(|known| known == name))?;
    let is_shard = |name: &str| {
        let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(&format!(".{ending}")));
        let numbers = rest.and_then(|rest| match precision {
            "" => Some(rest),
            precision => rest.strip_prefix(precision).or_else(|| rest.strip_suffix(precision)),
        });
        numbers.is_some_and(|numbers| {
            let parts: Vec<_> = numbers.split('-').collect();
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            matches!(parts.as_slice(), ["", number, "of", count] if digits(number) && digits(count))
        })
    };
    let mut found: Vec<_> = there.iter().filter(|(name, _)| is_shard(name)).map(|(_, file)| *file).collect();
    if found.is_empty() {
        return None;
    }
    found.push(index);
    Some(found)
}

/// Files that a tokenizer is read from.
fn is_text(name: &str) -> bool {
    [".json", ".txt", ".model", ".jinja"].iter().any(|ending| name.ends_with(ending))
}

fn is_terms(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["LICENSE", "LICENCE", "NOTICE", "USE_POLICY"].iter().any(|word| upper.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packs::manifest::Manifest;

    fn chosen(id: &str, dtype: &str, paths: &[&str]) -> Result<Vec<String>, String> {
        let mut model = Manifest::built_in().unwrap().model(id).unwrap().clone();
        model.dtype = dtype.to_owned();
        let files = paths.iter().map(|path| RemoteFile { path: (*path).to_owned(), bytes: 9, hash: None }).collect();
        let listing = Listing { commit: "0".repeat(40), files };
        let found = needed(&model, &listing).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|file| file.path).collect())
    }

    /// As timbrooks/instruct-pix2pix lists itself, with what an editor does not need beside it.
    const EDITOR: [&str; 24] = [
        ".gitattributes",
        "README.md",
        "feature_extractor/preprocessor_config.json",
        "instruct-pix2pix-00-22000.safetensors",
        "model_index.json",
        "safety_checker/config.json",
        "safety_checker/model.safetensors",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/model.safetensors",
        "text_encoder/pytorch_model.bin",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.safetensors",
    ];

    #[test]
    fn an_editor_is_taken_once() {
        let whole = chosen("instruct-pix2pix", "f32", &EDITOR).unwrap();
        assert_eq!(
            whole,
            [
                "model_index.json",
                "scheduler/scheduler_config.json",
                "text_encoder/config.json",
                "text_encoder/model.safetensors",
                "tokenizer/merges.txt",
                "tokenizer/special_tokens_map.json",
                "tokenizer/tokenizer_config.json",
                "tokenizer/vocab.json",
                "unet/config.json",
                "unet/diffusion_pytorch_model.safetensors",
                "vae/config.json",
                "vae/diffusion_pytorch_model.safetensors",
            ]
        );
        let half = chosen("instruct-pix2pix", "f16", &EDITOR).unwrap();
        assert!(half.contains(&"unet/diffusion_pytorch_model.fp16.safetensors".to_owned()));
        assert!(half.contains(&"vae/diffusion_pytorch_model.safetensors".to_owned()));
        assert_eq!(half.len(), whole.len());
        let pickles: Vec<&str> = EDITOR.iter().copied().filter(|path| !path.ends_with("safetensors")).collect();
        let pickled = chosen("instruct-pix2pix", "f16", &pickles).unwrap();
        assert!(pickled.contains(&"unet/diffusion_pytorch_model.fp16.bin".to_owned()), "{pickled:?}");
        assert!(pickled.contains(&"text_encoder/pytorch_model.bin".to_owned()));
        let lame: Vec<&str> = EDITOR.iter().copied().filter(|path| !path.starts_with("vae/diff")).collect();
        assert!(chosen("instruct-pix2pix", "f32", &lame).unwrap_err().contains("weights in vae/"));
    }

    #[test]
    fn shards_go_with_their_index() {
        let files = [
            "LICENSE",
            "config.json",
            "generation_config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.fp16-00001-of-00001.safetensors",
            "model.safetensors.index.fp16.json",
            "model.safetensors.index.json",
            "mm_projector.bin",
            "pytorch_model-00001-of-00001.bin",
            "pytorch_model.bin.index.json",
            "tokenizer.json",
            "trainer_state.json",
        ];
        let taken = chosen("llava-1.5-7b", "f32", &files).unwrap();
        assert_eq!(
            taken,
            [
                "LICENSE",
                "config.json",
                "generation_config.json",
                "mm_projector.bin",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "tokenizer.json",
            ]
        );
        let half = chosen("llava-1.5-7b", "f16", &files).unwrap();
        assert!(half.contains(&"model.fp16-00001-of-00001.safetensors".to_owned()));
        assert!(!half.contains(&"model-00001-of-00002.safetensors".to_owned()));
        let pickled: Vec<&str> = files.iter().copied().filter(|name| !name.starts_with("model")).collect();
        assert!(
            chosen("llava-1.5-7b", "f16", &pickled).unwrap().contains(&"pytorch_model-00001-of-00001.bin".to_owned())
        );
    }

    #[test]
    fn a_backbone_and_a_single_file() {
        let files =
            ["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "dinov2_small_finetuned.pth"];
        assert_eq!(chosen("dinov2-small", "f32", &files).unwrap(), ["config.json", "model.safetensors"]);
        assert_eq!(
            chosen("dinov2-small", "f32", &["config.json", "pytorch_model.bin"]).unwrap(),
            ["config.json", "pytorch_model.bin"]
        );
        assert_eq!(chosen("fit3d-dinov2-small", "f32", &files).unwrap(), ["dinov2_small_finetuned.pth"]);
        assert!(chosen("fit3d-mae-base", "f32", &files).unwrap_err().contains("mae_base_finetuned.pth"));
        assert!(chosen("dinov2-small", "f32", &files[2..]).unwrap_err().contains("config.json"));
    }
}
