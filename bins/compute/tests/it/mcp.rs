//! Tools, called by a client of the official SDK: over the standard streams of a child, and over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::RunningService;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{RoleClient, ServiceError, ServiceExt as _};
use serde_json::{Value, json};

use crate::town::Town;

const PLAN: &str = "vc2-1c-1gb";
const TOKEN: &str = "a-token-that-nobody-guesses";

type Client = RunningService<RoleClient, ()>;

/// A client of `compute mcp` as a child, with more arguments and settings.
async fn over_stdio(town: &Town, words: &[&str], settings: &[(&str, &str)]) -> Client {
    let mut command = town.command(&town.url);
    command
        .arg("mcp")
        .args(words)
        .envs(settings.iter().copied());
    let child = TokioChildProcess::new(tokio::process::Command::from(command)).unwrap();
    ().serve(child).await.unwrap()
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let arguments = arguments.as_object().unwrap().clone();
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(request).await.unwrap()
}

/// What a tool answered; the text is the same as what is structured.
fn told(result: &CallToolResult) -> &Value {
    let told = result.structured_content.as_ref().unwrap();
    let text = &result.content[0].as_text().unwrap().text;
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *told);
    told
}

async fn ask(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(false), "{result:?}");
    told(&result).clone()
}

/// The error that a tool ended with.
async fn fail(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let result = call(client, tool, arguments).await;
    assert_eq!(result.is_error, Some(true), "{result:?}");
    told(&result).clone()
}

async fn names(client: &Client) -> Vec<String> {
    let tools = client.list_all_tools().await.unwrap();
    tools
        .into_iter()
        .map(|tool| tool.name.into_owned())
        .collect()
}

fn order(name: &str) -> Value {
    json!({ "plan": PLAN, "region": "ewr", "idempotency_key": name })
}

#[tokio::test]
async fn a_model_finds_buys_waits_and_destroys() {
    let town = Town::open();
    let client = over_stdio(&town, &[], &[]).await;
    let tools = names(&client).await;
    assert_eq!(tools.len(), 17, "{tools:?}");

    let plans = ask(
        &client,
        "plans",
        json!({"max_hourly_usd": "0.01", "limit": 50}),
    )
    .await;
    let plans = plans["plans"].as_array().unwrap();
    assert!(plans.iter().any(|plan| plan["id"] == PLAN), "{plans:?}");
    for tool in ["regions", "images", "credits_balance", "history"] {
        ask(&client, tool, json!({})).await;
    }
    let quote = ask(&client, "quote", json!({"plan": PLAN, "region": "ewr"})).await;
    assert_eq!(quote["real_money"], false);

    let bought = ask(&client, "provision", order("purchase-1")).await;
    assert_eq!(bought["price_usd"], quote["price_usd"]);
    assert_eq!(bought["id"], "purchase-1");
    let id = bought["reply"]["order"]["id"].as_str().unwrap().to_owned();
    let waited = ask(&client, "wait", json!({"id": id, "seconds": 60})).await;
    assert_eq!(waited["order"]["status"], "active", "{waited}");

    // The same name is the same purchase, and cannot be another one.
    let again = ask(&client, "provision", order("purchase-1")).await;
    assert_eq!(
        (&again["already_bought"], &again["order_id"]),
        (&true.into(), &id.clone().into())
    );
    let other =
        json!({"plan": PLAN, "region": "ewr", "hours": 48, "idempotency_key": "purchase-1"});
    let other = fail(&client, "provision", other).await;
    assert_eq!(other["code"], "idempotency_key_used");
    assert_eq!(town.machines().len(), 1);

    let shown = ask(&client, "show", json!({"id": id})).await;
    assert!(!shown.to_string().contains("\"password\""), "{shown}");
    let password = ask(&client, "password", json!({"id": id})).await;
    assert_eq!(password["reply"]["access"]["username"], "root");
    let again = fail(&client, "password", json!({"id": id})).await;
    assert_eq!(again["code"], "password_already_retrieved");

    let more = json!({"id": id, "pay_with": "tempo", "idempotency_key": "purchase-2"});
    let longer = ask(&client, "extend", more).await;
    assert_eq!(longer["means"], "tempo", "{longer}");
    let credits = json!({"amount_usd": "2.50", "idempotency_key": "purchase-3"});
    ask(&client, "credits_topup", credits).await;
    let larger = json!({"id": id, "plan": "vc2-1c-2gb", "dry_run": true});
    ask(&client, "resize", larger).await;
    ask(&client, "destroy", json!({"id": id})).await;
    let history = ask(&client, "history", json!({})).await;
    assert_eq!(history["purchases"].as_array().unwrap().len(), 3);
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn what_a_tool_does_not_take_is_an_error_that_can_be_mended() {
    let town = Town::open();
    let client = over_stdio(&town, &[], &[]).await;
    let wrong = fail(&client, "provision", json!({"plan": PLAN, "region": "ewr"})).await;
    assert_eq!(wrong["code"], "invalid_arguments");
    assert!(
        wrong["error"].as_str().unwrap().contains("idempotency_key"),
        "{wrong}"
    );
    let unknown =
        json!({"plan": PLAN, "region": "ewr", "idempotency_key": "purchase-1", "spend_cap": "9"});
    let unknown = fail(&client, "provision", unknown).await;
    assert_eq!(unknown["code"], "invalid_arguments");
    let elsewhere = fail(&client, "destroy", json!({"id": "../api-keys/x"})).await;
    assert_eq!(elsewhere["result"], "failed");
    let absent = fail(&client, "show", json!({"id": "0192"})).await;
    assert_eq!(absent["result"], "refused", "{absent}");
    assert_eq!(town.machines().len(), 0);
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn no_model_spends_beyond_the_cap_not_even_after_a_restart() {
    let town = Town::open();
    assert_eq!(town.run(&["budget", "--set", "0.20"]).code, 0);
    let client = over_stdio(&town, &[], &[]).await;
    ask(&client, "provision", order("purchase-1")).await;
    let beyond = fail(&client, "provision", order("purchase-2")).await;
    assert_eq!(
        (&beyond["code"], &beyond["charged"]),
        (&"beyond_cap".into(), &false.into())
    );
    assert!(
        beyond["what_to_do"]
            .as_str()
            .unwrap()
            .contains("compute budget --set")
    );
    // An argument cannot lift it, and there is no tool that does.
    let rich = json!({
        "plan": PLAN, "region": "ewr", "idempotency_key": "purchase-3", "max_price_usd": "1000",
    });
    let rich = fail(&client, "provision", rich).await;
    assert_eq!(rich["code"], "beyond_cap");
    client.cancel().await.unwrap();

    let client = over_stdio(&town, &[], &[("COMPUTE_SPEND_CAP", "1000")]).await;
    let beyond = fail(&client, "provision", order("purchase-2")).await;
    assert_eq!(beyond["code"], "beyond_cap");
    let topup = json!({"amount_usd": "5", "idempotency_key": "purchase-4"});
    assert_eq!(
        fail(&client, "credits_topup", topup).await["code"],
        "beyond_cap"
    );
    let budget = ask(&client, "budget", json!({})).await;
    assert_eq!(budget["cap_usd"], "0.20");
    client.cancel().await.unwrap();

    let client = over_stdio(&town, &["--max-price", "0.01"], &[]).await;
    let dear = fail(&client, "provision", order("purchase-2")).await;
    assert_eq!(dear["code"], "too_dear");
    client.cancel().await.unwrap();
    assert_eq!(town.machines().len(), 1);
}

/// A wallet of somebody's own buys nothing for a model while nothing limits what it may spend.
#[tokio::test]
async fn somebodys_own_wallet_needs_a_cap() {
    let town = Town::open();
    let key = "11".repeat(32);
    let own = [("COMPUTE_KEY", key.as_str())];
    let client = over_stdio(&town, &[], &own).await;
    let refused = fail(&client, "provision", order("purchase-1")).await;
    assert_eq!(
        (&refused["result"], &refused["code"]),
        (&"not_allowed".into(), &"no_cap".into())
    );
    client.cancel().await.unwrap();
    let client = over_stdio(&town, &["--spend-cap", "1"], &own).await;
    ask(&client, "provision", order("purchase-1")).await;
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_read_only_server_hides_and_refuses_what_changes_something() {
    let town = Town::open();
    let client = over_stdio(&town, &["--read-only"], &[]).await;
    let tools = names(&client).await;
    for hidden in [
        "provision",
        "extend",
        "resize",
        "password",
        "destroy",
        "credits_topup",
        "recover",
    ] {
        assert!(!tools.iter().any(|tool| tool == hidden), "{tools:?}");
        let request = CallToolRequestParams::new(hidden);
        let refused = client.call_tool(request).await;
        let Err(ServiceError::McpError(error)) = refused else {
            panic!("{refused:?}");
        };
        assert!(error.message.contains("read-only"), "{error:?}");
    }
    assert!(tools.iter().any(|tool| tool == "plans"));
    ask(&client, "list", json!({})).await;
    ask(&client, "budget", json!({})).await;
    client.cancel().await.unwrap();
}

/// `compute mcp --http`, and where it listens.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn open(town: &Town, token: Option<&str>) -> Self {
        let mut command = town.command(&town.url);
        command
            .args(["mcp", "--http", "127.0.0.1:0"])
            .stderr(Stdio::piped());
        command.envs(token.map(|token| ("COMPUTE_MCP_TOKEN", token)));
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let address = line.strip_prefix("listening on http://").unwrap();
        let address = address.strip_suffix("/mcp").unwrap().to_owned();
        let place = lines.next().unwrap().unwrap();
        assert!(token.is_none_or(|token| !place.contains(token)), "{place}");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    async fn client(&self, token: &str) -> Client {
        let uri = format!("http://{}/mcp", self.address);
        let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(token);
        let transport = StreamableHttpClientTransport::from_config(config);
        ().serve(transport).await.unwrap()
    }

    /// The status that a request with these lines in its head gets.
    fn status(&self, lines: &[&str]) -> u16 {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n{}\r\n\r\n{body}",
            body.len(),
            lines.join("\r\n"),
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The SDK's own HTTP client stands on a TLS library that wants its arithmetic chosen, once in a process.
fn choose_arithmetic() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[tokio::test]
async fn a_program_of_this_machine_buys_over_http() {
    choose_arithmetic();
    let town = Town::open();
    let server = Server::open(&town, Some(TOKEN));
    let client = server.client(TOKEN).await;
    assert_eq!(names(&client).await.len(), 17);
    let bought = ask(&client, "provision", order("purchase-1")).await;
    let id = bought["reply"]["order"]["id"].as_str().unwrap();
    let waited = ask(&client, "wait", json!({"id": id, "seconds": 60})).await;
    assert_eq!(waited["order"]["status"], "active");
    client.cancel().await.unwrap();
    // Another client of the same server knows the same purchases.
    let client = server.client(TOKEN).await;
    let again = ask(&client, "provision", order("purchase-1")).await;
    assert_eq!(again["already_bought"], true);
    client.cancel().await.unwrap();
    assert_eq!(town.machines().len(), 1);
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    choose_arithmetic();
    let town = Town::open();
    let server = Server::open(&town, Some(TOKEN));
    let host = format!("Host: {}", server.address);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(server.status(&[&host]), 401);
    assert_eq!(server.status(&[&host, "Authorization: Bearer wrong"]), 401);
    assert_eq!(
        server.status(&[&host, &bearer, "Origin: https://evil.example"]),
        403
    );
    assert_eq!(server.status(&[&host, &bearer, "Origin: null"]), 403);
    assert_eq!(server.status(&["Host: evil.example", &bearer]), 403);
    // The one who may is let in: what is wrong with this request is another thing.
    let status = server.status(&[&host, &bearer, "Origin: http://localhost:3000"]);
    assert!(!matches!(status, 401 | 403), "{status}");
}

/// Without a token one is made, which only this user can read, and it lasts.
#[tokio::test]
async fn a_token_is_made_and_kept() {
    choose_arithmetic();
    let town = Town::open();
    drop(Server::open(&town, None));
    let path = town.folder.path().join("state/mcp-token");
    let token = std::fs::read_to_string(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let server = Server::open(&town, None);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), token);
    let client = server.client(token.trim()).await;
    ask(&client, "budget", json!({})).await;
    client.cancel().await.unwrap();
}

#[test]
fn what_cannot_be_served_safely_is_refused_at_the_start() {
    let town = Town::open();
    let open = town.run(&["mcp", "--http", "0.0.0.0:0"]);
    assert_eq!(open.code, 1);
    assert!(
        open.json["error"]
            .as_str()
            .unwrap()
            .contains("other machines"),
        "{open:?}"
    );
    let mixed = town.run(&["--key-stdin", "mcp"]);
    assert_eq!(mixed.code, 1);
    let mut command = town.command(&town.url);
    command
        .env("COMPUTE_MCP_TOKEN", "short")
        .args(["mcp", "--http", "127.0.0.1:0"]);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
}
