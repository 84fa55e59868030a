//! Scaled dot-product attention in blocks of queries.
//!
//! Whole score matrices are never held: at 512×512 pixels they would take over a gigabyte. Softmax is computed in f32
//! whatever the dtype.

use candle_core::{D, DType, Result, Tensor};

use super::cpu::{arch, attention as kernel};
use super::kernel::{View, over3, takes};
use super::softmax::softmax_last;

/// The most memory that the scores of one block of queries may take, in bytes.
const SCORE_BYTES: usize = 64 << 20;

/// softmax(scale · q kᵀ + mask) v.
///
/// `q` `[batch, heads, n, d]`, `k` `[batch, heads, m, d]`, `v` `[batch, heads, m, e]`; the result is
/// `[batch, heads, n, e]`. `mask` is added to the scores before the softmax (0 keeps, −∞ hides) and of any shape that
/// broadcasts to `[batch, heads, n, m]`; a row that hides everything gives NaN, as it does in the reference libraries.
/// None of the three needs to be contiguous; on the CPU the result lies in memory as `[batch, n, heads, e]`.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: Option<&Tensor>) -> Result<Tensor> {
    check(q, k, v)?;
    if takes(q) && takes(k) && takes(v) {
        return on_cpu(q, k, v, scale, mask);
    }
    reference(q, k, v, Scores { scale, cap: None, mask }, block(q, k)?)
}

/// The same with scores bent softly to ±`cap`: cap · tanh(scale · q kᵀ / cap) + mask (Gemma 2).
///
/// # Errors
/// When the shapes do not fit each other.
pub fn attention_capped(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    cap: f64,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    check(q, k, v)?;
    reference(q, k, v, Scores { scale, cap: Some(cap), mask }, block(q, k)?)
}

/// How queries and keys become scores.
#[derive(Clone, Copy)]
struct Scores<'a> {
    scale: f64,
    cap: Option<f64>,
    mask: Option<&'a Tensor>,
}

/// How many queries fit into a block.
fn block(q: &Tensor, k: &Tensor) -> Result<usize> {
    let (batch, heads, _, _) = q.dims4()?;
    let row = batch * heads * k.dim(2)? * size_of::<f32>();
    Ok((SCORE_BYTES / row.max(1)).max(1))
}

fn check(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<()> {
    let (batch, heads, _, d) = q.dims4()?;
    let (k_batch, k_heads, m, k_d) = k.dims4()?;
    let (v_batch, v_heads, v_m, _) = v.dims4()?;
    if (k_batch, k_heads, k_d) != (batch, heads, d) || (v_batch, v_heads, v_m) != (batch, heads, m) {
        candle_core::bail!(
            "attention cannot combine queries {:?}, keys {:?} and values {:?}",
            q.shape(),
            k.shape(),
            v.shape()
        );
    }
    Ok(())
}

/// Our kernel; shapes have been checked.
fn on_cpu(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: Option<&Tensor>) -> Result<Tensor> {
    let (batch, heads, n, _) = q.dims4()?;
    let (m, width) = (k.dim(2)?, v.dim(3)?);
    let mask = match mask {
        Some(mask) => Some(mask.to_dtype(DType::F32)?.broadcast_as((batch, heads, n, m))?),
        None => None,
    };
    let guard = mask.as_ref().map(Tensor::storage_and_layout);
    let mask = match &guard {
        Some((storage, layout)) => match &**storage {
            candle_core::Storage::Cpu(storage) => {
                let View { numbers, layout } = View::new(storage, layout)?;
                Some(kernel::Mask { numbers, strides: strides(layout)? })
            }
            _ => candle_core::bail!("attention on the CPU needs its mask there"),
        },
        None => None,
    };
    let mixed = over3("attention", [q, k, v], |[q, k, v]| {
        let mut out = vec![0.0; batch * n * heads * width];
        let scale = scale as f32;
        kernel::attend(arch(), (batch, heads), stack(q)?, stack(k)?, stack(v)?, scale, mask, &mut out);
        Ok((out, (batch, n, heads, width).into()))
    })?;
    mixed.transpose(1, 2)
}

fn stack<'a>(x: View<'a>) -> Result<kernel::Heads<'a>> {
    let (_, _, n, width) = x.layout.shape().dims4()?;
    Ok(kernel::Heads { numbers: x.numbers, n, width, strides: strides(x.layout)? })
}

fn strides(layout: &candle_core::Layout) -> Result<[usize; 4]> {
    match layout.stride() {
        [a, b, c, d] => Ok([*a, *b, *c, *d]),
        other => candle_core::bail!("attention needs tensors of rank 4, got strides {other:?}"),
    }
}

/// `block` queries at a time, in candle's operations.
fn reference(q: &Tensor, k: &Tensor, v: &Tensor, how: Scores<'_>, block: usize) -> Result<Tensor> {
    let n = q.dim(2)?;
    let keys = k.transpose(2, 3)?.contiguous()?;
    let values = v.contiguous()?;
    let q = (q * how.scale)?;
    let mut parts = Vec::with_capacity(n.div_ceil(block));
    for start in (0..n).step_by(block) {
        let len = block.min(n - start);
        let scores = q.narrow(2, start, len)?.contiguous()?.matmul(&keys)?.to_dtype(DType::F32)?;
        let scores = match how.cap {
            Some(cap) => ((scores / cap)?.tanh()? * cap)?,
            None => scores,
        };
        let scores = match how.mask {
            Some(mask) => {
                let mask = mask.to_dtype(DType::F32)?;
                let per_query = mask.rank() >= 2 && mask.dim(D::Minus2)? == n && n > 1;
                let mask = if per_query { mask.narrow(D::Minus2, start, len)? } else { mask };
                scores.broadcast_add(&mask)?
            }
            None => scores,
        };
        parts.push(softmax_last(&scores)?.to_dtype(values.dtype())?.matmul(&values)?);
    }
    Tensor::cat(&parts, 2)
}
