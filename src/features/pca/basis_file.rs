//! A basis kept as a safetensors file: `mean` `[dim]`, `components` `[count, dim]`, `variances`
//! `[count + 1]` with the total last; the header names the model and the number of patches.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device};
use safetensors::tensor::TensorView;

use super::Basis;
use crate::features::FeatureError;
use crate::packs::PackError;
use crate::packs::weights::{WeightOptions, Weights};
use crate::picture::atomic;

impl Basis {
    /// Writes the basis, whole or not at all. `model` says what the features came from, for those who read the header.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, model: &str) -> std::io::Result<()> {
        let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
        let mut variances: Vec<f32> = self.variances.iter().map(|value| *value as f32).collect();
        variances.push(self.total_variance as f32);
        let tensors = [
            ("mean", vec![self.dim], bytes(&self.mean)),
            ("components", vec![self.count(), self.dim], bytes(&self.components)),
            ("variances", vec![self.count() + 1], bytes(&variances)),
        ];
        let mut views = Vec::with_capacity(tensors.len());
        for (name, shape, bytes) in &tensors {
            let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
            views.push((*name, view.map_err(std::io::Error::other)?));
        }
        let header = HashMap::from([
            ("format".to_owned(), "glassbox-pca-basis".to_owned()),
            ("model".to_owned(), model.to_owned()),
            ("patches".to_owned(), self.patches.to_string()),
        ]);
        let packed = safetensors::serialize(views, Some(header)).map_err(std::io::Error::other)?;
        atomic::write(path, |out| out.write_all(&packed))
    }

    /// Reads a basis.
    ///
    /// # Errors
    /// [`FeatureError::Basis`] in one sentence, or what opening brings.
    pub fn load(path: &Path) -> Result<Self, FeatureError> {
        let weights = Weights::open_file(path, &WeightOptions { read_instead_of_map: true })?;
        let fault = |detail: &str| FeatureError::Basis { path: path.display().to_string(), detail: detail.into() };
        let shape = |name: &str| weights.facts(name).map(|facts| facts.shape);
        let (Some(mean), Some(components), Some(variances)) = (shape("mean"), shape("components"), shape("variances"))
        else {
            return Err(fault("the tensors mean, components and variances are not all there"));
        };
        let ([dim], [count, width], [values]) = (mean.as_slice(), components.as_slice(), variances.as_slice()) else {
            return Err(fault("its tensors have other shapes than a basis has"));
        };
        if dim != width || *values != count + 1 || *count == 0 || *dim == 0 {
            return Err(fault("the shapes of its tensors do not fit each other"));
        }
        let read = |name: &str| -> Result<Vec<f32>, FeatureError> {
            let tensor = weights.tensor(name, None, DType::F32, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            if tensor.iter().all(|value| value.is_finite()) { Ok(tensor) } else { Err(fault("it holds no numbers")) }
        };
        let mut variances: Vec<f64> = read("variances")?.into_iter().map(f64::from).collect();
        let total_variance = variances.pop().unwrap_or_default();
        if total_variance <= 0.0 {
            return Err(fault("its total variance is not above 0"));
        }
        Ok(Self {
            dim: *dim,
            mean: read("mean")?,
            components: read("components")?,
            variances,
            total_variance,
            patches: patches(path)?,
        })
    }
}

/// The number of patches in the header; 0 where it is not told.
fn patches(path: &Path) -> Result<usize, FeatureError> {
    let bytes = std::fs::read(path).map_err(PackError::io(path, "read"))?;
    let told = safetensors::SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(|(_, header)| header.metadata().as_ref().and_then(|header| header.get("patches")?.parse().ok()));
    Ok(told.unwrap_or(0))
}
