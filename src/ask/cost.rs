//! What an answer took: floating-point operations by formula (spec 3.1; a multiplication with an addition counts as two),
//! tokens read, seconds, and the same for reading everything.

use serde::{Deserialize, Serialize};

/// The widths of a decoder that its operations depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderShape {
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward layers.
    pub inner: usize,
    /// Query heads times their width.
    pub queries: usize,
    /// Key heads times their width.
    pub keys: usize,
    /// Rows of the output layer.
    pub vocabulary: usize,
    /// The first layer that reads high-resolution tokens; as many as `layers` where none does.
    pub first_reading: usize,
}

impl DecoderShape {
    /// The published 7B model.
    pub const PUBLISHED: Self = Self {
        layers: 32,
        hidden: 4096,
        inner: 11_008,
        queries: 4096,
        keys: 4096,
        vocabulary: 32_000,
        first_reading: 9,
    };

    /// One layer over `n` tokens that follow `held` others, high-resolution tokens not counted.
    #[must_use]
    pub fn layer(&self, n: usize, held: usize) -> f64 {
        let [n, held] = [n, held].map(|x| x as f64);
        let [hidden, inner, queries, keys] = [self.hidden, self.inner, self.queries, self.keys].map(|x| x as f64);
        let matrices = 2.0 * n * hidden * (2.0 * queries + 2.0 * keys + 3.0 * inner);
        // Query i sees held + i + 1 keys, once for the scores and once for the values.
        let seen = n * held + n * (n + 1.0) / 2.0;
        matrices + 4.0 * seen * queries
    }

    /// Projecting `m` high-resolution tokens to keys and values of one layer.
    #[must_use]
    pub fn projection(&self, m: usize) -> f64 {
        4.0 * m as f64 * self.hidden as f64 * self.keys as f64
    }

    /// One query over `m` high-resolution keys of one layer.
    #[must_use]
    pub fn reading(&self, m: usize) -> f64 {
        4.0 * m as f64 * self.queries as f64
    }

    /// The scores of one next token.
    #[must_use]
    pub fn output(&self) -> f64 {
        2.0 * self.hidden as f64 * self.vocabulary as f64
    }

    /// Operations of a whole answer that reads all of `high` tokens in every reading layer: a prompt of `prompt` tokens,
    /// of which `reused` were there from before, and `passes` passes in all (the prompt's is one).
    #[must_use]
    pub fn of_full(&self, prompt: usize, reused: usize, passes: usize, high: usize) -> f64 {
        let reading = self.layers - self.first_reading.min(self.layers);
        let later = (1..passes).map(|pass| self.layer(1, prompt + pass - 1)).sum::<f64>();
        let plain = self.layer(prompt - reused.min(prompt), reused) + later;
        let high = self.projection(high) + passes as f64 * self.reading(high);
        self.layers as f64 * plain + reading as f64 * high + passes as f64 * self.output()
    }
}

/// The widths of a vision tower with its projector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TowerShape {
    /// Layers that are run.
    pub layers: usize,
    /// Width.
    pub hidden: usize,
    /// Width inside the feed-forward layers.
    pub inner: usize,
    /// Patches of one picture.
    pub patches: usize,
    /// Numbers of a patch (3 · side²).
    pub patch: usize,
    /// Width of the decoder that the projector ends in.
    pub decoder: usize,
}

impl TowerShape {
    /// One picture through the tower and the projector.
    #[must_use]
    pub fn picture(&self) -> f64 {
        let [hidden, inner, patches, patch, decoder] =
            [self.hidden, self.inner, self.patches, self.patch, self.decoder].map(|x| x as f64);
        let n = patches + 1.0;
        let layer = 2.0 * n * (4.0 * hidden * hidden + 2.0 * hidden * inner) + 4.0 * n * n * hidden;
        2.0 * patches * patch * hidden + self.layers as f64 * layer + 2.0 * patches * decoder * (hidden + decoder)
    }
}

/// What one layer took over a whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerCost {
    /// Floating-point operations.
    pub operations: f64,
    /// High-resolution tokens projected for this layer, each counted once.
    pub projected: usize,
    /// High-resolution tokens read, summed over all passes.
    pub read: usize,
}

/// What an answer took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Floating-point operations of tower and projector; 0 where the picture was encoded before.
    pub encoding: f64,
    /// The decoder, layer by layer.
    pub layers: Vec<LayerCost>,
    /// Floating-point operations of the output layer.
    pub output: f64,
    /// Floating-point operations of the decoder if every reading layer had read every high-resolution token.
    pub full: f64,
    /// Passes of the decoder: the prompt's and one for each further token.
    pub passes: usize,
    /// Low-resolution tokens of the picture.
    pub low_tokens: usize,
    /// High-resolution tokens of the picture.
    pub high_tokens: usize,
    /// Seconds of tower and projector.
    pub encoding_seconds: f64,
    /// Seconds until the first token was chosen, without the encoding.
    pub prompt_seconds: f64,
    /// Seconds of all further tokens.
    pub decoding_seconds: f64,
}

impl Cost {
    /// Floating-point operations of the decoder.
    #[must_use]
    pub fn decoder(&self) -> f64 {
        self.output + self.layers.iter().map(|layer| layer.operations).sum::<f64>()
    }

    /// The decoder's operations against reading everything.
    #[must_use]
    pub fn share_of_full(&self) -> f64 {
        if self.full > 0.0 { self.decoder() / self.full } else { 1.0 }
    }

    /// High-resolution tokens that a reading layer read in one pass, on average over layers and passes.
    #[must_use]
    pub fn mean_high_read(&self) -> f64 {
        let reading = self.layers.iter().filter(|layer| layer.read > 0).count();
        let read = self.layers.iter().map(|layer| layer.read).sum::<usize>();
        if reading * self.passes == 0 { 0.0 } else { read as f64 / (reading * self.passes) as f64 }
    }

    /// Tokens a second after the first; 0 where there is only one.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        if self.passes > 1 && self.decoding_seconds > 0.0 {
            (self.passes - 1) as f64 / self.decoding_seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specs_figures() {
        let shape = DecoderShape::PUBLISHED;
        let tera = |x: f64| x / 1e12;
        // The spec counts the whole square of scores, here only what a causal mask leaves; hence a little less.
        let prefill = 32.0 * shape.layer(640, 0) + shape.output();
        assert!((8.3..8.67).contains(&tera(prefill)), "{prefill:e}");
        let decode = 32.0 * shape.layer(1, 0) + shape.output();
        assert!((tera(decode) - 0.0132).abs() < 1e-4, "{decode:e}");
        assert!((tera(23.0 * shape.projection(64)) - 0.0988).abs() < 1e-4);
        assert!((tera(shape.reading(512) * 23.0) - 0.0002).abs() < 2e-5);
        let tower =
            TowerShape { layers: 23, hidden: 1024, inner: 4096, patches: 576, patch: 588, decoder: 4096 }.picture();
        assert!((tera(tower) - 0.39).abs() < 0.01, "{tower:e}");
    }

    #[test]
    fn a_tenth_of_the_cells_takes_under_six_tenths_at_the_papers_shape() {
        let shape = DecoderShape::PUBLISHED;
        let flex = 32.0 * shape.layer(640, 0) + shape.output() + 23.0 * (shape.projection(512) + shape.reading(512));
        assert!(flex / shape.of_full(640, 0, 1, 5184) < 0.6);
    }
}
