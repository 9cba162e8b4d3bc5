//! A client: it buys, looks, lengthens and destroys, and repeats what was not answered for good.

mod sending;

use std::time::Duration;

use serde_json::{Value, json};

use super::super::buyer::text;
use super::super::http;
use super::super::money;
use super::super::verdict::Verdict;
use super::super::wallet::Wallet;
use super::book::{Destruction, Funds, Goods};
use super::dice::Dice;
use super::town::Town;

/// A public key whose private half nobody has.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/// Machines that one client has at a time.
const MACHINES: usize = 4;

/// Wait before something is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// How often something is sent, with deaths every few hundred milliseconds, before the client
/// gives up, which no client of an honest server must.
const TRIES: u32 = 12_000;

/// Dollars of a top-up, in millionths.
const AMOUNTS: &[u64] = &[1_000_000, 1_000_001, 2_500_000];

/// A machine that a client has bought.
#[derive(Debug)]
struct Machine {
    order: String,
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

/// A purchase as it is sent.
struct Order {
    path: String,
    body: Value,
    goods: Goods,
    funds: Funds,
    price: u64,
    /// Whether the API key goes with a payment.
    is_signed: bool,
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
            0..=3 => self.buy_machine(Funds::Payment),
            4..=5 => self.buy_machine(Funds::Credits),
            6..=8 => self.top_up(),
            9..=10 => self.lengthen(Funds::Payment),
            11 => self.lengthen(Funds::Credits),
            12..=13 => self.destroy(),
            14..=15 => self.take_password(),
            16 => self.look("/compute/instances?limit=5"),
            17 => self.look("/compute/credits/balance"),
            18 => self.look_at_one("/compute/instances/"),
            _ => self.look_at_one("/compute/orders/"),
        }
    }

    fn buy_machine(&mut self, funds: Funds) {
        if self.machines.len() >= MACHINES {
            self.destroy();
            return;
        }
        let with_key = self.dice.one_in(2);
        let mut body = json!({
            "plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "prepaid_hours": 24,
            "network": "base", "use_credits": funds == Funds::Credits,
            "label": format!("k-{}-{}", self.number, self.purchases),
        });
        if let (true, Some(members)) = (with_key, body.as_object_mut()) {
            members.insert("ssh_public_key".to_owned(), SSH_KEY.into());
        }
        let is_signed = self.dice.one_in(2);
        let made = self.purchase(&Order {
            path: "/compute/provision".to_owned(),
            body,
            goods: Goods::Machine { with_key },
            funds,
            price: self.town.price,
            is_signed,
        });
        let Some(reply) = made else { return };
        let order = text(&reply, "/order/id").to_owned();
        self.machines.push(Machine {
            order,
            with_key,
            password: Password::Unasked,
            is_lengthened: false,
        });
    }

    fn top_up(&mut self) {
        let amount = self.dice.pick(AMOUNTS).copied().unwrap_or(1_000_000);
        let dollars = format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000);
        let amount_json: Value = serde_json::from_str(&dollars).unwrap_or_default();
        let made = self.purchase(&Order {
            path: "/compute/credits/topup".to_owned(),
            body: json!({"amount": amount_json, "network": "base"}),
            goods: Goods::Credits,
            funds: Funds::Payment,
            price: amount,
            is_signed: true,
        });
        let deposited = made.as_ref().and_then(|reply| reply.get("deposited"));
        if made.is_some() && deposited.and_then(money::micros) != Some(amount) {
            let text = format!("a top-up of {amount} deposited {deposited:?}");
            self.town.book().wrong(text);
        }
    }

    fn lengthen(&mut self, funds: Funds) {
        let Some(index) = self.choose() else { return };
        let Some(machine) = self.machines.get_mut(index) else {
            return;
        };
        // From now on its end says nothing of what it was at first.
        machine.is_lengthened = true;
        let order = machine.order.clone();
        let is_signed = self.dice.one_in(2);
        let made = self.purchase(&Order {
            path: format!("/compute/instances/{order}/extend"),
            body: json!({
                "extend_hours": 24, "network": "base", "use_credits": funds == Funds::Credits,
            }),
            goods: Goods::Time { order },
            funds,
            price: self.town.price,
            is_signed,
        });
        let price = made.as_ref().and_then(|reply| reply.get("price"));
        if made.is_some() && price.and_then(money::micros) != Some(self.town.price) {
            let text = format!("an extension cost {price:?}");
            self.town.book().wrong(text);
        }
    }

    fn choose(&mut self) -> Option<usize> {
        let count = u64::try_from(self.machines.len()).ok()?;
        let chosen = self.dice.below(count);
        usize::try_from(chosen).ok().filter(|_| count > 0)
    }

    /// Sends a purchase until it is answered for good; the answer when it was made.
    fn purchase(&mut self, order: &Order) -> Option<Value> {
        self.purchases += 1;
        let payment = match order.funds {
            Funds::Payment => match self.wallet.pay(order.price) {
                Ok(payment) => Some(payment),
                Err(error) => {
                    self.trouble = Some(error);
                    return None;
                }
            },
            Funds::Credits => None,
        };
        let name = format!("kill-{}-{}", self.number, self.purchases);
        let mut headers = Vec::new();
        if let Some(payment) = &payment {
            headers.push(("x-payment", payment.as_str()));
        }
        if payment.is_none() || order.is_signed {
            headers.push(("x-api-key", self.wallet.api_key.as_str()));
        }
        if payment.is_none() || self.dice.one_in(3) {
            headers.push(("idempotency-key", name.as_str()));
        }
        let body = order.body.to_string();
        if self.dice.one_in(25) {
            // The client goes away before the answer, and comes back with the same.
            if http::abandon(&self.town.url(), "POST", &order.path, &headers, &body).is_ok() {
                self.town.book().counts.inject("F158");
            }
        }
        let (verdict, was_declined) =
            self.until_final("POST", &order.path, &headers, &body, fault_of(order))?;
        self.close(order, verdict, was_declined)
    }

    fn destroy(&mut self) {
        let Some(index) = self.choose() else { return };
        let Some(machine) = self.machines.get(index) else {
            return;
        };
        let order = machine.order.clone();
        let path = format!("/compute/instances/{order}");
        let headers = [("x-api-key", self.wallet.api_key.as_str())];
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
        let headers = [("x-api-key", self.wallet.api_key.as_str())];
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
            if let Some(reply) = self.ask(&path)
                && is_first
                && text(&reply, "/order/status") == "active"
                && let Some(end) = money::seconds(text(&reply, "/order/expires_at"))
            {
                self.town.book().first_ends.insert(order, end);
            }
        }
    }

    fn look(&self, path: &str) {
        self.ask(path);
    }
}

/// Which fault it is when the server dies after it accepted the purchase and before it said so.
const fn fault_of(order: &Order) -> Option<&'static str> {
    match (&order.goods, order.funds) {
        (Goods::Machine { .. }, Funds::Credits) => Some("F016"),
        (Goods::Credits, _) => Some("F017"),
        _ => None,
    }
}
