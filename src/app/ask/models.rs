//! The vision-language models on this machine, those that the person chose, and what each is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use egui::{Button, Context, Popup, Ui};

use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::edit::work::{Offer, Workshop, short_name};
use crate::app::icons::Icon;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::app::widgets::buttons::TextButton;
use crate::ask::model::{VlmFacts, WeightBits};
use crate::engine::jobs::ask::AskChoice;
use crate::ops::device::{DeviceChoice, Precision};

/// A model whose files were looked at.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) path: PathBuf,
    pub(super) facts: VlmFacts,
}

enum Reading {
    Running(Background<Known>),
    Done(Result<Arc<Known>, String>),
}

/// All of them.
pub(super) struct VlmList {
    workshop: Arc<dyn Workshop>,
    /// Those of the list whose files are here.
    offers: Vec<Offer>,
    read: HashMap<String, Reading>,
}

impl VlmList {
    pub(super) fn new(workshop: Arc<dyn Workshop>) -> Self {
        let offers = workshop.vlms().into_iter().filter(|offer| offer.here).collect();
        Self { workshop, offers, read: HashMap::new() }
    }

    /// Models came or went.
    pub(super) fn read_again(&mut self) {
        self.offers = self.workshop.vlms().into_iter().filter(|offer| offer.here).collect();
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

    /// What the model `name` is; `None` while it is read.
    pub(super) fn know(&mut self, ctx: &Context, name: &str) -> Option<Result<Arc<Known>, String>> {
        let entry = self.read.entry(name.to_owned()).or_insert_with(|| {
            let (workshop, name, ctx) = (Arc::clone(&self.workshop), name.to_owned(), ctx.clone());
            Reading::Running(Background::start("look at a model", move || {
                let known = workshop.vlm(&name).and_then(|path| {
                    let (device, precision) = (DeviceChoice::Auto, Precision::Auto);
                    let choice = AskChoice { name, path: path.clone(), device, precision, weights: WeightBits::Full };
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

impl Glassbox {
    /// The name of the chosen model, if there is any.
    pub(super) fn vlm_name(&self) -> Option<String> {
        let choices = &self.settings.now.ask;
        let list = self.ask.models.list(&choices.folders);
        let here = |name: &String| list.iter().any(|offer| offer.name == *name);
        choices.model.clone().filter(here).or_else(|| list.first().map(|offer| offer.name.clone()))
    }

    /// Which model answers, in the top bar.
    pub(in crate::app) fn vlm_menu(&mut self, ui: &mut Ui) {
        let name = self.vlm_name();
        let offers = self.ask.models.list(&self.settings.now.ask.folders);
        let found = offers.iter().find(|offer| Some(&offer.name) == name.as_ref());
        let title = found.map_or_else(|| "Choose a model".to_owned(), |offer| offer.title.clone());
        let button = TextButton::new(&title).icon(Icon::Model).show(ui).accessible_name(format!("Model: {title}"));
        let button = button.on_hover_text("The model that answers");
        let mut chosen = None;
        Popup::menu(&button).show(|ui| {
            ui.set_min_width(260.0);
            for offer in &offers {
                let item = ui.add(Button::selectable(name.as_ref() == Some(&offer.name), &offer.title));
                if item.on_hover_text(&offer.about).clicked() {
                    chosen = Some(Some(offer.name.clone()));
                }
            }
            if !offers.is_empty() {
                ui.separator();
            }
            if ui.button("Choose a folder…").clicked() {
                chosen = Some(None);
            }
            if chosen.is_some() {
                ui.close();
            }
        });
        match chosen {
            Some(Some(name)) => self.choose_vlm(name),
            Some(None) => self.ask_for_a_vlm(ui.ctx()),
            None => {}
        }
    }

    fn choose_vlm(&mut self, name: String) {
        // Its files may have changed since they were looked at.
        self.ask.models.forget(&name);
        self.settings.now.ask.model = Some(name);
    }

    /// Asks for a folder in one of LLaVA's layouts.
    pub(in crate::app) fn ask_for_a_vlm(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.ask.folders.first().cloned().or_else(|| self.settings.now.folder.clone());
        self.ask_for_file(Purpose::Vlm, move || {
            let choice = dialogs.choose_folder(folder.as_deref(), "Folder of a model that answers questions");
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// A folder was named.
    pub(in crate::app) fn vlm_from(&mut self, path: &std::path::Path) {
        if !path.is_dir() {
            let words = format!("{} is no folder.", path.display());
            self.notices.explain(Level::Error, "There is no model", words);
            return;
        }
        self.settings.now.ask.remember(path);
        self.choose_vlm(path.display().to_string());
        self.show_lens(crate::app::lens::LensKind::Ask);
    }
}
