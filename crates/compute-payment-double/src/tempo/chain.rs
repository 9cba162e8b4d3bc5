//! The chain: which transactions it takes, and what it remembers of them.

use std::collections::BTreeMap;
use std::fmt;

use compute_mpp::tempo::{EXPIRING_NONCE_KEY, SenderSignature, Sponsorship, Transaction};
use compute_wallet::{Digest32, EvmAddress, Uint256, keccak256};

use super::Options;
use super::bank::{Bank, Event, FEE_MANAGER, PATH_USD, is_token};

/// Gas prices count 10⁻¹⁸ dollar, tokens 10⁻⁶.
const PRICE_UNITS_PER_TOKEN_UNIT: u128 = 1_000_000_000_000;

/// Why a transaction is not taken. Nothing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection(pub(super) String);

impl Rejection {
    fn of(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) number: u64,
    pub(super) time: u64,
    pub(super) transactions: Vec<Digest32>,
}

/// A transaction with what became of it.
#[derive(Debug, Clone)]
pub(super) struct Included {
    pub(super) hash: Digest32,
    /// Nothing for what arrived without a transaction of this kind.
    pub(super) transaction: Option<Transaction>,
    pub(super) from: EvmAddress,
    pub(super) fee_payer: EvmAddress,
    pub(super) block: u64,
    pub(super) time: u64,
    pub(super) succeeded: bool,
    pub(super) gas: u64,
    pub(super) gas_price: u128,
    pub(super) events: Vec<Event>,
    /// Whether the last event is the fee.
    pub(super) has_fee: bool,
}

/// What a transaction is checked to be before it runs.
struct Admitted {
    transaction: Transaction,
    hash: Digest32,
    sender: EvmAddress,
    fee_payer: EvmAddress,
    fee_token: EvmAddress,
    /// Token units that the fee payer must hold.
    fee_limit: u128,
    gas_price: u128,
}

type Observer = Box<dyn Fn(&Included) + Send + Sync>;

/// Who is told of each transaction before its sender is.
#[derive(Default)]
pub(super) struct Observers(Vec<Observer>);

impl Observers {
    pub(super) fn add(&mut self, observer: impl Fn(&Included) + Send + Sync + 'static) {
        self.0.push(Box::new(observer));
    }

    fn tell(&self, included: &Included) {
        self.0.iter().for_each(|observer| observer(included));
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observers({})", self.0.len())
    }
}

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) options: Options,
    pub(super) bank: Bank,
    pub(super) blocks: Vec<Block>,
    pub(super) included: Vec<Included>,
    /// By account and lane: after which block so many nonces were taken.
    lanes: BTreeMap<(EvmAddress, Uint256), Vec<(u64, u64)>>,
    pub(super) observers: Observers,
    /// Names of spent expiring nonces, until when they are remembered.
    spent: BTreeMap<Digest32, u64>,
}

impl Chain {
    pub(super) fn new(options: Options, now: u64) -> Self {
        Self {
            bank: Bank::opened_with(options.opening_balance),
            blocks: vec![Block {
                number: options.first_block,
                time: now,
                transactions: Vec::new(),
            }],
            options,
            included: Vec::new(),
            lanes: BTreeMap::new(),
            observers: Observers::default(),
            spent: BTreeMap::new(),
        }
    }

    /// The chain's own time passes whether somebody pays or not.
    pub(super) fn tick(&mut self, now: u64) {
        if now > self.time() {
            self.push_block(now, Vec::new());
        }
    }

    pub(super) fn latest(&self) -> Option<&Block> {
        self.blocks.last()
    }

    pub(super) fn time(&self) -> u64 {
        self.latest().map_or(0, |block| block.time)
    }

    pub(super) fn find(&self, hash: &Digest32) -> Option<&Included> {
        self.included.iter().find(|it| it.hash == *hash)
    }

    pub(super) fn nonce(&self, sender: EvmAddress, lane: Uint256) -> u64 {
        self.nonce_at(sender, lane, u64::MAX)
    }

    /// The next nonce of a lane, as it was after a block.
    pub(super) fn nonce_at(&self, sender: EvmAddress, lane: Uint256, block: u64) -> u64 {
        let taken = self.lanes.get(&(sender, lane));
        let mut until = taken.into_iter().flatten().rev();
        until
            .find(|(at, _)| *at <= block)
            .map_or(0, |(_, next)| *next)
    }

    /// The chain as a machine sees it whose newest block is of this second or earlier. Balances are
    /// those of today.
    pub(super) fn as_of(&self, time: u64) -> Self {
        let is_old = |at: u64| at <= time;
        let mut blocks = self.blocks.clone();
        blocks.retain(|block| is_old(block.time));
        blocks.extend(self.blocks.first().filter(|it| !is_old(it.time)).cloned());
        let latest = blocks.last().map_or(0, |block| block.number);
        let mut lanes = self.lanes.clone();
        for taken in lanes.values_mut() {
            taken.retain(|(at, _)| *at <= latest);
        }
        let included = self.included.iter().filter(|it| it.block <= latest);
        Self {
            options: self.options.clone(),
            bank: self.bank.clone(),
            included: included.cloned().collect(),
            blocks,
            lanes,
            observers: Observers::default(),
            spent: self.spent.clone(),
        }
    }

    /// Takes a transaction into a block of its own, or refuses it.
    pub(super) fn submit(
        &mut self,
        raw: &[u8],
        now: u64,
        reverts: bool,
    ) -> Result<Digest32, Rejection> {
        let now = now.max(self.time());
        let admitted = self.admit(raw, now)?;
        self.spend_nonce(&admitted);
        Ok(self.include(admitted, now, reverts))
    }

    /// Money that reaches an address without a request of ours: from an exchange, say.
    pub(super) fn deposit(
        &mut self,
        now: u64,
        token: EvmAddress,
        from: EvmAddress,
        to: EvmAddress,
        amount: u128,
        memo: Option<Digest32>,
    ) -> Digest32 {
        let number = self.push_block(now.max(self.time()), Vec::new());
        let hash = keccak256(format!("deposit {number}").as_bytes());
        self.bank.credit(token, to, amount);
        let mut events = vec![Event::transfer(token, from, to, amount, None)];
        events.extend(memo.map(|memo| Event::transfer(token, from, to, amount, Some(memo))));
        self.record(Included {
            hash,
            transaction: None,
            from,
            fee_payer: from,
            block: number,
            time: self.time(),
            succeeded: true,
            gas: super::bank::INTRINSIC_GAS,
            gas_price: 0,
            events,
            has_fee: false,
        });
        hash
    }

    fn admit(&self, raw: &[u8], now: u64) -> Result<Admitted, Rejection> {
        let transaction = Transaction::decode(raw).map_err(|error| {
            Rejection::of(format!("failed to decode signed transaction: {error}"))
        })?;
        if matches!(
            transaction.sponsorship,
            Sponsorship::Requested | Sponsorship::Envelope { .. }
        ) {
            return Err(Rejection::of("missing fee payer signature"));
        }
        let body = &transaction.body;
        if body.chain_id != self.options.chain_id {
            return Err(Rejection::of("invalid chain id for signer"));
        }
        if matches!(transaction.signature, SenderSignature::Keychain { .. })
            && !self.options.takes_access_keys
        {
            return Err(Rejection::of("access key is not authorized"));
        }
        let sender = transaction
            .sender()
            .map_err(|_| Rejection::of("invalid signature"))?;
        let hash = transaction.hash();
        if self.find(&hash).is_some() {
            return Err(Rejection::of("already known"));
        }
        self.check_validity(&transaction, now)?;
        self.check_nonce(&transaction, sender, now)?;
        let fee_payer = transaction
            .fee_payer()
            .map_err(|_| Rejection::of("invalid fee payer signature"))?
            .unwrap_or(sender);
        let fee_token = fee_token(&transaction);
        let gas_price = self.gas_price(
            transaction.body.max_fee_per_gas,
            transaction.body.max_priority_fee_per_gas,
        )?;
        let fee_limit = fee(transaction.body.gas_limit, transaction.body.max_fee_per_gas);
        if self.bank.balance(fee_token, fee_payer) < fee_limit {
            return Err(Rejection::of("insufficient funds for gas * price + value"));
        }
        Ok(Admitted {
            transaction,
            hash,
            sender,
            fee_payer,
            fee_token,
            fee_limit,
            gas_price,
        })
    }

    pub(super) fn gas_price(&self, max_fee: u128, max_priority: u128) -> Result<u128, Rejection> {
        if max_fee < self.options.base_fee {
            return Err(Rejection::of("max fee per gas less than block base fee"));
        }
        Ok(max_fee.min(self.options.base_fee.saturating_add(max_priority)))
    }

    fn check_validity(&self, transaction: &Transaction, now: u64) -> Result<(), Rejection> {
        let body = &transaction.body;
        if body.valid_after.is_some_and(|after| after > now) {
            return Err(Rejection::of("transaction is not valid yet"));
        }
        if body.valid_before.is_some_and(|before| before <= now) {
            return Err(Rejection::of("transaction valid_before has passed"));
        }
        if body.nonce_key != EXPIRING_NONCE_KEY {
            return Ok(());
        }
        let latest = now.saturating_add(self.options.max_validity_s);
        match body.valid_before {
            None => Err(Rejection::of("expiring nonce without valid_before")),
            Some(before) if before > latest => Err(Rejection::of(
                "expiring nonce valid_before is too far ahead",
            )),
            Some(_) if body.nonce != 0 => Err(Rejection::of("expiring nonce must be zero")),
            Some(_) => Ok(()),
        }
    }

    fn check_nonce(
        &self,
        transaction: &Transaction,
        sender: EvmAddress,
        now: u64,
    ) -> Result<(), Rejection> {
        if let Some(id) = transaction.expiring_id(&sender) {
            let is_spent = self.spent.get(&id).is_some_and(|until| *until > now);
            return if is_spent {
                Err(Rejection::of("expiring nonce already used"))
            } else {
                Ok(())
            };
        }
        let expected = self.nonce(sender, transaction.body.nonce_key);
        match transaction.body.nonce.cmp(&expected) {
            std::cmp::Ordering::Less => Err(Rejection::of("nonce too low")),
            std::cmp::Ordering::Greater => Err(Rejection::of("nonce too high")),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    fn spend_nonce(&mut self, admitted: &Admitted) {
        let (sender, body) = (admitted.sender, &admitted.transaction.body);
        match admitted.transaction.expiring_id(&sender) {
            Some(id) => {
                let until = body.valid_before.unwrap_or(u64::MAX);
                self.spent.insert(id, until);
            }
            None => {
                let next = body.nonce.saturating_add(1);
                let block = self.blocks.last().map_or(0, |it| it.number);
                let lane = self.lanes.entry((sender, body.nonce_key)).or_default();
                lane.push((block.saturating_add(1), next));
            }
        }
    }

    fn include(&mut self, admitted: Admitted, now: u64, reverts: bool) -> Digest32 {
        let Admitted {
            transaction,
            hash,
            sender,
            fee_payer,
            fee_token,
            fee_limit,
            gas_price,
        } = admitted;
        // The limit is set aside before the calls run, and the rest of it given back.
        let reserved = self.bank.debit(fee_token, fee_payer, fee_limit);
        let before = self.bank.clone();
        let mut outcome = self.bank.run(sender, &transaction.body.calls);
        if outcome.gas > transaction.body.gas_limit {
            outcome.gas = transaction.body.gas_limit;
            outcome.revert = Some("out of gas");
        }
        if reverts || outcome.revert.is_some() {
            self.bank = before;
            outcome.events.clear();
        }
        let paid = fee(outcome.gas, gas_price).min(fee_limit);
        if reserved.is_ok() {
            let rest = fee_limit.saturating_sub(paid);
            self.bank.credit(fee_token, fee_payer, rest);
        }
        self.bank.credit(fee_token, FEE_MANAGER, paid);
        let mut events = outcome.events;
        let succeeded = !reverts && outcome.revert.is_none();
        events.push(Event::transfer(
            fee_token,
            fee_payer,
            FEE_MANAGER,
            paid,
            None,
        ));
        let block = self.push_block(now, vec![hash]);
        self.record(Included {
            hash,
            transaction: Some(transaction),
            from: sender,
            fee_payer,
            block,
            time: self.time(),
            succeeded,
            gas: outcome.gas,
            gas_price,
            events,
            has_fee: true,
        });
        hash
    }

    fn record(&mut self, included: Included) {
        if let Some(block) = self.blocks.last_mut()
            && block.transactions.is_empty()
        {
            block.transactions.push(included.hash);
        }
        self.observers.tell(&included);
        self.included.push(included);
    }

    fn push_block(&mut self, time: u64, transactions: Vec<Digest32>) -> u64 {
        let number = self.latest().map_or(self.options.first_block, |block| {
            block.number.saturating_add(1)
        });
        self.blocks.push(Block {
            number,
            time,
            transactions,
        });
        number
    }
}

/// Which token pays: the sender's choice, else the only token that is called, else the first token.
pub(super) fn fee_token(transaction: &Transaction) -> EvmAddress {
    let body = &transaction.body;
    let called = body.calls.first().and_then(|call| call.to);
    let only = called
        .filter(|token| is_token(*token) && body.calls.iter().all(|call| call.to == Some(*token)));
    body.fee_token.or(only).unwrap_or(PATH_USD)
}

/// Token units for this much gas, rounded up.
pub(super) fn fee(gas: u64, price: u128) -> u128 {
    u128::from(gas)
        .saturating_mul(price)
        .div_ceil(PRICE_UNITS_PER_TOKEN_UNIT)
}
