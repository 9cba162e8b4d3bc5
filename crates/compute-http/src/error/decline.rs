//! What a buyer can do about a payment that was declined.

/// The sentence for a decline code of ours. It is written here, and no word of it by a payment network.
pub(crate) fn decline_detail(code: &str) -> &'static str {
    match code {
        "card_declined" => {
            "the card was declined by its bank, which does not say why; pay with another card. Nothing was charged"
        }
        "insufficient_funds" => {
            "the payer does not hold the amount; put it there, or pay from elsewhere. Nothing was charged"
        }
        "expired_card" => "the card has expired; pay with another card. Nothing was charged",
        "card_limit_exceeded" => {
            "the card is over a limit of its bank; wait, or pay with another card. Nothing was charged"
        }
        "card_details_incorrect" => {
            "the bank does not take the card's details as they are; grant a token with the right ones. Nothing was charged"
        }
        "card_not_supported" => {
            "the card does not pay for such purchases; pay with another card. Nothing was charged"
        }
        "card_issuer_unavailable" => {
            "the card's bank could not decide now; try again with a fresh challenge in a while. Nothing was charged"
        }
        "payment_action_required" => {
            "the card's bank wants its holder to confirm, which cannot be done here; pay with another card. Nothing was charged"
        }
        "payment_token_refused" => {
            "the payment token is unknown, used, expired, revoked, or granted for less or for another seller; grant a new one. Nothing was charged"
        }
        _ => "the payment network declined the payment; nothing was charged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_says_that_nothing_was_charged() {
        for code in [
            "card_declined",
            "insufficient_funds",
            "expired_card",
            "card_limit_exceeded",
            "card_details_incorrect",
            "card_not_supported",
            "card_issuer_unavailable",
            "payment_action_required",
            "payment_token_refused",
            "any other",
        ] {
            let detail = decline_detail(code).to_lowercase();
            assert!(detail.ends_with("nothing was charged"), "{detail}");
        }
    }
}
