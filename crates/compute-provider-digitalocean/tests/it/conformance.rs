use async_trait::async_trait;
use compute_domain::catalog::{PlanId, ProviderInstanceId, RegionId};
use compute_domain::operation::MachineSpec;
use compute_engine::ports::Provider;
use compute_provider_digitalocean::DigitalOcean;
use compute_testkit::provider_suite::{ProviderFixture, changes, run};
use compute_vendor_double::digitalocean::Habits;

use crate::{Cloud, GPU, connect, order, start_with};

struct Account {
    double: Cloud,
    ocean: DigitalOcean,
    neighbour: DigitalOcean,
    plan: (&'static str, &'static str),
}

#[async_trait]
impl ProviderFixture for Account {
    fn provider(&self) -> &dyn Provider {
        &self.ocean
    }

    fn environment(&self) -> &str {
        "prod"
    }

    fn machine(&self) -> MachineSpec {
        let (plan, region) = self.plan;
        MachineSpec {
            plan: PlanId::parse(plan).unwrap(),
            region: RegionId::parse(region).unwrap(),
            ..order(1, 1).machine
        }
    }

    fn absent_machine(&self) -> ProviderInstanceId {
        ProviderInstanceId::parse("606395546").unwrap()
    }

    async fn finish_booting(&self) {
        // Machines of the double boot as they are looked at.
        for id in self.double.droplets() {
            let id = ProviderInstanceId::parse(&id.to_string()).unwrap();
            self.ocean.observe(&id).await.unwrap();
        }
    }

    fn neighbour(&self) -> Option<(&dyn Provider, &str)> {
        Some((&self.neighbour, "dev"))
    }
}

async fn check(habits: Habits, plan: (&'static str, &'static str)) {
    let (double, ocean) = start_with(habits).await;
    let neighbour = connect(&double.url(), "test-token", "dev");
    run(&Account {
        double,
        ocean,
        neighbour,
        plan,
    })
    .await;
}

#[tokio::test]
async fn the_adapter_keeps_the_contract_of_its_port() {
    check(Habits::default(), ("do:s-1vcpu-1gb", "nyc3")).await;
}

#[tokio::test]
async fn it_keeps_it_before_the_tags_are_there_and_while_lists_lag() {
    let habits = Habits {
        untagged_looks: u32::MAX,
        ghost_lists: 0,
        ..Habits::default()
    };
    check(habits, ("do:s-1vcpu-1gb", "nyc3")).await;
}

#[tokio::test]
async fn it_keeps_it_with_gpus() {
    check(Habits::default(), (GPU, "tor1")).await;
    let habits = Habits {
        tags_list_gpus: false,
        ..Habits::default()
    };
    check(habits, (GPU, "tor1")).await;
}

#[tokio::test]
async fn machines_that_are_there_change_as_the_contract_says() {
    for action_looks in [1, 2, 5] {
        let habits = Habits {
            action_looks,
            ..Habits::default()
        };
        let (double, ocean) = start_with(habits).await;
        let neighbour = connect(&double.url(), "test-token", "dev");
        let plan = ("do:s-1vcpu-1gb", "nyc3");
        let account = Account {
            double,
            ocean,
            neighbour,
            plan,
        };
        changes::power_may_be_repeated(&account).await;
        for larger in ["do:s-1vcpu-2gb", "do:s-2vcpu-4gb"] {
            let larger = PlanId::parse(larger).unwrap();
            changes::a_resize_may_be_repeated(&account, &larger).await;
        }
        changes::what_is_absent_is_not_changed(&account).await;
        changes::a_machine_is_set_up_anew_or_left_alone(&account).await;
        changes::the_account_is_told(&account).await;
    }
}
