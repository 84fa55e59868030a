//! A thin progress bar, and times in words.

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

/// A bar of known length drawn where there is no room for a widget.
pub(crate) fn paint(
    painter: &egui::Painter,
    p: &crate::app::theme::Palette,
    rect: Rect,
    fraction: f32,
    colour: Color32,
) {
    painter.rect_filled(rect, CornerRadius::same(3), p.pressed);
    let filled = Rect::from_min_size(rect.min, vec2(rect.width() * fraction.clamp(0.0, 1.0), rect.height()));
    painter.rect_filled(filled, CornerRadius::same(3), colour);
}

/// "8 s", "2 min 05 s", "1 h 12 min".
pub(crate) fn time_in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0 => "under 1 s".to_owned(),
        1..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// "0.35 s a step", "2.1 steps/s".
pub(crate) fn rate_in_words(per_step: Duration) -> String {
    let seconds = per_step.as_secs_f64();
    if seconds <= 0.0 {
        String::new()
    } else if seconds < 0.5 {
        format!("{:.1} steps/s", 1.0 / seconds)
    } else {
        format!("{seconds:.1} s a step")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_speech() {
        assert_eq!(time_in_words(Duration::from_millis(200)), "under 1 s");
        assert_eq!(time_in_words(Duration::from_secs(59)), "59 s");
        assert_eq!(time_in_words(Duration::from_secs(125)), "2 min 05 s");
        assert_eq!(time_in_words(Duration::from_secs(4320)), "1 h 12 min");
        assert_eq!(rate_in_words(Duration::from_millis(250)), "4.0 steps/s");
        assert_eq!(rate_in_words(Duration::from_millis(2100)), "2.1 s a step");
    }
}
