//! What arrives at addresses: the token's own log of transfers to them, once the chain cannot undo it.

use core::sync::atomic::{AtomicU64, Ordering};

use compute_wallet::EvmAddress;
use serde_json::{Value, json};

use crate::abi;
use crate::chain::Chain;
use crate::node::{Log, NodeError};

/// Blocks in one read; public nodes allow 2 000 to 10 000.
const WINDOW_BLOCKS: u64 = 2_000;

/// Transfers in one part, unless a single block has more.
const MAX_TRANSFERS: usize = 1_000;

/// Addresses that are paid in one token.
#[derive(Debug)]
pub struct Inbox {
    chain_id: u64,
    token: EvmAddress,
    addresses: Vec<EvmAddress>,
    /// How many blocks the node gave at once when it was last asked: fewer when they hold much.
    window: AtomicU64,
}

/// A transfer from somebody else to one of the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxTransfer {
    /// Its transaction, in lower case.
    pub transaction: String,
    /// Its place in the block.
    pub log_index: u32,
    /// Who sent it.
    pub from: EvmAddress,
    /// Atomic units; above zero.
    pub amount: u128,
}

/// The transfers in a range of blocks that nothing undoes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxPart {
    /// All of them, in the chain's order.
    pub transfers: Vec<InboxTransfer>,
    /// The block at which the next part begins.
    pub next_block: u64,
    /// The time of the last block of this part; Unix seconds.
    pub time: u64,
    /// Whether more is beyond doubt already.
    pub has_more: bool,
}

impl Inbox {
    /// Addresses of one owner, in any order. What moves between them is no arrival.
    #[must_use]
    pub fn new(chain_id: u64, token: EvmAddress, addresses: impl Into<Vec<EvmAddress>>) -> Self {
        let mut addresses = addresses.into();
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            chain_id,
            token,
            addresses,
            window: AtomicU64::new(WINDOW_BLOCKS),
        }
    }

    /// Chain, token and addresses as one text: equal for what sees the same transfers.
    #[must_use]
    pub fn name(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let (chain_id, token) = (self.chain_id, self.token);
        format!("eip155:{chain_id}/{token}/{}", addresses.join("+")).to_ascii_lowercase()
    }

    /// Reads the next part. Without a block nothing is read: the next part begins with what is not
    /// beyond doubt now.
    ///
    /// # Errors
    /// When the node does not answer, or serves another chain. After an answer that was too much, the
    /// next read asks for less.
    pub async fn read(&self, chain: &Chain, from: Option<u64>) -> Result<InboxPart, NodeError> {
        let node = chain.node();
        if node.chain_id().await? != self.chain_id {
            return Err(NodeError::unusable("the node serves another chain"));
        }
        let head = node.block(None).await?;
        let firm = chain.firm_block(head);
        let Some(first) = from.filter(|first| *first <= firm) else {
            return Ok(InboxPart {
                transfers: Vec::new(),
                next_block: from.unwrap_or_else(|| firm.saturating_add(1)),
                time: node.block(Some(firm)).await?.time,
                has_more: false,
            });
        };
        let (logs, last) = self.read_window(chain, first, firm).await?;
        let (transfers, last) = self.sort(&logs, first, last)?;
        Ok(InboxPart {
            transfers,
            next_block: last.saturating_add(1),
            time: node.block(Some(last)).await?.time,
            has_more: last < firm,
        })
    }

    async fn read_window(
        &self,
        chain: &Chain,
        first: u64,
        firm: u64,
    ) -> Result<(Vec<Log>, u64), NodeError> {
        let topics = self.topics();
        loop {
            let window = self.window.load(Ordering::Relaxed).clamp(1, WINDOW_BLOCKS);
            let last = first.saturating_add(window.saturating_sub(1)).min(firm);
            match chain.node().logs(self.token, &topics, (first, last)).await {
                Ok(logs) => {
                    let wider = window.saturating_mul(2).min(WINDOW_BLOCKS);
                    self.window.store(wider, Ordering::Relaxed);
                    return Ok((logs, last));
                }
                Err(error) if window == 1 => return Err(error),
                Err(_) => self.window.store(window / 4, Ordering::Relaxed),
            }
        }
    }

    fn topics(&self) -> Value {
        let addresses = self.addresses.iter().copied().map(abi::address_topic);
        let addresses: Vec<_> = addresses.collect();
        json!([abi::TRANSFER, null, addresses])
    }

    /// The transfers of a range in order, and the last block that is complete.
    fn sort(
        &self,
        logs: &[Log],
        first: u64,
        last: u64,
    ) -> Result<(Vec<InboxTransfer>, u64), NodeError> {
        let mut found = Vec::new();
        for log in logs {
            if let Some((block, transfer)) = self.transfer(log, first, last)? {
                found.push((block, transfer));
            }
        }
        found.sort_by_key(|(block, transfer)| (*block, transfer.log_index));
        let mut last = last;
        if let Some((cut, _)) = found.get(MAX_TRANSFERS) {
            // The block at which there are too many goes into the next part, or makes one alone.
            last = if *cut > first { cut - 1 } else { first };
        }
        let within = found.into_iter().filter(|(block, _)| *block <= last);
        Ok((within.map(|(_, transfer)| transfer).collect(), last))
    }

    // A node might not filter as asked.
    fn transfer(
        &self,
        log: &Log,
        first: u64,
        last: u64,
    ) -> Result<Option<(u64, InboxTransfer)>, NodeError> {
        if log.removed || !log.is_from(self.token) || !log.has_topics(&[abi::TRANSFER]) {
            return Ok(None);
        }
        let parties = (log.topics.get(1), log.topics.get(2));
        let (Some(from), Some(to)) = parties else {
            return Ok(None);
        };
        let unreadable = || NodeError::unusable("a transfer in its log cannot be read");
        let read = |topic: &str| abi::read_address(topic).ok_or_else(unreadable);
        let (from, to) = (read(from)?, read(to)?);
        if !self.addresses.contains(&to) || self.addresses.contains(&from) {
            return Ok(None);
        }
        let block = abi::read_quantity(&log.block_number).ok_or_else(unreadable)?;
        let amount = abi::read_uint(&log.data).ok_or_else(unreadable)?;
        if amount == 0 || !(first..=last).contains(&block) {
            return Ok(None);
        }
        let transfer = InboxTransfer {
            transaction: log.transaction_hash.to_ascii_lowercase(),
            log_index: log.index().ok_or_else(unreadable)?,
            from,
            amount,
        };
        Ok(Some((block, transfer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: EvmAddress = EvmAddress::new([1; 20]);
    const OURS: [EvmAddress; 2] = [EvmAddress::new([9; 20]), EvmAddress::new([8; 20])];
    const PAYER: EvmAddress = EvmAddress::new([4; 20]);

    fn log(block: u64, index: u32, from: EvmAddress, to: EvmAddress, amount: u128) -> Log {
        Log {
            address: TOKEN.to_string(),
            topics: vec![
                abi::TRANSFER.to_owned(),
                abi::address_topic(from),
                abi::address_topic(to),
            ],
            data: format!("0x{amount:064x}"),
            block_number: format!("{block:#x}"),
            transaction_hash: format!("0xAB{block}"),
            log_index: format!("{index:#x}"),
            removed: false,
        }
    }

    fn inbox() -> Inbox {
        Inbox::new(8_453, TOKEN, OURS)
    }

    fn places(found: &[InboxTransfer]) -> Vec<(&str, u32)> {
        let place = |it: &'_ InboxTransfer| it.log_index;
        found
            .iter()
            .map(|it| (it.transaction.as_str(), place(it)))
            .collect()
    }

    #[test]
    fn an_inbox_has_one_name_whatever_the_order() {
        let [one, other] = OURS;
        let same = Inbox::new(8_453, TOKEN, [other, one, other]);
        assert_eq!(same.name(), inbox().name());
        assert_eq!(same.name(), same.name().to_ascii_lowercase());
        assert_ne!(Inbox::new(1, TOKEN, OURS).name(), inbox().name());
        assert_ne!(Inbox::new(8_453, TOKEN, [one]).name(), inbox().name());
    }

    #[test]
    fn transfers_come_in_the_order_of_the_chain() {
        let logs = [
            log(7, 2, PAYER, OURS[1], 5),
            log(6, 9, PAYER, OURS[0], 6),
            log(7, 1, PAYER, OURS[0], 7),
        ];
        let (found, last) = inbox().sort(&logs, 5, 8).unwrap();
        assert_eq!(places(&found), [("0xab6", 9), ("0xab7", 1), ("0xab7", 2)]);
        assert_eq!(last, 8);
        assert_eq!(found[0].from, PAYER);
        assert_eq!(found[0].amount, 6);
    }

    #[test]
    fn what_is_no_arrival_is_left_out() {
        let mut removed = log(6, 0, PAYER, OURS[0], 5);
        removed.removed = true;
        let mut foreign = log(6, 0, PAYER, OURS[0], 5);
        foreign.address = PAYER.to_string();
        let mut other_event = log(6, 0, PAYER, OURS[0], 5);
        other_event.topics[0] = abi::APPROVAL.to_owned();
        let mut short = log(6, 0, PAYER, OURS[0], 5);
        short.topics.pop();
        let logs = [
            removed,
            foreign,
            other_event,
            short,
            // Of nothing; a sweep; to somebody else; outside of the range.
            log(6, 0, PAYER, OURS[0], 0),
            log(6, 0, OURS[0], OURS[1], 5),
            log(6, 0, OURS[0], PAYER, 5),
            log(9, 0, PAYER, OURS[0], 5),
            log(4, 0, PAYER, OURS[0], 5),
        ];
        assert_eq!(inbox().sort(&logs, 5, 8).unwrap(), (Vec::new(), 8));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_skipped() {
        let mut no_amount = log(6, 0, PAYER, OURS[0], 5);
        no_amount.data = "0x".to_owned();
        let mut no_place = log(6, 0, PAYER, OURS[0], 5);
        no_place.log_index = "?".to_owned();
        let mut no_payer = log(6, 0, PAYER, OURS[0], 5);
        no_payer.topics[1] = format!("0x{}", "f".repeat(64));
        for bad in [no_amount, no_place, no_payer] {
            assert!(inbox().sort(&[bad], 5, 8).is_err());
        }
    }

    #[test]
    fn a_part_has_so_many_transfers_and_whole_blocks() {
        let spam = |block, count| (0..count).map(move |at| log(block, at, PAYER, OURS[0], 1));
        let logs: Vec<_> = spam(5, 600).chain(spam(7, 600)).collect();
        let (found, last) = inbox().sort(&logs, 5, 8).unwrap();
        assert_eq!((found.len(), last), (600, 6));
        let (found, last) = inbox().sort(&logs, 7, 8).unwrap();
        assert_eq!((found.len(), last), (600, 8));
        // A block is never torn apart.
        let logs: Vec<_> = spam(5, 1_500).chain(spam(6, 1)).collect();
        let (found, last) = inbox().sort(&logs, 5, 8).unwrap();
        assert_eq!((found.len(), last), (1_500, 5));
    }
}
