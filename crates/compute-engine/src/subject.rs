//! What is bought: a machine, time for a machine, or credits. Each says what it costs, what makes two
//! requests for it equal, and what is written when it is claimed.

use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::{Instance, InstanceState};
use compute_domain::money::{HourlyRate, Hours, Usd};
use compute_domain::operation::{CreditsSpent, Operation, OperationKind, Step, TimeBought};
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;
use compute_pricing::price;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::catalog::Shelf;
use crate::engine::Engine;
use crate::error::Error;
use crate::offer::{OfferSheet, ProvisionRequest};
use crate::ports::{Lease, Opened as OperationOpened, PlaceTaken, Tx};
use crate::purchase::Purchase;
use crate::topup::TopupRequest;

/// What is bought.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    /// A machine.
    Machine(&'a ProvisionRequest),
    /// More time for a machine.
    Time {
        /// As it was when the request was looked at.
        instance: Box<Instance>,
        hours: Hours,
        network: &'a RailLabel,
    },
    /// Credits.
    Credits(&'a TopupRequest),
}

/// What a subject costs at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Priced {
    pub(crate) price: Usd,
    pub(crate) time: Option<TimeBought>,
    pub(crate) description: String,
}

/// An operation that the claim transaction opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) operation: Operation,
    pub(crate) lease: Lease,
}

impl Subject<'_> {
    /// SHA-256 of the request's meaning: two requests that ask for the same thing have the same
    /// digest, however their JSON was written. The network is left out, because a payment over any
    /// offered rail buys the same thing.
    pub(crate) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Machine(request) => request.digest(),
            Self::Time {
                instance, hours, ..
            } => digest_of(&("extend", instance.id, hours)),
            Self::Credits(request) => digest_of(&("topup", request.amount)),
        }
    }

    /// The rail the customer wants to pay over.
    pub(crate) const fn network(&self) -> &RailLabel {
        match self {
            Self::Machine(request) => &request.network,
            Self::Time { network, .. } => network,
            Self::Credits(request) => &request.network,
        }
    }

    const fn kind(&self) -> OperationKind {
        match self {
            Self::Machine(_) => OperationKind::Provision,
            Self::Time { .. } => OperationKind::Extend,
            Self::Credits(_) => OperationKind::Topup,
        }
    }
}

/// SHA-256 of the JSON of strings and numbers.
pub(crate) fn digest_of(canonical: &impl Serialize) -> [u8; 32] {
    // Strings and numbers: serialising them cannot fail.
    let bytes = serde_json::to_vec(canonical).unwrap_or_default();
    Sha256::digest(&bytes).into()
}

/// Hours at a rate.
pub(crate) fn time_at(rate: HourlyRate, hours: Hours) -> Result<TimeBought, Error> {
    let price = price(rate, hours).map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(TimeBought { hours, rate, price })
}

impl Engine {
    /// What the subject costs at the prices of this shelf.
    ///
    /// # Errors
    /// When it asks for something that is not sold.
    pub(crate) fn price_of(&self, subject: &Subject<'_>, shelf: &Shelf) -> Result<Priced, Error> {
        match subject {
            Subject::Machine(request) => {
                let plan = self.find_sellable(shelf, request)?;
                let rate = self.rate_in(plan, &request.region)?;
                let time = time_at(rate, request.hours)?;
                let ProvisionRequest { plan, region, .. } = request;
                Ok(Priced {
                    price: time.price,
                    time: Some(time),
                    description: format!("{} h of {plan} in {region}", time.hours.get()),
                })
            }
            Subject::Time {
                instance, hours, ..
            } => self.price_of_time(instance, *hours, Some(shelf)),
            Subject::Credits(request) => Ok(Priced {
                price: request.amount,
                time: None,
                description: format!("{} USD of credits", request.amount),
            }),
        }
    }

    /// Writes what is bought, its operation, and takes a place for a new machine. With `credits` the
    /// operation needs no settlement.
    ///
    /// # Errors
    /// `LimitReached`, `OperationInProgress` and `WrongState`; the caller must roll back.
    pub(crate) async fn open(
        &self,
        tx: &mut dyn Tx,
        purchase: &Purchase<'_>,
        owner: OwnerId,
        sheet: &OfferSheet,
        credits: Option<CreditsSpent>,
    ) -> Result<Opened, Error> {
        let now = self.now();
        let id = OperationId::generate(now, self.entropy.as_ref());
        let subject = &purchase.subject;
        let mut operation = Operation::open(id, subject.kind(), owner, None, purchase.digest, now);
        operation.data.time = sheet.time;
        operation.data.credits = credits;
        operation
            .data
            .request_keys
            .clone_from(&purchase.request_keys);
        match subject {
            Subject::Machine(request) => {
                let instance = self.new_instance(owner, request, sheet, now)?;
                operation.instance = Some(instance.id);
                operation.data.spec = Some(request.machine());
                let user_data = request.user_data.as_ref();
                operation.data.sealed_user_data = user_data
                    .map(|data| self.seal_user_data(id, data))
                    .transpose()?;
                let (instance, operation) = match credits {
                    Some(_) => (instance.paid()?, operation.advance(Step::Create, now, now)),
                    None => (instance, operation),
                };
                match tx
                    .take_place(owner, instance.rate, &self.config.caps)
                    .await?
                {
                    PlaceTaken::Yes => {}
                    PlaceTaken::OwnerFull => return Err(Error::LimitReached { is_own: true }),
                    PlaceTaken::ShopFull => return Err(Error::LimitReached { is_own: false }),
                }
                tx.insert_instance(&instance).await?;
                if let Some(terms) = request.auto_extend {
                    let wish = terms.for_new(&instance, purchase.caller);
                    tx.set_auto_extension(&wish).await?;
                }
                self.open_operation(tx, operation).await
            }
            Subject::Time {
                instance: priced, ..
            } => {
                let locked = tx.lock_instance(priced.id).await?;
                let instance = locked.ok_or(Error::NotFound)?;
                if instance.owner != owner {
                    return Err(Error::PayerMismatch);
                }
                // It got another plan since its time was priced: nothing is sold at the price of the
                // old one. Nothing has settled, and the next price is right.
                if instance.plan != priced.plan {
                    return Err(Error::OperationInProgress {
                        operation: None,
                        instance: Some(instance.id),
                    });
                }
                self.check_extendable(&instance)?;
                operation.instance = Some(instance.id);
                self.open_operation(tx, operation).await
            }
            Subject::Credits(_) => self.open_operation(tx, operation).await,
        }
    }

    /// Writes an operation, leased to this process.
    ///
    /// # Errors
    /// `OperationInProgress` while another one holds its instance.
    pub(crate) async fn open_operation(
        &self,
        tx: &mut dyn Tx,
        operation: Operation,
    ) -> Result<Opened, Error> {
        let until = self.now().plus(self.timing().lease);
        match tx
            .open_operation(&operation, &self.config.holder, until)
            .await?
        {
            OperationOpened::Leased(lease) => Ok(Opened { operation, lease }),
            OperationOpened::InstanceBusy => Err(Error::OperationInProgress {
                operation: None,
                instance: operation.instance,
            }),
        }
    }

    fn new_instance(
        &self,
        owner: OwnerId,
        request: &ProvisionRequest,
        sheet: &OfferSheet,
        now: Timestamp,
    ) -> Result<Instance, Error> {
        let time = sheet
            .time
            .ok_or_else(|| Error::Internal("a machine was priced without its time".into()))?;
        Ok(Instance {
            id: InstanceId::generate(now, self.entropy.as_ref()),
            owner,
            provider: request.plan.provider(),
            plan: request.plan.clone(),
            region: request.region.clone(),
            os: request.os.clone(),
            label: request.label.clone(),
            rate: time.rate,
            hours: time.hours,
            extended_hours: 0,
            price: time.price,
            access: request.access(),
            ip: None,
            suspended_since: None,
            resizing: None,
            is_protected: false,
            created_at: now,
            state: InstanceState::Pending,
        })
    }
}
