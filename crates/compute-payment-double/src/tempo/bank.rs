//! Who holds how much of which token, and what a call does to it.

use std::collections::BTreeMap;

use compute_mpp::tempo::Call;
use compute_mpp::tempo::abi::{
    TRANSFER_TOPIC, TRANSFER_WITH_MEMO_TOPIC, TokenTransfer, word_of_address,
};
use compute_wallet::{Digest32, EvmAddress, Uint256};

/// The account that fees are paid to.
pub const FEE_MANAGER: EvmAddress = EvmAddress::new([
    0xfe, 0xec, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

/// The token in which fees are paid when nothing else says so.
pub const PATH_USD: EvmAddress = EvmAddress::new([
    0x20, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

// Gas as a Tempo EVM (hard fork T4) counted it for the receipts of this crate's tests.
pub(super) const INTRINSIC_GAS: u64 = 31_400;
const TRANSFER_GAS: u64 = 17_142;
const TRANSFER_WITH_MEMO_GAS: u64 = 19_671;
const NEW_HOLDER_GAS: u64 = 247_200;
const REVERTED_CALL_GAS: u64 = 3_920;

/// Balances, cheap to copy for a trial.
#[derive(Debug, Clone, Default)]
pub(super) struct Bank {
    balances: BTreeMap<(EvmAddress, EvmAddress), u128>,
    /// What an account holds before anything was moved.
    opening: u128,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) token: EvmAddress,
    pub(super) topics: Vec<Digest32>,
    pub(super) amount: u128,
}

/// What the calls of a transaction did, all or nothing.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) events: Vec<Event>,
    pub(super) gas: u64,
    /// Why they were undone.
    pub(super) revert: Option<&'static str>,
}

impl Event {
    pub(super) fn transfer(
        token: EvmAddress,
        from: EvmAddress,
        to: EvmAddress,
        amount: u128,
        memo: Option<Digest32>,
    ) -> Self {
        let topic = match memo {
            Some(_) => TRANSFER_WITH_MEMO_TOPIC,
            None => TRANSFER_TOPIC,
        };
        let mut topics = vec![topic, word_of_address(&from), word_of_address(&to)];
        topics.extend(memo);
        Self {
            token,
            topics,
            amount,
        }
    }
}

impl Bank {
    pub(super) fn opened_with(opening: u128) -> Self {
        Self {
            balances: BTreeMap::new(),
            opening,
        }
    }

    pub(super) fn balance(&self, token: EvmAddress, holder: EvmAddress) -> u128 {
        self.balances
            .get(&(token, holder))
            .copied()
            .unwrap_or(self.opening)
    }

    pub(super) fn credit(&mut self, token: EvmAddress, holder: EvmAddress, amount: u128) {
        let after = self.balance(token, holder).saturating_add(amount);
        self.balances.insert((token, holder), after);
    }

    /// Takes the amount, or nothing when there is less.
    pub(super) fn debit(
        &mut self,
        token: EvmAddress,
        holder: EvmAddress,
        amount: u128,
    ) -> Result<(), &'static str> {
        let left = self
            .balance(token, holder)
            .checked_sub(amount)
            .ok_or("InsufficientBalance")?;
        self.balances.insert((token, holder), left);
        Ok(())
    }

    /// Runs the calls of `sender`; a failure undoes all of them.
    pub(super) fn run(&mut self, sender: EvmAddress, calls: &[Call]) -> Outcome {
        let before = self.clone();
        let mut outcome = Outcome {
            events: Vec::new(),
            gas: INTRINSIC_GAS,
            revert: None,
        };
        for call in calls {
            if let Err(reason) = self.call(sender, call, &mut outcome) {
                *self = before;
                outcome.events.clear();
                outcome.gas = INTRINSIC_GAS.saturating_add(REVERTED_CALL_GAS);
                outcome.revert = Some(reason);
                break;
            }
        }
        outcome
    }

    fn call(
        &mut self,
        sender: EvmAddress,
        call: &Call,
        outcome: &mut Outcome,
    ) -> Result<(), &'static str> {
        let token = call.to.ok_or("contract creation")?;
        if call.value != Uint256::default() {
            return Err("value is not supported");
        }
        if !is_token(token) {
            // An account without code: the call succeeds and does nothing.
            return Ok(());
        }
        let transfer = TokenTransfer::parse(&call.input)?;
        if is_token(transfer.to) || transfer.to == EvmAddress::ZERO {
            return Err("InvalidRecipient");
        }
        let amount = transfer.amount.to_u128().ok_or("InsufficientBalance")?;
        let is_new_holder = self.balance(token, transfer.to) == 0;
        self.debit(token, sender, amount)?;
        self.credit(token, transfer.to, amount);
        let event = |memo| Event::transfer(token, sender, transfer.to, amount, memo);
        outcome.events.push(event(None));
        let gas = match transfer.memo {
            Some(memo) => {
                outcome.events.push(event(Some(memo)));
                TRANSFER_WITH_MEMO_GAS
            }
            None => TRANSFER_GAS,
        };
        outcome.gas = outcome.gas.saturating_add(gas);
        if is_new_holder {
            outcome.gas = outcome.gas.saturating_add(NEW_HOLDER_GAS);
        }
        Ok(())
    }
}

/// Whether the address is one of the chain's own tokens; no account can have such an address.
pub(super) fn is_token(address: EvmAddress) -> bool {
    address.as_bytes().starts_with(&[0x20, 0xc0])
}
