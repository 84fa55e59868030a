//! Toasts: short messages at the lower right that leave by themselves, and the list of all that were shown.

use std::time::Duration;

use egui::{Align2, Area, CornerRadius, Frame, Id, Margin, Order, RichText, ScrollArea, Ui, vec2};

use super::icons::{self, Icon};
use super::theme::{self, Palette, palette, radius, size, space};
use super::widgets::buttons::{IconButton, TextButton};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Success,
    Warning,
    Error,
}

impl Level {
    fn icon(self) -> Icon {
        match self {
            Self::Info => Icon::Info,
            Self::Success => Icon::Check,
            Self::Warning | Self::Error => Icon::Warning,
        }
    }

    fn colour(self, p: &Palette) -> egui::Color32 {
        match self {
            Self::Info => p.accent,
            Self::Success => p.success,
            Self::Warning => p.warning,
            Self::Error => p.error,
        }
    }

    /// Seconds on the screen; errors stay until they are closed.
    fn seconds(self) -> Option<f64> {
        match self {
            Self::Info | Self::Success => Some(5.0),
            Self::Warning => Some(10.0),
            Self::Error => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Notice {
    level: Level,
    headline: String,
    details: Option<String>,
    /// When it was first on the screen (the window's clock), and whether it still is.
    shown_since: Option<f64>,
    open: bool,
    number: u64,
}

/// All messages since the start.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    list: Vec<Notice>,
    count: u64,
    unseen: usize,
    pub(crate) history_open: bool,
}

const KEPT: usize = 200;
const AT_ONCE: usize = 4;

impl Notices {
    /// Shows `headline`, one sentence.
    pub(crate) fn say(&mut self, level: Level, headline: impl Into<String>) {
        self.push(level, headline.into(), None);
    }

    /// Shows a headline that tells what happened, with what it means and what to do below.
    pub(crate) fn explain(&mut self, level: Level, headline: impl Into<String>, details: impl Into<String>) {
        self.push(level, headline.into(), Some(as_sentence(&details.into())));
    }

    fn push(&mut self, level: Level, headline: String, details: Option<String>) {
        match level {
            Level::Error => tracing::error!(details = details.as_deref().unwrap_or(""), "{headline}"),
            Level::Warning => tracing::warn!(details = details.as_deref().unwrap_or(""), "{headline}"),
            _ => tracing::info!("{headline}"),
        }
        // The same message again replaces its old toast.
        self.list.iter_mut().filter(|n| n.headline == headline && n.details == details).for_each(|n| n.open = false);
        self.count += 1;
        self.unseen += 1;
        self.list.push(Notice { level, headline, details, shown_since: None, open: true, number: self.count });
        if self.list.len() > KEPT {
            self.list.remove(0);
        }
    }

    /// Messages since the history was last open.
    pub(crate) fn unseen(&self) -> usize {
        self.unseen
    }

    /// Draws the toasts that are due; `corner`: how far in from the window's lower right corner.
    pub(crate) fn toasts(&mut self, ui: &Ui, corner: egui::Vec2) {
        let ctx = ui.ctx().clone();
        let p = palette(&ctx);
        let now = ctx.input(|i| i.time);
        for notice in self.list.iter_mut().filter(|n| n.open) {
            let since = *notice.shown_since.get_or_insert(now);
            if let Some(seconds) = notice.level.seconds() {
                let left = seconds - (now - since);
                if left <= 0.0 {
                    notice.open = false;
                } else {
                    ctx.request_repaint_after(Duration::from_secs_f64(left.max(0.05)));
                }
            }
        }
        if !self.list.iter().any(|n| n.open) {
            return;
        }
        Area::new(Id::unique("toasts")).order(Order::Foreground).anchor(Align2::RIGHT_BOTTOM, -corner).show(
            &ctx,
            |ui| {
                ui.spacing_mut().item_spacing.y = space::S;
                let open: Vec<usize> = (0..self.list.len()).filter(|i| self.list[*i].open).collect();
                for index in open.into_iter().rev().take(AT_ONCE).rev() {
                    let notice = &mut self.list[index];
                    toast(ui, p, notice);
                }
            },
        );
    }

    /// The list of all messages, newest first.
    pub(crate) fn history(&mut self, ui: &Ui) {
        if !self.history_open {
            return;
        }
        self.unseen = 0;
        let ctx = ui.ctx().clone();
        let p = palette(&ctx);
        let mut keep = true;
        let modal = egui::Modal::new(Id::unique("messages"))
            .frame(Frame::popup(ui.style()).inner_margin(Margin::same(20)))
            .show(&ctx, |ui| {
                ui.set_width(460.0);
                ui.horizontal(|ui| {
                    ui.heading("Messages");
                    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                        if IconButton::new(Icon::Close, "Close messages").show(ui).clicked() {
                            keep = false;
                        }
                    });
                });
                if self.list.is_empty() {
                    ui.weak("Nothing has happened yet.");
                }
                ScrollArea::vertical().max_height(360.0).show(ui, |ui| {
                    for notice in self.list.iter().rev() {
                        row(ui, p, notice);
                        ui.add_space(space::S);
                    }
                });
                if !self.list.is_empty() && TextButton::new("Copy all").icon(Icon::Copy).quiet().show(ui).clicked() {
                    let all: Vec<String> = self.list.iter().map(as_text).collect();
                    ui.ctx().copy_text(all.join("\n"));
                }
            });
        self.history_open = keep && !modal.should_close();
    }

    #[cfg(test)]
    pub(crate) fn headlines(&self) -> Vec<&str> {
        self.list.iter().map(|n| n.headline.as_str()).collect()
    }
}

/// `text` with a capital at its beginning, unless that is no plain word (a path, a host, a name with digits).
pub(crate) fn as_sentence(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let plain = first.chars().all(|c| c.is_ascii_lowercase());
    match text.chars().next().filter(|_| plain) {
        Some(letter) => letter.to_uppercase().chain(text.chars().skip(1)).collect(),
        None => text.to_owned(),
    }
}

fn as_text(notice: &Notice) -> String {
    match &notice.details {
        Some(details) => format!("{}: {details}", notice.headline),
        None => notice.headline.clone(),
    }
}

fn toast(ui: &mut Ui, p: &Palette, notice: &mut Notice) {
    Frame::new()
        .fill(p.raised)
        .stroke(p.outline())
        .corner_radius(CornerRadius::same(radius::CARD))
        .inner_margin(Margin::symmetric(12, 8))
        .shadow(ui.visuals().popup_shadow)
        .show(ui, |ui| {
            ui.set_width(340.0);
            ui.horizontal_top(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(18.0, 20.0), egui::Sense::hover());
                icons::paint(ui.painter(), rect, size::ICON, notice.level.icon(), notice.level.colour(p));
                ui.vertical(|ui| {
                    // Beside the icon and the button that closes.
                    ui.set_width(340.0 - 18.0 - 24.0 - 2.0 * space::S);
                    ui.spacing_mut().item_spacing.y = 2.0;
                    ui.add(egui::Label::new(&notice.headline).wrap());
                    if let Some(details) = &notice.details {
                        let text = RichText::new(details).font(theme::small()).color(p.muted);
                        ui.add(egui::Label::new(text).wrap().selectable(true));
                    }
                });
                let name = format!("Close message {}", notice.number);
                if IconButton::new(Icon::Close, &name).small().show(ui).clicked() {
                    notice.open = false;
                }
            });
        });
}

fn row(ui: &mut Ui, p: &Palette, notice: &Notice) {
    ui.horizontal_top(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), egui::Sense::hover());
        icons::paint(ui.painter(), rect, size::ICON, notice.level.icon(), notice.level.colour(p));
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.add(egui::Label::new(&notice.headline).wrap().selectable(true));
            if let Some(details) = &notice.details {
                let text = RichText::new(details).font(theme::small()).color(p.muted);
                ui.add(egui::Label::new(text).wrap().selectable(true));
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_and_kept_within_bounds() {
        let mut notices = Notices::default();
        for n in 0..KEPT + 10 {
            notices.say(Level::Info, format!("message {n}"));
        }
        assert_eq!(notices.headlines().len(), KEPT);
        assert_eq!(notices.unseen(), KEPT + 10);
    }

    #[test]
    fn sentences_begin_with_a_capital_and_names_stay_as_they_are() {
        assert_eq!(as_sentence("nothing answers"), "Nothing answers");
        for name in ["/home/a is full", "localhost:1 answers", "ünder", "", "“x” did"] {
            assert_eq!(as_sentence(name), name);
        }
    }

    #[test]
    fn a_repeated_message_has_one_toast() {
        let mut notices = Notices::default();
        notices.say(Level::Error, "no space");
        notices.say(Level::Error, "no space");
        assert_eq!(notices.list.iter().filter(|n| n.open).count(), 1);
    }
}
