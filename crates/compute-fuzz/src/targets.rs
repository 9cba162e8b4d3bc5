//! The targets, by name.

pub(crate) mod auth;
mod client;
mod eip712;
mod facilitator;
mod header;
mod payment;
mod svm;
mod text;

/// One decoder, or a few that read the same thing.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name, on the command line and of its corpus.
    pub name: &'static str,
    /// Whether it checks or makes signatures, which takes a hundred times as long as reading.
    pub signs: bool,
    /// Reads the input; panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// Makes of each line a function of its own, so that a fuzzer links no more than it calls, and a row of the table.
macro_rules! targets {
    ($($name:ident: $kind:ident $run:path;)*) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            signs: is_signing!($kind),
            run: $name,
        }),*];
        $(
            #[doc = concat!("The target `", stringify!($name), "`.")]
            pub fn $name(data: &[u8]) {
                $run(data);
            }
        )*
    };
}

macro_rules! is_signing {
    (reads) => {
        false
    };
    (signs) => {
        true
    };
}

targets! {
    x402_v1_header: reads header::v1;
    x402_v2_header: reads header::v2;
    eip3009_payload: signs payment::eip3009;
    permit_payload: signs payment::permit;
    permit2_payload: signs payment::permit2;
    svm_transaction: signs svm::transaction;
    client_challenge: reads client::challenge;
    client_pay: signs client::pay;
    settle_answer: reads facilitator::settle;
    verify_answer: reads facilitator::verify;
    supported_answer: reads facilitator::supported;
    settlement_header: reads facilitator::settlement_header;
    amount: reads text::amount;
    uint256: reads text::uint256;
    evm_address: reads text::evm_address;
    solana_address: reads text::solana_address;
    network: reads text::network;
    signature_text: reads text::signature;
    auth_headers: signs auth::headers;
    eip712_digest: reads eip712::digest;
}

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
