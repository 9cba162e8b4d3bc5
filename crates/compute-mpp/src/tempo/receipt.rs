//! What the chain says became of a payment.

use compute_wallet::{Digest32, EvmAddress, Uint256};
use serde_json::Value;

use super::abi::{TRANSFER_TOPIC, TRANSFER_WITH_MEMO_TOPIC, address_of_word};
use super::error::ReceiptError;
use super::memo::AttributionMemo;
use super::terms::TempoCharge;

/// The members of a receipt that a payment is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptView {
    /// Whether the transaction succeeded.
    pub status: bool,
    /// The number of the block; a receipt without one is refused.
    pub block: u64,
    /// The hash of the transaction.
    pub transaction_hash: Digest32,
    /// Who sent it.
    pub from: EvmAddress,
    /// What its calls, and the fee, left in the log.
    pub logs: Vec<LogView>,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    /// Whose event it is.
    pub address: EvmAddress,
    /// The event and its indexed arguments; at most four.
    pub topics: Vec<Digest32>,
    /// The other arguments.
    pub data: Vec<u8>,
    /// Its place in the block.
    pub log_index: u64,
    /// Whether the chain took it back.
    pub removed: bool,
}

/// Where in the log a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// The place of the `Transfer` that belongs to the payment: what a reader of transfers sees.
    pub transfer_log_index: u64,
    /// The place of the `TransferWithMemo`.
    pub memo_log_index: u64,
    /// The number of the block.
    pub block: u64,
}

/// A transfer in the log of a token.
struct Transfer {
    from: EvmAddress,
    to: EvmAddress,
    amount: Uint256,
    memo: Option<Digest32>,
}

impl ReceiptView {
    /// Reads the result of `eth_getTransactionReceipt` or `eth_sendRawTransactionSync`. Members that
    /// a payment is not judged by are not looked at.
    ///
    /// # Errors
    /// [`ReceiptError::Unclear`] when a member is missing or garbled; a receipt without a block counts
    /// as such.
    pub fn parse(receipt: &Value) -> Result<Self, ReceiptError> {
        let status = match member(receipt, "status")? {
            "0x1" => true,
            "0x0" => false,
            _ => return Err(ReceiptError::Unclear("its status is neither 0x1 nor 0x0")),
        };
        let logs = receipt
            .get("logs")
            .and_then(Value::as_array)
            .ok_or(ReceiptError::Unclear("it has no logs"))?;
        Ok(Self {
            status,
            block: number(member(receipt, "blockNumber")?)?,
            transaction_hash: word(member(receipt, "transactionHash")?)?,
            from: address(member(receipt, "from")?)?,
            logs: logs.iter().map(LogView::parse).collect::<Result<_, _>>()?,
        })
    }
}

impl LogView {
    /// Reads one entry of a receipt or of `eth_getLogs`.
    ///
    /// # Errors
    /// [`ReceiptError::Unclear`] when a member is missing or garbled; an absent `removed` means no.
    pub fn parse(log: &Value) -> Result<Self, ReceiptError> {
        let topics = log
            .get("topics")
            .and_then(Value::as_array)
            .filter(|topics| topics.len() <= 4)
            .ok_or(ReceiptError::Unclear("a log has no topics"))?;
        let topics = topics
            .iter()
            .map(|topic| word(topic.as_str().unwrap_or_default()))
            .collect::<Result<_, _>>()?;
        let removed = match log.get("removed") {
            None => false,
            Some(Value::Bool(removed)) => *removed,
            Some(_) => return Err(ReceiptError::Unclear("removed is not a boolean")),
        };
        Ok(Self {
            address: address(member(log, "address")?)?,
            topics,
            data: bytes(member(log, "data")?)?,
            log_index: number(member(log, "logIndex")?)?,
            removed,
        })
    }

    /// The transfer that this entry is, when it is one.
    fn transfer(&self) -> Result<Option<Transfer>, ReceiptError> {
        const GARBLED: ReceiptError = ReceiptError::Unclear("a log of the token is garbled");
        let (from, to, memo) = match self.topics.as_slice() {
            [topic, from, to] if *topic == TRANSFER_TOPIC => (from, to, None),
            [topic, from, to, memo] if *topic == TRANSFER_WITH_MEMO_TOPIC => {
                (from, to, Some(*memo))
            }
            [topic, ..] if [TRANSFER_TOPIC, TRANSFER_WITH_MEMO_TOPIC].contains(topic) => {
                return Err(GARBLED);
            }
            _ => return Ok(None),
        };
        let amount = Digest32::try_from(self.data.as_slice()).map_err(|_| GARBLED)?;
        Ok(Some(Transfer {
            from: address_of_word(from).ok_or(GARBLED)?,
            to: address_of_word(to).ok_or(GARBLED)?,
            amount: Uint256::from_be_bytes(amount),
            memo,
        }))
    }
}

/// Finds the payment of a challenge in a receipt.
///
/// `payer` is who sent the transaction, `expected_hash` the transaction that was asked about. Finality
/// is immediate on Tempo, so what is found here is paid.
///
/// # Errors
/// [`ReceiptError::Reverted`] when nothing was paid because all was undone,
/// [`ReceiptError::WrongPayment`] when the transaction did something else, and
/// [`ReceiptError::Unclear`] when the receipt is of another transaction or contradicts itself: then
/// nothing is known and the question stays open.
pub fn find_payment(
    receipt: &ReceiptView,
    charge: &TempoCharge<'_>,
    payer: &EvmAddress,
    expected_hash: &Digest32,
) -> Result<Paid, ReceiptError> {
    if receipt.transaction_hash != *expected_hash {
        return Err(ReceiptError::Unclear("it is of another transaction"));
    }
    if receipt.logs.iter().any(|log| log.removed) {
        return Err(ReceiptError::Unclear("a log was removed"));
    }
    let transfers = transfers_of(receipt, &charge.terms.currency)?;
    let is_ours = |it: &Transfer| it.from == *payer && it.to == charge.terms.recipient;
    if !receipt.status {
        // The fee is charged all the same, and its transfer stays in the log.
        return Err(if transfers.iter().any(|(_, it)| is_ours(it)) {
            ReceiptError::Unclear("it says reverted and shows a payment")
        } else {
            ReceiptError::Reverted
        });
    }
    let amount = Uint256::from(charge.amount);
    let pays =
        |memo: Digest32| AttributionMemo::from_bytes(memo).pays(charge.realm, charge.challenge_id);
    let found = transfers
        .iter()
        .enumerate()
        .find(|(_, (_, it))| is_ours(it) && it.amount == amount && it.memo.is_some_and(pays));
    let Some((at, (log, _))) = found else {
        return Err(why_not(receipt, &transfers, is_ours));
    };
    // The token writes both events, the plain one first.
    let twin = at.checked_sub(1).and_then(|before| transfers.get(before));
    match twin {
        Some((twin, it))
            if is_ours(it)
                && it.amount == amount
                && it.memo.is_none()
                && twin.log_index.checked_add(1) == Some(log.log_index) =>
        {
            Ok(Paid {
                transfer_log_index: twin.log_index,
                memo_log_index: log.log_index,
                block: receipt.block,
            })
        }
        _ => Err(ReceiptError::Unclear(
            "the transfer of the payment is missing",
        )),
    }
}

fn transfers_of<'a>(
    receipt: &'a ReceiptView,
    token: &EvmAddress,
) -> Result<Vec<(&'a LogView, Transfer)>, ReceiptError> {
    let mut transfers = Vec::new();
    for log in receipt.logs.iter().filter(|log| log.address == *token) {
        if let Some(transfer) = log.transfer()? {
            transfers.push((log, transfer));
        }
    }
    Ok(transfers)
}

/// A success without the payment: something else was paid, unless a part of the log is missing.
fn why_not(
    receipt: &ReceiptView,
    transfers: &[(&LogView, Transfer)],
    is_ours: impl Fn(&Transfer) -> bool,
) -> ReceiptError {
    let indexes = receipt.logs.iter().map(|log| log.log_index);
    let has_gap = indexes
        .clone()
        .zip(indexes.skip(1))
        .any(|(one, next)| one.checked_add(1) != Some(next));
    if receipt.logs.is_empty() || has_gap {
        return ReceiptError::Unclear("a part of the log is missing");
    }
    if transfers.iter().any(|(_, it)| is_ours(it)) {
        ReceiptError::WrongPayment("another amount or memo")
    } else {
        ReceiptError::WrongPayment("no transfer of this token from the payer to the recipient")
    }
}

fn member<'a>(object: &'a Value, name: &'static str) -> Result<&'a str, ReceiptError> {
    object
        .get(name)
        .and_then(Value::as_str)
        .ok_or(ReceiptError::Unclear("a member is missing or no text"))
}

fn number(text: &str) -> Result<u64, ReceiptError> {
    text.strip_prefix("0x")
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(ReceiptError::Unclear("a number is garbled"))
}

fn bytes(text: &str) -> Result<Vec<u8>, ReceiptError> {
    text.strip_prefix("0x")
        .and_then(|digits| hex::decode(digits).ok())
        .ok_or(ReceiptError::Unclear("a member is not hex"))
}

fn word(text: &str) -> Result<Digest32, ReceiptError> {
    bytes(text)?
        .try_into()
        .map_err(|_| ReceiptError::Unclear("a hash is not 32 bytes"))
}

fn address(text: &str) -> Result<EvmAddress, ReceiptError> {
    EvmAddress::parse_any_case(text).map_err(|_| ReceiptError::Unclear("an address is garbled"))
}
