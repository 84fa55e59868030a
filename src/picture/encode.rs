//! Saving pictures: PNG, JPEG or lossless WebP by the name's ending, whole or not at all, with the recipe inside.
//!
//! Nothing of the source's metadata (place, camera, date) goes into a saved file; only what the caller hands over.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::codecs::{jpeg::JpegEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};

use super::atomic;
pub use super::metadata::RecipeText;
use super::metadata::{self, JSON_KEYWORD, MAX_JPEG_EXIF, MAX_TEXT, PARAMETERS_KEYWORD};

/// Formats that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lossless, carries opacity and the recipe.
    Png,
    /// Lossy and small; no opacity.
    Jpeg,
    /// Lossless WebP, carries opacity and the recipe.
    WebP,
}

impl Format {
    /// The format a path's ending asks for (any case): `png`, `jpg`, `jpeg`, `jpe`, `jfif`, `webp`.
    ///
    /// # Errors
    /// [`SaveError::Ending`] for any other.
    pub fn from_path(path: &Path) -> Result<Self, SaveError> {
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" | "jpe" | "jfif" => Ok(Self::Jpeg),
            "webp" => Ok(Self::WebP),
            _ => Err(SaveError::Ending(path.display().to_string())),
        }
    }

    /// The name people know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
        }
    }

    /// Longest side it can hold.
    fn max_side(self) -> u32 {
        match self {
            Self::Png => i32::MAX as u32,
            Self::Jpeg => 65_535,
            Self::WebP => 16_384,
        }
    }
}

/// How to save. The default: format by ending, JPEG quality 92, no recipe, an existing file is replaced.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// `None`: by the path's ending.
    pub format: Option<Format>,
    /// JPEG quality 1–100; the others are lossless.
    pub quality: u8,
    /// What the picture was made with; nothing is written if `None`.
    pub recipe: Option<RecipeText>,
    /// Files that must never be replaced: the source pictures.
    pub protected: Vec<PathBuf>,
    /// `false`: fail if there already is a file of that name.
    pub replace: bool,
    /// What shines through where the format has no opacity (JPEG).
    pub background: [u8; 3],
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { format: None, quality: 92, recipe: None, protected: Vec::new(), replace: true, background: [255; 3] }
    }
}

/// What [`save`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The format written.
    pub format: Format,
    /// Sentences worth telling: what the format could not hold.
    pub notes: Vec<String>,
}

/// Why a picture was not saved. The old file, if any, is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The name ends in nothing that can be written.
    #[error("{0} must end in .png, .jpg or .webp to say how to save it")]
    Ending(String),
    /// It would replace a source picture.
    #[error("{0} is the picture that is being edited; choose another name, the original is never overwritten")]
    IsSource(String),
    /// There already is such a file.
    #[error("{0} exists already")]
    Exists(String),
    /// The format cannot hold that size.
    #[error("{format} cannot hold {width} × {height} pixels (at most {max} a side); save it as PNG")]
    TooLarge {
        /// "WebP".
        format: &'static str,
        /// Pixels wide.
        width: u32,
        /// Pixels high.
        height: u32,
        /// The format's limit.
        max: u32,
    },
    /// The opacity does not belong to the picture.
    #[error("the opacity has another size than the picture")]
    Opacity,
    /// The system refused: no space, no permission, no folder, …
    #[error("{path} could not be written: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Saves `rgb` (with `alpha`, straight, same size) at `path`: whole or not at all.
///
/// # Errors
/// [`SaveError`], each one sentence; an existing file is then untouched.
pub fn save(path: &Path, rgb: &RgbImage, alpha: Option<&GrayImage>, options: &SaveOptions) -> Result<Saved, SaveError> {
    let shown = || path.display().to_string();
    let format = options.format.map_or_else(|| Format::from_path(path), Ok)?;
    let (width, height) = rgb.dimensions();
    if width.max(height) > format.max_side() {
        return Err(SaveError::TooLarge { format: format.name(), width, height, max: format.max_side() });
    }
    if alpha.is_some_and(|alpha| alpha.dimensions() != rgb.dimensions()) {
        return Err(SaveError::Opacity);
    }
    if options.protected.iter().any(|source| same_file(source, path)) {
        return Err(SaveError::IsSource(shown()));
    }
    let mut saved = Saved { format, notes: Vec::new() };
    let notes = &mut saved.notes;
    let write = |file: &mut io::BufWriter<&fs::File>| encode(file, format, rgb, alpha, options, notes);
    let written = if options.replace { atomic::write(path, write) } else { atomic::write_new(path, write) };
    match written {
        Ok(()) => Ok(saved),
        Err(error) if !options.replace && error.kind() == io::ErrorKind::AlreadyExists => {
            Err(SaveError::Exists(shown()))
        }
        Err(source) => Err(SaveError::Io { path: shown(), source }),
    }
}

/// Whether two paths lead to one file, by links of any kind too.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// The encoded picture, written to `out`.
fn encode(
    out: &mut impl Write,
    format: Format,
    rgb: &RgbImage,
    alpha: Option<&GrayImage>,
    options: &SaveOptions,
    notes: &mut Vec<String>,
) -> io::Result<()> {
    let (width, height) = rgb.dimensions();
    let recipe = options.recipe.as_ref();
    match format {
        Format::Png => png(out, rgb, alpha, recipe, notes),
        Format::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(out, options.quality.clamp(1, 100));
            if let Some(block) = recipe.and_then(|recipe| exif_for_jpeg(recipe, notes)) {
                encoder.set_exif_metadata(block).map_err(io::Error::other)?;
            }
            let flat = alpha.map(|alpha| {
                notes.push("JPEG has no transparency; the picture was put on a plain background".into());
                flattened(rgb, alpha, options.background)
            });
            let pixels = flat.as_ref().unwrap_or(rgb).as_raw();
            encoder.write_image(pixels, width, height, ExtendedColorType::Rgb8).map_err(into_io)
        }
        Format::WebP => {
            let mut encoder = WebPEncoder::new_lossless(out);
            if let Some(block) = recipe.and_then(metadata::to_exif) {
                encoder.set_exif_metadata(block).map_err(io::Error::other)?;
            }
            match alpha {
                Some(alpha) => encoder.write_image(&interleaved(rgb, alpha), width, height, ExtendedColorType::Rgba8),
                None => encoder.write_image(rgb.as_raw(), width, height, ExtendedColorType::Rgb8),
            }
            .map_err(into_io)
        }
    }
}

fn into_io(error: image::ImageError) -> io::Error {
    match error {
        image::ImageError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

/// The recipe as an EXIF block that fits into a JPEG: whole, or without the JSON, or not at all.
fn exif_for_jpeg(recipe: &RecipeText, notes: &mut Vec<String>) -> Option<Vec<u8>> {
    let fits = |block: &Vec<u8>| block.len() <= MAX_JPEG_EXIF;
    if let Some(block) = metadata::to_exif(recipe).filter(fits) {
        return Some(block);
    }
    notes.push("the recipe is too long for a JPEG; save as PNG to keep all of it".into());
    metadata::to_exif(&RecipeText { json: String::new(), ..recipe.clone() }).filter(fits)
}

fn png(
    out: &mut impl Write,
    rgb: &RgbImage,
    alpha: Option<&GrayImage>,
    recipe: Option<&RecipeText>,
    notes: &mut Vec<String>,
) -> io::Result<()> {
    let mut encoder = png::Encoder::new(out, rgb.width(), rgb.height());
    encoder.set_color(if alpha.is_some() { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    if let Some(recipe) = recipe {
        let texts = [(PARAMETERS_KEYWORD, &recipe.parameters), (JSON_KEYWORD, &recipe.json)];
        for (keyword, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let text = text.replace('\0', "");
            if text.len() > MAX_TEXT {
                notes.push(format!("the recipe's `{keyword}` text is too long and was left out"));
            } else if keyword == PARAMETERS_KEYWORD
                && text.chars().all(|c| c == '\n' || matches!(c, ' '..='~' | '\u{A1}'..='ÿ'))
            {
                encoder.add_text_chunk(keyword.into(), text)?;
            } else {
                encoder.add_itxt_chunk(keyword.into(), text)?;
            }
        }
    }
    let mut writer = encoder.write_header()?;
    match alpha {
        Some(alpha) => writer.write_image_data(&interleaved(rgb, alpha))?,
        None => writer.write_image_data(rgb.as_raw())?,
    }
    Ok(writer.finish()?)
}

/// `[height, width, 4]` bytes.
fn interleaved(rgb: &RgbImage, alpha: &GrayImage) -> Vec<u8> {
    rgb.pixels().zip(alpha.pixels()).flat_map(|(rgb, alpha)| [rgb.0[0], rgb.0[1], rgb.0[2], alpha.0[0]]).collect()
}

/// `rgb` with opacity `alpha` (same size) laid over a plain colour.
#[must_use]
pub fn flattened(rgb: &RgbImage, alpha: &GrayImage, background: [u8; 3]) -> RgbImage {
    let mut out = rgb.clone();
    for (pixel, alpha) in out.pixels_mut().zip(alpha.pixels()) {
        let a = u32::from(alpha.0[0]);
        for (value, below) in pixel.0.iter_mut().zip(background) {
            *value = ((u32::from(*value) * a + u32::from(below) * (255 - a) + 127) / 255) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::decode::{self, DecodeLimits};
    use crate::picture::metadata::read_recipe;

    fn picture() -> RgbImage {
        RgbImage::from_fn(31, 17, |x, y| image::Rgb([(x * 8) as u8, (y * 15) as u8, ((x * y) % 256) as u8]))
    }

    fn opacity() -> GrayImage {
        GrayImage::from_fn(31, 17, |x, y| image::Luma([(x + y) as u8 * 5]))
    }

    fn recipe() -> RecipeText {
        RecipeText {
            parameters: "Winter ❄ für 猫\nSteps: 20, Seed: 1".into(), json: r#"{"seed":1,"wish":"❄"}"#.into()
        }
    }

    #[test]
    fn pixels_opacity_and_recipe_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let options = SaveOptions { recipe: Some(recipe()), ..SaveOptions::default() };
        for name in ["a b.png", "ü 猫 🌻.webp", "A.JPG"] {
            let path = folder.path().join(name);
            let saved = save(&path, &picture(), Some(&opacity()), &options).unwrap();
            let opened = decode::open(&path, &DecodeLimits::default()).unwrap();
            assert_eq!(opened.name, name);
            assert_eq!(read_recipe(&path).unwrap(), Some(recipe()), "{name}");
            if saved.format == Format::Jpeg {
                assert_eq!((opened.alpha, saved.notes.len()), (None, 1));
            } else {
                assert_eq!((*opened.rgb).as_raw(), picture().as_raw(), "{name}");
                assert_eq!(opened.alpha.unwrap().as_raw(), opacity().as_raw(), "{name}");
                assert_eq!(saved.notes, Vec::<String>::new());
            }
            assert!(opened.facts.orientation <= 1);
        }
    }

    #[test]
    fn without_a_recipe_nothing_is_carried() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.jpg", "a.webp"] {
            let path = folder.path().join(name);
            save(&path, &picture(), None, &SaveOptions::default()).unwrap();
            assert_eq!(read_recipe(&path).unwrap(), None);
        }
        assert!(read_recipe(&folder.path().join("none.png")).is_err());
    }

    #[test]
    fn a_png_says_it_is_srgb_and_plain_parameters_are_latin() {
        let options = SaveOptions {
            recipe: Some(RecipeText { parameters: "Für Ann\nSteps: 2".into(), json: String::new() }),
            ..SaveOptions::default()
        };
        let mut bytes = Vec::new();
        encode(&mut bytes, Format::Png, &picture(), None, &options, &mut Vec::new()).unwrap();
        let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
        assert!(has(b"sRGB") && has(b"tEXtparameters\0F\xFCr Ann") && !has(b"iTXt"));
    }

    #[test]
    fn a_recipe_too_long_for_a_jpeg_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        let long = RecipeText { parameters: "short".into(), json: format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)) };
        let options = SaveOptions { recipe: Some(long.clone()), ..SaveOptions::default() };
        let saved = save(&path, &picture(), None, &options).unwrap();
        assert_eq!(saved.notes.len(), 1);
        assert_eq!(read_recipe(&path).unwrap().unwrap(), RecipeText { json: String::new(), ..long.clone() });
        let path = folder.path().join("a.webp");
        save(&path, &picture(), None, &options).unwrap();
        assert_eq!(read_recipe(&path).unwrap().unwrap(), long);
    }

    #[test]
    fn the_source_and_existing_files_are_safe() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source.png");
        save(&source, &picture(), None, &SaveOptions::default()).unwrap();
        let before = fs::read(&source).unwrap();
        let options = SaveOptions { protected: vec![source.clone()], ..SaveOptions::default() };
        let black = RgbImage::new(31, 17);
        let detour = folder.path().join("x").join("..").join("source.png");
        fs::create_dir(folder.path().join("x")).unwrap();
        for path in [&source, &detour] {
            assert!(matches!(save(path, &black, None, &options), Err(SaveError::IsSource(_))));
        }
        let careful = SaveOptions { replace: false, ..SaveOptions::default() };
        assert!(matches!(save(&source, &black, None, &careful), Err(SaveError::Exists(_))));
        assert_eq!(fs::read(&source).unwrap(), before);
        assert!(matches!(save(&folder.path().join("a.bmp"), &black, None, &careful), Err(SaveError::Ending(_))));
        let nowhere = folder.path().join("no such folder").join("a.png");
        assert!(matches!(save(&nowhere, &black, None, &careful), Err(SaveError::Io { .. })));
        let wide = RgbImage::new(16_385, 1);
        assert!(matches!(save(&folder.path().join("a.webp"), &wide, None, &careful), Err(SaveError::TooLarge { .. })));
    }
}
