//! The tile rasteriser against the blend written out pixel by pixel, and against itself.

use std::sync::Arc;

use glam::DVec3;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::splats::Unobserved;
use crate::splats::camera::Camera;
use crate::splats::gaussians::{Features, Parts, sh_coefficients};
use crate::splats::projection::{ALPHA_MAX, ALPHA_MIN, Filter, TRANSMITTANCE_MIN, View};
use crate::splats::raster::{Channels, Values};

/// A cloud of Gaussians of all shapes around the origin.
pub(crate) fn cloud(n: usize, degree: usize, seed: u64) -> Gaussians {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = |scale: f32| scale * (0..4).map(|_| draw.random_range(-1.0f32..1.0)).sum::<f32>();
    let dim = 3 * sh_coefficients(degree);
    Gaussians::new(Parts {
        positions: (0..n).map(|_| std::array::from_fn(|_| normal(1.0))).collect(),
        log_scales: (0..n).map(|_| std::array::from_fn(|_| -2.5 + normal(1.2))).collect(),
        rotations: (0..n).map(|_| std::array::from_fn(|_| normal(1.0))).collect(),
        opacity_logits: (0..n).map(|_| normal(2.0)).collect(),
        sh_degree: degree,
        sh: (0..n * dim).map(|_| normal(0.4)).collect(),
        features: Some(Features::named("sem", 37, (0..n * 37).map(|_| normal(1.0)).collect())),
        antialiased: false,
    })
    .unwrap()
}

fn camera(width: u32, height: u32) -> Camera {
    Camera::look_at(DVec3::new(1.0, -2.0, -4.0), DVec3::ZERO, DVec3::NEG_Y, 0.9, (width, height)).unwrap()
}

fn everything<'a>(scene: &'a Gaussians, camera: &'a Camera) -> RasterRequest<'a> {
    let features = scene.features().unwrap();
    let values = Values { dim: features.dim, values: &features.values };
    let channels =
        Channels { colour: true, depth: true, median_depth: true, normals: true, count: true, values: Some(values) };
    RasterRequest { channels, ..RasterRequest::colour(scene, camera) }
}

/// Colour and alpha, pixel by pixel, from the conic as the spec has it.
fn plainly(scene: &Gaussians, camera: &Camera) -> (Vec<f64>, Vec<f64>) {
    let view = View::new(camera, Filter::Classic);
    let mut seen: Vec<_> =
        (0..scene.len()).filter_map(|i| Some((view.project(scene, i)?, view.colour(scene, i, 3)))).collect();
    seen.sort_by(|a, b| a.0.depth.total_cmp(&b.0.depth));
    let (mut colour, mut alphas) = (Vec::new(), Vec::new());
    for pixel in 0..camera.width * camera.height {
        let at = [(pixel % camera.width) as f64 + 0.5, (pixel / camera.width) as f64 + 0.5];
        let (mut light, mut sum) = (1.0f64, [0.0f64; 3]);
        for (seen, colour) in &seen {
            let [dx, dy] = [0, 1].map(|axis| f64::from(seen.centre[axis]) - at[axis]);
            let [a, b, c] = seen.conic.map(f64::from);
            let alpha = f64::from(seen.opacity) * (-(0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy)).exp();
            let alpha = alpha.min(f64::from(ALPHA_MAX));
            if alpha < f64::from(ALPHA_MIN) {
                continue;
            }
            if light * (1.0 - alpha) <= f64::from(TRANSMITTANCE_MIN) {
                break;
            }
            sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += alpha * light * f64::from(*value));
            light *= 1.0 - alpha;
        }
        colour.extend(sum);
        alphas.push(1.0 - light);
    }
    (colour, alphas)
}

#[test]
fn tiles_change_nothing_about_the_blend() {
    let scene = cloud(400, 3, 1);
    for (width, height) in [(70, 45), (32, 32), (1, 1), (9, 66)] {
        let camera = camera(width, height);
        let found = render(&scene, &RasterRequest::colour(&scene, &camera), &Unobserved).unwrap();
        let (colour, alpha) = plainly(&scene, &camera);
        let apart = |found: &[f32], wanted: &[f64]| {
            let most = found.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(most < 2e-4 && found.len() == wanted.len(), "{width} × {height}: {most}");
        };
        apart(&found.colour, &colour);
        apart(&found.alpha, &alpha);
        assert!(found.alpha.iter().any(|alpha| *alpha > 0.2));
    }
}

#[test]
fn maps_do_not_depend_on_what_else_is_asked_or_on_threads() {
    let scene = Arc::new(cloud(700, 1, 2));
    let camera = camera(90, 50);
    let request = everything(&scene, &camera);
    let mut rasteriser = TileRasteriser::of(&scene);
    let all = rasteriser.render(&request, &Unobserved).unwrap();
    let colour = rasteriser.render(&RasterRequest::colour(&scene, &camera), &Unobserved).unwrap();
    assert_eq!((&colour.colour, &colour.alpha), (&all.colour, &all.alpha));
    assert!(colour.depth.is_empty() && colour.count.is_empty() && colour.values.is_empty());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| render(&scene, &request, &Unobserved)).unwrap(), all);
    }
    // Alpha alone, without a single channel.
    let alone = render(&scene, &RasterRequest { channels: Channels::default(), ..request }, &Unobserved).unwrap();
    assert!(alone.alpha == all.alpha && alone.values.is_empty());
    // Channels beyond one pass are the same as those alone.
    let features = scene.features().unwrap();
    let last: Vec<f32> = features.values.chunks_exact(37).map(|values| values[36]).collect();
    let channels = Channels { values: Some(Values { dim: 1, values: &last }), ..Channels::default() };
    let alone = render(&scene, &RasterRequest { channels, ..request }, &Unobserved).unwrap();
    assert!(alone.values.iter().zip(all.values.chunks_exact(37)).all(|(alone, all)| *alone == all[36]));
}

#[test]
fn ones_add_up_to_alpha_and_depth_lies_among_the_depths() {
    let scene = cloud(300, 0, 3);
    let camera = camera(64, 40);
    let ones = vec![1.0; scene.len()];
    let channels = Channels {
        depth: true,
        median_depth: true,
        count: true,
        values: Some(Values { dim: 1, values: &ones }),
        ..Channels::default()
    };
    let found = render(&scene, &RasterRequest { channels, ..RasterRequest::colour(&scene, &camera) }, &Unobserved);
    let found = found.unwrap();
    for pixel in 0..found.alpha.len() {
        assert!((found.values[pixel] - found.alpha[pixel]).abs() < 1e-5);
        assert_eq!(found.count[pixel] == 0, found.alpha[pixel] == 0.0);
        assert_eq!(found.median_depth[pixel] > 0.0, found.alpha[pixel] > 0.5);
        assert!(found.count[pixel] == 0 || (0.01..20.0).contains(&found.depth[pixel]));
    }
}

#[test]
fn the_hidden_are_not_drawn() {
    let scene = cloud(50, 0, 4);
    let camera = camera(40, 40);
    let visible: Vec<bool> = (0..50).map(|index| index % 3 == 0).collect();
    let request = RasterRequest::colour(&scene, &camera);
    let hidden = render(&scene, &RasterRequest { visible: Some(&visible), ..request }, &Unobserved).unwrap();
    let subset = scene.subset(&visible).unwrap();
    assert_eq!(hidden, render(&subset, &RasterRequest::colour(&subset, &camera), &Unobserved).unwrap());
    let nothing = render(&scene, &RasterRequest { visible: Some(&[false; 50]), ..request }, &Unobserved).unwrap();
    assert!(nothing.colour.iter().chain(&nothing.alpha).all(|value| *value == 0.0));
}

#[test]
fn requests_that_do_not_fit_are_refused_in_a_sentence() {
    let scene = Arc::new(cloud(5, 0, 5));
    let camera = camera(40, 40);
    let request = RasterRequest::colour(&scene, &camera);
    let fault = |request: &RasterRequest<'_>| render(&scene, request, &Unobserved).unwrap_err().to_string();
    let marks = RasterRequest { visible: Some(&[true; 4]), ..request };
    assert_eq!(fault(&marks), "4 marks of visibility do not fit 5 Gaussians");
    let channels = Channels { values: Some(Values { dim: 2, values: &[0.0; 9] }), ..Channels::default() };
    assert_eq!(fault(&RasterRequest { channels, ..request }), "9 values of 2 channels do not fit 5 Gaussians");
    assert_eq!(
        TileRasteriser::default().render(&request, &Unobserved).unwrap_err().to_string(),
        "there is no scene to draw"
    );
}
