//! The middle of the window: the picture, or what to do when there is none.

use std::sync::Arc;

use egui::{Align2, Area, CornerRadius, Frame, Id, Margin, Order, RichText, ScrollArea, Ui, vec2};

use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::icons::{self, Icon};
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{TextButton, hint};
use crate::app::widgets::compare::{self, Mode, Pictures};
use crate::app::widgets::picture_view::PictureTexture;

impl Glassbox {
    pub(super) fn centre(&mut self, ui: &mut Ui) {
        if self.document.is_none() && !self.splats_are_open() {
            self.nothing_open(ui);
            return;
        }
        if self.lens_takes_the_centre(ui) {
            return;
        }
        let draws = self.lens_draws();
        let Some(document) = &self.document else { return };
        let (shown, other) = (document.shown().clone(), document.version(document.standing.compared).clone());
        let hold = !ui.ctx().text_edit_focused() && ui.input(|i| i.key_down(egui::Key::Backslash));
        let (shown, mode) = if hold { (document.original().clone(), Mode::Single) } else { (shown, self.mode) };
        // Two answers of the Ask lens have a half each.
        let answers = if hold { None } else { self.answers_side_by_side() };
        let (other, mode) = match &answers {
            Some(answers) => (answers.left.clone(), Mode::SideBySide),
            None => (other, mode),
        };
        let (shown_name, other_name) = match &answers {
            Some(answers) => (answers.right_name.as_str(), answers.left_name.as_str()),
            None => (shown.title.as_str(), other.title.as_str()),
        };
        let twin = answers.is_some() && other.id == shown.id;
        if mode == Mode::Difference && other.id != shown.id {
            let (a, b) = (&shown.picture.rgb, &other.picture.rgb);
            self.difference.want(ui.ctx(), (shown.id, a), (other.id, b));
        }
        let mut texture = self.texture_of(ui, &shown);
        let mut other_texture = match mode {
            _ if twin => Some(self.take_twin(ui, &other)),
            Mode::Single => None,
            _ => (other.id != shown.id).then(|| self.texture_of(ui, &other)),
        };
        let drawn = compare::canvas(
            ui,
            &mut self.view,
            mode,
            Pictures {
                shown: &mut texture,
                shown_name,
                other: other_texture.as_mut().map(|t| (t, other_name)),
                difference: self.difference.texture.as_mut(),
            },
            draws,
        );
        self.zoom = drawn.zoom;
        self.pointer = drawn.pointer().and_then(|(at, pane)| {
            let version = if pane.is_shown { &shown } else { &other };
            let (w, h) = version.picture.size();
            let (x, y) = ((at.x * w as f32) as u32, (at.y * h as f32) as u32);
            version.picture.rgb.get_pixel_checked(x, y).map(|pixel| (x, y, pixel.0))
        });
        self.textures.insert(shown.id, texture);
        match other_texture {
            Some(texture) if twin => self.give_twin(other.id, texture),
            Some(texture) => drop(self.textures.insert(other.id, texture)),
            None => {}
        }
        // While the original is held up, or the difference covers it, nothing is laid over the picture.
        self.lens_over_picture(ui, &drawn, !hold && mode != Mode::Difference);
        self.recipe_offer(ui, drawn.response.rect);
        self.zoom_buttons(ui, drawn.response.rect);
    }

    fn texture_of(&mut self, ui: &Ui, version: &crate::app::document::Version) -> PictureTexture {
        self.textures
            .remove(&version.id)
            .unwrap_or_else(|| PictureTexture::new(ui.ctx(), Arc::clone(&version.picture.rgb)))
    }

    pub(in crate::app) fn zoom_buttons(&mut self, ui: &Ui, canvas: egui::Rect) {
        let p = palette(ui.ctx());
        Area::new(Id::unique("zoom buttons"))
            .order(Order::Middle)
            .fixed_pos(canvas.right_bottom() - vec2(space::M, space::M))
            .pivot(Align2::RIGHT_BOTTOM)
            .show(ui.ctx(), |ui| {
                Frame::new()
                    .fill(p.panel)
                    .stroke(p.outline())
                    .corner_radius(CornerRadius::same(radius::CARD))
                    .inner_margin(Margin::same(3))
                    .show(ui, |ui| {
                        ui.horizontal(|ui| {
                            ui.spacing_mut().item_spacing.x = 2.0;
                            self.command_icon(ui, Icon::ZoomOut, Command::ZoomOut, false);
                            self.command_icon(ui, Icon::ZoomIn, Command::ZoomIn, false);
                            let fits = self.view.zoom.is_none();
                            self.command_icon(ui, Icon::ActualSize, Command::ActualSize, false);
                            self.command_icon(ui, Icon::Fit, Command::Fit, fits);
                        });
                    });
            });
    }

    fn nothing_open(&mut self, ui: &mut Ui) {
        let p = palette(ui.ctx());
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            ui.vertical_centered(|ui| {
                ui.add_space((ui.available_height() * 0.14).max(space::L));
                let (rect, _) = ui.allocate_exact_size(vec2(56.0, 56.0), egui::Sense::hover());
                icons::paint(ui.painter(), rect, 52.0, Icon::Logo, p.accent);
                ui.add_space(space::S);
                ui.label(RichText::new("Open a picture to begin").size(19.0));
                hint(ui, "Paste one, drop one here, or choose a file");
                ui.add_space(space::M);
                let open = TextButton::new("Open a picture…").icon(Icon::Open).primary().tall();
                if open.trailing(Command::Open.keys(ui.ctx())).show(ui).clicked() {
                    self.act(ui.ctx(), Command::Open);
                }
                ui.add_space(space::L);
                hint(ui, "or try one of these");
                ui.add_space(space::XS);
            });
            if let Some(path) = self.samples.show(ui) {
                self.open_path(ui.ctx(), path);
            }
            ui.vertical_centered(|ui| self.earlier(ui));
        });
    }

    fn earlier(&mut self, ui: &mut Ui) {
        let earlier: Vec<_> = self.earlier_work().iter().take(4).cloned().collect();
        if !earlier.is_empty() {
            ui.add_space(space::L);
            hint(ui, "Continue where you were");
            for kept in earlier {
                let words = match kept.versions {
                    0 => kept.name.clone(),
                    1 => format!("{}, 1 version", kept.name),
                    n => format!("{}, {n} versions", kept.name),
                };
                if TextButton::new(&words).icon(Icon::Restore).quiet().show(ui).clicked() {
                    self.continue_work(ui.ctx(), kept.folder);
                }
            }
        }
        let recent: Vec<_> =
            self.settings.now.recent.iter().filter(|path| !self.samples.has(path)).take(5).cloned().collect();
        if !recent.is_empty() {
            ui.add_space(space::L);
            hint(ui, "Opened before");
            for path in recent {
                let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
                let button = TextButton::new(&name).quiet().show(ui);
                if button.on_hover_text(path.display().to_string()).clicked() {
                    self.open_path(ui.ctx(), path);
                }
            }
        }
    }
}
