//! Numbers, addresses and signatures as text: two readers agree, and there is one way to write them.

use alloy_primitives::{Address, Signature, U256};
use compute_wallet::{
    AddressError, EvmAddress, EvmSignature, Namespace, SignatureError, SolanaAddress, Uint256,
    WalletAddress,
};
use compute_x402::{Amount, Network};

use super::payment::to_word;

fn read(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

pub(super) fn amount(data: &[u8]) {
    let Some(text) = read(data) else {
        return;
    };
    let read = Amount::parse(text);
    let plain = text.parse::<u128>().ok();
    match read {
        Ok(amount) => {
            assert_eq!(plain, Some(amount.get()), "two readers disagree");
            assert_eq!(amount.to_string(), text, "a second way to write it");
            let json = serde_json::to_string(&amount).expect("an amount is JSON");
            assert_eq!(serde_json::from_str::<Amount>(&json).ok(), Some(amount));
        }
        // The other reader takes a sign and leading zeros.
        Err(_) => assert!(plain.is_none_or(|number| number.to_string() != text)),
    }
    let quoted = serde_json::to_string(text).expect("a text is JSON");
    assert_eq!(serde_json::from_str::<Amount>(&quoted).ok(), read.ok());
    assert!(serde_json::from_str::<Amount>(text).is_err() || text.contains('"'));
}

pub(super) fn uint256(data: &[u8]) {
    let Some(text) = read(data) else {
        return;
    };
    let is_decimal = (1..=78).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
    let plain = U256::from_str_radix(text, 10).ok().filter(|_| is_decimal);
    let read = Uint256::parse_decimal(text).ok();
    assert_eq!(read.map(to_word), plain, "two readers disagree");
    let Some(number) = read else {
        return;
    };
    let digits = text.trim_start_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    assert_eq!(number.to_string(), digits);
    assert_eq!(Uint256::parse_decimal(&number.to_string()), Ok(number));
    assert_eq!(number.to_u128(), digits.parse().ok());
    assert_eq!(number.to_u64(), digits.parse().ok());
}

pub(super) fn evm_address(data: &[u8]) {
    let Some(text) = read(data) else {
        return;
    };
    let any_case = EvmAddress::parse_any_case(text);
    let plain = text
        .parse::<Address>()
        .ok()
        .filter(|_| text.starts_with("0x"));
    assert_eq!(
        any_case.ok().map(|it| *it.as_bytes()),
        plain.map(|it| it.into_array()),
        "two readers disagree"
    );
    let strict = EvmAddress::parse(text);
    let Ok(address) = any_case else {
        assert_eq!(strict, Err(AddressError::Malformed));
        return;
    };
    let other = Address::from(*address.as_bytes()).to_checksum(None);
    assert_eq!(address.to_checksum(), other, "two checksums");
    let digits = text.trim_start_matches("0x");
    let is_one_case =
        digits == digits.to_ascii_lowercase() || digits == digits.to_ascii_uppercase();
    let is_good = is_one_case || text == other;
    assert_eq!(strict.is_ok(), is_good, "letter case");
    for written in [address.to_string(), address.to_checksum()] {
        assert_eq!(EvmAddress::parse(&written), Ok(address));
        assert_eq!(written.parse(), Ok(WalletAddress::Evm(address)));
    }
    assert_eq!(
        WalletAddress::parse(Namespace::Eip155, text),
        Ok(address.into())
    );
    assert!(SolanaAddress::parse(text).is_err(), "two families");
}

pub(super) fn solana_address(data: &[u8]) {
    let Some(text) = read(data) else {
        return;
    };
    let Ok(address) = SolanaAddress::parse(text) else {
        return;
    };
    assert_eq!(address.to_string(), text, "a second way to write it");
    assert_eq!(text.parse(), Ok(WalletAddress::Solana(address)));
    assert!(EvmAddress::parse_any_case(text).is_err(), "two families");
}

pub(super) fn network(data: &[u8]) {
    let Some(text) = read(data) else {
        return;
    };
    let Some(network) = Network::find(text) else {
        return;
    };
    assert!(network.is_named(text));
    assert_eq!(Network::find(network.caip2()), Some(network.clone()));
    assert_eq!(Network::find(network.v1_name()), Some(network.clone()));
    match network.chain_id() {
        Some(chain_id) => {
            assert_eq!(network.namespace(), Namespace::Eip155);
            assert_eq!(network.caip2(), format!("eip155:{chain_id}"));
            assert_eq!(Network::evm(chain_id), network);
        }
        None => assert_eq!(network.namespace(), Namespace::Solana),
    }
}

pub(super) fn signature(data: &[u8]) {
    let Some(text) = read(data) else {
        return;
    };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let bytes: Option<[u8; 65]> = hex::decode(digits)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    let Some(bytes) = bytes else {
        assert_eq!(EvmSignature::parse(text), Err(SignatureError::Malformed));
        return;
    };
    let read = EvmSignature::parse(text);
    assert_eq!(read, EvmSignature::from_bytes(&bytes));
    let [rs @ .., v] = bytes;
    let is_in_range = k256::ecdsa::Signature::from_slice(&rs).is_ok();
    let plain = Signature::from_bytes_and_parity(&rs, matches!(v, 1 | 28));
    let is_low = plain.normalize_s().is_none();
    let is_good = matches!(v, 0 | 1 | 27 | 28) && is_in_range && is_low;
    assert_eq!(read.is_ok(), is_good, "two readers disagree: {read:?}");
    let Ok(signature) = read else {
        return;
    };
    assert_eq!(signature.to_bytes(), plain.as_bytes());
    assert_eq!(EvmSignature::parse(&signature.to_hex()), Ok(signature));
    assert_eq!(format!("{signature:?}"), "EvmSignature(..)");
}
