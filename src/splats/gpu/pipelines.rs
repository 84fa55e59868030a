//! The shaders of `shaders/`, compiled for one device.

use super::device::Gpu;
use super::scene::RECORD_BYTES;
use crate::splats::SplatError;

const SPLATS: &str = include_str!("../../../shaders/common/splats.wgsl");
const RADIX: &str = include_str!("../../../shaders/common/radix.wgsl");
const PROJECT: &str = include_str!("../../../shaders/splat_project.wgsl");
const GATHER: &str = include_str!("../../../shaders/splat_gather.wgsl");
const DRAW: &str = include_str!("../../../shaders/splat_draw.wgsl");
const COUNT: &str = include_str!("../../../shaders/radix_count.wgsl");
const SCAN: &str = include_str!("../../../shaders/radix_scan.wgsl");
const SCATTER: &str = include_str!("../../../shaders/radix_scatter.wgsl");

/// The most targets a pass draws into.
pub(super) const MOST_TARGETS: usize = 8;

/// Compute passes; those that draw are made when their number of targets is first asked for.
#[derive(Debug)]
pub(super) struct Pipelines {
    pub(super) project: wgpu::ComputePipeline,
    pub(super) count: wgpu::ComputePipeline,
    pub(super) scan: wgpu::ComputePipeline,
    pub(super) scatter: wgpu::ComputePipeline,
    pub(super) gather: wgpu::ComputePipeline,
    drawing: Vec<(DrawKey, wgpu::RenderPipeline)>,
}

/// What a drawing pipeline is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DrawKey {
    pub(super) targets: usize,
    pub(super) format: wgpu::TextureFormat,
    /// Adds up how many there are instead of blending.
    pub(super) counts: bool,
}

impl Pipelines {
    pub(super) fn new(gpu: &Gpu) -> Result<Self, SplatError> {
        gpu.checked("compiling the shaders", || {
            let compute = |name: &str, entry: &str, common: &str, source: &str| {
                let module = module(gpu, name, &format!("{common}\n{source}"));
                gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(name),
                    layout: None,
                    module: &module,
                    entry_point: Some(entry),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    cache: None,
                })
            };
            Ok(Self {
                project: compute("splat_project", "project", SPLATS, PROJECT),
                count: compute("radix_count", "count", RADIX, COUNT),
                scan: compute("radix_scan", "scan", RADIX, SCAN),
                scatter: compute("radix_scatter", "scatter", RADIX, SCATTER),
                gather: compute("splat_gather", "gather", SPLATS, GATHER),
                drawing: Vec::new(),
            })
        })
    }

    /// The pipeline that draws so.
    pub(super) fn drawing(&mut self, gpu: &Gpu, key: DrawKey) -> Result<wgpu::RenderPipeline, SplatError> {
        if let Some((_, pipeline)) = self.drawing.iter().find(|(known, _)| *known == key) {
            return Ok(pipeline.clone());
        }
        let pipeline = gpu.checked("compiling the shaders", || Ok(draw_pipeline(gpu, key)))?;
        self.drawing.push((key, pipeline.clone()));
        Ok(pipeline)
    }
}

fn module(gpu: &Gpu, name: &str, source: &str) -> wgpu::ShaderModule {
    gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    })
}

/// Lines that end in EACH stand once for each target.
fn for_targets(source: &str, targets: usize) -> String {
    let mut out = String::with_capacity(2 * source.len());
    for line in source.lines() {
        if line.trim_end().ends_with("// EACH") {
            for target in 0..targets {
                out.push_str(&line.replace('#', &target.to_string()));
                out.push('\n');
            }
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn draw_pipeline(gpu: &Gpu, key: DrawKey) -> wgpu::RenderPipeline {
    let source = for_targets(&format!("{SPLATS}\n{DRAW}"), key.targets);
    let module = module(gpu, "splat_draw", &source);
    let onto = |dst_factor| wgpu::BlendComponent {
        src_factor: wgpu::BlendFactor::One,
        dst_factor,
        operation: wgpu::BlendOperation::Add,
    };
    let blend = onto(if key.counts { wgpu::BlendFactor::One } else { wgpu::BlendFactor::OneMinusSrcAlpha });
    let target = wgpu::ColorTargetState {
        format: key.format,
        blend: Some(wgpu::BlendState { color: blend, alpha: blend }),
        write_mask: wgpu::ColorWrites::ALL,
    };
    let attribute =
        |format, offset: u64, location: u32| wgpu::VertexAttribute { format, offset, shader_location: location };
    let record: Vec<_> =
        (0..3).map(|part| attribute(wgpu::VertexFormat::Float32x4, 16 * u64::from(part), 8 + part)).collect();
    let channels: Vec<_> = (0..key.targets)
        .map(|target| attribute(wgpu::VertexFormat::Float32x3, 12 * target as u64, target as u32))
        .collect();
    let buffer = |stride: u64, attributes| {
        Some(wgpu::VertexBufferLayout { array_stride: stride, step_mode: wgpu::VertexStepMode::Instance, attributes })
    };
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("splat_draw"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("quad"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[buffer(RECORD_BYTES, &record), buffer(12 * key.targets as u64, &channels)],
        },
        primitive: wgpu::PrimitiveState {
            topology: wgpu::PrimitiveTopology::TriangleStrip,
            ..wgpu::PrimitiveState::default()
        },
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some(if key.counts { "count" } else { "blend" }),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &vec![Some(target); key.targets],
        }),
        multiview_mask: None,
        cache: None,
    })
}
