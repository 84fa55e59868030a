//! The levels of the UNet: residual blocks, transformers where the config puts them, and the change of resolution.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::resnet::{Downsample, Resnet, ResnetStyle, Upsample};
use super::transformer2d::{Transformer2d, TransformerStyle};
use super::watcher::Watcher;

/// What a level is made of; `attention` holds the depth of each of its transformers and is empty where it has none.
pub(super) struct LevelPlan {
    pub(super) outputs: usize,
    pub(super) layers: usize,
    pub(super) attention: Vec<usize>,
    pub(super) transformer: TransformerStyle,
    pub(super) resnet: ResnetStyle,
}

impl LevelPlan {
    fn transformers(&self, vb: &VarBuilder) -> Result<Vec<Transformer2d>> {
        let one = |(i, depth): (usize, &usize)| {
            Transformer2d::load(
                &vb.pp(format!("attentions.{i}")),
                TransformerStyle { depth: *depth, ..self.transformer },
            )
        };
        self.attention.iter().enumerate().map(one).collect()
    }
}

/// `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Debug)]
pub(super) struct DownLevel {
    resnets: Vec<Resnet>,
    transformers: Vec<Transformer2d>,
    downsample: Option<Downsample>,
}

impl DownLevel {
    /// `downsample` is the padding of the convolution that halves the plane; the last level has none.
    pub(super) fn load(vb: &VarBuilder, plan: &LevelPlan, inputs: usize, downsample: Option<usize>) -> Result<Self> {
        let resnet = |i: usize| {
            let inputs = if i == 0 { inputs } else { plan.outputs };
            Resnet::load(&vb.pp(format!("resnets.{i}")), inputs, plan.outputs, plan.resnet)
        };
        Ok(Self {
            resnets: (0..plan.layers).map(resnet).collect::<Result<_>>()?,
            transformers: plan.transformers(vb)?,
            downsample: match downsample {
                Some(padding) => Some(Downsample::load(&vb.pp("downsamplers.0"), plan.outputs, padding)?),
                None => None,
            },
        })
    }

    /// Pushes every intermediate plane onto `skips`.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        text: &Tensor,
        skips: &mut Vec<Tensor>,
        watcher: &dyn Watcher,
    ) -> Result<Tensor> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            watcher.checkpoint()?;
            x = resnet.forward(&x, Some(time))?;
            if let Some(transformer) = self.transformers.get(i) {
                watcher.checkpoint()?;
                x = transformer.forward(&x, text, watcher)?;
            }
            skips.push(x.clone());
        }
        if let Some(downsample) = &self.downsample {
            x = downsample.forward(&x)?;
            skips.push(x.clone());
        }
        Ok(x)
    }
}

/// `UNetMidBlock2DCrossAttn`.
#[derive(Debug)]
pub(super) struct MiddleLevel {
    first: Resnet,
    transformer: Transformer2d,
    second: Resnet,
}

impl MiddleLevel {
    pub(super) fn load(vb: &VarBuilder, resnet: ResnetStyle, transformer: TransformerStyle) -> Result<Self> {
        let width = transformer.channels;
        Ok(Self {
            first: Resnet::load(&vb.pp("resnets.0"), width, width, resnet)?,
            transformer: Transformer2d::load(&vb.pp("attentions.0"), transformer)?,
            second: Resnet::load(&vb.pp("resnets.1"), width, width, resnet)?,
        })
    }

    pub(super) fn forward(&self, mut x: Tensor, time: &Tensor, text: &Tensor, watcher: &dyn Watcher) -> Result<Tensor> {
        watcher.checkpoint()?;
        x = self.first.forward(&x, Some(time))?;
        x = self.transformer.forward(&x, text, watcher)?;
        self.second.forward(&x, Some(time))
    }
}

/// `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Debug)]
pub(super) struct UpLevel {
    resnets: Vec<Resnet>,
    transformers: Vec<Transformer2d>,
    upsample: Option<Upsample>,
}

impl UpLevel {
    /// `before`: channels that come from below; `skip`: channels of the level that the last skip connection comes from.
    pub(super) fn load(vb: &VarBuilder, plan: &LevelPlan, before: usize, skip: usize, upsample: bool) -> Result<Self> {
        let resnet = |i: usize| {
            let skip = if i + 1 == plan.layers { skip } else { plan.outputs };
            let below = if i == 0 { before } else { plan.outputs };
            Resnet::load(&vb.pp(format!("resnets.{i}")), below + skip, plan.outputs, plan.resnet)
        };
        Ok(Self {
            resnets: (0..plan.layers).map(resnet).collect::<Result<_>>()?,
            transformers: plan.transformers(vb)?,
            upsample: if upsample { Some(Upsample::load(&vb.pp("upsamplers.0"), plan.outputs)?) } else { None },
        })
    }

    /// Takes its planes from the end of `skips`; the result has the size of the next one there.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        text: &Tensor,
        skips: &mut Vec<Tensor>,
        watcher: &dyn Watcher,
    ) -> Result<Tensor> {
        for (i, resnet) in self.resnets.iter().enumerate() {
            watcher.checkpoint()?;
            let Some(skip) = skips.pop() else {
                candle_core::bail!("the UNet's levels do not mirror each other: a skip connection is missing")
            };
            x = Tensor::cat(&[&x, &skip], 1)?;
            drop(skip);
            x = resnet.forward(&x, Some(time))?;
            if let Some(transformer) = self.transformers.get(i) {
                watcher.checkpoint()?;
                x = transformer.forward(&x, text, watcher)?;
            }
        }
        if let Some(upsample) = &self.upsample {
            let (_, _, height, width) = x.dims4()?;
            let (height, width) = match skips.last() {
                Some(next) => (next.dim(2)?, next.dim(3)?),
                None => (2 * height, 2 * width),
            };
            x = upsample.forward(&x, height, width)?;
        }
        Ok(x)
    }
}
