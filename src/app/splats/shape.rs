//! How opacities, sizes and features of the open scene are spread, counted on a thread of their own; and the selection of
//! a range of them.
//!
//! Packed files have few different values (an opacity is one of 256, a size a step of 1/16 of its logarithm): bars that do
//! not fit these steps take now three of them and now four, and the histogram becomes a comb. So the bars' width is a
//! whole number of steps where the values have any.

use std::sync::Arc;

use egui::Context;

use crate::app::background::Background;
use crate::splats::gaussians::Gaussians;
use crate::splats::selection::{Combine, Marks, Property, in_range};

/// Bars of a histogram, about.
const BARS: usize = 40;
/// So many Gaussians are looked at, evenly chosen.
const LOOKED_AT: usize = 100_000;
/// Values with more different ones than this have no steps.
const MOST_STEPS: usize = 4096;

/// How the values of one property are spread.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) counts: Vec<u32>,
    /// Where the first bar begins and the last one ends.
    pub(super) low: f32,
    pub(super) high: f32,
    /// The smallest and the largest of all.
    pub(super) ends: (f32, f32),
}

impl Spread {
    /// Of values, at least one, between their first and ninety-ninth percent.
    pub(super) fn of(mut values: Vec<f32>) -> Self {
        values.retain(|value| value.is_finite());
        values.sort_unstable_by(f32::total_cmp);
        let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else {
            return Self { counts: vec![0; BARS], low: 0.0, high: 1.0, ends: (0.0, 1.0) };
        };
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        let (mut low, mut high) = (at(0.01), at(0.99));
        let step = step(&values);
        let extent = (high - low).max(1e-6);
        let width = match step {
            // Whole steps, each in the middle of its place.
            Some(step) => {
                low -= 0.5 * step;
                step * ((high - low) / (BARS as f32 * step)).ceil().max(1.0)
            }
            None => extent / BARS as f32,
        };
        let bars = (((high - low) / width).ceil() as usize).clamp(1, 2 * BARS);
        high = low + bars as f32 * width;
        let mut counts = vec![0; bars];
        for value in &values {
            // What lies beyond the percents is in the first and the last bar.
            let bar = ((value - low) / width).max(0.0) as usize;
            counts[bar.min(bars - 1)] += 1;
        }
        Self { counts, low, high, ends: (first, last) }
    }

    /// The value at a place, 0..=1; at both ends all that lies beyond is meant.
    pub(super) fn value(&self, place: f32) -> f32 {
        match place {
            place if place <= 0.0 => self.ends.0.min(self.low),
            place if place >= 1.0 => self.ends.1.max(self.high),
            place => self.low + place * (self.high - self.low),
        }
    }
}

/// The step between sorted values, if they have one.
fn step(sorted: &[f32]) -> Option<f32> {
    let mut different = vec![*sorted.first()?];
    for value in sorted {
        // Rounding in the last place makes no other value.
        if value - different[different.len() - 1] > 1e-5 * value.abs().max(0.1) {
            different.push(*value);
            if different.len() > MOST_STEPS {
                return None;
            }
        }
    }
    let gaps = different.windows(2).map(|pair| pair[1] - pair[0]);
    let least = gaps.clone().fold(f32::INFINITY, f32::min);
    let whole = |gap: f32| (gap / least - (gap / least).round()).abs() < 0.05;
    let fit = gaps.clone().filter(|gap| whole(*gap)).count();
    // A few values far from each other have steps by chance; many that all fit do not.
    (different.len() > 8 && fit * 20 >= gaps.count() * 19 && sorted.len() > 4 * different.len()).then_some(least)
}

/// One histogram that is there, or on its way.
#[derive(Default)]
struct Slot {
    now: Option<((u64, Property), Spread)>,
    making: Option<((u64, Property), Background<Spread>)>,
    /// The range that is chosen, 0..=1.
    range: Option<(f32, f32)>,
}

/// The histograms of the panel.
#[derive(Default)]
pub(super) struct ShapeOf {
    slots: [Slot; 3],
    /// A range that is being selected.
    selecting: Option<(u64, Combine, Background<Marks>)>,
}

impl ShapeOf {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The histogram at a place of the panel, and the range chosen in it.
    pub(super) fn look(
        &mut self,
        ctx: &Context,
        scene: &Arc<Gaussians>,
        place: usize,
        property: Property,
    ) -> Option<(&Spread, &mut Option<(f32, f32)>)> {
        let slot = self.slots.get_mut(place)?;
        let key = (scene.revision(), property);
        if let Some((of, mut task)) = slot.making.take() {
            match task.take() {
                Some(Ok(spread)) => slot.now = Some((of, spread)),
                // Nothing can fail but a fault of the program; then there is no histogram.
                Some(Err(_)) => {}
                None => slot.making = Some((of, task)),
            }
        }
        if slot.now.as_ref().is_none_or(|(of, _)| *of != key) && slot.making.is_none() {
            slot.range = None;
            let (scene, ctx) = (Arc::clone(scene), ctx.clone());
            let task = Background::start("a histogram", move || {
                let step = scene.len().div_ceil(LOOKED_AT);
                let values = (0..scene.len()).step_by(step).filter_map(|index| property.of(&scene, index));
                let spread = Spread::of(values.collect());
                ctx.request_repaint();
                Ok(spread)
            });
            slot.making = Some((key, task));
        }
        let spread = slot.now.as_ref().filter(|(of, _)| *of == key).map(|(_, spread)| spread)?;
        Some((spread, &mut slot.range))
    }

    /// Begins to select the Gaussians whose property lies in a range.
    pub(super) fn select(
        &mut self,
        ctx: &Context,
        scene: &Arc<Gaussians>,
        property: Property,
        range: (f32, f32),
        how: Combine,
    ) {
        let (of, scene, ctx) = (scene.revision(), Arc::clone(scene), ctx.clone());
        let task = Background::start("a range", move || {
            let marks = in_range(&scene, property, range);
            ctx.request_repaint();
            Ok(marks)
        });
        self.selecting = Some((of, how, task));
    }

    /// What was selected so, of which scene.
    pub(super) fn take(&mut self) -> Option<(u64, Combine, Marks)> {
        let (of, how, mut task) = self.selecting.take()?;
        match task.take() {
            Some(marks) => Some((of, how, marks.ok()?)),
            None => {
                self.selecting = Some((of, how, task));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_values_in_steps_are_no_comb() {
        // Sizes as SPZ keeps them: the mean of three logarithms in steps of 1/16; all equally often.
        let values: Vec<f32> = (0..60_000).map(|at| -6.0 + (at % 149) as f32 / 48.0).collect();
        let spread = Spread::of(values);
        let (least, most) = (spread.counts.iter().min().unwrap(), spread.counts.iter().max().unwrap());
        // The first and last have what lies beyond; between them all are equal.
        let inner = &spread.counts[1..spread.counts.len() - 1];
        assert!(inner.iter().max().unwrap() - inner.iter().min().unwrap() <= 8, "{:?}", spread.counts);
        assert!(*most < 3 * least.max(&1) + 2000, "{:?}", spread.counts);
        assert_eq!(spread.counts.iter().sum::<u32>(), 60_000);
    }

    #[test]
    fn smooth_values_have_bars_between_their_percents_and_ranges_reach_beyond() {
        let values: Vec<f32> = (0..50_000).map(|at| (at as f32 * 0.618_034).fract()).chain([-50.0, 70.0]).collect();
        let spread = Spread::of(values);
        assert!((spread.low - 0.01).abs() < 0.01 && (spread.high - 0.99).abs() < 0.03, "{spread:?}");
        assert_eq!((spread.value(0.0), spread.value(1.0)), (-50.0, 70.0));
        assert!((spread.value(0.5) - 0.5).abs() < 0.02);
        let one = Spread::of(vec![0.25; 1000]);
        assert_eq!((one.counts.iter().sum::<u32>(), one.ends), (1000, (0.25, 0.25)));
        assert_eq!(Spread::of(vec![f32::NAN]).counts.iter().sum::<u32>(), 0);
    }
}
