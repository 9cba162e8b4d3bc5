//! One request, read and judged: who calls, with what, and with which payment.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use compute_domain::request_key::RequestKey;
use compute_engine::{AuthFailure, Caller, Error, RequestFacts};
use compute_mpp::BodyDigest;
use http::request::Parts;
use http::{HeaderName, Method, Uri};

use super::json::ReadBody;
use super::{auth, body, payment, request_key};
use crate::app::App;
use crate::error::ApiError;
use crate::rate::Payer;
use crate::standing::Tally;
use crate::visit::Sender;

const ACCEPT_PAYMENT: HeaderName = HeaderName::from_static("accept-payment");

/// A request whose shape is fine and whose credentials, if any, are good.
#[derive(Debug)]
pub(crate) struct Call<T> {
    pub(crate) caller: Caller,
    pub(crate) body: T,
    pub(crate) uri: Uri,
    /// Where it comes from, when that is counted.
    pub(crate) network: Option<IpAddr>,
    /// The client's name for the request.
    pub(crate) idempotency_key: Option<RequestKey>,
}

/// Anybody may call, and may pay.
#[derive(Debug)]
pub(crate) struct Open<T> {
    pub(crate) call: Call<T>,
    pub(crate) payment: Option<payment::Payment>,
    /// The client's names for what it buys.
    pub(crate) request_keys: Vec<RequestKey>,
    /// What its challenges are bound to.
    pub(crate) facts: RequestFacts,
    /// Who sends the payment, where there is one.
    pub(crate) sender: Option<Sender>,
}

/// Anybody may call, and no payment is looked at. Whoever shows credentials must be who they say.
#[derive(Debug)]
pub(crate) struct Anybody<T>(pub(crate) Call<T>);

/// Who calls must be known: by signature or API key.
#[derive(Debug)]
pub(crate) struct Authenticated<T>(pub(crate) Call<T>);

/// Who calls must sign: an API key is not enough.
#[derive(Debug)]
pub(crate) struct Signed<T>(pub(crate) Call<T>);

/// A request whose shape is fine.
struct Received<T> {
    parts: Parts,
    raw: Bytes,
    body: T,
    idempotency_key: Option<RequestKey>,
}

/// The shape of a request is judged before its credentials.
async fn receive<T: ReadBody>(request: Request, app: &App) -> Result<Received<T>, ApiError> {
    let (parts, stream) = request.into_parts();
    let raw = body::read(stream, &parts.headers, &app.settings().limits).await?;
    let body = T::read(&parts.headers, &raw, app.settings())?;
    Ok(Received {
        idempotency_key: request_key::of_request(&parts)?,
        parts,
        raw,
        body,
    })
}

/// Who calls, and how long it must wait when it has asked too much of late.
async fn identify<T>(
    app: &App,
    received: Received<T>,
) -> Result<(Call<T>, Option<Duration>), ApiError> {
    let presented = auth::presented(&received.parts, &received.raw)?;
    let caller = app.engine().authenticate(presented).await?;
    let wait = count(app, &received.parts, &caller);
    let tally = received.parts.extensions.get::<Tally>();
    let call = Call {
        network: tally.map(Tally::network),
        caller,
        body: received.body,
        uri: received.parts.uri,
        idempotency_key: received.idempotency_key,
    };
    Ok((call, wait))
}

/// Counts a request for whoever proved to send it, where it counts for one.
fn count(app: &App, parts: &Parts, caller: &Caller) -> Option<Duration> {
    let tally = parts.extensions.get::<Tally>()?;
    let owner = match caller {
        Caller::Anonymous => return None,
        Caller::Wallet(wallet) => Payer::Wallet(wallet.address),
        Caller::ApiKey { owner, .. } => Payer::Owner(*owner),
    };
    let (standing, counted) = app.charge_owner(&owner, tally.network());
    tally.note(standing);
    counted.err()
}

/// The call of somebody who has not asked too much of late.
async fn identify_counted<T>(app: &App, received: Received<T>) -> Result<Call<T>, ApiError> {
    match identify(app, received).await? {
        (call, None) => Ok(call),
        (_, Some(wait)) => Err(ApiError::RateLimited { wait }),
    }
}

/// Nothing where there are no challenges: their digest is the dearest part of an unpaid request.
fn facts<T>(received: &Received<T>, takes_credentials: bool) -> RequestFacts {
    if !takes_credentials {
        return RequestFacts::default();
    }
    let accept = received.parts.headers.get(ACCEPT_PAYMENT);
    RequestFacts {
        body: BodyDigest::of(&received.raw),
        // What cannot be read counts as absent (mpp.md 9).
        accept_payment: accept
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
    }
}

impl<T: ReadBody> FromRequest<App> for Open<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let received = receive(request, app).await?;
        // With a request that only reads, a credential means nothing (mpp.md 21, row 50).
        let takes_credentials =
            app.engine().takes_credentials() && received.parts.method == Method::POST;
        let payment = payment::decode(&received.parts.headers, takes_credentials)?;
        let sender = received.parts.extensions.get::<Sender>().copied();
        let payload = payment.as_ref().and_then(payment::Payment::payload);
        let identifier = payload.map(request_key::of_payment).transpose()?;
        let facts = facts(&received, takes_credentials);
        let (call, wait) = identify(app, received).await?;
        let names = call.idempotency_key.clone().into_iter();
        let request_keys: Vec<_> = names.chain(identifier.flatten()).collect();
        if let Some(wait) = wait {
            let engine = app.engine();
            // A repeat of what was bought is never turned away (decisions.md 28).
            if !engine.is_named(&call.caller, None, &request_keys).await? {
                return Err(ApiError::RateLimited { wait });
            }
        }
        Ok(Self {
            request_keys,
            call,
            payment,
            facts,
            sender,
        })
    }
}

impl<T: ReadBody> FromRequest<App> for Anybody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let received = receive(request, app).await?;
        identify_counted(app, received).await.map(Self)
    }
}

impl<T: ReadBody> FromRequest<App> for Authenticated<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let received = receive(request, app).await?;
        let call = identify_counted(app, received).await?;
        match call.caller {
            Caller::Anonymous => Err(Error::Unauthenticated(AuthFailure::Required).into()),
            Caller::Wallet(_) | Caller::ApiKey { .. } => Ok(Self(call)),
        }
    }
}

impl<T: ReadBody> FromRequest<App> for Signed<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let Authenticated(call) = Authenticated::<T>::from_request(request, app).await?;
        match call.caller {
            Caller::Wallet(_) => Ok(Self(call)),
            Caller::Anonymous | Caller::ApiKey { .. } => Err(Error::SignatureRequired.into()),
        }
    }
}
