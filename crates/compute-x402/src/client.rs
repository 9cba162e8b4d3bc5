//! The paying side: read a challenge, choose an offer, sign it.

use compute_wallet::{EvmAddress, EvmKey, Uint256};
use serde_json::{Map, Value, json};

use crate::amount::Amount;
use crate::challenge::Resource;
use crate::exact_evm::{Authorization, SignedAuthorization};
use crate::header::{self, HeaderError};
use crate::networks::Network;
use crate::offer::{Offer, TokenTerms};
use crate::payload::{DecodeError, PaymentPayload, Version};
use crate::wire::v2::EXACT;

/// How far back an authorization begins, in seconds, so that clocks may differ.
const BACKDATE_S: u64 = 600;

/// What a server asks for, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentRequired {
    version: Version,
    error: Option<String>,
    resource: Option<Value>,
    extensions: Option<Value>,
    offers: Vec<PayableOffer>,
}

/// One offer this crate can pay: scheme `exact` on an EVM chain with EIP-3009.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayableOffer {
    token: TokenTerms,
    pay_to: EvmAddress,
    amount: Amount,
    max_timeout_seconds: u64,
    echo: Value,
}

impl PaymentRequired {
    /// Reads the header `PAYMENT-REQUIRED` of version 2.
    ///
    /// # Errors
    /// When the header is not base64 of a version 2 challenge.
    pub fn from_header(raw: &[u8]) -> Result<Self, DecodeError> {
        Self::read(
            header::decode(raw).map_err(DecodeError::Header)?,
            Version::V2,
        )
    }

    /// Reads the body of an answer 402 of version 1.
    ///
    /// # Errors
    /// When the body is not a version 1 challenge.
    pub fn from_body(body: &[u8]) -> Result<Self, DecodeError> {
        let object =
            serde_json::from_slice(body).map_err(|_| DecodeError::Header(HeaderError::NotJson))?;
        Self::read(object, Version::V1)
    }

    fn read(mut object: Map<String, Value>, version: Version) -> Result<Self, DecodeError> {
        if object.get("x402Version").and_then(Value::as_u64) != Some(version.number().into()) {
            return Err(DecodeError::Version);
        }
        let accepts = object.get("accepts").and_then(Value::as_array);
        let accepts = accepts.ok_or(DecodeError::Member("accepts"))?;
        let offers = accepts
            .iter()
            .filter_map(|offer| read_offer(offer, version))
            .collect();
        let error = object
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let resource = object.remove("resource");
        let extensions = object
            .remove("extensions")
            .filter(|extensions| !extensions.is_null());
        Ok(Self {
            version,
            error,
            resource,
            extensions,
            offers,
        })
    }

    /// The protocol version of the challenge.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Why payment is asked, in the server's words.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The offers this crate can pay, in the server's order. Others are left out.
    #[must_use]
    pub fn offers(&self) -> &[PayableOffer] {
        &self.offers
    }

    /// Signs one of [`PaymentRequired::offers`], valid for the time the server allows.
    ///
    /// `nonce` must be fresh random bytes; `now_s` is Unix seconds.
    #[must_use]
    pub fn pay(
        &self,
        offer: &PayableOffer,
        key: &EvmKey,
        nonce: [u8; 32],
        now_s: u64,
    ) -> PaymentPayload {
        let authorization = Authorization {
            from: key.address(),
            to: offer.pay_to,
            value: Uint256::from(offer.amount.get()),
            valid_after: now_s.saturating_sub(BACKDATE_S),
            valid_before: now_s.saturating_add(offer.max_timeout_seconds),
            nonce,
        };
        let signed = sign(&offer.token, authorization, key);
        match self.version {
            Version::V1 => {
                let network = offer.echo.get("network").and_then(Value::as_str);
                payload_v1(network.unwrap_or_default(), &signed)
            }
            Version::V2 => payload_v2(
                offer.echo.clone(),
                self.resource.clone(),
                self.extensions.clone(),
                &signed,
            ),
        }
    }
}

impl PayableOffer {
    /// The token to pay with.
    #[must_use]
    pub const fn token(&self) -> &TokenTerms {
        &self.token
    }

    /// Who is to be paid.
    #[must_use]
    pub const fn pay_to(&self) -> EvmAddress {
        self.pay_to
    }

    /// How much, in the token's smallest unit.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }
}

/// Signs an authorization for a token.
#[must_use]
pub fn sign(token: &TokenTerms, authorization: Authorization, key: &EvmKey) -> SignedAuthorization {
    let signature = key.sign_digest(&authorization.digest(token));
    SignedAuthorization::new(authorization, &signature)
}

/// Wraps a signed authorization as a payment for one of a server's own offers.
///
/// For tests and for clients that agreed on an offer by other means; see
/// [`PaymentRequired::pay`] for the usual way.
#[must_use]
pub fn payload_for(
    version: Version,
    offer: &Offer,
    resource: Resource<'_>,
    signed: &SignedAuthorization,
) -> PaymentPayload {
    match version {
        Version::V1 => payload_v1(offer.network().v1_name(), signed),
        Version::V2 => payload_v2(
            json!(offer.to_v2()),
            Some(json!(resource.to_wire())),
            None,
            signed,
        ),
    }
}

fn payload_v1(network: &str, signed: &SignedAuthorization) -> PaymentPayload {
    own(json!({
        "x402Version": 1,
        "scheme": EXACT,
        "network": network,
        "payload": signed.to_json(),
    }))
}

fn payload_v2(
    accepted: Value,
    resource: Option<Value>,
    extensions: Option<Value>,
    signed: &SignedAuthorization,
) -> PaymentPayload {
    let mut envelope = json!({
        "x402Version": 2,
        "accepted": accepted,
        "payload": signed.to_json(),
    });
    if let Some(members) = envelope.as_object_mut() {
        let resource = resource
            .filter(Value::is_object)
            .map(|value| ("resource", value));
        let extensions = extensions
            .filter(Value::is_object)
            .map(|value| ("extensions", value));
        for (name, value) in resource.into_iter().chain(extensions) {
            members.insert(name.to_owned(), value);
        }
    }
    own(envelope)
}

fn own(envelope: Value) -> PaymentPayload {
    #[expect(
        clippy::expect_used,
        reason = "version, terms and payload are set right here; optional members are objects"
    )]
    PaymentPayload::from_json(envelope).expect("an envelope built here is a payment")
}

/// Reads an offer; anything that is not EIP-3009 on an EVM chain is not payable here.
fn read_offer(offer: &Value, version: Version) -> Option<PayableOffer> {
    let text = |name: &str| offer.get(name).and_then(Value::as_str);
    let extra = |name: &str| {
        offer
            .get("extra")
            .and_then(|extra| extra.get(name)?.as_str())
    };
    // Offers for another transfer method name it; signing those as EIP-3009 would never settle.
    if text("scheme")? != EXACT || extra("assetTransferMethod").is_some_and(|m| m != "eip3009") {
        return None;
    }
    let amount = match version {
        Version::V1 => text("maxAmountRequired")?,
        Version::V2 => text("amount")?,
    };
    let token = TokenTerms::eip3009(
        Network::find(text("network")?)?,
        EvmAddress::parse_any_case(text("asset")?).ok()?,
        extra("name")?,
        extra("version")?,
    );
    Some(PayableOffer {
        token: token.ok()?,
        pay_to: EvmAddress::parse_any_case(text("payTo")?).ok()?,
        amount: Amount::parse(amount).ok()?,
        max_timeout_seconds: offer.get("maxTimeoutSeconds")?.as_u64()?,
        echo: offer.clone(),
    })
}
