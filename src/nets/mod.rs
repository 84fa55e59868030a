//! Network definitions: forward passes only, each built from its own `config.json` and a `VarBuilder`.
//!
//! Networks never touch files; layers come from [`crate::ops`] alone.

pub mod clip_text;
pub mod clip_vision;
pub mod config;
pub mod depth_anything;
pub mod depth_head;
pub mod llama;
pub mod llava;
#[cfg(test)]
pub(crate) mod parity;
mod resnet;
mod transformer2d;
pub mod unet;
mod unet_blocks;
pub mod vae;
pub mod vit;
pub mod watcher;
