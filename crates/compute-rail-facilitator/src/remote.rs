//! One remote facilitator.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compute_domain::time::{Clock, Entropy, Span, Timestamp};
use compute_engine::StoredProof;
use compute_outbound::{
    Answer, BearerToken, HeaderName, HeaderValue, OutboundClient, OutboundError, OutboundRequest,
};
use compute_wallet::SolanaAddress;
use compute_x402::facilitator::{Supported, request_body};
use compute_x402::permit2::SPONSORING_EXTENSION;
use compute_x402::{Method, Network, TokenTerms, Version};

use crate::cdp::CdpKey;

/// The bits of `versions`.
const SPEAKS_V1: u8 = 1;
const SPEAKS_V2: u8 = 2;

/// How long a facilitator that refused our credentials is left out. `/supported` may be open to
/// everybody, so only the next payment can tell whether they are good again.
const REFUSED_FOR: Span = Span::from_secs(60);

/// A clock that is further off than this makes tokens that are not valid yet, or no longer.
const MAX_CLOCK_DIFFERENCE_S: u64 = 60;

/// Whose requests these are, in the form of the vendor's own libraries.
const CORRELATION: &str = concat!(
    "sdk_version=",
    env!("CARGO_PKG_VERSION"),
    ",sdk_language=rust,source=x402,source_version=",
    env!("CARGO_PKG_VERSION")
);

/// Makes the tokens of requests.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) key: CdpKey,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// What a facilitator must settle.
#[derive(Debug)]
pub(crate) struct Needed<'a> {
    network: &'a Network,
    kind: Kind,
}

/// How its payments are made.
#[derive(Debug)]
enum Kind {
    /// By authorizations, in either version.
    Transfer,
    /// Through Permit2.
    Permit2,
    /// On Solana, with this account paying the fee.
    FeePayer(SolanaAddress),
}

impl<'a> Needed<'a> {
    /// What payments in a token need.
    pub(crate) fn of(token: &'a TokenTerms) -> Self {
        let kind = match token.method() {
            Method::Svm(token) => Kind::FeePayer(token.terms().fee_payer()),
            Method::Permit { .. } => Kind::Permit2,
            _ => Kind::Transfer,
        };
        Self {
            network: token.network(),
            kind,
        }
    }
}

/// Version 1 knows no extensions, and so no sponsored permits.
const fn needs_v2(token: &TokenTerms) -> bool {
    matches!(token.method(), Method::Permit { .. })
}

/// One facilitator, and what is known of it.
#[derive(Debug)]
pub(crate) struct Remote {
    http: OutboundClient,
    tokens: Option<Tokens>,
    clock: Arc<dyn Clock>,
    /// What the last look at `/supported` found; 0 before the first.
    versions: AtomicU8,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    /// Why it is not asked while another one is ready.
    fault: Option<String>,
    /// Its refusal of our credentials, and until when that counts, whatever `/supported` says.
    refusal: Option<(Timestamp, String)>,
}

impl Remote {
    pub(crate) fn new(http: OutboundClient, tokens: Option<Tokens>, clock: Arc<dyn Clock>) -> Self {
        Self {
            http,
            tokens,
            clock,
            versions: AtomicU8::new(0),
            standing: Mutex::default(),
        }
    }

    pub(crate) fn origin(&self) -> String {
        self.http.origin()
    }

    /// Whether nothing is known against it.
    pub(crate) fn is_ready(&self) -> bool {
        self.standing().fault.is_none()
    }

    /// Leaves it out until the next look at its health.
    pub(crate) fn leave_out(&self, reason: &str) {
        let mut standing = self.standing();
        if standing.fault.is_none() {
            tracing::warn!(facilitator = %self.origin(), reason, "facilitator is left out");
            standing.fault = Some(reason.to_owned());
        }
    }

    /// Posts a payment to one of its paths.
    pub(crate) async fn post(
        &self,
        path: &str,
        proof: &StoredProof,
        timeout: Duration,
    ) -> Result<Answer, OutboundError> {
        let version = self.version_for(proof);
        let resource = proof.resource.as_resource();
        let body = request_body(version, &proof.payload, &proof.offer, resource);
        let request = OutboundRequest::post(&[path])
            .json(&body)?
            .total_timeout(timeout);
        self.send(request).await
    }

    /// Asks whether it settles what is needed now.
    ///
    /// # Errors
    /// Why it cannot be used, for the operator.
    pub(crate) async fn look(&self, needed: &Needed<'_>) -> Result<(), String> {
        let found = match self.look_at_supported(needed).await {
            Ok(()) => self.past_refusal().map_or(Ok(()), Err),
            Err(reason) => Err(reason),
        };
        let mut standing = self.standing();
        if standing.fault.as_ref() != found.as_ref().err() {
            match &found {
                Ok(()) => tracing::info!(facilitator = %self.origin(), "facilitator is ready"),
                Err(reason) => {
                    tracing::warn!(facilitator = %self.origin(), reason, "facilitator is left out");
                }
            }
        }
        standing.fault = found.as_ref().err().cloned();
        found
    }

    /// Takes note of an answer to a payment that refuses our credentials; what is wrong, for the
    /// operator. A 403 is no such answer: what a buyer put into its payment may have caused it, and
    /// nobody may withdraw a rail from others. `/supported` carries nothing of a buyer's.
    pub(crate) fn find_refusal(&self, answer: &Answer) -> Option<String> {
        if answer.status.as_u16() != 401 {
            return None;
        }
        let reason = self.describe_refusal(answer);
        self.leave_out(&reason);
        let mut standing = self.standing();
        let until = self.clock.now().plus(REFUSED_FOR);
        standing.refusal = Some((until, reason.clone()));
        standing.fault = Some(reason.clone());
        Some(reason)
    }

    fn describe_refusal(&self, answer: &Answer) -> String {
        let status = answer.status.as_u16();
        let mut reason = format!("the facilitator refuses our credentials, status {status}");
        let theirs = answer.date.map(|date| date.unix_timestamp());
        let theirs = theirs.and_then(|seconds| u64::try_from(seconds).ok());
        let difference = theirs.map_or(0, |theirs| theirs.abs_diff(self.clock.now().secs()));
        if self.tokens.is_some() && difference > MAX_CLOCK_DIFFERENCE_S {
            reason.push_str(&format!("; its clock is {difference} s away from ours"));
        }
        reason
    }

    fn past_refusal(&self) -> Option<String> {
        let standing = self.standing();
        let (until, reason) = standing.refusal.as_ref()?;
        (*until > self.clock.now()).then(|| reason.clone())
    }

    // The facilitator need not speak the version of the payment: the signed part is the same.
    fn version_for(&self, proof: &StoredProof) -> Version {
        if needs_v2(proof.offer.token()) {
            return Version::V2;
        }
        match self.versions.load(Ordering::Relaxed) {
            SPEAKS_V1 => Version::V1,
            SPEAKS_V2 => Version::V2,
            _ => proof.payload.version(),
        }
    }

    async fn look_at_supported(&self, needed: &Needed<'_>) -> Result<(), String> {
        let answer = self.send(OutboundRequest::get(&["supported"])).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_redirection() {
            return Err("the facilitator has moved: configure its final address".to_owned());
        }
        if matches!(answer.status.as_u16(), 401 | 403) {
            return Err(self.describe_refusal(&answer));
        }
        if !answer.status.is_success() {
            return Err(format!("/supported: status {}", answer.status.as_u16()));
        }
        let supported = Supported::parse(&answer.body).map_err(|error| error.to_string())?;
        let Needed { network, .. } = *needed;
        let speaks = |version| match &needed.kind {
            Kind::Transfer => supported.supports(version, network),
            Kind::Permit2 => version == Version::V2 && supported.supports(version, network),
            Kind::FeePayer(account) => supported.supports_fee_payer(version, network, account),
        };
        let bit = |version, bit| if speaks(version) { bit } else { 0 };
        let versions = bit(Version::V1, SPEAKS_V1) | bit(Version::V2, SPEAKS_V2);
        let settles_there = [Version::V1, Version::V2]
            .into_iter()
            .any(|version| supported.supports(version, network));
        if let (0, true, Kind::FeePayer(account)) = (versions, settles_there, &needed.kind) {
            // Buyers would sign for an account that nobody signs for, or that others hold.
            tracing::error!(
                facilitator = %self.origin(), account = %account,
                "the facilitator no longer pays fees from the account that offers name"
            );
            return Err(format!("the facilitator does not pay fees from {account}"));
        }
        if versions == 0 {
            let name = network.caip2();
            return Err(format!("the facilitator does not settle on {name}"));
        }
        // Offers say that the gas of a permit is paid for.
        if matches!(needed.kind, Kind::Permit2) && !supported.has_extension(SPONSORING_EXTENSION) {
            return Err(format!(
                "the facilitator does not know {SPONSORING_EXTENSION}"
            ));
        }
        self.versions.store(versions, Ordering::Relaxed);
        Ok(())
    }

    // A token is made for this very request, a moment before it is sent.
    async fn send(&self, mut request: OutboundRequest) -> Result<Answer, OutboundError> {
        if let Some(tokens) = &self.tokens {
            let target = self.http.host_and_path(&request);
            let (now, entropy) = (self.clock.now(), tokens.entropy.as_ref());
            let token = tokens.key.token(request.method(), &target, now, entropy);
            let token = token.map_err(OutboundError::unencodable)?;
            let token = BearerToken::parse(token).map_err(OutboundError::unencodable)?;
            let name = HeaderName::from_static("correlation-context");
            request = request
                .bearer(token)
                .header(name, HeaderValue::from_static(CORRELATION));
        }
        self.http.send(request).await
    }

    // A poisoned lock means that a holder panicked; a reason for the log is not worth another panic.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
