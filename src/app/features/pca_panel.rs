//! The controls of PCA maps: components and their range, the foreground, the basis.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Context, Ui};

use super::PaneNow;
use super::analysis::FileBasis;
use super::looking::sentence;
use super::settings::{PcaChoice, Rule, Sharing};
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::icons::Icon;
use crate::app::notices::Level;
use crate::app::opening::Purpose;
use crate::app::theme::space;
use crate::app::widgets::buttons::{IconButton, chip, hint, section, segmented, toggle};
use crate::app::widgets::histogram;
use crate::app::widgets::sliders::{Scale, fixed_label, labelled, stepper};
use crate::features::pca::{Basis, USUAL_COMPONENTS};

impl Glassbox {
    pub(super) fn pca_controls(&mut self, ui: &mut Ui) {
        section(ui, "Components", |ui| {
            let help = "One smallest and one largest value for the first three components, a basis for each pane";
            if chip(ui, "As in the paper").accessible_name("PCA as in the paper").on_hover_text(help).clicked() {
                self.settings.now.features.pca = PcaChoice::paper();
                self.settings.now.features.shared = Sharing::Pane;
                self.features.basis = None;
            }
            if self.settings.now.features.pca != PcaChoice::default() {
                let restore = IconButton::new(Icon::Restore, "Usual PCA settings").small().show(ui);
                if restore.clicked() {
                    self.settings.now.features.pca = PcaChoice::default();
                }
            }
        });
        let found = self.features.active_now().and_then(PaneNow::seen).map(|seen| seen.id);
        let found = found.and_then(|id| self.features.analysis.pca(id)).map(|(_, of)| of.clone());
        let count = found.as_ref().map_or(USUAL_COMPONENTS, |of| of.basis.count()).max(3);
        let choice = &mut self.settings.now.features.pca;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            for (name, component) in ["Red", "Green", "Blue"].into_iter().zip(&mut choice.components) {
                hint(ui, name);
                let mut shown = (*component + 1).min(count);
                stepper(ui, &format!("component shown as {}", name.to_lowercase()), &mut shown, 1..=count);
                *component = shown - 1;
                ui.add_space(space::S);
            }
        });
        if let Some(of) = &found {
            let explained = of.basis.explained();
            let chosen = choice.components;
            let sum: f32 = chosen
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .filter_map(|at| explained.get(*at))
                .sum();
            histogram::bars(ui, "Variance that each component explains", &explained, &chosen);
            hint(ui, format!("These explain {:.0} % of the variance of {} patches.", 100.0 * sum, of.basis.patches()));
        }
        let rules = [(Rule::Percentiles, "Percentiles"), (Rule::Joint, "Joint"), (Rule::Deviations, "Robust")];
        segmented(ui, "Range of colours", &mut choice.rule, &rules);
        match choice.rule {
            Rule::Percentiles => {
                let low = Scale::new(0.0..=25.0, 1.0, 1.0, 0).suffix(" %");
                labelled(
                    ui,
                    "Black below",
                    "The percentile of each component that becomes black.",
                    &mut choice.low,
                    &low,
                );
                let high = Scale::new(75.0..=100.0, 99.0, 1.0, 0).suffix(" %");
                labelled(ui, "Full above", "The percentile that becomes full colour.", &mut choice.high, &high);
            }
            Rule::Joint => {
                hint(ui, "One range for all three components, as in the paper: a single far patch darkens all others.");
            }
            Rule::Deviations => {
                hint(ui, "Three median absolute deviations around the median of each component.");
            }
        }
        ui.add_space(space::XS);
        let help = "Parts the picture in two on the first component, and shows the components of the foreground alone";
        toggle(ui, &mut choice.foreground, "Only the foreground", help);
        if choice.foreground
            && let Some(of) = &found
        {
            let (low, high) = (of.histogram.low, of.histogram.high);
            let mut at =
                choice.threshold.unwrap_or_else(|| if high > low { (of.threshold - low) / (high - low) } else { 0.5 });
            let before = at;
            histogram::threshold(
                ui,
                "Threshold on the first component",
                &of.histogram.counts,
                &mut at,
                choice.inverted,
            );
            if (at - before).abs() > f32::EPSILON {
                choice.threshold = Some(at);
            }
            ui.horizontal(|ui| {
                toggle(ui, &mut choice.inverted, "The other side", "Takes what is on the other side of the threshold");
                if choice.threshold.is_some()
                    && chip(ui, "Find it").on_hover_text("The threshold that parts best").clicked()
                {
                    choice.threshold = None;
                }
            });
        }
        self.is_shared(ui);
        self.basis_controls(ui, found.is_some());
        if let Some(fault) = self.features.analysis.pca_fault().filter(|_| self.features.panes.len() > 1) {
            hint(ui, fault.to_owned());
        }
    }

    fn basis_controls(&mut self, ui: &mut Ui, there_is_one: bool) {
        ui.horizontal(|ui| {
            fixed_label(ui, "Basis", 46.0);
            let mut forgotten = false;
            match &self.features.basis {
                Some(file) => {
                    ui.add(egui::Label::new(&file.name).truncate())
                        .on_hover_text("The basis is from this file; nothing is fitted to the picture");
                    forgotten = IconButton::new(Icon::Close, "Fit a basis again").small().show(ui).clicked();
                }
                None => {
                    hint(ui, "fitted to what is shown");
                }
            }
            if forgotten {
                self.features.basis = None;
            }
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                let keep = IconButton::new(Icon::Export, "Save the basis…")
                    .help("For other pictures in the same colours, here and with `glassbox features --basis`")
                    .small()
                    .enabled(there_is_one);
                if keep.show(ui).clicked() {
                    self.ask_where_to_export_features(ui.ctx(), super::ExportWhat::Basis);
                }
                let load =
                    IconButton::new(Icon::Open, "Load a basis…").help("A basis saved here or by the command line");
                if load.small().show(ui).clicked() {
                    self.ask_for_a_basis(ui.ctx());
                }
            });
        });
    }

    fn ask_for_a_basis(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(Purpose::Basis, move || {
            let choice = dialogs.open_file(folder.as_deref(), "Load a basis", &[("PCA basis", &["safetensors"])]);
            ctx.request_repaint();
            Ok(choice)
        });
    }

    /// Reads a basis from a file.
    pub(in crate::app) fn basis_from(&mut self, ctx: &Context, path: PathBuf) {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let ctx = ctx.clone();
        let task = Background::start("load a basis", move || {
            let basis = Basis::load(&path).map_err(|error| sentence(&error.to_string()));
            ctx.request_repaint();
            basis
        });
        self.features.reading_basis = Some((name, task));
    }

    pub(super) fn poll_basis(&mut self) {
        let Some((name, mut task)) = self.features.reading_basis.take() else { return };
        match task.take() {
            None => self.features.reading_basis = Some((name, task)),
            Some(Err(words)) => self.notices.explain(Level::Error, format!("{name} cannot be used"), words),
            Some(Ok(basis)) => {
                self.features.bases_read += 1;
                let id = self.features.bases_read;
                self.features.basis = Some(FileBasis { name, basis: Arc::new(basis), id });
            }
        }
    }
}
