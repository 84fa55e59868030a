//! What a server that sees is shown of a picture: small, as JPEG, and nothing of the file's own data (place, time,
//! camera), since only pixels are sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::picture::resample::{Filter, resize_rgb};

/// The longer side of what is sent, in pixels: vision models cut pictures into tiles of about half of it, and a caption
/// of a dozen words needs no more.
const LONGER_SIDE: u32 = 768;

/// JPEG quality: no blocks that a model could take for content.
const QUALITY: u8 = 88;

/// The picture as a `data:` address, its longer side at most 768 pixels.
///
/// # Errors
/// When the picture has no pixels or cannot be encoded.
pub fn data_url(picture: &RgbImage) -> image::ImageResult<String> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    let shown = if longer > LONGER_SIDE {
        let side = |side: u32| {
            let side = (u64::from(side) * u64::from(LONGER_SIDE) + u64::from(longer) / 2) / u64::from(longer);
            u32::try_from(side).unwrap_or(LONGER_SIDE).max(1)
        };
        &resize_rgb(picture, (side(width), side(height)), Filter::Bicubic)
    } else {
        picture
    };
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    encoder.write_image(shown.as_raw(), shown.width(), shown.height(), ExtendedColorType::Rgb8)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use image::{Rgb, RgbImage};

    use super::{STANDARD, data_url};

    fn shown(width: u32, height: u32) -> RgbImage {
        let picture =
            RgbImage::from_fn(width, height, |x, _| if 2 * x < width { Rgb([200, 30, 30]) } else { Rgb([20; 3]) });
        let url = data_url(&picture).unwrap();
        let jpeg = STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        image::load_from_memory(&jpeg).unwrap().to_rgb8()
    }

    #[test]
    fn large_pictures_are_made_small_and_small_ones_left_alone() {
        let picture = shown(2000, 1000);
        assert_eq!(picture.dimensions(), (768, 384));
        assert!(picture.get_pixel(100, 100).0[0] > 180 && picture.get_pixel(700, 100).0[0] < 40);
        assert_eq!(shown(300, 500).dimensions(), (300, 500));
        assert_eq!(shown(5000, 1).dimensions(), (768, 1));
        assert_eq!(shown(1, 1).dimensions(), (1, 1));
    }
}
