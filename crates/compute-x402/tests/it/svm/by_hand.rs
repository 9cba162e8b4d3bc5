//! Transactions written byte by byte, so that they can be wrong in any way.

use compute_wallet::{SolanaAddress, SolanaKey};
use compute_x402::exact_svm::{TokenProgram, associated_token_account};

use super::{USDC, account, buyer, fee_payer, merchant};

pub(crate) const BUDGET: &str = "ComputeBudget111111111111111111111111111111";
pub(crate) const MEMO: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
pub(crate) const LIGHTHOUSE: &str = "L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95";
pub(crate) const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
pub(crate) const TOKEN_2022: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
pub(crate) const SYSTEM: &str = "11111111111111111111111111111111";

// Where the accounts of a valid payment stand.
pub(crate) const FEE_PAYER: u8 = 0;
pub(crate) const BUYER: u8 = 1;
pub(crate) const SOURCE: u8 = 2;
pub(crate) const DESTINATION: u8 = 3;
pub(crate) const MINT: u8 = 4;
pub(crate) const TOKEN_AT: u8 = 5;
pub(crate) const BUDGET_AT: u8 = 6;
pub(crate) const MEMO_AT: u8 = 7;

// Where the instructions of a valid payment stand.
pub(crate) const LIMIT: usize = 0;
pub(crate) const UNIT_PRICE: usize = 1;
pub(crate) const TRANSFER: usize = 2;

#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) program: u8,
    pub(crate) accounts: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// A transaction in its parts; every part can be set to something wrong.
#[derive(Debug)]
pub(crate) struct ByHand {
    /// Nothing for a legacy message.
    pub(crate) version: Option<u8>,
    /// Required signatures, of them read only, and read-only accounts that do not sign.
    pub(crate) header: [u8; 3],
    pub(crate) accounts: Vec<SolanaAddress>,
    pub(crate) instructions: Vec<Instruction>,
    /// A lookup table: its address, and the indexes of written and of read accounts.
    pub(crate) lookups: Vec<(SolanaAddress, Vec<u8>, Vec<u8>)>,
    /// Who signs, in the order of the slots after that of the fee payer.
    pub(crate) keys: Vec<SolanaKey>,
}

impl ByHand {
    /// What a client of version 2 sends, with the memo `m1`.
    pub(crate) fn valid() -> Self {
        let mint = account(USDC);
        let held = |owner| associated_token_account(owner, TokenProgram::Token, &mint);
        let instruction = |program, accounts: &[u8], data: &[u8]| Instruction {
            program,
            accounts: accounts.to_vec(),
            data: data.to_vec(),
        };
        Self {
            version: Some(0),
            header: [2, 1, 4],
            accounts: vec![
                fee_payer().address(),
                buyer().address(),
                held(&buyer().address()),
                held(&merchant()),
                mint,
                account(TOKEN),
                account(BUDGET),
                account(MEMO),
            ],
            instructions: vec![
                instruction(BUDGET_AT, &[], &[2, 0x20, 0x4e, 0, 0]),
                instruction(BUDGET_AT, &[], &[3, 1, 0, 0, 0, 0, 0, 0, 0]),
                instruction(
                    TOKEN_AT,
                    &[SOURCE, MINT, DESTINATION, BUYER],
                    &transfer(90_000_000, 6),
                ),
                instruction(MEMO_AT, &[], b"m1"),
            ],
            lookups: Vec::new(),
            keys: vec![buyer()],
        }
    }

    /// A valid payment, changed.
    pub(crate) fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut by_hand = Self::valid();
        change(&mut by_hand);
        by_hand
    }

    /// Appends an account that is only read, and says where it stands.
    pub(crate) fn add_account(&mut self, account: SolanaAddress) -> u8 {
        self.accounts.push(account);
        self.header[2] += 1;
        u8::try_from(self.accounts.len() - 1).unwrap()
    }

    pub(crate) fn add_instruction(&mut self, program: u8, accounts: &[u8], data: &[u8]) {
        self.instructions.push(Instruction {
            program,
            accounts: accounts.to_vec(),
            data: data.to_vec(),
        });
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self
            .version
            .map(|version| 0x80 | version)
            .into_iter()
            .collect();
        bytes.extend(self.header);
        bytes.extend(compact(self.accounts.len()));
        bytes.extend(self.accounts.iter().flat_map(SolanaAddress::as_bytes));
        bytes.extend([9; 32]);
        bytes.extend(compact(self.instructions.len()));
        for instruction in &self.instructions {
            bytes.push(instruction.program);
            bytes.extend(list(&instruction.accounts));
            bytes.extend(list(&instruction.data));
        }
        if self.version.is_some() {
            bytes.extend(compact(self.lookups.len()));
            for (table, written, read) in &self.lookups {
                bytes.extend(table.as_bytes());
                bytes.extend(list(written));
                bytes.extend(list(read));
            }
        }
        bytes
    }

    /// The transaction, signed by everybody but the fee payer.
    pub(crate) fn wire(&self) -> Vec<u8> {
        signed(&self.message(), &self.keys)
    }
}

/// Signatures for a message: an empty slot, then those of the keys.
pub(crate) fn signed(message: &[u8], keys: &[SolanaKey]) -> Vec<u8> {
    let mut bytes = compact(keys.len() + 1);
    bytes.extend([0; 64]);
    bytes.extend(keys.iter().flat_map(|key| key.sign(message)));
    bytes.extend(message);
    bytes
}

/// The data of `TransferChecked`.
pub(crate) fn transfer(amount: u64, decimals: u8) -> Vec<u8> {
    let mut data = vec![12];
    data.extend(amount.to_le_bytes());
    data.push(decimals);
    data
}

fn list(bytes: &[u8]) -> Vec<u8> {
    let mut listed = compact(bytes.len());
    listed.extend(bytes);
    listed
}

/// A compact-u16 in its short form.
pub(crate) fn compact(number: usize) -> Vec<u8> {
    let low = u8::try_from(number % 128).unwrap();
    match number / 128 {
        0 => vec![low],
        rest => [vec![low | 0x80], compact(rest)].concat(),
    }
}
