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
    /// The runs with a pixel that takes more.
    alive: RunSet,
    /// No pixel takes any more.
    pub(in crate::splats) finished: bool,
}

/// A set of runs, a bit each: run i is bit i % 64 of word i / 64.
type RunSet = [u64; SIDE * RUNS / 64];

/// Rows whose chords are computed at a time; their runs fill half a word of a [`RunSet`].
const ROWS: usize = 8;
const GROUPS: usize = SIDE / ROWS;

impl Light {
    /// All of it, for a tile of which `width` × `height` pixels lie in the picture.
    pub(in crate::splats) fn new(width: usize, height: usize) -> Self {
        let mut light =
            Self { runs: Box::new([[-1.0; LANES]; SIDE * RUNS]), alive: RunSet::default(), finished: false };
        for row in 0..height.min(SIDE) {
            for column in 0..width.min(SIDE) {
                light.runs[row * RUNS + column / LANES][column % LANES] = 1.0;
            }
        }
        light.look();
        light
    }

    /// The share of light that comes through each pixel of a run, 0..=1.
    pub(in crate::splats) fn through(&self, run: usize) -> Lanes {
        self.runs[run].map(f32::abs)
    }

    #[inline(always)]
    fn look(&mut self) {
        for (word, runs) in self.alive.iter_mut().zip(self.runs.chunks_exact(64)) {
            *word = 0;
            for (bit, run) in runs.iter().enumerate() {
                let any = run.iter().fold(false, |any, light| any | (*light > 0.0));
                *word |= u64::from(any) << bit;
            }
        }
        self.finished = self.alive == RunSet::default();
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

/// What a Gaussian's ellipse covers of a tile, and what is the same along a row of it.
struct Rows {
    /// Its centre from the tile's first pixel centre, pixels.
    centre: [f32; 2],
    /// The runs that it meets.
    runs: RunSet,
    /// The middle of its chord in each row, from the tile's first pixel centre.
    middle: [Lanes; GROUPS],
    /// The share of σ that comes from the distance along y.
    along_y: [Lanes; GROUPS],
}

impl Rows {
    #[inline(always)]
    fn of(drawn: &Drawn, corner: (usize, usize)) -> Self {
        let cx = drawn.centre[0] - (corner.0 as f32 + 0.5);
        let cy = drawn.centre[1] - (corner.1 as f32 + 0.5);
        let last = (SIDE - 1) as f32;
        let top = (cy - drawn.extent[1] - SLACK).ceil().max(0.0);
        let bottom = (cy + drawn.extent[1] + SLACK).floor().min(last);
        let mut rows = Self {
            centre: [cx, cy],
            runs: RunSet::default(),
            middle: [[0.0; LANES]; GROUPS],
            along_y: [[0.0; LANES]; GROUPS],
        };
        if top > bottom {
            return rows;
        }
        let (top, bottom) = (top as usize, bottom as usize);
        for group in top / ROWS..=bottom / ROWS {
            let chords = rows.chords(drawn, group);
            // Rows above and below the box do not count.
            let skip = |rows: usize| u32::MAX.checked_shl((rows * RUNS) as u32).unwrap_or(0);
            let from = skip(top.saturating_sub(group * ROWS));
            let to = !skip((bottom + 1 - group * ROWS).min(ROWS));
            rows.runs[group / 2] |= u64::from(chords & from & to) << (group % 2 * 32);
        }
        rows
    }

    /// The chords of eight rows, and the runs that they meet, four bits a row.
    #[inline(always)]
    fn chords(&mut self, drawn: &Drawn, group: usize) -> u32 {
        // One step for all rows after the other, so that each becomes vectors.
        let [cx, cy] = self.centre;
        let last = (SIDE - 1) as f32;
        let below: Lanes = std::array::from_fn(|lane| (group * ROWS + lane) as f32 - cy);
        let (mut middle, mut half) = ([0.0; ROWS], [0.0; ROWS]);
        for lane in 0..ROWS {
            (middle[lane], half[lane]) = drawn.chord(below[lane]);
            middle[lane] += cx;
        }
        let (mut left, mut right) = ([0.0f32; ROWS], [0.0f32; ROWS]);
        for lane in 0..ROWS {
            let reach = half[lane] + SLACK + 1e-6 * middle[lane].abs();
            left[lane] = (middle[lane] - reach).ceil().max(0.0);
            right[lane] = (middle[lane] + reach).floor().min(last);
        }
        let mut met = [0u32; ROWS];
        for lane in 0..ROWS {
            let (from, to) = (whole(left[lane].min(last)) / LANES as u32, whole(right[lane].max(0.0)) / LANES as u32);
            met[lane] = if left[lane] <= right[lane] { (2 << to) - (1 << from) } else { 0 };
        }
        self.middle[group] = middle;
        self.along_y[group] = below.map(|below| drawn.g * below * below);
        met.iter().enumerate().fold(0, |all, (lane, met)| all | met << (lane * RUNS))
    }
}

/// A whole number from 0 to 2²³ − 1 as such, in one addition.
#[inline(always)]
fn whole(value: f32) -> u32 {
    (value + 8_388_608.0).to_bits() & 0x007f_ffff
}

#[inline(always)]
fn one(drawn: &Drawn, slot: u32, corner: (usize, usize), light: &mut Light, sink: &mut impl Sink) {
    let mut rows = Rows::of(drawn, corner);
    for (runs, alive) in rows.runs.iter_mut().zip(light.alive) {
        *runs &= alive;
    }
    if rows.runs == RunSet::default() {
        return;
    }
    sink.begin(slot);
    for (word, runs) in rows.runs.iter().enumerate() {
        let mut runs = *runs;
        while runs != 0 {
            let run = word * 64 + runs.trailing_zeros() as usize;
            runs &= runs - 1;
            let (row, place) = (run / RUNS, run % RUNS);
            let first = (place * LANES) as f32 - rows.middle[row / ROWS][row % ROWS];
            let along_y = rows.along_y[row / ROWS][row % ROWS];
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
    sink.end();
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
