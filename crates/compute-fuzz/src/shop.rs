//! A seller on every rail, a few buyers, and what their payments mean.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_wallet::{EvmAddress, EvmKey, SolanaAddress, SolanaKey, Uint256};
use compute_x402::client::{PaymentRequired, payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmPayTo, SvmTerms, TokenProgram};
use compute_x402::networks::{BASE_USDC, MEGAETH_USDM};
use compute_x402::{
    Amount, Challenge, ErrorCode, Network, Offer, PaymentPayload, PermitPaths, Recipient, Resource,
    ValidityWindow, Verified, Version, decode, verify,
};
use serde_json::Value;

/// The moment of every verification, in Unix seconds: that of the vectors too.
pub(crate) const NOW_S: u64 = 1_767_225_600;

pub(crate) const RESOURCE: Resource<'static> =
    Resource::new("https://shop.example/buy", "A thing", "application/json");

/// The recipient of the vectors.
pub(crate) const PAY_TO: EvmAddress = EvmAddress::new([
    0x60, 0x55, 0x59, 0x90, 0xd5, 0x66, 0x22, 0xd2, 0xd3, 0x9d, 0xcd, 0x44, 0x44, 0x04, 0xef, 0x8e,
    0x59, 0x6e, 0x37, 0x0e,
]);

pub(crate) const USDC_PRICE: Amount = Amount::new(90_000_000);
pub(crate) const USDM_PRICE: Amount = Amount::new(90_000_000_000_000_000_000);

const TIMEOUT_S: u32 = 300;

/// What is offered: USDC with EIP-3009, and USDm by direct permit and through Permit2.
pub(crate) static OFFERS: LazyLock<[Offer; 2]> = LazyLock::new(|| {
    let usdc = BASE_USDC.eip3009_terms().expect("USDC has EIP-3009");
    let paths = PermitPaths::none().with_spender(PAY_TO).with_permit2(4326);
    let usdm = MEGAETH_USDM.permit_terms(paths).expect("USDm has permits");
    let offer =
        |token, amount| Offer::new(Arc::new(token), Recipient::new(PAY_TO), amount, TIMEOUT_S);
    [offer(usdc, USDC_PRICE), offer(usdm, USDM_PRICE)]
});

/// The same, also for wallets that are contracts.
pub(crate) static CONTRACT_OFFERS: LazyLock<[Offer; 1]> = LazyLock::new(|| {
    let usdc = BASE_USDC.eip3009_terms().expect("USDC has EIP-3009");
    let token = Arc::new(usdc.with_contract_wallets());
    [Offer::new(
        token,
        Recipient::new(PAY_TO),
        USDC_PRICE,
        TIMEOUT_S,
    )]
});

pub(crate) static BUYER: LazyLock<EvmKey> =
    LazyLock::new(|| EvmKey::from_bytes(&[1; 32]).expect("a key"));

/// The challenge in both versions: the header, and the body with the offers of one network.
pub(crate) fn challenge_header() -> String {
    challenge(|it| it.payment_required("base"))
}

pub(crate) fn challenge_body(network: &str) -> String {
    challenge(|it| serde_json::to_string(&it.v1_body(network)).expect("a challenge is JSON"))
}

fn challenge(write: impl Fn(Challenge<'_>) -> String) -> String {
    let extensions = compute_x402::permit2::sponsoring_extension();
    let extensions = serde_json::json!({ compute_x402::permit2::SPONSORING_EXTENSION: extensions });
    let challenge = Challenge::new(RESOURCE, &*OFFERS, &ErrorCode::PaymentRequired);
    write(challenge.with_extensions(&extensions))
}

/// A way to pay, with good payments of it.
#[derive(Debug)]
pub(crate) struct Way {
    /// The payments as JSON, which inputs then edit.
    pub(crate) payments: Vec<Value>,
    /// What they mean. Nobody without the keys can make a payment that means anything else.
    pub(crate) meanings: Vec<Verified>,
}

impl Way {
    fn new(payments: Vec<PaymentPayload>) -> Self {
        let read = |payment: &PaymentPayload| {
            verify(payment, &*OFFERS, ValidityWindow::at(NOW_S)).expect("a good payment")
        };
        Self {
            meanings: payments.iter().map(read).collect(),
            payments: payments.iter().map(PaymentPayload::to_json).collect(),
        }
    }
}

pub(crate) static EIP3009: LazyLock<Way> = LazyLock::new(|| {
    let mut payments = vectors("eip3009");
    let [offer, _] = &*OFFERS;
    let token = offer.token().as_evm().expect("an EVM token");
    let authorization = Authorization {
        from: BUYER.address(),
        to: PAY_TO,
        value: Uint256::from(USDC_PRICE.get()),
        valid_after: NOW_S - 600,
        valid_before: NOW_S + 300,
        nonce: [4; 32],
    };
    let signed = sign(token, authorization, &BUYER);
    payments.extend(
        [Version::V1, Version::V2].map(|version| payload_for(version, offer, RESOURCE, &signed)),
    );
    Way::new(payments)
});

pub(crate) static PERMIT: LazyLock<Way> = LazyLock::new(|| {
    let mut payments = vectors("erc2612");
    let (required, nonce) = (usdm_challenge(), Uint256::from(3_u64));
    for offer in required.permit_offers() {
        payments.extend(required.pay_by_permit(offer, &BUYER, nonce, NOW_S));
    }
    Way::new(payments)
});

pub(crate) static PERMIT2: LazyLock<Way> = LazyLock::new(|| {
    let mut payments = vectors("permit2");
    let required = usdm_challenge();
    for offer in required.permit_offers() {
        for permit in [None, Some(Uint256::from(3_u64))] {
            payments.extend(required.pay_by_permit2(offer, &BUYER, [7; 32], permit, NOW_S));
        }
    }
    Way::new(payments)
});

fn usdm_challenge() -> PaymentRequired {
    PaymentRequired::from_header(challenge_header().as_bytes()).expect("our own challenge")
}

/// The good payments of this kind among the vectors, as far as they answer our offers.
fn vectors(kind: &str) -> Vec<PaymentPayload> {
    let headers = crate::seeds::evm_headers(kind);
    let payments = headers.iter().filter_map(|header| {
        let payment = decode(Some(header.as_bytes()), None).ok()??;
        verify(&payment, &*OFFERS, ValidityWindow::at(NOW_S)).ok()?;
        Some(payment)
    });
    payments.collect()
}

/// The header of a JSON text.
pub(crate) fn to_header(json: &[u8]) -> String {
    STANDARD.encode(json)
}

pub(crate) static SVM_FEE_PAYER: LazyLock<SolanaKey> =
    LazyLock::new(|| SolanaKey::from_seed(&[1; 32]));
pub(crate) static SVM_BUYER: LazyLock<SolanaKey> = LazyLock::new(|| SolanaKey::from_seed(&[3; 32]));
pub(crate) static SVM_PAY_TO: LazyLock<SvmPayTo> =
    LazyLock::new(|| SvmPayTo::Wallet(SolanaKey::from_seed(&[2; 32]).address()));
pub(crate) static SVM_TERMS: LazyLock<SvmTerms> = LazyLock::new(|| {
    let mint = SolanaAddress::parse("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");
    let mint = mint.expect("the mint of USDC");
    let payer = SVM_FEE_PAYER.address();
    SvmTerms::new(Network::SOLANA, mint, TokenProgram::Token, 6, payer).expect("a Solana network")
});

/// A good payment on Solana, as bytes.
pub(crate) fn svm_payment() -> Vec<u8> {
    let draft = Draft::new(&SVM_TERMS, *SVM_PAY_TO, USDC_PRICE, [9; 32]).with_memo("m1");
    draft.sign(&SVM_BUYER).expect("a payment").to_wire()
}
