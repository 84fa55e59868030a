use proptest::prelude::*;

use super::*;
use crate::features::grid::dot;
use crate::features::grid::tests::{clustered, grid};
use crate::nets::watcher::{Cancelled, Unwatched, Watcher};

fn fit(grid: &FeatureGrid, count: usize) -> Basis {
    Basis::fit(&[Sample::all(grid)], count, &Unwatched).unwrap()
}

/// The paper's map: three components, one range.
fn paper(grid: &FeatureGrid) -> image::RgbImage {
    let scores = fit(grid, 3).project(grid).unwrap();
    Colouring::fit(&[(&scores, None)], [0, 1, 2], RangeRule::Joint).paint(&scores, None)
}

#[test]
fn points_on_a_line_have_one_component() {
    let tokens = (0..6).flat_map(|i| [i as f32 * -3.0, i as f32 * 4.0]).collect();
    let grid = grid(2, 3, 2, tokens);
    let basis = fit(&grid, 3);
    // Only two components fit into two channels; the largest loading, 0.8, is positive.
    assert_eq!(basis.count(), 2);
    let wanted = [-0.6, 0.8];
    assert!(basis.component(0).iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", basis.component(0));
    assert!((basis.explained()[0] - 1.0).abs() < 1e-6);
    let scores = basis.project(&grid).unwrap().component(0);
    assert!(scores.windows(2).all(|pair| (pair[1] - pair[0] - 5.0).abs() < 1e-5), "{scores:?}");
    let map = paper(&grid);
    assert_eq!((map.get_pixel(0, 0).0[0], map.get_pixel(2, 1).0[0]), (0, 255));
}

#[test]
fn a_shared_basis_gives_the_same_thing_the_same_colour() {
    let (a, b) = (clustered(4, 5, 16, 3, 1), clustered(4, 5, 16, 3, 1));
    let other = clustered(3, 7, 16, 5, 2);
    let samples = [Sample::all(&a), Sample::all(&other)];
    let basis = Basis::fit(&samples, 4, &Unwatched).unwrap();
    assert_eq!(basis.patches(), 41);
    let scores: Vec<Scores> = [&a, &b, &other].map(|grid| basis.project(grid).unwrap()).into();
    let maps: Vec<(&Scores, Option<&[bool]>)> = scores.iter().map(|scores| (scores, None)).collect();
    let colouring = Colouring::fit(&maps, [0, 1, 3], RangeRule::default());
    assert_eq!(colouring.paint(&scores[0], None), colouring.paint(&scores[1], None));
    assert_eq!(colouring.paint(&scores[2], None).dimensions(), (7, 3));
}

#[test]
fn outliers_do_not_wash_out_the_rest() {
    let mut tokens: Vec<f32> = (0..200).flat_map(|i| [(i % 20) as f32, 0.0]).collect();
    tokens[0] = 1e4;
    let grid = grid(10, 20, 2, tokens);
    let scores = fit(&grid, 1).project(&grid).unwrap();
    let contrast = |rule: RangeRule| {
        let map = Colouring::fit(&[(&scores, None)], [0, 1, 2], rule).paint(&scores, None);
        let values: Vec<u8> = map.pixels().skip(1).map(|pixel| pixel.0[0]).collect();
        i32::from(*values.iter().max().unwrap()) - i32::from(*values.iter().min().unwrap())
    };
    assert!(contrast(RangeRule::Joint) < 3);
    assert!(contrast(RangeRule::Percentiles { low: 1.0, high: 99.0 }) > 200);
    assert!(contrast(RangeRule::MedianDeviations(2.0)) > 200);
    // A component that is not there is black, and inverting a range inverts the colours.
    let colouring = Colouring::fit(&[(&scores, None)], [0, 1, 2], RangeRule::default());
    let map = colouring.paint(&scores, None);
    assert!(map.pixels().all(|pixel| pixel.0[1] == 0 && pixel.0[2] == 0));
    let inverted = Colouring { ranges: colouring.ranges.map(|(low, high)| (high, low)), ..colouring };
    let other = inverted.paint(&scores, None);
    assert!(map.pixels().zip(other.pixels()).all(|(a, b)| (i32::from(a.0[0]) + i32::from(b.0[0]) - 255).abs() <= 1));
}

#[test]
fn a_second_fit_on_the_foreground_sees_only_that() {
    let grid = clustered(4, 4, 8, 2, 9);
    let only: Vec<bool> = (0..16).map(|i| i % 2 == 0).collect();
    let basis = Basis::fit(&[Sample { grid: &grid, only: Some(&only) }], 2, &Unwatched).unwrap();
    assert_eq!(basis.patches(), 8);
    let all = fit(&grid, 2);
    assert!(basis.variances[0] < 0.1 * all.variances[0]);
    let scores = basis.project(&grid).unwrap();
    let map = Colouring::fit(&[(&scores, Some(&only))], [0, 1, 2], RangeRule::Joint).paint(&scores, Some(&only));
    assert!(map.pixels().enumerate().all(|(i, pixel)| only[i] || pixel.0 == [0, 0, 0]));
}

#[test]
fn what_cannot_be_fitted_is_said_in_one_sentence() {
    let fault = |grid: &FeatureGrid| Basis::fit(&[Sample::all(grid)], 3, &Unwatched).unwrap_err().to_string();
    assert_eq!(
        fault(&grid(1, 1, 4, vec![1.0; 4])),
        "a PCA map needs at least 2 patches, and there is 1; choose a larger size"
    );
    assert!(fault(&grid(3, 3, 2, [0.1, 7.3].repeat(9))).contains("all patches look the same"));
    assert!(fault(&grid(3, 3, 2, vec![0.0; 18])).contains("all patches look the same"));
    let (a, b) = (grid(1, 2, 1, vec![1.0, 2.0]), grid(1, 2, 2, vec![1.0; 4]));
    let both = Basis::fit(&[Sample::all(&a), Sample::all(&b)], 3, &Unwatched).unwrap_err().to_string();
    assert!(both.contains("width 1 and of width 2"), "{both}");
    assert!(fit(&a, 3).project(&b).is_err());

    struct Stops;
    impl Watcher for Stops {
        fn checkpoint(&self) -> candle_core::Result<()> {
            Err(Cancelled.into_candle())
        }
    }
    impl FeatureObserver for Stops {
        fn stage(&self, _: &str, _: usize) {}
        fn step(&self, _: usize) {}
    }
    assert!(Basis::fit(&[Sample::all(&a)], 1, &Stops).unwrap_err().to_string().contains("cancelled"));
}

#[test]
fn a_basis_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("basis.safetensors");
    let grid = clustered(4, 5, 6, 3, 4);
    let basis = fit(&grid, 4);
    basis.save(&path, "a model").unwrap();
    let again = Basis::load(&path).unwrap();
    assert_eq!((again.dim(), again.count(), again.patches()), (6, 4, 20));
    assert_eq!(again.component(2), basis.component(2));
    assert_eq!(again.project(&grid).unwrap().component(1), basis.project(&grid).unwrap().component(1));
    assert!(again.explained().iter().zip(basis.explained()).all(|(a, b)| (a - b).abs() < 1e-6));
    let fault = |path: &std::path::Path| Basis::load(path).unwrap_err().to_string();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    assert!(fault(&path).contains("cut short"), "{}", fault(&path));
    std::fs::write(&path, crate::features::pca::tests::not_a_basis()).unwrap();
    assert!(fault(&path).contains("holds no PCA basis"), "{}", fault(&path));
    assert!(fault(&folder.path().join("nowhere")).contains("missing"));
}

/// A correct safetensors file with one tensor of another name.
fn not_a_basis() -> Vec<u8> {
    let header = r#"{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&1f32.to_le_bytes());
    file
}

proptest! {
    #[test]
    fn components_are_orthonormal_scores_uncorrelated_and_signs_settled(rows in 1_usize..6, columns in 2_usize..7,
                                                                       dim in 1_usize..20, seed in 0_u64..500) {
        let grid = clustered(rows, columns, dim, 3, seed);
        let basis = fit(&grid, 3);
        let count = basis.count();
        prop_assert_eq!(count, 3.min(dim).min(rows * columns));
        for i in 0..count {
            for j in 0..count {
                let wanted = if i == j { 1.0 } else { 0.0 };
                prop_assert!((dot(basis.component(i), basis.component(j)) - wanted).abs() < 1e-4);
            }
            let component = basis.component(i);
            let largest = component.iter().fold(0f32, |best, v| if v.abs() > best.abs() { *v } else { best });
            prop_assert!(largest > 0.0);
        }
        let explained = basis.explained();
        prop_assert!(explained.windows(2).all(|pair| pair[0] >= pair[1] - 1e-6));
        prop_assert!(explained.iter().sum::<f32>() <= 1.0 + 1e-4);
        let scores = basis.project(&grid).unwrap();
        let n = grid.patches() as f32;
        for i in 0..count {
            let a = scores.component(i);
            prop_assert!(a.iter().sum::<f32>().abs() / n < 1e-3);
            for j in 0..i {
                let b = scores.component(j);
                prop_assert!((dot(&a, &b) / n).abs() < 1e-3);
            }
        }
        prop_assert_eq!(paper(&grid), paper(&grid));
    }
}
