//! `glassbox world`: renders synthetic scenes, their edits with ground truth, and data sets for training.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use rayon::prelude::*;

use super::world_splats;
use crate::world::dataset::{self, Mix, Plan, npy_header};
use crate::world::edits::{Edit, Inventory};
use crate::world::language::{captions, phrases};
use crate::world::render::{Picture, Renderer};
use crate::world::scene::{Scene, Theme};
use crate::world::{dense, questions, views};

/// The largest side that is rendered.
const LARGEST: usize = 4096;

/// Render synthetic scenes with ground truth.
#[derive(Debug, Args)]
pub(crate) struct WorldArgs {
    /// Which scene (for a data set: the first one).
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the pictures.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Size in pixels, WxH or one number for a square.
    #[arg(long, default_value = "1024x1024")]
    size: String,
    /// How many views around the scene.
    #[arg(long, default_value_t = 1)]
    views: usize,
    /// Also render this edit, such as `season/winter` or `recolour/roof/blue` (may be repeated).
    #[arg(long)]
    edit: Vec<String>,
    /// Also render every edit the scene allows.
    #[arg(long)]
    edits_all: bool,
    /// Print the names of all edits.
    #[arg(long)]
    list_edits: bool,
    /// Write a training data set into this folder.
    #[arg(long)]
    dataset: Option<PathBuf>,
    /// Write pictures with class, depth, normals and object of every pixel into this folder, for training features.
    #[arg(long, conflicts_with = "dataset")]
    dense: Option<PathBuf>,
    /// Write pictures with questions about them, their answers and the places that decide them into this folder.
    #[arg(long, conflicts_with_all = ["dataset", "dense"])]
    questions: Option<PathBuf>,
    /// Scenes of the data set.
    #[arg(long, default_value_t = 64)]
    scenes: usize,
    /// Edits a scene in the data set.
    #[arg(long, default_value_t = 12)]
    variants: usize,
    /// How often the data set has each kind of edit, such as `recolour=6,state=4`; kinds left out keep their share.
    #[arg(long, value_name = "KIND=SHARE,…")]
    mix: Option<Mix>,
    /// Write samples for the language model (JSON lines) to this file.
    #[arg(long)]
    texts: Option<PathBuf>,
    /// How many language samples.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// Write a splat scene with its cameras and photographs into this folder: surface samples as Gaussians.
    #[arg(long, value_name = "DIR")]
    splats: Option<PathBuf>,
    /// The most Gaussians of the splat scene.
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    gaussians: usize,
    /// Render the sample pictures into this folder.
    #[arg(long)]
    samples: Option<PathBuf>,
}

fn parse_size(text: &str) -> Result<(usize, usize)> {
    let (w, h) = text.split_once('x').unwrap_or((text, text));
    let side =
        |part: &str| part.parse::<usize>().with_context(|| format!("the size {text:?} is not of the form 1024x768"));
    let (w, h) = (side(w)?, side(h)?);
    if !(16..=LARGEST).contains(&w) || !(16..=LARGEST).contains(&h) {
        bail!("the size must lie between 16 and {LARGEST} pixels a side");
    }
    Ok((w, h))
}

/// Writes a file whole: into a temporary file beside it, then renamed.
pub(super) fn write_whole(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write in {}", folder.display()))?;
    let mut out = BufWriter::new(temporary.reopen()?);
    fill(&mut out)?;
    out.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    temporary.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

pub(super) fn save_png(path: &Path, picture: &Picture) -> Result<()> {
    let image = image::RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb.clone())
        .context("picture size")?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    let encoder = image::codecs::png::PngEncoder::new_with_quality(
        &mut bytes,
        image::codecs::png::CompressionType::Best,
        image::codecs::png::FilterType::Adaptive,
    );
    image.write_with_encoder(encoder)?;
    write_whole(path, |out| Ok(out.write_all(bytes.get_ref())?))
}

fn save_npy<T: Copy, const N: usize>(
    path: &Path,
    descr: &str,
    shape: &[usize],
    data: &[T],
    bytes: fn(T) -> [u8; N],
) -> Result<()> {
    write_whole(path, |out| {
        npy_header(out, descr, shape)?;
        for value in data {
            out.write_all(&bytes(*value))?;
        }
        Ok(())
    })
}

/// The sample pictures: name, seed, theme, edit.
const SAMPLES: [(&str, u64, Theme, &str); 8] = [
    ("lake-village", 8, Theme::LakeVillage, ""),
    ("mountain-lake", 2, Theme::MountainLake, ""),
    ("harbour", 3, Theme::Coast, ""),
    ("river-cottage", 8, Theme::River, ""),
    ("street", 7, Theme::Street, ""),
    ("country-road", 4, Theme::CountryRoad, "hour/sunset"),
    ("farm", 23, Theme::Farm, "season/autumn"),
    ("street-night", 26, Theme::Street, "hour/night"),
];

/// Runs the subcommand.
pub(crate) fn run(args: &WorldArgs) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.list_edits {
        for edit in Edit::all() {
            writeln!(out, "{}", edit.name())?;
        }
        return Ok(());
    }
    let (width, height) = parse_size(&args.size)?;
    if let Some(folder) = &args.dataset {
        let mix = args.mix.unwrap_or_default();
        let plan = Plan { seed: args.seed, scenes: args.scenes, width, height, variants: args.variants, mix };
        let tell = |done: usize| eprintln!("{done} of {} scenes", plan.scenes);
        return dataset::write(folder, &plan, &tell)
            .with_context(|| format!("cannot write the data set into {}", folder.display()));
    }
    if let Some(folder) = &args.dense {
        if width != height {
            bail!("the pictures of --dense are square; give --size one number");
        }
        let plan = dense::Plan { seed: args.seed, scenes: args.scenes, size: width };
        let tell = |done: usize| eprintln!("{done} of {} scenes", plan.scenes);
        return dense::write(folder, &plan, &tell)
            .with_context(|| format!("cannot write the data set into {}", folder.display()));
    }
    if let Some(folder) = &args.questions {
        if width != height {
            bail!("the pictures of --questions are square; give --size one number");
        }
        let plan = questions::Plan { seed: args.seed, scenes: args.scenes, size: width };
        let tell = |done: usize| eprintln!("{done} of {} scenes", plan.scenes);
        return questions::write(folder, &plan, &tell)
            .with_context(|| format!("cannot write the data set into {}", folder.display()));
    }
    if let Some(folder) = &args.splats {
        return world_splats::write(folder, args.seed, args.views, args.gaussians, (width, height));
    }
    if let Some(path) = &args.texts {
        let lines: Vec<String> = (0..args.count)
            .into_par_iter()
            .map(|i| dataset::language_sample(args.seed.wrapping_add(i as u64)).to_string())
            .collect();
        return write_whole(path, |out| {
            for line in &lines {
                writeln!(out, "{line}")?;
            }
            Ok(())
        });
    }
    if let Some(folder) = &args.samples {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        for (name, seed, theme, edit) in SAMPLES {
            let mut scene = Scene::with_theme(seed, theme);
            let clouds = scene.look.clouds;
            scene.look = crate::world::look::Look::summer_noon();
            scene.look.clouds = clouds;
            if let Some(edit) = Edit::parse(edit) {
                edit.apply(&mut scene.look);
            }
            let picture = Renderer::new(&scene, &scene.camera, width, height).render(&scene.look);
            save_png(&folder.join(format!("{name}.png")), &picture)?;
        }
        return Ok(());
    }
    let Some(folder) = &args.out else {
        bail!(
            "say where the pictures go with --out FOLDER (or use --dataset, --dense, --questions, --splats, --texts, --samples, --list-edits)"
        )
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let scene = Scene::new(args.seed);
    for file in scene_files(&scene, args, folder, width, height)? {
        writeln!(out, "{}", file.display())?;
    }
    Ok(())
}

fn scene_files(scene: &Scene, args: &WorldArgs, folder: &Path, width: usize, height: usize) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut frames = Vec::new();
    let mut colmap = String::from("# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n");
    let focal = 0.5 * height as f32 / scene.camera.half_tan;
    for index in 0..args.views.max(1) {
        let camera = views::numbered(scene, index, args.views);
        let mut renderer = Renderer::new(scene, &camera, width, height);
        let name = format!("view-{index:03}");
        let mut put = |suffix: &str| {
            let path = folder.join(format!("{name}{suffix}"));
            files.push(path.clone());
            path
        };
        save_png(&put(".png"), &renderer.render(&scene.look))?;
        let truth = renderer.truth(&scene.look);
        save_npy(&put("-depth.npy"), "<f4", &[height, width], &truth.depth, f32::to_le_bytes)?;
        save_npy(&put("-normals.npy"), "<f4", &[height, width, 3], &truth.normal, f32::to_le_bytes)?;
        save_npy(&put("-objects.npy"), "<u2", &[height, width], &truth.object, u16::to_le_bytes)?;
        save_npy(&put("-classes.npy"), "|u1", &[height, width], &truth.class, u8::to_le_bytes)?;
        // camera to world in OpenGL axes (right, up, backwards); our world is left-handed, so z is turned round
        let [right, up, forward] = renderer.view().axes;
        let flip = |v: glam::Vec3| [v.x, v.y, -v.z];
        let (r, u, b, t) = (flip(right), flip(up), flip(-forward), flip(camera.eye));
        let row = |i: usize| serde_json::json!([r[i], u[i], b[i], t[i]]);
        frames.push(
            serde_json::json!({"file_path": format!("{name}.png"), "depth_file_path": format!("{name}-depth.npy"),
            "transform_matrix": [row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]}),
        );
        // COLMAP: world to camera, right, down, forward
        let v = |a: [f32; 3]| glam::Vec3::from(a);
        let (x, y, z, eye) = (v(r), -v(u), -v(b), v(t));
        let rotation = glam::Mat3::from_cols(x, y, z).transpose();
        let q = glam::Quat::from_mat3(&rotation);
        let shift = -(rotation * eye);
        colmap.push_str(&format!(
            "{} {} {} {} {} {} {} {} 1 {name}.png\n\n",
            index + 1,
            q.w,
            q.x,
            q.y,
            q.z,
            shift.x,
            shift.y,
            shift.z
        ));
        if index == 0 {
            edits(scene, args, folder, &mut renderer, &mut files)?;
        }
    }
    let (cx, cy) = (width as f32 / 2.0, height as f32 / 2.0);
    let transforms = serde_json::json!({"camera_model": "OPENCV", "fl_x": focal, "fl_y": focal, "cx": cx, "cy": cy, "w": width, "h": height,
        "frames": frames});
    for (name, text) in [
        ("transforms.json", serde_json::to_string_pretty(&transforms)?),
        (
            "cameras.txt",
            format!(
                "# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n1 PINHOLE {width} {height} {focal} {focal} {cx} {cy}\n"
            ),
        ),
        ("images.txt", colmap),
        ("points3D.txt", String::new()),
    ] {
        let path = folder.join(name);
        write_whole(&path, |out| Ok(out.write_all(text.as_bytes())?))?;
        files.push(path);
    }
    Ok(files)
}

/// Renders the wanted edits of the first view with masks of what changed, and describes them in `edits.json`.
fn edits(
    scene: &Scene,
    args: &WorldArgs,
    folder: &Path,
    renderer: &mut Renderer,
    files: &mut Vec<PathBuf>,
) -> Result<()> {
    let inventory = Inventory::new(scene, &renderer.truth(&scene.look));
    let mut wanted = Vec::new();
    for name in &args.edit {
        wanted.push(
            Edit::parse(name).with_context(|| format!("there is no edit named {name:?}; --list-edits prints all"))?,
        );
    }
    if args.edits_all {
        wanted.extend(Edit::all().into_iter().filter(|edit| inventory.allows(*edit)));
    }
    let source = renderer.render(&scene.look);
    let mut entries = Vec::new();
    for edit in wanted {
        let mut look = scene.look.clone();
        if inventory.allows(edit) {
            edit.apply(&mut look);
        }
        let picture = renderer.render(&look);
        let stem = format!("edit-{}", edit.name().replace('/', "-"));
        let changed: Vec<u8> = source
            .rgb
            .chunks_exact(3)
            .zip(picture.rgb.chunks_exact(3))
            .flat_map(|(a, b)| [if a == b { 0_u8 } else { 255 }; 3])
            .collect();
        let mask = Picture { width: picture.width, height: picture.height, rgb: changed };
        for (suffix, image) in [(".png", &picture), ("-mask.png", &mask)] {
            let path = folder.join(format!("{stem}{suffix}"));
            save_png(&path, image)?;
            files.push(path);
        }
        entries.push(serde_json::json!({"name": edit.name(), "picture": format!("{stem}.png"), "mask": format!("{stem}-mask.png"),
            "texts": phrases::clauses(edit)}));
    }
    let path = folder.join("edits.json");
    let text = serde_json::to_string_pretty(
        &serde_json::json!({"caption": captions::caption(scene, &inventory, 0), "edits": entries}),
    )?;
    write_whole(&path, |out| Ok(out.write_all(text.as_bytes())?))?;
    files.push(path);
    Ok(())
}
