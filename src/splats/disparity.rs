//! From relative inverse distance to distances that a scene can be made of.
//!
//! Depth models that were trained without a scale (MiDaS, Depth-Anything) give a · (1 / z) + b with a and b unknown. b is
//! taken to be 0, because these models are trained to give 0 for what is farthest, and a is chosen so that the nearest
//! surface lies at distance 1: z = most / d. What would lie beyond [`FARTHEST`] is, as far as such a map can tell, at no
//! distance at all, and counts as background with the sky. So distances are right in their order and roughly in their
//! proportions, and have no unit.

/// Surfaces farther away than so many times the nearest are background.
pub const FARTHEST: f32 = 30.0;

/// The distance at disparity `disparity` in a map whose largest value is `most`; `None` for background.
#[must_use]
pub fn distance(disparity: f32, most: f32) -> Option<f32> {
    let there = disparity.is_finite() && most.is_finite() && most > 0.0 && disparity * FARTHEST >= most;
    there.then(|| most / disparity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_at_one_and_the_far_is_background() {
        assert_eq!(distance(8.0, 8.0), Some(1.0));
        assert_eq!(distance(2.0, 8.0), Some(4.0));
        assert_eq!(distance(1.0, FARTHEST), Some(FARTHEST));
        for (disparity, most) in
            [(0.0, 8.0), (0.9, FARTHEST), (0.0, 0.0), (1.0, -1.0), (f32::NAN, 1.0), (1.0, f32::INFINITY)]
        {
            assert_eq!(distance(disparity, most), None, "{disparity} of {most}");
        }
    }
}
