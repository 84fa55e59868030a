//! How maps lie on the picture: from patches to pixels, opacity, colours and their range.

use egui::{ComboBox, Ui};

use super::maps::Content;
use super::panes::MapKind;
use super::settings::Display;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::widgets::buttons::{IconButton, hint, section, segmented, toggle};
use crate::app::widgets::sliders::{Scale, fixed_label, labelled};
use crate::features::colour::ColourScale;
use crate::features::upsample::Upsampling;

impl Glassbox {
    pub(super) fn display_controls(&mut self, ui: &mut Ui, map: MapKind) {
        let usual = Display::default();
        section(ui, "Display", |ui| {
            let display = &mut self.settings.now.features.display;
            if *display != usual && IconButton::new(Icon::Restore, "Usual display").small().show(ui).clicked() {
                *display = usual.clone();
            }
        });
        let display = &mut self.settings.now.features.display;
        let all =
            [(Upsampling::Nearest, "Patches"), (Upsampling::Bilinear, "Smooth"), (Upsampling::Edges, "Along edges")];
        segmented(ui, "From patches to pixels", &mut display.upsampling, &all);
        match display.upsampling {
            Upsampling::Nearest => {
                toggle(ui, &mut display.grid, "Lines between patches", "Where patches are large enough to be seen");
            }
            Upsampling::Bilinear => {}
            Upsampling::Edges => {
                hint(ui, "Follows the picture's own edges: easier to read, and finer than what the model gave.");
            }
        }
        let scale = Scale::new(0.0..=1.0, usual.opacity, 0.05, 2);
        labelled(
            ui,
            "Opacity",
            "Of the map over the picture. Hold \\ to see the picture alone.",
            &mut display.opacity,
            &scale,
        );
        if matches!(map, MapKind::Pca | MapKind::Clusters) {
            return;
        }
        ui.horizontal(|ui| {
            fixed_label(ui, "Colours", 116.0);
            let name = ColourScale::ALL.iter().find(|(scale, _)| *scale == display.scale).map_or("", |(_, name)| name);
            let width = ui.available_width() - 8.0;
            ComboBox::from_id_salt("colour scale")
                .width(width)
                .selected_text(name)
                .show_ui(ui, |ui| {
                    for (scale, name) in ColourScale::ALL {
                        ui.selectable_value(&mut display.scale, scale, name);
                    }
                })
                .response
                .accessible_name("Colours of the scale");
        });
        self.ends_of_scale(ui, map);
    }

    /// Where the colours begin and end: percentiles of the map, or values that are typed or dragged.
    fn ends_of_scale(&mut self, ui: &mut Ui, map: MapKind) {
        let range = match self.features.paints.get(self.features.active).and_then(|paint| paint.map()) {
            Some((Content::Values { range, .. }, _)) => Some(*range),
            _ => None,
        };
        let (display, usual) = (&mut self.settings.now.features.display, Display::default());
        let (ends, usual, bounds, step) = match map {
            MapKind::Similarity => (&mut display.similarity, usual.similarity, (-1.0, 1.0), 0.01),
            MapKind::Difference => (&mut display.difference, usual.difference, (0.0, 2.0), 0.005),
            _ => {
                let top = f64::from(range.map_or(50.0, |range| range.1)).max(usual.norm.to).max(display.norm.to);
                (&mut display.norm, usual.norm, (0.0, (top * 1.5).ceil()), 0.1)
            }
        };
        let mut fixed = ends.fixed;
        if segmented(ui, "Ends of the colours", &mut fixed, &[(false, "Percentiles"), (true, "Values")]) {
            ends.fixed = fixed;
            // What is seen stays as it is until an end is moved.
            if let Some((low, high)) = range.filter(|_| fixed) {
                (ends.from, ends.to) = (round_to(low, step), round_to(high, step));
            }
        }
        if ends.fixed {
            let decimals = if step < 0.01 { 3 } else { 2 };
            let from = Scale::new(bounds.0..=bounds.1, usual.from, step, decimals);
            labelled(ui, "Scale from", "The value at the beginning of the colours.", &mut ends.from, &from);
            let to = Scale::new(bounds.0..=bounds.1, usual.to, step, decimals);
            labelled(ui, "Scale to", "The value at the end of the colours.", &mut ends.to, &to);
            if ends.to <= ends.from {
                hint(ui, "The end lies before the beginning: everything is one colour.");
            }
        } else {
            let low = Scale::new(0.0..=50.0, usual.low, 1.0, 0).suffix(" %");
            labelled(ui, "Scale from", "The percentile at the beginning of the colours.", &mut ends.low, &low);
            let high = Scale::new(50.0..=100.0, usual.high, 1.0, 0).suffix(" %");
            labelled(ui, "Scale to", "The percentile at the end of the colours.", &mut ends.high, &high);
        }
    }
}

fn round_to(value: f32, step: f64) -> f64 {
    (f64::from(value) / step).round() * step
}
