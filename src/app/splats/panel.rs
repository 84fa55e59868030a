//! The panel at the right: the scene, what is shown, how the eye sees, who draws, and export. What selects and the cameras
//! are in `selection_panel`.

use std::path::PathBuf;

use egui::{ScrollArea, Ui};

use super::Asker;
use super::acts::SplatAct;
use super::drawing::{Mode, Renderer};
use super::settings::Up;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::space;
use crate::app::widgets::buttons::{IconButton, TextButton, hint, rule, section, segmented, toggle};
use crate::app::widgets::sliders::{Scale, labelled, labelled_stepper};
impl Glassbox {
    pub(in crate::app) fn splats_panel(&mut self, ui: &mut Ui) {
        ScrollArea::vertical().auto_shrink([false, false]).id_salt("splats").show(ui, |ui| {
            ui.set_max_width(ui.available_width() - space::S);
            self.scene_section(ui);
            self.lift_section(ui);
            if self.splats.scene.is_none() {
                return;
            }
            rule(ui);
            self.mode_section(ui);
            rule(ui);
            self.selection_section(ui);
            rule(ui);
            self.eye_section(ui);
            rule(ui);
            self.cameras_section(ui);
            rule(ui);
            self.path_section(ui);
            rule(ui);
            self.export_section(ui);
            rule(ui);
            self.renderer_section(ui);
        });
    }

    fn scene_section(&mut self, ui: &mut Ui) {
        let name = self.splats.scene.as_ref().map_or("No scene", |scene| scene.name.as_str()).to_owned();
        let mut open = false;
        let mut again = None;
        section(ui, &name, |ui| {
            open = TextButton::new("Open a scene…").icon(Icon::Open).show(ui).clicked();
            let recent = &self.settings.now.splats.recent;
            if recent.len() > 1 || (self.splats.scene.is_none() && !recent.is_empty()) {
                let button = IconButton::new(Icon::Restore, "Scenes opened before").show(ui);
                egui::Popup::menu(&button).show(|ui| again = recent_scenes(ui, recent));
            }
        });
        if open {
            self.ask_for_a_scene(ui.ctx());
        }
        if let Some(path) = again {
            self.open_scene(ui.ctx(), path);
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
            labelled_stepper(ui, "Clusters", &mut choice.clusters, 2..=64);
        }
        self.analysis_section(ui);
        if self.waits_for_a_point() {
            hint(ui, "Click a point of the scene to see what is like it.");
        }
        self.link_section(ui);
        let choice = &mut self.settings.now.splats;
        if choice.mode != Mode::Colour {
            let scale = Scale::new(0.0..=1.0, 1.0, 0.01, 2);
            labelled(ui, "Over colours", "How much of this lies over the colours.", &mut choice.share, &scale);
        }
    }

    /// What joins the scene to the open picture.
    fn link_section(&mut self, ui: &mut Ui) {
        let choice = &mut self.settings.now.splats;
        let mode = choice.mode;
        if mode == Mode::Pca && self.splats.shared.is_some() {
            let help = "The basis and ranges of the picture's components, so that a thing has one colour in both";
            toggle(ui, &mut choice.shared_basis, "Colours of the Features lens", help);
        }
        if mode == Mode::Similarity
            && let Some(query) = &self.splats.query
        {
            let words = match query.of {
                Asker::Gaussian => "Compared with the point that was clicked.",
                Asker::Picture => "Compared with what is held in the Features lens.",
            };
            hint(ui, words);
            if self.lenses_are_linked() {
                let show = TextButton::new("Show it on the picture").icon(Icon::Features).quiet().show(ui);
                if show.on_hover_text("The open picture, by its likeness to this").clicked() {
                    self.show_query_on_picture();
                }
            }
        }
        if matches!(mode, Mode::Pca | Mode::Similarity)
            && let Some(words) = self.why_not_linked()
        {
            hint(ui, words);
        }
    }

    /// What is worked out of the features now, or why it is not there.
    fn analysis_section(&mut self, ui: &mut Ui) {
        let lens = &mut self.splats;
        let mode = self.settings.now.splats.mode;
        if let Some((stage, _)) = lens.analysis.now_running() {
            ui.horizontal(|ui| {
                hint(ui, format!("{stage}…"));
                if TextButton::new("Stop mapping").icon(Icon::Stop).quiet().show(ui).clicked() {
                    lens.analysis.stop();
                }
            });
            return;
        }
        let [components, clusters] = lens.analysis.faults();
        let fault = match mode {
            Mode::Pca => components,
            Mode::Clusters => clusters,
            _ => None,
        };
        if let Some(fault) = fault.map(str::to_owned) {
            hint(ui, fault);
            if TextButton::new("Map the features").quiet().show(ui).clicked() {
                lens.analysis.try_again();
            }
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

    fn renderer_section(&mut self, ui: &mut Ui) {
        section(ui, "Drawn by", |_| {});
        let all = [(Renderer::Automatic, "Automatic"), (Renderer::Gpu, "GPU"), (Renderer::Cpu, "CPU")];
        segmented(ui, "Drawn by", &mut self.settings.now.splats.renderer, &all);
        if let Some(scene) = &self.splats.scene {
            let made = scene.gaussians.antialiased();
            let choice = &mut self.settings.now.splats;
            let mut on = choice.antialiased.unwrap_or(made);
            let help =
                "Makes Gaussians smaller than a pixel fainter instead of larger: for scenes that were trained so";
            if toggle(ui, &mut on, "Antialiased", help).changed() {
                choice.antialiased = (on != made).then_some(on);
            }
        }
    }

    fn export_section(&mut self, ui: &mut Ui) {
        section(ui, "Pictures", |_| {});
        let scale = Scale::new(256.0..=8192.0, 1920.0, 64.0, 0).suffix(" px");
        let export = &mut self.splats.export;
        labelled(ui, "Longer side", "Of the exported pictures.", &mut export.side, &scale);
        let all = [
            (None, "View"),
            (Some((16, 9)), "16:9"),
            (Some((4, 3)), "4:3"),
            (Some((1, 1)), "1:1"),
            (Some((9, 16)), "9:16"),
        ];
        segmented(ui, "Shape of the pictures", &mut export.shape, &all);
        toggle(ui, &mut export.clear, "Transparent background", "Nothing behind the scene");
        let scale = Scale::new(2.0..=600.0, 60.0, 1.0, 0);
        labelled(ui, "Pictures of a flight", "Of a turntable, or along the path.", &mut export.frames, &scale);
        if let Some((width, height)) = self.splats.export_size() {
            hint(ui, format!("{width} × {height}"));
        }
        let mut asked = None;
        for (icon, act) in [
            (Icon::Export, SplatAct::ExportView),
            (Icon::Turntable, SplatAct::ExportTurntable),
            (Icon::Camera, SplatAct::ExportPath),
        ] {
            let enabled = self.splats.can(act);
            if TextButton::new(act.title()).icon(icon).enabled(enabled).show(ui).clicked() {
                asked = Some(act);
            }
        }
        if let Some(act) = asked {
            self.act_on_scene(ui.ctx(), act);
        }
    }
}

/// Scenes that were opened before; the one that was chosen.
pub(super) fn recent_scenes(ui: &mut Ui, recent: &[PathBuf]) -> Option<PathBuf> {
    let mut chosen = None;
    for path in recent {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if ui.button(&name).on_hover_text(path.display().to_string()).clicked() {
            chosen = Some(path.clone());
        }
    }
    chosen
}
