//! How a noisy latent becomes a clean one: Euler-ancestral, Euler, DDIM and DPM-Solver++ 2M.
//!
//! Built from a model folder's own `scheduler_config.json` as diffusers builds them (spec/sane.md section 3): keys that
//! are there count, absent keys take the default of the scheduler that is *run*, unknown keys are ignored. All tables are
//! in f64 with the reference's own roundings to f32 where it has them; noise comes from outside.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which rule takes the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerKind {
    /// The reference's choice; draws fresh noise each step.
    #[default]
    EulerAncestral,
    /// The same without fresh noise.
    Euler,
    /// Deterministic, on the training's own timesteps.
    Ddim,
    /// Second-order, for few steps.
    DpmSolver,
    /// The same on Karras' noise levels.
    DpmSolverKarras,
}

impl SchedulerKind {
    /// All of them, in the order a person is offered them.
    pub const ALL: [Self; 5] = [Self::EulerAncestral, Self::Euler, Self::Ddim, Self::DpmSolver, Self::DpmSolverKarras];

    /// The name on the command line and in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EulerAncestral => "euler-ancestral",
            Self::Euler => "euler",
            Self::Ddim => "ddim",
            Self::DpmSolver => "dpm-solver",
            Self::DpmSolverKarras => "dpm-solver-karras",
        }
    }

    /// The name a person reads.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::EulerAncestral => "Euler ancestral",
            Self::Euler => "Euler",
            Self::Ddim => "DDIM",
            Self::DpmSolver => "DPM-Solver++ 2M",
            Self::DpmSolverKarras => "DPM-Solver++ 2M Karras",
        }
    }
}

impl std::str::FromStr for SchedulerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("unknown scheduler {text:?}; known are {}", names.join(", "))
        })
    }
}

/// What the network's output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// The noise ε.
    Epsilon,
    /// The velocity v = α·ε − σ·x₀.
    Velocity,
    /// The clean sample x₀.
    Sample,
}

/// A scheduler config that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("scheduler_config.json: {key} = {value} is not supported{hint}")]
pub struct SchedulerError {
    key: &'static str,
    value: String,
    hint: &'static str,
}

fn unsupported(key: &'static str, value: &(impl ToString + ?Sized), hint: &'static str) -> SchedulerError {
    SchedulerError { key, value: value.to_string(), hint }
}

/// The config's keys that matter, read with the defaults of the scheduler that is run.
struct Config<'a>(&'a Value);

impl Config<'_> {
    fn number(&self, key: &str, default: f64) -> f64 {
        self.0.get(key).and_then(Value::as_f64).unwrap_or(default)
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    fn word(&self, key: &str, default: &'static str) -> String {
        self.0.get(key).and_then(Value::as_str).unwrap_or(default).to_owned()
    }

    /// ᾱ_t for every training timestep (diffusers `betas_for_alpha_bar`, `rescale_zero_terminal_snr`).
    fn alphas_cumprod(&self) -> Result<Vec<f64>, SchedulerError> {
        let train = self.train_steps()?;
        let (start, end) = (self.number("beta_start", 0.0001), self.number("beta_end", 0.02));
        let schedule = self.word("beta_schedule", "linear");
        let betas: Vec<f64> = match (self.0.get("trained_betas").and_then(Value::as_array), schedule.as_str()) {
            (Some(trained), _) => trained.iter().filter_map(Value::as_f64).collect(),
            (None, "linear") => linspace_f32(start, end, train).map(f64::from).collect(),
            (None, "scaled_linear") => {
                linspace_f32(start.sqrt(), end.sqrt(), train).map(|root| f64::from(root * root)).collect()
            }
            (None, "squaredcos_cap_v2") => (0..train)
                .map(|i| {
                    let bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
                    let (now, next) = (i as f64 / train as f64, (i + 1) as f64 / train as f64);
                    (1.0 - bar(next) / bar(now)).min(0.999)
                })
                .collect(),
            (None, other) => return Err(unsupported("beta_schedule", other, "")),
        };
        if betas.len() != train {
            return Err(unsupported("trained_betas", &betas.len(), ": it needs one number a training step"));
        }
        // The reference keeps β, α and ᾱ in f32 and multiplies in f64; a rounded Karras timestep can hang on that.
        let mut product = 1.0;
        let mut bars: Vec<f64> = betas
            .into_iter()
            .map(|beta| {
                product *= f64::from(1.0 - beta as f32);
                f64::from(product as f32)
            })
            .collect();
        if self.flag("rescale_betas_zero_snr", false) {
            let roots: Vec<f64> = bars.iter().map(|bar| bar.sqrt()).collect();
            let (first, last) = (roots[0], roots[train - 1]);
            for (bar, root) in bars.iter_mut().zip(&roots) {
                *bar = ((root - last) * first / (first - last)).powi(2);
            }
        }
        Ok(bars)
    }

    fn train_steps(&self) -> Result<usize, SchedulerError> {
        let train = self.number("num_train_timesteps", 1000.0);
        if (2.0..=1_000_000.0).contains(&train) {
            Ok(train as usize)
        } else {
            Err(unsupported("num_train_timesteps", &train, ""))
        }
    }
}

/// `n` points from `start` to `end`, both included; `[start]` for one, as numpy does.
fn linspace(start: f64, end: f64, n: usize) -> Vec<f64> {
    let gaps = n.saturating_sub(1).max(1) as f64;
    (0..n).map(|i| start + (end - start) * i as f64 / gaps).collect()
}

/// `linspace` as torch rounds it in f32: from both ends towards the middle.
fn linspace_f32(start: f64, end: f64, n: usize) -> impl Iterator<Item = f32> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (n.max(2) - 1) as f32;
    (0..n).map(move |i| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 })
}

/// Linear interpolation of `table` (at 0, 1, 2 …) at `at`, clamped.
fn interpolate(table: &[f64], at: f64) -> f64 {
    let last = table.len() - 1;
    let at = at.clamp(0.0, last as f64);
    let below = (at.floor() as usize).min(last.saturating_sub(1));
    let above = (below + 1).min(last);
    table[below] + (table[above] - table[below]) * (at - below as f64)
}

/// Karras' noise levels, ρ = 7.
fn karras(min: f64, max: f64, n: usize) -> Vec<f64> {
    let (low, high) = (min.powf(1.0 / 7.0), max.powf(1.0 / 7.0));
    linspace(0.0, 1.0, n).into_iter().map(|ramp| (high + ramp * (low - high)).powi(7)).collect()
}

/// The fractional timestep of a noise level, by log-linear interpolation (diffusers `_sigma_to_t`).
fn timestep_of(sigma: f64, sigmas: &[f64]) -> f64 {
    let log = sigma.max(1e-10).ln();
    let log_of = |i: usize| f64::from((sigmas[i] as f32).ln());
    let low = (0..sigmas.len()).rev().find(|&i| log_of(i) <= log).unwrap_or(0).min(sigmas.len() - 2);
    let (a, b) = (log_of(low), log_of(low + 1));
    low as f64 + ((a - log) / (a - b)).clamp(0.0, 1.0)
}

/// The steps of one run: timesteps, noise levels and how to go from one to the next.
#[derive(Clone, Debug)]
pub struct Schedule {
    kind: SchedulerKind,
    prediction: Prediction,
    /// What the network is told, one a step; fractional for Euler on `linspace`.
    pub timesteps: Vec<f64>,
    /// σ = √((1−ᾱ)/ᾱ) before each step and after the last: one more than steps.
    pub sigmas: Vec<f64>,
    /// Standard deviation of the initial latent.
    pub init_std: f64,
    /// DDIM clips the estimated sample to ±this.
    clip: Option<f64>,
    /// DPM-Solver: the last step is first order.
    lower_order_final: bool,
    /// DPM-Solver: "heun" instead of "midpoint".
    heun: bool,
}

impl Schedule {
    /// The schedule of `steps` steps under a folder's `scheduler_config.json`.
    ///
    /// # Errors
    /// [`SchedulerError`] names the key that cannot be followed.
    pub fn new(kind: SchedulerKind, config: &Value, steps: usize) -> Result<Self, SchedulerError> {
        let config = Config(config);
        let train = config.train_steps()?;
        if steps == 0 || steps > train {
            return Err(unsupported("steps", &steps, ": choose between 1 and the model's training steps"));
        }
        if config.flag("thresholding", false) {
            return Err(unsupported("thresholding", &true, ""));
        }
        let prediction = match config.word("prediction_type", "epsilon").as_str() {
            "epsilon" => Prediction::Epsilon,
            "v_prediction" => Prediction::Velocity,
            "sample" => Prediction::Sample,
            other => return Err(unsupported("prediction_type", other, "")),
        };
        let mut bars = config.alphas_cumprod()?;
        let ancestral_or_euler = matches!(kind, SchedulerKind::EulerAncestral | SchedulerKind::Euler);
        if let Some(last) = bars.last_mut()
            && *last < 1e-12
            && kind != SchedulerKind::Ddim
        {
            // Zero terminal signal-to-noise has no finite σ; diffusers puts the same tiny number there.
            *last = 2f64.powi(-24);
        }
        let table: Vec<f64> = bars.iter().map(|bar| f64::from(((1.0 - *bar as f32) / *bar as f32).sqrt())).collect();
        let spacing = config.word("timestep_spacing", if kind == SchedulerKind::Ddim { "leading" } else { "linspace" });
        let offset = config.number("steps_offset", 0.0);
        let solver = matches!(kind, SchedulerKind::DpmSolver | SchedulerKind::DpmSolverKarras);
        let mut timesteps = spaced(&spacing, train, steps, offset, solver)?;
        if !ancestral_or_euler && spacing == "linspace" {
            for t in &mut timesteps {
                *t = t.round_ties_even();
            }
        }

        let mut sigmas: Vec<f64> = timesteps.iter().map(|&t| interpolate(&table, t)).collect();
        let karras_asked = kind == SchedulerKind::DpmSolverKarras
            || (kind == SchedulerKind::Euler && config.flag("use_karras_sigmas", false));
        if karras_asked {
            let (max, min) = if solver { (table[train - 1], table[0]) } else { (sigmas[0], sigmas[steps - 1]) };
            sigmas = karras(min, max, steps);
            timesteps = sigmas.iter().map(|&sigma| timestep_of(sigma, &table)).collect();
            if solver && config.word("beta_schedule", "linear") != "squaredcos_cap_v2" {
                for t in &mut timesteps {
                    *t = t.round_ties_even();
                }
            }
        }
        let final_sigma = match kind {
            SchedulerKind::Ddim if config.flag("set_alpha_to_one", true) => 0.0,
            SchedulerKind::Ddim => table[0],
            SchedulerKind::EulerAncestral => 0.0,
            _ if config.word("final_sigmas_type", "zero") == "sigma_min" => table[0],
            _ => 0.0,
        };
        sigmas.push(final_sigma);
        if kind == SchedulerKind::Ddim {
            // DDIM's next level is that of t − ⌊T/N⌋, whatever the spacing.
            let stride = (train / steps) as f64;
            for i in 0..steps {
                let previous = timesteps[i] - stride;
                sigmas[i + 1] = if previous >= 0.0 { table[previous as usize] } else { final_sigma };
            }
        }
        let max = sigmas[..steps].iter().copied().fold(0.0, f64::max);
        let init_std = match (ancestral_or_euler, spacing.as_str()) {
            (false, _) => 1.0,
            (true, "leading") => (max * max + 1.0).sqrt(),
            (true, _) => max,
        };
        let clip = (kind == SchedulerKind::Ddim && config.flag("clip_sample", true))
            .then(|| config.number("clip_sample_range", 1.0));
        let lower_order_final = config.flag("euler_at_final", false)
            || (config.flag("lower_order_final", true) && steps < 15)
            || config.word("final_sigmas_type", "zero") == "zero";
        let heun = config.word("solver_type", "midpoint") == "heun";
        Ok(Self { kind, prediction, timesteps, sigmas, init_std, clip, lower_order_final, heun })
    }

    /// Number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timesteps.len()
    }

    /// Never: a schedule has at least one step.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timesteps.is_empty()
    }

    /// Whether latents carry σ themselves (Euler: z = x₀ + σ·ε) or are kept at unit variance (z = α·x₀ + σ·α·ε).
    fn exploding(&self) -> bool {
        matches!(self.kind, SchedulerKind::EulerAncestral | SchedulerKind::Euler)
    }

    /// What the network is fed at step `i`: z / √(σ²+1) for Euler, z itself otherwise.
    #[must_use]
    pub fn model_input(&self, i: usize, z: &[f32]) -> Vec<f32> {
        if !self.exploding() {
            return z.to_vec();
        }
        let scale = (self.sigmas[i] * self.sigmas[i] + 1.0).sqrt() as f32;
        z.iter().map(|value| value / scale).collect()
    }

    /// (α, σ) at step `i` with α² + σ² = 1.
    fn variance_preserving(sigma: f64) -> (f64, f64) {
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        (alpha, sigma * alpha)
    }

    /// The clean latent that the network's output at step `i` implies.
    #[must_use]
    pub fn predicted_clean(&self, i: usize, output: &[f32], z: &[f32]) -> Vec<f32> {
        let sigma = self.sigmas[i];
        let (alpha, scaled) = Self::variance_preserving(sigma);
        // x₀ = from_z·z + from_output·output
        let (from_z, from_output) = match (self.prediction, self.exploding()) {
            (Prediction::Sample, _) => (0.0, 1.0),
            (Prediction::Epsilon, true) => (1.0, -sigma),
            (Prediction::Epsilon, false) => (1.0 / alpha, -scaled / alpha),
            (Prediction::Velocity, true) => (alpha * alpha, -scaled),
            (Prediction::Velocity, false) => (alpha, -scaled),
        };
        let (from_z, from_output) = (from_z as f32, from_output as f32);
        let limit = self.clip.map(|limit| limit as f32);
        z.iter()
            .zip(output)
            .map(|(z, o)| {
                let clean = from_z * z + from_output * o;
                limit.map_or(clean, |limit| clean.clamp(-limit, limit))
            })
            .collect()
    }

    /// By how much a difference of two outputs at step `i` has to be multiplied to be a difference of noise
    /// predictions: 1 for ε, so that contributions of different models can be compared.
    #[must_use]
    pub fn noise_per_output(&self, i: usize) -> f64 {
        let (alpha, scaled) = Self::variance_preserving(self.sigmas[i]);
        match self.prediction {
            Prediction::Epsilon => 1.0,
            Prediction::Velocity => alpha,
            Prediction::Sample => alpha / scaled.max(1e-6),
        }
    }
}

/// Timesteps from noisy to clean (diffusers `set_timesteps`); `solver`: DPM-Solver spaces over one step more.
fn spaced(spacing: &str, train: usize, steps: usize, offset: f64, solver: bool) -> Result<Vec<f64>, SchedulerError> {
    let points = steps + usize::from(solver);
    let mut timesteps: Vec<f64> = match spacing {
        "linspace" => linspace(0.0, (train - 1) as f64, points),
        "leading" => (0..points).map(|i| (i * (train / points)) as f64 + offset).collect(),
        "trailing" => {
            let stride = train as f64 / steps as f64;
            let falling = (0..steps).map(|i| (train as f64 - i as f64 * stride).round_ties_even() - 1.0);
            return Ok(falling.collect());
        }
        other => return Err(unsupported("timestep_spacing", other, "")),
    };
    timesteps.reverse();
    timesteps.truncate(steps);
    Ok(timesteps)
}

/// Takes the steps of a [`Schedule`]; holds what second-order steps remember.
#[derive(Debug)]
pub struct Sampler<'a> {
    schedule: &'a Schedule,
    /// The estimated clean latent of the step before, and that step's σ.
    previous: Option<(Vec<f32>, f64)>,
}

impl<'a> Sampler<'a> {
    /// A sampler before its first step.
    #[must_use]
    pub fn new(schedule: &'a Schedule) -> Self {
        Self { schedule, previous: None }
    }

    /// From the latent before step `i` to the one after it.
    ///
    /// `output` is the guided network output, `noise` unit normal (used by Euler-ancestral alone). All of one length.
    pub fn step(&mut self, i: usize, output: &[f32], z: &[f32], noise: &[f32]) -> Vec<f32> {
        let schedule = self.schedule;
        let (sigma, next) = (schedule.sigmas[i], schedule.sigmas[i + 1]);
        let clean = schedule.predicted_clean(i, output, z);
        match schedule.kind {
            SchedulerKind::EulerAncestral => {
                let up = (next * next * (sigma * sigma - next * next) / (sigma * sigma)).max(0.0).sqrt();
                let down = (next * next - up * up).max(0.0).sqrt();
                let (slope, up) = (((down - sigma) / sigma) as f32, up as f32);
                let moved = z.iter().zip(&clean).map(|(z, x)| z + (z - x) * slope);
                moved.zip(noise).map(|(moved, noise)| moved + noise * up).collect()
            }
            SchedulerKind::Euler => {
                let slope = ((next - sigma) / sigma) as f32;
                z.iter().zip(&clean).map(|(z, x)| z + (z - x) * slope).collect()
            }
            SchedulerKind::Ddim => {
                let (alpha, scaled) = Schedule::variance_preserving(sigma);
                let (next_alpha, next_scaled) = Schedule::variance_preserving(next);
                let (alpha32, scaled32) = (alpha as f32, scaled as f32);
                // diffusers keeps the predicted noise unless told to use the clipped sample.
                let epsilon = |z: f32, x: f32, o: f32| match schedule.prediction {
                    Prediction::Epsilon => o,
                    Prediction::Velocity => alpha32 * o + scaled32 * z,
                    Prediction::Sample => (z - alpha32 * x) / scaled32,
                };
                let pairs = z.iter().zip(&clean).zip(output);
                pairs.map(|((&z, &x), &o)| next_alpha as f32 * x + next_scaled as f32 * epsilon(z, x, o)).collect()
            }
            SchedulerKind::DpmSolver | SchedulerKind::DpmSolverKarras => {
                let moved = self.solve(i, &clean, z, sigma, next);
                self.previous = Some((clean, sigma));
                moved
            }
        }
    }

    /// DPM-Solver++, second order where there is a step before (Lu et al. 2022; diffusers `multistep_dpm_solver`).
    fn solve(&self, i: usize, clean: &[f32], z: &[f32], sigma: f64, next: f64) -> Vec<f32> {
        let schedule = self.schedule;
        let (_, scaled) = Schedule::variance_preserving(sigma);
        let (next_alpha, next_scaled) = Schedule::variance_preserving(next);
        // λ = ln(α/σ_vp) = −ln σ; at σ = 0 the step is infinite and e^−h is 0.
        let h = sigma.ln() - next.ln();
        let decay = if next == 0.0 { 0.0 } else { (-h).exp() };
        let from_z = (next_scaled / scaled) as f32;
        let from_clean = -next_alpha * (decay - 1.0);
        let last = i + 1 == schedule.len();
        match &self.previous {
            Some((before, before_sigma)) if !(last && schedule.lower_order_final) => {
                let h0 = before_sigma.ln() - sigma.ln();
                let from_slope =
                    if schedule.heun { next_alpha * ((decay - 1.0) / h + 1.0) } else { 0.5 * from_clean } * h / h0;
                let (from_clean, from_slope) = (from_clean as f32, from_slope as f32);
                let pairs = z.iter().zip(clean).zip(before);
                pairs.map(|((z, x), b)| from_z * z + from_clean * x + from_slope * (x - b)).collect()
            }
            _ => {
                let from_clean = from_clean as f32;
                z.iter().zip(clean).map(|(z, x)| from_z * z + from_clean * x).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(extra: &Value) -> Value {
        let mut config = json!({
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000, "steps_offset": 1, "prediction_type": "epsilon",
            "clip_sample": false, "set_alpha_to_one": false, "_class_name": "PNDMScheduler", "skip_prk_steps": true,
        });
        if let (Some(all), Some(more)) = (config.as_object_mut(), extra.as_object()) {
            all.extend(more.clone());
        }
        config
    }

    fn schedule(kind: SchedulerKind, extra: &Value, steps: usize) -> Schedule {
        Schedule::new(kind, &config(extra), steps).expect("a supported config")
    }

    fn assert_close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= 1e-4 * wanted.abs().max(1.0), "{found} is not {wanted}");
    }

    /// spec/sane.md section 3: N, spacing, first timesteps and sigmas, last ones, init std, first up and down.
    #[test]
    fn the_specs_test_vectors() {
        type Row = (usize, &'static str, [f64; 3], [f64; 3], [f64; 2], [f64; 2], f64, [f64; 2]);
        let rows: [Row; 5] = [
            (
                30,
                "linspace",
                [999.0, 964.5517, 930.1034],
                [14.61464, 11.91756, 9.81417],
                [34.4483, 0.0],
                [0.183457, 0.029167],
                14.614641,
                [6.89815, 9.71822],
            ),
            (
                30,
                "leading",
                [958.0, 925.0, 892.0],
                [11.47685, 9.54358, 8.00431],
                [34.0, 1.0],
                [0.182166, 0.041314],
                11.520330,
                [5.30097, 7.93598],
            ),
            (
                100,
                "linspace",
                [999.0, 988.9091, 978.8182],
                [14.61464, 13.75251, 12.95247],
                [10.0909, 0.0],
                [0.098703, 0.029167],
                14.614641,
                [4.65360, 12.94123],
            ),
            (
                100,
                "leading",
                [991.0, 981.0, 971.0],
                [13.92585, 13.12041, 12.37201],
                [11.0, 1.0],
                [0.102825, 0.041314],
                13.961707,
                [4.39739, 12.36156],
            ),
            (
                20,
                "linspace",
                [999.0, 946.4211, 893.8421],
                [14.61464, 10.74684, 8.08153],
                [52.5789, 0.0],
                [0.232168, 0.029167],
                14.614641,
                [7.28303, 7.90267],
            ),
        ];
        for (steps, spacing, first_t, first_sigma, last_t, last_sigma, init, up_down) in rows {
            let s = schedule(SchedulerKind::EulerAncestral, &json!({ "timestep_spacing": spacing }), steps);
            for n in 0..3 {
                assert_close(s.timesteps[n], first_t[n]);
                assert_close(s.sigmas[n], first_sigma[n]);
            }
            for n in 0..2 {
                assert_close(s.timesteps[steps - 2 + n], last_t[n]);
                assert_close(s.sigmas[steps - 2 + n], last_sigma[n]);
            }
            assert_eq!(s.sigmas[steps], 0.0);
            assert_close(s.init_std, init);
            let (a, b) = (s.sigmas[0], s.sigmas[1]);
            // With ε = 0 and z = x₀ nothing moves; the noise alone shows `up`.
            let mut sampler = Sampler::new(&s);
            assert_close(f64::from(sampler.step(0, &[0.0], &[0.0], &[1.0])[0]), up_down[0]);
            // With z = σ·ε the clean latent is 0 and what is left is `down`·ε.
            let moved = Sampler::new(&s).step(0, &[1.0], &[a as f32], &[0.0])[0];
            assert_close(f64::from(moved), up_down[1]);
            assert_close((up_down[0].powi(2) + up_down[1].powi(2)).sqrt(), b);
        }
    }

    #[test]
    fn an_absent_spacing_is_the_run_schedulers_own() {
        let s = schedule(SchedulerKind::EulerAncestral, &json!({}), 30);
        assert_close(s.timesteps[1], 964.5517);
        let s = schedule(SchedulerKind::Ddim, &json!({}), 30);
        assert_eq!(s.timesteps[..2], [958.0, 925.0]);
    }

    #[test]
    fn the_last_step_returns_the_clean_latent() {
        for kind in SchedulerKind::ALL {
            let s = schedule(kind, &json!({ "set_alpha_to_one": true }), 20);
            let z = [0.3, -1.2];
            let out = [0.7, 0.1];
            let clean = s.predicted_clean(19, &out, &z);
            let moved = Sampler::new(&s).step(19, &out, &z, &[5.0, 5.0]);
            for (a, b) in moved.iter().zip(&clean) {
                assert!((a - b).abs() < 1e-5, "{kind:?}: {a} is not {b}");
            }
        }
    }

    /// The same clean latent, told as ε, as v and as x₀, gives the same step.
    #[test]
    fn predictions_agree() {
        for kind in SchedulerKind::ALL {
            let step = |name: &str, output: f32| {
                let s = schedule(kind, &json!({ "prediction_type": name }), 20);
                Sampler::new(&s).step(7, &[output], &[0.9], &[0.4])[0]
            };
            let s = schedule(kind, &json!({}), 20);
            let (clean, z) = (0.25, 0.9);
            let sigma = s.sigmas[7];
            let (alpha, scaled) = Schedule::variance_preserving(sigma);
            let unit = if s.exploding() { z * alpha } else { z };
            let epsilon = (unit - alpha * clean) / scaled;
            let velocity = alpha * epsilon - scaled * clean;
            let wanted = step("epsilon", epsilon as f32);
            assert!((step("v_prediction", velocity as f32) - wanted).abs() < 1e-5, "{kind:?}");
            assert!((step("sample", clean as f32) - wanted).abs() < 1e-5, "{kind:?}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (key, value) in [
            ("beta_schedule", json!("sigmoid")),
            ("prediction_type", json!("flow")),
            ("timestep_spacing", json!("random")),
            ("thresholding", json!(true)),
            ("num_train_timesteps", json!(0)),
        ] {
            let error = Schedule::new(SchedulerKind::Euler, &config(&json!({ key: value })), 10).expect_err("refused");
            assert!(error.to_string().contains(key), "{error}");
        }
        assert!(Schedule::new(SchedulerKind::Euler, &config(&json!({})), 0).is_err());
    }
}
