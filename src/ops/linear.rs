//! Fully connected layers, with plain or with quantised weights.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::cpu::arch;
use super::cpu::linear::{self, Rows};
use super::cpu::panels::Panels;
use super::kernel::{over1, takes};

/// y = x Wᵀ + b over the last dimension.
#[derive(Clone, Debug)]
pub struct Linear {
    weights: Weights,
    inputs: usize,
    outputs: usize,
}

/// Weights as the device wants them; never both forms, so that no layer takes its memory twice.
#[derive(Clone, Debug)]
enum Weights {
    Packed {
        panels: Arc<Panels>,
        bias: Option<Arc<[f32]>>,
    },
    Plain {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    /// In blocks of few bits (GGUF), multiplied as they are stored.
    Quantised {
        weight: Arc<QTensor>,
        bias: Option<Tensor>,
    },
}

impl Linear {
    /// Reads `weight` `[outputs, inputs]` and, where `bias` says so, `bias` `[outputs]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(vb: VarBuilder, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = vb.get((outputs, inputs), "weight")?;
        let bias = if bias { Some(vb.get(outputs, "bias")?) } else { None };
        Self::new(weight, bias)
    }

    /// A layer from its tensors: `weight` `[outputs, inputs]`, `bias` `[outputs]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        check_bias(bias.as_ref(), outputs)?;
        let weights = if takes(&weight) && bias.as_ref().is_none_or(takes) {
            let numbers = weight.flatten_all()?.to_vec1::<f32>()?;
            let panels = Arc::new(Panels::pack(arch(), inputs, outputs, |p, j| numbers[j * inputs + p]));
            let bias = match bias {
                Some(bias) => Some(bias.to_vec1::<f32>()?.into()),
                None => None,
            };
            Weights::Packed { panels, bias }
        } else {
            Weights::Plain { weight, bias }
        };
        Ok(Self { weights, inputs, outputs })
    }

    /// A layer from a quantised matrix `[outputs, inputs]` and a plain bias `[outputs]`.
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn quantised(weight: Arc<QTensor>, bias: Option<Tensor>) -> Result<Self> {
        let (outputs, inputs) = weight.shape().dims2()?;
        check_bias(bias.as_ref(), outputs)?;
        Ok(Self { weights: Weights::Quantised { weight, bias }, inputs, outputs })
    }

    /// `[…, inputs]` to `[…, outputs]`. A tensor of rank 3 need not be contiguous.
    ///
    /// # Errors
    /// When the last dimension is not `inputs`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.dim(D::Minus1)? != self.inputs {
            candle_core::bail!("a layer of {} inputs cannot take {:?}", self.inputs, x.shape());
        }
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.outputs;
        }
        match &self.weights {
            Weights::Packed { panels, bias } if takes(x) => {
                let x = if x.rank() == 3 { x.clone() } else { x.contiguous()?.reshape((1, (), self.inputs))? };
                let y = over1("linear", &x, |x| {
                    let (batch, rows, _) = x.layout.shape().dims3()?;
                    let strides = [x.layout.stride()[0], x.layout.stride()[1], x.layout.stride()[2]];
                    let mut out = vec![0.0; batch * rows * self.outputs];
                    let left = Rows { numbers: x.numbers, batch, rows, strides };
                    linear::product(arch(), left, panels, bias.as_deref(), &mut out);
                    Ok((out, (batch, rows, self.outputs).into()))
                })?;
                y.reshape(shape)
            }
            Weights::Packed { .. } => {
                candle_core::bail!("a layer with weights in f32 on the CPU cannot take {:?}", x.dtype())
            }
            Weights::Plain { weight, bias } => reference(x, weight, bias.as_ref())?.reshape(shape),
            Weights::Quantised { weight, bias } => {
                // The GPU kernels take f32 only.
                let flat = x.contiguous()?.reshape(((), self.inputs))?.to_dtype(DType::F32)?;
                let y = flat.apply_op1_no_bwd(weight.as_ref())?.to_dtype(x.dtype())?;
                with_bias(y, bias.as_ref())?.reshape(shape)
            }
        }
    }
}

fn check_bias(bias: Option<&Tensor>, outputs: usize) -> Result<()> {
    match bias {
        Some(bias) if bias.dims() != [outputs] => {
            candle_core::bail!("a layer of {outputs} outputs cannot take a bias of shape {:?}", bias.shape())
        }
        _ => Ok(()),
    }
}

/// `[…, inputs]` to `[rows, outputs]` in candle's operations.
fn reference(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    with_bias(x.contiguous()?.reshape(((), weight.dim(1)?))?.matmul(&weight.t()?)?, bias)
}

fn with_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::Linear;

    #[test]
    fn a_quantised_layer_gives_about_what_the_plain_one_gives() {
        let values = |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        let weight = Tensor::from_vec(values(6 * 64, 0.37), (6, 64), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(values(6, 0.9), 6, &Device::Cpu).unwrap();
        let x = Tensor::from_vec(values(2 * 3 * 64, 0.11), (2, 3, 64), &Device::Cpu).unwrap();
        let stored = Arc::new(QTensor::quantize(&weight, GgmlDType::Q8_0).unwrap());
        let plain = Linear::new(weight, Some(bias.clone())).unwrap().forward(&x).unwrap();
        let quantised = Linear::quantised(Arc::clone(&stored), Some(bias)).unwrap().forward(&x).unwrap();
        assert_eq!(quantised.dims(), [2, 3, 6]);
        let apart = (plain - quantised).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(apart.to_scalar::<f32>().unwrap() < 0.05);
        let wrong = Tensor::zeros((1, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(Linear::quantised(stored, None).unwrap().forward(&wrong).is_err());
    }
}
