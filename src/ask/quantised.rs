//! The decoder's matrices in blocks of few bits: made when a model is first opened so, and kept in the program's cache
//! folder, so that the next time they are only read.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use sha2::{Digest, Sha256};

use super::model::WeightBits;
use crate::nets::llama::weights::DecoderWeights;
use crate::nets::llava::{Llava, LlavaConfig};
use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;
use crate::packs::convert::cache_folder;
use crate::packs::gguf::GgufFile;
use crate::packs::llava::LlavaFolder;
use crate::picture::atomic;

/// What is kept of a model's matrices.
pub(super) struct Kept {
    bits: WeightBits,
    path: Option<PathBuf>,
    file: Option<GgufFile>,
    used: RefCell<Used>,
}

/// What a network was built from.
#[derive(Default)]
struct Used {
    /// Every matrix that was handed out, by its name.
    matrices: Vec<(String, Arc<QTensor>)>,
    /// Whether one of them had to be made.
    made: bool,
}

impl Kept {
    /// What is kept for the model in `folder`; nothing the first time, or where no cache folder can be used.
    pub(super) fn open(folder: &LlavaFolder, bits: WeightBits) -> Self {
        let path = cache_folder().ok().map(|cache| cache.join(format!("decoder-{}.gguf", key(folder, bits))));
        let file = path.as_ref().filter(|path| path.is_file()).and_then(|path| GgufFile::open(path).ok());
        Self { bits, path, file, used: RefCell::default() }
    }

    /// Builds the network, and keeps the matrices if any of them was made anew.
    pub(super) fn load(&self, config: &LlavaConfig, weights: &VarBuilder<'static>) -> Result<Llava> {
        let model = Llava::load_with(config, weights, &|plain| Blocks { plain, kept: self })?;
        let used = self.used.borrow();
        if used.made {
            // The model is there; that it cannot be kept costs time only.
            if let Err(error) = self.write(&used.matrices) {
                tracing::warn!("the quantised weights were not kept: {error}");
            }
        }
        Ok(model)
    }

    fn write(&self, matrices: &[(String, Arc<QTensor>)]) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let named = matrices.iter().map(|(name, tensor)| (name.as_str(), tensor.as_ref())).collect::<Vec<_>>();
        atomic::write(path, |file| gguf_file::write(file, &[], &named))
    }

    fn matrix(&self, name: &str, shape: (usize, usize), block: GgmlDType, plain: &VarBuilder<'_>) -> Result<QTensor> {
        let device = plain.device();
        let kept = self.file.as_ref().filter(|file| file.tensor(name).is_some_and(|there| there.dtype == block));
        if let Some(tensor) = kept.and_then(|file| file.read(name, &[shape.0, shape.1], device).ok()) {
            return Ok(tensor);
        }
        self.used.borrow_mut().made = true;
        let weight = plain.get(shape, "weight")?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        if device.is_cpu() { QTensor::quantize(&weight, block) } else { QTensor::quantize_onto(&weight, block, device) }
    }
}

/// Which model, by the place, size and time of change of its files, in which blocks.
fn key(folder: &LlavaFolder, bits: WeightBits) -> String {
    let mut hash = Sha256::new();
    for file in folder.weights.files() {
        hash.update(file.as_os_str().as_encoded_bytes());
        if let Ok(facts) = std::fs::metadata(file) {
            hash.update(facts.len().to_le_bytes());
            let changed = facts.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            hash.update(changed.unwrap_or_default().as_nanos().to_le_bytes());
        }
    }
    hash.update(format!("{bits:?}"));
    hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes layers with quantised matrices; tables and norms stay as they are.
struct Blocks<'a> {
    plain: VarBuilder<'static>,
    kept: &'a Kept,
}

impl DecoderWeights for Blocks<'_> {
    fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        // What chooses the words is kept finer.
        let bits = if name == "lm_head" { WeightBits::Eight } else { self.kept.bits };
        let Some(block) = bits.block(inputs) else { return self.plain.linear(name, inputs, outputs, bias) };
        let layer = self.plain.pp(name);
        let weight = Arc::new(self.kept.matrix(name, (outputs, inputs), block, &layer)?);
        self.kept.used.borrow_mut().matrices.push((name.to_owned(), Arc::clone(&weight)));
        let bias = if bias { Some(layer.get(outputs, "bias")?) } else { None };
        Linear::quantised(weight, bias)
    }

    fn norm(&self, name: &str, width: usize) -> Result<Tensor> {
        self.plain.norm(name, width)
    }

    fn embedding(&self, name: &str, count: usize, width: usize) -> Result<Embedding> {
        self.plain.embedding(name, count, width)
    }
}
