//! One edit on the inference thread: the editor opened through the cache, memory asked for before it is taken, the
//! recipe written beside the result.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use sha2::{Digest, Sha256};

use crate::edit::EditError;
use crate::edit::draws::Draws;
use crate::edit::editor::Editor;
use crate::edit::pipeline::{self, EditObserver, EditOutcome, RunOptions};
use crate::edit::recipe::{Recipe, RecipeModel};
use crate::edit::request::EditRequest;
use crate::edit::trace::Trace;
use crate::engine::{Job, JobContext, JobError, Monitor, memory};
use crate::ops::device::{Compute, DeviceChoice, Precision};
use crate::packs::PackError;
use crate::packs::diffusers::EditorFolder;
use crate::packs::manifest::{Defaults, Role};
use crate::packs::store::Store;

/// Of each weight file this much at its beginning and end enters the fingerprint: enough to tell models apart, at once.
const FINGERPRINT_BYTES: u64 = 1 << 18;

/// Which editor runs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditorChoice {
    /// What the person calls it: a pack's or model's name, or a folder.
    pub name: String,
    /// Its folder or file.
    pub path: PathBuf,
    /// Where it runs.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
}

impl EditorChoice {
    /// The editor that `name` (a pack, a model, a folder or a file) means on this machine, with the defaults its entry
    /// in the list of models gives.
    ///
    /// # Errors
    /// If there is no such editor here, in one sentence.
    pub fn find(
        store: &Store,
        name: &str,
        device: DeviceChoice,
        precision: Precision,
    ) -> Result<(Self, Option<Defaults>), PackError> {
        let found = store.find(name, Role::Editor)?;
        let choice = Self { name: name.to_owned(), path: found.path, device, precision };
        Ok((choice, found.model.and_then(|model| model.defaults)))
    }

    fn key(&self) -> String {
        format!("editor {} {:?} {:?}", self.path.display(), self.device, self.precision)
    }
}

/// An edit to run.
#[derive(Clone, Debug)]
pub struct EditJob {
    /// What to do.
    pub request: EditRequest,
    /// With which editor.
    pub editor: EditorChoice,
    /// Injected random draws; the request's seed if `None`.
    pub draws: Option<Draws>,
    /// Keeps the intermediate tensors.
    pub trace: bool,
}

/// What an edit brings, with how it was made.
#[derive(Debug)]
pub struct EditResult {
    /// Pictures and contributions.
    pub outcome: EditOutcome,
    /// What it was made with.
    pub recipe: Recipe,
    /// The intermediate tensors, if they were asked for.
    pub trace: Trace,
}

impl EditJob {
    /// An edit as the window runs it.
    #[must_use]
    pub fn new(request: EditRequest, editor: EditorChoice) -> Self {
        Self { request, editor, draws: None, trace: false }
    }
}

impl EditObserver for Monitor {
    fn stage(&self, name: &str, steps: usize) {
        Self::stage(self, name, steps);
    }

    fn step(&self, done: usize) {
        Self::step(self, done);
    }

    fn preview(&self, picture: RgbImage) {
        Self::preview(self, picture);
    }
}

/// An editor that is loaded, with what a recipe says of it.
struct Loaded {
    editor: Editor,
    model: RecipeModel,
}

impl Job for EditJob {
    type Output = EditResult;

    fn title(&self) -> String {
        let wish = self.request.instruction.trim();
        let text = if wish.is_empty() {
            self.request.active().map(|(_, specific)| specific.text.trim()).next().unwrap_or("nothing")
        } else {
            wish
        };
        format!("Edit: {text}")
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<EditResult> {
        let loaded = load(&self.editor, context)?;
        let mut options = RunOptions {
            draws: self.draws,
            // A fifth is left to the rest of the machine.
            memory: memory::available().map(|bytes| bytes / 5 * 4),
            rows_at_once: None,
            trace: if self.trace { Trace::collecting() } else { Trace::default() },
        };
        let outcome =
            pipeline::run(&loaded.editor, &self.request, &mut options, context.monitor).map_err(in_job_terms)?;
        let recipe = Recipe::of(&self.request, &outcome, loaded.model.clone());
        Ok(EditResult { outcome, recipe, trace: options.trace })
    }
}

/// Opens the editor unless it is open already.
fn load(choice: &EditorChoice, context: &mut JobContext<'_>) -> anyhow::Result<Arc<Loaded>> {
    let key = choice.key();
    if !context.models.holds(&key) {
        context.monitor.stage("Opening the editor", 0);
    }
    let compute = Compute::open(choice.device, choice.precision)?;
    let folder = EditorFolder::open(&choice.path)?;
    let bytes = folder.parameters() * compute.dtype.size_in_bytes() as u64;
    if !context.models.holds(&key)
        && compute.device.is_cpu()
        && let Some(available) = memory::available().map(|free| free + context.models.bytes())
        && bytes > available
    {
        let what = format!("the editor {}", choice.name);
        let advice = "Close other programs, or choose a smaller model.".to_owned();
        return Err(JobError::OutOfMemory { what, needed: bytes, available, advice }.into());
    }
    context.models.get_or_load(&key, bytes, || {
        let model =
            RecipeModel { name: choice.name.clone(), fingerprint: fingerprint(&folder)?, compute: compute.describe() };
        Ok(Loaded { editor: Editor::load(&folder, &compute)?, model })
    })
}

/// The method's errors as the engine's, where it has a kind for them.
fn in_job_terms(error: EditError) -> anyhow::Error {
    match error {
        EditError::OutOfMemory { width, height, needed, available } => JobError::OutOfMemory {
            what: format!("this edit at {width} × {height}"),
            needed,
            available,
            advice: "Choose a smaller size.".to_owned(),
        }
        .into(),
        other => other.into(),
    }
}

/// Twelve hexadecimal digits that tell one model's weights from another's: a hash over the size, beginning and end of
/// every weight file.
fn fingerprint(folder: &EditorFolder) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    for component in [&folder.unet, &folder.vae, &folder.text_encoder] {
        let mut files: Vec<&Path> = component.weights.files().collect();
        files.sort_unstable();
        files.dedup();
        for path in files {
            let mut file = std::fs::File::open(path)?;
            let length = file.metadata()?.len();
            hash.update(length.to_le_bytes());
            let mut bytes = Vec::new();
            file.by_ref().take(FINGERPRINT_BYTES).read_to_end(&mut bytes)?;
            if length > FINGERPRINT_BYTES {
                let tail = length.saturating_sub(FINGERPRINT_BYTES).max(FINGERPRINT_BYTES);
                std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(tail))?;
                file.take(FINGERPRINT_BYTES).read_to_end(&mut bytes)?;
            }
            hash.update(&bytes);
        }
    }
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::request::{EditSettings, Specific};
    use crate::engine::{Engine, JobState};
    use crate::picture::Picture;
    use crate::picture::resize::SizeRequest;

    fn job(folder: &str) -> EditJob {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/edit/folders").join(folder);
        let picture = RgbImage::from_fn(50, 34, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
        EditJob::new(
            EditRequest {
                picture: Picture::from_rgb("test", picture),
                instruction: "winter".into(),
                caption: String::new(),
                specifics: vec![Specific::new("snow"), Specific::new("ice")],
                settings: EditSettings { steps: 3, size: Some(SizeRequest::LongerSide(32)), ..EditSettings::default() },
            },
            EditorChoice { name: folder.into(), path, device: DeviceChoice::Cpu, precision: Precision::Auto },
        )
    }

    fn engine() -> Engine {
        Engine::start(1 << 30, Arc::new(|| {})).unwrap()
    }

    #[test]
    fn an_edit_comes_back_at_the_sources_size_with_its_recipe() {
        let engine = engine();
        let ticket = engine.submit(job("blocks"));
        let monitor = Arc::clone(&ticket.monitor);
        let result = ticket.wait().unwrap();
        assert_eq!(result.outcome.picture.dimensions(), (50, 34));
        assert_eq!(result.outcome.contributions.instructions.len(), 2);
        assert_eq!(result.recipe.model.name, "blocks");
        assert_eq!(result.recipe.model.fingerprint.len(), 12);
        assert!(monitor.snapshot().preview.is_some());
        // The recipe makes the same picture again, bit for bit.
        let mut again = job("blocks");
        again.request = Recipe::from_json(&result.recipe.to_json()).unwrap().request(again.request.picture).unwrap();
        let second = engine.submit(again).wait().unwrap();
        assert_eq!(second.outcome.picture, result.outcome.picture);
        assert_eq!(second.recipe.model, result.recipe.model);
        let other = engine.submit(job("odd")).wait().unwrap();
        assert_ne!(other.recipe.model.fingerprint, result.recipe.model.fingerprint);
    }

    #[test]
    fn a_missing_folder_fails_in_words_and_the_next_edit_runs() {
        let engine = engine();
        let mut missing = job("blocks");
        missing.editor.path = missing.editor.path.join("nowhere");
        let failed = engine.submit(missing);
        let next = engine.submit(job("blocks"));
        let monitor = Arc::clone(&failed.monitor);
        let error = failed.wait().unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
        assert!(next.wait().is_ok());
        // The state follows the result; once the next job has run it is there for certain.
        assert_eq!(monitor.snapshot().state, JobState::Failed);
    }

    #[test]
    fn a_size_beyond_memory_is_refused_before_it_is_taken() {
        let engine = engine();
        let mut huge = job("blocks");
        huge.request.settings.size = Some(SizeRequest::Exact(60_000, 60_000));
        let error = engine.submit(huge).wait().unwrap_err();
        assert!(matches!(error, JobError::OutOfMemory { .. } | JobError::Failed { .. }), "{error}");
        assert!(engine.submit(job("blocks")).wait().is_ok());
    }
}
