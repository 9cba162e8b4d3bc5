use async_trait::async_trait;
use compute_engine::ports::{ClaimedPayment, Mpp, Rail};
use compute_testkit::rail_suite::{RailFixture, run};

use crate::{AN_AGE, PLENTY, Town, buyer, claim_at, payload_of, payment_at};

#[async_trait]
impl RailFixture<Mpp> for Town {
    fn rail(&self) -> &dyn Rail<Mpp> {
        &self.rail
    }

    fn payment(&self, number: u8) -> ClaimedPayment<Mpp> {
        self.signed_now(number, PLENTY)
    }

    fn uncovered_payment(&self, number: u8) -> ClaimedPayment<Mpp> {
        self.signed_now(number, 1)
    }

    async fn times_moved(&self, payment: &ClaimedPayment<Mpp>) -> u64 {
        let number = payment.payment().id.uuid().as_u128();
        u64::try_from(self.times_paid(u8::try_from(number).unwrap())).unwrap()
    }

    async fn expire_proofs(&self) {
        self.advance(AN_AGE);
    }
}

impl Town {
    /// A payment that is signed and valid now, of a buyer who holds so much.
    fn signed_now(&self, number: u8, held: u128) -> ClaimedPayment<Mpp> {
        self.fund(number, held);
        let now_s = self.chain.now();
        let transaction = payment_at(number, now_s).build().sign(&buyer(number));
        claim_at(number, now_s, None, payload_of(&transaction))
    }
}

#[tokio::test]
async fn the_rail_keeps_the_contract_of_its_port() {
    run(&Town::open().await).await;
}
