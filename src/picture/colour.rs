//! Decoded samples of any depth and layout to 8-bit sRGB and opacity.
//!
//! Stands between the decoder and the upright picture: grey becomes RGB, 16 bits and floats become 8, an embedded ICC
//! profile is applied (at 16 bits where the file has them, so that nothing bands), opacity is split off unmultiplied.

use std::sync::Arc;

use image::{ColorType, GrayImage, RgbImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, ProfileText, TransformExecutor, TransformOptions};
use rayon::prelude::*;

/// Pixels as a decoder gives them: native-endian samples, rows without padding.
pub(super) struct Samples {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colour: ColorType,
    /// `[height, width, channels]` samples of 8, 16 (integer) or 32 (float) bits.
    pub(super) bytes: Vec<u8>,
}

type Transform<T> = Arc<dyn TransformExecutor<T> + Send + Sync>;

/// An embedded profile made ready for the samples' depth; `None` inside where the colours are sRGB already.
enum Conversion {
    None,
    Eight(Transform<u8>, Layout),
    Sixteen(Transform<u16>, Layout),
}

/// Converts to sRGB at 8 bits. What was done goes to `notes` as sentences for the person.
///
/// The opacity is `None` where every pixel is opaque.
pub(super) fn to_srgb(
    samples: Samples,
    profile: Option<&[u8]>,
    notes: &mut Vec<String>,
) -> (RgbImage, Option<GrayImage>) {
    let channels = usize::from(samples.colour.channel_count());
    let depth = usize::from(samples.colour.bytes_per_pixel()) / channels;
    let (width, height) = (samples.width, samples.height);
    match depth {
        2 => notes.push("16 bits a channel reduced to 8".into()),
        4 => notes.push("floating-point samples read as sRGB, clipped to 0…1 and reduced to 8 bits".into()),
        _ => {}
    }
    if channels <= 2 {
        notes.push("greyscale, opened as RGB".into());
    }
    let conversion = profile.map_or(Conversion::None, |profile| conversion(profile, channels <= 2, depth > 1, notes));

    if channels == 3 && depth == 1 && matches!(conversion, Conversion::None) {
        let rgb = RgbImage::from_raw(width, height, samples.bytes).unwrap_or_else(|| RgbImage::new(width, height));
        return (rgb, None);
    }
    let pixels = width as usize * height as usize;
    let has_alpha = channels % 2 == 0;
    let mut rgb = vec![0_u8; pixels * 3];
    let mut alpha = vec![0_u8; if has_alpha { pixels } else { 0 }];
    let w = width as usize;
    let rows = samples.bytes.par_chunks_exact(w * channels * depth).zip(rgb.par_chunks_exact_mut(w * 3));
    let convert = |from: &[u8], to: &mut [u8], scratch: &mut Scratch| match depth {
        1 => row_8(from, to, channels, &conversion, scratch),
        _ => row_16(from, to, channels, depth, &conversion, scratch),
    };
    if has_alpha {
        rows.zip(alpha.par_chunks_exact_mut(w)).for_each_init(Scratch::default, |scratch, ((from, to), alpha)| {
            convert(from, to, scratch);
            let last = (channels - 1) * depth;
            for (alpha, pixel) in alpha.iter_mut().zip(from.chunks_exact(channels * depth)) {
                *alpha = if depth == 1 { pixel[last] } else { to_8(sample_16(&pixel[last..])) };
            }
        });
    } else {
        rows.for_each_init(Scratch::default, |scratch, (from, to)| convert(from, to, scratch));
    }
    let rgb = RgbImage::from_raw(width, height, rgb).unwrap_or_else(|| RgbImage::new(width, height));
    let transparent = alpha.par_iter().any(|&a| a != 255);
    if transparent {
        notes.push("has transparency; it is kept, and the model sees the colours without it".into());
    }
    (rgb, transparent.then(|| GrayImage::from_raw(width, height, alpha)).flatten())
}

#[derive(Default)]
struct Scratch {
    eight: Vec<u8>,
    sixteen: Vec<u16>,
    out: Vec<u16>,
}

fn row_8(from: &[u8], to: &mut [u8], channels: usize, conversion: &Conversion, scratch: &mut Scratch) {
    let (to, _) = to.as_chunks_mut::<3>();
    let expand = |to: &mut [[u8; 3]]| {
        for (rgb, pixel) in to.iter_mut().zip(from.chunks_exact(channels)) {
            *rgb = if channels <= 2 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
        }
    };
    if let Conversion::Eight(transform, layout) = conversion {
        scratch.eight.clear();
        if *layout == Layout::Gray {
            scratch.eight.extend(from.iter().step_by(channels));
        } else {
            expand(to);
            scratch.eight.extend_from_slice(to.as_flattened());
        }
        if transform.transform(&scratch.eight, to.as_flattened_mut()).is_ok() {
            return;
        }
    }
    expand(to);
}

fn row_16(from: &[u8], to: &mut [u8], channels: usize, depth: usize, conversion: &Conversion, scratch: &mut Scratch) {
    let grey = channels <= 2;
    let Scratch { sixteen, out, .. } = scratch;
    let colours = if grey { 1 } else { 3 };
    sixteen.clear();
    for pixel in from.chunks_exact(channels * depth) {
        sixteen.extend(pixel.chunks_exact(depth).take(colours).map(sample_16));
    }
    let expanded = |sixteen: &[u16], out: &mut Vec<u16>| {
        out.clear();
        if grey {
            out.extend(sixteen.iter().flat_map(|&v| [v; 3]));
        } else {
            out.extend_from_slice(sixteen);
        }
    };
    let mut done = false;
    if let Conversion::Sixteen(transform, layout) = conversion {
        if *layout == Layout::Rgb && grey {
            expanded(sixteen, out);
            std::mem::swap(sixteen, out);
        }
        out.clear();
        out.resize(to.len(), 0);
        done = transform.transform(sixteen, out).is_ok();
    }
    if !done {
        expanded(sixteen, out);
    }
    for (to, &value) in to.iter_mut().zip(out.iter()) {
        *to = to_8(value);
    }
}

/// One native-endian sample of two bytes (integer) or four (float, 0…1) as 16 bits.
fn sample_16(bytes: &[u8]) -> u16 {
    match *bytes {
        [a, b] => u16::from_ne_bytes([a, b]),
        [a, b, c, d, ..] => (f32::from_ne_bytes([a, b, c, d]).clamp(0.0, 1.0) * 65_535.0 + 0.5) as u16,
        [a, b, _] => u16::from_ne_bytes([a, b]),
        [a] => u16::from(a) * 257,
        [] => 0,
    }
}

/// 16 bits to 8, to the nearest.
fn to_8(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32_767) / 65_535) as u8
}

fn conversion(profile: &[u8], grey: bool, deep: bool, notes: &mut Vec<String>) -> Conversion {
    let Ok(from) = ColorProfile::new_from_slice(profile) else {
        notes.push("its colour profile is damaged and was ignored (taken as sRGB)".into());
        return Conversion::None;
    };
    let layout = match (from.color_space, grey) {
        (DataColorSpace::Rgb, _) => Layout::Rgb,
        (DataColorSpace::Gray, true) => Layout::Gray,
        _ => {
            notes.push("its colour profile does not fit its pixels and was ignored (taken as sRGB)".into());
            return Conversion::None;
        }
    };
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let name = name(&from);
    let Ok(eight) = from.create_transform_8bit(layout, &srgb, Layout::Rgb, options) else {
        notes.push(format!("its colour profile ({name}) cannot be used and was ignored (taken as sRGB)"));
        return Conversion::None;
    };
    if is_srgb(&eight, layout) {
        return Conversion::None;
    }
    notes.push(format!("converted from {name} to sRGB"));
    if deep && let Ok(sixteen) = from.create_transform_16bit(layout, &srgb, Layout::Rgb, options) {
        return Conversion::Sixteen(sixteen, layout);
    }
    Conversion::Eight(eight, layout)
}

/// Whether a transform to sRGB changes no colour by more than two steps: then the pixels stay as they are, bit for bit.
fn is_srgb(transform: &Transform<u8>, layout: Layout) -> bool {
    const STEPS: [u8; 10] = [0, 16, 32, 64, 96, 128, 160, 192, 224, 255];
    let probe: Vec<u8> = if layout == Layout::Gray {
        (0..=255).collect()
    } else {
        STEPS
            .iter()
            .flat_map(|&r| STEPS.iter().flat_map(move |&g| STEPS.iter().flat_map(move |&b| [r, g, b])))
            .collect()
    };
    let expected: Vec<u8> =
        if layout == Layout::Gray { probe.iter().flat_map(|&v| [v; 3]).collect() } else { probe.clone() };
    let mut out = vec![0; expected.len()];
    transform.transform(&probe, &mut out).is_ok() && out.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= 2)
}

/// The profile's own name, made fit to be shown.
fn name(profile: &ColorProfile) -> String {
    let text = match &profile.description {
        Some(ProfileText::PlainString(text)) => text.clone(),
        Some(ProfileText::Localizable(texts)) => texts
            .iter()
            .find(|t| t.language.starts_with("en"))
            .or(texts.first())
            .map_or_else(String::new, |t| t.value.clone()),
        Some(ProfileText::Description(text)) => text.ascii_string.clone(),
        None => String::new(),
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    let text = text.trim();
    if text.is_empty() { "an unnamed profile".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(
        colour: ColorType,
        bytes: Vec<u8>,
        profile: Option<&ColorProfile>,
    ) -> ([u8; 3], Option<u8>, Vec<String>) {
        let samples = Samples { width: 1, height: 1, colour, bytes };
        let encoded = profile.map(|profile| profile.encode().unwrap());
        let mut notes = Vec::new();
        let (rgb, alpha) = to_srgb(samples, encoded.as_deref(), &mut notes);
        (rgb.get_pixel(0, 0).0, alpha.map(|a| a.get_pixel(0, 0).0[0]), notes)
    }

    fn near(found: [u8; 3], expected: [u8; 3]) -> bool {
        found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2)
    }

    #[test]
    fn display_p3_goes_where_colour_science_says() {
        let p3 = ColorProfile::new_display_p3();
        // P3 (0.8, 0.4, 0.2): linear by the sRGB curve, P3→XYZ→sRGB matrices (D65), back through the curve.
        let (found, _, notes) = convert(ColorType::Rgb8, vec![204, 102, 51], Some(&p3));
        assert!(near(found, [219, 94, 31]), "{found:?}");
        assert!(notes[0].starts_with("converted from "), "{notes:?}");
        // Greys stay greys; a P3 green outside sRGB clips.
        assert!(near(convert(ColorType::Rgb8, vec![128; 3], Some(&p3)).0, [128; 3]));
        assert!(near(convert(ColorType::Rgb8, vec![0, 255, 0], Some(&p3)).0, [0, 255, 0]));
        let sixteen: Vec<u8> = [204_u16 * 257, 102 * 257, 51 * 257].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let (found, _, notes) = convert(ColorType::Rgb16, sixteen, Some(&p3));
        assert!(near(found, [219, 94, 31]), "{found:?}");
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn an_srgb_profile_changes_nothing() {
        let (found, _, notes) = convert(ColorType::Rgb8, vec![7, 101, 250], Some(&ColorProfile::new_srgb()));
        assert_eq!((found, notes), ([7, 101, 250], vec![]));
    }

    #[test]
    fn grey_profiles_and_misfits() {
        let linear = ColorProfile::new_gray_with_gamma(1.0);
        let (found, _, _) = convert(ColorType::L8, vec![55], Some(&linear));
        assert!(near(found, [128; 3]), "{found:?}"); // 0.2157 linear is 0.502 in sRGB
        let (found, alpha, notes) = convert(ColorType::La8, vec![55, 9], Some(&linear));
        assert!(near(found, [128; 3]) && alpha == Some(9), "{found:?} {notes:?}");
        let (found, _, notes) = convert(ColorType::Rgb8, vec![1, 2, 3], Some(&linear));
        assert_eq!(found, [1, 2, 3]);
        assert!(notes[0].contains("does not fit"));
        let p3 = ColorProfile::new_display_p3();
        assert!(near(convert(ColorType::L8, vec![90], Some(&p3)).0, [90; 3]));
        assert!(near(convert(ColorType::L16, 9000_u16.to_ne_bytes().to_vec(), Some(&p3)).0, [35; 3]));
    }

    #[test]
    fn a_damaged_profile_is_said_and_ignored() {
        let mut notes = Vec::new();
        let samples = Samples { width: 1, height: 1, colour: ColorType::Rgb8, bytes: vec![1, 2, 3] };
        let (rgb, _) = to_srgb(samples, Some(&[0; 200]), &mut notes);
        assert_eq!(rgb.get_pixel(0, 0).0, [1, 2, 3]);
        assert!(notes[0].contains("damaged"));
    }

    #[test]
    fn depth_and_opacity() {
        let words = |values: &[u16]| values.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(convert(ColorType::L16, words(&[65_535]), None).0, [255; 3]);
        assert_eq!(convert(ColorType::Rgb16, words(&[128, 129, 32_896]), None).0, [0, 1, 128]);
        assert_eq!(convert(ColorType::Rgba16, words(&[0, 0, 0, 65_535]), None).1, None);
        assert_eq!(convert(ColorType::La16, words(&[0, 32_896]), None).1, Some(128));
        let floats: Vec<u8> = [f32::NAN, -3.0, 0.5].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(convert(ColorType::Rgb32F, floats, None).0, [0, 0, 128]);
        assert_eq!(convert(ColorType::Rgba8, vec![9, 8, 7, 0], None).1, Some(0), "colours under zero opacity stay");
    }
}
