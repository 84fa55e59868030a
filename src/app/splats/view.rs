//! The scene in the middle of the window: shows the last picture and moves the eye.

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, EventFilter, Key, PointerButton, Pos2, Rect, RichText, Role, Sense,
    Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use glam::{DVec2, DVec3};

use super::acts::Tool;
use super::brush::part_of;
use super::drawing::Mode;
use super::picking::For;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{self, palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton, hint};
use crate::app::widgets::progress;
use crate::engine::jobs::splats::modes;

const HELP: [(&str, &str); 12] = [
    ("Drag", "Turn around the target"),
    ("Right drag, Shift drag", "Shift the view"),
    ("Wheel, pinch", "Come nearer to what is under the pointer"),
    ("Double click", "Look at this point and go around it"),
    ("Click", "Ask how alike everything is to this point"),
    ("W A S D, Q E", "Fly; Shift is faster"),
    ("Arrow keys", "Turn"),
    ("+  −", "Nearer, farther"),
    ("F", "See the whole scene"),
    ("Shift B, V", "Select with a brush, move again"),
    (",  .", "Look through the cameras, one by one"),
    ("K, Shift K", "Add this view to the path, play it"),
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
        self.fly_along_the_path(ui);
        let rect = self.beside_the_photograph(ui, ui.available_rect_before_wrap());
        let scale = ui.pixels_per_point();
        let side = |points: f32| (points * scale).round().clamp(16.0, 4096.0) as u32;
        let clicked = self.move_the_eye(ui, rect);
        self.ask_for_picture(ui.ctx(), (side(rect.width()), side(rect.height())));
        let lens = &self.splats;
        let Some(texture) = lens.native.or_else(|| lens.texture.as_ref().map(egui::TextureHandle::id)) else { return };
        let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        ui.painter().image(texture, rect, uv, Color32::WHITE);
        self.crop_box(ui, rect);
        // A camera that was clicked is looked through; else the point is what is asked about.
        if !self.frustums(ui, rect, clicked)
            && let Some(at) = clicked
        {
            self.splats.pick(ui.ctx(), For::Ask, part_of(rect)(at));
        }
        self.mark_hit(ui, rect);
        self.brush_circle(ui, rect);
        self.scene_tools(ui, rect);
        self.view_buttons(ui, rect);
        if self.splats.help {
            self.view_help(ui, rect);
        }
    }

    /// While the path is played the eye is where it leads.
    fn fly_along_the_path(&mut self, ui: &Ui) {
        let now = ui.input(|i| i.time);
        if let Some(pose) = self.splats.path.now(now) {
            self.splats.eye.take(&pose, self.settings.now.splats.up);
            self.settings.now.splats.fov = pose.fov.to_degrees();
            ui.ctx().request_repaint();
        }
    }

    /// The photograph of the camera that is looked through, at the left; what is left for the scene.
    fn beside_the_photograph(&mut self, ui: &mut Ui, whole: Rect) -> Rect {
        let Some(photo) = self.photo() else { return whole };
        let (words, texture) = match photo {
            Ok(texture) => (String::new(), Some((texture.id(), texture.size_vec2()))),
            Err(sentence) => (sentence.to_owned(), None),
        };
        let p = palette(ui.ctx());
        let Some((texture, size)) = texture else {
            let words = ui.painter().layout(words, theme::small(), p.muted, whole.width() - 2.0 * space::L);
            ui.painter().galley(whole.left_bottom() + vec2(space::M, -space::M - words.size().y), words, p.muted);
            return whole;
        };
        let (left, right) = whole.split_left_right_at_fraction(0.5);
        let scale = (left.width() / size.x).min(left.height() / size.y);
        let place = Rect::from_center_size(left.center(), size * scale);
        let uv = Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0));
        ui.painter().image(texture, place, uv, Color32::WHITE);
        let seen = ui.interact(left, ui.scope_id().with("photograph"), Sense::hover());
        let name = self.splats.cameras.looked_through().map_or_else(String::new, |(_, named)| named.name.clone());
        seen.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Photograph {name}")));
        ui.painter().vline(left.right(), whole.y_range(), Stroke::new(1.0, p.line));
        egui::Area::new(egui::Id::unique("close the photograph"))
            .order(egui::Order::Middle)
            .fixed_pos(left.left_top() + vec2(space::M, space::M))
            .show(ui.ctx(), |ui| {
                let frame = egui::Frame::new().fill(p.panel).stroke(p.outline()).inner_margin(3);
                frame.corner_radius(CornerRadius::same(radius::CARD)).show(ui, |ui| {
                    let close = IconButton::new(Icon::Close, "Close the photograph").shortcut(Some("Esc".to_owned()));
                    if close.show(ui).clicked() {
                        self.splats.cameras.leave();
                    }
                });
            });
        // The camera's own shape, so that both show the same.
        let side = Rect::from_center_size(right.center(), size * scale);
        if side.width() >= 64.0 && side.height() >= 64.0 { side.intersect(right) } else { right }
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
            if self.document.is_some() {
                ui.add_space(space::S);
                if self.lift_button(ui, true) {
                    self.lift_the_picture(ui.ctx());
                }
            }
            let recent = self.settings.now.splats.recent.clone();
            if !recent.is_empty() {
                ui.add_space(space::M);
                hint(ui, "Opened before");
                if let Some(path) = super::panel::recent_scenes(ui, &recent) {
                    self.open_scene(ui.ctx(), path);
                }
            }
            if let Some(sample) = self.splats.sample.clone() {
                ui.add_space(space::S);
                if TextButton::new("Open the sample scene").quiet().show(ui).clicked() {
                    self.open_scene(ui.ctx(), sample);
                }
            }
        });
    }

    /// Moves the eye, or the brush; gives the place that was clicked.
    fn move_the_eye(&mut self, ui: &mut Ui, rect: Rect) -> Option<Pos2> {
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
        let place = part_of(rect);
        let brushes = lens.tool == Tool::Brush;
        if brushes {
            lens.brush(ui, &response, rect, &place);
        }
        if response.dragged() && !(brushes && response.dragged_by(PointerButton::Primary)) {
            let by = part(response.drag_delta());
            let turns = if brushes { PointerButton::Secondary } else { PointerButton::Primary };
            if shift || !response.dragged_by(turns) {
                lens.eye.shift(-by);
            } else {
                lens.eye.turn(-3.0 * by.x, 3.0 * by.y);
            }
            lens.path.stop();
        }
        let pointer = response.hover_pos().map(&place);
        if let Some(at) = pointer {
            if lens.picked != Some(at) && !response.dragged() {
                lens.picked = Some(at);
                lens.pick(ui.ctx(), For::Hover, at);
            }
            let (scroll, zoom) = ui.input(|i| (f64::from(i.smooth_scroll_delta.y), f64::from(i.zoom_delta())));
            let factor = (-scroll / 300.0).exp() / zoom;
            if (factor - 1.0).abs() > 1e-6 {
                lens.eye.approach(factor, lens.hit.as_ref().map(|hit| hit.point));
            }
        }
        let mut clicked = None;
        if let Some(at) = response.interact_pointer_pos().filter(|_| !brushes) {
            if response.double_clicked() {
                lens.pick(ui.ctx(), For::Focus, place(at));
            } else if response.clicked() {
                clicked = Some(at);
            }
        }
        if response.has_focus() {
            self.keys(ui, &response);
        } else {
            self.splats.keys.clear();
        }
        if response.has_focus() {
            ui.painter().rect_stroke(rect.shrink(1.0), 0, palette(ui.ctx()).focus_ring(), StrokeKind::Inside);
        }
        response.on_hover_cursor(if brushes { CursorIcon::Crosshair } else { CursorIcon::Grab });
        clicked
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
        super::brush::resize(lens, ui.ctx());
        if enter {
            // Without a pointer the middle is what is pointed at.
            self.splats.pick(ui.ctx(), For::Ask, pos2(0.5, 0.5));
        }
    }

    /// What is under the pointer, in words.
    pub(super) fn told_of_hit(&self) -> String {
        let lens = &self.splats;
        let (Some(hit), Some(scene)) = (&lens.hit, &lens.scene) else { return String::new() };
        let [x, y, z] = hit.point.to_array();
        let mut words = format!("x {x:.2}  y {y:.2}  z {z:.2}   {:.2} away", hit.depth);
        let gaussians = &scene.gaussians;
        if let (Some(features), Some(query)) = (gaussians.features(), &lens.query)
            && query.features.len() == features.dim
        {
            let cosine = modes::cosines(features.of(hit.nearest), features.dim, &query.features);
            if let Some(cosine) = cosine.first() {
                words += &format!("   cosine {cosine:.2}");
            }
        }
        let clusters = lens.analysis.clusters(gaussians.revision());
        if let Some(label) = clusters.and_then(|clusters| clusters.label(hit.nearest)) {
            words += &format!("   cluster {}", label + 1);
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
            lens.eye.frame(&scene.robust, self.settings.now.splats.up);
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
