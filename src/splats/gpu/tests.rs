//! The GPU's pictures against the CPU's, whole and in pieces.

use glam::DVec3;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::splats::Unobserved;
use crate::splats::camera::Camera;
use crate::splats::gaussians::Parts;
use crate::splats::raster::Values;
use crate::splats::shading::Shown;
use crate::splats::tiles::TileRasteriser;

/// `scripts/test` installs lavapipe: without an adapter this fails, and says so.
fn gpu() -> Gpu {
    Gpu::headless().expect("a Vulkan adapter; scripts/test installs lavapipe")
}

fn scene(count: usize, seed: u64) -> Arc<Gaussians> {
    scene_of_degree(1, count, seed)
}

fn scene_of_degree(sh_degree: usize, count: usize, seed: u64) -> Arc<Gaussians> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut between = |low: f32, high: f32| rng.random_range(low..high);
    let mut parts = Parts { sh_degree, ..Parts::default() };
    for _ in 0..count {
        parts.positions.push(std::array::from_fn(|_| between(-1.0, 1.0)));
        parts.log_scales.push(std::array::from_fn(|_| between(-5.0, -2.5)));
        parts.rotations.push(std::array::from_fn(|_| between(-1.0, 1.0)));
        parts.opacity_logits.push(between(-3.0, 3.0));
        let width = 3 * crate::splats::gaussians::sh_coefficients(sh_degree);
        parts.sh.extend((0..width).map(|_| between(-0.8, 0.8)));
    }
    // Some at one depth, in one place: their order is that of the scene.
    for index in 0..count / 20 {
        parts.positions[index] = [0.05, 0.05, 0.0];
    }
    Arc::new(Gaussians::new(parts).unwrap())
}

fn camera() -> Camera {
    Camera::look_at(DVec3::new(0.0, 0.0, -3.0), DVec3::ZERO, DVec3::NEG_Y, 0.8, (160, 120)).unwrap()
}

fn most(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn half_floats_come_close_and_single_floats_closer() {
    let (scene, camera) = (scene(9000, 1), camera());
    let values: Vec<f32> = (0..9000 * 26).map(|at| ((at * 37 % 101) as f32 / 50.0) - 1.0).collect();
    let channels = Channels {
        colour: true,
        depth: true,
        normals: true,
        count: true,
        values: Some(Values { dim: 26, values: &values }),
        ..Channels::default()
    };
    let request = RasterRequest { channels, ..RasterRequest::colour(&scene, &camera) };
    let wanted = TileRasteriser::of(&scene).render(&request, &Unobserved).unwrap();
    for (sums, far) in [(Sums::Half, 0.02), (Sums::Single, 0.012)] {
        let mut gpu = GpuRasteriser::new(&gpu(), sums).unwrap();
        gpu.set_scene(&scene).unwrap();
        let found = gpu.render(&request, &Unobserved).unwrap();
        let off = [
            most(&found.colour, &wanted.colour),
            most(&found.alpha, &wanted.alpha),
            most(&found.normals, &wanted.normals),
            most(&found.values, &wanted.values),
        ];
        assert!(off.iter().all(|off| *off < far), "{sums:?}: {off:?}");
        // Where little is seen a depth says little.
        for ((found, wanted), alpha) in found.depth.iter().zip(&wanted.depth).zip(&wanted.alpha) {
            assert!(*alpha < 0.5 || (found - wanted).abs() < 0.03, "{found} {wanted}");
        }
        // Blending from behind also counts what lies behind the end of the light.
        assert!(found.count.iter().zip(&wanted.count).all(|(found, wanted)| *found + 1 >= *wanted));
    }
}

#[test]
fn small_buffers_hidden_gaussians_and_other_sizes_change_nothing_else() {
    let (scene, camera) = (scene(5000, 2), camera());
    let hidden: Vec<bool> = (0..5000).map(|index| index % 3 != 0).collect();
    let all = RasterRequest::colour(&scene, &camera);
    let some = RasterRequest { visible: Some(&hidden), ..all };
    let gpu = gpu();
    let mut whole = GpuRasteriser::new(&gpu, Sums::Half).unwrap();
    whole.set_scene(&scene).unwrap();
    // 20 kB: two hundred Gaussians a chunk, 25 windows.
    let mut pieces = GpuRasteriser::new(&gpu, Sums::Half).unwrap().with_buffers_of(20_480);
    pieces.set_scene(&scene).unwrap();
    for request in [all, some, all] {
        let (a, b) = (whole.render(&request, &Unobserved).unwrap(), pieces.render(&request, &Unobserved).unwrap());
        assert!(most(&a.colour, &b.colour) < 1e-6 && most(&a.alpha, &b.alpha) < 1e-6);
    }
    let subset = scene.subset(&hidden).unwrap();
    let (a, b) = (
        whole.render(&some, &Unobserved).unwrap(),
        TileRasteriser::of(&Arc::new(subset)).render(&all_of(&camera), &Unobserved).unwrap(),
    );
    assert!(most(&a.colour, &b.colour) < 0.02);
    // The same picture again, to the bit, and one of another size.
    let again = whole.render(&some, &Unobserved).unwrap();
    assert!(a == again);
    let small = camera.resized((80, 60)).unwrap();
    assert_eq!(whole.render(&all_of(&small), &Unobserved).unwrap().alpha.len(), 4800);
}

fn all_of(camera: &Camera) -> RasterRequest<'_> {
    RasterRequest { ..RasterRequest::colour(&scene(1, 0), camera) }
}

#[test]
fn what_does_not_fit_is_an_error_and_the_scene_before_stays() {
    let (scene, camera) = (scene(500, 3), camera());
    let mut gpu = GpuRasteriser::new(&gpu(), Sums::Half).unwrap().with_buffers_of(4096);
    assert!(gpu.render(&RasterRequest::colour(&scene, &camera), &Unobserved).is_err(), "no scene yet");
    gpu.set_scene(&scene).unwrap();
    let large = self::scene(2000, 4);
    let fault = gpu.set_scene(&large).unwrap_err().to_string();
    assert!(fault.contains("2000 Gaussians") && fault.contains("CPU"), "{fault}");
    assert!(gpu.render(&RasterRequest::colour(&scene, &camera), &Unobserved).is_ok());
    let enormous = camera.resized((16_384, 16_384)).unwrap();
    if gpu.gpu.limits().max_texture_dimension_2d < 16_384 {
        assert!(gpu.render(&RasterRequest::colour(&scene, &enormous), &Unobserved).is_err());
    }
    assert!(gpu.render(&RasterRequest::colour(&scene, &camera), &Unobserved).is_ok());
}

#[test]
fn colours_of_every_degree_are_those_of_the_processor() {
    for degree in 0..=3 {
        let (scene, camera) = (scene_of_degree(degree, 3000, 10 + degree as u64), camera());
        let mut gpu = GpuRasteriser::new(&gpu(), Sums::Single).unwrap();
        gpu.set_scene(&scene).unwrap();
        for sh_degree in 0..=degree {
            let request = RasterRequest { sh_degree, ..RasterRequest::colour(&scene, &camera) };
            let wanted = TileRasteriser::of(&scene).render(&request, &Unobserved).unwrap();
            let found = gpu.render(&request, &Unobserved).unwrap();
            let off = most(&found.colour, &wanted.colour);
            assert!(off < 0.012, "degree {sh_degree} of {degree}: {off}");
        }
    }
}

/// Numbers for a mode, of each Gaussian.
fn numbers(count: usize, dim: usize, id: u64) -> Vec<f32> {
    let values = (0..count * dim).map(|at| ((at as f32 * 0.731 + id as f32).sin() + 1.0) / 2.0);
    // The last of four says that there are features at all.
    values.enumerate().map(|(at, value)| if dim == 4 && at % 4 == 3 { 1.0 } else { value }).collect()
}

#[test]
fn every_look_on_the_device_is_that_of_the_processor() {
    use crate::splats::shading::{Look, Numbers, Sight, draw};
    const COUNT: usize = 4000;
    let (scene, camera) = (scene_of_degree(2, COUNT, 20), camera());
    let scale: [[f32; 3]; 256] = std::array::from_fn(|at| [at as f32 / 255.0, 1.0 - at as f32 / 255.0, 0.25]);
    let palette: Vec<[f32; 3]> = (0..30).map(|at| [at as f32 / 30.0, (at % 7) as f32 / 7.0, 0.5]).collect();
    let marked = Marks::where_(COUNT, |index| index % 5 == 0);
    let hidden = Marks::where_(COUNT, |index| index % 7 != 0);
    let (four, one, many) = (numbers(COUNT, 4, 1), numbers(COUNT, 1, 3), numbers(COUNT, 53, 4));
    // Clusters lie beside each other, so that few pixels have two that are equally good.
    let place = |at: f32, parts: usize| (((at + 1.0) / 2.0 * parts as f32) as usize).min(parts - 1);
    let cluster = scene.positions().iter().map(|[x, y, _]| 5 * place(*x, 6) + place(*y, 5));
    let thirty: Vec<f32> =
        cluster.flat_map(|own| (0..30).map(move |channel| f32::from(u8::from(channel == own)))).collect();
    let query: Vec<f32> = (0..53).map(|at| (at as f32).cos()).collect();
    let of = |values, dim, id| Numbers { values: Values { dim, values }, id };
    let ranges = [(0.2, 0.8), (0.3, 0.7), (0.5, 0.5)];
    let looks = [
        ("colour", Shown::Colour),
        ("depth", Shown::Depth),
        ("normals", Shown::Normals),
        ("opacity", Shown::Opacity),
        ("components", Shown::Components(of(&four, 4, 1), ranges)),
        ("clusters", Shown::Clusters(of(&thirty, 30, 2), &palette)),
        ("cosine", Shown::Cosine(of(&one, 1, 3))),
        ("similarity", Shown::Similarity(of(&many, 53, 4), &query)),
        ("count", Shown::Count),
    ];
    let mut gpu = GpuRasteriser::new(&gpu(), Sums::Half).unwrap();
    gpu.set_scene(&scene).unwrap();
    let mut tiles = TileRasteriser::of(&scene);
    for (name, shown) in looks {
        for (share, background, selected, visible) in [
            (1.0, Some([0.1, 0.2, 0.3]), None, None),
            (0.6, Some([0.9, 0.8, 0.7]), Some(&marked), Some(&hidden)),
            (1.0, None, Some(&marked), None),
        ] {
            let look = Look { shown, share, background, scale: &scale, selected, tint: [0.2, 0.9, 0.8] };
            let sight = Sight { camera: &camera, filter: crate::splats::projection::Filter::Classic, visible };
            // Blending from behind counts what lies behind the end of the light too, and that decides the scale.
            let counts = matches!(shown, Shown::Count);
            let by: &mut dyn Rasteriser = if counts { &mut gpu } else { &mut tiles };
            let wanted = draw(by, &scene, &sight, &look, &Unobserved).unwrap();
            let view = gpu.show(&sight, &look, Shape::Splats, &Unobserved).unwrap();
            let found = view.pixels().unwrap();
            assert_eq!(found.len(), wanted.pixels.len());
            let off = found
                .iter()
                .zip(&wanted.pixels)
                .map(|(a, b)| a.iter().zip(b).map(|(a, b)| i32::from(a.abs_diff(*b))).max().unwrap_or(0));
            let off: Vec<i32> = off.collect();
            let far = off.iter().filter(|off| **off > 6).count() as f64 / off.len() as f64;
            let mean = f64::from(off.iter().sum::<i32>()) / off.len() as f64;
            // Clusters change at once where two are equally good.
            let (may_be_far, most_mean) = if name == "clusters" { (0.03, 3.0) } else { (0.002, 1.0) };
            assert!(far <= may_be_far && mean <= most_mean, "{name} at {share}: {far:.4} far, {mean:.3} off");
            for (x, y) in [(80, 60), (40, 33), (120, 90), (0, 0)] {
                let (depth, wanted) = (view.depth_at(x, y).unwrap(), wanted.depth[(y * 160 + x) as usize]);
                assert!((depth - wanted).abs() < 0.03 * (1.0 + wanted), "{name} at {x},{y}: {depth} {wanted}");
            }
            assert_eq!(view.depth_at(160, 0).unwrap(), 0.0);
        }
    }
    let short = Shown::Cosine(of(&four, 4, 9));
    let look = Look { shown: short, share: 1.0, background: None, scale: &scale, selected: None, tint: [0.0; 3] };
    let sight = Sight { camera: &camera, filter: crate::splats::projection::Filter::Classic, visible: None };
    assert!(gpu.show(&sight, &look, Shape::Splats, &Unobserved).is_err());
    let few = Marks::none(3);
    let look = Look { shown: Shown::Colour, selected: None, ..look };
    let sight = Sight { visible: Some(&few), ..sight };
    assert!(gpu.show(&sight, &look, Shape::Splats, &Unobserved).unwrap_err().to_string().contains("3 Gaussians"));
}

#[test]
fn ellipsoids_and_centres_are_those_of_a_scene_made_so_and_pictures_that_are_kept_stay() {
    use crate::splats::shading::{Look, Sight, draw};
    let (scene, camera) = (scene(2000, 30), camera());
    let scale = [[0.0; 3]; 256];
    let background = Some([0.0; 3]);
    let look = Look { shown: Shown::Colour, share: 1.0, background, scale: &scale, selected: None, tint: [0.0; 3] };
    let sight = Sight { camera: &camera, filter: crate::splats::projection::Filter::Classic, visible: None };
    let mut gpu = GpuRasteriser::new(&gpu(), Sums::Half).unwrap();
    gpu.set_scene(&scene).unwrap();
    let first = gpu.show(&sight, &look, Shape::Splats, &Unobserved).unwrap();
    let before = first.pixels().unwrap();
    for (shape, less) in [(Shape::Ellipsoids, 1.0), (Shape::Centres, f32::INFINITY)] {
        let mut parts = scene.parts().clone();
        parts.opacity_logits.fill(6.0);
        parts.log_scales.iter_mut().for_each(|scales| *scales = scales.map(|scale| scale - less));
        let made = Arc::new(Gaussians::new(parts).unwrap());
        let wanted = draw(&mut TileRasteriser::of(&made), &made, &sight, &look, &Unobserved).unwrap();
        let found = gpu.show(&sight, &look, shape, &Unobserved).unwrap().pixels().unwrap();
        let far = found.iter().zip(&wanted.pixels).filter(|(a, b)| (0..3).any(|at| a[at].abs_diff(b[at]) > 6)).count();
        assert!(far < 60, "{shape:?}: {far}");
    }
    assert!(first.pixels().unwrap() == before, "nothing is drawn into what somebody looks at");
}
