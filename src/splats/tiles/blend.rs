//! The blend of one tile (spec/splats.md section 2 step 9): front to back, what each Gaussian adds to each pixel.
//!
//! The weights go to a [`Sink`], eight pixels of a row at a time. Only pixels within a Gaussian's ellipse are looked at:
//! a row's share of the ellipse is known before its pixels are.

use super::frame::Drawn;
use crate::splats::projection::{ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN};

/// Side of a tile in pixels.
pub(in crate::splats) const SIDE: usize = 32;
/// Pixels that are computed at a time.
pub(in crate::splats) const LANES: usize = 8;
/// Runs of [`LANES`] pixels in a row.
pub(in crate::splats) const RUNS: usize = SIDE / LANES;
/// After so many Gaussians it is looked up which pixels still let light through.
const LOOK: usize = 32;
/// Pixels by which chords are taken longer, for rounding.
const SLACK: f32 = 0.01;

/// Eight numbers, one a pixel.
pub(in crate::splats) type Lanes = [f32; LANES];

/// Takes the weights of a tile.
pub(in crate::splats) trait Sink {
    /// A Gaussian begins: its place in the frame.
    fn begin(&mut self, slot: u32);

    /// Its weights on the eight pixels `run` (row · [`RUNS`] + place), 0 where it adds nothing, and the light that came
    /// there before it and after it (negative where it stops).
    fn take(&mut self, run: usize, weights: &Lanes, before: &Lanes, after: &Lanes);

    /// The Gaussian ends.
    fn end(&mut self) {}
}

/// The light that still comes through each pixel of a tile; negative where nothing is added any more.
#[derive(Clone, Debug)]
pub(in crate::splats) struct Light {
    runs: Box<[Lanes; SIDE * RUNS]>,
    alive: [bool; SIDE * RUNS],
    /// No pixel takes any more.
    pub(in crate::splats) finished: bool,
}

impl Light {
    /// All of it, for a tile of which `width` × `height` pixels lie in the picture.
    pub(in crate::splats) fn new(width: usize, height: usize) -> Self {
        let mut light =
            Self { runs: Box::new([[-1.0; LANES]; SIDE * RUNS]), alive: [false; SIDE * RUNS], finished: false };
        for row in 0..height.min(SIDE) {
            for column in 0..width.min(SIDE) {
                light.runs[row * RUNS + column / LANES][column % LANES] = 1.0;
            }
        }
        light.look();
        light
    }

    /// The share of light that comes through a pixel, 0..=1.
    pub(in crate::splats) fn through(&self, row: usize, column: usize) -> f32 {
        self.runs[row * RUNS + column / LANES][column % LANES].abs()
    }

    fn look(&mut self) {
        for (alive, run) in self.alive.iter_mut().zip(self.runs.iter()) {
            *alive = run.iter().any(|light| *light > 0.0);
        }
        self.finished = !self.alive.contains(&true);
    }
}

/// Blends Gaussians over a tile whose upper left pixel is `corner` (column, row).
#[inline(always)]
pub(in crate::splats) fn blend<'a>(
    drawn: &[Drawn],
    slots: impl Iterator<Item = &'a [u32]>,
    corner: (usize, usize),
    light: &mut Light,
    sink: &mut impl Sink,
) {
    let mut until_look = LOOK;
    for slot in slots.flatten() {
        if until_look == 0 {
            light.look();
            if light.finished {
                return;
            }
            until_look = LOOK;
        }
        until_look -= 1;
        one(&drawn[*slot as usize], *slot, corner, light, sink);
    }
    light.look();
}

#[inline(always)]
fn one(drawn: &Drawn, slot: u32, corner: (usize, usize), light: &mut Light, sink: &mut impl Sink) {
    // From here on the tile's first pixel centre is the origin.
    let cx = drawn.centre[0] - (corner.0 as f32 + 0.5);
    let cy = drawn.centre[1] - (corner.1 as f32 + 0.5);
    let last = (SIDE - 1) as f32;
    let top = (cy - drawn.extent[1] - SLACK).ceil().max(0.0);
    let bottom = (cy + drawn.extent[1] + SLACK).floor().min(last);
    if top > bottom {
        return;
    }
    let mut begun = false;
    for row in top as usize..=bottom as usize {
        let t = row as f32 - cy;
        let (middle, half) = drawn.chord(t);
        let middle = cx + middle;
        let reach = half + SLACK + 1e-6 * middle.abs();
        let left = (middle - reach).ceil().max(0.0);
        let right = (middle + reach).floor().min(last);
        if left > right {
            continue;
        }
        let along_y = drawn.g * t * t;
        for place in left as usize / LANES..=right as usize / LANES {
            let run = row * RUNS + place;
            if !light.alive[run] {
                continue;
            }
            if !begun {
                sink.begin(slot);
                begun = true;
            }
            let first = (place * LANES) as f32 - middle;
            let before = light.runs[run];
            let mut after = before;
            let mut weights = [0.0; LANES];
            for lane in 0..LANES {
                let u = first + lane as f32;
                let sigma = drawn.h * (u * u) + along_y;
                let alpha = drawn.opacity * exp_of_negative(sigma);
                let alpha = if alpha > ALPHA_MAX { ALPHA_MAX } else { alpha };
                let now = before[lane];
                let then = now * (1.0 - alpha);
                let takes = (alpha >= ALPHA_MIN) & (now > 0.0);
                let goes = then > TRANSMITTANCE_MIN;
                weights[lane] = if takes & goes { alpha * now } else { 0.0 };
                let then = if goes { then } else { -now };
                after[lane] = if takes { then } else { now };
            }
            light.runs[run] = after;
            sink.take(run, &weights, &before, &after);
        }
    }
    if begun {
        sink.end();
    }
}

/// e^−σ for σ ≥ 0, to within 2e-7 of the value up to σ = 80; smaller than any α that counts beyond.
#[inline(always)]
fn exp_of_negative(sigma: f32) -> f32 {
    // 2^n · 2^f with n whole and f within ±½; adding 1.5 · 2^23 rounds and leaves n in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let exponent = -std::f32::consts::LOG2_E * if sigma < 80.0 { sigma } else { 80.0 };
    let rounded = exponent + ROUND;
    let f = exponent - (rounded - ROUND);
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000));
    // 2^f by its Taylor series in x = f ln 2, in pairs, which do not wait for each other.
    let x = f * std::f32::consts::LN_2;
    let xx = x * x;
    let low = (1.0 + x) + xx * (0.5 + x * (1.0 / 6.0));
    let high = (1.0 / 24.0 + x * (1.0 / 120.0)) + xx * (1.0 / 720.0);
    let series = low + (xx * xx) * high;
    power * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_wherever_it_counts() {
        for step in 0..=80_000 {
            let sigma = step as f32 * 1e-3;
            let (found, wanted) = (f64::from(exp_of_negative(sigma)), (-f64::from(sigma)).exp());
            // The rounding of the product with log2 e grows with the exponent.
            let most = 2e-7 + 1.2e-7 * f64::from(sigma);
            assert!(((found - wanted) / wanted).abs() < most, "{sigma}: {found} {wanted}");
        }
        assert!(exp_of_negative(1e30) < 1e-30 && exp_of_negative(f32::INFINITY) < 1e-30);
        assert_eq!(exp_of_negative(0.0), 1.0);
    }
}
