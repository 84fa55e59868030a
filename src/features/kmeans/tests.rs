use proptest::prelude::*;

use super::*;
use crate::features::grid::tests::{clustered, grid};
use crate::nets::watcher::{Cancelled, Unwatched, Watcher};

fn settings(clusters: usize) -> KmeansSettings {
    KmeansSettings { clusters, ..KmeansSettings::default() }
}

fn fit(grid: &FeatureGrid, clusters: usize) -> Clustering {
    Clustering::fit(&[grid], &settings(clusters), &Unwatched).unwrap()
}

/// Whether two labellings part the patches alike, whatever the clusters are called.
fn same_parts(a: &[u16], b: &[u16]) -> bool {
    a.iter().enumerate().all(|(i, x)| (0..i).all(|j| (x == &a[j]) == (b[i] == b[j])))
}

#[test]
fn separate_heaps_are_found_and_ordered_by_size() {
    // Patch i belongs to heap i mod 4; in 35 patches the first three heaps have 9, the last 8.
    let grid = clustered(5, 7, 24, 4, 11);
    for start in [Start::Random, Start::PlusPlus] {
        let found = Clustering::fit(&[&grid], &KmeansSettings { start, ..settings(4) }, &Unwatched).unwrap();
        let truth: Vec<u16> = (0..35).map(|i| i % 4).collect();
        assert!(same_parts(found.labels(0), &truth), "{start:?}");
        assert_eq!(found.sizes(), [9, 9, 9, 8]);
        // Equals in the order of their first patches.
        assert_eq!(found.labels(0)[..4], [0, 1, 2, 3]);
        assert_eq!(found.assign(&grid).unwrap(), found.labels(0));
        assert_eq!(found.colours(), [0, 1, 2, 3]);
    }
}

#[test]
fn both_ways_of_counting_give_the_same_clusters() {
    let grid = clustered(9, 8, 16, 12, 5);
    let grids = [&grid];
    let patches = Patches::of(&grids).unwrap();
    let starts = |restart: usize, _: &dyn Fn(usize) -> Vec<f32>| -> Vec<usize> {
        (0..6).map(|i| (i * 11 + restart * 5) % 72).collect()
    };
    let by_products = by_products::run(&patches, 4, 100, &starts, &Unwatched).unwrap();
    let directly = directly::run(&patches, 4, 100, &starts, &Unwatched).unwrap();
    for (a, b) in by_products.iter().zip(&directly) {
        assert_eq!(a.labels, b.labels);
        assert!((a.spread - b.spread).abs() < 1e-3 * b.spread, "{} {}", a.spread, b.spread);
        assert_eq!(a.rounds, b.rounds);
    }
}

#[test]
fn colours_stay_when_k_changes_by_one_and_when_the_picture_does() {
    let grid = clustered(8, 9, 20, 8, 3);
    let first = fit(&grid, 8);
    for clusters in [7, 9] {
        let next = fit(&grid, clusters).coloured_like(&first);
        let mut kept = 0;
        for (patch, label) in next.labels(0).iter().enumerate() {
            let before = first.colours()[usize::from(first.labels(0)[patch])];
            kept += usize::from(next.colours()[usize::from(*label)] == before);
        }
        assert!(kept >= 54, "{clusters} clusters: {kept} of 72 patches keep their colour");
        let mut colours = next.colours().to_vec();
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(colours.len(), clusters, "no colour twice");
    }
    // The same heaps in another arrangement.
    let turned: Vec<f32> = (0..72).rev().flat_map(|i| grid.token(i).to_vec()).collect();
    let other = crate::features::grid::tests::grid(8, 9, 20, turned);
    let second = fit(&other, 8).coloured_like(&first);
    for patch in 0..72 {
        let before = first.colours()[usize::from(first.labels(0)[71 - patch])];
        assert_eq!(second.colours()[usize::from(second.labels(0)[patch])], before);
    }
    // Another model's features have nothing to match by.
    let wider = fit(&clustered(4, 4, 21, 3, 1), 3);
    assert_eq!(wider.clone().coloured_like(&first), wider);
}

#[test]
fn clusters_that_were_gone_come_back_in_their_colours() {
    let grid = clustered(8, 9, 20, 8, 3);
    let first = fit(&grid, 8);
    // By way of three, and of five clusters of which some are new.
    let few = fit(&grid, 3).coloured_like(&first);
    for way in [few.clone(), fit(&grid, 5).coloured_like(&few)] {
        let again = fit(&grid, 8).coloured_like(&way);
        for (patch, label) in again.labels(0).iter().enumerate() {
            let before = first.colours()[usize::from(first.labels(0)[patch])];
            assert_eq!(again.colours()[usize::from(*label)], before, "patch {patch}");
        }
    }
    // Nothing is remembered that has no colour left to itself.
    let all = fit(&grid, 64).coloured_like(&few);
    let mut colours = all.colours().to_vec();
    colours.sort_unstable();
    colours.dedup();
    assert_eq!(colours.len(), 64, "no colour twice");
}

#[test]
fn several_grids_share_their_clusters() {
    let (a, b) = (clustered(4, 4, 10, 4, 7), clustered(3, 5, 10, 4, 7));
    let both = Clustering::fit(&[&a, &b], &settings(4), &Unwatched).unwrap();
    assert_eq!((both.labels(0).len(), both.labels(1).len()), (16, 15));
    assert_eq!(both.labels(0)[0], both.labels(1)[0]);
    assert_eq!(both.sizes().iter().sum::<usize>(), 31);
    assert!(both.labels(2).is_empty());
}

#[test]
fn what_cannot_be_clustered_is_said_in_one_sentence() {
    let small = clustered(2, 3, 4, 2, 1);
    let fault = |grid: &FeatureGrid, clusters: usize| {
        Clustering::fit(&[grid], &settings(clusters), &Unwatched).unwrap_err().to_string()
    };
    assert_eq!(fault(&small, 7), "7 clusters cannot be made of 6 patches; choose fewer clusters or a larger size");
    assert_eq!(fault(&small, 1), "1 clusters cannot be made; choose 2 to 64");
    assert!(fault(&small, 65).contains("choose 2 to 64"));
    assert!(fault(&grid(2, 2, 3, vec![0.3; 12]), 2).contains("all patches look the same"));
    assert!(fault(&grid(1, 1, 3, vec![0.3; 3]), 2).contains("2 clusters cannot be made of 1 patches"));
    let wide = grid(2, 2, 3, (0..12).map(|v| v as f32).collect());
    let both = Clustering::fit(&[&small, &wide], &settings(2), &Unwatched).unwrap_err().to_string();
    assert!(both.contains("width 4 and of width 3"), "{both}");
    assert!(fit(&small, 2).assign(&wide).is_err());
    assert!(Clustering::from_starts(&[&small], &[vec![0, 9]], 10, &Unwatched).is_err());

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
    let stopped = Clustering::fit(&[&small], &settings(2), &Stops).unwrap_err().to_string();
    assert!(stopped.contains("cancelled"), "{stopped}");
}

#[test]
fn as_many_clusters_as_patches_are_the_patches() {
    let grid = clustered(2, 3, 5, 6, 2);
    let found = fit(&grid, 6);
    assert_eq!(found.sizes(), [1; 6]);
    assert!(found.spread() < 1e-3);
    // Patches that are all the same but one cannot fill three clusters; the rest stay empty.
    let lone = crate::features::grid::tests::grid(2, 2, 2, vec![1., 0., 1., 0., 1., 0., 0., 1.]);
    let found = fit(&lone, 3);
    assert_eq!((found.clusters(), found.sizes()), (3, [3, 1, 0].as_slice()));
}

proptest! {
    #[test]
    fn labels_are_a_fixed_point_and_repeat(rows in 2_usize..7, columns in 2_usize..7, dim in 2_usize..12,
                                           clusters in 2_usize..5, heaps in 2_usize..7, seed in 0_u64..300) {
        let grid = clustered(rows, columns, dim, heaps, seed);
        let settings = KmeansSettings { clusters, seed, restarts: 3, ..KmeansSettings::default() };
        let found = Clustering::fit(&[&grid], &settings, &Unwatched).unwrap();
        prop_assert_eq!(&found, &Clustering::fit(&[&grid], &settings, &Unwatched).unwrap());
        prop_assert!(found.sizes().windows(2).all(|pair| pair[0] >= pair[1]));
        prop_assert_eq!(found.sizes().iter().sum::<usize>(), grid.patches());
        for (cluster, size) in found.sizes().iter().enumerate() {
            let count = found.labels(0).iter().filter(|label| usize::from(**label) == cluster).count();
            prop_assert_eq!(count, *size);
        }
        if found.rounds() < settings.rounds {
            prop_assert_eq!(found.assign(&grid).unwrap(), found.labels(0));
        }
        // More starts are never worse.
        let more = Clustering::fit(&[&grid], &KmeansSettings { restarts: 6, ..settings }, &Unwatched).unwrap();
        prop_assert!(more.spread() <= found.spread() * (1.0 + 1e-6));
    }
}
