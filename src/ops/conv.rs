//! Two-dimensional convolutions with square kernels, the bulk of UNet and VAE.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::cpu::arch;
use super::cpu::conv::{Pictures, Shape, convolve, pack};
use super::cpu::panels::Bands;
use super::kernel::{View, over1, over2, takes};

/// A convolution over `[batch, inputs, h, w]` with a square kernel and equal stride and zero padding on all sides.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weights: Weights,
    shape: Shape,
}

/// Weights as the device wants them; never both forms, so that no layer takes its memory twice.
#[derive(Clone, Debug)]
enum Weights {
    Packed { bands: Arc<Bands>, bias: Option<Arc<[f32]>> },
    Plain { weight: Tensor, bias: Option<Tensor> },
}

impl Conv2d {
    /// Reads `weight` `[outputs, inputs, kernel, kernel]` and `bias` `[outputs]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load(
        vb: VarBuilder,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs, kernel, kernel), "weight")?;
        Self::new(&weight, Some(vb.get(outputs, "bias")?), stride, padding)
    }

    /// The same for a convolution that has no bias (patch embeddings of CLIP's picture tower).
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    #[expect(clippy::needless_pass_by_value, reason = "VarBuilders are handed on by value everywhere")]
    pub fn load_no_bias(
        vb: VarBuilder,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs, kernel, kernel), "weight")?;
        Self::new(&weight, None, stride, padding)
    }

    /// A convolution from its tensors: `weight` `[outputs, inputs, kernel, kernel]`, `bias` `[outputs]`.
    ///
    /// # Errors
    /// When the kernel is not square, the bias does not fit, or the stride is 0.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, stride: usize, padding: usize) -> Result<Self> {
        let (outputs, inputs, kernel, kernel_width) = weight.dims4()?;
        if kernel != kernel_width || kernel == 0 || stride == 0 {
            candle_core::bail!("a convolution of stride {stride} cannot have weights of shape {:?}", weight.shape());
        }
        if let Some(bias) = &bias
            && bias.dims() != [outputs]
        {
            candle_core::bail!("a convolution of {outputs} outputs cannot take a bias of shape {:?}", bias.shape());
        }
        let shape = Shape { inputs, outputs, kernel, stride, padding };
        let weights = if takes(weight) && bias.as_ref().is_none_or(takes) {
            let bands = Arc::new(pack(shape, &weight.flatten_all()?.to_vec1::<f32>()?));
            let bias = match bias {
                Some(bias) => Some(bias.to_vec1::<f32>()?.into()),
                None => None,
            };
            Weights::Packed { bands, bias }
        } else {
            Weights::Plain { weight: weight.contiguous()?, bias }
        };
        Ok(Self { weights, shape })
    }

    /// `[batch, inputs, h, w]` to `[batch, outputs, h', w']` with h' = ⌊(h + 2 padding − kernel) / stride⌋ + 1.
    ///
    /// # Errors
    /// When the channels differ, or the padded picture is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None)
    }

    /// The same plus `shift` `[1 or batch, outputs]`, one number a channel (the time step in a residual block).
    ///
    /// # Errors
    /// As [`Self::forward`], and when the shift does not fit.
    pub fn forward_shifted(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let (batch, outputs) = shift.dims2()?;
        if outputs != self.shape.outputs || (batch != 1 && batch != x.dim(0)?) {
            candle_core::bail!("a convolution {:?} of {:?} cannot add {:?}", self.shape, x.shape(), shift.shape());
        }
        self.apply(x, Some(shift))
    }

    fn apply(&self, x: &Tensor, shift: Option<&Tensor>) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let Shape { inputs, kernel, padding, .. } = self.shape;
        if channels != inputs || height + 2 * padding < kernel || width + 2 * padding < kernel {
            candle_core::bail!("a convolution {:?} cannot take {:?}", self.shape, x.shape());
        }
        match &self.weights {
            Weights::Packed { bands, bias } if takes(x) && shift.is_none_or(takes) => {
                let x = x.contiguous()?;
                match shift {
                    None => over1("convolution", &x, |x| self.on_cpu(bands, bias.as_deref(), x)),
                    Some(shift) => over2("convolution", [&x, &shift.contiguous()?], |[x, shift]| {
                        let mut sums = shift.contiguous()?.to_vec();
                        if let Some(bias) = bias {
                            for (sum, bias) in sums.iter_mut().zip(bias.iter().cycle()) {
                                *sum += bias;
                            }
                        }
                        self.on_cpu(bands, Some(&sums), x)
                    }),
                }
            }
            Weights::Packed { .. } => {
                candle_core::bail!("a convolution with weights in f32 on the CPU cannot take {:?}", x.dtype())
            }
            Weights::Plain { weight, bias } => {
                let y = self.reference(x, weight, bias.as_ref())?;
                match shift {
                    Some(shift) => y.broadcast_add(&shift.unsqueeze(2)?.unsqueeze(3)?),
                    None => Ok(y),
                }
            }
        }
    }

    fn on_cpu(&self, bands: &Bands, bias: Option<&[f32]>, x: View<'_>) -> Result<(Vec<f32>, candle_core::Shape)> {
        let (batch, _, height, width) = x.layout.shape().dims4()?;
        let size = (batch, self.shape.outputs, self.shape.output_side(height), self.shape.output_side(width));
        let mut out = vec![0.0; size.0 * size.1 * size.2 * size.3];
        let pictures = Pictures { numbers: x.contiguous()?, batch, height, width };
        convolve(arch(), self.shape, bands, bias, pictures, &mut out);
        Ok((out, size.into()))
    }

    fn reference(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let y = x.contiguous()?.conv2d(weight, self.shape.padding, self.shape.stride, 1, 1)?;
        match bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, self.shape.outputs, 1, 1))?),
            None => Ok(y),
        }
    }
}
