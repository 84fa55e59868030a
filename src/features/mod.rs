//! The Features lens: what a vision transformer sees in a picture, as maps of its patch tokens.
//!
//! In the order of the method (spec/fit3d.md section 4): [`extract`] turns a picture into a [`grid::FeatureGrid`],
//! [`pca`], [`kmeans`] and [`similarity`] turn grids into numbers a patch, [`colour`] gives numbers colours,
//! [`upsample`] brings them to picture pixels, [`legend`] says below an exported map how to read it, [`region`] makes
//! regions of them; [`probe`] and [`scores`] measure what is in them. Plain functions over grids and pictures; grids are
//! cheap to clone and never change.

pub mod cache;
pub mod colour;
mod eigen;
mod error;
pub mod extract;
pub mod foreground;
pub mod grid;
pub mod kmeans;
pub mod legend;
mod matching;
pub mod pca;
pub mod probe;
pub mod region;
pub mod scores;
pub mod similarity;
pub mod upsample;

pub use error::FeatureError;
pub use grid::{FeatureGrid, Placement};

use crate::nets::watcher::{Unwatched, Watcher};

/// Where the lens's longer computations report; the same object that can stop them.
pub trait FeatureObserver: Watcher {
    /// A stage of `steps` steps begins (0: unknown).
    fn stage(&self, name: &str, steps: usize);
    /// `done` steps of the stage are done.
    fn step(&self, done: usize);
}

impl FeatureObserver for Unwatched {
    fn stage(&self, _: &str, _: usize) {}
    fn step(&self, _: usize) {}
}
