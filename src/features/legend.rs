//! What is written below an exported map, so that it can be read without the program: a title, and a colour bar with
//! numbers or the list of clusters.

use image::{Rgb, RgbImage, imageops};

use super::colour::ColourScale;
use crate::picture::heatmap::number;
use crate::picture::lettering::Lettering;

/// One cluster of a legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its colour in the map.
    pub colour: Rgb<u8>,
    /// What it is called.
    pub name: String,
    /// The share of the map that it covers, 0..=1.
    pub share: f32,
}

/// How a map's colours are to be read.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// By the title alone.
    None,
    /// Numbers along a scale.
    Bar {
        /// The colours.
        scale: ColourScale,
        /// What is at the scale's beginning and end.
        range: (f32, f32),
        /// What the numbers are: "Cosine".
        unit: String,
    },
    /// Clusters, in the order they are listed.
    Clusters(Vec<Entry>),
}

/// What stands below a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Legend {
    /// What is shown, in one line; none if empty.
    pub title: String,
    /// How its colours are to be read.
    pub key: Key,
}

const PAPER: Rgb<u8> = Rgb([255; 3]);
const INK: Rgb<u8> = Rgb([26, 30, 34]);
const FAINT: Rgb<u8> = Rgb([96, 104, 112]);
/// Below this width in pixels nothing could be read; a narrower map gets room at its right.
const NARROWEST: u32 = 260;

/// `map` with its legend below, on white. Letters grow with the map.
#[must_use]
pub fn below(map: &RgbImage, legend: &Legend) -> RgbImage {
    let mut letters = Lettering::default();
    let width = map.width().max(NARROWEST);
    let size = (width / 44).clamp(12, 72);
    let rim = size * 2 / 3;
    let line = letters.measure("Ag", size).1 + size / 4;
    let room = width - 2 * rim;
    let columns = match &legend.key {
        Key::Clusters(entries) => columns(&mut letters, entries, size, room),
        _ => 1,
    };
    let titles = u32::from(!legend.title.is_empty());
    let rows = match &legend.key {
        Key::None => 0,
        Key::Bar { .. } => 2,
        Key::Clusters(entries) => (entries.len() as u32).div_ceil(columns),
    };
    let height = if titles + rows == 0 { 0 } else { (titles + rows) * line + 2 * rim };
    let mut out = RgbImage::from_pixel(width, map.height() + height, PAPER);
    imageops::replace(&mut out, map, 0, 0);
    let mut top = map.height() + rim;
    if titles > 0 {
        let title = letters.fitting(&legend.title, size, room);
        letters.write(&mut out, &title, size, (i64::from(rim), i64::from(top)), INK);
        top += line;
    }
    match &legend.key {
        Key::None => {}
        Key::Bar { scale, range, unit } => {
            bar(&mut out, &mut letters, (*scale, *range, unit.as_str()), (rim, top, room, line), size);
        }
        Key::Clusters(entries) => {
            let each = room / columns;
            for (at, entry) in (0u32..).zip(entries) {
                // Down the columns, so that the largest stand together.
                let (column, row) = (at / rows, at % rows);
                let (left, top) = (rim + column * each, top + row * line);
                let side = size * 3 / 4;
                let drop = (line - side) / 2 - size / 8;
                for (x, y) in (left..left + side).flat_map(|x| (top + drop..top + drop + side).map(move |y| (x, y))) {
                    if let Some(pixel) = out.get_pixel_mut_checked(x, y) {
                        *pixel = entry.colour;
                    }
                }
                let text = letters.fitting(&words(entry), size, each.saturating_sub(side + size));
                letters.write(&mut out, &text, size, (i64::from(left + side + size / 2), i64::from(top)), INK);
            }
        }
    }
    out
}

/// "water, 24 %".
fn words(entry: &Entry) -> String {
    format!("{}, {:.1} %", entry.name, 100.0 * entry.share)
}

/// How many columns of entries fit side by side.
fn columns(letters: &mut Lettering, entries: &[Entry], size: u32, room: u32) -> u32 {
    let widest = entries.iter().map(|entry| letters.measure(&words(entry), size).0).max().unwrap_or(0);
    (room / (widest + size * 5 / 2)).clamp(1, (entries.len() as u32).max(1))
}

/// The bar with its ends and middle in numbers, and what they are.
fn bar(
    out: &mut RgbImage,
    letters: &mut Lettering,
    (scale, (low, high), unit): (ColourScale, (f32, f32), &str),
    (left, top, room, line): (u32, u32, u32, u32),
    size: u32,
) {
    let thick = size * 3 / 4;
    for x in 0..room {
        let colour = scale.colour(x as f32 / (room.max(2) - 1) as f32);
        for y in top..top + thick {
            out.put_pixel(left + x, y, colour);
        }
    }
    let below = i64::from(top + line) - i64::from(size / 8);
    let (left, room) = (i64::from(left), i64::from(room));
    let (from, to) = (number(low), number(high));
    let wide = i64::from(letters.measure(&to, size).0);
    letters.write(out, &from, size, (left, below), INK);
    letters.write(out, &to, size, (left + room - wide, below), INK);
    let middle = letters.fitting(unit, size, u32::try_from(room / 2).unwrap_or(0));
    let wide = i64::from(letters.measure(&middle, size).0);
    letters.write(out, &middle, size, (left + (room - wide) / 2, below), FAINT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: u32) -> RgbImage {
        RgbImage::from_pixel(width, 60, Rgb([9, 99, 199]))
    }

    /// Dark pixels below the map.
    fn ink(out: &RgbImage, from: u32) -> usize {
        out.enumerate_pixels().filter(|(_, y, pixel)| *y >= from && pixel.0.iter().all(|v| *v < 110)).count()
    }

    #[test]
    fn a_bar_has_its_colours_and_numbers() {
        let key = Key::Bar { scale: ColourScale::Embers, range: (0.25, 1.0), unit: "Cosine".to_owned() };
        let out = below(&map(400), &Legend { title: "lake, similarity".to_owned(), key: key.clone() });
        assert_eq!((out.width(), out.get_pixel(399, 59)), (400, &Rgb([9, 99, 199])));
        assert!(out.height() > 100 && ink(&out, 60) > 200, "{} {}", out.height(), ink(&out, 60));
        let has = |t: f32| out.pixels().any(|pixel| *pixel == ColourScale::Embers.colour(t));
        assert!(has(0.0) && has(1.0));
        // Without a title it takes less room.
        let plain = below(&map(400), &Legend { title: String::new(), key });
        assert!(plain.height() < out.height());
        let nothing = below(&map(400), &Legend { title: String::new(), key: Key::None });
        assert_eq!(nothing, map(400));
    }

    #[test]
    fn every_cluster_has_its_colour_and_even_a_tiny_map_a_readable_legend() {
        let entries: Vec<Entry> = (0..64)
            .map(|at| Entry { colour: crate::features::colour::palette(at), name: format!("part {at}"), share: 0.015 })
            .collect();
        for width in [40, 500, 4000] {
            let out = below(&map(width), &Legend { title: "k".to_owned(), key: Key::Clusters(entries.clone()) });
            assert!(out.width() >= width.max(NARROWEST));
            let lower = imageops::crop_imm(&out, 0, 60, out.width(), out.height() - 60).to_image();
            assert!(entries.iter().all(|entry| lower.pixels().any(|pixel| *pixel == entry.colour)), "{width}");
        }
    }
}
