//! The picture at two resolutions (spec 1): squared, resized as the reference resizes, normalised; the shrunken whole for
//! the low-resolution tokens, tiles for the high-resolution ones, all through the same tower and projector.

use candle_core::{Device, Tensor};
use image::{Rgb, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::error::AskError;
use super::settings::RegionUse;
use crate::nets::llava::Llava;
use crate::nets::watcher::Watcher;
use crate::ops::bilinear::shrink_antialiased;
use crate::ops::device::Compute;
use crate::picture::region::Region;
use crate::picture::resample::{Filter, resize_rgb};
use crate::picture::resize::Rect;

/// How a picture becomes the square that the tower takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Squaring {
    /// Padded with the mean colour: LLaVA-1.5 and FlexAttention.
    Pad,
    /// The shorter side fitted, the middle cut out: the processor of the `llava-hf` files.
    CentreCrop,
}

/// How pictures are prepared for a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// How they become square.
    pub squaring: Squaring,
    /// Side of the picture that is normalised and tiled, in pixels.
    pub high_size: usize,
    /// Side of what the tower takes, in pixels.
    pub low_size: usize,
    /// Patches along a side of that.
    pub low_grid: usize,
    /// Mean of each channel in 0…1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub deviation: [f32; 3],
}

/// What the model saw of the picture and where it lies in the source, for whoever draws over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureView {
    /// Size of the source picture in pixels (width, height).
    pub source: (u32, u32),
    /// The part of the source that was looked at.
    pub used: Rect,
    /// Left and top edge of the square that the model saw, in source pixels; negative where it begins with padding.
    pub origin: (f32, f32),
    /// Side of that square in source pixels.
    pub side: f32,
    /// How it became square.
    pub squaring: Squaring,
    /// Side of the square at low resolution, in the model's pixels.
    pub low_size: usize,
    /// Side of the square at high resolution, in the model's pixels; as `low_size` where the model has no other.
    pub high_size: usize,
    /// Low-resolution tokens along one side.
    pub low_grid: usize,
    /// High-resolution tokens along one side; 0 where the model has none.
    pub high_grid: usize,
    /// Selection cells along one side; 0 where the model has none.
    pub cells: usize,
}

/// A rectangle in source pixels that need not be whole, and may reach beyond the picture into the padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceRect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl PictureView {
    /// Where cell `index` of a grid of `grid` × `grid` lies (row-major).
    #[must_use]
    pub fn grid_cell(&self, grid: usize, index: usize) -> SourceRect {
        let step = self.side / grid.max(1) as f32;
        let (row, column) = (index / grid.max(1), index % grid.max(1));
        SourceRect {
            x: self.origin.0 + column as f32 * step,
            y: self.origin.1 + row as f32 * step,
            width: step,
            height: step,
        }
    }

    /// Where selection cell `index` lies. Cells are whole high-resolution tokens, so they need not all be of one size.
    #[must_use]
    pub fn selection_cell(&self, index: usize) -> SourceRect {
        let (cells, grid) = (self.cells.max(1), self.high_grid.max(1));
        // The first token of a cell: the smallest i with ⌊cells · i / grid⌋ = cell.
        let edge = |cell: usize| (cell * grid).div_ceil(cells) as f32 * self.side / grid as f32;
        let (row, column) = (index / cells, index % cells);
        SourceRect {
            x: self.origin.0 + edge(column),
            y: self.origin.1 + edge(row),
            width: edge(column + 1) - edge(column),
            height: edge(row + 1) - edge(row),
        }
    }

    /// The cell of a grid of `grid` × `grid` under a source pixel; `None` where the model did not look.
    #[must_use]
    pub fn grid_index(&self, grid: usize, x: f32, y: f32) -> Option<usize> {
        let place = |at: f32, origin: f32| {
            let cell = ((at - origin) / self.side * grid as f32).floor();
            (cell >= 0.0 && cell < grid as f32).then_some(cell as usize)
        };
        Some(place(y, self.origin.1)? * grid + place(x, self.origin.0)?)
    }

    /// What the status line says: "336×336 + 1008×1008".
    #[must_use]
    pub fn resolution(&self) -> String {
        let side = |side: usize| format!("{side}×{side}");
        if self.high_grid == 0 {
            side(self.low_size)
        } else {
            format!("{} + {}", side(self.low_size), side(self.high_size))
        }
    }
}

/// A picture ready for the tower.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// `[1, 3, high_size, high_size]`, normalised, f32 on the CPU.
    pub input: Tensor,
    /// Width and height that decide about the padding strips.
    pub size: (u32, u32),
    /// The part of the source that was looked at.
    pub used: Rect,
    /// Left and top edge of the square in source pixels.
    pub origin: (f32, f32),
    /// Side of the square in source pixels.
    pub side: f32,
}

impl Preprocessing {
    /// The colour that fills what is not picture: 255 times the mean, floored.
    #[must_use]
    pub fn fill(&self) -> [u8; 3] {
        // In f64 as in the reference, where the means are read as such.
        self.mean.map(|mean| (f64::from(mean) * 255.0) as u8)
    }

    /// The picture as the tower wants it, after `region` was heeded.
    ///
    /// # Errors
    /// A picture without pixels, an empty region, proportions that no square can be made of.
    pub fn prepare(&self, picture: &RgbImage, region: &RegionUse) -> Result<Prepared, AskError> {
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return Err(AskError::NoPicture(width, height));
        }
        let whole = Rect { x: 0, y: 0, width, height };
        match region {
            RegionUse::Everything | RegionUse::Unread(_) => self.square(picture, whole),
            RegionUse::Without(region) => {
                bounds(region)?;
                let fill = Rgb(self.fill());
                let mut greyed = picture.clone();
                let mask = region.mask();
                let inside = |x, y| x < mask.width() && y < mask.height() && mask.get_pixel(x, y).0[0] > 127;
                greyed.enumerate_pixels_mut().filter(|(x, y, _)| inside(*x, *y)).for_each(|(_, _, p)| *p = fill);
                self.square(&greyed, whole)
            }
            RegionUse::Only(region) => {
                let used = bounds(region)?;
                if used.x + used.width > width || used.y + used.height > height {
                    return Err(AskError::EmptyRegion);
                }
                let part = imageops::crop_imm(picture, used.x, used.y, used.width, used.height).to_image();
                self.square(&part, used)
            }
        }
    }

    fn square(&self, picture: &RgbImage, used: Rect) -> Result<Prepared, AskError> {
        let size = picture.dimensions();
        let (small, (left, top), side) = match self.squaring {
            Squaring::Pad => {
                let longer = size.0.max(size.1);
                let offset = ((longer - size.0) / 2, (longer - size.1) / 2);
                let square = padded(picture, offset, longer, self.high_size as u32, Rgb(self.fill()));
                (square, (-(offset.0 as f32), -(offset.1 as f32)), longer as f32)
            }
            Squaring::CentreCrop => centre(picture, self.high_size as u32)?,
        };
        Ok(Prepared {
            input: self.normalised(&small)?,
            size,
            used,
            origin: (left + used.x as f32, top + used.y as f32),
            side,
        })
    }

    fn normalised(&self, square: &RgbImage) -> candle_core::Result<Tensor> {
        let side = self.high_size;
        let mut values = Vec::with_capacity(3 * side * side);
        for channel in 0..3 {
            let (mean, deviation) = (self.mean[channel], self.deviation[channel]);
            let scale = 1.0_f32 / 255.0;
            values.extend(square.pixels().map(|pixel| (f32::from(pixel.0[channel]) * scale - mean) / deviation));
        }
        Tensor::from_vec(values, (1, 3, side, side), &Device::Cpu)
    }
}

/// The picture in the middle of a square of `longer`, shrunk or enlarged to `side`; the same bytes as if the square were
/// made first, which for a long narrow picture would take gigabytes.
fn padded(picture: &RgbImage, offset: (u32, u32), longer: u32, side: u32, fill: Rgb<u8>) -> RgbImage {
    const BAND: u32 = 64;
    let (width, height) = picture.dimensions();
    // Rows first, as the resampler does: each row is padded and brought to its new length, bands of them at a time.
    let mut rows = RgbImage::from_pixel(side, longer, fill);
    for top in (0..height).step_by(BAND as usize) {
        let count = BAND.min(height - top);
        let part = imageops::crop_imm(picture, 0, top, width, count).to_image();
        let band = if width == longer {
            part
        } else {
            let mut band = RgbImage::from_pixel(longer, count, fill);
            imageops::replace(&mut band, &part, i64::from(offset.0), 0);
            band
        };
        let band = resize_rgb(&band, (side, count), Filter::Bicubic);
        imageops::replace(&mut rows, &band, 0, i64::from(offset.1 + top));
    }
    resize_rgb(&rows, (side, side), Filter::Bicubic)
}

/// The longest side that a picture is enlarged to before its middle is cut out, in pixels.
const LONGEST: u64 = 65_536;

/// The middle of the picture whose shorter side was brought to `side`, with its place in the source.
fn centre(picture: &RgbImage, side: u32) -> Result<(RgbImage, (f32, f32), f32), AskError> {
    let (width, height) = picture.dimensions();
    let shorter = width.min(height);
    let fitted = |length: u32| u64::from(side) * u64::from(length) / u64::from(shorter);
    let (wide, high) = (fitted(width), fitted(height));
    if wide.max(high) > LONGEST {
        return Err(AskError::Setting(format!(
            "a picture of {width} × {height} pixels is too narrow for this model, which looks at its middle; cut out a part"
        )));
    }
    let (wide, high) = (wide as u32, high as u32);
    let fitted = resize_rgb(picture, (wide, high), Filter::Bicubic);
    let (left, top) = ((wide - side) / 2, (high - side) / 2);
    let square = imageops::crop_imm(&fitted, left, top, side, side).to_image();
    let scale = shorter as f32 / side as f32;
    Ok((square, (left as f32 * scale, top as f32 * scale), shorter as f32))
}

/// The smallest rectangle around the region's light parts.
fn bounds(region: &Region) -> Result<Rect, AskError> {
    let inside = region.mask().enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 127);
    let found = inside.fold(None, |found: Option<[u32; 4]>, (x, y, _)| {
        let [left, top, right, bottom] = found.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    });
    let [left, top, right, bottom] = found.ok_or(AskError::EmptyRegion)?;
    Ok(Rect { x: left, y: top, width: right - left + 1, height: bottom - top + 1 })
}

/// A picture as the decoder reads it.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// `[1, g², hidden]`, the picture's tokens in the prompt.
    pub low: Tensor,
    /// `[G², hidden]` row-major, read beside the prompt; `None` for a model without a second resolution.
    pub high: Option<Tensor>,
}

/// Runs the tower and the projector over the shrunken picture and, row by row, over its `tiles` × `tiles` tiles;
/// `on_pass` is told how many passes are done.
///
/// # Errors
/// When the picture has another size than the tower takes, or the watcher stops a pass.
pub fn encode(
    model: &Llava,
    preprocessing: &Preprocessing,
    input: &Tensor,
    tiles: Option<usize>,
    compute: &Compute,
    watcher: &dyn Watcher,
    on_pass: &dyn Fn(usize),
) -> candle_core::Result<Encoded> {
    let low_size = preprocessing.low_size;
    let on_device = |x: &Tensor| x.contiguous()?.to_device(&compute.device)?.to_dtype(compute.dtype);
    let shrunk = shrink_antialiased(input, low_size, low_size)?;
    let low = model.picture_tokens(&on_device(&shrunk)?, watcher)?;
    on_pass(1);
    let Some(tiles) = tiles else { return Ok(Encoded { low, high: None }) };
    let grid = preprocessing.low_grid;
    let hidden = low.dim(2)?;
    let mut bands = Vec::with_capacity(tiles);
    for row in 0..tiles {
        // A row of tiles at a time: small towers are quicker over several, and a person waits for no more than that.
        let band = input.narrow(2, row * low_size, low_size)?;
        let parts = (0..tiles).map(|column| band.narrow(3, column * low_size, low_size));
        let parts = Tensor::cat(&parts.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let tokens = model.picture_tokens(&on_device(&parts)?, watcher)?.reshape((tiles, grid, grid, hidden))?;
        bands.push(tokens.transpose(0, 1)?.contiguous()?.reshape((grid, tiles * grid, hidden))?);
        on_pass(2 + row);
    }
    let high = Tensor::cat(&bands, 0)?.reshape(((), hidden))?.contiguous()?;
    Ok(Encoded { low, high: Some(high) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> Preprocessing {
        Preprocessing {
            squaring: Squaring::Pad,
            high_size: 96,
            low_size: 32,
            low_grid: 4,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7 + y) as u8, (y * 5) as u8, (x * y) as u8]))
    }

    #[test]
    fn bands_give_the_bytes_of_the_whole_square() {
        let fill = Rgb(clip().fill());
        assert_eq!(fill.0, [122, 116, 104]);
        for size in [(150, 70), (70, 151), (200, 1), (40, 40), (13, 12)] {
            let picture = gradient(size.0, size.1);
            let longer = size.0.max(size.1);
            let offset = ((longer - size.0) / 2, (longer - size.1) / 2);
            let mut square = RgbImage::from_pixel(longer, longer, fill);
            imageops::replace(&mut square, &picture, i64::from(offset.0), i64::from(offset.1));
            let whole = resize_rgb(&square, (96, 96), Filter::Bicubic);
            assert!(padded(&picture, offset, longer, 96, fill) == whole, "{size:?}");
        }
    }

    #[test]
    fn extreme_pictures_are_prepared_or_refused() {
        let everything = RegionUse::Everything;
        for size in [(1, 1), (20_000, 200), (2, 9_000)] {
            let prepared = clip().prepare(&RgbImage::new(size.0, size.1), &everything).unwrap();
            assert_eq!((prepared.input.dims(), prepared.size), (&[1, 3, 96, 96][..], size));
        }
        let cropping = Preprocessing { squaring: Squaring::CentreCrop, ..clip() };
        cropping.prepare(&RgbImage::new(20_000, 200), &everything).unwrap();
        let narrow = cropping.prepare(&RgbImage::new(20_000, 1), &everything).unwrap_err();
        assert!(narrow.to_string().contains("too narrow"));
        assert!(matches!(clip().prepare(&RgbImage::new(0, 4), &everything), Err(AskError::NoPicture(0, 4))));
    }

    #[test]
    fn regions_hide_or_cut_out() {
        let picture = gradient(60, 40);
        let region = Region::from_fn((60, 40), |x, y| (10..30).contains(&x) && (5..15).contains(&y));
        let only = clip().prepare(&picture, &RegionUse::Only(region.clone())).unwrap();
        assert_eq!(only.used, Rect { x: 10, y: 5, width: 20, height: 10 });
        assert_eq!((only.origin, only.side), ((10.0, 0.0), 20.0));
        let hidden = clip().prepare(&picture, &RegionUse::Without(Region::from_fn((60, 40), |_, _| true))).unwrap();
        let spread = hidden.input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(spread.iter().all(|value| value.abs() < 0.02), "all of the mean colour");
        let none = Region::from_fn((60, 40), |_, _| false);
        assert!(matches!(clip().prepare(&picture, &RegionUse::Only(none)), Err(AskError::EmptyRegion)));
    }

    #[test]
    fn places_map_to_the_source_and_back() {
        let view = PictureView {
            source: (60, 40),
            used: Rect { x: 0, y: 0, width: 60, height: 40 },
            origin: (0.0, -10.0),
            side: 60.0,
            squaring: Squaring::Pad,
            low_size: 112,
            high_size: 336,
            low_grid: 8,
            high_grid: 24,
            cells: 9,
        };
        assert_eq!(view.resolution(), "112×112 + 336×336");
        let third = view.grid_cell(24, 24 + 2);
        assert_eq!((third.x, third.y, third.width), (5.0, -7.5, 2.5));
        assert_eq!(view.grid_index(24, 6.0, -6.0), Some(26));
        assert_eq!(view.grid_index(24, 61.0, 0.0), None);
        // Cells of 3, 3 and 2 tokens.
        let widths = (0..3).map(|cell| view.selection_cell(cell).width / 2.5).collect::<Vec<_>>();
        assert_eq!(widths, [3.0, 3.0, 2.0]);
        let last = view.selection_cell(80);
        assert_eq!((last.x + last.width, last.y + last.height), (60.0, 50.0));
    }
}
