//! What a transaction proves, and whether it pays what was asked.

use compute_wallet::{SolanaAddress, verify_ed25519};

use crate::amount::Amount;
use crate::exact_svm::fault::{ExtraInstruction, SvmFault};
use crate::exact_svm::instruction::SvmTransfer;
use crate::exact_svm::programs::{LIGHTHOUSE, MEMO};
use crate::exact_svm::terms::{SvmLimits, SvmPayTo, SvmTerms};
use crate::exact_svm::transaction::SvmTransaction;

/// The fee payer and the buyer; the fee payer pays for each signature.
const MAX_SIGNERS: usize = 2;

/// What the network takes for each signature, in lamports.
const SIGNATURE_FEE_LAMPORTS: u64 = 5_000;

/// The unit of prices: millionths of a lamport.
const MICRO_LAMPORTS: u128 = 1_000_000;

/// Limit, price and transfer, and up to four instructions of wallets and memos.
const INSTRUCTIONS: std::ops::RangeInclusive<usize> = 3..=7;

const LIMIT_PLACE: usize = 0;
const PRICE_PLACE: usize = 1;
const TRANSFER_PLACE: usize = 2;
const EXTRA_PLACES: [(usize, ExtraInstruction); 4] = [
    (3, ExtraInstruction::Fourth),
    (4, ExtraInstruction::Fifth),
    (5, ExtraInstruction::Sixth),
    (6, ExtraInstruction::Seventh),
];

/// What a payment is, whatever its price and age: made only by [`SvmTransaction::identify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SvmIdentified {
    /// Who pays: the authority of the transfer, who signed.
    pub payer: SolanaAddress,
    /// What is paid to whom.
    pub transfer: SvmTransfer,
    /// SHA-256 of the message: the identity of the payment.
    pub message_hash: [u8; 32],
}

/// A payment that satisfies our terms: made only by [`SvmTransaction::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SvmVerified {
    /// Who pays: the authority of the transfer, who signed.
    pub payer: SolanaAddress,
    /// What is paid to whom.
    pub transfer: SvmTransfer,
    /// SHA-256 of the message: the identity of the payment.
    pub message_hash: [u8; 32],
    /// What settling takes from the fee payer, whether the transfer succeeds or fails.
    pub fee_lamports: u64,
}

impl SvmTransaction {
    /// The transfer as it stands there; nobody has proven anything yet.
    ///
    /// For a cheap look at which offer a payment may answer.
    #[must_use]
    pub fn transfer(&self) -> Option<SvmTransfer> {
        self.instruction(TRANSFER_PLACE)?.transfer_checked()
    }

    /// Checks every required signature but that of the fee payer, which is still to be made.
    ///
    /// # Errors
    /// When more than two are required, or one is missing or wrong.
    pub fn check_buyer_signatures(&self) -> Result<(), SvmFault> {
        self.check_signer_count()?;
        self.signers().skip(1).try_for_each(|(signer, signature)| {
            verify_ed25519(&signer, self.message_bytes(), signature)
                .map_err(|_| SvmFault::Signature)
        })
    }

    /// Finds out who pays what, without regard to price, fee and recipient.
    ///
    /// A repeated payment is recognised by this even when its price has passed.
    ///
    /// # Errors
    /// When there is no transfer, or its authority did not sign.
    pub fn identify(&self) -> Result<SvmIdentified, SvmFault> {
        self.check_buyer_signatures()?;
        let transfer = self.signed_transfer()?;
        Ok(SvmIdentified {
            payer: transfer.authority,
            transfer,
            message_hash: self.message_hash(),
        })
    }

    /// Checks everything that can be known without the chain.
    ///
    /// # Errors
    /// The first failed check, in the order: signers, fee payer, signatures, lookup tables,
    /// instructions, cost, transfer, authority, token, recipient, amount, further instructions,
    /// reach of the fee payer, memo.
    pub fn verify(
        &self,
        terms: &SvmTerms,
        pay_to: &SvmPayTo,
        amount: Amount,
        limits: &SvmLimits,
    ) -> Result<SvmVerified, SvmFault> {
        self.check_signer_count()?;
        if self.fee_payer() != terms.fee_payer() {
            return Err(SvmFault::FeePayer);
        }
        self.check_buyer_signatures()?;
        if self.has_lookup_tables() {
            return Err(SvmFault::LookupTable);
        }
        if !INSTRUCTIONS.contains(&self.instruction_count()) {
            return Err(SvmFault::InstructionCount);
        }
        let fee_lamports = self.check_cost(limits)?;
        let transfer = self.signed_transfer()?;
        check_transfer(&transfer, terms, pay_to, amount)?;
        self.check_extra_instructions()?;
        self.check_reach_of_fee_payer()?;
        self.check_memo(terms)?;
        Ok(SvmVerified {
            payer: transfer.authority,
            transfer,
            message_hash: self.message_hash(),
            fee_lamports,
        })
    }

    fn check_signer_count(&self) -> Result<(), SvmFault> {
        if self.signers().count() > MAX_SIGNERS {
            return Err(SvmFault::ExcessiveSigners);
        }
        Ok(())
    }

    /// The transfer, if somebody who must sign permits it, and not the fee payer.
    fn signed_transfer(&self) -> Result<SvmTransfer, SvmFault> {
        let transfer = self.transfer().ok_or(SvmFault::NoTransfer)?;
        if transfer.authority == self.fee_payer() {
            return Err(SvmFault::FeePayerTransferring);
        }
        let mut buyers = self.signers().skip(1);
        if !buyers.any(|(buyer, _)| buyer == transfer.authority) {
            return Err(SvmFault::Signature);
        }
        Ok(transfer)
    }

    /// Holds the two instructions about cost against the limits; the result is in lamports.
    fn check_cost(&self, limits: &SvmLimits) -> Result<u64, SvmFault> {
        let units = self
            .instruction(LIMIT_PLACE)
            .and_then(|instruction| instruction.compute_unit_limit())
            .ok_or(SvmFault::ComputeLimit)?;
        if units > limits.max_units {
            return Err(SvmFault::ComputeLimitTooHigh);
        }
        let price = self
            .instruction(PRICE_PLACE)
            .and_then(|instruction| instruction.compute_unit_price())
            .ok_or(SvmFault::ComputePrice)?;
        if price > limits.max_unit_price_micro_lamports {
            return Err(SvmFault::ComputePriceTooHigh);
        }
        // The network rounds the priority fee up to whole lamports.
        let priority = (u128::from(units) * u128::from(price)).div_ceil(MICRO_LAMPORTS);
        let priority = u64::try_from(priority).map_err(|_| SvmFault::ComputePriceTooHigh)?;
        let fee = self.signers().fold(priority, |fee, _| {
            fee.saturating_add(SIGNATURE_FEE_LAMPORTS)
        });
        Ok(fee)
    }

    fn check_extra_instructions(&self) -> Result<(), SvmFault> {
        let present = self.instruction_count();
        for (place, extra) in EXTRA_PLACES
            .into_iter()
            .filter(|(place, _)| *place < present)
        {
            let is_allowed = self
                .instruction(place)
                .is_some_and(|instruction| [LIGHTHOUSE, MEMO].contains(&instruction.program));
            if !is_allowed {
                return Err(SvmFault::UnknownInstruction(extra));
            }
        }
        Ok(())
    }

    /// No program is handed the account whose signature we add (x402, scheme `exact` on Solana).
    ///
    /// Published facilitators let it pass in a memo, which is harmless only as long as no
    /// program on the list does anything with a signer. That the account is called as a program,
    /// or listed a second time, is refused when the transaction is read.
    fn check_reach_of_fee_payer(&self) -> Result<(), SvmFault> {
        let names_fee_payer = (0..self.instruction_count())
            .filter_map(|place| self.instruction(place))
            .any(|instruction| instruction.accounts.contains(&self.fee_payer()));
        if names_fee_payer {
            return Err(SvmFault::FeePayerInAccounts);
        }
        Ok(())
    }

    fn check_memo(&self, terms: &SvmTerms) -> Result<(), SvmFault> {
        let Some(asked) = terms.memo() else {
            return Ok(());
        };
        let mut memos = (0..self.instruction_count())
            .filter_map(|place| self.instruction(place))
            .filter(|instruction| instruction.program == MEMO);
        match (memos.next(), memos.next()) {
            (Some(memo), None) if memo.data == asked.as_bytes() => Ok(()),
            (Some(_), None) => Err(SvmFault::MemoMismatch),
            _ => Err(SvmFault::MemoCount),
        }
    }
}

fn check_transfer(
    transfer: &SvmTransfer,
    terms: &SvmTerms,
    pay_to: &SvmPayTo,
    amount: Amount,
) -> Result<(), SvmFault> {
    if transfer.mint != terms.mint() || transfer.token_program != terms.token_program() {
        return Err(SvmFault::Mint);
    }
    if transfer.destination != pay_to.destination(terms) {
        return Err(SvmFault::Recipient);
    }
    // A token program lets an account pay itself, and nothing moves.
    if transfer.source == transfer.destination || transfer.authority == pay_to.address() {
        return Err(SvmFault::SelfPayment);
    }
    if transfer.amount != amount || transfer.decimals != terms.decimals() {
        return Err(SvmFault::Amount);
    }
    Ok(())
}
