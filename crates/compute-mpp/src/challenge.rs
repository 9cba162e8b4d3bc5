//! A price that is named in a way that nobody can change.

use hmac::Mac as _;
use serde_json::{Map, Value};

use crate::base64url;
use crate::charge::{ChargeError, ChargeRequest, EncodedRequest, decode_object};
use crate::digest::BodyDigest;
use crate::header::{self, CredentialField, FieldError};
use crate::method::{CHARGE, Method, is_name};
use crate::opaque::Opaque;
use crate::problem::ProblemType;
use crate::realm::Realm;
use crate::secret::{HmacSha256, Secret, Secrets};
use crate::timestamp;

mod wire;

/// The most characters of a description; what is longer is cut.
pub const MAX_DESCRIPTION_CHARS: usize = 256;

/// What a seller offers.
#[derive(Debug, Clone, Copy)]
pub struct ChallengeTerms<'a> {
    /// Who asks.
    pub realm: &'a Realm,
    /// How it is paid.
    pub method: &'a Method,
    /// How much, to whom.
    pub request: &'a EncodedRequest,
    /// The unix second from which on the offer is void.
    pub expires_s: u64,
    /// The request body that the offer is for.
    pub digest: Option<&'a BodyDigest>,
    /// What the seller binds for itself.
    pub opaque: &'a Opaque,
    /// For people; not bound by the id. What is not printable ASCII is replaced.
    pub description: Option<&'a str>,
    /// Where the credential is expected.
    pub field: CredentialField,
}

impl<'a> ChallengeTerms<'a> {
    /// Terms for a request without a body, paid in `Authorization`.
    #[must_use]
    pub const fn new(
        realm: &'a Realm,
        method: &'a Method,
        request: &'a EncodedRequest,
        opaque: &'a Opaque,
        expires_s: u64,
    ) -> Self {
        Self {
            realm,
            method,
            request,
            expires_s,
            digest: None,
            opaque,
            description: None,
            field: CredentialField::Authorization,
        }
    }
}

/// One offer, as it is written in an answer 402 and repeated in the credential that pays it.
///
/// Its members are the texts of the header. What came from a client is not believed before
/// [`Challenge::authenticate`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Challenge {
    id: String,
    realm: String,
    method: String,
    intent: String,
    request: String,
    expires: Option<String>,
    digest: Option<String>,
    opaque: Option<String>,
    header: Option<String>,
    description: Option<String>,
    /// Members of an echo that this type does not know.
    others: Map<String, Value>,
}

/// Why a challenge that came back is not to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// Not issued by us, or not for this realm, or altered, or without a time at which it expires.
    #[error("the challenge is not one of ours")]
    Invalid,
    /// One of ours, too late.
    #[error("the challenge has expired")]
    Expired,
}

impl ChallengeError {
    /// The problem to answer with.
    #[must_use]
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::Invalid => ProblemType::InvalidChallenge,
            Self::Expired => ProblemType::PaymentExpired,
        }
    }
}

impl From<ChallengeError> for ProblemType {
    fn from(error: ChallengeError) -> Self {
        error.problem_type()
    }
}

/// Why the `WWW-Authenticate` lines of an answer hold no offers that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WwwAuthenticateError {
    /// The lines break the grammar or are too large.
    #[error("the WWW-Authenticate lines cannot be read")]
    Field(#[source] FieldError),
    /// A parameter of a `Payment` challenge is missing, malformed, or there twice.
    #[error("the challenge parameter {0} is missing, malformed or repeated")]
    Parameter(&'static str),
}

const PARAMETERS: [&str; 10] = [
    "id",
    "realm",
    "method",
    "intent",
    "request",
    "expires",
    "digest",
    "opaque",
    "header",
    "description",
];

impl Challenge {
    /// Makes an offer under the current secret.
    #[must_use]
    pub fn issue(secrets: &Secrets, terms: ChallengeTerms<'_>) -> Self {
        let header = match terms.field {
            CredentialField::Authorization => None,
            field @ CredentialField::PaymentAuthorization => Some(field.name().to_owned()),
        };
        let description = terms.description.map(|text| {
            let printable = text.chars().map(header::printable);
            printable.take(MAX_DESCRIPTION_CHARS).collect()
        });
        let mut challenge = Self {
            id: String::new(),
            realm: terms.realm.as_str().to_owned(),
            method: terms.method.as_str().to_owned(),
            intent: CHARGE.to_owned(),
            request: terms.request.as_str().to_owned(),
            expires: Some(timestamp::write(terms.expires_s)),
            digest: terms.digest.map(|digest| digest.as_str().to_owned()),
            opaque: Some(terms.opaque.encode()),
            header,
            description,
            others: Map::new(),
        };
        let mac = challenge.mac(&secrets.current);
        challenge.id = base64url::encode(&mac.finalize().into_bytes());
        challenge
    }

    /// Everything that the id binds, hashed: the texts with bars between them. An absent one is
    /// empty, and `header` has a place of its own only when it is not the default.
    fn mac(&self, secret: &Secret) -> HmacSha256 {
        let mut mac = secret.mac();
        let mut bind = |text: &str| {
            mac.update(text.as_bytes());
            mac.update(b"|");
        };
        for text in [&self.realm, &self.method, &self.intent, &self.request] {
            bind(text);
        }
        bind(self.expires().unwrap_or_default());
        bind(self.digest().unwrap_or_default());
        if self.header() == Some(CredentialField::PaymentAuthorization.name()) {
            bind(CredentialField::PaymentAuthorization.name());
        }
        mac.update(self.opaque().unwrap_or_default().as_bytes());
        mac
    }

    /// Whether the id binds these very texts under one of the secrets. Says nothing of time.
    #[must_use]
    pub fn is_issued_by(&self, secrets: &Secrets) -> bool {
        // Nothing escapes the bar: a text that holds one could stand for two.
        let texts = [&self.realm, &self.method, &self.intent, &self.request];
        let optional = [&self.expires, &self.digest, &self.opaque];
        let mut bound = texts.into_iter().chain(optional.into_iter().flatten());
        if bound.any(|text| text.contains('|')) || self.field().is_none() {
            return false;
        }
        // The strict form, so that one challenge has one id.
        let is_length = self.id.len() == 43;
        let Some(id) = base64url::decode_strict(&self.id).filter(|_| is_length) else {
            return false;
        };
        let mut secrets = secrets.iter();
        secrets.any(|secret| self.mac(secret).verify_slice(&id).is_ok())
    }

    /// Whether this is an offer of ours that can still be paid at `now_s` (unix seconds).
    ///
    /// What it was for is the caller's to compare: [`Challenge::offers`], or one by one
    /// [`Challenge::asks_for`], [`Challenge::binds_body`] and [`Challenge::is_for`].
    ///
    /// # Errors
    /// [`ChallengeError::Expired`] only for a genuine challenge.
    pub fn authenticate(
        &self,
        secrets: &Secrets,
        realm: &Realm,
        now_s: u64,
    ) -> Result<(), ChallengeError> {
        let is_ours = self.realm == realm.as_str()
            && is_name(&self.method)
            && is_name(&self.intent)
            && self.is_issued_by(secrets);
        match self.expires_s() {
            Some(expires_s) if is_ours && now_s < expires_s => Ok(()),
            Some(_) if is_ours => Err(ChallengeError::Expired),
            _ => Err(ChallengeError::Invalid),
        }
    }

    /// Whether this is the offer that these terms would make, at whatever time and with whatever
    /// nonce: realm, method, request, body and operation are the same.
    ///
    /// What a route asks of a challenge that comes back, in one question.
    #[must_use]
    pub fn offers(&self, terms: &ChallengeTerms<'_>) -> bool {
        let operation = terms.opaque.operation();
        self.realm == terms.realm.as_str()
            && self.asks_for(terms.method, terms.request)
            && self.binds_body(terms.digest)
            && operation.is_some_and(|operation| self.is_for(operation))
    }

    /// Whether this very charge is asked for.
    #[must_use]
    pub fn asks_for(&self, method: &Method, request: &EncodedRequest) -> bool {
        self.intent == CHARGE && self.method == method.as_str() && self.request == request.as_str()
    }

    /// Whether the offer is for this body; `None` is no body.
    #[must_use]
    pub fn binds_body(&self, body: Option<&BodyDigest>) -> bool {
        self.digest() == body.map(BodyDigest::as_str)
    }

    /// Whether the offer is for this operation.
    #[must_use]
    pub fn is_for(&self, operation: &str) -> bool {
        let opaque = self.opaque_members();
        opaque.is_some_and(|opaque| opaque.operation() == Some(operation))
    }

    /// What is asked for.
    ///
    /// # Errors
    /// When the request is no charge.
    pub fn charge(&self) -> Result<ChargeRequest, ChargeError> {
        ChargeRequest::decode(&self.request)
    }

    /// What the seller bound for itself: `None` when it is no flat map of texts.
    #[must_use]
    pub fn opaque_members(&self) -> Option<Opaque> {
        Opaque::decode(self.opaque()?)
    }

    /// When the offer ends, in unix seconds, rounded down.
    #[must_use]
    pub fn expires_s(&self) -> Option<u64> {
        u64::try_from(timestamp::parse(self.expires()?)?).ok()
    }

    /// The challenge id: 43 characters when it is genuine.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The protection space.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The intent.
    #[must_use]
    pub fn intent(&self) -> &str {
        &self.intent
    }

    /// The request in base64url.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.request
    }

    /// When the offer ends, as text.
    #[must_use]
    pub fn expires(&self) -> Option<&str> {
        self.expires.as_deref()
    }

    /// The digest of the request body.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The seller's own members in base64url.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        self.opaque.as_deref()
    }

    /// The parameter that names the credential's field.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// The text for people. Not bound by the id: never decide anything by it.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The field that the credential belongs into; `None` for one that nobody knows.
    #[must_use]
    pub fn field(&self) -> Option<CredentialField> {
        CredentialField::of(self.header())
    }
}
