//! Scheme `exact` on Solana: a token transfer that the buyer signed and somebody else pays the fee of.
//!
//! The payment is a whole transaction. Its first signature, that of the fee payer, is still
//! empty; whoever fills it signs everything in the transaction, so everything in it is checked
//! here: who pays the fee and how much at most, who pays whom, and that no instruction can reach
//! the fee payer's account. What only the chain knows (balances, whether the blockhash is still
//! valid, whether the accounts exist) is for whoever settles.
//!
//! ```
//! use compute_wallet::{SolanaAddress, SolanaKey};
//! use compute_x402::exact_svm::client::Draft;
//! use compute_x402::exact_svm::{SvmLimits, SvmPayTo, SvmTerms, SvmTransaction, TokenProgram};
//! use compute_x402::{Amount, Network};
//!
//! let usdc = SolanaAddress::parse("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")?;
//! let fee_payer = SolanaKey::from_seed(&[1; 32]);
//! let terms = SvmTerms::new(Network::SOLANA, usdc, TokenProgram::Token, 6, fee_payer.address())?;
//! let pay_to = SvmPayTo::Wallet(SolanaKey::from_seed(&[2; 32]).address());
//! let (price, buyer) = (Amount::new(90_000_000), SolanaKey::from_seed(&[3; 32]));
//!
//! // The client: a recent blockhash, and a memo that no other payment has.
//! let draft = Draft::new(&terms, pay_to, price, [7; 32]).with_memo("0c1f");
//! let payment = draft.sign(&buyer)?.to_base64();
//!
//! // The server:
//! let transaction = SvmTransaction::decode(&payment)?;
//! let verified = transaction.verify(&terms, &pay_to, price, &SvmLimits::default())?;
//! assert_eq!(verified.payer, buyer.address());
//!
//! // Whoever settles:
//! let signature = fee_payer.sign(transaction.message_bytes());
//! let wire = transaction.with_fee_payer_signature(signature);
//! assert_eq!(SvmTransaction::from_wire(&wire)?.message_hash(), verified.message_hash);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fault;
mod instruction;
mod programs;
mod terms;
mod token;
mod transaction;
mod verify;

pub mod client;

pub use fault::{ExtraInstruction, MalformedTransaction, SvmFault};
pub use instruction::SvmTransfer;
pub use programs::{TokenProgram, associated_token_account};
pub use terms::{SvmLimits, SvmPayTo, SvmTerms, SvmTermsError};
pub use token::SvmToken;
pub use transaction::{MAX_WIRE_BYTES, SvmTransaction};
pub use verify::{SvmIdentified, SvmVerified};
