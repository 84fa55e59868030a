//! Principal components of patch features as colours: the map by which papers show what a backbone sees.
//!
//! A [`Basis`] is fitted to the patches of any number of grids, or to their foreground alone; projecting grids onto the
//! same basis and painting them with the same [`Colouring`] gives the same thing the same colour everywhere. The paper's
//! recipe (spec/fit3d.md section 4.2) is a basis of three components for one grid, painted with [`RangeRule::Joint`].

mod basis_file;
mod colouring;

use std::borrow::Cow;

use super::eigen::leading;
use super::{FeatureError, FeatureGrid, FeatureObserver, Placement};
use crate::ops::cpu::{self, tall};

pub use self::colouring::{Colouring, RangeRule};

/// Components that are fitted unless more are asked for: enough to choose other triples than the first.
pub const USUAL_COMPONENTS: usize = 8;

/// Patches that take part in a fit.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The grid.
    pub grid: &'a FeatureGrid,
    /// Which of its patches; all if `None`.
    pub only: Option<&'a [bool]>,
}

impl<'a> Sample<'a> {
    /// All patches of a grid.
    #[must_use]
    pub fn all(grid: &'a FeatureGrid) -> Self {
        Self { grid, only: None }
    }

    fn tokens(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let only = self.only;
        let takes = move |index: &usize| only.is_none_or(|only| only.get(*index).copied().unwrap_or(false));
        let chunks = self.grid.tokens().chunks_exact(self.grid.dim());
        chunks.enumerate().filter(move |(index, _)| takes(index)).map(|(_, token)| token)
    }
}

/// Directions of the greatest variance. Each component's largest loading is positive (the first of equals), so that the
/// same patches give the same signs on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    dim: usize,
    mean: Vec<f32>,
    /// `[count, dim]`, orthonormal rows.
    components: Vec<f32>,
    variances: Vec<f64>,
    total_variance: f64,
    patches: usize,
}

/// Patches in the coordinates of a basis.
#[derive(Clone, Debug)]
pub struct Scores {
    placement: Placement,
    count: usize,
    /// `[patches, count]`.
    values: Vec<f32>,
}

impl Basis {
    /// The basis of `count` components for the patches of `samples`, fewer where there are fewer patches or channels.
    /// Mean-centred; neither standardised nor whitened.
    ///
    /// # Errors
    /// [`FeatureError::Widths`], [`FeatureError::TooFewPatches`] below two patches, [`FeatureError::Constant`] where
    /// they do not differ.
    pub fn fit(samples: &[Sample<'_>], count: usize, observer: &dyn FeatureObserver) -> Result<Self, FeatureError> {
        observer.checkpoint()?;
        let dim = samples.first().map_or(0, |sample| sample.grid.dim());
        if let Some(other) = samples.iter().find(|sample| sample.grid.dim() != dim) {
            return Err(FeatureError::Widths(dim, other.grid.dim()));
        }
        let patches: usize = samples.iter().map(|sample| sample.tokens().count()).sum();
        if patches < 2 {
            return Err(FeatureError::TooFewPatches { what: "a PCA map", needed: 2, patches });
        }
        let arch = cpu::arch();
        // All patches of one grid lie there already, row after row.
        let whole = match samples {
            [Sample { grid, only: None }] => Cow::Borrowed(grid.tokens()),
            _ => Cow::Owned(samples.iter().flat_map(Sample::tokens).flatten().copied().collect()),
        };
        let sums = tall::column_sums(arch, &whole, dim);
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / patches as f64) as f32).collect();
        let mut centred = vec![0f32; whole.len()];
        let [squares, spread] = tall::centre(arch, &whole, &mean, &mut centred);
        // What is left of equal tokens after centring is rounding, about 1e-15 of their squares.
        if spread <= 1e-11 * squares {
            return Err(FeatureError::Constant);
        }
        observer.checkpoint()?;
        // Some forty products with the patches cost less than the matrix of all channels with each other.
        let scatter = |vector: &[f64]| {
            let vector: Vec<f32> = vector.iter().map(|value| *value as f32).collect();
            tall::scatter_times(arch, &centred, &vector)
        };
        let degrees = (patches - 1) as f64;
        let pairs = leading(&scatter, spread, dim, count.min(patches));
        observer.checkpoint()?;
        let mut components = Vec::with_capacity(pairs.len() * dim);
        for (_, vector) in &pairs {
            let largest = vector.iter().fold(0f64, |best, value| if value.abs() > best.abs() { *value } else { best });
            components.extend(vector.iter().map(|value| (value * 1f64.copysign(largest)) as f32));
        }
        Ok(Self {
            dim,
            mean,
            components,
            variances: pairs.iter().map(|(value, _)| value / degrees).collect(),
            total_variance: spread / degrees,
            patches,
        })
    }

    /// Width of the features it is for.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Components it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.variances.len()
    }

    /// Patches it was fitted to.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.patches
    }

    /// The mean of the patches it was fitted to, `[dim]`.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The unit vector of a component, `[dim]`; empty beyond the last.
    #[must_use]
    pub fn component(&self, index: usize) -> &[f32] {
        self.components.chunks_exact(self.dim).nth(index).unwrap_or_default()
    }

    /// The share of all variance that each component explains, in 0..=1, largest first.
    #[must_use]
    pub fn explained(&self) -> Vec<f32> {
        self.variances.iter().map(|variance| (variance / self.total_variance) as f32).collect()
    }

    /// A grid's patches in the coordinates of this basis.
    ///
    /// # Errors
    /// [`FeatureError::Widths`].
    pub fn project(&self, grid: &FeatureGrid) -> Result<Scores, FeatureError> {
        if grid.dim() != self.dim {
            return Err(FeatureError::Widths(self.dim, grid.dim()));
        }
        let values = tall::coordinates(cpu::arch(), grid.tokens(), &self.mean, &self.components);
        Ok(Scores { placement: grid.placement().clone(), count: self.count(), values })
    }
}

impl Scores {
    /// How the patches lie on their picture.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Components there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// A patch's coordinate along one component; nothing where either is not there.
    #[must_use]
    pub fn at(&self, patch: usize, component: usize) -> Option<f32> {
        if component >= self.count { None } else { self.values.get(patch * self.count + component).copied() }
    }

    /// Every patch's coordinate along one component, row by row; 0 for a component that is not there.
    #[must_use]
    pub fn component(&self, index: usize) -> Vec<f32> {
        if index >= self.count {
            return vec![0.0; self.placement.patches()];
        }
        self.values.iter().skip(index).step_by(self.count).copied().collect()
    }
}

#[cfg(test)]
mod tests;
