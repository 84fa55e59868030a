//! One frame: project every chunk, sort what is seen, and draw it window by window into as many targets as a pass has.

use super::device::Gpu;
use super::pipelines::{DrawKey, Pipelines};
use super::scene::{Chunk, SceneOnDevice};
use crate::splats::SplatError;
use crate::splats::camera::Camera;
use crate::splats::projection::{Filter, View};
use crate::splats::raster::RasterRequest;

/// Where a Gaussian's channels do not have a map.
const NOT_WANTED: u32 = u32::MAX;

/// The maps of the scene's own that a frame has: which three channels each begins at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    pub(super) colour: Option<u32>,
    pub(super) depth: Option<u32>,
    pub(super) normal: Option<u32>,
    pub(super) stride: u32,
}

impl Own {
    pub(super) fn of(request: &RasterRequest<'_>) -> Self {
        let mut own = Self::default();
        let mut next = |wanted: bool| {
            wanted.then(|| {
                own.stride += 3;
                own.stride - 3
            })
        };
        let channels = &request.channels;
        let (colour, depth, normal) = (next(channels.colour), next(channels.depth), next(channels.normals));
        Self { colour, depth, normal, ..own }
    }

    /// Sets of three channels.
    pub(super) fn slots(&self) -> usize {
        self.stride as usize / 3
    }
}

/// Numbers of the view.
pub(super) const VIEW: usize = 44;

/// What Gaussians are drawn as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Body {
    /// Their standard deviations are multiplied by this.
    pub(super) spread: f32,
    /// The opacity of all of them, if it is above 0.
    pub(super) solid: f32,
}

impl Body {
    /// As they are.
    pub(super) const OWN: Self = Self { spread: 1.0, solid: 0.0 };
}

/// The view as shaders/common/splats.wgsl has it.
pub(super) fn view_uniform(
    request: &RasterRequest<'_>,
    scene_degree: usize,
    own: &Own,
    depth_scale: f32,
    body: Body,
) -> [u32; VIEW] {
    let camera: &Camera = request.camera;
    let view = View::new(camera, request.filter);
    let rows = camera.axes().map(|row| row.as_vec3().to_array());
    let eye = camera.eye().to_array();
    let high = eye.map(|value| value as f32);
    let rest: [f32; 3] = std::array::from_fn(|axis| (eye[axis] - f64::from(high[axis])) as f32);
    let mut words = [0u32; VIEW];
    let mut at = 0;
    let mut put = |values: &[f32], room: usize| {
        for (word, value) in words[at..].iter_mut().zip(values) {
            *word = value.to_bits();
        }
        at += room;
    };
    for row in rows {
        put(&row, 4);
    }
    put(&high, 4);
    put(&rest, 4);
    let single = |pair: [f64; 2]| pair.map(|value| value as f32);
    put(&single(camera.focal.to_array()), 2);
    put(&single(camera.principal.to_array()), 2);
    put(&[camera.width as f32, camera.height as f32], 2);
    put(&single([camera.near, camera.far]), 2);
    put(view.limits().as_flattened(), 4);
    let at = |place: Option<u32>| place.unwrap_or(NOT_WANTED);
    let degree = request.sh_degree.min(scene_degree) as u32;
    let coefficients = crate::splats::gaussians::sh_coefficients(scene_degree) as u32;
    let antialiased = u32::from(request.filter == Filter::Antialiased);
    words[32..42].copy_from_slice(&[
        degree,
        coefficients,
        antialiased,
        own.stride,
        at(own.colour),
        at(own.depth),
        at(own.normal),
        depth_scale.to_bits(),
        body.spread.to_bits(),
        body.solid.to_bits(),
    ]);
    words
}

pub(super) fn uniform(gpu: &Gpu, label: &str, words: &[u32]) -> wgpu::Buffer {
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: (4 * words.len() as u64).next_multiple_of(16),
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    buffer
}

fn bind(gpu: &Gpu, layout: &wgpu::BindGroupLayout, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
    let entries: Vec<_> = buffers
        .iter()
        .enumerate()
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: binding as u32, resource: buffer.as_entire_binding() })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
}

/// What draws one frame after another of one scene.
pub(super) struct Encoder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) pipelines: &'a mut Pipelines,
    pub(super) scene: &'a SceneOnDevice,
    pub(super) view: wgpu::Buffer,
}

/// Where a pass takes a Gaussian's channels from.
#[derive(Clone, Copy)]
pub(super) struct Source {
    /// Those of the caller, not the scene's own.
    pub(super) values: bool,
    pub(super) stride: usize,
    pub(super) offset: usize,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(
        gpu: &'a Gpu,
        pipelines: &'a mut Pipelines,
        scene: &'a SceneOnDevice,
        view: &[u32; VIEW],
    ) -> Self {
        let view = uniform(gpu, "view", view);
        Self { gpu, pipelines, scene, view }
    }

    /// Projection and depth order.
    pub(super) fn prepare(&self, encoder: &mut wgpu::CommandEncoder) {
        let (gpu, scene, pipelines) = (self.gpu, self.scene, &*self.pipelines);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipelines.project);
        let layout = pipelines.project.get_bind_group_layout(0);
        for chunk in &scene.chunks {
            let buffers = [
                &self.view,
                &chunk.place,
                &chunk.geometry,
                &chunk.harmonics,
                &scene.visible,
                &chunk.records,
                &chunk.own,
                &scene.keys[0],
                &scene.selected,
            ];
            pass.set_bind_group(0, &bind(gpu, &layout, &buffers), &[]);
            pass.dispatch_workgroups(chunk.count.div_ceil(256) as u32, 1, 1);
        }
        for digit in 0..4 {
            let first = digit == 0;
            let words =
                [8 * digit, u32::from(first), scene.count as u32, scene.window as u32, scene.windows as u32, 0, 0, 0];
            let of_digit = uniform(gpu, "digit", &words);
            let (from, to) = (digit as usize % 2, 1 - digit as usize % 2);
            let tiles = scene.count.div_ceil(4096) as u32;
            let dispatch = |pass: &mut wgpu::ComputePass<'_>| {
                if first {
                    pass.dispatch_workgroups(tiles, 1, 1);
                } else {
                    pass.dispatch_workgroups_indirect(&scene.state, 0);
                }
            };
            pass.set_pipeline(&pipelines.count);
            let layout = pipelines.count.get_bind_group_layout(0);
            let buffers = [&of_digit, &scene.state, &scene.keys[from], &scene.counts];
            pass.set_bind_group(0, &bind(gpu, &layout, &buffers), &[]);
            dispatch(&mut pass);

            pass.set_pipeline(&pipelines.scan);
            let layout = pipelines.scan.get_bind_group_layout(0);
            pass.set_bind_group(0, &bind(gpu, &layout, &[&of_digit, &scene.state, &scene.counts]), &[]);
            pass.dispatch_workgroups(1, 1, 1);

            pass.set_pipeline(&pipelines.scatter);
            let layout = pipelines.scatter.get_bind_group_layout(0);
            let buffers = [
                &of_digit,
                &scene.state,
                &scene.keys[from],
                &scene.order[from],
                &scene.counts,
                &scene.keys[to],
                &scene.order[to],
            ];
            pass.set_bind_group(0, &bind(gpu, &layout, &buffers), &[]);
            dispatch(&mut pass);
        }
    }

    /// Draws what is sorted into `targets`, three channels each.
    pub(super) fn draw(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        key: DrawKey,
        targets: &[wgpu::TextureView],
        source: Source,
    ) -> Result<(), SplatError> {
        let (gpu, scene) = (self.gpu, self.scene);
        let pipeline = self.pipelines.drawing(gpu, key)?;
        let of_view = bind(gpu, &pipeline.get_bind_group_layout(0), &[&self.view]);
        for window in 0..scene.windows {
            self.gather(encoder, window, key.targets, source);
            let load = if window == 0 { wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT) } else { wgpu::LoadOp::Load };
            let attachments: Vec<_> = targets
                .iter()
                .map(|view| {
                    Some(wgpu::RenderPassColorAttachment {
                        view,
                        depth_slice: None,
                        resolve_target: None,
                        ops: wgpu::Operations { load, store: wgpu::StoreOp::Store },
                    })
                })
                .collect();
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("splat_draw"),
                color_attachments: &attachments,
                ..wgpu::RenderPassDescriptor::default()
            });
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &of_view, &[]);
            pass.set_vertex_buffer(0, scene.window_records.slice(..));
            pass.set_vertex_buffer(1, scene.window_channels.slice(..));
            pass.draw_indirect(&scene.state, 16 + 16 * window as u64);
        }
        Ok(())
    }

    fn gather(&self, encoder: &mut wgpu::CommandEncoder, window: usize, targets: usize, source: Source) {
        let (gpu, scene, pipelines) = (self.gpu, self.scene, &*self.pipelines);
        let first = window * scene.window;
        let length = scene.window.min(scene.count - first);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipelines.gather);
        let layout = pipelines.gather.get_bind_group_layout(0);
        for (index, chunk) in scene.chunks.iter().enumerate() {
            let Chunk { first: chunk_first, count, .. } = chunk;
            let numbers = [first, length, *chunk_first, *count, source.stride, source.offset, 3 * targets, 0];
            let of_window = uniform(gpu, "window", &numbers.map(|number| number as u32));
            let values = scene.values(index).filter(|_| source.values);
            let channels = values.unwrap_or(&chunk.own);
            let buffers = [
                &of_window,
                &scene.state,
                // Four digits: the order is back where it began.
                &scene.order[0],
                &chunk.records,
                channels,
                &scene.window_records,
                &scene.window_channels,
            ];
            pass.set_bind_group(0, &bind(gpu, &layout, &buffers), &[]);
            pass.dispatch_workgroups(length.div_ceil(256) as u32, 1, 1);
        }
    }
}
