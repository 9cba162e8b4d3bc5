//! Extension `offer-receipt`: offers and receipts that the shop signs, so that a client can prove
//! what it was asked for and that it paid (x402 extension offer-receipt, EIP-712 format).

use std::fmt;

use compute_wallet::{
    Digest32, EvmAddress, EvmKey, StructHasher, Uint256, WalletAddress, keccak256, signing_digest,
};
use serde_json::{Value, json};

use crate::networks::Network;
use crate::offer::Offer;
use crate::wire::v2::EXACT;

/// The name of the extension.
pub const OFFER_RECEIPT: &str = "offer-receipt";

/// The version of both payloads.
const VERSION: u64 = 1;

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId)";

const OFFER_TYPE: &str = "Offer(uint256 version,string resourceUrl,string scheme,string network,\
                          string asset,string payTo,string amount,uint256 validUntil)";

const RECEIPT_TYPE: &str = "Receipt(uint256 version,string network,string resourceUrl,\
                            string payer,uint256 issuedAt,string transaction)";

/// Signs offers and receipts with a key of the shop. Not the key of `payTo`, which a good shop
/// keeps off its servers.
pub struct ReceiptIssuer {
    key: EvmKey,
    offer: Schema,
    receipt: Schema,
}

/// The hashes of one kind of document.
struct Schema {
    separator: Digest32,
    type_hash: Digest32,
}

impl Schema {
    fn new(domain: &str, document: &str) -> Self {
        // The domain names chain 1 whatever the payment's chain, and no contract.
        let separator = StructHasher::new(&keccak256(DOMAIN_TYPE.as_bytes()))
            .text(domain)
            .text("1")
            .uint(Uint256::from(1_u64))
            .finish();
        Self {
            separator,
            type_hash: keccak256(document.as_bytes()),
        }
    }
}

impl ReceiptIssuer {
    /// An issuer with this key.
    #[must_use]
    pub fn new(key: EvmKey) -> Self {
        Self {
            key,
            offer: Schema::new("x402 offer", OFFER_TYPE),
            receipt: Schema::new("x402 receipt", RECEIPT_TYPE),
        }
    }

    /// Who signs: publish it, so that clients know whose word they have.
    #[must_use]
    pub const fn address(&self) -> EvmAddress {
        self.key.address()
    }

    /// The extension of a challenge: every offer signed, in the order in which they are shown.
    /// `valid_until_s` is Unix seconds.
    #[must_use]
    pub fn offers<'a>(
        &self,
        offers: impl IntoIterator<Item = &'a Offer>,
        resource_url: &str,
        valid_until_s: u64,
    ) -> Value {
        let offers = offers.into_iter().enumerate();
        let signed: Vec<Value> = offers
            .map(|(index, offer)| self.offer(offer, index, resource_url, valid_until_s))
            .collect();
        json!({ "info": { "offers": signed }, "schema": schema("offers", &json!({
            "type": "array", "items": signed_schema(),
        })) })
    }

    fn offer(&self, offer: &Offer, index: usize, resource_url: &str, valid_until_s: u64) -> Value {
        let (network, amount) = (offer.network().caip2(), offer.amount().to_string());
        let (asset, pay_to) = (offer.token().asset_text(), offer.pay_to_text());
        let document = StructHasher::new(&self.offer.type_hash)
            .uint(VERSION.into())
            .text(resource_url)
            .text(EXACT)
            .text(network)
            .text(asset)
            .text(pay_to)
            .text(&amount)
            .uint(valid_until_s.into())
            .finish();
        let payload = json!({
            "version": VERSION, "resourceUrl": resource_url, "scheme": EXACT,
            "network": network, "asset": asset, "payTo": pay_to, "amount": amount,
            "validUntil": valid_until_s,
        });
        let mut signed = self.sign(&self.offer, &document, payload);
        if let Some(members) = signed.as_object_mut() {
            members.insert("acceptIndex".to_owned(), json!(index));
        }
        signed
    }

    /// The extension of a settlement: who paid on which network for what, and in which transaction.
    /// `issued_at_s` is Unix seconds; the same for every repeat of an answer.
    #[must_use]
    pub fn receipt(
        &self,
        network: &Network,
        resource_url: &str,
        payer: &WalletAddress,
        issued_at_s: u64,
        transaction: &str,
    ) -> Value {
        let (network, payer) = (network.caip2(), payer.to_string());
        let document = StructHasher::new(&self.receipt.type_hash)
            .uint(VERSION.into())
            .text(network)
            .text(resource_url)
            .text(&payer)
            .uint(issued_at_s.into())
            .text(transaction)
            .finish();
        let payload = json!({
            "version": VERSION, "network": network, "resourceUrl": resource_url,
            "payer": payer, "issuedAt": issued_at_s, "transaction": transaction,
        });
        let signed = self.sign(&self.receipt, &document, payload);
        json!({ "info": { "receipt": signed }, "schema": schema("receipt", &signed_schema()) })
    }

    fn sign(&self, schema: &Schema, document: &Digest32, payload: Value) -> Value {
        let digest = signing_digest(&schema.separator, document);
        json!({
            "format": "eip712",
            "payload": payload,
            "signature": self.key.sign_digest(&digest).to_hex(),
        })
    }
}

fn signed_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "format": { "type": "string", "const": "eip712" },
            "acceptIndex": { "type": "integer" },
            "payload": { "type": "object" },
            "signature": { "type": "string" },
        },
        "required": ["format", "payload", "signature"],
    })
}

fn schema(member: &str, of: &Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { (member): of },
        "required": [member],
    })
}

impl fmt::Debug for ReceiptIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptIssuer")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
