//! The controls of K-means maps: how many clusters, and the list of them.

use egui::{Color32, CornerRadius, Frame, Margin, Role, Sense, Stroke, StrokeKind, TextEdit, Ui, WidgetInfo, vec2};

use super::PaneNow;
use super::maps::cluster_colour;
use super::settings::{ClusterChoice, Sharing};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{IconButton, chip, hint, section, toggle};
use crate::app::widgets::sliders::{Scale, labelled};
use crate::features::kmeans::{MAX_CLUSTERS, MIN_CLUSTERS};

/// One cluster of the list.
struct Row {
    label: usize,
    /// Its place in the palette.
    place: usize,
    size: usize,
    colour: Color32,
}

impl Glassbox {
    pub(super) fn cluster_controls(&mut self, ui: &mut Ui) {
        section(ui, "Clusters", |ui| {
            let help = "Twenty clusters from random starts, in the paper's colours, for each pane by itself";
            if chip(ui, "As in the paper").accessible_name("K-means as in the paper").on_hover_text(help).clicked() {
                self.settings.now.features.clusters =
                    ClusterChoice { count: 20, as_paper: true, ..ClusterChoice::default() };
                self.settings.now.features.shared = Sharing::Pane;
            }
            if self.settings.now.features.clusters != ClusterChoice::default()
                && IconButton::new(Icon::Restore, "Usual K-means settings").small().show(ui).clicked()
            {
                self.settings.now.features.clusters = ClusterChoice::default();
            }
        });
        let choice = &mut self.settings.now.features.clusters;
        let mut count = choice.count as f64;
        let scale = Scale::new(MIN_CLUSTERS as f64..=MAX_CLUSTERS as f64, 8.0, 1.0, 0);
        let help = "How many kinds of patches are told apart. Clusters that stay keep their colours.";
        labelled(ui, "How many", help, &mut count, &scale);
        choice.count = (count.round() as usize).clamp(MIN_CLUSTERS, MAX_CLUSTERS);
        toggle(
            ui,
            &mut choice.as_paper,
            "The paper's colours",
            "Random starts and the twenty colours of the paper's figures; colours then go by size",
        );
        self.is_shared(ui);
        if let Some(fault) = self.features.analysis.clusters_fault() {
            hint(ui, fault.to_owned());
            return;
        }
        let seen = self.features.active_now().and_then(PaneNow::seen).map(|seen| seen.id);
        let Some((_, of)) = seen.and_then(|id| self.features.analysis.clusters(id)) else { return };
        let patches = of.clustering.labels(of.place).len().max(1);
        let places = of.clustering.colours();
        let as_paper = self.settings.now.features.clusters.as_paper;
        let rows: Vec<Row> = places
            .iter()
            .enumerate()
            .map(|(label, place)| Row {
                label,
                place: *place,
                size: of.sizes.get(label).copied().unwrap_or(0),
                colour: cluster_colour(as_paper, label, *place, places.len()),
            })
            .collect();
        let together = of.group.len();
        ui.add_space(space::XS);
        section(ui, "List", |ui| {
            let all_shown = self.features.hidden.is_empty();
            let (icon, name) =
                if all_shown { (Icon::EyeOff, "Hide all clusters") } else { (Icon::Eye, "Show all clusters") };
            if Self::small_icon(ui, icon, name, "", true) {
                if all_shown {
                    self.features.hidden.extend(rows.iter().map(|row| row.place));
                } else {
                    self.features.hidden.clear();
                }
            }
        });
        if together > 1 {
            hint(ui, format!("Made of {together} panes' patches together; sizes are of this pane."));
        } else {
            hint(ui, "Click a cluster, here or in the picture, to choose it for a region.");
        }
        self.chosen_that_are_gone(ui, &rows);
        ui.spacing_mut().item_spacing.y = 3.0;
        for row in rows.iter().filter(|row| row.size > 0 || together == 1) {
            self.cluster_row(ui, row, patches);
        }
    }

    /// What was chosen and is not among these clusters: it comes back with the number at which it was chosen, as clusters
    /// keep their place in the palette.
    fn chosen_that_are_gone(&mut self, ui: &mut Ui, rows: &[Row]) {
        let gone: Vec<usize> =
            self.features.chosen.iter().copied().filter(|place| rows.iter().all(|row| row.place != *place)).collect();
        if gone.is_empty() {
            return;
        }
        let named: Vec<&str> = gone
            .iter()
            .filter_map(|place| self.features.names.get(place).map(|name| name.trim()))
            .filter(|name| !name.is_empty())
            .collect();
        let words = match (gone.len(), named.as_slice()) {
            (1, [name]) => format!("“{name}” was chosen and is not among these {} clusters.", rows.len()),
            (1, _) => format!("A chosen cluster is not among these {}.", rows.len()),
            (count, _) => format!("{count} chosen clusters are not among these {}.", rows.len()),
        };
        ui.horizontal(|ui| {
            hint(ui, words).on_hover_text("It is chosen again when it comes back; it is in no region until then");
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if IconButton::new(Icon::Close, "Forget what was chosen").small().show(ui).clicked() {
                    self.features.chosen.retain(|place| !gone.contains(place));
                }
            });
        });
    }

    fn cluster_row(&mut self, ui: &mut Ui, row: &Row, patches: usize) {
        let p = palette(ui.ctx());
        let number = row.label + 1;
        let chosen = self.features.chosen.contains(&row.place);
        let hidden = self.features.hidden.contains(&row.place);
        let stroke = if chosen { Stroke::new(1.5, p.accent) } else { Stroke::NONE };
        Frame::new()
            .fill(if chosen { p.hover } else { Color32::TRANSPARENT })
            .stroke(stroke)
            .corner_radius(CornerRadius::same(radius::CONTROL))
            .inner_margin(Margin::symmetric(4, 1))
            .show(ui, |ui| {
                ui.horizontal(|ui| {
                    ui.spacing_mut().item_spacing.x = space::S;
                    let (rect, response) = ui.allocate_exact_size(vec2(22.0, 28.0), Sense::click());
                    let name = format!("Choose cluster {number}");
                    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, chosen, &name));
                    let square = rect.shrink2(vec2(2.0, 5.0));
                    let fill = if hidden { Color32::TRANSPARENT } else { row.colour };
                    let edge = if response.has_focus() { p.focus_ring() } else { Stroke::new(1.5, row.colour) };
                    ui.painter().rect(square, CornerRadius::same(4), fill, edge, StrokeKind::Inside);
                    if chosen {
                        let ink = if row.colour.intensity() > 0.55 { Color32::BLACK } else { Color32::WHITE };
                        crate::app::icons::paint(ui.painter(), square, 12.0, Icon::Check, ink);
                    }
                    if response.clicked() && !self.features.chosen.remove(&row.place) {
                        self.features.chosen.insert(row.place);
                    }
                    response.on_hover_text("Chosen clusters become a region");
                    let mut text = self.features.names.get(&row.place).cloned().unwrap_or_default();
                    let width = (ui.available_width() - 122.0).max(60.0);
                    let field = TextEdit::singleline(&mut text)
                        .hint_text(format!("cluster {number}"))
                        .desired_width(width)
                        .align(egui::Align2::LEFT_CENTER)
                        .margin(Margin::symmetric(6, 0))
                        .frame(Frame::NONE);
                    let field = ui.add_sized([width, 22.0], field).accessible_name(format!("Name of cluster {number}"));
                    if field.changed() {
                        self.features.names.insert(row.place, text);
                    }
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        ui.spacing_mut().item_spacing.x = 2.0;
                        let (icon, name) = if hidden {
                            (Icon::EyeOff, format!("Show cluster {number}"))
                        } else {
                            (Icon::Eye, format!("Hide cluster {number}"))
                        };
                        if IconButton::new(icon, &name).small().show(ui).clicked()
                            && !self.features.hidden.remove(&row.place)
                        {
                            self.features.hidden.insert(row.place);
                        }
                        let name = format!("Use cluster {number} as a region");
                        if IconButton::new(Icon::Region, &name).small().enabled(row.size > 0).show(ui).clicked() {
                            self.region_of_clusters(ui.ctx(), &[row.place]);
                        }
                        hint(ui, format!("{:.0} %", 100.0 * row.size as f32 / patches as f32))
                            .on_hover_text(format!("{} patches", row.size));
                    });
                });
            });
    }
}
