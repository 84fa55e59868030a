//! Painting the region of an instruction on the picture: brush, eraser, rectangle, ready-made halves, soft edge.

use std::sync::Arc;

use egui::{
    Align2, Area, Button, Color32, ColorImage, CornerRadius, CursorIcon, Frame, Id, Margin, Order, Painter,
    PointerButton, Pos2, Rect, Stroke, StrokeKind, TextureHandle, TextureOptions, Ui, pos2, vec2,
};
use image::GrayImage;

use super::mask::Mask;
use crate::app::Glassbox;
use crate::app::icons::Icon;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton, hint};
use crate::app::widgets::compare::{Canvas, Pane};
use crate::app::widgets::sliders::{Scale, track};

/// What the pointer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Brush,
    Eraser,
    Rectangle,
}

/// A region that is being painted.
pub(crate) struct Painting {
    /// The row it is for, by its id.
    pub(super) row: u64,
    tool: Tool,
    /// Of the brush, as a share of the picture's longer side.
    radius: f64,
    /// Where the stroke was in the frame before; where the rectangle began.
    from: Option<Pos2>,
    texture: Option<(Arc<GrayImage>, Color32, TextureHandle)>,
}

/// Ready-made regions: name, left, top, right, bottom. Also the way without a pointer.
const READY: [(&str, [f32; 4]); 5] = [
    ("Upper half", [0.0, 0.0, 1.0, 0.5]),
    ("Lower half", [0.0, 0.5, 1.0, 1.0]),
    ("Left half", [0.0, 0.0, 0.5, 1.0]),
    ("Right half", [0.5, 0.0, 1.0, 1.0]),
    ("Middle", [0.25, 0.25, 0.75, 0.75]),
];

impl Glassbox {
    /// Begins (or ends) painting the region of a row.
    pub(super) fn paint_region(&mut self, row: u64) {
        let ends = self.lens.painting.as_ref().is_some_and(|painting| painting.row == row);
        self.stop_painting();
        if !ends {
            self.lens.inspection.pinned = None;
            self.lens.painting = Some(Painting { row, tool: Tool::Brush, radius: 0.04, from: None, texture: None });
        }
    }

    /// Leaves painting. A region with nothing in it is none.
    pub(in crate::app) fn stop_painting(&mut self) {
        if let Some(painting) = self.lens.painting.take()
            && let Some(row) = self.document.as_mut().and_then(|document| document.draft.row_mut(painting.row))
            && row.mask.as_ref().is_some_and(Mask::is_empty)
        {
            row.mask = None;
        }
    }

    pub(in crate::app) fn is_painting(&self) -> bool {
        self.lens.is_painting()
    }

    /// Paints with what the pointer does on the canvas, and shows the region.
    pub(in crate::app) fn painting(&mut self, ui: &Ui, canvas: &Canvas) {
        let p = palette(ui.ctx());
        let Some(mut painting) = self.lens.painting.take() else { return };
        let Some(document) = &mut self.document else { return };
        let size = document.shown().picture.size();
        let place = document.draft.rows.iter().position(|row| row.id == painting.row);
        let Some(row) = place.and_then(|at| document.draft.rows.get_mut(at)) else { return };
        let colour = p.series(place.unwrap_or(0));
        let mut mask = row.mask.take().filter(|mask| mask.source() == size).unwrap_or_else(|| Mask::new(size));
        painting.pointer(ui, canvas, &mut mask);
        for pane in &canvas.panes {
            painting.show(ui, pane, &mask, colour);
        }
        let done = painting.toolbar(ui, canvas, &mut mask, place.unwrap_or(0) + 1);
        row.mask = Some(mask);
        self.lens.painting = Some(painting);
        if done {
            self.stop_painting();
        }
    }
}

/// The place on the picture (0..=1 inside it) of a point of the window.
fn on_picture(pane: &Pane, at: Pos2) -> Pos2 {
    let picture = pane.picture;
    pos2((at.x - picture.left()) / picture.width().max(1.0), (at.y - picture.top()) / picture.height().max(1.0))
}

impl Painting {
    fn pointer(&mut self, ui: &Ui, canvas: &Canvas, mask: &mut Mask) {
        let response = &canvas.response;
        let pressed =
            response.is_pointer_button_down_on() && ui.input(|i| i.pointer.button_down(PointerButton::Primary));
        let at = response.interact_pointer_pos().or_else(|| response.hover_pos());
        let pane = at.and_then(|at| canvas.panes.iter().find(|pane| pane.clip.contains(at))).or(canvas.panes.last());
        let (Some(at), Some(pane)) = (at, pane) else {
            self.from = None;
            return;
        };
        let here = on_picture(pane, at);
        let painter = ui.painter_at(pane.clip);
        match self.tool {
            Tool::Brush | Tool::Eraser => {
                if pressed {
                    let from = self.from.replace(here).unwrap_or(here);
                    mask.stroke(from, here, self.radius as f32, self.tool == Tool::Brush);
                    ui.ctx().request_repaint();
                } else {
                    self.from = None;
                }
                if response.contains_pointer() {
                    let points = self.radius as f32 * pane.picture.width().max(pane.picture.height());
                    painter.circle_stroke(at, points, Stroke::new(2.5, Color32::from_black_alpha(140)));
                    painter.circle_stroke(at, points, Stroke::new(1.2, Color32::WHITE));
                    ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
                }
            }
            Tool::Rectangle => {
                ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
                if pressed {
                    let from = *self.from.get_or_insert(here);
                    let point =
                        |on: Pos2| pane.picture.min + vec2(on.x * pane.picture.width(), on.y * pane.picture.height());
                    let rect = Rect::from_two_pos(point(from), at);
                    painter.rect_stroke(rect, 0, Stroke::new(2.5, Color32::from_black_alpha(140)), StrokeKind::Middle);
                    painter.rect_stroke(rect, 0, Stroke::new(1.2, Color32::WHITE), StrokeKind::Middle);
                } else if let Some(from) = self.from.take() {
                    mask.rectangle(from, here, !ui.input(|i| i.modifiers.alt));
                }
            }
        }
    }

    fn show(&mut self, ui: &Ui, pane: &Pane, mask: &Mask, colour: Color32) {
        let stale =
            !self.texture.as_ref().is_some_and(|(pixels, was, _)| Arc::ptr_eq(pixels, mask.pixels()) && *was == colour);
        if stale {
            let inside = colour.gamma_multiply(0.5);
            let pixels = mask.pixels().iter().map(|v| if *v > 0 { inside } else { Color32::TRANSPARENT }).collect();
            let size = [mask.pixels().width() as usize, mask.pixels().height() as usize];
            let image = ColorImage::new(size, pixels);
            let texture = match self.texture.take() {
                Some((_, _, mut texture)) => {
                    texture.set(image, TextureOptions::LINEAR);
                    texture
                }
                None => ui.ctx().load_texture("region", image, TextureOptions::LINEAR),
            };
            self.texture = Some((Arc::clone(mask.pixels()), colour, texture));
        }
        if let Some((_, _, texture)) = &self.texture {
            let painter: Painter = ui.painter_at(pane.clip);
            let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            painter.image(texture.id(), pane.picture, whole, Color32::WHITE);
        }
    }

    /// The tools above the picture; says whether painting is done.
    fn toolbar(&mut self, ui: &Ui, canvas: &Canvas, mask: &mut Mask, number: usize) -> bool {
        let p = palette(ui.ctx());
        let mut done = false;
        let area = canvas.response.rect;
        Area::new(Id::unique("region tools"))
            .order(Order::Middle)
            .fixed_pos(pos2(area.center().x, area.top() + space::M))
            .pivot(Align2::CENTER_TOP)
            .constrain_to(area)
            .show(ui.ctx(), |ui| {
                Frame::new()
                    .fill(p.panel)
                    .stroke(p.outline())
                    .corner_radius(CornerRadius::same(radius::CARD))
                    .inner_margin(Margin::symmetric(8, 5))
                    .show(ui, |ui| {
                        ui.horizontal(|ui| {
                            ui.spacing_mut().item_spacing.x = space::XS;
                            ui.label(egui::RichText::new(format!("Region of {number}")).color(p.series(number - 1)));
                            self.tools(ui);
                            ui.add_space(space::S);
                            self.sizes(ui, mask);
                            ui.add_space(space::S);
                            ready(ui, mask);
                            done = TextButton::new("Done").primary().show(ui).on_hover_text("Esc").clicked();
                        });
                    });
            });
        done
    }

    fn tools(&mut self, ui: &mut Ui) {
        for (tool, icon, name) in [
            (Tool::Brush, Icon::Brush, "Brush"),
            (Tool::Eraser, Icon::Eraser, "Eraser"),
            (Tool::Rectangle, Icon::Rectangle, "Rectangle"),
        ] {
            if IconButton::new(icon, name).selected(self.tool == tool).show(ui).clicked() {
                self.tool = tool;
            }
        }
    }

    fn sizes(&mut self, ui: &mut Ui, mask: &mut Mask) {
        let p = palette(ui.ctx());
        if self.tool != Tool::Rectangle {
            hint(ui, "size");
            track(ui, "Brush size", &mut self.radius, &Scale::new(0.005..=0.2, 0.04, 0.005, 3), 76.0, p.accent);
        }
        let longer = f64::from(mask.source().0.max(mask.source().1));
        let mut feather = f64::from(mask.feather);
        hint(ui, "soft edge");
        let scale = Scale::new(0.0..=(longer * 0.1).max(8.0).round(), (longer * 0.012).round(), 1.0, 0);
        track(ui, "Soft edge", &mut feather, &scale, 76.0, p.accent)
            .on_hover_text(format!("{feather:.0} px of the picture"));
        if (feather - f64::from(mask.feather)).abs() > 1e-3 {
            mask.feather = feather as f32;
        }
    }
}

fn ready(ui: &mut Ui, mask: &mut Mask) {
    let button = IconButton::new(Icon::More, "More regions").show(ui);
    egui::Popup::menu(&button).show(|ui| {
        for (name, [left, top, right, bottom]) in READY {
            if ui.add(Button::new(name)).clicked() {
                mask.rectangle(pos2(left, top), pos2(right, bottom), true);
            }
        }
    });
    if IconButton::new(Icon::Invert, "Invert the region").show(ui).clicked() {
        mask.invert();
    }
    if IconButton::new(Icon::Remove, "Clear the region").show(ui).clicked() {
        mask.rectangle(pos2(0.0, 0.0), pos2(1.0, 1.0), false);
    }
}
