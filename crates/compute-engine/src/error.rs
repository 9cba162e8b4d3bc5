//! What can go wrong in a use case, free of HTTP and SQL.

use compute_domain::catalog::{ImageMisfit, ProviderId, RegionId};
use compute_domain::id::{ApiKeyId, InstanceId, OperationId};
use compute_domain::money::Usd;
use compute_domain::owner::Scope;
use compute_domain::request_key::RequestKeyKind;
use compute_domain::time::Span;
use compute_domain::transition::InvalidTransition;
use compute_mpp::ProblemType;

use crate::offer::OfferSheet;
use crate::ports::StoreError;

/// Why a caller could not be authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// Nothing was presented where something is needed.
    #[error("sign the request with a wallet (X-Auth-*) or send X-API-Key")]
    Required,
    /// The signature set is malformed or does not fit the request.
    #[error("the signature does not fit this request")]
    Invalid,
    /// The timestamp is too far from the server's clock.
    #[error("the timestamp is more than five minutes away from the server's clock; sign again")]
    Expired,
    /// The nonce was spent by an earlier request.
    #[error("the nonce was spent by an earlier request; sign again with a new one")]
    NonceUsed,
    /// The API key is malformed, unknown or revoked.
    #[error("the API key is not valid")]
    ApiKey,
    /// The API key's time is over.
    #[error("the API key has expired; make a new one")]
    ApiKeyExpired,
}

impl AuthFailure {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Required => "auth_required",
            Self::Invalid => "auth_invalid",
            Self::Expired => "auth_expired",
            Self::NonceUsed => "auth_nonce_used",
            Self::ApiKey => "api_key_invalid",
            Self::ApiKeyExpired => "api_key_expired",
        }
    }

    /// A sentence for the caller.
    pub fn detail(self) -> String {
        self.to_string()
    }
}

/// What is wrong with a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentProblem {
    /// The protocol's code, for example `insufficient_funds`.
    pub code: String,
    /// A sentence for the caller.
    pub detail: String,
    /// What kind of problem it is for a client of the Payment authentication scheme; none for a
    /// payment of x402.
    pub kind: Option<ProblemType>,
}

impl PaymentProblem {
    /// About a payment of x402.
    pub const fn x402(code: String, detail: String) -> Self {
        Self {
            code,
            detail,
            kind: None,
        }
    }

    /// About a credential.
    pub fn mpp(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            code: kind.code().replace('-', "_"),
            detail: detail.into(),
            kind: Some(kind),
        }
    }
}

/// Why a machine cannot be given another plan. Nothing was moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResizeRefusal {
    /// It has that plan.
    #[error("the instance has this plan already")]
    SamePlan,
    /// The plan is another provider's.
    #[error("a machine stays at its provider: choose a plan of {provider}")]
    OtherProvider {
        /// Whose machine it is.
        provider: ProviderId,
    },
    /// The plan is smaller than the machine, or has a smaller disk.
    #[error("the plan is smaller than the machine, or its disk is; only larger ones are possible")]
    Smaller,
    /// The provider does not change a machine of its plan to this one.
    #[error("the provider does not change this machine to a plan of that family")]
    OtherFamily,
    /// The provider does not change this machine at all.
    #[error("the plan of this machine cannot be changed")]
    Never,
    /// The disk would grow for good, and nobody confirmed it.
    #[error(
        "the disk would grow, which cannot be undone; send confirm_disk_resize: true to have it so"
    )]
    DiskNotConfirmed,
    /// What is left of the prepaid value buys less than an hour of the plan.
    #[error(
        "what is left, {left} USD, pays for less than an hour at {rate} USD an hour; extend first"
    )]
    TooLittleLeft {
        /// What is left.
        left: Usd,
        /// What an hour would cost.
        rate: Usd,
    },
}

/// Why a use case did not do what was asked. Unless it says otherwise, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the request breaks a rule.
    #[error("{field}: {rule}")]
    Invalid {
        /// The member of the request.
        field: &'static str,
        /// The rule, as a sentence.
        rule: String,
    },
    /// No such plan, or not for sale.
    #[error("this plan is not for sale")]
    UnknownPlan,
    /// No such region.
    #[error("there is no such region")]
    UnknownRegion,
    /// No such image for this plan's provider.
    #[error("there is no such image for this plan")]
    UnknownImage,
    /// The image cannot run on this plan, or is not in this region.
    #[error("{0}")]
    ImageNotForPlan(ImageMisfit),
    /// No rail of this name is offered.
    #[error("this network is not offered")]
    UnknownNetwork {
        /// The ones that are.
        known: Vec<String>,
    },
    /// The plan exists, but not there.
    #[error("the plan is not available in this region")]
    PlanNotInRegion {
        /// Where it is.
        locations: Vec<RegionId>,
    },
    /// The request names another provider than the plan's.
    #[error("the plan belongs to another provider than the request names")]
    ProviderMismatch,
    /// This provider makes no machine without a key.
    #[error("this provider needs an ssh_public_key")]
    SshKeyRequired,
    /// Who is asking could not be established.
    #[error(transparent)]
    Unauthenticated(#[from] AuthFailure),
    /// The API key may not do this.
    #[error("this API key lacks the scope {needed}")]
    ScopeMissing {
        /// What it would need.
        needed: Scope,
    },
    /// The API key has spent its budget, or would with this purchase.
    #[error("this purchase exceeds the budget of the API key")]
    BudgetExceeded {
        /// What it would cost.
        required: Usd,
        /// What the key may still spend.
        left: Usd,
    },
    /// The owner's credits do not suffice; nothing was bought.
    #[error("the credits do not suffice")]
    InsufficientCredits {
        /// What it costs.
        required: Usd,
        /// What there is.
        balance: Usd,
    },
    /// It costs more than the request allows; nothing was settled or spent.
    #[error("the price is above max_total_usd")]
    PriceAboveMaximum {
        /// What it costs now.
        price: Usd,
        /// What the request allows.
        maximum: Usd,
    },
    /// There is no place for one more instance; nothing was settled or spent.
    #[error("there may be no more instances now")]
    LimitReached {
        /// Whether it is the owner's own limit.
        is_own: bool,
    },
    /// The client's name for this purchase stands for another one; nothing was settled or spent.
    #[error("the idempotency key was used for another request")]
    RequestKeyReused {
        /// Which kind of name.
        kind: RequestKeyKind,
    },
    /// An API key was used where a wallet must sign.
    #[error("only a wallet signature may do this")]
    SignatureRequired,
    /// Somebody else than the authenticated wallet pays.
    #[error("the payer is not the authenticated wallet")]
    PayerMismatch,
    /// The operator sells nothing to this wallet; nothing was settled or spent.
    #[error("this payer is not served; nothing was settled or spent")]
    PayerRefused,
    /// It does not exist, or is somebody else's.
    #[error("there is no such thing")]
    NotFound,
    /// Pay first. Also: this payment is not good; nothing moved.
    #[error("payment required")]
    PaymentRequired {
        /// How to pay.
        sheet: Box<OfferSheet>,
        /// What was wrong with the payment, if there was one.
        problem: Option<PaymentProblem>,
    },
    /// The credential is for a method or intent that is not offered here.
    #[error("this way to pay is not offered here; see WWW-Authenticate of the unpaid request")]
    MethodUnsupported,
    /// The payment could not be read.
    #[error("the payment is malformed: {detail}")]
    PaymentMalformed {
        /// The x402 code.
        code: String,
        /// A sentence for the caller.
        detail: String,
    },
    /// This payer, or whoever sends for it, has had too many payments looked at, or has bought too much,
    /// of late. Nothing moved.
    #[error("too many payments; wait before the next one")]
    TooManyChecks {
        /// How long.
        wait: Span,
    },
    /// The payment already bought something else.
    #[error("this payment already paid for another request")]
    PaymentAlreadyUsed,
    /// Another operation must finish first.
    #[error("another operation is in progress")]
    OperationInProgress {
        /// Which, when it is the caller's own.
        operation: Option<OperationId>,
        /// On which instance; a top-up has none.
        instance: Option<InstanceId>,
    },
    /// The instance's state does not allow it.
    #[error("the instance is {state}")]
    WrongState {
        /// Its state.
        state: &'static str,
    },
    /// The machine cannot be given that plan.
    #[error(transparent)]
    ResizeRefused(#[from] ResizeRefusal),
    /// The provider of this machine has nothing of the kind.
    #[error("the provider of this machine does not offer that")]
    NotOffered,
    /// The instance is protected against its own owner.
    #[error("the instance is protected against deletion; lift the protection first")]
    Protected,
    /// The provider could not be asked; nothing was changed.
    #[error("the provider of this machine could not be asked; nothing was changed")]
    ProviderUnavailable,
    /// The one-time password was taken before.
    #[error("the one-time password was retrieved before")]
    PasswordTaken,
    /// There is no password: the machine takes an SSH key.
    #[error("this instance has no password")]
    NoPassword,
    /// There will be one once the machine is made.
    #[error("the machine is not made yet")]
    PasswordNotReady,
    /// The owner made a key under this name before.
    #[error(
        "this Idempotency-Key has made the API key {id} already, and its text is shown once; when it \
         is lost, revoke that key and make another one under a new Idempotency-Key"
    )]
    ApiKeyMadeBefore {
        /// That key.
        id: ApiKeyId,
    },
    /// The owner has as many keys as allowed.
    #[error("the owner has as many API keys as allowed")]
    TooManyApiKeys,
    /// The owner has as many webhooks as it may.
    #[error("there are too many webhooks")]
    TooManyWebhooks,
    /// Another ping of the owner is under way, or as many as there may be.
    #[error("a ping is under way, of yours or of too many others; wait for its answer")]
    TooManyPings {
        /// How long.
        wait: Span,
    },
    /// The payment network could not be asked; nothing moved.
    #[error("the payment network cannot be reached")]
    RailUnavailable,
    /// There is no fresh price to sell by.
    #[error("the catalogue is not available")]
    CatalogUnavailable,
    /// The database cannot be used; nothing was written.
    #[error("the service cannot store anything now")]
    Unavailable(#[source] StoreError),
    /// A fault of ours.
    #[error("an internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error),
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl From<InvalidTransition> for Error {
    fn from(error: InvalidTransition) -> Self {
        Self::Internal(Box::new(error))
    }
}
