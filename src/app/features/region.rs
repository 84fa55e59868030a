//! Clusters, thresholds and shapes become named regions of the picture, which the Edit lens offers.

use std::sync::Arc;

use egui::{Context, Ui};

use super::panes::MapKind;
use super::query::Subject;
use crate::app::Glassbox;
use crate::app::background::Background;
use crate::app::icons::Icon;
use crate::app::mask::Mask;
use crate::app::notices::Level;
use crate::app::widgets::buttons::TextButton;
use crate::features::region::{Edge, at_least, in_clusters, of_patches};

/// What the active pane has to make a region of.
enum Source {
    Clusters(Vec<usize>),
    Similar,
    Foreground,
}

impl Glassbox {
    /// What a region can be made of now.
    fn source_of_region(&self) -> Option<Source> {
        let now = self.active_seen()?;
        match now.pane.map {
            MapKind::Clusters => {
                // Clusters that are chosen but not among these now make no region.
                let (_, of) = self.features.analysis.clusters(now.seen()?.id)?;
                let there =
                    of.clustering.colours().iter().copied().filter(|place| self.features.chosen.contains(place));
                let there: Vec<usize> = there.collect();
                (!there.is_empty()).then_some(Source::Clusters(there))
            }
            MapKind::Similarity if self.features.held.is_some() => Some(Source::Similar),
            MapKind::Pca if self.settings.now.features.pca.foreground => Some(Source::Foreground),
            _ => None,
        }
    }

    /// Whether there is something to make a region of.
    pub(in crate::app) fn can_make_a_region_of_features(&self) -> bool {
        self.features.making_region.is_none()
            && (self.source_of_region().is_some() || self.shape_on_the_picture().is_some())
    }

    /// The button below the panel.
    pub(super) fn region_button_of_map(&mut self, ui: &mut Ui) {
        let source = self.source_of_region();
        let shape = self.shape_on_the_picture().is_some();
        let (words, help) = match &source {
            Some(Source::Clusters(chosen)) if chosen.len() > 1 => (
                format!("Use {} clusters as region", chosen.len()),
                "A named region of this picture, offered in the Edit lens for any instruction",
            ),
            Some(Source::Foreground) => {
                ("Use foreground as region".to_owned(), "The foreground as a named region, offered in the Edit lens")
            }
            Some(Source::Similar) => (
                "Use what is alike as region".to_owned(),
                "The patches above the threshold as a named region, offered in the Edit lens",
            ),
            _ => (
                "Use as region".to_owned(),
                "Choose clusters, hold a patch of a similarity map, or draw a shape; it becomes a region for the Edit lens",
            ),
        };
        let enabled = source.is_some() && self.features.making_region.is_none();
        // Beside a second button, or in a narrow panel, there is room for the short form alone.
        let short = if shape || ui.available_width() < 350.0 { "Use as region" } else { &words };
        let button = TextButton::new(short).icon(Icon::Region).enabled(enabled).show(ui);
        let button = button.accessible_name(&words).on_hover_text(format!("{words}. {help}."));
        if button.clicked() {
            self.make_region(ui.ctx());
        }
        if shape {
            let button = TextButton::new("The shape").icon(Icon::Lasso).enabled(self.features.making_region.is_none());
            let button = button.show(ui).accessible_name("Use the shape as region");
            if button.on_hover_text("The box or lasso itself as a named region").clicked() {
                self.keep_shape();
            }
        }
    }

    /// Makes the region that the active pane stands for.
    pub(in crate::app) fn make_region(&mut self, ctx: &Context) {
        match self.source_of_region() {
            Some(Source::Clusters(places)) => self.region_of_clusters(ctx, &places),
            Some(Source::Similar) => {
                let Some(values) = self.cosines(self.features.active) else { return };
                let Some(seen) = self.active_seen().and_then(super::PaneNow::seen) else { return };
                let threshold = self.features.threshold as f32;
                let inside = at_least(values, threshold);
                let what = self.features.held.as_ref().map(|held| held.subject.words(seen.tokens.patches.placement()));
                let name = format!("like {}", what.unwrap_or_default());
                self.region_of_patches(ctx, name, inside);
            }
            Some(Source::Foreground) => {
                let only = self.active_seen().and_then(super::PaneNow::seen).and_then(|seen| {
                    let (_, of) = self.features.analysis.pca(seen.id)?;
                    of.only.clone()
                });
                let Some(only) = only else { return };
                let inside = only.iter().map(|inside| f32::from(u8::from(*inside))).collect();
                self.region_of_patches(ctx, "foreground".to_owned(), inside);
            }
            None => self.keep_shape(),
        }
    }

    /// Makes a region of the clusters at these places of the palette.
    pub(super) fn region_of_clusters(&mut self, ctx: &Context, places: &[usize]) {
        let Some(seen) = self.active_seen().and_then(super::PaneNow::seen) else { return };
        let Some((_, of)) = self.features.analysis.clusters(seen.id) else { return };
        let labels: Vec<u16> = of
            .clustering
            .colours()
            .iter()
            .enumerate()
            .filter(|(_, place)| places.contains(place))
            .filter_map(|(label, _)| u16::try_from(label).ok())
            .collect();
        let names: Vec<String> = labels
            .iter()
            .map(|label| {
                let label = usize::from(*label);
                let place = of.clustering.colours().get(label).copied().unwrap_or(label);
                self.features.cluster_name(place, label)
            })
            .collect();
        let inside = in_clusters(of.clustering.labels(of.place), &labels);
        self.region_of_patches(ctx, names.join(" and "), inside);
    }

    /// Makes a region of patches in the background.
    fn region_of_patches(&mut self, ctx: &Context, name: String, inside: Vec<f32>) {
        let Some(now) = self.active_seen() else { return };
        let Some(seen) = now.seen() else { return };
        if inside.iter().all(|value| *value == 0.0) {
            self.notices.explain(
                Level::Info,
                "There is no region",
                "No patch is in it; lower the threshold, or choose something else.",
            );
            return;
        }
        let (place, rgb, ctx) = (seen.tokens.patches.placement().clone(), Arc::clone(&now.rgb), ctx.clone());
        self.features.making_region = Some(Background::start("make a region", move || {
            let mask = Mask::from_region(&of_patches(&place, &inside, Edge::default(), &rgb));
            ctx.request_repaint();
            if mask.is_empty() {
                return Err("It is smaller than what a region can hold.".to_owned());
            }
            Ok((name, mask))
        }));
    }

    /// The box or lasso that is held, as corners on the picture (0..=1 both ways).
    fn shape_on_the_picture(&self) -> Option<(String, Vec<egui::Pos2>)> {
        match &self.features.held.as_ref()?.subject {
            Subject::Box(rect) => {
                let corners = vec![rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom()];
                Some(("box".to_owned(), corners))
            }
            Subject::Lasso(points) => Some(("lasso".to_owned(), points.clone())),
            _ => None,
        }
    }

    fn keep_shape(&mut self) {
        let Some((name, corners)) = self.shape_on_the_picture() else { return };
        let Some(size) = self.features.active_now().map(|now| now.rgb.dimensions()) else { return };
        let mut mask = Mask::new(size);
        mask.polygon(&corners, true);
        if !mask.is_empty() {
            self.keep_region(&name, mask);
        }
    }

    fn keep_region(&mut self, name: &str, mask: Mask) {
        self.record();
        let Some(document) = &mut self.document else { return };
        let share = mask.share() * 100.0;
        let kept = document.keep_region(name, mask);
        let words =
            format!("It covers {share:.0} % of the picture. The Edit lens offers it in each instruction's menu.");
        self.notices.explain(Level::Success, format!("Kept as “{kept}”"), words);
    }

    /// Takes a region that was made.
    pub(super) fn poll_region_of_features(&mut self) {
        let Some(made) = self.features.making_region.as_mut().and_then(Background::take) else { return };
        self.features.making_region = None;
        match made {
            Ok((name, mask)) => self.keep_region(&name, mask),
            Err(words) => self.notices.explain(Level::Error, "There is no region", words),
        }
    }
}
