//! Glassbox: use vision models and see inside them while they work.
//!
//! The modules stand in one order, and each uses only those below it:
//! [`app`] and [`cli`] build requests and show what comes back; [`engine`] runs them one at a time;
//! [`edit`], [`features`], [`splats`] and [`ask`] are the methods (plain functions over tensors and pictures), [`trace`] what
//! they write down for comparison, [`text`] how scores become words; [`nets`] are network definitions;
//! [`ops`] are the operations networks are made of. [`packs`] (models on disk) and [`picture`]
//! (pictures on disk) know nothing of models; [`world`] renders the synthetic scenes that the starter
//! models learn from and are judged by.

pub mod app;
pub mod ask;
pub mod cli;
pub mod edit;
pub mod engine;
pub mod features;
pub mod nets;
pub mod ops;
pub mod packs;
pub mod picture;
pub mod splats;
pub mod text;
pub mod trace;
pub mod world;
