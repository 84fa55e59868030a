//! The textures that are drawn into, and how they come back to the processor.

use half::f16;

use super::device::Gpu;
use crate::splats::SplatError;

/// Textures of one size and format.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) size: (u32, u32),
    pub(super) format: wgpu::TextureFormat,
    textures: Vec<wgpu::Texture>,
    pub(super) views: Vec<wgpu::TextureView>,
    /// Made when something is first read back.
    back: Vec<wgpu::Buffer>,
}

/// Bytes of a row in a buffer that a texture is copied to.
fn row_bytes(width: u32, format: wgpu::TextureFormat) -> u64 {
    let pixel = if format == wgpu::TextureFormat::Rgba32Float { 16 } else { 8 };
    (u64::from(width) * pixel).next_multiple_of(u64::from(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT))
}

impl Targets {
    pub(super) fn new(
        gpu: &Gpu,
        (width, height): (u32, u32),
        format: wgpu::TextureFormat,
        count: usize,
    ) -> Result<Self, SplatError> {
        let limits = gpu.limits();
        let most = limits.max_texture_dimension_2d;
        let bytes = row_bytes(width, format) * u64::from(height);
        if width > most || height > most || bytes > limits.max_buffer_size {
            let text = format!(
                "{} draws at most {most} pixels a side and {} bytes a picture; {width} × {height} is more",
                gpu.name(),
                limits.max_buffer_size
            );
            return Err(SplatError::Request(text));
        }
        gpu.checked(&format!("a picture of {width} × {height} pixels"), || {
            let texture = |_| {
                gpu.device.create_texture(&wgpu::TextureDescriptor {
                    label: Some("splats"),
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
            };
            let textures: Vec<_> = (0..count).map(texture).collect();
            let views = textures.iter().map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default()));
            Ok(Self { size: (width, height), format, views: views.collect(), back: Vec::new(), textures })
        })
    }

    /// Copies the first `count` textures to where they can be read.
    pub(super) fn copy(&mut self, gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, count: usize) {
        let (width, height) = self.size;
        while self.back.len() < count {
            self.back.push(gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("picture"),
                size: row_bytes(width, self.format) * u64::from(height),
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            }));
        }
        for (texture, buffer) in self.textures.iter().zip(&self.back).take(count) {
            encoder.copy_texture_to_buffer(
                texture.as_image_copy(),
                wgpu::TexelCopyBufferInfo {
                    buffer,
                    layout: wgpu::TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(row_bytes(width, self.format) as u32),
                        rows_per_image: None,
                    },
                },
                wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            );
        }
    }

    /// Waits for the copies and gives each pixel of target `target`, row by row, to `take`.
    pub(super) fn read(
        &self,
        gpu: &Gpu,
        count: usize,
        take: &mut dyn FnMut(usize, usize, [f32; 4]),
    ) -> Result<(), SplatError> {
        let (sender, receiver) = std::sync::mpsc::channel();
        for buffer in self.back.iter().take(count) {
            let sender = sender.clone();
            // Nobody waits any more if the receiver is gone.
            buffer.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        }
        drop(sender);
        for _ in 0..count {
            gpu.wait(&receiver)?;
        }
        let width = self.size.0 as usize;
        for (target, buffer) in self.back.iter().take(count).enumerate() {
            let bytes = buffer.get_mapped_range(..).map_err(|error| SplatError::Device(error.to_string()))?;
            let rows = bytes.chunks_exact(row_bytes(self.size.0, self.format) as usize);
            for (y, row) in rows.enumerate() {
                if self.format == wgpu::TextureFormat::Rgba32Float {
                    let pixels: &[[f32; 4]] = bytemuck::cast_slice(&row[..16 * width]);
                    pixels.iter().enumerate().for_each(|(x, pixel)| take(target, y * width + x, *pixel));
                } else {
                    let pixels: &[[u16; 4]] = bytemuck::cast_slice(&row[..8 * width]);
                    for (x, pixel) in pixels.iter().enumerate() {
                        take(target, y * width + x, pixel.map(|bits| f16::from_bits(bits).to_f32()));
                    }
                }
            }
            drop(bytes);
            buffer.unmap();
        }
        Ok(())
    }
}
