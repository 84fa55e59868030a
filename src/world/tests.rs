//! What the rest of the project relies on: same seed, same bytes; edits stay where they belong; truth agrees with itself.

use super::dataset::{Mix, Plan, sheet};
use super::edits::{Edit, Inventory, State};
use super::language::wishes::WISHES;
use super::language::{is_held_out, phrases, say};
use super::look::{Look, Part};
use super::render::Renderer;
use super::rng::Draw;
use super::scene::{Scene, Theme};

const SIZE: usize = 96;

fn scene() -> Scene {
    let mut scene = Scene::with_theme(11, Theme::Street);
    scene.look = Look::summer_noon();
    scene
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let render = |seed| {
        let scene = Scene::new(seed);
        Renderer::new(&scene, &scene.camera, SIZE, SIZE).render(&scene.look).rgb
    };
    assert_eq!(render(5), render(5));
    assert_ne!(render(5), render(6));
}

#[test]
fn choices_depend_on_their_names_alone() {
    let draw = Draw::new(3);
    let before = draw.unit("a");
    let _ = draw.unit("b");
    assert_eq!(before, draw.unit("a"));
    assert_ne!(draw.bits("a"), draw.bits("b"));
}

#[test]
fn repainting_the_roofs_changes_no_pixel_without_a_roof() {
    let scene = scene();
    let mut renderer = Renderer::new(&scene, &scene.camera, SIZE, SIZE);
    let before = renderer.render(&scene.look);
    let mut look = scene.look.clone();
    Edit::Recolour(Part::Roof, 4).apply(&mut look);
    let after = renderer.render(&look);
    // ids at the four samples of each pixel
    let fine = Renderer::new(&scene, &scene.camera, SIZE * 2, SIZE * 2).truth(&scene.look);
    let mut changed = 0;
    for y in 0..SIZE {
        for x in 0..SIZE {
            let k = 3 * (y * SIZE + x);
            if before.rgb[k..k + 3] != after.rgb[k..k + 3] {
                changed += 1;
                let roof = (0..4).any(|s| fine.class[(2 * y + s / 2) * 2 * SIZE + 2 * x + s % 2] == Part::Roof as u8);
                assert!(roof, "pixel {x},{y} changed without a roof");
            }
        }
    }
    assert!(changed > 20, "the roofs did change");
}

#[test]
fn depth_agrees_with_projection() {
    let scene = scene();
    let renderer = Renderer::new(&scene, &scene.camera, SIZE, SIZE);
    let truth = renderer.truth(&scene.look);
    let view = renderer.view();
    for (x, y) in [(10, 80), (48, 70), (80, 90)] {
        let depth = truth.depth[y * SIZE + x];
        assert!(depth > 0.0);
        let point = view.eye + view.ray(x as f32 + 0.5, y as f32 + 0.5) * depth;
        let (px, py, pz) = view.project(point).unwrap_or_default();
        assert!(
            (px - x as f32 - 0.5).abs() < 1e-2
                && (py - y as f32 - 0.5).abs() < 1e-2
                && (pz - depth).abs() < 1e-3 * depth
        );
    }
}

#[test]
fn edit_names_are_unique_and_parse() {
    let all = Edit::all();
    let names: std::collections::BTreeSet<String> = all.iter().map(|edit| edit.name()).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().all(|edit| Edit::parse(&edit.name()) == Some(*edit)));
}

#[test]
fn every_edit_has_thirty_ways_to_say_it_and_held_out_ones_apart() {
    for edit in Edit::all().into_iter().step_by(7) {
        let clauses = phrases::clauses(edit);
        let train = say(&clauses, Draw::new(1), 30, false);
        let held = say(&clauses, Draw::new(1), 6, true);
        assert_eq!(train.len(), 30, "{}", edit.name());
        assert!(!held.is_empty(), "{}", edit.name());
        assert!(train.iter().all(|text| !is_held_out(text)) && held.iter().all(|text| is_held_out(text)));
    }
}

#[test]
fn wishes_ask_only_for_what_is_seen() {
    let plan = Plan { seed: 0, scenes: 1, width: 64, height: 64, variants: 4, mix: Mix::default() };
    for seed in 20..24 {
        let scene = Scene::new(seed);
        let inventory = Inventory::new(&scene, &Renderer::new(&scene, &scene.camera, 64, 64).truth(&scene.look));
        let sheet = sheet(seed, &plan);
        let rows = sheet.pictures.len() as u64;
        for wish in sheet.meta["wishes"].as_array().into_iter().flatten() {
            assert!(wish["row"].as_u64().is_none_or(|row| row < rows));
            for specific in wish["specifics"].as_array().into_iter().flatten() {
                let edit = specific["name"].as_str().and_then(Edit::parse);
                assert!(edit.is_some_and(|edit| inventory.allows(edit)), "{specific}");
            }
        }
    }
}

#[test]
fn a_wish_proposes_its_most_telling_changes_first_but_not_only_those() {
    let inventory = Inventory { area: [0.1; Part::COUNT], shedding: true };
    let wish = &WISHES[0];
    let proposals: Vec<Vec<Edit>> = (0..60).map(|i| wish.proposal(&inventory, Draw::new(i), 3)).collect();
    let firsts = |edit: Edit| proposals.iter().filter(|proposal| proposal[0] == edit).count();
    assert!(proposals.iter().all(|proposal| proposal.len() == 3 && proposal[0] != proposal[1]));
    assert!(firsts(wish.specifics[0]) > firsts(wish.specifics[3]) + 5);
    assert!(proposals.iter().flatten().any(|edit| *edit == wish.specifics[5]));
    assert_eq!(wish.proposal(&inventory, Draw::new(1), 99).len(), wish.specifics.len());
}

#[test]
fn the_mix_of_a_data_set_is_read_and_kept_to() {
    let mix: Mix = "season=0,hour=0,weather=0, grade=0,state=0,recolour=1".parse().unwrap();
    let plan = Plan { seed: 0, scenes: 1, width: 64, height: 64, variants: 4, mix };
    let sheet = sheet(21, &plan);
    let kinds: Vec<&str> =
        sheet.meta["edits"].as_array().unwrap().iter().filter_map(|edit| edit["kind"].as_str()).collect();
    assert_eq!(kinds, ["recolour", "recolour", "recolour", "recolour", "double"]);
    assert_eq!("recolour=3.2".parse(), Ok(Mix::default()));
    for wrong in ["", "roof=1", "state", "state=-1", "state=x", "season=0,hour=0,weather=0,grade=0,state=0,recolour=0"]
    {
        assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
    }
}

#[test]
fn evaluation_cases_change_something_and_ask_in_unseen_words() {
    let case = super::evaluation::evaluation_case(super::evaluation::FIRST_SEED + 3, 64, 64);
    assert!(case.requests.len() >= 6);
    for request in &case.requests {
        assert!(request.changed.iter().any(|changed| *changed), "{}", request.name);
        assert!(is_held_out(&request.text), "{}", request.text);
        assert_eq!(request.kind == "wish", !request.specifics.is_empty());
    }
}

#[test]
fn snow_on_the_roofs_leaves_the_sky_alone() {
    let scene = scene();
    let mut renderer = Renderer::new(&scene, &scene.camera, SIZE, SIZE);
    let before = renderer.render(&scene.look);
    let mut look = scene.look.clone();
    Edit::State(State::SnowRoofs).apply(&mut look);
    let after = renderer.render(&look);
    assert_eq!(before.rgb[..3 * SIZE * 8], after.rgb[..3 * SIZE * 8]);
    assert_ne!(before.rgb, after.rgb);
}
