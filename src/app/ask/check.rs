//! *Check an edit*: every instruction of an edit becomes a yes/no question, asked of the result and of the picture before.

use egui::{Context, RichText, Ui};

use super::asking::How;
use super::exchange::{Exchange, Part, State};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::palette;
use crate::app::widgets::buttons::{TextButton, hint, section};

/// An instruction as a question that yes or no answers.
///
/// "put snow on the roofs" → "is there snow on the roofs?", "make the sky darker" → "is the sky darker?"; whatever is
/// said in another way is asked as it stands.
pub(super) fn question_of(instruction: &str) -> String {
    let text = instruction.trim().trim_end_matches(['.', '!']).trim();
    let lower = text.to_lowercase();
    let rest_of = |verbs: &[&str]| -> Option<String> {
        let verb = verbs.iter().find(|verb| lower.starts_with(&format!("{verb} ")))?;
        Some(lower[verb.len()..].trim().to_owned())
    };
    if let Some(what) = rest_of(&["add", "put", "place", "draw", "insert"]) {
        return format!("is there {what}?");
    }
    if let Some(what) = rest_of(&["remove", "delete", "take away", "erase"]) {
        let what = what.trim_start_matches("the ").to_owned();
        return format!("is there no {what}?");
    }
    for (verbs, joint) in
        [(&["turn", "change"][..], " into "), (&["turn", "change", "paint", "colour", "color"][..], " to ")]
    {
        if let Some(what) = rest_of(verbs)
            && let Some((thing, state)) = what.split_once(joint)
        {
            return format!("is {thing} {state}?");
        }
    }
    if let Some(what) = rest_of(&["make", "turn", "paint", "colour", "color"]) {
        // The last word is the state, what is before it the thing.
        if let Some((thing, state)) = what.rsplit_once(' ') {
            return format!("is {thing} {state}?");
        }
    }
    if let Some(what) = rest_of(&["cover"])
        && let Some((thing, state)) = what.split_once(" with ")
    {
        return format!("is there {state} on {thing}?");
    }
    format!("has this been done: {text}?")
}

impl Glassbox {
    /// The checks of the shown version's edit.
    pub(super) fn check_section(&mut self, ui: &mut Ui) {
        let Some(made) = self.document_made() else { return };
        let instructions: Vec<String> = made.contributions.iter().map(|one| one.text.clone()).collect();
        if instructions.is_empty() {
            return;
        }
        let Some(shown) = self.document.as_ref().map(|document| document.standing.shown) else { return };
        let mut asks = false;
        section(ui, "Check the edit", |ui| {
            let button = TextButton::new("Ask").icon(Icon::Check).quiet().enabled(!self.ask.is_working());
            let button = button.show(ui).accessible_name("Check every instruction");
            asks = button
                .on_hover_text("Asks of the result and of the original whether each instruction was carried out")
                .clicked();
        });
        for (index, instruction) in instructions.iter().enumerate() {
            let found = |before: bool| {
                let mine = |exchange: &&Exchange| {
                    let of_this = if before { true } else { exchange.about.version == shown };
                    exchange.about.checks == Some((index, before))
                        && exchange.about.question == question_of(instruction)
                        && of_this
                };
                self.ask.exchanges.iter().rev().find(mine)
            };
            let (now, then) = (found(false), found(true));
            ui.label(RichText::new(instruction).color(palette(ui.ctx()).text));
            match (now, then) {
                (None, None) => {
                    hint(ui, question_of(instruction));
                }
                (now, then) => {
                    let told = |exchange: Option<&Exchange>| match exchange.map(|exchange| &exchange.state) {
                        None => "not asked".to_owned(),
                        Some(State::Coming(_)) => "…".to_owned(),
                        Some(State::Failed(sentence)) => sentence.clone(),
                        Some(State::Here(answer)) => {
                            let share = answer.yes_no.map(|both| format!(", yes {:.0} %", 100.0 * both.share()));
                            format!("{}{}", answer.text.trim(), share.unwrap_or_default())
                        }
                    };
                    let words = format!("{}  result: {}; before: {}", question_of(instruction), told(now), told(then));
                    let chosen = now.map(|exchange| exchange.about.id);
                    let line = ui.add(
                        egui::Label::new(RichText::new(words).color(palette(ui.ctx()).muted))
                            .sense(egui::Sense::click()),
                    );
                    if line.on_hover_text("Show what was read for the answer").clicked() {
                        self.ask.choose(chosen);
                    }
                }
            }
        }
        if asks {
            self.check_the_edit(ui.ctx(), &instructions);
        }
    }

    fn check_the_edit(&mut self, ctx: &Context, instructions: &[String]) {
        let Some(document) = &self.document else { return };
        let shown = document.shown().clone();
        let before = document.version(shown.parent.unwrap_or(shown.id)).clone();
        self.ask.exchanges.retain(|exchange| exchange.about.checks.is_none() || exchange.about.version != shown.id);
        let attention = self.settings.now.ask.attention;
        // One picture after the other, so that its encoding serves all questions.
        for (version, is_before) in [(&shown, false), (&before, true)] {
            for (index, instruction) in instructions.iter().enumerate() {
                let how = How {
                    attention,
                    part: Part::Whole,
                    region: None,
                    turns: Vec::new(),
                    checks: Some((index, is_before)),
                };
                self.put_question(ctx, version, question_of(instruction), how);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::question_of;

    #[test]
    fn instructions_become_questions() {
        for (instruction, question) in [
            ("put snow on the roofs", "is there snow on the roofs?"),
            ("Add a boat.", "is there a boat?"),
            ("make the sky darker", "is the sky darker?"),
            ("turn the lake into ice", "is the lake ice?"),
            ("change the door to red", "is the door red?"),
            ("paint the car blue", "is the car blue?"),
            ("cover the ground with leaves", "is there leaves on the ground?"),
            ("remove the fence", "is there no fence?"),
            ("let it be winter", "has this been done: let it be winter?"),
            ("make", "has this been done: make?"),
        ] {
            assert_eq!(question_of(instruction), question);
        }
    }
}
