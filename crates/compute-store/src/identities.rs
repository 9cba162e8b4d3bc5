//! Owners, wallets, nonces.

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::OwnerId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Identities, StoreError};

use crate::row::RowName;
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

const FIND_OWNER: &str = "SELECT owner_id
FROM wallets
WHERE namespace = $1 AND address = $2";

const INSERT_WALLET: &str = "INSERT INTO wallets (namespace, address, owner_id, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (namespace, address) DO NOTHING";

const INSERT_OWNER: &str = "INSERT INTO owners (id, created_at)
VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING";

const LIST_WALLETS: &str = "SELECT namespace, address
FROM wallets
WHERE owner_id = $1";

const SPEND_NONCE: &str = "INSERT INTO auth_nonces (namespace, address, nonce, spent_at, forget_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (namespace, address, nonce) DO NOTHING";

const FORGET_NONCES: &str = "DELETE FROM auth_nonces
WHERE (namespace, address, nonce) IN (
    SELECT namespace, address, nonce FROM auth_nonces
    WHERE forget_at <= $1
    ORDER BY forget_at
    LIMIT $2)";

#[async_trait]
impl Identities for StoreTx {
    async fn find_owner(&mut self, wallet: &WalletAddress) -> Result<Option<OwnerId>, StoreError> {
        let address = wallet.to_string();
        let namespace = wallet.namespace().as_str();
        let row: Option<(String,)> = fetch!(
            fetch_optional,
            self,
            "wallets",
            FIND_OWNER,
            namespace,
            &address
        )?;
        row.map(|(owner,)| RowName::new("wallets", &address).text("owner_id", &owner))
            .transpose()
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
        let address = wallet.to_string();
        // The wallet goes first and decides who made the owner; its reference to the owner is
        // checked at the commit. A replica that loses the race waits here until the other commits.
        let won = execute!(
            self,
            "wallets",
            INSERT_WALLET,
            wallet.namespace().as_str(),
            &address,
            candidate.to_string(),
            now.millis(),
        )?;
        if won == 1 {
            execute!(
                self,
                "owners",
                INSERT_OWNER,
                candidate.to_string(),
                now.millis()
            )?;
            return Ok(candidate);
        }
        let owner = self.find_owner(wallet).await?;
        owner.ok_or_else(|| self.fail(RowName::new("wallets", &address).bad("row")))
    }

    async fn create_owner(&mut self, owner: OwnerId, now: Timestamp) -> Result<(), StoreError> {
        let rows = execute!(
            self,
            "owners",
            INSERT_OWNER,
            owner.to_string(),
            now.millis()
        )?;
        self.exactly_one("owners", rows)
    }

    async fn wallets_of(&mut self, owner: OwnerId) -> Result<Vec<WalletAddress>, StoreError> {
        let rows: Vec<(String, String)> =
            fetch!(fetch_all, self, "wallets", LIST_WALLETS, owner.to_string())?;
        let wallets = rows.into_iter().map(|(namespace, address)| {
            let name = RowName::new("wallets", &address);
            let wallet: WalletAddress = name.text("address", &address)?;
            if wallet.namespace().as_str() == namespace {
                Ok(wallet)
            } else {
                Err(name.bad("namespace"))
            }
        });
        let mut wallets = wallets.collect::<Result<Vec<_>, _>>()?;
        // Sorted here: the order of texts depends on how the database was set up.
        wallets.sort_unstable();
        Ok(wallets)
    }

    async fn spend_nonce(
        &mut self,
        wallet: &WalletAddress,
        nonce: &str,
        now: Timestamp,
        forget_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let spent = execute!(
            self,
            "auth_nonces",
            SPEND_NONCE,
            wallet.namespace().as_str(),
            wallet.to_string(),
            nonce,
            now.millis(),
            forget_at.millis(),
        )?;
        Ok(spent == 1)
    }

    async fn forget_nonces(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        execute!(self, "auth_nonces", FORGET_NONCES, now.millis(), limit)
    }
}
