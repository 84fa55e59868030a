//! The recipe of a result inside the file it was saved to.
//!
//! Two texts: `parameters` in the style the Stable Diffusion web interfaces write and read, and our own JSON object.
//! PNG holds them as text chunks `parameters` and `glassbox`; JPEG and WebP in EXIF, as `UserComment` and `MakerNote`.
//! Reading never trusts a file: lengths are capped, and whatever is malformed counts as absent.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use exif::{Context, Field, In, Tag, Value};

use super::decode::OpenError;
use super::header;
use super::sniff::{Kind, Sniffed, sniff};

/// The recipe texts that travel in a saved picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipeText {
    /// For people and other programs: prompt, then `Steps: 20, Seed: 1, …`. Empty if the file has none.
    pub parameters: String,
    /// Ours: one JSON object. Empty if the file has none (pictures of other programs).
    pub json: String,
}

/// The keyword of our JSON in PNG and its mark in `MakerNote`.
pub const JSON_KEYWORD: &str = "glassbox";
/// The keyword of the web interfaces' text.
pub const PARAMETERS_KEYWORD: &str = "parameters";

/// Longest text read or written, in bytes.
pub const MAX_TEXT: usize = 4 << 20;
/// Largest EXIF block a JPEG can hold (one segment, less its mark).
pub(super) const MAX_JPEG_EXIF: usize = 65_533 - 6;

/// Reads the recipe that a picture carries, if it carries one.
///
/// # Errors
/// Only where the file cannot be read at all. Missing, foreign or malformed metadata is `None`.
pub fn read_recipe(path: &Path) -> Result<Option<RecipeText>, OpenError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound(path.display().to_string()),
        _ => OpenError::Io { name: path.display().to_string(), source },
    };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(OpenError::NotAFile(path.display().to_string()));
    }
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    Ok(read_from(&mut file))
}

/// [`read_recipe`] from anything that can be read and searched.
fn read_from(file: &mut (impl Read + Seek)) -> Option<RecipeText> {
    let mut head = Vec::new();
    file.by_ref().take(64).read_to_end(&mut head).ok()?;
    let recipe = match sniff(&head) {
        Sniffed::Picture(Kind::Png) => from_png(file),
        Sniffed::Picture(Kind::Jpeg) => jpeg_exif(file).and_then(from_exif),
        Sniffed::Picture(Kind::WebP) => webp_exif(file).and_then(from_exif),
        _ => None,
    }?;
    (recipe != RecipeText::default()).then_some(recipe)
}

/// `json` if it is one JSON object, else nothing.
fn object(json: String) -> String {
    let valid = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&json).is_ok();
    if valid { json } else { String::new() }
}

/// Walks the chunks of a PNG, reading only the text ones.
fn from_png(file: &mut (impl Read + Seek)) -> Option<RecipeText> {
    let mut recipe = RecipeText::default();
    file.seek(SeekFrom::Start(8)).ok()?;
    let mut header = [0_u8; 8];
    while file.read_exact(&mut header).is_ok() {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let name = &header[4..];
        if name == b"IEND" {
            break;
        }
        let wanted = matches!(name, b"tEXt" | b"iTXt") && length as usize <= MAX_TEXT + 1024;
        if !wanted {
            file.seek(SeekFrom::Current(i64::from(length) + 4)).ok()?;
            continue;
        }
        let mut body = Vec::new();
        file.by_ref().take(u64::from(length)).read_to_end(&mut body).ok()?;
        file.seek(SeekFrom::Current(4)).ok()?;
        let Some((keyword, text)) = png_text(name, &body) else { continue };
        match keyword {
            PARAMETERS_KEYWORD if recipe.parameters.is_empty() => recipe.parameters = text,
            JSON_KEYWORD if recipe.json.is_empty() => recipe.json = object(text),
            _ => {}
        }
    }
    Some(recipe)
}

/// Keyword and text of an uncompressed `tEXt` (Latin-1) or `iTXt` (UTF-8) chunk.
fn png_text<'a>(name: &[u8], body: &'a [u8]) -> Option<(&'a str, String)> {
    let end = body.iter().take(80).position(|&byte| byte == 0)?;
    let keyword = std::str::from_utf8(&body[..end]).ok()?;
    let rest = &body[end + 1..];
    if name == b"tEXt" {
        return Some((keyword, rest.iter().map(|&byte| char::from(byte)).collect()));
    }
    // Compression flag and method, language, translated keyword, text.
    let &[compressed, _, ref rest @ ..] = rest else { return None };
    let language = rest.iter().position(|&byte| byte == 0)?;
    let rest = &rest[language + 1..];
    let translated = rest.iter().position(|&byte| byte == 0)?;
    (compressed == 0).then_some(())?;
    Some((keyword, String::from_utf8(rest[translated + 1..].to_vec()).ok()?))
}

/// The EXIF block of a JPEG; everything before the scan is in the first few segments.
fn jpeg_exif(file: &mut (impl Read + Seek)) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut bytes = Vec::new();
    file.by_ref().take(2 * MAX_TEXT as u64).read_to_end(&mut bytes).ok()?;
    let mut found = None;
    header::jpeg_segments(&bytes, |marker, body| {
        if marker == 0xE1 && found.is_none() {
            found = body.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec);
        }
    });
    found
}

/// The EXIF block of a WebP, which stands after the picture.
fn webp_exif(file: &mut (impl Read + Seek)) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(12)).ok()?;
    let mut header = [0_u8; 8];
    while file.read_exact(&mut header).is_ok() {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        if &header[..4] == b"EXIF" && length as usize <= 2 * MAX_TEXT {
            let mut body = Vec::new();
            file.by_ref().take(u64::from(length)).read_to_end(&mut body).ok()?;
            return Some(body.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(body));
        }
        file.seek(SeekFrom::Current(i64::from(length) + i64::from(length & 1))).ok()?;
    }
    None
}

const MAKER_MARK: &[u8] = b"glassbox\0";

fn from_exif(block: Vec<u8>) -> Option<RecipeText> {
    let parsed = exif::Reader::new().continue_on_error(true).read_raw(block);
    let parsed = parsed.or_else(|error| error.distill_partial_result(|_| {})).ok()?;
    let bytes = |tag: Tag| match parsed.get_field(tag, In::PRIMARY).map(|field| &field.value) {
        Some(Value::Undefined(bytes, _)) => Some(bytes.clone()),
        _ => None,
    };
    let parameters =
        bytes(Tag::UserComment).map(|bytes| user_comment(&bytes, parsed.little_endian())).unwrap_or_default();
    let json = bytes(Tag::MakerNote)
        .and_then(|bytes| String::from_utf8(bytes.strip_prefix(MAKER_MARK)?.to_vec()).ok())
        .map(object)
        .unwrap_or_default();
    Some(RecipeText { parameters, json })
}

/// A `UserComment`: eight bytes name the encoding. "UNICODE" is UTF-16 in the block's byte order by the letter, but
/// most programs write big-endian; the zero byte of the first ASCII character tells.
fn user_comment(bytes: &[u8], little_endian: bool) -> String {
    let Some((code, text)) = bytes.split_at_checked(8) else { return String::new() };
    match code {
        b"UNICODE\0" => {
            let (units, _) = text.as_chunks::<2>();
            let zeros = |at: usize| units.iter().filter(|unit| unit[at] == 0).count();
            let little = if zeros(0) == zeros(1) { little_endian } else { zeros(1) > zeros(0) };
            let decode = |unit: &[u8; 2]| if little { u16::from_le_bytes(*unit) } else { u16::from_be_bytes(*unit) };
            char::decode_utf16(units.iter().map(decode)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        b"ASCII\0\0\0" | [0, 0, 0, 0, 0, 0, 0, 0] => {
            String::from_utf8_lossy(text).trim_end_matches(['\0', ' ']).to_owned()
        }
        _ => String::new(),
    }
}

/// An EXIF block (without the `Exif\0\0` mark) that holds the recipe; `None` if it cannot be written.
pub(super) fn to_exif(recipe: &RecipeText) -> Option<Vec<u8>> {
    let mut comment = b"UNICODE\0".to_vec();
    comment.extend(recipe.parameters.encode_utf16().flat_map(u16::to_be_bytes));
    let mut note = MAKER_MARK.to_vec();
    note.extend_from_slice(recipe.json.as_bytes());
    let field = |tag, bytes| Field { tag, ifd_num: In::PRIMARY, value: Value::Undefined(bytes, 0) };
    let version = Field { tag: Tag::ExifVersion, ifd_num: In::PRIMARY, value: Value::Undefined(b"0232".to_vec(), 0) };
    let software = Field {
        tag: Tag(Context::Tiff, 0x0131),
        ifd_num: In::PRIMARY,
        value: Value::Ascii(vec![concat!("Glassbox ", env!("CARGO_PKG_VERSION")).as_bytes().to_vec()]),
    };
    let comment = field(Tag::UserComment, comment);
    let note = field(Tag::MakerNote, note);
    let mut writer = exif::experimental::Writer::new();
    writer.push_field(&software);
    writer.push_field(&version);
    if !recipe.parameters.is_empty() {
        writer.push_field(&comment);
    }
    if !recipe.json.is_empty() {
        writer.push_field(&note);
    }
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, false).ok()?;
    Some(block.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> RecipeText {
        RecipeText {
            parameters: "Winter ❄ für 猫\nSteps: 20, Seed: 1".into(),
            json: r#"{"seed":1,"wish":"❄ \" \n"}"#.into(),
        }
    }

    #[test]
    fn exif_round_trip() {
        assert_eq!(from_exif(to_exif(&recipe()).unwrap()), Some(recipe()));
        let only_json = RecipeText { parameters: String::new(), ..recipe() };
        assert_eq!(from_exif(to_exif(&only_json).unwrap()), Some(only_json));
    }

    #[test]
    fn comments_of_other_programs() {
        let mut little = b"UNICODE\0".to_vec();
        little.extend("abc".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(user_comment(&little, false), "abc");
        assert_eq!(user_comment(b"ASCII\0\0\0abc\0 ", true), "abc");
        assert_eq!(user_comment(b"JIS\0\0\0\0\0abc", true), "");
        assert_eq!(user_comment(b"x", true), "");
    }

    #[test]
    fn nonsense_counts_as_absent() {
        assert_eq!(read_from(&mut Cursor::new(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtparam")), None);
        assert_eq!(read_from(&mut Cursor::new(b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xff")), None);
        assert_eq!(read_from(&mut Cursor::new(b"\xff\xd8\xff\xe1\0\x08Exif\0\0")), None);
        assert_eq!(read_from(&mut Cursor::new(b"%PDF")), None);
        assert_eq!(object("[1]".into()), "");
        assert_eq!(object("{".into()), "");
        assert_eq!(object("{\"a\":".repeat(5000)), "");
    }

    #[test]
    fn every_damaged_block_is_survived() {
        let block = to_exif(&recipe()).unwrap();
        for at in 0..block.len().min(160) {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut damaged = block.clone();
                damaged[at] = value;
                let _ = from_exif(damaged);
            }
            let _ = from_exif(block[..at].to_vec());
        }
    }
}
