//! A picture's patch tokens, and how their grid lies on the picture.

use std::sync::Arc;

use super::FeatureError;
use crate::picture::resize::WorkingPlan;

/// How a grid of patches lies on its picture. All positions in pixels of the source picture, x to the right, y down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Rows of patches.
    pub rows: usize,
    /// Columns of patches.
    pub columns: usize,
    /// Side of a patch in pixels of the working picture.
    pub patch: u32,
    /// How the source picture became the working picture.
    pub plan: WorkingPlan,
}

impl Placement {
    /// The grid of a working picture that is cut into patches of `patch` pixels.
    #[must_use]
    pub fn new(plan: &WorkingPlan, patch: u32) -> Self {
        let patch = patch.max(1);
        let count = |side: u32| side.div_ceil(patch) as usize;
        Self { rows: count(plan.working.1), columns: count(plan.working.0), patch, plan: plan.clone() }
    }

    /// "518×518 → 37×37": working pixels and patches, width first.
    #[must_use]
    pub fn describe(&self) -> String {
        let (width, height) = self.plan.working;
        format!("{width}×{height} → {}×{}", self.columns, self.rows)
    }

    /// Where a point of the picture lies on the grid, as (column, row) counted from the grid's corner: the middle of the
    /// first patch is (0.5, 0.5). Points outside of what the model saw lie outside of the grid.
    #[must_use]
    pub fn to_grid(&self, x: f64, y: f64) -> (f64, f64) {
        let (used, content, patch) = (self.plan.used, self.plan.content, f64::from(self.patch));
        // Multiplied before it is divided, so that whole patches come out whole.
        let along = |at: f64, (used, used_length): (u32, u32), (content, content_length): (u32, u32)| {
            ((at - f64::from(used)) * f64::from(content_length) / f64::from(used_length) + f64::from(content)) / patch
        };
        (
            along(x, (used.x, used.width), (content.x, content.width)),
            along(y, (used.y, used.height), (content.y, content.height)),
        )
    }

    /// The point of the picture at (column, row) of the grid, the inverse of [`Placement::to_grid`].
    #[must_use]
    pub fn to_picture(&self, column: f64, row: f64) -> (f64, f64) {
        let (used, content, patch) = (self.plan.used, self.plan.content, f64::from(self.patch));
        let along = |at: f64, (used, used_length): (u32, u32), (content, content_length): (u32, u32)| {
            (at * patch - f64::from(content)) * f64::from(used_length) / f64::from(content_length) + f64::from(used)
        };
        (
            along(column, (used.x, used.width), (content.x, content.width)),
            along(row, (used.y, used.height), (content.y, content.height)),
        )
    }

    /// The patch (row, column) under a point of the picture; `None` outside of what the model saw.
    #[must_use]
    pub fn patch_at(&self, x: f64, y: f64) -> Option<(usize, usize)> {
        let (column, row) = self.to_grid(x, y);
        let inside = |at: f64, count: usize| (at >= 0.0 && at < count as f64).then_some(at as usize);
        Some((inside(row, self.rows)?, inside(column, self.columns)?))
    }

    /// The box that a patch covers on the picture: left, top, right, bottom, cut at the picture's edges.
    #[must_use]
    pub fn patch_box(&self, row: usize, column: usize) -> [f64; 4] {
        let (left, top) = self.to_picture(column as f64, row as f64);
        let (right, bottom) = self.to_picture(column as f64 + 1.0, row as f64 + 1.0);
        let (width, height) = (f64::from(self.plan.source.0), f64::from(self.plan.source.1));
        [left.clamp(0.0, width), top.clamp(0.0, height), right.clamp(0.0, width), bottom.clamp(0.0, height)]
    }

    /// Patches of the grid.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.rows * self.columns
    }
}

/// The features of a picture's patches, `[rows · columns, dim]` row by row. Cheap to clone: the numbers are shared.
#[derive(Clone, Debug)]
pub struct FeatureGrid {
    placement: Arc<Placement>,
    dim: usize,
    tokens: Arc<[f32]>,
    norms: Arc<[f32]>,
}

impl FeatureGrid {
    /// A grid of tokens `[rows · columns, dim]`.
    ///
    /// # Errors
    /// [`FeatureError::NotFinite`] for values that are no numbers; a tensor error where the count does not fit.
    pub fn new(placement: Placement, dim: usize, tokens: impl Into<Arc<[f32]>>) -> Result<Self, FeatureError> {
        let tokens = tokens.into();
        if dim == 0 || tokens.is_empty() || placement.patches().checked_mul(dim) != Some(tokens.len()) {
            return Err(FeatureError::Tensor(candle_core::Error::Msg(format!(
                "{} values are no grid of {} × {} patches of width {dim}",
                tokens.len(),
                placement.columns,
                placement.rows
            ))));
        }
        let norms: Arc<[f32]> = tokens.chunks_exact(dim).map(|token| dot(token, token).sqrt()).collect();
        if norms.iter().any(|norm| !norm.is_finite()) {
            return Err(FeatureError::NotFinite);
        }
        Ok(Self { placement: Arc::new(placement), dim, tokens, norms })
    }

    /// How the grid lies on its picture.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Rows of patches.
    #[must_use]
    pub fn height(&self) -> usize {
        self.placement.rows
    }

    /// Columns of patches.
    #[must_use]
    pub fn width(&self) -> usize {
        self.placement.columns
    }

    /// Rows and columns.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.placement.rows, self.placement.columns)
    }

    /// Numbers a patch has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Patches of the grid.
    #[must_use]
    pub fn patches(&self) -> usize {
        self.norms.len()
    }

    /// All numbers, `[rows · columns, dim]`.
    #[must_use]
    pub fn tokens(&self) -> &[f32] {
        &self.tokens
    }

    /// The features of patch `index` (row by row); empty beyond the last.
    #[must_use]
    pub fn token(&self, index: usize) -> &[f32] {
        self.tokens.chunks_exact(self.dim).nth(index).unwrap_or_default()
    }

    /// The length of every patch's features.
    #[must_use]
    pub fn norms(&self) -> &[f32] {
        &self.norms
    }

    /// Bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.tokens.len() + self.norms.len()) * size_of::<f32>()
    }

    /// The features of this grid and of `other` side by side, this one's first: how FiT3D uses the original and the
    /// fine-tuned model's features together (spec/fit3d.md section 3.1).
    ///
    /// # Errors
    /// [`FeatureError::Grids`] where the grids differ.
    pub fn beside(&self, other: &Self) -> Result<Self, FeatureError> {
        if self.shape() != other.shape() {
            return Err(FeatureError::Grids(self.shape(), other.shape()));
        }
        let pairs = self.tokens.chunks_exact(self.dim).zip(other.tokens.chunks_exact(other.dim));
        let tokens: Vec<f32> = pairs.flat_map(|(a, b)| a.iter().chain(b)).copied().collect();
        Self::new(Placement::clone(&self.placement), self.dim + other.dim, tokens)
    }
}

/// Σ aᵢ bᵢ, in several sums so that it runs on wide registers.
#[must_use]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a, rest_a) = a.as_chunks::<16>();
    let (b, rest_b) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    /// A grid over a picture whose pixels are exactly the patches' (8 pixels each).
    pub(in crate::features) fn grid(rows: usize, columns: usize, dim: usize, tokens: Vec<f32>) -> FeatureGrid {
        let plan = plan((columns as u32 * 8, rows as u32 * 8), SizeRequest::Source, Fit::Squash, 8).unwrap();
        FeatureGrid::new(Placement::new(&plan, 8), dim, tokens).unwrap()
    }

    /// Tokens around `clusters` well separated centres (token i around centre i mod clusters), from a seed.
    pub(in crate::features) fn clustered(
        rows: usize,
        columns: usize,
        dim: usize,
        clusters: usize,
        seed: u64,
    ) -> FeatureGrid {
        use rand::Rng;
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        let centres: Vec<Vec<f32>> =
            (0..clusters).map(|_| (0..dim).map(|_| draw.random_range(-1.0..1.0f32)).collect()).collect();
        let tokens = (0..rows * columns)
            .flat_map(|i| {
                let centre = &centres[i % clusters];
                centre.iter().map(|value| value + draw.random_range(-0.05..0.05)).collect::<Vec<f32>>()
            })
            .collect();
        grid(rows, columns, dim, tokens)
    }

    #[test]
    fn a_patch_lies_where_its_pixels_are() {
        let plan = plan((100, 50), SizeRequest::Exact(56, 28), Fit::Squash, 14).unwrap();
        let place = Placement::new(&plan, 14);
        assert_eq!((place.rows, place.columns, place.describe().as_str()), (2, 4, "56×28 → 4×2"));
        assert_eq!(place.patch_box(1, 3), [75.0, 25.0, 100.0, 50.0]);
        assert_eq!(place.patch_at(74.9, 25.0), Some((1, 2)));
        assert_eq!(place.patch_at(100.0, 3.0), None);
        assert_eq!(place.patch_at(-0.1, 3.0), None);
    }

    #[test]
    fn grids_side_by_side() {
        let (a, b) = (grid(1, 2, 2, vec![1., 2., 3., 4.]), grid(1, 2, 1, vec![5., 6.]));
        let both = a.beside(&b).unwrap();
        assert_eq!((both.dim(), both.tokens()), (3, [1., 2., 5., 3., 4., 6.].as_slice()));
        assert!((both.norms()[0] - 30f32.sqrt()).abs() < 1e-6);
        assert_eq!(both.token(1), [3., 4., 6.]);
        let other = grid(2, 1, 1, vec![5., 6.]);
        assert!(a.beside(&other).unwrap_err().to_string().contains("2 × 1 and 1 × 2 patches"));
    }

    #[test]
    fn counts_and_numbers_are_checked() {
        let place = a_place((16, 8));
        assert!(FeatureGrid::new(place.clone(), 3, vec![0.0; 5]).is_err());
        assert!(matches!(FeatureGrid::new(place, 1, vec![0.0, f32::NAN]), Err(FeatureError::NotFinite)));
    }

    fn a_place(size: (u32, u32)) -> Placement {
        Placement::new(&plan(size, SizeRequest::Source, Fit::Squash, 8).unwrap(), 8)
    }

    proptest! {
        #[test]
        fn there_and_back(w in 1_u32..500, h in 1_u32..500, longer in 14_u32..300,
                          fit in prop_oneof![Just(Fit::Pad), Just(Fit::Crop), Just(Fit::Squash)],
                          x in 0.0..1.0f64, y in 0.0..1.0f64) {
            let plan = plan((w, h), SizeRequest::LongerSide(longer), fit, 14).unwrap();
            let place = Placement::new(&plan, 14);
            let (x, y) = (x * f64::from(w), y * f64::from(h));
            let (column, row) = place.to_grid(x, y);
            let (x2, y2) = place.to_picture(column, row);
            prop_assert!((x - x2).abs() < 1e-6 && (y - y2).abs() < 1e-6);
            if let Some((row, column)) = place.patch_at(x, y) {
                let [left, top, right, bottom] = place.patch_box(row, column);
                prop_assert!(left - 1e-6 <= x && x <= right + 1e-6 && top - 1e-6 <= y && y <= bottom + 1e-6);
            } else {
                prop_assert!(fit == Fit::Crop);
            }
        }

        #[test]
        fn dot_is_the_sum_of_products(values in proptest::collection::vec((-1.0..1.0f32, -1.0..1.0f32), 0..70)) {
            let (a, b): (Vec<f32>, Vec<f32>) = values.iter().copied().unzip();
            let exact: f64 = values.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-5);
        }
    }
}
