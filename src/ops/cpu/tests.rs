//! Every kernel on every instruction set that this processor has, against the plain formula in f64.

use proptest::prelude::*;
use pulp::Arch;

use super::attention::{Heads, Mask, attend};
use super::conv::{Pictures, Shape, convolve, pack};
use super::elementwise::{activate, add, geglu};
use super::linear::{Rows, product};
use super::norm::{group_norm, layer_norm, rms_norm};
use super::panels::Panels;
use super::planes::{enlarge, transpose};
use super::tall;
use super::vector::{Function, GeluErf, GeluTanh, QuickGelu, Silu};
use super::winograd;

/// The scalar fallback, and whatever more this processor can do.
fn arches() -> Vec<Arch> {
    let mut all = vec![Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all.extend(pulp::x86::V4::try_new().map(Arch::V4));
    }
    #[cfg(target_arch = "aarch64")]
    all.push(Arch::new());
    all
}

/// `count` numbers in −1…1 that depend on `seed` only.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn wide(x: f32) -> f64 {
    f64::from(x)
}

/// The largest distance between what came out and what should have, relative to 1 + |wanted|.
fn distance(out: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(out.len(), wanted.len());
    out.iter().zip(wanted).map(|(a, b)| (wide(*a) - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products(batch in 1_usize..3, rows in 0_usize..150, depth in 0_usize..50, deep in any::<bool>(), columns in 1_usize..140,
                turned in any::<bool>(), biased in any::<bool>(), seed in 0_u64..1000) {
        // Past the depth that is taken at once, sums continue from what is there.
        let depth = if deep { depth + 380 } else { depth };
        let (x, w, bias) = (numbers(seed, batch * rows * depth), numbers(seed + 1, columns * depth), numbers(seed + 2, columns));
        let strides = if turned { [rows * depth, 1, rows] } else { [rows * depth, depth, 1] };
        let mut wanted = Vec::new();
        for b in 0..batch {
            for i in 0..rows {
                for j in 0..columns {
                    let sum: f64 = (0..depth).map(|p| wide(x[b * strides[0] + i * strides[1] + p * strides[2]]) * wide(w[j * depth + p])).sum();
                    wanted.push(sum + if biased { wide(bias[j]) } else { 0.0 });
                }
            }
        }
        for arch in arches() {
            let panels = Panels::pack(arch, depth, columns, |p, j| w[j * depth + p]);
            let mut out = vec![f32::NAN; batch * rows * columns];
            product(arch, Rows { numbers: &x, batch, rows, strides }, &panels, biased.then_some(&bias[..]), &mut out);
            let far = distance(&out, &wanted);
            prop_assert!(far < 1e-5, "{arch:?}: {far}");
        }
    }

    #[test]
    fn convolutions(batch in 1_usize..3, inputs in 1_usize..6, many in any::<bool>(), outputs in 1_usize..20, kernel in 1_usize..4, stride in 1_usize..3,
                    padding in 0_usize..3, height in 1_usize..24, width in 1_usize..24, own in any::<bool>(), biased in any::<bool>(), seed in 0_u64..1000) {
        let inputs = if many { inputs + 40 } else { inputs };
        let shape = Shape { inputs, outputs, kernel, stride, padding };
        let (h, w) = (shape.output_side(height), shape.output_side(width));
        let x = numbers(seed, batch * inputs * height * width);
        let weights = numbers(seed + 1, outputs * inputs * kernel * kernel);
        let bias = numbers(seed + 2, if own { batch * outputs } else { outputs });
        let mut wanted = Vec::new();
        for b in 0..batch {
            for o in 0..outputs {
                for (oy, ox) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                    let mut sum = if biased { wide(bias[if own { b * outputs + o } else { o }]) } else { 0.0 };
                    for c in 0..inputs {
                        for (ky, kx) in (0..kernel).flat_map(|y| (0..kernel).map(move |x| (y, x))) {
                            let (y, x_) = ((oy * stride + ky).wrapping_sub(padding), (ox * stride + kx).wrapping_sub(padding));
                            if y < height && x_ < width {
                                sum += wide(x[((b * inputs + c) * height + y) * width + x_]) * wide(weights[((o * inputs + c) * kernel + ky) * kernel + kx]);
                            }
                        }
                    }
                    wanted.push(sum);
                }
            }
        }
        let packed = pack(shape, &weights);
        let (bias, pictures) = (biased.then_some(&bias[..]), Pictures { numbers: &x, batch, height, width });
        for arch in arches() {
            let mut out = vec![f32::NAN; wanted.len()];
            convolve(arch, shape, &packed, bias, pictures, &mut out);
            let far = distance(&out, &wanted);
            prop_assert!(far < 1e-5, "{arch:?}: {far}");
            if kernel == 3 && stride == 1 && padding <= 1 {
                out.fill(f32::NAN);
                winograd::convolve(arch, shape, &winograd::pack(shape, &weights), bias, pictures, &mut out);
                let far = distance(&out, &wanted);
                prop_assert!(far < 3e-5, "Winograd, {arch:?}: {far}");
            }
        }
    }

    #[test]
    fn attention(batch in 1_usize..3, heads in 1_usize..4, n in 1_usize..60, m in 1_usize..70, long in any::<bool>(), width in 1_usize..40, value_width in 1_usize..90,
                 masked in any::<bool>(), turned in any::<bool>(), seed in 0_u64..1000) {
        // More than one run of keys.
        let m = if long { m + 500 } else { m };
        let (q, k, v) = (numbers(seed, batch * heads * n * width), numbers(seed + 1, batch * heads * m * width), numbers(seed + 2, batch * heads * m * value_width));
        // [batch, heads, n, w], or [batch, n, heads, w] seen that way
        let strides = |n: usize, w: usize| if turned { [n * heads * w, w, heads * w, 1] } else { [heads * n * w, n * w, w, 1] };
        let mut hidden = numbers(seed + 3, n * m);
        hidden.iter_mut().for_each(|x| *x = if *x > 0.3 { f32::NEG_INFINITY } else { *x });
        // One key is seen by every query.
        hidden.iter_mut().step_by(m).for_each(|x| *x = 0.25);
        let mask = Mask { numbers: &hidden, strides: [0, 0, m, 1] };
        let (at_q, at_k, at_v) = (strides(n, width), strides(m, width), strides(m, value_width));
        let mut wanted = Vec::new();
        for (b, i, h) in (0..batch).flat_map(|b| (0..n).flat_map(move |i| (0..heads).map(move |h| (b, i, h)))) {
            let scores: Vec<f64> = (0..m).map(|j| {
                let dot: f64 = (0..width).map(|p| wide(q[b * at_q[0] + h * at_q[1] + i * at_q[2] + p]) * wide(k[b * at_k[0] + h * at_k[1] + j * at_k[2] + p])).sum();
                3.0 * dot + if masked { wide(hidden[i * m + j]) } else { 0.0 }
            }).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            for e in 0..value_width {
                wanted.push((0..m).map(|j| (scores[j] - top).exp() / total * wide(v[b * at_v[0] + h * at_v[1] + j * at_v[2] + e])).sum());
            }
        }
        for arch in arches() {
            let mut out = vec![f32::NAN; wanted.len()];
            let q = Heads { numbers: &q, n, width, strides: at_q };
            let k = Heads { numbers: &k, n: m, width, strides: at_k };
            let v = Heads { numbers: &v, n: m, width: value_width, strides: at_v };
            attend(arch, (batch, heads), q, k, v, 3.0, masked.then_some(mask), &mut out);
            let far = distance(&out, &wanted);
            prop_assert!(far < 1e-5, "{arch:?}: {far}");
        }
    }

    #[test]
    fn norms(batch in 1_usize..3, groups in 1_usize..4, per_group in 1_usize..4, plane in 1_usize..200, shift in -30.0_f32..30.0, silu in any::<bool>(), seed in 0_u64..1000) {
        let channels = groups * per_group;
        let x: Vec<f32> = numbers(seed, batch * channels * plane).iter().map(|x| x + shift).collect();
        let (weight, bias) = (numbers(seed + 1, channels), numbers(seed + 2, channels));
        let mut wanted = Vec::new();
        for group in x.chunks(per_group * plane) {
            let count = group.len() as f64;
            let mean = group.iter().map(|x| wide(*x)).sum::<f64>() / count;
            let deviation = (group.iter().map(|x| (wide(*x) - mean).powi(2)).sum::<f64>() / count + 1e-5).sqrt();
            for x in group {
                let channel = wanted.len() / plane % channels;
                let y = (wide(*x) - mean) / deviation * wide(weight[channel]) + wide(bias[channel]);
                wanted.push(if silu { y / (1.0 + (-y).exp()) } else { y });
            }
        }
        for arch in arches() {
            let mut out = vec![f32::NAN; x.len()];
            group_norm(arch, &x, (channels, plane), groups, &weight, &bias, 1e-5, silu, &mut out);
            let far = distance(&out, &wanted);
            // The mean is subtracted in f32: a shift of 30 leaves about 2e-6 of a number near 1.
            prop_assert!(far < 4e-4, "{arch:?}: {far}");
        }
    }

    #[test]
    fn row_norms(rows in 0_usize..5, width in 1_usize..100, seed in 0_u64..1000) {
        let (x, weight, bias) = (numbers(seed, rows * width), numbers(seed + 1, width), numbers(seed + 2, width));
        let (mut layer, mut rms) = (Vec::new(), Vec::new());
        for row in x.chunks(width) {
            let count = width as f64;
            let mean = row.iter().map(|x| wide(*x)).sum::<f64>() / count;
            let deviation = (row.iter().map(|x| (wide(*x) - mean).powi(2)).sum::<f64>() / count + 1e-5).sqrt();
            let size = (row.iter().map(|x| wide(*x).powi(2)).sum::<f64>() / count + 1e-5).sqrt();
            for (j, x) in row.iter().enumerate() {
                layer.push((wide(*x) - mean) / deviation * wide(weight[j]) + wide(bias[j]));
                rms.push(wide(*x) / size * wide(weight[j]));
            }
        }
        for arch in arches() {
            let mut out = vec![f32::NAN; x.len()];
            layer_norm(arch, &x, &weight, &bias, 1e-5, &mut out);
            prop_assert!(distance(&out, &layer) < 1e-5, "{arch:?}");
            rms_norm(arch, &x, &weight, 1e-5, &mut out);
            prop_assert!(distance(&out, &rms) < 1e-5, "{arch:?}");
        }
    }

    #[test]
    fn planes_turn_and_grow(batch in 1_usize..3, n in 1_usize..40, m in 1_usize..40, height in 1_usize..50, width in 1_usize..50) {
        let x = numbers(7, batch * n * m);
        let mut out = vec![f32::NAN; x.len()];
        transpose(&x, (n, m), &mut out);
        for (index, value) in x.iter().enumerate() {
            let (b, i, j) = (index / (n * m), index / m % n, index % m);
            prop_assert_eq!(out[b * n * m + j * n + i], *value);
        }
        let mut large = vec![f32::NAN; batch * height * width];
        enlarge(&x, (n, m), (height, width), &mut large);
        for (index, value) in large.iter().enumerate() {
            let (b, y, c) = (index / (height * width), index / width % height, index % width);
            prop_assert_eq!(*value, x[b * n * m + y * n / height * m + c * m / width]);
        }
    }
}

/// `function` on −100…100 in small steps and on the extremes, against `wanted`: largest distance, in units of 1 + |wanted|.
fn worst(function: impl Function + Send + Sync, wanted: impl Fn(f64) -> f64) -> f64 {
    let x: Vec<f32> = (-100_000..=100_000).map(|i| i as f32 * 1e-3).collect();
    let truth: Vec<f64> = x.iter().map(|x| wanted(wide(*x))).collect();
    arches()
        .into_iter()
        .map(|arch| {
            let mut out = vec![f32::NAN; x.len()];
            activate(arch, function, &x, &mut out);
            distance(&out, &truth)
        })
        .fold(0.0, f64::max)
}

fn normal(x: f64) -> f64 {
    0.5 * (1.0 + candle_core::cpu::erf::erf_f64(x / 2_f64.sqrt()))
}

#[test]
fn activations_are_exact_to_a_few_units_in_the_last_place() {
    let tanh = |x: f64| ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh();
    let distances = [
        worst(Silu, |x| x / (1.0 + (-x).exp())),
        worst(QuickGelu, |x| x / (1.0 + (-1.702 * x).exp())),
        worst(GeluErf, |x| x * normal(x)),
        worst(GeluTanh, |x| 0.5 * x * (1.0 + tanh(x))),
    ];
    // The rational approximation of erf is good to a few 1e-7.
    assert!(distances.iter().all(|far| *far < 1e-6), "{distances:?}");
}

/// The smallest layer that the networks compute this way, over planes wider than a panel.
#[test]
fn winograd_over_wide_planes_with_many_outputs() {
    let shape = Shape { inputs: 160, outputs: 100, kernel: 3, stride: 1, padding: 1 };
    assert!(winograd::pays(shape));
    let (height, width) = (5, 203);
    let (x, weights) = (numbers(5, 160 * height * width), numbers(6, 100 * 160 * 9));
    for arch in arches() {
        let pictures = Pictures { numbers: &x, batch: 1, height, width };
        let mut plain = vec![f32::NAN; 100 * height * width];
        convolve(arch, shape, &pack(shape, &weights), None, pictures, &mut plain);
        let wanted: Vec<f64> = plain.iter().map(|x| wide(*x)).collect();
        let mut out = vec![f32::NAN; plain.len()];
        winograd::convolve(arch, shape, &winograd::pack(shape, &weights), None, pictures, &mut out);
        let far = distance(&out, &wanted);
        assert!(far < 3e-5, "{arch:?}: {far}");
    }
}

#[test]
fn nothing_is_made_of_nan_but_nan() {
    for arch in arches() {
        let x = [f32::NAN, 0.0, f32::INFINITY, -1e30, 1e30, f32::NAN];
        let mut out = [0.0; 6];
        activate(arch, Silu, &x, &mut out);
        assert!(out[0].is_nan() && out[5].is_nan() && out[1] == 0.0, "{out:?}");
        assert!(out[2] == f32::INFINITY && out[3] == 0.0 && out[4] == 1e30, "{out:?}");
        activate(arch, GeluErf, &x, &mut out);
        assert!(out[0].is_nan() && out[2] == f32::INFINITY && out[3] == 0.0, "{out:?}");
    }
}

#[test]
fn a_query_that_sees_nothing_gives_nan_and_others_do_not() {
    for arch in arches() {
        let x = numbers(1, 2 * 8);
        let stack = Heads { numbers: &x, n: 2, width: 8, strides: [16, 16, 8, 1] };
        let hidden = [f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        let mut out = [0.0; 16];
        attend(
            arch,
            (1, 1),
            stack,
            stack,
            stack,
            1.0,
            Some(Mask { numbers: &hidden, strides: [0, 0, 2, 1] }),
            &mut out,
        );
        assert!(out[..8].iter().all(|x| x.is_nan()));
        assert_eq!(out[8..], x[..8]);
    }
}

#[test]
fn gates_and_sums() {
    let x = numbers(3, 2 * 7 * 5);
    for arch in arches() {
        let mut out = vec![0.0; 35];
        geglu(arch, &x, 7, &mut out);
        let wanted: Vec<f64> = (0..35)
            .map(|at| {
                let (row, j) = (at / 7 * 14, at % 7);
                let gate = wide(x[row + 7 + j]);
                wide(x[row + j]) * gate * normal(gate)
            })
            .collect();
        assert!(distance(&out, &wanted) < 1e-6, "{arch:?}");
    }
    let mut out = vec![0.0; 35];
    add(&x[..35], &x[35..], &mut out);
    assert!(out.iter().enumerate().all(|(at, sum)| *sum == x[at] + x[35 + at]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn statistics_of_tall_matrices(rows in 0_usize..230, columns in 1_usize..100, count in 0_usize..4, seed in 0_u64..1000) {
        let x: Vec<f32> = numbers(seed, rows * columns).iter().map(|value| value + 0.5).collect();
        let (mean, vector, directions) =
            (numbers(seed + 1, columns), numbers(seed + 2, columns), numbers(seed + 3, count * columns));
        let row = |i: usize| &x[i * columns..][..columns];
        let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| wide(*a) * wide(*b)).sum::<f64>();
        let sums: Vec<f64> = (0..columns).map(|j| (0..rows).map(|i| wide(x[i * columns + j])).sum()).collect();
        let less: Vec<f32> = x.iter().enumerate().map(|(at, value)| value - mean[at % columns]).collect();
        let scattered: Vec<f64> =
            (0..columns).map(|j| (0..rows).map(|i| inner(row(i), &vector) * wide(x[i * columns + j])).sum()).collect();
        let along: Vec<f64> = less
            .chunks_exact(columns)
            .flat_map(|row| directions.chunks_exact(columns).map(|direction| inner(row, direction)).collect::<Vec<_>>())
            .collect();
        let products: Vec<f64> = (0..rows * rows).map(|ij| inner(row(ij / rows), row(ij % rows))).collect();
        let added: Vec<f64> = sums.iter().zip(&vector).map(|(sum, value)| sum - 2.0 * wide(*value)).collect();
        let far = |out: &[f64], wanted: &[f64]| -> f64 {
            out.iter().zip(wanted).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max)
        };
        for arch in arches() {
            prop_assert!(far(&tall::column_sums(arch, &x, columns), &sums) < 1e-5);
            let mut out = vec![0.0; x.len()];
            let [before, after] = tall::centre(arch, &x, &mean, &mut out);
            prop_assert_eq!(&out, &less);
            prop_assert!(far(&[before, after], &[inner(&x, &x), inner(&less, &less)]) < 1e-5);
            prop_assert!(far(&tall::scatter_times(arch, &x, &vector), &scattered) < 1e-4);
            prop_assert!(distance(&tall::coordinates(arch, &x, &mean, &directions), &along) < 1e-4);
            prop_assert!(distance(&tall::row_products(arch, &x, columns), &products) < 1e-4);
            let mut totals = sums.clone();
            tall::add_scaled(arch, &mut totals, &vector, -2.0);
            prop_assert_eq!(&totals, &added);
        }
    }
}
