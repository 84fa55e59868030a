//! What a decoder keeps of the tokens it took, so that none is computed twice.

use candle_core::{Result, Tensor};

/// Keys and values of what a sequence holds so far, one pair a layer; grows in place and can be rewound.
///
/// Not `Clone`: copies would share their buffers.
#[derive(Debug, Default)]
pub struct KeyValueCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    length: usize,
}

impl KeyValueCache {
    /// An empty cache; it adapts to the model that uses it first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tokens the cache holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets everything after the first `length` tokens; does nothing when it holds no more than that.
    pub fn truncate(&mut self, length: usize) {
        if length == 0 {
            self.layers.clear();
        }
        self.length = self.length.min(length);
    }

    /// Puts `k` and `v` `[batch, heads, n, d]` behind what layer `layer` holds and returns all of both.
    ///
    /// Nothing counts as held before [`KeyValueCache::advance`], so a pass that stops half-way leaves no trace.
    pub(super) fn extend(&mut self, layer: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, None);
        }
        let n = k.dim(2)?;
        let needed = self.length + n;
        let slot = &mut self.layers[layer];
        let buffers = match slot.take() {
            Some((keys, values)) if keys.dim(2)? >= needed => (keys, values),
            older => {
                let capacity = needed.next_multiple_of(256);
                let grown = |new: &Tensor, old: Option<&Tensor>| -> Result<Tensor> {
                    let (batch, heads, _, d) = new.dims4()?;
                    let buffer = Tensor::zeros((batch, heads, capacity, d), new.dtype(), new.device())?;
                    if let Some(old) = old
                        && self.length > 0
                    {
                        buffer.slice_set(&old.narrow(2, 0, self.length)?.contiguous()?, 2, 0)?;
                    }
                    Ok(buffer)
                };
                match &older {
                    Some((keys, values)) => (grown(k, Some(keys))?, grown(v, Some(values))?),
                    None => (grown(k, None)?, grown(v, None)?),
                }
            }
        };
        buffers.0.slice_set(&k.contiguous()?, 2, self.length)?;
        buffers.1.slice_set(&v.contiguous()?, 2, self.length)?;
        let all = (buffers.0.narrow(2, 0, needed)?, buffers.1.narrow(2, 0, needed)?);
        *slot = Some(buffers);
        Ok(all)
    }

    /// Counts the last `n` tokens as held.
    pub(super) fn advance(&mut self, n: usize) {
        self.length += n;
    }
}
