//! The line at the bottom: what is being done and for how long, what is on the canvas, what the model saw of it, where
//! models run and how much memory that takes.

use egui::{Align, Layout, Ui, vec2};

use crate::app::Glassbox;
use crate::app::commands::Command;
use crate::app::icons::Icon;
use crate::app::theme::{palette, space};
use crate::app::widgets::buttons::{IconButton, hint};
use crate::app::widgets::progress;
use crate::engine::bytes_in_words;
use crate::ops::device::describe;

/// Reads how much memory the program holds; `None` where the system does not tell.
pub(crate) type ReadMemory = fn() -> Option<u64>;

/// The memory of the program as it was a moment ago.
pub(crate) struct MemoryGauge {
    read: ReadMemory,
    last: Option<u64>,
    /// When it was read (the window's clock).
    at: f64,
}

impl MemoryGauge {
    /// Seconds that a reading is good for.
    const GOOD: f64 = 1.0;

    pub(crate) fn new(read: ReadMemory) -> Self {
        Self { read, last: read(), at: 0.0 }
    }

    /// Bytes that the program holds. The window is only drawn when something happens, so nothing is read while idle.
    fn bytes(&mut self, now: f64) -> Option<u64> {
        if now - self.at >= Self::GOOD {
            self.last = (self.read)();
            self.at = now;
        }
        self.last
    }
}

impl Glassbox {
    pub(super) fn status(&mut self, ui: &mut Ui) {
        ui.horizontal_centered(|ui| {
            ui.spacing_mut().item_spacing.x = space::L;
            self.doing(ui);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                self.bell(ui);
                ui.add_space(space::S);
                ui.spacing_mut().item_spacing.x = space::L;
                self.memory(ui);
                self.lens_status(ui);
                // What is left between both ends is for the facts of the canvas, as far as they fit.
                let room = ui.available_width();
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| self.on_canvas(ui, room));
            });
        });
    }

    /// The job, its step, the time left and the way to stop it.
    fn doing(&mut self, ui: &mut Ui) {
        let accent = palette(ui.ctx()).accent;
        if let Some((stage, snapshot)) = self.lenses_running() {
            let fraction = (snapshot.steps > 0).then(|| snapshot.step as f32 / snapshot.steps as f32);
            hint(ui, &stage);
            progress::bar(ui, "Progress", fraction, 90.0, accent);
            let left = snapshot.remaining.map(|left| format!("{} left", progress::time_in_words(left)));
            // A place of fixed width: what follows does not jump as the time runs down.
            ui.allocate_ui_with_layout(vec2(84.0, 20.0), Layout::left_to_right(Align::Center), |ui| {
                ui.set_min_width(84.0);
                if let Some(left) = left {
                    hint(ui, left);
                }
            });
            let stop = IconButton::new(Icon::Stop, "Stop").shortcut(Command::Cancel.keys(ui.ctx())).small();
            if stop.show(ui).clicked() {
                self.lenses_cancel();
            }
        } else if let Some(what) = self.files.busy() {
            hint(ui, &what);
            progress::bar(ui, &what, None, 90.0, accent);
        } else {
            let ready = self.document.is_some() || (self.splats_are_open() && self.splats.scene_name().is_some());
            hint(ui, if ready { "Ready" } else { "No picture is open" });
        }
    }

    /// The size and zoom of what is on the canvas, and the pixel under the pointer.
    fn on_canvas(&self, ui: &mut Ui, room: f32) {
        let Some(document) = &self.document else { return };
        let (w, h) = document.shown().picture.size();
        if room > 170.0 {
            hint(ui, format!("{w} × {h}")).on_hover_text("Size of the picture in pixels");
            hint(ui, format!("{:.0} %", self.zoom * 100.0)).on_hover_text("Zoom: screen pixels a picture pixel");
        }
        if let Some((x, y, [r, g, b])) = self.pointer.filter(|_| room > 390.0) {
            hint(ui, format!("x {x}  y {y}   {r} {g} {b}"))
                .on_hover_text("Pixel under the pointer: place, then colour");
        }
    }

    /// Where models run, and the memory that they and the program take.
    fn memory(&mut self, ui: &mut Ui) {
        let compute = describe(self.settings.now.device, self.settings.now.precision);
        let now = ui.input(|i| i.time);
        let (program, models) = (self.gauge.bytes(now), self.engine.model_bytes());
        let words = match (program, models) {
            (Some(bytes), _) => format!("{compute}   {}", bytes_in_words(bytes)),
            (None, 0) => compute,
            (None, bytes) => format!("{compute}   models {}", bytes_in_words(bytes)),
        };
        let loaded = if models == 0 { "none yet".to_owned() } else { bytes_in_words(models) };
        let most = bytes_in_words(self.engine.budget());
        let whole =
            program.map_or_else(String::new, |bytes| format!("Memory of Glassbox: {}\n", bytes_in_words(bytes)));
        hint(ui, words).on_hover_text(format!("{whole}Loaded models: {loaded}, at most {most} are kept"));
    }

    fn bell(&mut self, ui: &mut Ui) {
        let unseen = self.notices.unseen();
        let name = if unseen == 0 { "Messages".to_owned() } else { format!("Messages, {unseen} new") };
        let mut bell = IconButton::new(Icon::Bell, &name).small();
        if unseen > 0 {
            bell = bell.colour(palette(ui.ctx()).accent);
        }
        if bell.show(ui).clicked() {
            self.act(ui.ctx(), Command::Messages);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_once_a_second_and_its_absence_is_no_fault() {
        use std::sync::atomic::{AtomicU64, Ordering};
        static READS: AtomicU64 = AtomicU64::new(0);
        let mut gauge = MemoryGauge::new(|| Some(READS.fetch_add(1, Ordering::Relaxed)));
        let seen: Vec<_> = [0.1, 0.9, 1.1, 1.5, 2.2].into_iter().filter_map(|now| gauge.bytes(now)).collect();
        assert_eq!(seen, [0, 0, 1, 1, 2]);
        assert_eq!(MemoryGauge::new(|| None).bytes(5.0), None);
    }
}
