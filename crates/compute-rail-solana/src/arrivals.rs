//! What reaches the recipient's token account, once it is final.
//!
//! A node lists the transactions of an account from the newest backwards. So a *pass* begins at the
//! newest one and goes back, part by part, to where the pass before it began; the cursor says how far.

use core::fmt;
use core::str::FromStr;

use compute_domain::time::Timestamp;
use compute_engine::ports::{ArrivalPage, RailUnavailable, SeenTransfer};
use compute_wallet::{SolanaAddress, WalletAddress};

use crate::rail::{SolanaRail, unavailable};
use crate::rpc::{Commitment, Record, RpcError, TokenBalance};

/// How many transactions one part looks at: each costs a question to the node.
const PART: u32 = 16;

/// What stands for no transaction.
const NONE: &str = "-";

/// Where the owner of a token account stands in its data.
const OWNER: core::ops::Range<usize> = 32..64;

/// How far the transactions of an account have been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// The newest one that earlier passes have seen.
    until: Option<String>,
    /// The pass under way.
    pass: Option<Pass>,
}

/// A pass that has not come back to where the one before it began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pass {
    newest: String,
    /// The oldest one that was looked at.
    before: String,
    /// The time of the newest final block when the pass began; Unix seconds.
    time_s: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.until.as_deref().unwrap_or(NONE))?;
        match &self.pass {
            Some(pass) => write!(f, " {} {} {}", pass.newest, pass.before, pass.time_s),
            None => Ok(()),
        }
    }
}

impl FromStr for Cursor {
    type Err = RpcError;

    fn from_str(text: &str) -> Result<Self, RpcError> {
        let bad = || RpcError::new("the cursor is none of this rail");
        let words: Vec<&str> = text.split(' ').collect();
        let until = |word: &str| (word != NONE).then(|| word.to_owned());
        match words.as_slice() {
            [word] => Ok(Self {
                until: until(word),
                pass: None,
            }),
            [word, newest, before, time_s] => Ok(Self {
                until: until(word),
                pass: Some(Pass {
                    newest: (*newest).to_owned(),
                    before: (*before).to_owned(),
                    time_s: time_s.parse().map_err(|_| bad())?,
                }),
            }),
            _ => Err(bad()),
        }
    }
}

impl SolanaRail {
    /// The token account that is paid.
    fn inbox(&self) -> Option<SolanaAddress> {
        let pay_to = self.token.pay_to(&self.spec.pay_to.address())?;
        Some(pay_to.destination(self.token.terms()))
    }

    /// Network, token and token account as one text.
    pub(crate) fn inbox_name(&self) -> Option<String> {
        let (network, mint) = (self.spec.token.network().caip2(), self.token.terms().mint());
        self.inbox()
            .map(|inbox| format!("{network}/{mint}/{inbox}"))
    }

    pub(crate) async fn try_arrivals(
        &self,
        cursor: Option<&str>,
    ) -> Result<ArrivalPage, RailUnavailable> {
        let page = self.read_arrivals(cursor).await;
        page.map_err(|error| unavailable(&error.to_string()))
    }

    async fn read_arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RpcError> {
        let inbox = self.inbox();
        let inbox = inbox.ok_or_else(|| RpcError::new("the recipient is not on Solana"))?;
        if !self.is_network_right().await? {
            return Err(RpcError::new("the chain node serves another network"));
        }
        // The time first: what is final by then is among what is listed after.
        let now_s = self.head_time(Commitment::Finalized).await?;
        let Some(cursor) = cursor.map(Cursor::from_str).transpose()? else {
            let newest = self.node.signatures(&inbox, None, None, 1).await?;
            let cursor = Cursor {
                until: newest.into_iter().next().map(|listed| listed.signature),
                pass: None,
            };
            return Ok(page(Vec::new(), &cursor, now_s));
        };
        let before = cursor.pass.as_ref().map(|pass| pass.before.as_str());
        let until = cursor.until.as_deref();
        let listed = self.node.signatures(&inbox, before, until, PART).await?;
        let owner = self.owner_of(&inbox).await?;
        let time_s = cursor.pass.as_ref().map_or(now_s, |pass| pass.time_s);
        let at = Timestamp::from_secs(now_s);
        let mut transfers = Vec::new();
        for listed in listed.iter().filter(|listed| !listed.is_failed) {
            let record = self.node.record(&listed.signature).await?;
            let record = record.ok_or_else(|| {
                RpcError::new("the node lists a transaction that it does not have")
            })?;
            transfers.extend(self.transfer_in(&record, &owner, &listed.signature, at)?);
        }
        transfers.reverse();
        let newest = cursor.pass.map(|pass| pass.newest);
        let newest = newest.or_else(|| listed.first().map(|first| first.signature.clone()));
        let is_over = u32::try_from(listed.len()).is_ok_and(|count| count < PART);
        let next = match (listed.last(), newest) {
            (Some(last), Some(newest)) if !is_over => Cursor {
                until: cursor.until,
                pass: Some(Pass {
                    newest,
                    before: last.signature.clone(),
                    time_s,
                }),
            },
            (_, newest) => Cursor {
                until: newest.or(cursor.until),
                pass: None,
            },
        };
        Ok(page(transfers, &next, time_s))
    }

    async fn owner_of(&self, inbox: &SolanaAddress) -> Result<String, RpcError> {
        let account = self.node.account(inbox, Commitment::Finalized).await?;
        let owner = account
            .as_ref()
            .and_then(|account| account.data.get(OWNER)?.try_into().ok());
        let owner = owner.ok_or_else(|| RpcError::new("the recipient has no token account"))?;
        Ok(SolanaAddress::new(owner).to_string())
    }

    /// What a transaction brought the owner, from whom. What moves between accounts of the owner, or
    /// away, is none.
    fn transfer_in(
        &self,
        record: &Record,
        owner: &str,
        signature: &str,
        at: Timestamp,
    ) -> Result<Option<SeenTransfer>, RpcError> {
        let mint = self.token.terms().mint().to_string();
        let before = holdings(&record.before, &mint)?;
        let after = holdings(&record.after, &mint)?;
        let held = |all: &[(String, u128)], whose: &str| {
            let mine = all.iter().filter(|(owner, _)| owner == whose);
            mine.fold(0_u128, |sum, (_, amount)| sum.saturating_add(*amount))
        };
        let brought = held(&after, owner).checked_sub(held(&before, owner));
        let Some(atomic) = brought.filter(|brought| *brought > 0 && !record.is_failed) else {
            return Ok(None);
        };
        let lost = |whose: &str| held(&before, whose).saturating_sub(held(&after, whose));
        let others = before.iter().map(|(other, _)| other.as_str());
        let payer = others
            .filter(|other| lost(other) > 0)
            .max_by_key(|it| lost(it));
        let payer = payer.and_then(|payer| SolanaAddress::parse(payer).ok());
        Ok(Some(SeenTransfer {
            reference: signature.to_owned(),
            log_index: 0,
            payer: payer.map(WalletAddress::Solana),
            atomic,
            at,
        }))
    }
}

fn page(transfers: Vec<SeenTransfer>, next: &Cursor, time_s: u64) -> ArrivalPage {
    let has_more = next.pass.is_some();
    ArrivalPage {
        transfers,
        cursor: next.to_string(),
        // A pass under way has left out what is older than what it has seen.
        read_up_to: Timestamp::from_secs(if has_more { 0 } else { time_s }),
        has_more,
    }
}

fn holdings(balances: &[TokenBalance], mint: &str) -> Result<Vec<(String, u128)>, RpcError> {
    let own = balances.iter().filter(|balance| balance.mint == mint);
    let read = |balance: &TokenBalance| {
        let owner = balance.owner.clone();
        let owner = owner.ok_or_else(|| RpcError::new("it does not say whose tokens they are"))?;
        Ok((owner, balance.amount))
    };
    own.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let pass = Pass {
            newest: "new".to_owned(),
            before: "old".to_owned(),
            time_s: 7,
        };
        for (until, pass) in [
            (None, None),
            (Some("until".to_owned()), None),
            (None, Some(pass.clone())),
            (Some("until".to_owned()), Some(pass)),
        ] {
            let cursor = Cursor { until, pass };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in ["a b", "a b c", "a b c x", "a b c 1 d"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
