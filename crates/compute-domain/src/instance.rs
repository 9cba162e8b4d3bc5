//! Instances: one machine we sold, from request to grave.

use std::net::IpAddr;

use crate::catalog::{OsId, PlanId, ProviderId, ProviderInstanceId, RegionId};
use crate::id::{InstanceId, OwnerId};
use crate::money::{HourlyRate, Hours, Usd};
use crate::text::Label;
use crate::text_enum;
use crate::time::{Span, Timestamp};
use crate::transition::InvalidTransition;

text_enum! {
    /// How the customer gets in.
    Access {
        /// With the SSH key of the request.
        SshKey = "ssh_key",
        /// With a root password that is shown once.
        Password = "password",
    }
}

text_enum! {
    /// Why a machine came to its end.
    EndReason {
        /// Its owner asked.
        Requested = "requested",
        /// Its prepaid time and grace were over.
        Expired = "expired",
        /// It vanished at the provider.
        Lost = "lost",
    }
}

text_enum! {
    /// Why an operation or instance failed. `failed` always means: the customer lost nothing.
    FailureCode {
        /// The payment network refused; no money moved.
        PaymentDeclined = "payment_declined",
        /// The payment network could not be reached; nothing was sent.
        PaymentUnreachable = "payment_unreachable",
        /// The provider refused the machine.
        ProviderRejected = "provider_rejected",
        /// The provider has no such machine left.
        NoCapacity = "no_capacity",
        /// The provider did not answer for too long, or refused our credentials.
        ProviderUnavailable = "provider_unavailable",
        /// The machine did not start in time.
        NotReady = "not_ready",
        /// Nobody can tell whether the money moved; a human must look.
        SettlementUnknown = "settlement_unknown",
        /// The machine to be extended came to its end before the payment settled.
        InstanceGone = "instance_gone",
        /// An operator ended what could not be decided, and gave the price as credit.
        OperatorRefunded = "operator_refunded",
        /// The provider did not bring about a change of plan; everything is as it was.
        ResizeFailed = "resize_failed",
        /// The money was sent for what it could not buy any more.
        PaidTooLate = "paid_too_late",
    }
}

/// Where an instance is: which machine, and until when it is paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The machine at its provider.
    pub machine: ProviderInstanceId,
    /// End of the prepaid time.
    pub expires_at: Timestamp,
}

/// A change of plan under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resizing {
    /// The plan it is to have.
    pub to: PlanId,
    /// What the customer will pay an hour.
    pub rate: HourlyRate,
    /// End of the prepaid time with that plan; as long as it is not reached, as it was at the request.
    pub expires_at: Timestamp,
}

/// The life of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// Claimed; its payment has not settled yet.
    Pending,
    /// Paid for; `None` until the provider has answered.
    Provisioning(Option<Placement>),
    /// Running and reachable.
    Active(Placement),
    /// Being taken down.
    Destroying {
        /// Where it was.
        placement: Placement,
        /// Why it ends.
        reason: EndReason,
    },
    /// Gone at the provider, verified.
    Destroyed {
        /// Where it was.
        placement: Placement,
        /// Why it ended.
        reason: EndReason,
        /// When that was verified.
        at: Timestamp,
    },
    /// Never delivered; the customer lost nothing.
    Failed {
        /// Why.
        code: FailureCode,
        /// When.
        at: Timestamp,
    },
}

impl InstanceState {
    /// The stored name of the state.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Provisioning(_) => "provisioning",
            Self::Active(_) => "active",
            Self::Destroying { .. } => "destroying",
            Self::Destroyed { .. } => "destroyed",
            Self::Failed { .. } => "failed",
        }
    }
}

/// One machine we sold; the public API calls it `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Our id.
    pub id: InstanceId,
    /// Whose it is.
    pub owner: OwnerId,
    /// Who runs it.
    pub provider: ProviderId,
    /// Its size.
    pub plan: PlanId,
    /// Where it runs.
    pub region: RegionId,
    /// Its image.
    pub os: OsId,
    /// The customer's name for it.
    pub label: Label,
    /// What the customer pays an hour.
    pub rate: HourlyRate,
    /// Hours of the first purchase.
    pub hours: Hours,
    /// Hours of all extensions.
    pub extended_hours: u32,
    /// What the customer paid in all, extensions included.
    pub price: Usd,
    /// How the customer gets in.
    pub access: Access,
    /// Its public address, once known.
    pub ip: Option<IpAddr>,
    /// Since when the provider has it stopped on its own account. Written by the reconciler alone.
    pub suspended_since: Option<Timestamp>,
    /// The change of plan that is under way, until its machine may be used again.
    pub resizing: Option<Resizing>,
    /// Whether its owner may not destroy it before lifting the protection. It expires all the same.
    pub is_protected: bool,
    /// When it was claimed.
    pub created_at: Timestamp,
    /// Its life so far.
    pub state: InstanceState,
}

impl Instance {
    fn refuse(&self, event: &'static str) -> InvalidTransition {
        InvalidTransition {
            entity: "instance",
            event,
            state: self.state.name(),
        }
    }

    /// The payment settled: the machine is to be made.
    ///
    /// # Errors
    /// Unless it is pending.
    pub fn paid(mut self) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Pending => {
                self.state = InstanceState::Provisioning(None);
                Ok(self)
            }
            _ => Err(self.refuse("become paid")),
        }
    }

    /// The provider made a machine at `now`; prepaid time starts with it.
    ///
    /// # Errors
    /// Unless it is waiting for a machine.
    pub fn placed(
        mut self,
        machine: ProviderInstanceId,
        now: Timestamp,
    ) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Provisioning(None) => {
                let expires_at = now.plus(Span::from_hours(self.hours.get()));
                self.state = InstanceState::Provisioning(Some(Placement {
                    machine,
                    expires_at,
                }));
                Ok(self)
            }
            _ => Err(self.refuse("be placed")),
        }
    }

    /// Its machine was given back before the customer saw it; another one may follow.
    ///
    /// # Errors
    /// Unless it is provisioning.
    pub fn displaced(mut self) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Provisioning(_) => {
                self.state = InstanceState::Provisioning(None);
                self.ip = None;
                Ok(self)
            }
            _ => Err(self.refuse("be displaced")),
        }
    }

    /// The machine runs and answers at `ip`.
    ///
    /// # Errors
    /// Unless a machine is starting.
    pub fn ready(mut self, ip: IpAddr) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Provisioning(Some(placement)) => {
                self.state = InstanceState::Active(placement);
                self.ip = Some(ip);
                Ok(self)
            }
            _ => Err(self.refuse("become ready")),
        }
    }

    /// Its prepaid time grows by exactly `hours`, which cost `price`.
    ///
    /// # Errors
    /// Unless it is active, and the sums fit.
    pub fn extend(mut self, hours: Hours, price: Usd) -> Result<Self, InvalidTransition> {
        let refusal = self.refuse("be extended");
        match &mut self.state {
            InstanceState::Active(placement) => {
                placement.expires_at = placement.expires_at.plus(Span::from_hours(hours.get()));
            }
            _ => return Err(refusal),
        }
        self.extended_hours = self
            .extended_hours
            .checked_add(hours.get())
            .ok_or(refusal)?;
        self.price = self.price.checked_add(price).map_err(|_| refusal)?;
        Ok(self)
    }

    /// It is to have another plan.
    ///
    /// # Errors
    /// Unless it is active, and not being changed already.
    pub fn begin_resize(mut self, resizing: Resizing) -> Result<Self, InvalidTransition> {
        match (&self.state, &self.resizing) {
            (InstanceState::Active(_), None) => {
                self.resizing = Some(resizing);
                Ok(self)
            }
            _ => Err(self.refuse("be resized")),
        }
    }

    /// The provider has given it the plan: from now on an hour costs the new rate, and what is prepaid
    /// ends at `expires_at`. It is still being changed, until [`Self::end_resize`].
    ///
    /// # Errors
    /// Unless it is being changed.
    pub fn resized(mut self, expires_at: Timestamp) -> Result<Self, InvalidTransition> {
        let refusal = self.refuse("have another plan");
        match (&mut self.state, &mut self.resizing) {
            (InstanceState::Active(placement), Some(resizing)) => {
                placement.expires_at = expires_at;
                resizing.expires_at = expires_at;
                self.plan = resizing.to.clone();
                self.rate = resizing.rate;
                Ok(self)
            }
            _ => Err(refusal),
        }
    }

    /// Nothing is being changed any more, whatever came of it.
    #[must_use]
    pub fn end_resize(mut self) -> Self {
        self.resizing = None;
        self
    }

    /// It will not be delivered.
    ///
    /// # Errors
    /// Unless it is pending or provisioning.
    pub fn fail(mut self, code: FailureCode, at: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Pending | InstanceState::Provisioning(_) => {
                self.state = InstanceState::Failed { code, at };
                Ok(self)
            }
            _ => Err(self.refuse("fail")),
        }
    }

    /// It is to be taken down.
    ///
    /// # Errors
    /// Unless it is active.
    pub fn begin_destroy(mut self, reason: EndReason) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Active(placement) => {
                self.state = InstanceState::Destroying { placement, reason };
                self.resizing = None;
                Ok(self)
            }
            _ => Err(self.refuse("be destroyed")),
        }
    }

    /// The provider no longer has it.
    ///
    /// # Errors
    /// Unless it is being taken down.
    pub fn gone(mut self, at: Timestamp) -> Result<Self, InvalidTransition> {
        match self.state {
            InstanceState::Destroying { placement, reason } => {
                self.state = InstanceState::Destroyed {
                    placement,
                    reason,
                    at,
                };
                Ok(self)
            }
            _ => Err(self.refuse("be gone")),
        }
    }

    /// Whether it uses up a place among its owner's and all instances.
    pub const fn is_live(&self) -> bool {
        !matches!(
            self.state,
            InstanceState::Destroyed { .. } | InstanceState::Failed { .. }
        )
    }

    /// What it takes up of what all instances may cost an hour: while its plan changes, the dearer of
    /// both.
    pub fn place_rate(&self) -> HourlyRate {
        let coming = self.resizing.as_ref().map(|resizing| resizing.rate);
        coming.map_or(self.rate, |coming| coming.max(self.rate))
    }

    /// Where it is or was.
    pub const fn placement(&self) -> Option<&Placement> {
        match &self.state {
            InstanceState::Provisioning(Some(placement))
            | InstanceState::Active(placement)
            | InstanceState::Destroying { placement, .. }
            | InstanceState::Destroyed { placement, .. } => Some(placement),
            InstanceState::Pending
            | InstanceState::Provisioning(None)
            | InstanceState::Failed { .. } => None,
        }
    }

    /// End of the prepaid time; before a machine exists, what it would be if one were made at the
    /// time of the claim.
    pub fn expires_at(&self) -> Timestamp {
        self.placement().map_or_else(
            || self.created_at.plus(Span::from_hours(self.hours.get())),
            |placement| placement.expires_at,
        )
    }
}

#[cfg(test)]
#[path = "instance/tests.rs"]
mod tests;
