//! A pinhole camera: where it stands, how it looks, and the size of its picture.
//!
//! Camera axes are x right, y down, z forward (OpenCV's, and 3DGS's and COLMAP's); the middle of pixel (i, j) lies at
//! (i + ½, j + ½). Everything in f64: scenes may lie far from the origin.

use glam::{DMat3, DQuat, DVec2, DVec3};

use super::SplatError;
use super::gaussians::Bounds;

/// What is nearer than this is not drawn (gsplat's; spec/splats.md section 2 step 1).
pub const NEAR: f64 = 0.01;
/// What is farther is not drawn.
pub const FAR: f64 = 1e10;
/// The most pixels along a side of a picture.
pub const MAX_SIDE: u32 = 16_384;

/// A pinhole camera without distortion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// World to camera, a rotation; its rows are the camera's axes in the world.
    pub rotation: DMat3,
    /// World to camera: a point p is seen at `rotation · p + translation`.
    pub translation: DVec3,
    /// Focal lengths in pixels.
    pub focal: DVec2,
    /// The principal point in pixels from the upper left corner.
    pub principal: DVec2,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Nothing with a smaller z is seen.
    pub near: f64,
    /// Nothing with a larger z is seen.
    pub far: f64,
}

impl Camera {
    /// A camera at `eye` that looks at `target`, its picture's upper side towards `up`, with a vertical field of view of
    /// `fov_y` radians. Where `up` lies along the view, another direction is taken.
    ///
    /// # Errors
    /// [`SplatError::Camera`] for sizes and fields of view that cannot be.
    pub fn look_at(eye: DVec3, target: DVec3, up: DVec3, fov_y: f64, size: (u32, u32)) -> Result<Self, SplatError> {
        let forward = (target - eye).try_normalize().unwrap_or(DVec3::Z);
        // Of all axes the one that stands most across the view stands in for an `up` that does not.
        let across =
            |up: DVec3| forward.cross(up).try_normalize().filter(|_| forward.cross(up).length() > 1e-9 * up.length());
        let right = across(up).unwrap_or_else(|| forward.any_orthonormal_vector());
        let down = forward.cross(right);
        let rotation = DMat3::from_cols(right, down, forward).transpose();
        Self::from_fov(rotation, -(rotation * eye), fov_y, size)
    }

    /// A camera on a sphere around `target`, for orbiting: `azimuth` turns around `up`, `elevation` lifts it towards
    /// `up` (radians), both 0 is an arbitrary but fixed side.
    ///
    /// # Errors
    /// As [`Camera::look_at`].
    pub fn orbit(orbit: &Orbit, fov_y: f64, size: (u32, u32)) -> Result<Self, SplatError> {
        Self::look_at(orbit.eye(), orbit.target, orbit.up, fov_y, size)
    }

    /// A camera with this pose, whose principal point is the picture's middle.
    ///
    /// # Errors
    /// As [`Camera::checked`].
    pub fn from_fov(rotation: DMat3, translation: DVec3, fov_y: f64, size: (u32, u32)) -> Result<Self, SplatError> {
        if !(fov_y > 0.0 && fov_y < std::f64::consts::PI) {
            return Err(SplatError::Camera(format!("a field of view of {:.1} degrees", fov_y.to_degrees())));
        }
        let (width, height) = size;
        let focal = 0.5 * f64::from(height) / (0.5 * fov_y).tan();
        let principal = 0.5 * DVec2::new(f64::from(width), f64::from(height));
        let camera =
            Self { rotation, translation, focal: DVec2::splat(focal), principal, width, height, near: NEAR, far: FAR };
        camera.checked()
    }

    /// Itself, if it can see.
    ///
    /// # Errors
    /// [`SplatError::Camera`]: what about it cannot be.
    pub fn checked(self) -> Result<Self, SplatError> {
        let fault = |text: String| Err(SplatError::Camera(text));
        let (width, height) = (self.width, self.height);
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return fault(format!("a picture of {width} × {height} pixels (1 to {MAX_SIDE} a side)"));
        }
        if !(self.focal.is_finite() && self.focal.x > 0.0 && self.focal.y > 0.0) {
            return fault(format!("focal lengths of {} and {} pixels", self.focal.x, self.focal.y));
        }
        if !self.principal.is_finite() || !self.translation.is_finite() || !self.rotation.is_finite() {
            return fault("its pose or principal point has values that are no numbers".to_owned());
        }
        let off = self.rotation * self.rotation.transpose() - DMat3::IDENTITY;
        let most = off.to_cols_array().iter().fold(0.0f64, |most, value| most.max(value.abs()));
        if most > 1e-3 || self.rotation.determinant() < 0.0 {
            return fault("its rotation is no rotation".to_owned());
        }
        if !(self.near > 0.0 && self.far > self.near) {
            return fault(format!("it sees from {} to {}", self.near, self.far));
        }
        Ok(self)
    }

    /// Where it stands in the world.
    #[must_use]
    pub fn eye(&self) -> DVec3 {
        -(self.rotation.transpose() * self.translation)
    }

    /// Its axes in the world: right, down, forward.
    #[must_use]
    pub fn axes(&self) -> [DVec3; 3] {
        [self.rotation.row(0), self.rotation.row(1), self.rotation.row(2)]
    }

    /// A point of the world in camera axes.
    #[must_use]
    pub fn to_camera(&self, point: DVec3) -> DVec3 {
        self.rotation * point + self.translation
    }

    /// Where a point of the world is seen, in pixels; `None` for what is nearer than [`Camera::near`].
    #[must_use]
    pub fn project(&self, point: DVec3) -> Option<DVec2> {
        let seen = self.to_camera(point);
        (seen.z > self.near).then(|| self.focal * seen.truncate() / seen.z + self.principal)
    }

    /// The point of the world seen at a place of the picture, `depth` along the camera's z axis.
    #[must_use]
    pub fn unproject(&self, pixel: DVec2, depth: f64) -> DVec3 {
        let across = (pixel - self.principal) / self.focal * depth;
        self.rotation.transpose() * (across.extend(depth) - self.translation)
    }

    /// The direction in which a place of the picture lies, of length 1.
    #[must_use]
    pub fn ray(&self, pixel: DVec2) -> DVec3 {
        (self.rotation.transpose() * ((pixel - self.principal) / self.focal).extend(1.0)).normalize()
    }

    /// The vertical field of view in radians.
    #[must_use]
    pub fn fov_y(&self) -> f64 {
        2.0 * (0.5 * f64::from(self.height) / self.focal.y).atan()
    }

    /// The same view in a picture of another size: as high a part of the world, wider or narrower where the shape differs.
    ///
    /// # Errors
    /// As [`Camera::checked`].
    pub fn resized(&self, (width, height): (u32, u32)) -> Result<Self, SplatError> {
        let scale = f64::from(height) / f64::from(self.height);
        let middle = |side: u32| 0.5 * f64::from(side);
        // The principal point keeps its distance to the middle, in parts of the height.
        let old = DVec2::new(middle(self.width), middle(self.height));
        let principal = DVec2::new(middle(width), middle(height)) + (self.principal - old) * scale;
        Self { focal: self.focal * scale, principal, width, height, ..*self }.checked()
    }

    /// Camera to world as a unit quaternion, for smooth flights between cameras.
    #[must_use]
    pub fn orientation(&self) -> DQuat {
        DQuat::from_mat3(&self.rotation.transpose()).normalize()
    }
}

/// A place on a sphere around what is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orbit {
    /// What is looked at, in world units.
    pub target: DVec3,
    /// Distance of the eye to it.
    pub distance: f64,
    /// Angle around `up`, radians.
    pub azimuth: f64,
    /// Angle above the plane across `up`, radians, within ±π/2.
    pub elevation: f64,
    /// The direction that is up in the world.
    pub up: DVec3,
}

impl Orbit {
    /// An orbit that frames a box, from a little above.
    #[must_use]
    pub fn framing(bounds: &Bounds, up: DVec3, fov_y: f64) -> Self {
        let target = DVec3::from(bounds.centre().map(f64::from));
        let radius = f64::from(bounds.radius()).max(1e-6);
        let distance = radius / (0.5 * fov_y).sin().max(1e-3);
        Self { target, distance, azimuth: 0.5, elevation: 0.3, up }
    }

    /// Where the eye is.
    #[must_use]
    pub fn eye(&self) -> DVec3 {
        let up = self.up.try_normalize().unwrap_or(DVec3::NEG_Y);
        // The side that azimuth 0 looks from: the world axis that is least along `up`, brought across it.
        let side = if up.x.abs() < 0.9 { DVec3::X } else { DVec3::Z };
        let side = (side - up * side.dot(up)).normalize();
        let other = up.cross(side);
        let (sin, cos) = self.azimuth.sin_cos();
        let (lift, along) = self.elevation.sin_cos();
        self.target + self.distance * ((side * cos + other * sin) * along + up * lift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: DVec3, b: DVec3) -> bool {
        (a - b).length() < 1e-9 * (1.0 + b.length())
    }

    #[test]
    fn looking_at_a_point_puts_it_in_the_middle_and_up_is_up() {
        let (eye, target) = (DVec3::new(4.0, -2.0, 1.0), DVec3::new(0.5, -1.0, 0.0));
        let camera = Camera::look_at(eye, target, DVec3::NEG_Y, 0.8, (640, 360)).unwrap();
        assert!(close(camera.eye(), eye));
        assert!((camera.project(target).unwrap() - DVec2::new(320.0, 180.0)).length() < 1e-9);
        let above = camera.project(target + 0.1 * DVec3::NEG_Y).unwrap();
        assert!(above.y < 180.0 && (above.x - 320.0).abs() < 1e-9);
        assert!((camera.fov_y() - 0.8).abs() < 1e-12);
        assert!((camera.rotation.determinant() - 1.0).abs() < 1e-12);
        assert!(camera.project(eye - camera.axes()[2]).is_none(), "behind it");
        let point = camera.unproject(DVec2::new(17.5, 300.5), 3.0);
        assert!((camera.project(point).unwrap() - DVec2::new(17.5, 300.5)).length() < 1e-9);
        assert!(close((point - eye).normalize(), camera.ray(DVec2::new(17.5, 300.5))));
        assert!((camera.to_camera(point).z - 3.0).abs() < 1e-9);
    }

    #[test]
    fn looking_along_up_still_gives_a_camera() {
        let camera = Camera::look_at(DVec3::ZERO, DVec3::Y, DVec3::Y, 1.0, (10, 10)).unwrap();
        assert!(close(camera.axes()[2], DVec3::Y));
        assert!(Camera::look_at(DVec3::ZERO, DVec3::ZERO, DVec3::ZERO, 1.0, (10, 10)).is_ok());
    }

    #[test]
    fn orbits_keep_their_distance_and_rise_towards_up() {
        for up in [DVec3::NEG_Y, DVec3::Z, DVec3::X, DVec3::new(1.0, 2.0, 3.0)] {
            let mut orbit = Orbit { target: DVec3::ONE, distance: 3.0, azimuth: 1.1, elevation: 0.4, up };
            assert!(((orbit.eye() - orbit.target).length() - 3.0).abs() < 1e-9);
            let height = (orbit.eye() - orbit.target).dot(up.normalize());
            assert!((height - 3.0 * 0.4f64.sin()).abs() < 1e-9);
            orbit.azimuth += 0.5;
            assert!(((orbit.eye() - orbit.target).dot(up.normalize()) - height).abs() < 1e-9);
            assert!(Camera::orbit(&orbit, 0.8, (64, 64)).is_ok());
        }
        let bounds = Bounds { min: [-1.0; 3], max: [1.0; 3] };
        let camera = Camera::orbit(&Orbit::framing(&bounds, DVec3::NEG_Y, 0.8), 0.8, (100, 100)).unwrap();
        for corner in 0..8 {
            let at = |bit: u32| if corner & (1 << bit) == 0 { -1.0 } else { 1.0 };
            let seen = camera.project(DVec3::new(at(0), at(1), at(2))).unwrap();
            assert!(seen.min_element() > 0.0 && seen.max_element() < 100.0, "{seen}");
        }
    }

    #[test]
    fn another_size_shows_the_same_height_of_the_world() {
        let mut camera = Camera::from_fov(DMat3::IDENTITY, DVec3::ZERO, 0.8, (640, 360)).unwrap();
        camera.principal.x += 6.0;
        let small = camera.resized((160, 90)).unwrap();
        let point = DVec3::new(0.3, -0.2, 1.5);
        assert!((small.project(point).unwrap() * 4.0 - camera.project(point).unwrap()).length() < 1e-9);
        let square = camera.resized((360, 360)).unwrap();
        assert!((square.fov_y() - camera.fov_y()).abs() < 1e-12);
    }

    #[test]
    fn cameras_that_cannot_see_are_refused_in_a_sentence() {
        let good = Camera::from_fov(DMat3::IDENTITY, DVec3::ZERO, 0.8, (640, 360)).unwrap();
        let fault = |camera: Camera| camera.checked().unwrap_err().to_string();
        assert!(fault(Camera { width: 0, ..good }).contains("0 × 360 pixels"));
        assert!(fault(Camera { height: 1 << 30, ..good }).contains("1073741824"));
        assert!(fault(Camera { focal: DVec2::new(0.0, 1.0), ..good }).contains("focal lengths of 0 and 1"));
        assert!(fault(Camera { translation: DVec3::NAN, ..good }).contains("no numbers"));
        assert!(fault(Camera { rotation: 2.0 * DMat3::IDENTITY, ..good }).contains("no rotation"));
        assert!(fault(Camera { near: 0.0, ..good }).contains("sees from 0"));
        assert!(Camera::from_fov(DMat3::IDENTITY, DVec3::ZERO, 4.0, (64, 64)).is_err());
    }
}
