//! Another plan for a machine, with what is left of its prepaid dollars.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{Agent, PATIENCE, Signed, cheapest_first, show};

/// So many plans are tried at most.
const TRIES: usize = 12;

impl Agent {
    /// The cheapest plan that the provider changes the machine to; a dry run tells, and changes nothing.
    pub(crate) async fn resize(&self, id: &str) -> Result<()> {
        let path = format!("/compute/instances/{id}/resize");
        let Some(plan) = self.larger_plan(id, &path).await? else {
            println!("\nThe provider changes this machine to none of the next larger plans.");
            return Ok(());
        };
        show::step("Resize it: what is left of the prepaid dollars is kept");
        let body = json!({ "plan": plan, "confirm_disk_resize": true });
        let answer = self.post(&path, &body, Signed::Yes, None).await?;
        let reply = answer.json(200)?;
        println!(
            "\n{} USD are left: {} h of {}, or {} h of {}.",
            reply["remaining_credit"],
            reply["remaining_hours_before"],
            reply["from_plan"],
            reply["remaining_hours_after"],
            reply["to_plan"],
        );
        self.wait_for_plan(id, &plan).await
    }

    async fn larger_plan(&self, id: &str, path: &str) -> Result<Option<String>> {
        let order = self.order(id).await?;
        let catalogue = self.client.send("GET", "/compute/plans", &[], &[]).await?;
        let catalogue = catalogue.json(200)?;
        let plans = catalogue["plans"].as_array().context("no plans")?;
        let is_sold_there = |plan: &&Value| {
            let locations = plan["locations"].as_array().into_iter().flatten();
            plan["provider"] == order["provider"]
                && plan["id"] != order["plan"]
                && locations.into_iter().any(|it| *it == order["region"])
        };
        let mut plans: Vec<&Value> = plans.iter().filter(is_sold_there).collect();
        plans.sort_by_key(|plan| cheapest_first(plan));
        for plan in plans.into_iter().take(TRIES) {
            let body = json!({ "plan": plan["id"], "confirm_disk_resize": true, "dry_run": true });
            let text = body.to_string();
            let look = self.signed_with("POST", path, &text).await?;
            if look.status == 200 {
                show::step("What would the next larger plan come to? A dry run tells");
                show::exchange("POST", path, &[], &body, &look);
                return Ok(plan["id"].as_str().map(str::to_owned));
            }
        }
        Ok(None)
    }

    async fn wait_for_plan(&self, id: &str, plan: &str) -> Result<()> {
        show::step("Wait until the machine has it");
        let mut waited = Duration::ZERO;
        loop {
            let order = self.order(id).await?;
            let is_done = order["plan"] == plan && order["metadata"]["resize_pending"].is_null();
            if is_done {
                println!("\n{plan} until {}.", order["expires_at"]);
                return Ok(());
            }
            if waited >= PATIENCE {
                bail!("the machine does not get its plan: {order}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
    }

    async fn order(&self, id: &str) -> Result<Value> {
        let path = format!("/compute/instances/{id}");
        let answer = self.signed("GET", &path).await?;
        Ok(answer.json(200)?["order"].clone())
    }
}
