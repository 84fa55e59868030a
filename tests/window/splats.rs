//! The Splats lens on a small scene made here: opening, moving, modes, asking, exporting, and what goes wrong.

use std::path::PathBuf;

use egui::Key;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::Glassbox;
use glassbox::picture::decode;
use glassbox::picture::limits::DecodeLimits;
use glassbox::splats::gaussians::{Features, Gaussians, Parts, logit};
use glassbox::splats::{Unobserved, harmonics, io};

use crate::stand_in::{Window, click, has, has_part, leave, type_into, until};

/// Four balls of many Gaussians on a floor, each with a colour and a feature of its own.
pub(crate) fn scene(window: &Window) -> PathBuf {
    let mut parts = Parts { sh_degree: 0, ..Parts::default() };
    let mut features = Vec::new();
    let mut put = |at: [f32; 3], size: f32, colour: [f32; 3], feature: [f32; 4]| {
        parts.positions.push(at);
        parts.log_scales.push([size.ln(); 3]);
        parts.rotations.push([1.0, 0.0, 0.0, 0.0]);
        parts.opacity_logits.push(logit(0.9));
        parts.sh.extend(colour.map(|value| (value - 0.5) / harmonics::C0));
        features.extend(feature);
    };
    for i in 0..40 {
        for j in 0..40 {
            let (x, z) = (i as f32 / 20.0 - 1.0, j as f32 / 20.0 - 1.0);
            let light = if (i / 5 + j / 5) % 2 == 0 { 0.62 } else { 0.48 };
            put([x, 0.4, z], 0.03, [light, light * 0.95, light * 0.85], [0.0, 0.0, 0.1, 1.0]);
        }
    }
    let balls = [
        ([-0.4, 0.15, -0.4], [0.85, 0.3, 0.25], [1.0, 0.0, 0.0, 0.1]),
        ([0.4, 0.15, -0.4], [0.25, 0.6, 0.85], [0.0, 1.0, 0.0, 0.1]),
        ([-0.4, 0.15, 0.4], [0.95, 0.75, 0.3], [0.9, 0.1, 0.4, 0.1]),
        ([0.4, 0.15, 0.4], [0.4, 0.75, 0.4], [0.0, 0.1, 1.0, 0.1]),
    ];
    for (middle, colour, feature) in balls {
        for n in 0..300 {
            let z = 1.0 - (2.0 * n as f32 + 1.0) / 300.0;
            let (sin, cos) = (n as f32 * 2.399_963).sin_cos();
            let across = (1.0 - z * z).sqrt();
            let out = [across * cos, z, across * sin];
            let shade = 0.75 - 0.25 * out[1];
            let at: [f32; 3] = std::array::from_fn(|axis| middle[axis] + 0.25 * out[axis]);
            put(at, 0.02, colour.map(|value: f32| value * shade), feature);
        }
    }
    let scene = Gaussians::new(parts).unwrap().with_features(Some(Features::named("feature", 4, features))).unwrap();
    let path = window.path("four balls.ply");
    io::save(&path, &scene, &Unobserved).unwrap();
    path
}

/// A window on the scene, its first whole picture there.
fn looking(window: &Window, settings: &str) -> Harness<'static, Glassbox> {
    scene(window);
    window.settings(settings);
    let mut h = window.open(Some("four balls.ply"));
    until(&mut h, "the scene", |h| has_part(h, "2800 Gaussians, harmonics of degree 0, features of 4 channels"));
    until(&mut h, "the picture", |h| has_part(h, " ms   "));
    h
}

fn told(h: &Harness<'_, Glassbox>) -> String {
    h.get_by_label("3D view").accesskit_node().value().unwrap_or_default()
}

/// Points at the middle of the view until the lens knows what is there.
fn point_at_the_middle(h: &mut Harness<'_, Glassbox>) -> egui::Pos2 {
    let middle = h.get_by_label("3D view").rect().center();
    let mut turn = 0.0;
    for _ in 0..2000 {
        turn = if turn == 0.0 { 1.0 } else { 0.0 };
        h.hover_at(middle + egui::vec2(turn, 60.0));
        h.step();
        if told(h).contains("away") {
            return middle + egui::vec2(turn, 60.0);
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    panic!("nothing is seen in the middle: {}", told(h));
}

#[test]
fn a_scene_is_opened_turned_asked_and_exported() {
    let window = Window::new();
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    assert!(has(&h, "Splats") && has(&h, "Edit"), "the tabs are there");
    let at = point_at_the_middle(&mut h);
    let before = told(&h);

    // Turning by hand moves what is under the pointer; resetting brings it back.
    h.drag_at(at);
    h.step();
    h.hover_at(at + egui::vec2(120.0, 10.0));
    h.step();
    h.drop_at(at + egui::vec2(120.0, 10.0));
    h.step();
    until(&mut h, "the picture from there", |h| has_part(h, " ms   "));
    point_at_the_middle(&mut h);
    until(&mut h, "another point", |h| told(h) != before);
    let distance = |h: &Harness<'_, Glassbox>| {
        let node = h.query_all_by_label_contains("from the target").next().unwrap();
        node.accesskit_node().value().unwrap_or_default()
    };
    let far = distance(&h);
    click(&mut h, "Nearer");
    until(&mut h, "a nearer view", |h| distance(h) != far);
    click(&mut h, "Reset camera");
    until(&mut h, "the first view", |h| distance(h) == far);

    // Similarity waits for a point; Enter asks about the middle.
    click(&mut h, "Similarity");
    assert!(has_part(&h, "Click a point of the scene"));
    h.get_by_label("3D view").focus();
    h.step();
    h.key_press(Key::Enter);
    h.step();
    until(&mut h, "the answer", |h| told(h).contains("cosine 1.00"));
    assert!(!has_part(&h, "Click a point of the scene"));

    // A picture of the view, transparent around the scene.
    let path = window.path("view.png");
    *window.answers.0.lock().unwrap() = Some(path.clone());
    click(&mut h, "Colour");
    click(&mut h, "Export the view…");
    until(&mut h, "the file", |_| path.exists());
    let picture = decode::open(&path, &DecodeLimits::default()).unwrap();
    let (width, height) = picture.size();
    assert_eq!(width.max(height), 1920);
    let alpha = picture.alpha.expect("it is transparent");
    assert_eq!(alpha.get_pixel(2, 2).0[0], 0);
    assert!(alpha.get_pixel(width / 2, height / 2).0[0] > 200);
}

#[test]
fn every_mode_is_drawn_by_both_renderers() {
    let window = Window::new();
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    for renderer in ["CPU", "GPU"] {
        click(&mut h, renderer);
        for mode in
            ["Depth", "Normals", "Opacity", "Count", "Ellipsoids", "Centres", "PCA", "Clusters", "Similarity", "Colour"]
        {
            click(&mut h, mode);
            until(&mut h, mode, |h| has_part(h, " ms   ") && !has_part(h, "could not be drawn"));
        }
        let tiles = renderer == "CPU";
        until(&mut h, "the one who draws", |h| has_part(h, "CPU tiles") == tiles);
        point_at_the_middle(&mut h);
    }
}

#[test]
fn what_is_no_scene_is_told_and_the_one_before_stays() {
    let window = Window::new();
    let broken = window.path("broken.ply");
    std::fs::write(&broken, b"ply\nformat binary_little_endian 1.0\nelement vertex 4\n").unwrap();
    window.settings(r#"{"splats": {"renderer": "cpu"}}"#);
    let mut h = window.open(Some("broken.ply"));
    until(&mut h, "the complaint", |h| has(h, "broken.ply could not be opened") && has(h, "Open a scene…"));
    // By the command, with a typed path.
    leave(&mut h);
    let path = scene(&window);
    let open = |h: &mut Harness<'static, Glassbox>, path: &PathBuf| {
        h.key_press_modifiers(egui::Modifiers::COMMAND, Key::K);
        h.step();
        h.step();
        type_into(h, "Search commands", "open a splat");
        h.key_press(Key::Enter);
        h.step();
        until(h, "the path field", |h| has(h, "Path"));
        type_into(h, "Path", path.to_str().unwrap());
        click(h, "Open file");
    };
    open(&mut h, &path);
    until(&mut h, "the scene", |h| has_part(h, "2800 Gaussians, harmonics"));
    open(&mut h, &broken);
    until(&mut h, "the complaint", |h| has_part(h, "broken.ply could not be opened"));
    assert!(has_part(&h, "2800 Gaussians, harmonics"));
}
