//! Payments on chains of which a node must be asked: checked as a shop checks them.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_client::{
    Identity, Means, Node, OfferError, Outcome, OwsChain, OwsWallet, PurchaseError, Purse, Usd,
    Wishes,
};
use compute_wallet::{EvmAddress, EvmKey, SolanaAddress, SolanaKey};
use compute_x402::exact_svm::{SvmLimits, SvmPayTo, SvmToken, SvmTransaction};
use compute_x402::networks::{BASE_SEPOLIA_USDC, MEGAETH_USDM, SOLANA_DEVNET_USDC};
use compute_x402::permit2::sponsoring_extension;
use compute_x402::{
    Amount, Challenge, ErrorCode, Offer, PaymentPayload, PermitPaths, Recipient, Resource,
    TokenTerms, ValidityWindow, decode, verify,
};
use serde_json::{Value, json};

use crate::stub::{PRICE, Seen, Town, made, order, wishes};

const PATH: &str = "/compute/provision";
const RESOURCE: Resource<'_> = Resource::new(
    "https://compute.example/compute/provision",
    "a machine",
    "application/json",
);
const MEGAETH: u64 = 4_326;
const TREASURY: EvmAddress = EvmAddress::new([0x11; 20]);

/// The price in a token of 18 digits.
fn price_18() -> u128 {
    u128::from(PRICE) * 1_000_000_000_000
}

/// A node that answers each method with what it was told.
#[expect(
    clippy::disallowed_methods,
    reason = "the node lives as long as its test"
)]
async fn node(answers: Value) -> Node {
    async fn serve(State(answers): State<Arc<Value>>, Json(asked): Json<Value>) -> Json<Value> {
        let method = asked.get("method").and_then(Value::as_str).unwrap();
        let result = answers.get(method).cloned().unwrap();
        Json(json!({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(serve).with_state(Arc::new(answers));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Node::new(&url).unwrap()
}

/// The header of a 402, as a shop writes it.
fn required(offers: &[Offer]) -> String {
    let extensions = json!({"eip2612GasSponsoring": sponsoring_extension()});
    Challenge::new(RESOURCE, offers, &ErrorCode::PaymentRequired)
        .with_extensions(&extensions)
        .payment_required("")
}

fn payment(seen: &Seen) -> PaymentPayload {
    let header = seen.payment().unwrap().as_bytes();
    decode(None, Some(header)).unwrap().unwrap()
}

fn window() -> ValidityWindow {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    ValidityWindow::at(now)
}

fn by(means: Means) -> Wishes {
    Wishes { means, ..wishes() }
}

fn fee_payer() -> SolanaAddress {
    SolanaKey::from_seed(&[0xfe; 32]).address()
}

fn on_solana(pay_to: SolanaAddress) -> Offer {
    let terms = SOLANA_DEVNET_USDC.terms(fee_payer()).unwrap();
    let token = Arc::new(TokenTerms::svm(SvmToken::new(terms)));
    Offer::new(token, Recipient::new(pay_to), Amount::new(PRICE.into()), 90)
}

fn on_megaeth(amount: u128) -> Offer {
    let paths = PermitPaths::none()
        .with_permit2(MEGAETH)
        .with_spender(TREASURY);
    let token = Arc::new(MEGAETH_USDM.permit_terms(paths).unwrap());
    Offer::new(token, Recipient::new(TREASURY), Amount::new(amount), 300)
}

fn on_base() -> Offer {
    let token = Arc::new(BASE_SEPOLIA_USDC.eip3009_terms().unwrap());
    Offer::new(
        token,
        Recipient::new(TREASURY),
        Amount::new(PRICE.into()),
        300,
    )
}

/// A wallet on Solana, and a node of its chain that knows the recipient as `account`.
async fn on_solana_with(town: &mut Town, account: Value) -> Arc<SolanaKey> {
    let key = Arc::new(SolanaKey::from_seed(&[3; 32]));
    let blockhash = SolanaAddress::new([9; 32]).to_string();
    let node = node(json!({
        "getLatestBlockhash": {"value": {"blockhash": blockhash, "lastValidBlockHeight": 1}},
        "getAccountInfo": {"value": account},
    }))
    .await;
    town.purse = Purse::default()
        .with_solana(Arc::clone(&key))
        .with_solana_node(node);
    town.identity = Identity::SolanaWallet(Arc::clone(&key));
    key
}

#[tokio::test]
async fn a_wallet_on_solana_signs_its_half_of_a_transfer() {
    let mut town = Town::open().await;
    let key = on_solana_with(&mut town, Value::Null).await;
    let merchant = SolanaAddress::new([5; 32]);
    let offer = on_solana(merchant);
    town.requires(required(&[on_base(), offer.clone()]));
    town.says([made()]);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await.unwrap();
    let Outcome::Paid(bought) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        (bought.means, bought.price),
        (Means::Solana, Usd::from_micros(PRICE))
    );
    let seen = town.paid().remove(0);
    let verified = verify(&payment(&seen), &[offer], window()).unwrap();
    assert_eq!(verified.payer, key.address().into());
    assert_eq!(verified.value, Amount::new(PRICE.into()));
    assert_eq!(seen.header("x-auth-chain"), Some("solana"));
    assert_eq!(
        seen.header("x-auth-address"),
        Some(key.address().to_string().as_str())
    );
    assert_eq!(town.book.totals().unwrap().1, Usd::from_micros(PRICE));
}

#[tokio::test]
async fn a_token_account_is_paid_itself() {
    let mut town = Town::open().await;
    let mint = SolanaAddress::parse(SOLANA_DEVNET_USDC.address).unwrap();
    let data = [mint.as_bytes().as_slice(), &[0; 133]].concat();
    let account = json!({
        "owner": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "data": [STANDARD.encode(data), "base64"],
    });
    on_solana_with(&mut town, account).await;
    let account = SolanaAddress::new([6; 32]);
    town.requires(required(&[on_solana(account)]));
    town.says([made()]);
    let outcome = town.buyer().buy(PATH, &order(), &by(Means::Solana)).await;
    assert!(matches!(outcome, Ok(Outcome::Paid(_))), "{outcome:?}");
    let payment = payment(&town.paid()[0]);
    let told = payment.to_json();
    let transaction = SvmTransaction::decode(told["payload"]["transaction"].as_str().unwrap());
    let terms = SOLANA_DEVNET_USDC.terms(fee_payer()).unwrap();
    let pay_to = SvmPayTo::TokenAccount(account);
    let limits = SvmLimits::default();
    let amount = Amount::new(PRICE.into());
    transaction
        .unwrap()
        .verify(&terms, &pay_to, amount, &limits)
        .unwrap();
}

/// What the token program keeps and is no account of this token would swallow the money.
#[tokio::test]
async fn an_account_of_another_token_is_never_paid() {
    let mut town = Town::open().await;
    let account = json!({
        "owner": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "data": [STANDARD.encode([8; 165]), "base64"],
    });
    on_solana_with(&mut town, account).await;
    town.requires(required(&[on_solana(SolanaAddress::new([6; 32]))]));
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await;
    assert!(
        matches!(outcome, Err(PurchaseError::Offer(OfferError::Node(_)))),
        "{outcome:?}"
    );
    assert_eq!((town.paid().len(), town.book.open().unwrap().len()), (0, 0));
}

/// An EVM wallet, and a node of a chain.
async fn on_chain(town: &mut Town, chain: &str) -> Arc<EvmKey> {
    let key = Arc::new(EvmKey::from_bytes(&[7; 32]).unwrap());
    let word = format!("0x{:064x}", 7);
    let node = node(json!({"eth_chainId": chain, "eth_call": word})).await;
    town.purse = Purse::default()
        .with_evm(Arc::clone(&key))
        .with_megaeth_node(node);
    key
}

#[tokio::test]
async fn eighteen_digits_are_the_same_dollars() {
    let mut town = Town::open().await;
    let key = on_chain(&mut town, "0x10e6").await;
    let offer = on_megaeth(price_18());
    town.requires(required(&[on_base(), offer.clone()]));
    town.says([made()]);
    let quote = town
        .buyer()
        .quote(PATH, &order(), Means::MegaEth)
        .await
        .unwrap();
    assert_eq!(
        (quote.offer.price(), quote.offer.is_real()),
        (Usd::from_micros(PRICE), true)
    );
    let outcome = town.buyer().buy(PATH, &order(), &by(Means::MegaEth)).await;
    assert!(matches!(outcome, Ok(Outcome::Paid(_))), "{outcome:?}");
    let payment = payment(&town.paid()[0]);
    let verified = verify(&payment, &[offer], window()).unwrap();
    assert_eq!(verified.payer, key.address().into());
    let told = payment.to_json();
    let authorized = &told["payload"]["permit2Authorization"];
    assert_eq!(authorized["permitted"]["amount"], price_18().to_string());
    // The permit beside it has the number that the token wants, and the same amount.
    let permit = &told["extensions"]["eip2612GasSponsoring"]["info"];
    assert_eq!(
        (&permit["nonce"], &permit["amount"]),
        (&"7".into(), &price_18().to_string().into())
    );
    assert_eq!(town.book.totals().unwrap().1, Usd::from_micros(PRICE));
}

/// Somebody took a token of 18 digits for one of 6, or the other way round.
#[tokio::test]
async fn one_way_to_pay_that_is_dearer_than_another_is_not_paid() {
    let mut town = Town::open().await;
    on_chain(&mut town, "0x10e6").await;
    town.requires(required(&[on_base(), on_megaeth(price_18() * 1_000)]));
    let outcome = town.buyer().buy(PATH, &order(), &by(Means::MegaEth)).await;
    let uneven = matches!(
        outcome,
        Err(PurchaseError::Offer(OfferError::Uneven { .. }))
    );
    assert!(uneven, "{outcome:?}");
    assert_eq!(town.paid().len(), 0);
}

#[tokio::test]
async fn nothing_is_signed_on_the_word_of_a_node_of_another_chain() {
    let mut town = Town::open().await;
    on_chain(&mut town, "0x1").await;
    town.requires(required(&[on_megaeth(price_18())]));
    let outcome = town.buyer().buy(PATH, &order(), &by(Means::MegaEth)).await;
    assert!(
        matches!(outcome, Err(PurchaseError::Offer(OfferError::Node(_)))),
        "{outcome:?}"
    );
    // Without any node it is said what is missing.
    town.purse = Purse::default().with_evm(Arc::new(EvmKey::from_bytes(&[7; 32]).unwrap()));
    let outcome = town.buyer().buy(PATH, &order(), &by(Means::MegaEth)).await;
    assert!(
        matches!(outcome, Err(PurchaseError::Offer(OfferError::NoNode(_)))),
        "{outcome:?}"
    );
    assert_eq!((town.paid().len(), town.book.open().unwrap().len()), (0, 0));
}

/// Who pays by x402 owns what is bought: another wallet's signature beside it would be refused.
#[tokio::test]
async fn one_wallet_asks_and_pays() {
    let mut town = Town::open().await;
    on_solana_with(&mut town, Value::Null).await;
    let evm = Arc::new(EvmKey::from_bytes(&[7; 32]).unwrap());
    town.identity = Identity::Wallet(evm);
    town.requires(required(&[on_solana(SolanaAddress::new([5; 32]))]));
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await;
    assert!(
        matches!(outcome, Err(PurchaseError::OtherWallet { .. })),
        "{outcome:?}"
    );
    assert_eq!(town.paid().len(), 0);
}

/// A signature over anything else than the transfer is worth nothing, and is not sent.
#[cfg(unix)]
#[tokio::test]
async fn what_a_wallet_elsewhere_did_not_sign_is_not_sent() {
    use std::os::unix::fs::PermissionsExt;
    let mut town = Town::open().await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ows");
    let address = EvmKey::from_bytes(&[7; 32]).unwrap().address();
    let signature = format!("{}1b", "11".repeat(64));
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = wallet ]; then\n\
         printf 'ID:      1\\nName:    agent\\n  eip155:1 (ethereum) → {address}\\n'; exit; fi\n\
         echo '{{\"signature\":\"{signature}\"}}'\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    let wallet = OwsWallet::open(&program, "agent", OwsChain::Evm).unwrap();
    let wallet = Arc::new(wallet);
    town.purse = Purse::default().with_ows(Arc::clone(&wallet));
    town.identity = Identity::Ows(wallet);
    let outcome = town.buyer().buy(PATH, &order(), &wishes()).await;
    assert!(
        matches!(outcome, Err(PurchaseError::Offer(OfferError::Ows(_)))),
        "{outcome:?}"
    );
    assert_eq!((town.paid().len(), town.book.open().unwrap().len()), (0, 0));
}
