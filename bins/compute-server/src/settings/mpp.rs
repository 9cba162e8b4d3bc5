//! `[mpp]`, `[mpp.tempo]`, `[mpp.stripe]`: payments by the Payment authentication scheme.

use std::path::PathBuf;
use std::sync::Arc;

use compute_domain::payment::RailLabel;
use compute_domain::time::Span;
use compute_engine::{ChargeSpec, ChargeTerms, MppTerms};
use compute_http::PublicUrl;
use compute_mpp::stripe::StripeDetails;
use compute_mpp::tempo::{Modes, TempoTerms};
use compute_mpp::{Realm, Secret as ChallengeSecret, Secrets};
use compute_wallet::EvmAddress;

use super::check::Check;
use super::facilitators::check_url;
use super::section::section;
use super::value::{PrivateUrl, Secret};

/// The main network of Tempo, by its chain id.
const MAIN_NET: u32 = 4_217;
/// Its token for payments.
const USDC_E: &str = "0x20C000000000000000000000b9537d11c60E8b50";
/// Prices are in dollars, and so are cards.
const CURRENCY: &str = "usd";
const CENTS: u8 = 2;
/// The least that a challenge lives: a client must be able to sign, and we to send, in the meantime.
const LEAST_LIFE: Span = Span::from_secs(20);
/// The most: a price is frozen for as long.
const MOST_LIFE: Span = Span::from_secs(3_600);

section! {
    /// Payments by challenge and credential (`WWW-Authenticate: Payment`, MPP), beside x402. On as soon as one of the sections below is; a purchase without any other authentication then answers with an API key for what it bought.
    Mpp {
        /// The protection space that challenges name. The host of `server.public_url` when absent; clients bind payments to it, so a change voids the challenges that are out.
        realm: Option<String> = None,
        /// The secret under which challenges are made, at least 32 bytes, the same on every replica: whoever knows it can name any price. `openssl rand -hex 32` makes one. Needed.
        secret: Option<Secret> = None,
        /// A file that holds the secret.
        secret_file: Option<PathBuf> = None,
        /// The secret before this one: keep it for as long as a challenge lives.
        previous_secret: Option<Secret> = None,
        /// A file that holds the previous secret.
        previous_secret_file: Option<PathBuf> = None,
        /// How long a challenge can be paid, and its price is kept; `20s` to `1h`.
        challenge_life: Span = Span::from_secs(300),
        /// How many payments of one wallet may be under way at once, so that one purse does not hold many machines back that it can pay only once. Transfers that were sent already do not count.
        unsettled_per_wallet: u32 = 16,
    }
}

section! {
    /// The method `tempo`: a transfer of a stablecoin on the Tempo chain, which the buyer signs and this server sends. On when `recipient` is set.
    Tempo {
        /// The account that receives the money.
        recipient: Option<String> = None,
        /// A node of the chain. Needed.
        rpc_url: Option<PrivateUrl> = None,
        /// A file that holds the URL of the node.
        rpc_url_file: Option<PathBuf> = None,
        /// The chain: 4217 is the main network, 42431 the test network Moderato.
        chain_id: u32 = MAIN_NET,
        /// The token. USDC.e of the main network; on another chain it is needed.
        currency: Option<String> = None,
        /// Decimals of the token.
        decimals: u32 = 6,
        /// Whether buyers may also send the transaction themselves and show its hash. Needs a `pricing.grace` of `mpp.challenge_life` at least.
        push: bool = false,
        /// Whether a payment may bring the authorisation of a new access key of the payer with it.
        key_authorization: bool = false,
    }
}

section! {
    /// The method `stripe`: cards, through Shared Payment Tokens, in US dollars. On when `secret_key` is set. Prices below Stripe's minimum of 0.50 USD are not offered.
    Stripe {
        /// The seller's secret key at Stripe (`sk_…` or `rk_…`). A restricted key must be allowed to write PaymentIntents and refunds, and to read the account and disputes.
        secret_key: Option<Secret> = None,
        /// A file that holds the key.
        secret_key_file: Option<PathBuf> = None,
        /// The seller's business profile (`profile_…`), which challenges name. Needed.
        network_id: Option<String> = None,
        /// The kinds of payment that are taken.
        payment_method_types: Vec<String> = vec!["card".to_owned(), "link".to_owned()],
        /// Where the API is.
        base_url: PrivateUrl = PrivateUrl::new("https://api.stripe.com"),
        /// The secret under which Stripe signs webhooks (`whsec_…`). With it, disputes and refunds are noticed at once at `POST /compute/webhooks/stripe`; without it, within `timing.cards_every`. Subscribe it to `charge.dispute.*` and `refund.*`.
        webhook_secret: Option<Secret> = None,
        /// A file that holds that secret.
        webhook_secret_file: Option<PathBuf> = None,
        /// The version of the API that is asked for.
        version: String = "2026-07-29.preview".to_owned(),
    }
}

/// The checked sections.
#[derive(Debug)]
pub(crate) struct MppConfig {
    pub(crate) terms: MppTerms,
    pub(crate) tempo: Option<TempoConfig>,
    pub(crate) stripe: Option<StripeConfig>,
}

/// A checked `[mpp.stripe]`.
#[derive(Debug)]
pub(crate) struct StripeConfig {
    pub(crate) spec: ChargeSpec,
    pub(crate) secret_key: Secret,
    pub(crate) webhook_secret: Option<Secret>,
    pub(crate) base_url: PrivateUrl,
    pub(crate) version: String,
}

/// A checked `[mpp.tempo]`.
#[derive(Debug)]
pub(crate) struct TempoConfig {
    pub(crate) spec: ChargeSpec,
    pub(crate) rpc_url: PrivateUrl,
}

impl Mpp {
    /// `None` when no method is on, or something is wrong, which is noted.
    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        (tempo, stripe): (&Tempo, &Stripe),
        public_url: Option<&PublicUrl>,
        price_grace: Span,
    ) -> Option<MppConfig> {
        if tempo.push && price_grace < self.challenge_life {
            let what = "needs a pricing.grace of mpp.challenge_life at least: who has sent the money must get what it was sent for";
            check.problem("mpp.tempo.push", what);
        }
        let (tempo, stripe) = (tempo.check(check), stripe.check(check));
        let is_on = check.is_dev() || tempo.is_some() || stripe.is_some();
        if !is_on {
            return None;
        }
        let current = self.secret_of(check, "mpp.secret", &self.secret, &self.secret_file);
        let has_any = self.secret.is_some() || self.secret_file.is_some();
        if !has_any && !check.is_dev() {
            let what = "is needed: challenges are made under it; `openssl rand -hex 32` makes one";
            check.problem("mpp.secret", what);
        }
        let (text, file) = (&self.previous_secret, &self.previous_secret_file);
        let previous = self.secret_of(check, "mpp.previous_secret", text, file);
        let realm = self.check_realm(check, public_url);
        if !(LEAST_LIFE..=MOST_LIFE).contains(&self.challenge_life) {
            check.problem("mpp.challenge_life", "must be 20s to 1h");
        }
        if self.unsettled_per_wallet == 0 {
            check.problem("mpp.unsettled_per_wallet", "must be at least 1");
        }
        let secrets = Secrets {
            current: current?,
            previous,
        };
        Some(MppConfig {
            terms: MppTerms {
                realm: realm?,
                secrets: Arc::new(secrets),
                challenge_life: self.challenge_life,
                unsettled_per_wallet: self.unsettled_per_wallet,
            },
            tempo,
            stripe,
        })
    }

    fn secret_of(
        &self,
        check: &mut Check<'_>,
        key: &str,
        text: &Option<Secret>,
        file: &Option<PathBuf>,
    ) -> Option<ChallengeSecret> {
        let secret = check.secret(key, text.as_ref(), file.as_ref())?;
        let parsed = ChallengeSecret::new(secret.expose().as_bytes());
        if let Err(error) = &parsed {
            check.problem(key, error.to_string());
        }
        parsed.ok()
    }

    fn check_realm(&self, check: &mut Check<'_>, public_url: Option<&PublicUrl>) -> Option<Realm> {
        let text = match &self.realm {
            Some(realm) => realm.as_str(),
            None => host_of(public_url?.as_str()),
        };
        let parsed = Realm::parse(text);
        if let Err(error) = &parsed {
            check.problem("mpp.realm", error.to_string());
        }
        parsed.ok()
    }
}

/// The host of a URL without its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        // An IPv6 address is in brackets.
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

impl Tempo {
    fn check(&self, check: &mut Check<'_>) -> Option<TempoConfig> {
        let recipient = self.recipient.as_ref()?;
        let key = |name: &str| format!("mpp.tempo.{name}");
        let recipient = read_address(check, &key("recipient"), recipient);
        let is_payable = |address: &EvmAddress| {
            let [first, second, ..] = address.as_bytes();
            *address != EvmAddress::new([0; 20]) && [*first, *second] != [0x20, 0xc0]
        };
        if recipient.is_some_and(|address| !is_payable(&address)) {
            let what = "is zero or a token: transfers to it revert";
            check.problem(&key("recipient"), what);
        }
        let rpc_url = check_url(
            check,
            &key("rpc_url"),
            self.rpc_url.as_ref(),
            self.rpc_url_file.as_ref(),
        );
        if self.rpc_url.is_none() && self.rpc_url_file.is_none() {
            check.problem(&key("rpc_url"), "is needed: payments are sent through it");
        }
        let currency = match &self.currency {
            Some(text) => Some(text.as_str()),
            None if self.chain_id == MAIN_NET => Some(USDC_E),
            None => None,
        };
        if currency.is_none() {
            check.problem(&key("currency"), "is needed on this chain");
        }
        let currency = currency.and_then(|text| read_address(check, &key("currency"), text));
        let decimals = u8::try_from(self.decimals).ok().filter(|it| *it <= 18);
        if decimals.is_none() {
            check.problem(&key("decimals"), "must be at most 18");
        }
        let modes = if self.push {
            Modes::PullAndPush
        } else {
            Modes::Pull
        };
        let rpc_url = rpc_url?;
        Some(TempoConfig {
            spec: ChargeSpec {
                label: RailLabel::parse("tempo").ok()?,
                decimals: decimals?,
                terms: ChargeTerms::Tempo(TempoTerms {
                    chain_id: self.chain_id.into(),
                    currency: currency?,
                    recipient: recipient?,
                    modes,
                    fee_payer: false,
                    takes_key_authorization: self.key_authorization,
                }),
                settlement: rpc_url.masked(),
            },
            rpc_url,
        })
    }
}

impl Stripe {
    /// Whether there is a key.
    pub(super) const fn is_on(&self) -> bool {
        self.secret_key.is_some() || self.secret_key_file.is_some()
    }

    fn check(&self, check: &mut Check<'_>) -> Option<StripeConfig> {
        if !self.is_on() {
            return None;
        }
        let (text, file) = (self.secret_key.as_ref(), self.secret_key_file.as_ref());
        let secret_key = check.secret("mpp.stripe.secret_key", text, file);
        let (text, file) = (
            self.webhook_secret.as_ref(),
            self.webhook_secret_file.as_ref(),
        );
        let webhook_secret = check.secret("mpp.stripe.webhook_secret", text, file);
        if self.network_id.is_none() {
            let what = "is needed: challenges name the seller by it";
            check.problem("mpp.stripe.network_id", what);
        }
        if self.payment_method_types.is_empty() {
            check.problem("mpp.stripe.payment_method_types", "must name at least one");
        }
        check.outside_url("mpp.stripe.base_url", self.base_url.expose());
        Some(StripeConfig {
            spec: ChargeSpec {
                label: RailLabel::parse("stripe").ok()?,
                decimals: CENTS,
                terms: ChargeTerms::Stripe {
                    details: StripeDetails {
                        network_id: self.network_id.clone()?,
                        payment_method_types: self.payment_method_types.clone(),
                        metadata: Vec::new(),
                    },
                    currency: CURRENCY.to_owned(),
                },
                settlement: self.base_url.masked(),
            },
            secret_key: secret_key?,
            webhook_secret,
            base_url: self.base_url.clone(),
            version: self.version.clone(),
        })
    }
}

fn read_address(check: &mut Check<'_>, key: &str, text: &str) -> Option<EvmAddress> {
    let parsed = EvmAddress::parse_any_case(text);
    if parsed.is_err() {
        check.problem(key, "must be an address: 0x and 40 hex digits");
    }
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realm_is_the_host() {
        for (url, host) in [
            ("https://compute.example", "compute.example"),
            ("https://compute.example:8443/shop", "compute.example"),
            ("http://127.0.0.1:4020", "127.0.0.1"),
            ("http://[::1]:4020", "[::1]"),
            ("http://[::1]", "[::1]"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
