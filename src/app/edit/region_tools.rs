//! What can be done to the region of an instruction: the toolbar above the picture, the same as commands with keys, and
//! regions that come from elsewhere (ready-made, kept in the document by any lens, from a file).

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Align2, Area, Button, Context, CornerRadius, Frame, Id, Key, Margin, Order, Rect, RichText, Ui, pos2};

use super::painting::Tool;
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::commands::Command;
use crate::app::icons::Icon;
use crate::app::mask::Mask;
use crate::app::notices::Level;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::{IconButton, TextButton, hint};
use crate::app::widgets::sliders::{Scale, track};
use crate::picture::decode;
use crate::picture::limits::DecodeLimits;

/// What can be done while a region is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RegionAct {
    Tool(Tool),
    SmallerBrush,
    LargerBrush,
    Grow,
    Shrink,
    Invert,
    Clear,
    FromFile,
    Keep,
}

impl RegionAct {
    pub(crate) const ALL: [Self; 13] = [
        Self::Tool(Tool::Brush),
        Self::Tool(Tool::Eraser),
        Self::Tool(Tool::Rectangle),
        Self::Tool(Tool::Lasso),
        Self::Tool(Tool::Polygon),
        Self::SmallerBrush,
        Self::LargerBrush,
        Self::Grow,
        Self::Shrink,
        Self::Invert,
        Self::Clear,
        Self::FromFile,
        Self::Keep,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tool(Tool::Brush) => "Brush",
            Self::Tool(Tool::Eraser) => "Eraser",
            Self::Tool(Tool::Rectangle) => "Rectangle",
            Self::Tool(Tool::Lasso) => "Lasso",
            Self::Tool(Tool::Polygon) => "Polygon",
            Self::SmallerBrush => "Smaller brush",
            Self::LargerBrush => "Larger brush",
            Self::Grow => "Grow the region",
            Self::Shrink => "Shrink the region",
            Self::Invert => "Invert the region",
            Self::Clear => "Clear the region",
            Self::FromFile => "Region from a file…",
            Self::Keep => "Keep the region for other instructions",
        }
    }

    /// Plain keys: they act only while a region is made and nobody types.
    pub(crate) fn key(self) -> Option<Key> {
        match self {
            Self::Tool(Tool::Brush) => Some(Key::B),
            Self::Tool(Tool::Eraser) => Some(Key::E),
            Self::Tool(Tool::Rectangle) => Some(Key::R),
            Self::Tool(Tool::Lasso) => Some(Key::L),
            Self::Tool(Tool::Polygon) => Some(Key::P),
            Self::SmallerBrush => Some(Key::OpenBracket),
            Self::LargerBrush => Some(Key::CloseBracket),
            Self::Grow => Some(Key::G),
            Self::Shrink => Some(Key::S),
            Self::Invert => Some(Key::I),
            Self::Clear => Some(Key::Delete),
            Self::FromFile | Self::Keep => None,
        }
    }

    fn icon(self) -> Icon {
        match self {
            Self::Tool(Tool::Brush) => Icon::Brush,
            Self::Tool(Tool::Eraser) => Icon::Eraser,
            Self::Tool(Tool::Rectangle) => Icon::Rectangle,
            Self::Tool(Tool::Lasso) => Icon::Lasso,
            Self::Tool(Tool::Polygon) => Icon::Polygon,
            Self::SmallerBrush => Icon::Minus,
            Self::LargerBrush => Icon::Plus,
            Self::Grow => Icon::Grow,
            Self::Shrink => Icon::Shrink,
            Self::Invert => Icon::Invert,
            Self::Clear => Icon::Remove,
            Self::FromFile => Icon::Open,
            Self::Keep => Icon::Region,
        }
    }
}

/// How the tool works, in a few words.
fn how(tool: Tool) -> &'static str {
    match tool {
        Tool::Brush => "Drag to paint",
        Tool::Eraser => "Drag to take away",
        Tool::Rectangle => "Drag from corner to corner; with Alt it takes away",
        Tool::Lasso => "Drag around it; with Alt it takes away",
        Tool::Polygon => "Click the corners, Enter closes; with Alt it takes away",
    }
}

/// Ready-made regions: name, left, top, right, bottom. Also the way without a pointer.
const READY: [(&str, [f32; 4]); 5] = [
    ("Upper half", [0.0, 0.0, 1.0, 0.5]),
    ("Lower half", [0.0, 0.5, 1.0, 1.0]),
    ("Left half", [0.0, 0.0, 0.5, 1.0]),
    ("Right half", [0.5, 0.0, 1.0, 1.0]),
    ("Middle", [0.25, 0.25, 0.75, 0.75]),
];

/// Below this width the toolbar's buttons take two lines.
const IN_ONE_LINE: f32 = 460.0;

const BRUSH: std::ops::RangeInclusive<f64> = 0.005..=0.2;

/// What was chosen in the menu of regions.
enum Chosen {
    Ready([f32; 4]),
    Kept(usize),
    Forget(usize),
    Act(RegionAct),
}

impl Glassbox {
    /// The region that is made now, with the id of its row.
    fn region_in_the_making(&mut self) -> Option<(u64, &mut Option<Mask>, (u32, u32))> {
        let id = self.edit.painting.as_ref()?.row;
        let document = self.document.as_mut()?;
        let size = document.shown().picture.size();
        Some((id, &mut document.draft.row_mut(id)?.mask, size))
    }

    /// Whether the act can do anything now.
    pub(in crate::app) fn can_do_to_region(&self, act: RegionAct) -> bool {
        let Some(painting) = &self.edit.painting else { return false };
        let rows = self.document.as_ref().map_or(&[][..], |document| &document.draft.rows);
        let mask = rows.iter().find(|row| row.id == painting.row).and_then(|row| row.mask.as_ref());
        match act {
            RegionAct::Grow | RegionAct::Shrink | RegionAct::Clear | RegionAct::Keep => mask.is_some(),
            RegionAct::SmallerBrush => painting.radius > *BRUSH.start(),
            RegionAct::LargerBrush => painting.radius < *BRUSH.end(),
            RegionAct::Tool(_) | RegionAct::Invert | RegionAct::FromFile => true,
        }
    }

    /// Does it.
    pub(in crate::app) fn act_on_region(&mut self, ctx: &Context, act: RegionAct) {
        if let Some(painting) = &mut self.edit.painting {
            match act {
                RegionAct::Tool(tool) => {
                    painting.tool = tool;
                    painting.points.clear();
                }
                RegionAct::SmallerBrush => painting.radius = (painting.radius / 1.25).max(*BRUSH.start()),
                RegionAct::LargerBrush => painting.radius = (painting.radius * 1.25).min(*BRUSH.end()),
                _ => {}
            }
        }
        let Some((id, mask, size)) = self.region_in_the_making() else { return };
        match act {
            RegionAct::Grow | RegionAct::Shrink => {
                if let Some(mask) = mask {
                    let step = mask.step();
                    mask.grow(if act == RegionAct::Grow { step } else { -step });
                }
            }
            RegionAct::Invert => {
                let mut inverted = mask.take().unwrap_or_else(|| Mask::new(size));
                inverted.invert();
                *mask = Some(inverted);
            }
            RegionAct::Clear => *mask = None,
            RegionAct::FromFile => self.ask_for_a_region(ctx),
            RegionAct::Keep => self.keep_region_of(id),
            _ => {}
        }
        if let Some((_, mask, _)) = self.region_in_the_making()
            && mask.as_ref().is_some_and(Mask::is_empty)
        {
            *mask = None;
        }
    }

    /// Keeps the region of a row in the document, under the row's words.
    fn keep_region_of(&mut self, id: u64) {
        let Some(document) = &mut self.document else { return };
        let Some(row) = document.draft.rows.iter().find(|row| row.id == id) else { return };
        let Some(mask) = row.mask.clone() else { return };
        let words: String = row.text.trim().chars().take(40).collect();
        let name = document.keep_region(&words, mask);
        self.notices.say(Level::Success, format!("Kept as “{name}”, for every instruction of this picture"));
    }

    /// Gives the row of that id a region that the document keeps.
    pub(super) fn use_kept_region(&mut self, id: u64, index: usize) {
        let Some(document) = &mut self.document else { return };
        let Some(mask) = document.regions.get(index).map(|region| region.mask.clone()) else { return };
        if let Some(row) = document.draft.row_mut(id) {
            row.mask = Some(mask);
        }
    }

    /// Opens a picture file as the region of the row that was in the making when it was asked for.
    pub(in crate::app) fn region_from_file(&mut self, ctx: &Context, path: PathBuf) {
        let Some((row, _, size)) = self.region_in_the_making() else { return };
        let ctx = ctx.clone();
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let task = Background::start("open a region", move || {
            let picture = decode::open(&path, &DecodeLimits::default()).map_err(|error| error.to_string());
            let mask = picture.and_then(|picture| Mask::from_picture(&picture, size));
            ctx.request_repaint();
            mask
        });
        self.edit.region_file = Some((row, name, task));
    }

    /// Takes a region that was read from a file.
    pub(super) fn poll_region_file(&mut self) {
        let Some((row, name, mut task)) = self.edit.region_file.take() else { return };
        match task.take() {
            None => self.edit.region_file = Some((row, name, task)),
            Some(Err(sentence)) => {
                self.notices.explain(Level::Error, format!("{name} is no region of this picture"), sentence);
            }
            Some(Ok(mask)) => {
                if let Some(document) = &mut self.document
                    && mask.source() == document.shown().picture.size()
                    && let Some(row) = document.draft.row_mut(row)
                {
                    row.mask = Some(mask);
                }
            }
        }
    }

    /// The tools above the picture.
    pub(super) fn region_toolbar(&mut self, ui: &Ui, area: Rect, place: usize) {
        let p = palette(ui.ctx());
        let mut done = false;
        Area::new(Id::unique("region tools"))
            .order(Order::Middle)
            .fixed_pos(pos2(area.center().x, area.top() + space::M))
            .pivot(Align2::CENTER_TOP)
            .constrain_to(area)
            .show(ui.ctx(), |ui| {
                Frame::new()
                    .fill(p.panel)
                    .stroke(p.outline())
                    .corner_radius(CornerRadius::same(radius::CARD))
                    .inner_margin(Margin::symmetric(10, 6))
                    .show(ui, |ui| {
                        let width = (area.width() - 2.0 * space::M - 20.0).min(520.0);
                        ui.set_max_width(width);
                        ui.spacing_mut().item_spacing = egui::vec2(2.0, 2.0);
                        let mut acts = |app: &mut Self, ui: &mut Ui| {
                            app.region_acts(ui);
                            ui.add_space(space::S);
                            done = TextButton::new("Done").primary().show(ui).on_hover_text("Esc").clicked();
                        };
                        ui.horizontal(|ui| {
                            ui.label(RichText::new(format!("Region of {}", place + 1)).color(p.series(place)));
                            ui.add_space(space::S);
                            self.region_shapes(ui);
                            if width >= IN_ONE_LINE {
                                ui.add_space(space::S);
                                acts(self, ui);
                            }
                        });
                        if width < IN_ONE_LINE {
                            ui.horizontal(|ui| acts(self, ui));
                        }
                        ui.horizontal_wrapped(|ui| self.region_sizes(ui));
                    });
            });
        if done {
            self.stop_painting();
        }
    }

    fn region_shapes(&mut self, ui: &mut Ui) {
        let now = self.edit.painting.as_ref().map(|painting| painting.tool);
        for act in RegionAct::ALL {
            if let RegionAct::Tool(tool) = act {
                self.region_button(ui, act, Some(tool) == now);
            }
        }
    }

    fn region_acts(&mut self, ui: &mut Ui) {
        for act in [RegionAct::Grow, RegionAct::Shrink, RegionAct::Invert, RegionAct::Clear] {
            self.region_button(ui, act, false);
        }
        self.more_regions(ui);
    }

    fn region_button(&mut self, ui: &mut Ui, act: RegionAct, selected: bool) {
        let help = match act {
            RegionAct::Tool(tool) => how(tool),
            _ => "",
        };
        let mut button = IconButton::new(act.icon(), act.title())
            .shortcut(Command::Region(act).keys(ui.ctx()))
            .selected(selected)
            .enabled(self.can_do_to_region(act));
        if !help.is_empty() {
            button = button.help(help);
        }
        if button.show(ui).clicked() {
            self.act(ui.ctx(), Command::Region(act));
        }
    }

    fn region_sizes(&mut self, ui: &mut Ui) {
        let p = palette(ui.ctx());
        ui.spacing_mut().item_spacing.x = space::XS;
        let Some(painting) = &mut self.edit.painting else { return };
        let tool = painting.tool;
        if matches!(tool, Tool::Brush | Tool::Eraser) {
            hint(ui, "Size");
            track(ui, "Brush size", &mut painting.radius, &Scale::new(BRUSH, 0.04, 0.005, 3), 90.0, p.accent);
            ui.add_space(space::S);
        }
        if let Some((_, Some(mask), (w, h))) = self.region_in_the_making() {
            let longer = f64::from(w.max(h));
            let mut feather = f64::from(mask.feather);
            hint(ui, "Soft edge");
            let scale = Scale::new(0.0..=(longer * 0.1).max(8.0).round(), (longer * 0.012).round(), 1.0, 0);
            track(ui, "Soft edge", &mut feather, &scale, 90.0, p.accent)
                .on_hover_text(format!("{feather:.0} px of the picture"));
            hint(ui, format!("{feather:.0} px"));
            if (feather - f64::from(mask.feather)).abs() > 1e-3 {
                mask.feather = feather as f32;
            }
            ui.add_space(space::S);
        } else {
            hint(ui, how(tool));
        }
    }

    /// Regions from elsewhere.
    fn more_regions(&mut self, ui: &mut Ui) {
        let button = IconButton::new(Icon::More, "More regions").show(ui);
        let names: Vec<String> =
            self.document.iter().flat_map(|d| d.regions.iter().map(|region| region.name.clone())).collect();
        let mut chosen = None;
        egui::Popup::menu(&button).show(|ui| {
            ui.set_min_width(220.0);
            for (name, sides) in READY {
                if ui.add(Button::new(name)).clicked() {
                    chosen = Some(Chosen::Ready(sides));
                }
            }
            ui.separator();
            for (index, name) in names.iter().enumerate() {
                ui.horizontal(|ui| {
                    let width = ui.available_width() - 28.0;
                    let item = Button::new(name.as_str()).truncate();
                    if ui.add_sized([width, 24.0], item).accessible_name(format!("Use region: {name}")).clicked() {
                        chosen = Some(Chosen::Kept(index));
                    }
                    if IconButton::new(Icon::Close, &format!("Forget region: {name}")).small().show(ui).clicked() {
                        chosen = Some(Chosen::Forget(index));
                    }
                });
            }
            for act in [RegionAct::Keep, RegionAct::FromFile] {
                if ui.add_enabled(self.can_do_to_region(act), Button::new(act.title())).clicked() {
                    chosen = Some(Chosen::Act(act));
                }
            }
            // A click by keyboard or screen reader closes it too.
            if chosen.is_some() {
                ui.close();
            }
        });
        match chosen {
            Some(Chosen::Ready([left, top, right, bottom])) => {
                self.record();
                if let Some((_, mask, size)) = self.region_in_the_making() {
                    let mask = mask.get_or_insert_with(|| Mask::new(size));
                    mask.rectangle(pos2(left, top), pos2(right, bottom), true);
                }
            }
            Some(Chosen::Kept(index)) => {
                self.record();
                if let Some(id) = self.edit.painting.as_ref().map(|painting| painting.row) {
                    self.use_kept_region(id, index);
                }
            }
            Some(Chosen::Forget(index)) => {
                self.record();
                if let Some(document) = self.document.as_mut().filter(|document| index < document.regions.len()) {
                    document.regions.remove(index);
                }
            }
            Some(Chosen::Act(act)) => self.act(ui.ctx(), Command::Region(act)),
            None => {}
        }
    }

    fn ask_for_a_region(&mut self, ctx: &Context) {
        let (dialogs, ctx) = (Arc::clone(self.dialogs()), ctx.clone());
        let folder = self.settings.now.folder.clone();
        self.ask_for_file(crate::app::opening::Purpose::Region, move || {
            let choice = dialogs.open_picture(folder.as_deref());
            ctx.request_repaint();
            Ok(choice)
        });
    }
}
