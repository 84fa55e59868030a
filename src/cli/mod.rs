//! The command line: one file a subcommand; without a subcommand the window opens.
//!
//! Results go to stdout, progress and errors to stderr. Exit codes: 0 only on success, 2 on a usage
//! error, 1 otherwise.

mod ask;
mod device;
mod edit;
mod evaluate;
mod features;
mod lift;
mod models;
mod progress;
mod render;
mod specify;
mod world;
mod world_splats;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Use vision models and see inside them while they work.
#[derive(Debug, Parser)]
#[command(name = "glassbox", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// A picture to open in the window.
    picture: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask a question about a picture, and see which parts the answer was read from.
    Ask(Box<ask::AskArgs>),
    /// Edit a picture by an instruction, however vague.
    Edit(Box<edit::EditArgs>),
    /// Measure a model on held-out rendered scenes.
    #[command(subcommand)]
    Evaluate(evaluate::Evaluate),
    /// Show what a vision transformer sees in pictures, as maps of its features.
    Features(Box<features::FeaturesArgs>),
    /// Put the features of photographs onto the Gaussians of a scene, or make a scene of one picture.
    Lift(Box<lift::LiftArgs>),
    /// Show which models there are, where they are, and whether their files are whole.
    #[command(subcommand)]
    Models(models::Models),
    /// Draw one view of a scene of 3D Gaussians.
    Render(Box<render::RenderArgs>),
    /// Turn a vague wish into concrete instructions.
    Specify(Box<specify::SpecifyArgs>),
    /// Render synthetic scenes with ground truth.
    World(Box<world::WorldArgs>),
}

/// Parses the process's arguments, runs what they ask for and returns the exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Ask(args)) => ask::run(&args),
        Some(Command::Edit(args)) => edit::run(&args),
        Some(Command::Evaluate(command)) => evaluate::run(&command),
        Some(Command::Features(args)) => features::run(&args),
        Some(Command::Lift(args)) => lift::run(&args),
        Some(Command::Models(command)) => models::run(&command),
        Some(Command::Render(args)) => render::run(&args),
        Some(Command::Specify(args)) => specify::run(&args),
        Some(Command::World(args)) => world::run(&args),
        None => crate::app::open_window(arguments.picture.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("glassbox: {}", crate::engine::in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// An option that is one of a few words, spelt as in recipes.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::json!(text)).map_err(|error| {
        let error = error.to_string();
        let known = error.split_once("expected ").map_or(error.as_str(), |(_, known)| known);
        format!("choose {known}")
    })
}
