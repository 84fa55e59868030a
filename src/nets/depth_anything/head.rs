//! The DPT head: tokens of four layers become planes of four sizes, and each coarser one is refined by the next finer.
//!
//! Ranftl and others, *Vision Transformers for Dense Prediction*; arithmetic and names of DepthAnything/Depth-Anything-V2
//! (`dpt.py`, `util/blocks.py`).

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::config::DepthAnythingConfig;
use crate::nets::watcher::Watcher;
use crate::ops::activation::relu;
use crate::ops::align_corners::resize_between_corners;
use crate::ops::conv::Conv2d;
use crate::ops::sum::add;

/// How the planes of a layer come to their size.
#[derive(Clone, Debug)]
enum Resize {
    /// A transposed convolution whose kernel is its stride: every point becomes a square of so many points a side.
    Larger(Conv2d, usize),
    /// Not at all.
    Same,
    /// A convolution of stride 2.
    Smaller(Conv2d),
}

/// Rectifier and convolution twice, added to what came in.
#[derive(Clone, Debug)]
struct Residual {
    first: Conv2d,
    second: Conv2d,
}

/// One step of the refinement.
#[derive(Clone, Debug)]
struct Refine {
    /// For the finer planes; the coarsest step has none.
    finer: Option<Residual>,
    fused: Residual,
    out: Conv2d,
}

/// The head.
#[derive(Clone, Debug)]
pub(super) struct Head {
    projects: Vec<Conv2d>,
    resizes: Vec<Resize>,
    /// To the common number of channels.
    narrow: Vec<Conv2d>,
    /// The finest first.
    refines: Vec<Refine>,
    first: Conv2d,
    second: Conv2d,
    last: Conv2d,
    patch: usize,
}

impl Head {
    pub(super) fn load(config: &DepthAnythingConfig, vb: &VarBuilder) -> Result<Self> {
        let DepthAnythingConfig { neck, fusion, hidden, vit, .. } = config;
        let (fusion, hidden) = (*fusion, *hidden);
        let scratch = vb.pp("scratch");
        let (mut projects, mut resizes, mut narrow, mut refines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, channels) in neck.iter().copied().enumerate() {
            projects.push(Conv2d::load(vb.pp(format!("projects.{index}")), vit.width, channels, 1, 1, 0)?);
            let resize = vb.pp(format!("resize_layers.{index}"));
            resizes.push(match index {
                0 => Resize::Larger(squares(&resize, channels, 4)?, 4),
                1 => Resize::Larger(squares(&resize, channels, 2)?, 2),
                2 => Resize::Same,
                _ => Resize::Smaller(Conv2d::load(resize, channels, channels, 3, 2, 1)?),
            });
            let to_common = scratch.pp(format!("layer{}_rn", index + 1));
            narrow.push(Conv2d::load_no_bias(to_common, channels, fusion, 3, 1, 1)?);
            let refine = scratch.pp(format!("refinenet{}", index + 1));
            refines.push(Refine {
                finer: if index == 3 { None } else { Some(Residual::load(&refine.pp("resConfUnit1"), fusion)?) },
                fused: Residual::load(&refine.pp("resConfUnit2"), fusion)?,
                out: Conv2d::load(refine.pp("out_conv"), fusion, fusion, 1, 1, 0)?,
            });
        }
        Ok(Self {
            projects,
            resizes,
            narrow,
            refines,
            first: Conv2d::load(scratch.pp("output_conv1"), fusion, fusion / 2, 3, 1, 1)?,
            second: Conv2d::load(scratch.pp("output_conv2.0"), fusion / 2, hidden, 3, 1, 1)?,
            last: Conv2d::load(scratch.pp("output_conv2.2"), hidden, 1, 1, 1, 0)?,
            patch: vit.patch,
        })
    }

    /// `tokens`: patch tokens of the four layers, `[batch, rows · columns, width]` each, the lowest layer first. Gives
    /// `[batch, 1, rows · patch, columns · patch]` before the last activation. The watcher is asked between steps.
    pub(super) fn forward(
        &self,
        tokens: &[Tensor],
        (rows, columns): (usize, usize),
        watcher: &dyn Watcher,
    ) -> Result<Tensor> {
        let mut planes = Vec::with_capacity(tokens.len());
        for (((tokens, project), resize), narrow) in
            tokens.iter().zip(&self.projects).zip(&self.resizes).zip(&self.narrow)
        {
            watcher.checkpoint()?;
            let (batch, _, width) = tokens.dims3()?;
            let x = tokens.transpose(1, 2)?.contiguous()?.reshape((batch, width, rows, columns))?;
            let x = project.forward(&x)?;
            let x = match resize {
                Resize::Larger(squares, side) => spread(&squares.forward(&x)?, *side)?,
                Resize::Same => x,
                Resize::Smaller(conv) => conv.forward(&x)?,
            };
            planes.push(narrow.forward(&x)?);
        }
        let mut fused: Option<Tensor> = None;
        for (index, (refine, own)) in self.refines.iter().zip(&planes).enumerate().rev() {
            watcher.checkpoint()?;
            let (_, _, height, width) = own.dims4()?;
            // Each step ends at the size of the next finer planes, the last at twice its own.
            let size = match index.checked_sub(1).and_then(|finer| planes.get(finer)) {
                Some(finer) => (finer.dim(2)?, finer.dim(3)?),
                None => (2 * height, 2 * width),
            };
            let x = match (&fused, &refine.finer) {
                (Some(coarser), Some(residual)) => add(coarser, &residual.forward(own)?)?,
                _ => own.clone(),
            };
            let x = resize_between_corners(&refine.fused.forward(&x)?, size.0, size.1)?;
            fused = Some(refine.out.forward(&x)?);
        }
        let Some(fused) = fused else { candle_core::bail!("a depth head needs tokens of four layers") };
        watcher.checkpoint()?;
        let x = resize_between_corners(&self.first.forward(&fused)?, rows * self.patch, columns * self.patch)?;
        self.last.forward(&relu(&self.second.forward(&x)?)?)
    }
}

impl Residual {
    fn load(vb: &VarBuilder, channels: usize) -> Result<Self> {
        let conv = |name: &str| Conv2d::load(vb.pp(name), channels, channels, 3, 1, 1);
        Ok(Self { first: conv("conv1")?, second: conv("conv2")? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.second.forward(&relu(&self.first.forward(&relu(x)?)?)?)?;
        add(&inner, x)
    }
}

/// The transposed convolution `weight` `[channels, channels, side, side]` whose kernel is its stride, as a convolution of
/// one point that gives `channels · side · side` channels: the squares do not overlap.
fn squares(vb: &VarBuilder, channels: usize, side: usize) -> Result<Conv2d> {
    let weight = vb.get((channels, channels, side, side), "weight")?;
    let weight = weight.permute((1, 2, 3, 0))?.contiguous()?.reshape((channels * side * side, channels, 1, 1))?;
    let bias = vb.get(channels, "bias")?.unsqueeze(1)?.repeat((1, side * side))?.flatten_all()?;
    Conv2d::new(&weight, Some(bias), 1, 0)
}

/// `[batch, channels · side · side, h, w]` to `[batch, channels, h · side, w · side]`.
fn spread(x: &Tensor, side: usize) -> Result<Tensor> {
    let (batch, many, h, w) = x.dims4()?;
    let channels = many / (side * side);
    x.reshape(vec![batch, channels, side, side, h, w])?.permute(vec![0, 1, 4, 2, 5, 3])?.contiguous()?.reshape((
        batch,
        channels,
        h * side,
        w * side,
    ))
}
