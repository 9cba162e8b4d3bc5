//! A rail with a hot wallet of its own behind a proxy, the payments it gets, and what must be true of them.

use std::sync::Arc;
use std::time::Duration;

use compute_domain::id::{OperationId, OwnerId, PaymentId};
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{
    ChainTransaction, Check, ClaimedPayment, Lane, Lookup, Purpose, Rail as _, RailHealth,
    RailSpec, SentState, Settlement, Store, TxMode,
};
use compute_engine::{ResourceInfo, StoredProof};
use compute_rail_evm::{EvmConfig, EvmRail, EvmTimeouts};
use compute_testkit::ambient::ManualClock;
use compute_testkit::database::TestDatabase;
use compute_testkit::node_proxy::{NodeFault, NodeProxy, ask};
use compute_wallet::{EvmAddress, EvmKey, Uint256, WalletAddress};
use compute_x402::client::{sign, sign_permit};
use compute_x402::exact_evm::Authorization;
use compute_x402::networks::{BASE_USDC, MEGAETH_USDM};
use compute_x402::permit::Permit;
use compute_x402::permit2::{EXACT_PROXY, PERMIT2, Permit2Transfer, SignedPermit2, Sponsored};
use compute_x402::{Amount, Offer, PaymentPayload, PermitPaths, Recipient, identify};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::town::{Chain, quantity};

/// What everything costs here, in atomic units.
pub(crate) const PRICE: u128 = 5_000_000;

/// How long a payment is valid, in seconds.
pub(crate) const LIFE_S: u64 = 3_600;

/// What a hot wallet has for gas, in wei.
const GAS_MONEY: u128 = 10_000_000_000_000_000_000;

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

/// What can be set about a rail.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) timeouts: EvmTimeouts,
    pub(crate) confirmations: u64,
    pub(crate) finality_blocks: u64,
    pub(crate) max_fee_per_gas_gwei: u64,
    pub(crate) max_gas_per_day_gwei: u64,
    pub(crate) sweep_cap: u128,
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
            sweep_cap: u128::MAX,
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
    key: [u8; 32],
    terms: Terms,
    // Gone with the till.
    _database: Option<TestDatabase>,
}

/// A payment, and what its payer had.
#[derive(Debug)]
pub(crate) struct Bill {
    pub(crate) claimed: ClaimedPayment,
    pub(crate) payer: EvmAddress,
    pub(crate) way: Way,
    had: u128,
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
        let (_, now_s) = chain.head().await;
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
            payer: WalletAddress::Evm(payer),
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

    /// What runs beside the payments: a few rounds over the line.
    pub(crate) async fn tend_on(&self) {
        for _ in 0..20 {
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

    /// How many transactions of the hot wallet are in, and how many of them failed.
    pub(crate) async fn mined_and_failed(&self) -> (usize, usize) {
        let receipts = self.chain.sent_by(self.hot, 0).await;
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

/// A payment of version 2 for one of our offers.
pub(crate) fn envelope(offer: &Offer, signed: &Value, sponsoring: Option<Value>) -> PaymentPayload {
    let mut envelope = json!({"x402Version": 2, "accepted": offer.to_v2(), "payload": signed});
    if let Some(extension) = sponsoring {
        envelope["extensions"] = json!({"eip2612GasSponsoring": extension});
    }
    PaymentPayload::from_json(envelope).unwrap()
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

fn unclear_or_early(outcome: &Settlement) {
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
