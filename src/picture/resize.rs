//! How a picture of any size meets a model's working size, and how the result comes home.
//!
//! A [`WorkingPlan`] says which part of the source becomes which part of the working picture; [`to_working`] and
//! [`from_working`] follow it there and back, [`WorkingPlan::describe`] tells the person. Nothing is resampled where no
//! size changes.

use image::{GenericImageView, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::resample::{Filter, resize_rgb};

/// What happens where the working picture has other proportions than the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// All of the source, proportions kept; what is left over is filled by mirroring the edges.
    #[default]
    Pad,
    /// The middle of the source, proportions kept; what sticks out is left as it is.
    Crop,
    /// All of the source, each side scaled on its own (what the reference implementations do).
    Squash,
}

/// The working size wished for; sides are made multiples of what the model needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizeRequest {
    /// The longer side in pixels; the shorter follows from the proportions.
    LongerSide(u32),
    /// Width and height.
    Exact(u32, u32),
    /// The source's own size.
    Source,
}

impl std::str::FromStr for SizeRequest {
    type Err = String;

    /// `512` (the longer side), `640x480`, or `source`.
    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.trim().parse::<u32>().ok().filter(|side| *side > 0);
        let sides = text.split_once(['x', 'X', '×']).map(|(width, height)| (side(width), side(height)));
        match (text.trim(), side(text), sides) {
            ("source", ..) => Ok(Self::Source),
            (_, Some(longer), _) => Ok(Self::LongerSide(longer)),
            (.., Some((Some(width), Some(height)))) => Ok(Self::Exact(width, height)),
            _ => Err(format!("{text:?} is no size; write 512, 640x480 or source")),
        }
    }
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl Rect {
    fn of((width, height): (u32, u32)) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    fn centred((width, height): (u32, u32), within: (u32, u32)) -> Self {
        Self { x: (within.0 - width) / 2, y: (within.1 - height) / 2, width, height }
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// Which pixels of the source become which pixels of the working picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingPlan {
    /// Size of the source picture.
    pub source: (u32, u32),
    /// Size of the working picture; both sides multiples of [`multiple`](Self::multiple).
    pub working: (u32, u32),
    /// The part of the source that is used (all of it except with [`Fit::Crop`]).
    pub used: Rect,
    /// Where that part lies in the working picture (all of it except with [`Fit::Pad`]).
    pub content: Rect,
    /// How the proportions were met.
    pub fit: Fit,
    /// What the working sides are multiples of.
    pub multiple: u32,
    /// Filter on the way to the working picture.
    pub filter: Filter,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A side of zero was asked for, or the source has none.
    #[error("a picture of {0} × {1} pixels cannot be worked on")]
    Empty(u32, u32),
    /// Larger than any model works at.
    #[error("a working size of {0} × {1} is too large (at most 16384 a side)")]
    TooLarge(u32, u32),
}

const MAX_WORKING_SIDE: u32 = 16_384;

/// `side` made a multiple of `multiple`, downwards, at least one of it.
fn floored(side: u32, multiple: u32) -> u32 {
    (side / multiple).max(1) * multiple
}

/// Plans the way of a `source` (width, height) to a working picture and back.
///
/// - [`SizeRequest::LongerSide`]: the longer side becomes the wished one (floored to a multiple). The shorter follows:
///   with [`Fit::Pad`] exactly, then filled up to the next multiple; with crop and squash the nearest multiple.
/// - [`SizeRequest::Exact`] and [`SizeRequest::Source`]: both sides floored to multiples. A source whose size already
///   fits is not resampled.
///
/// # Errors
/// [`PlanError`] for sides of zero or absurdly large ones.
pub fn plan(source: (u32, u32), request: SizeRequest, fit: Fit, multiple: u32) -> Result<WorkingPlan, PlanError> {
    let multiple = multiple.max(1);
    if source.0 == 0 || source.1 == 0 {
        return Err(PlanError::Empty(source.0, source.1));
    }
    let (working, content_size) = match request {
        SizeRequest::LongerSide(longer) => {
            if longer == 0 {
                return Err(PlanError::Empty(longer, longer));
            }
            let longer = floored(longer.min(MAX_WORKING_SIDE + multiple), multiple);
            let (long, short) = (source.0.max(source.1), source.0.min(source.1));
            let exact = f64::from(longer) * f64::from(short) / f64::from(long);
            let content = (exact.round() as u32).clamp(1, longer);
            let side = match fit {
                Fit::Pad => content.div_ceil(multiple) * multiple,
                Fit::Crop | Fit::Squash => {
                    (((exact / f64::from(multiple)).round() as u32).max(1) * multiple).min(longer)
                }
            };
            let ordered = |short| if source.0 >= source.1 { (longer, short) } else { (short, longer) };
            (ordered(side), ordered(content))
        }
        SizeRequest::Exact(width, height) => {
            if width == 0 || height == 0 {
                return Err(PlanError::Empty(width, height));
            }
            let working = (floored(width, multiple), floored(height, multiple));
            (working, within(source, working))
        }
        SizeRequest::Source => {
            let working = (floored(source.0, multiple), floored(source.1, multiple));
            (working, within(source, working))
        }
    };
    if working.0.max(working.1) > MAX_WORKING_SIDE {
        return Err(PlanError::TooLarge(working.0, working.1));
    }
    let (used, content) = match fit {
        Fit::Pad => (Rect::of(source), Rect::centred(content_size, working)),
        Fit::Crop => {
            // The largest part of the source with the working picture's proportions.
            let part = if request == SizeRequest::Source && working.0 <= source.0 && working.1 <= source.1 {
                working
            } else {
                within(working, source)
            };
            (Rect::centred(part, source), Rect::of(working))
        }
        Fit::Squash => (Rect::of(source), Rect::of(working)),
    };
    let filter = if fit == Fit::Squash { Filter::Bicubic } else { Filter::Lanczos3 };
    Ok(WorkingPlan { source, working, used, content, fit, multiple, filter })
}

/// The largest size with the proportions of `shape` that fits in `frame`.
fn within(shape: (u32, u32), frame: (u32, u32)) -> (u32, u32) {
    let (sw, sh, fw, fh) = (u64::from(shape.0), u64::from(shape.1), u64::from(frame.0), u64::from(frame.1));
    let rounded = |a: u64, b: u64, c: u64| ((a * b + c / 2) / c).max(1) as u32;
    if fw * sh <= fh * sw {
        (frame.0, rounded(sh, fw, sw).min(frame.1))
    } else {
        (rounded(sw, fh, sh).min(frame.0), frame.1)
    }
}

impl WorkingPlan {
    /// Whether the working picture is the source, pixel for pixel.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.working == self.source && self.used == Rect::of(self.source) && self.content == Rect::of(self.working)
    }

    /// One line for the person: "4032 × 3024 → 256 × 192, aspect kept".
    #[must_use]
    pub fn describe(&self) -> String {
        let (w, h) = self.source;
        let (ww, wh) = self.working;
        if self.is_identity() {
            return format!("{w} × {h}, unchanged");
        }
        match self.fit {
            Fit::Pad => {
                let (cw, ch) = self.content.size();
                let kept = if (cw, ch) == self.source { "not resampled" } else { "aspect kept" };
                if (cw, ch) == self.working {
                    format!("{w} × {h} → {ww} × {wh}, {kept}")
                } else {
                    format!("{w} × {h} → {cw} × {ch}, {kept}, edges mirrored to {ww} × {wh}")
                }
            }
            Fit::Crop => {
                let (uw, uh) = self.used.size();
                let kept = if (uw, uh) == self.working { "not resampled" } else { "aspect kept" };
                if (uw, uh) == self.source {
                    format!("{w} × {h} → {ww} × {wh}, {kept}")
                } else {
                    format!("{w} × {h} → {ww} × {wh}, {kept}, middle {uw} × {uh} used")
                }
            }
            Fit::Squash => {
                let (x, y) = (f64::from(ww) / f64::from(w), f64::from(wh) / f64::from(h));
                let stretch = 100.0 * (x / y - 1.0);
                if stretch.abs() < 0.05 {
                    format!("{w} × {h} → {ww} × {wh}, aspect kept")
                } else if stretch > 0.0 {
                    format!("{w} × {h} → {ww} × {wh}, squashed ({stretch:.1} % wider)")
                } else {
                    format!("{w} × {h} → {ww} × {wh}, squashed ({:.1} % narrower)", -stretch)
                }
            }
        }
    }
}

/// The part of `picture` in `rect`.
pub(super) fn cut(picture: &RgbImage, rect: Rect) -> RgbImage {
    if rect == Rect::of(picture.dimensions()) {
        return picture.clone();
    }
    picture.view(rect.x, rect.y, rect.width, rect.height).to_image()
}

/// The index in `0..length` that index `at` of an endlessly mirrored line shows (…1 0 | 0 1 2 | 2 1…).
pub(super) fn mirrored(at: i64, length: u32) -> u32 {
    let length = i64::from(length);
    let at = at.rem_euclid(2 * length);
    (if at < length { at } else { 2 * length - 1 - at }) as u32
}

/// The working picture for `source`: `[working height, working width]`.
///
/// `source` must have the plan's source size; a picture of another size is first brought to it.
#[must_use]
pub fn to_working(source: &RgbImage, plan: &WorkingPlan) -> RgbImage {
    if source.dimensions() != plan.source {
        return to_working(&resize_rgb(source, plan.source, plan.filter), plan);
    }
    let part = cut(source, plan.used);
    let content = if part.dimensions() == plan.content.size() {
        part
    } else {
        resize_rgb(&part, plan.content.size(), plan.filter)
    };
    if plan.content == Rect::of(plan.working) {
        return content;
    }
    let Rect { x: left, y: top, width, height } = plan.content;
    RgbImage::from_fn(plan.working.0, plan.working.1, |x, y| {
        let inside = |at: u32, start: u32, length: u32| mirrored(i64::from(at) - i64::from(start), length);
        *content.get_pixel(inside(x, left, width), inside(y, top, height))
    })
}

/// The result at the source's size: the working picture's content enlarged (bicubic) into the part of `source` that
/// was used; outside of it (only with [`Fit::Crop`]) the source's own pixels.
#[must_use]
pub fn from_working(working: &RgbImage, plan: &WorkingPlan, source: &RgbImage) -> RgbImage {
    if working.dimensions() != plan.working {
        return from_working(&resize_rgb(working, plan.working, Filter::Bicubic), plan, source);
    }
    let content = cut(working, plan.content);
    let part = if content.dimensions() == plan.used.size() {
        content
    } else {
        resize_rgb(&content, plan.used.size(), Filter::Bicubic)
    };
    paste(part, plan, source)
}

/// `part` in the place of the plan's used part of `source`.
pub(super) fn paste(part: RgbImage, plan: &WorkingPlan, source: &RgbImage) -> RgbImage {
    if plan.used == Rect::of(plan.source) {
        return part;
    }
    let mut out = source.clone();
    imageops::replace(&mut out, &part, i64::from(plan.used.x), i64::from(plan.used.y));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn describe(source: (u32, u32), request: SizeRequest, fit: Fit, multiple: u32) -> String {
        plan(source, request, fit, multiple).unwrap().describe()
    }

    #[test]
    fn sentences() {
        use SizeRequest::{Exact, LongerSide, Source};
        assert_eq!(describe((4032, 3024), LongerSide(256), Fit::Pad, 8), "4032 × 3024 → 256 × 192, aspect kept");
        assert_eq!(
            describe((1000, 700), LongerSide(256), Fit::Pad, 8),
            "1000 × 700 → 256 × 179, aspect kept, edges mirrored to 256 × 184"
        );
        assert_eq!(
            describe((700, 1000), LongerSide(256), Fit::Crop, 64),
            "700 × 1000 → 192 × 256, aspect kept, middle 700 × 933 used"
        );
        assert_eq!(
            describe((1000, 500), Exact(256, 256), Fit::Squash, 8),
            "1000 × 500 → 256 × 256, squashed (50.0 % narrower)"
        );
        assert_eq!(describe((640, 480), Source, Fit::Pad, 8), "640 × 480, unchanged");
        assert_eq!(describe((101, 75), Source, Fit::Crop, 8), "101 × 75 → 96 × 72, not resampled, middle 96 × 72 used");
        assert_eq!(describe((512, 512), LongerSide(512), Fit::Squash, 64), "512 × 512, unchanged");
    }

    #[test]
    fn sizes_are_read_from_words() {
        assert_eq!("512".parse(), Ok(SizeRequest::LongerSide(512)));
        assert_eq!("640x480".parse(), Ok(SizeRequest::Exact(640, 480)));
        assert_eq!("source".parse(), Ok(SizeRequest::Source));
        for wrong in ["", "0", "x5", "-3", "5x0", "large"] {
            assert!(wrong.parse::<SizeRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_source_size_is_floored() {
        for fit in [Fit::Pad, Fit::Crop, Fit::Squash] {
            assert_eq!(plan((101, 75), SizeRequest::Source, fit, 8).unwrap().working, (96, 72));
            assert_eq!(plan((5, 3), SizeRequest::Source, fit, 8).unwrap().working, (8, 8));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert!(plan((0, 5), SizeRequest::Source, Fit::Pad, 8).is_err());
        assert!(plan((5, 5), SizeRequest::LongerSide(0), Fit::Pad, 8).is_err());
        assert!(plan((5, 5), SizeRequest::Exact(0, 8), Fit::Pad, 8).is_err());
        assert!(plan((5, 5), SizeRequest::LongerSide(u32::MAX), Fit::Pad, 8).is_err());
        assert!(plan((5, 5), SizeRequest::Exact(u32::MAX, 8), Fit::Pad, 64).is_err());
        assert!(plan((1, 65_535), SizeRequest::LongerSide(512), Fit::Crop, 64).is_ok());
    }

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 3) as u8, (y * 5) as u8, (x + y) as u8]))
    }

    #[test]
    fn padding_mirrors() {
        let source = picture(4, 2);
        let plan = plan((4, 2), SizeRequest::Exact(4, 8), Fit::Pad, 4).unwrap();
        assert_eq!((plan.content, plan.content.size()), (Rect { x: 0, y: 3, width: 4, height: 2 }, (4, 2)));
        let working = to_working(&source, &plan);
        let rows: Vec<u32> = (0..8).map(|y| u32::from(working.get_pixel(0, y).0[1]) / 5).collect();
        assert_eq!(rows, [1, 1, 0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn cropping_keeps_the_pixels_outside() {
        let source = picture(50, 20);
        let plan = plan((50, 20), SizeRequest::Exact(16, 16), Fit::Crop, 8).unwrap();
        assert_eq!(plan.used, Rect { x: 15, y: 0, width: 20, height: 20 });
        let out = from_working(&RgbImage::new(16, 16), &plan, &source);
        for (x, y, pixel) in out.enumerate_pixels() {
            let expected = if (15..35).contains(&x) { [0; 3] } else { source.get_pixel(x, y).0 };
            assert_eq!(pixel.0, expected, "{x} {y}");
        }
    }

    proptest! {
        #[test]
        fn plans_hold_together(w in 1_u32..3000, h in 1_u32..3000, longer in 1_u32..1100, exact in proptest::option::of(1_u32..900),
                               fit in prop_oneof![Just(Fit::Pad), Just(Fit::Crop), Just(Fit::Squash)], multiple in prop_oneof![Just(8_u32), Just(64), Just(1)]) {
            let request = exact.map_or(SizeRequest::LongerSide(longer), |height| SizeRequest::Exact(longer, height));
            let plan = plan((w, h), request, fit, multiple).unwrap();
            prop_assert!(plan.working.0.is_multiple_of(multiple) && plan.working.1.is_multiple_of(multiple) && plan.working.0 > 0 && plan.working.1 > 0);
            for (rect, frame) in [(plan.used, plan.source), (plan.content, plan.working)] {
                prop_assert!(rect.width > 0 && rect.height > 0 && rect.x + rect.width <= frame.0 && rect.y + rect.height <= frame.1);
            }
            // A side that would shrink to less than one pixel is kept at one; proportions cannot hold then.
            let thin = |size: (u32, u32)| size.0 == 1 || size.1 == 1;
            if fit != Fit::Squash && !thin(plan.content.size()) && !thin(plan.used.size()) {
                // Both scales agree to within half a pixel on either side.
                let (x, y) = (f64::from(plan.content.width) / f64::from(plan.used.width), f64::from(plan.content.height) / f64::from(plan.used.height));
                let slack = 0.51 / f64::from(plan.content.width.min(plan.content.height)) + 0.51 / f64::from(plan.used.width.min(plan.used.height));
                prop_assert!((x / y).ln().abs() < 2.0 * slack.min(1.5), "{x} {y} {plan:?}");
            }
        }

        #[test]
        fn there_and_back_keeps_size_and_identity_keeps_pixels(w in 1_u32..40, h in 1_u32..40, longer in 1_u32..40,
                                                                fit in prop_oneof![Just(Fit::Pad), Just(Fit::Crop), Just(Fit::Squash)]) {
            let source = picture(w, h);
            let there = plan((w, h), SizeRequest::LongerSide(longer), fit, 4).unwrap();
            let working = to_working(&source, &there);
            prop_assert_eq!(working.dimensions(), there.working);
            prop_assert_eq!(from_working(&working, &there, &source).dimensions(), (w, h));
            let same = plan((w, h), SizeRequest::Source, fit, 1).unwrap();
            prop_assert!(same.is_identity());
            prop_assert_eq!(&to_working(&source, &same), &source);
            prop_assert_eq!(&from_working(&source, &same, &RgbImage::new(w, h)), &source);
        }

        #[test]
        fn mirrored_repeats(at in -100_i64..100, length in 1_u32..20) {
            prop_assert!(mirrored(at, length) < length);
            prop_assert_eq!(mirrored(at, length), mirrored(-1 - at, length));
            if (0..i64::from(length)).contains(&at) {
                prop_assert_eq!(i64::from(mirrored(at, length)), at);
            }
        }
    }
}
