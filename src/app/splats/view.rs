//! The scene in the middle of the window: shows the last picture and moves the eye.

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, EventFilter, Key, PointerButton, Pos2, Rect, RichText, Role, Sense,
    Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use glam::{DVec2, DVec3};

use super::drawing::Mode;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{self, palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton, hint};
use crate::app::widgets::progress;

const HELP: [(&str, &str); 9] = [
    ("Drag", "Turn around the target"),
    ("Right drag, Shift drag", "Shift the view"),
    ("Wheel, pinch", "Come nearer to what is under the pointer"),
    ("Double click", "Look at this point and go around it"),
    ("Click", "Ask how alike everything is to this point"),
    ("W A S D, Q E", "Fly; Shift is faster"),
    ("Arrow keys", "Turn"),
    ("+  −", "Nearer, farther"),
    ("F", "See the whole scene"),
];

impl Glassbox {
    /// Draws the lens.
    pub(in crate::app) fn splat_view(&mut self, ui: &mut Ui) {
        if let Some(opening) = &self.splats.opening {
            let (name, fraction) = (opening.name.clone(), opening.fraction());
            self.scene_on_its_way(ui, &name, fraction);
            return;
        }
        if self.splats.scene.is_none() {
            self.no_scene(ui);
            return;
        }
        let rect = ui.available_rect_before_wrap();
        let scale = ui.pixels_per_point();
        let side = |points: f32| (points * scale).round().clamp(16.0, 4096.0) as u32;
        self.move_the_eye(ui, rect);
        self.ask_for_picture(ui.ctx(), (side(rect.width()), side(rect.height())));
        let Some(texture) = &self.splats.texture else { return };
        let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        ui.painter().image(texture.id(), rect, uv, Color32::WHITE);
        self.mark_hit(ui, rect);
        self.view_buttons(ui, rect);
        if self.splats.help {
            self.view_help(ui, rect);
        }
    }

    fn scene_on_its_way(&mut self, ui: &mut Ui, name: &str, fraction: Option<f32>) {
        ui.vertical_centered(|ui| {
            ui.add_space(ui.available_height() * 0.4);
            ui.label(RichText::new(format!("Opening {name}")).size(19.0));
            ui.add_space(space::S);
            progress::bar(ui, "Opening the scene", fraction, 220.0, palette(ui.ctx()).accent);
            ui.add_space(space::M);
            if TextButton::new("Cancel opening").icon(Icon::Stop).show(ui).clicked() {
                self.stop_opening();
            }
        });
    }

    fn no_scene(&mut self, ui: &mut Ui) {
        let fault = self.splats.fault.clone();
        ui.vertical_centered(|ui| {
            ui.add_space(ui.available_height() * 0.32);
            ui.label(RichText::new("Open a splat scene").size(19.0));
            hint(ui, "3D Gaussians as .ply, compressed .ply, .splat or .spz; drop one here, or choose a file");
            if let Some(fault) = fault {
                ui.add_space(space::S);
                ui.label(RichText::new(fault).color(palette(ui.ctx()).error));
            }
            ui.add_space(space::M);
            if TextButton::new("Open a scene…").icon(Icon::Open).primary().tall().show(ui).clicked() {
                self.ask_for_a_scene(ui.ctx());
            }
            if let Some(sample) = self.splats.sample.clone() {
                ui.add_space(space::S);
                if TextButton::new("Open the sample scene").quiet().show(ui).clicked() {
                    self.open_scene(ui.ctx(), sample);
                }
            }
        });
    }

    fn move_the_eye(&mut self, ui: &mut Ui, rect: Rect) {
        let response = ui.allocate_rect(rect, Sense::click_and_drag());
        let told = self.told_of_hit();
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Canvas, true, "3D view");
            info.current_text_value = Some(told.clone());
            info
        });
        if response.clicked() || response.drag_started() {
            response.request_focus();
        }
        let lens = &mut self.splats;
        let height = f64::from(rect.height());
        let part = |delta: egui::Vec2| DVec2::new(f64::from(delta.x) / height, f64::from(delta.y) / height);
        let shift = ui.input(|i| i.modifiers.shift);
        if response.dragged() {
            let by = part(response.drag_delta());
            if shift || !response.dragged_by(PointerButton::Primary) {
                lens.eye.shift(-by);
            } else {
                lens.eye.turn(-3.0 * by.x, 3.0 * by.y);
            }
        }
        let place = |at: Pos2| pos2((at.x - rect.left()) / rect.width(), (at.y - rect.top()) / rect.height());
        let pointer = response.hover_pos().map(place);
        if let Some(at) = pointer {
            if lens.hit.as_ref().is_none_or(|hit| hit.at != at) && !response.dragged() {
                lens.hit = lens.hit_at(at);
            }
            let (scroll, zoom) = ui.input(|i| (f64::from(i.smooth_scroll_delta.y), f64::from(i.zoom_delta())));
            let factor = (-scroll / 300.0).exp() / zoom;
            if (factor - 1.0).abs() > 1e-6 {
                lens.eye.approach(factor, lens.hit.as_ref().map(|hit| hit.point));
            }
        }
        if response.double_clicked()
            && let Some(hit) = lens.hit.clone()
        {
            lens.eye.focus(hit.point);
        } else if response.clicked()
            && let Some(hit) = lens.hit.clone()
        {
            self.ask_about(hit.nearest);
        }
        if response.has_focus() {
            self.keys(ui, &response);
        } else {
            self.splats.keys.clear();
        }
        if response.has_focus() {
            ui.painter().rect_stroke(rect.shrink(1.0), 0, palette(ui.ctx()).focus_ring(), StrokeKind::Inside);
        }
        response.on_hover_cursor(CursorIcon::Grab);
    }

    /// Makes the features of a Gaussian what similarity is asked about.
    fn ask_about(&mut self, index: usize) {
        let lens = &mut self.splats;
        let features = lens.scene.as_ref().and_then(|scene| scene.gaussians.features());
        if let Some(features) = features {
            lens.query = Some((index, features.of(index).into()));
        }
    }

    /// Keys that move the eye, by their places on the keyboard.
    fn keys(&mut self, ui: &Ui, response: &egui::Response) {
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
        let (events, seconds, shift, command) =
            ui.input(|i| (i.events.clone(), f64::from(i.stable_dt.min(0.1)), i.modifiers.shift, i.modifiers.command));
        let lens = &mut self.splats;
        let mut enter = false;
        for event in events {
            if let egui::Event::Key { key, physical_key, pressed, repeat, .. } = event {
                let key = physical_key.unwrap_or(key);
                if pressed && !command {
                    lens.keys.insert(key);
                    enter |= key == Key::Enter && !repeat;
                } else {
                    lens.keys.remove(&key);
                }
            }
        }
        let held = |plus: Key, minus: Key| {
            f64::from(u8::from(lens.keys.contains(&plus))) - f64::from(u8::from(lens.keys.contains(&minus)))
        };
        let fly = DVec3::new(held(Key::D, Key::A), held(Key::E, Key::Q), held(Key::W, Key::S));
        let turn = (held(Key::ArrowRight, Key::ArrowLeft), held(Key::ArrowUp, Key::ArrowDown));
        let pace = seconds * if shift { 3.0 } else { 0.8 };
        if fly != DVec3::ZERO {
            lens.eye.fly(fly * pace);
        }
        if turn != (0.0, 0.0) {
            lens.eye.turn(turn.0 * pace, turn.1 * pace);
        }
        if fly != DVec3::ZERO || turn != (0.0, 0.0) {
            ui.ctx().request_repaint();
        }
        if enter {
            // Without a pointer the middle is what is pointed at.
            self.splats.hit = self.splats.hit_at(pos2(0.5, 0.5));
            if let Some(hit) = self.splats.hit.clone() {
                self.ask_about(hit.nearest);
            }
        }
    }

    /// What is under the pointer, in words.
    pub(super) fn told_of_hit(&self) -> String {
        let lens = &self.splats;
        let (Some(hit), Some(scene)) = (&lens.hit, &lens.scene) else { return String::new() };
        let [x, y, z] = hit.point.to_array();
        let mut words = format!("x {x:.2}  y {y:.2}  z {z:.2}   {:.2} away", hit.depth);
        if let (Some(features), Some((_, query))) = (scene.gaussians.features(), &lens.query) {
            let cosine = crate::engine::jobs::splats::modes::cosines(features.of(hit.nearest), features.dim, query);
            if let Some(cosine) = cosine.first() {
                words += &format!("   cosine {cosine:.2}");
            }
        }
        words
    }

    fn mark_hit(&self, ui: &Ui, rect: Rect) {
        let p = palette(ui.ctx());
        let Some(hit) = &self.splats.hit else { return };
        let at = pos2(rect.left() + hit.at.x * rect.width(), rect.top() + hit.at.y * rect.height());
        ui.painter().circle_stroke(at, 5.0, Stroke::new(2.0, p.accent));
        let words = ui.painter().layout_no_wrap(self.told_of_hit(), theme::small(), p.text);
        let card = Rect::from_min_size(rect.left_bottom() + vec2(12.0, -38.0), words.size() + vec2(20.0, 10.0));
        let round = CornerRadius::same(radius::CONTROL);
        ui.painter().rect(card, round, p.panel.gamma_multiply(0.94), p.outline(), StrokeKind::Inside);
        ui.painter().galley(card.min + vec2(10.0, 5.0), words, p.text);
    }

    fn view_buttons(&mut self, ui: &Ui, rect: Rect) {
        let p = palette(ui.ctx());
        egui::Area::new(egui::Id::unique("splat view buttons"))
            .order(egui::Order::Middle)
            .fixed_pos(rect.right_bottom() - vec2(space::M, space::M))
            .pivot(Align2::RIGHT_BOTTOM)
            .show(ui.ctx(), |ui| {
                let frame = egui::Frame::new().fill(p.panel).stroke(p.outline()).inner_margin(3);
                frame.corner_radius(CornerRadius::same(radius::CARD)).show(ui, |ui| {
                    ui.horizontal(|ui| {
                        ui.spacing_mut().item_spacing.x = 2.0;
                        if IconButton::new(Icon::ZoomOut, "Farther").show(ui).clicked() {
                            self.splats.eye.approach(1.25, None);
                        }
                        if IconButton::new(Icon::ZoomIn, "Nearer").show(ui).clicked() {
                            self.splats.eye.approach(0.8, None);
                        }
                        if IconButton::new(Icon::Fit, "See the whole scene").show(ui).clicked() {
                            self.frame_scene();
                        }
                        let help = IconButton::new(Icon::Help, "How to move").selected(self.splats.help);
                        if help.show(ui).clicked() {
                            self.splats.help ^= true;
                        }
                    });
                });
            });
    }

    fn view_help(&self, ui: &Ui, rect: Rect) {
        let p = palette(ui.ctx());
        egui::Area::new(egui::Id::unique("splat help"))
            .order(egui::Order::Middle)
            .fixed_pos(rect.right_bottom() - vec2(space::M, 58.0))
            .pivot(Align2::RIGHT_BOTTOM)
            .show(ui.ctx(), |ui| {
                let frame = egui::Frame::new().fill(p.panel).stroke(p.outline()).inner_margin(12);
                frame.corner_radius(CornerRadius::same(radius::CARD)).show(ui, |ui| {
                    egui::Grid::new("how to move").num_columns(2).spacing([space::L, space::XS]).show(ui, |ui| {
                        for (keys, what) in HELP {
                            ui.label(RichText::new(keys).small());
                            ui.label(RichText::new(what).small().color(p.muted));
                            ui.end_row();
                        }
                    });
                });
            });
    }

    /// Sees the scene as when it was opened: from its first camera, or all of it.
    pub(super) fn see_as_opened(&mut self) {
        self.frame_scene();
        let lens = &mut self.splats;
        if let Some((camera, distance)) = lens.scene.as_ref().and_then(|scene| scene.first.as_ref()) {
            lens.eye.stand_at(camera, *distance, self.settings.now.splats.up);
        }
    }

    /// Sees the whole scene.
    pub(in crate::app) fn frame_scene(&mut self) {
        let lens = &mut self.splats;
        if let Some(scene) = &lens.scene {
            lens.eye.frame(&scene.gaussians.robust_bounds(), self.settings.now.splats.up);
        }
    }

    /// Comes nearer by a factor.
    pub(in crate::app) fn approach_scene(&mut self, factor: f64) {
        self.splats.eye.approach(factor, None);
    }

    /// Whether the open mode waits for a point to be chosen.
    pub(super) fn waits_for_a_point(&self) -> bool {
        self.settings.now.splats.mode == Mode::Similarity && self.splats.query.is_none()
    }
}
