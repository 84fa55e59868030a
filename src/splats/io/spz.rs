//! Niantic's SPZ: attribute after attribute, a few bits each, compressed (spec/fit3d.md section 8.4).
//!
//! Versions 2 and 3 are one gzip stream, version 4 a Zstandard stream for every attribute. The axes are right, up, back,
//! and those of PLY files right, down, forward: y and z change their signs, and so do rotations and harmonics.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use ruzstd::decoding::StreamingDecoder;

use super::Source;
use super::ply::WriteError;
use crate::picture::atomic;
use crate::splats::gaussians::{Gaussians, MAX_SH_DEGREE, Parts, logit, sh_coefficients};
use crate::splats::{SplatError, SplatObserver};

const MAGIC: u32 = 0x5053_474e;
/// Gaussians that are taken apart at a time.
const BLOCK: usize = 1 << 16;
/// No gzip stream grows more than this.
const MOST_GZIP: u64 = 1032;
/// How much a colour coefficient is stretched in its byte.
const COLOUR_SCALE: f32 = 0.15;
/// Bits behind the point of positions that are written.
const FRACTION: u32 = 12;

/// What the header says.
#[derive(Clone, Copy, Debug)]
struct Header {
    version: u32,
    count: u64,
    degree: usize,
    fraction: u32,
    antialiased: bool,
    /// Number of streams and where their table begins; version 4 only.
    streams: (u64, u64),
}

impl Header {
    fn read(source: &Source, bytes: &[u8; 16]) -> Result<Self, SplatError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(0) != MAGIC {
            return Err(source.fault("is no SPZ file: it does not begin as one"));
        }
        let (version, degree) = (word(4), usize::from(bytes[12]));
        if !(2..=4).contains(&version) {
            return Err(source.fault(format!("is an SPZ file of version {version}, and only 2, 3 and 4 are known")));
        }
        if degree > 4 || bytes[13] > 23 {
            return Err(source.fault(format!(
                "has a damaged header: spherical harmonics of degree {degree}, {} bits behind the point",
                bytes[13]
            )));
        }
        Ok(Self {
            version,
            count: u64::from(word(8)),
            degree,
            fraction: u32::from(bytes[13]),
            antialiased: bytes[14] & 1 != 0,
            streams: (u64::from(bytes[15]), 0),
        })
    }

    /// Bytes of a Gaussian in each of the attributes: position, opacity, colour, scale, rotation, harmonics.
    fn widths(&self) -> [usize; 6] {
        let rotation = if self.version == 2 { 3 } else { 4 };
        [9, 1, 3, 3, rotation, 3 * (sh_coefficients(self.degree) - 1)]
    }
}

/// Reads all Gaussians, with notes.
pub(super) fn read(source: &mut Source, observer: &dyn SplatObserver) -> Result<(Parts, Vec<String>), SplatError> {
    let mut first = [0u8; 2];
    source.file.read_exact(&mut first).map_err(|error| source.io(error))?;
    source.file.seek(SeekFrom::Start(0)).map_err(|error| source.io(error))?;
    let zipped = first == [0x1f, 0x8b];
    let mut start = [0u8; 16];
    // The decoder gets a second handle, so that the source is free for its sentences.
    let file = source.file.try_clone().map_err(|error| source.io(error))?;
    let mut gzip = zipped.then(|| MultiGzDecoder::new(std::io::BufReader::with_capacity(1 << 16, file)));
    let read = match &mut gzip {
        Some(gzip) => gzip.read_exact(&mut start),
        None => source.file.read_exact(&mut start),
    };
    read.map_err(|error| source.io(error))?;
    let mut header = Header::read(source, &start)?;
    if (header.version < 4) != zipped {
        let how = if zipped { "is" } else { "is not" };
        return Err(source.fault(format!("{how} compressed as a whole, which SPZ version {} has not", header.version)));
    }
    let bytes: u64 = header.widths().iter().map(|width| *width as u64).sum();
    source.admit(header.count, header.degree.min(MAX_SH_DEGREE), 0)?;
    if zipped && header.count.saturating_mul(bytes) > source.length.saturating_mul(MOST_GZIP) {
        return Err(
            source.fault(format!("claims {} Gaussians, which its {} bytes cannot hold", header.count, source.length))
        );
    }
    let mut decoder = Decoder { header, parts: Parts::default(), observer };
    decoder.parts.sh_degree = header.degree.min(MAX_SH_DEGREE);
    decoder.parts.antialiased = header.antialiased;
    observer.stage("Reading the scene", 6);
    if let Some(gzip) = &mut gzip {
        for attribute in 0..6 {
            decoder.attribute(source, attribute, gzip)?;
        }
    } else {
        let mut rest = [0u8; 16];
        source.file.read_exact(&mut rest).map_err(|error| source.io(error))?;
        header.streams.1 = u64::from(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]));
        streams(source, &header, &mut decoder)?;
    }
    let notes = if header.degree > MAX_SH_DEGREE {
        vec![format!("its spherical harmonics go beyond degree {MAX_SH_DEGREE}; the higher ones are left out")]
    } else {
        Vec::new()
    };
    Ok((decoder.parts, notes))
}

/// Version 4: a table of compressed and plain sizes, then the streams.
fn streams(source: &mut Source, header: &Header, decoder: &mut Decoder<'_>) -> Result<(), SplatError> {
    let (count, table) = header.streams;
    let wanted = if header.degree == 0 { 5 } else { 6 };
    let data = table.saturating_add(16 * count);
    if count != wanted || table < 32 || data > source.length {
        return Err(source.fault("has a damaged table of contents"));
    }
    source.file.seek(SeekFrom::Start(table)).map_err(|error| source.io(error))?;
    let toc = source.block(16 * count as usize)?;
    let mut start = data;
    for (attribute, entry) in toc.as_chunks::<16>().0.iter().enumerate() {
        let number = |at: usize| {
            let bytes = entry[at..].first_chunk::<8>();
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let (packed, plain) = (number(0), number(8));
        let end = start.checked_add(packed).filter(|end| *end <= source.length);
        let Some(end) = end.filter(|_| Some(plain) == header.count.checked_mul(header.widths()[attribute] as u64))
        else {
            return Err(source.fault("has a table of contents that does not fit the file: it is not whole"));
        };
        source.file.seek(SeekFrom::Start(start)).map_err(|error| source.io(error))?;
        let file = source.file.try_clone().map_err(|error| source.io(error))?;
        let stream = std::io::BufReader::with_capacity(1 << 16, file.take(packed));
        let damaged = |error: &dyn std::fmt::Display| {
            source.fault(format!("is damaged: its compressed data cannot be read ({error})"))
        };
        let mut stream = StreamingDecoder::new(stream).map_err(|error| damaged(&error))?;
        decoder.attribute(source, attribute, &mut stream)?;
        start = end;
    }
    if header.degree == 0 {
        decoder.observer.step(6);
    }
    Ok(())
}

/// Takes attributes apart as their bytes come. Memory grows with what was really read, not with what was claimed.
struct Decoder<'a> {
    header: Header,
    parts: Parts,
    observer: &'a dyn SplatObserver,
}

impl Decoder<'_> {
    fn attribute(&mut self, source: &Source, attribute: usize, from: &mut impl Read) -> Result<(), SplatError> {
        let width = self.header.widths()[attribute];
        let count = self.header.count as usize;
        let mut first = 0;
        while first < count && width > 0 {
            self.observer.checkpoint()?;
            let now = BLOCK.min(count - first);
            let mut block = vec![0; now * width];
            from.read_exact(&mut block).map_err(|error| source.io(error))?;
            self.block(attribute, width, &block, first);
            first += now;
        }
        self.observer.step(attribute + 1);
        Ok(())
    }

    fn block(&mut self, attribute: usize, width: usize, block: &[u8], first: usize) {
        let parts = &mut self.parts;
        let rows = block.chunks_exact(width);
        match attribute {
            0 => {
                let unit = 1.0 / (1u32 << self.header.fraction) as f32;
                parts.positions.extend(rows.map(|row| {
                    let [x, y, z] = [0, 3, 6].map(|at| {
                        // Sign-extended from 24 bits.
                        let wide = i32::from_le_bytes([0, row[at], row[at + 1], row[at + 2]]) >> 8;
                        wide as f32 * unit
                    });
                    [x, -y, -z]
                }));
            }
            1 => parts.opacity_logits.extend(block.iter().map(|byte| logit(f32::from(*byte) / 255.0))),
            2 => {
                // The constant coefficients come first; room for the others is made when they come.
                let coefficient = |byte: &u8| (f32::from(*byte) / 255.0 - 0.5) / COLOUR_SCALE;
                parts.sh.extend(block.iter().map(coefficient));
            }
            3 => parts.log_scales.extend(rows.map(|row| [0, 1, 2].map(|at| f32::from(row[at]) / 16.0 - 10.0))),
            4 if width == 3 => parts.rotations.extend(rows.map(|row| {
                let [x, y, z] = [0, 1, 2].map(|at| f32::from(row[at]) / 127.5 - 1.0);
                let w = (1.0 - x * x - y * y - z * z).max(0.0).sqrt();
                [w, x, -y, -z]
            })),
            4 => parts.rotations.extend(rows.map(|row| {
                let [x, y, z, w] = smallest_three(u32::from_le_bytes([row[0], row[1], row[2], row[3]]));
                [w, x, -y, -z]
            })),
            _ => self.harmonics(width, block, first),
        }
    }

    fn harmonics(&mut self, width: usize, block: &[u8], first: usize) {
        let parts = &mut self.parts;
        let kept = sh_coefficients(parts.sh_degree);
        let count = self.header.count as usize;
        if first == 0 {
            let mut spread = vec![0.0; count * 3 * kept];
            for (sh, constant) in spread.chunks_exact_mut(3 * kept).zip(parts.sh.chunks_exact(3)) {
                sh[..3].copy_from_slice(constant);
            }
            parts.sh = spread;
        }
        let gaussians = parts.sh[first * 3 * kept..].chunks_exact_mut(3 * kept);
        for (sh, row) in gaussians.zip(block.chunks_exact(width)) {
            for coefficient in 1..kept {
                for channel in 0..3 {
                    let value = (f32::from(row[3 * (coefficient - 1) + channel]) - 128.0) / 128.0;
                    sh[3 * coefficient + channel] = SIGNS[coefficient] * value;
                }
            }
        }
    }
}

/// What becomes of each harmonic when y and z change their signs.
const SIGNS: [f32; 16] = [1.0, -1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0];

/// A quaternion x, y, z, w of which the largest part is left out: its place in two bits, and sign and nine bits of each
/// other part over 1/√2, the last one lowest.
fn smallest_three(mut word: u32) -> [f32; 4] {
    let largest = (word >> 30) as usize;
    let mut quaternion = [0.0f32; 4];
    let mut left = 1.0f32;
    for at in (0..4).rev().filter(|at| *at != largest) {
        let size = std::f32::consts::FRAC_1_SQRT_2 * (word & 511) as f32 / 511.0;
        quaternion[at] = if word & 512 != 0 { -size } else { size };
        left -= size * size;
        word >>= 10;
    }
    quaternion[largest] = left.max(0.0).sqrt();
    quaternion
}

fn pack_smallest_three(quaternion: [f32; 4]) -> u32 {
    let mut largest = 0;
    for at in 1..4 {
        if quaternion[at].abs() > quaternion[largest].abs() {
            largest = at;
        }
    }
    // A quaternion and its negative are one rotation: the part that is left out is positive.
    let turned = quaternion[largest] < 0.0;
    let mut word = largest as u32;
    for at in (0..4).filter(|at| *at != largest) {
        let size = (511.0 * quaternion[at].abs() / std::f32::consts::FRAC_1_SQRT_2).round().min(511.0) as u32;
        let negative = (quaternion[at] < 0.0) != turned && size > 0;
        word = word << 10 | u32::from(negative) << 9 | size;
    }
    word
}

/// Writes a scene as SPZ version 3. Positions keep twelve bits behind the point, or fewer where the scene is so large.
pub(super) fn write(path: &Path, scene: &Gaussians, observer: &dyn SplatObserver) -> Result<(), SplatError> {
    let name = || path.display().to_string();
    let Ok(count) = u32::try_from(scene.len()) else {
        return Err(SplatError::Request(format!(
            "{} cannot be written: SPZ has no room for so many Gaussians",
            name()
        )));
    };
    let bounds = scene.bounds();
    let most = bounds.min.iter().chain(&bounds.max).fold(0f32, |most, value| most.max(value.abs()));
    let Some(fraction) = (0..=FRACTION).rev().find(|bits| most * ((1u32 << bits) as f32) < 8_388_607.0) else {
        return Err(SplatError::Request(format!(
            "{} cannot be written: SPZ holds positions up to 8388607, and this scene reaches {most}",
            name()
        )));
    };
    observer.stage("Writing the scene", 6);
    let outcome: Result<(), WriteError> = atomic::write(path, |out| {
        let mut gzip = GzEncoder::new(out, Compression::best());
        gzip.write_all(&MAGIC.to_le_bytes())?;
        gzip.write_all(&3u32.to_le_bytes())?;
        gzip.write_all(&count.to_le_bytes())?;
        let flags = u8::from(scene.antialiased());
        gzip.write_all(&[scene.sh_degree() as u8, fraction as u8, flags, 0])?;
        for attribute in 0..6 {
            for first in (0..scene.len()).step_by(BLOCK) {
                observer.checkpoint()?;
                let block = first..scene.len().min(first + BLOCK);
                let bytes: Vec<u8> = block.flat_map(|index| packed(scene, index, attribute, fraction)).collect();
                gzip.write_all(&bytes)?;
            }
            observer.step(attribute + 1);
        }
        gzip.finish()?;
        Ok(())
    });
    outcome.map_err(|error| match error {
        WriteError::Io(source) => SplatError::Io { path: name(), doing: "written", source },
        WriteError::Stopped(error) => error.into(),
    })
}

/// One attribute of one Gaussian.
fn packed(scene: &Gaussians, index: usize, attribute: usize, fraction: u32) -> Vec<u8> {
    let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    match attribute {
        0 => {
            let [x, y, z] = scene.positions()[index];
            let fixed = |value: f32| (value * (1u32 << fraction) as f32).round() as i32;
            [x, -y, -z].into_iter().flat_map(|value| fixed(value).to_le_bytes().into_iter().take(3)).collect()
        }
        1 => vec![byte(scene.opacity(index) * 255.0)],
        2 => scene.sh_of(index)[..3].iter().map(|value| byte(value * COLOUR_SCALE * 255.0 + 127.5)).collect(),
        3 => scene.log_scales()[index].iter().map(|value| byte((value + 10.0) * 16.0)).collect(),
        4 => {
            let [w, x, y, z] = scene.rotations()[index];
            pack_smallest_three([x, -y, -z, w]).to_le_bytes().to_vec()
        }
        _ => {
            let coefficients = scene.sh_of(index).chunks_exact(3).zip(SIGNS).skip(1);
            coefficients
                .flat_map(|(rgb, sign)| rgb.iter().map(move |value| byte(sign * value * 128.0 + 128.0)))
                .collect()
        }
    }
}
