//! The rail against a stand-in facilitator that really checks signatures, through real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod cdp;
mod check;
mod conformance;
mod failover;
mod health;
mod hostile;
mod lookup;
mod solana;

use std::sync::Arc;
use std::time::Duration;

use compute_domain::WalletAddress;
use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Payment, PaymentState, RailLabel};
use compute_domain::time::Timestamp;
use compute_engine::ports::{ClaimedPayment, RailSpec};
use compute_engine::{ResourceInfo, StoredProof};
use compute_rail_facilitator::{FacilitatorConfig, FacilitatorRail, Timeouts};
use compute_testkit::ambient::{ManualClock, SeededEntropy};
use compute_testkit::facilitator::{Event, Handle, Network, Options, spawn};
use compute_wallet::{EvmAddress, EvmKey, Uint256};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::facilitator::request_body;
use compute_x402::networks::BASE_SEPOLIA_USDC;
use compute_x402::{Amount, Recipient, Version, identify};
use uuid::Uuid;

const NETWORK: Network = Network::BaseSepolia;
const PAY_TO: EvmAddress = EvmAddress::new([0x60; 20]);
const AMOUNT: u128 = 90_000_000;
/// How long the test payments are valid, in seconds.
const LIFE_S: u64 = 300;

/// A facilitator, a rail over it, and a clock that both follow.
struct Market {
    facilitator: Handle,
    clock: ManualClock,
    rail: FacilitatorRail,
}

/// Whether the rail has a chain node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Blind,
    Node,
}

impl Market {
    async fn open(sight: Sight) -> Self {
        let facilitator = spawn(Options::default()).await.unwrap();
        let mut config = FacilitatorConfig::new(facilitator.url());
        if sight == Sight::Node {
            config.rpc_url = Some(facilitator.rpc_url(NETWORK).into());
        }
        Self::with(facilitator, config)
    }

    /// A rail as it is configured, beside a facilitator whose clock and chain count.
    fn with(facilitator: Handle, mut config: FacilitatorConfig) -> Self {
        let now_s = facilitator.now_s();
        let clock = ManualClock::at(Timestamp::from_secs(now_s));
        config.timeouts = Timeouts {
            settle: Duration::from_secs(1),
            verify: Duration::from_secs(1),
            ..Timeouts::default()
        };
        let rail = rail(&config, &clock);
        Self {
            facilitator,
            clock,
            rail,
        }
    }

    fn advance(&self, seconds: u32) {
        self.facilitator.advance_clock(seconds.into());
        self.clock
            .advance(compute_domain::time::Span::from_secs(seconds));
    }

    fn pay(&self, seed: u8) -> ClaimedPayment {
        self.pay_in(Version::V2, seed)
    }

    fn pay_in(&self, version: Version, seed: u8) -> ClaimedPayment {
        self.pay_under(version, seed, seed)
    }

    /// The payment of a payer under a nonce.
    fn pay_under(&self, version: Version, payer: u8, nonce: u8) -> ClaimedPayment {
        let now_s = self.facilitator.now_s();
        let key = EvmKey::from_bytes(&[payer; 32]).unwrap();
        let token = BASE_SEPOLIA_USDC.eip3009_terms().unwrap();
        let authorization = Authorization {
            from: key.address(),
            to: PAY_TO,
            value: Uint256::from(AMOUNT),
            valid_after: now_s - 600,
            valid_before: now_s + LIFE_S,
            nonce: [nonce; 32],
        };
        let signed = sign(token.as_evm().unwrap(), authorization, &key);
        let offer = spec().offer(Amount::new(AMOUNT));
        let resource = ResourceInfo {
            url: "https://compute.example/compute/provision".to_owned(),
            description: "720 h of vc2-1c-1gb".to_owned(),
            mime_type: "application/json".to_owned(),
        };
        let payload = payload_for(version, &offer, resource.as_resource(), &signed);
        let identified = identify(&payload, &token).unwrap();
        let uuid = Uuid::from_u128(nonce.into());
        let payment = Payment {
            id: PaymentId::from_uuid(uuid),
            operation: OperationId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            rail: spec().label,
            proof_key: identified.proof_key.into_string(),
            payer: WalletAddress::Evm(key.address()),
            price: Usd::from_micros(90_000_000).unwrap(),
            asset: AssetAmount {
                atomic: AMOUNT,
                decimals: 6,
            },
            void_after: Timestamp::from_secs(now_s + LIFE_S),
            claimed_at: Timestamp::from_secs(now_s),
            state: PaymentState::Claimed,
        };
        let proof = StoredProof {
            payload,
            offer,
            resource,
        };
        ClaimedPayment::for_conformance_suite(payment, proof)
    }

    /// How often this payment moved money, by the chain's own record.
    fn times_moved(&self, payment: &ClaimedPayment) -> usize {
        let digest_of = |event: &Event| match event {
            Event::Settled { from, nonce, .. } => Some(format!("{from}:{nonce}")),
            _ => None,
        };
        let key = &payment.payment().proof_key;
        let events = self.facilitator.journal();
        events
            .iter()
            .filter_map(digest_of)
            .filter(|own| key.ends_with(own.as_str()))
            .count()
    }

    /// Somebody else submits the payment.
    fn front_run(&self, payment: &ClaimedPayment) {
        self.land_together([payment]);
    }

    /// Somebody submits payments in one transaction.
    fn land_together<const N: usize>(&self, payments: [&ClaimedPayment; N]) {
        let bodies = payments.map(|payment| {
            let proof = payment.proof();
            let resource = proof.resource.as_resource();
            request_body(Version::V2, &proof.payload, &proof.offer, resource)
        });
        self.facilitator.land_together(&bodies).unwrap();
    }

    /// The payer cancels the payment.
    fn cancel(&self, payment: &ClaimedPayment) {
        let parts: Vec<&str> = payment.payment().proof_key.split(':').collect();
        let [_, _, _, from, nonce] = parts[..] else {
            panic!("{parts:?}")
        };
        self.facilitator.cancel(NETWORK, from, nonce).unwrap();
    }
}

fn rail(config: &FacilitatorConfig, clock: &ManualClock) -> FacilitatorRail {
    rail_of(spec(), config, clock)
}

fn rail_of(spec: RailSpec, config: &FacilitatorConfig, clock: &ManualClock) -> FacilitatorRail {
    let entropy = Arc::new(SeededEntropy::new(1));
    FacilitatorRail::new(spec, config, Arc::new(clock.clone()), entropy).unwrap()
}

fn spec() -> RailSpec {
    RailSpec {
        label: RailLabel::parse("base-sepolia").unwrap(),
        decimals: 6,
        token: Arc::new(BASE_SEPOLIA_USDC.eip3009_terms().unwrap()),
        pay_to: Recipient::new(PAY_TO),
        max_timeout_seconds: 300,
        settlement: "a stand-in".to_owned(),
    }
}
