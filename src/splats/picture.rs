//! One picture with depth as a scene: a Gaussian for every few pixels, at the distance that the depth map says, as large
//! as its pixels are there, lying in the surface that its neighbours span.

use glam::{DVec2, DVec3, Mat3, Quat, Vec3};

use super::SplatError;
use super::camera::Camera;
use super::gaussians::{Gaussians, Parts, logit};
use super::harmonics::constant;

/// Opacity of every Gaussian.
const OPACITY: f32 = 0.97;
/// Standard deviation along the surface, in parts of the distance to the next Gaussian.
const WIDTH: f32 = 0.6;
/// And across it.
const THICKNESS: f32 = 0.1;
/// Neighbours whose distances differ by more than this share do not belong to one surface.
const STEP: f32 = 0.08;
/// A surface seen at a flatter angle than this is taken to be seen at it: so much longer is a Gaussian than a pixel.
const MOST_SLANT: f32 = 4.0;

/// A picture with depth: all arrays row by row, `[height, width]` of the camera that took it.
#[derive(Clone, Copy, Debug)]
pub struct DepthPicture<'a> {
    /// The camera; its picture has one pixel for each Gaussian.
    pub camera: &'a Camera,
    /// Colours, sRGB, 0..=1.
    pub colours: &'a [[f32; 3]],
    /// Distances along the camera's z axis, positive.
    pub depths: &'a [f32],
}

impl DepthPicture<'_> {
    /// The scene, Gaussian i being pixel i.
    ///
    /// # Errors
    /// [`SplatError::Request`] if the arrays do not fit the camera or a distance is none, [`SplatError::Camera`].
    pub fn gaussians(&self) -> Result<Gaussians, SplatError> {
        self.camera.checked()?;
        let (width, height) = (self.camera.width as usize, self.camera.height as usize);
        let pixels = width * height;
        if self.colours.len() != pixels || self.depths.len() != pixels {
            let (colours, depths) = (self.colours.len(), self.depths.len());
            let text = format!("{colours} colours and {depths} distances are no picture of {width} × {height} pixels");
            return Err(SplatError::Request(text));
        }
        if self.depths.iter().any(|depth| !(depth.is_finite() && *depth > 0.0)) {
            return Err(SplatError::Request("the depth model gave distances that are none".to_owned()));
        }
        let mut parts = Parts {
            positions: Vec::with_capacity(pixels),
            log_scales: Vec::with_capacity(pixels),
            rotations: Vec::with_capacity(pixels),
            opacity_logits: vec![logit(OPACITY); pixels],
            sh_degree: 0,
            sh: self.colours.iter().flat_map(|colour| constant(*colour)).collect(),
            ..Parts::default()
        };
        for y in 0..height {
            for x in 0..width {
                parts.positions.push(self.point(x, y).as_vec3().to_array());
                let (scales, rotation) = self.disc(x, y);
                parts.log_scales.push(scales.map(f32::ln));
                parts.rotations.push([rotation.w, rotation.x, rotation.y, rotation.z]);
            }
        }
        Gaussians::new(parts)
    }

    /// Where in the world a pixel lies.
    fn point(&self, x: usize, y: usize) -> DVec3 {
        let depth = self.depths[y * self.camera.width as usize + x];
        self.camera.unproject(DVec2::new(x as f64 + 0.5, y as f64 + 0.5), f64::from(depth))
    }

    /// The step from a pixel to the next along an axis, on the surface or, at its edges, across the view.
    fn step(&self, x: usize, y: usize, axis: usize) -> Vec3 {
        let (width, height) = (self.camera.width as usize, self.camera.height as usize);
        let depth = self.depths[y * width + x];
        let across = self.camera.axes()[axis].as_vec3() * (depth / self.camera.focal[axis] as f32);
        let (at, sides) = if axis == 0 { (x, width) } else { (y, height) };
        let there = |to: usize| if axis == 0 { (to, y) } else { (x, to) };
        let neighbours =
            [at.checked_add(1).filter(|to| *to < sides).map(|to| (to, 1.0)), at.checked_sub(1).map(|to| (to, -1.0))];
        let steps = neighbours.into_iter().flatten().filter_map(|(to, sign)| {
            let (x2, y2) = there(to);
            let other = self.depths[y2 * width + x2];
            let joined = (other - depth).abs() <= STEP * depth.min(other);
            joined.then(|| sign * (self.point(x2, y2) - self.point(x, y)).as_vec3())
        });
        let steps: Vec<Vec3> = steps.collect();
        if steps.is_empty() {
            return across;
        }
        let step = steps.iter().sum::<Vec3>() / steps.len() as f32;
        step.clamp_length(across.length(), MOST_SLANT * across.length())
    }

    /// Standard deviations along its own axes, and how these lie in the world.
    fn disc(&self, x: usize, y: usize) -> ([f32; 3], Quat) {
        let (along, other) = (self.step(x, y, 0), self.step(x, y, 1));
        let first = along.normalize_or(Vec3::X);
        let across = other - first * other.dot(first);
        // Both steps along one line span no surface.
        let second = across.try_normalize().filter(|_| across.length() > 1e-3 * other.length());
        let second = second.unwrap_or_else(|| first.any_orthonormal_vector());
        let turn = Quat::from_mat3(&Mat3::from_cols(first, second, first.cross(second))).normalize();
        let sides = [along.length(), across.length().max(0.25 * other.length())].map(|side| WIDTH * side.max(1e-12));
        ([sides[0], sides[1], THICKNESS * sides[0].min(sides[1])], turn)
    }
}

#[cfg(test)]
mod tests {
    use glam::DMat3;

    use super::*;
    use crate::splats::Unobserved;
    use crate::splats::raster::{Channels, RasterRequest};
    use crate::splats::tiles::render;

    /// A floor that goes away and a wall at its end.
    fn floor_and_wall() -> (Camera, Vec<f32>, Vec<[f32; 3]>) {
        let camera = Camera::from_fov(DMat3::IDENTITY, DVec3::ZERO, 0.8, (120, 90)).unwrap();
        let (mut depths, mut colours) = (Vec::new(), Vec::new());
        for y in 0..90 {
            for x in 0..120 {
                let down = camera.ray(DVec2::new(f64::from(x) + 0.5, f64::from(y) + 0.5));
                let floor = if down.y > 1e-9 { down.z / down.y } else { f64::INFINITY };
                depths.push(floor.min(8.0) as f32);
                colours.push(if floor < 8.0 { [0.2, 0.6, 0.3] } else { [0.7, 0.5, 0.4] });
            }
        }
        (camera, depths, colours)
    }

    #[test]
    fn from_its_own_camera_the_scene_is_the_picture_at_its_depth() {
        let (camera, depths, colours) = floor_and_wall();
        let scene = DepthPicture { camera: &camera, colours: &colours, depths: &depths }.gaussians().unwrap();
        let channels = Channels { colour: true, depth: true, ..Channels::default() };
        let request = RasterRequest { channels, ..RasterRequest::colour(&scene, &camera) };
        let seen = render(&scene, &request, &Unobserved).unwrap();
        let pixels = 120 * 90;
        let close = (0..pixels).filter(|pixel| (seen.depth[*pixel] / depths[*pixel] - 1.0).abs() < 0.05).count();
        let covered = seen.alpha.iter().filter(|alpha| **alpha > 0.8).count();
        let same = (0..pixels).filter(|pixel| {
            (0..3).all(|channel| (seen.colour[3 * pixel + channel] - colours[*pixel][channel]).abs() < 0.1)
        });
        assert!(close > pixels * 9 / 10 && covered > pixels * 95 / 100, "{close} {covered}");
        assert!(same.count() > pixels * 9 / 10);
    }

    #[test]
    fn discs_lie_in_their_surface() {
        let (camera, depths, colours) = floor_and_wall();
        let picture = DepthPicture { camera: &camera, colours: &colours, depths: &depths };
        let normal = |x: usize, y: usize| picture.disc(x, y).1 * Vec3::Z;
        assert!(normal(60, 85).y.abs() > 0.99, "the floor: {}", normal(60, 85));
        assert!(normal(60, 20).z.abs() > 0.99, "the wall: {}", normal(60, 20));
        let bad = [f32::NAN; 120 * 90];
        assert!(DepthPicture { depths: &bad, ..picture }.gaussians().is_err());
        assert!(DepthPicture { depths: &bad[1..], ..picture }.gaussians().is_err());
    }
}
