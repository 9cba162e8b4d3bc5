//! The same shop paid by challenge and credential (MPP): no wallet headers at all, and a key for what was
//! bought. Every signature is a real one; the chain of a development server is simulated.

use anyhow::{Context as _, Result, ensure};
use compute_mpp::{Receipt, client};
use compute_wallet::EvmKey;
use serde_json::{Value, json};

use crate::http::{Answer, Client};
use crate::{credential, now_ms, random, show};

const PROVISION: &str = "/compute/provision";

/// The example pays on this network only: a signature for it is worth nothing anywhere.
const TEST_CHAIN: u64 = 42_431;

/// Somebody with an account on Tempo, and nothing else.
pub(crate) struct Payer<'a> {
    client: &'a Client,
    key: EvmKey,
}

impl<'a> Payer<'a> {
    pub(crate) fn new(client: &'a Client) -> Result<Self> {
        let key = EvmKey::from_bytes(&random()?).context("make a key")?;
        println!("\nA new account on Tempo: {}", key.address().to_checksum());
        Ok(Self { client, key })
    }

    /// Buys a machine, loses the answer, extends the machine with the key that came with it, and ends it.
    pub(crate) async fn buy_and_end(&self, order: &Value) -> Result<()> {
        show::step("Ask without paying: the same 402 has a challenge in WWW-Authenticate");
        let unpaid = self.post(PROVISION, order, &[]).await?;
        let credential = self.answer(&unpaid)?;
        show::step("The same request again, with the credential that answers it");
        let paid = self
            .post(PROVISION, order, std::slice::from_ref(&credential))
            .await?;
        let bought = paid.json(200)?;
        told_by_receipt(&paid)?;
        let id = bought["order"]["id"].as_str().context("no order")?;
        let key = bought["management_api_key"].as_str().context("no key")?;

        show::step(
            "The answer was lost: the same credential shows the same order and the same key",
        );
        let again = self
            .post(PROVISION, order, &[credential])
            .await?
            .json(200)?;
        ensure!(
            again["order"]["id"] == id && again["management_api_key"] == key,
            "a repeat was told something else"
        );

        let own = ("x-api-key", key.to_owned());
        self.wait_until_active(id, &own).await?;
        show::step("More time, with the key and another credential");
        let (path, body) = (
            format!("/compute/instances/{id}/extend"),
            json!({ "extend_hours": 24 }),
        );
        let unpaid = self.post(&path, &body, std::slice::from_ref(&own)).await?;
        let credential = self.answer(&unpaid)?;
        let paid = self.post(&path, &body, &[own.clone(), credential]).await?;
        let extended = paid.json(200)?;
        ensure!(extended["extended_hours"] == 24, "no day more: {extended}");
        told_by_receipt(&paid)?;

        show::step("End it, with the key");
        let path = format!("/compute/instances/{id}");
        let ended = self.client.send("DELETE", &path, &[own], &[]).await?;
        show::exchange("DELETE", &path, &[], &Value::Null, &ended);
        ended.json(200)?;
        Ok(())
    }

    /// Signs what the first challenge on Tempo asks for.
    fn answer(&self, unpaid: &Answer) -> Result<(&'static str, String)> {
        ensure!(unpaid.status == 402, "expected 402, got {}", unpaid.status);
        let now_s = now_ms()? / 1_000;
        let lines = unpaid.headers.get_all("www-authenticate").iter();
        let offers = client::offers(lines.map(|line| line.as_bytes()), now_s)?;
        let mut offers = offers.into_iter();
        let offer = offers.find(|offer| offer.method() == "tempo");
        let offer = offer.context("no challenge that this example can pay")?;
        let terms = credential::terms_of(&offer)?;
        let chain_id = terms.chain_id;
        ensure!(
            chain_id == TEST_CHAIN,
            "{chain_id} is no test network: refusing to pay"
        );
        let amount = offer.charge()?.amount.get();
        println!(
            "\nSigning: {amount} base units of {} on chain {} to {}, valid for {} s.",
            terms.currency.to_checksum(),
            terms.chain_id,
            terms.recipient.to_checksum(),
            credential::VALIDITY_S,
        );
        let credential = credential::answer(offer, &self.key, now_s, "paid-flow")?;
        Ok(("authorization", credential))
    }

    async fn post(
        &self,
        path: &str,
        body: &Value,
        more: &[(&'static str, String)],
    ) -> Result<Answer> {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend_from_slice(more);
        let text = body.to_string();
        let answer = self
            .client
            .send("POST", path, &headers, text.as_bytes())
            .await?;
        let shown: Vec<_> = headers
            .into_iter()
            .filter(|(name, _)| *name != "x-api-key")
            .collect();
        show::exchange("POST", path, &shown, body, &answer);
        Ok(answer)
    }

    async fn wait_until_active(&self, id: &str, own: &(&'static str, String)) -> Result<()> {
        let path = format!("/compute/instances/{id}");
        for _ in 0..crate::PATIENCE.as_secs() {
            let headers = [own.clone()];
            let answer = self.client.send("GET", &path, &headers, &[]).await?;
            if answer.json(200)?["order"]["status"] == "active" {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        anyhow::bail!("the machine did not start")
    }
}

fn told_by_receipt(paid: &Answer) -> Result<()> {
    let receipt = paid.header("payment-receipt").context("no receipt")?;
    let receipt = Receipt::decode(receipt)?;
    println!(
        "\nReceipt: settled by {} in transaction {}.",
        receipt.method(),
        receipt.reference()
    );
    Ok(())
}
