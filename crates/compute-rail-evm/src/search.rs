//! Finding transfers in the log of the token.

use compute_domain::payment::Evidence;
use compute_engine::ports::{ChainTransaction, Purpose};
use compute_evm::{Block, NodeError, abi};
use compute_wallet::EvmAddress;
use compute_x402::Amount;
use compute_x402::permit2::{EXACT_PROXY, Permit2Transfer};
use serde_json::json;

use crate::paying::{Permit2Payment, PermitPayment};
use crate::rail::EvmRail;

/// Blocks in one search for log entries; public nodes allow 2 000 to 10 000.
const WINDOW_BLOCKS: u64 = 2_000;

/// A search ends after this many windows.
const MAX_WINDOWS: u32 = 8;

/// Selectors of the proxy, as the calldata of a node shows them.
const SETTLE: &str = "13cd3b53";
const SETTLE_WITH_PERMIT: &str = "fa340378";

/// What the log of the token says about a Permit2 payment whose number is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// This is its transfer.
    Paid(Evidence),
    /// There may be one that cannot be told.
    Unclear,
    /// There is none.
    Nothing,
}

impl EvmRail {
    /// A Permit2 payment that somebody else submitted. Permit2 logs no nonce, so the transfer is
    /// told by the calldata of its transaction: a call of the proxy for this payer with this number.
    pub(crate) async fn find_permit2(
        &self,
        payment: &Permit2Payment,
        head: Block,
        since_s: u64,
    ) -> Result<Trace, NodeError> {
        let transfer = &payment.transfer;
        let parties = (transfer.from, transfer.to, payment.amount);
        let mut search = Search::from(head, since_s);
        let mut trace = Trace::Nothing;
        while let Some(found) = self.search_on(&mut search, parties).await? {
            for evidence in found {
                let submitted = self.chain.node().transaction(&evidence.reference).await?;
                match submitted.map(|it| is_call_for(&it, transfer)) {
                    Some(Some(true)) => return Ok(Trace::Paid(evidence)),
                    // The proxy was called for another payment.
                    Some(Some(false)) => {}
                    // It went through another contract, or the node does not show it.
                    Some(None) | None => trace = Trace::Unclear,
                }
            }
        }
        Ok(if search.is_complete {
            trace
        } else {
            Trace::Unclear
        })
    }

    /// Our own transfer of what a permit approved, by the log of the token.
    pub(crate) async fn find_pull(
        &self,
        payment: &PermitPayment,
        sent: &[ChainTransaction],
        head: Block,
        since_s: u64,
    ) -> Result<Option<Evidence>, NodeError> {
        let pulls = || sent.iter().filter(|it| it.purpose == Purpose::Pull);
        if pulls().next().is_none() {
            return Ok(None);
        }
        let treasury = self.sender.wallet.rules().treasury;
        let parties = (payment.permit.owner, treasury, payment.amount);
        let is_own = |it: &Evidence| pulls().any(|pull| pull.hash == it.reference);
        let mut search = Search::from(head, since_s);
        while let Some(found) = self.search_on(&mut search, parties).await? {
            if let Some(evidence) = found.into_iter().find(is_own) {
                return Ok(Some(evidence));
            }
        }
        Ok(None)
    }

    /// Transfers of our token in the next blocks of a search, backwards; `None` at its end.
    async fn search_on(
        &self,
        search: &mut Search,
        (from, to, amount): (EvmAddress, EvmAddress, Amount),
    ) -> Result<Option<Vec<Evidence>>, NodeError> {
        let Some(last) = search.next else {
            return Ok(None);
        };
        let node = self.chain.node();
        let topics = json!([
            abi::TRANSFER,
            abi::address_topic(from),
            abi::address_topic(to),
        ]);
        let token = self.sender.wallet.rules().token;
        let first = last.saturating_sub(WINDOW_BLOCKS - 1);
        let logs = node.logs(token, &topics, (first, last)).await?;
        let found = logs.into_iter().filter_map(|log| {
            let hash = log.transaction_hash.clone();
            self.find_transfer(&[log], &hash, from, to, amount)
        });
        let found = found.collect();
        search.windows = search.windows.saturating_sub(1);
        search.is_complete = first == 0 || node.block(Some(first)).await?.time < search.since_s;
        let is_over = search.windows == 0 || search.is_complete;
        search.next = (!is_over).then(|| first.saturating_sub(1));
        Ok(Some(found))
    }
}

/// Where a search for log entries stands.
struct Search {
    /// The newest block that was not searched.
    next: Option<u64>,
    windows: u32,
    /// Unix seconds; what is older does not count.
    since_s: u64,
    /// Whether everything that counts was searched.
    is_complete: bool,
}

impl Search {
    const fn from(head: Block, since_s: u64) -> Self {
        Self {
            next: Some(head.number),
            windows: MAX_WINDOWS,
            since_s,
            is_complete: false,
        }
    }
}

/// Whether a transaction is a call of the proxy for this payment; `None` when it calls another
/// contract, whose words prove nothing.
fn is_call_for(transaction: &compute_evm::Transaction, payment: &Permit2Transfer) -> Option<bool> {
    let to = EvmAddress::parse_any_case(transaction.to.as_ref()?).ok()?;
    if to != EXACT_PROXY {
        return None;
    }
    let input = transaction.input.to_ascii_lowercase();
    let (selector, words) = input.strip_prefix("0x")?.split_at_checked(8)?;
    // The transfer begins the arguments, or follows the five words of a permit.
    let first = match selector {
        SETTLE => 0,
        SETTLE_WITH_PERMIT => 5,
        _ => return Some(false),
    };
    let word = |place: usize| words.get(64 * (first + place)..64 * (first + place + 1));
    let owner = abi::address_topic(payment.from);
    Some(
        word(2) == Some(hex::encode(payment.nonce.to_be_bytes()).as_str())
            && word(4) == owner.strip_prefix("0x"),
    )
}

#[cfg(test)]
mod tests {
    use compute_evm::Transaction;
    use compute_wallet::{EvmKey, Uint256};

    use super::*;
    use crate::calls::Call;

    fn transfer(nonce: u8) -> Permit2Transfer {
        Permit2Transfer {
            from: EvmAddress::new([4; 20]),
            token: EvmAddress::new([1; 20]),
            amount: 90_u128.into(),
            spender: EXACT_PROXY,
            nonce: Uint256::from_be_bytes([nonce; 32]),
            deadline: 1_000,
            to: EvmAddress::new([3; 20]),
            valid_after: 0,
        }
    }

    fn call(nonce: u8, is_sponsored: bool) -> Transaction {
        let signature = EvmKey::from_bytes(&[8; 32]).unwrap().sign_digest(&[5; 32]);
        let permit = compute_x402::permit::Permit {
            owner: EvmAddress::new([4; 20]),
            spender: EvmAddress::new([2; 20]),
            value: 90_u128.into(),
            nonce: 0_u128.into(),
            deadline: 1_000,
        };
        let call = Call::Permit2 {
            transfer: transfer(nonce),
            signature,
            sponsored: is_sponsored.then(|| Box::new((permit, signature))),
        };
        Transaction {
            to: Some(EXACT_PROXY.to_string()),
            input: call.data_hex(),
        }
    }

    #[test]
    fn a_call_of_the_proxy_names_its_payment() {
        for is_sponsored in [false, true] {
            assert_eq!(
                is_call_for(&call(7, is_sponsored), &transfer(7)),
                Some(true)
            );
            assert_eq!(
                is_call_for(&call(6, is_sponsored), &transfer(7)),
                Some(false)
            );
        }
    }

    #[test]
    fn the_words_of_another_call_prove_nothing() {
        // A transfer of the payer's own with the number and the proxy behind it.
        let nonce = hex::encode([7; 32]);
        let proxy = hex::encode(EXACT_PROXY.as_bytes());
        let forged = Transaction {
            to: Some(EvmAddress::new([1; 20]).to_string()),
            input: format!("0xa9059cbb{}{nonce}{proxy}", "0".repeat(128)),
        };
        assert_eq!(is_call_for(&forged, &transfer(7)), None);
        let mut short = call(7, false);
        short.input.truncate(100);
        assert_eq!(is_call_for(&short, &transfer(7)), Some(false));
    }
}
