//! How long web-splat (KeKsBoTer/web-splat, Apache-2.0) takes for a frame: a program to be built with it.
//!
//!     cp tests/reference/web_splat.rs WEB_SPLAT/src/bin/frames.rs
//!     cargo build --release --bin frames   (in WEB_SPLAT)
//!
//! Then `scripts/bench splats --against WEB_SPLAT/target/release/frames SCENE…` runs it beside ours. Arguments: the number
//! of frames a camera, WIDTHxHEIGHT, a cameras.json, and scenes in .ply. One line a figure on stdout, as ours: scene, what,
//! seconds. A frame is one submission, waited for, into an 8-bit target, its own default path; the first frame of a camera
//! is not counted. Held against commit 959a3ec.

use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

use web_splats::{GaussianRenderer, PerspectiveCamera, PointCloud, Scene, SceneCamera, SplattingArgs, WGPUContext, io};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let frames: usize = arguments[0].parse().unwrap();
    let (width, height) = arguments[1].split_once('x').unwrap();
    let size = cgmath::Vector2::new(width.parse::<u32>().unwrap(), height.parse::<u32>().unwrap());
    let cameras = Scene::from_json(File::open(&arguments[2]).unwrap()).unwrap().cameras(None);
    let context = pollster::block_on(WGPUContext::new_instance());
    for path in &arguments[3..] {
        one(&context, path, &cameras, size, frames);
    }
}

fn one(context: &WGPUContext, path: &str, cameras: &[SceneCamera], size: cgmath::Vector2<u32>, frames: usize) {
    let (device, queue) = (&context.device, &context.queue);
    let name = std::path::Path::new(path).file_stem().unwrap().to_string_lossy().into_owned();
    let began = Instant::now();
    let mut file = BufReader::new(File::open(path).unwrap());
    let cloud = PointCloud::new(device, io::GenericGaussianPointCloud::load(&mut file).unwrap()).unwrap();
    println!("{name} load {:.6}", began.elapsed().as_secs_f64());
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let mut renderer =
        pollster::block_on(GaussianRenderer::new(device, queue, format, cloud.sh_deg(), cloud.compressed()));
    let target = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width: size.x, height: size.y, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    });
    let view = target.create_view(&wgpu::TextureViewDescriptor::default());
    for camera in cameras {
        for frame in 0..=frames {
            let began = Instant::now();
            let mut camera: PerspectiveCamera = camera.clone().into();
            camera.fit_near_far(cloud.bbox());
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let settings = SplattingArgs {
                camera,
                viewport: size,
                gaussian_scaling: 1.0,
                max_sh_deg: cloud.sh_deg(),
                mip_splatting: None,
                kernel_size: None,
                clipping_box: None,
                walltime: Duration::from_secs(100),
                scene_center: None,
                scene_extend: None,
                background_color: wgpu::Color::TRANSPARENT,
            };
            renderer.prepare(&mut encoder, device, queue, &cloud, settings, &mut None);
            {
                let attachment = wgpu::RenderPassColorAttachment {
                    view: &view,
                    resolve_target: None,
                    ops: wgpu::Operations {
                        load: wgpu::LoadOp::Clear(wgpu::Color::TRANSPARENT),
                        store: wgpu::StoreOp::Store,
                    },
                };
                let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                    color_attachments: &[Some(attachment)],
                    ..Default::default()
                });
                renderer.render(&mut pass, &cloud);
            }
            queue.submit([encoder.finish()]);
            device.poll(wgpu::MaintainBase::Wait).unwrap();
            if frame > 0 {
                println!("{name} frame {:.6}", began.elapsed().as_secs_f64());
            }
        }
    }
}
