//! Numbers against the reference libraries: fixtures made by `tests/reference/*.py`, one file a subject.

mod fixtures;
mod networks;
mod steps;
