//! How many files and sockets the system lets this process open, and how many of them clients get.

/// Kept back for the database, the partners and the log: without a socket of their own the workers
/// could finish nothing while clients hold all of them.
const KEPT_BACK: usize = 256;

/// As many connections as are wanted, or as many as leave enough for the rest.
pub(crate) fn bounded_connections(wanted: usize) -> usize {
    let Some(limit) = limit() else { return wanted };
    let possible = leave_enough(limit);
    if possible >= wanted {
        return wanted;
    }
    tracing::warn!(
        open_files = limit,
        connections = possible,
        "fewer connections than limits.connections: the system's limit of open files is too low"
    );
    possible
}

/// Of few, half.
fn leave_enough(limit: usize) -> usize {
    limit.saturating_sub(KEPT_BACK.min(limit / 2)).max(1)
}

/// How many are open now, where the system tells.
pub(crate) fn count() -> Option<u64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the list itself.
    u64::try_from(open).ok()?.checked_sub(1)
}

/// The soft limit. Nothing where the system does not tell it so, or has none.
pub(crate) fn limit() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_some_files_to_the_rest() {
        for (limit, clients) in [
            (1_048_576, 1_048_320),
            (1_024, 768),
            (64, 32),
            (1, 1),
            (0, 1),
        ] {
            assert_eq!(leave_enough(limit), clients, "{limit}");
        }
    }

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units
Max processes             63450                63450                processes
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
";
        assert_eq!(soft_limit(limits), Some(1_024));
        assert_eq!(
            soft_limit("Max open files  unlimited  unlimited  files\n"),
            None
        );
        assert_eq!(soft_limit(""), None);
    }
}
