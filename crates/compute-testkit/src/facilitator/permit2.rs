//! Payments through Permit2 with a sponsored permit, in the order of the reference facilitator's
//! rules.

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolCall, SolStruct, eip712_domain, sol};
use serde::Deserialize;

use super::exact::{self, Reason, Transfer, bytes, check_signature, decimal};
use super::network::Network;
use super::wire::Request;

/// Where the contracts are on every chain.
pub(super) const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
pub(super) const PROXY: Address = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");

sol! {
    struct TokenPermissions { address token; uint256 amount; }
    struct Witness { address to; uint256 validAfter; }
    struct PermitWitnessTransferFrom {
        TokenPermissions permitted;
        address spender;
        uint256 nonce;
        uint256 deadline;
        Witness witness;
    }
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }

    struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
    struct Permit2612 { uint256 value; uint256 deadline; bytes32 r; bytes32 s; uint8 v; }

    function settleWithPermit(
        Permit2612 permit2612,
        PermitTransferFrom permit,
        address owner,
        Witness witness,
        bytes signature
    );
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    signature: String,
    permit2_authorization: Authorization,
}

#[derive(Deserialize)]
struct Authorization {
    from: String,
    permitted: Permitted,
    spender: String,
    nonce: String,
    deadline: String,
    witness: RawWitness,
}

#[derive(Deserialize)]
struct Permitted {
    token: String,
    amount: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawWitness {
    to: String,
    valid_after: String,
}

#[derive(Deserialize)]
struct Sponsoring {
    from: String,
    asset: String,
    spender: String,
    amount: String,
    nonce: String,
    deadline: String,
    signature: String,
    version: String,
}

/// Checks a payment in a token of this network.
pub(super) fn check(
    request: &Request,
    network: Network,
    pay_to: Address,
    amount: U256,
) -> Result<Transfer, Reason> {
    let (envelope, offer) = (&request.payment_payload, &request.payment_requirements);
    let extra = offer.extra.as_ref();
    let method = extra.and_then(|extra| extra.asset_transfer_method.as_deref());
    if request.x402_version != 2 || method != Some("permit2") {
        return Err("unsupported_payload_type");
    }
    let payload: Payload =
        serde_json::from_value(envelope.payload.clone()).map_err(|_| "invalid_payload")?;
    let (from, message) = read(&payload.permit2_authorization).ok_or("invalid_payload")?;
    if message.spender != PROXY {
        return Err("invalid_permit2_spender");
    }
    if message.witness.to != pay_to {
        return Err("invalid_permit2_recipient_mismatch");
    }
    if message.permitted.amount != amount {
        return Err("permit2_amount_mismatch");
    }
    if message.permitted.token != network.token() {
        return Err("permit2_token_mismatch");
    }
    let domain = eip712_domain! {
        name: "Permit2",
        chain_id: network.chain_id(),
        verifying_contract: PERMIT2,
    };
    let digest = message.eip712_signing_hash(&domain);
    check_signature(
        &payload.signature,
        digest,
        from,
        "invalid_permit2_signature",
    )?;
    // Nobody has approved Permit2 on this chain, so that everybody needs a permit. Who has none
    // echoes what the offer said of them.
    let sponsored = envelope.extensions.as_ref();
    let sponsored = sponsored.and_then(|it| it.get("eip2612GasSponsoring")?.get("info"));
    let sponsored = sponsored.filter(|info| info.get("signature").is_some());
    let sponsored = sponsored.ok_or("permit2_allowance_required")?;
    let sponsored: Sponsoring = serde_json::from_value(sponsored.clone())
        .map_err(|_| "invalid_eip2612_extension_format")?;
    let permit2612 = check_sponsored(&sponsored, network, from, amount)?;
    Ok(Transfer {
        network,
        from,
        to: message.witness.to,
        value: message.permitted.amount,
        valid_after: message.witness.validAfter,
        valid_before: message.deadline,
        nonce: message.nonce.into(),
        digest,
        calldata: Some(calldata(permit2612, message, from, &payload.signature)),
    })
}

fn read(raw: &Authorization) -> Option<(Address, PermitWitnessTransferFrom)> {
    let message = PermitWitnessTransferFrom {
        permitted: TokenPermissions {
            token: exact::address(&raw.permitted.token)?,
            amount: decimal(&raw.permitted.amount)?,
        },
        spender: exact::address(&raw.spender)?,
        nonce: decimal(&raw.nonce)?,
        deadline: decimal(&raw.deadline)?,
        witness: Witness {
            to: exact::address(&raw.witness.to)?,
            validAfter: decimal(&raw.witness.valid_after)?,
        },
    };
    Some((exact::address(&raw.from)?, message))
}

fn check_sponsored(
    raw: &Sponsoring,
    network: Network,
    from: Address,
    amount: U256,
) -> Result<Permit2612, Reason> {
    let format = "invalid_eip2612_extension_format";
    if exact::address(&raw.from) != Some(from) {
        return Err("eip2612_from_mismatch");
    }
    if exact::address(&raw.asset) != Some(network.token()) {
        return Err("eip2612_asset_mismatch");
    }
    if exact::address(&raw.spender) != Some(PERMIT2) {
        return Err("eip2612_spender_not_permit2");
    }
    let permit = Permit {
        owner: from,
        spender: PERMIT2,
        value: decimal(&raw.amount).ok_or(format)?,
        nonce: decimal(&raw.nonce).ok_or(format)?,
        deadline: decimal(&raw.deadline).ok_or(format)?,
    };
    if permit.value != amount {
        return Err("permit2_2612_amount_mismatch");
    }
    if raw.version != "1" {
        return Err(format);
    }
    let domain = eip712_domain! {
        name: network.token_name(),
        version: network.token_version(),
        chain_id: network.chain_id(),
        verifying_contract: network.token(),
    };
    let digest = permit.eip712_signing_hash(&domain);
    check_signature(&raw.signature, digest, from, format)?;
    let signature = bytes::<65>(&raw.signature).ok_or(format)?;
    let word = |at: usize| {
        signature
            .get(at..)
            .and_then(|rest| rest.first_chunk::<32>())
    };
    let (r, s) = (word(0).ok_or(format)?, word(32).ok_or(format)?);
    Ok(Permit2612 {
        value: permit.value,
        deadline: permit.deadline,
        r: B256::from(*r),
        s: B256::from(*s),
        v: signature.last().copied().unwrap_or_default(),
    })
}

fn calldata(
    permit2612: Permit2612,
    message: PermitWitnessTransferFrom,
    owner: Address,
    signature: &str,
) -> String {
    let signature = bytes::<65>(signature).unwrap_or([0; 65]);
    let call = settleWithPermitCall {
        permit2612,
        permit: PermitTransferFrom {
            permitted: message.permitted,
            nonce: message.nonce,
            deadline: message.deadline,
        },
        owner,
        witness: message.witness,
        signature: Bytes::copy_from_slice(&signature),
    };
    format!("0x{}", hex::encode(call.abi_encode()))
}
