//! The way of every purchase, whatever is bought: admit the payer, claim, work, wait, and see what
//! came of it.

use std::sync::Arc;

use compute_domain::id::InstanceId;
use compute_domain::instance::FailureCode;
use compute_domain::operation::{OperationKind, OperationState};
use compute_domain::request_key::RequestKey;
use compute_domain::time::Span;
use compute_engine::{
    Caller, CheckGate, Error, ExtendRequest, Funding, Goal, OfferSheet, OperationView,
    PaymentProblem, PaymentProof, ProvisionRequest, PurchaseTerms, RequestFacts, Submitted,
    TopupRequest,
};

use compute_mpp::ProblemType;

use super::members::Paying;
use crate::app::App;
use crate::error::{ApiError, Declined, Undelivered, Work, decline_detail};
use crate::extract::Payment;
use crate::rate::{Gate, Payer};
use crate::render::management::BuyersKey;
use crate::render::receipt;
use crate::visit::Sender;

/// The decline code of a card whose holder must do something first.
const ACTION_REQUIRED: &str = "payment_action_required";

/// What is bought.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goods<'a> {
    Machine(&'a ProvisionRequest),
    Time(InstanceId, &'a ExtendRequest),
    Credits(&'a TopupRequest),
}

/// What the client pays with, and how it calls what it buys.
#[derive(Debug)]
pub(crate) struct Tender {
    payment: Option<Payment>,
    request_keys: Vec<RequestKey>,
    paying: Paying,
}

/// A purchase as a route hands it over.
#[derive(Debug)]
pub(crate) struct Purchase<'a> {
    pub(crate) app: &'a App,
    pub(crate) caller: &'a Caller,
    pub(crate) goods: Goods<'a>,
    /// The absolute URL of the request, which offers name.
    pub(crate) url: String,
    /// What its challenges are bound to.
    pub(crate) facts: RequestFacts,
    /// Who sends the payment.
    pub(crate) sender: Option<Sender>,
    /// How long its client waits at most, where it says so.
    pub(crate) patience: Option<Span>,
}

/// A purchase that was accepted.
#[derive(Debug)]
pub(crate) struct Bought {
    pub(crate) work: Work,
    /// Whether it had been accepted before.
    pub(crate) replayed: bool,
    pub(crate) with_credits: bool,
    /// As far as it has come; none when the database does not answer any more. The work goes on then,
    /// here or on another replica, and an error would make clients pay a second time.
    pub(crate) view: Option<Box<OperationView>>,
    /// For a buyer who showed nothing but a credential.
    pub(crate) management: Option<BuyersKey>,
}

impl Tender {
    /// Two ways to pay at once are refused: which of them should pay?
    pub(crate) fn new(
        payment: Option<Payment>,
        request_keys: Vec<RequestKey>,
        paying: Paying,
    ) -> Result<Self, ApiError> {
        let payment = payment.filter(|payment| !paying.use_credits || payment.is_certain());
        if paying.use_credits && payment.is_some() {
            return Err(ApiError::field(
                "use_credits",
                "pay with credits or with a payment, not with both",
            ));
        }
        Ok(Self {
            payment,
            request_keys,
            paying,
        })
    }

    const fn proof(&self) -> Option<&PaymentProof> {
        match &self.payment {
            Some(Payment::Readable(proof) | Payment::Perhaps(proof)) => Some(proof),
            _ => None,
        }
    }

    fn into_terms(self, resource_url: &str, facts: RequestFacts) -> PurchaseTerms {
        let funding = match self.payment {
            Some(Payment::Readable(proof) | Payment::Perhaps(proof)) => Funding::Payment(proof),
            // Two credentials are refused where they are read.
            Some(Payment::Unreadable(error)) => {
                Funding::Unreadable(ProblemType::MalformedCredential, error.to_string())
            }
            None if self.paying.use_credits => Funding::Credits,
            None => Funding::Unpaid,
        };
        PurchaseTerms {
            request_keys: self.request_keys,
            max_total: self.paying.max_total,
            facts,
            ..PurchaseTerms::plain(funding, resource_url)
        }
    }
}

impl Goods<'_> {
    const fn kind(&self) -> OperationKind {
        match self {
            Self::Machine(_) => OperationKind::Provision,
            Self::Time(..) => OperationKind::Extend,
            Self::Credits(_) => OperationKind::Topup,
        }
    }

    /// How far the work should have come before the answer, and how long the answer waits for it.
    fn patience(&self, app: &App) -> (Goal, Span) {
        let waits = &app.settings().waits;
        match self {
            Self::Machine(_) => (Goal::Created, waits.create),
            Self::Time(..) => (Goal::Rest, waits.extend),
            Self::Credits(_) => (Goal::Rest, waits.topup),
        }
    }
}

impl Purchase<'_> {
    /// Makes the purchase.
    ///
    /// # Errors
    /// Everything that it can come to but success: the ways to pay, refusals, and a purchase that
    /// failed after it was accepted.
    pub(crate) async fn make(&self, tender: Tender) -> Result<Bought, ApiError> {
        let app = self.app;
        let payer = self.admit(&tender).await?;
        let with_credits = tender.paying.use_credits;
        let is_charge = matches!(tender.proof(), Some(PaymentProof::Mpp(_)));
        let payer = match tender.proof() {
            Some(proof) if is_charge => self.charged(proof),
            _ => payer,
        };
        let terms = PurchaseTerms {
            gate: self.gate(is_charge),
            ..tender.into_terms(&self.url, self.facts.clone())
        };
        let submitted = self.submit(terms).await?;
        let work = Work {
            kind: self.goods.kind(),
            operation: submitted.operation(),
            order: submitted.instance(),
        };
        let (replayed, is_by_name) = (submitted.is_replay(), submitted.is_by_name());
        app.work(submitted);
        if let Some(payer) = payer.filter(|_| !replayed) {
            app.purchases().count(payer, app.engine().now());
        }
        let mut management = match self.caller {
            Caller::Anonymous if is_charge && !is_by_name => self.management_key(&work).await,
            _ => None,
        };
        let (goal, usual) = self.goods.patience(app);
        let patience = self.patience.map_or(usual, |own| own.min(usual));
        let seen = app.wait(work.operation, goal, patience).await;
        if matches!(management, Some(BuyersKey::Unread)) {
            management = self.management_key(&work).await;
        }
        let view = match seen {
            Ok(view) => match self.judge(view, replayed).await {
                Ok(view) => Some(Box::new(view)),
                Err(ApiError::Undelivered(mut failure)) => {
                    failure.management = management;
                    return Err(ApiError::Undelivered(failure));
                }
                Err(error) => return Err(error),
            },
            Err(error) => {
                let operation = work.operation;
                tracing::error!(error = %error, operation.id = %operation, "an accepted purchase cannot be read");
                None
            }
        };
        Ok(Bought {
            work,
            replayed,
            with_credits,
            view,
            management,
        })
    }

    /// The key of what somebody bought who showed nothing but a credential.
    async fn management_key(&self, work: &Work) -> Option<BuyersKey> {
        match self.app.engine().management_key(work.operation).await {
            Ok(found) => found.map(BuyersKey::Read),
            Err(error) => {
                let operation = work.operation;
                tracing::error!(error = %error, operation.id = %operation, "a management key cannot be read");
                Some(BuyersKey::Unread)
            }
        }
    }

    /// What stands before the payment network of a credential.
    fn gate(&self, is_charge: bool) -> Option<Arc<dyn CheckGate>> {
        let sender = self.sender.filter(|_| is_charge)?;
        Some(Arc::new(Gate::new(self.app.clone(), sender)))
    }

    /// Whose purchase a credential is, once it has been claimed: the paying wallet's, or for a card its
    /// sender's.
    fn charged(&self, proof: &PaymentProof) -> Option<Payer> {
        let wallet = self.app.engine().payer_of(proof).map(Payer::Wallet);
        wallet.or_else(|| self.sender?.network())
    }

    /// Who buys. Who has bought too much of late waits with a new purchase, before anything settles;
    /// a repeat of a known one is never turned away (decisions.md 28). Nothing is asked about a credential
    /// before it was verified: its gate comes later.
    async fn admit(&self, tender: &Tender) -> Result<Option<Payer>, ApiError> {
        let engine = self.app.engine();
        let proof = tender.proof();
        if matches!(proof, Some(PaymentProof::Mpp(_))) {
            return Ok(None);
        }
        let wallet = proof.and_then(|proof| engine.payer_of(proof));
        let payer = match (wallet, self.caller) {
            (Some(wallet), _) => Some(Payer::Wallet(wallet)),
            (None, Caller::Wallet(wallet)) if tender.paying.use_credits => {
                Some(Payer::Wallet(wallet.address))
            }
            (None, Caller::ApiKey { owner, .. }) if tender.paying.use_credits => {
                Some(Payer::Owner(*owner))
            }
            _ => None,
        };
        let wait = payer.and_then(|payer| self.app.purchases().wait_for(&payer, engine.now()));
        let Some(wait) = wait else {
            return Ok(payer);
        };
        let is_known = match proof {
            Some(proof) => engine.is_known(proof).await?,
            None => false,
        };
        let is_repeat = is_known
            || engine
                .is_named(self.caller, wallet.as_ref(), &tender.request_keys)
                .await?;
        if is_repeat {
            Ok(payer)
        } else {
            Err(ApiError::RateLimited { wait })
        }
    }

    async fn submit(&self, terms: PurchaseTerms) -> Result<Submitted, Error> {
        let (engine, caller) = (self.app.engine(), self.caller);
        match self.goods {
            Goods::Machine(request) => engine.provision(caller, request, terms).await,
            Goods::Time(id, request) => engine.extend(caller, id, request, terms).await,
            Goods::Credits(request) => engine.top_up(caller, request, terms).await,
        }
    }

    /// What a purchase has come to: on its way or done, or one of its failures. "Unknown" is never a
    /// failure for the client: it would pay again (decisions.md 1).
    async fn judge(&self, view: OperationView, replayed: bool) -> Result<OperationView, ApiError> {
        match view.operation.state {
            // The money had been sent, and could not buy what it was sent for.
            OperationState::Succeeded if self.is_kept(&view) => {
                Err(ApiError::Undelivered(Box::new(Undelivered {
                    code: FailureCode::PaidTooLate,
                    work: Work::of(&view),
                    credited: view.deposited(),
                    settlement: receipt::of(&view, self.app),
                    replayed,
                    management: None,
                })))
            }
            OperationState::Failed {
                code: FailureCode::PaymentDeclined,
            } => Err(self.declined(&view, replayed).await),
            OperationState::Failed { code } if code != FailureCode::SettlementUnknown => {
                Err(ApiError::Undelivered(Box::new(Undelivered {
                    code,
                    work: Work::of(&view),
                    credited: view.credited(),
                    settlement: receipt::of(&view, self.app),
                    replayed,
                    management: None,
                })))
            }
            _ => Ok(view),
        }
    }

    /// Whether credits were bought where something else was wanted.
    fn is_kept(&self, view: &OperationView) -> bool {
        let is_topup = |kind: OperationKind| kind == OperationKind::Topup;
        is_topup(view.operation.kind) && !is_topup(self.goods.kind())
    }

    async fn declined(&self, view: &OperationView, replayed: bool) -> ApiError {
        let Ok(sheet) = self.fresh_sheet().await else {
            // It is sold no more: there is no other way to pay, and still nothing was charged.
            return ApiError::Undelivered(Box::new(Undelivered {
                code: FailureCode::PaymentDeclined,
                work: Work::of(view),
                credited: None,
                settlement: receipt::of(view, self.app),
                replayed,
                management: None,
            }));
        };
        let code = receipt::decline_code(view).unwrap_or("unexpected_settle_error");
        let detail = decline_detail(code).to_owned();
        let is_charge = view
            .payment
            .as_ref()
            .is_some_and(|payment| payment.challenge_id.is_some());
        let kind = if code == ACTION_REQUIRED {
            ProblemType::PaymentActionRequired
        } else {
            ProblemType::VerificationFailed
        };
        let problem = PaymentProblem {
            code: code.to_owned(),
            detail,
            kind: is_charge.then_some(kind),
        };
        ApiError::Declined(Box::new(Declined {
            sheet,
            problem,
            work: Work::of(view),
            settlement: receipt::of(view, self.app),
            replayed,
        }))
    }

    /// How to pay now, for a client whose payment was declined.
    async fn fresh_sheet(&self) -> Result<Box<OfferSheet>, ApiError> {
        let terms = PurchaseTerms {
            facts: self.facts.clone(),
            ..PurchaseTerms::plain(Funding::Unpaid, &self.url)
        };
        match self.submit(terms).await {
            Err(Error::PaymentRequired { sheet, .. }) => Ok(sheet),
            Err(error) => Err(error.into()),
            // Without a payment nothing is ever submitted.
            Ok(_) => Err(ApiError::Engine(Error::CatalogUnavailable)),
        }
    }
}
