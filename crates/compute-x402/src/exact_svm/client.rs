//! The paying side on Solana: builds a transfer that somebody else pays the fee of, and signs it.

use std::collections::BTreeSet;

use compute_wallet::{SolanaAddress, SolanaKey};
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{MessageHeader, VersionedMessage, v0};
use solana_pubkey::Pubkey;

use crate::amount::Amount;
use crate::exact_svm::fault::{MalformedTransaction, SvmFault};
use crate::exact_svm::instruction::{
    set_compute_unit_limit, set_compute_unit_price, transfer_checked,
};
use crate::exact_svm::programs::{COMPUTE_BUDGET, MEMO, associated_token_account};
use crate::exact_svm::terms::{SvmPayTo, SvmTerms};
use crate::exact_svm::transaction::SvmTransaction;

/// Enough for a transfer and a short memo; what published clients ask for.
const DEFAULT_UNITS: u32 = 20_000;

/// The lowest price that is a price, in millionths of a lamport.
const DEFAULT_UNIT_PRICE: u64 = 1;

/// The fee payer and the buyer.
const SIGNERS: u8 = 2;

/// A payment that is not signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft<'a> {
    terms: &'a SvmTerms,
    pay_to: SvmPayTo,
    amount: Amount,
    recent_blockhash: [u8; 32],
    units: u32,
    unit_price_micro_lamports: u64,
    memo: Option<&'a str>,
}

/// Why a payment cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// A transfer on Solana carries 64 bits.
    #[error("the amount does not fit 64 bits")]
    Amount,
    /// It would not be a transaction that pays: too long, or one account in two roles.
    #[error("the payment does not make a transaction that pays")]
    Transaction(#[source] SvmFault),
}

impl<'a> Draft<'a> {
    /// A payment with the memo that the terms ask for, or none.
    ///
    /// Pays from the signer's associated token account. The blockhash must be a recent one of the
    /// network; the payment dies with it.
    #[must_use]
    pub fn new(
        terms: &'a SvmTerms,
        pay_to: SvmPayTo,
        amount: Amount,
        recent_blockhash: [u8; 32],
    ) -> Self {
        Self {
            terms,
            pay_to,
            amount,
            recent_blockhash,
            units: DEFAULT_UNITS,
            unit_price_micro_lamports: DEFAULT_UNIT_PRICE,
            memo: terms.memo(),
        }
    }

    /// Writes this memo, unless the terms ask for another.
    ///
    /// Without a memo that is unique, two equal payments with one blockhash are one payment.
    #[must_use]
    pub fn with_memo(self, memo: &'a str) -> Self {
        Self {
            memo: Some(self.terms.memo().unwrap_or(memo)),
            ..self
        }
    }

    /// Asks for so many compute units at this price, in millionths of a lamport.
    #[must_use]
    pub fn with_cost(self, units: u32, unit_price_micro_lamports: u64) -> Self {
        Self {
            units,
            unit_price_micro_lamports,
            ..self
        }
    }

    /// Signs for the buyer; the slot of the fee payer stays empty.
    ///
    /// # Errors
    /// When the amount or the memo is too large, or one account would play two roles.
    pub fn sign(&self, buyer: &SolanaKey) -> Result<SvmTransaction, DraftError> {
        let amount = u64::try_from(self.amount.get()).map_err(|_| DraftError::Amount)?;
        if buyer.address() == self.pay_to.address() {
            return Err(DraftError::Transaction(SvmFault::SelfPayment));
        }
        self.message(buyer.address(), amount)
            .and_then(|message| sign(&message, buyer))
            .map_err(|fault| DraftError::Transaction(fault.into()))
            .and_then(|wire| SvmTransaction::from_wire(&wire).map_err(DraftError::Transaction))
    }

    fn message(
        &self,
        buyer: SolanaAddress,
        amount: u64,
    ) -> Result<VersionedMessage, MalformedTransaction> {
        let (terms, program) = (self.terms, self.terms.token_program());
        let source = associated_token_account(&buyer, program, &terms.mint());
        let destination = self.pay_to.destination(terms);
        // The accounts in the order of the wire: who signs, what is written, what is only read.
        // Each list is sorted, as other clients do it. Should the two written ones be one, or
        // any account play two roles, the transaction is refused when it is read back.
        let mut written = [source, destination];
        written.sort_unstable();
        let mut read = BTreeSet::from([terms.mint(), program.address(), COMPUTE_BUDGET]);
        read.extend(self.memo.map(|_| MEMO));
        let read_count = u8::try_from(read.len()).map_err(|_| MalformedTransaction::Unsound)?;
        let keys: Vec<_> = [terms.fee_payer(), buyer]
            .into_iter()
            .chain(written)
            .chain(read)
            .collect();

        let compile = |program: SolanaAddress, accounts: &[SolanaAddress], data: Vec<u8>| {
            let accounts = accounts.iter().map(|account| find(&keys, account));
            Ok(CompiledInstruction {
                program_id_index: find(&keys, &program)?,
                accounts: accounts.collect::<Result<_, _>>()?,
                data,
            })
        };
        let limit = set_compute_unit_limit(self.units);
        let price = set_compute_unit_price(self.unit_price_micro_lamports);
        let transfer = transfer_checked(amount, terms.decimals());
        let mut instructions = vec![
            compile(COMPUTE_BUDGET, &[], limit)?,
            compile(COMPUTE_BUDGET, &[], price)?,
            compile(
                program.address(),
                &[source, terms.mint(), destination, buyer],
                transfer,
            )?,
        ];
        if let Some(memo) = self.memo {
            instructions.push(compile(MEMO, &[], memo.as_bytes().to_vec())?);
        }
        Ok(VersionedMessage::V0(v0::Message {
            header: MessageHeader {
                num_required_signatures: SIGNERS,
                num_readonly_signed_accounts: 1,
                num_readonly_unsigned_accounts: read_count,
            },
            account_keys: keys
                .iter()
                .map(|key| Pubkey::new_from_array(*key.as_bytes()))
                .collect(),
            recent_blockhash: self.recent_blockhash.into(),
            instructions,
            address_table_lookups: Vec::new(),
        }))
    }
}

fn sign(message: &VersionedMessage, buyer: &SolanaKey) -> Result<Vec<u8>, MalformedTransaction> {
    let message = wincode::serialize(message).map_err(|_| MalformedTransaction::Message)?;
    let signature = buyer.sign(&message);
    Ok([&[SIGNERS][..], &[0; 64], &signature, &message].concat())
}

fn find(keys: &[SolanaAddress], who: &SolanaAddress) -> Result<u8, MalformedTransaction> {
    let index = keys.iter().position(|key| key == who);
    index
        .and_then(|index| u8::try_from(index).ok())
        .ok_or(MalformedTransaction::Unsound)
}
