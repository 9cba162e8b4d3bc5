//! The calls that the hot wallet may make: this list and nothing else.
//!
//! A [`Call`] can only be made from a payment that names our recipient, so that whoever controls
//! the words of a request still cannot choose where money goes.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use compute_evm::abi;
use compute_wallet::{EvmAddress, EvmSignature, Uint256};
use compute_x402::Amount;
use compute_x402::exact_evm::Authorization;
use compute_x402::permit::Permit;
use compute_x402::permit2::{EXACT_PROXY, Permit2Transfer};

sol! {
    // EIP-3009, EIP-2612 and ERC-20, as the tokens have them.
    interface Token {
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s);
        function transferFrom(address from, address to, uint256 value);
        function transfer(address to, uint256 value);
    }

    // The form of `transferWithAuthorization` that passes a contract's signature on (FiatToken 2.2).
    interface ContractWalletToken {
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature);
    }

    struct TokenPermissions { address token; uint256 amount; }
    struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
    struct Witness { address to; uint256 validAfter; }
    struct Permit2612 { uint256 value; uint256 deadline; bytes32 r; bytes32 s; uint8 v; }

    // The protocol's proxy for Permit2 (x402 reference, section 6.2).
    interface Proxy {
        function settle(PermitTransferFrom permit, address owner, Witness witness, bytes signature);
        function settleWithPermit(Permit2612 permit2612, PermitTransferFrom permit, address owner, Witness witness, bytes signature);
    }

    interface ContractWallet {
        function isValidSignature(bytes32 hash, bytes signature) returns (bytes4);
    }
}

/// Something the hot wallet may send. None carries the chain's own coin.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// The transfer a payer signed (EIP-3009), by an ordinary account or by a contract.
    Authorization {
        token: EvmAddress,
        authorization: Authorization,
        signature: Signature,
    },
    /// The approval a payer signed for this wallet (ERC-2612).
    Permit {
        token: EvmAddress,
        permit: Permit,
        signature: EvmSignature,
    },
    /// What a payer approved, moved on to the recipient.
    Pull {
        token: EvmAddress,
        owner: EvmAddress,
        to: EvmAddress,
        amount: Amount,
    },
    /// A transfer through Permit2, with a permit for Permit2 where the payer sent one.
    Permit2 {
        transfer: Permit2Transfer,
        signature: EvmSignature,
        sponsored: Option<Box<(Permit, EvmSignature)>>,
    },
    /// What this wallet received, moved on to the recipient.
    Sweep {
        token: EvmAddress,
        to: EvmAddress,
        amount: Amount,
    },
    /// Nothing, to this wallet itself: takes the place of a transaction that is missing.
    Fill { wallet: EvmAddress },
}

/// The signature of a payer of EIP-3009.
#[derive(Clone)]
pub(crate) enum Signature {
    Key(EvmSignature),
    Contract(Vec<u8>),
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Contract(_) => "Contract",
        })
    }
}

impl Call {
    /// The contract it calls.
    pub(crate) const fn to(&self) -> EvmAddress {
        match self {
            Self::Authorization { token, .. }
            | Self::Permit { token, .. }
            | Self::Pull { token, .. }
            | Self::Sweep { token, .. } => *token,
            Self::Permit2 { .. } => EXACT_PROXY,
            Self::Fill { wallet } => *wallet,
        }
    }

    /// Its calldata.
    pub(crate) fn data(&self) -> Vec<u8> {
        match self {
            Self::Authorization {
                authorization,
                signature,
                ..
            } => authorization_data(authorization, signature),
            Self::Permit {
                permit, signature, ..
            } => {
                let (r, s, v) = parts(signature);
                Token::permitCall {
                    owner: address(permit.owner),
                    spender: address(permit.spender),
                    value: uint(permit.value),
                    deadline: U256::from(permit.deadline),
                    v,
                    r,
                    s,
                }
                .abi_encode()
            }
            Self::Pull {
                owner, to, amount, ..
            } => Token::transferFromCall {
                from: address(*owner),
                to: address(*to),
                value: U256::from(amount.get()),
            }
            .abi_encode(),
            Self::Permit2 {
                transfer,
                signature,
                sponsored,
            } => permit2_data(transfer, signature, sponsored.as_deref()),
            Self::Sweep { to, amount, .. } => Token::transferCall {
                to: address(*to),
                value: U256::from(amount.get()),
            }
            .abi_encode(),
            Self::Fill { .. } => Vec::new(),
        }
    }

    /// The calldata as nodes take it.
    pub(crate) fn data_hex(&self) -> String {
        format!("0x{}", hex::encode(self.data()))
    }
}

/// The question to a contract whether it signed (ERC-1271), as calldata.
pub(crate) fn is_valid_signature(digest: &[u8; 32], signature: &[u8]) -> String {
    let call = ContractWallet::isValidSignatureCall {
        hash: B256::from(*digest),
        signature: Bytes::copy_from_slice(signature),
    };
    format!("0x{}", hex::encode(call.abi_encode()))
}

/// Whether an answer to that question is a yes: the selector of the question, padded to a word.
pub(crate) fn is_yes(answer: &str) -> bool {
    let mut yes = [0; 32];
    for (slot, byte) in yes
        .iter_mut()
        .zip(ContractWallet::isValidSignatureCall::SELECTOR)
    {
        *slot = byte;
    }
    abi::read_word(answer) == Some(yes)
}

fn authorization_data(authorization: &Authorization, signature: &Signature) -> Vec<u8> {
    let (from, to) = (address(authorization.from), address(authorization.to));
    let value = uint(authorization.value);
    let (after, before) = (
        U256::from(authorization.valid_after),
        U256::from(authorization.valid_before),
    );
    let nonce = B256::from(authorization.nonce);
    match signature {
        Signature::Key(signature) => {
            let (r, s, v) = parts(signature);
            Token::transferWithAuthorizationCall {
                from,
                to,
                value,
                validAfter: after,
                validBefore: before,
                nonce,
                v,
                r,
                s,
            }
            .abi_encode()
        }
        Signature::Contract(bytes) => ContractWalletToken::transferWithAuthorizationCall {
            from,
            to,
            value,
            validAfter: after,
            validBefore: before,
            nonce,
            signature: Bytes::copy_from_slice(bytes),
        }
        .abi_encode(),
    }
}

fn permit2_data(
    transfer: &Permit2Transfer,
    signature: &EvmSignature,
    sponsored: Option<&(Permit, EvmSignature)>,
) -> Vec<u8> {
    let permit = PermitTransferFrom {
        permitted: TokenPermissions {
            token: address(transfer.token),
            amount: uint(transfer.amount),
        },
        nonce: uint(transfer.nonce),
        deadline: U256::from(transfer.deadline),
    };
    let owner = address(transfer.from);
    let witness = Witness {
        to: address(transfer.to),
        validAfter: U256::from(transfer.valid_after),
    };
    let signature = Bytes::copy_from_slice(&signature.to_bytes());
    let Some((approval, approval_signature)) = sponsored else {
        return Proxy::settleCall {
            permit,
            owner,
            witness,
            signature,
        }
        .abi_encode();
    };
    let (r, s, v) = parts(approval_signature);
    Proxy::settleWithPermitCall {
        permit2612: Permit2612 {
            value: uint(approval.value),
            deadline: U256::from(approval.deadline),
            r,
            s,
            v,
        },
        permit,
        owner,
        witness,
        signature,
    }
    .abi_encode()
}

fn address(address: EvmAddress) -> Address {
    Address::from(*address.as_bytes())
}

fn uint(value: Uint256) -> U256 {
    U256::from_be_bytes(value.to_be_bytes())
}

fn parts(signature: &EvmSignature) -> (B256, B256, u8) {
    let bytes = signature.to_bytes();
    let (r, rest) = bytes.split_at(32);
    let (s, v) = rest.split_at(32);
    let word = |bytes: &[u8]| bytes.try_into().map(B256::new).unwrap_or_default();
    (word(r), word(s), v.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The reference names these selectors, read from the deployed contracts.
    #[test]
    fn the_selectors_are_those_of_the_contracts() {
        let selectors = [
            (Token::transferWithAuthorizationCall::SELECTOR, "e3ee160e"),
            (
                ContractWalletToken::transferWithAuthorizationCall::SELECTOR,
                "cf092995",
            ),
            (Token::permitCall::SELECTOR, "d505accf"),
            (Token::transferFromCall::SELECTOR, "23b872dd"),
            (Token::transferCall::SELECTOR, "a9059cbb"),
            (Proxy::settleCall::SELECTOR, "13cd3b53"),
            (Proxy::settleWithPermitCall::SELECTOR, "fa340378"),
            (ContractWallet::isValidSignatureCall::SELECTOR, "1626ba7e"),
        ];
        for (own, expected) in selectors {
            assert_eq!(hex::encode(own), expected);
        }
    }

    #[test]
    fn only_the_padded_selector_is_a_yes() {
        let padded = |text: &str| format!("0x{text:0<64}");
        assert!(is_yes(&padded("1626ba7e")));
        for no in [
            "0x",
            "0x1626ba7e",
            &padded("ffffffff"),
            &padded(""),
            &format!("0x1626ba7e{}", "1".repeat(56)),
        ] {
            assert!(!is_yes(no), "{no}");
        }
    }
}
