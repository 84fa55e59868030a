//! The controls of similarity maps: what is compared with, the patches that look most like it, and the threshold.

use egui::Ui;

use super::maps::Content;
use super::query::{Query, Subject};
use super::{PaneNow, Tool, middle_of};
use crate::app::Glassbox;
use crate::app::document::VersionId;
use crate::app::icons::Icon;
use crate::app::theme::space;
use crate::app::widgets::buttons::{TextButton, chip, hint, section, segmented, toggle};
use crate::app::widgets::sliders::{Scale, labelled};
use crate::features::Placement;

/// What similarity is asked about, as a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Patch,
    Class,
    Register,
}

impl Glassbox {
    pub(super) fn similarity_controls(&mut self, ui: &mut Ui) {
        section(ui, "Compared with", |_| {});
        let Some((version, seen)) = self.features.active_now().and_then(|now| Some((now.version, now.seen()?.clone())))
        else {
            return;
        };
        let registers = seen.tokens.registers.len();
        let before = match self.features.held.as_ref().map(|held| &held.subject) {
            Some(Subject::Class) => Token::Class,
            Some(Subject::Register(_)) => Token::Register,
            _ => Token::Patch,
        };
        let mut token = before;
        let mut all = vec![(Token::Patch, "A patch")];
        if seen.tokens.class.is_some() {
            all.push((Token::Class, "Class token"));
        }
        if registers > 0 {
            all.push((Token::Register, "Registers"));
        }
        if all.len() > 1 && segmented(ui, "Token", &mut token, &all) {
            let subject = match token {
                Token::Patch => None,
                Token::Class => Some(Subject::Class),
                Token::Register => Some(Subject::Register(0)),
            };
            self.features.held = subject.map(|subject| Query { version, subject });
        }
        if let Some(Query { subject: Subject::Register(at), .. }) = &mut self.features.held
            && registers > 1
        {
            let mut number = (*at + 1) as f64;
            let scale = Scale::new(1.0..=registers as f64, 1.0, 1.0, 0);
            labelled(ui, "Register", "Which of the model's registers.", &mut number, &scale);
            *at = (number.round() as usize).clamp(1, registers) - 1;
        }
        let place = seen.tokens.patches.placement();
        ui.horizontal(|ui| match self.features.held.as_ref().map(|held| held.subject.words(place)) {
            Some(words) => {
                ui.label(sentence_case(&words));
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if TextButton::new("Let go").icon(Icon::Close).quiet().show(ui).on_hover_text("Esc").clicked() {
                        self.features.held = None;
                    }
                });
            }
            None if self.features.tool == Tool::Point => {
                hint(ui, "The patch under the pointer. Click to hold it.");
            }
            None => {
                hint(ui, "Drag on the picture to draw the shape.");
            }
        });
        if self.features.held.is_some() && self.lenses_are_linked() {
            let show = TextButton::new("Show it in the scene").icon(Icon::Splats).quiet().show(ui);
            if show.on_hover_text("The open splat scene, by its likeness to this").clicked() {
                self.show_query_in_scene();
            }
        }
        self.nearest_list(ui, version, place);
        ui.add_space(space::XS);
        let scale = Scale::new(-0.2..=1.0, 0.6, 0.01, 2);
        labelled(
            ui,
            "Threshold",
            "The cosine from which a patch counts as alike: for the region, and for what is shown.",
            &mut self.features.threshold,
            &scale,
        );
        toggle(ui, &mut self.features.cut, "Show only what is alike", "Leaves out what is below the threshold");
        if let Some(values) = self.cosines(self.features.active) {
            let threshold = self.features.threshold as f32;
            let alike = values.iter().filter(|value| **value >= threshold).count();
            hint(ui, format!("{alike} of {} patches are alike.", values.len()));
        }
    }

    /// The patches that look most like what is held, each to be held instead.
    fn nearest_list(&mut self, ui: &mut Ui, version: VersionId, place: &Placement) {
        if self.features.held.is_none() {
            return;
        }
        let found = self.features.nearest_patches(self.features.active).to_vec();
        if found.is_empty() {
            return;
        }
        let help = "The patches that look most like it to the model, numbered on the picture";
        toggle(ui, &mut self.settings.now.features.display.nearest, "Mark the nearest patches", help);
        let mut chosen = None;
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = egui::vec2(4.0, 4.0);
            for (at, found) in found.iter().enumerate() {
                let name = format!(
                    "Nearest patch {}: row {}, column {}, cosine {:.2}",
                    at + 1,
                    found.row + 1,
                    found.column + 1,
                    found.cosine
                );
                let words = format!("{}   {:.2}", at + 1, found.cosine);
                let help = format!("Row {}, column {}. Click to hold this one.", found.row + 1, found.column + 1);
                if chip(ui, &words).accessible_name(name).on_hover_text(help).clicked() {
                    chosen = Some(middle_of(place, found.row, found.column));
                }
            }
        });
        if let Some(subject) = chosen {
            self.features.held = Some(Query { version, subject });
        }
    }

    /// The similarity map of a pane: a cosine a patch.
    pub(super) fn cosines(&self, index: usize) -> Option<&[f32]> {
        self.features.query()?;
        match self.features.paints.get(index)?.map() {
            Some((Content::Values { values, .. }, _)) => Some(values),
            _ => None,
        }
    }

    /// The pane whose map is asked for, with its features.
    pub(super) fn active_seen(&self) -> Option<&PaneNow> {
        self.features.active_now().filter(|now| now.seen().is_some())
    }
}

fn sentence_case(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
