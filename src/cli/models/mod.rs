//! `glassbox models`: which models there are, where they are, whether their files are whole; fetching and removing them.

mod fetch;
mod list;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::progress::Foreground;
use crate::engine::jobs::verify::VerifyJob;
use crate::packs::fetch::{remove, state};
use crate::packs::import::import;
use crate::packs::manifest::Model;
use crate::packs::store::Store;

/// What to do with the models.
#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// List every model and pack, and whether it is on this machine.
    List {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show one model: what it is for, where it comes from, its terms and defaults.
    Show {
        /// The model's name.
        model: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Fetch models (names of models or packs), or what is missing or damaged of them.
    ///
    /// HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and HTTPS_PROXY are respected. What was interrupted goes on.
    Fetch(fetch::FetchArgs),
    /// Put a model that is on this disk already into the list. Nothing is copied.
    Import {
        /// Its folder, or its file.
        path: PathBuf,
        /// What it is to be called; by default a name made of the path's.
        #[arg(long)]
        id: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Remove the files of a model that was fetched, and what a fetch has begun.
    Remove {
        /// The model's name.
        model: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check the files of a model (a name or a folder); those that were fetched against the published hashes.
    Verify {
        /// The model's name, or a folder or file.
        model: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the folder of a model, or without a name the folders that are looked in.
    Where {
        /// The model's name.
        model: Option<String>,
    },
}

/// Runs `glassbox models …`.
///
/// # Errors
/// If the list cannot be read, a name is unknown, or a file fails its check.
pub(super) fn run(command: &Models) -> anyhow::Result<()> {
    let store = Store::open()?;
    let mut out = std::io::stdout().lock();
    match command {
        Models::List { json } => list::run(&store, *json, &mut out),
        Models::Fetch(args) => fetch::run(&store, args, &mut out),
        Models::Import { path, id, json } => take_in(&store, path, id.as_deref(), *json, &mut out),
        Models::Remove { model, json } => take_away(&store, model, *json, &mut out),
        Models::Show { model, json } => show(&store, model, *json, &mut out),
        Models::Verify { model, json } => check(&store, model, *json, &mut out),
        Models::Where { model } => whereabouts(&store, model.as_deref(), &mut out),
    }
}

fn roles(model: &Model) -> String {
    model.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The listed model `id`.
fn listed<'a>(store: &'a Store, id: &str) -> anyhow::Result<&'a Model> {
    let model = store.manifest().model(id);
    model.with_context(|| format!("no model is called {id:?}; `glassbox models list` names them all"))
}

fn show(store: &Store, id: &str, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let model = listed(store, id)?;
    let found = store.locate(model);
    if json {
        writeln!(out, "{}", json!({ "model": model, "found": found, "state": state(store, model).word() }))?;
        return Ok(());
    }
    writeln!(out, "{} ({})\n{}", model.name, roles(model), model.about)?;
    let doubt = if model.licence.confirmed { "" } else { " (unconfirmed)" };
    writeln!(out, "licence     {}{doubt} {}", model.licence.name, model.licence.link.as_deref().unwrap_or(""))?;
    if let Some(repository) = &model.repository {
        writeln!(out, "published   {repository} {}", model.revision.as_deref().unwrap_or(""))?;
    }
    if let Some(file) = &model.file {
        writeln!(out, "file        {file} (SHA-256 {})", model.sha256.as_deref().unwrap_or("not known"))?;
    }
    if let Some(original) = &model.original {
        writeln!(out, "tuned from  {original}")?;
    }
    if let Some(doubt) = &model.unconfirmed {
        writeln!(out, "unconfirmed {doubt}")?;
    }
    if let Some(megabytes) = model.megabytes {
        writeln!(out, "size        about {megabytes} MB")?;
    }
    if let Some(d) = &model.defaults {
        writeln!(
            out,
            "defaults    {}, {} steps, text {}, specific {}, image {}, {} px",
            d.scheduler, d.steps, d.guidance, d.specific_guidance, d.image_guidance, d.size
        )?;
    }
    writeln!(out, "state       {}", list::in_words(&state(store, model)))?;
    let place = found.map_or_else(|| "not on this machine".into(), |path| path.display().to_string());
    writeln!(out, "folder      {place}")?;
    Ok(())
}

fn check(store: &Store, name: &str, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = match store.manifest().model(name) {
        Some(model) => store.locate(model).with_context(|| format!("the model {name} is not on this machine"))?,
        None => PathBuf::from(name),
    };
    anyhow::ensure!(folder.exists(), "{name:?} is neither a model in the list nor a folder");
    let checked = Foreground::start(json)?.run(VerifyJob { name: name.to_owned(), path: folder.clone() })?;
    let faults = checked.iter().filter(|file| file.fault.is_some()).count();
    if json {
        let files: Vec<_> = checked
            .iter()
            .map(|file| json!({ "path": file.path, "bytes": file.bytes, "fault": file.fault.as_ref().map(ToString::to_string) }))
            .collect();
        writeln!(out, "{}", json!({ "folder": folder, "files": files, "faults": faults }))?;
    } else {
        for file in &checked {
            match &file.fault {
                None => writeln!(out, "good  {} ({} bytes)", file.path.display(), file.bytes)?,
                Some(fault) => writeln!(out, "BAD   {fault}")?,
            }
        }
    }
    anyhow::ensure!(faults == 0, "{faults} of {} files failed the check", checked.len());
    Ok(())
}

fn take_in(
    store: &Store,
    path: &std::path::Path,
    id: Option<&str>,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let model = import(store, path, id)?;
    if json {
        writeln!(out, "{}", json!({ "model": model, "list": store.places().own_list }))?;
    } else {
        writeln!(out, "{} is now in the list as {} ({})", path.display(), model.id, roles(&model))?;
    }
    Ok(())
}

fn take_away(store: &Store, id: &str, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let freed = remove(store, listed(store, id)?)?;
    if json {
        writeln!(out, "{}", json!({ "id": id, "bytes": freed }))?;
    } else {
        writeln!(out, "{id} is removed; {} are free again", crate::engine::bytes_in_words(freed))?;
    }
    Ok(())
}

fn whereabouts(store: &Store, model: Option<&str>, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(id) = model {
        let path = store.locate(listed(store, id)?);
        let path = path.with_context(|| format!("the model {id} is not on this machine"))?;
        writeln!(out, "{}", path.display())?;
        return Ok(());
    }
    let places = store.places();
    for path in &places.assets {
        writeln!(out, "assets      {}", path.display())?;
    }
    if let Some(path) = &places.models {
        writeln!(out, "models      {}", path.display())?;
    }
    for path in &places.hub_caches {
        writeln!(out, "hub cache   {} (only read)", path.display())?;
    }
    if let Some(path) = &places.own_list {
        writeln!(out, "own list    {}", path.display())?;
    }
    Ok(())
}
