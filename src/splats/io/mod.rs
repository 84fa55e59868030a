//! Scenes and cameras on disk (spec/fit3d.md section 8).
//!
//! [`open`] tells a scene's format by its first bytes and reads it piece by piece; [`save`] writes it whole or not at all.
//! A file's claims are held against its length before memory is taken, and whatever is wrong with it is one sentence.

pub mod cameras;
mod compressed_ply;
mod decoder;
mod features;
mod ply;
mod ply_header;
mod splat;
mod spz;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

pub use decoder::{decoder_file, open_decoder, save_decoder};
pub use features::{save as save_features, side_file};

use super::gaussians::{Features, Gaussians, LeftOut, Parts, bytes_for};
use super::{SplatError, SplatObserver};

/// The most Gaussians a scene may have.
pub const MOST_GAUSSIANS: u64 = 1 << 30;

/// How a scene lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A PLY file with a column for every value, as 3DGS and FiT3D write it.
    Ply,
    /// A PLY file whose Gaussians are packed by chunks of 256.
    CompressedPly,
    /// 32 bytes a Gaussian without a header.
    Splat,
    /// Packed attribute by attribute and compressed.
    Spz,
    /// One of the scenes of FiT3D's `.pth` packs, which the engine opens.
    Fit3dPack,
}

impl Format {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ply => "PLY",
            Self::CompressedPly => "compressed PLY",
            Self::Splat => "splat",
            Self::Spz => "SPZ",
            Self::Fit3dPack => "FiT3D pack",
        }
    }
}

/// What reading may take and use.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Bytes of memory that are free; nothing is refused for its size if it is not known.
    pub available: Option<u64>,
    /// A file of features to put onto the scene, instead of those in or beside it.
    pub features: Option<PathBuf>,
}

/// A scene and how it was read.
#[derive(Debug)]
pub struct Opened {
    /// The scene.
    pub scene: Gaussians,
    /// How it lay on disk.
    pub format: Format,
    /// Gaussians that could not be used.
    pub left_out: LeftOut,
    /// What a person should know of it, in sentences.
    pub notes: Vec<String>,
    /// The file that its features came from, if it was another.
    pub features: Option<PathBuf>,
}

/// Reads a scene, and the features beside it if it has none of its own.
///
/// # Errors
/// [`SplatError::File`] in one sentence, [`SplatError::OutOfMemory`], or the observer's wish to stop.
pub fn open(path: &Path, options: &OpenOptions, observer: &dyn SplatObserver) -> Result<Opened, SplatError> {
    let mut source = Source::open(path, options.available)?;
    let (format, mut parts, mut notes) = match source.sniff()? {
        Format::Ply | Format::CompressedPly => ply::read(&mut source, observer)?,
        Format::Splat => (Format::Splat, splat::read(&mut source, observer)?, Vec::new()),
        Format::Spz => {
            let (parts, notes) = spz::read(&mut source, observer)?;
            (Format::Spz, parts, notes)
        }
        Format::Fit3dPack => return Err(source.fault("is a pack of scenes, which is opened by the engine")),
    };
    let beside = options.features.clone().or_else(|| {
        let beside = side_file(path);
        (parts.features.is_none() && beside.is_file()).then_some(beside)
    });
    if let Some(beside) = &beside {
        parts.features = Some(features::read(beside, parts.positions.len(), options.available)?);
    }
    let (scene, left_out) = Gaussians::sound(parts).map_err(|error| match error {
        SplatError::Parts(fault) => source.fault(format!("cannot be used: {fault}")),
        other => other,
    })?;
    if left_out.count() > 0 {
        let (kept, out) = (scene.len(), left_out.count());
        let were = if out == 1 { "Gaussian was" } else { "Gaussians were" };
        notes.push(format!("{out} {were} left out: {}; {kept} remain", left_out.describe()));
    }
    Ok(Opened { scene, format, left_out, notes, features: beside })
}

/// Writes a scene in the format that the name's ending asks for: `.ply` with everything, features among it, or `.spz`,
/// whose features go to a file beside it.
///
/// # Errors
/// [`SplatError::Request`] for another ending, [`SplatError::Io`] if the file cannot be written.
pub fn save(path: &Path, scene: &Gaussians, observer: &dyn SplatObserver) -> Result<(), SplatError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("ply") => ply::write(path, scene, observer),
        Some("spz") => {
            spz::write(path, scene, observer)?;
            match scene.features() {
                Some(features) => features::save(&side_file(path), features, scene.len()),
                None => Ok(()),
            }
        }
        _ => Err(SplatError::Request(format!(
            "{} cannot be written: scenes are written as .ply or .spz",
            path.display()
        ))),
    }
}

/// A file that is read from front to back, with its length and name.
struct Source {
    file: File,
    length: u64,
    name: String,
    ending: String,
    available: Option<u64>,
}

impl Source {
    fn open(path: &Path, available: Option<u64>) -> Result<Self, SplatError> {
        let name = path.display().to_string();
        let unreadable = |source| SplatError::Io { path: name.clone(), doing: "read", source };
        let meta = std::fs::metadata(path).map_err(unreadable)?;
        if meta.is_dir() {
            return Err(SplatError::File { path: name, fault: "is a folder, not a scene".to_owned() });
        }
        let file = File::open(path).map_err(unreadable)?;
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        Ok(Self { file, length: meta.len(), name, ending: ending.unwrap_or_default(), available })
    }

    /// What the first bytes say it is.
    fn sniff(&mut self) -> Result<Format, SplatError> {
        let mut start = [0u8; 4];
        let mut have = 0;
        while have < start.len() {
            match self.file.read(&mut start[have..]) {
                Ok(0) => break,
                Ok(more) => have += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        self.file.seek(SeekFrom::Start(0)).map_err(|error| self.io(error))?;
        let start = &start[..have];
        if start.is_empty() {
            return Err(self.fault("is empty"));
        }
        if start.starts_with(b"ply") {
            return Ok(Format::Ply);
        }
        if start == b"NGSP" || (start.starts_with(&[0x1f, 0x8b]) && self.ending != "splat") {
            return Ok(Format::Spz);
        }
        if self.ending == "splat" {
            return Ok(Format::Splat);
        }
        Err(self.fault("is no scene that can be read: it is neither a .ply, a .splat nor a .spz file"))
    }

    fn fault(&self, fault: impl Into<String>) -> SplatError {
        SplatError::File { path: self.name.clone(), fault: fault.into() }
    }

    /// What a failed read means.
    fn io(&self, error: io::Error) -> SplatError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.fault("ends too early: it is not whole"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                self.fault(format!("is damaged: its compressed data cannot be read ({error})"))
            }
            _ => SplatError::Io { path: self.name.clone(), doing: "read", source: error },
        }
    }

    /// Whether a scene of that size may be read: not more than can be counted, nor than memory holds.
    fn admit(&self, count: u64, degree: usize, features: u64) -> Result<usize, SplatError> {
        if count == 0 {
            return Err(self.fault("holds no Gaussians"));
        }
        if count > MOST_GAUSSIANS {
            return Err(
                self.fault(format!("claims {count} Gaussians, more than the {MOST_GAUSSIANS} that can be shown"))
            );
        }
        let needed = bytes_for(count, degree, features);
        if let Some(available) = self.available.filter(|available| needed > *available) {
            return Err(SplatError::OutOfMemory { what: format!("opening {}", self.name), needed, available });
        }
        Ok(count as usize)
    }

    /// The next `bytes` of the file.
    fn block(&mut self, bytes: usize) -> Result<Vec<u8>, SplatError> {
        let mut block = vec![0; bytes];
        self.file.read_exact(&mut block).map_err(|error| self.io(error))?;
        Ok(block)
    }
}

/// Features of a scene whose Gaussians are still to be read.
fn no_features(dim: usize, names: Vec<String>, model: Option<String>) -> Option<Features> {
    (dim > 0).then(|| Features { dim, values: Vec::new(), names, confidence: Vec::new(), model })
}

/// Puts the Gaussians of `more` behind those of `parts`.
fn append(parts: &mut Parts, more: Parts) {
    parts.positions.extend(more.positions);
    parts.log_scales.extend(more.log_scales);
    parts.rotations.extend(more.rotations);
    parts.opacity_logits.extend(more.opacity_logits);
    parts.sh.extend(more.sh);
    if let (Some(features), Some(more)) = (&mut parts.features, more.features) {
        features.values.extend(more.values);
        features.confidence.extend(more.confidence);
    }
}

#[cfg(test)]
mod tests;
