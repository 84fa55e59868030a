//! Where a decoder's layers come from: safetensors through a `VarBuilder`, or anything else that can make them under
//! the same names (a GGUF file).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::ops::embedding::Embedding;
use crate::ops::linear::Linear;

/// Makes layers by the names that published checkpoints have: `embed_tokens`, `layers.N.self_attn.q_proj`, `norm`,
/// `lm_head` and so on, each with `.weight` (and `.bias`) behind it.
pub trait DecoderWeights {
    /// A layer `[…, inputs]` to `[…, outputs]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear>;

    /// The weights of a norm, `[width]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    fn norm(&self, name: &str, width: usize) -> Result<Tensor>;

    /// A table of `count` vectors of `width` numbers.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    fn embedding(&self, name: &str, count: usize, width: usize) -> Result<Embedding>;
}

impl DecoderWeights for VarBuilder<'_> {
    fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        Linear::load(self.pp(name), inputs, outputs, bias)
    }

    fn norm(&self, name: &str, width: usize) -> Result<Tensor> {
        self.pp(name).get(width, "weight")
    }

    fn embedding(&self, name: &str, count: usize, width: usize) -> Result<Embedding> {
        Embedding::load(self.pp(name), count, width)
    }
}
