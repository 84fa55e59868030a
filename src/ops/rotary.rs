//! Rotary position embedding: each pair of channels of a query or key is turned by an angle that grows with its position.
//!
//! The half-split convention of the Llama family: channel `i` is paired with channel `i + d/2`.

use candle_core::{Result, Tensor};

/// Turns `x` `[batch, heads, n, d]` by the tables `cos` and `sin` `[n, d/2]`.
///
/// The tables need not be a true rotation: FlexAttention interpolates them (spec/flexattention.md section 2.2).
///
/// # Errors
/// When the shapes do not fit each other.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (_, _, n, d) = x.dims4()?;
    if !d.is_multiple_of(2) || cos.dims() != [n, d / 2] || sin.dims() != [n, d / 2] {
        candle_core::bail!(
            "rotary tables {:?} and {:?} do not fit queries or keys {:?}",
            cos.shape(),
            sin.shape(),
            x.shape()
        );
    }
    candle_nn::rotary_emb::rope(&x.contiguous()?, &cos.contiguous()?, &sin.contiguous()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::rotate;

    #[test]
    fn turns_pairs_of_the_two_halves() {
        // d = 4: pairs (0, 2) and (1, 3); the first pair is turned by 90°, the second stays.
        let x = Tensor::new(&[[[[1f32, 2., 3., 4.]]]], &Device::Cpu).unwrap();
        let cos = Tensor::new(&[[0f32, 1.]], &Device::Cpu).unwrap();
        let sin = Tensor::new(&[[1f32, 0.]], &Device::Cpu).unwrap();
        let y = rotate(&x, &cos, &sin).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(y, [-3., 2., 1., 4.]);
    }

    #[test]
    fn refuses_tables_of_another_length() {
        let x = Tensor::zeros((1, 1, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let table = Tensor::zeros((1, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(rotate(&x, &table, &table).is_err());
    }
}
