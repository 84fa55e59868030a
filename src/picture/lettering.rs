//! Letters on pictures that are exported: titles, numbers at a colour bar, a legend. Typeset by the window's own text
//! engine with its built-in fonts, without a window.

use egui::epaint::text::{FontDefinitions, Fonts, TextOptions};
use egui::{Color32, FontId};
use image::{Rgb, RgbImage};

/// A set of letters, and how to put them on a picture. Making one reads the fonts; keep it for all words of a picture.
pub struct Lettering {
    fonts: Fonts,
}

impl std::fmt::Debug for Lettering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lettering").finish_non_exhaustive()
    }
}

impl Default for Lettering {
    fn default() -> Self {
        let options = TextOptions { subpixel_binning: false, ..TextOptions::default() };
        Self { fonts: Fonts::new(options, FontDefinitions::default()) }
    }
}

impl Lettering {
    /// Width and height of `text` in pixels, in letters of `size` pixels.
    pub fn measure(&mut self, text: &str, size: u32) -> (u32, u32) {
        let galley = self.fonts.with_pixels_per_point(1.0).layout_no_wrap(text.to_owned(), font(size), Color32::WHITE);
        (galley.size().x.ceil() as u32, galley.size().y.ceil() as u32)
    }

    /// As much of `text` as fits into `width` pixels, with "…" where something was left out.
    pub fn fitting(&mut self, text: &str, size: u32, width: u32) -> String {
        if self.measure(text, size).0 <= width {
            return text.to_owned();
        }
        let letters: Vec<char> = text.chars().collect();
        let cut = |count: usize| format!("{}…", letters[..count].iter().collect::<String>().trim_end());
        // More letters are never narrower.
        let (mut fits, mut too_many) = (0, letters.len());
        while fits + 1 < too_many {
            let middle = usize::midpoint(fits, too_many);
            if self.measure(&cut(middle), size).0 <= width { fits = middle } else { too_many = middle }
        }
        cut(fits)
    }

    /// Writes `text` with its left top corner at (`left`, `top`); what lies outside of the picture is left out.
    pub fn write(&mut self, out: &mut RgbImage, text: &str, size: u32, (left, top): (i64, i64), colour: Rgb<u8>) {
        let galley = self.fonts.with_pixels_per_point(1.0).layout_no_wrap(text.to_owned(), font(size), Color32::WHITE);
        let atlas = self.fonts.texture_atlas().image();
        for row in &galley.rows {
            for glyph in &row.row.glyphs {
                let place = row.pos + glyph.pos.to_vec2() + glyph.uv_rect.offset;
                let (x0, y0) = (left + place.x.round() as i64, top + place.y.round() as i64);
                let ([u0, v0], [u1, v1]) = (glyph.uv_rect.min, glyph.uv_rect.max);
                for (v, y) in (v0..v1).zip(y0..) {
                    for (u, x) in (u0..u1).zip(x0..) {
                        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
                        let ink = atlas.pixels.get(usize::from(v) * atlas.size[0] + usize::from(u));
                        if let (Some(ink), Some(pixel)) = (ink, out.get_pixel_mut_checked(x, y)) {
                            let share = f32::from(ink.a()) / 255.0;
                            for (below, above) in pixel.0.iter_mut().zip(colour.0) {
                                *below = (f32::from(*below) * (1.0 - share) + f32::from(above) * share).round() as u8;
                            }
                        }
                    }
                }
            }
        }
    }
}

fn font(size: u32) -> FontId {
    FontId::proportional(size as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_leave_ink_where_they_are_put_and_nowhere_else() {
        let mut letters = Lettering::default();
        let (width, height) = letters.measure("Row 3", 20);
        assert!((30..90).contains(&width) && (16..40).contains(&height), "{width} × {height}");
        let mut out = RgbImage::from_pixel(160, 80, Rgb([255; 3]));
        letters.write(&mut out, "Row 3", 20, (40, 30), Rgb([0; 3]));
        let inked: Vec<(u32, u32)> =
            out.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] < 128).map(|(x, y, _)| (x, y)).collect();
        assert!(inked.len() > 60, "{}", inked.len());
        let inside = |(x, y): &(u32, u32)| (39..42 + width).contains(x) && (29..32 + height).contains(y);
        assert!(inked.iter().all(inside));
        // Beyond the rim nothing happens.
        letters.write(&mut out, "far away", 40, (-30, 70), Rgb([0; 3]));
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let mut letters = Lettering::default();
        assert_eq!(letters.fitting("water", 14, 200), "water");
        let cut = letters.fitting("a boat on the water of the lake", 14, 90);
        assert!(cut.starts_with("a boat") && cut.ends_with('…'), "{cut}");
        assert!(letters.measure(&cut, 14).0 <= 90);
        assert_eq!(letters.fitting("water", 14, 0), "…");
    }
}
