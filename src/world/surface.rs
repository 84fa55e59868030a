//! Samples of what can be seen of a scene's surfaces, for splat scenes: points of many views, thinned so that each place
//! is kept once, by the view that sees it finest.

use std::collections::HashSet;

use glam::{IVec3, Vec3};

use super::look::Look;
use super::render::Renderer;
use super::scene::{Camera, Scene};

/// What is farther away than this from the view that sees it is left out, metres.
const FARTHEST: f32 = 220.0;

/// A small disc of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surfel {
    pub position: Vec3,
    /// unit length, towards the view that saw it
    pub normal: Vec3,
    /// metres between neighbours
    pub spacing: f32,
    /// sRGB
    pub colour: [u8; 3],
}

/// At most `most` samples of what the `views` see under a look, drawn at `size` (width, height) pixels; in an order and
/// with values that depend on nothing else. The sky is no surface.
#[must_use]
pub fn samples(scene: &Scene, views: &[Camera], look: &Look, size: (usize, usize), most: usize) -> Vec<Surfel> {
    let mut all: Vec<Surfel> = views.iter().flat_map(|camera| seen(scene, camera, look, size)).collect();
    // Stable, so that of equally fine ones the first view's is kept.
    all.sort_by(|a, b| a.spacing.total_cmp(&b.spacing));
    let mut factor = 1.0;
    loop {
        let kept = thinned(&all, factor);
        if kept.len() <= most.max(1) || factor > 1e3 {
            return kept;
        }
        factor *= 1.08;
    }
}

fn seen(scene: &Scene, camera: &Camera, look: &Look, (width, height): (usize, usize)) -> Vec<Surfel> {
    let mut renderer = Renderer::new(scene, camera, width, height);
    let picture = renderer.render(look);
    let truth = renderer.truth(look);
    let view = renderer.view();
    let mut found = Vec::new();
    for pixel in 0..width * height {
        let depth = truth.depth[pixel];
        if depth <= 0.0 || depth > FARTHEST {
            continue;
        }
        let ray = view.ray((pixel % width) as f32 + 0.5, (pixel / width) as f32 + 0.5);
        let away = ray.normalize();
        let normal = Vec3::from_slice(&truth.normal[3 * pixel..3 * pixel + 3]).normalize_or(-away);
        let normal = if normal.dot(away) > 0.0 { -normal } else { normal };
        found.push(Surfel {
            position: view.eye + ray * depth,
            normal,
            spacing: depth / view.focal,
            colour: [0, 1, 2].map(|channel| picture.rgb[3 * pixel + channel]),
        });
    }
    found
}

/// One sample of each place, places `factor` times as far apart as the pixels that saw them. Cells double in size, so
/// that near and far samples meet in the same ones.
fn thinned(all: &[Surfel], factor: f32) -> Vec<Surfel> {
    let mut taken: HashSet<(i32, IVec3)> = HashSet::new();
    let mut kept = Vec::new();
    for surfel in all {
        let spacing = surfel.spacing * factor;
        let level = spacing.log2().ceil() as i32;
        let cell = |level: i32| (level, (surfel.position / (level as f32).exp2()).floor().as_ivec3());
        if (level - 3..=level).any(|level| taken.contains(&cell(level))) {
            continue;
        }
        // Coarser samples look into finer cells, so those of a finer one are marked at its own size alone.
        taken.insert(cell(level));
        kept.push(Surfel { spacing: (level as f32).exp2(), ..*surfel });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::look::Look;
    use crate::world::scene::Theme;

    #[test]
    fn samples_lie_on_surfaces_and_are_thinned() {
        let scene = Scene::with_theme(8, Theme::LakeVillage);
        let views = [scene.camera];
        let look = Look::summer_noon();
        let found = samples(&scene, &views, &look, (64, 48), 700);
        assert!((200..=700).contains(&found.len()), "{}", found.len());
        assert_eq!(found, samples(&scene, &views, &look, (64, 48), 700));
        for surfel in &found {
            let away = surfel.position - scene.camera.eye;
            assert!(surfel.normal.dot(away) <= 1e-3 && (surfel.normal.length() - 1.0).abs() < 1e-3);
            assert!(away.length() < 2.0 * FARTHEST);
        }
        let many = samples(&scene, &views, &look, (64, 48), 100_000);
        assert!(many.len() > found.len());
    }
}
