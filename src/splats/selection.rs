//! Which Gaussians of a scene are meant: marks, one bit each, and the ways a person makes them.
//!
//! A brush is a circle on the picture; by default it reaches no deeper than it is wide around the surface that was touched
//! (selection that goes through to the far side is what people complain of most, spec/splats.md section 1.2). A box lies
//! along the world's axes; a range is of one number a Gaussian has.

use std::sync::Arc;

use glam::{DVec2, DVec3};
use rayon::prelude::*;

use super::camera::Camera;
use super::gaussians::{Bounds, Gaussians};

/// One bit a Gaussian. Cheap to clone; equal where the same Gaussians are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    words: Arc<[u32]>,
    count: usize,
}

/// How new marks meet those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Combine {
    /// They take their place.
    #[default]
    Replace,
    /// They join them.
    Add,
    /// They are taken away from them.
    Subtract,
}

impl Marks {
    /// No mark on any of `count` Gaussians.
    #[must_use]
    pub fn none(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(32)].into(), count }
    }

    /// A mark on each Gaussian for which `is` holds, asked from many threads.
    #[must_use]
    pub fn where_(count: usize, is: impl Fn(usize) -> bool + Sync) -> Self {
        let word = |word: usize| {
            let last = count.min(32 * (word + 1));
            (32 * word..last).enumerate().fold(0, |bits, (bit, index)| bits | u32::from(is(index)) << bit)
        };
        let words: Vec<u32> = (0..count.div_ceil(32)).into_par_iter().with_min_len(64).map(word).collect();
        Self { words: words.into(), count }
    }

    /// Gaussians that can be marked.
    #[must_use]
    pub fn of(&self) -> usize {
        self.count
    }

    /// Gaussians that are marked.
    #[must_use]
    pub fn marked(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether one is marked; no for those that are not there.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.words.get(index / 32).is_some_and(|word| word >> (index % 32) & 1 == 1)
    }

    /// The bits, 32 a word, the first Gaussian lowest; those beyond the last are 0.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Whether both are the very same marks, not only equal ones.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.words, &other.words)
    }

    /// One truth a Gaussian, `[count]`.
    #[must_use]
    pub fn to_bools(&self) -> Vec<bool> {
        (0..self.count).map(|index| self.has(index)).collect()
    }

    fn with(&self, other: &Self, both: impl Fn(u32, u32) -> u32) -> Self {
        debug_assert_eq!(self.count, other.count, "marks of two scenes");
        let words: Vec<u32> = self.words.iter().zip(other.words.iter()).map(|(a, b)| both(*a, *b)).collect();
        Self { words: words.into(), count: self.count }
    }

    /// What is marked here or there.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    /// What is marked here and there.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    /// What is marked here and not there.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.with(other, |a, b| a & !b)
    }

    /// What is not marked.
    #[must_use]
    pub fn inverted(&self) -> Self {
        Self::where_(self.count, |index| !self.has(index))
    }

    /// These after new marks have come.
    #[must_use]
    pub fn combined(&self, new: &Self, how: Combine) -> Self {
        match how {
            Combine::Replace => new.clone(),
            Combine::Add => self.or(new),
            Combine::Subtract => self.without(new),
        }
    }
}

/// One dab of a brush on a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dab {
    /// Its middle, pixels of the camera's picture.
    pub at: DVec2,
    /// Its radius, pixels.
    pub radius: f64,
    /// The depth of the surface that was touched: Gaussians that lie much deeper are not meant. Through everything if
    /// `None`.
    pub depth: Option<f64>,
}

/// The Gaussians whose centres lie under a dab.
#[must_use]
pub fn under_dab(scene: &Gaussians, camera: &Camera, dab: &Dab) -> Marks {
    // The dab's radius in the world, at the depth that was touched.
    let deepest = dab.depth.map_or(f64::INFINITY, |depth| depth + dab.radius * depth / camera.focal.x);
    let positions = scene.positions();
    Marks::where_(scene.len(), |index| {
        let seen = camera.to_camera(DVec3::from(positions[index].map(f64::from)));
        if !(seen.z > camera.near && seen.z <= deepest) {
            return false;
        }
        let at = camera.focal * seen.truncate() / seen.z + camera.principal;
        (at - dab.at).length_squared() <= dab.radius * dab.radius
    })
}

/// The Gaussians whose centres lie in a box.
#[must_use]
pub fn in_box(scene: &Gaussians, bounds: &Bounds) -> Marks {
    let positions = scene.positions();
    Marks::where_(scene.len(), |index| {
        let at = positions[index];
        (0..3).all(|axis| at[axis] >= bounds.min[axis] && at[axis] <= bounds.max[axis])
    })
}

/// A number that every Gaussian has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Property {
    /// How solid it is, 0..=1.
    #[default]
    Opacity,
    /// The natural logarithm of its size: the mean of those of its three standard deviations.
    Size,
    /// One channel of its features.
    Feature(usize),
}

impl Property {
    /// The number of one Gaussian; `None` where the scene has no such channel.
    #[must_use]
    pub fn of(self, scene: &Gaussians, index: usize) -> Option<f32> {
        Some(match self {
            Self::Opacity => scene.opacity(index),
            // A flat Gaussian has a logarithm of −∞.
            Self::Size => scene.log_scales()[index].iter().map(|scale| scale.max(-30.0)).sum::<f32>() / 3.0,
            Self::Feature(channel) => *scene.features()?.of(index).get(channel)?,
        })
    }
}

/// The Gaussians whose number lies from `low` to `high`.
#[must_use]
pub fn in_range(scene: &Gaussians, property: Property, (low, high): (f32, f32)) -> Marks {
    Marks::where_(scene.len(), |index| property.of(scene, index).is_some_and(|value| value >= low && value <= high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splats::gaussians::{Features, Parts};

    fn line(count: usize) -> Gaussians {
        let parts = Parts {
            positions: (0..count).map(|at| [at as f32 * 0.1, 0.0, if at % 2 == 0 { 1.0 } else { 5.0 }]).collect(),
            log_scales: (0..count).map(|at| [-3.0 - at as f32 * 0.01; 3]).collect(),
            rotations: vec![[1.0, 0.0, 0.0, 0.0]; count],
            opacity_logits: (0..count).map(|at| at as f32 - 20.0).collect(),
            sh: vec![0.0; 3 * count],
            features: Some(Features::named("f", 2, (0..2 * count).map(|at| at as f32).collect())),
            ..Parts::default()
        };
        Gaussians::new(parts).unwrap()
    }

    #[test]
    fn marks_are_sets() {
        let (a, b) = (Marks::where_(70, |at| at % 2 == 0), Marks::where_(70, |at| at < 10));
        assert_eq!((a.marked(), b.marked(), a.of()), (35, 10, 70));
        assert_eq!((a.or(&b).marked(), a.and(&b).marked(), a.without(&b).marked()), (40, 5, 30));
        assert_eq!((a.inverted().marked(), a.inverted().inverted() == a), (35, true));
        assert!(a.has(68) && !a.has(69) && !a.has(700) && Marks::none(70).is_empty());
        assert_eq!(a.combined(&b, Combine::Replace), b);
        assert_eq!(a.combined(&b, Combine::Add).marked(), 40);
        assert_eq!(a.combined(&b, Combine::Subtract).marked(), 30);
        assert_eq!(a.to_bools().iter().filter(|is| **is).count(), 35);
    }

    #[test]
    fn a_dab_takes_what_is_under_it_and_no_deeper_than_it_is_wide() {
        let scene = line(40);
        let camera = Camera::look_at(DVec3::ZERO, DVec3::Z, DVec3::NEG_Y, 1.0, (100, 100)).unwrap();
        let through = Dab { at: DVec2::new(50.0, 50.0), radius: 20.0, depth: None };
        let all = under_dab(&scene, &camera, &through);
        let near = under_dab(&scene, &camera, &Dab { depth: Some(1.0), ..through });
        assert!(all.marked() > near.marked() && !near.is_empty());
        assert!((0..40).filter(|at| near.has(*at)).all(|at| at % 2 == 0), "those at depth 1");
        assert_eq!(near, all.and(&Marks::where_(40, |at| at % 2 == 0)));
    }

    #[test]
    fn boxes_and_ranges_have_their_ends_in_them() {
        let scene = line(40);
        let found = in_box(&scene, &Bounds { min: [0.0, -1.0, 0.0], max: [1.0, 1.0, 1.0] });
        assert_eq!(found, Marks::where_(40, |at| at % 2 == 0 && at <= 10));
        assert_eq!(in_range(&scene, Property::Opacity, (0.5, 1.0)), Marks::where_(40, |at| at >= 20));
        assert_eq!(in_range(&scene, Property::Feature(1), (3.0, 7.0)), Marks::where_(40, |at| (1..=3).contains(&at)));
        assert!(in_range(&scene, Property::Feature(2), (-1e9, 1e9)).is_empty());
        assert_eq!(in_range(&scene, Property::Size, (-3.105, -2.0)).marked(), 11);
    }
}
