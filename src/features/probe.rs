//! Linear readings of features: how much of a label or a quantity a linear function finds in patch tokens.
//!
//! The usual measure of frozen features (as in DINOv2 section 7.4): classes by multinomial logistic regression,
//! quantities by ridge regression. Columns are standardised on the patches of the fit. Both are deterministic.

use candle_core::{D, DType, Device, Tensor};

use super::FeatureError;

/// Steps of the logistic regression.
const STEPS: usize = 250;
/// Largest step of each weight.
const STEP: f64 = 0.05;
/// Share of the squared weights in the loss.
const DECAY: f64 = 1e-4;
/// Ridge penalty in standardised columns, per patch.
const PENALTY: f64 = 1e-3;

/// How columns are brought to mean 0 and deviation 1.
#[derive(Clone, Debug)]
struct Columns {
    mean: Tensor,
    scale: Tensor,
}

impl Columns {
    /// Of the rows `[n, dim]`.
    fn of(rows: &Tensor) -> candle_core::Result<Self> {
        let mean = rows.mean_keepdim(0)?;
        let variance = rows.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?;
        // A column that never changes tells nothing, and must not be blown up.
        let scale = (variance.maximum(1e-12)?).sqrt()?.recip()?;
        Ok(Self { mean, scale })
    }

    /// The rows standardised, with a column of ones behind them, `[n, dim + 1]`.
    fn apply(&self, rows: &Tensor) -> candle_core::Result<Tensor> {
        let rows = rows.broadcast_sub(&self.mean)?.broadcast_mul(&self.scale)?;
        Tensor::cat(&[&rows, &Tensor::ones((rows.dim(0)?, 1), DType::F32, &Device::Cpu)?], 1)
    }
}

/// Patches as rows, `[n, dim]`.
fn rows(tokens: &[f32], dim: usize) -> Result<Tensor, FeatureError> {
    let count = tokens.len().checked_div(dim).unwrap_or(0);
    if count == 0 {
        return Err(FeatureError::TooFewPatches { what: "a linear reading", needed: 1, patches: 0 });
    }
    Ok(Tensor::from_slice(tokens, (count, dim), &Device::Cpu)?)
}

/// A class of every patch by multinomial logistic regression.
#[derive(Clone, Debug)]
pub struct ClassProbe {
    columns: Columns,
    /// `[dim + 1, classes]`.
    weights: Tensor,
}

impl ClassProbe {
    /// Fits to tokens `[n, dim]` with a class below `classes` each, by Adam on all patches at once.
    ///
    /// # Errors
    /// No patches, classes outside of the range, or a tensor that does not fit.
    pub fn fit(tokens: &[f32], dim: usize, labels: &[u8], classes: usize) -> Result<Self, FeatureError> {
        let rows = rows(tokens, dim)?;
        let columns = Columns::of(&rows)?;
        let x = columns.apply(&rows)?;
        let (count, width) = x.dims2()?;
        let mut truth = vec![0f32; count * classes];
        for (row, label) in truth.chunks_exact_mut(classes).zip(labels) {
            match row.get_mut(usize::from(*label)) {
                Some(slot) => *slot = 1.0,
                None => {
                    let fault = format!("a label of {label} where there are {classes} classes");
                    return Err(FeatureError::Tensor(candle_core::Error::Msg(fault)));
                }
            }
        }
        let truth = Tensor::from_vec(truth, (count, classes), &Device::Cpu)?;
        let across = x.t()?.contiguous()?;
        let mut weights = Tensor::zeros((width, classes), DType::F32, &Device::Cpu)?;
        let (mut first, mut second) = (weights.clone(), weights.clone());
        for step in 0..STEPS {
            let guess = candle_nn::ops::softmax_last_dim(&x.matmul(&weights)?)?;
            let slope = ((across.matmul(&(guess - &truth)?)? / count as f64)? + (&weights * DECAY)?)?;
            first = ((first * 0.9)? + (&slope * 0.1)?)?;
            second = ((second * 0.99)? + (slope.sqr()? * 0.01)?)?;
            let (corrected, scale) = (1.0 - 0.9_f64.powi(step as i32 + 1), 1.0 - 0.99_f64.powi(step as i32 + 1));
            // Falls to nothing, so that the end does not depend on where the steps swing.
            let rate = STEP * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos());
            let down = ((&first * (rate / corrected))? / ((&second / scale)?.sqrt()? + 1e-8)?)?;
            weights = (weights - down)?;
        }
        Ok(Self { columns, weights })
    }

    /// The likeliest class of tokens `[n, dim]`.
    ///
    /// # Errors
    /// Tokens of another width.
    pub fn classes(&self, tokens: &[f32], dim: usize) -> Result<Vec<u8>, FeatureError> {
        let logits = self.columns.apply(&rows(tokens, dim)?)?.matmul(&self.weights)?;
        Ok(logits.argmax(D::Minus1)?.to_dtype(DType::U8)?.to_vec1()?)
    }
}

/// A quantity of every patch by ridge regression.
#[derive(Clone, Debug)]
pub struct ValueProbe {
    columns: Columns,
    /// `[dim + 1, 1]`.
    weights: Tensor,
}

impl ValueProbe {
    /// Fits to tokens `[n, dim]` with a value each. The mean is not penalised.
    ///
    /// # Errors
    /// No patches, or a tensor that does not fit.
    pub fn fit(tokens: &[f32], dim: usize, values: &[f32]) -> Result<Self, FeatureError> {
        let rows = rows(tokens, dim)?;
        let columns = Columns::of(&rows)?;
        let x = columns.apply(&rows)?;
        let (count, width) = x.dims2()?;
        let across = x.t()?.contiguous()?;
        let gram = across.matmul(&x)?.flatten_all()?.to_vec1::<f32>()?;
        let mut gram: Vec<f64> = gram.into_iter().map(f64::from).collect();
        for i in 0..width {
            // Never singular: a column that never changes has the penalty alone.
            gram[i * width + i] += if i + 1 == width { 0.0 } else { PENALTY * count as f64 };
        }
        let right = across.matmul(&Tensor::from_slice(values, (count, 1), &Device::Cpu)?)?.flatten_all()?;
        let right: Vec<f64> = right.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
        let solved = solve(gram, right)
            .ok_or_else(|| candle_core::Error::Msg("the normal equations have no single solution".into()))?;
        let weights: Vec<f32> = solved.into_iter().map(|weight| weight as f32).collect();
        Ok(Self { columns, weights: Tensor::from_vec(weights, (width, 1), &Device::Cpu)? })
    }

    /// The values of tokens `[n, dim]`.
    ///
    /// # Errors
    /// Tokens of another width.
    pub fn values(&self, tokens: &[f32], dim: usize) -> Result<Vec<f32>, FeatureError> {
        Ok(self.columns.apply(&rows(tokens, dim)?)?.matmul(&self.weights)?.flatten_all()?.to_vec1()?)
    }
}

/// Solves A·x = b for a symmetric positive definite A `[n, n]` by Cholesky's factorisation; `None` where it is not.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let left = a[i * n + j] - inner;
            if i != j {
                a[i * n + j] = left / a[j * n + j];
            } else if left > 0.0 && left.is_finite() {
                a[i * n + i] = left.sqrt();
            } else {
                return None;
            }
        }
    }
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of width 3 on a spiral, so that no column repeats.
    fn tokens(count: usize) -> Vec<f32> {
        (0..count)
            .flat_map(|i| {
                let t = i as f32 * 0.37;
                [5.0 + t.sin(), 100.0 * (t * 1.7).cos(), 0.01 * t.rem_euclid(1.0)]
            })
            .collect()
    }

    #[test]
    fn a_linear_quantity_is_read_exactly_and_one_that_is_not_there_as_its_mean() {
        let x = tokens(400);
        let value = |token: &[f32]| 2.0 + 3.0 * token[0] - 0.02 * token[1] + 40.0 * token[2];
        let wanted: Vec<f32> = x.chunks_exact(3).map(value).collect();
        let probe = ValueProbe::fit(&x[..600], 3, &wanted[..200]).unwrap();
        let found = probe.values(&x[600..], 3).unwrap();
        let worst = found.iter().zip(&wanted[200..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.02, "off by {worst}");
        let constant = ValueProbe::fit(&[1.0; 30], 3, &(0..10).map(|v| v as f32).collect::<Vec<_>>()).unwrap();
        assert!((constant.values(&[1.0; 3], 3).unwrap()[0] - 4.5).abs() < 1e-4);
    }

    #[test]
    fn classes_that_a_plane_parts_are_found_and_others_are_not() {
        let x = tokens(600);
        let class = |token: &[f32]| u8::from(token[1] > 30.0) + 2 * u8::from(token[0] > 5.2);
        let wanted: Vec<u8> = x.chunks_exact(3).map(class).collect();
        let probe = ClassProbe::fit(&x[..900], 3, &wanted[..300], 5).unwrap();
        let found = probe.classes(&x[900..], 3).unwrap();
        let right = found.iter().zip(&wanted[300..]).filter(|(a, b)| a == b).count();
        assert!(right > 270, "{right} of 300");
        // The parity of the row's number is in no token.
        let parity: Vec<u8> = (0..600).map(|i| (i % 2) as u8).collect();
        let probe = ClassProbe::fit(&x[..900], 3, &parity[..300], 2).unwrap();
        let found = probe.classes(&x[900..], 3).unwrap();
        let right = found.iter().zip(&parity[300..]).filter(|(a, b)| a == b).count();
        assert!((100..200).contains(&right), "{right} of 300");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(ClassProbe::fit(&[], 3, &[], 2).is_err());
        assert!(ClassProbe::fit(&[0.0; 3], 0, &[0], 2).is_err());
        let label = ClassProbe::fit(&[0.0; 3], 3, &[2], 2).unwrap_err().to_string();
        assert!(label.contains("a label of 2"), "{label}");
        let probe = ValueProbe::fit(&tokens(9), 3, &[1.0; 9]).unwrap();
        assert!(probe.values(&[0.0; 8], 4).is_err());
        assert!(ValueProbe::fit(&tokens(9), 3, &[1.0; 8]).is_err());
    }

    #[test]
    fn cholesky_solves_and_refuses() {
        let x = solve(vec![4.0, 2.0, 2.0, 3.0], vec![10.0, 8.0]).unwrap();
        assert!((x[0] - 1.75).abs() < 1e-12 && (x[1] - 1.5).abs() < 1e-12);
        assert!(solve(vec![1.0, 2.0, 2.0, 1.0], vec![1.0, 1.0]).is_none());
        assert!(solve(vec![f64::NAN], vec![1.0]).is_none());
    }
}
