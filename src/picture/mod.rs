//! Pictures on disk and in memory: decode, encode, orient, resize, regions, metadata. Knows nothing of models.

pub mod atomic;
mod colour;
pub mod decode;
pub mod detail;
pub mod encode;
mod header;
pub mod heatmap;
pub mod lettering;
pub mod limits;
pub mod metadata;
pub mod npy;
pub mod orient;
pub mod paths;
pub mod region;
pub mod resample;
pub mod resize;
pub mod sniff;

use std::path::PathBuf;
use std::sync::Arc;

use image::{GrayImage, RgbImage};

/// An opened picture: upright, sRGB, 8 bits a channel, whatever the file held.
///
/// Cheap to clone: pixels are shared.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What the person calls it: the file name, "Pasted picture", …
    pub name: String,
    /// The file it came from, if any.
    pub path: Option<PathBuf>,
    /// Pixels, upright, sRGB.
    pub rgb: Arc<RgbImage>,
    /// Straight (not premultiplied) opacity, if the file had any that is not 255 everywhere.
    pub alpha: Option<Arc<GrayImage>>,
    /// What the file held and what was done to it.
    pub facts: SourceFacts,
}

impl Picture {
    /// A picture made in memory (pasted, rendered, an edit's result).
    #[must_use]
    pub fn from_rgb(name: impl Into<String>, rgb: RgbImage) -> Self {
        let facts = SourceFacts { stored_size: rgb.dimensions(), ..SourceFacts::default() };
        Self { name: name.into(), path: None, rgb: Arc::new(rgb), alpha: None, facts }
    }

    /// The pixels as seen on a plain background where the picture is transparent; as they are where it is not.
    #[must_use]
    pub fn on_background(&self, background: [u8; 3]) -> Arc<RgbImage> {
        match &self.alpha {
            Some(alpha) => Arc::new(encode::flattened(&self.rgb, alpha, background)),
            None => Arc::clone(&self.rgb),
        }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.rgb.dimensions()
    }
}

/// What a file held before it became a [`Picture`]; shown to the person, never used to compute.
#[derive(Clone, Debug, Default)]
pub struct SourceFacts {
    /// "PNG", "JPEG", …; empty for pictures made in memory.
    pub format: String,
    /// Width and height as stored, before the orientation was applied.
    pub stored_size: (u32, u32),
    /// EXIF orientation 1..=8 that was applied (1: none); 0 if the file says nothing.
    pub orientation: u8,
    /// Bits a channel in the file.
    pub bits: u8,
    /// Sentences worth telling: "16-bit reduced to 8", "converted from Display P3", "first of 12 frames".
    pub notes: Vec<String>,
}
