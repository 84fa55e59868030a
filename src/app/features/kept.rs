//! A result that is made in the background and kept until something else is asked for. The newest question wins; while
//! it is worked on, the last answer stays.

use egui::Context;

use crate::app::background::Background;

/// The last answer, and the one that is on its way.
pub(super) struct Kept<K, T: Send + 'static> {
    now: Option<(K, T)>,
    fault: Option<(K, String)>,
    making: Option<(K, Background<T>)>,
}

impl<K, T: Send + 'static> Default for Kept<K, T> {
    fn default() -> Self {
        Self { now: None, fault: None, making: None }
    }
}

impl<K: PartialEq + Clone, T: Send + 'static> Kept<K, T> {
    /// Takes what has come, and begins with the answer to `key` unless it is there, failed, or on its way. One answer is
    /// made at a time, so that a slider that is dragged does not start a thread a step.
    pub(super) fn want(
        &mut self,
        ctx: &Context,
        name: &str,
        key: K,
        make: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) {
        if let Some((of, mut task)) = self.making.take() {
            match task.take() {
                None => self.making = Some((of, task)),
                Some(Ok(made)) => {
                    self.now = Some((of, made));
                    self.fault = None;
                }
                Some(Err(sentence)) => self.fault = Some((of, sentence)),
            }
        }
        let known = self.now.as_ref().is_some_and(|(of, _)| *of == key)
            || self.fault.as_ref().is_some_and(|(of, _)| *of == key);
        if known {
            // A fault of a question that nobody asks any more says nothing.
            if self.fault.as_ref().is_some_and(|(of, _)| *of != key) {
                self.fault = None;
            }
            return;
        }
        if self.making.is_none() {
            let ctx = ctx.clone();
            let task = Background::start(name, move || {
                let made = make();
                ctx.request_repaint();
                made
            });
            self.making = Some((key, task));
        }
    }

    /// The last answer, with its question.
    pub(super) fn now(&self) -> Option<(&K, &T)> {
        self.now.as_ref().map(|(key, made)| (key, made))
    }

    /// The answer to `key` alone.
    pub(super) fn exactly(&self, key: &K) -> Option<&T> {
        self.now.as_ref().filter(|(of, _)| of == key).map(|(_, made)| made)
    }

    /// Why there is no answer to `key`.
    pub(super) fn fault(&self, key: &K) -> Option<&str> {
        self.fault.as_ref().filter(|(of, _)| of == key).map(|(_, sentence)| sentence.as_str())
    }

    pub(super) fn is_making(&self) -> bool {
        self.making.is_some()
    }
}
