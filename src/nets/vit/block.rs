//! One transformer block: attention and feed-forward, each behind a layer norm, added to the stream.

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::config::{Feedforward, LayerScale, Projections, VitConfig};
use super::positions::Angles;
use crate::nets::config::Activation;
use crate::ops::activation::silu;
use crate::ops::attention::attention;
use crate::ops::linear::Linear;
use crate::ops::norm::LayerNorm;
use crate::ops::rotary::rotate;
use crate::ops::sum::add;

/// The two forms of feed-forward layers.
#[derive(Clone, Debug)]
enum Inner {
    /// The activation between two layers.
    Plain(Linear, Activation),
    /// SwiGLU: one layer gives gate and value side by side.
    Gated(Linear),
}

/// A pre-norm transformer block. Layer scales are folded into the layers they follow.
#[derive(Clone, Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm2: LayerNorm,
    inner: Inner,
    last: Linear,
    heads: usize,
}

impl Block {
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub(super) fn load(config: &VitConfig, vb: VarBuilder) -> Result<Self> {
        let (width, eps) = (config.width, config.eps);
        let scales = match config.layer_scale {
            LayerScale::None => [None, None],
            LayerScale::Modules => [Some(vb.get(width, "ls1.gamma")?), Some(vb.get(width, "ls2.gamma")?)],
            LayerScale::Parameters => [Some(vb.get(width, "gamma_1")?), Some(vb.get(width, "gamma_2")?)],
        };
        let attn = vb.pp("attn");
        let mlp = vb.pp("mlp");
        Ok(Self {
            norm1: LayerNorm::load(vb.pp("norm1"), width, eps)?,
            qkv: projections(config, &attn)?,
            out: scaled(&attn.pp("proj"), width, width, scales[0].as_ref())?,
            norm2: LayerNorm::load(vb.pp("norm2"), width, eps)?,
            inner: match config.feedforward {
                Feedforward::Plain => {
                    Inner::Plain(Linear::load(mlp.pp("fc1"), width, config.inner, true)?, config.activation)
                }
                Feedforward::PackedGate => Inner::Gated(Linear::load(mlp.pp("fc1"), width, 2 * config.inner, true)?),
                Feedforward::SplitGate => {
                    let part = |name: &str| -> Result<(Tensor, Tensor)> {
                        let vb = mlp.pp(name);
                        Ok((vb.get((config.inner, width), "weight")?, vb.get(config.inner, "bias")?))
                    };
                    let (gate, value) = (part("fc1_g")?, part("fc1_x")?);
                    Inner::Gated(Linear::new(
                        Tensor::cat(&[gate.0, value.0], 0)?,
                        Some(Tensor::cat(&[gate.1, value.1], 0)?),
                    )?)
                }
            },
            last: scaled(&mlp.pp("fc2"), config.inner, width, scales[1].as_ref())?,
            heads: config.heads,
        })
    }

    /// `[batch, n, width]` to the same shape.
    pub(super) fn forward(&self, x: &Tensor, angles: Option<&Angles>) -> Result<Tensor> {
        let x = add(x, &self.attend(&self.norm1.forward(x)?, angles)?)?;
        let inner = match &self.inner {
            Inner::Plain(first, activation) => activation.apply(&first.forward(&self.norm2.forward(&x)?)?)?,
            Inner::Gated(first) => {
                let both = first.forward(&self.norm2.forward(&x)?)?;
                let inner = both.dim(2)? / 2;
                (silu(&both.narrow(2, 0, inner)?.contiguous()?)? * both.narrow(2, inner, inner)?)?
            }
        };
        add(&x, &self.last.forward(&inner)?)
    }

    fn attend(&self, x: &Tensor, angles: Option<&Angles>) -> Result<Tensor> {
        let (batch, n, width) = x.dims3()?;
        let head = width / self.heads;
        // Views, no copies: attention takes its operands as they lie.
        let qkv = self.qkv.forward(x)?.reshape((batch, n, 3, self.heads, head))?;
        let split = |index: usize| qkv.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2);
        let (q, k, v) = (split(0)?, split(1)?, split(2)?);
        let (q, k) = match angles {
            Some(Angles { cos, sin }) => (rotate(&q, cos, sin)?, rotate(&k, cos, sin)?),
            None => (q, k),
        };
        let y = attention(&q, &k, &v, 1.0 / (head as f64).sqrt(), None)?;
        self.out.forward(&y.transpose(1, 2)?.reshape((batch, n, width))?)
    }
}

/// Queries, keys and values as one layer, from whichever of the layouts the checkpoint has.
fn projections(config: &VitConfig, vb: &VarBuilder) -> Result<Linear> {
    let width = config.width;
    let biases = |q: Option<Tensor>, k: Option<Tensor>, v: Option<Tensor>| -> Result<Option<Tensor>> {
        if q.is_none() && k.is_none() && v.is_none() {
            return Ok(None);
        }
        let or_zero = |bias: Option<Tensor>| bias.map_or_else(|| Tensor::zeros(width, vb.dtype(), vb.device()), Ok);
        Ok(Some(Tensor::cat(&[or_zero(q)?, or_zero(k)?, or_zero(v)?], 0)?))
    };
    match config.projections {
        Projections::Fused { bias, masked: false } => Linear::load(vb.pp("qkv"), width, 3 * width, bias),
        Projections::Fused { .. } => {
            let (bias, mask) = (vb.get(3 * width, "qkv.bias")?, vb.get(3 * width, "qkv.bias_mask")?);
            Linear::new(vb.get((3 * width, width), "qkv.weight")?, Some((bias * mask)?))
        }
        Projections::FusedNoKeyBias => {
            let (q, v) = (vb.get(width, "q_bias")?, vb.get(width, "v_bias")?);
            Linear::new(vb.get((3 * width, width), "qkv.weight")?, biases(Some(q), None, Some(v))?)
        }
        Projections::Split { q, k, v } => {
            let weight = |name: &str| vb.get((width, width), &format!("{name}.weight"));
            let bias = |there: bool, name: &str| -> Result<Option<Tensor>> {
                if there { Ok(Some(vb.get(width, &format!("{name}.bias"))?)) } else { Ok(None) }
            };
            Linear::new(
                Tensor::cat(&[weight("q_proj")?, weight("k_proj")?, weight("v_proj")?], 0)?,
                biases(bias(q, "q_proj")?, bias(k, "k_proj")?, bias(v, "v_proj")?)?,
            )
        }
    }
}

/// A layer followed by a layer scale, as one layer: γ ⊙ (W x + b) = (γ ⊙ W) x + γ ⊙ b.
fn scaled(vb: &VarBuilder, inputs: usize, outputs: usize, scale: Option<&Tensor>) -> Result<Linear> {
    let (weight, bias) = (vb.get((outputs, inputs), "weight")?, vb.get(outputs, "bias")?);
    let Some(scale) = scale else { return Linear::new(weight, Some(bias)) };
    let dtype = weight.dtype();
    let scale = scale.to_dtype(DType::F32)?;
    let weight = weight.to_dtype(DType::F32)?.broadcast_mul(&scale.reshape((outputs, 1))?)?.to_dtype(dtype)?;
    let bias = (bias.to_dtype(DType::F32)? * scale)?.to_dtype(dtype)?;
    Linear::new(weight, Some(bias))
}
