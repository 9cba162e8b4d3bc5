//! The process itself, as the system tells it; where it does not, there is no number.

use std::path::Path;

use metrics::gauge;

use super::natural;
use crate::open_files;

/// Shows what the process uses now.
pub(super) fn show() {
    if let Some(open) = open_files::count() {
        gauge!("process_open_fds").set(natural(open));
    }
    if let Some(limit) = open_files::limit() {
        gauge!("process_max_fds").set(natural(u64::try_from(limit).unwrap_or(u64::MAX)));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        gauge!("process_resident_memory_bytes").set(natural(bytes));
    }
}

/// Shows how much room the database has.
pub(super) fn show_disk(folder: &Path) {
    let Ok(disk) = rustix::fs::statvfs(folder) else {
        return;
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let size = disk.f_blocks.saturating_mul(disk.f_frsize);
    gauge!("compute_disk_free_bytes").set(natural(free));
    gauge!("compute_disk_size_bytes").set(natural(size));
}

/// The line `VmRSS:   12345 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        let status = "Name:\tcompute-server\nVmPeak:\t  99 kB\nVmRSS:\t   1234 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(1_234 * 1_024));
        assert_eq!(resident_bytes(""), None);
        assert_eq!(resident_bytes("VmRSS:\t1 MB"), None);
    }
}
