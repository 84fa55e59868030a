//! Times the Splats lens on the processor: loading, frames in every mode, and lifting in closed form.
//!
//!     cargo run --release --example splat_speed -- frames FRAMES WIDTHxHEIGHT CAMERAS SCENE…
//!     cargo run --release --example splat_speed -- lift VIEWS CHANNELS CAMERAS SCENE…
//!
//! Prints one figure a line: scene, what, seconds; `scripts/bench splats` makes medians of them and runs the references
//! beside. The first frame of a camera is not counted. Lifting takes maps of 64 × 36 cells of made-up features, the same
//! as tests/reference/splat_lift.py, and prints a sum that must agree with that one's.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use glassbox::splats::camera::Camera;
use glassbox::splats::gaussians::Gaussians;
use glassbox::splats::io::{OpenOptions, cameras, open};
use glassbox::splats::lift::{FeatureMap, Lift};
use glassbox::splats::projection::Filter;
use glassbox::splats::raster::{Channels, RasterRequest, Values};
use glassbox::splats::{Unobserved, tiles};

/// The cells of a made-up feature map.
const COLUMNS: usize = 64;
const ROWS: usize = 36;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, first, second, views, scenes @ ..] = arguments.as_slice() else {
        bail!("usage: splat_speed frames FRAMES WxH CAMERAS SCENE… | lift VIEWS CHANNELS CAMERAS SCENE…");
    };
    let cameras: Vec<Camera> =
        cameras::open(Path::new(views), None)?.cameras.into_iter().map(|named| named.camera).collect();
    for path in scenes {
        let path = Path::new(path);
        let name = path.file_stem().context("a scene has a name")?.to_string_lossy().into_owned();
        let began = Instant::now();
        let scene = Arc::new(open(path, &OpenOptions::default(), &Unobserved)?.scene);
        match what.as_str() {
            "frames" => {
                tell(&name, "load", began.elapsed().as_secs_f64());
                let size = second.split_once('x').context("write the size as WxH")?;
                frames(&name, &scene, &cameras, first.parse()?, (size.0.parse()?, size.1.parse()?))?;
            }
            "lift" => lift(&name, &scene, &cameras, first.parse()?, second.parse()?)?,
            _ => bail!("frames or lift, not {what:?}"),
        }
    }
    Ok(())
}

/// One figure, for a program to read.
#[allow(clippy::print_stdout, reason = "it is what the example is for")]
fn tell(scene: &str, what: &str, value: f64) {
    println!("{scene} {what} {value:.6}");
}

/// A number from 0 to 1 that depends on `at` alone (Knuth's multiplicative hash).
fn made_up(at: usize) -> f32 {
    (at as u32).wrapping_mul(2_654_435_761) as f32 / 4_294_967_296.0
}

fn frames(name: &str, scene: &Gaussians, cameras: &[Camera], frames: usize, size: (u32, u32)) -> Result<()> {
    let values: Vec<f32> = (0..scene.len() * 12).map(made_up).collect();
    let of = |dim: usize| Channels {
        values: Some(Values { dim, values: &values[..dim * scene.len()] }),
        ..Channels::default()
    };
    let modes = [
        ("frame", Channels { colour: true, ..Channels::default() }),
        ("depth", Channels { depth: true, ..Channels::default() }),
        ("query", of(1)),
        ("pca", of(4)),
        ("clusters-12", of(12)),
    ];
    for camera in cameras {
        let camera = camera.resized(size)?;
        for frame in 0..=frames {
            for (what, channels) in modes {
                let request = RasterRequest { channels, ..RasterRequest::colour(scene, &camera) };
                let began = Instant::now();
                tiles::render(scene, &request, &Unobserved)?;
                if frame > 0 {
                    tell(name, what, began.elapsed().as_secs_f64());
                }
            }
        }
    }
    Ok(())
}

fn lift(name: &str, scene: &Gaussians, cameras: &[Camera], views: usize, dim: usize) -> Result<()> {
    let values: Vec<f32> = (0..COLUMNS * ROWS * dim).map(made_up).collect();
    let began = Instant::now();
    let mut lift = Lift::new(scene, dim);
    for camera in cameras.iter().cycle().take(views) {
        let across = (COLUMNS as f64 / f64::from(camera.width), 0.0);
        let down = (ROWS as f64 / f64::from(camera.height), 0.0);
        let map = FeatureMap { rows: ROWS, columns: COLUMNS, dim, values: &values, across, down };
        lift.add(camera, Filter::Classic, &map, &Unobserved)?;
    }
    let features = lift.finish();
    tell(name, "lift", began.elapsed().as_secs_f64());
    let sum: f64 = features.values.iter().map(|value| f64::from(*value)).sum();
    tell(name, "lift-sum", sum / dim as f64);
    Ok(())
}
