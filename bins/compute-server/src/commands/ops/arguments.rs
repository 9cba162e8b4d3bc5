//! The arguments of `ops`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use compute_domain::WalletAddress;
use compute_domain::catalog::ProviderId;
use compute_domain::id::{ArrivalId, InstanceId, OperationId};
use compute_domain::money::Usd;

/// Arguments of `ops`.
#[derive(Debug, Args)]
pub(crate) struct OpsArguments {
    /// The server's configuration file; only its database and its times are used [default: compute.toml, if it exists].
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "database")]
    pub(crate) config: Option<PathBuf>,
    /// The database, instead of a configuration: `sqlite:<file>` or `postgres://…`.
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) database: Option<String>,
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: OpsCommand,
}

/// What the operator wants.
#[derive(Debug, Subcommand)]
pub(crate) enum OpsCommand {
    /// List operations that are stuck, or that have been running for too long.
    List,
    /// Tell the whole story of an operation, or of an order with all its operations.
    Show {
        /// The id of the operation, or of the order (instance).
        id: OperationId,
    },
    /// Have a stuck operation worked on again. The server first finds out what happened, so nothing is done twice.
    Retry {
        /// The id of the operation.
        id: OperationId,
    },
    /// End an operation whose settlement cannot be found out, and give its price to its owner as credit; or, with `--to-card`, give what is left as credit of a card payment back to the card.
    Refund {
        /// The id of the operation.
        id: OperationId,
        /// Why; kept in the operation's history.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Give it back to the card that paid. The credit is taken at once, and a running server sends it.
        #[arg(long)]
        to_card: bool,
        /// How much, in dollars; everything that is left when absent.
        #[arg(long, value_name = "USD", requires = "to_card", value_parser = amount)]
        amount: Option<Usd>,
        /// A name of your own for this refund: repeated under one name of an operation, it is made once.
        #[arg(long, value_name = "NAME", requires = "to_card", default_value = "refund", value_parser = name)]
        key: String,
    },
    /// List refunds to cards, and where each is.
    Refunds,
    /// List disputes about card payments, and what is frozen for each.
    Disputes,
    /// Check every promise about money and machines in the database. Exit code 1 when one is broken.
    Audit,
    /// List money that arrived and that no payment explains, and how far each chain was read.
    Arrivals,
    /// Make an arrival that no payment explains the credit of whoever holds a wallet.
    Assign {
        /// The id of the arrival.
        id: ArrivalId,
        /// The wallet, as its chain writes it.
        #[arg(long, value_name = "ADDRESS")]
        wallet: WalletAddress,
        /// Why; kept with the arrival.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// List settled payments that their chain took back and that are not in it again.
    Reverted,
    /// List what the providers told of our accounts: state, funds, limits, and whether our credentials are refused.
    Providers,
    /// Say that our machines at a provider are in the other account that it showed, from now on.
    AcceptAccount {
        /// The provider.
        #[arg(value_parser = provider)]
        provider: ProviderId,
        /// The account, as `ops providers` shows it.
        account: String,
    },
    /// List live orders whose machine has another plan at its provider than the order says.
    Drifts,
    /// List machines at the providers that no live instance explains.
    Suspects,
    /// Tell whether there is a quarantine, in which nothing is destroyed without its owner's asking; begin or end one.
    Quarantine {
        #[command(subcommand)]
        change: Option<QuarantineChange>,
    },
    /// List live orders whose machine its provider does not know any more, as far as nothing could be concluded.
    Missing,
    /// Give up an order's machine that is missing: the order ends as of the moment it was first missed, and what was left becomes its owner's credit.
    GiveUp {
        /// The id of the order (instance).
        id: InstanceId,
        /// Why; kept in the order's history.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

/// What becomes of the quarantine.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineChange {
    /// Begin one, before the server is started on a database that was restored from a backup.
    Begin {
        /// Why; told with everything that waits.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// End it, after the database was compared with the providers and the payment networks.
    End,
}

fn provider(name: &str) -> Result<ProviderId, String> {
    ProviderId::parse(name).ok_or_else(|| "is the name of no provider".to_owned())
}

fn amount(text: &str) -> Result<Usd, String> {
    let amount = Usd::parse(text).map_err(|error| error.to_string())?;
    if amount == Usd::ZERO {
        return Err("is more than nothing".to_owned());
    }
    Ok(amount)
}

/// The longest name of a refund.
const NAME_MAX: usize = 255;

fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(|it| it.is_ascii_graphic()) {
        return Err(format!("is 1 to {NAME_MAX} visible ASCII characters"));
    }
    Ok(text.to_owned())
}

/// The longest reason.
const REASON_MAX: usize = 500;

/// A reason that is worth keeping: something, not too long, on one line.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_line = !text.chars().any(char::is_control);
    if text.is_empty() || text.chars().count() > REASON_MAX || !is_line {
        return Err(format!("is 1 to {REASON_MAX} characters on one line"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refund_has_an_amount_and_a_name() {
        assert_eq!(amount("3.50"), Ok(Usd::parse("3.5").unwrap()));
        for bad in ["0", "-1", "", "x"] {
            assert!(amount(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name("ticket-7"), Ok("ticket-7".to_owned()));
        for bad in ["", "a b", "ä", &"x".repeat(NAME_MAX + 1)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(reason("  seen on chain "), Ok("seen on chain".to_owned()));
        let long = "x".repeat(REASON_MAX + 1);
        for bad in ["", "  ", "a\nb", "a\u{1b}[31m", &long] {
            assert!(reason(bad).is_err(), "{bad:?}");
        }
    }
}
