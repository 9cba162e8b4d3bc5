//! What the chain says about a payment through Permit2.
//!
//! Permit2 keeps a bit for each number and logs none, so that the transfer of a payment is told by
//! the calldata of its transaction, or by the block in which its number was used.

use compute_domain::payment::Evidence;
use compute_wallet::{Digest32, EvmAddress, WalletAddress};
use compute_x402::permit2::{EXACT_PROXY, PERMIT2};
use compute_x402::{Body, ErrorCode, Method, MethodCode, Offer, PaymentPayload};

use crate::abi;
use crate::chain::{Chain, Fate, Mined};
use crate::node::{Block, NodeError, Receipt, Transaction};
use crate::search::{Moved, Search};

/// Selectors of the proxy, as the calldata of a node shows them.
const SETTLE: &str = "13cd3b53";
const SETTLE_WITH_PERMIT: &str = "fa340378";

/// The transfer that a payment through Permit2 permits: what to look for on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermittedTransfer {
    /// What moves.
    pub moved: Moved,
    /// What makes it single, for this payer.
    pub nonce: Digest32,
    /// Unix seconds; the proxy refuses before this second.
    pub valid_after: u64,
    /// Unix seconds; Permit2 refuses after this second.
    pub deadline: u64,
}

/// What the log of the token says about a payment whose number is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// This is its transfer.
    Paid(Evidence),
    /// There may be one that cannot be told.
    Unclear,
    /// There is none.
    Nothing,
}

impl PermittedTransfer {
    /// Reads it from a payment and the offer that it pays. `None` when it is not a payment of that
    /// offer through Permit2, which verification lets nobody claim.
    #[must_use]
    pub fn of(payload: &PaymentPayload, offer: &Offer) -> Option<Self> {
        let (Body::Permit2(signed), Method::Permit { token, .. }) =
            (payload.body(), offer.token().method())
        else {
            return None;
        };
        let transfer = &signed.transfer;
        let is_exact = transfer.amount.to_u128() == Some(offer.amount().get());
        let is_ours = WalletAddress::Evm(transfer.to) == offer.pay_to()
            && transfer.token == token.contract()
            && transfer.spender == EXACT_PROXY;
        (is_exact && is_ours).then(|| Self {
            moved: Moved {
                token: transfer.token,
                from: transfer.from,
                to: transfer.to,
                amount: offer.amount(),
            },
            nonce: transfer.nonce.to_be_bytes(),
            valid_after: transfer.valid_after,
            deadline: transfer.deadline,
        })
    }
}

impl Chain {
    /// Which contract that Permit2 payments need is missing, if one is.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn find_missing_permit2(&self) -> Result<Option<&'static str>, NodeError> {
        for (contract, fault) in [
            (PERMIT2, "Permit2 is not on this chain"),
            (EXACT_PROXY, "the x402 proxy is not on this chain"),
        ] {
            if self.node().code(contract).await?.is_empty() {
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }

    /// Whether the number of a payment is used, as it was at a block, the newest when none is given:
    /// for whatever, or for nothing when it was cancelled.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn is_permit2_used(
        &self,
        transfer: &PermittedTransfer,
        block: Option<u64>,
    ) -> Result<bool, NodeError> {
        let (data, bit) = abi::nonce_bitmap(transfer.moved.from, &transfer.nonce);
        let answer = self.node().call(PERMIT2, &data, block).await?;
        let word = abi::read_word(&answer);
        word.map(|word| abi::has_bit(&word, bit))
            .ok_or_else(|| NodeError::unusable("Permit2 does not answer"))
    }

    /// What a transaction did for a payment.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn permit2_mined(
        &self,
        transfer: &PermittedTransfer,
        transaction: &str,
    ) -> Result<Mined, NodeError> {
        let Some(receipt) = self.node().receipt(transaction).await? else {
            return Ok(Mined::Missing);
        };
        if !receipt.is_success() {
            return Ok(Mined::Without);
        }
        let mut found = transfer.moved.in_logs(&receipt.logs, transaction);
        let Some(evidence) = found.next() else {
            return Ok(Mined::Without);
        };
        drop(found);
        match self.trace(transfer, evidence, Some(receipt)).await? {
            Trace::Paid(evidence) => Ok(Mined::Paid(evidence)),
            Trace::Unclear | Trace::Nothing => Ok(Mined::Without),
        }
    }

    /// What became of a payment that may have been submitted since `since_s` (Unix seconds).
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn permit2_fate(
        &self,
        transfer: &PermittedTransfer,
        since_s: u64,
    ) -> Result<Fate, NodeError> {
        let head = self.node().block(None).await?;
        let firm = head.number.saturating_sub(self.confirmations());
        if self.is_permit2_used(transfer, Some(head.number)).await? {
            // It is used: a search that fails must not make it look as if nothing had happened.
            let found = self.find_permit2(transfer, head, since_s).await;
            return Ok(match found.unwrap_or(Trace::Unclear) {
                Trace::Paid(evidence) => Fate::Paid(evidence),
                Trace::Unclear => Fate::Unclear("used, and the node does not say by what"),
                Trace::Nothing if self.is_permit2_used(transfer, Some(firm)).await? => {
                    Fate::Void(ErrorCode::Method(MethodCode::PERMIT2_NONCE))
                }
                Trace::Nothing => {
                    Fate::Unclear("cancelled or used otherwise, but not yet beyond doubt")
                }
            });
        }
        if head.time <= transfer.deadline {
            return Ok(Fate::Open);
        }
        let is_past = self.node().block(Some(firm)).await?.time > transfer.deadline;
        if is_past && !self.is_permit2_used(transfer, Some(firm)).await? {
            return Ok(Fate::Void(ErrorCode::Method(MethodCode::PERMIT2_DEADLINE)));
        }
        Ok(Fate::Unclear("expired, but not yet beyond doubt"))
    }

    /// Whether a payment moved the money at or after `since_s` (Unix seconds), whoever submitted it.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn was_permit2_paid_since(
        &self,
        transfer: &PermittedTransfer,
        since_s: u64,
    ) -> Result<bool, NodeError> {
        let head = self.node().block(None).await?;
        if !self.is_permit2_used(transfer, Some(head.number)).await? {
            return Ok(false);
        }
        let Trace::Paid(evidence) = self.find_permit2(transfer, head, since_s).await? else {
            return Ok(false);
        };
        // A search looks at whole ranges of blocks, and finds what is older too.
        let receipt = self.node().receipt(&evidence.reference).await?;
        let Some(number) = receipt.and_then(|receipt| receipt.block()) else {
            return Err(NodeError::unusable("a log entry without its receipt"));
        };
        Ok(self.node().block(Some(number)).await?.time >= since_s)
    }

    /// The transfer of a payment whose number is used, by whomever it was submitted.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn find_permit2(
        &self,
        transfer: &PermittedTransfer,
        head: Block,
        since_s: u64,
    ) -> Result<Trace, NodeError> {
        // Clients date their payments back by minutes, and nobody can submit one before.
        let mut search = Search::from(head, since_s.max(transfer.valid_after));
        let mut trace = Trace::Nothing;
        while let Some(found) = self.search_on(&mut search, &transfer.moved).await? {
            for evidence in found {
                match self.trace(transfer, evidence, None).await? {
                    Trace::Paid(evidence) => return Ok(Trace::Paid(evidence)),
                    Trace::Unclear => trace = Trace::Unclear,
                    Trace::Nothing => {}
                }
            }
        }
        Ok(if search.is_complete() {
            trace
        } else {
            Trace::Unclear
        })
    }

    // Whether a transfer like this one is of this payment.
    async fn trace(
        &self,
        transfer: &PermittedTransfer,
        evidence: Evidence,
        receipt: Option<Receipt>,
    ) -> Result<Trace, NodeError> {
        let hash = &evidence.reference;
        let submitted = self.node().transaction(hash).await?;
        match submitted.map(|it| is_call_for(&it, transfer)) {
            Some(Some(true)) => return Ok(Trace::Paid(evidence)),
            // The proxy was called for another payment.
            Some(Some(false)) => return Ok(Trace::Nothing),
            Some(None) => {}
            None => return Ok(Trace::Unclear),
        }
        // It went through another contract, whose words prove nothing. The number does, when it was
        // used in this very block, and there is no second transfer like this one.
        let receipt = match receipt {
            Some(receipt) => Some(receipt),
            None => self.node().receipt(hash).await?,
        };
        let Some(receipt) = receipt else {
            return Ok(Trace::Unclear);
        };
        let is_single = transfer.moved.in_logs(&receipt.logs, hash).count() == 1;
        let is_it = is_single && self.is_used_in(transfer, &receipt).await?;
        Ok(if is_it {
            Trace::Paid(evidence)
        } else {
            Trace::Unclear
        })
    }

    async fn is_used_in(
        &self,
        transfer: &PermittedTransfer,
        receipt: &Receipt,
    ) -> Result<bool, NodeError> {
        let Some((block, before)) = receipt
            .block()
            .and_then(|block| Some((block, block.checked_sub(1)?)))
        else {
            return Ok(false);
        };
        Ok(self.is_permit2_used(transfer, Some(block)).await?
            && !self.is_permit2_used(transfer, Some(before)).await?)
    }
}

/// Whether a transaction is a call of the proxy for this payment; `None` when it calls another
/// contract.
fn is_call_for(transaction: &Transaction, transfer: &PermittedTransfer) -> Option<bool> {
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
    let owner = abi::address_topic(transfer.moved.from);
    Some(
        word(2) == Some(hex::encode(transfer.nonce).as_str())
            && word(4) == owner.strip_prefix("0x"),
    )
}

#[cfg(test)]
mod tests {
    use compute_x402::Amount;

    use super::*;

    const PAYER: EvmAddress = EvmAddress::new([4; 20]);

    fn transfer(nonce: u8) -> PermittedTransfer {
        PermittedTransfer {
            moved: Moved {
                token: EvmAddress::new([1; 20]),
                from: PAYER,
                to: EvmAddress::new([3; 20]),
                amount: Amount::new(90),
            },
            nonce: [nonce; 32],
            valid_after: 0,
            deadline: 1_000,
        }
    }

    /// Calldata by hand: the ABI puts static structs in place, word by word.
    fn call(nonce: u8, is_sponsored: bool) -> Transaction {
        let word = |number: u8| format!("{number:064x}");
        let address = |address: EvmAddress| abi::address_topic(address)[2..].to_owned();
        let permit = (1..=5).map(word).collect::<String>();
        let transfer = [
            address(EvmAddress::new([1; 20])),
            word(90),
            hex::encode([nonce; 32]),
            word(200),
            address(PAYER),
            address(EvmAddress::new([3; 20])),
            word(0),
            word(224),
        ];
        let (selector, permit) = match is_sponsored {
            true => (SETTLE_WITH_PERMIT, permit),
            false => (SETTLE, String::new()),
        };
        Transaction {
            to: Some(EXACT_PROXY.to_string()),
            input: format!("0x{selector}{permit}{}", transfer.concat()),
        }
    }

    #[test]
    fn a_call_of_the_proxy_names_its_payment() {
        for is_sponsored in [false, true] {
            let call = |nonce| call(nonce, is_sponsored);
            assert_eq!(is_call_for(&call(7), &transfer(7)), Some(true));
            assert_eq!(is_call_for(&call(6), &transfer(7)), Some(false));
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
