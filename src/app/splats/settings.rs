//! What the person chose in the Splats lens, kept between runs of the program.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::drawing::{Mode, Renderer};

/// Which way is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Up {
    /// −y: most scenes from photographs.
    #[default]
    NegativeY,
    Y,
    Z,
    NegativeZ,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SplatSettings {
    pub(crate) mode: Mode,
    /// Of the mode over the colours, 0..=1.
    pub(crate) share: f64,
    pub(crate) clusters: usize,
    pub(crate) up: Up,
    /// The vertical field of view in degrees.
    pub(crate) fov: f64,
    /// The antialiased filter or the classic one; what the scene was made for if `None`.
    pub(crate) antialiased: Option<bool>,
    pub(crate) renderer: Renderer,
    /// Components are those of the Features lens, where they fit.
    pub(crate) shared_basis: bool,
    /// The cameras of the photographs are drawn.
    pub(crate) frustums: bool,
    /// Tells how far away things are when a picture is lifted; the first that is here if `None`.
    pub(crate) depth_model: Option<String>,
    /// What a lifted picture's camera saw along the longer side, degrees.
    pub(crate) lift_fov: f64,
    /// Gaussians of a lifted picture at most, thousands.
    pub(crate) lift_thousands: f64,
    /// Scenes opened last, newest first.
    pub(crate) recent: Vec<PathBuf>,
}

/// So many scenes are remembered.
const RECENT: usize = 8;

impl SplatSettings {
    /// Puts a scene in front of those that were opened.
    pub(crate) fn remember(&mut self, path: &Path) {
        self.recent.retain(|known| known != path);
        self.recent.insert(0, path.to_owned());
        self.recent.truncate(RECENT);
    }

    pub(crate) fn show_similarity(&mut self) {
        self.mode = Mode::Similarity;
    }
}

impl Default for SplatSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Colour,
            share: 1.0,
            clusters: 8,
            up: Up::NegativeY,
            fov: 45.0,
            antialiased: None,
            renderer: Renderer::Automatic,
            shared_basis: false,
            frustums: false,
            depth_model: None,
            lift_fov: 60.0,
            lift_thousands: 100.0,
            recent: Vec::new(),
        }
    }
}
