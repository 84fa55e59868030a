//! The GPU's rasteriser: projection in a compute pass, a radix sort, and quads blended from the farthest to the nearest.
//!
//! The decisions are those of spec/splats.md sections 0 to 5. [`device`] is a graphics device whose errors are values,
//! `scene` a scene on it in chunks below its binding limit, `pipelines` the compiled shaders, `frame` the passes of one
//! frame, `targets` the textures and the way back; `show` colours a view on the device and leaves it there for the
//! window. Blending from behind has no end: what lies behind T = 10⁻⁴ is still
//! added, and counted. The median depth is not a sum; it comes from the CPU's tiles.

pub mod device;
mod frame;
mod pipelines;
mod scene;
mod show;
mod targets;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use device::Gpu;
use frame::{Body, Encoder, Own, Source, VIEW, view_uniform};
use pipelines::{DrawKey, MOST_TARGETS, Pipelines};
use scene::SceneOnDevice;
pub use show::{OnScreen, Shape};
use targets::Targets;

use super::gaussians::Gaussians;
use super::raster::{Channels, Raster, RasterRequest, Rasteriser};
use super::selection::Marks;
use super::tiles;
use super::{SplatError, SplatObserver};

/// Numbers that sums are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sums {
    /// Half floats: quick, and some thousandths off.
    #[default]
    Half,
    /// Single floats where the device can blend them, else halves: for export.
    Single,
}

/// Draws scenes on a graphics device.
#[derive(Debug)]
pub struct GpuRasteriser {
    gpu: Gpu,
    pipelines: Pipelines,
    sums: Sums,
    /// No buffer that a shader sees is larger, bytes.
    limit: u64,
    scene: Option<(Arc<Gaussians>, SceneOnDevice)>,
    targets: Option<Targets>,
    /// What views for the window are made of, and those that are not looked at any more.
    stage: Option<show::Stage>,
}

/// One pass over the sorted Gaussians.
struct Pass {
    /// Sets of three channels, each for a target of its own.
    slots: Range<usize>,
    /// They are the caller's values.
    values: bool,
}

impl GpuRasteriser {
    /// One on this device.
    ///
    /// # Errors
    /// [`SplatError::Device`] if the shaders do not compile there.
    pub fn new(gpu: &Gpu, sums: Sums) -> Result<Self, SplatError> {
        let limits = gpu.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        Ok(Self {
            gpu: gpu.clone(),
            pipelines: Pipelines::new(gpu)?,
            sums,
            limit,
            scene: None,
            targets: None,
            stage: None,
        })
    }

    /// The same with buffers of at most so many bytes, as on a smaller device.
    #[must_use]
    pub fn with_buffers_of(mut self, bytes: u64) -> Self {
        self.limit = self.limit.min(bytes);
        self
    }

    fn format(&self) -> wgpu::TextureFormat {
        match self.sums {
            Sums::Single if self.gpu.blends_singles() => wgpu::TextureFormat::Rgba32Float,
            _ => wgpu::TextureFormat::Rgba16Float,
        }
    }

    /// The targets that a pass may have.
    fn most_targets(&self) -> usize {
        let pixel = if self.format() == wgpu::TextureFormat::Rgba32Float { 16 } else { 8 };
        let limits = self.gpu.limits();
        let most = limits.max_color_attachments.min(limits.max_color_attachment_bytes_per_sample / pixel);
        MOST_TARGETS.min(most.max(1) as usize)
    }

    /// The passes of a request; there is always one, for alpha.
    fn passes(&self, own: &Own, dim: usize) -> Vec<Pass> {
        let most = self.most_targets();
        let cut = |slots: usize, values: bool| {
            (0..slots).step_by(most).map(move |first| Pass { slots: first..slots.min(first + most), values })
        };
        let mut passes: Vec<Pass> = cut(own.slots(), false).chain(cut(dim.div_ceil(3), true)).collect();
        if passes.is_empty() {
            passes.push(Pass { slots: 0..1, values: false });
        }
        passes
    }

    /// Targets of this size, those of the last frame if they fit.
    fn targets(&mut self, size: (u32, u32), count: usize) -> Result<Targets, SplatError> {
        let format = self.format();
        let fits = |old: &Targets| old.size == size && old.format == format && old.views.len() >= count;
        match self.targets.take().filter(fits) {
            Some(targets) => Ok(targets),
            None => Targets::new(&self.gpu, size, format, count),
        }
    }
}

impl Rasteriser for GpuRasteriser {
    fn describe(&self) -> String {
        self.gpu.name().to_owned()
    }

    fn set_scene(&mut self, scene: &Arc<Gaussians>) -> Result<(), SplatError> {
        if self.scene.as_ref().is_some_and(|(old, _)| old.revision() == scene.revision()) {
            return Ok(());
        }
        let on_device = SceneOnDevice::new(&self.gpu, scene, self.limit)?;
        self.scene = Some((Arc::clone(scene), on_device));
        Ok(())
    }

    fn render(&mut self, request: &RasterRequest<'_>, observer: &dyn SplatObserver) -> Result<Raster, SplatError> {
        let Some((scene, mut on_device)) = self.scene.take() else {
            return Err(SplatError::Request("there is no scene to draw".to_owned()));
        };
        // Whatever happens, the scene stays.
        let drawn = self.draw(&scene, &mut on_device, request, observer);
        self.scene = Some((Arc::clone(&scene), on_device));
        let mut raster = drawn?;
        if request.channels.median_depth {
            let channels = Channels { median_depth: true, ..Channels::default() };
            raster.median_depth =
                tiles::render(&scene, &RasterRequest { channels, ..*request }, observer)?.median_depth;
        }
        Ok(raster)
    }
}

impl GpuRasteriser {
    fn draw(
        &mut self,
        scene: &Gaussians,
        on_device: &mut SceneOnDevice,
        request: &RasterRequest<'_>,
        observer: &dyn SplatObserver,
    ) -> Result<Raster, SplatError> {
        request.check(scene)?;
        let size = (request.camera.width, request.camera.height);
        let own = Own::of(request);
        let dim = request.channels.values.map_or(0, |values| values.dim);
        let passes = self.passes(&own, dim);
        let widest = passes.iter().map(|pass| pass.slots.len()).max().unwrap_or(1);
        let mut targets = self.targets(size, widest)?;
        let mut raster = Raster::empty(request);
        let depth_scale = on_device.depth_scale(request.camera);
        let view = view_uniform(request, on_device.degree, &own, depth_scale, Body::OWN);
        let gpu = self.gpu.clone();
        observer.stage("Drawing", passes.len() + usize::from(request.channels.count));
        let mut sorted = false;
        let visible = request.visible.map(|visible| Marks::where_(scene.len(), |index| visible[index]));
        on_device.mark(&gpu, visible.as_ref(), None);
        for (index, pass) in passes.iter().enumerate() {
            observer.checkpoint()?;
            let stride = 3 * pass.slots.len();
            if let Some(values) = request.channels.values.filter(|_| pass.values) {
                let range = 3 * pass.slots.start..dim.min(3 * pass.slots.end);
                gpu.checked("values of each Gaussian", || {
                    on_device.bring(&gpu, (values.values, dim), &range, stride, None);
                    Ok(())
                })?;
            }
            let source = if pass.values {
                Source { values: true, stride, offset: 0 }
            } else {
                Source { values: false, stride: own.stride as usize, offset: 3 * pass.slots.start }
            };
            let key = DrawKey { targets: pass.slots.len(), format: targets.format, counts: false };
            self.submit(on_device, &view, &mut targets, key, source, &mut sorted)?;
            let mut place = Placing { raster: &mut raster, own: &own, pass, dim, depth_scale };
            targets.read(&gpu, key.targets, &mut |target, pixel, value| place.take(target, pixel, value))?;
            observer.step(index + 1);
        }
        if request.channels.count {
            observer.checkpoint()?;
            let key = DrawKey { targets: 1, format: targets.format, counts: true };
            let source = Source { values: false, stride: own.stride as usize, offset: 0 };
            self.submit(on_device, &view, &mut targets, key, source, &mut sorted)?;
            targets.read(&gpu, 1, &mut |_, pixel, value| raster.count[pixel] = value[0] as u32)?;
        }
        // Σ w z becomes the expected depth.
        for (depth, alpha) in raster.depth.iter_mut().zip(&raster.alpha) {
            *depth = if *alpha > 0.0 { *depth / alpha } else { 0.0 };
        }
        self.targets = Some(targets);
        Ok(raster)
    }

    /// Draws one pass and copies its targets; the first of a frame projects and sorts.
    fn submit(
        &mut self,
        scene: &SceneOnDevice,
        view: &[u32; VIEW],
        targets: &mut Targets,
        key: DrawKey,
        source: Source,
        sorted: &mut bool,
    ) -> Result<(), SplatError> {
        let gpu = self.gpu.clone();
        let mut frame = Encoder::new(&gpu, &mut self.pipelines, scene, view);
        gpu.checked("drawing", || {
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            if !std::mem::replace(sorted, true) {
                frame.prepare(&mut encoder);
            }
            frame.draw(&mut encoder, key, &targets.views[..key.targets], source)?;
            targets.copy(&gpu, &mut encoder, key.targets);
            gpu.queue.submit([encoder.finish()]);
            Ok(())
        })
    }
}

/// Brings what the targets hold to the maps.
struct Placing<'a> {
    raster: &'a mut Raster,
    own: &'a Own,
    pass: &'a Pass,
    dim: usize,
    depth_scale: f32,
}

impl Placing<'_> {
    #[inline]
    fn take(&mut self, target: usize, pixel: usize, [x, y, z, alpha]: [f32; 4]) {
        let (slot, three) = (self.pass.slots.start + target, [x, y, z]);
        if target == 0 {
            self.raster.alpha[pixel] = alpha;
        }
        if self.pass.values {
            let first = 3 * slot;
            let taken = self.dim.min(first + 3) - first;
            self.raster.values[pixel * self.dim + first..][..taken].copy_from_slice(&three[..taken]);
            return;
        }
        let at = Some(3 * slot as u32);
        if at == self.own.colour {
            self.raster.colour[3 * pixel..3 * pixel + 3].copy_from_slice(&three);
        } else if at == self.own.depth {
            self.raster.depth[pixel] = x / self.depth_scale;
        } else if at == self.own.normal {
            self.raster.normals[3 * pixel..3 * pixel + 3].copy_from_slice(&three);
        }
    }
}
