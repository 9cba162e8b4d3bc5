//! The tools: their names, what they say of themselves, and what they do to the world.

use std::any::Any;
use std::sync::Arc;

use rmcp::handler::server::tool::schema_for_input;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use rmcp::schemars::JsonSchema;

use super::arguments::{Extend, Machine, Nothing, Plans, Provision, Quote, Resize, TopUp, Wait};

/// What a tool does to the world, as its annotations tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing: it reads the book of this machine.
    ReadsHere,
    /// Nothing: it asks the shop.
    Reads,
    /// It spends money, which does not come back; the same again changes nothing more.
    Spends,
    /// It ends something, or makes something another; the same again changes nothing more.
    Replaces,
    /// It gives something away that is there only once.
    Empties,
}

impl Effect {
    const fn is_read_only(self) -> bool {
        matches!(self, Self::ReadsHere | Self::Reads)
    }

    fn annotations(self, title: &str) -> ToolAnnotations {
        let reads = self.is_read_only();
        ToolAnnotations::with_title(title)
            .read_only(reads)
            .destructive(!reads)
            .idempotent(self != Self::Empties)
            .open_world(self != Self::ReadsHere)
    }
}

/// One tool.
struct Row {
    name: &'static str,
    title: &'static str,
    says: &'static str,
    effect: Effect,
    schema: fn() -> Result<Arc<JsonObject>, String>,
}

const fn row<T: JsonSchema + Any>(
    name: &'static str,
    title: &'static str,
    effect: Effect,
    says: &'static str,
) -> Row {
    Row {
        name,
        title,
        says,
        effect,
        schema: schema_for_input::<T>,
    }
}

/// Every tool, in the order of a purchase.
const ROWS: [Row; 17] = [
    row::<Plans>(
        "plans",
        "What is for sale",
        Effect::Reads,
        "Lists machines for sale with their prices in US dollars, the cheapest first, filtered by what is needed.",
    ),
    row::<Nothing>(
        "regions",
        "Where it is",
        Effect::Reads,
        "Lists the regions in which machines stand.",
    ),
    row::<Nothing>(
        "images",
        "What can run on it",
        Effect::Reads,
        "Lists the images that can run on a machine; their ids are os_id of quote and provision.",
    ),
    row::<Quote>(
        "quote",
        "What a machine costs",
        Effect::Reads,
        "Tells what a machine costs for some hours, and whether real money is asked for. Buys nothing.",
    ),
    row::<Provision>(
        "provision",
        "Buy a machine",
        Effect::Spends,
        "Buys a machine and pays for its hours in advance. Use the same idempotency_key when retrying: the same \
         under the same key is bought and paid once. It answers when the purchase is made; call wait until the \
         machine is active. result unknown means that nobody knows yet whether it was paid: call recover, or this \
         tool again with the same idempotency_key, never with another.",
    ),
    row::<Nothing>(
        "list",
        "The machines there are",
        Effect::Reads,
        "Lists the machines of this wallet or key with their states and addresses.",
    ),
    row::<Machine>(
        "show",
        "One machine",
        Effect::Reads,
        "Shows one machine: its state, address, price, and until when it is paid.",
    ),
    row::<Wait>(
        "wait",
        "Wait for a machine",
        Effect::Reads,
        "Waits until a machine is active or has failed, or until the seconds are over; then call it again.",
    ),
    row::<Extend>(
        "extend",
        "Buy more time",
        Effect::Spends,
        "Buys more hours for a machine. Use the same idempotency_key when retrying: the same under the same key is \
         bought and paid once. result unknown means that nobody knows yet whether it was paid: call recover, or \
         this tool again with the same idempotency_key, never with another.",
    ),
    row::<Resize>(
        "resize",
        "Give a machine another plan",
        Effect::Replaces,
        "Gives a machine another plan; it restarts. What is left of its prepaid money stays with it, and nothing \
         is paid. dry_run tells what would happen.",
    ),
    row::<Machine>(
        "password",
        "The root password, once",
        Effect::Empties,
        "Gives the root password of a machine. The shop gives it once: keep it, or call this only when you need it.",
    ),
    row::<Machine>(
        "destroy",
        "End a machine",
        Effect::Replaces,
        "Ends a machine and deletes everything on it, for good. What was not used of its money is credited.",
    ),
    row::<Nothing>(
        "credits_balance",
        "Money at the shop",
        Effect::Reads,
        "Tells how many dollars of credits there are at the shop.",
    ),
    row::<TopUp>(
        "credits_topup",
        "Buy credits",
        Effect::Spends,
        "Buys credits at the shop, which pay for machines later. Use the same idempotency_key when retrying: the \
         same under the same key is bought and paid once.",
    ),
    row::<Nothing>(
        "budget",
        "What may be spent",
        Effect::ReadsHere,
        "Tells the limits, what was spent and what is left. No tool can change a limit.",
    ),
    row::<Nothing>(
        "recover",
        "Find out what became of purchases",
        Effect::Spends,
        "Finds out what became of purchases whose answer got lost, by sending the same request with the same \
         payment again: nothing is paid twice.",
    ),
    row::<Nothing>(
        "history",
        "What was bought",
        Effect::ReadsHere,
        "Lists the purchases that came to an end, with their names, prices and machines.",
    ),
];

/// The tools that may be called, as a client lists them.
///
/// # Errors
/// When a schema cannot be made of the arguments.
pub(super) fn all(is_read_only: bool) -> Result<Vec<Tool>, String> {
    ROWS.iter()
        .filter(|row| !is_read_only || row.effect.is_read_only())
        .map(|row| {
            let tool = Tool::new(row.name, row.says, (row.schema)()?);
            Ok(tool
                .with_title(row.title)
                .with_annotations(row.effect.annotations(row.title)))
        })
        .collect()
}

/// Whether there is a tool of this name, and whether it changes nothing.
pub(super) fn find(name: &str) -> Option<bool> {
    let found = ROWS.iter().find(|row| row.name == name);
    found.map(|row| row.effect.is_read_only())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spends_or_replaces_says_so() {
        let tools = all(false).unwrap();
        let writing: Vec<_> = tools
            .iter()
            .filter(|tool| tool.annotations.as_ref().unwrap().read_only_hint == Some(false))
            .map(|tool| tool.name.as_ref())
            .collect();
        assert_eq!(
            writing,
            [
                "provision",
                "extend",
                "resize",
                "password",
                "destroy",
                "credits_topup",
                "recover"
            ]
        );
        for tool in &tools {
            let hints = tool.annotations.as_ref().unwrap();
            assert_eq!(
                hints.destructive_hint,
                Some(writing.contains(&tool.name.as_ref()))
            );
            assert_eq!(hints.idempotent_hint, Some(tool.name != "password"));
            let is_local = matches!(tool.name.as_ref(), "budget" | "history");
            assert_eq!(hints.open_world_hint, Some(!is_local));
        }
        let reading = all(true).unwrap();
        assert_eq!(reading.len(), tools.len() - writing.len());
    }

    #[test]
    fn what_spends_is_named_by_its_caller() {
        for tool in all(false).unwrap() {
            let is_purchase =
                matches!(tool.name.as_ref(), "provision" | "extend" | "credits_topup");
            let schema = tool.schema_as_json_value();
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            assert_eq!(
                required.contains(&"idempotency_key".into()),
                is_purchase,
                "{schema}"
            );
            let says = tool.description.unwrap();
            assert_eq!(
                says.contains("same idempotency_key when retrying"),
                is_purchase
            );
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
    }
}
