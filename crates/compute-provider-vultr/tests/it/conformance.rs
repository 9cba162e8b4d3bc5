use async_trait::async_trait;
use compute_domain::catalog::{PlanId, ProviderInstanceId};
use compute_domain::operation::MachineSpec;
use compute_engine::ports::Provider;
use compute_provider_vultr::Vultr;
use compute_testkit::provider_suite::{ProviderFixture, changes, run};
use compute_testkit::vultr::Handle;

use crate::{connect, order_with_key, start};

pub(crate) struct Account<'a> {
    double: &'a Handle,
    vultr: Vultr,
    neighbour: Vultr,
}

impl<'a> Account<'a> {
    pub(crate) const fn new(double: &'a Handle, vultr: Vultr, neighbour: Vultr) -> Self {
        Self {
            double,
            vultr,
            neighbour,
        }
    }
}

#[async_trait]
impl ProviderFixture for Account<'_> {
    fn provider(&self) -> &dyn Provider {
        &self.vultr
    }

    fn environment(&self) -> &str {
        "prod"
    }

    fn machine(&self) -> MachineSpec {
        order_with_key(1).machine
    }

    fn absent_machine(&self) -> ProviderInstanceId {
        ProviderInstanceId::parse("4f0f12e5-1f84-404f-aa84-85f431ea5ec2").unwrap()
    }

    async fn finish_booting(&self) {
        // Machines of the double boot as they are looked at.
        for id in self.double.machines() {
            let id = ProviderInstanceId::parse(&id).unwrap();
            self.vultr.observe(&id).await.unwrap();
        }
    }

    fn neighbour(&self) -> Option<(&dyn Provider, &str)> {
        Some((&self.neighbour, "dev"))
    }
}

#[tokio::test]
async fn the_adapter_keeps_the_contract_of_its_port() {
    let (double, vultr) = start().await;
    let neighbour = connect(&double.api_url(), "test-key", "dev");
    run(&Account::new(&double, vultr, neighbour)).await;
}

/// What the suite says of machines that are there.
pub(crate) async fn run_changes(account: &Account<'_>) {
    changes::power_may_be_repeated(account).await;
    let larger = PlanId::parse("vc2-2c-4gb").unwrap();
    changes::a_resize_may_be_repeated(account, &larger).await;
    changes::what_is_absent_is_not_changed(account).await;
    changes::a_machine_is_set_up_anew_or_left_alone(account).await;
    changes::the_account_is_told(account).await;
}
