//! Photographs are found, and jobs fail in sentences.

use std::sync::Arc;

use super::render::{Background, Mode, RenderJob};
use super::*;
use crate::engine::Engine;
use crate::splats::Unobserved;
use crate::splats::tiles::tests::cloud;

fn job(path: &Path, mode: Mode) -> RenderJob {
    RenderJob {
        scene: SceneChoice { path: path.to_owned(), features: None },
        camera: None,
        size: Some((48, 32)),
        filter: None,
        mode,
        clusters: 4,
        seed: 1,
        point: None,
        decoder: None,
        background: Background::Colour([0.0; 3]),
        trace: true,
    }
}

#[test]
fn every_mode_shows_something_and_numbers_have_their_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.ply");
    io::save(&path, &cloud(400, 1, 5), &Unobserved).unwrap();
    let engine = Engine::start(1 << 30, Arc::new(|| {})).unwrap();
    let modes = [
        (Mode::Rgb, vec![32, 48, 3]),
        (Mode::Depth, vec![32, 48]),
        (Mode::Normals, vec![32, 48, 3]),
        (Mode::Opacity, vec![32, 48]),
        (Mode::Count, vec![32, 48]),
        (Mode::Pca, vec![32, 48, 4]),
        (Mode::Clusters, vec![32, 48]),
        (Mode::Similarity, vec![32, 48]),
        (Mode::Features, vec![32, 48, 37]),
    ];
    for (mode, shape) in modes {
        let found = engine.submit(job(&path, mode)).wait().unwrap();
        assert_eq!((found.shape.iter().product::<usize>(), &found.shape), (found.values.len(), &shape), "{mode:?}");
        assert_eq!(found.picture.is_some(), mode != Mode::Features);
        if let Some(picture) = found.picture {
            let colours: std::collections::HashSet<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
            assert!(colours.len() > 3, "{mode:?}: {}", colours.len());
        }
        assert_eq!(found.trace.tensors().unwrap()["depth"].dims(), [32, 48]);
    }
    let clear = RenderJob { background: Background::Transparent, ..job(&path, Mode::Rgb) };
    let clear = engine.submit(clear).wait().unwrap();
    assert!(clear.opacity.unwrap().pixels().any(|pixel| pixel.0[0] == 0));
    let beyond = RenderJob { point: Some((48, 0)), ..job(&path, Mode::Similarity) };
    assert_eq!(engine.submit(beyond).wait().unwrap_err().to_string(), "there is no pixel 48,0 in a picture of 48 × 32");
    let bare = folder.path().join("bare.ply");
    io::save(&bare, &cloud(9, 0, 5).with_features(None).unwrap(), &Unobserved).unwrap();
    let fault = engine.submit(job(&bare, Mode::Pca)).wait().unwrap_err().to_string();
    assert!(fault.contains("has no features"), "{fault}");
}

#[test]
fn clusters_of_pixels_are_those_of_their_blended_features() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scene.ply");
    let scene = cloud(300, 0, 6);
    io::save(&path, &scene, &Unobserved).unwrap();
    let engine = Engine::start(1 << 30, Arc::new(|| {})).unwrap();
    let labels = engine.submit(job(&path, Mode::Clusters)).wait().unwrap().values;
    let features = engine.submit(job(&path, Mode::Features)).wait().unwrap().values;
    let sample = super::modes::sample(scene.features().unwrap()).unwrap();
    let settings = crate::features::kmeans::KmeansSettings { clusters: 4, seed: 1, ..Default::default() };
    let clustering =
        crate::features::kmeans::Clustering::fit(&[&sample], &settings, &crate::nets::watcher::Unwatched).unwrap();
    let mut differ = 0;
    for (label, feature) in labels.iter().zip(features.chunks_exact(37)) {
        let score = |cluster: usize| {
            let centre = clustering.centre(cluster);
            let product: f32 = centre.iter().zip(feature).map(|(a, b)| a * b).sum();
            product / centre.iter().map(|value| value * value).sum::<f32>().sqrt()
        };
        let best = (0..4).map(score).fold(f32::NEG_INFINITY, f32::max);
        differ += usize::from(score(*label as usize) < best - 1e-4);
    }
    assert_eq!(differ, 0);
}

#[test]
fn photographs_are_found_under_parts_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("left")).unwrap();
    for name in ["left/a.png", "b.JPG", "c.d.png"] {
        std::fs::write(folder.path().join(name), b"x").unwrap();
    }
    let found = |picture: &str| {
        let path = photograph(folder.path(), picture)?;
        Some(path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned())
    };
    assert_eq!(found("left/a.png").as_deref(), Some("left/a.png"));
    assert_eq!(found("../images/left/a.png").as_deref(), Some("left/a.png"));
    assert_eq!(found("images\\b").as_deref(), Some("b.JPG"));
    assert_eq!(found("b.png").as_deref(), Some("b.JPG"));
    assert_eq!(found("c.d").as_deref(), Some("c.d.png"));
    assert_eq!(found("nowhere.png"), None);
}
