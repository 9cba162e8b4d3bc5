//! The expected tokens were made with the Python package `cryptography` 48 from the same keys. The
//! keys are throwaway: hashes of public texts.

use super::*;

const ID: &str = "organizations/3f0e/apiKeys/7c1d";

/// Seed and public half.
const ED25519: &str = concat!(
    "OdN/3Kt4GAUjWtNNJjSmaNgHhDHWk3oQCDVmGZklD5PKivUqvRsjBrCjxRQWhUm+HqmVCjnaq0E7",
    "4PtIN/yn0g==",
);

/// PKCS#8, as the vendor issues it.
const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCh6XYZPqU7gRPZ/T
/UdUtKYIkvwRa4AD7QX+6lA1tk+hRANCAATZkjAU/pdzHkOo8nOc86zNnn4k+RKN
I21f/HOU4sxIADTBvlIDauuaWJMAG9piGMFMigH1jYKLO6oMHF+0rnqM
-----END PRIVATE KEY-----
";

/// The same key as SEC1.
const SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIAoel2GT6lO4ET2f0/1HVLSmCJL8EWuAA+0F/upQNbZPoAoGCCqGSM49
AwEHoUQDQgAE2ZIwFP6Xcx5DqPJznPOszZ5+JPkSjSNtX/xzlOLMSAA0wb5SA2rr
mliTABvaYhjBTIoB9Y2CizuqDBxftK56jA==
-----END EC PRIVATE KEY-----
";

/// A good key of another curve.
const P384: &str = "\
-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAAAAAAAAAAAAAAAAAA
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAehZANiAAQoPB1zZc5H
iPKfjr8jTt/+rW/pl/vqX/otWMyd+nscUIsFUm9VueuyBA8FtI+20OGUdcmQYeQb
iLpS79uMFpBHGmHYZ+15lynZySzQHb0iVjDYTt4yp4+eZGZM2sUS74w=
-----END PRIVATE KEY-----
";

/// For `POST …/verify`, without an audience.
const ED25519_TOKEN: &str = concat!(
    "eyJhbGciOiJFZERTQSIsImtpZCI6Im9yZ2FuaXphdGlvbnMvM2YwZS9hcGlLZXlzLzdjMWQiLCJ0",
    "eXAiOiJKV1QiLCJub25jZSI6IjAwMDEwMjAzMDQwNTA2MDcwODA5MGEwYjBjMGQwZTBmIn0.eyJz",
    "dWIiOiJvcmdhbml6YXRpb25zLzNmMGUvYXBpS2V5cy83YzFkIiwiaXNzIjoiY2RwIiwidXJpcyI6",
    "WyJQT1NUIGFwaS5jZHAuY29pbmJhc2UuY29tL3BsYXRmb3JtL3YyL3g0MDIvdmVyaWZ5Il0sImlh",
    "dCI6MTgwMDAwMDAwMCwibmJmIjoxODAwMDAwMDAwLCJleHAiOjE4MDAwMDAxMjB9.Vh56n6moEQn",
    "zFlVgjVU_qLHJAjBDLlWHDAXFduT2idBaeGChgyQ_InvTpKRmhSTNtyqZlvTRuxF65eGRT2yPDA",
);

/// For `GET …/supported`, with an audience.
const ES256_TOKEN: &str = concat!(
    "eyJhbGciOiJFUzI1NiIsImtpZCI6Im9yZ2FuaXphdGlvbnMvM2YwZS9hcGlLZXlzLzdjMWQiLCJ0",
    "eXAiOiJKV1QiLCJub25jZSI6IjAwMDEwMjAzMDQwNTA2MDcwODA5MGEwYjBjMGQwZTBmIn0.eyJz",
    "dWIiOiJvcmdhbml6YXRpb25zLzNmMGUvYXBpS2V5cy83YzFkIiwiaXNzIjoiY2RwIiwiYXVkIjpb",
    "ImNkcF9zZXJ2aWNlIl0sInVyaXMiOlsiR0VUIGFwaS5jZHAuY29pbmJhc2UuY29tL3BsYXRmb3Jt",
    "L3YyL3g0MDIvc3VwcG9ydGVkIl0sImlhdCI6MTgwMDAwMDAwMCwibmJmIjoxODAwMDAwMDAwLCJl",
    "eHAiOjE4MDAwMDAxMjB9.nM0efQ5av3aR7DmlAnCxJTF6DVw91tfvAHSNhQuWF4GE6wLzpav6xXv",
    "QYtD5w5WCCx9CNyK15U6Po7BvPL_EBg",
);

/// Zero, one, two and so on.
#[derive(Debug)]
struct Counting;

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for (byte, number) in bytes.iter_mut().zip(0..) {
            *byte = number;
        }
    }
}

fn key(secret: &str) -> Result<CdpKey, CdpKeyError> {
    CdpKey::parse(ID, &secret.into())
}

fn token(key: &CdpKey, method: &Method, path: &str) -> String {
    let target = format!("api.cdp.coinbase.com/platform/v2/x402/{path}");
    let now = Timestamp::from_secs(1_800_000_000);
    let token = key.token(method, &target, now, &Counting).unwrap();
    token.expose_secret().to_owned()
}

#[test]
fn an_ed25519_token_is_the_one_of_another_library() {
    let made = token(&key(ED25519).unwrap(), &Method::POST, "verify");
    assert_eq!(made, ED25519_TOKEN);
}

#[test]
fn an_es256_token_is_the_one_of_another_library_for_every_form_of_the_key() {
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for secret in [
        PKCS8.to_owned(),
        SEC1.to_owned(),
        format!("{parameters}{SEC1}"),
        PKCS8.replace('\n', "\\n"),
        SEC1.trim().replace('\n', "\\n"),
    ] {
        let key = key(&secret).unwrap();
        let key = key.with_audience(vec!["cdp_service".to_owned()]);
        assert_eq!(token(&key, &Method::GET, "supported"), ES256_TOKEN);
    }
}

#[test]
fn what_is_no_key_is_refused_without_repeating_it() {
    let mut half = STANDARD.decode(ED25519).unwrap();
    half[40] ^= 1;
    let short = STANDARD.encode(&half[..32]);
    let foreign_half = STANDARD.encode(&half);
    let broken = PKCS8.replace("MIGH", "MIGX");
    let cut = SEC1.replace("mliTABvaYhjBTIoB9Y2CizuqDBxftK56jA==\n", "");
    for secret in ["", "hunter2", P384, &short, &foreign_half, &broken, &cut] {
        assert_eq!(key(secret).err(), Some(CdpKeyError::Secret), "{secret}");
    }
    let long = "x".repeat(513);
    for id in ["", "two words", "line\nbreak", "schlüssel", &long] {
        let refused = CdpKey::parse(id, &ED25519.into()).err();
        assert_eq!(refused, Some(CdpKeyError::Id), "{id}");
    }
}

#[test]
fn debug_shows_no_part_of_the_secret() {
    for (secret, algorithm) in [(ED25519, "EdDSA"), (PKCS8, "ES256")] {
        let shown = format!("{:?}", key(secret).unwrap());
        assert_eq!(shown, format!("CdpKey {{ algorithm: {algorithm:?}, .. }}"));
    }
}
