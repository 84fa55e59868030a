//! The queue: what runs, what waits (movable), what ended; each can be cancelled or put away alone.

use egui::{CornerRadius, Frame, Label, Margin, RichText, Ui};

use super::runs::{Aim, Ended, Run};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::notices::as_sentence;
use crate::app::theme::{palette, radius};
use crate::app::widgets::buttons::{IconButton, hint, section};
use crate::app::widgets::progress;
use crate::engine::{JobId, JobState};

enum Asked {
    Cancel(JobId),
    Earlier(JobId),
    Later(JobId),
    PutAway(JobId),
    Show(JobId),
}

impl Glassbox {
    /// Whether there is anything to list.
    pub(in crate::app) fn queue_is_empty(&self) -> bool {
        self.edit.runs.all().is_empty() && self.edit.asking.is_none()
    }

    /// The height that all of it takes, in points, roughly.
    pub(in crate::app) fn queue_height(&self) -> f32 {
        let lines = |run: &Run| match run.ended {
            Some(Ended::Failed(_)) => 120.0,
            Some(Ended::Cancelled) => 62.0,
            _ => 86.0,
        };
        let asking = if self.edit.asking.is_some() { 62.0 } else { 0.0 };
        48.0 + asking + self.edit.runs.all().iter().map(lines).sum::<f32>()
    }

    pub(in crate::app) fn queue(&mut self, ui: &mut Ui) {
        let (mut cancel_all, mut clear) = (false, false);
        let open = self.edit.runs.open().count() + usize::from(self.edit.asking.is_some());
        let any_ended = self.edit.runs.all().iter().any(|run| run.ended.is_some());
        section(ui, "Queue", |ui| {
            if any_ended {
                clear = IconButton::new(Icon::Check, "Put away what has ended").small().show(ui).clicked();
            }
            if open > 0 {
                cancel_all = IconButton::new(Icon::Stop, "Cancel all").small().show(ui).clicked();
            }
        });
        let order: Vec<JobId> = self.engine.jobs().iter().map(|job| job.id).collect();
        let mut runs: Vec<&Run> = self.edit.runs.all().iter().collect();
        // What is open stands in the engine's order, below it what has ended, newest first.
        runs.sort_by_key(|run| {
            let place = order.iter().position(|id| *id == run.id);
            (run.ended.is_some(), place.unwrap_or(usize::MAX), std::cmp::Reverse(run.id))
        });
        let mut asked = None;
        if let Some(asking) = &self.edit.asking {
            let shown = asking.monitor.snapshot();
            card(ui, |ui| {
                line(ui, "Proposing", &shown.stage, |ui| {
                    if IconButton::new(Icon::Close, "Cancel the proposal").small().show(ui).clicked() {
                        asked = Some(Asked::Cancel(asking.id));
                    }
                });
            });
        }
        let waiting: Vec<JobId> = runs
            .iter()
            .filter(|run| run.ended.is_none() && run.monitor.snapshot().state == JobState::Waiting)
            .map(|run| run.id)
            .collect();
        for run in runs {
            let title = match run.aim {
                Aim::Cell(cell) => format!("Seed {} of 4: {}", cell + 1, run.draft.settings.seed),
                Aim::Version(_) => run.title.clone(),
            };
            let place = waiting.iter().position(|id| *id == run.id);
            card(ui, |ui| asked = one(ui, run, &title, place, waiting.len()).or(asked.take()));
        }
        if cancel_all {
            self.engine.cancel_all();
        }
        if clear {
            self.edit.runs.dismiss_ended();
        }
        match asked {
            Some(Asked::Cancel(id)) => self.engine.cancel(id),
            Some(Asked::Earlier(id) | Asked::Later(id)) => {
                let at = waiting.iter().position(|known| *known == id).unwrap_or(0);
                let to = if matches!(asked, Some(Asked::Earlier(_))) { at.saturating_sub(1) } else { at + 1 };
                self.engine.reorder(id, to);
            }
            Some(Asked::PutAway(id)) => self.edit.runs.dismiss(id),
            Some(Asked::Show(id)) => {
                let version = self.edit.runs.get(id).and_then(|run| match (&run.ended, &run.document) {
                    (Some(Ended::Done(Some(version))), folder) => Some((*version, folder.clone())),
                    _ => None,
                });
                if let (Some((version, folder)), Some(document)) = (version, &mut self.document)
                    && document.folder == folder
                {
                    document.standing.shown = version;
                }
            }
            None => {}
        }
    }
}

fn card(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    let p = palette(ui.ctx());
    Frame::new()
        .fill(p.raised)
        .corner_radius(CornerRadius::same(radius::CONTROL))
        .inner_margin(Margin { left: 8, right: 2, top: 3, bottom: 5 })
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = 2.0;
            content(ui);
        });
}

fn line(ui: &mut Ui, title: &str, state: &str, buttons: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        let width = ui.available_width() - 26.0;
        ui.scope(|ui| {
            ui.set_max_width(width);
            ui.add(Label::new(RichText::new(title).small()).truncate());
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            buttons(ui);
        });
    });
    hint(ui, state);
}

fn one(ui: &mut Ui, run: &Run, title: &str, place: Option<usize>, waiting: usize) -> Option<Asked> {
    let p = palette(ui.ctx());
    let mut asked = None;
    let snapshot = run.monitor.snapshot();
    let state = match &run.ended {
        Some(Ended::Done(_)) => "Done".to_owned(),
        Some(Ended::Cancelled) => "Cancelled".to_owned(),
        Some(Ended::Failed(_)) => "Failed".to_owned(),
        None if snapshot.state == JobState::Waiting => "Waiting".to_owned(),
        None if snapshot.steps > 0 => match snapshot.remaining {
            Some(left) => {
                format!("Step {} of {}, {} left", snapshot.step, snapshot.steps, progress::time_in_words(left))
            }
            None => format!("Step {} of {}", snapshot.step, snapshot.steps),
        },
        None => snapshot.stage.clone(),
    };
    line(ui, title, &state, |ui| {
        let (name, ask) = if run.ended.is_some() {
            (format!("Put away: {title}"), Asked::PutAway(run.id))
        } else {
            (format!("Cancel: {title}"), Asked::Cancel(run.id))
        };
        if IconButton::new(Icon::Close, &name).small().show(ui).clicked() {
            asked = Some(ask);
        }
    });
    match (&run.ended, place) {
        (None, Some(place)) => {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 0.0;
                let name = format!("Run earlier: {title}");
                let earlier = IconButton::new(Icon::Up, &name).small().enabled(place > 0);
                if earlier.show(ui).clicked() {
                    asked = Some(Asked::Earlier(run.id));
                }
                let name = format!("Run later: {title}");
                let later = IconButton::new(Icon::Down, &name).small();
                if later.enabled(place + 1 < waiting).show(ui).clicked() {
                    asked = Some(Asked::Later(run.id));
                }
            });
        }
        (None, None) => {
            let fraction = (snapshot.steps > 0).then(|| snapshot.step as f32 / snapshot.steps as f32);
            let width = ui.available_width() - 8.0;
            progress::bar(ui, &format!("Progress: {title}"), fraction, width, p.accent);
        }
        (Some(Ended::Done(Some(_))), _) => {
            let link = ui.link(RichText::new("Show").small()).accessible_name(format!("Show: {title}"));
            asked = link.clicked().then_some(Asked::Show(run.id)).or(asked);
        }
        (Some(Ended::Failed(sentence)), _) => {
            ui.label(RichText::new(as_sentence(sentence)).small().color(p.error));
        }
        _ => {}
    }
    asked
}
