//! What prepaid dollars do: top-up, extension, and what is left of a machine's time.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::http::Answer;
use crate::{Agent, Signed, show};

const BALANCE: &str = "/compute/credits/balance";

impl Agent {
    /// Ten dollars, paid once; after that, purchases need no payment of their own.
    pub(crate) async fn top_up(&self) -> Result<()> {
        let asked = "Top up credits: 402, for exactly the amount";
        let body = json!({ "amount": 10, "network": "base" });
        let reply = self
            .pay_for("/compute/credits/topup", &body, Signed::Yes, asked)
            .await?;
        println!("\nCredits: {} USD.", text(&reply["new_balance"])?);
        Ok(())
    }

    /// One more day. A request with `use_credits` buys at once, so it says what it may cost at most.
    pub(crate) async fn extend(&self, id: &str) -> Result<()> {
        show::step("Extend by a day with credits: no 402, no payment");
        let path = format!("/compute/instances/{id}/extend");
        let body = json!({ "extend_hours": 24, "use_credits": true, "max_total_usd": 1 });
        let answer = self.post(&path, &body, Signed::Yes, None).await?;
        let reply = answer.json(200)?;
        println!(
            "\nPaid until {}. Credits: {} USD.",
            text(&reply["order"]["expires_at"])?,
            text(&reply["new_balance"])?
        );
        Ok(())
    }

    /// What was prepaid and not used, above the minimum charge, comes back as credit.
    pub(crate) async fn destroy(&self, id: &str) -> Result<()> {
        show::step("Destroy it: unused time comes back as credit");
        let path = format!("/compute/instances/{id}");
        let answer = self.signed("DELETE", &path).await?;
        show::exchange("DELETE", &path, &[], &Value::Null, &answer);
        println!("\nCredited: {} USD.", answer.json(200)?["credited"]);

        show::step("What is left");
        let answer = self.balance().await?;
        let balance = answer.json(200)?;
        println!(
            "\nCredits: {} USD = {} put in - {} spent.",
            text(&balance["balance"])?,
            text(&balance["total_deposited"])?,
            text(&balance["total_spent"])?
        );
        Ok(())
    }

    async fn balance(&self) -> Result<Answer> {
        let answer = self.signed("GET", BALANCE).await?;
        show::exchange("GET", BALANCE, &[], &Value::Null, &answer);
        Ok(answer)
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("an amount or a time is missing")
}
