//! Links between the Features and the Splats lens: what is asked about in one is asked in the other, and both may have the
//! colours of one basis. Made here, through shared types only: features as numbers, a basis and its colouring. A link is
//! only there where the picture's features are as wide as the scene's.

use super::Glassbox;
use super::lens::LensKind;
use super::splats::SharedBasis;

/// What was told last from one lens to the other.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// What the Features lens asked about.
    asked: Option<u64>,
    /// The basis that the Splats lens has.
    basis: Option<u64>,
}

impl Glassbox {
    /// Whether both lenses speak of features of one width.
    pub(super) fn lenses_are_linked(&self) -> bool {
        let (picture, scene) = (self.features.width(), self.splats.feature_width());
        self.document.is_some() && picture.is_some() && picture == scene
    }

    /// Why the lenses are not linked, if there is something to link; one sentence.
    pub(super) fn why_not_linked(&self) -> Option<String> {
        let scene = self.splats.feature_width()?;
        self.document.as_ref()?;
        Some(match self.features.width() {
            None => "Look at the open picture in the Features lens to link both.".to_owned(),
            Some(picture) if picture == scene => return None,
            Some(picture) => format!(
                "The picture's features have {picture} channels and the scene's {scene}: choose the backbone that the scene was lifted with to link both."
            ),
        })
    }

    /// Tells each lens what the other was asked.
    pub(super) fn link_lenses(&mut self) {
        let linked = self.lenses_are_linked();
        if let Some(features) = self.splats.asked_of_a_gaussian()
            && linked
        {
            let shown = self.document.as_ref().map(|document| document.standing.shown);
            if let Some(version) = shown {
                self.features.hold_given(version, features);
                self.links.asked = self.features.held_mark();
            }
        }
        let held = self.features.held_mark();
        if held != self.links.asked {
            match self.features.held_features() {
                Some(features) if linked => {
                    self.splats.ask_like_the_picture(&features);
                    self.links.asked = held;
                }
                // The features may be on their way.
                Some(_) | None if held.is_some() => {}
                _ => self.links.asked = held,
            }
        }
        let settings = &self.settings.now.features;
        let mark = self.features.basis_mark(settings).filter(|_| linked);
        if mark != self.links.basis {
            let shared = mark.and_then(|id| {
                let (basis, colouring) = self.features.basis_now(settings)?;
                Some(SharedBasis { basis, colouring, id })
            });
            self.splats.share_basis(shared);
            self.links.basis = mark;
        }
    }

    /// Shows on the open picture what the scene is asked about.
    pub(super) fn show_query_on_picture(&mut self) {
        self.show_lens(LensKind::Features);
        self.features.show_map(super::features::MapKind::Similarity);
    }

    /// Shows in the scene what the picture is asked about.
    pub(super) fn show_query_in_scene(&mut self) {
        if let Some(features) = self.features.held_features() {
            self.splats.ask_like_the_picture(&features);
        }
        self.settings.now.splats.show_similarity();
        self.show_lens(LensKind::Splats);
    }
}
