//! The panel at the right: the wish, the caption, the instruction rows, the settings, and Run below all of them.

use egui::{Margin, Panel, RichText, ScrollArea, TextEdit, Ui};

use super::asking::Wanted;
use super::draft::{Draft, MOST};
use super::language::Kind;
use super::rows::{self, RowAsk};
use super::{Tab, controls};
use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::document::{Document, NamedRegion, VersionId};
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, TextButton, chip, hint, rule, section, segmented};
use crate::app::widgets::progress;
use crate::app::widgets::sliders::{fixed_label, stepper};
use crate::engine::JobState;

/// Wishes to begin with.
const EXAMPLES: [&str; 4] =
    ["make it feel like winter", "a warm evening", "a stormy day", "give it the colours of autumn"];

/// What was asked for while the panel was drawn, done once the document is back in its place.
#[derive(Clone, Copy)]
enum Asked {
    Command(Command),
    Language(Wanted),
    Row(u64, RowAsk),
    Base(VersionId),
}

impl Glassbox {
    pub(in crate::app) fn edit_panel(&mut self, ui: &mut Ui) {
        let tabs = [(Tab::Edit, "Edit"), (Tab::Result, "Result")];
        segmented(ui, "Panel", &mut self.edit.tab, &tabs);
        ui.add_space(space::S);
        match self.edit.tab {
            Tab::Edit => self.edit_tab(ui),
            Tab::Result => self.result_tab(ui),
        }
    }

    fn edit_tab(&mut self, ui: &mut Ui) {
        let Some(mut document) = self.document.take() else { return };
        let mut asked = Vec::new();
        let frame = egui::Frame::new().inner_margin(Margin { top: 10, ..Margin::ZERO });
        Panel::bottom("run")
            .frame(frame)
            .show_separator_line(true)
            .show(ui, |ui| self.run_bar(ui, &document, &mut asked));
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            // Room for the scroll bar.
            ui.set_max_width(ui.available_width() - 6.0);
            self.wish(ui, &mut document, &mut asked);
            rule(ui);
            let regions = document.regions.clone();
            self.instructions(ui, &mut document.draft, &regions, &mut asked);
            rule(ui);
            let usual = self.usual_settings();
            let size = document.version(document.standing.base).picture.size();
            controls::settings(ui, &mut document.draft, &usual, size);
        });
        self.document = Some(document);
        for one in asked {
            self.answer_panel(ui, one);
        }
    }

    fn answer_panel(&mut self, ui: &Ui, asked: Asked) {
        match asked {
            Asked::Command(command) => self.act(ui.ctx(), command),
            Asked::Language(wanted) => self.ask(wanted),
            Asked::Base(id) => {
                if let Some(document) = &mut self.document {
                    document.standing.base = id;
                }
            }
            Asked::Row(id, ask) => self.answer_row(id, ask),
        }
    }

    fn answer_row(&mut self, id: u64, ask: RowAsk) {
        if ask == RowAsk::Again {
            self.ask(Wanted::One(id));
            return;
        }
        if ask == RowAsk::Paint {
            self.paint_region(id);
            return;
        }
        if let RowAsk::UseRegion(index) = ask {
            self.use_kept_region(id, index);
            return;
        }
        let Some(document) = &mut self.document else { return };
        let draft = &mut document.draft;
        match ask {
            RowAsk::Up => draft.shift(id, -1),
            RowAsk::Down => draft.shift(id, 1),
            RowAsk::Remove => {
                draft.remove(id);
                if self.edit.painting.as_ref().is_some_and(|painting| painting.row == id) {
                    self.edit.painting = None;
                }
            }
            RowAsk::ClearRegion => {
                if let Some(row) = draft.row_mut(id) {
                    row.mask = None;
                }
            }
            RowAsk::Reword => {
                if let Some(row) = draft.row_mut(id)
                    && let Some(words) = &row.proposed
                {
                    row.text.clone_from(words);
                }
            }
            RowAsk::Again | RowAsk::Paint | RowAsk::UseRegion(_) => {}
        }
    }

    fn wish(&mut self, ui: &mut Ui, document: &mut Document, asked: &mut Vec<Asked>) {
        let keys = Command::Propose.keys(ui.ctx()).unwrap_or_default();
        let title = "What should change?";
        ui.label(RichText::new(title).size(15.0));
        let field = TextEdit::multiline(&mut document.draft.wish)
            .hint_text("make it feel like winter")
            .desired_rows(2)
            .desired_width(f32::INFINITY)
            .margin(Margin::symmetric(10, 8))
            .return_key(None);
        let field = ui.add(field).accessible_name("Wish");
        if std::mem::take(&mut self.edit.focus_wish) {
            field.request_focus();
        }
        let submits = ui.input(|i| i.key_pressed(egui::Key::Enter) && i.modifiers.is_none());
        let asks = self.settings.now.language_model.lacks();
        let ready = self.edit.asking.is_none() && asks.is_none() && !document.draft.wish.trim().is_empty();
        if field.has_focus() && submits && ready {
            asked.push(Asked::Language(Wanted::All));
        }
        if document.draft.wish.trim().is_empty() && document.draft.rows.is_empty() {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = egui::vec2(6.0, 6.0);
                for example in EXAMPLES {
                    if chip(ui, example).clicked() {
                        example.clone_into(&mut document.draft.wish);
                    }
                }
            });
        }
        ui.add_space(2.0);
        ui.horizontal(|ui| {
            let first = document.draft.rows.is_empty();
            let by_hand = self.settings.now.language_model.kind == Kind::ByHand;
            if by_hand {
                let mut add = TextButton::new("Write an instruction").icon(Icon::Plus);
                if first {
                    add = add.primary();
                }
                if add.show(ui).clicked() {
                    asked.push(Asked::Command(Command::AddRow));
                }
                self.writer_button(ui, asked);
                return;
            }
            let words = if document.draft.proposal.is_empty() { "Propose instructions" } else { "Propose others" };
            let mut propose = TextButton::new(words).icon(Icon::Wand).enabled(ready);
            if first {
                propose = propose.primary();
            }
            let help =
                format!("Turns the wish into concrete instructions, to be looked at before anything runs  {keys}");
            if propose.show(ui).on_hover_text(help).clicked() {
                asked.push(Asked::Language(Wanted::All));
            }
            stepper(ui, "instructions to propose", &mut document.draft.count, 1..=MOST);
            self.writer_button(ui, asked);
        });
        if let Some(sentence) = asks.filter(|_| self.settings.now.language_model.kind != Kind::ByHand) {
            hint(ui, sentence);
        }
        ui.add_space(space::S);
        self.caption(ui, document, asked);
        if document.versions().len() > 1 {
            base(ui, document, asked);
        }
    }

    /// The way to who proposes.
    fn writer_button(&self, ui: &mut Ui, asked: &mut Vec<Asked>) {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let name = self.settings.now.language_model.button();
            if IconButton::new(Icon::Model, &name).help("Click to choose another, or none").show(ui).clicked() {
                asked.push(Asked::Command(Command::Language));
            }
        });
    }

    fn caption(&mut self, ui: &mut Ui, document: &mut Document, asked: &mut Vec<Asked>) {
        ui.horizontal(|ui| {
            fixed_label(ui, "Shows", 46.0);
            let writing = self.edit.asking.as_ref().is_some_and(|asking| asking.wanted == Wanted::Caption);
            let width = ui.available_width() - 34.0;
            let hint_text = if writing { "Looking at the picture…" } else { "what the picture shows" };
            let field = TextEdit::multiline(&mut document.draft.caption)
                .hint_text(hint_text)
                .desired_rows(1)
                .desired_width(width)
                .margin(Margin::symmetric(8, 5))
                .return_key(None);
            let help = "What the picture shows. The proposals are made from it; correct it if it is wrong.";
            ui.add(field).accessible_name("Caption").on_hover_text(help);
            let again = IconButton::new(Icon::Regenerate, "Describe the picture again").enabled(self.can_ask());
            if again.show(ui).clicked() {
                asked.push(Asked::Language(Wanted::Caption));
            }
        });
    }

    fn instructions(&mut self, ui: &mut Ui, draft: &mut Draft, regions: &[NamedRegion], asked: &mut Vec<Asked>) {
        let idle = self.can_ask();
        section(ui, "Instructions", |ui| {
            if IconButton::new(Icon::Plus, "Add an instruction")
                .shortcut(Command::AddRow.keys(ui.ctx()))
                .show(ui)
                .clicked()
            {
                asked.push(Asked::Command(Command::AddRow));
            }
            let differs = draft.differs_from_proposal();
            let restore = IconButton::new(Icon::Restore, "Restore the proposal")
                .help("The wordings as they were proposed, all on, at weight 1. Regions and your own lines stay.")
                .enabled(differs);
            if !draft.proposal.is_empty() && restore.show(ui).clicked() {
                asked.push(Asked::Command(Command::RestoreProposal));
            }
        });
        if draft.settings.plain && !draft.rows.is_empty() {
            hint(ui, "“The wish alone” is on below: these are not used.");
        }
        let shown = self.document_made();
        let count = draft.rows.len();
        let busy_row = self.edit.asking.as_ref().and_then(|asking| match asking.wanted {
            Wanted::One(id) => Some((id, asking.lines().pop().unwrap_or_default())),
            _ => None,
        });
        for (index, row) in draft.rows.iter_mut().enumerate() {
            let id = row.id;
            let view = rows::View {
                number: index + 1,
                first: index == 0,
                last: index + 1 == count,
                idle,
                painted: self.edit.painting.as_ref().is_some_and(|painting| painting.row == id),
                share: shown.as_ref().and_then(|made| made.share_of(id)),
                rewriting: busy_row.as_ref().filter(|(busy, _)| *busy == id).map(|(_, text)| text.as_str()),
                focus: self.edit.focus_row == Some(id),
                regions,
            };
            if view.focus {
                self.edit.focus_row = None;
            }
            if let Some(ask) = rows::row(ui, row, &view) {
                asked.push(Asked::Row(id, ask));
            }
            ui.add_space(2.0);
        }
        if let Some(asking) = self.edit.asking.as_ref().filter(|asking| asking.wanted == Wanted::All) {
            let lines = asking.lines();
            let stage = asking.monitor.snapshot().stage;
            rows::streaming(ui, &stage, &lines);
        } else if count == 0 {
            let words = if self.settings.now.language_model.kind == Kind::ByHand {
                "Add lines with +, or run the wish alone. Nothing runs before you say so."
            } else {
                "Propose some from the wish above, or add your own with +. Nothing runs before you say so."
            };
            hint(ui, words);
        }
    }

    fn run_bar(&mut self, ui: &mut Ui, document: &Document, asked: &mut Vec<Asked>) {
        let p = palette(ui.ctx());
        let draft = &document.draft;
        if let Some((stage, snapshot)) = self.edit.runs.open().next().map(|run| {
            let snapshot = run.monitor.snapshot();
            (snapshot.stage.clone(), snapshot)
        }) {
            let fraction = (snapshot.steps > 0).then(|| snapshot.step as f32 / snapshot.steps as f32);
            ui.horizontal(|ui| {
                let words = match snapshot.state {
                    JobState::Waiting => "Waiting for its turn".to_owned(),
                    _ if snapshot.steps > 0 => format!("Step {} of {}", snapshot.step, snapshot.steps),
                    _ => stage.clone(),
                };
                ui.label(words);
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if let Some(left) = snapshot.remaining {
                        hint(ui, format!("{} left", progress::time_in_words(left)));
                    }
                    if let Some(each) = snapshot.per_step {
                        hint(ui, progress::rate_in_words(each));
                    }
                });
            });
            let width = ui.available_width();
            progress::bar(ui, "Progress of the run", fraction, width, p.accent);
            ui.add_space(2.0);
        }
        let working = self.is_working();
        let lacks = if let Err(sentence) = &self.edit.usual { Some(sentence.as_str()) } else { draft.lacks() };
        if let Some(sentence) = lacks {
            hint(ui, sentence);
        }
        ui.horizontal(|ui| {
            let cancel_width = if working { 96.0 } else { 0.0 };
            let words = run_words(draft, self.edit.runs.open().next().is_some());
            let mut run = TextButton::new(&words).icon(Icon::Run).tall().enabled(lacks.is_none());
            if !draft.rows.is_empty() || !working {
                run = run.primary();
            }
            let run = run.width(ui.available_width() - cancel_width - if working { space::S } else { 0.0 });
            let keys = Command::Run.keys(ui.ctx());
            if run.trailing(keys).show(ui).clicked() {
                asked.push(Asked::Command(Command::Run));
            }
            if working {
                let cancel = TextButton::new("Cancel").icon(Icon::Stop).tall().width(cancel_width);
                let help = format!(
                    "Stops within one step; nothing you set up is lost  {}",
                    Command::Cancel.keys(ui.ctx()).unwrap_or_default()
                );
                if cancel.show(ui).on_hover_text(help).clicked() {
                    asked.push(Asked::Command(Command::Cancel));
                }
            }
        });
    }
}

fn run_words(draft: &Draft, running: bool) -> String {
    if running {
        return "Queue another run".to_owned();
    }
    match draft.active() {
        0 => "Run the wish alone".to_owned(),
        1 => "Run with 1 instruction".to_owned(),
        n => format!("Run with {n} instructions"),
    }
}

/// Which version the next run starts from.
fn base(ui: &mut Ui, document: &Document, asked: &mut Vec<Asked>) {
    ui.horizontal(|ui| {
        let help = "Each edit re-draws the picture, so editing an edit loses a little detail each time. Starting from the original and running all instructions together keeps more.";
        fixed_label(ui, "Edits", 46.0).on_hover_text(help);
        let now = document.version(document.standing.base);
        let width = ui.available_width();
        egui::ComboBox::from_id_salt("base")
            .width(width - 8.0)
            .selected_text(now.title.clone())
            .truncate()
            .show_ui(ui, |ui| {
                for version in document.versions() {
                    if ui.selectable_label(version.id == now.id, &version.title).clicked() {
                        asked.push(Asked::Base(version.id));
                    }
                }
            })
            .response
            .accessible_name("Version the next run starts from")
            .on_hover_text(help);
    });
}
