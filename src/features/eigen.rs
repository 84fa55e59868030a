//! The leading eigenvectors of a symmetric matrix, by Lanczos' method with full reorthogonalisation: a covariance of a
//! thousand channels is asked for three of them, and a full decomposition would take most of a second.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Eigenvalues, largest first, each with its unit eigenvector.
pub(super) type Pairs = Vec<(f64, Vec<f64>)>;

/// A residual of this share of the matrix' scale ends the search.
const TOLERANCE: f64 = 1e-8;

/// Up to this size all directions are looked at, so that equal eigenvalues are found as often as they are there.
const SMALL: usize = 64;

/// The `count` largest eigenpairs of a positive semidefinite matrix `[n, n]`, given by its products with vectors and by its
/// trace; fewer only if `n` is smaller. The same matrix gives the same answer; signs are as they come.
pub(super) fn leading(product: &dyn Fn(&[f64]) -> Vec<f64>, trace: f64, n: usize, count: usize) -> Pairs {
    let count = count.min(n);
    let scale = trace.max(f64::MIN_POSITIVE);
    let mut draw = ChaCha8Rng::seed_from_u64(0x5EED);
    let mut directions: Vec<Vec<f64>> = Vec::new();
    let (mut diagonal, mut beside): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let Some(mut next) = fresh(n, &directions, &mut draw) else { return Vec::new() };
    let least = if n <= SMALL { n } else { (2 * count + 10).min(n) };
    loop {
        directions.push(next);
        let Some(current) = directions.last() else { return Vec::new() };
        let mut image = product(current);
        diagonal.push(inner(&image, current));
        // Twice is enough (Kahan and Parlett); it also takes off what the three-term recurrence would.
        for _ in 0..2 {
            remove(&mut image, &directions);
        }
        let length = inner(&image, &image).sqrt();
        let steps = directions.len();
        let done = steps == n
            || (steps >= least && steps.is_multiple_of(4) && {
                let (_, last_rows) = tridiagonal(&diagonal, &beside, &[steps - 1]);
                last_rows.iter().take(count).all(|row| (row[0] * length).abs() <= TOLERANCE * scale)
            });
        if done {
            break;
        }
        if length > 1e-12 * scale {
            image.iter_mut().for_each(|value| *value /= length);
            beside.push(length);
            next = image;
        } else {
            // The directions so far span an invariant subspace: go on beside it.
            beside.push(0.0);
            match fresh(n, &directions, &mut draw) {
                Some(direction) => next = direction,
                None => break,
            }
        }
    }
    let steps: Vec<usize> = (0..directions.len()).collect();
    let (values, vectors) = tridiagonal(&diagonal, &beside, &steps);
    let combine = |weights: &Vec<f64>| {
        let mut vector = vec![0.0; n];
        for (weight, direction) in weights.iter().zip(&directions) {
            vector.iter_mut().zip(direction).for_each(|(sum, value)| *sum += weight * value);
        }
        let length = inner(&vector, &vector).sqrt().max(f64::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    };
    values.into_iter().zip(&vectors).take(count).map(|(value, weights)| (value.max(0.0), combine(weights))).collect()
}

/// A random unit vector orthogonal to all `directions`; `None` if they span the space.
fn fresh(n: usize, directions: &[Vec<f64>], draw: &mut ChaCha8Rng) -> Option<Vec<f64>> {
    for _ in 0..8 {
        let mut vector: Vec<f64> = (0..n).map(|_| draw.random_range(-1.0..1.0)).collect();
        for _ in 0..2 {
            remove(&mut vector, directions);
        }
        let length = inner(&vector, &vector).sqrt();
        if length > 1e-6 {
            vector.iter_mut().for_each(|value| *value /= length);
            return Some(vector);
        }
    }
    None
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Takes off what `vector` has of each direction.
fn remove(vector: &mut [f64], directions: &[Vec<f64>]) {
    for direction in directions {
        let share = inner(vector, direction);
        vector.iter_mut().zip(direction).for_each(|(value, along)| *value -= share * along);
    }
}

/// Eigenvalues of the symmetric tridiagonal matrix with this diagonal and these values beside it, largest first, and of
/// each eigenvector the entries at `rows`. The implicit QL algorithm with Wilkinson's shift.
fn tridiagonal(diagonal: &[f64], beside: &[f64], rows: &[usize]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = diagonal.len();
    let mut d = diagonal.to_vec();
    let mut e = beside.to_vec();
    e.resize(n, 0.0);
    // Rows of the matrix whose columns are the eigenvectors; only those asked for are carried along.
    let mut z: Vec<Vec<f64>> =
        rows.iter().map(|&row| (0..n).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    for l in 0..n {
        // Every eigenvalue takes two or three turns; the bound only guards against values that are no numbers.
        for _ in 0..60 {
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let m = (l..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut r = g.hypot(1.0);
            g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut underflow = false;
            for i in (l..m).rev() {
                let f = s * e[i];
                let b = c * e[i];
                r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    underflow = true;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
                for row in &mut z {
                    let f = row[i + 1];
                    row[i + 1] = s * row[i] + c * f;
                    row[i] = c * row[i] - s * f;
                }
            }
            if !underflow {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| d[*b].total_cmp(&d[*a]));
    let vectors = order.iter().map(|&column| z.iter().map(|row| row[column]).collect()).collect();
    (order.iter().map(|&column| d[column]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    /// Matrix times vector.
    fn product(matrix: &[f32], n: usize, vector: &[f64]) -> Vec<f64> {
        matrix.chunks_exact(n).map(|row| row.iter().zip(vector).map(|(a, b)| f64::from(*a) * b).sum()).collect()
    }

    fn of_matrix(matrix: &[f32], n: usize, count: usize) -> Pairs {
        let trace = (0..n).map(|i| f64::from(matrix[i * n + i])).sum();
        leading(&|vector| product(matrix, n, vector), trace, n, count)
    }

    /// Qᵀ diag(values) Q for a random orthogonal Q.
    fn matrix(values: &[f64], seed: u64) -> (Vec<f32>, Vec<Vec<f64>>) {
        let n = values.len();
        let mut draw = ChaCha8Rng::seed_from_u64(seed);
        let mut basis: Vec<Vec<f64>> = Vec::new();
        while basis.len() < n {
            let vector = fresh(n, &basis, &mut draw).unwrap();
            basis.push(vector);
        }
        let at = |i: usize, j: usize| -> f64 { (0..n).map(|k| values[k] * basis[k][i] * basis[k][j]).sum() };
        ((0..n * n).map(|ij| at(ij / n, ij % n) as f32).collect(), basis)
    }

    #[test]
    fn finds_the_leading_pairs_of_a_large_matrix() {
        let values: Vec<f64> = (0..200).map(|i| 100.0 / f64::from(i + 1)).collect();
        let (matrix, basis) = matrix(&values, 3);
        for (i, (value, vector)) in of_matrix(&matrix, 200, 5).iter().enumerate() {
            assert!((value - values[i]).abs() < 1e-4, "{value}");
            assert!((inner(vector, &basis[i]).abs() - 1.0).abs() < 1e-5, "{i}");
        }
    }

    #[test]
    fn equal_and_vanishing_values_are_found_as_often_as_they_are_there() {
        let (matrix, _) = matrix(&[4.0, 4.0, 4.0, 1.0, 0.0, 0.0], 5);
        let pairs = of_matrix(&matrix, 6, 6);
        for ((value, _), wanted) in pairs.iter().zip([4.0, 4.0, 4.0, 1.0, 0.0, 0.0]) {
            assert!((value - wanted).abs() < 1e-5, "{value}");
        }
        for (i, (_, a)) in pairs.iter().enumerate() {
            for (j, (_, b)) in pairs.iter().enumerate() {
                let wanted = f64::from(u8::from(i == j));
                assert!((inner(a, b) - wanted).abs() < 1e-6);
            }
        }
        assert_eq!(of_matrix(&[0.0; 9], 3, 2).len(), 2);
        let single = of_matrix(&[5.0], 1, 3);
        assert!(single.len() == 1 && single[0].0 == 5.0 && single[0].1[0].abs() == 1.0);
    }

    proptest! {
        #[test]
        fn pairs_solve_the_eigenvalue_equation(n in 1_usize..40, seed in 0_u64..1000) {
            let mut draw = ChaCha8Rng::seed_from_u64(seed);
            let values: Vec<f64> = (0..n).map(|_| draw.random_range(0.0..10.0)).collect();
            let (matrix, _) = matrix(&values, seed + 1);
            let mut sorted = values;
            sorted.sort_by(|a, b| b.total_cmp(a));
            for ((value, vector), wanted) in of_matrix(&matrix, n, 4).iter().zip(sorted) {
                prop_assert!((value - wanted).abs() < 1e-4);
                for (image, x) in product(&matrix, n, vector).iter().zip(vector) {
                    prop_assert!((image - value * x).abs() < 1e-4);
                }
            }
        }
    }
}
