//! What a file is, by its first bytes. File names lie: a download that failed leaves an HTML page or a pointer called
//! `model.safetensors`, so nothing here looks at the name.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::PackError;

/// What the first bytes of a file say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A safetensors file (a plausible header length followed by a JSON object).
    Safetensors,
    /// A zip archive, the container of PyTorch's current format.
    Zip,
    /// A bare Python pickle: PyTorch's format before version 1.6, or any other pickle.
    Pickle,
    /// A tar archive: PyTorch's oldest format.
    Tar,
    /// A GGUF file of llama.cpp.
    Gguf,
    /// A Git LFS pointer: the few lines that stand for a large file which was never fetched.
    LfsPointer,
    /// A web page, most often a login or error page saved under the model's name.
    Html,
    /// Some other text.
    Text,
    /// Nothing at all.
    Empty,
    /// None of these.
    Unknown,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "a safetensors file",
            Self::Zip => "a zip archive",
            Self::Pickle => "a bare Python pickle",
            Self::Tar => "a tar archive",
            Self::Gguf => "a GGUF file",
            Self::LfsPointer => "a Git LFS pointer, so the weights themselves were never fetched; run `git lfs pull` there or download the file again",
            Self::Html => "a web page, most likely an error or login page saved by a download that failed; download the file again",
            Self::Text => "a text file",
            Self::Empty => "empty",
            Self::Unknown => "in a format that is not known here",
        })
    }
}

/// Judges by `start`, the first bytes of a file (512 are enough; fewer if the file is shorter).
pub fn of_bytes(start: &[u8]) -> Content {
    if start.is_empty() {
        return Content::Empty;
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Content::Zip;
    }
    if start.starts_with(b"GGUF") {
        return Content::Gguf;
    }
    if start.starts_with(b"version https://git-lfs") {
        return Content::LfsPointer;
    }
    if start.get(257..262) == Some(b"ustar") {
        return Content::Tar;
    }
    // A header length of at most 100 MB leaves the upper four bytes zero.
    if start.get(4..8) == Some(&[0; 4]) && start.get(8) == Some(&b'{') {
        return Content::Safetensors;
    }
    if let [0x80, 1..=5, ..] = start {
        return Content::Pickle;
    }
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(start.get(..error.valid_up_to()).unwrap_or_default()).ok()
        }
        Err(_) => None,
    };
    let Some(text) = text.filter(|text| !text.contains('\0')) else {
        return Content::Unknown;
    };
    let lower = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if ["<!doctype", "<html", "<head", "<?xml"].iter().any(|tag| lower.starts_with(tag)) {
        Content::Html
    } else {
        Content::Text
    }
}

/// Judges the file at `path`.
///
/// # Errors
/// If the file cannot be opened or read.
pub fn of_file(path: &Path) -> Result<Content, PackError> {
    let file = File::open(path).map_err(PackError::io(path, "opened"))?;
    let mut start = Vec::with_capacity(512);
    file.take(512).read_to_end(&mut start).map_err(PackError::io(path, "read"))?;
    Ok(of_bytes(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_kind_by_content() {
        let mut tar = vec![0u8; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let kinds: [(&[u8], Content); 12] = [
            (b"", Content::Empty),
            (b"PK\x03\x04rest", Content::Zip),
            (b"GGUF\x03\0\0\0", Content::Gguf),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", Content::LfsPointer),
            (b"  \n<!DOCTYPE html><html>", Content::Html),
            (b"<HTML><body>Sign in", Content::Html),
            (b"{\"error\":\"not found\"}", Content::Text),
            (b"\x10\0\0\0\0\0\0\0{\"a\":1}       ", Content::Safetensors),
            (b"\x80\x02}q\x00.", Content::Pickle),
            (&tar, Content::Tar),
            (b"\xff\xfe\x00\x01", Content::Unknown),
            ("page with é".as_bytes(), Content::Text),
        ];
        for (bytes, kind) in kinds {
            assert_eq!(of_bytes(bytes), kind, "{:?}", &bytes[..bytes.len().min(20)]);
        }
        // A multi-byte character cut at the end of the sniffed piece is still text.
        assert_eq!(of_bytes(&"é".as_bytes()[..1]), Content::Text);
    }
}
