//! The CPU's rasteriser: tiles of the picture, each blended front to back by one thread at a time.
//!
//! A frame runs through [`frame`] (projection and depth order), [`bins`] (which Gaussians meet which tile, exactly) and
//! [`blend`] (the weights, 8 pixels at a time, handed to a sink: sums of maps here, lifting elsewhere). Every number is
//! the same whatever the number of threads and whatever the processor: threads never share a sum, and vectors are used
//! lane by lane only.

pub(super) mod bins;
pub(super) mod blend;
mod deferred;
pub(super) mod frame;
mod maps;
mod sort;
mod windows;

use std::sync::Arc;

use super::gaussians::Gaussians;
use super::raster::{Raster, RasterRequest, Rasteriser};
use super::{SplatError, SplatObserver};

/// Draws scenes on the processor.
#[derive(Debug, Default)]
pub struct TileRasteriser {
    scene: Option<Arc<Gaussians>>,
}

impl TileRasteriser {
    /// One that draws `scene`.
    #[must_use]
    pub fn of(scene: &Arc<Gaussians>) -> Self {
        Self { scene: Some(Arc::clone(scene)) }
    }
}

impl Rasteriser for TileRasteriser {
    fn describe(&self) -> String {
        let threads = rayon::current_num_threads();
        format!("CPU tiles, {threads} {}", if threads == 1 { "thread" } else { "threads" })
    }

    fn set_scene(&mut self, scene: &Arc<Gaussians>) -> Result<(), SplatError> {
        self.scene = Some(Arc::clone(scene));
        Ok(())
    }

    fn render(&mut self, request: &RasterRequest<'_>, observer: &dyn SplatObserver) -> Result<Raster, SplatError> {
        let Some(scene) = &self.scene else {
            return Err(SplatError::Request("there is no scene to draw".to_owned()));
        };
        render(scene, request, observer)
    }
}

/// Draws one view of a scene.
///
/// # Errors
/// If the request does not fit the scene, or the observer wants it stopped.
pub fn render(
    scene: &Gaussians,
    request: &RasterRequest<'_>,
    observer: &dyn SplatObserver,
) -> Result<Raster, SplatError> {
    request.check(scene)?;
    let frame = frame::Frame::new(scene, request);
    observer.checkpoint()?;
    maps::render(scene, request, &frame, observer)
}

#[cfg(test)]
pub(crate) mod tests;
