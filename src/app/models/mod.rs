//! The Models page: what there is for each role, what of it is on this machine, and fetching, checking, importing and
//! removing it. `page` draws it.
//!
//! Fetches and checks run on an engine of their own, so that the lenses go on working beside them; the list is read in
//! the background.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use egui::Context;

use super::Glassbox;
use super::background::Background;
use super::notices::{Level, as_sentence};
use crate::engine::jobs::fetch::{FetchJob, PauseSwitch};
use crate::engine::jobs::verify::VerifyJob;
use crate::engine::{Engine, JobError, Ticket, bytes_in_words};
use crate::packs::fetch::{Fetched, HubSettings, ModelState, remove, state, to_accept};
use crate::packs::import::import;
use crate::packs::manifest::Model;
use crate::packs::store::{Places, Store};
use crate::packs::verify::Checked;

/// Where the page looks for models, and the hub it fetches from.
#[derive(Clone, Debug)]
pub struct ModelsAt {
    /// The folders that are looked in.
    pub places: Places,
    /// The hub.
    pub hub: HubSettings,
}

impl Default for ModelsAt {
    fn default() -> Self {
        Self { places: Places::of_this_machine(), hub: HubSettings::from_environment() }
    }
}

/// A model in the list.
#[derive(Clone)]
struct Entry {
    model: Model,
    state: ModelState,
    /// Whether its terms have to be accepted first.
    to_accept: bool,
}

/// What is done about a model now.
enum Work {
    Fetch { ticket: Ticket<Fetched>, pause: PauseSwitch },
    Check(Ticket<Vec<Checked>>),
}

/// What became of the last thing done about a model.
struct Outcome {
    words: String,
    good: bool,
}

/// The state of the page. It lives on while the page is closed, with what it fetches.
pub(super) struct ModelsPage {
    at: ModelsAt,
    listing: Option<Background<Vec<Entry>>>,
    entries: Vec<Entry>,
    /// Why there is no list.
    fault: Option<String>,
    /// Started with the first fetch or check.
    engine: Option<Engine>,
    work: BTreeMap<String, Work>,
    outcomes: BTreeMap<String, Outcome>,
    accepted: BTreeSet<String>,
    /// The model whose removal has to be confirmed.
    removing: Option<String>,
    /// Removals and imports under way; each brings a sentence.
    chores: Vec<Background<String>>,
    import_path: String,
    /// Whether the list was asked for since the page was opened.
    looked: bool,
}

impl ModelsPage {
    pub(super) fn new(at: ModelsAt) -> Self {
        Self {
            at,
            listing: None,
            entries: Vec::new(),
            fault: None,
            engine: None,
            work: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            accepted: BTreeSet::new(),
            removing: None,
            chores: Vec::new(),
            import_path: String::new(),
            looked: false,
        }
    }

    /// The page is closed; when it is opened again, the list is read again.
    pub(super) fn leave(&mut self) {
        self.looked = false;
        self.removing = None;
    }

    /// Reads the list anew.
    fn look(&mut self, ctx: &Context) {
        let (places, ctx) = (self.at.places.clone(), ctx.clone());
        self.looked = true;
        self.listing = Some(Background::start("list the models", move || {
            let listed = Store::at(places).map_err(|error| as_sentence(&error.to_string())).map(|store| {
                let entry = |model: &Model| Entry {
                    state: state(&store, model),
                    to_accept: to_accept(&store, model).is_some(),
                    model: model.clone(),
                };
                store.manifest().models.iter().map(entry).collect()
            });
            ctx.request_repaint();
            listed
        }));
    }

    fn engine(&mut self, ctx: &Context) -> Result<&Engine, String> {
        if self.engine.is_none() {
            let repaint = ctx.clone();
            let engine = Engine::start(0, Arc::new(move || repaint.request_repaint()));
            self.engine = Some(engine.map_err(|error| format!("The system gave no thread for this ({error})."))?);
        }
        self.engine.as_ref().ok_or_else(|| "There is no thread for this.".to_owned())
    }

    /// Fetches the model, or what is missing or damaged of it.
    fn fetch(&mut self, ctx: &Context, model: &Model) -> Result<(), String> {
        let store = Store::at(self.at.places.clone()).map_err(|error| as_sentence(&error.to_string()))?;
        let pause = PauseSwitch::default();
        let job = FetchJob {
            store,
            model: model.clone(),
            hub: self.at.hub.clone(),
            accept_licence: self.accepted.contains(&model.id),
            pause: pause.clone(),
        };
        let ticket = self.engine(ctx)?.submit(job);
        self.outcomes.remove(&model.id);
        self.work.insert(model.id.clone(), Work::Fetch { ticket, pause });
        Ok(())
    }

    fn check(&mut self, ctx: &Context, model: &Model, path: PathBuf) -> Result<(), String> {
        let ticket = self.engine(ctx)?.submit(VerifyJob { name: model.name.clone(), path });
        self.outcomes.remove(&model.id);
        self.work.insert(model.id.clone(), Work::Check(ticket));
        Ok(())
    }

    fn cancel(&self, id: &str) {
        let job = self.work.get(id).map(|work| match work {
            Work::Fetch { ticket, .. } => ticket.id,
            Work::Check(ticket) => ticket.id,
        });
        if let (Some(engine), Some(job)) = (&self.engine, job) {
            engine.cancel(job);
        }
    }

    fn remove(&mut self, ctx: &Context, model: &Model) {
        let (places, model, ctx) = (self.at.places.clone(), model.clone(), ctx.clone());
        self.chores.push(Background::start("remove a model", move || {
            let done = Store::at(places).map_err(|error| error.to_string());
            let done = done.and_then(|store| remove(&store, &model).map_err(|error| error.to_string()));
            ctx.request_repaint();
            let freed = done.map_err(|sentence| as_sentence(&sentence))?;
            Ok(format!("{} is removed, {} are free again", model.name, bytes_in_words(freed)))
        }));
    }

    fn import(&mut self, ctx: &Context) {
        let path = crate::picture::paths::clean(&self.import_path);
        let (places, ctx) = (self.at.places.clone(), ctx.clone());
        self.chores.push(Background::start("import a model", move || {
            let done = Store::at(places).and_then(|store| import(&store, &path, None));
            ctx.request_repaint();
            let model = done.map_err(|error| as_sentence(&error.to_string()))?;
            let roles: Vec<String> = model.roles.iter().map(ToString::to_string).collect();
            Ok(format!("{} is in the list now, as {}", model.name, roles.join(", ")))
        }));
    }
}

impl Glassbox {
    /// Takes what has come of fetches, checks and the list.
    pub(super) fn poll_models(&mut self, ctx: &Context) {
        let page = &mut self.models;
        if let Some(listed) = page.listing.as_mut().and_then(Background::take) {
            page.listing = None;
            match listed {
                Ok(entries) => (page.entries, page.fault) = (entries, None),
                Err(sentence) => page.fault = Some(sentence),
            }
        }
        let ended: Vec<(String, Outcome, bool)> = page
            .work
            .iter()
            .filter_map(|(id, work)| {
                let (outcome, fetched) = match work {
                    Work::Fetch { ticket, .. } => (after_fetch(ticket.promise.ready()?), true),
                    Work::Check(ticket) => (after_check(ticket.promise.ready()?), false),
                };
                Some((id.clone(), outcome, fetched))
            })
            .collect();
        let mut changed = false;
        for (id, outcome, fetched) in ended {
            page.work.remove(&id);
            changed |= fetched;
            if fetched && !self.overlay.shows_models() {
                let name =
                    page.entries.iter().find(|entry| entry.model.id == id).map_or(&id, |entry| &entry.model.name);
                let level = if outcome.good { Level::Success } else { Level::Warning };
                self.notices.explain(level, name.clone(), outcome.words.clone());
            }
            page.outcomes.insert(id, outcome);
        }
        let mut chores = std::mem::take(&mut page.chores);
        chores.retain_mut(|chore| match chore.take() {
            None => true,
            Some(Ok(words)) => {
                self.notices.say(Level::Success, words);
                changed = true;
                false
            }
            Some(Err(sentence)) => {
                self.notices.explain(Level::Warning, "That did not work", sentence);
                false
            }
        });
        self.models.chores.append(&mut chores);
        if changed {
            // What came is usable at once, what went is not offered any more.
            self.models.look(ctx);
            self.edit.models_changed(&self.settings.now.editor);
            self.features.models_changed();
            self.ask.models_changed();
            self.splats.models_changed();
        }
    }
}

fn after_fetch(result: &Result<Fetched, JobError>) -> Outcome {
    match result {
        Ok(fetched) => Outcome { words: format!("Here and checked: {} files.", fetched.files), good: true },
        Err(JobError::Cancelled | JobError::Closing) => Outcome {
            words: "Stopped. What has come is kept, and fetching goes on from there.".to_owned(),
            good: false,
        },
        Err(error) => Outcome { words: as_sentence(&error.to_string()), good: false },
    }
}

fn after_check(result: &Result<Vec<Checked>, JobError>) -> Outcome {
    match result {
        Ok(files) => match files.iter().find_map(|file| file.fault.as_ref()) {
            None => Outcome { words: format!("All {} files are good.", files.len()), good: true },
            Some(fault) => Outcome { words: as_sentence(&fault.to_string()), good: false },
        },
        Err(JobError::Cancelled | JobError::Closing) => Outcome { words: "Not checked.".to_owned(), good: false },
        Err(error) => Outcome { words: as_sentence(&error.to_string()), good: false },
    }
}
