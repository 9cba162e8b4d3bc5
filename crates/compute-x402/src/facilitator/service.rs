//! The other side of the interface: what a facilitator is asked, and the answers it gives.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "svm")]
use compute_wallet::SolanaAddress;
use compute_wallet::WalletAddress;
use serde_json::{Map, Value, json};

use crate::amount::Amount;
use crate::error_code::{ErrorCode, SvmCode};
#[cfg(feature = "svm")]
use crate::exact_svm::{SvmToken, SvmTransaction};
use crate::networks::Network;
use crate::offer::{Offer, Recipient};
#[cfg(feature = "svm")]
use crate::payload::Body;
use crate::payload::{DecodeError, PaymentPayload, Version};
use crate::strict_json::parse_object;
use crate::token::TokenTerms;
use crate::wire::v2::EXACT;

/// The longest body of `/verify` and `/settle` that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// The body of `POST /verify` and `POST /settle`: a payment, and what it must pay.
///
/// Nothing in it is believed: [`FacilitatorRequest::offer`] turns it into an offer of a token that
/// the facilitator itself knows, and [`verify`](crate::verify()) checks the payment against that.
#[derive(Clone)]
pub struct FacilitatorRequest {
    version: Version,
    payment: PaymentPayload,
    requirements: Map<String, Value>,
}

/// Why a request or its requirements cannot be used. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Larger than [`MAX_REQUEST_BYTES`], or not one strict JSON object.
    #[error("the body is not one JSON object of at most 64 KiB")]
    Body,
    /// The payment in it cannot be read.
    #[error("the member paymentPayload is not a payment")]
    Payment(#[source] DecodeError),
    /// The versions of request and payment differ, or one is missing.
    #[error("x402Version of request and payment must be the same, 1 or 2")]
    Version,
    /// A member of the requirements is missing or malformed.
    #[error("the member {0} of paymentRequirements is missing or malformed")]
    Requirement(&'static str),
    /// The scheme is not `exact`.
    #[error("only the scheme exact is settled here")]
    Scheme,
    /// The network or the token is another one.
    #[error("this token is not settled here")]
    Token,
    /// On Solana the payment is to be paid for from another account.
    #[error("fees are not paid from this account here")]
    FeePayer,
}

impl RequestError {
    /// The protocol code to answer with.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Body => ErrorCode::InvalidPayload,
            Self::Payment(error) => error.code(),
            Self::Version => ErrorCode::InvalidX402Version,
            Self::Requirement(_) => ErrorCode::InvalidPaymentRequirements,
            Self::Scheme => ErrorCode::UnsupportedScheme,
            Self::Token => ErrorCode::InvalidNetwork,
            Self::FeePayer => ErrorCode::Svm(SvmCode::FeePayerNotManaged),
        }
    }
}

impl FacilitatorRequest {
    /// Reads a body: strictly, with a limit on its length and depth.
    ///
    /// # Errors
    /// When the body is no request.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::Body);
        }
        let text = std::str::from_utf8(body).map_err(|_| RequestError::Body)?;
        let mut members = parse_object(text).map_err(|_| RequestError::Body)?;
        let Some(Value::Object(requirements)) = members.remove("paymentRequirements") else {
            return Err(RequestError::Requirement("paymentRequirements"));
        };
        let payment = members.remove("paymentPayload").unwrap_or_default();
        let payment = PaymentPayload::from_json(payment).map_err(RequestError::Payment)?;
        let version = payment.version();
        let stated = members.get("x402Version").and_then(Value::as_u64);
        // Some clients of version 1 name the version in the payment only.
        if stated.is_some_and(|number| number != u64::from(version.number())) {
            return Err(RequestError::Version);
        }
        Ok(Self {
            version,
            payment,
            requirements,
        })
    }

    /// The protocol version, in which to answer.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The payment.
    #[must_use]
    pub const fn payment(&self) -> &PaymentPayload {
        &self.payment
    }

    /// The required payment as an offer of a token that the facilitator settles.
    ///
    /// On Solana the requirements add to the token whose fee payer and which memo is asked for, and
    /// the payment whether it takes the recipient for a token account; the chain knows what it is.
    ///
    /// # Errors
    /// When a member cannot be used, or the token is another one.
    pub fn offer(&self, token: &Arc<TokenTerms>) -> Result<Offer, RequestError> {
        if self.text("scheme")? != EXACT {
            return Err(RequestError::Scheme);
        }
        let network = token.network();
        let named = self.text("network")?;
        if !network.is_named(named) || self.address("asset", network)? != token.asset() {
            return Err(RequestError::Token);
        }
        let amount = match self.version {
            Version::V1 => "maxAmountRequired",
            Version::V2 => "amount",
        };
        let amount =
            Amount::parse(self.text(amount)?).map_err(|_| RequestError::Requirement(amount))?;
        if amount.get() == 0 {
            return Err(RequestError::Requirement("amount"));
        }
        let pay_to = self.address("payTo", network)?;
        let seconds = self.requirements.get("maxTimeoutSeconds");
        let seconds = seconds
            .and_then(Value::as_u64)
            .and_then(|seconds| u32::try_from(seconds).ok())
            .ok_or(RequestError::Requirement("maxTimeoutSeconds"))?;
        Ok(Offer::new(
            self.token(token, &pay_to)?,
            Recipient::new(pay_to),
            amount,
            seconds,
        ))
    }

    #[cfg(not(feature = "svm"))]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "with the feature svm a token may be refused"
    )]
    fn token(
        &self,
        token: &Arc<TokenTerms>,
        _: &WalletAddress,
    ) -> Result<Arc<TokenTerms>, RequestError> {
        Ok(Arc::clone(token))
    }

    // The token as these requirements ask for it.
    #[cfg(feature = "svm")]
    fn token(
        &self,
        token: &Arc<TokenTerms>,
        pay_to: &WalletAddress,
    ) -> Result<Arc<TokenTerms>, RequestError> {
        let Some(svm) = token.as_svm() else {
            return Ok(Arc::clone(token));
        };
        let extra = self.requirements.get("extra");
        let member = |name: &str| extra.and_then(|extra| extra.get(name));
        let account = member("feePayer").and_then(Value::as_str);
        let account = account.and_then(|text| SolanaAddress::parse(text).ok());
        let account = account.ok_or(RequestError::Requirement("extra.feePayer"))?;
        if account != svm.terms().fee_payer() {
            return Err(RequestError::FeePayer);
        }
        // Clients of version 1 write no memo, so that asking them for one asks for nothing.
        let memo = match (member("memo"), self.version) {
            (None | Some(Value::Null), _) => None,
            (Some(Value::String(memo)), Version::V2) => Some(memo),
            (Some(_), _) => return Err(RequestError::Requirement("extra.memo")),
        };
        let mut terms = svm.terms().clone().without_memo();
        if let Some(memo) = memo {
            terms = terms.with_memo(memo);
        }
        let mut asked = SvmToken::new(terms).with_limits(*svm.limits());
        if self.pays_itself(pay_to) {
            asked = asked.to_token_accounts();
        }
        Ok(Arc::new(TokenTerms::svm(asked)))
    }

    /// Whether the payment puts the money into the recipient's own address, and not into a token
    /// account that belongs to it.
    #[cfg(feature = "svm")]
    fn pays_itself(&self, pay_to: &WalletAddress) -> bool {
        let Body::Transaction(text) = self.payment.body() else {
            return false;
        };
        let transfer = SvmTransaction::decode(text).ok();
        let transfer = transfer.and_then(|transaction| transaction.transfer());
        transfer.is_some_and(|transfer| WalletAddress::Solana(transfer.destination) == *pay_to)
    }

    fn text(&self, name: &'static str) -> Result<&str, RequestError> {
        let text = self.requirements.get(name).and_then(Value::as_str);
        text.ok_or(RequestError::Requirement(name))
    }

    fn address(
        &self,
        name: &'static str,
        network: &Network,
    ) -> Result<WalletAddress, RequestError> {
        WalletAddress::parse(network.namespace(), self.text(name)?)
            .map_err(|_| RequestError::Requirement(name))
    }
}

impl fmt::Debug for FacilitatorRequest {
    /// The payment is worth money until it is settled.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorRequest")
            .field("payment", &self.payment)
            .finish_non_exhaustive()
    }
}

/// The answer of `/verify` for a payment that would settle.
#[must_use]
pub fn valid_answer(payer: &WalletAddress) -> Value {
    json!({ "isValid": true, "payer": address_text(payer) })
}

/// The answer of `/verify` for a payment that would not.
#[must_use]
pub fn invalid_answer(code: &ErrorCode, message: &str, payer: Option<&WalletAddress>) -> Value {
    with_payer(
        json!({ "isValid": false, "invalidReason": code, "invalidMessage": message }),
        payer,
    )
}

/// The answer of `/settle` for a payment that settled.
#[must_use]
pub fn settled_answer(
    version: Version,
    offer: &Offer,
    transaction: &str,
    payer: &WalletAddress,
) -> Value {
    json!({
        "success": true,
        "transaction": transaction,
        "network": network_name(version, offer.network()),
        "payer": address_text(payer),
        "amount": offer.amount(),
    })
}

/// The answer of `/settle` for a payment that did not settle, or not yet: then the code is
/// [`ErrorCode::SettlementPending`], and `transaction` what was sent.
#[must_use]
pub fn unsettled_answer(
    version: Version,
    network: Option<&Network>,
    (code, message): (&ErrorCode, &str),
    transaction: Option<&str>,
    payer: Option<&WalletAddress>,
) -> Value {
    with_payer(
        json!({
            "success": false,
            "errorReason": code,
            "errorMessage": message,
            "transaction": transaction.unwrap_or_default(),
            "network": network.map_or("", |network| network_name(version, network)),
        }),
        payer,
    )
}

/// The answer of `/supported`: every network in both versions, on Solana with the account that pays
/// fees, and the accounts that send.
#[must_use]
pub fn supported_answer<'a>(
    tokens: impl IntoIterator<Item = &'a TokenTerms>,
    extensions: &[&str],
    signers: &Map<String, Value>,
) -> Value {
    let mut kinds = Vec::new();
    for token in tokens {
        for version in [Version::V1, Version::V2] {
            let mut kind = json!({
                "x402Version": version.number(),
                "scheme": EXACT,
                "network": network_name(version, token.network()),
            });
            if let (Some(account), Some(members)) = (fee_payer_of(token), kind.as_object_mut()) {
                members.insert("extra".to_owned(), json!({ "feePayer": account }));
            }
            // Several tokens may be settled on one network.
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    json!({ "kinds": kinds, "extensions": extensions, "signers": signers })
}

#[cfg(feature = "svm")]
fn fee_payer_of(token: &TokenTerms) -> Option<String> {
    let token = token.as_svm()?;
    Some(token.terms().fee_payer().to_string())
}

#[cfg(not(feature = "svm"))]
const fn fee_payer_of(_: &TokenTerms) -> Option<String> {
    None
}

fn network_name(version: Version, network: &Network) -> &str {
    match version {
        Version::V1 => network.v1_name(),
        Version::V2 => network.caip2(),
    }
}

fn with_payer(mut answer: Value, payer: Option<&WalletAddress>) -> Value {
    if let (Some(payer), Some(members)) = (payer, answer.as_object_mut()) {
        members.insert("payer".to_owned(), json!(address_text(payer)));
    }
    answer
}

fn address_text(address: &WalletAddress) -> String {
    match address {
        WalletAddress::Evm(address) => address.to_checksum(),
        WalletAddress::Solana(address) => address.to_string(),
    }
}
