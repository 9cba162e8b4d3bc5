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
    let pages = settings.bazaar.then(|| app.pages().ok()).flatten();
    let discovery = pages
        .as_ref()
        .and_then(|pages| pages.calls.of(resource_url));
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

/// How each paid route is called, for catalogues: an example of what it takes and gives, and the schema
/// of what it takes.
#[derive(Debug)]
pub(crate) struct Calls {
    provision: Value,
    extend: Value,
    topup: Value,
}

impl Calls {
    /// With a body for each route that is taken as it stands.
    pub(crate) fn new(provision: &Value, extend: &Value, topup: &Value) -> Self {
        let order = json!({ "success": true, "order": { "id": "…", "status": "active" },
                            "status_url": "…" });
        let mut extend = bazaar_extension(extend, &extend_schema(), &order);
        // One listing for all machines.
        insert(
            &mut extend,
            "routeTemplate",
            json!("/compute/instances/:id/extend"),
        );
        Self {
            provision: bazaar_extension(provision, &provision_schema(), &order),
            extend,
            topup: bazaar_extension(
                topup,
                &schema(
                    &[("amount", json!({ "type": "number" })), ("network", text())],
                    &["amount"],
                ),
                &json!({ "success": true, "deposited": 25, "status_url": "…" }),
            ),
        }
    }

    fn of(&self, resource_url: &str) -> Option<&Value> {
        let path = resource_url.split('?').next()?;
        if path.ends_with("/compute/provision") {
            Some(&self.provision)
        } else if path.ends_with("/extend") {
            Some(&self.extend)
        } else if path.ends_with("/compute/credits/topup") {
            Some(&self.topup)
        } else {
            None
        }
    }
}

fn provision_schema() -> Value {
    schema(
        &[
            ("plan", text()),
            ("region", text()),
            ("os_id", json!({ "type": ["integer", "string"] })),
            ("prepaid_hours", hours()),
            ("label", text()),
            ("hostname", text()),
            ("ssh_public_key", text()),
            ("ssh_public_keys", json!({ "type": "array" })),
            ("user_data", text()),
            ("network", text()),
            ("max_total_usd", amount()),
        ],
        &["plan", "region", "os_id"],
    )
}

fn extend_schema() -> Value {
    schema(
        &[
            ("extend_hours", hours()),
            ("network", text()),
            ("max_total_usd", amount()),
        ],
        &[],
    )
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn amount() -> Value {
    json!({ "type": ["string", "number"] })
}

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
