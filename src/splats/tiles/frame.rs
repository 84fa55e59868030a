//! A scene from one camera: what is seen of it, in the order of depth.

use rayon::prelude::*;

use super::sort;
use crate::splats::gaussians::Gaussians;
use crate::splats::projection::{Footprint, View};
use crate::splats::raster::RasterRequest;

/// Gaussians that one thread projects at a time.
const PIECE: usize = 4096;

/// One Gaussian as tiles need it. With v and t the distances of a pixel from the centre along x and y, the exponent is
/// σ = h (v − k t)² + g t²: the same as the conic's, but a sum of squares, which for thin Gaussians is far more exact,
/// and of which all but one product is the same along a row.
#[derive(Clone, Copy, Debug)]
pub(in crate::splats) struct Drawn {
    /// Its centre, pixels.
    pub(in crate::splats) centre: [f32; 2],
    pub(in crate::splats) h: f32,
    pub(in crate::splats) g: f32,
    pub(in crate::splats) k: f32,
    /// The largest σ that a pixel keeps.
    pub(in crate::splats) limit: f32,
    pub(in crate::splats) opacity: f32,
    /// Half the sides of the box around its ellipse, pixels.
    pub(in crate::splats) extent: [f32; 2],
    /// How far below the centre the ellipse's rightmost point lies, pixels.
    pub(in crate::splats) lean: f32,
    pub(in crate::splats) depth: f32,
    /// Its place in the scene.
    pub(in crate::splats) index: u32,
}

impl Drawn {
    fn new(seen: &Footprint, index: usize) -> Self {
        let [xx, xy, yy] = seen.covariance;
        Self {
            centre: seen.centre,
            h: 0.5 * seen.conic[0],
            g: 0.5 / yy,
            k: xy / yy,
            limit: 0.5 * seen.reach * seen.reach,
            opacity: seen.opacity,
            extent: seen.extent,
            lean: xy / xx * seen.extent[0],
            depth: seen.depth,
            index: index as u32,
        }
    }

    /// Half the width of the ellipse at `t` below its centre, and the middle of that chord, both from the centre.
    #[inline(always)]
    pub(in crate::splats) fn chord(&self, t: f32) -> (f32, f32) {
        let rest = self.limit - self.g * t * t;
        // Computed in any case, so that eight rows are computed at once.
        let half = (rest.max(0.0) / self.h).sqrt();
        let half = if rest > 0.0 { half } else { 0.0 };
        (self.k * t, half)
    }
}

/// All that is seen of a scene.
#[derive(Debug)]
pub(in crate::splats) struct Frame {
    /// The camera and filter it is seen through.
    pub(in crate::splats) view: View,
    /// What is seen, in the scene's order.
    pub(in crate::splats) seen: Vec<Drawn>,
    /// The places in it, nearest first.
    pub(in crate::splats) order: Vec<u32>,
    /// What is seen, nearest first.
    pub(in crate::splats) drawn: Vec<Drawn>,
    pub(in crate::splats) width: usize,
    pub(in crate::splats) height: usize,
}

impl Frame {
    /// Projects and sorts.
    pub(in crate::splats) fn new(scene: &Gaussians, request: &RasterRequest<'_>) -> Self {
        let view = View::new(request.camera, request.filter);
        let pieces: Vec<Vec<Drawn>> = (0..scene.len().div_ceil(PIECE))
            .into_par_iter()
            .map(|piece| {
                let all = piece * PIECE..scene.len().min((piece + 1) * PIECE);
                let shown = all.filter(|index| request.visible.is_none_or(|visible| visible[*index]));
                shown.filter_map(|index| Some(Drawn::new(&view.project(scene, index)?, index))).collect()
            })
            .collect();
        let seen = pieces.concat();
        let depths: Vec<f32> = seen.par_iter().map(|drawn| drawn.depth).collect();
        let order = sort::by_depth(&depths);
        let drawn = order.par_iter().map(|at| seen[*at as usize]).collect();
        let (width, height) = (request.camera.width as usize, request.camera.height as usize);
        Self { view, seen, order, drawn, width, height }
    }
}
