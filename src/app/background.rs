//! Work that must not hold up the window: one thread a task, its result polled each frame.
//!
//! A panic in the task becomes an error sentence; a plain promise would hand the panic to the window.

use std::panic::{AssertUnwindSafe, catch_unwind};

use poll_promise::Promise;

/// A task on its own thread.
pub(crate) struct Background<T: Send + 'static> {
    promise: Option<Promise<Result<T, String>>>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts `work`. Its error is one sentence for the person. `work` should ask for a repaint when it ends.
    pub(crate) fn start(name: &str, work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Self {
        let what = name.to_owned();
        let promise = Promise::spawn_thread(name, move || {
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
                let message = payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| payload.downcast_ref::<String>().cloned())
                    .unwrap_or_default();
                Err(format!("A fault in Glassbox stopped this ({what}: {message}). Nothing else is affected."))
            })
        });
        Self { promise: Some(promise) }
    }

    /// The result, once, when it is there.
    pub(crate) fn take(&mut self) -> Option<Result<T, String>> {
        match self.promise.take()?.try_take() {
            Ok(result) => Some(result),
            Err(promise) => {
                self.promise = Some(promise);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<T: Send>(mut task: Background<T>) -> Result<T, String> {
        loop {
            if let Some(result) = task.take() {
                return result;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_panic_is_an_error_sentence() {
        let broken: Background<()> = Background::start("break", || panic!("injected"));
        assert!(wait(broken).is_err_and(|sentence| sentence.contains("injected")));
        assert_eq!(wait(Background::start("work", || Ok(5))), Ok(5));
    }
}
