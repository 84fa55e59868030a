//! Who does the work: the models on this machine, behind a trait that window tests answer themselves.
//!
//! Everything here runs on the engine's inference thread; the window only ever submits and polls.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use super::draft::Draft;
use super::language::{Describer, Language};
use crate::edit::language::endpoint::{Endpoint, EndpointSettings};
use crate::edit::language::source::{LanguageModel, SpecifierSource};
use crate::edit::pipeline::EditOutcome;
use crate::edit::recipe::Recipe;
use crate::edit::request::{EditRequest, EditSettings};
use crate::engine::jobs::edit::{EditJob, EditorChoice};
use crate::engine::jobs::specify::{CaptionJob, LanguageChoice, NOBODY, SpecifyJob};
use crate::engine::{Engine, Job, JobContext, Ticket, bytes_in_words};
use crate::ops::device::{Compute, DeviceChoice, Precision};
use crate::packs::language::LanguageFolder;
use crate::packs::manifest::Role;
use crate::packs::store::Store;
use crate::picture::Picture;

/// What a language model is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The picture the wish is about.
    pub picture: Arc<RgbImage>,
    /// The wish, in the person's words.
    pub wish: String,
    /// What the picture shows; captioned first if `None`.
    pub caption: Option<String>,
    /// How many instructions.
    pub count: usize,
    /// Instructions that must not come (again).
    pub avoid: Vec<String>,
    /// The same seed proposes the same.
    pub seed: u64,
}

/// What a language model proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// What the picture shows.
    pub caption: String,
    /// The concrete instructions; may be fewer than asked for.
    pub instructions: Vec<String>,
    /// A sentence for the person, if there are fewer.
    pub notice: Option<String>,
}

/// A model as the window offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What [`EditorChoice::find`] understands: a model's or pack's name, or a folder.
    pub name: String,
    /// What the person reads.
    pub title: String,
    /// One or two sentences on it.
    pub about: String,
    /// Whether its files are on this machine.
    pub here: bool,
}

/// Which editor, where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    /// A model's or pack's name, or a folder.
    pub name: String,
    /// The person's choice of device.
    pub device: DeviceChoice,
    /// And of precision.
    pub precision: Precision,
}

/// Who describes and proposes, where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The source.
    pub language: Language,
    /// Who describes pictures, where the source is not the starter.
    pub describer: Describer,
    /// The person's choice of device.
    pub device: DeviceChoice,
    /// And of precision.
    pub precision: Precision,
}

/// What was found where a language model was said to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanguageFound {
    /// One or two sentences.
    pub words: String,
    /// The names of the models that a server offers.
    pub models: Vec<String>,
}

/// Runs what the Edit lens asks for.
pub trait Workshop: Send + Sync {
    /// The editors to choose from.
    fn editors(&self) -> Vec<Offer>;
    /// What the editor `name` usually runs with, if its entry says so; why it cannot run, if it cannot.
    ///
    /// # Errors
    /// One sentence.
    fn look_up(&self, name: &str) -> Result<Option<EditSettings>, String>;
    /// Looks whether a language model is there, without loading it; a server is asked for its list of models. May take
    /// seconds.
    ///
    /// # Errors
    /// One sentence.
    fn look_at_language(&self, language: &Language) -> Result<LanguageFound, String>;
    /// The feature backbones to choose from.
    fn backbones(&self) -> Vec<Offer> {
        Vec::new()
    }
    /// The folder or file of the backbone `name`, which is a model's or pack's name, or a path itself. Reads files.
    ///
    /// # Errors
    /// One sentence.
    fn backbone(&self, name: &str) -> Result<PathBuf, String> {
        Ok(PathBuf::from(name))
    }
    /// The models to choose from that answer questions about pictures.
    fn vlms(&self) -> Vec<Offer> {
        Vec::new()
    }
    /// The folder of the model `name`, which is a model's or pack's name, or a path itself. Reads files.
    ///
    /// # Errors
    /// One sentence.
    fn vlm(&self, name: &str) -> Result<PathBuf, String> {
        Ok(PathBuf::from(name))
    }
    /// The models to choose from that tell how far away things are.
    fn depth_models(&self) -> Vec<Offer> {
        Vec::new()
    }
    /// The folder of the depth model `name`, which is a model's or pack's name, or a path itself. Reads files.
    ///
    /// # Errors
    /// One sentence.
    fn depth_model(&self, name: &str) -> Result<PathBuf, String> {
        Ok(PathBuf::from(name))
    }
    /// Describes the picture.
    ///
    /// # Errors
    /// Anything; the engine makes it a sentence.
    fn caption(&self, picture: &Arc<RgbImage>, writer: &Writer, context: &mut JobContext<'_>)
    -> anyhow::Result<String>;
    /// Proposes concrete instructions, streaming what is written to the context's monitor.
    ///
    /// # Errors
    /// Anything; the engine makes it a sentence.
    fn specify(&self, question: Question, writer: &Writer, context: &mut JobContext<'_>) -> anyhow::Result<Suggestion>;
    /// Edits.
    ///
    /// # Errors
    /// Anything; the engine makes it a sentence.
    fn edit(
        &self,
        request: EditRequest,
        editor: &Editor,
        context: &mut JobContext<'_>,
    ) -> anyhow::Result<(EditOutcome, Recipe)>;
}

/// The models on this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Models;

impl Workshop for Models {
    fn editors(&self) -> Vec<Offer> {
        offers(Role::Editor)
    }

    fn backbones(&self) -> Vec<Offer> {
        offers(Role::Backbone)
    }

    fn backbone(&self, name: &str) -> Result<PathBuf, String> {
        let store = Store::open().map_err(|error| error.to_string())?;
        Ok(store.find(name, Role::Backbone).map_err(|error| error.to_string())?.path)
    }

    fn vlms(&self) -> Vec<Offer> {
        offers(Role::Vlm)
    }

    fn vlm(&self, name: &str) -> Result<PathBuf, String> {
        let store = Store::open().map_err(|error| error.to_string())?;
        Ok(store.find(name, Role::Vlm).map_err(|error| error.to_string())?.path)
    }

    fn depth_models(&self) -> Vec<Offer> {
        offers(Role::Depth)
    }

    fn depth_model(&self, name: &str) -> Result<PathBuf, String> {
        let store = Store::open().map_err(|error| error.to_string())?;
        Ok(store.find(name, Role::Depth).map_err(|error| error.to_string())?.path)
    }

    fn look_up(&self, name: &str) -> Result<Option<EditSettings>, String> {
        let store = Store::open().map_err(|error| error.to_string())?;
        let (_, defaults) =
            EditorChoice::find(&store, name, DeviceChoice::Auto, Precision::Auto).map_err(|error| error.to_string())?;
        defaults.map(|defaults| EditSettings::of_model(&defaults)).transpose().map_err(|error| error.to_string())
    }

    fn look_at_language(&self, language: &Language) -> Result<LanguageFound, String> {
        let words = match source(language).map_err(|error| error.to_string())? {
            SpecifierSource::Files(path) => {
                let bytes = LanguageModel::bytes_needed(&path, &Compute::cpu()).map_err(|error| error.to_string())?;
                let sees = path.is_dir() && LanguageFolder::open(&path).is_ok_and(|folder| sees(&folder));
                let part = if sees { "sees pictures and writes" } else { "writes, but sees no pictures" };
                format!("It is there, takes about {} when loaded, {part}.", bytes_in_words(bytes))
            }
            SpecifierSource::Endpoint(settings) => {
                let settings = EndpointSettings { patience: LOOK, ..settings };
                let server = Endpoint::new(settings).map_err(|error| error.to_string())?;
                let models = server.models().map_err(|error| error.to_string())?;
                let words = match models.len() {
                    0 => format!("{} answers, but lists no models: name the one to use.", server.host()),
                    1 => format!("{} answers and offers one model.", server.host()),
                    n => format!("{} answers and offers {n} models. Choose one:", server.host()),
                };
                return Ok(LanguageFound { words, models });
            }
        };
        Ok(LanguageFound { words, models: Vec::new() })
    }

    fn caption(
        &self,
        picture: &Arc<RgbImage>,
        writer: &Writer,
        context: &mut JobContext<'_>,
    ) -> anyhow::Result<String> {
        let model = language_model(writer)?;
        CaptionJob { picture: Arc::clone(picture), model }.run(context)
    }

    fn specify(&self, question: Question, writer: &Writer, context: &mut JobContext<'_>) -> anyhow::Result<Suggestion> {
        let Question { picture, wish, caption, count, avoid, seed } = question;
        let model = language_model(writer)?;
        let proposal = SpecifyJob { picture, wish, caption, count, avoid, seed, model }.run(context)?;
        Ok(Suggestion { caption: proposal.caption, instructions: proposal.specifics, notice: proposal.notice })
    }

    fn edit(
        &self,
        request: EditRequest,
        editor: &Editor,
        context: &mut JobContext<'_>,
    ) -> anyhow::Result<(EditOutcome, Recipe)> {
        let (choice, _) = EditorChoice::find(&Store::open()?, &editor.name, editor.device, editor.precision)?;
        let result = EditJob::new(request, choice).run(context)?;
        Ok((result.outcome, result.recipe))
    }
}

/// The models of the list that can be used as `role`.
fn offers(role: Role) -> Vec<Offer> {
    let Ok(store) = Store::open() else { return Vec::new() };
    let models = store.manifest().models.iter().filter(|model| model.roles.contains(&role));
    models
        .map(|model| Offer {
            name: model.id.clone(),
            title: model.name.clone(),
            about: model.about.clone(),
            here: store.locate(model).is_some(),
        })
        .collect()
}

/// How long a server may take to list its models.
const LOOK: std::time::Duration = std::time::Duration::from_secs(10);

/// The captioner and specifier that were chosen, on this machine.
fn language_model(writer: &Writer) -> anyhow::Result<LanguageChoice> {
    let (name, server_model) = match &writer.language {
        Language::Starter => ("starter".to_owned(), None),
        Language::Files(path) => (path.display().to_string(), None),
        Language::Server { address, model } => (with_scheme(address), model.as_deref()),
        Language::ByHand => anyhow::bail!("nothing is proposed: you chose to write the instructions by hand"),
    };
    let store = Store::open()?;
    let choice = LanguageChoice::find(&store, &name, server_model, writer.device, writer.precision)?;
    let described_by = match (&writer.language, writer.describer) {
        (Language::Starter, _) | (_, Describer::Starter) => return Ok(choice),
        (_, Describer::Same) => name.as_str(),
        (_, Describer::Nobody) => NOBODY,
    };
    Ok(choice.with_captioner(&store, described_by, server_model)?)
}

fn source(language: &Language) -> anyhow::Result<SpecifierSource> {
    let writer = Writer {
        language: language.clone(),
        describer: Describer::Starter,
        device: DeviceChoice::Auto,
        precision: Precision::Auto,
    };
    Ok(language_model(&writer)?.specifier)
}

/// `localhost:11434` is meant as an address, not as a file.
fn with_scheme(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

/// Whether a model of that folder can look at pictures.
fn sees(folder: &LanguageFolder) -> bool {
    folder.config.get("model_type").and_then(serde_json::Value::as_str) == Some("llava")
}

/// Anything that runs on the inference thread, with its title in the queue.
struct Call<F> {
    title: String,
    work: F,
}

impl<T, F> Job for Call<F>
where
    T: Send + 'static,
    F: FnOnce(&mut JobContext<'_>) -> anyhow::Result<T> + Send + 'static,
{
    type Output = T;

    fn title(&self) -> String {
        self.title.clone()
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<T> {
        (self.work)(context)
    }
}

/// Puts `work` into the engine's queue.
pub(super) fn submit<T: Send + 'static>(
    engine: &Engine,
    title: impl Into<String>,
    work: impl FnOnce(&mut JobContext<'_>) -> anyhow::Result<T> + Send + 'static,
) -> Ticket<T> {
    engine.submit(Call { title: title.into(), work })
}

/// Submits an edit of `picture`. Full-size regions are made on the inference thread.
pub(super) fn submit_edit(
    engine: &Engine,
    workshop: &Arc<dyn Workshop>,
    title: &str,
    draft: &Draft,
    picture: Picture,
    editor: Editor,
) -> Ticket<(EditOutcome, Recipe)> {
    let (workshop, draft) = (Arc::clone(workshop), draft.clone());
    submit(engine, title, move |context| {
        context.monitor.check()?;
        workshop.edit(draft.to_request(picture), &editor, context)
    })
}

/// The folder of a model that the person named, as the window writes it.
pub(crate) fn short_name(editor: &str) -> String {
    let path = PathBuf::from(editor);
    let folder = path.file_name().map(|name| name.to_string_lossy().into_owned());
    folder.filter(|_| path.components().count() > 1).unwrap_or_else(|| editor.to_owned())
}
