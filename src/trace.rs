//! The intermediate tensors of a run, for comparison with other implementations (names: design.md section 4).

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

/// Collects tensors by name; collects nothing unless asked to.
#[derive(Debug, Default)]
pub struct Trace {
    tensors: Option<HashMap<String, Tensor>>,
}

impl Trace {
    /// A trace that keeps what it is given.
    #[must_use]
    pub fn collecting() -> Self {
        Self { tensors: Some(HashMap::new()) }
    }

    /// Whether tensors are kept; lets the caller skip making them.
    #[must_use]
    pub fn is_collecting(&self) -> bool {
        self.tensors.is_some()
    }

    /// Keeps a tensor, in f32 on the CPU.
    ///
    /// # Errors
    /// If it cannot be brought to the CPU.
    pub fn tensor(&mut self, name: impl Into<String>, tensor: &Tensor) -> candle_core::Result<()> {
        if let Some(tensors) = &mut self.tensors {
            let kept = tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
            tensors.insert(name.into(), kept);
        }
        Ok(())
    }

    /// Keeps numbers as a tensor of that shape.
    ///
    /// # Errors
    /// If the shape does not fit the numbers.
    pub fn numbers(&mut self, name: impl Into<String>, numbers: Vec<f32>, shape: &[usize]) -> candle_core::Result<()> {
        if let Some(tensors) = &mut self.tensors {
            tensors.insert(name.into(), Tensor::from_vec(numbers, shape, &Device::Cpu)?);
        }
        Ok(())
    }

    /// The tensors kept so far.
    #[must_use]
    pub fn tensors(&self) -> Option<&HashMap<String, Tensor>> {
        self.tensors.as_ref()
    }

    /// Writes what was kept as safetensors, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        use anyhow::Context;
        let Some(tensors) = &self.tensors else { return Ok(()) };
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let bytes = safetensors::serialize(named, None).context("packing the trace")?;
        crate::picture::atomic::write(path, |file| std::io::Write::write_all(file, &bytes))
            .with_context(|| format!("writing the trace to {}", path.display()))
    }
}
