//! What can be done to the open scene: commands for the palette and the keyboard, and what each does.

use egui::{Context, Key, Modifiers};

use super::SplatsLens;
use super::edits::Edits;
use crate::app::Glassbox;
use crate::splats::gaussians::Bounds;
use crate::splats::selection::{Combine, Marks, in_box};

/// What the left button does in the scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    /// Turns the eye.
    #[default]
    Move,
    /// Selects what it passes over.
    Brush,
}

/// What can be done in the Splats lens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SplatAct {
    Tool(Tool),
    SelectAll,
    Invert,
    Clear,
    Hide,
    Isolate,
    ShowAll,
    Delete,
    CropBox,
    SelectInBox,
    SaveScene,
    OpenCameras,
    Frustums,
    PreviousCamera,
    NextCamera,
    AddKey,
    RemoveKey,
    PlayPath,
    ExportView,
    ExportPath,
    ExportTurntable,
}

impl SplatAct {
    /// On its button and in the palette.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tool(Tool::Move) => "Move around",
            Self::Tool(Tool::Brush) => "Select with a brush",
            Self::SelectAll => "Select all splats",
            Self::Invert => "Invert the selection",
            Self::Clear => "Select nothing",
            Self::Hide => "Hide the selected splats",
            Self::Isolate => "Show only the selected splats",
            Self::ShowAll => "Show hidden splats again",
            Self::Delete => "Delete the selected splats",
            Self::CropBox => "Crop box",
            Self::SelectInBox => "Select what is in the box",
            Self::SaveScene => "Save the scene…",
            Self::OpenCameras => "Open cameras…",
            Self::Frustums => "Show cameras",
            Self::PreviousCamera => "Previous camera",
            Self::NextCamera => "Next camera",
            Self::AddKey => "Add this view to the path",
            Self::RemoveKey => "Remove the last view of the path",
            Self::PlayPath => "Play the path",
            Self::ExportView => "Export the view…",
            Self::ExportPath => "Export the path as pictures…",
            Self::ExportTurntable => "Export a turntable…",
        }
    }

    /// Its shortcut.
    pub(crate) fn keys(self) -> Option<(Modifiers, Key)> {
        let shift = Modifiers::SHIFT;
        Some(match self {
            Self::Tool(Tool::Move) => (Modifiers::NONE, Key::V),
            Self::Tool(Tool::Brush) => (shift, Key::B),
            Self::SelectAll => (Modifiers::COMMAND, Key::A),
            Self::Invert => (shift, Key::I),
            Self::Hide => (Modifiers::NONE, Key::H),
            Self::Isolate => (shift, Key::H),
            Self::ShowAll => (Modifiers::ALT, Key::H),
            Self::Delete => (Modifiers::NONE, Key::Backspace),
            Self::CropBox => (shift, Key::C),
            Self::PreviousCamera => (Modifiers::NONE, Key::Comma),
            Self::NextCamera => (Modifiers::NONE, Key::Period),
            Self::AddKey => (Modifiers::NONE, Key::K),
            Self::PlayPath => (shift, Key::K),
            _ => return None,
        })
    }
}

impl SplatsLens {
    pub(in crate::app) fn can_undo(&self) -> bool {
        self.edits.can_undo()
    }

    pub(in crate::app) fn can_redo(&self) -> bool {
        self.edits.can_redo()
    }

    pub(in crate::app) fn undo(&mut self) {
        if let Some(before) = self.edits.undo() {
            self.now = before;
        }
    }

    pub(in crate::app) fn redo(&mut self) {
        if let Some(after) = self.edits.redo() {
            self.now = after;
        }
    }

    /// Whether Escape leaves something: a path that plays, the brush, a camera's photo, a selection.
    pub(in crate::app) fn can_step_out(&self) -> bool {
        self.path.is_playing() || self.tool != Tool::Move || self.cameras.is_looking() || self.now.selected.is_some()
    }

    /// Leaves the innermost of these.
    pub(in crate::app) fn step_out(&mut self) {
        if self.path.is_playing() {
            self.path.stop();
        } else if self.tool != Tool::Move {
            self.tool = Tool::Move;
        } else if self.cameras.is_looking() {
            self.cameras.leave();
        } else {
            self.change(|now| now.selected = None);
        }
    }

    /// Whether something can be done now.
    pub(in crate::app) fn can(&self, act: SplatAct) -> bool {
        let Some(scene) = &self.scene else { return false };
        let selected = self.now.selected.is_some();
        match act {
            SplatAct::Clear | SplatAct::Hide | SplatAct::Isolate => selected,
            // One splat at least is left.
            SplatAct::Delete => self.now.selected.as_ref().is_some_and(|selected| {
                let gone = self.now.deleted.as_ref().map_or_else(|| selected.clone(), |gone| gone.or(selected));
                gone.marked() < scene.gaussians.len()
            }),
            SplatAct::ShowAll => self.now.hidden.is_some(),
            SplatAct::SelectInBox => self.crop.is_some(),
            SplatAct::Frustums | SplatAct::PreviousCamera | SplatAct::NextCamera => !self.cameras.is_empty(),
            SplatAct::RemoveKey => !self.path.is_empty(),
            SplatAct::PlayPath | SplatAct::ExportPath => self.path.keys() > 1,
            SplatAct::ExportView | SplatAct::ExportTurntable => self.last.is_some(),
            _ => true,
        }
    }

    /// Changes what is marked, as one step that can be undone.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Edits)) {
        change(&mut self.now);
        self.now.tidy();
        self.edits.record(&self.now);
    }

    /// New marks meet the selection; what is hidden or deleted is not meant.
    pub(super) fn select(&mut self, new: &Marks, how: Combine) {
        let new = match self.now.visible() {
            Some(visible) => new.and(&visible),
            None => new.clone(),
        };
        let before = self.now.selected.take().unwrap_or_else(|| Marks::none(new.of()));
        self.now.selected = Some(before.combined(&new, how));
        self.now.tidy();
    }

    /// The box that crops: as large as the scene at first.
    fn toggle_crop_box(&mut self) {
        self.crop = match (self.crop, &self.scene) {
            (None, Some(scene)) => Some(scene.robust),
            _ => None,
        };
    }

    /// Selects what lies in the box.
    pub(super) fn select_in_box(&mut self) {
        let (Some(scene), Some(bounds)) = (&self.scene, self.crop) else { return };
        let found = in_box(&scene.gaussians, &bounds);
        let how = self.combine;
        self.change_selection(&found, how);
    }

    /// As [`Self::select`], as one step.
    pub(super) fn change_selection(&mut self, new: &Marks, how: Combine) {
        self.select(new, how);
        self.edits.record(&self.now);
    }
}

/// The smallest box has so much of the scene's size along a side.
pub(super) const SMALLEST_BOX: f32 = 0.001;

/// A box whose ends are the right way round.
pub(super) fn sound_box(mut bounds: Bounds) -> Bounds {
    for axis in 0..3 {
        if bounds.max[axis] < bounds.min[axis] {
            std::mem::swap(&mut bounds.min[axis], &mut bounds.max[axis]);
        }
    }
    bounds
}

impl Glassbox {
    /// Does what was asked of the scene.
    pub(in crate::app) fn act_on_scene(&mut self, ctx: &Context, act: SplatAct) {
        if !self.splats.can(act) {
            return;
        }
        let lens = &mut self.splats;
        let count = lens.scene.as_ref().map_or(0, |scene| scene.gaussians.len());
        match act {
            SplatAct::Tool(tool) => lens.tool = tool,
            SplatAct::SelectAll => lens.change_selection(&Marks::none(count).inverted(), Combine::Replace),
            SplatAct::Invert => {
                let before = lens.now.selected.clone().unwrap_or_else(|| Marks::none(count));
                lens.change_selection(&before.inverted(), Combine::Replace);
            }
            SplatAct::Clear => lens.change(|now| now.selected = None),
            SplatAct::Hide => lens.change(Edits::hide),
            SplatAct::Isolate => lens.change(Edits::isolate),
            SplatAct::ShowAll => lens.change(|now| now.hidden = None),
            SplatAct::Delete => lens.change(Edits::delete),
            SplatAct::CropBox => lens.toggle_crop_box(),
            SplatAct::SelectInBox => lens.select_in_box(),
            SplatAct::SaveScene => self.ask_where_to_save_the_scene(ctx),
            SplatAct::OpenCameras => self.ask_for_cameras(ctx),
            SplatAct::Frustums => self.settings.now.splats.frustums ^= true,
            SplatAct::PreviousCamera => self.look_through_another(ctx, -1),
            SplatAct::NextCamera => self.look_through_another(ctx, 1),
            SplatAct::AddKey => lens.path.add(&lens.eye),
            SplatAct::RemoveKey => lens.path.remove_last(),
            SplatAct::PlayPath => {
                let now = ctx.input(|i| i.time);
                lens.path.play_or_stop(now);
                ctx.request_repaint();
            }
            SplatAct::ExportView => self.ask_where_to_export_the_view(ctx),
            SplatAct::ExportPath => self.ask_where_to_export_frames(ctx, super::export::Frames::Path),
            SplatAct::ExportTurntable => self.ask_where_to_export_frames(ctx, super::export::Frames::Turntable),
        }
    }
}
