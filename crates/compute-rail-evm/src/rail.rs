//! The rail: what the engine asks of it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use compute_domain::time::{Clock, Span, Timestamp};
use compute_engine::StoredProof;
use compute_engine::ports::{
    ArrivalPage, Check, ClaimedPayment, Lane, Lookup, Rail, RailHealth, RailSpec, RailUnavailable,
    SeenTransfer, Settlement, Store, WalletBalance,
};
use compute_evm::{Chain, Fate, Inbox, Node};
use compute_wallet::{EvmAddress, WalletAddress};
use compute_x402::{Amount, Body, Method, PaymentPayload, PermitPaths};

use crate::calls::Call;
use crate::config::{EvmConfig, EvmConfigError, EvmTimeouts};
use crate::paying::Paying;
use crate::sender::{Limits, Sender};
use crate::settle::Settling;
use crate::wallet::{HotWallet, Rules};

/// Less than this part of the cap is moved on with the next sale only: with the usual cap, 10 cents.
const CRUMBS: u128 = 10_000;

/// A payment rail that settles by itself, for one token on one chain.
#[derive(Debug)]
pub struct EvmRail {
    pub(crate) spec: RailSpec,
    pub(crate) chain: Chain,
    pub(crate) sender: Sender,
    pub(crate) timeouts: EvmTimeouts,
    /// The recipient of payments, and where the money ends up.
    inbox: Inbox,
    sweep_cap: Amount,
}

impl EvmRail {
    /// A rail for the token and recipient of `spec`; sends nothing. What it signs is kept in the
    /// store.
    ///
    /// # Errors
    /// [`EvmConfigError`] names what cannot be used.
    pub fn new(
        spec: RailSpec,
        config: EvmConfig,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EvmConfigError> {
        let node = Node::new(config.connect()?);
        let hot_wallet = config.hot_wallet.address();
        if config.treasury == hot_wallet {
            return Err(EvmConfigError::TreasuryIsHotWallet);
        }
        if config.confirmations == 0 || config.finality_blocks < config.confirmations {
            return Err(EvmConfigError::Confirmations);
        }
        let token = spec.token.as_evm().ok_or(EvmConfigError::Token)?;
        let WalletAddress::Evm(pay_to) = spec.pay_to.address() else {
            return Err(EvmConfigError::Recipient);
        };
        let recipient = match direct_spender(&spec) {
            Some(spender) if spender != hot_wallet => return Err(EvmConfigError::Recipient),
            Some(_) => hot_wallet,
            None => config.treasury,
        };
        if pay_to != recipient {
            return Err(EvmConfigError::Recipient);
        }
        let mut recipients = config.other_recipients;
        recipients.push(pay_to);
        let rules = Rules {
            token: token.contract(),
            treasury: config.treasury,
            recipients,
            max_fee_per_gas: u128::from(config.max_fee_per_gas_gwei).saturating_mul(1_000_000_000),
        };
        let lane = format!("{}:{hot_wallet}", spec.token.network().caip2());
        let lane = Lane::parse(&lane).map_err(|_| EvmConfigError::Token)?;
        let bump_after = i64::try_from(config.timeouts.bump_after.as_millis());
        let limits = Limits {
            confirmations: config.confirmations,
            finality_blocks: config.finality_blocks,
            max_gas_per_day_gwei: config.max_gas_per_day_gwei,
            bump_after: Span::from_millis(bump_after.unwrap_or(i64::MAX)),
        };
        let inbox = Inbox::new(
            token.chain_id(),
            token.contract(),
            [pay_to, config.treasury],
        );
        Ok(Self {
            inbox,
            chain: Chain::new(node.clone(), config.finality_blocks),
            sender: Sender {
                wallet: HotWallet::new(config.hot_wallet, token.chain_id(), rules),
                node,
                store,
                clock,
                lane,
                limits,
                sync_wait: config.sync_send.then_some(config.timeouts.node / 2),
                rechecked_at: Mutex::default(),
                balance: Mutex::default(),
            },
            sweep_cap: Amount::new(config.sweep_cap),
            timeouts: config.timeouts,
            spec,
        })
    }

    /// The account that sends everything and pays for gas.
    #[must_use]
    pub const fn hot_wallet(&self) -> EvmAddress {
        self.sender.address()
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.sender.wallet.chain_id()
    }

    fn paths(&self) -> Option<&PermitPaths> {
        paths_of(&self.spec)
    }

    async fn find_fault(&self) -> Result<(), String> {
        let token = self.spec.token.as_evm().ok_or("no token on an EVM chain")?;
        let now_s = self.sender.now().secs();
        let fault = self
            .chain
            .find_fault(token, self.spec.decimals, now_s)
            .await;
        match fault {
            Ok(None) => {}
            Ok(Some(fault)) => return Err(fault.to_owned()),
            Err(error) => return Err(error.to_string()),
        }
        let needs_permit2 = self
            .paths()
            .is_some_and(|paths| paths.permit2_separator().is_some());
        if needs_permit2 {
            let missing = self.chain.find_missing_permit2().await;
            if let Some(fault) = missing.map_err(|error| error.to_string())? {
                return Err(fault.to_owned());
            }
        }
        self.sender
            .can_pay()
            .await
            .map_err(|error| error.to_string())?;
        if self.keeps_money() {
            let held = self.holds(token.contract(), self.hot_wallet(), None).await;
            if held.map_err(|error| error.to_string())? > self.sweep_cap {
                return Err("too much money lies in the hot wallet".to_owned());
            }
        }
        Ok(())
    }

    /// Whether money of payers can lie in the hot wallet.
    fn keeps_money(&self) -> bool {
        self.spec.pay_to.address() == WalletAddress::Evm(self.hot_wallet())
    }

    /// Moves on what lies in the hot wallet, if it is as much as this.
    async fn sweep(&self, least: Amount) -> Result<(), String> {
        if !self.keeps_money() {
            return Ok(());
        }
        let rules = self.sender.wallet.rules();
        let held = self.holds(rules.token, self.hot_wallet(), None).await;
        let held = held.map_err(|error| error.to_string())?;
        if held.get() == 0 || held < least {
            return Ok(());
        }
        let call = Call::Sweep {
            token: rules.token,
            to: rules.treasury,
            amount: held,
        };
        self.sender
            .sweep(&call)
            .await
            .map_err(|error| error.to_string())
    }

    /// The money is the shop's already; the next round sweeps what this one could not.
    pub(crate) async fn sweep_quietly(&self, least: Amount) {
        if let Err(reason) = self.sweep(least).await {
            tracing::info!(payment.rail = %self.spec.label, reason, "not swept now");
        }
    }

    async fn try_lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let paying = Paying::of(payment.proof());
        let paying =
            paying.ok_or_else(|| unavailable("the stored proof is no payment in this token"))?;
        let settling = Settling::new(&paying, payment);
        let sent = self.sender.sent_for(settling.proof_key).await;
        let sent = sent.map_err(|error| unavailable(&error.to_string()))?;
        let fate = self.fate(&settling, &sent).await;
        Ok(
            match fate.map_err(|error| unavailable(&error.to_string()))? {
                Fate::Paid(evidence) => {
                    self.let_go(&settling).await;
                    Lookup::Settled(evidence)
                }
                Fate::Open => Lookup::NotYet,
                Fate::Void(code) => {
                    self.let_go(&settling).await;
                    Lookup::Never {
                        code: code.as_str().to_owned(),
                    }
                }
                Fate::Unclear(reason) => return Err(unavailable(reason)),
            },
        )
    }

    async fn try_arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        let from = cursor.map(str::parse).transpose();
        let from = from.map_err(|_| unavailable("the cursor is no block"))?;
        let part = self.inbox.read(&self.chain, from).await;
        let part = part.map_err(|error| unavailable(&error.to_string()))?;
        let at = Timestamp::from_secs(part.time);
        let seen = part.transfers.into_iter().map(|transfer| SeenTransfer {
            reference: transfer.transaction,
            log_index: transfer.log_index,
            payer: Some(WalletAddress::Evm(transfer.from)),
            atomic: transfer.amount,
            at,
        });
        Ok(ArrivalPage {
            transfers: seen.collect(),
            cursor: part.next_block.to_string(),
            read_up_to: at,
            has_more: part.has_more,
        })
    }

    async fn try_vouch(&self, payload: &PaymentPayload) -> Result<bool, RailUnavailable> {
        let (Body::Authorization(signed), Method::Eip3009 { token, .. }) =
            (payload.body(), self.spec.token.method())
        else {
            return Ok(false);
        };
        let Some(signature) = signed.contract_signature() else {
            return Ok(false);
        };
        let digest = signed.authorization.digest(token);
        let payer = signed.authorization.from;
        let answer = self.is_signed_by_contract(payer, &digest, &signature).await;
        answer.map_err(|error| unavailable(&error.to_string()))
    }
}

fn paths_of(spec: &RailSpec) -> Option<&PermitPaths> {
    match spec.token.method() {
        Method::Permit { paths, .. } => Some(paths),
        _ => None,
    }
}

fn direct_spender(spec: &RailSpec) -> Option<EvmAddress> {
    paths_of(spec)?.spender()
}

pub(crate) fn unknown(reason: &str) -> Settlement {
    Settlement::Unknown {
        reason: reason.to_owned(),
    }
}

pub(crate) fn unavailable(reason: &str) -> RailUnavailable {
    RailUnavailable {
        reason: reason.to_owned(),
    }
}

#[async_trait]
impl Rail for EvmRail {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }

    async fn health(&self) -> RailHealth {
        match tokio::time::timeout(self.timeouts.call, self.find_fault()).await {
            Ok(Ok(())) => RailHealth::Ready,
            Ok(Err(reason)) => RailHealth::Withdrawn { reason },
            Err(_) => RailHealth::Withdrawn {
                reason: "time ran out".to_owned(),
            },
        }
    }

    fn wallet(&self) -> Option<WalletBalance> {
        let balance = self.sender.balance.lock();
        *balance.unwrap_or_else(PoisonError::into_inner)
    }

    async fn check(&self, proof: &StoredProof) -> Result<Check, RailUnavailable> {
        let too_late = |_| unavailable("time ran out");
        let check = self.try_check(proof);
        tokio::time::timeout(self.timeouts.call, check)
            .await
            .map_err(too_late)?
    }

    async fn vouch(&self, payload: &PaymentPayload) -> Result<bool, RailUnavailable> {
        let too_late = |_| unavailable("time ran out");
        let vouch = self.try_vouch(payload);
        tokio::time::timeout(self.timeouts.call, vouch)
            .await
            .map_err(too_late)?
    }

    async fn settle(&self, payment: &ClaimedPayment) -> Settlement {
        let settle = self.try_settle(payment);
        tokio::time::timeout(self.timeouts.call, settle)
            .await
            .unwrap_or_else(|_| unknown("not in a block yet"))
    }

    async fn lookup(&self, payment: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        let too_late = |_| unavailable("time ran out");
        let lookup = self.try_lookup(payment);
        tokio::time::timeout(self.timeouts.call, lookup)
            .await
            .map_err(too_late)?
    }

    async fn tend(&self) {
        let tend = async {
            if let Err(error) = self.sender.tend_line().await {
                tracing::warn!(payment.rail = %self.spec.label, error = %error, "line not tended");
            }
            if let Err(error) = self.sender.recheck().await {
                tracing::warn!(payment.rail = %self.spec.label, error = %error, "not looked for");
            }
            // Whoever sends us crumbs must not make us spend the gas of the day on them.
            let least = Amount::new(self.sweep_cap.get() / CRUMBS);
            self.sweep_quietly(least).await;
        };
        if tokio::time::timeout(self.timeouts.call, tend)
            .await
            .is_err()
        {
            tracing::warn!(payment.rail = %self.spec.label, "tending the line takes too long");
        }
    }

    fn arrival_source(&self) -> Option<String> {
        Some(self.inbox.name())
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        let too_late = |_| unavailable("time ran out");
        let arrivals = self.try_arrivals(cursor);
        tokio::time::timeout(self.timeouts.call, arrivals)
            .await
            .map_err(too_late)?
    }
}
