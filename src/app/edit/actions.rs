//! What the Edit lens does: asks the language model, submits runs, takes what comes back.

use std::hash::{BuildHasher, Hasher};

use egui::Context;

use super::Tab;
use super::asking::{Asking, Wanted};
use super::draft::Draft;
use super::made::{How, Made};
use super::runs::{Aim, Ended, Order};
use super::seeds::Seeds;
use super::work::{self, Question, Suggestion, Writer};
use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::document::{Document, VersionId};
use crate::app::notices::Level;
use crate::app::widgets::progress::time_in_words;
use crate::edit::pipeline::EditOutcome;
use crate::edit::recipe::Recipe;
use crate::edit::request::EditSettings;
use crate::engine::{JobError, JobId};
use crate::picture::Picture;

/// A seed nobody chose: short enough to be read out.
pub(super) fn any_seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish() % 1_000_000
}

impl Glassbox {
    /// What a new picture begins with: the chosen editor's usual settings.
    pub(in crate::app) fn fresh_draft(&self) -> Draft {
        Draft::new(self.usual_settings())
    }

    pub(super) fn usual_settings(&self) -> EditSettings {
        self.edit.usual.as_ref().ok().and_then(Clone::clone).unwrap_or_default()
    }

    /// Makes `name` the editor for the next runs, with its usual settings.
    pub(in crate::app) fn choose_editor(&mut self, name: String) {
        self.edit.usual = self.edit.workshop.look_up(&name);
        self.settings.now.editor = name;
        match &self.edit.usual {
            Ok(_) => {
                let usual = self.usual_settings();
                if let Some(document) = &mut self.document {
                    let seed = document.draft.settings.seed;
                    document.draft.settings = EditSettings { seed, ..usual };
                }
            }
            Err(sentence) => {
                let sentence = sentence.clone();
                self.notices.explain(Level::Warning, "This editor cannot run yet", sentence);
            }
        }
    }

    /// Whether there is somebody to ask, and free.
    pub(super) fn can_ask(&self) -> bool {
        self.edit.asking.is_none() && self.settings.now.language_model.lacks().is_none()
    }

    /// Whether a question can be put to the language model now.
    pub(in crate::app) fn can_propose(&self) -> bool {
        self.edit.asking.is_none()
            && self.settings.now.language_model.lacks().is_none()
            && self.document.as_ref().is_some_and(|d| !d.draft.wish.trim().is_empty())
    }

    /// Asks the language model.
    pub(in crate::app) fn ask(&mut self, wanted: Wanted) {
        let Some(document) = &self.document else { return };
        if self.edit.asking.is_some() || self.settings.now.language_model.lacks().is_some() {
            return;
        }
        let draft = &document.draft;
        let picture = document.version(document.standing.base).picture.rgb.clone();
        let others = |id: u64| draft.rows.iter().filter(move |row| row.id != id).map(|row| row.text.clone());
        let avoid: Vec<String> = match wanted {
            Wanted::Caption => Vec::new(),
            // Asked again, it should come up with something else.
            Wanted::All => draft.proposal.clone(),
            Wanted::One(id) => {
                let now = draft.rows.iter().find(|row| row.id == id).map(|row| row.text.clone());
                others(id).chain(now).filter(|text| !text.trim().is_empty()).collect()
            }
        };
        let question = Question {
            picture,
            wish: draft.wish.trim().to_owned(),
            caption: Some(draft.caption.trim().to_owned()).filter(|caption| !caption.is_empty()),
            count: if wanted == Wanted::All { draft.count } else { 1 },
            // Every new question about the same draft is a new draw, and the first is always the same.
            seed: 42 + avoid.len() as u64,
            avoid,
        };
        let title = match wanted {
            Wanted::Caption => "Describe the picture".to_owned(),
            Wanted::All => format!("Propose: {}", question.wish),
            Wanted::One(_) => "Propose another instruction".to_owned(),
        };
        let workshop = self.edit.workshop.clone();
        let language = self.settings.now.language_model.chosen();
        let describer = self.settings.now.language_model.describer;
        let writer =
            Writer { language, describer, device: self.settings.now.device, precision: self.settings.now.precision };
        let ticket = work::submit(&self.engine, title, move |context| match wanted {
            Wanted::Caption => {
                let caption = workshop.caption(&question.picture, &writer, context)?;
                Ok(Suggestion { caption, ..Suggestion::default() })
            }
            Wanted::All | Wanted::One(_) => workshop.specify(question, &writer, context),
        });
        self.edit.asking = Some(Asking::new(wanted, document.folder.clone(), ticket));
    }

    fn poll_asking(&mut self) {
        let Some(asking) = &mut self.edit.asking else { return };
        let Some(answer) = asking.take() else { return };
        let (wanted, folder) = (asking.wanted, asking.document.clone());
        self.edit.asking = None;
        match answer {
            Ok(suggestion) => {
                let notice = suggestion.notice.clone();
                if let Some(document) = self.document_mut(&folder) {
                    take_suggestion(&mut document.draft, wanted, suggestion);
                }
                if let Some(notice) = notice {
                    self.notices.explain(Level::Info, "Fewer instructions than asked for", notice);
                }
            }
            Err(JobError::Cancelled | JobError::Closing) => {}
            Err(error) => {
                let advice =
                    "You can choose another language model beside “Propose”, or write the instructions by hand.";
                self.notices.explain(Level::Error, "Nothing was proposed", format!("{error}. {advice}"));
            }
        }
    }

    /// Why nothing can be run now, if nothing can.
    pub(in crate::app) fn lacks(&self) -> Option<String> {
        let document = self.document.as_ref()?;
        if let Err(sentence) = &self.edit.usual {
            return Some(sentence.clone());
        }
        document.draft.lacks().map(str::to_owned)
    }

    /// Runs what is set up.
    pub(in crate::app) fn run(&mut self) {
        if self.lacks().is_some() {
            return;
        }
        let Some(document) = &mut self.document else { return };
        if !document.draft.keep_seed {
            document.draft.settings.seed = any_seed();
        }
        let (draft, base) = (document.draft.clone(), document.standing.base);
        self.submit(draft, base, How::Run, self.settings.now.editor.clone());
    }

    /// Runs the recipe of a version again in another way.
    pub(super) fn run_again(&mut self, version: VersionId, how: How, draft: Draft) {
        let Some(document) = &self.document else { return };
        let version = document.version(version);
        if let (Some(made), Some(base)) = (&version.made, version.parent) {
            let editor = made.editor.clone();
            self.submit(draft, base, how, editor);
        }
    }

    fn submit(&mut self, draft: Draft, base: VersionId, how: How, editor: String) {
        let title = how.title(&draft);
        self.submit_to(draft, base, editor, title, Aim::Version(how));
    }

    pub(super) fn submit_to(&mut self, draft: Draft, base: VersionId, editor: String, title: String, aim: Aim) {
        let Some(document) = &self.document else { return };
        let picture = document.version(base).picture.clone();
        let folder = document.folder.clone();
        let (device, precision) = (self.settings.now.device, self.settings.now.precision);
        let with = work::Editor { name: editor.clone(), device, precision };
        let shown = document.standing.shown;
        let ticket = work::submit_edit(&self.engine, &self.edit.workshop, &title, &draft, picture, with);
        self.edit.runs.add(Order { document: folder, base, shown, title, draft, editor, aim }, ticket);
    }

    /// Four runs of a version's recipe that differ in the seed.
    pub(super) fn vary_seed(&mut self, version: VersionId) {
        self.close_grid_of_seeds();
        let Some(document) = &self.document else { return };
        let version = document.version(version);
        let (Some(made), Some(base)) = (version.made.clone(), version.parent) else { return };
        let seeds = Seeds::of(version.title.clone(), base, &made);
        for (cell, draft) in seeds.drafts().into_iter().enumerate() {
            let title = How::Seed.title(&draft);
            self.submit_to(draft, base, made.editor.clone(), title, Aim::Cell(cell));
        }
        self.edit.seeds = Some(seeds);
    }

    /// Leaves the grid of seeds; what has not been made by then is not made.
    pub(in crate::app) fn close_grid_of_seeds(&mut self) {
        if self.edit.seeds.take().is_some() {
            let cells: Vec<JobId> =
                self.edit.runs.open().filter(|run| matches!(run.aim, Aim::Cell(_))).map(|run| run.id).collect();
            for id in cells {
                self.engine.cancel(id);
            }
        }
    }

    /// Takes what the inference thread has brought.
    pub(in crate::app) fn poll_edit(&mut self, ctx: &Context) {
        self.poll_asking();
        self.poll_region_file();
        for (id, brought) in self.edit.runs.take() {
            match brought {
                Ok((outcome, recipe)) => self.finished(ctx, id, &outcome, recipe),
                Err(JobError::Cancelled | JobError::Closing) => self.edit.runs.end(id, Ended::Cancelled),
                Err(error) => {
                    let title = self.edit.runs.get(id).map_or_else(String::new, |run| run.title.clone());
                    self.edit.runs.end(id, Ended::Failed(error.to_string()));
                    let meaning = "Your picture and everything you set up are as they were.";
                    self.notices.explain(
                        Level::Error,
                        format!("“{title}” did not work"),
                        format!("{error}. {meaning}"),
                    );
                }
            }
            self.edit.preview = None;
        }
    }

    fn finished(&mut self, ctx: &Context, id: JobId, outcome: &EditOutcome, recipe: Recipe) {
        let Some(run) = self.edit.runs.get(id) else { return };
        let (aim, title, base, folder) = (run.aim.clone(), run.title.clone(), run.base, run.document.clone());
        let how = match &aim {
            Aim::Version(how) => how.clone(),
            Aim::Cell(_) => How::Seed,
        };
        let made = Made::new(how, run.draft.clone(), run.editor.clone(), recipe, outcome);
        let picture = Picture { alpha: None, ..Picture::from_rgb(title.clone(), (*outcome.picture).clone()) };
        if let Aim::Cell(cell) = aim {
            if let Some(seeds) = &mut self.edit.seeds {
                seeds.fill(ctx, cell, picture, made);
            }
            self.edit.runs.end(id, Ended::Done(None));
            return;
        }
        let is_open = self.document.as_ref().is_some_and(|open| open.folder == folder);
        let mut version = None;
        if let Some(document) = self.document_mut(&folder) {
            let opacity = document.version(base).picture.alpha.clone();
            let picture = Picture { alpha: opacity, ..picture };
            version = Some(document.add(base, title.clone(), picture, made));
        }
        self.edit.runs.end(id, Ended::Done(version));
        let time = time_in_words(std::time::Duration::from_secs_f64(outcome.seconds.max(0.0)));
        if is_open {
            self.edit.inspection.pinned = None;
            // Somebody who is still writing keeps the panel under the fingers.
            if !ctx.text_edit_focused() {
                self.edit.tab = Tab::Result;
            }
            self.notices.say(Level::Success, format!("Done in {time}"));
        } else {
            let name = self.document_mut(&folder).map_or_else(String::new, |document| document.name().to_owned());
            self.notices.say(Level::Success, format!("Done in {time}, on {name}"));
        }
        self.keep(&folder);
    }

    /// Stops what the open picture's lens is doing now: the question or the run that is on the inference thread.
    pub(in crate::app) fn cancel_running(&mut self) {
        if let Some(asking) = &self.edit.asking {
            self.engine.cancel(asking.id);
        } else if let Some(run) = self.edit.runs.open().next() {
            self.engine.cancel(run.id);
        }
    }

    /// Whether anything of the lens runs or waits.
    pub(in crate::app) fn is_working(&self) -> bool {
        self.edit.asking.is_some() || self.edit.runs.open().next().is_some()
    }

    /// Sets up what made a version, for the next run.
    pub(super) fn use_recipe(&mut self, version: VersionId) {
        let Some(document) = &mut self.document else { return };
        let version = document.version(version);
        if let Some(made) = version.made.clone() {
            let base = version.parent.unwrap_or(0);
            document.draft = made.draft.clone();
            document.standing.base = base;
            self.edit.tab = Tab::Edit;
            self.notices.say(Level::Info, "The panel is set up as this version was made");
        }
    }

    /// Does what a command of this lens asks.
    pub(in crate::app) fn act_on_edit(&mut self, ctx: &Context, command: Command) {
        let shown = self.document.as_ref().map(|document| document.standing.shown);
        let Some((shown, document)) = shown.zip(self.document.as_mut()) else { return };
        match command {
            Command::Wish => {
                self.edit.tab = Tab::Edit;
                self.edit.focus_wish = true;
            }
            Command::Propose => {
                self.edit.tab = Tab::Edit;
                self.ask(Wanted::All);
            }
            Command::AddRow => {
                self.edit.tab = Tab::Edit;
                self.edit.focus_row = Some(document.draft.add("", false));
            }
            Command::RestoreProposal => document.draft.restore(),
            Command::NewSeed => document.draft.settings.seed = any_seed(),
            Command::Run => self.run(),
            Command::Cancel if self.is_painting() => self.step_out_of_painting(),
            Command::Cancel if self.is_working() => self.cancel_running(),
            Command::Cancel => self.close_grid_of_seeds(),
            Command::CancelAll => self.engine.cancel_all(),
            Command::ShowEdit => self.edit.tab = Tab::Edit,
            Command::ShowResult => self.edit.tab = Tab::Result,
            Command::NextMap => {
                let count = self.document_made().map_or(0, |made| made.contributions.len());
                self.edit.tab = Tab::Result;
                let next = self.edit.inspection.pinned.map_or(0, |at| at + 1);
                self.edit.inspection.pinned = (next < count).then_some(next);
            }
            Command::ExportMap => self.ask_where_to_export_the_map(ctx),
            Command::CopyRecipe => self.copy_recipe(ctx),
            Command::VarySeed => self.vary_seed(shown),
            _ => {}
        }
    }

    pub(super) fn copy_recipe(&mut self, ctx: &Context) {
        if let Some(made) = self.document_made() {
            ctx.copy_text(made.recipe.to_json());
            self.notices.say(Level::Success, "Copied the recipe");
        }
    }

    /// The document of that folder, open or in the background.
    pub(super) fn document_mut(&mut self, folder: &std::path::Path) -> Option<&mut Document> {
        self.document.iter_mut().chain(&mut self.parked).find(|document| document.folder == folder)
    }
}

fn take_suggestion(draft: &mut Draft, wanted: Wanted, suggestion: Suggestion) {
    if !suggestion.caption.trim().is_empty() {
        draft.caption = suggestion.caption;
    }
    match wanted {
        Wanted::Caption => {}
        Wanted::All if suggestion.instructions.is_empty() => {}
        Wanted::All => draft.propose(suggestion.instructions),
        Wanted::One(id) => {
            if let Some(words) = suggestion.instructions.into_iter().next() {
                draft.reword(id, words);
            }
        }
    }
}
