//! The few accounts of token programs that the rail looks at, byte by byte.

use compute_wallet::SolanaAddress;
use compute_x402::exact_svm::{SvmTerms, TokenProgram};

use crate::rpc::Account;

/// The clock of the chain, kept by the chain itself.
pub(crate) const CLOCK: &str = "SysvarC1ock11111111111111111111111111111111";

/// The length of a mint without extensions, in both token programs.
const MINT_BYTES: usize = 82;

/// The state of a token account that can be used.
const INITIALIZED: u8 = 1;

/// A token account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenAccount {
    pub(crate) mint: SolanaAddress,
    pub(crate) amount: u64,
    /// Neither frozen nor empty of meaning.
    pub(crate) is_usable: bool,
}

/// What is wrong with a mint, if anything: it must be the token that is offered.
pub(crate) fn find_mint_fault(account: Option<&Account>, terms: &SvmTerms) -> Option<&'static str> {
    let Some(account) = account else {
        return Some("the mint does not exist on this network");
    };
    if account.owner != terms.token_program().address() {
        return Some("the mint is kept by another token program");
    }
    // Supply and authority come first; then the decimals, and whether it is a mint at all.
    let (Some(decimals), Some(1)) = (account.data.get(44), account.data.get(45)) else {
        return Some("the mint is none");
    };
    if *decimals != terms.decimals() {
        return Some("the mint has other decimals");
    }
    // An extension may take a fee from each transfer, or call a program of its own.
    if terms.token_program() == TokenProgram::Token2022 && account.data.len() > MINT_BYTES {
        return Some("mints with extensions are not sold for");
    }
    None
}

/// Reads a token account of this program; nothing when it is none.
pub(crate) fn read_token_account(account: &Account, program: TokenProgram) -> Option<TokenAccount> {
    if account.owner != program.address() {
        return None;
    }
    let data = account.data.as_slice();
    let mint: [u8; 32] = data.get(..32)?.try_into().ok()?;
    let amount: [u8; 8] = data.get(64..72)?.try_into().ok()?;
    Some(TokenAccount {
        mint: SolanaAddress::new(mint),
        amount: u64::from_le_bytes(amount),
        is_usable: *data.get(108)? == INITIALIZED,
    })
}

/// Reads the time of the chain's clock, in Unix seconds.
pub(crate) fn read_clock(account: &Account) -> Option<u64> {
    let time: [u8; 8] = account.data.get(32..40)?.try_into().ok()?;
    u64::try_from(i64::from_le_bytes(time)).ok()
}

#[cfg(test)]
mod tests {
    use compute_x402::networks::SOLANA_USDC;

    use super::*;

    fn account(owner: TokenProgram, data: Vec<u8>) -> Account {
        Account {
            lamports: 1,
            owner: owner.address(),
            data,
        }
    }

    fn mint(decimals: u8) -> Vec<u8> {
        let mut data = vec![0; MINT_BYTES];
        data[44] = decimals;
        data[45] = 1;
        data
    }

    #[test]
    fn a_mint_is_the_token_that_is_offered() {
        let terms = SOLANA_USDC.terms(SolanaAddress::new([1; 32])).unwrap();
        let fault = |account: Account| find_mint_fault(Some(&account), &terms);
        assert_eq!(fault(account(TokenProgram::Token, mint(6))), None);
        assert!(find_mint_fault(None, &terms).is_some());
        assert!(fault(account(TokenProgram::Token2022, mint(6))).is_some());
        assert!(fault(account(TokenProgram::Token, mint(9))).is_some());
        assert!(fault(account(TokenProgram::Token, vec![0; MINT_BYTES])).is_some());
        assert!(fault(account(TokenProgram::Token, vec![6; 45])).is_some());
    }

    #[test]
    fn a_mint_with_extensions_is_not_sold_for() {
        let mint_address = SolanaAddress::new([2; 32]);
        let terms = SvmTerms::new(
            compute_x402::Network::SOLANA,
            mint_address,
            TokenProgram::Token2022,
            6,
            mint_address,
        );
        let terms = terms.unwrap();
        let plain = account(TokenProgram::Token2022, mint(6));
        assert_eq!(find_mint_fault(Some(&plain), &terms), None);
        let mut extended = mint(6);
        extended.resize(300, 0);
        let extended = account(TokenProgram::Token2022, extended);
        assert!(find_mint_fault(Some(&extended), &terms).is_some());
    }

    #[test]
    fn token_accounts_are_read_byte_by_byte() {
        let mut data = vec![0; 165];
        data[..32].fill(7);
        data[64..72].copy_from_slice(&90_000_000_u64.to_le_bytes());
        data[108] = 1;
        let read = |data: &[u8]| {
            read_token_account(
                &account(TokenProgram::Token, data.to_vec()),
                TokenProgram::Token,
            )
        };
        let expected = TokenAccount {
            mint: SolanaAddress::new([7; 32]),
            amount: 90_000_000,
            is_usable: true,
        };
        assert_eq!(read(&data), Some(expected));
        data[108] = 2;
        assert_eq!(read(&data).map(|it| it.is_usable), Some(false));
        assert_eq!(read(&data[..108]), None);
        let foreign = account(TokenProgram::Token2022, data);
        assert_eq!(read_token_account(&foreign, TokenProgram::Token), None);
    }
}
