//! Where a model runs and in which precision: the options that all commands with models share.

use clap::Args;

use super::word;
use crate::ops::device::{DeviceChoice, Precision};

/// Options of every command that runs a model.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct DeviceArgs {
    /// auto, cpu, cuda or metal.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = word::<DeviceChoice>)]
    pub(super) device: DeviceChoice,
    /// auto, f32, f16 or bf16.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = word::<Precision>)]
    pub(super) precision: Precision,
}
