//! How large a picture may be before any memory is taken for it.
//!
//! A header of a few bytes can promise gigabytes; [`super::decode`] compares what the header says with these limits first.

use std::fs;

/// Limits that a file's header is held against before its pixels are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Longest side in pixels.
    pub max_side: u32,
    /// Width × height.
    pub max_pixels: u64,
    /// Bytes of the decoded pixels in the file's own depth and channels.
    pub max_decoded_bytes: u64,
    /// Bytes of the file itself.
    pub max_file_bytes: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl DecodeLimits {
    /// The limits for a machine with `memory` bytes of RAM (`None`: not known).
    ///
    /// 65 535 pixels a side (what JPEG can express, so that long panoramas open), 2²⁸ pixels in all, and the smaller of
    /// 2 GiB and a quarter of the memory for decoded pixels; at least 64 MiB, so that small machines open small pictures.
    #[must_use]
    pub fn for_memory(memory: Option<u64>) -> Self {
        let bytes = memory.map_or(2 * GIB, |total| (total / 4).clamp(64 * MIB, 2 * GIB));
        Self { max_side: 65_535, max_pixels: 1 << 28, max_decoded_bytes: bytes, max_file_bytes: bytes }
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self::for_memory(total_memory())
    }
}

/// RAM of this machine in bytes (the container's share if there is one), where the system tells it in a file.
fn total_memory() -> Option<u64> {
    let installed = fs::read_to_string("/proc/meminfo").ok().and_then(|text| parse_meminfo(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    match (installed, group) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_memory_at_most_two_gibibytes() {
        assert_eq!(DecodeLimits::for_memory(Some(4 * GIB)).max_decoded_bytes, GIB);
        assert_eq!(DecodeLimits::for_memory(Some(64 * GIB)).max_decoded_bytes, 2 * GIB);
        assert_eq!(DecodeLimits::for_memory(None).max_decoded_bytes, 2 * GIB);
        assert_eq!(DecodeLimits::for_memory(Some(0)).max_decoded_bytes, 64 * MIB);
    }

    #[test]
    fn reads_meminfo() {
        assert_eq!(parse_meminfo("MemTotal:       1000 kB\nMemFree: 1 kB\n"), Some(1_024_000));
        assert_eq!(parse_meminfo("nothing"), None);
    }
}
