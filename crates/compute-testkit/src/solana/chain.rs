//! Balances, blocks, and carrying transactions out.

use std::collections::BTreeMap;

use super::Key;
use super::wire::Transaction;

/// A blockhash may be used for so many blocks.
const BLOCKHASH_BLOCKS: u64 = 150;

/// A block is final when so many follow it.
pub(super) const FINALITY_BLOCKS: u64 = 32;

/// Slots that had no block, so that nobody takes a slot for a height.
pub(super) const EMPTY_SLOTS: u64 = 1_000;

const BLOCK_MS: u64 = 400;

/// The fee of a signature.
const SIGNATURE_LAMPORTS: u64 = 5_000;

/// What the node does wrong.
#[derive(Debug, Clone, Default)]
pub struct Misbehaviour {
    /// So many transactions are answered with their signature and thrown away.
    pub drop_sends: u32,
    /// Transactions are answered and held back until they are asked for.
    pub hold: bool,
    /// So many transactions fail when they are carried out, whatever the simulation said.
    pub fail_execution: u32,
    /// Everything that is asked for is said to have succeeded, whether it is there or not.
    pub claim_success: bool,
    /// Records show no movement of tokens.
    pub hide_balances: bool,
    /// The newest transactions are not found without a search in the history.
    pub hide_recent: bool,
    /// No transaction is found at all.
    pub forget: bool,
    /// So many requests get no answer: the connection is closed.
    pub hang_up: u32,
    /// So many requests are refused because the node is behind.
    pub refuse: u32,
    /// The next transaction is carried out and its answer never comes.
    pub land_then_hang_up: bool,
    /// The hash of another network's first block.
    pub genesis: Option<String>,
    /// Only blocks from this time on are kept, in Unix seconds.
    pub oldest_s: u64,
    /// With each look for a transaction so many blocks are made.
    pub blocks_per_look: u64,
    /// Records of transactions are not kept.
    pub has_no_history: bool,
    /// Every blockhash is called old.
    pub blockhashes_are_old: bool,
}

/// A token account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenState {
    /// Its token.
    pub mint: Key,
    /// Whose it is.
    pub owner: Key,
    /// What it holds.
    pub amount: u64,
    /// Whether nothing may move.
    pub is_frozen: bool,
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    /// Counts what was carried out.
    pub(super) order: usize,
    pub(super) height: u64,
    pub(super) touched: Vec<Key>,
    pub(super) wire: Vec<u8>,
    pub(super) is_failed: bool,
    pub(super) before: Vec<(usize, TokenState)>,
    pub(super) after: Vec<(usize, TokenState)>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) misbehaviour: Misbehaviour,
    pub(super) now_ms: u64,
    pub(super) height: u64,
    /// With the last height at which each is good.
    pub(super) blockhashes: BTreeMap<Key, u64>,
    pub(super) lamports: BTreeMap<Key, u64>,
    pub(super) mints: BTreeMap<Key, u8>,
    pub(super) tokens: BTreeMap<Key, TokenState>,
    pub(super) landed: BTreeMap<String, Landed>,
    pub(super) held: Vec<Vec<u8>>,
    pub(super) complete: Vec<Vec<u8>>,
    pub(super) times_sent: usize,
    pub(super) payments: Vec<(Key, u64)>,
    pub(super) payers: Vec<Key>,
}

/// A transfer of a token.
struct Transfer {
    source: Key,
    mint: Key,
    destination: Key,
    authority: Key,
    amount: u64,
    decimals: u8,
}

impl World {
    pub(super) fn new(now_s: u64) -> Self {
        Self {
            misbehaviour: Misbehaviour::default(),
            now_ms: now_s.saturating_mul(1_000),
            height: 10_000,
            blockhashes: BTreeMap::new(),
            lamports: BTreeMap::new(),
            mints: BTreeMap::new(),
            tokens: BTreeMap::new(),
            landed: BTreeMap::new(),
            held: Vec::new(),
            complete: Vec::new(),
            times_sent: 0,
            payments: Vec::new(),
            payers: Vec::new(),
        }
    }

    pub(super) fn advance(&mut self, blocks: u64) {
        self.height = self.height.saturating_add(blocks);
        self.now_ms = self.now_ms.saturating_add(blocks.saturating_mul(BLOCK_MS));
    }

    pub(super) fn new_blockhash(&mut self) -> Key {
        let mut hash = [0xb1; 32];
        let number = u64::try_from(self.blockhashes.len()).unwrap_or(u64::MAX);
        for (place, byte) in hash.iter_mut().zip(number.to_be_bytes()) {
            *place = byte;
        }
        let last = self.last_valid_height();
        self.blockhashes.insert(hash, last);
        hash
    }

    pub(super) const fn last_valid_height(&self) -> u64 {
        self.height.saturating_add(BLOCKHASH_BLOCKS)
    }

    pub(super) const fn final_height(&self) -> u64 {
        self.height.saturating_sub(FINALITY_BLOCKS)
    }

    pub(super) fn is_valid(&self, blockhash: &Key) -> bool {
        let last = self.blockhashes.get(blockhash);
        !self.misbehaviour.blockhashes_are_old && last.is_some_and(|last| self.height <= *last)
    }

    /// Notes a transaction that whoever has it can have carried out.
    pub(super) fn see(&mut self, wire: &[u8]) {
        if Transaction::read(wire).is_some_and(|it| it.is_complete()) {
            self.complete.push(wire.to_vec());
        }
    }

    /// Why a transaction would fail; signatures are not looked at.
    pub(super) fn find_failure(&self, transaction: &Transaction) -> Option<&'static str> {
        if !self.is_valid(&transaction.blockhash) {
            return Some("BlockhashNotFound");
        }
        if self.landed.contains_key(&name_of(transaction)) {
            return Some("AlreadyProcessed");
        }
        let fee = fee_of(transaction);
        let fee_payer = transaction.keys.first().copied().unwrap_or_default();
        if self.lamports.get(&fee_payer).is_none_or(|has| *has < fee) {
            return Some("InsufficientFundsForFee");
        }
        match transfer_of(transaction) {
            Some(transfer) => self.find_transfer_failure(&transfer),
            None => Some("InvalidInstruction"),
        }
    }

    fn find_transfer_failure(&self, transfer: &Transfer) -> Option<&'static str> {
        let source = self.tokens.get(&transfer.source);
        let (Some(source), Some(destination)) = (source, self.tokens.get(&transfer.destination))
        else {
            return Some("InvalidAccountData");
        };
        if source.owner != transfer.authority || source.mint != transfer.mint {
            return Some("OwnerMismatch");
        }
        if self.mints.get(&transfer.mint) != Some(&transfer.decimals) {
            return Some("MintDecimalsMismatch");
        }
        if source.is_frozen || destination.is_frozen || destination.mint != transfer.mint {
            return Some("AccountFrozen");
        }
        (source.amount < transfer.amount).then_some("InsufficientFunds")
    }

    /// Takes a transaction to be sent; its name.
    pub(super) fn send(&mut self, wire: &[u8]) -> Option<String> {
        let transaction = Transaction::read(wire)?;
        self.times_sent = self.times_sent.saturating_add(1);
        if self.misbehaviour.drop_sends > 0 {
            self.misbehaviour.drop_sends -= 1;
        } else if self.misbehaviour.hold {
            self.held.push(wire.to_vec());
        } else {
            self.carry_out(wire);
        }
        Some(name_of(&transaction))
    }

    pub(super) fn include_held(&mut self) {
        for wire in std::mem::take(&mut self.held) {
            self.carry_out(&wire);
        }
    }

    // As a leader would: what is not complete, too old or there already is left out; what then fails
    // costs its fee.
    fn carry_out(&mut self, wire: &[u8]) {
        let Some(transaction) = Transaction::read(wire) else {
            return;
        };
        let name = name_of(&transaction);
        let is_new = !self.landed.contains_key(&name);
        if !is_new || !transaction.is_complete() || !self.is_valid(&transaction.blockhash) {
            return;
        }
        let fee = fee_of(&transaction);
        let fee_payer = transaction.keys.first().copied().unwrap_or_default();
        let Some(left) = self
            .lamports
            .get(&fee_payer)
            .and_then(|it| it.checked_sub(fee))
        else {
            return;
        };
        let forced = self.misbehaviour.fail_execution > 0;
        let failure = self.find_failure(&transaction);
        self.lamports.insert(fee_payer, left);
        let before = self.tokens_of(&transaction);
        let is_failed = forced || failure.is_some();
        if forced {
            self.misbehaviour.fail_execution -= 1;
        } else if !is_failed && let Some(transfer) = transfer_of(&transaction) {
            self.transfer(&transfer);
        }
        let after = self.tokens_of(&transaction);
        let landed = Landed {
            order: self.landed.len(),
            height: self.height,
            touched: transaction.keys.clone(),
            wire: wire.to_vec(),
            is_failed,
            before,
            after,
        };
        self.landed.insert(name, landed);
    }

    /// A transaction of somebody else that moves tokens between two accounts; its name.
    pub(super) fn send_tokens(&mut self, source: Key, destination: Key, amount: u64) -> String {
        let touched = vec![source, destination];
        let held = |world: &Self| {
            let tokens = touched.iter().enumerate();
            tokens
                .filter_map(|(place, key)| Some((place, *world.tokens.get(key)?)))
                .collect()
        };
        let before = held(self);
        let mut is_failed = true;
        if let Some(source) = self.tokens.get_mut(&source)
            && let Some(left) = source.amount.checked_sub(amount)
        {
            source.amount = left;
            is_failed = false;
        }
        if let Some(destination) = self.tokens.get_mut(&destination).filter(|_| !is_failed) {
            destination.amount = destination.amount.saturating_add(amount);
        }
        let order = self.landed.len();
        let mut name = [0x5e; 64];
        for (place, byte) in name.iter_mut().zip(order.to_be_bytes()) {
            *place = byte;
        }
        let name = bs58::encode(name).into_string();
        let landed = Landed {
            order,
            height: self.height,
            wire: Vec::new(),
            is_failed,
            before,
            after: held(self),
            touched,
        };
        self.landed.insert(name.clone(), landed);
        name
    }

    fn transfer(&mut self, transfer: &Transfer) {
        if let Some(source) = self.tokens.get_mut(&transfer.source) {
            source.amount = source.amount.saturating_sub(transfer.amount);
        }
        if let Some(destination) = self.tokens.get_mut(&transfer.destination) {
            destination.amount = destination.amount.saturating_add(transfer.amount);
        }
        self.payments.push((transfer.destination, transfer.amount));
        self.payers.push(transfer.authority);
    }

    fn tokens_of(&self, transaction: &Transaction) -> Vec<(usize, TokenState)> {
        let keys = transaction.keys.iter().enumerate();
        keys.filter_map(|(place, key)| Some((place, *self.tokens.get(key)?)))
            .collect()
    }
}

pub(super) fn name_of(transaction: &Transaction) -> String {
    let first = transaction.signatures.first();
    first.map_or_else(String::new, |it| bs58::encode(it).into_string())
}

// The price of units is left out: what tests look at is who pays.
fn fee_of(transaction: &Transaction) -> u64 {
    transaction
        .signatures
        .iter()
        .fold(0, |fee, _| fee.saturating_add(SIGNATURE_LAMPORTS))
}

/// The first `TransferChecked` of SPL Token.
fn transfer_of(transaction: &Transaction) -> Option<Transfer> {
    transaction.instructions.iter().find_map(|instruction| {
        let program = transaction.keys.get(instruction.program)?;
        let is_token = bs58::encode(program).into_string() == super::TOKEN_PROGRAM;
        let [12, amount @ .., decimals] = instruction.data.as_slice() else {
            return None;
        };
        let accounts = transaction.accounts(instruction)?;
        let &[source, mint, destination, authority] = accounts.as_slice() else {
            return None;
        };
        is_token.then_some(Transfer {
            source,
            mint,
            destination,
            authority,
            amount: u64::from_le_bytes(amount.try_into().ok()?),
            decimals: *decimals,
        })
    })
}
