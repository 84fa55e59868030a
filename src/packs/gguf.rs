//! A GGUF file, llama.cpp's format: its header checked against the file before anything is mapped, then its settings and
//! its tensors, which stay quantised.
//!
//! Format (the GGUF specification of ggml): magic, version, number of tensors and of settings; each setting a name, a
//! type and a value; each tensor a name, its sides with the fastest first, a type and an offset; then, aligned, the data.
//! Every length is held against what is left of the file before room is made for it, the header may take no more than
//! [`MAX_HEADER`] bytes, and tensors must be aligned, inside the file and apart from each other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};

use super::PackError;
use super::file_bytes::FileBytes;
use super::sniff::{self, Content};
use super::weights::WeightOptions;

/// The most bytes that are read as a header. The vocabulary of the largest published models takes a tenth of it.
pub const MAX_HEADER: u64 = 64 << 20;

/// The most sides that a tensor has.
const MAX_SIDES: u32 = 4;

/// Where data begins if a file does not say otherwise: at multiples of this.
const USUAL_ALIGNMENT: u64 = 32;

/// One value of the settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// A whole number of any width.
    Whole(i128),
    /// A number with a fraction.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// A text.
    Text(String),
    /// A list of whole numbers.
    Wholes(Vec<i64>),
    /// A list of numbers with fractions.
    Reals(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// How its numbers are stored.
    pub dtype: GgmlDType,
    /// Its shape, the slowest side first, as everywhere else here.
    pub shape: Vec<usize>,
    /// Where its bytes stand, counted from the beginning of the file.
    pub bytes: Range<u64>,
}

/// An opened file. Of its tensors nothing has been read.
#[derive(Debug)]
pub struct GgufFile {
    settings: BTreeMap<String, Setting>,
    tensors: BTreeMap<String, GgufTensor>,
    bytes: FileBytes,
}

/// What a header says.
#[derive(Debug)]
struct Header {
    settings: BTreeMap<String, Setting>,
    tensors: BTreeMap<String, GgufTensor>,
}

impl GgufFile {
    /// Opens the file `path`.
    ///
    /// # Errors
    /// One sentence: another kind of file, cut short, or whatever contradicts itself or the file.
    pub fn open(path: &Path) -> Result<Self, PackError> {
        Self::open_with(path, &WeightOptions::default())
    }

    /// As [`Self::open`], with a say in how.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, options: &WeightOptions) -> Result<Self, PackError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => PackError::missing(path, "a GGUF file was expected"),
            _ => PackError::Io { path: path.to_path_buf(), doing: "opened", source },
        })?;
        let found = sniff::of_file(path)?;
        if found != Content::Gguf {
            return Err(PackError::NotWeights { path: path.to_path_buf(), found });
        }
        let length = file.metadata().map_err(PackError::io(path, "read"))?.len();
        let Header { settings, tensors } = read_header(path, BufReader::new(&file), length)?;
        Ok(Self { settings, tensors, bytes: FileBytes::new(path, file, options.read_instead_of_map) })
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.bytes.path()
    }

    /// A setting.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// A setting that is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.settings.get(key)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A setting that is a whole number from 0 on.
    #[must_use]
    pub fn whole(&self, key: &str) -> Option<usize> {
        match self.settings.get(key)? {
            Setting::Whole(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A setting that is a number of any kind.
    #[must_use]
    pub fn real(&self, key: &str) -> Option<f64> {
        match self.settings.get(key)? {
            Setting::Whole(number) => Some(*number as f64),
            Setting::Real(number) => Some(*number),
            _ => None,
        }
    }

    /// A setting that is yes or no.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.settings.get(key)? {
            Setting::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// What is known of a tensor without reading it.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.get(name)
    }

    /// All tensors by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &GgufTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Reads a tensor of the given shape onto `device`, in the form in which it is stored.
    ///
    /// # Errors
    /// [`PackError::TensorMissing`], [`PackError::TensorShape`], or what reading brings, each wrapped by candle.
    pub fn read(&self, name: &str, shape: &[usize], device: &Device) -> candle_core::Result<QTensor> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(candle_core::Error::wrap(PackError::TensorMissing {
                path: self.path().to_path_buf(),
                tensor: name.to_owned(),
                expected: Some(shape.to_vec()),
            }));
        };
        if tensor.shape != shape {
            return Err(candle_core::Error::wrap(PackError::TensorShape {
                path: self.path().to_path_buf(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found: tensor.shape.clone(),
            }));
        }
        let storage = self.bytes.with(&tensor.bytes, |bytes| {
            // candle takes the bytes as blocks where they lie, and panics if they lie amiss.
            if !bytes.as_ptr().addr().is_multiple_of(8) && !bytes.is_empty() {
                return Err(candle_core::Error::msg("the system gave memory that is not aligned"));
            }
            QStorage::from_data(Cow::Borrowed(bytes), device, tensor.dtype)
        });
        QTensor::new(storage.map_err(candle_core::Error::wrap)??, shape)
    }
}

/// The one GGUF file in a folder; `None` where there is none.
///
/// # Errors
/// If there are several, or the folder cannot be listed.
pub fn only_file_in(folder: &Path) -> Result<Option<PathBuf>, PackError> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).map_err(PackError::io(folder, "listed"))? {
        let path = item.map_err(PackError::io(folder, "listed"))?.path();
        if is_named_so(&path) && path.is_file() {
            found.push(path);
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        several => {
            Err(PackError::config(folder, format!("it holds {} GGUF files; name the one to use", several.len())))
        }
    }
}

/// Whether the name says that it is a GGUF file.
#[must_use]
pub fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

/// Reads on from where it is, and knows how much is left.
struct Cursor<'a, R> {
    path: &'a Path,
    from: R,
    at: u64,
    length: u64,
}

impl<R: Read> Cursor<'_, R> {
    fn damaged(&self, detail: impl Into<String>) -> PackError {
        PackError::damaged(self.path, detail)
    }

    /// Refuses a claim of `count` things of at least `each` bytes that cannot be true.
    fn expect(&self, count: u64, each: u64) -> Result<(), PackError> {
        let need = count.saturating_mul(each).saturating_add(self.at);
        if need > self.length {
            return Err(PackError::Truncated { path: self.path.to_path_buf(), have: self.length, need });
        }
        if need > MAX_HEADER {
            return Err(self.damaged(format!("its header claims {need} bytes, more than any model needs")));
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        self.expect(N as u64, 1)?;
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(PackError::io(self.path, "read"))?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, PackError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, PackError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// A text behind its length. Bytes that are no UTF-8 (tokens of a few old files) become replacement characters.
    fn text(&mut self) -> Result<String, PackError> {
        let length = self.u64()?;
        self.expect(length, 1)?;
        // At most `MAX_HEADER`, and at most what the file holds.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.from.read_exact(&mut bytes).map_err(PackError::io(self.path, "read"))?;
        self.at += length;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// A name of a setting or tensor, which must be UTF-8 and short.
    fn name(&mut self, of: &str) -> Result<String, PackError> {
        let name = self.text()?;
        if name.is_empty() || name.len() > 1024 || name.contains([char::REPLACEMENT_CHARACTER, '\0']) {
            return Err(self.damaged(format!("the name of a {of} is empty, too long or no text")));
        }
        Ok(name)
    }

    /// A whole number or one with a fraction, of the type `kind`.
    fn number(&mut self, kind: u32) -> Result<Setting, PackError> {
        Ok(match kind {
            0 => Setting::Whole(u8::from_le_bytes(self.bytes()?).into()),
            1 => Setting::Whole(i8::from_le_bytes(self.bytes()?).into()),
            2 => Setting::Whole(u16::from_le_bytes(self.bytes()?).into()),
            3 => Setting::Whole(i16::from_le_bytes(self.bytes()?).into()),
            4 => Setting::Whole(self.u32()?.into()),
            5 => Setting::Whole(i32::from_le_bytes(self.bytes()?).into()),
            10 => Setting::Whole(self.u64()?.into()),
            11 => Setting::Whole(i64::from_le_bytes(self.bytes()?).into()),
            6 => Setting::Real(f32::from_le_bytes(self.bytes()?).into()),
            12 => Setting::Real(f64::from_le_bytes(self.bytes()?)),
            7 => match u8::from_le_bytes(self.bytes()?) {
                0 => Setting::Flag(false),
                1 => Setting::Flag(true),
                other => return Err(self.damaged(format!("a yes-or-no setting is {other}"))),
            },
            other => return Err(self.damaged(format!("a setting has the unknown type {other}"))),
        })
    }

    fn setting(&mut self) -> Result<Setting, PackError> {
        match self.u32()? {
            8 => self.text().map(Setting::Text),
            9 => self.list(),
            kind => self.number(kind),
        }
    }

    fn list(&mut self) -> Result<Setting, PackError> {
        let kind = self.u32()?;
        let count = self.u64()?;
        let each = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.damaged("a setting is a list of lists, which no model has")),
            other => return Err(self.damaged(format!("a setting is a list of the unknown type {other}"))),
        };
        self.expect(count, each)?;
        match kind {
            8 => (0..count).map(|_| self.text()).collect::<Result<_, _>>().map(Setting::Texts),
            6 | 12 => {
                let mut list = Vec::new();
                for _ in 0..count {
                    if let Setting::Real(number) = self.number(kind)? {
                        list.push(number);
                    }
                }
                Ok(Setting::Reals(list))
            }
            _ => {
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(match self.number(kind)? {
                        // A number beyond 63 bits is no count, no token and no type; it stays beyond all bounds.
                        Setting::Whole(number) => i64::try_from(number).unwrap_or(i64::MAX),
                        Setting::Flag(flag) => flag.into(),
                        _ => 0,
                    });
                }
                Ok(Setting::Wholes(list))
            }
        }
    }
}

/// A tensor as the header writes it.
struct Claim {
    name: String,
    dtype: GgmlDType,
    shape: Vec<usize>,
    offset: u64,
    size: u64,
}

/// Reads and checks a header; `length` is that of the whole file.
fn read_header(path: &Path, from: impl Read, length: u64) -> Result<Header, PackError> {
    let mut cursor = Cursor { path, from, at: 0, length };
    if cursor.bytes()? != *b"GGUF" {
        return Err(cursor.damaged("it does not begin as a GGUF file does"));
    }
    match cursor.u32()? {
        2 | 3 => {}
        1 => return Err(cursor.damaged("it is of version 1 of the format, which is not read any more")),
        swapped if swapped.swap_bytes() <= 3 => {
            return Err(cursor.damaged("it was made for machines with the other order of bytes"));
        }
        other => return Err(cursor.damaged(format!("it is of version {other} of the format (known are 2 and 3)"))),
    }
    let tensors = cursor.u64()?;
    let settings = cursor.u64()?;
    // The least that a tensor and a setting take.
    cursor.expect(tensors.saturating_mul(24).saturating_add(settings.saturating_mul(13)), 1)?;
    let mut found = BTreeMap::new();
    for _ in 0..settings {
        let name = cursor.name("setting")?;
        let value = cursor.setting()?;
        if found.insert(name.clone(), value).is_some() {
            return Err(cursor.damaged(format!("it has the setting {name} twice")));
        }
    }
    let alignment = match found.get("general.alignment") {
        None => USUAL_ALIGNMENT,
        Some(Setting::Whole(value)) if (8..=1 << 20).contains(value) && value.count_ones() == 1 => *value as u64,
        Some(other) => return Err(cursor.damaged(format!("its data cannot be aligned to {other:?}"))),
    };
    let mut claims = Vec::new();
    for _ in 0..tensors {
        claims.push(claim(&mut cursor, alignment)?);
    }
    let start = cursor.at.next_multiple_of(alignment);
    Ok(Header { settings: found, tensors: place(path, claims, start, length)? })
}

/// One tensor of the list.
fn claim(cursor: &mut Cursor<'_, impl Read>, alignment: u64) -> Result<Claim, PackError> {
    let name = cursor.name("tensor")?;
    let sides = cursor.u32()?;
    if !(1..=MAX_SIDES).contains(&sides) {
        return Err(cursor.damaged(format!("the tensor {name} has {sides} sides")));
    }
    let mut shape = Vec::new();
    for _ in 0..sides {
        shape.push(cursor.u64()?);
    }
    let number = cursor.u32()?;
    let dtype = dtype(number).map_err(|known| {
        let kind = known.map_or_else(|| format!("the unknown type {number}"), |name| format!("the type {name}"));
        PackError::OtherModel {
            path: cursor.path.to_path_buf(),
            detail: format!("its tensor {name} has {kind}; take a file of Q4_K_M, Q5_K_M, Q6_K, Q8_0, F16 or BF16"),
        }
    })?;
    let offset = cursor.u64()?;
    if !offset.is_multiple_of(alignment) {
        return Err(cursor.damaged(format!("the data of {name} is not aligned to {alignment} bytes")));
    }
    let (block, width) = (dtype.block_size() as u64, dtype.type_size() as u64);
    let elements = shape.iter().try_fold(1u64, |product, side| product.checked_mul(*side));
    let size = elements.and_then(|elements| (elements / block).checked_mul(width));
    let sides = shape.iter().rev().map(|side| usize::try_from(*side).ok()).collect::<Option<Vec<_>>>();
    let (Some(size), Some(sides)) = (size.filter(|size| *size > 0), sides) else {
        return Err(cursor.damaged(format!("the shape {shape:?} of {name} is empty or beyond all bounds")));
    };
    if !shape[0].is_multiple_of(block) {
        return Err(cursor.damaged(format!("rows of {} numbers of {name} are no whole blocks of {block}", shape[0])));
    }
    Ok(Claim { name, dtype, shape: sides, offset, size })
}

/// Tensors where they stand, none outside the file, none in another's place, none twice.
fn place(
    path: &Path,
    mut claims: Vec<Claim>,
    start: u64,
    length: u64,
) -> Result<BTreeMap<String, GgufTensor>, PackError> {
    claims.sort_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
    let mut names = BTreeSet::new();
    let mut end = 0;
    for claim in &claims {
        if !names.insert(claim.name.as_str()) {
            return Err(PackError::damaged(path, format!("it lists the tensor {} twice", claim.name)));
        }
        if claim.offset < end {
            return Err(PackError::damaged(path, format!("the data of {} overlaps another tensor", claim.name)));
        }
        end = claim.offset.saturating_add(claim.size);
        let need = end.saturating_add(start);
        if need > length {
            return Err(PackError::Truncated { path: path.to_path_buf(), have: length, need });
        }
    }
    let placed = claims.into_iter().map(|claim| {
        let first = start + claim.offset;
        (claim.name, GgufTensor { dtype: claim.dtype, shape: claim.shape, bytes: first..first + claim.size })
    });
    Ok(placed.collect())
}

/// The types of ggml by number: those that can be computed with, and the names of others.
fn dtype(number: u32) -> Result<GgmlDType, Option<&'static str>> {
    Ok(match number {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        9 => return Err(Some("Q8_1")),
        15 => return Err(Some("Q8_K")),
        16 => return Err(Some("IQ2_XXS")),
        17 => return Err(Some("IQ2_XS")),
        18 => return Err(Some("IQ3_XXS")),
        19 => return Err(Some("IQ1_S")),
        20 => return Err(Some("IQ4_NL")),
        21 => return Err(Some("IQ3_S")),
        22 => return Err(Some("IQ2_S")),
        23 => return Err(Some("IQ4_XS")),
        24..=27 => return Err(Some("of whole numbers")),
        28 => return Err(Some("F64")),
        29 => return Err(Some("IQ1_M")),
        34 => return Err(Some("TQ1_0")),
        35 => return Err(Some("TQ2_0")),
        39 => return Err(Some("MXFP4")),
        _ => return Err(None),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use candle_core::Tensor;
    use candle_core::quantized::gguf_file::{Value, write};

    use super::*;

    /// The bytes of a file, written piece by piece, so that it can lie.
    #[derive(Clone, Default)]
    struct Raw(Vec<u8>);

    impl Raw {
        fn head(version: u32, tensors: u64, settings: u64) -> Self {
            Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(settings)
        }

        fn u32(mut self, value: u32) -> Self {
            self.0.extend(value.to_le_bytes());
            self
        }

        fn u64(mut self, value: u64) -> Self {
            self.0.extend(value.to_le_bytes());
            self
        }

        fn text(mut self, text: &[u8]) -> Self {
            self = self.u64(text.len() as u64);
            self.0.extend(text);
            self
        }

        fn tensor(self, name: &str, sides: &[u64], dtype: u32, offset: u64) -> Self {
            let raw = self.text(name.as_bytes()).u32(sides.len() as u32);
            sides.iter().fold(raw, |raw, side| raw.u64(*side)).u32(dtype).u64(offset)
        }

        /// Zeros up to the alignment and `data` more.
        fn data(mut self, data: usize) -> Self {
            self.0.resize(self.0.len().next_multiple_of(32) + data, 0);
            self
        }
    }

    fn open(raw: &[u8]) -> Result<GgufFile, PackError> {
        let mut file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        file.write_all(raw).unwrap();
        GgufFile::open(file.path())
    }

    fn fault(raw: &Raw) -> String {
        let text = open(&raw.0).unwrap_err().to_string();
        assert!(!text.contains('\n') && text.len() < 500, "{text}");
        text
    }

    /// A small honest file with every kind of setting.
    fn honest() -> Vec<u8> {
        let values = [
            ("a.byte", Value::U8(7)),
            ("a.negative", Value::I32(-7)),
            ("a.large", Value::U64(u64::MAX)),
            ("a.real", Value::F32(0.5)),
            ("a.flag", Value::Bool(true)),
            ("a.text", Value::String("snow ❄".to_owned())),
            ("a.texts", Value::Array(vec![Value::String("one".to_owned()), Value::String(String::new())])),
            ("a.reals", Value::Array(vec![Value::F32(-1.5)])),
            ("a.wholes", Value::Array(vec![Value::I32(3), Value::I32(-3)])),
            ("a.empty", Value::Array(Vec::new())),
        ];
        let plain = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let blocks = Tensor::ones((4, 64), candle_core::DType::F32, &Device::Cpu).unwrap();
        let plain = QTensor::quantize(&plain, GgmlDType::F32).unwrap();
        let blocks = QTensor::quantize(&blocks, GgmlDType::Q8_0).unwrap();
        let mut bytes = std::io::Cursor::new(Vec::new());
        let settings = values.iter().map(|(key, value)| (*key, value)).collect::<Vec<_>>();
        write(&mut bytes, &settings, &[("plain", &plain), ("blocks", &blocks)]).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn an_honest_file_is_read_with_settings_and_tensors() {
        let file = open(&honest()).unwrap();
        assert_eq!(
            (file.whole("a.byte"), file.whole("a.negative"), file.real("a.negative")),
            (Some(7), None, Some(-7.))
        );
        assert_eq!(file.setting("a.large"), Some(&Setting::Whole(u64::MAX.into())));
        assert_eq!((file.real("a.real"), file.flag("a.flag")), (Some(0.5), Some(true)));
        assert_eq!(file.text("a.text"), Some("snow ❄"));
        assert_eq!(file.setting("a.texts"), Some(&Setting::Texts(vec!["one".to_owned(), String::new()])));
        assert_eq!(file.setting("a.reals"), Some(&Setting::Reals(vec![-1.5])));
        assert_eq!(file.setting("a.wholes"), Some(&Setting::Wholes(vec![3, -3])));
        assert_eq!(file.tensors().map(|(name, _)| name).collect::<Vec<_>>(), ["blocks", "plain"]);
        let plain = file.read("plain", &[2, 3], &Device::Cpu).unwrap().dequantize(&Device::Cpu).unwrap();
        assert_eq!(plain.to_vec2::<f32>().unwrap(), [[0., 1., 2.], [3., 4., 5.]]);
        assert_eq!(file.tensor("blocks").unwrap().dtype, GgmlDType::Q8_0);
        assert!(file.read("plain", &[3, 2], &Device::Cpu).unwrap_err().to_string().contains("has the shape [2, 3]"));
        assert!(file.read("absent", &[1], &Device::Cpu).unwrap_err().to_string().contains("lacks the tensor absent"));
    }

    #[test]
    fn a_file_cut_short_anywhere_is_an_error_and_never_a_panic() {
        let whole = honest();
        for length in 0..whole.len() - 31 {
            let error = open(&whole[..length]).unwrap_err();
            let text = error.to_string();
            assert!(!text.contains('\n'), "{length}: {text}");
            assert!(matches!(error, PackError::Truncated { .. } | PackError::NotWeights { .. }), "{length}: {text}");
        }
    }

    #[test]
    fn a_file_with_any_byte_changed_is_read_or_refused_but_never_a_panic() {
        let whole = honest();
        for place in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff, whole[place] ^ 1] {
                let mut bytes = whole.clone();
                bytes[place] = value;
                let Ok(file) = open(&bytes) else { continue };
                for (name, tensor) in file.tensors() {
                    file.read(name, &tensor.shape, &Device::Cpu).unwrap();
                }
            }
        }
    }

    #[test]
    fn every_lie_of_the_header_is_named() {
        let one =
            |sides: &[u64], dtype: u32, offset: u64| Raw::head(3, 1, 0).tensor("w", sides, dtype, offset).data(64);
        assert!(open(&one(&[4], 0, 0).0).is_ok());
        assert!(fault(&Raw::head(1, 0, 0).data(0)).contains("version 1"));
        assert!(fault(&Raw::head(9, 0, 0).data(0)).contains("version 9"));
        assert!(fault(&Raw::head(3 << 24, 0, 0).data(0)).contains("order of bytes"));
        assert!(fault(&Raw::head(3, u64::MAX, 0).data(0)).contains("cut short"));
        assert!(fault(&Raw::head(3, 0, u64::MAX).data(0)).contains("cut short"));
        assert!(fault(&one(&[], 0, 0)).contains("0 sides"));
        assert!(fault(&one(&[1; 5], 0, 0)).contains("5 sides"));
        assert!(fault(&Raw::head(3, 1, 0).text(b"w").u32(u32::MAX).u64(1).u64(1).data(9)).contains("sides"));
        assert!(fault(&one(&[0], 0, 0)).contains("empty"));
        assert!(fault(&one(&[u64::MAX, u64::MAX], 0, 0)).contains("beyond all bounds"));
        assert!(fault(&one(&[1 << 62, 4], 0, 0)).contains("beyond all bounds"));
        assert!(
            fault(&one(&[31], 8, 0)).contains("no whole blocks of 32") || fault(&one(&[31], 8, 0)).contains("empty")
        );
        assert!(fault(&one(&[33, 2], 8, 0)).contains("no whole blocks of 32"));
        assert!(fault(&one(&[32], 23, 0)).contains("IQ4_XS"));
        assert!(fault(&one(&[4], 77, 0)).contains("unknown type 77"));
        assert!(fault(&one(&[4], 0, 8)).contains("not aligned"));
        assert!(fault(&one(&[4], 0, 64)).contains("cut short"));
        assert!(fault(&one(&[4], 0, u64::MAX - 31)).contains("cut short"));
        assert!(fault(&one(&[17], 0, 0)).contains("cut short"));
        let two = |other: &str, offset: u64| {
            Raw::head(3, 2, 0).tensor("w", &[12], 0, 0).tensor(other, &[4], 0, offset).data(128)
        };
        assert!(open(&two("v", 64).0).is_ok());
        assert!(fault(&two("v", 32)).contains("overlaps"));
        assert!(fault(&two("w", 64)).contains("twice"));
        assert!(fault(&Raw::head(3, 1, 0).tensor("", &[4], 0, 0).data(64)).contains("name of a tensor"));
        assert!(fault(&Raw::head(3, 1, 0).tensor(&"x".repeat(2000), &[4], 0, 0).data(64)).contains("too long"));
    }

    #[test]
    fn every_lie_of_a_setting_is_named() {
        let one = |kind: u32| Raw::head(3, 0, 1).text(b"k").u32(kind);
        assert!(open(&one(4).u32(5).data(0).0).is_ok());
        assert!(fault(&one(13).data(64)).contains("unknown type 13"));
        assert!(fault(&one(7).u32(2).data(9)).contains("yes-or-no"));
        assert!(fault(&one(8).u64(u64::MAX).data(64)).contains("cut short"));
        assert!(fault(&one(9).u32(8).u64(u64::MAX / 4).data(64)).contains("cut short"));
        assert!(fault(&one(9).u32(0).u64(65).data(0)).contains("cut short"));
        assert!(fault(&one(9).u32(9).u64(1).data(64)).contains("list of lists"));
        assert!(fault(&one(9).u32(99).u64(1).data(64)).contains("list of the unknown type 99"));
        assert!(fault(&Raw::head(3, 0, 1).text(b"\xff").u32(4).u32(1).data(0)).contains("name of a setting"));
        let twice = Raw::head(3, 0, 2).text(b"k").u32(4).u32(1).text(b"k").u32(4).u32(2);
        assert!(fault(&twice.data(0)).contains("setting k twice"));
        for alignment in [0, 3, 1 << 30] {
            let odd = Raw::head(3, 0, 1).text(b"general.alignment").u32(4).u32(alignment);
            assert!(fault(&odd.data(64)).contains("aligned"));
        }
    }

    #[test]
    fn a_header_that_is_too_large_is_refused_before_it_is_read() {
        let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        let head = Raw::head(3, 0, 1).text(b"k").u32(9).u32(4).u64((MAX_HEADER / 4) + 1);
        (&file).write_all(&head.0).unwrap();
        file.as_file().set_len(MAX_HEADER * 2).unwrap();
        assert!(GgufFile::open(file.path()).unwrap_err().to_string().contains("more than any model needs"));
    }

    #[test]
    fn other_files_and_folders_with_several_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("page.gguf"), b"<!DOCTYPE html><html>").unwrap();
        assert!(GgufFile::open(&path("page.gguf")).unwrap_err().to_string().contains("web page"));
        assert!(GgufFile::open(&path("absent.gguf")).unwrap_err().to_string().contains("is missing"));
        assert_eq!(only_file_in(folder.path()).unwrap(), Some(path("page.gguf")));
        std::fs::write(path("other.GGUF"), b"x").unwrap();
        assert!(only_file_in(folder.path()).unwrap_err().to_string().contains("2 GGUF files"));
    }

    #[test]
    fn a_file_may_be_read_instead_of_mapped() {
        let mut file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        file.write_all(&honest()).unwrap();
        let mapped = GgufFile::open(file.path()).unwrap();
        let read = GgufFile::open_with(file.path(), &WeightOptions { read_instead_of_map: true }).unwrap();
        assert!(!read.bytes.mapped());
        for (name, tensor) in mapped.tensors() {
            let numbers = |of: &GgufFile| {
                let tensor = of.read(name, &tensor.shape, &Device::Cpu).unwrap().dequantize(&Device::Cpu).unwrap();
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            assert_eq!(numbers(&mapped), numbers(&read), "{name}");
        }
        assert!(mapped.tensors().count() > 0);
    }
}
