//! Typed data: every digest equals that of another library.

use alloy_primitives::B256;
use alloy_sol_types::{Eip712Domain, eip712_domain};
use compute_wallet::{EvmAddress, Uint256};
use compute_x402::exact_evm::Authorization;
use compute_x402::permit::Permit;
use compute_x402::permit2::{PERMIT2, Permit2Transfer};
use compute_x402::token::EvmToken;
use compute_x402::{Network, PermitPaths, TokenTerms};

use super::payment::{digest_of, to_alloy, to_word};

/// What other libraries sign.
mod theirs {
    alloy_sol_types::sol! {
        struct TransferWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }

        struct Permit {
            address owner;
            address spender;
            uint256 value;
            uint256 nonce;
            uint256 deadline;
        }

        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        struct Witness {
            address to;
            uint256 validAfter;
        }

        struct PermitWitnessTransferFrom {
            TokenPermissions permitted;
            address spender;
            uint256 nonce;
            uint256 deadline;
            Witness witness;
        }
    }
}

/// The chain of Permit2 where a payment names none.
const CHAIN_ID: u64 = 4326;

/// Takes fields from the input; zeros when it has ended.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for slot in &mut bytes {
            if let [byte, rest @ ..] = self.0 {
                *slot = *byte;
                self.0 = rest;
            }
        }
        bytes
    }

    fn address(&mut self) -> EvmAddress {
        EvmAddress::new(self.take())
    }

    fn uint(&mut self) -> Uint256 {
        Uint256::from_be_bytes(self.take())
    }

    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let [length] = self.take();
        let length = usize::from(length).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

pub(super) fn digest(data: &[u8]) {
    let mut fields = Fields(data);
    let (chain_id, contract) = (fields.number(), fields.address());
    let (name, version) = (fields.text(), fields.text());
    let network = Network::evm(chain_id);
    let terms = TokenTerms::eip3009(network, contract, &name, &version);
    if chain_id == 0 {
        // No chain has this id; such a network is not found again by its name.
        return;
    }
    let terms = terms.expect("an EVM token");
    let token = terms.as_evm().expect("an EVM token");
    let domain = domain(token);
    // One struct an input: hashing is what all of this costs.
    let [kind] = fields.take();
    if kind % 3 == 2 {
        let transfer = Permit2Transfer {
            from: fields.address(),
            token: contract,
            amount: fields.uint(),
            spender: fields.address(),
            nonce: fields.uint(),
            deadline: fields.number(),
            to: fields.address(),
            valid_after: fields.number(),
        };
        return check_transfer_on(&transfer, chain_id);
    }
    if kind % 3 == 1 {
        let permit = Permit {
            owner: fields.address(),
            spender: fields.address(),
            value: fields.uint(),
            nonce: fields.uint(),
            deadline: fields.number(),
        };
        return check_permit_in(&domain, &permit, token);
    }
    check_authorization_in(
        &domain,
        &Authorization {
            from: fields.address(),
            to: fields.address(),
            value: fields.uint(),
            valid_after: fields.number(),
            valid_before: fields.number(),
            nonce: fields.take(),
        },
        token,
    );
}

pub(super) fn check_authorization(ours: &Authorization, token: &EvmToken) {
    check_authorization_in(&domain(token), ours, token);
}

pub(super) fn check_permit(ours: &Permit, token: &EvmToken) {
    check_permit_in(&domain(token), ours, token);
}

fn check_authorization_in(domain: &Eip712Domain, ours: &Authorization, token: &EvmToken) {
    let message = theirs::TransferWithAuthorization {
        from: to_alloy(&ours.from),
        to: to_alloy(&ours.to),
        value: to_word(ours.value),
        validAfter: to_word(ours.valid_after.into()),
        validBefore: to_word(ours.valid_before.into()),
        nonce: B256::from(ours.nonce),
    };
    assert_eq!(ours.digest(token), digest_of(&message, domain));
}

fn check_permit_in(domain: &Eip712Domain, ours: &Permit, token: &EvmToken) {
    let message = theirs::Permit {
        owner: to_alloy(&ours.owner),
        spender: to_alloy(&ours.spender),
        value: to_word(ours.value),
        nonce: to_word(ours.nonce),
        deadline: to_word(ours.deadline.into()),
    };
    assert_eq!(ours.digest(token), digest_of(&message, domain));
}

pub(super) fn check_transfer(ours: &Permit2Transfer) {
    check_transfer_on(ours, CHAIN_ID);
}

fn check_transfer_on(ours: &Permit2Transfer, chain_id: u64) {
    let message = theirs::PermitWitnessTransferFrom {
        permitted: theirs::TokenPermissions {
            token: to_alloy(&ours.token),
            amount: to_word(ours.amount),
        },
        spender: to_alloy(&ours.spender),
        nonce: to_word(ours.nonce),
        deadline: to_word(ours.deadline.into()),
        witness: theirs::Witness {
            to: to_alloy(&ours.to),
            validAfter: to_word(ours.valid_after.into()),
        },
    };
    let theirs = eip712_domain! {
        name: "Permit2",
        chain_id: chain_id,
        verifying_contract: to_alloy(&PERMIT2),
    };
    let paths = PermitPaths::none().with_permit2(chain_id);
    let separator = paths.permit2_separator().expect("Permit2");
    assert_eq!(*separator, theirs.separator().0);
    assert_eq!(ours.digest(separator), digest_of(&message, &theirs));
}

fn domain(token: &EvmToken) -> Eip712Domain {
    let domain = eip712_domain! {
        name: token.domain_name().to_owned(),
        version: token.domain_version().to_owned(),
        chain_id: token.chain_id(),
        verifying_contract: to_alloy(&token.contract()),
    };
    assert_eq!(*token.domain_separator(), domain.separator().0);
    domain
}
