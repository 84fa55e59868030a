//! What a person did to the open scene: which Gaussians are selected, hidden and deleted. The scene itself never changes;
//! a file that is saved has what is left of it.

use crate::splats::selection::Marks;

/// Marks on the scene; `None` where nothing is marked. Cheap to clone, so that undo keeps whole states.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Edits {
    pub(super) selected: Option<Marks>,
    pub(super) hidden: Option<Marks>,
    pub(super) deleted: Option<Marks>,
}

fn joined(there: Option<Marks>, new: &Marks) -> Option<Marks> {
    Some(there.map_or_else(|| new.clone(), |there| there.or(new)))
}

impl Edits {
    /// The Gaussians that are drawn; all if `None`.
    pub(super) fn visible(&self) -> Option<Marks> {
        match (&self.hidden, &self.deleted) {
            (Some(hidden), Some(deleted)) => Some(hidden.or(deleted).inverted()),
            (Some(gone), None) | (None, Some(gone)) => Some(gone.inverted()),
            (None, None) => None,
        }
    }

    /// Hides what is selected; nothing is selected then.
    pub(super) fn hide(&mut self) {
        if let Some(selected) = self.selected.take() {
            self.hidden = joined(self.hidden.take(), &selected);
        }
    }

    /// Hides all but what is selected.
    pub(super) fn isolate(&mut self) {
        if let Some(selected) = self.selected.take() {
            self.hidden = Some(selected.inverted());
        }
    }

    /// Deletes what is selected.
    pub(super) fn delete(&mut self) {
        if let Some(selected) = self.selected.take() {
            self.deleted = joined(self.deleted.take(), &selected);
        }
    }

    /// Marks on nothing are no marks.
    pub(super) fn tidy(&mut self) {
        for marks in [&mut self.selected, &mut self.hidden, &mut self.deleted] {
            if marks.as_ref().is_some_and(Marks::is_empty) {
                *marks = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(of: &[usize]) -> Option<Marks> {
        Some(Marks::where_(10, |index| of.contains(&index)))
    }

    #[test]
    fn what_is_hidden_or_deleted_is_not_drawn() {
        let mut edits = Edits { selected: marks(&[1, 2]), ..Edits::default() };
        assert_eq!(edits.visible(), None);
        edits.hide();
        assert_eq!((edits.visible().unwrap().marked(), edits.selected.clone()), (8, None));
        edits.selected = marks(&[3]);
        edits.delete();
        assert_eq!(edits.visible().unwrap().marked(), 7);
        edits.selected = marks(&[4, 5]);
        edits.isolate();
        assert_eq!(edits.visible(), marks(&[4, 5]));
        edits.selected = marks(&[]);
        edits.tidy();
        assert_eq!(edits.selected, None);
        edits.hidden = None;
        assert_eq!(edits.visible().unwrap().marked(), 9, "deleted ones stay away");
    }
}
