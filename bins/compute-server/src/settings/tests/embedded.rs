//! Rails that settle themselves.

use compute_x402::Method;

use super::super::rails::Settlement;
use super::*;

const SINGLE: &str = r#"facilitator_url = "https://facilitator.example""#;

/// A throwaway key.
const KEY: &str = "0x0101010101010101010101010101010101010101010101010101010101010101";

/// The account of the key.
const HOT_WALLET: &str = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1";

const EMBEDDED: &str = r#"settlement = "embedded"
rpc_url = "https://node.example/secret"
hot_wallet_key = "0x0101010101010101010101010101010101010101010101010101010101010101""#;

fn with(lines: &str) -> String {
    good().replace(SINGLE, lines)
}

fn megaeth(lines: &str) -> String {
    with(&format!("{EMBEDDED}\n{lines}")).replace("eip155:8453", "eip155:4326")
}

#[test]
fn a_token_with_authorizations_is_paid_to_the_treasury() {
    let config = check(&with(EMBEDDED)).unwrap();
    let [rail] = config.rails.as_slice() else {
        panic!("one rail")
    };
    let Settlement::Embedded(embedded) = &rail.settlement else {
        panic!("embedded")
    };
    assert_eq!(embedded.hot_wallet.address().to_checksum(), HOT_WALLET);
    assert_eq!(rail.pay_to.address(), embedded.treasury.into());
    let Method::Eip3009 {
        takes_contract_wallets,
        ..
    } = rail.terms.method()
    else {
        panic!("EIP-3009")
    };
    assert!(takes_contract_wallets);
}

#[test]
fn a_token_without_is_paid_by_permit() {
    for (lines, is_direct, has_permit2) in [
        ("", true, true),
        ("permit2 = false", true, false),
        ("direct_permits = false", false, true),
    ] {
        let config = check(&megaeth(lines)).unwrap();
        let rail = &config.rails[0];
        let Method::Permit { paths, .. } = rail.terms.method() else {
            panic!("by permit")
        };
        assert_eq!(rail.decimals, 18);
        assert_eq!(paths.spender().is_some(), is_direct, "{lines}");
        assert_eq!(paths.permit2_separator().is_some(), has_permit2, "{lines}");
        // Whoever is approved directly must be the recipient that offers name.
        assert_eq!(rail.pay_to.as_str() == HOT_WALLET, is_direct, "{lines}");
    }
    let nobody = problems(&megaeth("permit2 = false\ndirect_permits = false"));
    assert!(nobody.contains("rails.base.permit2"), "{nobody}");
}

#[test]
fn what_an_embedded_rail_needs_is_named() {
    for (from, to, expected) in [
        (
            "rpc_url = \"https://node.example/secret\"",
            "",
            "rails.base.rpc_url: is needed",
        ),
        (KEY, "0x01", "rails.base.hot_wallet_key"),
        (
            "hot_wallet_key = ",
            "asset = ",
            "rails.base.hot_wallet_key: is needed",
        ),
        (
            "rpc_url",
            "confirmations = 0\nrpc_url",
            "rails.base.confirmations",
        ),
        (
            "rpc_url",
            "confirmations = 9\nfinality_blocks = 8\nrpc_url",
            "rails.base.confirmations",
        ),
        (
            "rpc_url",
            "method = \"permits\"\nrpc_url",
            "rails.base.method",
        ),
    ] {
        let found = problems(&with(&EMBEDDED.replacen(from, to, 1)));
        assert!(found.contains(expected), "{to}: {found}");
        assert!(!found.contains("0101010101"), "{found}");
    }
    let same = with(EMBEDDED).replace("0x1111111111111111111111111111111111111111", HOT_WALLET);
    let found = problems(&same);
    assert!(
        found.contains("rails.base.pay_to: must not be the hot wallet"),
        "{found}"
    );
}

#[test]
fn rails_of_one_token_are_paid_at_the_same_addresses_or_at_others() {
    let second = |pay_to: &str, lines: &str| {
        format!(
            "{}\n[rails.second]\nchain = \"eip155:8453\"\npay_to = \"{pay_to}\"\n{lines}\n",
            good()
        )
    };
    let (same, other) = (
        "0x1111111111111111111111111111111111111111",
        "0x2222222222222222222222222222222222222222",
    );
    let blind = "facilitator_url = \"https://another.example\"";
    let seeing = format!("{blind}\nrpc_url = \"https://node.example\"");
    for lines in [&seeing, EMBEDDED] {
        let found = problems(&second(same, lines));
        assert!(
            found.contains("rails.second.pay_to: is also where"),
            "{found}"
        );
        assert_eq!(problems(&second(other, lines)), "no problem");
    }
    assert_eq!(problems(&second(same, blind)), "no problem");
}
