//! The rail against a node that really checks signatures, through real HTTP.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod arrivals;
mod check;
mod conformance;
mod health;
mod hostile;
mod lying;
mod others;
mod settle;
mod spending;

use std::sync::Arc;
use std::time::Duration;

use compute_domain::WalletAddress;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Payment, PaymentState, RailLabel};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{
    ChainTransaction, ClaimedPayment, RailSpec, Settlement, Store, TxMode,
};
use compute_engine::{ResourceInfo, StoredProof};
use compute_rail_solana::{SolanaConfig, SolanaRail, SolanaTimeouts};
use compute_testkit::ambient::ManualClock;
use compute_testkit::model_store::ModelStore;
use compute_testkit::solana::SolanaNode;
use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::client::svm_payload_for;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{
    SvmPayTo, SvmTerms, SvmToken, TokenProgram, associated_token_account,
};
use compute_x402::networks::SOLANA_USDC;
use compute_x402::{Amount, Recipient, TokenTerms, Version, identify};
use uuid::Uuid;

const NOW_S: u64 = 1_800_000_000;
const PRICE: u64 = 90_000_000;
/// More blocks than a blockhash lives, and more time than one can be waited for.
const AN_AGE: u64 = 600;
const TOO_OLD: &str = "settle_exact_svm_block_height_exceeded";

fn fee_payer() -> SolanaKey {
    SolanaKey::from_seed(&[0xfe; 32])
}

fn merchant() -> SolanaAddress {
    SolanaKey::from_seed(&[0x60; 32]).address()
}

fn terms() -> SvmTerms {
    SOLANA_USDC.terms(fee_payer().address()).unwrap()
}

fn ata(owner: &SolanaAddress) -> SolanaAddress {
    associated_token_account(owner, TokenProgram::Token, &terms().mint())
}

fn spec() -> RailSpec {
    RailSpec {
        label: RailLabel::parse("solana").unwrap(),
        decimals: 6,
        token: Arc::new(TokenTerms::svm(SvmToken::new(terms()))),
        pay_to: Recipient::new(merchant()),
        max_timeout_seconds: 90,
        settlement: "embedded".to_owned(),
    }
}

/// A node, a rail that settles through it, and a clock that both follow.
struct Market {
    node: SolanaNode,
    clock: ManualClock,
    store: Arc<dyn Store>,
    rail: SolanaRail,
}

impl Market {
    async fn open() -> Self {
        Self::with(|_| ()).await
    }

    /// A market whose rail gives up soon: for what never ends well.
    async fn impatient() -> Self {
        Self::with(|config| config.timeouts.call = Duration::from_millis(300)).await
    }

    async fn with(change: impl FnOnce(&mut SolanaConfig)) -> Self {
        let node = SolanaNode::spawn(NOW_S).await.unwrap();
        let mint = *terms().mint().as_bytes();
        node.add_mint(mint, 6);
        node.fund(*fee_payer().address().as_bytes(), 1_000_000_000);
        node.set_token_account(
            *ata(&merchant()).as_bytes(),
            mint,
            *merchant().as_bytes(),
            0,
        );
        let clock = ManualClock::at(Timestamp::from_secs(NOW_S));
        let store: Arc<dyn Store> = Arc::new(ModelStore::new());
        let rail = rail(&node, &store, &clock, change);
        Self {
            node,
            clock,
            store,
            rail,
        }
    }

    /// Another replica, or this one after a restart; with its own database when one is given.
    fn replica(&self, store: Option<Arc<dyn Store>>) -> SolanaRail {
        let store = store.unwrap_or_else(|| Arc::clone(&self.store));
        rail(&self.node, &store, &self.clock, |_| ())
    }

    /// Blocks are made, and time passes.
    fn advance(&self, blocks: u64) {
        self.node.advance(blocks);
        let seconds = u32::try_from(blocks * 2 / 5).unwrap();
        self.clock.advance(Span::from_secs(seconds));
    }

    /// A payment that is signed and valid now, of a payer with money.
    fn pay(&self, payer: u8) -> ClaimedPayment {
        self.pay_in(Version::V2, payer)
    }

    fn pay_in(&self, version: Version, payer: u8) -> ClaimedPayment {
        self.pay_by(version, &self.buyer(payer, PRICE))
    }

    /// Somebody who has so much.
    fn buyer(&self, number: u8, amount: u64) -> SolanaKey {
        let key = SolanaKey::from_seed(&[number; 32]);
        let (owner, mint) = (key.address(), terms().mint());
        let account = *ata(&owner).as_bytes();
        self.node
            .set_token_account(account, *mint.as_bytes(), *owner.as_bytes(), amount);
        key
    }

    fn pay_by(&self, version: Version, key: &SolanaKey) -> ClaimedPayment {
        let (terms, memo) = (terms(), hex::encode(self.node.blockhash()));
        let pay_to = SvmPayTo::Wallet(merchant());
        let draft = Draft::new(
            &terms,
            pay_to,
            Amount::new(PRICE.into()),
            self.node.blockhash(),
        );
        let draft = match version {
            Version::V1 => draft,
            Version::V2 => draft.with_memo(&memo),
        };
        let offer = spec().offer(Amount::new(PRICE.into()));
        let payload = svm_payload_for(
            version,
            &offer,
            resource().as_resource(),
            &draft.sign(key).unwrap(),
        );
        self.claim(StoredProof {
            payload,
            offer,
            resource: resource(),
        })
    }

    fn claim(&self, proof: StoredProof) -> ClaimedPayment {
        let identified = identify(&proof.payload, proof.offer.token()).unwrap();
        let uuid = Uuid::from_u128(1);
        let payment = Payment {
            id: PaymentId::from_uuid(uuid),
            operation: OperationId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            rail: spec().label,
            proof_key: identified.proof_key.into_string(),
            challenge_id: None,
            payer: Some(identified.payer),
            price: Usd::from_micros(90_000_000).unwrap(),
            asset: AssetAmount {
                atomic: PRICE.into(),
                decimals: 6,
            },
            void_after: Timestamp::from_secs(self.node.now_s() + 150),
            claimed_at: Timestamp::from_secs(self.node.now_s()),
            state: PaymentState::Claimed,
        };
        ClaimedPayment::for_conformance_suite(payment, proof)
    }

    async fn row(&self, payment: &ClaimedPayment) -> Option<ChainTransaction> {
        let mut tx = self.store.begin(TxMode::Read).await.unwrap();
        let rows = tx.chain_transactions_of(&payment.payment().proof_key).await;
        tx.rollback().await.unwrap();
        let mut rows = rows.unwrap();
        assert!(rows.len() < 2, "{rows:?}");
        rows.pop()
    }

    fn times_moved(&self, payment: &ClaimedPayment) -> usize {
        let Some(WalletAddress::Solana(payer)) = payment.payment().payer else {
            return 0;
        };
        self.node.times_paid_by(*payer.as_bytes())
    }

    fn merchant_has(&self) -> u64 {
        self.node.tokens(*ata(&merchant()).as_bytes())
    }
}

fn rail(
    node: &SolanaNode,
    store: &Arc<dyn Store>,
    clock: &ManualClock,
    change: impl FnOnce(&mut SolanaConfig),
) -> SolanaRail {
    let mut config = SolanaConfig::new(node.url(), fee_payer());
    config.timeouts = SolanaTimeouts {
        poll: Duration::from_millis(1),
        ..SolanaTimeouts::default()
    };
    change(&mut config);
    SolanaRail::new(spec(), config, Arc::clone(store), Arc::new(clock.clone())).unwrap()
}

fn resource() -> ResourceInfo {
    ResourceInfo {
        url: "https://compute.example/compute/provision".to_owned(),
        description: "720 h of vc2-1c-1gb".to_owned(),
        mime_type: "application/json".to_owned(),
    }
}

fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

fn reference(outcome: &Settlement) -> Option<String> {
    match outcome {
        Settlement::Settled(evidence) => Some(evidence.reference.clone()),
        _ => None,
    }
}
