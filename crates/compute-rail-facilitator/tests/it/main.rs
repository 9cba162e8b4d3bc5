//! The rail against a stand-in facilitator that really checks signatures, through real HTTP.

#![expect(
    clippy::indexing_slicing,
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
mod permit2;
mod solana;

use std::sync::Arc;
use std::time::Duration;

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
use compute_x402::client::{PaymentRequired, payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::facilitator::request_body;
use compute_x402::networks::{BASE_SEPOLIA_USDC, MEGAETH_USDM};
use compute_x402::permit2::{SPONSORING_EXTENSION, sponsoring_extension};
use compute_x402::{
    Amount, Body, Challenge, ErrorCode, Offer, PaymentPayload, PermitPaths, Recipient, Version,
    identify,
};
use serde_json::json;
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
    way: Way,
}

/// How its token is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By EIP-3009, on Base Sepolia.
    Authorization,
    /// Through Permit2 with a sponsored permit, on MegaETH.
    Permit2,
}

impl Way {
    const BOTH: [Self; 2] = [Self::Authorization, Self::Permit2];

    const fn network(self) -> Network {
        match self {
            Self::Authorization => NETWORK,
            Self::Permit2 => Network::Megaeth,
        }
    }

    fn spec(self) -> RailSpec {
        let token = match self {
            Self::Authorization => BASE_SEPOLIA_USDC.eip3009_terms(),
            Self::Permit2 => {
                let paths = PermitPaths::none().with_permit2(self.network().chain_id());
                MEGAETH_USDM.permit_terms(paths)
            }
        };
        RailSpec {
            label: RailLabel::parse(self.network().name()).unwrap(),
            decimals: self.network().decimals(),
            token: Arc::new(token.unwrap()),
            pay_to: Recipient::new(PAY_TO),
            max_timeout_seconds: u32::try_from(LIFE_S).unwrap(),
            settlement: "a stand-in".to_owned(),
        }
    }

    fn amount(self) -> u128 {
        AMOUNT * 10_u128.pow(u32::from(self.network().decimals()) - 6)
    }
}

/// Whether the rail has a chain node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Blind,
    Node,
}

impl Market {
    async fn open(sight: Sight) -> Self {
        Self::open_by(Way::Authorization, sight).await
    }

    async fn open_by(way: Way, sight: Sight) -> Self {
        let facilitator = spawn(Options::default()).await.unwrap();
        let mut config = FacilitatorConfig::new(facilitator.url());
        if sight == Sight::Node {
            config.rpc_url = Some(facilitator.rpc_url(way.network()).into());
        }
        Self::with_way(way, facilitator, config)
    }

    /// A rail as it is configured, beside a facilitator whose clock and chain count.
    fn with(facilitator: Handle, config: FacilitatorConfig) -> Self {
        Self::with_way(Way::Authorization, facilitator, config)
    }

    fn with_way(way: Way, facilitator: Handle, mut config: FacilitatorConfig) -> Self {
        let now_s = facilitator.now_s();
        let clock = ManualClock::at(Timestamp::from_secs(now_s));
        config.timeouts = Timeouts {
            settle: Duration::from_secs(1),
            verify: Duration::from_secs(1),
            ..Timeouts::default()
        };
        let rail = rail_of(way.spec(), &config, &clock);
        Self {
            facilitator,
            clock,
            rail,
            way,
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
        let key = EvmKey::from_bytes(&[payer; 32]).unwrap();
        let payload = match self.way {
            Way::Authorization => self.authorize(version, &key, nonce),
            Way::Permit2 => self.permit(version, &key, nonce, Some(Uint256::from(0_u128))),
        };
        self.claim(payload, nonce)
    }

    /// A transfer through Permit2, and a permit under this number if there is one.
    fn permit(
        &self,
        version: Version,
        key: &EvmKey,
        nonce: u8,
        permit: Option<Uint256>,
    ) -> PaymentPayload {
        let (resource, offers) = (resource(), [self.offer()]);
        let extensions = json!({ SPONSORING_EXTENSION: sponsoring_extension() });
        let asked = ErrorCode::PaymentRequired;
        let challenge = Challenge::new(resource.as_resource(), &offers, &asked);
        let challenge = challenge.with_extensions(&extensions);
        let network = self.way.network().name();
        let required = match version {
            Version::V1 => {
                let body = serde_json::to_vec(&challenge.v1_body(network)).unwrap();
                PaymentRequired::from_body(&body)
            }
            Version::V2 => {
                PaymentRequired::from_header(challenge.payment_required(network).as_bytes())
            }
        };
        let required = required.unwrap();
        let offer = &required.permit_offers()[0];
        let now_s = self.facilitator.now_s();
        required
            .pay_by_permit2(offer, key, [nonce; 32], permit, now_s)
            .unwrap()
    }

    fn authorize(&self, version: Version, key: &EvmKey, nonce: u8) -> PaymentPayload {
        let now_s = self.facilitator.now_s();
        let token = BASE_SEPOLIA_USDC.eip3009_terms().unwrap();
        let authorization = Authorization {
            from: key.address(),
            to: PAY_TO,
            value: Uint256::from(AMOUNT),
            valid_after: now_s - 600,
            valid_before: now_s + LIFE_S,
            nonce: [nonce; 32],
        };
        let signed = sign(token.as_evm().unwrap(), authorization, key);
        payload_for(version, &self.offer(), resource().as_resource(), &signed)
    }

    fn offer(&self) -> Offer {
        self.way.spec().offer(Amount::new(self.way.amount()))
    }

    /// A payment as our record of it says, when it is claimed now.
    fn claim(&self, payload: PaymentPayload, nonce: u8) -> ClaimedPayment {
        let now_s = self.facilitator.now_s();
        let (offer, spec) = (self.offer(), self.way.spec());
        let identified = identify(&payload, offer.token()).unwrap();
        let uuid = Uuid::from_u128(nonce.into());
        let payment = Payment {
            id: PaymentId::from_uuid(uuid),
            operation: OperationId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            rail: spec.label,
            proof_key: identified.proof_key.into_string(),
            challenge_id: None,
            payer: Some(identified.payer),
            price: Usd::from_micros(90_000_000).unwrap(),
            asset: AssetAmount {
                atomic: self.way.amount(),
                decimals: spec.decimals,
            },
            void_after: Timestamp::from_secs(now_s + LIFE_S),
            claimed_at: Timestamp::from_secs(now_s),
            state: PaymentState::Claimed,
        };
        let proof = StoredProof {
            payload,
            offer,
            resource: resource(),
        };
        ClaimedPayment::for_conformance_suite(payment, proof)
    }

    /// How often this payment moved money, by the chain's own record.
    fn times_moved(&self, payment: &ClaimedPayment) -> usize {
        let own = (
            payment.payment().payer.unwrap().to_string(),
            number_of(payment),
        );
        let moves_it = |event: &&Event| match event {
            Event::Settled { from, nonce, .. } => (from, nonce) == (&own.0, &own.1),
            _ => false,
        };
        self.facilitator.journal().iter().filter(moves_it).count()
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
        let (from, number) = (
            payment.payment().payer.unwrap().to_string(),
            number_of(payment),
        );
        self.facilitator
            .cancel(self.way.network(), &from, &number)
            .unwrap();
    }
}

/// What makes a payment single, as the journal writes it.
fn number_of(payment: &ClaimedPayment) -> String {
    let number = match payment.proof().payload.body() {
        Body::Authorization(signed) => signed.authorization.nonce,
        Body::Permit2(signed) => signed.transfer.nonce.to_be_bytes(),
        other => panic!("{other:?}"),
    };
    format!("0x{}", hex::encode(number))
}

fn resource() -> ResourceInfo {
    ResourceInfo {
        url: "https://compute.example/compute/provision".to_owned(),
        description: "720 h of vc2-1c-1gb".to_owned(),
        mime_type: "application/json".to_owned(),
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
    Way::Authorization.spec()
}
