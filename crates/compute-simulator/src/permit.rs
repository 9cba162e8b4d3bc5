//! The proof that this is development mode.

/// Permission to simulate, without which nothing in this crate can be built.
///
/// It proves that the database in use was stamped for development, so that no configuration can
/// make a live installation take play money or sell machines that do not exist.
#[derive(Debug, Clone, Copy)]
pub struct DevPermit {
    _only_for_mode: (),
}

impl DevPermit {
    /// The permit when the database is stamped for development, nothing when it is live.
    pub const fn for_mode(is_dev: bool) -> Option<Self> {
        if is_dev {
            Some(Self { _only_for_mode: () })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_database_gives_no_permit() {
        assert!(DevPermit::for_mode(false).is_none());
        assert!(DevPermit::for_mode(true).is_some());
    }
}
