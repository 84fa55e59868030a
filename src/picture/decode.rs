//! Opening pictures: from bytes on disk to an upright 8-bit sRGB [`Picture`].
//!
//! In this order: what is it really ([`super::sniff`]), is it within the limits ([`super::limits`], from its header,
//! before memory is taken), decode (a panic inside a decoder becomes an error), colours ([`super::colour`]), which way
//! up ([`super::orient`]). Files come from strangers: whatever they hold gives a picture or one clear sentence.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder,
};
use image::{GrayImage, ImageDecoder, ImageError, RgbImage};

use super::colour::{self, Samples};
use super::header;
pub use super::limits::DecodeLimits;
use super::orient;
use super::sniff::{HEAD_BYTES, Kind, Sniffed, sniff};
use super::{Picture, SourceFacts};

/// Why a file did not become a picture. Each is one sentence for the person.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No file of that name.
    #[error("there is no file {0}")]
    NotFound(String),
    /// A folder, a device, …
    #[error("{0} is not a file but a folder or a device")]
    NotAFile(String),
    /// The system refused.
    #[error("{name} cannot be read: {source}")]
    Io {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Zero bytes long.
    #[error("{0} is empty")]
    Empty(String),
    /// Recognised, but nothing this program opens.
    #[error("{name} is {what}; {advice}")]
    Foreign {
        /// The file.
        name: String,
        /// "a HEIC photo".
        what: &'static str,
        /// "convert it to JPEG or PNG first".
        advice: &'static str,
    },
    /// Not recognised.
    #[error("{0} is not a picture this program knows (PNG, JPEG, WebP, TIFF, BMP or GIF)")]
    Unknown(String),
    /// The header promises more pixels than the limits allow.
    #[error("{name} is too large: {width} × {height} pixels (at most {max_side} a side and {} million in all)", max_pixels / 1_000_000)]
    TooManyPixels {
        /// The file.
        name: String,
        /// Width by its header.
        width: u32,
        /// Height by its header.
        height: u32,
        /// The limit on a side.
        max_side: u32,
        /// The limit on width × height.
        max_pixels: u64,
    },
    /// Opening it would take more memory than the limits allow.
    #[error("{name} needs {} MiB of memory to open; the limit on this machine is {} MiB", needed.div_ceil(1 << 20), limit >> 20)]
    TooMuchMemory {
        /// The file.
        name: String,
        /// Bytes it needs.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A kind of the format that no decoder here knows.
    #[error(
        "{name} is a {format} of a kind that cannot be opened ({detail}); save it as an ordinary PNG or JPEG first"
    )]
    Unsupported {
        /// The file.
        name: String,
        /// "TIFF".
        format: &'static str,
        /// What is unusual about it.
        detail: String,
    },
    /// Truncated, lying or otherwise broken.
    #[error("{name} is a damaged {format} file ({detail})")]
    Damaged {
        /// The file.
        name: String,
        /// "PNG".
        format: &'static str,
        /// What the decoder met.
        detail: String,
    },
}

/// Opens the picture in a file. The file's content decides what it is, not its name.
///
/// # Errors
/// [`OpenError`], each one sentence; never a panic, whatever the file holds.
pub fn open(path: &Path, limits: &DecodeLimits) -> Result<Picture, OpenError> {
    let (name, bytes) = read_file(path, limits)?;
    let mut picture = from_bytes(&bytes, &name, limits)?;
    picture.path = Some(path.to_owned());
    Ok(picture)
}

/// Reads a file that begins like a picture, within the limits. Gives the name to call it by and its bytes.
fn read_file(path: &Path, limits: &DecodeLimits) -> Result<(String, Vec<u8>), OpenError> {
    let name = display_name(path);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound(path.display().to_string()),
        _ => OpenError::Io { name: name.clone(), source },
    };
    // Asked before it is opened: opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(OpenError::NotAFile(name));
    }
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
    recognise(&bytes, &name)?; // before a film of many gigabytes is read
    let too_long = |needed| OpenError::TooMuchMemory { name: name.clone(), needed, limit: limits.max_file_bytes };
    if length > limits.max_file_bytes {
        return Err(too_long(length));
    }
    let rest = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(bytes.len());
    bytes.try_reserve_exact(rest).map_err(|_| too_long(length))?;
    file.take(limits.max_file_bytes).read_to_end(&mut bytes).map_err(failed)?;
    Ok((name, bytes))
}

/// The file name as the person knows it.
fn display_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn recognise(head: &[u8], name: &str) -> Result<Kind, OpenError> {
    if head.is_empty() {
        return Err(OpenError::Empty(name.into()));
    }
    match sniff(&head[..head.len().min(HEAD_BYTES)]) {
        Sniffed::Picture(kind) => Ok(kind),
        Sniffed::Foreign { what, advice } => Err(OpenError::Foreign { name: name.into(), what, advice }),
        Sniffed::Unknown => Err(OpenError::Unknown(name.into())),
    }
}

/// Opens a picture from the bytes of a file; `name` is what the person calls it.
///
/// # Errors
/// As [`open`].
pub fn from_bytes(bytes: &[u8], name: &str, limits: &DecodeLimits) -> Result<Picture, OpenError> {
    let kind = recognise(bytes, name)?;
    let task = Task { name, kind, limits };
    // Decoders of hostile files do panic; nothing they touched is used afterwards.
    match catch_unwind(AssertUnwindSafe(|| task.run(bytes))) {
        Ok(result) => result,
        Err(_) => Err(task.damaged("it makes the decoder fail")),
    }
}

struct Task<'a> {
    name: &'a str,
    kind: Kind,
    limits: &'a DecodeLimits,
}

impl Task<'_> {
    fn run(&self, bytes: &[u8]) -> Result<Picture, OpenError> {
        let facts = header::read(self.kind, bytes);
        if facts.bits > 8 && self.kind == Kind::Jpeg {
            return Err(self.unsupported("12 bits a channel"));
        }
        let cursor = || Cursor::new(bytes);
        let decoded = match self.kind {
            Kind::Png => PngDecoder::with_limits(cursor(), self.image_limits()).map(|d| self.decode(d)),
            Kind::Jpeg => JpegDecoder::new(cursor()).map(|d| self.decode(d)),
            Kind::WebP => WebPDecoder::new(cursor()).map(|d| self.decode(d)),
            Kind::Tiff => TiffDecoder::new(cursor()).map(|d| self.decode(d)),
            Kind::Bmp => BmpDecoder::new(cursor()).map(|d| self.decode(d)),
            Kind::Gif => GifDecoder::new(cursor()).map(|d| self.decode(d)),
        };
        let Decoded { samples, profile, orientation } = match decoded {
            Ok(decoded) => decoded?,
            Err(error) => return Err(self.explain(error, None)),
        };

        let mut notes = Vec::new();
        if facts.frames > 1 {
            notes.push(format!("the first of {} frames", facts.frames));
        }
        if facts.cut_off {
            notes.push("the file ends early; its lower part may be missing".into());
        }
        if facts.palette {
            notes.push("palette colours, opened as RGB".into());
        }
        let mut profile = profile;
        if facts.cmyk {
            profile = None;
            notes.push("printing inks (CMYK) converted to RGB without their profile; colours are approximate".into());
        }
        let stored_size = (samples.width, samples.height);
        let bits = match samples.colour.bytes_per_pixel() / samples.colour.channel_count() {
            1 if facts.bits != 0 => facts.bits,
            bytes => bytes * 8,
        };
        let (rgb, alpha) = colour::to_srgb(samples, profile.as_deref(), &mut notes);
        let (rgb, alpha) = self.turned(rgb, alpha, orientation.unwrap_or(1))?;
        if orientation.is_some_and(|value| (2..=8).contains(&value)) {
            notes.push("turned upright as the camera recorded".into());
        }
        let format = self.kind.name().into();
        let facts = SourceFacts { format, stored_size, orientation: orientation.unwrap_or(0), bits, notes };
        Ok(Picture { name: self.name.into(), path: None, rgb: Arc::new(rgb), alpha: alpha.map(Arc::new), facts })
    }

    fn turned(
        &self,
        rgb: RgbImage,
        alpha: Option<GrayImage>,
        value: u8,
    ) -> Result<(RgbImage, Option<GrayImage>), OpenError> {
        let (width, height) = rgb.dimensions();
        let wrong = || self.damaged("its pixels do not fill its size");
        let (w, h, pixels) = orient::upright::<3>(width, height, rgb.into_raw(), value);
        let rgb = RgbImage::from_raw(w, h, pixels).ok_or_else(wrong)?;
        let Some(alpha) = alpha else { return Ok((rgb, None)) };
        let (w, h, pixels) = orient::upright::<1>(width, height, alpha.into_raw(), value);
        Ok((rgb, Some(GrayImage::from_raw(w, h, pixels).ok_or_else(wrong)?)))
    }

    /// Checks the header, then decodes.
    fn decode(&self, mut decoder: impl ImageDecoder) -> Result<Decoded, OpenError> {
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return Err(self.damaged("it says it has no pixels"));
        }
        let DecodeLimits { max_side, max_pixels, max_decoded_bytes: limit, .. } = *self.limits;
        if width.max(height) > max_side || u64::from(width) * u64::from(height) > max_pixels {
            return Err(OpenError::TooManyPixels { name: self.name.into(), width, height, max_side, max_pixels });
        }
        let needed = decoder.total_bytes();
        let too_much = || OpenError::TooMuchMemory { name: self.name.into(), needed, limit };
        if needed > limit {
            return Err(too_much());
        }
        let size = Some((width, height));
        decoder.set_limits(self.image_limits()).map_err(|error| self.explain(error, size))?;
        // Metadata that cannot be read is no reason not to show the picture.
        let profile = decoder.icc_profile().ok().flatten();
        let orientation = match self.kind {
            Kind::Tiff => decoder.orientation().ok().map(image::metadata::Orientation::to_exif),
            _ => decoder.exif_metadata().ok().flatten().and_then(|block| orient::from_exif(&block)),
        };
        let colour = decoder.color_type();
        let mut bytes = Vec::new();
        let length = usize::try_from(needed).map_err(|_| too_much())?;
        bytes.try_reserve_exact(length).map_err(|_| too_much())?;
        bytes.resize(length, 0);
        decoder.read_image(&mut bytes).map_err(|error| self.explain(error, size))?;
        Ok(Decoded { samples: Samples { width, height, colour, bytes }, profile, orientation })
    }

    fn image_limits(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_image_width = Some(self.limits.max_side);
        limits.max_image_height = Some(self.limits.max_side);
        // Room for what a decoder keeps beside the pixels; the pixels themselves were checked.
        limits.max_alloc = Some(self.limits.max_decoded_bytes.saturating_add(64 << 20));
        limits
    }

    fn damaged(&self, detail: &str) -> OpenError {
        OpenError::Damaged { name: self.name.into(), format: self.kind.name(), detail: detail.into() }
    }

    fn unsupported(&self, detail: &str) -> OpenError {
        OpenError::Unsupported { name: self.name.into(), format: self.kind.name(), detail: detail.into() }
    }

    fn explain(&self, error: ImageError, size: Option<(u32, u32)>) -> OpenError {
        let limits = self.limits;
        match error {
            ImageError::Limits(inner) => match (inner.kind(), size) {
                (image::error::LimitErrorKind::DimensionError, Some((width, height))) => OpenError::TooManyPixels {
                    name: self.name.into(),
                    width,
                    height,
                    max_side: limits.max_side,
                    max_pixels: limits.max_pixels,
                },
                (image::error::LimitErrorKind::DimensionError, None) => {
                    self.damaged(&format!("it says it is more than {} pixels wide or high", limits.max_side))
                }
                _ => self.damaged(&format!("decoding it would take more than {} MiB", limits.max_decoded_bytes >> 20)),
            },
            ImageError::Unsupported(inner) => self.unsupported(&tidy(&inner.to_string())),
            ImageError::IoError(inner) if inner.kind() == io::ErrorKind::UnexpectedEof => {
                self.damaged("it ends too early")
            }
            other => self.damaged(&tidy(&other.to_string())),
        }
    }
}

struct Decoded {
    samples: Samples,
    profile: Option<Vec<u8>>,
    orientation: Option<u8>,
}

/// A decoder's own words, cut to one short line without control characters.
fn tidy(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(140).collect();
    line.trim().trim_end_matches('.').to_owned()
}
