//! A model that is on this disk already: what it is, by its tensors and configs, and an entry for it in the person's own
//! list. Nothing is copied; the files stay where they are.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::backbone::BackboneFolder;
use super::depth::DepthFolder;
use super::diffusers::EditorFolder;
use super::language::LanguageFolder;
use super::llava::LlavaFolder;
use super::manifest::{Layout, Licence, Manifest, Model, Role};
use super::store::Store;
use super::{PackError, read_json_as, read_text, sniff};
use crate::picture::atomic;

/// What a folder or file was recognised as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// How it is laid out.
    pub layout: Layout,
    /// What it can be used for.
    pub roles: Vec<Role>,
}

/// Says what the folder or file `path` is. Pickles are converted the first time they are looked into.
///
/// # Errors
/// The reason why the likeliest kind of model does not open.
pub fn recognise(path: &Path) -> Result<Recognised, PackError> {
    let as_kind = |layout, roles: &[Role]| Recognised { layout, roles: roles.to_vec() };
    let language = [Role::Specifier];
    if path.is_file() {
        if sniff::of_file(path)? == sniff::Content::Gguf {
            return Ok(as_kind(Layout::Llava, &language));
        }
        if EditorFolder::open(path).is_ok() {
            return Ok(as_kind(Layout::Diffusers, &[Role::Editor]));
        }
        return backbone(path).map(|()| as_kind(Layout::Timm, &[Role::Backbone]));
    }
    if !path.is_dir() {
        return Err(PackError::missing(path, "a folder or file with a model was expected there"));
    }
    if path.join("unet").is_dir() || path.join("model_index.json").is_file() {
        return EditorFolder::open(path).map(|_| as_kind(Layout::Diffusers, &[Role::Editor]));
    }
    let config: serde_json::Value = match path.join("config.json") {
        file if file.is_file() => read_json_as(&file)?,
        _ => serde_json::Value::Null,
    };
    if config.get("layout").is_some() {
        return DepthFolder::open(path).map(|_| as_kind(Layout::DepthHead, &[Role::Depth]));
    }
    if ["tokenizer.json", "tokenizer.model"].iter().any(|name| path.join(name).is_file()) {
        let sees = ["vision_config", "mm_vision_tower", "mm_hidden_size"].iter().any(|key| config.get(key).is_some());
        return if sees {
            LlavaFolder::open(path).map(|_| as_kind(Layout::Llava, &[Role::Vlm]))
        } else {
            LanguageFolder::open(path).map(|_| as_kind(Layout::Llava, &language))
        };
    }
    backbone(path).map(|()| as_kind(Layout::Timm, &[Role::Backbone]))
}

/// Refuses what is no vision transformer.
fn backbone(path: &Path) -> Result<(), PackError> {
    let opened = BackboneFolder::open(path)?;
    if opened.weights.names().any(|name| name.starts_with("blocks.")) {
        return Ok(());
    }
    Err(PackError::OtherModel {
        path: path.to_path_buf(),
        detail: "its tensors are those of no editor, vision transformer or language model that is known here"
            .to_owned(),
    })
}

/// An id made of a file's or folder's name.
#[must_use]
pub fn id_of(path: &Path) -> String {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
    let fit = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let id: String = name.chars().map(fit).collect();
    let id = id.trim_matches(['-', '.']).to_owned();
    if id.is_empty() { "model".to_owned() } else { id }
}

/// Recognises `path` and enters it into the person's own list as `id` (by default a name made of the path's).
///
/// # Errors
/// As [`recognise`], and if the id is taken or the list cannot be written.
pub fn import(store: &Store, path: &Path, id: Option<&str>) -> Result<Model, PackError> {
    let path = std::path::absolute(path).map_err(PackError::io(path, "found"))?;
    let Recognised { layout, roles } = recognise(&path)?;
    let id = id.map_or_else(|| id_of(&path), str::to_owned);
    let list = own_list(store)?;
    if store.manifest().model(&id).is_some() || store.manifest().pack(&id).is_some() {
        return Err(PackError::config(list, format!("the id {id} is taken; choose another")));
    }
    if path.to_str().is_none() {
        return Err(PackError::config(list, format!("the path {} cannot be written as text", path.display())));
    }
    let name = path.file_name().map_or_else(|| id.clone(), |name| name.to_string_lossy().into_owned());
    let model = Model {
        id,
        name,
        about: "Imported from a folder on this machine.".to_owned(),
        roles,
        layout,
        folder: None,
        path: Some(path),
        repository: None,
        revision: None,
        file: None,
        sha256: None,
        original: None,
        dtype: String::new(),
        architecture: None,
        megabytes: None,
        licence: Licence { name: "not stated".to_owned(), link: None, confirmed: false },
        unconfirmed: None,
        defaults: None,
    };
    append(list, &model)?;
    Ok(model)
}

fn own_list(store: &Store) -> Result<&PathBuf, PackError> {
    let list = store.places().own_list.as_ref();
    list.ok_or_else(|| PackError::missing(Path::new("models.toml"), "the system names no folder for settings"))
}

/// Adds an entry at the end of the person's own list; what stands in it, comments included, stays as it is.
fn append(list: &Path, model: &Model) -> Result<(), PackError> {
    let mut text = if list.is_file() { read_text(list)? } else { String::new() };
    let entry = Manifest { models: vec![model.clone()], packs: Vec::new() };
    let entry = toml::to_string(&Entries { model: &entry.models })
        .map_err(|error| PackError::config(list, format!("the entry cannot be written ({error})")))?;
    if !text.is_empty() {
        text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
    }
    text.push_str(&entry);
    toml::from_str::<Manifest>(&text).map_err(|error| PackError::config(list, error.to_string().trim().to_owned()))?;
    if let Some(folder) = list.parent() {
        std::fs::create_dir_all(folder).map_err(PackError::io(folder, "made"))?;
    }
    atomic::write(list, |out| out.write_all(text.as_bytes())).map_err(PackError::io(list, "written"))
}

#[derive(serde::Serialize)]
struct Entries<'a> {
    model: &'a [Model],
}

#[cfg(test)]
mod tests {
    use super::super::store::Places;
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_content() {
        let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter");
        for (folder, layout, role) in [
            ("editor", Layout::Diffusers, Role::Editor),
            ("backbone", Layout::Timm, Role::Backbone),
            ("ask", Layout::Llava, Role::Vlm),
            ("depth", Layout::DepthHead, Role::Depth),
        ] {
            assert_eq!(recognise(&starter.join(folder)).unwrap(), Recognised { layout, roles: vec![role] }, "{folder}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(recognise(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
        std::fs::write(folder.path().join("page.safetensors"), "<html>").unwrap();
        assert!(recognise(&folder.path().join("page.safetensors")).is_err());
        assert_eq!(id_of(Path::new("/a/My Model (v2)")), "my-model--v2");
        assert_eq!(id_of(Path::new("/a/日本")), "model");
    }

    #[test]
    fn an_import_is_an_entry_in_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("config/models.toml");
        let places = Places { own_list: Some(own.clone()), ..Places::default() };
        let backbone = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/starter/backbone");
        let open = || Store::at(places.clone()).unwrap();
        assert_eq!(import(&open(), &backbone, None).unwrap().id, "backbone");
        assert!(import(&open(), &backbone, None).unwrap_err().to_string().contains("taken"));
        std::fs::write(&own, std::fs::read_to_string(&own).unwrap() + "# mine").unwrap();
        import(&open(), &backbone, Some("again")).unwrap();
        assert!(std::fs::read_to_string(&own).unwrap().contains("# mine"));
        assert_eq!(open().find("again", Role::Backbone).unwrap().path, backbone);
    }
}
