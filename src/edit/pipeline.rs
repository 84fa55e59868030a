//! One edit from picture to picture: encode, denoise under guidance, decode, put back at the source's size.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, IndexOp, Tensor};
use image::RgbImage;

use super::EditError;
use super::conditioning::Conditioning;
use super::contributions::{Contributions, Recorder};
use super::draws::Draws;
use super::editor::Editor;
use super::guidance::{Modulation, Predictions, Scales, guide};
use super::preview::LatentPreview;
use super::request::EditRequest;
use super::scheduler::{Sampler, Schedule};
use super::trace::Trace;
use crate::nets::watcher::Watcher;
use crate::picture::region::Region;
use crate::picture::resize::{self, SizeRequest, WorkingPlan};
use crate::picture::{detail, region};

/// Where an edit reports; the same object that can stop it.
pub trait EditObserver: Watcher {
    /// A stage of `steps` steps begins (0: unknown).
    fn stage(&self, name: &str, steps: usize);
    /// `done` steps of the stage are done.
    fn step(&self, done: usize);
    /// The estimated clean picture so far, small, at the working picture's proportions.
    fn preview(&self, picture: RgbImage);
}

impl EditObserver for crate::nets::watcher::Unwatched {
    fn stage(&self, _: &str, _: usize) {}
    fn step(&self, _: usize) {}
    fn preview(&self, _: RgbImage) {}
}

/// What surrounds a run without being part of what the person asked.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// The random draws; the request's seed if `None`.
    pub draws: Option<Draws>,
    /// Bytes the run may take beside the loaded model; unlimited if `None`.
    pub memory: Option<u64>,
    /// Rows of a step that go through the network at once at most; as many as memory allows if `None`.
    pub rows_at_once: Option<usize>,
    /// Keeps the intermediate tensors.
    pub trace: Trace,
}

/// What an edit brings.
#[derive(Clone, Debug)]
pub struct EditOutcome {
    /// The result at the source's size.
    pub picture: Arc<RgbImage>,
    /// What the model itself drew, at the working size.
    pub working: Arc<RgbImage>,
    /// The source as the autoencoder alone gives it back, at the working size; where the source's detail was put back.
    pub reconstructed: Option<Arc<RgbImage>>,
    /// How the source came to the working size.
    pub plan: WorkingPlan,
    /// What each instruction did; empty without instructions.
    pub contributions: Contributions,
    /// Seconds from start to end.
    pub seconds: f64,
    /// Seconds a denoising step took, on average.
    pub seconds_per_step: f64,
}

/// The plan of an edit: how the source comes to the size the editor works at.
///
/// # Errors
/// If the size asked for cannot be.
pub fn working_plan(editor: &Editor, request: &EditRequest) -> Result<WorkingPlan, EditError> {
    let settings = &request.settings;
    let size = settings.size.unwrap_or(SizeRequest::LongerSide(editor.default_side));
    let multiple = match size {
        SizeRequest::LongerSide(_) => editor.multiple,
        SizeRequest::Exact(..) | SizeRequest::Source => editor.cell,
    };
    Ok(resize::plan(request.picture.size(), size, settings.fit, multiple)?)
}

/// Runs one edit. Stops within a step when the observer's checkpoint says so.
///
/// # Errors
/// [`EditError`]; nothing is left behind.
pub fn run(
    editor: &Editor,
    request: &EditRequest,
    options: &mut RunOptions,
    observer: &dyn EditObserver,
) -> Result<EditOutcome, EditError> {
    let began = Instant::now();
    let active: Vec<_> = request.active().collect();
    if request.instruction.trim().is_empty() && active.is_empty() {
        return Err(EditError::Empty);
    }
    let settings = &request.settings;
    let schedule = Schedule::new(settings.scheduler, &editor.scheduler, settings.steps)?;
    let plan = working_plan(editor, request)?;
    let rows = 3 + active.len();
    let fitting = editor.rows_that_fit(plan.working, rows, options.memory)?;
    let rows_at_once = options.rows_at_once.map_or(fitting, |most| most.clamp(1, fitting));

    observer.stage("Encoding the picture", 0);
    let working = resize::to_working(&request.picture.rgb, &plan);
    let image_latents = editor.encode(&working, observer)?;
    let (_, channels, height, width) = image_latents.dims4()?;
    let plane = height * width;
    options.trace.tensor("image_latents", &image_latents)?;

    observer.stage("Reading the instructions", 0);
    let texts = active.iter().map(|(_, specific)| specific.text.trim());
    let mut conditioning =
        Conditioning::new(editor, request.instruction.trim(), texts, &image_latents, rows_at_once, observer)?;
    options.trace.tensor("text_embeddings", &conditioning.text)?;
    let as_f32 = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
    options.trace.numbers("timesteps", as_f32(&schedule.timesteps), &[schedule.len()])?;
    options.trace.numbers("sigmas", as_f32(&schedule.sigmas), &[schedule.len() + 1])?;

    let modulations: Vec<Modulation> = active
        .iter()
        .map(|(_, specific)| Modulation {
            weight: specific.weight,
            region: specific.region.as_ref().map(|region| region.to_grid(&plan, height as u32, width as u32)),
        })
        .collect();
    let (text, specific) = settings.text_scales(!active.is_empty());
    let scales = Scales { text, specific, image: settings.image_guidance };
    if !options.trace.is_collecting() {
        conditioning = conditioning.without_idle_rows(scales);
    }
    let draws = options.draws.clone().unwrap_or(Draws::Seeded(settings.seed));
    let source_latents: Vec<f32> = image_latents.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let colours = LatentPreview::fit(&working, &source_latents, width, height);
    let names = active.iter().map(|(place, specific)| (*place, specific.text.trim()));
    let mut recorder = Recorder::new(channels, (width, height), names);

    observer.stage("Denoising", schedule.len());
    let denoising = Instant::now();
    let count = channels * plane;
    let mut z: Vec<f32> = draws.init(count)?.into_iter().map(|v| v * schedule.init_std as f32).collect();
    let mut sampler = Sampler::new(&schedule);
    for (i, &timestep) in schedule.timesteps.iter().enumerate() {
        observer.checkpoint()?;
        let outputs = conditioning.predict(editor, &schedule.model_input(i, &z), timestep, observer)?;
        let specifics: Vec<&[f32]> = outputs[3..].iter().map(Vec::as_slice).collect();
        let predictions =
            Predictions { ambiguous: &outputs[0], image_only: &outputs[1], null: &outputs[2], specifics: &specifics };
        let guided = guide(predictions, &modulations, scales, plane);
        recorder.add(&predictions, &guided, schedule.noise_per_output(i));
        if options.trace.is_collecting() {
            options.trace.numbers(format!("eps.{i}"), outputs.concat(), &[rows, channels, height, width])?;
            if !active.is_empty() {
                let selection = guided.selection.iter().map(|k| f32::from(*k)).collect();
                options.trace.numbers(format!("selection.{i}"), selection, &[channels, height, width])?;
            }
        }
        let clean = schedule.predicted_clean(i, &guided.output, &z);
        observer.preview(colours.show(&editor.unscaled(&clean)));
        z = sampler.step(i, &guided.output, &z, &draws.step(i, count)?);
        options.trace.numbers(format!("latents.{i}"), z.clone(), &[1, channels, height, width])?;
        observer.step(i + 1);
    }
    let seconds_per_step = denoising.elapsed().as_secs_f64() / schedule.len() as f64;

    observer.stage("Decoding the picture", 0);
    let latents = Tensor::from_vec(editor.unscaled(&z), (1, channels, height, width), image_latents.device())?;
    let decoded = editor.decode(&latents, observer)?;
    options.trace.tensor("decoded", &decoded.i(0)?)?;
    let drawn = to_picture(&decoded)?;
    observer.checkpoint()?;

    observer.stage("Finishing", 0);
    let source = &request.picture.rgb;
    let detailed = settings.keep_detail && (settings.detail_at_any_size || plan.working != plan.source);
    let reconstructed = if detailed { Some(to_picture(&editor.decode(&image_latents, observer)?)?) } else { None };
    let mut picture = match &reconstructed {
        Some(before) => detail::transfer(source, before, &drawn, &plan),
        None => resize::from_working(&drawn, &plan, source),
    };
    if let Some(feather) = settings.keep_outside {
        let regions: Vec<&Region> = active.iter().filter_map(|(_, specific)| specific.region.as_ref()).collect();
        // An instruction without a region may act everywhere, and then there is no outside.
        if regions.len() == active.len() && !regions.is_empty() {
            picture = region::keep_outside(source, &picture, &regions, feather);
        }
    }
    Ok(EditOutcome {
        picture: Arc::new(picture),
        working: Arc::new(drawn),
        reconstructed: reconstructed.map(Arc::new),
        plan,
        contributions: recorder.finish(),
        seconds: began.elapsed().as_secs_f64(),
        seconds_per_step,
    })
}

/// `[1, 3, H, W]` in −1…1 as 8-bit pixels: x/2 + 0.5, clamped, rounded (spec/sane.md section 4).
fn to_picture(decoded: &Tensor) -> Result<RgbImage, EditError> {
    let (_, _, height, width) = decoded.dims4()?;
    let planes: Vec<f32> = decoded.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let plane = height * width;
    let byte = |value: f32| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
    Ok(RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let at = y as usize * width + x as usize;
        image::Rgb([byte(planes[at]), byte(planes[plane + at]), byte(planes[2 * plane + at])])
    }))
}
