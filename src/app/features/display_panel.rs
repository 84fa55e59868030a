//! How maps lie on the picture: from patches to pixels, opacity, colours and their range.

use egui::{ComboBox, Ui};

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
        if map == MapKind::Similarity {
            return;
        }
        if map == MapKind::Norm {
            let low = Scale::new(0.0..=25.0, usual.low, 1.0, 0).suffix(" %");
            labelled(ui, "Scale from", "The percentile at the beginning of the colours.", &mut display.low, &low);
        }
        let high = Scale::new(75.0..=100.0, usual.high, 1.0, 0).suffix(" %");
        labelled(ui, "Scale to", "The percentile at the end of the colours.", &mut display.high, &high);
    }
}
