//! Training data for features: pictures with what stands at every pixel, several views and looks a scene.
//!
//! A scene gives [`VIEWS`] cameras under [`LOOKS`] looks each, so that the same object is seen from other sides, in other
//! seasons, hours, weathers and paints. Object numbers agree within a scene. Kept as shards of NPY files, one array a
//! quantity: `images` u8 `[n, p, p, 3]`, `class` u8 `[n, p, p]`, `depth` f16 `[n, p, p]` in metres along the viewing axis
//! (0 for the sky), `normals` i8 `[n, p, p, 3]` times 127 along the camera's axes right, up and backwards (0 for the sky),
//! `object` u16 `[n, p, p]` (65535 for the sky), and `meta`, one JSON line a scene.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use half::f16;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::dataset::npy_header;
use super::edits::{Edit, PAINTABLE};
use super::look::{Hour, Look, Part, Season, Weather};
use super::palette::PAINTS;
use super::render::{Picture, Renderer, Truth};
use super::rng::Draw;
use super::scene::{Camera, Scene};
use super::views;

/// Cameras a scene.
pub const VIEWS: usize = 2;
/// Looks a camera.
pub const LOOKS: usize = 2;
/// Scenes kept together in one set of files.
const SHARD: usize = 32;
/// Nearer than this, in metres, a surface hides the scene instead of being part of it.
const NEAR: f32 = 3.0;
/// The share of a picture that may be that near.
const MOST_NEAR: f32 = 0.3;

/// What to write.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// seed of the first scene; the others follow
    pub seed: u64,
    pub scenes: usize,
    /// side of the square pictures, pixels
    pub size: usize,
}

/// One picture with its truth, in the form it is stored in.
#[derive(Clone, Debug)]
pub struct Row {
    pub picture: Picture,
    /// `[p, p]`, `Part` numbers
    pub class: Vec<u8>,
    /// `[p, p]`, metres; 0 for the sky
    pub depth: Vec<f16>,
    /// `[p, p, 3]`, times 127; 0 for the sky
    pub normals: Vec<i8>,
    /// `[p, p]`; 65535 for the sky
    pub object: Vec<u16>,
}

impl Row {
    fn new(picture: Picture, truth: Truth, camera: &Camera) -> Self {
        let (right, up, forward) = camera.axes();
        let axes = [right, up, -forward];
        let normals = truth.normal.chunks_exact(3).flat_map(|n| {
            let n = glam::Vec3::new(n[0], n[1], n[2]);
            axes.map(|axis| (127.0 * axis.dot(n)).round() as i8)
        });
        Self {
            picture,
            normals: normals.collect(),
            class: truth.class,
            depth: truth.depth.iter().map(|depth| f16::from_f32(*depth)).collect(),
            object: truth.object,
        }
    }
}

/// The pictures of one scene with what they show.
pub struct Sheet {
    pub rows: Vec<Row>,
    pub meta: Value,
}

/// A look of its own for a scene, and the names of the edits that led to it.
fn other_look(scene: &Scene, d: Draw) -> (Look, Vec<String>) {
    let mut look = scene.look.clone();
    look.clouds = d.range("clouds", 0.1, 0.8);
    let season = *d.pick("season", &[Season::Spring, Season::Summer, Season::Autumn, Season::Winter]);
    let hours = [Hour::Noon, Hour::Dawn, Hour::Sunset, Hour::Night];
    let hour = hours[d.weighted("hour", &[5.0, 2.0, 2.0, 1.0])];
    let weathers = [Weather::Clear, Weather::Overcast, Weather::Fog, Weather::Rain, Weather::Snowfall, Weather::Storm];
    let weather = weathers[d.weighted("weather", &[5.0, 2.5, 1.0, 1.0, 0.8, 0.7])];
    let mut edits = vec![Edit::Season(season), Edit::Weather(weather), Edit::Hour(hour)];
    for (index, part) in PAINTABLE.into_iter().filter(|part| *part != Part::Sky).enumerate() {
        let d = d.child("paint").at(index);
        // Ground and water keep their colours more often than things that people paint.
        let chance = if matches!(part, Part::Ground | Part::Water | Part::Leaves) { 0.06 } else { 0.3 };
        if d.chance("painted", chance) {
            edits.push(Edit::Recolour(part, d.index("paint", PAINTS.len())));
        }
    }
    edits.iter().for_each(|edit| edit.apply(&mut look));
    (look, edits.into_iter().map(Edit::name).collect())
}

/// Whether something stands right before the camera.
fn is_blocked(truth: &Truth) -> bool {
    let near = truth.depth.iter().filter(|depth| **depth > 0.0 && **depth < NEAR).count();
    near as f32 > MOST_NEAR * truth.depth.len() as f32
}

/// A camera to one side of the scene, of another focal length, that sees it; the scene's own if there is none.
fn other_camera(scene: &Scene, d: Draw) -> Camera {
    for attempt in 0..6 {
        let d = d.at(attempt);
        let angle = d.range("angle", 0.12, 0.75) * if d.chance("left", 0.5) { -1.0 } else { 1.0 };
        let mut camera = views::around(scene, angle);
        camera.half_tan *= d.range("zoom", 0.65, 1.1);
        camera.pitch += d.range("pitch", -0.06, 0.04);
        if !is_blocked(&Renderer::new(scene, &camera, 48, 48).truth(&scene.look)) {
            return camera;
        }
    }
    scene.camera
}

/// Renders one scene from all its cameras under all their looks.
#[must_use]
pub fn sheet(seed: u64, size: usize) -> Sheet {
    let scene = Scene::new(seed);
    let draw = Draw::new(seed).child("dense");
    let mut rows = Vec::with_capacity(VIEWS * LOOKS);
    let mut facts = Vec::with_capacity(VIEWS * LOOKS);
    for view in 0..VIEWS {
        let d = draw.child("view").at(view);
        let camera = if view == 0 { scene.camera } else { other_camera(&scene, d) };
        let mut renderer = Renderer::new(&scene, &camera, size, size);
        for index in 0..LOOKS {
            let own = view == 0 && index == 0;
            let (look, edits) =
                if own { (scene.look.clone(), Vec::new()) } else { other_look(&scene, d.child("look").at(index)) };
            let picture = renderer.render(&look);
            rows.push(Row::new(picture, renderer.truth(&look), &camera));
            facts.push(json!({"view": view, "edits": edits, "eye": camera.eye.to_array(), "yaw": camera.yaw,
                "pitch": camera.pitch, "half_tan": camera.half_tan}));
        }
    }
    Sheet { rows, meta: json!({"seed": seed, "rows": facts}) }
}

/// Files of a shard that get their names together when all are whole.
struct Shard<'a> {
    folder: &'a Path,
    number: usize,
    done: Vec<(PathBuf, PathBuf)>,
}

impl Shard<'_> {
    fn put(&mut self, name: &str, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
        let (stem, ending) = name.split_once('.').unwrap_or((name, "npy"));
        let path = self.folder.join(format!("{stem}-{:03}.{ending}", self.number));
        let part = path.with_extension("part");
        let mut out = BufWriter::new(File::create(&part)?);
        fill(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        self.done.push((part, path));
        Ok(())
    }

    /// One array over all rows.
    fn array<const N: usize>(
        &mut self,
        name: &str,
        descr: &str,
        shape: &[usize],
        rows: &[&Row],
        bytes: impl Fn(&Row) -> Vec<[u8; N]>,
    ) -> io::Result<()> {
        self.put(name, |out| {
            npy_header(out, descr, shape)?;
            rows.iter().try_for_each(|row| out.write_all(bytes(row).as_flattened()))
        })
    }
}

/// Writes the data set into a folder; `tell` hears how many scenes are done. A shard appears whole or not at all: the
/// pictures get their name last.
///
/// # Errors
/// What the file system reports.
pub fn write(folder: &Path, plan: &Plan, tell: &dyn Fn(usize)) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, first) in (0..plan.scenes).step_by(SHARD).enumerate() {
        let count = SHARD.min(plan.scenes - first);
        let sheets: Vec<Sheet> =
            (first..first + count).into_par_iter().map(|i| sheet(plan.seed + i as u64, plan.size)).collect();
        let rows: Vec<&Row> = sheets.iter().flat_map(|sheet| &sheet.rows).collect();
        let flat = [rows.len(), plan.size, plan.size];
        let three = [rows.len(), plan.size, plan.size, 3];
        let mut shard = Shard { folder, number, done: Vec::new() };
        shard.put("meta.jsonl", |out| sheets.iter().try_for_each(|sheet| writeln!(out, "{}", sheet.meta)))?;
        shard.array("class", "|u1", &flat, &rows, |row| row.class.iter().map(|v| [*v]).collect())?;
        shard.array("depth", "<f2", &flat, &rows, |row| row.depth.iter().map(|v| v.to_le_bytes()).collect())?;
        shard.array("normals", "|i1", &three, &rows, |row| row.normals.iter().map(|v| v.to_le_bytes()).collect())?;
        shard.array("object", "<u2", &flat, &rows, |row| row.object.iter().map(|v| v.to_le_bytes()).collect())?;
        shard.array("images", "|u1", &three, &rows, |row| row.picture.rgb.iter().map(|v| [*v]).collect())?;
        for (part, path) in shard.done {
            std::fs::rename(part, path)?;
        }
        tell(first + count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_looks_of_a_scene_differ_and_their_truth_fits() {
        let sheet = sheet(21, 40);
        assert_eq!((sheet.rows.len(), sheet.meta["seed"].as_u64()), (VIEWS * LOOKS, Some(21)));
        for (at, row) in sheet.rows.iter().enumerate() {
            assert!(sheet.rows[..at].iter().all(|other| other.picture != row.picture));
            let mut seen = 0;
            for pixel in 0..40 * 40 {
                let sky = row.class[pixel] == Part::Sky as u8;
                assert_eq!(sky, row.object[pixel] == u16::MAX);
                assert_eq!(sky, row.depth[pixel] == f16::ZERO);
                let n: i32 = row.normals[3 * pixel..3 * pixel + 3].iter().map(|v| i32::from(*v).pow(2)).sum();
                assert!(if sky { n == 0 } else { (123..=131).contains(&n.isqrt()) }, "{n}");
                seen += usize::from(!sky);
            }
            assert!(seen > 200, "picture {at} shows {seen} pixels of the scene");
        }
        // The second look of a camera moves nothing but leaves.
        let (a, b) = (&sheet.rows[0], &sheet.rows[1]);
        let same = a.object.iter().zip(&b.object).filter(|(a, b)| a == b).count();
        assert!(same > 1200, "{same} of 1600");
    }

    #[test]
    fn ground_looks_upwards_from_every_camera() {
        let sheet = sheet(3, 48);
        for row in &sheet.rows {
            let ups: Vec<i32> = (0..48 * 48)
                .filter(|pixel| row.class[*pixel] == Part::Water as u8 || row.class[*pixel] == Part::Road as u8)
                .map(|pixel| i32::from(row.normals[3 * pixel + 1]))
                .collect();
            assert!(ups.iter().all(|up| *up > 90), "{ups:?}");
        }
    }

    #[test]
    fn shards_are_whole_and_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan { seed: 7, scenes: 2, size: 32 };
        let read = |name: &str| {
            write(&folder.path().join(name), &plan, &|_| {}).unwrap();
            let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder.path().join(name))
                .unwrap()
                .map(|item| item.unwrap().path())
                .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
                .collect();
            files.sort();
            files
        };
        let files = read("a");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let wanted =
            ["class-000.npy", "depth-000.npy", "images-000.npy", "meta-000.jsonl", "normals-000.npy", "object-000.npy"];
        assert_eq!(names, wanted);
        let pixels = 2 * VIEWS * LOOKS * 32 * 32;
        for (name, bytes) in &files {
            let each = match name.split_once('-').unwrap().0 {
                "class" => 1,
                "depth" | "object" => 2,
                "images" | "normals" => 3,
                _ => continue,
            };
            assert_eq!(bytes.len() % 64, (pixels * each) % 64, "{name}");
            assert!(bytes.starts_with(b"\x93NUMPY") && bytes.len() > pixels * each, "{name}");
        }
        assert_eq!(files, read("b"));
    }
}
