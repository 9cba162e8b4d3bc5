//! The ledger: transfers that never change, and the accounts a rule depends on.

use async_trait::async_trait;
use compute_domain::id::{InstanceId, OperationId, OwnerId, TransferId};
use compute_domain::ledger::{Account, Cause, CreditAccount, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::time::Timestamp;
use compute_engine::ledger_chain::{Link, chain_hash};
use compute_engine::ports::{Ledger, Movement, Posted, StoreError};

use super::state::{AccountRow, State, TransferRow, credit_account, least};
use super::table::At;
use super::tx::{ModelTx, rejected, require};
use crate::planted::PlantedBug;

/// The credits account that a transfer touches; no reason allows one on both sides.
pub(super) const fn credits_side(transfer: &Transfer) -> Option<(OwnerId, Side)> {
    match (&transfer.debit, &transfer.credit) {
        (Account::Credits(owner), _) => Some((*owner, Side::Taken)),
        (_, Account::Credits(owner)) => Some((*owner, Side::Given)),
        _ => None,
    }
}

/// Which way a credits account goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Given,
    Taken,
}

impl AccountRow {
    /// The account after one more transfer.
    pub(super) const fn after(self, transfer: &Transfer, side: Side) -> Self {
        let amount = transfer.amount.micros();
        let mut next = self;
        next.seq = self.seq.saturating_add(1);
        match (side, transfer.reason) {
            (Side::Taken, _) => next.spent = self.spent.saturating_add(amount),
            (Side::Given, reason) if reason.is_reversal() => {
                next.spent = self.spent.saturating_sub(amount);
            }
            (Side::Given, _) => next.deposited = self.deposited.saturating_add(amount),
        }
        next.balance = next.deposited.saturating_sub(next.spent);
        next
    }

    /// What the ledger row says that the account holds after it. A row cannot say less than nothing.
    fn balance_after(self) -> Result<Usd, StoreError> {
        Usd::from_micros(self.balance.max(0))
            .map_err(|_| rejected("a balance is an amount of money"))
    }
}

impl State {
    /// The transfers with one cause.
    pub(super) fn transfers_for(&self, at: At, cause: Cause) -> Vec<&TransferRow> {
        match cause {
            Cause::Operation(id) => self.transfers_of(at, id),
            Cause::Arrival(id) => self
                .transfers_by_arrival
                .range(at, (id, 0)..=(id, u64::MAX))
                .filter_map(|((_, number), ())| self.transfers.get(at, number))
                .collect(),
            Cause::Reserve(id) => self
                .transfers_by_reserve
                .range(at, (id, 0)..=(id, u64::MAX))
                .filter_map(|((_, number), ())| self.transfers.get(at, number))
                .collect(),
        }
    }

    /// How an owner's money moved, in no order.
    fn movements_of(&self, at: At, owner: OwnerId) -> Vec<&TransferRow> {
        let own = self
            .transfers_by_account
            .range(at, (owner, i64::MIN)..=(owner, i64::MAX))
            .filter_map(|(_, number)| self.transfers.get(at, number));
        let instances = self
            .instances_by_owner
            .range(at, (owner, least::<InstanceId>())..)
            .take_while(|((holder, _), ())| *holder == owner);
        let work = instances.flat_map(|((_, id), ())| self.operations_of(at, *id));
        let paid = work.flat_map(|operation| self.transfers_of(at, operation.id));
        let sales = paid.filter(|row| row.transfer.reason == TransferReason::Sale);
        own.chain(sales).collect()
    }

    fn movement(&self, at: At, row: &TransferRow) -> Movement {
        let work = row.transfer.cause.operation();
        let operation = work.and_then(|id| self.operations.get(at, &id));
        let payment = work.and_then(|id| self.payment_of(at, id));
        let evidence = payment.and_then(|row| row.payment.evidence());
        Movement {
            transfer: row.transfer.clone(),
            link: row.link.map(|(link, _)| link),
            instance: operation.and_then(|row| row.operation.instance),
            reference: evidence.map(|evidence| evidence.reference.clone()),
        }
    }

    /// Whether a transfer of this operation and reason stands there already.
    fn is_posted(&self, transfer: &Transfer) -> bool {
        let is_unique =
            !(self.has_bug(PlantedBug::RefundWithoutUnique) && transfer.reason.is_giving_back());
        let posted = self.transfers_for(None, transfer.cause);
        let same = |row: &&TransferRow| row.transfer.reason == transfer.reason;
        is_unique && posted.iter().any(same)
    }

    fn write_transfer(&mut self, transfer: &Transfer) -> Result<(), StoreError> {
        let version = self.writing();
        let number = self.next_number();
        let mut link = None;
        if let Some((owner, side)) = credits_side(transfer) {
            let before = self.account(None, owner);
            let mut account = before.after(transfer, side);
            let place = Link {
                seq: account.seq,
                balance_after: account.balance_after()?,
            };
            account.hash = chain_hash(&before.hash, place, transfer);
            link = Some((place, account.hash));
            self.transfers_by_account
                .put(version, (owner, account.seq), number);
            self.accounts.put(version, owner, account);
        }
        self.transfers_by_id.put(version, transfer.id, number);
        match transfer.cause {
            Cause::Operation(id) => {
                let key = (id, transfer.created_at, transfer.id, number);
                self.transfers_by_operation.put(version, key, ());
            }
            Cause::Arrival(id) => self.transfers_by_arrival.put(version, (id, number), ()),
            Cause::Reserve(id) => self.transfers_by_reserve.put(version, (id, number), ()),
        }
        let row = TransferRow {
            transfer: transfer.clone(),
            link,
        };
        self.transfers.put(version, number, row);
        Ok(())
    }
}

#[async_trait]
impl Ledger for ModelTx {
    async fn post_transfer(&mut self, transfer: &Transfer) -> Result<Posted, StoreError> {
        let judged = match credits_side(transfer) {
            Some((owner, Side::Taken)) => {
                Some(self.read_credits(|state, at| state.account(at, owner).balance))
            }
            _ => None,
        };
        self.write(|state| {
            require(
                transfer.reason.allows(&transfer.debit, &transfer.credit),
                "a reason allows two kinds of accounts",
            )?;
            require(transfer.amount > Usd::ZERO, "a transfer moves something")?;
            if state.is_posted(transfer) {
                return Ok(Posted::Already);
            }
            if judged.is_some_and(|balance| balance < transfer.amount.micros()) {
                return Ok(Posted::Insufficient);
            }
            let has_cause = match transfer.cause {
                Cause::Operation(id) => state.operations.has(None, &id),
                Cause::Arrival(id) => state.arrivals.has(None, &id),
                Cause::Reserve(id) => state.reserves.has(None, &id),
            };
            require(
                has_cause,
                "a transfer is caused by an operation, an arrival or a reserve",
            )?;
            let is_repeated = state.has_bug(PlantedBug::RefundWithoutUnique);
            require(
                is_repeated || !state.transfers_by_id.has(None, &transfer.id),
                "a transfer is written once",
            )?;
            state.write_transfer(transfer)?;
            Ok(Posted::New)
        })
    }

    async fn credits_of(&mut self, owner: OwnerId) -> Result<CreditAccount, StoreError> {
        let account = self.read_credits(|state, at| state.account(at, owner));
        credit_account(&account).ok_or_else(|| overdrawn(owner))
    }

    async fn lock_credits(&mut self, owner: OwnerId) -> Result<Usd, StoreError> {
        let account = self.read_credits(|state, at| state.account(at, owner));
        Usd::from_micros(account.balance).map_err(|_| overdrawn(owner))
    }

    async fn transfers_of(&mut self, operation: OperationId) -> Result<Vec<Transfer>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.transfers_of(at, operation).into_iter();
            rows.map(|row| row.transfer.clone()).collect()
        }))
    }

    async fn list_movements(
        &mut self,
        owner: OwnerId,
        after: Option<TransferId>,
        limit: u32,
    ) -> Result<Vec<Movement>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let mut rows = state.movements_of(at, owner);
            if let Some(after) = after {
                let number = state.transfers_by_id.get(at, &after);
                let cursor = number.and_then(|number| state.transfers.get(at, number));
                let Some(cursor) = cursor.map(place_of) else {
                    return Vec::new();
                };
                rows.retain(|row| place_of(row) < cursor);
            }
            rows.sort_by_key(|row| std::cmp::Reverse(place_of(row)));
            let page = rows.into_iter().take(limit);
            page.map(|row| state.movement(at, row)).collect()
        }))
    }
}

/// What a history is sorted by.
fn place_of(row: &TransferRow) -> (Timestamp, i64, TransferId) {
    let seq = row.link.map_or(0, |(link, _)| link.seq);
    (row.transfer.created_at, seq, row.transfer.id)
}

fn overdrawn(owner: OwnerId) -> StoreError {
    StoreError::Inconsistent {
        table: "ledger_accounts",
        detail: format!("balance of {}", Account::Credits(owner)),
    }
}
