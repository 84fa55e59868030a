//! The shaders of `shaders/`, compiled for one device.

use super::device::Gpu;
use super::scene::RECORD_BYTES;
use crate::splats::SplatError;

const SPLATS: &str = include_str!("../../../shaders/common/splats.wgsl");
const KEY: &str = include_str!("../../../shaders/common/key.wgsl");
const SHADING: &str = include_str!("../../../shaders/common/shading.wgsl");
const FOLD: &str = include_str!("../../../shaders/splat_fold.wgsl");
const RANGE: &str = include_str!("../../../shaders/splat_range.wgsl");
const SHADE: &str = include_str!("../../../shaders/splat_shade.wgsl");
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
    /// By their number of targets.
    folding: Vec<(usize, wgpu::RenderPipeline)>,
    shading: Option<Shading>,
}

/// The passes from maps to a picture.
#[derive(Clone, Debug)]
pub(super) struct Shading {
    pub(super) depths: wgpu::ComputePipeline,
    pub(super) counts: wgpu::ComputePipeline,
    pub(super) shade: wgpu::RenderPipeline,
}

/// What the window shows, and the depth beside it.
pub(super) const PICTURE: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
pub(super) const DEPTH: wgpu::TextureFormat = wgpu::TextureFormat::R32Float;
/// What is folded.
pub(super) const FOLDED: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

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
                compute(gpu, name, entry, &format!("{KEY}\n{common}\n{source}"))
            };
            Ok(Self {
                project: compute("splat_project", "project", SPLATS, PROJECT),
                count: compute("radix_count", "count", RADIX, COUNT),
                scan: compute("radix_scan", "scan", RADIX, SCAN),
                scatter: compute("radix_scatter", "scatter", RADIX, SCATTER),
                gather: compute("splat_gather", "gather", SPLATS, GATHER),
                drawing: Vec::new(),
                folding: Vec::new(),
                shading: None,
            })
        })
    }

    /// The pipeline that folds what so many targets hold.
    pub(super) fn folding(&mut self, gpu: &Gpu, targets: usize) -> Result<wgpu::RenderPipeline, SplatError> {
        if let Some((_, pipeline)) = self.folding.iter().find(|(known, _)| *known == targets) {
            return Ok(pipeline.clone());
        }
        let source = for_targets(FOLD, targets);
        let pipeline =
            gpu.checked("compiling the shaders", || Ok(over_pixels(gpu, "splat_fold", &source, "folded", &[FOLDED])))?;
        self.folding.push((targets, pipeline.clone()));
        Ok(pipeline)
    }

    /// The pipelines that make a picture of maps.
    pub(super) fn shading(&mut self, gpu: &Gpu) -> Result<Shading, SplatError> {
        if let Some(shading) = &self.shading {
            return Ok(shading.clone());
        }
        let (range, shade) = (format!("{SHADING}\n{RANGE}"), format!("{SHADING}\n{SHADE}"));
        let made = gpu.checked("compiling the shaders", || {
            Ok(Shading {
                depths: compute(gpu, "splat_range", "depths", &range),
                counts: compute(gpu, "splat_range", "counts", &range),
                shade: over_pixels(gpu, "splat_shade", &shade, "shade", &[PICTURE, DEPTH]),
            })
        })?;
        self.shading = Some(made.clone());
        Ok(made)
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

/// A pass over all pixels of its targets.
fn over_pixels(
    gpu: &Gpu,
    name: &str,
    source: &str,
    entry: &str,
    formats: &[wgpu::TextureFormat],
) -> wgpu::RenderPipeline {
    let module = module(gpu, name, source);
    let targets: Vec<_> = formats.iter().map(|format| Some((*format).into())).collect();
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(name),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("whole"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[],
        },
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &targets,
        }),
        multiview_mask: None,
        cache: None,
    })
}

fn compute(gpu: &Gpu, name: &str, entry: &str, source: &str) -> wgpu::ComputePipeline {
    let module = module(gpu, name, source);
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some(entry),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
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
