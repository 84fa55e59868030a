//! Cameras in JSON: 3DGS's list of positions and rotations, or nerfstudio's frames.

use std::path::Path;

use glam::{DMat3, DVec2, DVec3};
use serde_json::Value;

use super::{Cameras, NamedCamera, checked, contents, fault, last_part};
use crate::splats::SplatError;
use crate::splats::camera::{Camera, FAR, NEAR};

/// Reads whichever of them it is.
pub(super) fn read(path: &Path, size: Option<(u32, u32)>) -> Result<Cameras, SplatError> {
    let value: Value = serde_json::from_slice(&contents(path)?)
        .map_err(|error| fault(path, format!("is no JSON file that can be read ({error})")))?;
    match &value {
        Value::Array(entries) => list(path, entries),
        Value::Object(object) if object.contains_key("frames") => frames(path, &value, size),
        // One entry of the list alone.
        Value::Object(object) if object.contains_key("position") => list(path, std::slice::from_ref(&value)),
        _ => Err(fault(path, "holds no cameras: it is neither a list of them nor has it \"frames\"")),
    }
}

fn list(path: &Path, entries: &[Value]) -> Result<Cameras, SplatError> {
    let mut cameras = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let missing = |what: &str| fault(path, format!("has a camera (number {index}) without a usable {what:?}"));
        let number = |key: &str| entry.get(key).and_then(Value::as_f64).ok_or_else(|| missing(key));
        let position = entry.get("position").and_then(numbers::<3>).ok_or_else(|| missing("position"))?;
        let rows = entry.get("rotation").and_then(matrix::<3, 3>).ok_or_else(|| missing("rotation"))?;
        // Camera to world, row by row: as columns it is the inverse.
        let rotation = DMat3::from_cols_array_2d(&rows);
        let (width, height) = (side(number("width")?), side(number("height")?));
        let picture = entry.get("img_name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
        let camera = Camera {
            rotation,
            translation: -(rotation * DVec3::from(position)),
            focal: DVec2::new(number("fx")?, number("fy")?),
            principal: 0.5 * DVec2::new(f64::from(width), f64::from(height)),
            width,
            height,
            near: NEAR,
            far: FAR,
        };
        let name = last_part(&picture);
        let camera = checked(path, &name, camera)?;
        cameras.push(NamedCamera { name, picture, camera });
    }
    Ok(Cameras { cameras, notes: Vec::new() })
}

fn frames(path: &Path, value: &Value, size: Option<(u32, u32)>) -> Result<Cameras, SplatError> {
    let entries = value.get("frames").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| fault(path, "has \"frames\" that are no list"))?;
    let mut cameras = Vec::with_capacity(entries.len());
    let mut distorted = false;
    for (index, frame) in entries.iter().enumerate() {
        // A frame's own lens goes before that of all.
        let get = |key: &str| frame.get(key).or_else(|| value.get(key)).and_then(Value::as_f64);
        let missing = |what: &str| fault(path, format!("has a frame (number {index}) without a usable {what:?}"));
        let pose = frame.get("transform_matrix").and_then(pose).ok_or_else(|| missing("transform_matrix"))?;
        let (width, height) = match (get("w"), get("h"), size) {
            (Some(width), Some(height), _) => (side(width), side(height)),
            (_, _, Some(size)) => size,
            _ => return Err(fault(path, "does not say how large its pictures are; give a size")),
        };
        let middle = 0.5 * DVec2::new(f64::from(width), f64::from(height));
        let from_angle = |key: &str, middle: f64| get(key).map(|angle| middle / (0.5 * angle).tan());
        let across = get("fl_x").or_else(|| from_angle("camera_angle_x", middle.x));
        let down = get("fl_y").or_else(|| from_angle("camera_angle_y", middle.y));
        let (Some(fx), Some(fy)) = (across.or(down), down.or(across)) else { return Err(missing("fl_x")) };
        distorted |= ["k1", "k2", "k3", "p1", "p2"].iter().any(|key| get(key).is_some_and(|value| value != 0.0));
        // OpenGL's axes are right, up, back.
        let [right, up, back] = [0, 1, 2].map(|column| DVec3::from_array([0, 1, 2].map(|row| pose[row][column])));
        let rotation = DMat3::from_cols(right, -up, -back).transpose();
        let eye = DVec3::from_array([0, 1, 2].map(|row| pose[row][3]));
        let camera = Camera {
            rotation,
            translation: -(rotation * eye),
            focal: DVec2::new(fx, fy),
            principal: DVec2::new(get("cx").unwrap_or(middle.x), get("cy").unwrap_or(middle.y)),
            width,
            height,
            near: NEAR,
            far: FAR,
        };
        let picture = frame.get("file_path").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
        let name = last_part(&picture);
        let camera = checked(path, &name, camera)?;
        cameras.push(NamedCamera { name, picture, camera });
    }
    let notes = if distorted {
        vec!["the lens distortion of its cameras is ignored; use pictures without distortion".to_owned()]
    } else {
        Vec::new()
    };
    Ok(Cameras { cameras, notes })
}

/// A side of a picture, 0 for what cannot be one.
fn side(value: f64) -> u32 {
    if value.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&value) { value as u32 } else { 0 }
}

fn numbers<const N: usize>(value: &Value) -> Option<[f64; N]> {
    let numbers: Option<Vec<f64>> = value.as_array()?.iter().map(Value::as_f64).collect();
    numbers?.try_into().ok()
}

fn matrix<const R: usize, const C: usize>(value: &Value) -> Option<[[f64; C]; R]> {
    let rows: Option<Vec<[f64; C]>> = value.as_array()?.iter().map(numbers::<C>).collect();
    rows?.try_into().ok()
}

/// Three or four rows of four.
fn pose(value: &Value) -> Option<[[f64; 4]; 3]> {
    let whole = matrix::<4, 4>(value).map(|[a, b, c, _]| [a, b, c]);
    whole.or_else(|| matrix::<3, 4>(value))
}
