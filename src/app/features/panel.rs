//! The panel at the right: which map, which models, how they look, then the controls of the map, and what to do with it.

use egui::{Frame, Margin, Panel, ScrollArea, Ui};

use super::Between;
use super::looking::{Sight, cost_in_words, sentence};
use super::panes::{MapKind, Slot};
use super::settings::{Sharing, Size};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, TextButton, chip, hint, rule, section, segmented, toggle};
use crate::app::widgets::progress;
use crate::app::widgets::sliders::{Scale, fixed_label, labelled};
use crate::engine::JobState;
use crate::nets::vit::Cost;

impl Glassbox {
    pub(in crate::app) fn features_panel(&mut self, ui: &mut Ui) {
        let mut map = self.features.active_pane().map;
        segmented(ui, "Map", &mut map, &MapKind::ALL);
        if let Some(pane) = self.features.active_pane_mut() {
            pane.map = map;
        }
        ui.add_space(space::XS);
        hint(ui, map.explanation());
        let frame = Frame::new().inner_margin(Margin { top: 10, ..Margin::ZERO });
        Panel::bottom("features actions")
            .frame(frame)
            .show_separator_line(true)
            .show(ui, |ui| self.features_actions(ui));
        ScrollArea::vertical().auto_shrink([false, false]).id_salt("features").show(ui, |ui| {
            // Room for the scroll bar.
            ui.set_max_width(ui.available_width() - 6.0);
            self.model_choice(ui);
            rule(ui);
            match map {
                MapKind::Pca => self.pca_controls(ui),
                MapKind::Clusters => self.cluster_controls(ui),
                MapKind::Similarity => self.similarity_controls(ui),
                MapKind::Norm => {}
                MapKind::Difference => self.difference_controls(ui),
            }
            if map != MapKind::Norm {
                rule(ui);
            }
            self.display_controls(ui, map);
            if self.model_name(Slot::A).is_some() {
                rule(ui);
            }
            self.looking_controls(ui);
        });
    }

    fn difference_controls(&mut self, ui: &mut Ui) {
        let all = [(Between::Versions, "Two versions"), (Between::Models, "Models A and B")];
        segmented(ui, "Difference between", &mut self.features.between, &all);
        let words = match self.features.between {
            Between::Versions => {
                let compared =
                    self.document.as_ref().map(|document| document.version(document.standing.compared).title.clone());
                format!("The pane's version against “{}”, by one model.", compared.unwrap_or_default())
            }
            Between::Models => "The same version by both models: what fine-tuning changed, for one.".to_owned(),
        };
        hint(ui, words);
    }

    /// Which models, and which layer of them.
    fn model_choice(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let width = (ui.available_width() - 2.0 * 18.0 - 3.0 * space::S) / 2.0;
            for slot in [Slot::A, Slot::B] {
                fixed_label(ui, slot.letter(), 18.0);
                self.model_menu(ui, slot, Some(width));
            }
        });
        let name = self.model_name(Slot::A);
        let known = name.as_ref().and_then(|name| self.features.backbones.know(ui.ctx(), name));
        let depth = match &known {
            Some(Ok(known)) => known.facts.config.depth,
            Some(Err(fault)) => {
                hint(ui, sentence(fault));
                return;
            }
            None => return,
        };
        let mut layer = depth.saturating_sub(self.settings.now.features.before_last) as f64;
        let scale = Scale::new(0.0..=depth as f64, depth as f64, 1.0, 0);
        let help = "Which layer's tokens: 0 is what enters the first block, the last is what the paper uses. All layers come from one look.";
        labelled(ui, "Layer", help, &mut layer, &scale);
        self.settings.now.features.before_last = depth.saturating_sub(layer.round() as usize);
        if let Some((words, _)) = self.cost_of_looking(ui) {
            hint(ui, words);
        }
    }

    /// How the models look.
    fn looking_controls(&mut self, ui: &mut Ui) {
        let name = self.model_name(Slot::A);
        let known = name.as_ref().and_then(|name| self.features.backbones.know(ui.ctx(), name));
        let Some(Ok(known)) = known else { return };
        let config = &known.facts.config;
        section(ui, "Looking", |ui| {
            if chip(ui, "As in the paper")
                .accessible_name("Look as in the paper")
                .on_hover_text("The picture at its own size, ImageNet's normalisation, the last layer after the norm")
                .clicked()
            {
                let features = &mut self.settings.now.features;
                features.size = Size::Source;
                features.padded = false;
                features.imagenet = true;
                features.normed = true;
                features.before_last = 0;
            }
        });
        let mut size = match self.settings.now.features.size {
            Size::Own => 0,
            Size::Longer(_) => 1,
            Size::Source => 2,
        };
        let native = known.facts.input_size.map_or(518, |(height, width)| height.max(width));
        if segmented(ui, "Size", &mut size, &[(0, "The model's size"), (1, "Another"), (2, "The picture's")]) {
            self.settings.now.features.size = match size {
                0 => Size::Own,
                1 => Size::Longer(native),
                _ => Size::Source,
            };
        }
        if let Size::Longer(side) = &mut self.settings.now.features.size {
            let patch = f64::from(u32::try_from(config.patch).unwrap_or(16).max(1));
            let mut value = f64::from(*side);
            let top = ((f64::from(native) * 2.5).max(1036.0) / patch).floor() * patch;
            let scale = Scale::new(4.0 * patch..=top, f64::from(native), patch, 0).suffix(" px");
            let help =
                "The longer side at which the model looks. Larger shows finer patches and costs the square of it.";
            labelled(ui, "Longer side", help, &mut value, &scale);
            *side = value.round() as u32;
        }
        let help = "Fills the picture up to whole patches at its rim, where its sides would otherwise be brought to the nearest whole number of them";
        toggle(ui, &mut self.settings.now.features.padded, "Keep the proportions", help);
        let help = "Applies the model's last norm to the tokens, as most uses of features do";
        toggle(ui, &mut self.settings.now.features.normed, "Last norm", help);
        let help = "Normalises values with ImageNet's mean and deviation whatever the model says, as FiT3D does for every model";
        toggle(ui, &mut self.settings.now.features.imagenet, "ImageNet's normalisation", help);
    }

    /// What looking at the shown version takes, in words: "518 × 518 → 37 × 37 patches", then the cost.
    fn cost_of_looking(&mut self, ui: &Ui) -> Option<(String, Cost)> {
        let name = self.model_name(Slot::A)?;
        let known = self.features.backbones.know(ui.ctx(), &name)?.ok()?;
        let size = self.document.as_ref()?.shown().picture.size();
        let settings = self.settings.now.features.extraction(vec![-1]);
        let (place, cost) = known.facts.estimate(size, &settings).ok()?;
        let seconds = self.features.looking.seconds(&cost);
        let (width, height) = place.plan.working;
        let sizes = format!("{width} × {height} pixels, {} × {} patches", place.columns, place.rows);
        let words = format!("{sizes}: {}", cost_in_words(&cost, seconds));
        Some((words, cost))
    }

    /// Below everything: looking where it has to be asked for, regions, export.
    fn features_actions(&mut self, ui: &mut Ui) {
        let p = palette(ui.ctx());
        if let Some(snapshot) = self.features.looking.progress() {
            let fraction = (snapshot.steps > 0).then(|| snapshot.step as f32 / snapshot.steps as f32);
            ui.horizontal(|ui| {
                ui.label(match snapshot.state {
                    JobState::Waiting => "Waiting for its turn".to_owned(),
                    _ if snapshot.steps > 0 => format!("Layer {} of {}", snapshot.step, snapshot.steps),
                    _ => snapshot.stage.clone(),
                });
                ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                    if let Some(left) = snapshot.remaining {
                        hint(ui, format!("{} left", progress::time_in_words(left)));
                    }
                });
            });
            let width = ui.available_width();
            progress::bar(ui, "Progress of looking", fraction, width, p.accent);
            ui.add_space(2.0);
            if TextButton::new("Stop looking").icon(Icon::Stop).show(ui).clicked() {
                self.features.looking.stop(&self.engine);
            }
        } else if self.features.looking.asks() {
            if let Some((words, _)) = self.cost_of_looking(ui) {
                hint(ui, words);
            }
            let width = ui.available_width();
            if TextButton::new("Look").icon(Icon::Eye).primary().tall().width(width).show(ui).clicked() {
                self.features.looking.agree();
                ui.ctx().request_repaint();
            }
        }
        if let Some(now) = self.features.active_now()
            && let Sight::Here(seen) = &now.sight
            && seen.one_colour
        {
            hint(ui, "The picture is one colour everywhere: its patches differ by their positions alone.");
        }
        ui.horizontal(|ui| {
            self.region_button_of_map(ui);
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| self.export_menu(ui));
        });
    }

    /// Whether panes share their colours.
    pub(super) fn is_shared(&mut self, ui: &mut Ui) {
        if self.features.panes.len() < 2 {
            return;
        }
        ui.horizontal(|ui| {
            let shared = &mut self.settings.now.features.shared;
            let icon = if *shared == Sharing::Pane { Icon::Unlink } else { Icon::Link };
            let (rect, _) = ui.allocate_exact_size(egui::vec2(18.0, 18.0), egui::Sense::hover());
            crate::app::icons::paint(ui.painter(), rect, 14.0, icon, palette(ui.ctx()).muted);
            hint(ui, "The same colour means the same in").on_hover_text(
                "Panes that share a basis, or clusters, have comparable colours. Models can share where their features are equally wide: a model and its fine-tuned twin.",
            );
        });
        let all = [(Sharing::Pane, "Each pane"), (Sharing::Versions, "All versions"), (Sharing::Models, "Models too")];
        segmented(ui, "Shared colours", &mut self.settings.now.features.shared, &all);
    }

    /// A small button in a heading.
    pub(super) fn small_icon(ui: &mut Ui, icon: Icon, name: &str, help: &str, enabled: bool) -> bool {
        IconButton::new(icon, name).help(help).small().enabled(enabled).show(ui).clicked()
    }
}
