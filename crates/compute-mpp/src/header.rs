//! The grammar of HTTP authentication fields, as far as the scheme needs it (RFC 9110, section 11).
//!
//! Lists are taken apart at commas outside quoted strings, in as many steps as any honest field has.

use std::fmt;

/// The scheme's name, in the case in which it is written; read in any.
pub const SCHEME: &str = "Payment";

/// The most bytes of all fields of one kind together. Credentials carry transactions with several
/// signatures, so this is far more than most servers grant a field.
pub const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Commas, quotes and backslashes that are looked at in the fields of a request.
const MAX_CREDENTIAL_STEPS: usize = 256;
/// The same in the fields of an answer.
const MAX_CHALLENGE_STEPS: usize = 1_024;

/// Which request field carries the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CredentialField {
    /// `Authorization`, unless a challenge says otherwise.
    #[default]
    Authorization,
    /// `Payment-Authorization`, for services whose own login is in `Authorization`.
    PaymentAuthorization,
}

impl CredentialField {
    /// The name of the field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::PaymentAuthorization => "Payment-Authorization",
        }
    }

    /// What the parameter `header` of a challenge means; only the two names are known.
    pub(crate) fn of(header: Option<&str>) -> Option<Self> {
        match header {
            None => Some(Self::Authorization),
            Some(name) if name == Self::Authorization.name() => Some(Self::Authorization),
            Some(name) if name == Self::PaymentAuthorization.name() => {
                Some(Self::PaymentAuthorization)
            }
            Some(_) => None,
        }
    }
}

/// Why fields cannot be read, whatever stands in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// More than [`MAX_FIELD_BYTES`] in all.
    #[error("the authentication fields are longer than 64 KiB")]
    TooLarge,
    /// Many times the list elements and quotes of an honest field.
    #[error("the authentication fields have too many elements")]
    TooManyElements,
    /// More than one `Payment` credential in the request.
    #[error("the request has more than one Payment credential")]
    Repeated,
    /// A challenge list breaks the grammar.
    #[error("the challenge list is malformed")]
    Malformed,
}

/// Finds the one `Payment` credential of a request, alone or in a list beside other schemes: the
/// text after the scheme's name, which may be empty. `None` when there is none.
///
/// # Errors
/// When there are several, or the fields are too large to be looked at.
pub fn find_credential<'a>(
    authorization: impl IntoIterator<Item = &'a [u8]>,
    payment_authorization: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<&'a [u8]>, FieldError> {
    let (mut bytes, mut steps, mut found) = (0_usize, MAX_CREDENTIAL_STEPS, None);
    for line in authorization.into_iter().chain(payment_authorization) {
        bytes = bytes.saturating_add(line.len());
        if bytes > MAX_FIELD_BYTES {
            return Err(FieldError::TooLarge);
        }
        let mut rest = line;
        while let Some(element) = next_element(&mut rest, &mut steps)? {
            let Some((scheme, credential)) = split_scheme(element) else {
                continue;
            };
            if !is_payment(scheme) {
                continue;
            }
            if found.replace(credential).is_some() {
                return Err(FieldError::Repeated);
            }
        }
    }
    Ok(found)
}

/// The parameters of each `Payment` challenge in the `WWW-Authenticate` lines of an answer, with
/// their names in lower case. Other schemes are skipped.
pub(crate) fn payment_challenges<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Vec<(String, String)>>, FieldError> {
    let (mut bytes, mut steps, mut challenges) = (0_usize, MAX_CHALLENGE_STEPS, Vec::new());
    for line in lines {
        bytes = bytes.saturating_add(line.len());
        if bytes > MAX_FIELD_BYTES {
            return Err(FieldError::TooLarge);
        }
        let (mut rest, mut is_payment_open) = (line, false);
        while let Some(element) = next_element(&mut rest, &mut steps)? {
            let mut parameter = element;
            if let Some((scheme, first)) = split_scheme(element) {
                is_payment_open = is_payment(scheme);
                if is_payment_open {
                    challenges.push(Vec::new());
                }
                parameter = first;
            }
            if is_payment_open
                && !parameter.is_empty()
                && let Some(challenge) = challenges.last_mut()
            {
                challenge.push(parse_parameter(parameter).ok_or(FieldError::Malformed)?);
            }
        }
    }
    Ok(challenges)
}

fn is_payment(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes())
}

/// The next element of a list that is not empty, without the blanks around it. A quoted string that
/// nobody ends reaches to the end of the line.
fn next_element<'a>(
    rest: &mut &'a [u8],
    steps: &mut usize,
) -> Result<Option<&'a [u8]>, FieldError> {
    while !rest.is_empty() {
        let (mut at, mut is_quoted) = (0, false);
        let (element, tail) = loop {
            let (_, unread) = rest.split_at(at);
            let found = if is_quoted {
                memchr::memchr2(b'"', b'\\', unread)
            } else {
                memchr::memchr2(b'"', b',', unread)
            };
            let Some(found) = found else {
                break (*rest, [].as_slice());
            };
            *steps = steps.checked_sub(1).ok_or(FieldError::TooManyElements)?;
            let (_, hit) = unread.split_at(found);
            match hit {
                [b',', tail @ ..] => break (rest.split_at(at.saturating_add(found)).0, tail),
                [b'\\', _, ..] => at = at.saturating_add(found).saturating_add(2),
                [b'\\'] => break (*rest, [].as_slice()),
                _ => {
                    is_quoted = !is_quoted;
                    at = at.saturating_add(found).saturating_add(1);
                }
            }
        };
        *rest = tail;
        let element = trim(element);
        if !element.is_empty() {
            return Ok(Some(element));
        }
    }
    Ok(None)
}

/// The name of a scheme and what follows it, unless the element is a parameter.
fn split_scheme(element: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_token(element);
    let after = trim_start(rest);
    let is_scheme = !name.is_empty()
        && (rest.is_empty() || after.len() < rest.len())
        && after.first() != Some(&b'=');
    is_scheme.then_some((name, after))
}

/// Without blanks at both ends. Long runs go in portions: a field may be full of them.
fn trim(text: &[u8]) -> &[u8] {
    let mut rest = trim_start(text);
    while let Some((shorter, _)) = rest.split_last_chunk().filter(|(_, end)| is_blank(end)) {
        rest = shorter;
    }
    rest.trim_ascii_end()
}

fn trim_start(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some((_, shorter)) = rest.split_first_chunk().filter(|(it, _)| is_blank(it)) {
        rest = shorter;
    }
    rest.trim_ascii_start()
}

/// Looks at all of them, because compilers do that many at a time.
fn is_blank(portion: &[u8; 64]) -> bool {
    let blanks = portion.iter().map(|byte| matches!(byte, b' ' | b'\t'));
    blanks.fold(true, |all, is_blank| all & is_blank)
}

fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_token(byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// `name = value`, where the value is a token or a quoted string and nothing follows it.
fn parse_parameter(text: &[u8]) -> Option<(String, String)> {
    let (name, rest) = split_token(text);
    let value = trim_start(rest).strip_prefix(b"=").map(trim)?;
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => unquote(&to_text(quoted))?,
        None => match split_token(value) {
            (token, b"") if !token.is_empty() => to_text(token),
            _ => return None,
        },
    };
    (!name.is_empty()).then(|| (to_text(name).to_ascii_lowercase(), value))
}

/// UTF-8, or else Latin-1: published servers write either.
fn to_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// The text of a quoted string whose opening quote was read. `\uXXXX` is a UTF-16 unit, as published
/// servers write what is not ASCII; any other escaped character is itself.
fn unquote(quoted: &str) -> Option<String> {
    let mut units = Vec::with_capacity(quoted.len());
    let (mut rest, mut buffer) = (quoted, [0_u16; 2]);
    loop {
        let mut characters = rest.chars();
        let mut read = characters.next()?;
        if read == '"' {
            return characters
                .as_str()
                .is_empty()
                .then(|| String::from_utf16_lossy(&units));
        }
        rest = characters.as_str();
        if read == '\\' {
            if let Some((unit, after)) = unicode_escape(rest) {
                units.push(unit);
                rest = after;
                continue;
            }
            read = characters.next()?;
            rest = characters.as_str();
        }
        if matches!(read, '\r' | '\n') {
            return None;
        }
        units.extend_from_slice(read.encode_utf16(&mut buffer));
    }
}

fn unicode_escape(after_backslash: &str) -> Option<(u16, &str)> {
    let digits = after_backslash.strip_prefix('u')?;
    let (digits, rest) = digits.split_at_checked(4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some((unit, rest))
}

/// Appends `name="value"` with the scheme or a comma before it. What is not printable ASCII is
/// replaced, because published parsers read it differently.
pub(crate) fn push_parameter(field: &mut String, name: &str, value: &str) {
    field.push_str(if field.is_empty() { "Payment " } else { ", " });
    field.push_str(name);
    field.push_str("=\"");
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if value.bytes().all(is_plain) {
        field.push_str(value);
    } else {
        for character in value.chars() {
            if matches!(character, '"' | '\\') {
                field.push('\\');
            }
            field.push(printable(character));
        }
    }
    field.push('"');
}

/// The character, or a question mark in its place.
pub(crate) fn printable(character: char) -> char {
    if matches!(character, ' '..='~') {
        character
    } else {
        '?'
    }
}

impl fmt::Display for CredentialField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
