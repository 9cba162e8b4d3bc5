//! Images of a SQLite database's files: what a power cut, or a bad disk, leaves behind.

use compute_engine::ports::{Store as _, TxMode};
use compute_store::{ConnectError, Database, DatabaseConfig};
use compute_testkit::database::TestDatabase;
use compute_testkit::faults_log::injected;

use crate::raw::{add_owner, execute_at, number_at, wallet};

/// Commits that are acknowledged.
const COMMITS: u64 = 12;

/// Header of the log, and of each page in it, in bytes.
const LOG_HEADER: usize = 32;
const FRAME: usize = 24 + PAGE;
const PAGE: usize = 4_096;

/// A database's files at one moment.
#[derive(Debug, Clone)]
struct Image {
    file: Vec<u8>,
    log: Vec<u8>,
}

impl Image {
    fn take(test: &TestDatabase) -> Self {
        let path = path(&test.config().url);
        Self {
            file: std::fs::read(&path).unwrap(),
            log: std::fs::read(format!("{path}-wal")).unwrap_or_default(),
        }
    }

    fn with_log(&self, log: Vec<u8>) -> Self {
        let file = self.file.clone();
        Self { file, log }
    }

    /// Lays the files down under another name, as they are after the restart.
    fn restore(&self, test: &TestDatabase, name: &str) -> DatabaseConfig {
        let url = test.config().url.replace("compute.db", name);
        let path = path(&url);
        // The lock file stays, and so remembers that there was a database.
        std::fs::write(format!("{path}.lock"), "1\n").unwrap();
        std::fs::write(&path, &self.file).unwrap();
        std::fs::write(format!("{path}-wal"), &self.log).unwrap();
        let _ = std::fs::remove_file(format!("{path}-shm"));
        DatabaseConfig {
            url,
            max_connections: 1,
            ..test.config().clone()
        }
    }
}

fn path(url: &str) -> String {
    url.trim_start_matches("sqlite://").to_owned()
}

/// One image per acknowledged commit, the first before any; commit `n` adds the owner `n`.
async fn acknowledged(test: &TestDatabase) -> Vec<Image> {
    let mut images = vec![Image::take(test)];
    for number in 1..=COMMITS {
        let mut tx = test.store().begin(TxMode::Write).await.unwrap();
        add_owner(tx.as_mut(), number).await.unwrap();
        tx.commit().await.unwrap();
        images.push(Image::take(test));
    }
    images
}

/// Opens an image with our store, and checks that it has exactly the first so many commits and goes on.
async fn check(config: &DatabaseConfig, commits: u64) {
    let database = Database::connect(config).await.unwrap();
    database.check_schema().await.unwrap();
    let mut tx = database.begin(TxMode::Read).await.unwrap();
    for number in 1..=COMMITS {
        let owner = tx.find_owner(&wallet(number)).await.unwrap();
        assert_eq!(owner.is_some(), number <= commits, "{number} of {commits}");
    }
    tx.rollback().await.unwrap();
    let mut tx = database.begin(TxMode::Write).await.unwrap();
    add_owner(tx.as_mut(), 1_000).await.unwrap();
    tx.commit().await.unwrap();
    database.close().await;
    let broken = "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
    assert_eq!(number_at(&config.url, broken).await, 0);
}

/// The machine stops at once. What was acknowledged was synced before; of what came later anything may
/// have reached the disk, or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_no_acknowledged_commit() {
    let test = TestDatabase::sqlite().await;
    let images = acknowledged(&test).await;
    for (commits, pair) in (0_u64..).zip(images.windows(2)) {
        let [synced, next] = pair else {
            unreachable!("a window of two");
        };
        let (end, later) = (synced.log.len(), next.log.len());
        assert!(end < later && next.log.starts_with(&synced.log));
        let config = synced.restore(&test, "cut.db");
        injected("F035");
        check(&config, commits).await;
        for cut in [end + 1, end + FRAME / 2, later - 1] {
            let config = synced
                .with_log(next.log[..cut].to_vec())
                .restore(&test, "cut.db");
            injected("F035");
            check(&config, commits).await;
        }
        for rubbish in [0, 0xa5] {
            let mut log = synced.log.clone();
            log.resize(later, rubbish);
            let config = synced.with_log(log).restore(&test, "cut.db");
            injected("F035");
            check(&config, commits).await;
        }
        // The file grew, but its last page was never written.
        let mut log = next.log.clone();
        log[later - PAGE..].fill(0);
        let config = synced.with_log(log).restore(&test, "cut.db");
        injected("F035");
        check(&config, commits).await;
    }
}

/// A checkpoint copies pages from the log into the file, in any order as far as the disk is concerned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_in_a_checkpoint_loses_no_acknowledged_commit() {
    let test = TestDatabase::sqlite().await;
    let images = acknowledged(&test).await;
    let before = images.last().unwrap();
    execute_at(&test.config().url, "PRAGMA wal_checkpoint(PASSIVE)").await;
    let after = Image::take(&test);
    assert_ne!(before.file, after.file);
    let pages = after.file.len() / PAGE;
    for step in 2..6 {
        let mut file = before.file.clone();
        file.resize(after.file.len(), 0);
        for page in (0..pages).filter(|page| page % step == 0) {
            let range = page * PAGE..(page + 1) * PAGE;
            file[range.clone()].copy_from_slice(&after.file[range]);
        }
        let log = before.log.clone();
        let config = Image { file, log }.restore(&test, "checkpoint.db");
        injected("F035");
        check(&config, COMMITS).await;
    }
}

/// A log that ends anywhere is read to its last whole commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_cut_short_ends_with_its_last_whole_commit() {
    let test = TestDatabase::sqlite().await;
    let images = acknowledged(&test).await;
    let [first, .., last] = images.as_slice() else {
        unreachable!("more than one image");
    };
    assert_eq!(first.file, last.file, "no checkpoint in between");
    let start = first.log.len();
    assert_eq!((start - LOG_HEADER) % FRAME, 0);
    for cut in (start..last.log.len()).step_by(FRAME / 3) {
        let whole = images.iter().filter(|image| image.log.len() <= cut).count() - 1;
        let config = last
            .with_log(last.log[..cut].to_vec())
            .restore(&test, "torn.db");
        injected("F134");
        check(&config, u64::try_from(whole).unwrap()).await;
    }
}

async fn check_refused(config: &DatabaseConfig, what: &str) {
    injected("F134");
    let error = match Database::connect(config).await {
        Ok(_) => panic!("{what}: opened"),
        Err(error) => error,
    };
    assert!(
        matches!(error, ConnectError::Damaged { .. }),
        "{what}: {error:?}"
    );
    assert!(
        error.to_string().contains("restore it from a backup"),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_is_refused_wherever_it_is() {
    let test = TestDatabase::sqlite().await;
    acknowledged(&test).await;
    // Closed well: everything is in the file.
    test.database().close().await;
    let good = Image::take(&test);
    check(&good.restore(&test, "page.db"), COMMITS).await;
    let pages = good.file.len() / PAGE;
    assert!(pages > 20, "{pages} pages");
    for page in 0..pages {
        let mut bad = good.clone();
        bad.file[page * PAGE..(page + 1) * PAGE].fill(0xa5);
        check_refused(&bad.restore(&test, "page.db"), &format!("page {page}")).await;
    }
    for left in [pages / 2, pages - 1] {
        let mut bad = good.clone();
        bad.file.truncate(left * PAGE);
        check_refused(&bad.restore(&test, "page.db"), &format!("{left} pages")).await;
    }
}
