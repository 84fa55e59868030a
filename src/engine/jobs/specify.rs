//! Captions and proposals on the inference thread: the language model opened through the cache, its words streamed to
//! whoever watches.

use std::sync::Arc;

use image::RgbImage;

use crate::edit::caption::{CaptionError, Captioner};
use crate::edit::language::endpoint::{Endpoint, EndpointSettings};
use crate::edit::language::source::{CaptionerSource, LanguageModel, SpecifierSource};
use crate::edit::specify::{Specifier, SpecifyError, SpecifyRequest};
use crate::engine::{Job, JobContext, JobError, memory};
use crate::nets::watcher::Cancelled;
use crate::ops::device::{Compute, DeviceChoice, Precision};
use crate::packs::PackError;
use crate::packs::manifest::Role;
use crate::packs::store::Store;

/// The environment variable with the key of the server that the person named.
pub const KEY_VARIABLE: &str = "GLASSBOX_ENDPOINT_KEY";

/// The environment variable with the key of the server that describes pictures, where it is another one.
pub const CAPTIONER_KEY_VARIABLE: &str = "GLASSBOX_CAPTIONER_KEY";

/// What the person calls a captioner that is nobody.
pub const NOBODY: &str = "none";

/// Which models describe pictures and write instructions, and where they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageChoice {
    /// What the person calls the writer: a pack's or model's name, a folder, a file, or a server's address.
    pub name: String,
    /// Who describes pictures.
    pub captioner: CaptionerSource,
    /// Who writes the instructions.
    pub specifier: SpecifierSource,
    /// Where local models run.
    pub device: DeviceChoice,
    /// In which precision.
    pub precision: Precision,
}

impl LanguageChoice {
    /// The writer that `name` means (a pack, a model, a folder, a GGUF file, or the address of an OpenAI-compatible
    /// server), and for captions the pack's captioner, else the starter's: no picture is sent anywhere unless
    /// [`LanguageChoice::with_captioner`] says so.
    ///
    /// `server_model` is the model's name at a server; the server's key comes from the environment
    /// ([`KEY_VARIABLE`]).
    ///
    /// # Errors
    /// If there is no such writer here, in one sentence.
    pub fn find(
        store: &Store,
        name: &str,
        server_model: Option<&str>,
        device: DeviceChoice,
        precision: Precision,
    ) -> Result<Self, PackError> {
        let captioner = |of: &str| store.find(of, Role::Captioner).ok().map(|found| found.path);
        let specifier = if is_address(name) {
            SpecifierSource::Endpoint(settings(name, server_model, key(KEY_VARIABLE)))
        } else {
            SpecifierSource::Files(store.find(name, Role::Specifier)?.path)
        };
        let own = store.manifest().pack(name).and_then(|_| captioner(name));
        let captioner = own.or_else(|| captioner("starter"));
        Ok(Self {
            name: name.to_owned(),
            captioner: captioner.map_or(CaptionerSource::Nobody, CaptionerSource::Files),
            specifier,
            device,
            precision,
        })
    }

    /// The same with another captioner: [`NOBODY`], a pack, a model, a folder, or the address of an OpenAI-compatible
    /// server whose model sees pictures.
    ///
    /// `server_model` is the model's name there; the writer's own if it is the same server and none is given. The key
    /// comes from the environment: [`CAPTIONER_KEY_VARIABLE`], else [`KEY_VARIABLE`] unless the writer is another
    /// server, whose key this one must not see.
    ///
    /// # Errors
    /// If there is no such captioner here, in one sentence.
    pub fn with_captioner(mut self, store: &Store, name: &str, server_model: Option<&str>) -> Result<Self, PackError> {
        self.captioner = if name == NOBODY {
            CaptionerSource::Nobody
        } else if is_address(name) {
            let writer = match &self.specifier {
                SpecifierSource::Endpoint(writer) => Some(writer),
                SpecifierSource::Files(_) => None,
            };
            let same = writer.is_some_and(|writer| is_same_server(&writer.url, name));
            let shared = if writer.is_none() || same { key(KEY_VARIABLE) } else { None };
            let model = server_model.or_else(|| writer.filter(|_| same)?.model.as_deref());
            CaptionerSource::Endpoint(settings(name, model, key(CAPTIONER_KEY_VARIABLE).or(shared)))
        } else {
            CaptionerSource::Files(store.find(name, Role::Captioner)?.path)
        };
        Ok(self)
    }
}

/// Whether a name is the address of a server.
fn is_address(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// Whether two addresses mean one server.
fn is_same_server(one: &str, other: &str) -> bool {
    let host = |url: &str| Endpoint::new(EndpointSettings::new(url)).ok().map(|server| server.base().to_owned());
    host(one).is_some_and(|one| host(other) == Some(one))
}

/// A key from the environment.
fn key(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|key| !key.is_empty())
}

fn settings(url: &str, model: Option<&str>, key: Option<String>) -> EndpointSettings {
    EndpointSettings { model: model.map(str::to_owned), key, ..EndpointSettings::new(url) }
}

/// A picture to describe.
#[derive(Clone, Debug)]
pub struct CaptionJob {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// By whom.
    pub model: LanguageChoice,
}

/// A wish to specify.
#[derive(Clone, Debug)]
pub struct SpecifyJob {
    /// The picture.
    pub picture: Arc<RgbImage>,
    /// What the person wishes, perhaps vaguely.
    pub wish: String,
    /// What the picture shows; `None`: the captioner says it.
    pub caption: Option<String>,
    /// How many instructions, 1 to 6.
    pub count: usize,
    /// Instructions that are there already, or that the person refused: none of them is proposed.
    pub avoid: Vec<String>,
    /// The same seed gives the same proposal from the same local model.
    pub seed: u64,
    /// By whom.
    pub model: LanguageChoice,
}

/// What a specification brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What the picture shows, as given or as the captioner said; may be empty.
    pub caption: String,
    /// The instructions, at most as many as asked for.
    pub specifics: Vec<String>,
    /// What the person should know: that there are fewer than asked for, or that nobody described the picture.
    pub notice: Option<String>,
}

impl Job for CaptionJob {
    type Output = String;

    fn title(&self) -> String {
        "Describe the picture".to_owned()
    }

    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<String> {
        describe(&self.picture, &self.model, true, context)
    }
}

impl Job for SpecifyJob {
    type Output = Proposal;

    fn title(&self) -> String {
        format!("Specify: {}", self.wish.trim())
    }

    /// The monitor's text is what the specifier writes; the caption is not streamed here.
    fn run(self, context: &mut JobContext<'_>) -> anyhow::Result<Proposal> {
        let (caption, without_caption) = match self.caption {
            Some(caption) => (caption, None),
            None => match describe(&self.picture, &self.model, false, context) {
                Ok(caption) => (caption, None),
                Err(error) => match JobError::from_anyhow(&error) {
                    stop @ (JobError::Cancelled | JobError::OutOfMemory { .. }) => return Err(stop.into()),
                    other => (String::new(), Some(format!("The picture was not described: {other}."))),
                },
            },
        };
        let request = SpecifyRequest {
            count: self.count,
            avoid: self.avoid,
            seed: self.seed,
            ..SpecifyRequest::new(caption.clone(), self.wish)
        };
        let monitor = context.monitor;
        let mut on_text = |piece: &str| monitor.text(piece);
        let found = match &self.model.specifier {
            SpecifierSource::Files(path) => {
                let model = load(path, &self.model, context)?;
                monitor.stage("Writing instructions", 0);
                model.specifier().specify(&request, &mut on_text, monitor)
            }
            SpecifierSource::Endpoint(settings) => {
                let mut server = Endpoint::new(settings.clone())?;
                monitor.stage(format!("Waiting for {}", server.host()), 0);
                server.specify(&request, &mut on_text, monitor)
            }
        };
        let found = found.map_err(|error| match error {
            SpecifyError::Cancelled => Cancelled.into(),
            other => anyhow::Error::from(other),
        })?;
        let notices = [without_caption, found.notice].into_iter().flatten().collect::<Vec<_>>();
        let notice = (!notices.is_empty()).then(|| notices.join(" "));
        Ok(Proposal { caption, specifics: found.instructions, notice })
    }
}

/// The caption of a picture, streamed if `streamed`.
fn describe(
    picture: &RgbImage,
    choice: &LanguageChoice,
    streamed: bool,
    context: &mut JobContext<'_>,
) -> anyhow::Result<String> {
    let monitor = context.monitor;
    let mut on_text = |piece: &str| {
        if streamed {
            monitor.text(piece);
        }
    };
    let caption = match &choice.captioner {
        CaptionerSource::Nobody => {
            anyhow::bail!("there is no model here that describes pictures; write the description by hand")
        }
        CaptionerSource::Files(path) => {
            let model = load(path, choice, context)?;
            let Some(mut captioner) = model.captioner() else {
                anyhow::bail!("the model in {} cannot see pictures; write the description by hand", path.display());
            };
            monitor.stage("Describing the picture", 0);
            captioner.caption(picture, &mut on_text, monitor)
        }
        CaptionerSource::Endpoint(settings) => {
            let mut server = Endpoint::new(settings.clone())?;
            monitor.stage(format!("Waiting for {} to describe the picture", server.host()), 0);
            server.caption(picture, &mut on_text, monitor)
        }
    };
    caption.map_err(|error| match error {
        CaptionError::Cancelled => Cancelled.into(),
        other => other.into(),
    })
}

/// Opens a model unless it is open already.
fn load(
    path: &std::path::Path,
    choice: &LanguageChoice,
    context: &mut JobContext<'_>,
) -> anyhow::Result<Arc<LanguageModel>> {
    let key = format!("language {} {:?} {:?}", path.display(), choice.device, choice.precision);
    let compute = Compute::open(choice.device, choice.precision)?;
    let mut bytes = 0;
    if !context.models.holds(&key) {
        context.monitor.stage("Opening the language model", 0);
        bytes = LanguageModel::bytes_needed(path, &compute)?;
        if compute.device.is_cpu()
            && let Some(available) = memory::available().map(|free| free + context.models.bytes())
            && bytes > available
        {
            return Err(JobError::OutOfMemory {
                what: format!("the language model {}", choice.name),
                needed: bytes,
                available,
                advice: "Choose a smaller or a quantised one (GGUF), or a server.".to_owned(),
            }
            .into());
        }
    }
    Ok(context.models.get_or_load(&key, bytes, || LanguageModel::open(path, &compute))?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::engine::{Engine, JobState};

    fn choice(captioner: Option<&str>, specifier: SpecifierSource) -> LanguageChoice {
        LanguageChoice {
            name: "test".to_owned(),
            captioner: captioner.map_or(CaptionerSource::Nobody, |name| CaptionerSource::Files(folder(name))),
            specifier,
            device: DeviceChoice::Cpu,
            precision: Precision::Auto,
        }
    }

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/language").join(name)
    }

    fn local() -> LanguageChoice {
        choice(Some("starter"), SpecifierSource::Files(folder("starter")))
    }

    fn picture() -> Arc<RgbImage> {
        Arc::new(image::open(folder("starter").join("picture.png")).unwrap().to_rgb8())
    }

    fn specify(model: LanguageChoice, caption: Option<&str>) -> SpecifyJob {
        SpecifyJob {
            picture: picture(),
            wish: "make it feel like winter".to_owned(),
            caption: caption.map(str::to_owned),
            count: 2,
            avoid: Vec::new(),
            seed: 3,
            model,
        }
    }

    fn engine() -> Engine {
        Engine::start(1 << 30, Arc::new(|| {})).unwrap()
    }

    #[test]
    fn a_caption_streams_and_a_proposal_comes_from_one_loaded_model() {
        let engine = engine();
        let ticket = engine.submit(CaptionJob { picture: picture(), model: local() });
        let monitor = Arc::clone(&ticket.monitor);
        // The random fixture writes something, which may or may not be a caption.
        match ticket.wait() {
            Ok(caption) => assert!(!caption.is_empty()),
            Err(error) => assert!(error.to_string().contains("describe the picture by hand"), "{error}"),
        }
        assert!(!monitor.snapshot().text.is_empty());
        let ticket = engine.submit(specify(local(), Some("a house")));
        let monitor = Arc::clone(&ticket.monitor);
        let proposal = ticket.wait().unwrap();
        assert_eq!(proposal.caption, "a house");
        assert!(proposal.specifics.len() <= 2);
        assert!(!monitor.snapshot().text.is_empty());
        assert_eq!(monitor.snapshot().stage, "Writing instructions");
        assert_eq!(engine.submit(specify(local(), Some("a house"))).wait().unwrap(), proposal);
    }

    #[test]
    fn without_a_captioner_the_wish_is_still_specified_and_the_person_told() {
        let model = choice(None, SpecifierSource::Files(folder("starter")));
        let proposal = engine().submit(specify(model, None)).wait().unwrap();
        assert_eq!(proposal.caption, "");
        assert!(proposal.notice.unwrap().contains("was not described"));
    }

    #[test]
    fn a_missing_model_and_a_dead_server_fail_in_words() {
        let engine = engine();
        let absent = choice(None, SpecifierSource::Files(folder("nowhere")));
        let error = engine.submit(specify(absent, Some("a house"))).wait().unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
        // A port that no program gets by chance.
        let url = "http://127.0.0.1:1";
        let server = EndpointSettings { model: Some("m".to_owned()), ..EndpointSettings::new(url) };
        let dead = choice(None, SpecifierSource::Endpoint(server));
        let error = engine.submit(specify(dead, Some("a house"))).wait().unwrap_err().to_string();
        assert!(error.starts_with("nothing answers at 127.0.0.1"), "{error}");
    }

    #[test]
    fn a_cancelled_job_stops_while_its_server_is_silent() {
        let engine = engine();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = EndpointSettings { model: Some("m".to_owned()), ..EndpointSettings::new(&url) };
        let ticket = engine.submit(specify(choice(None, SpecifierSource::Endpoint(server)), Some("a house")));
        // The connection shows that the job has begun to wait.
        let connection = listener.accept().unwrap();
        engine.cancel(ticket.id);
        let monitor = Arc::clone(&ticket.monitor);
        assert_eq!(ticket.wait().unwrap_err(), JobError::Cancelled);
        drop(connection);
        assert_eq!(
            engine.submit(specify(local(), Some("a house"))).wait().map(|p| p.caption),
            Ok("a house".to_owned())
        );
        assert_eq!(monitor.snapshot().state, JobState::Cancelled);
    }

    #[test]
    fn a_server_describes_the_picture_and_a_local_model_writes() {
        let engine = engine();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.ends_with(b"}") {
                let read = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            let body = r#"{"choices": [{"message": {"content": "A farm with a red barn."}}]}"#;
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all((head + body).as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let settings = EndpointSettings { model: Some("eye".to_owned()), ..EndpointSettings::new(&url) };
        let model = LanguageChoice { captioner: CaptionerSource::Endpoint(settings), ..local() };
        let proposal = engine.submit(specify(model, None)).wait().unwrap();
        assert_eq!(proposal.caption.trim_end_matches('.').to_lowercase(), "a farm with a red barn");
        assert!(server.join().unwrap().contains("data:image/jpeg;base64,"));
        // A server that is not there costs the description only.
        let settings = EndpointSettings { model: Some("m".to_owned()), ..EndpointSettings::new("http://127.0.0.1:1") };
        let model = LanguageChoice { captioner: CaptionerSource::Endpoint(settings), ..local() };
        let notice = engine.submit(specify(model, None)).wait().unwrap().notice.unwrap();
        assert!(notice.contains("was not described: nothing answers at 127.0.0.1"), "{notice}");
    }

    #[test]
    fn names_mean_models_packs_folders_and_servers() {
        let places = crate::packs::store::Places {
            assets: vec![tempfile::tempdir().unwrap().path().to_path_buf()],
            ..Default::default()
        };
        let store = Store::at(places).unwrap();
        let find = |name: &str| LanguageChoice::find(&store, name, Some("tiny"), DeviceChoice::Cpu, Precision::Auto);
        let server = find("http://localhost:11434").unwrap();
        assert!(matches!(&server.specifier, SpecifierSource::Endpoint(s) if s.model.as_deref() == Some("tiny")));
        assert_eq!(server.captioner, CaptionerSource::Nobody);
        // The same server, however it is spelt, describes pictures with the same model unless another is named.
        let sees =
            |url: &str, model: Option<&str>| match server.clone().with_captioner(&store, url, model).unwrap().captioner
            {
                CaptionerSource::Endpoint(settings) => settings.model,
                other => panic!("{other:?}"),
            };
        assert_eq!(sees("http://localhost:11434/v1/", None).as_deref(), Some("tiny"));
        assert_eq!(sees("http://localhost:11434/v1/", Some("eye")).as_deref(), Some("eye"));
        assert_eq!(sees("http://localhost:8080", None), None);
        let local = server.clone().with_captioner(&store, folder("starter").to_str().unwrap(), None).unwrap();
        assert_eq!(local.captioner, CaptionerSource::Files(folder("starter")));
        assert_eq!(local.with_captioner(&store, NOBODY, None).unwrap().captioner, CaptionerSource::Nobody);
        assert!(server.clone().with_captioner(&store, "no such thing", None).is_err());
        let path = folder("starter");
        let own = find(path.to_str().unwrap()).unwrap();
        assert_eq!(own.specifier, SpecifierSource::Files(path));
        assert!(find("starter").is_err() && find("no such thing").is_err());
    }
}
