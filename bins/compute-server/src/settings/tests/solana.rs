//! Rails on Solana.

use compute_wallet::SolanaKey;

use super::super::rails::Settlement;
use super::*;

const MERCHANT: &str = "CktRuQ2mttgRGkXJtyksdKHjUdc2C4TgDzyB98oEzy8";

/// Seed and public half of a throwaway key.
fn key() -> String {
    let key = SolanaKey::from_seed(&[1; 32]);
    let mut pair = vec![1; 32];
    pair.extend(key.address().as_bytes());
    format!("{pair:?}")
}

fn fee_payer() -> String {
    SolanaKey::from_seed(&[1; 32]).address().to_string()
}

fn with(lines: &str) -> String {
    let rail = format!(
        "[rails.solana]\nchain = \"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\"\npay_to = \"{MERCHANT}\"\n{lines}\n"
    );
    good() + &rail
}

fn embedded(lines: &str) -> String {
    let own = format!(
        "settlement = \"embedded\"\nrpc_url = \"https://node.example/secret\"\nfee_payer_key = \"{}\"",
        key()
    );
    with(&format!("{own}\n{lines}"))
}

fn remote(lines: &str) -> String {
    let own = format!(
        "facilitator_url = \"https://facilitator.example\"\nfee_payer = \"{}\"",
        fee_payer()
    );
    with(&format!("{own}\n{lines}"))
}

#[test]
fn the_server_settles_as_the_fee_payer() {
    let config = check(&embedded("")).unwrap();
    let rail = &config.rails[1];
    let Settlement::FeePayer(settlement) = &rail.settlement else {
        panic!("embedded")
    };
    assert_eq!(settlement.key.address().to_string(), fee_payer());
    assert_eq!(settlement.finalized_above, 1_000_000_000);
    let token = rail.terms.as_svm().unwrap();
    assert_eq!(token.terms().fee_payer(), settlement.key.address());
    assert_eq!(
        token.terms().mint().to_string(),
        "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    );
    assert_eq!((rail.decimals, rail.pay_to.as_str()), (6, MERCHANT));
    assert!(!token.pays_token_account());
    let config = check(&embedded("pay_to_is_token_account = true")).unwrap();
    assert!(config.rails[1].terms.as_svm().unwrap().pays_token_account());
}

#[test]
fn a_facilitator_settles_as_the_fee_payer_that_is_named() {
    let config = check(&remote("")).unwrap();
    let rail = &config.rails[1];
    assert_eq!(rail.facilitators().len(), 1);
    let token = rail.terms.as_svm().unwrap();
    assert_eq!(token.terms().fee_payer().to_string(), fee_payer());
}

#[test]
fn what_a_rail_on_solana_needs_is_named() {
    let another = "asset = \"4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU\"";
    for (text, expected) in [
        (
            embedded("").replace("rpc_url", "asset"),
            "rails.solana.rpc_url: is needed",
        ),
        (
            embedded("").replace("fee_payer_key", "name"),
            "rails.solana.fee_payer_key: is needed",
        ),
        (
            embedded("").replace(&key(), "[1, 2]"),
            "rails.solana.fee_payer_key: a Solana key",
        ),
        (
            embedded("").replace(MERCHANT, "0x11"),
            "rails.solana.pay_to: must be base58",
        ),
        (
            embedded("").replace(MERCHANT, &fee_payer()),
            "rails.solana.pay_to: must not be",
        ),
        (
            embedded("").replace("5eykt", "6eykt"),
            "rails.solana.chain: must be",
        ),
        (embedded(another), "rails.solana.decimals: is needed"),
        (
            embedded("decimals = 9"),
            "rails.solana.asset: is a known token",
        ),
        (
            embedded("token_program = \"token-2022\""),
            "rails.solana.asset: is a known token",
        ),
        (
            embedded("max_failures_per_payer = 0"),
            "rails.solana.max_failures_per_payer",
        ),
        (
            remote("").replace("fee_payer", "name"),
            "rails.solana.fee_payer: is needed",
        ),
        (
            remote("rpc_url = \"https://node.example\""),
            "rails.solana.rpc_url: is used",
        ),
        (
            remote("").replace("facilitator_url", "name"),
            "rails.solana.facilitator_url",
        ),
    ] {
        let found = problems(&text);
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains("1, 1, 1"), "{found}");
    }
}
