//! PlayCanvas's compressed PLY: chunks of 256 Gaussians, each value in a few bits between the chunk's smallest and largest
//! (spec/fit3d.md section 8.4).

use std::io::{Seek, SeekFrom};

use super::Source;
use super::ply_header::{Element, Header, Number, Property};
use crate::splats::gaussians::{Parts, logit, sh_coefficients};
use crate::splats::harmonics::constant;
use crate::splats::{SplatError, SplatObserver};

/// Gaussians of a chunk.
const CHUNK: usize = 256;
/// Chunks that are read at a time.
const BLOCK: usize = 64;

/// Whether a PLY file is packed like this.
pub(super) fn is(header: &Header) -> bool {
    let has = |name: &str| header.elements.iter().find(|element| element.name == name);
    has("chunk").is_some() && has("vertex").is_some_and(|vertex| vertex.property("packed_position").is_some())
}

/// An element with fixed rows, and where they begin in the file.
struct Rows<'a> {
    element: &'a Element,
    start: u64,
    stride: usize,
}

fn rows<'a>(source: &Source, header: &'a Header, name: &str) -> Result<Option<Rows<'a>>, SplatError> {
    let mut start = header.length;
    for element in &header.elements {
        let bytes = element.stride.and_then(|stride| element.count.checked_mul(stride as u64));
        let end = bytes.and_then(|bytes| start.checked_add(bytes));
        let Some(end) = end.filter(|end| *end <= source.length) else {
            return Err(source.fault(format!(
                "claims {} rows of {:?}, more than it has: it is not whole",
                element.count, element.name
            )));
        };
        if element.name == name {
            return Ok(Some(Rows { element, start, stride: element.stride.unwrap_or(0) }));
        }
        start = end;
    }
    Ok(None)
}

/// Properties by name, all of them numbers of one kind.
fn columns<'a, const N: usize>(
    source: &Source,
    element: &'a Element,
    names: [&str; N],
    number: Number,
) -> Result<[&'a Property; N], SplatError> {
    let mut found = Vec::with_capacity(N);
    for name in names {
        let property = element.property(name).filter(|property| property.number == number);
        found.push(property.ok_or_else(|| source.fault(format!("is packed, but has no usable property {name:?}")))?);
    }
    found.try_into().map_err(|_| source.fault("is packed in a way that is not known"))
}

/// Reads all Gaussians.
pub(super) fn read(source: &mut Source, header: &Header, observer: &dyn SplatObserver) -> Result<Parts, SplatError> {
    let missing = |source: &Source, name: &str| source.fault(format!("is packed, but has no element {name:?}"));
    let chunks = rows(source, header, "chunk")?.ok_or_else(|| missing(source, "chunk"))?;
    let vertices = rows(source, header, "vertex")?.ok_or_else(|| missing(source, "vertex"))?;
    let harmonics = rows(source, header, "sh")?;
    let rest = harmonics.as_ref().map_or(0, |rows| rows.element.properties.len());
    let degree = match rest {
        0 => 0,
        9 => 1,
        24 => 2,
        45 => 3,
        _ => return Err(source.fault(format!("has {rest} packed columns f_rest_…, and only 9, 24 or 45 are known"))),
    };
    let count = source.admit(vertices.element.count, degree, 0)?;
    if chunks.element.count != vertices.element.count.div_ceil(CHUNK as u64)
        || harmonics.as_ref().is_some_and(|rows| rows.element.count != vertices.element.count)
    {
        return Err(source.fault("has packed elements whose counts do not fit together"));
    }
    let words = columns(
        source,
        vertices.element,
        ["packed_position", "packed_rotation", "packed_scale", "packed_color"],
        Number::U32,
    )?;
    let range = |names: [&str; 6]| columns(source, chunks.element, names, Number::F32);
    let position = range(["min_x", "min_y", "min_z", "max_x", "max_y", "max_z"])?;
    let scale = range(["min_scale_x", "min_scale_y", "min_scale_z", "max_scale_x", "max_scale_y", "max_scale_z"])?;
    let colour = match chunks.element.property("min_r") {
        Some(_) => Some(range(["min_r", "min_g", "min_b", "max_r", "max_g", "max_b"])?),
        None => None,
    };
    let sh_columns = match &harmonics {
        Some(rows) => {
            let named = (0..rest).map(|index| {
                let name = format!("f_rest_{index}");
                columns(source, rows.element, [name.as_str()], Number::U8).map(|[property]| property)
            });
            named.collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let width = 3 * sh_coefficients(degree);
    let per_channel = rest / 3;
    let mut parts = Parts { sh_degree: degree, ..Parts::default() };
    observer.stage("Reading the scene", count);
    for first in (0..count).step_by(BLOCK * CHUNK) {
        observer.checkpoint()?;
        let now = (BLOCK * CHUNK).min(count - first);
        let ranges = piece(source, &chunks, first / CHUNK, now.div_ceil(CHUNK))?;
        let packed = piece(source, &vertices, first, now)?;
        for (index, row) in packed.chunks_exact(vertices.stride.max(1)).enumerate() {
            let chunk = &ranges[index / CHUNK * chunks.stride..][..chunks.stride];
            let [at, turn, size, tint] = words.map(|property| word(row, property.offset));
            parts.positions.push(between(chunk, &position, eleven_ten_eleven(at)));
            parts.log_scales.push(between(chunk, &scale, eleven_ten_eleven(size)));
            parts.rotations.push(rotation(turn));
            let [r, g, b, a] = [24, 16, 8, 0].map(|shift| (tint >> shift & 255) as f32 / 255.0);
            let rgb = colour.as_ref().map_or([r, g, b], |range| between(chunk, range, [r, g, b]));
            parts.opacity_logits.push(logit(a));
            parts.sh.extend(constant(rgb));
            parts.sh.extend(std::iter::repeat_n(0.0, width - 3));
        }
        if let Some(harmonics) = &harmonics {
            let packed = piece(source, harmonics, first, now)?;
            let gaussians = parts.sh[first * width..].chunks_exact_mut(width);
            for (sh, row) in gaussians.zip(packed.chunks_exact(harmonics.stride.max(1))) {
                for (index, property) in sh_columns.iter().enumerate() {
                    let byte = row.get(property.offset).copied().unwrap_or(0);
                    // Eight bits over −4..4, of which the ends stand for themselves.
                    let share = match byte {
                        0 => 0.0,
                        255 => 1.0,
                        byte => (f32::from(byte) + 0.5) / 256.0,
                    };
                    sh[3 * (1 + index % per_channel) + index / per_channel] = (share - 0.5) * 8.0;
                }
            }
        }
        observer.step(first + now);
    }
    Ok(parts)
}

/// Some rows of an element.
fn piece(source: &mut Source, rows: &Rows<'_>, first: usize, count: usize) -> Result<Vec<u8>, SplatError> {
    let start = rows.start + first as u64 * rows.stride as u64;
    source.file.seek(SeekFrom::Start(start)).map_err(|error| source.io(error))?;
    source.block(count * rows.stride)
}

fn word(row: &[u8], offset: usize) -> u32 {
    let bytes = row.get(offset..).and_then(|row| row.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn share(word: u32, shift: u32, bits: u32) -> f32 {
    let most = (1u32 << bits) - 1;
    (word >> shift & most) as f32 / most as f32
}

fn eleven_ten_eleven(word: u32) -> [f32; 3] {
    [share(word, 21, 11), share(word, 11, 10), share(word, 0, 11)]
}

/// Three numbers between the smallest and largest of a chunk.
fn between(chunk: &[u8], range: &[&Property; 6], at: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|axis| {
        let (low, high) = (range[axis].read(chunk), range[axis + 3].read(chunk));
        low * (1.0 - at[axis]) + high * at[axis]
    })
}

/// The three smaller parts of a quaternion w, x, y, z in ten bits each, over ±1/√2, and which one is the largest.
fn rotation(word: u32) -> [f32; 4] {
    let part = |shift| (share(word, shift, 10) - 0.5) * std::f32::consts::SQRT_2;
    let small = [part(20), part(10), part(0)];
    let largest = (word >> 30) as usize;
    let left = 1.0 - small.iter().map(|part| part * part).sum::<f32>();
    let mut quaternion = [0.0; 4];
    let others = (0..4).filter(|at| *at != largest);
    others.zip(small).for_each(|(at, part)| quaternion[at] = part);
    quaternion[largest] = left.max(0.0).sqrt();
    quaternion
}
