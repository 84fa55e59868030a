//! The Splats lens on a small scene made here: opening, moving, modes, asking, exporting, and what goes wrong.

use std::path::PathBuf;

use egui::accesskit::Role;
use egui::{Key, Modifiers, Pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glam::DVec3;
use glassbox::app::Glassbox;
use glassbox::picture::decode;
use glassbox::picture::limits::DecodeLimits;
use glassbox::splats::camera::Camera;
use glassbox::splats::gaussians::{Features, Gaussians, Parts, logit};
use glassbox::splats::{Unobserved, harmonics, io};

use crate::stand_in::{Window, click, has, has_part, landscape, leave, type_into, until};

/// Four balls of many Gaussians on a floor, each with a colour and a feature of its own.
pub(crate) fn scene(window: &Window) -> PathBuf {
    scene_with(window, 4)
}

/// The same with features of `dim` channels, at least 4; those after the fourth are small and of no meaning.
fn scene_with(window: &Window, dim: usize) -> PathBuf {
    let mut parts = Parts { sh_degree: 0, ..Parts::default() };
    let mut features = Vec::new();
    let mut put = |at: [f32; 3], size: f32, colour: [f32; 3], feature: [f32; 4]| {
        parts.positions.push(at);
        parts.log_scales.push([size.ln(); 3]);
        parts.rotations.push([1.0, 0.0, 0.0, 0.0]);
        parts.opacity_logits.push(logit(0.9));
        parts.sh.extend(colour.map(|value| (value - 0.5) / harmonics::C0));
        let rest = (4..dim).map(|channel| 0.02 * ((features.len() + channel) as f32 * 0.7).sin());
        let rest: Vec<f32> = rest.collect();
        features.extend(feature.into_iter().chain(rest));
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
    let scene = Gaussians::new(parts).unwrap().with_features(Some(Features::named("feature", dim, features))).unwrap();
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

/// Waits until nothing is worked out any more and the picture of it is there.
pub(crate) fn settled(h: &mut Harness<'static, Glassbox>) {
    // An exact picture is asked for a frame after the whole one is there.
    let mut still = 0;
    while still < 8 {
        until(h, "the end of the mapping", |h| !has(h, "Stop mapping"));
        until(h, "the picture of what was mapped", |h| !has(h, "Drawing the scene"));
        still = if has(h, "Stop mapping") || has(h, "Drawing the scene") { 0 } else { still + 1 };
    }
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

/// The window as it is drawn, with the renderer, in a mode.
fn seen_by(renderer: &str, mode: &str) -> image::RgbaImage {
    let window = Window { drawn: true, size: [900.0, 600.0], ..Window::new() };
    let mut h = looking(&window, &format!(r#"{{"splats": {{"renderer": "{renderer}", "mode": "{mode}"}}}}"#));
    until(&mut h, "the picture at rest", |h| has_part(h, " × 525"));
    settled(&mut h);
    h.step();
    h.render().unwrap()
}

#[test]
fn the_device_shows_what_the_processor_shows_without_reading_it_back() {
    for mode in ["colour", "pca", "clusters", "depth"] {
        let (cpu, gpu) = (seen_by("cpu", mode), seen_by("gpu", mode));
        // The view alone, without its buttons: the panel tells who draws.
        let place = (20..540, 60..480);
        let (mut off, mut lit, mut count) = (0u64, 0u64, 0u64);
        for (y, x) in place.1.clone().flat_map(|y| place.0.clone().map(move |x| (y, x))) {
            let (a, b) = (cpu.get_pixel(x, y).0, gpu.get_pixel(x, y).0);
            off += u64::from((0..3).any(|at| a[at].abs_diff(b[at]) > 8));
            lit += u64::from(a[0].max(a[1]).max(a[2]) > 60);
            count += 1;
        }
        assert!(lit * 10 > count, "{mode}: the scene is there");
        assert!(off * 50 < count, "{mode}: {off} of {count} differ");
    }
}

fn part(h: &Harness<'_, Glassbox>, words: &str) -> String {
    let node = h.query_all_by_label_contains(words).next();
    node.and_then(|node| node.accesskit_node().value().or(node.accesskit_node().label())).unwrap_or_default()
}

/// Splats that the panel says are in a state: "1200 selected".
fn count(h: &Harness<'_, Glassbox>, state: &str) -> usize {
    for node in h.query_all_by_label_contains(state) {
        let words = node.accesskit_node().value().or(node.accesskit_node().label()).unwrap_or_default();
        for said in words.split(", ") {
            if let Some(number) = said.strip_suffix(state).and_then(|number| number.trim().parse().ok()) {
                return number;
            }
        }
    }
    0
}

fn stroke(h: &mut Harness<'_, Glassbox>, points: &[Pos2], modifiers: Modifiers) {
    h.event(egui::Event::ModifiersChanged(modifiers));
    h.hover_at(points[0]);
    h.step();
    h.drag_at(points[0]);
    h.step();
    for at in &points[1..] {
        h.hover_at(*at);
        h.step();
    }
    h.drop_at(points[points.len() - 1]);
    h.step();
    h.event(egui::Event::ModifiersChanged(Modifiers::NONE));
    h.step();
}

#[test]
fn splats_are_selected_hidden_deleted_and_what_is_left_is_saved() {
    let window = Window::new();
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    assert!(has(&h, "four balls.ply"), "the name of the scene is in the top bar");
    point_at_the_middle(&mut h);
    click(&mut h, "Select with a brush");
    let middle = h.get_by_label("3D view").rect().center();
    let path = [middle + vec2(-60.0, 30.0), middle + vec2(0.0, 40.0), middle + vec2(60.0, 50.0)];
    stroke(&mut h, &path, Modifiers::NONE);
    until(&mut h, "a selection", |h| count(h, "selected") > 10);
    let first = count(&h, "selected");
    // With Shift it grows, with Alt it shrinks; without either it is a new one.
    stroke(&mut h, &[middle + vec2(90.0, 60.0), middle + vec2(120.0, 70.0)], Modifiers::SHIFT);
    until(&mut h, "more", |h| count(h, "selected") > first);
    let more = count(&h, "selected");
    stroke(&mut h, &path, Modifiers::ALT);
    until(&mut h, "less", |h| (1..more).contains(&count(h, "selected")));
    let less = count(&h, "selected");
    click(&mut h, "Undo");
    until(&mut h, "what was before", |h| count(h, "selected") == more);
    click(&mut h, "Redo");
    until(&mut h, "what was after", |h| count(h, "selected") == less);

    click(&mut h, "Hide the selected splats");
    until(&mut h, "hidden ones", |h| count(h, "hidden") == less && count(h, "selected") == 0);
    // Of what is there: 2800 without the hidden ones.
    h.key_press_modifiers(Modifiers::COMMAND, Key::A);
    h.step();
    until(&mut h, "all that is seen", |h| count(h, "selected") == 2800 - less);
    click(&mut h, "Select nothing");
    click(&mut h, "Show hidden splats again");
    until(&mut h, "all of them", |h| count(h, "hidden") == 0);

    // The small ones are the balls: deleted, only the floor is saved.
    until(&mut h, "the histogram", |h| has(h, "Histogram of size, to"));
    h.get_by_label("Histogram of size, to").set_value_accesskit(0.5);
    h.step();
    until(&mut h, "the small ones", |h| count(h, "selected") == 1200);
    click(&mut h, "Delete the selected splats");
    until(&mut h, "deleted ones", |h| count(h, "deleted") == 1200);
    for ending in ["ply", "spz"] {
        let path = window.path(&format!("floor.{ending}"));
        *window.answers.0.lock().unwrap() = Some(path.clone());
        click(&mut h, "Save the scene…");
        // Beside a .spz lie the features, written after it.
        let side = window.path("floor.features.safetensors");
        until(&mut h, "the file", |_| path.exists() && (ending == "ply" || side.exists()));
        let saved = io::open(&path, &io::OpenOptions::default(), &Unobserved).unwrap().scene;
        assert_eq!((saved.len(), saved.features().map(|features| features.dim)), (1600, Some(4)));
    }
    click(&mut h, "Undo");
    until(&mut h, "the balls", |h| count(h, "deleted") == 0 && count(h, "selected") == 1200);
    h.key_press_modifiers(Modifiers::SHIFT, Key::I);
    h.step();
    until(&mut h, "the floor", |h| count(h, "selected") == 1600);
    click(&mut h, "Show only the selected splats");
    until(&mut h, "the floor alone", |h| count(h, "hidden") == 1200);
}

#[test]
fn a_box_crops_and_the_last_splat_is_not_deleted() {
    let window = Window::new();
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    click(&mut h, "Crop box");
    until(&mut h, "the sides of the box", |h| has(h, "Box, x to"));
    h.get_by_role_and_label(Role::Slider, "Box, x to").set_value_accesskit(0.0);
    h.step();
    h.get_all_by_label("Select what is in the box").next().unwrap().click_accesskit();
    h.step();
    // A side of the box lies in the middle of the scene: half of it, less what lies beyond the percents.
    until(&mut h, "half of it", |h| (1100..1450).contains(&count(h, "selected")));
    click(&mut h, "Crop box");
    assert!(!has(&h, "Box, x to"));
    h.key_press_modifiers(Modifiers::COMMAND, Key::A);
    h.step();
    until(&mut h, "all of it", |h| count(h, "selected") == 2800);
    let delete = h.get_by_label("Delete the selected splats").accesskit_node().is_disabled();
    assert!(delete, "one at least is left");
    // Escape selects nothing.
    leave(&mut h);
    until(&mut h, "nothing selected", |h| count(h, "selected") == 0);
}

#[test]
fn keys_of_the_region_tools_fly_here() {
    let window = Window::new();
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    point_at_the_middle(&mut h);
    h.get_by_label("3D view").focus();
    h.step();
    let seen = |h: &Harness<'_, Glassbox>| told(h);
    for key in [Key::S, Key::E] {
        let before = seen(&h);
        h.key_down(key);
        for _ in 0..10 {
            h.step();
        }
        h.key_up(key);
        h.step();
        until(&mut h, "another place", |h| {
            let now = told(h);
            now != before && now.contains("away")
        });
    }
}

/// Two cameras beside the scene, and the photograph of the first.
pub(crate) fn with_cameras(window: &Window) {
    let entry = |name: &str, eye: DVec3| {
        let camera = Camera::look_at(eye, DVec3::ZERO, DVec3::NEG_Y, 0.9, (640, 480)).unwrap();
        // Camera to world, row by row: the columns of the other way.
        serde_json::json!({
            "img_name": name, "width": 640, "height": 480, "fx": camera.focal.x, "fy": camera.focal.y,
            "position": camera.eye().to_array(), "rotation": camera.rotation.to_cols_array_2d(),
        })
    };
    let all = [entry("front.png", DVec3::new(0.3, -0.6, -2.6)), entry("side.png", DVec3::new(2.4, -0.9, 0.2))];
    std::fs::write(window.path("four balls.cameras.json"), serde_json::to_vec(&all).unwrap()).unwrap();
    landscape(2).save(window.path("front.png")).unwrap();
}

#[test]
fn cameras_are_looked_through_beside_their_photographs() {
    let window = Window::new();
    with_cameras(&window);
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    until(&mut h, "the cameras", |h| has(h, "2 cameras"));
    click(&mut h, "Next camera");
    until(&mut h, "the photograph", |h| has(h, "Photograph front.png"));
    assert!(has(&h, "1 of 2: front.png"));
    let (photo, view) = (h.get_by_label("Photograph front.png").rect(), h.get_by_label("3D view").rect());
    assert!(photo.right() <= view.left() + 1.0 && (view.aspect_ratio() - 4.0 / 3.0).abs() < 0.02);
    click(&mut h, "Next camera");
    until(&mut h, "the missing photograph", |h| has(h, "2 of 2: side.png") && !has_part(h, "Photograph "));
    click(&mut h, "Previous camera");
    until(&mut h, "the first again", |h| has(h, "Photograph front.png"));
    leave(&mut h);
    assert!(has(&h, "2 cameras"));
    // Its frustum stands where it was: from behind it is seen and clicked.
    click(&mut h, "Show cameras");
    for _ in 0..3 {
        click(&mut h, "Farther");
    }
    let middle = h.get_by_label("3D view").rect().center();
    h.hover_at(middle);
    h.step();
    h.drag_at(middle);
    h.step();
    h.drop_at(middle);
    h.step();
    until(&mut h, "the camera that was clicked", |h| has(h, "1 of 2: front.png"));
}

#[test]
fn a_path_is_played_and_flights_are_written() {
    let window = Window::new();
    let mut h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    point_at_the_middle(&mut h);
    click(&mut h, "Add this view to the path");
    click(&mut h, "Nearer");
    click(&mut h, "Nearer");
    click(&mut h, "Add this view to the path");
    assert!(has(&h, "2 views"));
    let near = part(&h, "from the target");
    click(&mut h, "Play the path");
    until(&mut h, "the beginning", |h| part(h, "from the target") != near);
    until(&mut h, "the end", |h| part(h, "from the target") == near);
    h.get_by_role_and_label(Role::Slider, "Longer side").set_value_accesskit(256.0);
    h.get_by_role_and_label(Role::Slider, "Pictures of a flight").set_value_accesskit(3.0);
    h.step();
    click(&mut h, "16:9");
    assert!(has(&h, "256 × 144"));
    for (button, name) in [("Export the path as pictures…", "way"), ("Export a turntable…", "turn")] {
        *window.answers.0.lock().unwrap() = Some(window.path(&format!("{name}.png")));
        click(&mut h, button);
        until(&mut h, "the pictures", |h| has_part(h, "Exported 3 pictures"));
        let frames = (1..=3).map(|frame| {
            decode::open(&window.path(&format!("{name}-000{frame}.png")), &DecodeLimits::default()).unwrap()
        });
        let frames: Vec<_> = frames.collect();
        assert!(frames.iter().all(|frame| frame.size() == (256, 144) && frame.alpha.is_some()));
        assert!(frames[0].rgb != frames[1].rgb && frames[1].rgb != frames[2].rgb);
        until(&mut h, "the end of the message", |h| !has_part(h, "Close message"));
    }
}

#[test]
fn scenes_that_were_opened_are_remembered() {
    let window = Window::new();
    let h = looking(&window, r#"{"splats": {"renderer": "cpu"}}"#);
    drop(h);
    let mut h = window.open(None);
    until(&mut h, "the scene before", |h| has(h, "Opened before"));
    click(&mut h, "four balls.ply");
    until(&mut h, "the scene", |h| has_part(h, "2800 Gaussians, harmonics"));
}

/// A window with a scene and a picture whose features are equally wide.
fn linked(window: &Window) -> Harness<'static, Glassbox> {
    scene_with(window, 32);
    let settings = crate::features::settings("dark", "features", 280);
    window.settings(&settings.replacen('{', r#"{"splats": {"renderer": "cpu"}, "#, 1));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the components", |h| has_part(h, "These explain"));
    *window.answers.0.lock().unwrap() = Some(window.path("four balls.ply"));
    leave(&mut h);
    h.key_press_modifiers(Modifiers::COMMAND, Key::K);
    h.step();
    h.step();
    type_into(&mut h, "Search commands", "open a splat");
    h.key_press(Key::Enter);
    h.step();
    until(&mut h, "the path field", |h| has(h, "Path"));
    type_into(&mut h, "Path", window.path("four balls.ply").to_str().unwrap());
    click(&mut h, "Open file");
    until(&mut h, "the scene", |h| has_part(h, "features of 32 channels"));
    until(&mut h, "the picture", |h| has_part(h, " ms   "));
    h
}

#[test]
fn what_is_asked_in_one_lens_is_asked_in_the_other() {
    let window = Window::new();
    let mut h = linked(&window);
    // From the scene to the picture.
    click(&mut h, "Similarity");
    assert!(has_part(&h, "Click a point of the scene"));
    h.get_by_label("3D view").focus();
    h.step();
    h.key_press(Key::Enter);
    h.step();
    until(&mut h, "the point", |h| has(h, "Compared with the point that was clicked."));
    click(&mut h, "Show it on the picture");
    until(&mut h, "the map of the picture", |h| has(h, "A point of the scene"));
    until(&mut h, "how many are alike", |h| has_part(h, "patches are alike"));

    // And back: another patch is held.
    let pane = h.query_all_by_label_contains("Pane 1: ").next().unwrap().rect().center();
    h.hover_at(pane);
    h.step();
    h.drag_at(pane);
    h.step();
    h.drop_at(pane);
    h.step();
    until(&mut h, "the patch", |h| has_part(h, "Patch in row"));
    click(&mut h, "Show it in the scene");
    until(&mut h, "the scene asked about it", |h| has(h, "Compared with what is held in the Features lens."));

    // The colours of one basis.
    click(&mut h, "PCA");
    until(&mut h, "the shared basis", |h| has(h, "Colours of the Features lens"));
    settled(&mut h);
    click(&mut h, "Colours of the Features lens");
    settled(&mut h);
    assert!(!has_part(&h, "could not be drawn"));
    let other = Window::new();
    let mut h = looking(&other, r#"{"splats": {"renderer": "cpu", "mode": "pca"}}"#);
    settled(&mut h);
    assert!(!has(&h, "Colours of the Features lens"), "no picture, no link");
}
