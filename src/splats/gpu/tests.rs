//! The GPU's pictures against the CPU's, whole and in pieces.

use glam::DVec3;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::splats::Unobserved;
use crate::splats::camera::Camera;
use crate::splats::gaussians::Parts;
use crate::splats::raster::Values;
use crate::splats::tiles::TileRasteriser;

/// `scripts/test` installs lavapipe: without an adapter this fails, and says so.
fn gpu() -> Gpu {
    Gpu::headless().expect("a Vulkan adapter; scripts/test installs lavapipe")
}

fn scene(count: usize, seed: u64) -> Arc<Gaussians> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut between = |low: f32, high: f32| rng.random_range(low..high);
    let mut parts = Parts { sh_degree: 1, ..Parts::default() };
    for _ in 0..count {
        parts.positions.push(std::array::from_fn(|_| between(-1.0, 1.0)));
        parts.log_scales.push(std::array::from_fn(|_| between(-5.0, -2.5)));
        parts.rotations.push(std::array::from_fn(|_| between(-1.0, 1.0)));
        parts.opacity_logits.push(between(-3.0, 3.0));
        parts.sh.extend((0..12).map(|_| between(-0.8, 0.8)));
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
