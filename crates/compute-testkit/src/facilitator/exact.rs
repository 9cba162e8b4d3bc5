use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::{SolStruct, eip712_domain, sol};

use super::network::Network;
use super::permit2;
use super::wire::{ExactPayload, Request, Requirements};

sol! {
    /// The message that EIP-3009 has signed.
    #[derive(Debug)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// A transfer whose signature and terms were checked; time, nonce and balance were not.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) network: Network,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) value: U256,
    /// EIP-3009 takes it after this second, Permit2 from this second on.
    pub(super) valid_after: U256,
    /// EIP-3009 takes it before this second, Permit2 until it is over.
    pub(super) valid_before: U256,
    pub(super) nonce: B256,
    pub(super) digest: B256,
    /// The call that carries it out, for payments that logs do not tell.
    pub(super) calldata: Option<String>,
}

/// A code of the x402 specification.
pub(super) type Reason = &'static str;

/// Checks whatever does not depend on the chain's state. The order is that of the reference
/// facilitator's rules: version, scheme, network, offer, shape, recipient, amount, signature.
pub(super) fn check(request: &Request, networks: &[Network]) -> Result<Transfer, Reason> {
    let (envelope, offer) = (&request.payment_payload, &request.payment_requirements);
    let version = request.x402_version;
    if version != envelope.x402_version || !(1..=2).contains(&version) {
        return Err("invalid_x402_version");
    }
    let (scheme, named, amount) = if version == 1 {
        (
            envelope.scheme.as_deref(),
            envelope.network.as_deref(),
            &offer.max_amount_required,
        )
    } else {
        let accepted = envelope.accepted.as_ref().ok_or("invalid_payload")?;
        if !same_terms(accepted, offer) {
            return Err("invalid_payment_requirements");
        }
        (
            Some(accepted.scheme.as_str()),
            Some(accepted.network.as_str()),
            &offer.amount,
        )
    };
    if scheme != Some("exact") || offer.scheme != "exact" {
        return Err("unsupported_scheme");
    }
    let network = find_network(version, &offer.network, networks).ok_or("invalid_network")?;
    if named != Some(offer.network.as_str()) {
        return Err("invalid_network");
    }
    check_offer(version, offer, network)?;
    let amount = amount
        .as_deref()
        .and_then(decimal)
        .ok_or("invalid_payment_requirements")?;
    let pay_to = address(&offer.pay_to).ok_or("invalid_payment_requirements")?;
    if network.has_permit2() {
        return permit2::check(request, network, pay_to, amount);
    }
    let payload: ExactPayload =
        serde_json::from_value(envelope.payload.clone()).map_err(|_| "invalid_payload")?;
    let message = read_message(&payload).ok_or("invalid_payload")?;
    if message.to != pay_to {
        return Err("invalid_exact_evm_payload_recipient_mismatch");
    }
    if message.value != amount {
        return Err(if version == 1 {
            "invalid_exact_evm_payload_authorization_value"
        } else {
            "invalid_exact_evm_payload_authorization_value_mismatch"
        });
    }
    let digest = digest(network, &message);
    let bad = "invalid_exact_evm_payload_signature";
    check_signature(&payload.signature, digest, message.from, bad)?;
    Ok(Transfer {
        network,
        from: message.from,
        to: message.to,
        value: message.value,
        valid_after: message.validAfter,
        valid_before: message.validBefore,
        nonce: message.nonce,
        digest,
        calldata: None,
    })
}

fn find_network(version: u64, name: &str, networks: &[Network]) -> Option<Network> {
    networks.iter().copied().find(|network| {
        name == if version == 1 {
            network.name()
        } else {
            network.caip2()
        }
    })
}

fn same_terms(a: &Requirements, b: &Requirements) -> bool {
    a.scheme == b.scheme
        && a.network == b.network
        && a.amount == b.amount
        && a.asset.eq_ignore_ascii_case(&b.asset)
        && a.pay_to.eq_ignore_ascii_case(&b.pay_to)
        && a.max_timeout_seconds == b.max_timeout_seconds
}

fn check_offer(version: u64, offer: &Requirements, network: Network) -> Result<(), Reason> {
    // Version 1 requires these members of an offer, version 2 does not have them there.
    let has_resource =
        offer.resource.is_some() && offer.description.is_some() && offer.mime_type.is_some();
    if (version == 1) != has_resource || address(&offer.asset) != Some(network.token()) {
        return Err("invalid_payment_requirements");
    }
    let extra = offer
        .extra
        .as_ref()
        .ok_or("invalid_exact_evm_missing_eip712_domain")?;
    if extra.name.as_deref() != Some(network.token_name()) {
        return Err("invalid_exact_evm_token_name_mismatch");
    }
    if extra.version.as_deref() != Some(network.token_version()) {
        return Err("invalid_exact_evm_token_version_mismatch");
    }
    Ok(())
}

fn read_message(payload: &ExactPayload) -> Option<TransferWithAuthorization> {
    let raw = &payload.authorization;
    Some(TransferWithAuthorization {
        from: address(&raw.from)?,
        to: address(&raw.to)?,
        value: decimal(&raw.value)?,
        validAfter: decimal(&raw.valid_after)?,
        validBefore: decimal(&raw.valid_before)?,
        nonce: B256::from(bytes::<32>(&raw.nonce)?),
    })
}

pub(super) fn digest(network: Network, message: &TransferWithAuthorization) -> B256 {
    let domain = eip712_domain! {
        name: network.token_name(),
        version: network.token_version(),
        chain_id: network.chain_id(),
        verifying_contract: network.token(),
    };
    message.eip712_signing_hash(&domain)
}

// As strict as the token contract: `v` 27 or 28, `s` in the lower half.
pub(super) fn check_signature(
    text: &str,
    digest: B256,
    from: Address,
    bad: Reason,
) -> Result<(), Reason> {
    let raw = bytes::<65>(text).ok_or(bad)?;
    if !matches!(raw.last(), Some(27 | 28)) {
        return Err("invalid_exact_evm_transaction_simulation_failed");
    }
    let signature = Signature::from_raw_array(&raw).map_err(|_| bad)?;
    if signature.normalize_s().is_some() {
        return Err(bad);
    }
    match signature.recover_address_from_prehash(&digest) {
        Ok(signer) if signer == from => Ok(()),
        Ok(_) | Err(_) => Err(bad),
    }
}

pub(super) fn address(text: &str) -> Option<Address> {
    bytes::<20>(text).map(Address::from)
}

pub(super) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut bytes).ok()?;
    Some(bytes)
}

pub(super) fn decimal(text: &str) -> Option<U256> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain
        .then(|| U256::from_str_radix(text, 10).ok())
        .flatten()
}
