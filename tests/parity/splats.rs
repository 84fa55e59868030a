//! The Splats lens: projection, harmonics and blend of random scenes against gsplat's torch functions in double precision.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use glam::{DMat3, DVec2, DVec3};
use glassbox::splats::Unobserved;
use glassbox::splats::camera::{Camera, FAR, NEAR};
use glassbox::splats::gaussians::{Gaussians, Parts};
use glassbox::splats::gpu::device::Gpu;
use glassbox::splats::gpu::{GpuRasteriser, Sums};
use glassbox::splats::projection::{Filter, View};
use glassbox::splats::raster::{Channels, Raster, RasterRequest, Rasteriser, Values};
use glassbox::splats::tiles::TileRasteriser;

use crate::fixtures::{path, tensors, values};

const SCENES: [&str; 5] = ["plain", "inside", "extremes", "antialiased", "far"];

/// A scene and what the reference says of it.
pub(crate) struct Fixture {
    pub(crate) scene: Arc<Gaussians>,
    /// Numbers to blend, `[n, dim]`.
    pub(crate) values: Vec<f32>,
    pub(crate) views: Vec<Camera>,
    tensors: HashMap<String, Tensor>,
}

fn triples<const N: usize>(tensor: &Tensor) -> Vec<[f32; N]> {
    values(tensor).as_chunks::<N>().0.to_vec()
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).and_then(|tensor| tensor.to_vec1()).expect("numbers")
}

impl Fixture {
    pub(crate) fn open(relative: &str) -> Self {
        let tensors = tensors(relative);
        let sh = &tensors["sh"];
        let scene = Gaussians::new(Parts {
            positions: triples(&tensors["positions"]),
            log_scales: triples(&tensors["log_scales"]),
            rotations: triples(&tensors["rotations"]),
            opacity_logits: values(&tensors["opacity_logits"]),
            sh_degree: sh.dim(1).expect("coefficients").isqrt() - 1,
            sh: values(sh),
            features: None,
            antialiased: values(&tensors["antialiased"])[0] > 0.0,
        });
        let views = (0..).map_while(|index| {
            let (pose, lens) =
                (doubles(tensors.get(&format!("camera.{index}"))?), doubles(&tensors[&format!("lens.{index}")]));
            let rotation = DMat3::from_cols_slice(&pose[..9]).transpose();
            let camera = Camera {
                rotation,
                translation: DVec3::from_slice(&pose[9..12]),
                focal: DVec2::new(lens[0], lens[1]),
                principal: DVec2::new(lens[2], lens[3]),
                width: lens[4] as u32,
                height: lens[5] as u32,
                near: NEAR,
                far: FAR,
            };
            Some(camera.checked().expect("a camera"))
        });
        let views = views.collect();
        let values = tensors.get("values").map_or_else(Vec::new, values);
        Self { scene: Arc::new(scene.expect("a scene")), values, views, tensors }
    }

    fn wanted(&self, name: &str, view: usize) -> Vec<f32> {
        values(&self.tensors[&format!("{name}.{view}")])
    }

    /// All maps of one view.
    pub(crate) fn render(&self, rasteriser: &mut dyn Rasteriser, view: usize) -> Raster {
        let dim = self.values.len() / self.scene.len();
        let channels = Channels {
            colour: true,
            depth: true,
            median_depth: true,
            normals: true,
            count: true,
            values: (dim > 0).then_some(Values { dim, values: &self.values }),
        };
        let request = RasterRequest { channels, ..RasterRequest::colour(&self.scene, &self.views[view]) };
        rasteriser.render(&request, &Unobserved).expect("a picture")
    }
}

#[test]
fn gaussians_are_projected_as_gsplat_does() {
    for name in SCENES {
        let fixture = Fixture::open(&format!("splats/{name}.safetensors"));
        let scene = &fixture.scene;
        let mut worst = [0f64; 5];
        let (mut kept, mut flips) = (0, 0);
        for (index, camera) in fixture.views.iter().enumerate() {
            let filter = if scene.antialiased() { Filter::Antialiased } else { Filter::Classic };
            let view = View::new(camera, filter);
            let [centres, conics, depths, opacities, colours, wanted_kept] =
                ["centres", "conics", "depths", "opacities", "colours", "kept"].map(|what| fixture.wanted(what, index));
            for (at, wanted_kept) in wanted_kept.iter().enumerate() {
                let found = view.project(scene, at);
                flips += usize::from(found.is_some() != (*wanted_kept == 1.0));
                let colour = view.colour(scene, at, 3);
                let off = |found: &[f32], wanted: &[f32]| {
                    let off = found.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
                    off.fold(0.0, f64::max)
                };
                worst[4] = worst[4].max(off(&colour, &colours[3 * at..3 * at + 3]));
                let Some(found) = found else { continue };
                kept += 1;
                // Far outside of the picture single precision has no thousandths of a pixel.
                let far = 1e-7 * f64::from(found.centre[0].abs().max(found.centre[1].abs()));
                worst[0] = worst[0].max(off(&found.centre, &centres[2 * at..2 * at + 2]) - far);
                let conic = &conics[3 * at..3 * at + 3];
                worst[1] = worst[1].max(off(&found.conic, conic) / f64::from(conic[0].max(conic[2])));
                worst[2] = worst[2].max(off(&[found.depth], &depths[at..=at]) / f64::from(depths[at]));
                worst[3] = worst[3].max(off(&[found.opacity], &opacities[at..=at]));
            }
        }
        let [centre, conic, depth, opacity, colour] = worst;
        println!(
            "{name}: {kept} kept, {flips} otherwise; centre {centre:.1e} px, conic {conic:.1e}, depth {depth:.1e}, \
             opacity {opacity:.1e}, colour {colour:.1e}"
        );
        // spec/splats.md section 3.3.
        assert!(centre <= 1e-3 && conic <= 1e-4 && depth <= 1e-6 && opacity <= 1e-5 && colour <= 1e-6, "{name}");
        assert!(kept > 100 && flips == 0, "{name}: {kept} kept, {flips} otherwise");
    }
}

/// How far values are from the reference's: mean, most, and how many of them by more than a thousandth.
struct Distance {
    sum: f64,
    most: f64,
    far: usize,
    count: usize,
}

impl Distance {
    fn new() -> Self {
        Self { sum: 0.0, most: 0.0, far: 0, count: 0 }
    }

    fn add(&mut self, found: &[f32], wanted: &[f32], unit: f64) {
        assert_eq!(found.len(), wanted.len(), "sizes differ");
        for (a, b) in found.iter().zip(wanted) {
            let off = (f64::from(*a) - f64::from(*b)).abs() / unit;
            assert!(off.is_finite(), "{a} is no number");
            self.sum += off;
            self.most = self.most.max(off);
            self.far += usize::from(off > 1e-3);
            self.count += 1;
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

#[test]
fn pictures_are_blended_as_the_reference_does() {
    let mut total = Distance::new();
    for name in SCENES {
        let fixture = Fixture::open(&format!("splats/{name}.safetensors"));
        let mut rasteriser = TileRasteriser::of(&fixture.scene);
        for view in 0..fixture.views.len() {
            let found = fixture.render(&mut rasteriser, view);
            let most_depth =
                fixture.wanted("median", view).iter().fold(1f64, |most, depth| most.max(f64::from(*depth)));
            let mut distance = Distance::new();
            let mut maps = vec![
                ("picture", &found.colour, 1.0),
                ("alpha", &found.alpha, 1.0),
                ("depth", &found.depth, most_depth),
                ("normals", &found.normals, 1.0),
            ];
            if !fixture.values.is_empty() {
                maps.push(("blended", &found.values, 3.0));
            }
            for (map, found, unit) in maps {
                let wanted = fixture.wanted(map, view);
                distance.add(found, &wanted, unit);
                total.add(found, &wanted, unit);
            }
            println!(
                "{name}.{view}: mean {:.1e}, most {:.1e}, {} of {} beyond 1e-3",
                distance.mean(),
                distance.most,
                distance.far,
                distance.count
            );
            assert!(distance.mean() <= 2e-6 && distance.most <= 5e-3, "{name}.{view}");
            // Thresholds flip: a Gaussian at 1/255, or one that takes the light to just one half.
            let counts = fixture.wanted("count", view);
            let flips = found.count.iter().zip(&counts).filter(|(a, b)| **a as f32 != **b).count();
            let medians = fixture.wanted("median", view);
            let moved = found.median_depth.iter().zip(&medians).filter(|(a, b)| (*a - *b).abs() > 1e-4).count();
            assert!(flips <= 2 && moved <= 2, "{name}.{view}: {flips} counts and {moved} medians differ");
        }
    }
    assert!((total.far as f64) <= 1e-5 * total.count as f64, "{} of {}", total.far, total.count);
}

/// Larger scenes, made by `tests/reference/splats.py FOLDER SCALE` and named by GLASSBOX_SPLATS; not part of the suite.
#[test]
#[ignore = "needs fixtures that are too large for the repository"]
fn larger_scenes_are_blended_as_the_reference_does() {
    let folder = std::env::var("GLASSBOX_SPLATS").expect("GLASSBOX_SPLATS names a folder");
    for name in SCENES {
        let file = std::path::Path::new(&folder).join(format!("{name}.safetensors"));
        assert!(path("splats").join(&file) == file, "an absolute path");
        let fixture = Fixture::open(&file.to_string_lossy());
        let mut rasteriser = TileRasteriser::of(&fixture.scene);
        for view in 0..fixture.views.len() {
            let found = fixture.render(&mut rasteriser, view);
            let mut distance = Distance::new();
            distance.add(&found.colour, &fixture.wanted("picture", view), 1.0);
            let mean = distance.mean();
            println!(
                "{name}.{view}: mean {mean:.1e}, most {:.1e}, {} of {}",
                distance.most, distance.far, distance.count
            );
            assert!(mean <= 2e-6 && distance.most <= 5e-3 && distance.far as f64 <= 1e-5 * distance.count as f64);
        }
    }
}

/// The GPU's quads against the same reference, within the tolerances of spec/splats.md section 3.3 for half floats.
#[test]
fn the_gpu_blends_as_the_reference_does() {
    let gpu = Gpu::headless().expect("a Vulkan adapter; scripts/test installs lavapipe");
    for (sums, mean_most) in [(Sums::Half, 2e-3), (Sums::Single, 5e-4)] {
        for name in SCENES {
            let fixture = Fixture::open(&format!("splats/{name}.safetensors"));
            let mut rasteriser = GpuRasteriser::new(&gpu, sums).expect("shaders that compile");
            rasteriser.set_scene(&fixture.scene).expect("a small scene");
            let mut tiles = TileRasteriser::of(&fixture.scene);
            for view in 0..fixture.views.len() {
                let camera = &fixture.views[view];
                let request = RasterRequest::colour(&fixture.scene, camera);
                let found = rasteriser.render(&request, &Unobserved).expect("a picture");
                let by_tiles = tiles.render(&request, &Unobserved).expect("a picture");
                let (mut distance, mut to_tiles) = (Distance::new(), Distance::new());
                distance.add(&found.colour, &fixture.wanted("picture", view), 1.0);
                to_tiles.add(&found.colour, &by_tiles.colour, 1.0);
                let squares: f64 = found
                    .colour
                    .iter()
                    .zip(fixture.wanted("picture", view))
                    .map(|(a, b)| (f64::from(*a) - f64::from(b)).powi(2))
                    .sum();
                let decibels = -10.0 * (squares / found.colour.len() as f64).log10();
                println!(
                    "{name}.{view} {sums:?}: mean {:.1e}, most {:.1e}, {decibels:.1} dB; to the tiles mean {:.1e}, most {:.1e}",
                    distance.mean(),
                    distance.most,
                    to_tiles.mean(),
                    to_tiles.most
                );
                assert!(distance.mean() <= mean_most && distance.most <= 0.015 && decibels >= 52.0, "{name}.{view}");
            }
        }
    }
}
