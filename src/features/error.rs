//! Why features or a map of them cannot be had, in types for the engine and sentences for the person.

use crate::nets::watcher::Cancelled;
use crate::packs::PackError;
use crate::picture::resize::PlanError;

/// Why there are no features, or no map of them.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// The backbone's files.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The files hold something that is no vision transformer, or not all of one.
    #[error("{path} cannot be used as a backbone: {detail}")]
    Model {
        /// Its folder or file.
        path: String,
        /// A clause: what is wrong.
        detail: String,
    },
    /// The working size.
    #[error(transparent)]
    Size(#[from] PlanError),
    /// The picture has less than one patch of pixels.
    #[error(
        "the picture has {width} × {height} pixels, less than one patch of {patch} × {patch}: there is nothing to see in it"
    )]
    TooSmall {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// Side of a patch in pixels.
        patch: u32,
    },
    /// A layer that the model has not.
    #[error(
        "there is no layer {asked}: this model has the layers 1 to {depth} (0 is what enters the first, −1 the last)"
    )]
    Layer {
        /// What was asked for.
        asked: i64,
        /// Blocks of the model.
        depth: usize,
    },
    /// It needs more memory than there is.
    #[error("features of {width} × {height} pixels need about {needed} bytes, {available} are free")]
    OutOfMemory {
        /// Working width in pixels.
        width: u32,
        /// Working height in pixels.
        height: u32,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// Too few patches for what was asked.
    #[error("{what} needs at least {needed} patches, and there {} {patches}; choose a larger size", if *patches == 1 { "is" } else { "are" })]
    TooFewPatches {
        /// "a PCA map", "a foreground".
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        patches: usize,
    },
    /// Every patch has the same features.
    #[error("all patches look the same to the model, so there is nothing to tell apart; is the picture one colour?")]
    Constant,
    /// A number of clusters outside of what can be told apart by colours.
    #[error("{0} clusters cannot be made; choose {min} to {max}", min = super::kmeans::MIN_CLUSTERS, max = super::kmeans::MAX_CLUSTERS)]
    ClusterCount(usize),
    /// More clusters than patches.
    #[error("{clusters} clusters cannot be made of {patches} patches; choose fewer clusters or a larger size")]
    MoreClustersThanPatches {
        /// Clusters asked for.
        clusters: usize,
        /// Patches there are.
        patches: usize,
    },
    /// Features of different widths met.
    #[error("features of width {0} and of width {1} cannot be compared; choose models of equal width")]
    Widths(usize, usize),
    /// Grids of different shapes met where patches are paired.
    #[error("grids of {} × {} and {} × {} patches cannot be paired; choose the same size for both", .0.1, .0.0, .1.1, .1.0)]
    Grids((usize, usize), (usize, usize)),
    /// Numbers that are not numbers, from a broken model.
    #[error("the model gave values that are not numbers; its weights may be damaged")]
    NotFinite,
    /// A file that holds no basis.
    #[error("{path} holds no PCA basis: {detail}")]
    Basis {
        /// The file.
        path: String,
        /// A clause: what is wrong.
        detail: String,
    },
    /// A network failed, or the run was cancelled inside one.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The run was cancelled between two steps.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}
