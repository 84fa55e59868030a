//! What can become of a job that does not succeed, in words for the person and types for the caller.

use crate::nets::watcher::Cancelled;

/// Why a job brought no result. Its inputs are untouched, and the next job runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Stopped on purpose.
    #[error("cancelled")]
    Cancelled,
    /// The job needs more memory than there is.
    #[error("not enough memory: {what} needs about {needed}, {available} is free. {advice}", needed = bytes_in_words(*needed), available = bytes_in_words(*available))]
    OutOfMemory {
        /// What needed it: "this edit at 1024 × 768".
        what: String,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there were.
        available: u64,
        /// What to change: "Choose a smaller size."
        advice: String,
    },
    /// A fault of the program itself, contained.
    #[error("this job stopped because of a fault in Glassbox ({message}). Nothing is lost; the next job will run")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// Anything else, in one sentence.
    #[error("{message}")]
    Failed {
        /// The whole sentence, with its causes.
        message: String,
    },
    /// The engine is shutting down.
    #[error("the program is closing")]
    Closing,
}

impl JobError {
    /// Sorts an error out of a job into its kind, by the types and messages in its chain.
    #[must_use]
    pub fn from_anyhow(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if cause.downcast_ref::<Cancelled>().is_some() {
                return Self::Cancelled;
            }
            if let Some(known) = cause.downcast_ref::<Self>() {
                return known.clone();
            }
            if let Some(candle) = cause.downcast_ref::<candle_core::Error>()
                && is_cancelled(candle)
            {
                return Self::Cancelled;
            }
        }
        let message = in_words(error);
        if is_device_out_of_memory(&message) {
            return Self::OutOfMemory {
                what: "this job".to_owned(),
                needed: 0,
                available: 0,
                advice: "Choose a smaller size, a lower precision or the CPU.".to_owned(),
            };
        }
        Self::Failed { message }
    }
}

/// An error with its causes, without the back-trace that candle adds where RUST_BACKTRACE is set.
#[must_use]
pub fn in_words(error: &anyhow::Error) -> String {
    // A frame is "   12: name", the place of its source "      at file:line".
    let is_frame = |line: &&str| {
        let number = line.trim_start().split(':').next().unwrap_or_default();
        line.starts_with(' ') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let whole = format!("{error:#}");
    whole.lines().take_while(|line| !is_frame(line)).collect::<Vec<_>>().join("\n")
}

/// Looks through candle's wrappers (context, back-traces) for a [`Cancelled`].
fn is_cancelled(error: &candle_core::Error) -> bool {
    use candle_core::Error;
    match error {
        Error::Wrapped(_) | Error::WrappedContext { .. } => error.to_string().contains("cancelled"),
        Error::WithBacktrace { inner, .. } | Error::Context { inner, .. } => is_cancelled(inner),
        _ => false,
    }
}

/// candle has no out-of-memory kind: the driver's code has to be read out of the text.
fn is_device_out_of_memory(message: &str) -> bool {
    ["CUDA_ERROR_OUT_OF_MEMORY", "out of memory", "Insufficient Memory"].iter().any(|sign| message.contains(sign))
}

/// "3.4 GB", "120 MB"; "an unknown amount" for 0.
#[must_use]
pub fn bytes_in_words(bytes: u64) -> String {
    match bytes {
        0 => "an unknown amount".to_owned(),
        1..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_traces_are_not_shown() {
        let error =
            anyhow::anyhow!("the file lacks a tensor\n   0: candle::Error::bt\n             at error.rs:1\n   1: main");
        assert_eq!(in_words(&error.context("cannot open it")), "cannot open it: the file lacks a tensor");
        let two = anyhow::anyhow!("first\n 2 of 3 files are there\nlast");
        assert_eq!(in_words(&two), "first\n 2 of 3 files are there\nlast");
    }
}
