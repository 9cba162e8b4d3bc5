//! The chain's own reading of its transactions: hex lines in, JSON lines out.
//!
//! A line that is a transaction is answered with its fields, as decimal text and lower-case hex, and what follows from
//! them; any other with `{"error": …}`.

use std::io::{self, BufRead as _, Write as _};
use std::num::NonZeroU64;

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{TxKind, hex};
use serde_json::{Map, Value, json};
use tempo_primitives::transaction::{AASigned, Call};

fn main() -> io::Result<()> {
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = read(line?.trim()).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn read(line: &str) -> Result<Value, String> {
    let digits = line.strip_prefix("0x").ok_or("no 0x prefix")?;
    let bytes = hex::decode(digits).map_err(|error| error.to_string())?;
    let mut rest = bytes.as_slice();
    let signed = AASigned::decode_2718(&mut rest).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("trailing bytes".to_owned());
    }
    let sender = signed.recover_signer().map_err(|error| error.to_string())?;
    let transaction = signed.tx();
    transaction.validate()?;
    // The first version of access keys ended with the rules of T1C.
    let version = signed.signature().validate_version(true);
    version.map_err(|error| format!("{error:?}"))?;

    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), Value::String(value));
        }
    };
    put("chainId", Some(transaction.chain_id.to_string()));
    put("gas", Some(transaction.gas_limit.to_string()));
    put(
        "maxFeePerGas",
        Some(transaction.max_fee_per_gas.to_string()),
    );
    put(
        "maxPriorityFeePerGas",
        Some(transaction.max_priority_fee_per_gas.to_string()),
    );
    put("nonceKey", Some(transaction.nonce_key.to_string()));
    put("nonce", Some(transaction.nonce.to_string()));
    // Nothing, and nought, are the same to the chain.
    put(
        "validBefore",
        Some(
            transaction
                .valid_before
                .map_or(0, NonZeroU64::get)
                .to_string(),
        ),
    );
    put(
        "validAfter",
        Some(
            transaction
                .valid_after
                .map_or(0, NonZeroU64::get)
                .to_string(),
        ),
    );
    put(
        "feeToken",
        transaction.fee_token.map(|it| hex::encode_prefixed(it)),
    );
    put("signHash", Some(signed.signature_hash().to_string()));
    put("hash", Some(signed.hash().to_string()));
    put("sender", Some(hex::encode_prefixed(sender)));
    if transaction.is_expiring_nonce_tx() {
        put(
            "expiringNonceId",
            Some(signed.expiring_nonce_hash(sender).to_string()),
        );
    }
    fields.insert(
        "calls".to_owned(),
        transaction.calls.iter().map(shown).collect(),
    );
    fields.insert(
        "sponsored".to_owned(),
        json!(transaction.fee_payer_signature.is_some()),
    );
    Ok(Value::Object(fields))
}

fn shown(call: &Call) -> Value {
    let to = match call.to {
        TxKind::Call(address) => hex::encode_prefixed(address),
        TxKind::Create => String::new(),
    };
    json!({ "to": to, "value": call.value.to_string(), "data": hex::encode_prefixed(&call.input) })
}
