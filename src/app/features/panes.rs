//! What each pane shows: a model, a version of the picture and a map.

use egui::{Key, Rect, pos2};

use crate::app::document::{Document, VersionId};

/// Which of the chosen models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    #[default]
    A,
    B,
    /// Both models' features side by side, as the paper uses them.
    Both,
}

impl Slot {
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::Both => "A + B",
        }
    }
}

/// Which version of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that is chosen in the strip of versions.
    #[default]
    Shown,
    /// The one that it is compared with.
    Compared,
    /// Always this one.
    One(VersionId),
}

impl Which {
    /// The version it means now.
    pub(super) fn of(self, document: &Document) -> VersionId {
        match self {
            Self::Shown => document.standing.shown,
            Self::Compared => document.standing.compared,
            Self::One(id) => document.version(id).id,
        }
    }
}

/// What is drawn from the features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum MapKind {
    #[default]
    Pca,
    Clusters,
    Similarity,
    Norm,
    Difference,
}

impl MapKind {
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Pca, "PCA"),
        (Self::Clusters, "K-means"),
        (Self::Similarity, "Similarity"),
        (Self::Norm, "Norm"),
        (Self::Difference, "Difference"),
    ];

    pub(super) fn title(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, title)| title)
    }

    /// In the list of commands.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Pca => "PCA map",
            Self::Clusters => "K-means map",
            Self::Similarity => "Similarity map",
            Self::Norm => "Map of norms",
            Self::Difference => "Difference map",
        }
    }

    /// With Alt.
    pub(crate) fn key(self) -> Key {
        match self {
            Self::Pca => Key::P,
            Self::Clusters => Key::K,
            Self::Similarity => Key::S,
            Self::Norm => Key::N,
            Self::Difference => Key::D,
        }
    }

    /// What its numbers are, where it has some.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Pca | Self::Clusters => "",
            Self::Similarity => "Cosine",
            Self::Norm => "Length of the features",
            Self::Difference => "1 − cosine",
        }
    }

    /// What the map shows, in a sentence.
    pub(super) fn explanation(self) -> &'static str {
        match self {
            Self::Pca => {
                "The three strongest directions of the features as red, green and blue: like colours, like features."
            }
            Self::Clusters => {
                "Patches that the model takes for the same kind of thing. Click one to choose its cluster."
            }
            Self::Similarity => {
                "How much every patch looks like the one under the pointer to the model. Click to hold it."
            }
            Self::Norm => "How long each patch's features are. Single bright patches are often artefacts of the model.",
            Self::Difference => "Where two models, or two versions, see something else: 1 − cosine of their features.",
        }
    }
}

/// One pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pane {
    pub(super) slot: Slot,
    pub(super) which: Which,
    pub(super) map: MapKind,
}

/// The most panes.
pub(super) const MOST: usize = 4;

/// The panes for `count`, those that are there kept. `two_models` and `two_versions` say what there is to compare.
pub(super) fn arrange(panes: &mut Vec<Pane>, count: usize, two_models: bool, two_versions: bool) {
    panes.truncate(count.clamp(1, MOST));
    while panes.len() < count.min(MOST) {
        let first = panes.first().copied().unwrap_or_default();
        let next = match panes.len() {
            0 => Pane::default(),
            1 if two_models => Pane { slot: Slot::B, ..first },
            1 if two_versions => Pane { which: Which::Compared, ..first },
            1 => Pane { map: MapKind::Clusters, ..first },
            at => {
                let above = panes.get(at - 2).copied().unwrap_or(first);
                let one_map = panes.iter().all(|pane| pane.map == first.map);
                let map = match (at, one_map, first.map) {
                    (2, true, MapKind::Clusters) => MapKind::Pca,
                    (2, true, _) => MapKind::Clusters,
                    (2, false, _) => MapKind::Similarity,
                    _ => panes.get(2).map_or(MapKind::Norm, |pane| pane.map),
                };
                let map = if at == 3 && !two_models && !two_versions { MapKind::Norm } else { map };
                Pane { map, ..above }
            }
        };
        panes.push(next);
    }
}

/// Where `count` panes lie in `area`, so that pictures of `size` pixels (width, height) become as large as can be.
pub(super) fn layout(area: Rect, count: usize, size: (u32, u32)) -> Vec<Rect> {
    const GAP: f32 = 6.0;
    let side = |columns: usize| {
        let rows = count.max(1).div_ceil(columns);
        let width = (area.width() - GAP * (columns as f32 - 1.0)) / columns as f32;
        (width, (area.height() - GAP * (rows as f32 - 1.0)) / rows as f32)
    };
    // A header and a rim take their part of every pane.
    let scale = |columns: usize| {
        let (width, height) = side(columns);
        ((width - 20.0) / size.0.max(1) as f32).min((height - 52.0) / size.1.max(1) as f32)
    };
    let columns = (1..=count.max(1)).max_by(|a, b| scale(*a).total_cmp(&scale(*b))).unwrap_or(1);
    let (width, height) = side(columns);
    (0..count.max(1))
        .map(|at| {
            let (column, row) = ((at % columns) as f32, (at / columns) as f32);
            let corner = pos2(area.left() + column * (width + GAP), area.top() + row * (height + GAP));
            Rect::from_min_size(corner, egui::vec2(width, height))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_panes_compare_what_there_is() {
        let mut panes = vec![Pane::default()];
        arrange(&mut panes, 2, true, true);
        assert_eq!(panes[1].slot, Slot::B);
        arrange(&mut panes, 4, true, true);
        assert_eq!(
            panes.iter().map(|p| (p.slot, p.map)).collect::<Vec<_>>(),
            [
                (Slot::A, MapKind::Pca),
                (Slot::B, MapKind::Pca),
                (Slot::A, MapKind::Clusters),
                (Slot::B, MapKind::Clusters),
            ]
        );
        arrange(&mut panes, 1, true, true);
        arrange(&mut panes, 2, false, true);
        assert_eq!(panes[1].which, Which::Compared);
        arrange(&mut panes, 1, false, false);
        arrange(&mut panes, 9, false, false);
        let maps: std::collections::HashSet<_> = panes.iter().map(|pane| pane.map).collect();
        assert_eq!((panes.len(), maps.len()), (4, 4), "one model and one version: four maps");
    }

    #[test]
    fn panes_fill_the_room_and_do_not_overlap() {
        let area = Rect::from_min_max(pos2(10.0, 20.0), pos2(810.0, 520.0));
        for count in 1..=4 {
            let rects = layout(area, count, (320, 240));
            assert_eq!(rects.len(), count);
            assert!(rects.iter().all(|rect| area.expand(0.1).contains_rect(*rect)));
            for (at, rect) in rects.iter().enumerate() {
                assert!(rects[at + 1..].iter().all(|other| !rect.intersects(*other)), "{rects:?}");
            }
        }
        let beside = |size| layout(area, 2, size)[0].top() == layout(area, 2, size)[1].top();
        assert!(beside((100, 300)) && !beside((900, 100)), "tall pictures side by side, wide ones one above the other");
    }
}
