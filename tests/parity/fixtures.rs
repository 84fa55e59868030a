//! Reads fixtures and measures how far a result is from one.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

/// A file or folder below `tests/parity/fixtures`.
pub(crate) fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures").join(relative)
}

/// The tensors of a safetensors fixture.
pub(crate) fn tensors(relative: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path(relative), &Device::Cpu).expect("a readable fixture")
}

/// A JSON fixture.
pub(crate) fn json(relative: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(relative)).expect("a fixture")).expect("JSON")
}

/// A tensor's values, row-major.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1()).expect("values")
}

/// ‖found − wanted‖ / ‖wanted‖.
pub(crate) fn relative_l2(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len(), "lengths differ");
    let square = |x: f64| x * x;
    let distance: f64 = found.iter().zip(wanted).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let norm: f64 = wanted.iter().map(|b| square(f64::from(*b))).sum();
    (distance / norm.max(1e-30)).sqrt()
}

/// The names of the folders below a fixture folder, sorted.
pub(crate) fn folders(relative: &str) -> Vec<String> {
    let entries = std::fs::read_dir(path(relative)).expect("a fixture folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
