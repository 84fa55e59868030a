//! The header of a PLY file: which elements it holds, and where in a row each property lies.

use std::io::Read;

use super::{Source, SplatError};

/// Longer headers are not read: even one of a thousand features has less than 64 kB.
const MOST_HEADER: usize = 1 << 20;

/// How a property's number is written, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Number {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// One property of an element.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) number: Number,
    /// Where it begins in a row, bytes.
    pub(super) offset: usize,
}

impl Property {
    /// Its number in a row.
    #[inline]
    pub(super) fn read(&self, row: &[u8]) -> f32 {
        fn at<const N: usize>(row: &[u8], offset: usize) -> [u8; N] {
            row.get(offset..).and_then(|row| row.first_chunk::<N>()).copied().unwrap_or([0; N])
        }
        match self.number {
            Number::F32 => f32::from_le_bytes(at(row, self.offset)),
            Number::F64 => f64::from_le_bytes(at(row, self.offset)) as f32,
            Number::I8 => f32::from(i8::from_le_bytes(at(row, self.offset))),
            Number::U8 => f32::from(u8::from_le_bytes(at(row, self.offset))),
            Number::I16 => f32::from(i16::from_le_bytes(at(row, self.offset))),
            Number::U16 => f32::from(u16::from_le_bytes(at(row, self.offset))),
            Number::I32 => i32::from_le_bytes(at(row, self.offset)) as f32,
            Number::U32 => u32::from_le_bytes(at(row, self.offset)) as f32,
        }
    }
}

/// One kind of rows.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) properties: Vec<Property>,
    /// Bytes of a row; `None` where rows have lists and so differ.
    pub(super) stride: Option<usize>,
}

impl Element {
    pub(super) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }
}

/// The header.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) elements: Vec<Element>,
    pub(super) comments: Vec<String>,
    /// Its length, bytes.
    pub(super) length: u64,
}

impl Header {
    /// Reads the header and leaves the file at the first row.
    pub(super) fn read(source: &mut Source) -> Result<Self, SplatError> {
        let text = text(source)?;
        let mut header = Self { elements: Vec::new(), comments: Vec::new(), length: text.len() as u64 };
        let mut format = None;
        let text = String::from_utf8_lossy(&text).into_owned();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["format", name, ..] => format = Some((*name).to_owned()),
                ["comment" | "obj_info", ..] => {
                    header
                        .comments
                        .push(line.trim_start_matches(|letter: char| !letter.is_whitespace()).trim().to_owned());
                }
                ["element", name, count] => {
                    let count = count
                        .parse()
                        .map_err(|_| source.fault(format!("claims {count} rows of {name:?}, which is no number")))?;
                    let (name, properties) = ((*name).to_owned(), Vec::new());
                    header.elements.push(Element { name, count, properties, stride: Some(0) });
                }
                ["property", "list", ..] => {
                    let element = header.elements.last_mut();
                    element.ok_or_else(|| source.fault("has a property before any element"))?.stride = None;
                }
                ["property", kind, name] => {
                    let Some(number) = Number::named(kind) else {
                        return Err(source.fault(format!("has numbers of an unknown kind, {kind:?}")));
                    };
                    let Some(element) = header.elements.last_mut() else {
                        return Err(source.fault("has a property before any element"));
                    };
                    let offset = element.stride.unwrap_or(0);
                    element.stride = element.stride.map(|stride| stride + number.bytes());
                    element.properties.push(Property { name: (*name).to_owned(), number, offset });
                }
                ["end_header"] | [] => {}
                _ => {
                    return Err(
                        source.fault(format!("has a line in its header that cannot be read: {:?}", short(line)))
                    );
                }
            }
        }
        match format.as_deref() {
            Some("binary_little_endian") => Ok(header),
            Some(other) => Err(source
                .fault(format!("is a PLY file of the kind {:?}; only binary_little_endian can be read", short(other)))),
            None => Err(source.fault("is a PLY file that does not name its format")),
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// All bytes up to and with the line `end_header`.
fn text(source: &mut Source) -> Result<Vec<u8>, SplatError> {
    let mut text = Vec::new();
    let mut block = [0u8; 4096];
    loop {
        let room = block.len().min(MOST_HEADER.saturating_sub(text.len()));
        let have = source.file.read(&mut block[..room]).map_err(|error| source.io(error))?;
        if have == 0 {
            let fault = if room == 0 { "has a header that is too long" } else { "ends in the middle of its header" };
            return Err(source.fault(fault));
        }
        // The end may lie across two blocks.
        let from = text.len().saturating_sub(16);
        text.extend_from_slice(&block[..have]);
        if let Some(end) = end_of(&text, from) {
            text.truncate(end);
            let here = std::io::SeekFrom::Start(end as u64);
            std::io::Seek::seek(&mut source.file, here).map_err(|error| source.io(error))?;
            return Ok(text);
        }
    }
}

/// Where the first row begins, if the header ends in `text`.
fn end_of(text: &[u8], from: usize) -> Option<usize> {
    const END: &[u8] = b"\nend_header";
    let found = text[from..].windows(END.len()).position(|window| window == END)? + from + END.len();
    match text.get(found..)? {
        [b'\n', ..] => Some(found + 1),
        [b'\r', b'\n', ..] => Some(found + 2),
        _ => None,
    }
}
