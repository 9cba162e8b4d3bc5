//! The hash chain of a credits account: each row vouches for itself and for the row before it, so a
//! row that was changed, removed or slipped in later is seen by whoever walks the chain.

use compute_domain::ledger::Transfer;
use compute_domain::money::Usd;
use sha2::{Digest, Sha256};

/// What stands before the first row of a chain.
pub const ORIGIN: [u8; 32] = [0; 32];

/// The place of a transfer in the chain of the credits account it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Counts the account's rows, from 1.
    pub seq: i64,
    /// What the account holds after the row.
    pub balance_after: Usd,
}

/// The hash of a row: SHA-256 over the hash of the row before it and everything the row says, as
/// lines of text.
pub fn chain_hash(previous: &[u8; 32], link: Link, transfer: &Transfer) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    let lines = format!(
        "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
        link.seq,
        link.balance_after.micros(),
        transfer.id,
        transfer.debit,
        transfer.credit,
        transfer.amount.micros(),
        transfer.reason,
        transfer.cause,
        transfer.created_at.millis(),
    );
    hasher.update(lines.as_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use compute_domain::id::{OperationId, OwnerId, TransferId};
    use compute_domain::ledger::{Account, TransferReason};
    use compute_domain::time::Timestamp;

    use super::*;

    fn uuid(number: u128) -> String {
        format!("00000000-0000-0000-0000-{number:012}")
    }

    fn transfer() -> Transfer {
        let owner: OwnerId = uuid(3).parse().unwrap();
        Transfer {
            id: uuid(1).parse::<TransferId>().unwrap(),
            debit: Account::Sales,
            credit: Account::Credits(owner),
            amount: Usd::from_micros(5).unwrap(),
            reason: TransferReason::PaymentRefund,
            cause: uuid(2).parse::<OperationId>().unwrap().into(),
            created_at: Timestamp::from_millis(4),
        }
    }

    /// Anything that changes in a row, or in front of it, changes its hash.
    #[test]
    fn a_hash_covers_all_of_a_row() {
        let balance_after = Usd::from_micros(7).unwrap();
        let link = Link {
            seq: 1,
            balance_after,
        };
        let hash = chain_hash(&ORIGIN, link, &transfer());
        assert_eq!(hash, chain_hash(&ORIGIN, link, &transfer()));
        let later = Link { seq: 2, ..link };
        let richer = Link {
            balance_after: Usd::from_micros(8).unwrap(),
            ..link
        };
        let mut hashes = vec![
            hash,
            chain_hash(&hash, link, &transfer()),
            chain_hash(&ORIGIN, later, &transfer()),
            chain_hash(&ORIGIN, richer, &transfer()),
        ];
        let other_owner: OwnerId = uuid(9).parse().unwrap();
        let changes: [fn(&mut Transfer); 5] = [
            |row| row.id = uuid(9).parse().unwrap(),
            |row| row.amount = Usd::from_micros(6).unwrap(),
            |row| row.reason = TransferReason::EarlyDestroy,
            |row| row.cause = uuid(9).parse::<OperationId>().unwrap().into(),
            |row| row.created_at = Timestamp::from_millis(5),
        ];
        for change in changes {
            let mut row = transfer();
            change(&mut row);
            hashes.push(chain_hash(&ORIGIN, link, &row));
        }
        let mut row = transfer();
        row.credit = Account::Credits(other_owner);
        hashes.push(chain_hash(&ORIGIN, link, &row));
        row = transfer();
        row.debit = Account::Suspense;
        hashes.push(chain_hash(&ORIGIN, link, &row));
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
