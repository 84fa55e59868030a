//! The transformer inside a UNet level: the plane as a sequence of positions, self-attention, cross-attention to the
//! text, and a gated feed-forward layer.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::watcher::Watcher;
use crate::ops::activation::geglu;
use crate::ops::attention::attention;
use crate::ops::linear::Linear;
use crate::ops::norm::{GroupNorm, LayerNorm};
use crate::ops::softmax::softmax_last;
use crate::ops::sum::add;
use crate::ops::transpose::transposed;

/// The most memory that the hidden layer of one feed-forward pass may take, in bytes; more rows go one after another.
const HIDDEN_BYTES: usize = 128 << 20;

/// What decides a transformer's shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransformerStyle {
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) depth: usize,
    pub(super) text_width: usize,
    pub(super) groups: usize,
    /// Projections in and out are stored as linear layers, not as 1×1 convolutions (the arithmetic is the same).
    pub(super) linear_projection: bool,
    /// Scores are computed in f32 whatever the dtype.
    pub(super) upcast: bool,
}

/// diffusers' `Transformer2DModel` over a continuous plane.
#[derive(Debug)]
pub(super) struct Transformer2d {
    norm: GroupNorm,
    project_in: Linear,
    blocks: Vec<Block>,
    project_out: Linear,
}

impl Transformer2d {
    pub(super) fn load(vb: &VarBuilder, style: TransformerStyle) -> Result<Self> {
        let TransformerStyle { channels, groups, depth, linear_projection, .. } = style;
        Ok(Self {
            norm: GroupNorm::load(vb.pp("norm"), groups, channels, 1e-6)?,
            project_in: projection(&vb.pp("proj_in"), channels, linear_projection)?,
            blocks: (0..depth)
                .map(|i| Block::load(&vb.pp(format!("transformer_blocks.{i}")), style))
                .collect::<Result<_>>()?,
            project_out: projection(&vb.pp("proj_out"), channels, linear_projection)?,
        })
    }

    /// `x` `[batch, channels, h, w]`, `text` `[batch, n, text width]`.
    pub(super) fn forward(&self, x: &Tensor, text: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let mut h = self.norm.forward(x)?;
        h = h.reshape((batch, channels, height * width))?.transpose(1, 2)?;
        h = self.project_in.forward(&h)?;
        for block in &self.blocks {
            h = block.forward(&h, text, watcher)?;
        }
        h = self.project_out.forward(&h)?;
        add(x, &transposed(&h)?.reshape((batch, channels, height, width))?)
    }
}

/// A projection over channels, stored `[c, c]` or, as a 1×1 convolution, `[c, c, 1, 1]`.
fn projection(vb: &VarBuilder, channels: usize, linear: bool) -> Result<Linear> {
    if linear {
        return Linear::load(vb.clone(), channels, channels, true);
    }
    let weight = vb.get((channels, channels, 1, 1), "weight")?.reshape((channels, channels))?;
    Linear::new(weight, Some(vb.get(channels, "bias")?))
}

/// diffusers' `BasicTransformerBlock`.
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    self_attention: Attention,
    norm2: LayerNorm,
    cross_attention: Attention,
    norm3: LayerNorm,
    hidden: Linear,
    output: Linear,
}

impl Block {
    fn load(vb: &VarBuilder, style: TransformerStyle) -> Result<Self> {
        let width = style.channels;
        let norm = |name: &str| LayerNorm::load(vb.pp(name), width, 1e-5);
        Ok(Self {
            norm1: norm("norm1")?,
            self_attention: Attention::load(&vb.pp("attn1"), style, width)?,
            norm2: norm("norm2")?,
            cross_attention: Attention::load(&vb.pp("attn2"), style, style.text_width)?,
            norm3: norm("norm3")?,
            hidden: Linear::load(vb.pp("ff.net.0.proj"), width, 8 * width, true)?,
            output: Linear::load(vb.pp("ff.net.2"), 4 * width, width, true)?,
        })
    }

    /// `x` `[batch, positions, channels]`.
    fn forward(&self, x: &Tensor, text: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let mut normed = self.norm1.forward(x)?;
        let mut x = add(&self.self_attention.forward(&normed, &normed, watcher)?, x)?;
        normed = self.norm2.forward(&x)?;
        x = add(&self.cross_attention.forward(&normed, text, watcher)?, &x)?;
        normed = self.norm3.forward(&x)?;
        add(&self.feed_forward(&normed)?, &x)
    }

    fn feed_forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, positions, width) = x.dims3()?;
        let row = |x: &Tensor| self.output.forward(&geglu(&self.hidden.forward(x)?)?);
        if batch * positions * 8 * width * x.dtype().size_in_bytes() <= HIDDEN_BYTES {
            return row(x);
        }
        let rows = (0..batch).map(|i| row(&x.narrow(0, i, 1)?)).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&rows, 0)
    }
}

/// Multi-head attention from the positions of a plane to themselves or to the text.
#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
    upcast: bool,
    /// The weights' path, by which a watcher asks for the attention map.
    name: String,
}

impl Attention {
    fn load(vb: &VarBuilder, style: TransformerStyle, context_width: usize) -> Result<Self> {
        let width = style.channels;
        Ok(Self {
            query: Linear::load(vb.pp("to_q"), width, width, false)?,
            key: Linear::load(vb.pp("to_k"), context_width, width, false)?,
            value: Linear::load(vb.pp("to_v"), context_width, width, false)?,
            output: Linear::load(vb.pp("to_out.0"), width, width, true)?,
            heads: style.heads,
            upcast: style.upcast,
            name: vb.prefix(),
        })
    }

    fn forward(&self, x: &Tensor, context: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        let (batch, positions, width) = x.dims3()?;
        let scale = 1.0 / ((width / self.heads) as f64).sqrt();
        let mut q = self.split(&self.query.forward(x)?)?;
        let mut k = self.split(&self.key.forward(context)?)?;
        let mut v = self.split(&self.value.forward(context)?)?;
        if self.upcast {
            (q, k, v) = (q.to_dtype(DType::F32)?, k.to_dtype(DType::F32)?, v.to_dtype(DType::F32)?);
        }
        if watcher.wants(&self.name) {
            let scores = (q.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)?.to_dtype(DType::F32)? * scale)?;
            watcher.tensor(&self.name, &softmax_last(&scores)?.mean(1)?);
        }
        let mixed = attention(&q, &k, &v, scale, None)?.to_dtype(x.dtype())?;
        self.output.forward(&mixed.transpose(1, 2)?.contiguous()?.reshape((batch, positions, width))?)
    }

    /// `[batch, n, channels]` to `[batch, heads, n, channels / heads]`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, n, width) = (x.dim(0)?, x.dim(1)?, x.dim(D::Minus1)?);
        x.reshape((batch, n, self.heads, width / self.heads))?.transpose(1, 2)
    }
}
