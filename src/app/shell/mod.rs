//! What stands around the picture: top bar, strip of versions, status line, and the dialogs above all.

mod canvas;
pub(super) mod overlays;
pub(super) mod status;
mod top_bar;

use egui::{CentralPanel, Frame, Margin, Panel, ScrollArea, Ui, vec2};

use super::Glassbox;
use super::commands::Command;
use super::theme::{palette, size, space};
use super::widgets::buttons::section;
use super::widgets::filmstrip::{self, Ask};
use super::widgets::picture_view::PictureTexture;

/// Below this width the strip of versions makes room for the picture.
const NARROW: f32 = 760.0;

impl Glassbox {
    /// Draws everything.
    pub(super) fn shell(&mut self, ui: &mut Ui) {
        let p = palette(ui.ctx());
        let bar = |margin: Margin| Frame::new().fill(p.panel).inner_margin(margin);
        Panel::top("top bar")
            .exact_size(size::TOP_BAR)
            .frame(bar(Margin::symmetric(12, 8)))
            .show(ui, |ui| self.top_bar(ui));
        Panel::bottom("status")
            .exact_size(size::STATUS)
            .frame(bar(Margin::symmetric(12, 2)))
            .show(ui, |ui| self.status(ui));
        let room = ui.available_width() >= NARROW;
        if self.settings.now.filmstrip_open && room && self.document.is_some() {
            Panel::left("versions")
                .exact_size(size::FILMSTRIP)
                .resizable(false)
                .frame(bar(Margin::symmetric(8, 8)))
                .show(ui, |ui| self.versions(ui));
        }
        let lens = if room && ui.available_width() > 1000.0 { size::LENS } else { size::LENS_NARROW };
        let with_panel = self.document.is_some() || self.splats_are_open();
        if with_panel {
            Panel::right("lens")
                .exact_size(lens)
                .resizable(false)
                .frame(bar(Margin::symmetric(12, 8)))
                .show(ui, |ui| self.lens_panel(ui));
        }
        CentralPanel::default().frame(Frame::new().fill(p.canvas)).show(ui, |ui| self.centre(ui));
        self.overlays(ui);
        self.notices.history(ui);
        // Clear of the panel's Run and of the zoom buttons.
        let corner = if with_panel {
            vec2(lens + space::M, size::STATUS + 64.0)
        } else {
            vec2(space::M, size::STATUS + space::M)
        };
        self.notices.toasts(ui, corner);
    }

    fn versions(&mut self, ui: &mut Ui) {
        if !self.queue_is_empty() {
            let most = (ui.available_height() * 0.45).max(120.0);
            let height = self.queue_height().min(most);
            let frame = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
            Panel::bottom("queue").exact_size(height).resizable(false).frame(frame).show(ui, |ui| {
                ScrollArea::vertical().id_salt("queue").auto_shrink([false, false]).show(ui, |ui| self.queue(ui));
            });
        }
        section(ui, "Versions", |_| {});
        let Some(document) = &mut self.document else { return };
        let mut ask = None;
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            let standing = document.standing;
            for (depth, version) in document.tree() {
                let picture = &version.picture;
                let texture = self
                    .textures
                    .entry(version.id)
                    .or_insert_with(|| PictureTexture::new(ui.ctx(), std::sync::Arc::clone(&picture.rgb)));
                let (w, h) = picture.size();
                let seed = version.made.as_ref().map(|made| format!("seed {}", made.draft.settings.seed));
                let frame = filmstrip::Frame {
                    id: version.id,
                    depth,
                    title: &version.title,
                    subtitle: seed.unwrap_or_else(|| format!("{w} × {h}")),
                    texture,
                    shown: standing.shown == version.id,
                    compared: standing.compared == version.id && standing.shown != version.id,
                    base: standing.base == version.id && standing.base != 0,
                };
                ask = filmstrip::frame(ui, frame).or(ask);
            }
        });
        match ask {
            Some(Ask::Show(id)) => document.standing.shown = id,
            Some(Ask::CompareWith(id)) => document.standing.compared = id,
            Some(Ask::StartFrom(id)) => document.standing.base = id,
            Some(Ask::Export(id)) => {
                document.standing.shown = id;
                self.act(ui.ctx(), Command::Export);
            }
            None => {}
        }
    }
}
