//! What a stored proof presents.

use compute_engine::{ChargeProof, Instrument};
use compute_mpp::tempo::{
    MIN_REMAINING_S, Sponsorship, TempoCharge, TempoError, Transaction, VerifiedPull,
    verify_transaction,
};
use compute_wallet::{Digest32, EvmAddress};

/// A payment on Tempo, read but not judged.
#[derive(Debug)]
pub(crate) struct Paying<'a> {
    /// What it has to pay.
    pub(crate) charge: TempoCharge<'a>,
    /// The transaction, as the chain names it.
    pub(crate) hash: Digest32,
    /// Who sends it.
    pub(crate) payer: EvmAddress,
    pub(crate) way: Way,
    proof: &'a ChargeProof,
}

/// Who hands it to the chain.
#[derive(Debug)]
pub(crate) enum Way {
    /// We do.
    Pull(Box<Transaction>),
    /// The payer did.
    Push,
}

impl<'a> Paying<'a> {
    /// Reads a proof; `None` for what verification lets nobody claim.
    pub(crate) fn of(proof: &'a ChargeProof) -> Option<Self> {
        let charge = proof.tempo_charge()?;
        let (hash, payer, way) = match proof.instrument()? {
            Instrument::Transfer(transaction) => {
                let is_complete = matches!(
                    transaction.sponsorship,
                    Sponsorship::None | Sponsorship::Signed(_)
                );
                let payer = transaction.sender().ok().filter(|_| is_complete)?;
                (transaction.hash(), payer, Way::Pull(transaction))
            }
            Instrument::Sent { hash, source } => {
                let is_here = source.chain_id == charge.terms.chain_id;
                is_here.then_some((hash, source.address, Way::Push))?
            }
            Instrument::Card(_) => return None,
        };
        Some(Self {
            charge,
            hash,
            payer,
            way,
            proof,
        })
    }

    /// When its challenge ends; Unix seconds.
    pub(crate) fn challenge_expires_s(&self) -> Option<u64> {
        self.proof.credential.challenge().expires_s()
    }

    /// Whether a transaction pays, as of this second.
    pub(crate) fn verify(
        &self,
        transaction: &Transaction,
        now_s: u64,
    ) -> Result<VerifiedPull, TempoError> {
        let credential = &self.proof.credential;
        let source = credential.source().map_err(|_| TempoError::SourceForm {
            chain_id: self.charge.terms.chain_id,
        })?;
        let source = source.map(|source| source.to_string());
        let expires_s = self.challenge_expires_s().unwrap_or_default();
        verify_transaction(
            transaction,
            &self.charge,
            expires_s,
            source.as_deref(),
            now_s,
        )
    }

    /// Whether a transaction paid when it was claimed. What was good then is good to send at any
    /// time: whether it came too late is for the chain to say.
    pub(crate) fn verify_claimed(
        &self,
        transaction: &Transaction,
        claimed_s: u64,
    ) -> Result<VerifiedPull, TempoError> {
        let body = &transaction.body;
        let first = body.valid_after.unwrap_or_default();
        let last = body.valid_before;
        let last = last.map_or(u64::MAX, |it| it.saturating_sub(MIN_REMAINING_S));
        self.verify(transaction, claimed_s.max(first).min(last))
    }
}

/// The code that a buyer is told about a transaction that does not pay.
pub(crate) const fn objection_code(error: &TempoError) -> &'static str {
    match error {
        TempoError::TooLate { .. } => "transaction_expired",
        TempoError::TooEarly { .. } => "transaction_not_yet_valid",
        TempoError::Signature(_) | TempoError::FeePayerSignature(_) => "invalid_signature",
        _ => "wrong_payment",
    }
}
