//! The ground and the water surface as triangles: a grid that is fine near the viewer and coarse far away.

use glam::{Vec2, Vec3};

use super::{Mesh, Style, Texture};
use crate::world::look::Part;
use crate::world::terrain::{Terrain, Water};

/// Grid coordinate −1…1 to metres: nearly even over the inner 60 m, then ever wider.
fn warp(s: f32) -> f32 {
    let q = s * s;
    62.0 * s + 590.0 * s * q * q
}

/// Where the grid is centred, metres along z.
const MIDDLE: f32 = 38.0;

/// Adds ground (object 0) and water (object 1).
pub fn land(mesh: &mut Mesh, terrain: &Terrain, cells: usize) {
    let ground = Style::new(Part::Ground, Texture::Land, Vec3::ONE, 0);
    let stride = cells + 1;
    let coordinate = |i: usize| warp(2.0 * i as f32 / cells as f32 - 1.0);
    let mut points = Vec::with_capacity(stride * stride);
    let mut normals = Vec::with_capacity(stride * stride);
    for j in 0..stride {
        for i in 0..stride {
            let (x, z) = (coordinate(i), MIDDLE + coordinate(j));
            points.push(Vec3::new(x, terrain.height(x, z), z));
        }
    }
    for j in 0..stride {
        for i in 0..stride {
            let at = |i: usize, j: usize| points[j.min(cells) * stride + i.min(cells)];
            let dx = at(i + 1, j) - at(i.saturating_sub(1), j);
            let dz = at(i, j + 1) - at(i, j.saturating_sub(1));
            normals.push(dz.cross(dx).normalize());
        }
    }
    for j in 0..cells {
        for i in 0..cells {
            let q = [j * stride + i, j * stride + i + 1, (j + 1) * stride + i + 1, (j + 1) * stride + i];
            for t in [[q[0], q[2], q[1]], [q[0], q[3], q[2]]] {
                let p = t.map(|k| points[k]);
                if p.iter().all(|v| v.y < -0.3) && terrain.water != Water::None {
                    continue;
                }
                let flat = (p[1] - p[0]).cross(p[2] - p[0]).normalize();
                let middle = (p[0] + p[1] + p[2]) / 3.0;
                let rugged = (terrain.mountain(middle.x, middle.z) / 8.0).clamp(0.0, 0.75);
                let n = t.map(|k| (normals[k] * (1.0 - rugged) + flat * rugged).normalize());
                let uv = p.map(|v| Vec2::new(terrain.mountain(v.x, v.z), 0.0));
                mesh.smooth(p, n, uv, ground);
            }
        }
    }
    if terrain.water != Water::None {
        let water = Style::new(Part::Water, Texture::Water, Vec3::ONE, 1);
        let n = 40;
        let coordinate = |i: usize| 1.9 * warp(2.0 * i as f32 / n as f32 - 1.0);
        for j in 0..n {
            for i in 0..n {
                let (x0, x1) = (coordinate(i), coordinate(i + 1));
                let (z0, z1) = (MIDDLE + coordinate(j), MIDDLE + coordinate(j + 1));
                let near = |x: f32, z: f32| terrain.wetness(x, z) > -1.2;
                let steps = 4;
                let any = (0..=steps).any(|a| {
                    (0..=steps).any(|b| {
                        near(x0 + (x1 - x0) * a as f32 / steps as f32, z0 + (z1 - z0) * b as f32 / steps as f32)
                    })
                });
                if any {
                    let p = [
                        Vec3::new(x0, 0.0, z0),
                        Vec3::new(x0, 0.0, z1),
                        Vec3::new(x1, 0.0, z1),
                        Vec3::new(x1, 0.0, z0),
                    ];
                    mesh.quad(p, Vec2::ONE, water);
                }
            }
        }
    }
}
