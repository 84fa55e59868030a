//! Pictures of the window's main states in both themes, compared with those in `tests/snapshots`.
//!
//! `UPDATE_SNAPSHOTS=1` takes the new ones; look at each before it is committed. What depends on the clock, the version or
//! the machine is masked. Drawn on lavapipe, as `scripts/test` arranges.

use std::sync::atomic::Ordering;

use egui::{Key, Rect, vec2};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults};
use glassbox::app::Glassbox;

use crate::stand_in::{
    STEPS, WISH, Window, click, has, has_part, landscape, leave, opened, proposed, type_into, until,
};

/// Some pixels may round another way on another version of the driver.
fn options() -> SnapshotOptions {
    SnapshotOptions::new().threshold(1.0).max_failed_pixels(40_usize)
}

/// Compares the window that `scene` brings about, `size` points large, with the pictures of that name in both themes.
fn both(name: &str, size: [f32; 2], scene: impl Fn(&mut Window) -> Harness<'static, Glassbox>) {
    let mut results = SnapshotResults::new();
    for theme in ["dark", "light"] {
        let mut window = Window { size, drawn: true, ..Window::new() };
        window.settings(&format!(r#"{{"theme": "{theme}"}}"#));
        let mut harness = scene(&mut window);
        mask_what_varies(&mut harness);
        results.add(harness.try_snapshot_options(format!("{name}-{theme}"), &options()));
    }
}

/// Hides times, rates and the version; as wide as they may get (0: all of the text; negative: to the left of its right end).
fn mask_what_varies(harness: &mut Harness<'_, Glassbox>) {
    let mut rects = Vec::new();
    let version = concat!("lassbox ", env!("CARGO_PKG_VERSION"));
    for (part, width) in [
        ("Step 2 of 4, ", 150.0),
        ("multiply-adds", 0.0),
        (" left", 84.0),
        (" steps/s", 84.0),
        (" s a step", 84.0),
        ("first word", 330.0),
        (" ms   ", -350.0), // with the size of the view, which the figure's digits shift
        (version, 120.0),
    ] {
        for node in harness.query_all_by_label_contains(part) {
            let rect = node.rect();
            if width <= 0.0 {
                let wide = rect.width().max(-width);
                rects.push(Rect::from_min_max(rect.right_top() - vec2(wide, 0.0), rect.right_bottom()));
                continue;
            }
            // Texts at the right end grow to the left.
            let right = rect.right() > harness.ctx.content_rect().width() - 30.0;
            let from = if right { rect.right_top() - vec2(190.0, 0.0) } else { rect.left_top() };
            rects.push(Rect::from_min_size(from, vec2(if right { 190.0 } else { width }, rect.height())));
        }
    }
    for rect in rects {
        harness.mask(rect);
    }
}

/// Waits until the short messages have left by themselves (the window's clock runs in steps).
fn quiet(harness: &mut Harness<'_, Glassbox>) {
    until(harness, "the end of the messages", |h| !has_part(h, "Close message"));
}

const USUAL: [f32; 2] = [1280.0, 820.0];
const SMALL: [f32; 2] = [900.0, 600.0];

#[test]
fn start() {
    both("start", USUAL, |window| {
        for (name, seed) in ["farm", "harbour", "lake-village", "street"].into_iter().zip(0..) {
            let path = window.path(&format!("{name}.png"));
            landscape(seed).save(&path).unwrap();
            window.samples.push(path);
        }
        let mut h = window.open(None);
        until(&mut h, "the samples", |h| has(h, "Sample: street") && !has_part(h, ", loading"));
        h
    });
}

#[test]
fn open() {
    both("open", USUAL, |window| opened(window));
}

/// The review step with everything in it: a line in other words, weights, one that does the opposite, a region.
fn reviewed(window: &Window) -> Harness<'static, Glassbox> {
    let mut h = proposed(window);
    type_into(&mut h, "Instruction 2", ", thin and dark");
    leave(&mut h);
    h.get_by_label("Weight of instruction 1").set_value_accesskit(1.35);
    h.get_by_label("Weight of instruction 3").set_value_accesskit(-0.5);
    h.step();
    click(&mut h, "Region of instruction 1");
    click(&mut h, "More regions");
    click(&mut h, "Upper half");
    h.step();
    h
}

#[test]
fn region() {
    both("region", USUAL, |window| reviewed(window));
}

fn done(mut h: Harness<'static, Glassbox>) -> Harness<'static, Glassbox> {
    click(&mut h, "Done");
    h.step();
    h
}

#[test]
fn review() {
    both("review", USUAL, |window| done(reviewed(window)));
}

#[test]
fn small() {
    both("small", SMALL, |window| done(reviewed(window)));
}

#[test]
fn small_region() {
    both("small-region", SMALL, |window| reviewed(window));
}

#[test]
fn running() {
    both("running", USUAL, |window| {
        let mut h = proposed(window);
        click(&mut h, "Run with 3 instructions");
        click(&mut h, "Queue another run");
        window.work.gate.open(2);
        until(&mut h, "the second step", |h| has(h, "Step 2 of 4") && has(h, "Waiting"));
        h.step();
        h
    });
}

fn finished(window: &Window) -> Harness<'static, Glassbox> {
    let mut h = proposed(window);
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the result panel", |h| has(h, "What did what") && has(h, &format!("Version: {WISH}")));
    quiet(&mut h);
    click(&mut h, "Put away what has ended");
    h
}

#[test]
fn result() {
    both("result", USUAL, |window| {
        let mut h = finished(window);
        click(&mut h, "Compare with a divider");
        until(&mut h, "the divider", |h| has(h, "Divider"));
        h
    });
}

#[test]
fn map() {
    both("map", USUAL, |window| {
        let mut h = finished(window);
        click(&mut h, "Show the map of 2");
        h.step();
        h
    });
}

#[test]
fn error() {
    both("error", USUAL, |window| {
        let mut h = proposed(window);
        window.work.fails.store(1, Ordering::Release);
        window.work.gate.open(STEPS);
        click(&mut h, "Run with 3 instructions");
        until(&mut h, "the failure", |h| has(h, "Failed") && has_part(h, "did not work"));
        h.step();
        h
    });
}

#[test]
fn settings() {
    both("settings", USUAL, |window| {
        let mut h = opened(window);
        leave(&mut h);
        h.key_press_modifiers(egui::Modifiers::COMMAND, Key::Comma);
        until(&mut h, "the settings", |h| has(h, "Live preview"));
        h.step();
        h
    });
}

#[test]
fn language() {
    both("language", USUAL, |window| {
        let mut h = opened(window);
        click(&mut h, "Who proposes: Starter model");
        click(&mut h, "A server");
        type_into(&mut h, "Address of the server", "http://localhost:11434");
        click(&mut h, "Ask which models it has");
        click(&mut h, "qwen3:4b");
        h.step();
        h
    });
}

/// The Features lens with two tiny random backbones, in the theme that the settings have, once `panes` show `map`.
fn features(window: &Window, panes: &str, map: &str) -> Harness<'static, Glassbox> {
    let now = std::fs::read_to_string(window.path("home").join("config").join("settings.json")).unwrap();
    let theme = if now.contains("light") { "light" } else { "dark" };
    window.settings(&crate::features::settings(theme, "features", 420));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the map", |h| has_part(h, "These explain"));
    click(&mut h, "Model B: None");
    click(&mut h, "dinov2-reg");
    click(&mut h, panes);
    click(&mut h, map);
    h
}

/// Waits until every map is there and drawn.
fn drawn(mut h: Harness<'static, Glassbox>) -> Harness<'static, Glassbox> {
    h.step();
    h.step();
    until(&mut h, "all maps", |h| has_part(h, "Pane 1: ") && !has_part(h, "in the making"));
    h.step();
    h
}

#[test]
fn features_components() {
    both("features-components", USUAL, |window| {
        let mut h = features(window, "One pane", "PCA");
        click(&mut h, "Only the foreground");
        until(&mut h, "the histogram", |h| has(h, "Threshold on the first component"));
        drawn(h)
    });
}

#[test]
fn features_clusters() {
    both("features-clusters", USUAL, |window| {
        let mut h = features(window, "One pane", "K-means");
        until(&mut h, "the clusters", |h| has(h, "Choose cluster 8"));
        click(&mut h, "Patches");
        click(&mut h, "Lines between patches");
        click(&mut h, "Choose cluster 2");
        click(&mut h, "Hide cluster 5");
        drawn(h)
    });
}

#[test]
fn features_panes() {
    both("features-panes", USUAL, |window| {
        let mut h = features(window, "Four panes", "PCA");
        until(&mut h, "four panes", |h| has_part(h, "Pane 4: "));
        let h = drawn(h);
        h.hover_at(egui::pos2(330.0, 260.0));
        drawn(h)
    });
}

#[test]
fn features_similarity() {
    both("features-similarity", USUAL, |window| {
        let h = features(window, "Two panes", "Similarity");
        let mut h = drawn(h);
        let at = h.query_all_by_label_contains("Pane 1: ").next().unwrap().rect().center();
        h.hover_at(at);
        h.step();
        h.drag_at(at);
        h.step();
        h.drop_at(at);
        until(&mut h, "what is held", |h| has_part(h, "Nearest patch 1: "));
        drawn(h)
    });
}

#[test]
fn features_without_a_backbone() {
    both("features-none", USUAL, |window| {
        let now = std::fs::read_to_string(window.path("home").join("config").join("settings.json")).unwrap();
        window.settings(&now.replace('}', r#", "lens": "features"}"#));
        let mut h = window.open(Some("lake village.png"));
        until(&mut h, "what to do", |h| has(h, "Choose a folder…"));
        h
    });
}

/// The lens on four balls, in a mode.
fn splats_in(window: &Window, mode: &str) -> Harness<'static, Glassbox> {
    crate::splats::scene(window);
    let theme = if window_is_light(window) { "light" } else { "dark" };
    window.settings(&format!(
        r#"{{"theme": "{theme}", "splats": {{"renderer": "cpu", "mode": "{mode}", "clusters": 5}}}}"#
    ));
    let mut h = window.open(Some("four balls.ply"));
    until(&mut h, "the scene", |h| has_part(h, "2800 Gaussians, harmonics"));
    // The whole picture, when the eye is at rest.
    until(&mut h, "the picture at rest", |h| has(h, "902 × 745"));
    quiet(&mut h);
    crate::splats::settled(&mut h);
    h
}

fn window_is_light(window: &Window) -> bool {
    let settings = std::fs::read_to_string(window.path("home").join("config").join("settings.json"));
    settings.is_ok_and(|text| text.contains("light"))
}

#[test]
fn splats_colour() {
    both("splats-colour", USUAL, |window| splats_in(window, "colour"));
}

#[test]
fn splats_clusters() {
    both("splats-clusters", USUAL, |window| splats_in(window, "clusters"));
}

#[test]
fn splats_selection() {
    both("splats-selection", USUAL, |window| {
        let mut h = splats_in(window, "colour");
        h.get_by_label("Histogram of size, to").set_value_accesskit(0.5);
        until(&mut h, "the small ones", |h| has_part(h, "1200 selected"));
        click(&mut h, "Crop box");
        crate::splats::settled(&mut h);
        h
    });
}

#[test]
fn splats_camera() {
    both("splats-camera", USUAL, |window| {
        crate::splats::with_cameras(window);
        let mut h = splats_in(window, "colour");
        click(&mut h, "Next camera");
        until(&mut h, "the photograph", |h| has(h, "Photograph front.png"));
        click(&mut h, "Show cameras");
        for _ in 0..30 {
            h.step();
        }
        crate::splats::settled(&mut h);
        h
    });
}

#[test]
fn splats_none() {
    both("splats-none", USUAL, |window| {
        let theme = if window_is_light(window) { "light" } else { "dark" };
        window.settings(&format!(r#"{{"theme": "{theme}", "lens": "splats"}}"#));
        let mut h = window.open(None);
        until(&mut h, "the empty lens", |h| has(h, "No scene"));
        h
    });
}

#[test]
fn ask_read() {
    both("ask-read", USUAL, |window| {
        let theme = if window_is_light(window) { "light" } else { "dark" };
        let mut h = crate::ask::answered(window, theme);
        // Without the keyboard there is no caret that blinks.
        leave(&mut h);
        quiet(&mut h);
        h
    });
}

#[test]
fn ask_side_by_side() {
    both("ask-side-by-side", USUAL, |window| {
        let theme = if window_is_light(window) { "light" } else { "dark" };
        let mut h = crate::ask::answered(window, theme);
        click(&mut h, "Ask with low");
        until(&mut h, "the second answer", |h| has_part(h, "In this mode nothing is read"));
        click(&mut h, "Attention");
        click(&mut h, "Side by side with another answer");
        click(&mut h, "Flex · Original");
        until(&mut h, "both names", |h| has_part(h, "Picture: Low · Original: "));
        leave(&mut h);
        quiet(&mut h);
        h
    });
}

#[test]
fn ask_attention() {
    both("ask-attention", USUAL, |window| {
        let theme = if window_is_light(window) { "light" } else { "dark" };
        let mut h = crate::ask::answered(window, theme);
        crate::stand_in::click(&mut h, "Attention");
        // Without the keyboard there is no caret that blinks.
        leave(&mut h);
        quiet(&mut h);
        h
    });
}

#[test]
fn ask_empty() {
    both("ask-empty", SMALL, |window| {
        let theme = if window_is_light(window) { "light" } else { "dark" };
        window.settings(&crate::ask::settings("flex-wide", 6, theme));
        let mut h = window.open(Some("lake village.png"));
        until(&mut h, "the field", |h| has(h, "Question"));
        until(&mut h, "the model", |h| !has_part(h, "Looking at the model"));
        // Without the keyboard there is no caret that blinks.
        leave(&mut h);
        quiet(&mut h);
        h
    });
}

#[test]
fn splats_small() {
    both("splats-small", [800.0, 500.0], |window| {
        crate::splats::scene(window);
        let theme = if window_is_light(window) { "light" } else { "dark" };
        window.settings(&format!(
            r#"{{"theme": "{theme}", "splats": {{"renderer": "cpu", "mode": "depth", "share": 0.7}}}}"#
        ));
        let mut h = window.open(Some("four balls.ply"));
        until(&mut h, "the scene", |h| has_part(h, "2800 Gaussians, harmonics"));
        until(&mut h, "the picture", |h| has_part(h, " ms   "));
        for _ in 0..30 {
            h.step();
        }
        quiet(&mut h);
        crate::splats::settled(&mut h);
        h
    });
}
