//! The few operations networks are made of: candle's on CUDA and Metal, our own kernels on the CPU.
//!
//! The one place that knows about devices and speed.
