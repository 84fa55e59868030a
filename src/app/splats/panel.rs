//! The panel at the right: what is shown, how the eye sees, what the scene is made of, who draws, and export.

use egui::{ScrollArea, Ui};

use super::drawing::{Mode, Renderer};
use super::settings::Up;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::space;
use crate::app::widgets::buttons::{TextButton, hint, rule, section, segmented, toggle};
use crate::app::widgets::histogram;
use crate::app::widgets::sliders::{Scale, labelled, stepper};
use crate::splats::gaussians::Gaussians;

/// Bars of a histogram.
const BARS: usize = 32;

/// How opacities and sizes of the open scene are spread.
#[derive(Debug, Default)]
pub(super) struct ShapeOf {
    scene: Option<u64>,
    opacity: Vec<f32>,
    scale: Vec<f32>,
    /// The smallest and largest of the sizes shown, world units.
    sizes: (f32, f32),
}

impl ShapeOf {
    pub(super) fn forget(&mut self) {
        self.scene = None;
    }

    /// Of a sample of the scene, so that it never takes long.
    fn look(&mut self, scene: &Gaussians) {
        if self.scene == Some(scene.revision()) {
            return;
        }
        let step = scene.len().div_ceil(100_000);
        let chosen: Vec<usize> = (0..scene.len()).step_by(step).collect();
        let share = |values: &[f32]| -> Vec<f32> {
            let mut bars = vec![0.0; BARS];
            for value in values {
                bars[((value * BARS as f32) as usize).min(BARS - 1)] += 1.0 / values.len() as f32;
            }
            bars
        };
        let opacities: Vec<f32> = chosen.iter().map(|index| scene.opacity(*index)).collect();
        self.opacity = share(&opacities);
        let mean = |index: &usize| scene.log_scales()[*index].iter().map(|scale| scale.max(-30.0)).sum::<f32>() / 3.0;
        let scales: Vec<f32> = chosen.iter().map(mean).collect();
        let (low, high) = crate::features::colour::percentiles(scales.clone(), 1.0, 99.0);
        let extent = (high - low).max(1e-6);
        let placed: Vec<f32> = scales.iter().map(|scale| ((scale - low) / extent).clamp(0.0, 1.0)).collect();
        self.scale = share(&placed);
        self.sizes = (low.exp(), high.exp());
        self.scene = Some(scene.revision());
    }
}

impl Glassbox {
    pub(in crate::app) fn splats_panel(&mut self, ui: &mut Ui) {
        ScrollArea::vertical().auto_shrink([false, false]).id_salt("splats").show(ui, |ui| {
            ui.set_max_width(ui.available_width() - space::S);
            self.scene_section(ui);
            if self.splats.scene.is_none() {
                return;
            }
            rule(ui);
            self.mode_section(ui);
            rule(ui);
            self.eye_section(ui);
            rule(ui);
            self.shape_section(ui);
            rule(ui);
            self.export_section(ui);
        });
    }

    fn scene_section(&mut self, ui: &mut Ui) {
        let name = self.splats.scene.as_ref().map_or("No scene", |scene| scene.name.as_str()).to_owned();
        let mut open = false;
        section(ui, &name, |ui| open = TextButton::new("Open a scene…").icon(Icon::Open).show(ui).clicked());
        if open {
            self.ask_for_a_scene(ui.ctx());
        }
        if let Some(scene) = &self.splats.scene {
            let gaussians = &scene.gaussians;
            let features = gaussians
                .features()
                .map_or_else(|| "no features".to_owned(), |features| format!("features of {} channels", features.dim));
            let (count, degree) = (gaussians.len(), gaussians.sh_degree());
            let format = scene.format;
            hint(ui, format!("{count} Gaussians, harmonics of degree {degree}, {features}, from {format}"));
        }
    }

    fn mode_section(&mut self, ui: &mut Ui) {
        let has_features = self.splats.scene.as_ref().is_some_and(|scene| scene.gaussians.features().is_some());
        section(ui, "Shown", |_| {});
        let choice = &mut self.settings.now.splats;
        segmented(ui, "Shown", &mut choice.mode, &Mode::ALL[..4]);
        segmented(ui, "More ways to see it", &mut choice.mode, &Mode::ALL[4..7]);
        ui.add_enabled_ui(has_features, |ui| segmented(ui, "Features", &mut choice.mode, &Mode::ALL[7..]));
        if !has_features {
            hint(ui, "This scene has no features. `glassbox lift` puts those of its photographs onto it.");
        }
        if choice.mode == Mode::Clusters {
            stepper(ui, "Clusters", &mut choice.clusters, 2..=64);
        }
        if self.waits_for_a_point() {
            hint(ui, "Click a point of the scene to see what is like it.");
        }
        let choice = &mut self.settings.now.splats;
        if choice.mode != Mode::Colour {
            let scale = Scale::new(0.0..=1.0, 1.0, 0.01, 2);
            labelled(ui, "Over colours", "How much of this lies over the colours.", &mut choice.share, &scale);
        }
    }

    fn eye_section(&mut self, ui: &mut Ui) {
        let mut reset = false;
        section(ui, "Camera", |ui| reset = TextButton::new("Reset camera").quiet().show(ui).clicked());
        let choice = &mut self.settings.now.splats;
        hint(ui, "Up");
        let all = [(Up::NegativeY, "−Y"), (Up::Y, "Y"), (Up::Z, "Z"), (Up::NegativeZ, "−Z")];
        let turned = segmented(ui, "Up", &mut choice.up, &all);
        let scale = Scale::new(10.0..=110.0, 45.0, 1.0, 0).suffix("°");
        labelled(ui, "Field of view", "Of the picture's height.", &mut choice.fov, &scale);
        self.splats.eye.fov = choice.fov.to_radians();
        if turned {
            self.splats.eye.set_up(choice.up);
        }
        if reset {
            self.see_as_opened();
        }
        hint(ui, format!("{:.2} from the target", self.splats.eye.distance()));
    }

    fn shape_section(&mut self, ui: &mut Ui) {
        let lens = &mut self.splats;
        if let Some(scene) = &lens.scene {
            lens.shape.look(&scene.gaussians);
            let made = scene.gaussians.antialiased();
            section(ui, "Gaussians", |_| {});
            hint(ui, "Opacity, from clear to solid");
            histogram::spread(ui, "Histogram of opacity", &lens.shape.opacity);
            let (low, high) = lens.shape.sizes;
            hint(ui, format!("Size, from {low:.2e} to {high:.2e}"));
            histogram::spread(ui, "Histogram of size", &lens.shape.scale);
            let choice = &mut self.settings.now.splats;
            let mut on = choice.antialiased.unwrap_or(made);
            let help =
                "Makes Gaussians smaller than a pixel fainter instead of larger: for scenes that were trained so";
            if toggle(ui, &mut on, "Antialiased", help).changed() {
                choice.antialiased = (on != made).then_some(on);
            }
        }
        hint(ui, "Drawn by");
        let all = [(Renderer::Automatic, "Automatic"), (Renderer::Gpu, "GPU"), (Renderer::Cpu, "CPU")];
        segmented(ui, "Drawn by", &mut self.settings.now.splats.renderer, &all);
    }

    fn export_section(&mut self, ui: &mut Ui) {
        section(ui, "Picture of this view", |_| {});
        let scale = Scale::new(256.0..=8192.0, 1920.0, 64.0, 0).suffix(" px");
        labelled(ui, "Longer side", "Of the exported picture.", &mut self.splats.export_side, &scale);
        toggle(ui, &mut self.splats.clear, "Transparent background", "Nothing behind the scene");
        let ready = self.splats.last.is_some();
        if TextButton::new("Export the view…").icon(Icon::Export).enabled(ready).show(ui).clicked() {
            self.ask_where_to_export_the_view(ui.ctx());
        }
    }
}
