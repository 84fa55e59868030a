//! The brush that selects splats, the box that crops them, and the bar of tools above the view.

use egui::{
    Align2, Area, Context, CornerRadius, Frame, Id, Margin, Order, PointerButton, Pos2, Rect, Response, Shape, Stroke,
    Ui, pos2, vec2,
};
use glam::DVec3;

use super::SplatsLens;
use super::acts::{SplatAct, Tool};
use super::cameras::View;
use super::picking::For;
use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::icons::Icon;
use crate::app::theme::{palette, radius, size, space};
use crate::app::widgets::buttons::{IconButton, hint};
use crate::app::widgets::sliders::{Scale, track};
use crate::splats::selection::{Combine, Marks};

/// Radii of the brush, points.
pub(super) const SMALLEST: f32 = 4.0;
pub(super) const LARGEST: f32 = 160.0;

/// One stroke of the brush.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroked {
    how: Combine,
    /// Dabs that are being looked for.
    waits: usize,
    /// The button is up.
    over: bool,
    /// Where the last dab was.
    last: Pos2,
}

impl SplatsLens {
    /// Follows the pointer with the brush; `place` brings points of the window to 0..=1.
    pub(super) fn brush(&mut self, ui: &Ui, response: &Response, rect: Rect, place: impl Fn(Pos2) -> Pos2) {
        let Some(at) = response.interact_pointer_pos() else {
            self.end_of_stroke();
            return;
        };
        let (down, add, subtract) = ui.input(|i| {
            (i.pointer.button_down(PointerButton::Primary), i.modifiers.shift, i.modifiers.alt || i.modifiers.command)
        });
        if !down {
            self.end_of_stroke();
            return;
        }
        let begins = self.stroke.is_none_or(|stroke| stroke.over);
        if begins {
            let how = match (add, subtract) {
                (_, true) => Combine::Subtract,
                (true, false) => Combine::Add,
                (false, false) => self.combine,
            };
            if how == Combine::Replace {
                self.now.selected = None;
            }
            // What a stroke passes over joins what it passed over before.
            let how = if how == Combine::Replace { Combine::Add } else { how };
            let waits = self.stroke.map_or(0, |stroke| stroke.waits);
            self.stroke = Some(Stroked { how, waits, over: false, last: at });
        }
        let Some(stroke) = &mut self.stroke else { return };
        // Dabs lie a third of the radius apart, so that a quick hand leaves no gaps.
        let way = at - stroke.last;
        let steps = (way.length() / (self.brush / 3.0)).floor() as usize;
        if !begins && steps == 0 {
            return;
        }
        let from = stroke.last;
        stroke.last = at;
        let dabs: Vec<Pos2> = (1..=steps.max(1)).map(|step| from + way * (step as f32 / steps.max(1) as f32)).collect();
        stroke.waits += dabs.len();
        let (radius, how) = (f64::from(self.brush / rect.width()), stroke.how);
        for dab in dabs {
            self.pick(ui.ctx(), For::Brush { radius, through: self.through, how }, place(dab));
        }
    }

    fn end_of_stroke(&mut self) {
        if let Some(stroke) = &mut self.stroke
            && !stroke.over
        {
            stroke.over = true;
            self.stroke_is_done();
        }
    }

    /// When the last dab is there the whole stroke is one step.
    fn stroke_is_done(&mut self) {
        if self.stroke.is_some_and(|stroke| stroke.over && stroke.waits == 0) {
            self.stroke = None;
            self.now.tidy();
            self.edits.record(&self.now);
        }
    }

    /// A dab was looked for.
    pub(super) fn dabbed(&mut self, marks: Option<Marks>, how: Combine) {
        let Some(stroke) = &mut self.stroke else { return };
        stroke.waits = stroke.waits.saturating_sub(1);
        if let Some(marks) = marks {
            self.select(&marks, how);
        }
        self.stroke_is_done();
    }

    /// Gaussians that are selected, hidden and deleted.
    pub(super) fn counts(&self) -> [usize; 3] {
        let count = |marks: &Option<Marks>| marks.as_ref().map_or(0, Marks::marked);
        [count(&self.now.selected), count(&self.now.hidden), count(&self.now.deleted)]
    }
}

/// The corners of a box by their bits: x, y, z.
fn corner(bounds: &crate::splats::gaussians::Bounds, bits: usize) -> DVec3 {
    let side = |axis: usize| f64::from(if bits >> axis & 1 == 0 { bounds.min[axis] } else { bounds.max[axis] });
    DVec3::new(side(0), side(1), side(2))
}

impl Glassbox {
    /// Draws the box that crops.
    pub(super) fn crop_box(&self, ui: &Ui, rect: Rect) {
        let lens = &self.splats;
        let Some(bounds) = &lens.crop else { return };
        let Ok(camera) = lens.eye.camera((rect.width().max(1.0) as u32, rect.height().max(1.0) as u32)) else { return };
        let view = View { camera: &camera, rect };
        let p = palette(ui.ctx());
        let painter = ui.painter_at(rect);
        for from in 0..8usize {
            for axis in 0..3 {
                let to = from | 1 << axis;
                if to == from {
                    continue;
                }
                // In pieces, so that a side that passes behind the eye is drawn as far as it is seen.
                let (a, b) = (corner(bounds, from), corner(bounds, to));
                let points: Vec<Option<Pos2>> =
                    (0..=16).map(|step| view.place(a.lerp(b, f64::from(step) / 16.0))).collect();
                for pair in points.windows(2) {
                    if let [Some(a), Some(b)] = pair {
                        painter.line_segment([*a, *b], Stroke::new(3.0, p.canvas.gamma_multiply(0.6)));
                        painter.line_segment([*a, *b], Stroke::new(1.5, p.accent));
                    }
                }
            }
        }
    }

    /// Draws the brush where the pointer is.
    pub(super) fn brush_circle(&self, ui: &Ui, rect: Rect) {
        let lens = &self.splats;
        let at = ui.input(|i| i.pointer.hover_pos()).filter(|at| rect.contains(*at) && lens.tool == Tool::Brush);
        if let Some(at) = at {
            let p = palette(ui.ctx());
            let painter = ui.painter_at(rect);
            painter.add(Shape::circle_stroke(at, lens.brush, Stroke::new(3.0, p.canvas.gamma_multiply(0.6))));
            painter.add(Shape::circle_stroke(at, lens.brush, Stroke::new(1.5, p.accent)));
        }
    }

    /// The bar of tools above the view.
    pub(super) fn scene_tools(&mut self, ui: &Ui, rect: Rect) {
        let p = palette(ui.ctx());
        Area::new(Id::unique("splat tools"))
            .order(Order::Middle)
            .fixed_pos(rect.left_top() + vec2(space::M, space::M))
            .pivot(Align2::LEFT_TOP)
            .show(ui.ctx(), |ui| {
                let frame = Frame::new().fill(p.panel).stroke(p.outline()).inner_margin(Margin::same(3));
                frame.corner_radius(CornerRadius::same(radius::CARD)).show(ui, |ui| {
                    ui.horizontal(|ui| self.tools(ui, rect.width()));
                });
            });
    }

    fn tools(&mut self, ui: &mut Ui, room: f32) {
        ui.spacing_mut().item_spacing.x = 2.0;
        let tool = self.splats.tool;
        self.act_icon(ui, Icon::Pointer, SplatAct::Tool(Tool::Move), tool == Tool::Move);
        self.act_icon(ui, Icon::Brush, SplatAct::Tool(Tool::Brush), tool == Tool::Brush);
        let crops = self.splats.crop.is_some();
        self.act_icon(ui, Icon::Box, SplatAct::CropBox, crops);
        if tool == Tool::Brush && room > 560.0 {
            ui.add_space(space::S);
            let mut wide = f64::from(self.splats.brush);
            let scale = Scale::new(f64::from(SMALLEST)..=f64::from(LARGEST), 28.0, 1.0, 0);
            track(ui, "Width of the brush", &mut wide, &scale, 84.0, palette(ui.ctx()).accent);
            self.splats.brush = wide as f32;
            let help = "Reach through the scene, not only as deep as the brush is wide";
            let through = IconButton::new(Icon::Through, "Through everything").help(help).selected(self.splats.through);
            if through.show(ui).clicked() {
                self.splats.through ^= true;
            }
        }
        if crops {
            ui.add_space(space::S);
            self.act_icon(ui, Icon::Check, SplatAct::SelectInBox, false);
        }
        let [selected, hidden, _] = self.splats.counts();
        if selected > 0 {
            ui.add_space(space::S);
            if room > 480.0 {
                ui.allocate_ui_with_layout(
                    vec2(84.0, size::CONTROL),
                    egui::Layout::left_to_right(egui::Align::Center),
                    |ui| hint(ui, format!("{selected} selected")),
                );
            }
            for (icon, act) in [
                (Icon::Invert, SplatAct::Invert),
                (Icon::EyeOff, SplatAct::Hide),
                (Icon::Solo, SplatAct::Isolate),
                (Icon::Remove, SplatAct::Delete),
                (Icon::Close, SplatAct::Clear),
            ] {
                self.act_icon(ui, icon, act, false);
            }
        }
        if hidden > 0 {
            ui.add_space(space::S);
            self.act_icon(ui, Icon::Eye, SplatAct::ShowAll, false);
        }
    }

    /// An icon that stands for something to do with the scene.
    pub(super) fn act_icon(&mut self, ui: &mut Ui, icon: Icon, act: SplatAct, selected: bool) {
        let button = IconButton::new(icon, act.title())
            .shortcut(Command::Splats(act).keys(ui.ctx()))
            .selected(selected)
            .enabled(self.splats.can(act));
        if button.show(ui).clicked() {
            self.act_on_scene(ui.ctx(), act);
        }
    }
}

/// Makes the brush wider or narrower by keys.
pub(super) fn resize(lens: &mut SplatsLens, ctx: &Context) {
    let steps =
        ctx.input(|i| i.num_presses(egui::Key::CloseBracket) as f32 - i.num_presses(egui::Key::OpenBracket) as f32);
    lens.brush = (lens.brush * 1.2f32.powf(steps)).clamp(SMALLEST, LARGEST);
}

/// A place of the window as a part of the view.
pub(super) fn part_of(rect: Rect) -> impl Fn(Pos2) -> Pos2 {
    move |at| pos2((at.x - rect.left()) / rect.width(), (at.y - rect.top()) / rect.height())
}
