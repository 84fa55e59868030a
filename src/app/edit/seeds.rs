//! The grid of seeds: four runs of one recipe that differ only in their seed, side by side; a click adopts one.

use egui::{Align2, Color32, Context, CornerRadius, CursorIcon, Rect, Role, Sense, StrokeKind, Ui, WidgetInfo, vec2};

use super::actions::any_seed;
use super::draft::Draft;
use super::made::{How, Made};
use super::runs::{Aim, Ended};
use crate::app::Glassbox;
use crate::app::document::VersionId;
use crate::app::icons::Icon;
use crate::app::notices::Level;
use crate::app::theme::{palette, radius, space};
use crate::app::widgets::buttons::IconButton;
use crate::app::widgets::compare::pill;
use crate::app::widgets::picture_view::PictureTexture;
use crate::app::widgets::progress;
use crate::picture::Picture;

/// One finished cell.
struct Cell {
    picture: Picture,
    made: Made,
    texture: PictureTexture,
    adopted: bool,
}

/// A grid that is open.
pub(crate) struct Seeds {
    title: String,
    base: VersionId,
    draft: Draft,
    seeds: [u64; 4],
    cells: [Option<Cell>; 4],
}

impl Seeds {
    pub(super) fn of(title: String, base: VersionId, made: &Made) -> Self {
        let first = any_seed();
        let seeds = std::array::from_fn(|n| first.wrapping_add(n as u64 * 7919) % 1_000_000);
        Self { title, base, draft: made.draft.clone(), seeds, cells: [const { None }; 4] }
    }

    /// What the four runs are asked.
    pub(super) fn drafts(&self) -> Vec<Draft> {
        let with = |seed: &u64| {
            let mut draft = self.draft.clone();
            draft.settings.seed = *seed;
            draft
        };
        self.seeds.iter().map(with).collect()
    }

    pub(super) fn fill(&mut self, ctx: &Context, cell: usize, picture: Picture, made: Made) {
        let texture = PictureTexture::new(ctx, picture.rgb.clone());
        if let Some(place) = self.cells.get_mut(cell) {
            *place = Some(Cell { picture, made, texture, adopted: false });
        }
    }
}

impl Glassbox {
    pub(in crate::app) fn seeds_are_open(&self) -> bool {
        self.edit.seeds.is_some()
    }

    /// Draws the grid in place of the picture.
    pub(in crate::app) fn seeds_grid(&mut self, ui: &mut Ui) {
        let Some(mut seeds) = self.edit.seeds.take() else { return };
        let mut close = false;
        ui.add_space(space::S);
        ui.horizontal(|ui| {
            ui.add_space(space::M);
            ui.label(format!("Four seeds of “{}”. Click one to keep it as a version.", seeds.title));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.add_space(space::M);
                close = IconButton::new(Icon::Close, "Close the grid of seeds").show(ui).clicked();
            });
        });
        let area = ui.available_rect_before_wrap().shrink(space::M);
        let gap = space::M;
        let size = (area.size() - vec2(gap, gap)) / 2.0;
        let mut adopted = None;
        for cell in 0..4 {
            let offset = vec2((cell % 2) as f32 * (size.x + gap), (cell / 2) as f32 * (size.y + gap));
            let rect = Rect::from_min_size(area.min + offset, size);
            if self.seed_cell(ui, &mut seeds, cell, rect) {
                adopted = Some(cell);
            }
        }
        self.edit.seeds = Some(seeds);
        if let Some(cell) = adopted {
            self.adopt(cell);
        }
        if close {
            self.close_grid_of_seeds();
        }
    }

    fn seed_cell(&self, ui: &Ui, seeds: &mut Seeds, cell: usize, rect: Rect) -> bool {
        let p = palette(ui.ctx());
        let seed = seeds.seeds[cell];
        let response = ui.interact(rect, ui.scope_id().with(("seed", cell)), Sense::click());
        let filled = seeds.cells[cell].is_some();
        response.widget_info(|| WidgetInfo::labeled(Role::Button, filled, format!("Keep seed {seed}")));
        let painter = ui.painter_at(rect);
        painter.rect_filled(rect, CornerRadius::same(radius::CARD), p.panel);
        let words;
        if let Some(cell) = &mut seeds.cells[cell] {
            let (w, h) = cell.texture.size();
            let scale = (rect.width() / w as f32).min(rect.height() / h as f32);
            let place = Rect::from_center_size(rect.center(), vec2(w as f32, h as f32) * scale);
            cell.texture.paint(&painter, place, Color32::WHITE);
            words = if cell.adopted { format!("Seed {seed}, kept") } else { format!("Seed {seed}") };
        } else {
            let run = self
                .edit
                .runs
                .all()
                .iter()
                .rev()
                .find(|run| run.aim == Aim::Cell(cell) && run.draft.settings.seed == seed);
            words = match run.map(|run| (&run.ended, run.monitor.snapshot())) {
                Some((Some(Ended::Failed(_)), _)) => format!("Seed {seed} failed"),
                Some((Some(Ended::Cancelled), _)) => format!("Seed {seed}, cancelled"),
                Some((_, snapshot)) if snapshot.steps > 0 => {
                    let bar = Rect::from_center_size(rect.center(), vec2(rect.width() * 0.4, 6.0));
                    progress::paint(&painter, p, bar, snapshot.step as f32 / snapshot.steps as f32, p.accent);
                    format!("Seed {seed}, step {} of {}", snapshot.step, snapshot.steps)
                }
                _ => format!("Seed {seed}, waiting"),
            };
        }
        pill(&painter, rect.left_top() + vec2(8.0, 8.0), Align2::LEFT_TOP, &words);
        if response.has_focus() || (filled && response.hovered()) {
            painter.rect_stroke(rect, CornerRadius::same(radius::CARD), p.focus_ring(), StrokeKind::Inside);
        }
        let clicked = response.clicked() && filled;
        if filled {
            response.on_hover_cursor(CursorIcon::PointingHand);
        }
        clicked
    }

    fn adopt(&mut self, cell: usize) {
        let Some(seeds) = &mut self.edit.seeds else { return };
        let base = seeds.base;
        let Some(cell) = seeds.cells.get_mut(cell).and_then(Option::as_mut) else { return };
        if cell.adopted {
            return;
        }
        cell.adopted = true;
        let (picture, made) = (cell.picture.clone(), cell.made.clone());
        let title = How::Seed.title(&made.draft);
        if let Some(document) = &mut self.document {
            document.add(base, title, picture, made);
            let folder = document.folder.clone();
            self.keep(&folder);
            self.notices.say(Level::Success, "Kept as a version");
        }
    }
}
