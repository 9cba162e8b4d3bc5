//! The book of what was spent, and of what may have been: it lasts longer than the process.
//!
//! A purchase is written down before its payment leaves the machine, with everything that is needed to send the
//! same again, and counts against the cap from then on. It is closed when the shop has said for good what became of
//! it. One file, replaced whole; a lock beside it lets one process at a time change it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use compute_wallet::keccak256;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::offer::Means;
use crate::usd::Usd;

/// The layout of the file.
const VERSION: u32 = 1;

/// Closed purchases that are remembered one by one; of older ones only their sum is.
const REMEMBERED: usize = 1_000;

/// Members of a request that say how it is paid, not what is bought.
const HOW: [&str; 3] = ["use_credits", "max_total_usd", "network"];

/// The book in one folder.
#[derive(Debug, Clone)]
pub struct Book {
    folder: PathBuf,
}

/// Why the book cannot be used, or forbids something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// The folder or the file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// What is in the file is no book.
    #[error(
        "{path} is damaged: {source}; move it away to start another, and look up what it says is open"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// A newer program wrote it.
    #[error("{path} was written by a newer version of this program")]
    Newer {
        /// Which.
        path: PathBuf,
    },
    /// The cap does not allow it.
    #[error(
        "{price} USD would go beyond the cap of {cap} USD: {spent} USD are spent, {open} USD may be"
    )]
    BeyondCap {
        /// What it costs.
        price: Usd,
        /// The limit.
        cap: Usd,
        /// What was spent.
        spent: Usd,
        /// What was sent and is not known to be spent.
        open: Usd,
    },
    /// No purchase of this name is open.
    #[error("no purchase {0} is open")]
    NotOpen(String),
    /// A purchase of this name was sent before.
    #[error("a purchase called {0} was sent before")]
    NameTaken(String),
}

/// What the book has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Sent, without an end yet.
    Open(Open),
    /// With its end.
    Closed(Closed),
}

/// What was sent, and may have been paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its name, which the shop knows it by, too.
    pub id: String,
    /// When it was written down, in Unix seconds.
    pub at_s: u64,
    /// Where.
    pub shop: String,
    /// From the first slash on.
    pub path: String,
    /// The request.
    pub body: Value,
    /// What it costs.
    pub price: Usd,
    /// By whom it was sent, so that nobody else sends it again: `nobody`, `wallet 0x…`, or `api key` with the
    /// start of its hash.
    pub identity: String,
    /// How it is paid.
    #[serde(default)]
    pub means: Means,
    /// The header that pays, and its value: worth this one payment to this one shop.
    pub header: String,
    /// See `header`.
    pub value: String,
}

/// What became of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was paid and made.
    Paid,
    /// It was paid, could not be delivered, and is credited at the shop.
    Credited,
    /// Nothing was charged.
    Refused,
}

/// A purchase whose end is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Its name.
    pub id: String,
    /// When its end was known, in Unix seconds.
    pub at_s: u64,
    /// Where.
    pub shop: String,
    /// From the first slash on.
    pub path: String,
    /// What it cost.
    pub price: Usd,
    /// What became of it.
    pub ending: Ending,
    /// The machine it was for, when there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order: String,
    /// A digest of what was asked for, so that its name is not used for something else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
}

impl Open {
    /// A digest of what is asked for; how it is paid is no part of it.
    #[must_use]
    pub fn request(&self) -> String {
        digest(&self.path, &self.body)
    }
}

/// A digest of a request; how it is paid is no part of it.
pub(crate) fn digest(path: &str, body: &Value) -> String {
    let mut goods = body.clone();
    if let Some(members) = goods.as_object_mut() {
        members.retain(|name, _| !HOW.contains(&name.as_str()));
        // In one order, whatever order they were written in.
        members.sort_keys();
    }
    hex::encode(keccak256(format!("{path}\n{goods}").as_bytes()))
}

/// Everything in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pages {
    version: u32,
    /// The most that may be spent in all; no limit without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cap: Option<Usd>,
    /// What was spent since the book began.
    pub(crate) spent: Usd,
    pub(crate) open: Vec<Open>,
    pub(crate) closed: Vec<Closed>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            version: VERSION,
            cap: None,
            spent: Usd::ZERO,
            open: Vec::new(),
            closed: Vec::new(),
        }
    }
}

impl Pages {
    /// Whether a purchase of this name is open, or was charged. What came to nothing leaves its name free.
    fn has_name(&self, id: &str) -> bool {
        let was_charged = |it: &Closed| it.id == id && it.ending != Ending::Refused;
        self.open.iter().any(|open| open.id == id) || self.closed.iter().any(was_charged)
    }

    /// Forgets what is beyond the bound, refusals first: the names of what was charged last longest.
    fn forget(&mut self) {
        while self.closed.len() > REMEMBERED {
            let is_refused = |it: &Closed| it.ending == Ending::Refused;
            let index = self.closed.iter().position(is_refused).unwrap_or(0);
            self.closed.remove(index);
        }
    }

    /// What was sent and is not known to be spent.
    fn pending(&self) -> Usd {
        let prices = self.open.iter().map(|open| open.price.micros());
        Usd::from_micros(prices.fold(0, u64::saturating_add))
    }
}

impl Book {
    /// The book in a folder, which is made when the first thing is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The most that may be spent in all, what was spent, and what may have been.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn totals(&self) -> Result<(Option<Usd>, Usd, Usd), BookError> {
        let pages = self.read()?;
        Ok((pages.cap, pages.spent, pages.pending()))
    }

    /// What was sent and has no end yet, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(&self) -> Result<Vec<Open>, BookError> {
        Ok(self.read()?.open)
    }

    /// Purchases with an end, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn closed(&self) -> Result<Vec<Closed>, BookError> {
        Ok(self.read()?.closed)
    }

    /// What became of the purchase of a name, as far as it is known: the last one, when one that came to nothing
    /// was tried again.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, id: &str) -> Result<Option<Entry>, BookError> {
        let pages = self.read()?;
        if let Some(open) = pages.open.into_iter().find(|open| open.id == id) {
            return Ok(Some(Entry::Open(open)));
        }
        let closed = pages.closed.into_iter().rfind(|closed| closed.id == id);
        Ok(closed.map(Entry::Closed))
    }

    /// Sets the most that may be spent in all, or takes the limit away.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub fn set_cap(&self, cap: Option<Usd>) -> Result<(), BookError> {
        self.change(|pages| {
            pages.cap = cap;
            Ok(())
        })
    }

    /// Writes a purchase down that is about to be sent. When this returns, neither a crash nor another process can
    /// forget it. `ceiling` is another limit on everything that is spent, beside the book's own.
    ///
    /// # Errors
    /// `BeyondCap` when it would cost too much together with what was and may have been spent; `NameTaken` when
    /// one of this name is open, or was charged.
    pub fn reserve(&self, purchase: Open, ceiling: Option<Usd>) -> Result<(), BookError> {
        self.change(|pages| {
            if pages.has_name(&purchase.id) {
                return Err(BookError::NameTaken(purchase.id));
            }
            let (spent, open) = (pages.spent, pages.pending());
            let limit = match (pages.cap, ceiling) {
                (Some(own), Some(other)) => Some(own.min(other)),
                (own, other) => own.or(other),
            };
            let sum = spent.plus(open).and_then(|it| it.plus(purchase.price));
            // What costs nothing more, such as credits that were counted before, is beyond no cap.
            if let Some(cap) = limit
                && purchase.price > Usd::ZERO
                && sum.is_none_or(|sum| sum > cap)
            {
                return Err(BookError::BeyondCap {
                    price: purchase.price,
                    cap,
                    spent,
                    open,
                });
            }
            pages.open.push(purchase);
            Ok(())
        })
    }

    /// Notes the end of a purchase.
    ///
    /// # Errors
    /// `NotOpen` when it has one already, or never began.
    pub fn close(&self, id: &str, ending: Ending, order: &str, at_s: u64) -> Result<(), BookError> {
        self.change(|pages| {
            let index = pages.open.iter().position(|open| open.id == id);
            let Some(index) = index else {
                return Err(BookError::NotOpen(id.to_owned()));
            };
            let open = pages.open.remove(index);
            if ending != Ending::Refused {
                let spent = pages.spent.micros().saturating_add(open.price.micros());
                pages.spent = Usd::from_micros(spent);
            }
            pages.closed.push(Closed {
                request: open.request(),
                id: open.id,
                at_s,
                shop: open.shop,
                path: open.path,
                price: open.price,
                ending,
                order: order.to_owned(),
            });
            pages.forget();
            Ok(())
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("book.json")
    }

    fn read(&self) -> Result<Pages, BookError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pages::default()),
            Err(source) => return Err(BookError::File { path, source }),
        };
        let pages: Pages = match serde_json::from_slice(&text) {
            Ok(pages) => pages,
            Err(source) => return Err(BookError::Damaged { path, source }),
        };
        if pages.version > VERSION {
            return Err(BookError::Newer { path });
        }
        Ok(pages)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Pages) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BookError::File { path, source }
        };
        fs::create_dir_all(&self.folder).map_err(failed(&self.folder))?;
        let lock_path = self.folder.join("book.lock");
        let lock = private().open(&lock_path).map_err(failed(&lock_path))?;
        // Until the end of this function, or of this process.
        lock.lock().map_err(failed(&lock_path))?;
        let mut pages = self.read()?;
        change(&mut pages)?;
        let path = self.path();
        let text = serde_json::to_vec_pretty(&pages).map_err(|source| BookError::Damaged {
            path: path.clone(),
            source,
        })?;
        replace(&self.folder, &path, &text).map_err(failed(&path))
    }
}

/// Files that nobody else reads: a payment that was not settled yet is in them.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Puts a file in the place of another, whole or not at all, also when the power fails.
fn replace(folder: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = folder.join("book.json.new");
    let mut file = private().truncate(true).open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
