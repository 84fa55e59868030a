//! Pairing the rows of a table with its columns so that the chosen costs add up to the least: by which clusters keep
//! their colours when k or the picture changes.

/// For every row the column it is paired with, or `None` where there are fewer columns than rows. `costs`
/// `[rows, columns]`, finite. The Hungarian method with potentials (Kuhn, Munkres; Jonker and Volgenant's form).
pub(super) fn least_cost(costs: &[f64], rows: usize, columns: usize) -> Vec<Option<usize>> {
    if rows > columns {
        // Each column then gets a row instead.
        let turned: Vec<f64> = (0..columns * rows).map(|at| costs[(at % rows) * columns + at / rows]).collect();
        let mut pairs = vec![None; rows];
        for (column, row) in least_cost(&turned, columns, rows).into_iter().enumerate() {
            if let Some(row) = row {
                pairs[row] = Some(column);
            }
        }
        return pairs;
    }
    // Rows and columns count from 1; 0 stands for nobody.
    let mut row_potential = vec![0.0; rows + 1];
    let mut column_potential = vec![0.0; columns + 1];
    let mut row_of = vec![0; columns + 1];
    for row in 1..=rows {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut came_from = vec![0; columns + 1];
        let mut seen = vec![false; columns + 1];
        loop {
            seen[column] = true;
            let current = row_of[column];
            let (mut step, mut nearest) = (f64::INFINITY, 0);
            for other in 1..=columns {
                if seen[other] {
                    continue;
                }
                let cost =
                    costs[(current - 1) * columns + other - 1] - row_potential[current] - column_potential[other];
                if cost < least[other] {
                    least[other] = cost;
                    came_from[other] = column;
                }
                if least[other] < step {
                    step = least[other];
                    nearest = other;
                }
            }
            for other in 0..=columns {
                if seen[other] {
                    row_potential[row_of[other]] += step;
                    column_potential[other] -= step;
                } else {
                    least[other] -= step;
                }
            }
            column = nearest;
            if row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            row_of[column] = row_of[came_from[column]];
            column = came_from[column];
        }
    }
    let mut pairs = vec![None; rows];
    for (column, row) in row_of.into_iter().enumerate().skip(1).filter(|(_, row)| *row > 0) {
        pairs[row - 1] = Some(column - 1);
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(costs: &[f64], columns: usize, pairs: &[Option<usize>]) -> f64 {
        pairs.iter().enumerate().filter_map(|(row, column)| Some(costs[row * columns + (*column)?])).sum()
    }

    /// The least total over all pairings, by trying them.
    fn by_trying(costs: &[f64], rows: usize, columns: usize, row: usize, used: u32) -> f64 {
        if row == rows {
            return 0.0;
        }
        (0..columns)
            .filter(|column| used >> column & 1 == 0)
            .map(|column| costs[row * columns + column] + by_trying(costs, rows, columns, row + 1, used | 1 << column))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn a_row_may_stay_alone() {
        assert_eq!(least_cost(&[5.0, 1.0, 2.0], 3, 1), [None, Some(0), None]);
        assert_eq!(least_cost(&[], 0, 4), []);
        assert_eq!(least_cost(&[], 2, 0), [None, None]);
        assert_eq!(least_cost(&[4.0, 1.0, 3.0, 2.0, 0.0, 5.0], 2, 3), [Some(1), Some(0)]);
    }

    proptest! {
        #[test]
        fn no_pairing_is_cheaper(rows in 1_usize..6, columns in 1_usize..6,
                                 costs in proptest::collection::vec(0.0..10.0f64, 36)) {
            let costs = &costs[..rows * columns];
            let pairs = least_cost(costs, rows, columns);
            prop_assert_eq!(pairs.iter().flatten().count(), rows.min(columns));
            let mut taken: Vec<usize> = pairs.iter().flatten().copied().collect();
            taken.sort_unstable();
            taken.dedup();
            prop_assert_eq!(taken.len(), rows.min(columns));
            if rows <= columns {
                let best = by_trying(costs, rows, columns, 0, 0);
                prop_assert!((total(costs, columns, &pairs) - best).abs() < 1e-9);
            }
        }
    }
}
