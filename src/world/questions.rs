//! Training data for visual questions: pictures with questions, their answers, and the places that decide them.
//!
//! Each scene has signs that can be read and is rendered under [`LOOKS`] looks, one before and one after some edits.
//! Kept as shards: `images` u8 `[n, p, p, 3]`, `class` u8 `[n, p, p]` (`Part` numbers), and `meta`, one JSON line a
//! picture with its readable signs and its questions. Boxes are `[left, top, right, bottom]` in pixels, ends excluded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::build::{Texture, Triangle};
use super::dataset::npy_header;
use super::edits::{Edit, Inventory, State};
use super::evaluation::FIRST_SEED;
use super::language::questions::{Kind, ask, wordings};
use super::look::{Foliage, Hour, Look, Part};
use super::palette::PAINTS;
use super::render::raster::View;
use super::render::shade::is_lit;
use super::render::{Picture, Renderer, Truth};
use super::rng::Draw;
use super::scene::Scene;

/// Pictures a scene.
pub const LOOKS: usize = 2;
/// Scenes kept together in one set of files.
const SHARD: usize = 64;
/// The lowest board whose letters can be told apart, as a share of the picture's height.
const READABLE_BOARD: f32 = 8.5 / 320.0;
/// Colours that are easy to tell apart, of [`PAINTS`].
const COLOURS: [&str; 8] = ["red", "orange", "yellow", "green", "blue", "purple", "white", "black"];

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// seed of the first scene; the others follow
    pub seed: u64,
    pub scenes: usize,
    /// side of the square pictures, pixels
    pub size: usize,
}

type Box4 = [usize; 4];

/// A question with its answer and what decides it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub kind: Kind,
    /// wordings, all of training or all kept for evaluation
    pub texts: Vec<String>,
    /// one word
    pub answer: String,
    /// where one must look; empty when nothing decides it but the whole picture
    pub boxes: Vec<Box4>,
    /// the height or width, whichever is smaller, of the deciding detail (of a sign: its letters), pixels
    pub detail: f32,
}

/// A sign whose text can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Sign {
    pub text: &'static str,
    /// corners of the board in pixels: bottom left, bottom right, top right, top left, as one reads it
    pub corners: [[f32; 2]; 4],
}

impl Sign {
    fn bounds(&self, size: usize) -> Box4 {
        let low = |axis: usize| self.corners.iter().map(|c| c[axis]).fold(f32::MAX, f32::min).max(0.0) as usize;
        let high = |axis: usize| {
            let end = self.corners.iter().map(|c| c[axis]).fold(0.0, f32::max).ceil();
            (end as usize).min(size)
        };
        [low(0), low(1), high(0), high(1)]
    }

    /// Height of its letters in pixels.
    fn letters(&self) -> f32 {
        let [a, _, _, d] = self.corners;
        (a[1] - d[1]).abs() * 7.0 / 11.0
    }
}

/// One picture with everything that was asked about it.
pub struct Sheet {
    pub picture: Picture,
    pub class: Vec<u8>,
    pub signs: Vec<Sign>,
    pub questions: Vec<Question>,
}

/// What one can see of one part of one object.
#[derive(Clone, Copy, Debug)]
struct Seen {
    part: Part,
    bounds: Box4,
    pixels: usize,
    /// metres to its nearest point
    depth: f32,
}

impl Seen {
    fn detail(&self) -> f32 {
        let [x0, y0, x1, y1] = self.bounds;
        (x1 - x0).min(y1 - y0) as f32
    }
}

/// Every visible part of every object.
fn survey(truth: &Truth) -> BTreeMap<(u16, u8), Seen> {
    let mut all: BTreeMap<(u16, u8), Seen> = BTreeMap::new();
    for (k, (class, object)) in truth.class.iter().zip(&truth.object).enumerate() {
        let Some(part) = Part::ALL.get(usize::from(*class)).copied().filter(|part| *part != Part::Sky) else {
            continue;
        };
        let (x, y) = (k % truth.width, k / truth.width);
        let new = Seen { part, bounds: [x, y, x + 1, y + 1], pixels: 0, depth: f32::MAX };
        let seen = all.entry((*object, *class)).or_insert(new);
        let [x0, y0, x1, y1] = seen.bounds;
        seen.bounds = [x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)];
        seen.pixels += 1;
        seen.depth = seen.depth.min(truth.depth[k]);
    }
    all
}

/// The pairs of triangles that make the quadrilaterals of a texture: corners in the order of `Mesh::quad`.
fn quads(scene: &Scene, wanted: impl Fn(Texture) -> bool) -> Vec<(&Triangle, [glam::Vec3; 4])> {
    let pairs =
        scene.mesh.triangles.windows(2).filter(|pair| {
            wanted(pair[0].texture) && pair[0].texture == pair[1].texture && pair[0].p[0] == pair[1].p[0]
        });
    pairs.map(|pair| (&pair[0], [pair[0].p[0], pair[0].p[1], pair[0].p[2], pair[1].p[2]])).collect()
}

/// The signs whose letters are large enough and not hidden.
fn readable_signs(scene: &Scene, view: &View, truth: &Truth) -> Vec<Sign> {
    let mut signs = Vec::new();
    for (triangle, corners) in quads(scene, |texture| matches!(texture, Texture::Board(_))) {
        let Texture::Board(word) = triangle.texture else { continue };
        let points: Vec<[f32; 2]> = corners.iter().filter_map(|p| view.project(*p)).map(|(x, y, _)| [x, y]).collect();
        let (Some(text), [a, b, c, d]) = (scene.words.get(usize::from(word)), points.as_slice()) else { continue };
        let sign = Sign { text, corners: [*a, *b, *c, *d] };
        let inside = points.iter().flatten().all(|v| (1.0..truth.width as f32 - 1.0).contains(v));
        if !inside || sign.letters() * 11.0 / 7.0 < READABLE_BOARD * truth.height as f32 || b[0] <= a[0] {
            continue;
        }
        // a grid of points on the board must all but belong to it
        let hits = (0..60).filter(|i| {
            let (u, v) = ((f32::from((i % 12) as u8) + 0.5) / 12.0, (f32::from((i / 12) as u8) + 0.5) / 5.0);
            let at =
                |axis: usize| (a[axis] * (1.0 - u) + b[axis] * u) * (1.0 - v) + (d[axis] * (1.0 - u) + c[axis] * u) * v;
            let k = at(1) as usize * truth.width + at(0) as usize;
            truth.object.get(k) == Some(&triangle.object) && truth.class.get(k) == Some(&(Part::Sign as u8))
        });
        if hits.count() >= 56 {
            signs.push(sign);
        }
    }
    signs.sort_by(|a, b| a.corners[0][0].total_cmp(&b.corners[0][0]));
    signs
}

/// The windows that can be seen, and whether they are lit.
fn windows(scene: &Scene, look: &Look, view: &View, truth: &Truth) -> Vec<(Box4, bool)> {
    let mut out = Vec::new();
    let least = 3.0 / 320.0 * truth.width as f32;
    for (triangle, corners) in quads(scene, |texture| texture == Texture::Glass) {
        let points: Vec<(f32, f32, f32)> = corners.iter().filter_map(|p| view.project(*p)).collect();
        let Some((x, y, z)) = view.project((corners[0] + corners[2]) * 0.5) else { continue };
        let inside = points.len() == 4
            && points
                .iter()
                .all(|p| (0.0..truth.width as f32).contains(&p.0) && (0.0..truth.height as f32).contains(&p.1));
        if !inside {
            continue;
        }
        let k = y as usize * truth.width + x as usize;
        let here = truth.object[k] == triangle.object
            && truth.class[k] == Part::Window as u8
            && (truth.depth[k] - z).abs() < 0.4;
        let ends = |f: fn(&(f32, f32, f32)) -> f32| {
            let low = points.iter().map(f).fold(f32::MAX, f32::min);
            (low, points.iter().map(f).fold(0.0, f32::max))
        };
        let ((x0, x1), (y0, y1)) = (ends(|p| p.0), ends(|p| p.1));
        if here && x1 - x0 >= least && y1 - y0 >= least {
            out.push(([x0 as usize, y0 as usize, x1.ceil() as usize, y1.ceil() as usize], is_lit(triangle, look)));
        }
    }
    out
}

/// The smallest box around all of them.
fn around(boxes: &[Box4]) -> Option<Box4> {
    boxes.iter().copied().reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
}

/// What can be pointed at, with the word for it.
const THINGS: [(Part, &str); 6] = [
    (Part::Car, "car"),
    (Part::Boat, "boat"),
    (Part::Sign, "sign"),
    (Part::Lamp, "lamp"),
    (Part::Door, "door"),
    (Part::Chimney, "chimney"),
];

/// The looks of a scene: its own with fresh paint, and that after some edits.
fn looks(scene: &Scene, inventory: &Inventory) -> Vec<Look> {
    let draw = Draw::new(scene.seed).child("questions").child("look");
    let mut before = scene.look.clone();
    let mut looks = Vec::with_capacity(LOOKS);
    for index in 0..LOOKS {
        let d = draw.at(index);
        for (place, part) in [Part::Door, Part::Car, Part::Boat, Part::Sign, Part::Roof].into_iter().enumerate() {
            let name = d.at(place).pick("paint", &COLOURS);
            if let Some(paint) = PAINTS.iter().position(|(known, _)| known == name) {
                Edit::Recolour(part, paint).apply(&mut before);
            }
        }
        let allowed: Vec<State> = State::ALL
            .into_iter()
            .filter(|state| inventory.allows(Edit::State(*state)) && *state != State::StormSky)
            .collect();
        for n in 0..d.index("edits", 2) + 2 * index {
            if !allowed.is_empty() {
                Edit::State(*d.child("edit").at(n).pick("state", &allowed)).apply(&mut before);
            }
        }
        looks.push(before.clone());
    }
    looks
}

/// The colour a part was painted in.
fn paint_name(look: &Look, part: Part) -> Option<&'static str> {
    let colour = look.paint[part as usize]?;
    COLOURS.into_iter().find(|name| super::palette::paint(name) == Some(colour))
}

/// Yes-or-no questions about edits: their wordings, the part that shows it, the truth.
fn edit_questions(look: &Look) -> Vec<(&'static [&'static str], Part, bool)> {
    vec![
        (
            &[
                "is there snow on the roof",
                "is the roof covered in snow",
                "does snow lie on the roof",
                "is the roof snowy",
            ],
            Part::Roof,
            look.snow_roof > 0.5,
        ),
        (
            &["is there snow on the ground", "is the ground covered in snow", "does snow lie on the ground"],
            Part::Ground,
            look.snow_ground > 0.5,
        ),
        (
            &["are the windows lit", "is there light in the windows", "do the windows glow"],
            Part::Window,
            look.windows_lit > 0.0,
        ),
        (
            &["are the lamps lit", "is the lamp on", "are the lamps on", "does the lamp glow"],
            Part::Lamp,
            look.lamps_lit > 0.0,
        ),
        (
            &["is the water frozen", "is there ice on the water", "has the water turned to ice"],
            Part::Water,
            look.ice > 0.5,
        ),
        (
            &["are the trees bare", "have the trees lost their leaves", "are the trees without leaves"],
            Part::Leaves,
            look.foliage == Foliage::Bare,
        ),
        (
            &["are the leaves orange", "are the trees in autumn colours", "do the trees have orange leaves"],
            Part::Leaves,
            look.foliage == Foliage::Orange,
        ),
        (
            &["is it night", "is it dark outside", "is the sky dark", "are there stars in the sky"],
            Part::Sky,
            look.sky.hour == Hour::Night,
        ),
        (
            &["are there flowers on the ground", "do flowers grow", "are there flowers"],
            Part::Ground,
            look.flowers > 0.3,
        ),
        (
            &["is there fog on the ground", "is there mist over the ground", "is it misty"],
            Part::Ground,
            look.ground_fog > 0.5,
        ),
        (&["is the road wet", "is there water on the road", "does the road shine"], Part::Road, look.wet_road > 0.5),
    ]
}

/// Everything that is asked about one picture.
fn questions(
    scene: &Scene,
    look: &Look,
    view: &View,
    truth: &Truth,
    signs: &[Sign],
    draw: Draw,
    held_out: bool,
) -> Vec<Question> {
    let size = truth.width;
    let seen = survey(truth);
    let scale = (size as f32 / 320.0).powi(2);
    let clear = |seen: &Seen| seen.pixels as f32 >= 14.0 * scale;
    let mut out: Vec<Question> = Vec::new();
    let mut put = |kind: Kind, x: &str, y: &str, answer: &str, boxes: Vec<Box4>, detail: f32| {
        let d = draw.child(kind.name()).at(out.len());
        let texts = ask(kind, x, y, d, if held_out { 1 } else { 3 }, held_out);
        out.push(Question { kind, texts, answer: answer.to_owned(), boxes, detail });
    };
    // what signs say; asked only where every sign in sight can be read, so that "the sign" is clear
    let boards = seen.values().filter(|s| s.part == Part::Sign && clear(s)).count();
    for (index, sign) in signs.iter().enumerate().filter(|_| boards == signs.len()) {
        let name = match (signs.len(), index) {
            (1, _) => "the sign",
            (2, 0) => "the left sign",
            (2, 1) => "the right sign",
            _ => continue,
        };
        let kind = if sign.text.starts_with(|c: char| c.is_ascii_digit()) { Kind::Number } else { Kind::Word };
        put(kind, name, "", sign.text, vec![sign.bounds(size)], sign.letters());
    }
    // lit windows
    let panes = windows(scene, look, view, truth);
    let lit: Vec<Box4> = panes.iter().filter(|pane| pane.1).map(|pane| pane.0).collect();
    let narrow = |boxes: &[Box4]| boxes.iter().map(|b| (b[2] - b[0]).min(b[3] - b[1])).min().unwrap_or(0) as f32;
    if !panes.is_empty() && lit.len() <= 6 && (!lit.is_empty() || draw.chance("dark", 0.2)) {
        let all: Vec<Box4> = panes.iter().map(|pane| pane.0).collect();
        let boxes = if lit.is_empty() { all } else { lit.clone() };
        let count = if lit.is_empty() { "none".to_owned() } else { lit.len().to_string() };
        let detail = narrow(&boxes);
        put(Kind::Windows, "", "", &count, boxes, detail);
    }
    // colours of painted things, where the light shows them
    let is_day = look.light.hour == Hour::Noon || look.light.hour == Hour::Dawn;
    for (part, word) in [
        (Part::Sign, "the sign"),
        (Part::Door, "the door"),
        (Part::Car, "the car"),
        (Part::Boat, "the boat"),
        (Part::Roof, "the roof"),
    ] {
        let found: Vec<&Seen> = seen.values().filter(|s| s.part == part && clear(s)).collect();
        let Some(name) = paint_name(look, part) else { continue };
        let chance = if matches!(part, Part::Sign | Part::Door) { 0.9 } else { 0.4 };
        if found.is_empty()
            || !is_day
            || (part == Part::Roof && look.snow_roof > 0.2)
            || !draw.child(word).chance("colour", chance)
        {
            continue;
        }
        let boxes: Vec<Box4> = found.iter().map(|s| s.bounds).collect();
        let detail = found.iter().map(|s| s.detail()).fold(0.0, f32::max);
        put(Kind::Colour, word, "", name, boxes, detail);
    }
    // things that stand alone in the picture
    let single: Vec<(&str, Seen)> = THINGS
        .iter()
        .filter_map(|(part, word)| {
            let mut found = seen.values().filter(|s| s.part == *part && clear(s));
            let one = found.next()?;
            found.next().is_none().then_some((*word, *one))
        })
        .collect();
    for (index, (word, one)) in single.iter().enumerate() {
        let d = draw.child("place").at(index);
        let middle = (one.bounds[0] + one.bounds[2]) as f32 / (2.0 * size as f32);
        let answer = match middle {
            m if m < 0.36 => "left",
            m if m > 0.64 => "right",
            m if (0.44..0.56).contains(&m) => "middle",
            _ => continue,
        };
        if d.chance("ask", 0.4) {
            put(Kind::Place, &format!("the {word}"), "", answer, vec![one.bounds], one.detail());
        }
    }
    if single.len() > 1 {
        let order = draw.shuffled("nearer", single.len());
        let ((first, a), (second, b)) = (single[order[0]], single[order[1]]);
        if (a.depth / b.depth).ln().abs() > 0.2 {
            let answer = if a.depth < b.depth { first } else { second };
            let (x, y) = (format!("the {first}"), format!("the {second}"));
            put(Kind::Nearer, &x, &y, answer, vec![a.bounds, b.bounds], a.detail().min(b.detail()));
        }
    }
    // is there …
    let parts = [
        (Part::Car, "a car"),
        (Part::Boat, "a boat"),
        (Part::Lamp, "a lamp"),
        (Part::Fence, "a fence"),
        (Part::Water, "water"),
        (Part::Road, "a road"),
        (Part::Chimney, "a chimney"),
    ];
    for index in draw.shuffled("presence", parts.len()).into_iter().take(2) {
        let (part, word) = parts[index];
        let found: Vec<&Seen> = seen.values().filter(|s| s.part == part).collect();
        if found.is_empty() {
            put(Kind::Presence, word, "", "no", Vec::new(), size as f32);
        } else if let Some(largest) = found.iter().filter(|s| clear(s)).max_by_key(|s| s.pixels) {
            put(Kind::Presence, word, "", "yes", vec![largest.bounds], largest.detail());
        }
    }
    // edits: as many that hold as do not, where there are any
    let about: Vec<_> = edit_questions(look)
        .into_iter()
        .filter(|(_, part, _)| {
            let pixels = if *part == Part::Sky {
                truth.class.iter().filter(|c| **c == 0).count()
            } else {
                seen.values().filter(|s| s.part == *part).map(|s| s.pixels).sum()
            };
            pixels as f32 >= 40.0 * scale
        })
        .collect();
    for wanted in [true, false] {
        let matching: Vec<_> = about.iter().filter(|(_, _, holds)| *holds == wanted).collect();
        if matching.is_empty() {
            continue;
        }
        let d = draw.child(if wanted { "true" } else { "false" });
        let (clauses, part, holds) = d.pick("edit", &matching);
        let clauses: Vec<String> = clauses.iter().map(|clause| format!("{clause}?")).collect();
        let texts = wordings(&clauses, d, if held_out { 1 } else { 3 }, held_out);
        let boxes: Vec<Box4> = seen.values().filter(|s| s.part == *part && clear(s)).map(|s| s.bounds).collect();
        let detail = match part {
            Part::Window => narrow(&boxes).min(narrow(&panes.iter().map(|pane| pane.0).collect::<Vec<_>>())),
            _ => around(&boxes).map_or(size as f32, |b| (b[2] - b[0]).min(b[3] - b[1]) as f32),
        };
        let answer = if *holds { "yes" } else { "no" };
        // things that fill the picture decide it everywhere
        let wide = matches!(part, Part::Sky | Part::Ground | Part::Leaves | Part::Water);
        out.push(Question {
            kind: Kind::Edit,
            texts,
            answer: answer.to_owned(),
            boxes: if wide { Vec::new() } else { boxes },
            detail,
        });
    }
    out
}

/// Renders one scene under its looks and asks about each.
#[must_use]
pub fn sheets(seed: u64, size: usize) -> Vec<Sheet> {
    let scene = Scene::signposted(seed);
    let mut renderer = Renderer::new(&scene, &scene.camera, size, size);
    let inventory = Inventory::new(&scene, &renderer.truth(&scene.look));
    let looks = looks(&scene, &inventory);
    looks
        .iter()
        .enumerate()
        .map(|(index, look)| {
            let picture = renderer.render(look);
            let truth = renderer.truth(look);
            let view = *renderer.view();
            let signs = readable_signs(&scene, &view, &truth);
            let draw = Draw::new(seed).child("questions").at(index);
            let questions = questions(&scene, look, &view, &truth, &signs, draw, seed >= FIRST_SEED);
            Sheet { picture, class: truth.class, signs, questions }
        })
        .collect()
}

fn meta(seed: u64, row: usize, sheet: &Sheet) -> Value {
    let signs: Vec<Value> = sheet.signs.iter().map(|s| json!({"text": s.text, "corners": s.corners})).collect();
    let questions: Vec<Value> = sheet
        .questions
        .iter()
        .map(|q| {
            json!({"kind": q.kind.name(), "texts": q.texts, "answer": q.answer, "boxes": q.boxes, "detail": q.detail})
        })
        .collect();
    json!({"seed": seed, "row": row, "signs": signs, "questions": questions})
}

/// Writes the data set into a folder; `tell` hears how many scenes are done. Files appear under their names when whole,
/// the pictures last.
///
/// # Errors
/// What the file system reports.
pub fn write(folder: &Path, plan: &Plan, tell: &dyn Fn(usize)) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (shard, first) in (0..plan.scenes).step_by(SHARD).enumerate() {
        let count = SHARD.min(plan.scenes - first);
        let rows: Vec<(u64, Sheet)> = (first..first + count)
            .into_par_iter()
            .flat_map_iter(|i| {
                let seed = plan.seed + i as u64;
                sheets(seed, plan.size).into_iter().map(move |sheet| (seed, sheet))
            })
            .collect();
        let file = |name: &str, fill: &dyn Fn(&mut BufWriter<File>) -> io::Result<()>| {
            let path = folder.join(name);
            let part = folder.join(format!("{name}.part"));
            let mut out = BufWriter::new(File::create(&part)?);
            fill(&mut out)?;
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(part, path)
        };
        file(&format!("meta-{shard:03}.jsonl"), &|out| {
            rows.iter().enumerate().try_for_each(|(row, (seed, sheet))| writeln!(out, "{}", meta(*seed, row, sheet)))
        })?;
        file(&format!("class-{shard:03}.npy"), &|out| {
            npy_header(out, "|u1", &[rows.len(), plan.size, plan.size])?;
            rows.iter().try_for_each(|(_, sheet)| out.write_all(&sheet.class))
        })?;
        file(&format!("images-{shard:03}.npy"), &|out| {
            npy_header(out, "|u1", &[rows.len(), plan.size, plan.size, 3])?;
            rows.iter().try_for_each(|(_, sheet)| out.write_all(&sheet.picture.rgb))
        })?;
        tell(first + count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::scene::{READABLE, WORDS};
    use super::*;

    #[test]
    fn every_question_has_words_an_answer_and_boxes_inside_the_picture() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..8 {
            for sheet in sheets(seed, 160) {
                for q in &sheet.questions {
                    kinds.insert(q.kind);
                    assert!(!q.texts.is_empty() && q.texts.iter().all(|text| !text.contains('{')), "{q:?}");
                    assert!(!q.answer.is_empty() && !q.answer.contains(' '), "{q:?}");
                    for [x0, y0, x1, y1] in &q.boxes {
                        assert!(x0 < x1 && y0 < y1 && *x1 <= 160 && *y1 <= 160, "{q:?}");
                    }
                }
            }
        }
        assert!(kinds.len() >= 6, "{kinds:?}");
    }

    #[test]
    fn a_readable_sign_is_where_the_picture_has_a_board() {
        assert!(READABLE.iter().all(|word| WORDS.contains(word)));
        let mut found = 0;
        for seed in 0..10 {
            for sheet in sheets(seed, 160) {
                for sign in &sheet.signs {
                    found += 1;
                    let [x0, y0, x1, y1] = sign.bounds(160);
                    let k = (y0 + y1) / 2 * 160 + (x0 + x1) / 2;
                    assert_eq!(sheet.class[k], Part::Sign as u8);
                    assert!(READABLE.contains(&sign.text));
                }
            }
        }
        assert!(found >= 4, "{found}");
    }

    #[test]
    fn lit_windows_are_counted_where_light_burns() {
        let mut lit = 0;
        for seed in 0..6 {
            let scene = Scene::signposted(seed);
            let mut look = Look::summer_noon();
            let renderer = Renderer::new(&scene, &scene.camera, 160, 160);
            let truth = renderer.truth(&look);
            let dark = windows(&scene, &look, renderer.view(), &truth);
            look.windows_lit = 1.0;
            let bright = windows(&scene, &look, renderer.view(), &truth);
            assert!(dark.iter().all(|pane| !pane.1));
            assert_eq!(dark.len(), bright.len());
            lit += bright.iter().filter(|pane| pane.1).count();
        }
        assert!(lit > 3, "{lit}");
    }

    #[test]
    fn shards_are_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { seed: 5, scenes: 2, size: 64 };
        let read = |name: &str| {
            write(&folder.path().join(name), &plan, &|_| {}).unwrap();
            ["images-000.npy", "class-000.npy", "meta-000.jsonl"]
                .map(|file| std::fs::read(folder.path().join(name).join(file)).unwrap())
        };
        let files = read("a");
        assert!(
            files[0].len() > 2 * LOOKS * 64 * 64 * 3 && files[2].iter().filter(|b| **b == b'\n').count() == 2 * LOOKS
        );
        assert_eq!(files, read("b"));
    }
}
