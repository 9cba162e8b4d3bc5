//! The paying side: read a challenge, choose an offer, sign it.

#[cfg(feature = "svm")]
mod svm;

use compute_wallet::{EvmAddress, EvmKey, Uint256};
use serde_json::{Map, Value, json};

use crate::amount::Amount;
use crate::challenge::Resource;
use crate::exact_evm::{Authorization, SignedAuthorization};
use crate::header::{self, HeaderError};
use crate::networks::Network;
use crate::offer::Offer;
use crate::payload::{DecodeError, PaymentPayload, Version, check_payment_identifier};
use crate::permit::{Permit, SignedPermit};
use crate::permit2::{
    EXACT_PROXY, PERMIT2, Permit2Transfer, SPONSORING_EXTENSION, SignedPermit2, Sponsored,
};
use crate::token::{EvmToken, PermitPaths, TokenTerms};
use crate::wire::v2::EXACT;

#[cfg(feature = "svm")]
pub use svm::{SvmOffer, svm_payload_for};

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
    permit_offers: Vec<PermitOffer>,
    #[cfg(feature = "svm")]
    svm_offers: Vec<SvmOffer>,
}

/// The longest that a signed payment is good for, in seconds, whatever an offer asks for: what looks as
/// if it had failed must not be taken up long afterwards.
pub const LONGEST_VALIDITY_S: u64 = 3_600;

/// One offer this crate can pay: scheme `exact` on an EVM chain with EIP-3009.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayableOffer(Terms);

/// One offer this crate can pay with an ERC-2612 permit, for tokens without EIP-3009.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitOffer {
    terms: Terms,
    paths: PermitPaths,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Terms {
    token: TokenTerms,
    evm: EvmToken,
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
        // A payment echoes the extensions, and with such an id it would be none.
        check_payment_identifier(&object)?;
        let accepts = object.get("accepts").and_then(Value::as_array);
        let accepts = accepts.ok_or(DecodeError::Member("accepts"))?;
        #[cfg(feature = "svm")]
        let svm_offers = svm::read_all(accepts, version);
        let (mut offers, mut permit_offers) = (Vec::new(), Vec::new());
        for offer in accepts
            .iter()
            .filter_map(|offer| read_offer(offer, version))
        {
            match offer {
                AnyOffer::Transfer(offer) => offers.push(offer),
                AnyOffer::Permit(offer) => permit_offers.push(offer),
            }
        }
        let error = object
            .get("error")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let resource = object.remove("resource");
        let extensions = object.remove("extensions").filter(Value::is_object);
        Ok(Self {
            version,
            error,
            resource,
            extensions,
            offers,
            permit_offers,
            #[cfg(feature = "svm")]
            svm_offers,
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

    /// The offers this crate can pay with a permit, in the server's order.
    #[must_use]
    pub fn permit_offers(&self) -> &[PermitOffer] {
        &self.permit_offers
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
        let terms = &offer.0;
        let authorization = Authorization {
            from: key.address(),
            to: terms.pay_to,
            value: Uint256::from(terms.amount.get()),
            valid_after: now_s.saturating_sub(BACKDATE_S),
            valid_before: now_s.saturating_add(terms.max_timeout_seconds),
            nonce,
        };
        let signed = sign(&terms.evm, authorization, key);
        self.wrap(&terms.echo, &signed.to_json(), None)
    }

    /// Signs a permit for the spender that the offer names; `None` when it names none.
    ///
    /// `permit_nonce` is what the token answers to `nonces(owner)`; `now_s` is Unix seconds.
    #[must_use]
    pub fn pay_by_permit(
        &self,
        offer: &PermitOffer,
        key: &EvmKey,
        permit_nonce: Uint256,
        now_s: u64,
    ) -> Option<PaymentPayload> {
        let terms = &offer.terms;
        let permit = Permit {
            owner: key.address(),
            spender: offer.paths.spender()?,
            value: Uint256::from(terms.amount.get()),
            nonce: permit_nonce,
            deadline: now_s.saturating_add(terms.max_timeout_seconds),
        };
        let signed = sign_permit(&terms.evm, permit, key);
        Some(self.wrap(&terms.echo, &signed.to_json(), None))
    }

    /// Signs a Permit2 transfer, and a permit for Permit2 beside it when `permit_nonce` is given.
    ///
    /// `nonce` must be fresh random bytes; `permit_nonce` is what the token answers to
    /// `nonces(owner)`, and needed unless the payer has approved Permit2; `now_s` is Unix seconds.
    #[must_use]
    pub fn pay_by_permit2(
        &self,
        offer: &PermitOffer,
        key: &EvmKey,
        nonce: [u8; 32],
        permit_nonce: Option<Uint256>,
        now_s: u64,
    ) -> Option<PaymentPayload> {
        let terms = &offer.terms;
        let separator = offer.paths.permit2_separator()?;
        let (amount, deadline) = (
            Uint256::from(terms.amount.get()),
            now_s.saturating_add(terms.max_timeout_seconds),
        );
        let transfer = Permit2Transfer {
            from: key.address(),
            token: terms.evm.contract(),
            amount,
            spender: EXACT_PROXY,
            nonce: Uint256::from_be_bytes(nonce),
            deadline,
            to: terms.pay_to,
            valid_after: now_s.saturating_sub(BACKDATE_S),
        };
        let sponsored = permit_nonce.map_or(Sponsored::Absent, |nonce| {
            let permit = Permit {
                owner: key.address(),
                spender: PERMIT2,
                value: amount,
                nonce,
                deadline,
            };
            Sponsored::Permit {
                asset: terms.evm.contract(),
                permit: Box::new(sign_permit(&terms.evm, permit, key)),
            }
        });
        let extension = sponsored.to_extension();
        let signature = key.sign_digest(&transfer.digest(separator));
        let signed = SignedPermit2::new(transfer, &signature, sponsored);
        Some(self.wrap(&terms.echo, &signed.to_json(), extension))
    }

    fn wrap(&self, echo: &Value, signed: &Value, sponsoring: Option<Value>) -> PaymentPayload {
        if self.version == Version::V1 {
            let network = echo.get("network").and_then(Value::as_str);
            return payload_v1(network.unwrap_or_default(), signed);
        }
        let mut extensions = self.extensions.clone();
        if let Some(extension) = sponsoring {
            let own = extensions.get_or_insert_with(|| json!({}));
            if let Some(members) = own.as_object_mut() {
                members.insert(SPONSORING_EXTENSION.to_owned(), extension);
            }
        }
        payload_v2(echo.clone(), self.resource.clone(), extensions, signed)
    }
}

impl PayableOffer {
    /// The token to pay with.
    #[must_use]
    pub const fn token(&self) -> &TokenTerms {
        &self.0.token
    }

    /// The token's contract and its domain.
    #[must_use]
    pub const fn evm(&self) -> &EvmToken {
        &self.0.evm
    }

    /// Who is to be paid.
    #[must_use]
    pub const fn pay_to(&self) -> EvmAddress {
        self.0.pay_to
    }

    /// How much, in the token's smallest unit.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.0.amount
    }
}

impl PermitOffer {
    /// The token to pay with.
    #[must_use]
    pub const fn token(&self) -> &TokenTerms {
        &self.terms.token
    }

    /// Whom to approve: the spender of direct permits, Permit2, or both.
    #[must_use]
    pub const fn paths(&self) -> &PermitPaths {
        &self.paths
    }

    /// How much, in the token's smallest unit.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.terms.amount
    }
}

/// Signs a permit for a token.
#[must_use]
pub fn sign_permit(token: &EvmToken, permit: Permit, key: &EvmKey) -> SignedPermit {
    let signature = key.sign_digest(&permit.digest(token));
    SignedPermit::new(permit, &signature)
}

/// Signs an authorization for a token.
#[must_use]
pub fn sign(token: &EvmToken, authorization: Authorization, key: &EvmKey) -> SignedAuthorization {
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
    wrap_for(version, offer, resource, &signed.to_json())
}

fn wrap_for(
    version: Version,
    offer: &Offer,
    resource: Resource<'_>,
    signed: &Value,
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

fn payload_v1(network: &str, signed: &Value) -> PaymentPayload {
    own(json!({
        "x402Version": 1,
        "scheme": EXACT,
        "network": network,
        "payload": signed,
    }))
}

fn payload_v2(
    accepted: Value,
    resource: Option<Value>,
    extensions: Option<Value>,
    signed: &Value,
) -> PaymentPayload {
    let mut envelope = json!({
        "x402Version": 2,
        "accepted": accepted,
        "payload": signed,
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

enum AnyOffer {
    Transfer(PayableOffer),
    Permit(PermitOffer),
}

/// Reads an offer; anything that is not for a method of this crate on an EVM chain is left out.
fn read_offer(offer: &Value, version: Version) -> Option<AnyOffer> {
    let text = |name: &str| offer.get(name).and_then(Value::as_str);
    let extra = |name: &str| {
        offer
            .get("extra")
            .and_then(|extra| extra.get(name)?.as_str())
    };
    if text("scheme")? != EXACT {
        return None;
    }
    let amount = match version {
        Version::V1 => text("maxAmountRequired")?,
        Version::V2 => text("amount")?,
    };
    let network = Network::find(text("network")?)?;
    let asset = EvmAddress::parse_any_case(text("asset")?).ok()?;
    let (name, domain_version) = (extra("name")?, extra("version")?);
    // Offers for another transfer method name it; signing those as EIP-3009 would never settle.
    let paths = match extra("assetTransferMethod") {
        None | Some("eip3009") => None,
        Some("permit2") => Some(read_paths(&network, &extra)?),
        Some(_) => return None,
    };
    let token = match &paths {
        None => TokenTerms::eip3009(network, asset, name, domain_version).ok()?,
        Some(paths) => {
            TokenTerms::permit(network, asset, name, domain_version, paths.clone()).ok()?
        }
    };
    let terms = Terms {
        evm: token.as_evm()?.clone(),
        token,
        pay_to: EvmAddress::parse_any_case(text("payTo")?).ok()?,
        amount: Amount::parse(amount).ok()?,
        max_timeout_seconds: offer
            .get("maxTimeoutSeconds")?
            .as_u64()?
            .min(LONGEST_VALIDITY_S),
        echo: offer.clone(),
    };
    Some(match paths {
        None => AnyOffer::Transfer(PayableOffer(terms)),
        Some(paths) => AnyOffer::Permit(PermitOffer { terms, paths }),
    })
}

fn read_paths<'a>(
    network: &Network,
    extra: &impl Fn(&str) -> Option<&'a str>,
) -> Option<PermitPaths> {
    let paths = PermitPaths::none().with_permit2(network.chain_id()?);
    let spender = match (extra("primaryType"), extra("spender")) {
        (Some("Permit"), Some(text)) => Some(EvmAddress::parse_any_case(text).ok()?),
        _ => None,
    };
    Some(match spender {
        Some(spender) => paths.with_spender(spender),
        None => paths,
    })
}
