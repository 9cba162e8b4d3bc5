//! `ops providers`, `ops accept-account`, `ops drifts`: what the providers say of our accounts, and of
//! machines that have another plan than we think.

use anyhow::anyhow;
use compute_domain::catalog::ProviderId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{AccountRecord, AccountState, PlanDrift};
use compute_engine::{Engine, Error};
use serde_json::{Value, json};

use super::Answer;
use super::arguments::OpsCommand;
use super::table::{Table, clean};

/// Answers one of the three; others are not asked of it.
pub(super) async fn answer(command: &OpsCommand, engine: &Engine) -> anyhow::Result<Answer> {
    match command {
        OpsCommand::AcceptAccount { provider, account } => {
            let outcome = engine.accept_account(*provider, account).await;
            outcome.map_err(|error| refusal(error, *provider, account))?;
            let document = json!({ "provider": provider.as_str(), "account": account });
            Ok(Answer::new(accepted(*provider, account), document))
        }
        OpsCommand::Drifts => {
            let drifts = engine.plan_drifts().await?;
            Ok(Answer::new(drifted(&drifts), drifted_json(&drifts)))
        }
        _ => {
            let accounts = engine.accounts().await?;
            Ok(Answer::new(providers(&accounts), providers_json(&accounts)))
        }
    }
}

fn refusal(error: Error, provider: ProviderId, account: &str) -> anyhow::Error {
    match error {
        Error::NotFound => anyhow!(
            "{} is not the other account that {provider} showed: look at compute-server ops providers",
            clean(account)
        ),
        other => other.into(),
    }
}

const fn state_name(state: AccountState) -> &'static str {
    match state {
        AccountState::Open => "open",
        AccountState::Warned => "warned",
        AccountState::Locked => "locked",
    }
}

fn providers(accounts: &[(AccountRecord, u64)]) -> String {
    if accounts.is_empty() {
        return "No server has asked a provider about our account yet.\n".to_owned();
    }
    let head = [
        "provider",
        "account",
        "state",
        "funds",
        "machines",
        "limit",
        "told",
        "refused since",
    ];
    let mut table = Table::new(&head);
    let mut others = String::new();
    for (record, live) in accounts {
        let told = record.told;
        let or_nothing = |text: Option<String>| text.unwrap_or_default();
        table.row([
            record.provider.to_string(),
            or_nothing(record.account.as_deref().map(clean)),
            or_nothing(told.map(|told| state_name(told.state).to_owned())),
            or_nothing(
                told.and_then(|told| told.funds)
                    .map(|funds| funds.to_string()),
            ),
            live.to_string(),
            or_nothing(
                told.and_then(|told| told.machine_limit)
                    .map(|limit| limit.to_string()),
            ),
            or_nothing(told.map(|told| told.at.rfc3339())),
            or_nothing(record.refused_since.map(Timestamp::rfc3339)),
        ]);
        if let Some(other) = &record.other {
            let (provider, other) = (record.provider, clean(other));
            others.push_str(&format!(
                "\n{provider} shows another account, {other}: nothing is sold or concluded there. Put the right credentials back, or, when our machines are in that account: compute-server ops accept-account {provider} {other}\n"
            ));
        }
    }
    format!("{}{others}", table.text(0))
}

fn providers_json(accounts: &[(AccountRecord, u64)]) -> Value {
    let rows = accounts.iter().map(|(record, live)| {
        let told = record.told;
        json!({
            "provider": record.provider.as_str(),
            "account": record.account,
            "other_account": record.other,
            "state": told.map(|told| state_name(told.state)),
            "funds": told.and_then(|told| told.funds).map(|funds| funds.to_string()),
            "live_machines": live,
            "machine_limit": told.and_then(|told| told.machine_limit),
            "told_at": told.map(|told| told.at.rfc3339()),
            "refused_since": record.refused_since.map(Timestamp::rfc3339),
        })
    });
    json!({ "providers": rows.collect::<Vec<_>>() })
}

fn accepted(provider: ProviderId, account: &str) -> String {
    let account = clean(account);
    format!("Our machines at {provider} are in account {account} from now on.\n")
}

fn drifted(drifts: &[PlanDrift]) -> String {
    if drifts.is_empty() {
        return "Every machine has the plan that its order says.\n".to_owned();
    }
    let mut table = Table::new(&["order", "plan at the provider", "since", "looks"]);
    for drift in drifts {
        table.row([
            drift.instance.to_string(),
            drift.plan.to_string(),
            drift.since.rfc3339(),
            drift.looks.to_string(),
        ]);
    }
    format!(
        "{}\nSomebody changed these at the provider. What their owners pay did not change: give the machine its plan back there, or compute-server ops show <order>\n",
        table.text(0)
    )
}

fn drifted_json(drifts: &[PlanDrift]) -> Value {
    let rows = drifts.iter().map(|drift| {
        json!({
            "order": drift.instance.to_string(),
            "plan_at_provider": drift.plan.as_str(),
            "since": drift.since.rfc3339(),
            "looks": drift.looks,
        })
    });
    json!({ "drifts": rows.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use compute_domain::catalog::PlanId;
    use compute_domain::money::Usd;
    use compute_engine::ports::AccountTold;

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn record() -> AccountRecord {
        AccountRecord {
            provider: ProviderId::DigitalOcean,
            account: Some("8d27".to_owned()),
            other: None,
            refused_since: None,
            told: Some(AccountTold {
                at: AT,
                state: AccountState::Warned,
                funds: Some(Usd::from_micros(12_500_000).unwrap()),
                machine_limit: Some(25),
            }),
        }
    }

    #[test]
    fn an_account_is_a_row_with_what_the_provider_told() {
        assert!(providers(&[]).starts_with("No server has asked"));
        let known = [
            (record(), 7),
            (AccountRecord::unknown(ProviderId::Vultr), 0),
        ];
        let text = providers(&known);
        for part in [
            "digitalocean",
            "8d27",
            "warned",
            "12.50",
            "25",
            "2026-01-01T00:00:00",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("accept-account"), "{text}");
        let document = providers_json(&known);
        assert_eq!(document["providers"][0]["live_machines"], 7);
        assert_eq!(document["providers"][0]["state"], "warned");
        assert!(document["providers"][1]["state"].is_null());
    }

    #[test]
    fn another_account_comes_with_the_next_step() {
        let other = AccountRecord {
            other: Some("77\u{1b}aa".to_owned()),
            refused_since: Some(AT),
            ..record()
        };
        let text = providers(&[(other.clone(), 7)]);
        assert!(text.contains("ops accept-account digitalocean"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let document = providers_json(&[(other, 7)]);
        assert_eq!(document["providers"][0]["other_account"], "77\u{1b}aa");
        let said = refusal(Error::NotFound, ProviderId::Vultr, "x").to_string();
        assert!(said.contains("ops providers"), "{said}");
        assert!(accepted(ProviderId::Vultr, "77aa").contains("in account 77aa"));
    }

    #[test]
    fn machines_with_another_plan_are_a_table() {
        assert!(drifted(&[]).starts_with("Every machine"));
        let drift = PlanDrift {
            instance: "0192f0c4-5b1e-7c3a-9d2f-8a6b4c2d1e00".parse().unwrap(),
            plan: PlanId::parse("vc2-2c-4gb").unwrap(),
            since: AT,
            looks: 3,
        };
        let text = drifted(std::slice::from_ref(&drift));
        assert!(
            text.contains("vc2-2c-4gb") && text.contains("2026-01-01"),
            "{text}"
        );
        assert_eq!(drifted_json(&[drift])["drifts"][0]["looks"], 3);
    }
}
