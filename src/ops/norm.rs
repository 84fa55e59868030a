//! Normalisations: over groups of channels, over the last dimension, and by root mean square.
//!
//! All three compute in f32 whatever the dtype of their input.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::activation;
use super::cpu::{arch, norm};
use super::kernel::{over2, over3, takes};

/// Normalises each group of channels of each picture to mean 0 and variance 1, then scales and shifts per channel.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// Reads `weight` and `bias` `[channels]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or `groups` does not divide `channels`.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, groups: usize, channels: usize, eps: f64) -> Result<Self> {
        Self::new(vb.get(channels, "weight")?, vb.get(channels, "bias")?, groups, eps)
    }

    /// A norm from its tensors, both `[channels]`.
    ///
    /// # Errors
    /// When `groups` does not divide the channels, or the tensors differ in shape.
    pub fn new(weight: Tensor, bias: Tensor, groups: usize, eps: f64) -> Result<Self> {
        let channels = weight.dims1()?;
        if groups == 0 || channels % groups != 0 || bias.dims() != [channels] {
            candle_core::bail!(
                "a group norm of {channels} channels cannot have {groups} groups and a bias of shape {:?}",
                bias.shape()
            );
        }
        Ok(Self { weight, bias, groups, eps })
    }

    /// `[batch, channels, …]` to the same shape.
    ///
    /// # Errors
    /// When the second dimension is not the norm's channels.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    /// The same with SiLU after it, in one go.
    ///
    /// # Errors
    /// When the second dimension is not the norm's channels.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    fn apply(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let channels = self.weight.dims1()?;
        if x.rank() < 2 || x.dim(1)? != channels {
            candle_core::bail!("a group norm of {channels} channels cannot take {:?}", x.shape());
        }
        if !takes(x) || !takes(&self.weight) {
            return self.reference(x, silu);
        }
        over3("group norm", [&x.contiguous()?, &self.weight, &self.bias], |[x, weight, bias]| {
            let shape = x.layout.shape();
            let plane = shape.dims()[2..].iter().product();
            let mut out = vec![0.0; shape.elem_count()];
            let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
            let sizes = (channels, plane);
            norm::group_norm(arch(), x.contiguous()?, sizes, self.groups, weight, bias, self.eps, silu, &mut out);
            Ok((out, shape.clone()))
        })
    }

    fn reference(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let (batch, channels) = (x.dim(0)?, x.dim(1)?);
        let grouped = x.contiguous()?.to_dtype(DType::F32)?.reshape((batch, self.groups, ()))?;
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        let weight = self.weight.to_dtype(DType::F32)?.reshape((1, channels, 1))?;
        let bias = self.bias.to_dtype(DType::F32)?.reshape((1, channels, 1))?;
        let y = centred
            .broadcast_div(&deviation)?
            .reshape((batch, channels, ()))?
            .broadcast_mul(&weight)?
            .broadcast_add(&bias)?
            .reshape(x.dims())?;
        let y = if silu { activation::silu(&y)? } else { y };
        y.to_dtype(x.dtype())
    }
}

/// Normalises the last dimension to mean 0 and variance 1, then scales and shifts.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias` `[dim]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, dim: usize, eps: f64) -> Result<Self> {
        Self::new(vb.get(dim, "weight")?, vb.get(dim, "bias")?, eps)
    }

    /// A norm from its tensors, both `[dim]`.
    ///
    /// # Errors
    /// When the tensors differ in shape.
    pub fn new(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        let dim = weight.dims1()?;
        if bias.dims() != [dim] {
            candle_core::bail!("a layer norm of width {dim} cannot have a bias of shape {:?}", bias.shape());
        }
        Ok(Self { weight, bias, eps })
    }

    /// `[…, dim]` to the same shape.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dim = self.weight.dims1()?;
        if x.dim(D::Minus1)? != dim {
            candle_core::bail!("a layer norm of width {dim} cannot take {:?}", x.shape());
        }
        if !takes(x) || !takes(&self.weight) {
            return self.reference(x);
        }
        over3("layer norm", [&x.contiguous()?, &self.weight, &self.bias], |[x, weight, bias]| {
            let mut out = vec![0.0; x.layout.shape().elem_count()];
            norm::layer_norm(arch(), x.contiguous()?, weight.contiguous()?, bias.contiguous()?, self.eps, &mut out);
            Ok((out, x.layout.shape().clone()))
        })
    }

    fn reference(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.to_dtype(DType::F32)?;
        let centred = rows.broadcast_sub(&rows.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        centred
            .broadcast_div(&deviation)?
            .broadcast_mul(&self.weight.to_dtype(DType::F32)?)?
            .broadcast_add(&self.bias.to_dtype(DType::F32)?)?
            .to_dtype(x.dtype())
    }
}

/// Divides the last dimension by its root mean square, then scales (Llama and its relatives).
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Reads `weight` `[dim]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, dim: usize, eps: f64) -> Result<Self> {
        Self::new(vb.get(dim, "weight")?, eps)
    }

    /// A norm from its tensor `[dim]`.
    ///
    /// # Errors
    /// When the tensor has another rank.
    pub fn new(weight: Tensor, eps: f64) -> Result<Self> {
        weight.dims1()?;
        Ok(Self { weight, eps })
    }

    /// `[…, dim]` to the same shape.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dim = self.weight.dims1()?;
        if x.dim(D::Minus1)? != dim {
            candle_core::bail!("an rms norm of width {dim} cannot take {:?}", x.shape());
        }
        if !takes(x) || !takes(&self.weight) {
            return self.reference(x);
        }
        over2("rms norm", [&x.contiguous()?, &self.weight], |[x, weight]| {
            let mut out = vec![0.0; x.layout.shape().elem_count()];
            norm::rms_norm(arch(), x.contiguous()?, weight.contiguous()?, self.eps, &mut out);
            Ok((out, x.layout.shape().clone()))
        })
    }

    fn reference(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.to_dtype(DType::F32)?;
        let size = (rows.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        rows.broadcast_div(&size)?.broadcast_mul(&self.weight.to_dtype(DType::F32)?)?.to_dtype(x.dtype())
    }
}
