//! A client: it buys, looks, lengthens and destroys, and repeats what was not answered for good.

mod buying;
mod sending;

use std::time::Duration;

use serde_json::Value;

use super::super::buyer::text;
use super::super::money;
use super::super::verdict::Verdict;
use super::super::wallet::Wallet;
use super::book::{Destruction, Funds, Goods};
use super::dice::Dice;
use super::town::Town;

/// Machines that one client has at a time.
const MACHINES: usize = 4;

/// Wait before something is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// How often something is sent, with deaths every few hundred milliseconds, before the client
/// gives up, which no client of an honest server must.
const TRIES: u32 = 12_000;

/// A machine that a client has bought.
#[derive(Debug)]
struct Machine {
    order: String,
    /// Whose it is, by number, and the owner's API key.
    owner: usize,
    api_key: String,
    with_key: bool,
    password: Password,
    is_lengthened: bool,
}

/// What became of the root password of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Password {
    Unasked,
    /// An answer was lost that may have told it.
    MayBeLost,
    Told,
}

#[derive(Debug)]
pub(super) struct Client<'a> {
    town: &'a Town,
    number: usize,
    wallet: &'a Wallet,
    wallet_number: usize,
    dice: Dice,
    machines: Vec<Machine>,
    purchases: u64,
    /// What went wrong with the client itself.
    trouble: Option<anyhow::Error>,
}

/// How a purchase is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// A payment of x402, with which the API key may go.
    Payment {
        is_signed: bool,
    },
    /// A credential for a challenge. Without the API key the purchase belongs to nobody known.
    Credential {
        is_signed: bool,
    },
    Credits,
}

impl Means {
    const fn funds(self) -> Funds {
        match self {
            Self::Payment { .. } | Self::Credential { .. } => Funds::Payment,
            Self::Credits => Funds::Credits,
        }
    }

    const fn is_signed(self) -> bool {
        match self {
            Self::Payment { is_signed } | Self::Credential { is_signed } => is_signed,
            Self::Credits => true,
        }
    }

    /// Whether the answer carries the key of a new owner.
    const fn is_anonymous(self) -> bool {
        matches!(self, Self::Credential { is_signed: false })
    }
}

/// A purchase as it is sent.
struct Order {
    path: String,
    body: Value,
    goods: Goods,
    means: Means,
    price: u64,
    /// Whose API key goes along, by number, and that key.
    owner: usize,
    api_key: String,
}

/// A purchase that was made, and whose it is.
struct Bought {
    reply: Value,
    owner: usize,
    api_key: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(town: &'a Town, number: usize, dice: Dice) -> Option<Self> {
        let wallet_number = number.checked_rem(town.wallets.len())?;
        Some(Self {
            town,
            number,
            wallet: town.wallets.get(wallet_number)?,
            wallet_number,
            dice,
            machines: Vec::new(),
            purchases: 0,
            trouble: None,
        })
    }

    /// Goes on until it is sent home.
    pub(super) fn live(&mut self) {
        while self.town.pass() {
            self.act();
            if let Some(trouble) = self.trouble.take() {
                self.town
                    .book()
                    .wrong(format!("client {}: {trouble:#}", self.number));
            }
        }
    }

    fn act(&mut self) {
        match self.dice.below(20) {
            0..=4 => self.buy_machine(Funds::Payment),
            5 => self.buy_machine(Funds::Credits),
            6..=7 => self.top_up(),
            8..=10 => self.lengthen(Funds::Payment),
            11 => self.lengthen(Funds::Credits),
            12..=13 => self.destroy(),
            14..=15 => self.take_password(),
            16 => self.look("/compute/instances?limit=5"),
            17 => self.look("/compute/credits/balance"),
            18 => self.look_at_one("/compute/instances/"),
            _ => self.look_at_one("/compute/orders/"),
        }
    }

    fn choose(&mut self) -> Option<usize> {
        let count = u64::try_from(self.machines.len()).ok()?;
        let chosen = self.dice.below(count);
        usize::try_from(chosen).ok().filter(|_| count > 0)
    }

    fn destroy(&mut self) {
        let Some(index) = self.choose() else { return };
        let Some(machine) = self.machines.get(index) else {
            return;
        };
        let order = machine.order.clone();
        let path = format!("/compute/instances/{order}");
        let headers = [("x-api-key", machine.api_key.clone())];
        let headers = headers.each_ref().map(|(name, key)| (*name, key.as_str()));
        let end = self.until_final("DELETE", &path, &headers, "", None);
        self.machines.retain(|machine| machine.order != order);
        if let Some((Verdict::Made(reply), _)) = end {
            let mut book = self.town.book();
            match reply.get("credited").and_then(money::micros) {
                Some(credited) => {
                    book.counts.acknowledged += 1;
                    book.destructions.push(Destruction { order, credited });
                }
                None => book.wrong(format!("a destruction tells no credit: {reply}")),
            }
        }
    }

    fn take_password(&mut self) {
        let Some(index) = self.choose() else { return };
        let Some(machine) = self.machines.get(index) else {
            return;
        };
        let (order, with_key) = (machine.order.clone(), machine.with_key);
        let before = machine.password;
        let path = format!("/compute/instances/{order}/password");
        let headers = [("x-api-key", machine.api_key.as_str())];
        let answer = self.send("POST", &path, &headers, "");
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let body = answer.and_then(|answer| answer.json(status).ok());
        let code = body.as_ref().map_or("", |body| text(body, "/code"));
        let password = body.as_ref().map(|body| text(body, "/access/password"));
        let mut book = self.town.book();
        match (status, code) {
            (200, _) if with_key => book.wrong(format!("{order} has a key and a password")),
            (200, _) => {
                let password = password.unwrap_or_default().to_owned();
                book.passwords.push((order.clone(), password));
                book.counts.acknowledged += 1;
            }
            (409, "password_already_retrieved") if before == Password::Unasked => {
                book.wrong(format!("the password of {order} is gone, and nobody asked"));
            }
            (409, "password_already_retrieved") if before == Password::MayBeLost => {
                book.counts.inject("F027");
            }
            (0 | 409 | 429 | 500..=599, _) => {}
            (status, code) => book.wrong(format!("a password was answered {status} {code}")),
        }
        drop(book);
        let after = match (status, code) {
            (200, _) | (409, "password_already_retrieved") => Password::Told,
            (0 | 500..=599, other) if other != "password_not_ready" => Password::MayBeLost,
            _ => before,
        };
        if let (true, Some(machine)) = (before != Password::Told, self.machines.get_mut(index)) {
            machine.password = after;
        }
    }

    fn look_at_one(&mut self, folder: &str) {
        if let Some(machine) = self.choose().and_then(|index| self.machines.get(index)) {
            let path = format!("{folder}{}", machine.order);
            let (order, is_first) = (machine.order.clone(), !machine.is_lengthened);
            if let Some(reply) = self.ask(&path, &machine.api_key)
                && is_first
                && text(&reply, "/order/status") == "active"
                && let Some(end) = money::seconds(text(&reply, "/order/expires_at"))
            {
                self.town.book().first_ends.insert(order, end);
            }
        }
    }

    fn look(&self, path: &str) {
        self.ask(path, &self.wallet.api_key);
    }
}
