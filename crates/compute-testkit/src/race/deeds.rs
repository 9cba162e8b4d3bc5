//! What clients do: alone, and against themselves at both replicas at once.

use std::sync::Arc;

use compute_domain::id::InstanceId;
use compute_domain::money::Usd;
use compute_domain::request_key::RequestKey;
use compute_domain::text::Label;
use compute_engine::{
    ApiKeyTerms, Caller, Engine, Error, Goal, OperationView, Presented, PurchaseTerms, Submitted,
};
use compute_x402::PaymentPayload;
use futures::future::join_all;
use secrecy::ExposeSecret as _;

use super::client::{Client, refused, work};
use super::history::Outcome;
use crate::ambient::WallClock;
use crate::market::{Market, paid_with, price_in, unpaid, with_credits};
use compute_domain::time::{Clock as _, Span};

/// Copies of a request at once.
const COPIES: usize = 4;

impl Client {
    pub(super) async fn do_something(&mut self, account: usize) {
        match self.pick(23) {
            0..=3 => self.look(account).await,
            4..=6 => self.top_up(account).await,
            7..=9 => self.buy_with_credits(account).await,
            10 => self.buy_with_payment(account).await,
            11..=12 => self.extend_with_credits(account).await,
            13 => self.extend_with_payments(account).await,
            14..=15 => self.destroy(account).await,
            16 => self.read_passwords(account).await,
            17 => self.reuse_a_name(account).await,
            18 => self.reuse_a_nonce(account).await,
            19..=22 => self.rival_itself(account).await,
            _ => self.spend_a_budget(account).await,
        }
    }

    async fn look(&mut self, account: usize) {
        let engine = self.replica();
        let asked = self.shop.moment();
        let told = async {
            let caller = self.sign_in(&engine, account).await?;
            engine.balance(&caller).await
        };
        let outcome = match told.await {
            Ok(balance) => Outcome::Balance(balance.account.balance),
            Err(error) => refused(&error),
        };
        self.record(account, "balance", asked, outcome);
    }

    /// One payment, shown several times at both replicas, and once for another amount.
    async fn top_up(&mut self, account: usize) {
        let engine = self.replica();
        let amount = format!("{}.{}", 1 + self.pick(3), self.pick(10));
        let request = Market::credits(&amount);
        let Ok(caller) = self.sign_in(&engine, account).await else {
            return;
        };
        let sheet = price_in(engine.top_up(&caller, &request, unpaid()).await);
        let payment = self.buyer(account).pay(&sheet, WallClock.now());
        let copies = 1 + self.pick(COPIES);
        if copies > 1 {
            self.shop.provoked("F055");
        }
        let mut copies: Vec<_> = (0..copies)
            .map(|_| (self.replica(), amount.clone()))
            .collect();
        if self.pick(4) == 0 {
            self.shop.provoked("F056");
            copies.push((self.replica(), "7".to_owned()));
        }
        let this = &*self;
        let payment = &payment;
        join_all(copies.into_iter().map(|(engine, amount)| async move {
            this.top_up_at(&engine, account, &amount, payment).await;
        }))
        .await;
    }

    async fn top_up_at(
        &self,
        engine: &Arc<Engine>,
        account: usize,
        amount: &str,
        payment: &PaymentPayload,
    ) {
        let request = Market::credits(amount);
        let asked = self.shop.moment();
        let bought = async {
            let caller = self.sign_in(engine, account).await?;
            let submitted = engine.top_up(&caller, &request, paid_with(payment)).await?;
            rest(engine, submitted).await
        };
        let outcome = match bought.await {
            Ok(view) => match view.deposited() {
                Some(amount) => Outcome::Deposited(view.operation.id, amount),
                None => Outcome::Refused("not settled yet"),
            },
            Err(error) => refused(&error),
        };
        self.record(account, "top up", asked, outcome);
    }

    /// The same credits from several connections.
    async fn buy_with_credits(&mut self, account: usize) {
        let copies = 1 + self.pick(COPIES);
        if copies > 1 {
            self.shop.provoked("F150");
            self.shop.provoked("F151");
            self.shop.provoked("F160");
        }
        let engines: Vec<_> = (0..copies).map(|_| self.replica()).collect();
        let this = &*self;
        join_all(engines.into_iter().map(|engine| async move {
            let asked = this.shop.moment();
            let bought = async {
                let caller = this.sign_in(&engine, account).await?;
                engine
                    .provision(&caller, &Market::request(), with_credits())
                    .await
            };
            let outcome = this.spent(&engine, bought.await).await;
            this.record(account, "buy with credits", asked, outcome);
        }))
        .await;
    }

    /// What was spent by a purchase with credits, whose work goes on in the background.
    pub(super) async fn spent(
        &self,
        engine: &Arc<Engine>,
        bought: Result<Submitted, Error>,
    ) -> Outcome {
        let submitted = match bought {
            Ok(submitted) => submitted,
            Err(error) => return refused(&error),
        };
        let id = submitted.operation();
        work(engine, submitted);
        match engine.inspect(id).await {
            Ok(view) => match view.operation.data.credits {
                Some(spent) => Outcome::Spent(id, spent.amount),
                None => Outcome::Wrong("nothing was spent".to_owned()),
            },
            Err(error) => refused(&error),
        }
    }

    async fn buy_with_payment(&mut self, account: usize) {
        let engine = self.replica();
        let nobody = Caller::Anonymous;
        let request = Market::request();
        let sheet = price_in(engine.provision(&nobody, &request, unpaid()).await);
        let payment = self.buyer(account).pay(&sheet, WallClock.now());
        let engines = [self.replica(), self.replica()];
        self.shop.provoked("F055");
        let (this, payment) = (&*self, &payment);
        join_all(engines.into_iter().map(|engine| async move {
            let asked = this.shop.moment();
            let bought = engine
                .provision(&Caller::Anonymous, &Market::request(), paid_with(payment))
                .await;
            let outcome = accepted(&engine, bought);
            this.record(account, "buy with a payment", asked, outcome);
        }))
        .await;
    }

    async fn extend_with_credits(&mut self, account: usize) {
        let engine = self.replica();
        let Some(id) = self.some_machine(&engine, account).await else {
            return;
        };
        let engines = [self.replica(), self.replica()];
        let this = &*self;
        join_all(engines.into_iter().map(|engine| async move {
            let asked = this.shop.moment();
            let bought = async {
                let caller = this.sign_in(&engine, account).await?;
                engine
                    .extend(&caller, id, &Market::one_more_day(), with_credits())
                    .await
            };
            let outcome = this.spent(&engine, bought.await).await;
            this.record(account, "extend with credits", asked, outcome);
        }))
        .await;
    }

    /// Several payments for one machine at once: each adds its day, or is not taken.
    async fn extend_with_payments(&mut self, account: usize) {
        let engine = self.replica();
        let Some(id) = self.some_machine(&engine, account).await else {
            return;
        };
        self.shop.provoked("F152");
        let engines = [self.replica(), self.replica()];
        let this = &*self;
        join_all(engines.into_iter().map(|engine| async move {
            let (nobody, day) = (Caller::Anonymous, Market::one_more_day());
            let asked = this.shop.moment();
            let paid = match engine.extend(&nobody, id, &day, unpaid()).await {
                Err(Error::PaymentRequired { sheet, .. }) => {
                    let payment = this.buyer(account).pay(&sheet, WallClock.now());
                    engine.extend(&nobody, id, &day, paid_with(&payment)).await
                }
                other => other,
            };
            let outcome = accepted(&engine, paid);
            this.record(account, "extend with a payment", asked, outcome);
        }))
        .await;
    }

    /// Twice at once, and an extension beside it.
    async fn destroy(&mut self, account: usize) {
        let engine = self.replica();
        let Some(id) = self.some_machine(&engine, account).await else {
            return;
        };
        self.shop.provoked("F154");
        let engines = [self.replica(), self.replica()];
        let extending = self.replica();
        let this = &*self;
        let ends = join_all(engines.into_iter().map(|engine| async move {
            let asked = this.shop.moment();
            let ended = async {
                let caller = this.sign_in(&engine, account).await?;
                engine.destroy(&caller, id).await
            };
            let outcome = accepted(&engine, ended.await);
            this.record(account, "destroy", asked, outcome);
        }));
        let extension = async {
            let asked = this.shop.moment();
            let bought = async {
                let caller = this.sign_in(&extending, account).await?;
                let day = Market::one_more_day();
                extending.extend(&caller, id, &day, with_credits()).await
            };
            let outcome = this.spent(&extending, bought.await).await;
            this.record(account, "extend while it is destroyed", asked, outcome);
        };
        futures::join!(ends, extension);
    }

    async fn read_passwords(&mut self, account: usize) {
        let engine = self.replica();
        let Some(id) = self.some_machine(&engine, account).await else {
            return;
        };
        self.shop.provoked("F155");
        let engines: Vec<_> = (0..COPIES).map(|_| self.replica()).collect();
        let this = &*self;
        join_all(engines.into_iter().map(|engine| async move {
            let outcome = this.read_password(&engine, account, id).await;
            let asked = this.shop.moment();
            this.record(account, "password", asked, outcome);
        }))
        .await;
    }

    async fn read_password(&self, engine: &Engine, account: usize, id: InstanceId) -> Outcome {
        let taken = async {
            let caller = self.sign_in(engine, account).await?;
            engine.take_password(&caller, id).await
        };
        match taken.await {
            Ok(_) => Outcome::Password(id),
            Err(error) => refused(&error),
        }
    }

    /// Equal and other requests under one name at once: one purchase.
    async fn reuse_a_name(&mut self, account: usize) {
        let Ok(name) = RequestKey::idempotency_key(&self.fresh_name()) else {
            return;
        };
        self.shop.provoked("F157");
        let engines: Vec<_> = (0..COPIES).map(|_| self.replica()).collect();
        let (this, name) = (&*self, &name);
        let bought = join_all(
            engines
                .into_iter()
                .enumerate()
                .map(|(number, engine)| async move {
                    let mut request = Market::request();
                    if number + 1 == COPIES
                        && let Ok(label) = Label::parse("other")
                    {
                        request.label = label;
                    }
                    let asked = this.shop.moment();
                    let terms = PurchaseTerms {
                        request_keys: vec![name.clone()],
                        ..with_credits()
                    };
                    let bought = async {
                        let caller = this.sign_in(&engine, account).await?;
                        engine.provision(&caller, &request, terms).await
                    };
                    let bought = bought.await;
                    let id = bought.as_ref().ok().map(Submitted::operation);
                    let outcome = this.spent(&engine, bought).await;
                    this.record(account, "buy under one name", asked, outcome);
                    id
                }),
        )
        .await;
        let mut operations: Vec<_> = bought.into_iter().flatten().collect();
        operations.sort_unstable();
        operations.dedup();
        if operations.len() > 1 {
            let outcome = Outcome::Wrong(format!("one name bought {operations:?}"));
            self.record(account, "buy under one name", self.shop.moment(), outcome);
        }
    }

    /// One signature at both replicas: it is good for one request.
    async fn reuse_a_nonce(&mut self, account: usize) {
        let [first, second] = self.shop.replicas.clone();
        let Ok(caller) = self.sign_in(&first, account).await else {
            return;
        };
        self.shop.provoked("F159");
        let asked = self.shop.moment();
        let both = futures::join!(first.balance(&caller), second.balance(&caller));
        let successes = [both.0.is_ok(), both.1.is_ok()];
        if successes == [true, true] {
            let outcome = Outcome::Wrong("one nonce was good twice".to_owned());
            self.record(account, "nonce", asked, outcome);
        }
    }

    /// A key that may spend on one machine, used for several.
    async fn spend_a_budget(&mut self, account: usize) {
        let engine = self.replica();
        let caller = match self.key_for_one_machine(&engine, account).await {
            Ok(caller) => caller,
            Err(error) => {
                let outcome = refused(&error);
                return self.record(account, "make a key", self.shop.moment(), outcome);
            }
        };
        let engines: Vec<_> = (0..COPIES).map(|_| self.replica()).collect();
        let (this, caller) = (&*self, &caller);
        let spent = join_all(engines.into_iter().map(|engine| async move {
            let asked = this.shop.moment();
            let bought = engine
                .provision(caller, &Market::request(), with_credits())
                .await;
            let outcome = this.spent(&engine, bought).await;
            let is_spent = matches!(outcome, Outcome::Spent(..));
            this.record(account, "spend a budget", asked, outcome);
            is_spent
        }))
        .await;
        if spent.into_iter().filter(|is_spent| *is_spent).count() > 1 {
            let outcome = Outcome::Wrong("a budget was spent twice".to_owned());
            self.record(account, "spend a budget", self.shop.moment(), outcome);
        }
    }

    async fn key_for_one_machine(&self, engine: &Engine, account: usize) -> Result<Caller, Error> {
        let signer = self.sign_in(engine, account).await?;
        let terms = ApiKeyTerms {
            budget: Usd::from_micros(200_000).ok(),
            ..ApiKeyTerms::default()
        };
        let created = engine.create_api_key(&signer, terms).await?;
        let presented = Presented::ApiKey(created.text.expose_secret());
        engine.authenticate(presented).await
    }
}

fn accepted(engine: &Arc<Engine>, submitted: Result<Submitted, Error>) -> Outcome {
    match submitted {
        Ok(submitted) => {
            let id = submitted.operation();
            work(engine, submitted);
            Outcome::Accepted(id)
        }
        Err(error) => refused(&error),
    }
}

/// Waits until the work rests, or for a while.
async fn rest(engine: &Arc<Engine>, submitted: Submitted) -> Result<OperationView, Error> {
    let id = submitted.operation();
    work(engine, submitted);
    let until = WallClock.now().plus(Span::from_secs(10));
    engine.wait(id, Goal::Rest, until).await
}
