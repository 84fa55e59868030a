//! The few operations networks are made of: candle's on GPUs, kernels of our own on the CPU.
//!
//! The one place that knows about devices and speed. Beside every kernel of [`cpu`] stands the same operation as a composition
//! of candle's: it serves the other devices, and is what the kernel is tested against. Everything here is for inference:
//! gradients do not pass.

pub mod activation;
pub mod align_corners;
pub mod attention;
pub mod bicubic;
pub mod bilinear;
pub mod conv;
pub mod cpu;
pub mod device;
pub mod embedding;
mod kernel;
pub mod linear;
pub mod norm;
pub mod resample;
pub mod rotary;
pub mod row_attention;
pub mod softmax;
pub mod sum;
pub mod transpose;
