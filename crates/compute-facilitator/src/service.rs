//! What is asked and what is answered.

use core::fmt;
use core::num::NonZeroU32;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use compute_domain::time::Clock;
use compute_engine::ports::{Check, Settlement, Settler};
use compute_engine::{ResourceInfo, StoredProof};
use compute_wallet::WalletAddress;
use compute_x402::facilitator::service::{
    FacilitatorRequest, MAX_REQUEST_BYTES, RequestError, settled_answer, supported_answer,
    valid_answer,
};
use compute_x402::permit2::SPONSORING_EXTENSION;
use compute_x402::{
    Authority, ErrorCode, Method, Offer, TokenTerms, ValidityWindow, Verified, Version, verify,
};
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde_json::{Map, json};

use crate::answer::{Question, Refusal, json as respond};
use crate::gate::Gate;
use crate::told::Told;

/// The name that a client gives a request which it may repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What an operator decides about the service.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The bearer token that clients of `/verify` and `/settle` show; without one everybody may ask,
    /// which is for listeners that only this machine reaches.
    pub token: Option<SecretString>,
    /// Whom payers may pay through this service.
    pub recipients: BTreeSet<WalletAddress>,
    /// How many questions about one payer are answered in a minute.
    pub per_payer_per_minute: NonZeroU32,
}

/// The service: rails, and who may use them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service(Arc<Parts>);

struct Parts {
    settlers: Vec<(Arc<dyn Settler>, Arc<TokenTerms>)>,
    recipients: BTreeSet<WalletAddress>,
    gate: Gate,
    told: Told,
    clock: Arc<dyn Clock>,
}

/// A payment that one of the rails could settle.
struct Acceptable<'a> {
    settler: &'a dyn Settler,
    version: Version,
    verified: Verified,
    proof: StoredProof,
}

impl Service {
    /// A service over rails; those that can pay nobody but this shop are left out.
    #[must_use]
    pub fn new(
        settlers: Vec<Arc<dyn Settler>>,
        config: &ServiceConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let usable = |settler: Arc<dyn Settler>| {
            let terms = settler.terms_for_others()?;
            Some((settler, terms))
        };
        Self(Arc::new(Parts {
            settlers: settlers.into_iter().filter_map(usable).collect(),
            recipients: config.recipients.clone(),
            gate: Gate::new(config.token.as_ref(), config.per_payer_per_minute),
            told: Told::default(),
            clock,
        }))
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("settlers", &self.settlers.len())
            .field("recipients", &self.recipients)
            .finish_non_exhaustive()
    }
}

/// The routes of the interface.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/supported", get(supported))
        .route("/verify", post(check_payment))
        .route("/settle", post(settle_payment))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(service)
}

async fn supported(State(service): State<Service>) -> Response {
    let settlers = &service.0.settlers;
    let mut signers = Map::new();
    for (settler, terms) in settlers {
        let text = match settler.signer() {
            WalletAddress::Evm(address) => address.to_checksum(),
            WalletAddress::Solana(address) => address.to_string(),
        };
        let family = format!("{}:*", terms.network().namespace().as_str());
        let list = signers.entry(family).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut()
            && !list.contains(&json!(text))
        {
            list.push(json!(text));
        }
    }
    let is_permit = |terms: &TokenTerms| matches!(terms.method(), Method::Permit { .. });
    let sponsors = settlers.iter().any(|(_, terms)| is_permit(terms));
    let extensions: &[&str] = if sponsors {
        &[SPONSORING_EXTENSION]
    } else {
        &[]
    };
    let tokens = settlers.iter().map(|(_, terms)| terms.as_ref());
    respond(
        StatusCode::OK,
        &supported_answer(tokens, extensions, &signers),
    )
}

async fn check_payment(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match service.try_verify(&headers, body).await {
        Ok(acceptable) => respond(StatusCode::OK, &valid_answer(&acceptable.verified.payer)),
        Err(refusal) => refusal.to_response(Question::Verify),
    }
}

async fn settle_payment(
    State(service): State<Service>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let refused = |refusal: Box<Refusal>| refusal.to_response(Question::Settle);
    let acceptable = match service.try_accept(&headers, body) {
        Ok(acceptable) => acceptable,
        Err(refusal) => return refused(refusal),
    };
    if let Err(refusal) = acceptable.require_signature().await {
        return refused(refusal);
    }
    let Acceptable {
        settler,
        version,
        verified,
        proof,
    } = acceptable;
    let no = |status, code: ErrorCode, message: &str| {
        Refusal::new(status, code, message)
            .paid_by(verified.payer)
            .on(version, proof.offer.network())
    };
    let key = headers
        .get(IDEMPOTENCY_KEY)
        .and_then(|value| value.to_str().ok());
    let (proof_key, now) = (verified.proof_key.as_str(), service.0.clock.now());
    let Some(mut asking) = service.0.told.begin(proof_key, key, now) else {
        let message = "this payment is being settled, or was: repeat the Idempotency-Key of the \
                       first request to hear its answer again";
        return refused(no(StatusCode::OK, ErrorCode::DuplicateSettlement, message));
    };
    let (settlement, transaction) = settler.settle_for_others(&proof, &verified.proof_key).await;
    match settlement {
        Settlement::Settled(evidence) => {
            asking.settles();
            respond(
                StatusCode::OK,
                &settled_answer(version, &proof.offer, &evidence.reference, &verified.payer),
            )
        }
        Settlement::Declined { code } => {
            let code = ErrorCode::from_wire(&code);
            refused(no(StatusCode::OK, code, "the payment did not settle"))
        }
        Settlement::Unknown { reason } => {
            tracing::info!(reason, "a settlement for another shop is pending");
            let message = "not known yet: send the same request again";
            refused(no(StatusCode::OK, ErrorCode::SettlementPending, message).sent(transaction))
        }
        Settlement::NotSent { reason } => {
            tracing::warn!(reason, "a settlement for another shop could not be sent");
            let message = "nothing was sent: send the same request again";
            refused(no(
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::UnexpectedSettleError,
                message,
            ))
        }
    }
}

impl Service {
    async fn try_verify(
        &self,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Acceptable<'_>, Box<Refusal>> {
        let acceptable = self.try_accept(headers, body)?;
        let payer = acceptable.verified.payer;
        match acceptable.settler.check_for_others(&acceptable.proof).await {
            Ok(Check::Fine) => Ok(acceptable),
            Ok(Check::Refused { code }) => {
                let code = ErrorCode::from_wire(&code);
                let message = "the payment would not settle";
                Err(Refusal::new(StatusCode::OK, code, message).paid_by(payer))
            }
            Err(error) => {
                tracing::warn!(error = %error, "a payment for another shop was not checked");
                Err(unavailable(ErrorCode::UnexpectedVerifyError))
            }
        }
    }

    /// Everything that can be said of a request without the chain.
    fn try_accept(
        &self,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Acceptable<'_>, Box<Refusal>> {
        if !self.0.gate.admits(headers) {
            let message = "show the bearer token of this service";
            let code = ErrorCode::UnexpectedVerifyError;
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, code, message));
        }
        let body = body.map_err(|rejection| {
            let message = "the body is longer than 64 KiB, or broke off";
            Refusal::new(rejection.status(), ErrorCode::InvalidPayload, message)
        })?;
        let request = FacilitatorRequest::parse(&body).map_err(malformed)?;
        let (settler, offer) = self.find_settler(&request)?;
        let version = request.version();
        let no = |code: ErrorCode, message: String| {
            Refusal::new(StatusCode::OK, code, message).on(version, offer.network())
        };
        if !self.0.recipients.contains(&offer.pay_to()) {
            let message = "this service does not settle for this recipient";
            return Err(no(
                ErrorCode::InvalidPaymentRequirements,
                message.to_owned(),
            ));
        }
        let window = ValidityWindow::at(self.0.clock.now().secs());
        let verified = verify(request.payment(), std::slice::from_ref(&offer), window);
        let verified = verified.map_err(|error| no(error.code(), error.to_string()))?;
        if !self.0.gate.has_room_for(&verified.payer) {
            let code = ErrorCode::UnexpectedVerifyError;
            let message = "too many payments of this payer within a minute";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, message)
                .paid_by(verified.payer)
                .on(version, offer.network()));
        }
        Ok(Acceptable {
            settler,
            version,
            verified,
            proof: StoredProof {
                payload: request.payment().clone(),
                offer,
                // Only the shop that is paid knows for what.
                resource: ResourceInfo {
                    url: String::new(),
                    description: String::new(),
                    mime_type: String::new(),
                },
            },
        })
    }

    fn find_settler(
        &self,
        request: &FacilitatorRequest,
    ) -> Result<(&dyn Settler, Offer), Box<Refusal>> {
        let mut reason = RequestError::Token;
        for (settler, terms) in &self.0.settlers {
            match request.offer(terms) {
                Ok(offer) => return Ok((settler.as_ref(), offer)),
                Err(RequestError::Token) => {}
                Err(other) => reason = other,
            }
        }
        Err(malformed(reason))
    }
}

impl Acceptable<'_> {
    /// What a contract must say for itself (ERC-1271), before anything is sent for it.
    async fn require_signature(&self) -> Result<(), Box<Refusal>> {
        if self.verified.authority == Authority::Key {
            return Ok(());
        }
        match self.settler.vouch(&self.proof.payload).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = "the payer, a contract, does not say that it signed this payment";
                Err(
                    Refusal::new(StatusCode::OK, ErrorCode::EvmSignature, message)
                        .paid_by(self.verified.payer)
                        .on(self.version, self.proof.offer.network()),
                )
            }
            Err(_) => Err(unavailable(ErrorCode::UnexpectedSettleError)),
        }
    }
}

fn unavailable(code: ErrorCode) -> Box<Refusal> {
    let message = "the chain cannot be asked now; nothing was sent";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
}

/// Another network, token or fee payer is a no; what cannot be read is a bad request.
fn malformed(error: RequestError) -> Box<Refusal> {
    let status = match error {
        RequestError::Token | RequestError::Scheme | RequestError::FeePayer => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    };
    Refusal::new(status, error.code(), error.to_string())
}
