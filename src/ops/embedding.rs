//! Looking up rows of a table: token and position embeddings, plain or quantised.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::linear::Linear;

/// A table of `count` vectors of `dim` numbers.
#[derive(Clone, Debug)]
pub struct Embedding {
    table: Table,
}

#[derive(Clone, Debug)]
enum Table {
    Plain(Tensor),
    /// In blocks of few bits (GGUF); rows become this type when they are looked up.
    Quantised(Arc<QTensor>, DType),
}

impl Embedding {
    /// Reads `weight` `[count, dim]`.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, count: usize, dim: usize) -> Result<Self> {
        Self::new(vb.get((count, dim), "weight")?)
    }

    /// A table `[count, dim]`.
    ///
    /// # Errors
    /// When it has another rank.
    pub fn new(table: Tensor) -> Result<Self> {
        table.dims2()?;
        Ok(Self { table: Table::Plain(table) })
    }

    /// A quantised table `[count, dim]` whose rows are looked up as `dtype`.
    ///
    /// # Errors
    /// When it has another rank.
    pub fn quantised(table: Arc<QTensor>, dtype: DType) -> Result<Self> {
        table.shape().dims2()?;
        Ok(Self { table: Table::Quantised(table, dtype) })
    }

    /// The whole table, `[count, dim]`; a quantised one is unpacked for it.
    ///
    /// # Errors
    /// Only what the device reports.
    pub fn table(&self) -> Result<Tensor> {
        match &self.table {
            Table::Plain(table) => Ok(table.clone()),
            Table::Quantised(table, dtype) => table.dequantize(&table.device())?.to_dtype(*dtype),
        }
    }

    /// The table as an output layer that scores every row: `[…, dim]` to `[…, count]`. The memory is shared.
    ///
    /// # Errors
    /// None: the table was checked when it was made.
    pub fn output_layer(&self) -> Result<Linear> {
        match &self.table {
            Table::Plain(table) => Linear::new(table.clone(), None),
            Table::Quantised(table, _) => Linear::quantised(Arc::clone(table), None),
        }
    }

    /// Where the table lies.
    #[must_use]
    pub fn device(&self) -> Device {
        match &self.table {
            Table::Plain(table) => table.device().clone(),
            Table::Quantised(table, _) => table.device(),
        }
    }

    /// The rows that `ids` (u32, any shape) name: `[…, dim]`.
    ///
    /// # Errors
    /// When an id is not in the table.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.table {
            Table::Plain(table) => {
                let mut shape = ids.dims().to_vec();
                shape.push(table.dim(1)?);
                table.index_select(&ids.flatten_all()?, 0)?.reshape(shape)
            }
            Table::Quantised(table, dtype) => table.embedding(ids)?.to_dtype(*dtype),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{DType, Device, Tensor};

    use super::Embedding;

    #[test]
    fn a_quantised_table_gives_the_rows_that_unpacking_it_gives() {
        let table = Tensor::rand(-1f32, 1., (5, 32), &Device::Cpu).unwrap();
        let stored = Arc::new(QTensor::quantize(&table, GgmlDType::Q4_0).unwrap());
        let quantised = Embedding::quantised(stored, DType::F32).unwrap();
        let plain = Embedding::new(quantised.table().unwrap()).unwrap();
        let ids = Tensor::new(&[[4u32, 0, 4]], &Device::Cpu).unwrap();
        let rows = |of: &Embedding| of.forward(&ids).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(rows(&quantised), rows(&plain));
        let outside = Tensor::new(&[5u32], &Device::Cpu).unwrap();
        assert!(quantised.forward(&outside).is_err());
    }
}
