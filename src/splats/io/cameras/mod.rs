//! Cameras on disk: 3DGS's `cameras.json`, COLMAP's sparse models, nerfstudio's and Blender's `transforms.json`
//! (spec/fit3d.md sections 8.2 and 8.3).

mod colmap;
mod json;

use std::path::{Path, PathBuf};

use crate::splats::SplatError;
use crate::splats::camera::Camera;

/// A camera with the name of its photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedCamera {
    /// What it is called, mostly its photograph's name without a folder.
    pub name: String,
    /// The photograph as the file names it: absolute, or relative to a folder the person knows.
    pub picture: String,
    /// The camera.
    pub camera: Camera,
}

/// Cameras and what a person should know of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Cameras {
    /// In the order of the file; COLMAP's in the order of their names.
    pub cameras: Vec<NamedCamera>,
    /// In sentences: "its lens distortion is ignored".
    pub notes: Vec<String>,
}

/// Larger files hold no cameras.
const MOST_BYTES: u64 = 1 << 30;

/// Reads cameras from a file, or from the first of the known files in a folder. `size` is the picture's size where the
/// file does not say it (Blender's does not).
///
/// # Errors
/// [`SplatError::File`] in one sentence, or [`SplatError::Io`].
pub fn open(path: &Path, size: Option<(u32, u32)>) -> Result<Cameras, SplatError> {
    let found = if path.is_dir() { in_folder(path)? } else { path.to_owned() };
    let name = found.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let cameras = match name.as_str() {
        "cameras.bin" | "images.bin" => colmap::binary(found.parent().unwrap_or(Path::new(".")))?,
        "cameras.txt" | "images.txt" => colmap::text(found.parent().unwrap_or(Path::new(".")))?,
        _ => json::read(&found, size)?,
    };
    if cameras.cameras.is_empty() {
        return Err(fault(&found, "holds no cameras"));
    }
    Ok(cameras)
}

/// The first file with cameras in a folder.
fn in_folder(folder: &Path) -> Result<PathBuf, SplatError> {
    let places = ["", "sparse/0", "sparse", "colmap/sparse/0"];
    let names = ["images.bin", "images.txt", "transforms.json", "transforms_train.json", "cameras.json"];
    let all = places.iter().flat_map(|place| names.iter().map(move |name| folder.join(place).join(name)));
    all.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        fault(folder, "holds no cameras: neither a COLMAP model nor transforms.json nor cameras.json is in it")
    })
}

fn fault(path: &Path, fault: impl Into<String>) -> SplatError {
    SplatError::File { path: path.display().to_string(), fault: fault.into() }
}

fn contents(path: &Path) -> Result<Vec<u8>, SplatError> {
    let unreadable = |source| SplatError::Io { path: path.display().to_string(), doing: "read", source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MOST_BYTES {
        return Err(fault(path, "is too large to be a list of cameras"));
    }
    std::fs::read(path).map_err(unreadable)
}

/// A camera, with the name of the file that gave it in its fault.
fn checked(path: &Path, name: &str, camera: Camera) -> Result<Camera, SplatError> {
    camera.checked().map_err(|error| match error {
        SplatError::Camera(text) => fault(path, format!("has a camera {name:?} that cannot be used: {text}")),
        other => other,
    })
}

/// The last part of a path, whichever system wrote it.
fn last_part(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests;
