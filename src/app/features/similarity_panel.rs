//! The controls of similarity maps: what is compared with, the patches that look most like it, and the threshold.

use egui::Ui;

use super::query::{Query, Subject};
use super::{PaneNow, Tool, drawn};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::space;
use crate::app::widgets::buttons::{TextButton, hint, section, segmented, toggle};
use crate::app::widgets::sliders::{Scale, labelled};
use crate::features::similarity;

/// What similarity is asked about, as a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Patch,
    Class,
    Register,
}

/// How many of the most similar patches are listed.
const NEAREST: usize = 5;

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
        let index = self.features.active;
        let nearest = match self.features.query_of(index) {
            Some(Ok((_, vector))) => similarity::nearest(&seen.tokens.patches, &vector, NEAREST + 1).ok(),
            _ => None,
        };
        if let Some(nearest) = nearest.filter(|_| self.features.held.is_some()) {
            let own =
                usize::from(!drawn(self.features.held.as_ref()) && nearest.first().is_some_and(|m| m.cosine > 0.9999));
            let words: Vec<String> = nearest
                .iter()
                .skip(own)
                .take(NEAREST)
                .map(|found| format!("{},{} at {:.2}", found.row + 1, found.column + 1, found.cosine))
                .collect();
            hint(ui, format!("Nearest patches (row, column): {}", words.join("; ")));
        }
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
        let count = match self.features.query_of(index) {
            Some(Ok((_, vector))) => similarity::to_vector(&seen.tokens.patches, &vector).ok(),
            _ => None,
        };
        if let Some(values) = count {
            let threshold = self.features.threshold as f32;
            let alike = values.iter().filter(|value| **value >= threshold).count();
            hint(ui, format!("{alike} of {} patches are alike.", values.len()));
        }
        let range = Scale::new(-1.0..=0.9, 0.0, 0.05, 2);
        labelled(
            ui,
            "Scale from",
            "The cosine at the beginning of the colours; their end is 1.",
            &mut self.settings.now.features.display.least,
            &range,
        );
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
