//! The page for people: how to begin, every operation, every error. Made from the same document that
//! machines read. It needs no script and asks for nothing from elsewhere.

use serde_json::{Map, Value};

use super::document::SIGNATURE;
use super::facts::Facts;
use super::html::Html;
use super::texts;
use crate::error::CODES;

pub(super) const STYLE: &str = include_str!("pages/style.css");

/// The page about the API.
pub(super) fn manual(document: &Value, facts: &Facts) -> String {
    let mut html = Html::default();
    begin(&mut html, "x402Compute: the API");
    html.raw("<h1>x402Compute</h1>\n");
    html.paragraph(text(&document["info"], "description"));
    if facts.is_dev {
        html.raw("<p><strong>")
            .text(texts::DEV_NOTE)
            .raw("</strong></p>\n");
    }
    contents(&mut html, document, facts);
    html.heading(2, "pay", "Ways to pay").raw("<ul>");
    for way in texts::ways(facts) {
        html.raw("<li>").prose(&way).raw("</li>\n");
    }
    html.raw("</ul>\n");
    html.paragraph(&format!("Prices: {}.", texts::prices(facts)));
    quick_start(&mut html, facts);
    authentication(&mut html);
    manners(&mut html);
    operations(&mut html, document);
    errors(&mut html);
    objects(&mut html, document);
    html.raw("</body></html>\n");
    html.finish()
}

/// The first page, for people; programs get the same as JSON.
pub(super) fn index(facts: &Facts) -> String {
    let mut html = Html::default();
    begin(&mut html, "x402Compute");
    html.raw("<h1>x402Compute</h1>\n");
    html.paragraph("Cloud machines by the hour for software agents, paid by x402, MPP or credits.");
    if facts.is_dev {
        html.raw("<p><strong>")
            .text(texts::DEV_NOTE)
            .raw("</strong></p>\n");
    }
    html.paragraph(&format!("Prices: {}.", texts::prices(facts)));
    let rows: Vec<Vec<String>> = super::INDEX
        .iter()
        .map(|(_, path, what)| vec![format!("`{path}`"), (*what).to_owned()])
        .collect();
    html.raw("<nav>");
    for (name, path, _) in super::INDEX {
        link(&mut html, &facts.at(path), name);
    }
    html.raw("</nav>\n")
        .table(&["Path", "What is there"], &rows);
    html.raw("</body></html>\n");
    html.finish()
}

fn begin(html: &mut Html, title: &str) {
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    html.text(title).raw("</title>\n<style>").raw(STYLE);
    html.raw("</style></head>\n<body>\n");
}

fn link(html: &mut Html, target: &str, name: &str) {
    html.raw("<a href=\"")
        .text(target)
        .raw("\">")
        .text(name)
        .raw("</a>\n");
}

fn contents(html: &mut Html, document: &Value, facts: &Facts) {
    html.raw("<nav>");
    for (id, name) in [
        ("start", "Quick start"),
        ("authentication", "Authentication"),
        ("manners", "Manners"),
    ] {
        link(html, &format!("#{id}"), name);
    }
    for tag in list(&document["tags"]) {
        let name = text(tag, "name");
        link(html, &format!("#{}", anchor(name)), name);
    }
    link(html, "#errors", "Errors");
    link(html, "#objects", "Objects");
    for (name, path) in [
        ("openapi.json", "/openapi.json"),
        ("skill.md", "/skill.md"),
        ("llms.txt", "/llms.txt"),
    ] {
        link(html, &facts.at(path), name);
    }
    html.raw("</nav>\n");
}

fn quick_start(html: &mut Html, facts: &Facts) {
    let purchase = texts::purchase(facts);
    let plan = purchase["plan"].as_str().unwrap_or("…");
    let price = purchase["max_total_usd"].as_str().unwrap_or("…");
    let url = &facts.url;
    html.heading(2, "start", "Quick start");
    html.paragraph("Ask for the price. Nothing is bought without a payment.");
    html.lines(&format!(
        "curl -s '{url}/compute/plans?type=vps'\ncurl -si {url}/compute/provision \\\n  -H 'Content-Type: application/json' \\\n  -d '{purchase}'"
    ));
    html.paragraph(
        "Pay with any x402 client. It reads the 402, signs one of its offers, and sends the same request \
         again with the payment. For example in JavaScript, with the packages `@x402/fetch` and `@x402/evm`:",
    );
    html.lines(&format!(
        "const paid = wrapFetchWithPayment(fetch, client)   // a client with your wallet's signer\n\
         const answer = await paid(\"{url}/compute/provision\", {{\n  method: \"POST\",\n  headers: {{ \"Content-Type\": \"application/json\", \"Idempotency-Key\": crypto.randomUUID() }},\n  body: JSON.stringify({purchase}),\n}})\nconst {{ order, status_url }} = await answer.json()"
    ));
    if !facts.charges.is_empty() {
        html.paragraph(
            "Or by the HTTP authentication scheme `Payment`, with the command `mppx`. It sends no \
             `Idempotency-Key` of its own; without one the same command again is a second purchase:",
        );
        html.lines(&format!(
            "PURCHASE=$(openssl rand -hex 16)   # once for each purchase\nnpx mppx {url}/compute/provision -X POST -H \"Idempotency-Key: $PURCHASE\" \\\n  -J '{purchase}'"
        ));
    }
    html.paragraph(
        "Or with the command `compute` of this project. It keeps a book of purchases and a spending cap, \
         and finds out what became of a lost answer:",
    );
    html.lines(&format!(
        "export COMPUTE_URL={url} COMPUTE_KEY_FILE=~/.wallet-key   # mode 0600; dev needs none\ncompute provision --plan {plan} --max-price {price} --wait\ncompute list\ncompute destroy ID"
    ));
    html.paragraph(
        "Then wait until the order is `active`, and take the root password, once; or send \
         `ssh_public_key` when buying.",
    );
    html.lines(&format!(
        "curl -s -H \"X-API-Key: $KEY\" {url}/compute/orders/$ID\ncurl -s -H \"X-API-Key: $KEY\" -X POST {url}/compute/instances/$ID/password"
    ));
}

fn authentication(html: &mut Html) {
    html.heading(2, "authentication", "Authentication");
    html.paragraph(
        "Buying needs none: who pays by x402 owns the machine, and who pays by a credential gets a key. \
         Everything else needs an API key, or a signature of the owner's wallet over these nine lines, \
         joined by line feeds, without one at the end:",
    );
    html.lines(
        "X402-COMPUTE-AUTH\nv1\n<chain: base, megaeth or solana>\n<address; EVM in lower case>\n<METHOD>\n<path, /compute/…>\n<SHA-256 of the body's bytes, lower-case hex>\n<time in milliseconds>\n<nonce>",
    );
    html.paragraph(
        "An EVM wallet signs the text by EIP-191 and sends hex, a Solana wallet signs the bytes by Ed25519 \
         and sends Base64. The time may be off by five minutes. A nonce is used once; a request that is \
         answered with a 402 uses none.",
    );
    let rows: Vec<Vec<String>> = [("X-API-Key", "An API key, `x402c_…`, instead of the others.")]
        .iter()
        .chain(&SIGNATURE)
        .map(|(name, content)| vec![format!("`{name}`"), (*content).to_owned()])
        .collect();
    html.table(&["Header", "Content"], &rows);
}

fn manners(html: &mut Html) {
    html.heading(2, "manners", "Manners");
    for paragraph in [
        "**Retries.** One payment buys one thing, however often it is sent. When an answer is lost, send \
         the same request with the same payment and the same `Idempotency-Key` again: the answer is that \
         of the first one, with `Idempotent-Replayed: true`. Never make a new payment while one is unknown.",
        "**Unknown settlement.** A machine is then 200 with `settlement: \"pending\"`, more time and \
         credits are 202 with `code: \"settlement_pending\"`. The purchase goes on by itself; follow \
         `status_url`.",
        "**Orders** are `pending`, `provisioning`, `active`, and at last `destroyed`, `expired` or `failed`. \
         A failed one says in `failure.charged` whether anything was paid. Ended orders stay readable.",
        "**Money.** Prices are JSON numbers with at most six decimals; balances are texts. What could not be \
         delivered after it was paid becomes credit: `details.credited`.",
        "**Pages.** Lists have `next_cursor` while there is more; send it as `cursor`.",
        "**Limits.** 429 and 503 say in `Retry-After` when to try again. A repeat of a known payment is \
         never turned away.",
        "**Growth.** Answers may get more members; unknown members of requests are refused.",
    ] {
        let (title, rest) = paragraph
            .trim_start_matches("**")
            .split_once("**")
            .unwrap_or(("", paragraph));
        html.raw("<p><strong>")
            .text(title)
            .raw("</strong>")
            .prose(rest)
            .raw("</p>\n");
    }
}

fn operations(html: &mut Html, document: &Value) {
    for tag in list(&document["tags"]) {
        let name = text(tag, "name");
        html.heading(2, &anchor(name), name);
        html.paragraph(text(tag, "description"));
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item) {
                if list(&operation["tags"]).any(|it| it.as_str() == Some(name)) {
                    one_operation(html, document, (method, path), operation);
                }
            }
        }
    }
}

fn one_operation(html: &mut Html, document: &Value, (method, path): (&str, &str), it: &Value) {
    html.raw("<details id=\"").text(text(it, "operationId"));
    html.raw("\"><summary><span class=\"verb ")
        .text(method)
        .raw("\">");
    html.text(&method.to_uppercase())
        .raw("</span> <code>")
        .text(path)
        .raw("</code> ");
    if it.get("x-payment-info").is_some() {
        html.raw("<span class=\"paid\">paid</span> ");
    }
    html.raw("<span class=\"soft\">")
        .text(text(it, "summary"))
        .raw("</span></summary>\n");
    if let Some(more) = it.get("description").and_then(Value::as_str) {
        html.paragraph(more);
    }
    let rows: Vec<Vec<String>> = list(&it["parameters"]).map(parameter_row).collect();
    html.table(&["Parameter", "In", "Type", "Meaning"], &rows);
    if let Some(body) = it.get("requestBody") {
        request(html, document, body);
    }
    let rows: Vec<Vec<String>> = members(&it["responses"])
        .map(|(status, answer)| answer_row(document, status, answer))
        .collect();
    html.table(&["Status", "Body", "When"], &rows);
    html.raw("</details>\n");
}

fn parameter_row(parameter: &Value) -> Vec<String> {
    let needed = if parameter["required"] == true {
        ""
    } else {
        ", optional"
    };
    vec![
        format!("`{}`", text(parameter, "name")),
        format!("{}{needed}", text(parameter, "in")),
        kind_of(&parameter["schema"]),
        text(parameter, "description").to_owned(),
    ]
}

fn request(html: &mut Html, document: &Value, body: &Value) {
    let content = &body["content"]["application/json"];
    let optional = if body["required"] == true {
        ""
    } else {
        " The body may be empty."
    };
    html.paragraph(&format!("{}{optional}", text(body, "description")));
    object(html, resolve(document, &content["schema"]));
    for (_, example) in members(&content["examples"]) {
        html.lines(&example["value"].to_string());
    }
}

fn answer_row(document: &Value, status: &str, answer: &Value) -> Vec<String> {
    let answer = resolve(document, answer);
    let bodies: Vec<String> = members(&answer["content"])
        .map(|(_, content)| kind_of(&content["schema"]))
        .collect();
    vec![
        format!("`{status}`"),
        bodies.join(" or "),
        text(answer, "description").to_owned(),
    ]
}

fn errors(html: &mut Html) {
    html.heading(2, "errors", "Errors");
    html.paragraph(
        "Errors are `application/problem+json` (RFC 9457). Branch on `code`; `detail` is for people, and \
         `request_id` for us. A 402 that can be paid is `application/json`, with `error` in the words of \
         x402.",
    );
    let rows: Vec<Vec<String>> = CODES
        .iter()
        .map(|it| {
            vec![
                format!("`{}`", it.code),
                it.status.to_owned(),
                it.meaning.to_owned(),
                it.remedy.to_owned(),
            ]
        })
        .collect();
    html.table(&["Code", "Status", "Meaning", "What to do"], &rows);
}

fn objects(html: &mut Html, document: &Value) {
    html.heading(2, "objects", "Objects");
    for (name, schema) in members(&document["components"]["schemas"]) {
        if name.ends_with("Request") {
            continue;
        }
        html.raw("<details id=\"")
            .text(&object_anchor(name))
            .raw("\"><summary><code>");
        html.text(name).raw("</code></summary>\n");
        if let Some(meaning) = schema.get("description").and_then(Value::as_str) {
            html.paragraph(meaning);
        }
        object(html, schema);
        html.raw("</details>\n");
    }
}

/// The members of an object.
fn object(html: &mut Html, schema: &Value) {
    let required: Vec<&str> = list(&schema["required"])
        .filter_map(Value::as_str)
        .collect();
    let rows: Vec<Vec<String>> = members(&schema["properties"])
        .map(|(name, member)| {
            let needed = if required.contains(&name) {
                ""
            } else {
                ", optional"
            };
            vec![
                format!("`{name}`"),
                format!("{}{needed}", kind_of(member)),
                text(member, "description").to_owned(),
            ]
        })
        .collect();
    html.table(&["Member", "Type", "Meaning"], &rows);
}

/// A schema in a few words.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return format!("`{name}`");
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let kinds: Vec<String> = choices.iter().map(kind_of).collect();
            return kinds.join(" or ");
        }
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            kinds.join(" or ")
        }
        _ => "any".to_owned(),
    };
    if kind == "array" {
        return format!("list of {}", kind_of(&schema["items"]));
    }
    let words: Vec<&str> = list(&schema["enum"]).filter_map(Value::as_str).collect();
    if !words.is_empty() {
        return words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    bounds(&kind, schema)
}

fn bounds(kind: &str, schema: &Value) -> String {
    let format = schema["format"]
        .as_str()
        .filter(|it| !it.starts_with("int"));
    let kind = format.unwrap_or(kind);
    match (&schema["minimum"], &schema["maximum"]) {
        (Value::Number(least), Value::Number(most)) => format!("{kind} {least} to {most}"),
        _ => match &schema["maxLength"] {
            Value::Number(most) => format!("{kind}, at most {most} characters"),
            _ => kind.to_owned(),
        },
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let place = value["$ref"]
        .as_str()
        .and_then(|place| place.strip_prefix('#'));
    place
        .and_then(|place| document.pointer(place))
        .unwrap_or(value)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = value.as_object().into_iter().flat_map(Map::iter);
    members.map(|(name, member)| (name.as_str(), member))
}

fn anchor(tag: &str) -> String {
    tag.to_lowercase().replace(' ', "-")
}

fn object_anchor(name: &str) -> String {
    format!("object-{name}")
}
