//! What the person chose in the Splats lens, kept between runs of the program.

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
        }
    }
}
