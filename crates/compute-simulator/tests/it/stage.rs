//! A clock that stands still and randomness that repeats.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use compute_domain::time::{Clock, Entropy, Span, Timestamp};
use compute_simulator::DevPermit;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn at_start() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(START.millis())))
    }

    pub(crate) fn advance(&self, span: Span) {
        self.0.fetch_add(span.millis(), Ordering::SeqCst);
    }

    pub(crate) fn turn_back(&self, span: Span) {
        self.0.fetch_sub(span.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Repeatable(AtomicU64);

impl Entropy for Repeatable {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let draw = self.0.fetch_add(1, Ordering::SeqCst);
            let digest = Sha256::digest(draw.to_be_bytes());
            chunk.copy_from_slice(&digest[..chunk.len()]);
        }
    }
}

pub(crate) fn permit() -> DevPermit {
    DevPermit::for_mode(true).unwrap()
}

pub(crate) fn journal() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    (folder, path)
}
