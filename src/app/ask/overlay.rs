//! The map of an answer over the picture: what was read stands out of a veil, attention lies in colours over it; the
//! strongest places have boxes with their share, padding and attention sinks are marked.

use egui::{
    Align2, Color32, ColorImage, CornerRadius, Painter, Pos2, Rect, Stroke, StrokeKind, TextureOptions, Ui, pos2, vec2,
};

use super::exchange::Exchange;
use super::settings::Look;
use crate::app::Glassbox;
use crate::app::theme::{self, palette, space};
use crate::app::widgets::colour_bar;
use crate::app::widgets::compare::{Canvas, Pane};
use crate::ask::dual_resolution::{PictureView, SourceRect};
use crate::ask::heatmap::AnswerMap;
use crate::picture::heatmap::colour;

/// Boxes at most.
pub(super) const BOXES: usize = 5;

/// What a texture of a map depends on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    values: Vec<f32>,
    top: f32,
    cells: bool,
}

/// The map as a square of pixels: cells as hard blocks, attention to be drawn smoothly.
fn image(map: &AnswerMap, view: &PictureView, top: f32) -> ColorImage {
    let share = |value: f32| if top > 0.0 { (value / top).clamp(0.0, 1.0) } else { 0.0 };
    if map.cells {
        // As many pixels as tokens: cells need not be equally large.
        let side = view.high_grid.max(map.grid);
        let cell = |at: usize| (at * map.grid / side).min(map.grid - 1);
        let pixels = (0..side * side).map(|at| {
            let value = share(map.values[cell(at / side) * map.grid + cell(at % side)]);
            Color32::from_black_alpha((220.0 * (1.0 - value)) as u8)
        });
        return ColorImage::new([side; 2], pixels.collect());
    }
    let pixels = map.values.iter().map(|value| {
        let value = share(*value);
        let [r, g, b] = colour(value).0;
        // Where there is little, the picture stays in sight.
        Color32::from_rgba_unmultiplied(r, g, b, (90.0 + 140.0 * value) as u8)
    });
    ColorImage::new([map.grid; 2], pixels.collect())
}

/// A place of the source picture on the screen.
fn on_screen(place: SourceRect, source: (u32, u32), picture: Rect) -> Rect {
    let scale = vec2(picture.width() / source.0.max(1) as f32, picture.height() / source.1.max(1) as f32);
    let min = picture.min + vec2(place.x * scale.x, place.y * scale.y);
    Rect::from_min_size(min, vec2(place.width * scale.x, place.height * scale.y))
}

impl Glassbox {
    /// What lies over the picture in the Ask lens: the map of the chosen answer, and that of the answer beside it.
    pub(in crate::app) fn ask_overlay(&mut self, ui: &Ui, canvas: &Canvas) {
        let Some(document) = &self.document else { return };
        let shown = document.standing.shown;
        let choices = &self.settings.now.ask.clone();
        let here = |exchange: &&Exchange| exchange.about.version == shown && exchange.answer().is_some();
        let chosen = self.ask.chosen().filter(here).map(|exchange| exchange.about.id);
        let beside = self.ask.beside();
        let maps = [
            chosen.and_then(|id| Some((id, self.ask.map(choices)?))),
            beside.and_then(|id| Some((id, self.ask.map_of(id, None, choices)?))),
        ];
        // Side by side one scale counts, unless each is to have its own.
        let highest = maps.iter().flatten().map(|(_, (_, top))| *top).fold(0.0, f32::max);
        let mut told = None;
        for (at, found) in maps.into_iter().enumerate() {
            let Some((id, (map, own))) = found else { continue };
            let top = if choices.normalised || beside.is_none() { own } else { highest };
            let Some(view) = self.ask.get(id).and_then(Exchange::answer).map(|answer| answer.view.clone()) else {
                continue;
            };
            for pane in canvas.panes.iter().filter(|pane| pane.is_shown == (at == 0)) {
                self.map_over(ui, pane, (at, &map, top), &view);
            }
            let pointer = canvas.pointer().filter(|(_, pane)| pane.is_shown == (at == 0));
            let marked = pointer.and_then(|(at, _)| {
                let value = map.at(&view, at.x * view.source.0 as f32, at.y * view.source.1 as f32)?;
                Some(value / top.max(1e-9))
            });
            if at == 0 || marked.is_some() {
                told = Some((map, top, marked));
            }
        }
        let Some((map, top, marked)) = told else { return };
        let (p, words) = (palette(ui.ctx()), self.map_caption());
        let corner = canvas.response.rect.left_bottom() + vec2(space::M, -space::M);
        let painter = ui.painter_at(canvas.response.rect);
        if map.cells {
            let colours = |t: f32| Color32::from_gray((40.0 + 215.0 * t) as u8);
            colour_bar::paint(&painter, p, corner, &words, (0.0, top), marked, &colours);
        } else {
            let colours = |t: f32| {
                let [r, g, b] = colour(t).0;
                Color32::from_rgb(r, g, b)
            };
            colour_bar::paint(&painter, p, corner, &words, (0.0, top), marked, &colours);
        }
    }

    /// One answer's map over one picture. `slot`: 0 for the chosen answer, 1 for the one beside it.
    fn map_over(&mut self, ui: &Ui, pane: &Pane, (slot, map, top): (usize, &AnswerMap, f32), view: &PictureView) {
        let key = Key { values: map.values.clone(), top, cells: map.cells };
        let (opacity, boxes) = (self.settings.now.ask.opacity as f32, self.settings.now.ask.boxes);
        let stale = self.ask.textures[slot].as_ref().is_none_or(|(known, _)| *known != key);
        if stale {
            let options = if map.cells { TextureOptions::NEAREST } else { TextureOptions::LINEAR };
            let texture = ui.ctx().load_texture("answer map", image(map, view, top), options);
            self.ask.textures[slot] = Some((key, texture));
        }
        let Some((_, texture)) = &self.ask.textures[slot] else { return };
        let p = palette(ui.ctx());
        let square = SourceRect { x: view.origin.0, y: view.origin.1, width: view.side, height: view.side };
        let painter = ui.painter_at(pane.clip.intersect(pane.picture));
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let tint = Color32::WHITE.gamma_multiply(opacity);
        let place = on_screen(square, view.source, pane.picture);
        painter.image(texture.id(), place, whole, tint);
        if map.cells {
            // What lies outside of the square was never looked at.
            for side in outside(pane.picture, place) {
                painter.rect_filled(side, 0, Color32::from_black_alpha(220).gamma_multiply(opacity));
            }
        }
        if boxes {
            let mut taken: Vec<Rect> = Vec::new();
            for (index, value) in map.top(BOXES) {
                let rect = on_screen(map.place(view, index), view.source, pane.picture);
                boxed(&painter, rect, p.accent, &share_in_words(value, map), &mut taken);
            }
        }
        if slot == 0
            && let Look::Attention = self.settings.now.ask.look
            && !self.settings.now.ask.without_sinks
        {
            for sink in self.sinks_in_range() {
                let rect = on_screen(view.grid_cell(view.low_grid, sink), view.source, pane.picture);
                cross(&painter, rect, p.warning);
            }
        }
    }

    /// What the map shows, in words.
    fn map_caption(&self) -> String {
        match self.settings.now.ask.look {
            Look::Read => "Regions read at high resolution",
            Look::Selected => "Regions selected for the next layer",
            Look::Attention => "Attention on the low-resolution patches",
        }
        .to_owned()
    }

    /// Low-resolution patches that draw attention in most layers and tokens of the range, whatever is asked.
    pub(super) fn sinks_in_range(&self) -> Vec<usize> {
        let Some(answer) = self.ask.chosen().and_then(super::Exchange::answer) else { return Vec::new() };
        let range = self.ask.range();
        let tokens = range.tokens.unwrap_or_else(|| answer.spoken());
        let tokens = tokens.start.min(answer.tokens.len())..tokens.end.min(answer.tokens.len());
        let mut counts = vec![0usize; answer.view.low_grid * answer.view.low_grid];
        let mut all = 0;
        for layer in answer.tokens[tokens].iter().flat_map(|token| &token.layers) {
            if range.layers.as_ref().is_some_and(|some| !some.contains(&layer.layer)) {
                continue;
            }
            all += 1;
            for sink in &layer.sinks {
                if let Some(count) = counts.get_mut(*sink as usize) {
                    *count += 1;
                }
            }
        }
        counts.iter().enumerate().filter(|(_, count)| 2 * **count > all).map(|(index, _)| index).collect()
    }
}

fn share_in_words(value: f32, map: &AnswerMap) -> String {
    if map.cells { format!("{:.0} %", 100.0 * value) } else { format!("{:.1} %", 100.0 * value) }
}

/// The parts of `whole` around `inner`.
fn outside(whole: Rect, inner: Rect) -> [Rect; 4] {
    [
        whole.with_max_y(inner.top().clamp(whole.top(), whole.bottom())),
        whole.with_min_y(inner.bottom().clamp(whole.top(), whole.bottom())),
        whole.with_max_x(inner.left().clamp(whole.left(), whole.right())),
        whole.with_min_x(inner.right().clamp(whole.left(), whole.right())),
    ]
}

/// An outline with a label in its corner, where no other label is.
fn boxed(painter: &Painter, rect: Rect, colour: Color32, words: &str, taken: &mut Vec<Rect>) {
    let round = CornerRadius::same(2);
    painter.rect_stroke(rect, round, Stroke::new(3.0, Color32::from_black_alpha(140)), StrokeKind::Middle);
    painter.rect_stroke(rect, round, Stroke::new(1.5, colour), StrokeKind::Middle);
    let galley = painter.layout_no_wrap(words.to_owned(), theme::small(), Color32::WHITE);
    let label = Rect::from_min_size(rect.min, galley.size() + vec2(8.0, 4.0));
    if label.width() > rect.width().max(24.0) + 12.0 || taken.iter().any(|other| other.intersects(label)) {
        return;
    }
    painter.rect_filled(label, round, Color32::from_black_alpha(190));
    painter.galley(label.min + vec2(4.0, 2.0), galley, Color32::WHITE);
    taken.push(label);
}

/// The mark of an attention sink.
fn cross(painter: &Painter, rect: Rect, colour: Color32) {
    let middle = rect.center();
    let r = (rect.width().min(rect.height()) * 0.28).clamp(3.0, 10.0);
    let line = |from: Pos2, to: Pos2| {
        painter.line_segment([from, to], Stroke::new(3.0, Color32::from_black_alpha(160)));
        painter.line_segment([from, to], Stroke::new(1.5, colour));
    };
    line(middle + vec2(-r, -r), middle + vec2(r, r));
    line(middle + vec2(-r, r), middle + vec2(r, -r));
    if rect.width() > 60.0 {
        painter.text(rect.left_bottom() + vec2(3.0, -2.0), Align2::LEFT_BOTTOM, "sink", theme::small(), colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_around_a_square_covers_the_rest_of_the_picture() {
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(100.0, 50.0));
        let parts = outside(whole, Rect::from_min_max(pos2(25.0, -10.0), pos2(75.0, 60.0)));
        let area: f32 = parts.iter().map(|rect| rect.width().max(0.0) * rect.height().max(0.0)).sum();
        assert_eq!(area, 50.0 * 50.0);
        let none = outside(whole, Rect::from_min_max(pos2(0.0, -25.0), pos2(100.0, 75.0)));
        assert!(none.iter().all(|rect| rect.width() * rect.height() == 0.0));
    }

    #[test]
    fn a_place_of_the_picture_is_found_on_the_screen() {
        let picture = Rect::from_min_size(pos2(10.0, 20.0), vec2(200.0, 100.0));
        let place = SourceRect { x: 30.0, y: 5.0, width: 10.0, height: 20.0 };
        let rect = on_screen(place, (100, 50), picture);
        assert_eq!(rect, Rect::from_min_size(pos2(70.0, 30.0), vec2(20.0, 40.0)));
    }
}
