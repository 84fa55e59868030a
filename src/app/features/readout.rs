//! What is known of the patch under the pointer, in words; and what the model saw of the picture, for the status line.

use egui::{Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo, vec2};

use super::maps::Content;
use super::panes::MapKind;
use super::query::patch_under;
use crate::app::Glassbox;
use crate::app::icons::{self, Icon};
use crate::app::theme::{self, palette};
use crate::app::widgets::buttons::hint;
use crate::app::widgets::heatmap::number;

impl Glassbox {
    /// Lines on the patch that the cursor is at, as pane `index` sees it.
    pub(super) fn readout(&self, index: usize) -> Option<Vec<String>> {
        let (pane, at) = self.features.cursor?;
        if pane != index && !self.settings.now.features.linked {
            return None;
        }
        self.patch_in_words(index, at)
    }

    fn patch_in_words(&self, index: usize, at: Pos2) -> Option<Vec<String>> {
        let now = self.features.nows.get(index)?;
        let seen = now.seen()?;
        let grid = &seen.tokens.patches;
        let place = grid.placement();
        let (row, column) = patch_under(place, at)?;
        let patch = row * grid.width() + column;
        let mut lines = Vec::new();
        let value = match self.features.paints.get(index)?.map() {
            Some((Content::Values { values, .. }, _)) => values.get(patch).copied(),
            _ => None,
        };
        match now.pane.map {
            MapKind::Pca => {
                let (_, of) = self.features.analysis.pca(seen.id)?;
                let components = self.settings.now.features.pca.components;
                let values: Vec<String> = components
                    .iter()
                    .map(|component| {
                        let value = of.scores.at(patch, *component).unwrap_or_default();
                        format!("{} {}", component + 1, number(value))
                    })
                    .collect();
                lines.push(format!("Components {}", values.join("   ")));
            }
            MapKind::Clusters => {}
            MapKind::Similarity => lines.extend(value.map(|value| format!("Cosine {value:.2}"))),
            MapKind::Norm => {}
            MapKind::Difference => lines.extend(value.map(|value| format!("1 − cosine {value:.3}"))),
        }
        // The cluster in every map, as far as there are clusters of these features.
        if let Some((_, of)) = self.features.analysis.clusters(seen.id) {
            let label = usize::from(*of.clustering.labels(of.place).get(patch)?);
            let colour = *of.clustering.colours().get(label)?;
            let name = self.features.cluster_name(colour, label);
            lines.push(format!("{name}, {} patches", of.sizes.get(label).copied().unwrap_or(0)));
        }
        lines.push(format!("Row {}, column {}", row + 1, column + 1));
        let [left, top, right, bottom] = place.patch_box(row, column).map(f64::round);
        lines.push(format!("x {left}–{right}   y {top}–{bottom}"));
        lines.push(format!("Length {}", number(grid.norms().get(patch).copied().unwrap_or_default())));
        Some(lines)
    }

    /// What the model saw, at the right of the status line.
    pub(in crate::app) fn features_status(&self, ui: &mut Ui) {
        let Some(seen) = self.features.active_now().and_then(super::PaneNow::seen) else { return };
        let grid = &seen.tokens.patches;
        let (width, height) = grid.placement().plan.working;
        let help = format!(
            "What the model saw: the picture at {width} × {height} pixels, cut into {} × {} patches; {} numbers a patch, layer {}",
            grid.width(),
            grid.height(),
            grid.dim(),
            seen.tokens.layer
        );
        let sizes = (format!("{width} × {height}"), format!("{} × {}", grid.width(), grid.height()));
        becomes(ui, &sizes.0, &sizes.1).on_hover_text(help);
        if let Some((pane, at)) = self.features.cursor
            && let Some(lines) = self.patch_in_words(pane, at)
            && ui.available_width() > 520.0
        {
            // The place is in the line already, as the pixel under the pointer.
            let words: Vec<String> = lines.into_iter().filter(|line| !line.starts_with("x ")).collect();
            hint(ui, words.join("   "));
        }
    }
}

/// Two words with an arrow between them, which not every font has.
fn becomes(ui: &mut Ui, from: &str, to: &str) -> Response {
    const ARROW: f32 = 20.0;
    let p = palette(ui.ctx());
    let words = [from, to].map(|text| ui.painter().layout_no_wrap(text.to_owned(), theme::small(), p.muted));
    let size = vec2(words[0].size().x + ARROW + words[1].size().x, words[0].size().y);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{from} → {to}")));
    let arrow = Rect::from_min_size(rect.min + vec2(words[0].size().x, 0.0), vec2(ARROW, rect.height()));
    icons::paint(ui.painter(), arrow, 12.0, Icon::Becomes, p.muted);
    let [first, second] = words;
    ui.painter().galley(rect.min, first, p.muted);
    ui.painter().galley(egui::pos2(arrow.right(), rect.top()), second, p.muted);
    response
}
