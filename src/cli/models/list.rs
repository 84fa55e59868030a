//! `glassbox models list`: every model and pack, and what is here of each.

use std::io::Write;

use serde_json::json;

use super::roles;
use crate::engine::bytes_in_words;
use crate::packs::fetch::{ModelState, state};
use crate::packs::store::Store;

pub(super) fn run(store: &Store, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let manifest = store.manifest();
    if json {
        let of = |model| {
            let state = state(store, model);
            let (done, total) = match state {
                ModelState::Partial { done, total } => (Some(done), Some(total)),
                _ => (None, None),
            };
            json!({
                "model": model, "found": store.locate(model), "state": state.word(), "bytes": done, "of": total,
            })
        };
        let models: Vec<_> = manifest.models.iter().map(of).collect();
        writeln!(out, "{}", json!({ "models": models, "packs": manifest.packs }))?;
        return Ok(());
    }
    for model in &manifest.models {
        let size = model.megabytes.map_or_else(String::new, |megabytes| format!("{megabytes} MB"));
        writeln!(out, "{:<24} {:<22} {size:>9}  {}", model.id, roles(model), in_words(&state(store, model)))?;
    }
    for pack in &manifest.packs {
        let parts: Vec<String> = pack.models.iter().map(|(role, id)| format!("{role} {id}")).collect();
        writeln!(out, "pack {:<19} {}", pack.id, parts.join(", "))?;
    }
    Ok(())
}

/// The state in a few words.
pub(super) fn in_words(state: &ModelState) -> String {
    match state {
        ModelState::Bundled(_) => "here, comes with the program".to_owned(),
        ModelState::Own(_) => "here, in a folder of yours".to_owned(),
        ModelState::Installed(_) => "here".to_owned(),
        ModelState::Cached(_) => "here, in the cache of another program".to_owned(),
        ModelState::Damaged { fault, .. } => format!("damaged, fetch it again to repair it ({fault})"),
        ModelState::Partial { done, total } => {
            format!("begun, {} of {} are here", bytes_in_words(*done), bytes_in_words(*total))
        }
        ModelState::Available => "can be fetched".to_owned(),
        ModelState::Lost => "its files are gone".to_owned(),
    }
}
