//! Numbers against the reference libraries: fixtures made by `tests/reference/*.py`, one file a subject.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that meets a broken fixture fails, and the distances are worth reading with --nocapture"
)]

mod ask;
mod features;
mod fixtures;
mod networks;
mod runs;
mod splats;
mod steps;
