//! Clusters and thresholds as regions of the picture: what ties this lens to the others.

use image::{GrayImage, Luma, RgbImage};

use super::Placement;
use super::upsample::{self, Upsampling};
use crate::picture::region::Region;

/// Longer side at which a region's edge is found; it is enlarged from there.
const LONGEST: u32 = 1536;

/// How a region's edge runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// From patches to pixels.
    pub upsampling: Upsampling,
    /// How soft: 0 is a hard edge, 1 one that is as wide as the way from one patch to the next.
    pub softness: f32,
}

impl Default for Edge {
    fn default() -> Self {
        Self { upsampling: Upsampling::Edges, softness: 0.5 }
    }
}

/// Which patches belong to one of `clusters`: 1 or 0 a patch.
#[must_use]
pub fn in_clusters(labels: &[u16], clusters: &[u16]) -> Vec<f32> {
    labels.iter().map(|label| f32::from(u8::from(clusters.contains(label)))).collect()
}

/// Which patches have at least `threshold`: 1 or 0 a patch.
#[must_use]
pub fn at_least(values: &[f32], threshold: f32) -> Vec<f32> {
    values.iter().map(|value| f32::from(u8::from(*value >= threshold))).collect()
}

/// The region of the picture that patches make up, each as far as it is `inside` (0..=1, row by row).
#[must_use]
pub fn of_patches(place: &Placement, inside: &[f32], edge: Edge, picture: &RgbImage) -> Region {
    let source = place.plan.source;
    let longer = source.0.max(source.1).max(1);
    let scaled = |side: u32| {
        let share = u64::from(side) * u64::from(LONGEST) / u64::from(longer);
        (share as u32).max(1)
    };
    let size = if longer > LONGEST { (scaled(source.0), scaled(source.1)) } else { source };
    let map = upsample::values(inside, place, size, edge.upsampling, Some(picture));
    let softness = edge.softness.clamp(0.0, 1.0);
    let mask = GrayImage::from_fn(size.0, size.1, |x, y| {
        let value = map[y as usize * size.0 as usize + x as usize];
        let share = if softness > 0.0 {
            let t = ((value - 0.5) / softness + 0.5).clamp(0.0, 1.0);
            t * t * (3.0 - 2.0 * t)
        } else {
            f32::from(u8::from(value >= 0.5))
        };
        Luma([(share * 255.0).round() as u8])
    });
    Region::from_mask(mask, source)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    #[test]
    fn a_cluster_becomes_a_region_of_the_whole_picture() {
        let picture = RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([250, 250, 250]) } else { Rgb([5, 5, 5]) });
        let place = Placement::new(&plan((64, 32), SizeRequest::Source, Fit::Squash, 8).unwrap(), 8);
        let labels: Vec<u16> = (0..32).map(|at| if at % 8 < 4 { 2 } else { 7 }).collect();
        for upsampling in [Upsampling::Nearest, Upsampling::Bilinear, Upsampling::Edges] {
            let inside = in_clusters(&labels, &[2]);
            let region = of_patches(&place, &inside, Edge { upsampling, softness: 0.5 }, &picture);
            assert_eq!(region.size(), (64, 32));
            assert_eq!((region.mask().get_pixel(2, 9).0[0], region.mask().get_pixel(60, 9).0[0]), (255, 0));
            let hard = of_patches(&place, &inside, Edge { upsampling, softness: 0.0 }, &picture);
            assert!(hard.mask().iter().all(|value| *value == 0 || *value == 255));
            assert!(hard.mask().get_pixel(31, 3).0[0] == 255 && hard.mask().get_pixel(32, 3).0[0] == 0);
        }
        let soft = of_patches(
            &place,
            &in_clusters(&labels, &[2]),
            Edge { upsampling: Upsampling::Bilinear, softness: 1.0 },
            &picture,
        );
        assert!(soft.mask().iter().any(|value| (30..220).contains(value)));
        assert_eq!(at_least(&[0.1, 0.5, 0.9], 0.5), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn large_pictures_get_regions_of_their_size() {
        let picture = RgbImage::from_pixel(4000, 10, Rgb([9; 3]));
        let place = Placement::new(&plan((4000, 10), SizeRequest::LongerSide(80), Fit::Squash, 8).unwrap(), 8);
        let region = of_patches(&place, &vec![1.0; place.patches()], Edge::default(), &picture);
        assert_eq!(region.size(), (4000, 10));
        assert!(region.mask().iter().all(|value| *value == 255));
    }
}
