//! The backbones on this machine and those that the person chose, and what each is, read in the background.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use egui::Context;

use crate::app::background::Background;
use crate::app::edit::work::{Offer, Workshop, short_name};
use crate::engine::jobs::features::{BackboneChoice, BackboneFacts};
use crate::ops::device::{DeviceChoice, Precision};

/// A backbone whose files were looked at.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Its folder or file.
    pub(super) path: PathBuf,
    pub(super) facts: BackboneFacts,
}

enum Reading {
    Running(Background<Known>),
    Done(Result<Arc<Known>, String>),
}

/// All of them.
pub(super) struct Backbones {
    workshop: Arc<dyn Workshop>,
    /// Those of the list whose files are here.
    offers: Vec<Offer>,
    read: HashMap<String, Reading>,
}

impl Backbones {
    pub(super) fn new(workshop: Arc<dyn Workshop>) -> Self {
        let offers = workshop.backbones().into_iter().filter(|offer| offer.here).collect();
        Self { workshop, offers, read: HashMap::new() }
    }

    /// Models came or went.
    pub(super) fn read_again(&mut self) {
        self.offers = self.workshop.backbones().into_iter().filter(|offer| offer.here).collect();
        self.read.clear();
    }

    /// Those to choose from: of the list, then the chosen folders.
    pub(super) fn list(&self, folders: &[PathBuf]) -> Vec<Offer> {
        let chosen = folders.iter().map(|path| Offer {
            name: path.display().to_string(),
            title: short_name(&path.display().to_string()),
            about: path.display().to_string(),
            here: true,
        });
        self.offers.iter().cloned().chain(chosen).collect()
    }

    /// What the person calls the backbone of that name.
    pub(super) fn title(&self, name: &str) -> String {
        let offered = self.offers.iter().find(|offer| offer.name == name);
        offered.map_or_else(|| short_name(name), |offer| offer.title.clone())
    }

    /// What the backbone `name` is; `None` while it is read.
    pub(super) fn know(&mut self, ctx: &Context, name: &str) -> Option<Result<Arc<Known>, String>> {
        let entry = self.read.entry(name.to_owned()).or_insert_with(|| {
            let (workshop, name, ctx) = (Arc::clone(&self.workshop), name.to_owned(), ctx.clone());
            Reading::Running(Background::start("look at a backbone", move || {
                let known = workshop.backbone(&name).and_then(|path| {
                    let (device, precision) = (DeviceChoice::Auto, Precision::Auto);
                    let choice = BackboneChoice { name, path: path.clone(), device, precision };
                    let facts = choice.describe().map_err(|error| error.to_string())?;
                    Ok(Known { path, facts })
                });
                ctx.request_repaint();
                known
            }))
        });
        if let Reading::Running(task) = entry
            && let Some(found) = task.take()
        {
            *entry = Reading::Done(found.map(Arc::new));
        }
        match entry {
            Reading::Running(_) => None,
            Reading::Done(found) => Some(found.clone()),
        }
    }

    /// Looks at that one again.
    pub(super) fn forget(&mut self, name: &str) {
        self.read.remove(name);
    }
}
