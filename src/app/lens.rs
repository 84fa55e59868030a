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
    /// What a vision transformer sees.
    Features,
    /// Scenes of 3D Gaussians.
    Splats,
    /// Questions about the picture.
    Ask,
}

impl LensKind {
    /// In the order of their tabs.
    pub(crate) const ALL: [Self; 4] = [Self::Edit, Self::Features, Self::Splats, Self::Ask];

    /// On its tab.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Edit => "Edit",
            Self::Features => "Features",
            Self::Splats => "Splats",
            Self::Ask => "Ask",
        }
    }

    /// In the list of commands.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Edit => "Edit lens",
            Self::Features => "Features lens",
            Self::Splats => "Splats lens",
            Self::Ask => "Ask lens",
        }
    }

    /// With Ctrl: the number of its tab.
    pub(crate) fn key(self) -> Key {
        match self {
            Self::Edit => Key::Num1,
            Self::Features => Key::Num2,
            Self::Splats => Key::Num3,
            Self::Ask => Key::Num4,
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Edit => Icon::Wand,
            Self::Features => Icon::Features,
            Self::Splats => Icon::Splats,
            Self::Ask => Icon::Ask,
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
    /// Whether a lens can show anything on this machine; the open one is always there.
    pub(super) fn has_lens(&self, kind: LensKind) -> bool {
        match kind {
            LensKind::Edit => true,
            LensKind::Features => {
                self.settings.now.lens == kind || self.features.has_backbones(&self.settings.now.features)
            }
            LensKind::Splats => {
                self.settings.now.lens == kind || self.splats.has_scenes() || self.can_lift_the_picture()
            }
            LensKind::Ask => self.settings.now.lens == kind || self.ask.has_models(&self.settings.now.ask),
        }
    }

    /// The lenses there are, in the order of their tabs.
    pub(super) fn lenses(&self) -> Vec<LensKind> {
        LensKind::ALL.into_iter().filter(|kind| self.has_lens(*kind)).collect()
    }

    pub(super) fn features_are_open(&self) -> bool {
        self.settings.now.lens == LensKind::Features && self.document.is_some()
    }

    /// Whether Escape leaves something in the Features lens.
    pub(super) fn features_can_step_out(&self) -> bool {
        self.features_are_open() && self.features.can_step_out()
    }

    /// The tabs in the top bar.
    pub(super) fn lens_tabs(&mut self, ui: &mut Ui) {
        let lenses = self.lenses();
        // With one lens nothing of lenses is shown.
        if lenses.len() < 2 {
            return;
        }
        for kind in lenses {
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
            self.leave_features();
            self.settings.now.lens = kind;
            if kind == LensKind::Ask {
                self.ask.wait_for_a_question();
            }
        }
    }

    /// The panel at the right.
    pub(super) fn lens_panel(&mut self, ui: &mut Ui) {
        match self.settings.now.lens {
            LensKind::Edit => self.edit_panel(ui),
            LensKind::Features => self.features_panel(ui),
            LensKind::Splats => self.splats_panel(ui),
            LensKind::Ask => self.ask_panel(ui),
        }
    }

    /// Which model the lens uses, in the top bar.
    pub(super) fn lens_model_menu(&mut self, ui: &mut Ui) {
        match self.settings.now.lens {
            LensKind::Edit => self.editor_menu(ui),
            LensKind::Features => self.backbone_menu(ui),
            // Its scene is in the panel.
            LensKind::Splats => {}
            LensKind::Ask => self.vlm_menu(ui),
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
            LensKind::Features => {
                self.feature_panes(ui);
                true
            }
            LensKind::Splats => {
                self.splat_view(ui);
                true
            }
            LensKind::Ask => false,
        }
    }

    /// Whether the left button draws on the picture instead of moving it.
    pub(super) fn lens_draws(&self) -> bool {
        match self.settings.now.lens {
            LensKind::Edit => self.is_painting(),
            LensKind::Features | LensKind::Splats | LensKind::Ask => false,
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
            // Its panes draw all of it.
            LensKind::Features | LensKind::Splats => {}
            LensKind::Ask => {
                if plain {
                    self.ask_overlay(ui, canvas);
                }
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
            LensKind::Features => self.features_status(ui),
            LensKind::Splats => self.splats_status(ui),
            LensKind::Ask => self.ask_status(ui),
        }
    }

    /// What any lens has on the inference thread now, in words, and how far it is.
    pub(super) fn lenses_running(&self) -> Option<(String, Snapshot)> {
        self.edit
            .now_running()
            .or_else(|| self.features.now_running())
            .or_else(|| self.ask.now_running())
            .or_else(|| self.splats.now_running())
    }

    /// Whether anything of any lens runs or waits.
    pub(super) fn lenses_work(&self) -> bool {
        self.is_working() || self.features.is_working() || self.ask.is_working() || self.splats.is_working()
    }

    /// Stops what the lenses are doing now.
    pub(super) fn lenses_cancel(&mut self) {
        if self.is_working() {
            self.cancel_running();
        } else if self.features.is_working() {
            self.stop_looking();
        } else {
            self.stop_answering();
            self.splats.stop();
        }
    }

    /// Takes what the inference thread has brought, for every lens: results arrive whichever is open.
    pub(super) fn poll_lenses(&mut self, ctx: &Context) {
        self.poll_edit(ctx);
        self.poll_features();
        self.poll_splats(ctx);
        self.poll_ask(ctx);
        self.link_lenses();
    }

    /// The open document is about to be replaced.
    pub(super) fn lenses_leave_document(&mut self) {
        self.stop_painting();
        self.close_grid_of_seeds();
        self.leave_features();
    }

    /// Another document is open: what was about the one before is forgotten.
    pub(super) fn lenses_meet_document(&mut self) {
        self.edit.show_new_document();
        self.features.show_new_document(&self.engine);
        self.ask.show_new_document(&self.engine, self.document.as_ref());
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
