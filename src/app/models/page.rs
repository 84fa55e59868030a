//! The Models page as it is drawn: a card a model, by role, with what can be done about it.

use egui::{CornerRadius, Frame, Margin, RichText, TextEdit, Ui, WidgetInfo, vec2};

use super::{Entry, Work};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::notices::Level;
use crate::app::theme::{Palette, palette, radius, space};
use crate::app::widgets::buttons::{TextButton, hint, section, toggle};
use crate::app::widgets::progress::{bar, time_in_words};
use crate::engine::{Bytes, JobState, Monitor, bytes_in_words};
use crate::packs::fetch::ModelState;
use crate::packs::manifest::{Model, Role};

/// The roles in the order of the page, with what each is for.
const ROLES: [(Role, &str); 6] = [
    (Role::Editor, "Editors, for the Edit lens"),
    (Role::Specifier, "Language models, which propose instructions in the Edit lens"),
    (Role::Captioner, "Captioners, which describe pictures for the Edit lens"),
    (Role::Backbone, "Backbones, for the Features and Splats lenses"),
    (Role::Vlm, "Models that answer questions, for the Ask lens"),
    (Role::Depth, "Depth, which lifts a picture into the Splats lens"),
];

/// What was clicked.
enum Act {
    Fetch(Model),
    Pause(String, bool),
    Cancel(String),
    Check(Model, std::path::PathBuf),
    AskToRemove(Option<String>),
    Remove(Model),
    Use(String),
}

impl Glassbox {
    /// Draws the inside of the page; says whether it is done.
    pub(in crate::app) fn models_page(&mut self, ui: &mut Ui) -> bool {
        let ctx = ui.ctx().clone();
        if !self.models.looked {
            self.models.look(&ctx);
        }
        ui.set_width((ctx.content_rect().width() - 120.0).clamp(480.0, 820.0));
        ui.heading("Models");
        let place = self.models.at.places.models.as_ref().map_or_else(
            || "The system names no folder for models; set GLASSBOX_MODELS to one.".to_owned(),
            |folder| {
                format!(
                    "Fetched models are kept in {}. Nothing is sent anywhere but the names of what is fetched.",
                    folder.display()
                )
            },
        );
        hint(ui, place);
        ui.add_space(space::S);
        if let Some(fault) = &self.models.fault {
            ui.label(RichText::new(fault).color(palette(&ctx).error));
        } else if self.models.entries.is_empty() {
            hint(ui, "Looking which models are here…");
        }
        let mut act = None;
        for (role, title) in ROLES {
            // A model with several roles stands with the first.
            let of_role = |entry: &&Entry| entry.model.roles.first() == Some(&role);
            let entries: Vec<Entry> = self.models.entries.iter().filter(of_role).cloned().collect();
            if entries.is_empty() {
                continue;
            }
            section(ui, title, |_| {});
            for entry in &entries {
                if let Some(clicked) = self.model_card(ui, entry) {
                    act = Some(clicked);
                }
                ui.add_space(space::XS);
            }
            ui.add_space(space::S);
        }
        section(ui, "A model that is on this machine already", |_| {});
        hint(
            ui,
            "A folder in the layout of diffusers, timm, transformers or LLaVA, or one file. It stays where it is.",
        );
        let mut import = false;
        ui.horizontal(|ui| {
            let width = ui.available_width() - 120.0;
            let field = TextEdit::singleline(&mut self.models.import_path).hint_text("/models/my-model");
            let field = field.desired_width(width).margin(Margin::symmetric(8, 5));
            ui.add(field).accessible_name("Folder or file of a model");
            let ready = !self.models.import_path.trim().is_empty();
            import = TextButton::new("Import").icon(Icon::Open).enabled(ready).show(ui).clicked();
        });
        if import {
            self.models.import(&ctx);
            self.models.import_path.clear();
        }
        if let Some(act) = act {
            self.act_on_model(&ctx, act);
        }
        ui.add_space(space::M);
        TextButton::new("Done").primary().show(ui).clicked()
    }

    fn act_on_model(&mut self, ctx: &egui::Context, act: Act) {
        let page = &mut self.models;
        let begun = match act {
            Act::Fetch(model) => page.fetch(ctx, &model),
            Act::Check(model, path) => page.check(ctx, &model, path),
            Act::Pause(id, paused) => {
                if let Some(Work::Fetch { pause, .. }) = page.work.get(&id) {
                    pause.set(paused);
                }
                Ok(())
            }
            Act::Cancel(id) => {
                page.cancel(&id);
                Ok(())
            }
            Act::AskToRemove(id) => {
                page.removing = id;
                Ok(())
            }
            Act::Remove(model) => {
                page.removing = None;
                page.outcomes.remove(&model.id);
                page.remove(ctx, &model);
                Ok(())
            }
            Act::Use(id) => {
                self.choose_editor(id);
                Ok(())
            }
        };
        if let Err(sentence) = begun {
            self.notices.explain(Level::Error, "That could not be started", sentence);
        }
    }

    fn model_card(&mut self, ui: &mut Ui, entry: &Entry) -> Option<Act> {
        let p = palette(ui.ctx());
        let frame = Frame::new().fill(p.panel).stroke(p.outline()).corner_radius(CornerRadius::same(radius::CARD));
        let card = frame.inner_margin(Margin::symmetric(12, 8)).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing = vec2(space::S, space::XS);
            let model = &entry.model;
            ui.horizontal_wrapped(|ui| {
                ui.label(RichText::new(&model.name).strong());
                let (words, colour) = state_in_words(&entry.state, p);
                let shown = ui.label(RichText::new(words).small().color(colour));
                let state = entry.state.word();
                shown.widget_info(|| WidgetInfo::labeled(egui::Role::Label, true, format!("{}: {state}", model.name)));
            });
            hint(ui, &model.about);
            facts(ui, model);
            if let Some(outcome) = self.models.outcomes.get(&model.id) {
                let colour = if outcome.good { p.success } else { p.error };
                ui.label(RichText::new(&outcome.words).small().color(colour));
            }
            match self.models.work.get(&model.id) {
                Some(work) => work_row(ui, model, work, p),
                None => self.choices(ui, entry),
            }
        });
        card.inner
    }

    /// What can be done about a model that nothing is done about now.
    fn choices(&mut self, ui: &mut Ui, entry: &Entry) -> Option<Act> {
        let model = &entry.model;
        let mut act = None;
        let fetchable =
            model.repository.is_some() && !matches!(entry.state, ModelState::Own(_) | ModelState::Bundled(_));
        let whole = entry.state.path().is_some();
        if fetchable && entry.to_accept && !whole {
            let mut on = self.models.accepted.contains(&model.id);
            let words = format!("I accept that {} must not be used commercially ({})", model.name, model.licence.name);
            if toggle(ui, &mut on, &words, "Its authors allow research and private use alone").changed() {
                if on {
                    self.models.accepted.insert(model.id.clone());
                } else {
                    self.models.accepted.remove(&model.id);
                }
            }
        }
        ui.horizontal_wrapped(|ui| {
            let button = |ui: &mut Ui, words: &str, icon: Icon, enabled: bool| {
                let button = TextButton::new(words).icon(icon).enabled(enabled).show(ui);
                button.accessible_name(format!("{words} {}", model.name)).clicked()
            };
            if fetchable && !whole {
                let words = match entry.state {
                    ModelState::Damaged { .. } => "Repair",
                    ModelState::Partial { .. } => "Go on fetching",
                    _ => "Fetch",
                };
                let ready = !entry.to_accept || self.models.accepted.contains(&model.id);
                if button(ui, words, Icon::Down, ready) {
                    act = Some(Act::Fetch(model.clone()));
                }
            }
            if let Some(path) = entry.state.path() {
                if model.roles.contains(&Role::Editor) {
                    let used = self.settings.now.editor == model.id;
                    if button(ui, if used { "In use:" } else { "Use" }, Icon::Check, !used) {
                        act = Some(Act::Use(model.id.clone()));
                    }
                }
                if button(ui, "Check", Icon::Search, true) {
                    act = Some(Act::Check(model.clone(), path.clone()));
                }
                let copy = TextButton::new("Copy path").icon(Icon::Copy).show(ui);
                let copy = copy.accessible_name(format!("Copy the path of {}", model.name));
                if copy.on_hover_text(path.display().to_string()).clicked() {
                    ui.ctx().copy_text(path.display().to_string());
                }
            }
            let checked_bad = self.models.outcomes.get(&model.id).is_some_and(|outcome| !outcome.good);
            if fetchable && whole && checked_bad && button(ui, "Repair", Icon::Restore, true) {
                act = Some(Act::Fetch(model.clone()));
            }
            let removable = matches!(
                entry.state,
                ModelState::Installed(_) | ModelState::Partial { .. } | ModelState::Damaged { .. }
            );
            if !removable {
                return;
            }
            if self.models.removing.as_ref() == Some(&model.id) {
                if button(ui, "Yes, remove", Icon::Remove, true) {
                    act = Some(Act::Remove(model.clone()));
                }
                if button(ui, "Keep", Icon::Close, true) {
                    act = Some(Act::AskToRemove(None));
                }
            } else if button(ui, "Remove", Icon::Remove, true) {
                act = Some(Act::AskToRemove(Some(model.id.clone())));
            }
        });
        act
    }
}

/// Size, licence and doubts.
fn facts(ui: &mut Ui, model: &Model) {
    ui.horizontal_wrapped(|ui| {
        if let Some(megabytes) = model.megabytes {
            hint(ui, bytes_in_words(megabytes * 1_000_000));
        }
        let doubt = if model.licence.confirmed { "" } else { " (unconfirmed)" };
        let words = RichText::new(format!("{}{doubt}", model.licence.name)).small();
        match &model.licence.link {
            Some(link) => {
                ui.hyperlink_to(words, link);
            }
            None => {
                ui.label(words);
            }
        }
        if let Some(doubt) = &model.unconfirmed {
            hint(ui, format!("Unconfirmed: {doubt}."));
        }
    });
}

fn state_in_words(state: &ModelState, p: &Palette) -> (String, egui::Color32) {
    match state {
        ModelState::Bundled(_) => ("comes with Glassbox".to_owned(), p.success),
        ModelState::Own(path) => (format!("in {}", path.display()), p.success),
        ModelState::Installed(_) => ("here".to_owned(), p.success),
        ModelState::Cached(_) => ("here, in the cache of another program".to_owned(), p.success),
        ModelState::Damaged { fault, .. } => (format!("damaged: {fault}"), p.error),
        ModelState::Partial { done, total } => {
            (format!("begun: {} of {}", bytes_in_words(*done), bytes_in_words(*total)), p.warning)
        }
        ModelState::Available => ("not fetched".to_owned(), p.muted),
        ModelState::Lost => ("its files are gone".to_owned(), p.error),
    }
}

/// How far a fetch or check is, and the ways to hold it up.
fn work_row(ui: &mut Ui, model: &Model, work: &Work, p: &Palette) -> Option<Act> {
    let (monitor, pause): (&Monitor, _) = match work {
        Work::Fetch { ticket, pause } => (&ticket.monitor, Some(pause)),
        Work::Check(ticket) => (&ticket.monitor, None),
    };
    let paused = pause.is_some_and(|pause| pause.is_paused());
    let shown = monitor.snapshot();
    let fraction = shown.bytes.filter(|bytes| bytes.total > 0).map(|bytes| bytes.done as f32 / bytes.total as f32);
    let waits = shown.state == JobState::Waiting || paused;
    bar(ui, &format!("Progress of {}", model.name), fraction.or(waits.then_some(0.0)), ui.available_width(), p.accent);
    let stage = match () {
        () if paused => "Paused".to_owned(),
        () if shown.state == JobState::Waiting => "Waiting for the fetch before it".to_owned(),
        () => shown.stage.clone(),
    };
    hint(ui, shown.bytes.map_or_else(|| stage.clone(), |bytes| format!("{stage}: {}", bytes_words(&bytes, paused))));
    if let Some(again) = shown.text.lines().last() {
        hint(ui, format!("Tried again after: {again}"));
    }
    let mut act = None;
    ui.horizontal(|ui| {
        if pause.is_some() {
            let words = if paused { "Go on with" } else { "Pause" };
            let icon = if paused { Icon::Run } else { Icon::Minus };
            let button = TextButton::new(words).icon(icon).show(ui);
            if button.accessible_name(format!("{words} {}", model.name)).clicked() {
                act = Some(Act::Pause(model.id.clone(), !paused));
            }
        }
        let button = TextButton::new("Cancel").icon(Icon::Stop).show(ui);
        if button.accessible_name(format!("Cancel {}", model.name)).clicked() {
            act = Some(Act::Cancel(model.id.clone()));
        }
    });
    act
}

/// "12 MB of 40 MB, 3.1 MB/s, 9 s left".
fn bytes_words(bytes: &Bytes, paused: bool) -> String {
    let mut words = format!("{} of {}", bytes_in_words(bytes.done), bytes_in_words(bytes.total));
    if let (Some(rate), Some(left), false) = (bytes.rate, bytes.remaining(), paused) {
        words.push_str(&format!(", {:.1} MB/s, {} left", rate / 1e6, time_in_words(left)));
    }
    words
}
