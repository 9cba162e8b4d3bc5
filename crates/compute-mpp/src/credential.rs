//! What a client sends to pay: the challenge repeated, and the proof of its method.

use std::fmt;

use serde_json::{Map, Value};

use crate::base64url;
use crate::challenge::{Challenge, ChallengeError};
use crate::header::{FieldError, MAX_FIELD_BYTES, SCHEME, find_credential};
use crate::problem::ProblemType;
use crate::realm::Realm;
use crate::secret::Secrets;
use crate::source::{Source, SourceError};
use crate::strict_json::{JsonFault, parse_object};

/// A credential as it arrived: read, not yet believed.
///
/// It keeps every member, so that it can be stored and read again without loss. It may be worth
/// money until it is settled: `Debug` shows no more than the method and the challenge id.
#[derive(Clone, PartialEq)]
pub struct Credential {
    challenge: Challenge,
    source: Option<String>,
    payload: Map<String, Value>,
    /// Members that this type does not know.
    others: Map<String, Value>,
}

/// Why what was sent is no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The fields hold several credentials, or are too large to be looked at.
    #[error("the authentication fields cannot be read")]
    Field(#[source] FieldError),
    /// Neither alphabet of base64, or blanks inside, or nothing at all.
    #[error("the credential is not base64url")]
    NotBase64,
    /// Not one JSON object in UTF-8.
    #[error("the credential does not decode to a JSON object")]
    NotAnObject,
    /// A JSON object has the same member twice.
    #[error("the credential has a JSON object with the same member twice")]
    DuplicateMember,
    /// Deeper than 16 levels, or many times the size of any credential.
    #[error("the credential is too deep or too large")]
    TooMuch,
    /// A member is missing or has the wrong type.
    #[error("the credential's member {0} is missing or malformed")]
    Member(&'static str),
}

impl CredentialError {
    /// The problem to answer with.
    #[must_use]
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::Field(FieldError::Repeated | FieldError::TooManyElements) => {
                ProblemType::BadRequest
            }
            _ => ProblemType::MalformedCredential,
        }
    }

    /// Whether the fields are simply too large: 431 is the status for that.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::Field(FieldError::TooLarge))
    }
}

impl From<CredentialError> for ProblemType {
    fn from(error: CredentialError) -> Self {
        error.problem_type()
    }
}

impl From<JsonFault> for CredentialError {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Syntax | JsonFault::NotAnObject => Self::NotAnObject,
            JsonFault::DuplicateMember => Self::DuplicateMember,
            JsonFault::TooDeep | JsonFault::TooMuch => Self::TooMuch,
        }
    }
}

impl Credential {
    /// Reads the credential from all lines of the request's `Authorization` and
    /// `Payment-Authorization` fields. Either field will do for every challenge; other schemes are
    /// ignored. `None` when there is no credential.
    ///
    /// # Errors
    /// When there are several, or there is one that cannot be read.
    pub fn from_fields<'a>(
        authorization: impl IntoIterator<Item = &'a [u8]>,
        payment_authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, CredentialError> {
        let found = find_credential(authorization, payment_authorization);
        let text = found.map_err(CredentialError::Field)?;
        text.map(Self::decode).transpose()
    }

    /// Reads the text that follows the scheme's name.
    ///
    /// # Errors
    /// When it breaks a rule of [`CredentialError`].
    pub fn decode(text: &[u8]) -> Result<Self, CredentialError> {
        if text.len() > MAX_FIELD_BYTES {
            return Err(CredentialError::Field(FieldError::TooLarge));
        }
        if text.is_empty() {
            return Err(CredentialError::NotBase64);
        }
        let json = base64url::decode(text).ok_or(CredentialError::NotBase64)?;
        Self::from_members(parse_object(&json)?)
    }

    /// Reads a credential that was stored with [`Credential::to_json`].
    ///
    /// # Errors
    /// When the JSON is no credential.
    pub fn from_json(json: Value) -> Result<Self, CredentialError> {
        match json {
            Value::Object(members) => Self::from_members(members),
            _ => Err(CredentialError::NotAnObject),
        }
    }

    fn from_members(mut members: Map<String, Value>) -> Result<Self, CredentialError> {
        let Some(Value::Object(challenge)) = members.remove("challenge") else {
            return Err(CredentialError::Member("challenge"));
        };
        let Some(Value::Object(payload)) = members.remove("payload") else {
            return Err(CredentialError::Member("payload"));
        };
        let source = match members.remove("source") {
            Some(Value::String(source)) => Some(source),
            None => None,
            Some(_) => return Err(CredentialError::Member("source")),
        };
        Ok(Self {
            challenge: Challenge::from_json(challenge).map_err(CredentialError::Member)?,
            source,
            payload,
            others: members,
        })
    }

    /// Answers a challenge with a payload of its method.
    #[must_use]
    pub fn new(challenge: Challenge, source: Option<&Source>, payload: Map<String, Value>) -> Self {
        Self {
            challenge,
            source: source.map(Source::to_string),
            payload,
            others: Map::new(),
        }
    }

    /// Whether the challenge is an offer of ours that can still be paid at `now_s` (unix seconds).
    /// See [`Challenge::authenticate`].
    ///
    /// # Errors
    /// [`ChallengeError::Expired`] only for a genuine challenge.
    pub fn authenticate(
        &self,
        secrets: &Secrets,
        realm: &Realm,
        now_s: u64,
    ) -> Result<(), ChallengeError> {
        self.challenge.authenticate(secrets, realm, now_s)
    }

    /// The challenge that is answered, as the client repeats it.
    #[must_use]
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Who the client says it is. Proves nothing; compare it with whoever the proof names.
    ///
    /// # Errors
    /// When there is a text that names nobody.
    pub fn source(&self) -> Result<Option<Source>, SourceError> {
        self.source.as_deref().map(Source::parse).transpose()
    }

    /// The proof, in the form of its method.
    #[must_use]
    pub const fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// The whole document, with every member that was read.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut members = self.others.clone();
        members.insert("challenge".to_owned(), self.challenge.to_json().into());
        members.insert("payload".to_owned(), self.payload.clone().into());
        if let Some(source) = &self.source {
            members.insert("source".to_owned(), source.clone().into());
        }
        Value::Object(members)
    }

    /// The value of the request field; [`Challenge::field`] says of which.
    #[must_use]
    pub fn encode(&self) -> String {
        let token = base64url::encode(self.to_json().to_string().as_bytes());
        format!("{SCHEME} {token}")
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("method", &self.challenge.method())
            .field("challenge_id", &self.challenge.id())
            .finish_non_exhaustive()
    }
}
