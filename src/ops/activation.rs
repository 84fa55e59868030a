//! The activation functions between a network's layers, and GEGLU, the gated one of diffusion transformers.
//!
//! `gelu` comes in two forms that differ by up to 5e-4: the exact one with erf (diffusers' GEGLU, ViT) and the
//! tanh approximation. Which one a network wants is its config's business; see spec of the network.

use candle_core::{D, Result, Tensor};

use super::cpu::vector::{Function, GeluErf, GeluTanh, QuickGelu, Silu};
use super::cpu::{arch, elementwise};
use super::kernel::{over1, takes};

/// Our kernel for `function`, where it can run.
fn on_cpu(x: &Tensor, function: impl Function + Send + Sync) -> Option<Result<Tensor>> {
    takes(x).then(|| {
        over1("activation", &x.contiguous()?, |x| {
            let mut out = vec![0.0; x.layout.shape().elem_count()];
            elementwise::activate(arch(), function, x.contiguous()?, &mut out);
            Ok((out, x.layout.shape().clone()))
        })
    })
}

/// max(x, 0), any shape.
///
/// # Errors
/// Only what the device reports.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.relu()
}

/// 1 / (1 + e⁻ˣ), any shape.
///
/// # Errors
/// Only what the device reports.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::sigmoid(x)
}

/// x · sigmoid(x), any shape.
///
/// # Errors
/// Only what the device reports.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    on_cpu(x, Silu).unwrap_or_else(|| x.silu())
}

/// The exact gelu, x · Φ(x) with Φ the normal distribution function, any shape.
///
/// # Errors
/// Only what the device reports.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    on_cpu(x, GeluErf).unwrap_or_else(|| x.gelu_erf())
}

/// The tanh approximation of gelu, any shape.
///
/// # Errors
/// Only what the device reports.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    on_cpu(x, GeluTanh).unwrap_or_else(|| x.gelu())
}

/// x · sigmoid(1.702 x), the activation of OpenAI's CLIP, any shape.
///
/// # Errors
/// Only what the device reports.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    if let Some(made) = on_cpu(x, QuickGelu) {
        return made;
    }
    // sigmoid(1.702 x) · x = silu(1.702 x) / 1.702
    x.affine(1.702, 0.0)?.silu()?.affine(1.0 / 1.702, 0.0)
}

/// The gated gelu of diffusers' feed-forward layers: the last dimension 2d is split into a value and a gate, the
/// result `[…, d]` is value · gelu(gate) with the exact gelu.
///
/// # Errors
/// When the last dimension is odd.
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    if width % 2 != 0 {
        candle_core::bail!("geglu needs an even last dimension, got {:?}", x.shape());
    }
    if takes(x) {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = width / 2;
        }
        return over1("geglu", &x.contiguous()?, |x| {
            let mut out = vec![0.0; x.layout.shape().elem_count() / 2];
            elementwise::geglu(arch(), x.contiguous()?, width / 2, &mut out);
            Ok((out, shape.clone().into()))
        });
    }
    let value = x.narrow(D::Minus1, 0, width / 2)?;
    let gate = x.narrow(D::Minus1, width / 2, width / 2)?;
    value * gate.contiguous()?.gelu_erf()?
}
