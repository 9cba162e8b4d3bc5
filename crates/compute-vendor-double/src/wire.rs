//! The wire between a client and a double: it loses, delays and garbles what a test tells it to.

mod handler;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
pub use compute_testkit::listen::RequestNumber;
use serde_json::Value;
use tokio::sync::watch;

use crate::contract::Vendor;

/// Which requests something happens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    method: String,
    path: String,
}

impl Call {
    /// Requests of a method to a path, in which `{}` stands for any segment: `/v2/droplets/{}`.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
        }
    }

    /// Requests of any kind.
    #[must_use]
    pub fn any() -> Self {
        Self::new("", "")
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        if self.method.is_empty() {
            return true;
        }
        let (own, other): (Vec<_>, Vec<_>) =
            (self.path.split('/').collect(), path.split('/').collect());
        let fits = |(own, other): (&&str, &&str)| *own == "{}" || own == other;
        self.method == method && own.len() == other.len() && own.iter().zip(&other).all(fits)
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Disturbance {
    /// Nothing: it counts a request before the one that is meant.
    Nothing,
    /// The connection closes; the vendor never sees the request.
    DropBefore,
    /// The vendor does it, and the connection closes instead of an answer.
    DropAfter,
    /// No answer ever comes; the vendor never sees the request.
    SilenceBefore,
    /// The vendor does it, and no answer ever comes.
    SilenceAfter,
    /// 429, and the vendor does nothing.
    Throttle {
        /// Seconds in `Retry-After`; the header may be missing.
        retry_after: Option<u32>,
    },
    /// This status in the vendor's words, and it does nothing.
    FailBefore {
        /// The status.
        status: u16,
        /// The text.
        text: String,
    },
    /// The vendor does it and answers with this status.
    FailAfter {
        /// The status.
        status: u16,
        /// The text.
        text: String,
    },
    /// The vendor does nothing; its edge answers 502 with a page.
    PageBefore,
    /// The vendor does it; its edge answers 502 with a page.
    PageAfter,
    /// The vendor does it; half of its answer arrives as if it were all.
    HalfAfter,
    /// This text with the vendor's status, in place of its answer.
    Text(String),
}

/// One request, and what its client saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Its number, from 0.
    pub number: usize,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The body, when it is JSON.
    pub body: Option<Value>,
    /// Whether the vendor saw it.
    pub arrived: bool,
    /// The status that was sent back; `None` when nothing was.
    pub status: Option<u16>,
}

/// Holds a request until the test lets it go.
#[derive(Debug)]
pub struct Gate {
    arrived: watch::Receiver<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Waits until a request stands before the gate.
    ///
    /// # Panics
    /// When the wire is gone.
    #[expect(clippy::expect_used, reason = "a test double fails by panicking")]
    pub async fn arrived(&mut self) {
        self.arrived
            .wait_for(|has_arrived| *has_arrived)
            .await
            .expect("the wire is there");
    }

    /// Lets the request go on. A gate that is dropped is open too.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

#[derive(Clone, Debug)]
enum Rule {
    Disturb(Disturbance),
    /// Before the vendor sees it, or after it did it.
    Hold {
        is_before: bool,
        arrived: Arc<watch::Sender<bool>>,
        open: watch::Receiver<bool>,
    },
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<(Call, Rule, u32)>,
    exchanges: Vec<Exchange>,
    violations: Vec<String>,
}

/// A wire. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Wire {
    vendor: Vendor,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// A wire to a vendor, which passes everything on.
    #[must_use]
    pub fn new(vendor: Vendor) -> Self {
        Self {
            vendor,
            state: Arc::default(),
        }
    }

    /// Puts the wire before a double.
    pub fn before(&self, double: Router) -> Router {
        handler::router(self.clone(), double)
    }

    /// Disturbs the next request of this kind.
    pub fn disturb(&self, call: Call, disturbance: Disturbance) {
        self.disturb_times(call, disturbance, 1);
    }

    /// Disturbs the next `times` requests of this kind.
    pub fn disturb_times(&self, call: Call, disturbance: Disturbance, times: u32) {
        let rule = Rule::Disturb(disturbance);
        self.lock().rules.push((call, rule, times));
    }

    /// Holds the next request of this kind before the vendor sees it.
    #[must_use]
    pub fn hold_before(&self, call: Call) -> Gate {
        self.hold(call, true)
    }

    /// Holds the answer to the next request of this kind.
    #[must_use]
    pub fn hold_after(&self, call: Call) -> Gate {
        self.hold(call, false)
    }

    fn hold(&self, call: Call, is_before: bool) -> Gate {
        let (arrived, has_arrived) = watch::channel(false);
        let (open, is_open) = watch::channel(false);
        let rule = Rule::Hold {
            is_before,
            arrived: Arc::new(arrived),
            open: is_open,
        };
        self.lock().rules.push((call, rule, 1));
        Gate {
            arrived: has_arrived,
            open,
        }
    }

    /// Ends the disturbances that have not come yet.
    pub fn calm(&self) {
        self.lock().rules.clear();
    }

    /// How many disturbances have not come yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.lock().rules.len()
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.lock().exchanges.clone()
    }

    /// How often something was asked for.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        let call = Call::new(method, path);
        let state = self.lock();
        let exchanges = state.exchanges.iter();
        exchanges
            .filter(|exchange| call.fits(&exchange.method, &exchange.path))
            .count()
    }

    /// Where a request or an answer of the vendor differed from its description. Answers that a
    /// disturbance made up are not looked at.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    // A poisoned lock means that a handler panicked, which has failed the test already.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
