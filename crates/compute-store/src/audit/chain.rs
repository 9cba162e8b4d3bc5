//! M8: the hash chain of each credits account, walked from its first transfer; and M2 on the way:
//! what each transfer says is left.

use compute_domain::ledger::{Account, Transfer};
use compute_domain::money::Usd;
use compute_engine::ledger_chain::{Link, ORIGIN, chain_hash};
use compute_engine::ports::StoreError;

use super::Findings;
use crate::ledger::{LinkedRow, transfer_columns};
use crate::statement::fetch;
use crate::tx::StoreTx;

/// How many transfers are in memory at once.
const PAGE: i64 = 1_000;

const WALK: &str = concat!(
    "SELECT ",
    transfer_columns!(),
    ", credits_account, credits_seq, balance_after_micros, chain_hash
FROM ledger_transfers
WHERE (credits_account, credits_seq) > ($1, $2)
ORDER BY credits_account, credits_seq
LIMIT $3"
);

const ENDS: &str = "SELECT last_seq, last_hash
FROM ledger_accounts
WHERE id = $1";

/// How far the walk along one account's chain is.
struct Walk {
    account: String,
    seq: i64,
    balance: Usd,
    hash: [u8; 32],
    /// After a break every later hash is wrong too, which says nothing new.
    is_broken: bool,
}

impl Walk {
    fn start(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            seq: 0,
            balance: Usd::ZERO,
            hash: ORIGIN,
            is_broken: false,
        }
    }

    /// Goes on by one row.
    fn step(&mut self, row: LinkedRow, findings: &mut Findings) {
        let at = format!(
            "transfer {} ({} of {})",
            row.transfer.id, row.credits_seq, row.credits_account
        );
        let expected = self.seq.saturating_add(1);
        self.seq = row.credits_seq;
        if row.credits_seq != expected {
            self.break_at(
                findings,
                format!("{at} follows number {}", expected.saturating_sub(1)),
            );
        }
        let stored = row.chain_hash.as_deref().map(<[u8; 32]>::try_from);
        let (Some(Ok(stored)), Some(balance)) = (stored, row.balance_after_micros) else {
            return self.break_at(findings, format!("{at} has no place in the chain"));
        };
        let Ok(balance) = Usd::from_micros(balance) else {
            return self.break_at(findings, format!("{at} leaves {balance}"));
        };
        let transfer = match row.transfer.parse() {
            Ok(transfer) => transfer,
            Err(error) => return self.break_at(findings, format!("{at}: {error}")),
        };
        if self.balance_after(&transfer) != Some(balance) {
            findings.add(
                "M2",
                format!(
                    "{at} leaves {}; before it there were {}, and it moves {}",
                    balance.micros(),
                    self.balance.micros(),
                    transfer.amount.micros()
                ),
            );
        }
        self.balance = balance;
        let link = Link {
            seq: row.credits_seq,
            balance_after: balance,
        };
        let hash = chain_hash(&self.hash, link, &transfer);
        self.hash = stored;
        if hash != stored {
            self.break_at(findings, format!("{at} is not what was written"));
        }
    }

    fn balance_after(&self, transfer: &Transfer) -> Option<Usd> {
        let sum = match transfer.debit {
            Account::Credits(_) => self.balance.checked_sub(transfer.amount),
            _ => self.balance.checked_add(transfer.amount),
        };
        sum.ok()
    }

    fn break_at(&mut self, findings: &mut Findings, detail: String) {
        if !self.is_broken {
            findings.add("M8", detail);
        }
        self.is_broken = true;
    }
}

impl StoreTx {
    /// Walks all chains, one after the other.
    pub(super) async fn walk_chains(&mut self, findings: &mut Findings) -> Result<(), StoreError> {
        let mut walk = Walk::start("");
        loop {
            let rows: Vec<LinkedRow> = fetch!(
                fetch_all,
                self,
                "ledger_transfers",
                WALK,
                &walk.account,
                walk.seq,
                PAGE
            )?;
            let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
            for row in rows {
                if row.credits_account != walk.account {
                    self.check_end(&mut walk, findings).await?;
                    walk = Walk::start(&row.credits_account);
                }
                walk.step(row, findings);
            }
            if is_last || findings.is_full("M8") {
                return self.check_end(&mut walk, findings).await;
            }
        }
    }

    /// The account remembers its last hash, so the last rows cannot vanish unseen.
    async fn check_end(
        &mut self,
        walk: &mut Walk,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let account = walk.account.clone();
        let end: Option<(i64, Vec<u8>)> =
            fetch!(fetch_optional, self, "ledger_accounts", ENDS, &account)?;
        if let Some((last_seq, last_hash)) = end
            && (last_seq != walk.seq || last_hash != walk.hash)
        {
            let detail = format!(
                "the chain of {account} ends with number {}; the account remembers number \
                 {last_seq}, or another hash",
                walk.seq
            );
            walk.break_at(findings, detail);
        }
        Ok(())
    }
}
