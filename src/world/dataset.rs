//! Training data: shards of pictures (NPY) with one JSON line a scene that says what each row is and how one asks for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::edits::{Edit, Inventory, State};
use super::evaluation::FIRST_SEED;
use super::language::{captions, is_held_out, phrases, say, wishes::WISHES};
use super::look::{Grade, Part};
use super::render::{Picture, Renderer};
use super::rng::Draw;
use super::scene::Scene;

/// Scenes kept together in one pair of files.
const SHARD: usize = 64;

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// seed of the first scene; the others follow
    pub seed: u64,
    pub scenes: usize,
    pub width: usize,
    pub height: usize,
    /// edits a scene, besides those of its wishes
    pub variants: usize,
    /// how often each kind of edit is chosen
    pub mix: Mix,
}

/// How often each kind of edit is chosen for a data set, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix([f32; Self::KINDS.len()]);

impl Mix {
    /// The kinds, as [`Edit::kind`] names them.
    pub const KINDS: [&'static str; 6] = ["season", "hour", "weather", "grade", "state", "recolour"];
}

impl Default for Mix {
    fn default() -> Self {
        Self([1.6, 1.5, 1.7, 1.7, 2.6, 3.2])
    }
}

impl FromStr for Mix {
    type Err = String;

    /// Reads `recolour=6,state=4`; kinds that are not named keep their default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self::default();
        for entry in text.split(',') {
            let known = entry.split_once('=').and_then(|(kind, share)| {
                let at = Self::KINDS.iter().position(|known| *known == kind.trim())?;
                let share: f32 = share.trim().parse().ok()?;
                (share.is_finite() && share >= 0.0).then_some((at, share))
            });
            let Some((at, share)) = known else {
                return Err(format!(
                    "{entry:?} is not of the form KIND=SHARE with a kind of {}",
                    Self::KINDS.join(", ")
                ));
            };
            mix.0[at] = share;
        }
        if mix.0.iter().sum::<f32>() > 0.0 { Ok(mix) } else { Err("some kind needs a share above 0".to_owned()) }
    }
}

/// The pictures of one scene and their description; `row` numbers count from 0 within the scene.
pub struct Sheet {
    pub pictures: Vec<Picture>,
    pub meta: Value,
}

/// The edits of a scene in a fair mixture: whole-scene ones, repaints, states, and now and then one whose part is absent.
fn choose(draw: Draw, inventory: &Inventory, count: usize, mix: &Mix) -> Vec<Edit> {
    let d = draw.child("edits");
    let all = Edit::all();
    let mut chosen: Vec<Edit> = Vec::new();
    for attempt in 0..count * 20 {
        if chosen.len() == count {
            break;
        }
        let a = d.at(attempt);
        let kind = Mix::KINDS[a.weighted("kind", &mix.0)];
        let of_kind: Vec<Edit> = all.iter().copied().filter(|edit| edit.kind() == kind).collect();
        let edit = *a.pick("which", &of_kind);
        let absent = !inventory.allows(edit);
        if !chosen.contains(&edit) && (!absent || a.chance("absent", 0.25)) {
            chosen.push(edit);
        }
    }
    chosen
}

/// The ways to ask for an edit without a frame around them, for training or those kept from it.
fn plain_clauses(edit: Edit, held_out: bool) -> Vec<String> {
    let all = phrases::clauses(edit);
    let apart: Vec<String> = all.iter().filter(|text| is_held_out(text) == held_out).cloned().collect();
    if apart.is_empty() { all } else { apart }
}

/// Renders one scene with its edits and wishes.
pub fn sheet(seed: u64, plan: &Plan) -> Sheet {
    let scene = Scene::new(seed);
    let unseen = seed >= FIRST_SEED;
    let draw = Draw::new(seed).child("dataset");
    let mut renderer = Renderer::new(&scene, &scene.camera, plan.width, plan.height);
    let inventory = Inventory::new(&scene, &renderer.truth(&scene.look));
    let source = renderer.render(&scene.look);
    let mut pictures = vec![source];
    let mut rows: BTreeMap<String, Option<usize>> = BTreeMap::new();
    let mut row_of = |edits: &[Edit], pictures: &mut Vec<Picture>| -> Option<usize> {
        let name = edits.iter().map(|edit| edit.name()).collect::<Vec<_>>().join("+");
        *rows.entry(name).or_insert_with(|| {
            let mut look = scene.look.clone();
            for edit in edits.iter().filter(|edit| inventory.allows(**edit)) {
                edit.apply(&mut look);
            }
            (look != scene.look).then(|| {
                pictures.push(renderer.render(&look));
                pictures.len() - 1
            })
        })
    };
    let spoken = |clauses: &[String], d: Draw| {
        (say(clauses, d.child("train"), 6, false), say(clauses, d.child("held"), 2, true))
    };
    let chosen = choose(draw, &inventory, plan.variants, &plan.mix);
    let mut edits = Vec::new();
    for (index, edit) in chosen.iter().enumerate() {
        let (texts, held) = spoken(&phrases::clauses(*edit), draw.child("text").at(index));
        let row = row_of(&[*edit], &mut pictures);
        edits.push(json!({"kind": edit.kind(), "name": edit.name(), "row": row, "texts": texts, "heldout": held}));
    }
    // two edits in one sentence
    if let [first, second, ..] = chosen.as_slice() {
        let (a, b) = (phrases::clauses(*first), phrases::clauses(*second));
        let d = draw.child("double");
        let joint: Vec<String> = (0..24)
            .map(|i| format!("{} and {}", d.at(i).child("a").pick("x", &a), d.at(i).child("b").pick("x", &b)))
            .collect();
        let (texts, held) = spoken(&joint, d);
        let row = row_of(&[*first, *second], &mut pictures);
        let name = format!("{}+{}", first.name(), second.name());
        edits.push(json!({"kind": "double", "name": name, "row": row, "texts": texts, "heldout": held}));
    }
    let mut wishes = Vec::new();
    for index in draw.shuffled("wishes", WISHES.len()) {
        if wishes.len() == 2 {
            break;
        }
        let wish = &WISHES[index];
        let d = draw.child("wish").at(index);
        // A wish is ambiguous: it may mean any of the sets of changes that the specifier may propose for it. Where
        // nothing is trained on, it means its most telling ones, as in the evaluation.
        let specifics = if unseen {
            wish.specifics_for(&inventory, 3)
        } else {
            wish.proposal(&inventory, d, [2, 3, 3, 4][d.index("count", 4)])
        };
        if specifics.len() < 2 {
            continue;
        }
        let clauses: Vec<String> = wish.texts.iter().map(|text| (*text).to_owned()).collect();
        let (texts, held) = spoken(&clauses, d);
        let singles: Vec<Value> = specifics
            .iter()
            .map(|edit| {
                let text = d.child(&edit.name()).pick("clause", &plain_clauses(*edit, unseen)).clone();
                json!({"name": edit.name(), "text": text, "row": row_of(&[*edit], &mut pictures)})
            })
            .collect();
        let row = row_of(&specifics, &mut pictures);
        wishes.push(json!({"name": wish.name, "texts": texts, "heldout": held, "specifics": singles, "row": row}));
    }
    let captions: Vec<String> = (0..4).map(|i| captions::caption(&scene, &inventory, i)).collect();
    let parts: Vec<Value> = Part::ALL
        .iter()
        .filter(|part| inventory.sees(**part))
        .map(|part| json!({"name": part.name(), "colour": colour(&scene, *part), "area": inventory.area[*part as usize]}))
        .collect();
    let meta = json!({
        "seed": seed, "caption": captions[0], "captions": captions, "parts": parts, "source": 0, "edits": edits, "wishes": wishes,
    });
    Sheet { pictures, meta }
}

/// The colour name of a part, where it has one.
fn colour(scene: &Scene, part: Part) -> Option<&'static str> {
    let c = &scene.colours;
    match part {
        Part::Roof => Some(c.roof.name),
        Part::Wall => Some(c.walls[0].name),
        Part::Door => Some(c.door.name),
        Part::Car => Some(c.car.name),
        Part::Boat => Some(c.boat.name),
        Part::Fence => Some(c.fence.name),
        _ => None,
    }
}

/// Adds `offset` to every row number of a scene's description.
fn shift_rows(value: &mut Value, offset: usize) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match inner.as_u64() {
                    Some(row) if key == "row" || key == "source" => *inner = json!(row + offset as u64),
                    _ => shift_rows(inner, offset),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| shift_rows(inner, offset)),
        _ => {}
    }
}

/// Writes the header of a version 1 NPY file.
pub fn npy_header(out: &mut impl Write, descr: &str, shape: &[usize]) -> io::Result<()> {
    let sizes: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    let total = (10 + header.len() + 1).next_multiple_of(64);
    header.push_str(&" ".repeat(total - 10 - header.len() - 1));
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&u16::try_from(header.len()).map_err(io::Error::other)?.to_le_bytes())?;
    out.write_all(header.as_bytes())
}

/// Writes a data set into a folder; `tell` hears how many scenes are done. Files appear under their names when whole.
pub fn write(folder: &Path, plan: &Plan, tell: &dyn Fn(usize)) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (shard, first) in (0..plan.scenes).step_by(SHARD).enumerate() {
        let count = SHARD.min(plan.scenes - first);
        let sheets: Vec<Sheet> =
            (first..first + count).into_par_iter().map(|i| sheet(plan.seed + i as u64, plan)).collect();
        let total: usize = sheets.iter().map(|sheet| sheet.pictures.len()).sum();
        let part = |name: &str| folder.join(format!("{name}.part"));
        let (images, meta) = (format!("images-{shard:03}.npy"), format!("meta-{shard:03}.jsonl"));
        let mut out = BufWriter::new(File::create(part(&images))?);
        npy_header(&mut out, "|u1", &[total, plan.height, plan.width, 3])?;
        let mut lines = BufWriter::new(File::create(part(&meta))?);
        let mut offset = 0;
        for mut sheet in sheets {
            for picture in &sheet.pictures {
                out.write_all(&picture.rgb)?;
            }
            shift_rows(&mut sheet.meta, offset);
            offset += sheet.pictures.len();
            writeln!(lines, "{}", sheet.meta)?;
        }
        for (writer, name) in [(out, &images), (lines, &meta)] {
            writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(part(name), folder.join(name))?;
        }
        tell(first + count);
    }
    Ok(())
}

/// One sample for the language model: a caption, a wish, and lines that carry it out. Renders ids only, no colours.
pub fn language_sample(seed: u64) -> Value {
    let scene = Scene::new(seed);
    let draw = Draw::new(seed).child("language");
    let inventory = Inventory::new(&scene, &Renderer::new(&scene, &scene.camera, 96, 96).truth(&scene.look));
    let caption = captions::caption(&scene, &inventory, draw.index("caption", 6));
    // an unknown wish gets honest general suggestions
    const UNKNOWN: [&str; 8] = [
        "make it look like the planet mars",
        "put a dragon in it",
        "add my uncle",
        "make it taste better",
        "make it sound like jazz",
        "turn it into a spaceship",
        "do something with robots",
        "make it like a chess game",
    ];
    if draw.chance("unknown", 0.1) {
        let general = [Edit::Grade(Grade::Warmer), Edit::Grade(Grade::Contrast), Edit::State(State::ClearSky)];
        let allowed: Vec<Edit> = general.into_iter().filter(|edit| inventory.allows(*edit)).collect();
        let lines: Vec<String> = allowed
            .iter()
            .map(|edit| draw.child(&edit.name()).pick("line", &plain_clauses(*edit, false)).clone())
            .collect();
        return json!({"caption": caption, "wish": draw.pick("unknown.text", &UNKNOWN), "k": lines.len(), "lines": lines});
    }
    let wish = draw.pick("wish", WISHES);
    let clauses: Vec<String> = wish.texts.iter().map(|text| (*text).to_owned()).collect();
    let asked = say(&clauses, draw.child("asked"), 1, false).pop().unwrap_or_else(|| clauses[0].clone());
    let wanted = [3, 3, 3, 3, 1, 2, 4, 5, 6][draw.index("k", 9)];
    let lines: Vec<String> = wish
        .proposal(&inventory, draw, wanted)
        .into_iter()
        .enumerate()
        .map(|(place, edit)| draw.at(place).pick("line", &plain_clauses(edit, false)).clone())
        .collect();
    json!({"caption": caption, "wish": asked, "k": lines.len(), "lines": lines})
}
