//! The random draws of a run: from a seed, or injected from a file so that a run can be held against another program's.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::EditError;

/// Unit normal draws: one initial latent, and one latent a step.
#[derive(Clone, Debug)]
pub enum Draws {
    /// From a seed. Each step has its own stream, so the number of steps or of channels changes no other draw.
    Seeded(u64),
    /// From `init` `[1, c, h, w]` and `steps` `[N, 1, c, h, w]` (design.md section 4).
    Injected {
        /// The initial latent.
        init: Vec<f32>,
        /// The draws of the steps, one after another.
        steps: Vec<f32>,
    },
}

impl Draws {
    /// Takes the draws of a `--noise` file.
    ///
    /// # Errors
    /// If `init` or `steps` is missing.
    pub fn from_tensors(tensors: &HashMap<String, Tensor>) -> Result<Self, EditError> {
        let take = |name: &str| -> Result<Vec<f32>, EditError> {
            let tensor = tensors
                .get(name)
                .ok_or_else(|| EditError::Noise(format!("the noise file has no tensor named {name:?}")))?;
            Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        Ok(Self::Injected { init: take("init")?, steps: take("steps")? })
    }

    /// Reads a `--noise` file.
    ///
    /// # Errors
    /// If it cannot be read, or `init` or `steps` is missing.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        let unreadable = |reason: String| EditError::Noise(format!("the noise file {}: {reason}", path.display()));
        if !path.is_file() {
            return Err(unreadable("there is no such file".to_owned()));
        }
        let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu);
        Self::from_tensors(&tensors.map_err(|error| unreadable(error.to_string()))?)
    }

    /// The initial latent, `count` unit normal numbers.
    ///
    /// # Errors
    /// If the injected latent has another size.
    pub fn init(&self, count: usize) -> Result<Vec<f32>, EditError> {
        match self {
            Self::Seeded(seed) => Ok(normal(*seed, 0, count)),
            Self::Injected { init, .. } if init.len() == count => Ok(init.clone()),
            Self::Injected { init, .. } => Err(EditError::Noise(format!(
                "the noise file's `init` has {} numbers, this edit needs {count}",
                init.len()
            ))),
        }
    }

    /// The draw of step `i`, `count` unit normal numbers.
    ///
    /// # Errors
    /// If the injected draws end before this step.
    pub fn step(&self, i: usize, count: usize) -> Result<Vec<f32>, EditError> {
        match self {
            Self::Seeded(seed) => Ok(normal(*seed, i as u64 + 1, count)),
            Self::Injected { steps, .. } => steps
                .get(i * count..(i + 1) * count)
                .map(<[f32]>::to_vec)
                .ok_or_else(|| EditError::Noise(format!("the noise file's `steps` ends before step {i}"))),
        }
    }
}

/// `count` unit normal numbers of a seed's stream, by Box and Muller's transform in f64: the same on every machine.
fn normal(seed: u64, stream: u64, count: usize) -> Vec<f32> {
    use rand::RngCore;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    // 53 bits in (0, 1].
    let mut uniform = || ((rng.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        let radius = (-2.0 * uniform().ln()).sqrt();
        let angle = std::f64::consts::TAU * uniform();
        numbers.push((radius * angle.cos()) as f32);
        numbers.push((radius * angle.sin()) as f32);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_draws_are_unit_normal_and_repeat() {
        let draws = Draws::Seeded(7);
        let numbers = draws.init(20_000).expect("draws");
        let mean = numbers.iter().sum::<f32>() / 20_000.0;
        let variance = numbers.iter().map(|x| x * x).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        assert_eq!(numbers, Draws::Seeded(7).init(20_000).expect("draws"));
        assert_ne!(numbers[..8], Draws::Seeded(8).init(8).expect("draws"));
        assert_ne!(numbers[..8], draws.step(0, 8).expect("draws"));
    }

    #[test]
    fn a_longer_draw_begins_with_the_shorter() {
        let draws = Draws::Seeded(1);
        assert_eq!(draws.step(3, 5).expect("draws"), draws.step(3, 9).expect("draws")[..5]);
    }

    #[test]
    fn injected_draws_of_another_size_are_refused() {
        let draws = Draws::Injected { init: vec![0.0; 4], steps: vec![0.5; 8] };
        assert!(draws.init(5).is_err());
        assert_eq!(draws.step(1, 4).expect("two steps"), [0.5; 4]);
        assert!(draws.step(2, 4).is_err());
    }
}
