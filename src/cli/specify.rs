//! `glassbox specify`: what a picture shows, and concrete instructions for a vague wish, without editing anything.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::progress::Foreground;
use crate::edit::specify::{DEFAULT_COUNT, DEFAULT_SEED, MAX_COUNT};
use crate::engine::jobs::specify::{LanguageChoice, Proposal, SpecifyJob};
use crate::ops::device::{DeviceChoice, Precision};
use crate::packs::store::Store;
use crate::picture::decode::{DecodeLimits, open};

/// Turn a vague wish into concrete instructions.
#[derive(Debug, Args)]
pub(super) struct SpecifyArgs {
    /// The picture.
    image: PathBuf,
    /// What you wish, perhaps vaguely: "make it feel like winter".
    #[arg(short, long, value_name = "TEXT")]
    instruction: String,
    /// How many instructions, 1 to 6.
    #[arg(short = 'k', long, default_value_t = DEFAULT_COUNT as u64, value_name = "K",
        value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT as u64))]
    count: u64,
    /// What the picture shows; else a model says it.
    #[arg(long, value_name = "TEXT")]
    caption: Option<String>,
    /// An instruction that is not to be proposed. May be repeated.
    #[arg(long, value_name = "TEXT")]
    avoid: Vec<String>,
    /// Who writes: a pack, a model, a folder, or the address of an OpenAI-compatible server, whose key, if it wants one,
    /// is taken from the environment (GLASSBOX_ENDPOINT_KEY).
    #[arg(long, default_value = "starter", value_name = "NAME|DIR|URL")]
    specifier: String,
    /// The model's name at that server; else the only one it offers.
    #[arg(long, value_name = "NAME")]
    server_model: Option<String>,
    /// The same seed gives the same proposal from the same model on this machine.
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,
    /// Print one JSON object, and no progress.
    #[arg(long)]
    json: bool,
}

/// Runs `glassbox specify …`.
///
/// # Errors
/// One sentence: what could not be read, asked or written.
pub(super) fn run(args: &SpecifyArgs) -> Result<()> {
    let store = Store::open()?;
    let (device, precision) = (DeviceChoice::Auto, Precision::Auto);
    let model = LanguageChoice::find(&store, &args.specifier, args.server_model.as_deref(), device, precision)?;
    let picture = open(&args.image, &DecodeLimits::default())?;
    let job = SpecifyJob {
        picture: picture.rgb,
        wish: args.instruction.clone(),
        caption: args.caption.clone(),
        count: usize::try_from(args.count)?,
        avoid: args.avoid.clone(),
        seed: args.seed,
        model,
    };
    let Proposal { caption, specifics, notice } = Foreground::start(args.json)?.run(job)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "caption": caption, "specifics": specifics, "notice": notice }))?;
        return Ok(());
    }
    writeln!(out, "caption: {caption}")?;
    for line in &specifics {
        writeln!(out, "{line}")?;
    }
    if let Some(notice) = notice {
        writeln!(std::io::stderr(), "{notice}")?;
    }
    Ok(())
}
