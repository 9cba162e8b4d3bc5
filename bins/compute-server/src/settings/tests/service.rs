//! Settling for other shops.

use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::exact_svm::SvmPayTo;
use compute_x402::networks::SOLANA_USDC;

use super::*;

const MERCHANT: &str = "CktRuQ2mttgRGkXJtyksdKHjUdc2C4TgDzyB98oEzy8";
const OTHER: &str = "8pM1DN3RiT8vbom5u1sNryaNT1nyL8CTTW3b5PwWXRBH";

/// A shop that is paid on Solana and serves these.
fn serving(recipients: &[&str], rail: &str) -> String {
    let key = SolanaKey::from_seed(&[1; 32]);
    let mut pair = vec![1; 32];
    pair.extend(key.address().as_bytes());
    let rail = format!(
        "[rails.solana]\nchain = \"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\"\npay_to = \"{MERCHANT}\"\n\
         settlement = \"embedded\"\nrpc_url = \"https://node.example\"\n\
         fee_payer_key = \"{pair:?}\"\n{rail}\n"
    );
    let service = format!("[facilitator]\nenabled = true\nrecipients = {recipients:?}\n");
    good() + &rail + &service
}

/// Where a wallet has its dollars.
fn account_of(wallet: &str) -> String {
    let terms = SOLANA_USDC.terms(SolanaAddress::new([1; 32])).unwrap();
    let wallet = SolanaAddress::parse(wallet).unwrap();
    SvmPayTo::Wallet(wallet).destination(&terms).to_string()
}

#[test]
fn recipients_of_both_kinds_are_served() {
    let evm = "0x2222222222222222222222222222222222222222";
    let config = check(&serving(&[OTHER, evm], "")).unwrap();
    let recipients = config.facilitator.unwrap().recipients();
    assert_eq!(recipients.solana, [SolanaAddress::parse(OTHER).unwrap()]);
    let evm: Vec<_> = recipients.evm.iter().map(|it| it.to_checksum()).collect();
    assert_eq!(evm, ["0x2222222222222222222222222222222222222222"]);
}

// A wallet and its token account are two addresses of one purse.
#[test]
fn nothing_that_is_ours_is_served() {
    let account = account_of(MERCHANT);
    let fee_payer = SolanaKey::from_seed(&[1; 32]).address().to_string();
    for own in [MERCHANT, &account, &fee_payer] {
        let found = problems(&serving(&[OTHER, own], ""));
        assert!(
            found.contains(&format!("\"{own}\" is this shop's own")),
            "{found}"
        );
    }
    // Here the token account is known, and not whose it is.
    let text = serving(&[OTHER], "pay_to_is_token_account = true");
    let paid = text.replacen(MERCHANT, &account_of(OTHER), 1);
    let found = problems(&paid);
    assert!(
        found.contains(&format!("\"{OTHER}\" is this shop's own")),
        "{found}"
    );
}

#[test]
fn what_is_no_account_is_named() {
    for text in ["0x22", "base", "", "0OIl"] {
        let found = problems(&serving(&[text], ""));
        assert!(
            found.contains(&format!("{text:?} is not an address")),
            "{found}"
        );
    }
}

#[test]
fn somebody_must_be_able_to_pay() {
    let found = problems(
        &(good()
            + "[facilitator]\nenabled = true\nrecipients = [\"0x2222222222222222222222222222222222222222\"]"),
    );
    assert!(
        found.contains("facilitator.enabled: needs a rail"),
        "{found}"
    );
}
