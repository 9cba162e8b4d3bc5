//! A rail with a hot wallet of its own behind a proxy, the payments it gets, and what must be true of them.

use std::sync::Arc;
use std::time::Duration;

use compute_domain::payment::{Evidence, RailLabel};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{
    ChainTransaction, Check, Lane, Lookup, Purpose, Rail as _, RailHealth, RailSpec, SentState,
    Settlement, Store, TxMode,
};
use compute_rail_evm::{EvmConfig, EvmRail, EvmTimeouts};
use compute_testkit::ambient::ManualClock;
use compute_testkit::database::TestDatabase;
use compute_testkit::node_proxy::{NodeFault, NodeProxy, ask};
use compute_wallet::{EvmAddress, EvmKey};
use compute_x402::networks::{BASE_USDC, MEGAETH_USDM};
use compute_x402::{PermitPaths, Recipient};
use serde_json::{Value, json};

use crate::bill::{Bill, Way};
use crate::town::{Chain, quantity};

/// What everything costs here, in atomic units.
pub(crate) const PRICE: u128 = 5_000_000;

/// What a hot wallet has for gas, in wei.
const GAS_MONEY: u128 = 10_000_000_000_000_000_000;

/// What can be set about a rail.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) timeouts: EvmTimeouts,
    pub(crate) confirmations: u64,
    pub(crate) finality_blocks: u64,
    pub(crate) max_fee_per_gas_gwei: u64,
    pub(crate) max_gas_per_day_gwei: u64,
    pub(crate) sweep_cap: u128,
    pub(crate) sync_send: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            timeouts: EvmTimeouts {
                node: Duration::from_secs(5),
                call: Duration::from_secs(20),
                poll: Duration::from_millis(10),
                bump_after: Duration::from_secs(12),
            },
            confirmations: 1,
            finality_blocks: 3,
            max_fee_per_gas_gwei: 100,
            max_gas_per_day_gwei: 1_000_000_000,
            sweep_cap: 10_000 * PRICE,
            sync_send: false,
        }
    }
}

impl Terms {
    /// For cases in which time must run out: soon.
    pub(crate) fn hasty() -> Self {
        let mut terms = Self::default();
        terms.timeouts.node = Duration::from_millis(250);
        terms.timeouts.call = Duration::from_millis(500);
        terms
    }
}

/// A rail under test.
#[derive(Debug)]
pub(crate) struct Till<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) proxy: NodeProxy,
    pub(crate) rail: EvmRail,
    pub(crate) treasury: EvmAddress,
    pub(crate) hot: EvmAddress,
    pub(crate) clock: ManualClock,
    pub(crate) store: Arc<dyn Store>,
    /// The newest block when it was opened.
    opened: u64,
    key: [u8; 32],
    terms: Terms,
    // Gone with the till.
    _database: Option<TestDatabase>,
}

impl<'a> Till<'a> {
    pub(crate) async fn open(chain: &'a Chain) -> Self {
        Self::on_terms(chain, Terms::default()).await
    }

    pub(crate) async fn on_terms(chain: &'a Chain, terms: Terms) -> Self {
        let database = TestDatabase::sqlite().await;
        let store = database.store();
        let till = Self::over(chain, terms, store).await;
        Self {
            _database: Some(database),
            ..till
        }
    }

    /// A till over a store of the caller's.
    pub(crate) async fn over(chain: &'a Chain, terms: Terms, store: Arc<dyn Store>) -> Self {
        let key = chain.fresh_word();
        let hot = EvmKey::from_bytes(&key).unwrap().address();
        chain.give_coin(hot, GAS_MONEY).await;
        let (opened, now_s) = chain.head().await;
        let proxy = NodeProxy::before(&chain.url).await.unwrap();
        let treasury = chain.fresh_key().address();
        let clock = ManualClock::at(Timestamp::from_secs(now_s));
        let rail = make_rail(chain, &proxy.url(), &terms, &key, treasury, &store, &clock);
        Self {
            chain,
            proxy,
            rail,
            treasury,
            hot,
            clock,
            store,
            opened,
            key,
            terms,
            _database: None,
        }
    }

    /// Another replica: the same wallet and database, the node past the proxy.
    pub(crate) fn replica(&self, store: &Arc<dyn Store>) -> EvmRail {
        let url = &self.chain.url;
        let (terms, key, clock) = (&self.terms, &self.key, &self.clock);
        make_rail(self.chain, url, terms, key, self.treasury, store, clock)
    }

    /// The process starts anew, on the same database.
    pub(crate) fn restart(&mut self) {
        self.restart_over(&Arc::clone(&self.store));
    }

    pub(crate) fn restart_over(&mut self, store: &Arc<dyn Store>) {
        let url = self.proxy.url();
        let (terms, key, clock) = (&self.terms, &self.key, &self.clock);
        self.rail = make_rail(self.chain, &url, terms, key, self.treasury, store, clock);
    }

    /// The same wallet under other terms.
    pub(crate) fn change_terms(&mut self, terms: Terms) {
        self.terms = terms;
        self.restart();
    }

    pub(crate) fn pass(&self, seconds: u32) {
        self.clock.advance(Span::from_secs(seconds));
    }

    /// The rail's clock follows the chain's.
    pub(crate) async fn catch_up(&self) {
        let (_, now_s) = self.chain.head().await;
        self.clock.set(Timestamp::from_secs(now_s));
    }

    pub(crate) async fn settle(&self, bill: &Bill) -> Settlement {
        self.rail.settle(&bill.claimed).await
    }

    pub(crate) async fn check(&self, bill: &Bill) -> Check {
        self.rail.check(bill.claimed.proof()).await.unwrap()
    }

    /// Settles once, however slow the machine is: again when time ran out before anything was signed.
    pub(crate) async fn attempt(&self, bill: &Bill) -> Settlement {
        for _ in 0..50 {
            let outcome = self.settle(bill).await;
            let is_early = matches!(
                &outcome,
                Settlement::NotSent { .. } | Settlement::Unknown { .. }
            );
            if !is_early || !self.signed_for(bill).await.is_empty() {
                return outcome;
            }
        }
        panic!("nothing is ever signed")
    }

    /// A permit gets in, and the process ends before it signs the transfer.
    pub(crate) async fn stop_before_pull(&self, bill: &Bill) {
        let pull = "23b872dd";
        self.proxy
            .break_calls("F069", "eth_estimateGas", pull, NodeFault::HangUp);
        for _ in 0..50 {
            unclear_or_early(&self.settle(bill).await);
            if self.chain.allowance(bill.payer, self.hot).await >= PRICE {
                // Once more, so that it is known.
                unclear(&self.settle(bill).await);
                let sent = self.signed_for(bill).await;
                if sent
                    .iter()
                    .any(|it| matches!(it.state, SentState::Mined { .. }))
                {
                    self.proxy.mend();
                    return;
                }
            }
        }
        panic!("the permit does not get in")
    }

    /// Settles until a transaction with this purpose is signed; it cannot get in.
    pub(crate) async fn attempt_until(&self, bill: &Bill, purpose: Purpose) {
        for _ in 0..50 {
            unclear_or_early(&self.settle(bill).await);
            let sent = self.signed_for(bill).await;
            if sent.iter().any(|it| it.purpose == purpose) {
                return self.wait_until_sent(bill).await;
            }
        }
        panic!("no {purpose} is ever signed")
    }

    /// What is signed for a payment is in the node's hands.
    pub(crate) async fn wait_until_sent(&self, bill: &Bill) {
        let newest = self.signed_for(bill).await.pop().unwrap();
        let params = json!([format!("0x{}", hex::encode(&newest.raw))]);
        // The rail may have been too slow to send it; sending it again changes nothing.
        let _ = ask(&self.chain.url, "eth_sendRawTransaction", &params).await;
    }

    /// The contract and the calldata by which a payment is simulated: what an observer would submit.
    pub(crate) async fn call_of(&self, bill: &Bill) -> (EvmAddress, String) {
        assert_eq!(self.check(bill).await, Check::Fine);
        let calls = self.proxy.calls("eth_call");
        let simulated = calls
            .iter()
            .rev()
            .find(|it| it[0]["from"].is_string())
            .unwrap();
        let to = crate::town::address(&simulated[0]["to"]);
        (to, simulated[0]["data"].as_str().unwrap().to_owned())
    }

    /// Asks as a saga does, until the payment has settled; the evidence.
    pub(crate) async fn insist(&self, bill: &Bill) -> Evidence {
        self.insist_through(&self.rail, bill).await
    }

    pub(crate) async fn insist_through(&self, rail: &EvmRail, bill: &Bill) -> Evidence {
        let mut said = Vec::new();
        for _ in 0..20 {
            match rail.settle(&bill.claimed).await {
                Settlement::Settled(evidence) => return evidence,
                refused @ Settlement::Declined { .. } => panic!("{refused:?} after {said:?}"),
                unclear => said.push(format!("{unclear:?}")),
            }
            match rail.lookup(&bill.claimed).await {
                Ok(Lookup::Settled(evidence)) => return evidence,
                Ok(never @ Lookup::Never { .. }) => panic!("{never:?} after {said:?}"),
                unclear => said.push(format!("{unclear:?}")),
            }
            rail.tend().await;
        }
        panic!("not settled: {said:?}")
    }

    /// The same while blocks come.
    pub(crate) async fn insist_while_mining(&self, bill: &Bill) -> Evidence {
        for _ in 0..40 {
            if let Settlement::Settled(evidence) = self.settle(bill).await {
                return evidence;
            }
            self.chain.mine(1).await;
        }
        panic!("not settled, however many blocks there are")
    }

    /// A round over the line, and the block with what it sent: the node answers before it has made one.
    pub(crate) async fn sweep(&self) {
        self.rail.tend().await;
        self.chain.mine(1).await;
    }

    /// Tends the line until nothing waits any more.
    pub(crate) async fn come_to_rest(&self) {
        for _ in 0..50 {
            self.rail.tend().await;
            if self.waiting().await.is_empty() {
                return;
            }
        }
        panic!("something waits for ever: {:?}", self.waiting().await)
    }

    /// What runs beside the payments: a few rounds over the line.
    pub(crate) async fn tend_on(&self) {
        for _ in 0..8 {
            self.rail.tend().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the newest transaction of a payment is in a block.
    pub(crate) async fn wait_until_included(&self, bill: &Bill) {
        let newest = self.signed_for(bill).await.pop().unwrap();
        self.chain.expect_success(&newest.hash).await;
    }

    /// After the chain took a payment back, it is made again by the very transaction.
    pub(crate) async fn assert_paid_again(&self, bill: &Bill, before: &Evidence) {
        let Settlement::Settled(evidence) = self.settle(bill).await else {
            panic!("it is in again")
        };
        assert_eq!(evidence.reference, before.reference);
        self.assert_paid_once(bill, &evidence).await;
    }

    /// The money of a payment moved once, to whom it belongs, by the transaction that the evidence
    /// names; and asking again changes nothing.
    pub(crate) async fn assert_paid_once(&self, bill: &Bill, evidence: &Evidence) {
        self.assert_moved_once(bill, evidence).await;
        let count = self.chain.count(self.hot).await;
        for _ in 0..2 {
            let again = self.settle(bill).await;
            assert_eq!(again, Settlement::Settled(evidence.clone()));
            let look = self.rail.lookup(&bill.claimed).await;
            assert_eq!(look, Ok(Lookup::Settled(evidence.clone())));
        }
        self.assert_moved_once(bill, evidence).await;
        if !matches!(bill.way, Way::Sponsored | Way::Approved) {
            assert_eq!(
                self.chain.count(self.hot).await,
                count,
                "a repeat sends nothing"
            );
        }
    }

    pub(crate) async fn assert_moved_once(&self, bill: &Bill, evidence: &Evidence) {
        let moved = self.moves(bill).await;
        let [one] = moved.as_slice() else {
            panic!("the money moved {} times: {moved:?}", moved.len())
        };
        assert_eq!(one.amount, PRICE);
        assert_eq!(one.to, self.first_stop(bill));
        assert_eq!(evidence.reference, one.transaction);
        assert_eq!(evidence.log_index, Some(one.log_index));
        assert_eq!(self.chain.balance(bill.payer).await, bill.had - PRICE);
    }

    /// Where the money of a payment goes at first.
    fn first_stop(&self, bill: &Bill) -> EvmAddress {
        match bill.way {
            Way::Transfer | Way::Permit => self.treasury,
            Way::Sponsored | Way::Approved => self.hot,
        }
    }

    /// The transfers from the payer to the shop.
    pub(crate) async fn moves(&self, bill: &Bill) -> Vec<crate::town::Moved> {
        let mut moves = self.chain.moves_of(bill.payer).await;
        moves.retain(|it| it.to == self.treasury || it.to == self.hot);
        moves
    }

    pub(crate) async fn assert_unpaid(&self, bill: &Bill) {
        assert_eq!(self.moves(bill).await, [], "no money moved");
        assert_eq!(self.chain.balance(self.treasury).await, 0);
    }

    /// What the shop has, wherever it lies.
    pub(crate) async fn takings(&self) -> u128 {
        self.chain.balance(self.treasury).await + self.chain.balance(self.hot).await
    }

    /// Transactions that the hot wallet signed for a payment, oldest first.
    pub(crate) async fn signed_for(&self, bill: &Bill) -> Vec<ChainTransaction> {
        let mut tx = self.store.begin(TxMode::Read).await.unwrap();
        let sent = tx
            .chain_transactions_of(&bill.claimed.payment().proof_key)
            .await;
        tx.rollback().await.unwrap();
        sent.unwrap()
    }

    /// What waits for the chain.
    pub(crate) async fn waiting(&self) -> Vec<ChainTransaction> {
        let mut tx = self.store.begin(TxMode::Read).await.unwrap();
        let lane = format!("eip155:{}:{}", self.chain.id, self.hot);
        let open = tx
            .open_chain_transactions(&Lane::parse(&lane).unwrap(), 200)
            .await;
        tx.rollback().await.unwrap();
        open.unwrap()
    }

    /// The receipts of everything that the hot wallet has sent.
    pub(crate) async fn receipts(&self) -> Vec<Value> {
        self.chain.sent_by(self.hot, self.opened).await
    }

    /// How many transactions of the hot wallet are in, and how many of them failed.
    pub(crate) async fn mined_and_failed(&self) -> (usize, usize) {
        let receipts = self.receipts().await;
        let failed = receipts.iter().filter(|it| quantity(&it["status"]) == 0);
        (receipts.len(), failed.count())
    }

    /// Why the rail is not offered.
    pub(crate) async fn withdrawn(&self) -> String {
        match self.rail.health().await {
            RailHealth::Withdrawn { reason } => reason,
            RailHealth::Ready => panic!("the rail is offered"),
        }
    }

    pub(crate) async fn assert_ready(&self) {
        assert_eq!(self.rail.health().await, RailHealth::Ready);
    }
}

fn make_rail(
    chain: &Chain,
    url: &str,
    terms: &Terms,
    key: &[u8; 32],
    treasury: EvmAddress,
    store: &Arc<dyn Store>,
    clock: &ManualClock,
) -> EvmRail {
    let hot_wallet = EvmKey::from_bytes(key).unwrap();
    let spec = spec_of(chain, hot_wallet.address(), treasury);
    let config = EvmConfig {
        rpc_url: url.into(),
        extra_roots_pem: None,
        hot_wallet,
        treasury,
        other_recipients: Vec::new(),
        confirmations: terms.confirmations,
        finality_blocks: terms.finality_blocks,
        max_fee_per_gas_gwei: terms.max_fee_per_gas_gwei,
        max_gas_per_day_gwei: terms.max_gas_per_day_gwei,
        sweep_cap: terms.sweep_cap,
        sync_send: terms.sync_send,
        timeouts: terms.timeouts,
    };
    EvmRail::new(spec, config, Arc::clone(store), Arc::new(clock.clone())).unwrap()
}

fn spec_of(chain: &Chain, hot: EvmAddress, treasury: EvmAddress) -> RailSpec {
    let (label, known, token, pay_to) = if chain.id == 8453 {
        let token = BASE_USDC.eip3009_terms().unwrap();
        ("base", BASE_USDC, token.with_contract_wallets(), treasury)
    } else {
        let paths = PermitPaths::none().with_spender(hot).with_permit2(chain.id);
        let token = MEGAETH_USDM.permit_terms(paths).unwrap();
        ("megaeth", MEGAETH_USDM, token, hot)
    };
    RailSpec {
        label: RailLabel::parse(label).unwrap(),
        decimals: known.decimals,
        token: Arc::new(token),
        pay_to: Recipient::new(pay_to),
        max_timeout_seconds: 300,
        settlement: "embedded".to_owned(),
    }
}

/// The code of a settlement that was refused.
pub(crate) fn refusal(outcome: Settlement) -> String {
    match outcome {
        Settlement::Declined { code } => code,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn unclear(outcome: &Settlement) {
    assert!(matches!(outcome, Settlement::Unknown { .. }), "{outcome:?}");
}

pub(crate) fn unclear_or_early(outcome: &Settlement) {
    assert!(
        matches!(
            outcome,
            Settlement::Unknown { .. } | Settlement::NotSent { .. }
        ),
        "{outcome:?}"
    );
}

pub(crate) fn not_sent(outcome: &Settlement) {
    assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
}

pub(crate) fn refused(check: Check) -> String {
    match check {
        Check::Refused { code } => code,
        Check::Fine => panic!("the check has nothing against it"),
    }
}
