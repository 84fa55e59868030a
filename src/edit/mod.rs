//! The Edit lens' method, SANE (spec/sane.md): caption, specify, condition, denoise with per-element
//! guidance, and show what each instruction did. Plain functions over tensors and pictures: no thread, no window.
//!
//! The files in the order the method runs: `caption`, `specify` (with `reply`, the policy for what a model answers, and
//! `language`, the models that answer), `request` (what is asked), `editor` (the opened networks),
//! `conditioning` (rows of the batch), `draws` (noise), `scheduler`, `guidance`, `contributions`,
//! `preview`, `pipeline` (one run), `recipe` (what a result was made with), and `trace`.

pub mod caption;
pub mod conditioning;
pub mod contributions;
pub mod draws;
pub mod editor;
mod error;
pub mod guidance;
pub mod language;
pub mod pipeline;
pub mod preview;
pub mod recipe;
pub mod reply;
pub mod request;
pub mod scheduler;
pub mod specify;
pub use crate::trace;

pub use error::EditError;
