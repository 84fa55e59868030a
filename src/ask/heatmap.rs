//! Maps of an answer over the picture: which regions were read at high resolution, and where the low-resolution attention
//! lay. Captioned as what was read, not as reasons (spec 6.2, point 9).

use std::ops::Range;
use std::path::Path;

use image::{Rgb, RgbImage};

use super::dual_resolution::{PictureView, SourceRect};
use super::record::{Answer, Cells, LayerRecord};
use crate::picture::encode::{SaveError, SaveOptions, save};
use crate::picture::heatmap::{colour, limited, with_bar};
use crate::picture::resample::{Filter, resize_rgb};

/// What a map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// How often each selection cell was read, 0…1, over the chosen tokens and layers.
    Read,
    /// How often each selection cell was selected for the next layer, 0…1.
    Selected,
    /// The low-resolution attention: share of a row's attention on each patch, mean over heads, layers and tokens.
    Attention {
        /// One head alone.
        head: Option<usize>,
        /// Without the patches that draw attention whatever is asked.
        without_sinks: bool,
    },
}

/// Over which part of an answer.
#[derive(Clone, Debug, Default)]
pub struct MapRange {
    /// Which tokens, as indices into [`Answer::tokens`]; `None`: those that spell the answer.
    pub tokens: Option<Range<usize>>,
    /// Which layers; `None`: all that have what is shown.
    pub layers: Option<Range<usize>>,
}

/// A square map over what the model saw.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerMap {
    /// Values along one side.
    pub grid: usize,
    /// `[grid²]`, row-major, not negative.
    pub values: Vec<f32>,
    /// Whether the values stand for selection cells.
    pub cells: bool,
}

impl AnswerMap {
    /// The map of an answer; `None` where nothing in the range has what is shown (a model without a second resolution,
    /// heads that were not kept).
    #[must_use]
    pub fn of(answer: &Answer, kind: MapKind, range: &MapRange) -> Option<Self> {
        let all = 0..answer.tokens.len();
        let wanted = range.tokens.clone().unwrap_or_else(|| answer.spoken());
        let wanted = wanted.start.min(all.end)..wanted.end.min(all.end);
        let layers = answer.tokens[wanted].iter().flat_map(|token| &token.layers);
        let layers = layers.filter(|record| range.layers.as_ref().is_none_or(|some| some.contains(&record.layer)));
        let (grid, cells) = match kind {
            MapKind::Read | MapKind::Selected => (answer.view.cells, true),
            MapKind::Attention { .. } => (answer.view.low_grid, false),
        };
        let mut sum = vec![0.0; grid * grid];
        let mut count = 0_usize;
        for record in layers {
            if add(record, kind, &mut sum) {
                count += 1;
            }
        }
        if count == 0 || grid == 0 {
            return None;
        }
        sum.iter_mut().for_each(|value| *value /= count as f32);
        Some(Self { grid, values: sum, cells })
    }

    /// The largest value; 0 if there is none above it.
    #[must_use]
    pub fn largest(&self) -> f32 {
        self.values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f32::max)
    }

    /// The cells with the largest values, largest first, at most `most`, none of them 0.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<(usize, f32)> {
        let mut all = self.values.iter().copied().enumerate().filter(|(_, value)| *value > 0.0).collect::<Vec<_>>();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(most);
        all
    }

    /// Where value `index` lies in the source picture.
    #[must_use]
    pub fn place(&self, view: &PictureView, index: usize) -> SourceRect {
        if self.cells { view.selection_cell(index) } else { view.grid_cell(self.grid, index) }
    }

    /// The value over a source pixel: that of its cell for cells, between the patches' centres otherwise; `None` where the
    /// model did not look.
    #[must_use]
    pub fn at(&self, view: &PictureView, x: f32, y: f32) -> Option<f32> {
        if self.cells {
            // Through the high-resolution grid, whose tokens cells are made of.
            let token = view.grid_index(view.high_grid, x, y)?;
            let cell = |at: usize| (at * self.grid / view.high_grid.max(1)).min(self.grid - 1);
            let (row, column) = (cell(token / view.high_grid), cell(token % view.high_grid));
            return self.values.get(row * self.grid + column).copied();
        }
        view.grid_index(self.grid, x, y)?;
        let place = |at: f32, origin: f32| {
            let at = ((at - origin) / view.side * self.grid as f32 - 0.5).clamp(0.0, (self.grid - 1) as f32);
            let low = at.floor() as usize;
            (low, (low + 1).min(self.grid - 1), at - at.floor())
        };
        let ((left, right, across), (top, bottom, down)) = (place(x, view.origin.0), place(y, view.origin.1));
        let value = |row: usize, column: usize| self.values[row * self.grid + column];
        let upper = value(top, left) * (1.0 - across) + value(top, right) * across;
        let lower = value(bottom, left) * (1.0 - across) + value(bottom, right) * across;
        Some(upper * (1.0 - down) + lower * down)
    }

    /// The map over a grey `source`, colours from 0 to `top`, as strong as `opacity` (0…1); its longer side at most
    /// `longest` pixels. What the model did not look at stays as it is.
    #[must_use]
    pub fn over(&self, view: &PictureView, source: &RgbImage, top: f32, opacity: f32, longest: u32) -> RgbImage {
        let size = limited(source.dimensions(), longest);
        let mut shown = resize_rgb(source, size, Filter::Bilinear);
        let scale = |at: u32, from: u32, to: u32| (at as f32 + 0.5) * from as f32 / to.max(1) as f32;
        let opacity = opacity.clamp(0.0, 1.0);
        for (x, y, pixel) in shown.enumerate_pixels_mut() {
            let (sx, sy) = (scale(x, source.width(), size.0), scale(y, source.height(), size.1));
            let Some(value) = self.at(view, sx, sy) else { continue };
            let colour = colour(if top > 0.0 { value / top } else { 0.0 });
            let grey = (f32::from(pixel.0[0]) * 2.0 + f32::from(pixel.0[1]) * 5.0 + f32::from(pixel.0[2])) / 8.0;
            *pixel = Rgb(colour.0.map(|v| (f32::from(v) * opacity + grey * (1.0 - opacity)) as u8));
        }
        shown
    }

    /// Writes the map over the picture, with a colour bar that names 0 and the largest value, as PNG.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_png(&self, path: &Path, view: &PictureView, source: &RgbImage) -> Result<(), SaveError> {
        let top = self.largest();
        let picture = with_bar(&self.over(view, source, top, 0.6, 1600), top);
        save(path, &picture, None, &SaveOptions::default()).map(drop)
    }
}

/// Adds what a layer has of it; says whether it has any.
fn add(record: &LayerRecord, kind: MapKind, sum: &mut [f32]) -> bool {
    let cells = |cells: &Option<Cells>, sum: &mut [f32]| match cells {
        Some(cells) if cells.on.len() == sum.len() => {
            sum.iter_mut().zip(&cells.on).for_each(|(sum, on)| *sum += f32::from(u8::from(*on)));
            true
        }
        _ => false,
    };
    match kind {
        MapKind::Read => cells(&record.read, sum),
        MapKind::Selected => cells(&record.selected, sum),
        MapKind::Attention { head, without_sinks } => {
            let mut values = match head {
                None => record.attention.iter().map(|value| value / record.heads.max(1) as f32).collect::<Vec<_>>(),
                Some(head) => {
                    let Some(all) = &record.by_head else { return false };
                    let Some(one) = all.chunks_exact(sum.len().max(1)).nth(head) else { return false };
                    one.iter().map(|value| value.to_f32()).collect()
                }
            };
            if values.len() != sum.len() {
                return false;
            }
            if without_sinks {
                for sink in &record.sinks {
                    if let Some(value) = values.get_mut(*sink as usize) {
                        *value = 0.0;
                    }
                }
            }
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use half::f16;

    use super::*;
    use crate::ask::cost::Cost;
    use crate::ask::dual_resolution::Squaring;
    use crate::ask::record::{Ending, Shares, TokenRecord};
    use crate::ask::settings::{AttentionMode, Template};
    use crate::picture::resize::Rect;

    fn layer(layer: usize, read: Option<usize>, hot: usize) -> LayerRecord {
        let mut attention = vec![0.1; 4];
        attention[hot] = 0.7;
        let by_head = [attention.clone(), vec![0.0; 4]].concat();
        let one = |index: usize| {
            let mut cells = Cells::filled(3, false);
            cells.on[index] = true;
            cells
        };
        LayerRecord {
            layer,
            attention,
            heads: 2,
            by_head: Some(by_head.into_iter().map(f16::from_f32).collect()),
            read: read.map(one),
            read_attention: Vec::new(),
            selected: None,
            shares: Shares::default(),
            sinks: vec![3],
        }
    }

    fn answer() -> Answer {
        let token = |layers: Vec<LayerRecord>| {
            Arc::new(TokenRecord {
                id: 7,
                text: " a".to_owned(),
                logprob: 0.0,
                likeliest: Vec::new(),
                layers,
                high_read: 0,
                seconds: 0.0,
            })
        };
        Answer {
            question: "?".to_owned(),
            text: " a a".to_owned(),
            tokens: vec![
                token(vec![layer(0, None, 0), layer(1, Some(4), 3)]),
                token(vec![layer(0, None, 1), layer(1, Some(8), 1)]),
            ],
            ending: Ending::Complete,
            attention: AttentionMode::Flex,
            template: Template::Plain,
            view: PictureView {
                source: (60, 30),
                used: Rect { x: 0, y: 0, width: 60, height: 30 },
                origin: (0.0, -15.0),
                side: 60.0,
                squaring: Squaring::Pad,
                low_size: 28,
                high_size: 84,
                low_grid: 2,
                high_grid: 6,
                cells: 3,
            },
            cost: Cost::default(),
            yes_no: None,
            prompt_tokens: 9,
            reused_tokens: 0,
        }
    }

    #[test]
    fn maps_average_over_the_range_and_skip_what_has_none() {
        let answer = answer();
        let all = MapRange::default();
        let read = AnswerMap::of(&answer, MapKind::Read, &all).unwrap();
        assert_eq!(read.top(5), [(4, 0.5), (8, 0.5)]);
        let second = MapRange { tokens: Some(1..9), layers: None };
        assert_eq!(AnswerMap::of(&answer, MapKind::Read, &second).unwrap().top(5), [(8, 1.0)]);
        assert!(AnswerMap::of(&answer, MapKind::Selected, &all).is_none());
        let lowest = MapRange { tokens: None, layers: Some(0..1) };
        assert!(AnswerMap::of(&answer, MapKind::Read, &lowest).is_none());
        let attention = |head, without_sinks| {
            AnswerMap::of(&answer, MapKind::Attention { head, without_sinks }, &MapRange::default()).unwrap()
        };
        assert!((attention(None, false).values[3] - (0.7 + 3.0 * 0.1) / 8.0).abs() < 1e-6);
        assert_eq!(attention(None, true).values[3], 0.0);
        assert_eq!(attention(Some(1), false).largest(), 0.0);
        let beyond = MapKind::Attention { head: Some(2), without_sinks: false };
        assert!(AnswerMap::of(&answer, beyond, &all).is_none());
    }

    #[test]
    fn a_cell_lies_over_its_pixels_and_nowhere_else() {
        let answer = answer();
        let read = AnswerMap::of(&answer, MapKind::Read, &MapRange::default()).unwrap();
        // The middle cell: columns 20 to 40, rows 5 to 25 of the picture.
        let place = read.place(&answer.view, 4);
        assert_eq!((place.x, place.y, place.width, place.height), (20.0, 5.0, 20.0, 20.0));
        assert_eq!(read.at(&answer.view, 20.5, 5.5), Some(0.5));
        assert_eq!(read.at(&answer.view, 19.5, 5.5), Some(0.0));
        assert_eq!(read.at(&answer.view, 61.0, 5.5), None);
        let source = RgbImage::from_pixel(60, 30, Rgb([200, 200, 200]));
        let over = read.over(&answer.view, &source, 0.5, 1.0, 100);
        assert_eq!(over.get_pixel(30, 15), &colour(1.0));
        assert_eq!(over.get_pixel(5, 15), &colour(0.0));
        let folder = tempfile::tempdir().unwrap();
        read.save_png(&folder.path().join("map.png"), &answer.view, &source).unwrap();
        assert!(image::open(folder.path().join("map.png")).unwrap().height() > 30);
    }
}
