//! What a challenge of version 2 says beside its offers, and what a settlement says beside its
//! transaction (x402 extensions).

use std::borrow::Cow;
use std::sync::LazyLock;

use compute_domain::WalletAddress;
use compute_x402::challenge::payment_identifier_extension;
use compute_x402::discovery::{BAZAAR, bazaar_extension};
use compute_x402::offer_receipt::{OFFER_RECEIPT, ReceiptIssuer};
use compute_x402::permit2::{SPONSORING_EXTENSION, sponsoring_extension};
use compute_x402::{Method, Network, Offer};
use serde_json::{Map, Value, json};

use crate::app::App;

/// How long a signed offer is promised, in seconds: as long as a price stays payable.
const OFFER_LIFE_S: u64 = 300;

/// What every client may do beyond paying: give its purchase a name (x402.md 9).
static USUAL: LazyLock<Value> = LazyLock::new(payment_identifier_extension);

/// The same where a token is paid through Permit2: its approval may come as a permit (x402.md 6.2).
static WITH_SPONSORING: LazyLock<Value> = LazyLock::new(|| {
    let mut extensions = payment_identifier_extension();
    insert(
        &mut extensions,
        SPONSORING_EXTENSION,
        sponsoring_extension(),
    );
    extensions
});

/// The extensions of a challenge. Those that need no key and no route are made once.
pub(super) fn of_challenge(offers: &[Offer], resource_url: &str, app: &App) -> Cow<'static, Value> {
    let usual: &'static Value = if offers.iter().any(takes_permit2) {
        &WITH_SPONSORING
    } else {
        &USUAL
    };
    let settings = app.settings();
    let discovery = settings
        .bazaar
        .then(|| discovery_of(resource_url))
        .flatten();
    if discovery.is_none() && settings.issuer.is_none() {
        return Cow::Borrowed(usual);
    }
    let mut extensions = usual.clone();
    if let Some(discovery) = discovery {
        insert(&mut extensions, BAZAAR, discovery.clone());
    }
    if let Some(issuer) = &settings.issuer {
        let until = app.engine().now().secs().saturating_add(OFFER_LIFE_S);
        let signed = issuer.offers(as_shown(offers), resource_url, until);
        insert(&mut extensions, OFFER_RECEIPT, signed);
    }
    Cow::Owned(extensions)
}

/// The extensions of a settlement.
pub(super) fn of_settlement(
    issuer: &ReceiptIssuer,
    network: &Network,
    resource_url: &str,
    payer: &WalletAddress,
    (issued_at_s, transaction): (u64, &str),
) -> Value {
    let receipt = issuer.receipt(network, resource_url, payer, issued_at_s, transaction);
    json!({ (OFFER_RECEIPT): receipt })
}

/// In the order in which the challenge shows them: those of the first one's network first.
fn as_shown(offers: &[Offer]) -> Vec<&Offer> {
    let Some(first) = offers.first() else {
        return Vec::new();
    };
    let (mut shown, others): (Vec<_>, Vec<_>) = offers
        .iter()
        .partition(|offer| offer.network() == first.network());
    shown.extend(others);
    shown
}

fn takes_permit2(offer: &Offer) -> bool {
    match offer.token().method() {
        Method::Permit { paths, .. } => paths.permit2_separator().is_some(),
        _ => false,
    }
}

fn insert(extensions: &mut Value, name: &str, extension: Value) {
    if let Some(members) = extensions.as_object_mut() {
        members.insert(name.to_owned(), extension);
    }
}

/// How each paid route is called, for catalogues.
struct Routes {
    provision: Value,
    extend: Value,
    topup: Value,
}

static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
    let order = json!({ "success": true, "order": { "id": "…", "status": "active" },
                        "status_url": "…" });
    Routes {
        provision: bazaar_extension(
            &json!({ "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "prepaid_hours": 24,
                     "network": "base" }),
            &schema(
                &[
                    ("plan", json!({ "type": "string" })),
                    ("region", json!({ "type": "string" })),
                    ("os_id", json!({ "type": ["integer", "string"] })),
                    ("prepaid_hours", hours()),
                    ("label", json!({ "type": "string" })),
                    ("hostname", json!({ "type": "string" })),
                    ("ssh_public_key", json!({ "type": "string" })),
                    ("ssh_public_keys", json!({ "type": "array" })),
                    ("user_data", json!({ "type": "string" })),
                    ("network", json!({ "type": "string" })),
                    ("max_total_usd", json!({ "type": ["string", "number"] })),
                ],
                &["plan", "region", "os_id"],
            ),
            &order,
        ),
        extend: bazaar_extension(
            &json!({ "extend_hours": 24, "network": "base" }),
            &schema(
                &[
                    ("extend_hours", hours()),
                    ("network", json!({ "type": "string" })),
                    ("max_total_usd", json!({ "type": ["string", "number"] })),
                ],
                &[],
            ),
            &order,
        ),
        topup: bazaar_extension(
            &json!({ "amount": "25.00", "network": "base" }),
            &schema(
                &[
                    ("amount", json!({ "type": ["string", "number"] })),
                    ("network", json!({ "type": "string" })),
                ],
                &["amount"],
            ),
            &json!({ "success": true, "deposited": 25, "status_url": "…" }),
        ),
    }
});

fn hours() -> Value {
    json!({ "type": "integer", "minimum": 24, "maximum": 4_320 })
}

fn schema(members: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, member)| ((*name).to_owned(), member.clone()))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required,
            "additionalProperties": false })
}

fn discovery_of(resource_url: &str) -> Option<&'static Value> {
    let path = resource_url.split('?').next()?;
    if path.ends_with("/compute/provision") {
        Some(&ROUTES.provision)
    } else if path.ends_with("/extend") {
        Some(&ROUTES.extend)
    } else if path.ends_with("/compute/credits/topup") {
        Some(&ROUTES.topup)
    } else {
        None
    }
}
