//! Fitting features to photographs, FiT3D's way (spec/fit3d.md section 1): every Gaussian gets a few channels, which are
//! blended without a background and brought to the backbone's width by one convolution; both are fitted with L1 to what
//! the backbone sees. Geometry is not touched, as in the reference, where feature gradients never reach it.
//!
//! What differs from the reference, and why it may: colour and geometry are there already, so they are not fitted along;
//! and since geometry stands still, the blending weights of a view are a matrix that is made once ([`weights`]), at a few
//! pixels a cell of the feature map instead of all pixels of the photograph: the target is the same map, enlarged evenly.

mod decoder;
mod weights;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

pub use self::decoder::Decoder;
use self::decoder::neighbourhoods;
use self::weights::ViewWeights;
use super::camera::Camera;
use super::gaussians::{Features, Gaussians};
use super::lift::{FeatureMap, sample, working};
use super::projection::Filter;
use super::{SplatError, SplatObserver};

/// Pixels that a cell of the map has across while features are fitted.
const PIXELS_A_CELL: f64 = 2.0;
/// FiT3D's steps, and its learning rate of features and decoder.
pub const FIT3D_STEPS: usize = 30_000;
/// See [`FIT3D_STEPS`].
pub const FIT3D_RATE: f64 = 6.25e-5;
/// The largest rate that fewer steps are given by themselves.
const MOST_RATE: f64 = 5e-3;
/// Adam's constants: PyTorch's, with the ε of 3DGS.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-15;
/// How opaque a pixel must be to count when views are compared.
const OPAQUE: f32 = 0.5;

/// How features are fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitSettings {
    /// Channels of each Gaussian; FiT3D has 64.
    pub channels: usize,
    /// One view a step.
    pub steps: usize,
    /// Adam's learning rate for features and decoder.
    pub rate: f64,
    /// Orders the views and draws the decoder's first weights.
    pub seed: u64,
}

impl FitSettings {
    /// FiT3D's channels over so many steps. With fewer steps than FiT3D's the rate is as much larger, up to 0.005: Adam
    /// moves a value by about its rate a step.
    #[must_use]
    pub fn of_steps(steps: usize) -> Self {
        let rate = (FIT3D_RATE * FIT3D_STEPS as f64 / steps.max(1) as f64).clamp(FIT3D_RATE, MOST_RATE);
        Self { channels: 64, steps, rate, seed: 0 }
    }
}

/// A view to fit or to compare with.
struct View<'a> {
    weights: ViewWeights,
    map: FeatureMap<'a>,
}

/// Views of a scene whose features are fitted.
pub struct Fit<'a> {
    scene: &'a Gaussians,
    width: usize,
    views: Vec<View<'a>>,
    held: Vec<View<'a>>,
}

/// What fitting brought.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The Gaussians' channels, named as FiT3D's files name them. Zero for those that no view shows.
    pub features: Features,
    /// Brings blended channels to the backbone's width.
    pub decoder: Decoder,
    /// The loss of every step: the mean of |rendered − seen| over pixels and channels.
    pub curve: Vec<f32>,
}

/// How near rendered features are to what the backbone sees in photographs that were not lifted.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// The mean cosine over pixels.
    pub cosine: f64,
    /// The mean of |rendered − seen| over pixels and channels.
    pub l1: f64,
    /// Pixels that were compared: those that the scene covers.
    pub pixels: usize,
}

impl<'a> Fit<'a> {
    /// No views yet, for backbones of `width` channels.
    #[must_use]
    pub fn new(scene: &'a Gaussians, width: usize) -> Self {
        Self { scene, width, views: Vec::new(), held: Vec::new() }
    }

    /// Takes a photograph's features, to be fitted, or if `held` only to be compared with.
    ///
    /// # Errors
    /// [`SplatError::Request`] if the map has another width or no cells, [`SplatError::Camera`], or the observer's wish
    /// to stop.
    pub fn add(
        &mut self,
        camera: &Camera,
        filter: Filter,
        map: &FeatureMap<'a>,
        held: bool,
        observer: &dyn SplatObserver,
    ) -> Result<(), SplatError> {
        let cells = map.rows * map.columns;
        if map.dim != self.width || cells == 0 || map.values.len() != cells * map.dim {
            return Err(SplatError::Request(format!("a map of {} channels is not one of {}", map.dim, self.width)));
        }
        let (small, map) = working(camera, map, PIXELS_A_CELL)?;
        let weights = ViewWeights::new(self.scene, &small, filter, observer)?;
        let into = if held { &mut self.held } else { &mut self.views };
        into.push(View { weights, map });
        Ok(())
    }

    /// Bytes that the views' weights take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.views.iter().chain(&self.held).map(|view| view.weights.bytes()).sum()
    }

    /// Fits channels and decoder. The observer is told of every step; `losses` gets the loss of each.
    ///
    /// # Errors
    /// [`SplatError::Request`] without views or channels, or the observer's wish to stop.
    pub fn run(
        &self,
        settings: &FitSettings,
        observer: &dyn SplatObserver,
        mut losses: impl FnMut(usize, f32),
    ) -> Result<Fitted, SplatError> {
        let inner = settings.channels;
        if self.views.is_empty() || inner == 0 {
            return Err(SplatError::Request("there is nothing to fit".to_owned()));
        }
        let mut draw = ChaCha8Rng::seed_from_u64(settings.seed);
        // Features begin at zero, the decoder as PyTorch's convolutions do.
        let bound = 1.0 / (9.0 * inner as f32).sqrt();
        let first = (0..self.width * inner * 9).map(|_| draw.random_range(-bound..bound)).collect();
        let mut decoder = Decoder::new(inner, self.width, first)?;
        let mut features = vec![0.0f32; self.scene.len() * inner];
        let mut of_features = Adam::new(features.len(), settings.rate);
        let mut of_decoder = Adam::new(decoder.weights.len(), settings.rate);
        let mut order: Vec<usize> = Vec::new();
        let mut curve = Vec::with_capacity(settings.steps);
        observer.stage("Fitting", settings.steps);
        for step in 0..settings.steps {
            observer.checkpoint()?;
            if order.is_empty() {
                order = (0..self.views.len()).collect();
                order.shuffle(&mut draw);
            }
            let Some(view) = order.pop().and_then(|at| self.views.get(at)) else { break };
            let (columns, rows) = view.weights.size;
            let around = neighbourhoods(&view.weights.blend(&features, inner), (rows, columns), inner);
            let mut outputs = decoder.forward(&around);
            let loss = l1_and_its_gradient(&mut outputs, view);
            let weight_gradient = decoder.weight_gradient(&around, &outputs);
            let map_gradient = decoder.map_gradient(&outputs, (rows, columns));
            let (seen, gradient) = view.weights.gradient(&map_gradient, inner);
            of_features.step_rows(&mut features, seen, &gradient, inner);
            of_decoder.step(&mut decoder.weights, &weight_gradient);
            curve.push(loss);
            losses(step, loss);
            observer.step(step + 1);
        }
        let confidence = self.weights_of_gaussians();
        Ok(Fitted { features: Features { confidence, ..Features::named("sem", inner, features) }, decoder, curve })
    }

    /// Σ w of every Gaussian over the views that are fitted.
    fn weights_of_gaussians(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.scene.len()];
        for view in &self.views {
            let ones = vec![1.0; view.weights.alpha.len()];
            let (seen, weights) = view.weights.gradient(&ones, 1);
            for (gaussian, weight) in seen.iter().zip(weights) {
                sums[*gaussian as usize] += weight;
            }
        }
        sums
    }

    /// Compares the held views with features of the Gaussians, through a decoder (FiT3D's) or divided by how much of the
    /// light the Gaussians take (the closed form's). `None` without held views, or where the scene covers nothing of them.
    #[must_use]
    pub fn agreement(&self, features: &Features, decoder: Option<&Decoder>) -> Option<Agreement> {
        let (mut cosine, mut l1, mut pixels) = (0.0, 0.0, 0);
        for view in &self.held {
            let mut found = view.weights.blend(&features.values, features.dim);
            match decoder {
                Some(decoder) => {
                    let (columns, rows) = view.weights.size;
                    found = decoder.decode(&found, (rows, columns));
                }
                None => {
                    found.chunks_exact_mut(features.dim).zip(&view.weights.alpha).for_each(|(found, alpha)| {
                        found.iter_mut().for_each(|value| *value /= alpha.max(1e-6));
                    });
                }
            }
            let columns = view.weights.size.0;
            for (pixel, found) in found.chunks_exact(self.width).enumerate() {
                if view.weights.alpha[pixel] < OPAQUE {
                    continue;
                }
                let mut wanted = vec![0.0; self.width];
                sample(&view.map, (pixel % columns, pixel / columns), &mut wanted);
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let (both, own, other): (f64, f64, f64) =
                    (dot(found, &wanted), dot(found, found), dot(&wanted, &wanted));
                cosine += both / (own * other).sqrt().max(1e-30);
                l1 += found.iter().zip(&wanted).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / self.width as f64;
                pixels += 1;
            }
        }
        let count = pixels as f64;
        (pixels > 0).then(|| Agreement { cosine: cosine / count, l1: l1 / count, pixels })
    }
}

/// The mean of |outputs − target|; the outputs become its gradient.
fn l1_and_its_gradient(outputs: &mut [f32], view: &View<'_>) -> f32 {
    let (columns, dim) = (view.weights.size.0, view.map.dim);
    let each = 1.0 / outputs.len().max(1) as f32;
    let row = (columns * dim).max(1);
    let sums = outputs.par_chunks_mut(row).enumerate().map(|(y, outputs)| {
        let mut target = vec![0.0; dim];
        let mut sum = 0.0;
        for (x, outputs) in outputs.chunks_exact_mut(dim).enumerate() {
            sample(&view.map, (x, y), &mut target);
            for (output, target) in outputs.iter_mut().zip(&target) {
                let off = *output - target;
                sum += off.abs();
                *output = if off == 0.0 { 0.0 } else { each.copysign(off) };
            }
        }
        f64::from(sum)
    });
    // Summed in the order of the rows, so that threads change nothing.
    (sums.collect::<Vec<f64>>().into_iter().sum::<f64>() * f64::from(each)) as f32
}

/// Adam (Kingma and Ba 2015) as PyTorch computes it.
struct Adam {
    rate: f64,
    steps: i32,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    fn new(count: usize, rate: f64) -> Self {
        Self { rate, steps: 0, mean: vec![0.0; count], square: vec![0.0; count] }
    }

    /// How far to go, and by what to multiply the root of the squares, at the next step.
    fn next(&mut self) -> (f32, f32) {
        self.steps += 1;
        let correction = |beta: f64| 1.0 - beta.powi(self.steps);
        ((self.rate / correction(BETAS[0])) as f32, (1.0 / correction(BETAS[1]).sqrt()) as f32)
    }

    fn step(&mut self, values: &mut [f32], gradient: &[f32]) {
        let (rate, scale) = self.next();
        let state = values.iter_mut().zip(&mut self.mean).zip(&mut self.square);
        state.zip(gradient).for_each(|(((value, mean), square), gradient)| {
            *value -= moved(mean, square, *gradient, rate, scale);
        });
    }

    /// Moves all rows; those in `chosen` have the gradients `[chosen, dim]`, the others none.
    fn step_rows(&mut self, values: &mut [f32], chosen: &[u32], gradients: &[f32], dim: usize) {
        let (rate, scale) = self.next();
        let mut place = vec![u32::MAX; values.len() / dim];
        for (at, row) in chosen.iter().enumerate() {
            place[*row as usize] = at as u32;
        }
        let state = values.par_chunks_mut(dim).zip(self.mean.par_chunks_mut(dim));
        state.zip(self.square.par_chunks_mut(dim)).zip(&place).for_each(|(((values, means), squares), at)| {
            let gradient = gradients.get(*at as usize * dim..).and_then(|rest| rest.get(..dim));
            for (channel, value) in values.iter_mut().enumerate() {
                let gradient = gradient.map_or(0.0, |gradient| gradient[channel]);
                *value -= moved(&mut means[channel], &mut squares[channel], gradient, rate, scale);
            }
        });
    }
}

/// One value's step.
fn moved(mean: &mut f32, square: &mut f32, gradient: f32, rate: f32, scale: f32) -> f32 {
    let [first, second] = BETAS.map(|beta| beta as f32);
    *mean = first * *mean + (1.0 - first) * gradient;
    *square = second * *square + (1.0 - second) * gradient * gradient;
    if *mean == 0.0 { 0.0 } else { rate * *mean / (square.sqrt() * scale + EPSILON as f32) }
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;
    use crate::splats::Unobserved;
    use crate::splats::lift::Lift;
    use crate::splats::tiles::tests::cloud;

    /// Features that a scene can have: each Gaussian's own, drawn by a random decoder.
    #[test]
    fn what_a_scene_can_show_is_found_and_held_views_agree() {
        let scene = cloud(400, 0, 31);
        let (rows, columns, dim) = (14, 20, 6);
        let cameras: Vec<Camera> = (0..9)
            .map(|at| {
                let angle = f64::from(at) * 0.7;
                let eye = DVec3::new(4.0 * angle.sin(), -1.5, -4.0 * angle.cos());
                Camera::look_at(eye, DVec3::ZERO, DVec3::NEG_Y, 0.8, (160, 112)).unwrap()
            })
            .collect();
        // What a camera sees: a smooth function of where in the world its pixel lies.
        let own: Vec<f32> = (0..scene.len())
            .flat_map(|index| {
                let [x, y, z] = scene.positions()[index];
                [x, y, z, (2.0 * x).sin(), (2.0 * y).cos(), 1.0]
            })
            .collect();
        let maps: Vec<Vec<f32>> = cameras
            .iter()
            .map(|camera| {
                let small = camera.resized((columns as u32, rows as u32)).unwrap();
                let weights = ViewWeights::new(&scene, &small, Filter::Classic, &Unobserved).unwrap();
                weights.blend(&own, dim)
            })
            .collect();
        let mut fit = Fit::new(&scene, dim);
        let mut lift = Lift::new(&scene, dim);
        for (at, (camera, values)) in cameras.iter().zip(&maps).enumerate() {
            let map = FeatureMap { rows, columns, dim, values, across: (0.125, 0.0), down: (0.125, 0.0) };
            fit.add(camera, Filter::Classic, &map, at == 4, &Unobserved).unwrap();
            if at != 4 {
                lift.add(camera, Filter::Classic, &map, &Unobserved).unwrap();
            }
        }
        let settings = FitSettings { channels: 8, rate: 5e-3, ..FitSettings::of_steps(400) };
        let mut told = 0;
        let fitted = fit.run(&settings, &Unobserved, |_, _| told += 1).unwrap();
        assert_eq!((told, fitted.curve.len()), (400, 400));
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        assert!(mean(&fitted.curve[380..]) < 0.3 * fitted.curve[0], "{} {:?}", fitted.curve[0], &fitted.curve[390..]);
        let own = fit.agreement(&fitted.features, Some(&fitted.decoder)).unwrap();
        let closed = fit.agreement(&lift.finish(), None).unwrap();
        assert!(own.cosine > 0.95 && own.l1 < 0.25, "{own:?}");
        assert!(closed.cosine > 0.8 && closed.pixels == own.pixels, "{closed:?}");
        // Again, it is the same; and a Gaussian that is not seen keeps its zeros.
        let again = fit.run(&FitSettings { steps: 3, ..settings }, &Unobserved, |_, _| {}).unwrap();
        assert_eq!(again.curve, fitted.curve[..3]);
        let unseen = fitted.features.confidence.iter().position(|weight| *weight == 0.0);
        assert!(unseen.is_none_or(|index| fitted.features.of(index).iter().all(|value| *value == 0.0)));
    }

    #[test]
    fn adam_takes_pytorchs_steps() {
        // torch.optim.Adam(lr=0.1, eps=1e-15) on 1.0 with the gradients 0.5, -0.25, 0.125.
        let mut adam = Adam::new(1, 0.1);
        let mut value = [1.0];
        let mut found = Vec::new();
        for gradient in [0.5, -0.25, 0.125] {
            adam.step(&mut value, &[gradient]);
            found.push(value[0]);
        }
        let wanted = [0.9, 0.873_366, 0.839_323_6];
        assert!(found.iter().zip(wanted).all(|(a, b): (&f32, f32)| (a - b).abs() < 2e-5), "{found:?}");
    }

    #[test]
    fn cancelling_stops_it_and_bad_requests_are_sentences() {
        struct Never;
        impl SplatObserver for Never {
            fn stage(&self, _: &str, _: usize) {}
            fn step(&self, _: usize) {}
            fn checkpoint(&self) -> Result<(), crate::nets::watcher::Cancelled> {
                Err(crate::nets::watcher::Cancelled)
            }
        }
        let scene = cloud(20, 0, 1);
        let camera = Camera::look_at(DVec3::new(0.0, 0.0, -4.0), DVec3::ZERO, DVec3::NEG_Y, 0.8, (16, 16)).unwrap();
        let values = [1.0; 8];
        let map = FeatureMap { rows: 2, columns: 2, dim: 2, values: &values, across: (0.125, 0.0), down: (0.125, 0.0) };
        let mut fit = Fit::new(&scene, 2);
        assert!(fit.run(&FitSettings::of_steps(1), &Unobserved, |_, _| {}).is_err(), "no views");
        fit.add(&camera, Filter::Classic, &map, false, &Unobserved).unwrap();
        assert!(matches!(fit.run(&FitSettings::of_steps(1), &Never, |_, _| {}), Err(SplatError::Cancelled(_))));
        assert!(Fit::new(&scene, 3).add(&camera, Filter::Classic, &map, false, &Unobserved).is_err());
        assert!((FitSettings::of_steps(FIT3D_STEPS).rate - FIT3D_RATE).abs() < 1e-12);
    }
}
