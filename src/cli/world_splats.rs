//! `glassbox world --splats`: a synthetic scene as Gaussians, with its cameras and photographs.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use glam::{Mat3, Quat, Vec3};
use serde_json::json;

use super::world::{save_png, write_whole};
use crate::splats::gaussians::{Gaussians, Parts, logit};
use crate::splats::harmonics::constant;
use crate::splats::{Unobserved, io};
use crate::world::look::Look;
use crate::world::render::Renderer;
use crate::world::scene::{Camera, Scene};
use crate::world::surface::{self, Surfel};
use crate::world::views;

/// Opacity of every Gaussian.
const OPACITY: f32 = 0.97;
/// Standard deviation of a disc in parts of the distance to its neighbours.
const WIDTH: f32 = 0.64;
/// And across the surface.
const THICKNESS: f32 = 0.12;

/// Writes `scene.ply`, `cameras.json` and `images/`. The axes are those of 3DGS: y points down.
pub(super) fn write(folder: &Path, seed: u64, views: usize, most: usize, size: (usize, usize)) -> Result<()> {
    let images = folder.join("images");
    std::fs::create_dir_all(&images).with_context(|| format!("cannot make the folder {}", images.display()))?;
    let mut scene = Scene::new(seed);
    let clouds = scene.look.clouds;
    scene.look = Look::summer_noon();
    scene.look.clouds = clouds;
    let cameras: Vec<Camera> = (0..views.max(1)).map(|index| views::numbered(&scene, index, views)).collect();
    let mut entries = Vec::new();
    for (index, camera) in cameras.iter().enumerate() {
        let mut renderer = Renderer::new(&scene, camera, size.0, size.1);
        let name = format!("view-{index:03}.png");
        save_png(&images.join(&name), &renderer.render(&scene.look))?;
        let view = renderer.view();
        let [right, up, forward] = view.axes.map(turned);
        let axes = [right, -up, forward];
        let rows: Vec<[f32; 3]> = (0..3).map(|row| axes.map(|axis| axis[row])).collect();
        entries.push(json!({
            "id": index, "img_name": name, "width": size.0, "height": size.1, "position": turned(view.eye).to_array(),
            "rotation": rows, "fx": view.focal, "fy": view.focal,
        }));
    }
    let surfels = surface::samples(&scene, &cameras, &scene.look, size, most);
    let text = serde_json::to_string_pretty(&entries)?;
    write_whole(&folder.join("cameras.json"), |out| Ok(out.write_all(text.as_bytes())?))?;
    let path = folder.join("scene.ply");
    io::save(&path, &gaussians(&surfels)?, &Unobserved)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {} Gaussians, {} cameras", path.display(), surfels.len(), cameras.len())?;
    Ok(())
}

/// The world's y points up and its axes are left-handed: turned over they are right, down, forward.
fn turned(v: Vec3) -> Vec3 {
    Vec3::new(v.x, -v.y, v.z)
}

/// Flat Gaussians along the surfaces.
fn gaussians(surfels: &[Surfel]) -> Result<Gaussians> {
    let mut parts = Parts::default();
    for surfel in surfels {
        let normal = turned(surfel.normal);
        let (along, across) = normal.any_orthonormal_pair();
        // Its third axis is the normal.
        let turn = Quat::from_mat3(&Mat3::from_cols(along, across, normal));
        let wide = (WIDTH * surfel.spacing).ln();
        parts.positions.push(turned(surfel.position).to_array());
        parts.log_scales.push([wide, wide, (THICKNESS * surfel.spacing).ln()]);
        parts.rotations.push([turn.w, turn.x, turn.y, turn.z]);
        parts.opacity_logits.push(logit(OPACITY));
        parts.sh.extend(constant(surfel.colour.map(|value| f32::from(value) / 255.0)));
    }
    Ok(Gaussians::new(parts)?)
}
