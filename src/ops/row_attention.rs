//! Attention of one query over a sequence and, where there are any, over further keys beside it, with one softmax over
//! both: the last row of a decoder pass in FlexAttention (spec/flexattention.md section 2.3).
//!
//! The softmax over the sequence alone comes with it at no cost: both share the scores. With p over the sequence alone and r
//! over the others alone, the joint softmax is α p and (1 − α) r, where α is the sequence's share of the joint sum.

use std::ops::Range;

use candle_core::{DType, Result, Storage, Tensor};
use rayon::prelude::*;

use super::cpu::{arch, row};
use super::kernel::{View, takes};

/// Keys and values beside the sequence.
#[derive(Clone, Debug)]
pub struct Beside<'a> {
    /// `[1, key heads, capacity, d]`.
    pub keys: &'a Tensor,
    /// `[1, key heads, capacity, d]`.
    pub values: &'a Tensor,
    /// Which rows of them are read.
    pub runs: &'a [Range<usize>],
}

/// What one query found.
#[derive(Clone, Debug)]
pub struct RowAttention {
    /// `[1, heads, 1, d]`.
    pub output: Tensor,
    /// The softmax over the sequence alone, `[heads, n]`.
    pub plain: Vec<f32>,
    /// Each head's share of the joint softmax on what lies beside the sequence, 0…1.
    pub beside: Vec<f32>,
    /// The joint softmax on each row beside the sequence, summed over heads, in the order of the runs.
    pub rows: Vec<f32>,
}

/// softmax(scale · [q kᵀ, q k'ᵀ]) [v; v'] for one query.
///
/// `q` `[1, heads, 1, d]`; `k`, `v` `[1, key heads, n, d]`, where `heads` is a multiple of the key heads: query head h reads
/// key head ⌊h · key heads / heads⌋. `beside` gives k' and v'.
///
/// # Errors
/// When the shapes do not fit each other, or there is no key at all.
pub fn row_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    beside: Option<&Beside<'_>>,
) -> Result<RowAttention> {
    let (batch, heads, queries, width) = q.dims4()?;
    let (_, key_heads, n, _) = k.dims4()?;
    let stacks = [Some(k), Some(v), beside.map(|b| b.keys), beside.map(|b| b.values)];
    let fits = |x: &&Tensor| matches!(x.dims(), [1, h, _, w] if *h == key_heads && *w == width);
    let capacity = match beside {
        Some(beside) => beside.keys.dim(2)?.min(beside.values.dim(2)?),
        None => 0,
    };
    let runs: &[Range<usize>] = beside.map_or(&[], |beside| beside.runs);
    if batch != 1
        || queries != 1
        || n == 0
        || key_heads == 0
        || !heads.is_multiple_of(key_heads)
        || v.dim(2)? != n
        || !stacks.iter().flatten().all(fits)
        || runs.iter().any(|run| run.start > run.end || run.end > capacity)
    {
        candle_core::bail!(
            "one query {:?} cannot look at keys {:?} and values {:?} with {runs:?} of {capacity} beside them",
            q.shape(),
            k.shape(),
            v.shape()
        );
    }
    let on_cpu = takes(q) && stacks.iter().flatten().all(|x| takes(x) && rows_together(x));
    if on_cpu { with_kernel(q, k, v, scale, beside) } else { reference(q, k, v, scale, beside) }
}

/// Whether each head's rows lie one behind the other.
fn rows_together(x: &Tensor) -> bool {
    matches!((x.dims(), x.stride()), ([_, _, _, width], [_, _, row, one]) if row == width && *one == 1)
}

/// Our kernel, a head at a time.
fn with_kernel(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, beside: Option<&Beside<'_>>) -> Result<RowAttention> {
    let (_, heads, _, width) = q.dims4()?;
    let (_, key_heads, n, _) = k.dims4()?;
    let queries = q.flatten_all()?.to_vec1::<f32>()?;
    let runs: &[Range<usize>] = beside.map_or(&[], |beside| beside.runs);
    let m = runs.iter().map(Range::len).sum::<usize>();
    let stacks = match beside {
        Some(beside) => vec![k, v, beside.keys, beside.values],
        None => vec![k, v],
    };
    let guards = stacks.iter().map(|stack| stack.storage_and_layout()).collect::<Vec<_>>();
    let views = guards.iter().map(|(storage, layout)| match &**storage {
        Storage::Cpu(storage) => View::new(storage, layout),
        _ => candle_core::bail!("a row of attention on the CPU needs its keys there"),
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let head_of = |view: &View<'_>, head: usize, rows: usize| {
        let start = head * view.layout.stride()[1];
        start..start + rows * width
    };
    struct Head {
        output: Vec<f32>,
        plain: Vec<f32>,
        beside: f32,
        rows: Vec<f32>,
    }
    let scale = scale as f32;
    let of_head = |head: usize| {
        let key_head = head * key_heads / heads;
        let q = &queries[head * width..(head + 1) * width];
        let mut plain = vec![0.0; n];
        let mut output = vec![0.0; width];
        let rows = |at: usize, count: usize| row::Rows {
            keys: &views[at].numbers[head_of(&views[at], key_head, count)],
            values: &views[at + 1].numbers[head_of(&views[at + 1], key_head, count)],
        };
        let all = 0..n;
        let found = row::attend(arch(), q, rows(0, n), std::slice::from_ref(&all), scale, &mut plain, &mut output);
        let by = 1.0 / found.sum;
        plain.iter_mut().for_each(|weight| *weight *= by);
        let mut others = vec![0.0; m];
        let mut share = 0.0;
        if m > 0 {
            let mut more = vec![0.0; width];
            let end = runs.iter().map(|run| run.end).max().unwrap_or(0);
            let there = row::attend(arch(), q, rows(2, end), runs, scale, &mut others, &mut more);
            let largest = found.largest.max(there.largest);
            let (here, beyond) = ((found.largest - largest).exp(), (there.largest - largest).exp());
            let total = here * found.sum + beyond * there.sum;
            share = beyond * there.sum / total;
            for (out, more) in output.iter_mut().zip(&more) {
                *out = (*out * here + more * beyond) / total;
            }
            others.iter_mut().for_each(|weight| *weight *= beyond / total);
        } else {
            output.iter_mut().for_each(|out| *out *= by);
        }
        Head { output, plain, beside: share, rows: others }
    };
    // Waking threads for a few thousand multiplications takes longer than they do.
    let all: Vec<Head> = if heads * (n + m) * width < 1 << 18 {
        (0..heads).map(of_head).collect()
    } else {
        (0..heads).into_par_iter().map(of_head).collect()
    };
    let mut rows = vec![0.0; m];
    for head in &all {
        rows.iter_mut().zip(&head.rows).for_each(|(sum, one)| *sum += one);
    }
    let output = all.iter().flat_map(|head| head.output.iter().copied()).collect::<Vec<_>>();
    Ok(RowAttention {
        output: Tensor::from_vec(output, (1, heads, 1, width), q.device())?,
        beside: all.iter().map(|head| head.beside).collect(),
        plain: all.into_iter().flat_map(|head| head.plain).collect(),
        rows,
    })
}

/// The same in candle's operations, for other devices and precisions; softmax in f32.
fn reference(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, beside: Option<&Beside<'_>>) -> Result<RowAttention> {
    let (_, heads, _, width) = q.dims4()?;
    let (_, key_heads, n, _) = k.dims4()?;
    let groups = heads / key_heads;
    let q = q.reshape((1, key_heads, groups, width))?.contiguous()?;
    let scores = |keys: &Tensor| -> Result<Tensor> {
        (q.matmul(&keys.transpose(2, 3)?.contiguous()?)?.to_dtype(DType::F32)? * scale)?.reshape((heads, ()))
    };
    let sequence = scores(k)?;
    let plain = super::softmax::softmax_last(&sequence)?.flatten_all()?.to_vec1::<f32>()?;
    let gathered = match beside {
        Some(beside) if beside.runs.iter().any(|run| !run.is_empty()) => {
            let part = |x: &Tensor| -> Result<Tensor> {
                let parts = beside.runs.iter().filter(|run| !run.is_empty());
                let parts = parts.map(|run| x.narrow(2, run.start, run.len())).collect::<Result<Vec<_>>>()?;
                Tensor::cat(&parts, 2)
            };
            Some((part(beside.keys)?, part(beside.values)?))
        }
        _ => None,
    };
    let (joint, values) = match &gathered {
        Some((keys, values)) => (Tensor::cat(&[&sequence, &scores(keys)?], 1)?, Tensor::cat(&[v, values], 2)?),
        None => (sequence, v.clone()),
    };
    let weights = super::softmax::softmax_last(&joint)?;
    let m = weights.dim(1)? - n;
    let (mut shares, mut rows) = (vec![0.0; heads], vec![0.0; m]);
    if m > 0 {
        for (head, weights) in weights.narrow(1, n, m)?.to_vec2::<f32>()?.into_iter().enumerate() {
            shares[head] = weights.iter().sum();
            rows.iter_mut().zip(weights).for_each(|(sum, one)| *sum += one);
        }
    }
    let weights = weights.reshape((1, key_heads, groups, n + m))?.to_dtype(v.dtype())?;
    let output = weights.matmul(&values.contiguous()?)?.reshape((1, heads, 1, width))?;
    Ok(RowAttention { output, plain, beside: shares, rows })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn waves(shape: (usize, usize, usize, usize), step: f32) -> Tensor {
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        let values = (0..count).map(|i| (i as f32 * step).sin() * 1.5).collect::<Vec<_>>();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-6)
    }

    #[test]
    fn the_kernel_gives_what_the_composition_gives() {
        for (heads, key_heads, n, width) in [(4, 4, 9, 20), (4, 2, 33, 64), (3, 1, 1, 5), (2, 2, 700, 128)] {
            let q = waves((1, heads, 1, width), 0.37);
            // Buffers longer than what they hold, as a cache has them.
            let buffer = |step| waves((1, key_heads, n + 7, width), step);
            let (k, v) = (buffer(0.11), buffer(0.23));
            let (k, v) = (k.narrow(2, 0, n).unwrap(), v.narrow(2, 0, n).unwrap());
            let (keys, values) = (waves((1, key_heads, 40, width), 0.19), waves((1, key_heads, 40, width), 0.07));
            for runs in [vec![], vec![0..17, 17..40], vec![3..5, 8..8, 20..31]] {
                let beside = Beside { keys: &keys, values: &values, runs: &runs };
                let fast = with_kernel(&q, &k, &v, 0.2, Some(&beside)).unwrap();
                let slow = reference(&q, &k, &v, 0.2, Some(&beside)).unwrap();
                let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert!(close(&flat(&fast.output), &flat(&slow.output)), "{heads} {n} {runs:?}");
                assert!(close(&fast.plain, &slow.plain) && close(&fast.beside, &slow.beside));
                assert!(close(&fast.rows, &slow.rows));
                let sum = fast.plain.iter().sum::<f32>();
                assert!((sum - heads as f32).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn scores_far_apart_do_not_overflow() {
        let one = |value: f32| Tensor::full(value, (1, 1, 1, 8), &Device::Cpu).unwrap();
        let (keys, values) = (one(30.0), one(2.0));
        let runs = [0..1, 1..1];
        let beside = Beside { keys: &keys, values: &values, runs: &runs };
        let found = row_attention(&one(30.0), &one(-30.0), &one(1.0), 1.0, Some(&beside)).unwrap();
        assert_eq!(found.output.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [2.0; 8]);
        assert_eq!((found.plain, found.beside), (vec![1.0], vec![1.0]));
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let (q, k) = (waves((1, 2, 1, 8), 0.1), waves((1, 2, 5, 8), 0.2));
        assert!(row_attention(&q, &k, &k, 1.0, None).is_ok());
        assert!(row_attention(&q, &k, &waves((1, 2, 4, 8), 0.2), 1.0, None).is_err());
        assert!(row_attention(&waves((1, 3, 1, 8), 0.1), &k, &k, 1.0, None).is_err());
        let runs = [4..9, 0..0];
        assert!(row_attention(&q, &k, &k, 1.0, Some(&Beside { keys: &k, values: &k, runs: &runs })).is_err());
    }
}
