//! Moving numbers: transposition, enlargement by nearest neighbour and by linear interpolation.

use rayon::prelude::*;

/// Side of the squares that are turned one at a time.
const SQUARE: usize = 8;

/// `[batch, n, m]` to `[batch, m, n]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn transpose(x: &[f32], (n, m): (usize, usize), out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "the sizes fit");
    if n * m == 0 {
        return;
    }
    assert_eq!(x.len() % (n * m), 0, "whole matrices");
    // A piece of work is SQUARE rows of the output; the last of a matrix may be fewer.
    let per_matrix = m.div_ceil(SQUARE);
    let mut pieces: Vec<&mut [f32]> = Vec::with_capacity(per_matrix * (x.len() / (n * m)));
    for matrix in out.chunks_mut(n * m) {
        pieces.extend(matrix.chunks_mut(SQUARE * n));
    }
    pieces.into_par_iter().enumerate().for_each(|(index, rows)| {
        let (matrix, first) = (&x[index / per_matrix * n * m..], index % per_matrix * SQUARE);
        for from in (0..n).step_by(SQUARE) {
            for (j, row) in rows.chunks_mut(n).enumerate() {
                for i in from..(from + SQUARE).min(n) {
                    row[i] = matrix[i * m + first + j];
                }
            }
        }
    });
}

/// Planes of `from` (height, width) to planes of `to`: source index ⌊i · old / new⌋ in both directions.
///
/// # Panics
/// If the lengths do not fit.
pub fn enlarge(x: &[f32], from: (usize, usize), to: (usize, usize), out: &mut [f32]) {
    let (plane, target) = (from.0 * from.1, to.0 * to.1);
    if target == 0 || plane == 0 {
        return;
    }
    assert_eq!(x.len() / plane, out.len() / target, "the sizes fit");
    let columns: Vec<usize> = (0..to.1).map(|column| column * from.1 / to.1).collect();
    out.par_chunks_mut(target).zip(x.par_chunks(plane)).for_each(|(out, x)| {
        for y in 0..to.0 {
            let source = y * from.0 / to.0;
            let (done, rest) = out.split_at_mut(y * to.1);
            let row = &mut rest[..to.1];
            if y > 0 && source == (y - 1) * from.0 / to.0 {
                row.copy_from_slice(&done[(y - 1) * to.1..]);
            } else {
                let line = &x[source * from.1..(source + 1) * from.1];
                for (value, column) in row.iter_mut().zip(&columns) {
                    *value = line[*column];
                }
            }
        }
    });
}

/// Planes of `from` (height, width) to planes of `to`, linear between samples whose outermost ones stay in the corners.
///
/// # Panics
/// If the lengths do not fit.
pub fn between_corners(x: &[f32], from: (usize, usize), to: (usize, usize), out: &mut [f32]) {
    let (plane, target) = (from.0 * from.1, to.0 * to.1);
    if target == 0 || plane == 0 {
        return;
    }
    assert_eq!(x.len() / plane, out.len() / target, "the sizes fit");
    let (rows, columns) = (corner_taps(from.0, to.0), corner_taps(from.1, to.1));
    out.par_chunks_mut(target).zip(x.par_chunks(plane)).for_each(|(out, x)| {
        for (row, (top, bottom, down)) in out.chunks_exact_mut(to.1).zip(&rows) {
            let (upper, lower) = (&x[top * from.1..][..from.1], &x[bottom * from.1..][..from.1]);
            for (value, (left, right, along)) in row.iter_mut().zip(&columns) {
                let line = |line: &[f32]| line[*left] * (1.0 - along) + line[*right] * along;
                *value = line(upper) * (1.0 - down) + line(lower) * down;
            }
        }
    });
}

/// For each output sample of [`between_corners`] along one side the two input samples and the share of the second.
pub fn corner_taps(inputs: usize, outputs: usize) -> Vec<(usize, usize, f32)> {
    let step = if outputs > 1 { (inputs - 1) as f64 / (outputs - 1) as f64 } else { 0.0 };
    let tap = |output: usize| {
        let at = step * output as f64;
        let first = (at as usize).min(inputs - 1);
        (first, (first + 1).min(inputs - 1), (at - first as f64) as f32)
    };
    (0..outputs).map(tap).collect()
}
