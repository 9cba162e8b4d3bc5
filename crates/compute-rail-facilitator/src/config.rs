use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use compute_domain::time::{Clock, Entropy};
use compute_outbound::{BearerToken, ConfigError, OutboundClient, OutboundConfig};
use secrecy::{ExposeSecret, SecretString};

use crate::cdp::CdpKey;
use crate::panel::Panel;
use crate::remote::{Remote, Tokens};

/// Largest answer of a facilitator. Real ones have less than 4 KiB.
const MAX_FACILITATOR_BYTES: usize = 64 << 10;

/// Largest answer of a chain node; a window of log entries is far smaller.
const MAX_NODE_BYTES: usize = 1 << 20;

/// One facilitator.
#[derive(Clone)]
pub struct Facilitator {
    /// Its base URL, below which `/verify` and `/settle` are. Plain http only on loopback;
    /// redirects are not followed, so this must be the final address.
    pub url: String,
    /// How it knows us.
    pub access: Access,
}

/// How a facilitator knows who asks.
#[derive(Clone, Debug)]
pub enum Access {
    /// It serves everybody.
    Open,
    /// By a token that is the same on every request.
    Bearer(SecretString),
    /// By a token that is signed for each request, as Coinbase's facilitator wants it.
    Cdp(Box<CdpKey>),
}

/// What a rail over facilitators is made from.
#[derive(Clone)]
pub struct FacilitatorConfig {
    /// The facilitators, the preferred one first; the next is used while those before it cannot be
    /// reached. More than one need a chain node.
    pub facilitators: Vec<Facilitator>,
    /// A chain node for the rail's network. Its URL may hold a key.
    pub rpc_url: Option<SecretString>,
    /// A private certificate authority in PEM form, for all of them.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// How long calls may take.
    pub timeouts: Timeouts,
    /// Blocks after which the chain's word on what did *not* happen is final.
    pub confirmations: u64,
}

/// How long calls may take. Together the parts of one call must stay below half a lease.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// DNS, TCP and TLS of one request.
    pub connect: Duration,
    /// `/verify` and `/supported`.
    pub verify: Duration,
    /// `/settle`: the facilitator waits for the chain inside this call.
    pub settle: Duration,
    /// One request to the chain node.
    pub node: Duration,
    /// A call that needs several requests.
    pub call: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(4),
            verify: Duration::from_secs(10),
            settle: Duration::from_secs(22),
            node: Duration::from_secs(5),
            call: Duration::from_secs(28),
        }
    }
}

impl Default for FacilitatorConfig {
    /// Nobody to ask yet.
    fn default() -> Self {
        Self {
            facilitators: Vec::new(),
            rpc_url: None,
            extra_roots_pem: None,
            timeouts: Timeouts::default(),
            // What the reliability rules of this project ask for on EVM chains.
            confirmations: 12,
        }
    }
}

impl FacilitatorConfig {
    /// A facilitator without credentials, and no chain node.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            facilitators: vec![Facilitator {
                url: url.into(),
                access: Access::Open,
            }],
            ..Self::default()
        }
    }

    pub(crate) fn connect(
        &self,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Panel, FacilitatorConfigError> {
        match self.facilitators.as_slice() {
            [] => return Err(FacilitatorConfigError::NoFacilitator),
            [_, _, ..] if self.rpc_url.is_none() => {
                return Err(FacilitatorConfigError::ChoiceWithoutNode);
            }
            _ => {}
        }
        let remotes = self.facilitators.iter().map(|facilitator| {
            let http = self
                .connect_to(facilitator)
                .map_err(FacilitatorConfigError::Facilitator)?;
            let tokens = match &facilitator.access {
                Access::Cdp(key) => Some(Tokens {
                    key: key.as_ref().clone(),
                    entropy: Arc::clone(entropy),
                }),
                Access::Open | Access::Bearer(_) => None,
            };
            Ok(Remote::new(http, tokens, Arc::clone(clock)))
        });
        Ok(Panel::new(remotes.collect::<Result<_, _>>()?))
    }

    fn connect_to(&self, facilitator: &Facilitator) -> Result<OutboundClient, ConfigError> {
        let bearer = match &facilitator.access {
            Access::Bearer(token) => Some(BearerToken::parse(token.clone())?),
            Access::Open | Access::Cdp(_) => None,
        };
        OutboundClient::new(&OutboundConfig {
            bearer,
            max_body_bytes: MAX_FACILITATOR_BYTES,
            ..self.outbound(&facilitator.url)
        })
    }

    pub(crate) fn connect_node(&self) -> Result<Option<OutboundClient>, FacilitatorConfigError> {
        let Some(url) = &self.rpc_url else {
            return Ok(None);
        };
        let config = OutboundConfig {
            max_body_bytes: MAX_NODE_BYTES,
            total_timeout: self.timeouts.node,
            ..self.outbound(url.expose_secret())
        };
        let client = OutboundClient::new(&config).map_err(FacilitatorConfigError::Node)?;
        Ok(Some(client))
    }

    fn outbound(&self, url: &str) -> OutboundConfig {
        OutboundConfig {
            extra_roots_pem: self.extra_roots_pem.clone(),
            connect_timeout: self.timeouts.connect,
            read_timeout: self.timeouts.settle.max(self.timeouts.verify),
            total_timeout: self.timeouts.verify,
            ..OutboundConfig::new(url)
        }
    }
}

impl fmt::Debug for FacilitatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorConfig")
            .field("facilitators", &self.facilitators.len())
            .field("has_rpc_url", &self.rpc_url.is_some())
            .field("timeouts", &self.timeouts)
            .field("confirmations", &self.confirmations)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Facilitator {
    // The URL may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facilitator")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// Why the rail cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FacilitatorConfigError {
    /// Nobody to ask.
    #[error("at least one facilitator is needed")]
    NoFacilitator,
    /// Only the chain can say that one facilitator did not settle what another is asked to settle.
    #[error("more than one facilitator need a chain node")]
    ChoiceWithoutNode,
    /// The chain node is one of EVM chains.
    #[error("a chain node is not used on Solana")]
    NodeOnSolana,
    /// A permit for a facilitator lets it do with the money what it wants.
    #[error("only payments through Permit2 are settled by a facilitator, not direct permits")]
    DirectPermit,
    /// The facilitator's address, token or certificate authority cannot be used.
    #[error("the settings of the facilitator cannot be used")]
    Facilitator(#[source] ConfigError),
    /// The chain node's address cannot be used.
    #[error("the settings of the chain node cannot be used")]
    Node(#[source] ConfigError),
}
