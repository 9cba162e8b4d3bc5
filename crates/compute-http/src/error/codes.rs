//! Every stable code of an error, with what it means and what to do: for the page about the API.
//! A test compares it with what the tables can answer.

/// A code that clients may branch on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    /// The statuses it comes with.
    pub(crate) status: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) remedy: &'static str,
}

const fn code(
    code: &'static str,
    status: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> Code {
    Code {
        code,
        status,
        meaning,
        remedy,
    }
}

const MEND: &str = "Mend the request; nothing was done.";
const CHOOSE: &str = "Choose one of the catalogue.";
const PAY: &str = "Sign a fresh payment for one of the offers.";
const CREDITED: &str =
    "What was paid is credit now, see `details.credited`; buy again with `use_credits`.";
const LATER: &str = "Try again after `Retry-After`.";
const CHANGE: &str = "Choose another plan; nothing was changed.";

/// In the order of a reader: the request, who asks, the payment, the machine, the service.
pub(crate) const CODES: &[Code] = &[
    code(
        "invalid_request",
        "400",
        "The request breaks a rule; `field` names the member.",
        MEND,
    ),
    code("unknown_plan", "400", "There is no such plan.", CHOOSE),
    code("unknown_region", "400", "There is no such region.", CHOOSE),
    code("unknown_image", "400", "There is no such image.", CHOOSE),
    code(
        "image_not_for_plan",
        "400",
        "The image does not run on this plan.",
        CHOOSE,
    ),
    code(
        "unknown_network",
        "400",
        "Nothing is paid over this network; `networks` lists them.",
        MEND,
    ),
    code(
        "plan_not_in_region",
        "400",
        "The plan is not to be had there; `locations` lists where.",
        CHOOSE,
    ),
    code(
        "provider_mismatch",
        "400",
        "`provider` contradicts the plan.",
        "Leave `provider` out.",
    ),
    code(
        "ssh_key_required",
        "400",
        "This machine needs an SSH key.",
        "Send `ssh_public_key`.",
    ),
    code(
        "not_supported",
        "400",
        "This is not done here.",
        "Leave the member out.",
    ),
    code(
        "ai_machine_not_supported",
        "400",
        "AI machines are not sold here.",
        "Leave the member out.",
    ),
    code(
        "deploy_node_not_supported",
        "400",
        "Nodes are not deployed here.",
        "Leave the member out.",
    ),
    code(
        "ssh_key_id_not_supported",
        "400",
        "Stored keys cannot be named.",
        "Send `ssh_public_key`.",
    ),
    code(
        "several_payments",
        "400",
        "More than one payment was sent.",
        "Send one.",
    ),
    code(
        "payment_malformed",
        "400",
        "The payment cannot be read; `error` is the code of x402.",
        PAY,
    ),
    code(
        "method_unsupported",
        "400",
        "This payment method is not offered.",
        PAY,
    ),
    code(
        "webhook_refused",
        "400",
        "A webhook is not signed under our secret.",
        "For payment networks only.",
    ),
    code(
        "auth_required",
        "401",
        "Who calls must be known.",
        "Send `X-API-Key` or the `X-Auth-*` headers.",
    ),
    code(
        "auth_invalid",
        "401",
        "The signature does not fit the request.",
        "Sign the exact bytes that are sent.",
    ),
    code(
        "auth_expired",
        "401",
        "The timestamp is too far from our clock.",
        "Set the clock, sign again.",
    ),
    code(
        "auth_nonce_used",
        "401",
        "The nonce was used.",
        "Sign again with a new nonce.",
    ),
    code(
        "api_key_invalid",
        "401",
        "The API key is unknown or was revoked.",
        "Make another key.",
    ),
    code(
        "api_key_expired",
        "401",
        "The API key has ended.",
        "Make another key.",
    ),
    code(
        "payment_required",
        "402",
        "This must be paid; nothing was charged.",
        "Pay one of the offers, send the same request with the payment.",
    ),
    code(
        "payment_invalid",
        "402",
        "The payment was refused; nothing was charged. `error` is the code of x402.",
        PAY,
    ),
    code(
        "payment_insufficient",
        "402",
        "The payer does not hold the amount; nothing was charged.",
        "Fund the wallet, or pay from another.",
    ),
    code(
        "payment_expired",
        "402",
        "The payment came too late; nothing was charged.",
        PAY,
    ),
    code(
        "payment_declined",
        "402",
        "The payment network declined; nothing was charged.",
        PAY,
    ),
    code(
        "verification_failed",
        "402",
        "The credential does not pay the challenge; nothing was charged.",
        PAY,
    ),
    code(
        "malformed_credential",
        "402",
        "The credential cannot be read.",
        PAY,
    ),
    code(
        "invalid_challenge",
        "402",
        "The challenge is none of ours, or of another request.",
        "Ask again for a fresh challenge.",
    ),
    code(
        "invalid_payload",
        "402",
        "The credential's payload does not hold together.",
        PAY,
    ),
    code(
        "payment_action_required",
        "402",
        "The card's bank wants its holder to confirm.",
        "Pay with another card.",
    ),
    code(
        "insufficient_credits",
        "402",
        "The credits do not suffice; nothing was bought.",
        "Top up, see `topup`, or pay.",
    ),
    code(
        "scope_missing",
        "403",
        "The API key may not do this; `needed` says what it lacks.",
        "Use another key.",
    ),
    code(
        "signature_required",
        "403",
        "An API key is not enough here.",
        "Sign with the wallet.",
    ),
    code(
        "payer_mismatch",
        "403",
        "The payer is not the caller, or not the owner. Nothing was settled.",
        "Pay from the owner's wallet.",
    ),
    code(
        "payer_refused",
        "403",
        "Nothing is sold to this payer. Nothing was settled.",
        "–",
    ),
    code(
        "api_key_budget_exceeded",
        "403",
        "The API key may not spend so much; `left` says how much.",
        "Use another key.",
    ),
    code(
        "not_found",
        "404",
        "There is no such thing, or it is somebody else's.",
        "Check the id and who calls.",
    ),
    code(
        "method_not_allowed",
        "405",
        "The path does not answer this method.",
        "See `Allow`.",
    ),
    code(
        "not_acceptable",
        "406",
        "`Accept` takes no form that this answer has.",
        "Accept `application/json`; nothing was done.",
    ),
    code(
        "body_timeout",
        "408",
        "The body did not arrive in time.",
        "Send again; nothing was done.",
    ),
    code(
        "operation_in_progress",
        "409",
        "Another operation is under way.",
        "Follow `status_url`. Do not pay again.",
    ),
    code(
        "no_receipt",
        "409",
        "No money has arrived for this work, or it costs nothing.",
        "Follow `status_url`; there is a receipt once it is paid.",
    ),
    code(
        "instance_not_active",
        "409",
        "The machine is not in a state for this; `state` says which.",
        "Look at the order.",
    ),
    code(
        "deletion_protected",
        "409",
        "The machine is protected.",
        "Take the protection away first.",
    ),
    code(
        "password_already_retrieved",
        "409",
        "The password was shown before.",
        "It cannot be shown again.",
    ),
    code(
        "password_not_available",
        "409",
        "There is no password.",
        "Log in with the SSH key.",
    ),
    code(
        "payment_already_used",
        "409",
        "The payment bought something else. Nothing was charged now.",
        PAY,
    ),
    code(
        "payment_identifier_reused",
        "409",
        "The identifier in the payment stands for another request.",
        "One identifier for each purchase.",
    ),
    code(
        "price_above_maximum",
        "409",
        "It costs more than `max_total_usd`. Nothing was settled.",
        "Raise it, or choose a cheaper one.",
    ),
    code(
        "limit_reached",
        "409",
        "There are as many as allowed. Nothing was settled.",
        "Destroy or revoke one first.",
    ),
    code(
        "api_key_made_before",
        "409",
        "A key was made under this name; `api_key_id` is its id.",
        "Revoke it, and make another under a new name.",
    ),
    code("too_large", "413", "The body is too large.", MEND),
    code(
        "unsupported_media_type",
        "415",
        "The body is no plain JSON.",
        "Send `Content-Type: application/json`, uncompressed.",
    ),
    code(
        "idempotency_key_reused",
        "422",
        "This `Idempotency-Key` stands for another request.",
        "One key for each purchase.",
    ),
    code(
        "rate_limited",
        "429",
        "Too many requests; nothing was done.",
        LATER,
    ),
    code(
        "headers_too_large",
        "431",
        "The headers for credentials are too large.",
        "Leave them out to pay by x402.",
    ),
    code(
        "resize_same_plan",
        "400",
        "The machine has this plan.",
        CHANGE,
    ),
    code(
        "resize_other_provider",
        "400",
        "The plan is of another provider.",
        CHANGE,
    ),
    code("resize_downgrade", "400", "The plan is smaller.", CHANGE),
    code(
        "resize_other_family",
        "400",
        "The plan is of another family.",
        CHANGE,
    ),
    code(
        "resize_not_possible",
        "400",
        "This machine keeps its plan.",
        "Buy another machine.",
    ),
    code(
        "disk_resize_confirmation_required",
        "400",
        "The disk would grow for good.",
        "Send `confirm_disk_resize: true`.",
    ),
    code(
        "resize_too_little_left",
        "400",
        "What is left pays for too little time at the new price.",
        "Extend first.",
    ),
    code(
        "internal",
        "500",
        "A fault of the service.",
        "Send the same request again; give us `request_id`.",
    ),
    code(
        "provider_rejected",
        "502",
        "The provider refused.",
        CREDITED,
    ),
    code(
        "resize_failed",
        "502",
        "The provider did not change the plan; all is as it was.",
        "Try again later, or choose another plan.",
    ),
    code(
        "no_capacity",
        "503",
        "The provider has no such machine left.",
        CREDITED,
    ),
    code(
        "not_ready",
        "503",
        "The machine did not start in time; or the service is not ready to sell.",
        CREDITED,
    ),
    code(
        "provider_unavailable",
        "503",
        "The provider cannot be reached.",
        LATER,
    ),
    code(
        "payment_unreachable",
        "503",
        "The payment network could not be reached; nothing was charged.",
        LATER,
    ),
    code(
        "payment_network_unavailable",
        "503",
        "This network cannot settle at present; nothing was charged.",
        "Pay over another network, or later.",
    ),
    code(
        "settlement_unknown",
        "503",
        "Nobody knows yet whether the payment settled.",
        "Follow `status_url`. Do not pay again.",
    ),
    code(
        "instance_gone",
        "503",
        "The machine ended before the payment settled.",
        CREDITED,
    ),
    code(
        "operator_refunded",
        "503",
        "An operator ended what nobody could find out.",
        CREDITED,
    ),
    code(
        "paid_too_late",
        "503",
        "The transfer came too late for what it was sent for.",
        CREDITED,
    ),
    code(
        "password_not_ready",
        "503",
        "The machine is not ready.",
        LATER,
    ),
    code(
        "catalogue_unavailable",
        "503",
        "Nothing can be sold at present.",
        LATER,
    ),
    code(
        "unavailable",
        "503",
        "The service cannot work at present.",
        LATER,
    ),
    code(
        "overloaded",
        "503",
        "Too many requests in progress; nothing was done.",
        LATER,
    ),
];
