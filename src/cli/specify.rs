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
    /// Who writes: a pack, a model, a folder, a GGUF file, or the address of an OpenAI-compatible server, whose key, if it
    /// wants one, is taken from the environment (GLASSBOX_ENDPOINT_KEY).
    #[arg(long, default_value = "starter", value_name = "NAME|DIR|FILE|URL")]
    specifier: String,
    /// The model's name at that server; else the only one it offers.
    #[arg(long, value_name = "NAME")]
    server_model: Option<String>,
    #[command(flatten)]
    captioner: CaptionerArgs,
    /// The same seed gives the same proposal from the same model on this machine.
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,
    /// Print one JSON object, and no progress.
    #[arg(long)]
    json: bool,
}

/// Who describes the picture, for every command that has it described.
#[derive(Debug, Args)]
pub(super) struct CaptionerArgs {
    /// Who describes the picture: a pack, a model, a folder, the address of an OpenAI-compatible server whose model sees
    /// (the picture, made small, is sent there; key from GLASSBOX_CAPTIONER_KEY or GLASSBOX_ENDPOINT_KEY), or "none";
    /// else the pack's own model.
    #[arg(long, value_name = "NAME|DIR|URL|none")]
    captioner: Option<String>,
    /// The model's name at that server; else the writer's, if it is the same server, or the only one it offers.
    #[arg(long, value_name = "NAME")]
    captioner_model: Option<String>,
}

impl CaptionerArgs {
    /// The choice with the captioner that was asked for.
    pub(super) fn apply(&self, choice: LanguageChoice, store: &Store) -> Result<LanguageChoice> {
        match &self.captioner {
            Some(name) => Ok(choice.with_captioner(store, name, self.captioner_model.as_deref())?),
            None => Ok(choice),
        }
    }
}

/// Runs `glassbox specify …`.
///
/// # Errors
/// One sentence: what could not be read, asked or written.
pub(super) fn run(args: &SpecifyArgs) -> Result<()> {
    let store = Store::open()?;
    let (device, precision) = (DeviceChoice::Auto, Precision::Auto);
    let model = LanguageChoice::find(&store, &args.specifier, args.server_model.as_deref(), device, precision)?;
    let model = args.captioner.apply(model, &store)?;
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
