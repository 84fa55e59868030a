//! *Lift this picture*: the open picture becomes a scene in the background, with the features of the Features lens's
//! backbone, seen from where it was taken.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Button, CollapsingHeader, Context, Popup, RichText, Ui};
use image::RgbImage;

use super::opening::{Scene, first_camera};
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::edit::work::{Offer, Workshop};
use crate::app::icons::Icon;
use crate::app::lens::LensKind;
use crate::app::notices::Level;
use crate::app::theme::palette;
use crate::app::widgets::buttons::{TextButton, hint, rule, section};
use crate::app::widgets::sliders::{Scale, labelled};
use crate::engine::jobs::features::BackboneChoice;
use crate::engine::jobs::splats::picture::{DepthChoice, LiftPictureJob, LiftedPicture};
use crate::engine::{JobError, JobState, Snapshot, Ticket};
use crate::ops::device::{DeviceChoice, Precision};
use crate::splats::io::cameras::NamedCamera;

/// Where both models lie.
struct Places {
    depth: PathBuf,
    /// With its name.
    backbone: Option<(String, PathBuf)>,
}

enum Stage {
    /// Where the models lie is looked up.
    Finding(Background<Places>),
    Running(Ticket<LiftedPicture>),
    /// The camera and the bounds of what came are worked out.
    Looking(Background<(Scene, String)>),
}

/// A picture that is being lifted.
struct Lifting {
    name: String,
    picture: Arc<RgbImage>,
    depth: String,
    device: DeviceChoice,
    precision: Precision,
    stage: Stage,
}

/// The depth models that are here, and the picture that is being lifted.
pub(super) struct Lifter {
    workshop: Arc<dyn Workshop>,
    offers: Vec<Offer>,
    now: Option<Lifting>,
}

impl Lifter {
    pub(super) fn new(workshop: Arc<dyn Workshop>) -> Self {
        let offers = workshop.depth_models().into_iter().filter(|offer| offer.here).collect();
        Self { workshop, offers, now: None }
    }

    /// Models came or went.
    pub(super) fn read_again(&mut self) {
        self.offers = self.workshop.depth_models().into_iter().filter(|offer| offer.here).collect();
    }

    /// The depth model that is used: the chosen one if it is here, else the first.
    fn model(&self, chosen: Option<&str>) -> Option<&Offer> {
        let found = self.offers.iter().find(|offer| Some(offer.name.as_str()) == chosen);
        found.or_else(|| self.offers.first())
    }

    pub(super) fn is_working(&self) -> bool {
        self.now.is_some()
    }

    pub(super) fn stop(&mut self) {
        if let Some(Lifting { stage: Stage::Running(ticket), .. }) = &self.now {
            // The queue answers that it was cancelled.
            ticket.monitor.cancel();
        } else {
            self.now = None;
        }
    }

    /// What is done now, in words, and how far it is.
    pub(super) fn now_running(&self) -> Option<(String, Snapshot)> {
        let Stage::Running(ticket) = &self.now.as_ref()?.stage else { return None };
        let snapshot = ticket.monitor.snapshot();
        (snapshot.state == JobState::Running).then(|| (snapshot.stage.clone(), snapshot))
    }
}

impl Glassbox {
    /// Whether there is a picture to lift and a model to do it, and none is being lifted.
    pub(in crate::app) fn can_lift_the_picture(&self) -> bool {
        let lifter = &self.splats.lifter;
        self.document.is_some() && !lifter.offers.is_empty() && !lifter.is_working()
    }

    /// Begins to make a scene of the version that is shown.
    pub(in crate::app) fn lift_the_picture(&mut self, ctx: &Context) {
        let Some(document) = self.document.as_ref().filter(|_| self.can_lift_the_picture()) else { return };
        let now = &self.settings.now;
        let Some(depth) = self.splats.lifter.model(now.splats.depth_model.as_deref()) else { return };
        let (depth, backbone) = (depth.name.clone(), self.first_backbone());
        let (workshop, of_depth, ctx) = (Arc::clone(&self.splats.lifter.workshop), depth.clone(), ctx.clone());
        let finding = Background::start("find a depth model", move || {
            let found = workshop.depth_model(&of_depth).and_then(|depth| {
                let backbone = backbone.map(|name| Ok::<_, String>((workshop.backbone(&name)?, name))).transpose()?;
                Ok(Places { depth, backbone: backbone.map(|(path, name)| (name, path)) })
            });
            ctx.request_repaint();
            found
        });
        let shown = document.shown();
        let stem = std::path::Path::new(document.name()).file_stem();
        let stem = stem.map_or_else(|| document.name().to_owned(), |stem| stem.to_string_lossy().into_owned());
        self.splats.lifter.now = Some(Lifting {
            name: if shown.made.is_some() { format!("{stem}, {}", shown.title) } else { stem },
            picture: Arc::clone(&shown.picture.rgb),
            depth,
            device: now.device,
            precision: now.precision,
            stage: Stage::Finding(finding),
        });
        self.show_lens(LensKind::Splats);
    }

    /// Takes what has come of it.
    pub(super) fn poll_lifting(&mut self, ctx: &Context) {
        let Some(mut lifting) = self.splats.lifter.now.take() else { return };
        let next = match lifting.stage {
            Stage::Finding(mut finding) => match finding.take() {
                None => Ok(Stage::Finding(finding)),
                Some(Err(sentence)) => Err(Some(sentence)),
                Some(Ok(places)) => {
                    let choice = &self.settings.now.splats;
                    let (device, precision) = (lifting.device, lifting.precision);
                    let backbone = places.backbone.map(|(name, path)| BackboneChoice { name, path, device, precision });
                    let depth = DepthChoice { name: lifting.depth.clone(), path: places.depth, device, precision };
                    Ok(Stage::Running(self.engine.submit(LiftPictureJob {
                        picture: Arc::clone(&lifting.picture),
                        depth,
                        backbone,
                        field_of_view: choice.lift_fov.to_radians(),
                        most: (1000.0 * choice.lift_thousands).round().max(1.0) as usize,
                    })))
                }
            },
            Stage::Running(mut ticket) => match ticket.promise.try_take() {
                Err(promise) => {
                    ticket.promise = promise;
                    Ok(Stage::Running(ticket))
                }
                Ok(Ok(lifted)) => {
                    let (name, ctx) = (lifting.name.clone(), ctx.clone());
                    Ok(Stage::Looking(Background::start("look at a lifted picture", move || {
                        let distances = lifted.distances();
                        let scene = scene_of(name, lifted);
                        ctx.request_repaint();
                        Ok((scene, distances))
                    })))
                }
                Ok(Err(JobError::Cancelled)) => Err(None),
                Ok(Err(error)) => Err(Some(error.to_string())),
            },
            Stage::Looking(mut looking) => match looking.take() {
                None => Ok(Stage::Looking(looking)),
                Some(Err(sentence)) => Err(Some(sentence)),
                Some(Ok((scene, distances))) => {
                    self.show_lifted(scene, &distances, lifting.picture);
                    return;
                }
            },
        };
        match next {
            Ok(stage) => {
                lifting.stage = stage;
                self.splats.lifter.now = Some(lifting);
            }
            Err(Some(sentence)) => self.notices.explain(Level::Error, "The picture could not be lifted", sentence),
            Err(None) => {}
        }
    }

    fn show_lifted(&mut self, scene: Scene, distances: &str, picture: Arc<RgbImage>) {
        let count = scene.gaussians.len();
        let words =
            format!("What is seen is {distances}; nothing is behind it. Save the scene as a .ply or .spz to keep it.");
        self.notices.explain(Level::Success, format!("Lifted {} into {count} Gaussians", scene.name), words);
        let camera = scene.cameras.first().map(|named| named.camera);
        self.splats.show_scene(scene);
        self.splats.cameras.are_of(picture);
        if let Some(camera) = camera {
            self.settings.now.splats.fov = camera.fov_y().to_degrees().clamp(10.0, 110.0);
            self.splats.eye.fov = self.settings.now.splats.fov.to_radians();
        }
        self.settings.now.splats.up = super::settings::Up::NegativeY;
        self.see_as_opened();
    }

    /// The open picture as a scene: what it takes, and the button.
    pub(super) fn lift_section(&mut self, ui: &mut Ui) {
        if self.document.is_none() {
            return;
        }
        rule(ui);
        let mut act = false;
        section(ui, "Open picture", |ui| act = self.lift_button(ui, false));
        if act {
            self.lift_the_picture(ui.ctx());
        }
        if self.splats.lifter.offers.is_empty() {
            hint(ui, "There is no depth model on this machine.");
            return;
        }
        let title = RichText::new("How it is lifted").color(palette(ui.ctx()).muted);
        CollapsingHeader::new(title).id_salt("lifting").show_unindented(ui, |ui| {
            self.depth_menu(ui);
            let choice = &mut self.settings.now.splats;
            let scale = Scale::new(20.0..=110.0, 60.0, 1.0, 0).suffix("°");
            let help = "How much the camera saw along the picture's longer side. Narrower makes the scene deeper.";
            labelled(ui, "Angle of view", help, &mut choice.lift_fov, &scale);
            let scale = Scale::new(10.0..=1000.0, 100.0, 10.0, 0).suffix(" k");
            labelled(
                ui,
                "Gaussians",
                "One for each pixel, up to so many thousands.",
                &mut choice.lift_thousands,
                &scale,
            );
            let words = match self.first_backbone() {
                Some(name) => format!("With the features of {}.", self.title_of_backbone(&name)),
                None => "Without features: there is no backbone on this machine.".to_owned(),
            };
            hint(ui, words);
        });
    }

    /// *Lift this picture*, or *Stop lifting*; whether it shall begin.
    pub(super) fn lift_button(&mut self, ui: &mut Ui, tall: bool) -> bool {
        if self.splats.lifter.is_working() {
            let button = TextButton::new("Stop lifting").icon(Icon::Stop);
            if if tall { button.tall() } else { button }.show(ui).clicked() {
                self.splats.lifter.stop();
            }
            return false;
        }
        let button = TextButton::new("Lift this picture").icon(Icon::Lift).enabled(self.can_lift_the_picture());
        let button = if tall { button.tall() } else { button }.show(ui);
        button.on_hover_text("A depth model makes a 3D scene of the picture that is shown").clicked()
    }

    /// Which depth model, where there is a choice.
    fn depth_menu(&mut self, ui: &mut Ui) {
        let lifter = &self.splats.lifter;
        let chosen = lifter.model(self.settings.now.splats.depth_model.as_deref());
        let Some((name, title)) = chosen.map(|offer| (offer.name.clone(), offer.title.clone())) else { return };
        if lifter.offers.len() < 2 {
            hint(ui, format!("Depth by {title}."));
            return;
        }
        let button =
            TextButton::new(&title).icon(Icon::Model).show(ui).accessible_name(format!("Depth model: {title}"));
        let mut wish = None;
        Popup::menu(&button).show(|ui| {
            ui.set_min_width(240.0);
            for offer in &lifter.offers {
                let item = ui.add(Button::selectable(name == offer.name, &offer.title));
                if item.on_hover_text(&offer.about).clicked() {
                    wish = Some(offer.name.clone());
                    ui.close();
                }
            }
        });
        if let Some(wish) = wish {
            self.settings.now.splats.depth_model = Some(wish);
        }
    }
}

/// A lifted picture as a scene with one camera: the one it was taken with.
fn scene_of(name: String, lifted: LiftedPicture) -> Scene {
    let cameras = vec![NamedCamera { name: name.clone(), picture: name.clone(), camera: lifted.camera }];
    Scene {
        name,
        path: None,
        first: first_camera(&cameras, &lifted.scene),
        robust: lifted.scene.robust_bounds(),
        gaussians: Arc::new(lifted.scene),
        format: "a picture",
        cameras,
        photographs: None,
    }
}
