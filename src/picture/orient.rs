//! The eight EXIF orientations: which way up the camera was held, and turning pixels accordingly.

use rayon::prelude::*;

/// The value of the orientation tag in an EXIF block (a TIFF structure, with or without the `Exif\0\0` mark before it);
/// `None` if it has none or is malformed.
#[must_use]
pub fn from_exif(block: &[u8]) -> Option<u8> {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    image::metadata::Orientation::from_exif_chunk(block).map(image::metadata::Orientation::to_exif)
}

/// Turns `pixels` (`[height, width, N]`, rows of `width × N` bytes) upright. Gives the new width, height and pixels.
///
/// `orientation` as in EXIF: 1 upright, 2 mirrored, 3 half turn, 4 upside-down mirror, 5 transposed, 6 needs a quarter
/// turn clockwise, 7 anti-transposed, 8 needs a quarter turn anticlockwise; anything else is taken as 1.
#[must_use]
pub fn upright<const N: usize>(width: u32, height: u32, pixels: Vec<u8>, orientation: u8) -> (u32, u32, Vec<u8>) {
    let (w, h) = (width as usize, height as usize);
    if !(2..=8).contains(&orientation) || w == 0 || h == 0 {
        return (width, height, pixels);
    }
    let (from, _) = pixels.as_chunks::<N>();
    let mut out = vec![0_u8; w * h * N];
    if orientation <= 4 {
        out.par_chunks_exact_mut(w * N).enumerate().for_each(|(y, row)| {
            let (row, _) = row.as_chunks_mut::<N>();
            let y = if orientation >= 3 { h - 1 - y } else { y };
            row.copy_from_slice(&from[y * w..(y + 1) * w]);
            if orientation <= 3 {
                row.reverse();
            }
        });
        return (width, height, out);
    }
    // The sides change places: new row y is an old column. Bands of rows, so that each cache line read serves them all.
    const BAND: usize = 16;
    let (columns_reversed, rows_reversed) = (matches!(orientation, 7 | 8), matches!(orientation, 6 | 7));
    out.par_chunks_mut(h * N * BAND).enumerate().for_each(|(band, rows)| {
        let (rows, _) = rows.as_chunks_mut::<N>();
        let count = rows.len() / h;
        for x in 0..h {
            let source_row = if rows_reversed { h - 1 - x } else { x } * w;
            for i in 0..count {
                let y = band * BAND + i;
                rows[i * h + x] = from[source_row + if columns_reversed { w - 1 - y } else { y }];
            }
        }
    });
    (height, width, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_eight_put_the_corner_where_exif_says() {
        // Stored 3 × 2:  0 1 2 / 3 4 5.
        let stored = || vec![0, 1, 2, 3, 4, 5];
        let wide = |pixels: [u8; 6]| (3, 2, pixels.to_vec());
        let tall = |pixels: [u8; 6]| (2, 3, pixels.to_vec());
        assert_eq!(upright::<1>(3, 2, stored(), 0), wide([0, 1, 2, 3, 4, 5]));
        assert_eq!(upright::<1>(3, 2, stored(), 1), wide([0, 1, 2, 3, 4, 5]));
        assert_eq!(upright::<1>(3, 2, stored(), 2), wide([2, 1, 0, 5, 4, 3]));
        assert_eq!(upright::<1>(3, 2, stored(), 3), wide([5, 4, 3, 2, 1, 0]));
        assert_eq!(upright::<1>(3, 2, stored(), 4), wide([3, 4, 5, 0, 1, 2]));
        assert_eq!(upright::<1>(3, 2, stored(), 5), tall([0, 3, 1, 4, 2, 5]));
        assert_eq!(upright::<1>(3, 2, stored(), 6), tall([3, 0, 4, 1, 5, 2]));
        assert_eq!(upright::<1>(3, 2, stored(), 7), tall([5, 2, 4, 1, 3, 0]));
        assert_eq!(upright::<1>(3, 2, stored(), 8), tall([2, 5, 1, 4, 0, 3]));
        assert_eq!(upright::<1>(3, 2, stored(), 9), wide([0, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn agrees_with_the_image_crate_on_a_larger_picture() {
        let picture = image::RgbImage::from_fn(45, 37, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        for value in 1..=8 {
            let mut expected = image::DynamicImage::ImageRgb8(picture.clone());
            expected.apply_orientation(image::metadata::Orientation::from_exif(value).unwrap());
            let (w, h, pixels) = upright::<3>(45, 37, picture.as_raw().clone(), value);
            assert_eq!((w, h), (expected.width(), expected.height()), "{value}");
            assert_eq!(&pixels, expected.as_rgb8().unwrap().as_raw(), "{value}");
        }
    }
}
