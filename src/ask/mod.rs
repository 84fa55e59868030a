//! Questions about a picture, answered by LLaVA with FlexAttention, and which parts of the picture each word was read from
//! (spec/flexattention.md).
//!
//! In the order the method runs: [`conversation`] turns question and earlier turns into tokens; [`dual_resolution`] brings
//! the picture to two resolutions and both through the tower; [`generate`] lets the decoder answer while [`selection`]
//! says after each layer which high-resolution cells the next one reads; [`record`] is what every word leaves behind,
//! [`cost`] what it took, [`heatmap`] how it is shown over the picture; [`stored`] brings it to the disk. [`model`] is the
//! opened model, [`settings`] what a person may choose.

pub mod conversation;
pub mod cost;
pub mod dual_resolution;
mod error;
pub mod generate;
pub mod heatmap;
pub mod model;
mod quantised;
pub mod record;
pub mod selection;
pub mod settings;
pub mod stored;

pub use error::AskError;
