//! The signature of Stripe's webhooks: `Stripe-Signature: t=<unix seconds>,v1=<hex>,…`
//! (docs.stripe.com/webhooks/signature).

use compute_engine::ports::Notice;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

/// So far may the moment of a signature be from now, in seconds; Stripe's own libraries accept as much.
const TOLERANCE_S: u64 = 300;

/// While secrets are rotated there are two; nobody has more than a few.
const MAX_SIGNATURES: usize = 8;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
}

/// What a message is that says to come from Stripe.
pub(crate) fn judge(secret: &[u8], header: &str, body: &[u8], now_s: u64) -> Notice {
    if !is_signed(secret, header, body, now_s) {
        return Notice::Forged;
    }
    let kind = serde_json::from_slice::<Event>(body).map(|event| event.kind);
    let is_news = kind.is_ok_and(|kind| {
        kind.starts_with("charge.dispute.")
            || kind.starts_with("charge.refund")
            || kind.starts_with("refund.")
    });
    if is_news { Notice::News } else { Notice::Other }
}

fn is_signed(secret: &[u8], header: &str, body: &[u8], now_s: u64) -> bool {
    let mut moment = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", _)) if moment.is_some() => return false,
            Some(("t", text)) => moment = Some(text),
            Some(("v1", text)) if signatures.len() < MAX_SIGNATURES => signatures.push(text),
            // Other schemes are for others.
            _ => {}
        }
    }
    let Some(moment) = moment else { return false };
    // The text is signed, so that it must be the number and nothing else.
    let is_number = moment.bytes().all(|byte| byte.is_ascii_digit());
    let is_lately = moment
        .parse::<u64>()
        .is_ok_and(|at_s| at_s.abs_diff(now_s) <= TOLERANCE_S);
    if !is_number || !is_lately {
        return false;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return false;
    };
    mac.update(moment.as_bytes());
    mac.update(b".");
    mac.update(body);
    signatures.iter().any(|text| {
        let shown = hex::decode(text).unwrap_or_default();
        mac.clone().verify_slice(&shown).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_test";
    const NOW_S: u64 = 1_800_000_000;
    const BODY: &[u8] = br#"{"type":"charge.dispute.created"}"#;

    fn sign(secret: &[u8], at_s: u64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{at_s}.").as_bytes());
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
    }

    fn header(secret: &[u8], at_s: u64) -> String {
        format!("t={at_s},v1={}", sign(secret, at_s, BODY))
    }

    /// Made with `openssl dgst -sha256 -hmac whsec_test` over `1800000000.{}`.
    #[test]
    fn the_signature_is_that_of_other_programs() {
        let made = "482e6337ac5272392d375c6fdc4d52a7e615dc2facedab0ffe155ddfd6a56e66";
        assert_eq!(sign(SECRET, NOW_S, b"{}"), made);
    }

    #[test]
    fn what_stripe_signed_lately_is_heard() {
        let good = header(SECRET, NOW_S);
        let rotated = format!("t={NOW_S},v1={},v0=abc,{}", "0".repeat(64), &good[13..]);
        for (header, at_s) in [
            (&good, NOW_S),
            (&good, NOW_S + TOLERANCE_S),
            (&good, NOW_S - TOLERANCE_S),
            (&rotated, NOW_S),
        ] {
            assert_eq!(judge(SECRET, header, BODY, at_s), Notice::News, "{header}");
        }
        let other = br#"{"type":"payment_intent.succeeded"}"#;
        for body in [other.as_slice(), b"no json"] {
            let header = format!("t={NOW_S},v1={}", sign(SECRET, NOW_S, body));
            assert_eq!(judge(SECRET, &header, body, NOW_S), Notice::Other);
        }
    }

    #[test]
    fn nothing_else_is() {
        let good = header(SECRET, NOW_S);
        let signature = sign(SECRET, NOW_S, BODY);
        for (header, at_s) in [
            (good.as_str(), NOW_S + TOLERANCE_S + 1),
            (&good, NOW_S - TOLERANCE_S - 1),
            (&header(b"whsec_other", NOW_S), NOW_S),
            (&format!("v1={signature}"), NOW_S),
            (&format!("t={NOW_S}"), NOW_S),
            (&format!("t={NOW_S},v0={signature}"), NOW_S),
            (&format!("t={},v1={signature}", NOW_S + 1), NOW_S),
            (&format!("t=+{NOW_S},v1={signature}"), NOW_S),
            (&format!("t={NOW_S},t={NOW_S},v1={signature}"), NOW_S),
            (&format!("t={NOW_S},v1={}", &signature[..62]), NOW_S),
            (&format!("t={NOW_S},v1="), NOW_S),
            ("", NOW_S),
        ] {
            assert_eq!(
                judge(SECRET, header, BODY, at_s),
                Notice::Forged,
                "{header}"
            );
        }
        let changed = br#"{"type":"charge.dispute.closed"}"#;
        assert_eq!(judge(SECRET, &good, changed, NOW_S), Notice::Forged);
    }
}
