//! "What else looks like this to the model?": the cosine between a query and every patch, in this picture or another.

use rayon::prelude::*;

use super::grid::dot;
use super::{FeatureError, FeatureGrid};

/// Up to so many multiplications one thread does them: quicker than waiting for others that are at longer work, as the
/// thread that draws a window must not.
const ALONE: usize = 4_000_000;

/// The cosine of the angle between `query` `[dim]` and every patch, row by row, in −1..=1; 0 where either is zero.
/// Fast enough to follow a pointer: a pass over the grid.
///
/// # Errors
/// [`FeatureError::Widths`].
pub fn to_vector(grid: &FeatureGrid, query: &[f32]) -> Result<Vec<f32>, FeatureError> {
    if query.len() != grid.dim() {
        return Err(FeatureError::Widths(query.len(), grid.dim()));
    }
    let length = dot(query, query).sqrt();
    let of = |(token, norm): (&[f32], &f32)| cosine(dot(token, query), norm * length);
    if grid.patches() * grid.dim() <= ALONE {
        return Ok(grid.tokens().chunks_exact(grid.dim()).zip(grid.norms()).map(of).collect());
    }
    Ok(grid.tokens().par_chunks_exact(grid.dim()).zip(grid.norms()).map(of).collect())
}

fn cosine(product: f32, lengths: f32) -> f32 {
    if lengths > 0.0 { (product / lengths).clamp(-1.0, 1.0) } else { 0.0 }
}

/// The cosine between patch (row, column) and every patch of the same grid; nothing beyond the grid.
#[must_use]
pub fn to_patch(grid: &FeatureGrid, row: usize, column: usize) -> Option<Vec<f32>> {
    let inside = row < grid.height() && column < grid.width();
    inside.then(|| to_vector(grid, grid.token(row * grid.width() + column)).ok())?
}

/// The mean of the patches' features, each taken by its weight (a region on the grid, in 0..=1): `[dim]`.
///
/// # Errors
/// [`FeatureError::TooFewPatches`] where nothing has any weight.
pub fn mean_of(grid: &FeatureGrid, weights: &[f32]) -> Result<Vec<f32>, FeatureError> {
    let mut sums = vec![0f64; grid.dim()];
    let mut total = 0.0;
    for (token, weight) in grid.tokens().chunks_exact(grid.dim()).zip(weights) {
        let weight = f64::from(weight.max(0.0));
        if weight > 0.0 {
            total += weight;
            sums.iter_mut().zip(token).for_each(|(sum, value)| *sum += weight * f64::from(*value));
        }
    }
    if total <= 0.0 {
        return Err(FeatureError::TooFewPatches { what: "the similarity to a region", needed: 1, patches: 0 });
    }
    Ok(sums.into_iter().map(|sum| (sum / total) as f32).collect())
}

/// A patch found, with its similarity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Its row.
    pub row: usize,
    /// Its column.
    pub column: usize,
    /// The cosine, −1..=1.
    pub cosine: f32,
}

/// The `count` patches most similar to `query`, best first, equals in the order of the grid.
///
/// # Errors
/// [`FeatureError::Widths`].
pub fn nearest(grid: &FeatureGrid, query: &[f32], count: usize) -> Result<Vec<Match>, FeatureError> {
    Ok(largest(&to_vector(grid, query)?, grid.width(), count))
}

/// The `count` largest of the `cosines` of a grid of `columns` columns, best first, equals in the order of the grid.
#[must_use]
pub fn largest(cosines: &[f32], columns: usize, count: usize) -> Vec<Match> {
    let better = |a: &usize, b: &usize| cosines[*b].total_cmp(&cosines[*a]).then(a.cmp(b));
    let mut order: Vec<usize> = (0..cosines.len()).collect();
    if count < order.len() {
        order.select_nth_unstable_by(count, better);
        order.truncate(count);
    }
    order.sort_unstable_by(better);
    let columns = columns.max(1);
    order.into_iter().map(|at| Match { row: at / columns, column: at % columns, cosine: cosines[at] }).collect()
}

/// How differently two models, or two versions of a picture, see each patch: 1 − cosine, 0..=2.
///
/// # Errors
/// [`FeatureError::Grids`] and [`FeatureError::Widths`] where the grids cannot be paired.
pub fn difference(a: &FeatureGrid, b: &FeatureGrid) -> Result<Vec<f32>, FeatureError> {
    if a.shape() != b.shape() {
        return Err(FeatureError::Grids(a.shape(), b.shape()));
    }
    if a.dim() != b.dim() {
        return Err(FeatureError::Widths(a.dim(), b.dim()));
    }
    let tokens = a.tokens().chunks_exact(a.dim()).zip(b.tokens().chunks_exact(b.dim()));
    let norms = a.norms().iter().zip(b.norms());
    Ok(tokens.zip(norms).map(|((x, y), (p, q))| 1.0 - cosine(dot(x, y), p * q)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::features::grid::tests::{clustered, grid};

    #[test]
    fn cosines_by_hand() {
        let grid = grid(1, 4, 2, vec![1.0, 0.0, 3.0, 3.0, 0.0, -2.0, 0.0, 0.0]);
        let found = to_patch(&grid, 0, 0).unwrap();
        let wanted = [1.0, 0.5f32.sqrt(), 0.0, 0.0];
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        assert_eq!(to_patch(&grid, 1, 0), None);
        let best = nearest(&grid, &[1.0, 1.0], 2).unwrap();
        assert_eq!((best[0].column, best[1].column), (1, 0));
        let order: Vec<usize> = largest(&[0.2, 0.9, 0.2, 0.5], 4, 3).iter().map(|found| found.column).collect();
        assert_eq!(order, [1, 3, 0]);
        assert_eq!(largest(&[0.2, 0.9], 1, 7).len(), 2);
        assert_eq!(mean_of(&grid, &[1.0, 1.0, 0.0, 0.0]).unwrap(), [2.0, 1.5]);
        assert!(mean_of(&grid, &[0.0; 4]).is_err());
        assert!(to_vector(&grid, &[1.0]).unwrap_err().to_string().contains("width 1 and of width 2"));
    }

    #[test]
    fn several_threads_find_what_one_finds() {
        // Just above what one thread does alone.
        let (rows, columns, dim) = (100, 101, 400);
        let tokens: Vec<f32> = (0..rows * columns * dim).map(|at| ((at * 37 % 101) as f32) - 50.0).collect();
        let grid = grid(rows, columns, dim, tokens);
        assert!(grid.patches() * dim > ALONE);
        let found = to_patch(&grid, 40, 7).unwrap();
        let query = grid.token(40 * columns + 7);
        for at in [0, 977, rows * columns - 1] {
            let norms = (dot(query, query) * dot(grid.token(at), grid.token(at))).sqrt();
            assert!((found[at] - dot(grid.token(at), query) / norms).abs() < 1e-5);
        }
    }

    #[test]
    fn differences_pair_patches() {
        let (a, b) = (grid(1, 2, 2, vec![1., 0., 1., 1.]), grid(1, 2, 2, vec![0., 5., 2., 2.]));
        let found = difference(&a, &b).unwrap();
        assert!((found[0] - 1.0).abs() < 1e-6 && found[1].abs() < 1e-6);
        assert!(difference(&a, &grid(2, 1, 2, vec![1.0; 4])).is_err());
        assert!(difference(&a, &grid(1, 2, 1, vec![1.0; 2])).is_err());
    }

    proptest! {
        #[test]
        fn a_patch_is_most_similar_to_itself(seed in 0_u64..200, at in 0_usize..30) {
            let grid = clustered(5, 6, 12, 4, seed);
            let map = to_patch(&grid, at / 6, at % 6).unwrap();
            prop_assert!((map[at] - 1.0).abs() < 1e-5);
            prop_assert!(map.iter().all(|value| (-1.0..=1.0).contains(value)));
            let first = nearest(&grid, grid.token(at), 1).unwrap()[0];
            prop_assert!(first.cosine >= map[at] - 1e-6);
            let none = difference(&grid, &grid.clone()).unwrap();
            prop_assert!(none.iter().all(|value| value.abs() < 1e-5));
        }
    }
}
