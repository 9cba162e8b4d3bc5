//! The payments that a till gets, signed as clients sign them.

use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Payment, PaymentState};
use compute_domain::time::Timestamp;
use compute_engine::ports::{ClaimedPayment, Rail as _};
use compute_engine::{ResourceInfo, StoredProof};
use compute_wallet::{EvmAddress, EvmKey, Uint256, WalletAddress};
use compute_x402::client::{sign, sign_permit};
use compute_x402::exact_evm::Authorization;
use compute_x402::permit::Permit;
use compute_x402::permit2::{EXACT_PROXY, PERMIT2, Permit2Transfer, SignedPermit2, Sponsored};
use compute_x402::{Amount, Offer, PaymentPayload, PermitPaths, identify};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::till::{PRICE, Till};

/// How long a payment is valid, in seconds.
pub(crate) const LIFE_S: u64 = 3_600;

/// How a payer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// EIP-3009 on Base.
    Transfer,
    /// ERC-2612 on MegaETH.
    Permit,
    /// Permit2 on MegaETH, with a permit for Permit2.
    Sponsored,
    /// Permit2 on MegaETH, approved before.
    Approved,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [
        Self::Transfer,
        Self::Permit,
        Self::Sponsored,
        Self::Approved,
    ];
}

/// A payment, and what its payer had.
#[derive(Debug)]
pub(crate) struct Bill {
    pub(crate) claimed: ClaimedPayment,
    pub(crate) payer: EvmAddress,
    pub(crate) way: Way,
    /// What the payer held when it was claimed.
    pub(crate) had: u128,
}

impl Till<'_> {
    /// A payment of a new payer, who has money for two.
    pub(crate) async fn bill(&self, way: Way) -> Bill {
        let key = self.chain.fresh_key();
        self.chain.mint(key.address(), 2 * PRICE).await;
        if way == Way::Approved {
            self.chain.approve(key.address(), PERMIT2, PRICE).await;
        }
        self.bill_of(way, &key, 0).await
    }

    /// A payment of a payer, whose permit is so far ahead of the token's counter.
    pub(crate) async fn bill_of(&self, way: Way, key: &EvmKey, ahead: u128) -> Bill {
        let nonce = self.chain.permit_nonce(key.address()).await + ahead;
        let (_, now_s) = self.chain.head().await;
        let offer = self.rail.spec().offer(Amount::new(PRICE));
        let payload = self.pay(way, key, nonce, now_s, &offer);
        self.claim(way, payload, offer, key.address(), now_s).await
    }

    pub(crate) fn pay(
        &self,
        way: Way,
        key: &EvmKey,
        nonce: u128,
        now_s: u64,
        offer: &Offer,
    ) -> PaymentPayload {
        let token = offer.token().as_evm().unwrap();
        let WalletAddress::Evm(pay_to) = offer.pay_to() else {
            panic!("an EVM chain has EVM accounts")
        };
        let value = Uint256::from(offer.amount().get());
        let permit = |spender| {
            let permit = Permit {
                owner: key.address(),
                spender,
                value,
                nonce: Uint256::from(nonce),
                deadline: now_s + LIFE_S,
            };
            sign_permit(token, permit, key)
        };
        match way {
            Way::Transfer => {
                let authorization = Authorization {
                    from: key.address(),
                    to: pay_to,
                    value,
                    valid_after: now_s - 600,
                    valid_before: now_s + LIFE_S,
                    nonce: self.chain.fresh_word(),
                };
                envelope(offer, &sign(token, authorization, key).to_json(), None)
            }
            Way::Permit => envelope(offer, &permit(pay_to).to_json(), None),
            Way::Sponsored | Way::Approved => {
                let sponsored = match way {
                    Way::Sponsored => Sponsored::Permit {
                        asset: token.contract(),
                        permit: Box::new(permit(PERMIT2)),
                    },
                    _ => Sponsored::Absent,
                };
                let transfer = Permit2Transfer {
                    from: key.address(),
                    token: token.contract(),
                    amount: value,
                    spender: EXACT_PROXY,
                    nonce: Uint256::from_be_bytes(self.chain.fresh_word()),
                    deadline: now_s + LIFE_S,
                    to: pay_to,
                    valid_after: now_s - 600,
                };
                let separator = PermitPaths::none().with_permit2(self.chain.id);
                let digest = transfer.digest(separator.permit2_separator().unwrap());
                let extension = sponsored.to_extension();
                let signed = SignedPermit2::new(transfer, &key.sign_digest(&digest), sponsored);
                envelope(offer, &signed.to_json(), extension)
            }
        }
    }

    /// A payment of a contract wallet by a signature of this owner.
    pub(crate) async fn bill_of_contract(&self, wallet: EvmAddress, owner: &EvmKey) -> Bill {
        let (_, now_s) = self.chain.head().await;
        let offer = self.rail.spec().offer(Amount::new(PRICE));
        let authorization = Authorization {
            from: wallet,
            to: self.treasury,
            value: Uint256::from(PRICE),
            valid_after: now_s - 600,
            valid_before: now_s + LIFE_S,
            nonce: self.chain.fresh_word(),
        };
        let digest = authorization.digest(offer.token().as_evm().unwrap());
        let signature = owner.sign_digest(&digest).to_hex();
        let signed = json!({"signature": signature, "authorization": authorization.to_json()});
        let payload = envelope(&offer, &signed, None);
        self.claim(Way::Transfer, payload, offer, wallet, now_s)
            .await
    }

    /// A payment as a saga would have claimed it.
    pub(crate) async fn claim(
        &self,
        way: Way,
        payload: PaymentPayload,
        offer: Offer,
        payer: EvmAddress,
        now_s: u64,
    ) -> Bill {
        let proof_key = match identify(&payload, offer.token()) {
            Ok(identified) => identified.proof_key.into_string(),
            // What nobody could claim: cases show that it is not signed for either.
            Err(_) => format!("unverified:{}", hex::encode(self.chain.fresh_word())),
        };
        let uuid = Uuid::from_bytes(self.chain.fresh_word()[..16].try_into().unwrap());
        let payment = Payment {
            id: PaymentId::from_uuid(uuid),
            operation: OperationId::from_uuid(uuid),
            owner: OwnerId::from_uuid(uuid),
            rail: self.rail.spec().label.clone(),
            proof_key,
            challenge_id: None,
            payer: Some(WalletAddress::Evm(payer)),
            price: Usd::from_micros(5_000_000).unwrap(),
            asset: AssetAmount {
                atomic: PRICE,
                decimals: self.rail.spec().decimals,
            },
            void_after: Timestamp::from_secs(now_s + LIFE_S),
            claimed_at: Timestamp::from_secs(now_s),
            state: PaymentState::Claimed,
        };
        let proof = StoredProof {
            payload,
            offer,
            resource: ResourceInfo {
                url: "https://compute.example/compute/provision".to_owned(),
                description: "24 h".to_owned(),
                mime_type: "application/json".to_owned(),
            },
        };
        Bill {
            claimed: ClaimedPayment::for_conformance_suite(payment, proof),
            payer,
            way,
            had: self.chain.balance(payer).await,
        }
    }
}

/// A payment of version 2 for one of our offers.
pub(crate) fn envelope(offer: &Offer, signed: &Value, sponsoring: Option<Value>) -> PaymentPayload {
    let mut envelope = json!({"x402Version": 2, "accepted": offer.to_v2(), "payload": signed});
    if let Some(extension) = sponsoring {
        envelope["extensions"] = json!({"eip2612GasSponsoring": extension});
    }
    PaymentPayload::from_json(envelope).unwrap()
}
