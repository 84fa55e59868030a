//! The sections of the panel on selection, the crop box, the cameras and the path.

use egui::Ui;

use super::acts::{SMALLEST_BOX, SplatAct, sound_box};
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::space;
use crate::app::widgets::buttons::{TextButton, hint, section, segmented, toggle};
use crate::app::widgets::histogram;
use crate::app::widgets::sliders::{Scale, labelled, labelled_stepper};
use crate::splats::selection::{Combine, Property};

impl Glassbox {
    pub(super) fn selection_section(&mut self, ui: &mut Ui) {
        let mut save = false;
        section(ui, "Selection", |ui| {
            save = TextButton::new("Save the scene…").icon(Icon::Export).quiet().show(ui).clicked();
        });
        if save {
            self.act_on_scene(ui.ctx(), SplatAct::SaveScene);
        }
        let [selected, hidden, deleted] = self.splats.counts();
        let words: Vec<String> = [(selected, "selected"), (hidden, "hidden"), (deleted, "deleted")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let help = "Use the brush or the crop box above the view, or drag across a histogram.";
        hint(ui, if words.is_empty() { help.to_owned() } else { words.join(", ") });
        let all = [(Combine::Replace, "New"), (Combine::Add, "Add"), (Combine::Subtract, "Take away")];
        segmented(ui, "How a selection meets the one before", &mut self.splats.combine, &all);
        self.crop_controls(ui);
        ui.add_space(space::XS);
        self.histogram_of(ui, 0, Property::Opacity);
        self.histogram_of(ui, 1, Property::Size);
        if let Some(width) = self.splats.feature_width() {
            let mut channel = self.splats.channel.min(width - 1) + 1;
            labelled_stepper(ui, "Feature channel", &mut channel, 1..=width);
            self.splats.channel = channel - 1;
            self.histogram_of(ui, 2, Property::Feature(self.splats.channel));
        }
    }

    fn histogram_of(&mut self, ui: &mut Ui, place: usize, property: Property) {
        let lens = &mut self.splats;
        let Some(scene) = lens.scene.as_ref().map(|scene| std::sync::Arc::clone(&scene.gaussians)) else { return };
        let name = match property {
            Property::Opacity => "Histogram of opacity",
            Property::Size => "Histogram of size",
            Property::Feature(_) => "Histogram of the channel",
        };
        let Some((spread, range)) = lens.shape.look(ui.ctx(), &scene, place, property) else {
            hint(ui, "Counting…");
            return;
        };
        let value = |place: f32| match property {
            Property::Size => format!("{:.2e}", (spread.low + place * (spread.high - spread.low)).exp()),
            _ => format!("{:.2}", spread.low + place * (spread.high - spread.low)),
        };
        let (low, high) = range.unwrap_or((0.0, 1.0));
        let what = match property {
            Property::Opacity => "Opacity",
            Property::Size => "Size, logarithmic",
            Property::Feature(_) => "Value",
        };
        hint(ui, format!("{what}, {} to {}", value(low), value(high)));
        let counts = spread.counts.clone();
        let done = histogram::range(ui, name, &counts, range);
        if done && let Some((low, high)) = *range {
            let ends = (spread.value(low), spread.value(high));
            let how = lens.combine;
            lens.shape.select(ui.ctx(), &scene, property, ends, how);
        }
    }

    fn crop_controls(&mut self, ui: &mut Ui) {
        let lens = &mut self.splats;
        let (Some(mut bounds), Some(scene)) = (lens.crop, &lens.scene) else { return };
        let whole = scene.robust;
        for axis in 0..3 {
            let name = ["x", "y", "z"][axis];
            let (low, high) = (f64::from(whole.min[axis]), f64::from(whole.max[axis]));
            let margin = 0.25 * (high - low).max(1e-6);
            let range = low - margin..=high + margin;
            let step = (high - low).max(1e-6) * f64::from(SMALLEST_BOX);
            let (mut from, mut to) = (f64::from(bounds.min[axis]), f64::from(bounds.max[axis]));
            let scale = |default| Scale::new(range.clone(), default, step, 2);
            labelled(ui, &format!("Box, {name} from"), "A side of the crop box.", &mut from, &scale(low));
            labelled(ui, &format!("Box, {name} to"), "A side of the crop box.", &mut to, &scale(high));
            (bounds.min[axis], bounds.max[axis]) = (from as f32, to as f32);
        }
        lens.crop = Some(sound_box(bounds));
        if TextButton::new(SplatAct::SelectInBox.title()).icon(Icon::Check).show(ui).clicked() {
            self.act_on_scene(ui.ctx(), SplatAct::SelectInBox);
        }
    }

    pub(super) fn cameras_section(&mut self, ui: &mut Ui) {
        let mut open = false;
        section(ui, "Cameras", |ui| {
            open = TextButton::new(SplatAct::OpenCameras.title()).quiet().show(ui).clicked();
        });
        if open {
            self.act_on_scene(ui.ctx(), SplatAct::OpenCameras);
        }
        let count = self.splats.cameras.count();
        if count == 0 {
            hint(
                ui,
                "None are known: cameras.json, transforms.json or a COLMAP model shows where its photographs were taken.",
            );
            return;
        }
        let frustums = &mut self.settings.now.splats.frustums;
        toggle(ui, frustums, SplatAct::Frustums.title(), "Click one in the scene to look through it");
        ui.horizontal(|ui| {
            self.act_icon(ui, Icon::ChevronLeft, SplatAct::PreviousCamera, false);
            self.act_icon(ui, Icon::ChevronRight, SplatAct::NextCamera, false);
            let words = match self.splats.cameras.looked_through() {
                Some((at, named)) => format!("{} of {count}: {}", at + 1, named.name),
                None => format!("{count} cameras"),
            };
            hint(ui, words);
        });
    }

    pub(super) fn path_section(&mut self, ui: &mut Ui) {
        section(ui, "Camera path", |_| {});
        let keys = self.splats.path.keys();
        ui.horizontal(|ui| {
            self.act_icon(ui, Icon::Plus, SplatAct::AddKey, false);
            self.act_icon(ui, Icon::Minus, SplatAct::RemoveKey, false);
            let playing = self.splats.path.is_playing();
            self.act_icon(ui, if playing { Icon::Stop } else { Icon::Run }, SplatAct::PlayPath, playing);
            hint(
                ui,
                match keys {
                    0 => "No views yet: add where you stand".to_owned(),
                    1 => "1 view".to_owned(),
                    keys => format!("{keys} views"),
                },
            );
        });
        if keys > 1 {
            let scale = Scale::new(0.5..=10.0, 2.0, 0.5, 1).suffix(" s");
            labelled(
                ui,
                "Between views",
                "Seconds from one view to the next while it plays.",
                &mut self.splats.path.pace,
                &scale,
            );
        }
    }
}
