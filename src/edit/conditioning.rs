//! The rows of a denoising step's batch: one shared noisy latent under 3 + K conditionings (spec/sane.md section 2.3).
//!
//! | row | picture | text |
//! | --- | --- | --- |
//! | 0 | source | the wish A |
//! | 1 | source | empty |
//! | 2 | zeros | empty |
//! | 3 … 2 + K | source | instruction S_k |

use candle_core::{DType, Tensor};

use super::EditError;
use super::editor::Editor;
use super::guidance::Scales;
use crate::nets::watcher::Watcher;

/// Everything that stays the same from step to step.
#[derive(Debug)]
pub struct Conditioning {
    /// `[3 + K, positions, width]`, in the network's precision.
    pub text: Tensor,
    /// `[3 + K, channels, h, w]`: the source's latents, unscaled, and zeros for the null row.
    pub image: Tensor,
    /// Which rows go through the network, in order; the others have no say in the result.
    evaluated: Vec<usize>,
    /// Rows of one forward pass at most.
    pub rows_at_once: usize,
}

impl Conditioning {
    /// Encodes the wish and its instructions. `image_latents` `[1, channels, h, w]` are the autoencoder's mode.
    ///
    /// # Errors
    /// If a network fails or the run is cancelled.
    pub fn new<'a>(
        editor: &Editor,
        instruction: &'a str,
        specifics: impl Iterator<Item = &'a str>,
        image_latents: &Tensor,
        rows_at_once: usize,
        watcher: &dyn Watcher,
    ) -> Result<Self, EditError> {
        let texts: Vec<&str> = [instruction, "", ""].into_iter().chain(specifics).collect();
        let text = editor.embed(&texts, watcher)?;
        let null = image_latents.zeros_like()?;
        let rows: Vec<&Tensor> = (0..texts.len()).map(|row| if row == 2 { &null } else { image_latents }).collect();
        let image = Tensor::cat(&rows, 0)?;
        let evaluated = (0..texts.len()).collect();
        Ok(Self { text, image, evaluated, rows_at_once: rows_at_once.max(1) })
    }

    /// Leaves out the rows whose coefficient is 0 at these scales: the wish at s_T = 0, the null row at s_I = 1.
    ///
    /// In their place [`Self::predict`] returns the image-only row, which [`super::guidance::guide`] then ignores.
    #[must_use]
    pub fn without_idle_rows(mut self, scales: Scales) -> Self {
        let idle = |row: &usize| (*row == 0 && scales.text == 0.0) || (*row == 2 && scales.image == 1.0);
        self.evaluated.retain(|row| !idle(row));
        self
    }

    /// Rows of the batch: 3 + K.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.image.dims()[0]
    }

    /// The network's output for every row, `[3 + K][channels * h * w]`, from one noisy latent `z` (already scaled).
    ///
    /// Rows go through the network a few at a time when memory asks for it; that changes nothing beyond rounding.
    ///
    /// # Errors
    /// If the network fails or the run is cancelled.
    pub fn predict(
        &self,
        editor: &Editor,
        z: &[f32],
        timestep: f64,
        watcher: &dyn Watcher,
    ) -> Result<Vec<Vec<f32>>, EditError> {
        let (rows, channels, height, width) = self.image.dims4()?;
        let noisy =
            Tensor::from_slice(z, (1, channels, height, width), self.image.device())?.to_dtype(self.image.dtype())?;
        let mut outputs = vec![Vec::new(); rows];
        for together in self.evaluated.chunks(self.rows_at_once) {
            let count = together.len();
            let taken = |all: &Tensor| {
                let parts = together.iter().map(|row| all.narrow(0, *row, 1)).collect::<Result<Vec<_>, _>>()?;
                Tensor::cat(&parts, 0)
            };
            let noisy = noisy.expand((count, channels, height, width))?;
            let sample = Tensor::cat(&[&noisy, &taken(&self.image)?], 1)?;
            let text = taken(&self.text)?;
            let output = editor.unet.forward(&sample, timestep, &text, watcher)?.to_dtype(DType::F32)?;
            let values: Vec<f32> = output.flatten_all()?.to_vec1()?;
            for (row, values) in together.iter().zip(values.chunks(z.len())) {
                outputs[*row] = values.to_vec();
            }
        }
        for row in [0, 2] {
            if outputs[row].is_empty() {
                outputs[row] = outputs[1].clone();
            }
        }
        Ok(outputs)
    }
}
