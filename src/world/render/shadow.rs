//! The sun's shadow map with soft edges.

use glam::Vec3;

use super::raster::{NONE, Visible, parallel};
use crate::world::build::Triangle;

/// Half the side of the square that casts shadows, metres, and its centre before the viewer.
const REACH: f32 = 70.0;
const CENTRE: Vec3 = Vec3::new(0.0, 0.0, 52.0);

pub struct Shadow {
    visible: Visible,
    axes: [Vec3; 3],
    scale: f32,
}

impl Shadow {
    /// Renders the scene from the light.
    pub fn new(triangles: &[Triangle], sun: Vec3, size: usize, bare: bool) -> Self {
        let right = sun.cross(Vec3::Y).normalize_or(Vec3::X);
        let axes = [right, right.cross(-sun).normalize(), sun];
        let scale = size as f32 / (2.0 * REACH);
        Self { visible: parallel(triangles, &axes, CENTRE, scale, size, bare), axes, scale }
    }

    /// 1 in the sun, 0 in the shade.
    pub fn bright(&self, p: Vec3, distance: f32) -> f32 {
        let d = p - CENTRE;
        let size = self.visible.width as f32;
        let x = 0.5 * size + d.dot(self.axes[0]) * self.scale;
        let y = 0.5 * size - d.dot(self.axes[1]) * self.scale;
        let margin = 3.0;
        if x < margin || y < margin || x > size - margin || y > size - margin {
            return 1.0;
        }
        let height = d.dot(self.axes[2]) + 0.06 + 0.9 / self.scale + distance * 0.0012;
        let width = self.visible.width;
        let lit = |ix: usize, iy: usize| {
            let i = iy * width + ix;
            if self.visible.triangle[i] == NONE || self.visible.near[i] <= height { 1.0 } else { 0.0 }
        };
        // 3×3 tent filter by bilinear weights
        let (bx, by) = (x - 0.5, y - 0.5);
        let (ix, iy) = (bx.floor(), by.floor());
        let (fx, fy) = (bx - ix, by - iy);
        let (ix, iy) = (ix as usize - 1, iy as usize - 1);
        let wx = [1.0 - fx, 1.0, 1.0, fx];
        let wy = [1.0 - fy, 1.0, 1.0, fy];
        let mut sum = 0.0;
        for (j, v) in wy.iter().enumerate() {
            for (i, u) in wx.iter().enumerate() {
                sum += u * v * lit(ix + i, iy + j);
            }
        }
        let edge = (size * 0.5 - (x - size * 0.5).abs()).min(size * 0.5 - (y - size * 0.5).abs());
        let inside = ((edge - margin) / 24.0).clamp(0.0, 1.0);
        1.0 + (sum / 9.0 - 1.0) * inside
    }
}
