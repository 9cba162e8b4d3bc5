use compute_outbound::OutboundClient;
use compute_testkit::facilitator::{Event, Fault, Handle, Network, Options, spawn};
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};

use crate::{body, client, get, post, temporary};

/// A payment signed outside of this workspace's code: the vector `eip3009-v2-base` style payload is
/// bound to a clock of its own, so tests sign afresh.
struct Buyer(SigningKey);

const PAY_TO: &str = "0x60555990d56622d2d39dcd444404ef8e596e370e";

impl Buyer {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    fn address(&self) -> alloy_primitives::Address {
        alloy_primitives::Address::from_public_key(self.0.verifying_key())
    }

    /// The body of `/verify` and `/settle` for a payment of `value` on Base Sepolia.
    fn pay(&self, value: u64, nonce: u8) -> Value {
        use alloy_sol_types::{SolStruct, eip712_domain, sol};
        sol! {
            struct TransferWithAuthorization {
                address from; address to; uint256 value;
                uint256 validAfter; uint256 validBefore; bytes32 nonce;
            }
        }
        let network = Network::BaseSepolia;
        let valid_before = 4_000_000_000_u64;
        let message = TransferWithAuthorization {
            from: self.address(),
            to: PAY_TO.parse().unwrap(),
            value: alloy_primitives::U256::from(value),
            validAfter: alloy_primitives::U256::ZERO,
            validBefore: alloy_primitives::U256::from(valid_before),
            nonce: [nonce; 32].into(),
        };
        let domain = eip712_domain! {
            name: network.token_name(), version: network.token_version(),
            chain_id: network.chain_id(), verifying_contract: network.token(),
        };
        let digest = message.eip712_signing_hash(&domain);
        let (signature, recovery) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let mut raw = signature.to_bytes().to_vec();
        raw.push(27 + recovery.to_byte());
        let offer = json!({
            "scheme": "exact", "network": network.caip2(), "amount": value.to_string(),
            "asset": network.token(), "payTo": PAY_TO, "maxTimeoutSeconds": 300,
            "extra": {"name": network.token_name(), "version": network.token_version()},
        });
        json!({
            "x402Version": 2,
            "paymentPayload": {"x402Version": 2, "accepted": offer, "payload": {
                "signature": format!("0x{}", hex::encode(raw)),
                "authorization": {
                    "from": self.address(), "to": PAY_TO, "value": value.to_string(),
                    "validAfter": "0", "validBefore": valid_before.to_string(),
                    "nonce": format!("0x{}", hex::encode([nonce; 32])),
                },
            }},
            "paymentRequirements": offer,
        })
    }
}

async fn start(options: Options) -> (Handle, OutboundClient) {
    let facilitator = spawn(options).await.unwrap();
    let api = client(&facilitator.url(), None);
    (facilitator, api)
}

async fn settle(api: &OutboundClient, payment: &Value) -> Value {
    body(&post(api, &["settle"], payment).await.unwrap())
}

async fn verify(api: &OutboundClient, payment: &Value) -> Value {
    body(&post(api, &["verify"], payment).await.unwrap())
}

#[tokio::test]
async fn both_versions_of_each_network_are_supported() {
    let (_facilitator, api) = start(Options::default()).await;
    let kinds = body(&get(&api, &["supported"]).await)["kinds"].clone();
    for kind in [
        json!({"x402Version": 1, "scheme": "exact", "network": "base"}),
        json!({"x402Version": 2, "scheme": "exact", "network": "eip155:84532"}),
    ] {
        assert!(kinds.as_array().unwrap().contains(&kind), "{kinds}");
    }
}

#[tokio::test]
async fn one_payment_settles_once_and_repeats_get_the_same_answer() {
    let (facilitator, api) = start(Options::default()).await;
    let buyer = Buyer::new(1);
    let payment = buyer.pay(90_000_000, 1);
    assert_eq!(verify(&api, &payment).await["isValid"], true);
    let first = settle(&api, &payment).await;
    assert_eq!(first["success"], true, "{first}");
    assert_eq!(settle(&api, &payment).await, first);
    let other = settle(&api, &buyer.pay(80_000_000, 1)).await;
    assert_eq!(other["errorReason"], "invalid_exact_evm_nonce_already_used");
    assert_eq!(facilitator.journal().len(), 1);
}

#[tokio::test]
async fn forged_and_altered_payments_are_refused() {
    let (facilitator, api) = start(Options::default()).await;
    let check = async |pointer: &str, value: Value, reason: &str| {
        let mut payment = Buyer::new(1).pay(5, 1);
        *payment.pointer_mut(pointer).unwrap() = value;
        assert_eq!(
            verify(&api, &payment).await["invalidReason"],
            reason,
            "{pointer}"
        );
        assert_eq!(
            settle(&api, &payment).await["errorReason"],
            reason,
            "{pointer}"
        );
    };
    let authorization = "/paymentPayload/payload/authorization";
    let signature = "invalid_exact_evm_payload_signature";
    check(
        &format!("{authorization}/validAfter"),
        json!("1"),
        signature,
    )
    .await;
    check(&format!("{authorization}/from"), json!(PAY_TO), signature).await;
    check(
        "/paymentPayload/payload/signature",
        json!("0x00"),
        signature,
    )
    .await;
    let value = "invalid_exact_evm_payload_authorization_value_mismatch";
    check(&format!("{authorization}/value"), json!("4"), value).await;
    check(
        &format!("{authorization}/value"),
        json!(5),
        "invalid_payload",
    )
    .await;
    check(
        "/paymentRequirements/amount",
        json!("4"),
        "invalid_payment_requirements",
    )
    .await;
    check(
        "/paymentRequirements/extra/name",
        json!("USD Coin"),
        "invalid_exact_evm_token_name_mismatch",
    )
    .await;
    check("/x402Version", json!(3), "invalid_x402_version").await;
    assert!(facilitator.journal().is_empty());
}

#[tokio::test]
async fn money_that_is_not_there_cannot_move() {
    let options = Options {
        opening_balance: 10,
        ..Options::default()
    };
    let (_facilitator, api) = start(options).await;
    let buyer = Buyer::new(1);
    assert_eq!(settle(&api, &buyer.pay(6, 1)).await["success"], true);
    assert_eq!(
        settle(&api, &buyer.pay(6, 2)).await["errorReason"],
        "insufficient_funds"
    );
}

#[tokio::test]
async fn the_ledger_outlives_the_facilitator() {
    let path = temporary("facilitator");
    let options = Options {
        journal: Some(path.clone()),
        ..Options::default()
    };
    let payment = Buyer::new(1).pay(5, 1);
    let (facilitator, api) = start(options.clone()).await;
    facilitator.inject(Fault::SettleThenDrop);
    assert!(
        !post(&api, &["settle"], &payment)
            .await
            .unwrap_err()
            .is_not_sent()
    );
    drop((facilitator, api));
    let (facilitator, api) = start(options).await;
    assert_eq!(settle(&api, &payment).await["success"], true);
    assert_eq!(facilitator.journal().len(), 1);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn the_node_shows_what_settled() {
    let (facilitator, api) = start(Options::default()).await;
    let network = Network::BaseSepolia;
    let node = client(&facilitator.rpc_url(network), None);
    let call = async |method: &str, params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        body(&post(&node, &[], &request).await.unwrap())["result"].clone()
    };
    let buyer = Buyer::new(1);
    let word = format!("{:0>64}", hex::encode(buyer.address()));
    let data = format!("0xe94a0102{word}{}", hex::encode([1; 32]));
    let state = json!([{"to": network.token(), "data": data}, "latest"]);
    assert_eq!(
        call("eth_call", state.clone()).await,
        format!("0x{:064x}", 0)
    );
    let settled = settle(&api, &buyer.pay(5, 1)).await;
    assert_eq!(call("eth_call", state).await, format!("0x{:064x}", 1));
    let receipt = call("eth_getTransactionReceipt", json!([settled["transaction"]])).await;
    assert_eq!(receipt["status"], "0x1");
    let used = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";
    let block = receipt["blockNumber"].clone();
    let filter = json!([{
        "address": network.token(), "fromBlock": block, "toBlock": "latest",
        "topics": [used, format!("0x{word}")],
    }]);
    let logs = call("eth_getLogs", filter).await;
    assert_eq!(logs.as_array().unwrap().len(), 1);
    assert_eq!(logs[0]["transactionHash"], settled["transaction"]);
    let moved = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    assert_eq!(receipt["logs"][1]["topics"][0], moved);
    assert!(matches!(
        &facilitator.journal()[..],
        [Event::Settled { .. }]
    ));
}
