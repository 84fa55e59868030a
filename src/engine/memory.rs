//! How much memory there is, so that a job can be refused in words before the system kills the program.

/// Bytes that a new job may take now; `None` where the system does not tell.
///
/// Linux: `MemAvailable` of `/proc/meminfo`, and the control group's limit if that is lower.
#[must_use]
pub fn available() -> Option<u64> {
    let system = meminfo("MemAvailable:");
    let group = || -> Option<u64> {
        let limit: u64 = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()?;
        let used: u64 = std::fs::read_to_string("/sys/fs/cgroup/memory.current").ok()?.trim().parse().ok()?;
        Some(limit.saturating_sub(used))
    };
    match (system, group()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Bytes of memory in the machine; `None` where the system does not tell.
#[must_use]
pub fn total() -> Option<u64> {
    meminfo("MemTotal:")
}

/// Bytes this process holds now (resident set); `None` where the system does not tell.
#[must_use]
pub fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// The most bytes this process has held so far; `None` where the system does not tell.
#[must_use]
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

fn meminfo(key: &str) -> Option<u64> {
    kilobytes("/proc/meminfo", key)
}

fn status(key: &str) -> Option<u64> {
    kilobytes("/proc/self/status", key)
}

fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
