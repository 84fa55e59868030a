//! A scene on the device, in chunks that each fit its binding limit.

use std::ops::Range;

use super::device::Gpu;
use crate::splats::SplatError;
use crate::splats::camera::Camera;
use crate::splats::gaussians::{Bounds, Gaussians, sh_coefficients};
use crate::splats::selection::Marks;

/// Bytes of a projected Gaussian (shaders/common/splats.wgsl).
pub(super) const RECORD_BYTES: u64 = 48;
const GEOMETRY_BYTES: u64 = 48;
/// The most bytes of a Gaussian's channels in one pass: 8 targets of 3 channels.
const CHANNEL_BYTES: u64 = 96;
/// Invocations of a workgroup of the projection, and the most workgroups of a dispatch on any device.
const GROUP: u64 = 256;
const GROUPS: u64 = 65_535;
/// Values stay on the device for the next frame while all of them take no more, bytes.
const KEPT_VALUES: u64 = 512 << 20;
/// Keys a workgroup of the sort takes.
const SORT_TILE: u64 = 4096;

/// Part of a scene.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) first: usize,
    pub(super) count: usize,
    /// `{first, count}` for the projection.
    pub(super) place: wgpu::Buffer,
    pub(super) geometry: wgpu::Buffer,
    pub(super) harmonics: wgpu::Buffer,
    pub(super) records: wgpu::Buffer,
    /// Channels of the scene's own: colour, depth, normal.
    pub(super) own: wgpu::Buffer,
}

/// What a buffer of marks holds.
#[derive(Clone, Debug, Default, PartialEq)]
enum Held {
    /// Nobody knows.
    #[default]
    Unknown,
    All,
    Nothing,
    These(Marks),
}

/// Channels of the caller's values, on the device.
#[derive(Debug)]
struct Brought {
    /// Their number, channels and stride; `None` if they have no number.
    what: Option<(u64, Range<usize>, usize)>,
    /// One a chunk.
    buffers: Vec<wgpu::Buffer>,
}

/// A scene on the device, and the room its frames need.
#[derive(Debug)]
pub(super) struct SceneOnDevice {
    pub(super) count: usize,
    pub(super) degree: usize,
    pub(super) chunks: Vec<Chunk>,
    /// So many sorted Gaussians are drawn at a time.
    pub(super) window: usize,
    pub(super) windows: usize,
    pub(super) visible: wgpu::Buffer,
    pub(super) selected: wgpu::Buffer,
    /// What these two hold.
    marks: [Held; 2],
    bounds: Bounds,
    pub(super) keys: [wgpu::Buffer; 2],
    pub(super) order: [wgpu::Buffer; 2],
    pub(super) counts: wgpu::Buffer,
    pub(super) state: wgpu::Buffer,
    pub(super) window_records: wgpu::Buffer,
    pub(super) window_channels: wgpu::Buffer,
    /// Values of the caller's, each of one pass, those of the last pass first.
    brought: Vec<Brought>,
}

/// Reads, as a shader does, what the processor writes.
const INPUT: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST);

impl SceneOnDevice {
    /// Brings a scene to the device. No buffer is larger than `limit` bytes.
    pub(super) fn new(gpu: &Gpu, scene: &Gaussians, limit: u64) -> Result<Self, SplatError> {
        let n = scene.len() as u64;
        let coefficients = sh_coefficients(scene.sh_degree()) as u64;
        let widest = GEOMETRY_BYTES.max(RECORD_BYTES).max(CHANNEL_BYTES).max(12 * coefficients);
        let chunk = (limit / widest).min(GROUP * GROUPS).min(n);
        // What runs over the whole scene: keys, their order, and the sort's counts.
        let tiles = n.div_ceil(SORT_TILE);
        if chunk == 0 || 4 * n > limit || 4 * 256 * tiles > limit || tiles > GROUPS {
            let text = format!(
                "the graphics device takes {limit} bytes at a time, too few for a scene of {n} Gaussians; choose the \
                 CPU renderer"
            );
            return Err(SplatError::Device(text));
        }
        let windows = n.div_ceil(chunk);
        gpu.checked(&format!("a scene of {n} Gaussians"), || {
            let buffer = |label: &str, size: u64, usage: wgpu::BufferUsages| {
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size: size.max(4).next_multiple_of(4),
                    usage,
                    mapped_at_creation: false,
                })
            };
            let storage = wgpu::BufferUsages::STORAGE;
            let chunks = (0..windows).map(|index| {
                let (first, last) = (index * chunk, n.min((index + 1) * chunk));
                let count = last - first;
                let made = Chunk {
                    first: first as usize,
                    count: count as usize,
                    place: buffer("chunk", 16, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST),
                    geometry: buffer("geometry", count * GEOMETRY_BYTES, INPUT),
                    harmonics: buffer("harmonics", count * 12 * coefficients, INPUT),
                    records: buffer("records", count * RECORD_BYTES, storage),
                    own: buffer("own channels", count * 36, storage),
                };
                let place = [first as u32, count as u32, 0, 0];
                gpu.queue.write_buffer(&made.place, 0, bytemuck::cast_slice(&place));
                let range = made.first..made.first + made.count;
                let geometry: Vec<[f32; 12]> = range.clone().map(|index| geometry(scene, index)).collect();
                gpu.queue.write_buffer(&made.geometry, 0, bytemuck::cast_slice(&geometry));
                let width = 3 * coefficients as usize;
                let harmonics = &scene.sh()[range.start * width..range.end * width];
                gpu.queue.write_buffer(&made.harmonics, 0, bytemuck::cast_slice(harmonics));
                // What was written waits in the processor's memory until something is submitted.
                gpu.queue.submit([]);
                made
            });
            Ok(Self {
                count: n as usize,
                degree: scene.sh_degree(),
                chunks: chunks.collect(),
                window: chunk as usize,
                windows: windows as usize,
                visible: buffer("visible", n.div_ceil(32) * 4, INPUT),
                selected: buffer("selected", n.div_ceil(32) * 4, INPUT),
                marks: [Held::default(), Held::default()],
                bounds: scene.bounds(),
                brought: Vec::new(),
                keys: [buffer("keys", 4 * n, storage), buffer("keys", 4 * n, storage)],
                order: [buffer("order", 4 * n, storage), buffer("order", 4 * n, storage)],
                counts: buffer("counts", 4 * 256 * tiles, storage),
                state: buffer("state", 16 + 16 * windows, storage | wgpu::BufferUsages::INDIRECT),
                window_records: buffer("window", chunk * RECORD_BYTES, storage | wgpu::BufferUsages::VERTEX),
                window_channels: buffer("channels", chunk * CHANNEL_BYTES, storage | wgpu::BufferUsages::VERTEX),
            })
        })
    }

    /// Marks which Gaussians are drawn (all of them if `None`) and which are selected (none).
    pub(super) fn mark(&mut self, gpu: &Gpu, visible: Option<&Marks>, selected: Option<&Marks>) {
        let these = |marks: Option<&Marks>, otherwise| marks.map_or(otherwise, |marks| Held::These(marks.clone()));
        let wanted = [these(visible, Held::All), these(selected, Held::Nothing)];
        for ((held, wanted), buffer) in self.marks.iter_mut().zip(wanted).zip([&self.visible, &self.selected]) {
            let same = match (&*held, &wanted) {
                (Held::These(a), Held::These(b)) => a.is(b),
                (Held::Unknown, _) => false,
                (a, b) => a == b,
            };
            if same {
                continue;
            }
            let words = self.count.div_ceil(32);
            match &wanted {
                Held::These(marks) => gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(marks.words())),
                Held::All => gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&vec![u32::MAX; words])),
                _ => gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&vec![0u32; words])),
            }
            *held = wanted;
        }
    }

    /// What brings the depths that a camera sees to about 1, a power of two.
    pub(super) fn depth_scale(&self, camera: &Camera) -> f32 {
        let centre = glam::DVec3::from(self.bounds.centre().map(f64::from));
        let farthest = (centre - camera.eye()).length() + f64::from(self.bounds.radius());
        (-farthest.clamp(1e-30, 1e30).log2().ceil()).exp2() as f32
    }

    /// Brings channels `range` of the caller's `values` `[n, dim]` to the chunks, padded to `stride`. Values with a
    /// number `id` that are there already stay; a mode of several passes finds all of its own again.
    pub(super) fn bring(
        &mut self,
        gpu: &Gpu,
        (values, dim): (&[f32], usize),
        range: &Range<usize>,
        stride: usize,
        id: Option<u64>,
    ) {
        let what = id.map(|id| (id, range.clone(), stride));
        if what.is_some()
            && let Some(at) = self.brought.iter().position(|kept| kept.what == what)
        {
            self.brought[..=at].rotate_right(1);
            return;
        }
        let bytes = 4 * (self.count * stride) as u64;
        let room = (KEPT_VALUES / bytes.max(1)).max(1) as usize;
        // What has no number is never found again, and the oldest makes room; what is as wide goes on in its buffers.
        let unknown = self.brought.iter().position(|kept| kept.what.is_none());
        let mut old = unknown.map(|at| self.brought.remove(at));
        while self.brought.len() >= room {
            old = self.brought.pop();
        }
        let fits = |old: &Brought| {
            let wide = |(buffer, chunk): (&wgpu::Buffer, &Chunk)| buffer.size() == 4 * (chunk.count * stride) as u64;
            old.buffers.iter().zip(&self.chunks).all(wide)
        };
        let buffers = match old.filter(fits) {
            Some(old) => old.buffers,
            None => self.chunks.iter().map(|chunk| values_buffer(gpu, chunk.count * stride)).collect(),
        };
        for (chunk, buffer) in self.chunks.iter().zip(&buffers) {
            let mut padded = vec![0f32; chunk.count * stride];
            for (to, from) in padded.chunks_exact_mut(stride).zip(values[chunk.first * dim..].chunks_exact(dim)) {
                to[..range.len()].copy_from_slice(&from[range.clone()]);
            }
            gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&padded));
        }
        self.brought.insert(0, Brought { what, buffers });
    }

    /// The values of the last [`Self::bring`], of one chunk.
    pub(super) fn values(&self, chunk: usize) -> Option<&wgpu::Buffer> {
        self.brought.first()?.buffers.get(chunk)
    }
}

fn values_buffer(gpu: &Gpu, count: usize) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("values"),
        size: 4 * count as u64,
        usage: INPUT,
        mapped_at_creation: false,
    })
}

/// One Gaussian as the projection reads it.
fn geometry(scene: &Gaussians, index: usize) -> [f32; 12] {
    let [x, y, z] = scene.positions()[index];
    let [qw, qx, qy, qz] = scene.rotations()[index];
    let [sx, sy, sz] = scene.scales(index);
    [x, y, z, scene.opacity(index), qw, qx, qy, qz, sx, sy, sz, 0.0]
}
