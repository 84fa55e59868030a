//! Fully connected layers.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;

/// y = x Wᵀ + b over the last dimension.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight` `[outputs, inputs]` and, where `bias` says so, `bias` `[outputs]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = vb.get((outputs, inputs), "weight")?;
        let bias = if bias { Some(vb.get(outputs, "bias")?) } else { None };
        Self::new(weight, bias)
    }

    /// A layer from its tensors: `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (outputs, _) = weight.dims2()?;
        if let Some(bias) = &bias
            && bias.dims() != [outputs]
        {
            candle_core::bail!("a layer of {outputs} outputs cannot take a bias of shape {:?}", bias.shape());
        }
        Ok(Self { weight, bias })
    }

    /// `[…, inputs]` to `[…, outputs]`.
    ///
    /// # Errors
    /// When the last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs) = self.weight.dims2()?;
        if x.dim(D::Minus1)? != inputs {
            candle_core::bail!("a layer of {inputs} inputs cannot take {:?}", x.shape());
        }
        let mut shape = x.dims().to_vec();
        let rows = x.elem_count() / inputs;
        let y = x.contiguous()?.reshape((rows, inputs))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        let last = shape.len() - 1;
        shape[last] = outputs;
        y.reshape(shape)
    }
}
