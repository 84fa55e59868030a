//! What an answer shows of itself: its words as buttons, the map's controls, what it read, what it cost, and the ways to
//! test the map.

use std::ops::Range;
use std::sync::Arc;

use egui::{RichText, Ui, vec2};

use super::exchange::Part;
use super::panel::title;
use super::settings::Look;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{TextButton, hint, segmented, toggle};
use crate::app::widgets::sliders::{Scale, labelled};
use crate::ask::cost::Cost;
use crate::ask::record::{Answer, Ending};
use crate::ask::settings::AttentionMode;

/// Operations in words, with three digits that count: "1.34 GFLOP".
fn operations(count: f64) -> String {
    for (unit, size) in [("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)] {
        if count >= size {
            let value = count / size;
            let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
            return format!("{value:.decimals$} {unit}");
        }
    }
    format!("{count:.0} FLOP")
}

/// The tokens from one word to another, in whichever order they stand.
fn through(from: &Range<usize>, to: &Range<usize>) -> Range<usize> {
    from.start.min(to.start)..from.end.max(to.end)
}

/// What an answer took, in lines.
pub(super) fn cost_in_words(cost: &Cost) -> Vec<String> {
    let mut lines = Vec::new();
    if cost.high_tokens > 0 {
        let read = cost.mean_high_read();
        lines.push(format!(
            "A layer read {read:.0} of {} high-resolution tokens ({:.0} %)",
            cost.high_tokens,
            100.0 * read / cost.high_tokens as f64
        ));
    }
    let decoder = operations(cost.decoder());
    lines.push(format!("Decoder {decoder}: {:.2} of reading everything", cost.share_of_full()));
    let mut times = Vec::new();
    if cost.encoding_seconds > 0.0 {
        times.push(format!("picture {:.2} s", cost.encoding_seconds));
    }
    times.push(format!("first word {:.2} s", cost.prompt_seconds));
    if cost.passes > 1 {
        times.push(format!("then {:.1} tokens a second", cost.tokens_per_second()));
    }
    lines.push(times.join(", "));
    lines
}

impl Glassbox {
    /// The words of an answer, each of which can be looked at.
    pub(super) fn words_of(&mut self, ui: &mut Ui, answer: &Arc<Answer>) {
        let p = palette(ui.ctx());
        let words = answer.words();
        if words.is_empty() {
            hint(ui, "The model ended its turn without a word.");
        }
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(3.0, 3.0);
            for word in words {
                let within = |range: &Range<usize>| range.start <= word.tokens.start && word.tokens.end <= range.end;
                let chosen = self.ask.word.as_ref().is_some_and(within);
                let sure: f32 = answer.tokens[word.tokens.clone()].iter().map(|token| token.logprob).sum();
                let button =
                    ui.add(egui::Button::selectable(chosen, RichText::new(&word.text).size(16.0).color(p.text)));
                let others: Vec<String> = answer.tokens[word.tokens.start]
                    .likeliest
                    .iter()
                    .map(|(_, text, logprob)| format!("{}  {:.0} %", text.trim(), 100.0 * logprob.exp()))
                    .collect();
                let help = format!(
                    "Probability {:.0} %. Click to see what was read for this word, Shift-click for all words up to it.\n\nLikeliest here:\n{}",
                    100.0 * sure.exp(),
                    others.join("\n")
                );
                if button.on_hover_text(help).clicked() {
                    let shift = ui.input(|i| i.modifiers.shift);
                    self.ask.word = match self.ask.word.take() {
                        Some(range) if shift => Some(through(&range, &word.tokens)),
                        Some(range) if range == word.tokens => None,
                        _ => Some(word.tokens),
                    };
                }
            }
        });
        match answer.ending {
            Ending::Complete => {}
            Ending::TokenLimit => drop(hint(ui, "Cut at the longest answer that is allowed.")),
            Ending::ContextFull => drop(hint(ui, "Cut: the model takes no more tokens. Begin a new conversation.")),
            Ending::Stopped => drop(hint(ui, "Stopped.")),
        }
    }

    /// Below the chosen answer: the map over the picture.
    pub(super) fn answer_controls(&mut self, ui: &mut Ui) {
        let Some(answer) = self.ask.chosen().and_then(super::Exchange::answer).map(Arc::clone) else { return };
        ui.add_space(space::S);
        let looks = [(Look::Read, "Read closely"), (Look::Selected, "Selected"), (Look::Attention, "Attention")];
        segmented(ui, "Map", &mut self.settings.now.ask.look, &looks);
        let map = self.ask.map(&self.settings.now.ask);
        match (&map, self.settings.now.ask.look) {
            (None, Look::Read | Look::Selected) if answer.attention == AttentionMode::Low => {
                hint(
                    ui,
                    "In this mode nothing is read at high resolution. The attention on the low-resolution patches can be shown.",
                );
            }
            (None, _) if self.ask.layer.is_some() || self.ask.head.is_some() => {
                hint(ui, "This layer has no such map. Choose another layer.");
            }
            (None, _) => {
                hint(ui, "The model has no such map.");
            }
            (Some((map, _)), Look::Read) => {
                hint(ui, "What was read is not a reason: test it below.").on_hover_text(
                    "Attention tells where a model looked, not why it answered. Ask again without the region to see whether the answer changes.",
                );
                let map = map.clone();
                self.what_it_read(ui, &map);
            }
            (Some(_), Look::Attention) => {
                let image = self.image_share(&answer);
                hint(ui, format!("{:.0} % of the attention went to the picture", 100.0 * image));
                let sinks = self.sinks_in_range().len();
                let help = "Patches that draw attention whatever is asked; crosses mark them";
                if sinks > 0 || self.settings.now.ask.without_sinks {
                    let words = format!("Without attention sinks ({sinks})");
                    toggle(ui, &mut self.settings.now.ask.without_sinks, &words, help);
                }
            }
            (Some(_), Look::Selected) => {}
        }
        self.scrubbers(ui, &answer);
        let choices = &mut self.settings.now.ask;
        labelled(
            ui,
            "Opacity",
            "Of the map over the picture",
            &mut choices.opacity,
            &Scale::new(0.0..=1.0, 0.7, 0.05, 2),
        );
        toggle(
            ui,
            &mut choices.boxes,
            "Boxes around the strongest places",
            "With the share of layers and words that read them",
        );
        for line in cost_in_words(&answer.cost) {
            hint(ui, line);
        }
        if let Some(both) = answer.yes_no.filter(|both| both.yes + both.no > 0.05) {
            hint(ui, format!("Yes or no: yes {:.0} %", 100.0 * both.share()));
        }
        self.tests_of_the_map(ui, &answer);
        ui.add_space(space::S);
    }

    /// The share of attention on the picture in the range that is looked at.
    fn image_share(&self, answer: &Answer) -> f32 {
        let range = self.ask.range();
        let tokens = range.tokens.unwrap_or_else(|| answer.spoken());
        let tokens = tokens.start.min(answer.tokens.len())..tokens.end.min(answer.tokens.len());
        let layers = answer.tokens[tokens].iter().flat_map(|token| &token.layers);
        let layers = layers.filter(|layer| range.layers.as_ref().is_none_or(|some| some.contains(&layer.layer)));
        let shares: Vec<f32> = layers.map(|layer| layer.shares.low + layer.shares.high).collect();
        shares.iter().sum::<f32>() / shares.len().max(1) as f32
    }

    /// Sliders over words, layers and heads.
    fn scrubbers(&mut self, ui: &mut Ui, answer: &Answer) {
        let words = answer.words();
        if words.len() > 1 {
            let at = words.iter().position(|word| self.ask.word.as_ref() == Some(&word.tokens)).map_or(0, |at| at + 1);
            let mut value = at as f64;
            let scale = Scale::new(0.0..=words.len() as f64, 0.0, 1.0, 0);
            labelled(ui, "Word", "0 is the whole answer", &mut value, &scale);
            let now = value.round() as usize;
            if now != at {
                self.ask.word = now.checked_sub(1).and_then(|index| words.get(index)).map(|word| word.tokens.clone());
            }
        }
        let layers = answer.tokens.first().map_or(0, |token| token.layers.len());
        let mut value = self.ask.layer.map_or(0.0, |layer| (layer + 1) as f64);
        let scale = Scale::new(0.0..=layers.max(1) as f64, 0.0, 1.0, 0);
        labelled(ui, "Layer", "0 is all layers that have the map", &mut value, &scale);
        self.ask.layer = (value.round() as usize).checked_sub(1);
        let heads = answer
            .tokens
            .first()
            .and_then(|token| token.layers.first())
            .map_or(0, |layer| if layer.by_head.is_some() { layer.heads } else { 0 });
        if self.settings.now.ask.look == Look::Attention && heads > 1 {
            let mut value = self.ask.head.map_or(0.0, |head| (head + 1) as f64);
            let scale = Scale::new(0.0..=heads as f64, 0.0, 1.0, 0);
            labelled(ui, "Head", "0 is the mean of all heads", &mut value, &scale);
            self.ask.head = (value.round() as usize).checked_sub(1);
        } else {
            self.ask.head = None;
        }
    }

    /// What the answer becomes when the model reads more, less, or not this place.
    fn tests_of_the_map(&mut self, ui: &mut Ui, answer: &Answer) {
        let idle = !self.ask.is_working();
        let region = self.region_that_was_read().is_some();
        let mut again = None;
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
            for mode in AttentionMode::ALL.into_iter().filter(|mode| *mode != answer.attention) {
                let words = format!("Ask with {}", title(mode).to_lowercase());
                let button = TextButton::new(&words).quiet().enabled(idle).show(ui);
                if button.on_hover_text("The same question in another mode, to compare answer and cost").clicked() {
                    again = Some((mode, Part::Whole));
                }
            }
            let without = TextButton::new("Without the region").icon(Icon::Without).quiet().enabled(idle && region);
            let help = "Fills what was read with grey and asks again: does the answer change?";
            if without.show(ui).on_hover_text(help).clicked() {
                again = Some((answer.attention, Part::Without));
            }
            let only = TextButton::new("Only the region").icon(Icon::Solo).quiet().enabled(idle && region);
            let help = "Cuts what was read out, enlarges it and asks again";
            if only.show(ui).on_hover_text(help).clicked() {
                again = Some((answer.attention, Part::Only));
            }
            let keep = TextButton::new("Use as region").icon(Icon::Region).quiet().enabled(region);
            let help = "Keeps what was read as a named region, to bound an instruction in the Edit lens";
            if keep.show(ui).accessible_name("Use what was read as a region").on_hover_text(help).clicked() {
                self.keep_what_was_read();
            }
        });
        if let Some((mode, part)) = again {
            self.ask_again(ui.ctx(), mode, part);
        }
        self.beside_menu(ui);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_between_two_are_those_in_either_order() {
        assert_eq!(through(&(1..2), &(4..6)), 1..6);
        assert_eq!(through(&(4..6), &(1..2)), 1..6);
        assert_eq!(through(&(1..6), &(2..3)), 1..6);
    }

    #[test]
    fn operations_have_three_digits_that_count() {
        assert_eq!(operations(8.674e12), "8.67 TFLOP");
        assert_eq!(operations(22.14e6), "22.1 MFLOP");
        assert_eq!(operations(123_456_789.0), "123 MFLOP");
        assert_eq!(operations(12.0), "12 FLOP");
    }

    #[test]
    fn the_cost_names_tokens_share_and_time() {
        let cost = Cost {
            layers: vec![crate::ask::cost::LayerCost { operations: 3e9, projected: 10, read: 40 }],
            full: 6e9,
            passes: 2,
            high_tokens: 80,
            prompt_seconds: 0.25,
            decoding_seconds: 0.5,
            ..Cost::default()
        };
        let lines = cost_in_words(&cost);
        assert_eq!(lines[0], "A layer read 20 of 80 high-resolution tokens (25 %)");
        assert_eq!(lines[1], "Decoder 3.00 GFLOP: 0.50 of reading everything");
        assert_eq!(lines[2], "first word 0.25 s, then 2.0 tokens a second");
    }
}
