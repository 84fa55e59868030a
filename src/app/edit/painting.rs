//! Making the region of an instruction on the picture: brush and eraser, rectangle, lasso, polygon.
//!
//! `region_tools` has the toolbar and what can be done to a region without the pointer.

use std::sync::Arc;

use egui::{
    Color32, ColorImage, CursorIcon, Painter, PointerButton, Pos2, Rect, Response, Stroke, TextureHandle,
    TextureOptions, Ui, pos2, vec2,
};
use image::GrayImage;

use crate::app::Glassbox;
use crate::app::mask::Mask;
use crate::app::theme::palette;
use crate::app::widgets::compare::{Canvas, Pane};

/// What the pointer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    Brush,
    Eraser,
    Rectangle,
    Lasso,
    Polygon,
}

/// A region that is being made.
pub(crate) struct Painting {
    /// The row it is for, by its id.
    pub(super) row: u64,
    pub(super) tool: Tool,
    /// Of the brush, as a share of the picture's longer side.
    pub(super) radius: f64,
    /// Where the stroke was in the frame before; where the rectangle began; the lasso's way; the polygon's corners.
    pub(super) points: Vec<Pos2>,
    texture: Option<(Arc<GrayImage>, Color32, TextureHandle)>,
}

/// The corner that closes a polygon is this near (points of the window).
const NEAR: f32 = 9.0;

impl Glassbox {
    /// Begins (or ends) making the region of a row.
    pub(super) fn paint_region(&mut self, row: u64) {
        let ends = self.edit.painting.as_ref().is_some_and(|painting| painting.row == row);
        self.stop_painting();
        if !ends {
            self.edit.inspection.pinned = None;
            let (tool, radius) = self.edit.brush;
            self.edit.painting = Some(Painting { row, tool, radius, points: Vec::new(), texture: None });
        }
    }

    /// Leaves painting.
    pub(in crate::app) fn stop_painting(&mut self) {
        if let Some(painting) = self.edit.painting.take() {
            self.edit.brush = (painting.tool, painting.radius);
        }
    }

    /// Leaves a shape that is half drawn, else painting itself.
    pub(super) fn step_out_of_painting(&mut self) {
        match &mut self.edit.painting {
            Some(painting) if !painting.points.is_empty() => painting.points.clear(),
            _ => self.stop_painting(),
        }
    }

    pub(in crate::app) fn is_painting(&self) -> bool {
        self.edit.is_painting()
    }

    /// Paints with what the pointer does on the canvas, and shows the region.
    pub(in crate::app) fn painting(&mut self, ui: &Ui, canvas: &Canvas) {
        let p = palette(ui.ctx());
        let Some(mut painting) = self.edit.painting.take() else { return };
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
        // A region with nothing in it is none.
        row.mask = Some(mask).filter(|mask| !mask.is_empty());
        self.edit.painting = Some(painting);
        self.region_toolbar(ui, canvas.response.rect, place.unwrap_or(0));
    }
}

/// The place on the picture (0..=1 inside it) of a point of the window.
fn on_picture(pane: &Pane, at: Pos2) -> Pos2 {
    let picture = pane.picture;
    pos2((at.x - picture.left()) / picture.width().max(1.0), (at.y - picture.top()) / picture.height().max(1.0))
}

/// The point of the window of a place on the picture.
fn on_screen(pane: &Pane, at: Pos2) -> Pos2 {
    pane.picture.min + vec2(at.x * pane.picture.width(), at.y * pane.picture.height())
}

/// A line that is seen on anything.
fn outline(painter: &Painter, points: &[Pos2], closed: bool) {
    for stroke in [Stroke::new(2.5, Color32::from_black_alpha(140)), Stroke::new(1.2, Color32::WHITE)] {
        painter.add(if closed {
            egui::Shape::closed_line(points.to_vec(), stroke)
        } else {
            egui::Shape::line(points.to_vec(), stroke)
        });
    }
}

impl Painting {
    fn pointer(&mut self, ui: &Ui, canvas: &Canvas, mask: &mut Mask) {
        let response = &canvas.response;
        let pressed =
            response.is_pointer_button_down_on() && ui.input(|i| i.pointer.button_down(PointerButton::Primary));
        let at = response.interact_pointer_pos().or_else(|| response.hover_pos());
        let pane = at.and_then(|at| canvas.panes.iter().find(|pane| pane.clip.contains(at))).or(canvas.panes.last());
        let Some(pane) = pane else { return };
        if response.contains_pointer() {
            ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
        }
        let here = at.map(|at| on_picture(pane, at));
        let painter = ui.painter_at(pane.clip);
        // With Alt a shape takes away.
        let adds = !ui.input(|i| i.modifiers.alt);
        match self.tool {
            Tool::Brush | Tool::Eraser => self.stroke(ui, response, pane, pressed.then_some(here).flatten(), mask),
            Tool::Rectangle => {
                if let (true, Some(here)) = (pressed, here) {
                    let from = *self.points.first().unwrap_or(&here);
                    self.points = vec![from, here];
                    let rect = Rect::from_two_pos(on_screen(pane, from), on_screen(pane, here));
                    let corners = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom()];
                    outline(&painter, &corners, true);
                } else if let [from, to] = self.points[..] {
                    mask.rectangle(from, to, adds);
                    self.points.clear();
                }
            }
            Tool::Lasso => {
                if let (true, Some(here)) = (pressed, here) {
                    if self.points.last() != Some(&here) {
                        self.points.push(here);
                    }
                    let way: Vec<Pos2> = self.points.iter().map(|at| on_screen(pane, *at)).collect();
                    outline(&painter, &way, true);
                } else if !self.points.is_empty() {
                    mask.polygon(&std::mem::take(&mut self.points), adds);
                }
            }
            Tool::Polygon => self.corners(ui, response, pane, here, mask, adds),
        }
    }

    fn stroke(&mut self, ui: &Ui, response: &Response, pane: &Pane, to: Option<Pos2>, mask: &mut Mask) {
        match to {
            Some(here) => {
                let from = self.points.first().copied().unwrap_or(here);
                self.points = vec![here];
                mask.stroke(from, here, self.radius as f32, self.tool == Tool::Brush);
                ui.ctx().request_repaint();
            }
            None => self.points.clear(),
        }
        if let Some(at) = response.hover_pos().filter(|_| response.contains_pointer()) {
            let points = self.radius as f32 * pane.picture.width().max(pane.picture.height());
            let painter = ui.painter_at(pane.clip);
            painter.circle_stroke(at, points, Stroke::new(2.5, Color32::from_black_alpha(140)));
            painter.circle_stroke(at, points, Stroke::new(1.2, Color32::WHITE));
        }
    }

    fn corners(&mut self, ui: &Ui, response: &Response, pane: &Pane, here: Option<Pos2>, mask: &mut Mask, adds: bool) {
        let p = palette(ui.ctx());
        let (enter, back) = ui.input(|i| (i.key_pressed(egui::Key::Enter), i.key_pressed(egui::Key::Backspace)));
        if back {
            self.points.pop();
        }
        let first = self.points.first().map(|first| on_screen(pane, *first));
        let at_first = |at: Pos2| first.is_some_and(|first| first.distance(at) < NEAR) && self.points.len() > 2;
        let closes = response.interact_pointer_pos().is_some_and(at_first);
        let clicked = response.clicked();
        if (clicked && closes) || response.double_clicked() || enter {
            mask.polygon(&std::mem::take(&mut self.points), adds);
            return;
        }
        if let Some(here) = here.filter(|_| clicked) {
            self.points.push(here);
        }
        if self.points.is_empty() {
            return;
        }
        let painter = ui.painter_at(pane.clip);
        let corners = self.points.iter().copied().chain(here.filter(|_| response.contains_pointer()));
        let corners: Vec<Pos2> = corners.map(|at| on_screen(pane, at)).collect();
        outline(&painter, &corners, false);
        for (index, corner) in self.points.iter().enumerate() {
            let (at, closes) = (on_screen(pane, *corner), index == 0 && self.points.len() > 2);
            let fill = if closes { p.accent } else { Color32::WHITE };
            let side = if closes { 5.0 } else { 3.5 };
            painter.circle(at, side, fill, Stroke::new(1.5, Color32::from_black_alpha(160)));
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
        if let Some((_, _, texture)) = self.texture.as_ref().filter(|_| !mask.is_empty()) {
            let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter_at(pane.clip).image(texture.id(), pane.picture, whole, Color32::WHITE);
        }
    }
}
