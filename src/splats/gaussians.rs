//! A scene in memory: 3D Gaussians as a structure of arrays, with colour as spherical harmonics and, where it has them,
//! features.
//!
//! Values are kept as 3DGS files store them (spec/fit3d.md section 8.1), before their activations: scales as logarithms,
//! opacities as logits. So a scene that is read and written again is the same scene, bit for bit.

use std::sync::atomic::{AtomicU64, Ordering};

use super::SplatError;

/// The highest degree of spherical harmonics that scenes have.
pub const MAX_SH_DEGREE: usize = 3;

/// Coefficients a colour channel has at a degree: 1, 4, 9, 16.
#[must_use]
pub const fn sh_coefficients(degree: usize) -> usize {
    (degree + 1) * (degree + 1)
}

/// What a scene is made of, before it is checked. All arrays have one entry a Gaussian.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Centres in world units, `[n]` of x, y, z.
    pub positions: Vec<[f32; 3]>,
    /// Natural logarithms of the standard deviations along the Gaussian's own axes, `[n]`; −∞ is flat.
    pub log_scales: Vec<[f32; 3]>,
    /// Rotations as quaternions w, x, y, z, `[n]`, of any length but zero.
    pub rotations: Vec<[f32; 4]>,
    /// Opacities before the sigmoid, `[n]`; ±∞ is wholly opaque or transparent.
    pub opacity_logits: Vec<f32>,
    /// Degree of the spherical harmonics, 0 to [`MAX_SH_DEGREE`].
    pub sh_degree: usize,
    /// Their coefficients, `[n, (degree + 1)², 3]`: the colour channel changes fastest, the constant coefficient is first.
    pub sh: Vec<f32>,
    /// Features, if there are any.
    pub features: Option<Features>,
    /// Whether the scene was made to be seen with [`super::projection::Filter::Antialiased`].
    pub antialiased: bool,
}

/// A feature vector for each Gaussian.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Channels, at least 1.
    pub dim: usize,
    /// `[n, dim]`, Gaussian by Gaussian, as blended: neither normalised nor activated.
    pub values: Vec<f32>,
    /// What the channels are called in files, `[dim]`: "sem_0", "feature_0" …
    pub names: Vec<String>,
    /// How much of all views each Gaussian had, the sum of its rendering weights, `[n]`; empty where it is not known.
    pub confidence: Vec<f32>,
    /// The backbone that gave them, where it is known.
    pub model: Option<String>,
}

impl Features {
    /// Features named `prefix_0`, `prefix_1` … as files name them.
    #[must_use]
    pub fn named(prefix: &str, dim: usize, values: Vec<f32>) -> Self {
        let names = (0..dim).map(|channel| format!("{prefix}_{channel}")).collect();
        Self { dim, values, names, confidence: Vec::new(), model: None }
    }

    /// The features of one Gaussian, `[dim]`; empty beyond the last.
    #[must_use]
    pub fn of(&self, index: usize) -> &[f32] {
        self.values.get(index * self.dim..(index + 1) * self.dim).unwrap_or_default()
    }
}

/// An axis-aligned box in world units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The smallest x, y, z.
    pub min: [f32; 3],
    /// The largest.
    pub max: [f32; 3],
}

impl Bounds {
    /// Its middle.
    #[must_use]
    pub fn centre(&self) -> [f32; 3] {
        std::array::from_fn(|axis| 0.5 * self.min[axis] + 0.5 * self.max[axis])
    }

    /// Half of its diagonal.
    #[must_use]
    pub fn radius(&self) -> f32 {
        let half = |axis: usize| 0.5 * self.max[axis] - 0.5 * self.min[axis];
        (0..3).map(|axis| f64::from(half(axis)).powi(2)).sum::<f64>().sqrt() as f32
    }
}

/// A scene of 3D Gaussians: at least one, every one of them usable. It never changes; [`Gaussians::revision`] tells
/// scenes apart, so that who keeps a copy on a device knows when it is out of date.
#[derive(Clone, Debug)]
pub struct Gaussians {
    parts: Parts,
    revision: u64,
}

/// How many Gaussians [`Gaussians::sound`] had to leave out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// With a value that is no number, or a position or colour beyond all bounds.
    pub not_finite: usize,
    /// With a rotation of length zero.
    pub no_rotation: usize,
    /// With a scale that is infinite.
    pub infinite_scale: usize,
}

impl LeftOut {
    /// All of them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.not_finite + self.no_rotation + self.infinite_scale
    }

    /// "12 have values that are no numbers, 1 has no rotation"; empty if none was left out.
    #[must_use]
    pub fn describe(&self) -> String {
        let has = |count: usize| if count == 1 { "has" } else { "have" };
        let kinds = [
            (self.not_finite, "values that are no numbers"),
            (self.no_rotation, "a rotation of length zero"),
            (self.infinite_scale, "an infinite scale"),
        ];
        let said = kinds.iter().filter(|(count, _)| *count > 0);
        said.map(|(count, what)| format!("{count} {} {what}", has(*count))).collect::<Vec<_>>().join(", ")
    }
}

impl Gaussians {
    /// A scene of these parts; rotations are brought to length 1.
    ///
    /// # Errors
    /// [`SplatError::Parts`] if the arrays' lengths differ, there is no Gaussian, or one of them is not usable.
    pub fn new(parts: Parts) -> Result<Self, SplatError> {
        let (scene, left_out) = Self::sound(parts)?;
        if left_out.count() > 0 {
            return Err(SplatError::Parts(left_out.describe()));
        }
        Ok(scene)
    }

    /// A scene of the usable Gaussians among these, and how many were not usable. Trained scenes do have a few.
    ///
    /// # Errors
    /// [`SplatError::Parts`] if the arrays' lengths differ or no usable Gaussian is left.
    pub fn sound(mut parts: Parts) -> Result<(Self, LeftOut), SplatError> {
        check_lengths(&parts)?;
        let n = parts.positions.len();
        if n == 0 {
            return Err(SplatError::Parts("there is no Gaussian in it".to_owned()));
        }
        let mut left_out = LeftOut::default();
        let width = 3 * sh_coefficients(parts.sh_degree);
        let mut keep = vec![true; n];
        for (index, keep) in keep.iter_mut().enumerate() {
            *keep = false;
            let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
            let features = parts.features.as_ref().is_none_or(|features| finite(features.of(index)));
            let [q0, q1, q2, q3] = parts.rotations[index].map(f64::from);
            let length = (q0 * q0 + q1 * q1 + q2 * q2 + q3 * q3).sqrt();
            let scales = parts.log_scales[index];
            if !finite(&parts.positions[index])
                || !finite(&parts.sh[index * width..(index + 1) * width])
                || !features
                || parts.opacity_logits[index].is_nan()
                || scales.iter().any(|scale| scale.is_nan())
                || !length.is_finite()
            {
                left_out.not_finite += 1;
            } else if length == 0.0 {
                left_out.no_rotation += 1;
            } else if scales.iter().any(|scale| !scale.exp().is_finite()) {
                left_out.infinite_scale += 1;
            } else {
                *keep = true;
                // A unit quaternion stays as it is, so that reading and writing changes nothing.
                if (length - 1.0).abs() > 1e-6 {
                    parts.rotations[index] = [q0, q1, q2, q3].map(|part| (part / length) as f32);
                }
            }
        }
        if left_out.count() == n {
            return Err(SplatError::Parts(format!("no Gaussian of it can be used: {}", left_out.describe())));
        }
        let parts = if left_out.count() > 0 { kept(&parts, &keep) } else { parts };
        Ok((Self { parts, revision: next_revision() }, left_out))
    }

    /// The Gaussians whose entry in `keep` `[n]` is true, as a scene of their own.
    ///
    /// # Errors
    /// [`SplatError::Parts`] if `keep` has another length or leaves nothing.
    pub fn subset(&self, keep: &[bool]) -> Result<Self, SplatError> {
        if keep.len() != self.len() {
            return Err(SplatError::Parts(format!("{} marks for {} Gaussians", keep.len(), self.len())));
        }
        if !keep.contains(&true) {
            return Err(SplatError::Parts("there is no Gaussian left in it".to_owned()));
        }
        Ok(Self { parts: kept(&self.parts, keep), revision: next_revision() })
    }

    /// The same Gaussians with other features.
    ///
    /// # Errors
    /// [`SplatError::Parts`] if there is not one feature vector of numbers for each Gaussian.
    pub fn with_features(mut self, features: Option<Features>) -> Result<Self, SplatError> {
        if let Some(features) = &features {
            check_features(features, self.len())?;
            if features.values.iter().any(|value| !value.is_finite()) {
                return Err(SplatError::Parts("its features have values that are no numbers".to_owned()));
            }
        }
        self.parts.features = features;
        self.revision = next_revision();
        Ok(self)
    }

    /// What it is made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The parts themselves.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    /// A number that no other scene of this process has; clones share it.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many Gaussians there are, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a scene is never empty")]
    pub fn len(&self) -> usize {
        self.parts.positions.len()
    }

    /// Centres, `[n]` of x, y, z.
    #[must_use]
    pub fn positions(&self) -> &[[f32; 3]] {
        &self.parts.positions
    }

    /// Natural logarithms of the standard deviations, `[n]`.
    #[must_use]
    pub fn log_scales(&self) -> &[[f32; 3]] {
        &self.parts.log_scales
    }

    /// Standard deviations of one Gaussian along its own axes.
    #[must_use]
    pub fn scales(&self, index: usize) -> [f32; 3] {
        self.parts.log_scales[index].map(f32::exp)
    }

    /// Unit quaternions w, x, y, z, `[n]`.
    #[must_use]
    pub fn rotations(&self) -> &[[f32; 4]] {
        &self.parts.rotations
    }

    /// Opacities before the sigmoid, `[n]`.
    #[must_use]
    pub fn opacity_logits(&self) -> &[f32] {
        &self.parts.opacity_logits
    }

    /// The opacity of one Gaussian, 0..=1.
    #[must_use]
    pub fn opacity(&self, index: usize) -> f32 {
        sigmoid(self.parts.opacity_logits[index])
    }

    /// Degree of the spherical harmonics, 0 to [`MAX_SH_DEGREE`].
    #[must_use]
    pub fn sh_degree(&self) -> usize {
        self.parts.sh_degree
    }

    /// All coefficients, `[n, (degree + 1)², 3]`.
    #[must_use]
    pub fn sh(&self) -> &[f32] {
        &self.parts.sh
    }

    /// The coefficients of one Gaussian, `[(degree + 1)², 3]`.
    #[must_use]
    pub fn sh_of(&self, index: usize) -> &[f32] {
        let width = 3 * sh_coefficients(self.parts.sh_degree);
        &self.parts.sh[index * width..(index + 1) * width]
    }

    /// Features, if there are any.
    #[must_use]
    pub fn features(&self) -> Option<&Features> {
        self.parts.features.as_ref()
    }

    /// Whether the scene was made to be seen with [`super::projection::Filter::Antialiased`].
    #[must_use]
    pub fn antialiased(&self) -> bool {
        self.parts.antialiased
    }

    /// The box around all centres.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let mut bounds = Bounds { min: [f32::INFINITY; 3], max: [f32::NEG_INFINITY; 3] };
        for position in &self.parts.positions {
            for ((min, max), value) in bounds.min.iter_mut().zip(&mut bounds.max).zip(position) {
                *min = min.min(*value);
                *max = max.max(*value);
            }
        }
        bounds
    }

    /// The box from the first to the ninety-ninth percent of the centres along each axis: what a camera should frame,
    /// whatever strays far from the scene.
    #[must_use]
    pub fn robust_bounds(&self) -> Bounds {
        let mut bounds = self.bounds();
        let mut along: Vec<f32> = Vec::with_capacity(self.len());
        for axis in 0..3 {
            along.clear();
            along.extend(self.parts.positions.iter().map(|position| position[axis]));
            let at = |share: f64| (share * (self.len() - 1) as f64).round() as usize;
            let (low, high) = (at(0.01), at(0.99));
            bounds.min[axis] = *along.select_nth_unstable_by(low, f32::total_cmp).1;
            bounds.max[axis] = *along.select_nth_unstable_by(high, f32::total_cmp).1;
        }
        bounds
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let features = self.parts.features.as_ref();
        let dim = features.map_or(0, |features| features.dim);
        let confidence = features.map_or(0, |features| features.confidence.len());
        bytes_for(self.len() as u64, self.parts.sh_degree, dim as u64) + 4 * confidence as u64
    }
}

/// Bytes that `count` Gaussians take in memory, with spherical harmonics of `degree` and `features` channels; the
/// largest number where it is beyond all numbers.
#[must_use]
pub fn bytes_for(count: u64, degree: usize, features: u64) -> u64 {
    let values = 3 + 3 + 4 + 1 + 3 * sh_coefficients(degree) as u64;
    count.saturating_mul(4).saturating_mul(features.saturating_add(values))
}

/// 1 / (1 + e^−x), right at both ends.
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The inverse of [`sigmoid`]; ±∞ at 0 and 1.
#[must_use]
pub fn logit(opacity: f32) -> f32 {
    let opacity = f64::from(opacity);
    (opacity / (1.0 - opacity)).ln() as f32
}

fn next_revision() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn check_lengths(parts: &Parts) -> Result<(), SplatError> {
    let n = parts.positions.len();
    if parts.sh_degree > MAX_SH_DEGREE {
        let fault = format!("spherical harmonics of degree {}, and only {MAX_SH_DEGREE} are known", parts.sh_degree);
        return Err(SplatError::Parts(fault));
    }
    let lengths = [
        ("scales", parts.log_scales.len(), Some(n)),
        ("rotations", parts.rotations.len(), Some(n)),
        ("opacities", parts.opacity_logits.len(), Some(n)),
        ("colour coefficients", parts.sh.len(), n.checked_mul(3 * sh_coefficients(parts.sh_degree))),
    ];
    if let Some((what, has, _)) = lengths.iter().find(|(_, has, wants)| Some(*has) != *wants) {
        return Err(SplatError::Parts(format!("{n} positions and {has} {what}")));
    }
    parts.features.as_ref().map_or(Ok(()), |features| check_features(features, n))
}

fn check_features(features: &Features, n: usize) -> Result<(), SplatError> {
    let fits = features.dim > 0
        && n.checked_mul(features.dim) == Some(features.values.len())
        && features.names.len() == features.dim
        && (features.confidence.is_empty() || features.confidence.len() == n);
    if !fits {
        let (values, dim) = (features.values.len(), features.dim);
        return Err(SplatError::Parts(format!("{values} feature values for {n} Gaussians of {dim} channels")));
    }
    Ok(())
}

/// The Gaussians that are marked, in their order.
fn kept(parts: &Parts, keep: &[bool]) -> Parts {
    fn chosen<T: Copy>(all: &[T], width: usize, keep: &[bool]) -> Vec<T> {
        let pieces = all.chunks_exact(width.max(1)).zip(keep);
        pieces.filter(|(_, keep)| **keep).flat_map(|(piece, _)| piece.iter().copied()).collect()
    }
    Parts {
        positions: chosen(&parts.positions, 1, keep),
        log_scales: chosen(&parts.log_scales, 1, keep),
        rotations: chosen(&parts.rotations, 1, keep),
        opacity_logits: chosen(&parts.opacity_logits, 1, keep),
        sh_degree: parts.sh_degree,
        sh: chosen(&parts.sh, 3 * sh_coefficients(parts.sh_degree), keep),
        features: parts.features.as_ref().map(|features| Features {
            dim: features.dim,
            values: chosen(&features.values, features.dim, keep),
            names: features.names.clone(),
            confidence: chosen(&features.confidence, 1, keep),
            model: features.model.clone(),
        }),
        antialiased: parts.antialiased,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `n` round Gaussians of standard deviation 0.1 on a diagonal, colour mid-grey, opacity one half.
    pub(crate) fn row(n: usize) -> Parts {
        Parts {
            positions: (0..n).map(|i| [i as f32, -(i as f32), 2.0]).collect(),
            log_scales: vec![[0.1f32.ln(); 3]; n],
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; n],
            opacity_logits: vec![0.0; n],
            sh_degree: 0,
            sh: vec![0.0; 3 * n],
            features: None,
            antialiased: false,
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused_in_a_sentence() {
        let fault = |change: fn(&mut Parts)| {
            let mut parts = row(3);
            change(&mut parts);
            Gaussians::new(parts).unwrap_err().to_string()
        };
        let said = |text: &str| format!("the scene does not fit together: {text}");
        assert_eq!(fault(|p| p.positions.truncate(2)), said("2 positions and 3 scales"));
        assert_eq!(fault(|p| p.sh.truncate(8)), said("3 positions and 8 colour coefficients"));
        assert_eq!(fault(|p| p.sh_degree = 4), said("spherical harmonics of degree 4, and only 3 are known"));
        assert_eq!(
            fault(|p| p.features = Some(Features::named("sem", 2, vec![0.0; 5]))),
            said("5 feature values for 3 Gaussians of 2 channels")
        );
        assert_eq!(Gaussians::new(row(0)).unwrap_err().to_string(), said("there is no Gaussian in it"));
        assert_eq!(fault(|p| p.rotations[1] = [0.0; 4]), said("1 has a rotation of length zero"));
    }

    #[test]
    fn unusable_gaussians_are_left_out_and_counted() {
        let mut parts = row(6);
        parts.features = Some(Features::named("sem", 1, (0..6).map(|i| i as f32).collect()));
        parts.positions[0][1] = f32::NAN;
        parts.rotations[2] = [0.0; 4];
        parts.log_scales[3][0] = f32::INFINITY;
        parts.log_scales[4][2] = 90.0;
        parts.log_scales[5][2] = f32::NEG_INFINITY;
        parts.opacity_logits[5] = f32::INFINITY;
        let (scene, left_out) = Gaussians::sound(parts.clone()).unwrap();
        assert_eq!(left_out, LeftOut { not_finite: 1, no_rotation: 1, infinite_scale: 2 });
        assert_eq!(scene.features().unwrap().values, [1.0, 5.0]);
        assert_eq!((scene.opacity(1), scene.scales(1)[2]), (1.0, 0.0));
        parts.positions = vec![[f32::INFINITY; 3]; 6];
        let none = Gaussians::sound(parts).unwrap_err().to_string();
        assert!(none.ends_with("no Gaussian of it can be used: 6 have values that are no numbers"), "{none}");
    }

    #[test]
    fn rotations_come_out_of_length_one_and_unit_ones_untouched() {
        let mut parts = row(2);
        parts.rotations = vec![[0.0, 3.0, 4.0, 0.0], [0.6, -0.8, 0.0, 1e-9]];
        let scene = Gaussians::new(parts).unwrap();
        assert_eq!(scene.rotations(), [[0.0, 0.6, 0.8, 0.0], [0.6, -0.8, 0.0, 1e-9]]);
    }

    #[test]
    fn boxes_and_sizes() {
        let mut parts = row(201);
        parts.positions[200] = [1e6, 0.0, 2.0];
        let scene = Gaussians::new(parts).unwrap();
        assert_eq!(scene.bounds().max, [1e6, 0.0, 2.0]);
        let robust = scene.robust_bounds();
        assert_eq!((robust.min, robust.max), ([2.0, -197.0, 2.0], [198.0, -1.0, 2.0]));
        assert_eq!(scene.bytes(), 201 * 14 * 4);
        assert_eq!(bytes_for(u64::MAX, 3, 64), u64::MAX);
        let kept = scene.subset(&(0..201).map(|i| i == 7).collect::<Vec<_>>()).unwrap();
        assert_eq!(kept.positions(), [[7.0, -7.0, 2.0]]);
        assert_ne!(kept.revision(), scene.revision());
        assert!(scene.subset(&[true]).is_err() && scene.subset(&[false; 201]).is_err());
    }

    #[test]
    fn the_sigmoid_is_right_at_both_ends() {
        assert_eq!((sigmoid(f32::NEG_INFINITY), sigmoid(0.0), sigmoid(f32::INFINITY)), (0.0, 0.5, 1.0));
        assert_eq!((logit(0.0), logit(1.0)), (f32::NEG_INFINITY, f32::INFINITY));
        for value in [0.001f32, 0.3, 0.9, 0.999] {
            assert!((sigmoid(logit(value)) - value).abs() < 1e-6);
        }
    }
}
