//! Feeds broken files to every reader of the Splats lens: each must come back with a scene or with a sentence, never panic,
//! never take more memory than it may, never take long.
//!
//!     cargo run --release --example fuzz_splats -- READER|all SECONDS [SEED]
//!
//! READER is ply, compressed-ply, splat, spz, features, decoder, cameras-json, transforms-json, colmap-text or
//! colmap-binary. Sound files are made here and then changed: bits, bytes, numbers in text and in binary, pieces cut out,
//! doubled, moved and put in from other files. The same seed gives the same files. An input that is not survived is kept,
//! and its path is the last line.

mod mutation;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use glassbox::splats::Unobserved;
use glassbox::splats::fit::Decoder;
use glassbox::splats::gaussians::{Features, Gaussians, Parts};
use glassbox::splats::io::{self, OpenOptions, cameras};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Memory that a reader may think there is.
const ROOM: u64 = 256 << 20;
/// Longer than this no input of a few kilobytes may take.
const MOST: Duration = Duration::from_secs(20);

const READERS: [&str; 10] = [
    "ply",
    "compressed-ply",
    "splat",
    "spz",
    "features",
    "decoder",
    "cameras-json",
    "transforms-json",
    "colmap-text",
    "colmap-binary",
];

fn main() -> Result<()> {
    let (chosen, seconds, seed) = mutation::arguments("fuzz_splats", &READERS)?;
    std::panic::set_hook(Box::new(|_| {}));
    for reader in chosen {
        fuzz(reader, seconds, seed)?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it is what the example is for")]
fn fuzz(reader: &str, seconds: Duration, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let target = Target::new(reader, folder.path())?;
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let (began, mut count, mut opened) = (Instant::now(), 0u64, 0u64);
    let mut messages = std::collections::BTreeSet::new();
    while began.elapsed() < seconds {
        let at = draw.random_range(0..target.files.len());
        let (path, sound) = &target.files[at];
        let broken = mutation::mutated(sound, &target.files, &WORDS, &mut draw);
        fs::write(path, &broken)?;
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| target.read()));
        let long = start.elapsed() > MOST;
        if outcome.is_err() || long {
            let kept = std::env::temp_dir().join(format!("glassbox-fuzz-{reader}-{seed}-{count}"));
            fs::write(&kept, &broken)?;
            let why = if long { "took too long" } else { "panicked" };
            bail!("{reader} {why} on input {count} for {}:\n{}", path.display(), kept.display());
        }
        match outcome.unwrap_or(Ok(())) {
            Ok(()) => opened += 1,
            Err(message) => {
                let plain: String = message.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
                messages.insert(plain);
            }
        }
        fs::write(path, sound)?;
        count += 1;
    }
    println!("{reader}: {count} inputs, {opened} opened, {} kinds of sentences, no panic", messages.len());
    Ok(())
}

/// A reader with sound files for it.
struct Target {
    reader: String,
    folder: PathBuf,
    /// What is changed, one file at a time.
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Target {
    fn new(reader: &str, folder: &Path) -> Result<Self> {
        let make = |name: &str| folder.join(name);
        let scene = scene()?;
        let names: Vec<&str> = match reader {
            "ply" => vec!["a.ply"],
            "compressed-ply" => vec!["a.compressed.ply"],
            "splat" => vec!["a.splat"],
            "spz" => vec!["a.spz"],
            "features" => vec!["b.features.safetensors"],
            "decoder" => vec!["a.decoder.safetensors"],
            "cameras-json" => vec!["cameras.json"],
            "transforms-json" => vec!["transforms.json"],
            "colmap-text" => vec!["cameras.txt", "images.txt"],
            _ => vec!["cameras.bin", "images.bin"],
        };
        match reader {
            "ply" => io::save(&make("a.ply"), &scene, &Unobserved)?,
            "spz" => io::save(&make("a.spz"), &scene.with_features(None)?, &Unobserved)?,
            "features" => {
                io::save(&make("b.ply"), &scene.clone().with_features(None)?, &Unobserved)?;
                let features = scene.features().context("the scene has features")?;
                io::save_features(&make("b.features.safetensors"), features, scene.len())?;
            }
            "decoder" => {
                let decoder = Decoder::new(3, 4, (0..108).map(|at| at as f32).collect())?;
                io::save_decoder(&make("a.decoder.safetensors"), &decoder)?;
            }
            "compressed-ply" => fs::write(make("a.compressed.ply"), compressed())?,
            "splat" => fs::write(make("a.splat"), splat())?,
            "cameras-json" => fs::write(make("cameras.json"), CAMERAS)?,
            "transforms-json" => fs::write(make("transforms.json"), TRANSFORMS)?,
            "colmap-text" => {
                fs::write(
                    make("cameras.txt"),
                    "# cameras\n1 PINHOLE 64 48 50 50 32 24\n2 SIMPLE_PINHOLE 64 48 50 32 24\n",
                )?;
                let images = "# images\n1 1 0 0 0 0.5 0 2 1 a.png\n3.5 4.5 -1\n2 0.7 0.7 0 0 0 1 2 2 b.png\n\n";
                fs::write(make("images.txt"), images)?;
            }
            _ => {
                fs::write(make("cameras.bin"), colmap_cameras())?;
                fs::write(make("images.bin"), colmap_images())?;
            }
        }
        let files = names.into_iter().map(|name| Ok((make(name), fs::read(make(name))?)));
        let target =
            Self { reader: reader.to_owned(), folder: folder.to_owned(), files: files.collect::<Result<_>>()? };
        target.read().map_err(|message| anyhow::anyhow!("the sound file for {reader} cannot be read: {message}"))?;
        Ok(target)
    }

    /// Reads the files as a person would have them read.
    fn read(&self) -> Result<(), String> {
        let options = OpenOptions { available: Some(ROOM), features: None };
        let open = |path: &Path, options: &OpenOptions| {
            io::open(path, options, &Unobserved).map(|_| ()).map_err(|error| error.to_string())
        };
        let first = self.files.first().map_or(self.folder.as_path(), |(path, _)| path.as_path());
        match self.reader.as_str() {
            "features" => {
                open(&self.folder.join("b.ply"), &OpenOptions { features: Some(first.to_owned()), ..options })
            }
            "decoder" => io::open_decoder(first).map(|_| ()).map_err(|error| error.to_string()),
            "cameras-json" | "transforms-json" => {
                cameras::open(first, Some((64, 48))).map(|_| ()).map_err(|error| error.to_string())
            }
            "colmap-text" | "colmap-binary" => {
                cameras::open(&self.folder, None).map(|_| ()).map_err(|error| error.to_string())
            }
            _ => open(first, &options),
        }
    }
}

/// What stands in the text files of scenes, and numbers that break them.
const WORDS: [&str; 14] = [
    "4294967296",
    "18446744073709551615",
    "-1",
    "0",
    "nan",
    "inf",
    "1e999",
    "\n",
    " ",
    "end_header\n",
    "element vertex ",
    "property list uchar int x\n",
    "[",
    "}",
];

fn scene() -> Result<Gaussians> {
    let n = 20;
    let wave = |at: usize, step: f32| (at as f32 * step).sin();
    Ok(Gaussians::new(Parts {
        positions: (0..n).map(|at| [wave(at, 0.7), wave(at, 1.3), wave(at, 2.1)]).collect(),
        log_scales: (0..n).map(|at| [-3.0 + wave(at, 0.3), -3.0, -4.0]).collect(),
        rotations: (0..n).map(|at| [1.0, wave(at, 0.9), 0.2, 0.1]).collect(),
        opacity_logits: (0..n).map(|at| wave(at, 1.1)).collect(),
        sh_degree: 1,
        sh: (0..n * 12).map(|at| 0.2 * wave(at, 0.5)).collect(),
        features: Some(Features::named("sem", 3, (0..n * 3).map(|at| wave(at, 0.4)).collect())),
        antialiased: false,
    })?)
}

fn compressed() -> Vec<u8> {
    let chunk = ["min_x", "min_y", "min_z", "max_x", "max_y", "max_z"];
    let scales = ["min_scale_x", "min_scale_y", "min_scale_z", "max_scale_x", "max_scale_y", "max_scale_z"];
    let header: String = chunk.iter().chain(&scales).map(|name| format!("property float {name}\n")).collect();
    let packed: String = ["position", "rotation", "scale", "color"]
        .iter()
        .map(|name| format!("property uint packed_{name}\n"))
        .collect();
    let n = 10u32;
    let mut bytes = format!(
        "ply\nformat binary_little_endian 1.0\nelement chunk 1\n{header}element vertex {n}\n{packed}end_header\n"
    )
    .into_bytes();
    for value in [-1.0f32, -1.0, -1.0, 1.0, 1.0, 1.0, -6.0, -6.0, -6.0, -2.0, -2.0, -2.0] {
        bytes.extend(value.to_le_bytes());
    }
    for at in 0..n * 4 {
        bytes.extend(at.wrapping_mul(2_654_435_761).to_le_bytes());
    }
    bytes
}

fn splat() -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in 0..12 {
        for value in [0.1 * at as f32, 0.5, 1.0, 0.02, 0.03, 0.01] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([200, 100, 50, 255, 255, 128, 128, 140]);
    }
    bytes
}

fn colmap_cameras() -> Vec<u8> {
    let mut bytes = 1u64.to_le_bytes().to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(1i32.to_le_bytes());
    bytes.extend(64u64.to_le_bytes());
    bytes.extend(48u64.to_le_bytes());
    for value in [50.0f64, 50.0, 32.0, 24.0] {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

fn colmap_images() -> Vec<u8> {
    let mut bytes = 2u64.to_le_bytes().to_vec();
    for image in 1..=2u32 {
        bytes.extend(image.to_le_bytes());
        for value in [1.0f64, 0.0, 0.0, 0.0, 0.5, f64::from(image), 2.0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(b"a.png\0");
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(3.5f64.to_le_bytes());
        bytes.extend(4.5f64.to_le_bytes());
        bytes.extend((-1i64).to_le_bytes());
    }
    bytes
}

const CAMERAS: &str = r#"[{"id": 0, "img_name": "a", "width": 64, "height": 48, "position": [0.5, 1, -2],
 "rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "fx": 50.0, "fy": 50.0},
 {"id": 1, "img_name": "b", "width": 64, "height": 48, "position": [0, 0, 0],
 "rotation": [[0, -1, 0], [1, 0, 0], [0, 0, 1]], "fx": 50.0, "fy": 50.0}]"#;

const TRANSFORMS: &str = r#"{"fl_x": 50.0, "fl_y": 50.0, "cx": 32.0, "cy": 24.0, "w": 64, "h": 48, "frames": [
 {"file_path": "images/a.png", "transform_matrix": [[1, 0, 0, 0.5], [0, 1, 0, 1], [0, 0, 1, 2], [0, 0, 0, 1]]},
 {"file_path": "images/b.png", "transform_matrix": [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]}]}"#;
