//! The programs a payment may call, and the addresses derived from them.

use compute_wallet::SolanaAddress;
use solana_pubkey::Pubkey;

/// Sets what a transaction may cost.
pub(super) const COMPUTE_BUDGET: SolanaAddress =
    known("ComputeBudget111111111111111111111111111111");

/// Writes text into the log, and does nothing else.
pub(super) const MEMO: SolanaAddress = known("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// Assertions that wallets append to protect their users.
pub(super) const LIGHTHOUSE: SolanaAddress = known("L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95");

const TOKEN: SolanaAddress = known("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const TOKEN_2022: SolanaAddress = known("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");
const ASSOCIATED_TOKEN: Pubkey =
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");

const fn known(base58: &str) -> SolanaAddress {
    SolanaAddress::new(Pubkey::from_str_const(base58).to_bytes())
}

/// The program that keeps a token's accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenProgram {
    /// SPL Token, which keeps USDC.
    Token,
    /// Token-2022. Mints of it may have extensions, such as a fee on every transfer: look before
    /// you sell for one.
    Token2022,
}

impl TokenProgram {
    /// The address of the program.
    #[must_use]
    pub const fn address(self) -> SolanaAddress {
        match self {
            Self::Token => TOKEN,
            Self::Token2022 => TOKEN_2022,
        }
    }

    pub(super) fn find(program: &SolanaAddress) -> Option<Self> {
        [Self::Token, Self::Token2022]
            .into_iter()
            .find(|known| known.address() == *program)
    }
}

/// The one account in which a wallet usually holds a token.
#[must_use]
pub fn associated_token_account(
    owner: &SolanaAddress,
    program: TokenProgram,
    mint: &SolanaAddress,
) -> SolanaAddress {
    let program = program.address();
    let seeds: [&[u8]; 3] = [owner.as_bytes(), program.as_bytes(), mint.as_bytes()];
    #[expect(
        clippy::expect_used,
        reason = "each of 255 tries fails with a probability of one half: all fail once in 2^255"
    )]
    let (account, _) = Pubkey::try_find_program_address(&seeds, &ASSOCIATED_TOKEN)
        .expect("an address off the curve is found");
    SolanaAddress::new(account.to_bytes())
}
