//! What a client buys, and how it pays.

use std::thread;

use serde_json::{Value, json};

use super::super::super::buyer::text;
use super::super::super::verdict::{self, Verdict};
use super::super::super::{http, money};
use super::super::book::{Funds, Goods};
use super::{Bought, Client, MACHINES, Machine, Means, Order, PAUSE, Password, TRIES};

/// A public key whose private half nobody has.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/// Dollars of a top-up, in millionths.
const AMOUNTS: &[u64] = &[1_000_000, 1_000_001, 2_500_000];

impl Client<'_> {
    pub(super) fn buy_machine(&mut self, funds: Funds) {
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
        let means = self.choose_means(funds, true);
        let made = self.purchase(&Order {
            path: "/compute/provision".to_owned(),
            body,
            goods: Goods::Machine { with_key },
            means,
            price: self.town.price,
            owner: self.wallet_number,
            api_key: self.wallet.api_key.clone(),
        });
        let Some(bought) = made else { return };
        let order = text(&bought.reply, "/order/id").to_owned();
        self.machines.push(Machine {
            order,
            owner: bought.owner,
            api_key: bought.api_key,
            with_key,
            password: Password::Unasked,
            is_lengthened: false,
        });
    }

    /// Not always the same; `is_open` when the purchase may belong to nobody known.
    fn choose_means(&mut self, funds: Funds, is_open: bool) -> Means {
        let (by_credential, is_signed) = (self.dice.one_in(2), self.dice.one_in(2));
        match (funds, by_credential) {
            (Funds::Credits, _) => Means::Credits,
            (Funds::Payment, true) => Means::Credential {
                is_signed: is_signed || !is_open,
            },
            (Funds::Payment, false) => Means::Payment { is_signed },
        }
    }

    pub(super) fn top_up(&mut self) {
        let amount = self.dice.pick(AMOUNTS).copied().unwrap_or(1_000_000);
        let dollars = format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000);
        let amount_json: Value = serde_json::from_str(&dollars).unwrap_or_default();
        let made = self.purchase(&Order {
            path: "/compute/credits/topup".to_owned(),
            body: json!({"amount": amount_json, "network": "base"}),
            goods: Goods::Credits,
            means: Means::Payment { is_signed: true },
            price: amount,
            owner: self.wallet_number,
            api_key: self.wallet.api_key.clone(),
        });
        let deposited = made.as_ref().and_then(|made| made.reply.get("deposited"));
        if made.is_some() && deposited.and_then(money::micros) != Some(amount) {
            let text = format!("a top-up of {amount} deposited {deposited:?}");
            self.town.book().wrong(text);
        }
    }

    pub(super) fn lengthen(&mut self, funds: Funds) {
        let Some(index) = self.choose() else { return };
        let Some(machine) = self.machines.get_mut(index) else {
            return;
        };
        // From now on its end says nothing of what it was at first.
        machine.is_lengthened = true;
        let order = machine.order.clone();
        let (owner, api_key) = (machine.owner, machine.api_key.clone());
        let means = match self.choose_means(funds, false) {
            // A payment of x402 says itself whose purchase it is, and that is not this owner.
            Means::Payment { .. } if !self.town.is_wallet(owner) => {
                Means::Credential { is_signed: true }
            }
            means => means,
        };
        let made = self.purchase(&Order {
            path: format!("/compute/instances/{order}/extend"),
            body: json!({
                "extend_hours": 24, "network": "base", "use_credits": funds == Funds::Credits,
            }),
            goods: Goods::Time { order },
            means,
            price: self.town.price,
            owner,
            api_key,
        });
        let price = made.as_ref().and_then(|made| made.reply.get("price"));
        if made.is_some() && price.and_then(money::micros) != Some(self.town.price) {
            let text = format!("an extension cost {price:?}");
            self.town.book().wrong(text);
        }
    }

    /// Sends a purchase until it is answered for good; what was bought when it was made.
    fn purchase(&mut self, order: &Order) -> Option<Bought> {
        self.purchases += 1;
        let payment = match order.means {
            Means::Payment { .. } => Some(("x-payment", self.wallet.pay(order.price))),
            Means::Credential { .. } => {
                let challenge = self.ask_for_challenge(order)?;
                Some(("authorization", self.wallet.meet(&challenge)))
            }
            Means::Credits => None,
        };
        let payment = match payment {
            Some((name, Ok(payment))) => Some((name, payment)),
            Some((_, Err(error))) => {
                self.trouble = Some(error);
                return None;
            }
            None => None,
        };
        let name = format!("kill-{}-{}", self.number, self.purchases);
        let mut headers = Vec::new();
        if let Some((header, payment)) = &payment {
            headers.push((*header, payment.as_str()));
        }
        if order.means.is_signed() {
            headers.push(("x-api-key", order.api_key.as_str()));
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

    /// Asks without paying until there is a 402; nothing when there is no such purchase any more.
    fn ask_for_challenge(&mut self, order: &Order) -> Option<String> {
        let own = [("x-api-key", order.api_key.as_str())];
        let headers = if order.means.is_signed() {
            &own[..]
        } else {
            &[]
        };
        let body = order.body.to_string();
        for _ in 0..TRIES {
            if self.town.is_closing() {
                return None;
            }
            let answer = self.send("POST", &order.path, headers, &body);
            let challenge = answer
                .as_ref()
                .filter(|answer| answer.status == 402)
                .and_then(|answer| answer.header("www-authenticate"));
            if let Some(challenge) = challenge {
                return Some(challenge.to_owned());
            }
            match answer.as_ref().map(verdict::of_purchase) {
                None | Some(Verdict::Again) => thread::sleep(PAUSE),
                Some(Verdict::Refused(_)) => return None,
                Some(verdict) => {
                    let text = format!("unpaid, {} was answered {verdict:?}", order.path);
                    self.town.book().wrong(text);
                    return None;
                }
            }
        }
        let text = format!("unpaid, {} is never answered for good", order.path);
        self.town.book().wrong(text);
        None
    }
}

/// Which fault it is when the server dies after it accepted the purchase and before it said so.
const fn fault_of(order: &Order) -> Option<&'static str> {
    match (&order.goods, order.means.funds()) {
        (Goods::Machine { .. }, Funds::Credits) => Some("F016"),
        (Goods::Credits, _) => Some("F017"),
        _ => None,
    }
}
