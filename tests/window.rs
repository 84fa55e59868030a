//! The window, driven as a person or a screen reader drives it: by the names of its controls.
//!
//! Who proposes and edits is a stand-in here that waits at gates, so that every state can be looked at as long as it
//! takes; nothing waits on a clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::{Choice, Editor, FileDialogs, Folders, Glassbox, Offer, Question, Setup, Suggestion, Workshop};
use glassbox::edit::contributions::{Contribution, Contributions};
use glassbox::edit::pipeline::EditOutcome;
use glassbox::edit::recipe::{Recipe, RecipeModel};
use glassbox::edit::request::{EditRequest, EditSettings};
use glassbox::engine::JobContext;
use glassbox::nets::watcher::Watcher;
use glassbox::picture::metadata::read_recipe;
use glassbox::picture::resize::{SizeRequest, plan};
use image::{Rgb, RgbImage};

const WISH: &str = "make it feel like winter";
const STEPS: usize = 4;

/// How many steps the stand-in may take; it waits for more.
#[derive(Default)]
struct Gate {
    open: Mutex<usize>,
    opened: Condvar,
}

impl Gate {
    fn open(&self, steps: usize) {
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
struct StandIn {
    gate: Gate,
    fails: AtomicUsize,
    ran: Mutex<Vec<EditRequest>>,
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

    fn caption(&self, _: &Arc<RgbImage>, _: &str, _: &mut JobContext<'_>) -> anyhow::Result<String> {
        Ok("a village by a lake".into())
    }

    fn specify(&self, question: Question, _: &str, context: &mut JobContext<'_>) -> anyhow::Result<Suggestion> {
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
        let began = std::time::Instant::now();
        context.monitor.stage("Denoising", request.settings.steps);
        for step in 0..request.settings.steps {
            self.gate.pass(context)?;
            context.monitor.preview(RgbImage::from_pixel(8, 6, Rgb([90, 120, 20 * step as u8])));
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
        let share = 1.0 / active.len().max(1) as f32;
        let instructions = active
            .iter()
            .map(|(place, specific)| Contribution {
                specific: *place,
                text: specific.text.clone(),
                win: ramp.clone(),
                push: ramp.clone(),
                product: ramp.clone(),
                share: vec![share; request.settings.steps],
            })
            .collect();
        let outcome = EditOutcome {
            picture: Arc::new(picture),
            working: Arc::new(RgbImage::new(64, 48)),
            reconstructed: None,
            plan,
            contributions: Contributions { grid: (8, 6), instructions },
            seconds: began.elapsed().as_secs_f64(),
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
struct Answers(Mutex<Option<PathBuf>>);

impl FileDialogs for Answers {
    fn open_picture(&self, _: Option<&Path>) -> Choice {
        self.0.lock().unwrap().clone().map_or(Choice::Nothing, Choice::Path)
    }

    fn save(&self, _: Option<&Path>, _: &str, _: &[(&str, &[&str])]) -> Choice {
        self.0.lock().unwrap().clone().map_or(Choice::Nothing, Choice::Path)
    }
}

struct Window {
    home: tempfile::TempDir,
    work: Arc<StandIn>,
    answers: Arc<Answers>,
}

impl Window {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let picture = RgbImage::from_fn(320, 240, |x, y| Rgb([(x / 2) as u8, y as u8, 90]));
        picture.save(home.path().join("lake village.png")).unwrap();
        Self { home, work: Arc::default(), answers: Arc::new(Answers(Mutex::new(None))) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn open(&self, picture: Option<&str>) -> Harness<'static, Glassbox> {
        let setup = || Setup {
            picture: picture.map(|name| self.path(name)),
            folders: Folders::below(self.path("home")),
            dialogs: self.answers.clone(),
            workshop: self.work.clone(),
            samples: Vec::new(),
        };
        let setup = setup();
        let mut setup = Some(setup);
        Harness::builder()
            .with_size([1280.0, 860.0])
            .with_max_steps(8)
            .build_eframe(move |cc| Glassbox::new(cc, setup.take().expect("built once")).expect("a thread"))
    }
}

/// Steps until `there` holds, a bounded number of frames.
fn until(harness: &mut Harness<'_, Glassbox>, what: &str, there: impl Fn(&Harness<'_, Glassbox>) -> bool) {
    for _ in 0..4000 {
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

fn has(harness: &Harness<'_, Glassbox>, label: &str) -> bool {
    harness.query_all_by_label(label).next().is_some()
}

fn has_part(harness: &Harness<'_, Glassbox>, label: &str) -> bool {
    harness.query_all_by_label_contains(label).next().is_some()
}

fn click(harness: &mut Harness<'_, Glassbox>, label: &str) {
    until(harness, label, |h| has(h, label));
    harness.get_by_label(label).click_accesskit();
    harness.step();
    harness.step();
}

fn type_into(harness: &mut Harness<'_, Glassbox>, label: &str, text: &str) {
    harness.get_by_label(label).focus();
    harness.step();
    harness.get_by_label(label).type_text(text);
    harness.step();
    harness.step();
}

/// Leaves the text field that has the keyboard.
fn leave(harness: &mut Harness<'_, Glassbox>) {
    harness.key_press(egui::Key::Escape);
    harness.step();
    harness.step();
}

fn opened(window: &Window) -> Harness<'static, Glassbox> {
    let mut harness = window.open(Some("lake village.png"));
    until(&mut harness, "the picture", |h| has(h, "Wish"));
    harness
}

fn proposed(window: &Window) -> Harness<'static, Glassbox> {
    let mut harness = opened(window);
    type_into(&mut harness, "Wish", WISH);
    leave(&mut harness);
    click(&mut harness, "Propose instructions");
    until(&mut harness, "the proposal", |h| has(h, "Instruction 3"));
    harness
}

fn value(harness: &Harness<'_, Glassbox>, label: &str) -> String {
    harness.get_by_label(label).accesskit_node().value().unwrap_or_default()
}

#[test]
fn from_a_wish_to_an_exported_picture() {
    let window = Window::new();
    let mut h = proposed(&window);
    assert_eq!(value(&h, "Caption"), "a village by a lake");
    assert_eq!(value(&h, "Instruction 1"), "put snow on the roofs");

    // Edit a line, change a weight by keyboard.
    type_into(&mut h, "Instruction 2", ", thin and dark");
    leave(&mut h);
    assert!(value(&h, "Instruction 2").contains("thin and dark"));
    h.get_by_label("Weight of instruction 1").focus();
    h.step();
    h.step();
    for _ in 0..4 {
        h.key_press(egui::Key::ArrowRight);
        h.step();
    }

    // Run, look at it half way, cancel within the step, lose nothing.
    click(&mut h, "Run with 3 instructions");
    window.work.gate.open(2);
    until(&mut h, "the second step", |h| has(h, "Step 2 of 4"));
    click(&mut h, "Cancel");
    until(&mut h, "the end of the run", |h| has(h, "Run with 3 instructions"));
    assert!(window.work.ran.lock().unwrap().is_empty());
    assert!(value(&h, "Instruction 2").contains("thin and dark"));

    // Run to the end: a version, its contributions, its recipe.
    click(&mut h, "Run with 3 instructions");
    window.work.gate.open(STEPS);
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    let ran = window.work.ran.lock().unwrap().pop().unwrap();
    assert_eq!((ran.specifics.len(), ran.settings.seed), (3, 7));
    assert!((ran.specifics[0].weight - 1.2).abs() < 1e-5, "{}", ran.specifics[0].weight);
    until(&mut h, "the result panel", |h| has(h, "What did what"));
    click(&mut h, "Show the map of 2");
    assert!(has(&h, "Hide the map of 2"));

    // Export the map with its numbers.
    *window.answers.0.lock().unwrap() = Some(window.path("map.png"));
    click(&mut h, "Export the map…");
    until(&mut h, "the map", |_| window.path("map.npy").exists() && window.path("map.png").exists());

    // Compare, undo, redo.
    click(&mut h, "Compare with a divider");
    until(&mut h, "the divider", |h| has(h, "Divider"));
    click(&mut h, "Compare side by side");
    click(&mut h, "Difference");
    click(&mut h, "Undo");
    until(&mut h, "the original on the canvas", |h| has(h, "Picture: Original"));
    click(&mut h, "Redo");
    until(&mut h, "the result on the canvas", |h| has(h, &format!("Picture: {WISH}")));

    // Export, with the recipe inside.
    let path = window.path("winter.png");
    *window.answers.0.lock().unwrap() = Some(path.clone());
    click(&mut h, "Export");
    until(&mut h, "the file", |_| path.exists());
    let recipe = Recipe::from_json(&read_recipe(&path).unwrap().unwrap().json).unwrap();
    assert_eq!((recipe.instruction.as_str(), recipe.specifics.len()), (WISH, 3));

    // Opened again, it offers the recipe.
    *window.answers.0.lock().unwrap() = Some(path);
    click(&mut h, "Open");
    click(&mut h, "Use the recipe");
    until(&mut h, "the wish of the recipe", |h| value(h, "Wish") == WISH);
    assert_eq!(value(&h, "Instruction 1"), "put snow on the roofs");
}

#[test]
fn rows_are_added_moved_regenerated_removed_and_restored() {
    let window = Window::new();
    let mut h = proposed(&window);
    click(&mut h, "Propose another instruction 2");
    until(&mut h, "other words", |h| value(h, "Instruction 2") == "bare the trees");
    click(&mut h, "More for instruction 2");
    click(&mut h, "Move up");
    until(&mut h, "the row at its new place", |h| value(h, "Instruction 1") == "bare the trees");
    click(&mut h, "Remove instruction 3");
    until(&mut h, "two rows", |h| !has(h, "Instruction 3"));
    click(&mut h, "Add an instruction");
    type_into(&mut h, "Instruction 3", "light the windows");
    leave(&mut h);
    click(&mut h, "Restore the proposal");
    until(&mut h, "the proposal", |h| value(h, "Instruction 1") == "put snow on the roofs");
    assert_eq!(value(&h, "Instruction 3"), "make the sky overcast");
    assert_eq!(value(&h, "Instruction 4"), "light the windows");
    click(&mut h, "Undo");
    until(&mut h, "the rows before", |h| value(h, "Instruction 1") == "bare the trees");
}

#[test]
fn a_region_is_made_without_a_pointer_and_bounds_the_run() {
    let window = Window::new();
    let mut h = proposed(&window);
    click(&mut h, "Region of instruction 1");
    click(&mut h, "More regions");
    click(&mut h, "Left half");
    click(&mut h, "Done");
    assert!(has_part(&h, "acts on 50 % of the picture"));
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    let ran = window.work.ran.lock().unwrap().pop().unwrap();
    let region = ran.specifics[0].region.as_ref().expect("a region");
    assert_eq!((region.size(), ran.specifics[1].region.is_some()), ((320, 240), false));
    let at = |x| region.mask().get_pixel(x, 120).0[0];
    assert_eq!((at(20), at(300)), (255, 0));
}

#[test]
fn the_queue_runs_in_order_and_a_failure_is_told_and_spares_the_rest() {
    let window = Window::new();
    let mut h = proposed(&window);
    window.work.fails.store(1, Ordering::Release);
    click(&mut h, "Run with 3 instructions");
    click(&mut h, "Queue another run");
    until(&mut h, "the waiting run", |h| has(h, "Waiting"));
    window.work.gate.open(2 * STEPS);
    until(&mut h, "the failure", |h| has_part(h, "the weights of the unet are not whole"));
    until(&mut h, "the version of the second run", |h| has(h, &format!("Version: {WISH}")));
    until(&mut h, "the failed one in the queue", |h| has(h, "Failed"));
    click(&mut h, "Put away what has ended");
    until(&mut h, "an empty queue", |h| !has(h, "Failed"));
}

#[test]
fn solo_without_and_four_seeds() {
    let window = Window::new();
    let mut h = proposed(&window);
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the result panel", |h| has(h, "What did what"));
    window.work.gate.open(2 * STEPS);
    click(&mut h, "Only instruction 2");
    until(&mut h, "the solo version", |h| has(h, "Version: Only: turn the lake to ice"));
    let solo = window.work.ran.lock().unwrap().pop().unwrap();
    assert_eq!(solo.active().map(|(k, _)| k).collect::<Vec<_>>(), [1]);
    assert_eq!(solo.settings.seed, 7);
    click(&mut h, &format!("Version: {WISH}"));
    click(&mut h, "Without instruction 1");
    until(&mut h, "the version without", |h| has(h, "Version: Without: put snow on the roofs"));
    click(&mut h, "Vary the seed");
    window.work.gate.open(4 * STEPS);
    let cells = |h: &Harness<'_, Glassbox>| {
        h.query_all_by_label_contains("Keep seed").filter(|node| !node.accesskit_node().is_disabled()).count()
    };
    until(&mut h, "four cells", |h| cells(h) == 4);
    h.get_all_by_label_contains("Keep seed").next().expect("a cell").click();
    until(&mut h, "a version of a seed", |h| {
        has_part(h, "Version: Without: put snow on the roofs") && has_part(h, "winter, seed")
    });
    click(&mut h, "Close the grid of seeds");
    assert!(has_part(&h, "Picture: "));
}

#[test]
fn work_survives_the_end_of_the_program() {
    let window = Window::new();
    let mut h = proposed(&window);
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    drop(h);
    // As after a crash: the mark of an open document is still there.
    let sessions = window.path("home").join("data").join("sessions");
    let folder = std::fs::read_dir(&sessions).unwrap().next().unwrap().unwrap().path();
    std::fs::write(folder.join("open"), b"").unwrap();
    let mut h = window.open(None);
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    assert_eq!(value(&h, "Wish"), WISH);
    assert_eq!(value(&h, "Instruction 3"), "make the sky overcast");
    click(&mut h, "Result");
    until(&mut h, "the contributions", |h| has(h, "Show the map of 3"));
}

#[test]
fn everything_is_in_the_palette_and_help_lists_the_shortcuts() {
    let window = Window::new();
    let mut h = opened(&window);
    leave(&mut h);
    h.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::K);
    until(&mut h, "the palette", |h| has(h, "Search commands"));
    h.get_by_label("Search commands").type_text("divider");
    leave(&mut h);
    until(&mut h, "the end of the palette", |h| !has(h, "Search commands"));
    click(&mut h, "Shortcuts");
    until(&mut h, "the help", |h| has(h, "Another seed") && has(h, "Propose instructions"));
}
