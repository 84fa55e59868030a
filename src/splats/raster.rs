//! What can be asked of a rasteriser and what comes back: one trait for the CPU's tiles and the GPU's quads.
//!
//! Whatever is blended is blended with the same weights w = α T (spec/splats.md section 2 step 9), front to back by the
//! depth of the centres. Results are premultiplied: nothing behind the scene is added, and a map of features divided by
//! its alpha is the mean feature of what is seen.

use std::sync::Arc;

use super::camera::Camera;
use super::gaussians::Gaussians;
use super::projection::Filter;
use super::{SplatError, SplatObserver};

/// What is to be blended over the picture.
#[derive(Clone, Copy, Debug)]
pub struct RasterRequest<'a> {
    /// The eye.
    pub camera: &'a Camera,
    /// What happens to Gaussians smaller than pixels.
    pub filter: Filter,
    /// Degrees of spherical harmonics that colours take part of; those a scene has not are no fault.
    pub sh_degree: usize,
    /// Which maps are wanted.
    pub channels: Channels<'a>,
    /// The Gaussians that are drawn, `[n]`; all of them if `None`.
    pub visible: Option<&'a [bool]>,
}

/// The maps a picture may have. Alpha always comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Channels<'a> {
    /// Colour by spherical harmonics.
    pub colour: bool,
    /// The expected depth, Σ w z / Σ w.
    pub depth: bool,
    /// The depth of the Gaussian that takes the light below one half: where a finger would touch the scene.
    pub median_depth: bool,
    /// Normals: the shortest axis of each Gaussian, turned towards the camera.
    pub normals: bool,
    /// How many Gaussians each pixel blends.
    pub count: bool,
    /// Numbers of the caller's, one vector for each Gaussian: features, or any linear map of them.
    pub values: Option<Values<'a>>,
}

/// Numbers to blend.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Channels of each Gaussian, at least 1.
    pub dim: usize,
    /// `[n, dim]`.
    pub values: &'a [f32],
}

/// Maps of one view, row by row. Those that were not asked for are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raster {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Σ w · colour, `[height, width, 3]`, sRGB-encoded as the scene's photographs, premultiplied, before any background.
    pub colour: Vec<f32>,
    /// Σ w, `[height, width]`, 0..1.
    pub alpha: Vec<f32>,
    /// The expected depth along the camera's z axis, `[height, width]`, world units; 0 where nothing is seen.
    pub depth: Vec<f32>,
    /// The median depth, `[height, width]`; 0 where less than half of the light is taken.
    pub median_depth: Vec<f32>,
    /// Σ w · normal in camera axes, `[height, width, 3]`, premultiplied.
    pub normals: Vec<f32>,
    /// Gaussians that took part in each pixel, `[height, width]`.
    pub count: Vec<u32>,
    /// Σ w · values, `[height, width, dim]`, premultiplied.
    pub values: Vec<f32>,
}

/// Something that draws scenes. It keeps the scene as suits it; requests then name only what changes.
pub trait Rasteriser {
    /// What it is, for a person: "CPU tiles, 8 threads".
    fn describe(&self) -> String;

    /// Takes a scene to draw from now on. The old one stays if this fails.
    ///
    /// # Errors
    /// If it does not fit on the device.
    fn set_scene(&mut self, scene: &Arc<Gaussians>) -> Result<(), SplatError>;

    /// Draws one view of the scene.
    ///
    /// # Errors
    /// If there is no scene, the request does not fit it, the device fails, or the observer wants it stopped.
    fn render(&mut self, request: &RasterRequest<'_>, observer: &dyn SplatObserver) -> Result<Raster, SplatError>;
}

impl<'a> RasterRequest<'a> {
    /// Colour alone, at the highest degree, all Gaussians, through the filter the scene was made for.
    #[must_use]
    pub fn colour(scene: &Gaussians, camera: &'a Camera) -> Self {
        let filter = if scene.antialiased() { Filter::Antialiased } else { Filter::Classic };
        let channels = Channels { colour: true, ..Channels::default() };
        Self { camera, filter, sh_degree: super::gaussians::MAX_SH_DEGREE, channels, visible: None }
    }

    /// Whether the request fits a scene.
    ///
    /// # Errors
    /// [`SplatError::Camera`] or [`SplatError::Request`], in a sentence.
    pub fn check(&self, scene: &Gaussians) -> Result<(), SplatError> {
        self.camera.checked()?;
        let n = scene.len();
        if let Some(visible) = self.visible.filter(|visible| visible.len() != n) {
            let text = format!("{} marks of visibility do not fit {n} Gaussians", visible.len());
            return Err(SplatError::Request(text));
        }
        if let Some(values) = &self.channels.values
            && (values.dim == 0 || n.checked_mul(values.dim) != Some(values.values.len()))
        {
            let text = format!("{} values of {} channels do not fit {n} Gaussians", values.values.len(), values.dim);
            return Err(SplatError::Request(text));
        }
        Ok(())
    }
}

impl Raster {
    /// The maps a request asks for, all zero.
    #[must_use]
    pub fn empty(request: &RasterRequest<'_>) -> Self {
        let (width, height) = (request.camera.width as usize, request.camera.height as usize);
        let pixels = width * height;
        let wanted = &request.channels;
        let map = |wanted: bool, dim: usize| if wanted { vec![0.0; pixels * dim] } else { Vec::new() };
        Self {
            width,
            height,
            colour: map(wanted.colour, 3),
            alpha: map(true, 1),
            depth: map(wanted.depth, 1),
            median_depth: map(wanted.median_depth, 1),
            normals: map(wanted.normals, 3),
            count: if wanted.count { vec![0; pixels] } else { Vec::new() },
            values: map(wanted.values.is_some(), wanted.values.map_or(0, |values| values.dim)),
        }
    }

    /// Bytes that the maps of a request take.
    #[must_use]
    pub fn bytes(request: &RasterRequest<'_>) -> u64 {
        let wanted = &request.channels;
        let flags = [(wanted.colour, 3), (true, 1), (wanted.depth, 1), (wanted.median_depth, 1), (wanted.normals, 3)];
        let dims: u64 = flags.iter().map(|(wanted, dim)| if *wanted { *dim } else { 0 }).sum();
        let dims = dims + u64::from(wanted.count) + wanted.values.map_or(0, |values| values.dim as u64);
        4 * dims * u64::from(request.camera.width) * u64::from(request.camera.height)
    }
}
