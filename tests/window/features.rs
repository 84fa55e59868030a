//! The Features lens on a tiny random backbone in timm layout: opening, maps, panes, similarity, regions, exports.

use std::path::{Path, PathBuf};

use egui::accesskit::Role;
use egui::{Key, Pos2, Rect, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use glassbox::app::Glassbox;
use glassbox::picture::Picture;

use crate::stand_in::{STEPS, WISH, Window, click, has, has_part, leave, opened, type_into, until, value};

pub(crate) fn backbone(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/vit").join(name)
}

/// Settings with two tiny random backbones to choose from, that look at `side` pixels.
pub(crate) fn settings(theme: &str, lens: &str, side: u32) -> String {
    let (a, b) = (backbone("dinov2"), backbone("dinov2-reg"));
    format!(
        r#"{{"theme": "{theme}", "lens": "{lens}", "features": {{"folders": [{a:?}, {b:?}], "a": {a:?},
            "size": {{"longer": {side}}}}}}}"#
    )
}

/// A window with the picture and the lens open, the map there.
fn looking(window: &Window) -> Harness<'static, Glassbox> {
    window.settings(&settings("dark", "features", 280));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the features", |h| has(h, "280 × 210 → 20 × 15"));
    until(&mut h, "the map", |h| has_part(h, "These explain"));
    h
}

/// A place on the picture (0..=1 both ways) of a pane as a point of the window.
fn at(h: &Harness<'_, Glassbox>, pane: usize, x: f32, y: f32) -> Pos2 {
    let name = format!("Pane {pane}: ");
    let body = h.query_all_by_label_contains(&name).next().expect("a pane").rect().shrink(10.0);
    let side = (body.width() / 320.0).min(body.height() / 240.0);
    let picture = Rect::from_center_size(body.center(), vec2(320.0, 240.0) * side);
    pos2(picture.left() + x * picture.width(), picture.top() + y * picture.height())
}

fn point(h: &mut Harness<'_, Glassbox>, at: Pos2) {
    h.hover_at(at);
    h.step();
    h.step();
}

fn press(h: &mut Harness<'_, Glassbox>, at: Pos2) {
    point(h, at);
    h.drag_at(at);
    h.step();
    h.drop_at(at);
    h.step();
    h.step();
}

fn drag(h: &mut Harness<'_, Glassbox>, points: &[Pos2]) {
    point(h, points[0]);
    h.drag_at(points[0]);
    h.step();
    for point in &points[1..] {
        h.hover_at(*point);
        h.step();
    }
    h.drop_at(points[points.len() - 1]);
    h.step();
    h.step();
}

/// Moves a slider, which has the name of the label beside it.
fn slide(h: &mut Harness<'_, Glassbox>, name: &str, value: f64) {
    h.get_by_role_and_label(Role::Slider, name).set_value_accesskit(value);
    h.step();
}

/// What a pane tells of the patch that is pointed at.
fn told(h: &Harness<'_, Glassbox>, pane: usize) -> String {
    let name = format!("Pane {pane}: ");
    let node = h.query_all_by_label_contains(&name).next().expect("a pane");
    node.accesskit_node().value().unwrap_or_default()
}

fn rows(h: &Harness<'_, Glassbox>) -> usize {
    h.query_all_by_label_contains("Choose cluster ").count()
}

#[test]
fn without_a_backbone_there_is_no_tab_and_a_command_is_the_way_in() {
    let window = Window::new();
    let mut h = opened(&window);
    assert!(!has(&h, "Features"), "one lens needs no tabs");
    leave(&mut h);
    h.key_press_modifiers(egui::Modifiers::COMMAND, Key::K);
    h.step();
    h.step();
    type_into(&mut h, "Search commands", "features lens with");
    h.key_press(Key::Enter);
    h.step();
    // The stand-in has no dialog for folders: the path is typed.
    until(&mut h, "the path field", |h| has(h, "Path"));
    type_into(&mut h, "Path", "/nowhere/at all");
    click(&mut h, "Open file");
    until(&mut h, "the complaint", |h| has_part(h, "neither a folder nor a file"));
    assert!(!has(&h, "Features"));
    h.key_press_modifiers(egui::Modifiers::COMMAND, Key::K);
    h.step();
    h.step();
    type_into(&mut h, "Search commands", "features lens with");
    h.key_press(Key::Enter);
    h.step();
    until(&mut h, "the path field", |h| has(h, "Path"));
    type_into(&mut h, "Path", &format!("\"{}\"", backbone("dinov2").display()));
    click(&mut h, "Open file");
    until(&mut h, "the lens", |h| has(h, "Features") && has(h, "Model A: dinov2"));
    until(&mut h, "the map", |h| has_part(h, "These explain"));
    // The tab stays, also in the next window.
    click(&mut h, "Edit");
    until(&mut h, "the wish", |h| has(h, "Wish"));
    drop(h);
    let mut h = opened(&window);
    click(&mut h, "Features");
    until(&mut h, "the map", |h| has_part(h, "These explain"));
}

#[test]
fn what_is_no_backbone_is_told_and_can_be_tried_again() {
    let window = Window::new();
    let folder = window.path("broken");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), b"<!DOCTYPE html>").unwrap();
    window.settings(&format!(r#"{{"lens": "features", "features": {{"folders": [{folder:?}]}}}}"#));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the complaint", |h| has_part(h, "web page"));
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(backbone("dinov2").join(name), folder.join(name)).unwrap();
    }
    click(&mut h, "Try again");
    until(&mut h, "the map", |h| has_part(h, "These explain"));
}

#[test]
fn components_clusters_and_their_colours() {
    let window = Window::new();
    let mut h = looking(&window);
    // The foreground, by itself and by hand; the paper's recipe.
    click(&mut h, "Only the foreground");
    until(&mut h, "the histogram", |h| has(h, "Threshold on the first component"));
    h.get_by_label("Threshold on the first component").set_value_accesskit(0.3);
    h.step();
    click(&mut h, "The other side");
    click(&mut h, "Find it");
    until(&mut h, "the usual threshold", |h| !has(h, "Find it"));
    click(&mut h, "PCA as in the paper");
    until(&mut h, "the joint range", |h| has_part(h, "One range for all three"));
    click(&mut h, "More: component shown as red");
    assert!(has(&h, "component shown as red: 2"));
    click(&mut h, "Usual PCA settings");

    // Clusters: as many as asked for; those that stay keep their colours and names.
    click(&mut h, "K-means");
    until(&mut h, "eight clusters", |h| rows(h) == 8);
    type_into(&mut h, "Name of cluster 1", "sky");
    leave(&mut h);
    let here = at(&h, 1, 0.5, 0.1);
    point(&mut h, here);
    slide(&mut h, "How many", 9.0);
    until(&mut h, "nine clusters", |h| rows(h) == 9);
    let named = (1..=9).find(|n| value(&h, &format!("Name of cluster {n}")) == "sky");
    assert!(named.is_some(), "the cluster that had a name still has it");
    slide(&mut h, "How many", 8.0);
    until(&mut h, "eight again", |h| rows(h) == 8);
    click(&mut h, "Hide cluster 2");
    assert!(has(&h, "Show cluster 2"));
    click(&mut h, "Show all clusters");
    assert!(has(&h, "Hide cluster 2"));

    // More clusters than patches: one sentence, and nothing else breaks.
    slide(&mut h, "How many", 64.0);
    until(&mut h, "sixty-four", |h| rows(h) == 64);
    // The network ran once for all of it: every layer is there.
    click(&mut h, "PCA");
    slide(&mut h, "Layer", 1.0);
    h.step();
    until(&mut h, "the first layer", |h| has_part(h, "These explain"));
}

#[test]
fn pointing_tells_of_a_patch_and_a_click_holds_it() {
    let window = Window::new();
    let mut h = looking(&window);
    click(&mut h, "Similarity");
    let here = at(&h, 1, 0.51, 0.52);
    point(&mut h, here);
    until(&mut h, "the patch", |h| told(h, 1).contains("Cosine 1.00"));
    assert!(told(&h, 1).contains("Row 8, column 11"), "{}", told(&h, 1));
    press(&mut h, here);
    until(&mut h, "what is held", |h| has(h, "Patch in row 8, column 11"));
    until(&mut h, "the nearest patches", |h| has_part(h, "Nearest patch 1: "));
    let there = at(&h, 1, 0.1, 0.1);
    point(&mut h, there);
    assert!(!told(&h, 1).contains("Cosine 1.00"), "it is still compared with what is held");
    click(&mut h, "Show only what is alike");
    slide(&mut h, "Threshold", 0.9);
    h.step();
    h.key_press(Key::Escape);
    h.step();
    until(&mut h, "nothing held", |h| !has(h, "Let go"));
    click(&mut h, "Class token");
    until(&mut h, "the class token", |h| has(h, "The class token"));
    // By keyboard: the pane has the focus, arrows go from patch to patch, Enter holds.
    click(&mut h, "A patch");
    h.remove_cursor();
    h.step();
    h.query_all_by_label_contains("Pane 1: ").next().unwrap().focus();
    h.step();
    h.step();
    let before = told(&h, 1);
    h.key_press(Key::ArrowRight);
    h.step();
    h.step();
    assert!(before.contains("column 11") && told(&h, 1).contains("column 12"), "{before} then {}", told(&h, 1));
}

#[test]
fn scales_end_at_percentiles_or_at_values_and_the_nearest_patches_are_told() {
    let window = Window::new();
    let mut h = looking(&window);
    // By its key, as the help says.
    h.key_press_modifiers(egui::Modifiers::ALT, Key::N);
    h.step();
    until(&mut h, "the map of norms", |h| has_part(h, "Pane 1: A, Original, Norm"));
    assert!(has(&h, "Percentiles"));
    until(&mut h, "the map itself", |h| !has_part(h, "in the making"));
    h.step();
    click(&mut h, "Values");
    // What was seen stays: the ends are those of the percentiles.
    let end = |h: &Harness<'_, Glassbox>, name: &str| {
        h.get_by_role_and_label(Role::Slider, name).accesskit_node().numeric_value().unwrap()
    };
    let (from, to) = (end(&h, "Scale from"), end(&h, "Scale to"));
    assert!(from > 0.0 && to > from, "{from} to {to}");
    slide(&mut h, "Scale to", to + 1.0);
    assert!((end(&h, "Scale to") - to - 1.0).abs() < 0.06);
    h.key_press_modifiers(egui::Modifiers::ALT, Key::S);
    h.step();
    let here = at(&h, 1, 0.51, 0.52);
    press(&mut h, here);
    until(&mut h, "the nearest", |h| has_part(h, "Nearest patch 5: row"));
    assert!(!has_part(&h, "Nearest patch 1: row 8, column 11,"), "a patch is not its own neighbour");
    let first = h.query_all_by_label_contains("Nearest patch 1: ").next().unwrap().accesskit_node().label().unwrap();
    let place = first.trim_start_matches("Nearest patch 1: ").split(", cosine").next().unwrap().to_owned();
    click(&mut h, &first);
    until(&mut h, "that patch", |h| has(h, &format!("Patch in {place}")));
    slide(&mut h, "Scale from", -0.5);
    click(&mut h, "Percentiles");
    assert_eq!(end(&h, "Scale to"), 99.0);
    click(&mut h, "Usual display");
    assert_eq!(end(&h, "Scale to"), 1.0);
}

#[test]
fn a_chosen_cluster_that_is_gone_is_told_and_comes_back() {
    let window = Window::new();
    let mut h = looking(&window);
    h.key_press_modifiers(egui::Modifiers::ALT, Key::K);
    h.step();
    until(&mut h, "eight clusters", |h| rows(h) == 8);
    for cluster in 1..=8 {
        click(&mut h, &format!("Choose cluster {cluster}"));
    }
    assert!(has(&h, "Use 8 clusters as region"));
    slide(&mut h, "How many", 3.0);
    until(&mut h, "three clusters", |h| rows(h) == 3);
    until(&mut h, "what is gone", |h| has_part(h, "5 chosen clusters are not among these 3"));
    // They are in no region until they are back.
    assert!(has(&h, "Use 3 clusters as region"));
    slide(&mut h, "How many", 8.0);
    until(&mut h, "eight again", |h| rows(h) == 8);
    until(&mut h, "nothing gone", |h| !has_part(h, "not among these"));
    slide(&mut h, "How many", 3.0);
    until(&mut h, "three clusters", |h| rows(h) == 3);
    click(&mut h, "Forget what was chosen");
    assert!(!has_part(&h, "not among these") && has(&h, "Use 3 clusters as region"));
}

#[test]
fn panes_and_tools_have_keys_and_the_help_names_them() {
    let window = Window::new();
    window.settings(&settings("dark", "edit", 280));
    let mut h = window.open(Some("lake village.png"));
    until(&mut h, "the picture", |h| has(h, "Wish"));
    h.key_press_modifiers(egui::Modifiers::COMMAND, Key::Num2);
    until(&mut h, "the map", |h| has_part(h, "These explain"));
    let alt = |h: &mut Harness<'_, Glassbox>, key| {
        h.key_press_modifiers(egui::Modifiers::ALT, key);
        h.step();
        h.step();
    };
    alt(&mut h, Key::Num4);
    until(&mut h, "four panes", |h| has_part(h, "Pane 4: "));
    h.key_press_modifiers(egui::Modifiers::COMMAND | egui::Modifiers::SHIFT, Key::L);
    h.step();
    h.step();
    assert!(has(&h, "Panes are not linked"));
    alt(&mut h, Key::Num1);
    assert!(!has_part(&h, "Pane 2: "));
    alt(&mut h, Key::S);
    alt(&mut h, Key::B);
    let (from, to) = (at(&h, 1, 0.2, 0.2), at(&h, 1, 0.6, 0.6));
    drag(&mut h, &[from, to]);
    until(&mut h, "the box", |h| has(h, "Use the shape as region"));
    h.key_press(Key::Questionmark);
    h.step();
    h.step();
    for words in ["PCA map", "Similarity map", "Four panes", "Link panes, or not", "Draw a lasso", "Features lens"] {
        assert!(has(&h, words), "{words} is not in the help");
    }
}

#[test]
fn panes_compare_models_and_move_together() {
    let window = Window::new();
    let mut h = looking(&window);
    click(&mut h, "Model B: None");
    click(&mut h, "dinov2-reg");
    click(&mut h, "Two panes");
    until(&mut h, "both panes", |h| has_part(h, "Pane 1: A") && has_part(h, "Pane 2: B"));
    assert!(has(&h, "Panes are linked"));
    // Linked: the pointer over one tells of the same place in the other.
    let here = at(&h, 1, 0.3, 0.3);
    point(&mut h, here);
    until(&mut h, "both readouts", |h| told(h, 1).contains("Row") && told(h, 2).contains("Row"));
    click(&mut h, "Panes are linked");
    let here = at(&h, 1, 0.31, 0.3);
    point(&mut h, here);
    assert!(told(&h, 1).contains("Row") && !told(&h, 2).contains("Row"));
    click(&mut h, "Panes are not linked");
    // The difference of the models needs grids and widths that fit.
    click(&mut h, "Difference");
    click(&mut h, "Models A and B");
    until(&mut h, "a difference, or why not", |h| has_part(h, "cannot be") || told(h, 1).contains("1 − cosine"));
    click(&mut h, "Four panes");
    until(&mut h, "four panes", |h| has_part(h, "Pane 4: "));
    click(&mut h, "Close pane 4");
    until(&mut h, "three panes", |h| !has_part(h, "Pane 4: ") && has_part(h, "Pane 3: "));
    click(&mut h, "One pane");
    until(&mut h, "one pane", |h| !has_part(h, "Pane 2: "));
}

#[test]
fn a_cluster_a_threshold_and_a_lasso_become_regions_that_the_edit_lens_uses() {
    let window = Window::new();
    let mut h = looking(&window);
    click(&mut h, "K-means");
    until(&mut h, "the clusters", |h| rows(h) == 8);
    type_into(&mut h, "Name of cluster 1", "water");
    leave(&mut h);
    click(&mut h, "Use cluster 1 as a region");
    until(&mut h, "the region", |h| has_part(h, "Kept as “water”"));

    click(&mut h, "Similarity");
    let here = at(&h, 1, 0.6, 0.5);
    press(&mut h, here);
    slide(&mut h, "Threshold", 0.5);
    h.step();
    click(&mut h, "Use what is alike as region");
    until(&mut h, "the second region", |h| has_part(h, "Kept as “like patch in row"));

    click(&mut h, "Draw a lasso");
    let way: Vec<Pos2> =
        [(0.1, 0.1), (0.6, 0.1), (0.6, 0.6), (0.1, 0.6)].iter().map(|(x, y)| at(&h, 1, *x, *y)).collect();
    drag(&mut h, &way);
    until(&mut h, "the shape", |h| has(h, "Use the shape as region"));
    click(&mut h, "Use the shape as region");
    until(&mut h, "the third region", |h| has_part(h, "Kept as “lasso”"));

    // In the Edit lens it bounds an instruction.
    h.key_press(Key::Escape);
    h.step();
    click(&mut h, "Edit");
    until(&mut h, "the wish", |h| has(h, "Wish"));
    type_into(&mut h, "Wish", WISH);
    leave(&mut h);
    click(&mut h, "Propose instructions");
    until(&mut h, "the proposal", |h| has(h, "Instruction 3"));
    click(&mut h, "Region of instruction 1");
    click(&mut h, "More regions");
    click(&mut h, "Use region: lasso");
    click(&mut h, "Done");
    assert!(has_part(&h, "acts on 25 % of the picture"));
    window.work.gate.open(STEPS);
    click(&mut h, "Run with 3 instructions");
    until(&mut h, "the version", |h| has(h, &format!("Version: {WISH}")));
    let ran = window.work.ran.lock().unwrap().pop().unwrap();
    let region = ran.specifics[0].region.as_ref().expect("a region");
    let value_at = |x, y| region.mask().get_pixel(x, y).0[0];
    assert_eq!((value_at(100, 80), value_at(280, 200)), (255, 0));
    // The edge is soft.
    assert!(region.mask().iter().any(|value| (40..216).contains(value)));

    // Back in the lens: the result and the original, in one basis.
    click(&mut h, "Features");
    click(&mut h, "PCA");
    click(&mut h, "Two panes");
    until(&mut h, "both versions", |h| {
        has_part(h, &format!("Pane 1: A, {WISH}")) && has_part(h, "Pane 2: A, Original")
    });
    until(&mut h, "the shared basis", |h| has_part(h, "of 600 patches"));
    click(&mut h, "Difference");
    let here = at(&h, 1, 0.5, 0.5);
    point(&mut h, here);
    until(&mut h, "the difference", |h| told(h, 1).contains("1 − cosine"));
}

#[test]
fn results_are_brought_out() {
    let window = Window::new();
    let mut h = looking(&window);
    let export = |h: &mut Harness<'static, Glassbox>, name: &str, what: &str| {
        let path = window.path(name);
        *window.answers.0.lock().unwrap() = Some(path.clone());
        if !has(h, what) {
            click(h, "Export map");
        }
        click(h, what);
        until(h, name, |_| path.exists());
        path
    };
    let maps = export(&mut h, "maps.png", "What is shown, at full size (PNG)…");
    let picture = glassbox::picture::decode::open(&maps, &glassbox::picture::limits::DecodeLimits::default()).unwrap();
    // Below the map stands what it shows.
    assert!(picture.size().0 == 320 && picture.size().1 > 260, "{:?}", picture.size());
    let numbers = std::fs::read(export(&mut h, "features.npy", "Features (NPY)…")).unwrap();
    assert!(
        String::from_utf8_lossy(&numbers[..100]).contains("(15, 20, 32)"),
        "{:?}",
        String::from_utf8_lossy(&numbers[..100])
    );
    let basis = export(&mut h, "basis.safetensors", "PCA basis (safetensors)…");
    click(&mut h, "K-means");
    until(&mut h, "the clusters", |h| rows(h) == 8);
    let table = std::fs::read_to_string(export(&mut h, "clusters.csv", "Clusters (CSV, and PNG of indices)…")).unwrap();
    assert_eq!(table.lines().count(), 9);
    assert!(table.starts_with("cluster,name,colour,patches,share"), "{table}");
    until(&mut h, "the indices", |_| window.path("clusters.png").exists());
    let indices: Picture = glassbox::picture::decode::open(
        &window.path("clusters.png"),
        &glassbox::picture::limits::DecodeLimits::default(),
    )
    .unwrap();
    assert!(indices.rgb.pixels().all(|pixel| (1..=8).contains(&pixel.0[0])));
    // A map of clusters has a legend with their colours, also of those that are small; without one it is the picture's size.
    let legend = export(&mut h, "legend.png", "What is shown, at full size (PNG)…");
    let legend = glassbox::picture::decode::open(&legend, &glassbox::picture::limits::DecodeLimits::default()).unwrap();
    let below: std::collections::HashSet<[u8; 3]> =
        legend.rgb.enumerate_pixels().filter(|(_, y, _)| *y >= 240).map(|(_, _, pixel)| pixel.0).collect();
    for line in table.lines().skip(1) {
        let hex = line.split(',').nth(2).unwrap().trim_start_matches('#');
        let colour = [0, 2, 4].map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        assert!(below.contains(&colour), "{line} is not in the legend");
    }
    click(&mut h, "Export map");
    click(&mut h, "Title, colour bar and legend below");
    let plain = export(&mut h, "plain.png", "What is shown, at full size (PNG)…");
    let plain = glassbox::picture::decode::open(&plain, &glassbox::picture::limits::DecodeLimits::default()).unwrap();
    assert_eq!(plain.size(), (320, 240));
    // The numbers of clusters are never written over the picture itself.
    let source = std::fs::read(window.path("lake village.png")).unwrap();
    *window.answers.0.lock().unwrap() = Some(window.path("lake village.csv"));
    if !has(&h, "Clusters (CSV, and PNG of indices)…") {
        click(&mut h, "Export map");
    }
    click(&mut h, "Clusters (CSV, and PNG of indices)…");
    until(&mut h, "the refusal", |h| has_part(h, "choose another name"));
    assert_eq!(std::fs::read(window.path("lake village.png")).unwrap(), source);
    // The basis comes back.
    click(&mut h, "PCA");
    click(&mut h, "Load a basis…");
    until(&mut h, "the path field", |h| has(h, "Path"));
    type_into(&mut h, "Path", basis.to_str().unwrap());
    click(&mut h, "Open file");
    until(&mut h, "the basis", |h| has(h, "Fit a basis again"));
    click(&mut h, "Fit a basis again");
    until(&mut h, "no basis", |h| !has(h, "Fit a basis again"));
}
