//! The tree of versions as a strip: each a small picture with its name, children indented below their parent.

use egui::{CornerRadius, CursorIcon, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::picture_view::PictureTexture;
use crate::app::theme::{self, Palette, palette, radius};

/// One version in the strip.
pub(crate) struct Frame<'a> {
    pub(crate) id: u64,
    /// Steps below the original.
    pub(crate) depth: usize,
    pub(crate) title: &'a str,
    pub(crate) subtitle: String,
    pub(crate) texture: &'a mut PictureTexture,
    /// It is on the canvas.
    pub(crate) shown: bool,
    /// The canvas compares with it.
    pub(crate) compared: bool,
    /// The next run starts from it.
    pub(crate) base: bool,
}

/// What was asked of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Show(u64),
    CompareWith(u64),
    StartFrom(u64),
    Export(u64),
}

/// Draws one version; returns what was asked of it.
pub(crate) fn frame(ui: &mut Ui, mut item: Frame<'_>) -> Option<Ask> {
    let p = palette(ui.ctx());
    let indent = item.depth.min(4) as f32 * 12.0;
    let width = ui.available_width();
    let picture_height = 64.0;
    let (row, response) = ui.allocate_exact_size(vec2(width, picture_height + 16.0), Sense::click());
    let name = format!("Version: {}", item.title);
    let shown = item.shown;
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, shown, &name));
    if ui.is_rect_visible(row) {
        paint(ui, p, row, indent, &mut item, &response);
    }
    let mut ask = response.clicked().then_some(Ask::Show(item.id));
    response.context_menu(|ui| {
        for (words, wanted, enabled) in [
            ("Compare with this", Ask::CompareWith(item.id), !item.shown),
            ("Start the next edit from this", Ask::StartFrom(item.id), !item.base),
            ("Export…", Ask::Export(item.id), true),
        ] {
            if ui.add_enabled(enabled, egui::Button::new(words)).clicked() {
                ask = Some(wanted);
                ui.close();
            }
        }
    });
    let title = item.title;
    let subtitle = &item.subtitle;
    response.on_hover_cursor(CursorIcon::PointingHand).on_hover_ui(|ui| {
        ui.set_max_width(260.0);
        ui.label(title);
        ui.weak(subtitle);
        ui.weak("Right-click for more");
    });
    ask
}

fn paint(ui: &Ui, p: &Palette, row: Rect, indent: f32, item: &mut Frame<'_>, response: &egui::Response) {
    let painter = ui.painter_at(row.expand(2.0));
    let body = row.with_min_x(row.left() + indent);
    let fill = if item.shown {
        p.accent_soft
    } else if response.hovered() {
        p.hover
    } else {
        egui::Color32::TRANSPARENT
    };
    let ring = if response.has_focus() { p.focus_ring() } else { Stroke::NONE };
    painter.rect(body, CornerRadius::same(radius::CARD), fill, ring, StrokeKind::Inside);
    if item.depth > 0 {
        // The branch from the parent above.
        let x = body.left() - 6.0;
        let branch = vec![pos2(x, row.top() - 6.0), pos2(x, row.center().y), pos2(body.left(), row.center().y)];
        painter.line(branch, Stroke::new(1.0, p.line));
    }
    let frame = Rect::from_min_size(body.min + vec2(8.0, 8.0), vec2(64.0, 64.0));
    let (w, h) = item.texture.size();
    // Filled square: the middle of the picture.
    let side = w.min(h).max(1) as f32;
    let scale = frame.width() / side;
    let place = Rect::from_center_size(frame.center(), vec2(w as f32, h as f32) * scale);
    item.texture.paint(&painter.with_clip_rect(frame.intersect(ui.clip_rect())), place, egui::Color32::WHITE);
    let edge = if item.shown { Stroke::new(2.0, p.accent) } else { p.outline() };
    painter.rect_stroke(frame, CornerRadius::same(3), edge, StrokeKind::Outside);
    let left = frame.right() + 10.0;
    let room = (body.right() - 6.0 - left).max(20.0);
    let ink = p.text;
    let wrapped = |text: &str, font: egui::FontId, colour, rows| {
        let mut job = egui::text::LayoutJob::simple(text.to_owned(), font, colour, room);
        job.wrap.max_rows = rows;
        job.wrap.break_anywhere = false;
        painter.layout_job(job)
    };
    let title = wrapped(item.title, theme::small(), ink, 3);
    let below = frame.top() + title.size().y + 2.0;
    painter.galley(pos2(left, frame.top() - 1.0), title, ink);
    let mut note = item.subtitle.clone();
    if item.base {
        note = "next starts here".to_owned();
    }
    if item.compared {
        note = "compared".to_owned();
    }
    if !note.is_empty() && below + 12.0 < frame.bottom() + 6.0 {
        let colour = if item.compared || item.base { p.accent } else { p.muted };
        painter.galley(pos2(left, below), wrapped(&note, theme::small(), colour, 1), colour);
    }
}
