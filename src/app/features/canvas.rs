//! The panes in the middle of the window: the picture with a map over it, moved together or each by itself.

use std::sync::Arc;

use egui::{
    Color32, CornerRadius, CursorIcon, EventFilter, Id, Key, LayerId, Order, Painter, PointerButton, Pos2, Rect,
    Response, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::looking::Sight;
use super::maps::Recipe;
use super::paint::{Paint, grid_lines, patch_rect};
use super::panes::{self, MapKind};
use super::query::{Query, Subject, patch_under};
use super::{PaneNow, Tool, how, in_the_middle};
use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::document::Document;
use crate::app::icons::Icon;
use crate::app::theme::{self, palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton};
use crate::app::widgets::colour_bar;
use crate::app::widgets::compare::View;
use crate::app::widgets::picture_view::PictureTexture;
use crate::features::upsample::Upsampling;

/// Height of a pane's header, where there are several panes.
pub(super) const HEADER: f32 = 32.0;

/// One pane's place in this frame.
struct Spot {
    response: Response,
    /// What it may draw on.
    body: Rect,
    /// Where its whole picture lies.
    picture: Rect,
}

impl Spot {
    /// The place on the picture (0..=1 both ways) of a point of the window.
    fn on_picture(&self, at: Pos2) -> Pos2 {
        let picture = self.picture;
        pos2((at.x - picture.left()) / picture.width().max(1.0), (at.y - picture.top()) / picture.height().max(1.0))
    }

    fn on_screen(&self, at: Pos2) -> Pos2 {
        self.picture.min + vec2(at.x * self.picture.width(), at.y * self.picture.height())
    }
}

fn within(at: Pos2) -> Option<Pos2> {
    Rect::from_min_max(Pos2::ZERO, pos2(1.0, 1.0)).contains(at).then_some(at)
}

impl Glassbox {
    /// Draws the panes.
    pub(in crate::app) fn feature_panes(&mut self, ui: &mut Ui) {
        let Some(document) = self.document.take() else { return };
        let compute = (self.settings.now.device, self.settings.now.precision);
        self.features.look(how(ui.ctx(), &self.engine, &self.settings.now.features, compute), &document);
        self.pane_bar(ui, &document);
        let area = ui.available_rect_before_wrap();
        ui.painter().rect_filled(area, 0, palette(ui.ctx()).canvas);
        let size = self.features.nows.first().map_or((4, 3), |now| now.rgb.dimensions());
        let rects = panes::layout(area, self.features.panes.len(), size);
        let several = rects.len() > 1;
        let spots: Vec<Spot> = rects
            .iter()
            .enumerate()
            .map(|(index, rect)| {
                if several {
                    self.pane_header(ui, &document, index, rect.with_max_y(rect.top() + HEADER));
                }
                let body = if several { rect.with_min_y(rect.top() + HEADER) } else { *rect };
                self.pane_spot(ui, index, body)
            })
            .collect();
        self.pane_pointer(ui, &spots);
        for (index, spot) in spots.iter().enumerate() {
            self.draw_pane(ui, &document, index, spot);
        }
        self.chain(ui, &rects);
        self.document = Some(document);
        self.zoom_buttons(ui, area);
        ui.allocate_rect(area, Sense::hover());
    }

    /// The view of a pane.
    fn view_of(&mut self, index: usize) -> &mut View {
        if self.settings.now.features.linked || index == self.features.active {
            return &mut self.view;
        }
        let views = &mut self.features.views;
        while views.len() <= index {
            views.push(self.view);
        }
        &mut views[index]
    }

    /// Makes a pane the one whose controls are in the panel.
    pub(super) fn activate_pane(&mut self, index: usize) {
        let before = self.features.active;
        if before == index {
            return;
        }
        if !self.settings.now.features.linked {
            // The window's view is that of the active pane.
            let mine = self.view;
            let next = *self.view_of(index);
            let views = &mut self.features.views;
            while views.len() <= before {
                views.push(mine);
            }
            views[before] = mine;
            self.view = next;
        }
        self.features.active = index;
    }

    /// Links the panes, or lets each go its way from where it is.
    pub(in crate::app) fn link_panes(&mut self) {
        let linked = &mut self.settings.now.features.linked;
        *linked = !*linked;
        self.features.views.clear();
    }

    fn pane_spot(&mut self, ui: &Ui, index: usize, body: Rect) -> Spot {
        let id = Id::unique("feature pane").with(index);
        let response = ui.interact(body, id, Sense::click_and_drag());
        let size = self.features.nows.get(index).map_or((1, 1), |now| now.rgb.dimensions());
        let draws = self.features.tool != Tool::Point;
        let ppp = ui.pixels_per_point();
        let pane = body.shrink(10.0);
        navigate(ui, &response, self.view_of(index), pane, size, draws);
        let view = *self.view_of(index);
        if index == self.features.active {
            self.zoom = view.zoom_in(pane, size, ppp);
        }
        Spot { response, body, picture: view.place(pane, size, ppp) }
    }

    /// What the pointer and the arrow keys are at, and what they do there.
    fn pane_pointer(&mut self, ui: &Ui, spots: &[Spot]) {
        self.pointer = None;
        let mut cursor = None;
        for (index, spot) in spots.iter().enumerate() {
            let hovered = spot.response.hover_pos().filter(|at| spot.body.contains(*at));
            if let Some(at) = hovered.map(|at| spot.on_picture(at)).and_then(within) {
                cursor = Some((index, at));
            }
            if spot.response.has_focus() && hovered.is_none() {
                let before = self.features.cursor.filter(|(pane, _)| *pane == index).map_or(pos2(0.5, 0.5), |c| c.1);
                cursor = cursor.or_else(|| Some((index, self.step_by_keys(ui, index, &spot.response, before))));
            }
        }
        self.features.cursor = cursor;
        self.draw_shape(ui, spots);
        self.features.hovered = None;
        if let Some((index, at)) = cursor {
            let now = &self.features.nows[index];
            let (w, h) = now.rgb.dimensions();
            let (x, y) = ((at.x * w as f32) as u32, (at.y * h as f32) as u32);
            self.pointer = now.rgb.get_pixel_checked(x, y).map(|pixel| (x, y, pixel.0));
            if let Some(seen) = now.seen() {
                let subject = in_the_middle(seen.tokens.patches.placement(), at);
                self.features.hovered = Some(Query { version: now.version, subject });
            }
        }
        for (index, spot) in spots.iter().enumerate() {
            if spot.response.clicked() && self.features.tool == Tool::Point {
                // The first click on a pane that shows clusters only brings up its controls.
                let map = self.features.panes.get(index).map(|pane| pane.map);
                let acts = self.features.active == index || map == Some(MapKind::Similarity);
                self.activate_pane(index);
                if acts && let Some((_, at)) = cursor.filter(|(pane, _)| *pane == index) {
                    self.click_patch(index, at);
                }
            } else if spot.response.drag_started() || spot.response.gained_focus() {
                self.activate_pane(index);
            }
        }
    }

    fn step_by_keys(&self, ui: &Ui, index: usize, response: &Response, before: Pos2) -> Pos2 {
        let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
        let Some(seen) = self.features.nows.get(index).and_then(PaneNow::seen) else { return before };
        let place = seen.tokens.patches.placement();
        let steps = ui.input(|i| {
            let pressed = |key| i.num_presses(key) as i64;
            (pressed(Key::ArrowRight) - pressed(Key::ArrowLeft), pressed(Key::ArrowDown) - pressed(Key::ArrowUp))
        });
        let Some((row, column)) = patch_under(place, before) else { return before };
        let moved = |at: usize, by: i64, count: usize| (at as i64 + by).clamp(0, count as i64 - 1) as f64 + 0.5;
        let (x, y) = place.to_picture(moved(column, steps.0, place.columns), moved(row, steps.1, place.rows));
        let (width, height) = place.plan.source;
        pos2(x as f32 / width as f32, y as f32 / height as f32)
    }

    /// A click on a patch: its cluster is chosen, or what looks like it is held.
    fn click_patch(&mut self, index: usize, at: Pos2) {
        let Some(now) = self.features.nows.get(index) else { return };
        let Some(seen) = now.seen() else { return };
        let place = seen.tokens.patches.placement();
        match now.pane.map {
            MapKind::Clusters => {
                let Some((row, column)) = patch_under(place, at) else { return };
                let Some((_, of)) = self.features.analysis.clusters(seen.id) else { return };
                let label = of.clustering.labels(of.place).get(row * place.columns + column).copied();
                let Some(colour) = label.and_then(|label| of.clustering.colours().get(usize::from(label)).copied())
                else {
                    return;
                };
                if !self.features.chosen.remove(&colour) {
                    self.features.chosen.insert(colour);
                }
            }
            MapKind::Similarity => {
                let query = Query { version: now.version, subject: in_the_middle(place, at) };
                self.features.held = if self.features.held.as_ref() == Some(&query) { None } else { Some(query) };
            }
            _ => {}
        }
    }

    /// Draws a box or a lasso with the left button.
    fn draw_shape(&mut self, ui: &Ui, spots: &[Spot]) {
        if self.features.tool == Tool::Point {
            self.features.drawing = None;
            return;
        }
        for (index, spot) in spots.iter().enumerate() {
            if spot.response.contains_pointer() {
                ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
            }
            let pressed = spot.response.is_pointer_button_down_on()
                && ui.input(|i| i.pointer.button_down(PointerButton::Primary));
            let here = spot.response.interact_pointer_pos().map(|at| spot.on_picture(at));
            let here = here.map(|at| pos2(at.x.clamp(0.0, 1.0), at.y.clamp(0.0, 1.0)));
            let mine = self.features.drawing.as_ref().is_some_and(|(pane, _)| *pane == index);
            if let (true, Some(here)) = (pressed, here) {
                if !mine {
                    self.features.drawing = Some((index, vec![here]));
                }
                if let Some((_, points)) = &mut self.features.drawing {
                    if self.features.tool == Tool::Box {
                        points.truncate(1);
                    }
                    if points.last() != Some(&here) {
                        points.push(here);
                    }
                }
                ui.ctx().request_repaint();
            } else if mine && let Some((_, points)) = self.features.drawing.take() {
                let rect = Rect::from_points(&points);
                let version = self.features.nows[index].version;
                let subject = match self.features.tool {
                    Tool::Box if rect.is_positive() => Some(Subject::Box(rect)),
                    Tool::Lasso if points.len() > 2 => Some(Subject::Lasso(points)),
                    _ => None,
                };
                if let Some(subject) = subject {
                    self.features.held = Some(Query { version, subject });
                }
            }
        }
    }

    fn draw_pane(&mut self, ui: &mut Ui, document: &Document, index: usize, spot: &Spot) {
        let p = palette(ui.ctx());
        let painter = ui.painter_at(spot.body);
        let Some(now) = self.features.nows.get(index) else { return };
        let (pane, version) = (now.pane, document.version(now.version));
        let (title, in_the_making) = (now.title.clone(), self.is_in_the_making(index));
        let making = if in_the_making { ", in the making" } else { "" };
        let name = format!("Pane {}: {}, {title}, {}{making}", index + 1, pane.slot.letter(), pane.map.title());
        let readout = self.readout(index);
        spot.response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Image, true, &name);
            info.current_text_value = readout.as_ref().map(|lines| lines.join(", "));
            info
        });
        let mut texture = self
            .textures
            .remove(&version.id)
            .unwrap_or_else(|| PictureTexture::new(ui.ctx(), Arc::clone(&version.picture.rgb)));
        texture.paint(&painter, spot.picture, Color32::WHITE);
        self.textures.insert(version.id, texture);
        let held_up = !ui.ctx().text_edit_focused() && ui.input(|i| i.key_down(Key::Backslash));
        let state = self.update_map(ui.ctx(), index);
        if !held_up {
            let display = &self.settings.now.features.display;
            let (how, opacity, grid) = (display.upsampling, display.opacity as f32, display.grid);
            let (paint, rgb) = (&mut self.features.paints[index], &self.features.nows[index].rgb);
            match &state {
                State::Drawn | State::Waits => {
                    paint.paint(ui.ctx(), &painter, spot.picture, rgb, how, opacity);
                    if let Some((_, place)) = paint.map()
                        && grid
                        && how == Upsampling::Nearest
                    {
                        grid_lines(&painter, spot.picture, place);
                    }
                }
                State::Says(..) => {}
            }
        }
        self.marks(&painter, index, spot);
        match state {
            State::Drawn => self.bar_of(&painter, ui, index, spot),
            State::Waits => self.waiting(ui, &painter, index, spot),
            State::Says(words, again) => self.complaint(ui, spot, &words, again),
        }
        if let Some(lines) = readout
            && self.features.cursor.is_some_and(|(pane, _)| pane == index)
        {
            self.card(ui, spot, &lines);
        }
        if self.features.panes.len() > 1 {
            let stroke =
                if index == self.features.active { Stroke::new(1.5, p.accent) } else { Stroke::new(1.0, p.line) };
            let whole = spot.body.with_min_y(spot.body.top() - HEADER);
            ui.painter().rect_stroke(whole, CornerRadius::same(radius::SMALL), stroke, StrokeKind::Inside);
        }
        if spot.response.has_focus() {
            ui.painter().rect_stroke(spot.body.shrink(2.0), CornerRadius::same(3), p.focus_ring(), StrokeKind::Inside);
        }
    }

    /// Whether what the pane showed in the last frame is not what was asked for.
    fn is_in_the_making(&self, index: usize) -> bool {
        let Some(now) = self.features.nows.get(index) else { return true };
        let looks = [Some(&now.sight), now.other.as_ref()].into_iter().flatten().any(|s| matches!(s, Sight::OnItsWay));
        let counts = matches!(now.pane.map, MapKind::Pca | MapKind::Clusters) && self.features.analysis.is_working();
        looks || counts || self.features.paints.get(index).is_some_and(|paint| paint.provisional || paint.is_making())
    }

    /// Makes the pane's map if it is not the one that is there.
    fn update_map(&mut self, ctx: &egui::Context, index: usize) -> State {
        while self.features.paints.len() <= index {
            self.features.paints.push(Paint::default());
        }
        let now = &self.features.nows[index];
        let trouble = [Some(&now.sight), now.other.as_ref()].into_iter().flatten().find_map(|sight| match sight {
            Sight::Fault(words, again) => Some(State::Says(words.clone(), *again)),
            Sight::NoModel => Some(State::Says(
                "There is no backbone here yet. Choose a folder in timm layout: config.json with model.safetensors beside it, or a weight file."
                    .to_owned(),
                false,
            )),
            Sight::Asks => Some(State::Says("Looking takes a while here; press “Look” in the panel.".to_owned(), false)),
            Sight::Here(_) | Sight::OnItsWay => None,
        });
        if let Some(trouble) = trouble {
            self.features.paints[index].clear();
            return trouble;
        }
        let Some(seen) = now.seen().cloned() else { return State::Waits };
        let kind = now.pane.map;
        let ingredients = self.features.ingredients(&self.settings.now.features, index);
        let made = match ingredients.recipe(kind, &seen) {
            Recipe::Waits => return State::Waits,
            Recipe::Says(words) => {
                self.features.paints[index].clear();
                return State::Says(words, false);
            }
            Recipe::Mark(mark) if self.features.paints[index].has(mark) => return State::Drawn,
            Recipe::Mark(mark) => ingredients.maker(kind, &seen).map(|maker| (mark, maker)),
        };
        let Some((mark, maker)) = made else { return State::Waits };
        let (paint, place) = (&mut self.features.paints[index], seen.tokens.patches.placement());
        if paint.make(ctx, mark, (kind, seen.id), maker, place) { State::Drawn } else { State::Waits }
    }

    /// The patch under the cursor in every pane, what is held, what is drawn.
    /// Maps are of any colour: marks have the same colours in both themes.
    fn marks(&self, painter: &Painter, index: usize, spot: &Spot) {
        let now = &self.features.nows[index];
        let place = now.seen().map(|seen| seen.tokens.patches.placement());
        let linked = self.settings.now.features.linked;
        if let Some((pane, at)) = self.features.cursor.filter(|(pane, _)| linked || *pane == index) {
            match place.and_then(|place| Some((place, patch_under(place, at)?))) {
                Some((place, (row, column))) => {
                    let rect = patch_rect(spot.picture, place, row, column);
                    outline_rect(painter, rect, Color32::WHITE);
                }
                None if pane != index => {
                    let at = spot.on_screen(at);
                    painter.circle_stroke(at, 5.0, Stroke::new(2.5, Color32::from_black_alpha(140)));
                    painter.circle_stroke(at, 5.0, Stroke::new(1.2, Color32::WHITE));
                }
                None => {}
            }
        }
        if now.pane.map == MapKind::Similarity {
            self.nearest_marks(painter, index, spot);
        }
        if let Some(held) = self.features.held.as_ref().filter(|held| held.version == now.version) {
            match &held.subject {
                Subject::Point(at) => {
                    if let Some((place, (row, column))) =
                        place.and_then(|place| Some((place, patch_under(place, *at)?)))
                    {
                        outline_rect(
                            painter,
                            patch_rect(spot.picture, place, row, column).expand(1.0),
                            theme::DARK.accent,
                        );
                    }
                }
                Subject::Box(rect) => {
                    outline_rect(
                        painter,
                        Rect::from_two_pos(spot.on_screen(rect.min), spot.on_screen(rect.max)),
                        theme::DARK.accent,
                    );
                }
                Subject::Lasso(points) => {
                    let points: Vec<Pos2> = points.iter().map(|at| spot.on_screen(*at)).collect();
                    outline(painter, points, theme::DARK.accent);
                }
                Subject::Class | Subject::Register(_) | Subject::Given(_) => {}
            }
        }
        if let Some((pane, points)) = &self.features.drawing
            && *pane == index
        {
            let points: Vec<Pos2> = points.iter().map(|at| spot.on_screen(*at)).collect();
            match self.features.tool {
                Tool::Box => outline_rect(painter, Rect::from_points(&points), Color32::WHITE),
                _ => outline(painter, points, Color32::WHITE),
            }
        }
    }

    /// The patches that look most like what is held, with their places among them.
    fn nearest_marks(&self, painter: &Painter, index: usize, spot: &Spot) {
        if !self.settings.now.features.display.nearest || self.features.held.is_none() {
            return;
        }
        let Some((_, place)) = self.features.paints[index].map() else { return };
        for (at, found) in self.features.nearest_patches(index).iter().enumerate() {
            let rect = patch_rect(spot.picture, place, found.row, found.column);
            outline_rect(painter, rect, Color32::WHITE);
            let words = painter.layout_no_wrap((at + 1).to_string(), theme::small(), Color32::WHITE);
            let tag = Rect::from_min_size(rect.left_top(), words.size() + vec2(6.0, 0.0));
            let tag = tag.translate(vec2(0.0, -tag.height()));
            painter.rect_filled(tag, CornerRadius::same(2), Color32::from_black_alpha(190));
            painter.galley(tag.min + vec2(3.0, 0.0), words, Color32::WHITE);
        }
    }

    fn bar_of(&self, painter: &Painter, ui: &Ui, index: usize, spot: &Spot) {
        let Some((super::maps::Content::Values { values, range, scale, .. }, place)) =
            self.features.paints[index].map()
        else {
            return;
        };
        let marked = self.features.cursor.filter(|(pane, _)| self.settings.now.features.linked || *pane == index);
        let marked = marked.and_then(|(_, at)| {
            let (row, column) = patch_under(place, at)?;
            values.get(row * place.columns + column).copied()
        });
        let title = self.features.nows[index].pane.map.unit();
        let corner = spot.body.left_bottom() + vec2(space::M, -space::M);
        let colour = |t: f32| {
            let [r, g, b] = scale.colour(t).0;
            Color32::from_rgb(r, g, b)
        };
        colour_bar::paint(painter, palette(ui.ctx()), corner, title, *range, marked, &colour);
    }

    fn waiting(&self, ui: &Ui, painter: &Painter, index: usize, spot: &Spot) {
        let p = palette(ui.ctx());
        let now = &self.features.nows[index];
        let words = match (&now.sight, self.features.looking.progress()) {
            (Sight::Here(_), _) if now.other.as_ref().is_none_or(|other| other.seen().is_some()) => {
                // Milliseconds as a rule: nothing is said, so that nothing flickers.
                if !self.features.analysis.is_working() || self.features.paints[index].map().is_some() {
                    return;
                }
                "Working it out".to_owned()
            }
            (_, Some(snapshot)) if snapshot.steps > 0 => {
                format!("Looking at the picture: layer {} of {}", snapshot.step, snapshot.steps)
            }
            (_, Some(snapshot)) if !snapshot.stage.is_empty() => snapshot.stage,
            _ => "Looking at the picture".to_owned(),
        };
        let galley = painter.layout_no_wrap(words, theme::body(), p.text);
        let card = Rect::from_center_size(spot.body.center(), galley.size() + vec2(32.0, 20.0));
        painter.rect(
            card,
            CornerRadius::same(radius::CARD),
            p.panel.gamma_multiply(0.94),
            p.outline(),
            StrokeKind::Inside,
        );
        painter.galley(card.center() - galley.size() / 2.0, galley, p.text);
    }

    fn complaint(&mut self, ui: &mut Ui, spot: &Spot, words: &str, again: bool) {
        let p = palette(ui.ctx());
        let painter = ui.painter_at(spot.body);
        let none = matches!(self.features.nows.first().map(|now| &now.sight), Some(Sight::NoModel));
        let width = (spot.body.width() - 48.0).clamp(120.0, 380.0);
        let galley = painter.layout(words.to_owned(), theme::body(), p.text, width);
        let button = if again || none { 40.0 } else { 0.0 };
        let size = vec2(width.min(galley.size().x.max(160.0)), galley.size().y + button) + vec2(32.0, 24.0);
        let card = Rect::from_center_size(spot.body.center(), size);
        painter.rect(
            card,
            CornerRadius::same(radius::CARD),
            p.panel.gamma_multiply(0.96),
            p.outline(),
            StrokeKind::Inside,
        );
        painter.galley(card.min + vec2(16.0, 12.0), galley, p.text);
        // Words on a painter are not in the tree of names.
        let said = ui.interact(card, spot.response.id.with("says"), Sense::hover());
        said.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
        if button > 0.0 {
            let place =
                Rect::from_min_size(pos2(card.left() + 16.0, card.bottom() - 40.0), vec2(card.width() - 32.0, 28.0));
            let clicked = ui
                .scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
                    let (text, icon) =
                        if none { ("Choose a folder…", Icon::Open) } else { ("Try again", Icon::Regenerate) };
                    TextButton::new(text).icon(icon).show(ui).clicked()
                })
                .inner;
            if clicked && none {
                self.ask_for_a_backbone(ui.ctx(), super::panes::Slot::A);
            } else if clicked {
                self.look_again();
            }
        }
    }

    /// What is known of the patch under the pointer, beside it.
    fn card(&self, ui: &Ui, spot: &Spot, lines: &[String]) {
        let p = palette(ui.ctx());
        let painter = ui.ctx().layer_painter(LayerId::new(Order::Tooltip, Id::unique("patch under the pointer")));
        let window = ui.ctx().content_rect();
        let Some(at) = spot.response.hover_pos() else { return };
        if self.features.drawing.is_some() || spot.response.dragged() {
            return;
        }
        let galleys: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(row, line)| {
                painter.layout_no_wrap(line.clone(), theme::small(), if row == 0 { p.text } else { p.muted })
            })
            .collect();
        let width = galleys.iter().map(|galley| galley.size().x).fold(0.0, f32::max);
        let size = vec2(width + 20.0, galleys.len() as f32 * 16.0 + 14.0);
        let mut corner = at + vec2(18.0, 14.0);
        if corner.x + size.x > window.right() - 4.0 {
            corner.x = at.x - 14.0 - size.x;
        }
        if corner.y + size.y > window.bottom() - 32.0 {
            corner.y = at.y - 12.0 - size.y;
        }
        let card = Rect::from_min_size(corner, size);
        painter.rect(
            card,
            CornerRadius::same(radius::CONTROL),
            p.panel.gamma_multiply(0.96),
            p.outline(),
            StrokeKind::Inside,
        );
        for (row, galley) in galleys.into_iter().enumerate() {
            painter.galley(card.min + vec2(10.0, 7.0 + row as f32 * 16.0), galley, p.text);
        }
    }

    /// The chain between panes.
    fn chain(&mut self, ui: &mut Ui, rects: &[Rect]) {
        let [first, second, ..] = rects else { return };
        let p = palette(ui.ctx());
        let below = rects.iter().find(|rect| rect.top() > first.bottom());
        let beside = (second.left() > first.right()).then_some(second);
        let middle = pos2(
            beside.map_or(first.center().x, |second| (first.right() + second.left()) / 2.0),
            below.map_or(first.center().y, |below| (first.bottom() + below.top()) / 2.0),
        );
        let linked = self.settings.now.features.linked;
        let place = Rect::from_center_size(middle, Vec2::splat(28.0));
        ui.painter().circle(middle, 16.0, p.panel, Stroke::new(1.0, if linked { p.accent } else { p.line }));
        let (icon, name, help) = if linked {
            (Icon::Link, "Panes are linked", "They move, zoom and point together. Click to let each go its way.")
        } else {
            (Icon::Unlink, "Panes are not linked", "Each moves by itself. Click to link them again.")
        };
        let clicked = ui
            .scope_builder(egui::UiBuilder::new().max_rect(place), |ui| {
                let button = IconButton::new(icon, name).help(help).shortcut(Command::LinkPanes.keys(ui.ctx()));
                button.selected(linked).show(ui).clicked()
            })
            .inner;
        if clicked {
            self.link_panes();
        }
    }
}

/// What a pane does instead of, or beside, drawing its map.
enum State {
    Drawn,
    Waits,
    /// One sentence, and whether trying again may help.
    Says(String, bool),
}

/// Zooms and moves a pane's picture.
fn navigate(ui: &Ui, response: &Response, view: &mut View, pane: Rect, size: (u32, u32), draws: bool) {
    let ppp = ui.pixels_per_point();
    if response.contains_pointer()
        && let Some(at) = ui.input(|i| i.pointer.hover_pos())
    {
        let (scroll, pinch) = ui.input(|i| (i.smooth_scroll_delta().y, i.zoom_delta()));
        let factor = pinch * (scroll * 0.004).exp();
        if (factor - 1.0).abs() > 1e-4 {
            view.zoom_at(factor, at, pane, size, ppp);
        }
    }
    let pans = response.dragged_by(PointerButton::Middle) || (!draws && response.dragged_by(PointerButton::Primary));
    if pans && response.drag_delta() != Vec2::ZERO {
        view.pan(response.drag_delta(), pane, size, ppp);
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
    }
}

/// A line around something that is seen on anything.
fn outline(painter: &Painter, points: Vec<Pos2>, colour: Color32) {
    painter.add(Shape::closed_line(points.clone(), Stroke::new(3.0, Color32::from_black_alpha(150))));
    painter.add(Shape::closed_line(points, Stroke::new(1.5, colour)));
}

fn outline_rect(painter: &Painter, rect: Rect, colour: Color32) {
    outline(painter, vec![rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom()], colour);
}
