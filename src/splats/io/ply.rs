//! 3DGS and FiT3D scenes as PLY files: a column for every value, found by its name (spec/fit3d.md section 8.1).

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;

use super::ply_header::{Element, Header, Property};
use super::{Format, Source, append, compressed_ply, no_features};
use crate::picture::atomic;
use crate::splats::gaussians::{Features, Gaussians, MAX_SH_DEGREE, Parts, sh_coefficients};
use crate::splats::{SplatError, SplatObserver};

/// Rows that are read at a time.
const BLOCK: usize = 1 << 16;
/// Rows that one thread takes apart at a time.
const PIECE: usize = 1 << 12;
/// What feature columns are called before their number: FiT3D's, ours, Feature 3DGS's.
const FEATURE_PREFIXES: [&str; 3] = ["sem_", "feature_", "semantic_"];
/// The column of what all views together saw of a Gaussian.
const CONFIDENCE: &str = "confidence";

/// Reads a PLY file of either kind, with notes.
pub(super) fn read(
    source: &mut Source,
    observer: &dyn SplatObserver,
) -> Result<(Format, Parts, Vec<String>), SplatError> {
    let header = Header::read(source)?;
    let antialiased = header.comments.iter().any(|comment| {
        let words: Vec<&str> = comment.split_whitespace().collect();
        matches!(words.as_slice(), ["SplatRenderMode:", "mip"] | ["antialiased", "1"])
    });
    if compressed_ply::is(&header) {
        let mut parts = compressed_ply::read(source, &header, observer)?;
        parts.antialiased = antialiased;
        return Ok((Format::CompressedPly, parts, Vec::new()));
    }
    let vertices = to_vertices(source, &header)?;
    let columns = Columns::find(source, vertices, &header.comments)?;
    let stride = vertices.stride.unwrap_or(0);
    let count = source.admit(vertices.count, columns.degree, columns.features.len() as u64)?;
    let mut parts = columns.no_gaussians();
    parts.antialiased = antialiased;
    observer.stage("Reading the scene", count);
    let mut done = 0;
    while done < count {
        observer.checkpoint()?;
        let rows = BLOCK.min(count - done);
        let block = source.block(rows * stride)?;
        let pieces: Vec<Parts> = block.par_chunks(PIECE * stride).map(|rows| columns.take(rows, stride)).collect();
        pieces.into_iter().for_each(|piece| append(&mut parts, piece));
        done += rows;
        observer.step(done);
    }
    let notes = if columns.beyond {
        vec![format!("its spherical harmonics go beyond degree {MAX_SH_DEGREE}; the higher ones are left out")]
    } else {
        Vec::new()
    };
    Ok((Format::Ply, parts, notes))
}

/// The element of Gaussians, with the file at its first row and long enough for all of them.
fn to_vertices<'a>(source: &mut Source, header: &'a Header) -> Result<&'a Element, SplatError> {
    let mut start = header.length;
    for element in &header.elements {
        let rows = element.stride.and_then(|stride| element.count.checked_mul(stride as u64));
        if element.name == "vertex" {
            let Some(rows) = rows else {
                return Err(source.fault("has lists among its vertices, which Gaussians have not"));
            };
            if start.checked_add(rows).is_none_or(|end| end > source.length) {
                let held = (source.length.saturating_sub(start)) / element.stride.unwrap_or(1).max(1) as u64;
                return Err(
                    source.fault(format!("claims {} Gaussians and ends after {held}: it is not whole", element.count))
                );
            }
            source.file.seek(SeekFrom::Start(start)).map_err(|error| source.io(error))?;
            return Ok(element);
        }
        start = rows.and_then(|rows| start.checked_add(rows)).ok_or_else(|| {
            source.fault(format!("has rows of {:?} before its vertices that cannot be skipped", element.name))
        })?;
    }
    Err(source.fault("is a PLY file without vertices"))
}

/// Where everything of a Gaussian lies in a row.
struct Columns<'a> {
    position: [&'a Property; 3],
    scale: [&'a Property; 3],
    rotation: [&'a Property; 4],
    opacity: &'a Property,
    degree: usize,
    /// As in [`Parts::sh`]: coefficient by coefficient, the colour channel fastest.
    sh: Vec<&'a Property>,
    features: Vec<&'a Property>,
    confidence: Option<&'a Property>,
    model: Option<String>,
    /// There are harmonics of a degree that is not read.
    beyond: bool,
}

impl<'a> Columns<'a> {
    fn find(source: &Source, vertices: &'a Element, comments: &[String]) -> Result<Self, SplatError> {
        let missing: Vec<&str> = [
            "x", "y", "z", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3", "opacity", "f_dc_0",
            "f_dc_1", "f_dc_2",
        ]
        .into_iter()
        .filter(|name| vertices.property(name).is_none())
        .collect();
        let get = |name: &str| {
            let missing = || source.fault(format!("has no property {name:?}"));
            vertices.property(name).ok_or_else(missing)
        };
        if let Some(first) = missing.first() {
            // Positions alone, perhaps with plain colours, are what scanners and COLMAP write.
            let cloud = get("x").is_ok() && ["scale_0", "rot_0", "opacity"].iter().all(|name| missing.contains(name));
            return Err(source.fault(if cloud {
                "is a point cloud without Gaussians: its points have no scale, rotation and opacity".to_owned()
            } else if missing.len() == 1 {
                format!("has no property {first:?}, which every Gaussian needs")
            } else {
                format!("lacks properties that every Gaussian needs: {}", missing.join(", "))
            }));
        }
        let rest = (0..).take_while(|index| vertices.property(&format!("f_rest_{index}")).is_some()).count();
        // Channel-major: all coefficients of red, then of green, then of blue.
        let per_channel = rest / 3;
        let side = (per_channel + 1).isqrt();
        if rest % 3 != 0 || side * side != per_channel + 1 {
            return Err(source.fault(format!(
                "has {rest} columns f_rest_…, and only 0, 9, 24 or 45 of them make spherical harmonics"
            )));
        }
        let degree = (side - 1).min(MAX_SH_DEGREE);
        let mut sh = vec![get("f_dc_0")?, get("f_dc_1")?, get("f_dc_2")?];
        for coefficient in 0..sh_coefficients(degree) - 1 {
            for channel in 0..3 {
                sh.push(get(&format!("f_rest_{}", channel * per_channel + coefficient))?);
            }
        }
        let features = FEATURE_PREFIXES.iter().map(|prefix| numbered(vertices, prefix)).find(|found| !found.is_empty());
        let features = features.unwrap_or_default();
        let said = comments.iter().find_map(|comment| comment.strip_prefix("features "));
        Ok(Self {
            position: [get("x")?, get("y")?, get("z")?],
            scale: [get("scale_0")?, get("scale_1")?, get("scale_2")?],
            rotation: [get("rot_0")?, get("rot_1")?, get("rot_2")?, get("rot_3")?],
            opacity: get("opacity")?,
            degree,
            sh,
            confidence: vertices.property(CONFIDENCE).filter(|_| !features.is_empty()),
            model: said.map(str::to_owned).filter(|_| !features.is_empty()),
            features,
            beyond: side - 1 > MAX_SH_DEGREE,
        })
    }

    fn no_gaussians(&self) -> Parts {
        let names = self.features.iter().map(|property| property.name.clone()).collect();
        Parts {
            sh_degree: self.degree,
            features: no_features(self.features.len(), names, self.model.clone()),
            ..Parts::default()
        }
    }

    /// The Gaussians of some rows.
    fn take(&self, rows: &[u8], stride: usize) -> Parts {
        let mut parts = self.no_gaussians();
        for row in rows.chunks_exact(stride.max(1)) {
            parts.positions.push(self.position.map(|property| property.read(row)));
            parts.log_scales.push(self.scale.map(|property| property.read(row)));
            parts.rotations.push(self.rotation.map(|property| property.read(row)));
            parts.opacity_logits.push(self.opacity.read(row));
            parts.sh.extend(self.sh.iter().map(|property| property.read(row)));
            if let Some(features) = &mut parts.features {
                features.values.extend(self.features.iter().map(|property| property.read(row)));
                features.confidence.extend(self.confidence.map(|property| property.read(row)));
            }
        }
        parts
    }
}

/// The columns `prefix0`, `prefix1` …, in the order of their numbers.
fn numbered<'a>(element: &'a Element, prefix: &str) -> Vec<&'a Property> {
    let number = |property: &Property| property.name.strip_prefix(prefix)?.parse::<u32>().ok();
    let mut found: Vec<(u32, &Property)> =
        element.properties.iter().filter_map(|property| Some((number(property)?, property))).collect();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, property)| property).collect()
}

/// Writes a scene with everything it has: FiT3D's layout where it has features, 3DGS's where it has none.
pub(super) fn write(path: &Path, scene: &Gaussians, observer: &dyn SplatObserver) -> Result<(), SplatError> {
    let failed = |source| SplatError::Io { path: path.display().to_string(), doing: "written", source };
    let per_channel = sh_coefficients(scene.sh_degree()) - 1;
    observer.stage("Writing the scene", scene.len());
    let outcome: Result<(), WriteError> = atomic::write(path, |out| {
        out.write_all(header(scene).as_bytes())?;
        let mut row: Vec<f32> = Vec::new();
        for index in 0..scene.len() {
            if index % BLOCK == 0 {
                observer.checkpoint()?;
                observer.step(index);
            }
            row.clear();
            row.extend(scene.positions()[index]);
            row.extend([0.0; 3]);
            let sh = scene.sh_of(index);
            row.extend(&sh[..3]);
            row.extend((0..3).flat_map(|channel| (1..=per_channel).map(move |at| sh[3 * at + channel])));
            if let Some(features) = scene.features() {
                row.extend(features.of(index));
                row.extend(features.confidence.get(index));
            }
            row.push(scene.opacity_logits()[index]);
            row.extend(scene.log_scales()[index]);
            row.extend(scene.rotations()[index]);
            for value in &row {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        observer.step(scene.len());
        Ok(())
    });
    outcome.map_err(|error| match error {
        WriteError::Io(error) => failed(error),
        WriteError::Stopped(error) => error.into(),
    })
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Stopped(#[from] crate::nets::watcher::Cancelled),
}

fn header(scene: &Gaussians) -> String {
    let mut text = "ply\nformat binary_little_endian 1.0\ncomment Written by Glassbox\n".to_owned();
    if scene.antialiased() {
        text.push_str("comment SplatRenderMode: mip\n");
    }
    if let Some(model) = scene.features().and_then(|features| features.model.as_ref()) {
        let one_line: String = model.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        text.push_str(&format!("comment features {one_line}\n"));
    }
    text.push_str(&format!("element vertex {}\n", scene.len()));
    let mut property = |name: &str| text.push_str(&format!("property float {name}\n"));
    ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"].into_iter().for_each(&mut property);
    (0..3 * (sh_coefficients(scene.sh_degree()) - 1)).for_each(|index| property(&format!("f_rest_{index}")));
    if let Some(features) = scene.features() {
        names(features).iter().for_each(|name| property(name));
        if !features.confidence.is_empty() {
            property(CONFIDENCE);
        }
    }
    ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
        .into_iter()
        .for_each(&mut property);
    text.push_str("end_header\n");
    text
}

/// Names of feature columns that can be read again: those the channels have, if they are numbered in their order.
fn names(features: &Features) -> Vec<String> {
    let numbered = |prefix: &&str| {
        let mut names = features.names.iter().enumerate();
        names.all(|(index, name)| name.strip_prefix(*prefix) == Some(&index.to_string()))
    };
    let prefix = FEATURE_PREFIXES.iter().find(|prefix| numbered(prefix)).unwrap_or(&FEATURE_PREFIXES[1]);
    (0..features.dim).map(|index| format!("{prefix}{index}")).collect()
}
