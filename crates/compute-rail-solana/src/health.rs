//! Whether the rail may be offered.

use std::sync::PoisonError;

use compute_engine::ports::WalletBalance;
use compute_wallet::SolanaAddress;

use crate::accounts::{CLOCK, TokenAccount, find_mint_fault, read_clock, read_token_account};
use crate::rail::SolanaRail;
use crate::rpc::{Commitment, RpcError};

/// A chain whose newest block is older than this stands still, or the node is behind, in seconds.
const MAX_HEAD_AGE_S: u64 = 60;

/// The signature of no transaction: 64 zero bytes.
const NO_SIGNATURE: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// What one payment costs at most: the base fee of two signatures and the usual limit of priority.
const USUAL_FEE_LAMPORTS: u64 = 50_000;

impl SolanaRail {
    /// What speaks against offering the rail.
    ///
    /// # Errors
    /// The reason, for the operator.
    pub(crate) async fn find_fault(&self) -> Result<(), String> {
        let text = |error: RpcError| error.to_string();
        if !self.is_network_right().await.map_err(text)? {
            return Err("the chain node serves another network".to_owned());
        }
        let head_s = self.head_time(Commitment::Confirmed).await.map_err(text)?;
        if head_s.saturating_add(MAX_HEAD_AGE_S) < self.book.now().secs() {
            return Err("the chain node is behind, or the chain stands still".to_owned());
        }
        // A node that keeps no history can send, and can never show what became of it.
        let record = self.node.record(NO_SIGNATURE).await;
        record.map_err(|error| format!("the history of the chain is needed: {error}"))?;
        let terms = self.token.terms();
        let mint = terms.mint();
        let mint = self.node.account(&mint, Commitment::Confirmed).await;
        if let Some(fault) = find_mint_fault(mint.map_err(text)?.as_ref(), terms) {
            return Err(fault.to_owned());
        }
        let pay_to = self.token.pay_to(&self.spec.pay_to.address());
        let destination = pay_to.ok_or("the recipient is not on Solana")?;
        let destination = destination.destination(terms);
        match self.find_token_account(&destination).await.map_err(text)? {
            Some(account) if account.is_usable => {}
            Some(_) => return Err(format!("the token account {destination} is frozen")),
            None => {
                return Err(format!(
                    "the recipient has no token account: create {destination} first"
                ));
            }
        }
        let balance = self.balance().await.map_err(text)?;
        let found = WalletBalance {
            unit: "lamports",
            held: balance.into(),
            floor: self.min_balance_lamports.into(),
        };
        *self.wallet.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        if balance < self.min_balance_lamports {
            let fee_payer = self.fee_payer();
            return Err(format!(
                "the fee payer {fee_payer} has {balance} lamports, fewer than {}",
                self.min_balance_lamports
            ));
        }
        let spending = self.book.can_spend(USUAL_FEE_LAMPORTS).await;
        spending.map_err(|error| error.to_string())
    }

    /// Whether the node serves the network of our token.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn is_network_right(&self) -> Result<bool, RpcError> {
        let genesis = self.node.genesis_hash().await?;
        // CAIP-2 names a network by the first 32 characters of the hash of its first block.
        let network = self.spec.token.network().caip2();
        let reference = network.strip_prefix("solana:").unwrap_or(network);
        Ok(genesis.get(..32) == Some(reference))
    }

    /// The time of the newest block, in Unix seconds, by the chain's own clock.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn head_time(&self, commitment: Commitment) -> Result<u64, RpcError> {
        let address = SolanaAddress::parse(CLOCK).map_err(|_| RpcError::new("no clock"))?;
        let clock = self.node.account(&address, commitment).await?;
        clock
            .as_ref()
            .and_then(read_clock)
            .ok_or_else(|| RpcError::new("it does not show the clock of the chain"))
    }

    /// What the fee payer has, in lamports.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn balance(&self) -> Result<u64, RpcError> {
        let account = self
            .node
            .account(&self.fee_payer(), Commitment::Confirmed)
            .await?;
        Ok(account.map_or(0, |account| account.lamports))
    }

    /// A token account of our token, if it exists.
    ///
    /// # Errors
    /// When the node does not answer.
    pub(crate) async fn find_token_account(
        &self,
        address: &SolanaAddress,
    ) -> Result<Option<TokenAccount>, RpcError> {
        let account = self.node.account(address, Commitment::Confirmed).await?;
        let terms = self.token.terms();
        let account =
            account.and_then(|account| read_token_account(&account, terms.token_program()));
        Ok(account.filter(|account| account.mint == terms.mint()))
    }
}
