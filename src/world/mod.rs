//! The synthetic world: small low-poly landscapes rendered on the CPU, deterministic from a seed.
//!
//! It is training data, test oracle and demo at once: a scene gives any number of views with cameras, depth, normals
//! and ids; a change of its look gives an edit pair with ground truth; a set of changes gives an ambiguous wish with
//! its specifics. Nothing in here reads or writes pictures in a compressed format: that is the caller's business.
//! Lengths are metres, angles radians, colours linear light unless a name says otherwise.

#![allow(missing_docs, reason = "the fields of the many small parameter tables are named after what they are")]

pub mod build;
pub mod dataset;
pub mod dense;
pub mod edits;
pub mod evaluation;
pub mod language;
pub mod look;
pub mod noise;
pub mod palette;
pub mod questions;
pub mod render;
pub mod rng;
pub mod scene;
pub mod surface;
pub mod terrain;
pub mod views;

#[cfg(test)]
mod tests;
