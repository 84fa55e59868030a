//! Other cameras around a scene.

use super::scene::{Camera, Scene};

/// How far before the scene's own camera the middle lies around which the others stand, metres.
const DISTANCE: f32 = 34.0;

/// The camera that stands on an arc around the scene's middle, turned by `angle` radians, as high above the ground as
/// the scene's own, which is the camera of angle 0.
#[must_use]
pub fn around(scene: &Scene, angle: f32) -> Camera {
    let home = scene.camera;
    if angle == 0.0 {
        return home;
    }
    let (x, z) = (-DISTANCE * angle.sin(), DISTANCE - DISTANCE * angle.cos());
    let mut eye = home.eye;
    let above = home.eye.y - scene.terrain.height(home.eye.x, home.eye.z).max(0.3);
    eye.x = x;
    eye.z = z;
    eye.y = scene.terrain.height(x, z).max(0.3) + above;
    Camera { eye, yaw: angle, ..home }
}

/// The camera of view `index` of `views` equally spaced ones: 0 is the scene's own, the others lie to both of its sides.
#[must_use]
pub fn numbered(scene: &Scene, index: usize, views: usize) -> Camera {
    if index == 0 || views < 2 {
        return scene.camera;
    }
    let step = (index as f32 + 1.0) / 2.0;
    around(scene, if index % 2 == 1 { step } else { -step.floor() } * (1.2 / views as f32))
}
