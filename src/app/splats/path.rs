//! A way of the eye through the scene: views that a person chose, and the smooth flight between them.

use glam::DVec3;

use super::eye::Eye;
use crate::splats::SplatError;
use crate::splats::camera::Camera;

/// Where the eye is, what it looks at, and its vertical field of view in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose {
    pub(super) eye: DVec3,
    pub(super) target: DVec3,
    pub(super) up: DVec3,
    pub(super) fov: f64,
}

impl Pose {
    pub(super) fn camera(&self, size: (u32, u32)) -> Result<Camera, SplatError> {
        Camera::look_at(self.eye, self.target, self.up, self.fov, size)
    }
}

/// The views of a path, and whether it is played.
#[derive(Clone, Debug)]
pub(super) struct Path {
    poses: Vec<Pose>,
    /// The window's clock when it began.
    began: Option<f64>,
    /// Seconds from one view to the next.
    pub(super) pace: f64,
}

impl Default for Path {
    fn default() -> Self {
        Self { poses: Vec::new(), began: None, pace: 2.0 }
    }
}

impl Path {
    pub(super) fn is_empty(&self) -> bool {
        self.poses.is_empty()
    }

    /// Views of it.
    pub(super) fn keys(&self) -> usize {
        self.poses.len()
    }

    pub(super) fn add(&mut self, eye: &Eye) {
        self.poses.push(eye.pose());
    }

    pub(super) fn remove_last(&mut self) {
        self.poses.pop();
        self.began = None;
    }

    pub(super) fn clear(&mut self) {
        *self = Self { pace: self.pace, ..Self::default() };
    }

    pub(super) fn is_playing(&self) -> bool {
        self.began.is_some()
    }

    pub(super) fn stop(&mut self) {
        self.began = None;
    }

    pub(super) fn play_or_stop(&mut self, now: f64) {
        self.began = if self.began.is_none() && self.keys() > 1 { Some(now) } else { None };
    }

    /// Where it is now, while it is played; it ends at the last view.
    pub(super) fn now(&mut self, now: f64) -> Option<Pose> {
        let at = (now - self.began?) / self.pace.max(0.1);
        let last = (self.keys().max(1) - 1) as f64;
        if at >= last {
            self.began = None;
        }
        self.at(at.clamp(0.0, last))
    }

    /// The views at `count` even steps of it, both ends among them.
    pub(super) fn frames(&self, count: usize) -> Vec<Pose> {
        let last = (self.keys().max(1) - 1) as f64;
        let step = last / (count.max(2) - 1) as f64;
        (0..count).filter_map(|frame| self.at(frame as f64 * step)).collect()
    }

    /// The view at a place, counted in views from 0: through all of them, smoothly (Catmull and Rom 1974).
    pub(super) fn at(&self, place: f64) -> Option<Pose> {
        let last = self.poses.len().checked_sub(1)?;
        let before = (place.floor().max(0.0) as usize).min(last);
        let t = (place - before as f64).clamp(0.0, 1.0);
        let pose = |at: isize| self.poses[at.clamp(0, last as isize) as usize];
        let [a, b, c, d] = [-1, 0, 1, 2].map(|offset| pose(before as isize + offset));
        let smooth = |a: f64, b: f64, c: f64, d: f64| {
            let (linear, square, cube) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * (b - c) + d - a);
            b + 0.5 * t * (linear + t * (square + t * cube))
        };
        let point = |of: fn(&Pose) -> DVec3| {
            let [a, b, c, d] = [of(&a), of(&b), of(&c), of(&d)];
            DVec3::new(smooth(a.x, b.x, c.x, d.x), smooth(a.y, b.y, c.y, d.y), smooth(a.z, b.z, c.z, d.z))
        };
        Some(Pose {
            eye: point(|pose| pose.eye),
            target: point(|pose| pose.target),
            up: b.up,
            fov: b.fov + t * (c.fov - b.fov),
        })
    }
}

/// `count` views around what an eye looks at, one turn in all, beginning where it stands.
pub(super) fn turntable(eye: &Eye, count: usize) -> Vec<Pose> {
    let turn = |frame: usize| {
        let mut eye = eye.clone();
        eye.turn(std::f64::consts::TAU * frame as f64 / count.max(1) as f64, 0.0);
        eye.pose()
    };
    (0..count).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_through_its_views_and_ends_at_the_last() {
        let mut path = Path::default();
        assert!(path.at(0.0).is_none() && path.frames(5).is_empty());
        let mut eye = Eye::default();
        let mut poses = Vec::new();
        for step in 0..4 {
            eye.turn(0.4, 0.1);
            eye.approach(0.9, None);
            poses.push(eye.pose());
            path.add(&eye);
            assert_eq!(path.keys(), step + 1);
        }
        for (at, pose) in poses.iter().enumerate() {
            let found = path.at(at as f64).unwrap();
            assert!((found.eye - pose.eye).length() < 1e-9 && (found.target - pose.target).length() < 1e-9);
        }
        let frames = path.frames(31);
        assert_eq!((frames.len(), frames[0], frames[30]), (31, poses[0], poses[3]));
        let steps: Vec<f64> = frames.windows(2).map(|pair| (pair[1].eye - pair[0].eye).length()).collect();
        let longest = steps.iter().copied().fold(0.0, f64::max);
        assert!(longest < 4.0 * steps.iter().sum::<f64>() / 30.0, "no jumps: {steps:?}");
        // Played from 10 s on: in the middle after 3 s of 6, over after them.
        path.play_or_stop(10.0);
        assert!(path.now(13.0).is_some() && path.is_playing());
        assert_eq!((path.now(17.0), path.is_playing()), (Some(poses[3]), false));
        path.remove_last();
        assert_eq!(path.keys(), 3);
        path.clear();
        assert!(path.is_empty());
    }

    #[test]
    fn a_turntable_goes_around_once() {
        let eye = Eye::default();
        let poses = turntable(&eye, 8);
        assert_eq!(poses.len(), 8);
        let far = poses.iter().map(|pose| (pose.eye - pose.target).length());
        assert!(far.clone().all(|far| (far - 3.0).abs() < 1e-9));
        let middle = poses.iter().fold(DVec3::ZERO, |sum, pose| sum + pose.eye) / 8.0;
        assert!((middle - poses[0].target).cross(DVec3::Y).length() < 1e-9, "around the axis that is up");
    }
}
