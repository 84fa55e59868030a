//! Two-dimensional convolutions with square kernels, the bulk of UNet and VAE.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A convolution over `[batch, inputs, h, w]` with a square kernel and equal stride and zero padding on all sides.
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    shape: Shape,
}

/// What a convolution does to a picture's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
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
        Ok(Self { weight: weight.contiguous()?, bias, shape })
    }

    /// `[batch, inputs, h, w]` to `[batch, outputs, h', w']` with h' = ⌊(h + 2 padding − kernel) / stride⌋ + 1.
    ///
    /// # Errors
    /// When the channels differ, or the padded picture is smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let Shape { inputs, kernel, padding, .. } = self.shape;
        if channels != inputs || height + 2 * padding < kernel || width + 2 * padding < kernel {
            candle_core::bail!("a convolution {:?} cannot take {:?}", self.shape, x.shape());
        }
        self.reference(x)
    }

    fn reference(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.conv2d(&self.weight, self.shape.padding, self.shape.stride, 1, 1)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, self.shape.outputs, 1, 1))?),
            None => Ok(y),
        }
    }
}
