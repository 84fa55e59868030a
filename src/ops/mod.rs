//! The few operations networks are made of: candle's on CUDA and Metal, our own kernels on the CPU.
//!
//! The one place that knows about devices and speed. Every operation has a *reference*: a plain composition of
//! candle's operations, used on every device and dtype that has no kernel of ours, and the oracle of the kernels'
//! tests. Everything here is for inference: gradients do not pass.

pub mod activation;
pub mod attention;
pub mod conv;
pub mod device;
pub mod embedding;
pub mod linear;
pub mod norm;
pub mod resample;
pub mod rotary;
pub mod softmax;
