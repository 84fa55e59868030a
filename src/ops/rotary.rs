//! Rotary position embedding: each pair of channels of a query or key is turned by an angle that grows with its position.
//!
//! The half-split convention of the Llama family pairs channel `i` with channel `i + d/2`; GGUF files of that family
//! store their weights for neighbouring pairs, `2i` with `2i + 1`.

use candle_core::{D, Result, Tensor};

/// Turns `x` `[batch, heads, n, d]` by the tables `cos` and `sin` `[n, d/2]`.
///
/// The tables need not be a true rotation: FlexAttention interpolates them (spec/flexattention.md section 2.2).
///
/// # Errors
/// When the shapes do not fit each other.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    check(x, cos, sin)?;
    candle_nn::rotary_emb::rope(&x.contiguous()?, &cos.contiguous()?, &sin.contiguous()?)
}

/// The same for neighbouring pairs.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn rotate_neighbours(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    check(x, cos, sin)?;
    candle_nn::rotary_emb::rope_i(&x.contiguous()?, &cos.contiguous()?, &sin.contiguous()?)
}

/// [`rotate`] for tables `[n, r/2]` that may be narrower than `x`: channels from `r` on stay as they are (Phi).
///
/// # Errors
/// When the shapes do not fit each other.
pub fn rotate_first(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (turned, all) = (2 * cos.dim(D::Minus1)?, x.dim(D::Minus1)?);
    if turned >= all {
        return rotate(x, cos, sin);
    }
    let rest = x.narrow(D::Minus1, turned, all - turned)?;
    Tensor::cat(&[&rotate(&x.narrow(D::Minus1, 0, turned)?, cos, sin)?, &rest], D::Minus1)
}

fn check(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<()> {
    let (_, _, n, d) = x.dims4()?;
    if !d.is_multiple_of(2) || cos.dims() != [n, d / 2] || sin.dims() != [n, d / 2] {
        candle_core::bail!(
            "rotary tables {:?} and {:?} do not fit queries or keys {:?}",
            cos.shape(),
            sin.shape(),
            x.shape()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{rotate, rotate_first, rotate_neighbours};

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
    fn turns_neighbours_or_only_the_first_channels() {
        let x = Tensor::new(&[[[[1f32, 2., 3., 4.]]]], &Device::Cpu).unwrap();
        let flat = |y: Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (cos, sin) = (Tensor::new(&[[0f32, 1.]], &Device::Cpu), Tensor::new(&[[1f32, 0.]], &Device::Cpu));
        assert_eq!(flat(rotate_neighbours(&x, &cos.unwrap(), &sin.unwrap()).unwrap()), [-2., 1., 3., 4.]);
        let (cos, sin) = (Tensor::new(&[[0f32]], &Device::Cpu), Tensor::new(&[[1f32]], &Device::Cpu));
        assert_eq!(flat(rotate_first(&x, &cos.unwrap(), &sin.unwrap()).unwrap()), [-2., 1., 3., 4.]);
    }

    #[test]
    fn refuses_tables_of_another_length() {
        let x = Tensor::zeros((1, 1, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let table = Tensor::zeros((1, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(rotate(&x, &table, &table).is_err());
    }
}
