//! The activation functions between a network's layers, and GEGLU, the gated one of diffusion transformers.
//!
//! `gelu` comes in two forms that differ by up to 5e-4: the exact one with erf (diffusers' GEGLU, ViT) and the
//! tanh approximation. Which one a network wants is its config's business; see spec of the network.

use candle_core::{D, Result, Tensor};

/// x · sigmoid(x), any shape.
///
/// # Errors
/// Only what the device reports.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x.silu()
}

/// The exact gelu, x · Φ(x) with Φ the normal distribution function, any shape.
///
/// # Errors
/// Only what the device reports.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

/// The tanh approximation of gelu, any shape.
///
/// # Errors
/// Only what the device reports.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    x.gelu()
}

/// x · sigmoid(1.702 x), the activation of OpenAI's CLIP, any shape.
///
/// # Errors
/// Only what the device reports.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
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
    let value = x.narrow(D::Minus1, 0, width / 2)?;
    let gate = x.narrow(D::Minus1, width / 2, width / 2)?;
    value * gate.contiguous()?.gelu_erf()?
}
