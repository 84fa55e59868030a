//! `.splat` files: 32 bytes a Gaussian and nothing else (spec/fit3d.md section 8.4).

use super::Source;
use crate::splats::gaussians::{Parts, logit};
use crate::splats::harmonics::constant;
use crate::splats::{SplatError, SplatObserver};

/// Bytes of a Gaussian.
const ROW: usize = 32;
/// Gaussians that are read at a time.
const BLOCK: usize = 1 << 16;

/// Reads all Gaussians.
pub(super) fn read(source: &mut Source, observer: &dyn SplatObserver) -> Result<Parts, SplatError> {
    if !source.length.is_multiple_of(ROW as u64) {
        return Err(source.fault(format!(
            "has {} bytes, no whole number of Gaussians of {ROW} bytes: it is not whole, or no .splat file",
            source.length
        )));
    }
    let count = source.admit(source.length / ROW as u64, 0, 0)?;
    let mut parts = Parts::default();
    observer.stage("Reading the scene", count);
    for first in (0..count).step_by(BLOCK) {
        observer.checkpoint()?;
        let now = BLOCK.min(count - first);
        for row in source.block(now * ROW)?.as_chunks::<ROW>().0 {
            let float = |at: usize| f32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
            parts.positions.push([0, 4, 8].map(float));
            parts.log_scales.push([12, 16, 20].map(|at| float(at).ln()));
            parts.sh.extend(constant([24, 25, 26].map(|at| f32::from(row[at]) / 255.0)));
            parts.opacity_logits.push(logit(f32::from(row[27]) / 255.0));
            parts.rotations.push([28, 29, 30, 31].map(|at| (f32::from(row[at]) - 128.0) / 128.0));
        }
        observer.step(first + now);
    }
    Ok(parts)
}
