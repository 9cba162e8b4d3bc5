//! What is known of our accounts at the providers.

use async_trait::async_trait;
use compute_domain::catalog::ProviderId;
use compute_domain::money::Usd;
use compute_domain::time::Timestamp;
use compute_engine::ports::{
    AccountRecord, AccountState, AccountTold, Accounts, ProviderAccount, StoreError,
};

use crate::row::{RowName, moment};
use crate::statement::{execute, fetch};
use crate::tx::StoreTx;

macro_rules! account_columns {
    () => {
        "provider, account_id, other_id, refused_since, state, funds_micros, machine_limit, looked_at"
    };
}

const LIST: &str = concat!(
    "SELECT ",
    account_columns!(),
    "
FROM provider_accounts
ORDER BY provider"
);

// As `AccountRecord::after`, in one statement: two replicas may note at once.
const NOTE: &str = concat!(
    "INSERT INTO provider_accounts
    (provider, account_id, state, funds_micros, machine_limit, looked_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (provider) DO UPDATE
SET account_id = COALESCE(provider_accounts.account_id, excluded.account_id),
    other_id = CASE
        WHEN excluded.account_id IS NULL THEN provider_accounts.other_id
        WHEN provider_accounts.account_id IS NULL THEN NULL
        WHEN provider_accounts.account_id = excluded.account_id THEN NULL
        ELSE excluded.account_id
    END,
    state = excluded.state, funds_micros = excluded.funds_micros,
    machine_limit = excluded.machine_limit, looked_at = excluded.looked_at
RETURNING ",
    account_columns!()
);

const REFUSE: &str = "INSERT INTO provider_accounts (provider, refused_since)
VALUES ($1, $2)
ON CONFLICT (provider) DO UPDATE
SET refused_since = excluded.refused_since
WHERE provider_accounts.refused_since IS NULL";

const READMIT: &str = "UPDATE provider_accounts
SET refused_since = NULL
WHERE provider = $1 AND refused_since IS NOT NULL";

const ACCEPT: &str = "UPDATE provider_accounts
SET account_id = other_id, other_id = NULL
WHERE provider = $1 AND other_id = $2";

const COUNT_LIVE_AT: &str = "SELECT COUNT(*)
FROM instances
WHERE state IN ('pending', 'provisioning', 'active', 'destroying') AND provider = $1";

#[derive(Debug, sqlx::FromRow)]
struct AccountRow {
    provider: String,
    account_id: Option<String>,
    other_id: Option<String>,
    refused_since: Option<i64>,
    state: Option<String>,
    funds_micros: Option<i64>,
    machine_limit: Option<i64>,
    looked_at: Option<i64>,
}

impl AccountRow {
    fn parse(self) -> Result<AccountRecord, StoreError> {
        let name = RowName::new("provider_accounts", &self.provider);
        let told = match (self.state.as_deref(), self.looked_at) {
            (None, None) => None,
            (Some(state), Some(at)) => {
                let funds = self.funds_micros.map(Usd::from_micros).transpose();
                let limit = self.machine_limit;
                let limit = limit.map(|limit| name.number("machine_limit", limit));
                Some(AccountTold {
                    at: Timestamp::from_millis(at),
                    state: name.present("state", state_named(state))?,
                    funds: name.check("funds_micros", funds)?,
                    machine_limit: limit.transpose()?,
                })
            }
            _ => return Err(name.bad("state")),
        };
        Ok(AccountRecord {
            provider: name.present("provider", ProviderId::parse(&self.provider))?,
            account: self.account_id,
            other: self.other_id,
            refused_since: moment(self.refused_since),
            told,
        })
    }
}

const fn name_of(state: AccountState) -> &'static str {
    match state {
        AccountState::Open => "open",
        AccountState::Warned => "warned",
        AccountState::Locked => "locked",
    }
}

fn state_named(name: &str) -> Option<AccountState> {
    let all = [
        AccountState::Open,
        AccountState::Warned,
        AccountState::Locked,
    ];
    all.into_iter().find(|state| name_of(*state) == name)
}

#[async_trait]
impl Accounts for StoreTx {
    async fn list_accounts(&mut self) -> Result<Vec<AccountRecord>, StoreError> {
        let rows: Vec<AccountRow> = fetch!(fetch_all, self, "provider_accounts", LIST)?;
        rows.into_iter().map(AccountRow::parse).collect()
    }

    async fn note_account(
        &mut self,
        provider: ProviderId,
        seen: &ProviderAccount,
        now: Timestamp,
    ) -> Result<AccountRecord, StoreError> {
        let row: AccountRow = fetch!(
            fetch_one,
            self,
            "provider_accounts",
            NOTE,
            provider.as_str(),
            seen.id.as_deref(),
            name_of(seen.state),
            seen.funds.map(Usd::micros),
            seen.machine_limit.map(i64::from),
            now.millis(),
        )?;
        row.parse()
    }

    async fn refuse_account(
        &mut self,
        provider: ProviderId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let provider = provider.as_str();
        let rows = execute!(self, "provider_accounts", REFUSE, provider, now.millis())?;
        Ok(rows == 1)
    }

    async fn readmit_account(&mut self, provider: ProviderId) -> Result<bool, StoreError> {
        let rows = execute!(self, "provider_accounts", READMIT, provider.as_str())?;
        Ok(rows == 1)
    }

    async fn accept_account(
        &mut self,
        provider: ProviderId,
        other: &str,
    ) -> Result<bool, StoreError> {
        let provider = provider.as_str();
        let rows = execute!(self, "provider_accounts", ACCEPT, provider, other)?;
        Ok(rows == 1)
    }

    async fn count_live_at(&mut self, provider: ProviderId) -> Result<u64, StoreError> {
        let provider = provider.as_str();
        let (count,): (i64,) = fetch!(fetch_one, self, "instances", COUNT_LIVE_AT, provider)?;
        RowName::new("instances", provider).number("count", count)
    }
}
