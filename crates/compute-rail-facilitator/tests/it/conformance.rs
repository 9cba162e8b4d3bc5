use async_trait::async_trait;
use compute_engine::ports::{ClaimedPayment, Rail};
use compute_testkit::rail_suite::{RailFixture, run};

use crate::{LIFE_S, Market, Sight, Way};

#[async_trait]
impl RailFixture for Market {
    fn rail(&self) -> &dyn Rail {
        &self.rail
    }

    fn payment(&self, number: u8) -> ClaimedPayment {
        self.pay(number)
    }

    fn uncovered_payment(&self, number: u8) -> ClaimedPayment {
        let payment = self.pay(number);
        let payer = payment.payment().payer.unwrap().to_string();
        let network = self.way.network();
        self.facilitator.set_balance(network, &payer, 1).unwrap();
        payment
    }

    async fn times_moved(&self, payment: &ClaimedPayment) -> u64 {
        u64::try_from(Self::times_moved(self, payment)).unwrap()
    }

    async fn expire_proofs(&self) {
        self.advance(u32::try_from(LIFE_S).unwrap() + 60);
    }
}

#[tokio::test]
async fn the_rail_keeps_the_contract_of_its_port() {
    for way in Way::BOTH {
        run(&Market::open_by(way, Sight::Node).await).await;
    }
}
