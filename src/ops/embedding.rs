//! Looking up rows of a table: token and position embeddings.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A table of `count` vectors of `dim` numbers.
#[derive(Clone, Debug)]
pub struct Embedding {
    table: Tensor,
}

impl Embedding {
    /// Reads `weight` `[count, dim]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, count: usize, dim: usize) -> Result<Self> {
        Ok(Self { table: vb.get((count, dim), "weight")? })
    }

    /// The table itself, `[count, dim]`.
    #[must_use]
    pub fn table(&self) -> &Tensor {
        &self.table
    }

    /// The rows that `ids` (u32, any shape) name: `[…, dim]`.
    ///
    /// # Errors
    /// When an id is not in the table.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let mut shape = ids.dims().to_vec();
        shape.push(self.table.dim(1)?);
        self.table.index_select(&ids.flatten_all()?, 0)?.reshape(shape)
    }
}
