//! The few operations networks are made of, as plain compositions of candle's operations on every device.
//!
//! The one place that knows about devices and speed: a faster kernel replaces a composition here, and the composition
//! becomes its oracle. Everything here is for inference: gradients do not pass.

pub mod activation;
pub mod attention;
pub mod bicubic;
pub mod conv;
pub mod device;
pub mod embedding;
pub mod linear;
pub mod norm;
pub mod resample;
pub mod rotary;
pub mod softmax;
