//! Small facts read straight from a file's structure, which the decoders do not tell: bits, palette, frames, whether
//! the end is missing. Only walks over lengths; never trusts one, never allocates.

use super::sniff::Kind;

/// What [`read`] found; zero and `false` where the file does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Bits a channel (or a palette index) in the file.
    pub(super) bits: u8,
    /// Colours come from a palette.
    pub(super) palette: bool,
    /// Number of frames of an animation, at least 1.
    pub(super) frames: u32,
    /// JPEG with four inks.
    pub(super) cmyk: bool,
    /// The end of the picture data is missing.
    pub(super) cut_off: bool,
}

/// Reads the facts of a file of the given kind.
pub(super) fn read(kind: Kind, bytes: &[u8]) -> Header {
    let header = match kind {
        Kind::Png => png(bytes),
        Kind::Jpeg => jpeg(bytes),
        Kind::Gif => Some(Header { bits: 8, palette: true, frames: gif_frames(bytes), ..Header::default() }),
        Kind::WebP => Some(Header { bits: 8, frames: webp_frames(bytes), ..Header::default() }),
        Kind::Bmp => bmp(bytes),
        Kind::Tiff => None,
    };
    let mut header = header.unwrap_or_default();
    header.frames = header.frames.max(1);
    header
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])))
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    Some(be16(bytes, at)? << 16 | be16(bytes, at + 2)?)
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    be32(bytes, at).map(|value| (value as u32).swap_bytes() as usize)
}

fn png(bytes: &[u8]) -> Option<Header> {
    let mut header = Header { bits: *bytes.get(24)?, palette: *bytes.get(25)? == 3, ..Header::default() };
    // `acTL` stands before the first `IDAT`.
    let mut at = 8;
    while let (Some(length), Some(name)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        match name {
            b"acTL" => header.frames = be32(bytes, at + 8)? as u32,
            b"IDAT" | b"IEND" => break,
            _ => {}
        }
        at = at.checked_add(length)?.checked_add(12)?;
    }
    Some(header)
}

/// Walks a JPEG's segments: calls `visit(marker, body)` for each up to the start of the scan data, whose offset it returns.
pub(super) fn jpeg_segments<'a>(bytes: &'a [u8], mut visit: impl FnMut(u8, &'a [u8])) -> Option<usize> {
    let mut at = 2;
    loop {
        while *bytes.get(at)? != 0xFF {
            at += 1;
        }
        while *bytes.get(at)? == 0xFF {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD9) {
            continue;
        }
        let length = be16(bytes, at)?.max(2);
        visit(marker, bytes.get(at + 2..at + length)?);
        at += length;
        if marker == 0xDA {
            return Some(at);
        }
    }
}

fn jpeg(bytes: &[u8]) -> Option<Header> {
    let mut header = Header { bits: 8, ..Header::default() };
    let scan = jpeg_segments(bytes, |marker, body| {
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) && body.len() > 5 {
            header.bits = body[0];
            header.cmyk = body[5] == 4;
        }
    });
    header.cut_off = scan.is_none_or(|scan| !bytes[scan..].windows(2).rev().any(|pair| pair == [0xFF, 0xD9]));
    Some(header)
}

fn gif_frames(bytes: &[u8]) -> u32 {
    let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let Some(&flags) = bytes.get(10) else { return 0 };
    let mut at = 13 + table(flags);
    let mut frames = 0;
    while let Some(&block) = bytes.get(at) {
        match block {
            0x2C => {
                let Some(&flags) = bytes.get(at + 9) else { break };
                frames += 1;
                at += 11 + table(flags);
            }
            0x21 => at += 2,
            _ => break,
        }
        while let Some(&length) = bytes.get(at) {
            at += 1 + usize::from(length);
            if length == 0 {
                break;
            }
        }
    }
    frames
}

/// Walks the chunks of a RIFF file: `visit(name, body)`; a body that is cut off is not visited.
pub(super) fn riff_chunks<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) {
    let mut at = 12_usize;
    while let (Some(name), Some(length)) = (bytes.get(at..at + 4), le32(bytes, at + 4)) {
        let Some(end) = (at + 8).checked_add(length) else { break };
        let Some(body) = bytes.get(at + 8..end) else { break };
        visit(name, body);
        at = end + (length & 1);
    }
}

fn webp_frames(bytes: &[u8]) -> u32 {
    let mut frames = 0;
    riff_chunks(bytes, |name, _| frames += u32::from(name == b"ANMF"));
    frames
}

fn bmp(bytes: &[u8]) -> Option<Header> {
    let at = if le32(bytes, 14)? == 12 { 24 } else { 28 };
    let bits = *bytes.get(at)?;
    Some(Header { bits: bits.min(8), palette: bits <= 8, ..Header::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lying_lengths_end_the_walk() {
        assert_eq!(read(Kind::Png, b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR").frames, 1);
        assert!(read(Kind::Jpeg, b"\xff\xd8\xff\xe1\xff\xff").cut_off);
        assert!(read(Kind::Jpeg, b"\xff\xd8\xff\xff\xff").cut_off);
        assert_eq!(read(Kind::WebP, b"RIFF\xff\xff\xff\xffWEBPANMF\xff\xff\xff\xff").frames, 1);
        assert_eq!(read(Kind::Gif, b"GIF89a\x01\0\x01\0\x87\0\0").frames, 1);
        assert_eq!(read(Kind::Bmp, b"BM"), Header { frames: 1, ..Header::default() });
    }
}
