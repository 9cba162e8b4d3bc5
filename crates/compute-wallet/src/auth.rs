//! The `X-Auth-*` headers: a wallet signs method, path, body, time and nonce of one request.

use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::address::{Namespace, WalletAddress};
use crate::eip191::recover_message;
use crate::evm::EvmAddress;
use crate::signature::EvmSignature;
use crate::solana::{SolanaAddress, verify_ed25519};

/// Standard alphabet; padding may be missing, because some wallets leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Sixteen digits reach past the year 300 000 and still fit every integer type used here.
const MAX_TIMESTAMP_DIGITS: usize = 16;

/// 64 bytes are 88 characters of base58 or base64, and 128 of hex; EVM needs 132.
const MAX_SIGNATURE_LENGTH: usize = 132;

/// What a request claims: the texts of its headers, untouched, and what they were sent with.
#[derive(Clone, Copy)]
pub struct AuthClaim<'a> {
    /// `X-Auth-Chain`: `base`, `megaeth` or `solana`.
    pub chain: &'a str,
    /// `X-Auth-Address`.
    pub address: &'a str,
    /// `X-Auth-Signature`.
    pub signature: &'a str,
    /// `X-Auth-Sig-Encoding`: `hex` for EVM; `base64` (the default), `hex` or `base58` for Solana.
    pub encoding: Option<&'a str>,
    /// `X-Auth-Timestamp`: Unix time in milliseconds, decimal.
    pub timestamp_ms: &'a str,
    /// `X-Auth-Nonce`.
    pub nonce: &'a str,
    /// The HTTP method, in any letter case.
    pub method: &'a str,
    /// The path of the request, without its query.
    pub path: &'a str,
    /// The query without its question mark, when there is one.
    pub query: Option<&'a str>,
    /// The raw body bytes, before any parsing.
    pub body: &'a [u8],
}

/// A wallet that has proved itself. The caller still has to spend the nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedWallet {
    /// Who signed.
    pub address: WalletAddress,
    /// The single-use text of this request; unique per address.
    pub nonce: Nonce,
    /// When it was signed, by the clock of the signer.
    pub signed_at_ms: i64,
}

/// A single-use text: 8 to 128 letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nonce(String);

/// Why a claim is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A field does not have its shape.
    #[error("the authentication field {field} is malformed")]
    Malformed {
        /// The name of the header, or `method` or `path`.
        field: &'static str,
    },
    /// The chain is none of `base`, `megaeth`, `solana`.
    #[error("wallets of this chain cannot authenticate here")]
    UnknownChain,
    /// The timestamp is further from the server's clock than permitted.
    #[error("the authentication timestamp is outside the permitted window")]
    OutOfWindow,
    /// The signature is not that of the address over this request.
    #[error("the authentication signature does not match this request")]
    BadSignature,
}

impl Nonce {
    /// Reads a nonce.
    ///
    /// # Errors
    /// When it is not 8 to 128 characters of `[A-Za-z0-9_-]`.
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        let is_shaped = (8..=128).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_shaped {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed("X-Auth-Nonce"))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a claim at the moment `now_ms`; the signature may be `skew_ms` old or early, inclusive.
///
/// A signature over the path alone and one over path and query are both good; nothing else is.
/// No state is read or written: refusing a spent nonce is the caller's task.
///
/// # Errors
/// When a field is malformed, the time is outside the window, or the signature is not the
/// address's own.
pub fn authenticate(
    claim: &AuthClaim<'_>,
    now_ms: i64,
    skew_ms: i64,
) -> Result<AuthenticatedWallet, AuthError> {
    let namespace = match claim.chain {
        "base" | "megaeth" => Namespace::Eip155,
        "solana" => Namespace::Solana,
        _ => return Err(AuthError::UnknownChain),
    };
    let signed_at_ms = parse_timestamp(claim.timestamp_ms)?;
    let nonce = Nonce::parse(claim.nonce)?;
    check_request_line(claim)?;
    let age = now_ms.checked_sub(signed_at_ms);
    if age.is_none_or(|age| age.unsigned_abs() > skew_of(skew_ms)) {
        return Err(AuthError::OutOfWindow);
    }
    let address = match namespace {
        Namespace::Eip155 => WalletAddress::Evm(authenticate_evm(claim)?),
        Namespace::Solana => WalletAddress::Solana(authenticate_solana(claim)?),
    };
    Ok(AuthenticatedWallet {
        address,
        nonce,
        signed_at_ms,
    })
}

/// The nine lines a wallet signs, without a newline at the end.
///
/// `target` is the path, or path and query; `address` is the text as it stands in the message.
#[must_use]
pub fn auth_message(
    chain: &str,
    address: &str,
    method: &str,
    target: &str,
    body: &[u8],
    timestamp_ms: &str,
    nonce: &str,
) -> String {
    let method = method.to_ascii_uppercase();
    let body_hash = hex::encode(Sha256::digest(body));
    [
        "X402-COMPUTE-AUTH",
        "v1",
        chain,
        address,
        &method,
        target,
        &body_hash,
        timestamp_ms,
        nonce,
    ]
    .join("\n")
}

fn authenticate_evm(claim: &AuthClaim<'_>) -> Result<EvmAddress, AuthError> {
    if !claim
        .encoding
        .is_none_or(|encoding| encoding.eq_ignore_ascii_case("hex"))
    {
        return Err(malformed("X-Auth-Sig-Encoding"));
    }
    let address =
        EvmAddress::parse_any_case(claim.address).map_err(|_| malformed("X-Auth-Address"))?;
    let bytes = decode_hex(claim.signature)?;
    let bytes =
        <&[u8; 65]>::try_from(bytes.as_slice()).map_err(|_| malformed("X-Auth-Signature"))?;
    let signature = EvmSignature::from_bytes(bytes).map_err(|_| AuthError::BadSignature)?;
    let lower = address.to_string();
    let is_signer = |message: String| {
        recover_message(message.as_bytes(), &signature).is_ok_and(|signer| signer == address)
    };
    // Published clients lower the address first; a wallet that signs it as sent is no less itself.
    let is_signed = messages(claim, &lower).any(is_signer)
        || (lower != claim.address && messages(claim, claim.address).any(is_signer));
    if is_signed {
        Ok(address)
    } else {
        Err(AuthError::BadSignature)
    }
}

fn authenticate_solana(claim: &AuthClaim<'_>) -> Result<SolanaAddress, AuthError> {
    let address = SolanaAddress::parse(claim.address).map_err(|_| malformed("X-Auth-Address"))?;
    let bytes = decode_solana_signature(claim)?;
    let signature =
        <&[u8; 64]>::try_from(bytes.as_slice()).map_err(|_| malformed("X-Auth-Signature"))?;
    let is_signed = messages(claim, claim.address)
        .any(|message| verify_ed25519(&address, message.as_bytes(), signature).is_ok());
    if is_signed {
        Ok(address)
    } else {
        Err(AuthError::BadSignature)
    }
}

/// The messages this request may have been signed as: over the path, and over path and query.
fn messages<'a>(claim: &'a AuthClaim<'a>, address: &'a str) -> impl Iterator<Item = String> + 'a {
    let with_query = claim.query.map(|query| format!("{}?{query}", claim.path));
    let targets = std::iter::once(claim.path.to_owned()).chain(with_query);
    targets.map(move |target| {
        auth_message(
            claim.chain,
            address,
            claim.method,
            &target,
            claim.body,
            claim.timestamp_ms,
            claim.nonce,
        )
    })
}

fn decode_solana_signature(claim: &AuthClaim<'_>) -> Result<Vec<u8>, AuthError> {
    let text = claim.signature;
    if text.len() > MAX_SIGNATURE_LENGTH {
        return Err(malformed("X-Auth-Signature"));
    }
    let encoding = claim.encoding.unwrap_or("base64");
    if encoding.eq_ignore_ascii_case("base64") {
        BASE64
            .decode(text)
            .map_err(|_| malformed("X-Auth-Signature"))
    } else if encoding.eq_ignore_ascii_case("base58") {
        bs58::decode(text)
            .into_vec()
            .map_err(|_| malformed("X-Auth-Signature"))
    } else if encoding.eq_ignore_ascii_case("hex") {
        decode_hex(text)
    } else {
        Err(malformed("X-Auth-Sig-Encoding"))
    }
}

fn decode_hex(text: &str) -> Result<Vec<u8>, AuthError> {
    if text.len() > MAX_SIGNATURE_LENGTH {
        return Err(malformed("X-Auth-Signature"));
    }
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|_| malformed("X-Auth-Signature"))
}

fn parse_timestamp(text: &str) -> Result<i64, AuthError> {
    let is_shaped = (1..=MAX_TIMESTAMP_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_shaped {
        return Err(malformed("X-Auth-Timestamp"));
    }
    text.parse().map_err(|_| malformed("X-Auth-Timestamp"))
}

/// A line break inside a line would let one signature stand for two different requests.
fn check_request_line(claim: &AuthClaim<'_>) -> Result<(), AuthError> {
    if claim.method.is_empty() || !claim.method.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(malformed("method"));
    }
    if !claim.path.starts_with('/') || claim.path.contains('?') || has_control(claim.path) {
        return Err(malformed("path"));
    }
    if claim.query.is_some_and(has_control) {
        return Err(malformed("query"));
    }
    Ok(())
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A negative skew permits nothing but the exact moment.
fn skew_of(skew_ms: i64) -> u64 {
    u64::try_from(skew_ms).unwrap_or(0)
}

const fn malformed(field: &'static str) -> AuthError {
    AuthError::Malformed { field }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AuthClaim<'_> {
    /// Leaves out signature and body: both may be worth stealing until the nonce is spent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthClaim")
            .field("chain", &self.chain)
            .field("address", &self.address)
            .field("timestamp_ms", &self.timestamp_ms)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
