//! A thin progress bar.

use std::time::Duration;

use egui::{Color32, CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, vec2};

use crate::app::theme::palette;

/// A bar `width` wide; `fraction` is `None` while nobody knows how long it takes.
pub(crate) fn bar(ui: &mut Ui, name: &str, fraction: Option<f32>, width: f32, colour: Color32) {
    let p = palette(ui.ctx());
    let (rect, response) = ui.allocate_exact_size(vec2(width, 6.0), Sense::hover());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, name);
        info.value = fraction.map(|f| f64::from(f) * 100.0);
        info
    });
    let round = CornerRadius::same(3);
    ui.painter().rect_filled(rect, round, p.pressed);
    let filled = match fraction {
        Some(f) => Rect::from_min_size(rect.min, vec2(rect.width() * f.clamp(0.0, 1.0), rect.height())),
        None => {
            let phase = (ui.input(|i| i.time) * 0.7).fract() as f32;
            let start = egui::lerp(rect.left() - rect.width() * 0.3..=rect.right(), phase);
            ui.ctx().request_repaint_after(Duration::from_millis(33));
            Rect::from_min_size(egui::pos2(start, rect.top()), vec2(rect.width() * 0.3, rect.height())).intersect(rect)
        }
    };
    ui.painter().rect_filled(filled, round, colour);
}
