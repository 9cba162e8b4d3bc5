//! Request ids: the client's own when it is sane, else a cheap unique one.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken over from a client, in bytes.
const MAX_BYTES: usize = 64;

/// Names one request in its answer and in the log; letters, digits and `-_.:` only.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Makes request ids: a counter, scrambled so that they do not tell how many there were.
#[derive(Debug)]
pub(crate) struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            next: AtomicU64::new(seed),
        }
    }

    /// The id of a request with these headers.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        match headers.get(X_REQUEST_ID) {
            Some(theirs) if is_sane(theirs) => RequestId(theirs.clone()),
            _ => self.fresh(),
        }
    }

    fn fresh(&self) -> RequestId {
        let text = hex::encode(scramble(self.next.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
        RequestId(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unnamed")))
    }
}

fn is_sane(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=MAX_BYTES).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// The output function of SplitMix64: a bijection, so different counts give different ids.
const fn scramble(count: u64) -> u64 {
    let x = count.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn fresh_ids_differ() {
        let ids = RequestIds::new(7);
        let seen: BTreeSet<String> = (0..1_000)
            .map(|_| ids.of(&HeaderMap::new()).as_str().to_owned())
            .collect();
        assert_eq!(seen.len(), 1_000);
        assert!(seen.iter().all(|id| id.len() == 16));
    }

    #[test]
    fn only_a_sane_id_of_the_client_is_kept() {
        let ids = RequestIds::new(7);
        let answer = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(text).unwrap());
            ids.of(&headers).as_str().to_owned()
        };
        assert_eq!(answer("trace-1.2:3_4"), "trace-1.2:3_4");
        for junk in ["", "a b", "<script>", &"x".repeat(65)] {
            assert_ne!(answer(junk), junk);
        }
    }
}
