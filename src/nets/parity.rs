//! What the parity tests share: fixtures made by `tests/reference/*.py`, and how far two tensors are apart.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::de::DeserializeOwned;

/// A fixture: weights of a small random model, inputs, and what the reference made of them.
pub(crate) struct Fixture {
    tensors: HashMap<String, Tensor>,
    config: String,
}

impl Fixture {
    /// `tests/parity/fixtures/NAME.safetensors`.
    pub(crate) fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/parity/fixtures/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let config = header.metadata().as_ref().and_then(|metadata| metadata.get("config")).cloned();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        Self { tensors, config: config.unwrap_or_else(|| "{}".to_owned()) }
    }

    /// The model's `config.json`.
    pub(crate) fn config<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.config).unwrap()
    }

    /// The weights under their published names.
    pub(crate) fn weights(&self) -> VarBuilder<'static> {
        let weights = self
            .tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("weights/")?.to_owned(), tensor.clone())));
        VarBuilder::from_tensors(weights.collect(), DType::F32, &Device::Cpu)
    }

    pub(crate) fn input(&self, name: &str) -> Tensor {
        self.tensors[&format!("in/{name}")].clone()
    }

    pub(crate) fn output(&self, name: &str) -> Tensor {
        self.tensors[&format!("out/{name}")].clone()
    }
}

/// |a − b| / |b|, in f64.
pub(crate) fn relative_l2(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let flat = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (a, b) = (flat(a), flat(b));
    let difference = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    (difference / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}
