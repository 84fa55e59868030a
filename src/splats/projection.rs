//! One Gaussian in one camera: where its centre is seen, the ellipse it covers, its depth and its opacity.
//!
//! The steps and their order are those of spec/splats.md section 2 (EWA splatting as 3DGS and gsplat do it): the Jacobian
//! of the perspective is taken at a point clamped to a little more than the picture, the picture's pixel filter adds 0.3
//! to the variances, and the ellipse ends where a pixel could not keep it any more. Pixel coordinates: the middle of
//! pixel (i, j) is (i + ½, j + ½).

use super::camera::Camera;
use super::gaussians::Gaussians;
use super::harmonics;

/// Variance in pixels² that the pixel filter adds.
pub const LOW_PASS: f32 = 0.3;
/// A pixel keeps no smaller share of a Gaussian.
pub const ALPHA_MIN: f32 = 1.0 / 255.0;
/// No Gaussian covers more of a pixel.
pub const ALPHA_MAX: f32 = 0.99;
/// Where no more light than this comes through, what lies behind is not added.
pub const TRANSMITTANCE_MIN: f32 = 1e-4;
/// The ellipse never reaches farther than so many standard deviations.
const EXTENT_MAX: f32 = 3.33;
/// The least share of its opacity that the antialiased filter leaves to a Gaussian, squared (gsplat's).
const COMPENSATION_MIN: f32 = 0.005 * 0.005;
/// By how much of the field of view the Jacobian's point may lie beyond the picture.
const MARGIN: f64 = 0.3;

/// What the pixel filter does to Gaussians that are smaller than pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// They grow to a pixel's size (3DGS).
    #[default]
    Classic,
    /// They grow and become as much more transparent (mip-splatting, Yu et al. 2024): for scenes trained so.
    Antialiased,
}

/// A camera as the projection needs it, in f32 but for the camera's place.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// World to camera, row by row, and then the translation.
    pose: [[f64; 4]; 3],
    rotation: [[f32; 3]; 3],
    eye: [f64; 3],
    focal: [f32; 2],
    principal: [f32; 2],
    size: [f32; 2],
    /// x/z and y/z at which the Jacobian may be taken: smallest and largest.
    limits: [[f32; 2]; 2],
    depths: [f64; 2],
    filter: Filter,
}

/// What one Gaussian covers of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Footprint {
    /// Where its centre is seen, pixels.
    pub centre: [f32; 2],
    /// Its covariance in the picture, xx, xy, yy, pixels², the pixel filter included.
    pub covariance: [f32; 3],
    /// The inverse of the covariance, xx, xy, yy: σ = ½ (A dx² + C dy²) + B dx dy.
    pub conic: [f32; 3],
    /// Half the sides of the box around all pixels that keep it, pixels.
    pub extent: [f32; 2],
    /// How many standard deviations its ellipse reaches.
    pub reach: f32,
    /// Distance along the camera's z axis, world units.
    pub depth: f32,
    /// Its opacity in the middle, 0..=1, by which the exponential is multiplied.
    pub opacity: f32,
}

impl View {
    /// The view of a camera through a filter.
    #[must_use]
    pub fn new(camera: &Camera, filter: Filter) -> Self {
        let rows = camera.axes();
        let translation = camera.translation.to_array();
        let (focal, principal) = (camera.focal.to_array(), camera.principal.to_array());
        let size = [f64::from(camera.width), f64::from(camera.height)];
        let limits = std::array::from_fn(|axis| {
            let margin = MARGIN * 0.5 * size[axis] / focal[axis];
            let least = -(principal[axis] / focal[axis] + margin);
            [least as f32, ((size[axis] - principal[axis]) / focal[axis] + margin) as f32]
        });
        Self {
            pose: std::array::from_fn(|row| {
                let [x, y, z] = rows[row].to_array();
                [x, y, z, translation[row]]
            }),
            rotation: rows.map(|row| row.as_vec3().to_array()),
            eye: camera.eye().to_array(),
            focal: focal.map(|value| value as f32),
            principal: principal.map(|value| value as f32),
            size: size.map(|value| value as f32),
            limits,
            depths: [camera.near, camera.far],
            filter,
        }
    }

    /// x/z and y/z at which the Jacobian may be taken: smallest and largest of each.
    #[must_use]
    pub fn limits(&self) -> [[f32; 2]; 2] {
        self.limits
    }

    /// A point of the world in camera axes. In f64 up to the result, so that scenes far from the origin do not tremble.
    #[must_use]
    pub fn to_camera(&self, position: [f32; 3]) -> [f32; 3] {
        self.seen(position).map(|value| value as f32)
    }

    fn seen(&self, position: [f32; 3]) -> [f64; 3] {
        let [x, y, z] = position.map(f64::from);
        self.pose.map(|row| row[0] * x + row[1] * y + row[2] * z + row[3])
    }

    /// The direction from the eye to a point, of length 1 (0 at the eye itself), in the world's axes.
    #[must_use]
    pub fn direction(&self, position: [f32; 3]) -> [f32; 3] {
        let away: [f64; 3] = std::array::from_fn(|axis| f64::from(position[axis]) - self.eye[axis]);
        let length = away.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length > 0.0 { away.map(|value| (value / length) as f32) } else { [0.0; 3] }
    }

    /// A direction of the world in camera axes, turned so that it points from `position` to the camera's side.
    #[must_use]
    pub fn towards(&self, direction: [f32; 3], position: [f32; 3]) -> [f32; 3] {
        let turned = self.rotation.map(|row| dot(row, direction));
        let away = self.seen(position).iter().zip(turned).map(|(a, b)| a * f64::from(b)).sum::<f64>() > 0.0;
        if away { turned.map(|value| -value) } else { turned }
    }

    /// The colour of one Gaussian from here, by spherical harmonics up to `degree`.
    #[must_use]
    pub fn colour(&self, scene: &Gaussians, index: usize, degree: usize) -> [f32; 3] {
        let direction = self.direction(scene.positions()[index]);
        harmonics::colour(scene.sh_of(index), degree.min(scene.sh_degree()), direction)
    }

    /// What one Gaussian covers of the picture; `None` if no pixel keeps anything of it.
    #[must_use]
    pub fn project(&self, scene: &Gaussians, index: usize) -> Option<Footprint> {
        // Step 1: camera axes; nothing before the near or behind the far plane.
        let seen = self.seen(scene.positions()[index]);
        if !(seen[2] > self.depths[0] && seen[2] < self.depths[1]) {
            return None;
        }
        let mut opacity = scene.opacity(index);
        if opacity < ALPHA_MIN {
            return None;
        }
        let [x, y, z] = seen.map(|value| value as f32);
        // Steps 2 to 4: V = J W R diag(s), whose square is the covariance in the picture.
        let axes = scaled_axes(scene.rotations()[index], scene.scales(index));
        let (along_x, along_y) = self.jacobian(x, y, z);
        let across = |row: [f32; 3]| -> [f32; 3] {
            let turned: [f32; 3] = std::array::from_fn(|axis| {
                row[0] * self.rotation[0][axis] + row[1] * self.rotation[1][axis] + row[2] * self.rotation[2][axis]
            });
            std::array::from_fn(|k| turned[0] * axes[0][k] + turned[1] * axes[1][k] + turned[2] * axes[2][k])
        };
        let (u, v) = (across(along_x), across(along_y));
        let (xx, xy, yy) = (dot(u, u), dot(u, v), dot(v, v));
        // Step 5. The determinant is a sum of squares (Cauchy and Binet), so that thin Gaussians do not cancel.
        let sharp = dot(cross(u, v), cross(u, v));
        let determinant = sharp + LOW_PASS * (xx + yy) + LOW_PASS * LOW_PASS;
        if self.filter == Filter::Antialiased {
            opacity *= (sharp / determinant).max(COMPENSATION_MIN).sqrt();
        }
        let (xx, yy) = (xx + LOW_PASS, yy + LOW_PASS);
        // Step 6; a covariance beyond all numbers is no Gaussian any more.
        if !(determinant > 0.0 && determinant.is_finite()) {
            return None;
        }
        let conic = [yy / determinant, -xy / determinant, xx / determinant];
        // The centre is not clamped, and in f64: it is a difference of large numbers near the border.
        let centre: [f32; 2] = std::array::from_fn(|axis| {
            (f64::from(self.focal[axis]) * seen[axis] / seen[2] + f64::from(self.principal[axis])) as f32
        });
        // Step 7: the ellipse on which a pixel would keep just 1/255.
        if opacity < ALPHA_MIN {
            return None;
        }
        let reach = (2.0 * (opacity / ALPHA_MIN).ln()).sqrt().min(EXTENT_MAX);
        let extent = [reach * xx.sqrt(), reach * yy.sqrt()];
        let outside =
            |axis: usize| !(centre[axis] + extent[axis] > 0.0 && centre[axis] - extent[axis] < self.size[axis]);
        if outside(0) || outside(1) {
            return None;
        }
        Some(Footprint { centre, covariance: [xx, xy, yy], conic, extent, reach, depth: z, opacity })
    }

    /// The rows of the perspective's Jacobian at a point in camera axes, clamped (step 3).
    fn jacobian(&self, x: f32, y: f32, z: f32) -> ([f32; 3], [f32; 3]) {
        let clamped = |value: f32, axis: usize| (value / z).clamp(self.limits[axis][0], self.limits[axis][1]);
        let [fx, fy] = self.focal.map(|focal| focal / z);
        ([fx, 0.0, -fx * clamped(x, 0)], [0.0, fy, -fy * clamped(y, 1)])
    }
}

/// The rotation matrix of a unit quaternion w, x, y, z, row by row.
#[must_use]
pub fn rotation_matrix([w, x, y, z]: [f32; 4]) -> [[f32; 3]; 3] {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

/// R diag(s), row by row: its columns are the Gaussian's axes in the world, as long as its standard deviations.
#[must_use]
pub fn scaled_axes(rotation: [f32; 4], scales: [f32; 3]) -> [[f32; 3]; 3] {
    rotation_matrix(rotation).map(|row| std::array::from_fn(|axis| row[axis] * scales[axis]))
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use glam::{DMat3, DVec3};

    use super::*;
    use crate::splats::gaussians::{Parts, logit};

    fn one(position: [f32; 3], scales: [f32; 3], rotation: [f32; 4], opacity: f32) -> Gaussians {
        Gaussians::new(Parts {
            positions: vec![position],
            log_scales: vec![scales.map(f32::ln)],
            rotations: vec![rotation],
            opacity_logits: vec![logit(opacity)],
            sh_degree: 0,
            sh: vec![0.0; 3],
            ..Parts::default()
        })
        .unwrap()
    }

    fn camera() -> Camera {
        Camera::from_fov(DMat3::IDENTITY, DVec3::ZERO, 1.0, (200, 100)).unwrap()
    }

    #[test]
    fn a_ball_ahead_becomes_a_circle_of_the_expected_size() {
        let camera = camera();
        let scene = one([0.0, 0.0, 5.0], [0.5; 3], [1.0, 0.0, 0.0, 0.0], 0.8);
        let seen = View::new(&camera, Filter::Classic).project(&scene, 0).unwrap();
        let radius = camera.focal.x as f32 * 0.1;
        assert_eq!((seen.centre, seen.depth), ([100.0, 50.0], 5.0));
        assert!((seen.covariance[0] - (radius * radius + 0.3)).abs() < 1e-3 && seen.covariance[1].abs() < 1e-6);
        assert!((seen.conic[0] * seen.covariance[0] - 1.0).abs() < 1e-6);
        // Where the ellipse ends a pixel keeps just 1/255.
        let sigma = 0.5 * seen.conic[0] * seen.extent[0].powi(2);
        assert!((seen.opacity * (-sigma).exp() - ALPHA_MIN).abs() < 1e-6);
    }

    #[test]
    fn what_no_pixel_keeps_is_dropped() {
        let view = View::new(&camera(), Filter::Classic);
        let drop = |position, scale, opacity| {
            view.project(&one(position, [scale; 3], [1.0, 0.0, 0.0, 0.0], opacity), 0).is_none()
        };
        assert!(!drop([0.0, 0.0, 5.0], 0.1, 0.5));
        assert!(drop([0.0, 0.0, -5.0], 0.1, 0.5), "behind");
        assert!(drop([0.0, 0.0, 0.01], 0.1, 0.5), "on the near plane");
        assert!(drop([0.0, 0.0, 5.0], 0.1, 0.0039), "invisible");
        assert!(drop([30.0, 0.0, 5.0], 0.1, 0.5), "beside the picture");
        assert!(!drop([6.0, 0.0, 5.0], 0.5, 0.9), "its centre beside the picture, its edge in it");
        assert!(drop([0.0, 0.0, 5.0], 1e30, 0.5), "beyond all numbers");
    }

    #[test]
    fn needles_keep_a_positive_determinant() {
        let view = View::new(&camera(), Filter::Classic);
        let turn = [(0.3f32).cos(), 0.1, -0.2, (0.3f32).sin()];
        let needle = one([0.3, 0.2, 2.0], [1e4, 1e-6, 1e-6], turn, 0.9);
        let seen = view.project(&needle, 0).unwrap();
        let [xx, xy, yy] = seen.covariance.map(f64::from);
        let [a, b, c] = seen.conic.map(f64::from);
        // The inverse, seen through its trace: both eigenvalues are positive and the larger is about 1/0.3.
        assert!(a > 0.0 && c > 0.0 && xx > 1e6 && yy > 1e4 && xy.abs() > 1e4);
        assert!(((a + c) * 0.3 - 1.0).abs() < 1e-2, "{a} {b} {c}");
    }

    #[test]
    fn the_antialiased_filter_keeps_the_light_of_small_gaussians() {
        let scene = one([0.0, 0.0, 5.0], [0.001; 3], [1.0, 0.0, 0.0, 0.0], 0.9);
        let classic = View::new(&camera(), Filter::Classic).project(&scene, 0).unwrap();
        let mip = View::new(&camera(), Filter::Antialiased).project(&scene, 0);
        let variance = (camera().focal.x as f32 * 0.0002).powi(2);
        let share = variance / (variance + 0.3);
        assert!((classic.opacity - 0.9).abs() < 1e-6);
        assert!((mip.unwrap().opacity - 0.9 * share.max(0.005)).abs() < 1e-4);
    }
}
