//! Our own kernels for the processor, all in f32, behind the functions of [`crate::ops`].
//!
//! Why they are here: candle lays weights and patches out anew on every call and computes element by element on one
//! thread; most of an edit's time went there. Everything rests on one register tile ([`tile`]) that multiplies packed
//! [`panels`]: fully connected layers ([`linear`]), convolutions ([`conv`], [`winograd`]) and [`attention`]. Norms ([`norm`]) and activations
//! ([`elementwise`]) read memory once or twice and compute whole vectors ([`vector`]); statistics of features ([`tall`]) do the same.
//!
//! Kernels are generic over pulp's instruction sets (AVX-512, AVX2, NEON, scalar) and chosen when the program runs. They take
//! slices and sizes, know nothing of candle, and panic only on sizes that their callers in [`crate::ops`] have ruled out.

pub mod attention;
pub mod buffer;
pub mod conv;
pub mod elementwise;
pub mod linear;
pub mod norm;
pub mod panels;
pub mod planes;
pub mod row;
pub mod share;
pub mod tall;
#[cfg(test)]
mod tests;
pub mod tile;
pub mod vector;
pub mod winograd;

use std::sync::OnceLock;

use pulp::Arch;

/// The instruction set of this processor.
#[must_use]
pub fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(Arch::new)
}
