//! The guidance rule: per latent element the instruction that differs most from the image-only prediction wins,
//! and its difference is a third term beside InstructPix2Pix's two (spec/sane.md section 2).
//!
//! ```text
//! d_k = w_k · r_k · (e_k − e_I)          k*(j) = argmax_k |d_k(j)|, the first on a tie
//! ε̂  = e_0 + s_T (e_A − e_I) + s_S d_k* + s_I (e_I − e_0)
//! ```
//!
//! With every weight w_k = 1 and no region (r_k = 1) this is SANE, bit for bit; with no instruction it is
//! InstructPix2Pix. Weights and regions are ours (design.md section 3).

/// The three guidance scales of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// s_T, the wish.
    pub text: f64,
    /// s_S, the concrete instructions.
    pub specific: f64,
    /// s_I, the source picture.
    pub image: f64,
}

/// What an instruction's difference is multiplied by.
#[derive(Clone, Debug)]
pub struct Modulation {
    /// w_k; may be negative.
    pub weight: f32,
    /// r_k on the latent grid, `[h * w]` in 0..=1; 1 everywhere if `None`.
    pub region: Option<Vec<f32>>,
}

/// The network's outputs of one step, each `[channels * h * w]`.
#[derive(Clone, Copy, Debug)]
pub struct Predictions<'a> {
    /// e_A: image and wish.
    pub ambiguous: &'a [f32],
    /// e_I: image and empty text.
    pub image_only: &'a [f32],
    /// e_0: zero image and empty text.
    pub null: &'a [f32],
    /// e_1 … e_K: image and one instruction each.
    pub specifics: &'a [&'a [f32]],
}

/// What guidance made of one step's predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Guided {
    /// ε̂, `[channels * h * w]`.
    pub output: Vec<f32>,
    /// k* of every element; empty without instructions.
    pub selection: Vec<u16>,
    /// d_k* of every element; empty without instructions.
    pub difference: Vec<f32>,
}

/// Merges one step's predictions. `plane` is h·w; `modulations` has one entry an instruction.
#[must_use]
pub fn guide(predictions: Predictions<'_>, modulations: &[Modulation], scales: Scales, plane: usize) -> Guided {
    let Predictions { ambiguous, image_only, null, specifics } = predictions;
    let (text, specific, image) = (scales.text as f32, scales.specific as f32, scales.image as f32);
    let (selection, difference) = select(image_only, specifics, modulations, plane);
    let output = (0..image_only.len())
        .map(|j| {
            let e_image = image_only[j];
            // At s_I = 1 the null row cancels out; leaving it out entirely makes the result independent of it.
            let e0 = if image == 1.0 { e_image } else { null[j] };
            let pushed = e0 + text * (ambiguous[j] - e_image);
            let pushed = difference.get(j).map_or(pushed, |d| pushed + specific * d);
            pushed + image * (e_image - e0)
        })
        .collect();
    Guided { output, selection, difference }
}

/// The winner of every element and its modulated difference.
fn select(image_only: &[f32], specifics: &[&[f32]], modulations: &[Modulation], plane: usize) -> (Vec<u16>, Vec<f32>) {
    let mut best: Option<(Vec<u16>, Vec<f32>)> = None;
    for (k, (prediction, modulation)) in specifics.iter().zip(modulations).enumerate() {
        let bound = |j: usize| modulation.region.as_ref().map_or(1.0, |region| region[j % plane]);
        let differences = prediction
            .iter()
            .zip(image_only)
            .enumerate()
            .map(|(j, (e, e_image))| modulation.weight * bound(j) * (e - e_image));
        match &mut best {
            None => best = Some((vec![0; image_only.len()], differences.collect())),
            Some((winner, kept)) => {
                let index = u16::try_from(k).unwrap_or(u16::MAX);
                for (j, difference) in differences.enumerate() {
                    if difference.abs() > kept[j].abs() {
                        winner[j] = index;
                        kept[j] = difference;
                    }
                }
            }
        }
    }
    best.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: Scales = Scales { text: 7.5, specific: 7.5, image: 1.5 };

    fn plain_weights(n: usize) -> Vec<Modulation> {
        vec![Modulation { weight: 1.0, region: None }; n]
    }

    /// spec/sane.md section 2.2.
    #[test]
    fn the_worked_element() {
        let rows = [[0.25_f32], [-0.10], [0.45]];
        let specifics: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let predictions = Predictions { ambiguous: &[0.30], image_only: &[0.20], null: &[0.10], specifics: &specifics };
        let guided = guide(predictions, &plain_weights(3), DEFAULTS, 1);
        assert_eq!(guided.selection, [1]);
        assert!((guided.output[0] + 1.25).abs() < 1e-6, "{}", guided.output[0]);
        let without = guide(predictions, &plain_weights(3), Scales { specific: 0.0, ..DEFAULTS }, 1);
        assert!((without.output[0] - 1.00).abs() < 1e-6);
    }

    #[test]
    fn idle_rows_have_no_say() {
        let specifics = [&[0.9_f32][..]];
        let at = |ambiguous, null, scales| {
            let predictions =
                Predictions { ambiguous: &[ambiguous], image_only: &[0.2], null: &[null], specifics: &specifics };
            guide(predictions, &plain_weights(1), scales, 1).output[0].to_bits()
        };
        let image = Scales { image: 1.0, ..DEFAULTS };
        assert_eq!(at(0.3, 0.1, image), at(0.3, -7.0, image));
        let text = Scales { text: 0.0, ..DEFAULTS };
        assert_eq!(at(0.3, 0.1, text), at(0.2, 0.1, text));
    }

    #[test]
    fn the_first_wins_a_tie() {
        let (a, b) = ([0.5_f32], [-0.5_f32]);
        let specifics = [&b[..], &a[..]];
        let predictions = Predictions { ambiguous: &[0.0], image_only: &[0.0], null: &[0.0], specifics: &specifics };
        assert_eq!(guide(predictions, &plain_weights(2), DEFAULTS, 1).selection, [0]);
    }

    #[test]
    fn a_region_bounds_its_instruction_on_every_channel() {
        let strong = [9.0_f32; 4];
        let weak = [1.0_f32; 4];
        let specifics = [&strong[..], &weak[..]];
        // Two channels of two positions; the strong one may act only at the second position.
        let mut modulations = plain_weights(2);
        modulations[0].region = Some(vec![0.0, 1.0]);
        let zero = [0.0_f32; 4];
        let predictions = Predictions { ambiguous: &zero, image_only: &zero, null: &zero, specifics: &specifics };
        let guided = guide(predictions, &modulations, Scales { text: 0.0, specific: 1.0, image: 0.0 }, 2);
        assert_eq!(guided.selection, [1, 0, 1, 0]);
        assert_eq!(guided.output, [1.0, 9.0, 1.0, 9.0]);
    }

    #[test]
    fn a_negative_weight_does_the_opposite() {
        let row = [2.0_f32];
        let modulations = [Modulation { weight: -0.5, region: None }];
        let specifics = [&row[..]];
        let predictions = Predictions { ambiguous: &[1.0], image_only: &[1.0], null: &[1.0], specifics: &specifics };
        assert_eq!(guide(predictions, &modulations, Scales { text: 0.0, specific: 1.0, image: 0.0 }, 1).output, [0.5]);
    }

    /// The rule as the reference writes it, in f64, element by element.
    fn reference(a: f64, i: f64, n: f64, e: &[f64], s: Scales) -> f64 {
        let mut best = 0;
        for k in 1..e.len() {
            if (e[k] - i).abs() > (e[best] - i).abs() {
                best = k;
            }
        }
        let specific = if e.is_empty() { 0.0 } else { s.specific * (e[best] - i) };
        n + s.text * (a - i) + specific + s.image * (i - n)
    }

    proptest! {
        #[test]
        fn agrees_with_the_rule(rows in prop::collection::vec(prop::collection::vec(-3.0f32..3.0, 8), 3..8)) {
            let specifics: Vec<&[f32]> = rows[3..].iter().map(Vec::as_slice).collect();
            let predictions = Predictions { ambiguous: &rows[0], image_only: &rows[1], null: &rows[2], specifics: &specifics };
            let guided = guide(predictions, &plain_weights(specifics.len()), DEFAULTS, 4);
            for j in 0..8 {
                let e: Vec<f64> = specifics.iter().map(|row| f64::from(row[j])).collect();
                let wanted = reference(f64::from(rows[0][j]), f64::from(rows[1][j]), f64::from(rows[2][j]), &e, DEFAULTS);
                prop_assert!((f64::from(guided.output[j]) - wanted).abs() < 1e-4);
            }
        }

        #[test]
        fn identical_instructions_are_one_stronger_push(rows in prop::collection::vec(prop::collection::vec(-3.0f32..3.0, 8), 3)) {
            let same = [rows[0].as_slice(); 3];
            let all = Predictions { ambiguous: &rows[0], image_only: &rows[1], null: &rows[2], specifics: &same };
            let sane = guide(all, &plain_weights(3), DEFAULTS, 4).output;
            let doubled = Scales { text: 15.0, ..DEFAULTS };
            let plain = guide(Predictions { specifics: &[], ..all }, &[], doubled, 4).output;
            for (a, b) in sane.iter().zip(&plain) {
                prop_assert!((a - b).abs() < 1e-4 * (1.0 + b.abs()));
            }
        }

        #[test]
        fn s_s_zero_is_instruct_pix2pix(rows in prop::collection::vec(prop::collection::vec(-3.0f32..3.0, 8), 6)) {
            let specifics: Vec<&[f32]> = rows[3..].iter().map(Vec::as_slice).collect();
            let all = Predictions { ambiguous: &rows[0], image_only: &rows[1], null: &rows[2], specifics: &specifics };
            let off = Scales { specific: 0.0, ..DEFAULTS };
            let sane = guide(all, &plain_weights(3), off, 4).output;
            let plain = guide(Predictions { specifics: &[], ..all }, &[], off, 4).output;
            prop_assert_eq!(sane, plain);
        }

        /// The rule is affine (coefficients add up to 1): merging x₀-predictions gives the x₀ of the merged noise.
        #[test]
        fn the_rule_is_affine(rows in prop::collection::vec(prop::collection::vec(-3.0f32..3.0, 8), 6), sigma in 0.1f32..10.0) {
            let z = 0.7_f32;
            let clean: Vec<Vec<f32>> = rows.iter().map(|row| row.iter().map(|e| z - sigma * e).collect()).collect();
            let merge = |rows: &[Vec<f32>]| {
                let specifics: Vec<&[f32]> = rows[3..].iter().map(Vec::as_slice).collect();
                let all = Predictions { ambiguous: &rows[0], image_only: &rows[1], null: &rows[2], specifics: &specifics };
                guide(all, &plain_weights(3), DEFAULTS, 4)
            };
            let (noise, sample) = (merge(&rows), merge(&clean));
            for j in 0..8 {
                let wanted = z - sigma * noise.output[j];
                prop_assert!((sample.output[j] - wanted).abs() < 1e-3 * (1.0 + wanted.abs()));
            }
        }
    }
}
