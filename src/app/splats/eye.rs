//! Where one looks from: an orbit that is turned, shifted and flown.

use glam::{DVec2, DVec3};

use super::path::Pose;
use super::settings::Up;
use crate::splats::SplatError;
use crate::splats::camera::{Camera, Orbit};
use crate::splats::gaussians::Bounds;

/// Just before the pole, where right and left would change sides.
const STEEPEST: f64 = 1.55;

/// An orbit and a field of view.
#[derive(Clone, Debug)]
pub(super) struct Eye {
    orbit: Orbit,
    /// Of the scene, world units: what speeds are measured by.
    size: f64,
    pub(super) fov: f64,
}

impl Default for Eye {
    fn default() -> Self {
        let orbit = Orbit { target: DVec3::ZERO, distance: 3.0, azimuth: 0.5, elevation: 0.3, up: DVec3::NEG_Y };
        Self { orbit, size: 1.0, fov: 45f64.to_radians() }
    }
}

pub(super) fn direction(up: Up) -> DVec3 {
    match up {
        Up::NegativeY => DVec3::NEG_Y,
        Up::Y => DVec3::Y,
        Up::Z => DVec3::Z,
        Up::NegativeZ => DVec3::NEG_Z,
    }
}

impl Eye {
    /// Sees all of a box.
    pub(super) fn frame(&mut self, bounds: &Bounds, up: Up) {
        self.orbit = Orbit::framing(bounds, direction(up), self.fov);
        // A scene is seldom a ball that fills its box.
        self.orbit.distance *= 0.75;
        self.size = self.orbit.distance;
    }

    /// Stands where a camera stands, looks where it looks, and goes around what is `distance` ahead of it.
    pub(super) fn stand_at(&mut self, camera: &Camera, distance: f64, up: Up) {
        let (up, forward) = (direction(up), camera.axes()[2]);
        let target = camera.eye() + distance * forward;
        let elevation = (-forward.dot(up)).clamp(-1.0, 1.0).asin().clamp(-STEEPEST, STEEPEST);
        let level = Orbit { target, distance, azimuth: 0.0, elevation: 0.0, up };
        // Where azimuth 0 and a quarter turn lie, seen from the target.
        let side = |azimuth: f64| (Orbit { azimuth, ..level }.eye() - target) / distance;
        let azimuth = (-forward).dot(side(std::f64::consts::FRAC_PI_2)).atan2((-forward).dot(side(0.0)));
        self.orbit = Orbit { azimuth, elevation, ..level };
    }

    pub(super) fn set_up(&mut self, up: Up) {
        self.orbit.up = direction(up);
    }

    pub(super) fn camera(&self, size: (u32, u32)) -> Result<Camera, SplatError> {
        Camera::orbit(&self.orbit, self.fov, size)
    }

    pub(super) fn distance(&self) -> f64 {
        self.orbit.distance
    }

    /// Of the scene, world units.
    pub(super) fn size(&self) -> f64 {
        self.size
    }

    /// How far ahead of a camera what is looked at now lies: there the eye goes around it.
    pub(super) fn distance_ahead(&self, camera: &Camera) -> f64 {
        let ahead = camera.to_camera(self.orbit.target).z;
        if ahead > 0.05 * self.size { ahead } else { 0.5 * self.size }
    }

    /// Where it is and what it looks at.
    pub(super) fn pose(&self) -> Pose {
        Pose { eye: self.orbit.eye(), target: self.orbit.target, up: self.orbit.up, fov: self.fov }
    }

    /// Stands as a pose says.
    pub(super) fn take(&mut self, pose: &Pose, up: Up) {
        if let Ok(camera) = pose.camera((100, 100)) {
            self.stand_at(&camera, (pose.eye - pose.target).length().max(1e-9), up);
            self.fov = pose.fov;
        }
    }

    /// Turns around the target, radians.
    pub(super) fn turn(&mut self, across: f64, up: f64) {
        self.orbit.azimuth += across;
        self.orbit.elevation = (self.orbit.elevation + up).clamp(-STEEPEST, STEEPEST);
    }

    /// Shifts the view by parts of its height: right, down.
    pub(super) fn shift(&mut self, by: DVec2) {
        let Ok(camera) = self.camera((100, 100)) else { return };
        let [right, down, _] = camera.axes();
        let height = 2.0 * self.orbit.distance * (0.5 * self.fov).tan();
        self.orbit.target += height * (by.x * right + by.y * down);
    }

    /// Comes nearer by a factor, towards a point of the world (or the target).
    pub(super) fn approach(&mut self, factor: f64, towards: Option<DVec3>) {
        let distance = (self.orbit.distance * factor).clamp(1e-4 * self.size, 100.0 * self.size);
        if let Some(point) = towards {
            let share = 1.0 - distance / self.orbit.distance;
            self.orbit.target += share * (point - self.orbit.target);
        }
        self.orbit.distance = distance;
    }

    /// Flies right, down and forward, in parts of the distance.
    pub(super) fn fly(&mut self, by: DVec3) {
        let Ok(camera) = self.camera((100, 100)) else { return };
        let [right, down, forward] = camera.axes();
        self.orbit.target += self.orbit.distance * (by.x * right + by.y * down + by.z * forward);
    }

    /// Looks at a point and goes around it from now on.
    pub(super) fn focus(&mut self, point: DVec3) {
        let eye = self.orbit.eye();
        self.orbit.target = point;
        self.orbit.distance = (eye - point).length().clamp(0.05 * self.size, self.size) * 0.7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_that_is_approached_stays_where_it_is_seen() {
        let mut eye = Eye::default();
        let camera = eye.camera((200, 100)).unwrap();
        // A point in the plane of the target.
        let point = camera.unproject(DVec2::new(150.0, 20.0), 3.0);
        eye.approach(0.5, Some(point));
        let seen = eye.camera((200, 100)).unwrap().project(point).unwrap();
        assert!((seen - DVec2::new(150.0, 20.0)).length() < 1e-6, "{seen}");
        eye.turn(0.0, 9.0);
        assert!(eye.camera((200, 100)).unwrap().axes()[1].dot(DVec3::Y) > 0.0, "never over the pole");
    }

    #[test]
    fn a_camera_is_taken_over() {
        let from = DVec3::new(3.0, -2.0, 1.5);
        let camera = Camera::look_at(from, DVec3::new(0.5, 0.0, -1.0), DVec3::NEG_Y, 0.8, (200, 100)).unwrap();
        let mut eye = Eye::default();
        eye.stand_at(&camera, 2.5, Up::NegativeY);
        let taken = eye.camera((200, 100)).unwrap();
        assert!((taken.eye() - from).length() < 1e-9);
        assert!((taken.axes()[2] - camera.axes()[2]).length() < 1e-9);
    }

    #[test]
    fn shifting_and_flying_go_where_they_should() {
        let mut eye = Eye::default();
        let before = eye.camera((100, 100)).unwrap();
        eye.shift(DVec2::new(0.5, 0.0));
        // Half a picture to the right: what was in the middle is at the left edge.
        let seen = eye.camera((100, 100)).unwrap().project(DVec3::ZERO).unwrap();
        assert!((seen - DVec2::new(0.0, 50.0)).length() < 1e-6, "{seen}");
        let mut eye = Eye::default();
        eye.fly(DVec3::new(0.0, 0.0, 0.5));
        let moved = eye.camera((100, 100)).unwrap().eye() - before.eye();
        assert!((moved - 1.5 * before.axes()[2]).length() < 1e-9);
    }
}
