//! The header of a safetensors file, checked against the file before anything is mapped or allocated.
//!
//! Format: 8 bytes little-endian header length, the header (a JSON object: tensor name → dtype, shape, byte offsets
//! relative to the end of the header; `__metadata__` is free text), then the data. The rules are those of the format's
//! security audit: header of at most 100 MB, no name twice, offsets contiguous without overlap or hole, dtype, shape and
//! length in agreement, data ending exactly where the file ends.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::PackError;
use super::sniff::{self, Content};

/// The largest header that is read, in bytes.
pub const MAX_HEADER: u64 = 100_000_000;

/// One tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name as stored.
    pub name: String,
    /// How its numbers are stored.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its bytes stand, counted from the beginning of the file.
    pub bytes: Range<u64>,
}

/// As the header writes a tensor.
#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header's object in file order, duplicates still in it (a JSON map would drop them unseen).
struct Listing(Vec<(String, Info)>);

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Listing;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listing, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<de::IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value::<Info>()?));
                    }
                }
                Ok(Listing(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Reads and checks the header of the safetensors file at `path`, open as `file`. Entries come in the order of their data.
///
/// # Errors
/// [`PackError::NotWeights`] if it is another kind of file, [`PackError::Truncated`] if it ends early, and
/// [`PackError::Damaged`] if the header contradicts itself or the file.
pub fn read(path: &Path, file: &mut File) -> Result<Vec<Entry>, PackError> {
    let length = file.metadata().map_err(PackError::io(path, "read"))?.len();
    let mut start = Vec::with_capacity(512);
    file.by_ref().take(512).read_to_end(&mut start).map_err(PackError::io(path, "read"))?;
    match sniff::of_bytes(&start) {
        Content::Safetensors => {}
        Content::Unknown if announced_length(&start) <= MAX_HEADER && start.len() > 8 => {
            return Err(PackError::damaged(path, "its header is not a JSON object"));
        }
        Content::Unknown if start.get(8) == Some(&b'{') => {
            return Err(too_long(path, announced_length(&start)));
        }
        Content::Unknown | Content::Text if start.len() <= 8 => {
            return Err(PackError::Truncated { path: path.to_path_buf(), have: length, need: 10 });
        }
        found => {
            return Err(PackError::NotWeights { path: path.to_path_buf(), found });
        }
    }
    let announced = announced_length(&start);
    if announced > MAX_HEADER {
        return Err(too_long(path, announced));
    }
    if announced > length.saturating_sub(8) {
        return Err(PackError::Truncated { path: path.to_path_buf(), have: length, need: announced + 8 });
    }
    let mut header = start.get(8..).unwrap_or_default().to_vec();
    // `announced` is at most MAX_HEADER and at most what the file holds.
    let wanted = usize::try_from(announced).unwrap_or(usize::MAX);
    if header.len() < wanted {
        let rest = announced - header.len() as u64;
        file.by_ref().take(rest).read_to_end(&mut header).map_err(PackError::io(path, "read"))?;
    }
    header.truncate(wanted);
    parse(path, &header, length)
}

/// The header length in the first 8 bytes.
fn announced_length(start: &[u8]) -> u64 {
    start.first_chunk::<8>().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

/// The error for a header length beyond the format's limit.
fn too_long(path: &Path, announced: u64) -> PackError {
    PackError::damaged(
        path,
        format!("its header claims {announced} bytes, more than the format's limit of {MAX_HEADER}"),
    )
}

/// Checks a header (the JSON text alone) against a file of `length` bytes. Entries come in the order of their data.
///
/// # Errors
/// [`PackError::Truncated`] if the data would end after the file, [`PackError::Damaged`] for every contradiction.
pub fn parse(path: &Path, header: &[u8], length: u64) -> Result<Vec<Entry>, PackError> {
    let text = std::str::from_utf8(header).map_err(|_| PackError::damaged(path, "its header is not valid UTF-8"))?;
    let Listing(listing) = serde_json::from_str(text)
        .map_err(|error| PackError::damaged(path, format!("its header is not what the format prescribes ({error})")))?;
    let data_start = 8 + header.len() as u64;
    let mut names = HashSet::with_capacity(listing.len());
    for (name, _) in &listing {
        if !names.insert(name.as_str()) {
            return Err(PackError::damaged(path, format!("it lists the tensor {name} twice")));
        }
    }
    let mut entries = Vec::with_capacity(listing.len());
    for (name, info) in listing {
        entries.push(check_entry(path, name, &info, data_start)?);
    }
    entries.sort_by_key(|entry| (entry.bytes.start, entry.bytes.end));
    let mut end = data_start;
    for entry in &entries {
        if entry.bytes.start != end {
            let what = if entry.bytes.start < end { "overlaps another tensor" } else { "leaves a gap before it" };
            return Err(PackError::damaged(path, format!("the data of {} {what}", entry.name)));
        }
        end = entry.bytes.end;
    }
    if end > length {
        return Err(PackError::Truncated { path: path.to_path_buf(), have: length, need: end });
    }
    if end < length {
        return Err(PackError::damaged(path, format!("{} bytes follow the last tensor", length - end)));
    }
    Ok(entries)
}

/// One tensor's dtype, shape and offsets held against each other.
fn check_entry(path: &Path, name: String, info: &Info, data_start: u64) -> Result<Entry, PackError> {
    let (begin, end) = info.data_offsets;
    let shape: Option<Vec<usize>> = info.shape.iter().map(|&side| usize::try_from(side).ok()).collect();
    let bits = info.shape.iter().try_fold(info.dtype.bitsize() as u64, |bits, &side| bits.checked_mul(side));
    let (Some(shape), Some(bits)) = (shape, bits) else {
        return Err(PackError::damaged(path, format!("the shape of {name} is beyond all bounds")));
    };
    let agrees = bits.is_multiple_of(8) && end.checked_sub(begin) == Some(bits / 8);
    let bytes = begin.checked_add(data_start).zip(end.checked_add(data_start));
    match bytes {
        Some((first, last)) if agrees => Ok(Entry { name, dtype: info.dtype, shape, bytes: first..last }),
        _ => Err(PackError::damaged(
            path,
            format!(
                "the tensor {name} of type {:?} and shape {shape:?} cannot stand in bytes {begin} to {end}",
                info.dtype
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_files::{Stored, safetensors, with_header};
    use super::*;

    fn check(bytes: &[u8]) -> Result<Vec<Entry>, PackError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        read(&path, &mut File::open(&path).unwrap())
    }

    fn lying(header: &str, data: usize) -> String {
        check(&with_header(header, &vec![0; data])).unwrap_err().to_string()
    }

    #[test]
    fn an_honest_header_is_read_in_the_order_of_its_data() {
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,2],"data_offsets":[4,12]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
        let entries = check(&with_header(header, &[0; 12])).unwrap();
        let start = 8 + header.len() as u64;
        assert_eq!(entries[0].name, "a");
        assert_eq!(entries[0].bytes, start..start + 4);
        assert_eq!(entries[1].shape, [2, 2]);
        assert_eq!(entries[1].bytes, start + 4..start + 12);
        // Tensors without elements take no room; a long header (past the first piece read) is whole.
        let many: Vec<Stored> = (0..200).map(|i| Stored::f32(&format!("layer.{i}.weight"), &[0, 3], &[])).collect();
        assert_eq!(check(&safetensors(&many)).unwrap().len(), 200);
    }

    #[test]
    fn every_lie_is_named() {
        let one = |shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(lying(&one("[3]", "[0,8]"), 8).contains("cannot stand in bytes 0 to 8"));
        assert!(lying(&one("[2]", "[8,0]"), 8).contains("cannot stand"));
        assert!(lying(&one("[2]", "[4,12]"), 12).contains("gap"));
        assert!(lying(&one("[2]", "[0,8]"), 9).contains("1 bytes follow"));
        assert!(lying(&one("[2]", "[0,8]"), 7).contains("cut short"));
        assert!(lying(&one("[18446744073709551615,18446744073709551615]", "[0,8]"), 8).contains("beyond all bounds"));
        assert!(lying(&one("[2]", "[18446744073709551608,18446744073709551615]"), 8).contains("cannot stand"));
        assert!(lying(&one("[-1]", "[0,8]"), 8).contains("not what the format prescribes"));
        assert!(
            lying(r#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8)
                .contains("not what the format prescribes")
        );
        assert!(lying(r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1).contains("cannot stand"));
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
        assert!(lying(twice, 2).contains("lists the tensor a twice"));
        let overlap = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
        assert!(lying(overlap, 3).contains("overlaps"));
        assert!(lying("{not json", 0).contains("not what the format prescribes"));
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert!(lying(&deep, 0).contains("not what the format prescribes"));
    }

    #[test]
    fn a_header_length_beyond_the_file_or_the_limit_is_refused_before_it_is_read() {
        let mut file = with_header("{}", &[]);
        file[..8].copy_from_slice(&3u64.to_le_bytes());
        assert!(matches!(check(&file), Err(PackError::Truncated { need: 11, have: 10, .. })));
        file[..8].copy_from_slice(&(MAX_HEADER + 1).to_le_bytes());
        assert!(check(&file).unwrap_err().to_string().contains("limit of 100000000"));
        file[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(check(&file).unwrap_err().to_string().contains("limit of 100000000"));
    }

    #[test]
    fn mislabelled_files_are_recognised() {
        let found = |bytes: &[u8]| match check(bytes) {
            Err(PackError::NotWeights { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            found(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3438167540\n"),
            Content::LfsPointer
        );
        assert_eq!(found(b"<!DOCTYPE html><html><body>Sign in</body></html>"), Content::Html);
        assert_eq!(found(b"PK\x03\x04...................."), Content::Zip);
        assert_eq!(found(b""), Content::Empty);
        assert_eq!(found(b"Access to this model is restricted."), Content::Text);
    }
}
