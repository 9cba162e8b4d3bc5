//! What rivals do: requests of which one may win, or of which none may succeed any more, at both
//! replicas at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::{Hours, Usd};
use compute_engine::{
    ApiKeyTerms, Caller, Engine, Error, OfferSheet, Presented, ProvisionRequest, Submitted,
    TopupRequest,
};
use compute_x402::{PaymentPayload, Version};
use futures::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};

use super::client::{Client, refused, work};
use super::history::Outcome;
use crate::ambient::WallClock;
use crate::market::{Market, paid_with, unpaid, with_credits};
use compute_domain::time::Clock as _;

/// Connections that use one key at once.
const CONNECTIONS: usize = 4;

/// How often each of them uses it while it is being revoked.
const USES: usize = 4;

/// Six days, which cost more than the smallest top-up.
const SIX_DAYS: u32 = 144;

/// What a payment shall buy.
#[derive(Clone)]
enum Wish {
    Credits(TopupRequest),
    Machine(Box<ProvisionRequest>),
    Time(InstanceId),
}

impl Wish {
    fn credits(amount: Usd) -> Self {
        Self::Credits(Market::credits(&amount.to_string()))
    }
}

impl Client {
    pub(super) async fn rival_itself(&mut self, account: usize) {
        match self.pick(4) {
            0 => self.sign_one_nonce_twice(account).await,
            1 => self.pay_for_two_things(account).await,
            2 => self.pay_for_two_machines(account).await,
            _ => self.revoke_a_key(account).await,
        }
    }

    /// Two authorizations with one nonce and different values, both at both replicas: the token takes
    /// one of them, so at most one buys anything.
    async fn sign_one_nonce_twice(&mut self, account: usize) {
        let engine = self.replica();
        let cents = 100 + i64::try_from(self.pick(100)).unwrap_or(0);
        let nonce = self.buyer(account).fresh_nonce();
        let mut shown = Vec::new();
        for cents in [cents, cents + 1] {
            let Ok(amount) = Usd::from_micros(cents * 10_000) else {
                return;
            };
            let wish = Wish::credits(amount);
            let Some(sheet) = self.price(&engine, account, &wish).await else {
                return;
            };
            let Some(payment) = self.sign_under(nonce, account, &sheet) else {
                return;
            };
            shown.push((wish.clone(), payment.clone()));
            shown.push((wish, payment));
        }
        self.shop.provoked("F059");
        self.show_rivals("one nonce, two values", account, shown)
            .await;
    }

    /// One payment for credits and for a machine of the same price.
    async fn pay_for_two_things(&mut self, account: usize) {
        let engine = self.replica();
        let mut request = Market::request();
        let Ok(hours) = Hours::new(SIX_DAYS) else {
            return;
        };
        request.hours = hours;
        let machine = Wish::Machine(Box::new(request));
        let Some(sheet) = self.price(&engine, account, &machine).await else {
            return;
        };
        let payment = self.buyer(account).pay(&sheet, WallClock.now());
        let wishes = [Wish::credits(sheet.price), machine];
        self.shop.provoked("F057");
        self.show_for_each("one payment, two things", account, &wishes, &payment)
            .await;
    }

    /// One payment for more time of two machines.
    async fn pay_for_two_machines(&mut self, account: usize) {
        let engine = self.replica();
        let machines = self.machines(&engine, account).await;
        let [first, .., last] = machines.as_slice() else {
            return;
        };
        let wishes = [Wish::Time(*first), Wish::Time(*last)];
        let [wish, _] = &wishes;
        let Some(sheet) = self.price(&engine, account, wish).await else {
            return;
        };
        let payment = self.buyer(account).pay(&sheet, WallClock.now());
        self.shop.provoked("F057");
        self.show_for_each("one payment, two machines", account, &wishes, &payment)
            .await;
    }

    async fn show_for_each(
        &mut self,
        deed: &'static str,
        account: usize,
        wishes: &[Wish],
        payment: &PaymentPayload,
    ) {
        let twice = wishes.iter().chain(wishes);
        let shown = twice.map(|wish| (wish.clone(), payment.clone()));
        let shown = shown.collect();
        self.show_rivals(deed, account, shown).await;
    }

    /// Shows payments that are one to the network, for different things. Each fits its price, so that
    /// who loses is told that the payment is used, and never to pay again.
    async fn show_rivals(
        &mut self,
        deed: &'static str,
        account: usize,
        shown: Vec<(Wish, PaymentPayload)>,
    ) {
        let shown: Vec<_> = shown
            .into_iter()
            .map(|(wish, payment)| (self.replica(), wish, payment))
            .collect();
        let this = &*self;
        let bought = join_all(shown.into_iter().map(|(engine, wish, payment)| async move {
            let asked = this.shop.moment();
            let bought = this.ask(&engine, account, &wish, Some(&payment)).await;
            let id = bought.as_ref().ok().map(Submitted::operation);
            let outcome = match bought {
                Ok(submitted) => {
                    let id = submitted.operation();
                    work(&engine, submitted);
                    Outcome::Accepted(id)
                }
                Err(Error::PaymentRequired { problem, .. }) => {
                    Outcome::Wrong(format!("asked to pay again: {problem:?}"))
                }
                Err(error) => refused(&error),
            };
            this.record(account, deed, asked, outcome);
            id
        }))
        .await;
        let winners: BTreeSet<OperationId> = bought.into_iter().flatten().collect();
        if winners.len() > 1 {
            let outcome = Outcome::Wrong(format!("one payment bought {winners:?}"));
            self.record(account, deed, self.shop.moment(), outcome);
        }
    }

    async fn ask(
        &self,
        engine: &Arc<Engine>,
        account: usize,
        wish: &Wish,
        payment: Option<&PaymentPayload>,
    ) -> Result<Submitted, Error> {
        let terms = payment.map_or_else(unpaid, paid_with);
        match wish {
            Wish::Credits(request) => {
                let caller = self.sign_in(engine, account).await?;
                engine.top_up(&caller, request, terms).await
            }
            Wish::Machine(request) => engine.provision(&Caller::Anonymous, request, terms).await,
            Wish::Time(id) => {
                let day = Market::one_more_day();
                engine.extend(&Caller::Anonymous, *id, &day, terms).await
            }
        }
    }

    /// What it costs; `None` when it cannot be bought now.
    async fn price(&self, engine: &Arc<Engine>, account: usize, wish: &Wish) -> Option<OfferSheet> {
        match self.ask(engine, account, wish, None).await {
            Err(Error::PaymentRequired { sheet, .. }) => Some(*sheet),
            _ => None,
        }
    }

    fn sign_under(
        &self,
        nonce: [u8; 32],
        account: usize,
        sheet: &OfferSheet,
    ) -> Option<PaymentPayload> {
        let offer = sheet.offers.first()?;
        let (buyer, now) = (self.buyer(account), WallClock.now());
        Some(buyer.pay_offer_under(nonce, Version::V1, offer, sheet, now))
    }

    /// A key is used by several connections while it is revoked: what begins after the answer to the
    /// revocation is refused.
    async fn revoke_a_key(&mut self, account: usize) {
        let engine = self.replica();
        let created = async {
            let signer = self.sign_in(&engine, account).await?;
            let terms = ApiKeyTerms::default();
            engine.create_api_key(&signer, terms).await
        };
        let created = match created.await {
            Ok(created) => created,
            Err(error) => {
                let outcome = refused(&error);
                return self.record(account, "make a key", self.shop.moment(), outcome);
            }
        };
        let users: Vec<_> = (0..CONNECTIONS).map(|_| self.replica()).collect();
        let revoking = self.replica();
        let this = &*self;
        let text = &created.text;
        let uses = join_all(users.into_iter().enumerate().map(|(number, engine)| {
            // One of them spends, the others read.
            async move { this.use_a_key(&engine, account, text, number == 0).await }
        }));
        let revocation = async {
            let revoked = async {
                let signer = this.sign_in(&revoking, account).await?;
                revoking.revoke_api_key(&signer, created.api_key.id).await
            };
            revoked.await.is_ok().then(|| this.shop.moment())
        };
        let (successes, revoked) = futures::join!(uses, revocation);
        let Some(revoked) = revoked else { return };
        let mut began: Vec<u64> = successes.into_iter().flatten().collect();
        if !began.is_empty() {
            self.shop.provoked("F156");
        }
        // At both replicas, now that nobody races any more.
        for engine in this.shop.replicas.clone() {
            began.extend(this.use_a_key_once(&engine, account, text, false).await);
        }
        if let Some(late) = began.into_iter().find(|began| *began > revoked) {
            let why = format!("used at {late}, revoked at {revoked}");
            self.record(account, "use a key", late, Outcome::Wrong(why));
        }
    }

    /// When the uses began that succeeded.
    async fn use_a_key(
        &self,
        engine: &Arc<Engine>,
        account: usize,
        text: &SecretString,
        spends: bool,
    ) -> Vec<u64> {
        let mut began = Vec::new();
        for _ in 0..USES {
            began.extend(self.use_a_key_once(engine, account, text, spends).await);
        }
        began
    }

    async fn use_a_key_once(
        &self,
        engine: &Arc<Engine>,
        account: usize,
        text: &SecretString,
        spends: bool,
    ) -> Option<u64> {
        let asked = self.shop.moment();
        let presented = Presented::ApiKey(text.expose_secret());
        let outcome = match engine.authenticate(presented).await {
            Err(error) => refused(&error),
            Ok(caller) if spends => {
                let request = Market::request();
                let bought = engine.provision(&caller, &request, with_credits()).await;
                self.spent(engine, bought).await
            }
            Ok(caller) => match engine.balance(&caller).await {
                Ok(balance) => Outcome::Balance(balance.account.balance),
                Err(error) => refused(&error),
            },
        };
        let is_success = matches!(outcome, Outcome::Balance(_) | Outcome::Spent(..));
        self.record(account, "use a key", asked, outcome);
        is_success.then_some(asked)
    }
}
