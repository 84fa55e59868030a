//! A stand-in for the models, a window over it, and the few things a person does with a window.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::{
    Choice, Editor, FileDialogs, Folders, Glassbox, Language, LanguageFound, ModelsAt, Offer, Question, Setup,
    Suggestion, Workshop, Writer,
};
use glassbox::edit::contributions::{Contribution, Contributions};
use glassbox::edit::pipeline::EditOutcome;
use glassbox::edit::recipe::{Recipe, RecipeModel};
use glassbox::edit::request::{EditRequest, EditSettings};
use glassbox::engine::JobContext;
use glassbox::nets::watcher::Watcher;
use glassbox::packs::fetch::HubSettings;
use glassbox::packs::store::Places;
use glassbox::picture::resize::{SizeRequest, plan};
use image::{Rgb, RgbImage};

pub(crate) const WISH: &str = "make it feel like winter";
pub(crate) const STEPS: usize = 4;

/// How many steps the stand-in may take; it waits for more.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<usize>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self, steps: usize) {
        *self.open.lock().unwrap() += steps;
        self.opened.notify_all();
    }

    /// Takes one step's leave, or learns of cancellation.
    fn pass(&self, context: &JobContext<'_>) -> anyhow::Result<()> {
        let mut open = self.open.lock().unwrap();
        while *open == 0 {
            context.monitor.checkpoint()?;
            // Cancellation opens no gate: look again now and then.
            open = self.opened.wait_timeout(open, std::time::Duration::from_millis(5)).unwrap().0;
        }
        *open -= 1;
        Ok(context.monitor.checkpoint()?)
    }
}

#[derive(Default)]
pub(crate) struct StandIn {
    pub(crate) gate: Gate,
    pub(crate) fails: AtomicUsize,
    pub(crate) ran: Mutex<Vec<EditRequest>>,
    /// Who was asked to write.
    pub(crate) asked: Mutex<Vec<Writer>>,
}

impl Workshop for StandIn {
    fn editors(&self) -> Vec<Offer> {
        let offer = |name: &str, title: &str, here| Offer {
            name: name.into(),
            title: title.into(),
            about: "For tests.".into(),
            here,
        };
        vec![offer("starter-editor", "Starter editor", true), offer("paper", "InstructPix2Pix", false)]
    }

    fn look_up(&self, name: &str) -> Result<Option<EditSettings>, String> {
        let size = Some(SizeRequest::LongerSide(64));
        let settings = EditSettings { steps: STEPS, size, seed: 7, ..EditSettings::default() };
        if name == "nowhere" { Err("there is no editor nowhere".into()) } else { Ok(Some(settings)) }
    }

    fn look_at_language(&self, language: &Language) -> Result<LanguageFound, String> {
        match language {
            Language::Server { address, .. } if address.contains("11434") => {
                let models = vec!["qwen3:4b".to_owned(), "llama3.2:3b".to_owned()];
                Ok(LanguageFound { words: "localhost:11434 answers and offers 2 models. Choose one:".into(), models })
            }
            Language::Files(path) => Err(format!("{} is not a folder", path.display())),
            _ => Err("nothing answers at localhost:1; is the server running?".into()),
        }
    }

    fn caption(&self, _: &Arc<RgbImage>, _: &Writer, _: &mut JobContext<'_>) -> anyhow::Result<String> {
        Ok("a village by a lake".into())
    }

    fn specify(&self, question: Question, writer: &Writer, context: &mut JobContext<'_>) -> anyhow::Result<Suggestion> {
        self.asked.lock().unwrap().push(writer.clone());
        let all = ["put snow on the roofs", "turn the lake to ice", "make the sky overcast", "bare the trees"];
        let new = all.iter().filter(|text| !question.avoid.iter().any(|known| known == *text));
        let instructions: Vec<String> = new.take(question.count).map(|text| (*text).to_owned()).collect();
        for line in &instructions {
            context.monitor.text(&format!("{line}\n"));
        }
        let caption = question.caption.unwrap_or_else(|| "a village by a lake".into());
        Ok(Suggestion { caption, instructions, notice: None })
    }

    fn edit(
        &self,
        request: EditRequest,
        editor: &Editor,
        context: &mut JobContext<'_>,
    ) -> anyhow::Result<(EditOutcome, Recipe)> {
        context.monitor.stage("Denoising", request.settings.steps);
        for step in 0..request.settings.steps {
            self.gate.pass(context)?;
            let mut small = image::imageops::thumbnail(&*request.picture.rgb, 32, 24);
            small.pixels_mut().for_each(|pixel| pixel.0[2] = pixel.0[2].saturating_add(30 * step as u8));
            context.monitor.preview(small);
            context.monitor.step(step + 1);
        }
        if self.fails.load(Ordering::Acquire) > 0 {
            self.fails.fetch_sub(1, Ordering::AcqRel);
            anyhow::bail!("the weights of the unet are not whole");
        }
        let seed = request.settings.seed as u8;
        let mut picture = (*request.picture.rgb).clone();
        for pixel in picture.pixels_mut() {
            *pixel = Rgb([pixel.0[0] / 2 + 120, pixel.0[1] / 2 + 120, pixel.0[2] / 2 + 127 - seed % 32]);
        }
        let plan = plan(request.picture.size(), SizeRequest::LongerSide(64), request.settings.fit, 8)?;
        let ramp: Vec<f32> = (0..48).map(|at| at as f32 / 47.0).collect();
        let active: Vec<_> = request.active().collect();
        // One wins over the others as the steps go on.
        let (steps, count) = (request.settings.steps.max(1) as f32, active.len().max(1) as f32);
        let share =
            |k: usize, step: usize| (1.0 + (0.5 - step as f32 / steps) * (k as f32 - (count - 1.0) / 2.0)) / count;
        let instructions = active
            .iter()
            .enumerate()
            .map(|(k, (place, specific))| Contribution {
                specific: *place,
                text: specific.text.clone(),
                win: ramp.clone(),
                push: ramp.clone(),
                product: ramp.clone(),
                share: (0..request.settings.steps).map(|step| share(k, step)).collect(),
            })
            .collect();
        let outcome = EditOutcome {
            picture: Arc::new(picture),
            working: Arc::new(RgbImage::new(64, 48)),
            reconstructed: None,
            plan,
            contributions: Contributions { grid: (8, 6), instructions },
            seconds: 1.5,
            seconds_per_step: 0.1,
        };
        let model =
            RecipeModel { name: editor.name.clone(), fingerprint: "0123abcd".into(), compute: "CPU, f32".into() };
        let recipe = Recipe::of(&request, &outcome, model);
        self.ran.lock().unwrap().push(request);
        Ok((outcome, recipe))
    }
}

/// Answers every dialog with one path.
pub(crate) struct Answers(pub(crate) Mutex<Option<PathBuf>>);

impl FileDialogs for Answers {
    fn open_picture(&self, _: Option<&Path>) -> Choice {
        self.0.lock().unwrap().clone().map_or(Choice::Nothing, Choice::Path)
    }

    fn save(&self, _: Option<&Path>, _: &str, _: &[(&str, &[&str])]) -> Choice {
        self.0.lock().unwrap().clone().map_or(Choice::Nothing, Choice::Path)
    }
}

pub(crate) struct Window {
    pub(crate) home: PathBuf,
    #[allow(dead_code, reason = "removes the folder in the end, if it is the window's own")]
    pub(crate) own: Option<tempfile::TempDir>,
    pub(crate) work: Arc<StandIn>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) size: [f32; 2],
    /// Drawn with a real (software) graphics device, for pictures of the window.
    pub(crate) drawn: bool,
    pub(crate) samples: Vec<PathBuf>,
    /// No models anywhere and no hub, unless a test says otherwise.
    pub(crate) models: ModelsAt,
}

/// A lake below hills, in flat colours: something to look at, made here.
pub(crate) fn landscape(seed: u32) -> RgbImage {
    RgbImage::from_fn(320, 240, |x, y| {
        let (fx, fy) = (x as f32, y as f32);
        let turn = seed as f32 * 1.7;
        let far = 96.0 + 16.0 * (fx * 0.021 + turn).sin() + 7.0 * (fx * 0.057 + turn).cos();
        let near = 136.0 + 12.0 * (fx * 0.015 + 1.0 + turn).sin();
        let house = (196..236).contains(&x) && (116..150).contains(&y);
        let roof = (92..116).contains(&y) && (x as i32 - 216).abs() <= y as i32 - 90;
        let sun = (fx - 70.0).powi(2) + (fy - 44.0).powi(2) < 17.0_f32.powi(2);
        Rgb(match () {
            () if roof => [168, 74, 58],
            () if house => [226, 214, 190],
            () if fy > 168.0 + 2.0 * (fx * 0.09).sin() => [72, 158, 168],
            () if fy > near => [96, 142, 74],
            () if fy > far => [70, 104, 92],
            () if sun => [255, 232, 160],
            () => [124 + (y / 30 * 14) as u8, 170 + (y / 30 * 9) as u8, 222],
        })
    })
}

/// A machine without models and without a hub.
pub(crate) fn nowhere() -> ModelsAt {
    ModelsAt { places: Places::default(), hub: HubSettings { offline: true, ..HubSettings::at("http://127.0.0.1:9") } }
}

impl Window {
    pub(crate) fn new() -> Self {
        let own = tempfile::tempdir().unwrap();
        let window = Self::at(own.path());
        Self { own: Some(own), ..window }
    }

    /// A window whose folder somebody else looks after.
    pub(crate) fn at(home: &Path) -> Self {
        landscape(0).save(home.join("lake village.png")).unwrap();
        Self {
            home: home.to_owned(),
            own: None,
            work: Arc::default(),
            answers: Arc::new(Answers(Mutex::new(None))),
            size: [1280.0, 860.0],
            drawn: false,
            samples: Vec::new(),
            models: nowhere(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Writes settings that the next window begins with.
    pub(crate) fn settings(&self, json: &str) {
        let folder = self.path("home").join("config");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("settings.json"), json).unwrap();
    }

    pub(crate) fn open(&self, picture: Option<&str>) -> Harness<'static, Glassbox> {
        let setup = Setup {
            picture: picture.map(|name| self.path(name)),
            folders: Folders::below(self.path("home")),
            dialogs: self.answers.clone(),
            workshop: self.work.clone(),
            samples: self.samples.clone(),
            scene: None,
            models: self.models.clone(),
            memory: || Some(812_000_000),
        };
        harness(setup, self.size, self.drawn)
    }
}

/// A window of `size` points.
pub(crate) fn harness(setup: Setup, size: [f32; 2], drawn: bool) -> Harness<'static, Glassbox> {
    let mut setup = Some(setup);
    let builder = Harness::builder().with_size(size).with_max_steps(8);
    // Fonts of the system are not there in tests: what is not drawn need not have letters for everything.
    let builder = if drawn { builder.wgpu() } else { builder.allow_missing_glyphs() };
    builder.build_eframe(move |cc| Glassbox::new(cc, setup.take().expect("built once")).expect("a thread"))
}

/// Steps until `there` holds, a bounded number of frames.
pub(crate) fn until(harness: &mut Harness<'_, Glassbox>, what: &str, there: impl Fn(&Harness<'_, Glassbox>) -> bool) {
    for _ in 0..30_000 {
        harness.step();
        if there(harness) {
            return;
        }
        std::thread::yield_now();
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    let names: Vec<String> =
        harness.query_all_by_label_contains("").filter_map(|node| node.accesskit_node().label()).collect();
    panic!("{what} did not come; there is {}", names.join(" | "));
}

pub(crate) fn has(harness: &Harness<'_, Glassbox>, label: &str) -> bool {
    harness.query_all_by_label(label).next().is_some()
}

pub(crate) fn has_part(harness: &Harness<'_, Glassbox>, label: &str) -> bool {
    harness.query_all_by_label_contains(label).next().is_some()
}

pub(crate) fn click(harness: &mut Harness<'_, Glassbox>, label: &str) {
    until(harness, label, |h| has(h, label));
    harness.get_by_label(label).click_accesskit();
    harness.step();
    harness.step();
}

pub(crate) fn type_into(harness: &mut Harness<'_, Glassbox>, label: &str, text: &str) {
    harness.get_by_label(label).focus();
    harness.step();
    harness.get_by_label(label).type_text(text);
    harness.step();
    harness.step();
}

/// Leaves the text field that has the keyboard.
pub(crate) fn leave(harness: &mut Harness<'_, Glassbox>) {
    harness.key_press(egui::Key::Escape);
    harness.step();
    harness.step();
}

pub(crate) fn opened(window: &Window) -> Harness<'static, Glassbox> {
    let mut harness = window.open(Some("lake village.png"));
    until(&mut harness, "the picture", |h| has(h, "Wish"));
    harness
}

pub(crate) fn proposed(window: &Window) -> Harness<'static, Glassbox> {
    let mut harness = opened(window);
    type_into(&mut harness, "Wish", WISH);
    leave(&mut harness);
    click(&mut harness, "Propose instructions");
    until(&mut harness, "the proposal", |h| has(h, "Instruction 3"));
    harness
}

pub(crate) fn value(harness: &Harness<'_, Glassbox>, label: &str) -> String {
    let field = harness.query_all_by_label(label).next();
    field.and_then(|field| field.accesskit_node().value()).unwrap_or_default()
}
