//! Features in a file beside a scene: safetensors with `features` [n, N] in f32, f16 or bf16, and `confidence` [n].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::picture::atomic;
use crate::splats::SplatError;
use crate::splats::gaussians::Features;

/// Where the features of a scene lie: `garden.features.safetensors` beside `garden.ply`, `garden.compressed.ply` or
/// `garden.spz`.
#[must_use]
pub fn side_file(scene: &Path) -> PathBuf {
    let stem = scene.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix(".compressed").unwrap_or(&stem);
    scene.with_file_name(format!("{stem}.features.safetensors"))
}

/// The features of a scene of `count` Gaussians.
pub(super) fn read(path: &Path, count: usize, available: Option<u64>) -> Result<Features, SplatError> {
    let name = || path.display().to_string();
    let fault = |fault: String| SplatError::File { path: name(), fault };
    let unreadable = |source| SplatError::Io { path: name(), doing: "read", source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    // The file, and twice as much for its halves as singles.
    let needed = length.saturating_mul(3);
    if let Some(available) = available.filter(|available| needed > *available) {
        return Err(SplatError::OutOfMemory { what: format!("opening {}", name()), needed, available });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)
        .map_err(|error| fault(format!("is no safetensors file that can be read ({error})")))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| fault(format!("is no safetensors file that can be read ({error})")))?;
    let Ok(features) = tensors.tensor("features") else {
        return Err(fault("holds no tensor named \"features\"".to_owned()));
    };
    let [rows, dim] = features.shape() else {
        return Err(fault(format!(
            "holds features of the shape {:?}, and [Gaussians, channels] is needed",
            features.shape()
        )));
    };
    if *rows != count || *dim == 0 {
        return Err(fault(format!(
            "holds {dim} features for each of {rows} Gaussians, and the scene has {count} Gaussians"
        )));
    }
    let values =
        numbers(&features).ok_or_else(|| fault("holds features that are neither f32, f16 nor bf16".to_owned()))?;
    let confidence = match tensors.tensor("confidence") {
        Ok(tensor) if tensor.shape() == [count] => numbers(&tensor).unwrap_or_default(),
        _ => Vec::new(),
    };
    let model = header.metadata().as_ref().and_then(|data| data.get("model")).cloned();
    Ok(Features { confidence, model, ..Features::named("feature", *dim, values) })
}

pub(super) fn numbers(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    Some(match tensor.dtype() {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks::<2>().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => return None,
    })
}

/// Writes the features of `count` Gaussians in f16, whole or not at all.
///
/// # Errors
/// [`SplatError::Io`] if the file cannot be written.
pub fn save(path: &Path, features: &Features, count: usize) -> Result<(), SplatError> {
    let failed = |source| SplatError::Io { path: path.display().to_string(), doing: "written", source };
    let other = |error: safetensors::SafeTensorError| failed(std::io::Error::other(error.to_string()));
    let halves = |values: &[f32]| -> Vec<u8> {
        // What is beyond f16 stays the largest f16: features are compared, not added up.
        let half = |value: &f32| f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
        values.iter().flat_map(|value| half(value).to_le_bytes()).collect()
    };
    let values = halves(&features.values);
    let confidence: Vec<u8> = features.confidence.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut tensors =
        vec![("features", TensorView::new(Dtype::F16, vec![count, features.dim], &values).map_err(other)?)];
    if !features.confidence.is_empty() {
        tensors.push(("confidence", TensorView::new(Dtype::F32, vec![count], &confidence).map_err(other)?));
    }
    let model = features.model.clone().map(|model| HashMap::from([("model".to_owned(), model)]));
    let bytes = safetensors::serialize(tensors, model).map_err(other)?;
    atomic::write(path, |out| std::io::Write::write_all(out, &bytes)).map_err(failed)
}
