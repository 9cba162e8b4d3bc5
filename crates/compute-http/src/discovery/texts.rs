//! The short texts for agents and registries, filled with what this shop is.

use serde_json::Value;

use super::facts::Facts;

const SKILL: &str = include_str!("pages/skill.md");
const LLMS: &str = include_str!("pages/llms.txt");

/// The part of the skill for shops that take payments by challenge.
const MPPX: &str = include_str!("pages/mppx.md");

/// Robots may read everything: agents are the customers here.
pub(super) const ROBOTS: &str = "User-agent: *\nAllow: /\n";

/// An agent's skill.
pub(super) fn skill(facts: &Facts) -> String {
    fill(SKILL, facts)
}

/// The text for language models.
pub(super) fn llms(facts: &Facts) -> String {
    fill(LLMS, facts)
}

/// The ways to pay, one a line.
pub(super) fn ways(facts: &Facts) -> Vec<String> {
    let networks = facts.networks.iter().map(|it| {
        let is_default = it.label == facts.default_network;
        let default = if is_default {
            ", when none is named"
        } else {
            ""
        };
        format!(
            "x402 `exact` over `{}` ({}): token {}, {} decimals{default}",
            it.label, it.caip2, it.asset, it.decimals
        )
    });
    let charges = facts.charges.iter().map(|it| {
        format!(
            "MPP method `{}`, intent `charge`: currency {}",
            it.method, it.currency
        )
    });
    let credits = "prepaid credits (`use_credits`), bought by x402".to_owned();
    networks.chain(charges).chain([credits]).collect()
}

/// The range of prices in words.
pub(super) fn prices(facts: &Facts) -> String {
    match facts.prices {
        Some((least, most)) => format!("{least} to {most} USD, for 24 to 4320 hours"),
        None => "nothing can be sold at this moment".to_owned(),
    }
}

/// A body that buys, for examples in texts.
pub(super) fn purchase(facts: &Facts) -> Value {
    let usual = || {
        serde_json::json!({ "plan": "…", "region": "…", "os_id": "…", "prepaid_hours": 24,
                            "network": facts.default_network, "max_total_usd": "…" })
    };
    facts.purchase.clone().unwrap_or_else(usual)
}

/// What every reader of a shop without real machines must know.
pub(super) const DEV_NOTE: &str = "This is a development server: money and machines are simulated.";

fn fill(template: &str, facts: &Facts) -> String {
    let ways: Vec<String> = ways(facts).iter().map(|way| format!("- {way}")).collect();
    let purchase = purchase(facts);
    let plan = purchase["plan"].as_str().unwrap_or("…");
    let region = purchase["region"].as_str().unwrap_or("…");
    let price = purchase["max_total_usd"].as_str().unwrap_or("…");
    let mppx = if facts.charges.is_empty() { "" } else { MPPX };
    let mode = if facts.is_dev {
        format!("{DEV_NOTE}\n\n")
    } else {
        String::new()
    };
    template
        .replace("{{mppx}}", mppx)
        .replace("{{mode}}", &mode)
        .replace("{{ways}}", &ways.join("\n"))
        .replace("{{prices}}", &prices(facts))
        .replace("{{plan}}", plan)
        .replace("{{region}}", region)
        .replace("{{price}}", price)
        .replace("{{purchase}}", &purchase.to_string())
        .replace("{{url}}", &facts.url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::facts::ChargeFact;

    fn facts() -> Facts {
        Facts {
            url: "https://compute.example".to_owned(),
            is_dev: true,
            networks: Vec::new(),
            charges: Vec::new(),
            default_network: "base".to_owned(),
            prices: None,
            topup: Default::default(),
            purchase: None,
        }
    }

    #[test]
    fn no_blank_is_left_open() {
        for text in [skill(&facts()), llms(&facts())] {
            assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
            assert!(text.contains("https://compute.example/openapi.json"));
            assert!(text.contains(DEV_NOTE));
        }
        let live = Facts {
            is_dev: false,
            ..facts()
        };
        assert!(!skill(&live).contains(DEV_NOTE));
    }

    #[test]
    fn only_a_shop_that_takes_challenges_names_their_client() {
        assert!(!skill(&facts()).contains("mppx"));
        let charge = ChargeFact {
            method: "tempo".to_owned(),
            currency: "0x20c0".to_owned(),
        };
        let shop = Facts {
            charges: vec![charge],
            ..facts()
        };
        let skill = skill(&shop);
        assert!(skill.contains("npx mppx https://compute.example/compute/provision"));
        assert!(!skill.contains("{{"), "{skill}");
    }

    #[test]
    fn the_skill_begins_with_its_name_and_use() {
        let skill = skill(&facts());
        let head = skill
            .strip_prefix("---\n")
            .unwrap()
            .split("\n---\n")
            .next()
            .unwrap();
        let members: Vec<_> = head
            .lines()
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        assert_eq!(members, ["name", "description"]);
    }
}
