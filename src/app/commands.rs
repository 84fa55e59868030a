//! Everything the window can be told, in one list: the palette, the menus, the shortcuts and the help come from it.

use egui::{Context, Key, KeyboardShortcut, Modifiers};

use super::edit::painting::Tool;
use super::edit::region_tools::RegionAct;
use super::features::{ExportWhat, MapKind, Tool as PaneTool};
use super::lens::LensKind;
use super::splats::{SplatAct, SplatTool};

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    Open,
    Continue,
    Export,
    CopyPicture,
    Undo,
    Redo,
    Wish,
    Propose,
    Language,
    Models,
    AddRow,
    RestoreProposal,
    NewSeed,
    Run,
    Cancel,
    CancelAll,
    Lens(LensKind),
    OpenScene,
    LiftPicture,
    AskQuestion,
    VlmOfFolder,
    ExportConversation,
    FeaturesOfFolder,
    UseAsRegion,
    LinkPanes,
    /// Which map the active pane shows.
    Map(MapKind),
    /// How many panes there are.
    Panes(usize),
    /// What the left button does on a pane.
    Pane(PaneTool),
    ExportFeatures(ExportWhat),
    ShowEdit,
    ShowResult,
    NextMap,
    ExportMap,
    CopyRecipe,
    VarySeed,
    /// While a region is made.
    Region(RegionAct),
    /// In the Splats lens.
    Splats(SplatAct),
    ShowSingle,
    CompareDivider,
    CompareSideBySide,
    CompareDifference,
    LivePreview,
    Fit,
    ActualSize,
    ZoomIn,
    ZoomOut,
    PreviousVersion,
    NextVersion,
    CompareWithShown,
    StartFromShown,
    ToggleFilmstrip,
    Palette,
    Help,
    Settings,
    Messages,
    SwitchTheme,
    FullScreen,
    Quit,
}

/// The groups of the help overlay.
pub(crate) const GROUPS: [&str; 9] =
    ["Picture", "Edit", "View", "Region", "Features", "Splats", "Ask", "Versions", "Window"];

const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);
const NONE: Modifiers = Modifiers::NONE;
const ALT: Modifiers = Modifiers::ALT;

impl Command {
    pub(crate) const ALL: [Self; 105] = [
        Self::Open,
        Self::Continue,
        Self::Export,
        Self::CopyPicture,
        Self::Undo,
        Self::Redo,
        Self::Wish,
        Self::Propose,
        Self::Language,
        Self::AddRow,
        Self::RestoreProposal,
        Self::NewSeed,
        Self::Run,
        Self::Cancel,
        Self::CancelAll,
        Self::Lens(LensKind::Edit),
        Self::Lens(LensKind::Features),
        Self::Lens(LensKind::Splats),
        Self::Lens(LensKind::Ask),
        Self::OpenScene,
        Self::LiftPicture,
        Self::AskQuestion,
        Self::VlmOfFolder,
        Self::ExportConversation,
        Self::FeaturesOfFolder,
        Self::UseAsRegion,
        Self::Map(MapKind::Pca),
        Self::Map(MapKind::Clusters),
        Self::Map(MapKind::Similarity),
        Self::Map(MapKind::Norm),
        Self::Map(MapKind::Difference),
        Self::Panes(1),
        Self::Panes(2),
        Self::Panes(4),
        Self::LinkPanes,
        Self::Pane(PaneTool::Point),
        Self::Pane(PaneTool::Box),
        Self::Pane(PaneTool::Lasso),
        Self::ExportFeatures(ExportWhat::Screen),
        Self::ExportFeatures(ExportWhat::Features),
        Self::ExportFeatures(ExportWhat::Clusters),
        Self::ExportFeatures(ExportWhat::Basis),
        Self::ShowEdit,
        Self::ShowResult,
        Self::NextMap,
        Self::ExportMap,
        Self::CopyRecipe,
        Self::VarySeed,
        Self::Region(RegionAct::Tool(Tool::Brush)),
        Self::Region(RegionAct::Tool(Tool::Eraser)),
        Self::Region(RegionAct::Tool(Tool::Rectangle)),
        Self::Region(RegionAct::Tool(Tool::Lasso)),
        Self::Region(RegionAct::Tool(Tool::Polygon)),
        Self::Region(RegionAct::SmallerBrush),
        Self::Region(RegionAct::LargerBrush),
        Self::Region(RegionAct::Grow),
        Self::Region(RegionAct::Shrink),
        Self::Region(RegionAct::Invert),
        Self::Region(RegionAct::Clear),
        Self::Region(RegionAct::FromFile),
        Self::Region(RegionAct::Keep),
        Self::Splats(SplatAct::Tool(SplatTool::Move)),
        Self::Splats(SplatAct::Tool(SplatTool::Brush)),
        Self::Splats(SplatAct::SelectAll),
        Self::Splats(SplatAct::Invert),
        Self::Splats(SplatAct::Clear),
        Self::Splats(SplatAct::Hide),
        Self::Splats(SplatAct::Isolate),
        Self::Splats(SplatAct::ShowAll),
        Self::Splats(SplatAct::Delete),
        Self::Splats(SplatAct::CropBox),
        Self::Splats(SplatAct::SelectInBox),
        Self::Splats(SplatAct::SaveScene),
        Self::Splats(SplatAct::OpenCameras),
        Self::Splats(SplatAct::Frustums),
        Self::Splats(SplatAct::PreviousCamera),
        Self::Splats(SplatAct::NextCamera),
        Self::Splats(SplatAct::AddKey),
        Self::Splats(SplatAct::RemoveKey),
        Self::Splats(SplatAct::PlayPath),
        Self::Splats(SplatAct::ExportView),
        Self::Splats(SplatAct::ExportPath),
        Self::Splats(SplatAct::ExportTurntable),
        Self::ShowSingle,
        Self::CompareDivider,
        Self::CompareSideBySide,
        Self::CompareDifference,
        Self::LivePreview,
        Self::Fit,
        Self::ActualSize,
        Self::ZoomIn,
        Self::ZoomOut,
        Self::PreviousVersion,
        Self::NextVersion,
        Self::CompareWithShown,
        Self::StartFromShown,
        Self::ToggleFilmstrip,
        Self::Palette,
        Self::Help,
        Self::Models,
        Self::Settings,
        Self::Messages,
        Self::SwitchTheme,
        Self::FullScreen,
        Self::Quit,
    ];

    /// Its name in menus and the palette. "…" where more is asked.
    pub(crate) fn title(self) -> &'static str {
        self.words().1
    }

    /// Its group in the help.
    pub(crate) fn group(self) -> &'static str {
        self.words().0
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Open => ("Picture", "Open a picture…"),
            Self::Continue => ("Picture", "Continue earlier work…"),
            Self::Export => ("Picture", "Export…"),
            Self::CopyPicture => ("Picture", "Copy the picture"),
            Self::Undo => ("Edit", "Undo"),
            Self::Redo => ("Edit", "Redo"),
            Self::Wish => ("Edit", "Write the wish"),
            Self::Propose => ("Edit", "Propose instructions"),
            Self::Language => ("Edit", "Who proposes instructions…"),
            Self::AddRow => ("Edit", "Add an instruction"),
            Self::RestoreProposal => ("Edit", "Restore the proposal"),
            Self::NewSeed => ("Edit", "Another seed"),
            Self::Run => ("Edit", "Run"),
            Self::Cancel => ("Edit", "Cancel, or leave the tool"),
            Self::CancelAll => ("Edit", "Cancel everything"),
            Self::Lens(kind) => ("Window", kind.command()),
            Self::OpenScene => ("Picture", "Open a splat scene…"),
            Self::LiftPicture => ("Splats", "Lift this picture"),
            Self::AskQuestion => ("Ask", "Ask about the picture"),
            Self::VlmOfFolder => ("Ask", "Open the Ask lens with a folder…"),
            Self::ExportConversation => ("Ask", "Export the conversation…"),
            Self::FeaturesOfFolder => ("Features", "Open the Features lens with a folder…"),
            Self::UseAsRegion => ("Features", "Use as region"),
            Self::Map(map) => ("Features", map.command()),
            Self::Panes(1) => ("Features", "One pane"),
            Self::Panes(2) => ("Features", "Two panes"),
            Self::Panes(_) => ("Features", "Four panes"),
            Self::LinkPanes => ("Features", "Link panes, or not"),
            Self::Pane(tool) => ("Features", tool.command()),
            Self::ExportFeatures(what) => ("Features", what.command()),
            Self::ShowEdit => ("Window", "Edit panel"),
            Self::ShowResult => ("Window", "Result panel"),
            Self::NextMap => ("View", "Next instruction's map"),
            Self::ExportMap => ("Picture", "Export the map…"),
            Self::CopyRecipe => ("Picture", "Copy the recipe"),
            Self::VarySeed => ("Edit", "Vary the seed"),
            Self::Region(act) => ("Region", act.title()),
            Self::Splats(act) => ("Splats", act.title()),
            Self::ShowSingle => ("View", "Picture alone"),
            Self::CompareDivider => ("View", "Compare with a divider"),
            Self::CompareSideBySide => ("View", "Compare side by side"),
            Self::CompareDifference => ("View", "Difference"),
            Self::LivePreview => ("View", "Live preview while running"),
            Self::Fit => ("View", "Fit"),
            Self::ActualSize => ("View", "Actual size"),
            Self::ZoomIn => ("View", "Zoom in"),
            Self::ZoomOut => ("View", "Zoom out"),
            Self::PreviousVersion => ("Versions", "Previous version"),
            Self::NextVersion => ("Versions", "Next version"),
            Self::CompareWithShown => ("Versions", "Compare others with the shown version"),
            Self::StartFromShown => ("Versions", "Start the next edit from the shown version"),
            Self::ToggleFilmstrip => ("Window", "Versions panel"),
            Self::Palette => ("Window", "All commands…"),
            Self::Help => ("Window", "Shortcuts"),
            Self::Models => ("Window", "Models…"),
            Self::Settings => ("Window", "Settings…"),
            Self::Messages => ("Window", "Messages"),
            Self::SwitchTheme => ("Window", "Light or dark"),
            Self::FullScreen => ("Window", "Full screen"),
            Self::Quit => ("Window", "Quit"),
        }
    }

    /// Its shortcut, if it has one.
    pub(crate) fn shortcut(self) -> Option<KeyboardShortcut> {
        let (modifiers, key) = match self {
            Self::Open => (CTRL, Key::O),
            Self::Continue => (CTRL_SHIFT, Key::O),
            Self::Export => (CTRL, Key::S),
            Self::CopyPicture => (CTRL_SHIFT, Key::C),
            Self::Undo => (CTRL, Key::Z),
            Self::Redo => (CTRL_SHIFT, Key::Z),
            Self::Wish => (CTRL, Key::E),
            Self::Propose => (CTRL, Key::P),
            Self::AddRow => (CTRL, Key::I),
            Self::NewSeed => (CTRL, Key::R),
            Self::Run => (CTRL, Key::Enter),
            Self::Cancel => (NONE, Key::Escape),
            Self::Lens(kind) => (CTRL, kind.key()),
            Self::AskQuestion => (CTRL_SHIFT, Key::A),
            Self::UseAsRegion => (CTRL_SHIFT, Key::R),
            Self::LinkPanes => (CTRL_SHIFT, Key::L),
            Self::Map(map) => (ALT, map.key()),
            Self::Panes(1) => (ALT, Key::Num1),
            Self::Panes(2) => (ALT, Key::Num2),
            Self::Panes(_) => (ALT, Key::Num4),
            Self::Pane(tool) => (ALT, tool.key()),
            Self::ExportFeatures(ExportWhat::Screen) => (CTRL_SHIFT, Key::S),
            Self::ShowEdit => (CTRL, Key::T),
            Self::ShowResult => (CTRL, Key::D),
            Self::NextMap => (NONE, Key::M),
            Self::Region(act) => (NONE, act.key()?),
            Self::Splats(act) => act.keys()?,
            Self::ShowSingle => (NONE, Key::Num1),
            Self::CompareDivider => (NONE, Key::Num2),
            Self::CompareSideBySide => (NONE, Key::Num3),
            Self::CompareDifference => (NONE, Key::Num4),
            Self::Fit => (NONE, Key::F),
            Self::ActualSize => (NONE, Key::Num0),
            Self::ZoomIn => (NONE, Key::Plus),
            Self::ZoomOut => (NONE, Key::Minus),
            Self::PreviousVersion => (ALT, Key::ArrowUp),
            Self::NextVersion => (ALT, Key::ArrowDown),
            Self::ToggleFilmstrip => (CTRL, Key::L),
            Self::Palette => (CTRL, Key::K),
            Self::Help => (NONE, Key::Questionmark),
            Self::Models => (CTRL_SHIFT, Key::M),
            Self::Settings => (CTRL, Key::Comma),
            Self::FullScreen => (NONE, Key::F11),
            Self::Quit => (CTRL, Key::Q),
            _ => return None,
        };
        Some(KeyboardShortcut::new(modifiers, key))
    }

    /// The shortcut in words of this system: "Ctrl+O", "⌘O".
    pub(crate) fn keys(self, ctx: &Context) -> Option<String> {
        self.shortcut().map(|shortcut| match shortcut.logical_key {
            // Keys that are known by their sign.
            Key::Questionmark => "?".to_owned(),
            Key::OpenBracket => "[".to_owned(),
            Key::CloseBracket => "]".to_owned(),
            Key::Plus => "+".to_owned(),
            Key::Minus => "−".to_owned(),
            _ => ctx.format_shortcut(&shortcut),
        })
    }

    /// Whether it is about the Edit lens's panel, which it then brings up.
    pub(crate) fn is_of_the_edit_panel(self) -> bool {
        matches!(
            self,
            Self::Wish
                | Self::Propose
                | Self::AddRow
                | Self::RestoreProposal
                | Self::Run
                | Self::ShowEdit
                | Self::ShowResult
                | Self::NextMap
                | Self::VarySeed
        )
    }

    /// Whether its shortcut is a plain key that must not fire while somebody types.
    fn is_plain_key(self) -> bool {
        self.shortcut().is_some_and(|s| !s.modifiers.command && !s.modifiers.alt && s.logical_key != Key::F11)
    }
}

/// Commands whose shortcut was pressed in this frame. `overlay_open`: a dialog has the keyboard. A plain key of what
/// cannot be done now is left to others: S and E fly in the Splats lens and belong to a region elsewhere.
pub(crate) fn pressed(ctx: &Context, overlay_open: bool, can: impl Fn(Command) -> bool) -> Vec<Command> {
    let typing = ctx.text_edit_focused();
    let mut found = Vec::new();
    // Longer chords first, so that Ctrl+Shift+Z is not taken for Ctrl+Z.
    let mut all: Vec<Command> = Command::ALL.into_iter().filter(|c| c.shortcut().is_some()).collect();
    all.sort_by_key(|c| !c.shortcut().is_some_and(|s| s.modifiers.shift));
    for command in all {
        if overlay_open && command != Command::Quit {
            continue;
        }
        // A text field has its own undo, and plain keys are letters to it.
        let of_scene = matches!(command, Command::Splats(_));
        if typing && (command.is_plain_key() || of_scene || matches!(command, Command::Undo | Command::Redo)) {
            continue;
        }
        if (command.is_plain_key() || of_scene) && !can(command) {
            continue;
        }
        if let Some(shortcut) = command.shortcut()
            && ctx.input_mut(|i| i.consume_shortcut(&shortcut))
        {
            found.push(command);
        }
    }
    // What other programs call "redo".
    if !typing && !overlay_open && ctx.input_mut(|i| i.consume_key(CTRL, Key::Y)) {
        found.push(Command::Redo);
    }
    found
}

/// How well `query` fits `title`: the letters in order, better the closer together; `None` if they are not there.
pub(crate) fn fuzzy(title: &str, query: &str) -> Option<i32> {
    if query.trim().is_empty() {
        // Nothing asked yet: all of them, in the order of the list.
        return Some(0);
    }
    let title: Vec<char> = title.to_lowercase().chars().collect();
    let mut at = 0;
    let mut score = 0;
    let mut last = None;
    for letter in query.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let found = title.iter().skip(at).position(|c| *c == letter)? + at;
        let begins_word = found == 0 || title.get(found - 1).is_some_and(|c| !c.is_alphanumeric());
        score += if last.is_some_and(|l: usize| l + 1 == found) { 6 } else { 0 } + if begins_word { 4 } else { 0 } - 1;
        last = Some(found);
        at = found + 1;
    }
    Some(score - title.len() as i32 / 8)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_command_is_listed_once_and_no_two_share_a_shortcut() {
        let all: HashSet<_> = Command::ALL.into_iter().collect();
        assert_eq!(all.len(), Command::ALL.len());
        let titles: HashSet<_> = Command::ALL.into_iter().map(Command::title).collect();
        assert_eq!(titles.len(), Command::ALL.len());
        let with: Vec<_> = Command::ALL.into_iter().filter_map(Command::shortcut).collect();
        let keys: HashSet<String> = with.iter().map(|s| format!("{s:?}")).collect();
        assert_eq!(keys.len(), with.len());
        assert!(Command::ALL.into_iter().all(|c| GROUPS.contains(&c.group())));
    }

    #[test]
    fn the_palette_finds_by_letters_in_order() {
        assert!(fuzzy("Compare side by side", "csbs").is_some());
        assert!(fuzzy("Compare side by side", "zz").is_none());
        assert!(fuzzy("Undo", "un") > fuzzy("Full screen", "un"));
        assert!(fuzzy("Export…", "").is_some());
    }
}
