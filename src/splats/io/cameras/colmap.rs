//! COLMAP's sparse models, text and binary: lenses in `cameras`, poses in `images`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use glam::{DMat3, DQuat, DVec2, DVec3};

use super::{Cameras, NamedCamera, checked, contents, fault, last_part};
use crate::splats::SplatError;
use crate::splats::camera::{Camera, FAR, NEAR};

/// The models by their numbers: name, parameters.
const MODELS: [(&str, usize); 11] = [
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
];

/// A lens without a pose.
struct Lens {
    focal: DVec2,
    principal: DVec2,
    size: (u32, u32),
}

/// A pose without a lens: world to camera.
struct Pose {
    rotation: [f64; 4],
    translation: [f64; 3],
    lens: u32,
    picture: String,
}

impl Lens {
    fn new(path: &Path, model: &str, size: (u64, u64), parameters: &[f64]) -> Result<Self, SplatError> {
        let size = (u32::try_from(size.0).unwrap_or(0), u32::try_from(size.1).unwrap_or(0));
        let known = MODELS.iter().find(|(name, _)| *name == model);
        if known.is_none_or(|(_, count)| *count != parameters.len()) {
            return Err(fault(
                path,
                format!("has a lens of an unknown model, {model:?} with {} parameters", parameters.len()),
            ));
        }
        // The first three or four parameters are focal lengths and principal point; the rest bends the picture.
        let one_focal =
            matches!(model, "SIMPLE_PINHOLE" | "SIMPLE_RADIAL" | "RADIAL" | "SIMPLE_RADIAL_FISHEYE" | "RADIAL_FISHEYE");
        let (plain, bent) = parameters.split_at(if one_focal { 3 } else { 4 });
        let fish = model.contains("FISHEYE") || model == "FOV";
        if fish || bent.iter().any(|value| *value != 0.0) {
            return Err(fault(
                path,
                format!("has a lens of the model {model:?}, which bends the picture; undistort it first, as for 3DGS"),
            ));
        }
        let (focal, principal) = match *plain {
            [f, x, y] => (DVec2::splat(f), DVec2::new(x, y)),
            [fx, fy, x, y] => (DVec2::new(fx, fy), DVec2::new(x, y)),
            _ => return Err(fault(path, "has a lens without parameters")),
        };
        Ok(Self { focal, principal, size })
    }
}

/// Reads `cameras.txt` and `images.txt` of a folder.
pub(super) fn text(folder: &Path) -> Result<Cameras, SplatError> {
    let (cameras, images) = (folder.join("cameras.txt"), folder.join("images.txt"));
    let mut lenses = HashMap::new();
    for line in lines(&cameras)?.iter().filter(|line| !line.is_empty()) {
        let damaged = || fault(&cameras, format!("has a line that cannot be read: {:?}", short(line)));
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [id, model, width, height, parameters @ ..] = words.as_slice() else { return Err(damaged()) };
        let parameters: Result<Vec<f64>, _> = parameters.iter().map(|word| word.parse()).collect();
        let (Ok(id), Ok(width), Ok(height), Ok(parameters)) = (id.parse(), width.parse(), height.parse(), parameters)
        else {
            return Err(damaged());
        };
        lenses.insert(id, Lens::new(&cameras, model, (width, height), &parameters)?);
    }
    // Two lines a picture, of which the second, with its points, may be empty.
    let mut poses = Vec::new();
    let all = lines(&images)?;
    let mut rest = all.iter();
    while let Some(line) = rest.next() {
        if line.is_empty() {
            continue;
        }
        let damaged = || fault(&images, format!("has a line that cannot be read: {:?}", short(line)));
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, numbers @ .., lens, _] = words.get(..10).ok_or_else(damaged)? else { return Err(damaged()) };
        let numbers: Vec<f64> = numbers.iter().map_while(|word| word.parse().ok()).collect();
        let ([w, x, y, z, tx, ty, tz], Ok(lens)) = (numbers.as_slice(), lens.parse()) else { return Err(damaged()) };
        let (rotation, translation) = ([*w, *x, *y, *z], [*tx, *ty, *tz]);
        poses.push(Pose { rotation, translation, lens, picture: words[9..].join(" ") });
        rest.next();
    }
    joined(&images, &lenses, poses)
}

/// The lines of a file without its comments.
fn lines(path: &Path) -> Result<Vec<String>, SplatError> {
    let text = String::from_utf8_lossy(&contents(path)?).into_owned();
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.starts_with('#')).collect())
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Reads `cameras.bin` and `images.bin` of a folder.
pub(super) fn binary(folder: &Path) -> Result<Cameras, SplatError> {
    let mut file = Bytes::open(folder.join("cameras.bin"))?;
    let mut lenses = HashMap::new();
    for _ in 0..file.u64()? {
        let (id, model) = (file.u32()?, file.u32()?);
        let size = (file.u64()?, file.u64()?);
        let Some((name, count)) = MODELS.get(model as usize) else {
            return Err(fault(&file.path, format!("has a lens of an unknown model, number {model}")));
        };
        let mut parameters = Vec::with_capacity(*count);
        for _ in 0..*count {
            parameters.push(file.f64()?);
        }
        lenses.insert(id, Lens::new(&file.path, name, size, &parameters)?);
    }
    let mut file = Bytes::open(folder.join("images.bin"))?;
    let mut poses = Vec::new();
    for _ in 0..file.u64()? {
        file.u32()?;
        let rotation = [file.f64()?, file.f64()?, file.f64()?, file.f64()?];
        let translation = [file.f64()?, file.f64()?, file.f64()?];
        let (lens, picture) = (file.u32()?, file.text()?);
        let points = file.u64()?;
        file.skip(points.saturating_mul(24))?;
        poses.push(Pose { rotation, translation, lens, picture });
    }
    joined(&file.path.clone(), &lenses, poses)
}

fn joined(path: &Path, lenses: &HashMap<u32, Lens>, poses: Vec<Pose>) -> Result<Cameras, SplatError> {
    let mut cameras = Vec::with_capacity(poses.len());
    for pose in poses {
        let name = last_part(&pose.picture);
        let Some(lens) = lenses.get(&pose.lens) else {
            return Err(fault(path, format!("names a lens, number {}, that is not in the other file", pose.lens)));
        };
        let [w, x, y, z] = pose.rotation;
        let turn = DQuat::from_xyzw(x, y, z, w);
        if !(turn.length() > 0.0 && turn.is_finite()) {
            return Err(fault(path, format!("has a camera {name:?} whose rotation is no rotation")));
        }
        let camera = Camera {
            rotation: DMat3::from_quat(turn.normalize()),
            translation: DVec3::from(pose.translation),
            focal: lens.focal,
            principal: lens.principal,
            width: lens.size.0,
            height: lens.size.1,
            near: NEAR,
            far: FAR,
        };
        let camera = checked(path, &name, camera)?;
        cameras.push(NamedCamera { name, picture: pose.picture, camera });
    }
    cameras.sort_by(|a, b| a.picture.cmp(&b.picture));
    Ok(Cameras { cameras, notes: Vec::new() })
}

/// A file in memory, read from front to back.
struct Bytes {
    path: PathBuf,
    bytes: Vec<u8>,
    at: usize,
}

impl Bytes {
    fn open(path: PathBuf) -> Result<Self, SplatError> {
        Ok(Self { bytes: contents(&path)?, path, at: 0 })
    }

    fn short(&self) -> SplatError {
        fault(&self.path, "ends too early: it is not whole")
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], SplatError> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).copied();
        let bytes = bytes.ok_or_else(|| self.short())?;
        self.at += N;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, SplatError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, SplatError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn f64(&mut self) -> Result<f64, SplatError> {
        Ok(f64::from_le_bytes(self.take()?))
    }

    /// Up to a zero.
    fn text(&mut self) -> Result<String, SplatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.short())?;
        let text = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(text)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), SplatError> {
        let to = usize::try_from(bytes).ok().and_then(|bytes| self.at.checked_add(bytes));
        self.at = to.filter(|to| *to <= self.bytes.len()).ok_or_else(|| self.short())?;
        Ok(())
    }
}
