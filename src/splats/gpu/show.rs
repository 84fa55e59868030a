//! A view for the window: drawn, coloured and left on the device, so that nothing comes back to the processor but what is
//! asked for.
//!
//! The passes: what a mode blends is drawn as for [`super::Rasteriser`], `splat_fold` brings any number of channels to four
//! a pixel, `splat_range` finds the ends of depths and counts, `splat_shade` makes the picture and the depth beside it. The
//! steps are those of [`crate::splats::shading`], which does the same on the processor.

use std::sync::Arc;

use super::GpuRasteriser;
use super::device::Gpu;
use super::frame::{Body, Encoder, Own, Source, VIEW, uniform, view_uniform};
use super::pipelines::{DEPTH, DrawKey, FOLDED, MOST_TARGETS, PICTURE};
use super::scene::SceneOnDevice;
use super::targets::Targets;
use crate::splats::gaussians::{Gaussians, MAX_SH_DEGREE};
use crate::splats::raster::{Channels, RasterRequest};
use crate::splats::selection::Marks;
use crate::splats::shading::{Look, MOST_CLUSTERS, SCALE, Shown, Sight};
use crate::splats::{SplatError, SplatObserver};

/// What Gaussians are drawn as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As they are.
    #[default]
    Splats,
    /// Solid, a third of their size.
    Ellipsoids,
    /// A dot each.
    Centres,
}

impl Shape {
    fn body(self) -> Body {
        // The opacity is that of a logit of 6, as on the processor.
        match self {
            Self::Splats => Body::OWN,
            Self::Ellipsoids => Body { spread: (-1f32).exp(), solid: 0.997_527_4 },
            Self::Centres => Body { spread: 0.0, solid: 0.997_527_4 },
        }
    }
}

/// Blended maps are half floats: what is looked at has no use for more.
const BLENDED: wgpu::TextureFormat = wgpu::TextureFormat::Rgba16Float;
/// The most pictures that wait to be drawn into again.
const SPARE: usize = 3;
/// Words of the uniform `Fold`, and of the uniform `Look`.
const FOLD: usize = 4 + 4 * MOST_TARGETS;
const LOOK: usize = 20;

/// The textures of views of one size.
#[derive(Debug)]
pub(super) struct Stage {
    size: (u32, u32),
    own: Targets,
    values: Option<Targets>,
    count: Option<Targets>,
    folded: [wgpu::TextureView; 2],
    range: wgpu::Buffer,
    plates: Vec<Arc<Plate>>,
}

/// A picture and its depths.
#[derive(Debug)]
struct Plate {
    picture: wgpu::Texture,
    depth: wgpu::Texture,
    view: wgpu::TextureView,
}

/// A view that lies on the device. Clones share it; nothing is drawn into it while anyone has it.
#[derive(Clone, Debug)]
pub struct OnScreen {
    gpu: Gpu,
    size: (u32, u32),
    plate: Arc<Plate>,
}

impl OnScreen {
    /// The picture, `Rgba8Unorm`, premultiplied, sRGB-encoded.
    #[must_use]
    pub fn view(&self) -> &wgpu::TextureView {
        &self.plate.view
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The expected depth at a pixel, 0 where nothing is seen or there is no such pixel. Waits for the device.
    ///
    /// # Errors
    /// [`SplatError::Device`] if the device fails.
    pub fn depth_at(&self, x: u32, y: u32) -> Result<f32, SplatError> {
        if x >= self.size.0 || y >= self.size.1 {
            return Ok(0.0);
        }
        let bytes = self.read(&self.plate.depth, (x, y), (1, 1), 4)?;
        Ok(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[..4])[0])
    }

    /// The picture's pixels, row by row, premultiplied. Waits for the device.
    ///
    /// # Errors
    /// [`SplatError::Device`] if the device fails.
    pub fn pixels(&self) -> Result<Vec<[u8; 4]>, SplatError> {
        let (width, height) = self.size;
        let bytes = self.read(&self.plate.picture, (0, 0), (width, height), 4)?;
        let row = 4 * width as usize;
        let rows = bytes.chunks_exact(row.next_multiple_of(256)).take(height as usize);
        Ok(rows.flat_map(|bytes| bytemuck::cast_slice::<u8, [u8; 4]>(&bytes[..row]).iter().copied()).collect())
    }

    /// Part of a texture, its rows padded to 256 bytes.
    fn read(
        &self,
        texture: &wgpu::Texture,
        (x, y): (u32, u32),
        (width, height): (u32, u32),
        pixel: u32,
    ) -> Result<Vec<u8>, SplatError> {
        let gpu = &self.gpu;
        let row = (width * pixel).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = gpu.checked("reading a view", || {
            let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read"),
                size: u64::from(row) * u64::from(height),
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            });
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut from = texture.as_image_copy();
            from.origin = wgpu::Origin3d { x, y, z: 0 };
            let layout =
                wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: Some(height) };
            let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
            encoder.copy_texture_to_buffer(from, to, wgpu::Extent3d { width, height, depth_or_array_layers: 1 });
            gpu.queue.submit([encoder.finish()]);
            Ok(buffer)
        })?;
        let (sender, receiver) = std::sync::mpsc::channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        gpu.wait(&receiver)?;
        let bytes = buffer.get_mapped_range(..).map_err(|error| SplatError::Device(error.to_string()))?;
        Ok(bytes.to_vec())
    }
}

fn texture(gpu: &Gpu, (width, height): (u32, u32), format: wgpu::TextureFormat) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("view"),
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT
            | wgpu::TextureUsages::COPY_SRC
            | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    })
}

fn whole(texture: &wgpu::Texture) -> wgpu::TextureView {
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

impl Stage {
    fn new(gpu: &Gpu, size: (u32, u32)) -> Result<Self, SplatError> {
        let own = Targets::new(gpu, size, BLENDED, 3)?;
        gpu.checked(&format!("a view of {} × {} pixels", size.0, size.1), || {
            let range = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("range"),
                size: 8,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let folded = [(); 2].map(|()| whole(&texture(gpu, size, FOLDED)));
            Ok(Self { size, own, values: None, count: None, folded, range, plates: Vec::new() })
        })
    }

    /// Targets for values, at least so many.
    fn values(&mut self, gpu: &Gpu, count: usize) -> Result<&Targets, SplatError> {
        let fits = self.values.as_ref().is_some_and(|old| old.views.len() >= count);
        let values = match self.values.take().filter(|_| fits) {
            Some(values) => values,
            None => Targets::new(gpu, self.size, BLENDED, count)?,
        };
        Ok(self.values.insert(values))
    }

    fn count(&mut self, gpu: &Gpu) -> Result<&Targets, SplatError> {
        let count = match self.count.take() {
            Some(count) => count,
            None => Targets::new(gpu, self.size, BLENDED, 1)?,
        };
        Ok(self.count.insert(count))
    }

    /// A picture that nobody looks at.
    fn plate(&mut self, gpu: &Gpu) -> Result<Arc<Plate>, SplatError> {
        if let Some(free) = self.plates.iter().find(|plate| Arc::strong_count(plate) == 1) {
            return Ok(Arc::clone(free));
        }
        let made = gpu.checked("a picture for the window", || {
            let (picture, depth) = (texture(gpu, self.size, PICTURE), texture(gpu, self.size, DEPTH));
            Ok(Arc::new(Plate { view: whole(&picture), picture, depth }))
        })?;
        if self.plates.len() < SPARE {
            self.plates.push(Arc::clone(&made));
        }
        Ok(made)
    }
}

/// What a view is drawn with.
struct Showing<'a> {
    gpu: Gpu,
    on_device: &'a mut SceneOnDevice,
    stage: &'a mut Stage,
    view: [u32; VIEW],
    own: Own,
    /// Whether Gaussians are projected and sorted.
    sorted: bool,
}

impl GpuRasteriser {
    /// Draws a view of the scene and colours it; it stays on the device. Returns when it is drawn.
    ///
    /// # Errors
    /// If there is no scene, the look does not fit it, the device fails, or the observer wants it stopped.
    pub fn show(
        &mut self,
        sight: &Sight<'_>,
        look: &Look<'_>,
        shape: Shape,
        observer: &dyn SplatObserver,
    ) -> Result<OnScreen, SplatError> {
        let Some((scene, mut on_device)) = self.scene.take() else {
            return Err(SplatError::Request("there is no scene to draw".to_owned()));
        };
        // Whatever happens, the scene stays.
        let shown = self.show_scene(&scene, &mut on_device, sight, look, shape, observer);
        self.scene = Some((scene, on_device));
        shown
    }

    fn show_scene(
        &mut self,
        scene: &Gaussians,
        on_device: &mut SceneOnDevice,
        sight: &Sight<'_>,
        look: &Look<'_>,
        shape: Shape,
        observer: &dyn SplatObserver,
    ) -> Result<OnScreen, SplatError> {
        look.shown.check()?;
        let channels = Channels {
            colour: look.shown.is_colour() || look.share < 1.0,
            depth: true,
            normals: matches!(look.shown, Shown::Normals),
            values: look.shown.numbers().map(|numbers| numbers.values),
            ..Channels::default()
        };
        let request = RasterRequest {
            camera: sight.camera,
            filter: sight.filter,
            sh_degree: MAX_SH_DEGREE,
            channels,
            visible: None,
        };
        request.check(scene)?;
        if let Some(marks) =
            [sight.visible, look.selected].into_iter().flatten().find(|marks| marks.of() != scene.len())
        {
            let text = format!("marks on {} Gaussians do not fit {}", marks.of(), scene.len());
            return Err(SplatError::Request(text));
        }
        let size = (sight.camera.width, sight.camera.height);
        let gpu = self.gpu.clone();
        let mut stage = match self.stage.take().filter(|stage| stage.size == size) {
            Some(stage) => stage,
            None => Stage::new(&gpu, size)?,
        };
        let own = Own::of(&request);
        let depth_scale = on_device.depth_scale(sight.camera);
        let view = view_uniform(&request, on_device.degree, &own, depth_scale, shape.body());
        on_device.mark(&gpu, sight.visible, look.selected.filter(|marks: &&Marks| !marks.is_empty()));
        let mut showing = Showing { gpu: gpu.clone(), on_device, stage: &mut stage, view, own, sorted: false };
        showing.own_maps(self)?;
        observer.checkpoint()?;
        showing.numbers(self, look, observer)?;
        if matches!(look.shown, Shown::Count) {
            showing.counts(self)?;
        }
        observer.checkpoint()?;
        let plate = showing.shade(self, look, depth_scale)?;
        gpu.finish()?;
        self.stage = Some(stage);
        Ok(OnScreen { gpu, size, plate })
    }
}

impl Showing<'_> {
    /// Draws one pass into targets; the first of a view projects and sorts.
    fn pass(
        &mut self,
        of: &mut GpuRasteriser,
        key: DrawKey,
        views: &[wgpu::TextureView],
        source: Source,
    ) -> Result<(), SplatError> {
        let gpu = self.gpu.clone();
        let mut frame = Encoder::new(&gpu, &mut of.pipelines, self.on_device, &self.view);
        let sorted = std::mem::replace(&mut self.sorted, true);
        gpu.checked("drawing", || {
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            if !sorted {
                frame.prepare(&mut encoder);
            }
            frame.draw(&mut encoder, key, views, source)?;
            gpu.queue.submit([encoder.finish()]);
            Ok(())
        })
    }

    fn own_maps(&mut self, of: &mut GpuRasteriser) -> Result<(), SplatError> {
        let slots = self.own.slots();
        let views = self.stage.own.views[..slots].to_vec();
        let key = DrawKey { targets: slots, format: BLENDED, counts: false };
        let source = Source { values: false, stride: self.own.stride as usize, offset: 0 };
        self.pass(of, key, &views, source)
    }

    /// Blends the mode's numbers, as many at a time as a pass takes, and folds them.
    fn numbers(
        &mut self,
        of: &mut GpuRasteriser,
        look: &Look<'_>,
        observer: &dyn SplatObserver,
    ) -> Result<(), SplatError> {
        let Some(numbers) = look.shown.numbers() else { return Ok(()) };
        let (kind, query): (u32, &[f32]) = match look.shown {
            Shown::Clusters(..) => (1, &[]),
            Shown::Similarity(_, query) => (2, query),
            _ => (0, &[]),
        };
        let limits = self.gpu.limits();
        // Half floats: 8 bytes a target.
        let most = limits.max_color_attachments.min(limits.max_color_attachment_bytes_per_sample / 8).max(1) as usize;
        let (most, dim) = (MOST_TARGETS.min(most), numbers.values.dim);
        let slots = dim.div_ceil(3);
        observer.stage("Drawing", slots.div_ceil(most));
        let mut folds = 0;
        for first in (0..slots).step_by(most) {
            observer.checkpoint()?;
            let targets = most.min(slots - first);
            let gpu = self.gpu.clone();
            let range = 3 * first..dim.min(3 * (first + targets));
            gpu.checked("values of each Gaussian", || {
                let id = Some(numbers.id);
                self.on_device.bring(&gpu, (numbers.values.values, dim), &range, 3 * targets, id);
                Ok(())
            })?;
            let views = self.stage.values(&gpu, most.min(slots))?.views[..targets].to_vec();
            let key = DrawKey { targets, format: BLENDED, counts: false };
            self.pass(of, key, &views, Source { values: true, stride: 3 * targets, offset: 0 })?;
            let mut words = [0u32; FOLD];
            words[..4].copy_from_slice(&[kind, 3 * first as u32, dim as u32, u32::from(folds == 0)]);
            for (at, value) in query.iter().skip(3 * first).take(3 * targets).enumerate() {
                words[4 + 4 * (at / 3) + at % 3] = value.to_bits();
            }
            let pipeline = of.pipelines.folding(&gpu, targets)?;
            let (before, after) = (&self.stage.folded[1 - folds % 2], &self.stage.folded[folds % 2]);
            let fold = uniform(&gpu, "fold", &words);
            let maps = views.iter().enumerate().map(|(at, view)| (10 + at as u32, texture_entry(view)));
            let entries: Vec<_> =
                [(0, fold.as_entire_binding()), (1, texture_entry(before))].into_iter().chain(maps).collect();
            over_pixels(&gpu, &pipeline, &entries, &[after])?;
            folds += 1;
        }
        // The last one lies in the first place.
        if folds % 2 == 0 {
            self.stage.folded.swap(0, 1);
        }
        Ok(())
    }

    fn counts(&mut self, of: &mut GpuRasteriser) -> Result<(), SplatError> {
        let gpu = self.gpu.clone();
        let views = self.stage.count(&gpu)?.views.clone();
        let key = DrawKey { targets: 1, format: BLENDED, counts: true };
        let source = Source { values: false, stride: self.own.stride as usize, offset: 0 };
        self.pass(of, key, &views, source)
    }

    fn shade(&mut self, of: &mut GpuRasteriser, look: &Look<'_>, depth_scale: f32) -> Result<Arc<Plate>, SplatError> {
        let gpu = self.gpu.clone();
        let shading = of.pipelines.shading(&gpu)?;
        let plate = self.stage.plate(&gpu)?;
        let stage = &*self.stage;
        let map = |place: Option<u32>| place.map(|place| &stage.own.views[place as usize / 3]);
        let depth = map(self.own.depth).unwrap_or(&stage.own.views[0]);
        let count = stage.count.as_ref().map_or(depth, |count| &count.views[0]);
        gpu.queue.write_buffer(&stage.range, 0, bytemuck::cast_slice(&[u32::MAX, 0]));
        let ranged = match look.shown {
            Shown::Depth => Some((&shading.depths, depth)),
            Shown::Count => Some((&shading.counts, count)),
            _ => None,
        };
        if let Some((pipeline, map)) = ranged {
            gpu.checked("finding the ends of a map", || {
                let group = bind(
                    &gpu,
                    &pipeline.get_bind_group_layout(0),
                    &[(0, texture_entry(map)), (1, stage.range.as_entire_binding())],
                );
                let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(stage.size.0.div_ceil(16), stage.size.1.div_ceil(16), 1);
                drop(pass);
                gpu.queue.submit([encoder.finish()]);
                Ok(())
            })?;
        }
        let (look_uniform, colours) = (uniform(&gpu, "look", &look_words(look, depth_scale)), colour_table(look));
        let colours = uniform(&gpu, "colours", &colours);
        let entries = [
            (0, look_uniform.as_entire_binding()),
            (1, colours.as_entire_binding()),
            (2, stage.range.as_entire_binding()),
            (3, texture_entry(map(self.own.colour).unwrap_or(depth))),
            (4, texture_entry(depth)),
            (5, texture_entry(map(self.own.normal).unwrap_or(depth))),
            (6, texture_entry(&stage.folded[0])),
            (7, texture_entry(count)),
        ];
        over_pixels(&gpu, &shading.shade, &entries, &[&plate.view, &whole(&plate.depth)])?;
        Ok(plate)
    }
}

fn texture_entry(view: &wgpu::TextureView) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::TextureView(view)
}

fn bind(gpu: &Gpu, layout: &wgpu::BindGroupLayout, entries: &[(u32, wgpu::BindingResource<'_>)]) -> wgpu::BindGroup {
    let entries: Vec<_> = entries
        .iter()
        .map(|(binding, resource)| wgpu::BindGroupEntry { binding: *binding, resource: resource.clone() })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}

/// Runs a pass over all pixels of `targets`.
fn over_pixels(
    gpu: &Gpu,
    pipeline: &wgpu::RenderPipeline,
    entries: &[(u32, wgpu::BindingResource<'_>)],
    targets: &[&wgpu::TextureView],
) -> Result<(), SplatError> {
    gpu.checked("colouring", || {
        let group = bind(gpu, &pipeline.get_bind_group_layout(0), entries);
        let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT), store: wgpu::StoreOp::Store };
        let attachments: Vec<_> = targets
            .iter()
            .map(|view| Some(wgpu::RenderPassColorAttachment { view, depth_slice: None, resolve_target: None, ops }))
            .collect();
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("colouring"),
            color_attachments: &attachments,
            ..wgpu::RenderPassDescriptor::default()
        });
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        Ok(())
    })
}

/// The uniform `Look` of shaders/splat_shade.wgsl.
fn look_words(look: &Look<'_>, depth_scale: f32) -> [u32; LOOK] {
    let mode = match look.shown {
        Shown::Colour => 0,
        Shown::Depth => 1,
        Shown::Normals => 2,
        Shown::Opacity => 3,
        Shown::Count => 4,
        Shown::Components(..) => 5,
        Shown::Clusters(..) => 6,
        Shown::Cosine(_) => 7,
        Shown::Similarity(..) => 8,
    };
    let mut words = [0; LOOK];
    let background = u32::from(look.background.is_some());
    words[..4].copy_from_slice(&[mode, look.share.to_bits(), background, depth_scale.to_bits()]);
    let ranges = if let Shown::Components(_, ranges) = look.shown { ranges } else { [(0.0, 1.0); 3] };
    let length = match look.shown {
        Shown::Similarity(_, query) => query.iter().map(|value| value * value).sum::<f32>().sqrt(),
        _ => 0.0,
    };
    let triples = [look.background.unwrap_or_default(), look.tint, ranges.map(|r| r.0), ranges.map(|r| r.1)];
    for (at, triple) in triples.iter().enumerate() {
        for (axis, value) in triple.iter().enumerate() {
            words[4 + 4 * at + axis] = value.to_bits();
        }
    }
    words[15] = length.to_bits();
    words
}

/// The colours of the scale, then of the clusters.
fn colour_table(look: &Look<'_>) -> Vec<u32> {
    let palette = if let Shown::Clusters(_, palette) = look.shown { palette } else { &[] };
    let mut words = vec![0; 4 * (SCALE + MOST_CLUSTERS)];
    let scale = look.scale.iter().enumerate();
    let palette = palette.iter().enumerate().map(|(at, colour)| (SCALE + at, colour));
    for (at, colour) in scale.chain(palette) {
        for (axis, value) in colour.iter().enumerate() {
            words[4 * at + axis] = value.to_bits();
        }
    }
    words
}
