//! What the server itself signs and sends to a chain.

use std::collections::BTreeMap;

use async_trait::async_trait;
use compute_domain::time::Timestamp;
use compute_engine::ports::{ChainTransaction, Lane, Outbox, SentState, StoreError};

use super::state::{MIN_TIME, State};
use super::table::At;
use super::tx::{ModelTx, no_row, require};

/// The largest number that a SQL database can store.
const NUMBER_MAX: u64 = i64::MAX.unsigned_abs();

const fn block_of(state: SentState) -> Option<u64> {
    match state {
        SentState::Mined { block } | SentState::Failed { block } => Some(block),
        SentState::Open | SentState::Void => None,
    }
}

fn inconsistent(hash: &str, what: &str) -> StoreError {
    StoreError::Inconsistent {
        table: "chain_transactions",
        detail: format!("{what} of {hash}"),
    }
}

/// What the columns of a row must fulfil.
fn check(row: &ChainTransaction) -> Result<(), StoreError> {
    let block = block_of(row.state);
    let optional = [row.nonce, row.valid_until, block];
    let mut numbers = optional.into_iter().flatten().chain([row.max_cost]);
    require(
        numbers.all(|number| number <= NUMBER_MAX),
        "a number can be stored",
    )?;
    require(!row.hash.is_empty(), "a transaction has a hash")?;
    require(!row.raw.is_empty(), "a transaction has bytes")?;
    require(
        row.group.is_none() || row.proof_key.is_some(),
        "a group is held by a payment",
    )?;
    require(
        row.concluded_at.is_none() == (row.state == SentState::Open),
        "what is not open is concluded",
    )
}

impl State {
    /// Writes a row and the indexes.
    fn write_chain_transaction(&mut self, row: ChainTransaction) -> Result<(), StoreError> {
        check(&row)?;
        let version = self.writing();
        self.unlist_chain_transaction(&row.hash);
        if let (Some(nonce), Some(_)) = (row.nonce, block_of(row.state)) {
            let key = (row.lane.clone(), nonce);
            require(
                !self.chain_included.has(None, &key),
                "a nonce is included once",
            )?;
            self.chain_included.put(version, key, row.hash.clone());
        }
        if let Some(proof_key) = &row.proof_key {
            let (proof_key, hash) = (proof_key.clone(), row.hash.clone());
            let key = (proof_key, row.created_at, row.nonce, hash);
            self.chain_by_proof.put(version, key, ());
        }
        match row.concluded_at {
            None => {
                let (lane, hash) = (row.lane.clone(), row.hash.clone());
                let key = (lane, row.nonce, row.created_at, hash);
                self.chain_open.put(version, key, ());
            }
            Some(concluded_at) => {
                let key = (concluded_at, row.hash.clone());
                self.chain_concluded.put(version, key, ());
            }
        }
        self.chain_transactions.put(version, row.hash.clone(), row);
        Ok(())
    }

    /// Takes a row out of the indexes.
    fn unlist_chain_transaction(&mut self, hash: &str) {
        let hash = hash.to_owned();
        let Some(row) = self.chain_transactions.get(None, &hash).cloned() else {
            return;
        };
        let version = self.writing();
        if let (Some(nonce), Some(_)) = (row.nonce, block_of(row.state)) {
            self.chain_included
                .remove(version, &(row.lane.clone(), nonce));
        }
        if let Some(proof_key) = row.proof_key {
            let key = (proof_key, row.created_at, row.nonce, hash.clone());
            self.chain_by_proof.remove(version, &key);
        }
        match row.concluded_at {
            None => {
                let key = (row.lane, row.nonce, row.created_at, hash);
                self.chain_open.remove(version, &key);
            }
            Some(concluded_at) => {
                self.chain_concluded.remove(version, &(concluded_at, hash));
            }
        }
    }

    /// The transactions of a payment, oldest first.
    fn chain_transactions_of(&self, at: At, proof_key: &str) -> Vec<ChainTransaction> {
        let first = (proof_key.to_owned(), MIN_TIME, None, String::new());
        self.chain_by_proof
            .range(at, first..)
            .take_while(|((key, ..), ())| key == proof_key)
            .filter_map(|((.., hash), ())| self.chain_transactions.get(at, hash))
            .cloned()
            .collect()
    }
}

#[async_trait]
impl Outbox for ModelTx {
    async fn lock_lane(&mut self, lane: &Lane, _now: Timestamp) -> Result<u64, StoreError> {
        let next = self.write(|state| {
            let next = state.lanes.get(None, lane).copied().unwrap_or(0);
            let version = state.writing();
            state.lanes.put(version, lane.clone(), next);
            Ok(next)
        })?;
        self.locked_lanes.insert(lane.clone());
        Ok(next)
    }

    async fn set_next_nonce(
        &mut self,
        lane: &Lane,
        next: u64,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_locked = self.locked_lanes.contains(lane);
        self.write(|state| {
            require(is_locked, "a nonce changes under the lane's lock only")?;
            require(next <= NUMBER_MAX, "a number can be stored")?;
            let version = state.writing();
            state.lanes.put(version, lane.clone(), next);
            Ok(())
        })
    }

    async fn add_chain_transaction(
        &mut self,
        transaction: &ChainTransaction,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            check(transaction)?;
            let hash = &transaction.hash;
            if let Some(known) = state.chain_transactions.get(None, hash) {
                let is_same = known.raw == transaction.raw
                    && known.lane == transaction.lane
                    && known.nonce == transaction.nonce
                    && known.purpose == transaction.purpose
                    && known.proof_key == transaction.proof_key;
                return if is_same {
                    Ok(())
                } else {
                    Err(inconsistent(hash, "another transaction under the hash"))
                };
            }
            let has_lane = state.lanes.has(None, &transaction.lane);
            require(has_lane, "a transaction has a lane")?;
            state.write_chain_transaction(transaction.clone())
        })
    }

    async fn find_chain_transaction(
        &mut self,
        hash: &str,
    ) -> Result<Option<ChainTransaction>, StoreError> {
        let hash = hash.to_owned();
        Ok(self.read(|state, at| state.chain_transactions.get(at, &hash).cloned()))
    }

    async fn chain_transactions_of(
        &mut self,
        proof_key: &str,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        Ok(self.read(|state, at| state.chain_transactions_of(at, proof_key)))
    }

    async fn chain_transactions_at(
        &mut self,
        lane: &Lane,
        nonce: u64,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        require(nonce <= NUMBER_MAX, "a number can be stored")?;
        Ok(self.read(|state, at| {
            let all = state.chain_transactions.range(at, String::new()..);
            let is_at = |it: &&ChainTransaction| it.lane == *lane && it.nonce == Some(nonce);
            let mut found: Vec<_> = all.map(|(_, it)| it).filter(is_at).cloned().collect();
            found.sort_by(|a, b| (a.created_at, &a.hash).cmp(&(b.created_at, &b.hash)));
            found
        }))
    }

    async fn open_chain_transactions(
        &mut self,
        lane: &Lane,
        limit: u32,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let first = (lane.clone(), None, MIN_TIME, String::new());
            let open = state.chain_open.range(at, first..);
            open.take_while(|((of, ..), ())| of == lane)
                .filter_map(|((.., hash), ())| state.chain_transactions.get(at, hash))
                .take(limit)
                .cloned()
                .collect()
        }))
    }

    async fn mined_chain_transactions(
        &mut self,
        lane: &Lane,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ChainTransaction>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.read(|state, at| {
            let all = state.chain_transactions.range(at, String::new()..);
            let is_mined = |it: &&ChainTransaction| {
                it.lane == *lane
                    && matches!(it.state, SentState::Mined { .. })
                    && it.concluded_at.is_some_and(|moment| moment >= since)
            };
            let mut found: Vec<_> = all.map(|(_, it)| it).filter(is_mined).cloned().collect();
            found.sort_by(|a, b| (b.concluded_at, &a.hash).cmp(&(a.concluded_at, &b.hash)));
            found.truncate(limit);
            found
        }))
    }

    async fn find_group_holder(
        &mut self,
        lane: &Lane,
        group: &str,
        since: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.chain_transactions.iter(at).map(|(_, row)| row);
            rows.filter(|row| row.lane == *lane && row.group.as_deref() == Some(group))
                .filter(|row| row.created_at >= since)
                .min_by_key(|row| (row.created_at, row.nonce, &row.hash))
                .and_then(|row| row.proof_key.clone())
        }))
    }

    async fn release_group(&mut self, proof_key: &str) -> Result<(), StoreError> {
        self.write(|state| {
            for row in state.chain_transactions_of(None, proof_key) {
                state.write_chain_transaction(ChainTransaction { group: None, ..row })?;
            }
            Ok(())
        })
    }

    async fn conclude_chain_transaction(
        &mut self,
        hash: &str,
        state: SentState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let conclusion = state;
        self.write(|state| {
            require(
                conclusion != SentState::Open,
                "what is still open is not concluded",
            )?;
            let row = state.chain_transactions.get(None, &hash.to_owned());
            let row = row.cloned().ok_or_else(|| no_row("chain_transactions"))?;
            if row.state == conclusion {
                return Ok(());
            }
            if row.state != SentState::Open {
                return Err(inconsistent(hash, "another conclusion"));
            }
            state.write_chain_transaction(ChainTransaction {
                state: conclusion,
                concluded_at: Some(now),
                ..row
            })
        })
    }

    async fn lane_cost_since(&mut self, lane: &Lane, since: Timestamp) -> Result<u64, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.chain_transactions.iter(at).map(|(_, row)| row);
            let mut costs: BTreeMap<_, u64> = BTreeMap::new();
            for row in rows
                .filter(|row| row.lane == *lane && row.state != SentState::Void)
                .filter(|row| row.concluded_at.is_none_or(|end| end >= since))
            {
                // Those without a nonce count each.
                let apart = row.nonce.is_none().then_some(&row.hash);
                let cost = costs.entry((row.nonce, apart)).or_default();
                *cost = row.max_cost.max(*cost);
            }
            costs
                .into_values()
                .fold(0, |sum: u64, cost| sum.saturating_add(cost))
        }))
    }

    async fn forget_chain_transactions(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.write(|state| {
            let concluded = state.chain_concluded.iter(None).map(|(key, ())| key);
            let old: Vec<String> = concluded
                .take_while(|(concluded_at, _)| *concluded_at < before)
                .filter_map(|(_, hash)| state.chain_transactions.get(None, hash))
                .filter(|row| row.group.is_none())
                .map(|row| row.hash.clone())
                .take(limit)
                .collect();
            let version = state.writing();
            for hash in &old {
                state.unlist_chain_transaction(hash);
                state.chain_transactions.remove(version, hash);
            }
            Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
        })
    }
}
