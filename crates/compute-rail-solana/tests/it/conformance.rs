use async_trait::async_trait;
use compute_engine::ports::{ClaimedPayment, Rail};
use compute_testkit::rail_suite::{RailFixture, run};
use compute_x402::Version;

use crate::{AN_AGE, Market};

#[async_trait]
impl RailFixture for Market {
    fn rail(&self) -> &dyn Rail {
        &self.rail
    }

    fn payment(&self, number: u8) -> ClaimedPayment {
        self.pay(number)
    }

    fn uncovered_payment(&self, number: u8) -> ClaimedPayment {
        let key = self.buyer(number, 1);
        self.pay_by(Version::V2, &key)
    }

    async fn times_moved(&self, payment: &ClaimedPayment) -> u64 {
        u64::try_from(Self::times_moved(self, payment)).unwrap()
    }

    async fn expire_proofs(&self) {
        self.advance(AN_AGE);
    }
}

#[tokio::test]
async fn the_rail_keeps_the_contract_of_its_port() {
    run(&Market::open().await).await;
}
