//! Who may ask, and how often.

use compute_x402::Version;
use http::StatusCode;

use crate::double::{Desk, Double, authorization, question};

#[tokio::test]
async fn only_who_shows_the_token_is_served() {
    let mut desk = Desk::new(Double::new());
    for token in [None, Some(""), Some("hunter2"), Some("hunter2-hunter2x")] {
        desk.token = token;
        for path in ["/verify", "/settle"] {
            let body = question(Version::V2, authorization());
            let (status, answer) = desk.post(path, body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {token:?}");
            let no = answer.get("isValid").or(answer.get("success")).unwrap();
            assert_eq!(no, false);
        }
    }
    assert_eq!(desk.asked(), [""; 0]);
    let (status, _) = desk.get("/supported").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn one_payer_is_served_so_often_within_a_minute() {
    let desk = Desk::serving(Double::new(), 3);
    let body = question(Version::V2, authorization());
    let mut refused = 0;
    for _ in 0..5 {
        let (status, _) = desk.post("/verify", &body).await;
        refused += u32::from(status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(refused, 2);
    assert_eq!(desk.asked().len(), 3);
}
