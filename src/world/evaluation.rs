//! Cases for the held-out evaluation: an unseen scene, edits and wishes with their true pictures and changed pixels.

use super::edits::{Edit, Inventory};
use super::language::captions::caption;
use super::language::{phrases, say, wishes::WISHES};
use super::look::Look;
use super::render::{Picture, Renderer};
use super::rng::Draw;
use super::scene::Scene;

/// Seeds from here on are never used for training.
pub const FIRST_SEED: u64 = 1_000_000_000;

/// One instruction and what it should lead to.
#[derive(Clone, Debug)]
pub struct Request {
    /// `recolour/roof/blue`, or the wish's name
    pub name: String,
    /// the family of edits, or `wish`
    pub kind: &'static str,
    /// a way of asking that training never saw
    pub text: String,
    /// the changes a wish stands for, as instructions; empty for a single edit
    pub specifics: Vec<String>,
    pub truth: Picture,
    /// whether each pixel differs from the source, `[height, width]`
    pub changed: Vec<bool>,
}

/// A source picture with its requests.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub caption: String,
    pub source: Picture,
    pub requests: Vec<Request>,
}

fn changed(before: &Picture, after: &Picture) -> Vec<bool> {
    before.rgb.chunks_exact(3).zip(after.rgb.chunks_exact(3)).map(|(a, b)| a != b).collect()
}

/// Builds the case of a seed: one edit of each kind and up to two wishes, each with something to change.
pub fn evaluation_case(seed: u64, width: usize, height: usize) -> Case {
    let scene = Scene::new(seed);
    let draw = Draw::new(seed).child("evaluation");
    let mut renderer = Renderer::new(&scene, &scene.camera, width, height);
    let inventory = Inventory::new(&scene, &renderer.truth(&scene.look));
    let source = renderer.render(&scene.look);
    let mut requests = Vec::new();
    let asked = |clauses: &[String], d: Draw| {
        say(clauses, d, 1, true).pop().or_else(|| clauses.first().cloned()).unwrap_or_default()
    };
    let look_after = |edits: &[Edit]| {
        let mut look: Look = scene.look.clone();
        edits.iter().for_each(|edit| edit.apply(&mut look));
        (look != scene.look).then_some(look)
    };
    for kind in ["season", "hour", "weather", "grade", "state", "recolour"] {
        let d = draw.child(kind);
        let possible: Vec<Edit> =
            Edit::all().into_iter().filter(|edit| edit.kind() == kind && inventory.allows(*edit)).collect();
        for index in d.shuffled("order", possible.len()) {
            let edit = possible[index];
            if let Some(look) = look_after(&[edit]) {
                let truth = renderer.render(&look);
                let text = asked(&phrases::clauses(edit), d);
                let changed = changed(&source, &truth);
                requests.push(Request { name: edit.name(), kind, text, specifics: Vec::new(), truth, changed });
                break;
            }
        }
    }
    let mut wishes = 0;
    for index in draw.shuffled("wishes", WISHES.len()) {
        let wish = &WISHES[index];
        let specifics: Vec<Edit> = wish
            .specifics_for(&inventory, 6)
            .into_iter()
            .filter(|edit| look_after(&[*edit]).is_some())
            .take(3)
            .collect();
        let Some(look) = look_after(&specifics).filter(|_| specifics.len() > 1) else { continue };
        let truth = renderer.render(&look);
        let d = draw.child(wish.name);
        let clauses: Vec<String> = wish.texts.iter().map(|text| (*text).to_owned()).collect();
        let lines = specifics.iter().map(|edit| asked(&phrases::clauses(*edit), d.child(&edit.name()))).collect();
        let changed = changed(&source, &truth);
        requests.push(Request {
            name: wish.name.to_owned(),
            kind: "wish",
            text: asked(&clauses, d),
            specifics: lines,
            truth,
            changed,
        });
        wishes += 1;
        if wishes == 2 {
            break;
        }
    }
    Case { seed, caption: caption(&scene, &inventory, 0), source, requests }
}
