//! A stable sort by depth: least significant digits first, 11 bits at a time.

/// Bits of a digit.
const BITS: u32 = 11;
const DIGITS: usize = 1 << BITS;

/// The order in which positive `depths` grow; equal depths keep their order. At most 2³² − 1 of them.
#[must_use]
pub(super) fn by_depth(depths: &[f32]) -> Vec<u32> {
    // Positive floats are ordered as their bits are.
    let mut pairs: Vec<(u32, u32)> =
        depths.iter().enumerate().map(|(index, depth)| (depth.to_bits(), index as u32)).collect();
    let mut sorted = vec![(0, 0); pairs.len()];
    for shift in [0, BITS, 2 * BITS] {
        let digit = |key: u32| (key >> shift) as usize & (DIGITS - 1);
        let mut places = [0usize; DIGITS];
        for (key, _) in &pairs {
            places[digit(*key)] += 1;
        }
        if places.contains(&pairs.len()) {
            continue;
        }
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for pair in &pairs {
            let place = &mut places[digit(pair.0)];
            sorted[*place] = *pair;
            *place += 1;
        }
        std::mem::swap(&mut pairs, &mut sorted);
    }
    pairs.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn depths_never_decrease_and_equals_keep_their_order(
            depths in proptest::collection::vec(prop_oneof![0.01f32..1e10, Just(1.0), 1.0f32..1.001], 0..3000)
        ) {
            let mut wanted: Vec<u32> = (0..depths.len() as u32).collect();
            wanted.sort_by(|a, b| depths[*a as usize].total_cmp(&depths[*b as usize]));
            prop_assert_eq!(by_depth(&depths), wanted);
        }
    }
}
