//! Network definitions: forward passes only, each built from its own `config.json` and a `VarBuilder`.
//!
//! Networks never touch files; layers come from [`crate::ops`] alone.

pub mod watcher;
