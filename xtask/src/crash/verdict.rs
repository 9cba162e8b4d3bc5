//! What an answer to a paid request means for its client, as the contract says.

use serde_json::Value;

use super::buyer::text;
use super::http::Answer;

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The purchase was made.
    Made(Value),
    /// It was made and failed; its price came back.
    Refunded(Value),
    /// Nothing was or will be charged.
    Refused(Value),
    /// Send the same again after a while.
    Again,
    /// No honest server says this.
    Wrong(String),
}

/// Reads the answer to a purchase that carries its payment, or is paid with credits.
pub(super) fn of_purchase(answer: &Answer) -> Verdict {
    let Ok(body) = answer.json(answer.status) else {
        return of_text(answer);
    };
    let code = text(&body, "/code");
    let tells = |member: &str| body.get(member).is_some();
    // The key of a buyer who has shown nothing else could not be read just now.
    if tells("management_note") && !tells("management_api_key_id") {
        return Verdict::Again;
    }
    match answer.status {
        200 => Verdict::Made(body),
        202 | 429 => Verdict::Again,
        409 if code == "operation_in_progress" => Verdict::Again,
        // A machine that is still being made can be lengthened later.
        409 if matches!(text(&body, "/state"), "pending" | "provisioning") => Verdict::Again,
        409 if matches!(code, "instance_not_active" | "limit_reached") => Verdict::Refused(body),
        // After a refused create the plan is not offered for a while.
        400 if code == "plan_not_in_region" => Verdict::Refused(body),
        402 if code == "insufficient_credits" => Verdict::Refused(body),
        402 if body.get("charged") == Some(&Value::Bool(false)) => Verdict::Refused(body),
        500..=599 if body.pointer("/details/credited").is_some() => Verdict::Refunded(body),
        500..=599 if body.get("charged") == Some(&Value::Bool(false)) => Verdict::Refused(body),
        500..=599 => Verdict::Again,
        status => Verdict::Wrong(format!("a purchase was answered {status} {code}: {body}")),
    }
}

/// Reads the answer to a destruction.
pub(super) fn of_destruction(answer: &Answer) -> Verdict {
    let Ok(body) = answer.json(answer.status) else {
        return of_text(answer);
    };
    let code = text(&body, "/code");
    match answer.status {
        200 => Verdict::Made(body),
        429 | 500..=599 => Verdict::Again,
        409 if code == "operation_in_progress" => Verdict::Again,
        409 if code == "instance_not_active" => Verdict::Refused(body),
        status => Verdict::Wrong(format!(
            "a destruction was answered {status} {code}: {body}"
        )),
    }
}

fn of_text(answer: &Answer) -> Verdict {
    if (500..=599).contains(&answer.status) {
        return Verdict::Again;
    }
    Verdict::Wrong(format!("an answer {} without JSON", answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, body: &str) -> Verdict {
        of_purchase(&Answer::of(status, body))
    }

    #[test]
    fn unknown_outcomes_are_asked_for_again() {
        assert_eq!(
            judge(202, "{\"code\":\"settlement_pending\"}"),
            Verdict::Again
        );
        assert_eq!(judge(503, "{\"code\":\"unavailable\"}"), Verdict::Again);
        assert_eq!(judge(502, "<html>"), Verdict::Again);
        assert_eq!(
            judge(409, "{\"code\":\"operation_in_progress\"}"),
            Verdict::Again
        );
    }

    #[test]
    fn a_machine_that_is_not_there_yet_is_waited_for() {
        let body = "{\"code\":\"instance_not_active\",\"state\":\"provisioning\"}";
        assert_eq!(judge(409, body), Verdict::Again);
    }

    #[test]
    fn a_key_that_could_not_be_read_is_asked_for_again() {
        let body = "{\"success\":true,\"management_note\":\"send the same again\"}";
        assert_eq!(judge(200, body), Verdict::Again);
        let body = "{\"management_note\":\"keep it\",\"management_api_key_id\":\"1\"}";
        assert!(matches!(judge(200, body), Verdict::Made(_)));
    }

    #[test]
    fn ends_are_told_apart() {
        let body = "{\"code\":\"no_capacity\",\"details\":{\"credited\":0.192}}";
        assert!(matches!(judge(503, body), Verdict::Refunded(_)));
        let body = "{\"code\":\"instance_not_active\",\"state\":\"failed\"}";
        assert!(matches!(judge(409, body), Verdict::Refused(_)));
        let body = "{\"code\":\"payment_unreachable\",\"charged\":false}";
        assert!(matches!(judge(503, body), Verdict::Refused(_)));
        assert!(matches!(judge(402, body), Verdict::Refused(_)));
        assert!(matches!(judge(200, "{}"), Verdict::Made(_)));
    }

    #[test]
    fn what_contradicts_the_contract_is_wrong() {
        for (status, body) in [
            // A payment was sent, so nobody may ask for one as if there were none.
            (402, "{\"code\":\"payment_required\"}"),
            (409, "{\"code\":\"payment_already_used\"}"),
            (422, "{\"code\":\"idempotency_key_reused\"}"),
            (404, "{\"code\":\"not_found\"}"),
            (200, "<html>"),
        ] {
            assert!(matches!(judge(status, body), Verdict::Wrong(_)), "{status}");
        }
    }
}
