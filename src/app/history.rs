//! Undo and redo over whole states: cheap to keep because pictures and masks in them are shared.

/// What undo can go back to, at least 50 steps (200).
#[derive(Clone, Debug)]
pub(crate) struct History<S> {
    past: Vec<S>,
    present: S,
    future: Vec<S>,
}

const KEPT: usize = 200;

impl<S: Clone + PartialEq> History<S> {
    pub(crate) fn new(present: S) -> Self {
        Self { past: Vec::new(), present, future: Vec::new() }
    }

    /// Notes that the state is `now`; a step back will lead to what it was before. Says whether it changed.
    pub(crate) fn record(&mut self, now: &S) -> bool {
        if *now == self.present {
            return false;
        }
        self.past.push(std::mem::replace(&mut self.present, now.clone()));
        self.future.clear();
        if self.past.len() > KEPT {
            self.past.remove(0);
        }
        true
    }

    pub(crate) fn can_undo(&self) -> bool {
        !self.past.is_empty()
    }

    pub(crate) fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }

    /// The state before, if there is one.
    pub(crate) fn undo(&mut self) -> Option<S> {
        let before = self.past.pop()?;
        self.future.push(std::mem::replace(&mut self.present, before.clone()));
        Some(before)
    }

    /// The state that was undone last, if there is one.
    pub(crate) fn redo(&mut self) -> Option<S> {
        let after = self.future.pop()?;
        self.past.push(std::mem::replace(&mut self.present, after.clone()));
        Some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_fifty_steps_go_back_and_forth() {
        let mut history = History::new(0);
        for n in 1..=300 {
            assert!(history.record(&n));
            assert!(!history.record(&n), "nothing changed");
        }
        let back: Vec<i32> = std::iter::from_fn(|| history.undo()).collect();
        assert_eq!(back.len(), KEPT);
        assert!(back.len() >= 50);
        assert_eq!(back.first(), Some(&299));
        assert_eq!(history.redo(), Some(back[back.len() - 2]));
    }

    #[test]
    fn a_new_step_ends_the_undone_future() {
        let mut history = History::new('a');
        history.record(&'b');
        assert_eq!(history.undo(), Some('a'));
        assert!(history.can_redo());
        history.record(&'c');
        assert!(!history.can_redo());
        assert_eq!(history.undo(), Some('a'));
        assert!(!history.can_undo());
    }
}
