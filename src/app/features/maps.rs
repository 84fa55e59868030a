//! From features to what is drawn: a colour, a number or a cluster a patch; and these at picture size.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use egui::{Color32, ColorImage};
use image::{Rgb, RgbImage};

use super::analysis::Analysis;
use super::looking::{Seen, sentence};
use super::panes::MapKind;
use super::settings::FeatureSettings;
use crate::features::colour::{ColourScale, palette, tab20};
use crate::features::pca::{Colouring, Scores};
use crate::features::upsample::{self, Upsampling};
use crate::features::{Placement, similarity};

/// A map, a patch at a time, row by row.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A pixel a patch.
    Colours(Arc<RgbImage>),
    /// A number a patch, with what is at the beginning and the end of the scale. Below `cut` nothing is drawn.
    Values { values: Arc<Vec<f32>>, range: (f32, f32), scale: ColourScale, cut: Option<f32> },
    /// A cluster a patch, and the colour of each cluster; clear where it is hidden.
    Labels { labels: Arc<Vec<u16>>, colours: Arc<Vec<Color32>> },
}

/// The features that similarity is asked about and a number that changes with them, or why there are none.
pub(super) type Asked = Result<(u64, Arc<Vec<f32>>), String>;

/// What a map is made of besides the pane's own features.
pub(super) struct Ingredients<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) settings: &'a FeatureSettings,
    /// Places in the palette of clusters that are not drawn.
    pub(super) hidden: &'a BTreeSet<usize>,
    /// What similarity is asked about: the features, and a number that changes with them.
    pub(super) query: Option<Asked>,
    /// Below this cosine nothing is drawn.
    pub(super) cut: Option<f32>,
    /// What the features are held against.
    pub(super) other: Option<&'a Arc<Seen>>,
}

/// A map that can be made now, or why not.
pub(super) enum Recipe {
    /// What it will look like, as a number: the same number, the same map.
    Mark(u64),
    Waits,
    Says(String),
}

fn mark(of: &impl Hash) -> u64 {
    let mut hash = DefaultHasher::new();
    of.hash(&mut hash);
    hash.finish()
}

fn opaque(colour: Rgb<u8>) -> Color32 {
    Color32::from_rgb(colour.0[0], colour.0[1], colour.0[2])
}

impl Ingredients<'_> {
    /// Whether the map of these features can be made, without making it.
    pub(super) fn recipe(&self, kind: MapKind, seen: &Seen) -> Recipe {
        let display = &self.settings.display;
        let waits = |fault: Option<&str>| match fault {
            Some(fault) => Recipe::Says(fault.to_owned()),
            None => Recipe::Waits,
        };
        match kind {
            MapKind::Pca => {
                if let Some(fault) = self.analysis.pca_fault() {
                    return Recipe::Says(fault.to_owned());
                }
                let choice = &self.settings.pca;
                let rule = (choice.components, choice.rule as u8, choice.low.to_bits(), choice.high.to_bits());
                match self.analysis.pca(seen.id) {
                    Some((serial, _)) => Recipe::Mark(mark(&(kind, serial, seen.id, rule))),
                    None => waits(None),
                }
            }
            MapKind::Clusters => {
                if let Some(fault) = self.analysis.clusters_fault() {
                    return Recipe::Says(fault.to_owned());
                }
                match self.analysis.clusters(seen.id) {
                    Some((serial, _)) => {
                        Recipe::Mark(mark(&(kind, serial, seen.id, self.hidden, self.settings.clusters.as_paper)))
                    }
                    None => waits(None),
                }
            }
            MapKind::Similarity => match &self.query {
                None => Recipe::Says("Move over a patch, or draw a shape, to see what looks like it.".to_owned()),
                Some(Err(words)) => Recipe::Says(words.clone()),
                Some(Ok((number, vector))) if vector.len() == seen.tokens.patches.dim() => {
                    let cut = self.cut.map(f32::to_bits);
                    let scale = (display.scale, display.similarity.bits());
                    Recipe::Mark(mark(&(kind, seen.id, number, scale, cut)))
                }
                Some(Ok((_, vector))) => Recipe::Says(sentence(
                    &crate::features::FeatureError::Widths(vector.len(), seen.tokens.patches.dim()).to_string(),
                )),
            },
            MapKind::Norm => Recipe::Mark(mark(&(kind, seen.id, display.norm.bits(), display.scale))),
            MapKind::Difference => match self.other {
                None => Recipe::Waits,
                Some(other) => {
                    let (a, b) = (&seen.tokens.patches, &other.tokens.patches);
                    if a.shape() != b.shape() || a.dim() != b.dim() {
                        let words = similarity::difference(a, b).err().map(|error| error.to_string());
                        return Recipe::Says(sentence(&words.unwrap_or_default()));
                    }
                    let scale = (display.scale, display.difference.bits());
                    Recipe::Mark(mark(&(kind, seen.id, other.id, scale)))
                }
            },
        }
    }

    /// What makes the map. Call it where [`Self::recipe`] gave a mark.
    pub(super) fn maker(&self, kind: MapKind, seen: &Seen) -> Option<Maker> {
        let grid = seen.tokens.patches.clone();
        let numbers = grid.patches() * grid.dim();
        let scale = self.settings.display.scale;
        match kind {
            MapKind::Pca => {
                let (_, of) = self.analysis.pca(seen.id)?;
                let of = of.clone();
                let group: Vec<_> =
                    of.group.iter().filter_map(|id| self.analysis.pca(*id)).map(|(_, one)| one.clone()).collect();
                let (components, rule) = (self.settings.pca.components, self.settings.pca.range_rule());
                // Each component of all grids of the group is sorted.
                let effort = 100 * grid.patches() * group.len();
                let make = move || {
                    let maps: Vec<(&Scores, Option<&[bool]>)> =
                        group.iter().map(|one| (one.scores.as_ref(), one.only.as_deref().map(Vec::as_slice))).collect();
                    let colouring = Colouring::fit(&maps, components, rule);
                    let map = colouring.paint(&of.scores, of.only.as_deref().map(Vec::as_slice));
                    Some(Content::Colours(Arc::new(map)))
                };
                Some(Maker { effort, make: Box::new(make) })
            }
            MapKind::Clusters => {
                let (_, of) = self.analysis.clusters(seen.id)?;
                let places = of.clustering.colours();
                let colours = places.iter().enumerate().map(|(label, place)| {
                    if self.hidden.contains(place) {
                        Color32::TRANSPARENT
                    } else {
                        cluster_colour(self.settings.clusters.as_paper, label, *place, places.len())
                    }
                });
                let labels = Arc::new(of.clustering.labels(of.place).to_vec());
                let content = Content::Labels { labels, colours: Arc::new(colours.collect()) };
                Some(Maker { effort: 0, make: Box::new(move || Some(content)) })
            }
            MapKind::Similarity => {
                let (_, vector) = self.query.as_ref()?.as_ref().ok()?;
                let (vector, cut, ends) = (Arc::clone(vector), self.cut, self.settings.display.similarity.clone());
                let make = move || {
                    let values = similarity::to_vector(&grid, &vector).ok()?;
                    let range = ends.of(&values);
                    Some(Content::Values { values: Arc::new(values), range, scale, cut })
                };
                Some(Maker { effort: numbers, make: Box::new(make) })
            }
            MapKind::Norm => {
                let ends = self.settings.display.norm.clone();
                let effort = 30 * grid.patches();
                let make = move || {
                    let values = grid.norms().to_vec();
                    let range = ends.of(&values);
                    Some(Content::Values { values: Arc::new(values), range, scale, cut: None })
                };
                Some(Maker { effort, make: Box::new(make) })
            }
            MapKind::Difference => {
                let other = self.other?.tokens.patches.clone();
                let ends = self.settings.display.difference.clone();
                let make = move || {
                    let values = similarity::difference(&grid, &other).ok()?;
                    let (low, high) = ends.of(&values);
                    // What rounding alone changes must not look like something; nothing changed is the beginning.
                    let range =
                        if ends.fixed { (low, high) } else { (if ends.low > 0.0 { low } else { 0.0 }, high.max(1e-4)) };
                    Some(Content::Values { values: Arc::new(values), range, scale, cut: None })
                };
                Some(Maker { effort: numbers, make: Box::new(make) })
            }
        }
    }
}

/// How a map is made, and how much that is.
pub(super) struct Maker {
    /// Multiplications, roughly.
    effort: usize,
    make: Box<dyn FnOnce() -> Option<Content> + Send>,
}

impl Maker {
    /// A few milliseconds of one core: more is not for the thread that draws the window.
    const QUICK: usize = 4_000_000;

    pub(super) fn is_quick(&self) -> bool {
        self.effort <= Self::QUICK
    }

    pub(super) fn make(self) -> Option<Content> {
        (self.make)()
    }
}

/// The colour of a cluster: by its place in the palette, or as the paper has it.
pub(super) fn cluster_colour(as_paper: bool, label: usize, place: usize, clusters: usize) -> Color32 {
    opaque(if as_paper { tab20(label, clusters) } else { palette(place) })
}

impl Content {
    /// A pixel a patch.
    pub(super) fn patches(&self, place: &Placement) -> ColorImage {
        let (width, height) = (place.columns, place.rows);
        let pixels = match self {
            Self::Colours(map) => map.pixels().map(|pixel| opaque(*pixel)).collect(),
            Self::Values { values, range, scale, cut } => {
                values.iter().map(|value| value_colour(*value, *range, *scale, *cut)).collect()
            }
            Self::Labels { labels, colours } => labels.iter().map(|label| label_colour(*label, colours)).collect(),
        };
        ColorImage::new([width, height], pixels)
    }

    /// At `size` (width, height) over the whole picture `guide`.
    pub(super) fn enlarged(
        &self,
        place: &Placement,
        size: (u32, u32),
        how: Upsampling,
        guide: &RgbImage,
    ) -> ColorImage {
        let pixels: Vec<Color32> = match self {
            Self::Colours(map) => {
                upsample::colours(map, place, size, how, Some(guide)).pixels().map(|pixel| opaque(*pixel)).collect()
            }
            Self::Values { values, range, scale, cut } => {
                let values = upsample::values(values, place, size, how, Some(guide));
                values.into_iter().map(|value| value_colour(value, *range, *scale, *cut)).collect()
            }
            Self::Labels { labels, colours } => {
                let labels = upsample::labels(labels, place, size, how, Some(guide));
                labels.into_iter().map(|label| label_colour(label, colours)).collect()
            }
        };
        ColorImage::new([size.0 as usize, size.1 as usize], pixels)
    }

    /// Whether a blend of two patches' colours means something: not for clusters, which have no in-between.
    pub(super) fn blends(&self) -> bool {
        !matches!(self, Self::Labels { .. })
    }
}

fn value_colour(value: f32, (low, high): (f32, f32), scale: ColourScale, cut: Option<f32>) -> Color32 {
    if cut.is_some_and(|cut| value < cut) {
        return Color32::TRANSPARENT;
    }
    let extent = if high > low { high - low } else { 1.0 };
    opaque(scale.colour((value - low) / extent))
}

fn label_colour(label: u16, colours: &[Color32]) -> Color32 {
    colours.get(usize::from(label)).copied().unwrap_or(Color32::TRANSPARENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    fn place() -> Placement {
        Placement::new(&plan((40, 20), SizeRequest::Source, Fit::Squash, 10).unwrap(), 10)
    }

    #[test]
    fn what_is_cut_or_hidden_is_clear() {
        let picture = RgbImage::from_pixel(40, 20, Rgb([90; 3]));
        let values = Content::Values {
            values: Arc::new(vec![0.1, 0.2, 0.8, 0.9, 0.1, 0.2, 0.8, 0.9]),
            range: (0.0, 1.0),
            scale: ColourScale::Grey,
            cut: Some(0.5),
        };
        let map = values.patches(&place());
        assert_eq!((map.size, map.pixels[0], map.pixels[2]), ([4, 2], Color32::TRANSPARENT, Color32::from_gray(204)));
        let labels = Content::Labels {
            labels: Arc::new(vec![0, 0, 1, 1, 0, 0, 1, 1]),
            colours: Arc::new(vec![Color32::RED, Color32::TRANSPARENT]),
        };
        for how in [Upsampling::Nearest, Upsampling::Bilinear, Upsampling::Edges] {
            let map = labels.enlarged(&place(), (40, 20), how, &picture);
            assert_eq!((map.pixels[2], map.pixels[38]), (Color32::RED, Color32::TRANSPARENT));
            assert!(map.pixels.iter().all(|p| *p == Color32::RED || *p == Color32::TRANSPARENT), "no in-between");
        }
        assert!(values.blends() && !labels.blends());
    }
}
