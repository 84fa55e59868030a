//! `glassbox models fetch`: models by name, or all of a pack.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::super::progress::Foreground;
use crate::engine::bytes_in_words;
use crate::engine::jobs::fetch::{FetchJob, PauseSwitch};
use crate::packs::fetch::{Fetched, HubSettings, ModelState, Source, state};
use crate::packs::manifest::Model;
use crate::packs::store::Store;

/// What to fetch.
#[derive(Debug, Args)]
pub(in crate::cli) struct FetchArgs {
    /// Names of models or packs.
    #[arg(required = true)]
    names: Vec<String>,
    /// Accept licences that forbid commercial use.
    #[arg(long, alias = "accept-license")]
    accept_licence: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(store: &Store, args: &FetchArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let models = named(store, &args.names)?;
    let hub = HubSettings::from_environment();
    let foreground = Foreground::start(args.json)?;
    let mut told = Vec::new();
    for model in models {
        // What lies elsewhere is not fetched a second time.
        let elsewhere = match state(store, model) {
            ModelState::Bundled(path) => Some((path, "comes with the program")),
            ModelState::Own(path) => Some((path, "lies in a folder of yours")),
            _ => None,
        };
        if let Some((path, words)) = elsewhere {
            if !args.json {
                writeln!(out, "{} {words}: {}", model.id, path.display())?;
            }
            told.push(json!({ "id": model.id, "path": path, "source": "elsewhere" }));
            continue;
        }
        let (hub, accept_licence) = (hub.clone(), args.accept_licence);
        let (store, pause) = (store.clone(), PauseSwitch::default());
        let fetched = foreground.run(FetchJob { store, model: model.clone(), hub, accept_licence, pause })?;
        if !args.json {
            writeln!(out, "{}", sentence(model, &fetched))?;
        }
        told.push(as_json(model, &fetched));
    }
    if args.json {
        writeln!(out, "{}", json!({ "models": told }))?;
    }
    Ok(())
}

/// The models that `names` mean, each once.
fn named<'a>(store: &'a Store, names: &[String]) -> anyhow::Result<Vec<&'a Model>> {
    let manifest = store.manifest();
    let mut models: Vec<&Model> = Vec::new();
    for name in names {
        let ids: Vec<&String> = match manifest.pack(name) {
            Some(pack) => pack.models.values().collect(),
            None => vec![name],
        };
        for id in ids {
            let model = manifest.model(id);
            let model = model
                .with_context(|| format!("no model or pack is called {id:?}; `glassbox models list` names them all"))?;
            if !models.iter().any(|known| known.id == model.id) {
                models.push(model);
            }
        }
    }
    Ok(models)
}

fn sentence(model: &Model, fetched: &Fetched) -> String {
    let what = format!("{} ({} files, {})", model.id, fetched.files, bytes_in_words(fetched.bytes));
    let path = fetched.path.display();
    match fetched.source {
        Source::Here => format!("{what} was here already, whole: {path}"),
        Source::Cache => format!("{what} is used from the cache of another program: {path}"),
        Source::Fetched => format!("{what} is fetched and checked: {path}"),
    }
}

fn as_json(model: &Model, fetched: &Fetched) -> Value {
    let source = match fetched.source {
        Source::Here => "here",
        Source::Cache => "cache",
        Source::Fetched => "fetched",
    };
    json!({
        "id": model.id, "path": fetched.path, "commit": fetched.commit, "files": fetched.files,
        "bytes": fetched.bytes, "source": source,
    })
}
