//! The lenses and the places where each is joined to the window: one `match` a place.
//!
//! A lens is one folder of `app` with a state of its own in [`Glassbox`], and one entry of [`LensKind`]. All lenses work
//! on the same open document: its versions, what stands on the canvas, and its named regions, which any lens may make
//! ([`super::document::Document::keep_region`]) and the Edit lens offers for an instruction. Their tabs are in the top
//! bar as soon as there are two.

use egui::{Context, Key, Ui};
use serde::{Deserialize, Serialize};

use super::Glassbox;
use super::icons::Icon;
use super::theme::space;
use super::widgets::buttons::{hint, lens_tab};
use super::widgets::compare::Canvas;
use crate::engine::Snapshot;

/// One lens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) enum LensKind {
    /// A wish becomes an edited picture.
    #[default]
    Edit,
}

impl LensKind {
    /// In the order of their tabs.
    pub(crate) const ALL: [Self; 1] = [Self::Edit];

    /// Whether there is a choice: with one lens nothing of lenses is shown.
    pub(crate) fn are_many() -> bool {
        Self::ALL.len() > 1
    }

    /// On its tab.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Edit => "Edit",
        }
    }

    /// In the list of commands.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Edit => "Edit lens",
        }
    }

    /// With Ctrl: the number of its tab.
    pub(crate) fn key(self) -> Key {
        match self {
            Self::Edit => Key::Num1,
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Edit => Icon::Wand,
        }
    }
}

impl From<LensKind> for String {
    fn from(kind: LensKind) -> Self {
        kind.title().to_lowercase()
    }
}

impl From<String> for LensKind {
    /// A lens that this version does not have is the first one, so that settings of another version still open.
    fn from(name: String) -> Self {
        Self::ALL.into_iter().find(|kind| String::from(*kind) == name).unwrap_or_default()
    }
}

impl Glassbox {
    /// The tabs in the top bar.
    pub(super) fn lens_tabs(&mut self, ui: &mut Ui) {
        if !LensKind::are_many() {
            return;
        }
        for kind in LensKind::ALL {
            if lens_tab(ui, kind.icon(), kind.title(), self.settings.now.lens == kind).clicked() {
                self.show_lens(kind);
            }
        }
        ui.add_space(space::S);
    }

    /// Makes `kind` the open lens.
    pub(super) fn show_lens(&mut self, kind: LensKind) {
        if self.settings.now.lens != kind {
            self.stop_painting();
            self.close_grid_of_seeds();
            self.settings.now.lens = kind;
        }
    }

    /// The panel at the right.
    pub(super) fn lens_panel(&mut self, ui: &mut Ui) {
        match self.settings.now.lens {
            LensKind::Edit => self.edit_panel(ui),
        }
    }

    /// Which model the lens uses, in the top bar.
    pub(super) fn lens_model_menu(&mut self, ui: &mut Ui) {
        match self.settings.now.lens {
            LensKind::Edit => self.editor_menu(ui),
        }
    }

    /// Draws what stands in the picture's place (a grid, a 3D view) and says whether there was something.
    pub(super) fn lens_takes_the_centre(&mut self, ui: &mut Ui) -> bool {
        match self.settings.now.lens {
            LensKind::Edit => {
                let open = self.seeds_are_open();
                if open {
                    self.seeds_grid(ui);
                }
                open
            }
        }
    }

    /// Whether the left button draws on the picture instead of moving it.
    pub(super) fn lens_draws(&self) -> bool {
        match self.settings.now.lens {
            LensKind::Edit => self.is_painting(),
        }
    }

    /// What lies over the picture. `plain`: the shown version itself is on the canvas, not the original that is held up
    /// or a difference.
    pub(super) fn lens_over_picture(&mut self, ui: &Ui, canvas: &Canvas, plain: bool) {
        match self.settings.now.lens {
            LensKind::Edit => {
                if plain {
                    self.live_preview(ui, canvas);
                    self.overlay(ui, canvas);
                }
                self.painting(ui, canvas);
            }
        }
    }

    /// Facts at the right of the status line, drawn from right to left: what the model saw of the picture.
    pub(super) fn lens_status(&mut self, ui: &mut Ui) {
        match self.settings.now.lens {
            LensKind::Edit => {
                if let Some(made) = self.document_made() {
                    hint(ui, made.working_in_words()).on_hover_text("What the model saw of the picture");
                }
            }
        }
    }

    /// What any lens has on the inference thread now, in words, and how far it is.
    pub(super) fn lenses_running(&self) -> Option<(String, Snapshot)> {
        self.edit.now_running()
    }

    /// Whether anything of any lens runs or waits.
    pub(super) fn lenses_work(&self) -> bool {
        self.is_working()
    }

    /// Stops what the lenses are doing now.
    pub(super) fn lenses_cancel(&mut self) {
        self.cancel_running();
    }

    /// Takes what the inference thread has brought, for every lens: results arrive whichever is open.
    pub(super) fn poll_lenses(&mut self, ctx: &Context) {
        self.poll_edit(ctx);
    }

    /// The open document is about to be replaced.
    pub(super) fn lenses_leave_document(&mut self) {
        self.stop_painting();
        self.close_grid_of_seeds();
    }

    /// Another document is open: what was about the one before is forgotten.
    pub(super) fn lenses_meet_document(&mut self) {
        self.edit.show_new_document();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenses_have_names_in_files_and_unknown_ones_are_the_first() {
        for kind in LensKind::ALL {
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<LensKind>(&text).unwrap(), kind);
        }
        assert_eq!(serde_json::from_str::<LensKind>(r#""sculpt""#).unwrap(), LensKind::Edit);
    }
}
