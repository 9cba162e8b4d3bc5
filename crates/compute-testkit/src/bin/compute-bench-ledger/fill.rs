//! Fills a database in bulk, behind the port: a million rows one by one would take hours.

use compute_testkit::database::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// The upper part of every id; numbers fill the lower.
pub(super) const ID_BASE: u128 = 0x0000_0000_0000_7000_8000_0000_0000_0000;

/// The owner whose credits the port spends.
pub(super) const OWNER_STORE: u64 = 0xaaaa_0000_0001;

/// The owner whose credits the bare loop spends.
pub(super) const OWNER_BARE: u64 = 0xaaaa_0000_0002;

/// The first of the owners of the instances.
pub(super) const OWNER_FIRST: u64 = 0xbbbb_0000_0000;

/// How many owners the instances have.
const OWNERS: u64 = 1_000;

/// The ten reasons, each with its accounts: an operation has at most one transfer of each.
const REASONS: &str =
    "VALUES (0, 'sale', 'clearing:base', 'sales'), (1, 'topup', 'clearing:base', NULL),
    (2, 'spend', NULL, 'sales'), (3, 'spend_reversal', 'sales', NULL),
    (4, 'payment_refund', 'sales', NULL), (5, 'early_destroy', 'sales', NULL),
    (6, 'lost_machine', 'sales', NULL), (7, 'operator_refund', 'suspense', NULL),
    (8, 'unmatched', 'clearing:base', 'suspense'), (9, 'dispute', NULL, 'suspense')";

/// What the two databases say differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The id with the number of this expression.
    fn id(self, number: &str) -> String {
        match self {
            Self::Sqlite => format!("printf('00000000-0000-7000-8000-%012x', {number})"),
            Self::Postgres => format!(
                "('00000000-0000-7000-8000-' || lpad(to_hex(CAST({number} AS BIGINT)), 12, '0'))"
            ),
        }
    }

    /// A table `numbers (n)` from `first` to `last`.
    fn numbers(self, first: u64, last: u64) -> String {
        match self {
            Self::Sqlite => format!(
                "WITH RECURSIVE numbers (n) AS
                     (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
            ),
            Self::Postgres => {
                format!("WITH numbers (n) AS (SELECT generate_series({first}, {last}))")
            }
        }
    }

    /// 32 bytes.
    const fn bytes(self) -> &'static str {
        match self {
            Self::Sqlite => "zeroblob(32)",
            Self::Postgres => "decode(repeat('00', 32), 'hex')",
        }
    }
}

/// Writes owners and accounts, `rows` instances with an operation and ten transfers each, and behind them `spare`
/// operations without transfers.
pub(super) async fn fill(database: &TestDatabase, rows: u64, spare: u64) -> anyhow::Result<()> {
    let url = &database.config().url;
    if database.database().is_sqlite() {
        let mut statements = vec![
            "PRAGMA synchronous = OFF".to_owned(),
            "PRAGMA foreign_keys = OFF".to_owned(),
            "PRAGMA cache_size = -500000".to_owned(),
            "BEGIN".to_owned(),
        ];
        statements.extend(rows_of(Dialect::Sqlite, rows, spare));
        statements
            .extend(["COMMIT", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"].map(str::to_owned));
        let mut connection = SqliteConnection::connect(url).await?;
        for statement in statements {
            let statement = sqlx::raw_sql(AssertSqlSafe(statement));
            statement.execute(&mut connection).await?;
        }
        connection.close().await?;
    } else {
        // The checks of references are triggers.
        let mut statements = vec![
            "SET session_replication_role = replica".to_owned(),
            "SET synchronous_commit = off".to_owned(),
        ];
        statements.extend(rows_of(Dialect::Postgres, rows, spare));
        statements.extend(["VACUUM ANALYZE", "CHECKPOINT"].map(str::to_owned));
        let mut connection = PgConnection::connect(url).await?;
        for statement in statements {
            let statement = sqlx::raw_sql(AssertSqlSafe(statement));
            statement.execute(&mut connection).await?;
        }
        connection.close().await?;
    }
    Ok(())
}

fn rows_of(dialect: Dialect, rows: u64, spare: u64) -> Vec<String> {
    let id = dialect.id("n");
    let bytes = dialect.bytes();
    let of_owner = dialect.id(&format!("{OWNER_FIRST} + n % {OWNERS}"));
    let owners = dialect.numbers(OWNER_FIRST, OWNER_FIRST + OWNERS - 1);
    let mut statements = vec![format!(
        "{owners} INSERT INTO owners (id, created_at) SELECT {id}, 1 FROM numbers"
    )];
    for owner in [OWNER_STORE, OWNER_BARE] {
        let owner = dialect.id(&owner.to_string());
        statements.push(format!(
            "INSERT INTO owners (id, created_at) VALUES ({owner}, 1)"
        ));
        statements.push(format!(
            "INSERT INTO ledger_accounts
                 (id, debits_micros, credits_micros, reversed_micros, last_seq, last_hash)
             VALUES ('credits:' || {owner}, 0, 1000000000000, 0, 0, {bytes})"
        ));
    }
    let operations = |numbers: String, instance: &str| {
        format!(
            "{numbers} INSERT INTO operations (id, kind, format, owner_id, instance_id, state, data,
                 request_sha256, lease_epoch, created_at, finished_at)
             SELECT {id}, 'provision', 1, {of_owner}, {instance}, 'succeeded', '{{}}', {bytes}, 1, 1, 2
             FROM numbers"
        )
    };
    if rows > 0 {
        let numbers = dialect.numbers(1, rows);
        statements.push(format!(
            "{numbers} INSERT INTO instances (id, owner_id, provider, plan_id, region_id, os_id, label,
                 rate_hour_micros, prepaid_hours, price_micros, access, state,
                 provider_instance_id, expires_at, created_at)
             SELECT {id}, {of_owner}, 'vultr', 'vc2-1c-1gb', 'ewr', '2284', 'agent', 7000, 24,
                 168000, 'password', 'active', 'machine-' || n, 86400000 + n, 1
             FROM numbers"
        ));
        statements.push(operations(numbers.clone(), &id));
        let account = format!("'credits:' || {of_owner}");
        let transfer = dialect.id(&format!("{} + n * 10 + r", 1_u64 << 44));
        statements.push(format!(
            "{numbers}, reasons (r, reason, source, target) AS ({REASONS})
             INSERT INTO ledger_transfers (id, debit_account, credit_account, amount_micros, reason,
                 operation_id, created_at, credits_account, credits_seq, balance_after_micros,
                 chain_hash)
             SELECT {transfer}, COALESCE(source, {account}), COALESCE(target, {account}), 1, reason,
                 {id}, 1, CASE WHEN r IN (0, 8) THEN NULL ELSE {account} END,
                 CASE WHEN r IN (0, 8) THEN NULL ELSE n * 10 + r + 1 END,
                 CASE WHEN r IN (0, 8) THEN NULL ELSE 1 END,
                 CASE WHEN r IN (0, 8) THEN NULL ELSE {bytes} END
             FROM numbers CROSS JOIN reasons"
        ));
    }
    statements.push(operations(dialect.numbers(rows + 1, rows + spare), "NULL"));
    statements
}
