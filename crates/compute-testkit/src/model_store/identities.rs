//! Owners, wallets, nonces.

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Identities, StoreError};
use compute_wallet::EvmAddress;

use super::tx::{ModelTx, require};
use crate::planted::PlantedBug;

#[async_trait]
impl Identities for ModelTx {
    async fn find_owner(&mut self, wallet: &WalletAddress) -> Result<Option<OwnerId>, StoreError> {
        Ok(self.read(|state, at| state.wallets.get(at, wallet).copied()))
    }

    async fn ensure_owner(
        &mut self,
        candidate: OwnerId,
        wallet: &WalletAddress,
        now: Timestamp,
    ) -> Result<OwnerId, StoreError> {
        if let Some(owner) = self.find_owner(wallet).await? {
            return Ok(owner);
        }
        self.write(|state| {
            let version = state.writing();
            state.wallets.put(version, *wallet, candidate);
            state
                .wallets_by_owner
                .put(version, (candidate, *wallet), ());
            if !state.owners.has(None, &candidate) {
                state.owners.put(version, candidate, now);
            }
            Ok(candidate)
        })
    }

    async fn create_owner(&mut self, owner: OwnerId, now: Timestamp) -> Result<(), StoreError> {
        self.write(|state| {
            require(!state.owners.has(None, &owner), "an owner is written once")?;
            let version = state.writing();
            state.owners.put(version, owner, now);
            Ok(())
        })
    }

    async fn wallets_of(&mut self, owner: OwnerId) -> Result<Vec<WalletAddress>, StoreError> {
        Ok(self.read(|state, at| {
            let least = WalletAddress::Evm(EvmAddress::new([0; 20]));
            let wallets = state.wallets_by_owner.range(at, (owner, least)..);
            wallets
                .take_while(|((holder, _), ())| *holder == owner)
                .map(|((_, wallet), ())| *wallet)
                .collect()
        }))
    }

    async fn spend_nonce(
        &mut self,
        wallet: &WalletAddress,
        nonce: &str,
        now: Timestamp,
        forget_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let key = (*wallet, nonce.to_owned());
            if state.nonces.has(None, &key) {
                return Ok(state.has_bug(PlantedBug::NonceNotSpent));
            }
            let version = state.writing();
            let end = (forget_at, *wallet, nonce.to_owned());
            state.nonces_by_end.put(version, end, ());
            state.nonces.put(version, key, now);
            Ok(true)
        })
    }

    async fn forget_nonces(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(|state| {
            let version = state.writing();
            let ended = state.nonces_by_end.iter(None);
            let ended: Vec<_> = ended
                .map(|(end, ())| end.clone())
                .take_while(|(forget_at, ..)| *forget_at <= now)
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .collect();
            let mut forgotten: u64 = 0;
            for end in ended {
                state.nonces_by_end.remove(version, &end);
                let (_, wallet, nonce) = end;
                state.nonces.remove(version, &(wallet, nonce));
                forgotten = forgotten.saturating_add(1);
            }
            Ok(forgotten)
        })
    }
}
