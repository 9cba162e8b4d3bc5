//! The rail against a double of Stripe that keeps its own books, through real HTTP.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot do its part fails the test"
)]

mod books;
mod conformance;
mod lookup;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{ClaimedPayment, Lookup, Mpp, Settlement};
use compute_engine::{ChargeProof, ChargeSpec, ChargeTerms};
use compute_mpp::stripe::{SharedPaymentToken, StripeDetails};
use compute_mpp::{
    Amount, Challenge, ChallengeTerms, Credential, Method, Opaque, Realm, Secret, Secrets,
};
use compute_payment_double::stripe::{ACCOUNT, Card, Handle, SECRET_KEY, Token, spawn};
use compute_rail_stripe::{StripeConfig, StripeRail};
use compute_testkit::ambient::ManualClock;
use uuid::Uuid;

const NOW_S: u64 = 1_800_000_000;
const PRICE: u64 = 500;
const PAY: &str = "POST payment_intents";
const LIST: &str = "GET payment_intents";
const GET: &str = "GET payment_intents/{id}";
const CANCEL: &str = "POST payment_intents/{id}/cancel";

fn details() -> StripeDetails {
    StripeDetails {
        network_id: "profile_1".to_owned(),
        payment_method_types: vec!["card".to_owned()],
        metadata: vec![
            ("plan".to_owned(), "small".to_owned()),
            ("mpp_challenge_id".to_owned(), "another".to_owned()),
        ],
    }
}

fn terms() -> ChargeTerms {
    ChargeTerms::Stripe {
        details: details(),
        currency: "usd".to_owned(),
    }
}

fn spec() -> ChargeSpec {
    ChargeSpec {
        label: RailLabel::parse("stripe").unwrap(),
        decimals: 2,
        terms: terms(),
        settlement: "api.stripe.com".to_owned(),
    }
}

/// A claim of the challenge with this number, proven by this token.
fn claim(number: u8, token: &str) -> ClaimedPayment<Mpp> {
    let secrets = Secrets::new(Secret::new(&[7; 32]).unwrap());
    let realm = Realm::parse("compute.example").unwrap();
    let request = details().request(Amount::new(PRICE.into()), "usd");
    let encoded = request.encode().unwrap();
    let opaque = Opaque::new(&[number; 16], "provision");
    let issued = ChallengeTerms::new(&realm, &Method::STRIPE, &encoded, &opaque, NOW_S + 300);
    let challenge = Challenge::issue(&secrets, issued);
    let challenge_id = challenge.id().to_owned();
    let payload = SharedPaymentToken::parse(token).unwrap().payload(&request);
    let proof = ChargeProof {
        credential: Credential::new(challenge, None, payload),
        terms: terms(),
        atomic: PRICE.into(),
        account: Some(ACCOUNT.to_owned()),
    };
    let uuid = Uuid::from_u128(number.into());
    let payment = Payment {
        id: PaymentId::from_uuid(uuid),
        operation: OperationId::from_uuid(uuid),
        owner: OwnerId::from_uuid(uuid),
        rail: RailLabel::parse("stripe").unwrap(),
        proof_key: format!("mpp:stripe:{token}"),
        challenge_id: Some(challenge_id),
        payer: None,
        price: Usd::from_micros(5_000_000).unwrap(),
        asset: AssetAmount {
            atomic: PRICE.into(),
            decimals: 2,
        },
        void_after: Timestamp::from_secs(NOW_S + 20 * 3_600),
        claimed_at: Timestamp::from_secs(NOW_S),
        state: PaymentState::Claimed,
    };
    ClaimedPayment::for_conformance_suite(payment, proof)
}

const fn good() -> Token {
    Token {
        max_amount: PRICE,
        currency: "usd",
        card: Card::Pays,
        flaw: None,
    }
}

/// A double of Stripe, a rail that settles there, and the clock of both.
struct Town {
    stripe: Handle,
    clock: ManualClock,
    rail: StripeRail,
}

impl Town {
    async fn open() -> Self {
        let stripe = spawn(NOW_S).await.unwrap();
        let clock = ManualClock::at(Timestamp::from_secs(NOW_S));
        let rail = rail_with(&clock, stripe.url(), SECRET_KEY);
        Self {
            stripe,
            clock,
            rail,
        }
    }

    /// This replica after a restart, or another one.
    fn replica(&self) -> StripeRail {
        rail_with(&self.clock, self.stripe.url(), SECRET_KEY)
    }

    fn advance(&self, seconds: u32) {
        self.stripe.advance_clock(seconds.into());
        self.clock.advance(Span::from_secs(seconds));
    }

    /// The challenge with this number, and a token of its own.
    fn pay(&self, number: u8, token: Token) -> ClaimedPayment<Mpp> {
        let name = format!("spt_{number}");
        self.stripe.grant(&name, token);
        claim(number, &name)
    }

    fn with_card(&self, number: u8, card: Card) -> ClaimedPayment<Mpp> {
        self.pay(number, Token { card, ..good() })
    }

    /// What the double's own record says about the only money taken.
    fn evidence(&self) -> Evidence {
        let taken = self.stripe.taken();
        let [one] = taken.as_slice() else {
            panic!("money was taken {} times", taken.len());
        };
        assert_eq!((one.amount, one.currency.as_str()), (PRICE, "usd"));
        Evidence {
            reference: one.payment_intent.clone(),
            log_index: None,
        }
    }
}

fn config(url: String, key: &str) -> StripeConfig {
    let mut config = StripeConfig::new(key.to_owned());
    config.base_url = url;
    config.timeouts.request = Duration::from_secs(5);
    config
}

fn rail_of(clock: &ManualClock, config: &StripeConfig) -> StripeRail {
    StripeRail::new(spec(), config, Arc::new(clock.clone())).unwrap()
}

fn rail_with(clock: &ManualClock, url: String, key: &str) -> StripeRail {
    rail_of(clock, &config(url, key))
}

fn declined(code: &str) -> Settlement {
    Settlement::Declined {
        code: code.to_owned(),
    }
}

fn never(code: &str) -> Lookup {
    Lookup::Never {
        code: code.to_owned(),
    }
}

#[track_caller]
fn assert_unknown(outcome: &Settlement) {
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
}
