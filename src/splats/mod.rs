//! The Splats lens: scenes of 3D Gaussians that may carry features, seen from any camera.
//!
//! In the order of the method (spec/splats.md section 2): [`gaussians`] is a scene in memory and [`camera`] an eye on it,
//! [`harmonics`] gives a Gaussian its colour from there, [`projection`] its place and shape in the picture; [`raster`]
//! says what can be asked of a rasteriser and what comes back, so that the CPU's [`tiles`] and the GPU's quads stand behind
//! one trait, and [`shading`] how maps become a picture; [`selection`] marks Gaussians; [`lift`] puts features of
//! photographs onto the Gaussians, [`fit`] fits them, [`picture`] makes a scene of one picture with depth ([`disparity`]
//! where a model tells only relative depth), [`io`] has the files. Plain functions over plain numbers: nothing in here knows of networks, windows or threads of others.

pub mod camera;
pub mod disparity;
mod error;
pub mod fit;
pub mod gaussians;
pub mod gpu;
pub mod harmonics;
pub mod io;
pub mod lift;
pub mod picture;
pub mod projection;
pub mod raster;
pub mod selection;
pub mod shading;
pub mod tiles;

pub use error::SplatError;
pub use gaussians::Gaussians;

use crate::nets::watcher::Cancelled;

/// Where longer work on scenes reports, and who can stop it.
pub trait SplatObserver: Sync {
    /// A stage of `steps` steps begins (0: unknown).
    fn stage(&self, name: &str, steps: usize);
    /// `done` steps of the stage are done.
    fn step(&self, done: usize);
    /// Whether to go on.
    ///
    /// # Errors
    /// [`Cancelled`] when the person wants the work stopped.
    fn checkpoint(&self) -> Result<(), Cancelled>;
}

/// Watches nothing and never stops anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl SplatObserver for Unobserved {
    fn stage(&self, _: &str, _: usize) {}
    fn step(&self, _: usize) {}
    fn checkpoint(&self) -> Result<(), Cancelled> {
        Ok(())
    }
}
