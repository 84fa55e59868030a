//! What a file really is, told from its first bytes; the name's ending is never asked.
//!
//! First step of opening a picture: [`super::decode`] only hands bytes to a decoder that [`sniff`] chose, and files of
//! other kinds (a HEIC photo, a PDF, a model) are named to the person instead of failing deep inside a decoder.

/// Picture formats that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Portable Network Graphics, animated ones included (first frame).
    Png,
    /// JPEG (baseline and progressive).
    Jpeg,
    /// WebP, lossy and lossless, animated ones included (first frame).
    WebP,
    /// TIFF (first page).
    Tiff,
    /// Windows bitmap.
    Bmp,
    /// GIF (first frame).
    Gif,
}

impl Kind {
    /// The name people know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
        }
    }
}

/// What [`sniff`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// A picture that a decoder here can be tried on.
    Picture(Kind),
    /// Something recognised that cannot be opened: what it is ("a HEIC photo") and what to do about it.
    Foreign {
        /// With its article: "a HEIC photo".
        what: &'static str,
        /// A clause in the imperative: "convert it to JPEG or PNG first".
        advice: &'static str,
    },
    /// Nothing known.
    Unknown,
}

/// How many bytes from the start [`sniff`] may look at.
pub const HEAD_BYTES: usize = 4096;

const CONVERT: &str = "convert it to JPEG or PNG first";
const EXPORT: &str = "export it as PNG or JPEG first";
const DEVELOP: &str = "export it as JPEG, PNG or TIFF from a raw developer first";
const FRAME: &str = "save one of its frames as a picture first";
const NOT_PICTURE: &str = "choose a PNG, JPEG, WebP, TIFF, BMP or GIF file";
const MODEL: &str = "models are opened in the model manager";

/// Fixed starts of files that are recognised but not opened: offset, bytes, what, advice.
const FOREIGN: &[(usize, &[u8], &str, &str)] = &[
    (0, b"\xFF\x0A", "a JPEG XL picture", CONVERT),
    (0, b"\x00\x00\x00\x0CJXL ", "a JPEG XL picture", CONVERT),
    (0, b"\x00\x00\x00\x0CjP  ", "a JPEG 2000 picture", CONVERT),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 picture", CONVERT),
    (0, b"%PDF-", "a PDF document", "export the page as PNG or JPEG first"),
    (0, b"%!PS", "a PostScript drawing", EXPORT),
    (0, b"8BPS", "a Photoshop document", EXPORT),
    (0, b"gimp xcf", "a GIMP document", EXPORT),
    (0, b"\x00\x00\x01\x00", "a Windows icon", CONVERT),
    (0, b"\x00\x00\x02\x00\x01", "a Windows cursor", CONVERT),
    (0, b"icns", "an Apple icon", CONVERT),
    (0, b"\x76\x2F\x31\x01", "an OpenEXR picture", CONVERT),
    (0, b"#?RADIANCE", "a Radiance HDR picture", CONVERT),
    (0, b"#?RGBE", "a Radiance HDR picture", CONVERT),
    (0, b"DDS ", "a DirectDraw texture", CONVERT),
    (0, b"qoif", "a QOI picture", CONVERT),
    (0, b"farbfeld", "a farbfeld picture", CONVERT),
    (0, b"FUJIFILMCCD-RAW", "a camera raw photo", DEVELOP),
    (0, b"IIRO", "a camera raw photo", DEVELOP),
    (0, b"IIRS", "a camera raw photo", DEVELOP),
    (0, b"IIU\x00", "a camera raw photo", DEVELOP),
    (8, b"CR\x02", "a camera raw photo", DEVELOP),
    (0, b"PK\x03\x04", "a ZIP archive (or a document made of one)", "unpack it first"),
    (0, b"\x1F\x8B", "a gzip archive", "unpack it first"),
    (0, b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", "unpack it first"),
    (0, b"Rar!", "a RAR archive", "unpack it first"),
    (0, b"\x1A\x45\xDF\xA3", "a video", FRAME),
    (0, b"ID3", "a sound file", NOT_PICTURE),
    (0, b"OggS", "a sound or video file", NOT_PICTURE),
    (0, b"GGUF", "a GGUF model", MODEL),
    (0, b"ply\n", "a PLY scene or mesh", "choose a picture"),
    (0, b"\x93NUMPY", "a NumPy array", NOT_PICTURE),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the picture itself",
        "fetch the real file with `git lfs pull`",
    ),
    (0, b"\x7FELF", "a program", NOT_PICTURE),
    (0, b"MZ", "a program", NOT_PICTURE),
];

/// Tells what a file is from its first bytes (up to [`HEAD_BYTES`]; fewer are fine).
#[must_use]
pub fn sniff(head: &[u8]) -> Sniffed {
    if head.starts_with(b"\x89PNG\r\n\x1A\n") {
        return Sniffed::Picture(Kind::Png);
    }
    if head.starts_with(b"\xFF\xD8\xFF") {
        return Sniffed::Picture(Kind::Jpeg);
    }
    if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        return Sniffed::Picture(Kind::Gif);
    }
    if head.starts_with(b"RIFF") && head.len() >= 12 {
        return match &head[8..12] {
            b"WEBP" => Sniffed::Picture(Kind::WebP),
            b"AVI " => Sniffed::Foreign { what: "a video", advice: FRAME },
            b"WAVE" => Sniffed::Foreign { what: "a sound file", advice: NOT_PICTURE },
            _ => Sniffed::Unknown,
        };
    }
    if let Some(&(_, _, what, advice)) =
        FOREIGN.iter().find(|(offset, magic, ..)| head.get(*offset..).is_some_and(|rest| rest.starts_with(magic)))
    {
        return Sniffed::Foreign { what, advice };
    }
    if head.starts_with(b"II\x2A\x00") || head.starts_with(b"MM\x00\x2A") {
        return tiff_or_raw(head);
    }
    if head.starts_with(b"II\x2B\x00") || head.starts_with(b"MM\x00\x2B") {
        return Sniffed::Picture(Kind::Tiff); // BigTIFF
    }
    if head.starts_with(b"BM") && head.len() >= 18 && matches!(head[14], 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124) {
        return Sniffed::Picture(Kind::Bmp);
    }
    if head.len() >= 12 && &head[4..8] == b"ftyp" {
        return iso_media(head);
    }
    if head.len() >= 9 && head[8] == b'{' && (2..1 << 32).contains(&u64_le(head)) {
        return Sniffed::Foreign { what: "a safetensors model", advice: MODEL };
    }
    if head.len() >= 3 && head[0] == b'P' && (b'1'..=b'7').contains(&head[1]) && head[2].is_ascii_whitespace() {
        return Sniffed::Foreign { what: "a PNM picture", advice: CONVERT };
    }
    text(head)
}

fn u64_le(head: &[u8]) -> u64 {
    head.iter().take(8).rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// A DNG looks like a TIFF whose first directory has the tag `DNGVersion`; decoding it would give its thumbnail.
fn tiff_or_raw(head: &[u8]) -> Sniffed {
    let little = head[0] == b'I';
    let u16_at = |at: usize| {
        let bytes = [*head.get(at)?, *head.get(at + 1)?];
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let directory = || {
        let bytes: [u8; 4] = head.get(4..8)?.try_into().ok()?;
        let at = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(at).ok().filter(|&at| at < HEAD_BYTES)
    };
    let is_dng = directory().is_some_and(|at| {
        let entries = usize::from(u16_at(at).unwrap_or(0));
        (0..entries).map_while(|i| u16_at(at + 2 + 12 * i)).any(|tag| tag == 0xC612)
    });
    if is_dng {
        Sniffed::Foreign { what: "a camera raw photo (DNG)", advice: DEVELOP }
    } else {
        Sniffed::Picture(Kind::Tiff)
    }
}

/// ISO base media files: HEIC, AVIF, Canon raw and videos, by their brands.
fn iso_media(head: &[u8]) -> Sniffed {
    const HEIC: &str = "convert it to JPEG or PNG first, or set the phone's camera to save JPEG";
    let length = head.iter().take(4).fold(0_usize, |value, &byte| (value << 8) | usize::from(byte));
    let brands: Vec<&[u8]> = head[8..length.clamp(12, head.len().max(12))].chunks_exact(4).collect();
    let any = |wanted: &[&[u8; 4]]| brands.iter().any(|brand| wanted.iter().any(|w| w.as_slice() == *brand));
    if any(&[b"avif", b"avis"]) {
        Sniffed::Foreign { what: "an AVIF picture", advice: CONVERT }
    } else if any(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        Sniffed::Foreign { what: "a HEIC photo", advice: HEIC }
    } else if any(&[b"crx "]) {
        Sniffed::Foreign { what: "a camera raw photo", advice: DEVELOP }
    } else {
        Sniffed::Foreign { what: "a video", advice: FRAME }
    }
}

/// SVG, HTML and plain text.
fn text(head: &[u8]) -> Sniffed {
    let start = String::from_utf8_lossy(&head[..head.len().min(HEAD_BYTES)]).to_lowercase();
    let start = start.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with("<svg") || (start.starts_with('<') && start.contains("<svg")) {
        return Sniffed::Foreign { what: "an SVG drawing", advice: EXPORT };
    }
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Sniffed::Foreign {
            what: "a web page, not a picture",
            advice: "save the picture itself (the link probably led to the page around it)",
        };
    }
    Sniffed::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(head: &[u8]) -> &'static str {
        match sniff(head) {
            Sniffed::Foreign { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_what_cannot_be_opened() {
        assert_eq!(foreign(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), "a HEIC photo");
        assert_eq!(foreign(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"), "an AVIF picture");
        assert_eq!(foreign(b"\0\0\0\x14ftypisom\0\0\0\0mp42"), "a video");
        assert_eq!(foreign(b"%PDF-1.7\n"), "a PDF document");
        assert_eq!(foreign(b"<?xml version=\"1.0\"?>\n<!-- x -->\n<SVG width=\"1\">"), "an SVG drawing");
        assert_eq!(foreign("\u{feff}  <svg>".as_bytes()), "an SVG drawing");
        assert_eq!(foreign(b"<!DOCTYPE html><html>"), "a web page, not a picture");
        assert_eq!(foreign(b"8BPS\0\x01"), "a Photoshop document");
        assert_eq!(foreign(b"\x40\0\0\0\0\0\0\0{\"__metadata__\""), "a safetensors model");
        assert_eq!(foreign(b"P6\n10 10\n255\n"), "a PNM picture");
        let dng = b"II\x2A\0\x08\0\0\0\x01\0\x12\xC6\x01\0\x04\0\0\0\x01\x04\0\0";
        assert_eq!(foreign(dng), "a camera raw photo (DNG)");
    }

    #[test]
    fn nothing_known_and_short_heads() {
        assert_eq!(sniff(b"hello"), Sniffed::Unknown);
        assert_eq!(sniff(b""), Sniffed::Unknown);
        for magic in [&b"RIFF"[..], b"II\x2A\0", b"BM", b"\0\0\0\x18ftyp", b"\0\0\0\x0Cftyph"] {
            for end in 0..=magic.len() {
                let _ = sniff(&magic[..end]);
            }
        }
    }
}
