//! The picture in the middle: zoom and pan, and two pictures held against each other, locked together.

use egui::{
    Align2, Color32, CornerRadius, CursorIcon, EventFilter, Key, PointerButton, Pos2, Rect, Response, Role, Sense,
    Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::picture_view::PictureTexture;
use crate::app::icons::{self, Icon};
use crate::app::theme::{self, palette};

/// How two pictures are held against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Only the shown one.
    #[default]
    Single,
    /// The other one left of a line that can be dragged.
    Divider,
    SideBySide,
    /// How far each pixel moved.
    Difference,
}

/// What part of the picture is seen; the same for both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Screen pixels a picture pixel; `None`: the whole picture fits.
    pub(crate) zoom: Option<f32>,
    /// The place of the picture (0..=1 both ways) in the middle of the pane.
    pub(crate) centre: Pos2,
    /// Where the divider stands, 0..=1 of the picture's seen width.
    pub(crate) divider: f32,
}

impl Default for View {
    fn default() -> Self {
        Self { zoom: None, centre: pos2(0.5, 0.5), divider: 0.5 }
    }
}

const ZOOM_LIMITS: std::ops::RangeInclusive<f32> = 0.02..=32.0;

impl View {
    /// Where a picture of `size` pixels lies when seen through `pane`.
    pub(crate) fn place(&self, pane: Rect, size: (u32, u32), pixels_per_point: f32) -> Rect {
        let scale = self.zoom_in(pane, size, pixels_per_point) / pixels_per_point;
        let size = vec2(size.0 as f32, size.1 as f32) * scale;
        let centre = if self.zoom.is_some() { self.centre } else { pos2(0.5, 0.5) };
        Rect::from_min_size(pane.center() - vec2(centre.x * size.x, centre.y * size.y), size)
    }

    /// Screen pixels a picture pixel, also while the picture fits.
    pub(crate) fn zoom_in(&self, pane: Rect, size: (u32, u32), pixels_per_point: f32) -> f32 {
        self.zoom.unwrap_or_else(|| {
            let fit = (pane.width() / size.0.max(1) as f32).min(pane.height() / size.1.max(1) as f32);
            (fit * pixels_per_point).clamp(*ZOOM_LIMITS.start(), *ZOOM_LIMITS.end())
        })
    }

    /// Zooms by `factor` so that the place under `at` stays where it is.
    pub(crate) fn zoom_at(&mut self, factor: f32, at: Pos2, pane: Rect, size: (u32, u32), pixels_per_point: f32) {
        let before = self.place(pane, size, pixels_per_point);
        let under = pos2((at.x - before.left()) / before.width(), (at.y - before.top()) / before.height());
        let zoom =
            (self.zoom_in(pane, size, pixels_per_point) * factor).clamp(*ZOOM_LIMITS.start(), *ZOOM_LIMITS.end());
        self.zoom = Some(zoom);
        let after = vec2(size.0 as f32, size.1 as f32) * (zoom / pixels_per_point);
        self.centre = pos2(under.x - (at.x - pane.center().x) / after.x, under.y - (at.y - pane.center().y) / after.y);
        self.keep_in_sight(pane, size, pixels_per_point);
    }

    /// Moves what is seen by `by` points of the window; nothing where the whole picture is in sight.
    pub(crate) fn pan(&mut self, by: Vec2, pane: Rect, size: (u32, u32), pixels_per_point: f32) {
        if self.zoom.is_none() {
            self.centre = pos2(0.5, 0.5);
            return;
        }
        let shown = self.place(pane, size, pixels_per_point);
        self.centre -= vec2(by.x / shown.width(), by.y / shown.height());
        self.keep_in_sight(pane, size, pixels_per_point);
    }

    fn keep_in_sight(&mut self, pane: Rect, size: (u32, u32), pixels_per_point: f32) {
        let shown = self.place(pane, size, pixels_per_point).size();
        let hold = |centre: f32, pane: f32, shown: f32| {
            let margin = (pane / shown / 2.0).min(0.5);
            centre.clamp(margin, 1.0 - margin)
        };
        self.centre.x = hold(self.centre.x, pane.width(), shown.x);
        self.centre.y = hold(self.centre.y, pane.height(), shown.y);
    }
}

/// One of the (at most two) pictures on the canvas, for what is drawn on top.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pane {
    /// What of the window it may draw on.
    pub(crate) clip: Rect,
    /// Where its whole picture lies.
    pub(crate) picture: Rect,
    /// Whether it shows the version itself, not the one it is compared with.
    pub(crate) is_shown: bool,
}

/// What the canvas tells its owner.
pub(crate) struct Canvas {
    pub(crate) response: Response,
    pub(crate) panes: Vec<Pane>,
    /// The zoom that was drawn, in screen pixels a picture pixel.
    pub(crate) zoom: f32,
}

impl Canvas {
    /// The place under the pointer, 0..=1 both ways, and its pane.
    pub(crate) fn pointer(&self) -> Option<(Pos2, Pane)> {
        let at = self.response.hover_pos()?;
        let pane = *self.panes.iter().find(|pane| pane.clip.contains(at))?;
        let on = pos2(
            (at.x - pane.picture.left()) / pane.picture.width(),
            (at.y - pane.picture.top()) / pane.picture.height(),
        );
        Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0)).contains(on).then_some((on, pane))
    }
}

/// The pictures to draw.
pub(crate) struct Pictures<'a> {
    pub(crate) shown: &'a mut PictureTexture,
    pub(crate) shown_name: &'a str,
    pub(crate) other: Option<(&'a mut PictureTexture, &'a str)>,
    pub(crate) difference: Option<&'a mut PictureTexture>,
}

/// Draws the pictures into all the room there is. `drawing`: a region is being drawn, the left button does not pan.
pub(crate) fn canvas(ui: &mut Ui, view: &mut View, mode: Mode, pictures: Pictures<'_>, drawing: bool) -> Canvas {
    let (area, mut response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Picture: {}", pictures.shown_name)));
    let p = palette(ui.ctx());
    ui.painter().rect_filled(area, 0, p.canvas);
    let mode = if pictures.other.is_some() { mode } else { Mode::Single };
    let inner = area.shrink(14.0);
    let halves = [
        Rect::from_min_max(inner.min, pos2(inner.center().x - 5.0, inner.bottom())),
        Rect::from_min_max(pos2(inner.center().x + 5.0, inner.top()), inner.max),
    ];
    let pane = if mode == Mode::SideBySide { halves[1] } else { inner };
    let size = pictures.shown.size();
    let ppp = ui.pixels_per_point();
    navigate(ui, &response, view, &halves, pane, mode, size, drawing);
    let place = view.place(pane, size, ppp);
    let zoom = view.zoom_in(pane, size, ppp);
    let clip_of = |pane: Rect| if view.zoom.is_some() { pane.expand(14.0).intersect(area) } else { pane };
    let painter = ui.painter_at(area);
    let white = Color32::WHITE;
    let mut panes = vec![Pane { clip: clip_of(pane).intersect(area), picture: place, is_shown: true }];
    match (mode, pictures.other) {
        (Mode::SideBySide, Some((other, name))) => {
            let left = view.place(halves[0], size, ppp);
            let (clip_left, clip_right) =
                (area.with_max_x(area.center().x - 2.0), area.with_min_x(area.center().x + 2.0));
            other.paint(&painter.with_clip_rect(clip_left), left, white);
            pictures.shown.paint(&painter.with_clip_rect(clip_right), place, white);
            panes = vec![
                Pane { clip: clip_left, picture: left, is_shown: false },
                Pane { clip: clip_right, picture: place, is_shown: true },
            ];
            pill(&painter, left.intersect(clip_left.shrink(8.0)).left_top() + vec2(10.0, 10.0), Align2::LEFT_TOP, name);
            pill(
                &painter,
                place.intersect(clip_right.shrink(8.0)).left_top() + vec2(10.0, 10.0),
                Align2::LEFT_TOP,
                pictures.shown_name,
            );
        }
        (Mode::Divider, Some((other, name))) => {
            let seen = place.intersect(area);
            let x = egui::lerp(seen.left()..=seen.right(), view.divider);
            let (left, right) = (area.with_max_x(x), area.with_min_x(x));
            other.paint(&painter.with_clip_rect(left), place, white);
            pictures.shown.paint(&painter.with_clip_rect(right), place, white);
            panes = vec![
                Pane { clip: left, picture: place, is_shown: false },
                Pane { clip: right, picture: place, is_shown: true },
            ];
            pill(&painter.with_clip_rect(left), seen.left_top() + vec2(10.0, 10.0), Align2::LEFT_TOP, name);
            pill(
                &painter.with_clip_rect(right),
                seen.right_top() + vec2(-10.0, 10.0),
                Align2::RIGHT_TOP,
                pictures.shown_name,
            );
            divider(ui, &mut response, view, seen, x);
        }
        (Mode::Difference, Some((_, name))) => {
            if let Some(difference) = pictures.difference {
                difference.paint(&painter, place, white);
            } else {
                pictures.shown.paint(&painter, place, white.gamma_multiply(0.3));
            }
            let text = format!("How far {} is from {name}", pictures.shown_name);
            pill(&painter, place.intersect(area).left_top() + vec2(10.0, 10.0), Align2::LEFT_TOP, &text);
        }
        _ => pictures.shown.paint(&painter, place, white),
    }
    if response.has_focus() {
        painter.rect_stroke(area.shrink(1.0), 0, p.focus_ring(), StrokeKind::Inside);
    }
    Canvas { response, panes, zoom }
}

#[allow(clippy::too_many_arguments)] // The geometry of one frame, gathered nowhere else.
fn navigate(
    ui: &Ui,
    response: &Response,
    view: &mut View,
    halves: &[Rect; 2],
    pane: Rect,
    mode: Mode,
    size: (u32, u32),
    drawing: bool,
) {
    let ppp = ui.pixels_per_point();
    // Zooming over the left half is as if it were over the same place of the right half.
    let to_pane = |at: Pos2| {
        if mode == Mode::SideBySide && at.x < halves[0].right() + 5.0 {
            at + (halves[1].min - halves[0].min)
        } else {
            at
        }
    };
    if response.contains_pointer()
        && let Some(at) = ui.input(|i| i.pointer.hover_pos())
    {
        let (scroll, pinch) = ui.input(|i| (i.smooth_scroll_delta().y, i.zoom_delta()));
        let factor = pinch * (scroll * 0.004).exp();
        if (factor - 1.0).abs() > 1e-4 {
            view.zoom_at(factor, to_pane(at), pane, size, ppp);
        }
    }
    if response.has_focus() && view.zoom.is_some() {
        // A zoomed picture moves by the arrow keys.
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
        let steps = ui.input(|i| {
            let presses = |more, less| i.num_presses(more) as f32 - i.num_presses(less) as f32;
            vec2(presses(Key::ArrowRight, Key::ArrowLeft), presses(Key::ArrowDown, Key::ArrowUp))
        });
        if steps != Vec2::ZERO {
            let shown = view.place(pane, size, ppp);
            view.centre += steps * 60.0 / shown.size();
            view.keep_in_sight(pane, size, ppp);
        }
    }
    let pans = response.dragged_by(PointerButton::Middle) || (!drawing && response.dragged_by(PointerButton::Primary));
    if pans && response.drag_delta() != Vec2::ZERO {
        let shown = view.place(pane, size, ppp);
        if view.zoom.is_none() {
            view.centre = pos2(0.5, 0.5);
        } else {
            view.centre -= vec2(response.drag_delta().x / shown.width(), response.drag_delta().y / shown.height());
            view.keep_in_sight(pane, size, ppp);
        }
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
    }
    if !drawing
        && response.double_clicked()
        && let Some(at) = response.interact_pointer_pos()
    {
        if view.zoom.is_some() {
            view.zoom = None;
        } else {
            let factor = 1.0 / view.zoom_in(pane, size, ppp);
            view.zoom_at(factor, to_pane(at), pane, size, ppp);
        }
    }
}

fn divider(ui: &Ui, canvas: &mut Response, view: &mut View, seen: Rect, x: f32) {
    let p = palette(ui.ctx());
    let grab = Rect::from_x_y_ranges(x - 9.0..=x + 9.0, seen.y_range());
    let response = ui.interact(grab, canvas.id.with("divider"), Sense::click_and_drag());
    if response.dragged()
        && let Some(at) = response.interact_pointer_pos()
    {
        view.divider = ((at.x - seen.left()) / seen.width().max(1.0)).clamp(0.0, 1.0);
    }
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
        let steps = ui.input(|i| i.num_presses(Key::ArrowRight) as f32 - i.num_presses(Key::ArrowLeft) as f32);
        view.divider = (view.divider + steps * 0.02).clamp(0.0, 1.0);
    }
    let value = f64::from(view.divider) * 100.0;
    response.widget_info(|| WidgetInfo::slider(true, value, "Divider"));
    let painter = ui.painter_at(seen);
    let lit = response.hovered() || response.dragged() || response.has_focus();
    painter.vline(x, seen.y_range(), Stroke::new(3.0, Color32::from_black_alpha(110)));
    painter.vline(x, seen.y_range(), Stroke::new(1.5, Color32::WHITE));
    let knob = pos2(x, seen.center().y);
    painter.circle(knob, 14.0, if lit { p.accent } else { p.panel }, Stroke::new(1.5, Color32::WHITE));
    let ink = if lit { p.on_accent } else { p.text };
    let half = vec2(6.0, 8.0);
    icons::paint(&painter, Rect::from_center_size(knob + vec2(5.0, 0.0), half), 10.0, Icon::ChevronRight, ink);
    let left = [knob + vec2(-4.0, -2.8), knob + vec2(-6.8, 0.0), knob + vec2(-4.0, 2.8)];
    painter.line(left.to_vec(), Stroke::new(1.1, ink));
    response.on_hover_cursor(CursorIcon::ResizeHorizontal).on_hover_text("Drag to compare");
}

/// A word on the picture, readable on anything.
pub(crate) fn pill(painter: &egui::Painter, at: Pos2, align: Align2, text: &str) {
    let galley = painter.layout_no_wrap(text.to_owned(), theme::small(), Color32::WHITE);
    let rect = align.anchor_size(at, galley.size() + vec2(16.0, 8.0));
    painter.rect(
        rect,
        CornerRadius::same(theme::radius::SMALL),
        Color32::from_black_alpha(170),
        Stroke::NONE,
        StrokeKind::Inside,
    );
    painter.galley(rect.min + vec2(8.0, 4.0), galley, Color32::WHITE);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANE: Rect = Rect { min: pos2(100.0, 50.0), max: pos2(500.0, 350.0) };

    #[test]
    fn a_fitting_picture_is_whole_and_centred() {
        let place = View::default().place(PANE, (800, 400), 1.0);
        assert_eq!(place.size(), vec2(400.0, 200.0));
        assert_eq!(place.center(), PANE.center());
    }

    #[test]
    fn zooming_keeps_the_place_under_the_pointer() {
        let (size, at) = ((1600, 1200), pos2(220.0, 140.0));
        let mut view = View { zoom: Some(0.8), centre: pos2(0.4, 0.45), divider: 0.5 };
        let under = |view: &View| {
            let place = view.place(PANE, size, 2.0);
            (at - place.min) / place.size()
        };
        let before = under(&view);
        view.zoom_at(1.7, at, PANE, size, 2.0);
        assert!((under(&view) - before).length() < 1e-3);
        assert!((view.zoom.unwrap() - 1.36).abs() < 1e-4);
    }

    #[test]
    fn a_zoomed_picture_cannot_be_lost() {
        let mut view = View { zoom: Some(2.0), centre: pos2(9.0, -4.0), divider: 0.5 };
        view.keep_in_sight(PANE, (1000, 1000), 1.0);
        assert!(view.place(PANE, (1000, 1000), 1.0).contains_rect(PANE));
        view.zoom = Some(0.05);
        view.keep_in_sight(PANE, (1000, 1000), 1.0);
        assert_eq!(view.centre, pos2(0.5, 0.5));
    }
}
