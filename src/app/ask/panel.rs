//! The panel at the right: the conversation, what the chosen answer shows of itself, and the field below.

use egui::{
    Align, CornerRadius, Frame, Id, Key, Layout, Margin, Panel, RichText, ScrollArea, Sense, TextEdit, Ui, vec2,
};

use super::exchange::{Exchange, State};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton, chip, hint, rule, section, segmented, toggle};
use crate::app::widgets::progress;
use crate::app::widgets::sliders::{Scale, labelled};
use crate::ask::model::{VlmFacts, WeightBits};
use crate::ask::settings::AttentionMode;
use crate::engine::bytes_in_words;
use crate::ops::device::Compute;

/// Questions to begin with.
const EXAMPLES: [&str; 4] =
    ["what is written on the sign?", "how many windows are lit?", "is there a boat?", "which colour is the door?"];

/// What is done with an exchange.
enum Asked {
    Choose(u64),
    Copy(String),
    Edit(u64),
    Again(u64),
    Forget(u64),
}

impl Glassbox {
    pub(in crate::app) fn ask_panel(&mut self, ui: &mut Ui) {
        Panel::bottom("ask field")
            .frame(Frame::new().inner_margin(Margin { left: 0, right: 0, top: 8, bottom: 0 }))
            .show(ui, |ui| self.question_field(ui));
        ScrollArea::vertical().auto_shrink([false, false]).stick_to_bottom(self.ask.is_working()).show(ui, |ui| {
            // Room for the scroll bar.
            ui.set_max_width(ui.available_width() - 6.0);
            self.conversation(ui);
            self.check_section(ui);
            rule(ui);
            self.ask_settings(ui);
        });
    }

    fn conversation(&mut self, ui: &mut Ui) {
        let any = self.ask.exchanges.iter().any(|exchange| exchange.about.checks.is_none());
        let (mut clear, mut export) = (false, false);
        section(ui, "Questions", |ui| {
            if any {
                let new = IconButton::new(Icon::Plus, "New conversation").small();
                clear = new.help("The next question begins anew; earlier ones stay in the list").show(ui).clicked();
                let out = IconButton::new(Icon::Export, "Export the conversation…").small();
                export = out.help("Markdown, with the maps as pictures beside it").show(ui).clicked();
            }
        });
        if clear {
            self.ask.fresh = self.ask.next;
        }
        if export {
            self.ask_where_to_export_the_conversation(ui.ctx());
        }
        if !any {
            hint(ui, "Ask about the picture. For every word of the answer you will see which parts were read closely.");
            ui.add_space(space::XS);
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
                for example in EXAMPLES {
                    if chip(ui, example).clicked() {
                        self.ask.question = example.to_owned();
                        self.ask.focus = true;
                    }
                }
            });
            return;
        }
        let mut asked = None;
        let ids: Vec<u64> = self
            .ask
            .exchanges
            .iter()
            .filter(|exchange| exchange.about.checks.is_none())
            .map(|exchange| exchange.about.id)
            .collect();
        let mut conversation = None;
        for id in ids {
            let of = self.ask.get(id).map(|exchange| exchange.about.conversation);
            if conversation.is_some() && conversation != of {
                hint(ui, "A new conversation");
            }
            conversation = of;
            self.exchange_card(ui, id, &mut asked);
            ui.add_space(space::S);
        }
        match asked {
            Some(Asked::Choose(id)) => self.ask.choose(Some(id)),
            Some(Asked::Copy(text)) => ui.ctx().copy_text(text),
            Some(Asked::Edit(id)) => {
                if let Some(exchange) = self.ask.get(id) {
                    self.ask.question = exchange.about.question.clone();
                    self.ask.focus = true;
                }
            }
            Some(Asked::Again(id)) => {
                self.ask.choose(Some(id));
                if let Some((attention, part)) =
                    self.ask.get(id).map(|exchange| (exchange.about.attention, exchange.about.part))
                {
                    self.ask_again(ui.ctx(), attention, part);
                }
            }
            Some(Asked::Forget(id)) => self.forget_exchange(id),
            None => {}
        }
    }

    fn exchange_card(&mut self, ui: &mut Ui, id: u64, asked: &mut Option<Asked>) {
        let p = palette(ui.ctx());
        let chosen = self.ask.chosen == Some(id);
        let Some(exchange) = self.ask.get(id) else { return };
        let several = self.document.as_ref().is_some_and(|document| document.versions().len() > 1);
        let mut about = vec![exchange.about.attention.name().to_owned()];
        about.extend(exchange.about.part.words().map(str::to_owned));
        if several {
            about.push(exchange.title.clone());
        }
        let (question, model) = (exchange.about.question.clone(), exchange.about.model.clone());
        if self.vlm_name().is_some_and(|now| now != model) {
            about.push(crate::app::edit::work::short_name(&model));
        }
        let fill = if chosen { p.raised } else { p.panel };
        let stroke = if chosen { egui::Stroke::new(1.0, p.accent) } else { p.outline() };
        let card = Frame::new().fill(fill).stroke(stroke).corner_radius(CornerRadius::same(radius::CARD));
        card.inner_margin(Margin::same(10)).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                let width = ui.available_width() - 92.0;
                let label = ui.allocate_ui_with_layout(vec2(width, 20.0), Layout::left_to_right(Align::Min), |ui| {
                    ui.set_width(width);
                    ui.add(egui::Label::new(RichText::new(&question).color(p.muted)).sense(Sense::click()).wrap())
                });
                if label.inner.clicked() {
                    *asked = Some(Asked::Choose(id));
                }
                ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
                    ui.spacing_mut().item_spacing.x = 0.0;
                    if IconButton::new(Icon::Close, "Remove this question").small().show(ui).clicked() {
                        *asked = Some(Asked::Forget(id));
                    }
                    let done = self.ask.get(id).and_then(Exchange::answer).map(|answer| answer.text.trim().to_owned());
                    let idle = !self.ask.is_working();
                    if IconButton::new(Icon::Regenerate, "Answer again").small().enabled(idle).show(ui).clicked() {
                        *asked = Some(Asked::Again(id));
                    }
                    let edit = IconButton::new(Icon::Becomes, "Change the question").small();
                    if edit.help("Brings the question back into the field").show(ui).clicked() {
                        *asked = Some(Asked::Edit(id));
                    }
                    if let Some(text) = done
                        && IconButton::new(Icon::Copy, "Copy the answer").small().show(ui).clicked()
                    {
                        *asked = Some(Asked::Copy(text));
                    }
                });
            });
            self.answer_so_far(ui, id, chosen, asked);
            hint(ui, about.join(" · "));
        });
        if chosen && self.ask.get(id).and_then(Exchange::answer).is_some() {
            self.answer_controls(ui);
        }
    }

    fn answer_so_far(&mut self, ui: &mut Ui, id: u64, chosen: bool, asked: &mut Option<Asked>) {
        let p = palette(ui.ctx());
        let Some(exchange) = self.ask.get(id) else { return };
        match &exchange.state {
            State::Failed(sentence) => {
                let sentence = sentence.clone();
                ui.label(RichText::new(sentence).color(p.error));
            }
            State::Coming(coming) => {
                let (text, snapshot) = (coming.text(), coming.snapshot());
                if text.trim().is_empty() {
                    hint(ui, format!("{}…", snapshot.stage));
                } else {
                    ui.label(RichText::new(text.trim()).size(16.0));
                }
                let fraction =
                    (snapshot.steps > 0 && text.is_empty()).then(|| snapshot.step as f32 / snapshot.steps as f32);
                progress::bar(ui, "Progress of the answer", fraction, ui.available_width(), p.accent);
            }
            State::Here(answer) => {
                let answer = std::sync::Arc::clone(answer);
                if !chosen {
                    let text = if answer.text.trim().is_empty() { "(no words)" } else { answer.text.trim() };
                    let label = egui::Label::new(RichText::new(text).size(16.0)).sense(Sense::click()).wrap();
                    if ui.add(label).on_hover_text("Look into this answer").clicked() {
                        *asked = Some(Asked::Choose(id));
                    }
                    return;
                }
                self.words_of(ui, &answer);
            }
        }
    }

    fn question_field(&mut self, ui: &mut Ui) {
        let cannot = self.cannot_ask(ui.ctx());
        if let Some(sentence) = &cannot {
            hint(ui, sentence);
        }
        // A name of its own: the sentence above comes and goes.
        let field = TextEdit::multiline(&mut self.ask.question)
            .id(Id::unique("question"))
            .hint_text("Ask about the picture")
            .desired_rows(2)
            .desired_width(f32::INFINITY)
            .margin(Margin::symmetric(10, 8))
            .return_key(None);
        let field = ui.add(field).accessible_name("Question");
        // Asked for until it is there: the field that had it in the lens before takes it along when it goes.
        if self.ask.focus {
            self.ask.focus = !field.has_focus();
            field.request_focus();
            ui.ctx().request_repaint();
        }
        let submits = field.has_focus() && ui.input(|i| i.key_pressed(Key::Enter) && i.modifiers.is_none());
        ui.horizontal(|ui| {
            let all = AttentionMode::ALL.map(|mode| (mode, title(mode)));
            let width = ui.available_width();
            ui.allocate_ui(vec2(width - 108.0, 28.0), |ui| {
                let one = self.vlm_facts(ui.ctx()).is_some_and(|facts| facts.high_resolution.is_none());
                if one {
                    hint(ui, "This model looks at one resolution").on_hover_text(
                        "It has no weights that read high-resolution regions, so there is nothing to choose here.",
                    );
                } else {
                    segmented(ui, "Reads", &mut self.settings.now.ask.attention, &all);
                }
            });
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if self.ask.is_working() {
                    if TextButton::new("Stop").icon(Icon::Stop).show(ui).accessible_name("Stop the answer").clicked() {
                        self.stop_answering();
                    }
                } else {
                    let ready = cannot.is_none() && !self.ask.question.trim().is_empty();
                    let ask = TextButton::new("Ask").icon(Icon::Run).primary().enabled(ready);
                    if ask.show(ui).accessible_name("Ask the question").clicked() || (submits && ready) {
                        self.ask_the_question(ui.ctx());
                        self.ask.focus = true;
                    }
                }
            });
        });
    }

    /// What the chosen model is, where it is known.
    fn vlm_facts(&mut self, ctx: &egui::Context) -> Option<VlmFacts> {
        let name = self.vlm_name()?;
        Some(self.ask.models.know(ctx, &name)?.ok()?.facts.clone())
    }

    fn ask_settings(&mut self, ui: &mut Ui) {
        let facts = self.vlm_facts(ui.ctx());
        section(ui, "Answering", |_| {});
        let choices = &mut self.settings.now.ask;
        let scale = Scale::new(0.0..=2.0, 0.0, 0.05, 2);
        let help = "0 always takes the likeliest word; higher lets less likely ones through";
        labelled(ui, "Temperature", help, &mut choices.temperature, &scale);
        if choices.temperature > 0.0 {
            let scale = Scale::new(0.05..=1.0, 1.0, 0.05, 2);
            labelled(ui, "Top-p", "Only the likeliest words that together have this share", &mut choices.top_p, &scale);
        }
        let mut most = choices.max_tokens as f64;
        let scale = Scale::new(1.0..=1024.0, 128.0, 1.0, 0);
        labelled(ui, "Longest answer", "In tokens: words and parts of words", &mut most, &scale);
        choices.max_tokens = most.round().max(1.0) as usize;
        hint(ui, "Weights of the decoder");
        let all = [(WeightBits::Full, "Full"), (WeightBits::Eight, "8 bits"), (WeightBits::Four, "4 bits")];
        segmented(ui, "Weights", &mut choices.weights, &all);
        if let Some(facts) = facts {
            let bytes = facts.bytes(&Compute::cpu(), choices.weights);
            let count = (facts.decoder_parameters + facts.other_parameters) as f64;
            let numbers = match count {
                count if count >= 1e9 => format!("{:.1} billion", count / 1e9),
                count if count >= 1e6 => format!("{:.1} million", count / 1e6),
                count => format!("{:.0} thousand", count / 1e3),
            };
            hint(ui, format!("{numbers} numbers, about {} on the processor", bytes_in_words(bytes)));
        }
        toggle(
            ui,
            &mut choices.normalised,
            "Colours to the map's own largest value",
            "Off: one scale for all words and layers, so that they can be compared",
        );
    }
}

/// On the switch of modes.
pub(super) fn title(mode: AttentionMode) -> &'static str {
    match mode {
        AttentionMode::Low => "Low",
        AttentionMode::Flex => "Flex",
        AttentionMode::Full => "Full",
    }
}
