//! The Edit lens' method, SANE (spec/sane.md): caption, specify, condition, denoise with per-element
//! guidance, and show what each instruction did. Plain functions over tensors and pictures: no thread, no window.
//!
//! The files in the order the method runs: `request` (what is asked), `conditioning` (rows of the batch),
//! `scheduler`, `guidance`, `contributions`, `pipeline` (one run), `recipe` (what a result was made with).

pub mod contributions;
pub mod guidance;
pub mod scheduler;
