//! Choosing who proposes instructions: the dialog with the sources, what each needs, and whether it is there.

use egui::{CornerRadius, CursorIcon, Frame, Margin, RichText, Role, Sense, TextEdit, Ui, WidgetInfo, vec2};

use super::language::{Kind, Language, LanguageSettings, host};
use super::work::LanguageFound;
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::icons::Icon;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{TextButton, chip, hint};
use crate::app::widgets::sliders::fixed_label;
use crate::engine::jobs::specify::KEY_VARIABLE;

/// What is known of the source that was looked at last.
#[derive(Default)]
pub(crate) struct Look {
    of: Option<Language>,
    looking: Option<Background<LanguageFound>>,
    found: Option<Result<LanguageFound, String>>,
}

/// The most names of a server's models that are offered.
const OFFERED: usize = 12;

impl Glassbox {
    /// Looks whether the chosen source is there. For a server this asks it for its list of models.
    fn look_at_language(&mut self, ui: &Ui) {
        let language = self.settings.now.language_model.chosen();
        let (workshop, ctx, of) = (self.edit.workshop.clone(), ui.ctx().clone(), language.clone());
        let looking = Background::start("look at a language model", move || {
            let found = workshop.look_at_language(&language);
            ctx.request_repaint();
            found
        });
        self.edit.look = Look { of: Some(of), looking: Some(looking), found: None };
    }

    /// Draws the inside of the dialog; says whether it is done.
    pub(in crate::app) fn language_choice(&mut self, ui: &mut Ui) -> bool {
        if let Some(found) = self.edit.look.looking.as_mut().and_then(Background::take) {
            self.edit.look.looking = None;
            self.edit.look.found = Some(found);
        }
        ui.set_width(480.0);
        ui.heading("Who proposes instructions");
        hint(
            ui,
            "It describes the picture and turns the wish into instructions. You look at them before anything runs.",
        );
        ui.add_space(space::S);
        let mut look = false;
        for kind in Kind::ALL {
            let chosen = self.settings.now.language_model.kind == kind;
            source(ui, kind, chosen, |ui| look |= self.fields(ui, kind)).then(|| {
                self.settings.now.language_model.kind = kind;
            });
            ui.add_space(2.0);
        }
        if look {
            self.look_at_language(ui);
        }
        ui.add_space(space::S);
        TextButton::new("Done").primary().show(ui).clicked()
    }

    /// What the chosen source needs; says whether to look for it.
    fn fields(&mut self, ui: &mut Ui, kind: Kind) -> bool {
        let settings = &mut self.settings.now.language_model;
        let mut look = false;
        match kind {
            Kind::Starter | Kind::ByHand => return false,
            Kind::Files => {
                field(ui, "Folder", "Folder of the language model", "/models/my-chat-model", &mut settings.path);
                look |= ui
                    .horizontal(|ui| {
                        ui.add_space(FIRST + space::S);
                        let ready = settings.lacks().is_none() && self.edit.look.looking.is_none();
                        TextButton::new("Look at it").icon(Icon::Search).enabled(ready).show(ui).clicked()
                    })
                    .inner;
                self.what_was_found(ui);
            }
            Kind::Server => {
                field(ui, "Address", "Address of the server", "http://localhost:11434", &mut settings.address);
                field(ui, "Model", "Model of the server", "the only one it offers", &mut settings.server_model);
                look |= ui
                    .horizontal(|ui| {
                        ui.add_space(FIRST + space::S);
                        let ready = settings.lacks().is_none() && self.edit.look.looking.is_none();
                        let ask = TextButton::new("Ask which models it has").icon(Icon::Search).enabled(ready);
                        ask.show(ui).clicked()
                    })
                    .inner;
                self.what_was_found(ui);
                let settings = &self.settings.now.language_model;
                let to = if settings.lacks().is_some() { "it".to_owned() } else { host(&settings.address) };
                hint(
                    ui,
                    format!(
                        "The wish and the words that describe the picture are sent to {to}; the picture itself never is."
                    ),
                );
                let has_key = std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty());
                let state = if has_key { "is set and is used" } else { "is not set, so none is sent" };
                hint(ui, format!("A key is only read from the environment variable {KEY_VARIABLE}: it {state}."));
            }
        }
        look
    }

    fn what_was_found(&mut self, ui: &mut Ui) {
        let p = palette(ui.ctx());
        let chosen = self.settings.now.language_model.chosen();
        // Another name of a model does not make what a server answered untrue.
        let same = match (&self.edit.look.of, &chosen) {
            (Some(Language::Server { address: known, .. }), Language::Server { address, .. }) => known == address,
            (known, chosen) => known.as_ref() == Some(chosen),
        };
        if !same {
            return;
        }
        if self.edit.look.looking.is_some() {
            hint(ui, "Looking…");
        }
        match &self.edit.look.found {
            Some(Ok(found)) => {
                ui.label(RichText::new(&found.words).small().color(p.success));
                ui.horizontal_wrapped(|ui| {
                    ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
                    for name in found.models.iter().take(OFFERED) {
                        if chip(ui, name).clicked() {
                            self.settings.now.language_model.server_model.clone_from(name);
                        }
                    }
                });
            }
            Some(Err(sentence)) => {
                let sentence = format!("{}.", sentence.trim_end_matches('.'));
                ui.label(RichText::new(sentence).small().color(p.error));
            }
            None => {}
        }
    }
}

impl LanguageSettings {
    /// For the button that leads here.
    pub(crate) fn button(&self) -> String {
        format!("Who proposes: {}", self.title())
    }
}

const FIRST: f32 = 62.0;

fn field(ui: &mut Ui, label: &str, name: &str, example: &str, text: &mut String) {
    ui.horizontal(|ui| {
        fixed_label(ui, label, FIRST);
        let edit = TextEdit::singleline(text).hint_text(example).desired_width(f32::INFINITY);
        ui.add(edit.margin(Margin::symmetric(8, 5))).accessible_name(name);
    });
}

/// A source as a card with a radio mark; `inside` is drawn below the chosen one. Says whether it was chosen now.
fn source(ui: &mut Ui, kind: Kind, chosen: bool, inside: impl FnOnce(&mut Ui)) -> bool {
    let p = palette(ui.ctx());
    let stroke = if chosen { egui::Stroke::new(1.5, p.accent) } else { p.outline() };
    let frame = Frame::new().fill(p.panel).stroke(stroke).corner_radius(CornerRadius::same(radius::CARD));
    frame
        .inner_margin(Margin::symmetric(12, 8))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.spacing_mut().item_spacing.y = space::XS;
            let head = ui.scope_builder(egui::UiBuilder::new().sense(Sense::click()), |ui| {
                ui.horizontal_top(|ui| {
                    let (mark, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
                    let ring = egui::Stroke::new(1.5, if chosen { p.accent } else { p.muted });
                    ui.painter().circle_stroke(mark.center(), 7.0, ring);
                    if chosen {
                        ui.painter().circle_filled(mark.center(), 3.5, p.accent);
                    }
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = 2.0;
                        ui.label(kind.title());
                        hint(ui, kind.about());
                    });
                });
            });
            let head = head.response;
            head.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, kind.title()));
            if head.has_focus() {
                ui.painter().rect_stroke(
                    head.rect.expand(4.0),
                    CornerRadius::same(radius::SMALL),
                    p.focus_ring(),
                    egui::StrokeKind::Inside,
                );
            }
            if chosen {
                inside(ui);
            }
            head.on_hover_cursor(CursorIcon::PointingHand).clicked() && !chosen
        })
        .inner
}
