//! A coarse map of the land seen from above: ground height, and how crowded each place is (ambient occlusion).

use glam::Vec3;

use crate::world::build::{Layer, Triangle};
use crate::world::look::Part;
use crate::world::terrain::Terrain;

const CELL: f32 = 1.0;
const WIDE: usize = 160;
const DEEP: usize = 130;

pub struct GroundMap {
    ground: Vec<f32>,
    crowd: Vec<f32>,
}

impl GroundMap {
    pub fn new(terrain: &Terrain, triangles: &[Triangle], bare: bool) -> Self {
        let mut ground = vec![0.0; WIDE * DEEP];
        for j in 0..DEEP {
            for i in 0..WIDE {
                let (x, z) = ((i as f32 - WIDE as f32 / 2.0) * CELL, j as f32 * CELL);
                ground[j * WIDE + i] = terrain.height(x, z);
            }
        }
        let mut tall = vec![0.0_f32; WIDE * DEEP];
        for t in triangles {
            let skip = matches!(t.part, Part::Ground | Part::Water)
                || (bare && t.layer == Layer::Leafy)
                || t.layer == Layer::Bare;
            if skip {
                continue;
            }
            let middle = (t.p[0] + t.p[1] + t.p[2]) / 3.0;
            for p in [t.p[0], t.p[1], t.p[2], middle] {
                let (x, z) = (p.x / CELL + WIDE as f32 / 2.0, p.z / CELL);
                if x >= 0.0 && z >= 0.0 && (x as usize) < WIDE && (z as usize) < DEEP {
                    let k = z as usize * WIDE + x as usize;
                    tall[k] = tall[k].max((p.y - ground[k].max(0.0)).clamp(0.0, 7.0));
                }
            }
        }
        // two box blurs, about three metres wide
        for _ in 0..2 {
            let mut next = vec![0.0; WIDE * DEEP];
            for j in 0..DEEP {
                for i in 0..WIDE {
                    let mut sum = 0.0;
                    let mut count = 0.0;
                    for b in j.saturating_sub(1)..=(j + 1).min(DEEP - 1) {
                        for a in i.saturating_sub(1)..=(i + 1).min(WIDE - 1) {
                            sum += tall[b * WIDE + a];
                            count += 1.0;
                        }
                    }
                    next[j * WIDE + i] = sum / count;
                }
            }
            tall = next;
        }
        Self { ground, crowd: tall }
    }

    fn sample(field: &[f32], x: f32, z: f32) -> Option<f32> {
        let (x, z) = (x / CELL + WIDE as f32 / 2.0, z / CELL);
        if x < 0.0 || z < 0.0 || x >= (WIDE - 1) as f32 || z >= (DEEP - 1) as f32 {
            return None;
        }
        let (i, j) = (x as usize, z as usize);
        let (fx, fz) = (x - i as f32, z - j as f32);
        let c = |di: usize, dj: usize| field[(j + dj) * WIDE + i + di];
        let top = c(0, 0) + (c(1, 0) - c(0, 0)) * fx;
        let bottom = c(0, 1) + (c(1, 1) - c(0, 1)) * fx;
        Some(top + (bottom - top) * fz)
    }

    /// Height of the ground; well below the water where the map ends.
    pub fn ground(&self, x: f32, z: f32) -> f32 {
        Self::sample(&self.ground, x, z).unwrap_or(-2.0)
    }

    /// How much of the sky's light reaches a point, about 0.4…1.
    pub fn openness(&self, p: Vec3, n: Vec3) -> f32 {
        let Some(crowd) = Self::sample(&self.crowd, p.x, p.z) else { return 1.0 };
        let above = p.y - Self::sample(&self.ground, p.x, p.z).unwrap_or(0.0).max(0.0);
        let covered = ((crowd - above) / 3.2).clamp(0.0, 1.0);
        // corners between walls and ground
        let corner = if n.y < 0.6 { 0.22 * (-above.max(0.0) / 0.7).exp() } else { 0.0 };
        1.0 - 0.52 * covered - corner
    }
}
