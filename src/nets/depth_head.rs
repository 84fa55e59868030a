//! The starter's depth head (training/depth.py): three convolutions over a vision transformer's patch tokens and the mean
//! colours of quarter patches tell, at several points a patch, how far away things are and whether there is a surface.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

use crate::ops::activation::gelu_erf;
use crate::ops::conv::Conv2d;

/// What `layout` says in the config of such a head.
pub const LAYOUT: &str = "glassbox-depth-head";
/// Colours of the quarter patches of a patch: 2 × 2 means of 3 channels.
const COLOURS: usize = 12;

/// Its `config.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DepthHeadConfig {
    /// [`LAYOUT`].
    pub layout: String,
    /// The folder of the backbone whose tokens it reads, from its own folder.
    pub backbone: String,
    /// Channels of the tokens.
    pub width: usize,
    /// Channels between the convolutions.
    pub hidden: usize,
    /// Side of a patch in pixels; even.
    pub patch: usize,
    /// Points along a patch's side.
    pub points: usize,
}

/// The head.
#[derive(Clone, Debug)]
pub struct DepthHead {
    conv_in: Conv2d,
    conv_mid: Conv2d,
    conv_out: Conv2d,
    config: DepthHeadConfig,
}

/// What it tells of a picture, `[rows · points, columns · points]` each.
#[derive(Clone, Debug)]
pub struct DepthMaps {
    /// The natural log of distance along the viewing axis × tangent of half the field of view.
    pub log_distance: Tensor,
    /// Positive where there is a surface, negative where there is sky.
    pub surface: Tensor,
}

impl DepthHead {
    /// Reads its weights.
    ///
    /// # Errors
    /// When a size cannot be, a tensor is missing or has another shape.
    pub fn load(config: &DepthHeadConfig, vb: &VarBuilder) -> Result<Self> {
        let DepthHeadConfig { width, hidden, patch, points, .. } = *config;
        let sound = |value: usize, most: usize| (1..=most).contains(&value);
        if !sound(width, 1 << 14)
            || !sound(hidden, 1 << 14)
            || !sound(points, 32)
            || !sound(patch, 256)
            || patch % 2 == 1
        {
            candle_core::bail!(
                "a depth head of width {width}, {hidden} channels, {points} points and patches of {patch} cannot be"
            );
        }
        Ok(Self {
            conv_in: Conv2d::load(vb.pp("conv_in"), width + COLOURS, hidden, 3, 1, 1)?,
            conv_mid: Conv2d::load(vb.pp("conv_mid"), hidden, hidden, 3, 1, 1)?,
            conv_out: Conv2d::load(vb.pp("conv_out"), hidden, 2 * points * points, 1, 1, 0)?,
            config: config.clone(),
        })
    }

    /// `tokens` `[rows · columns, width]` after the backbone's last norm, and the normalised `pixels` `[1, 3, rows · patch,
    /// columns · patch]` that the backbone saw.
    ///
    /// # Errors
    /// When the sizes do not fit each other.
    pub fn forward(&self, tokens: &Tensor, pixels: &Tensor) -> Result<DepthMaps> {
        let (half, points) = (self.config.patch / 2, self.config.points);
        let (_, _, height, width) = pixels.dims4()?;
        let (rows, columns) = (height / self.config.patch, width / self.config.patch);
        let grid = tokens.t()?.contiguous()?.reshape((1, self.config.width, rows, columns))?;
        let quarters = pixels.reshape((3, rows * 2, half, columns * 2, half))?.mean(4)?.mean(2)?;
        // The four quarters of a patch become channels, as pixel_unshuffle orders them.
        let colours = quarters.reshape(vec![3, rows, 2, columns, 2])?.permute(vec![0, 2, 4, 1, 3])?.contiguous()?;
        let colours = colours.reshape((1, COLOURS, rows, columns))?;
        let x = gelu_erf(&self.conv_in.forward(&Tensor::cat(&[&grid, &colours], 1)?)?)?;
        let x = gelu_erf(&self.conv_mid.forward(&x)?)?;
        let x = self.conv_out.forward(&x)?.reshape(vec![2, points, points, rows, columns])?;
        let maps = x.permute(vec![0, 3, 1, 4, 2])?.contiguous()?.reshape((2, rows * points, columns * points))?;
        Ok(DepthMaps { log_distance: maps.get(0)?, surface: maps.get(1)? })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn it_computes_what_torch_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/fixtures/depth_head.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let vb = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
        let config = DepthHeadConfig {
            layout: LAYOUT.into(),
            backbone: String::new(),
            width: 8,
            hidden: 6,
            patch: 14,
            points: 4,
        };
        let head = DepthHead::load(&config, &vb.pp("head")).unwrap();
        let found = head.forward(&tensors["tokens"], &tensors["pixels"]).unwrap();
        for (name, found) in [("log_distance", &found.log_distance), ("surface", &found.surface)] {
            let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(found.dims(), [8, 12]);
            let off =
                numbers(found).iter().zip(numbers(&tensors[name])).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(off < 1e-5, "{name}: {off}");
        }
        let odd = DepthHeadConfig { patch: 13, ..config };
        assert!(DepthHead::load(&odd, &vb.pp("head")).unwrap_err().to_string().contains("patches of 13"));
    }
}
