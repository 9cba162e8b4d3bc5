use async_trait::async_trait;
use compute_engine::ports::{ClaimedPayment, Mpp, Rail};
use compute_testkit::rail_suite::{
    RailFixture, a_proof_settles_once, a_working_rail_is_ready,
    concurrent_settlements_move_the_money_once, looking_moves_nothing,
    what_settled_stays_settled_after_expiry,
};

use crate::{Town, good};

#[async_trait]
impl RailFixture<Mpp> for Town {
    fn rail(&self) -> &dyn Rail<Mpp> {
        &self.rail
    }

    fn payment(&self, number: u8) -> ClaimedPayment<Mpp> {
        self.pay(number, good())
    }

    fn uncovered_payment(&self, _number: u8) -> ClaimedPayment<Mpp> {
        panic!("only taking the money shows that a card has none")
    }

    async fn times_moved(&self, payment: &ClaimedPayment<Mpp>) -> u64 {
        let id = payment.payment().challenge_id.clone().unwrap();
        let taken = self.stripe.taken();
        let own = taken.iter().filter(|it| it.challenge_id == id);
        u64::try_from(own.count()).unwrap()
    }

    async fn expire_proofs(&self) {
        self.advance(86_400);
    }
}

/// All but the sentences about what is known of a payer before the money is taken: of a card nothing
/// is.
#[tokio::test]
async fn the_rail_keeps_the_contract_of_its_port() {
    let town = Town::open().await;
    a_working_rail_is_ready(&town).await;
    looking_moves_nothing(&town).await;
    a_proof_settles_once(&town).await;
    concurrent_settlements_move_the_money_once(&town).await;
    what_settled_stays_settled_after_expiry(&town).await;
}
