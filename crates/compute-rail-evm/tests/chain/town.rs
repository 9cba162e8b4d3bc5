//! The local chains, asked past every proxy, and what others do on them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compute_testkit::node_proxy::ask;
use compute_wallet::{EvmAddress, EvmKey, keccak256};
use serde_json::{Value, json};

/// `keccak256("Transfer(address,address,uint256)")`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// Gas for whatever others send.
const GAS: &str = "0x7a120";

/// What others pay at most, in wei per gas: 100 gwei.
const DEAR: &str = "0x174876e800";

/// What others pay above the base fee: 5 gwei, which brings them before ours.
const HURRY: &str = "0x12a05f200";

/// Wei that an account needs to send what a case lets it send.
const SOME_COIN: u128 = 1_000_000_000_000_000_000;

/// What the programs of `cargo xtask chain-test` have built.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) base: Chain,
    pub(crate) megaeth: Chain,
    owner: String,
}

/// A chain, with the contracts that payments need.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) id: u64,
    pub(crate) url: String,
    pub(crate) token: EvmAddress,
    wallets: BTreeMap<String, EvmAddress>,
    /// Mints, pauses and blocks; an account of the node's.
    keeper: String,
    /// Submits what others signed; an account of the node's.
    observer: String,
    /// Tells this run's accounts from those of another run on the same chain.
    began: (u64, u64),
    accounts: AtomicU64,
}

/// A transfer of a chain's token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) to: EvmAddress,
    pub(crate) amount: u128,
    pub(crate) transaction: String,
    pub(crate) log_index: u32,
}

impl Town {
    /// Reads the file that `CHAIN_SETUP` names.
    pub(crate) async fn visit(file: &std::path::Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let setup: Value = serde_json::from_str(&text).unwrap();
        let chain = async |id: u64| Chain::visit(id, &setup["chains"][id.to_string()]).await;
        Self {
            base: chain(8453).await,
            megaeth: chain(4326).await,
            owner: setup["walletOwner"]["key"].as_str().unwrap().to_owned(),
        }
    }

    /// Who owns all contract wallets.
    pub(crate) fn owner(&self) -> EvmKey {
        EvmKey::from_hex(&self.owner).unwrap()
    }
}

impl Chain {
    async fn visit(id: u64, setup: &Value) -> Self {
        let url = setup["rpc"].as_str().unwrap().to_owned();
        let accounts = ask(&url, "eth_accounts", &json!([])).await.unwrap();
        let wallets = setup["wallets"].as_object().unwrap();
        let mut chain = Self {
            id,
            began: (0, 0),
            token: address(&setup["token"]),
            wallets: wallets
                .iter()
                .map(|(name, it)| (name.clone(), address(it)))
                .collect(),
            keeper: accounts[0].as_str().unwrap().to_owned(),
            observer: accounts[1].as_str().unwrap().to_owned(),
            accounts: AtomicU64::default(),
            url,
        };
        chain.settle_down().await;
        chain.began = chain.head().await;
        chain
    }

    /// A transaction makes a block at once, and nothing else does.
    pub(crate) async fn settle_down(&self) {
        self.ask("evm_setIntervalMining", json!([0])).await;
        self.ask("anvil_dropAllTransactions", json!([])).await;
        self.set_next_base_fee(1_000_000_000).await;
        self.mine(1).await;
        self.ask("evm_setAutomine", json!([true])).await;
    }

    /// Transactions wait until somebody mines.
    pub(crate) async fn hold(&self) {
        self.ask("evm_setAutomine", json!([false])).await;
    }

    pub(crate) async fn release(&self) {
        self.ask("evm_setAutomine", json!([true])).await;
        self.mine(1).await;
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")]))
            .await;
    }

    /// Makes the next block so much later, and mines it.
    pub(crate) async fn wait_seconds(&self, seconds: u64) {
        self.ask("evm_increaseTime", json!([seconds])).await;
        self.mine(1).await;
    }

    pub(crate) async fn reorganize(&self, blocks: u64) {
        self.ask("anvil_reorg", json!([blocks, []])).await;
    }

    pub(crate) async fn drop_transaction(&self, hash: &str) {
        self.ask("anvil_dropTransaction", json!([hash])).await;
    }

    pub(crate) async fn set_next_base_fee(&self, wei: u64) {
        self.ask(
            "anvil_setNextBlockBaseFeePerGas",
            json!([format!("{wei:#x}")]),
        )
        .await;
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        ask(&self.url, method, &params).await.unwrap()
    }

    /// Number and time of the newest block.
    pub(crate) async fn head(&self) -> (u64, u64) {
        let block = self
            .ask("eth_getBlockByNumber", json!(["latest", false]))
            .await;
        (quantity(&block["number"]), quantity(&block["timestamp"]))
    }

    pub(crate) async fn count(&self, account: EvmAddress) -> u64 {
        let params = json!([account.to_string(), "latest"]);
        quantity(&self.ask("eth_getTransactionCount", params).await)
    }

    pub(crate) async fn receipt(&self, hash: &str) -> Value {
        self.ask("eth_getTransactionReceipt", json!([hash])).await
    }

    pub(crate) async fn transaction(&self, hash: &str) -> Value {
        self.ask("eth_getTransactionByHash", json!([hash])).await
    }

    /// Receipts of every transaction of an account in blocks from this one on.
    pub(crate) async fn sent_by(&self, account: EvmAddress, first: u64) -> Vec<Value> {
        let (last, _) = self.head().await;
        let mut found = Vec::new();
        for number in first..=last {
            let params = json!([format!("{number:#x}"), true]);
            let block = self.ask("eth_getBlockByNumber", params).await;
            for transaction in block["transactions"].as_array().unwrap() {
                if address(&transaction["from"]) == account {
                    found.push(self.receipt(transaction["hash"].as_str().unwrap()).await);
                }
            }
        }
        found
    }

    pub(crate) async fn balance(&self, owner: EvmAddress) -> u128 {
        self.read(&format!("0x70a08231{}", word(owner))).await
    }

    pub(crate) async fn permit_nonce(&self, owner: EvmAddress) -> u128 {
        self.read(&format!("0x7ecebe00{}", word(owner))).await
    }

    pub(crate) async fn allowance(&self, owner: EvmAddress, spender: EvmAddress) -> u128 {
        self.read(&format!("0xdd62ed3e{}{}", word(owner), word(spender)))
            .await
    }

    async fn read(&self, data: &str) -> u128 {
        let call = json!([{"to": self.token.to_string(), "data": data}, "latest"]);
        let answer = self.ask("eth_call", call).await;
        u128::from_str_radix(answer.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Every transfer of the token from an account, by the chain's log.
    pub(crate) async fn moves_of(&self, from: EvmAddress) -> Vec<Moved> {
        let filter = json!([{
            "address": self.token.to_string(),
            "topics": [TRANSFER, format!("0x{}", word(from))],
            "fromBlock": "0x0", "toBlock": "latest",
        }]);
        let logs = self.ask("eth_getLogs", filter).await;
        let moved = |log: &Value| Moved {
            to: EvmAddress::parse_any_case(&format!(
                "0x{}",
                &log["topics"][2].as_str().unwrap()[26..]
            ))
            .unwrap(),
            amount: u128::from_str_radix(&log["data"].as_str().unwrap()[2..], 16).unwrap(),
            transaction: log["transactionHash"].as_str().unwrap().to_owned(),
            log_index: quantity(&log["logIndex"]).try_into().unwrap(),
        };
        logs.as_array().unwrap().iter().map(moved).collect()
    }

    /// A contract wallet by its manner.
    pub(crate) fn wallet(&self, manner: &str) -> EvmAddress {
        self.wallets[manner]
    }

    /// A key that nobody had before.
    pub(crate) fn fresh_key(&self) -> EvmKey {
        EvmKey::from_bytes(&self.fresh_word()).unwrap()
    }

    /// 32 bytes that nobody had before.
    pub(crate) fn fresh_word(&self) -> [u8; 32] {
        let number = self.accounts.fetch_add(1, Ordering::Relaxed);
        keccak256(format!("{} {:?} {number}", self.id, self.began).as_bytes())
    }

    pub(crate) async fn give_coin(&self, account: EvmAddress, wei: u128) {
        let params = json!([account.to_string(), format!("{wei:#x}")]);
        self.ask("anvil_setBalance", params).await;
    }

    pub(crate) async fn mint(&self, to: EvmAddress, amount: u128) {
        let data = format!("0x40c10f19{}{}", word(to), uint(amount));
        self.as_keeper(&data).await;
    }

    /// Stops the token, or lets it go on.
    pub(crate) async fn set_paused(&self, is_paused: bool) {
        self.as_keeper(if is_paused {
            "0x8456cb59"
        } else {
            "0x3f4ba83a"
        })
        .await;
    }

    /// Puts an account on the token's block list.
    pub(crate) async fn block_list(&self, account: EvmAddress) {
        self.as_keeper(&format!("0xf9f92be4{}", word(account)))
            .await;
    }

    async fn as_keeper(&self, data: &str) {
        let hash = self.send(&self.keeper, self.token, data).await;
        self.expect_success(&hash).await;
    }

    /// Somebody who saw calldata submits it; the hash.
    pub(crate) async fn observe(&self, to: EvmAddress, data: &str) -> String {
        self.send(&self.observer, to, data).await
    }

    /// An account without a key of the node's sends something, next in its line.
    pub(crate) async fn act_as(&self, account: EvmAddress, to: EvmAddress, data: &str) -> String {
        self.give_coin(account, SOME_COIN).await;
        let from = account.to_string();
        self.ask("anvil_impersonateAccount", json!([from])).await;
        let hash = self.send(&from, to, data).await;
        self.ask("anvil_stopImpersonatingAccount", json!([from]))
            .await;
        hash
    }

    /// The same at a number of its line, with a price that wins.
    pub(crate) async fn act_at(&self, account: EvmAddress, nonce: u64) -> String {
        let from = account.to_string();
        self.ask("anvil_impersonateAccount", json!([from])).await;
        let transaction = json!([{
            "from": from, "to": from, "nonce": format!("{nonce:#x}"), "gas": GAS,
            "maxFeePerGas": DEAR, "maxPriorityFeePerGas": DEAR,
        }]);
        let hash = self.ask("eth_sendTransaction", transaction).await;
        self.ask("anvil_stopImpersonatingAccount", json!([from]))
            .await;
        hash.as_str().unwrap().to_owned()
    }

    /// The payer spends everything it has.
    pub(crate) async fn drain(&self, payer: EvmAddress) {
        let held = self.balance(payer).await;
        let data = format!(
            "0xa9059cbb{}{}",
            word(EvmAddress::new([0x77; 20])),
            uint(held)
        );
        let hash = self.act_as(payer, self.token, &data).await;
        self.expect_success(&hash).await;
    }

    /// The payer spends everything in the next block, which others may have to mine.
    pub(crate) async fn spend(&self, payer: EvmAddress) {
        let held = self.balance(payer).await;
        let data = format!(
            "0xa9059cbb{}{}",
            word(EvmAddress::new([0x77; 20])),
            uint(held)
        );
        self.act_as(payer, self.token, &data).await;
    }

    /// The owner takes an approval back in the next block.
    pub(crate) async fn revoke_next(&self, owner: EvmAddress, spender: EvmAddress) {
        let data = format!("0x095ea7b3{}{}", word(spender), uint(0));
        self.act_as(owner, self.token, &data).await;
    }

    /// The token stops in the next block.
    pub(crate) async fn pause_next(&self) {
        self.send(&self.keeper, self.token, "0x8456cb59").await;
    }

    /// Moves tokens that are there; the transaction.
    pub(crate) async fn transfer(&self, from: EvmAddress, to: EvmAddress, amount: u128) -> String {
        let data = format!("0xa9059cbb{}{}", word(to), uint(amount));
        let hash = self.act_as(from, self.token, &data).await;
        self.expect_success(&hash).await;
        hash
    }

    pub(crate) async fn approve(&self, owner: EvmAddress, spender: EvmAddress, amount: u128) {
        let data = format!("0x095ea7b3{}{}", word(spender), uint(amount));
        let hash = self.act_as(owner, self.token, &data).await;
        self.expect_success(&hash).await;
    }

    /// A contract wallet changes its manner, by the number that its contract gives it.
    pub(crate) async fn become_(&self, wallet: EvmAddress, manner: u128) {
        let data = format!("0x{}{}", selector("become(uint8)"), uint(manner));
        let hash = self.observe(wallet, &data).await;
        self.expect_success(&hash).await;
    }

    async fn send(&self, from: &str, to: EvmAddress, data: &str) -> String {
        let transaction = json!([{
            "from": from, "to": to.to_string(), "data": data, "gas": GAS,
            "maxFeePerGas": DEAR, "maxPriorityFeePerGas": HURRY,
        }]);
        let hash = self.ask("eth_sendTransaction", transaction).await;
        hash.as_str().unwrap().to_owned()
    }

    /// Waits until a transaction is in, which must have succeeded.
    pub(crate) async fn expect_success(&self, hash: &str) {
        for _ in 0..500 {
            let receipt = self.receipt(hash).await;
            if receipt.is_object() {
                assert_eq!(receipt["status"], "0x1", "{hash}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{hash} is not in a block")
    }
}

pub(crate) fn address(text: &Value) -> EvmAddress {
    EvmAddress::parse_any_case(text.as_str().unwrap()).unwrap()
}

/// An address as an argument.
pub(crate) fn word(address: EvmAddress) -> String {
    format!("{:0>64}", hex::encode(address.as_bytes()))
}

/// A number as an argument.
pub(crate) fn uint(number: u128) -> String {
    format!("{number:064x}")
}

/// The first 4 bytes of a call.
pub(crate) fn selector(signature: &str) -> String {
    hex::encode(&keccak256(signature.as_bytes())[..4])
}

pub(crate) fn quantity(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}
