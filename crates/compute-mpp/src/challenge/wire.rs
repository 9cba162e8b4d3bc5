//! How a challenge is written and read: in a header field, and in the JSON of a credential.

use serde_json::{Map, Value};

use super::{Challenge, PARAMETERS, WwwAuthenticateError, decode_object};
use crate::digest::BodyDigest;
use crate::header::{payment_challenges, push_parameter};
use crate::method::is_name;
use crate::{base64url, timestamp};

impl Challenge {
    /// The value of one `WWW-Authenticate` field line: printable ASCII, and read alike by every
    /// published client. Send one line for each challenge.
    #[must_use]
    pub fn www_authenticate(&self) -> String {
        let optional = [
            ("description", &self.description),
            ("digest", &self.digest),
            ("expires", &self.expires),
            ("header", &self.header),
            ("opaque", &self.opaque),
        ];
        let required = [
            ("id", &self.id),
            ("realm", &self.realm),
            ("method", &self.method),
            ("intent", &self.intent),
            ("request", &self.request),
        ];
        let given = optional
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let parameters = || required.into_iter().chain(given.clone());
        let length = parameters().map(|(name, text)| name.len().saturating_add(text.len() + 6));
        let mut field = String::with_capacity(length.sum::<usize>().saturating_add(8));
        for (name, text) in parameters() {
            push_parameter(&mut field, name, text);
        }
        field
    }

    /// Reads the offers in the `WWW-Authenticate` lines of an answer, in their order. Other schemes
    /// and unknown parameters are skipped; no line is no offer.
    ///
    /// # Errors
    /// When a `Payment` challenge is malformed: whoever writes one such offer is not to be trusted
    /// with the others.
    pub fn parse_www_authenticate<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Self>, WwwAuthenticateError> {
        let challenges = payment_challenges(lines).map_err(WwwAuthenticateError::Field)?;
        challenges.into_iter().map(Self::from_parameters).collect()
    }

    fn from_parameters(parameters: Vec<(String, String)>) -> Result<Self, WwwAuthenticateError> {
        let mut members = Map::new();
        for (name, text) in parameters {
            let Some(name) = PARAMETERS.iter().find(|known| **known == name) else {
                continue;
            };
            if members.insert((*name).to_owned(), text.into()).is_some() {
                return Err(WwwAuthenticateError::Parameter(name));
            }
        }
        let challenge = Self::from_json(members).map_err(WwwAuthenticateError::Parameter)?;
        match challenge.wrong_parameter() {
            Some(name) => Err(WwwAuthenticateError::Parameter(name)),
            None => Ok(challenge),
        }
    }

    /// The first parameter that published clients refuse.
    fn wrong_parameter(&self) -> Option<&'static str> {
        let is_object = |text: &str| decode_object(text).is_some();
        let checks = [
            ("id", !self.id.is_empty()),
            ("realm", !self.realm.is_empty()),
            ("method", is_name(&self.method)),
            ("intent", is_name(&self.intent)),
            ("request", is_object(&self.request)),
            (
                "expires",
                self.expires()
                    .is_none_or(|text| timestamp::parse(text).is_some()),
            ),
            (
                "digest",
                self.digest()
                    .is_none_or(|text| text.starts_with(BodyDigest::PREFIX)),
            ),
            ("opaque", self.opaque().is_none_or(is_object)),
            ("header", self.field().is_some()),
        ];
        let wrong = checks.into_iter().find(|(_, is_right)| !is_right);
        wrong.map(|(name, _)| name)
    }

    /// Reads the echo in a credential, or names the member that is missing or has the wrong type.
    pub(crate) fn from_json(mut members: Map<String, Value>) -> Result<Self, &'static str> {
        let mut optional = |name| match members.remove(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(name),
        };
        let mut challenge = Self {
            id: optional("id")?.ok_or("id")?,
            realm: optional("realm")?.ok_or("realm")?,
            method: optional("method")?.ok_or("method")?,
            intent: optional("intent")?.ok_or("intent")?,
            request: optional("request")?.ok_or("request")?,
            expires: optional("expires")?,
            digest: optional("digest")?,
            opaque: optional("opaque")?,
            header: optional("header")?,
            description: optional("description")?,
            others: Map::new(),
        };
        challenge.others = members;
        // The other texts are what the id binds: a foreign one makes the challenge invalid.
        if !base64url::is_base64(challenge.request.as_bytes()) {
            return Err("request");
        }
        Ok(challenge)
    }

    /// The echo in a credential, with every member that was read.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut members = self.others.clone();
        let texts = [
            Some(&self.id),
            Some(&self.realm),
            Some(&self.method),
            Some(&self.intent),
            Some(&self.request),
            self.expires.as_ref(),
            self.digest.as_ref(),
            self.opaque.as_ref(),
            self.header.as_ref(),
            self.description.as_ref(),
        ];
        for (name, text) in PARAMETERS.into_iter().zip(texts) {
            if let Some(text) = text {
                members.insert(name.to_owned(), text.clone().into());
            }
        }
        members
    }
}
