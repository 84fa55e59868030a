//! What similarity is asked about: a place on the picture, a box, what a lasso goes around, or one of the model's own
//! tokens.
//!
//! Places are kept on the picture, not on a grid, so that every pane asks its own model about the same thing.

use std::sync::Arc;

use egui::{Pos2, Rect, pos2};

use super::looking::Seen;
use crate::app::document::VersionId;
use crate::features::{Placement, similarity};

/// What is asked about; places 0..=1 both ways.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Subject {
    Point(Pos2),
    Box(Rect),
    Lasso(Vec<Pos2>),
    /// The class token.
    Class,
    /// A register, from 0.
    Register(usize),
    /// Features that come from elsewhere: a point of the open scene.
    Given(Arc<[f32]>),
}

/// What is asked, and of which version.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) version: VersionId,
    pub(super) subject: Subject,
}

impl Subject {
    /// A name for a region: "like row 3, column 7".
    pub(super) fn words(&self, place: &Placement) -> String {
        match self {
            Self::Point(at) => match patch_under(place, *at) {
                Some((row, column)) => format!("patch in row {}, column {}", row + 1, column + 1),
                None => "a place outside".to_owned(),
            },
            Self::Box(_) => "a box".to_owned(),
            Self::Lasso(_) => "what the lasso goes around".to_owned(),
            Self::Class => "the class token".to_owned(),
            Self::Register(at) => format!("register {}", at + 1),
            Self::Given(_) => "a point of the scene".to_owned(),
        }
    }

    /// A number that changes with it.
    pub(super) fn mark(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let (kind, numbers): (u8, Vec<f32>) = match self {
            Self::Point(at) => (0, vec![at.x, at.y]),
            Self::Box(rect) => (1, vec![rect.left(), rect.top(), rect.right(), rect.bottom()]),
            Self::Lasso(points) => (2, points.iter().flat_map(|at| [at.x, at.y]).collect()),
            Self::Class => (3, Vec::new()),
            Self::Register(at) => (4, vec![*at as f32]),
            Self::Given(features) => (5, features.to_vec()),
        };
        let mut hash = DefaultHasher::new();
        kind.hash(&mut hash);
        numbers.iter().for_each(|number| number.to_bits().hash(&mut hash));
        hash.finish()
    }

    /// How far each patch takes part: 1 or 0, row by row. A shape smaller than a patch takes the one under its middle.
    fn weights(&self, place: &Placement) -> Vec<f32> {
        let centre = |index: usize| {
            let (row, column) = (index / place.columns, index % place.columns);
            let (x, y) = place.to_picture(column as f64 + 0.5, row as f64 + 0.5);
            let (width, height) = place.plan.source;
            pos2(x as f32 / width as f32, y as f32 / height as f32)
        };
        let around = if let Self::Lasso(points) = self { Rect::from_points(points) } else { Rect::NOTHING };
        let inside = |at: Pos2| match self {
            Self::Box(rect) => rect.contains(at),
            Self::Lasso(points) => around.contains(at) && goes_around(points, at),
            _ => false,
        };
        let mut weights: Vec<f32> =
            (0..place.patches()).map(|index| f32::from(u8::from(inside(centre(index))))).collect();
        if weights.iter().all(|weight| *weight == 0.0) {
            let middle = match self {
                Self::Point(at) => *at,
                Self::Box(rect) => rect.center(),
                Self::Lasso(points) => Rect::from_points(points).center(),
                _ => return weights,
            };
            if let Some((row, column)) = patch_under(place, middle) {
                weights[row * place.columns + column] = 1.0;
            }
        }
        weights
    }

    /// The features that are asked about, as `seen` has them: `[dim]`.
    ///
    /// # Errors
    /// One sentence where there are none.
    pub(super) fn vector(&self, seen: &Seen) -> Result<Vec<f32>, String> {
        let tokens = &seen.tokens;
        match self {
            Self::Point(at) => match patch_under(tokens.patches.placement(), *at) {
                Some((row, column)) => Ok(tokens.patches.token(row * tokens.patches.width() + column).to_vec()),
                None => Err("The model did not see this place.".to_owned()),
            },
            Self::Class => match &tokens.class {
                Some(class) => Ok(class.to_vec()),
                None => Err("This model has no class token.".to_owned()),
            },
            Self::Register(at) => match tokens.registers.get(*at) {
                Some(register) => Ok(register.to_vec()),
                None => Err(format!("This model has {} registers.", tokens.registers.len())),
            },
            Self::Given(features) => Ok(features.to_vec()),
            Self::Box(_) | Self::Lasso(_) => {
                let weights = self.weights(tokens.patches.placement());
                similarity::mean_of(&tokens.patches, &weights).map_err(|error| error.to_string())
            }
        }
    }
}

/// The patch (row, column) under a place of the picture (0..=1 both ways).
pub(super) fn patch_under(place: &Placement, at: Pos2) -> Option<(usize, usize)> {
    let (width, height) = place.plan.source;
    // The far edges belong to the last patches.
    let inside = |v: f32| f64::from(v.clamp(0.0, 1.0 - 1e-6));
    place.patch_at(inside(at.x) * f64::from(width), inside(at.y) * f64::from(height))
}

/// Whether a closed line goes around a point an odd number of times.
fn goes_around(points: &[Pos2], at: Pos2) -> bool {
    let sides = points.iter().zip(points.iter().cycle().skip(1));
    let crossed =
        sides.filter(|(a, b)| ((a.y > at.y) != (b.y > at.y)) && a.x + (at.y - a.y) / (b.y - a.y) * (b.x - a.x) < at.x);
    crossed.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resize::{Fit, SizeRequest, plan};

    fn place() -> Placement {
        Placement::new(&plan((80, 40), SizeRequest::Source, Fit::Squash, 10).unwrap(), 10)
    }

    #[test]
    fn shapes_find_their_patches() {
        let place = place();
        assert_eq!((place.rows, place.columns), (4, 8));
        let left = Subject::Box(Rect::from_min_max(pos2(0.0, 0.0), pos2(0.5, 1.0))).weights(&place);
        assert_eq!(left.iter().sum::<f32>(), 16.0);
        let corner = Subject::Lasso(vec![pos2(0.0, 0.0), pos2(1.0, 0.0), pos2(0.0, 1.0)]).weights(&place);
        assert!(corner[0] == 1.0 && corner[31] == 0.0);
        // Too small for any patch's middle: the patch around it.
        let tiny = Subject::Box(Rect::from_min_max(pos2(0.01, 0.01), pos2(0.02, 0.02))).weights(&place);
        assert_eq!((tiny[0], tiny.iter().sum::<f32>()), (1.0, 1.0));
        assert_eq!(patch_under(&place, pos2(1.0, 1.0)), Some((3, 7)));
        assert!(Subject::Class.weights(&place).iter().all(|weight| *weight == 0.0));
    }
}
