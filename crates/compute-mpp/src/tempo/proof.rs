//! Proofs: a signed statement instead of a payment, for charges of nothing.
//!
//! A seller that charges something refuses them ([`PayloadError::Proof`](super::PayloadError)). They
//! are here for programs that prove who they are, and are checked against the vectors of other
//! libraries (version 3 of the domain: mppx 0.11, mpp 0.18).

use compute_wallet::{
    Digest32, EvmAddress, EvmSignature, SignatureError, StructHasher, keccak256, recover_digest,
    signing_digest,
};

const DOMAIN_TYPE: &[u8] = b"EIP712Domain(string name,string version,uint256 chainId)";
const PROOF_TYPE: &[u8] = b"Proof(address account,string challengeId,string realm)";

/// The digest that an account signs to prove itself to a challenge.
#[must_use]
pub fn digest(chain_id: u64, account: &EvmAddress, challenge_id: &str, realm: &str) -> Digest32 {
    let domain = StructHasher::new(&keccak256(DOMAIN_TYPE))
        .text("MPP")
        .text("3")
        .uint(chain_id.into())
        .finish();
    let proof = StructHasher::new(&keccak256(PROOF_TYPE))
        .address(account)
        .text(challenge_id)
        .text(realm)
        .finish();
    signing_digest(&domain, &proof)
}

/// Checks that an account signed its proof.
///
/// # Errors
/// When the signature is somebody else's or nobody's.
pub fn verify(
    chain_id: u64,
    account: &EvmAddress,
    challenge_id: &str,
    realm: &str,
    signature: &EvmSignature,
) -> Result<(), SignatureError> {
    let signer = recover_digest(&digest(chain_id, account, challenge_id, realm), signature)?;
    if signer == *account {
        Ok(())
    } else {
        Err(SignatureError::NotSigner)
    }
}
