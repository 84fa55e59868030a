//! The window, driven as a person or a screen reader drives it: by the names of its controls.
//!
//! Who proposes and edits is in most tests a stand-in that waits at gates (`stand_in`), so that every state can be looked
//! at as long as it takes; nothing waits on a clock. `starter` uses the models that come with the program, `snapshots`
//! looks at the pictures, `crash` ends the program in the middle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod ask;
mod crash;
mod features;
#[path = "../hub/mod.rs"]
mod hub;
mod language;
mod models;
mod regions;
mod snapshots;
mod splats;
mod stand_in;
mod starter;

use std::sync::atomic::Ordering;

use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::Glassbox;
use glassbox::edit::recipe::Recipe;
use glassbox::picture::metadata::read_recipe;

use stand_in::{STEPS, WISH, Window, click, has, has_part, leave, opened, proposed, type_into, until, value};

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
    until(&mut h, "the failure", |h| has_part(h, "weights of the unet are not whole"));
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
