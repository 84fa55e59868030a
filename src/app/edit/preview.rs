//! The picture while it forms: the running job's estimate, laid over the picture it is made from.

use egui::{Align2, Color32, ColorImage, Rect, TextureOptions, Ui, pos2, vec2};

use crate::app::Glassbox;
use crate::app::widgets::compare::{Canvas, pill};
use crate::engine::JobState;
use crate::picture::resize::Fit;

impl Glassbox {
    /// Draws the preview over the shown version, if that is what the run was started on.
    pub(in crate::app) fn live_preview(&mut self, ui: &Ui, canvas: &Canvas) {
        let Some(document) = self.document.as_ref().filter(|_| self.settings.now.preview && !self.edit.is_painting())
        else {
            return;
        };
        let shown = document.standing.shown;
        let Some(run) = self.edit.runs.open().find(|run| run.document == document.folder && run.shown == shown) else {
            return;
        };
        let snapshot = run.monitor.snapshot();
        let Some(picture) = snapshot.preview.filter(|_| snapshot.state == JobState::Running) else { return };
        let (id, fit) = (run.id, run.draft.settings.fit);
        if self.edit.preview.as_ref().is_none_or(|(known, step, _)| (*known, *step) != (id, snapshot.step)) {
            let size = [picture.width() as usize, picture.height() as usize];
            let image = ColorImage::from_rgb(size, picture.as_raw());
            let texture = ui.ctx().load_texture("preview", image, TextureOptions::LINEAR);
            self.edit.preview = Some((id, snapshot.step, texture));
        }
        let Some((_, _, texture)) = &self.edit.preview else { return };
        let size = document.shown().picture.size();
        let (uv, cover) = lie(fit, size, picture.dimensions());
        for pane in canvas.panes.iter().filter(|pane| pane.is_shown) {
            let on = |x: f32, y: f32| pane.picture.min + vec2(x * pane.picture.width(), y * pane.picture.height());
            let rect = Rect::from_min_max(on(cover.left(), cover.top()), on(cover.right(), cover.bottom()));
            let painter = ui.painter_at(pane.clip);
            painter.image(texture.id(), rect, uv, Color32::WHITE);
            let words = match snapshot.steps {
                0 => "Preview".to_owned(),
                steps => format!("Preview, step {} of {steps}", snapshot.step),
            };
            let corner = pane.picture.intersect(pane.clip).left_top() + vec2(10.0, 10.0);
            pill(&painter, corner, Align2::LEFT_TOP, &words);
        }
    }
}

/// Which part of a preview (0..=1) lies on which part of a picture of `size`, by the proportions of both.
fn lie(fit: Fit, size: (u32, u32), preview: (u32, u32)) -> (Rect, Rect) {
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    let shape = |(w, h): (u32, u32)| w.max(1) as f32 / h.max(1) as f32;
    let ratio = shape(size) / shape(preview);
    // The middle part, as wide or as high as the other's proportions leave.
    let middle = |x: f32, y: f32| Rect::from_center_size(pos2(0.5, 0.5), vec2(x.min(1.0), y.min(1.0)));
    match fit {
        Fit::Squash => (whole, whole),
        Fit::Pad => (middle(ratio, 1.0 / ratio), whole),
        Fit::Crop => (whole, middle(1.0 / ratio, ratio)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_preview_shows_only_the_picture() {
        // 200 × 100 in a square preview: the middle half of its height.
        let (uv, cover) = lie(Fit::Pad, (200, 100), (32, 32));
        assert_eq!((uv.height(), uv.width(), cover.height()), (0.5, 1.0, 1.0));
        let (uv, cover) = lie(Fit::Crop, (200, 100), (32, 32));
        assert_eq!((uv.height(), cover.width(), cover.height()), (1.0, 0.5, 1.0));
    }
}
