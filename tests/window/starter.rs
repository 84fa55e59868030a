//! The whole way on the models that come with the program: nothing is a stand-in here but the file dialogs.
//!
//! Small and with few steps, so that it takes seconds; what it looks like is judged elsewhere.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::{Folders, Glassbox, Models, Setup};
use glassbox::edit::recipe::Recipe;
use glassbox::picture::metadata::read_recipe;

use crate::stand_in::{Answers, WISH, click, harness, has, has_part, leave, nowhere, type_into, until, value};

/// As [`until`], for models that take their time; it ends with the work, or when that has failed.
fn patiently(h: &mut Harness<'_, Glassbox>, what: &str, there: impl Fn(&Harness<'_, Glassbox>) -> bool) {
    for _ in 0..60 {
        let mut came = false;
        for _ in 0..1000 {
            h.step();
            came = there(h);
            if came || has_part(h, "Close message") && has_part(h, "did not work") {
                break;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(4));
        }
        if came {
            return;
        }
    }
    until(h, what, there);
}

fn set(h: &mut Harness<'_, Glassbox>, slider: &str, value: f64) {
    until(h, slider, |h| has(h, slider));
    let sliders = h.query_all_by_label(slider);
    for node in sliders.filter(|node| node.accesskit_node().role() == egui::accesskit::Role::Slider) {
        node.set_value_accesskit(value);
    }
    h.step();
    h.step();
}

#[test]
fn a_sample_picture_becomes_wintry_with_the_starter_pack() {
    let home = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/lake-village.png");
    let exported: PathBuf = home.path().join("winter.png");
    let answers = Arc::new(Answers(Mutex::new(Some(exported.clone()))));
    let setup = Setup {
        picture: None,
        folders: Folders::below(home.path().join("home")),
        dialogs: answers,
        workshop: Arc::new(Models),
        scene: None,
        samples: vec![sample.clone()],
        models: nowhere(),
        memory: glassbox::engine::memory::resident,
    };
    let mut h = harness(setup, [1280.0, 860.0], false);

    // Open the sample, propose, review.
    click(&mut h, "Sample: lake village");
    until(&mut h, "the picture", |h| has(h, "Wish"));
    type_into(&mut h, "Wish", WISH);
    leave(&mut h);
    click(&mut h, "Propose instructions");
    patiently(&mut h, "the proposal", |h| has(h, "Instruction 3"));
    assert!(!value(&h, "Caption").is_empty());
    type_into(&mut h, "Instruction 1", " everywhere");
    leave(&mut h);
    let first = value(&h, "Instruction 1");
    assert!(first.contains("everywhere"));
    set(&mut h, "Weight of instruction 2", 1.4);

    // A small and long run, cancelled after its first step.
    click(&mut h, "Settings of the run");
    set(&mut h, "Steps", 100.0);
    click(&mut h, "chosen");
    set(&mut h, "Longer side", 64.0);
    click(&mut h, "Run with 3 instructions");
    patiently(&mut h, "a step", |h| (1..100).any(|step| has(h, &format!("Step {step} of 100"))));
    click(&mut h, "Cancel");
    patiently(&mut h, "the end of the run", |h| has(h, "Run with 3 instructions"));
    assert!(!has(&h, &format!("Version: {WISH}")), "a cancelled run is no version");
    assert_eq!(value(&h, "Instruction 1"), first);

    // A short one to its end.
    set(&mut h, "Steps", 4.0);
    click(&mut h, "Run with 3 instructions");
    patiently(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    until(&mut h, "what did what", |h| has(h, "Show the map of 3"));
    click(&mut h, "Show the map of 2");

    // Compare, undo, redo, export.
    click(&mut h, "Compare with a divider");
    until(&mut h, "the divider", |h| has(h, "Divider"));
    click(&mut h, "Undo");
    until(&mut h, "the original on the canvas", |h| has(h, "Picture: Original"));
    click(&mut h, "Redo");
    until(&mut h, "the result on the canvas", |h| has(h, &format!("Picture: {WISH}")));
    click(&mut h, "Export");
    until(&mut h, "the file", |_| exported.exists());

    let (source, result) = (image::open(&sample).unwrap().to_rgb8(), image::open(&exported).unwrap().to_rgb8());
    assert_eq!(source.dimensions(), result.dimensions());
    let moved = source.iter().zip(result.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
    assert!(moved / source.len() as f64 > 4.0, "hardly anything changed: {}", moved / source.len() as f64);
    let recipe = Recipe::from_json(&read_recipe(&exported).unwrap().unwrap().json).unwrap();
    assert_eq!((recipe.instruction.as_str(), recipe.specifics.len(), recipe.settings.steps), (WISH, 3, 4));
    assert!((recipe.specifics[1].weight - 1.4).abs() < 1e-5);
}

#[test]
fn a_sign_is_read_in_the_ask_lens_with_the_starter_model() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup {
        picture: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/beach-sign.png")),
        folders: Folders::below(home.path().join("home")),
        dialogs: Arc::new(Answers(Mutex::new(None))),
        workshop: Arc::new(Models),
        scene: None,
        samples: Vec::new(),
        models: nowhere(),
        memory: glassbox::engine::memory::resident,
    };
    let mut h = harness(setup, [1280.0, 860.0], false);
    click(&mut h, "Ask");
    until(&mut h, "the field", |h| has(h, "Question"));
    type_into(&mut h, "Question", "what is written on the sign?");
    leave(&mut h);
    until(&mut h, "the model", |h| !has_part(h, "Looking at the model"));
    click(&mut h, "Ask the question");
    patiently(&mut h, "the word", |h| has(h, "BEACH") && has_part(h, "of 1600 high-resolution tokens"));
    // The word is a button: what was read for it.
    click(&mut h, "BEACH");
    until(&mut h, "what it read", |h| has_part(h, "Read part of"));
    click(&mut h, "Ask with low");
    patiently(&mut h, "the answer at low resolution", |h| has_part(h, "In this mode nothing is read"));
}

#[test]
fn a_picture_is_lifted_saved_and_asked_about_in_both_lenses() {
    let home = tempfile::tempdir().unwrap();
    let saved = home.path().join("beach.ply");
    let setup = Setup {
        picture: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/samples/beach-sign.png")),
        folders: Folders::below(home.path().join("home")),
        dialogs: Arc::new(Answers(Mutex::new(Some(saved.clone())))),
        workshop: Arc::new(Models),
        scene: None,
        samples: Vec::new(),
        models: nowhere(),
        memory: glassbox::engine::memory::resident,
    };
    let mut h = harness(setup, [1280.0, 860.0], false);
    click(&mut h, "Splats");
    until(&mut h, "what can be done", |h| has(h, "Open a splat scene"));
    click(&mut h, "How it is lifted");
    set(&mut h, "Gaussians", 20.0);
    // Stopped, then to its end.
    h.get_all_by_label("Lift this picture").next().unwrap().click_accesskit();
    h.step();
    click_first(&mut h, "Stop lifting");
    patiently(&mut h, "the end of it", |h| !has(h, "Stop lifting"));
    assert!(has(&h, "Open a splat scene"), "a stopped one is no scene");
    click_first(&mut h, "Lift this picture");
    patiently(&mut h, "the scene", |h| has_part(h, "harmonics of degree 0, features of 192 channels, from a picture"));
    until(&mut h, "the picture of it", |h| has_part(h, " ms   "));
    // Through the only camera, beside the picture it was made of.
    click(&mut h, "Next camera");
    until(&mut h, "the picture beside it", |h| has(h, "Photograph beach-sign"));
    click(&mut h, "Close the photograph");

    click(&mut h, "Save the scene…");
    until(&mut h, "the file", |h| saved.exists() && has_part(h, "It has"));
    let scene = glassbox::splats::io::open(&saved, &Default::default(), &glassbox::splats::Unobserved).unwrap().scene;
    assert!((19_000..=20_000).contains(&scene.len()) && scene.features().unwrap().dim == 192);

    // Both lenses look with one backbone: what is asked of the scene is asked of the picture.
    click_first(&mut h, "Features");
    patiently(&mut h, "the map", |h| has(h, "Variance that each component explains"));
    click_first(&mut h, "Splats");
    click(&mut h, "Similarity");
    h.get_by_label("3D view").focus();
    h.step();
    h.key_press(egui::Key::Enter);
    h.step();
    until(&mut h, "the way there", |h| has(h, "Show it on the picture"));
}

fn click_first(h: &mut Harness<'_, Glassbox>, label: &str) {
    until(h, label, |h| has(h, label));
    h.get_all_by_label(label).next().unwrap().click_accesskit();
    h.step();
}
