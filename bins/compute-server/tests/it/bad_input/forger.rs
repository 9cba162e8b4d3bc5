//! Payments that are not what they should be.

use compute_wallet::Uint256;
use compute_x402::TokenTerms;
use compute_x402::client::sign;
use compute_x402::exact_evm::Authorization;
use serde_json::{Value, json};

use crate::buyer::{Buyer, now_ms, order, random};
use crate::server::Server;

/// Makes payments that are signed well but say something else.
pub(super) struct Forger {
    pub(super) buyer: Buyer,
    pub(super) token: TokenTerms,
    pub(super) authorization: Authorization,
}

impl Forger {
    pub(super) async fn new(server: &Server) -> Self {
        let buyer = Buyer::new();
        let challenge = buyer.challenge(server, &order()).await;
        let offer = &challenge.offers()[0];
        let now_s = now_ms() / 1_000;
        let authorization = Authorization {
            from: buyer.key.address(),
            to: offer.pay_to(),
            value: Uint256::from(offer.amount().get()),
            valid_after: 0,
            valid_before: now_s + 300,
            nonce: random(),
        };
        Self {
            token: offer.token().clone(),
            authorization,
            buyer,
        }
    }

    /// A version 1 payment, its authorization changed before it was signed.
    pub(super) fn envelope(&self, change: impl FnOnce(&mut Authorization)) -> Value {
        let mut authorization = self.authorization;
        authorization.nonce = random();
        change(&mut authorization);
        let signed = sign(self.token.as_evm().unwrap(), authorization, &self.buyer.key);
        json!({
            "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": signed.to_json(),
        })
    }

    /// A good payment whose signature was changed afterwards.
    pub(super) fn resigned(&self, change: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut envelope = self.envelope(|_| {});
        let signature = envelope["payload"]["signature"]
            .as_str()
            .unwrap()
            .trim_start_matches("0x");
        let mut bytes = hex::decode(signature).unwrap();
        change(&mut bytes);
        envelope["payload"]["signature"] = format!("0x{}", hex::encode(bytes)).into();
        envelope
    }

    /// A good payment with one member of its authorization replaced afterwards.
    pub(super) fn edited(&self, member: &str, value: Value) -> Value {
        let mut envelope = self.envelope(|_| {});
        envelope["payload"]["authorization"][member] = value;
        envelope
    }
}

/// The other valid `s` of the same signature, which no token accepts: n - s.
pub(super) fn raise_s(signature: &mut [u8]) {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let order = hex::decode(ORDER).unwrap();
    let mut borrow = 0_i16;
    for index in (0..32).rev() {
        let mut digit = i16::from(order[index]) - i16::from(signature[32 + index]) - borrow;
        borrow = i16::from(digit < 0);
        digit += 256 * borrow;
        signature[32 + index] = u8::try_from(digit).unwrap();
    }
    signature[64] = if signature[64] == 27 { 28 } else { 27 };
}
