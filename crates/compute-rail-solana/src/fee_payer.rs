//! The fee payer: the only place where something is signed, behind the whole verification.

use core::fmt;

use compute_engine::StoredProof;
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::error_code::SvmCode;
use compute_x402::exact_svm::{SvmFault, SvmLimits, SvmPayTo, SvmTransaction, SvmTransfer};
use compute_x402::{Body, ErrorCode, Network, ValidityWindow, verify};

/// A key, and what it may be used for.
pub(crate) struct FeePayer {
    key: SolanaKey,
    network: Network,
    mint: SolanaAddress,
    limits: SvmLimits,
    /// Whom other shops' payments may pay.
    other_recipients: Vec<SolanaAddress>,
}

/// Whose offer a payment pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shop {
    /// This one; its offer was stored with the payment.
    Own,
    /// Another one, which this server settles for.
    Other,
}

/// A transaction that does nothing but pay one of our offers; made only by [`FeePayer::approve`].
#[derive(Debug)]
pub(crate) struct Approved {
    transaction: SvmTransaction,
    pub(crate) transfer: SvmTransfer,
    pub(crate) shop: Shop,
    pub(crate) pay_to: SvmPayTo,
    pub(crate) proof_key: String,
    /// The most that it costs us.
    pub(crate) fee_lamports: u64,
}

/// A transaction with all its signatures.
pub(crate) struct Signed {
    /// The bytes as they are sent.
    pub(crate) wire: Vec<u8>,
    /// The first signature, which names the transaction.
    pub(crate) signature: String,
}

impl FeePayer {
    pub(crate) const fn new(
        key: SolanaKey,
        network: Network,
        mint: SolanaAddress,
        limits: SvmLimits,
        other_recipients: Vec<SolanaAddress>,
    ) -> Self {
        Self {
            key,
            network,
            mint,
            limits,
            other_recipients,
        }
    }

    pub(crate) fn address(&self) -> SolanaAddress {
        self.key.address()
    }

    /// Looks at everything that can be known of a payment without the chain: it pays the offer that
    /// was stored with it, in our token, at a cost that we bear, and no instruction reaches us. The
    /// offer of another shop must pay somebody on the operator's list.
    ///
    /// # Errors
    /// The code of the first check that failed.
    pub(crate) fn approve(
        &self,
        shop: Shop,
        proof: &StoredProof,
        now_s: u64,
    ) -> Result<Approved, ErrorCode> {
        let (payload, offer) = (&proof.payload, &proof.offer);
        let window = ValidityWindow::at(now_s);
        let verified = verify(payload, core::slice::from_ref(offer), window);
        let verified = verified.map_err(|error| error.code())?;
        let (Some(token), Body::Transaction(text)) = (offer.token().as_svm(), payload.body())
        else {
            return Err(ErrorCode::InvalidPayload);
        };
        if token.terms().fee_payer() != self.address() {
            return Err(ErrorCode::Svm(SvmCode::FeePayerNotManaged));
        }
        if *offer.network() != self.network {
            return Err(ErrorCode::InvalidNetwork);
        }
        if token.terms().mint() != self.mint {
            return Err(SvmFault::Mint.code());
        }
        // Once more, at what we bear today: the offer may be older than our limits.
        let transaction = SvmTransaction::decode(text).map_err(|fault| fault.code())?;
        let pay_to = token.pay_to(&offer.pay_to());
        let pay_to = pay_to.ok_or(SvmFault::Recipient.code())?;
        let terms = token.terms_in(payload.version());
        let checked = transaction.verify(terms, &pay_to, offer.amount(), &self.limits);
        let checked = checked.map_err(|fault| fault.code())?;
        if shop == Shop::Other && !self.other_recipients.contains(&pay_to.address()) {
            return Err(ErrorCode::InvalidPaymentRequirements);
        }
        Ok(Approved {
            transaction,
            transfer: checked.transfer,
            shop,
            pay_to,
            proof_key: verified.proof_key.into_string(),
            fee_lamports: checked.fee_lamports,
        })
    }

    /// Fills the one signature that is missing. The same transaction gets the same one each time.
    pub(crate) fn sign(&self, approved: &Approved) -> Signed {
        let signature = self.key.sign(approved.transaction.message_bytes());
        Signed {
            wire: approved.transaction.with_fee_payer_signature(signature),
            signature: bs58::encode(signature).into_string(),
        }
    }
}

impl Approved {
    pub(crate) fn blockhash(&self) -> [u8; 32] {
        self.transaction.recent_blockhash()
    }

    /// The bytes as the buyer sent them, without our signature.
    pub(crate) fn unsigned_wire(&self) -> Vec<u8> {
        self.transaction.with_fee_payer_signature([0; 64])
    }
}

impl fmt::Debug for FeePayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeePayer")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
