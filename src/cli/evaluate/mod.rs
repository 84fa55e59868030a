//! `glassbox evaluate`: models measured on rendered scenes that no training has seen.

mod ask;
mod edit;
mod features;

use anyhow::Result;
use clap::Subcommand;

/// What to evaluate.
#[derive(Debug, Subcommand)]
pub(super) enum Evaluate {
    /// Questions about held-out scenes: right answers by kind, by how much of the picture is read.
    Ask(ask::EvaluateAsk),
    /// Edits on held-out scenes: gain and drift by kind, and SANE against the plain editor on ambiguous wishes.
    Edit(edit::EvaluateEdit),
    /// A backbone's features on held-out scenes: what a linear reading finds in them of classes and distances, and
    /// whether their clusters follow the parts of a scene.
    Features(features::EvaluateFeatures),
}

/// Runs `glassbox evaluate …`.
///
/// # Errors
/// If the model is missing or fails.
pub(super) fn run(command: &Evaluate) -> Result<()> {
    match command {
        Evaluate::Ask(args) => ask::run(args),
        Evaluate::Edit(args) => edit::run(args),
        Evaluate::Features(args) => features::run(args),
    }
}
