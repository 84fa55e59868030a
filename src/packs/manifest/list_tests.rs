//! What the list that comes with the program has to be: every role filled, nothing that the program cannot open, sizes that
//! the networks' shapes account for, terms with a link.

use std::path::Path;

use super::{Layout, Manifest, Model, Role};
use crate::packs::architecture::Architecture;

const ROLES: [Role; 6] = [Role::Editor, Role::Specifier, Role::Captioner, Role::Backbone, Role::Vlm, Role::Depth];

fn list() -> Manifest {
    Manifest::built_in().unwrap()
}

/// The least and the most that a number takes in files that say they hold `dtype`, in bytes.
fn width(dtype: &str) -> Option<(f64, f64)> {
    Some(match dtype {
        "f32" => (4.0, 4.0),
        "f16" | "bf16" => (2.0, 2.0),
        "f16 and f32" => (2.0, 4.0),
        // Blocks of 4 bits with some of 6, tables and norms finer.
        "q4_k_m" => (0.58, 0.68),
        _ => return None,
    })
}

#[test]
fn every_pack_fills_every_role() {
    let list = list();
    for name in ["starter", "paper", "laptop"] {
        let pack = list.pack(name).unwrap();
        for role in ROLES {
            let id = pack.models.get(&role).unwrap_or_else(|| panic!("{name} lacks a {role}"));
            assert!(list.model(id).unwrap().roles.contains(&role), "{name}: {id} is no {role}");
        }
        assert!(!pack.about.is_empty());
    }
    // The starter needs nothing that is not here.
    assert!(list.pack("starter").unwrap().models.values().all(|id| list.model(id).unwrap().folder.is_some()));
}

#[test]
fn ids_are_unique_and_models_are_told_apart() {
    let list = list();
    let mut ids: Vec<&str> = list.models.iter().map(|model| model.id.as_str()).collect();
    ids.extend(list.packs.iter().map(|pack| pack.id.as_str()));
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    let mut names: Vec<&str> = list.models.iter().map(|model| model.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), list.models.len());
}

#[test]
fn what_the_papers_used_is_there() {
    let list = list();
    for id in [
        "instruct-pix2pix",
        "magicbrush",
        "magicbrush-paper",
        "hq-edit",
        "dinov2-small",
        "dinov2-base",
        "dinov2-reg-small",
        "clip-base",
        "mae-base",
        "deit3-base",
        "llava-1.5-7b",
        "llava-flexattn-7b",
    ] {
        assert!(list.model(id).is_some(), "{id}");
    }
    let tuned: Vec<&Model> = list.models.iter().filter(|model| model.id.starts_with("fit3d-")).collect();
    assert_eq!(tuned.len(), 6);
    assert!(tuned.iter().all(|model| model.original.is_some() && model.sha256.is_some()));
}

#[test]
fn published_models_have_a_place_a_size_terms_and_a_shape() {
    for model in list().models.iter().filter(|model| model.folder.is_none()) {
        let id = &model.id;
        let repository = model.repository.as_ref().unwrap_or_else(|| panic!("{id} has no repository"));
        assert!(repository.split('/').count() == 2, "{id}: {repository}");
        let link = model.licence.link.as_ref().unwrap_or_else(|| panic!("{id} has no link to its licence"));
        assert!(link.starts_with("https://"), "{id}: {link}");
        assert!(model.megabytes.is_some() && model.architecture.is_some(), "{id}");
        let commit = |text: &String| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(model.revision.as_ref().is_none_or(commit), "{id}: a commit's whole name pins it");
        let hash = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(model.sha256.as_ref().is_none_or(hash), "{id}");
        assert!(model.sha256.is_none() || model.file.is_some(), "{id}: a hash of what?");
        // A file that nothing identifies is said to be so.
        let said = model.unconfirmed.as_ref().is_some_and(|what| what.contains("hash"));
        assert!(model.file.is_none() || model.sha256.is_some() || said, "{id}");
        assert!(model.licence.confirmed || model.unconfirmed.is_some(), "{id}: unconfirmed terms have to be said");
    }
}

#[test]
fn sizes_are_what_the_shapes_account_for() {
    for model in list().models.iter().filter(|model| model.folder.is_none()) {
        let id = &model.id;
        let numbers = model.architecture.as_ref().unwrap().parameters() as f64;
        let (least, most) = width(&model.dtype).unwrap_or_else(|| panic!("{id}: {:?} is no known dtype", model.dtype));
        let bytes = model.megabytes.unwrap() as f64 * 1e6;
        // Headers, tokenizers and configs come on top, and the list is rounded.
        let slack = 0.01 * bytes + 2e6;
        assert!(
            bytes > numbers * least - slack && bytes < numbers * most + slack,
            "{id}: {bytes} bytes, and {numbers} numbers of {least} to {most} bytes"
        );
        assert_eq!(model.weight_bytes(2.0), Some(2 * numbers as u64), "{id}");
    }
}

#[test]
fn layouts_roles_and_shapes_fit_each_other() {
    for model in &list().models {
        let id = &model.id;
        let role = |role: Role| model.roles.contains(&role);
        let fits = match model.layout {
            Layout::Diffusers => role(Role::Editor) && model.defaults.is_some(),
            Layout::Timm => role(Role::Backbone),
            Layout::Llava => role(Role::Vlm) || role(Role::Captioner),
            // What only writes describes no picture.
            Layout::Chat => role(Role::Specifier) && !role(Role::Captioner),
            Layout::DepthHead | Layout::DepthAnything => role(Role::Depth),
        };
        assert!(fits, "{id}");
        let shape = match &model.architecture {
            None => model.folder.is_some(),
            Some(Architecture::Editor(_)) => model.layout == Layout::Diffusers,
            Some(Architecture::Vit(_)) => model.layout == Layout::Timm,
            Some(Architecture::Decoder(_)) => model.layout == Layout::Chat,
            Some(Architecture::Llava(_)) => model.layout == Layout::Llava,
            Some(Architecture::DepthAnything(_)) => model.layout == Layout::DepthAnything,
        };
        assert!(shape, "{id}");
        if let Some(folder) = &model.folder {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(folder).is_dir(), "{id}: {folder}");
        }
    }
}
