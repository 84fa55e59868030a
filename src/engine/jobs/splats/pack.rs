//! FiT3D's scene packs: one `.pth` file with the feature Gaussians of many scenes (spec/fit3d.md section 1.6). It goes once
//! through the safe converter, whose names are then `scene/means3D`, `scene/feat_cnn/0.weight` and so on.
//!
//! `pack.pth::scene` means one of them. Opacities, scales and rotations lie in a pack after their activations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use candle_core::{DType, Device};

use super::{ask_for_memory, in_job_terms};
use crate::packs::weights::Weights;
use crate::splats::fit::Decoder;
use crate::splats::gaussians::{Features, Gaussians, MAX_SH_DEGREE, Parts, logit, sh_coefficients};

/// What stands between a pack and the name of a scene in it.
const MARK: &str = "::";

/// The file and the scene that a path names, if it names both.
pub(super) fn parts_of(path: &Path) -> Option<(PathBuf, String)> {
    let text = path.to_str()?;
    let (file, scene) = text.rsplit_once(MARK)?;
    (!path.exists() && !scene.is_empty()).then(|| (PathBuf::from(file), scene.to_owned()))
}

/// One scene of a pack, and its decoder.
pub(super) fn open(pack: &Path, weights: &Weights, scene: Option<&str>) -> anyhow::Result<(Gaussians, Decoder)> {
    let mut scenes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in weights.names() {
        if let Some((scene, rest)) = name.split_once('/') {
            scenes.entry(scene).or_default().push(rest);
        }
    }
    scenes.retain(|_, names| names.contains(&"means3D"));
    let known = || {
        let names: Vec<&str> = scenes.keys().copied().take(5).collect();
        format!("it holds {} scenes, such as {}", scenes.len(), names.join(", "))
    };
    let path = pack.display();
    let name = match (scene, scenes.len()) {
        (_, 0) => bail!("{path} is no pack of scenes: no scene in it has means3D"),
        (Some(scene), _) if scenes.contains_key(scene) => scene,
        (Some(scene), _) => bail!("{path} has no scene {scene:?}; {}", known()),
        (None, 1) => scenes.keys().next().copied().unwrap_or_default(),
        (None, _) => bail!("say which scene of {path} is meant, as {path}{MARK}NAME; {}", known()),
    };
    let facts = |what: &str| {
        let found = weights.facts(&format!("{name}/{what}"));
        found.with_context(|| format!("the scene {name} of {path} has no {what}"))
    };
    let count = facts("means3D")?.shape.first().copied().unwrap_or(0);
    let coefficients = facts("shs")?.shape.get(1).copied().unwrap_or(0);
    let channels = facts("sem")?.shape.get(1).copied().unwrap_or(0);
    let degree = (0..=MAX_SH_DEGREE).find(|degree| sh_coefficients(*degree) == coefficients);
    let degree =
        degree.with_context(|| format!("the scene {name} of {path} has {coefficients} colour coefficients"))?;
    let each = 4 * (11 + 3 * coefficients as u64 + channels as u64);
    ask_for_memory("opening the scene", 2 * each.saturating_mul(count as u64))?;
    let numbers = |what: &str, shape: &[usize]| -> anyhow::Result<Vec<f32>> {
        let tensor = weights.tensor(&format!("{name}/{what}"), Some(shape), DType::F32, &Device::Cpu)?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    };
    let positions = numbers("means3D", &[count, 3])?;
    let scales = numbers("scales", &[count, 3])?;
    let rotations = numbers("rotations", &[count, 4])?;
    let opacities = numbers("opacity", &[count, 1])?;
    let parts = Parts {
        positions: positions.as_chunks().0.to_vec(),
        log_scales: scales.as_chunks::<3>().0.iter().map(|scale| scale.map(f32::ln)).collect(),
        rotations: rotations.as_chunks().0.to_vec(),
        opacity_logits: opacities.into_iter().map(|opacity| logit(opacity.clamp(0.0, 1.0))).collect(),
        sh_degree: degree,
        sh: numbers("shs", &[count, coefficients, 3])?,
        features: Some(Features::named("sem", channels, numbers("sem", &[count, channels])?)),
        antialiased: false,
    };
    let (gaussians, _) = Gaussians::sound(parts).map_err(in_job_terms)?;
    let decoder = facts("feat_cnn/0.weight")?.shape;
    let width = decoder.first().copied().unwrap_or(0);
    let decoder = Decoder::new(channels, width, numbers("feat_cnn/0.weight", &[width, channels, 3, 3])?);
    Ok((gaussians, decoder.map_err(in_job_terms)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::packs::weights::WeightOptions;
    use crate::packs::{PackError, convert};

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/pickles/fit3d_scenes.pth")
    }

    #[test]
    fn scenes_of_a_pack_are_found_by_name_with_their_decoder() {
        let cache = tempfile::tempdir().unwrap();
        let converted = |path: &Path| -> Result<Weights, PackError> {
            let file = convert::converted(path, cache.path(), &|_, _| std::ops::ControlFlow::Continue(()))?;
            Weights::open_file(&file, &WeightOptions::default())
        };
        let weights = converted(&fixture()).unwrap();
        let (scene, decoder) = open(&fixture(), &weights, Some("0a7cc12c0e")).unwrap();
        assert_eq!((scene.len(), scene.sh_degree(), scene.features().unwrap().dim), (5, 3, 64));
        assert_eq!((decoder.inner, decoder.width), (64, 12));
        // Activated in the pack: 0.1 + 0.2 i is Gaussian i's opacity.
        assert!((scene.opacity(2) - 0.5).abs() < 1e-6);
        let fault = |scene| open(&fixture(), &weights, scene).unwrap_err().to_string();
        assert!(fault(None).contains("say which scene"), "{}", fault(None));
        assert!(fault(Some("x")).contains("has no scene \"x\"; it holds 2 scenes, such as 0a7cc12c0e, 0b031f3119"));
        let split = parts_of(Path::new("/a/pack.pth::0a7cc12c0e")).unwrap();
        assert_eq!(split, (PathBuf::from("/a/pack.pth"), "0a7cc12c0e".to_owned()));
        assert!(parts_of(Path::new("/a/scene.ply")).is_none());
        let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/pickles/good.bin");
        assert!(open(&other, &converted(&other).unwrap(), None).unwrap_err().to_string().contains("no pack of scenes"));
    }
}
